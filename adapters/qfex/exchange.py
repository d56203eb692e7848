"""The exchange behind the simulated QFEX: orders, stops, TWAPs, positions and fills, without sockets or JSON.

Rules:

1. An order is open exactly while it is in `book` (or `stops`); `history` keeps every order ever, with its last status.
2. Whatever changes something returns events in the order in which the venue reports them. An event holds a snapshot.
3. Orders of different accounts match by price, then age. Against an order of the same account the resting side is
   cancelled (CANCELLED_STP).
4. A MARKET order, a triggered stop and close_position take what the book leaves open at the symbol's mark price.
5. The stops on the closing side of a known position may not exceed it in sum. A stop that alone exceeds it is
   rejected; otherwise the oldest stops give way. A position that shrinks displaces what no longer fits; growth and
   unknown positions displace nothing.
6. A reject leaves everything as it was. Accounts neither see nor touch each other's orders.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

from attrs import Factory, define, evolve, field, frozen

__all__ = ["STOP_TYPES", "ZERO", "Event", "Exchange", "Fill", "Instrument", "Order", "Refused", "Twap", "Update"]

ZERO = Decimal(0)
STOP_TYPES = frozenset({"TAKE_PROFIT", "STOP_LOSS"})
TIMES_IN_FORCE = {"LIMIT": {"GTC", "IOC", "FOK"}, "MARKET": {"IOC"}, "ALO": {"GTC"}}
OPPOSITE = {"BUY": "SELL", "SELL": "BUY"}
CLOSING_DISTANCE = Decimal("0.001")  # close_position is priced "near mark": 199.8 at 200 in the documented example


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
    """A time-weighted order. It places no children by itself."""

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


def _positions() -> defaultdict[str, dict[str, Decimal]]:
    return defaultdict(dict)


@define(eq=False)
class Exchange:
    """All accounts' state. `positions` is account -> symbol -> signed quantity, without flat ones."""

    instruments: dict[str, Instrument]
    clock: Callable[[], float] = time.time
    book: dict[str, Order] = field(factory=dict, init=False)
    stops: dict[str, Order] = field(factory=dict, init=False)
    twaps: dict[str, Twap] = field(factory=dict, init=False)
    history: dict[str, Order] = field(factory=dict, init=False)
    trades: list[Fill] = field(factory=list, init=False)
    positions: defaultdict[str, dict[str, Decimal]] = field(factory=_positions, init=False)

    # -- commands

    def add(self, order: Order) -> list[Event]:
        """Enter an order or a stop."""
        self.history[order.order_id] = order
        fault = self._fault(order)
        if fault:
            return [self._report(order, fault)]
        if not order.is_stop:
            return self._enter(order)
        self.stops[order.order_id] = order
        return [self._report(order, "ACK"), *self._displace(order.account, order.symbol)]

    def cancel(self, account: str, symbol: str, id_type: str, value: str) -> list[Event]:
        """Cancel every open order (or TWAP) of the symbol whose attribute `id_type` is `value`."""
        items: list[Order | Twap] = [*self.book.values(), *self.twaps.values()]
        target = (account, symbol, value)
        found = [item for item in items if (item.account, item.symbol, getattr(item, id_type, None)) == target]
        if found:
            return [self._drop(item) for item in found]
        missing = Order(account=account, symbol=symbol, status="NO_SUCH_ORDER")
        if id_type.startswith("client_"):
            missing.client_order_id = value
        else:
            missing.order_id = value
        return [Update(missing)]

    def cancel_all(self, account: str, *, stops: bool, twaps: bool) -> list[Event]:
        """Cancel every open order of the account, on request its stops and TWAPs too."""
        items: list[Order | Twap] = [*self.book.values()]
        items += self.stops.values() if stops else ()
        items += self.twaps.values() if twaps else ()
        return [self._drop(item) for item in items if item.account == account]

    def cancel_stop(self, account: str, stop_id: str) -> list[Event]:
        """Cancel one stop. The refusal of an unknown id is assumed to look like cancel_order's."""
        stop = self.stops.get(stop_id)
        if stop is None or stop.account != account:
            return [Update(Order(account=account, symbol="", order_id=stop_id, status="NO_SUCH_ORDER"))]
        return [self._leave(stop)]

    def modify(self, wanted: Order, changes: dict[str, Any], *, rename: bool) -> list[Event]:
        """Change an order addressed by `wanted` (id, symbol, side, type, reduce_only), with a new id if `rename`."""
        order = self.book.get(wanted.order_id)
        if order is None or not _same(order, wanted):
            wanted.status = "CANNOT_MODIFY_NO_SUCH_ORDER"
            return [Update(wanted)]
        changed = evolve(order, remaining=changes.get("quantity", order.remaining), **changes)
        fault = self._modify_fault(order, wanted, changed)
        if fault:
            return [Update(evolve(order, status=fault))]
        order.status = "MODIFIED"
        changed.order_id = new_id() if rename else order.order_id
        del self.book[order.order_id]
        self.history[changed.order_id] = changed
        return self._enter(changed, "MODIFIED")

    def modify_stop(self, account: str, stop_id: str, symbol: str, price: Decimal, quantity: Decimal) -> list[Event]:
        """Change a stop's trigger and size. It counts as the youngest stop from then on."""
        stop = self.stops.get(stop_id)
        if stop is None or (stop.account, stop.symbol) != (account, symbol):
            status = "CANNOT_MODIFY_NO_SUCH_ORDER"
            return [Update(Order(account=account, symbol=symbol, order_id=stop_id, status=status))]
        fault = self._fault(evolve(stop, price=price, quantity=quantity))
        if fault:
            return [Update(evolve(stop, status=fault))]
        stop.price, stop.quantity, stop.remaining = price, quantity, quantity
        self.stops[stop_id] = self.stops.pop(stop_id)
        return [self._report(stop, "MODIFIED"), *self._displace(account, symbol)]

    def add_twap(self, twap: Twap) -> list[Event]:
        """Start a TWAP. How the venue words its refusals is undocumented: assumed to be InvalidParameter."""
        instrument = self.instruments.get(twap.symbol)
        if instrument is None:
            raise Refused("InvalidParameter", "unknown symbol")
        if twap.num_orders < 2 or twap.order_interval_secs < 30:
            raise Refused("InvalidParameter", "num_orders must be at least 2, order_interval_secs at least 30")
        if twap.total_quantity / twap.num_orders < instrument.min_quantity:
            raise Refused("InvalidParameter", "total_quantity / num_orders is below the minimum quantity")
        twap.created_at = self.clock()
        self.twaps[twap.twap_id] = twap
        return [evolve(twap)]

    def close_position(self, account: str, symbol: str, client_order_id: str) -> list[Event]:
        """Close a position by a reduce-only LIMIT IOC near the mark. Without one: assumed to be refused."""
        position = self.positions[account].get(symbol)
        instrument = self.instruments.get(symbol)
        if position is None or instrument is None:
            raise Refused("InvalidOrder", "no open position")
        side = _closing_side(position)
        slack = instrument.mark * CLOSING_DISTANCE
        price = instrument.mark + slack if side == "BUY" else instrument.mark - slack
        order = Order(account=account, symbol=symbol, side=side, time_in_force="IOC", quantity=abs(position))
        order.price, order.reduce_only = price // instrument.tick * instrument.tick, True
        order.client_order_id = client_order_id or new_id()
        self.history[order.order_id] = order
        return self._enter(order, backed=True)

    # -- what the venue does of its own accord

    def fill(self, order_id: str, quantity: Decimal | None, price: Decimal | None) -> list[Event]:
        """Let a resting order trade (None: all of it, at its own price) with a taker outside the simulation."""
        order = self.book[order_id]
        size = order.remaining if quantity is None else quantity
        if not ZERO < size <= order.remaining:
            raise ValueError(f"cannot fill {size} of {order.remaining}")
        return self._execute(order, size, order.price if price is None else price, OPPOSITE[order.side], new_id())

    def expel(self, order_id: str, status: str) -> list[Event]:
        """End an order or a stop unasked."""
        return [self._leave(self.book.get(order_id) or self.stops[order_id], status)]

    def trigger(self, stop_id: str) -> list[Event]:
        """Fire a stop: it trades at market under its own id (assumed)."""
        return self._match(self.stops.pop(stop_id), backed=True)

    def set_position(self, account: str, symbol: str, quantity: Decimal) -> list[Event]:
        """Decree a position (0: none) and displace the stops that no longer fit."""
        self.positions[account][symbol] = quantity
        events = self._displace(account, symbol)
        if not quantity:
            del self.positions[account][symbol]
        return events

    # -- queries

    def open_orders(self, account: str, symbol: str | None = None) -> list[Order]:
        """The account's orders and stops, in the order in which they were entered."""
        return [
            order
            for key, order in self.history.items()
            if (key in self.book or key in self.stops) and order.account == account and symbol in {None, order.symbol}
        ]

    def open_twaps(self, account: str, symbol: str | None = None) -> list[Twap]:
        return [twap for twap in self.twaps.values() if twap.account == account and symbol in {None, twap.symbol}]

    def find(self, account: str, symbol: str, key: str) -> Order | None:
        """An order of any status, by its id or its client's id (then the youngest)."""
        known = [order for order in self.history.values() if (order.account, order.symbol) == (account, symbol)]
        return next((order for order in reversed(known) if key in {order.order_id, order.client_order_id}), None)

    # -- matching

    def _enter(self, order: Order, status: str = "ACK", *, backed: bool = False) -> list[Event]:
        events: list[Event] = [self._report(order, status)]
        if order.time_in_force == "FOK" and self._liquidity(order) < order.remaining:
            return [*events, self._report(order, "CANCELLED")]
        events += self._match(order, backed=backed or order.type == "MARKET")
        if order.remaining and order.time_in_force == "GTC":
            self.book[order.order_id] = order
        elif order.remaining:
            traded = order.remaining < order.quantity
            events.append(self._report(order, "IOC_PARTIALLY_FILLED" if traded else "IOC_CANCELLED"))
        return events

    def _match(self, taker: Order, *, backed: bool) -> list[Event]:
        events: list[Event] = []
        for maker in self._opposite(taker):
            if not taker.remaining:
                break
            if maker.account == taker.account:
                events.append(self._leave(maker, "CANCELLED_STP"))
                continue
            size, trade_id = min(maker.remaining, taker.remaining), new_id()
            events += self._execute(maker, size, maker.price, taker.side, trade_id)
            events += self._execute(taker, size, maker.price, taker.side, trade_id)
        if taker.remaining and backed:
            mark = self.instruments[taker.symbol].mark
            events += self._execute(taker, taker.remaining, mark, taker.side, new_id())
        return events

    def _opposite(self, taker: Order) -> list[Order]:
        makers = [
            maker
            for maker in self.book.values()
            if (maker.symbol, maker.side) == (taker.symbol, OPPOSITE[taker.side]) and taker.reaches(maker.price)
        ]
        return sorted(makers, key=lambda maker: maker.price, reverse=taker.side == "SELL")

    def _liquidity(self, taker: Order) -> Decimal:
        makers = self._opposite(taker)
        return sum((maker.remaining for maker in makers if maker.account != taker.account), ZERO)

    def _execute(self, order: Order, size: Decimal, price: Decimal, aggressor: str, trade_id: str) -> list[Event]:
        order.remaining -= size
        if not order.remaining:
            self.book.pop(order.order_id, None)
        update = self._report(order, "FILLED", trade_id)
        fill = Fill(trade_id, update.order, size, price, aggressor, order.update_time)
        self.trades.append(fill)
        return [update, fill, *self._move(order.account, order.symbol, size if order.side == "BUY" else -size)]

    # -- positions and stops

    def _move(self, account: str, symbol: str, change: Decimal) -> list[Event]:
        before = self.positions[account].get(symbol, ZERO)
        after = before + change
        if abs(after) < abs(before):
            return self.set_position(account, symbol, after)
        self.positions[account][symbol] = after
        return []

    def _displace(self, account: str, symbol: str) -> list[Event]:
        position = self.positions[account].get(symbol)
        if position is None:
            return []
        stops = [stop for stop in self.stops.values() if (stop.account, stop.symbol) == (account, symbol)]
        rivals = [stop for stop in stops if _closes(stop, position)]
        excess = sum((stop.quantity for stop in rivals), -abs(position))
        events: list[Event] = []
        for stop in rivals:
            if excess <= 0:
                break
            excess -= stop.quantity
            events.append(self._leave(stop))
        return events

    # -- endings and statuses

    def _drop(self, item: Order | Twap) -> Event:
        if isinstance(item, Order):
            return self._leave(item)
        item.status = "CANCELLED"
        return evolve(self.twaps.pop(item.twap_id))

    def _leave(self, order: Order, status: str = "CANCELLED") -> Update:
        self.book.pop(order.order_id, None)
        self.stops.pop(order.order_id, None)
        update = self._report(order, status)
        if order.is_stop:  # documented: a cancelled stop shows zeros, a cancelled order its open quantity
            return Update(evolve(update.order, quantity=ZERO, remaining=ZERO))
        return update

    def _report(self, order: Order, status: str, trade_id: str | None = None) -> Update:
        order.status, order.update_time = status, self.clock()
        return Update(evolve(order), trade_id)

    # -- faults

    def _modify_fault(self, order: Order, wanted: Order, changed: Order) -> str | None:
        if order.remaining < order.quantity:
            return "CANNOT_MODIFY_PARTIAL_FILL"
        if wanted.type != order.type:
            return "INVALID_ORDER_TYPE"
        if wanted.reduce_only != order.reduce_only:
            return "REJECTED"
        if changed.type == "ALO" and self._opposite(changed):
            return "CANNOT_MODIFY_ALO_WOULD_CROSS"
        return self._fault(changed)

    def _fault(self, order: Order) -> str | None:
        """The status with which the engine rejects this order, if it does."""
        instrument = self.instruments.get(order.symbol)
        if instrument is None:
            return "BAD_SYMBOL"
        if order.is_stop:
            return _grid_fault(order, instrument) or self._size_fault(order)
        if order.type not in TIMES_IN_FORCE:
            return "INVALID_ORDER_TYPE"
        if order.time_in_force not in TIMES_IN_FORCE[order.type]:
            return "INVALID_TIME_IN_FORCE"
        fault = _grid_fault(order, instrument) or _range_fault(order, instrument)
        return fault or ("REJECTED" if order.type == "ALO" and self._opposite(order) else None)

    def _size_fault(self, stop: Order) -> str | None:
        position = self.positions[stop.account].get(stop.symbol)
        exceeds = position is not None and _closes(stop, position) and stop.quantity > abs(position)
        return "REJECTED" if exceeds else None


