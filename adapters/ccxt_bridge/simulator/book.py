"""One account's spot orders: what is taken in, what happens to it, and the objects in which the venue shows it.

Rules, from the venue's public documentation unless marked (assumed):

1. NEW -> PARTIALLY_FILLED -> FILLED; NEW, PARTIALLY_FILLED -> CANCELED; IOC and FOK never rest: what is left is EXPIRED.
2. A MARKET order is filled at once. A resting limit is filled only by fill() (assumed: prices stand still).
3. A client order id is unique among open orders; the venue makes one where none is given.
4. A cancel's answer shows a client id of the cancel's own, and the order's as origClientOrderId.
5. Order ids are numbers that rise, of the whole venue.
6. The answer to a new order is an ACK, a RESULT or FULL, as asked for; else FULL for LIMIT and MARKET, an ACK for others.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from attrs import define, field, frozen

from adapters.ccxt_bridge.simulator.parameters import KEPT
from adapters.ccxt_bridge.simulator.refusal import Refusal, malformed, no_such_order, rejected, unknown_order

__all__ = ["Book", "Market", "Order"]

OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED"})
TYPES: Final = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
PRICED: Final = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
STOPS: Final = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
UNTIMED: Final = frozenset({"LIMIT_MAKER", "MARKET", "STOP_LOSS", "TAKE_PROFIT"})
ZERO: Final = Decimal(0)


@frozen
class Market:
    """One symbol. touch: the price at which market orders trade; largest: what the account can afford."""

    base: str
    quote: str
    touch: Decimal = field(converter=Decimal)
    tick: Decimal = field(default=Decimal("0.01"), converter=Decimal)
    step: Decimal = field(default=Decimal("0.00001"), converter=Decimal)
    largest: Decimal = field(default=Decimal(100), converter=Decimal)

    @property
    def symbol(self) -> str:
        return self.base + self.quote

    def json(self) -> dict[str, Any]:
        """As exchangeInfo lists it."""
        return {
            "symbol": self.symbol,
            "status": "TRADING",
            "baseAsset": self.base,
            "baseAssetPrecision": 8,
            "quoteAsset": self.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": list(TYPES),
            "icebergAllowed": True,
            "ocoAllowed": True,
            "quoteOrderQtyMarketAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": f"{self.tick:f}", "maxPrice": "1000000.00000000"}
                | {"tickSize": f"{self.tick:f}"},
                {"filterType": "LOT_SIZE", "minQty": f"{self.step:f}", "maxQty": "9000.00000000"}
                | {"stepSize": f"{self.step:f}"},
            ],
            "permissions": [],
            "permissionSets": [["SPOT"]],
        }


def markets() -> dict[str, Market]:
    euro = Market("BTC", "EUR", "104000", step="0.0001")
    found = Market("BTC", "USDT", "120000"), Market("ETH", "USDT", "4000", step="0.0001"), euro
    return {market.symbol: market for market in found}


@define(eq=False)
class Order:
    """An order. at, updated: unix milliseconds. extras: what it was given besides, as it was given."""

    order_id: int
    symbol: str
    client_order_id: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal
    stop_price: Decimal
    time_in_force: str
    at: int
    updated: int = 0
    status: str = "NEW"
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    extras: dict[str, str] = field(factory=dict)

    @property
    def live(self) -> bool:
        return self.status in OPEN

    def fill(self, part: Decimal, price: Decimal, now: int) -> None:
        self.filled += part
        self.cost += part * price
        self.updated = now
        self.status = "FILLED" if self.filled == self.quantity else "PARTIALLY_FILLED"

    def end(self, status: str, now: int) -> None:
        self.status, self.updated = status, now

    def _terms(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "orderId": self.order_id,
            "orderListId": -1,
            "price": f"{self.price:.8f}",
            "origQty": f"{self.quantity:.8f}",
            "executedQty": f"{self.filled:.8f}",
            "origQuoteOrderQty": "0.00000000",
            "cummulativeQuoteQty": f"{self.cost:.8f}",
            "status": self.status,
            "timeInForce": self.time_in_force,
            "type": self.type,
            "side": self.side,
            "selfTradePreventionMode": "NONE",
        } | self._shown()

    def _shown(self) -> dict[str, Any]:
        """The extras: quantities as text, ids as numbers."""
        return {name: text if name.endswith("Qty") else int(text) for name, text in self.extras.items()}

    def placed(self, form: str | None = None) -> dict[str, Any]:
        """The answer to a new order (rule 6)."""
        form = form or ("FULL" if self.type in {"LIMIT", "MARKET"} else "ACK")
        names = {"symbol": self.symbol, "orderId": self.order_id, "orderListId": -1}
        own: dict[str, Any] = {"clientOrderId": self.client_order_id, "transactTime": self.at}
        if form == "ACK":
            return names | own
        return self._terms() | own | {"workingTime": self.at} | ({"fills": self._fills()} if form == "FULL" else {})

    def _fills(self) -> list[dict[str, Any]]:
        if not self.filled:
            return []
        price, free = f"{self.cost / self.filled:.8f}", {"commission": "0.00000000", "commissionAsset": "BNB"}
        return [{"price": price, "qty": f"{self.filled:.8f}", **free, "tradeId": self.order_id}]

    def cancelled(self) -> dict[str, Any]:
        """The answer to a cancel (rule 4)."""
        own = {"origClientOrderId": self.client_order_id, "clientOrderId": secrets.token_urlsafe(16)}
        return self._terms() | own | {"transactTime": self.updated}

    def json(self) -> dict[str, Any]:
        """As a query shows it."""
        return self._terms() | {
            "clientOrderId": self.client_order_id,
            "stopPrice": f"{self.stop_price:.8f}",
            "icebergQty": self.extras.get("icebergQty", "0.00000000"),
            "time": self.at,
            "updateTime": self.updated,
            "isWorking": self.type not in STOPS,
            "workingTime": self.at,
        }


@define(eq=False)
class Book:
    """The orders of the account by id, ended ones included. clock: unix milliseconds."""

    clock: Callable[[], int] = field(repr=False)
    markets: dict[str, Market] = field(factory=markets, repr=False)
    orders: dict[str, Order] = field(factory=dict, repr=False)
    _last: int = 28_457_000

    def market(self, asked: Mapping[str, str]) -> Market:
        """The market that a request names. Like all below, raises Refusal."""
        symbol = asked.get("symbol")
        if not symbol:
            raise malformed("symbol")
        if symbol not in self.markets:
            raise Refusal(-1121, "Invalid symbol.")
        return self.markets[symbol]

    def place(self, asked: Mapping[str, str]) -> Order:
        market, order = self.market(asked), self._new(asked)
        _check(order, market)
        if any(other.live and other.client_order_id == order.client_order_id for other in self.orders.values()):
            raise rejected("Duplicate order sent.")
        if order.quantity > market.largest:
            raise rejected("Account has insufficient balance for requested action.")
        reached = order.price >= market.touch if order.side == "BUY" else order.price <= market.touch
        if order.type == "LIMIT_MAKER" and reached:
            raise rejected("Order would immediately match and take.")
        self.orders[str(order.order_id)] = order
        if order.type == "MARKET" or (order.time_in_force in {"IOC", "FOK"} and reached):
            order.fill(order.quantity, market.touch, order.at)
        elif order.time_in_force in {"IOC", "FOK"}:
            order.end("EXPIRED", order.at)
        return order

    def cancel(self, asked: Mapping[str, str]) -> Order:
        order = self._find(asked)
        if order is None or not order.live:
            raise unknown_order()
        order.end("CANCELED", self.clock())
        return order

    def query(self, asked: Mapping[str, str]) -> Order:
        order = self._find(asked)
        if order is None:
            raise no_such_order()
        return order

    def open(self, asked: Mapping[str, str]) -> list[Order]:
        wanted = self.market(asked).symbol if asked.get("symbol") else None
        return [order for order in self.orders.values() if order.live and wanted in {None, order.symbol}]

    def fill(self, order_id: str, quantity: Decimal | str | int | None = None) -> Order:
        """Fill an open order (None: all that remains) at its own price."""
        order = self.orders[order_id]
        part = order.quantity - order.filled if quantity is None else Decimal(quantity)
        if not order.live or not 0 < part <= order.quantity - order.filled:
            raise ValueError(f"cannot fill {part} of {order!r}")
        order.fill(part, order.price or self.markets[order.symbol].touch, self.clock())
        return order

    def expire(self, order_id: str) -> Order:
        """End an open order unasked, as the venue does in its maintenance."""
        order = self.orders[order_id]
        if not order.live:
            raise ValueError(f"cannot end {order!r}")
        order.end("EXPIRED", self.clock())
        return order

    def _find(self, asked: Mapping[str, str]) -> Order | None:
        symbol, order_id, client_id = self.market(asked).symbol, asked.get("orderId"), asked.get("origClientOrderId")
        if order_id is not None and not order_id.isdecimal():
            raise Refusal(-1100, "Illegal characters found in parameter 'orderId'; legal range is '^[0-9]{1,20}$'.")
        if order_id is None and client_id is None:
            raise Refusal(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        mine = [order for order in self.orders.values() if order.symbol == symbol]
        found = [each for each in mine if order_id in {None, str(each.order_id)}]
        found = [each for each in found if client_id in {None, each.client_order_id}]
        return next((each for each in found if each.live), found[-1] if found else None)

    def _new(self, asked: Mapping[str, str]) -> Order:
        side, kind = asked.get("side", ""), asked.get("type", "")
        if side not in {"BUY", "SELL"}:
            raise Refusal(-1117, "Invalid side.")
        if kind not in TYPES:
            raise Refusal(-1116, "Invalid orderType.")
        if kind in UNTIMED and "timeInForce" in asked:
            raise Refusal(-1106, "Parameter 'timeInForce' sent when not required.")
        self._last += 1
        now = self.clock()
        return Order(
            order_id=self._last,
            symbol=asked["symbol"],
            client_order_id=asked.get("newClientOrderId") or secrets.token_urlsafe(16),
            side=side,
            type=kind,
            quantity=_number(asked, "quantity"),
            price=_number(asked, "price") if kind in PRICED else ZERO,
            stop_price=_number(asked, "stopPrice") if kind in STOPS else ZERO,
            time_in_force=asked.get("timeInForce", "GTC"),
            at=now,
            updated=now,
            extras={name: asked[name] for name in KEPT if name in asked},
        )


def _number(asked: Mapping[str, str], name: str) -> Decimal:
    """A number in digits: no exponent is taken."""
    text = asked.get(name, "")
    if not text or "e" in text.lower():
        raise malformed(name)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise malformed(name) from None
    if not number.is_finite() or number <= 0:
        raise Refusal(-1013, f"Invalid {name}.")
    return number


def _check(order: Order, market: Market) -> None:
    if order.quantity % market.step:
        raise Refusal(-1013, "Filter failure: LOT_SIZE")
    if order.price % market.tick or order.stop_price % market.tick:
        raise Refusal(-1013, "Filter failure: PRICE_FILTER")
    if order.time_in_force not in {"GTC", "IOC", "FOK"}:
        raise Refusal(-1115, "Invalid timeInForce.")
    _check_extras(order)


def _check_extras(order: Order) -> None:
    wrong = next((name for name in KEPT[1:] if not order.extras.get(name, "0").isdecimal()), None)
    if wrong is not None:
        raise Refusal(-1130, f"Data sent for parameter '{wrong}' is not valid.")
    if "icebergQty" in order.extras and _number(order.extras, "icebergQty") >= order.quantity:
        raise rejected("IcebergQty exceeds QTY.")
