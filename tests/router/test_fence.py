"""What leaves a session whose fence is shut: reads, and nothing else, whenever it shuts; and what goes when it opens again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, IdKind, Order, Outcome, Router, SessionState, SubmitReport, VenueUnreachable
from router.errors import TransportError
from router.session import Session
from router.testing import Fault
from router.venue import Answer, Codec, Effect, Frame, Item, Wire

WHY = "the lease has run out"
POST, DELETE, STOP = "POST orders", "DELETE orders", "DELETE stop-orders"
CHANGES = ("add_order", "cancel_order", "cancel_stop_order", "modify_order", "cancel_all_orders")
LONG = 20.0  # seconds, of what a test ends sooner


class Fence:
    """Open until it is shut, or as soon as `when` holds. asked: how often it was asked."""

    def __init__(self) -> None:
        self.is_shut, self.asked = False, 0
        self.when: Callable[[], bool] = bool

    def __call__(self) -> str:
        self.asked += 1
        self.is_shut = self.is_shut or self.when()
        return WHY if self.is_shut else ""

    def shut_after(self, questions: int) -> None:
        """It is found open so many times more: so it shuts between two of the steps to the wire."""
        last = self.asked + questions
        self.when = lambda: self.asked > last

    def open(self, session: Session) -> None:
        self.is_shut, self.when = False, bool
        session.unfenced()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


def limit(**changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


def spot() -> Order:
    return Order("b", "spot.btc_usdt", "buy", "limit", "0.02", "100")


async def placed(router: Router, order: Order) -> SubmitReport:
    report = await router.submit(order)
    assert report.ok, report
    return report


@pytest.fixture
def fence() -> Fence:
    return Fence()


@pytest.fixture
def session(qfex_sim: QfexSimulator, fence: Fence) -> Session:
    session = Qfex(**qfex_sim.credentials)
    session.fence = fence
    return session


@pytest.fixture
async def router(session: Session) -> AsyncIterator[Router]:
    async with Router({"qfex": session}) as router:
        yield router


# -- over a socket: commands


async def test_a_command_waits_at_a_shut_fence_and_is_not_sent_at_its_deadline(
    router: Router, qfex_sim: QfexSimulator, session: Session, fence: Fence
) -> None:
    order = await placed(router, limit())
    fence.is_shut = True
    begun = time.monotonic()
    submit, cancel = await asyncio.gather(router.submit(limit(), deadline=0.2), router.cancel(order, deadline=0.2))
    assert time.monotonic() - begun >= 0.2
    assert (submit.outcome, submit.text) == (cancel.outcome, cancel.text) == (Outcome.NOT_SENT, WHY)
    fence.open(session)
    rows = await router.open_orders("qfex")
    assert [row.order_id for row in rows] == list(qfex_sim.book) == [order.order_id]
    assert [item.command for item in qfex_sim.commands(*CHANGES)] == ["add_order"]


async def test_what_waits_goes_once_when_the_fence_opens_and_cancels_go_first(
    router: Router, qfex_sim: QfexSimulator, session: Session, fence: Fence
) -> None:
    order = await placed(router, limit())
    fence.is_shut = True
    begun = len(qfex_sim.received)
    waiting = [asyncio.ensure_future(work) for work in (router.submit(limit()), router.cancel(order))]
    await router.open_orders("qfex")
    fence.open(session)
    assert all(report.ok for report in await asyncio.gather(*waiting))
    words = [item.command for item in qfex_sim.received[begun:]]
    assert words == ["get_user_orders", "cancel_order", "add_order"]
    assert (len(qfex_sim.book), order.order_id in qfex_sim.book) == (1, False)


async def test_a_command_whose_deadline_came_while_the_process_stood_still_never_goes(
    router: Router, qfex_sim: QfexSimulator, session: Session, fence: Fence
) -> None:
    fence.is_shut = True
    submitting = asyncio.ensure_future(router.submit(limit(), deadline=0.2))
    await until(lambda: fence.asked > 0 and session.health().outstanding == 1)
    time.sleep(0.3)  # noqa: ASYNC251 - a process that was paused
    fence.open(session)
    report = await submitting
    await router.open_orders("qfex")
    assert (report.outcome, report.text) == (Outcome.NOT_SENT, WHY)
    assert (qfex_sim.commands("add_order"), qfex_sim.book) == ([], {})


async def test_a_fence_that_shuts_while_the_journal_is_written_is_in_time(
    qfex_sim: QfexSimulator, session: Session, fence: Fence, tmp_path: Path
) -> None:
    async with Router({"qfex": session}, journal=tmp_path / "j.db") as router:
        submitting = asyncio.ensure_future(router.submit(limit(), deadline=0.2))
        await asyncio.sleep(0)
        assert not submitting.done()
        fence.is_shut = True
        report = await submitting
        await router.open_orders("qfex")
    assert (report.outcome, report.text) == (Outcome.NOT_SENT, WHY)
    assert (qfex_sim.commands("add_order"), qfex_sim.book) == ([], {})


async def test_reads_go_on(router: Router, qfex_sim: QfexSimulator, session: Session, fence: Fence) -> None:
    order = await placed(router, limit())
    fence.is_shut = True
    assert [row.order_id for row in await router.open_orders("qfex")] == [order.order_id]
    rows = await session.lookup(Cancel("qfex", str(order.order_id), IdKind.ORDER, "AAPL-USD"))
    assert [row.order_id for row in rows or ()] == [order.order_id]
    assert [len(qfex_sim.commands(word)) for word in ("get_user_orders", "get_order")] == [1, 1]


# -- over a socket: repeats, logins, cancel-all


async def test_a_repeat_waits_at_a_shut_fence_beyond_its_deadline_and_is_not_lost(
    router: Router, qfex_sim: QfexSimulator, session: Session, fence: Fence
) -> None:
    order = await placed(router, limit())
    qfex_sim.inject(Fault.HANG_UP_READ, only={"cancel_order"})
    fence.when = lambda: len(qfex_sim.commands("subscribe")) == 4  # the second login is over
    report = await router.cancel(order, deadline=1.0)
    await qfex_sim.until(1, "get_user_orders")  # which comes after repeats
    await until(lambda: router.health()["qfex"].state is SessionState.READY)
    assert (report.outcome, list(qfex_sim.book)) == (Outcome.UNKNOWN, [order.order_id])
    assert len(qfex_sim.commands("cancel_order")) == 1
    settling = asyncio.ensure_future(report.settled(5))
    fence.open(session)
    settled = await settling
    first, second = qfex_sim.commands("cancel_order")
    assert (settled.outcome, qfex_sim.book) == (Outcome.CONFIRMED, {})
    assert (first.message, first.connection != second.connection) == (second.message, True)


async def test_nobody_logs_in_again_while_the_fence_is_shut(
    router: Router, qfex_sim: QfexSimulator, session: Session, fence: Fence, caplog: pytest.LogCaptureFixture
) -> None:
    fence.is_shut = True
    await qfex_sim.drop_connections()
    await until(lambda: router.health()["qfex"].last_error == WHY)
    report = await router.submit(limit(), deadline=0.5)
    assert (report.outcome, WHY in report.text) == (Outcome.NOT_SENT, True)
    assert (qfex_sim.connections, len(qfex_sim.commands("auth"))) == (0, 1)
    assert WHY not in caplog.text, "nothing was even tried"
    fence.open(session)
    await placed(router, limit())
    assert (len(qfex_sim.commands("auth")), len(qfex_sim.book)) == (2, 1)


async def test_a_fence_that_shuts_in_the_middle_of_a_login_ends_it(
    router: Router, qfex_sim: QfexSimulator, session: Session, fence: Fence
) -> None:
    fence.when = lambda: len(qfex_sim.commands("auth")) == 2
    await qfex_sim.drop_connections()
    await until(lambda: router.health()["qfex"].last_error == WHY and not qfex_sim.connections)
    assert (len(qfex_sim.commands("auth")), len(qfex_sim.commands("subscribe"))) == (2, 2)
    fence.open(session)
    await placed(router, limit())
    assert (len(qfex_sim.commands("auth")), len(qfex_sim.commands("subscribe"))) == (3, 4)


async def test_the_first_login_is_not_begun(qfex_sim: QfexSimulator, session: Session, fence: Fence) -> None:
    fence.is_shut = True
    with pytest.raises(VenueUnreachable, match=WHY):
        await Router({"qfex": session}).open()
    assert (qfex_sim.received, fence.asked) == ([], 1)


async def test_the_venues_own_cancel_all_is_not_given(
    router: Router, qfex_sim: QfexSimulator, session: Session, fence: Fence
) -> None:
    order = await placed(router, limit())
    fence.is_shut = True
    report = await router.cancel_all("qfex", deadline=1.0)
    assert not report.no_open_orders
    assert (list(qfex_sim.book), len(qfex_sim.commands(*CHANGES))) == ([order.order_id], 1)
    assert qfex_sim.commands("get_user_orders")
    fence.open(session)
    assert (await router.cancel_all("qfex", deadline=5)).no_open_orders
    assert (qfex_sim.book, len(qfex_sim.commands("cancel_all_orders"))) == ({}, 1)


async def test_a_fence_that_shuts_while_a_cancel_all_takes_its_turn_is_in_time(
    router: Router, qfex_sim: QfexSimulator, session: Session, fence: Fence
) -> None:
    order = await placed(router, limit())
    fence.shut_after(1)
    with pytest.raises(TransportError, match=WHY) as caught:
        await session.cancel_all(1.0)
    await router.open_orders("qfex")
    assert (caught.value.sent, list(qfex_sim.book)) == (False, [order.order_id])
    assert qfex_sim.commands("cancel_all_orders") == []


class Wordy(Codec):
    """The toy venue, whose receipt of a cancel asks for a further frame, and whose goodbye may change something."""

    spec = property(lambda self: self._codec.spec)

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.hello, self.encode, self.list_orders = codec.hello, codec.encode, codec.list_orders

    def decode(self, frame: Frame, now: float) -> Iterator[Item]:
        really = Wire(keys=(("cancel", "a"),), body=b"really a", effect=Effect.IDEMPOTENT)
        for item in self._codec.decode(frame, now):
            is_receipt = isinstance(item, Answer) and item.outcome is None
            yield replace(item, then=really) if is_receipt else item

    def goodbye(self, now: float) -> Iterator[Wire]:
        yield Wire(keys=(("bye", ""),), body=b"bye", effect=Effect.ONCE)


async def test_what_would_complete_a_command_over_the_socket_stays_and_so_does_a_goodbye_that_changes_something(
    venue: Any, toy_session: Any, fence: Fence
) -> None:
    session = toy_session()
    session.through(Wordy)
    session.fence = fence
    async with Router({"toy": session}) as router:
        cancelling = asyncio.ensure_future(router.cancel("toy", "a", deadline=LONG))
        await venue.until("cancel a")
        fence.is_shut = True
        await venue.say("received a")
        report = await cancelling
        assert (report.outcome, WHY in report.text) == (Outcome.UNKNOWN, True)
    assert venue.read == ["login", "cancel a"]


async def test_a_goodbye_that_leaves_the_orders_alone_is_said(qfex_sim: QfexSimulator, fence: Fence) -> None:
    """Without it the venue would cancel what is the next owner's by now."""
    session = Qfex(**qfex_sim.credentials, cancel_on_disconnect=True)
    session.fence = fence
    async with Router({"qfex": session}) as router:
        order = await placed(router, limit())
        fence.is_shut = True
    await until(lambda: not qfex_sim.connections)
    assert list(qfex_sim.book) == [order.order_id]


