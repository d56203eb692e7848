"""What one cancel_all has seen and heard at one venue, and the report that it comes to."""

from __future__ import annotations

import asyncio
from collections import Counter

from router.desk import Desk
from router.ledger import Entry
from router.massreport import Doubt, NotAffected, VenueCancelReport
from router.model import IdKind
from router.report import CancelReport, CxlRejReason, Event, ExecType, OrderState, OrdStatus, Outcome
from router.venue import Reading

__all__ = ["Tally"]

REFUSALS = 3  # of one order, after which it is given up
CANNOT_LIST = "this venue cannot list its open orders, so others may be open"
CUT_SHORT = "it was not seen twice that nothing is open before the deadline"
CHILDREN = "orders that its TWAPs or attached stops have placed may be open; nothing tells whose they are"
ATTACHED = frozenset({"take_profit", "stop_loss"})


class Tally:
    """The orders in scope (symbol; own: placed by this Router) and what became of them."""

    def __init__(self, desk: Desk, symbol: str | None, *, own: bool) -> None:
        self._desk, self._symbol, self._own = desk, symbol, own
        self._spec = desk.adapter.spec
        self._seen: dict[str, OrderState] = {}
        self._open: set[str] = set()
        self._reports: dict[str, CancelReport] = {}
        self._refused: Counter[str] = Counter()
        self._why = CUT_SHORT
        self._all_expected = False
        self._nameless = 0
        self.empty_reads = 0

    @property
    def is_proven(self) -> bool:
        """Whether two fresh reads in a row have shown nothing."""
        return self.empty_reads >= 2

    def covers(self, state: OrderState) -> bool:
        """Whether an order is in scope. One whose symbol is not told may be."""
        entry = self._desk.ledger.find(str(state.order_id))
        ordered = entry.order.symbol if entry is not None and entry.order is not None else None
        return bool({self._symbol} & {None, ordered, state.symbol} or not state.symbol) and (state.own or not self._own)

    # -- what is seen

    def saw(self, orders: list[OrderState]) -> list[OrderState]:
        """These are in scope, and open as far as is known."""
        self._seen.update((str(state.order_id), state) for state in orders)
        return orders

    def read(self, reading: Reading, *, fresh: bool) -> list[OrderState]:
        """A list of open orders. fresh: it was asked for after the last cancel, and nothing was being placed."""
        shown = [state for row in reading.rows if (state := self._desk.shown(row, stale=False)) is not None]
        covered = [state for state in shown if self.covers(state)]
        listed = self.saw([state for state in covered if state.order_id])
        self._nameless = len(covered) - len(listed)
        self._open = {str(state.order_id) for state in listed}
        orders = listed + self.saw(self._unshown(reading))
        self.empty_reads = self.empty_reads + 1 if fresh and not orders and not self._nameless else 0
        self._why = CUT_SHORT
        return orders

    def _unshown(self, reading: Reading) -> list[OrderState]:
        """Orders of ours that are live as far as is known, and not listed: a list may lag, or leave some out. Those are done
        with when the venue has answered a cancel of them.
        """
        names = {row.order_id for row in reading.rows}
        live = [entry for entry in self._desk.ledger.own() if entry.is_live and entry.state.order_id is not None]
        states = [entry.state for entry in live if names.isdisjoint(entry.ids) and self.covers(entry.state)]
        return [state for state in states if self._refused[str(state.order_id)] == 0]

    def unread(self, why: str) -> None:
        """The list could not be had."""
        self.empty_reads, self._why = 0, why

    def expect_all(self) -> None:
        """From now on whatever ends in scope is our doing: the venue was told to cancel it all."""
        self._all_expected = True
        self._desk.expect_ends(self._seen)

    def event(self, event: Event) -> None:
        """An order that no list has shown may be taken by the venue's own command."""
        entry = self._desk.ledger.find(event.order_id or "")
        if entry is None or entry.is_live:
            return
        name, taken = str(entry.state.order_id), event.exec_type is ExecType.CANCELED and self._all_expected
        if name in self._seen or (taken and self.covers(entry.state)):
            self._seen[name] = entry.state

    # -- what is heard

    def heard(self, order_id: str, told: asyncio.Future[CancelReport]) -> None:
        """The report of one cancel has come."""
        if not told.cancelled():
            report = self._reports[order_id] = told.result()
            self._refused[order_id] += report.outcome is Outcome.REFUSED

    def settled(self, report: CancelReport) -> None:
        """A report that was UNKNOWN, as it is now."""
        for order_id, earlier in self._reports.items():
            if earlier.request == report.request:
                self._reports[order_id] = report

    def in_doubt(self) -> list[CancelReport]:
        return [report for report in self._reports.values() if report.outcome is Outcome.UNKNOWN]

    def is_untold(self, order: OrderState) -> bool:
        """Whether no cancel of it was answered in any way."""
        return str(order.order_id) not in self._reports

    def is_wanted(self, order: OrderState) -> bool:
        """Not one that ended since the list was made, nor one that is given up."""
        return not _has_ended(order) and not self.is_given_up(order)

    def is_given_up(self, order: OrderState) -> bool:
        return self._refused[str(order.order_id)] >= REFUSALS

    # -- the report

    def report(self) -> VenueCancelReport:
        """Everything, as it is known now."""
        affected: list[OrderState] = []
        missed: list[NotAffected] = []
        doubts = self._doubts()
        for order_id, seen in self._seen.items():
            entry = self._desk.ledger.find(order_id)
            state = seen if entry is None or order_id in self._open else entry.state
            if state.status is OrdStatus.CANCELED:
                affected.append(state)
            elif self._is_doubtful(order_id, state):
                report = self._reports.get(order_id)
                text = "its cancel was not answered by the deadline" if report is None else report.text
                doubts.append(Doubt(text=text, order=state))
            else:
                missed.append(self._missed(order_id, state))
        proven = self.is_proven and not doubts
        if not (proven or doubts or any(not _has_ended(each.order) for each in missed)):
            doubts.append(Doubt(text=self._why))
        return VenueCancelReport(
            venue=self._desk.name,
            affected=tuple(affected),
            not_affected=tuple(missed),
            doubts=tuple(doubts),
            no_open_orders=proven,
            journaled=self._journaled(),
        )

    def _journaled(self) -> bool | None:
        told = {report.journaled for report in self._reports.values()} - {None}
        return False if self._desk.scribe.fault else all(told) if told else None

    def _doubts(self) -> list[Doubt]:
        found = [
            Doubt(text=f"the submit or replace of {_name(state)} is not settled", order=state)
            for state in map(self._desk.subject, self._desk.placing(self._symbol))
        ]
        if not self._spec.lists:
            found.append(Doubt(text=CANNOT_LIST))
        elif self._spec.unlisted:
            found.append(Doubt(text=f"its list does not show {', '.join(sorted(self._spec.unlisted))}"))
        elif self._why != CUT_SHORT:
            found.append(Doubt(text=self._why))
        if any(self._symbol in {None, symbol} for symbol in self._desk.gaps.values()):
            found.append(Doubt(text="a replace is between its cancel and its new order"))
        if self._nameless:
            found.append(Doubt(text=f"{self._nameless} of the listed orders have no id to cancel them by"))
        if self._own and self._desk.unread:
            found.append(Doubt(text=f"orders of earlier runs are not known: {self._desk.unread}"))
        own = [entry for entry in self._desk.ledger.own() if self._own and self.covers(entry.state)]
        if any(map(_has_children, own)):
            found.append(Doubt(text=CHILDREN))
        return found

    def _is_doubtful(self, order_id: str, state: OrderState) -> bool:
        """Whether nothing tells if it is still open."""
        report = self._reports.get(order_id)
        unknown = report is None or report.outcome is Outcome.UNKNOWN
        return unknown and not self._spec.lists and not _has_ended(state)

    def _missed(self, order_id: str, state: OrderState) -> NotAffected:
        report = self._reports.get(order_id)
        if _has_ended(state):
            text = f"it had ended: {state.status}"
            return NotAffected(order=state, reason=CxlRejReason.TOO_LATE_TO_CANCEL, text=text)
        if self._spec.lists and order_id not in self._open and self._why == CUT_SHORT:
            return NotAffected(order=state, text="gone, cause unknown")
        if report is None:
            return NotAffected(order=state, text="not cancelled by the deadline")
        return NotAffected(order=state, reason=report.reason, text=report.text)


def _has_children(entry: Entry) -> bool:
    """Whether the venue may have placed orders of its own for this one."""
    options = entry.order.options if entry.order is not None else {}
    return entry.state.kind is IdKind.TWAP or not ATTACHED.isdisjoint(options)


def _name(state: OrderState | None) -> str:
    return "an order" if state is None else str(state.client_order_id or state.order_id)


def _has_ended(state: OrderState) -> bool:
    return state.status is not None and state.status.is_terminal
