"""The benchmarks run, and their tables, JSON and page come out. What they measure is nobody's test."""

import asyncio
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs
import msgspec
import pytest

from router import cli
from router.cli import bench

from .commanding import router

ROOT = Path(__file__).parent.parent
SHORT = ("websocket", "rest", "signing", "imports")  # scale takes its minute
GOALS = {
    "websocket": {"<= 1.2", "<= 1", "<= 0.45", ">= 1", ">= 1.5", ">= 6"},
    "rest": {"<= 1.1", ">= 0.9", "<= 0.6", ">= 2.3"},
    "signing": {"<= 1.2"},
    "imports": {"<= 0.4", "<= 0"},
}
PEERS = {"websocket": "orjson", "rest": "ccxt"}  # without which some of those can't be had


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


@pytest.fixture(scope="module")
def all_of_them(tmp_path_factory):
    """`python -m benchmarks`, once: what it printed, its JSON, and what it has left behind."""
    folder, temporary = tmp_path_factory.mktemp("all"), tmp_path_factory.mktemp("temporary")
    command = ["-m", "benchmarks", "--quick", "--rounds", "1", *(f"--only={name}" for name in SHORT)]
    done = subprocess.run(  # noqa: S603
        [sys.executable, *command, "--json", folder / "all.json"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout, folder / "all.json", [path.name for path in temporary.iterdir()]


def test_all_goals_are_in_one_table(all_of_them):
    shown, path, _ = all_of_them
    report = json.loads(path.read_text())
    assert (list(report["reports"]), report["failed"]) == (list(SHORT), {})
    for name, goals in GOALS.items():
        rows = [row for row in report["reports"][name]["rows"] if row["goal"]]
        assert {row["goal"] for row in rows} <= goals
        if importlib.util.find_spec(PEERS.get(name, "attrs")):
            assert {row["goal"] for row in rows} == goals
        for row in rows:
            assert row["verdict"] in {"met", "missed", "inconclusive"}
            assert f"{row['what']}: {row['arm']}" in shown
            assert row["goal"] in shown


def test_every_ratio_has_its_twin_and_every_report_its_machine(all_of_them):
    report = json.loads(all_of_them[1].read_text())
    for name, each in report["reports"].items():
        assert {"at", "cpu", "cores", "system", "python", "load", "versions"} <= set(each["machine"])
        assert each["facts"]
        compared = [row for row in each["rows"] if row["goal"] and row["base"]]
        assert compared
        assert all(row["again"] and row["ratio"] for row in compared), name


def test_what_must_not_be_imported_is_counted_and_is_not_there(all_of_them):
    rows = json.loads(all_of_them[1].read_text())["reports"]["imports"]["rows"]
    counted = {row["arm"]: row["figure"] for row in rows if "eth_account and web3" in row["what"]}
    assert counted == {"import router": 0, "import adapters.dmex": 0, "Dmex(private_key=...)": 0}


def test_they_leave_nothing_behind(all_of_them):
    assert all_of_them[2] == []


@pytest.mark.parametrize("name", ["journal", "websocket", "rest", "signing", "scale", "imports", "cluster"])
def test_each_can_be_run_alone(name):
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", f"benchmarks.{name}", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(option in done.stdout for option in ("--quick", "--rounds", "--json"))


# -- the page, the plot and the JSON in docs/


@pytest.mark.parametrize("name", ["benchmarks", "gateways"])
def test_the_page_and_the_plot_are_what_the_published_figures_say(ours, name):
    pages, plot, runs = ours("pages"), ours("plot"), ours("run")
    run = runs.Run.read(ROOT / "docs" / f"{name}.json")
    page = (ROOT / "docs" / f"{name}.md").read_text()
    advice = f"docs/{name}.* are not of one run: python -m benchmarks --from docs/{name}.json --docs"
    assert page == pages.renewed(page, run, name), advice
    assert (ROOT / "docs" / f"{name}.svg").read_text() == plot.svg(run), advice
    assert set(run.reports) == set(pages.PAGES[name])
    assert "belong to that run" in page


def test_the_page_of_a_run_has_every_goal_and_keeps_what_was_written_by_hand(ours, all_of_them, tmp_path):
    pages, tables, runs = ours("pages"), ours("tables"), ours("run")
    run = runs.Run.read(all_of_them[1])
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{pages.BEGIN}\nold\n{pages.END}\nafter\n")
    assert [path.name for path in pages.renew(run, tmp_path)] == ["benchmarks.md", "benchmarks.svg", "benchmarks.json"]
    text = page.read_text()
    assert text.startswith(f"before\n{pages.BEGIN}\n")
    assert text.endswith(f"{pages.END}\nafter\n")
    assert "\nold\n" not in text
    assert pages.renewed(text, run) == text
    goals = text.partition("## Goals")[2].partition("\n## ")[0].splitlines()
    for row in run.goals():
        assert f"| {tables.compared(row)} | {tables.measured(row)} | {row.goal} |" in "\n".join(goals)
    assert runs.Run.read(tmp_path / "benchmarks.json") == run


def test_a_page_without_its_markers_is_not_overwritten(ours, tmp_path):
    (tmp_path / "benchmarks.md").write_text("by hand")
    with pytest.raises(ValueError, match="has lost its markers"):
        ours("pages").renew(
            ours("run").Run(quick=True, reports={"imports": ours("ground").Report(name="it", rows=[])}), tmp_path
        )
    assert (tmp_path / "benchmarks.md").read_text() == "by hand"


def test_the_plot_has_a_bar_for_each_ratio_with_a_goal(ours, all_of_them):
    run = ours("run").Run.read(all_of_them[1])
    drawn = ET.fromstring(ours("plot").svg(run)).findall("{*}g")  # noqa: S314 - ours
    rows = [row for row in run.goals() if row.ratio]
    assert [bar.find("{*}rect").get("class") for bar in drawn] == [row.verdict for row in rows]
    assert all(f"{row.ratio:.2f}" in "".join(bar.itertext()) for bar, row in zip(drawn, rows, strict=True))


def test_a_ratio_below_one_is_drawn_to_the_left_and_the_goal_where_it_is(ours):
    ground, plot, runs = ours("ground"), ours("plot"), ours("run")
    twice = {"new": {"time": [0.5]}, "old": {"time": [1.0]}, "old again": {"time": [1.0]}}
    row = ground.row(twice, "time", "new", "old", most=0.1)
    report = ground.Report(name="a < b & c", rows=[attrs.evolve(row, what="a < b & c")])
    [bar] = ET.fromstring(plot.svg(runs.Run(quick=True, reports={"it": report}))).findall("{*}g")  # noqa: S314
    left, width = (float(bar.find("{*}rect").get(name)) for name in ("x", "width"))
    [goal] = [float(line.get("x1")) for line in bar.findall("{*}line") if line.get("class") == "goal"]
    assert goal == plot.LEFT < left < left + width == (plot.LEFT + plot.RIGHT) / 2


# -- what goes wrong


def test_one_that_fails_stops_none_of_the_others_and_is_named(ours, capsys):
    told = []
    run = ours("run").perform(["gone", "signing"], quick=True, rounds=1, told=told.append)
    assert (list(run.reports), told) == (["signing"], ["gone", "signing"])
    assert run.failed == {"gone": f"{sys.executable}: No module named benchmarks.gone"}
    ours("tables").show(run)
    shown = capsys.readouterr().out
    assert "gone came to nothing: " in shown
    assert "gone came to nothing: " in ours("pages").generated(run)


def test_a_peer_that_is_not_installed_is_named(ours, capsys):
    report = ours("ground").Report(name="it", rows=[], facts={"left out, because not installed": "picows"})
    run = ours("run").Run(quick=True, reports={"it": report})
    ours("tables").show(run)
    assert "left out of it, because not installed: picows" in capsys.readouterr().out
    assert "- left out of it, because not installed: picows" in ours("pages").generated(run)


async def test_the_rest_venue_wants_what_the_venues_want(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT)
    venues, raw = (importlib.import_module(f"benchmarks.{name}") for name in ("restvenue", "rawrest"))
    stop, spot = venues.STOPS + b"7", venues.SPOT + b"symbol=BTCUSDT&orderId=7&timestamp=1"
    asked = {
        (b"GET", stop, b"Authorization: Bearer x\r\naccountId: 1\r\n"): 404,
        (b"DELETE", stop, b"accountId: 1\r\n"): 401,
        (b"DELETE", stop, b"Authorization: Bearer x\r\n"): 400,
        (b"DELETE", stop, b"Authorization: Bearer x\r\naccountId: 1\r\n"): 200,
        (b"DELETE", spot, b"X-MBX-APIKEY: x\r\n"): 401,
        (b"DELETE", spot + b"&signature=1", b""): 401,
        (b"DELETE", spot + b"&signature=1", b"X-MBX-APIKEY: x\r\n"): 200,
    }
    async with asyncio.timeout(20), venues.RestVenue() as venue:
        client = await raw.RawConnection.open(venue.port)
        answers = [
            (await client.ask(b"%b %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % request), status)
            for request, status in asked.items()
        ]
        client.close()
    assert [status for (status, _), _ in answers] == [status for _, status in answers]
    named = [msgspec.json.decode(body) for (status, body), _ in answers if status == 200]
    assert (named[0]["order"]["orderId"], named[1]["orderId"]) == ("7", 7)


# -- router bench


async def test_router_bench_runs_from_anywhere(tmp_path):
    code, out, err = await router("bench", "--quick", "--only", "signing", "--json", "it.json", cwd=tmp_path)
    assert (code, err) == (cli.DONE, "")
    assert "EIP-191 signature of a hash: Signer.sign() / coincurve, key kept" in out
    assert list(json.loads((tmp_path / "it.json").read_text())["reports"]) == ["signing"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "everything"], "'everything' is not one of 'websocket', 'rest'"),
        (["--json", "nowhere/it.json"], "there is no folder nowhere"),
        (["--rounds", "3"], "No such option"),
    ],
)
async def test_router_bench_says_in_a_line_what_it_cannot_do(tmp_path, arguments, said):
    code, _, err = await router("bench", "--quick", *arguments, cwd=tmp_path)
    assert (code, err.count("\n")) == (cli.USAGE, 1)
    assert said in err


def test_router_bench_without_the_source_tree_says_where_to_take_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bench, "TREE", tmp_path)
    with pytest.raises(SystemExit) as exited:
        cli.main(["bench", "--only", "nothing"])
    out, err = capsys.readouterr()
    assert (exited.value.code, out, err.count("\n")) == (cli.USAGE, "", 1)
    assert "the benchmarks are no part of an installation" in err
    assert "pip install -e '.[bench]'" in err


# -- the ground


@pytest.fixture
def ours(monkeypatch):
    """A module of benchmarks/, by its name."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def ground(ours):
    return ours("ground")


def test_a_goal_without_a_base_is_of_the_figure_itself(ground):
    alone = {"it": {"entries": [0.0, 0.0], "bytes": [900.0, 1100.0]}}
    assert ground.row(alone, "entries", "it", most=0).verdict == "met"
    assert ground.row(alone, "bytes", "it", most=999).verdict == "missed"
    assert ground.row(alone, "bytes", "it").verdict == ""


@pytest.mark.parametrize(("number", "shown"), [(None, ""), (12.345, "12.35"), (0.5, "0.50"), (0.0123, "0.012")])
def test_a_ratio_is_shown_with_two_digits_that_say_something(ground, number, shown):
    assert ground.in_short(number) == shown


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
