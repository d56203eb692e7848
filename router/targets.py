"""What a caller says to a Router, read and checked: what is to be cancelled, and how long it may take. Pure."""

from __future__ import annotations

import math

from router.anyrouter import Target
from router.model import Cancel, IdKind, Order
from router.report import OrderState, SubmitReport

__all__ = ["addressed", "checked_seconds"]


def addressed(
    target: Target,
    id: str | None = None,  # noqa: A002 - the contract's name
    kind: IdKind | str | None = None,
    symbol: str | None = None,
) -> Cancel | Order:
    """The address, or the very Order. Raises ValueError or TypeError."""
    if isinstance(target, str):
        if id is None:
            raise TypeError(f"cancel({target!r}) names a venue and no id; pass the id as the second argument")
        return Cancel(target, id, kind, symbol)
    if id is not None or kind is not None or symbol is not None:
        raise TypeError(f"a {type(target).__name__} knows its own address; pass no id, kind or symbol beside it")
    if isinstance(target, Cancel | Order):
        return target
    if isinstance(target, OrderState | SubmitReport):
        return target.to_cancel()
    raise TypeError(f"{target!r} is nothing that can be cancelled")


def checked_seconds(deadline: float | None) -> float | None:
    """A deadline, if it is one. Raises ValueError or TypeError."""
    if deadline is None:
        return None
    if isinstance(deadline, bool) or not isinstance(deadline, int | float):
        raise TypeError(f"deadline was {deadline!r}; it must be a number of seconds")
    if not (deadline > 0 and _is_finite(deadline)):
        raise ValueError(f"deadline was {deadline!r}; it must be more than 0 seconds")
    return deadline


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int that no float is as large as
        return False
