"""The connections of one HTTP client: made by aiohttp, kept here between requests, each with one request at a time.

An aiohttp connector keeps connections as well, but hands one out again on which the server has said something since: the next
request would take that for its answer. Here such a connection is closed. One that is kept has no parser: what comes unasked is
not read beyond aiohttp's small buffer.
"""

from __future__ import annotations

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
        self._timeout = aiohttp.ClientTimeout(connect=timeout)
        self._lasting = aiohttp.TCPConnector(limit=MOST, ttl_dns_cache=DNS_KEPT)
        self._single = aiohttp.TCPConnector(limit=MOST, ttl_dns_cache=DNS_KEPT, force_close=True)
        self._idle: defaultdict[Route, list[tuple[float, Connection]]] = defaultdict(list)
        self._held = 0

    async def close(self) -> None:
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
            connection = await connector.connect(route.request, [], self._timeout)
        except BaseException:
            self._held -= 1
            self._forget(route)
            raise
        if is_usable(connection.protocol):
            return connection
        self.drop(connection)
        raise TransportError("the server closed the connection, or spoke before it was asked", sent=False)

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
