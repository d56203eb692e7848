"""One venue of a gateway: it stands by, owns the venue for as long as it has the lease, and stands by again.

Rules:

1. Nothing is done at the venue, and nobody is told of an owner, but under a lease that has not run out.
2. The lease is given back when everything that could write is closed, so that a standby takes it at once.
3. A journal that can't be opened gives the venue back as well: another gateway's may be whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen
from nats.errors import Error as NatsError

from router.cluster import subjects, wire
from router.cluster.ownership.lease import Lease
from router.cluster.serving.tenure import Tenure
from router.cluster.stream.copying import Copying
from router.errors import GatewayError, RouterError
from router.journal.identity import identity
from router.report import Health, SessionState
from router.venue import Adapter

if TYPE_CHECKING:
    from router.cluster.broker.connection import Connection

__all__ = ["Note", "Post"]

log = logging.getLogger("router.cluster")

TICKS: Final = 4  # announcements in a TTL
LONGEST_TICK: Final = 1.0  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before another attempt with a journal that can't be opened
COPY: Final = 1.0  # seconds that the last entries have to be copied in


def _now() -> datetime:
    return datetime.now(UTC)


@frozen(kw_only=True)
class Note:
    """Something that the gateway's operator should know. venue: "" where it is of no one venue. is_trouble: not as it should be."""

    what: str
    text: str
    venue: str = ""
    tenure: str = ""
    is_trouble: bool = False
    at: datetime = field(factory=_now)


