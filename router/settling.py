"""How a request ends when no single frame can end it: completing by reading, and settling what is UNKNOWN.

Rules:

1. A receipt is not the deed. After one, the venue's own answer is waited for; then the venue is read.
2. A cancel of a set is complete when a read that was sent after its first answer shows none left. It is not while an order
   of ours with that id is still unanswered, nor is a cancel by client id that has taken nothing. One by client id that was
   lost with its connection is never sent again: the open orders that were known before it was sent are cancelled by the
   venue's own ids, and whatever else has that id is left alone, because it may be newer.
3. An order that a read no longer shows is gone, not cancelled: a look-up or an event tells which. A received cancel of it is
   CONFIRMED without them only when the quiet period is over and every trade since the order was new has been seen.
4. A submit is settled by a late answer, an event, or a read that shows its order. It was not placed (REFUSED, by the ROUTER)
   when after the quiet period neither the open orders nor a look-up by client id know it, twice. A replace was not made when
   after the quiet period the order is listed with its old terms, twice.
5. Whatever a repeat is told, the first attempt may have been executed: "no such order" is then "gone, cause unknown", and no
   other refusal is final, unless it says what became of the order.
6. settle() always comes back; when nothing could tell, it is UNKNOWN still, and says what was looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from router import verdicts
from router.errors import VenueError
from router.ledger import Entry, Ledger
from router.model import Cancel, IdKind, Order, OrderType
from router.operation import Operation, Phase, Reply
from router.redact import Sealed
from router.report import CancelReport, ExecType, OrderState, OrdStatus, Origin, Outcome, Replace
from router.venue import Adapter, Answer, Execution, Reading

__all__ = ["CLIENT_KINDS", "Books", "Settler", "carries"]

GRACE = 0.25  # seconds that the answer after a receipt has before the first read
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
MOST_LOOKUPS = 10_000  # after one reconnection
LOOKS = 2  # reads after the quiet period that must agree


CLIENT_KINDS = frozenset({IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP})


class Books(Protocol):
    """Who keeps the ledger and tells of its changes."""

    def absorb(self, reading: Reading) -> None:
        """Take a list of open orders in."""

    def apply(self, execution: Execution, *, asked: bool) -> None:
        """Take one execution in."""


class Settler:
    """Ends the operations of one venue. cancel: starts a cancel by venue id."""

    def __init__(
        self,
        ledger: Ledger,
        adapter: Adapter,
        books: Books,
        cancel: Callable[[Cancel], asyncio.Future[CancelReport]],
    ) -> None:
        self._ledger = ledger
        self._adapter = adapter
        self._books = books
        self._cancel = cancel
        self._completing: dict[Operation, asyncio.Task[None]] = {}
        self._searching: dict[Operation, asyncio.Task[None]] = {}
        self._looking: set[asyncio.Task[None]] = set()
        self._closed = False
        self._closing: asyncio.Future[None] | None = None

    async def close(self) -> None:
        """Stop all reading."""
        self._closed = True
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)
        tasks = [*self._completing.values(), *self._searching.values(), *self._looking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- answers

    def answered(self, operation: Operation, answer: Answer, raw: Sealed) -> None:
        """The venue said something of this request."""
        command, outcome = operation.command, answer.outcome
        if outcome is Outcome.CONFIRMED and isinstance(command, Cancel) and answer.order_id is not None:
            operation.took(answer.order_id)
        if not answer.final or (outcome is Outcome.REFUSED and operation.taken):
            self._part(operation, answer)
        elif outcome is Outcome.REFUSED and not verdicts.is_too_late(answer) and _was_repeated(operation):
            self._refused_again(operation, answer)
        elif outcome is Outcome.UNKNOWN:
            operation.note(answer.text)
            operation.doubt(verdicts.answered(answer, raw, command))
        else:
            operation.finish(verdicts.answered(answer, raw, command))

    def _refused_again(self, operation: Operation, answer: Answer) -> None:
        """A repeat was refused (rule 5)."""
        operation.gone = operation.gone or verdicts.is_not_found(answer)
        operation.note(f"gone, cause unknown: {answer.text}" if verdicts.is_not_found(answer) else answer.text)
        self.by_ledger(operation)
        operation.doubt(operation.unknown("the last attempt was refused, and an earlier one may have been executed"))

    def _part(self, operation: Operation, answer: Answer) -> None:
        operation.note(answer.text)
        if answer.outcome is Outcome.UNKNOWN:
            return
        operation.acknowledged = True
        if self._adapter.spec.lists and not isinstance(operation.command, Order):
            pause = GRACE if answer.outcome is None else 0.0
            _once(self._completing, operation, lambda: self._complete(operation, pause))

    async def _complete(self, operation: Operation, pause: float) -> None:
        """Read until nothing is left, or nobody waits."""
        since, step = _now(), FIRST_PAUSE
        await _pause(operation, pause)
        while operation.phase is Phase.WRITTEN and operation.is_awaited:
            await self._inspect(operation, since)
            await _pause(operation, step)
            step = min(step * 2, LONGEST_PAUSE)

    def reconnected(self, operation: Operation) -> None:
        """The connection that carried it was lost, and there is another: of sets, what is left is cancelled (rule 2)."""
        command = operation.command
        if operation.phase is Phase.WRITTEN and isinstance(command, Cancel) and command.kind in CLIENT_KINDS:
            _once(self._completing, operation, lambda: self._resume(operation))

    def look_up(self, states: Sequence[OrderState]) -> None:
        """Orders that were open before a reconnection and are not listed after it: ask for each what became of it."""
        if states and not self._closed:
            task = asyncio.get_running_loop().create_task(self._look_up(states[:MOST_LOOKUPS]))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _look_up(self, states: Sequence[OrderState]) -> None:
        for state in states:
            await self._adapter.lookup(state.to_cancel())

    async def _resume(self, operation: Operation) -> None:
        await self._inspect(operation, _now())
        await self._complete(operation, FIRST_PAUSE)

    # -- doubts

    async def settle(self, operation: Operation, timeout: float | None) -> Reply:
        """The final reply, or UNKNOWN when every means is spent or the time-out is over."""
        self.by_ledger(operation)
        if not self._closed:
            with operation.observed() as final:
                until = None if timeout is None else _now() + timeout
                spent = _once(self._searching, operation, lambda: self._search(operation))
                await _first(final, spent, until)
                if operation.lost is None and until is not None and not self._closed:
                    await _first(final, self._until_closed(), until)  # a late answer may still come
        return operation.reply or operation.unknown(self.verdict(operation))

    def _until_closed(self) -> asyncio.Future[None]:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_future()
        return self._closing

    async def _search(self, operation: Operation) -> None:
        """Read until it is settled, or until the quiet period is over and two more reads have not told."""
        self._adapter.repeat(operation)
        looks, step = 0, FIRST_PAUSE
        while operation.phase is not Phase.DONE and looks < LOOKS and not self._is_spent(operation):
            quiet = self._is_quiet(operation)
            told = not self._adapter.is_away
            if self._adapter.spec.lists:
                told = await self._inspect(operation, _now())
            looks += quiet and told and not self._adapter.is_due(operation)
            rest = self._quiet_at(operation) - _now()
            await _pause(operation, min(step, rest) if rest > 0 else step)
            step = min(step * 2, LONGEST_PAUSE)

    def _is_spent(self, operation: Operation) -> bool:
        """Whether nothing is left to ask: it cannot be listed, and its repeat was told that it is gone."""
        return operation.gone and not self._adapter.spec.lists

    def _quiet_at(self, operation: Operation) -> float:
        return max(operation.written, operation.lost or 0.0) + self._adapter.spec.quiet_period

    def _is_quiet(self, operation: Operation) -> bool:
        return _now() >= self._quiet_at(operation)

    # -- reading

    async def _inspect(self, operation: Operation, since: float) -> bool:
        """Read the open orders, and let them tell what they can. False: the venue is away, which tells nothing."""
        quiet = self._is_quiet(operation)
        try:
            reading = await self._adapter.read(since)
        except VenueError as error:
            operation.note(error.text)
            return not self._adapter.is_away
        self._books.absorb(reading)
        if operation.phase is not Phase.WRITTEN:
            return True
        self.by_ledger(operation)
        left = self._adapter.remaining(operation.command, reading.rows)
        if operation.phase is Phase.WRITTEN:
            match operation.command:
                case Order():
                    await self._sought(operation, operation.command, left, quiet=quiet)
                case Cancel():
                    await self._cancelled(operation, operation.command, left, quiet=quiet)
                case Replace():
                    self._replaced(operation, operation.command, left, quiet=quiet)
        return True

    def _replaced(self, operation: Operation, replace: Replace, left: Sequence[Execution], *, quiet: bool) -> None:
        if any(carries(row, replace) for row in left):
            operation.finish(verdicts.done(Outcome.CONFIRMED, "read back with the new terms"))
        elif left and quiet:
            operation.denials += 1
            operation.note(f"still open with its old terms at {verdicts.clock()} UTC")
            if operation.denials >= LOOKS:
                operation.finish(verdicts.not_replaced(operation))

    async def _sought(self, operation: Operation, order: Order, left: Sequence[Execution], *, quiet: bool) -> None:
        """A submit whose order the ledger has not recognised in what was read."""
        if left:  # client ids need not be unique: it may be this order, and it may be another
            operation.note("an order with its client id is open, and nothing tells whether it is this one")
            return
        kind = IdKind.CLIENT_TWAP if order.type is OrderType.TWAP else IdKind.CLIENT_ORDER
        found = await self._adapter.lookup(Cancel(order.venue, order.client_order_id, kind, order.symbol))
        self.by_ledger(operation)
        if not quiet or operation.phase is not Phase.WRITTEN:
            return
        operation.note(f"not among the open orders at {verdicts.clock()} UTC")
        if found == ():
            operation.denials += 1
            operation.note(f"not known to the venue by its client id at {verdicts.clock()} UTC")
        if operation.denials >= LOOKS:
            operation.finish(verdicts.not_placed(operation))

    async def _cancelled(self, operation: Operation, cancel: Cancel, left: Sequence[Execution], *, quiet: bool) -> None:
        if operation.lost is not None and cancel.kind in CLIENT_KINDS:
            await self._narrow(operation, left)
        elif left:
            operation.note(f"still open at {verdicts.clock()} UTC")
        elif cancel.kind in self._adapter.spec.set_kinds:
            self._set_is_empty(operation, cancel)
        else:
            await self._adapter.lookup(cancel)
            self.by_ledger(operation)
            if quiet and operation.phase is Phase.WRITTEN:
                self._gone(operation, cancel)

    async def _narrow(self, operation: Operation, left: Sequence[Execution]) -> None:
        """A set that was lost with its connection (rule 2)."""
        ours = [row for row in left if row.order_id in operation.targets]
        if len(left) > len(ours):
            operation.note("open orders with that id which may be newer than the cancel were left alone")
        await self._cancel_each([row for row in ours if row.order_id not in operation.narrowed], operation)
        listed = {row.order_id for row in left}
        gone = [self._ledger.find(order_id) for order_id in sorted(operation.targets - listed)]
        for state in [entry.state for entry in gone if entry is not None and entry.is_live]:
            await self._adapter.lookup(state.to_cancel())
        self._narrowed(operation)

    async def _cancel_each(self, rows: Sequence[Execution], operation: Operation) -> None:
        operation.narrowed |= {row.order_id for row in rows}
        cancels = [Cancel(operation.request.venue, row.order_id, row.kind, row.symbol) for row in rows]
        for report in await asyncio.gather(*map(self._cancel, cancels)):
            operation.note("" if report.ok else f"{report.request.id}: {report.outcome}: {report.text}")

    def _narrowed(self, operation: Operation) -> None:
        """Whether every order of a lost set is known to have ended, and how."""
        entries = [self._ledger.find(order_id) for order_id in sorted(operation.targets)]
        known = [entry for entry in entries if entry is not None]
        if operation.phase is not Phase.WRITTEN or not entries or len(known) < len(entries):
            return
        if any(entry.is_live for entry in known):
            return
        taken = [entry for entry in known if entry.state.status is OrdStatus.CANCELED]
        for entry in taken:
            operation.took(str(entry.state.order_id))
        if taken:
            text = "the connection was lost; what it named then was cancelled by the venue's own ids"
            operation.finish(verdicts.done(Outcome.CONFIRMED, text, OrdStatus.CANCELED))
        else:
            operation.finish(verdicts.too_late(known[0]))

    def _set_is_empty(self, operation: Operation, cancel: Cancel) -> None:
        """Nothing is left of a set (rule 2)."""
        entries = self._concerned(cancel)
        answered = operation.taken or (operation.acknowledged and cancel.kind is not IdKind.CLIENT_ORDER)
        if not answered or any(entry.state.status is OrdStatus.PENDING_NEW for entry in entries):
            return
        if entries and not operation.taken and all(_ended_otherwise(entry) for entry in entries):
            operation.finish(verdicts.too_late(entries[0]))
            return
        for entry in entries:
            if entry.is_live and not operation.taken:  # a TWAP, whose cancellation has no frame of its own
                self._end(str(entry.state.order_id))
        operation.finish(verdicts.done(Outcome.CONFIRMED, "none was left when read", OrdStatus.CANCELED))

    def _end(self, order_id: str) -> None:
        """The order ended by our cancel, though no frame said so."""
        ended = Execution(
            exec_type=ExecType.CANCELED, order_id=order_id, status=OrdStatus.CANCELED, origin=Origin.CLIENT
        )
        self._books.apply(ended, asked=True)

    def _gone(self, operation: Operation, cancel: Cancel) -> None:
        """A single order that the venue no longer shows, after the quiet period (rule 3)."""
        operation.note(f"not among the open orders at {verdicts.clock()} UTC")
        entry = self._ledger.find(cancel.id)
        if entry is None or not operation.acknowledged or not entry.from_start or entry.state.quantity is None:
            return
        if entry.is_live and entry.counted < entry.state.quantity:
            self._end(cancel.id)
            text = "received, gone when read after the quiet period, and not filled by any trade seen"
            operation.finish(verdicts.done(Outcome.CONFIRMED, text, OrdStatus.CANCELED))

    # -- what the ledger has learnt

    def by_ledger(self, operation: Operation) -> None:
        """What the ledger has learnt since may settle it."""
        command = operation.command
        if operation.phase is not Phase.WRITTEN:
            return
        if isinstance(command, Order):
            self._placed(operation)
        elif isinstance(command, Cancel):
            self._ended(operation, command)

    def _placed(self, operation: Operation) -> None:
        entry = operation.subject
        if isinstance(entry, Entry) and entry.state.status is not OrdStatus.PENDING_NEW:
            refused = entry.state.status is OrdStatus.REJECTED
            outcome = Outcome.REFUSED if refused else Outcome.CONFIRMED
            operation.finish(verdicts.done(outcome, "the venue named the order later", entry.state.status))

    def _ended(self, operation: Operation, command: Cancel) -> None:
        if command.kind in self._adapter.spec.set_kinds:
            return  # a set is complete when a read shows none left, and not before
        entry = self._ledger.find(command.id)
        if entry is None or entry.is_live:
            return
        if entry.state.status is OrdStatus.CANCELED:
            operation.finish(verdicts.done(Outcome.CONFIRMED, "the order is known to be cancelled", OrdStatus.CANCELED))
        else:
            operation.finish(verdicts.too_late(entry))

    def _concerned(self, command: Cancel) -> list[Entry]:
        if command.kind in {IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP}:
            named = self._ledger.named(command.id)
            return [entry for entry in named if command.symbol in {None, entry.state.symbol}]
        entry = self._ledger.find(command.id)
        return [entry] if entry is not None else []

    def verdict(self, operation: Operation) -> str:
        """Why it is UNKNOWN still."""
        if operation.phase is Phase.HELD:
            return operation.waits_for
        if not self._adapter.spec.lists:
            return "no answer came, and this venue cannot be asked for its open orders"
        if any(note.startswith("not among") for note in operation.notes):
            return "gone, cause unknown"
        return "no answer came, and reading could not tell"


def _once(
    running: dict[Operation, asyncio.Task[None]], operation: Operation, work: Callable[[], Coroutine[Any, Any, None]]
) -> asyncio.Task[None]:
    """One task per operation: a second one is not started beside it."""
    task = running.get(operation)
    if task is None or task.done():
        task = running[operation] = asyncio.get_running_loop().create_task(work())
        task.add_done_callback(lambda done: running.pop(operation) if running.get(operation) is done else None)
    return task


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _pause(operation: Operation, seconds: float) -> None:
    """Wait, but not longer than until the operation is done."""
    if seconds > 0:
        with operation.observed() as final:
            await asyncio.wait([final], timeout=seconds)


async def _first(final: asyncio.Future[Reply], spent: asyncio.Future[None], until: float | None) -> None:
    timeout = None if until is None else max(0.0, until - _now())
    waited: list[asyncio.Future[Any]] = [final, spent]
    await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


def _was_repeated(operation: Operation) -> bool:
    return operation.attempts > 1 or operation.repeated


def _ended_otherwise(entry: Entry) -> bool:
    return not entry.is_live and entry.state.status is not OrdStatus.CANCELED


def carries(row: Execution, replace: Replace) -> bool:
    """Whether an open order has the terms that a replace asked for."""
    return all(
        wanted is None or wanted == found
        for wanted, found in (
            (replace.quantity, row.quantity),
            (replace.price, row.price),
            (replace.stop_price, row.stop_price),
        )
    )
