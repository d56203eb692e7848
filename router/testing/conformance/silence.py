"""Cases about answers that do not come, come late, are spoilt, or say that the venue itself does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from attrs import define, field

from router.errors import ReadFailed
from router.model import IdKind, OrderType
from router.report import CancelReport, Outcome, SubmitReport
from router.testing.bench import Row, Verb
from router.testing.conformance.case import Nonconformity, NotApplicable, case, require
from router.testing.conformance.stage import CLIENT_KINDS, HASTY, PATIENT, VENUE, Stage, Target, describe
from router.testing.faults import Fault

__all__: list[str] = []

R = TypeVar("R", CancelReport, SubmitReport)

SILENT = (Fault.DEAF, Fault.MUTE)
BROKEN = (
    Fault.HANG_UP_UNREAD,
    Fault.HANG_UP_READ,
    Fault.HANG_UP_EXECUTED,
    Fault.HANG_UP_ANSWERING,
    Fault.HANG_UP_ANSWERED,
)
SPOILT = (Fault.GARBLE, Fault.NOT_UTF8, Fault.TRUNCATE, Fault.SPLIT)
DOUBTFUL = (Fault.SERVER_ERROR, Fault.SERVER_ERROR_EXECUTED, Fault.HTML_PAGE, Fault.HTML_ERROR, Fault.REDIRECT)
FAST = (Fault.THROTTLED, Fault.THROTTLED_NO_HINT)
SETTLING = 1.3  # seconds in which everything that can be found out is
TOO_LATE = 3.0  # seconds beyond a deadline at which it has certainly been missed


async def by_deadline(asked: Awaitable[R]) -> R:
    """The report of what was asked with the deadline HASTY; Nonconformity when it doesn't come."""
    try:
        async with asyncio.timeout(HASTY + TOO_LATE):
            return await asked
    except TimeoutError:
        raise Nonconformity(f"no report came, {TOO_LATE} s after the deadline") from None


async def _settled(stage: Stage, report: CancelReport, target: Target) -> CancelReport:
    """What settled() comes to, which must be true."""
    final = await report.settled(SETTLING)
    stage.true(final, target)
    return final


@define(eq=False)
class Doubts:
    """Reports that were UNKNOWN, to be settled all at once: what can't be found out takes its time."""

    stage: Stage
    _waiting: list[Awaitable[object]] = field(factory=list)

    def cancel(self, report: CancelReport, target: Target) -> None:
        self._waiting.append(_settled(self.stage, report, target))

    async def submit(self, fault: Fault) -> None:
        """A submit under this fault: written once."""
        stage, bench = self.stage, self.stage.bench
        before, written = {row.order_id for row in bench.rows()}, len(bench.asked(Verb.SUBMIT))
        stage.strike(Verb.SUBMIT, fault)
        report = await by_deadline(stage.router.submit(bench.order(), deadline=HASTY))
        stage.calm()
        placed = [row for row in bench.rows() if row.order_id not in before]
        written = len(bench.asked(Verb.SUBMIT)) - written
        require(written <= 1, f"one submit was read {written} times")
        self._waiting.append(_placed(stage, report, placed))

    async def settle(self) -> None:
        """All that was asked is told truly now, and what was not told is found out where it can be."""
        written = len(self.stage.bench.asked(Verb.SUBMIT))
        await asyncio.gather(*self._waiting)
        self._waiting.clear()
        again = len(self.stage.bench.asked(Verb.SUBMIT)) - written
        require(not again, f"settling wrote {again} submits again")


async def _placed(stage: Stage, report: SubmitReport, placed: list[Row]) -> None:
    final = await report.settled(SETTLING)
    if final.outcome is Outcome.CONFIRMED:
        require([row.order_id for row in placed] == [final.order_id], f"{describe(final)}, but the book has {placed}")
    elif final.outcome is not Outcome.UNKNOWN:
        require(not placed, f"{describe(final)}, but the book has {placed}")
    elif placed and placed[0].kind in stage.spec.lists:
        raise Nonconformity(f"the order rests and the venue can list it, but settled() says {describe(final)}")


