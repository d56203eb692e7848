"""The commands that ask about orders and trades and change nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from adapters.qfex.simulator.connection import Outgoing, Request
from adapters.qfex.simulator.frames import listed, trade_row, twap_response
from adapters.qfex.simulator.model import Order
from adapters.qfex.simulator.venue import Venue

__all__ = ["get_order", "get_user_orders", "get_user_trades"]

PAGE: Final = 1000


def get_order(venue: Venue, request: Request) -> list[Outgoing]:
    account, symbol, key = request.account, request.values["symbol"], request.values["order_id"]
    order = venue.exchange.find(account, symbol, key)
    if venue.variants.get_order_reply == "order_response":
        order = order or Order(account=account, symbol=symbol, order_id=key, status="NO_SUCH_ORDER")
        return [Outgoing({"order_response": listed(order)})]
    return [Outgoing({"all_orders_response": {"orders": [listed(order)] if order else [], "twaps": []}})]


def get_user_orders(venue: Venue, request: Request) -> list[Outgoing]:
    account, symbol, page = request.account, request.values["symbol"], _page(request.values)
    orders = [listed(order) for order in venue.exchange.open_orders(account, symbol)[page]]
    twaps = [twap_response(twap) for twap in venue.exchange.open_twaps(account, symbol)[page]]
    return [Outgoing({"all_orders_response": {"orders": orders, "twaps": twaps}})]


def get_user_trades(venue: Venue, request: Request) -> list[Outgoing]:
    values = request.values
    first, last = _seconds(values["start_ts"], 0.0), _seconds(values["end_ts"], float("inf"))
    rows = [
        trade_row(fill)
        for fill in venue.trades
        if fill.order.account == request.account
        and values["order_id"] in {None, fill.order.order_id}
        and first <= fill.timestamp <= last
    ]
    return [Outgoing({"user_trades_response": rows[_page(values)]})]


def _page(values: dict[str, Any]) -> slice:
    """What limit and offset name."""
    first: int = values["offset"] or 0
    size = PAGE if values["limit"] is None else min(values["limit"], PAGE)
    return slice(first, first + size)


def _seconds(moment: Decimal | None, default: float) -> float:
    """A unix time of a trade filter, which is documented in seconds and seen in milliseconds."""
    if moment is None:
        return default
    return float(moment / 1000 if moment > 10**11 else moment)
