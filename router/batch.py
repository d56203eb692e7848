"""Many cancels at once: started in chunks, so that they don't hold up the event loop, and told as they complete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from functools import partial
from typing import Any

from router.desk import Desk
from router.model import Cancel, Order
from router.report import CancelReport

__all__ = ["CancelBatch", "start_cancel"]

CHUNK = 32  # cancels started between two yields, so that many at once don't hold up another venue's


def start_cancel(desk: Desk, request: Cancel | Order, deadline: float | None) -> asyncio.Future[CancelReport]:
    """Start one cancel, of an address or of the very order."""
    return desk.cancel_order(request, deadline) if isinstance(request, Order) else desk.cancel(request, deadline)


class CancelBatch:
    """Several cancels under way. Await it for the list of reports, or iterate as they complete; as often as you like."""

    def __init__(self, requests: list[tuple[Desk, Cancel | Order]], deadline: float | None) -> None:
        self._requests = requests
        self._deadline = deadline
        loop = asyncio.get_running_loop()
        self._reports: list[asyncio.Future[CancelReport]] = [loop.create_future() for _ in requests]
        self._start(0)
        self._starting = loop.create_task(self._start_rest()) if len(requests) > CHUNK else None

    def __len__(self) -> int:
        return len(self._requests)

    def _start(self, begin: int) -> None:
        chunk = slice(begin, begin + CHUNK)
        for (desk, request), report in zip(self._requests[chunk], self._reports[chunk], strict=True):
            try:
                told = start_cancel(desk, request, self._deadline)
            except Exception as error:  # noqa: BLE001 - one that cannot be started must not hold up the others
                report.set_exception(error)
            else:
                told.add_done_callback(partial(_pass_on, report))

    async def _start_rest(self) -> None:
        for begin in range(CHUNK, len(self._requests), CHUNK):
            await asyncio.sleep(0)
            self._start(begin)

    async def _all(self) -> list[CancelReport]:
        return [await asyncio.shield(report) for report in self._reports]

    def __await__(self) -> Generator[Any, None, list[CancelReport]]:
        return self._all().__await__()

    async def __aiter__(self) -> AsyncIterator[CancelReport]:
        done: asyncio.Queue[asyncio.Future[CancelReport]] = asyncio.Queue()
        for report in self._reports:
            report.add_done_callback(done.put_nowait)
        for _ in self._reports:
            yield (await done.get()).result()


def _pass_on(report: asyncio.Future[CancelReport], told: asyncio.Future[CancelReport]) -> None:
    if not report.done() and not told.cancelled():
        report.set_result(told.result())
