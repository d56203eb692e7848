"""The HTTP transport: aiohttp's connections and parser, with no repeats, no redirects, no cookies, and an end to everything.

A request is written here and not by aiohttp's ClientSession. That one sends a GET, PUT, DELETE ... a second time by itself
when a kept-alive connection drops under it (its issue #10790), and a cancel must be on the wire at most once per attempt.
It doesn't tell when the first byte leaves either, and costs twice as much.

1. `connected` is called when a connection is there, and directly before the first byte is written to it.
2. A connection on which an answer is still owed is closed, never used again.
3. The deadlines of all requests that run are looked at together, some twenty times per time-out: none has a timer. A look
   that was itself late is repeated: while our own loop stood still, answers came that nobody has read.
4. An answer of no length ends with its connection. It is one only if the server ended that, and in order.
5. With a base URL a request names a path there, which can lead nowhere else.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import ClientRequest, ServerDisconnectedError
from aiohttp.hdrs import ACCEPT_ENCODING
from aiohttp.http import HttpProcessingError, StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import CIMultiDict

from router.errors import TransportError
from router.transport.pool import Pool
from router.transport.route import TARGET, Route, parsed
from router.transport.wording import said
from router.venue import Frame, Wire

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.streams import StreamReader

__all__ = ["Http"]

CONNECT_TIMEOUT = 10.0
SWEEPS = 20  # per time-out
LONGEST_SWEEP = 1.0
STALL, GRAIN = 0.05, 0.005  # seconds: a look this late is our own loop's doing, and is repeated so much later
SWITCHING = 101
BODILESS = {"GET", "HEAD", "OPTIONS", "TRACE"}
ENCODINGS = ClientRequest.DEFAULT_HEADERS[ACCEPT_ENCODING]


class Http:
    """A client of one base URL. max_body: bytes of an answer that are read; timeout: seconds for a whole request."""

    def __init__(self, base_url: str, *, max_body: int, timeout: float) -> None:
        self._base = base_url.rstrip("/")
        self._max_body = max_body
        self._timeout = timeout
        self._routes: dict[str, Route] = {}
        self._home: tuple[Route, str] | None = None
        self._pool: Pool | None = None
        self._deadlines: dict[ResponseHandler, float] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def open(self, *, probe: bool) -> None:
        """Make the client. probe: and one connection, to be used by the first request. Raises TransportError."""
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(min(CONNECT_TIMEOUT, self._timeout))
        try:
            if self._base:
                route, target = self._way(self._base)
                self._home = route, target.rstrip("/")
            if probe:
                await self._probe(self._pool)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        pool, self._pool, self._home = self._pool, None, None
        self._routes.clear()
        owed, self._deadlines = self._deadlines, {}
        for protocol in owed:
            if protocol.transport is not None:
                protocol.transport.abort()
        for _ in range(3 if owed else 0):  # closing by itself would not wake who is reading a body
            await asyncio.sleep(0)
        if pool is not None:
            await pool.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    # -- one request

    async def request(
        self, wire: Wire, headers: dict[str, str], connected: Callable[[], None], *, fresh: bool = False
    ) -> Frame:
        """Send one request and read its answer. connected: called just before its first byte may leave. fresh: over a
        connection that is made for it.

        Raises TransportError, whose `sent` tells whether that call was made.
        """
        pool = self._pool
        if pool is None:
            raise TransportError("the client is closed", sent=False)
        deadline = self._loop.time() + self._timeout
        route, target = self._aim(wire.path)
        if not (wire.method.isascii() and wire.method.isalpha()):
            raise TransportError("the method of a request is not made of letters", sent=False)
        connection = await self._connect(pool, route, fresh=fresh)
        protocol = connection.protocol
        assert protocol is not None  # noqa: S101 - it is open
        writer = StreamWriter(protocol, self._loop)
        try:
            await writer.write_headers(f"{wire.method} {target} HTTP/1.1", _head(route, wire, headers, fresh=fresh))
            connected()
        except BaseException as error:  # noqa: BLE001 - raised again; nothing was written
            pool.give(connection, route, self._loop.time(), keep=not fresh)
            raise _failure(error, sent=False) from None
        try:
            self._watch(protocol, deadline)
            protocol.set_response_params(skip_payload=wire.method == "HEAD", read_until_eof=True)
            await writer.write_eof(wire.body)
            frame = await self._answer(protocol, wire)
        except BaseException as error:  # noqa: BLE001 - raised again
            pool.drop(connection)
            raise self._why(protocol, error) from None
        self._deadlines.pop(protocol, None)
        pool.give(connection, route, self._loop.time(), keep=not fresh)
        return frame

    async def _connect(self, pool: Pool, route: Route, *, fresh: bool) -> Connection:
        try:
            if fresh:
                return await pool.connect_once(route)
            return pool.idle(route, self._loop.time()) or await pool.connect(route)
        except TimeoutError:
            raise TransportError(f"no connection to {route.address} in time", sent=False) from None
        except Exception as error:  # noqa: BLE001 - aiohttp has been seen to raise a bare RuntimeError
            raise _failure(error, sent=False) from None

    async def _answer(self, protocol: ResponseHandler, wire: Wire) -> Frame:
        message, payload = await protocol.read()
        while 100 <= message.code < 200 and message.code != SWITCHING:
            message, payload = await protocol.read()
        names = {name.lower(): value for name, value in message.headers.items()}
        body = await self._body(payload)
        if payload is not EMPTY_PAYLOAD and not (message.chunked or "content-length" in names):
            self._require_an_end(protocol)
        return Frame(body=body, wire=wire, status=message.code, headers=names)

    async def _body(self, payload: StreamReader) -> bytes:
        parts: list[bytes] = []
        size = 0
        while not payload.at_eof():
            parts.append(await payload.readany())
            size += len(parts[-1])
            if size > self._max_body:
                raise TransportError(f"the answer is longer than {self._max_body} bytes", sent=True)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _require_an_end(self, protocol: ResponseHandler) -> None:
        """Of an answer that had no length: the end of its connection, if that was neither ours nor a break (rule 4)."""
        error = protocol.exception()
        if protocol not in self._deadlines or not (error is None or isinstance(error, ServerDisconnectedError)):
            raise TransportError("the answer was cut off", sent=True)

    async def _probe(self, pool: Pool) -> None:
        """Reach the host once, TLS included, and keep the connection for the first request."""
        route, _ = self._aim("/")
        try:
            connection = await self._connect(pool, route, fresh=False)
        except TransportError as error:
            raise TransportError(f"cannot connect to {route.address}: {error}", sent=False) from None
        pool.give(connection, route, self._loop.time(), keep=True)

    # -- where to

    def _aim(self, path: str) -> tuple[Route, str]:
        """The way to a path, and what the first line of the request says of it."""
        if self._home is None:
            return self._way(path)
        if not TARGET.fullmatch(path):
            raise TransportError("a request names no path of visible ASCII characters", sent=False)
        route, prefix = self._home
        return route, prefix + path

    def _way(self, text: str) -> tuple[Route, str]:
        url = parsed(text)
        origin = str(url.origin())
        route = self._routes.get(origin)
        if route is None:
            route = self._routes[origin] = Route(url.origin())
        return route, route.prefix + url.raw_path_qs

    # -- until when

    def _watch(self, protocol: ResponseHandler, deadline: float) -> None:
        self._deadlines[protocol] = deadline
        if self._sweeper is None:
            self._sweep_later()

    def _why(self, protocol: ResponseHandler, error: BaseException) -> BaseException:
        """What to say of a request that this error ended. If we hung up, it is of our making."""
        if self._deadlines.pop(protocol, None) is not None or not isinstance(error, Exception):
            return _failure(error, sent=True)
        closed = "the client was closed" if self._pool is None else "no answer within the time-out of the request"
        return TransportError(closed, sent=True)

    def _sweep_later(self) -> None:
        due = self._loop.time() + min(self._timeout / SWEEPS, LONGEST_SWEEP)
        self._sweeper = self._loop.call_at(due, self._sweep, due)

    def _sweep(self, due: float) -> None:
        """Hang up on those that have run out of time: it wakes who waits for them."""
        now = self._loop.time()
        if now - due > STALL:
            self._sweeper = self._loop.call_at(now + GRAIN, self._sweep, math.inf)  # and not again after that
            return
        self._sweeper = None
        for protocol in [each for each, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[protocol]
            if protocol.transport is not None:
                protocol.transport.abort()
        idle = self._pool is not None and self._pool.prune(now)
        if idle or self._deadlines:
            self._sweep_later()


def _head(route: Route, wire: Wire, headers: dict[str, str], *, fresh: bool) -> CIMultiDict[str]:
    head = route.headers.copy()
    head.extend(wire.headers)
    head.extend(headers)
    if "Accept" not in head:
        head["Accept"] = "*/*"
    if "Accept-Encoding" not in head:
        head["Accept-Encoding"] = ENCODINGS
    if "Content-Length" not in head and (wire.body or wire.method not in BODILESS):
        head["Content-Length"] = str(len(wire.body))
    if fresh and "Connection" not in head:
        head["Connection"] = "close"
    return head


def _failure(error: BaseException, *, sent: bool) -> BaseException:
    """The same as a TransportError, without a secret in it; but a cancelled task is one."""
    if isinstance(error, TransportError) or not isinstance(error, Exception):
        return error
    if isinstance(error, ServerDisconnectedError | HttpProcessingError):  # they carry what came, cookies and all
        hung_up = isinstance(error, ServerDisconnectedError)
        return TransportError("the server hung up" if hung_up else "the answer is not HTTP", sent=sent)
    return TransportError(said(error), sent=sent)
