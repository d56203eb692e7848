"""Nothing hangs and nothing runs on: deadlines come, reads go on, what is left goes quiet, and what is closed ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time

import jwt
import pytest
from aiohttp import web
from attrs import evolve
from websockets.asyncio.server import serve

from adapters.b2trader import B2Trader
from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, LoginRefused, Order, Outcome, ReadFailed, Router, RouterClosed, VenueUnreachable, blocking
from router.testing import Switches

LONG = 20.0  # what never ends is told from what is slow by this many seconds
ULID = "01K2MNGAWPMQJ7WGATFSCAS1G4"


def spot():
    return Order("b", "spot.btc_usdt", "buy", "limit", "1", "10")


@contextlib.asynccontextmanager
async def answering(handler):
    """An HTTP server with one handler for everything: its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


# -- deadlines


async def test_a_deadline_comes_in_a_loop_that_is_always_late(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancelling = asyncio.ensure_future(router.cancel("toy", "a", deadline=0.3))
        async with asyncio.timeout(LONG):
            while not cancelling.done():
                time.sleep(0.07)  # noqa: ASYNC251 - a strategy that computes
                await asyncio.sleep(0)
        report = await cancelling
    assert report.outcome is Outcome.UNKNOWN
    assert venue.count("cancel a") == 1


@pytest.mark.parametrize("fault", ["hang_up", "mute"])
async def test_over_http_a_broken_request_is_unknown_at_the_deadline_and_not_before(b2_sim, clock, fault):
    adapter = B2Trader(**b2_sim.credentials)
    adapter._codec = evolve(adapter._codec, spec=evolve(adapter.spec, http_timeout=0.1))
    b2_sim.switches = Switches(**{fault: True})
    async with Router({"b": adapter}) as router:
        begun = clock()
        report = await router.cancel("b", ULID, deadline=0.5)
        assert clock() - begun >= 0.5
    assert report.outcome is Outcome.UNKNOWN
    assert "lost before the answer" in report.text
    # a cancel by id can do nothing new: it goes out once more, and never again
    assert len([each for each in b2_sim.received if each.command.startswith("DELETE")]) == 2


# -- what is told to have ended is not sent any more


async def test_an_attempt_that_waits_for_a_connection_at_the_deadline_never_leaves():
    """The first one is refused for its token; the second finds the venue's backlog full."""
    loop, log, tokens = asyncio.get_running_loop(), [], iter(["first-token", "second-token"])

    async def fetch():
        return next(tokens)

    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.settimeout(0)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        adapter = B2Trader(f"http://127.0.0.1:{listener.getsockname()[1]}", "acc", fetch)

        async def refuse_once():
            connection, _ = await loop.sock_accept(listener)
            with connection:
                log.append((await loop.sock_recv(connection, 65536)).split(b" ")[0])
                for _ in range(8):
                    filler = open_sockets.enter_context(socket.socket())
                    filler.settimeout(0)
                    filler.connect_ex(listener.getsockname())
                answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                await loop.sock_sendall(connection, answer)

        serving = asyncio.ensure_future(refuse_once())
        async with Router({"b": adapter}) as router:
            report = await router.submit(spot(), deadline=0.5)
            await serving
            async with asyncio.timeout(5):
                tasks = [task for each in adapter._exchange._tasks.values() for task in each]
                await asyncio.gather(*tasks, return_exceptions=True)
    assert (report.outcome, report.text) == (Outcome.REFUSED, "HTTP 401")
    assert log == [b"POST"]


async def test_a_caller_who_left_while_the_token_was_fetched_sends_nothing_later():
    hits, calls = [], []
    fetching, fetched = asyncio.Event(), asyncio.Event()

    async def fetch():
        calls.append(1)
        if len(calls) > 1:
            fetching.set()
            await fetched.wait()
        return f"token-{len(calls)}"

    async def handler(request):
        hits.append(request.method)
        return web.Response(status=401 if len(hits) == 1 else 404)

    async with answering(handler) as url, Router({"b": B2Trader(url, "acc", fetch)}) as router:
        submitting = asyncio.ensure_future(router.submit(spot()))
        await fetching.wait()
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)
        fetched.set()
        assert (await router.cancel("b", ULID)).outcome is Outcome.REFUSED
        assert (await router.cancel("b", ULID)).outcome is Outcome.REFUSED
    assert hits == ["POST", "DELETE", "DELETE"]


