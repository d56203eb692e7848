"""Commands that somebody else has begun, and that are to be settled here: put in doubt at their desk, sent again or asked about.

An earlier run of this process has sent them (recovery.py), or another Router that is gone (adopting.py). Rules:

1. A cancel by a venue-unique id is sent again. Nothing else ever is: it is asked about, as settled() does.
2. The venue's quiet period begins when it has first answered this Router: until then what was sent may still be on its way.
3. Another Router's submit: the order is that one which nobody here placed, has the client id and the terms, and was not there
   long before it was sent. All that the venue shows at first is looked through for it: two such orders are none. One that does
   not fit is never taken for it later.
4. Another Router's cancel of a set stays UNKNOWN: what it names and is open may be newer, and is left alone; where nothing is, the
   venue may show one of several orders that had the client id, so their end does not tell what the cancel did.
5. Where nothing is left to be learnt or done, later runs don't ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from router.desk import Desk
from router.errors import VenueError
from router.ledger import Entry
from router.model import Cancel, IdKind, Order, OrderType
from router.operation import Operation, Phase
from router.report import CancelReport, OrdStatus, Replace, SessionState, SubmitReport
from router.settling import CLIENT_KINDS
from router.venue import Answer, Execution, Reading

__all__ = ["SKEW", "Resumed"]

PAUSE: Final = 0.5  # seconds between two attempts to read the open orders
SKEW: Final = 60.0  # seconds that another machine's clock may differ
NAMELESS: Final = "it named its order by a client id, and nothing tells which order that was"
CHANGED: Final = "its order has ended or was changed since, and nothing tells what this one did"
AMBIGUOUS: Final = "several orders with its client id and its terms are known, and nothing tells which of them it is"


class Resumed:
    """Some of them, at one venue. take: how what is read is taken in."""

    def __init__(self, desk: Desk, take: Callable[[Reading], None]) -> None:
        self._desk, self._take = desk, take
        self._asked: list[Operation] = []
        self._resting: list[Operation] = []
        self._again: list[Operation] = []
        self._others: dict[Operation, frozenset[str]] = {}
        """Submits of another Router whose order is still to be looked for, and orders that are known not to be it."""

    @property
    def is_asking(self) -> bool:
        """Whether anything is to be asked about before something new may be placed."""
        return bool(self._asked)

    def reports(self) -> list[CancelReport | SubmitReport]:
        """As things stand."""
        return [self._desk.told(operation) for operation in (*self._asked, *self._again, *self._resting)]

    # -- putting them in doubt

    def begun(
        self, command: Order | Cancel | Replace, request: Order | Cancel | Replace, sent_at: datetime
    ) -> Operation:
        """One that may have been executed."""
        operation = Operation(command, request, self._desk)
        operation.attempts, operation.written = 1, asyncio.get_running_loop().time()
        operation.sent_at = sent_at
        return operation

    def submit(
        self, operation: Operation, entry: Entry, *, rests: bool = False, others: frozenset[str] | None = None
    ) -> None:
        """Its order is in the ledger. others: it will be only when the venue's orders have been looked through, these excepted."""
        if others is not None:
            self._others[operation] = others
        self._ask_about(self._desk.resume_submit(operation, entry), rests=rests)

    def replace(self, operation: Operation, entry: Entry, *, rests: bool = False) -> None:
        """Its order is in the ledger, if anything is known of that."""
        assert isinstance(operation.command, Replace)  # noqa: S101 - see the name
        is_nameless = operation.command.target.kind in CLIENT_KINDS  # by which the list could show another one
        if is_nameless or (operation.adopted and (entry.replaces or rests)):
            operation.subject, operation.waits_for = entry, NAMELESS if is_nameless else CHANGED
            self._keep(operation, self._resting)
            self._desk.doubted(operation)
            self._desk.scribe.rests(operation)
        else:
            self._ask_about(self._desk.resume_replace(operation, entry), rests=rests)

    def cancel(self, operation: Operation, *, is_unique: bool, rests: bool = False) -> None:
        """is_unique: it names one order for ever (rule 1)."""
        self._desk.resume_cancel(operation)
        if not is_unique:
            self._ask_about(operation, rests=rests)
        elif rests:
            operation.gone = True
            self._ask_about(operation, rests=True)
        else:
            self._keep(operation, self._again)

    def held(self, operation: Operation, entry: Entry) -> None:
        """A cancel that waits for its order's id, as one that may have gone out: what was not written yet proves nothing."""
        self._desk.resume_held(operation, entry)
        self._keep(operation, self._asked)

    def _ask_about(self, operation: Operation, *, rests: bool) -> None:
        """Its connection is gone with whoever had it."""
        operation.phase, operation.lost = Phase.WRITTEN, operation.written
        if operation.adopted:  # as one that is not repeated any more: not all of it may be known, to encode it again
            operation.attempts = 2
        self._keep(operation, self._resting if rests else self._asked)

    def _keep(self, operation: Operation, among: list[Operation]) -> None:
        among.append(operation)
        self._desk.resumed[operation.id] = operation

    # -- finding out

    async def begin(self) -> Sequence[Execution] | None:
        """Send again what may be, and read the open orders, however long that takes; None where they can't be had."""
        for operation in self._again:
            self._desk.adapter.send(operation)
        rows = await self.read_orders()
        now = asyncio.get_running_loop().time()
        for operation in self._asked:  # rule 2
            operation.written = now
            operation.lost = None if operation.lost is None else now
        if rows is not None or not self._desk.adapter.spec.lists:
            await asyncio.gather(*(self._recognise(each, rows or ()) for each in list(self._others)))
        return rows

    async def read_orders(self) -> Sequence[Execution] | None:
        """The venue's open orders, however long that takes; None where they can't be had."""
        while self._desk.adapter.spec.lists and not self._desk.is_closed:
            if self._desk.adapter.health().state is SessionState.FATAL:
                break
            try:
                reading = await self._desk.adapter.read(asyncio.get_running_loop().time())
            except VenueError:
                await asyncio.sleep(PAUSE)
            else:
                self._take(reading)
                return reading.rows
        return None

    async def _recognise(self, operation: Operation, rows: Iterable[Execution]) -> None:
        """Find the order of another Router's submit among those that nobody here placed (rule 3)."""
        entry, order, others = operation.subject, operation.command, self._others.pop(operation)
        assert isinstance(entry, Entry) and isinstance(order, Order)  # noqa: S101, PT018 - it is a submit
        if operation.phase is Phase.DONE:  # somebody else has settled it meanwhile
            return
        kind = IdKind.CLIENT_TWAP if order.type is OrderType.TWAP else IdKind.CLIENT_ORDER
        found = await self._desk.adapter.lookup(Cancel(self._desk.name, order.client_order_id, kind, order.symbol))
        shown = {row.order_id: row for row in (*rows, *(found or ()))}
        strangers = [each for each in self._desk.ledger.named(order.client_order_id) if not each.state.own]
        likely = [each for each in strangers if others.isdisjoint(each.ids) and _may_be(entry, each, shown)]
        unlike = [each for each in strangers if others.isdisjoint(each.ids) and each not in likely]
        self._desk.scribe.excluded(operation, unlike)
        self._desk.ledger.restore(entry)
        entry.born = 0  # it may be older than what was shown here
        if len(likely) == 1:
            state = likely[0].state
            self._desk.bind(operation, Answer(order_id=state.order_id, kind=state.kind), shown.get(str(state.order_id)))
        elif likely:
            operation.note(AMBIGUOUS)

    async def settle_asked(self) -> None:
        """Find out about what may not be sent again."""
        await asyncio.gather(*map(self._settled, self._asked))

    async def settle_again(self) -> None:
        """Find out about what was sent again."""
        await asyncio.gather(*map(self._settled, self._again))

    async def _settled(self, operation: Operation) -> None:
        await self._desk.settle(operation, None)
        self._let_rest(operation)
        await self._desk.scribe.kept(operation, None)

    def _let_rest(self, operation: Operation) -> None:
        """Where nothing is left to be learnt or done (the venue does not know what was to be cancelled, or the order that was to
        be replaced has ended), later runs don't ask again. It is in doubt all the same, until somebody settles it.
        """
        command, entry = operation.command, operation.subject
        if isinstance(command, Cancel):
            entry = self._desk.ledger.find(command.id)
            over = operation.gone and not (entry is not None and entry.state.status is OrdStatus.PENDING_NEW)
        else:
            over = isinstance(command, Replace) and isinstance(entry, Entry) and not entry.is_live
        if over and operation.phase is not Phase.DONE:
            self._desk.scribe.rests(operation)


def _may_be(entry: Entry, stranger: Entry, shown: Mapping[str, Execution]) -> bool:
    """Whether an order that somebody placed can be the one of this submit. What does not tell, does not exclude it."""
    wanted, state = entry.state, stranger.state
    row = shown.get(str(state.order_id))
    if row is not None and row.at is not None and row.at.timestamp() < entry.since:
        return False
    if None not in {state.price, wanted.price} and state.price != wanted.price:
        return False
    terms = ("symbol", "side", "type", "quantity", "stop_price")
    return all(getattr(state, name) in {None, getattr(wanted, name)} for name in terms)
