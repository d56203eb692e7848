"""Which requests of ccxt's are not the command itself: what it asks first, and what it would do in its own interest."""

from __future__ import annotations

import re
from typing import Final, Protocol
from urllib.parse import urlsplit

__all__ = ["is_for_ccxt", "is_preliminary", "is_repeat", "may_load"]

_ACTS = re.compile(r"cancel|buy|sell|place|create|submit|new|add|del|trad|order", re.IGNORECASE)
_OWN_INTEREST = re.compile(r"approve\w*builder|builder\w*[/_-]approve|set_?referr?er", re.IGNORECASE)
READING: Final = {  # POSTs that only read, by exchange: the ends of their paths
    "hyperliquid": ("/info",),
    "cex": ("/get_pairs_info", "/get_currencies_info", "/get_processing_info"),
    "grvt": ("/full/v1/all_instruments", "/full/v1/currency"),
}


class Asked(Protocol):
    """A request, as far as it matters here."""

    @property
    def url(self) -> str: ...

    @property
    def method(self) -> str: ...

    @property
    def body(self) -> bytes: ...


def is_preliminary(request: Asked) -> bool:
    """Whether it can do nothing to an order: a GET of something that is no order's and no action's.

    Some exchanges place and cancel by GET, so a path with a word for that is taken for the command itself.
    """
    return request.method == "GET" and not _ACTS.search(urlsplit(request.url).path)


def is_repeat(asked: Asked, before: Asked) -> bool:
    """Whether it could do again what the one before may have done."""
    same = (asked.method, urlsplit(asked.url).path) == (before.method, urlsplit(before.url).path)
    return same or not is_preliminary(before)


def is_for_ccxt(request: Asked) -> bool:
    """Whether it signs a fee or a referral for ccxt's makers, which nobody has asked for."""
    return bool(_OWN_INTEREST.search(f"{urlsplit(request.url).path} {request.body.decode(errors='replace')}"))


def may_load(name: str, request: Asked) -> bool:
    """Whether it only reads, so that it may be sent to load the markets."""
    path = urlsplit(request.url).path
    return request.method == "GET" or (request.method == "POST" and path.endswith(READING.get(name, ("\0",))))
