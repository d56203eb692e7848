"""The commands that enter, change and end orders."""

from __future__ import annotations

from adapters.qfex.simulator.connection import Outgoing, Request
from adapters.qfex.simulator.frames import twap_response
from adapters.qfex.simulator.model import ZERO, Order, Refused, Twap, new_id
from adapters.qfex.simulator.venue import Venue

__all__ = [
    "add_order",
    "add_twap",
    "cancel_all_orders",
    "cancel_order",
    "cancel_stop_order",
    "close_position",
    "modify_order",
    "modify_stop_order",
]


def add_order(venue: Venue, request: Request) -> list[Outgoing]:
    values = request.values
    if values["price"] is None and values["order_type"] != "MARKET":
        raise Refused("InvalidParameter", "price: must be a number")
    order = Order(
        account=request.account,
        symbol=values["symbol"],
        side=values["side"],
        type=values["order_type"],
        time_in_force=values["order_time_in_force"],
        quantity=values["quantity"],
        price=values["price"] or ZERO,
        take_profit=values["take_profit"] or ZERO,
        stop_loss=values["stop_loss"] or ZERO,
        client_order_id=values["client_order_id"] or new_id(),
        reduce_only=bool(values["reduce_only"]),
    )
    return venue.variants.reported(venue.exchange.add(order))


def add_twap(venue: Venue, request: Request) -> list[Outgoing]:
    twap = venue.exchange.add_twap(Twap(account=request.account, **request.values))
    return [Outgoing({"twap_response": twap_response(twap)})]


def close_position(venue: Venue, request: Request) -> list[Outgoing]:
    symbol, client_order_id = request.values["symbol"], request.values["client_order_id"] or ""
    return venue.variants.reported(venue.exchange.close_position(request.account, symbol, client_order_id))


def cancel_order(venue: Venue, request: Request) -> list[Outgoing]:
    values = request.values
    id_type, value = values["cancel_order_id_type"], values["order_id"]
    events = venue.exchange.cancel(request.account, values["symbol"], id_type, value)
    if isinstance(events[0], Twap):
        return venue.variants.twap_answer(request, events)
    return venue.variants.reported(events)


def cancel_all_orders(venue: Venue, request: Request) -> list[Outgoing]:
    variants = venue.variants
    events = venue.exchange.cancel_all(
        request.account, stops=variants.cancel_all_stops, twaps=variants.cancel_all_twaps
    )
    return [variants.acknowledged(request), *variants.reported(events)]


def cancel_stop_order(venue: Venue, request: Request) -> list[Outgoing]:
    events = venue.exchange.cancel_stop(request.account, request.values["stop_order_id"])
    return venue.variants.stop_answer(request, events)


def modify_order(venue: Venue, request: Request) -> list[Outgoing]:
    values = request.values
    wanted = Order(
        account=request.account,
        order_id=values["order_id"],
        symbol=values["symbol"],
        side=values["side"],
        type=values["order_type"],
        reduce_only=values["reduce_only"],
    )
    names = ("price", "quantity", "take_profit", "stop_loss")
    changes = {name: values[name] for name in names if values[name] is not None}
    events = venue.exchange.modify(wanted, changes, rename=venue.variants.modify_changes_order_id)
    return venue.variants.reported(events)


def modify_stop_order(venue: Venue, request: Request) -> list[Outgoing]:
    names = ("stop_order_id", "symbol", "price", "quantity")
    events = venue.exchange.modify_stop(request.account, *(request.values[name] for name in names))
    return venue.variants.stop_answer(request, events)