# -- over HTTP


@pytest.fixture
def trader(b2_sim: B2TraderSimulator, fence: Fence) -> Session:
    session = B2Trader(**b2_sim.credentials)
    session.fence = fence
    return session


@pytest.fixture
async def http(trader: Session) -> AsyncIterator[Router]:
    async with Router({"b": trader}) as router:
        yield router


async def test_a_fence_that_shuts_between_the_connection_and_the_first_byte_is_in_time(
    http: Router, b2_sim: B2TraderSimulator, fence: Fence
) -> None:
    fence.shut_after(1)
    report = await http.submit(spot(), deadline=0.2)
    assert (report.outcome, report.text, fence.asked > 1) == (Outcome.NOT_SENT, WHY, True)
    assert (b2_sim.commands(POST), b2_sim.orders) == ([], {})


async def test_what_it_stopped_there_goes_once_when_it_opens(
    http: Router, b2_sim: B2TraderSimulator, trader: Session, fence: Fence
) -> None:
    fence.shut_after(1)
    submitting = asyncio.ensure_future(http.submit(spot()))
    await until(lambda: fence.is_shut)
    fence.open(trader)
    assert (await submitting).ok
    assert (len(b2_sim.commands(POST)), len(b2_sim.orders)) == (1, 1)


@pytest.mark.parametrize("questions", [2, 3], ids=["before it starts", "before its first byte"])
async def test_a_fenced_repeat_over_http_leaves_a_doubt_that_is_settled_when_the_fence_opens(
    http: Router, b2_sim: B2TraderSimulator, trader: Session, fence: Fence, questions: int
) -> None:
    order = await placed(http, spot())
    b2_sim.inject(Fault.HANG_UP_READ, only={DELETE})
    fence.shut_after(questions)  # the first two are the first attempt's
    report = await http.cancel(order, deadline=0.2)
    theirs = b2_sim.orders[str(order.order_id)]
    assert (report.outcome, len(b2_sim.commands(DELETE))) == (Outcome.UNKNOWN, 1)
    asked = fence.asked
    assert (await report.settled(0.2)).outcome is Outcome.UNKNOWN
    assert (theirs.status, len(b2_sim.commands(DELETE))) == ("Pending", 1)
    assert fence.asked == asked, "nobody knocks meanwhile"
    settling = asyncio.ensure_future(report.settled(5))
    fence.open(trader)
    assert ((await settling).outcome, theirs.status) == (Outcome.CONFIRMED, "Cancelled")
    assert len(b2_sim.commands(DELETE)) == 2


