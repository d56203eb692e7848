"""QFEX through the Router over real sockets: our reports against the simulated venue's book and wire."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from adapters.qfex import Qfex
from adapters.qfex.simulator import Order as TheirOrder
from adapters.qfex.simulator import QfexSimulator, Twap, Variants
from router import (
    Cancel,
    CancelReport,
    CxlRejReason,
    Event,
    EventStream,
    ExecType,
    IdKind,
    LoginRefused,
    Order,
    OrdRejReason,
    OrdStatus,
    Origin,
    Outcome,
    Router,
    SubmitReport,
    VenueError,
)
from router.testing import Switches

FRAMES = json.loads((Path(__file__).parents[1] / "data" / "frames" / "qfex.json").read_text())
ID = "5b309929-206f-40ec-804d-cbe46e81afc1"
STOP_ID = "510333ac-3b1b-4f0e-9d3c-6d2a5f1c7e10"
TWAP = {"num_orders": 5, "order_interval_secs": 30}
ONE = Decimal(1)
CANCELS = frozenset({"cancel_order", "cancel_stop_order"})


def limit(**changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


def stop(price: str = "120", **changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "sell", "stop", **{"quantity": "2", "stop_price": price} | changes)


def sample(name: str, **changes: Any) -> dict[str, Any]:
    [(key, body)] = FRAMES[name]["frame"].items()
    return {key: body | changes}


async def place(router: Router, order: Order | None = None) -> SubmitReport:
    report = await router.submit(order or limit())
    assert report.ok, report
    return report


def resting(sim: QfexSimulator, count: int, **fields: Any) -> list[str]:
    """Orders of the account that this Router has not placed."""
    usual: dict[str, Any] = {"symbol": "AAPL-USD", "quantity": Decimal(1), "price": Decimal(100)}
    orders = [TheirOrder(account=sim.account_id, **usual | fields) for _ in range(count)]
    for order in orders:
        sim.exchange.add(order)
    return [order.order_id for order in orders]


async def fence(router: Router) -> None:
    """Whatever the venue sent before this has been read when it returns."""
    await router.open_orders("qfex")


def wire(sim: QfexSimulator, *commands: str) -> list[dict[str, Any]]:
    return [item.message["params"] for item in sim.commands(*commands)]


async def event_of(stream: EventStream, order_id: str | None, exec_type: ExecType) -> Event:
    async with asyncio.timeout(5):
        while True:
            event = await anext(stream)
            if (event.order_id, event.exec_type) == (order_id, exec_type):
                return event


def err(request: dict[str, Any] | None, code: str) -> dict[str, Any]:
    return {"err": {"error_code": code, "message": "words", "incoming_message": request}}


# -- every kind of order


@pytest.mark.parametrize(
    ("order", "kind", "word"),
    [
        (limit(), IdKind.ORDER, "LIMIT"),
        (limit(post_only=True), IdKind.ORDER, "ALO"),
        (limit(options={"take_profit": "180", "stop_loss": "140"}), IdKind.ORDER, "LIMIT"),
        (stop(), IdKind.STOP_ORDER, "STOP_LOSS"),
        (Order("qfex", "AAPL-USD", "sell", "take_profit", 2, stop_price=260), IdKind.STOP_ORDER, "TAKE_PROFIT"),
    ],
    ids=["limit", "post_only", "extras", "stop", "take_profit"],
)
async def test_every_kind_that_rests_is_placed_and_cancelled(
    qfex: Router, qfex_sim: QfexSimulator, order: Order, kind: IdKind, word: str
) -> None:
    placed = await place(qfex, order)
    assert (placed.kind, placed.status) == (kind, OrdStatus.NEW)
    theirs = (qfex_sim.book | qfex_sim.stops)[str(placed.order_id)]
    assert (theirs.type, theirs.quantity, theirs.client_order_id) == (word, order.quantity, order.client_order_id)
    assert (theirs.take_profit, theirs.stop_loss) == ((180 * ONE, 140 * ONE) if order.options else (0 * ONE, 0 * ONE))
    report = await qfex.cancel(placed)
    assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert [row.order_id for row in report.orders] == [placed.order_id]
    assert (qfex_sim.book, qfex_sim.stops) == ({}, {})
    assert len(qfex_sim.commands(*CANCELS)) == 1


async def test_a_market_order_is_filled_and_was_too_late_to_cancel(qfex: Router, qfex_sim: QfexSimulator) -> None:
    events = qfex.events()
    placed = await place(qfex, Order("qfex", "AAPL-USD", "buy", "market", "0.5"))
    trade = await event_of(events, placed.order_id, ExecType.TRADE)
    assert (trade.last_quantity, trade.last_price, trade.cum_quantity) == (Decimal("0.5"), 200 * ONE, Decimal("0.5"))
    assert wire(qfex_sim, "add_order")[0]["price"] == 0
    report = await qfex.cancel(placed)
    assert (report.outcome, report.status) == (Outcome.REFUSED, OrdStatus.FILLED)
    assert qfex_sim.positions == {"AAPL-USD": Decimal("0.5")}


async def test_a_twap_is_placed_and_cancelled(qfex: Router, qfex_sim: QfexSimulator) -> None:
    placed = await place(qfex, Order("qfex", "AAPL-USD", "buy", "twap", "10", options=TWAP))
    assert (placed.kind, list(qfex_sim.twaps)) == (IdKind.TWAP, [placed.order_id])
    report = await qfex.cancel(placed)
    assert (report.outcome, [row.order_id for row in report.orders]) == (Outcome.CONFIRMED, [placed.order_id])
    assert qfex_sim.twaps == {}


@pytest.mark.parametrize(
    ("quantity", "price"), [("1E+1", "1.5E+2"), ("0.010", "150.10"), ("9999999.999", "99999.99")], ids=str
)
async def test_the_venue_reads_the_digits_that_were_typed(
    qfex: Router, qfex_sim: QfexSimulator, quantity: str, price: str
) -> None:
    placed = await place(qfex, limit(quantity=quantity, price=price))
    theirs = qfex_sim.book[str(placed.order_id)]
    assert (theirs.quantity, theirs.price) == (Decimal(quantity), Decimal(price))


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (Order("qfex", "NOPE-USD", "buy", "limit", "1", "100"), OrdRejReason.UNKNOWN_SYMBOL),
        (limit(quantity="0.0001"), OrdRejReason.INCORRECT_QUANTITY),
        (limit(price="100.001"), OrdRejReason.OTHER),
    ],
    ids=["symbol", "lot", "tick"],
)
@pytest.mark.parametrize("echo", [None, "object", "string", "null"])
async def test_a_refused_order_however_the_venue_words_it(
    qfex: Router, qfex_sim: QfexSimulator, order: Order, reason: OrdRejReason, echo: Any
) -> None:
    if echo is not None:
        qfex_sim.variants = Variants(reject_with_err=True, err_echo=echo)
    report = await qfex.submit(evolve(order))
    assert report.outcome is Outcome.REFUSED
    assert report.reason is (reason if echo is None else OrdRejReason.OTHER)
    assert (qfex_sim.book, len(qfex_sim.commands("add_order"))) == ({}, 1)


# -- the documented examples


async def test_the_documented_cancel_order(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(qfex.cancel("qfex", ID, symbol="AAPL-USD"))
    [sent] = await qfex_sim.until(1, "cancel_order")
    assert sent.message == {
        "type": "cancel_order",
        "params": {"symbol": "AAPL-USD", "order_id": ID, "cancel_order_id_type": "order_id"},
    }
    await qfex_sim.send(sample("order_response CANCELLED"))
    report = await cancelling
    assert (report.outcome, report.status, report.text) == (Outcome.CONFIRMED, OrdStatus.CANCELED, "CANCELLED")
    assert [(row.order_id, row.symbol, row.cum_quantity) for row in report.orders] == [(ID, "AAPL-USD", None)]
    assert report.sent_at is not None
    assert report.answered_at is not None
    assert report.answered_at >= report.sent_at


@pytest.mark.parametrize("form", ["stop CANCELLED", "array"])
async def test_the_documented_cancel_stop_order(qfex: Router, qfex_sim: QfexSimulator, form: str) -> None:
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(qfex.cancel(Cancel("qfex", STOP_ID, IdKind.STOP_ORDER), deadline=0.5))
    [sent] = await qfex_sim.until(1, "cancel_stop_order")
    assert sent.message == {"type": "cancel_stop_order", "params": {"stop_order_id": STOP_ID}}
    await qfex_sim.send(json.dumps(FRAMES[form]["frame"]))
    report = await cancelling
    assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert [(row.order_id, row.kind) for row in report.orders] == [(STOP_ID, IdKind.STOP_ORDER)]


async def test_the_documented_add_stop_order(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(deaf=True, only=frozenset({"add_order"}))
    placing = asyncio.ensure_future(qfex.submit(stop("190", quantity="1")))
    [sent] = await qfex_sim.until(1, "add_order")
    assert sent.message["params"] == {
        "symbol": "AAPL-USD",
        "side": "SELL",
        "order_type": "STOP_LOSS",
        "order_time_in_force": "GTC",
        "quantity": 1,
        "price": 190,
        "reduce_only": False,
        "client_order_id": sent.message["params"]["client_order_id"],
    }
    await qfex_sim.send(sample("stop ACK"))
    report = await placing
    assert (report.outcome, report.order_id, report.kind) == (Outcome.CONFIRMED, STOP_ID, IdKind.STOP_ORDER)
    assert report.to_cancel() == Cancel("qfex", STOP_ID, IdKind.STOP_ORDER, "AAPL-USD")


# -- whose an answer is


async def test_100_cancels_answered_out_of_order(qfex: Router, qfex_sim: QfexSimulator) -> None:
    mine = resting(qfex_sim, 50)
    ids = [*mine, *(f"unknown-{number}" for number in range(50))]
    random.Random(7).shuffle(ids)  # noqa: S311 - a test order, not a secret
    qfex_sim.switches = Switches(hold=True, only=CANCELS)
    batch = qfex.cancel_many([Cancel("qfex", each, IdKind.ORDER, "AAPL-USD") for each in ids])
    await qfex_sim.until_held(100)
    qfex_sim.release(shuffle=3)
    reports = await batch
    assert [report.request.id for report in reports] == ids
    for report in reports:
        if report.request.id in mine:
            assert (report.outcome, [row.order_id for row in report.orders]) == (Outcome.CONFIRMED, [report.request.id])
        else:
            assert (report.outcome, report.reason, report.orders) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER, ())
    assert (len(qfex_sim.commands("cancel_order")), qfex_sim.book) == (100, {})


async def test_100_orders_answered_out_of_order(qfex: Router, qfex_sim: QfexSimulator) -> None:
    orders = [limit(price=str(100 + number)) if number % 2 else stop(str(100 + number)) for number in range(100)]
    qfex_sim.switches = Switches(hold=True, only=frozenset({"add_order"}))
    placing = asyncio.gather(*(qfex.submit(order) for order in orders))
    await qfex_sim.until_held(100)
    qfex_sim.release(shuffle=5)
    for order, report in zip(orders, await placing, strict=True):
        theirs = (qfex_sim.book | qfex_sim.stops)[str(report.order_id)]
        assert (report.outcome, theirs.client_order_id) == (Outcome.CONFIRMED, order.client_order_id)
        assert theirs.price == (order.price or order.stop_price)


@pytest.mark.parametrize(
    "frame",
    [
        sample("order_response ACK"),
        sample("order_response MODIFIED"),
        sample("order_response FILLED in part"),
        sample("order_response CANCELLED", order_id="another"),
        sample("order_response NO_SUCH_ORDER", order_id="another"),
        sample("order_response ACK", status="SOMETHING_NEW"),
        sample("fill_response", order_id=ID, remaining_quantity=0.5),
        err({"type": "cancel_order", "params": {"symbol": "AAPL-USD", "order_id": "another", "cancel_order_id_type": "order_id"}}, "InvalidParameter"),
        {"ack": {"incoming_message": {"type": "cancel_stop_order", "params": {"stop_order_id": ID}}}},
    ],
    ids=lambda frame: json.dumps(frame)[:70],
)  # fmt: skip
async def test_what_never_answers_a_cancel(qfex: Router, qfex_sim: QfexSimulator, frame: dict[str, Any]) -> None:
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(qfex.cancel("qfex", ID, symbol="AAPL-USD"))
    await qfex_sim.until(1, "cancel_order")
    await qfex_sim.send(frame)
    await fence(qfex)
    assert not cancelling.done()
    await qfex_sim.send(sample("order_response CANCELLED"))
    assert (await cancelling).outcome is Outcome.CONFIRMED


async def test_a_fill_in_part_and_a_modify_while_the_cancel_is_on_its_way(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    placed = await place(qfex)
    qfex_sim.switches = Switches(hold=True, only=CANCELS)
    theirs = qfex_sim.book[str(placed.order_id)]
    await qfex_sim.fill(theirs.order_id, Decimal("0.25"))
    cancelling = asyncio.ensure_future(qfex.cancel(placed))
    await qfex_sim.until_held(1)
    await fence(qfex)
    assert not cancelling.done()
    qfex_sim.release()
    report = await cancelling
    assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert [row.cum_quantity for row in report.orders] == [Decimal("0.25")]


async def test_a_fill_of_the_rest_refuses_the_cancel_at_once(qfex: Router, qfex_sim: QfexSimulator) -> None:
    placed = await place(qfex)
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(qfex.cancel(placed))
    await qfex_sim.until(1, "cancel_order")
    await qfex_sim.fill(str(placed.order_id))
    report = await cancelling
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)
    assert (report.status, [row.cum_quantity for row in report.orders]) == (OrdStatus.FILLED, [ONE])


async def test_strangers_frames_and_arrays_are_no_answers(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.variants = Variants(strangers_first=True, array_frames=True)
    placed = await place(qfex)
    assert list(qfex_sim.book) == [placed.order_id]
    report = await qfex.cancel(placed)
    assert (report.outcome, [row.order_id for row in report.orders]) == (Outcome.CONFIRMED, [placed.order_id])
    assert (await qfex.cancel("qfex", "unknown", symbol="AAPL-USD")).outcome is Outcome.REFUSED


async def test_the_same_cancel_twice_goes_out_once(qfex: Router, qfex_sim: QfexSimulator) -> None:
    placed = await place(qfex)
    first, second = await asyncio.gather(qfex.cancel(placed), qfex.cancel(placed.to_cancel()))
    assert (first.outcome, second.outcome) == (Outcome.CONFIRMED, Outcome.CONFIRMED)
    assert len(qfex_sim.commands("cancel_order")) == 1


# -- the id types


async def test_a_cancel_by_client_id_reports_every_order_that_it_took(qfex: Router, qfex_sim: QfexSimulator) -> None:
    same = [await place(qfex, limit(client_order_id="same", price=price)) for price in ("100", "101", "102")]
    elsewhere = await place(qfex, Order("qfex", "GOLD-USD", "buy", "limit", "1", "3000", client_order_id="same"))
    report = await qfex.cancel(Cancel("qfex", "same", IdKind.CLIENT_ORDER, "AAPL-USD"))
    assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert {row.order_id for row in report.orders} == {each.order_id for each in same}
    assert {row.status for row in report.orders} == {OrdStatus.CANCELED}
    assert list(qfex_sim.book) == [elsewhere.order_id]
    [params] = wire(qfex_sim, "cancel_order")
    assert (params["order_id"], params["cancel_order_id_type"]) == ("same", "client_order_id")


async def test_a_cancel_by_client_id_takes_orders_placed_elsewhere(qfex: Router, qfex_sim: QfexSimulator) -> None:
    ids = resting(qfex_sim, 7, client_order_id="theirs")
    report = await qfex.cancel(Cancel("qfex", "theirs", IdKind.CLIENT_ORDER, "AAPL-USD"))
    assert (report.outcome, {row.order_id for row in report.orders}) == (Outcome.CONFIRMED, set(ids))
    assert qfex_sim.book == {}


async def test_a_set_cancel_with_some_left_at_the_deadline_is_unknown_with_those_taken(
    qfex: Router, qfex_sim: QfexSimulator, clock: Callable[[], float]
) -> None:
    first, second = resting(qfex_sim, 2, client_order_id="both")
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    begun = clock()
    cancelling = asyncio.ensure_future(
        qfex.cancel(Cancel("qfex", "both", IdKind.CLIENT_ORDER, "AAPL-USD"), deadline=0.3)
    )
    await qfex_sim.until(1, "cancel_order")
    await qfex_sim.expel(first, "CANCELLED")
    report = await cancelling
    assert clock() - begun >= 0.3
    assert (report.outcome, [row.order_id for row in report.orders]) == (Outcome.UNKNOWN, [first])
    assert list(qfex_sim.book) == [second]
    await qfex_sim.expel(second, "CANCELLED")
    settled = await report.settled(timeout=5)
    assert (settled.outcome, {row.order_id for row in settled.orders}) == (Outcome.CONFIRMED, {first, second})


async def test_a_client_id_that_names_one_known_order_goes_out_by_venue_id(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    order = limit()
    placed = await place(qfex, order)
    assert (await qfex.cancel(Cancel("qfex", order.client_order_id, IdKind.CLIENT_ORDER))).ok
    [params] = wire(qfex_sim, "cancel_order")
    assert (params["order_id"], params["cancel_order_id_type"]) == (placed.order_id, "order_id")


async def test_an_unknown_client_id_is_refused(qfex: Router) -> None:
    report = await qfex.cancel(Cancel("qfex", "nobody", IdKind.CLIENT_ORDER, "AAPL-USD"))
    assert (report.outcome, report.reason, report.orders) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER, ())


@pytest.mark.parametrize("reply", ["order_response", "twap_response", "ack"])
@pytest.mark.parametrize("ack", ["ack", "ack_response"])
@pytest.mark.parametrize("kind", [IdKind.TWAP, IdKind.CLIENT_TWAP])
async def test_a_twap_cancel_however_the_venue_answers_it(
    qfex: Router, qfex_sim: QfexSimulator, kind: IdKind, reply: Any, ack: Any
) -> None:
    qfex_sim.variants = Variants(twap_cancel_reply=reply, ack=ack)
    order = Order("qfex", "AAPL-USD", "buy", "twap", "10", options=TWAP)
    placed = await place(qfex, order)
    name = placed.order_id if kind is IdKind.TWAP else order.client_order_id
    report = await qfex.cancel(Cancel("qfex", str(name), kind, "AAPL-USD"), deadline=2)
    assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert [(row.order_id, row.kind) for row in report.orders] == [(placed.order_id, IdKind.TWAP)]
    assert qfex_sim.twaps == {}


async def test_a_client_twap_id_of_a_stranger_goes_out_as_it_is(qfex: Router, qfex_sim: QfexSimulator) -> None:
    report = await qfex.cancel(Cancel("qfex", "nobody", IdKind.CLIENT_TWAP, "AAPL-USD"))
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)
    [params] = wire(qfex_sim, "cancel_order")
    assert (params["order_id"], params["cancel_order_id_type"]) == ("nobody", "client_twap_id")


# -- stops


@pytest.mark.parametrize("ack", ["ack", "ack_response"])
@pytest.mark.parametrize("only_ack", [False, True])
async def test_an_ack_of_a_stop_cancel_is_not_the_deed(
    qfex: Router, qfex_sim: QfexSimulator, ack: Any, only_ack: bool
) -> None:
    qfex_sim.variants = Variants(ack=ack, only_ack=only_ack)
    placed = await place(qfex, stop())
    report = await qfex.cancel(placed, deadline=2)
    assert (report.outcome, report.status, qfex_sim.stops) == (Outcome.CONFIRMED, OrdStatus.CANCELED, {})
    assert [row.order_id for row in report.orders] == [placed.order_id]


async def test_an_ack_alone_of_a_stop_that_stays_confirms_nothing(
    qfex: Router, qfex_sim: QfexSimulator, clock: Callable[[], float]
) -> None:
    placed = await place(qfex, stop())
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    begun = clock()
    cancelling = asyncio.ensure_future(qfex.cancel(placed, deadline=0.4))
    [sent] = await qfex_sim.until(1, "cancel_stop_order")
    await qfex_sim.send({"ack": {"incoming_message": sent.message}})
    report = await cancelling
    assert (report.outcome, clock() - begun >= 0.4) == (Outcome.UNKNOWN, True)
    assert list(qfex_sim.stops) == [placed.order_id]


async def test_stops_with_an_empty_echo_are_told_apart_by_shape(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=frozenset({"add_order"}))
    orders = [stop(str(100 + number), quantity=f"{number}.50") for number in range(1, 9)]
    placing = asyncio.gather(*(qfex.submit(order) for order in orders))
    await qfex_sim.until_held(8)
    qfex_sim.release(shuffle=1)
    for order, report in zip(orders, await placing, strict=True):
        theirs = qfex_sim.stops[str(report.order_id)]
        assert (theirs.client_order_id, theirs.price) == (order.client_order_id, order.stop_price)


async def test_a_stop_displaced_by_the_position_rule_is_news_from_the_venue(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    placed = await place(qfex, stop())
    events = qfex.events()
    await qfex_sim.set_position("AAPL-USD", 1)
    event = await event_of(events, placed.order_id, ExecType.CANCELED)
    assert (event.origin, event.status) == (Origin.VENUE, OrdStatus.CANCELED)
    assert await qfex.open_orders("qfex") == []
    report = await qfex.cancel(placed)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)
    assert report.status is OrdStatus.CANCELED


async def test_a_self_trade_is_news_from_the_venue(qfex: Router, qfex_sim: QfexSimulator) -> None:
    placed = await place(qfex)
    events = qfex.events()
    await place(qfex, Order("qfex", "AAPL-USD", "sell", "limit", "1", "150"))
    event = await event_of(events, placed.order_id, ExecType.CANCELED)
    assert (event.origin, event.text) == (Origin.VENUE, "CANCELLED_STP")
    assert placed.order_id not in [row.order_id for row in await qfex.open_orders("qfex")]
    report = await qfex.cancel(placed)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)
    assert report.status is OrdStatus.CANCELED


async def test_an_order_that_ends_without_our_asking_comes_from_the_venue(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    placed = await place(qfex)
    events = qfex.events()
    await qfex_sim.expel(str(placed.order_id), "CANCELLED")
    assert (await event_of(events, placed.order_id, ExecType.CANCELED)).origin is Origin.VENUE


# -- silence and doubt


@pytest.mark.parametrize("fault", ["mute", "deaf"])
async def test_a_silent_venue_is_unknown_at_the_deadline_and_not_before(
    qfex: Router, qfex_sim: QfexSimulator, clock: Callable[[], float], fault: str
) -> None:
    placed = await place(qfex)
    qfex_sim.switches = Switches(only=CANCELS | {"get_order"}, **{fault: True})
    begun = clock()
    report = await qfex.cancel(placed, deadline=0.2)
    assert (report.outcome, clock() - begun >= 0.2) == (Outcome.UNKNOWN, True)
    assert (report.answered_at, report.reason, report.sent_at is not None) == (None, None, True)
    assert qfex.health()["qfex"].unknown == 1
    still = await report.settled(timeout=0.05)
    assert (still.outcome, len(qfex_sim.commands("cancel_order"))) == (Outcome.UNKNOWN, 1)


async def test_a_late_answer_settles(qfex: Router, qfex_sim: QfexSimulator) -> None:
    placed = await place(qfex)
    qfex_sim.switches = Switches(hold=True, only=CANCELS | {"get_order", "get_user_orders"})
    report = await qfex.cancel(placed, deadline=0.2)
    assert report.outcome is Outcome.UNKNOWN
    settling = asyncio.ensure_future(report.settled(timeout=5))
    qfex_sim.switches = Switches()
    qfex_sim.release()
    settled = await settling
    assert (settled.outcome, settled.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert [row.order_id for row in settled.orders] == [placed.order_id]
    assert (qfex.health()["qfex"].unknown, len(qfex_sim.commands("cancel_order"))) == (0, 1)


async def test_a_late_answer_of_a_cancel_by_client_id_settles_with_every_order(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    ids = resting(qfex_sim, 3, client_order_id="three")
    qfex_sim.switches = Switches(hold=True, only=CANCELS)
    report = await qfex.cancel(Cancel("qfex", "three", IdKind.CLIENT_ORDER, "AAPL-USD"), deadline=0.2)
    assert (report.outcome, report.orders) == (Outcome.UNKNOWN, ())
    qfex_sim.release()
    settled = await report.settled(timeout=5)
    assert (settled.outcome, {row.order_id for row in settled.orders}) == (Outcome.CONFIRMED, set(ids))


async def test_a_second_cancel_after_a_lost_answer_takes_nothing_from_the_first(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    """The first was executed and its answer lost; NO_SUCH_ORDER is the second's answer and refuses only that."""
    [order_id] = resting(qfex_sim, 1)
    qfex_sim.switches = Switches(mute=True, only=CANCELS)
    first = await qfex.cancel("qfex", order_id, symbol="AAPL-USD", deadline=0.2)
    qfex_sim.switches = Switches()
    second = await qfex.cancel("qfex", order_id, symbol="AAPL-USD", deadline=0.3)
    assert (first.outcome, second.outcome is Outcome.CONFIRMED) == (Outcome.UNKNOWN, False)
    settled = await first.settled(timeout=5)
    assert settled.outcome is not Outcome.REFUSED