# -- reads


async def test_after_one_lost_answer_the_orders_can_be_read_again(venue, toy_session):
    async with Router({"toy": toy_session(deadline=0.2)}) as router:
        venue.lists = False
        with pytest.raises(ReadFailed):
            await router.open_orders("toy")
        venue.lists, venue.rows = True, "o1:c"
        found = []
        for _ in range(8):
            with contextlib.suppress(ReadFailed):
                found = await router.open_orders("toy")
                break
        assert [row.order_id for row in found] == ["o1"]


async def test_after_one_lost_answer_a_reconnection_still_comes_to_its_end(venue, toy_session, order):
    async with Router({"toy": toy_session(deadline=0.3)}) as router:
        venue.lists = False
        await venue.hang_up()
        await venue.until("list")
        venue.lists = True
        submitting = asyncio.ensure_future(router.submit(order("c1"), deadline=LONG))
        await venue.until("add c1")
        await venue.say("added c1 o1")
        assert (await submitting).ok
        assert router.health()["toy"].ok
    assert venue.logins == 2


# -- connections


@pytest.mark.parametrize("offset", ["+99999999999999999999", "+9999", "x"])
async def test_a_hostile_date_beside_a_refused_login_stops_no_reconnection(venue, toy_session, offset):
    hostile = False

    def answer(_connection, _request, response):
        if hostile:
            del response.headers["Date"]
            response.headers["Date"] = f"Thu, 01 Jan 2026 00:00:00 {offset}"
        return response

    async with serve(venue.handle, "127.0.0.1", 0, compression=None, process_response=answer) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Router({"toy": toy_session(url=url)}) as router:
            hostile, venue.welcomes = True, "go-away"
            await venue.hang_up()
            await venue.until("login", 3)
            hostile, venue.welcomes = False, "welcome"
            cancelling = asyncio.ensure_future(router.cancel("toy", "a", deadline=LONG))
            await venue.until("cancel a")
            await venue.say("cancelled a")
            assert (await cancelling).ok
        hostile, venue.welcomes = True, "go-away"
        with pytest.raises(LoginRefused, match="toy: login refused: go away"):
            async with Router({"toy": toy_session(url=url)}):
                pytest.fail("entered")


async def test_an_opening_that_is_cancelled_leaves_no_connection(venue, toy_session):
    silent = type(venue)()
    silent.welcomes = ""
    async with serve(silent.handle, "127.0.0.1", 0, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        router = Router({"toy": toy_session(), "silent": toy_session(url=url, login_timeout=30.0)})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4), router:
                pytest.fail("entered")
        async with asyncio.timeout(5):
            for connection in [*venue.connections, *silent.connections]:
                await connection.wait_closed()
    assert (venue.logins, silent.logins) == (1, 1)


# -- tokens


async def test_a_token_that_never_comes_ends_the_opening(b2_sim):
    asked = []

    async def never():
        asked.append(1)
        await asyncio.Event().wait()

    adapter = B2Trader(b2_sim.url, b2_sim.account_id, never)
    adapter._codec = evolve(adapter._codec, spec=evolve(adapter.spec, login_timeout=0.2))
    with pytest.raises(VenueUnreachable, match="b: no token"):
        async with asyncio.timeout(LONG), Router({"b": adapter}):
            pytest.fail("entered")
    assert asked == [1]


async def test_a_token_that_has_ended_already_is_not_fetched_again_and_again():
    fetches, hits = [], []

    async def fetch():
        fetches.append(1)
        return jwt.encode({"exp": int(time.time()) - 5}, "k" * 32)

    async def handler(request):
        hits.append(request.method)
        return web.Response(status=404)

    async with answering(handler) as url, Router({"b": B2Trader(url, "acc", fetch)}) as router:
        reports = [await router.cancel("b", ULID) for _ in range(20)]
    assert {report.outcome for report in reports} == {Outcome.REFUSED}
    assert len(hits) == 20
    assert len(fetches) <= 2


