"""The least that a client can do: frames made by hand on a raw protocol, to show what the venue itself and the loop cost."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import Final, Self, cast
from urllib.parse import urlsplit

__all__ = ["BareClient", "Flood", "cancel_frame", "client_frame"]

MASK: Final = bytes(4)  # masked as a client's frames must be; a mask of zeros costs nothing


def client_frame(body: bytes, mask: bytes = MASK) -> bytes:
    """A text frame from a client, of a body that is masked already."""
    size = len(body)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + mask + body


class BareClient(asyncio.Protocol):
    """Text frames out, whole messages in, answered in the order in which they were asked."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._read = b""
        self._loop = asyncio.get_running_loop()
        self._shaken: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def open(cls, url: str) -> Self:
        address = urlsplit(url)
        client = cls()
        await client._loop.create_connection(lambda: client, address.hostname or "", address.port or 80)
        client._transport.write(
            f"GET / HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await client._shaken
        return client

    def close(self) -> None:
        self._transport.abort()

    def send(self, body: bytes) -> None:
        self._transport.write(client_frame(body))

    def ask(self, body: bytes) -> asyncio.Future[bytes]:
        """Send a text message; returns a future of the next message that nobody waits for."""
        self.send(body)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting.append(answer)
        return answer

    def heard(self, body: bytes) -> None:
        """A whole message."""
        self._waiting.popleft().set_result(body)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's looks like one, and is none

    def data_received(self, data: bytes) -> None:
        read = self._read + data if self._read else data
        if not self._shaken.done():
            _, end, read = read.partition(b"\r\n\r\n")
            if end:
                self._shaken.set_result(None)
        at, end_at = 0, len(read)
        while end_at - at >= 2:
            head, size = 2, read[at + 1]
            if size == 126:
                head, size = 4, int.from_bytes(read[at + 2 : at + 4], "big")
            if end_at - at < head + size:
                break
            self.heard(read[at + head : at + head + size])
            at += head + size
        self._read = read[at:]


class Flood(BareClient):
    """What was made before goes out in one piece, and the bytes that come back are counted: the venue has never more to do."""

    def __init__(self) -> None:
        super().__init__()
        self._left = 0
        self._done: asyncio.Future[None] = self._loop.create_future()

    def pour(self, frames: bytes, answers: int) -> asyncio.Future[None]:
        """Send it all; returns a future of the moment when so many bytes have come back."""
        self._left, self._done = answers, self._loop.create_future()
        self._transport.write(frames)
        return self._done

    def data_received(self, data: bytes) -> None:
        if not self._left:
            super().data_received(data)
            return
        self._left -= len(data)
        if self._left <= 0:
            self._left = 0
            self._done.set_result(None)


def cancel_frame(order_id: str = "") -> bytes:
    """A cancel in QFEX's words. order_id: any will do."""
    name = order_id or os.urandom(8).hex()
    return (
        b'{"type":"cancel_order","params":{"symbol":"AAPL-USD","order_id":"%b","cancel_order_id_type":"order_id"}}'
        % (name.encode())
    )
