"""Cases about placing: every order type that the Spec claims is placed as it was meant, all else is NOT_SENT."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from router.model import Order, OrderType, Side, TimeInForce
from router.report import Outcome, SubmitReport
from router.testing.conformance.case import Nonconformity, case, require
from router.testing.conformance.stage import PATIENT, Stage

__all__: list[str] = []

ELSEWHERE = timezone(timedelta(hours=5, minutes=30))


@case(
    21, "every capability", "Each order type that is claimed is placed as it was meant; each that is not is NOT_SENT."
)
async def capabilities(stage: Stage) -> None:
    for name, page in stage.bench.claims(stage.setup).items():
        claimed = getattr(stage.spec, name)
        require(claimed == page, f"Spec.{name} is {_words(claimed)}, the page has {_words(page)}")
    async with stage.connected():
        for type_ in OrderType:
            if type_ not in stage.spec.order_types:
                await _not_sent(stage, stage.bench.order(type_))
                continue
            for order in _samples(stage, type_):
                await _placed(stage, order)
            if stage.bench.OPTIONS.get(type_):
                await _not_sent(stage, stage.bench.order(type_, options={}))
            for symbol, options in stage.bench.MARKETS.items():
                await _in_market(stage, type_, symbol, options)
        for order in _conditions(stage):
            await _placed_or_not_sent(stage, order)


def _words(claim: Any) -> str:
    return ", ".join(sorted(claim)) or "nothing" if isinstance(claim, frozenset) else str(claim)


def _samples(stage: Stage, type_: OrderType) -> list[Order]:
    """Of a type: as it is, of another size, with what its options may have; on the other side where that rests too."""
    order = stage.bench.order(type_)
    found = [order, stage.bench.order(type_, quantity=order.quantity + order.quantity / 2)]
    if type_ is OrderType.LIMIT and order.price is not None:
        found.append(stage.bench.order(type_, side=Side.SELL, price=order.price * 3, quantity=Decimal("2E+1")))
    if type_ is OrderType.LIMIT and stage.bench.FINE is not None:
        found.append(stage.bench.order(type_, quantity=stage.bench.FINE[0], price=stage.bench.FINE[1]))
    if type_ is OrderType.MARKET:
        found.append(stage.bench.order(type_, side=Side.SELL))
    if type_ in stage.bench.EXTRAS:
        found.append(stage.bench.order(type_, options={**order.options, **stage.bench.EXTRAS[type_]}))
    return found


def _conditions(stage: Stage) -> list[Order]:
    """Every time in force and flag with every type: the venue may have it or not."""
    tomorrow = datetime.now(ELSEWHERE).replace(microsecond=0) + timedelta(days=1)
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


async def _in_market(stage: Stage, type_: OrderType, symbol: str, options: Mapping[str, Any]) -> None:
    """Where an order needs options, one without them says too little."""
    usual = stage.bench.OPTIONS.get(type_, {})
    await _placed(stage, stage.bench.order(type_, symbol=symbol, options={**usual, **options}))
    if options:
        await _not_sent(stage, stage.bench.order(type_, symbol=symbol))


async def _not_sent(stage: Stage, order: Order) -> None:
    read = len(stage.sim.received)
    report = await stage.router.submit(order, deadline=PATIENT)
    stage.expect(report, Outcome.NOT_SENT)
    sent = [item.command for item in stage.sim.received[read:]]
    require(not sent, f"the venue has no such {order.type} order, and read {sent}")


async def _placed(stage: Stage, order: Order) -> None:
    await _away(stage, await stage.place(order))


async def _placed_or_not_sent(stage: Stage, order: Order) -> None:
    """What the venue has no words for is NOT_SENT; what is said is meant."""
    read, known = len(stage.sim.received), {row.order_id for row in stage.bench.rows()}
    report = await stage.router.submit(order, deadline=PATIENT)
    stage.expect(report, Outcome.CONFIRMED, Outcome.REFUSED, Outcome.NOT_SENT)
    if report.outcome is Outcome.CONFIRMED:
        stage.meant(order, report)
        await _away(stage, report)
        return
    fresh = [row for row in stage.bench.rows() if row.order_id not in known and row.is_open]
    require(not fresh, f"the submit is {report.outcome.name}, and the book has {fresh}")
    if report.outcome is Outcome.REFUSED:
        await _is_refusable(stage, order)
    if report.outcome is Outcome.NOT_SENT:
        require(
            len(stage.sim.received) == read, f"a submit that is NOT_SENT was read: {stage.sim.received[-1].command}"
        )


async def _is_refusable(stage: Stage, order: Order) -> None:
    """What the venue takes from others, it was not told by us as it was meant."""
    try:
        order_id = await stage.bench.enter(order)
    except Exception:  # noqa: BLE001 - however a simulator refuses it
        return
    taken = stage.bench.row(order_id)
    if taken.is_open:
        await stage.bench.expel(order_id)
        words = f"{order.time_in_force or ''} {'post-only ' * order.post_only}{'reduce-only ' * order.reduce_only}{order.type}"
        raise Nonconformity(f"a {words.strip()} order is REFUSED, and the venue takes one that is placed elsewhere")


async def _away(stage: Stage, report: SubmitReport) -> None:
    """Cancel what still rests, so that no sample meets another."""
    if stage.bench.row(report.order_id or "").is_open:
        stage.expect(await stage.router.cancel(report, deadline=PATIENT), Outcome.CONFIRMED)
