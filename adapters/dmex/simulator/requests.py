"""Reading frames, which are hostile: exact names, exact types, numbers in range."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from attrs import fields_dict

from adapters.dmex.simulator.book import Order, Refused, read_hash

__all__ = ["ADDRESS", "decode", "read_cancel", "read_create", "read_order"]

MAX_BRACKETS: Final = 64
ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
UNITS: Final = re.compile(r"[0-9]{1,39}")  # up to 2**128 in units of 1e-8, the cap of the venue's older contracts

CANCEL: Final[Mapping[str, type]] = {"order_hash": str, "v": int, "r": str, "s": str}
CREATE: Final[Mapping[str, type]] = {
    **dict.fromkeys(("hash", "user_address", "base_token", "asset", "amount", "price", "leverage", "r", "s"), str),
    **dict.fromkeys(("nonce", "v"), int),
    "side": bool,
}
CREATE_OPTIONAL: Final[Mapping[str, type]] = {
    **dict.fromkeys(("stop_price", "margin_currency_symbol", "replace_hash", "remaining_amount"), str),
    **dict.fromkeys(("closing_order", "stop", "is_market", "post_only", "closed", "stopped"), bool),
    **dict.fromkeys(("decimals", "amount_dec"), int),
}


def decode(text: str | bytes) -> Any:
    """A text frame's JSON; None for anything else, NaN included.

    Brackets are counted first: others may have raised the recursion limit beyond what the parser's stack can take.
    """
    if isinstance(text, bytes) or text.count("[") + text.count("{") > MAX_BRACKETS:
        return None
    with suppress(ValueError):
        return json.loads(text, parse_constant=_no_constant)
    return None


def read_cancel(data: Any) -> str:
    """The order hash of a cancel, all of whose fields are then of their types."""
    _check_fields(data, CANCEL)
    return read_hash(data["order_hash"])


def read_create(data: Any) -> str:
    """The order hash of a create, all of whose fields are then of their types."""
    _check_fields(data, CREATE, CREATE_OPTIONAL)
    return read_hash(data["hash"])


def read_order(data: Mapping[str, Any]) -> Order:
    """The order that a create asks for."""
    _check_order(data)
    kept = {name: data[name] for name, attribute in fields_dict(Order).items() if attribute.init and name in data}
    return Order(**kept | {"hash": read_hash(data["hash"]), "owner": data["user_address"]})


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _check_fields(data: Any, required: Mapping[str, type], optional: Mapping[str, type] | None = None) -> None:
    """Exact names and exact types: a bool is no int here."""
    types = {**required, **(optional or {})}
    if not isinstance(data, dict) or not required.keys() <= data.keys() <= types.keys():
        raise Refused("Invalid request")
    if any(type(value) is not types[name] for name, value in data.items()):
        raise Refused("Invalid request")


def _check_order(data: Mapping[str, Any]) -> None:
    if _units(data["amount"]) < 1:
        raise Refused("Amount must be greater than zero")
    if _units(data["leverage"]) < 10**8:
        raise Refused("Invalid leverage")
    if _units(data["price"]) < 0 or _units(data.get("stop_price", "0")) < 0:
        raise Refused("Invalid price")
    if ADDRESS.fullmatch(data["base_token"]) is None or data["nonce"] < 0:
        raise Refused("Invalid request")
    if data.get("closed") or data.get("stopped") or data.get("remaining_amount", data["amount"]) != data["amount"]:
        raise Refused("Invalid request")  # a new order has had nothing happen to it


def _units(text: str) -> int:
    """1e8 fixed point; -1 if it is none."""
    return int(text) if UNITS.fullmatch(text) else -1
