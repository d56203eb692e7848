"""A TCP proxy on 127.0.0.1 that breaks connections: what no server can honestly do to its own.

It knows bytes and no protocol. Rules:

1. What has been read from one side is passed on to the other in order, or the connection is gone. Nothing is altered.
2. A reset is a RST to both sides. What was passed on before it has left this process: the kernel has taken every byte.
3. While half-open, nothing is passed on and nothing is closed; a new connection is accepted and hears nothing. An end
   of one side reaches the other only after heal().
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from attrs import Factory, define, field

from router.testing.tcp import by_reset, dial, in_order, reset

__all__ = ["FaultProxy"]

Side: TypeAlias = Literal["client", "server"]

CHUNK: Final = 1 << 16


@define(eq=False)
class FaultProxy:
    """Passes connections on to one address until told otherwise. All that is not awaited takes effect at once."""

    upstream_host: str
    upstream_port: int
    seed: int = 0
    """Of what reset_after draws from a range."""
    connections: int = field(default=0, init=False)
    """How many have been accepted."""
    _port: int = field(default=0, init=False)
    _passed: dict[Side, int] = field(factory=lambda: {"client": 0, "server": 0}, init=False)
    _fuses: dict[Side, int] = field(factory=dict, init=False)
    _single: bool = field(default=False, init=False)
    _chance: Random = field(init=False, repr=False, default=Factory(lambda self: Random(self.seed), takes_self=True))  # noqa: S311 - where to break is no secret
    _flowing: asyncio.Event = field(factory=asyncio.Event, init=False, repr=False)
    _news: asyncio.Condition = field(factory=asyncio.Condition, init=False, repr=False)
    _reserve: socket.socket | None = field(default=None, init=False, repr=False)
    """Keeps the port while nothing listens on it."""
    _listener: socket.socket | None = field(default=None, init=False, repr=False)
    _relays: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = field(factory=dict, init=False, repr=False)

    async def __aenter__(self) -> Self:
        self.heal()
        self._reserve = self._bound()
        self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        self.reset()
        if self._reserve is not None:
            self._reserve.close()
        await asyncio.gather(*self._relays, return_exceptions=True)

    # -- where it is, and what has passed

    def url_of(self, url: str) -> str:
        """The same URL, through this proxy."""
        if not self._port:
            raise RuntimeError("the proxy is not running")
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{self._port}".removeprefix("@")))

    @property
    def client_bytes(self) -> int:
        """How many bytes of clients have been passed on."""
        return self._passed["client"]

    @property
    def server_bytes(self) -> int:
        return self._passed["server"]

    async def until_connections(self, count: int, timeout: float = 5.0) -> None:
        """Wait until so many connections have been accepted. Like the next, raises TimeoutError."""
        await self._until(lambda: self.connections >= count, timeout)

    async def until_client_bytes(self, count: int, timeout: float = 5.0) -> None:
        await self._until(lambda: self.client_bytes >= count, timeout)

    # -- what it can be told

    def accept(self) -> None:
        """Accept connections (again), on the same port."""
        if self._listener is None:
            self._listener = self._bound()
            self._listener.listen()
            self._listener.settimeout(0)
            asyncio.get_running_loop().add_reader(self._listener, self._take, self._listener)

    def _bound(self) -> socket.socket:
        """A socket on the proxy's port."""
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(("127.0.0.1", self._port))
        self._port = bound.getsockname()[1]
        return bound

    def refuse(self) -> None:
        """Refuse new connections. The others stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def reset(self) -> None:
        """Reset every connection, on both sides."""
        self._fuses.clear()
        for relay, writers in self._relays.items():
            for writer in writers:
                reset(writer.transport)
            relay.cancel()

    def reset_after(self, *, client_bytes: int | range | None = None, server_bytes: int | range | None = None) -> None:
        """Reset once so many more bytes of that direction have passed; of a range, a number drawn on the seed."""
        wanted: dict[Side, int | range | None] = {"client": client_bytes, "server": server_bytes}
        for side, after in wanted.items():
            if after is not None:
                self._fuses[side] = self._chance.choice(after) if isinstance(after, range) else after
        if 0 in self._fuses.values():
            self.reset()

    def half_open(self) -> None:
        """Pass nothing on, close nothing: the network has gone, and nobody was told."""
        self._flowing.clear()

    def heal(self) -> None:
        """Go on as before half_open: what has been sent meanwhile is passed on."""
        self._flowing.set()

    def byte_by_byte(self, single: bool) -> None:
        """Pass on every byte by a write of its own."""
        self._single = single

    # -- passing on

    def _take(self, listener: socket.socket) -> None:
        with suppress(OSError):  # whoever asked has gone again
            accepted = listener.accept()[0]
            accepted.settimeout(0)
            by_reset(accepted)  # from the start: it may end before it has a transport
            writers: list[asyncio.StreamWriter] = []
            relay = asyncio.create_task(self._relay(accepted, writers))
            self._relays[relay] = writers
            relay.add_done_callback(self._relays.pop)
            relay.add_done_callback(lambda _: accepted.close())  # for one that was cancelled before it began

    async def _relay(self, accepted: socket.socket, writers: list[asyncio.StreamWriter]) -> None:
        self.connections += 1
        await self._announce()
        try:
            client = await self._open(writers, accepted)
            await self._flowing.wait()
            server = await self._open(writers, await dial(self.upstream_host, self.upstream_port))
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass("client", client, writers[1]))
                both.create_task(self._pass("server", server, writers[0]))
            for writer in writers:
                in_order(writer)
        except* OSError:
            pass  # one side is gone, and so is the other: below
        finally:
            for writer in writers:
                reset(writer.transport)

    async def _open(self, writers: list[asyncio.StreamWriter], connected: socket.socket) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(sock=connected)
        writer.transport.set_write_buffer_limits(0)  # so that drained means: taken by the kernel
        writers.append(writer)
        return reader

    async def _pass(self, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            for part in (data[at : at + 1] for at in range(len(data))) if self._single else (data,):
                await self._flowing.wait()
                await self._write(side, part, writer)
        await self._flowing.wait()
        writer.write_eof()

    async def _write(self, side: Side, part: bytes, writer: asyncio.StreamWriter) -> None:
        allowed = part[: self._fuses.get(side)]
        if side in self._fuses:
            self._fuses[side] -= len(allowed)
        writer.write(allowed)
        await writer.drain()
        self._passed[side] += len(allowed)
        await self._announce()
        if self._fuses.get(side) == 0:
            self.reset()
        await asyncio.sleep(0)  # whoever reads may read these before more come; a reset ends this here

    # -- telling

    async def _until(self, condition: Callable[[], bool], timeout: float) -> None:
        async with asyncio.timeout(timeout), self._news:
            await self._news.wait_for(condition)

    async def _announce(self) -> None:
        async with self._news:
            self._news.notify_all()
