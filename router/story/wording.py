"""The words that sentences are made of: orders, quantities, times, and what somebody else said."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from router.model import plain

__all__ = ["MOST_WORDS", "Facts", "clock", "cut", "filled", "mapping", "number", "terms"]

MOST_WORDS: Final = 200  # characters of somebody's words in a sentence

Facts = Mapping[str, Any]


def terms(order: Facts) -> str:
    """An order in words: "buy 1 AAPL-USD at 200 (limit)"."""
    price, stop = order.get("price"), order.get("stop_price")
    flags = [name.replace("_", " ") for name in ("post_only", "reduce_only") if order.get(name)]
    more = ", ".join(
        str(each).replace("_", " ") for each in (order.get("type"), order.get("time_in_force"), *flags) if each
    )
    words = (
        order.get("side") or "trade",
        number(order.get("quantity")),
        order.get("symbol"),
        None if price is None else f"at {number(price)}",
        None if stop is None else f"when {number(stop)} is reached",
        f"({more})" if more else None,
    )
    return cut(" ".join(str(word) for word in words if word))


def filled(state: Facts) -> str:
    """How much of an order has traded: " (1 of 3 filled)"; nothing where that is not known, or nothing has."""
    cum, total = state.get("cum_quantity"), state.get("quantity")
    if cum is None or number(cum) == "0":
        return ""
    of = "" if total is None else f" of {number(total)}"
    return f" ({number(cum)}{of})" if state.get("status") == "filled" else f" ({number(cum)}{of} filled)"


def mapping(facts: Facts, key: str) -> Facts:
    """What is under this key, if that is a mapping."""
    found = facts.get(key)
    return found if isinstance(found, Mapping) else {}


def cut(text: Any, most: int = MOST_WORDS) -> str:
    """Somebody's words, or as many of them as a sentence bears, without the stop at their end."""
    words = "" if text is None else str(text).strip().removesuffix(".")
    return words if len(words) <= most else f"{words[:most]}..."


def number(value: Any) -> str:
    """A quantity or a price as people write it: 1, not 1.0."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return "?" if value is None else cut(value)
    return plain(found.normalize()) if found.is_finite() and abs(found.adjusted()) < MOST_WORDS else cut(value)


def clock(at: float) -> str:
    """Time of day in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
