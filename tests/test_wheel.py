"""The wheel, installed in an environment of its own, where there is no source tree: the commands, the types, the cases."""

import configparser
import json
import re
import shutil
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest
from attrs import frozen

from .building import USED, backend, build, install, pebble, pip, run, use_pebble

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LITTER = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")


@frozen
class Installed:
    """The wheel, and the environment in which it is installed. elsewhere: a folder without any code."""

    wheel: Path
    venv: Path
    elsewhere: Path

    def run(self, command, *arguments, code=0):
        return run([self.venv / "bin" / command, *arguments], cwd=self.elsewhere, code=code)


@pytest.fixture(scope="module")
def installed(tmp_path_factory, request):
    """Set up once: built from a copy of the tree, so that nothing is left in it."""
    began = time.perf_counter()
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "tree", ignore=LITTER)
    (wheel,) = build(folder / "tree", into=folder)
    shutil.rmtree(folder / "tree")
    venv = folder / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", venv])
    pip("install", "--quiet", "--no-compile", wheel, "pytest", python=venv)
    (folder / "elsewhere").mkdir()
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nthe wheel was built and installed in {time.perf_counter() - began:.1f} s")  # noqa: T201 - to be seen
    return Installed(wheel, venv, folder / "elsewhere")


# -- what is in it


def test_the_wheel_holds_the_two_packages_and_nothing_else(installed):
    names = zipfile.ZipFile(installed.wheel).namelist()
    info = f"venue_router-{PROJECT['version']}.dist-info"
    paths = [path.relative_to(ROOT) for each in ("router", "adapters") for path in (ROOT / each).rglob("*.*")]
    ours = {path.as_posix() for path in paths if "__pycache__" not in path.parts and (ROOT / path).is_file()}
    assert {name for name in names if not name.startswith(f"{info}/")} == ours


def test_the_wheel_is_typed_and_carries_the_licence(installed):
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert {"router/py.typed", "adapters/py.typed"} <= set(names)
    assert [name for name in names if name.endswith("dist-info/licenses/LICENSE")]


def test_the_wheel_names_every_entry_point_and_each_can_be_loaded(installed):
    (path,) = (name for name in zipfile.ZipFile(installed.wheel).namelist() if name.endswith("entry_points.txt"))
    found = configparser.ConfigParser(delimiters="=")
    found.optionxform = str
    found.read_string(zipfile.ZipFile(installed.wheel).read(path).decode())
    declared = {**PROJECT["entry-points"], "console_scripts": PROJECT["scripts"]}
    assert {name: dict(section) for name, section in found.items() if section} == declared
    code = "import sys; from importlib.metadata import distribution as d; [e.load() for e in d('venue-router').entry_points]"
    assert installed.run("python", "-c", code) == ("", "")


# -- what it does


@pytest.mark.parametrize("module", ["router", "router.testing", "adapters.qfex.simulator"])
def test_what_is_imported_is_the_wheels(installed, module):
    out, _ = installed.run("python", "-W", "error", "-c", f"import {module} as found; print(found.__file__)")
    assert Path(out.strip()).is_relative_to(installed.venv)


def test_venues_lists_ours(installed):
    found = json.loads(installed.run("router", "venues", "--json")[0])
    ours = PROJECT["entry-points"]["router.adapters"].keys()
    assert {name for name in ours if found[name]["package"] == f"venue-router {PROJECT['version']}"} == ours
    assert not [name for name in ours if {"error", "simulator_error"} & found[name].keys()]


def test_the_demo_comes_out_as_it_should(installed):
    assert "steps came out as they should." in installed.run("router", "demo")[0]


def test_the_cases_can_be_run_on_a_venue(installed):
    """The conformance kit: `pytest --venue NAME`, with no test file anywhere. A few cases; elsewhere all of them are run."""
    out, _ = installed.run(
        "pytest", "--venue", "qfex", "-q", "-p", "no:cacheprovider", "-k", "C01 or C02 or C04 or C09"
    )
    assert re.search(r"^4 passed, \d+ deselected", out, re.MULTILINE)
    assert "qfex: 4 ok" in out


def test_a_plug_in_is_installed_beside_it_and_used(installed, tmp_path):
    install(*build(pebble(tmp_path), into=tmp_path), python=installed.venv)
    assert use_pebble(installed.venv / "bin" / "python", installed.elsewhere) == USED
    assert json.loads(installed.run("router", "venues", "--json")[0])["pebble"]["package"] == "pebble-venue 1.0"
    pip("uninstall", "--quiet", "--yes", "pebble-venue", python=installed.venv)
    assert "pebble" not in json.loads(installed.run("router", "venues", "--json")[0])


def test_what_builds_is_not_part_of_the_environment(installed):
    """Nothing that only the build brought stands in for a dependency that we forgot to name."""
    assert backend() not in installed.run("python", "-c", "import sys; print(sys.path)")[0]
    installed.run("python", "-c", "import hatchling", code=1)
