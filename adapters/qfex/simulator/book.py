"""The open orders, and where to look for those that an order may trade with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from adapters.qfex.simulator.model import OPPOSITE, Order

__all__ = ["Book", "History"]


class Book(dict[str, Order]):
    """Open orders by id, oldest first. It changes by item and by pop() only."""

    def __init__(self) -> None:
        super().__init__()
        self._sides: defaultdict[tuple[str, str], dict[str, Order]] = defaultdict(dict)

    def against(self, taker: Order) -> Iterable[Order]:
        """The orders of the other side, oldest first."""
        return self._sides[taker.symbol, OPPOSITE[taker.side]].values()

    def __setitem__(self, order_id: str, order: Order) -> None:
        super().__setitem__(order_id, order)
        self._sides[order.symbol, order.side][order_id] = order

    def __delitem__(self, order_id: str) -> None:
        order = self[order_id]
        super().__delitem__(order_id)
        del self._sides[order.symbol, order.side][order_id]

    def pop(self, order_id: str, default: Order | None = None) -> Order | None:  # type: ignore[override]
        order = self.get(order_id, default)
        if order_id in self:
            del self[order_id]
        return order


class History(dict[str, Order]):
    """Every order and stop ever by id, numbered as they came."""

    def __init__(self) -> None:
        super().__init__()
        self._clients: dict[tuple[str, str, str], Order] = {}

    def enter(self, order: Order) -> None:
        """Take in a new order, or an old one in its new terms."""
        old = self.get(order.order_id)
        order.number = old.number if old else len(self) + 1
        self[order.order_id] = order
        name = (order.account, order.symbol, order.client_order_id)
        youngest = self._clients.get(name)
        if youngest is None or youngest.number <= order.number:
            self._clients[name] = order

    def find(self, account: str, symbol: str, key: str) -> Order | None:
        """An order by its id, else the youngest of its client's id."""
        order = self.get(key)
        if order is not None and (order.account, order.symbol) == (account, symbol):
            return order
        return self._clients.get((account, symbol, key))
