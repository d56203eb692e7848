"""The benchmarks run, and their table and JSON come out. What they measure is nobody's test."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    command = ["-m", "benchmarks.journal", "--quick", "--rounds", "1", "--folder", folder, "--json", folder / "it.json"]
    done = subprocess.run(  # noqa: S603
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, json.loads((folder / "it.json").read_text()), sorted(path.name for path in folder.iterdir())


def test_it_prints_a_table_with_every_goal(made):
    shown, _, _ = made
    for words in (
        "A/A",
        "cancel, first byte at the venue",
        "submit, end to end",
        "<= 1.1",
        "<= 2.5",
        "<= 3.5",
        ">= 10",
    ):
        assert words in shown
    assert {"met", "missed", "inconclusive"} & set(shown.split())


def test_its_json_says_what_it_was_measured_on(made):
    _, report, _ = made
    assert {"at", "cpu", "cores", "system", "python", "load", "versions"} <= set(report["machine"])
    assert {"journals in", "fdatasync of a page"} <= set(report["facts"])
    for row in report["rows"]:
        assert row["figure"] > 0
        assert row["rounds"] == 1
        assert (row["ratio"] is None) == (not row["base"])
        assert not row["goal"] or row["verdict"]


def test_it_leaves_nothing_behind(made):
    _, _, left = made
    assert left == ["it.json"]


@pytest.fixture
def ground(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.ground")


def test_a_ratio_beside_a_crooked_a_to_a_proves_nothing(ground):
    straight = {"new": {"time": [1.0, 1.0]}, "old": {"time": [1.0, 1.0]}, "old again": {"time": [1.0, 1.05]}}
    assert ground.row(straight, "time", "new", "old", most=1.1).verdict == "met"
    assert ground.row(straight, "time", "new", "old", most=0.9).verdict == "missed"
    crooked = straight | {"old again": {"time": [1.2, 1.2]}}
    assert ground.row(crooked, "time", "new", "old", most=1.1).verdict == "inconclusive"
    alone = {name: straight[name] for name in ("new", "old")}
    assert ground.row(alone, "time", "new", "old", most=1.1).verdict == "inconclusive"


async def test_the_sides_take_turns_and_the_first_round_does_not_count(ground):
    told = []

    def arm(name):
        async def run():
            told.append(name)
            return {"turn": len(told)}

        return run

    samples = await ground.interleave({name: arm(name) for name in "abc"}, rounds=3)
    assert "".join(told) == "abc" + "bca" + "cab" + "abc"
    assert samples["a"]["turn"] == [6, 8, 10]
