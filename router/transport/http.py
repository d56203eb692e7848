"""The HTTP transport: aiohttp, with no hidden repeats, no redirects, no cookies and a time-out on everything.

aiohttp sends a GET, PUT, DELETE ... a second time by itself when a kept-alive connection drops under it (its issue
#10790). A cancel must be on the wire at most once per attempt, so that is switched off; there is no public switch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from router.errors import TransportError
from router.redact import redact
from router.venue import Frame, Wire

__all__ = ["Http"]

CONNECT_TIMEOUT = 10.0
MAX_CONNECTIONS = 1000


class Http:
    """A client of one base URL. max_body: bytes of an answer that are read; timeout: seconds for a whole request."""

    def __init__(self, base_url: str, *, max_body: int, timeout: float) -> None:
        self._base = base_url.rstrip("/")
        self._max_body = max_body
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=CONNECT_TIMEOUT)
        self._session: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    async def open(self, *, probe: bool) -> None:
        """Make the client. probe: and one connection, to be used by the first request. Raises TransportError."""
        self._session = self._client(aiohttp.TCPConnector(limit=MAX_CONNECTIONS))
        try:
            if probe:
                await self._probe()
        except BaseException:
            await self.close()
            raise

    def _client(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_connected)
        trace.on_connection_reuseconn.append(_connected)
        client = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            trace_configs=[trace],
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )
        client._retry_connection = False  # noqa: SLF001 - see the top of this file
        return client

    async def close(self) -> None:
        for client in (self._session, self._fresh):
            if client is not None:
                await client.close()
        self._session = self._fresh = None

    def _pool(self, *, fresh: bool) -> aiohttp.ClientSession:
        if self._session is None:
            raise TransportError("the client is closed", sent=False)
        if fresh and self._fresh is None:
            self._fresh = self._client(aiohttp.TCPConnector(limit=MAX_CONNECTIONS, force_close=True))
        return self._fresh if fresh and self._fresh is not None else self._session

    async def request(
        self, wire: Wire, headers: dict[str, str], connected: Callable[[], None], *, fresh: bool = False
    ) -> Frame:
        """Send one request and read its answer. connected: called just before its first byte may leave. fresh: over a
        connection that is made for it.

        Raises TransportError, whose `sent` tells whether that call was made.
        """
        client = self._pool(fresh=fresh)
        state = SimpleNamespace(sent=False, connected=connected)
        try:
            async with client.request(
                wire.method,
                URL(self._base + wire.path, encoded=True),
                data=wire.body or None,
                headers={**wire.headers, **headers},
                skip_auto_headers=("Content-Type", "User-Agent"),
                allow_redirects=False,
                trace_request_ctx=state,
            ) as response:
                body = await self._body(response)
                names = {name.lower(): value for name, value in response.headers.items()}
                return Frame(body=body, wire=wire, status=response.status, headers=names)
        except TimeoutError:
            raise TransportError("no answer within the time-out of the request", sent=state.sent) from None
        except TransportError:
            raise
        except Exception as error:  # noqa: BLE001 - aiohttp has been seen to raise a bare RuntimeError
            raise TransportError(redact(str(error)) or type(error).__name__, sent=state.sent) from None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(64 * 1024):
            body += chunk
            if len(body) > self._max_body:
                response.close()
                raise TransportError(f"the answer is longer than {self._max_body} bytes", sent=True)
        return bytes(body)

    async def _probe(self) -> None:
        """Reach the host once, TLS included, and keep the connection for the first request."""
        assert self._session is not None and self._session.connector is not None  # noqa: S101, PT018 - just made
        url = URL(self._base)
        try:
            request = aiohttp.ClientRequest("GET", url, loop=asyncio.get_running_loop())
            connection = await self._session.connector.connect(
                request, [], aiohttp.ClientTimeout(connect=CONNECT_TIMEOUT)
            )
            connection.release()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise TransportError(f"cannot connect to {url.host}:{url.port}: {redact(str(error))}", sent=False) from None


async def _connected(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    state = context.trace_request_ctx
    if state is not None:
        state.sent = True
        state.connected()
