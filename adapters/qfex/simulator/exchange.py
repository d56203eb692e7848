"""What an account can ask of the exchange: enter, change, end and find its orders, stops and TWAPs.

Rules, besides those of the engine:

1. A reject leaves everything as it was.
2. Accounts neither see nor touch each other's orders.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from attrs import define, evolve, field

from adapters.qfex.simulator import rejects
from adapters.qfex.simulator.engine import Engine, closing_side
from adapters.qfex.simulator.model import Event, Order, Refused, Twap, Update, new_id

__all__ = ["Exchange"]

CLOSING_DISTANCE: Final = Decimal("0.001")  # close_position is "near mark": 199.8 at 200 in the documented example


@define(eq=False)
class Exchange:
    """The accounts' commands and queries, over one engine. `twaps` are the running ones, `twap_history` all there ever were."""

    engine: Engine
    twaps: dict[str, Twap] = field(factory=dict, init=False)
    twap_history: dict[str, Twap] = field(factory=dict, init=False)

    # -- entering

    def add(self, order: Order) -> list[Event]:
        """Enter an order or a stop."""
        engine = self.engine
        engine.history.enter(order)
        fault = self._fault(order)
        if fault:
            return [engine.report(order, fault)]
        if not order.is_stop:
            return engine.enter(order)
        engine.stops[order.order_id] = order
        return [engine.report(order, "ACK"), *engine.displace(order.account, order.symbol)]

    def add_twap(self, twap: Twap) -> Twap:
        """Start a TWAP. How the venue words its refusals is undocumented: assumed to be InvalidParameter."""
        instrument = self.engine.instruments.get(twap.symbol)
        if instrument is None:
            raise Refused("InvalidParameter", "unknown symbol")
        if twap.num_orders < 2 or twap.order_interval_secs < 30:
            raise Refused("InvalidParameter", "num_orders must be at least 2, order_interval_secs at least 30")
        if twap.total_quantity / twap.num_orders < instrument.min_quantity:
            raise Refused("InvalidParameter", "total_quantity / num_orders is below the minimum quantity")
        twap.created_at, twap.number = self.engine.clock(), len(self.engine.history)
        self.twaps[twap.twap_id] = self.twap_history[twap.twap_id] = twap
        return evolve(twap)

    def spawn_child(self, twap_id: str, quantity: Decimal, price: Decimal) -> list[Event]:
        """Enter a child of a running TWAP: an order like any other. That it has no client's id is assumed."""
        twap = self.twaps[twap_id]
        return self.add(
            Order(
                account=twap.account,
                symbol=twap.symbol,
                side=twap.side,
                quantity=quantity,
                price=price,
                reduce_only=twap.reduce_only,
            )
        )

    def close_position(self, account: str, symbol: str, client_order_id: str) -> list[Event]:
        """Close a position by a reduce-only LIMIT IOC near the mark. Without one: assumed to be refused."""
        position = self.engine.positions[account].get(symbol)
        instrument = self.engine.instruments.get(symbol)
        if position is None or instrument is None:
            raise Refused("InvalidOrder", "no open position")
        side = closing_side(position)
        slack = instrument.mark * CLOSING_DISTANCE
        price = instrument.mark + slack if side == "BUY" else instrument.mark - slack
        order = Order(account=account, symbol=symbol, side=side, time_in_force="IOC", quantity=abs(position))
        order.price, order.reduce_only = price // instrument.tick * instrument.tick, True
        order.client_order_id = client_order_id or new_id()
        self.engine.history.enter(order)
        return self.engine.enter(order, backed=True)

    # -- ending

    def cancel(self, account: str, symbol: str, id_type: str, value: str) -> list[Event]:
        """Cancel every open order (or TWAP) of the symbol whose attribute `id_type` is `value`."""
        target = (account, symbol, value)
        items = self._named(id_type, value)
        found = [item for item in items if (item.account, item.symbol, getattr(item, id_type)) == target]
        if found:
            return [self._end(item) for item in found]
        missing = Order(account=account, symbol=symbol, status="NO_SUCH_ORDER")
        if id_type.startswith("client_"):
            missing.client_order_id = value
        else:
            missing.order_id = value
        return [Update(missing)]

    def _named(self, id_type: str, value: str) -> list[Order | Twap]:
        """What may have this id: by the venue's own one at most, by a client's all of its kind."""
        if id_type.startswith("client_"):
            return [*(self.engine.book if id_type == "client_order_id" else self.twaps).values()]
        item = (self.engine.book if id_type == "order_id" else self.twaps).get(value)
        return [] if item is None else [item]

    def cancel_all(self, account: str, *, stops: bool, twaps: bool) -> list[Event]:
        """Cancel every open order of the account, on request its stops and TWAPs too."""
        items: list[Order | Twap] = [*self.engine.book.values()]
        items += self.engine.stops.values() if stops else ()
        items += self.twaps.values() if twaps else ()
        return [self._end(item) for item in items if item.account == account]

    def end_twap(self, twap_id: str) -> list[Event]:
        """End a running TWAP unasked."""
        return [self._end(self.twaps[twap_id])]

    def cancel_stop(self, account: str, stop_id: str) -> list[Event]:
        """Cancel one stop. The refusal of an unknown id is assumed to look like cancel_order's."""
        stop = self.engine.stops.get(stop_id)
        if stop is None or stop.account != account:
            return [Update(Order(account=account, symbol="", order_id=stop_id, status="NO_SUCH_ORDER"))]
        return [self.engine.end(stop)]

    def _end(self, item: Order | Twap) -> Event:
        if isinstance(item, Order):
            return self.engine.end(item)
        item.status = "CANCELLED"
        return evolve(self.twaps.pop(item.twap_id))

    # -- changing

    def modify(self, wanted: Order, changes: dict[str, Any], *, rename: bool) -> list[Event]:
        """Change an order addressed by `wanted` (id, symbol, side, type, reduce_only), with a new id if `rename`."""
        order = self.engine.book.get(wanted.order_id)
        if order is None or not _same(order, wanted):
            wanted.status = "CANNOT_MODIFY_NO_SUCH_ORDER"
            return [Update(wanted)]
        changed = evolve(order, remaining=changes.get("quantity", order.remaining), **changes)
        fault = self._modify_fault(order, wanted, changed)
        if fault:
            return [Update(evolve(order, status=fault))]
        order.status = "MODIFIED"
        changed.order_id = new_id() if rename else order.order_id
        del self.engine.book[order.order_id]
        self.engine.history.enter(changed)
        return self.engine.enter(changed, "MODIFIED")

    def modify_stop(self, account: str, stop_id: str, symbol: str, price: Decimal, quantity: Decimal) -> list[Event]:
        """Change a stop's trigger and size. It counts as the youngest stop from then on."""
        stops = self.engine.stops
        stop = stops.get(stop_id)
        if stop is None or (stop.account, stop.symbol) != (account, symbol):
            status = "CANNOT_MODIFY_NO_SUCH_ORDER"
            return [Update(Order(account=account, symbol=symbol, order_id=stop_id, status=status))]
        fault = self._fault(evolve(stop, price=price, quantity=quantity))
        if fault:
            return [Update(evolve(stop, status=fault))]
        stop.price, stop.quantity, stop.remaining = price, quantity, quantity
        stops[stop_id] = stops.pop(stop_id)
        return [self.engine.report(stop, "MODIFIED"), *self.engine.displace(account, symbol)]

    # -- finding

    def open_orders(self, account: str, symbol: str | None = None) -> list[Order]:
        """The account's orders and stops, in the order in which they were entered."""
        items = (*self.engine.book.values(), *self.engine.stops.values())
        found = [order for order in items if order.account == account and symbol in {None, order.symbol}]
        return sorted(found, key=lambda order: order.number)

    def open_twaps(self, account: str, symbol: str | None = None) -> list[Twap]:
        return [twap for twap in self.twaps.values() if twap.account == account and symbol in {None, twap.symbol}]

    def find(self, account: str, symbol: str, key: str) -> Order | None:
        """An order of any status, by its id or its client's id (then the youngest)."""
        return self.engine.history.find(account, symbol, key)

    # -- rejects

    def _fault(self, order: Order) -> str | None:
        """The status with which this order is rejected, if it is."""
        fault = rejects.fault(order, self.engine.instruments.get(order.symbol))
        crosses = order.type == "ALO" and self.engine.opposite(order)
        misfit = self.engine.outgrows(order) if order.is_stop else crosses
        return fault or ("REJECTED" if misfit else None)

    def _modify_fault(self, order: Order, wanted: Order, changed: Order) -> str | None:
        if order.remaining < order.quantity:
            return "CANNOT_MODIFY_PARTIAL_FILL"
        if wanted.type != order.type:
            return "INVALID_ORDER_TYPE"
        if wanted.reduce_only != order.reduce_only:
            return "REJECTED"
        if changed.type == "ALO" and self.engine.opposite(changed):
            return "CANNOT_MODIFY_ALO_WOULD_CROSS"
        return self._fault(changed)


def _same(order: Order, wanted: Order) -> bool:
    return (order.account, order.symbol, order.side) == (wanted.account, wanted.symbol, wanted.side)
