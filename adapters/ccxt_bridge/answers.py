"""What an answer says, once ccxt has read it: the verdict on a cancel whose order is shown, and on one that is not. Pure."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from adapters.ccxt_bridge.calling import Unreadable
from adapters.ccxt_bridge.errors import Verdict
from adapters.ccxt_bridge.rows import execution, name_of, status_of
from router.model import Cancel, IdKind
from router.report import CxlRejReason, OrdStatus, Outcome
from router.venue import Answer, Execution, Item

__all__ = ["Failure", "ended", "row_of", "unresolved", "unsent"]

GONE: Final = frozenset({OrdStatus.CANCELED, OrdStatus.EXPIRED})


@frozen
class Failure:
    """An answer that ccxt calls an error, or is not asked about."""

    verdict: Verdict
    text: str

    def answer(self) -> Answer:
        verdict = self.verdict
        return Answer(
            outcome=verdict.outcome,
            retry=verdict.retry,
            after=verdict.after,
            cancel_reason=verdict.cancel_reason,
            order_reason=verdict.order_reason,
            text=self.text,
        )


def unsent(failed: Failure) -> Answer:
    """What failed was asked before the command, which has not been sent."""
    return Answer(
        outcome=Outcome.NOT_SENT,
        retry=failed.verdict.retry,
        after=failed.verdict.after,
        text=f"nothing of it was sent: what ccxt asks first was answered with {failed.text}",
    )


def unresolved(failed: Failure, *, accepted: bool) -> Answer:
    """The order could not be read, or is not known when asked for."""
    if accepted:
        return Answer(outcome=None, final=False, text=f"accepted; asking for the order: {failed.text}")
    if failed.verdict.missing:
        return Answer(outcome=Outcome.REFUSED, cancel_reason=CxlRejReason.UNKNOWN_ORDER, text=failed.text)
    return Answer(outcome=Outcome.UNKNOWN, text=f"no such open order; asking for it: {failed.text}")


def ended(order: Any, order_id: str, *, accepted: bool) -> list[Item] | None:
    """The verdict on a cancel whose order is shown to have ended; None: it is not."""
    status = status_of(order)
    if status is None or not status.is_terminal:
        return None
    shown = execution(order, IdKind.ORDER, order_id, is_listed=False)
    if accepted and status in GONE:
        outcome, reason = Outcome.CONFIRMED, CxlRejReason.OTHER
    elif status is OrdStatus.FILLED:
        outcome, reason = Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL
    else:
        outcome, reason = Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER
    answer = Answer(outcome=outcome, status=status, cancel_reason=reason, order_id=order_id, text=shown.text)
    return [shown, answer]


def row_of(order: Any, cancel: Cancel | None) -> Execution:
    """An order that was read. Raises Unreadable when it is not one, or not the one that was asked for."""
    order_id = name_of(order)
    if order_id is None:
        raise Unreadable
    if cancel is not None and cancel.kind is not IdKind.CLIENT_ORDER and order_id != cancel.id:
        raise Unreadable
    return execution(order, IdKind.ORDER, order_id, is_listed=True)
