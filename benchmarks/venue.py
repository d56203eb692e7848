"""A venue that costs next to nothing: QFEX's trade socket in a process of its own, which stamps when each command came.

It speaks as https://docs.qfex.com says, and no more of it than a benchmark asks: any login is right, an add rests, a cancel
cancels, whatever id it names. Its one other service is the stamp: the time at which the first byte of each command was
read, put where the client's process can see it. Both read CLOCK_MONOTONIC, which processes of one machine share.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import mmap
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from websockets.frames import Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:  # an installation without its C part
    from websockets.utils import apply_mask

__all__ = ["Venue"]

STAMPS: Final = 1 << 16
"""How many commands' times are kept."""
SHARED: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - where no disk is asked
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY: Final = re.compile(rb"\r\nSec-WebSocket-Key: *([^\r]+)\r\n", re.IGNORECASE)
BUFFER: Final = 1 << 18
USER: Final = "0020ce8e-eaee-480e-8d7f-b9241d756ee5"


# -- the client's side


class Venue:
    """The server's process, for as long as the block lasts."""

    url: str

    async def __aenter__(self) -> Self:
        self._file = tempfile.TemporaryFile(dir=SHARED)  # noqa: SIM115 - closed below
        self._file.truncate(8 * (STAMPS + 1))
        self._memory = mmap.mmap(self._file.fileno(), 0)
        self._stamps = memoryview(self._memory).cast("q")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.venue", str(self._file.fileno())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[self._file.fileno()],
            env=os.environ | {"MALLOC_TOP_PAD_": str(64 << 20)},
        )
        assert self._process.stdout is not None  # noqa: S101 - see above
        self.url = f"ws://127.0.0.1:{int(await self._process.stdout.readline())}/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None  # noqa: S101 - see above
        self._process.stdin.close()  # at which it ends
        await self._process.wait()
        self._stamps.release()
        self._memory.close()
        self._file.close()

    @property
    def count(self) -> int:
        """How many commands have been read."""
        return self._stamps[0]

    def stamp(self, number: int = 0) -> int:
        """When the first byte of this command was read, in time.monotonic_ns; 0: of the last one."""
        return self._stamps[1 + ((number or self.count) - 1) % STAMPS]


# -- the server's side


class Params(msgspec.Struct):
    """What an answer repeats of a command."""

    symbol: str = ""
    side: str = "BUY"
    order_type: str = "LIMIT"
    order_time_in_force: str = "GTC"
    quantity: msgspec.Raw = msgspec.Raw(b"1.0")
    price: msgspec.Raw = msgspec.Raw(b"200.0")
    client_order_id: str = ""
    order_id: str = ""
    channels: list[str] = []


class Command(msgspec.Struct):
    """A message of the client's."""

    type: str
    params: Params


class Server(asyncio.BufferedProtocol):
    """One connection."""

    orders: dict[str, Params] = {}  # noqa: RUF012 - of all connections
    _transport: asyncio.Transport

    def __init__(self, stamps: memoryview) -> None:
        self._stamps = stamps
        self._view = memoryview(bytearray(BUFFER))
        self._begin = self._end = 0  # of what has been read and not yet understood
        self._since = 0  # when the first byte of that came
        self._shaken = False
        self._decode = msgspec.json.Decoder(Command).decode

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a server makes
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        if self._begin:
            rest = bytes(self._view[self._begin : self._end])
            self._view[: len(rest)] = rest
            self._begin, self._end = 0, len(rest)
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        now = time.monotonic_ns()
        if self._begin == self._end:
            self._since = now
        self._end += nbytes
        if not self._shaken:
            self._shake_hands()
            return
        answers: list[bytes] = []
        while (frame := self._frame()) is not None:
            answers += self._answer(*frame, self._since)
            self._since = now  # what is left came in this read
        if answers:
            self._transport.write(b"".join(answers))

    def _shake_hands(self) -> None:
        head = bytes(self._view[: self._end])
        found = KEY.search(head)
        if found is None or not head.endswith(b"\r\n\r\n"):
            return
        accept = base64.b64encode(hashlib.sha1(found[1] + GUID, usedforsecurity=False).digest())
        self._shaken, self._begin = True, self._end
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def _frame(self) -> tuple[int, bytes] | None:
        """The next whole frame, unmasked; None where it is not all there."""
        view, at, left = self._view, self._begin, self._end - self._begin
        if left < 6:
            return None
        length, head = view[at + 1] & 0x7F, 2
        if length == 126:
            length, head = int.from_bytes(view[at + 2 : at + 4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(view[at + 2 : at + 10], "big"), 10
        if left < head + 4 + length:
            return None
        body = at + head + 4
        self._begin = body + length
        mask = bytes(view[body - 4 : body])
        return view[at] & 0x0F, apply_mask(bytes(view[body : body + length]), mask)

    def _answer(self, opcode: int, body: bytes, since: int) -> list[bytes]:
        if opcode == Opcode.TEXT:
            command = self._decode(body)
            if command.type in {"add_order", "cancel_order"}:
                self._stamp(since)
            return [_text(said) for said in self._say(command.type, command.params)]
        if opcode == Opcode.PING:
            return [bytes((0x80 | Opcode.PONG, len(body))) + body]
        if opcode == Opcode.CLOSE:
            self._transport.write(bytes((0x80 | Opcode.CLOSE, len(body))) + body)
            self._transport.close()
        return []

    def _stamp(self, since: int) -> None:
        count = self._stamps[0]
        self._stamps[1 + count % STAMPS] = since
        self._stamps[0] = count + 1

    def _say(self, kind: str, params: Params) -> list[bytes]:
        match kind:
            case "cancel_order":
                return [_order(params.order_id, self.orders.pop(params.order_id, params), b"CANCELLED")]
            case "add_order":
                order_id = f"5b309929-206f-40ec-804d-{self._stamps[0]:012x}"
                self.orders[order_id] = params
                return [_order(order_id, params, b"ACK")]
            case "auth":
                return [b'{"authenticated":true}']
            case "subscribe":
                return [b'{"subscribed":"%b"}' % channel.encode() for channel in params.channels]
            case "get_user_orders":
                return [b'{"all_orders_response":{"orders":[],"twaps":[]}}']
        return [b'{"err":{"error_code":"InvalidParameter","message":"a benchmark asks no more than this"}}']


def _order(order_id: str, params: Params, status: bytes) -> bytes:
    """An order_response as the page shows it."""
    return (
        b'{"order_response":{"order_id":"%b","symbol":"%b","status":"%b","quantity":%b,"price":%b,"take_profit":0.0,'
        b'"stop_loss":0.0,"side":"%b","type":"%b","time_in_force":"%b","user_id":"%b","client_order_id":"%b",'
        b'"quantity_remaining":%b,"trade_id":null}}'
    ) % (
        order_id.encode(),
        params.symbol.encode(),
        status,
        params.quantity,
        params.price,
        params.side.encode(),
        params.order_type.encode(),
        params.order_time_in_force.encode(),
        USER.encode(),
        params.client_order_id.encode(),
        params.quantity,
    )


def _text(body: bytes) -> bytes:
    """A frame from a server."""
    if len(body) < 126:
        return bytes((0x80 | Opcode.TEXT, len(body))) + body
    return bytes((0x80 | Opcode.TEXT, 126)) + len(body).to_bytes(2, "big") + body


async def _serve(file: int) -> None:
    """Until the end of stdin: whoever started it is gone."""
    loop = asyncio.get_running_loop()
    memory = mmap.mmap(file, 0)
    stamps: Any = memoryview(memory).cast("q")
    server = await loop.create_server(lambda: Server(stamps), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
