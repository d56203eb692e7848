"""Reading the parameters of commands, which are hostile until read.

Each reader returns the value, of one exact type, or raises ValueError. Optional parameters may be absent or null.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from adapters.qfex.simulator.model import Refused

__all__ = ["echo", "read"]

Reader: TypeAlias = Callable[[object], Any]

CHANNELS: Final = ("order_responses", "fills", "stop_orders", "positions", "balances")


def _text(value: object) -> str:
    if type(value) is not str or not 0 < len(value) <= 100:
        raise ValueError("must be text of 1 to 100 characters")
    return value


def _client_id(value: object) -> str:
    if type(value) is not str or len(value) > 64:
        raise ValueError("must be text of at most 64 characters")
    return value


def _token(value: object) -> str:
    if type(value) is not str:
        raise ValueError("must be text")
    return value


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or abs(Decimal(value)) >= 10**15:
        raise ValueError("must be a number below 1e15")
    return Decimal(value)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**15:
        raise ValueError("must be a non-negative integer")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, int) or value not in {0, 1}:  # 0 and 1 are seen in practice
        raise ValueError("must be a boolean")
    return bool(value)


def _one_of(*names: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if type(value) is not str or value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return read


def _channels(value: object) -> list[str]:
    if type(value) is not list or not 0 < len(value) <= len(CHANNELS):
        raise ValueError("must be a list of channels")
    return [_channel(name) for name in value]


def _hmac(value: object) -> dict[str, Any]:
    if type(value) is not dict or not {"public_key", "nonce", "unix_ts", "signature"} <= value.keys():
        raise ValueError("must have public_key, nonce, unix_ts and signature")
    if type(value["nonce"]) is not str or not re.fullmatch("[0-9a-fA-F]{1,100}", value["nonce"]):
        raise ValueError("nonce must be hex text of at most 100 characters")
    keys = {name: _text(value[name]) for name in ("public_key", "nonce", "signature")}
    return {**keys, "unix_ts": _integer(value["unix_ts"])}


_channel, _side = _one_of(*CHANNELS), _one_of("BUY", "SELL")
_time_in_force = _one_of("GTC", "IOC", "FOK")
_order_type = _one_of("LIMIT", "MARKET", "ALO", "TAKE_PROFIT", "STOP_LOSS", "STOP_MARKET")
_id_type = _one_of("order_id", "client_order_id", "twap_id", "client_twap_id")
_attached = {"take_profit": _number, "stop_loss": _number}
_page = {"limit": _integer, "offset": _integer}
_target = {"symbol": _text, "side": _side, "order_type": _order_type}

PARAMETERS: Final[dict[str, tuple[dict[str, Reader], dict[str, Reader]]]] = {  # command: required, optional
    "auth": ({}, {"hmac": _hmac, "jwt": _token, "account_id": _text, "builder_code": _text}),
    "subscribe": ({"channels": _channels}, {}),
    "unsubscribe": ({"channels": _channels}, {}),
    "cancel_on_disconnect": ({"cancel_on_disconnect": _flag}, {}),
    "add_order": (
        _target | {"order_time_in_force": _time_in_force, "quantity": _number},
        {"price": _number, **_attached, "client_order_id": _client_id, "reduce_only": _flag},
    ),
    "cancel_order": ({"symbol": _text, "order_id": _text, "cancel_order_id_type": _id_type}, {}),
    "cancel_all_orders": ({}, {}),
    "cancel_stop_order": ({"stop_order_id": _text}, {}),
    "modify_order": (
        _target | {"order_id": _text, "reduce_only": _flag},
        {"price": _number, "quantity": _number, **_attached},
    ),
    "modify_stop_order": (
        {"stop_order_id": _text, "symbol": _text, "price": _number, "quantity": _number},
        {"side": _side, "order_type": _order_type},
    ),
    "add_twap": (
        {"symbol": _text, "side": _side, "total_quantity": _number, "num_orders": _integer}
        | {"order_interval_secs": _integer, "reduce_only": _flag},
        {"client_twap_id": _client_id, "start_time": _number, "worst_price": _number},
    ),
    "close_position": ({"symbol": _text}, {"client_order_id": _client_id}),
    "get_order": ({"symbol": _text, "order_id": _text}, {}),
    "get_user_orders": ({}, {**_page, "symbol": _text}),
    "get_user_trades": ({}, {**_page, "order_id": _text, "start_ts": _number, "end_ts": _number}),
}


def read(command: str, params: dict[str, Any]) -> dict[str, Any]:
    """The command's parameters, absent and null optional ones as None. Raises Refused."""
    required, optional = PARAMETERS[command]
    values = dict.fromkeys(optional)
    for name, reader in (required | optional).items():
        if name in optional and params.get(name) is None:
            continue
        try:
            values[name] = reader(params.get(name))
        except ValueError as error:
            raise Refused("InvalidParameter", f"{name}: {error}") from None
    return values


def echo(command: str, params: dict[str, Any]) -> dict[str, Any]:
    """The command as the venue shows it after reading: defaults as null, numbers as floats."""
    required, optional = PARAMETERS[command]
    numbers = {name for name, reader in (required | optional).items() if reader is _number}
    shown = {name: float(value) if name in numbers and type(value) is int else value for name, value in params.items()}
    return {"type": command, "params": {**dict.fromkeys(optional), **shown}}