def _closing_side(position: Decimal) -> str:
    return "SELL" if position > 0 else "BUY"


def _closes(stop: Order, position: Decimal) -> bool:
    """Whether a stop counts against this position. Against a flat one all do."""
    return not position or stop.side == _closing_side(position)


def _same(order: Order, wanted: Order) -> bool:
    return (order.account, order.symbol, order.side) == (wanted.account, wanted.symbol, wanted.side)


def _grid_fault(order: Order, instrument: Instrument) -> str | None:
    """What is wrong with an order's numbers as numbers: signs, lots and ticks. MARKET prices are not read."""
    priced, tick = order.type != "MARKET", instrument.tick
    faults = {
        "QUANTITY_LESS_THAN_MIN_QUANTITY": order.quantity <= 0,
        "INVALID_TICK_SIZE_PRECISION_QUANTITY": order.quantity % instrument.lot,
        "INVALID_TAKEPROFIT_PRICE": order.take_profit < 0 or order.take_profit % tick,
        "INVALID_STOPLOSS_PRICE": order.stop_loss < 0 or order.stop_loss % tick,
        "PRICE_LESS_THAN_MIN_PRICE": priced and order.price <= 0,
        "INVALID_TICK_SIZE_PRECISION_PRICE": priced and order.price % tick,
    }
    return next((status for status, faulty in faults.items() if faulty), None)


def _range_fault(order: Order, instrument: Instrument) -> str | None:
    """What is out of the symbol's ranges. They do not apply to stops."""
    priced = order.type != "MARKET"
    faults = {
        "QUANTITY_LESS_THAN_MIN_QUANTITY": order.quantity < instrument.min_quantity,
        "QUANTITY_GREATER_THAN_MAX_QUANTITY": order.quantity > instrument.max_quantity,
        "REJECTED_LESS_THAN_MIN_PRICE_BAND": priced and order.price < instrument.min_price,
        "REJECTED_GREATER_THAN_MAX_PRICE_BAND": priced and order.price > instrument.max_price,
    }
    return next((status for status, faulty in faults.items() if faulty), None)
