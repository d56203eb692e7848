"""replace() on the simulated venues: what is placed is never more than what is provably left."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.b2trader.simulator import Order as TheirOrder
from adapters.b2trader.simulator.desk import Desk
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, ExecType, IdKind, Order, OrdStatus, Origin, Outcome, Router, SubmitReport
from router.testing import Fault, Switches

ONE = Decimal(1)
DELETES, POSTS = frozenset({"DELETE orders"}), frozenset({"POST orders"})
LISTS = frozenset({"GET orders"})
STOP = {"type": "stop", "price": None, "stop_price": "120000"}


def spot(**changes: Any) -> Order:
    terms = {"type": "limit", "quantity": "1", "price": "110000"} | changes
    return Order("xbtfx", "spot.btc_usdt", "buy", **terms)


def limit(**changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


def perp(**changes: Any) -> Order:
    terms = {"type": "limit", "quantity": "1", "price": "100000"} | changes
    return Order("dmex", "btcusd", "buy", **terms)


async def place(router: Router, order: Order) -> str:
    report = await router.submit(order)
    assert report.ok, report
    return str(report.order_id)


def filled(sim: B2TraderSimulator) -> Decimal:
    return sum((order.filled_amount for order in sim.orders.values()), Decimal(0))


def could_trade(sim: B2TraderSimulator) -> Decimal:
    """What has traded, and what may yet."""
    return filled(sim) + sum((order.remaining_amount for order in sim.orders.values() if order.live), Decimal(0))


def live(sim: B2TraderSimulator) -> list[TheirOrder]:
    return [order for order in sim.orders.values() if order.live]


def nothing_placed(report: SubmitReport, sim: B2TraderSimulator, outcome: Outcome) -> None:
    assert report.outcome is outcome, report
    assert len(sim.commands(*POSTS)) == 1


# -- by the venue's own command


async def test_qfex_changes_an_order_by_itself(qfex: Router, qfex_sim: QfexSimulator) -> None:
    order = limit()
    order_id = await place(qfex, order)
    report = await qfex.replace(order, quantity="2", price="151", allow_gap=True)
    assert (report.outcome, report.order_id) == (Outcome.CONFIRMED, order_id)
    theirs = qfex_sim.book[order_id]
    assert (theirs.quantity, theirs.price) == (2, 151)
    assert (len(qfex_sim.commands("modify_order")), qfex_sim.commands("cancel_order")) == (1, [])
    assert (await qfex.cancel(order)).ok


async def test_qfex_changes_a_stop_by_itself(qfex: Router, qfex_sim: QfexSimulator) -> None:
    order = Order("qfex", "AAPL-USD", "sell", "stop", "1", stop_price="120")
    order_id = await place(qfex, order)
    assert (await qfex.replace(order, stop_price="125", allow_gap=True)).ok
    assert (qfex_sim.stops[order_id].price, qfex_sim.commands("cancel_stop_order")) == (125, [])


async def test_qfex_refuses_what_has_traded_and_the_order_rests_on(qfex: Router, qfex_sim: QfexSimulator) -> None:
    order = limit()
    order_id = await place(qfex, order)
    await qfex_sim.fill(order_id, Decimal("0.4"))
    report = await qfex.replace(order, price="151", allow_gap=True)
    assert (report.outcome, "PARTIAL" in report.text) == (Outcome.REFUSED, True)
    assert qfex_sim.book[order_id].remaining == Decimal("0.6")
    assert (len(qfex_sim.commands("add_order")), qfex_sim.commands("cancel_order")) == (1, [])


async def test_an_order_that_nobody_knows(qfex: Router, b2: Router, qfex_sim: QfexSimulator) -> None:
    unknown = await qfex.replace(Cancel("qfex", "nobody", IdKind.ORDER, "AAPL-USD"), price="1", allow_gap=True)
    foreign = await b2.replace(Cancel("xbtfx", "01K2MNGAWPMQJ7WGATFSCAS1G4"), price="1", allow_gap=True)
    assert (unknown.outcome, foreign.outcome) == (Outcome.NOT_SENT, Outcome.NOT_SENT)
    assert qfex_sim.commands("modify_order") == []


async def test_nothing_to_change(qfex: Router) -> None:
    order = limit()
    await place(qfex, order)
    with pytest.raises(ValueError, match="nothing to change"):
        await qfex.replace(order)


# -- with a gap


async def test_without_leave_for_a_gap_nothing_is_sent(b2: Router, b2_sim: B2TraderSimulator) -> None:
    order = spot()
    order_id = await place(b2, order)
    report = await b2.replace(order, price="111000")
    nothing_placed(report, b2_sim, Outcome.NOT_SENT)
    assert "no native replace" in report.text
    assert (b2_sim.commands(*DELETES), b2_sim.orders[order_id].live) == ([], True)


async def test_with_a_gap_the_old_one_is_cancelled_and_a_new_one_rests(b2: Router, b2_sim: B2TraderSimulator) -> None:
    order = spot()
    old = await place(b2, order)
    report = await b2.replace(order, price="111000", quantity="0.7", allow_gap=True)
    assert (report.outcome, report.order_id != old, "0 had filled" in report.text) == (Outcome.CONFIRMED, True, True)
    [theirs] = live(b2_sim)
    assert (theirs.order_id, theirs.requested_amount) == (report.order_id, Decimal("0.7"))
    assert theirs.ticket.requested_price == 111000
    commands = [item.command for item in b2_sim.received if item.command in {*DELETES, *POSTS}]
    assert commands == ["POST orders", "DELETE orders", "POST orders"]
    assert (await b2.cancel(report)).ok
    assert live(b2_sim) == []


@pytest.mark.parametrize("terms", [{"price": "111000"}, {"price": "111000", "quantity": "1"}, {"quantity": "0.9"}])
async def test_what_was_filled_before_is_not_traded_again(
    b2: Router, b2_sim: B2TraderSimulator, terms: dict[str, str]
) -> None:
    order = spot()
    b2_sim.fill(await place(b2, order), "0.4")
    report = await b2.replace(order, **terms, allow_gap=True)
    assert report.ok
    assert could_trade(b2_sim) == Decimal(terms.get("quantity", 1))
    [theirs] = live(b2_sim)
    b2_sim.fill(theirs.order_id)
    assert filled(b2_sim) == Decimal(terms.get("quantity", 1))


async def test_what_fills_while_the_cancel_is_under_way_is_not_traded_again(
    b2: Router, b2_sim: B2TraderSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = spot()
    await place(b2, order)
    cancel = Desk.cancel

    def racing(desk: Desk, order_id: str, status: str = "Cancelled") -> TheirOrder:
        desk.fill(order_id, "0.4")
        return cancel(desk, order_id, status)

    monkeypatch.setattr(Desk, "cancel", racing)
    report = await b2.replace(order, price="111000", allow_gap=True)
    assert (report.outcome, "0.4 had filled" in report.text) == (Outcome.CONFIRMED, True)
    assert (could_trade(b2_sim), live(b2_sim)[0].requested_amount) == (ONE, Decimal("0.6"))


async def test_it_is_replaced_again_by_its_total(b2: Router, b2_sim: B2TraderSimulator) -> None:
    order = spot()
    b2_sim.fill(await place(b2, order), "0.4")
    first = await b2.replace(order, price="111000", allow_gap=True)
    b2_sim.fill(str(first.order_id), "0.1")
    second = await b2.replace(first, price="112000", allow_gap=True)
    assert (second.outcome, could_trade(b2_sim)) == (Outcome.CONFIRMED, ONE)


async def test_what_filled_wholly_before_the_cancel_is_not_placed_again(b2: Router, b2_sim: B2TraderSimulator) -> None:
    order = spot()
    await place(b2, order)
    b2_sim.order_cancel_status = "Completed"
    report = await b2.replace(order, price="111000", allow_gap=True)
    nothing_placed(report, b2_sim, Outcome.REFUSED)
    assert (report.status, filled(b2_sim), could_trade(b2_sim)) == (OrdStatus.FILLED, ONE, ONE)


async def test_less_in_total_than_has_filled_is_not_placed(b2: Router, b2_sim: B2TraderSimulator) -> None:
    order = spot()
    b2_sim.fill(await place(b2, order), "0.4")
    report = await b2.replace(order, quantity="0.3", allow_gap=True)
    nothing_placed(report, b2_sim, Outcome.REFUSED)
    assert (report.origin, report.status, "nothing was left" in report.text) == (
        Origin.ROUTER,
        OrdStatus.CANCELED,
        True,
    )
    assert could_trade(b2_sim) == Decimal("0.4")


@pytest.mark.parametrize("switch", ["mute", "deaf"])
async def test_a_cancel_in_doubt_places_nothing(b2: Router, b2_sim: B2TraderSimulator, switch: str) -> None:
    order = spot()
    await place(b2, order)
    b2_sim.switches = Switches(**{switch: True}, only=DELETES)
    report = await b2.replace(order, price="111000", allow_gap=True, deadline=0.2)
    nothing_placed(report, b2_sim, Outcome.UNKNOWN)
    assert could_trade(b2_sim) <= ONE


async def test_a_cancel_in_doubt_is_settled_and_still_nothing_is_placed(b2: Router, b2_sim: B2TraderSimulator) -> None:
    order = spot()
    await place(b2, order)
    b2_sim.switches = Switches(hold=True, only=DELETES)
    report = await b2.replace(order, price="111000", allow_gap=True, deadline=0.2)
    nothing_placed(report, b2_sim, Outcome.UNKNOWN)
    settling = asyncio.ensure_future(report.settled(5))
    b2_sim.switches = Switches()
    b2_sim.release()
    settled = await settling
    nothing_placed(settled, b2_sim, Outcome.REFUSED)
    assert (settled.status, settled.origin, live(b2_sim)) == (OrdStatus.CANCELED, Origin.ROUTER, [])


@pytest.mark.parametrize("status", ["Working", "Pending"])
async def test_a_cancel_that_leaves_the_order_open_places_nothing(
    b2: Router, b2_sim: B2TraderSimulator, status: str
) -> None:
    order = spot()
    order_id = await place(b2, order)
    b2_sim.order_cancel_status = status
    report = await b2.replace(order, price="111000", allow_gap=True, deadline=1)
    nothing_placed(report, b2_sim, Outcome.UNKNOWN)
    assert ([theirs.order_id for theirs in live(b2_sim)], could_trade(b2_sim)) == ([order_id], ONE)


@pytest.mark.parametrize("code", [400, 403, 404, 422])
async def test_a_refused_cancel_places_nothing(b2: Router, b2_sim: B2TraderSimulator, code: int) -> None:
    order = spot()
    await place(b2, order)
    b2_sim.fail_next = [code]
    report = await b2.replace(order, price="111000", allow_gap=True)
    nothing_placed(report, b2_sim, Outcome.REFUSED)
    assert (str(code) in report.text, could_trade(b2_sim)) == (True, ONE)


@pytest.mark.parametrize("remaining", [None, "0", "1.5"], ids=["missing", "contradictory", "above"])
async def test_a_fill_that_cannot_be_learnt_places_nothing(
    b2: Router, b2_sim: B2TraderSimulator, monkeypatch: pytest.MonkeyPatch, remaining: str | None
) -> None:
    order = spot()
    b2_sim.fill(await place(b2, order), "0.4")
    shown = TheirOrder.json
    monkeypatch.setattr(TheirOrder, "json", lambda theirs: shown(theirs) | {"remainingAmount": remaining})
    report = await b2.replace(order, price="111000", allow_gap=True)
    nothing_placed(report, b2_sim, Outcome.REFUSED)
    assert (report.origin, report.status) == (Origin.ROUTER, OrdStatus.CANCELED)
    assert ("could not be learnt" in report.text, could_trade(b2_sim)) == (True, Decimal("0.4"))


async def test_what_is_sized_in_lots_is_not_placed_by_a_guess(b2: Router, b2_sim: B2TraderSimulator) -> None:
    terms: dict[str, Any] = {"quantity": "2", "price": "3000", "options": {"unit": "lots"}}
    order = Order("xbtfx", "cfd.eth_eur", "buy", "limit", **terms)
    b2_sim.fill(await place(b2, order), "10")  # one lot of ten
    report = await b2.replace(order, price="3100", allow_gap=True)
    nothing_placed(report, b2_sim, Outcome.REFUSED)
    assert (report.origin, live(b2_sim)) == (Origin.ROUTER, [])


async def test_a_stop_is_replaced(b2: Router, b2_sim: B2TraderSimulator) -> None:
    order = spot(**STOP)
    old = await place(b2, order)
    report = await b2.replace(order, stop_price="121000", allow_gap=True)
    assert (report.outcome, report.kind) == (Outcome.CONFIRMED, IdKind.STOP_ORDER)
    waiting = {name: stop.ticket.activation_price for name, stop in b2_sim.stops.items() if stop.live}
    assert waiting == {report.order_id: 121000}
    assert not b2_sim.stops[old].live


async def test_a_stop_that_has_fired_is_not_placed_again(b2: Router, b2_sim: B2TraderSimulator) -> None:
    order = spot(**STOP)
    b2_sim.activate(await place(b2, order))
    report = await b2.replace(order, stop_price="121000", allow_gap=True)
    assert report.outcome is Outcome.REFUSED
    assert (len(b2_sim.commands("POST stop-orders")), filled(b2_sim)) == (1, ONE)


@pytest.mark.parametrize("terms", [{"stop_price": "120000"}, {"price": "-1"}, {"quantity": "0"}], ids=str)
async def test_a_mistake_in_the_new_terms_is_told_before_anything_is_sent(
    b2: Router, b2_sim: B2TraderSimulator, terms: dict[str, str]
) -> None:
    order = spot()
    order_id = await place(b2, order)
    with pytest.raises(ValueError, match="xbtfx"):
        await b2.replace(order, **terms, allow_gap=True)
    assert (b2_sim.commands(*DELETES), b2_sim.orders[order_id].live) == ([], True)


async def test_a_new_order_that_the_venue_refuses_says_that_the_old_one_is_gone(
    b2: Router, b2_sim: B2TraderSimulator
) -> None:
    order = spot()
    await place(b2, order)
    b2_sim.reject_next = 1
    report = await b2.replace(order, price="111000", allow_gap=True)
    assert (report.outcome, "old order was cancelled" in report.text) == (Outcome.REFUSED, True)
    assert live(b2_sim) == []


async def test_a_new_order_in_doubt_is_never_sent_again(b2: Router, b2_sim: B2TraderSimulator) -> None:
    order = spot()
    await place(b2, order)
    b2_sim.inject(Fault.HANG_UP_EXECUTED, only=POSTS)
    report = await b2.replace(order, price="111000", allow_gap=True, deadline=1)
    assert (report.outcome, len(b2_sim.commands(*POSTS)), could_trade(b2_sim)) == (Outcome.UNKNOWN, 2, ONE)


# -- the gate of cancel_all


async def test_the_gate_is_shut_before_the_cancel(b2: Router, b2_sim: B2TraderSimulator) -> None:
    other, order = spot(), spot(quantity="0.5")
    await place(b2, other)
    await place(b2, order)
    b2_sim.switches = Switches(hold=True, only=DELETES)
    cancelling = asyncio.ensure_future(b2.cancel_all(deadline=5))
    await b2_sim.until_held(2)
    report = await b2.replace(order, price="111000", allow_gap=True)
    assert (report.outcome, "cancel_all" in report.text) == (Outcome.NOT_SENT, True)
    b2_sim.release()
    assert len((await cancelling).affected) == 2
    assert (len(b2_sim.commands(*DELETES)), len(b2_sim.commands(*POSTS))) == (2, 2)


async def test_a_gate_that_shuts_after_the_cancel_leaves_nothing_placed_and_says_so(
    b2: Router, b2_sim: B2TraderSimulator
) -> None:
    other, order = spot(), spot(quantity="0.5")
    await place(b2, other)
    await place(b2, order)
    b2_sim.switches = Switches(hold=True, only=DELETES)
    replacing = asyncio.ensure_future(b2.replace(order, price="111000", allow_gap=True))
    await b2_sim.until_held(1)
    cancelling = asyncio.ensure_future(b2.cancel_all(deadline=5))
    await b2_sim.until_held(2)
    b2_sim.release(1)
    report = await replacing
    b2_sim.release()
    await cancelling
    assert (live(b2_sim), len(b2_sim.commands(*POSTS))) == ([], 2)
    assert (report.outcome, report.origin) == (Outcome.REFUSED, Origin.ROUTER), "the old order is gone: it was sent"
    assert report.status is OrdStatus.CANCELED


async def test_a_connection_that_is_gone_after_the_cancel_is_no_reason_to_say_not_sent(
    b2: Router, b2_sim: B2TraderSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = spot()
    await place(b2, order)
    desk = b2._desks["xbtfx"]
    cancel = desk.cancel

    def and_then_close(request: Cancel, deadline: float | None) -> asyncio.Future[Any]:
        told = cancel(request, deadline)
        told.add_done_callback(lambda _: setattr(desk.adapter, "_link", None))
        return told

    link = desk.adapter._link  # type: ignore[attr-defined]
    monkeypatch.setattr(desk, "cancel", and_then_close)
    report = await b2.replace(order, price="111000", allow_gap=True)
    desk.adapter._link = link  # type: ignore[attr-defined]
    assert (live(b2_sim), len(b2_sim.commands(*POSTS))) == ([], 1)
    assert (report.outcome, report.origin) == (Outcome.REFUSED, Origin.ROUTER), "the old order is gone: it was sent"


# -- as a new order in the old one's place


class Encoder:
    """Makes hashes that no recipe made, and the frame data that the venue wants."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __call__(self, order: Order) -> tuple[str, Mapping[str, Any]]:
        order_hash = "0x" + secrets.token_hex(32)
        price = order.price or order.stop_price
        assert price is not None
        data = {
            "hash": order_hash,
            "user_address": self.address,
            "base_token": "0x" + "00" * 20,
            "asset": order.symbol,
            "amount": str(int(order.quantity.scaleb(8))),
            "price": str(int(price.scaleb(8))),
            "side": True,
            "nonce": 1,
            "leverage": str(10**8),
        }
        if order.stop_price is not None:
            data |= {"stop": True, "stop_price": str(int(order.stop_price.scaleb(8))), "is_market": order.price is None}
        replaced = order.options.get("replace_hash")
        return order_hash, data | ({} if replaced is None else {"replace_hash": replaced})


