"""A dead man's switch: while the strategy feeds it, nothing happens; when it stops, cancel_all runs.

Rules:

1. It fires once, when it was not fed for so long, whatever the cause: a strategy that blocked the event loop was dead as well.
2. What has fired stays fired, and says so to whoever feeds it: the strategy must know that its orders are gone.
3. Disarming it, or closing the Router, ends it without firing. One that is firing finishes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from router.errors import SwitchFired
from router.massreport import MassCancelReport

__all__ = ["DeadMan"]


class DeadMan:
    """One switch, armed when it is made. over: told when it never will fire any more. Made by Router.deadman(); also a context manager, which disarms it on leaving."""

    def __init__(
        self,
        seconds: float,
        fire: Callable[[], Coroutine[Any, Any, MassCancelReport]],
        over: Callable[[DeadMan], None] = lambda _: None,
    ) -> None:
        self._seconds, self._fire, self._tell_over = seconds, fire, over
        self._loop = asyncio.get_running_loop()
        self._fed = self._loop.time()
        self._firing: asyncio.Task[MassCancelReport] | None = None
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = self._loop.call_at(self._fed + seconds, self._look)

    def __repr__(self) -> str:
        state = "fired" if self.fired else "armed" if self.armed else "disarmed"
        return f"<dead man's switch of {self._seconds:g} s, {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disarm()

    @property
    def armed(self) -> bool:
        """Whether it would fire."""
        return self._timer is not None

    @property
    def fired(self) -> bool:
        """Whether it has fired."""
        return self._firing is not None

    def feed(self) -> None:
        """Still alive. Raises SwitchFired when it was too late."""
        if self.armed and self._loop.time() - self._fed >= self._seconds:
            self._go_off()  # the loop stood still, and the timer has not had its turn yet
        if self.fired:
            raise SwitchFired(f"the dead man's switch was not fed for {self._seconds:g} s, and cancel_all ran")
        self._fed = self._loop.time()

    def disarm(self) -> None:
        """Never fire."""
        self._over.set()
        if not self.fired:
            self._tell_over(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def report(self) -> MassCancelReport:
        """What cancel_all came to; waits until it has fired. Raises RuntimeError when it never will."""
        await self._over.wait()
        if self._firing is None:
            raise RuntimeError("the dead man's switch was disarmed before it fired")
        return await asyncio.shield(self._firing)

    async def close(self) -> None:
        """Disarm it; let it finish if it has fired."""
        self.disarm()
        if self._firing is not None:
            await asyncio.gather(self._firing, return_exceptions=True)

    def _look(self) -> None:
        """One timer for all feedings: it looks when the last one it knew of has run out."""
        due = self._fed + self._seconds
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._look)
        else:
            self._go_off()

    def _go_off(self) -> None:
        self._firing = self._loop.create_task(self._fire())
        self._firing.add_done_callback(lambda _: self._tell_over(self))
        self.disarm()
