"""Long work cut in parts, with a turn of the loop between two of them, so that ten thousand orders hold up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import MutableSequence, Sequence
from typing import Generic, Self, TypeVar

__all__ = ["PART", "Parts", "let_go"]

PART = 128  # rows, of which each takes some microseconds

T = TypeVar("T")


class Parts(Generic[T]):
    """`async for part in Parts(rows)`: a few rows are one part, and no turn is given away for them.

    Whatever may change in a turn of the loop has to be looked at again after it.
    """

    def __init__(self, rows: Sequence[T], size: int = PART) -> None:
        self._rows, self._size, self._at = rows, size, 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[T]:
        if self._at >= len(self._rows):
            raise StopAsyncIteration
        if self._at:
            await asyncio.sleep(0)
        part = self._rows[self._at : self._at + self._size]
        self._at += self._size
        return part


async def let_go(rows: MutableSequence[T]) -> None:
    """Forget them in parts, the last ones first: to free ten thousand orders at once takes some milliseconds."""
    while len(rows) > PART:
        del rows[-PART:]
        await asyncio.sleep(0)
    rows.clear()
