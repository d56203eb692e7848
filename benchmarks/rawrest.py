"""The least that a REST client can do: requests made by hand on a raw protocol, with one kept connection for each in flight."""

from __future__ import annotations

import asyncio
from typing import Final, Self

import msgspec

__all__ = ["Body", "RawConnection"]

END: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length: "


class Order(msgspec.Struct):
    """What is read of a cancelled order."""

    orderId: str  # noqa: N815 - the venue's name
    status: str


class Body(msgspec.Struct):
    """Of the answer to a cancel."""

    order: Order


_body: Final = msgspec.json.Decoder(Body)


class RawConnection(asyncio.Protocol):
    """One kept connection: one request at a time, whose answer must have a Content-Length."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._read = b""

    @classmethod
    async def open(cls, port: int) -> Self:
        _, client = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return client

    def close(self) -> None:
        self._transport.abort()

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send a request; returns a future of status and body."""
        self._waiting = self._loop.create_future()
        self._transport.write(request)
        return self._waiting

    async def cancel(self, head: bytes, order_id: str) -> None:
        """DELETE of a stop order. head: everything of the request that is always the same, with %b for the id."""
        status, body = await self.ask(head % order_id.encode())
        if status != 200 or _body.decode(body).order.orderId != order_id:
            raise RuntimeError(f"a cancel came to {status}: {body!r}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection makes
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        read = self._read = self._read + data if self._read else data
        head, found, body = read.partition(END)
        if not found:
            return
        names = head.lower()
        length = int(names[names.index(LENGTH) + len(LENGTH) :].partition(b"\r")[0])
        if len(body) < length or self._waiting is None:
            return
        waiting, self._waiting, self._read = self._waiting, None, b""
        if not waiting.done():
            waiting.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("the venue has hung up"))
