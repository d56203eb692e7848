"""The HTTP side of a session by itself: which attempts end when an operation is done, and what that costs."""

import asyncio

import pytest

from router.errors import TransportError
from router.exchange import Exchange
from router.transport.http import Http
from router.venue import Effect, Frame, Via, Wire

WIRE = Wire(effect=Effect.IDEMPOTENT, via=Via.HTTP, method="DELETE", path="/orders/1")


class Work:
    """As much of an operation as an exchange looks at."""

    is_wanted = is_sought = True
    declines, follow, wants_token = 0, None, False

    def __init__(self, attempts=0):
        self.attempts, self.waits_for, self.failed = attempts, "", []

    def wrote(self, _now):
        self.attempts += 1

    def note(self, _text):
        pass

    def fail(self, text):
        self.failed.append(text)


class Mute:
    """Reads requests and says nothing, until it is told to answer."""

    def __init__(self):
        self.requests, self.answers = 0, asyncio.Event()

    async def serve(self, reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                await self.answers.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Link:
    http: Http

    def describe(self):
        return "not connected"


class Plain:
    bearer = ("Authorization", "Bearer ")


@pytest.fixture
async def venue(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    venue = Mute()
    listener = await asyncio.start_server(venue.serve, "127.0.0.1", 0)
    venue.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield venue
    venue.answers.set()
    listener.close()


@pytest.fixture
async def exchange(venue):
    link, frames = Link(), []
    link.http = Http(venue.url, max_body=1000, timeout=10)
    await link.http.open(probe=False)
    exchange = Exchange(
        Plain(), link, None, str, lambda frame, pending: frames.append((frame, pending)), lambda *_: None
    )
    exchange.frames = frames
    yield exchange
    await exchange.close()
    await link.http.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


def is_empty(exchange):
    return not exchange._tasks and not exchange._repeats


async def test_an_answered_attempt_leaves_nothing_behind(venue, exchange):
    venue.answers.set()
    work = Work()
    exchange.start(work, WIRE)
    await until(lambda: exchange.frames)
    frame, pending = exchange.frames[0]
    assert isinstance(frame, Frame)
    assert (frame.body, pending.operation, work.attempts) == (b"ok", work, 1)
    await until(lambda: is_empty(exchange))


async def test_what_is_done_before_its_attempt_began_never_leaves(venue, exchange):
    works = [Work() for _ in range(3)]
    for work in works:
        exchange.start(work, WIRE)
    exchange.abandon(works[1])  # no loop has run: its task has not begun
    await until(lambda: venue.requests == 2)
    assert [work.attempts for work in works] == [1, 0, 1]
    assert set(exchange._tasks) == {works[0], works[2]}


async def test_abandoning_ends_every_attempt_of_that_operation_and_of_no_other(venue, exchange):
    first, other = Work(), Work()
    exchange.start(first, WIRE)
    exchange.start(other, WIRE)
    await until(lambda: venue.requests == 2)
    exchange.start(first, WIRE)  # its repeat, while the first attempt still waits
    assert exchange.is_repeating(first)
    assert not exchange.is_repeating(other)
    await until(lambda: venue.requests == 3)
    exchange.abandon(first)
    await until(lambda: first not in exchange._tasks)
    assert not exchange.is_repeating(first)
    assert set(exchange._tasks) == {other}
    venue.answers.set()
    await until(lambda: is_empty(exchange))
    assert [pending.operation for _, pending in exchange.frames] == [other]


async def test_a_repeat_that_began_while_another_ended_still_counts(venue, exchange):
    work = Work(attempts=1)
    exchange.start(work, WIRE)
    exchange.start(work, WIRE)
    exchange._ended(work, exchange._tasks[work][0])
    assert exchange.is_repeating(work)
    exchange._ended(work, exchange._tasks[work][0])
    assert not exchange.is_repeating(work)


async def test_closing_waits_for_all_attempts(venue, exchange):
    works = [Work() for _ in range(5)]
    for work in works:
        exchange.start(work, WIRE)
    exchange.abandon(works[0])
    tasks = [task for each in exchange._tasks.values() for task in each]
    await exchange.close()
    assert all(task.done() for task in tasks)
    assert is_empty(exchange)


async def test_without_a_client_nothing_is_sent(exchange):
    http, exchange._link.http = exchange._link.http, None
    work = Work()
    exchange.start(work, WIRE)
    await until(lambda: work.failed)
    assert (work.failed, work.attempts) == (["not connected"], 0)
    with pytest.raises(TransportError):
        await exchange.request(WIRE, lambda: None)
    exchange._link.http = http


class Unwalked(dict):
    """A table that is only looked up in."""

    def __iter__(self):
        raise AssertionError("somebody walks over all that is under way")

    items = keys = values = __iter__


async def test_abandoning_walks_over_nothing_however_much_is_under_way(exchange):
    works = [Work() for _ in range(200)]
    exchange._tasks, exchange._repeats = Unwalked(), Unwalked()
    for work in works:
        exchange.start(work, WIRE)
    for work in works:
        exchange.abandon(work)
    await until(lambda: is_empty(exchange))
    exchange._tasks, exchange._repeats = {}, {}
