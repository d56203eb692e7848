"""The order book-keeping behind the simulated B2TRADER venue: tickets, orders, stop orders. No asyncio, no HTTP.

Rules, from the venue's public documentation unless marked (assumed):

1. order: Started -> Pending (a limit at rest) -> Working (partly filled) -> Completed.
   Started, Pending, Working -> Cancelled | Expired. Refused for lack of funds: Rejected, never open.
2. Market, Ioc and Fok never rest: what the market has is filled at once, the remainder is Cancelled. Fok: all or nothing.
3. Every other limit rests as Pending whatever its price; only `fill` moves it (assumed).
4. stop: WaitingForActivation -> Activated, with a new order of source "StopOrder" | Rejected, when that order was refused.
   There is no "Cancelled" among a stop's statuses: what a cancelled stop says of itself is a mode.
5. A stop is triggered when the ask is at or above its price (Buy), or the bid at or below it (Sell); also on arrival.
   Prices here stand still, so after arrival only `activate` triggers one.
6. An id is a ULID whose millisecond is that of `createdAt`. Orders and stop orders are two separate id spaces.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from attrs import Factory, define, field, frozen

__all__ = ["Desk", "Family", "Market", "Order", "Refusal", "Stop", "StopCancelMode", "Ticket", "markets"]

Family: TypeAlias = Literal["spot", "cfd", "perp"]
T = TypeVar("T")
StopCancelMode: TypeAlias = Literal["rejected", "dated", "unchanged"]

OPEN = frozenset({"Started", "Pending", "Working"})
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TICKS = 10_000_000  # per second: .NET counts time in 100 ns
ZERO = Decimal(0)
LARGEST = 14  # the power of ten no amount and no price may reach
EIGHTH = Decimal("1e-8")


class Refusal(Exception):
    """The venue says no. status: as in HTTP; code and message: what an error body says (not documented, so assumed)."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


# -- how the venue writes things


def ticks() -> int:
    """Now, in 100 ns since 1970."""
    return time.time_ns() // 100


def _mint(moment: int) -> str:
    """A fresh ULID: 48 bits of time in milliseconds, 80 random bits, in Crockford's base32."""
    number = moment // (TICKS // 1000) << 80 | secrets.randbits(80)
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def timestamp(moment: int) -> str:
    """The .NET round-trip format with its fraction's zeros trimmed: none to seven digits."""
    seconds, fraction = divmod(moment, TICKS)
    digits = f"{fraction:07d}".rstrip("0")
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{digits}Z" if digits else f"{whole}Z"


def decimal_string(value: Decimal) -> str:
    """No exponent, no trailing zeros."""
    return format(value.normalize(), "f")


def _nullable(write: Callable[[T], str], value: T | None) -> str | None:
    return None if value is None else write(value)


# -- markets


@frozen
class Market:
    """One market. Prices in the quote asset; scales are counts of decimals; max_base_amount and depth in the base asset.

    lot_size: base amount of one lot, None on spot. min_amount, amount_scale: of the amount as ordered (base, or lots).
    depth: what a market order finds at the touch.
    """

    market_id: str
    display_name: str
    bid: Decimal = field(converter=Decimal)
    ask: Decimal = field(converter=Decimal)
    price_scale: int = 2
    amount_scale: int = 2
    min_amount: Decimal = field(default=Decimal("0.01"), converter=Decimal)
    max_base_amount: Decimal = field(default=Decimal(100), converter=Decimal)
    lot_size: Decimal | None = field(default=None)
    depth: Decimal = Factory(lambda self: self.max_base_amount, takes_self=True)

    @property
    def family(self) -> str:
        return self.market_id.partition(".")[0]

    def touch(self, side: str) -> Decimal:
        """The price this side trades at now."""
        return self.ask if side == "Buy" else self.bid

    def triggers(self, side: str, activation: Decimal) -> bool:
        return self.ask >= activation if side == "Buy" else self.bid <= activation


