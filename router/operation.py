"""One command on its way: who waits for it and until when, and what is known of it so far.

Rules:

1. HELD until the first byte may have left: a caller whose deadline comes then hears NOT_SENT, and an operation that
   nobody waits for any more is never written. A sticky one is: its callers hear UNKNOWN, "held".
2. From WRITTEN on, silence is UNKNOWN: said at each caller's own deadline, never earlier.
3. The first final reply ends it (DONE) and is told to all: to those who wait, and to those who were told UNKNOWN and
   await the settlement. Later replies change nothing.
4. A caller who goes away (a cancelled task) takes nothing with it: each caller has a future of its own.
5. Where a journal is kept, a reply is owed until the owner lets it be told, but not beyond the caller's deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Protocol

from attrs import define
from msgspec import Struct

from router.model import Cancel, IdKind, Order
from router.redact import Sealed
from router.report import CxlRejReason, OrdRejReason, OrdStatus, Origin, Outcome, Replace

__all__ = ["Named", "Operation", "Owner", "Phase", "Reply"]


class Phase(StrEnum):
    """Where an operation stands."""

    HELD = "held"
    WRITTEN = "written"
    DONE = "done"


class Named(Struct, frozen=True, gc=False):
    """What a caller in another process calls its command, and which strategy it is. id: of an operation, never used again."""

    id: str
    strategy: str = ""


class Reply(Struct, frozen=True, kw_only=True, gc=False):
    """What became of a request, before it is dressed as a report."""

    outcome: Outcome
    text: str = ""
    status: OrdStatus | None = None
    cancel_reason: CxlRejReason | None = None
    order_reason: OrdRejReason | None = None
    origin: Origin = Origin.CLIENT
    order_id: str | None = None
    client_order_id: str | None = None
    kind: IdKind = IdKind.ORDER
    raw: Sealed | None = None
    answered_at: datetime | None = None


class Owner(Protocol):
    """Who made the operation."""

    def dress(self, operation: Operation, reply: Reply) -> Any:
        """The reply as a report for the callers."""

    def wrote(self, operation: Operation) -> None:
        """An attempt of what is in a journal is being written."""

    def doubted(self, operation: Operation) -> None:
        """It may have been executed, and nothing more will be heard of it by itself; perhaps nobody waits for it any more."""

    def closed(self, operation: Operation, reply: Reply) -> None:
        """The operation has its final reply, which no caller has heard of yet."""

    def may_tell(self, operation: Operation) -> bool:
        """Whether callers may be told now of what is in a journal. If not, the owner calls pay() when they may, and expire() at their deadlines."""


NOTHING: Final[Mapping[str, None]] = MappingProxyType({})


@define(eq=False, weakref_slot=False)
class _Caller:
    deadline: float
    future: asyncio.Future[Any]


@define(eq=False)
class Operation:
    """One command. command: as it goes to the codec; request: as the caller said it."""

    command: Order | Cancel | Replace
    request: Order | Cancel | Replace
    owner: Owner
    subject: Any = None
    """What the owner files it under."""
    phase: Phase = Phase.HELD
    waits_for: str = ""
    """Why nothing has been written yet: the text of a NOT_SENT."""
    attempts: int = 0
    """Writes that may have been executed."""
    beside: Operation | None = None
    """The cancel of the same address that was under way, or in doubt, when this one was sent."""
    repeated: bool = False
    """Another cancel of the same address was in doubt at the same time: either may have been executed."""
    declines: int = 0
    """Attempts of which the venue has said that they were not executed."""
    declined_as: bool = False
    """The form of the first such answer: whether it named an order."""
    wants_token: bool = False
    """The last attempt was declined for its token."""
    carrier: Any = None
    """What the adapter keeps of it while it is on the wire."""
    follow: Any = None
    """The request that an answer asked for, to complete this one."""
    encoded: float = 0.0
    """The wall time at which it was encoded: at that time it gives the same bytes again."""
    written: float = 0.0
    """Monotonic time of the last write."""
    sent_at: datetime | None = None
    acknowledged: bool = False
    """The venue has said that it received the request."""
    taken: Mapping[str, None] = NOTHING
    """The ids of the orders that it took so far, in order."""
    denials: int = 0
    """How often the venue has said, after its quiet period, that it does not know the order."""
    notes: tuple[str, ...] = ()
    """What was learnt without settling it."""
    sticky: bool = False
    """It is to go out whenever it can, even after its callers have been told."""
    targets: frozenset[str] = frozenset()
    """Of a cancel of a set: the orders that were known before it was first written."""
    narrowed: frozenset[str] = frozenset()
    """Those of them that have been cancelled by the venue's own ids since, because the connection was lost."""
    gone: bool = False
    """A repeat was told that there is no such order."""
    lost: float | None = None
    """Monotonic time at which the connection that carried it went away."""
    reply: Reply | None = None
    release: Callable[[Operation], None] | None = None
    """Called once when it is done, for the adapter to let go of it."""
    id: str = ""
    """Its name in the journal; "" where it is in none."""
    named: Named | None = None
    """What its caller calls it, where that is to be its name in the journal."""
    also: tuple[Named, ...] = ()
    """What those call it who joined it and have names of their own."""
    adopted: bool = False
    """Another Router may have sent it: how much a repeat would do is not known before it has been encoded here."""
    effect: str = ""
    """What the journal says that a repeat would do."""
    page: int = 0
    """The journal's entry that must survive before its callers are told; 0 where there is none."""
    doubted: bool = False
    """The journal says that it is UNKNOWN."""
    _owed: Reply | None = None
    """What callers wait for that are not to be told yet (rule 5)."""
    _callers: tuple[_Caller, ...] = ()
    _observers: tuple[asyncio.Future[Reply], ...] = ()

    # -- callers

    def join(self, deadline: float) -> asyncio.Future[Any]:
        """A future of the report, which comes at `deadline` (monotonic) at the latest."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.reply is not None and self._owed is None:
            future.set_result(self.owner.dress(self, self.reply))
        else:
            self._callers += (_Caller(deadline, future),)
        return future

    @property
    def is_awaited(self) -> bool:
        """Whether any caller still waits."""
        if len(self._callers) == 1:
            return not self._callers[0].future.done()
        return any(not caller.future.done() for caller in self._callers)

    @property
    def is_sought(self) -> bool:
        """Whether anybody would hear of it: a caller who waits, or one who settles it."""
        return self.is_awaited or bool(self._observers)

    @property
    def is_wanted(self) -> bool:
        """Whether it may still be written: somebody waits, it is sticky, or it is the repeat of what was written."""
        return self.phase is not Phase.DONE and (self.sticky or self.attempts > 0 or self.is_awaited)

    @property
    def deadline(self) -> float | None:
        """When the next of the waiting callers must be told; None when none waits."""
        if len(self._callers) == 1:
            caller = self._callers[0]
            return None if caller.future.done() else caller.deadline
        return min((caller.deadline for caller in self._callers if not caller.future.done()), default=None)

    @property
    def last_deadline(self) -> float | None:
        """When the last of the waiting callers must be told; None when none waits."""
        return max((caller.deadline for caller in self._callers if not caller.future.done()), default=None)

    # -- what happens to it

    def wrote(self, now: float) -> None:
        """From now on bytes may have left this process."""
        self.phase = Phase.WRITTEN
        self.written = now
        self.attempts += 1
        if self.sent_at is None:
            self.sent_at = datetime.now(UTC)
        if self.page:
            self.owner.wrote(self)

    def unwritten(self, why: str) -> None:
        """The venue says that the attempt was not executed: it may be attempted again."""
        self.phase = Phase.HELD
        self.attempts -= 1
        self.declines += 1
        self.waits_for = why

    def expire(self, now: float) -> None:
        """Tell every caller whose deadline has come."""
        due = [caller for caller in self._callers if caller.deadline <= now and not caller.future.done()]
        if due:
            self._tell(due, self._owed or self.reply or self._overdue(), late=True)
        if self.phase is Phase.DONE:
            return
        if self.phase is Phase.HELD and not self.is_wanted:
            self.finish(self._overdue())
        elif self.phase is Phase.WRITTEN and not self.is_awaited:  # also when its caller went away before
            self.owner.doubted(self)

    def hold(self, why: str) -> None:
        """It waits for something else to become known, and then goes out, however late."""
        self.phase, self.sticky, self.waits_for = Phase.HELD, True, why

    def doubt(self, reply: Reply) -> None:
        """The venue itself is in doubt: tell all callers UNKNOWN, and go on listening."""
        if self.reply is None:
            self._tell(self._callers, reply)
            self.owner.doubted(self)

    def finish(self, reply: Reply) -> None:
        """The final reply."""
        if self.reply is not None:
            return
        self.phase, self.reply = Phase.DONE, reply
        if self.release is not None:
            self.release(self)
            self.release = None
        self.owner.closed(self, reply)
        self._tell(self._callers, reply)
        if self._observers:
            self._tell_observers(reply)

    def _tell_observers(self, reply: Reply) -> None:
        for observer in self._observers:
            if not observer.done():
                observer.set_result(reply)
        self._observers = ()

    def note(self, text: str) -> None:
        """Remember what was learnt without settling it."""
        if text and text not in self.notes:
            self.notes = (*self.notes[-7:], text)

    def took(self, order_id: str) -> None:
        """The venue has cancelled this order."""
        if self.taken is NOTHING:
            self.taken = {order_id: None}
        elif isinstance(self.taken, dict):
            self.taken[order_id] = None

    @contextmanager
    def observed(self) -> Iterator[asyncio.Future[Reply]]:
        """A future of the final reply, for as long as the block lasts."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self.reply is not None:
            future.set_result(self.reply)
        self._observers += (future,)
        try:
            yield future
        finally:
            self._observers = tuple(each for each in self._observers if each is not future)
            future.cancel()

    def unknown(self, text: str) -> Reply:
        """UNKNOWN with everything noted so far."""
        return Reply(outcome=Outcome.UNKNOWN, text="; ".join([text, *self.notes]))

    def fail(self, text: str) -> None:
        """No further attempt will be made."""
        if self.attempts:
            self.doubt(self.unknown(text))
        else:
            self.finish(self._undone(text))

    def _overdue(self) -> Reply:
        if self.phase is Phase.HELD and not self.attempts:
            return self.unknown(f"held: {self.waits_for}") if self.sticky else self._undone(self.waits_for)
        if self.taken:
            return self.unknown(f"{len(self.taken)} taken so far, and it is not known that none is left")
        if self.acknowledged:
            return self.unknown("the venue received the request and did not say what became of it")
        return self.unknown("no answer by the deadline")

    def _undone(self, text: str) -> Reply:
        """Certain not to have been executed: the venue said so, or nothing was sent."""
        return Reply(outcome=Outcome.REFUSED if self.declines else Outcome.NOT_SENT, text=text)

    def pay(self) -> None:
        """What is owed may be told now."""
        reply, self._owed = self._owed, None
        if reply is not None:
            self._tell(self._callers, reply, late=True)

    def _tell(self, callers: Iterable[_Caller], reply: Reply, *, late: bool = False) -> None:
        """late: whether or not the journal has it."""
        waiting = [caller for caller in callers if not caller.future.done()]
        if waiting:
            if not (late or not self.page or reply.outcome is Outcome.NOT_SENT or self.owner.may_tell(self)):
                self._owed = reply
                return
            report = self.owner.dress(self, reply)
            for caller in waiting:
                caller.future.set_result(report)
        self._callers = tuple([caller for caller in self._callers if not caller.future.done()])
