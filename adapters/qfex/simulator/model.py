"""What the simulated exchange knows and reports: instruments, orders, TWAPs, and what happens to them."""

from __future__ import annotations

from decimal import Decimal
from typing import Final
from uuid import uuid4

from attrs import Factory, define, field, frozen

__all__ = [
    "ACCEPTED",
    "OPPOSITE",
    "SYMBOLS",
    "ZERO",
    "Event",
    "Fill",
    "Instrument",
    "Order",
    "Refused",
    "Twap",
    "Update",
]

ZERO: Final = Decimal(0)
OPPOSITE: Final = {"BUY": "SELL", "SELL": "BUY"}
STOP_TYPES: Final = frozenset({"TAKE_PROFIT", "STOP_LOSS"})
ACCEPTED: Final = frozenset(
    {"ACK", "FILLED", "MODIFIED", "CANCELLED", "CANCELLED_STP", "IOC_PARTIALLY_FILLED", "IOC_CANCELLED"}
)
"""The statuses that do not reject a command."""


def new_id() -> str:
    return str(uuid4())


class Refused(Exception):
    """A refusal that is not the status of an order: the venue's error_code and a text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@frozen
class Instrument:
    """What the venue's reference data says about a symbol. Prices in quote units, quantities in base units."""

    tick: Decimal = field(converter=Decimal)
    lot: Decimal = field(converter=Decimal)
    min_quantity: Decimal = field(converter=Decimal)
    mark: Decimal = field(converter=Decimal)
    max_quantity: Decimal = field(default=Decimal(10_000_000), converter=Decimal)
    min_price: Decimal = field(default=Decimal(1), converter=Decimal)
    max_price: Decimal = field(default=Decimal(1_000_000), converter=Decimal)


SYMBOLS: Final = {
    "AAPL-USD": Instrument("0.01", "0.001", "0.01", "200"),
    "NVDA-USD": Instrument("0.01", "0.001", "0.1", "230"),
    "US500-USD": Instrument("0.1", "0.0001", "0.001", "6500"),
    "GOLD-USD": Instrument("0.1", "0.0001", "0.001", "4000"),
    "SKHYNIX-KRW": Instrument("100", "0.000001", "0.00001", "250000"),
}
"""Reference data as seen in practice; bands wide and marks invented."""


@define(eq=False, kw_only=True)
class Order:
    """An order or a stand-alone stop (whose price is its trigger). `remaining` is the open quantity."""

    account: str
    symbol: str
    side: str = "BUY"
    type: str = "LIMIT"
    time_in_force: str = "GTC"
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    take_profit: Decimal = ZERO
    stop_loss: Decimal = ZERO
    client_order_id: str = ""
    reduce_only: bool = False
    order_id: str = Factory(new_id)
    status: str = "ACK"
    remaining: Decimal = Factory(lambda self: self.quantity, takes_self=True)
    update_time: float = 0.0
    number: int = 0
    """Counted from 1 in the order in which orders and stops were entered."""

    @property
    def is_stop(self) -> bool:
        return self.type in STOP_TYPES

    def reaches(self, price: Decimal) -> bool:
        """Whether this order would trade at `price`."""
        if self.type not in {"LIMIT", "ALO"}:
            return True
        return price <= self.price if self.side == "BUY" else price >= self.price


@define(eq=False, kw_only=True)
class Twap:
    """A time-weighted order. It places children when it is told to."""

    account: str
    symbol: str
    side: str
    total_quantity: Decimal
    num_orders: int
    order_interval_secs: int
    reduce_only: bool
    client_twap_id: str | None = None
    twap_id: str = Factory(new_id)
    status: str = "ENGINE_STATUS"
    filled_quantity: Decimal = ZERO
    created_at: float = 0.0
    start_time: Decimal | None = None
    worst_price: Decimal | None = None
    number: int = 0
    """That of the last order entered before it."""


@frozen
class Update:
    """An order's new status, with the order as it was at that moment."""

    order: Order
    trade_id: str | None = None


@frozen
class Fill:
    """One side of a trade, with its order as it was right after."""

    trade_id: str
    order: Order
    quantity: Decimal
    price: Decimal
    aggressor_side: str
    timestamp: float


Event = Update | Fill | Twap
