"""How the venue writes things: ids, times and numbers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, TypeVar

__all__ = ["decimal_string", "mint", "nullable", "ticks", "timestamp"]

T = TypeVar("T")

CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TICKS: Final = 10_000_000  # per second: .NET counts time in 100 ns


def ticks() -> int:
    """Now, in 100 ns since 1970."""
    return time.time_ns() // 100


def mint(moment: int) -> str:
    """A fresh ULID: 48 bits of time in milliseconds, 80 random bits, in Crockford's base32."""
    number = moment // (TICKS // 1000) << 80 | secrets.randbits(80)
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def timestamp(moment: int) -> str:
    """The .NET round-trip format with its fraction's zeros trimmed: none to seven digits."""
    seconds, fraction = divmod(moment, TICKS)
    digits = f"{fraction:07d}".rstrip("0")
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{digits}Z" if digits else f"{whole}Z"


def decimal_string(value: Decimal) -> str:
    """No exponent, no trailing zeros."""
    return format(value.normalize(), "f")


def nullable(write: Callable[[T], str], value: T | None) -> str | None:
    return None if value is None else write(value)
