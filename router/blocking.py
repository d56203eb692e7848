"""The Router without an event loop: the same methods, reports and exceptions, each call waiting for its answer.

A loop of its own runs in one background thread; any thread may call.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast

from msgspec.structs import asdict

from router import core, deadman, report
from router.errors import RouterClosed
from router.massreport import MassCancelReport
from router.model import IdKind, Number, Order
from router.report import Event, Health, OrderState
from router.venue import Adapter

__all__ = ["CancelReport", "DeadMan", "Router", "SubmitReport"]

T = TypeVar("T")


class _Loop:
    """An event loop in a thread. Work given to it after stop() is refused, and what is under way then is cancelled."""

    def __init__(self, *, uvloop: bool) -> None:
        self._loop = _uvloop() if uvloop else asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._loop.run_forever, name="venue-router", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. A caller who is interrupted (Ctrl-C) takes the coroutine with him."""
        with self._lock:
            if not self._open:
                work.close()
                raise RouterClosed("the Router is closed")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise RouterClosed("the Router was closed meanwhile") from None
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        with self._lock:
            self._open = False
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@report.known_to_attrs
class CancelReport(report.CancelReport, frozen=True, kw_only=True, eq=False):
    """A CancelReport whose settled() waits."""

    loop: _Loop

    def settled(self, timeout: float | None = None) -> CancelReport:  # type: ignore[override]  # no event loop here
        """The report once the venue's own words have settled it, or after `timeout` seconds as it then is."""
        try:
            settled = self.loop.run(report.CancelReport.settled(self, timeout))
        except RouterClosed:
            return self
        return _blocking(CancelReport, settled, self.loop)


@report.known_to_attrs
class SubmitReport(report.SubmitReport, frozen=True, kw_only=True, eq=False):
    """A SubmitReport whose settled() waits."""

    loop: _Loop

    def settled(self, timeout: float | None = None) -> SubmitReport:  # type: ignore[override]  # no event loop here
        """The report once the venue's own words have settled it, or after `timeout` seconds as it then is."""
        try:
            settled = self.loop.run(report.SubmitReport.settled(self, timeout))
        except RouterClosed:
            return self
        return _blocking(SubmitReport, settled, self.loop)


def _uvloop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - imported by those who ask for it
    except ImportError:
        raise ImportError("uvloop=True, but uvloop is not installed: pip install 'venue-router[uvloop]'") from None
    return cast("asyncio.AbstractEventLoop", uvloop.new_event_loop())


R = TypeVar("R", CancelReport, SubmitReport)


def _blocking(kind: type[R], heard: report.CancelReport | report.SubmitReport, loop: _Loop) -> R:
    return kind(**(asdict(heard) | {"loop": loop}))


