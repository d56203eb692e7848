"""The four outcomes of submit and cancel at the three venues, from either kind of Router."""

from __future__ import annotations

import asyncio
import time

import pytest

from router import (
    CancelRefused,
    IdKind,
    NotSent,
    Order,
    OrderType,
    OrdStatus,
    Origin,
    Outcome,
    OutcomeUnknown,
    SubmitRefused,
)
from router.testing import Verb


async def test_confirmed(anywhere):
    router, place = anywhere
    order = place.order()
    placed = await router.submit(order)
    assert (placed.outcome, placed.ok, placed.request) == (Outcome.CONFIRMED, True, order)
    assert {placed.order_id} == place.open_ids()
    assert (placed.client_order_id, placed.symbol) == (order.client_order_id, order.symbol)
    assert placed.sent_at <= placed.answered_at
    assert (placed.journaled, bool(placed.raw)) == (True, True)
    cancelled = await router.cancel(order)
    assert (cancelled.outcome, cancelled.status, cancelled.journaled) == (Outcome.CONFIRMED, OrdStatus.CANCELED, True)
    assert [each.order_id for each in cancelled.orders] == [placed.order_id]
    assert cancelled.orders[0].own is True
    assert place.open_ids() == set()
    assert (place.count(place.adds), place.count(place.cancels)) == (1, 1)
    assert cancelled.raise_for_outcome() is cancelled


async def test_refused(anywhere):
    router, place = anywhere
    order = place.order()
    await router.submit(order)
    refusal = place.refuse(Verb.CANCEL)
    report = await router.cancel(order)
    assert (report.outcome, report.reason, report.ok) == (Outcome.REFUSED, refusal.reason, False)
    assert (report.text != "", len(place.open_ids()), place.count(place.cancels)) == (True, 1, 1)
    with pytest.raises(CancelRefused) as raised:
        report.raise_for_outcome()
    assert raised.value.report is report


async def test_a_refused_submit(anywhere):
    router, place = anywhere
    order, refusal = place.order(), place.refuse(Verb.SUBMIT)
    report = await router.submit(order)
    assert (report.outcome, report.reason, report.request) == (Outcome.REFUSED, refusal.reason, order)
    assert (report.text != "", place.open_ids()) == (True, set())
    with pytest.raises(SubmitRefused):
        report.raise_for_outcome()
    cancelled = await router.cancel(order)
    if place.name == "dmex":  # the order has an id before the venue has heard of it
        assert cancelled.outcome is Outcome.REFUSED
    else:
        said = f"{place.name}: the order was not placed: {report.text}"
        assert (cancelled.outcome, cancelled.text, place.count(place.cancels)) == (Outcome.NOT_SENT, said, 0)


async def test_not_sent(anywhere):
    router, place = anywhere
    if place.name == "qfex":
        order = place.order(OrderType.STOP_LIMIT)
    else:
        order = Order(place.name, place.order().symbol, "buy", "twap", "1")
    report = await router.submit(order)
    assert (report.outcome, report.sent_at, report.order_id) == (Outcome.NOT_SENT, None, None)
    assert (report.journaled, report.text != "") == (None, True)
    assert place.count(place.adds) == 0
    with pytest.raises(NotSent):
        report.raise_for_outcome()


async def test_silence_is_unknown_at_the_deadline(anywhere):
    router, place = anywhere
    place.switch(place.adds, mute=True)
    begun = time.monotonic()
    report = await router.submit(place.order(), deadline=0.3)
    assert 0.2 < time.monotonic() - begun < 2
    assert (report.outcome, report.journaled) == (Outcome.UNKNOWN, True)
    assert report.text != ""
    with pytest.raises(OutcomeUnknown):
        report.raise_for_outcome()
    assert place.count(place.adds) == 1


async def test_a_submit_in_doubt_is_settled_where_the_venue_can_be_asked(anywhere):
    router, place = anywhere
    place.switch(place.adds, mute=True)
    order = place.order()
    report = await router.submit(order, deadline=0.2)
    place.heal()
    settled = await report.settled(5 if place.name != "b" else 0.5)
    if place.name == "b":
        assert settled.outcome is Outcome.UNKNOWN
    else:
        assert (settled.outcome, {settled.order_id}) == (Outcome.CONFIRMED, place.open_ids())
        assert (await router.cancel(settled)).ok
    assert place.count(place.adds) == 1


async def test_a_submit_that_never_arrived_is_refused_by_the_router(site):
    async with site.one("qfex") as (router, place):
        place.switch(place.adds, deaf=True)
        report = await router.submit(place.order(), deadline=0.2)
        place.heal()
        settled = await report.settled(5)
        assert (report.outcome, settled.outcome) == (Outcome.UNKNOWN, Outcome.REFUSED)
        assert (settled.origin, place.open_ids()) == (Origin.ROUTER, set())


async def test_a_cancel_in_doubt_is_settled(anywhere):
    router, place = anywhere
    order = place.order()
    await router.submit(order)
    place.switch(place.cancels, mute=True)
    report = await router.cancel(order, deadline=0.2)
    assert report.outcome is Outcome.UNKNOWN
    place.heal()
    settled = await report.settled(5 if place.name != "b" else 0.5)
    assert settled.outcome is (Outcome.CONFIRMED if place.name != "b" else Outcome.UNKNOWN)
    assert place.open_ids() == set()


async def test_several_await_the_same_settlement(at_qfex):
    router, place = at_qfex
    place.switch(place.adds, mute=True)
    report = await router.submit(place.order(), deadline=0.2)
    place.heal()
    first, second = await asyncio.gather(report.settled(5), report.settled(5))
    assert first == second
    assert await first.settled() is first


async def test_settled_without_an_answer_is_a_report_all_the_same(at_qfex):
    router, place = at_qfex
    place.switch(place.adds | {"get_user_orders"}, mute=True)
    report = await router.submit(place.order(), deadline=0.2)
    settled = await report.settled(0.3)
    assert (settled.outcome, settled.request) == (Outcome.UNKNOWN, report.request)


async def test_a_lost_connection_executes_nothing_twice(anywhere):
    router, place = anywhere
    place.switch(place.adds, hang_up=True)
    report = await router.submit(place.order(), deadline=1)
    place.heal()
    settled = await report.settled(5 if place.name != "b" else 0.3)
    assert settled.outcome in {Outcome.CONFIRMED, Outcome.UNKNOWN}
    assert (place.count(place.adds), len(place.open_ids())) == (1, 1)


async def test_a_report_is_neither_true_nor_false(anywhere):
    router, place = anywhere
    reports = [
        await router.submit(place.order()),
        await router.cancel(place.name, place.bench.unknown(IdKind.ORDER), symbol=place.order().symbol, deadline=1),
        await router.cancel_all(deadline=0.5, scope="own"),
    ]
    for report in reports:
        with pytest.raises(TypeError, match="neither true nor false"):
            bool(report)
        assert str(report).startswith(place.name)
        assert place.name in repr(report)
