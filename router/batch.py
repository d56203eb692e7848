"""Many cancels at once: started in chunks, so that they don't hold up the event loop, and told as they complete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, TypeVar

from router.report import CancelReport

__all__ = ["CHUNK", "CancelBatch"]

CHUNK = 32  # cancels started between two yields, so that many at once don't hold up another venue's

Told = asyncio.Future[CancelReport]
T = TypeVar("T")


class CancelBatch:
    """Several cancels under way. Await it for the list of reports, or iterate as they complete; as often as you like.

    start: starts one of these items.
    """

    def __init__(self, items: list[T], start: Callable[[T], Told]) -> None:
        self._size = len(items)
        self._rest: list[Any] = items[
            ::-1
        ]  # those that are not started, the next one last: what is started is not kept
        self._begin: Callable[[Any], Told] = start
        self._told: list[Told] = []
        self._listeners: list[Callable[[Told], None]] = []
        self._start()
        loop = asyncio.get_running_loop()
        self._starting = loop.create_task(self._start_rest()) if self._rest else None

    def __len__(self) -> int:
        return self._size

    def _start(self) -> None:
        """The next chunk."""
        for _ in range(min(CHUNK, len(self._rest))):
            told = self._started(self._rest.pop())
            for listener in self._listeners:
                told.add_done_callback(listener)
            self._told.append(told)

    def _started(self, item: Any) -> Told:
        try:
            return self._begin(item)
        except Exception as error:  # noqa: BLE001 - one that cannot be started must not hold up the others
            told: Told = asyncio.get_running_loop().create_future()
            told.set_exception(error)
            return told

    async def _start_rest(self) -> None:
        while self._rest:
            await asyncio.sleep(0)
            self._start()

    async def _all(self) -> list[CancelReport]:
        if self._starting is not None:
            await asyncio.shield(self._starting)
        for told in self._told:
            if not told.done():
                await asyncio.wait([told])  # whoever waits may go away; the cancel does not
        return [told.result() for told in self._told]

    def __await__(self) -> Generator[Any, None, list[CancelReport]]:
        return self._all().__await__()

    async def __aiter__(self) -> AsyncIterator[CancelReport]:
        done: asyncio.Queue[Told] = asyncio.Queue()
        self._listeners.append(done.put_nowait)
        for told in self._told:
            told.add_done_callback(done.put_nowait)
        for _ in range(self._size):
            yield (await done.get()).result()
