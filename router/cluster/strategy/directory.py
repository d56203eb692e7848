"""What a strategy knows of the gateways: who owns each venue, what its clock says, and how the venue is.

Rules:

1. An owner is who says so: when it takes over, each time that it renews, and when `router.who` is asked. Of two the higher epoch counts;
   a lower or the same one only when the other was not heard of for SILENCE TTLs, because epochs may begin anew with an empty NATS.
2. A tenure at which nobody listens ("no responders") owns nothing until it is heard of again.
3. Who needs an owner that is not known, or not heard of lately, has `router.who` asked; many who need one ask once.
4. A venue whose owner the server does not let us listen to is not ours: it can be named, and "every venue" leaves it out.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from attrs import define, evolve
from msgspec import structs

from router.cluster import subjects, wire
from router.cluster.broker.connection import Connection
from router.cluster.strategy.clocks import Clocks
from router.errors import Garbled, GatewayError, GatewayUnreachable, NotAuthorised, RouterClosed
from router.report import Health, SessionState

__all__ = ["Directory", "Seat"]

SILENCE: Final = 3.0  # TTLs in which an owner that is there says so many times
ROUND: Final = 0.5  # seconds in which the first gateway answers `router.who`, or none is there
GRACE: Final = 0.05  # seconds after an answer in which the others come
OFTEN: Final = 0.25  # seconds between two rounds while an owner is missing
SELDOM: Final = 2.0  # and else
MOST: Final = 1000  # venues, and gateways


@define(eq=False)
class Seat:
    """One venue. tenure: of its owner; "" while none is known. heard: when it last said so, monotonic."""

    venue: str
    tenure: str = ""
    epoch: int = 0
    gateway: str = ""
    ttl: float = 1.0
    heard: float = -1e9
    health: Health | None = None
    told: float = -1e9
    is_ours: bool = True
    is_listened_to: bool = False

    @property
    def is_owned(self) -> bool:
        """Whether its owner is known and was heard of lately."""
        return bool(self.tenure) and time.monotonic() - self.heard < SILENCE * self.ttl


class Directory:
    """The gateways as one strategy knows them. moved: told of a venue that has a new owner; ended: that a round of `router.who` is over;
    met: of a venue that was not known before.
    """

    def __init__(
        self,
        connection: Connection,
        strategy: str,
        moved: Callable[[Seat], None] = lambda _: None,
        ended: Callable[[], None] = lambda: None,
        met: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._connection, self._moved, self._ended, self._met = connection, moved, ended, met
        self._seats: dict[str, Seat] = {}
        self._clocks = Clocks()
        self._gateways: dict[str, tuple[float, float]] = {}
        """When each was last heard of, and its TTL."""
        self._inbox = f"{subjects.inbox(strategy)}.{secrets.token_hex(8)}.who"
        self._numbers = count(1)
        self._round: _Round | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._opened = datetime.now(UTC)
        self.denied = ""
        """Why `router.who` cannot be asked."""
        self._was_up = False
        self.connections = 0
        """How often the connection was made."""
        self.is_closed = False
        self.news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when an owner changes, the connection comes or goes, a round ends, or all is over; then there is a new one."""

    # -- life

    async def open(self) -> None:
        """Learn who is there. Raises NotAuthorised where even that is not allowed."""
        await self._connection.client.subscribe(f"{self._inbox}.*", cb=self._answered)
        await self.ask()
        if self.denied:
            raise NotAuthorised(self.denied)
        await self._listen()
        with suppress(Exception):  # the rest of the denials come before the pong; without one they come later
            await self._connection.client.flush(1)
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        self.is_closed = True
        if self._round is not None:
            self._round.end()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._tell()

    async def _keep(self) -> None:
        """Listen to new venues, and look for owners that nobody tells of."""
        while not self.is_closed:  # nats-py may keep a cancellation to itself
            with suppress(TimeoutError):
                async with asyncio.timeout(SELDOM if self._all_owned() else OFTEN):
                    await self._wake.wait()
            self._wake.clear()
            if self._connection.is_up:
                await self._listen()
            if self._connection.is_up and not self.is_closed:
                await self.ask()

    def _all_owned(self) -> bool:
        return bool(self._seats) and all(seat.is_owned for seat in self._seats.values())

    async def _listen(self) -> None:
        """To the owners of all venues that are known."""
        for seat in [seat for seat in self._seats.values() if not seat.is_listened_to]:
            seat.is_listened_to = True
            with suppress(Exception):  # while the connection is going: it is subscribed when it is back
                await self._connection.client.subscribe(subjects.owner(seat.venue), cb=self._announced)

    def changed(self) -> bool:
        """The connection may have come or gone. Whether it has come."""
        if self._connection.is_up is self._was_up:
            return False
        self._was_up = self._connection.is_up
        if self._was_up:
            self.connections += 1
            self.denied = ""  # rights may have been given since: what is still forbidden is told again
            for seat in self._seats.values():
                seat.is_ours = True
            self._wake.set()
        elif self._round is not None:
            self._round.end()
        self._tell()
        return self._was_up

    def refused(self, operation: str, subject: str) -> None:
        """The server does not allow something."""
        if (operation, subject) == ("publish", subjects.WHO):
            self.denied = f"the NATS server does not let this strategy publish {subjects.WHO}"
            if self._round is not None:
                self._round.end()
        for seat in self._seats.values():
            if operation == "subscribe" and subject == subjects.owner(seat.venue):
                seat.is_ours = False

    # -- what is known

    @property
    def is_connected(self) -> bool:
        return self._connection.is_up

    @property
    def venues(self) -> list[str]:
        """Those that are ours."""
        return [name for name, seat in self._seats.items() if seat.is_ours]

    @property
    def has_gateways(self) -> bool:
        """Whether any gateway was heard of lately."""
        now = time.monotonic()
        return any(now - heard < max(SILENCE * ttl, 2 * SELDOM) for heard, ttl in self._gateways.values())

    def owner(self, venue: str) -> Seat | None:
        """Whoever owns it, if that is known and was heard of lately."""
        seat = self._seats.get(venue)
        return seat if seat is not None and seat.is_owned else None

    def has(self, venue: str) -> bool:
        return venue in self._seats

    def tenure(self, venue: str) -> str:
        """Of the last owner that was heard of."""
        seat = self._seats.get(venue)
        return "" if seat is None else seat.tenure

    def why_not(self, venue: str) -> str:
        """Why nothing can be sent there."""
        if self.is_closed:
            return "the Router was closed"
        if not self._connection.is_up:
            return "not connected to NATS"
        if self.denied:
            return f"not authorised: {self.denied}"
        if not self.has_gateways:
            return "no gateway is there"
        if venue not in self._seats:
            return "no gateway serves it"
        return "no gateway owns it at the moment"

    def clock(self, gateway: str) -> float:
        """What its wall clock says now."""
        return self._clocks.now(gateway)

    def health(self, venue: str) -> Health:
        """As it was last told; BACKING_OFF where nobody tells any more."""
        seat = self._seats[venue]
        known = seat.health or Health(state=SessionState.CONNECTING, since=self._opened)
        silent = time.monotonic() - max(seat.told, seat.heard)
        if seat.health is not None and silent < SILENCE * seat.ttl and self._connection.is_up:
            return known
        why = (
            self.why_not(venue)
            if not (self._connection.is_up and seat.is_owned)
            else "its owner has not told how it is"
        )
        state = SessionState.CLOSED if self.is_closed else SessionState.BACKING_OFF
        return evolve(known, state=state if seat.health or self.is_closed else known.state, last_error=why)

    def gone(self, seat: Seat, tenure: str) -> None:
        """Nobody listens to this tenure (rule 2)."""
        if seat.tenure == tenure:
            seat.heard = -1e9
            self._wake.set()

    # -- asking

    def ask(self) -> asyncio.Future[None]:
        """Have all gateways tell what they own. Done when they have, or nobody did."""
        if self._round is None or self._round.over.done():
            number = next(self._numbers)
            self._round = _Round(number, self._over)
            try:
                self._connection.send(subjects.WHO, b"", f"{self._inbox}.{number}")
            except GatewayError:
                self._round.end()
        return self._round.over

    def _over(self) -> None:
        self._ended()
        self._tell()

    async def until_met(self, venue: str | None) -> None:
        """Until it is known, or every gateway has said that it does not serve it."""
        answers = self.ask()
        while not (answers.done() or venue in self._seats):
            await asyncio.wait([answers, self.news], return_when=asyncio.FIRST_COMPLETED)

    async def until_owned(self, venue: str, *, patient: bool) -> Seat:
        """Its owner. Raises GatewayUnreachable: there is none; with patient it is waited for. RouterClosed: it never will be known."""
        asked = False
        while True:
            if self.is_closed:
                raise RouterClosed("the Router was closed")
            seat = self.owner(venue)
            if seat is not None and self._connection.is_up:
                return seat
            if not self._connection.is_up and not patient:
                raise GatewayUnreachable(self.why_not(venue))
            if asked and not patient and (self._round is None or self._round.over.done()):
                raise GatewayUnreachable(self.why_not(venue))
            news = self.news
            if not asked and self._connection.is_up:
                asked = True
                self.ask()
            if not news.done():
                await asyncio.wait([news])

    def _tell(self) -> None:
        news, self.news = self.news, asyncio.get_running_loop().create_future()
        if not news.done():
            news.set_result(None)

    # -- what gateways say

    async def _answered(self, message: Any) -> None:
        """To `router.who`: a Standing, or that nobody is there."""
        now, number = time.monotonic(), message.subject.rpartition(".")[2]
        asked = self._round if self._round is not None and str(self._round.number) == number else None
        if not message.data and (message.headers or {}).get("Status") == "503":
            if asked is not None:
                asked.end()
            return
        with suppress(Garbled, ValueError):
            self._take(wire.standing(message.data), None if asked is None else asked.sent, now)
        if asked is not None:
            asked.answered()

    async def _announced(self, message: Any) -> None:
        """By an owner: its own venue counts, whatever else it says."""
        venue = message.subject.rpartition(".")[2]
        with suppress(Garbled, ValueError):
            said = wire.standing(message.data)
            own = {name: owned for name, owned in said.venues.items() if name == venue}
            self._take(structs.replace(said, venues=own), None, time.monotonic())

    def _take(self, said: wire.Standing, sent: float | None, now: float) -> None:
        self._clocks.reckon(said.gateway, said.now, sent, now)
        self._gateways.pop(said.gateway, None)
        self._gateways[said.gateway] = (now, said.ttl)
        if len(self._gateways) > MOST:
            oldest = next(iter(self._gateways))
            del self._gateways[oldest]
            self._clocks.forget(oldest)
        for venue, owned in said.venues.items():
            seat = self._seat(venue)
            if seat is None:
                continue
            if owned.health is not None and (owned.tenure or not seat.is_owned):
                seat.health, seat.told = owned.health, now
            if owned.tenure and not owned.fenced:
                self._claim(seat, said, owned.tenure, now)
            elif seat.gateway == said.gateway and owned.tenure != seat.tenure:
                seat.heard = -1e9  # it has given it up

    def _seat(self, venue: str) -> Seat | None:
        seat = self._seats.get(venue)
        if seat is None and len(self._seats) < MOST:
            seat = self._seats[subjects.token(venue, "a venue")] = Seat(venue)
            self._wake.set()
            self._met(venue)
            self._tell()
        return seat

    def _claim(self, seat: Seat, said: wire.Standing, tenure: str, now: float) -> None:
        """Rule 1."""
        if tenure == seat.tenure:
            is_news, seat.heard, seat.ttl = not seat.is_owned, now, said.ttl
        else:
            epoch = int(subjects.token(tenure, "a tenure").partition("-")[0])
            if epoch <= seat.epoch and seat.is_owned:
                return
            is_news, seat.heard, seat.ttl = True, now, said.ttl
            seat.tenure, seat.epoch, seat.gateway = tenure, epoch, said.gateway
        if is_news:
            self._moved(seat)
            self._tell()


class _Round:
    """One asking of `router.who`: over when nobody answers any more."""

    def __init__(self, number: int, over: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.number, self.sent = number, time.monotonic()
        self.over: asyncio.Future[None] = loop.create_future()
        self.over.add_done_callback(lambda _: over())
        self._timer = loop.call_later(ROUND, self.end)

    def answered(self) -> None:
        self._timer.cancel()
        if not self.over.done():
            self._timer = asyncio.get_running_loop().call_later(GRACE, self.end)

    def end(self) -> None:
        self._timer.cancel()
        if not self.over.done():
            self.over.set_result(None)
