"""The shapes of what the venue says: rows and bodies, as documented or as seen in practice."""

from __future__ import annotations

from typing import Any

from adapters.qfex.simulator.model import Fill, Order, Twap, Update

__all__ = ["fill_response", "listed", "order_response", "trade_row", "twap_as_order", "twap_response"]


def _order_row(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "symbol": order.symbol,
        "status": order.status,
        "quantity": float(order.quantity),
        "price": float(order.price),
        "take_profit": float(order.take_profit),
        "stop_loss": float(order.stop_loss),
        "side": order.side,
        "type": order.type,
        "time_in_force": order.time_in_force,
        "user_id": order.account,
        "client_order_id": order.client_order_id,
        "quantity_remaining": float(order.remaining),
    }


def listed(order: Order) -> dict[str, Any]:
    """An order as a list of orders shows it."""
    return {**_order_row(order), "update_time": order.update_time}


def order_response(update: Update) -> dict[str, Any]:
    row = {**_order_row(update.order), "trade_id": update.trade_id}
    if update.order.is_stop and update.order.status == "CANCELLED":  # these keys are absent in the documented example
        row = {name: value for name, value in row.items() if name not in {"take_profit", "stop_loss", "trade_id"}}
    return row


def fill_response(fill: Fill) -> dict[str, Any]:
    return {
        "trade_id": fill.trade_id,
        "user_id": fill.order.account,
        "symbol": fill.order.symbol,
        "price": float(fill.price),
        "quantity": float(fill.quantity),
        "side": fill.order.side,
        "aggressor_side": fill.aggressor_side,
        "order_id": fill.order.order_id,
        "fee": 0.0,
        "order_type": fill.order.type,
        "tif": fill.order.time_in_force,
        "order_price": float(fill.order.price),
        "client_order_id": fill.order.client_order_id,
        "remaining_quantity": float(fill.order.remaining),
        "take_profit": float(fill.order.take_profit),
        "stop_loss": float(fill.order.stop_loss),
        "execution_type": "NEW",
        "timestamp": fill.timestamp,
        "realised_pnl": 0.0,
    }


def trade_row(fill: Fill) -> dict[str, Any]:
    """A fill as a list of trades shows it."""
    absent = {"user_id", "order_price", "remaining_quantity", "take_profit", "stop_loss", "realised_pnl"}
    return {name: value for name, value in fill_response(fill).items() if name not in absent}


def twap_response(twap: Twap) -> dict[str, Any]:
    return {
        "twap_id": twap.twap_id,
        "client_twap_id": twap.client_twap_id,
        "user_id": twap.account,
        "status": twap.status,
        "symbol": twap.symbol,
        "total_quantity": float(twap.total_quantity),
        "filled_quantity": float(twap.filled_quantity),
        "average_fill_price": 0.0,
        "total_num_orders": twap.num_orders,
        "order_interval_secs": twap.order_interval_secs,
        "reduce_only": twap.reduce_only,
        "side": twap.side,
        "updated_at": None,
        "created_at": twap.created_at,
    }


def twap_as_order(twap: Twap) -> Order:
    """How a cancelled TWAP is assumed to look in an order_response."""
    return Order(
        account=twap.account,
        symbol=twap.symbol,
        side=twap.side,
        type="MARKET",
        time_in_force="IOC",
        quantity=twap.total_quantity,
        remaining=twap.total_quantity - twap.filled_quantity,
        client_order_id=twap.client_twap_id or "",
        order_id=twap.twap_id,
        status=twap.status,
    )
