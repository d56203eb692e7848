"""Every method of a Router, from either kind: addresses, batches, replaces, lists, events, health, and the caller's mistakes."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from router import (
    Cancel,
    CannotList,
    CxlRejReason,
    ExecType,
    IdKind,
    Order,
    OrderState,
    OrderType,
    OrdStatus,
    Origin,
    Outcome,
    ReadFailed,
    RouterClosed,
    SessionState,
    SwitchFired,
    UnknownVenue,
)

SOON = 5  # seconds in which what is near must have come


async def resting(router, place, count=1, **terms):
    """Orders that rest, with their reports."""
    orders = [place.order(**terms) for _ in range(count)]
    reports = await asyncio.gather(*map(router.submit, orders))
    assert all(report.ok for report in reports)
    return orders, reports


def start(work):
    return asyncio.ensure_future(work)


# -- addresses


async def test_everything_that_knows_its_address_can_be_cancelled(at_qfex):
    router, place = at_qfex
    orders, reports = await resting(router, place, 5)
    rows = {row.order_id: row for row in await router.open_orders("qfex")}
    row = rows[reports[2].order_id]
    told = [
        await router.cancel(orders[0]),
        await router.cancel(reports[1]),
        await router.cancel(row),
        await router.cancel(Cancel("qfex", orders[3].client_order_id, "client_order", orders[3].symbol)),
        await router.cancel("qfex", reports[4].order_id, "order", symbol=orders[4].symbol),
    ]
    assert [report.outcome for report in told] == [Outcome.CONFIRMED] * 5
    assert [report.orders[0].order_id for report in told] == [report.order_id for report in reports]
    assert place.open_ids() == set()


async def test_an_order_of_which_the_client_id_names_others_is_cancelled_alone(at_qfex):
    router, place = at_qfex
    (one, two), (first, second) = await resting(router, place, 2, client_order_id="twin")
    assert (await router.cancel(one)).orders[0].order_id == first.order_id
    assert place.open_ids() == {second.order_id}
    both = await router.cancel(Cancel("qfex", "twin", IdKind.CLIENT_ORDER, two.symbol))
    assert both.outcome is Outcome.CONFIRMED
    assert place.open_ids() == set()


async def test_an_order_that_was_never_submitted_is_not_found(at_qfex):
    router, place = at_qfex
    report = await router.cancel(place.order(), deadline=2)
    assert report.outcome is not Outcome.CONFIRMED
    assert place.open_ids() == set()


async def test_an_order_is_cancelled_before_its_submit_is_answered(anywhere):
    router, place = anywhere
    place.switch(place.adds, hold=True)
    order = place.order()
    placing = start(router.submit(order))
    await place.simulator.until_held(1)
    cancelling = start(router.cancel(order))
    await asyncio.sleep(0)
    place.simulator.release()
    placed, cancelled = await placing, await cancelling
    assert (placed.outcome, cancelled.outcome) == (Outcome.CONFIRMED, Outcome.CONFIRMED)
    assert (place.open_ids(), place.count(place.cancels)) == (set(), 1)


async def test_an_order_in_doubt_is_cancelled_by_its_client_id_or_held(at_qfex):
    router, place = at_qfex
    place.switch(place.adds, mute=True)
    order = place.order()
    assert (await router.submit(order, deadline=0.2)).outcome is Outcome.UNKNOWN
    place.heal()
    report = await router.cancel(order, deadline=2)
    assert report.outcome is Outcome.CONFIRMED
    assert place.open_ids() == set()


async def test_two_cancels_of_one_order_are_one_on_the_wire(anywhere):
    router, place = anywhere
    (order,), (placed,) = await resting(router, place)
    place.switch(place.cancels, hold=True)
    works = [start(router.cancel(order)), start(router.cancel(placed)), start(router.cancel(order, deadline=9))]
    await place.simulator.until_held(1)
    await asyncio.sleep(0.1)
    place.simulator.release()
    reports = await asyncio.gather(*works)
    assert reports[0] == reports[1] == reports[2]
    assert (reports[0].outcome, place.count(place.cancels)) == (Outcome.CONFIRMED, 1)


async def test_a_caller_who_goes_away_takes_nothing_with_it(at_qfex):
    router, place = at_qfex
    place.switch(place.adds, hold=True)
    order = place.order()
    leaving, staying = start(router.submit(order)), start(router.submit(place.order()))
    await place.simulator.until_held(2)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    place.simulator.release()
    assert (await staying).ok
    assert (await router.cancel(order)).ok


async def test_an_order_is_submitted_once(anywhere):
    router, place = anywhere
    (order,), _ = await resting(router, place)
    with pytest.raises(
        ValueError, match=f"{place.name}: the order {order.client_order_id} was submitted before; build"
    ):
        await router.submit(order)
    assert place.count(place.adds) == 1


# -- batches


async def test_a_batch_is_told_in_order_and_as_it_completes(at_qfex):
    router, place = at_qfex
    orders, reports = await resting(router, place, 40)
    batch = router.cancel_many(orders)
    assert len(batch) == 40
    seen = [report async for report in batch]
    assert [report.orders[0].order_id for report in await batch] == [report.order_id for report in reports]
    assert {report.request.id for report in seen} == {report.order_id for report in reports}
    assert place.open_ids() == set()


async def test_an_empty_batch_cancels_nothing(at_qfex):
    router, place = at_qfex
    assert await router.cancel_many([]) == []
    assert [report async for report in router.cancel_many([])] == []
    assert place.count(place.cancels) == 0


async def test_a_batch_of_several_venues_and_outcomes(everywhere):
    router, places = everywhere
    orders = [(await resting(router, place))[0][0] for place in places.values()]
    nobody = Cancel("dmex", places["dmex"].bench.unknown(IdKind.ORDER), IdKind.ORDER)
    reports = await router.cancel_many([*orders, nobody], deadline=3)
    assert [report.outcome for report in reports[:3]] == [Outcome.CONFIRMED] * 3
    assert reports[3].outcome in {Outcome.REFUSED, Outcome.UNKNOWN}
    assert [report.request.venue for report in reports] == [*places, "dmex"]


# -- mistakes


async def test_the_callers_mistakes_raise_and_send_nothing(at_qfex):
    router, place = at_qfex
    target = Cancel("qfex", "a")
    for mistake, error, text in (
        (router.cancel("nowhere", "a"), UnknownVenue, "venue was 'nowhere'; known: qfex"),
        (router.cancel("qfex"), TypeError, "names a venue and no id"),
        (router.cancel(target, "b"), TypeError, "a Cancel knows its own address"),
        (router.cancel(17), TypeError, "17 is nothing that can be cancelled"),
        (router.cancel(OrderState(venue="qfex", order_id=None)), ValueError, "has no id yet"),
        (router.cancel("qfex", ""), ValueError, "id was ''; it must not be empty"),
        (router.cancel("qfex", "a", "sort"), ValueError, "kind was 'sort'"),
        (router.cancel("qfex", "a", deadline=0), ValueError, "deadline was 0; it must be more than 0 seconds"),
        (router.cancel("qfex", "a", deadline=float("nan")), ValueError, "deadline was nan"),
        (router.cancel("qfex", "a", deadline="1"), TypeError, "deadline was '1'; it must be a number of seconds"),
        (router.cancel("qfex", "a", deadline=True), TypeError, "deadline was True"),
        (router.submit("order"), TypeError, "submit\\(\\) takes an Order, not 'order'"),
        (router.submit(Order("nowhere", "S", "buy", "market", "1")), UnknownVenue, "'nowhere'; known: qfex"),
        (router.submit(place.order(), deadline=-1), ValueError, "deadline was -1"),
        (router.replace(target), ValueError, "qfex: replace was given nothing to change"),
        (router.replace(target, price=1.5), TypeError, "qfex: price was 1.5, a float"),
        (router.replace(target, quantity="0"), ValueError, "qfex: quantity was '0'; it must be greater than zero"),
        (router.replace(Cancel("nowhere", "a"), price="1"), UnknownVenue, "'nowhere'"),
        (router.open_orders("nowhere"), UnknownVenue, "'nowhere'; known: qfex"),
        (router.open_orders(""), UnknownVenue, "venue was ''; known: qfex"),
        (router.cancel_all("nowhere"), UnknownVenue, "'nowhere'; known: qfex"),
        (router.cancel_all(""), UnknownVenue, "venue was ''; known: qfex"),
        (router.cancel_all(scope="mine"), ValueError, "scope was 'mine'; it is 'account' or 'own'"),
        (router.cancel_all(deadline=0), ValueError, "deadline was 0"),
    ):
        with pytest.raises(error, match=text):
            await mistake
    with pytest.raises(UnknownVenue, match="'nowhere'; known: qfex"):
        router.cancel_many([target, Cancel("nowhere", "a")])
    with pytest.raises(TypeError, match="names a venue and no id"):
        router.cancel_many(["qfex"])
    with pytest.raises(ValueError, match="scope was 'mine'"):
        router.deadman(1, scope="mine")
    with pytest.raises(UnknownVenue, match="'nowhere'"):
        router.deadman(1, venue="nowhere")
    with pytest.raises(UnknownVenue, match="venue was ''"):
        router.deadman(1, venue="")
    with pytest.raises(TypeError, match="needs the seconds"):
        router.deadman(None)
    assert place.count(place.adds | place.cancels) == 0


async def test_outside_its_block_nothing_works(site):
    async with site.one("qfex") as (router, place):
        await router.cancel_all(scope="own")
    for closed in (router, site.unopened({"qfex": place.adapter})):
        for work in (
            closed.cancel("qfex", "a"),
            closed.submit(place.order()),
            closed.replace(Cancel("qfex", "a"), price="1"),
            closed.open_orders("qfex"),
            closed.cancel_all(),
        ):
            with pytest.raises(RouterClosed, match="the Router is not open; use it inside `async with"):
                await work
        with pytest.raises(RouterClosed):
            closed.cancel_many([Cancel("qfex", "a")])
        with pytest.raises(RouterClosed):
            closed.deadman(1)
    assert [event async for event in router.events()] == []


async def test_closing_tells_whoever_waits(site):
    async with site.one("qfex") as (router, place):
        place.switch(place.adds, mute=True)
        placing = start(router.submit(place.order()))
        await place.written(place.adds)
        events = router.events()
        await router.close()
        report = await asyncio.wait_for(placing, SOON)
        assert report.outcome is Outcome.UNKNOWN
        async with asyncio.timeout(SOON):
            told = [event async for event in events]
        assert {event.venue for event in told} <= {"qfex"}


async def test_a_router_can_be_opened_again(site):
    async with site.one("qfex") as (router, place):
        await router.close()
        async with router:
            async with asyncio.timeout(SOON):
                while not (await router.cancel_all("qfex", scope="own", deadline=2)).no_open_orders:
                    pass
            await resting(router, place)


# -- replaces


async def test_a_native_replace(at_qfex):
    router, place = at_qfex
    (order,), (placed,) = await resting(router, place)
    report = await router.replace(order, quantity="3", price="101")
    assert (report.outcome, report.order_id, report.client_order_id) == (
        Outcome.CONFIRMED,
        placed.order_id,
        order.client_order_id,
    )
    assert (report.request.quantity, report.request.price, report.request.stop_price) == (3, 101, None)
    assert report.request.target.id == placed.order_id
    [row] = await router.open_orders("qfex")
    assert (row.quantity, row.price) == (3, 101)
    assert (await router.cancel(order)).ok


async def test_a_replace_without_leave_for_a_gap_is_not_sent(at_b2trader):
    router, place = at_b2trader
    (order,), _ = await resting(router, place)
    report = await router.replace(order, price="101")
    assert (report.outcome, "no native replace" in report.text) == (Outcome.NOT_SENT, True)
    assert (place.count(place.cancels), len(place.open_ids())) == (0, 1)


async def test_a_replace_with_a_gap(at_b2trader):
    router, place = at_b2trader
    (order,), (placed,) = await resting(router, place)
    report = await router.replace(order, price="101", allow_gap=True)
    assert (report.outcome, report.order_id != placed.order_id) == (Outcome.CONFIRMED, True)
    assert "0 had filled" in report.text
    assert place.open_ids() == {report.order_id}
    assert (await router.cancel(report)).ok
    assert place.open_ids() == set()


async def test_a_replace_by_a_new_order(at_dmex):
    router, place = at_dmex
    _, (placed,) = await resting(router, place)
    report = await router.replace(placed, price="101")
    assert (report.outcome, place.open_ids()) == (Outcome.CONFIRMED, {report.order_id})
    assert report.order_id != placed.order_id
    assert (await router.cancel(report)).ok


async def test_a_replace_of_what_nobody_knows_is_not_sent(anywhere):
    router, place = anywhere
    target = Cancel(place.name, place.bench.unknown(IdKind.ORDER), IdKind.ORDER, place.order().symbol)
    report = await router.replace(target, price="101", allow_gap=True)
    assert (report.outcome, report.request.target) == (Outcome.NOT_SENT, target)


async def test_new_terms_that_contradict_the_order_raise(at_b2trader):
    router, place = at_b2trader
    (order,), _ = await resting(router, place)
    with pytest.raises(ValueError, match="takes none"):
        await router.replace(order, stop_price="101", allow_gap=True)
    assert (place.count(place.cancels), len(place.open_ids())) == (0, 1)


async def test_a_replace_in_doubt_is_settled(at_qfex):
    router, place = at_qfex
    (order,), _ = await resting(router, place)
    place.switch(frozenset({"modify_order"}), mute=True)
    report = await router.replace(order, price="101", deadline=0.2)
    assert report.outcome is Outcome.UNKNOWN
    place.heal()
    settled = await report.settled(SOON)
    assert (settled.outcome, settled.request) == (Outcome.CONFIRMED, report.request)


# -- cancel_all and the dead man's switch


async def test_cancel_all_of_the_account(everywhere):
    router, places = everywhere
    for place in places.values():
        await resting(router, place, 2)
    strange = await places["qfex"].bench.enter(places["qfex"].order())
    report = await router.cancel_all(scope="account", deadline=10)
    assert set(report.venues) == set(places)
    assert [place.open_ids() for place in places.values()] == [set(), set(), set()]
    assert len(report.affected) == 7
    assert strange in {state.order_id for state in report.affected}
    assert (report.venues["qfex"].no_open_orders, report.venues["b"].no_open_orders) == (True, False)
    assert (report.no_open_orders, len(report.doubts) >= 1) == (False, True)


async def test_cancel_all_of_its_own(at_qfex):
    router, place = at_qfex
    strange = await place.bench.enter(place.order())
    _, placed = await resting(router, place, 3)
    report = await router.cancel_all("qfex", scope="own", deadline=10)
    assert (report.no_open_orders, place.open_ids()) == (True, {strange})
    assert {state.order_id for state in report.affected} == {each.order_id for each in placed}
    assert all(state.own for state in report.affected)


async def test_cancel_all_of_one_symbol_at_one_venue(everywhere):
    router, places = everywhere
    await resting(router, places["dmex"])
    _, (gold,) = await resting(router, places["qfex"], symbol="GOLD-USD")
    await resting(router, places["qfex"])
    report = await router.cancel_all("qfex", "AAPL-USD", scope="own", deadline=10)
    assert (list(report.venues), report.no_open_orders) == (["qfex"], True)
    assert (places["qfex"].open_ids(), len(places["dmex"].open_ids())) == ({gold.order_id}, 1)


async def test_nothing_new_is_placed_until_cancel_all_ends(at_qfex):
    router, place = at_qfex
    await resting(router, place)
    place.switch(frozenset({"get_user_orders"}), hold=True)
    clearing = start(router.cancel_all("qfex", scope="own", deadline=10))
    await place.simulator.until_held(1)
    report = await router.submit(place.order())
    place.simulator.release()
    place.heal()
    assert (report.outcome, "cancel_all is under way" in report.text) == (Outcome.NOT_SENT, True)
    assert (await clearing).no_open_orders is True


async def test_cancel_all_ends_at_its_deadline_and_proves_nothing(at_qfex):
    router, place = at_qfex
    await resting(router, place)
    place.switch(place.cancels | {"cancel_all_orders", "get_user_orders"}, deaf=True)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    report = await router.cancel_all("qfex", scope="own", deadline=0.5)
    assert loop.time() - begun < 1.5
    assert report.no_open_orders is False
    assert report.doubts or report.not_affected


async def test_the_dead_mans_switch_fires_when_it_is_not_fed(at_qfex):
    router, place = at_qfex
    await resting(router, place)
    switch = router.deadman(0.15, scope="own", deadline=5)
    switch.feed()
    assert (switch.armed, switch.fired) == (True, False)
    async with asyncio.timeout(SOON):
        report = await switch.report()
    assert (report.no_open_orders, place.open_ids()) == (True, set())
    with pytest.raises(SwitchFired):
        switch.feed()


async def test_a_disarmed_switch_does_not_fire(at_qfex):
    router, place = at_qfex
    await resting(router, place)
    with router.deadman(30) as switch:
        assert switch.armed
    with pytest.raises(RuntimeError, match="disarmed"):
        await switch.report()
    assert len(place.open_ids()) == 1


# -- asking


async def test_open_orders_are_addresses(at_qfex):
    router, place = at_qfex
    strange = await place.bench.enter(place.order())
    (order,), (placed,) = await resting(router, place)
    rows = {row.order_id: row for row in await router.open_orders("qfex")}
    assert set(rows) == {strange, placed.order_id}
    row = rows[placed.order_id]
    assert (row.venue, row.client_order_id, row.symbol) == ("qfex", order.client_order_id, order.symbol)
    assert (row.side, row.type, row.quantity, row.price) == (order.side, order.type, order.quantity, order.price)
    assert (row.own, rows[strange].own) == (True, False)
    assert (await router.cancel(rows[strange])).ok


async def test_a_venue_that_cannot_list_says_so(at_b2trader):
    router, _ = at_b2trader
    with pytest.raises(CannotList, match=r"^b: ") as raised:
        await router.open_orders("b")
    assert raised.value.venue == "b"


async def test_a_list_that_does_not_come_fails(site):
    async with site.one("dmex") as (router, place):
        place.switch(frozenset({"GET orders"}), hang_up=True)
        with pytest.raises(ReadFailed, match=r"^dmex: ") as raised:
            await router.open_orders("dmex")
        assert raised.value.venue == "dmex"


async def test_events_tell_what_happens(at_qfex):
    router, place = at_qfex
    events, other = router.events(), router.events()
    (order,), (placed,) = await resting(router, place)
    await place.bench.fill(placed.order_id, Decimal("0.5"))
    seen = []
    async with asyncio.timeout(SOON):
        async for event in events:
            seen.append(event)
            if event.exec_type is ExecType.TRADE:
                break
        assert (await router.cancel(order)).ok
        async for event in events:
            seen.append(event)
            if event.exec_type is ExecType.CANCELED:
                break
        theirs = [await anext(other) for _ in seen]
    assert theirs == seen
    assert {event.order_id for event in seen} == {placed.order_id}
    happened = [event for event in seen if event.exec_type is not ExecType.ORDER_STATUS]
    assert [event.exec_type for event in happened] == [ExecType.NEW, ExecType.TRADE, ExecType.CANCELED]
    _, trade, end = happened
    half = Decimal("0.5")
    assert (trade.last_quantity, trade.cum_quantity, trade.trade_id is not None) == (half, half, True)
    assert (trade.origin, end.origin) == (Origin.VENUE, Origin.CLIENT)
    assert [event.seq for event in seen] == sorted(event.seq for event in seen)


async def test_what_was_filled_is_too_late_to_cancel(at_qfex):
    router, place = at_qfex
    (order,), (placed,) = await resting(router, place)
    await place.bench.fill(placed.order_id)
    report = await router.cancel(order)
    assert report.outcome is Outcome.REFUSED  # in the words that the venue chose, which depend on when it was asked
    assert report.reason in {CxlRejReason.TOO_LATE_TO_CANCEL, CxlRejReason.UNKNOWN_ORDER}
    assert (report.status, report.orders[0].cum_quantity) == (OrdStatus.FILLED, order.quantity)


async def test_health_is_told_of_every_venue(everywhere):
    router, places = everywhere
    health = router.health()
    assert set(health) == set(places)
    assert {each.state for each in health.values()} == {SessionState.READY}
    assert all(each.ok and each.since.tzinfo is not None for each in health.values())


async def test_nothing_was_in_doubt(at_qfex):
    router, _ = at_qfex
    assert await router.recovered(SOON) == []


@pytest.mark.parametrize("kind", [OrderType.STOP, OrderType.MARKET])
async def test_other_orders(at_qfex, kind):
    router, place = at_qfex
    order = place.order(kind)
    report = await router.submit(order)
    assert (report.outcome, report.symbol) == (Outcome.CONFIRMED, order.symbol)
    if kind is OrderType.STOP:
        assert report.kind is IdKind.STOP_ORDER
        assert (await router.cancel(order)).ok
