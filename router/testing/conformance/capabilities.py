"""Cases about what the Spec claims: every claim is put to use, and what is not claimed is NOT_SENT."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any

from attrs import evolve

from router.errors import CannotList
from router.model import Cancel, IdKind, Order, OrderType, Side, TimeInForce
from router.report import CxlRejReason, OrderState, Outcome, SubmitReport
from router.testing.bench import Refusal, Row, Verb
from router.testing.conformance.case import Nonconformity, case, require
from router.testing.conformance.stage import HASTY, PATIENT, VENUE, Stage
from router.testing.simulator import Switches

__all__: list[str] = []

PAGEFUL = 1200  # more than any venue lists at once
SHOWN = ("symbol", "side", "type", "quantity", "price", "stop_price")


# -- placing


@case(
    21, "every capability", "Each order type that is claimed is placed as it was meant; each that is not is NOT_SENT."
)
async def capabilities(stage: Stage) -> None:
    async with stage.connected():
        for type_ in OrderType:
            if type_ not in stage.spec.order_types:
                await _not_sent(stage, stage.bench.order(type_))
                continue
            for order in _samples(stage, type_):
                await _placed(stage, order)
        for order in _conditions(stage):
            await _placed_or_not_sent(stage, order)


def _samples(stage: Stage, type_: OrderType) -> list[Order]:
    """Of a type: as it is, of another size, with what its options may have; on the other side where that rests too."""
    order = stage.bench.order(type_)
    found = [order, stage.bench.order(type_, quantity=order.quantity + order.quantity / 2)]
    if type_ is OrderType.LIMIT and order.price is not None:
        found.append(stage.bench.order(type_, side=Side.SELL, price=order.price * 3, quantity=Decimal("2E+1")))
    if type_ is OrderType.MARKET:
        found.append(stage.bench.order(type_, side=Side.SELL))
    if type_ in stage.bench.EXTRAS:
        found.append(stage.bench.order(type_, options={**order.options, **stage.bench.EXTRAS[type_]}))
    return found


def _conditions(stage: Stage) -> list[Order]:
    """Every time in force and flag with every type: the venue may have it or not."""
    tomorrow = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    terms: list[dict[str, Any]] = [{"time_in_force": each} for each in TimeInForce if each is not TimeInForce.GTD]
    terms += [{"time_in_force": TimeInForce.GTD, "expires_at": tomorrow}, {"post_only": True}, {"reduce_only": True}]
    found = []
    for type_ in sorted(stage.spec.order_types):
        for each in terms:
            try:
                found.append(stage.bench.order(type_, **each))
            except ValueError:
                continue  # it contradicts itself, whoever the venue is
    return found


async def _not_sent(stage: Stage, order: Order) -> None:
    read = len(stage.sim.received)
    report = await stage.router.submit(order, deadline=PATIENT)
    stage.expect(report, Outcome.NOT_SENT)
    sent = [item.command for item in stage.sim.received[read:]]
    require(not sent, f"a {order.type} order is not claimed, and the venue read {sent}")


async def _placed(stage: Stage, order: Order) -> None:
    await _away(stage, await stage.place(order))


async def _placed_or_not_sent(stage: Stage, order: Order) -> None:
    """What the venue has no words for is NOT_SENT; what is said is meant."""
    read, known = len(stage.sim.received), {row.order_id for row in stage.bench.rows()}
    report = await stage.router.submit(order, deadline=PATIENT)
    stage.expect(report, Outcome.CONFIRMED, Outcome.REFUSED, Outcome.NOT_SENT)
    if report.outcome is Outcome.CONFIRMED:
        stage.same(order, stage.bench.row(report.order_id or ""))
        await _away(stage, report)
        return
    fresh = [row for row in stage.bench.rows() if row.order_id not in known and row.is_open]
    require(not fresh, f"the submit is {report.outcome.name}, and the book has {fresh}")
    if report.outcome is Outcome.NOT_SENT:
        require(
            len(stage.sim.received) == read, f"a submit that is NOT_SENT was read: {stage.sim.received[-1].command}"
        )


async def _away(stage: Stage, report: SubmitReport) -> None:
    """Cancel what still rests, so that no sample meets another."""
    if stage.bench.row(report.order_id or "").is_open:
        stage.expect(await stage.router.cancel(report, deadline=PATIENT), Outcome.CONFIRMED)


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


def _compare(stage: Stage, shown: list[OrderState]) -> None:
    rows = {row.order_id: row for row in stage.bench.rows() if row.is_open}
    require(
        {row.order_id for row in shown} == set(rows),
        f"open_orders() has {[row.order_id for row in shown]}, the book {list(rows)}",
    )
    for state in shown:
        _alike(state, rows[state.order_id or ""])


def _alike(state: OrderState, row: Row) -> None:
    for name in SHOWN:
        kept, told = getattr(row, name), getattr(state, name)
        require(
            kept is None or kept == told, f"{row.order_id}: {name} is {kept} in the book, open_orders() says {told}"
        )
    require(state.kind is row.kind, f"{row.order_id} is a {row.kind} in the book, open_orders() says {state.kind}")
    require(
        state.cum_quantity in {None, row.cum_quantity},
        f"{row.cum_quantity} has traded, open_orders() says {state.cum_quantity}",
    )
    require(
        state.status in {None, row.status},
        f"{row.order_id} is {row.status} in the book, open_orders() says {state.status}",
    )
    if row.client_order_id:
        require(
            state.client_order_id == row.client_order_id,
            f"client id {row.client_order_id} is shown as {state.client_order_id}",
        )


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
            await _REFUSED[refusal.verb](stage, refusal)


async def _submit_refused(stage: Stage, refusal: Refusal) -> None:
    known = {row.order_id for row in stage.bench.rows()}
    stage.bench.refuse(refusal)
    report = await stage.router.submit(stage.bench.order(), deadline=_patience(refusal))
    _judged(stage, report, refusal)
    fresh = [row for row in stage.bench.rows() if row.order_id not in known and row.is_open]
    require(not fresh, f"refused with {refusal.word}, and the book has {fresh}")


async def _cancel_refused(stage: Stage, refusal: Refusal) -> None:
    target = await stage.target()
    stage.bench.refuse(refusal)
    _judged(stage, await stage.router.cancel(target.cancel, deadline=_patience(refusal)), refusal)
    stage.untouched([target])


async def _replace_refused(stage: Stage, refusal: Refusal) -> None:
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


def _replaceable(stage: Stage) -> frozenset[IdKind]:
    """Where a replace is a new order of what is left, that has to be read first."""
    return stage.spec.replaces & stage.spec.lists if stage.spec.replace_is_new else stage.spec.replaces


def _dearer(order: Order) -> Decimal:
    return (order.price or order.stop_price or Decimal(1)) + 1


async def _replaced(stage: Stage, kind: IdKind, names: set[str]) -> None:
    target = await stage.target(kind)
    values = {
        "price": _dearer(target.order),
        "stop_price": _dearer(target.order),
        "quantity": target.order.quantity * 2,
    }
    changes: dict[str, Any] = {name: values[name] for name in names}
    report = await stage.router.replace(target.cancel, **changes, deadline=PATIENT)
    stage.expect(report, Outcome.CONFIRMED)
    stage.same(evolve(target.order, **changes), stage.bench.row(report.order_id or ""))
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
        if listed:
            require(not still, f"cancel_all() left {sorted(still)}: {report}")
        if listed and not stage.spec.unlisted:
            require(report.no_open_orders, f"the book is empty, and that is not claimed: {report}")


# -- the page's contradictions


@case(27, "the page's contradictions", "Whichever of its documented forms the venue uses, the outcomes are the same.")
async def variants(stage: Stage) -> None:
    stage.needs(stage.bench.VARIANTS, "the bench knows of no contradiction")
    usual = {name: attrgetter(name)(stage.sim) for each in stage.bench.VARIANTS.values() for name in each}
    for title, changes in stage.bench.VARIANTS.items():
        stage.trace.lines.clear()
        stage.trace.note(f"-- the venue's form: {title}")
        for name, value in ({**usual, **changes}).items():
            _set(stage.sim, name, value)
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
        await _race(stage)


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


def _set(holder: Any, name: str, value: Any) -> None:
    """Set an attribute, or one of an attribute ("variants.ack")."""
    path, _, last = name.rpartition(".")
    setattr(attrgetter(path)(holder) if path else holder, last, value)
