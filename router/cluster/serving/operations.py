"""The operations of one tenure, by their ids: each is begun at most once, and whoever asks again hears the same. Pure: times are given.

Rules:

1. An id that was seen once in this tenure is never begun again, whatever became of it: begun, refused, or buried before it came.
2. What is being done, and what is in doubt, is remembered. What is final is forgotten, the oldest first, when there is a lot of it and
   no message of it can still be in time, or when there is far too much of it. That it was seen is remembered for ever: the journal has the
   rest.
3. An id is a strategy's own: nobody else hears what became of it, or can bury it. What two strategies call the same is two things,
   of which the desk does one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from attrs import define, field

from router.cluster import wire
from router.errors import RouterError
from router.model import Order
from router.naming import Names
from router.report import CancelReport, Outcome, SubmitReport

__all__ = ["BURIED", "Doable", "Full", "Known", "Operations"]

MOST: Final = 100_000  # operations at once
MOST_FINAL: Final = 10_000  # of those that are over, kept beyond their time
MOST_YOUNG: Final = 50_000  # kept at all, once they are over
MOST_DOUBTS: Final = 1_000  # as many as a desk remembers
KEPT: Final = 60.0  # seconds after the deadline
LONGEST: Final = 300.0  # seconds that a message is thought to be under way, whatever its deadline
BURIED: Final = "it was asked about, or cancelled, before it came, and will not be executed any more"
Done = (wire.Submitting, wire.Cancelling, wire.Replacing, wire.CancelAll)
Doable = wire.Settleable | wire.CancelAll


class Full(RouterError):
    """Too many operations at once."""


@define(eq=False)
class Known:
    """One operation. command: None of one that is known by its id alone. until: wall time from which it may be forgotten.

    order: what it submits; report: what its caller was told last; said: what it is answered, None while it is being done.
    lost: a mistake of ours left nobody to answer; was_before: it was not begun, since it was before this tenure; elsewhere: it was
    buried here, and another tenure may have done it.
    """

    op: str
    strategy: str
    until: float
    command: Doable | None = None
    order: Order | None = None
    report: CancelReport | SubmitReport | None = None
    said: wire.Reply | None = None
    lost: bool = False
    was_before: bool = False
    elsewhere: bool = False
    _waiting: tuple[Callable[[wire.Reply], None], ...] = field(default=(), repr=False)

    @property
    def is_doubtful(self) -> bool:
        return self.report is not None and self.report.outcome is Outcome.UNKNOWN

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be said of it."""
        return self.said is not None and not self.is_doubtful

    def tell(self, listener: Callable[[wire.Reply], None]) -> None:
        """Call it with the answer, now or when there is one."""
        if self.said is not None:
            listener(self.said)
        elif not self.lost:
            self._waiting += (listener,)

    def answered(self) -> asyncio.Future[None]:
        """Done when it has been answered."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tell(lambda _: None if future.done() else future.set_result(None))
        return future

    def finish(self, said: wire.Reply, report: CancelReport | SubmitReport | None = None) -> None:
        """The answer, or a better one than before."""
        waiting, self._waiting = self._waiting, ()
        self.said, self.report = said, report
        for listener in waiting:
            listener(said)

    def lose(self) -> None:
        """Nothing that could be said of it is certain."""
        self.lost, self._waiting = True, ()

    def is_said_by(self, command: Doable) -> bool:
        """Whether this is the same command again: under whichever tenure, and until whenever."""
        mine = self.command
        return mine is None or (type(mine) is type(command) and _facts(mine) == _facts(command))


def _facts(command: Doable) -> list[Any]:
    names = command.__struct_fields__
    return [getattr(command, name) for name in names if name not in {"deadline", "tenure", "placed", "known"}]


class Operations:
    """Those of one tenure. most: at once; young: from how many on those that are over are forgotten, whenever their time is; final: from
    how many on, when it has come; doubts: how many are kept beyond it that are in doubt.
    """

    def __init__(
        self, *, most: int = MOST, young: int = MOST_YOUNG, final: int = MOST_FINAL, doubts: int = MOST_DOUBTS
    ) -> None:
        self._most, self._young, self._final, self._most_doubts = most, young, final, doubts
        self._known: dict[str, Known] = {}
        self._doubts: dict[str, Known] = {}
        """Those that were in doubt when their time was over."""
        self._seen = Names()

    def __len__(self) -> int:
        return len(self._known) + len(self._doubts)

    def find(self, op: str, strategy: str) -> Known | None:
        name = _name(op, strategy)
        return self._known.get(name) or self._doubts.get(name)

    def was_seen(self, op: str, strategy: str) -> bool:
        return _name(op, strategy) in self._seen

    def under_way(self) -> list[Known]:
        """Those that nothing has been said of yet."""
        return [known for known in self._known.values() if known.said is None and not known.lost]

    def begin(self, command: Doable, strategy: str, now: float) -> Known:
        """One that was never seen. Raises Full, and ValueError if it was."""
        return self._add(Known(command.op, strategy, _until(command.deadline, now), command), now)

    def bury(
        self,
        op: str,
        strategy: str,
        text: str,
        now: float,
        deadline: float = 0.0,
        tenure: str = "",
        *,
        elsewhere: bool = False,
    ) -> Known:
        """It will not be executed here, should it come. elsewhere: another tenure may have. Raises as begin() does."""
        said = wire.Refused(text=text, tenure=tenure)
        return self._add(Known(op, strategy, _until(deadline, now), said=said, elsewhere=elsewhere), now)

    def _add(self, known: Known, now: float) -> Known:
        name = _name(known.op, known.strategy)
        self._seen.take(name)
        self._forget(now)
        if len(self._known) >= self._most:
            raise Full(f"{len(self._known)} operations are under way already")
        self._known[name] = known
        return known

    def _forget(self, now: float) -> None:
        """Rule 2. A few at each time, the oldest first."""
        for _ in range(2):
            if len(self._known) <= self._final:
                return
            name, oldest = next(iter(self._known.items()))
            if oldest.until > now and len(self._known) <= self._young:
                return
            del self._known[name]
            if not (oldest.said or oldest.lost):
                self._known[name] = oldest  # its turn comes again
            elif oldest.is_doubtful:
                self._doubts[name] = oldest
                if len(self._doubts) > self._most_doubts:
                    del self._doubts[next(iter(self._doubts))]


def _name(op: str, strategy: str) -> str:
    return f"{strategy}.{op}"


def _until(deadline: float, now: float) -> float:
    return min(deadline, now + LONGEST) + KEPT
