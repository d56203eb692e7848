"""Ending a TCP connection by RST, as crashed machines and firewalls do: the peer reads an error, not an end."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

__all__ = ["by_reset", "dial", "in_order", "reset"]

AT_ONCE: Final = struct.pack("ii", 1, 0)


def by_reset(sock: socket.socket) -> None:
    """However this socket is closed, its peer reads a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """End a connection now, unless it has ended."""
    if isinstance(transport, asyncio.WriteTransport) and not transport.is_closing():
        by_reset(transport.get_extra_info("socket"))
        transport.abort()


def in_order(writer: asyncio.StreamWriter) -> None:
    """End a connection as usual, whatever was decided before."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(len(AT_ONCE)))
    writer.close()


async def dial(host: str, port: int) -> socket.socket:
    """Connect, by a socket that ends by reset even half connected."""
    sock = socket.socket()
    sock.settimeout(0)
    by_reset(sock)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return sock
