"""QFEX's frames as they come over the wire: the fields that we read, each with the type that it must have."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec import Raw, Struct

__all__ = ["Ack", "Err", "Fill", "Message", "OpenOrders", "OrderRow", "StopRow", "TwapRow"]


class OrderRow(Struct):
    """An order_response, or a row of the open orders."""

    order_id: str
    status: str = ""
    symbol: str | None = None
    side: str | None = None
    type: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    quantity_remaining: Decimal | None = None
    client_order_id: str | None = None
    update_time: Any = None


class StopRow(Struct):
    """A stop_order_response: the stop's terms, without a status."""

    stop_order_id: str
    symbol: str | None = None
    price: Decimal | None = None
    quantity: Decimal | None = None
    direction: str | None = None
    stop_order_type: str | None = None
    client_order_id: str | None = None


class TwapRow(Struct):
    """A twap_response, or a row of the open TWAPs. The values of `status` are not published."""

    twap_id: str
    client_twap_id: str | None = None
    status: str | None = None
    symbol: str | None = None
    side: str | None = None
    total_quantity: Decimal | None = None
    filled_quantity: Decimal | None = None
    reduce_only: Any = None


class Fill(Struct):
    """A fill_response."""

    trade_id: str
    order_id: str
    price: Decimal
    quantity: Decimal
    symbol: str | None = None
    side: str | None = None
    client_order_id: str | None = None
    remaining_quantity: Decimal | None = None
    timestamp: Any = None


class OpenOrders(Struct):
    """The answer to get_user_orders and get_order."""

    orders: list[OrderRow] | None = None
    twaps: list[TwapRow] | None = None
    stop_orders: list[StopRow] | None = None


class Err(Struct):
    """A refused request, with its echo: an object, a text, or nothing."""

    error_code: str
    message: Any = None
    incoming_message: Raw = Raw(b"null")


class Ack(Struct):
    """A received request, with its echo."""

    incoming_message: Raw = Raw(b"null")


class Message(Struct):
    """Every frame: one of these is set."""

    order_response: OrderRow | None = None
    fill_response: Fill | None = None
    twap_response: TwapRow | None = None
    stop_order_response: StopRow | None = None
    all_orders_response: OpenOrders | None = None
    user_orders: list[OrderRow] | None = None
    ack: Ack | None = None
    ack_response: bool | None = None
    err: Err | None = None
    authenticated: Any = None
    authenticated_response: Any = None
    status: Any = None
    subscribed: str | list[str] | None = None
    type: str | None = None
    result: str | None = None
    error_code: str | None = None
    message: Any = None
    incoming_message: Raw = Raw(b"null")
