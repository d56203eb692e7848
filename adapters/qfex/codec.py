"""Our side of QFEX's trade WebSocket (AsyncAPI of 2026-07-20, https://docs.qfex.com).

No message carries a request id: names.py says what a request is called in its answer, frames.py reads what comes in.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from attrs import field, frozen
from msgspec import Raw

from adapters.qfex import tables
from adapters.qfex.frames import read_frame
from adapters.qfex.names import MODIFY, cancel_keys, keys_of, modify_by_client, shape
from router.errors import CannotExpress
from router.model import Cancel, IdKind, Order, OrderType, TimeInForce, plain
from router.redact import Secret, as_secret
from router.report import Replace
from router.venue import Budget, Codec, Command, Effect, Frame, Item, Key, Spec, Wire

__all__ = ["SPEC", "QfexCodec", "signature"]

SPEC = Spec(
    title="qfex",
    docs_url="https://docs.qfex.com",
    url="wss://trade.qfex.com/",
    quiet_period=10.0,
    budget=Budget(12_000, 60.0),
    cancel_budget=Budget(12_000, 60.0),
    cancel_kinds=frozenset(IdKind),
    set_kinds=frozenset({IdKind.CLIENT_ORDER, IdKind.TWAP, IdKind.CLIENT_TWAP}),
    needs_symbol=frozenset(IdKind) - {IdKind.STOP_ORDER},
    order_types=frozenset(OrderType) - {OrderType.STOP_LIMIT},
    lists=frozenset({IdKind.ORDER, IdKind.STOP_ORDER, IdKind.TWAP}),
    replaces=frozenset({IdKind.ORDER, IdKind.STOP_ORDER}),
    mass_cancels=frozenset({IdKind.ORDER}),
    tells_trades=True,
    docs={
        "cancel": "an order_response CANCELLED is the deed; an ack is receipt only",
        "client ids": "not unique: a cancel by client id takes every open order of the symbol with that id",
        "cancel all": "every open order of the account, of all symbols; whether stops and TWAPs are among them is not said",
        "replace": "refused by the venue once the order has traded",
        "stops": "TAKE_PROFIT and STOP_LOSS fire a market order on the mark price; no stop-limit",
    },
)
CHANNELS = ("order_responses", "fills")
PAGE = 500


# -- credentials


def signature(secret_key: str, nonce: str, unix_ts: int) -> str:
    """HMAC-SHA256 of `<nonce>:<unix_ts>` in lower-case hex, keyed by the secret's text as it is, prefix included."""
    return hmac.new(secret_key.encode(), f"{nonce}:{unix_ts}".encode(), hashlib.sha256).hexdigest()


