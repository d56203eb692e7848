"""Cases about cancels that the venue answers: accepted, not found, many at once, and those that cannot be said."""

from __future__ import annotations

import asyncio
import random

from router.model import Cancel, IdKind
from router.report import CxlRejReason, OrdStatus, Outcome
from router.testing.bench import Verb
from router.testing.conformance.case import case, require
from router.testing.conformance.stage import CLIENT_KINDS, PATIENT, VENUE, Stage, Target

__all__: list[str] = []

MANY = 24
REFUSED = 5  # which of many is
GONE = (CxlRejReason.UNKNOWN_ORDER, CxlRejReason.TOO_LATE_TO_CANCEL)


@case(1, "cancel accepted", "A cancel that the venue executed is CONFIRMED, names the order, and was on the wire once.")
async def accepted(stage: Stage) -> None:
    async with stage.connected() as router:
        bystander = await stage.target()
        for kind in sorted(stage.spec.cancel_kinds):
            target = await stage.target(kind)
            report = await router.cancel(target.cancel, deadline=PATIENT)
            stage.expect(report, Outcome.CONFIRMED)
            stage.true(report, target)
            left = set(target.order_ids) - {order.order_id for order in report.orders}
            require(not left, f"report.orders leaves out {left}")
            require(report.status in {OrdStatus.CANCELED, None}, f"the order's status is said to be {report.status}")
            written = stage.written(target)
            require(written == 1, f"one cancel was read {written} times")
        for kind in sorted(stage.spec.cancel_kinds & CLIENT_KINDS):
            await _elsewhere(stage, kind)
        for spelling in range(len(stage.bench.spellings(bystander.order_id))):
            await _spelt(stage, spelling)
        stage.untouched([bystander])
    impure = ", ".join(stage.trace.impure)
    require(
        not impure, f"encode() gives other bytes for the same cancel at the same time, and a repeat asks it: {impure}"
    )


async def _elsewhere(stage: Stage, kind: IdKind) -> None:
    """A client id is the venue's to know: an order that was placed elsewhere is found by it too."""
    order = stage.bench.order(stage.types(kind)[0])
    order_id = await stage.bench.enter(order)
    kept = stage.bench.row(order_id).client_order_id
    require(
        kept == order.client_order_id, f"cancels by {kind} are claimed, and the venue keeps {kept} as the client id"
    )
    target = Target(Cancel(VENUE, order.client_order_id, kind, order.symbol), order_id, order)
    report = await stage.router.cancel(target.cancel, deadline=PATIENT)
    stage.expect(report, Outcome.CONFIRMED)
    stage.true(report, target)


async def _spelt(stage: Stage, number: int) -> None:
    """An id may be written in several ways, and is one id."""
    target = await stage.target()
    other = stage.bench.spellings(target.order_id)[number]
    asked = [Cancel(VENUE, name, IdKind.ORDER, stage.bench.SYMBOL) for name in (other, target.order_id)]
    for report in await stage.router.cancel_many(asked, deadline=PATIENT):
        stage.expect(report, Outcome.CONFIRMED)
        require([order.order_id for order in report.orders] == [target.order_id], f"{other} is told as {report.orders}")
    read = stage.bench.written(Verb.CANCEL, target.order_id)
    require(read == 1, f"two cancels of one order at the same time were read {read} times")


@case(
    2,
    "cancel not found",
    "An order that the venue does not know is REFUSED, UNKNOWN_ORDER; one that has ended is never CONFIRMED.",
)
async def not_found(stage: Stage) -> None:
    async with stage.connected() as router:
        bystander = await stage.target()
        for kind in sorted(stage.spec.cancel_kinds):
            unknown = Cancel(VENUE, stage.bench.unknown(kind), kind, stage.bench.SYMBOL)
            stage.refused(await router.cancel(unknown, deadline=PATIENT), CxlRejReason.UNKNOWN_ORDER)
            written = stage.bench.written(Verb.CANCEL, unknown.id)
            require(written == 1, f"one cancel was read {written} times")
        await _ended(stage, twice=True)
        await _ended(stage, twice=False)
        stage.untouched([bystander])


