"""The bodies of errors. The venue documents none for its order endpoints: all of this is assumed, and a switch."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

from aiohttp import web

from adapters.b2trader.simulator.refusal import Refusal

__all__ = ["ErrorStyle", "error"]

ErrorStyle: TypeAlias = Literal["problem", "errors", "empty", "html"]


def error(refusal: Refusal, style: ErrorStyle | None) -> web.Response:
    """The answer that tells a refusal. style None: "errors" with 400, "problem" with every other status."""
    status = refusal.status
    match style or ("errors" if status == 400 else "problem"):
        case "errors":
            return web.json_response({"errors": [{"code": refusal.code, "message": refusal.message}]}, status=status)
        case "problem":
            return web.json_response(_problem(status), status=status, content_type="application/problem+json")
        case "html":
            return web.Response(status=status, text=f"<html><h1>{status}</h1></html>", content_type="text/html")
    return web.Response(status=status)


def _problem(status: int) -> dict[str, Any]:
    known = status in set(HTTPStatus)
    return {
        "type": "https://tools.ietf.org/html/rfc9110",
        "title": HTTPStatus(status).phrase if known else "Error",
        "status": status,
        "traceId": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00",
    }
