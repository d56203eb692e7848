"""What ends a request that no single frame can end: receipts, reads and look-ups, and what none of them proves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from adapters.qfex.codec import SPEC, QfexCodec
from adapters.qfex.simulator import Order as TheirOrder
from adapters.qfex.simulator import QfexSimulator, Variants
from router import Cancel, CxlRejReason, ExecType, IdKind, Order, OrdStatus, Origin, Outcome, Router
from router.ledger import Ledger
from router.session import Session
from router.testing import Switches
from router.venue import Execution

FRAMES = json.loads((Path(__file__).parents[1] / "data" / "frames" / "qfex.json").read_text())
ID = "5b309929-206f-40ec-804d-cbe46e81afc1"
QUIET_PERIOD = 0.3
CANCELS = frozenset({"cancel_order", "cancel_stop_order"})
ADDS = frozenset({"add_order"})


@pytest.fixture
async def hasty(qfex_sim: QfexSimulator) -> AsyncIterator[Router]:
    """QFEX with a quiet period that a test can wait for."""
    spec = evolve(SPEC, url=qfex_sim.url, quiet_period=QUIET_PERIOD)
    codec = QfexCodec(spec=spec, public_key=qfex_sim.public_key, secret_key=qfex_sim.secret_key)
    async with Router({"qfex": Session(codec)}) as router:
        yield router


def limit(**changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


def order_response(order_id: str, status: str, **changes: Any) -> dict[str, Any]:
    body = FRAMES["order_response ACK"]["frame"]["order_response"]
    return {"order_response": body | {"order_id": order_id, "status": status} | changes}


def ack(request: Any) -> dict[str, Any]:
    return {"ack": {"incoming_message": request}}


# -- a receipt is not the deed


@pytest.mark.parametrize(
    ("status", "reason"),
    [("NO_SUCH_ORDER", CxlRejReason.UNKNOWN_ORDER), ("FILLED", CxlRejReason.TOO_LATE_TO_CANCEL)],
)
async def test_after_a_receipt_the_venues_own_answer_is_waited_for_though_a_list_shows_none(
    qfex: Router, qfex_sim: QfexSimulator, status: str, reason: CxlRejReason
) -> None:
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(qfex.cancel("qfex", ID, symbol="AAPL-USD"))
    [sent] = await qfex_sim.until(1, "cancel_order")
    await qfex_sim.send(ack(sent.message))
    await qfex_sim.until(3, "get_user_orders")
    assert not cancelling.done()
    await qfex_sim.send(order_response(ID, status, quantity_remaining=0.0))
    report = await cancelling
    assert (report.outcome, report.reason) == (Outcome.REFUSED, reason)


async def test_a_nameless_ack_and_a_list_without_the_stop_confirm_nothing(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(hasty.cancel(Cancel("qfex", ID, IdKind.STOP_ORDER), deadline=0.8))
    await qfex_sim.until(1, "cancel_stop_order")
    await qfex_sim.send({"ack_response": True})
    report = await cancelling
    settled = await report.settled()
    assert (report.outcome, settled.outcome) == (Outcome.UNKNOWN, Outcome.UNKNOWN)
    assert "received" in report.text
    assert qfex_sim.commands("get_user_orders")


async def test_a_received_cancel_of_an_order_that_is_still_unanswered_is_not_done_when_none_is_listed(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = Switches(deaf=True, only=CANCELS | ADDS)
    submitting = [asyncio.ensure_future(hasty.submit(limit(client_order_id="twin"))) for _ in range(2)]
    await qfex_sim.until(2, "add_order")
    by_client_id = Cancel("qfex", "twin", IdKind.CLIENT_ORDER, "AAPL-USD")
    cancelling = asyncio.ensure_future(hasty.cancel(by_client_id, deadline=0.8))
    [sent] = await qfex_sim.until(1, "cancel_order")
    await qfex_sim.send(ack(sent.message))
    report = await cancelling
    assert (report.outcome, report.orders) == (Outcome.UNKNOWN, ())
    assert qfex_sim.commands("get_user_orders")
    for order_id, placing in zip(("o1", "o2"), submitting, strict=True):
        await qfex_sim.send(order_response(order_id, "ACK", client_order_id="twin"))
        placed = await placing
        assert (placed.outcome, placed.status) == (Outcome.CONFIRMED, OrdStatus.NEW)


# -- what reads and look-ups prove


async def test_a_look_up_that_finds_no_order_refuses_no_cancel(hasty: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.variants = Variants(get_order_reply="order_response")
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    report = await hasty.cancel("qfex", ID, symbol="AAPL-USD", deadline=0.1)
    settled = await report.settled()
    assert (report.outcome, settled.outcome) == (Outcome.UNKNOWN, Outcome.UNKNOWN)
    assert "gone, cause unknown" in settled.text
    assert qfex_sim.commands("get_order")
    assert len(qfex_sim.commands("cancel_order")) == 1


async def test_the_answer_to_a_look_up_is_never_taken_for_the_list(hasty: Router, qfex_sim: QfexSimulator) -> None:
    for _ in range(2):
        theirs = TheirOrder(account=qfex_sim.account_id, symbol="AAPL-USD", quantity=Decimal(1), price=Decimal(100))
        theirs.client_order_id = "theirs"
        qfex_sim.exchange.add(theirs)
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    lost = await hasty.cancel("qfex", ID, symbol="AAPL-USD", deadline=0.1)
    qfex_sim.switches = Switches(delay=0.5, only=frozenset({"get_order"}))
    settling = asyncio.ensure_future(lost.settled(5))
    await qfex_sim.until(1, "get_order")
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(
        hasty.cancel(Cancel("qfex", "theirs", IdKind.CLIENT_ORDER, symbol="AAPL-USD"), deadline=1.5)
    )
    sent = await qfex_sim.until(2, "cancel_order")
    await qfex_sim.send(ack(sent[1].message))
    report = await cancelling
    assert (report.outcome, len(qfex_sim.book)) == (Outcome.UNKNOWN, 2)
    assert "still open" in report.text
    settling.cancel()


async def test_a_set_of_which_one_was_taken_is_not_done_until_a_read_shows_none_left(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        venue.lists = False
        cancelling = asyncio.ensure_future(router.cancel(Cancel("toy", "C", "client_order"), deadline=0.2))
        await venue.until("cancel-set")
        await venue.say("cancelled o1 C")
        report = await cancelling
        settled = await report.settled(0.3)
    assert (report.outcome, settled.outcome) == (Outcome.UNKNOWN, Outcome.UNKNOWN)
    assert [taken.order_id for taken in settled.orders] == ["o1"]
    assert venue.count("list") >= 1


async def test_an_older_order_of_the_same_client_id_does_not_prove_that_a_submit_was_placed(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        submitting = asyncio.ensure_future(router.submit(order("c")))
        await venue.until("add")
        await venue.say("added c o1")
        older = await submitting
        venue.rows = "o1:c"
        report = await router.submit(order("c"), deadline=0.1)
        settled = await report.settled()
    assert older.order_id == "o1"
    assert (report.outcome, settled.outcome, settled.order_id) == (Outcome.UNKNOWN, Outcome.UNKNOWN, None)
    assert venue.count("list") >= 2


async def test_settling_at_the_deadline_of_a_received_cancel_reads_anew(venue, toy_session):
    venue.rows = "o1:C"
    async with Router({"toy": toy_session()}) as router:
        cancelling = asyncio.ensure_future(router.cancel(Cancel("toy", "C", "client_order"), deadline=0.5))
        await venue.until("cancel-set")
        await venue.say("received C")
        report = await cancelling
        venue.rows = ""
        before = venue.count("list")
        settled = await report.settled()
        assert venue.count("list") > before
    assert (report.outcome, settled.outcome) == (Outcome.UNKNOWN, Outcome.UNKNOWN), "it has taken nothing that we saw"


def test_a_fill_that_overtakes_the_answer_to_a_modify_takes_nothing_from_what_was_filled():
    ledger = Ledger("toy")
    three, one = Decimal(3), Decimal(1)
    ledger.apply(
        Execution(
            exec_type=ExecType.ORDER_STATUS,
            order_id="a",
            status=OrdStatus.NEW,
            symbol="T",
            quantity=three,
            leaves_quantity=Decimal(2),
        ),
        0.0,
    )
    entry = ledger.find("a")
    assert entry is not None
    assert (entry.state.status, entry.state.cum_quantity) == (OrdStatus.PARTIALLY_FILLED, one)
    fill = Execution(exec_type=ExecType.TRADE, order_id="b", symbol="T", last_quantity=one, trade_id="t")
    ledger.apply(fill, 0.0)
    ledger.bind(entry, "b", entry.state.kind)
    ledger.apply(Execution(exec_type=ExecType.REPLACED, order_id="b", status=OrdStatus.NEW, quantity=Decimal(4)), 0.0)
    assert entry.state.status is OrdStatus.PARTIALLY_FILLED
    assert entry.state.cum_quantity is not None
    assert entry.state.cum_quantity >= one
    assert ledger.find("a") is entry


# -- submits in doubt


async def test_a_submit_that_was_never_placed_is_refused_by_the_router_after_the_quiet_period(
    hasty: Router, qfex_sim: QfexSimulator, clock: Callable[[], float]
) -> None:
    qfex_sim.switches = Switches(deaf=True, only=ADDS)
    begun = clock()
    report = await hasty.submit(limit(), deadline=0.05)
    early = await report.settled(0.05)
    settled = await report.settled()
    assert clock() - begun >= QUIET_PERIOD
    assert (report.outcome, early.outcome) == (Outcome.UNKNOWN, Outcome.UNKNOWN)
    assert (settled.outcome, settled.origin, settled.order_id) == (Outcome.REFUSED, Origin.ROUTER, None)
    assert "not among the open orders" in settled.text
    assert "not known to the venue by its client id" in settled.text
    assert (len(qfex_sim.commands("add_order")), qfex_sim.book) == (1, {})


async def test_a_submit_that_was_filled_while_its_answers_were_muted_is_found_by_the_look_up(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = Switches(mute=True, only=ADDS)
    report = await hasty.submit(Order("qfex", "AAPL-USD", "buy", "market", "1"), deadline=0.05)
    settled = await report.settled()
    assert (report.outcome, settled.outcome) == (Outcome.UNKNOWN, Outcome.CONFIRMED)
    assert (settled.status, settled.cum_quantity) == (OrdStatus.FILLED, Decimal(1))
    assert qfex_sim.positions == {"AAPL-USD": Decimal(1)}
    assert (len(qfex_sim.commands("add_order")), qfex_sim.book) == (1, {})


async def test_while_another_order_of_the_same_client_id_is_open_nothing_says_that_ours_was_not_placed(
    hasty: Router, qfex_sim: QfexSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where a venue's look-up knows no client ids, and so says that there is none."""

    async def none_known(*_: Any) -> tuple[()]:
        return ()

    monkeypatch.setattr(Session, "lookup", none_known)
    assert (await hasty.submit(limit(client_order_id="same", quantity="7"))).ok
    qfex_sim.switches = Switches(deaf=True, only=ADDS)
    report = await hasty.submit(limit(client_order_id="same"), deadline=0.05)
    settled = await report.settled()
    assert settled.outcome is Outcome.UNKNOWN
    assert "nothing tells whether it is this one" in settled.text
    assert (len(qfex_sim.commands("add_order")), len(qfex_sim.book)) == (2, 1)
