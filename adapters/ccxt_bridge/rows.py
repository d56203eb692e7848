"""ccxt's order structure, read with exact numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from router.model import IdKind, OrderType, Side
from router.report import ExecType, OrdStatus
from router.venue import Execution

__all__ = ["execution", "name_of", "status_of"]

ENDED: Final = {
    "canceled": OrdStatus.CANCELED,
    "expired": OrdStatus.EXPIRED,
    "rejected": OrdStatus.REJECTED,
}
STOPS: Final = {"STOP_LOSS": OrderType.STOP, "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT}
DEEPEST: Final = 2
_UNDER_WAY = re.compile(r"pend|sent|submit|request|process(?!ed)|wait|ing(?![a-z])", re.IGNORECASE)
_REJECTED = re.compile(r"reject|fail", re.IGNORECASE)
HAPPENED: Final = {
    OrdStatus.CANCELED: ExecType.CANCELED,
    OrdStatus.EXPIRED: ExecType.EXPIRED,
    OrdStatus.REJECTED: ExecType.REJECTED,
    OrdStatus.NEW: ExecType.NEW,
}


def name_of(order: Any) -> str | None:
    """The venue's id of the order that a result shows, if it shows one."""
    found = order.get("id") if isinstance(order, Mapping) else None
    told = _told(order) if found else {}
    if told.get("orderId") and found == str(told.get("strategyId")) and "strategyStatus" not in told:
        found = told["orderId"]  # a label that Binance's spot orders may have, which ccxt takes for their id
    return None if found in {None, ""} else str(found)


def status_of(order: Any) -> OrdStatus | None:
    """What has become of the order; None: it is not told.

    "closed" means filled where both numbers say so. No end is believed while the exchange's own word is of something that is
    under way ("CANCEL_SENT"), and a rejection is one whatever ccxt calls it.
    """
    told = order.get("status") if isinstance(order, Mapping) else None
    if told is None:
        return None
    filled, amount = _number(order, "filled"), _number(order, "amount")
    if told in {"open", "canceling"}:
        return OrdStatus.PARTIALLY_FILLED if filled else OrdStatus.NEW
    words = " ".join(_words(_told(order)))
    if _UNDER_WAY.search(words):
        return None
    if told == "closed":
        return OrdStatus.FILLED if filled and amount and filled >= amount else None
    return OrdStatus.REJECTED if told in ENDED and _REJECTED.search(words) else ENDED.get(str(told))


def _words(told: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """The exchange's own words for a status."""
    for name, value in told.items():
        if isinstance(value, str) and ("status" in str(name).lower() or "state" in str(name).lower()):
            yield value
        elif isinstance(value, Mapping) and depth < DEEPEST:
            yield from _words(value, depth + 1)


def execution(order: Mapping[str, Any], kind: IdKind, order_id: str, *, is_listed: bool) -> Execution:
    """What a result says of an order. is_listed: it was read, so it says what is, and under which client id.

    A cancel's answer may show the client id of the cancel, and its time is the order's.
    """
    status = status_of(order)
    return Execution(
        exec_type=ExecType.ORDER_STATUS if is_listed else HAPPENED.get(status, ExecType.ORDER_STATUS),  # type: ignore[arg-type]
        order_id=order_id,
        kind=kind,
        status=status,
        client_order_id=_text(order, "clientOrderId") if is_listed else None,
        symbol=_text(order, "symbol"),
        side={"buy": Side.BUY, "sell": Side.SELL}.get(order.get("side") or ""),
        type=_type(order),
        quantity=_positive(order, "amount"),
        price=_positive(order, "price") if order.get("type") == "limit" else None,
        stop_price=_positive(order, "triggerPrice"),
        post_only=order.get("postOnly") if isinstance(order.get("postOnly"), bool) else None,
        reduce_only=order.get("reduceOnly") if isinstance(order.get("reduceOnly"), bool) else None,
        cum_quantity=_number(order, "filled"),
        at=_time(order.get("timestamp")) if is_listed else None,
        text=str(order.get("status") or ""),
    )


def _type(order: Mapping[str, Any]) -> OrderType | None:
    """A trigger does not tell a stop from a take-profit; some exchanges' own words do."""
    if _positive(order, "triggerPrice") is not None:
        return STOPS.get(str(_told(order).get("type")))
    return {"limit": OrderType.LIMIT, "market": OrderType.MARKET}.get(order.get("type") or "")


def _told(order: Mapping[str, Any]) -> Mapping[str, Any]:
    """The exchange's own object, as ccxt passes it on."""
    info = order.get("info")
    return info if isinstance(info, Mapping) else {}


def _text(order: Mapping[str, Any], name: str) -> str | None:
    value = order.get(name)
    return value if isinstance(value, str) and value else None


def _number(order: Mapping[str, Any], name: str) -> Decimal | None:
    """Strings hold the venue's digits; an exchange that makes floats of them has lost nothing that a float can hold."""
    value = order.get(name)
    return None if value is None else Decimal(str(value))


def _positive(order: Mapping[str, Any], name: str) -> Decimal | None:
    return _number(order, name) or None


def _time(milliseconds: Any) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if isinstance(milliseconds, int) else None