def markets(*extra: Market) -> dict[str, Market]:
    """The default table, with `extra` markets added or replaced."""
    table: Iterable[Market] = (
        Market("spot.btc_usdt", "BTC/USDT", "115190.1", "115200.2", amount_scale=5, min_amount="0.00001"),
        Market(
            "spot.eth_usdt", "ETH/USDT", "4600.1", "4600.9", amount_scale=4, min_amount="0.0001", max_base_amount=1000
        ),
        Market("cfd.eth_eur", "CFD ETH/EUR", "3950.5", "3951.5", max_base_amount=1000, lot_size=Decimal(10)),
        Market("perp.btc_usdt", "Perpetual BTC/USDT", "115180", "115181", price_scale=1, lot_size=Decimal("0.001")),
        *extra,
    )
    return {market.market_id: market for market in table}


# -- what is asked for


class Protection(msgspec.Struct, rename="camel", frozen=True):
    """A stop loss or take profit of a CFD or perpetual order."""

    price: Decimal
    is_trailing: bool = False


class Ticket(msgspec.Struct, rename="camel", frozen=True):
    """The inside of {"order": {...}} of every placing request. Unknown fields are ignored, unknown values are not."""

    market_id: str
    side: Literal["Buy", "Sell"]
    order_type: Literal["Market", "Limit"]
    time_in_force: Literal["Gtc", "Ioc", "Fok", "Gtd", "Day"]
    requested_amount: Decimal | None = None
    requested_lot_amount: Decimal | None = None
    requested_price: Decimal | None = None
    activation_price: Decimal | None = None
    cancellation_date: str | None = None
    comment: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    leverage: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stop_loss: Protection | None = None
    take_profit: Protection | None = None


class _Envelope(msgspec.Struct, frozen=True):
    order: Ticket


