"""WebSocket frames in front of the library's Sans-I/O core: a shorter way for the ones that nearly all traffic is made of.

Rules:

1. Only whole, unfragmented, unmasked data frames without reserved bits, within the size limit, are read here, and only
   while the connection is open, the core stands between two frames and no message is begun. Control frames, fragments,
   broken frames, the handshake and the end go through the core, byte by byte what came.
2. For that the length of each frame is read here as well: the core may be given a part of a frame, and stands between two
   again when it has been given all of it.
3. What the core has to say (pongs, the answer to a close) leaves before the next message is handed over.
4. Once the core has seen the connection leave OPEN, all goes through it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State

try:
    from websockets.speedups import apply_mask
except ImportError:  # a build without its C part
    from websockets.utils import apply_mask

__all__ = ["Reader", "masked"]

DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
WHOLE_TEXT, WHOLE_BINARY = 0x81, 0x82
MASKED = 0x80
HELD = 4096  # bytes of a frame whose end has not come; what is longer is gathered by the core
HEADER = 10  # bytes, at most, that tell a frame's length
END_OF_HEADERS = b"\r\n\r\n"

_SHORT = tuple(bytes((WHOLE_TEXT, MASKED | length)) for length in range(126))
_medium, _long = struct.Struct("!BBH").pack, struct.Struct("!BBQ").pack
_MASKS = 256
_split = struct.Struct("4s" * _MASKS).unpack
_masks: list[bytes] = []  # from the system's source of randomness, each used once
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_masks.clear)


def masked(body: bytes) -> bytes:
    """A whole text frame of a client's."""
    try:
        mask = _masks.pop()
    except IndexError:
        _masks.extend(_split(os.urandom(4 * _MASKS)))
        mask = _masks.pop()
    length = len(body)
    if length < 126:
        header = _SHORT[length]
    elif length < 1 << 16:
        header = _medium(WHOLE_TEXT, MASKED | 126, length)
    else:
        header = _long(WHOLE_TEXT, MASKED | 127, length)
    return header + mask + apply_mask(body, mask)


class Reader:
    """Reads what one connection receives. on_message: takes each message; on_response: the answer to the handshake;
    on_core: called whenever the core may have something to send.
    """

    def __init__(
        self,
        core: ClientProtocol,
        *,
        max_message: int,
        on_message: Callable[[bytes], None],
        on_response: Callable[[Response], None],
        on_core: Callable[[], None],
    ) -> None:
        self._core = core
        self._max_message = max_message
        self._on_message, self._on_response, self._on_core = on_message, on_response, on_core
        self._is_shaking = True  # the handshake's headers are not over
        self._is_plain = False  # as rule 1 has it
        self._held = b""  # of a frame that the core knows nothing of
        self._header = b""  # of a frame, or the last bytes of the handshake, that the core has
        self._rest = 0  # bytes of a frame that the core still has to get
        self._begun = bytearray()  # of a message whose last fragment has not come
        self._is_begun = False  # its first one may be empty

    def receive(self, received: bytes | memoryview) -> None:
        """Read what came."""
        data = self._held + received
        self._held = b""
        at, end, limit, on_message = 0, len(data), self._max_message, self._on_message
        while at < end:
            if self._is_plain and at + 1 < end:
                length, start = data[at + 1], at + 2
                if length == 126 and at + 4 <= end:
                    length, start = data[at + 2] << 8 | data[at + 3], at + 4
                elif length > 125:
                    start = end + 1
                stop = start + length
                if stop <= end and length <= limit and data[at] in {WHOLE_TEXT, WHOLE_BINARY}:
                    on_message(data[start:stop])
                    at = stop
                    continue
            at = self._through_core(data, at)

    def end(self) -> None:
        """Nothing more will come."""
        held, self._held = self._held, b""
        if held:
            self._core.receive_data(held)
        self._core.receive_eof()
        self._is_plain = False
        self._heed()

    def _through_core(self, data: bytes, at: int) -> int:
        """Give the core the frame that begins or goes on at this place, or what is there of it. Returns its end."""
        if self._is_shaking:
            stop = self._end_of_headers(data, at)
        elif self._core.state is not State.OPEN:
            stop = len(data)
        elif self._is_plain and self._may_wait(data, at):
            self._held = data[at:]
            return len(data)
        else:
            stop = self._end_of_frame(data, at)
        self._core.receive_data(data[at:stop])
        self._heed()
        is_between = not (self._rest or self._header or self._is_begun)
        self._is_plain = is_between and self._core.state is State.OPEN
        return stop

    def _end_of_headers(self, data: bytes, at: int) -> int:
        """Where frames may begin, if the handshake succeeds; what follows the headers of a refusal is not looked at."""
        seen = self._header + data[at:]
        end = seen.find(END_OF_HEADERS)
        self._is_shaking = end < 0
        known = len(self._header)
        self._header = seen[1 - len(END_OF_HEADERS) :] if end < 0 else b""
        return len(data) if end < 0 else at + end + len(END_OF_HEADERS) - known

    def _may_wait(self, data: bytes, at: int) -> bool:
        """Whether the frame that is cut here is one that will be read here, and is not long."""
        header = data[at : at + HEADER]
        size = _size(header)
        return 0 < size <= min(HELD, self._max_message) and header[0] in {WHOLE_TEXT, WHOLE_BINARY} and header[1] < 127

    def _end_of_frame(self, data: bytes, at: int) -> int:
        if not self._rest:
            header = self._header + data[at : at + HEADER - len(self._header)]
            size = _size(header)
            if not size:  # then this is all that there is
                self._header = header
                return len(data)
            self._rest, self._header = size - len(self._header), b""
        stop = min(at + self._rest, len(data))
        self._rest -= stop - at
        return stop

    def _heed(self) -> None:
        """Pass on what the core has made of it."""
        self._on_core()
        for event in self._core.events_received():
            if isinstance(event, Response):
                self._on_response(event)
            elif isinstance(event, Frame) and event.opcode in DATA:
                self._gather(bytes(event.data), fin=event.fin)

    def _gather(self, part: bytes, *, fin: bool) -> None:
        if fin and not self._is_begun:
            self._on_message(part)
            return
        self._begun += part
        self._is_begun = not fin
        if fin:
            message, self._begun = bytes(self._begun), bytearray()
            self._on_message(message)


def _size(header: bytes) -> int:
    """The bytes of the frame that begins so, all included. 0: not enough of it is here to know."""
    if len(header) < 2:
        return 0
    length = (
        header[1] & 0x7F
    )  # a masked frame of a server's is broken as soon as this is known, so its mask is not counted
    width = {126: 2, 127: 8}.get(length, 0)
    if len(header) < 2 + width:
        return 0
    return 2 + width + (int.from_bytes(header[2 : 2 + width]) if width else length)