class Post:
    """See above. options: the Router's. tell: is told of each Note."""

    def __init__(
        self,
        venue: str,
        adapter: Adapter,
        connection: Connection,
        *,
        gateway: str,
        journal: Path,
        ttl: float,
        replicas: int,
        options: dict[str, Any],
        tell: Callable[[Note], None],
    ) -> None:
        self.venue = venue
        self._adapter, self._connection, self._gateway = adapter, connection, gateway
        self._journal, self._ttl, self._options, self._tell = journal, ttl, options, tell
        own = partial(identity, journal)
        self._lease = Lease(connection, venue, gateway=gateway, ttl=ttl, identity=own, replicas=replicas)
        self._lease.changed = self._changed
        self._copying = Copying(connection, venue, journal, replicas=replicas)
        self._tenure: Tenure | None = None
        self._closing = asyncio.Event()
        self._soon = asyncio.Event()
        self._state: SessionState | None = None
        self._copied = self._fault = ""
        self._pause = FIRST_PAUSE
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin to stand by."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run()), loop.create_task(self._copying.run())]

    async def close(self) -> None:
        """Give the venue up, if it is ours."""
        self._closing.set()
        if self._tasks:
            running, copying = self._tasks
            await asyncio.wait([running])
            if self._connection.is_up:
                await self._copying.caught_up(COPY)
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)

    def hurry(self) -> None:
        """Something has changed that others should hear of."""
        self._soon.set()

    def owned(self) -> wire.Owned:
        """How this gateway stands to the venue."""
        tenure = self._tenure
        if tenure is None:
            return wire.Owned()
        return wire.Owned(tenure=tenure.name, fenced=bool(self._lease.why_not()), health=tenure.health)

    def standing(self, now: float) -> wire.Standing:
        """What is announced of it. now: wall time."""
        return wire.Standing(gateway=self._gateway, now=now, ttl=self._ttl, venues={self.venue: self.owned()})

    # -- standing by

    async def _run(self) -> None:
        try:
            while not self._closing.is_set():
                if not await self._turn():
                    await self._unless_closing(asyncio.sleep(self._pause))
                    self._pause = min(2 * self._pause, LONGEST_PAUSE)
        except Exception:
            log.exception("%s: a mistake of ours in standing by", self.venue)
            self._note("failed", "does nothing any more, because of a mistake of ours; see the log", is_trouble=True)
        finally:
            await self._lease.close()

    async def _turn(self) -> bool:
        """Stand by, and own it. False: something was in the way, or the gateway is being closed."""
        try:
            if not await self._is_usable():
                return False
            self._note("standby", "stands by")
            return await self._unless_closing(self._lease.take()) and await self._own()
        except Exception:
            if self._tenure is not None:  # not all of it is closed: something could write once the lease is taken anew
                raise
            log.exception("%s: a mistake of ours in owning it", self.venue)
            await self._lease.release()
            self._note("failed", "can't own it, because of a mistake of ours; see the log", is_trouble=True)
            return False

    async def _is_usable(self) -> bool:
        """Whether the journal can be opened, as far as can be seen from outside: who can't own the venue does not even try."""
        try:
            await asyncio.to_thread(identity, self._journal)
        except RouterError as error:
            self._note("failed", f"can't own it: {error}", is_trouble=True)
            return False
        return True

    async def _unless_closing(self, work: Awaitable[None]) -> bool:
        """Whether it came to its end before the gateway is closed."""
        task, closing = asyncio.ensure_future(work), asyncio.ensure_future(self._closing.wait())
        await asyncio.wait([task, closing], return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return False
        task.result()
        return True

    # -- owning

    async def _own(self) -> bool:
        """Until the lease is lost or the gateway closed. False: it could not even begin."""
        tenure = self._new_tenure()
        loop = asyncio.get_running_loop()
        opening = loop.create_task(tenure.open())
        serving = loop.create_task(self._serve(tenure))
        ends = [loop.create_task(self._lease.until_lost()), loop.create_task(self._closing.wait())]
        try:
            await asyncio.wait([opening, *ends], return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                opening.result()
                self._lease.holds_journal = True
                self._pause = FIRST_PAUSE
                self._note("owner", "owns it", tenure.name)
                self.hurry()
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        except RouterError as error:
            self._note("failed", f"can't own it: {error}", tenure.name, is_trouble=True)
            return False
        finally:
            for task in (opening, serving, *ends):
                task.cancel()
            await asyncio.gather(opening, serving, *ends, return_exceptions=True)
            await self._leave(tenure)
        return True

    def _new_tenure(self) -> Tenure:
        lease, self._state, self._fault = self._lease, None, ""
        self._tenure = tenure = Tenure(
            self.venue,
            self._adapter,
            lease.tenure,
            lease.epoch,
            gateway=self._gateway,
            connection=self._connection,
            journal=self._journal,
            why_not=lease.why_not,
            written=self._copying.wake,
            **self._options,
        )
        return tenure

    async def _leave(self, tenure: Tenure) -> None:
        """Rule 2."""
        was_lost = self._lease.lost.is_set()
        why = self._lease.why_not() if was_lost else "it was given back"
        await tenure.close()
        self._lease.holds_journal = False
        self._tenure = None
        await self._lease.release()
        self._note("lost" if was_lost else "released", why, tenure.name, is_trouble=was_lost)

    # -- telling

    async def _serve(self, tenure: Tenure) -> None:
        """Listen, and announce it, as often as others have to hear of it."""
        while True:
            self._soon.clear()
            if self._connection.is_up and not self._lease.why_not():
                await self._announce(tenure)
            self._look(tenure)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._ttl / TICKS, LONGEST_TICK)):
                    await self._soon.wait()

    async def _announce(self, tenure: Tenure) -> None:
        try:
            await tenure.listen()
            if not self._lease.why_not():
                self._connection.send(subjects.owner(self.venue), wire.encode(self.standing(tenure.now())))
        except (GatewayError, NatsError, OSError, TimeoutError) as error:
            log.info("%s: nobody could be told that it is owned: %r", self.venue, error)
        except Exception:  # it is tried again, and nobody would hear of an owner else
            log.exception("%s: a mistake of ours in telling that it is owned", self.venue)

    def _changed(self) -> None:
        """The fence has come down, or gone up."""
        tenure, why = self._tenure, self._lease.why_not()
        if tenure is None or self._lease.lost.is_set():
            return
        if why:
            self._note("fenced", why, tenure.name, is_trouble=True)
        else:
            self._note("unfenced", "the lease is renewed", tenure.name)
            tenure.unfenced()
        self.hurry()

    def _look(self, tenure: Tenure) -> None:
        """Tell how the venue is, where that has changed."""
        health = tenure.health
        if health is not None and health.state is not self._state:
            self._state = health.state
            self._note(str(health.state), _how(health), tenure.name, is_trouble=health.state is not SessionState.READY)
        if tenure.fault != self._fault:
            self._fault = tenure.fault
            self._note("journal", self._fault, tenure.name, is_trouble=True)
        if self._copying.trouble != self._copied:
            self._copied = self._copying.trouble
            text = f"its journal is not copied: {self._copied}" if self._copied else "its journal is copied again"
            self._note("copying", text, tenure.name, is_trouble=bool(self._copied))

    def _note(self, what: str, text: str, tenure: str = "", *, is_trouble: bool = False) -> None:
        self._tell(Note(what=what, text=text, venue=self.venue, tenure=tenure, is_trouble=is_trouble))


def _how(health: Health) -> str:
    if health.state is SessionState.READY:
        return "the venue is connected"
    return f"the venue is {health.state}: {health.last_error or 'no connection yet'}"