# -- what is asked twice, or after the end


async def test_a_batch_can_be_iterated_and_awaited_again(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        batch = router.cancel_many([Cancel("toy", "a"), Cancel("toy", "b")], deadline=0.2)
        async with asyncio.timeout(LONG):
            once = [report async for report in batch]
            again = [report async for report in batch]
            listed = await batch
    assert {report.request.id for report in once} == {report.request.id for report in again} == {"a", "b"}
    assert [report.request.id for report in listed] == ["a", "b"]


async def test_a_batch_whose_waiter_gave_up_can_be_awaited_again(venue, toy_session):
    async def reports(batch):
        return await batch

    async with Router({"toy": toy_session()}) as router:
        batch = router.cancel_many([Cancel("toy", "a"), Cancel("toy", "b")], deadline=0.5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reports(batch), 0.05)
        await venue.until("cancel", 2)
        await venue.say("cancelled b", "cancelled a")
        async with asyncio.timeout(LONG):
            assert [report.outcome for report in await batch] == [Outcome.CONFIRMED, Outcome.CONFIRMED]
            assert len([report async for report in batch]) == 2


async def test_events_of_a_closed_router_end_at_once(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        early = router.events()
    async with asyncio.timeout(LONG):
        assert [event async for event in early] == []
        assert [event async for event in early] == []
        assert [event async for event in router.events()] == []


async def test_settling_ends_with_the_router_and_leaves_nothing_running(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        venue.lists = False
        report = await router.cancel("toy", "a", deadline=0.1)
        settling = asyncio.ensure_future(report.settled(600))
        await venue.until("list")
    async with asyncio.timeout(LONG):
        settled = await settling
        late = await report.settled(600)
    assert (settled.outcome, late.outcome) == (Outcome.UNKNOWN, Outcome.UNKNOWN)
    gc.collect()
    left = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]
    assert not [name for name in left if "Settler" in name or "Session" in name or "Link" in name]


# -- without an event loop


@pytest.fixture
def blocked():
    """The QFEX simulator in a loop and thread of its own."""
    loop, simulator = asyncio.new_event_loop(), QfexSimulator()
    loop.run_until_complete(simulator.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield simulator
    asyncio.run_coroutine_threadsafe(simulator.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_thread_that_settles_while_the_router_is_left_comes_back(blocked):
    blocked.switches = Switches(deaf=True, only=frozenset({"cancel_order", "get_order"}))
    settled, begun = [], threading.Event()

    def settle(report):
        begun.set()
        settled.append(report.settled(600))

    with blocking.Router({"qfex": Qfex(**blocked.credentials)}) as router:
        report = router.cancel("qfex", "o1", symbol="AAPL-USD", deadline=0.1)
        thread = threading.Thread(target=settle, args=(report,), daemon=True)
        thread.start()
        assert begun.wait(LONG)
    thread.join(LONG)
    assert not thread.is_alive()
    assert [each.outcome for each in settled] == [Outcome.UNKNOWN]
    assert report.settled(600).outcome is Outcome.UNKNOWN


def test_threads_that_call_while_the_router_is_left_are_told_that_it_is_closed():
    def hammer(router, calling, ends):
        try:
            while True:
                router.health()
                calling.set()
        except RouterClosed as error:
            ends.append(error)

    for _ in range(20):
        calling, ends = threading.Event(), []
        with blocking.Router({}) as router:
            threads = [threading.Thread(target=hammer, args=(router, calling, ends), daemon=True) for _ in range(2)]
            for thread in threads:
                thread.start()
            assert calling.wait(LONG)
        for thread in threads:
            thread.join(LONG)
        assert [thread.is_alive() for thread in threads] == [False, False]
        assert len(ends) == 2
