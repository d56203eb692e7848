"""What one cancel_all has seen and heard at one venue, and the report that it comes to.

Rules:

1. Whatever takes long is done in parts, and the loop turns between two of them. Each part says what is true when its turn comes.
2. What is shown as open stays in the report unless something newer ends it; an order that ends while its list is being taken
   in does not come back, but the list has shown something.
3. Whether anything is proven is said last, in one go, and of what is known then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from router.desk import Desk
from router.ledger import Entry
from router.massreport import Doubt, NotAffected, VenueCancelReport
from router.model import Cancel, IdKind
from router.parts import PART, Parts
from router.report import CancelReport, CxlRejReason, Event, ExecType, OrderState, OrdStatus, Outcome
from router.venue import Execution, Reading

__all__ = ["Tally"]

REFUSALS = 3  # of one order, after which it is given up
CANNOT_LIST = "this venue cannot list its open orders, so others may be open"
CUT_SHORT = "it was not seen twice that nothing is open before the deadline"
CHILDREN = "orders that its TWAPs or attached stops have placed may be open; nothing tells whose they are"
ATTACHED = frozenset({"take_profit", "stop_loss"})


class Heard(NamedTuple):
    """What a cancel came to: of thousands of reports most say the same, and only that is kept."""

    outcome: Outcome
    reason: CxlRejReason | None
    text: str
    journaled: bool | None


class Tally:
    """The orders in scope (symbol; own: placed by this Router; mine: what else is to be taken for own) and what became of them."""

    def __init__(
        self,
        desk: Desk,
        symbol: str | None,
        *,
        own: bool,
        mine: Callable[[OrderState], bool] | None = None,
        strategy: str | None = None,
    ) -> None:
        self._desk, self._symbol, self._own = desk, symbol, own
        self._mine, self._strategy = mine, strategy
        self._spec = desk.adapter.spec
        self._seen: dict[str, OrderState] = {}
        self._open: set[str] = set()
        self._ended: set[str] = set()
        """Orders whose end was heard of after the last list had come."""
        self._moved: set[str] = set()
        """Orders of which something was heard since the report was begun."""
        self._heard: dict[str, Heard] = {}
        self._words: dict[Heard, Heard] = {}
        self._unknown: dict[str, CancelReport] = {}
        self._asked: dict[Cancel, set[str]] = {}
        """The orders by what was asked for, where that was UNKNOWN at some time."""
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
        is_mine = self._mine(state) if self._mine is not None else state.own or not self._own
        if not is_mine:
            return False
        return bool({self._symbol} & {None, ordered, state.symbol} or not state.symbol)

    # -- what is seen

    def saw(self, orders: list[OrderState]) -> list[OrderState]:
        """These are in scope, and open as far as is known."""
        self._seen.update((str(state.order_id), state) for state in orders)
        return orders

    def came(self) -> None:
        """A list of open orders has come; it is about to be taken into the ledger, and then read()."""
        self._ended.clear()

    async def read(self, reading: Reading, *, is_fresh: Callable[[], bool]) -> list[OrderState]:
        """The orders to be cancelled. is_fresh: whether the list was asked for after the last cancel, and nothing was being
        placed; it is asked last.
        """
        orders: list[OrderState] = []
        shown = nameless = 0
        names: set[str] = set()
        async for part in Parts(reading.rows):
            covered = [state for state in map(self._shown, part) if state is not None and self.covers(state)]
            listed = self.saw([state for state in covered if state.order_id])
            shown, nameless = shown + len(listed), nameless + len(covered) - len(listed)
            still = {str(state.order_id): state for state in listed if not _has_ended(state)}
            self._open.update(still)
            names.update(still)
            orders += still.values()
        orders += await self._unshown(reading)
        self._open, self._nameless = names, nameless
        is_empty = not (shown or orders or nameless)
        self.empty_reads = self.empty_reads + 1 if is_empty and is_fresh() else 0
        self._why = CUT_SHORT
        return orders

    def _shown(self, row: Execution) -> OrderState | None:
        """An order that the list shows as open; as it is now, if it has ended since the list came."""
        state = self._desk.shown(row, stale=False)
        entry = None if state is None or not self.is_over(state) else self._desk.ledger.find(row.order_id)
        return state if entry is None else entry.state

    async def _unshown(self, reading: Reading) -> list[OrderState]:
        """Orders of ours that are live as far as is known, and not listed: a list may lag, or leave some out. Those are done
        with when the venue has answered a cancel of them.
        """
        names = {row.order_id for row in reading.rows}
        found: list[OrderState] = []
        async for part in Parts(self._desk.ledger.own()):
            live = [entry for entry in part if entry.is_live and entry.state.order_id is not None]
            states = [entry.state for entry in live if names.isdisjoint(entry.ids) and self.covers(entry.state)]
            found += self.saw([state for state in states if not self._refused[str(state.order_id)]])
        return found

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
        if entry is None:
            return
        name, taken = str(entry.state.order_id), event.exec_type is ExecType.CANCELED and self._all_expected
        self._moved.add(name)
        if entry.is_live:
            return
        self._ended.add(name)
        if name in self._seen or (taken and self.covers(entry.state)):
            self._seen[name] = entry.state

    # -- what is heard

    def heard(self, order_id: str, told: asyncio.Future[CancelReport]) -> None:
        """The report of one cancel has come."""
        if not told.cancelled():
            report = told.result()
            self._note(order_id, report)
            if report.outcome is Outcome.REFUSED:
                self._refused[order_id] += 1

    def _note(self, order_id: str, report: CancelReport) -> None:
        said = Heard(report.outcome, report.reason, report.text, report.journaled)
        self._heard[order_id] = self._words.setdefault(said, said)
        self._moved.add(order_id)
        if report.outcome is Outcome.UNKNOWN:
            self._unknown[order_id] = report
            self._asked.setdefault(report.request, set()).add(order_id)
        elif self._unknown:
            self._unknown.pop(order_id, None)

    def settled(self, report: CancelReport) -> None:
        """A report that was UNKNOWN, as it is now."""
        for order_id in self._asked.get(report.request, ()):
            earlier = self._unknown.get(order_id)
            if earlier is not None and earlier.request == report.request:
                self._note(order_id, report)

    def in_doubt(self) -> list[CancelReport]:
        return list(self._unknown.values())

    def is_untold(self, order: OrderState) -> bool:
        """Whether no cancel of it was answered in any way."""
        return str(order.order_id) not in self._heard

    def is_wanted(self, order: OrderState) -> bool:
        """Not one that ended since the list was made, nor one that is given up."""
        return not (_has_ended(order) or self.is_over(order) or self.is_given_up(order))

    def is_over(self, order: OrderState) -> bool:
        """Whether its end was heard of after the last list had come."""
        return str(order.order_id) in self._ended

    def is_given_up(self, order: OrderState) -> bool:
        return self._refused[str(order.order_id)] >= REFUSALS

    # -- the report

    async def report(self, due: float) -> VenueCancelReport:
        """Everything, as it is known when it is there. due: monotonic; from then on it is not made in parts any more."""
        self._moved.clear()
        judged: dict[str, OrderState | NotAffected | Doubt] = {}
        loop, names = asyncio.get_running_loop(), list(self._seen)
        for begin in range(0, len(names), PART):
            if begin and loop.time() < due:
                await asyncio.sleep(0)
            judged.update((name, self._judge(name)) for name in names[begin : begin + PART])
        judged.update((name, self._judge(name)) for name in self._moved.intersection(self._seen))
        return self._summary(judged.values())

    def _judge(self, order_id: str) -> OrderState | NotAffected | Doubt:
        """What is to be said of one order: the order itself where it was taken."""
        entry, seen = self._desk.ledger.find(order_id), self._seen[order_id]
        state = seen if entry is None or order_id in self._open else entry.state
        if state.status is OrdStatus.CANCELED:
            return state
        if self._is_doubtful(order_id, state):
            heard = self._heard.get(order_id)
            text = "its cancel was not answered by the deadline" if heard is None else heard.text
            return Doubt(text=text, order=state)
        return self._missed(order_id, state)

    def _summary(self, judged: Collection[OrderState | NotAffected | Doubt]) -> VenueCancelReport:
        affected = [each for each in judged if isinstance(each, OrderState)]
        missed = [each for each in judged if isinstance(each, NotAffected)]
        doubts = self._doubts() + [each for each in judged if isinstance(each, Doubt)]
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
        told = {heard.journaled for heard in self._heard.values()} - {None}
        return False if self._desk.scribe.fault else all(told) if told else None

    def _doubts(self) -> list[Doubt]:
        found = [
            Doubt(text=f"the submit or replace of {_name(state)} is not settled", order=state)
            for state in map(self._desk.subject, self._desk.placing(self._symbol, self._strategy))
        ]
        if not self._spec.lists:
            found.append(Doubt(text=CANNOT_LIST))
        elif self._spec.unlisted:
            found.append(Doubt(text=f"its list does not show {', '.join(sorted(self._spec.unlisted))}"))
        elif self._why != CUT_SHORT:
            found.append(Doubt(text=self._why))
        if self._desk.is_between(self._symbol, self._strategy):
            found.append(Doubt(text="a replace is between its cancel and its new order"))
        if self._nameless:
            found.append(Doubt(text=f"{self._nameless} of the listed orders have no id to cancel them by"))
        if self._own and self._desk.unread:
            found.append(Doubt(text=f"orders of earlier runs are not known: {self._desk.unread}"))
        own = self._desk.ledger.own() if self._own else ()
        if any(_has_children(entry) and self.covers(entry.state) for entry in own):
            found.append(Doubt(text=CHILDREN))
        return found

    def _is_doubtful(self, order_id: str, state: OrderState) -> bool:
        """Whether nothing tells if it is still open."""
        heard = self._heard.get(order_id)
        unknown = heard is None or heard.outcome is Outcome.UNKNOWN
        return unknown and not self._spec.lists and not _has_ended(state)

    def _missed(self, order_id: str, state: OrderState) -> NotAffected:
        heard = self._heard.get(order_id)
        if _has_ended(state):
            text = f"it had ended: {state.status}"
            return NotAffected(order=state, reason=CxlRejReason.TOO_LATE_TO_CANCEL, text=text)
        if self._spec.lists and order_id not in self._open and self._why == CUT_SHORT:
            return NotAffected(order=state, text="gone, cause unknown")
        if heard is None:
            return NotAffected(order=state, text="not cancelled by the deadline")
        return NotAffected(order=state, reason=heard.reason, text=heard.text)


def _has_children(entry: Entry) -> bool:
    """Whether the venue may have placed orders of its own for this one."""
    options = entry.order.options if entry.order is not None else {}
    return entry.state.kind is IdKind.TWAP or not ATTACHED.isdisjoint(options)


def _name(state: OrderState | None) -> str:
    return "an order" if state is None else str(state.client_order_id or state.order_id)


def _has_ended(state: OrderState) -> bool:
    return state.status is not None and state.status.is_terminal
