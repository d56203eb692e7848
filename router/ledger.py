"""What this Router knows of one venue's orders: the order state machine, and the only file that changes an order's state.

Rules:

1. Status moves PENDING_NEW -> NEW -> PARTIALLY_FILLED -> a terminal status, never back, and never out of a terminal one.
   A fill after CANCELED raises the filled quantity and leaves the order terminal.
2. cum_quantity is None while not known, and never shrinks. It comes from what the venue calls filled, or from trades
   counted since the order was new. Frames of a cancellation tell no fills.
3. A trade counts once per trade id and side.
4. A snapshot changes only orders that nothing newer than its request has touched; an order missing from it is not ended.
5. When a modify changes the order id, the old id goes on naming the order, and frames under it are of its past.
6. Client ids need not be unique: a frame that names an order only by them is of ours when its terms fit (its price too, where the
   client id is the caller's), it is live, has no id yet and was not known before ours was sent. An order that has an id gets another one only by a modify.
7. What is left tells what is filled only together with the total in the same message: a modify may have changed it.
8. Terminal orders are kept for an hour, and the last 10,000 of them; longer while an order of the same client id has no id yet.

Pure: no clock, no I/O. Every change returns the Event that tells it, or None when nothing changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, Final

from attrs import define
from msgspec import Struct
from msgspec.structs import replace

from router.model import IdKind, Order, OrderType, is_minted
from router.report import Event, ExecType, OrderState, OrdStatus, Origin
from router.venue import Execution, Reading

__all__ = ["Entry", "Ledger", "natural_kind"]

KEEP_CLOSED = 10_000
KEEP_SECONDS = 3600.0
CLOCKS_DIFFER = 1.0  # seconds between the venue's clock and ours that are overlooked

_RANK = {
    None: -1,
    OrdStatus.PENDING_NEW: 0,
    OrdStatus.NEW: 1,
    OrdStatus.PARTIALLY_FILLED: 2,
    OrdStatus.FILLED: 3,
    OrdStatus.CANCELED: 3,
    OrdStatus.REJECTED: 3,
    OrdStatus.EXPIRED: 3,
}
_KINDS = {
    OrderType.STOP: IdKind.STOP_ORDER,
    OrderType.STOP_LIMIT: IdKind.STOP_ORDER,
    OrderType.TAKE_PROFIT: IdKind.STOP_ORDER,
    OrderType.TWAP: IdKind.TWAP,
}


def natural_kind(order_type: OrderType, able: frozenset[IdKind]) -> IdKind:
    """What the venue's id of such an order names; able: the kinds that the venue tells apart."""
    kind = _KINDS.get(order_type, IdKind.ORDER)
    return kind if kind in able else IdKind.ORDER


TERMINAL: Final = frozenset(status for status in OrdStatus if status.is_terminal)
_ZERO: Final = Decimal(0)


@define(eq=False)
class Entry:
    """One order. touched: the number of the last change, for rule 4."""

    state: OrderState
    touched: int = 0
    counted: Decimal = Decimal(0)
    exact: bool = False
    """Whether cum_quantity is what the venue itself said had been filled when the order had ended."""
    from_start: bool = False
    """Whether all its trades have been seen, so that counting them gives cum_quantity."""
    trades: set[tuple[str, object]] | frozenset[tuple[str, object]] = frozenset()
    ids: tuple[str, ...] = ()
    """Every id that the venue has called it by."""
    former: frozenset[str] = frozenset()
    """Those of them that a modify has replaced."""
    born: int = 0
    """Counts the entries of a ledger in the order in which they were made."""
    asked: bool = False
    """Whether this Router has asked to cancel it."""
    order: Order | None = None
    """What was submitted, if it was submitted here."""
    since: float = 0.0
    """The wall time at which it was."""
    minted: bool = False
    """Whether its client id was made by this library, so that no other order has it."""
    op: str = ""
    """The journal's name of the submit; "" where it is in none."""
    strategy: str = ""
    """Which strategy placed it, where several use one Router."""
    cancels: int = 0
    """How often somebody here has asked to cancel it by the venue's id."""
    replaces: int = 0
    """How often somebody here has asked to change it."""

    @property
    def is_live(self) -> bool:
        return self.state.status not in TERMINAL

    def traded(self, trade: tuple[str, object]) -> None:
        """Remember a trade of it."""
        if not isinstance(self.trades, set):
            self.trades = set(self.trades)
        self.trades.add(trade)


