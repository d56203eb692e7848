"""Replacing an order: by the venue's own command, as a new order in its place, or by a cancel and a new order.

Rules:

1. quantity is the total, what is filled included, so a replacement never trades more than it together with the old order.
2. Where the venue keeps count, its command does it all. Where a replacement is a new order, what the old one has filled is
   read just before; without that, nothing is sent.
3. With a gap: the new order is placed only after the venue has confirmed the cancel and told what the old one had filled.
4. Whatever stops it halfway is said: REFUSED by the ROUTER when the old order is gone and nothing was placed.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

from msgspec import structs

from router.addressing import resolve
from router.desk import Desk
from router.errors import CannotExpress, VenueError
from router.ledger import Entry
from router.model import Cancel, IdKind, Order, plain
from router.operation import Named
from router.report import CancelReport, OrdRejReason, OrdStatus, Origin, Outcome, Replace, SubmitReport

__all__ = ["replace_natively", "replace_with_gap"]

SHORTEST = 0.001  # seconds; a deadline must be more than none


async def replace_natively(
    desk: Desk, replace: Replace, deadline: float | None, named: Named | None = None
) -> SubmitReport:
    """The venue's own way, or NOT_SENT. named: what the journal is to call it."""
    entry = _find(desk, replace)
    if entry is None or not desk.adapter.spec.replace_is_new or entry.state.kind not in desk.adapter.spec.replaces:
        return await desk.replace(replace, deadline, named)
    return await _as_new_order(desk, replace, entry, deadline, named)


async def replace_with_gap(
    desk: Desk, replace: Replace, deadline: float | None, named: Named | None = None
) -> SubmitReport:
    """The venue's own way where there is one, else a cancel and a new order of what is left. named: what the journal is to call
    the new order's submit.
    """
    entry = _find(desk, replace)
    if entry is not None and entry.state.kind in desk.adapter.spec.replaces:
        return await replace_natively(desk, replace, deadline, named)
    if entry is None or entry.order is None or entry.state.order_id is None:
        return _report(
            replace, entry, Outcome.NOT_SENT, f"{desk.name}: its terms are not known: it was not placed here"
        )
    renewed(entry.order, replace, entry.order.quantity)  # a mistake in the new terms is told before anything is sent
    strategy = "" if named is None else named.strategy
    if desk.is_gated(entry.state.symbol, strategy):
        return await desk.submit(renewed(entry.order, replace, entry.order.quantity), deadline, named)
    why = _why_no_gap(desk, entry)
    if why:
        return _report(replace, entry, Outcome.NOT_SENT, f"{desk.name}: {why}")
    desk.gaps[entry] = entry.state.symbol, strategy
    try:
        return await _cancel_and_place(desk, replace, entry, deadline, named)
    finally:
        del desk.gaps[entry]


def _why_no_gap(desk: Desk, entry: Entry) -> str:
    """Why the old order is not even cancelled, or ""."""
    if desk.obstacle:  # or the old order would be gone, and no new one placed
        return desk.obstacle
    if entry.state.kind is IdKind.TWAP:
        return "what a TWAP has placed may still rest, so what is left of it is not known"
    if entry in desk.gaps or desk.is_cancelling(entry):
        return "a cancel or another replace of it is under way"
    return ""


async def _cancel_and_place(
    desk: Desk, replace: Replace, entry: Entry, deadline: float | None, named: Named | None
) -> SubmitReport:
    due = asyncio.get_running_loop().time() + (desk.adapter.deadline if deadline is None else deadline)
    asked = entry.cancels
    cancelled = await desk.cancel(entry.state.to_cancel(), deadline)
    if cancelled.outcome is not Outcome.CONFIRMED:
        return _not_cancelled(replace, entry, cancelled)
    if entry.cancels > asked + 1:
        return _report(replace, entry, Outcome.REFUSED, f"{desk.name}: somebody else cancelled it meanwhile")
    return await _place_rest(desk, replace, entry, due, named)


async def _place_rest(desk: Desk, replace: Replace, entry: Entry, due: float, named: Named | None) -> SubmitReport:
    """The old order is gone: place what is provably left."""
    assert entry.order is not None  # noqa: S101 - replace_with_gap looked
    filled = await _filled(desk, entry, due)
    if filled is None:
        text = f"{desk.name}: cancelled, and not placed anew: what it had filled could not be learnt"
        return _report(replace, entry, Outcome.REFUSED, text)
    left = (replace.quantity or entry.order.quantity) - filled
    rest = due - asyncio.get_running_loop().time()
    if left <= 0 or rest <= 0:
        why = f"it had filled {plain(filled)}, so nothing was left" if left <= 0 else "the deadline was over"
        return _report(replace, entry, Outcome.REFUSED, f"{desk.name}: cancelled, and not placed anew: {why}")
    report = await desk.submit(renewed(entry.order, replace, left), rest, named)
    if report.outcome is Outcome.NOT_SENT:
        text = f"{desk.name}: cancelled, and not placed anew: {report.text}"
        return _report(replace, entry, Outcome.REFUSED, text)
    note = f"the old order was cancelled after {plain(filled)} had filled"
    return structs.replace(report, request=replace, text="; ".join(filter(None, (report.text, note))))


