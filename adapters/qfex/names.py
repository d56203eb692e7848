"""What a QFEX request is called in its answer: the keys that stand in for the request ids that this venue lacks.

`keys_for` names a request from its message alone, so a request and its echo in an `ack` or `err` have the same keys by
construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from router.venue import Key

__all__ = [
    "ADD",
    "CANCEL",
    "CANCEL_ALL",
    "CANCEL_SET",
    "LOGIN",
    "MODIFY",
    "QUERY",
    "SETTING",
    "SUBSCRIBE",
    "echoed_key",
    "keys_for",
    "modify_by_client",
    "set_keys",
    "shape",
]

ADD, CANCEL, CANCEL_SET, CANCEL_ALL, MODIFY = "add", "cancel", "cancel_set", "cancel_all", "modify"
LOGIN, SUBSCRIBE, SETTING, QUERY = "login", "subscribe", "setting", "query"


def keys_for(message: Mapping[str, Any]) -> tuple[Key, ...]:
    """The keys of a request, from the message that was sent or echoed; () for one that we don't know."""
    params = message.get("params")
    naming = _NAMING.get(message.get("type", ""))
    return tuple(naming(params)) if naming is not None and isinstance(params, Mapping) else ()


def echoed_key(echo: Mapping[str, Any]) -> tuple[Key, ...]:
    """The one key by which an echoed request is known: its most specific. An echo with another id is another request."""
    return keys_for(echo)[:1]


def _name_add(params: Mapping[str, Any]) -> Iterator[Key]:
    if params.get("client_order_id"):
        yield ADD, params["client_order_id"]
    yield ADD, shape(params.get("symbol"), params.get("side"), params.get("order_type"), params)


def modify_by_client(client_order_id: str) -> Key:
    """A modify by the client id of its order, which the request does not carry and the answer may."""
    return MODIFY, ("client", client_order_id)


def _name_cancel(params: Mapping[str, Any]) -> Iterator[Key]:
    mode, name = params.get("cancel_order_id_type"), params.get("order_id")
    if mode == "order_id":
        yield CANCEL, name
    else:
        yield from set_keys(str(mode), name, params.get("symbol"))


def _name_modify(params: Mapping[str, Any]) -> Iterator[Key]:
    yield MODIFY, params.get("order_id")
    yield MODIFY, shape(params.get("symbol"), params.get("side"), None, params)


def shape(symbol: Any, side: Any, kind: Any, numbers: Mapping[str, Any]) -> tuple[Any, ...]:
    """A request by its terms, for answers that name nothing else. Decimals compare by value: 1.0 is 1."""
    return (symbol, side, kind, numbers.get("price"), numbers.get("quantity"))


def set_keys(mode: str, name: Any, symbol: Any) -> tuple[Key, ...]:
    """A cancel that may take several orders; the symbol belongs to its address where the answer gives it."""
    return ((CANCEL_SET, (mode, name, symbol)), (CANCEL_SET, (mode, name, None)))


_NAMING: dict[str, Callable[[Mapping[str, Any]], Iterable[Key]]] = {
    "add_order": _name_add,
    "add_twap": lambda params: [(ADD, ("twap", params.get("client_twap_id")))],
    "cancel_order": _name_cancel,
    "cancel_stop_order": lambda params: [(CANCEL, params.get("stop_order_id"))],
    "modify_order": _name_modify,
    "modify_stop_order": lambda params: [(MODIFY, params.get("stop_order_id"))],
    "get_order": lambda params: [(QUERY, "orders"), (QUERY, ("order", params.get("order_id")))],
    "get_user_orders": lambda _: [(QUERY, "orders")],
    "auth": lambda _: [(LOGIN, "")],
    "subscribe": lambda params: [(SUBSCRIBE, channel) for channel in params.get("channels", ())],
    "cancel_on_disconnect": lambda _: [(SETTING, "cancel_on_disconnect")],
    "cancel_all_orders": lambda _: [(CANCEL_ALL, "")],
}
