"""cancel_all at one venue: until every class of orders has been read to be empty twice, or the deadline is there.

Rules:

1. The gate comes first: nothing new is placed in scope until it ends, and submits that have not left never will.
2. Sources come first: TWAPs, then stops, then orders, because the earlier ones make the later ones. What they have made
   meanwhile is found by the next read. A source that does not answer is waited for a little, then the others go.
3. The venue's own cancel-all is given at most once, and only where it covers neither more nor less than the scope.
4. Only a fresh read proves anything: two in a row, some time apart, with nothing open and no submit in flight or in doubt.
   Submits in doubt are settled meanwhile, and are doubts until they are.
5. Where the venue cannot list, what the ledger knows is cancelled, and nothing is proven.
6. It ends at its deadline with what is known then, and the gate opens however it ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial

from router.desk import Desk
from router.errors import CannotExpress, Garbled, TransportError, VenueError
from router.massreport import Doubt, NotAffected, VenueCancelReport
from router.model import Cancel, IdKind
from router.operation import Operation
from router.report import CancelReport, CxlRejReason, OrderState, OrdStatus, Outcome

__all__ = ["MassCancel"]

CHUNK = 32  # cancels started between two yields
PATIENCE = 1.0  # seconds that one class has before the next one's turn
APART = 0.2  # seconds between the two reads that prove it
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
REFUSALS = 3  # of one order, after which it is given up
CLASSES = (IdKind.TWAP, IdKind.STOP_ORDER, IdKind.ORDER)
CANNOT_LIST = "this venue cannot list its open orders, so others may be open"


class MassCancel:
    """One venue's part of a cancel_all. symbol: None for all; own: only what this Router placed; due: monotonic."""

    def __init__(self, desk: Desk, symbol: str | None, *, own: bool, due: float) -> None:
        self._desk, self._symbol, self._own, self._due = desk, symbol, own, due
        self._seen: dict[str, OrderState] = {}
        self._open: set[str] = set()
        self._reports: dict[str, CancelReport] = {}
        self._refused: Counter[str] = Counter()
        self._settling: dict[Operation, asyncio.Future[object]] = {}
        self._why_unread = "its open orders were not read"
        self._native_given = False
        self._empty_reads = 0

    async def run(self) -> VenueCancelReport:
        """Do it, and tell."""
        self._desk.gate(self._symbol)
        try:
            if self._desk.adapter.spec.lists:
                await self._until_empty()
            else:
                await self._cancel_known()
        finally:
            self._desk.ungate(self._symbol)
            for task in self._settling.values():
                task.cancel()
        return self._report()

    def _rest(self) -> float:
        return max(0.0, self._due - asyncio.get_running_loop().time())

    # -- where the venue can list

    async def _until_empty(self) -> None:
        pause = FIRST_PAUSE
        while self._rest() and self._empty_reads < 2:
            orders = await self._read()
            self._settle_doubts()
            if orders is None:
                await self._give_native()
            elif orders:
                await self._cancel_all(orders)
                if all(self._is_given_up(order) for order in orders):
                    return
            if orders == [] and not self._desk.placing(self._symbol):
                self._empty_reads += 1
                pause = APART
            else:
                self._empty_reads = 0
            await asyncio.sleep(min(pause, self._rest()))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _read(self) -> list[OrderState] | None:
        """The open orders in scope, freshly read; None: they could not be read."""
        try:
            async with asyncio.timeout(self._rest()):
                reading = await self._desk.adapter.read(asyncio.get_running_loop().time())
        except TimeoutError:
            self._why_unread = "its open orders could not be read in time"
            return None
        except VenueError as error:
            self._why_unread = f"its open orders could not be read: {error.text}"
            return None
        self._desk.absorb(reading)
        rows = [row for row in reading.rows if row.status is None or not row.status.is_terminal]
        found = [entry.state for row in rows if (entry := self._desk.ledger.find(row.order_id)) is not None]
        orders = [state for state in found if self._covers(state)]
        self._seen.update((str(state.order_id), state) for state in orders)
        self._open = {str(state.order_id) for state in orders}
        return orders

    def _covers(self, state: OrderState) -> bool:
        return self._symbol in {None, state.symbol} and (state.own or not self._own)

    def _settle_doubts(self) -> None:
        """Find out about submits whose callers have been told UNKNOWN."""
        for operation in self._desk.placing(self._symbol):
            if operation not in self._settling and not operation.is_awaited:
                work = self._desk.settle(operation, self._rest())
                self._settling[operation] = asyncio.get_running_loop().create_task(work)

    # -- cancelling

    async def _cancel_all(self, orders: Sequence[OrderState]) -> None:
        """One round, class by class (rule 2)."""
        for kind in CLASSES:
            wanted = [order for order in orders if order.kind is kind and self._is_wanted(order)]
            if wanted and not (kind is IdKind.ORDER and await self._give_native()):
                await self._cancel_each(wanted)

    async def _give_native(self) -> bool:
        """The venue's own command (rule 3). True: it was received, and the next read tells what it did."""
        spec = self._desk.adapter.spec
        if self._native_given or self._symbol is not None or self._own or IdKind.ORDER not in spec.mass_cancels:
            return False
        self._native_given = True
        self._desk.expect_ends(self._open)
        try:
            answer = await self._desk.adapter.cancel_all(min(PATIENCE, self._rest()))
        except CannotExpress:
            return False
        except TransportError as error:
            self._native_given = error.sent
            return False
        except (VenueError, Garbled):
            return False
        return answer.outcome is Outcome.CONFIRMED

    async def _cancel_each(self, orders: Collection[OrderState]) -> None:
        """Start them in chunks, and give them some time."""
        waiting: list[asyncio.Future[CancelReport]] = []
        for number, order in enumerate(orders, 1):
            told = self._desk.cancel(order.to_cancel(), max(self._rest(), FIRST_PAUSE))
            told.add_done_callback(partial(self._heard, str(order.order_id)))
            waiting.append(told)
            if number % CHUNK == 0:
                await asyncio.sleep(0)
        if waiting:
            await asyncio.wait(waiting, timeout=min(PATIENCE, self._rest()))

    def _heard(self, order_id: str, told: asyncio.Future[CancelReport]) -> None:
        if told.cancelled():
            return
        report = self._reports[order_id] = told.result()
        self._refused[order_id] += report.outcome is Outcome.REFUSED

    def _is_wanted(self, order: OrderState) -> bool:
        """Not for an order that ended since the list was made."""
        return not (order.status is not None and order.status.is_terminal) and not self._is_given_up(order)

    def _is_given_up(self, order: OrderState) -> bool:
        return self._refused[str(order.order_id)] >= REFUSALS

    # -- where it cannot

    async def _cancel_known(self) -> None:
        orders = [state for state in self._desk.ledger.live() if state.order_id is not None and self._covers(state)]
        self._seen.update((str(state.order_id), state) for state in orders)
        for kind in CLASSES:
            await self._cancel_each([order for order in orders if order.kind is kind])
        waiting = [self._settled(order_id) for order_id in self._seen]
        if waiting and self._rest():
            await asyncio.gather(*waiting)

    async def _settled(self, order_id: str) -> None:
        """Wait for the report, and try to settle one that is UNKNOWN."""
        cancel = self._seen[order_id].to_cancel()
        if order_id not in self._reports:
            self._reports[order_id] = await self._desk.cancel(cancel, max(self._rest(), FIRST_PAUSE))
        self._reports[order_id] = await self._reports[order_id].settled(self._rest())

    # -- the report

    def _report(self) -> VenueCancelReport:
        affected: list[OrderState] = []
        missed: list[NotAffected] = []
        doubts = self._doubts()
        for order_id, seen in self._seen.items():
            entry = self._desk.ledger.find(order_id)
            state = seen if entry is None else entry.state
            if state.status is OrdStatus.CANCELED:
                affected.append(state)
            elif self._is_doubtful(order_id, state):
                doubts.append(Doubt(text=self._reports[order_id].text, order=state))
            else:
                missed.append(self._missed(order_id, state))
        proven = self._empty_reads >= 2 and not doubts and not self._desk.adapter.spec.unlisted
        return VenueCancelReport(
            venue=self._desk.name,
            affected=tuple(affected),
            not_affected=tuple(missed),
            doubts=tuple(doubts),
            no_open_orders=proven,
        )

    def _is_doubtful(self, order_id: str, state: OrderState) -> bool:
        """Whether nothing tells if it is still open."""
        report = self._reports.get(order_id)
        unknown = report is not None and report.outcome is Outcome.UNKNOWN
        return unknown and not self._desk.adapter.spec.lists and not (state.status and state.status.is_terminal)

    def _missed(self, order_id: str, state: OrderState) -> NotAffected:
        report = self._reports.get(order_id)
        if state.status is not None and state.status.is_terminal:
            text = f"it had ended: {state.status}"
            return NotAffected(order=state, reason=CxlRejReason.TOO_LATE_TO_CANCEL, text=text)
        if order_id not in self._open and self._desk.adapter.spec.lists:
            return NotAffected(order=state, text="gone, cause unknown")
        if report is None:
            return NotAffected(order=state, text="not cancelled by the deadline")
        return NotAffected(order=state, reason=report.reason, text=report.text)

    def _doubts(self) -> list[Doubt]:
        spec = self._desk.adapter.spec
        found = [
            Doubt(text=f"{_placed(operation)} is not settled", order=self._desk.subject(operation))
            for operation in self._desk.placing(self._symbol)
        ]
        if not spec.lists:
            found.append(Doubt(text=CANNOT_LIST))
        elif spec.unlisted:
            found.append(Doubt(text=f"its list does not show {', '.join(sorted(spec.unlisted))}"))
        elif self._empty_reads < 2 and not self._open:
            found.append(Doubt(text=self._why_unread))
        twaps = [state for state in self._seen.values() if state.kind is IdKind.TWAP]
        if self._own and twaps:
            found.append(Doubt(text="orders that its TWAPs have placed may be open; nothing tells whose they are"))
        return found


def _placed(operation: Operation) -> str:
    if isinstance(operation.command, Cancel):  # pragma: no cover - cancels place nothing
        return "a cancel"
    what = getattr(operation.request, "client_order_id", None) or operation.request.venue
    return f"the submit of {what}"
