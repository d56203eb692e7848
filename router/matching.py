"""Which request an answer belongs to. Pure bookkeeping of one connection; it dies with the connection.

Rules:

1. A key is (verb, name). An answer goes to the oldest request that holds the first of its keys that anyone holds.
2. `all`: to every request that holds any of its keys, each once.
3. `rivals`: when requests of two of these verbs hold its keys, it could be either's, and goes to none.
4. `sole`: a frame that names no request counts only when exactly one request could be meant. Requests whose callers
   were told UNKNOWN still count: their answer may yet come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from attrs import define

from router.operation import Operation
from router.venue import Answer, Key, Snapshot, Wire

__all__ = ["Outstanding", "Pending"]


@define(eq=False)
class Pending:
    """One request on the wire. It is a command's (operation) or the session's own (answer: login, reads)."""

    wire: Wire
    asked: float
    operation: Operation | None = None
    answer: asyncio.Future[Answer | Snapshot] | None = None
    abandoned: bool = False
    """Nobody waits for its answer any more, which may still come."""
    heard: bool = False
    """Some frame has answered it. One that nothing has answered stays a candidate, even if its command is settled."""


class Outstanding:
    """The unanswered requests of one connection, oldest first."""

    def __init__(self) -> None:
        self._all: dict[Pending, None] = {}
        self._by_key: dict[Key, dict[Pending, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._all)

    def add(self, pending: Pending) -> None:
        self._all[pending] = None
        for key in pending.wire.keys:
            self._by_key.setdefault(key, {})[pending] = None

    def discard(self, pending: Pending) -> None:
        """Forget a request; one that is not here is no error."""
        if self._all.pop(pending, pending) is pending:
            return
        for key in pending.wire.keys:
            holders = self._by_key.get(key)
            if holders is not None:
                holders.pop(pending, None)
                if not holders:
                    del self._by_key[key]

    def clear(self) -> list[Pending]:
        """Forget all, and return them."""
        pending = list(self._all)
        self._all.clear()
        self._by_key.clear()
        return pending

    def match(self, answer: Answer) -> list[Pending]:
        """The requests that this answer is for; [] when it is nobody's or can't be told."""
        if answer.sole:
            return self._sole({verb for verb, _ in answer.keys})
        held = [key for key in answer.keys if key in self._by_key]
        if not held or len({verb for verb, _ in held} & answer.rivals) > 1:
            return []
        if answer.all:
            return list(dict.fromkeys(pending for key in held for pending in self._by_key[key]))
        return [next(iter(self._by_key[held[0]]))]

    def _sole(self, verbs: set[str]) -> list[Pending]:
        found: list[Pending] = []
        for pending in self._all:
            if not verbs or any(verb in verbs for verb, _ in pending.wire.keys):
                found.append(pending)
                if len(found) > 1:
                    return []
        return found
