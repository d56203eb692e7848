"""The way to a host: directly, or through the proxy that the environment names for it.

Which proxy is what the websockets library says: wss_proxy, else socks_proxy, else https_proxy for wss://, and ws_proxy,
socks_proxy, https_proxy, http_proxy for ws://, unless no_proxy has the host; all_proxy comes last. TLS with the venue is made
inside the proxy's tunnel and verified as it is without one. What a proxy's URL says but its host and port is never shown.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import urllib.request
from typing import TYPE_CHECKING, cast

from websockets.exceptions import InvalidProxy
from websockets.headers import build_authorization_basic, build_host
from websockets.proxy import get_proxy, parse_proxy
from websockets.uri import WebSocketURI

from router.errors import TransportError
from router.transport.wording import said

if TYPE_CHECKING:
    from websockets.proxy import Proxy

__all__ = ["dial"]

MAX_ANSWER = 16 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |\r\n)")


async def dial(uri: WebSocketURI, protocol: asyncio.BufferedProtocol, context: ssl.SSLContext | None) -> None:
    """Connect the protocol to the URI's host; context: for TLS with it. Raises OSError, or TransportError for a proxy."""
    loop = asyncio.get_running_loop()
    name = uri.host if context else None
    proxy = _proxy_for(uri)
    if proxy is None:
        await loop.create_connection(lambda: protocol, uri.host, uri.port, ssl=context, server_hostname=name)
    elif proxy.scheme.startswith("socks"):
        sock = await _through_socks(proxy, uri)
        await loop.create_connection(lambda: protocol, sock=sock, ssl=context, server_hostname=name)
    else:
        await _through_http(proxy, uri, protocol, context)


def _proxy_for(uri: WebSocketURI) -> Proxy | None:
    try:
        url = get_proxy(uri) or _last_resort(uri)
        if not url:
            return None
        return parse_proxy(url if "://" in url else f"http://{url}")
    except (InvalidProxy, ValueError):
        pass  # and out of the handler, whose exception would carry the URL
    raise TransportError(f"the proxy that the environment names for {uri.host} is not a proxy's URL", sent=False)


def _last_resort(uri: WebSocketURI) -> str | None:
    if urllib.request.proxy_bypass(f"{uri.host}:{uri.port}"):
        return None
    return urllib.request.getproxies().get("all")


# -- HTTP


class _Tunnel(asyncio.Protocol):
    """Asks a proxy for a connection. opened: done when it is there."""

    def __init__(self, request: bytes, place: str) -> None:
        self._request, self._place = request, place
        self._answer = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are none of its subclasses
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(b"\r\n\r\n") + 4
        status = _STATUS.match(self._answer)
        if end < 4 and len(self._answer) <= MAX_ANSWER:
            return
        self.transport.pause_reading()
        if end < 4 or end > MAX_ANSWER or status is None:
            self._fail("did not answer in HTTP")
        elif not status[1].startswith(b"2"):
            self._fail(f"refused with HTTP {status[1].decode()}")
        elif len(self._answer) > end:
            self._fail("sent bytes of its own into the connection")
        elif not self.opened.done():
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"hung up{f': {said(exc)}' if exc else ''}")

    def _fail(self, what: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(TransportError(f"{self._place} {what}", sent=False))
            self.opened.exception()  # whoever dialled may have given up meanwhile


async def _through_http(
    proxy: Proxy, uri: WebSocketURI, protocol: asyncio.BufferedProtocol, context: ssl.SSLContext | None
) -> None:
    loop, place = asyncio.get_running_loop(), _place(proxy)
    secure = ssl.create_default_context() if proxy.scheme == "https" else None
    try:
        _, tunnel = await loop.create_connection(
            lambda: _Tunnel(_request(proxy, uri), place),
            proxy.host,
            proxy.port,
            ssl=secure,
            server_hostname=proxy.host if secure else None,
        )
    except OSError as error:
        raise TransportError(f"cannot connect to {place}: {said(error)}", sent=False) from None
    try:
        await tunnel.opened
        await _hand_over(tunnel.transport, uri, protocol, context)
    except BaseException:
        tunnel.transport.abort()
        raise


async def _hand_over(
    transport: asyncio.Transport, uri: WebSocketURI, protocol: asyncio.BufferedProtocol, context: ssl.SSLContext | None
) -> None:
    """From now on the connection is the protocol's. Nothing is read before, so nothing gets lost between the two."""
    loop = asyncio.get_running_loop()
    if context is None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        return
    safe = await loop.start_tls(transport, protocol, context, server_hostname=uri.host)
    if safe is None or safe.is_closing():
        raise ConnectionAbortedError("the connection ended after the TLS handshake")
    protocol.connection_made(safe)


def _request(proxy: Proxy, uri: WebSocketURI) -> bytes:
    target = build_host(uri.host, uri.port, uri.secure, always_include_port=True)
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username is not None:
        lines.append(f"Proxy-Authorization: {build_authorization_basic(proxy.username, proxy.password or '')}")
    return "\r\n".join([*lines, "", ""]).encode()


def _place(proxy: Proxy) -> str:
    return f"the proxy {build_host(proxy.host, proxy.port, secure=False, always_include_port=True)}"


# -- SOCKS


async def _through_socks(proxy: Proxy, uri: WebSocketURI) -> socket.socket:
    place = _place(proxy)
    try:
        from python_socks import ProxyType  # noqa: PLC0415 - not everybody has it, or needs it
        from python_socks.async_.asyncio import Proxy as Socks  # noqa: PLC0415 - see above
    except ImportError:
        raise TransportError(
            f"{place} speaks SOCKS, which needs python-socks: pip install 'venue-router[socks]'", sent=False
        ) from None
    kind = ProxyType.SOCKS5 if proxy.scheme.startswith("socks5") else ProxyType.SOCKS4
    by_name = proxy.scheme in {"socks5h", "socks4a"}
    try:
        dialer = Socks(kind, proxy.host, proxy.port, proxy.username, proxy.password, by_name)
        return await dialer.connect(uri.host, uri.port)
    except (TimeoutError, asyncio.CancelledError):
        raise
    except Exception as error:  # noqa: BLE001 - it has several families of them
        why = said(error)
    raise TransportError(f"{place} did not connect: {why}", sent=False)
