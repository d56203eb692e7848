"""The demo: it passes, it shows everything, and it fails when something came out differently."""

import json
import os
import re
import subprocess
import sys

import pytest

from adapters import demo
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, CancelReport, CxlRejReason, OrdStatus, Outcome

CLEAN = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}


def router(*arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=CLEAN, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


@pytest.fixture
async def venues():
    async with QfexSimulator() as qfex, B2TraderSimulator() as b2trader, DmexSimulator() as dmex:
        yield demo.Venues(qfex, b2trader, dmex)


def test_it_passes_and_its_table_has_every_outcome():
    done = router("-m", "router.cli", "demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert {outcome.upper() for outcome in Outcome} <= set(done.stdout.split())
    assert {"qfex", "b2trader", "dmex"} <= set(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "All 22 steps came out as they should."
    assert not re.search(r"0x[0-9a-f]{64}", done.stdout), "ids are shortened"


def test_its_steps_as_json():
    done = router("-m", "router.cli", "demo", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert shown["ok"] is True
    assert {step["outcome"] for step in shown["steps"]} == set(Outcome)
    for step in shown["steps"]:
        assert step["ok"] is True
        assert step["milliseconds"] > 0
        assert step["text"]


WRONG = """
import sys
from adapters import demo
from router.cli import main
title, terms, _ = demo.ORDERS[0]
demo.ORDERS[0] = title, terms, {expected}
main(sys.argv[1:])
"""


def test_a_step_that_came_out_differently_is_marked_and_fails_the_demo():
    table = router("-c", WRONG.format(expected="demo.Expected(demo.REFUSED)"), "demo")
    complaint = "outcome should be refused, not confirmed"
    assert table.returncode == 1
    assert re.search(f"1 +limit .* <-- {complaint}", table.stdout)
    assert table.stdout.count("<--") == 1
    assert table.stdout.splitlines()[-1] == "Of 22 steps, 1 came out differently: 1."


def test_a_step_that_came_out_differently_fails_the_demo_as_json_too():
    done = router("-c", WRONG.format(expected="demo.Expected(demo.CONFIRMED, taken=2)"), "demo", "--json")
    assert done.returncode == 1
    shown = json.loads(done.stdout)
    assert shown["ok"] is False
    assert [step["complaint"] for step in shown["steps"] if not step["ok"]] == ["orders should be 2, not 1"]


async def test_every_kind_of_order_goes_over_the_wire_and_every_cancel_once(venues):
    heard = []
    steps = await demo.play(venues, heard.append)
    assert heard == steps
    assert [step.complaint for step in steps] == [""] * 22
    sent = venues.qfex.commands("add_order")
    types = {item.message["params"]["order_type"] for item in sent}
    assert types == {"LIMIT", "ALO", "STOP_LOSS", "TAKE_PROFIT", "MARKET"}
    assert len(venues.qfex.commands("add_twap")) == 1
    cancels = [item.message["params"] for item in venues.qfex.commands("cancel_order", "cancel_stop_order")]
    ids = [params.get("order_id") or params["stop_order_id"] for params in cancels]
    assert len(ids) == len(set(ids)) == 10
    paths = [item.message["path"] for item in venues.b2trader.commands("DELETE orders", "DELETE stop-orders")]
    assert len(paths) == len(set(paths)) == 6
    hashes = [item.message["data"]["order_hash"] for item in venues.dmex.commands("cancel_order")]
    assert len(hashes) == len(set(hashes)) == 3


async def test_afterwards_nothing_is_open_but_what_no_cancel_was_sent_for(venues):
    await demo.play(venues, lambda _: None)
    assert [*venues.qfex.book, *venues.qfex.stops, *venues.qfex.twaps] == []
    assert not [entry for entry in (*venues.b2trader.orders.values(), *venues.b2trader.stops.values()) if entry.live]
    assert len([order for order in venues.dmex.orders.values() if not order.closed]) == 1


async def test_the_venues_own_books_are_believed_before_a_report(venues):
    order = venues.dmex.rest()
    confirmed = CancelReport(request=Cancel("dmex", order), outcome=Outcome.CONFIRMED)
    assert venues.contradict(confirmed, sent=True) == "the order is still open at the venue"
    venues.dmex.close(order)
    assert venues.contradict(confirmed, sent=True) == ""
    unsent = CancelReport(request=Cancel("dmex", order), outcome=Outcome.NOT_SENT)
    assert venues.contradict(unsent, sent=True) == "the venue has read something"
    assert venues.contradict(unsent, sent=False) == ""


def test_a_complaint_names_everything_that_differs():
    report = CancelReport(request=Cancel("dmex", "1"), outcome=Outcome.REFUSED, reason=CxlRejReason.OTHER)
    expected = demo.Expected(Outcome.REFUSED, OrdStatus.FILLED, CxlRejReason.TOO_LATE_TO_CANCEL)
    assert (
        expected.complaint(report)
        == "status should be filled, not None; reason should be TOO_LATE_TO_CANCEL, not OTHER"
    )
    assert demo.Expected(Outcome.REFUSED).complaint(report) == ""
