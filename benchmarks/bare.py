"""The least that a client can do: frames made by hand on a raw protocol, to show what the venue itself and the loop cost."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import Final, Self
from urllib.parse import urlsplit

__all__ = ["BareClient"]

MASK: Final = bytes(4)  # masked as a client's frames must be; a mask of zeros costs nothing


class BareClient(asyncio.Protocol):
    """Text frames out, whole messages in, answered in the order in which they were asked."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._read = b""
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, url: str) -> Self:
        address = urlsplit(url)
        client = cls()
        await client._loop.create_connection(lambda: client, address.hostname or "", address.port or 80)
        shaken: asyncio.Future[bytes] = client._loop.create_future()
        client._waiting.append(shaken)
        client._transport.write(
            f"GET / HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await shaken
        return client

    def close(self) -> None:
        self._transport.abort()

    def ask(self, body: bytes) -> asyncio.Future[bytes]:
        """Send a text message; returns a future of the next message that nobody waits for."""
        size = len(body)
        head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self._transport.write(head + MASK + body)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting.append(answer)
        return answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection makes
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._read.startswith(b"HTTP/1.1 101"):
            _, _, self._read = self._read.partition(b"\r\n\r\n")
            self._waiting.popleft().set_result(b"")
        while (size := _size(self._read)) and len(self._read) >= size[0] + size[1]:
            head, length = size
            self._waiting.popleft().set_result(self._read[head : head + length])
            self._read = self._read[head + length :]


def _size(data: bytes) -> tuple[int, int] | None:
    """Of the first frame: its head and its body."""
    if len(data) < 2:
        return None
    if data[1] < 126:
        return 2, data[1]
    return (4, int.from_bytes(data[2:4], "big")) if len(data) >= 4 else None


def cancel_frame(order_id: str = "") -> bytes:
    """A cancel in QFEX's words. order_id: any will do."""
    name = order_id or os.urandom(8).hex()
    return (
        b'{"type":"cancel_order","params":{"symbol":"AAPL-USD","order_id":"%b","cancel_order_id_type":"order_id"}}'
        % (name.encode())
    )
