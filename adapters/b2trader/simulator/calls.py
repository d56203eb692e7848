"""Reading one HTTP request, which is hostile: what endpoint it names, what it carries."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final

from aiohttp import web
from attrs import field, frozen

__all__ = ["REDIRECTED", "Call", "read_call"]

REDIRECTED: Final = "/redirected"
MAX_BRACKETS: Final = 500
ENDPOINT: Final = re.compile(
    r"/frontoffice/api/(?P<base>v3|v4|cfd/v4|perpetual/v4)"
    r"/(?P<route>stop-orders|orders|access-token|accounts)(?:/(?P<key>[^/]+))?"
)


@frozen
class Call:
    """One request, read. route: "orders", "stop-orders", "access-token", "accounts", "redirected" or "elsewhere"."""

    method: str
    raw_path: str
    base: str
    route: str
    key: str | None
    headers: dict[str, str] = field(repr=False)  # by lower-case name
    raw: bytes | None = field(repr=False)  # None: too large

    @property
    def nested(self) -> bool:
        """Whether the body has more brackets than any request needs.

        To be asked before parsing: others may have raised the recursion limit beyond what a parser's stack can take.
        """
        raw = self.raw or b""
        return raw.count(b"[") + raw.count(b"{") > MAX_BRACKETS

    @property
    def command(self) -> str:
        return f"{self.method} {self.route}"

    @property
    def body(self) -> Any:
        """Decoded JSON with exact decimals, else the text."""
        raw = self.raw or b""
        if not self.nested:
            with suppress(ValueError, ArithmeticError):
                return json.loads(raw, parse_float=Decimal)
        return raw.decode(errors="replace")

    @property
    def version(self) -> str | None:
        """The media-type parameter x-api-version; None if there is none."""
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "x-api-version":
                return value.strip().strip('"')
        return None


async def read_call(request: web.Request) -> Call:
    try:
        raw: bytes | None = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raw = None
    headers = {name.lower(): value for name, value in request.headers.items()}
    base, route, key = _endpoint(request.path)
    return Call(request.method, request.raw_path, base, route, key, headers, raw)


def _endpoint(path: str) -> tuple[str, str, str | None]:
    if path.startswith(REDIRECTED):
        return "", REDIRECTED[1:], None
    found = ENDPOINT.fullmatch(path)
    return (found["base"], found["route"], found["key"]) if found else ("", "elsewhere", None)
