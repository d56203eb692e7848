"""The WebSocket transport: the websockets library's Sans-I/O core on an asyncio protocol of ours.

Frames are written in the call that sends them and handed over by callback in the tick that reads them: no task, timer or
lock per message. The library's own DEBUG lines would print frames and headers, so it gets a logger that says nothing.

What ends a connection: the peer, a broken protocol, our close(), or a ping that nothing has answered within HEARTBEAT_GRACE;
while our own loop stood still, nothing could be heard, so a late look at the answer is followed by another one. Where the
system has TCP_USER_TIMEOUT, data that the peer does not acknowledge end it as well.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Mapping

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.uri import WebSocketURI, parse_uri

from router.errors import TransportError
from router.redact import redact

__all__ = ["HandshakeRefused", "WebSocket"]

SILENT = logging.Logger("router.websocket", logging.CRITICAL)  # noqa: LOG001 - outside the tree on purpose
CLOSE_TIMEOUT = 0.5
HEARTBEAT_GRACE = 1.25  # then comes the next ping, so that a dead peer is noticed within 2.5 s
STALL = 0.1  # seconds by which a timer may be late before our own loop is to blame
USER_TIMEOUT = 2500  # milliseconds
BUFFER = 64 * 1024
POLICY_VIOLATION = 1008


class HandshakeRefused(TransportError):
    """The server answered the handshake with an HTTP status of its own. headers: with names in lower case."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"the WebSocket handshake was answered with HTTP {status}", sent=False)
        self.status = status
        self.headers = headers


class WebSocket(asyncio.BufferedProtocol):
    """One connection. on_frame: takes each message, as bytes. on_lost: called once when it ends, with the reason."""

    def __init__(
        self, *, on_frame: Callable[[bytes], None], on_lost: Callable[[str], None], max_frame: int, heartbeat: float
    ) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._max_frame = max_frame
        self._heartbeat = heartbeat
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._protocol: ClientProtocol
        self._opened: asyncio.Future[None]
        self._closed: asyncio.Future[None]
        self._timer: asyncio.TimerHandle | None = None
        self._closer: asyncio.TimerHandle | None = None
        self._heard = False
        self._why = ""
        self.headers: Mapping[str, str] = {}
        """The handshake's response headers, names in lower case."""

    # -- life

    async def open(self, url: str, timeout: float) -> None:
        """Connect and shake hands. Raises TransportError, or HandshakeRefused for an HTTP error."""
        loop = asyncio.get_running_loop()
        uri = _parsed(url)
        if uri is None:  # outside the handler, whose exception would carry the URL
            raise TransportError(f"{redact(url)} is not a WebSocket URL", sent=False)
        self._protocol = ClientProtocol(uri, max_size=self._max_frame, logger=SILENT)
        self._opened, self._closed = loop.create_future(), loop.create_future()
        context = ssl.create_default_context() if uri.secure else None
        try:
            async with asyncio.timeout(timeout):
                await loop.create_connection(
                    lambda: self, uri.host, uri.port, ssl=context, server_hostname=uri.host if context else None
                )
                await self._opened
        except TimeoutError:
            self.abort(f"no handshake within {timeout:g} s")
            raise TransportError(f"no WebSocket handshake within {timeout:g} s", sent=False) from None
        except OSError as error:
            raise TransportError(f"cannot connect to {uri.host}:{uri.port}: {_said(error)}", sent=False) from error
        except BaseException:
            self.abort("the connection attempt was given up")
            raise

    async def close(self) -> None:
        """Say goodbye, but not for longer than CLOSE_TIMEOUT."""
        if self._transport is None:
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()
        await asyncio.wait([self._closed], timeout=CLOSE_TIMEOUT)
        self.abort("closed by us")
        await asyncio.wait([self._closed], timeout=CLOSE_TIMEOUT)

    def abort(self, why: str) -> None:
        """Drop the connection now."""
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and self._protocol.state is State.OPEN and not self._transport.is_closing()

    # -- sending

    def send(self, body: bytes) -> None:
        """Write one text message now. Raises TransportError(sent=False) when the connection cannot take it."""
        if not self.is_open:
            raise TransportError("the connection is closed", sent=False)
        self._protocol.send_text(body)
        self._flush()

    def _flush(self) -> None:
        if self._transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()
        if self._protocol.close_expected() and self._closer is None:
            self._closer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.abort, "no close from the server")

    # -- receiving: asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection makes
        self._transport = transport
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._heard = True
        self._protocol.receive_data(bytes(self._view[:nbytes]))
        self._handle()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._handle()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._closer):
            if timer is not None:
                timer.cancel()
        self._transport = None
        self._protocol.receive_eof()
        why = self._why or self._reason(exc)
        if not self._opened.done():
            self._opened.set_exception(
                TransportError(f"the connection was closed during the handshake: {why}", sent=False)
            )
        elif not self._closed.done():
            self._on_lost(why)
        if not self._closed.done():
            self._closed.set_result(None)

    def _handle(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._shaken(event)
            elif isinstance(event, Frame):
                self._received(event)
            elif isinstance(event, Request):  # pragma: no cover - a client reads no requests
                continue
        self._flush()

    def _shaken(self, response: Response) -> None:
        error = self._protocol.handshake_exc
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        if isinstance(error, InvalidStatus):
            self._fail(HandshakeRefused(response.status_code, headers))
        elif error is not None:
            self._fail(TransportError(f"the WebSocket handshake failed: {redact(str(error))}", sent=False))
        elif not self._opened.done():
            self.headers = headers
            self._opened.set_result(None)
            self._beat()

    def _fail(self, error: TransportError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
        self.abort(str(error))

    def _received(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            self._parts.append(bytes(frame.data))
            if frame.fin:
                message = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts.clear()
                self._on_frame(message)

    # -- keep-alive

    def _beat(self) -> None:
        """Ping, and expect to hear something before the next look."""
        if self._protocol.state is not State.OPEN:
            return
        self._heard = False
        self._protocol.send_ping(b"")
        self._flush()
        self._look_in(HEARTBEAT_GRACE, self._listen)

    def _look_in(self, seconds: float, look: Callable[[float], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, look, loop.time() + seconds)

    def _listen(self, due: float) -> None:
        if self._heard:
            rest = max(0.0, self._heartbeat - HEARTBEAT_GRACE)
            self._timer = asyncio.get_running_loop().call_later(rest, self._beat)
        elif asyncio.get_running_loop().time() - due > STALL:
            self._look_in(HEARTBEAT_GRACE, self._listen)
        else:
            self.abort("the server did not answer a ping")

    def _reason(self, exc: Exception | None) -> str:
        if exc is not None:
            return _said(exc)
        code = self._protocol.close_code
        return "the server hung up" if code in {None, 1006} else f"the server closed the connection with code {code}"


def _parsed(url: str) -> WebSocketURI | None:
    try:
        return parse_uri(url)
    except InvalidURI:
        return None


def _said(error: BaseException) -> str:
    return redact(str(error)) or type(error).__name__
