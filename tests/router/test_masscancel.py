"""cancel_all on the simulated venues: what it takes, in which order, and what it may call proven."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from attrs import evolve

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex import Qfex
from adapters.qfex.codec import SPEC, QfexCodec
from adapters.qfex.simulator import Order as TheirOrder
from adapters.qfex.simulator import QfexSimulator, Twap
from router import (
    CxlRejReason,
    Event,
    EventStream,
    ExecType,
    IdKind,
    Order,
    OrdStatus,
    Origin,
    Outcome,
    Router,
    RouterClosed,
    UnknownVenue,
)
from router.massreport import MassCancelReport, VenueCancelReport
from router.session import Session
from router.testing import Fault, Switches
from router.venue import Budget

AAPL, GOLD = "AAPL-USD", "GOLD-USD"
ADDS = frozenset({"add_order", "add_twap"})
READS = frozenset({"get_user_orders"})
CANCELS = ("cancel_order", "cancel_stop_order", "cancel_all_orders")
QUIET_PERIOD = 0.3


# -- what rests where


def limit(symbol: str = AAPL, **changes: Any) -> Order:
    return Order("qfex", symbol, "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


def stop(symbol: str = AAPL) -> Order:
    return Order("qfex", symbol, "sell", "stop", "1", stop_price="120")


def twap(symbol: str = AAPL) -> Order:
    return Order("qfex", symbol, "buy", "twap", "10", options={"num_orders": 5, "order_interval_secs": 30})


def spot(quantity: str = "0.02") -> Order:
    return Order("xbtfx", "spot.btc_usdt", "buy", "limit", quantity, "110000")


def spot_stop() -> Order:
    return Order("xbtfx", "spot.btc_usdt", "buy", "stop", "0.01", stop_price="128000")


def perp() -> Order:
    return Order("dmex", "btcusd", "buy", "limit", "10", "100000")


def strangers(sim: QfexSimulator, count: int = 1, **fields: Any) -> list[str]:
    """Orders or stops of the account that this Router has not placed and has not been told of."""
    usual: dict[str, Any] = {"symbol": AAPL, "quantity": Decimal(1), "price": Decimal(100)}
    orders = [TheirOrder(account=sim.account_id, **usual | fields) for _ in range(count)]
    for order in orders:
        sim.exchange.add(order)
    return [order.order_id for order in orders]


def strange_twap(sim: QfexSimulator, symbol: str = AAPL) -> str:
    found = Twap(
        account=sim.account_id,
        symbol=symbol,
        side="BUY",
        total_quantity=Decimal(10),
        num_orders=5,
        order_interval_secs=30,
        reduce_only=False,
    )
    return sim.exchange.add_twap(found).twap_id


async def place(router: Router, *orders: Order) -> list[str]:
    reports = [await router.submit(order) for order in orders]
    assert [report.outcome for report in reports] == [Outcome.CONFIRMED] * len(orders), reports
    return [str(report.order_id) for report in reports]


def encoder(sim: DmexSimulator) -> Callable[[Order], tuple[str, Mapping[str, Any]]]:
    """Makes hashes that no recipe made, and the frame data that the venue wants."""

    def encode(order: Order) -> tuple[str, Mapping[str, Any]]:
        assert order.price is not None
        order_hash = "0x" + secrets.token_hex(32)
        numbers = {"amount": str(int(order.quantity.scaleb(8))), "price": str(int(order.price.scaleb(8)))}
        owner = {"hash": order_hash, "user_address": sim.address, "base_token": "0x" + "00" * 20}
        return order_hash, owner | numbers | {"asset": order.symbol, "side": True, "nonce": 1, "leverage": "100000000"}

    return encode


def left(sim: QfexSimulator) -> set[str]:
    return {*sim.book, *sim.stops, *sim.twaps}


def open_at(sim: B2TraderSimulator) -> set[str]:
    return {name for name, order in (sim.orders | sim.stops).items() if order.live}


def open_on(sim: DmexSimulator) -> set[str]:
    return {name for name, order in sim.orders.items() if not order.closed}


def taken(report: MassCancelReport | VenueCancelReport) -> set[str | None]:
    return {order.order_id for order in report.affected}


def sequence(sim: QfexSimulator) -> list[str]:
    """The cancels on the wire, by what they name."""
    words = {"cancel_stop_order": "stop", "cancel_all_orders": "all"}
    found = sim.commands(*CANCELS)
    return [words.get(item.command) or item.message["params"]["cancel_order_id_type"] for item in found]


async def event_of(stream: EventStream, venue: str, exec_type: ExecType) -> Event:
    async with asyncio.timeout(5):
        while True:
            event = await anext(stream)
            if (event.venue, event.exec_type) == (venue, exec_type):
                return event


# -- Routers


@asynccontextmanager
async def qfex_with(sim: QfexSimulator, **changes: Any) -> AsyncIterator[Router]:
    """QFEX with another Spec: a quiet period that a test can wait for, a smaller budget."""
    codec = QfexCodec(spec=evolve(SPEC, url=sim.url, **changes), public_key=sim.public_key, secret_key=sim.secret_key)
    async with Router({"qfex": Session(codec)}) as router:
        yield router


@pytest.fixture
async def hasty(qfex_sim: QfexSimulator) -> AsyncIterator[Router]:
    async with qfex_with(qfex_sim, quiet_period=QUIET_PERIOD) as router:
        yield router


@pytest.fixture
async def reading(dmex_sim: DmexSimulator) -> AsyncIterator[Router]:
    """DMEX with its REST address."""
    async with Router({"dmex": Dmex(**dmex_sim.credentials)}) as router:
        yield router


@pytest.fixture
async def blind(dmex_sim: DmexSimulator) -> AsyncIterator[Router]:
    """DMEX without it, which can place."""
    adapter = Dmex(dmex_sim.private_key, url=dmex_sim.url, order_encoder=encoder(dmex_sim))
    async with Router({"dmex": adapter}) as router:
        yield router


@pytest.fixture
async def three(qfex_sim: QfexSimulator, b2_sim: B2TraderSimulator, dmex_sim: DmexSimulator) -> AsyncIterator[Router]:
    venues = {
        "qfex": Qfex(**qfex_sim.credentials),
        "xbtfx": B2Trader(**b2_sim.credentials),
        "dmex": Dmex(**dmex_sim.credentials),
    }
    async with Router(venues) as router:
        yield router


# -- what it takes, and what it says


async def test_everything_at_three_venues(
    three: Router, qfex_sim: QfexSimulator, b2_sim: B2TraderSimulator, dmex_sim: DmexSimulator
) -> None:
    here = [*await place(three, limit(), stop(GOLD), twap()), *strangers(qfex_sim), strange_twap(qfex_sim)]
    there = await place(three, spot(), spot_stop())
    hashes = [dmex_sim.rest() for _ in range(2)]
    report = await three.cancel_all(deadline=5)
    assert {name: taken(part) for name, part in report.venues.items()} == {
        "qfex": set(here),
        "xbtfx": set(there),
        "dmex": set(hashes),
    }
    proven = {name: part.no_open_orders for name, part in report.venues.items()}
    assert proven == {"qfex": True, "xbtfx": False, "dmex": True}
    assert not report.no_open_orders
    assert ["cannot list" in doubt.text for doubt in report.doubts] == [True]
    assert report.not_affected == ()
    assert (left(qfex_sim), open_at(b2_sim), open_on(dmex_sim)) == (set(), set(), set())


async def test_an_empty_venue_is_proven_by_reading_it_twice(qfex: Router, qfex_sim: QfexSimulator) -> None:
    before = len(qfex_sim.commands(*READS))
    report = await qfex.cancel_all()
    part = report.venues["qfex"]
    assert (part.affected, part.not_affected, part.doubts) == ((), (), ())
    assert report.no_open_orders
    assert (sequence(qfex_sim), len(qfex_sim.commands(*READS)) - before) == ([], 2)


async def test_a_report_is_neither_true_nor_false_and_says_that_positions_stay(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    await place(qfex, limit())
    report = await qfex.cancel_all()
    assert str(report) == "qfex: 1 cancelled, no open orders; positions are untouched"
    with pytest.raises(TypeError, match="no_open_orders"):
        bool(report)


async def test_a_router_without_venues_proves_nothing() -> None:
    async with Router({}) as router:
        report = await router.cancel_all()
    assert (report.no_open_orders, str(report)) == (False, "no venue")


async def test_one_venue_of_several(three: Router, qfex_sim: QfexSimulator, dmex_sim: DmexSimulator) -> None:
    [mine], order_hash = await place(three, limit()), dmex_sim.rest()
    report = await three.cancel_all("dmex")
    assert (list(report.venues), taken(report), report.no_open_orders) == (["dmex"], {order_hash}, True)
    assert list(qfex_sim.book) == [mine]


async def test_mistakes_of_the_caller(qfex: Router) -> None:
    with pytest.raises(UnknownVenue, match="qfex"):
        await qfex.cancel_all("qfx")
    with pytest.raises(ValueError, match="everything"):
        await qfex.cancel_all(scope="everything")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="deadline"):
        await qfex.cancel_all(deadline=0)
    await qfex.close()
    with pytest.raises(RouterClosed):
        await qfex.cancel_all()


@pytest.mark.parametrize("terms", [{}, {"symbol": AAPL}])
async def test_only_what_is_in_scope_own(qfex: Router, qfex_sim: QfexSimulator, terms: dict[str, str]) -> None:
    mine = await place(qfex, limit(), stop())
    theirs = {*strangers(qfex_sim, 2), *strangers(qfex_sim, side="SELL", type="STOP_LOSS")}
    report = await qfex.cancel_all(scope="own", **terms)
    assert (taken(report), left(qfex_sim), report.no_open_orders) == (set(mine), theirs, True)


async def test_only_what_is_in_scope_symbol(qfex: Router, qfex_sim: QfexSimulator) -> None:
    mine = await place(qfex, limit(), stop(), twap())
    others = {*await place(qfex, limit(GOLD), stop(GOLD), twap(GOLD)), *strangers(qfex_sim, symbol=GOLD)}
    mine += strangers(qfex_sim)
    report = await qfex.cancel_all(symbol=AAPL)
    assert (taken(report), left(qfex_sim), report.no_open_orders) == (set(mine), others, True)


async def test_what_twaps_of_our_own_have_placed_is_a_doubt_where_strangers_are_to_be_left(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    [mine] = await place(qfex, twap())
    child = await qfex_sim.spawn_child(mine, quantity=2, price=100)
    report = await qfex.cancel_all(scope="own", deadline=2)
    assert (taken(report), left(qfex_sim), report.no_open_orders) == ({mine}, {child}, False)
    assert ["TWAP" in doubt.text for doubt in report.doubts] == [True]


async def test_the_ends_are_told_as_our_own_doing(qfex: Router, qfex_sim: QfexSimulator) -> None:
    events = qfex.events()
    await place(qfex, limit())
    await qfex.cancel_all()
    assert (await event_of(events, "qfex", ExecType.CANCELED)).origin is Origin.CLIENT


# -- rule 1: the gate


async def test_nothing_new_is_placed_until_it_ends(qfex: Router, qfex_sim: QfexSimulator) -> None:
    await place(qfex, limit())
    qfex_sim.switches = Switches(hold=True, only=READS)
    cancelling = asyncio.ensure_future(qfex.cancel_all())
    await qfex_sim.until_held(1)
    for order in (limit(), stop(GOLD), twap()):
        refused = await qfex.submit(order)
        assert (refused.outcome, "cancel_all" in refused.text) == (Outcome.NOT_SENT, True)
    qfex_sim.switches = Switches()
    qfex_sim.release()
    assert (await cancelling).no_open_orders
    assert (len(qfex_sim.commands(*ADDS)), left(qfex_sim)) == (1, set())
    await place(qfex, limit())


async def test_the_gate_is_as_wide_as_the_scope(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=READS)
    cancelling = asyncio.ensure_future(qfex.cancel_all(symbol=AAPL))
    await qfex_sim.until_held(1)
    other = await qfex.submit(limit(GOLD))
    refused = await qfex.submit(limit(AAPL))
    assert (other.outcome, refused.outcome) == (Outcome.CONFIRMED, Outcome.NOT_SENT)
    qfex_sim.switches = Switches()
    qfex_sim.release()
    assert (await cancelling).no_open_orders
    assert list(qfex_sim.book) == [other.order_id]


async def test_a_replace_in_scope_is_not_sent_either(qfex: Router, qfex_sim: QfexSimulator) -> None:
    order = limit()
    await place(qfex, order)
    qfex_sim.switches = Switches(hold=True, only=READS)
    cancelling = asyncio.ensure_future(qfex.cancel_all())
    await qfex_sim.until_held(1)
    refused = await qfex.replace(order, price="151")
    assert (refused.outcome, "cancel_all" in refused.text) == (Outcome.NOT_SENT, True)
    qfex_sim.switches = Switches()
    qfex_sim.release()
    assert (await cancelling).no_open_orders
    assert qfex_sim.commands("modify_order") == []


async def test_the_gate_opens_when_the_caller_is_cancelled(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=READS)
    cancelling = asyncio.ensure_future(qfex.cancel_all())
    await qfex_sim.until_held(1)
    cancelling.cancel()
    await asyncio.gather(cancelling, return_exceptions=True)
    qfex_sim.switches = Switches()
    qfex_sim.release()
    [order_id] = await place(qfex, limit())
    assert list(qfex_sim.book) == [order_id]


async def test_the_gate_opens_at_the_deadline(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(deaf=True, only=READS)
    assert not (await qfex.cancel_all(deadline=0.1)).no_open_orders
    [order_id] = await place(qfex, limit())
    assert list(qfex_sim.book) == [order_id]


async def test_of_two_at_once_the_last_one_opens_the_gate(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=READS)
    first, second = (asyncio.ensure_future(qfex.cancel_all()) for _ in range(2))
    await qfex_sim.until_held(1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await qfex.submit(limit())).outcome is Outcome.NOT_SENT
    qfex_sim.switches = Switches()
    qfex_sim.release()
    assert (await second).no_open_orders
    await place(qfex, limit())


async def test_a_submit_that_has_not_left_never_will(qfex_sim: QfexSimulator) -> None:
    budget = Budget(5, 0.5)  # of which submits may not use the last fifth
    async with qfex_with(qfex_sim, budget=budget) as router:
        placing = [asyncio.ensure_future(router.submit(limit())) for _ in range(20)]
        sent = await qfex_sim.until(1, "add_order")
        report = await router.cancel_all(deadline=10)
        outcomes = [(await each).outcome for each in placing]
        sent = qfex_sim.commands("add_order")
    assert (outcomes.count(Outcome.CONFIRMED), outcomes.count(Outcome.NOT_SENT)) == (len(sent), 20 - len(sent))
    assert 0 < len(sent) < 20
    assert (report.no_open_orders, left(qfex_sim)) == (True, set())


async def test_an_order_whose_answer_is_kept_back_is_taken(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=ADDS)
    placing = asyncio.ensure_future(qfex.submit(limit()))
    await qfex_sim.until_held(1)
    report, placed = await qfex.cancel_all(), await placing
    assert (placed.outcome, placed.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED), "its end was its answer"
    assert (taken(report), left(qfex_sim), report.no_open_orders) == ({placed.order_id}, set(), True)


async def test_the_order_of_a_submit_that_arrives_late_is_taken(venue, toy_session, order) -> None:
    async with Router({"toy": toy_session()}) as router:
        placing = asyncio.ensure_future(router.submit(order("C")))
        await venue.until("add C")
        cancelling = asyncio.ensure_future(router.cancel_all(deadline=5))
        await venue.until("list", 5)
        assert not cancelling.done()
        venue.rows = "o1:C"
        await venue.say("added C o1")
        await venue.until("cancel o1")
        venue.rows = ""
        await venue.say("cancelled o1 C")
        report = await cancelling
        assert ((await placing).outcome, taken(report), report.no_open_orders) == (Outcome.CONFIRMED, {"o1"}, True)


# -- rule 2: sources first


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"symbol": AAPL}, ["twap_id", "twap_id", "stop", "stop", "order_id", "order_id"]),
        ({"scope": "own"}, ["twap_id", "stop", "order_id"]),
        ({}, ["twap_id", "twap_id", "stop", "stop", "all"]),
    ],
    ids=["symbol", "own", "account"],
)
async def test_what_makes_orders_goes_first(
    qfex: Router, qfex_sim: QfexSimulator, terms: dict[str, Any], expected: list[str]
) -> None:
    strangers(qfex_sim)
    strangers(qfex_sim, side="SELL", type="STOP_LOSS")
    strange_twap(qfex_sim)
    await place(qfex, limit(), stop(), twap())
    await qfex.cancel_all(**terms)
    assert sequence(qfex_sim) == expected


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("terms", [{}, {"symbol": AAPL}])
async def test_a_child_that_a_twap_makes_while_it_is_cancelled_does_not_survive(
    qfex: Router, qfex_sim: QfexSimulator, terms: dict[str, Any], *, told: bool
) -> None:
    [source] = await place(qfex, twap())
    qfex_sim.switches = Switches(hold=True, only=READS)
    cancelling = asyncio.ensure_future(qfex.cancel_all(**terms))
    await qfex_sim.until_held(1)
    if told:
        await qfex_sim.spawn_child(source, quantity=2, price=100)
    else:
        qfex_sim.exchange.spawn_child(source, Decimal(2), Decimal(100))
    [child] = qfex_sim.book
    qfex_sim.switches = Switches()
    qfex_sim.release()
    report = await cancelling
    assert (taken(report), left(qfex_sim), report.no_open_orders) == ({source, child}, set(), True)


async def test_a_source_that_does_not_answer_holds_up_the_others_for_a_little_only(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    await place(qfex, twap(), limit())
    qfex_sim.switches = Switches(deaf=True, only=frozenset({"cancel_order"}))
    cancelling = asyncio.ensure_future(qfex.cancel_all(deadline=4))
    await qfex_sim.until(1, "cancel_all_orders", timeout=2.5)
    report = await cancelling
    assert (list(qfex_sim.book), len(qfex_sim.twaps)) == ([], 1)
    assert [(item.order.kind, item.order.status) for item in report.not_affected] == [(IdKind.TWAP, OrdStatus.NEW)]
    assert not report.no_open_orders


# -- rule 3: the venue's own cancel-all


async def test_the_native_command_takes_two_hundred_orders_at_once(qfex: Router, qfex_sim: QfexSimulator) -> None:
    many = set(strangers(qfex_sim, 200))
    report = await qfex.cancel_all()
    assert (taken(report), left(qfex_sim), report.no_open_orders) == (many, set(), True)
    assert sequence(qfex_sim) == ["all"]


@pytest.mark.parametrize("terms", [{"symbol": AAPL}, {"scope": "own"}, {"symbol": AAPL, "scope": "own"}])
async def test_no_native_command_where_it_would_take_more_than_the_scope(
    qfex: Router, qfex_sim: QfexSimulator, terms: dict[str, Any]
) -> None:
    await place(qfex, limit(), limit())
    assert (await qfex.cancel_all(**terms)).no_open_orders
    assert sequence(qfex_sim) == ["order_id", "order_id"]


async def test_no_native_command_for_stops_alone(qfex: Router, qfex_sim: QfexSimulator) -> None:
    await place(qfex, stop(), stop())
    assert (await qfex.cancel_all()).no_open_orders
    assert sequence(qfex_sim) == ["stop", "stop"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault.HANG_UP_UNREAD,
        Fault.HANG_UP_READ,
        Fault.HANG_UP_EXECUTED,
        Fault.HANG_UP_ANSWERING,
        Fault.DEAF,
        Fault.MUTE,
        Fault.SERVER_ERROR,
        Fault.SERVER_ERROR_EXECUTED,
        Fault.THROTTLED,
        Fault.GARBLE,
    ],
)
async def test_a_native_command_in_doubt_is_never_given_again(
    qfex: Router, qfex_sim: QfexSimulator, fault: Fault
) -> None:
    many = set(strangers(qfex_sim, 3))
    qfex_sim.inject(fault, only={"cancel_all_orders"}, times=None)
    report = await qfex.cancel_all(deadline=8)
    assert len(qfex_sim.faults.struck) == 1, "struck as often as it arrived"
    assert (left(qfex_sim), report.no_open_orders) == (set(), True)
    assert taken(report) | {item.order.order_id for item in report.not_affected} == many


async def test_a_native_command_that_takes_no_orders_is_followed_by_cancels(
    qfex: Router, qfex_sim: QfexSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = set(strangers(qfex_sim, 3))
    monkeypatch.setattr(type(qfex_sim.exchange), "cancel_all", lambda *_, **__: [])
    report = await qfex.cancel_all()
    assert (taken(report), left(qfex_sim), report.no_open_orders) == (many, set(), True)
    assert sequence(qfex_sim) == ["all", "order_id", "order_id", "order_id"]


# -- rule 4: only fresh reads prove anything


@pytest.mark.parametrize("terms", [{}, {"symbol": AAPL}])
async def test_an_order_that_appears_after_the_first_list_is_taken_and_told(
    qfex: Router, qfex_sim: QfexSimulator, terms: dict[str, str]
) -> None:
    [early] = strangers(qfex_sim)
    qfex_sim.switches = Switches(hold=True, only=READS)
    cancelling = asyncio.ensure_future(qfex.cancel_all(**terms))
    await qfex_sim.until_held(1)
    [late] = strangers(qfex_sim)
    qfex_sim.switches = Switches()
    qfex_sim.release()
    report = await cancelling
    assert (taken(report), left(qfex_sim), report.no_open_orders) == ({early, late}, set(), True)


async def test_one_empty_read_is_no_proof(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=READS)
    cancelling = asyncio.ensure_future(qfex.cancel_all())
    await qfex_sim.until_held(1)
    [late] = strangers(qfex_sim)  # after the first read, which found nothing
    qfex_sim.switches = Switches()
    qfex_sim.release()
    report = await cancelling
    assert (taken(report), left(qfex_sim), report.no_open_orders) == ({late}, set(), True)


async def test_cut_short_after_one_empty_read_it_says_so(qfex: Router, qfex_sim: QfexSimulator) -> None:
    report = await qfex.cancel_all(deadline=0.1)
    assert (report.no_open_orders, len(report.doubts)) == (False, 1)
    assert "not read" not in report.doubts[0].text, "they were read, once"


async def test_reads_that_fail_after_the_cancels_are_a_doubt(qfex: Router, qfex_sim: QfexSimulator) -> None:
    strangers(qfex_sim)
    qfex_sim.switches = Switches(hold=True, only=READS)
    cancelling = asyncio.ensure_future(qfex.cancel_all(deadline=0.6))
    await qfex_sim.until_held(1)
    qfex_sim.switches = Switches(deaf=True, only=READS)
    qfex_sim.release()
    report = await cancelling
    assert (len(report.affected), report.not_affected, report.no_open_orders) == (1, (), False)
    assert report.doubts, "nothing says why it is not proven"


@pytest.mark.parametrize("executed", [True, False])
async def test_a_submit_in_doubt_is_settled_meanwhile(
    hasty: Router, qfex_sim: QfexSimulator, *, executed: bool
) -> None:
    qfex_sim.switches = Switches(mute=executed, deaf=not executed, only=ADDS)
    unknown = await hasty.submit(limit(), deadline=0.05)
    assert unknown.outcome is Outcome.UNKNOWN
    report = await hasty.cancel_all(deadline=8)
    assert (left(qfex_sim), report.no_open_orders, report.doubts) == (set(), True, ())
    assert len(report.affected) == executed
    settled = await unknown.settled(5)
    assert settled.outcome is (Outcome.CONFIRMED if executed else Outcome.REFUSED)


async def test_a_submit_in_doubt_is_a_doubt_until_it_is_settled(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(deaf=True, only=ADDS)
    order = limit()
    assert (await qfex.submit(order, deadline=0.05)).outcome is Outcome.UNKNOWN
    report = await qfex.cancel_all(deadline=1)
    assert not report.no_open_orders
    [doubt] = [doubt for doubt in report.doubts if doubt.order is not None]
    assert order.client_order_id in doubt.text
    assert doubt.order is not None
    assert doubt.order.client_order_id == order.client_order_id


async def test_a_submit_in_doubt_outside_the_scope_is_none(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(deaf=True, only=ADDS)
    assert (await qfex.submit(limit(GOLD), deadline=0.05)).outcome is Outcome.UNKNOWN
    report = await qfex.cancel_all(symbol=AAPL, deadline=3)
    assert (report.no_open_orders, report.doubts) == (True, ())


@pytest.mark.parametrize("executed", [True, False])
async def test_a_replace_in_doubt_of_an_order_that_was_taken_is_none(
    hasty: Router, qfex_sim: QfexSimulator, *, executed: bool
) -> None:
    order = limit()
    await place(hasty, order)
    qfex_sim.switches = Switches(mute=executed, deaf=not executed, only=frozenset({"modify_order"}))
    assert (await hasty.replace(order, price="151", deadline=0.05)).outcome is Outcome.UNKNOWN
    report = await hasty.cancel_all(deadline=3)
    assert (left(qfex_sim), report.no_open_orders) == (set(), True), report


@pytest.mark.parametrize(
    "fault",
    [
        Fault.MUTE,
        Fault.DEAF,
        Fault.GARBLE,
        Fault.TRUNCATE,
        Fault.SERVER_ERROR,
        Fault.THROTTLED,
    ],
)
async def test_what_cannot_be_read_is_never_proven_and_the_native_command_goes_out_once(
    qfex: Router, qfex_sim: QfexSimulator, fault: Fault
) -> None:
    await place(qfex, limit(), stop())
    strangers(qfex_sim, 3)
    qfex_sim.inject(fault, only=READS, times=None)
    report = await qfex.cancel_all(deadline=1)
    await qfex_sim.until(1, "cancel_all_orders")
    assert (len(qfex_sim.commands("cancel_all_orders")), qfex_sim.book) == (1, {})
    assert not report.no_open_orders
    assert any("could not be read" in doubt.text for doubt in report.doubts)
    assert not taken(report) & left(qfex_sim)


@pytest.mark.parametrize("fault", [Fault.DEAF, Fault.SERVER_ERROR, Fault.HANG_UP_READ])
@pytest.mark.parametrize("terms", [{}, {"symbol": AAPL}, {"scope": "own"}], ids=["account", "symbol", "own"])
async def test_what_the_router_knows_is_cancelled_where_the_list_fails(
    qfex: Router, qfex_sim: QfexSimulator, fault: Fault, terms: dict[str, Any]
) -> None:
    mine = await place(qfex, limit(), stop(), twap())
    qfex_sim.inject(fault, only=READS, times=None)
    report = await qfex.cancel_all(**terms, deadline=1.5)
    assert (left(qfex_sim), report.no_open_orders) == (set(), False)
    if fault is not Fault.HANG_UP_READ:  # which takes the frames that tell of their ends with it
        assert taken(report) >= {*mine[:2]}, "a TWAP's end has no frame that tells it for certain"


async def test_a_muted_list_does_not_keep_the_native_command_back(qfex: Router, qfex_sim: QfexSimulator) -> None:
    strangers(qfex_sim, 3)
    qfex_sim.inject(Fault.MUTE, only=READS, times=None)
    cancelling = asyncio.ensure_future(qfex.cancel_all(deadline=12))
    await qfex_sim.until(1, "cancel_all_orders", timeout=3)
    assert qfex_sim.book == {}
    cancelling.cancel()
    await asyncio.gather(cancelling, return_exceptions=True)


async def test_a_read_that_was_lost_with_its_connection_takes_no_later_answer(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    [mine] = await place(qfex, limit())
    qfex_sim.switches = Switches(hold=True, only=READS)
    await qfex_sim.drop_connections()
    await qfex_sim.until_held(1)  # the list that is read after a new login
    qfex_sim.switches = Switches()
    await qfex_sim.drop_connections()
    qfex_sim.release()
    report = await qfex.cancel_all(deadline=4)  # less than a page's time-out
    assert (taken(report), left(qfex_sim), report.no_open_orders) == ({mine}, set(), True), report


async def test_reads_that_fail_for_a_while_are_tried_again(reading: Router, dmex_sim: DmexSimulator) -> None:
    hashes = {dmex_sim.rest() for _ in range(3)}
    dmex_sim.inject(Fault.SERVER_ERROR, only={"GET orders"}, times=3)
    report = await reading.cancel_all(deadline=8)
    assert (taken(report), open_on(dmex_sim), report.no_open_orders) == (hashes, set(), True)


# -- what was not taken


async def test_what_is_refused_is_told_with_the_reason(venue, toy_session, clock: Callable[[], float]) -> None:
    async with Router({"toy": toy_session()}) as router:
        venue.rows = "o1:A"
        start = clock()
        cancelling = asyncio.ensure_future(router.cancel_all(deadline=20))
        for attempt in range(1, 4):
            await venue.until("cancel o1", attempt)
            await venue.say("refused o1")
        report = await cancelling
        [missed] = report.not_affected
        assert (missed.order.order_id, missed.reason) == ("o1", CxlRejReason.UNKNOWN_ORDER)
        assert "no such order" in missed.text
        assert (report.affected, report.no_open_orders, venue.count("cancel o1")) == ((), False, 3)
        assert clock() - start < 10, "what is refused again and again is given up"


async def test_what_was_filled_meanwhile_is_told_with_the_fill(qfex: Router, qfex_sim: QfexSimulator) -> None:
    [filled, other] = await place(qfex, limit(), limit())
    qfex_sim.switches = Switches(hold=True, only=READS)
    cancelling = asyncio.ensure_future(qfex.cancel_all(symbol=AAPL))
    await qfex_sim.until_held(1)
    await qfex_sim.fill(filled)
    qfex_sim.switches = Switches()
    qfex_sim.release()
    report = await cancelling
    [missed] = report.not_affected
    assert (missed.order.order_id, missed.reason) == (filled, CxlRejReason.TOO_LATE_TO_CANCEL)
    assert (missed.order.status, missed.order.cum_quantity) == (OrdStatus.FILLED, Decimal(1))
    assert (taken(report), report.no_open_orders) == ({other}, True)


async def test_what_went_and_nobody_said_how_is_not_called_cancelled(qfex: Router, qfex_sim: QfexSimulator) -> None:
    [filled] = strangers(qfex_sim)
    qfex_sim.switches = Switches(hold=True, only=READS)
    cancelling = asyncio.ensure_future(qfex.cancel_all(symbol=AAPL))
    await qfex_sim.until_held(1)
    qfex_sim.engine.fill(filled, None, None)  # and no frame of it
    qfex_sim.switches = Switches()
    qfex_sim.release()
    report = await cancelling
    assert [(item.order.order_id, item.reason) for item in report.not_affected] == [(filled, None)]
    assert (report.affected, report.no_open_orders) == ((), True)


async def test_cancels_that_nobody_answers_leave_the_orders_open_in_the_report(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    mine = await place(qfex, limit(), stop())
    qfex_sim.switches = Switches(deaf=True, only=frozenset(CANCELS))
    report = await qfex.cancel_all(deadline=0.8)
    assert {item.order.order_id for item in report.not_affected} == set(mine)
    assert all(item.order.status is OrdStatus.NEW for item in report.not_affected)
    assert (report.affected, report.no_open_orders, left(qfex_sim)) == ((), False, set(mine))


# -- rule 5: where nothing can be listed


async def test_what_the_router_knows_is_cancelled_and_nothing_is_proven(b2: Router, b2_sim: B2TraderSimulator) -> None:
    orders = await place(b2, *(spot() for _ in range(5)), spot_stop())
    report = await b2.cancel_all()
    assert (taken(report), open_at(b2_sim), report.no_open_orders) == (set(orders), set(), False)
    assert len(report.doubts) == 1
    deletes = [item.command for item in b2_sim.commands("DELETE orders", "DELETE stop-orders")]
    assert deletes == ["DELETE stop-orders", *["DELETE orders"] * 5]


async def test_a_refusal_and_a_fill_where_nothing_can_be_listed(b2: Router, b2_sim: B2TraderSimulator) -> None:
    [order_id] = await place(b2, spot())
    b2_sim.fail_next = [400]
    report = await b2.cancel_all()
    [missed] = report.not_affected
    assert (missed.order.order_id, missed.reason, "400" in missed.text) == (order_id, CxlRejReason.OTHER, True)
    assert (report.affected, open_at(b2_sim)) == ((), {order_id})
    b2_sim.order_cancel_status = "Completed"
    report = await b2.cancel_all()
    [missed] = report.not_affected
    assert (missed.order.status, missed.reason) == (OrdStatus.FILLED, CxlRejReason.TOO_LATE_TO_CANCEL)


@pytest.mark.parametrize("fault", [Fault.MUTE, Fault.SERVER_ERROR_EXECUTED, Fault.HTML_ERROR])
async def test_a_cancel_in_doubt_where_nothing_can_be_listed(
    b2: Router, b2_sim: B2TraderSimulator, fault: Fault
) -> None:
    [order_id] = await place(b2, spot())
    b2_sim.inject(fault, only={"DELETE orders"}, times=None)
    report = await b2.cancel_all(deadline=1.2)
    about = {doubt.order.order_id for doubt in report.doubts if doubt.order is not None}
    assert (about, report.affected, report.not_affected) == ({order_id}, (), ())
    assert not report.no_open_orders
    assert len(b2_sim.commands("DELETE orders")) <= 2, "the cancel, and one repeat"


async def test_a_submit_in_flight_is_waited_for_where_nothing_can_be_listed(
    b2: Router, b2_sim: B2TraderSimulator
) -> None:
    [known] = await place(b2, spot())
    b2_sim.switches = Switches(hold=True, only=frozenset({"POST orders"}))
    placing = asyncio.ensure_future(b2.submit(spot()))
    await b2_sim.until_held(1)
    cancelling = asyncio.ensure_future(b2.cancel_all(deadline=3))
    await b2_sim.until(1, "DELETE orders")
    b2_sim.release()
    placed, report = await placing, await cancelling
    assert (taken(report), open_at(b2_sim)) == ({known, placed.order_id}, set())


async def test_dmex_without_its_list(blind: Router, dmex_sim: DmexSimulator) -> None:
    mine = await place(blind, perp(), perp())
    [theirs] = [dmex_sim.rest()]
    report = await blind.cancel_all()
    assert (taken(report), open_on(dmex_sim), report.no_open_orders) == (set(mine), {theirs}, False)
    assert ["cannot list" in doubt.text for doubt in report.doubts] == [True]


async def test_dmex_with_its_list_takes_strangers_too(reading: Router, dmex_sim: DmexSimulator) -> None:
    hashes = {dmex_sim.rest() for _ in range(40)}
    dmex_sim.fill(next(iter(hashes)))
    report = await reading.cancel_all()
    assert (len(report.affected), open_on(dmex_sim), report.no_open_orders) == (39, set(), True)
    assert len(dmex_sim.commands("cancel_order")) == 39


# -- rule 6: its deadline, and each venue by itself


@pytest.mark.parametrize(
    "only", [READS, frozenset(CANCELS), READS | frozenset(CANCELS)], ids=["reads", "cancels", "all"]
)
async def test_it_ends_at_its_deadline(
    qfex: Router, qfex_sim: QfexSimulator, clock: Callable[[], float], only: frozenset[str]
) -> None:
    await place(qfex, limit(), stop(), twap())
    qfex_sim.switches = Switches(deaf=True, only=only)
    start = clock()
    report = await qfex.cancel_all(deadline=0.5)
    assert 0.4 < clock() - start < 1.0
    assert not report.no_open_orders


async def test_it_ends_at_its_deadline_when_the_cancel_budget_is_used_up(
    qfex_sim: QfexSimulator, clock: Callable[[], float]
) -> None:
    async with qfex_with(qfex_sim, cancel_budget=Budget(2, 5)) as router:
        ids = await place(router, *(limit() for _ in range(4)))
        first = await router.cancel_many([(await router.open_orders("qfex"))[number] for number in (0, 1)])
        assert all(report.ok for report in first)
        start = clock()
        report = await router.cancel_all(deadline=0.5)
        assert clock() - start < 1.5
    assert (report.no_open_orders, set(qfex_sim.book)) == (False, set(ids[2:]))


async def test_closing_the_router_ends_it(qfex: Router, qfex_sim: QfexSimulator) -> None:
    await place(qfex, limit())
    qfex_sim.switches = Switches(deaf=True, only=frozenset(CANCELS))
    cancelling = asyncio.ensure_future(qfex.cancel_all(deadline=20))
    await qfex_sim.until(1, *CANCELS)
    await qfex.close()
    async with asyncio.timeout(3):
        report = await cancelling
    assert not report.no_open_orders


async def test_a_venue_that_fails_holds_up_no_other(
    three: Router, qfex_sim: QfexSimulator, b2_sim: B2TraderSimulator, dmex_sim: DmexSimulator
) -> None:
    events = three.events()
    [order_id] = await place(three, spot())
    order_hash = dmex_sim.rest()
    [stays] = await place(three, stop())
    qfex_sim.switches = Switches(deaf=True, only=frozenset({*READS, *CANCELS}))
    cancelling = asyncio.ensure_future(three.cancel_all(deadline=1))
    ended = await event_of(events, "xbtfx", ExecType.CANCELED)
    await dmex_sim.until(3, "GET orders")  # one to find it, two to prove that it is gone
    assert (ended.order_id, open_at(b2_sim), open_on(dmex_sim)) == (order_id, set(), set())
    assert not cancelling.done()
    report = await cancelling
    proven = {name: part.no_open_orders for name, part in report.venues.items()}
    assert proven == {"qfex": False, "xbtfx": False, "dmex": True}
    assert (taken(report.venues["dmex"]), left(qfex_sim)) == ({order_hash}, {stays})


async def test_a_mistake_of_ours_at_one_venue_takes_no_other_report_down(
    three: Router, dmex_sim: DmexSimulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    order_hash = dmex_sim.rest()

    async def broken(since: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(three._desks["qfex"].adapter, "read", broken)
    report = await three.cancel_all(deadline=1)
    assert (taken(report.venues["dmex"]), report.venues["dmex"].no_open_orders) == ({order_hash}, True)
    assert ["broke off" in doubt.text for doubt in report.venues["qfex"].doubts] == [True]
    assert "mistake" in caplog.text
    monkeypatch.undo()
    await place(three, limit())


# -- random books and single faults


SOCKET_FAULTS = [
    fault for fault in Fault if fault not in {Fault.HTML_ERROR, Fault.REDIRECT, Fault.CLOCK_SKEW, Fault.EXPIRED_TOKEN}
]


async def fill_book(router: Router, sim: QfexSimulator, chance: Random) -> None:
    """A random book: ours, strangers', and what the Router was never told."""
    kinds = [limit, stop, twap]
    for _ in range(chance.randint(0, 5)):
        await place(router, chance.choice(kinds)(chance.choice([AAPL, GOLD])))
    for symbol in (AAPL, GOLD):
        strangers(sim, chance.randint(0, 4), symbol=symbol)
        strangers(sim, chance.randint(0, 2), symbol=symbol, side="SELL", type="STOP_LOSS")
        if chance.random() < 0.3:
            strange_twap(sim, symbol)


