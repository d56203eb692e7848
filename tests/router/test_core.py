"""The Router's surface: addresses, batches, events, health, and the caller's mistakes."""

import asyncio

import pytest

from router import (
    Cancel,
    CancelRefused,
    CannotList,
    NotSent,
    OrdStatus,
    Origin,
    Outcome,
    OutcomeUnknown,
    ReadFailed,
    Router,
    RouterClosed,
    SessionState,
    SubmitRefused,
    UnknownVenue,
)


async def place(router, venue, order, order_id):
    submit = asyncio.ensure_future(router.submit(order))
    await venue.until(f"add {order.client_order_id}")
    await venue.say(f"added {order.client_order_id} {order_id}")
    return await submit


async def test_everything_that_knows_its_address_can_be_cancelled(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        orders = [order(f"c{number}") for number in range(4)]
        placed = [await place(router, venue, each, f"o{number}") for number, each in enumerate(orders)]
        venue.rows = "o2:c2"
        (row,) = await router.open_orders("toy")
        targets = [orders[0], placed[1], row, Cancel("toy", "c3")]
        batch = router.cancel_many(targets)
        await venue.until("cancel o", 4)
        await venue.say("cancelled o0", "cancelled o1", "cancelled o2", "cancelled o3")
        reports = await batch
    assert [report.orders[0].order_id for report in reports] == ["o0", "o1", "o2", "o3"]
    assert all(report.orders[0].own for report in reports)


async def test_a_batch_starts_at_once_and_yields_as_they_complete(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        batch = router.cancel_many([Cancel("toy", str(number)) for number in range(100)])
        await venue.until("cancel", 100)
        await venue.say("cancelled 7", "cancelled 3", *(f"cancelled {number}" for number in range(100)))
        seen = [report.orders[0].order_id async for report in batch]
    assert seen[:2] == ["7", "3"]
    assert sorted(seen, key=int) == [str(number) for number in range(100)]


async def test_an_empty_batch_cancels_nothing(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        assert await router.cancel_many([]) == []
        assert [report async for report in router.cancel_many([])] == []
    assert venue.read == ["login"]


async def test_an_order_is_submitted_once(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        one = order("c1")
        await place(router, venue, one, "o1")
        with pytest.raises(ValueError, match=r"toy: the order c1 was submitted before"):
            await router.submit(one)
        assert (await place(router, venue, order("c2"), "o2")).ok
    assert venue.count("add") == 2


async def test_the_callers_mistakes_raise_and_send_nothing(venue, toy_session, order):
    router = Router({"toy": toy_session()})
    with pytest.raises(RouterClosed, match="async with"):
        await router.cancel("toy", "a")
    async with router:
        for mistake, error in (
            (router.cancel("nowhere", "a"), UnknownVenue),
            (router.cancel("toy"), TypeError),
            (router.cancel(Cancel("toy", "a"), "b"), TypeError),
            (router.cancel(17), TypeError),
            (router.cancel("toy", "a", deadline=0), ValueError),
            (router.cancel("toy", "a", deadline=float("nan")), ValueError),
            (router.cancel("toy", "a", deadline="1"), TypeError),
            (router.submit("order"), TypeError),
            (router.replace(Cancel("toy", "a")), ValueError),
            (router.replace(Cancel("toy", "a"), price=1.5), TypeError),
            (router.open_orders("nowhere"), UnknownVenue),
        ):
            with pytest.raises(error):
                await mistake
        with pytest.raises(UnknownVenue, match="'nowhere'; known: toy"):
            router.cancel_many([Cancel("nowhere", "a")])
    assert venue.read == ["login"]


async def test_a_client_id_of_several_goes_out_as_it_is_and_of_one_by_venue_id(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        await place(router, venue, order("c1"), "o1")
        single = asyncio.ensure_future(router.cancel(Cancel("toy", "c1", "client_order"), deadline=0.05))
        await venue.until("cancel o1")
        await single
        second = order("c1")
        submit = asyncio.ensure_future(router.submit(second))
        await venue.until("add c1", 2)
        await venue.say("added c1 o2")
        await submit
        await router.cancel(Cancel("toy", "c1", "client_order"), deadline=0.05)
        await venue.until("cancel-set c1")


async def test_a_missing_symbol_comes_from_the_ledger_and_two_are_named(venue, toy_session, order):
    needy = toy_session(needs_symbol=frozenset({"order", "client_order"}))
    async with Router({"toy": needy}) as router:
        missing = await router.cancel("toy", "a")
        for number, symbol in enumerate(("T", "U"), 1):
            submit = asyncio.ensure_future(router.submit(order("same", symbol)))
            await venue.until("add same", number)
            await venue.say(f"placed same o{number} {symbol}")
            assert (await submit).ok
        ambiguous = await router.cancel(Cancel("toy", "same", "client_order"))
    assert missing.outcome is ambiguous.outcome is Outcome.NOT_SENT
    assert "needs the symbol of 'a'" in missing.text
    assert "T or U" in ambiguous.text


async def test_each_consumer_has_a_queue_of_its_own(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        first, second = router.events(), router.events()
        await place(router, venue, order("c1"), "o1")
        await venue.say("trade o1 1 t1", "trade o1 1 t1", "cancelled o1")
        for stream in (first, second):
            events = [await anext(stream) for _ in range(3)]
            assert [event.exec_type for event in events] == ["new", "trade", "canceled"]
            assert [event.seq for event in events] == [1, 2, 3]
            assert events[1].last_quantity == events[1].cum_quantity == 1
            assert events[2].origin is Origin.VENUE
    assert [event async for event in first] == []


async def test_the_status_of_a_lost_cancel_comes_from_the_ledger(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        placed = await place(router, venue, order("c1"), "o1")
        await venue.say("late o1")
        cancel = asyncio.ensure_future(router.cancel(placed))
        await venue.until("cancel o1")
        await venue.say("refused o1")
        report = await cancel
    assert (report.outcome, report.status) == (Outcome.REFUSED, OrdStatus.FILLED)
    assert report.orders[0].cum_quantity == 2


async def test_outcomes_raise_when_asked_to(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a"))
        await venue.until("cancel a")
        await venue.say("refused a")
        submit = asyncio.ensure_future(router.submit(order("c1")))
        await venue.until("add c1")
        await venue.say("rejected c1")
        unknown = await router.cancel("toy", "b", deadline=0.05)
        expected = [
            (await cancel, CancelRefused),
            (await submit, SubmitRefused),
            (await router.cancel("toy", "a/b"), NotSent),
            (unknown, OutcomeUnknown),
        ]
    for report, error in expected:
        with pytest.raises(error) as caught:
            report.raise_for_outcome()
        assert caught.value.report is report
        with pytest.raises(TypeError, match="neither true nor false"):
            bool(report)


async def test_a_venue_that_cannot_list_says_so(venue, toy_session):
    async with Router({"toy": toy_session(lists=frozenset())}) as router:
        with pytest.raises(CannotList, match="toy"):
            await router.open_orders("toy")


async def test_a_read_that_is_not_answered_fails(venue, toy_session):
    venue.lists = False
    async with Router({"toy": toy_session(deadline=0.05)}) as router:
        with pytest.raises(ReadFailed, match="no answer within"):
            await router.open_orders("toy")
        assert router.health()["toy"].state is SessionState.READY


async def test_one_cancel_that_cannot_be_started_holds_up_no_other(venue, toy_session):
    session = toy_session()
    async with Router({"toy": session}) as router:
        encode = type(session._codec).encode

        def faulty(codec, command, now):
            if command.id == "39":
                raise RuntimeError("a mistake in a codec")
            return encode(codec, command, now)

        type(session._codec).encode = faulty
        try:
            batch = router.cancel_many([Cancel("toy", str(number)) for number in range(41)])
            await venue.until("cancel", 40)
        finally:
            type(session._codec).encode = encode
        await venue.say(*(f"cancelled {number}" for number in range(41)))
        outcomes = [report.outcome for report in await batch]
        assert outcomes == [Outcome.CONFIRMED] * 39 + [Outcome.NOT_SENT, Outcome.CONFIRMED]


def test_text_that_cannot_be_sent_is_refused_where_it_is_said():
    with pytest.raises(ValueError, match="not text which can be sent"):
        Cancel("toy", "bad\ud800")
