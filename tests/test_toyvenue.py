"""The toy venue: a whole venue outside this library, as small as promised, and found, loaded and traded on like any other."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from router import Order, Outcome, Router, cli, registry
from router.report import CxlRejReason
from router.testing.conformance import Subject, Verdict, cases, run

ROOT = Path(__file__).parent.parent
TOY = ROOT / "examples" / "toyvenue"


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """The package, for the length of a test: its files where they are, its entry points as its pyproject says."""
    project = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    info = tmp_path / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toyvenue\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text("".join(groups))
    monkeypatch.syspath_prepend(str(TOY))
    monkeypatch.syspath_prepend(str(tmp_path))
    return [str(tmp_path), str(TOY)]


def check(*command, **environment):
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_four_files_of_200_lines_at_most():
    made = ("__pycache__", "build", "toyvenue.egg-info")  # by Python and by pip
    files = [path for path in TOY.rglob("*") if path.is_file() and not set(made) & set(path.parts)]
    assert len(files) == 4
    assert sum(len(path.read_text().splitlines()) for path in files) <= 200


def test_its_codec_and_its_simulator_do_not_know_each_other():
    assert "simulator" not in (TOY / "toyvenue" / "codec.py").read_text()
    imported = [line for line in (TOY / "toyvenue" / "simulator.py").read_text().splitlines() if "import" in line]
    assert not [line for line in imported if "toyvenue" in line or "router.venue" in line or "session" in line]


def test_it_is_clean_for_mypy_and_for_ruff(tmp_path):
    said = check("mypy", "--strict", "--cache-dir", str(tmp_path), "-p", "toyvenue", MYPYPATH=str(TOY))
    assert said == "Success: no issues found in 3 source files\n"
    ours = 'lint.per-file-ignores={"**/codec.py"=["ARG002"]}'  # as for the codecs of the built-in venues
    check("ruff", "check", "--no-cache", "--config", ours, str(TOY))
    check("ruff", "format", "--no-cache", "--check", str(TOY))


async def test_orders_are_placed_and_cancelled_by_its_name():
    venue = registry.simulator("toyvenue")()
    async with venue, Router({"toy": registry.from_environ("toyvenue", venue.environment)}) as router:
        order = Order("toy", "TOY-USD", "buy", "limit", quantity=2, price=100)
        placed = await router.submit(order)
        assert venue.bench.open_ids() == {placed.order_id}
        await venue.bench.fill(placed.order_id, order.quantity / 2)
        report = await router.cancel(order)
        assert (report.outcome, report.orders[0].cum_quantity) == (Outcome.CONFIRMED, 1)
        again = await router.cancel(order)
        assert (again.outcome, again.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)
        unknown = await router.submit(Order("toy", "NOTHING", "buy", "limit", quantity=2, price=100))
        assert (unknown.outcome, unknown.text) == (Outcome.REFUSED, "unknown symbol")
    assert venue.bench.open_ids() == set()


async def test_what_it_has_no_words_for_is_not_sent():
    terms = {"venue": "toy", "symbol": "TOY-USD", "side": "buy", "type": "limit", "quantity": 2, "price": 100}
    special = [{"post_only": True}, {"reduce_only": True}, {"time_in_force": "ioc"}, {"options": {"leverage": 3}}]
    async with (
        registry.simulator("toyvenue")() as venue,
        Router({"toy": registry.from_environ("toyvenue", venue.environment)}) as router,
    ):
        for extra in special:
            report = await router.submit(Order(**(terms | extra)))
            assert (report.outcome, report.text[:29]) == (Outcome.NOT_SENT, "toy has plain limit orders on")
        market = await router.submit(Order(**(terms | {"type": "market", "price": None})))
        assert market.outcome is Outcome.NOT_SENT
        assert venue.commands("place") == []


def test_router_venues_lists_it(capsys):
    with pytest.raises(SystemExit):
        cli.main(["venues"])
    assert "toyvenue 1.0" in " ".join(capsys.readouterr().out.split())


FAST = ("C01", "C02", "C06", "C09", "C11", "C12", "C18", "C21", "C22", "C23", "C24")


@pytest.mark.parametrize("case", cases(*FAST), ids=str)
def test_it_conforms(case):
    result = run(case, Subject.named("toyvenue"))
    assert (result.verdict, result.text) == (Verdict.PASSED, "")
