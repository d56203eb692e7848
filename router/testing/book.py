"""The book of a simulated venue in the library's own words: orders that are entered, traded, changed and ended.

It knows no venue: who may enter what, and what anybody is told of it, is the simulator's. Every change is noted, in order,
until the simulator takes it to tell.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from attrs import define, evolve, field, frozen

from router.model import IdKind, Order, OrderType, Side
from router.report import ExecType, OrdStatus
from router.testing.bench import Row

__all__ = ["Book", "Change", "Placed"]

ZERO: Final = Decimal(0)
KEPT: Final = ("symbol", "side", "type", "quantity", "price", "stop_price", "time_in_force", "expires_at")
FLAGS: Final = ("post_only", "reduce_only", "options")


def new_id() -> str:
    return secrets.token_hex(8)


@define(eq=False)
class Placed:
    """An order in the book. order: its terms, as they are now."""

    order_id: str
    order: Order
    kind: IdKind = IdKind.ORDER
    status: OrdStatus = OrdStatus.NEW
    cum_quantity: Decimal = ZERO

    @property
    def leaves_quantity(self) -> Decimal:
        """What can still trade: nothing of an order that has ended."""
        return self.order.quantity - self.cum_quantity if self.is_open else ZERO

    @property
    def is_open(self) -> bool:
        return not self.status.is_terminal


@frozen
class Change:
    """Something that happened to an order. placed: the order as that left it. The last three: of a trade alone."""

    exec_type: ExecType
    placed: Placed
    trade_id: str = ""
    quantity: Decimal = ZERO
    price: Decimal = ZERO


@define(eq=False)
class Book:
    """Every order that there ever was, in the order of entering.

    kinds: the id kind of an order type that has an id space of its own. client_ids: whether orders keep the client's id.
    last_price: what an order without a price trades at.
    """

    kinds: Mapping[OrderType, IdKind] = field(factory=dict)
    client_ids: bool = True
    new_id: Callable[[], str] = new_id
    last_price: Decimal = Decimal(100)
    placed: dict[str, Placed] = field(factory=dict, init=False)
    _changes: list[Change] = field(factory=list, init=False, repr=False)

    # -- asking

    def find(self, order_id: object) -> Placed | None:
        """The order of this id, open or ended; None for one that there never was, and for what is no id at all."""
        return self.placed.get(order_id) if isinstance(order_id, str) else None

    def by_client(self, client_order_id: object) -> list[Placed]:
        """The open orders that have this id of the client's."""
        return [each for each in self if each.order.client_order_id == client_order_id]

    def __iter__(self) -> Iterator[Placed]:
        """The open orders."""
        return iter([each for each in self.placed.values() if each.is_open])

    def rows(self) -> list[Row]:
        """All orders, as a bench shows them."""
        return [self._row(each) for each in self.placed.values()]

    def _row(self, placed: Placed) -> Row:
        terms: dict[str, Any] = {name: getattr(placed.order, name) for name in (*KEPT, *FLAGS)}
        return Row(
            order_id=placed.order_id,
            kind=placed.kind,
            status=placed.status,
            cum_quantity=placed.cum_quantity,
            client_order_id=placed.order.client_order_id if self.client_ids else None,
            **terms,
        )

    # -- changing; nothing here checks whether the venue would allow it

    def enter(self, order: Order, order_id: str | None = None) -> Placed:
        """A new order. It rests; without a price or a trigger it trades at once."""
        kind = self.kinds.get(order.type, IdKind.ORDER)
        placed = Placed(order_id or self.new_id(), order, kind)
        self.placed[placed.order_id] = placed
        self._note(ExecType.NEW, placed)
        if order.type is OrderType.MARKET:
            self.fill(placed)
        return placed

    def fill(self, placed: Placed, quantity: Decimal | None = None, price: Decimal | None = None) -> str:
        """Let it trade: all that is left, or `quantity`; at its own price, or at `price`. Returns the id of the trade."""
        size = placed.leaves_quantity if quantity is None else quantity
        if not ZERO < size <= placed.leaves_quantity:
            raise ValueError(f"cannot fill {size} of the {placed.leaves_quantity} left of {placed.order_id}")
        placed.cum_quantity += size
        placed.status = OrdStatus.PARTIALLY_FILLED if placed.order.quantity > placed.cum_quantity else OrdStatus.FILLED
        at = price or placed.order.price or placed.order.stop_price or self.last_price
        trade_id = self.new_id()
        self._note(ExecType.TRADE, placed, trade_id, size, at)
        return trade_id

    def cancel(self, placed: Placed) -> Placed:
        """End it as cancelled."""
        return self.end(placed, OrdStatus.CANCELED, ExecType.CANCELED)

    def end(self, placed: Placed, status: OrdStatus, exec_type: ExecType) -> Placed:
        """End it, with this status and in these words. ValueError if it has ended."""
        if not placed.is_open:
            raise ValueError(f"{placed.order_id} has ended: {placed.status}")
        placed.status = status
        self._note(exec_type, placed)
        return placed

    def replace(self, placed: Placed, **terms: Any) -> Placed:
        """Give it other terms (quantity: the total, what has traded included). What leaves nothing open ends it as filled."""
        order = evolve(placed.order, **terms)
        if order.quantity < placed.cum_quantity:
            raise ValueError(f"{placed.order_id} has traded {placed.cum_quantity} already")
        placed.order = order
        if order.quantity == placed.cum_quantity:
            placed.status = OrdStatus.FILLED
        self._note(ExecType.REPLACED, placed)
        return placed

    def take(self) -> list[Change]:
        """The changes since this was last called."""
        changes, self._changes = self._changes, []
        return changes

    def _note(self, exec_type: ExecType, placed: Placed, *trade: Any) -> None:
        self._changes.append(Change(exec_type, evolve(placed), *trade))


def stranger(order_id: str, symbol: str) -> Change:
    """Something that happened to an order which no book here has."""
    order = Order("stranger", symbol, Side.BUY, OrderType.LIMIT, 3, price=90, client_order_id=order_id[::-1])
    return Change(ExecType.CANCELED, Placed(order_id, order, status=OrdStatus.CANCELED))
