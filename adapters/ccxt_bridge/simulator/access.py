"""Who asks: reading a signed request, and checking its key, its signature and its time, in the venue's order."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web
from attrs import field, frozen

from adapters.ccxt_bridge.simulator.refusal import Refusal, malformed

__all__ = ["Call", "check", "read_call"]

RECV_WINDOW: Final = 5000  # milliseconds, where none is sent
AHEAD: Final = 1000


@frozen
class Call:
    """One request, read. command: "DELETE order"; asked: its parameters, of query and body; signed: what they sign."""

    command: str
    path: str
    asked: dict[str, str] = field(repr=False)
    signed: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)  # by lower-case name


async def read_call(request: web.Request) -> Call:
    try:
        body = (await request.read()).decode(errors="replace")
    except web.HTTPRequestEntityTooLarge:
        body = ""
    query = request.raw_path.partition("?")[2]
    asked = dict(parse_qsl(query, keep_blank_values=True)) | dict(parse_qsl(body, keep_blank_values=True))
    parts = [each for each in (query + body).split("&") if not each.startswith("signature=")]
    name = request.path.rpartition("/")[2] or "elsewhere"
    headers = {key.lower(): value for key, value in request.headers.items()}
    return Call(f"{request.method} {name}", request.path, asked, "&".join(parts), headers)


def check(call: Call, api_key: str, secret: str, now: int) -> None:
    """Raise Refusal unless this request may be executed. now: the venue's unix milliseconds."""
    key = call.headers.get("x-mbx-apikey", "")
    if not key:
        raise Refusal(-2014, "API-key format invalid.", 401)
    if key != api_key:
        raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    if not call.asked.get("timestamp", "").isdecimal():
        raise malformed("timestamp")
    right = hmac.new(secret.encode(), call.signed.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right, call.asked.get("signature", "").lower()):
        raise Refusal(-1022, "Signature for this request is not valid.")
    _check_time(int(call.asked["timestamp"]), call.asked.get("recvWindow", ""), now)


def _check_time(sent: int, window: str, now: int) -> None:
    if sent >= now + AHEAD:
        raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now - sent > (int(window) if window.isdecimal() else RECV_WINDOW):
        raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
