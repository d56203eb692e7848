"""`router new-venue`: what it writes is sound Python, its cases run at once, and each failure says what to write where."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from router import cli, registry, scaffold

ROOT = Path(__file__).parent.parent
VENUES = {
    "wavedex": "websocket",
    "restdex": "http",
    "an_exchange_of_names": "websocket",
    "another_long_name_ok": "http",
}
FILES = ["pyproject.toml", "{0}/__init__.py", "{0}/codec.py", "{0}/simulator.py", "tests/test_{0}.py"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All four venues, written once."""
    directory = tmp_path_factory.mktemp("venues")
    for name, transport in VENUES.items():
        scaffold.new_venue(name, transport, directory)
    return directory


def run(directory, *command, **environment):
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", *command],
        cwd=directory,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def new_venue(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["new-venue", *arguments])
    return ended.value.code


def texts(folder):
    """Every NotImplementedError in a folder: its file, the function that it is in, and what it says."""
    for path in sorted(folder.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Raise) and node.exc.func.id == "NotImplementedError":
                        yield path.relative_to(folder), function.name, node.exc.args[0].value


# -- what is written


@pytest.mark.parametrize(("name", "transport"), VENUES.items())
def test_five_files_are_written_and_the_next_commands_named(name, transport, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert new_venue(name, "--transport", transport) == cli.DONE
    paths = [path.format(name) for path in FILES]
    said = capsys.readouterr().out
    assert said == "".join(f"wrote {name}/{path}\n" for path in paths) + (
        f"Next:\n  pip install -e {name}\n  pytest --venue {name}\n  router venues\n"
    )
    found = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert sorted(found) == sorted(tmp_path / name / path for path in paths)
    assert not [path for path in found if re.search("@[A-Z]+@", path.read_text())]


def test_a_directory_may_be_named(tmp_path, capsys):
    there = tmp_path / "a place"
    there.mkdir()
    assert new_venue("wavedex", "--transport", "http", "--directory", str(there)) == cli.DONE
    assert (there / "wavedex" / "wavedex" / "codec.py").is_file()
    assert f"pip install -e '{there / 'wavedex'}'\n" in capsys.readouterr().out


def test_the_entry_points_name_what_is_there(written):
    for name in VENUES:
        project = tomllib.loads((written / name / "pyproject.toml").read_text())["project"]
        points = project["entry-points"]
        assert (project["name"], sorted(points)) == (name, [registry.ADAPTERS, registry.SIMULATORS])
        for group in points.values():
            module, _, attribute = group[name].partition(":")
            path = written / name / module.replace(".", "/")
            source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
            assert f"class {attribute}(" in source


def test_it_is_clean_for_ruff_and_for_mypy(written):
    packages = [option for name in VENUES for option in ("-p", name)]
    paths = os.pathsep.join(str(written / name) for name in VENUES)
    checked = run(written, "mypy", "--strict", "--cache-dir", str(written / "cache"), *packages, MYPYPATH=paths)
    assert (checked.returncode, checked.stdout) == (0, "Success: no issues found in 12 source files\n")
    for name in VENUES:
        # each project has its own configuration, which is kept to; more of ruff's rules are added to it
        for command in (["check", "--extend-select", "E,W,F,I,B,UP,SIM,RUF,PT,N"], ["format", "--check"]):
            done = run(written / name, "ruff", *command, "--no-cache", ".")
            assert done.returncode == 0, done.stdout


# -- what its cases say


@pytest.mark.parametrize("name", ["wavedex", "restdex"])
def test_its_cases_run_at_once_and_say_what_to_write(written, name):
    done = run(written / name, "pytest", "--venue", name, "-p", "no:cacheprovider")
    assert done.returncode == 1, done.stdout + done.stderr
    accounts = done.stdout.split("  the rule  ")[1:]
    assert len(accounts) > 20
    said = f"{name}/codec.py, hello(): "
    other = [each for each in accounts if said not in each]
    assert [each.partition(" on ")[0] for each in other if f"{name}/simulator.py, " not in each] == []
    assert " 0 ok" not in done.stdout
    assert f"FAILED {name}::C01" in done.stdout


def test_its_own_tests_are_the_same_cases(written):
    done = run(written / "wavedex", "pytest", "tests", "-q", "-p", "no:cacheprovider", "-k", "C01 or C28")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "wavedex/codec.py, hello(): the page's login, as a Wire" in done.stdout
    assert "1 failed, 1 skipped" in done.stdout


def test_the_next_failure_says_what_comes_next(tmp_path):
    """An author goes from hello() to the simulator's login, to decode(), to place(): each time by what C01 says."""
    scaffold.new_venue("wavedex", "websocket", tmp_path)
    package = tmp_path / "wavedex" / "wavedex"
    codec, simulator = package / "codec.py", package / "simulator.py"
    login = "Wire(keys=(('login', ''),), body=b'{\"op\":\"login\"}', effect=Effect.READ)"
    written = {
        codec: [
            ("import Codec,", "import Answer, Effect, Codec,"),
            ("from router.redact", "from router.report import Outcome\nfrom router.redact"),
        ],
    }
    for step, (where, wanted) in {
        f"return [{login}]": ("hello", "wavedex/simulator.py, execute(): check the key"),
        "return {}": ("check the key", "wavedex/codec.py, decode(): what the venue's messages mean"),
        "return [Answer(keys=(('login', ''),), outcome=Outcome.CONFIRMED)]": ("decode", "wavedex/codec.py, place(): "),
    }.items():
        path = simulator if where == "check the key" else codec
        lines = path.read_text().splitlines(keepends=True)
        (at,) = [n for n, line in enumerate(lines) if "raise NotImpl" in line and where in line]
        lines[at] = lines[at][: len(lines[at]) - len(lines[at].lstrip())] + step + "\n"
        text = "".join(lines)
        for old, new in written.pop(path, []):
            text = text.replace(old, new)
        path.write_text(text)
        done = run(package.parent, "pytest", "--venue", "wavedex", "--case", "C01", "-q", "-p", "no:cacheprovider")
        assert wanted in done.stdout, done.stdout


@pytest.mark.parametrize("name", VENUES)
def test_every_instruction_names_its_file_and_its_function(written, name):
    found = list(texts(written / name))
    assert len(found) >= 9
    for path, function, said in found:
        assert said.startswith(f"{path.as_posix()}, {function}(): ")


def test_router_venues_lists_it(written, monkeypatch, capsys):
    info = written / "wavedex" / "wavedex-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wavedex\nVersion: 0.1.0\n")
    points = tomllib.loads((written / "wavedex" / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [f"[{group}]\nwavedex = {names['wavedex']}\n" for group, names in points.items()]
    (info / "entry_points.txt").write_text("".join(lines))
    monkeypatch.syspath_prepend(str(written / "wavedex"))
    with pytest.raises(SystemExit):
        cli.main(["venues", "--json"])
    listed = json.loads(capsys.readouterr().out)["wavedex"]
    assert (listed["simulator"], listed["cancel_kinds"]) == (True, ["order"])
    for module in [name for name in sys.modules if name.partition(".")[0] == "wavedex"]:
        del sys.modules[module]
    assert new_venue("wavedex", "--transport", "http", "--directory", str(written / "restdex")) == cli.USAGE
    assert "a venue of this name is installed" in capsys.readouterr().err


# -- what is refused


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("class", "that is a word of Python's own"),
        ("qfex", "a venue of this name is installed"),
        ("json", "a package of this name can be imported already"),
        ("aiohttp", "a package of this name can be imported already"),
        ("router", "a package of this name can be imported already"),
        *((name, "use lower-case letters") for name in ("", "MyDex", "my-dex", "my.dex", "1dex", "../dex", "dex\n")),
        *((name, "use lower-case letters") for name in ("börse", "a b", "_dex", "d" * 21)),
    ],
)
def test_a_name_that_cannot_be_a_venues_is_refused_with_the_reason(name, why, tmp_path, capsys):
    assert new_venue(name, "--transport", "http", "--directory", str(tmp_path)) == cli.USAGE
    said = capsys.readouterr().err
    assert said.startswith("router: NAME was ")
    assert why in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "file", "dangling"])
def test_nothing_is_overwritten(what, tmp_path, capsys):
    there = tmp_path / "wavedex"
    {"folder": there.mkdir, "file": there.touch, "dangling": lambda: there.symlink_to("nowhere")}[what]()
    assert new_venue("wavedex", "--transport", "http", "--directory", str(tmp_path)) == cli.USAGE
    assert "wavedex exists already; nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["wavedex"]


def test_a_directory_that_is_none_is_refused(tmp_path, capsys):
    assert new_venue("wavedex", "--transport", "http", "--directory", str(tmp_path / "none")) == cli.USAGE
    assert "none is no directory" in capsys.readouterr().err


def test_a_transport_must_be_named_and_known(capsys):
    assert new_venue("wavedex") == cli.USAGE
    assert "--transport" in capsys.readouterr().err
    assert new_venue("wavedex", "--transport", "fix") == cli.USAGE
    assert "'websocket', 'http'" in capsys.readouterr().err
