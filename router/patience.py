"""A venue that is waited for so long when it is opened, and no longer: one that hangs in its login holds up nobody."""

from __future__ import annotations

import asyncio
from typing import Any

from router.venue import Adapter, Listener

__all__ = ["Patient"]


class Patient:
    """An adapter whose open() goes on in the background after so many seconds. All the rest is the adapter's own.

    lenient: a login that fails is tried again there, also where the Router is strict.
    """

    def __init__(self, adapter: Adapter, seconds: float, *, lenient: bool = False) -> None:
        self._adapter, self._seconds, self._lenient = adapter, seconds, lenient
        self._opening: asyncio.Task[None] | None = None

    async def open(self, name: str, listener: Listener, *, strict: bool) -> None:
        opening = self._adapter.open(name, listener, strict=strict and not self._lenient)
        self._opening = asyncio.get_running_loop().create_task(opening)
        done, _ = await asyncio.wait([self._opening], timeout=self._seconds)
        for task in done:
            task.result()

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._adapter.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)
