"""The caller's task is cancelled at its first, second, third ... await, until the call comes to its end: whatever it is.

Each time nothing may break, hang or stay behind; the ledger must be true to the book, the next order must be placed and
cancelled as if nothing had been, and nothing may have been on the wire more often than it is allowed to.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import types
from collections.abc import Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from attrs import define, evolve, field

from adapters.b2trader import B2Trader
from adapters.dmex import Dmex
from adapters.qfex import Qfex
from router import Cancel, IdKind, Order, Outcome, Router, SessionState
from router.testing import Switches

_spec = importlib.util.spec_from_file_location("soak", Path(__file__).parents[1] / "soak" / "__init__.py")
sys.modules.setdefault("soak", importlib.util.module_from_spec(_spec))  # tests are not a package (importlib mode)

from soak.books import B2Books, DmexBooks, QfexBooks  # noqa: E402
from soak.watch import tables, watching  # noqa: E402

LONG = 5.0
MOST = 80  # awaits of one call
BOOKS = {"q": QfexBooks, "x": B2Books, "d": DmexBooks}
SYMBOLS = {"q": "AAPL-USD", "x": "spot.btc_usdt", "d": "btcusd"}


# -- cancelling at an await


def while_it_waits(waited, task):
    asyncio.get_running_loop().call_soon(task.cancel)


def when_it_has_come(waited, task):
    """Between the result's arrival and the moment at which the task would have got it."""
    if waited is None:
        while_it_waits(waited, task)
    else:
        waited.add_done_callback(lambda _: task.cancel())


@types.coroutine
def steps(coroutine, at, cancel):
    """The coroutine's own awaits, of which the one with the number `at` is cancelled."""
    send, value = coroutine.send, None
    for number in count(1):
        try:
            waited = send(value)
        except StopIteration as end:
            return end.value
        if number == at:
            cancel(waited, asyncio.current_task())
        try:
            send, value = coroutine.send, (yield waited)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the coroutine's
            send, value = coroutine.throw, error
    return None


async def cut(coroutine, at, cancel):
    """Whether the call was cancelled; False: it had come to its end before its await number `at`."""

    async def run():
        return await steps(coroutine, at, cancel)

    task = asyncio.create_task(run())
    async with asyncio.timeout(LONG):
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return task.cancelled()


async def until(condition):
    async with asyncio.timeout(LONG):
        while not condition():  # noqa: ASYNC110 - white-box tables announce nothing
            await asyncio.sleep(0.005)


# -- a venue, a Router, and a call


@define(eq=False)
class Scene:
    """call: makes the coroutine; allowed: how often a request may be read, by verb and name; after: awaited when it is over."""

    name: str
    book: object
    router: Router
    call: Callable | None = None
    after: Callable | None = None
    allowed: dict = field(factory=dict)
    gone: set = field(factory=set)
    """Orders that must not be open at the end, however it ended."""

    def order(self, tag=None, **terms):
        extra = {"options": {"comment": tag or "fresh"}} if self.name == "x" else {}
        return Order(self.name, SYMBOLS[self.name], "buy", "limit", "1", "100", client_order_id=tag, **extra, **terms)

    async def placed(self, tag="old"):
        report = await self.router.submit(self.order(tag))
        assert report.outcome is Outcome.CONFIRMED
        return report

    def later(self, *calls):
        """What the venue does while the call is under way."""
        for each in calls:
            asyncio.get_running_loop().call_later(0.03, each)

    def hold(self, command):
        self.book.switches = Switches(hold=True, only=frozenset({command}))

    def let_go(self):
        self.book.switches = Switches()
        self.book.release()


def adapter(name, book):
    """With a quiet period that is over soon."""
    kinds = {"q": Qfex, "x": B2Trader, "d": Dmex}
    extra = {"order_encoder": book.encode} if name == "d" else {}
    made = kinds[name](**book.credentials, **extra, deadline=2.0)
    made._codec = evolve(made._codec, spec=evolve(made.spec, quiet_period=0.2, http_timeout=0.5))
    return made


@asynccontextmanager
async def opened(name):
    async with BOOKS[name]() as book, Router({name: adapter(name, book)}) as router:
        yield Scene(name, book, router)


async def ready(scene):
    await until(lambda: scene.router.health()[scene.name].state is SessionState.READY)


async def goes_on(scene):
    """The session, the ledger and the tables after whatever was cancelled."""
    scene.let_go()
    await ready(scene)
    await place_and_cancel(scene)
    for key, most in scene.allowed.items():
        assert scene.book.written[key] <= most, key
    if scene.name != "x":
        await scene.book.drop_connections()  # whose end is the end of what nobody waits for
        await until(lambda: scene.router.health()[scene.name].state is not SessionState.READY)
        await ready(scene)
        shown = {row.order_id for row in await scene.router.open_orders(scene.name)}
        assert shown == scene.book.open_ids()
    await place_and_cancel(scene)
    await until(lambda: not any(tables(scene.router, scene.name).values()))
    is_true(scene)
    assert not scene.gone & scene.book.open_ids()