@pytest.fixture
async def reading(dmex_sim: DmexSimulator) -> AsyncIterator[Router]:
    """DMEX that can place and read."""
    adapter = Dmex(**dmex_sim.credentials, order_encoder=Encoder(dmex_sim.address))
    async with Router({"dmex": adapter}) as router:
        yield router


@pytest.fixture
async def blind(dmex_sim: DmexSimulator) -> AsyncIterator[Router]:
    """DMEX that can place and not read."""
    adapter = Dmex(dmex_sim.private_key, url=dmex_sim.url, order_encoder=Encoder(dmex_sim.address))
    async with Router({"dmex": adapter}) as router:
        yield router


def created(sim: DmexSimulator) -> list[dict[str, Any]]:
    return [item.message["data"] for item in sim.commands("create_order")]


def resting(sim: DmexSimulator) -> list[str]:
    return [name for name, order in sim.orders.items() if not order.closed]


@pytest.mark.parametrize("allow_gap", [False, True])
async def test_dmex_puts_a_new_order_in_the_old_ones_place(
    reading: Router, dmex_sim: DmexSimulator, *, allow_gap: bool
) -> None:
    order = perp()
    old = await place(reading, order)
    dmex_sim.fill(old, 40_000_000)
    report = await reading.replace(order, price="101000", allow_gap=allow_gap)
    assert (report.outcome, resting(dmex_sim)) == (Outcome.CONFIRMED, [report.order_id])
    assert (created(dmex_sim)[1]["replace_hash"], dmex_sim.orders[old].closed) == (old, True)
    theirs = dmex_sim.orders[str(report.order_id)]
    assert (theirs.amount, theirs.price) == (60_000_000, 10_100_000_000_000)
    assert dmex_sim.commands("cancel_order") == []


