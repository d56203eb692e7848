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
from collections.abc import Iterable, Iterator

from router.operation import Operation
from router.venue import Answer, Key, Snapshot, Wire

__all__ = ["Outstanding", "Pending"]


class Pending:
    """One request on the wire. It is a command's (operation) or the session's own (answer: login, reads).

    wire: what was sent; None for a cancel, whose bytes are not kept, since it can be encoded again. abandoned: nobody waits for
    its answer any more, which may still come. heard: some frame has answered it; one that nothing has answered stays a
    candidate, even if its command is settled.
    """

    __slots__ = ("abandoned", "answer", "asked", "effect", "heard", "keys", "operation", "wire")

    def __init__(
        self,
        wire: Wire,
        asked: float,
        operation: Operation | None = None,
        answer: asyncio.Future[Answer | Snapshot] | None = None,
    ) -> None:
        self.wire: Wire | None = wire
        self.keys, self.effect = wire.keys, wire.effect
        self.asked = asked
        self.operation = operation
        self.answer = answer
        self.abandoned = self.heard = False


Holders = Pending | dict[Pending, None]
"""Who holds a key: nearly always one."""


class Outstanding:
    """The unanswered requests of one connection, oldest first."""

    def __init__(self) -> None:
        self._all: dict[Pending, None] = {}
        self._by_key: dict[Key, Holders] = {}
        self.is_unclear = False
        """An answer that names nothing could have been several requests'."""

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Pending]:
        return iter(self._all)

    def add(self, pending: Pending) -> None:
        self._all[pending] = None
        for key in pending.keys:
            held = self._by_key.setdefault(key, pending)
            if held is not pending:
                self._share(key, held)[pending] = None

    def _share(self, key: Key, held: Holders) -> dict[Pending, None]:
        """A second one holds this key."""
        if isinstance(held, Pending):
            held = self._by_key[key] = {held: None}
        return held

    def discard(self, pending: Pending) -> None:
        """Forget a request; one that is not here is no error."""
        if self._all.pop(pending, pending) is pending:
            return
        for key in pending.keys:
            held = self._by_key.get(key)
            if held is pending:
                del self._by_key[key]
            elif isinstance(held, dict):
                held.pop(pending, None)
                if not held:
                    del self._by_key[key]

    def clear(self) -> list[Pending]:
        """Forget all, and return them."""
        pending = list(self._all)
        self._all.clear()
        self._by_key.clear()
        self.is_unclear = False
        return pending

    def match(self, answer: Answer | Snapshot) -> list[Pending]:
        """The requests that this answer is for; none when it is nobody's or can't be told."""
        for key in answer.keys:
            if key in self._by_key:
                return self._held(key, answer)
        return self._unnamed(answer) if isinstance(answer, Answer) and answer.sole else []

    def _unnamed(self, answer: Answer) -> list[Pending]:
        found = self._sole({verb for verb, _ in answer.keys})
        if not found and len(self._all) > 1:
            self.is_unclear = True
        return found

    def _held(self, first: Key, answer: Answer | Snapshot) -> list[Pending]:
        """first: the first of its keys that anyone holds."""
        if isinstance(answer, Snapshot):
            return [_oldest(self._by_key[first])]
        if answer.sole:
            return self._unnamed(answer)
        if len(answer.keys) == 1:
            return list(_holders(self._by_key[first])) if answer.all else [_oldest(self._by_key[first])]
        held = [key for key in answer.keys if key in self._by_key]
        if answer.rivals and len({verb for verb, _ in held} & answer.rivals) > 1:
            return []
        if not answer.all:
            return [_oldest(self._by_key[first])]
        return list(dict.fromkeys(pending for key in held for pending in _holders(self._by_key[key])))

    def _sole(self, verbs: set[str]) -> list[Pending]:
        found: list[Pending] = []
        for pending in self._all:
            if not verbs or any(verb in verbs for verb, _ in pending.keys):
                found.append(pending)
                if len(found) > 1:
                    return []
        return found


def _oldest(held: Holders) -> Pending:
    return held if isinstance(held, Pending) else next(iter(held))


def _holders(held: Holders) -> Iterable[Pending]:
    return (held,) if isinstance(held, Pending) else held