async def place_and_cancel(scene):
    order = scene.order()
    placed = await scene.router.submit(order)
    assert placed.outcome is Outcome.CONFIRMED
    assert scene.book.row(placed.order_id).is_open
    assert (await scene.router.cancel(order)).outcome is Outcome.CONFIRMED
    assert not scene.book.row(placed.order_id).is_open


def is_true(scene):
    """The ledger knows every order of the book as it is."""
    ledger = scene.router._desks[scene.name].ledger
    live = {state.order_id for state in ledger.live()}
    assert live == scene.book.open_ids()


# -- the calls


async def submit(scene):
    scene.call = lambda: scene.router.submit(scene.order("new"))
    scene.allowed["submit", "new"] = 1


async def submit_that_waits_for_its_answer(scene):
    scene.hold({"q": "add_order", "x": "POST orders", "d": "create_order"}[scene.name])
    scene.call = lambda: scene.router.submit(scene.order("new"))
    scene.allowed["submit", "new"] = 1
    scene.later(scene.let_go)


async def cancel(scene):
    placed = await scene.placed()
    scene.call = lambda: scene.router.cancel(placed)
    scene.allowed["cancel", placed.order_id] = 1
    scene.gone = {placed.order_id}


async def cancel_that_waits_for_its_answer(scene):
    placed = await scene.placed()
    scene.hold({"q": "cancel_order", "x": "DELETE orders", "d": "cancel_order"}[scene.name])
    scene.call = lambda: scene.router.cancel(placed)
    scene.allowed["cancel", placed.order_id] = 1
    scene.gone = {placed.order_id}
    scene.later(scene.let_go)


async def cancel_that_waits_for_the_connection(scene):
    placed = await scene.placed()
    await scene.book.drop_connections()
    await until(lambda: scene.router.health()[scene.name].state is not SessionState.READY)
    scene.call = lambda: scene.router.cancel(placed)
    scene.allowed["cancel", placed.order_id] = 1


async def cancel_that_joins_another(scene):
    placed = await scene.placed()
    scene.hold({"q": "cancel_order", "x": "DELETE orders", "d": "cancel_order"}[scene.name])
    first = asyncio.create_task(scene.router.cancel(placed))
    await scene.book.until_held(1)
    scene.call = lambda: scene.router.cancel(placed)
    scene.allowed["cancel", placed.order_id] = 1
    scene.gone = {placed.order_id}
    scene.later(scene.let_go)

    async def after():
        assert (await first).outcome is Outcome.CONFIRMED

    scene.after = after


async def cancel_before_the_submit_is_answered(scene):
    order = scene.order("new")
    scene.hold({"q": "add_order", "x": "POST orders", "d": "create_order"}[scene.name])
    placing = asyncio.create_task(scene.router.submit(order))
    await scene.book.until_held(1)
    scene.call = lambda: scene.router.cancel(order)
    scene.allowed["submit", "new"] = 1
    scene.later(scene.let_go)

    async def after():
        report = await placing
        assert report.outcome is Outcome.CONFIRMED
        scene.gone = {report.order_id}  # a held cancel goes out whoever still waits
        await until(lambda: not scene.book.row(report.order_id).is_open)
        assert scene.book.written["cancel", report.order_id] == 1

    scene.after = after


async def cancel_of_a_set(scene):
    placed = [await scene.placed("both") for _ in range(2)]
    scene.call = lambda: scene.router.cancel(Cancel(scene.name, "both", IdKind.CLIENT_ORDER, SYMBOLS[scene.name]))
    scene.allowed["cancel", "both"] = 1
    scene.gone = {report.order_id for report in placed}


async def cancel_of_many(scene):
    placed = [await scene.placed(f"old{number}") for number in range(3)]

    async def call():
        return await scene.router.cancel_many(placed)

    scene.call = call
    scene.gone = {report.order_id for report in placed}
    scene.allowed = {("cancel", report.order_id): 1 for report in placed}


async def settled_cancel(scene):
    placed = await scene.placed()
    scene.book.switches = Switches(mute=True)
    report = await scene.router.cancel(placed, deadline=0.05)
    assert report.outcome is Outcome.UNKNOWN
    scene.book.switches = Switches()
    scene.call = lambda: report.settled(5)
    scene.allowed["cancel", placed.order_id] = 2  # a venue-unique id: once more after a reconnection
    scene.gone = {placed.order_id}

    async def after():
        await until(lambda: scene.router.health()[scene.name].unknown == 0)  # the reading goes on, whoever waits

    scene.after = after


