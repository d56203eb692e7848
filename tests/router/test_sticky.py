"""Cancels of orders whose submit is unanswered: held, then sent at once; or told for certain that nothing was placed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.codec import SPEC, QfexCodec
from adapters.qfex.simulator import Order as TheirOrder
from adapters.qfex.simulator import QfexSimulator
from router import Budget, Cancel, CxlRejReason, IdKind, Order, OrdStatus, Outcome, Router
from router.session import Session
from router.testing import Fault, Switches
from router.testing.faults import Fate

ADDS = frozenset({"add_order"})
CANCELS = frozenset({"cancel_order"})
POSTS = frozenset({"POST orders"})
POST, DELETE = "POST orders", "DELETE orders"
NOBODYS = "5b309929-206f-40ec-804d-cbe46e81afc1"
ULID = "01K2MNGAWPMQJ7WGATFSCAS1G4"


def limit(**changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


def spot(quantity: str = "0.02") -> Order:
    return Order("xbtfx", "spot.btc_usdt", "buy", "limit", quantity, "100")


@asynccontextmanager
async def trading(sim: QfexSimulator, *, kill: bool = False, **changes: Any) -> AsyncIterator[Router]:
    """QFEX with a quiet period that a test can wait for."""
    spec = evolve(SPEC, url=sim.url, quiet_period=0.3, **changes)
    codec = QfexCodec(spec=spec, public_key=sim.public_key, secret_key=sim.secret_key)
    async with Router({"qfex": Session(codec)}, on_unknown="kill" if kill else "leave") as router:
        yield router


@pytest.fixture
async def hasty(qfex_sim: QfexSimulator) -> AsyncIterator[Router]:
    async with trading(qfex_sim) as router:
        yield router


async def fence(router: Router) -> None:
    """All that could be written until now has been read when it returns."""
    await router.cancel("qfex", NOBODYS, symbol="AAPL-USD")


def cancels(sim: QfexSimulator) -> list[tuple[str, str]]:
    """The cancels on the wire: by what, and which; without those of fences."""
    sent = [item.message["params"] for item in sim.commands("cancel_order")]
    found = [(params["cancel_order_id_type"], params["order_id"]) for params in sent]
    return [each for each in found if each[1] != NOBODYS]


# -- rule 1: the moment the id is known


async def test_it_is_held_and_is_the_next_frame_when_the_order_has_an_id(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = Switches(hold=True, only=ADDS)
    order = limit()
    submitting = asyncio.ensure_future(hasty.submit(order))
    await qfex_sim.until_held(1)
    cancelling = asyncio.ensure_future(hasty.cancel(order))
    await fence(hasty)
    assert (cancels(qfex_sim), cancelling.done()) == ([], False)
    before = len(qfex_sim.received)
    qfex_sim.release()
    placed, report = await asyncio.gather(submitting, cancelling)
    assert (placed.outcome, report.outcome, report.status) == (
        Outcome.CONFIRMED,
        Outcome.CONFIRMED,
        OrdStatus.CANCELED,
    )
    assert cancels(qfex_sim) == [("order_id", placed.order_id)]
    assert qfex_sim.received[before].command == "cancel_order"
    assert ([row.order_id for row in report.orders], qfex_sim.book) == ([placed.order_id], {})


async def test_it_overtakes_submits_that_wait_for_the_pace(qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=ADDS)
    async with trading(qfex_sim, budget=Budget(5, 600), cancel_budget=None) as router:
        order = limit()
        submitting = asyncio.ensure_future(router.submit(order))
        others = [asyncio.ensure_future(router.submit(limit())) for _ in range(10)]
        await qfex_sim.until_held(4)
        cancelling = asyncio.ensure_future(router.cancel(order))
        await asyncio.sleep(0)
        qfex_sim.release(1)
        assert (await cancelling).ok
        assert (await submitting).ok
        assert qfex_sim.received[-1].command == "cancel_order"
        assert len(qfex_sim.commands("add_order")) == 4
        qfex_sim.switches = Switches()
        qfex_sim.release()
    assert [report.outcome for report in await asyncio.gather(*others)][3:] == [Outcome.NOT_SENT] * 7


async def test_over_http_it_goes_when_the_post_is_answered(b2: Router, b2_sim: B2TraderSimulator) -> None:
    b2_sim.switches = Switches(hold=True, only=POSTS)
    order = spot()
    submitting = asyncio.ensure_future(b2.submit(order))
    await b2_sim.until_held(1)
    cancelling = asyncio.ensure_future(b2.cancel(order))
    assert (await b2.cancel("xbtfx", ULID)).reason is CxlRejReason.UNKNOWN_ORDER
    assert (len(b2_sim.commands(DELETE)), cancelling.done()) == (1, False)
    b2_sim.release()
    placed, report = await asyncio.gather(submitting, cancelling)
    assert (placed.outcome, report.outcome) == (Outcome.CONFIRMED, Outcome.CONFIRMED)
    sent = [item.message["path"].rpartition("/")[2] for item in b2_sim.commands(DELETE)]
    assert sent == [ULID, placed.order_id]
    assert b2_sim.orders[str(placed.order_id)].status == "Cancelled"


async def test_where_we_choose_the_id_it_goes_at_once(dmex_sim: DmexSimulator) -> None:
    dmex_sim.switches = Switches(hold=True, only=frozenset({"create_order"}))
    async with dealing(dmex_sim) as router:
        order = Order("dmex", "btcusd", "buy", "limit", "10", "100000")
        submitting = asyncio.ensure_future(router.submit(order))
        await dmex_sim.until_held(1)
        report = await router.cancel(order)
        [theirs] = dmex_sim.orders.values()
        assert (report.outcome, theirs.closed, submitting.done()) == (Outcome.CONFIRMED, True, False)
        assert [item.command for item in dmex_sim.received] == ["create_order", "cancel_order"]
        dmex_sim.release()
        assert (await submitting).order_id == theirs.hash


async def test_a_second_cancel_of_it_joins_the_first_and_a_caller_who_leaves_ends_neither(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = Switches(hold=True, only=ADDS)
    order = limit()
    submitting = asyncio.ensure_future(hasty.submit(order))
    await qfex_sim.until_held(1)
    by_client_id = Cancel("qfex", order.client_order_id, IdKind.CLIENT_ORDER)
    calls = [asyncio.ensure_future(hasty.cancel(target)) for target in (order, by_client_id, order)]
    await fence(hasty)
    calls[0].cancel()
    qfex_sim.release()
    reports = await asyncio.gather(*calls[1:])
    placed = await submitting
    assert all(report.ok for report in reports)
    assert cancels(qfex_sim) == [("order_id", placed.order_id)]


async def test_it_goes_out_though_every_caller_has_left(hasty: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=ADDS)
    order = limit()
    submitting = asyncio.ensure_future(hasty.submit(order))
    await qfex_sim.until_held(1)
    cancelling = asyncio.ensure_future(hasty.cancel(order))
    await fence(hasty)
    cancelling.cancel()
    await asyncio.wait([cancelling])
    qfex_sim.release()
    placed = await submitting
    await fence(hasty)
    assert (cancels(qfex_sim), qfex_sim.book) == ([("order_id", placed.order_id)], {})


async def test_a_submit_that_is_lost_is_named_by_the_next_list_and_then_cancelled(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = Switches(hold=True, only=ADDS)
    order = limit()
    submitting = asyncio.ensure_future(hasty.submit(order))
    await qfex_sim.until_held(1)
    cancelling = asyncio.ensure_future(hasty.cancel(order))
    await asyncio.sleep(0)
    qfex_sim.release(fate=Fate.HANG_UP)
    placed, report = await asyncio.gather(submitting, cancelling)
    assert (placed.outcome, report.outcome, qfex_sim.book) == (Outcome.CONFIRMED, Outcome.CONFIRMED, {})
    assert [item.command for item in qfex_sim.received[-2:]] == ["get_user_orders", "cancel_order"]
    assert cancels(qfex_sim) == [("order_id", placed.order_id)]


async def test_two_orders_of_one_client_id_it_takes_that_very_one(hasty: Router, qfex_sim: QfexSimulator) -> None:
    one, two = (limit(client_order_id="same", price=price) for price in ("150", "151"))
    first, second = [await hasty.submit(order) for order in (one, two)]
    assert (await hasty.cancel(two)).ok
    assert (cancels(qfex_sim), list(qfex_sim.book)) == ([("order_id", second.order_id)], [first.order_id])


@pytest.mark.parametrize("which", [0, 1])
async def test_two_unanswered_orders_of_one_client_id_it_takes_that_very_one(
    hasty: Router, qfex_sim: QfexSimulator, which: int
) -> None:
    qfex_sim.switches = Switches(hold=True, only=ADDS)
    orders = [limit(client_order_id="same", price=price) for price in ("150", "151")]
    submits = [asyncio.ensure_future(hasty.submit(order)) for order in orders]
    await qfex_sim.until_held(2)
    cancelling = asyncio.ensure_future(hasty.cancel(orders[which]))
    await fence(hasty)
    assert cancels(qfex_sim) == []
    qfex_sim.release()
    assert (await cancelling).ok
    assert all(placed.ok for placed in await asyncio.gather(*submits))
    [left] = qfex_sim.book.values()
    assert left.price == orders[1 - which].price


async def test_of_two_orders_of_one_client_id_it_takes_not_the_one_that_is_known_when_the_other_is_in_doubt(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    known = await hasty.submit(limit(client_order_id="same", quantity="7"))
    qfex_sim.switches = Switches(mute=True, only=ADDS)
    doubtful = limit(client_order_id="same")
    assert (await hasty.submit(doubtful, deadline=0.1)).outcome is Outcome.UNKNOWN
    await hasty.cancel(doubtful, deadline=0.3)
    await fence(hasty)
    assert known.order_id in qfex_sim.book


# -- rule 2: the submit came to nothing


async def test_a_refused_submit_ends_it_as_not_sent_with_that_reason(hasty: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=ADDS)
    order = limit(quantity="0.0001")
    submitting = asyncio.ensure_future(hasty.submit(order))
    await qfex_sim.until_held(1)
    cancelling = asyncio.ensure_future(hasty.cancel(order))
    await fence(hasty)
    qfex_sim.release()
    placed, report = await asyncio.gather(submitting, cancelling)
    assert (placed.outcome, report.outcome, report.sent_at) == (Outcome.REFUSED, Outcome.NOT_SENT, None)
    assert report.text == f"the order was not placed: {placed.text}"
    assert (placed.text != "", cancels(qfex_sim)) == (True, [])
    again = await hasty.cancel(order)
    assert (again.outcome, placed.text in again.text, cancels(qfex_sim)) == (Outcome.NOT_SENT, True, [])


async def test_over_http_a_refused_submit_ends_it_as_not_sent(b2: Router, b2_sim: B2TraderSimulator) -> None:
    b2_sim.switches = Switches(hold=True, only=POSTS)
    b2_sim.fail_next = [400]
    order = spot()
    submitting = asyncio.ensure_future(b2.submit(order))
    await b2_sim.until_held(1)
    cancelling = asyncio.ensure_future(b2.cancel(order))
    await asyncio.sleep(0)
    b2_sim.release()
    placed, report = await asyncio.gather(submitting, cancelling)
    assert (placed.outcome, report.outcome) == (Outcome.REFUSED, Outcome.NOT_SENT)
    assert ("HTTP 400" in report.text, b2_sim.commands(DELETE)) == (True, [])


async def test_a_submit_that_was_proved_never_placed_ends_it(hasty: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(deaf=True, only=ADDS)
    order = limit()
    placed = await hasty.submit(order, deadline=0.1)
    cancelling = asyncio.ensure_future(hasty.cancel(order))
    settled, report = await asyncio.gather(placed.settled(), cancelling)
    assert (placed.outcome, settled.outcome) == (Outcome.UNKNOWN, Outcome.REFUSED)
    assert report.outcome in {Outcome.REFUSED, Outcome.NOT_SENT}
    assert "the order was not placed" in report.text


# -- rule 3: the submit is in doubt


async def test_when_the_submit_is_in_doubt_it_goes_out_by_client_id(hasty: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(mute=True, only=ADDS)
    order = limit()
    submitting = asyncio.ensure_future(hasty.submit(order, deadline=0.3))
    await qfex_sim.until(1, "add_order")
    cancelling = asyncio.ensure_future(hasty.cancel(order))
    await fence(hasty)
    assert cancels(qfex_sim) == []
    placed, report = await asyncio.gather(submitting, cancelling)
    assert (placed.outcome, report.outcome, qfex_sim.book) == (Outcome.UNKNOWN, Outcome.CONFIRMED, {})
    assert cancels(qfex_sim) == [("client_order_id", order.client_order_id)]
    assert (await placed.settled()).status is OrdStatus.CANCELED


async def test_asked_for_after_the_submit_became_unknown_it_goes_at_once(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = Switches(mute=True, only=ADDS)
    order = limit()
    assert (await hasty.submit(order, deadline=0.1)).outcome is Outcome.UNKNOWN
    assert (await hasty.cancel(order)).ok
    assert (cancels(qfex_sim), qfex_sim.book) == ([("client_order_id", order.client_order_id)], {})


async def test_no_such_order_may_be_too_early_and_is_not_the_end_of_it(hasty: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(deaf=True, only=ADDS)
    order = limit()
    placed = await hasty.submit(order, deadline=0.1)
    cancelling = asyncio.ensure_future(hasty.cancel(order))
    await qfex_sim.until(1, "cancel_order")
    await fence(hasty)
    assert not cancelling.done()
    theirs = TheirOrder(account=qfex_sim.account_id, symbol="AAPL-USD", quantity=Decimal(1), price=Decimal(150))
    theirs.client_order_id = order.client_order_id
    qfex_sim._publish(qfex_sim.exchange.add(theirs))  # at last
    report = await cancelling
    assert (report.outcome, qfex_sim.book) == (Outcome.CONFIRMED, {})
    assert cancels(qfex_sim) == [("client_order_id", order.client_order_id), ("order_id", theirs.order_id)]
    assert (await placed.settled()).order_id == theirs.order_id


async def test_a_cancel_by_client_id_that_is_lost_goes_on_by_the_id_that_the_next_list_names(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = Switches(mute=True, only=ADDS)
    order = limit()
    placed = await hasty.submit(order, deadline=0.1)
    qfex_sim.inject(Fault.HANG_UP_READ, only=CANCELS)
    report = await hasty.cancel(order)
    [theirs] = qfex_sim.history.values()
    assert (placed.outcome, report.outcome, qfex_sim.book) == (Outcome.UNKNOWN, Outcome.CONFIRMED, {})
    assert cancels(qfex_sim) == [("client_order_id", order.client_order_id), ("order_id", theirs.order_id)]


async def test_where_there_are_no_client_ids_it_is_held_on(b2: Router, b2_sim: B2TraderSimulator) -> None:
    b2_sim.switches = Switches(mute=True, only=POSTS)
    order = spot()
    placed = await b2.submit(order, deadline=0.2)
    report = await b2.cancel(order, deadline=0.2)
    assert (placed.outcome, report.outcome) == (Outcome.UNKNOWN, Outcome.UNKNOWN)
    assert ("held: the order's submit is not answered yet" in report.text, b2_sim.commands(DELETE)) == (True, [])


# -- rule 4: deadlines


async def test_at_its_deadline_it_is_unknown_and_held_and_still_goes_out(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = Switches(hold=True, only=ADDS)
    order = limit()
    submitting = asyncio.ensure_future(hasty.submit(order))
    await qfex_sim.until_held(1)
    report = await hasty.cancel(order, deadline=0.1)
    assert (report.outcome, report.text) == (Outcome.UNKNOWN, "held: the order's submit is not answered yet")
    assert (cancels(qfex_sim), len(qfex_sim.book)) == ([], 1)
    qfex_sim.release()
    placed = await submitting
    settled = await report.settled(5)
    assert (settled.outcome, qfex_sim.book) == (Outcome.CONFIRMED, {})
    assert cancels(qfex_sim) == [("order_id", placed.order_id)]


async def test_over_http_as_well(b2: Router, b2_sim: B2TraderSimulator) -> None:
    b2_sim.switches = Switches(hold=True, only=POSTS)
    order = spot()
    submitting = asyncio.ensure_future(b2.submit(order))
    await b2_sim.until_held(1)
    report = await b2.cancel(order, deadline=0.1)
    assert (report.outcome, report.text[:5], b2_sim.commands(DELETE)) == (Outcome.UNKNOWN, "held:", [])
    b2_sim.release()
    placed = await submitting
    assert (await report.settled(5)).ok
    assert b2_sim.orders[str(placed.order_id)].status == "Cancelled"


async def test_a_post_that_is_answered_after_both_deadlines_is_cancelled_all_the_same(
    b2: Router, b2_sim: B2TraderSimulator
) -> None:
    b2_sim.switches = Switches(hold=True, only=POSTS)
    order = spot()
    submitting = asyncio.ensure_future(b2.submit(order, deadline=0.2))
    await b2_sim.until_held(1)
    placed, report = await asyncio.gather(submitting, b2.cancel(order, deadline=0.3))
    assert (placed.outcome, report.outcome, b2_sim.commands(DELETE)) == (Outcome.UNKNOWN, Outcome.UNKNOWN, [])
    b2_sim.release()
    await b2_sim.until(1, DELETE)
    settled = await report.settled(5)
    assert (settled.outcome, (await placed.settled(5)).outcome) == (Outcome.CONFIRMED, Outcome.CONFIRMED)
    [theirs] = b2_sim.orders.values()
    assert theirs.status == "Cancelled"


# -- before the submit has left


async def test_a_submit_that_waits_for_the_pace_is_withdrawn(qfex_sim: QfexSimulator) -> None:
    async with trading(qfex_sim, budget=Budget(5, 600), cancel_budget=None) as router:
        for _ in range(4):
            assert (await router.submit(limit())).ok
        order = limit()
        submitting = asyncio.ensure_future(router.submit(order))
        await asyncio.sleep(0)
        report = await router.cancel(order)
        placed = await submitting
    assert (report.outcome, placed.outcome, placed.sent_at) == (Outcome.NOT_SENT, Outcome.NOT_SENT, None)
    assert report.text == "qfex: the order was not placed yet, and now never will be"
    assert placed.text == "qfex: cancelled before it was placed"
    assert (len(qfex_sim.commands("add_order")), cancels(qfex_sim)) == (4, [])


async def test_over_http_a_submit_that_waits_for_the_pace_is_withdrawn(b2_sim: B2TraderSimulator) -> None:
    async with Router({"xbtfx": B2Trader(**b2_sim.credentials, budget=Budget(5, 600))}) as router:
        for _ in range(4):
            assert (await router.submit(spot())).ok
        order = spot()
        submitting = asyncio.ensure_future(router.submit(order))
        await asyncio.sleep(0)
        report = await router.cancel(order)
        assert (report.outcome, (await submitting).outcome) == (Outcome.NOT_SENT, Outcome.NOT_SENT)
        assert report.text == "xbtfx: the order was not placed yet, and now never will be"
    assert (len(b2_sim.commands(POST)), b2_sim.commands(DELETE)) == (4, [])


async def test_while_reconnecting_a_submit_is_withdrawn_and_never_goes(hasty: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = Switches(hold=True, only=frozenset({"auth"}))
    await qfex_sim.drop_connections()
    await qfex_sim.until_held(1)
    order = limit()
    submitting = asyncio.ensure_future(hasty.submit(order))
    await asyncio.sleep(0)
    report = await hasty.cancel(order)
    assert (report.outcome, (await submitting).outcome) == (Outcome.NOT_SENT, Outcome.NOT_SENT)
    assert report.text == "qfex: the order was not placed yet, and now never will be"
    qfex_sim.switches = Switches()
    qfex_sim.release()
    assert (await hasty.submit(limit())).ok
    assert (len(qfex_sim.commands("add_order")), qfex_sim.commands("cancel_order")) == (1, [])


async def test_a_submit_that_was_refused_for_its_rate_and_waits_is_withdrawn(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.inject(Fault.THROTTLED, only=ADDS)
    order = limit()
    submitting = asyncio.ensure_future(hasty.submit(order))
    await qfex_sim.until_struck(1)
    await fence(hasty)
    report = await hasty.cancel(order)
    placed = await submitting
    assert report.outcome is Outcome.NOT_SENT
    assert placed.outcome in {Outcome.REFUSED, Outcome.NOT_SENT}
    assert (len(qfex_sim.commands("add_order")), qfex_sim.book, cancels(qfex_sim)) == (1, {}, [])


async def test_over_http_a_submit_that_waits_for_a_fresh_token_is_withdrawn(b2_sim: B2TraderSimulator) -> None:
    async with Router({"xbtfx": B2Trader(**b2_sim.credentials)}) as router:
        b2_sim.expire_tokens()
        b2_sim.switches = Switches(hold=True, only=frozenset({"POST access-token"}))
        order = spot()
        submitting = asyncio.ensure_future(router.submit(order))
        await b2_sim.until_held(1)
        report = await router.cancel(order)
        placed = await submitting
        assert report.outcome is Outcome.NOT_SENT
        assert report.text == "xbtfx: the order was not placed yet, and now never will be"
        assert placed.outcome in {Outcome.REFUSED, Outcome.NOT_SENT}
        b2_sim.switches = Switches()
        b2_sim.release()
        assert (await router.submit(spot())).ok
    assert (len(b2_sim.orders), b2_sim.commands(DELETE)) == (1, [])


# -- on_unknown


@pytest.mark.parametrize("kill", [True, False])
async def test_kill_cancels_an_unknown_submit_by_client_id_when_it_is_settled(
    qfex_sim: QfexSimulator, kill: bool
) -> None:
    qfex_sim.switches = Switches(mute=True, only=ADDS)
    async with trading(qfex_sim, kill=kill) as router:
        order = limit()
        placed = await router.submit(order, deadline=0.1)
        assert (placed.outcome, cancels(qfex_sim), len(qfex_sim.book)) == (Outcome.UNKNOWN, [], 1)
        settled = await placed.settled(5)
        assert settled.outcome is Outcome.CONFIRMED
        await fence(router)
    assert cancels(qfex_sim)[:1] == ([("client_order_id", order.client_order_id)] if kill else [])
    assert len(qfex_sim.book) == (0 if kill else 1)


async def test_kill_takes_no_other_order_of_that_client_id_that_was_placed_here(qfex_sim: QfexSimulator) -> None:
    async with trading(qfex_sim, kill=True) as router:
        other = await router.submit(limit(client_order_id="same", quantity="7"))
        qfex_sim.switches = Switches(deaf=True, only=ADDS)
        placed = await router.submit(limit(client_order_id="same"), deadline=0.1)
        await placed.settled(2)
        await fence(router)
    assert list(qfex_sim.book) == [other.order_id]


async def test_kill_writes_nothing_where_there_are_no_client_ids(b2_sim: B2TraderSimulator) -> None:
    b2_sim.switches = Switches(mute=True, only=POSTS)
    async with Router({"xbtfx": B2Trader(**b2_sim.credentials)}, on_unknown="kill") as router:
        placed = await router.submit(spot(), deadline=0.1)
        settled = await placed.settled(0.3)
    assert (settled.outcome, b2_sim.commands(DELETE)) == (Outcome.UNKNOWN, [])


# -- a venue whose ids are ours


@asynccontextmanager
async def dealing(sim: DmexSimulator) -> AsyncIterator[Router]:
    """DMEX with an encoder whose hashes no recipe made."""

    def encoder(order: Order) -> tuple[str, Mapping[str, Any]]:
        order_hash = "0x" + secrets.token_hex(32)
        numbers = {"amount": "1000000000", "price": "10000000000000", "leverage": "100000000"}
        data = {"hash": order_hash, "user_address": adapter.address, "base_token": "0x" + "00" * 20}
        return order_hash, data | numbers | {"asset": order.symbol, "side": True, "nonce": 1}

    adapter = Dmex(sim.private_key, url=sim.url, order_encoder=encoder)
    async with Router({"dmex": adapter}) as router:
        yield router