@pytest.mark.parametrize("fault", [Fault.THROTTLED_NO_HINT, Fault.EXPIRED_TOKEN])
async def test_a_new_attempt_of_what_the_venue_declined_stops_at_a_shut_fence(
    http: Router, b2_sim: B2TraderSimulator, fence: Fence, fault: Fault
) -> None:
    b2_sim.inject(fault, only={POST})
    fence.when = lambda: len(b2_sim.commands(POST)) == 1
    report = await http.submit(spot(), deadline=1.5)
    assert report.outcome is Outcome.REFUSED
    assert (len(b2_sim.commands(POST)), len(b2_sim.commands("POST access-token")), b2_sim.orders) == (1, 1, {})


async def tokens(sim: B2TraderSimulator, fetched: list[str], fence: Fence, shut_at: int) -> str:
    """A source of tokens during which the fence shuts."""
    fetched.append(sim.token())
    fence.is_shut = fence.is_shut or len(fetched) == shut_at
    return fetched[-1]


@pytest.mark.parametrize("during", [True, False])
async def test_a_fence_that_shuts_before_or_while_a_token_is_fetched_is_in_time(
    b2_sim: B2TraderSimulator, fence: Fence, during: bool
) -> None:
    fetched: list[str] = []
    session = B2Trader(
        b2_sim.url, b2_sim.account_id, lambda: tokens(b2_sim, fetched, fence, shut_at=2 if during else 0)
    )
    session.fence = fence
    async with Router({"b": session}) as router:
        b2_sim.inject(Fault.EXPIRED_TOKEN, only={POST})
        if not during:
            fence.when = lambda: len(b2_sim.commands(POST)) == 1
        report = await router.submit(spot(), deadline=0.3)
    assert report.outcome is Outcome.REFUSED
    assert (len(fetched), len(b2_sim.commands(POST)), b2_sim.orders) == (2 if during else 1, 1, {})


