"""Cases about the connection: login, reconnection, what is asked meanwhile, and callers who go away."""

from __future__ import annotations

import asyncio
import types
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any

from router.errors import LoginRefused
from router.model import Cancel, IdKind
from router.report import CxlRejReason, Outcome, SessionState
from router.testing.bench import Verb
from router.testing.conformance.case import Nonconformity, case, require
from router.testing.conformance.silence import by_deadline
from router.testing.conformance.stage import HASTY, LOGIN_TIMEOUT, PATIENT, VENUE, Stage

__all__: list[str] = []

MOST_AWAITS = 60


@case(
    8,
    "bad login is fatal",
    "A login that the venue refuses ends the opening at once, names the venue, and is not tried again.",
)
async def bad_login(stage: Stage) -> None:
    wrong = stage.bench.wrong()
    stage.needs(wrong, "the venue has no login")
    for name, changes in wrong.items():
        await _refused(stage, name, changes)
    for form in stage.forms():
        for name, changes in wrong.items():
            await _refused(stage, f"{name}, {form}", changes)


async def _refused(stage: Stage, name: str, changes: Mapping[str, Any]) -> None:
    stage.sim.received.clear()
    begun = asyncio.get_running_loop().time()
    try:
        async with stage.connected(changes):
            await _without_login(stage, name)
    except LoginRefused as error:
        took = asyncio.get_running_loop().time() - begun
        require(took < LOGIN_TIMEOUT / 2, f"a refused login was noticed after {took:.1f} s ({name})")
        require(VENUE in str(error), f"the error does not name the venue: {error}")
        traded = stage.bench.asked(Verb.SUBMIT, Verb.CANCEL)
        require(not traded, f"something was sent without a login ({name})")
    tries = len(stage.bench.asked(Verb.LOGIN))
    require(tries <= 1, f"a refused login was tried {tries} times ({name})")


async def _without_login(stage: Stage, name: str) -> None:
    """Where credentials are first looked at with a command (a token that was given), that command is refused."""
    require(not stage.bench.asked(Verb.LOGIN), f"the Router opened with a login that the venue refuses ({name})")
    outside = await stage.bench.enter(stage.bench.order())
    report = await stage.router.cancel(Cancel(VENUE, outside, IdKind.ORDER, stage.bench.SYMBOL), deadline=PATIENT)
    stage.expect(report, Outcome.REFUSED)
    require(stage.bench.row(outside).is_open, f"an order was cancelled with wrong credentials ({name})")


@case(30, "every login", "Each kind of credentials that the page has opens a session that trades.")
async def logins(stage: Stage) -> None:
    others = stage.bench.logins()
    stage.needs(others, "the venue has one kind of login")
    for changes in others.values():
        async with stage.connected(changes) as router:
            target = await stage.target()
            stage.expect(await router.cancel(target.cancel, deadline=PATIENT), Outcome.CONFIRMED)


@case(
    10,
    "reconnect logs in and subscribes again",
    "After a lost connection the session says its whole greeting again, and hears what it heard before.",
)
async def reconnect(stage: Stage) -> None:
    async with stage.connected() as router:
        target, other = await stage.target(), await stage.target()
        greeting = _greeting(stage)
        stage.sim.received.clear()
        await stage.bench.drop()
        if stage.is_socket:
            await stage.until(lambda: stage.state is not SessionState.READY, "the loss to be noticed")
            await stage.ready()
            again = _greeting(stage)
            require(again == greeting, f"the first greeting was {dict(greeting)}, the one after the loss {dict(again)}")
        if stage.spec.tells_trades:
            await stage.bench.fill(target.order_id, target.order.quantity / 4)
            await stage.hear(lambda events: any(each.trade_id for each in events), "a trade after the reconnection")
        fresh = [await stage.target()] if stage.is_socket else []
        for each in (target, other, *fresh):
            report = await router.cancel(each.cancel, deadline=PATIENT)
            stage.expect(report, Outcome.CONFIRMED)
            stage.true(report, each)


