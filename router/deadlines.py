"""The deadlines of a session's operations, all on one timer.

The timer looks again, once, when it was itself late: the time that our own loop stood still is not the venue's silence, and
answers may be waiting in the socket. Two looks are at least GRAIN apart, so that many deadlines don't make many looks.
"""

from __future__ import annotations

import asyncio
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
        self._timer: asyncio.TimerHandle | None = None
        self._looked_late = False

    def __iter__(self) -> Iterator[Operation]:
        return iter(list(self._operations))

    @property
    def waiting(self) -> int:
        """How many operations a caller still waits for."""
        return sum(operation.is_awaited for operation in self._operations)

    def watch(self, operation: Operation) -> None:
        """Look after this operation; also when a further caller has joined it."""
        self._operations[operation] = None
        deadline = operation.deadline
        if deadline is not None:
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
        for operation in list(self._operations):
            operation.expire(now)
            if not operation.is_awaited:
                self._operations.pop(operation, None)
        self._told()
        nearest = min(
            (each for operation in self._operations if (each := operation.deadline) is not None), default=None
        )
        if nearest is not None:
            self._arm(max(nearest, now + GRAIN))
