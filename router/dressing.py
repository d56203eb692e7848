"""From a reply to the report that a caller hears: what the ledger knows of the orders is added. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from router.ledger import Entry, Ledger
from router.model import Cancel, IdKind, Order
from router.operation import Operation, Reply
from router.report import CancelReport, CxlRejReason, OrderState, OrdRejReason, Outcome, SubmitReport

__all__ = ["cancel_report", "submit_report"]

Settle = Callable[[float | None], Awaitable[Any]]


def cancel_report(
    operation: Operation,
    command: Cancel,
    reply: Reply,
    ledger: Ledger,
    settle: Settle | None,
    journaled: bool | None,
) -> CancelReport:
    """The answer to a cancel."""
    orders = _orders(operation, command, reply, ledger)
    outcome = reply.outcome
    return CancelReport(
        request=operation.request,  # type: ignore[arg-type]  # a cancel's request is a Cancel
        outcome=outcome,
        status=reply.status or (orders[0].status if len(orders) == 1 else None),
        reason=_reason(reply.cancel_reason, CxlRejReason.OTHER, reply) if outcome is Outcome.REFUSED else None,
        text=reply.text,
        orders=orders,
        origin=reply.origin,
        sent_at=operation.sent_at,
        answered_at=reply.answered_at,
        journaled=journaled,
        frame=reply.raw,
        settle=settle,
    )


def _orders(operation: Operation, command: Cancel, reply: Reply, ledger: Ledger) -> tuple[OrderState, ...]:
    named = command.kind is IdKind.CLIENT_ORDER or command.kind is IdKind.CLIENT_TWAP
    ids = tuple(operation.taken) or (() if named else (command.id,))
    if len(ids) == 1 and (entry := ledger.find(ids[0])) is not None:
        return (entry.state,)
    found = [ledger.find(order_id) for order_id in ids]
    if not any(found) and reply.outcome is Outcome.CONFIRMED and ids:
        kind = IdKind.ORDER if named or command.kind is None else command.kind
        return tuple(
            OrderState(venue=ledger.venue, order_id=order_id, kind=kind, symbol=command.symbol, status=reply.status)
            for order_id in ids
        )
    return tuple(entry.state for entry in found if entry is not None)


def submit_report(
    operation: Operation, reply: Reply, settle: Settle | None, *, journaled: bool | None = None
) -> SubmitReport:
    """The answer to a submit or a replace."""
    entry = operation.subject if isinstance(operation.subject, Entry) else None
    state = entry.state if entry is not None else None
    known = operation.request if isinstance(operation.request, Order) else state
    return SubmitReport(
        request=operation.request,  # type: ignore[arg-type]  # a submit's request is an Order or a Replace
        outcome=reply.outcome,
        status=reply.status or (state.status if state else None),
        reason=_reason(reply.order_reason, OrdRejReason.OTHER, reply),
        text=reply.text,
        origin=reply.origin,
        sent_at=operation.sent_at,
        answered_at=reply.answered_at,
        journaled=journaled,
        frame=reply.raw,
        order_id=(state.order_id if state else None) or reply.order_id,
        kind=state.kind if state else reply.kind,
        client_order_id=known.client_order_id if known else None,
        symbol=known.symbol if known else None,
        cum_quantity=state.cum_quantity if state else None,
        settle=settle,
    )


R = TypeVar("R", CxlRejReason, OrdRejReason)


def _reason(said: R | None, otherwise: R, reply: Reply) -> R | None:
    """A refusal always has a reason, and nothing else has one."""
    if reply.outcome is not Outcome.REFUSED:
        return None
    return otherwise if said is None else said