def _greeting(stage: Stage) -> Counter[str]:
    """What was said that is no trading, with what it is about."""
    said = stage.bench.asked(Verb.LOGIN, Verb.SUBSCRIBE)
    return Counter(f"{item.command} {stage.bench.named(item)}".strip() for item in said)


@case(
    15,
    "cancel during reconnect",
    "While the venue is away a cancel waits, is NOT_SENT at its deadline, and never goes out later; one with time left does.",
)
async def away(stage: Stage) -> None:
    async with stage.connected() as router:
        early, patient = await stage.target(), await stage.target()
        await stage.sim.stop()
        if stage.is_socket:
            await stage.until(lambda: stage.state is not SessionState.READY, "the loss to be noticed")
        report = await by_deadline(router.cancel(early.cancel, deadline=HASTY))
        stage.expect(report, Outcome.NOT_SENT)
        nobody = Cancel(VENUE, stage.bench.unknown(IdKind.ORDER), IdKind.ORDER, stage.bench.SYMBOL)
        asking = asyncio.create_task(router.cancel(nobody, deadline=PATIENT))
        waiting = asyncio.create_task(router.cancel(patient.cancel, deadline=PATIENT))
        await asyncio.sleep(0)
        await stage.sim.start()
        if stage.is_socket:
            late = await waiting
            stage.expect(late, Outcome.CONFIRMED)
            stage.true(late, patient)
            stage.refused(await asking, CxlRejReason.UNKNOWN_ORDER)
            await stage.ready()
        else:
            stage.expect(await waiting, Outcome.CONFIRMED, Outcome.NOT_SENT)
            stage.expect(await asking, Outcome.REFUSED, Outcome.NOT_SENT)
        stage.expect(await router.cancel((await stage.target()).cancel, deadline=PATIENT), Outcome.CONFIRMED)
        written = stage.written(early)
        require(written == 0, "a cancel that was NOT_SENT went out later")
        stage.untouched([early])


@case(
    12,
    "snapshot after a gap",
    "What changed while nobody listened is read again: the open orders are the book's, and no end is guessed.",
)
async def gap(stage: Stage) -> None:
    stage.needs(stage.is_socket, "the venue has no connection whose loss makes a gap")
    stage.needs(IdKind.ORDER in stage.spec.lists, "the venue cannot list open orders")
    async with stage.connected() as router:
        traded, ended, kept = [await stage.target() for _ in range(3)]
        await stage.sim.stop()
        await stage.until(lambda: stage.state is not SessionState.READY, "the loss to be noticed")
        await stage.bench.fill(traded.order_id, traded.order.quantity / 2)
        await stage.bench.expel(ended.order_id)
        outside = await stage.bench.enter(stage.bench.order())
        await stage.sim.start()
        await stage.ready()
        shown = {row.order_id: row for row in await router.open_orders(VENUE)}
        require(
            set(shown) == stage.bench.open_ids(),
            f"open_orders() has {sorted(map(str, shown))}, the book {sorted(stage.bench.open_ids())}",
        )
        filled = shown[traded.order_id].cum_quantity
        require(filled in {None, stage.bench.row(traded.order_id).cum_quantity}, f"cum_quantity is said to be {filled}")
        require(not shown[outside].own, "an order from elsewhere is said to be our own")
        for order_id in (traded.order_id, kept.order_id, outside):
            report = await router.cancel(shown[order_id], deadline=PATIENT)
            stage.expect(report, Outcome.CONFIRMED)
        stage.refused(
            await router.cancel(ended.cancel, deadline=PATIENT),
            CxlRejReason.UNKNOWN_ORDER,
            CxlRejReason.TOO_LATE_TO_CANCEL,
        )
        require(not stage.bench.open_ids(), "orders are still open after their cancels were CONFIRMED")