class Change(Struct, frozen=True, gc=False):
    """A change of an order, to be told right away: it shows the order as it is now. seq: counts them."""

    entry: Entry
    execution: Execution
    seq: int
    trade: bool
    asked: bool

    def event(self, now: float) -> Event:
        """As it is told. now: wall time."""
        state, execution, trade = self.entry.state, self.execution, self.trade
        ours = self.asked or self.entry.asked or execution.exec_type in _OURS
        return Event(
            venue=state.venue,
            order_id=state.order_id,
            client_order_id=state.client_order_id,
            exec_type=execution.exec_type,
            status=state.status,
            last_quantity=execution.last_quantity if trade else None,
            last_price=execution.last_price if trade else None,
            cum_quantity=state.cum_quantity,
            trade_id=execution.trade_id if trade else None,
            seq=self.seq,
            at=execution.at or datetime.fromtimestamp(now, UTC),
            symbol=state.symbol,
            origin=execution.origin or (Origin.CLIENT if ours and not trade else Origin.VENUE),
            text=execution.text,
        )


_OURS: Final = frozenset({ExecType.NEW, ExecType.REPLACED, ExecType.REJECTED})


class Ledger:
    """The orders of one venue, by id and by client id."""

    def __init__(self, venue: str, *, tells_trades: bool = True, kinds: frozenset[IdKind] = frozenset(IdKind)) -> None:
        self.venue = venue
        self._kinds = kinds
        self._tells_trades = tells_trades
        self.changes = 0
        self._by_id: dict[str, Entry] = {}
        self.find: Callable[[str], Entry | None] = self._by_id.get
        """The order that the venue calls, or once called, by this id."""
        self._by_client: dict[str, list[Entry]] = {}
        self._mine: dict[Entry, None] = {}
        """Those that were placed here, oldest first."""
        self._closed: deque[tuple[float, Entry]] = deque()
        self._events = 0
        self._blank = {kind: OrderState(venue=venue, order_id=None, kind=kind) for kind in IdKind}
        """What is known of an order that nothing has been heard of."""
        self._born = count(1)

    def __len__(self) -> int:
        return len({id(entry) for entry in self._entries()})

    def _entries(self) -> Iterator[Entry]:
        yield from self._by_id.values()
        for entries in self._by_client.values():
            yield from entries

    # -- asking

    def named(self, client_order_id: str) -> list[Entry]:
        """The orders with this client id, oldest first."""
        return list(self._by_client.get(client_order_id, ()))

    def own(self) -> list[Entry]:
        """Every order that was placed here and is still remembered."""
        return list(self._mine)

    def live(self) -> list[OrderState]:
        """Every order that is not known to have ended."""
        seen = {id(entry): entry for entry in self._entries()}
        return [entry.state for entry in seen.values() if entry.is_live]

    # -- telling

    def intend(self, order: Order, now: float = 0.0, *, minted: bool = False) -> Entry:
        """An order of ours is about to be sent, at this wall time. minted: its client id was made by this library in another process."""
        state = OrderState(
            venue=self.venue,
            order_id=None,
            client_order_id=order.client_order_id,
            kind=natural_kind(order.type, self._kinds),
            symbol=order.symbol,
            side=order.side,
            type=order.type,
            quantity=order.quantity,
            price=order.price,
            stop_price=order.stop_price,
            post_only=order.post_only,
            reduce_only=order.reduce_only,
            status=OrdStatus.PENDING_NEW,
            own=True,
        )
        entry = Entry(state, from_start=self._tells_trades, order=order, since=now, born=next(self._born))
        made = minted or is_minted(order.client_order_id)
        entry.minted = made and order.client_order_id not in self._by_client
        self._by_client.setdefault(order.client_order_id, []).append(entry)
        self._mine[entry] = None
        return entry

    def restore(self, entry: Entry) -> None:
        """An order that was known when the last run ended. What has been traded since is not."""
        entry.born = next(self._born)
        if entry.state.own:
            self._mine[entry] = None
        for order_id in sorted(entry.former):
            self._name(entry, order_id)
        if entry.state.order_id is not None:
            self._name(entry, entry.state.order_id)
        if entry.state.client_order_id is not None:
            self._by_client.setdefault(entry.state.client_order_id, []).append(entry)

    def forget(self, entry: Entry) -> None:
        """The order was not placed: nothing was sent, or the venue refused it."""
        self._unlink(entry)

    def bind(self, entry: Entry, order_id: str, kind: IdKind, shown: Execution | None = None) -> bool:
        """The venue's answer to our submit calls the order by this id, and shows it. False: it is another order (rule 6)."""
        stranger = self._by_id.get(order_id)
        if stranger is entry:
            return True
        taken = stranger is not None and (stranger.state.own or stranger.born < entry.born)
        if taken or entry.state.order_id is not None or not (shown is None or _fits(entry.state, shown)):
            return False
        if stranger is not None and not _fits(entry.state, stranger.state):
            return False
        self._rename(entry, order_id, kind, stranger)
        return True

    def rebind(self, entry: Entry, order_id: str) -> bool:
        """The venue's answer to our modify calls the order by this id from now on. False: it is another order."""
        stranger = self._by_id.get(order_id)
        if stranger is entry:
            return True
        client_id = entry.state.client_order_id
        if stranger is not None and (
            stranger.state.own or client_id is None or client_id != stranger.state.client_order_id
        ):
            return False
        if entry.state.order_id is not None:
            entry.former |= {entry.state.order_id}
        self._rename(entry, order_id, entry.state.kind, stranger)
        return True

    def _rename(self, entry: Entry, order_id: str, kind: IdKind, stranger: Entry | None) -> None:
        if stranger is not None:  # its frames came before the answer that named it
            self._adopt(entry, stranger)
            order_id = stranger.state.order_id or order_id
        entry.state = replace(entry.state, order_id=order_id, kind=kind)
        self._name(entry, order_id)

    def gap(self) -> None:
        """Executions may have been missed: from here on, counted trades no longer give the filled quantity."""
        for entry in self._entries():
            entry.from_start = False

    def _adopt(self, entry: Entry, stranger: Entry) -> None:
        """What came under the new name belongs to this order."""
        entry.trades = {*entry.trades, *stranger.trades}
        entry.counted += stranger.counted
        old, new = entry.state, stranger.state
        filled = max((value for value in (old.cum_quantity, new.cum_quantity) if value is not None), default=None)
        entry.state = replace(old, status=_later(old.status, new.status), cum_quantity=filled)
        self._closed = deque((at, entry if each is stranger else each) for at, each in self._closed)
        self._unlink(stranger)
        entry.former |= stranger.former
        for order_id in stranger.ids:
            self._name(entry, order_id)

    def apply(self, execution: Execution, now: float, *, asked: bool = False, listed: bool = False) -> Event | None:
        """Something happened to an order, known or not. asked: a cancel of ours is answered by the same frame. listed: it is
        a row of a list that is newer than all else known of the order, so its terms are the present ones.
        """
        change = self.take(execution, now, asked=asked, listed=listed)
        return None if change is None else change.event(now)

    def take(self, execution: Execution, now: float, *, asked: bool = False, listed: bool = False) -> Change | None:
        """The same, without making an Event that nobody may look at."""
        entry = self._by_id.get(execution.order_id) if execution.replaces is None else self._renamed(execution)
        entry = entry or self._newcomer(execution)
        before = entry.state
        trade = execution.trade_id is not None and self._trade(entry, execution)
        after = entry.state = self._advance(entry, execution, listed=listed)
        if execution.cum_quantity is not None or execution.leaves_quantity is not None:
            entry.exact = entry.exact or _closes_the_count(execution, after)
        if not trade and (after is before or (before.order_id is None and _says_nothing(after))):
            return None
        self.changes += 1
        entry.touched = self.changes
        if before.status is not after.status and after.status in TERMINAL:
            self._close(entry, now)
        self._events += 1
        return Change(entry, execution, self._events, trade, asked)

    def is_newer(self, reading: Reading, row: Execution) -> bool:
        """Whether the ledger knows something of this order that happened after the snapshot was asked for (rule 4)."""
        entry = self._by_id.get(row.order_id)
        return entry is not None and entry.touched > reading.changes

    def end(self, entry: Entry, status: OrdStatus, now: float) -> None:
        """The venue's answer ended an order of ours that it never showed."""
        if entry.is_live:
            entry.state = replace(entry.state, status=status)
            self._close(entry, now)

    # -- the machine

    def _renamed(self, execution: Execution) -> Entry:
        """The order whose id a modify has changed."""
        replaces = str(execution.replaces)
        entry, former = self._by_id.get(execution.order_id), self._by_id.get(replaces)
        if former is not None and former is not entry and not former.is_live:
            former = None  # what has ended is not modified
        if entry is not None and former is not None and former is not entry:  # frames under the new id came first
            self._adopt(former, entry)
            former.state = replace(former.state, order_id=entry.state.order_id)
        found = former or entry or self._newcomer(execution)
        self._name(found, execution.order_id)
        if replaces not in self._by_id:
            self._name(found, replaces)
        if self._by_id.get(replaces) is found and replaces != execution.order_id:
            found.former |= {replaces}
        return found

    def _newcomer(self, execution: Execution) -> Entry:
        """An order under an id that was not known so far."""
        found = self._unbound(execution) if execution.client_order_id in self._by_client else None
        if found is None:
            found = Entry(self._blank[execution.kind], born=next(self._born))
        self._name(found, execution.order_id)
        return found

    def _name(self, entry: Entry, order_id: str) -> None:
        self._by_id[order_id] = entry
        if order_id not in entry.ids:
            entry.ids += (order_id,)

    def _unbound(self, execution: Execution) -> Entry | None:
        """Our oldest order with this client id that has no id of the venue's yet. One that has none was not modified."""
        found = [
            entry
            for entry in self._by_client.get(execution.client_order_id or "", ())
            if entry.is_live
            and entry.state.order_id is None
            and _fits(entry.state, execution)
            and (entry.minted or _has_price(entry.state, execution))
            and not _is_older(execution, entry)
        ]
        return next(iter(found), None)

    def _trade(self, entry: Entry, execution: Execution) -> bool:
        if execution.trade_id is None or execution.last_quantity is None:
            return False
        trade = (execution.trade_id, execution.side)
        if trade in entry.trades:
            return False
        entry.traded(trade)
        entry.counted += execution.last_quantity
        return True

    def _advance(self, entry: Entry, execution: Execution, *, listed: bool) -> OrderState:
        state = entry.state
        client_id = state.client_order_id
        if client_id is None and execution.client_order_id:
            client_id = execution.client_order_id
            self._by_client.setdefault(client_id, []).append(entry)
        cum = self._filled(entry, execution)
        status = execution.status
        if cum and (status is OrdStatus.NEW or status is None):
            status = OrdStatus.PARTIALLY_FILLED
        if state is self._blank[execution.kind]:
            return _first_seen(state, execution, client_id, status, cum)
        status, current = _later(state.status, status), listed or execution.exec_type is ExecType.REPLACED
        late = execution.order_id in entry.former and state.order_id is not None
        order_id = state.order_id if late else execution.order_id
        now = (order_id, client_id, status, cum, *_terms(state, execution, current=current))
        return state if now == _facts(state) else _moved(state, now)

    def _filled(self, entry: Entry, execution: Execution) -> Decimal | None:
        left, total, most = execution.leaves_quantity, execution.quantity, entry.state.cum_quantity
        if entry.state.status is None and execution.exec_type is ExecType.NEW and (left is None or left == total):
            entry.from_start = self._tells_trades
        if execution.cum_quantity is not None and (most is None or execution.cum_quantity > most):
            most = execution.cum_quantity
        if entry.from_start and (most is None or entry.counted > most):
            most = entry.counted
        if left is not None and total is not None and (most is None or total - left > most):
            most = max(total - left, _ZERO)
        return most

    # -- book-keeping

    def _close(self, entry: Entry, now: float) -> None:
        self._closed.append((now, entry))
        if len(self._closed) > KEEP_CLOSED or self._closed[0][0] < now - KEEP_SECONDS:
            self._let_go(now)

    def _let_go(self, now: float) -> None:
        needed: list[tuple[float, Entry]] = []
        while self._closed and (len(self._closed) > KEEP_CLOSED or self._closed[0][0] < now - KEEP_SECONDS):
            at, oldest = self._closed.popleft()
            if self._is_needed(oldest):
                needed.append((at, oldest))
            else:
                self._unlink(oldest)
        self._closed.extendleft(reversed(needed))

    def _is_needed(self, entry: Entry) -> bool:
        """Whether an order of ours of the same client id has no id yet: forgetting this one, we would take its id for that one's."""
        namesakes = self._by_client.get(entry.state.client_order_id or "", ())
        return len(namesakes) > 1 and any(
            other.is_live and other.state.own and other.state.order_id is None for other in namesakes
        )

    def _unlink(self, entry: Entry) -> None:
        self._mine.pop(entry, None)
        for order_id in entry.ids:
            if self._by_id.get(order_id) is entry:
                del self._by_id[order_id]
        client_id = entry.state.client_order_id
        if client_id is not None and client_id in self._by_client:
            rest = [other for other in self._by_client[client_id] if other is not entry]
            if rest:
                self._by_client[client_id] = rest
            else:
                del self._by_client[client_id]