async def test_the_old_order_is_known_to_be_gone_and_the_new_one_can_be_cancelled(
    reading: Router, dmex_sim: DmexSimulator
) -> None:
    order = perp()
    old, events = await place(reading, order), reading.events()
    new = await reading.replace(order, price="101000")
    async with asyncio.timeout(2):
        while (event := await anext(events)).exec_type is not ExecType.CANCELED:
            pass
    assert (event.order_id, event.text) == (old, "replaced")
    assert [row.order_id for row in await reading.open_orders("dmex")] == [new.order_id]
    late = await reading.cancel("dmex", old)
    assert (late.outcome, late.status) == (Outcome.REFUSED, OrdStatus.CANCELED)
    assert (await reading.cancel(new)).ok
    assert resting(dmex_sim) == []


async def test_dmex_without_its_list_sends_nothing(blind: Router, dmex_sim: DmexSimulator) -> None:
    order = perp()
    old = await place(blind, order)
    report = await blind.replace(order, price="101000", allow_gap=True)
    assert (report.outcome, resting(dmex_sim), len(created(dmex_sim))) == (Outcome.NOT_SENT, [old], 1)
    assert "could not be read" in report.text


async def test_a_list_that_fails_sends_nothing(reading: Router, dmex_sim: DmexSimulator) -> None:
    order = perp()
    old = await place(reading, order)
    dmex_sim.inject(Fault.SERVER_ERROR, only=LISTS, times=None)
    report = await reading.replace(order, price="101000")
    assert (report.outcome, resting(dmex_sim), len(created(dmex_sim))) == (Outcome.NOT_SENT, [old], 1)