class Router:
    """`router.Router` for code without an event loop. Use it as a context manager.

    uvloop: run on that loop, which must be installed (`pip install 'venue-router[uvloop]'`); raises ImportError where it is not.
    """

    def __init__(
        self,
        venues: Mapping[str, Adapter],
        *,
        strict: bool = True,
        on_unknown: Literal["leave", "kill"] = "leave",
        journal: str | os.PathLike[str] | None = None,
        durability: Literal["full", "process"] = "full",
        uvloop: bool = False,
    ) -> None:
        self._router = core.Router(venues, strict=strict, on_unknown=on_unknown, journal=journal, durability=durability)
        self._uvloop = uvloop
        self._loop: _Loop | None = None

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str],
        *,
        venues: Iterable[str] | None = None,
        journal: bool = True,
        uvloop: bool = False,
    ) -> Self:
        """The Router that a router.toml describes; see router.Router.from_config."""
        made = cls({}, uvloop=uvloop)
        made._router = core.Router.from_config(path, venues=venues, journal=journal)
        return made

    def __repr__(self) -> str:
        return f"<blocking {self._router!r}>"

    def __enter__(self) -> Self:
        self._loop = _Loop(uvloop=self._uvloop)
        try:
            self._loop.run(self._router.open())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._run(self._router.close())
        finally:
            self._stop()

    def _stop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()

    @property
    def _running(self) -> _Loop:
        if self._loop is None:
            raise RouterClosed("the Router is not open; use it inside `with Router(...)`")
        return self._loop

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._running
        except RouterClosed:
            work.close()
            raise
        return loop.run(work)

    def recovered(self, timeout: float | None = None) -> list[CancelReport | SubmitReport]:
        """Wait until everything has been asked about that the journal left in doubt, and tell what became of it."""
        loop = self._running
        heard = loop.run(self._router.recovered(timeout))
        kinds: dict[type[Any], type[Any]] = {report.CancelReport: CancelReport, report.SubmitReport: SubmitReport}
        return [_blocking(kinds[type(each)], each, loop) for each in heard]

    def cancel(
        self,
        target: core.Target,
        id: str | None = None,  # noqa: A002 - the contract's name
        kind: IdKind | str | None = None,
        *,
        symbol: str | None = None,
        deadline: float | None = None,
    ) -> CancelReport:
        """Cancel one order, or the orders that a client id names."""
        loop = self._running
        heard = loop.run(self._router.cancel(target, id, kind, symbol=symbol, deadline=deadline))
        return _blocking(CancelReport, heard, loop)

    def cancel_many(self, cancels: Iterable[core.Addressed], *, deadline: float | None = None) -> list[CancelReport]:
        """Start all of these cancels at once; the reports in order, when the last one is there."""
        loop = self._running
        heard = loop.run(self._cancel_many(list(cancels), deadline))
        return [_blocking(CancelReport, each, loop) for each in heard]

    async def _cancel_many(self, cancels: list[core.Addressed], deadline: float | None) -> list[report.CancelReport]:
        return await self._router.cancel_many(cancels, deadline=deadline)

    def cancel_all(
        self,
        venue: str | None = None,
        symbol: str | None = None,
        *,
        scope: Literal["account", "own"] = "account",
        deadline: float = 30,
    ) -> MassCancelReport:
        """Cancel every order, and prove that none is open."""
        return self._run(self._router.cancel_all(venue, symbol, scope=scope, deadline=deadline))

    def deadman(
        self,
        seconds: float,
        *,
        venue: str | None = None,
        symbol: str | None = None,
        scope: Literal["account", "own"] = "account",
        deadline: float = 30,
    ) -> DeadMan:
        """A dead man's switch that any thread may feed."""

        async def make() -> deadman.DeadMan:
            return self._router.deadman(seconds, venue=venue, symbol=symbol, scope=scope, deadline=deadline)

        return DeadMan(self._run(make()), self._running)

    def submit(self, order: Order, *, deadline: float | None = None) -> SubmitReport:
        """Place an order, once."""
        loop = self._running
        return _blocking(SubmitReport, loop.run(self._router.submit(order, deadline=deadline)), loop)

    def replace(
        self,
        target: core.Target,
        *,
        quantity: Number | None = None,
        price: Number | None = None,
        stop_price: Number | None = None,
        allow_gap: bool = False,
        deadline: float | None = None,
    ) -> SubmitReport:
        """Change a resting order where the venue can do that by itself."""
        loop = self._running
        work = self._router.replace(
            target, quantity=quantity, price=price, stop_price=stop_price, allow_gap=allow_gap, deadline=deadline
        )
        return _blocking(SubmitReport, loop.run(work), loop)

    def open_orders(self, venue: str) -> list[OrderState]:
        """The venue's open orders, freshly read."""
        return self._run(self._router.open_orders(venue))

    def events(self) -> Iterator[Event]:
        """What happens to orders from now on; waits for each, and ends when the Router is closed."""
        return _Events(self._run(self._events()), self._running)

    async def _events(self) -> core.EventStream:
        return self._router.events()

    def health(self) -> dict[str, Health]:
        """How each venue is."""
        return self._run(self._health())

    async def _health(self) -> dict[str, Health]:
        return self._router.health()


class DeadMan:
    """A dead man's switch whose methods wait for the background thread."""

    def __init__(self, switch: deadman.DeadMan, loop: _Loop) -> None:
        self._switch, self._loop = switch, loop

    def __repr__(self) -> str:
        return repr(self._switch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disarm()

    @property
    def armed(self) -> bool:
        """Whether it would fire."""
        return self._switch.armed

    @property
    def fired(self) -> bool:
        """Whether it has fired."""
        return self._switch.fired

    def feed(self) -> None:
        """Still alive. Raises SwitchFired when it was too late."""
        self._loop.run(self._call(self._switch.feed))

    def disarm(self) -> None:
        """Never fire."""
        self._loop.run(self._call(self._switch.disarm))

    def report(self) -> MassCancelReport:
        """What cancel_all came to; waits until it has fired."""
        return self._loop.run(self._switch.report())

    async def _call(self, work: Callable[[], None]) -> None:
        work()


class _Events:
    """An EventStream as a plain iterator."""

    def __init__(self, stream: core.EventStream, loop: _Loop) -> None:
        self._stream, self._loop = stream, loop

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            return self._loop.run(self._next())
        except (StopAsyncIteration, RouterClosed):
            raise StopIteration from None

    async def _next(self) -> Event:
        return await anext(self._stream)