@frozen(kw_only=True)
class QfexCodec(Codec):
    """The words of one account's connection. Exactly one of (public_key and secret_key) and jwt is given."""

    spec: Spec = SPEC
    public_key: str = field(default="", repr=False)
    secret_key: Secret = field(default=Secret(""), converter=as_secret)
    jwt: Secret = field(default=Secret(""), converter=as_secret)
    account_id: str | None = None
    cancel_on_disconnect: bool = False
    on_exit: str = "leave"
    """"leave" or "cancel": what a closing of the connection on purpose does to the orders, where that is armed."""

    def secrets(self) -> Iterable[str]:
        in_url = parse_qs(urlsplit(self.spec.url or "").query)
        return [self.secret_key.reveal(), self.jwt.reveal(), *in_url.get("api_key", []), *in_url.get("jwt", [])]

    # -- outbound

    def hello(self, now: float, entropy: bytes) -> Iterable[Wire]:
        login = self._login(int(now), entropy.hex())
        proof = login.get("hmac", {}).get("signature")
        yield _wire("auth", login, Effect.READ, secrets=() if proof is None else (proof,))
        for channel in CHANNELS:
            yield _wire("subscribe", {"channels": [channel]}, Effect.READ)
        if self.cancel_on_disconnect:
            yield _wire("cancel_on_disconnect", {"cancel_on_disconnect": True}, Effect.READ, acknowledged=True)

    def goodbye(self, now: float) -> Iterable[Wire]:
        if self.cancel_on_disconnect and self.on_exit == "leave":
            yield _wire("cancel_on_disconnect", {"cancel_on_disconnect": False}, Effect.READ, acknowledged=True)

    def _login(self, unix_ts: int, nonce: str) -> dict[str, Any]:
        params: dict[str, Any] = {"jwt": self.jwt.reveal()}
        if not self.jwt.reveal():
            signed = signature(self.secret_key.reveal(), nonce, unix_ts)
            proof = {"public_key": self.public_key, "nonce": nonce, "unix_ts": unix_ts, "signature": signed}
            params = {"hmac": proof}
        if self.account_id is not None:
            params["account_id"] = self.account_id
        return params

    def encode(self, command: Command, now: float) -> Wire:
        match command:
            case Cancel():
                return _cancel(command)
            case Order(type=OrderType.TWAP):
                return _wire("add_twap", _twap(command), Effect.ONCE)
            case Order():
                return _wire("add_order", _order(command), Effect.ONCE)
            case Replace(target=Cancel(kind=IdKind.STOP_ORDER)):
                return _wire("modify_stop_order", _modify_stop(command), Effect.ONCE)
            case Replace():
                return _wire("modify_order", _modify(command), Effect.ONCE, also=_modified_keys(command))

    def list_orders(self, now: float, after: str | None = None) -> Wire:
        return _wire("get_user_orders", {"limit": PAGE, "offset": int(after or 0)}, Effect.READ)

    def cancel_all(self, now: float) -> Wire:
        return _wire("cancel_all_orders", {}, Effect.ONCE, acknowledged=True)

    def lookup(self, cancel: Cancel, now: float) -> Wire | None:
        if cancel.symbol is None or cancel.kind in {IdKind.TWAP, IdKind.CLIENT_TWAP}:
            return None
        return _wire("get_order", {"symbol": cancel.symbol, "order_id": cancel.id}, Effect.READ)

    # -- inbound

    def decode(self, frame: Frame, now: float) -> Iterable[Item]:
        return read_frame(frame.body)


_text = msgspec.json.Encoder().encode


def _wire(
    kind: str,
    params: dict[str, Any],
    effect: Effect,
    *,
    acknowledged: bool = False,
    also: tuple[Key, ...] = (),
    secrets: tuple[str, ...] = (),
) -> Wire:
    sent = {name: Raw(plain(value).encode()) if isinstance(value, Decimal) else value for name, value in params.items()}
    return Wire(
        keys=keys_of(kind, params) + also,
        body=_text({"type": kind, "params": sent}),
        effect=effect,
        acknowledged=acknowledged,
        secrets=secrets,
        weight=tables.WEIGHTS.get(kind, 1.0),
    )


_MODES = {  # a repeat by a client's id may take an order that has come since
    None: ("order_id", Effect.IDEMPOTENT),
    IdKind.ORDER: ("order_id", Effect.IDEMPOTENT),
    IdKind.CLIENT_ORDER: ("client_order_id", Effect.ONCE),
    IdKind.TWAP: ("twap_id", Effect.IDEMPOTENT),
    IdKind.CLIENT_TWAP: ("client_twap_id", Effect.ONCE),
}


def _cancel(cancel: Cancel) -> Wire:
    if cancel.kind is IdKind.STOP_ORDER:
        return _wire("cancel_stop_order", {"stop_order_id": cancel.id}, Effect.IDEMPOTENT)
    name, symbol = cancel.id, cancel.symbol
    mode, effect = _MODES[cancel.kind]
    params = {"symbol": symbol, "order_id": name, "cancel_order_id_type": mode}
    return Wire(
        keys=cancel_keys(mode, name, symbol),
        body=_text({"type": "cancel_order", "params": params}),
        effect=effect,
    )


def _order(order: Order) -> dict[str, Any]:
    if order.type not in SPEC.order_types:
        raise CannotExpress(f"{order.venue} has no {order.type} orders; it has: {', '.join(sorted(SPEC.order_types))}")
    kind = "ALO" if order.post_only else tables.ORDER_TYPES[order.type]
    extras = _options(order, {"take_profit", "stop_loss"})
    return {
        "symbol": order.symbol,
        "side": order.side.upper(),
        "order_type": kind,
        "order_time_in_force": _time_in_force(order, kind),
        "quantity": order.quantity,
        "price": order.price or order.stop_price or Decimal(0),  # a MARKET order's price key must be there
        "client_order_id": order.client_order_id,
        "reduce_only": order.reduce_only,
        **{name: _decimal(order, name, value) for name, value in extras.items()},
    }


