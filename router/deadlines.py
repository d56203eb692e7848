"""The deadlines of a session's operations, all on one timer.

Rules:

1. Nearly always one deadline is later than the one before it, so the oldest operations are the next that are due, and a look ends
   at the first that is not. Once a deadline was earlier, every look is at all of them, until none is left.
2. The timer looks again, once, when it was itself late: the time that our own loop stood still is not the venue's silence, and
   answers may be waiting in the socket. Two looks are at least GRAIN apart, so that many deadlines don't make many looks.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator

from router.operation import Operation

__all__ = ["Deadlines"]

GRAIN = 0.005
STALL = 0.05


class Deadlines:
    """Tells each caller of each operation when its time has come. told: called after a look that was one's time."""

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        self._told = told
        self._operations: dict[Operation, None] = {}
        self._latest = -math.inf
        self._in_order = True
        self._timer: asyncio.TimerHandle | None = None
        self._looked_late = False

    def __iter__(self) -> Iterator[Operation]:
        return iter(list(self._operations))

    def __len__(self) -> int:
        return len(self._operations)

    @property
    def waiting(self) -> int:
        """How many operations a caller still waits for."""
        return sum(operation.is_awaited for operation in self._operations)

    def watch(self, operation: Operation) -> None:
        """Look after this operation; also when a further caller has joined it."""
        if not self._operations:
            self._latest, self._in_order = -math.inf, True
        elif operation in self._operations:  # when its first caller has been told, its place is not its deadline's
            self._in_order = False
        self._operations[operation] = None
        deadline = operation.deadline
        if deadline is None:
            return
        if deadline < self._latest:
            self._in_order = False
        else:
            self._latest = deadline
        self._arm(deadline)

    def discard(self, operation: Operation) -> None:
        self._operations.pop(operation, None)

    def close(self) -> None:
        self._operations.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._look, deadline)

    def _look(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        if now - due > STALL and not self._looked_late:
            self._looked_late = True
            self._arm(now + GRAIN)
            return
        self._looked_late = False
        for operation in self._due(now):
            operation.expire(now)
            if not operation.is_awaited:
                self._operations.pop(operation, None)
        self._told()
        nearest = self._nearest()
        if nearest is not None:
            self._arm(max(nearest, now + GRAIN))

    def _due(self, now: float) -> list[Operation]:
        """Those whose time may have come."""
        found: list[Operation] = []
        for operation in self._operations:
            deadline = operation.deadline
            if self._in_order and deadline is not None and deadline > now:
                break
            found.append(operation)
        return found

    def _nearest(self) -> float | None:
        deadlines = (each for operation in self._operations if (each := operation.deadline) is not None)
        return next(deadlines, None) if self._in_order else min(deadlines, default=None)
