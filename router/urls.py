"""Which addresses may be talked to: over TLS, or on this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from router.redact import redact

__all__ = ["checked_url"]

_SECURE = {"wss": "ws", "https": "http"}


def checked_url(url: str, venue: str, *, scheme: str) -> str:
    """The URL, if its scheme is `scheme` ("wss" or "https"), or the plain one to a loopback address. Else ValueError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if host is None or parts.username is not None or any(ord(char) <= 32 for char in url):
        raise ValueError(f"{venue}: url was {redact(url)!r}; it must be {scheme}://host")
    if parts.fragment:
        raise ValueError(f"{venue}: url was {redact(url)!r}; it takes no fragment")
    if scheme == "https" and parts.query:
        raise ValueError(f"{venue}: url was {redact(url)!r}; paths are appended to it, so it takes no query")
    if parts.scheme == scheme or (parts.scheme == _SECURE[scheme] and _is_loopback(host)):
        return url
    raise ValueError(f"{venue}: url was {redact(url)!r}; it must be {scheme}:// (in the clear only to this machine)")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
