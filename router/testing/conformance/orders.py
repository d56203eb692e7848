"""Cases about what happens to orders: trades, ends, and in which order they are told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate

from router.model import Cancel, IdKind
from router.report import CxlRejReason, Event, ExecType, OrdStatus, Outcome
from router.testing.bench import Verb
from router.testing.conformance.case import case, require
from router.testing.conformance.stage import PATIENT, VENUE, Stage, Target

__all__: list[str] = []


SKEW = timedelta(minutes=5)


def _trades(stage: Stage, order_id: str) -> list[Event]:
    return [event for event in stage.events if event.order_id == order_id and event.exec_type is ExecType.TRADE]


def _needs_trades(stage: Stage) -> None:
    stage.needs(stage.spec.tells_trades, "the venue does not tell its trades")


@case(
    6,
    "fill before ack",
    "A fill that is told before the order's acknowledgement is counted once, and the submit is CONFIRMED.",
)
async def early_fill(stage: Stage) -> None:
    _needs_trades(stage)
    order = stage.bench.order()
    stage.needs(order.type in stage.spec.order_types, "the venue takes no such order")
    async with stage.connected() as router:
        stage.hold(Verb.SUBMIT)
        placing = asyncio.create_task(router.submit(order, deadline=PATIENT))
        await stage.sim.until_held(1)
        order_id = stage.bench.rows()[-1].order_id
        await stage.bench.fill(order_id)
        await stage.hear(lambda _: _trades(stage, order_id), "the trade")
        stage.calm()
        report = await placing
        stage.expect(report, Outcome.CONFIRMED)
        require(
            report.order_id == order_id, f"the submit is said to have made {report.order_id}, the book has {order_id}"
        )
        late = await router.cancel(report, deadline=PATIENT)
        stage.refused(late, CxlRejReason.TOO_LATE_TO_CANCEL, CxlRejReason.UNKNOWN_ORDER)
        require(late.status is OrdStatus.FILLED, f"the order has traded; the cancel's report says {late.status}")
        _counted(stage, order_id, [order.quantity])


@case(11, "duplicate fill", "A trade that is told several times is one trade; several trades are several.")
async def duplicate(stage: Stage) -> None:
    _needs_trades(stage)
    async with stage.connected():
        target = await stage.target()
        parts = [target.order.quantity / 4, target.order.quantity / 4, target.order.quantity / 2]
        for copies, part in zip((3, 1, 2), parts, strict=True):
            await stage.bench.fill(target.order_id, part, copies=copies)
        await stage.hear(lambda _: _is_filled(stage, target), "that all of it has traded")
        await _quiet(stage)
        _counted(stage, target.order_id, parts)


@case(34, "a part trades while a cancel is under way", "A part that trades settles no cancel: its own answer does.")
async def meanwhile(stage: Stage) -> None:
    _needs_trades(stage)
    words = [each for each in stage.bench.REFUSALS if each.verb is Verb.CANCEL and each.told]
    stage.needs(words, "the bench lists no words that refuse a cancel")
    async with stage.connected() as router:
        target = await stage.target()
        stage.hold(Verb.CANCEL)
        stage.bench.refuse(words[0])
        cancelling = asyncio.create_task(router.cancel(target.cancel, deadline=PATIENT))
        await stage.sim.until_held(1)
        await stage.bench.fill(target.order_id, target.order.quantity / 4)
        await stage.hear(lambda _: _trades(stage, target.order_id), "a trade")
        require(not cancelling.done(), "a part that traded settled the cancel of the whole")
        stage.calm()
        stage.refused(await cancelling, words[0].reason)
        stage.untouched([target])


def _is_filled(stage: Stage, target: Target) -> bool:
    return any(event.order_id == target.order_id and event.status is OrdStatus.FILLED for event in stage.events)


async def _quiet(stage: Stage) -> None:
    """Whatever was told before has been heard when a later request is answered."""
    target = await stage.target()
    stage.expect(await stage.router.cancel(target.cancel, deadline=PATIENT), Outcome.CONFIRMED)


def _counted(stage: Stage, order_id: str, parts: list[Decimal]) -> None:
    told = _trades(stage, order_id)
    require(
        [event.last_quantity for event in told] == parts,
        f"traded were {parts}, told {[event.last_quantity for event in told]}",
    )
    sums = list(accumulate(parts))
    counted = [event.cum_quantity for event in told]
    require(counted == sums, f"traded were {sums} in all, cum_quantity is said to be {counted}")
    now = datetime.now(UTC)
    late = [event.at for event in told if abs(now - event.at) > SKEW]
    require(not late, f"trades of now are told as of {late}")
    require(len({event.trade_id for event in told}) == len(parts), "two trades have one trade_id")


@case(23, "events tell what happened", "What the venue tells of an order is told once, with its numbers.")
async def events(stage: Stage) -> None:
    async with stage.connected() as router:
        target = await stage.target()
        stage.expect(await router.cancel(target.cancel, deadline=PATIENT), Outcome.CONFIRMED)
        await stage.hear(lambda _: _ends(stage, target.order_id), "that the order was cancelled")
        for kind in sorted(stage.spec.cancel_kinds & {IdKind.ORDER, IdKind.STOP_ORDER}):
            await _shown(stage, kind)
        if stage.spec.tells_trades:
            await _partly(stage)
            await _expelled(stage)
        ends = _ends(stage, target.order_id)
        require(len(ends) == 1, f"one end of an order is told as {len(ends)}")


async def _shown(stage: Stage, kind: IdKind) -> None:
    """An order from elsewhere, of which a quarter has traded: what its cancel's report shows is what the book has."""
    for quantity in (Decimal(stage.bench.QUANTITY), Decimal(stage.bench.QUANTITY) * 3 / 2):
        order_id = await stage.bench.enter(stage.bench.order(stage.types(kind)[0], quantity=quantity))
        if kind is IdKind.ORDER:
            told = int(stage.spec.tells_trades)
            await stage.bench.fill(order_id, Decimal(stage.bench.QUANTITY) / 4, copies=told)
        report = await stage.router.cancel(Cancel(VENUE, order_id, kind, stage.bench.SYMBOL), deadline=PATIENT)
        stage.expect(report, Outcome.CONFIRMED)
        for shown in report.orders:
            stage.faithful(shown, stage.bench.row(shown.order_id or ""))


