"""Cases about what the Spec claims beside placing: listing, refusing, replacing, cancelling everything."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from decimal import Decimal
from typing import Any

from attrs import evolve

from router.errors import CannotList
from router.model import Cancel, IdKind, Order, OrderType, Side
from router.report import CxlRejReason, Event, ExecType, OrderState, Outcome
from router.testing.bench import Refusal, Row, Verb
from router.testing.conformance.case import Nonconformity, case, require
from router.testing.conformance.stage import HASTY, PATIENT, VENUE, Stage
from router.testing.simulator import Switches

__all__: list[str] = []

PAGEFUL = 1200  # more than any venue lists at once
SHOWN = ("kind", "symbol", "side", "type", "quantity", "price", "stop_price")


# -- listing


@case(
    22,
    "open orders are the book's",
    "open_orders() shows every open order of the account as the book has it, over all pages.",
)
async def listing(stage: Stage) -> None:
    if not stage.spec.lists:
        async with stage.connected() as router:
            try:
                await router.open_orders(VENUE)
            except CannotList:
                return
            raise Nonconformity("the venue is said not to list, and open_orders() returned")
    for type_ in OrderType:
        if stage.kind(type_) in stage.spec.lists and type_ in stage.spec.order_types - {OrderType.MARKET}:
            await stage.bench.enter(stage.bench.order(type_))
    sold = stage.bench.order(side=Side.SELL, price=Decimal(stage.bench.PRICE) * 3)
    await stage.bench.enter(sold)
    if stage.bench.FINE is not None:
        quantity, price = stage.bench.FINE
        await stage.bench.enter(stage.bench.order(quantity=quantity, price=price))
    partly = await stage.bench.enter(stage.bench.order())
    await stage.bench.fill(partly, Decimal(stage.bench.QUANTITY) / 4, copies=0)
    async with stage.connected() as router:
        _compare(stage, await router.open_orders(VENUE))
        for _ in range(PAGEFUL):
            await stage.bench.enter(stage.bench.order())
        shown = {row.order_id for row in await router.open_orders(VENUE)}
        missing = stage.bench.open_ids() - shown
        require(not missing, f"of {len(stage.bench.open_ids())} open orders open_orders() leaves out {len(missing)}")
        require(shown == stage.bench.open_ids(), "open_orders() has orders that the book does not")
        await _moving(stage)


async def _moving(stage: Stage) -> None:
    """Orders end between two pages, and those after them move up: none that is open is left out."""
    first = [row.order_id for row in stage.bench.rows() if row.is_open][:2]
    stage.hold(Verb.LIST)
    reading = asyncio.create_task(stage.router.open_orders(VENUE))
    await stage.sim.until_held(1)
    for order_id in first:
        await stage.bench.expel(order_id)
    stage.calm()
    left = stage.bench.open_ids() - {row.order_id for row in await reading}
    require(not left, f"of {len(stage.bench.open_ids())} open orders {len(left)} were lost between two pages")


def _compare(stage: Stage, shown: list[OrderState]) -> None:
    rows = {row.order_id: row for row in stage.bench.rows() if row.is_open}
    require(
        {row.order_id for row in shown} == set(rows),
        f"open_orders() has {[row.order_id for row in shown]}, the book {list(rows)}",
    )
    for state in shown:
        _alike(stage, state, rows[state.order_id or ""])


def _alike(stage: Stage, state: OrderState, row: Row) -> None:
    for name in SHOWN:
        kept, told = getattr(row, name), getattr(state, name)
        require(kept == told, f"{row.order_id}: {name} is {kept} in the book, open_orders() says {told}")
    for name in ("cum_quantity", "status", "post_only", "reduce_only"):
        kept, told = getattr(row, name), getattr(state, name)
        unknown = told is None and name not in stage.bench.TELLS
        require(unknown or told == kept, f"{row.order_id}: {name} is {kept} in the book, open_orders() says {told}")
    if row.client_order_id:
        client = state.client_order_id
        require(client == row.client_order_id, f"client id {row.client_order_id} is shown as {client}")


# -- refusing


@case(
    24,
    "every word of refusal",
    "Each refusal that the venue's page lists is REFUSED, for its reason, and changes nothing.",
)
async def refusals(stage: Stage) -> None:
    stage.needs(stage.bench.REFUSALS, "the bench lists no words of refusal")
    async with stage.connected():
        for refusal in stage.bench.REFUSALS:
            stage.trace.note(f"-- the venue refuses the next {refusal.verb}: {refusal.word}")
            await _REFUSED[refusal.verb](stage, refusal, beside=1)


async def _submit_refused(stage: Stage, refusal: Refusal, *, beside: int) -> None:
    """beside: how many others are under way, and taken."""
    if stage.bench.order().type not in stage.spec.order_types:
        return
    known = {row.order_id for row in stage.bench.rows()}
    stage.bench.refuse(refusal)
    asked = [stage.router.submit(stage.bench.order(), deadline=_patience(refusal)) for _ in range(1 + beside)]
    report, *others = await asyncio.gather(*asked)
    _judged(stage, report, refusal)
    for other in others:
        stage.expect(other, Outcome.CONFIRMED)
    fresh = {row.order_id for row in stage.bench.rows() if row.order_id not in known and row.is_open}
    require(fresh == {other.order_id for other in others}, f"refused with {refusal.word}, and the book has {fresh}")


async def _cancel_refused(stage: Stage, refusal: Refusal, *, beside: int) -> None:
    """beside: how many others are under way, and executed."""
    target, *others = [await stage.target() for _ in range(1 + beside)]
    stage.bench.refuse(refusal)
    asked = [target.cancel, *(other.cancel for other in others)]
    report, *executed = await stage.router.cancel_many(asked, deadline=_patience(refusal))
    _judged(stage, report, refusal)
    for told, other in zip(executed, others, strict=True):
        stage.expect(told, Outcome.CONFIRMED)
        stage.true(told, other)
    stage.untouched([target])


async def _replace_refused(stage: Stage, refusal: Refusal, *, beside: int) -> None:  # noqa: ARG001 - as the others
    if IdKind.ORDER not in _replaceable(stage):
        return
    target = await stage.target()
    stage.bench.refuse(refusal)
    _judged(
        stage,
        await stage.router.replace(target.cancel, price=_dearer(target.order), deadline=_patience(refusal)),
        refusal,
    )
    stage.untouched([target])


def _patience(refusal: Refusal) -> float:
    """A word that decides nothing leaves the caller waiting for one that does."""
    return PATIENT if refusal.told else HASTY


def _judged(stage: Stage, report: Any, refusal: Refusal) -> None:
    if refusal.told:
        stage.refused(report, refusal.reason)
    else:
        stage.expect(report, Outcome.UNKNOWN)


_REFUSED = {Verb.SUBMIT: _submit_refused, Verb.CANCEL: _cancel_refused, Verb.REPLACE: _replace_refused}


# -- replacing


@case(
    25,
    "replace",
    "A native replace leaves one order with the new terms, which can be cancelled; without one nothing is sent.",
)
async def replacing(stage: Stage) -> None:
    stage.needs(stage.spec.order_types, "the venue takes no orders")
    async with stage.connected() as router:
        if IdKind.ORDER not in _replaceable(stage):
            target = await stage.target()
            read = len(stage.sim.received)
            stage.expect(await router.replace(target.cancel, price=_dearer(target.order)), Outcome.NOT_SENT)
            require(len(stage.sim.received) == read, "a replace that is not claimed was sent")
            stage.untouched([target])
        for kind in sorted(_replaceable(stage)):
            name = "stop_price" if kind is IdKind.STOP_ORDER else "price"
            for changed in ({name}, {"quantity"}, {name, "quantity"}):
                await _replaced(stage, kind, changed)
            await _changed_otherwise(stage, kind, "price" if name == "stop_price" else "stop_price")
        for flag in ("post_only", "reduce_only") if IdKind.ORDER in _replaceable(stage) & stage.spec.lists else ():
            await _kept(stage, flag)


async def _changed_otherwise(stage: Stage, kind: IdKind, name: str) -> None:
    """A term that such an order does not have is not changed into another."""
    target = await stage.target(kind)
    before = stage.bench.row(target.order_id)
    changes: dict[str, Any] = {name: _dearer(target.order)}
    with suppress(ValueError):  # the Router may see the mistake itself
        report = await stage.router.replace(target.cancel, **changes, deadline=PATIENT)
        stage.expect(report, Outcome.NOT_SENT, Outcome.REFUSED)
    require(
        stage.bench.row(target.order_id) == before, f"a replace of {name}, which a {kind} has not, changed the order"
    )
    stage.expect(await stage.router.cancel(target.cancel, deadline=PATIENT), Outcome.CONFIRMED)


async def _kept(stage: Stage, flag: str) -> None:
    """What an order is, it stays when its price changes, whoever placed it."""
    raised: dict[str, Any] = {flag: True}
    own = await stage.router.submit(stage.bench.order(**raised), deadline=PATIENT)
    outside = await stage.bench.enter(stage.bench.order(**raised))
    for order_id in filter(None, (own.order_id, outside)):
        if not getattr(stage.bench.row(order_id), flag):
            continue
        shown = next(row for row in await stage.router.open_orders(VENUE) if row.order_id == order_id)
        report = await stage.router.replace(shown, price=Decimal(stage.bench.PRICE) + 1, deadline=PATIENT)
        if order_id == own.order_id:
            stage.expect(report, Outcome.CONFIRMED)
        row = stage.bench.row(report.order_id or order_id)
        require(getattr(row, flag), f"an order that was {flag} is so no longer after its price was changed")


def _replaceable(stage: Stage) -> frozenset[IdKind]:
    """Where a replace is a new order of what is left, that has to be read first."""
    return stage.spec.replaces & stage.spec.lists if stage.spec.replace_is_new else stage.spec.replaces


def _dearer(order: Order) -> Decimal:
    return (order.price or order.stop_price or Decimal(1)) + 1


def _replaced_told(events: list[Event], order_id: str | None) -> bool:
    return any(event.order_id == order_id and event.exec_type is ExecType.REPLACED for event in events)


async def _replaced(stage: Stage, kind: IdKind, names: set[str], *, told: bool = True) -> None:
    target = await stage.target(kind)
    values = {
        "price": _dearer(target.order),
        "stop_price": _dearer(target.order),
        "quantity": target.order.quantity * 2,
    }
    changes: dict[str, Any] = {name: values[name] for name in names}
    report = await stage.router.replace(target.cancel, **changes, deadline=PATIENT)
    stage.expect(report, Outcome.CONFIRMED)
    stage.meant(evolve(target.order, **changes), report)
    if told and stage.spec.tells_trades and report.order_id == target.order_id:
        await stage.hear(lambda events: _replaced_told(events, report.order_id), "that the order was replaced")
    still = stage.bench.open_ids() & {target.order_id, report.order_id or ""}
    require(
        still == {report.order_id}, f"after the replace {sorted(still)} are open, the report names {report.order_id}"
    )
    stage.expect(await stage.router.cancel(report, deadline=PATIENT), Outcome.CONFIRMED)
    require(
        not stage.bench.row(report.order_id or "").is_open, "the replaced order is open after its cancel was CONFIRMED"
    )


# -- cancelling everything


@case(
    26, "cancel all", "cancel_all() takes every order it can, and claims that none is open only when the book has none."
)
async def everything(stage: Stage) -> None:
    async with stage.connected() as router:
        own = [await stage.target(kind) for kind in sorted(stage.spec.cancel_kinds)]
        outside = await stage.bench.enter(stage.bench.order())
        taken = await router.cancel_all(scope="own", deadline=PATIENT)
        mine = {each.order_id for each in own if each.order.type in stage.spec.order_types}
        require(not stage.bench.open_ids() & mine, f"scope 'own' left {sorted(stage.bench.open_ids() & mine)}: {taken}")
        require(stage.bench.row(outside).is_open, "scope 'own' took an order that was placed elsewhere")
        listed = IdKind.ORDER in stage.spec.lists
        await stage.target()
        report = await router.cancel_all(deadline=PATIENT)
        still = stage.bench.open_ids()
        require(not (report.no_open_orders and still), f"no_open_orders is claimed, and the book has {sorted(still)}")
        if stage.spec.mass_cancels:
            require(
                stage.bench.asked(Verb.MASS_CANCEL), "a cancel-all of the venue's own is claimed, and none was read"
            )
        if listed:
            require(not still, f"cancel_all() left {sorted(still)}: {report}")
        if listed and not stage.spec.unlisted:
            require(report.no_open_orders, f"the book is empty, and that is not claimed: {report}")


# -- the page's contradictions


@case(27, "the page's contradictions", "Whichever of its documented forms the venue uses, the outcomes are the same.")
async def variants(stage: Stage) -> None:
    stage.needs(stage.bench.VARIANTS, "the bench knows of no contradiction")
    for _ in stage.forms():
        await _round(stage)


async def _round(stage: Stage) -> None:
    """An order of each kind is placed and cancelled, and one that nobody knows is not found."""
    async with stage.connected() as router:
        for kind in sorted(stage.spec.cancel_kinds):
            target = await stage.target(kind)
            report = await router.cancel(target.cancel, deadline=PATIENT)
            stage.expect(report, Outcome.CONFIRMED)
            stage.true(report, target)
            unknown = Cancel(VENUE, stage.bench.unknown(kind), kind, stage.bench.SYMBOL)
            stage.refused(await router.cancel(unknown, deadline=PATIENT), CxlRejReason.UNKNOWN_ORDER)
        for verb, refused in _REFUSED.items():
            words = [each for each in stage.bench.REFUSALS if each.verb is verb and each.told]
            for refusal in (words[0], words[-1]) if words else ():
                await refused(stage, refusal, beside=0)  # in some forms only who is alone can be told
        for kind in sorted(_replaceable(stage)):
            await _replaced(stage, kind, {"quantity"}, told=False)  # a form may say nothing of it
        if stage.spec.lists:
            await stage.target()
            shown = {row.order_id for row in await router.open_orders(VENUE)}
            require(shown == stage.bench.open_ids(), f"open_orders() has {shown}, the book {stage.bench.open_ids()}")
        await _greeted(stage)
    async with stage.connected():  # what it leaves owed may keep answers that name nothing from being told apart
        await _race(stage)


async def _greeted(stage: Stage) -> None:
    """Whatever the venue says first on a new connection answers nothing that was asked."""
    if stage.is_socket:
        await stage.bench.drop()
        nobody = Cancel(VENUE, stage.bench.unknown(IdKind.ORDER), IdKind.ORDER, stage.bench.SYMBOL)
        stage.refused(await stage.router.cancel(nobody, deadline=PATIENT), CxlRejReason.UNKNOWN_ORDER)


async def _race(stage: Stage) -> None:
    """A cancel is settled by a fill, and its own refusal, which may name nothing, is not taken for the next submit's."""
    words = [each for each in stage.bench.REFUSALS if each.verb is Verb.CANCEL and each.told]
    for refusal in words if stage.spec.tells_trades else ():
        target = await stage.target()
        stage.sim.switches = Switches(hold=True, only=stage.bench.words(Verb.CANCEL, Verb.SUBMIT))
        stage.bench.refuse(refusal)
        cancelling = asyncio.create_task(stage.router.cancel(target.cancel, deadline=PATIENT))
        await stage.sim.until_held(1)
        await stage.bench.fill(target.order_id)
        stage.refused(await cancelling, CxlRejReason.TOO_LATE_TO_CANCEL, refusal.reason)
        placing = asyncio.create_task(stage.router.submit(stage.bench.order(), deadline=PATIENT))
        await stage.sim.until_held(2)
        stage.sim.release(1)
        stage.calm()
        stage.expect(await placing, Outcome.CONFIRMED)
