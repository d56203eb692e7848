"""Which faults a venue has: what was injected, what has struck, and the seed on which it is drawn.

Rules:

1. A command has at most one fault: that of the oldest injection that covers it and draws it.
2. Draws are made in the order in which commands arrive, and only for covered ones: the same seed and the same traffic
   give the same faults. What a fault draws for itself (which byte, how long) comes from a source of its own.
3. A fault that the command cannot have is never drawn for it, and injecting it for nothing else is a ValueError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable
from random import Random

from attrs import define, field, frozen

from router.testing.faults import LASTING, Fate, Fault

__all__ = ["Faults", "Injection", "Struck"]

SKEWS = (1200.0, 7200.0)  # beyond any allowance that a venue is likely to make


@frozen
class Struck:
    """A fault that struck. connection: as in `received`."""

    fault: Fault
    command: str
    connection: int


@define(eq=False)
class Injection:
    """Faults of which a covered command may have one. left: how many more will (None: no end)."""

    faults: tuple[Fault, ...]
    only: frozenset[str] | None
    left: int | None
    probability: float

    def draw(self, command: str, chance: Random, excuse: Callable[[Fault, str], str]) -> Fault | None:
        able = [fault for fault in self.faults if not excuse(fault, command)]
        if not able or self.left == 0 or chance.random() >= self.probability:
            return None
        if self.left is not None:
            self.left -= 1
        return chance.choice(able)


def _source(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - faults are no secret


@define(eq=False)
class Faults:
    """The faults of one simulator, which makes this and injects into it. excuse, trading: as the simulator has them."""

    _excuse: Callable[[Fault, str], str] = field(repr=False)
    _trading: frozenset[str] = field(repr=False)
    _seed: int = 0
    seconds: tuple[float, float] = (0.01, 0.1)
    """The bounds of a delay, and of how long a slow reader reads nothing."""
    flood: int = 300
    """How many frames of strangers come before a flooded answer."""
    injected: list[Injection] = field(factory=list, init=False)
    struck: list[Struck] = field(factory=list, init=False)
    """What has struck so far, in the order of the commands."""
    skew: float = field(default=0.0, init=False)
    """Seconds by which CLOCK_SKEW has put the venue's clock ahead of ours."""
    _chance: Random = field(init=False, repr=False)
    _kept: dict[Hashable, asyncio.Future[Fate]] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._chance = _source(self._seed)

    @property
    def seed(self) -> int:
        return self._seed

    @seed.setter
    def seed(self, seed: int) -> None:
        """From here on everything is drawn anew."""
        self._seed, self._chance = seed, _source(seed)

    # -- what is to come

    def add(
        self, faults: Collection[Fault], only: Collection[str] | None, times: int | None, probability: float
    ) -> None:
        """Inject, unchecked: Simulator.inject names what the venue cannot have."""
        if not 0.0 <= probability <= 1.0:
            raise ValueError(f"probability was {probability!r}, expected 0 to 1")
        covered = None if only is None else frozenset(only)
        self.injected.append(Injection(tuple(faults), covered, times, probability))

    def random(self, probability: float, among: Collection[Fault] = (), *, only: Collection[str] | None = None) -> None:
        """Let each covered command draw a fault. among: which (default: all that end with their command)."""
        for fault in among:
            self._require(fault, only)
        faults = among or [fault for fault in Fault if fault not in LASTING]
        self.add(faults, only, None, probability)

    def clear(self) -> None:
        """End all faults: nothing more is drawn, the clock is right, kept-back answers go. `struck` stays."""
        self.injected.clear()
        self.skew = 0.0
        self.let_go()

    def _require(self, fault: Fault, only: Collection[str] | None) -> None:
        reasons = [self._excuse(fault, command) for command in sorted(self._trading if only is None else only)]
        if reasons and all(reasons):
            raise ValueError(f"{fault}: {reasons[0]}")

    # -- what befalls a command

    def draw(self, command: str, connection: int) -> tuple[Fault | None, Random]:
        """The fault of a command that has arrived, and the source from which it draws for itself."""
        for injection in self.injected:
            covered = self._trading if injection.only is None else injection.only
            fault = injection.draw(command, self._chance, self._excuse) if command in covered else None
            if fault is not None:
                chance = _source(self._chance.getrandbits(64))
                self._strike(Struck(fault, command, connection), chance)
                return fault, chance
        return None, self._chance

    def _strike(self, struck: Struck, chance: Random) -> None:
        self.struck.append(struck)
        if struck.fault is Fault.CLOCK_SKEW:
            self.skew = chance.choice((-1, 1)) * chance.uniform(*SKEWS)

    # -- answers that change places

    async def keep(self, line: Hashable) -> Fate:
        """Keep an answer until the next one of its line has gone. With one kept already, this is that next one."""
        if line in self._kept:
            return Fate.SEND
        self._kept[line] = asyncio.get_running_loop().create_future()
        return await self._kept[line]

    def let_go(self, *lines: Hashable, fate: Fate = Fate.SEND) -> None:
        """Let the answers kept on these lines go (none named: on all)."""
        for line in lines or tuple(self._kept):
            future = self._kept.pop(line, None)
            if future is not None and not future.done():
                future.set_result(fate)