def _ends(stage: Stage, order_id: str) -> list[Event]:
    return [event for event in stage.events if event.order_id == order_id and event.exec_type is ExecType.CANCELED]


async def _partly(stage: Stage) -> None:
    """A quarter trades, then the order is cancelled."""
    target = await stage.target()
    part = target.order.quantity / 4
    await stage.bench.fill(target.order_id, part)
    await stage.hear(lambda _: _trades(stage, target.order_id), "a trade")
    trade = _trades(stage, target.order_id)[0]
    require(trade.status is OrdStatus.PARTIALLY_FILLED, f"a quarter has traded; the order is said to be {trade.status}")
    require(trade.last_price == target.order.price, f"it traded at {target.order.price}, told is {trade.last_price}")
    report = await stage.router.cancel(target.cancel, deadline=PATIENT)
    stage.expect(report, Outcome.CONFIRMED)
    shown = next(each for each in report.orders if each.order_id == target.order_id)
    require(shown.cum_quantity in {None, part}, f"{part} has traded; the report says {shown.cum_quantity}")
    _counted(stage, target.order_id, [part])


async def _expelled(stage: Stage) -> None:
    target = await stage.target()
    await stage.bench.expel(target.order_id)
    await stage.hear(lambda _: _ends(stage, target.order_id), "that the venue ended the order")
    late = await stage.router.cancel(target.cancel, deadline=PATIENT)
    stage.refused(late, CxlRejReason.TOO_LATE_TO_CANCEL, CxlRejReason.UNKNOWN_ORDER)