async def _as_new_order(
    desk: Desk, replace: Replace, entry: Entry, deadline: float | None, named: Named | None
) -> SubmitReport:
    """One command that puts a new order in the old one's place."""
    if entry.order is None or entry.state.order_id is None or desk.obstacle:
        why = (
            desk.obstacle or "its terms are not known: it was not placed here"
        )  # what is filled is read just before: no wait
        return _report(replace, entry, Outcome.NOT_SENT, f"{desk.name}: {why}")
    due = asyncio.get_running_loop().time() + (desk.adapter.deadline if deadline is None else deadline)
    unread = await _read(desk, due)
    if unread:
        text = f"{desk.name}: what it has filled could not be read, and so not what is left: {unread}"
        return _report(replace, entry, Outcome.NOT_SENT, text)
    if not entry.is_live or entry.state.cum_quantity is None:
        return _report(replace, entry, Outcome.NOT_SENT, f"{desk.name}: the order is {entry.state.status} now")
    left = (replace.quantity or entry.order.quantity) - entry.state.cum_quantity
    if left <= 0:
        text = f"{desk.name}: it has filled {plain(entry.state.cum_quantity)}, so nothing is left to replace"
        return _report(replace, entry, Outcome.NOT_SENT, text)
    try:
        order = desk.adapter.replacement(renewed(entry.order, replace, left), entry.state.order_id)
    except CannotExpress as error:
        return _report(replace, entry, Outcome.NOT_SENT, str(error))
    report = await desk.submit(order, max(SHORTEST, due - asyncio.get_running_loop().time()), named)
    if report.outcome is Outcome.CONFIRMED:
        desk.replaced(entry)
    return structs.replace(report, request=replace)


def renewed(old: Order, replace: Replace, quantity: Decimal) -> Order:
    """The old order with the new terms and a client id of its own. Raises ValueError for terms that its type does not have."""
    return Order(
        old.venue,
        old.symbol,
        old.side,
        old.type,
        quantity,
        replace.price or old.price,
        replace.stop_price or old.stop_price,
        old.time_in_force,
        post_only=old.post_only,
        reduce_only=old.reduce_only,
        expires_at=old.expires_at,
        options=old.options,
    )


def _find(desk: Desk, replace: Replace) -> Entry | None:
    try:
        target = resolve(desk.canonical(replace.target), desk.ledger, desk.adapter.spec)
    except CannotExpress:
        return None
    return desk.ledger.find(target.id)


async def _read(desk: Desk, due: float) -> str:
    """Take the open orders into the ledger, by `due` (monotonic). Returns why they could not be read, or ""."""
    try:
        async with asyncio.timeout_at(due):
            desk.absorb(await desk.adapter.read(asyncio.get_running_loop().time()))
    except VenueError as error:
        return error.text
    except TimeoutError:
        return "it took too long"
    return ""


async def _filled(desk: Desk, entry: Entry, due: float) -> Decimal | None:
    """What a cancelled order had filled, if that is certain."""
    if entry.state.kind is IdKind.STOP_ORDER and not entry.trades:
        return Decimal(0)  # a stop that was cancelled while it waited has not traded
    if not entry.exact and desk.adapter.spec.lists:
        await _read(desk, due)
    return entry.state.cum_quantity if entry.exact else None


def _not_cancelled(replace: Replace, entry: Entry, cancelled: CancelReport) -> SubmitReport:
    """Nothing was placed, because the old order is not known to be gone."""
    text = f"nothing was placed, because the cancel of the old order was {cancelled.outcome}: {cancelled.text}"
    report = _report(replace, entry, cancelled.outcome, text)
    if cancelled.outcome is not Outcome.UNKNOWN:
        return report

    async def settle(timeout: float | None) -> SubmitReport:
        settled = await cancelled.settled(timeout)
        if settled.outcome is Outcome.CONFIRMED:
            return _report(replace, entry, Outcome.REFUSED, "the old order was cancelled, and nothing was placed")
        return _not_cancelled(replace, entry, settled)

    return structs.replace(report, settle=settle)


def _report(replace: Replace, entry: Entry | None, outcome: Outcome, text: str) -> SubmitReport:
    state = replace.known if entry is None else entry.state
    target: Cancel = replace.target
    return SubmitReport(
        request=replace,
        outcome=outcome,
        status=state.status,
        reason=OrdRejReason.OTHER if outcome is Outcome.REFUSED else None,
        text=text,
        origin=Origin.ROUTER if outcome is Outcome.REFUSED and state.status is OrdStatus.CANCELED else Origin.CLIENT,
        order_id=state.order_id or target.id,
        kind=state.kind,
        client_order_id=state.client_order_id,
        symbol=state.symbol,
        cum_quantity=state.cum_quantity,
    )
