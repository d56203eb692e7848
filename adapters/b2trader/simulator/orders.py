"""Orders and stop orders: their state, and the objects in which the venue shows it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from attrs import Factory, define, field

from adapters.b2trader.simulator.formats import decimal_string, nullable, timestamp
from adapters.b2trader.simulator.markets import Market
from adapters.b2trader.simulator.tickets import Ticket

__all__ = ["OPEN", "ZERO", "Order", "Stop"]

OPEN: Final = frozenset({"Started", "Pending", "Working"})
ZERO: Final = Decimal(0)
EIGHTH: Final = Decimal("1e-8")


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
            "requestedPrice": nullable(decimal_string, self.ticket.requested_price),
            "createdAt": timestamp(self.created),
            "updatedAt": timestamp(self.updated),
            "cancellationDate": nullable(timestamp, self.cancelled),
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
    """A stop order. live: whether it still waits, which its status alone does not tell. child: the order it became.

    withdrawn: whether a cancel has ended it, which its status does not tell either.
    """

    status: str = "WaitingForActivation"
    live: bool = True
    child: str | None = None
    withdrawn: bool = False

    def end(self, status: str, now: int) -> None:
        self.status, self.live, self.updated = status, False, now

    def json(self) -> dict[str, Any]:
        activation = nullable(decimal_string, self.ticket.activation_price)
        return _Entry.json(self) | {"activationPrice": activation, "status": self.status}