def in_scope(router: Router, sim: QfexSimulator, terms: Mapping[str, str]) -> set[str]:
    """What is open in the venue's own books, in scope."""
    own = {row.order_id for row in router._desks["qfex"].ledger.live() if row.own}
    items = sim.book | sim.stops | sim.twaps
    return {
        name
        for name, item in items.items()
        if terms.get("symbol") in {None, item.symbol} and (terms.get("scope") != "own" or name in own)
    }


def honest(report: MassCancelReport, sim: QfexSimulator) -> None:
    """Whatever it says is so."""
    assert not taken(report) & left(sim)
    for item in report.affected:
        ended = sim.history.get(str(item.order_id))
        assert ended is None or ended.status == "CANCELLED", "a TWAP has no history"
    if not report.no_open_orders:
        assert report.doubts or report.not_affected, "not proven, and nothing says why"


def random_terms(chance: Random) -> dict[str, Any]:
    return chance.choice([{}, {}, {"symbol": AAPL}, {"scope": "own"}, {"symbol": GOLD, "scope": "own"}])


@pytest.mark.parametrize("seed", range(8))
async def test_without_faults_it_is_always_proven(qfex: Router, qfex_sim: QfexSimulator, seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - a test order, not a secret
    await fill_book(qfex, qfex_sim, chance)
    terms = random_terms(chance)
    before, wanted = left(qfex_sim), in_scope(qfex, qfex_sim, terms)
    twaps = terms.get("scope") == "own" and bool(wanted & set(qfex_sim.twaps))
    report = await qfex.cancel_all(**terms, deadline=3)
    assert (taken(report), left(qfex_sim)) == (wanted, before - wanted)
    assert report.no_open_orders is not twaps
    honest(report, qfex_sim)


@pytest.mark.parametrize("fault", SOCKET_FAULTS)
async def test_with_one_fault_proven_means_empty(qfex: Router, qfex_sim: QfexSimulator, fault: Fault) -> None:
    chance = Random(fault.number)  # noqa: S311 - a test order, not a secret
    await fill_book(qfex, qfex_sim, chance)
    strangers(qfex_sim)
    terms = random_terms(chance)
    qfex_sim.faults.seed = fault.number
    qfex_sim.inject(fault, only={*CANCELS, *READS}, times=chance.choice([1, 1, 3]))
    report = await qfex.cancel_all(**terms, deadline=0.8)
    assert qfex_sim.faults.struck
    assert not (report.no_open_orders and in_scope(qfex, qfex_sim, terms)), report
    assert len(qfex_sim.commands("cancel_all_orders")) <= 1
    honest(report, qfex_sim)


@pytest.mark.parametrize("fault", [fault for fault in SOCKET_FAULTS if not fault.name.startswith("THROTTLED")])
async def test_with_one_fault_proven_means_empty_at_dmex(
    reading: Router, dmex_sim: DmexSimulator, fault: Fault
) -> None:
    chance = Random(fault.number)  # noqa: S311 - a test order, not a secret
    hashes = {dmex_sim.rest() for _ in range(chance.randint(1, 12))}
    dmex_sim.faults.seed = fault.number
    socket = fault in {Fault.FLOOD, Fault.DUPLICATE}
    dmex_sim.inject(fault, only={"cancel_order"} if socket else {"cancel_order", "GET orders"}, times=2)
    report = await reading.cancel_all(deadline=0.8)
    assert dmex_sim.faults.struck
    assert not (report.no_open_orders and open_on(dmex_sim)), report
    assert taken(report) <= hashes - open_on(dmex_sim)
    assert report.no_open_orders or report.doubts or report.not_affected
