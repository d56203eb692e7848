"""How the venue words the faults in which it speaks at all. Assumed, but for the documented error codes and RATE_LIMITED."""

from __future__ import annotations

from random import Random
from typing import Any, Final
from uuid import UUID

from adapters.qfex.simulator import parameters
from adapters.qfex.simulator.connection import Connection, Outgoing
from adapters.qfex.simulator.frames import fill_response, order_response
from adapters.qfex.simulator.model import Fill, Order, Refused, Update, new_id
from adapters.qfex.simulator.variants import Variants
from router.testing import Fault
from router.testing.sockets import PAGE

__all__ = ["executed_words", "refused_words", "refusing_words", "stranger"]

ERRORS: Final = {
    Fault.EXPIRED_TOKEN: ("PermissionDenied", "the session has expired"),
    Fault.THROTTLED: ("RateLimited", "You have exceeded the allowed message rate."),
    Fault.THROTTLED_NO_HINT: ("RateLimited", ""),
    Fault.SERVER_ERROR: ("ServerError", "internal error"),
    Fault.SERVER_ERROR_EXECUTED: ("ServerError", "internal error"),
}
ID_NAMES: Final = ("order_id", "stop_order_id")


def refusing_words(
    variants: Variants, fault: Fault | None, client: Connection, message: Any, text: str
) -> list[Outgoing] | None:
    """What is said in the place of executing a command; None if it is to be executed."""
    match fault:
        case Fault.HTML_PAGE:
            return [Outgoing(PAGE)]
        case Fault.THROTTLED_NO_HINT:
            return [_rejected(client, message, "RATE_LIMITED") or _err(variants, fault, message, text)]
        case Fault.EXPIRED_TOKEN:
            client.refused = True  # the connection ends as after a refused login
            return [_err(variants, fault, message, text)]
        case Fault.THROTTLED | Fault.SERVER_ERROR:
            return [_err(variants, fault, message, text)]
    return None


def executed_words(
    variants: Variants, fault: Fault | None, answer: list[Outgoing], message: Any, text: str
) -> list[Outgoing]:
    """What is said of a command that has been executed: its answer, or something in its place."""
    return [_err(variants, fault, message, text)] if fault is Fault.SERVER_ERROR_EXECUTED else answer


def refused_words(variants: Variants, word: str, client: Connection, message: Any, text: str) -> list[Outgoing]:
    """What is said of a command that is refused with this status or error_code. Without an order_response: an err."""
    row = _rejected(client, message, word) if word.isupper() else None
    return [row or variants.err(Refused(word, "refused"), message, text)]


def _err(variants: Variants, fault: Fault, message: Any, text: str) -> Outgoing:
    return variants.err(Refused(*ERRORS[fault]), message, text)


def _rejected(client: Connection, message: Any, status: str) -> Outgoing | None:
    """The order_response of a command about one order; None for any other."""
    try:
        values = parameters.read(message["type"], message["params"])
    except (Refused, KeyError, TypeError, AttributeError):
        return None
    named = next((values[name] for name in ID_NAMES if name in values), None)
    if not client.account or (named is None and message["type"] != "add_order"):
        return None
    order = Order(account=client.account, symbol=values.get("symbol") or "", status=status)
    order.side, order.type = values.get("side") or order.side, values.get("order_type") or order.type
    order.price = values.get("price") or order.price
    if values.get("cancel_order_id_type", "").startswith("client_"):
        order.client_order_id = str(named)
    else:
        order.order_id, order.client_order_id = named or new_id(), values.get("client_order_id") or ""
    order.quantity = order.remaining = values.get("quantity") or order.quantity
    return Outgoing({"order_response": order_response(Update(order))}, "order_responses", client.account)


def stranger(client: Connection, chance: Random) -> Outgoing:
    """A frame about an order or a position of which nobody here knows, on one of the client's channels if it has any."""
    channel = chance.choice(sorted(client.channels)) if client.channels else "order_responses"
    order = Order(account=client.account or "", symbol="AAPL-USD", order_id=_id(chance), client_order_id=_id(chance))
    order.quantity = order.remaining = order.quantity + chance.randint(1, 100)
    order.price = order.price + chance.randint(1, 500)
    order.status = chance.choice(("ACK", "CANCELLED", "MODIFIED", "REJECTED", "NO_SUCH_ORDER"))
    frames: dict[str, dict[str, Any]] = {
        "order_responses": {"order_response": order_response(Update(order))},
        "fills": {"fill_response": fill_response(Fill(_id(chance), order, order.quantity, order.price, "SELL", 0.0))},
    }
    push = {"position_response": {"id": _id(chance), "symbol": "AAPL-USD", "position": float(order.quantity)}}
    return Outgoing(frames.get(channel, push), channel, client.account)


def _id(chance: Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))
