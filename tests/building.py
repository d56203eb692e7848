"""Packages that tests build and install: written to a folder, built by hatchling, installed by pip.

Nothing is installed into the environment that runs the tests.
"""

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

OURS = "QFEX_|B2TRADER_|DMEX_|PEBBLE_|NO_COLOR|FORCE_|PYTHON"
CLEAN = {name: value for name, value in os.environ.items() if not re.match(OURS, name)}
TIMEOUT = 120  # seconds, for what takes a few


@cache
def backend():
    """A folder with hatchling in it, fetched once, so that packages are built without fetching it for each."""
    folder = tempfile.mkdtemp(prefix="hatchling-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    run([sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", folder, "hatchling"])
    return folder


def pip(*arguments, python=sys.executable, **environment):
    """`pip ARGUMENTS` of the Python that runs the tests, on the environment of another one."""
    run([sys.executable, "-m", "pip", "--python", python, *arguments], **environment)


def build(*projects, into):
    """Their wheels. pip sees the backend here alone: in an installation it would count as what is there already."""
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    pip("wheel", *options, "--wheel-dir", into, *projects, PYTHONPATH=backend())
    return sorted(into.glob("*.whl"))


def install(*wheels, python=sys.executable, target=None):
    """Install these wheels and nothing else. target: into this folder, which is made."""
    options = ["--quiet", "--no-deps", "--no-index"]
    pip("install", *options, *(["--target", target] if target else []), *wheels, python=python)


def run(command, *, cwd=None, code=0, **environment):
    """What a command prints to stdout and to stderr; its exit code must be this one."""
    environment = CLEAN | environment
    done = subprocess.run(  # noqa: S603 - our own commands
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


def write_package(folder, name, groups, modules):
    """A project of these modules (source by name), with these entry points (value by name, by group). Returns its folder."""
    project = Path(folder) / name
    project.mkdir()
    points = "".join(
        f"[project.entry-points.{json.dumps(group)}]\n"
        + "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in values.items())
        for group, values in groups.items()
    )
    (project / "pyproject.toml").write_text(
        PROJECT.format(name=name, files=[f"{each}.py" for each in modules], points=points)
    )
    for module, source in modules.items():
        (project / f"{module}.py").write_text(source)
    return project


PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"

[tool.hatch.build.targets.wheel]
include = {files}
{points}"""

PEBBLE = Path(__file__).parent / "pebble" / "pebble_venue.py"


def pebble(folder):
    """A project with a whole venue in it: adapter and simulator."""
    groups = {
        "router.adapters": {"pebble": "pebble_venue:Pebble"},
        "router.simulators": {"pebble": "pebble_venue:PebbleSimulator"},
    }
    return write_package(folder, "pebble-venue", groups, {"pebble_venue": PEBBLE.read_text()})


USED = {
    "adapter": True,
    "outcomes": ["confirmed", "refused"],
    "command": [0, "confirmed"],
    "on the wire": ["one", "one-more", "two"],
    "left": [],
}
"""What tests/pebble/use_pebble.py prints where the package is installed."""


def use_pebble(python, cwd, **environment):
    out, _ = run([python, PEBBLE.parent / "use_pebble.py"], cwd=cwd, **environment)
    return json.loads(out)
