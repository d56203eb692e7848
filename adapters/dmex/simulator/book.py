"""The orders: resting, filled, closed, replaced. There is no matching: orders rest until `fill`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from attrs import Factory, asdict, define, field

__all__ = ["HASH", "NO_HASH", "Book", "Order", "Refused", "read_hash"]

HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
NO_HASH: Final = frozenset({"", "0x" + "0" * 64})


class Refused(Exception):
    """The venue's words for not executing a command."""


def read_hash(text: str) -> str:
    """An order hash as the book has it."""
    if HASH.fullmatch(text) is None:
        raise Refused("Invalid order hash")
    return text.lower()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@define(eq=False, kw_only=True)
class Order:
    """An order in the book. Sizes, prices and leverage are integers in units of 1e-8. Attributes as in a row of REST."""

    hash: str
    owner: str
    base_token: str = "0x00000000000000000000000000000000000000d0"  # noqa: S105 - a token to trade with
    asset: str = "btcusd"
    amount: int = field(default=1_000_000_000, converter=int)
    price: int = field(default=10_000_000_000_000, converter=int)
    side: bool = True
    nonce: int = 1
    leverage: int = field(default=1_000_000_000, converter=int)
    closing_order: bool = False
    remaining: int = field(init=False, default=Factory(lambda self: self.amount, takes_self=True))
    closed: bool = field(init=False, default=False)
    stop: bool = False
    stop_price: int = field(default=0, converter=int)
    stopped: bool = field(init=False, default=False)
    is_market: bool = False
    post_only: bool = False
    decimals: int = 2
    amount_dec: int = 4
    margin_currency_symbol: str = "USDC"
    created_at: str = field(init=False, factory=_now)

    def cancel(self) -> None:
        """Close an open order at a client's word."""
        if self.closed:
            raise Refused("Order already cancelled" if self.remaining else "Order already filled")
        self.closed = True

    def row(self) -> dict[str, Any]:
        """The order as GET /api/orders shows it: no signature, 1e8 integers as strings."""
        renamed = {"owner": "user_address", "remaining": "remaining_amount"}
        scaled = {"amount", "price", "leverage", "remaining", "stop_price"}
        return {
            renamed.get(name, name): str(value) if name in scaled else value for name, value in asdict(self).items()
        }


@define(eq=False)
class Book:
    """All orders by lower-case hash, closed ones included."""

    orders: dict[str, Order] = field(factory=dict, init=False)

    # -- what clients ask for

    def find(self, order_hash: str) -> Order:
        if order_hash not in self.orders:
            raise Refused("Order not found")
        return self.orders[order_hash]

    def enter(self, order: Order, replace_hash: str) -> None:
        """Enter an order; with replace_hash, in the place of an open one of the same owner."""
        if order.hash in self.orders:
            raise Refused("Order already exists")
        self._replace(replace_hash, order.owner)  # last, so that a refusal leaves the old order resting
        self.orders[order.hash] = order

    def _replace(self, replace_hash: str, owner: str) -> None:
        if replace_hash in NO_HASH:
            return
        old = self.find(read_hash(replace_hash))
        if old.owner.lower() != owner.lower():
            raise Refused("Order not found")
        old.cancel()

    def owned(self, user: str) -> list[Order]:
        return [order for order in self.orders.values() if order.owner.lower() == user.lower()]

    # -- what a test decrees

    def rest(self, order: Order) -> None:
        """Put an order in the book, whoever signed it."""
        if HASH.fullmatch(order.hash) is None or order.hash in self.orders:
            raise ValueError(f"not a hash, or already in the book: {order.hash}")
        self.orders[order.hash] = order

    def fill(self, order_hash: str, amount: int | str | None) -> None:
        order = self.orders[order_hash.lower()]
        filled = order.remaining if amount is None else int(amount)
        if order.closed or not 0 < filled <= order.remaining:
            raise ValueError(f"cannot fill {filled}: closed is {order.closed}, {order.remaining} remain")
        order.remaining -= filled
        order.closed = not order.remaining

    def close(self, order_hash: str) -> None:
        order = self.orders[order_hash.lower()]
        if order.closed:
            raise ValueError("already closed")
        order.closed = True
