"""What a QFEX request is called in its answer: the keys that stand in for the request ids that this venue lacks.

`keys_of` names a request from its message alone, so a request and its echo in an `ack` or `err` have the same keys by
construction. The codec names a cancel_order, the commonest, by `cancel_keys` at once, which is also what names its echo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    "cancel_keys",
    "echoed_key",
    "keys_for",
    "keys_of",
    "modify_by_client",
    "shape",
]

ADD, CANCEL, CANCEL_SET, CANCEL_ALL, MODIFY = "add", "cancel", "cancel_set", "cancel_all", "modify"
LOGIN, SUBSCRIBE, SETTING, QUERY = "login", "subscribe", "setting", "query"


def keys_for(message: Mapping[str, Any]) -> tuple[Key, ...]:
    """The keys of a request, from the message that was sent or echoed; () for one that we don't know."""
    return keys_of(message.get("type", ""), message.get("params"))


def keys_of(kind: str, params: Any) -> tuple[Key, ...]:
    """The same from the message's two parts."""
    naming = _NAMING.get(kind)
    return naming(params) if naming is not None and isinstance(params, dict) else ()


def echoed_key(echo: Mapping[str, Any]) -> tuple[Key, ...]:
    """The one key by which an echoed request is known: its most specific. An echo with another id is another request."""
    return keys_for(echo)[:1]


def _name_add(params: Mapping[str, Any]) -> tuple[Key, ...]:
    client_id = params.get("client_order_id")
    by_terms = (ADD, _terms(params, params.get("order_type")))
    return ((ADD, client_id), by_terms) if client_id else (by_terms,)


def modify_by_client(client_order_id: str) -> Key:
    """A modify by the client id of its order, which the request does not carry and the answer may."""
    return MODIFY, ("client", client_order_id)


def _name_cancel(params: Mapping[str, Any]) -> tuple[Key, ...]:
    return cancel_keys(params.get("cancel_order_id_type"), params.get("order_id"), params.get("symbol"))


def cancel_keys(mode: Any, name: Any, symbol: Any) -> tuple[Key, ...]:
    """Any other mode than order_id may take several orders; the symbol belongs to its address where the answer gives it."""
    if mode == "order_id":
        return ((CANCEL, name),)
    return ((CANCEL_SET, (str(mode), name, symbol)), (CANCEL_SET, (str(mode), name, None)))


def _name_modify(params: Mapping[str, Any]) -> tuple[Key, ...]:
    return ((MODIFY, params.get("order_id")), (MODIFY, _terms(params, None)))


def _terms(params: Mapping[str, Any], kind: Any) -> tuple[Any, ...]:
    return shape(params.get("symbol"), params.get("side"), kind, params.get("price"), params.get("quantity"))


def shape(symbol: Any, side: Any, kind: Any, price: Any, quantity: Any) -> tuple[Any, ...]:
    """A request by its terms, for answers that name nothing else. Decimals compare by value: 1.0 is 1."""
    return (symbol, side, kind, price, quantity)


_NAMING: dict[str, Callable[[Mapping[str, Any]], tuple[Key, ...]]] = {
    "add_order": _name_add,
    "add_twap": lambda params: ((ADD, ("twap", params.get("client_twap_id"))),),
    "cancel_order": _name_cancel,
    "cancel_stop_order": lambda params: ((CANCEL, params.get("stop_order_id")),),
    "modify_order": _name_modify,
    "modify_stop_order": lambda params: ((MODIFY, params.get("stop_order_id")),),
    "get_order": lambda params: ((QUERY, "orders"), (QUERY, ("order", params.get("order_id")))),
    "get_user_orders": lambda _: ((QUERY, "orders"),),
    "auth": lambda _: ((LOGIN, ""),),
    "subscribe": lambda params: tuple((SUBSCRIBE, channel) for channel in params.get("channels", ())),
    "cancel_on_disconnect": lambda _: ((SETTING, "cancel_on_disconnect"),),
    "cancel_all_orders": lambda _: ((CANCEL_ALL, ""),),
}
