"""Our side of B2TRADER's REST API (B2Broker; the white labels XBTFX and B2PRIME; their pages as of 2026-11-20).

Every request is answered on its own connection, so nothing needs matching. What the body says counts only after the
status code: error bodies are not documented and only add words.

The API has no client order ids, lists no orders over REST and has no modify. Stop orders have an id space of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any

import msgspec
from attrs import field, frozen

from adapters.b2trader.replies import read_reply
from router.errors import CannotExpress
from router.model import Cancel, IdKind, Order, OrderType, Side, TimeInForce, plain
from router.redact import Secret, as_secret
from router.venue import Codec, Command, Effect, Frame, Item, Spec, Via, Wire

__all__ = ["SPEC", "B2TraderCodec"]

SPEC = Spec(
    title="b2trader",
    docs_url="https://support.xbtfx.com/en/articles/13885966-rest-api-trading-cancel-stop-order",
    http_url="",
    quiet_period=30.0,
    cancel_kinds=frozenset({IdKind.ORDER, IdKind.STOP_ORDER}),
    order_types=frozenset({OrderType.LIMIT, OrderType.MARKET, OrderType.STOP, OrderType.STOP_LIMIT}),
    docs={
        "cancel": "a 200 on an order says its status; a 200 on a stop is the deed unless it was activated",
        "client ids": "none",
        "stops": "fire a market or limit order when bid or ask reaches the trigger; the child has an id of its own",
    },
)
JSON = "application/json"
JSON_V4 = "application/json; x-api-version=4.0"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FAMILIES = {"spot": "v3", "cfd": "cfd/v4", "perp": "perpetual/v4"}
_LIMITS = {OrderType.LIMIT, OrderType.STOP_LIMIT}
_STOPS = {OrderType.STOP, OrderType.STOP_LIMIT}
_SIDES = {Side.BUY: "Buy", Side.SELL: "Sell"}
_TIMES = {  # by order type; the first is the natural one
    OrderType.LIMIT: (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD, TimeInForce.DAY),
    OrderType.STOP_LIMIT: (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD, TimeInForce.DAY),
    OrderType.MARKET: (TimeInForce.IOC, TimeInForce.FOK),
    OrderType.STOP: (TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTC),
}


@frozen(kw_only=True)
class B2TraderCodec(Codec):
    """The words of one trading account. offline_token: exchanged for access tokens; empty when the session has a token."""

    spec: Spec
    account_id: str
    offline_token: Secret = field(default=Secret(""), converter=as_secret)

    def secrets(self) -> Iterable[str]:
        return [self.offline_token.reveal()]

    # -- outbound

    def hello(self, now: float, entropy: bytes) -> Iterable[Wire]:
        if self.offline_token.reveal():
            yield self.token_request()

    def token_request(self) -> Wire:
        """The exchange of the offline token for an access token of about an hour."""
        return Wire(
            keys=(("token", ""),),
            body=msgspec.json.encode({"token": self.offline_token.reveal()}),
            effect=Effect.READ,
            via=Via.HTTP,
            method="POST",
            path="/frontoffice/api/v4/access-token",
            headers={"Accept": "*/*", "Content-Type": JSON},
        )

    def encode(self, command: Command, now: float) -> Wire:
        match command:
            case Cancel():
                return self.cancel(command)
            case Order():
                return self._place(command)
        raise CannotExpress(f"{command.venue} has no way to modify an order")

    def cancel(self, cancel: Cancel, verb: str = "cancel") -> Wire:
        """DELETE of an order, or of a stop order with the Content-Type that is documented although it has no body."""
        if not _ID.fullmatch(cancel.id):
            raise CannotExpress(f"{cancel.venue}: id was {cancel.id!r}; an order id is made of letters and digits")
        stop = cancel.kind is IdKind.STOP_ORDER
        headers = {"Accept": "*/*", "accountId": self.account_id}
        return Wire(
            keys=((verb, (cancel.kind, cancel.id)),),
            effect=Effect.IDEMPOTENT,
            via=Via.HTTP,
            method="DELETE",
            path=f"/frontoffice/api/v3/{'stop-orders' if stop else 'orders'}/{cancel.id}",
            headers=headers | {"Content-Type": JSON_V4} if stop else headers,
            bearer=True,
        )

    def _place(self, order: Order) -> Wire:
        family = _family(order)
        stop = order.type in _STOPS
        kind = IdKind.STOP_ORDER if stop else IdKind.ORDER
        plain_json = family == "spot" and not stop
        return Wire(
            keys=(("place", (kind, order.client_order_id)),),
            body=msgspec.json.encode({"order": _terms(order, lots=family != "spot")}),
            effect=Effect.ONCE,
            via=Via.HTTP,
            method="POST",
            path=f"/frontoffice/api/{_FAMILIES[family]}/{'stop-orders' if stop else 'orders'}",
            headers={
                "Accept": "*/*",
                "accountId": self.account_id,
                "Content-Type": JSON if plain_json else JSON_V4,
            },
            bearer=True,
        )

    # -- inbound

    def decode(self, frame: Frame, now: float) -> Iterable[Item]:
        return read_reply(frame, now, self.cancel, self.token_request)


def _family(order: Order) -> str:
    if order.type not in SPEC.order_types:
        raise CannotExpress(f"{order.venue} has no {order.type} orders; it has: {', '.join(sorted(SPEC.order_types))}")
    family = order.symbol.partition(".")[0]
    if family not in _FAMILIES:
        raise CannotExpress(
            f"{order.venue}: symbol was {order.symbol!r}; a market id begins with spot., cfd. or perp. (spot.btc_usdt)"
        )
    for flag in ("post_only", "reduce_only"):
        if getattr(order, flag):
            raise CannotExpress(f"{order.venue} has no {flag} orders")
    return family


def _terms(order: Order, *, lots: bool) -> dict[str, Any]:
    """The body's `order`. Decimals go as strings, as the API types them."""
    extras = _options(order, lots=lots)
    terms: dict[str, Any] = {
        "marketId": order.symbol,
        "side": _SIDES[order.side],
        "orderType": "Limit" if order.type in _LIMITS else "Market",
        "timeInForce": _time_in_force(order),
        "requestedLotAmount" if lots else "requestedAmount": plain(order.quantity),
    }
    if order.price is not None:
        terms["requestedPrice"] = plain(order.price)
    if order.stop_price is not None:
        terms["activationPrice"] = plain(order.stop_price)
    if order.expires_at is not None:
        expires = order.expires_at.astimezone(UTC)
        terms["cancellationDate"] = expires.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return terms | extras