async def test_a_repeat_that_needs_a_token_while_the_fence_is_shut_is_not_lost(
    http: Router, b2_sim: B2TraderSimulator, trader: Session, fence: Fence
) -> None:
    order = await placed(http, spot())
    b2_sim.inject(Fault.HANG_UP_READ, only={DELETE})
    b2_sim.inject(Fault.EXPIRED_TOKEN, only={DELETE})
    fence.when = lambda: len(b2_sim.commands(DELETE)) == 2
    report = await http.cancel(order, deadline=0.3)
    assert (report.outcome, len(b2_sim.commands(DELETE))) == (Outcome.UNKNOWN, 2)
    assert len(b2_sim.commands("POST access-token")) == 1
    settling = asyncio.ensure_future(report.settled(5))
    fence.open(trader)
    assert (await settling).outcome is Outcome.CONFIRMED
    assert (len(b2_sim.commands(DELETE)), b2_sim.orders[str(order.order_id)].status) == (4, "Cancelled")


async def test_a_further_request_of_a_command_that_was_begun_is_not_held(
    http: Router, b2_sim: B2TraderSimulator, trader: Session, fence: Fence
) -> None:
    order = await placed(http, Order("b", "spot.btc_usdt", "buy", "stop", quantity="0.01", stop_price="128000"))
    b2_sim.stop_cancel_mode = "unchanged"
    fence.when = lambda: len(b2_sim.commands(STOP)) == 1
    report = await http.cancel(order, deadline=LONG)
    assert (report.outcome, WHY in report.text, len(b2_sim.commands(STOP))) == (Outcome.UNKNOWN, True, 1)
    fence.open(trader)
    settled = await report.settled(0.5)
    assert (settled.outcome, b2_sim.stops[str(order.order_id)].live) == (Outcome.UNKNOWN, False)
    first, second = b2_sim.commands(STOP)
    assert first.message == second.message


