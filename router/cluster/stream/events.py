"""What happens to orders, as the gateways' journals tell it to strategies: out of the venues' streams, in order.

    stream = RemoteEvents(connection, venues, strategy)            # from now on: from this very call
    stream = RemoteEvents(connection, venues, strategy, "worker")  # from where this name was
    stream.add(venue)                                              # one more, which has become known since
    async for event in stream: ...                                 # router.report.Event
    stream.end()                                                   # synchronous; what was heard before is still told
    stream.troubles                                                # venue -> why nothing of it is heard just now

`stream.copies` is the same with everything that is copied, settlements included: iterate one of the two.

Rules:

1. Nothing that happens after the call is missed, also when NATS can't be reached at that moment; what happened some milliseconds
   before it may be told as well. Whatever ends meanwhile (the connection, the consumer, nats-server), reading goes on where it was.
2. Of one journal, each entry is told once, in the order of its numbers. Between two journals of a venue (its owner has changed)
   there is no order.
3. With a name: what was told and not followed by the asking for the next one is told again when the name comes back. A name that
   is new begins with the call. One reader at a time may have a name.
4. One venue that can't be read holds up no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final, Self
from weakref import finalize

from router.cluster import subjects
from router.cluster.broker.connection import Connection
from router.cluster.stream.copies import Copy, decode
from router.cluster.stream.pulling import Pulled, Pulling, now
from router.errors import Garbled
from router.report import Event

__all__ = ["Copies", "RemoteEvents"]

log = logging.getLogger("router.cluster")

OF_A_STRATEGY: Final = "="  # between the strategy's name and what it calls a reader: in neither of them


class Copies:
    """Everything that is copied, of these venues. Iterate it. Raises ValueError for a name that NATS can't have."""

    def __init__(self, connection: Connection, venues: Iterable[str], strategy: str, resume: str | None = None) -> None:
        self._connection, self._strategy = connection, strategy
        self._resume = None if resume is None else subjects.token(resume, "resume")
        self._since = now()
        self._heard = _Heard()
        self._readers: dict[str, Pulling] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._told: Pulled | None = None
        self._drop = finalize(self, _cancel, self._tasks)
        self._drop.atexit = False
        for venue in venues:
            self.add(venue)

    def add(self, venue: str) -> None:
        """Read this venue as well, from the same moment on."""
        if venue in self._readers or not self._drop.alive:
            return
        durable = None if self._resume is None else f"{self._strategy}{OF_A_STRATEGY}{self._resume}"
        reader = Pulling(
            self._connection,
            subjects.stream(venue),
            self._heard.put,
            since=self._since,
            strategy=self._strategy,
            durable=durable,
        )
        self._readers[venue] = reader
        self._tasks.append(asyncio.get_running_loop().create_task(reader.run()))

    def end(self) -> None:
        """Read no further."""
        if self._drop.alive:
            self._drop()
            self._heard.queue.put_nowait(None)

    @property
    def troubles(self) -> dict[str, str]:
        """Of the venues that can't be read just now: why."""
        return {venue: reader.trouble for venue, reader in self._readers.items() if reader.trouble}

    @property
    def is_reading(self) -> bool:
        """Whether all of them are being read at this moment."""
        return all(reader.is_attached for reader in self._readers.values())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Copy:
        told, self._told = self._told, None
        if told is not None:
            await told.reader.done(told)
        while True:
            heard = await self._heard.queue.get()
            if heard is None:
                self._heard.queue.put_nowait(None)  # so that a further call ends as well
                raise StopAsyncIteration
            pulled, copy = heard
            pulled.reader.taken()
            if copy is not None:
                self._told = pulled
                return copy
            await pulled.reader.done(pulled)


class _Heard:
    """What the readers have heard and nobody has taken yet, each entry once (rule 2). None: the end."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[Pulled, Copy | None] | None] = asyncio.Queue()
        self._last: dict[str, int] = {}

    def put(self, pulled: Pulled) -> None:
        self.queue.put_nowait((pulled, self._news(pulled)))

    def _news(self, pulled: Pulled) -> Copy | None:
        try:
            copy = decode(pulled.body)
        except Garbled as error:
            log.warning("%s: entry %d of the stream is left out: %s", pulled.reader.stream, pulled.sequence, error)
            return None
        if copy.number <= self._last.get(copy.journal, 0):
            return None  # told before
        self._last[copy.journal] = copy.number
        return copy


class RemoteEvents:
    """One consumer's events. Iterate it; it ends when the RemoteRouter is closed."""

    def __init__(self, connection: Connection, venues: Iterable[str], strategy: str, resume: str | None = None) -> None:
        self.copies = Copies(connection, venues, strategy, resume)

    def add(self, venue: str) -> None:
        """Read this venue as well, from the same moment on."""
        self.copies.add(venue)

    def end(self) -> None:
        """Read no further."""
        self.copies.end()

    @property
    def troubles(self) -> dict[str, str]:
        """Of the venues that can't be read just now: why."""
        return self.copies.troubles

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        async for copy in self.copies:
            try:
                event = copy.event()
            except Garbled as error:
                log.warning("%s: entry %d of a journal is left out: %s", copy.venue, copy.number, error)
                continue
            if event is not None:
                return event
        raise StopAsyncIteration


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    """Also when nobody holds the stream any more, which any thread may notice."""
    for task in tasks:
        loop = task.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
