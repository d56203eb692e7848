"""The bridge through the Router over real HTTP: our reports against the simulated exchange's book and wire."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import ccxt.async_support
import pytest

from adapters.ccxt_bridge import Ccxt
from adapters.ccxt_bridge.simulator import CcxtSimulator, Market, Refusal
from router import (
    Cancel,
    CxlRejReason,
    IdKind,
    Order,
    OrdRejReason,
    OrdStatus,
    Origin,
    Outcome,
    Router,
    VenueUnreachable,
)
from router.report import SessionState
from router.testing import Fault, Switches

POST, DELETE, GET, LIST = "POST order", "DELETE order", "GET order", "GET openOrders"
SYMBOL = "BTC/USDT"


def limit(**changes):
    return Order("ex", SYMBOL, "buy", "limit", **{"quantity": "0.02", "price": "110000"} | changes)


async def place(router, order=None):
    report = await router.submit(order or limit())
    assert report.ok, report
    return report


def counts(sim):
    return {name: len(sim.commands(name)) for name in (POST, DELETE)}


def stranger(sim, **changes):
    asked = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "quantity": "0.5", "price": "130000"}
    return sim.book.place(asked | changes)


# -- what is placed and cancelled


@pytest.mark.parametrize(
    ("order", "type_", "tif"),
    [
        (limit(), "LIMIT", "GTC"),
        (limit(time_in_force="gtc"), "LIMIT", "GTC"),
        (limit(post_only=True), "LIMIT_MAKER", "GTC"),
        (Order("ex", SYMBOL, "buy", "stop", "0.01", stop_price="128000"), "STOP_LOSS", "GTC"),
        (Order("ex", SYMBOL, "buy", "stop_limit", "0.01", "128100", "128000"), "STOP_LOSS_LIMIT", "GTC"),
    ],
    ids=["limit", "gtc", "post only", "stop", "stop limit"],
)
async def test_every_kind_is_placed_and_cancelled(router, sim, order, type_, tif):
    placed = await place(router, order)
    theirs = sim.orders[placed.order_id]
    assert (theirs.type, theirs.time_in_force, theirs.quantity) == (type_, tif, order.quantity)
    assert (theirs.client_order_id, placed.status) == (order.client_order_id, OrdStatus.NEW)
    report = await router.cancel(placed)
    assert (report.outcome, report.status, theirs.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED, "CANCELED")
    assert [row.order_id for row in report.orders] == [placed.order_id]
    assert (counts(sim), sim.commands(GET)) == ({POST: 1, DELETE: 1}, [])


async def test_a_market_order_is_filled_and_a_cancel_of_it_too_late(router, sim):
    placed = await place(router, Order("ex", SYMBOL, "buy", "market", "0.5"))
    assert (placed.status, placed.cum_quantity) == (OrdStatus.FILLED, Decimal("0.5"))
    report = await router.cancel(placed)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)


async def test_an_ioc_order_that_finds_nothing_is_placed_and_has_ended(router, sim):
    placed = await place(router, limit(time_in_force="ioc"))
    assert (placed.status, sim.orders[placed.order_id].status) == (OrdStatus.EXPIRED, "EXPIRED")


async def test_what_had_been_filled_is_told_with_the_cancel(router, sim):
    placed = await place(router)
    sim.fill(placed.order_id, "0.005")
    report = await router.cancel(placed)
    [row] = report.orders
    assert (report.outcome, row.cum_quantity) == (Outcome.CONFIRMED, Decimal("0.005"))


async def test_open_orders_are_listed_with_their_terms(router, sim):
    placed, other = await place(router), stranger(sim)
    rows = {row.order_id: row for row in await router.open_orders("ex")}
    assert set(rows) == {placed.order_id, str(other.order_id)}
    row = rows[str(other.order_id)]
    assert (row.symbol, row.side, row.quantity, row.price, row.own) == (
        SYMBOL,
        "sell",
        Decimal("0.5"),
        Decimal(130000),
        False,
    )
    assert (row.client_order_id, rows[placed.order_id].own) == (other.client_order_id, True)


@pytest.mark.parametrize("form", ["ACK", "RESULT", "FULL"])
async def test_a_label_is_not_taken_for_the_id(router, sim, form):
    placed = await place(router, limit(options={"strategyId": 7, "newOrderRespType": form}))
    [order] = sim.orders.values()
    [row] = await router.open_orders("ex")
    assert (placed.order_id, row.order_id, order.extras) == (
        str(order.order_id),
        str(order.order_id),
        {"strategyId": "7"},
    )
    report = await router.cancel(row)
    assert (report.outcome, order.status) == (Outcome.CONFIRMED, "CANCELED")


@pytest.mark.parametrize(
    ("type_", "shown"), [("STOP_LOSS", "stop"), ("STOP_LOSS_LIMIT", "stop_limit"), ("TAKE_PROFIT", None)]
)
async def test_a_trigger_is_shown_as_a_stop_where_the_exchange_says_so(router, sim, type_, shown):
    stranger(sim, type=type_, stopPrice="110000")
    [row] = await router.open_orders("ex")
    assert (row.type, row.stop_price) == (shown, Decimal(110000))


@pytest.mark.parametrize(
    "options",
    [
        {"quantity": "3"},
        {"price": "5"},
        {"side": "SELL"},
        {"symbol": "BTCEUR"},
        {"type": "MARKET"},
        {"newClientOrderId": "x"},
    ],
    ids=str,
)
async def test_options_do_not_take_the_place_of_the_orders_own_terms(router, sim, options):
    [name] = options
    report = await router.submit(limit(options=options))
    assert (report.outcome, name in report.text, counts(sim)[POST]) == (Outcome.NOT_SENT, True, 0)


async def test_options_that_the_exchange_has_beside_the_terms_are_passed_on(router, sim):
    await place(router, limit(options={"icebergQty": "0.01", "newOrderRespType": "RESULT", "recvWindow": 9000}))
    [item] = sim.commands(POST)
    passed = {name: item.message[name] for name in ("icebergQty", "newOrderRespType", "recvWindow", "quantity")}
    assert passed == {"icebergQty": "0.01", "newOrderRespType": "RESULT", "recvWindow": "9000", "quantity": "0.02"}


async def test_an_order_without_a_client_id_is_not_said_to_be_unknown_by_it(sim):
    settings = {"quiet_period": 0.1, "client_order_ids": False}
    async with Router({"ex": Ccxt(**sim.credentials, **settings)}) as router:
        sim.inject(Fault.MUTE)
        report = await router.submit(limit(), deadline=0.2)
        final = await report.settled(timeout=1)
    assert (final.outcome, [order.status for order in sim.orders.values()]) == (Outcome.UNKNOWN, ["NEW"])


async def test_events_tell_what_answers_tell(router, sim):
    events = router.events()
    placed = await place(router)
    await router.cancel(placed)
    heard = [await asyncio.wait_for(anext(events), 1) for _ in range(2)]
    assert [(event.order_id, event.status) for event in heard] == [
        (placed.order_id, OrdStatus.NEW),
        (placed.order_id, OrdStatus.CANCELED),
    ]


# -- "no such order" is read


async def test_a_filled_order_is_too_late_to_cancel_and_says_how_much(router, sim):
    placed = await place(router)
    sim.fill(placed.order_id)
    report = await router.cancel(placed)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)
    assert (report.status, [row.cum_quantity for row in report.orders]) == (OrdStatus.FILLED, [Decimal("0.02")])
    assert (counts(sim)[DELETE], len(sim.commands(GET))) == (1, 1)


async def test_an_order_that_was_cancelled_before_is_unknown_with_its_status(router, sim):
    placed = await place(router)
    sim.book.cancel({"symbol": "BTCUSDT", "orderId": placed.order_id})
    report = await router.cancel(placed)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)
    assert report.status is OrdStatus.CANCELED


async def test_an_order_that_the_look_up_does_not_know_either(router, sim):
    report = await router.cancel(Cancel("ex", "77", symbol=SYMBOL))
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)
    assert "-2013" in report.text


@pytest.mark.parametrize("answer", [503, 302, 429, Refusal(-2015, "Invalid API-key", 401)], ids=str)
async def test_an_order_that_cannot_be_read_is_unknown_and_settled_later(router, sim, answer):
    placed = await place(router)
    sim.fill(placed.order_id)
    sim.switches, sim.fail_next = Switches(only=frozenset({GET})), [answer]
    report = await router.cancel(placed, deadline=1)
    assert (report.outcome, counts(sim)[DELETE]) == (Outcome.UNKNOWN, 1)
    sim.switches = Switches()
    settled = await report.settled(timeout=3)
    assert (settled.outcome, settled.reason) == (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)
    assert counts(sim)[DELETE] <= 2


async def test_a_look_up_that_is_not_answered_is_unknown_at_the_deadline(router, sim):
    placed = await place(router)
    sim.fill(placed.order_id)
    sim.switches = Switches(deaf=True, only=frozenset({GET}))
    report = await router.cancel(placed, deadline=0.3)
    assert (report.outcome, counts(sim)[DELETE]) == (Outcome.UNKNOWN, 1)


# -- refusals, by the exchange's own words


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Refusal(-2010, "Account has insufficient balance for requested action."), OrdRejReason.ORDER_EXCEEDS_LIMIT),
        (Refusal(-2010, "Order would immediately match and take."), OrdRejReason.OTHER),
        (Refusal(-2010, "Duplicate order sent."), OrdRejReason.DUPLICATE_ORDER),
        (Refusal(-1013, "Filter failure: LOT_SIZE"), OrdRejReason.OTHER),
        (Refusal(-1014, "Unsupported order combination."), OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC),
        (Refusal(-2010, "This symbol is restricted for this account."), OrdRejReason.BROKER),
        (Refusal(-1121, "Invalid symbol."), OrdRejReason.UNKNOWN_SYMBOL),
        (Refusal(-1102, "Mandatory parameter 'price' was not sent."), OrdRejReason.OTHER),
        (Refusal(-1022, "Signature for this request is not valid."), OrdRejReason.BROKER),
        (Refusal(-2014, "API-key format invalid.", 401), OrdRejReason.BROKER),
        (Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401), OrdRejReason.BROKER),
    ],
    ids=lambda value: getattr(value, "message", ""),
)
async def test_a_refused_order(router, sim, refusal, reason):
    sim.fail_next = [refusal]
    report = await router.submit(limit(), deadline=0.4)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, reason)
    assert (sim.orders, counts(sim)[POST]) == ({}, 1)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401),
        Refusal(-2011, "This action is disabled on this account."),
        Refusal(-2011, "This account may not place or cancel orders."),
    ],
    ids=lambda refusal: refusal.message,
)
async def test_a_cancel_that_the_account_may_not_make_is_refused_at_once(router, sim, refusal):
    placed = await place(router)  # after which ccxt takes -2015 for a ban that will pass
    sim.fail_next = [refusal]
    report = await router.cancel(placed, deadline=1)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.BROKER)
    assert (counts(sim)[DELETE], sim.commands(GET), sim.orders[placed.order_id].live) == (1, [], True)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 511, 301, 302, 307, 308, 402, 408, 409, 410, 451])
@pytest.mark.parametrize("command", [POST, DELETE])
async def test_a_status_that_refuses_nothing_is_unknown_after_one_attempt(router, sim, status, command):
    placed = await place(router)
    sim.fail_next = [Refusal(-9999, "words that nobody knows", status)]
    report = await (router.submit(limit(), deadline=1) if command == POST else router.cancel(placed, deadline=1))
    assert (report.outcome, str(status) in report.text) == (Outcome.UNKNOWN, True)
    assert (counts(sim), sim.redirects_followed) == ({POST: 1 + (command == POST), DELETE: int(command == DELETE)}, 0)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(-1013, "Filter failure: LOT_SIZE", 500),  # of which ccxt makes InvalidOrder
        Refusal(-2011, "Unknown order sent.", 503),  # OrderNotFound
        Refusal(-1022, "Signature for this request is not valid.", 502),  # AuthenticationError
        Refusal(-1000, "An unknown error occurred while processing the request."),
        Refusal(-1006, "An unexpected response was received. Execution status unknown."),
        Refusal(-1007, "Timeout waiting for response from backend server. Execution status unknown."),
        Refusal(-9999, "a code that nobody knows"),
    ],
    ids=lambda refusal: f"{refusal.status} {refusal.code}",
)
async def test_words_that_leave_the_outcome_open(router, sim, refusal):
    placed = await place(router)
    sim.fail_next = [refusal]
    report = await router.cancel(placed, deadline=1)
    assert (report.outcome, counts(sim)[DELETE], sim.commands(GET)) == (Outcome.UNKNOWN, 1, [])
    assert (await report.settled(timeout=3)).outcome is Outcome.CONFIRMED


@pytest.mark.parametrize("fault", [Fault.HTML_PAGE, Fault.GARBLE, Fault.NOT_UTF8, Fault.TRUNCATE, Fault.HTML_ERROR])
async def test_an_answer_that_cannot_be_read_is_unknown_and_settled_by_asking(router, sim, fault):
    placed = await place(router)
    sim.inject(fault)
    report = await router.cancel(placed, deadline=1)
    assert (report.outcome, counts(sim)[DELETE]) == (Outcome.UNKNOWN, 1)
    assert (await report.settled(timeout=3)).outcome is Outcome.CONFIRMED
    assert router.health()["ex"].garbled == (fault is not Fault.HTML_ERROR)
    assert counts(sim)[DELETE] == 2


# -- too fast


@pytest.mark.parametrize("status", [429, 418])
async def test_too_fast_is_tried_again_after_what_the_exchange_says(router, sim, status):
    placed = await place(router)
    sim.retry_after, sim.fail_next = 0, [status, status]
    report = await router.cancel(placed)
    assert (report.outcome, counts(sim)[DELETE]) == (Outcome.CONFIRMED, 3)


async def test_too_fast_without_a_hint_is_tried_again(router, sim):
    placed = await place(router)
    sim.retry_after, sim.fail_next = None, [429, Refusal(-1015, "Too many new orders; current limit is 10.", 400)]
    report = await router.cancel(placed)
    assert (report.outcome, counts(sim)[DELETE]) == (Outcome.CONFIRMED, 3)


async def test_too_fast_for_longer_than_the_deadline_is_refused(router, sim):
    placed = await place(router)
    sim.retry_after, sim.fail_next = 100, [418]
    report = await router.cancel(placed, deadline=1)
    assert (report.outcome, "418" in report.text, counts(sim)[DELETE]) == (Outcome.REFUSED, True, 1)


async def test_too_fast_without_end_is_refused(router, sim):
    placed = await place(router)
    sim.retry_after, sim.fail_next = 0, [429] * 100
    report = await router.cancel(placed, deadline=1)
    assert (report.outcome, counts(sim)[DELETE] <= 10) == (Outcome.REFUSED, True)
    assert sim.orders[placed.order_id].live


async def test_a_nonce_that_came_too_late_is_signed_anew(router, sim):
    placed = await place(router)
    sim.fail_next = [Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")]
    report = await router.cancel(placed)
    first, second = sim.commands(DELETE)
    assert report.outcome is Outcome.CONFIRMED
    assert int(second.message["timestamp"]) > int(first.message["timestamp"])
    assert first.message["signature"] != second.message["signature"]


async def test_a_clock_that_is_wrong_is_refused_and_nothing_was_executed(router, sim):
    placed = await place(router)
    sim.inject(Fault.CLOCK_SKEW)
    report = await router.cancel(placed, deadline=2)
    assert (report.outcome, "-1021" in report.text) == (Outcome.REFUSED, True)
    assert sim.orders[placed.order_id].live


async def test_a_duplicate_after_an_attempt_that_was_declined_is_a_doubt(router, sim):
    order = limit()
    sim.retry_after, sim.fail_next = 0, [429]
    sim.switches = Switches(hold=True)
    submitting = asyncio.ensure_future(router.submit(order, deadline=2))
    await sim.until_held(1)
    sim.book.place(
        {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.02", "price": "110000"}
        | {"newClientOrderId": order.client_order_id}
    )
    sim.switches = Switches()
    sim.release()
    report = await submitting
    assert (report.outcome, counts(sim)[POST]) == (Outcome.UNKNOWN, 2)
    assert (await report.settled(timeout=3)).outcome is Outcome.CONFIRMED


# -- silence and settling


@pytest.mark.parametrize("switches", [Switches(mute=True), Switches(deaf=True)], ids=["mute", "deaf"])
async def test_silence_is_unknown_at_the_deadline_and_settled_by_one_repeat(router, sim, switches):
    placed = await place(router)
    sim.switches = switches
    clock = asyncio.get_running_loop().time
    begun = clock()
    report = await router.cancel(placed, deadline=0.2)
    assert (report.outcome, 0.2 <= clock() - begun < 0.5) == (Outcome.UNKNOWN, True)
    sim.switches = Switches()
    assert (await report.settled(timeout=3)).outcome is Outcome.CONFIRMED
    assert (counts(sim)[DELETE], sim.orders[placed.order_id].live) == (2, False)


async def test_a_late_answer_settles(router, sim):
    placed = await place(router)
    sim.switches = Switches(hold=True)
    report = await router.cancel(placed, deadline=0.2)
    assert report.outcome is Outcome.UNKNOWN
    settling = asyncio.ensure_future(report.settled(timeout=5))
    sim.release()
    assert (await settling).outcome is Outcome.CONFIRMED


async def test_a_submit_in_doubt_is_found_in_the_list(router, sim):
    sim.inject(Fault.SERVER_ERROR_EXECUTED)
    report = await router.submit(limit(), deadline=1)
    assert report.outcome is Outcome.UNKNOWN
    settled = await report.settled(timeout=3)
    assert (settled.outcome, settled.order_id in sim.orders, counts(sim)[POST]) == (Outcome.CONFIRMED, True, 1)


async def test_a_submit_in_doubt_that_was_filled_is_found_by_its_client_id(router, sim):
    sim.inject(Fault.SERVER_ERROR_EXECUTED)
    report = await router.submit(Order("ex", SYMBOL, "buy", "market", "0.5"), deadline=1)
    settled = await report.settled(timeout=3)
    assert (settled.outcome, settled.status) == (Outcome.CONFIRMED, OrdStatus.FILLED)
    assert "origClientOrderId" in sim.commands(GET)[0].message


async def test_a_submit_in_doubt_that_was_not_placed_is_refused_by_us(router, sim):
    sim.inject(Fault.SERVER_ERROR)
    report = await router.submit(limit(), deadline=1)
    assert report.outcome is Outcome.UNKNOWN
    settled = await report.settled(timeout=5)
    assert (settled.outcome, settled.origin, counts(sim)[POST]) == (Outcome.REFUSED, Origin.ROUTER, 1)


async def test_a_cancel_before_the_submit_is_answered_goes_out_when_it_is(router, sim):
    order = limit()
    sim.switches = Switches(hold=True, only=frozenset({POST}))
    submitting = asyncio.ensure_future(router.submit(order))
    await sim.until_held(1)
    cancelling = asyncio.ensure_future(router.cancel(order))
    await asyncio.sleep(0)
    sim.release()
    assert ((await submitting).outcome, (await cancelling).outcome) == (Outcome.CONFIRMED, Outcome.CONFIRMED)
    assert counts(sim) == {POST: 1, DELETE: 1}


async def test_a_caller_who_goes_away_takes_nothing_with_it(router, sim):
    placed = await place(router)
    sim.switches = Switches(hold=True)
    first = asyncio.ensure_future(router.cancel(placed))
    await sim.until_held(1)
    second = asyncio.ensure_future(router.cancel(placed))
    await asyncio.sleep(0)
    first.cancel()
    sim.release()
    assert (await second).outcome is Outcome.CONFIRMED
    assert counts(sim)[DELETE] == 1


# -- by client id


async def test_a_cancel_by_client_id_of_somebody_elses_order(router, sim):
    other = stranger(sim, newClientOrderId="theirs-1")
    report = await router.cancel(Cancel("ex", "theirs-1", IdKind.CLIENT_ORDER, SYMBOL))
    assert (report.outcome, other.status) == (Outcome.CONFIRMED, "CANCELED")
    assert [row.client_order_id for row in report.orders] == [None], "what the answer shows is the cancel's own"
    [sent] = sim.commands(DELETE)
    assert (sent.message["origClientOrderId"], "orderId" in sent.message) == ("theirs-1", False)


async def test_look_ups_go_on_after_one_that_failed(router, sim):
    placed = [await place(router) for _ in range(2)]
    sim.switches, sim.fail_next = Switches(hang_up=True, only=frozenset({GET})), []
    assert (await router.submit(limit(), deadline=1)).ok
    lookup = router._desks["ex"].adapter.lookup
    assert await lookup(placed[0].to_cancel()) is None
    sim.switches = Switches()
    assert [row.order_id for row in await lookup(placed[0].to_cancel())] == [placed[0].order_id]


async def test_a_cancel_by_client_id_is_never_repeated(router, sim):
    stranger(sim, newClientOrderId="theirs-1")
    sim.inject(Fault.HANG_UP_EXECUTED)
    report = await router.cancel(Cancel("ex", "theirs-1", IdKind.CLIENT_ORDER, SYMBOL), deadline=0.3)
    await report.settled(timeout=0.6)
    assert (report.outcome, counts(sim)[DELETE]) == (Outcome.UNKNOWN, 1)


# -- all


async def test_cancel_all_is_proven(router, sim):
    for _ in range(3):
        await place(router)
    stranger(sim)
    report = await router.cancel_all(deadline=5)
    assert report.no_open_orders
    assert not any(order.live for order in sim.orders.values())
    assert counts(sim)[DELETE] == 4


async def test_a_replace_only_with_a_gap(router, sim):
    placed = await place(router)
    assert (await router.replace(placed, price="111000")).outcome is Outcome.NOT_SENT
    sim.fill(placed.order_id, "0.005")
    report = await router.replace(placed, price="111000", allow_gap=True)
    assert report.ok, report
    [left] = [order for order in sim.orders.values() if order.live]
    assert (left.quantity, left.price) == (Decimal("0.015"), Decimal(111000))


# -- what is not sent


@pytest.mark.parametrize(
    "command",
    [
        limit(quantity="0.123456"),
        limit(price="110000.001"),
        limit(quantity="0.000001"),
        limit(time_in_force="day"),
        limit(reduce_only=True),
        limit(options={"clientOrderId": "x"}),
        limit(options={"maxRetriesOnFailure": 3}),
        Order("ex", "BTCUSDT", "buy", "limit", "0.02", "110000"),
        Order("ex", "NO/SUCH", "buy", "limit", "0.02", "110000"),
        Order("ex", SYMBOL, "buy", "market", "0.02", time_in_force="fok"),
        Order("ex", SYMBOL, "buy", "take_profit", "0.02", stop_price="1"),
        Order("ex", SYMBOL, "buy", "twap", "0.02"),
        Cancel("ex", "17"),
        Cancel("ex", "17", IdKind.STOP_ORDER, SYMBOL),
        Cancel("ex", "17", IdKind.TWAP, SYMBOL),
        Cancel("ex", "17", symbol="NO/SUCH"),
        *(Cancel("ex", name, symbol=SYMBOL) for name in ("..", "a/b", "a?b", "a#b", "a%2fb", "a&b", "a b", "a\nb")),
    ],
    ids=str,
)
async def test_what_cannot_be_expressed_is_not_sent(router, sim, command):
    asked = len(sim.received)
    report = await (router.submit(command) if isinstance(command, Order) else router.cancel(command))
    assert (report.outcome, "ex" in report.text) == (Outcome.NOT_SENT, True)
    assert (len(sim.received), report.sent_at) == (asked, None)


# -- numbers


async def test_digits_survive_the_way_there_and_back():
    fine = Market("XXX", "YYY", "1", tick="0.00000001", step="0.00000001", largest="1E12")
    async with CcxtSimulator(markets={"XXXYYY": fine}) as sim, Router({"ex": Ccxt(**sim.credentials)}) as router:
        small = await place(router, Order("ex", "XXX/YYY", "buy", "limit", "1E-8", "0.00000003"))
        large = await place(router, Order("ex", "XXX/YYY", "buy", "limit", "123456789.12345678", "0.1"))
        [first, second] = [item.message for item in sim.commands(POST)]
        assert (first["quantity"], first["price"], second["quantity"]) == (
            "0.00000001",
            "0.00000003",
            "123456789.12345678",
        )
        sim.fill(large.order_id, "3.00000007")
        report = await router.cancel(large)
        assert [row.cum_quantity for row in report.orders] == [Decimal("3.00000007")]
        rows = await router.open_orders("ex")
        assert [(row.order_id, row.quantity) for row in rows] == [(small.order_id, Decimal("1E-8"))]


# -- life


async def test_an_exchange_that_cannot_be_reached_is_named(sim):
    await sim.stop()
    with pytest.raises(VenueUnreachable, match="ex"):
        async with Router({"ex": Ccxt(**sim.credentials)}):
            pytest.fail("entered")


async def test_not_strict_goes_on_trying_until_the_markets_are_there(sim):
    await sim.stop()
    async with Router({"ex": Ccxt(**sim.credentials)}, strict=False) as router:
        assert (await router.submit(limit(), deadline=0.05)).outcome is Outcome.NOT_SENT
        await sim.start()
        async with asyncio.timeout(5):
            while router.health()["ex"].state is not SessionState.READY:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.02)
        assert (await router.submit(limit())).ok


async def test_an_exchange_that_is_away_was_sent_nothing_and_comes_back_with_its_book(router, sim):
    placed = await place(router)
    await sim.stop()
    report = await router.cancel(placed, deadline=0.3)
    assert (report.outcome, report.sent_at) == (Outcome.NOT_SENT, None)
    await sim.start()
    assert (await router.cancel(placed)).ok
    assert counts(sim)[DELETE] == 1


@pytest.mark.parametrize("command", ["GET exchangeInfo", POST, DELETE, LIST])
async def test_closing_in_the_middle_of_anything_leaves_no_task(sim, command):
    before = asyncio.all_tasks()
    router = Router({"ex": Ccxt(**sim.credentials)})
    if command == "GET exchangeInfo":
        sim.switches = Switches(mute=True, only=frozenset({command}))
        opening = asyncio.ensure_future(router.open())
        await sim.until(1, command)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
    else:
        await router.open()
        placed = await place(router)
        sim.switches = Switches(mute=True, only=frozenset({command}))
        work = {POST: lambda: router.submit(limit()), DELETE: lambda: router.cancel(placed)}
        running = asyncio.ensure_future(work.get(command, lambda: router.open_orders("ex"))())
        await sim.until(2 if command == POST else 1, command)
        await router.close()
        await asyncio.gather(running, return_exceptions=True)
    await router.close()
    await sim.stop()
    mine = before | {asyncio.current_task()}
    async with asyncio.timeout(2):
        while any(not task.done() for task in asyncio.all_tasks() - mine):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_an_exchange_object_of_the_users(sim):
    keys = {"apiKey": sim.api_key, "secret": sim.secret, "enableRateLimit": True, "timeout": 1, "verbose": True}
    exchange = ccxt.async_support.binance(keys)
    async with Router({"ex": Ccxt(exchange, url=sim.url, market_type="spot")}) as router:
        sim.switches = Switches(delay=0.1)
        assert (await router.cancel(await place(router))).ok, "neither its time-out nor its throttle applies"
    assert exchange.session is None


async def test_an_exchange_object_that_was_used_before_is_closed_with_the_adapter(sim):
    exchange = ccxt.async_support.binance({"apiKey": sim.api_key, "secret": sim.secret})
    exchange.open()
    async with Router({"ex": Ccxt(exchange, url=sim.url, market_type="spot")}) as router:
        assert (await router.cancel(await place(router))).ok
        with pytest.raises(RuntimeError, match="make another one"):
            await exchange.fetch_time()
    assert exchange.session is None