async def test_two_unanswered_orders_of_one_client_id_are_cancelled_by_it(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = Switches(hold=True, only=frozenset({"add_order"}))
    orders = [limit(client_order_id="twin") for _ in range(2)]
    placing = [asyncio.ensure_future(qfex.submit(order)) for order in orders]
    await qfex_sim.until_held(2)
    cancelling = asyncio.ensure_future(qfex.cancel("qfex", "twin", IdKind.CLIENT_ORDER, symbol="AAPL-USD"))
    await qfex_sim.until(1, "cancel_order")
    qfex_sim.release()
    assert {(await each).order_id for each in placing} == set(qfex_sim.history)
    report = await cancelling
    assert (report.outcome, {row.order_id for row in report.orders}) == (Outcome.CONFIRMED, set(qfex_sim.history))
    assert qfex_sim.book == {}


async def test_a_late_refusal_settles_too(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=CANCELS)
    report = await qfex.cancel("qfex", "unknown", symbol="AAPL-USD", deadline=0.2)
    assert report.outcome is Outcome.UNKNOWN
    qfex_sim.release()
    settled = await report.settled(timeout=5)
    assert (settled.outcome, settled.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)


@pytest.mark.parametrize(
    ("filled", "outcome", "status"),
    [(False, Outcome.CONFIRMED, OrdStatus.CANCELED), (True, Outcome.REFUSED, OrdStatus.FILLED)],
    ids=["cancelled", "filled"],
)
async def test_what_nobody_answered_is_settled_by_asking_for_the_order(
    qfex: Router, qfex_sim: QfexSimulator, filled: bool, outcome: Outcome, status: OrdStatus
) -> None:
    [order_id] = resting(qfex_sim, 1)
    qfex_sim.switches = Switches(mute=not filled, deaf=filled, only=CANCELS)
    report = await qfex.cancel("qfex", order_id, symbol="AAPL-USD", deadline=0.2)
    assert report.outcome is Outcome.UNKNOWN
    if filled:
        await qfex_sim.fill(order_id)
    settled = await report.settled(timeout=5)
    assert (settled.outcome, settled.status) == (outcome, status)


async def test_a_dropped_connection_is_waited_out_and_the_library_reconnects(
    qfex: Router, qfex_sim: QfexSimulator, clock: Callable[[], float]
) -> None:
    placed = await place(qfex)
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    begun = clock()
    cancelling = asyncio.ensure_future(qfex.cancel(placed, deadline=0.4))
    await qfex_sim.until(1, "cancel_order")
    await qfex_sim.drop_connections()
    report = await cancelling
    assert (report.outcome, clock() - begun >= 0.4) == (Outcome.UNKNOWN, True)
    qfex_sim.switches = Switches()
    assert (await qfex.cancel(placed)).outcome is Outcome.CONFIRMED
    assert len(qfex_sim.commands("auth")) == 2
    assert [params["channels"] for params in wire(qfex_sim, "subscribe")] == [["order_responses"], ["fills"]] * 2


async def test_while_disconnected_a_command_is_not_sent_and_never_sent_later(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    await qfex_sim.stop()
    report = await qfex.cancel("qfex", ID, symbol="AAPL-USD", deadline=0.2)
    assert (report.outcome, report.sent_at) == (Outcome.NOT_SENT, None)
    await qfex_sim.start()
    assert (await qfex.submit(limit(), deadline=10)).ok
    assert qfex_sim.commands("cancel_order") == []


# -- err


@pytest.mark.parametrize("code", ["ServerError", "BrandNew"])
async def test_an_err_that_doubts_itself_is_unknown_at_once(qfex: Router, qfex_sim: QfexSimulator, code: str) -> None:
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(qfex.cancel("qfex", ID, symbol="AAPL-USD", deadline=60))
    [sent] = await qfex_sim.until(1, "cancel_order")
    await qfex_sim.send(err(sent.message, code))
    async with asyncio.timeout(5):
        report = await cancelling
    assert (report.outcome, code in report.text) == (Outcome.UNKNOWN, True)
    await qfex_sim.send(sample("order_response CANCELLED"))
    assert (await report.settled(timeout=5)).outcome is Outcome.CONFIRMED


async def test_a_nameless_err_settles_the_only_request_and_none_of_two(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    alone = asyncio.ensure_future(qfex.cancel("qfex", "one", symbol="AAPL-USD"))
    await qfex_sim.until(1, "cancel_order")
    await qfex_sim.send(err(None, "InvalidParameter"))
    assert (await alone).outcome is Outcome.REFUSED
    two = [
        asyncio.ensure_future(qfex.cancel("qfex", name, symbol="AAPL-USD", deadline=0.3)) for name in ("two", "three")
    ]
    await qfex_sim.until(3, "cancel_order")
    await qfex_sim.send(err(None, "InvalidParameter"))
    assert [(await each).outcome for each in two] == [Outcome.UNKNOWN, Outcome.UNKNOWN]
    again = asyncio.ensure_future(qfex.cancel("qfex", "four", symbol="AAPL-USD", deadline=0.3))
    await qfex_sim.until(4, "cancel_order")
    await qfex_sim.send(err(None, "InvalidParameter"))
    assert (await again).outcome is Outcome.UNKNOWN, "requests that timed out count as candidates"


def rate_limited(request: dict[str, Any], word: str) -> dict[str, Any]:
    if word == "RateLimited":
        return err(request, "RateLimited")
    return sample("order_response ACK", order_id=request["params"]["order_id"], status=word)


@pytest.mark.parametrize("word", ["RateLimited", "RATE_LIMITED"])
async def test_a_rate_limit_is_tried_again_within_the_deadline(
    qfex: Router, qfex_sim: QfexSimulator, word: str
) -> None:
    [order_id] = resting(qfex_sim, 1)
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(qfex.cancel("qfex", order_id, symbol="AAPL-USD"))
    [sent] = await qfex_sim.until(1, "cancel_order")
    qfex_sim.switches = Switches()
    await qfex_sim.send(rate_limited(sent.message, word))
    report = await cancelling
    assert (report.outcome, qfex_sim.book) == (Outcome.CONFIRMED, {})
    first, second = qfex_sim.commands("cancel_order")
    assert first.message == second.message


@pytest.mark.parametrize("word", ["RateLimited", "RATE_LIMITED"])
async def test_a_rate_limit_with_no_attempt_left_is_refused(qfex: Router, qfex_sim: QfexSimulator, word: str) -> None:
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(qfex.cancel("qfex", ID, symbol="AAPL-USD", deadline=0.3))
    [sent] = await qfex_sim.until(1, "cancel_order")
    await qfex_sim.send(rate_limited(sent.message, word))
    report = await cancelling
    assert (report.outcome, report.reason, word in report.text) == (Outcome.REFUSED, CxlRejReason.OTHER, True)
    assert len(qfex_sim.commands("cancel_order")) == 1


# -- replace


@pytest.mark.parametrize("renamed", [False, True])
async def test_a_cancel_follows_an_order_through_a_modify(qfex: Router, qfex_sim: QfexSimulator, renamed: bool) -> None:
    qfex_sim.variants = Variants(modify_changes_order_id=renamed)
    placed = await place(qfex)
    changed = await qfex.replace(placed, quantity="2", price="151")
    [theirs] = qfex_sim.book.values()
    assert (changed.outcome, changed.order_id) == (Outcome.CONFIRMED, theirs.order_id)
    assert (theirs.quantity, theirs.price, theirs.order_id != placed.order_id) == (2 * ONE, 151 * ONE, renamed)
    report = await qfex.cancel("qfex", str(placed.order_id))
    assert (report.outcome, qfex_sim.book) == (Outcome.CONFIRMED, {})
    assert wire(qfex_sim, "cancel_order")[0]["order_id"] == theirs.order_id


async def test_a_modify_of_another_order_of_ours_to_the_same_terms_is_not_the_answer(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    """Another connection of the account may modify it: the two orders must not become one."""
    mine, other = await place(qfex), await place(qfex, limit(price="149"))
    qfex_sim.switches = Switches(deaf=True, only=frozenset({"modify_order"}))
    changing = asyncio.ensure_future(qfex.replace(mine, quantity="2", price="151", deadline=0.3))
    await qfex_sim.until(1, "modify_order")
    terms = {"order_id": other.order_id, "quantity": 2.0, "quantity_remaining": 2.0, "price": 151.0}
    await qfex_sim.send(sample("order_response MODIFIED", client_order_id=other.client_order_id, **terms))
    assert (await changing).outcome is Outcome.UNKNOWN
    assert {row.order_id for row in await qfex.open_orders("qfex")} == {mine.order_id, other.order_id}
    assert (await qfex.cancel(mine)).ok
    assert list(qfex_sim.book) == [other.order_id]


async def test_a_modify_of_a_stop(qfex: Router, qfex_sim: QfexSimulator) -> None:
    placed = await place(qfex, stop())
    changed = await qfex.replace(placed, stop_price="121.5")
    [theirs] = qfex_sim.stops.values()
    assert (changed.outcome, theirs.price, theirs.quantity) == (Outcome.CONFIRMED, Decimal("121.5"), 2 * ONE)


async def test_a_modify_with_only_an_ack_is_read_back(qfex: Router, qfex_sim: QfexSimulator) -> None:
    placed = await place(qfex, stop())
    qfex_sim.variants = Variants(only_ack=True)
    changed = await qfex.replace(placed, stop_price="121.5", deadline=2)
    assert (changed.outcome, qfex_sim.stops[str(placed.order_id)].price) == (Outcome.CONFIRMED, Decimal("121.5"))


async def test_a_modify_of_a_partly_filled_order_is_refused_and_leaves_it(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    placed = await place(qfex)
    await qfex_sim.fill(str(placed.order_id), Decimal("0.5"))
    changed = await qfex.replace(placed, price="151")
    assert (changed.outcome, changed.text) == (Outcome.REFUSED, "CANNOT_MODIFY_PARTIAL_FILL")
    assert qfex_sim.book[str(placed.order_id)].price == 150


# -- reading


@pytest.mark.parametrize("count", [99, 100, 101, 499, 500, 501, 999, 1000, 1001, 1203])
async def test_open_orders_are_read_page_by_page(qfex: Router, qfex_sim: QfexSimulator, count: int) -> None:
    ids = resting(qfex_sim, count)
    rows = await qfex.open_orders("qfex")
    assert [row.order_id for row in rows] == ids
    assert len(qfex_sim.commands("get_user_orders")) >= -(-count // 1000)


async def test_orders_and_twaps_are_paged_together(qfex: Router, qfex_sim: QfexSimulator) -> None:
    ids = resting(qfex_sim, 520)
    for _ in range(900):
        qfex_sim.exchange.add_twap(
            Twap(account=qfex_sim.account_id, symbol="AAPL-USD", side="BUY", total_quantity=10 * ONE, num_orders=5, order_interval_secs=30, reduce_only=False)
        )  # fmt: skip
    rows = await qfex.open_orders("qfex")
    assert {row.order_id for row in rows} == {*ids, *qfex_sim.twaps}
    assert len(rows) == 1420


async def test_open_orders_shows_orders_stops_and_twaps_as_addresses(qfex: Router, qfex_sim: QfexSimulator) -> None:
    for order in (limit(), stop(), Order("qfex", "AAPL-USD", "buy", "twap", "10", options=TWAP)):
        await place(qfex, order)
    rows = await qfex.open_orders("qfex")
    assert {row.kind for row in rows} == {IdKind.ORDER, IdKind.STOP_ORDER, IdKind.TWAP}
    assert all([(await qfex.cancel(row)).ok for row in rows])
    assert (qfex_sim.book, qfex_sim.stops, qfex_sim.twaps) == ({}, {}, {})


# -- login


@pytest.mark.parametrize("reply", ["authenticated", "type_result"])
async def test_both_documented_logins(qfex_sim: QfexSimulator, reply: Any) -> None:
    qfex_sim.variants.auth_reply = reply
    async with Router({"qfex": Qfex(**qfex_sim.credentials)}) as router:
        assert router.health()["qfex"].ok
    assert [item.command for item in qfex_sim.received] == ["auth", "subscribe", "subscribe"]


async def test_a_key_in_the_url_is_taken_and_never_shown(qfex_sim: QfexSimulator) -> None:
    url = f"{qfex_sim.url}?api_key=pub_0123456789"
    adapter = Qfex(qfex_sim.public_key, qfex_sim.secret_key, url=url)
    async with Router({"qfex": adapter}) as router:
        assert (await place(router)).ok
        await qfex_sim.stop()
        report = await router.cancel("qfex", ID, symbol="AAPL-USD", deadline=0.3)
        assert "pub_0123456789" not in repr(adapter) + str(report) + repr(router.health())
    with pytest.raises(VenueError) as caught:
        async with Router({"qfex": Qfex(qfex_sim.public_key, qfex_sim.secret_key, url=url)}):
            pytest.fail("entered")
    assert "pub_0123456789" not in str(caught.value)


async def test_a_login_by_token_for_a_sub_account(qfex_sim: QfexSimulator) -> None:
    account = qfex_sim.sub_accounts[0]
    async with Router({"qfex": Qfex(jwt=qfex_sim.jwt, account_id=account, url=qfex_sim.url)}) as router:
        placed = await place(router)
        assert qfex_sim.book[str(placed.order_id)].account == account


@pytest.mark.parametrize("wanted", [False, True])
async def test_cancel_on_disconnect_is_asked_for_only_when_wanted(qfex_sim: QfexSimulator, wanted: bool) -> None:
    async with Router({"qfex": Qfex(**qfex_sim.credentials, cancel_on_disconnect=wanted)}) as router:
        await place(router)
        asked = wire(qfex_sim, "cancel_on_disconnect")
        assert asked == ([{"cancel_on_disconnect": True}] if wanted else [])
        await qfex_sim.drop_connections()
        assert len(qfex_sim.book) == (0 if wanted else 1)


@pytest.mark.parametrize("refusal", ["err", "authenticated_false", "type_failed", "close"])
async def test_a_wrong_secret_raises_and_names_the_venue(qfex_sim: QfexSimulator, refusal: Any) -> None:
    qfex_sim.variants.refusal = refusal
    expected = VenueError if refusal == "close" else LoginRefused
    with pytest.raises(expected, match="qfex-uat") as caught:
        async with Router({"qfex-uat": Qfex(qfex_sim.public_key, "qfex_secret_wrong", url=qfex_sim.url)}):
            pytest.fail("entered")
    assert (caught.value.venue, "qfex_secret_wrong" in str(caught.value)) == ("qfex-uat", False)
    assert len(qfex_sim.commands("auth")) == 1


@pytest.mark.parametrize(("skew", "said"), [(3600.0, "behind"), (-3600.0, "ahead"), (0.0, "agrees")])
async def test_a_refused_login_compares_the_clocks(qfex_sim: QfexSimulator, skew: float, said: str) -> None:
    qfex_sim.clock_skew = skew
    key = qfex_sim.secret_key if skew else "qfex_secret_wrong"
    with pytest.raises(LoginRefused, match=said) as caught:
        async with Router({"qfex": Qfex(qfex_sim.public_key, key, url=qfex_sim.url)}):
            pytest.fail("entered")
    assert ("3600" in str(caught.value) or "3599" in str(caught.value) or "3601" in str(caught.value)) == bool(skew)


async def test_without_strict_a_refused_login_is_told_in_health(qfex_sim: QfexSimulator) -> None:
    bad = Qfex(qfex_sim.public_key, "qfex_secret_wrong", url=qfex_sim.url)
    async with Router({"bad": bad, "good": Qfex(**qfex_sim.credentials)}, strict=False) as router:
        health = router.health()
        assert (health["bad"].ok, health["good"].ok, "refused" in health["bad"].last_error) == (False, True, True)
        report = await router.cancel("bad", ID, symbol="AAPL-USD")
        assert (report.outcome, "bad" in report.text) == (Outcome.NOT_SENT, True)
    assert qfex_sim.commands("cancel_order") == []


# -- what is not sent


@pytest.mark.parametrize(
    "order",
    [
        Order("qfex", "AAPL-USD", "buy", "stop_limit", "1", "200", "190"),
        limit(time_in_force="day"),
        limit(options={"leverage": 5}),
        Order("qfex", "AAPL-USD", "buy", "twap", "10"),
    ],
    ids=["stop_limit", "day", "leverage", "twap"],
)
async def test_an_order_that_the_venue_cannot_express(qfex: Router, qfex_sim: QfexSimulator, order: Order) -> None:
    report = await qfex.submit(order)
    assert (report.outcome, "qfex" in report.text) == (Outcome.NOT_SENT, True)
    assert qfex_sim.commands("add_order", "add_twap") == []


@pytest.mark.parametrize("kind", [IdKind.ORDER, IdKind.CLIENT_ORDER, IdKind.TWAP, IdKind.CLIENT_TWAP])
async def test_a_cancel_without_the_symbol_that_it_needs(qfex: Router, qfex_sim: QfexSimulator, kind: IdKind) -> None:
    report: CancelReport = await qfex.cancel(Cancel("qfex", ID, kind))
    assert (report.outcome, "symbol" in report.text, ID in report.text) == (Outcome.NOT_SENT, True, True)
    assert qfex_sim.commands("cancel_order") == []


async def test_two_candidates_for_the_symbol_are_named(qfex: Router, qfex_sim: QfexSimulator) -> None:
    await place(qfex, limit(client_order_id="same"))
    await place(qfex, Order("qfex", "GOLD-USD", "buy", "limit", "1", "3000", client_order_id="same"))
    report = await qfex.cancel(Cancel("qfex", "same", IdKind.CLIENT_ORDER))
    assert report.outcome is Outcome.NOT_SENT
    assert "AAPL-USD" in report.text
    assert "GOLD-USD" in report.text
    assert qfex_sim.commands("cancel_order") == []


async def test_one_order_is_submitted_once(qfex: Router, qfex_sim: QfexSimulator) -> None:
    order = limit()
    await place(qfex, order)
    with pytest.raises(ValueError, match=order.client_order_id):
        await qfex.submit(order)
    assert len(qfex_sim.commands("add_order")) == 1


async def test_a_look_up_that_is_never_answered_does_not_spoil_the_reads(qfex: Router, qfex_sim: QfexSimulator) -> None:
    [order_id] = resting(qfex_sim, 1)
    qfex_sim.switches = Switches(mute=True, only=CANCELS | {"get_order"})
    report = await qfex.cancel("qfex", order_id, symbol="AAPL-USD", deadline=0.1)
    assert (await report.settled(2)).outcome is Outcome.UNKNOWN
    assert len(qfex_sim.commands("get_order")) == 1, "what is not answered is not asked again on this connection"
    [left] = resting(qfex_sim, 1)
    rows = await qfex.open_orders("qfex")
    assert [row.order_id for row in rows] == [left]
