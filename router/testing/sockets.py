"""How a fault puts an answer on a WebSocket.

Odd frames are written past the library, which would rightly refuse to send them; whole ones go through it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from router.testing import spoiling
from router.testing.faults import Fault
from router.testing.strike import Strike
from router.testing.tcp import reset

__all__ = ["PAGE", "put"]

PAGE = "<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>We'll be back</h1></body></html>"


def put(
    socket: ServerConnection, messages: Sequence[str], strike: Strike, stranger: Callable[[random.Random], str]
) -> None:
    """Put an answer of these messages on the wire. stranger: a message about somebody else's doings."""
    if socket.state is not State.OPEN or socket.transport.is_closing():
        return
    chance = strike.chance
    match strike.fault:
        case Fault.FLOOD:
            _whole(socket, [*(stranger(chance) for _ in range(strike.faults.flood)), *messages])
        case Fault.DUPLICATE:
            _whole(socket, [*messages, *messages])
        case Fault.SPLIT:
            socket.transport.write(b"".join(_fragments(spoiling.pieces(text.encode(), chance)) for text in messages))
        case Fault.GARBLE | Fault.NOT_UTF8 | Fault.TRUNCATE as fault if messages:
            bodies = [text.encode() for text in messages]
            hit = chance.randrange(len(bodies))
            bodies[hit] = spoiling.spoil(fault, bodies[hit], chance)
            socket.transport.write(b"".join(_frame(body) for body in bodies))
        case Fault.HANG_UP_ANSWERING:
            socket.transport.write(_part([_frame(text.encode()) for text in messages], chance))
            reset(socket.transport)
        case Fault.HANG_UP_ANSWERED:
            _whole(socket, messages)
            socket.transport.close()
        case _:
            _whole(socket, messages)


def _whole(socket: ServerConnection, messages: Sequence[str]) -> None:
    for text in messages:
        broadcast([socket], text)


def _part(frames: list[bytes], chance: random.Random) -> bytes:
    """The frames up to the middle of one of them."""
    if not frames:
        return b""
    last = chance.randrange(len(frames))
    return b"".join([*frames[:last], spoiling.half(frames[last], chance)])


def _frame(body: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return Frame(opcode, body, fin=fin).serialize(mask=False)


def _fragments(parts: list[bytes]) -> bytes:
    first, *others, last = parts
    middle = [_frame(part, Opcode.CONT, fin=False) for part in others]
    return b"".join([_frame(first, fin=False), *middle, _frame(last, Opcode.CONT)])
