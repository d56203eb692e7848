"""Venues of other packages: built, installed by pip and used, in the company of broken ones that take nothing down."""

import json
import os
import re
import subprocess
import sys
from subprocess import PIPE

import pytest

from .building import CLEAN, TIMEOUT, USED, build, install, pebble, run, use_pebble, write_package

OURS = {"b2trader", "dmex", "qfex"}
SECRET = "hunter2-hunter2"
RAISES = """
import os, sys
print("a plug-in talks while it is imported")
keys = [os.environ.get("STONE_API_KEY"), os.environ.get("STONE_PEM_KEY")]
raise RuntimeError(f"line one\\nline two\\x1b[2J\\x07 with {keys[0]} and {keys[1]!r}")
"""
HALF = """
from router.testing import Simulator
from router.venue import Spec

class Half:
    declared = Spec(title="half", docs_url="", cancel_kinds=None)

    @classmethod
    def from_environ(cls, environ):
        raise RuntimeError("never called")

class HalfSimulator(Simulator):
    pass
"""
PACKAGES = {  # name of the package: its entry points by group, and its modules
    "raising-venue": ({"router.adapters": {"raising": "raising_venue:Raising"}}, {"raising_venue": RAISES}),
    "exiting-venue": (
        {"router.adapters": {"exiting": "exiting_venue:Exiting"}},
        {"exiting_venue": "raise SystemExit('not for this platform')\n"},
    ),
    "missing-venue": ({"router.adapters": {"missing": "missing_venue:Nowhere"}}, {"missing_venue": "Somewhere = 1\n"}),
    "nonsense-venue": (
        {"router.adapters": {"nonsense": "nonsense_venue:NONSENSE"}},
        {"nonsense_venue": "NONSENSE = 17\n"},
    ),
    "half-venue": (
        {
            "router.adapters": {"half": "half_venue:Half"},
            "router.simulators": {"half": "half_venue:HalfSimulator", "nonsense": "half_venue:Half"},
        },
        {"half_venue": HALF},
    ),
    "first-claim": ({"router.adapters": {"claimed": "first_claim:Venue"}}, {"first_claim": "class Venue: pass\n"}),
    "second-claim": ({"router.adapters": {"claimed": "second_claim:Venue"}}, {"second_claim": "class Venue: pass\n"}),
}
ERRORS = {
    "raising": "raising_venue:Raising cannot be imported: RuntimeError: line one line two [2J with None",
    "exiting": "exiting_venue:Exiting cannot be imported: SystemExit: not for this platform",
    "missing": "missing_venue:Nowhere cannot be imported: AttributeError: module 'missing_venue' has no attribute 'Nowhere'",
    "nonsense": "nonsense_venue:NONSENSE is no adapter class: its `declared` is no Spec",
    "half": "its Spec cannot be read: TypeError: cancel_kinds was None; it is a frozenset[IdKind]",
    "claimed": "claimed by several packages: first-claim 1.0 (first_claim:Venue), second-claim 1.0 (second_claim:Venue)",
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The environment in which one package with a good venue is installed."""
    folder = tmp_path_factory.mktemp("good")
    install(*build(pebble(folder), into=folder), target=folder / "site")
    return {"PYTHONPATH": str(folder / "site")}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, good):
    """The environment in which broken ones are installed as well."""
    folder = tmp_path_factory.mktemp("broken")
    projects = [write_package(folder, name, *package) for name, package in PACKAGES.items()]
    install(*build(*projects, into=folder), target=folder / "site")
    return {"PYTHONPATH": os.pathsep.join([good["PYTHONPATH"], str(folder / "site")])}


def router(*arguments, code=0, **environment):
    return run([sys.executable, "-m", "router.cli", *arguments], code=code, **environment)


# -- a good one


@pytest.mark.parametrize("company", ["good", "mixed"])
def test_it_is_found_by_name_and_used(company, request, tmp_path):
    assert use_pebble(sys.executable, tmp_path, **request.getfixturevalue(company)) == USED


def test_venues_shows_it_with_its_package_beside_ours(good):
    out, err = router("venues", **good)
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.split()}
    assert err == ""
    assert rows["pebble"][-4:] == ["https://pebble.invalid/api", "yes", "pebble-venue", "1.0"]
    assert rows["qfex"][-3:-1] == ["yes", "venue-router"]


def test_sim_serves_it_and_names_the_broken(mixed, tmp_path):
    command = [sys.executable, "-m", "router.cli", "sim"]
    with subprocess.Popen(command, env=CLEAN | mixed, cwd=tmp_path, stdout=PIPE, stderr=PIPE, text=True) as process:  # noqa: S603 - ours
        lines = list(iter(process.stdout.readline, "Running until Ctrl-C.\n"))
        process.terminate()
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert "export PEBBLE_KEY=a-pebble\n" in lines
    assert any(line.startswith("export QFEX_URL=") for line in lines)
    assert [line.split(":")[1] for line in err.splitlines()] == [" half", " nonsense"]


def test_an_installed_plug_in_changes_nothing_in_the_table_of_our_own(mixed):
    assert router("venues", "--markdown", **mixed) == router("venues", "--markdown")


# -- broken ones


def test_a_broken_one_is_named_with_its_error_in_one_red_line_and_the_others_are_listed(mixed):
    out, err = router("venues", **mixed, FORCE_COLOR="1", COLUMNS="1000")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    lines = {line.partition(" ")[0]: line.strip() for line in plain.splitlines()}
    for name, error in ERRORS.items():
        assert lines[name].partition(": ")[2].startswith(error)
        assert f"\x1b[31m{name} (" in out
    assert lines["raising"].startswith("raising (raising-venue 1.0): ")
    assert lines["claimed"].startswith("claimed (first-claim 1.0, second-claim 1.0): ")
    listed = {line.split()[0] for line in plain.splitlines() if line.startswith("  ") and line.split()}
    assert listed >= OURS | {"pebble"}
    assert not listed & ERRORS.keys()
    assert err == "a plug-in talks while it is imported\n"  # and not into what a program reads
    assert not re.search(r"[^\x1b\n -~─]", out)


def test_venues_in_json_has_all_of_them(mixed):
    found = json.loads(router("venues", "--json", **mixed)[0])
    assert found.keys() >= OURS | {"pebble"}
    assert {name for name, venue in found.items() if "error" in venue} == ERRORS.keys()
    assert all(found[name]["error"].startswith(error) for name, error in ERRORS.items())
    assert found["missing"]["package"] == "missing-venue 1.0"
    assert found["pebble"]["package"] == "pebble-venue 1.0"
    assert (found["pebble"]["simulator"], found["missing"]["simulator"]) == (True, False)
    assert found["pebble"]["cancel_kinds"] == ["order"]
    assert found["half"]["simulator_error"] == (
        "half_venue:HalfSimulator is no whole Simulator: it lacks credentials, environment, start, stop, url"
    )
    assert found["nonsense"]["simulator_error"] == "half_venue:Half is no router.testing.Simulator"


@pytest.mark.parametrize("name", sorted(ERRORS.keys() - {"half"}))
def test_a_cancel_on_a_broken_one_is_bad_usage_in_one_line(mixed, name):
    _, err = router("cancel", name, "1", code=2, **mixed)
    assert err.replace("a plug-in talks while it is imported\n", "").startswith(f"router: {name}: {ERRORS[name]}")
    assert err.splitlines()[-1:] == [line for line in err.splitlines() if line.startswith("router: ")]


@pytest.mark.parametrize("command", [("venues",), ("venues", "--json"), ("cancel", "raising", "1")])
def test_an_error_shows_no_secret_of_the_environment(mixed, command):
    pem = "-----BEGIN-----\nMIIEvQIBADANBgkq\n-----END-----"
    keys = {"STONE_API_KEY": SECRET, "STONE_PEM_KEY": pem}
    out, err = router(*command, code=2 if command[0] == "cancel" else 0, **mixed, **keys)
    assert "[redacted]" in out + err
    assert SECRET not in out + err
    assert "MIIEvQIBADANBgkq" not in out + err
    assert not re.search(r"[^\n -~─]", out + err)


# -- credentials


def test_a_variable_that_its_adapter_misses_is_bad_usage(good):
    _, err = router("cancel", "pebble", "1", code=2, **good)
    assert err == "router: KeyError: 'PEBBLE_KEY' (from the environment: PEBBLE_KEY and PEBBLE_URL.)\n"


def test_an_adapter_that_quotes_the_key_it_refuses_does_not_show_it(good):
    key = {"PEBBLE_KEY": f"{SECRET} {SECRET}", "PEBBLE_URL": "ws://127.0.0.1:1"}
    _, err = router("cancel", "pebble", "1", code=2, **good, **key)
    assert err.startswith("router: pebble: a key has no blanks, this was '[redacted]' (from the environment")


def test_they_were_not_installed_where_the_tests_run():
    found = json.loads(router("venues", "--json")[0])
    assert not found.keys() & {"pebble", *ERRORS}