@case(
    3,
    "silence is UNKNOWN",
    "Without an answer the report is UNKNOWN, at the deadline; settled() then finds out what can be.",
)
async def silence(stage: Stage) -> None:
    faults = stage.faults(Verb.CANCEL, *SILENT)
    async with stage.connected() as router:
        doubts = Doubts(stage)
        for kind in sorted(stage.spec.cancel_kinds):
            for fault in faults:
                target = await stage.target(kind)
                stage.strike(Verb.CANCEL, fault)
                begun = asyncio.get_running_loop().time()
                report = await by_deadline(router.cancel(target.cancel, deadline=HASTY))
                took = asyncio.get_running_loop().time() - begun
                stage.expect(report, Outcome.UNKNOWN)
                require(
                    took > HASTY * 0.9, f"UNKNOWN was said {took:.2f} s after asking, before the deadline of {HASTY} s"
                )
                written = stage.written(target)
                require(written == 1, f"one cancel was read {written} times")
                stage.calm()
                doubts.cancel(report, target)
        for fault in faults:
            await _silent_end(stage, doubts, fault)
        for fault in _able(stage, Verb.SUBMIT, *SILENT):
            await doubts.submit(fault)
        await doubts.settle()


async def _silent_end(stage: Stage, doubts: Doubts, fault: Fault) -> None:
    """The order has ended before, and nobody was told: what settled() finds out must not be the cancel's doing."""
    traded, expelled = await stage.target(), await stage.target()
    await stage.bench.fill(traded.order_id, copies=0)
    await stage.bench.expel(expelled.order_id)
    for target in (traded, expelled):
        stage.strike(Verb.CANCEL, fault)
        report = await by_deadline(stage.router.cancel(target.cancel, deadline=HASTY))
        stage.calm()
        doubts.cancel(report, target)


def _able(stage: Stage, verb: Verb, *faults: Fault) -> list[Fault]:
    """The faults that such a request can have; none where the venue takes no orders."""
    if not stage.bench.words(verb) or (verb is Verb.SUBMIT and stage.bench.order().type not in stage.spec.order_types):
        return []
    try:
        return stage.faults(verb, *faults)
    except NotApplicable:
        return []


@case(
    4,
    "hang-up mid-flight",
    "A lost connection loses no cancel: one by a venue-unique id goes out once more; nothing else is ever repeated.",
)
async def hang_up(stage: Stage) -> None:
    faults = stage.faults(Verb.CANCEL, *BROKEN)
    for kind in sorted(stage.spec.cancel_kinds):
        for fault in faults:
            async with stage.connected() as router:
                other = await stage.target()
                await _cut(stage, kind, fault)
                stage.expect(await router.cancel(other.cancel, deadline=PATIENT), Outcome.CONFIRMED)
    for fault in _able(stage, Verb.SUBMIT, *BROKEN):
        async with stage.connected():
            doubts = Doubts(stage)
            await doubts.submit(fault)
            await doubts.settle()
    await _never_twice(stage)


async def _never_twice(stage: Stage) -> None:
    """What a repeat could do anew is written once, though its connection is lost before it was executed."""
    asked: list[tuple[Verb, Callable[[Stage], Awaitable[Coroutine[Any, Any, Any]]]]]
    asked = [(Verb.SUBMIT, partial(_submit, type_)) for type_ in sorted(stage.spec.order_types)]
    asked += [(Verb.REPLACE, partial(_replace, kind)) for kind in sorted(stage.spec.replaces)]
    asked += [(Verb.MASS_CANCEL, _everything)] if stage.spec.mass_cancels else []
    for verb, prepare in asked:
        if not _able(stage, verb, Fault.HANG_UP_READ):
            continue
        async with stage.connected():
            asking = await prepare(stage)
            read = len(stage.bench.asked(verb))
            stage.strike(verb, Fault.HANG_UP_READ)
            await asking
            await stage.ready()
            stage.calm()
            read = len(stage.bench.asked(verb)) - read
            require(read <= 1, f"one {verb} was read {read} times")


async def _submit(type_: OrderType, stage: Stage) -> Coroutine[Any, Any, Any]:
    return stage.router.submit(stage.bench.order(type_), deadline=HASTY)


