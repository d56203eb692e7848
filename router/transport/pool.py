"""The connections of one HTTP client: made by aiohttp, kept here between requests, each with one request at a time.

An aiohttp connector keeps connections as well, but hands one out again on which the server has said something since: the next
request would take that for its answer. Here such a connection is closed. One that is kept has no parser: what comes unasked is
not read beyond aiohttp's small buffer.

Connecting is never cancelled: uvloop ends the whole process when what it connects is closed under it (uvloop issue #100). Whoever
waits may go away; the connection is closed when it comes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

import aiohttp

from router.errors import TransportError
from router.transport.route import Route

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection

__all__ = ["Pool"]

MOST = 1000  # connections at a time
KEPT = 15.0  # seconds that one may be idle: servers close theirs after some while, and a request may just miss that
DNS_KEPT = 60  # seconds that an address is remembered


class Pool:
    """timeout: seconds that connecting may take."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._lasting = aiohttp.TCPConnector(limit=MOST, ttl_dns_cache=DNS_KEPT, happy_eyeballs_delay=None)
        self._single = aiohttp.TCPConnector(
            limit=MOST, ttl_dns_cache=DNS_KEPT, happy_eyeballs_delay=None, force_close=True
        )
        self._connecting: set[asyncio.Task[Connection]] = set()
        self._idle: defaultdict[Route, list[tuple[float, Connection]]] = defaultdict(list)
        self._held = 0

    async def close(self) -> None:
        if self._connecting:
            await self._give_up()
        await self._lasting.close()
        await self._single.close()
        for connections in self._idle.values():
            for _, connection in connections:
                connection.close()
        self._idle.clear()

    def idle(self, route: Route, now: float) -> Connection | None:
        """One that is open, and silent since its last answer ended."""
        connections = self._idle[route]
        while connections:
            since, connection = connections.pop()
            if now - since <= KEPT and is_usable(connection.protocol):
                return connection
            self.drop(connection)
        return None

    async def connect(self, route: Route) -> Connection:
        """A new one; at the limit, one that another request has done with. Raises what aiohttp does, or TransportError."""
        return await self._connect(self._lasting, route)

    async def connect_once(self, route: Route) -> Connection:
        """A new one, which is not kept."""
        return await self._connect(self._single, route)

    async def _connect(self, connector: aiohttp.TCPConnector, route: Route) -> Connection:
        self._held += 1
        try:
            connection = await self._connected(connector, route)
        except BaseException:
            self._held -= 1
            self._forget(route)
            raise
        if is_usable(connection.protocol):
            return connection
        self.drop(connection)
        raise TransportError("the server closed the connection, or spoke before it was asked", sent=False)

    async def _connected(self, connector: aiohttp.TCPConnector, route: Route) -> Connection:
        made = asyncio.get_running_loop().create_task(connector.connect(route.request, [], aiohttp.ClientTimeout()))
        self._connecting.add(made)
        made.add_done_callback(self._connecting.discard)
        try:
            await asyncio.wait([made], timeout=self._timeout)
        except BaseException:
            made.add_done_callback(_hang_up)
            raise
        if not made.done():
            made.add_done_callback(_hang_up)
            raise TimeoutError
        return made.result()

    async def _give_up(self) -> None:
        """Nobody wants what is still being connected."""
        if not type(asyncio.get_running_loop()).__module__.startswith("uvloop"):
            for task in self._connecting:
                task.cancel()
        await asyncio.wait(self._connecting, timeout=self._timeout)

    def _forget(self, route: Route) -> None:
        """Look its address up anew: the one that is remembered may be why nothing answers there."""
        first = route.request.proxy or route.request.url
        for connector in (self._lasting, self._single):
            connector.clear_dns_cache(first.raw_host, first.port)

    def give(self, connection: Connection, route: Route, now: float, *, keep: bool) -> None:
        """Its request has been answered, or was not sent at all."""
        keep = keep and _hush(connection.protocol)
        if keep and self._held < MOST and is_usable(connection.protocol):
            self._idle[route].append((now, connection))
            return
        self._held -= 1
        if keep:  # at the limit somebody may be waiting for it
            connection.release()
        else:
            connection.close()

    def drop(self, connection: Connection) -> None:
        self._held -= 1
        connection.close()

    def prune(self, now: float) -> bool:
        """Close those that have been idle for too long, have ended or are not silent. False: there is none left."""
        for route, connections in self._idle.items():
            good = [each for each in connections if now - each[0] <= KEPT and is_usable(each[1].protocol)]
            for _, connection in set(connections).difference(good):
                self.drop(connection)
            self._idle[route] = good
        return any(self._idle.values())


def _hang_up(made: asyncio.Task[Connection]) -> None:
    if not made.cancelled() and made.exception() is None:
        made.result().close()


def is_usable(protocol: ResponseHandler | None) -> bool:
    return protocol is not None and protocol.is_connected() and not protocol.should_close


def _hush(protocol: ResponseHandler | None) -> bool:
    """Take its parser away until the next request brings one. False: the parser has the beginning of something that nobody
    asked for.
    """
    if protocol is None:
        return False
    parser, protocol._parser = protocol._parser, None  # noqa: SLF001 - the library leaves it there
    try:
        return parser is None or parser.feed_eof() is None
    except Exception:  # noqa: BLE001 - so was it something
        return False