async def test_the_exchange_of_a_token_stops_between_the_connection_and_its_first_byte(
    b2_sim: B2TraderSimulator, trader: Session, fence: Fence
) -> None:
    fence.shut_after(1)
    with pytest.raises(VenueUnreachable, match=WHY):
        await Router({"b": trader}).open()
    assert (b2_sim.received, b2_sim.tokens_issued, fence.asked) == ([], 0, 2)


# -- a venue of both: commands over a socket, reads over HTTP


async def test_orders_are_read_over_http_while_a_signed_cancel_waits(dmex_sim: DmexSimulator, fence: Fence) -> None:
    order_hash = dmex_sim.rest()
    session = Dmex(**dmex_sim.credentials)
    session.fence = fence
    async with Router({"dmex": session}) as router:
        fence.is_shut = True
        cancelling = asyncio.ensure_future(router.cancel("dmex", order_hash))
        rows = await router.open_orders("dmex")
        assert [row.order_id for row in rows] == [order_hash]
        assert (dmex_sim.commands("cancel_order"), dmex_sim.orders[order_hash].closed) == ([], False)
        fence.open(session)
        assert (await cancelling).ok
    assert (len(dmex_sim.commands("cancel_order")), dmex_sim.orders[order_hash].closed) == (1, True)


async def test_a_venue_without_a_login_is_not_connected_to_either_and_the_repeat_waits(
    dmex_sim: DmexSimulator, fence: Fence
) -> None:
    order_hash = dmex_sim.rest()
    session = Dmex(**dmex_sim.credentials)
    session.fence = fence
    async with Router({"dmex": session}) as router:
        dmex_sim.inject(Fault.HANG_UP_READ, only={"cancel_order"})
        fence.when = lambda: len(dmex_sim.commands("cancel_order")) == 1
        report = await router.cancel("dmex", order_hash, deadline=0.5)
        await until(lambda: router.health()["dmex"].last_error == WHY)
        assert (report.outcome, dmex_sim.connections) == (Outcome.UNKNOWN, {})
        assert not dmex_sim.orders[order_hash].closed
        settling = asyncio.ensure_future(report.settled(5))
        fence.open(session)
        assert (await settling).outcome is Outcome.CONFIRMED
    first, second = dmex_sim.commands("cancel_order")
    assert (first.message, dmex_sim.orders[order_hash].closed) == (second.message, True)


# -- what was allowed to leave has left


@pytest.mark.parametrize("is_fenced", [True, False])
async def test_frames_of_one_tick_are_joined_only_where_no_fence_may_shut_before_its_end(
    qfex_sim: QfexSimulator, *, is_fenced: bool
) -> None:
    session, waiting = Qfex(**qfex_sim.credentials), []
    session.fence = Fence() if is_fenced else None
    async with Router({"qfex": session}) as router:
        writer = session._link.socket._writer
        tasks = [asyncio.ensure_future(router.submit(limit())) for _ in range(3)]
        asyncio.get_running_loop().call_soon(lambda: waiting.append(len(writer._joined)))  # before the tick's own end
        reports = await asyncio.gather(*tasks)
    assert (waiting == [0], len(qfex_sim.commands("add_order"))) == (is_fenced, 3)
    assert all(report.ok for report in reports)


# -- what is heard while it is shut


async def test_a_refusal_that_the_next_owner_was_given_is_not_taken_for_our_own(
    router: Router, qfex_sim: QfexSimulator, fence: Fence
) -> None:
    """The venue tells every session of the account; the order was cancelled by our own command, whose answer was lost."""
    order = await placed(router, limit())
    qfex_sim.inject(Fault.MUTE, only={"cancel_order"})
    cancelling = asyncio.ensure_future(router.cancel(order, deadline=1.0))
    await until(lambda: not qfex_sim.book)
    fence.is_shut = True
    async with Router({"qfex": Qfex(**qfex_sim.credentials)}) as owner:
        theirs = await owner.cancel("qfex", str(order.order_id), symbol="AAPL-USD")
    assert (theirs.outcome, theirs.text) == (Outcome.REFUSED, "NO_SUCH_ORDER")
    ours = await cancelling
    assert (ours.outcome, "another session" in ours.text) == (Outcome.UNKNOWN, True)