async def _replace(kind: IdKind, stage: Stage) -> Coroutine[Any, Any, Any]:
    target = await stage.target(kind)
    return stage.router.replace(target.cancel, quantity=target.order.quantity * 2, deadline=HASTY)


async def _everything(stage: Stage) -> Coroutine[Any, Any, Any]:
    await stage.target()
    return stage.router.cancel_all(deadline=2 * HASTY)


async def _cut(stage: Stage, kind: IdKind, fault: Fault) -> None:
    target = await stage.target(kind)
    stage.strike(Verb.CANCEL, fault)
    report = await stage.router.cancel(target.cancel, deadline=PATIENT if kind not in stage.spec.set_kinds else HASTY)
    unread = int(fault is Fault.HANG_UP_UNREAD)
    stage.calm()
    final = await _settled(stage, report, target)
    written = unread + stage.written(target)
    once = kind in stage.spec.set_kinds & CLIENT_KINDS
    require(written <= (1 if once else 2), f"one cancel was written {written} times, by {kind}")
    if not once and fault in {Fault.HANG_UP_UNREAD, Fault.HANG_UP_READ}:
        stage.expect(final, Outcome.CONFIRMED)  # by the repeat: there is only one such order, so it can do nothing new
        require(written == 2, f"the cancel was lost with its connection, and was written {written} times")


@case(5, "reply after its deadline", "An answer that comes after the deadline settles the report that was UNKNOWN.")
async def late(stage: Stage) -> None:
    async with stage.connected() as router:
        for kind in sorted(stage.spec.cancel_kinds - stage.spec.set_kinds):
            target = await stage.target(kind)
            stage.hold(Verb.CANCEL)
            report = await by_deadline(router.cancel(target.cancel, deadline=HASTY))
            stage.expect(report, Outcome.UNKNOWN)
            stage.calm()
            stage.expect(await _settled(stage, report, target), Outcome.CONFIRMED)
            written = stage.written(target)
            require(written <= 2, f"one cancel was read {written} times")
        if _able(stage, Verb.SUBMIT, Fault.MUTE):
            await _late_submit(stage)


async def _late_submit(stage: Stage) -> None:
    stage.hold(Verb.SUBMIT)
    order = stage.bench.order()
    report = await by_deadline(stage.router.submit(order, deadline=HASTY))
    stage.expect(report, Outcome.UNKNOWN)
    stage.calm()
    final = await report.settled(SETTLING)
    stage.expect(final, Outcome.CONFIRMED)
    stage.same(order, stage.bench.row(final.order_id or ""))


@case(7, "garbled frame", "An answer that cannot be read decides nothing, and the session goes on.")
async def garbled(stage: Stage) -> None:
    faults = stage.faults(Verb.CANCEL, *SPOILT)
    async with stage.connected() as router:
        logins, doubts = len(stage.bench.asked(Verb.LOGIN)), Doubts(stage)
        for fault in faults:
            target = await stage.target()
            stage.strike(Verb.CANCEL, fault)
            report = await by_deadline(router.cancel(target.cancel, deadline=HASTY))
            stage.calm()
            stage.true(report, target)
            if fault is Fault.SPLIT:
                stage.expect(report, Outcome.CONFIRMED)
            doubts.cancel(report, target)
            stage.expect(await router.cancel((await stage.target()).cancel, deadline=PATIENT), Outcome.CONFIRMED)
        await doubts.settle()
        again = len(stage.bench.asked(Verb.LOGIN)) - logins
        require(not (stage.is_socket and again), f"unreadable frames made the session log in {again} times more")


@case(
    14,
    "throttled",
    "What the venue says that it did not execute for its rate is attempted anew; at the end it is REFUSED.",
)
async def throttled(stage: Stage) -> None:
    for fault in stage.faults(Verb.CANCEL, *FAST):
        async with stage.connected() as router:  # the pause that the venue asks for is over with its connection
            await _throttled(stage, fault)
            stage.expect(await router.cancel((await stage.target()).cancel, deadline=PATIENT), Outcome.CONFIRMED)
    for fault in _able(stage, Verb.SUBMIT, *FAST):
        async with stage.connected():
            stage.strike(Verb.SUBMIT, fault)
            await stage.place()
    fault = stage.faults(Verb.CANCEL, *FAST)[0]
    async with stage.connected() as router:
        target = await stage.target()
        stage.strike(Verb.CANCEL, fault, times=None)
        report = await by_deadline(router.cancel(target.cancel, deadline=HASTY))
        stage.calm()
        stage.expect(report, Outcome.REFUSED)
        stage.untouched([target])


