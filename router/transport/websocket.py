"""The WebSocket transport: the websockets library's Sans-I/O core on an asyncio protocol of ours.

Rules:

1. The first frame of a loop tick is written in the call that sends it; those that follow in the same tick leave in one write
   when the tick is over. All frames keep their order. See writing.py.
2. A message is handed over by callback in the tick that reads it, and whole simple ones don't pass the core. See framing.py.
3. There is no task, timer or lock per message.
4. What send() took counts as sent. close() writes it before its goodbye; abort() drops what has not left.
5. While the peer reads too slowly (is_full), no ping of ours and no more than one pong waits for it.
6. What ends a connection: the peer, a broken protocol, our close(), or a ping that nothing has answered within HEARTBEAT_GRACE;
   while our own loop stood still, nothing could be heard, so a late look at the answer is followed by another one. Where the
   system has TCP_USER_TIMEOUT, data that the peer does not acknowledge end it as well. While it is full, no ping asks: then
   the peer must have read some of what waits.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import cast

from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import WebSocketURI

from router.errors import TransportError
from router.transport.framing import Reader, masked
from router.transport.handshake import HandshakeRefused, core_for, headers_of, parsed, refusal
from router.transport.wording import said
from router.transport.writing import Writer

__all__ = ["HandshakeRefused", "WebSocket"]

CLOSE_TIMEOUT = 0.5
HEARTBEAT_GRACE = 1.25  # then comes the next ping, so that a dead peer is noticed within 2.5 s
STALL = 0.1  # seconds by which a timer may be late before our own loop is to blame
USER_TIMEOUT = 2500  # milliseconds
BUFFER = 32 * 1024  # bytes of one read, whose messages are taken in before anything else has its turn


class WebSocket(asyncio.BufferedProtocol):
    """One connection. on_frame: takes each message, as bytes. on_lost: called once when it ends, with the reason.
    on_drained: called when is_full ends.
    """

    def __init__(
        self,
        *,
        on_frame: Callable[[bytes], None],
        on_lost: Callable[[str], None],
        on_drained: Callable[[], None] = lambda: None,
        max_frame: int,
        heartbeat: float,
        joins: bool = True,
    ) -> None:
        self._joins = joins
        self._on_frame, self._on_lost, self._on_drained = on_frame, on_lost, on_drained
        self._max_frame = max_frame
        self._heartbeat = heartbeat
        self._view = memoryview(bytearray(BUFFER))
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop
        self._core: ClientProtocol
        self._reader: Reader
        self._writer: Writer
        self._opened: asyncio.Future[None]
        self._closed: asyncio.Future[None]
        self._timer: asyncio.TimerHandle | None = None
        self._closer: asyncio.TimerHandle | None = None
        self._is_shaken = False
        self._takes = False  # the core is OPEN, and nobody has said otherwise
        self._heard = False
        self._unread = 0  # bytes that wait for the peer, at the last look at a connection that was full
        self._why = ""
        self.headers: Mapping[str, str] = {}
        """The handshake's response headers, names in lower case."""

    # -- life

    async def open(self, url: str, timeout: float) -> None:
        """Connect and shake hands. Raises TransportError, or HandshakeRefused for an HTTP error."""
        self._loop = asyncio.get_running_loop()
        uri = parsed(url)
        self._prepare(uri)
        try:
            async with asyncio.timeout(timeout):
                await self._dial(uri)
                await self._opened
        except TimeoutError:
            self._give_up(f"no handshake within {timeout:g} s")
            raise TransportError(f"no WebSocket handshake within {timeout:g} s", sent=False) from None
        except OSError as error:
            self._give_up("the connection attempt failed")
            raise TransportError(f"cannot connect to {uri.host}:{uri.port}: {said(error)}", sent=False) from error
        except BaseException:
            self._give_up("the connection attempt was given up")
            raise

    def _prepare(self, uri: WebSocketURI) -> None:
        self._core = core_for(uri, self._max_frame)
        self._reader = Reader(
            self._core,
            max_message=self._max_frame,
            on_message=self._on_frame,
            on_response=self._shaken,
            on_core=self._flush,
        )
        self._opened, self._closed = self._loop.create_future(), self._loop.create_future()

    async def _dial(self, uri: WebSocketURI) -> None:
        from router.transport import proxy  # noqa: PLC0415 - urllib.request is imported by those who connect

        await proxy.dial(uri, self, ssl.create_default_context() if uri.secure else None)

    def _give_up(self, why: str) -> None:
        self._is_shaken = False  # whoever opens it is told, and on_lost is not
        self._opened.cancel()
        self.abort(why)

    async def close(self) -> None:
        """Say goodbye, but not for longer than CLOSE_TIMEOUT."""
        if self._transport is None:
            return
        if self._core.state is State.OPEN:
            self._core.send_close(1000)
            self._closer = self._loop.call_later(CLOSE_TIMEOUT, self.abort, "closed by us")
            self._flush()
        await asyncio.wait([self._closed], timeout=CLOSE_TIMEOUT)
        self.abort("closed by us")
        await asyncio.wait([self._closed], timeout=CLOSE_TIMEOUT)

    def abort(self, why: str) -> None:
        """Drop the connection now."""
        self._why = self._why or why
        self._takes = False
        if self._transport is not None:
            self._writer.drop()
            self._transport.abort()

    @property
    def is_open(self) -> bool:
        return self._takes and self._transport is not None and not self._transport.is_closing()

    @property
    def is_full(self) -> bool:
        """Whether the peer reads more slowly than we write. send() still takes what it is given, and keeps it in memory."""
        return self._transport is not None and self._writer.is_full

    # -- sending

    def send(self, body: bytes) -> None:
        """Write one text message. Raises TransportError(sent=False) when the connection cannot take it."""
        transport = self._transport
        if not self._takes or transport is None or transport.is_closing():
            raise TransportError("the connection is closed", sent=False)
        self._writer.put(masked(body))

    def _flush(self) -> None:
        """Write what the core has to say."""
        self._takes = self._core.state is State.OPEN
        if self._transport is None:
            return
        for data in self._core.data_to_send():
            self._writer.put_core(data)
        if self._core.close_expected() and self._closer is None:
            self._closer = self._loop.call_later(CLOSE_TIMEOUT, self.abort, "no close from the server")

    # -- back-pressure: asyncio calls these

    def pause_writing(self) -> None:
        self._writer.is_full = True

    def resume_writing(self) -> None:
        self._heard = True  # somebody reads what we write
        self._writer.drain()
        self._on_drained()

    # -- receiving: asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop's are none of its subclasses
        self._writer = Writer(transport, joins=self._joins)
        sock = transport.get_extra_info("socket")
        # asyncio does this only for sockets that it has made
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
        self._core.send_request(self._core.connect())
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._heard = True
        self._reader.receive(self._view[:nbytes])

    def eof_received(self) -> None:
        self._reader.end()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._closer):
            if timer is not None:
                timer.cancel()
        self._transport = None
        self._reader.end()
        why = self._why or self._reason(exc)
        self._refuse(TransportError(f"the connection was closed during the handshake: {why}", sent=False))
        if not self._closed.done():
            self._closed.set_result(None)
            if self._is_shaken:
                self._on_lost(why)

    def _shaken(self, response: Response) -> None:
        error = refusal(self._core, response)
        if error is not None:
            self._fail(error)
        elif not self._opened.done():
            self.headers = headers_of(response)
            self._is_shaken = True
            self._opened.set_result(None)
            self._beat()

    def _fail(self, error: TransportError) -> None:
        self._refuse(error)
        self.abort(str(error))

    def _refuse(self, error: TransportError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # whoever opens it may have given up meanwhile

    # -- keep-alive

    def _beat(self) -> None:
        """Ping, and expect to hear something before the next look, or to see that what fills the connection is read."""
        if self._core.state is not State.OPEN:
            return
        self._heard = False
        self._unread = self._filling()
        if not self._writer.is_full:
            self._core.send_ping(b"")
            self._flush()
        self._look_in(HEARTBEAT_GRACE, self._listen)

    def _look_in(self, seconds: float, look: Callable[[float], None]) -> None:
        self._timer = self._loop.call_later(seconds, look, self._loop.time() + seconds)

    def _filling(self) -> int:
        return self._writer.unread() if self._writer.is_full else 0

    def _listen(self, due: float) -> None:
        before, self._unread = self._unread, self._filling()
        if self._heard or self._unread < before:
            rest = max(0.0, self._heartbeat - HEARTBEAT_GRACE)
            self._timer = self._loop.call_later(rest, self._beat)
        elif self._loop.time() - due > STALL or self._unread > before == 0:  # it takes two looks to see somebody read
            self._look_in(HEARTBEAT_GRACE, self._listen)
        else:
            self.abort("the server did not answer a ping")

    def _reason(self, exc: Exception | None) -> str:
        if exc is not None:
            return said(exc)
        code = self._core.close_code
        return "the server hung up" if code in {None, 1006} else f"the server closed the connection with code {code}"
