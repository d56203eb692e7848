"""The venue's process: WebSocket frames in and out, as cheaply as Python can, and what the client's process may see and say.

Answers of one read leave in one write. What is shared with the client's process is an array of 64-bit numbers: the count of
commands, the time at which each was read, how many answers to hold back, and the CPU time used so far.

python -m benchmarks.server FILE_DESCRIPTOR
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import mmap
import re
import sys
import time
from typing import Any, Final

from benchmarks.dialects import Book

try:
    from websockets.speedups import apply_mask
except ImportError:  # an installation without its C part
    from websockets.utils import apply_mask

__all__ = ["CPU", "HOLD", "STAMPS", "WORDS"]

STAMPS: Final = 1 << 16
"""How many commands' times are kept."""
HOLD: Final = STAMPS + 1
"""Where the client says how many answers are to be held back until so many are there; 0: none."""
CPU: Final = STAMPS + 2
"""Where the server says what CPU time it has used, in nanoseconds."""
WORDS: Final = STAMPS + 3
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA  # opcodes
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY: Final = re.compile(rb"\r\nSec-WebSocket-Key: *([^\r]+)\r\n", re.IGNORECASE)
BUFFER: Final = 1 << 18


class Venue:
    """What all connections have in common."""

    def __init__(self, shared: memoryview) -> None:
        self.shared = shared
        self.book = Book()
        self._held: list[tuple[asyncio.Transport, bytes]] = []

    def stamp(self, since: int) -> None:
        """A command was read."""
        count = self.shared[0]
        self.shared[1 + count % STAMPS] = since
        self.shared[0] = count + 1

    def tell(self, transport: asyncio.Transport, answers: list[bytes]) -> None:
        """Send these now, or when as many are there as the client wants."""
        wanted = self.shared[HOLD]
        if not wanted:
            transport.write(b"".join(answers))
            return
        self._held += [(transport, answer) for answer in answers]
        if len(self._held) >= wanted:
            self._release()

    def _release(self) -> None:
        joined: dict[asyncio.Transport, list[bytes]] = {}
        for transport, answer in self._held:
            joined.setdefault(transport, []).append(answer)
        self._held.clear()
        self.shared[HOLD] = 0
        for transport, answers in joined.items():
            transport.write(b"".join(answers))


class Connection(asyncio.BufferedProtocol):
    """One client."""

    _transport: asyncio.Transport

    def __init__(self, venue: Venue) -> None:
        self._venue, self._book = venue, venue.book
        self._view = memoryview(bytearray(BUFFER))
        self._begin = self._end = 0  # of what has been read and not yet understood
        self._since = 0  # when the first byte of that came
        self._shaken = False

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
            answers += self._answer(*frame)
            self._since = now  # what is left came in this read
        if answers:
            self._venue.tell(self._transport, answers)
        self._venue.shared[CPU] = time.process_time_ns()

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
        return view[at] & 0x0F, apply_mask(bytes(view[body : body + length]), bytes(view[body - 4 : body]))

    def _answer(self, opcode: int, body: bytes) -> list[bytes]:
        if opcode == TEXT:
            before = self._book.commands
            said = list(self._book.answer(body))
            if self._book.commands != before:
                self._venue.stamp(self._since)
            return said
        if opcode == PING:
            self._transport.write(bytes((0x80 | PONG, len(body))) + body)
        elif opcode == CLOSE:
            self._transport.write(bytes((0x80 | CLOSE, len(body))) + body)
            self._transport.close()
        return []


async def _serve(file: int) -> None:
    """Until the end of stdin: whoever started it is gone."""
    loop = asyncio.get_running_loop()
    memory = mmap.mmap(file, 0)
    shared: Any = memoryview(memory).cast("q")
    venue = Venue(shared)
    server = await loop.create_server(lambda: Connection(venue), "127.0.0.1", 0, backlog=1000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