def read_ticket(body: bytes) -> Ticket:
    """The ticket in a request's body; Refusal 400 when it is not one."""
    try:
        return msgspec.json.decode(body, type=_Envelope).order
    except (ValueError, ArithmeticError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        raise Refusal(400, "validation_error", str(error)) from None


def _invalid(message: str) -> Refusal:
    return Refusal(400, "validation_error", message)


def _check(name: str, value: Decimal | None, scale: int) -> Decimal:
    """A number that is there, positive, not absurd, and on the market's grid."""
    if value is None:
        raise _invalid(f"{name} is required")
    if not value.is_finite() or value <= 0 or value.adjusted() >= LARGEST or len(value.as_tuple().digits) > 2 * LARGEST:
        raise _invalid(f"{name} is out of range")
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > scale:
        raise _invalid(f"{name} has more than {scale} decimals")
    return value


def _base_amount(ticket: Ticket, market: Market) -> Decimal:
    lots = market.lot_size is not None
    name, asked = (
        ("requestedLotAmount", ticket.requested_lot_amount) if lots else ("requestedAmount", ticket.requested_amount)
    )
    amount = _check(name, asked, market.amount_scale)
    if amount < market.min_amount:
        raise _invalid(f"{name} is below {decimal_string(market.min_amount)}")
    return amount * (market.lot_size or 1)


def _check_price(ticket: Ticket, market: Market) -> None:
    if ticket.order_type == "Limit":
        _check("requestedPrice", ticket.requested_price, market.price_scale)
    elif ticket.requested_price is not None:
        raise _invalid("requestedPrice must be null or omitted for Market orders")
    for name, protection in (("stopLoss.price", ticket.stop_loss), ("takeProfit.price", ticket.take_profit)):
        if protection is not None:
            _check(name, protection.price, market.price_scale)


def _check_expiry(ticket: Ticket) -> None:
    if ticket.order_type == "Market" and ticket.time_in_force in {"Gtd", "Day"}:
        raise _invalid("timeInForce applies to limit orders only")
    if ticket.time_in_force != "Gtd":
        return
    try:
        datetime.fromisoformat(ticket.cancellation_date or "")
    except ValueError:
        raise _invalid("cancellationDate is required for Gtd") from None


# -- what comes of it


@define(eq=False)
class _Entry:
    """What an order and a stop order share. Amounts in the base asset, also if ordered in lots; times in 100 ns since 1970."""

    order_id: str
    ticket: Ticket
    market: Market = field(repr=False)
    requested_amount: Decimal
    created: int
    updated: int = Factory(lambda self: self.created, takes_self=True)
    cancelled: int | None = None

    def json(self) -> dict[str, Any]:
        """The documented object."""
        return {
            "marketId": self.market.market_id,
            "marketDisplayName": self.market.display_name,
            "orderId": self.order_id,
            "orderType": self.ticket.order_type,
            "side": self.ticket.side,
            "timeInForce": self.ticket.time_in_force,
            "requestedAmount": decimal_string(self.requested_amount),
            "requestedPrice": _nullable(decimal_string, self.ticket.requested_price),
            "createdAt": timestamp(self.created),
            "updatedAt": timestamp(self.updated),
            "cancellationDate": _nullable(timestamp, self.cancelled),
        }


@define(eq=False)
class Order(_Entry):
    """An order."""

    source: str = "Manual"
    status: str = "Started"
    filled_amount: Decimal = ZERO
    cost: Decimal = ZERO
    reject_details: str | None = None

    @property
    def live(self) -> bool:
        return self.status in OPEN

    @property
    def remaining_amount(self) -> Decimal:
        return self.requested_amount - self.filled_amount

    @property
    def execution_price(self) -> Decimal:
        return (self.cost / self.filled_amount).quantize(EIGHTH) if self.filled_amount else ZERO

    def fill(self, amount: Decimal, price: Decimal, now: int) -> None:
        self.filled_amount += amount
        self.cost += amount * price
        self.updated = now
        self.status = "Working" if self.remaining_amount else "Completed"

    def close(self, status: str, now: int) -> None:
        self.status, self.updated, self.cancelled = status, now, now

    def json(self) -> dict[str, Any]:
        return _Entry.json(self) | {
            "status": self.status,
            "source": self.source,
            "commission": decimal_string((self.cost / 1000).quantize(EIGHTH)),
            "remainingAmount": decimal_string(self.remaining_amount),
            "executionPrice": decimal_string(self.execution_price),
            "rejectDetails": self.reject_details,
        }


@define(eq=False)
class Stop(_Entry):
    """A stop order. live: whether it still waits, which its status alone does not tell. child: the order it became."""

    status: str = "WaitingForActivation"
    live: bool = True
    child: str | None = None

    def end(self, status: str, now: int) -> None:
        self.status, self.live, self.updated = status, False, now

    def json(self) -> dict[str, Any]:
        activation = _nullable(decimal_string, self.ticket.activation_price)
        return _Entry.json(self) | {"activationPrice": activation, "status": self.status}


@define(eq=False)
class Desk:
    """One account's orders and stop orders, closed ones included, by id. clock: now, in 100 ns since 1970."""

    markets: dict[str, Market] = field(factory=markets, repr=False)
    clock: Callable[[], int] = field(default=ticks, repr=False)
    orders: dict[str, Order] = field(factory=dict, repr=False)
    stops: dict[str, Stop] = field(factory=dict, repr=False)

    def place(self, family: Family, ticket: Ticket, *, reject: str | None = None) -> Order:
        """A new order; with `reject`, one that was refused and says why."""
        order = self._open(ticket, *self._admit(family, ticket))
        return self._reject(order, reject) if reject else self._begin(order)

    def place_stop(self, family: Family, ticket: Ticket, *, reject: str | None = None) -> Stop:
        """A new stop order, already activated when its trigger is already met."""
        market, amount = self._admit(family, ticket)
        activation = _check("activationPrice", ticket.activation_price, market.price_scale)
        now = self.clock()
        stop = Stop(_mint(now), ticket, market, amount, now)
        self.stops[stop.order_id] = stop
        if reject:
            stop.end("Rejected", now)
        elif market.triggers(ticket.side, activation):
            self.activate(stop.order_id)
        return stop

    def exceeds(self, family: Family, ticket: Ticket) -> bool:
        """Whether the account cannot afford this (assumed: more than the market's largest order)."""
        market, amount = self._admit(family, ticket)
        return amount > market.max_base_amount

    def cancel(self, order_id: str, status: str = "Cancelled") -> Order:
        """End an open order with this status. Completed: a fill was faster. An open status: it stays open."""
        order = self.orders.get(order_id)
        if order is None or not order.live:
            raise Refusal(404, "order_not_found", "Not Found")
        if status == "Completed":
            self.fill(order_id)
        elif status in OPEN:
            order.status, order.updated = status, self.clock()
        else:
            order.close(status, self.clock())
        return order

    def cancel_stop(self, stop_id: str, mode: StopCancelMode, *, ignored: bool, activated_visible: bool) -> Stop:
        """End a waiting stop, in one of the ways it may look. ignored: say so, but let it wait on."""
        stop = self.stops.get(stop_id)
        if stop is None or not (stop.live or (stop.status == "Activated" and activated_visible)):
            raise Refusal(404, "stop_order_not_found", "Not Found")
        if not stop.live or ignored:
            return stop
        stop.end("Rejected" if mode == "rejected" else stop.status, self.clock())
        if mode == "dated":
            stop.cancelled = stop.updated
        return stop

    def activate(self, stop_id: str) -> Order:
        """The market reaches a waiting stop's price: it becomes an order."""
        stop = self._waiting(stop_id)
        child = self._begin(self._open(stop.ticket, stop.market, stop.requested_amount, "StopOrder"))
        stop.end("Activated", self.clock())
        stop.child = child.order_id
        return child

    def refuse_activation(self, stop_id: str) -> None:
        """The market reaches a waiting stop's price, and its order is refused."""
        self._waiting(stop_id).end("Rejected", self.clock())

    def fill(self, order_id: str, amount: Decimal | str | int | None = None) -> Order:
        """Fill an open order (None: all that remains) at its own price, or at the touch if it has none."""
        order = self.orders[order_id]
        part = order.remaining_amount if amount is None else Decimal(amount)
        if not order.live or not 0 < part <= order.remaining_amount:
            raise ValueError(f"cannot fill {part} of {order!r}")
        order.fill(part, order.ticket.requested_price or order.market.touch(order.ticket.side), self.clock())
        return order

    def _waiting(self, stop_id: str) -> Stop:
        stop = self.stops[stop_id]
        if not stop.live:
            raise ValueError(f"not waiting: {stop!r}")
        return stop

    def _admit(self, family: Family, ticket: Ticket) -> tuple[Market, Decimal]:
        if ticket.market_id.partition(".")[0] != family:
            raise _invalid("marketId does not belong here")
        market = self.markets.get(ticket.market_id)
        if market is None:
            raise Refusal(404, "market_not_found", "Not Found")
        _check_price(ticket, market)
        _check_expiry(ticket)
        return market, _base_amount(ticket, market)

    def _open(self, ticket: Ticket, market: Market, amount: Decimal, source: str = "Manual") -> Order:
        now = self.clock()
        order = Order(_mint(now), ticket, market, amount, now, source=source)
        self.orders[order.order_id] = order
        return order

    def _reject(self, order: Order, details: str) -> Order:
        order.status, order.reject_details = "Rejected", details
        return order

    def _begin(self, order: Order) -> Order:
        """Let a limit rest, and execute at once what may not."""
        ticket = order.ticket
        if ticket.order_type == "Limit" and ticket.time_in_force not in {"Ioc", "Fok"}:
            order.status = "Pending"
            return order
        taken = self._available(order)
        if taken:
            order.fill(taken, order.market.touch(ticket.side), order.created)
        if order.live:
            order.close("Cancelled", order.created)
        return order

    def _available(self, order: Order) -> Decimal:
        ticket, touch = order.ticket, order.market.touch(order.ticket.side)
        limit = ticket.requested_price or touch
        reached = limit >= touch if ticket.side == "Buy" else limit <= touch
        taken = min(order.requested_amount, order.market.depth) if reached else ZERO
        return ZERO if ticket.time_in_force == "Fok" and taken < order.requested_amount else taken
