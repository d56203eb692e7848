"""What waits to be written: cancels in one line, everything else in another, and the first line always goes first.

Rules:

1. A command goes as soon as the connection and the pace allow it, and nothing of its own line is before it. No submit goes while a
   cancel waits for the same budget.
2. One that nobody wants any more never goes.
3. What the venue did not execute comes back to the head of its line.
4. One timer, for the line that may go next; none while nothing waits for the pace.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from router.model import Cancel
from router.operation import Operation
from router.pacing import Lane, Pacer
from router.venue import Wire

__all__ = ["Outbox", "lane_of"]

GRAIN = 0.001  # seconds; a timer that is early by less must not spin


def lane_of(operation: Operation) -> Lane:
    """The line that a command stands in."""
    return Lane.CANCEL if isinstance(operation.command, Cancel) else Lane.SUBMIT


class Outbox:
    """The lines of one session. obstacle: why the connection takes nothing of a lane now, or ""; write: sends it."""

    def __init__(self, pacer: Pacer, obstacle: Callable[[Lane], str], write: Callable[[Operation, Wire], None]) -> None:
        self._pacer, self._obstacle, self._write = pacer, obstacle, write
        self._cancels: OrderedDict[Operation, Wire] = OrderedDict()
        self._others: OrderedDict[Operation, Wire] = OrderedDict()
        self._lines = {Lane.CANCEL: self._cancels, Lane.SUBMIT: self._others}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __contains__(self, operation: Operation) -> bool:
        return operation in self._lines[lane_of(operation)]

    def put(self, operation: Operation, wire: Wire, *, ahead: bool = False) -> None:
        """Write it now if it may go, else keep it. ahead: at the head of its line."""
        lane = lane_of(operation)
        now = asyncio.get_running_loop().time()
        is_free = not (self._cancels or self._others or self._obstacle(lane))
        if is_free and self._pacer.take(lane, wire.weight, now):
            self._write(operation, wire)
        else:
            self.keep(operation, wire, ahead=ahead)
            self.flush()

    def keep(self, operation: Operation, wire: Wire, *, ahead: bool) -> None:
        """Put it in its line, without looking whether anything may go."""
        lane = lane_of(operation)
        why = self._obstacle(lane) or f"it waited for {self._pacer.describe(lane)}"
        operation.waits_for = operation.waits_for or why
        self._lines[lane][operation] = wire
        if ahead:
            self._lines[lane].move_to_end(operation, last=False)

    def discard(self, operation: Operation) -> None:
        if self._cancels or self._others:
            self._lines[lane_of(operation)].pop(operation, None)

    def fail(self, why: str) -> None:
        """Nothing will ever go: tell whoever waits."""
        for line in self._lines.values():
            for operation in list(line):
                operation.fail(why)
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        for line in self._lines.values():
            line.clear()
        self._disarm()

    def flush(self) -> None:
        """Write what may go now."""
        now = asyncio.get_running_loop().time()
        for lane in self._lines:
            if lane is Lane.SUBMIT and self._lines[Lane.CANCEL] and self._pacer.is_shared(Lane.CANCEL, lane):
                break
            self._flush(lane, now)
        self._arm(now)

    def _flush(self, lane: Lane, now: float) -> None:
        line = self._lines[lane]
        while line and not self._obstacle(lane):
            operation, wire = next(iter(line.items()))
            if operation.is_wanted and self._pacer.wait(lane, wire.weight, now) > 0:
                return
            del line[operation]
            if operation.is_wanted:
                self._go(lane, operation, wire, now)
            else:
                operation.fail(operation.waits_for or "nobody waited for it any more")

    def _go(self, lane: Lane, operation: Operation, wire: Wire, now: float) -> None:
        self._pacer.spend(lane, wire.weight, now)
        self._write(operation, wire)

    def _arm(self, now: float) -> None:
        """Look again when the pace lets the next one go. What waits for the connection is looked at when that changes."""
        rests = [
            self._pacer.wait(lane, next(iter(line.values())).weight, now)
            for lane, line in self._lines.items()
            if line and not self._obstacle(lane)
        ]
        if not rests:
            self._disarm()
            return
        due = now + max(GRAIN, min(rests))
        if self._timer is None or not now < self._timer.when() <= due:
            self._disarm()
            self._timer = asyncio.get_running_loop().call_at(due, self.flush)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
