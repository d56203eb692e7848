"""cancel_all at one venue: until every class of orders has been read to be empty twice, or the deadline is there.

Rules:

1. The gate comes first: nothing new is placed in scope until it ends, and submits that have not left never will.
2. Sources come first: TWAPs, then stops, then orders, because the earlier ones make the later ones. What they have made
   meanwhile is found by the next read. A source that does not answer is waited for a little, then the others go.
3. The venue's own cancel-all is given at most once, and only where it covers neither more nor less than the scope.
4. Only a fresh read proves anything: two in a row, some time apart, asked for after the last cancel, with nothing open and no
   submit in flight or in doubt. Submits in doubt are settled meanwhile, and are doubts until they are.
5. Where the venue cannot list, or does not answer, what the ledger knows is cancelled; that proves nothing.
6. It ends at its deadline with what is known then, and the gate opens however it ends: when the report is made.
7. Of one strategy's orders alone: nobody else's submits are held up, nor are they doubts of it.
8. A book is gone through in parts (parts.py), and the loop turns between two of them. At each of those turns the deadline may end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from router.desk import Desk
from router.errors import CannotExpress, Garbled, TransportError, VenueError
from router.massreport import VenueCancelReport
from router.model import Cancel, IdKind
from router.operation import Named
from router.parts import Parts, let_go
from router.report import CancelReport, OrderState, Outcome
from router.scribe import Mass
from router.tally import Tally
from router.venue import Reading

__all__ = ["MassCancel"]

CHUNK = 32  # cancels started between two yields
LONGEST_PATIENCE = (
    1.0  # seconds that one class, or a read, has before something else is tried; or an eighth of the time
)
APART = 0.2  # seconds between the two reads that prove it
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
SHORTEST = 0.001  # seconds; a deadline must be more than none
GRACE = 0.05  # seconds after the deadline in which the report may still be made in parts
CLASSES = (IdKind.TWAP, IdKind.STOP_ORDER, IdKind.ORDER)


class MassCancel:
    """One venue's part of a cancel_all. symbol: None for all; own: only what this Router placed; due: monotonic.

    mine: of those, only the orders for which it holds; strategy: whose they are, so that nobody else's submits are gated (None:
    everybody's are). A strategy alone means the orders that it placed. named: what the journal is to call it.
    """

    def __init__(
        self,
        desk: Desk,
        symbol: str | None,
        *,
        own: bool,
        due: float,
        mine: Callable[[OrderState], bool] | None = None,
        strategy: str | None = None,
        named: Named | None = None,
    ) -> None:
        if not own and (mine is not None or strategy is not None):
            raise ValueError("the orders of one strategy are own ones: pass own=True")
        if mine is not None and strategy is None and named is not None:
            strategy = named.strategy
        elif mine is None and strategy is not None:
            mine = partial(desk.is_of, strategy=strategy)
        self._desk, self._symbol, self._own, self._due = desk, symbol, own, due
        self._strategy, self._named = strategy, named
        self._tally = Tally(desk, symbol, own=own, mine=mine, strategy=strategy)
        self._settling: dict[object, asyncio.Task[Any]] = {}
        self._reading: asyncio.Task[Reading] | None = None
        self._patience = min(LONGEST_PATIENCE, max(SHORTEST, (due - _now()) / 8))
        self._acted = 0.0
        self._native_given = False
        self._written: Mass | None = None

    async def run(self) -> VenueCancelReport:
        """Do it, and tell."""
        if self._named is not None:
            self._desk.names.take(self._named.id)
        self._desk.gate(self._symbol, self._strategy)
        self._desk.watchers.append(self._tally.event)
        self._written = self._desk.scribe.begin(
            self._symbol,
            own=self._own,
            targets=self._targets(),
            strategy=self._strategy,
            op="" if self._named is None else self._named.id,
        )
        try:
            await self._work()
            report = await self._tally.report(self._due + GRACE)
        except BaseException:
            self._end(proven=False, text="broken off")
            raise
        finally:
            self._desk.watchers.remove(self._tally.event)
            self._desk.ungate(self._symbol, self._strategy)
        self._end(proven=report.no_open_orders, text=str(report))
        return report

    async def _work(self) -> None:
        try:
            async with asyncio.timeout_at(self._due):
                await (self._until_empty() if self._desk.adapter.spec.lists else self._until_told())
        except TimeoutError:
            pass
        finally:
            for task in [*self._settling.values(), *filter(None, [self._reading])]:
                task.cancel()

    def _end(self, *, proven: bool, text: str) -> None:
        if self._written is not None:
            self._written.ended(proven=proven, text=text)

    def _targets(self) -> Iterator[str]:
        """What is known to be open in scope; looked up when somebody writes it down."""
        for state in self._desk.ledger.live():
            if state.order_id is not None and self._tally.covers(state):
                yield state.order_id

    # -- where the venue can list

    async def _until_empty(self) -> None:
        pause = FIRST_PAUSE
        while not (self._tally.is_proven or self._desk.is_closed):
            orders = await self._read()
            self._settle_doubts()
            if orders is None:
                await self._cancel_all(await self._known(), blindly=True)
            elif orders:
                await self._cancel_all(orders)
                if all(map(self._tally.is_given_up, orders)):
                    return
                await let_go(orders)
            await asyncio.sleep(APART if self._tally.empty_reads else pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _read(self) -> list[OrderState] | None:
        """The open orders in scope, freshly read; None: they could not be, or not yet."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._desk.adapter.read(_now()))
        done, _ = await asyncio.wait([self._reading], timeout=self._patience)
        if not done:
            self._tally.unread("its open orders could not be read in time")
            return None
        task, self._reading = self._reading, None
        try:
            reading = task.result()
        except VenueError as error:
            self._tally.unread(f"its open orders could not be read: {error.text}")
            return None
        self._is_fresh(reading)  # what is being placed now may be placed when it has been taken in
        self._tally.came()
        await self._desk.absorb_in_parts(reading)
        return await self._tally.read(reading, is_fresh=partial(self._is_fresh, reading))

    def _is_fresh(self, reading: Reading) -> bool:
        """Whether it was asked for after the last cancel, and nothing has been on its way since."""
        if self._desk.is_placing(self._symbol, self._strategy):
            self._acted = _now()
        return reading.asked >= self._acted

    def _settle_doubts(self) -> None:
        """Find out about submits whose callers have been told UNKNOWN."""
        for operation in self._desk.placing(self._symbol, self._strategy):
            if not operation.is_awaited and operation not in self._settling:
                work = self._desk.settle(operation, self._rest())
                self._settling[operation] = asyncio.get_running_loop().create_task(work)

    # -- cancelling

    async def _cancel_all(self, orders: Sequence[OrderState], *, blindly: bool = False) -> None:
        """One round, class by class (rule 2)."""
        self._acted = _now()
        sorted_out = await self._by_class(orders)
        for kind in CLASSES:
            wanted = sorted_out[kind]
            native = kind is IdKind.ORDER and (wanted or blindly) and await self._give_native()
            if wanted and not native:
                await self._cancel_each(wanted)

    async def _by_class(self, orders: Sequence[OrderState]) -> dict[IdKind, list[OrderState]]:
        """Those that are wanted."""
        found: dict[IdKind, list[OrderState]] = {kind: [] for kind in CLASSES}
        async for part in Parts(orders):
            for order in part:
                if order.kind in found and self._tally.is_wanted(order):
                    found[order.kind].append(order)
        return found

    async def _give_native(self) -> bool:
        """The venue's own command (rule 3). True: it was received, and the next read tells what it did."""
        covered = self._desk.adapter.spec.mass_cancels
        if self._native_given or self._symbol is not None or self._own or IdKind.ORDER not in covered:
            return False
        self._native_given = True
        self._tally.expect_all()
        if self._written is not None:
            self._written.native(self._targets())
        try:
            answer = await self._desk.adapter.cancel_all(self._patience)
        except TransportError as error:
            self._native_given = error.sent
            return False
        except (CannotExpress, VenueError, Garbled):
            return False
        return answer.outcome is Outcome.CONFIRMED

    async def _cancel_each(self, orders: Sequence[OrderState]) -> None:
        """Start them in chunks, and give them some time."""
        waiting = _Waiting(len(orders), self._tally)
        deadline = max(SHORTEST, min(self._rest(), self._desk.adapter.deadline))
        async for part in Parts(orders, CHUNK):
            for order in part:
                told = self._desk.cancel(_address(order), deadline)
                told.add_done_callback(partial(waiting.heard, str(order.order_id)))
            self._acted = _now()
        await asyncio.wait([waiting.done], timeout=self._patience)

    async def _known(self) -> list[OrderState]:
        """What the ledger has live in scope."""
        found: list[OrderState] = []
        async for part in Parts(self._desk.ledger.live()):
            live = [state for state in part if state.order_id is not None and not self._tally.is_over(state)]
            found += self._tally.saw([state for state in live if self._tally.covers(state)])
        return found

    # -- where it cannot

    async def _until_told(self) -> None:
        """Cancel what is known until each was answered or settled, and nothing is on its way any more."""
        pause = FIRST_PAUSE
        while True:
            untold = [order for order in await self._known() if self._tally.is_untold(order)]
            if untold:
                await self._cancel_all(untold)
            for report in self._tally.in_doubt():
                if report.request not in self._settling:
                    work = asyncio.get_running_loop().create_task(self._settled(report))
                    self._settling[report.request] = work
            under_way = self._desk.is_closed is False and self._may_be_answered()
            unsettled = any(not task.done() for task in self._settling.values())
            if not (untold or under_way or unsettled):
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _may_be_answered(self) -> bool:
        """Whether something on its way may yet turn out to be placed."""
        patience, placing = self._desk.adapter.spec.http_timeout, self._desk.placing(self._symbol, self._strategy)
        recent = any(each.is_awaited or _now() < each.written + patience for each in placing)
        return recent or (not placing and self._desk.is_placing(self._symbol, self._strategy))

    async def _settled(self, report: CancelReport) -> None:
        self._tally.settled(await report.settled(self._rest()))

    def _rest(self) -> float:
        return max(0.0, self._due - _now())


class _Waiting:
    """For the reports of so many cancels."""

    def __init__(self, count: int, tally: Tally) -> None:
        self._left, self._tally = count, tally
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def heard(self, order_id: str, told: asyncio.Future[CancelReport]) -> None:
        self._tally.heard(order_id, told)
        self._left -= 1
        if not self._left:
            self.done.set_result(None)


def _address(order: OrderState) -> Cancel:
    return Cancel(order.venue, str(order.order_id), order.kind, order.symbol or None)


def _now() -> float:
    return asyncio.get_running_loop().time()
