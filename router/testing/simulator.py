"""The base of every simulated venue: a real server on 127.0.0.1, what it read, and the faults it can be told to have.

Rules of a simulator:

1. It is written from the venue's page, never from our codec, so that the two can disagree.
2. It listens on 127.0.0.1, port 0, and is an async context manager.
3. Everything it reads off the wire is appended to `received` before anything else happens. What it never reads
   (HANG_UP_UNREAD) is only in `faults.struck`.
4. Every answer to a command passes `gate()`, which applies the switches. Nothing in it sleeps unless `delay` says so:
   a test that wants late or reordered answers sets `hold` and calls `release()`.
5. Switches are a state of the venue, and last; faults are injected, counted, and drawn on a seed (see `injection`).
   A command meets its fault once, in `meet()`; `Strike` says at each step what becomes of it. The switches come first.
6. A fault that the venue cannot have is refused with the reason. None is skipped silently.
"""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from attrs import Factory, define, field, frozen

from router.testing.faults import Fate, Fault
from router.testing.injection import Faults
from router.testing.strike import Strike

if TYPE_CHECKING:
    from router.testing.bench import Bench

__all__ = ["QUIET", "Fate", "Received", "Simulator", "Switches"]

QUIET = logging.Logger("router.simulator", logging.CRITICAL)  # noqa: LOG001 - outside the tree on purpose
"""A logger outside the logging tree, for server libraries whose DEBUG lines would print frames and keys."""


@frozen
class Received:
    """One message as it was read off the wire.

    connection: a number per connection, from 1 (HTTP: 0). command: the venue's own word for it ("cancel_order",
    "DELETE /orders/17"). message: what was read, decoded. headers: the request's, for HTTP.
    """

    connection: int
    command: str
    message: Any = field(repr=False)
    headers: dict[str, str] = field(factory=dict, repr=False)


@define
class Switches:
    """Faults that every simulator has. They apply to the commands named in `only` (None: to all trading commands)."""

    deaf: bool = False
    """Read and record commands, execute nothing, answer nothing."""
    mute: bool = False
    """Execute commands, answer nothing."""
    hang_up: bool = False
    """Execute commands, then drop the connection instead of answering."""
    hold: bool = False
    """Execute commands, keep the answers until release()."""
    delay: float = 0.0
    """Seconds before each answer."""
    only: frozenset[str] | None = None

    def cover(self, command: str) -> bool:
        return self.only is None or command in self.only


