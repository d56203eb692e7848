"""A REST venue that costs next to nothing, in a process of its own: B2TRADER's cancel of a stop order, and Binance's of an order.

It speaks as the two venues' public pages say, and no more of it than a benchmark asks: any token is right as long as there is one,
and a cancel cancels, whatever id it names. What it spent on that it tells at /used, so that nobody need believe that it is
not the venue that is measured.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from types import TracebackType
from typing import Final, Self

__all__ = ["RestVenue"]

BUFFER: Final = 1 << 16
END: Final = b"\r\n\r\n"
STOPS: Final = b"/frontoffice/api/v3/stop-orders/"
SPOT: Final = b"/api/v3/order?"
NAMED: Final = re.compile(rb"[?&]symbol=([A-Z]+)(?:&.*)?&orderId=([0-9]+)&.*signature=")

STOP: Final = (
    b'{"order":{"marketId":"spot.btc_usdt","marketDisplayName":"BTC/USDT","orderId":"%b","orderType":"Market",'
    b'"side":"Buy","requestedPrice":null,"activationPrice":"128000","requestedAmount":"0.01","timeInForce":"Ioc",'
    b'"status":"Rejected","createdAt":"2025-08-14T16:09:44.5986095Z","updatedAt":"2025-08-14T16:09:44.5986099Z",'
    b'"cancellationDate":null}}'
)
ORDER: Final = (
    b'{"symbol":"%b","origClientOrderId":"myOrder1","orderId":%b,"orderListId":-1,"clientOrderId":"cancelMyOrder1",'
    b'"transactTime":1684804350068,"price":"2.00000000","origQty":"1.00000000","executedQty":"0.00000000",'
    b'"origQuoteOrderQty":"0.000000","cummulativeQuoteQty":"0.00000000","status":"CANCELED","timeInForce":"GTC",'
    b'"type":"LIMIT","side":"BUY","selfTradePreventionMode":"NONE"}'
)
NOT_FOUND: Final = b"404 Not Found", b'{"title":"Not Found","status":404}'
ANSWER: Final = (
    b"HTTP/1.1 %b\r\nContent-Type: application/json; charset=utf-8\r\nDate: Thu, 14 Aug 2025 16:09:44 GMT\r\n"
    b"Server: Kestrel\r\nContent-Length: %d\r\n\r\n%b"
)


# -- the client's side


class RestVenue:
    """The server's process, for as long as the block lasts."""

    url: str
    port: int

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.restvenue"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"MALLOC_TOP_PAD_": str(64 << 20)},
        )
        assert self._process.stdout is not None  # noqa: S101 - see above
        self.port = int(await self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None  # noqa: S101 - see above
        self._process.stdin.close()  # at which it ends
        await self._process.wait()


# -- the server's side


class Server(asyncio.BufferedProtocol):
    """One connection. No request of the benchmark's has a body."""

    served = 0  # of all connections
    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._end = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a server makes
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        self._end += nbytes
        while (cut := self._buffer.find(END, 0, self._end)) >= 0:
            head, rest = bytes(self._view[:cut]), bytes(self._view[cut + len(END) : self._end])
            self._view[: len(rest)] = rest
            self._end = len(rest)
            status, body = _answer(head)
            self._transport.write(ANSWER % (status, len(body), body))
            Server.served += 1


def _answer(head: bytes) -> tuple[bytes, bytes]:
    """Status and body."""
    line, _, fields = head.partition(b"\r\n")
    method, target, _ = line.split(b" ", 2)
    if target == b"/used":
        return b"200 OK", b'{"cpu":%d,"served":%d}' % (time.process_time_ns(), Server.served)
    if method == b"DELETE" and target.startswith(STOPS):
        return _stop_cancelled(target[len(STOPS) :], fields.lower())
    if method == b"DELETE" and target.startswith(SPOT):
        return _order_cancelled(target, fields.lower())
    return NOT_FOUND


def _stop_cancelled(order_id: bytes, fields: bytes) -> tuple[bytes, bytes]:
    """B2TRADER's way."""
    if b"authorization: bearer " not in fields:
        return b"401 Unauthorized", b'{"title":"Unauthorized","status":401}'
    if b"accountid: " not in fields:
        return b"400 Bad Request", b'{"errors":[{"code":"account","message":"no accountId"}]}'
    return b"200 OK", STOP % order_id


def _order_cancelled(target: bytes, fields: bytes) -> tuple[bytes, bytes]:
    """Binance's way."""
    named = NAMED.search(target)
    if b"x-mbx-apikey: " not in fields or named is None:
        return b"401 Unauthorized", b'{"code":-2014,"msg":"API-key format invalid."}'
    return b"200 OK", ORDER % (named[1], named[2])


async def _serve() -> None:
    """Until the end of stdin: whoever started it is gone."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=1000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
