"""How a fault puts an answer on an HTTP connection."""

from __future__ import annotations

from contextlib import suppress
from email.utils import formatdate
from time import time
from typing import Final

from aiohttp import web

from router.testing import spoiling
from router.testing.faults import Fault
from router.testing.strike import Strike
from router.testing.tcp import reset

__all__ = ["in_place", "put"]

PAGE: Final = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
SERVER_ERRORS: Final = (500, 502, 503, 504)


def in_place(strike: Strike) -> web.Response | int | None:
    """What is answered in the venue's place: a whole page, a status that the venue words itself, or nothing."""
    match strike.fault:
        case Fault.HTML_PAGE:
            return web.Response(text=PAGE.format("We'll be back"), content_type="text/html")
        case Fault.HTML_ERROR:
            return web.Response(status=502, text=PAGE.format("502 Bad Gateway"), content_type="text/html")
        case Fault.SERVER_ERROR | Fault.SERVER_ERROR_EXECUTED:
            return strike.chance.choice(SERVER_ERRORS)
        case Fault.THROTTLED | Fault.THROTTLED_NO_HINT:
            return 429
        case Fault.REDIRECT:
            return 302
    return None


async def put(request: web.Request, response: web.Response, strike: Strike) -> web.StreamResponse:
    """Put an answer on the wire, or leave it to the server where nothing is odd about it."""
    body = response.body if isinstance(response.body, bytes) else b""
    if strike.faults.skew:
        response.headers["Date"] = formatdate(time() + strike.faults.skew, usegmt=True)
    with suppress(ConnectionError):  # who asked may be gone
        match strike.fault:
            case Fault.GARBLE | Fault.NOT_UTF8 | Fault.TRUNCATE as fault:
                response.body = spoiling.spoil(fault, body, strike.chance)
            case Fault.SPLIT:
                return await _chunked(request, response, spoiling.pieces(body, strike.chance))
            case Fault.HANG_UP_ANSWERING:
                return await _begun(request, response, body, spoiling.half(body, strike.chance))
            case Fault.HANG_UP_ANSWERED:
                await response.prepare(request)
                await response.write_eof()
                if request.transport is not None:
                    request.transport.close()
    return response


async def _chunked(request: web.Request, response: web.Response, parts: list[bytes]) -> web.StreamResponse:
    chunked = web.StreamResponse(status=response.status, headers=response.headers)
    chunked.enable_chunked_encoding()
    await chunked.prepare(request)
    for part in filter(None, parts):
        await chunked.write(part)
    await chunked.write_eof()
    return chunked


async def _begun(request: web.Request, response: web.Response, body: bytes, begun: bytes) -> web.StreamResponse:
    """Headers that promise all of the body, a part of it, and a reset."""
    broken = web.StreamResponse(status=response.status, headers=response.headers)
    broken.content_length = len(body)
    await broken.prepare(request)
    await broken.write(begun)
    reset(request.transport)
    return broken