@case(
    16,
    "task cancelled at every await",
    "A caller may go away at any moment: nothing is written twice, nothing is left, the next call works.",
)
async def abandoned(stage: Stage) -> None:
    for moment in (_while_it_waits, _when_it_has_come):
        for call in (_cancel, _submit, _list):
            for at in range(1, MOST_AWAITS):
                async with stage.connected() as router:
                    work = await call(stage)
                    if work is None:
                        break
                    went_away = await _cut(work, at, moment)
                    fresh = await stage.target()
                    stage.expect(await router.cancel(fresh.cancel, deadline=PATIENT), Outcome.CONFIRMED)
                    _once(stage)
                if not went_away:
                    break


async def _cancel(stage: Stage) -> Coroutine[Any, Any, Any]:
    target = await stage.target()
    return stage.router.cancel(target.cancel, deadline=PATIENT)


async def _submit(stage: Stage) -> Coroutine[Any, Any, Any] | None:
    order = stage.bench.order()
    return stage.router.submit(order, deadline=PATIENT) if order.type in stage.spec.order_types else None


async def _list(stage: Stage) -> Coroutine[Any, Any, Any] | None:
    return stage.router.open_orders(VENUE) if stage.spec.lists else None


def _once(stage: Stage) -> None:
    """No order was placed or cancelled twice."""
    asked = Counter((item.command, stage.bench.named(item)) for item in stage.bench.asked(Verb.CANCEL))
    twice = {key: count for key, count in asked.items() if count > 1}
    require(not twice, f"read more than once: {twice}")


def _while_it_waits(_waited: Any, task: asyncio.Task[Any]) -> None:
    asyncio.get_running_loop().call_soon(task.cancel)


def _when_it_has_come(waited: Any, task: asyncio.Task[Any]) -> None:
    """Between the result's arrival and the moment at which the task would have got it."""
    if waited is None:
        _while_it_waits(waited, task)
    else:
        waited.add_done_callback(lambda _: task.cancel())


async def _cut(work: Coroutine[Any, Any, Any], at: int, moment: Callable[[Any, asyncio.Task[Any]], None]) -> bool:
    """Whether the call was cancelled; False: it had come to its end before its await number `at`."""
    task = asyncio.ensure_future(_stepping(work, at, moment))
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return task.cancelled()


async def _stepping(work: Coroutine[Any, Any, Any], at: int, moment: Callable[[Any, asyncio.Task[Any]], None]) -> None:
    await _steps(work, at, moment)


@types.coroutine
def _steps(
    work: Coroutine[Any, Any, Any], at: int, moment: Callable[[Any, asyncio.Task[Any]], None]
) -> Generator[Any, Any, None]:
    """The coroutine's own awaits, of which the one with the number `at` is cancelled."""
    send: Callable[[Any], Any] = work.send
    value: Any = None
    number = 0
    while True:
        try:
            waited = send(value)
        except StopIteration:
            return
        number += 1
        task = asyncio.current_task()
        if number == at and task is not None:
            moment(waited, task)
        try:
            send, value = work.send, (yield waited)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the coroutine's
            send, value = work.throw, error


@case(31, "closing", "Closing the Router leaves no connection, and tells whoever still waits what is known.")
async def closing(stage: Stage) -> None:
    async with stage.connected() as router:
        target = await stage.target()
        stage.hold(Verb.CANCEL)
        waiting = asyncio.create_task(router.cancel(target.cancel, deadline=PATIENT))
        await stage.sim.until_held(1)
    report = await _soon(waiting)
    stage.expect(report, Outcome.UNKNOWN)
    stage.calm()
    async with stage.connected():
        await stage.target()
    kept = stage.bench.open_ids()
    require(kept, "closing the Router cancelled orders that nobody asked to cancel")


async def _soon(waiting: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(PATIENT / 2):
            return await waiting
    except TimeoutError:
        raise Nonconformity("a caller still waits after the Router was closed") from None