async def settled_submit(scene):
    scene.book.switches = Switches(deaf=True)
    order = scene.order("new")
    report = await scene.router.submit(order, deadline=0.05)
    assert report.outcome is Outcome.UNKNOWN
    scene.book.switches = Switches()
    scene.call = lambda: report.settled(5)
    scene.allowed["submit", "new"] = 1

    async def after():
        await until(lambda: scene.router.health()[scene.name].unknown == 0)
        assert (await report.settled(5)).outcome is Outcome.REFUSED

    scene.after = after


async def open_orders(scene):
    await scene.placed()
    scene.call = lambda: scene.router.open_orders(scene.name)


async def cancel_all(scene):
    placed = [await scene.placed(f"old{number}") for number in range(3)]
    scene.call = lambda: scene.router.cancel_all(deadline=5)
    scene.allowed = {("cancel", report.order_id): 1 for report in placed}


async def cancel_all_with_a_submit_in_doubt(scene):
    scene.book.switches = Switches(deaf=True)
    report = await scene.router.submit(scene.order("new"), deadline=0.05)
    scene.book.switches = Switches()
    scene.call = lambda: scene.router.cancel_all(deadline=5)
    scene.allowed["submit", "new"] = 1

    async def after():
        assert (await report.settled(5)).outcome is Outcome.REFUSED

    scene.after = after


async def replace(scene):
    placed = await scene.placed()
    scene.call = lambda: scene.router.replace(placed, price="101", allow_gap=True)
    scene.allowed["cancel", placed.order_id] = 1
    scene.allowed["replace", placed.order_id] = 1
    scene.allowed["submit", "old"] = 2  # the old one, and the one in its place

    async def after():
        assert len(scene.book.open_ids()) <= 1

    scene.after = after


EVERYWHERE = (submit, submit_that_waits_for_its_answer, cancel, cancel_that_waits_for_its_answer, replace)
EVERYWHERE += (cancel_that_joins_another, cancel_before_the_submit_is_answered, cancel_of_many, cancel_all)
SOCKETS = (cancel_that_waits_for_the_connection, open_orders, settled_cancel)
CASES = [(name, case) for case in EVERYWHERE for name in "qxd"] + [(name, case) for case in SOCKETS for name in "qd"]
CASES += [("q", case) for case in (cancel_of_a_set, settled_submit, cancel_all_with_a_submit_in_doubt)]


@pytest.mark.parametrize("moment", [while_it_waits, when_it_has_come])
@pytest.mark.parametrize(("name", "case"), CASES)
async def test_a_call_may_be_cancelled_at_every_await(name, case, moment):
    for at in range(1, MOST):
        async with watching() as watch, opened(name) as scene:
            await case(scene)
            was_cancelled = await cut(scene.call(), at, moment)
            if scene.after is not None:
                await scene.after()
            await goes_on(scene)
        assert (watch.mistakes, watch.leaked) == ([], []), at
        if not was_cancelled:
            break
    assert 1 < at < MOST - 1


# -- the Router's own life


@pytest.mark.parametrize("moment", [while_it_waits, when_it_has_come])
@pytest.mark.parametrize("name", ["q", "x", "d", "qxd"])
async def test_opening_may_be_cancelled_at_every_await_and_done_again(name, moment):
    for at in range(1, MOST):
        async with watching() as watch, simulators(name) as books:
            router = Router({each: adapter(each, book) for each, book in books.items()})
            was_cancelled = await cut(router.open(), at, moment)
            if was_cancelled:
                await until(lambda: not any(map(connections, books.values())))
                await router.open()
            for each, book in books.items():
                await place_and_cancel(Scene(each, book, router))
            await router.close()
        assert (watch.mistakes, watch.leaked) == ([], []), at
        if not was_cancelled:
            break
    assert 1 < at < MOST - 1


@pytest.mark.parametrize("moment", [while_it_waits, when_it_has_come])
@pytest.mark.parametrize("name", ["q", "x", "d", "qxd"])
async def test_closing_may_be_cancelled_at_every_await_and_done_again(name, moment):
    for at in range(1, MOST):
        async with watching() as watch, simulators(name) as books:
            router = Router({each: adapter(each, book) for each, book in books.items()})
            await router.open()
            was_cancelled = await cut(router.close(), at, moment)
            await router.close()
            await until(lambda: not any(map(connections, books.values())))
        assert (watch.mistakes, watch.leaked) == ([], []), at
        if not was_cancelled:
            break
    assert 1 < at < MOST - 1


@asynccontextmanager
async def simulators(names):
    books = {name: BOOKS[name]() for name in names}
    try:
        for book in books.values():
            await book.start()
        yield books
    finally:
        for book in books.values():
            await book.stop()


def connections(book):
    """How many connections a simulator has."""
    found = book.connections
    return found if isinstance(found, int) else len(found)
