"""Which of an order's options would take the place of its own terms: ccxt puts what it is given over what it has made."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from adapters.ccxt_bridge.calling import Request

__all__ = ["overridden"]


def overridden(options: Collection[str], plain: Request, terms: Iterable[str | None]) -> list[str]:
    """The options whose names hold one of these terms in the request that is made without options."""
    wanted = {_alike(term) for term in terms if term is not None}
    return sorted({name for name, value in _parts(plain) if name in options and _alike(value) in wanted})


def _parts(request: Request) -> Iterator[tuple[str, Any]]:
    """Names and values of what is sent, wherever they stand in it."""
    yield from parse_qsl(urlsplit(request.url).query)
    try:
        yield from _inside(json.loads(request.body))
    except ValueError:
        yield from parse_qsl(request.body.decode(errors="replace"))


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for each in value:
            yield from _inside(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name, each
            yield from _inside(each)


def _alike(value: Any) -> str | Decimal:
    """Numbers by value, words by letters."""
    text = str(value).casefold()
    try:
        return Decimal(text)
    except InvalidOperation:
        return text
