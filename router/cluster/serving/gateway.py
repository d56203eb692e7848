"""A gateway: a process that owns venues for strategies elsewhere, or stands by to. One per venue owns it, whichever; its keys stay here.

async with Gateway.from_config("router.toml", Credentials.read("gateway.toml")):
    await asyncio.Event().wait()
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from router.cluster import subjects, wire
from router.cluster.broker.connection import Connection
from router.cluster.broker.credentials import Credentials
from router.cluster.serving.post import Note, Post
from router.cluster.serving.replying import is_inbox
from router.errors import ConfigError, GatewayError
from router.venue import Adapter

__all__ = ["Gateway", "Note"]

log = logging.getLogger("router.cluster")

SHORTEST_TTL, LONGEST_TTL = 0.1, 3600.0
LOOK: Final = 0.02  # seconds between two looks whether it owns a venue
UNTOLD: Final = 1.0  # seconds that NATS may take before it is said that it is waited for
Durability = Literal["full", "process"]
OnUnknown = Literal["leave", "kill"]


def _silently(_: Note) -> None:
    pass


class Gateway:
    """venues: adapters by name, each with credentials of its own; credentials: this gateway's on NATS. Use it as a context manager.

    journal: each venue has a file of its own beside it, NAME.VENUE.SUFFIX. ttl: of the leases, in seconds: how long a venue may be
    without an owner; the same for all gateways, and more than ten with replicas=3. replicas: NATS nodes that keep the leases and the
    events, where these are yet to be made. name: of this gateway; by default its host and process. tell: is told of each Note.

    Raises ValueError for names that NATS can't have, and for adapters that know no fence.
    """

    def __init__(
        self,
        venues: Mapping[str, Adapter],
        credentials: Credentials,
        *,
        journal: str | os.PathLike[str],
        durability: Durability = "full",
        on_unknown: OnUnknown = "leave",
        ttl: float = 1.0,
        replicas: int = 1,
        name: str | None = None,
        tell: Callable[[Note], None] = _silently,
    ) -> None:
        self.name = _own_name() if name is None else subjects.token(name, "the gateway's name")
        self.ttl = _checked_ttl(ttl)
        self._tell = tell = _harmless(tell)
        self._is_waited_for = True
        self.connection = Connection(
            credentials, name=f"gateway {self.name}", changed=self._changed, denied=self._denied
        )
        options: dict[str, Any] = {"durability": durability, "on_unknown": on_unknown}
        common: dict[str, Any] = {
            "gateway": self.name,
            "ttl": self.ttl,
            "replicas": replicas,
            "options": options,
            "tell": tell,
        }
        self._posts = {
            venue: Post(venue, _fenced(venue, adapter), self.connection, journal=_file(Path(journal), venue), **common)
            for venue, adapter in venues.items()
        }

    @classmethod
    def from_config(
        cls,
        path: str | os.PathLike[str],
        credentials: Credentials,
        *,
        ttl: float = 1.0,
        replicas: int = 1,
        name: str | None = None,
        tell: Callable[[Note], None] = _silently,
    ) -> Self:
        """With the venues and the journal of a router.toml. Raises ConfigError."""
        from router import config  # noqa: PLC0415 - of use here alone

        found = config.load(path)
        if found.journal is None:
            text = 'journal is missing: a gateway keeps one, since nothing else knows what it has in doubt; journal = "router.journal"'
            raise ConfigError(str(path), [text])
        mistakes = [f"venues.{venue}: {error}" for venue in found.venues if (error := _unfit(venue))]
        if mistakes:
            raise ConfigError(str(path), mistakes)
        options: dict[str, Any] = {"ttl": ttl, "replicas": replicas, "name": name, "tell": tell}
        return cls(
            found.adapters(),
            credentials,
            journal=found.journal,
            durability=found.durability,
            on_unknown=found.on_unknown,
            **options,
        )

    def __repr__(self) -> str:
        return f"<Gateway {self.name}: {', '.join(self._posts) or 'no venues'}>"

    # -- life

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self, *, wait: bool = True) -> None:
        """Connect to NATS, and begin to stand by. wait: for NATS, however long that takes. Raises NotAuthorised, GatewayUnreachable."""
        timer = asyncio.get_running_loop().call_later(UNTOLD, self._waits) if wait else None
        try:
            await self.connection.open(wait=wait)
        finally:
            if timer is not None:
                timer.cancel()
        try:
            await self.connection.client.subscribe(subjects.WHO, cb=self._asked)
            with suppress(
                NatsError, TimeoutError, OSError
            ):  # it has gone again: what is subscribed is said anew when it is back
                await self.connection.client.flush()
        except BaseException:
            await self.connection.close()
            raise
        for post in self._posts.values():
            post.open()

    def _waits(self) -> None:
        url = ", ".join(self.connection.credentials.url)
        self._tell(Note(what="waiting", text=f"NATS is not there yet at {url}; waiting for it", is_trouble=True))

    async def close(self) -> None:
        """Give back every venue, so that others take over at once, and disconnect."""
        await asyncio.gather(*(post.close() for post in self._posts.values()))
        await self.connection.close()

    async def owned(self) -> None:
        """Wait until it owns all that it serves. One that stands by may do so for ever."""
        while not all(each.tenure for each in self.standing().venues.values()):  # noqa: ASYNC110 - when it begins, and never after
            await asyncio.sleep(LOOK)

    # -- telling

    def standing(self) -> wire.Standing:
        """What this gateway serves, and what of it it owns."""
        venues = {venue: post.owned() for venue, post in self._posts.items()}
        return wire.Standing(gateway=self.name, now=time.time(), ttl=self.ttl, venues=venues)

    async def _asked(self, message: Msg) -> None:
        if is_inbox(message.reply):
            try:
                self.connection.send(message.reply, wire.encode(self.standing()))
            except (GatewayError, ValueError) as error:
                log.info("somebody who asked was not told: %s", error)

    def _changed(self) -> None:
        """The connection to NATS has come, or gone."""
        if self.connection.is_up:
            self._tell(Note(what="connected", text="connected to NATS"))
        else:
            self._tell(Note(what="disconnected", text="the connection to NATS is lost", is_trouble=True))
        for post in self._posts.values():
            post.hurry()

    def _denied(self, operation: str, subject: str) -> None:
        text = f"NATS does not allow this gateway to {operation} {subject}; its credentials are not a gateway's"
        self._tell(Note(what="denied", text=text, is_trouble=True))


def _harmless(tell: Callable[[Note], None]) -> Callable[[Note], None]:
    """Whoever is told of a Note may fail; no lease and no venue is lost by that."""

    def told(note: Note) -> None:
        try:
            tell(note)
        except Exception:
            log.exception("whoever is told what the gateway does could not take %r", note.what)

    return told


def _own_name() -> str:
    host = re.sub("[^A-Za-z0-9_-]", "-", platform.node().partition(".")[0])[:40] or "gateway"
    return f"{host}-{os.getpid()}"


def _checked_ttl(ttl: float) -> float:
    if not (math.isfinite(ttl) and SHORTEST_TTL <= ttl <= LONGEST_TTL):
        raise ValueError(f"ttl was {ttl!r}; it is a number of seconds from {SHORTEST_TTL:g} to {LONGEST_TTL:g}")
    return ttl


def _unfit(venue: str) -> str:
    """Why it can't be a part of a subject, or ""."""
    try:
        subjects.token(venue, "the name")
    except ValueError as error:
        return str(error)
    return ""


def _fenced(venue: str, adapter: Adapter) -> Adapter:
    """Two gateways must not write to a venue at once, so an adapter asks the fence before each write."""
    subjects.token(venue, "venue")
    if not hasattr(adapter, "fence") or not hasattr(adapter, "unfenced"):
        raise ValueError(
            f"{venue}: {type(adapter).__name__} knows no fence, so no gateway can own it; see router.venue.Adapter"
        )
    return adapter


def _file(journal: Path, venue: str) -> Path:
    """One journal has one writer, and venues change hands one by one."""
    return journal.with_name(f"{journal.stem}.{venue}{journal.suffix}")
