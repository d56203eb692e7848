"""Routers on the benchmark's venue, and the turns that they take: what a caller waits for, and when the venue hears of it."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final, Literal

from attrs import evolve

from adapters.qfex.codec import SPEC, QfexCodec
from benchmarks.venue import Venue
from router import AnyRouter, Order, Outcome, Router
from router.session import Session

__all__ = ["Trader", "router_on", "session_on"]

_ids: Final = count(1)


def router_on(venue: Venue, journal: Path | None = None, durability: Literal["full", "process"] = "full") -> Router:
    """The Router as everybody uses it, but for the venue's pace, which would be all that is measured."""
    return Router({"qfex": session_on(venue)}, journal=journal, durability=durability)


def session_on(venue: Venue) -> Session:
    """One of a Router's sessions, likewise."""
    spec = evolve(SPEC, url=venue.url, budget=None, cancel_budget=None)
    codec = QfexCodec(spec=spec, public_key="qfex_pub_benchmark", secret_key="qfex_secret_benchmark")  # noqa: S106
    return Session(codec)


class Trader:
    """One Router's turns. Times are in microseconds."""

    def __init__(self, router: AnyRouter, venue: Venue) -> None:
        self.router, self._venue = router, venue

    async def in_turn(self, size: int, pause: float = 0.0) -> dict[str, float]:
        """So many submits one after the other, and then a cancel of each. pause: seconds of rest before each of them.

        With a pause, a command finds the same idle machine whatever the one before had to wait for.
        """
        orders = [Order("qfex", "AAPL-USD", "buy", "limit", "1", "200") for _ in range(size)]
        figures: dict[str, float] = {}
        for what in ("submit", "cancel"):
            wire, end = [], []
            cpu = 0
            for order in orders:
                if pause:
                    await asyncio.sleep(pause)
                cpu -= time.thread_time_ns()
                before = time.monotonic_ns()
                report = await (self.router.submit(order) if what == "submit" else self.router.cancel(order))
                end.append(time.monotonic_ns() - before)
                cpu += time.thread_time_ns()
                wire.append(self._venue.stamp() - before)
                if report.outcome is not Outcome.CONFIRMED:
                    raise RuntimeError(f"a {what} came to {report}")
            figures[f"{what}, CPU of the loop"] = cpu / size / 1000
            figures[f"{what}, first byte at the venue"] = median(wire) / 1000
            figures[f"{what}, end to end"] = median(end) / 1000
        return figures

    async def at_once(self, callers: int, size: int) -> dict[str, float]:
        """So many callers, each of whom cancels `size` orders one after the other."""

        async def one() -> None:
            for _ in range(size):
                report = await self.router.cancel("qfex", f"{next(_ids):036x}", "order", symbol="AAPL-USD")
                if report.outcome is not Outcome.CONFIRMED:
                    raise RuntimeError(f"a cancel came to {report}")

        before = time.monotonic()
        await asyncio.gather(*(one() for _ in range(callers)))
        return {f"cancels, {callers} in flight": callers * size / (time.monotonic() - before)}
