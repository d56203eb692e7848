"""The session against a scripted server: what is written when, whose an answer is, and what silence means."""

import asyncio

import pytest

from router import (
    Cancel,
    CxlRejReason,
    LoginRefused,
    OrdStatus,
    Origin,
    Outcome,
    Router,
    RouterClosed,
    SessionState,
    VenueUnreachable,
)


async def test_a_cancel_is_confirmed_by_the_venues_words(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a"))
        await venue.until("cancel a")
        await venue.say("cancelled a")
        report = await cancel
    assert report.outcome is Outcome.CONFIRMED
    assert [order.order_id for order in report.orders] == ["a"]
    assert report.sent_at <= report.answered_at
    assert report.raw == "cancelled a"
    assert venue.count("cancel a") == 1


async def test_an_added_frame_never_answers_a_cancel(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a", deadline=0.2))
        await venue.until("cancel a")
        await venue.say("added x a", "trade a 1 t1")
        report = await cancel
    assert report.outcome is Outcome.UNKNOWN


async def test_silence_is_unknown_at_the_deadline_and_not_before(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        began = asyncio.get_running_loop().time()
        report = await router.cancel("toy", "a", deadline=0.15)
        assert asyncio.get_running_loop().time() - began >= 0.15
        assert report.outcome is Outcome.UNKNOWN
        assert router.health()["toy"].unknown == 1
        settling = asyncio.ensure_future(report.settled(5))
        await venue.say("cancelled a")
        settled = await settling
    assert settled.outcome is Outcome.CONFIRMED
    assert report.outcome is Outcome.UNKNOWN
    assert venue.count("cancel a") == 1


async def test_settled_comes_back_when_nothing_tells(venue, toy_session):
    venue.rows = "a:x"
    async with Router({"toy": toy_session()}) as router:
        report = await router.cancel("toy", "a", deadline=0.05)
        brief = await report.settled(0.05)
        spent = await report.settled()
    assert brief.outcome is spent.outcome is Outcome.UNKNOWN
    assert "still open" in spent.text


async def test_gone_from_the_list_is_not_cancelled(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        report = await router.cancel("toy", "a", deadline=0.05)
        settled = await report.settled()
    assert settled.outcome is Outcome.UNKNOWN
    assert "gone, cause unknown" in settled.text


async def test_a_list_without_the_order_does_not_undo_a_submit(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        report = await router.submit(order("c1"), deadline=0.05)
        assert (await report.settled()).outcome is Outcome.UNKNOWN
        venue.rows = "o1:c1"
        settled = await report.settled()
    assert settled.outcome is Outcome.CONFIRMED
    assert settled.order_id == "o1"
    assert venue.count("add") == 1


async def test_the_venue_in_doubt_is_unknown_at_once_and_may_settle_later(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a", deadline=30))
        await venue.until("cancel a")
        await venue.say("unsure a")
        report = await cancel
        assert report.outcome is Outcome.UNKNOWN
        assert report.text == "server error"
        await venue.say("refused a")
        settled = await report.settled(5)
    assert settled.outcome is Outcome.REFUSED
    assert settled.reason is CxlRejReason.UNKNOWN_ORDER


async def test_a_nameless_verdict_counts_only_for_a_sole_candidate(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        first = asyncio.ensure_future(router.cancel("toy", "a", deadline=5))
        await venue.until("cancel a")
        await venue.say("nope")
        assert (await first).outcome is Outcome.REFUSED

        pair = [asyncio.ensure_future(router.cancel("toy", each, deadline=0.2)) for each in "bc"]
        await venue.until("cancel", 3)
        await venue.say("nope")
        assert {report.outcome for report in await asyncio.gather(*pair)} == {Outcome.UNKNOWN}


async def test_a_timed_out_request_still_counts_as_a_candidate(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        assert (await router.cancel("toy", "a", deadline=0.05)).outcome is Outcome.UNKNOWN
        second = asyncio.ensure_future(router.cancel("toy", "b", deadline=0.2))
        await venue.until("cancel b")
        await venue.say("nope")
        assert (await second).outcome is Outcome.UNKNOWN


async def test_a_request_settled_by_reading_still_counts_as_a_candidate(venue, toy_session, order):
    venue.rows = "o1:c1"
    async with Router({"toy": toy_session()}) as router:
        report = await router.submit(order("c1"), deadline=0.05)
        assert (await report.settled()).ok
        second = asyncio.ensure_future(router.cancel("toy", "b", deadline=0.2))
        await venue.until("cancel b")
        await venue.say("nope")
        assert (await second).outcome is Outcome.UNKNOWN


async def test_a_refusal_that_could_be_either_settles_neither(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        submit = asyncio.ensure_future(router.submit(order("c1")))
        await venue.until("add")
        await venue.say("added c1 a")
        placed = await submit
        cancel = asyncio.ensure_future(router.cancel(placed, deadline=0.2))
        replace = asyncio.ensure_future(router.replace(placed, price="11", deadline=0.2))
        await venue.until("replace a")
        await venue.say("either a")
        assert (await cancel).outcome is Outcome.UNKNOWN
        assert (await replace).outcome is Outcome.UNKNOWN


async def test_a_second_cancel_of_the_same_address_joins_the_first(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        calls = [asyncio.ensure_future(router.cancel("toy", "a", deadline=each)) for each in (0.1, 5.0, 5.0)]
        await venue.until("cancel a")
        assert (await calls[0]).outcome is Outcome.UNKNOWN
        await venue.say("cancelled a")
        assert all(report.ok for report in await asyncio.gather(*calls[1:]))
    assert venue.count("cancel a") == 1


async def test_a_caller_who_goes_away_takes_nothing_with_him(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        leaver = asyncio.ensure_future(router.cancel("toy", "a"))
        stayer = asyncio.ensure_future(router.cancel("toy", "a"))
        await venue.until("cancel a")
        leaver.cancel()
        await venue.say("cancelled a")
        assert (await stayer).ok


async def test_a_set_is_done_when_a_later_read_shows_none_left(venue, toy_session):
    venue.rows = "b:c1"
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel(Cancel("toy", "c1", "client_order"), deadline=5))
        await venue.until("cancel-set c1")
        await venue.say("cancelled a c1")
        await venue.until("list", 2)
        assert not cancel.done()
        await venue.say("cancelled b c1")
        venue.rows = ""
        report = await cancel
    assert report.ok
    assert [taken.order_id for taken in report.orders] == ["a", "b"]


async def test_a_set_with_some_left_at_the_deadline_is_unknown_with_what_it_took(venue, toy_session):
    venue.rows = "b:c1"
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel(Cancel("toy", "c1", "client_order"), deadline=0.3))
        await venue.until("cancel-set c1")
        await venue.say("cancelled a c1")
        report = await cancel
    assert report.outcome is Outcome.UNKNOWN
    assert [taken.order_id for taken in report.orders] == ["a"]


async def test_a_receipt_is_not_the_deed_and_gone_is_not_cancelled(venue, toy_session):
    venue.rows = "a:x"
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a", deadline=0.8))
        await venue.until("cancel a")
        await venue.say("received a")
        await venue.until("list", 2)
        venue.rows = ""
        report = await cancel
        settled = await report.settled()
    assert report.outcome is settled.outcome is Outcome.UNKNOWN
    assert "gone, cause unknown" in settled.text


async def test_a_received_cancel_of_an_order_whose_every_trade_was_seen_is_done_when_it_is_gone(
    venue, toy_session, order
):
    async with Router({"toy": toy_session()}) as router:
        submit = asyncio.ensure_future(router.submit(order("c1")))
        await venue.until("add c1")
        await venue.say("added c1 a", "trade a 1 t1")
        cancel = asyncio.ensure_future(router.cancel(await submit, deadline=0.1))
        await venue.until("cancel a")
        await venue.say("received a")
        report = await cancel
        settled = await report.settled()
    assert report.outcome is Outcome.UNKNOWN, "before the quiet period is over, absence proves nothing"
    assert (settled.outcome, settled.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert settled.orders[0].cum_quantity == 1


async def test_a_late_refusal_after_a_receipt_is_heard(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a", deadline=5))
        await venue.until("cancel a")
        await venue.say("received a")
        await venue.until("list", 2)
        await venue.say("refused a")
        report = await cancel
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)


async def test_a_received_cancel_of_an_order_that_was_filled_is_too_late(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a", deadline=5))
        await venue.until("cancel a")
        await venue.say("received a", "late a")
        report = await cancel
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)
    assert report.status is OrdStatus.FILLED


async def test_what_was_not_executed_is_attempted_again_within_the_deadline(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a", deadline=5))
        await venue.until("cancel a", 1)
        await venue.say("not-now a")
        await venue.until("cancel a", 2)
        await venue.say("cancelled a")
        assert (await cancel).ok


async def test_what_was_never_executed_ends_refused(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a", deadline=5))
        for attempt in range(1, 7):
            await venue.until("cancel a", attempt)
            await venue.say("not-now a")
        report = await cancel
    assert (report.outcome, report.text) == (Outcome.REFUSED, "too fast")


async def test_a_garbled_frame_is_counted_and_skipped(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a"))
        await venue.until("cancel a")
        await venue.say("gibberish", "added", "[" * 100_000, "cancelled a")
        assert (await cancel).ok
        assert router.health()["toy"].garbled == 3
    assert venue.logins == 1


async def test_not_expressible_writes_nothing(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        report = await router.cancel("toy", "a/b")
        stop = await router.cancel("toy", "a", "stop_order")
    assert (report.outcome, stop.outcome) == (Outcome.NOT_SENT, Outcome.NOT_SENT)
    assert "'a/b'" in report.text
    assert "stop_order" in stop.text
    assert venue.read == ["login"]


# -- the life of the connection


async def test_after_a_drop_it_logs_in_reads_and_goes_on(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        lost = asyncio.ensure_future(router.cancel("toy", "a", deadline=1.0))
        await venue.until("cancel a")
        await venue.hang_up()
        await venue.until("list")
        cancel = asyncio.ensure_future(router.cancel("toy", "b"))
        await venue.until("cancel b")
        await venue.say("cancelled a", "cancelled b")
        assert (await cancel).ok
        assert (await lost).ok, "the venue's own event, after the reconnection, settles it"
        await router.open_orders("toy")
        assert router.health()["toy"].state is SessionState.READY
    assert venue.logins == 2
    assert venue.count("cancel a") == 2, "by its id: once more after the reconnection"
    assert venue.read.index("list 0") > venue.read.index("cancel a", 2), "and before the open orders are read"


async def test_a_drop_without_further_words_is_unknown_at_the_deadline(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        began = asyncio.get_running_loop().time()
        lost = asyncio.ensure_future(router.cancel("toy", "a", deadline=0.4))
        await venue.until("cancel a")
        await venue.hang_up()
        report = await lost
        assert asyncio.get_running_loop().time() - began >= 0.4
    assert report.outcome is Outcome.UNKNOWN
    assert "connection was lost" in report.text


async def test_while_reconnecting_a_command_waits_and_is_never_sent_late(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        venue.welcomes = ""
        await venue.hang_up()
        await venue.until("login", 2)
        report = await router.cancel("toy", "a", deadline=0.1)
        assert report.outcome is Outcome.NOT_SENT
        assert report.sent_at is None
        held = asyncio.ensure_future(router.cancel("toy", "b"))
        await asyncio.sleep(0)
        await venue.say("welcome")
        await venue.until("cancel b")
        await venue.say("cancelled b")
        assert (await held).ok
    assert venue.count("cancel a") == 0


async def test_cancels_go_before_the_orders_are_read_and_submits_after(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        venue.lists = False
        await venue.hang_up()
        submit = asyncio.ensure_future(router.submit(order("c1")))
        cancel = asyncio.ensure_future(router.cancel("toy", "a"))
        await venue.until("cancel a")
        await venue.until("list")
        assert venue.count("add") == 0
        await venue.say("cancelled a", "rows")
        assert (await cancel).ok
        await venue.until("add c1")
        await venue.say("added c1 o1")
        assert (await submit).ok


async def test_an_order_that_still_waits_for_the_connection_is_withdrawn_by_its_cancel(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        venue.welcomes = ""
        await venue.hang_up()
        await venue.until("login", 2)
        one = order("c1")
        submit = asyncio.ensure_future(router.submit(one))
        await asyncio.sleep(0)
        cancelled = await router.cancel(one)
        assert cancelled.outcome is (await submit).outcome is Outcome.NOT_SENT
        await venue.say("welcome")
        placed = asyncio.ensure_future(router.submit(order("c2"), deadline=5))
        await venue.until("add c2")
        await venue.say("added c2 o2")
        assert (await placed).ok
    assert venue.count("add c1") == venue.count("cancel") == 0


async def test_a_cancel_on_another_symbol_withdraws_nothing(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        venue.welcomes = ""
        await venue.hang_up()
        await venue.until("login", 2)
        submit = asyncio.ensure_future(router.submit(order("c1", "U"), deadline=5))
        await asyncio.sleep(0)
        elsewhere = Cancel("toy", "c1", "client_order", symbol="T")
        assert (await router.cancel(elsewhere, deadline=0.05)).outcome is Outcome.NOT_SENT
        await venue.say("welcome")
        await venue.until("add c1")
        await venue.say("rejected c1")
        assert (await submit).outcome is Outcome.REFUSED


async def test_a_declined_cancel_is_not_written_again_for_a_caller_who_left(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a", deadline=5))
        await venue.until("cancel a")
        await venue.say("not-now a")
        cancel.cancel()
        other = asyncio.ensure_future(router.cancel("toy", "b", deadline=0.3))
        await venue.until("cancel b")
        await other
    assert venue.count("cancel a") == 1


async def test_a_refused_login_is_fatal_and_named(venue, toy_session):
    venue.welcomes = "go-away"
    with pytest.raises(LoginRefused, match="toy: login refused: go away") as caught:
        async with Router({"toy": toy_session()}):
            pytest.fail("entered")
    assert "clock" in str(caught.value)
    assert venue.logins == 1


async def test_several_failures_come_as_a_group(venue, toy_session):
    venue.welcomes = "go-away"
    with pytest.raises(ExceptionGroup) as caught:
        async with Router({"one": toy_session(), "two": toy_session(url="ws://127.0.0.1:1")}):
            pytest.fail("entered")
    assert {type(error) for error in caught.value.exceptions} == {LoginRefused, VenueUnreachable}


async def test_not_strict_starts_with_the_others_and_tells(venue, toy_session):
    async with Router({"up": toy_session(), "down": toy_session(url="ws://127.0.0.1:1")}, strict=False) as router:
        health = router.health()
        assert health["up"].ok
        assert not health["down"].ok
        assert "127.0.0.1:1" in health["down"].last_error
        report = await router.cancel("down", "a", deadline=0.05)
        assert report.outcome is Outcome.NOT_SENT
        assert "not connected" in report.text


async def test_a_silent_login_is_unreachable(venue, toy_session):
    venue.welcomes = ""
    with pytest.raises(VenueUnreachable, match="no answer within"):
        async with Router({"toy": toy_session(login_timeout=0.1)}):
            pytest.fail("entered")


async def test_closing_tells_whoever_still_waits(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancel = asyncio.ensure_future(router.cancel("toy", "a", deadline=30))
        await venue.until("cancel a")
    report = await cancel
    assert report.outcome is Outcome.UNKNOWN
    assert "closed" in report.text
    assert (await report.settled(0.1)).outcome is Outcome.UNKNOWN
    with pytest.raises(RouterClosed):
        await router.cancel("toy", "b")


async def test_nothing_is_left_after_answered_cancels(venue, toy_session):
    session = toy_session()
    async with Router({"toy": session}) as router:
        batch = router.cancel_many([Cancel("toy", str(number)) for number in range(200)])
        await venue.until("cancel", 200)
        await venue.say(*(f"cancelled {number}" for number in reversed(range(200))))
        reports = await batch
        assert [report.orders[0].order_id for report in reports] == [str(number) for number in range(200)]
        assert len(session._outstanding) == 0
        assert session._deadlines.waiting == 0


async def test_a_router_that_was_closed_and_opened_again_settles_as_before(venue, toy_session, order):
    router = Router({"toy": toy_session()})
    async with router:
        pass
    async with router:
        report = await router.submit(order("c1"), deadline=0.05)
        venue.rows = "o1:c1"
        assert (await report.settled()).outcome is Outcome.CONFIRMED
    assert venue.count("add") == 1


async def test_an_order_that_the_venue_ends_in_answer_to_its_submit_was_not_cancelled_by_us(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        events = router.events()
        submit = asyncio.ensure_future(router.submit(order("c1")))
        await venue.until("add c1")
        await venue.say("killed c1 o1")
        report = await submit
        assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
        assert (await anext(events)).origin is Origin.VENUE