def _is_older(execution: Execution, entry: Entry) -> bool:
    """Whether what is shown happened before ours was sent: a client id that the caller chose may have been used before."""
    if entry.order is None or execution.at is None or entry.minted:
        return False
    return execution.at.timestamp() < entry.since - CLOCKS_DIFFER


Facts = tuple[Any, ...]


def _facts(state: OrderState) -> Facts:
    """What an execution may change of an order, in the order of _moved()."""
    return (
        state.order_id,
        state.client_order_id,
        state.status,
        state.cum_quantity,
        state.symbol,
        state.side,
        state.type,
        state.quantity,
        state.price,
        state.stop_price,
        state.post_only,
        state.reduce_only,
    )


def _terms(state: OrderState, shown: Execution, *, current: bool) -> Facts:
    """The order's terms with what is shown of them. current: those are the present ones; else only what was not known is taken."""
    first, second = (shown, state) if current else (state, shown)
    return (
        second.symbol if first.symbol is None else first.symbol,
        second.side if first.side is None else first.side,
        second.type if first.type is None else first.type,
        second.quantity if first.quantity is None else first.quantity,
        second.price if first.price is None else first.price,
        second.stop_price if first.stop_price is None else first.stop_price,
        second.post_only if first.post_only is None else first.post_only,
        second.reduce_only if first.reduce_only is None else first.reduce_only,
    )


