"""One account's order keeping: what happens to its orders and stop orders. No asyncio, no HTTP.

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

from collections.abc import Callable
from decimal import Decimal
from typing import Literal, TypeAlias

from attrs import define, field

from adapters.b2trader.simulator.formats import mint, ticks
from adapters.b2trader.simulator.markets import Market, markets
from adapters.b2trader.simulator.orders import OPEN, ZERO, Order, Stop
from adapters.b2trader.simulator.refusal import invalid, not_found
from adapters.b2trader.simulator.tickets import Ticket, base_amount, check_activation, check_terms

__all__ = ["Desk", "Family", "StopCancelMode"]

Family: TypeAlias = Literal["spot", "cfd", "perp"]
StopCancelMode: TypeAlias = Literal["rejected", "dated", "unchanged"]


@define(eq=False)
class Desk:
    """One account's orders and stop orders, closed ones included, by id. clock: now, in 100 ns since 1970."""

    markets: dict[str, Market] = field(factory=markets, repr=False)
    clock: Callable[[], int] = field(default=ticks, repr=False)
    orders: dict[str, Order] = field(factory=dict, repr=False)
    stops: dict[str, Stop] = field(factory=dict, repr=False)

    # -- placing

    def place(self, family: Family, ticket: Ticket, *, reject: str | None = None) -> Order:
        """A new order; with `reject`, one that was refused and says why."""
        order = self._open(ticket, *self._admit(family, ticket))
        if reject is None:
            return self._begin(order)
        order.status, order.reject_details = "Rejected", reject
        return order

    def place_stop(self, family: Family, ticket: Ticket, *, reject: str | None = None) -> Stop:
        """A new stop order, already activated when its trigger is already met."""
        market, amount = self._admit(family, ticket)
        activation = check_activation(ticket, market)
        now = self.clock()
        stop = Stop(mint(now), ticket, market, amount, now)
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

    def _admit(self, family: Family, ticket: Ticket) -> tuple[Market, Decimal]:
        if ticket.market_id.partition(".")[0] != family:
            raise invalid("marketId does not belong here")
        market = self.markets.get(ticket.market_id)
        if market is None:
            raise not_found("market_not_found")
        check_terms(ticket, market)
        return market, base_amount(ticket, market)

    # -- cancelling

    def cancel(self, order_id: str, status: str = "Cancelled") -> Order:
        """End an open order with this status. Completed: a fill was faster. An open status: it stays open."""
        order = self.orders.get(order_id)
        if order is None or not order.live:
            raise not_found("order_not_found")
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
            raise not_found("stop_order_not_found")
        if not stop.live or ignored:
            return stop
        stop.end("Rejected" if mode == "rejected" else stop.status, self.clock())
        stop.withdrawn = True
        if mode == "dated":
            stop.cancelled = stop.updated
        return stop

    # -- what the market does

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

    # -- an order begins

    def _open(self, ticket: Ticket, market: Market, amount: Decimal, source: str = "Manual") -> Order:
        now = self.clock()
        order = Order(mint(now), ticket, market, amount, now, source=source)
        self.orders[order.order_id] = order
        return order

    def _begin(self, order: Order) -> Order:
        """Let a limit rest, and execute at once what may not."""
        if order.ticket.rests:
            order.status = "Pending"
            return order
        taken = _available(order)
        if taken:
            order.fill(taken, order.market.touch(order.ticket.side), order.created)
        if order.live:
            order.close("Cancelled", order.created)
        return order


def _available(order: Order) -> Decimal:
    """How much of an order that may not rest is filled on arrival."""
    ticket, touch = order.ticket, order.market.touch(order.ticket.side)
    limit = ticket.requested_price or touch
    reached = limit >= touch if ticket.side == "Buy" else limit <= touch
    taken = min(order.requested_amount, order.market.depth) if reached else ZERO
    return ZERO if ticket.time_in_force == "Fok" and taken < order.requested_amount else taken
