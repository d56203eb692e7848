"""Open-order reads: one at a time, shared by all who need one that was asked for after their own moment.

Queries carry no id on some venues, so two reads are never under way at once. Whoever comes while one is running waits
for the next, unless the running one was asked for late enough. A page that comes after its time-out still serves those
for whom it is fresh enough.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from itertools import zip_longest

from router.errors import ReadFailed, RouterError, VenueError
from router.venue import Execution, Reading, Snapshot

__all__ = ["Reader"]

MAX_PAGES = 1000
TORN_READS = 3


class Reader:
    """Reads for one session. ask: sends the request for a page; changes: the ledger's count of changes."""

    def __init__(
        self, venue: str, ask: Callable[[str | None], Awaitable[Snapshot]], changes: Callable[[], int]
    ) -> None:
        self._venue = venue
        self._ask = ask
        self._changes = changes
        self._waiting: list[tuple[float, asyncio.Future[Reading]]] = []
        self._task: asyncio.Task[None] | None = None
        self.lane = asyncio.Lock()
        """Held while a query is under way; look-ups take it as well."""

    async def read(self, since: float) -> Reading:
        """All open orders, asked for after `since`. Raises ReadFailed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reading] = loop.create_future()
        self._waiting.append((since, future))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._serve())
        return await future

    def late(self, asked: float, page: Snapshot) -> None:
        """A page whose time-out was over. Only a whole answer is of use, and changes since then count as newer."""
        if page.next is None and not page.step:
            self._tell(Reading(asked=asked, rows=page.rows, changes=-1))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail(ReadFailed(self._venue, "the session was closed"), math.inf)

    async def _serve(self) -> None:
        """Read until nobody waits."""
        while self._waiting:
            async with self.lane:
                asked, changes = asyncio.get_running_loop().time(), self._changes()
                try:
                    self._tell(Reading(asked=asked, rows=await self._whole(), changes=changes))
                except RouterError as error:
                    text = error.text if isinstance(error, VenueError) else str(error)
                    self._fail(ReadFailed(self._venue, text), asked)

    async def _whole(self) -> tuple[Execution, ...]:
        """Every page, read again when rows moved between two of them."""
        for _ in range(TORN_READS):
            rows = await self._pages()
            if rows is not None:
                return rows
        raise ReadFailed(self._venue, f"the open orders changed during each of {TORN_READS} reads of several pages")

    async def _pages(self) -> tuple[Execution, ...] | None:
        rows: dict[str, Execution] = {}
        tail: tuple[str | None, ...] = ()
        cursor, offset = None, 0
        for _ in range(MAX_PAGES):
            page = await self._ask(cursor)
            if any(last is not None and last != first for last, first in zip_longest(tail, page.head)):
                return None
            rows.update((row.order_id, row) for row in page.rows)
            if page.next is None and not page.step:
                return tuple(rows.values())
            tail, offset = page.tail, offset + page.step
            cursor = page.next or str(offset)
        raise ReadFailed(self._venue, f"more than {MAX_PAGES} pages of open orders")

    def _tell(self, reading: Reading) -> None:
        fresh = [future for since, future in self._waiting if since <= reading.asked]
        self._waiting = [(since, future) for since, future in self._waiting if since > reading.asked]
        for future in fresh:
            if not future.done():
                future.set_result(reading)

    def _fail(self, error: ReadFailed, asked: float) -> None:
        """Whoever this read was for hears of it; who came later has the next."""
        failed = [future for since, future in self._waiting if since <= asked]
        self._waiting = [(since, future) for since, future in self._waiting if since > asked]
        for future in failed:
            if not future.done():
                future.set_exception(error)
