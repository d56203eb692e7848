"""A venue that is waited for so long when it is opened, and no longer: one that hangs in its login holds up nobody."""

from __future__ import annotations

import asyncio
from typing import Any

from router.venue import Adapter, Listener

__all__ = ["Patient"]


class Patient:
    """An adapter that goes on trying in the background, whatever stands in its way. All the rest is the adapter's own."""

    def __init__(self, adapter: Adapter, seconds: float) -> None:
        self._adapter, self._seconds = adapter, seconds
        self._opening: asyncio.Task[None] | None = None

    async def open(self, name: str, listener: Listener, *, strict: bool) -> None:  # noqa: ARG002 - it never is
        self._opening = asyncio.get_running_loop().create_task(self._adapter.open(name, listener, strict=False))
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
