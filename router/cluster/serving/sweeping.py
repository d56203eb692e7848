"""What a strategy knows to be its own and this gateway has never heard of, at a venue that cannot list: cancelled by its id.

Elsewhere a list shows such orders, and cancel_all takes them from there. Here nothing else would: another gateway placed them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import evolve

from router.desk import Desk
from router.massreport import Doubt, NotAffected, VenueCancelReport
from router.model import Cancel, IdKind
from router.report import CancelReport, CxlRejReason, OrderState, Outcome

__all__ = ["cancelled", "unheard_of", "with_these"]

KINDS: Final = (IdKind.ORDER, IdKind.STOP_ORDER)
OTHER_SYMBOLS: Final = (
    "{} orders of this strategy were placed by another gateway, and nothing tells of which symbol they are"
)


def unheard_of(desk: Desk, known: Iterable[str]) -> list[str]:
    """Of these ids, those that nothing is known of, where no list will show them."""
    if desk.adapter.spec.lists:
        return []
    return [each for each in known if desk.ledger.find(each) is None and not desk.ledger.named(each)]


async def cancelled(desk: Desk, ids: Sequence[str], seconds: float) -> list[CancelReport]:
    """Cancel each, whatever kind of order it names."""
    return list(await asyncio.gather(*(_cancelled(desk, each, seconds) for each in ids)))


async def _cancelled(desk: Desk, name: str, seconds: float) -> CancelReport:
    until = asyncio.get_running_loop().time() + seconds
    kinds = [kind for kind in KINDS if kind in desk.adapter.spec.cancel_kinds] or [IdKind.ORDER]
    for kind in kinds:
        rest = max(0.001, until - asyncio.get_running_loop().time())
        report = await desk.cancel(Cancel(desk.name, name, kind), rest)
        if report.reason is not CxlRejReason.UNKNOWN_ORDER:
            break
    return report


def with_these(report: VenueCancelReport, told: Iterable[CancelReport], unasked: int = 0) -> VenueCancelReport:
    """The report of all of it. unasked: how many could not even be cancelled."""
    taken, missed, doubts = list(report.affected), list(report.not_affected), list(report.doubts)
    for each in told:
        order = OrderState(venue=report.venue, order_id=each.request.id, symbol=each.request.symbol, own=True)
        if each.ok:
            taken += each.orders
        elif each.outcome is not Outcome.REFUSED:
            doubts.append(Doubt(text=each.text, order=order))
        elif each.reason is not CxlRejReason.UNKNOWN_ORDER:  # which may be no order of this venue at all
            missed.append(NotAffected(order=order, reason=each.reason, text=each.text))
    if unasked:
        doubts.append(Doubt(text=OTHER_SYMBOLS.format(unasked)))
    proven = report.no_open_orders and len(doubts) == len(report.doubts)
    return evolve(
        report, affected=tuple(taken), not_affected=tuple(missed), doubts=tuple(doubts), no_open_orders=proven
    )
