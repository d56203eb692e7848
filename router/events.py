"""What happens to orders, as strategies hear it: each consumer has a queue of its own, and nothing is dropped."""

from __future__ import annotations

import asyncio
from typing import Self
from weakref import ref

from router.report import Event

__all__ = ["EventStream", "EventStreams"]


class EventStream:
    """One consumer's events. Iterate it; it ends when the Router is closed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def put(self, event: Event) -> None:
        self._queue.put_nowait(event)

    def end(self) -> None:
        self._queue.put_nowait(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._queue.get()
        if event is None:
            self.end()  # so that a further call ends as well
            raise StopAsyncIteration
        return event


class EventStreams:
    """The streams that somebody still holds. While none is held, no Event need be made."""

    def __init__(self) -> None:
        self.held: list[ref[EventStream]] = []

    def new(self) -> EventStream:
        stream = EventStream()
        self.held.append(ref(stream, self.held.remove))
        return stream

    def publish(self, event: Event) -> None:
        for stream in self._alive():
            stream.put(event)

    def end(self) -> None:
        """Nothing will happen any more."""
        for stream in self._alive():
            stream.end()

    def _alive(self) -> list[EventStream]:
        return [stream for each in self.held if (stream := each()) is not None]
