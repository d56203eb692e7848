"""JSON off the wire and onto it: exact numbers in, floats out, hostile text refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from adapters.qfex.simulator.model import ZERO

__all__ = ["decode", "encode"]

MAX_DEPTH: Final = 64
MAX_BRACKETS: Final = 500
MAX_DIGITS: Final = 64


def decode(raw: str) -> Any:
    """JSON with exact numbers. Raises ValueError for anything that is not JSON, too deep or out of a float's range.

    Brackets are counted first: others may have raised the recursion limit beyond what the parser's stack can take.
    """
    if raw.count("[") + raw.count("{") > MAX_BRACKETS:
        raise ValueError("nested too deeply")
    message = json.loads(raw, parse_float=_decimal, parse_int=_integer, parse_constant=_decimal)
    _limit(message, MAX_DEPTH)
    return message


def encode(frame: object) -> str:
    return json.dumps(frame, default=float, separators=(",", ":"))


def _decimal(text: str) -> Decimal:
    """An exact number that a float could hold too: what is too large or too long is refused, what is too small is 0."""
    size = float(text)
    if not isfinite(size) or len(text) > MAX_DIGITS:
        raise ValueError("number out of range")
    return Decimal(text) if size else ZERO


def _integer(text: str) -> int:
    return int(_decimal(text))


def _limit(value: object, depth: int) -> None:
    if depth == 0:
        raise ValueError("nested too deeply")
    parts: Iterable[object] = ()
    if isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, list):
        parts = value
    for part in parts:
        _limit(part, depth - 1)
