"""How fast a venue may be spoken to. Pure arithmetic: the clock is passed in, and whoever has to wait does so elsewhere.

Rules:

1. A budget is so many units in so many seconds: all of it may be spent at once, and it comes back evenly.
2. Every message is in a lane. SUBMIT (whatever can open a position) leaves a fifth of its budget untouched and READ a tenth,
   so that what they use up never stops a CANCEL.
3. A venue with a budget of its own for cancels has two; else the lanes share one.
4. When the venue says "too fast", the lane's part of the budget is taken for spent, whoever spent it, and all lanes of that budget
   are closed until the pause that it asked for is over: cancels only if it was a cancel that was told so.
"""

from __future__ import annotations

from enum import StrEnum

from attrs import define, field, frozen

__all__ = ["Budget", "Lane", "Pacer"]


class Lane(StrEnum):
    """What a message is for, in the order in which lanes may go."""

    __hash__ = str.__hash__  # Enum's own is a call of Python code

    CANCEL = "cancel"
    READ = "read"
    SUBMIT = "submit"


RESERVED = {Lane.CANCEL: 0.0, Lane.READ: 0.1, Lane.SUBMIT: 0.2}


@frozen
class Budget:
    """units that may be spent in seconds."""

    units: float = field(converter=float)
    seconds: float = field(converter=float)

    def __attrs_post_init__(self) -> None:
        if not (self.units > 0 and self.seconds > 0):
            raise ValueError(
                f"a budget of {self.units:g} units in {self.seconds:g} s allows nothing; pass numbers above 0"
            )

    def __str__(self) -> str:
        return f"{self.units:g} in {self.seconds:g} s"


@define
class _Bucket:
    """What is left of one budget (None: there is no limit)."""

    budget: Budget | None
    left: float = 0.0
    at: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.left = self.budget.units if self.budget is not None else 0.0

    def wait(self, weight: float, reserved: float, now: float) -> float:
        if self.budget is None:
            return 0.0
        self.refill(now)
        floor = reserved * self.budget.units
        missing = min(weight + floor, self.budget.units) - self.left  # one that is too heavy waits for a full budget
        return max(0.0, missing * self.budget.seconds / self.budget.units)

    def refill(self, now: float) -> None:
        if self.budget is not None and now > self.at:
            back = (now - self.at) * self.budget.units / self.budget.seconds
            self.left = min(self.budget.units, self.left + back)
            self.at = now

    def use_up(self, reserved: float, now: float) -> None:
        if self.budget is not None:
            self.refill(now)
            self.left = min(self.left, reserved * self.budget.units)


class Pacer:
    """The budgets of one account at one venue. general: of everything; cancels: of cancels alone. None: no limit.

    share: the part of them that this process may use.
    """

    def __init__(self, general: Budget | None, cancels: Budget | None = None, share: float = 1.0) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share was {share!r}; it is a part of the account's budget, above 0 and up to 1")
        common = _Bucket(general and Budget(general.units * share, general.seconds))
        own = common if cancels is None else _Bucket(Budget(cancels.units * share, cancels.seconds))
        self._buckets = {Lane.CANCEL: own, Lane.READ: common, Lane.SUBMIT: common}
        self._closed = dict.fromkeys(Lane, 0.0)

    def wait(self, lane: Lane, weight: float, now: float) -> float:
        """Seconds until a message of this weight may go; 0: now."""
        return max(self._closed[lane] - now, self._buckets[lane].wait(weight, RESERVED[lane], now))

    def take(self, lane: Lane, weight: float, now: float) -> bool:
        """Let a message of this weight go, if it may go now."""
        bucket = self._buckets[lane]
        if self._closed[lane] > now or (bucket.budget is not None and bucket.wait(weight, RESERVED[lane], now) > 0):
            return False
        bucket.left -= weight
        return True

    def spend(self, lane: Lane, weight: float, now: float) -> None:
        """A message goes."""
        bucket = self._buckets[lane]
        bucket.refill(now)
        bucket.left -= weight

    def pause(self, lane: Lane, seconds: float, now: float) -> None:
        """The venue says "too fast" to a message of this lane, and is to be left alone for so long (rule 4)."""
        self._buckets[lane].use_up(RESERVED[lane], now)
        for other in Lane:
            if self.is_shared(lane, other) and (lane is Lane.CANCEL or other is not Lane.CANCEL):
                self._closed[other] = max(self._closed[other], now + seconds)

    def left(self, now: float) -> dict[str, float]:
        """What is left of each budget in units, by lane; {} where there is no limit."""
        found = {}
        for lane, bucket in self._buckets.items():
            if bucket.budget is not None:
                bucket.refill(now)
                found[str(lane)] = max(0.0, bucket.left - RESERVED[lane] * bucket.budget.units)
        return found

    def is_shared(self, one: Lane, other: Lane) -> bool:
        """Whether two lanes have one budget."""
        return self._buckets[one] is self._buckets[other]

    def describe(self, lane: Lane) -> str:
        """Why a message of this lane has to wait, for whoever asks what it waits for."""
        budget = self._buckets[lane].budget
        return "the venue's pause after too many messages" if budget is None else f"the rate budget of {budget}"