def _first_seen(
    blank: OrderState, shown: Execution, client_id: str | None, status: OrdStatus | None, cum: Decimal | None
) -> OrderState:
    return OrderState(
        venue=blank.venue,
        order_id=shown.order_id,
        client_order_id=client_id,
        kind=shown.kind,
        symbol=shown.symbol,
        side=shown.side,
        type=shown.type,
        quantity=shown.quantity,
        price=shown.price,
        stop_price=shown.stop_price,
        post_only=shown.post_only,
        reduce_only=shown.reduce_only,
        status=status,
        cum_quantity=cum,
    )


def _says_nothing(state: OrderState) -> bool:
    """Whether no more than its id is known."""
    return state.status is None and not state.own and _facts(state)[1:] == _NOTHING


_NOTHING: Final = (None,) * 11


def _moved(state: OrderState, facts: Facts) -> OrderState:
    order_id, client_id, status, cum, symbol, side, kind, quantity, price, stop_price, post_only, reduce_only = facts
    return OrderState(
        venue=state.venue,
        order_id=order_id,
        client_order_id=client_id,
        kind=state.kind,
        symbol=symbol,
        side=side,
        type=kind,
        quantity=quantity,
        price=price,
        stop_price=stop_price,
        post_only=post_only,
        reduce_only=reduce_only,
        status=status,
        cum_quantity=cum,
        own=state.own,
    )


def _fits(state: OrderState, shown: Execution | OrderState) -> bool:
    """Whether what is shown can be this order, by what both know: client ids need not be unique."""
    return (state.kind is IdKind.TWAP) == (shown.kind is IdKind.TWAP) and all(
        getattr(shown, name) in {None, getattr(state, name)} for name in ("symbol", "side", "quantity", "stop_price")
    )


def _has_price(state: OrderState, shown: Execution) -> bool:
    """Whether the prices agree, where both are known."""
    return state.price is None or shown.price is None or state.price == shown.price


def _closes_the_count(execution: Execution, state: OrderState) -> bool:
    """Whether it, which tells what is filled or left, tells what the order had filled when it ended."""
    return execution.status in TERMINAL and state.cum_quantity is not None


def _later(current: OrdStatus | None, told: OrdStatus | None) -> OrdStatus | None:
    """The later of two statuses; a terminal one stays."""
    return told if _RANK[told] > _RANK[current] else current