def _time_in_force(order: Order, kind: str) -> str:
    allowed = tables.TIMES_IN_FORCE[kind]
    if order.time_in_force is None:
        return allowed[0].upper()
    if order.time_in_force not in allowed:
        raise CannotExpress(
            f"{order.venue}: time_in_force was {order.time_in_force}; {kind} orders take {', '.join(allowed)}"
        )
    return order.time_in_force.upper()


def _twap(order: Order) -> dict[str, Any]:
    if order.time_in_force not in {None, TimeInForce.GTC}:
        raise CannotExpress(f"{order.venue}: time_in_force was {order.time_in_force}; a TWAP takes none")
    extras = _options(order, {"num_orders", "order_interval_secs", "start_time", "worst_price"})
    for name, least in (("num_orders", 2), ("order_interval_secs", 30)):
        value = extras.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise CannotExpress(
                f"{order.venue}: a TWAP needs options[{name!r}], an int of {least} or more; was {value!r}"
            )
    numbers = {name: _decimal(order, name, extras[name]) for name in ("start_time", "worst_price") if name in extras}
    return {
        "symbol": order.symbol,
        "side": order.side.upper(),
        "total_quantity": order.quantity,
        "num_orders": extras["num_orders"],
        "order_interval_secs": extras["order_interval_secs"],
        "reduce_only": order.reduce_only,
        "client_twap_id": order.client_order_id,
        **numbers,
    }


def _modify(replace: Replace) -> dict[str, Any]:
    """All of the order's terms, changed ones included; reduce_only must be what it was."""
    known = replace.known
    if known.symbol is None or known.side is None or known.type is None:
        raise CannotExpress(f"{replace.venue}: the terms of {replace.target.id} are not known; read open_orders first")
    if replace.stop_price is not None:
        raise CannotExpress(f"{replace.venue}: {replace.target.id} is no stop and has no stop_price to change")
    return {
        "symbol": known.symbol,
        "order_id": replace.target.id,
        "side": known.side.upper(),
        "order_type": "ALO" if known.post_only else tables.ORDER_TYPES[known.type],
        "reduce_only": bool(known.reduce_only),
        **{name: value for name in ("price", "quantity") if (value := getattr(replace, name)) is not None},
    }


def _modified_keys(replace: Replace) -> tuple[Key, ...]:
    """What the answer to a modify may be called that its request does not say: the order's terms then, and its client id."""
    known = replace.known
    price, quantity = replace.price or known.price, replace.quantity or known.quantity
    by_terms = (MODIFY, shape(known.symbol, known.side and known.side.upper(), None, price, quantity))
    by_client = (modify_by_client(known.client_order_id),) if known.client_order_id else ()
    return (by_terms, *by_client)


def _modify_stop(replace: Replace) -> dict[str, Any]:
    known = replace.known
    if known.symbol is None or known.side is None or known.type is None:
        raise CannotExpress(f"{replace.venue}: the terms of {replace.target.id} are not known; read open_orders first")
    if replace.price is not None:
        raise CannotExpress(f"{replace.venue}: {replace.target.id} is a stop; change its stop_price, not its price")
    return {
        "stop_order_id": replace.target.id,
        "symbol": known.symbol,
        "side": known.side.upper(),
        "order_type": tables.ORDER_TYPES[known.type],
        "price": replace.stop_price or known.stop_price,
        "quantity": replace.quantity or known.quantity,
    }


def _options(order: Order, known: set[str]) -> Mapping[str, Any]:
    unknown = sorted(set(order.options) - known)
    if unknown:
        raise CannotExpress(f"{order.venue}: options had {', '.join(unknown)}; a {order.type} takes {sorted(known)}")
    return order.options


def _decimal(order: Order, name: str, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise CannotExpress(f"{order.venue}: options[{name!r}] was {value!r}; pass a Decimal, a str or an int")
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise CannotExpress(f"{order.venue}: options[{name!r}] was {value!r}; that is not a number") from None
    if not number.is_finite() or number < 0 or abs(number.adjusted()) > 40:
        raise CannotExpress(f"{order.venue}: options[{name!r}] was {value!r}; it must be finite and not negative")
    return number