async def test_its_deadline_covers_the_read(
    reading: Router, dmex_sim: DmexSimulator, clock: Callable[[], float]
) -> None:
    order = perp()
    old = await place(reading, order)
    dmex_sim.switches = Switches(deaf=True, only=LISTS)
    start = clock()
    report = await reading.replace(order, price="101000", deadline=0.3)
    assert (report.outcome, resting(dmex_sim)) == (Outcome.NOT_SENT, [old])
    assert clock() - start < 1.5


@pytest.mark.parametrize(
    ("before", "terms"), [(100_000_000, {"price": "101000"}), (50_000_000, {"quantity": "0.5"})], ids=["all", "more"]
)
async def test_when_nothing_is_left_nothing_is_sent(
    reading: Router, dmex_sim: DmexSimulator, before: int, terms: dict[str, str]
) -> None:
    order = perp()
    dmex_sim.fill(await place(reading, order), before)
    report = await reading.replace(order, **terms)
    assert (report.outcome, len(created(dmex_sim))) == (Outcome.NOT_SENT, 1)


async def test_a_new_order_in_doubt_is_settled_by_the_list(reading: Router, dmex_sim: DmexSimulator) -> None:
    order = perp()
    old = await place(reading, order)
    dmex_sim.switches = Switches(mute=True, only=frozenset({"create_order"}))
    report = await reading.replace(order, price="101000", deadline=0.2)
    assert report.outcome is Outcome.UNKNOWN
    settled = await report.settled(5)
    assert (settled.outcome, resting(dmex_sim)) == (Outcome.CONFIRMED, [settled.order_id])
    assert (len(created(dmex_sim)), dmex_sim.orders[old].closed) == (2, True)