@define(eq=False)
class Simulator(ABC):
    """A simulated venue. Subclasses implement `start` and `stop` and call `gate` before each answer to a command.

    Those that can have faults name their commands, say in `excuse` what they cannot have, and call `meet`.
    """

    TRADING: ClassVar[frozenset[str]] = frozenset()
    """The commands to which faults apply when they name none."""
    COMMANDS: ClassVar[frozenset[str]] = frozenset()
    """All that faults may name."""

    switches: Switches = field(factory=Switches)
    _seed: int = field(default=0, kw_only=True, repr=False)
    faults: Faults = field(
        init=False,
        repr=False,
        default=Factory(lambda self: Faults(self.excuse, self.TRADING, self._seed), takes_self=True),
    )
    received: list[Received] = field(factory=list, init=False, repr=False)
    _held: list[asyncio.Future[Fate]] = field(factory=list, init=False, repr=False)
    _arrival: asyncio.Condition = field(factory=asyncio.Condition, init=False, repr=False)

    @property
    @abstractmethod
    def url(self) -> str:
        """What the adapter takes as `url=` (or `base_url=`)."""

    @property
    @abstractmethod
    def credentials(self) -> dict[str, Any]:
        """The keyword arguments with which the venue's adapter reaches this simulator, its address included."""

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The same as environment variables, for the command line."""

    @property
    def bench(self) -> Bench:
        """What the conformance cases ask. Raises NotImplementedError where the simulator has none."""
        raise NotImplementedError(f"{type(self).__name__} has no bench: see router.testing.Bench")

    @abstractmethod
    async def start(self) -> None:
        """Listen, after a stop at the same address. Returns when connections are accepted."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop listening and drop every connection. Safe to call twice."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release(fate=Fate.DROP)
        await self.stop()

    # -- what was read

    async def record(self, received: Received) -> None:
        """Append to `received` and wake whoever waits in `until`."""
        self.received.append(received)
        await self._announce()

    def commands(self, *names: str) -> list[Received]:
        """What was read of these commands, in order: the wire count that tests assert on."""
        return [item for item in self.received if item.command in names]

    async def until(self, count: int, *names: str, timeout: float = 5.0) -> list[Received]:
        """Wait until `count` of these commands have been read. Raises TimeoutError, naming what was read instead."""
        if not await self._awaited(lambda: len(self.commands(*names)) >= count, timeout):
            seen = [item.command for item in self.received]
            raise TimeoutError(f"waited for {count} of {names}, read {seen}")
        return self.commands(*names)

    # -- faults

    def excuse(self, fault: Fault, command: str) -> str:  # noqa: ARG002 - what subclasses go by
        """Why this command cannot have this fault; empty if it can."""
        return "this simulator has switches only"

    def supports(self, fault: Fault, *commands: str) -> str:
        """Empty if one of these commands (none named: of the trading commands) can have the fault, else the reason."""
        reasons = [self.excuse(fault, command) for command in commands or sorted(self.TRADING) or [""]]
        return reasons[0] if all(reasons) else ""

    def inject(
        self, fault: Fault, *, only: Collection[str] | None = None, times: int | None = 1, probability: float = 1.0
    ) -> None:
        """Have this fault strike the next `times` (None: all) commands named in `only` (None: trading commands).

        probability: of striking one of them. ValueError, with the reason, if it could strike none.
        """
        unknown = sorted(set(only or ()) - self.COMMANDS)
        if unknown or (only is not None and not only):
            raise ValueError(f"no commands: {unknown}; known: {', '.join(sorted(self.COMMANDS))}")
        reason = self.supports(fault, *(only or ()))
        if reason:
            raise ValueError(f"{fault}: {reason}")
        self.faults.add([fault], only, times, probability)

    async def until_struck(self, count: int, *faults: Fault, timeout: float = 5.0) -> None:
        """Wait until `count` of these faults (none named: of any) have struck. Raises TimeoutError, naming what has."""

        def struck() -> int:
            return sum(not faults or item.fault in faults for item in self.faults.struck)

        if not await self._awaited(lambda: struck() >= count, timeout):
            raise TimeoutError(f"waited for {count} of {faults}, struck have {self.faults.struck}")

    async def meet(
        self, command: str, transport: asyncio.Transport | None, *, connection: int = 0, line: Hashable = None
    ) -> Strike:
        """What befalls a command that has arrived, before it is recorded. line: whose answers may change places."""
        fault, chance = self.faults.draw(command, connection)
        if fault is not None:
            await self._announce()
        return Strike(fault, chance, transport, line, self.faults)

    # -- what is answered

    async def gate(self, command: str) -> Fate:
        """The fate of one answer; returns when it is due. Call it after the command was executed."""
        switches = self.switches
        if not switches.cover(command):
            return Fate.SEND
        if switches.deaf or switches.mute:
            return Fate.DROP
        if switches.hang_up:
            return Fate.HANG_UP
        if switches.delay:
            await asyncio.sleep(switches.delay)
        if switches.hold:
            return await self._hold()
        return Fate.SEND

    def is_deaf(self, command: str) -> bool:
        """Whether this command must be recorded and otherwise ignored."""
        return self.switches.deaf and self.switches.cover(command)

    @property
    def held(self) -> int:
        """How many answers wait for release()."""
        return len(self._held)

    async def until_held(self, count: int, timeout: float = 5.0) -> None:
        """Wait until `count` answers are held."""
        if not await self._awaited(lambda: self.held >= count, timeout):
            raise TimeoutError(f"waited for {count} held answers, have {self.held}")

    def release(self, count: int | None = None, *, shuffle: int | None = None, fate: Fate = Fate.SEND) -> None:
        """Let held answers go: the oldest `count` (None: all), in the order they came, or shuffled by the seed `shuffle`."""
        taken, self._held = self._split(count)
        order: Iterable[asyncio.Future[Fate]] = taken
        if shuffle is not None:
            order = random.Random(shuffle).sample(taken, len(taken))  # noqa: S311 - a test order, not a secret
        for future in order:
            if not future.done():
                future.set_result(fate)
        if fate is not Fate.SEND:
            self.faults.let_go(fate=fate)

    def _split(self, count: int | None) -> tuple[list[asyncio.Future[Fate]], list[asyncio.Future[Fate]]]:
        cut = len(self._held) if count is None else count
        return self._held[:cut], self._held[cut:]

    async def _hold(self) -> Fate:
        future: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        self._held.append(future)
        await self._announce()
        return await future

    async def _announce(self) -> None:
        async with self._arrival:
            self._arrival.notify_all()

    async def _awaited(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until this holds, looking at each announcement. False: it did not in time."""
        try:
            async with asyncio.timeout(timeout), self._arrival:
                return await self._arrival.wait_for(condition)
        except TimeoutError:
            return False
