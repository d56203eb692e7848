"""Open-order reads: one at a time, shared by all who need one that was asked for after their own moment.

Queries carry no id on some venues, so two reads are never under way at once. Whoever comes while one is running waits
for the next, unless the running one was asked for late enough. A page that comes after its time-out still serves those
for whom it is fresh enough.

When an answer is lost, the next one is taken for it, and so on for ever. So when a read ends without an answer although a
page came meanwhile, the unanswered ones are forgotten, and the next page counts as asked for when that read was.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from itertools import zip_longest

from attrs import define

from router.errors import ReadFailed, RouterError, VenueError
from router.venue import Execution, Reading, Snapshot

__all__ = ["Reader"]

log = logging.getLogger("router.session")

MAX_PAGES = 1000
TORN_READS = 3
TRIES = 2


@define(eq=False)
class _Waiter:
    since: float
    future: asyncio.Future[Reading]
    tries: int = 0


class Reader:
    """Reads for one session. ask: sends the request for a page; forget: drops the unanswered ones; changes: the ledger's
    count of changes.
    """

    def __init__(
        self,
        venue: str,
        ask: Callable[[str | None], Awaitable[Snapshot]],
        forget: Callable[[], None],
        changes: Callable[[], int],
    ) -> None:
        self._venue = venue
        self._ask = ask
        self._forget = forget
        self._changes = changes
        self._behind = False
        self._at_most = math.inf
        self._waiting: list[_Waiter] = []
        self._task: asyncio.Task[None] | None = None
        self.lane = asyncio.Lock()
        """Held while a query is under way; look-ups take it as well."""

    async def read(self, since: float) -> Reading:
        """All open orders, asked for after `since`. Raises ReadFailed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reading] = loop.create_future()
        self._waiting.append(_Waiter(since, future))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._serve())
        return await future

    def late(self, asked: float, page: Snapshot | None) -> None:
        """An answer whose time-out was over. Only a whole list is of use, and changes since then count as newer."""
        self._behind = True
        if page is not None and page.next is None and not page.step:
            self._tell(Reading(asked=asked, rows=page.rows, changes=-1))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail(ReadFailed(self._venue, "the session was closed"), math.inf, tries=1)

    async def _serve(self) -> None:
        """Read until nobody waits."""
        while self._waiting:
            async with self.lane:
                asked, changes = asyncio.get_running_loop().time(), self._changes()
                self._behind = False
                try:
                    rows = await self._whole()
                except RouterError as error:
                    self._failed(error, asked)
                except Exception as error:
                    log.exception("%s: a mistake of ours in a read", self._venue)
                    self._failed(ReadFailed(self._venue, type(error).__name__), asked)
                else:
                    self._tell(Reading(asked=min(asked, self._at_most), rows=rows, changes=changes))
                    self._at_most = math.inf

    def _failed(self, error: RouterError, asked: float) -> None:
        if self._behind:
            self._forget()
            self._at_most = asked
        text = error.text if isinstance(error, VenueError) else str(error)
        self._fail(ReadFailed(self._venue, text), asked, tries=TRIES)

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
        fresh = [waiter for waiter in self._waiting if waiter.since <= reading.asked]
        self._waiting = [waiter for waiter in self._waiting if waiter.since > reading.asked]
        for waiter in fresh:
            if not waiter.future.done():
                waiter.future.set_result(reading)

    def _fail(self, error: ReadFailed, asked: float, *, tries: int) -> None:
        """Whoever this read was for hears of it, if it was the last of his tries; who came later has the next."""
        for waiter in self._waiting:
            waiter.tries += waiter.since <= asked
        failed = [waiter for waiter in self._waiting if waiter.tries >= tries]
        self._waiting = [waiter for waiter in self._waiting if waiter.tries < tries and not waiter.future.done()]
        for waiter in failed:
            if not waiter.future.done():
                waiter.future.set_exception(error)
