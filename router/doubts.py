"""The cancels of one venue by their addresses, and all its commands that are in doubt.

Rules:

1. A cancel is found by its address from the moment it is sent until it is done; the latest one, if there are several.
2. When that one ends, the one in doubt that it was sent beside is found again: what it may have done is not forgotten.
3. What is in doubt is remembered, whoever has its report. Beyond MOST_DOUBTS the oldest are remembered only for as long as anybody
   else does.
"""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakValueDictionary

from router.model import Cancel
from router.operation import Operation, Phase

__all__ = ["Doubts"]

MOST_DOUBTS = 1000


class Doubts:
    """Iterate it for the commands in doubt, oldest first."""

    def __init__(self) -> None:
        self.held: dict[Operation, None] = {}
        """Those in doubt."""
        self.cancels: dict[Cancel, Operation] = {}
        """Those under way, or in doubt."""
        self._forgotten: WeakValueDictionary[Cancel, Operation] = WeakValueDictionary()
        self._forgets = False

    def __len__(self) -> int:
        return len(self.held)

    def __iter__(self) -> Iterator[Operation]:
        return iter(list(self.held))

    def __contains__(self, operation: Operation) -> bool:
        return operation in self.held

    # -- in doubt

    def add(self, operation: Operation) -> None:
        """It may have been executed."""
        self.held[operation] = None
        while len(self.held) > MOST_DOUBTS:
            oldest = next(iter(self.held))
            del self.held[oldest]
            if isinstance(oldest.command, Cancel) and oldest.phase is not Phase.DONE:
                self.drop(oldest)
                if oldest.command not in self.cancels:
                    self._remember(oldest.command, oldest)

    def resume(self, operation: Operation) -> None:
        """An earlier run left it in doubt: those are all remembered."""
        self.held[operation] = None
        if isinstance(operation.command, Cancel):
            self.cancels[operation.command] = operation

    def discard(self, operation: Operation) -> None:
        """It is not in doubt, or not any more."""
        if self.held:
            self.held.pop(operation, None)

    # -- by address

    def under(self, command: Cancel) -> Operation | None:
        """The cancel of this address that is under way, or in doubt."""
        return self.cancels.get(command) or (self._forgotten.get(command) if self._forgets else None)

    def ids(self) -> set[str]:
        """The ids that somebody has asked to cancel."""
        return {cancel.id for cancel in (*self.cancels, *self._forgotten)}

    def begin(self, operation: Operation, command: Cancel, running: Operation | None) -> None:
        """A cancel is about to be sent under this address; running: the one that is under way there, or in doubt."""
        if operation.command is not command:
            self.drop(operation)
            operation.command = command
        if running is not None and running is not operation and running.phase is not Phase.DONE:
            operation.beside = running.beside
            if running.attempts:  # either may be executed
                running.repeated = operation.repeated = True
                operation.beside, running.beside = running, None  # one that is in doubt is enough to know
        self.cancels[command] = operation

    def drop(self, operation: Operation) -> None:
        """A cancel is not under way any more, or not under this address."""
        command = operation.command
        if not isinstance(command, Cancel):
            return
        running = self.cancels.pop(command, operation)
        if running is not operation:
            self.cancels[command] = running
        elif operation.beside is not None:
            self._restore(command, operation)

    def _restore(self, command: Cancel, operation: Operation) -> None:
        other, operation.beside = operation.beside, None
        if other is not None and other.phase is not Phase.DONE:
            self._remember(command, other)

    def _remember(self, command: Cancel, operation: Operation) -> None:
        if operation in self.held or operation.is_awaited:
            self.cancels[command] = operation
        else:
            self._forgotten[command], self._forgets = operation, True