async def _ended(stage: Stage, *, twice: bool) -> None:
    """A cancel of an order that was cancelled before, or that has traded without anybody's being told."""
    target = await stage.target()
    if twice:
        stage.expect(await stage.router.cancel(target.cancel, deadline=PATIENT), Outcome.CONFIRMED)
    else:
        await stage.bench.fill(target.order_id, copies=0)
    report = await stage.router.cancel(target.cancel, deadline=PATIENT)
    stage.refused(report, *GONE)
    if twice:
        known = {OrdStatus.CANCELED, None}
        require(report.status in known, f"the order is cancelled; the report says {report.status}")


@case(9, "cannot express: zero bytes", "What the venue has no words for is NOT_SENT, and not one byte leaves.")
async def inexpressible(stage: Stage) -> None:
    async with stage.connected() as router:
        read = len(stage.sim.received)
        for kind in sorted(set(IdKind) - stage.spec.cancel_kinds - CLIENT_KINDS):
            stage.expect(
                await router.cancel(Cancel(VENUE, stage.bench.unknown(kind), kind, stage.bench.SYMBOL)),
                Outcome.NOT_SENT,
            )
        for kind in sorted((CLIENT_KINDS - stage.spec.cancel_kinds) | stage.spec.needs_symbol):
            stage.expect(await router.cancel(Cancel(VENUE, stage.bench.unknown(kind), kind)), Outcome.NOT_SENT)
        sent = [item.command for item in stage.sim.received[read:]]
        require(not sent, f"the venue read {sent}")
        await _no_ids(stage)
        for options in ({"no_such_option": "1"}, {stage.bench.SYMBOL: 1}):
            report = await router.submit(stage.bench.order(options=options), deadline=PATIENT)
            stage.expect(report, Outcome.NOT_SENT, Outcome.REFUSED)  # options may be the venue's to judge


async def _no_ids(stage: Stage) -> None:
    """An id goes out as it is, or not at all: never as a part of something else."""
    for kind in sorted(stage.spec.cancel_kinds):
        target = await stage.target(kind)
        name = target.cancel.id
        for odd in (
            f"{name}?x",
            f"../orders/{name}",
            f"{name}/",
            f"{name}#",
            f" {name}",
            f"{name}%20",
            f'{name}","x":"',
        ):
            report = await stage.router.cancel(Cancel(VENUE, odd, kind, stage.bench.SYMBOL), deadline=PATIENT)
            stage.expect(report, Outcome.NOT_SENT, Outcome.REFUSED)
        stage.untouched([target])


@case(13, "partial batch", "Each cancel of a batch has a report of its own, in the order of asking.")
async def batch(stage: Stage) -> None:
    async with stage.connected() as router:
        first, ended, last, kept = [await stage.target() for _ in range(4)]
        stage.expect(await router.cancel(ended.cancel, deadline=PATIENT), Outcome.CONFIRMED)
        unknown = Cancel(VENUE, stage.bench.unknown(IdKind.ORDER), IdKind.ORDER, stage.bench.SYMBOL)
        asked = [first.cancel, unknown, ended.cancel, last.cancel]
        reports = await router.cancel_many(asked, deadline=PATIENT)
        require([report.request for report in reports] == asked, "the reports are not in the order of asking")
        stage.expect(reports[0], Outcome.CONFIRMED)
        stage.refused(reports[1], CxlRejReason.UNKNOWN_ORDER)
        stage.refused(reports[2], *GONE)
        stage.expect(reports[3], Outcome.CONFIRMED)
        for report, target in zip((reports[0], reports[3]), (first, last), strict=True):
            stage.true(report, target)
        stage.untouched([kept])


