"""What leaves over one connection: the frames of a loop tick in one write, in their order, and no more than the peer reads.

The first frame of a tick is written at once, because one that is alone must not wait. Those that follow are joined, because a
system call costs more than all else that is done to a frame. Where every frame must leave in the very call in which it was allowed to
(a session with a fence), none is joined, and next to nothing waits in this process for a peer that reads slowly.
"""

from __future__ import annotations

import asyncio
import sys

from websockets.frames import Opcode

try:
    import fcntl
    import termios
except ImportError:  # not every system has them
    HAS_TERMIOS = False
else:
    HAS_TERMIOS = True

__all__ = ["Writer"]

JOINED = 64 * 1024  # bytes of one write
FULL, DRAINED = 64 * 1024, 16 * 1024  # bytes that the kernel has not taken
PONG = bytes((0x80 | Opcode.PONG,))


class Writer:
    """Writes frames to one transport. is_full: the peer reads more slowly than we write. joins: frames of a tick may be joined."""

    def __init__(self, transport: asyncio.Transport, *, joins: bool = True) -> None:
        transport.set_write_buffer_limits(*((FULL, DRAINED) if joins else (0, 0)))
        self._may_join = joins
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._joins = False  # a frame has been written in this tick
        self._joined = bytearray()  # those that followed
        self._owed = b""  # the last pong that did not fit
        self.is_full = False

    def put(self, frame: bytes) -> None:
        """Write it now, or with the others of this tick."""
        if self._joins:
            self._joined += frame
            if len(self._joined) > JOINED:
                self._write_joined()
        else:
            self._transport.write(frame)
            if self._may_join:
                self._joins = True
                self._call_soon(self._end_tick)

    def put_core(self, data: bytes) -> None:
        """The same for what the core says: its frames, and b"" when it has no more to say. While full, only the last pong
        is kept, which answers those before it as well.
        """
        if self.is_full and data.startswith(PONG):
            self._owed = data
        elif data:
            self.put(data)
        elif self._transport.can_write_eof():
            self._write_joined()
            self._transport.write_eof()

    def unread(self) -> int:
        """Bytes that the peer's system has not taken; where ours doesn't tell, those that ours has not."""
        ours = self._transport.get_write_buffer_size() + len(self._joined)
        if not HAS_TERMIOS:
            return ours
        sock = self._transport.get_extra_info("socket")
        return ours + int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def drain(self) -> None:
        """There is room again."""
        self.is_full = False
        owed, self._owed = self._owed, b""
        if owed and not self._transport.is_closing():
            self.put(owed)

    def drop(self) -> None:
        """Forget what has not left."""
        self._joined = bytearray()

    def _end_tick(self) -> None:
        self._joins = False
        self._write_joined()

    def _write_joined(self) -> None:
        if self._joined:
            joined, self._joined = self._joined, bytearray()  # the transport may keep what it is given
            self._transport.write(joined)