def _time_in_force(order: Order) -> str:
    allowed = _TIMES[order.type]
    chosen = order.time_in_force or allowed[0]
    if chosen not in allowed:
        raise CannotExpress(
            f"{order.venue}: time_in_force was {chosen}; a {order.type} order takes {', '.join(allowed)}"
        )
    return chosen.capitalize()


def _options(order: Order, *, lots: bool) -> dict[str, Any]:
    """Leverage, take-profit and stop-loss of CFDs and perpetuals, and a comment; checked."""
    given = dict(order.options)
    unit = given.pop("unit", None)
    if lots and unit != "lots":
        raise CannotExpress(
            f'{order.venue}: {order.symbol} is sized in lots, not in base units; say options={{"unit": "lots"}}'
        )
    if not lots and unit not in {None, "base"}:
        raise CannotExpress(f"{order.venue}: options['unit'] was {unit!r}; {order.symbol} is sized in base units")
    known = {"comment": _comment} | (
        {"leverage": _leverage, "take_profit": _target, "stop_loss": _target} if lots else {}
    )
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise CannotExpress(f"{order.venue}: options had {', '.join(unknown)}; {order.symbol} takes {sorted(known)}")
    names = {"take_profit": "takeProfit", "stop_loss": "stopLoss"}
    return {names.get(name, name): known[name](order, name, value) for name, value in given.items()}


def _comment(order: Order, name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 100:
        raise CannotExpress(f"{order.venue}: options[{name!r}] was {value!r}; a text of up to 100 characters")
    return value


def _leverage(order: Order, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CannotExpress(f"{order.venue}: options[{name!r}] was {value!r}; a whole number of 1 or more")
    return value


def _target(order: Order, name: str, value: Any) -> dict[str, Any]:
    """A price, or for a stop-loss {"price": ..., "isTrailing": bool}."""
    target = dict(value) if isinstance(value, Mapping) else {"price": value}
    price, trailing = target.pop("price", None), target.pop("isTrailing", False)
    good = isinstance(price, Decimal | int | str) and not isinstance(price, bool) and isinstance(trailing, bool)
    try:
        number = Decimal(price) if good else Decimal("NaN")
    except ArithmeticError:
        number = Decimal("NaN")
    if target or not number.is_finite() or number <= 0 or abs(number.adjusted()) > 40:
        raise CannotExpress(f"{order.venue}: options[{name!r}] was {value!r}; a price as Decimal, str or int")
    return {"price": plain(number)} | ({"isTrailing": trailing} if name == "stop_loss" else {})