@case(18, "many at once, none mixed up", "Answers that come in any order each go to the request that they are about.")
async def many(stage: Stage) -> None:
    async with stage.connected() as router:
        targets = [await stage.target() for _ in range(MANY)]
        for filled in targets[::3]:
            await stage.bench.fill(filled.order_id, copies=0)
        unknown = [stage.bench.unknown(IdKind.ORDER) for _ in range(MANY // 3)]
        asked = [each.cancel for each in targets] + [
            Cancel(VENUE, name, IdKind.ORDER, stage.bench.SYMBOL) for name in unknown
        ]
        random.Random(18).shuffle(asked)  # noqa: S311 - an order of asking, no secret
        stage.hold(Verb.CANCEL)
        pending = asyncio.gather(*(router.cancel(each, deadline=PATIENT) for each in asked))
        await stage.sim.until_held(len(asked), timeout=PATIENT)
        stage.sim.release(shuffle=18)
        stage.calm()
        reports = {report.request.id: report for report in await pending}
        for target in targets:
            _told_apart(stage, target, reports[target.cancel.id].outcome)
            stage.true(reports[target.cancel.id], target)
        for name in unknown:
            stage.refused(reports[name], CxlRejReason.UNKNOWN_ORDER)


@case(
    33,
    "many submits at once",
    "Orders that look alike are told apart: each report names its own order, and a refusal is its own.",
)
async def submits(stage: Stage) -> None:
    stage.needs(stage.bench.order().type in stage.spec.order_types, "the venue takes no such order")
    words = [each for each in stage.bench.REFUSALS if each.verb is Verb.SUBMIT and each.told]
    async with stage.connected() as router:
        orders = [stage.bench.order() for _ in range(MANY // 2)]
        stage.hold(Verb.SUBMIT)
        pending = []
        for number, order in enumerate(orders):
            if words and number == REFUSED:
                stage.bench.refuse(words[0])
            pending.append(asyncio.create_task(router.submit(order, deadline=PATIENT)))
            await stage.sim.until_held(number + 1, timeout=PATIENT)
        stage.sim.release(shuffle=33)
        stage.calm()
        for number, (order, report) in enumerate(zip(orders, await asyncio.gather(*pending), strict=True)):
            if words and number == REFUSED:
                stage.refused(report, words[0].reason)
            else:
                stage.expect(report, Outcome.CONFIRMED)
                stage.meant(order, report)
        await _replaced_at_once(stage)


async def _replaced_at_once(stage: Stage) -> None:
    """Replaces of orders that look alike."""
    if IdKind.ORDER not in stage.spec.replaces or stage.spec.replace_is_new:
        return
    targets = [await stage.target() for _ in range(MANY // 4)]
    price = (targets[0].order.price or 0) + 1
    stage.hold(Verb.REPLACE)
    asked = [asyncio.create_task(stage.router.replace(each.cancel, price=price, deadline=PATIENT)) for each in targets]
    await stage.sim.until_held(len(asked), timeout=PATIENT)
    stage.sim.release(shuffle=33)
    stage.calm()
    for target, report in zip(targets, await asyncio.gather(*asked), strict=True):
        stage.expect(report, Outcome.CONFIRMED)
        require(
            report.order_id == target.order_id, f"the replace of {target.order_id} is told as one of {report.order_id}"
        )


def _told_apart(stage: Stage, target: Target, outcome: Outcome) -> None:
    row = stage.bench.row(target.order_id)
    wanted = Outcome.CONFIRMED if row.status is OrdStatus.CANCELED else Outcome.REFUSED
    require(outcome is wanted, f"{target.order_id} is {row.status} in the book; its cancel is {outcome.name}")


@case(
    28,
    "a cancel that names a set",
    "A cancel by a name that several orders share takes them all, and says so when none is left.",
)
async def sets(stage: Stage) -> None:
    shared = sorted(stage.spec.set_kinds & CLIENT_KINDS)
    stage.needs(shared, "no cancel of this venue names several orders")
    async with stage.connected() as router:
        for kind in shared:
            target, bystander = await stage.target(kind), await stage.target(kind)
            report = await router.cancel(target.cancel, deadline=PATIENT)
            stage.expect(report, Outcome.CONFIRMED)
            stage.true(report, target)
            left = set(target.order_ids) - {order.order_id for order in report.orders}
            require(not left, f"report.orders leaves out {left}")
            again = await router.cancel(target.cancel, deadline=PATIENT)
            stage.refused(again, *GONE)
            stage.untouched([bystander])
