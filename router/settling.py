"""How a request ends when no single frame can end it: completing by reading, and settling what is UNKNOWN.

Rules:

1. A receipt is not the deed. After one, the venue's own answer is waited for; then open orders are read.
2. A cancel of a set is complete when a read sent after its first answer shows none left. A received cancel whose order
   a later read no longer shows is CONFIRMED, unless the ledger knows that it ended otherwise.
3. What nobody answered is settled by a late answer, by an event in the ledger, or by a read that still shows the order.
   A read that does not show it proves nothing before the venue's quiet period is over, and then only that it is gone:
   not whether it was cancelled or filled.
4. settle() always comes back; when nothing could tell, it is UNKNOWN still, and says what was looked at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

from router.errors import VenueError
from router.ledger import Entry, Ledger
from router.model import Cancel, IdKind, Order
from router.operation import Operation, Phase, Reply
from router.redact import Sealed
from router.report import CxlRejReason, ExecType, OrdStatus, Origin, Outcome, Replace
from router.venue import Adapter, Answer, Execution, Reading

__all__ = ["Settler"]

GRACE = 0.25  # seconds that the answer after a receipt has before the first read
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
LOOKS = 2  # reads after the quiet period that must agree


class Settler:
    """Ends the operations of one venue."""

    def __init__(self, ledger: Ledger, adapter: Adapter, absorb: Callable[[Reading], None]) -> None:
        self._ledger = ledger
        self._adapter = adapter
        self._absorb = absorb
        self._running: dict[Operation, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Stop all reading."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- answers

    def answered(self, operation: Operation, answer: Answer, raw: Sealed) -> None:
        """The venue said something of this request."""
        command = operation.command
        if isinstance(command, Cancel) and answer.outcome is Outcome.CONFIRMED and answer.order_id is not None:
            operation.taken[answer.order_id] = None
        if not answer.final or (operation.taken and answer.outcome is Outcome.REFUSED):
            self._part(operation, answer)
            return
        if answer.outcome is Outcome.REFUSED and _not_found(answer) and (operation.attempts > 1 or operation.repeated):
            operation.note(f"gone, cause unknown: {answer.text}")
            operation.doubt(
                operation.unknown("the venue knows no such order, and an earlier attempt may have taken it")
            )
            return
        reply = _reply(answer, raw, command)
        if answer.outcome is Outcome.UNKNOWN:
            operation.note(answer.text)
            operation.doubt(reply)
        else:
            operation.finish(reply)

    def _part(self, operation: Operation, answer: Answer) -> None:
        operation.note(answer.text)
        if answer.outcome is Outcome.UNKNOWN:
            return
        operation.acknowledged = True
        if self._adapter.spec.lists and not isinstance(operation.command, Order):
            pause = GRACE if answer.outcome is None else 0.0
            self._run(operation, self._complete(operation, pause))

    def _run(self, operation: Operation, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """One reader per operation: a second one is not started beside it."""
        running = self._running.get(operation)
        if running is not None:
            work.close()
            return running
        task = asyncio.get_running_loop().create_task(work)
        self._running[operation] = task
        task.add_done_callback(lambda _: self._running.pop(operation, None))
        return task

    async def _complete(self, operation: Operation, pause: float) -> None:
        """Read until nothing is left, or nobody waits."""
        since, step = _now(), FIRST_PAUSE
        await _pause(operation, pause)
        while operation.phase is Phase.WRITTEN and operation.is_awaited:
            await self._look(operation, since)
            await _pause(operation, step)
            step = min(step * 2, LONGEST_PAUSE)

    async def _look(self, operation: Operation, since: float) -> None:
        try:
            reading = await self._adapter.read(since)
        except VenueError as error:
            operation.note(error.text)
            return
        if operation.phase is Phase.WRITTEN:
            self._absorb(reading)
            self._by_reading(operation, reading)

    def _by_reading(self, operation: Operation, reading: Reading) -> None:
        """A read after an answer."""
        left = self._adapter.remaining(operation.command, reading.rows)
        if isinstance(operation.command, Replace):
            if any(_carries(row, operation.command) for row in left):
                operation.finish(_done(Outcome.CONFIRMED, "received, and read back with the new terms"))
        elif not left:
            self._gone(operation)

    def _gone(self, operation: Operation) -> None:
        """A received cancel, and nothing left of what it names."""
        command = operation.command
        entries = self._concerned(command) if isinstance(command, Cancel) else []
        if entries and not operation.taken and all(_ended_otherwise(entry) for entry in entries):
            operation.finish(_too_late(entries[0]))
            return
        for entry in entries:
            if entry.is_live and entry.state.order_id is not None:
                self._end(entry)
        for entry in entries:
            if entry.state.status is OrdStatus.CANCELED and entry.state.order_id is not None:
                operation.taken[entry.state.order_id] = None
        operation.finish(_done(Outcome.CONFIRMED, "received, and no longer open when read", OrdStatus.CANCELED))

    def _end(self, entry: Entry) -> None:
        order_id = str(entry.state.order_id)
        ended = Execution(
            exec_type=ExecType.CANCELED, order_id=order_id, status=OrdStatus.CANCELED, origin=Origin.CLIENT
        )
        self._ledger.apply(ended, time.time(), asked=True)

    # -- doubts

    async def settle(self, operation: Operation, timeout: float | None) -> Reply:
        """The final reply, or UNKNOWN when every means is spent or the time-out is over."""
        self.by_ledger(operation)
        with operation.observed() as final:
            spent = self._run(operation, self._search(operation))
            until = None if timeout is None else _now() + timeout
            await _first(final, spent, until)
            if not final.done() and operation.lost is None and until is not None:
                await _first(final, None, until)
        return operation.reply or operation.unknown(self._verdict(operation))

    async def _search(self, operation: Operation) -> None:
        """Read until it is settled, or until the quiet period is over and two more reads have not told."""
        looks, step = 0, FIRST_PAUSE
        while operation.phase is not Phase.DONE and looks < LOOKS:
            quiet = _now() >= self._quiet_at(operation)
            if self._adapter.spec.lists:
                await self._inspect(operation, quiet=quiet)
            looks += quiet
            await _pause(operation, min(step, max(FIRST_PAUSE, self._quiet_at(operation) - _now())))
            step = min(step * 2, LONGEST_PAUSE)

    def _quiet_at(self, operation: Operation) -> float:
        return max(operation.written, operation.lost or 0.0) + self._adapter.spec.quiet_period

    async def _inspect(self, operation: Operation, *, quiet: bool) -> None:
        try:
            reading = await self._adapter.read(_now())
        except VenueError as error:
            operation.note(error.text)
            return
        self._absorb(reading)
        self.by_ledger(operation)
        left = self._adapter.remaining(operation.command, reading.rows)
        at = datetime.now(UTC).strftime("%H:%M:%S")
        if left:
            self._still_there(operation, left, at)
            return
        if operation.phase is Phase.WRITTEN and isinstance(operation.command, Cancel):
            await self._adapter.lookup(operation.command)
            self.by_ledger(operation)
        if operation.acknowledged and isinstance(operation.command, Cancel) and operation.phase is Phase.WRITTEN:
            self._gone(operation)
        elif quiet:
            operation.note(f"not among the open orders at {at} UTC")

    def _still_there(self, operation: Operation, rows: Sequence[Execution], at: str) -> None:
        command = operation.command
        if isinstance(command, Replace) and any(_carries(row, command) for row in rows):
            operation.finish(_done(Outcome.CONFIRMED, "read back with the new terms"))
        elif isinstance(command, Order):
            self.by_row(operation, rows[0])
        else:
            operation.note(f"still open at {at} UTC")

    def by_row(self, operation: Operation, row: Execution) -> None:
        """A submit whose order a read shows."""
        if isinstance(operation.subject, Entry):
            self._ledger.bind(operation.subject, row.order_id, row.kind)
            self._ledger.apply(row, time.time())
        operation.finish(_done(Outcome.CONFIRMED, "found among the open orders", row.status))

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
            operation.finish(_done(outcome, "the venue named the order later", entry.state.status))

    def _ended(self, operation: Operation, command: Cancel) -> None:
        entries = self._concerned(command)
        is_set = command.kind in self._adapter.spec.set_kinds
        if not entries or any(entry.is_live for entry in entries) or (is_set and not operation.acknowledged):
            return
        cancelled = [entry for entry in entries if entry.state.status is OrdStatus.CANCELED]
        for entry in cancelled:
            operation.taken[str(entry.state.order_id)] = None
        if cancelled:
            operation.finish(_done(Outcome.CONFIRMED, "cancelled, as an event told", OrdStatus.CANCELED))
        else:
            operation.finish(_too_late(entries[0]))

    def _concerned(self, command: Cancel) -> list[Entry]:
        if command.kind in {IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP}:
            named = self._ledger.named(command.id)
            return [entry for entry in named if command.symbol in {None, entry.state.symbol}]
        entry = self._ledger.find(command.id)
        return [entry] if entry is not None else []

    def _verdict(self, operation: Operation) -> str:
        if operation.phase is Phase.HELD:
            return operation.waits_for
        if not self._adapter.spec.lists:
            return "no answer came, and this venue cannot be asked for its open orders"
        if any(note.startswith("not among") for note in operation.notes):
            return "gone, cause unknown"
        return "no answer came, and reading could not tell"


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _pause(operation: Operation, seconds: float) -> None:
    """Wait, but not longer than until the operation is done."""
    if seconds > 0:
        with operation.observed() as final:
            await asyncio.wait([final], timeout=seconds)


async def _first(final: asyncio.Future[Reply], spent: asyncio.Task[None] | None, until: float | None) -> None:
    timeout = None if until is None else max(0.0, until - _now())
    waited: list[asyncio.Future[Any]] = [final] if spent is None else [final, spent]
    await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


def _reply(answer: Answer, raw: Sealed, command: Order | Cancel | Replace) -> Reply:
    refused = answer.outcome is Outcome.REFUSED
    return Reply(
        outcome=answer.outcome or Outcome.UNKNOWN,
        text=answer.text,
        status=answer.status,
        cancel_reason=answer.cancel_reason if refused and isinstance(command, Cancel) else None,
        order_reason=answer.order_reason if refused and not isinstance(command, Cancel) else None,
        order_id=answer.order_id,
        client_order_id=answer.client_order_id,
        kind=answer.kind,
        raw=raw,
        answered_at=datetime.now(UTC),
    )


def _done(outcome: Outcome, text: str, status: OrdStatus | None = None) -> Reply:
    return Reply(outcome=outcome, text=text, status=status, answered_at=datetime.now(UTC))


def _too_late(entry: Entry) -> Reply:
    return Reply(
        outcome=Outcome.REFUSED,
        cancel_reason=CxlRejReason.TOO_LATE_TO_CANCEL,
        status=entry.state.status,
        text=f"the order had ended: {entry.state.status}",
        answered_at=datetime.now(UTC),
    )


def _not_found(answer: Answer) -> bool:
    return answer.cancel_reason is CxlRejReason.UNKNOWN_ORDER


def _ended_otherwise(entry: Entry) -> bool:
    return not entry.is_live and entry.state.status is not OrdStatus.CANCELED


def _carries(row: Execution, replace: Replace) -> bool:
    """Whether an open order has the terms that a replace asked for."""
    return all(
        wanted is None or wanted == found
        for wanted, found in (
            (replace.quantity, row.quantity),
            (replace.price, row.price),
            (replace.stop_price, row.stop_price),
        )
    )
