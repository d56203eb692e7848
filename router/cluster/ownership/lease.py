"""The lease of one venue: taken, renewed and given back over NATS, by the rules of router.cluster.ownership.leasing.

Rules:

1. why_not() is asked before every write to a venue. It compares two numbers and waits for nothing, so that it is right also in a
   process that was stopped and is woken.
2. Its clock goes on while the machine is suspended: time.monotonic() does not on Linux, and a standby elsewhere would have
   taken over long since.
3. Whatever goes wrong in here ends with a lease that runs out, never with one that stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from router.cluster.ownership.bucket import Away, Bucket, Connected
from router.cluster.ownership.holding import Holding
from router.cluster.ownership.leasing import FENCE, RENEW, Found, Look, Own, Read, Record, Wait, Write
from router.cluster.ownership.standingby import Standby

__all__ = ["Lease", "clock"]

LONGEST_RELEASE: Final = 2.0
_log = logging.getLogger("router.cluster")

clock: Final = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Seconds, of rule 2. It has no beginning that means anything."""


class Lease:
    """Who owns one venue, as this gateway knows it.

    connection: what has a nats-py client as .client, connected or not. gateway: this one's name. ttl: the same for all gateways.
    identity: tells this gateway's own journal (router.journal.identity), or None while there is none; called in a thread.
    replicas: on how many nodes the bucket is kept, where it is yet to be made.

    changed is called when why_not() begins or ceases to be "". holds_journal: whether the journal is open here; to be set once it is,
    and unset before it is closed. Only then a successor on the same journal need not wait (rule 4 there).
    """

    def __init__(
        self,
        connection: Connected,
        venue: str,
        *,
        gateway: str,
        ttl: float,
        identity: Callable[[], Own | None],
        replicas: int = 1,
    ) -> None:
        self.venue, self.gateway, self.ttl = venue, gateway, ttl
        self.lost = asyncio.Event()
        self.changed: Callable[[], None] = _nothing
        self.holds_journal = False
        self.seen: Record | None = None
        """What was last read of who owns the venue; None: nothing can be read, or there is nothing."""
        self.problem = ""
        """Why NATS, or the own journal, can't be asked at the moment."""
        self._bucket = Bucket(connection, timeout=ttl * RENEW, replicas=replicas)
        self._identity = identity
        self._until = -math.inf
        self._holding: Holding | None = None
        self._why_lost = "it was never taken"
        self._renewing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._was_open = False

    def __repr__(self) -> str:
        return f"<lease on {self.venue!r} of {self.gateway!r}, {self.why_not() or self.tenure}>"

    @property
    def tenure(self) -> str:
        """The name of our time as the owner; none ("") unless it is ours. It stays while NATS can't be asked, until somebody else has it."""
        return self._holding.tenure if self._holding is not None else ""

    @property
    def epoch(self) -> int:
        return self._holding.epoch if self._holding is not None else 0

    def why_not(self) -> str:
        """Nothing ("") while this gateway may write to the venue; else why it may not."""
        if clock() < self._until:
            return ""
        if self._holding is None:
            return f"this gateway does not own {self.venue!r}: {self._why_not_ours()}"
        late = clock() - self._until + FENCE * self.ttl
        return f"the lease on {self.venue!r} has run out: NATS has not renewed it for {late:.1f} s"

    def _why_not_ours(self) -> str:
        seen = self.seen
        if seen is not None and seen.tenure and not seen.released and seen.gateway != self.gateway:
            return f"gateway {seen.gateway!r} does"
        return self._why_lost

    async def until_lost(self) -> str:
        """Why it was lost, for good, once it is."""
        await self.lost.wait()
        return self._why_lost

    # -- standing by

    async def take(self) -> None:
        """Stand by until it is ours, and renew it from then on. Again, when it was lost."""
        if self._renewing is not None and not self._renewing.done():
            raise RuntimeError(f"the lease on {self.venue!r} is taken or was taken; it is lost first")
        standby = Standby(self.gateway, self.ttl)
        while standby.won is None:
            await self._turn(standby)
        self.lost.clear()
        self.holds_journal = False
        self._holding = standby.won
        self._renewing = asyncio.create_task(self._renew(standby.won), name=f"lease on {self.venue}")
        self._follow(standby.won)

    async def _turn(self, party: Standby | Holding) -> None:
        """One step of it."""
        step = party.step(clock())
        try:
            match step:
                case Wait(until):
                    await asyncio.sleep(max(0.0, until - clock()))
                case Read():
                    found = await self._bucket.read(self.venue)
                    self._saw(found)
                    party.read(clock(), found)
                case Write(record, last):
                    revision = await self._bucket.write(self.venue, record, last)
                    party.wrote(clock(), revision)
                case Look():
                    await self._look(party)
        except Away as error:
            self._failed(str(error), is_read=isinstance(step, Read))
            party.failed(clock())

    def _saw(self, found: Found) -> None:
        self.seen, self.problem = found.record if found.revision else None, ""

    def _failed(self, problem: str, *, is_read: bool) -> None:
        if problem != self.problem:
            _log.warning("lease on %s: %s", self.venue, problem)
        self.problem = problem
        if is_read:
            self.seen = None

    async def _look(self, party: Standby | Holding) -> None:
        own = await self._own()
        if isinstance(party, Standby):
            party.looked(own)

    async def _own(self) -> Own | None:
        try:
            return await asyncio.to_thread(self._identity)
        except Exception as error:
            raise Away(f"the journal can't be looked at: {error}"[:300]) from error

    # -- owning

    async def _renew(self, holding: Holding) -> None:
        try:
            while not holding.lost:
                await self._name_journal(holding)
                await self._turn(holding)
                if not holding.lost:  # else it ends below, and why is told
                    self._follow(holding)
        except Exception:  # noqa: BLE001 - rule 3
            _log.exception("lease on %s", self.venue)
            holding.lost = "of a mistake in the lease's own code, which was logged"
        self._end(holding.lost)

    async def _name_journal(self, holding: Holding) -> None:
        if self.holds_journal == (holding.own is not None):
            return
        holding.own = None
        if self.holds_journal:
            with contextlib.suppress(Away):
                own = await self._own()
                holding.own = own if own is not None and own.is_held and self.holds_journal else None

    def _follow(self, holding: Holding) -> None:
        """Take over what it knows."""
        if self._holding is holding:
            self._until = holding.until
            self._tell()

    def _tell(self) -> None:
        """Say it where the fence has come down or gone up, and look again when it will come down by itself."""
        left = self._until - clock()
        if (left > 0) is not self._was_open:
            self._was_open = left > 0
            self.changed()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(left, self._tell) if left > 0 else None

    def _end(self, why: str) -> None:
        self._until = -math.inf
        if self._holding is not None:
            self._why_lost, self._holding = why, None
        self._tell()
        self.lost.set()

    # -- giving it up

    async def release(self) -> None:
        """Stop at once, and give it back so that a standby takes it now. Without an answer from NATS it runs out by itself."""
        holding = self._holding
        await self._stop("it was given back")
        if holding is None or holding.lost:
            return
        holding.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self.ttl, LONGEST_RELEASE)):
                while not holding.lost:
                    await self._turn(holding)

    async def close(self) -> None:
        """Stop at once, and renew it no more."""
        await self._stop("this gateway is closing")

    async def _stop(self, why: str) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
            self._renewing = None
        self._end(why)


def _nothing() -> None:
    pass