async def _throttled(stage: Stage, fault: Fault) -> None:
    """Attempted twice, executed once."""
    target = await stage.target()
    stage.strike(Verb.CANCEL, fault)
    begun = asyncio.get_running_loop().time()
    report = await stage.router.cancel(target.cancel, deadline=PATIENT)
    took = asyncio.get_running_loop().time() - begun
    stage.expect(report, Outcome.CONFIRMED)
    stage.true(report, target)
    pause = stage.bench.PAUSE if fault is Fault.THROTTLED else 0.0
    require(took >= pause, f"the venue asked for {pause} s, and was asked again after {took:.2f} s")
    written = stage.written(target)
    require(written == 2, f"a cancel that was throttled once was read {written} times")


@case(
    17,
    "the venue itself is in doubt",
    "An error of the venue's own, a page or a redirect is UNKNOWN, whatever was executed.",
)
async def doubt(stage: Stage) -> None:
    faults = stage.faults(Verb.CANCEL, *DOUBTFUL)
    async with stage.connected() as router:
        doubts = Doubts(stage)
        for kind in sorted(stage.spec.cancel_kinds):
            for fault in faults:
                target = await stage.target(kind)
                stage.strike(Verb.CANCEL, fault)
                report = await by_deadline(router.cancel(target.cancel, deadline=HASTY))
                stage.expect(report, Outcome.UNKNOWN)
                written = stage.written(target)
                require(
                    written <= 1,
                    f"a cancel in doubt was read {written} times before anybody asked for it to be settled",
                )
                stage.calm()
                doubts.cancel(report, target)
        for fault in _able(stage, Verb.SUBMIT, *DOUBTFUL):
            await doubts.submit(fault)
        await doubts.settle()


@case(
    29,
    "login no longer valid",
    "A request that is refused for its login was not executed, and the report says so or is the new attempt's.",
)
async def expired(stage: Stage) -> None:
    stage.faults(Verb.CANCEL, Fault.EXPIRED_TOKEN)
    for kind in sorted(stage.spec.cancel_kinds - CLIENT_KINDS):
        stage.sim.received.clear()
        async with stage.connected() as router:
            can_renew = not stage.is_socket and bool(stage.bench.asked(Verb.LOGIN))
            target = await stage.target(kind)
            stage.strike(Verb.CANCEL, Fault.EXPIRED_TOKEN)
            report = await router.cancel(target.cancel, deadline=PATIENT)
            stage.calm()
            stage.expect(report, Outcome.CONFIRMED, *(() if can_renew else (Outcome.REFUSED,)))
            stage.true(report, target)


@case(
    32,
    "a list that fails",
    "A list that could not be read is an error, never a list without orders, and proves nothing.",
)
async def lists(stage: Stage) -> None:
    stage.needs(stage.spec.lists, "the venue cannot list open orders")
    faults = stage.faults(Verb.LIST, Fault.SERVER_ERROR, Fault.HTML_PAGE, Fault.HTML_ERROR, Fault.GARBLE)
    for fault in faults:
        async with stage.connected() as router:
            target = await stage.target()
            stage.strike(Verb.LIST, fault, times=None)
            await _unread(stage, fault)
            report = await router.cancel_all(deadline=HASTY)
            require(not report.no_open_orders, f"no_open_orders is claimed while the list fails with {fault}: {report}")
            stage.calm()
            taken = {order.order_id for order in report.affected}
            require(not taken & stage.bench.open_ids(), f"said to be taken, and open: {target.order_id}")


async def _unread(stage: Stage, fault: Fault) -> None:
    try:
        async with asyncio.timeout(2 * HASTY):
            shown = await stage.router.open_orders(VENUE)
    except (ReadFailed, TimeoutError):
        return
    known = {row.order_id for row in shown}
    require(
        known >= stage.bench.open_ids(), f"the list failed with {fault}, and open_orders() returned {len(known)} orders"
    )
