"""Ten thousand orders at once: for how long the loop stands still, and what another venue's cancel waits meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

from benchmarks.bare import Flood, client_frame
from benchmarks.dialects import text_frame
from benchmarks.peers import SYMBOL, Peer, WrongAnswerError, new_ids
from router import Router

__all__ = ["DELAY", "PAUSE", "STALL", "STALL_CPU", "TOOK", "place", "plainly", "sweep"]

STALL: Final = "longest stall of the loop"
STALL_CPU: Final = "most CPU time in one tick of the loop"
PAUSE: Final = "longest pause of the garbage collector"
DELAY: Final = "another venue's slowest cancel meanwhile"
TOOK: Final = "all cancelled"


class Ticker:
    """Looks at the clocks in every tick of the loop. Times are in nanoseconds."""

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self.stall = self.cpu = self.pause = 0
        gc.callbacks.append(self._collects)
        self._wall, self._used = time.monotonic_ns(), time.thread_time_ns()
        self._next = self._loop.call_soon(self._tick)
        return self

    def __exit__(self, *_: object) -> None:
        self._tick()
        self._next.cancel()
        gc.callbacks.remove(self._collects)

    def _collects(self, phase: str, _: object) -> None:
        if phase == "start":
            self._paused = time.monotonic_ns()
        else:
            self.pause = max(self.pause, time.monotonic_ns() - self._paused)

    def _tick(self) -> None:
        wall, used = time.monotonic_ns(), time.thread_time_ns()
        self.stall, self.cpu = max(self.stall, wall - self._wall), max(self.cpu, used - self._used)
        self._wall, self._used = wall, used
        self._next = self._loop.call_soon(self._tick)


async def place(flood: Flood, size: int) -> None:
    """Orders that somebody else has placed on this account."""
    first, *names = map(_add, new_ids(size))
    answer = text_frame(await flood.ask(first))  # all are of the same length
    await flood.pour(b"".join(map(client_frame, names)), len(answer) * len(names))


def _add(name: str) -> bytes:
    return (
        b'{"type":"add_order","params":{"symbol":"%b","side":"BUY","order_type":"LIMIT","order_time_in_force":"GTC",'
        b'"quantity":1.0,"price":200.0,"client_order_id":"%b"}}'
    ) % (SYMBOL.encode(), name.encode())


async def sweep(router: Router, symbol: str | None, flood: Flood, other: Peer, size: int) -> dict[str, float]:
    """cancel_all of so many orders. symbol: given, they go one by one; None: by the venue's own command."""
    await place(flood, size)

    async def work() -> None:
        report = (await router.cancel_all("qfex", symbol)).venues["qfex"]
        if not report.no_open_orders or len(report.affected) != size:
            raise WrongAnswerError(str(report))

    return await _watched(work, other)


async def plainly(peer: Peer, other: Peer, size: int) -> dict[str, float]:
    """A gather of so many cancels, as it would be written without a Router."""
    names = new_ids(size)

    async def work() -> None:
        await asyncio.gather(*map(peer.cancel, names))

    return await _watched(work, other)


async def _watched(work: Callable[[], Awaitable[Any]], other: Peer) -> dict[str, float]:
    slowest, going = 0, True

    async def trade() -> None:
        nonlocal slowest
        while going:
            before = time.monotonic_ns()
            await other.cancel(*new_ids(1))
            slowest = max(slowest, time.monotonic_ns() - before)

    trading = asyncio.create_task(trade())
    await asyncio.sleep(0.005)  # by which it is under way
    slowest = 0
    before = time.monotonic_ns()
    with Ticker() as ticker:
        await work()
        took = time.monotonic_ns() - before
    going = False
    await trading
    figures = {STALL: ticker.stall, STALL_CPU: ticker.cpu, PAUSE: ticker.pause, DELAY: slowest, TOOK: took}
    return {what: figure / 1e6 for what, figure in figures.items()}
