"""What of the faults this venue cannot have, and how it words those in which it speaks. All of it is assumed."""

from __future__ import annotations

import json
from random import Random
from typing import Final

from aiohttp import web

from adapters.dmex.simulator.replies import PUSH, Reply, reply
from router.testing import Fault, pages
from router.testing.faults import HTTP_CANNOT, SOCKET_CANNOT
from router.testing.sockets import PAGE
from router.testing.strike import Strike

__all__ = ["ERRORS", "excuse", "listed", "said", "stranger"]

UNLIMITED: Final = "the venue documents no rate limit"
CANNOT: Final = {
    Fault.EXPIRED_TOKEN: "the venue has no login: each command carries its own signature",
    Fault.CLOCK_SKEW: "nothing that the venue is sent carries a time",
    Fault.THROTTLED: UNLIMITED,
    Fault.THROTTLED_NO_HINT: UNLIMITED,
}
WORDS: Final = (None, "Order not found")
ERRORS: Final = ("Internal error", "internal server error: code 7", "Something went wrong, please try again later")


def excuse(fault: Fault, *, http: bool) -> str:
    return CANNOT.get(fault) or (HTTP_CANNOT if http else SOCKET_CANNOT).get(fault, "")


def said(strike: Strike, style: Reply, op: str | None, order_hash: object) -> str | None:
    """A frame in the answer's place: a page, or an error that nobody has documented."""
    if strike.fault is Fault.HTML_PAGE:
        return PAGE
    if strike.fault in {Fault.SERVER_ERROR, Fault.SERVER_ERROR_EXECUTED}:
        return json.dumps(reply(style, op, order_hash, strike.chance.choice(ERRORS)))
    return None


def listed(strike: Strike, path: str) -> web.Response | None:
    """The same of the REST list."""
    given = pages.in_place(strike)
    if not isinstance(given, int):
        return given
    headers = {"Location": f"/redirected{path}"} if strike.fault is Fault.REDIRECT else None
    return web.json_response({"success": False, "error": ERRORS[0]}, status=given, headers=headers)


def stranger(chance: Random) -> str:
    """A push, or what somebody else was told about an order of his own."""
    order_hash = f"0x{chance.getrandbits(256):064x}"
    answers = [reply("success", op, order_hash, error) for op in ("cancel_order", "create_order") for error in WORDS]
    return json.dumps(chance.choice([PUSH, *answers]))