async def test_the_gate_at_dmex(reading: Router, dmex_sim: DmexSimulator) -> None:
    order = perp()
    await place(reading, order)
    dmex_sim.switches = Switches(hold=True, only=frozenset({"cancel_order"}))
    cancelling = asyncio.ensure_future(reading.cancel_all(deadline=5))
    await dmex_sim.until_held(1)
    report = await reading.replace(order, price="101000")
    assert (report.outcome, len(created(dmex_sim))) == (Outcome.NOT_SENT, 1)
    dmex_sim.switches = Switches()
    dmex_sim.release()
    assert (await cancelling).no_open_orders


# -- stops at DMEX, which cancels them by their hash like any order

DMEX_STOPS = [{"type": "stop", "price": None, "stop_price": "90000"}, {"type": "stop_limit", "stop_price": "90000"}]


@pytest.fixture(params=[True, False], ids=["reading", "blind"])
async def either(request: pytest.FixtureRequest, dmex_sim: DmexSimulator) -> AsyncIterator[Router]:
    """DMEX that can place, with its list and without."""
    credentials = dmex_sim.credentials if request.param else {**dmex_sim.credentials, "rest_url": None}
    async with Router({"dmex": Dmex(**credentials, order_encoder=Encoder(dmex_sim.address))}) as router:
        yield router


