"""The way into a WebSocket: its URL, the core that shakes hands, and what the answer means.

The library's own DEBUG lines would print frames and headers, so the core gets a logger that says nothing. It offers no
extension, so nothing is compressed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, InvalidURI
from websockets.http11 import Response
from websockets.uri import WebSocketURI, parse_uri

from router.errors import TransportError
from router.redact import redact
from router.transport.wording import said

__all__ = ["HandshakeRefused", "core_for", "headers_of", "parsed", "refusal"]

SILENT = logging.Logger("router.websocket", logging.CRITICAL)  # noqa: LOG001 - outside the tree on purpose


class HandshakeRefused(TransportError):
    """The server answered the handshake with an HTTP status of its own. headers: with names in lower case."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"the WebSocket handshake was answered with HTTP {status}", sent=False)
        self.status = status
        self.headers = headers


def parsed(url: str) -> WebSocketURI:
    """Raises TransportError."""
    try:
        return parse_uri(url)
    except (InvalidURI, ValueError):
        pass  # and out of the handler, whose exception would carry the URL
    raise TransportError(f"{redact(url)} is not a WebSocket URL", sent=False)


def core_for(uri: WebSocketURI, max_message: int) -> ClientProtocol:
    return ClientProtocol(uri, max_size=max_message, logger=SILENT)


def headers_of(response: Response) -> dict[str, str]:
    """With names in lower case."""
    return {name.lower(): value for name, value in response.headers.raw_items()}


def refusal(core: ClientProtocol, response: Response) -> TransportError | None:
    """Why this answer opens nothing."""
    error = core.handshake_exc
    if isinstance(error, InvalidStatus):
        return HandshakeRefused(response.status_code, headers_of(response))
    if error is not None:
        return TransportError(f"the WebSocket handshake failed: {said(error)}", sent=False)
    return None
