"""Cancels of orders whose submit is not answered yet: each is held until its order has an id, and then goes out.

Rules:

1. The moment the venue's id of the order is known, the cancel goes out by it, whoever still waits.
2. A submit that was refused, or never sent, ends the cancel: nothing is there to be cancelled.
3. When the submit is in doubt, the cancel goes out by client id, where the venue can and no other live order is known by it;
   else it is held on. "No such order" is then too early to mean anything: it is held on as well.
4. A caller whose deadline comes hears UNKNOWN, "held".
"""

from __future__ import annotations

from collections.abc import Callable

from router import verdicts
from router.ledger import Entry
from router.model import Cancel, IdKind
from router.operation import Operation, Phase, Reply
from router.report import CxlRejReason, Origin, Outcome
from router.venue import Answer

__all__ = ["Sticky"]

WHY = "the order's submit is not answered yet"


class Sticky:
    """The held cancels of one venue. start: sends one, under a new address; able: id kinds that the venue can cancel by."""

    def __init__(self, start: Callable[[Operation, Cancel], None], able: frozenset[IdKind]) -> None:
        self._start, self._able = start, able
        self.held: dict[Entry, Operation] = {}

    def find(self, entry: Entry) -> Operation | None:
        """The cancel that is held for this order."""
        operation = self.held.get(entry)
        if operation is not None and operation.phase is Phase.DONE:
            del self.held[entry]
            return None
        return operation

    def hold(self, operation: Operation, entry: Entry) -> None:
        """Keep a cancel until the order's id is known."""
        operation.hold(WHY)
        self.held[entry] = operation

    def review(self) -> None:
        """Send those whose order has an id now (rule 1)."""
        for entry, operation in list(self.held.items()):
            if operation.phase is Phase.DONE:
                del self.held[entry]
            elif entry.state.order_id is not None and (operation.phase is Phase.HELD or operation.lost is not None):
                del self.held[entry]
                operation.hold("the venue is not connected")
                self._start(operation, entry.state.to_cancel())

    def ended(self, entry: Entry, reply: Reply) -> None:
        """The submit came to nothing (rule 2)."""
        operation = self.held.pop(entry, None)
        if operation is None:
            return
        text = f"the order was not placed: {reply.text}"
        if operation.attempts:
            reason, origin = CxlRejReason.UNKNOWN_ORDER, Origin.ROUTER
            operation.finish(Reply(outcome=Outcome.REFUSED, cancel_reason=reason, origin=origin, text=text))
        else:
            operation.finish(Reply(outcome=Outcome.NOT_SENT, text=text))

    def doubted(self, entry: Entry) -> None:
        """The submit is in doubt (rule 3)."""
        operation = self.held.get(entry)
        command = operation.command if operation is not None else None
        if operation is None or not isinstance(command, Cancel) or command.kind not in self._able:
            return
        if operation.phase is Phase.HELD and not operation.attempts and entry.state.order_id is None:
            self._start(operation, command)

    def answered(self, operation: Operation, answer: Answer) -> bool:
        """Whether this is the early "no such order" of rule 3."""
        if not operation.sticky or answer.outcome is not Outcome.REFUSED or not verdicts.is_not_found(answer):
            return False
        if self.held.get(operation.subject) is not operation:
            return False
        operation.attempts -= 1
        operation.note(f"not known by its client id yet: {answer.text}")
        operation.hold(WHY)
        return True