@pytest.mark.parametrize("terms", DMEX_STOPS, ids=["stop", "stop_limit"])
@pytest.mark.parametrize("by", ["order", "report", "hash"])
async def test_a_stop_at_dmex_is_cancelled(
    either: Router, dmex_sim: DmexSimulator, terms: dict[str, Any], by: str
) -> None:
    order = perp(**terms)
    placed = await either.submit(order)
    assert (placed.outcome, len(resting(dmex_sim))) == (Outcome.CONFIRMED, 1)
    target = {"order": order, "report": placed, "hash": Cancel("dmex", str(placed.order_id))}[by]
    report = await either.cancel(target)
    assert (report.outcome, resting(dmex_sim)) == (Outcome.CONFIRMED, []), report


async def test_a_stop_at_dmex_is_cancelled_as_it_is_listed(reading: Router, dmex_sim: DmexSimulator) -> None:
    await place(reading, perp(**DMEX_STOPS[0]))
    dmex_sim.rest(stop=True, stop_price=9_000_000_000_000, is_market=True)
    for row in await reading.open_orders("dmex"):
        report = await reading.cancel(row)
        assert report.ok, report
    assert resting(dmex_sim) == []


async def test_a_stop_at_dmex_is_taken_by_cancel_all(either: Router, dmex_sim: DmexSimulator) -> None:
    order_id = await place(either, perp(**DMEX_STOPS[0]))
    report = await either.cancel_all(deadline=2)
    assert ([order.order_id for order in report.affected], resting(dmex_sim)) == ([order_id], []), report


async def test_a_stop_at_dmex_is_replaced(reading: Router, dmex_sim: DmexSimulator) -> None:
    order = perp(**DMEX_STOPS[0])
    old = await place(reading, order)
    report = await reading.replace(order, stop_price="91000", allow_gap=True)
    assert (report.outcome, resting(dmex_sim)) == (Outcome.CONFIRMED, [report.order_id]), report
    assert created(dmex_sim)[1]["replace_hash"] == old
