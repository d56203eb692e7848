"""The replies that end a request: made of the venue's answer, or of what was learnt otherwise. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from router.ledger import Entry
from router.model import Cancel, Order
from router.operation import Operation, Reply
from router.redact import Sealed
from router.report import CxlRejReason, OrdRejReason, OrdStatus, Origin, Outcome, Replace
from router.venue import Answer

__all__ = ["answered", "clock", "done", "is_not_found", "is_too_late", "not_placed", "not_replaced", "too_late"]


def answered(answer: Answer, raw: Sealed, command: Order | Cancel | Replace) -> Reply:
    """What the venue said."""
    refused = answer.outcome is Outcome.REFUSED
    of_cancel = isinstance(command, Cancel)
    return Reply(
        outcome=answer.outcome or Outcome.UNKNOWN,
        text=answer.text,
        status=answer.status,
        cancel_reason=answer.cancel_reason if refused and of_cancel else None,
        order_reason=answer.order_reason if refused and not of_cancel else None,
        order_id=answer.order_id,
        client_order_id=answer.client_order_id,
        kind=answer.kind,
        raw=raw,
        answered_at=datetime.now(UTC),
    )


def done(outcome: Outcome, text: str, status: OrdStatus | None = None) -> Reply:
    """What was learnt otherwise."""
    return Reply(outcome=outcome, text=text, status=status, answered_at=datetime.now(UTC))


def too_late(entry: Entry) -> Reply:
    """The order had ended, and not by our cancel."""
    return Reply(
        outcome=Outcome.REFUSED,
        cancel_reason=CxlRejReason.TOO_LATE_TO_CANCEL,
        status=entry.state.status,
        text=f"the order had ended: {entry.state.status}",
        answered_at=datetime.now(UTC),
    )


def not_placed(operation: Operation) -> Reply:
    """The venue does not know the order, with everything that was looked at."""
    return Reply(
        outcome=Outcome.REFUSED,
        origin=Origin.ROUTER,
        text="; ".join(["not placed: the venue does not know the order", *operation.notes]),
        status=OrdStatus.REJECTED,
        order_reason=OrdRejReason.OTHER,
        answered_at=datetime.now(UTC),
    )


def not_replaced(operation: Operation) -> Reply:
    """The venue shows the order as it was, with everything that was looked at."""
    return Reply(
        outcome=Outcome.REFUSED,
        origin=Origin.ROUTER,
        text="; ".join(["not replaced", *operation.notes]),
        order_reason=OrdRejReason.OTHER,
        answered_at=datetime.now(UTC),
    )


def is_not_found(answer: Answer) -> bool:
    return answer.cancel_reason is CxlRejReason.UNKNOWN_ORDER


def is_too_late(answer: Answer) -> bool:
    return answer.cancel_reason is CxlRejReason.TOO_LATE_TO_CANCEL


def clock() -> str:
    """The time of day, for evidence."""
    return datetime.now(UTC).strftime("%H:%M:%S")
