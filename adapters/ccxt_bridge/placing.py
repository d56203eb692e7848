"""A new order as the arguments of ccxt's create_order, exactly or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from adapters.ccxt_bridge.deriving import Markets
from router.errors import CannotExpress
from router.model import Order, OrderType, TimeInForce, plain

__all__ = ["REOPEN", "Arguments", "arguments"]

Arguments = tuple[str, str, str, str, str | None, dict[str, Any]]
TYPES: Final = {
    OrderType.LIMIT: "limit",
    OrderType.MARKET: "market",
    OrderType.STOP: "market",
    OrderType.STOP_LIMIT: "limit",
}
REOPEN: Final = "(the markets were loaded at open: for one that was listed since, close the Router and open it again)"
NATURAL: Final = {"limit": TimeInForce.GTC, "market": TimeInForce.IOC}
OURS: Final = frozenset(
    {"clientOrderId", "timeInForce", "postOnly", "reduceOnly", "maxRetriesOnFailure", "test", "cost"}
)
_OURS = re.compile(r"stop|take_?profit|trailing|trigger", re.IGNORECASE)
"""Of these, ccxt makes another kind of order, with ids of its own."""


def arguments(order: Order, exchange: Any, markets: Markets, *, client_id: bool) -> Arguments:
    """symbol, type, side, amount, price and params. Raises CannotExpress."""
    market = (exchange.markets or {}).get(order.symbol)
    if market is None:
        raise CannotExpress(
            f"{order.venue}: symbol was {order.symbol!r}; ccxt knows no such market of {exchange.id} {REOPEN}"
        )
    if not markets.cover(market):
        kind = f"{markets.sub_type or ''} {markets.type}".strip()
        raise CannotExpress(f"{order.venue}: {order.symbol} is no {kind} market, which is what this adapter is for")
    if markets.vouched is None:
        _check_plain(order, markets)
    taken = sorted(name for name in order.options if name in OURS or _OURS.match(name))
    if taken:
        raise CannotExpress(f"{order.venue}: options had {', '.join(taken)}; an Order has fields for that")
    params = {**order.options, **_flags(order, market, markets)}
    if client_id:
        params["clientOrderId"] = order.client_order_id
    if order.stop_price is not None:
        params["triggerPrice"] = _exact(order, "stop_price", order.stop_price, exchange.price_to_precision)
    amount = _exact(order, "quantity", order.quantity, exchange.amount_to_precision)
    price = None if order.price is None else _exact(order, "price", order.price, exchange.price_to_precision)
    return order.symbol, TYPES[order.type], order.side.value, amount, price, params


def _check_plain(order: Order, markets: Markets) -> None:
    """Raise CannotExpress for what ccxt drops, or turns into something else, on one exchange or another."""
    wants = [name for name in ("post_only", "reduce_only") if getattr(order, name)]
    if order.time_in_force not in {None, TimeInForce.GTC}:
        wants.append(str(order.time_in_force))
    if order.type is not OrderType.LIMIT:
        wants.append(str(order.type))
    if wants:
        raise CannotExpress(f"{order.venue}: the order was {', '.join(wants)}; {markets.unvouched}")


def _flags(order: Order, market: Any, markets: Markets) -> dict[str, Any]:
    """Time in force, post-only and reduce-only, where ccxt says that the exchange has them."""
    able = markets.feature("createOrder", "timeInForce") or {}
    flags: dict[str, Any] = {}
    if order.time_in_force not in {None, NATURAL[TYPES[order.type]]}:
        word = str(order.time_in_force).upper()
        if TYPES[order.type] == "market" or order.time_in_force is TimeInForce.GTD or able.get(word) is not True:
            raise CannotExpress(f"{order.venue} has no {order.type} orders that are {word}, as far as ccxt knows")
        flags["timeInForce"] = word
    if order.post_only:
        if able.get("PO") is not True:
            raise CannotExpress(f"{order.venue} has no post_only orders, as far as ccxt knows")
        flags["postOnly"] = True
    if order.reduce_only:
        if not market.get("contract"):
            raise CannotExpress(f"{order.venue} has no reduce_only orders on {order.symbol}")
        flags["reduceOnly"] = True
    return flags


def _exact(order: Order, what: str, number: Decimal, rounded: Callable[[str, str], str]) -> str:
    """The digits, if the market takes all of them: ccxt would cut the rest off without a word."""
    text = plain(number)
    try:
        taken = Decimal(rounded(order.symbol, text))
    except (AssertionError, TypeError, KeyError, InvalidOperation):
        return text  # ccxt does not know the market's step; the exchange does
    except Exception as error:  # noqa: BLE001 - ccxt's own, of every class
        raise CannotExpress(f"{order.venue}: {what} was {text}; {error}") from None
    if taken != number:
        raise CannotExpress(f"{order.venue}: {what} was {text}, of which {order.symbol} takes only {plain(taken)}")
    return text
