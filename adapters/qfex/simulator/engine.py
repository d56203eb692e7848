"""Matching: resting orders and stops trade, move positions and give way. All accounts' state, without sockets or JSON.

Rules:

1. An order is open exactly while it is in `book` (or `stops`); `history` keeps every order ever, with its last status.
2. Whatever changes something returns events in the order in which the venue reports them. An event holds a snapshot.
3. Orders of different accounts match by price, then age. Against an order of the same account the resting side is
   cancelled (CANCELLED_STP).
4. A MARKET order, a triggered stop and close_position are backed: what the book leaves open trades at the symbol's mark.
5. The stops on the closing side of a known position may not exceed it in sum. A stop that alone exceeds it is
   rejected; otherwise the oldest stops give way. A position that shrinks displaces what no longer fits; growth and
   unknown positions displace nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal

from attrs import define, evolve, field

from adapters.qfex.simulator.book import Book, History
from adapters.qfex.simulator.model import OPPOSITE, ZERO, Event, Fill, Instrument, Order, Update, new_id

__all__ = ["Engine", "closing_side"]


def closing_side(position: Decimal) -> str:
    return "SELL" if position > 0 else "BUY"


def _counts(stop: Order, position: Decimal) -> bool:
    """Whether a stop counts against this position. Against a flat one all do."""
    return not position or stop.side == closing_side(position)


def _positions() -> defaultdict[str, dict[str, Decimal]]:
    return defaultdict(dict)


@define(eq=False)
class Engine:
    """All accounts' orders. `positions` is account -> symbol -> signed quantity, without flat ones. clock: unix time."""

    instruments: dict[str, Instrument]
    clock: Callable[[], float]
    book: Book = field(factory=Book, init=False)
    stops: dict[str, Order] = field(factory=dict, init=False)
    history: History = field(factory=History, init=False)
    trades: list[Fill] = field(factory=list, init=False)
    positions: defaultdict[str, dict[str, Decimal]] = field(factory=_positions, init=False)

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
        return [self.end(self.book.get(order_id) or self.stops[order_id], status)]

    def trigger(self, stop_id: str) -> list[Event]:
        """Fire a stop: it trades at market under its own id (assumed)."""
        return self._match(self.stops.pop(stop_id), backed=True)

    def set_position(self, account: str, symbol: str, quantity: Decimal) -> list[Event]:
        """Decree a position (0: none) and displace the stops that no longer fit."""
        self.positions[account][symbol] = quantity
        events = self.displace(account, symbol)
        if not quantity:
            del self.positions[account][symbol]
        return events

    # -- an order enters, and what may not rest ends

    def enter(self, order: Order, status: str = "ACK", *, backed: bool = False) -> list[Event]:
        events: list[Event] = [self.report(order, status)]
        if order.time_in_force == "FOK" and self._liquidity(order) < order.remaining:
            return [*events, self.report(order, "CANCELLED")]
        events += self._match(order, backed=backed or order.type == "MARKET")
        if order.remaining and order.time_in_force == "GTC":
            self.book[order.order_id] = order
        elif order.remaining:
            traded = order.remaining < order.quantity
            events.append(self.report(order, "IOC_PARTIALLY_FILLED" if traded else "IOC_CANCELLED"))
        return events

    def opposite(self, taker: Order) -> list[Order]:
        """The resting orders with which this one would trade, best first. Its own account's are among them."""
        makers = [maker for maker in self.book.against(taker) if taker.reaches(maker.price)]
        return sorted(makers, key=lambda maker: maker.price, reverse=taker.side == "SELL")

    def _liquidity(self, taker: Order) -> Decimal:
        makers = self.opposite(taker)
        return sum((maker.remaining for maker in makers if maker.account != taker.account), ZERO)

    def _match(self, taker: Order, *, backed: bool) -> list[Event]:
        events: list[Event] = []
        for maker in self.opposite(taker):
            if not taker.remaining:
                break
            events += self._meet(taker, maker)
        if taker.remaining and backed:
            mark = self.instruments[taker.symbol].mark
            events += self._execute(taker, taker.remaining, mark, taker.side, new_id())
        return events

    def _meet(self, taker: Order, maker: Order) -> list[Event]:
        if maker.account == taker.account:
            return [self.end(maker, "CANCELLED_STP")]
        size, trade_id = min(maker.remaining, taker.remaining), new_id()
        made = self._execute(maker, size, maker.price, taker.side, trade_id)
        return made + self._execute(taker, size, maker.price, taker.side, trade_id)

    def _execute(self, order: Order, size: Decimal, price: Decimal, aggressor: str, trade_id: str) -> list[Event]:
        order.remaining -= size
        if not order.remaining:
            self.book.pop(order.order_id, None)
        update = self.report(order, "FILLED", trade_id)
        fill = Fill(trade_id, update.order, size, price, aggressor, order.update_time)
        self.trades.append(fill)
        return [update, fill, *self._move(order.account, order.symbol, size if order.side == "BUY" else -size)]

    # -- positions and stops

    def outgrows(self, stop: Order) -> bool:
        """Whether a stop alone exceeds the position that it would close."""
        position = self.positions[stop.account].get(stop.symbol)
        return position is not None and _counts(stop, position) and stop.quantity > abs(position)

    def displace(self, account: str, symbol: str) -> list[Event]:
        """End the oldest stops until the others fit the position."""
        position = self.positions[account].get(symbol)
        if position is None:
            return []
        stops = [stop for stop in self.stops.values() if (stop.account, stop.symbol) == (account, symbol)]
        rivals = [stop for stop in stops if _counts(stop, position)]
        excess = sum((stop.quantity for stop in rivals), -abs(position))
        events: list[Event] = []
        for stop in rivals:
            if excess <= 0:
                break
            excess -= stop.quantity
            events.append(self.end(stop))
        return events

    def _move(self, account: str, symbol: str, change: Decimal) -> list[Event]:
        before = self.positions[account].get(symbol, ZERO)
        after = before + change
        if abs(after) < abs(before):
            return self.set_position(account, symbol, after)
        self.positions[account][symbol] = after
        return []

    # -- endings and statuses

    def end(self, order: Order, status: str = "CANCELLED") -> Update:
        """Take an order or a stop out."""
        self.book.pop(order.order_id, None)
        self.stops.pop(order.order_id, None)
        update = self.report(order, status)
        if order.is_stop:  # documented: a cancelled stop shows zeros, a cancelled order its open quantity
            return Update(evolve(update.order, quantity=ZERO, remaining=ZERO))
        return update

    def report(self, order: Order, status: str, trade_id: str | None = None) -> Update:
        """Give an order this status."""
        order.status, order.update_time = status, self.clock()
        return Update(evolve(order), trade_id)
