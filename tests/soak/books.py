"""What the simulated venues' own books say, in one vocabulary, and what was read off the wire. Reports are checked by it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextvars import ContextVar
from decimal import Decimal
from hashlib import sha256
from typing import ClassVar

from attrs import frozen

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router.testing import Fault

CANCELLED, FILLED, FIRED, OTHERWISE = "cancelled", "filled", "fired", "ended otherwise"
DECLINING = {Fault.THROTTLED, Fault.THROTTLED_NO_HINT, Fault.EXPIRED_TOKEN}
KEEP = 1000  # of what was received

_struck: ContextVar[Fault | None] = ContextVar("struck", default=None)


@frozen
class Row:
    """An order as its venue has it. end: empty while it is open."""

    id: str
    end: str
    traded: Decimal

    @property
    def is_open(self) -> bool:
        return not self.end


class Watched:
    """Counts what a simulator reads, by verb and name, apart from what it declined; forgets the messages themselves."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.written = Counter()
        self.ended_by_venue = set()
        self.last_read = 0.0

    async def meet(self, *arguments, **named):
        strike = await super().meet(*arguments, **named)
        _struck.set(strike.fault)
        return strike

    async def record(self, received):
        key = self.key(received)
        if key is not None and _struck.get() not in DECLINING:
            self.written[key] += 1
        self.last_read = asyncio.get_running_loop().time()
        await super().record(received)
        if len(self.received) > KEEP:
            del self.received[: KEEP // 2]


class Remembering(dict):
    """Running TWAPs, and in `ever` those that have ended too."""

    def __init__(self):
        super().__init__()
        self.ever = {}

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self.ever[key] = value


class QfexBooks(Watched, QfexSimulator):
    ENDS: ClassVar = {"FILLED": FILLED, "CANCELLED": CANCELLED, "CANCELLED_STP": CANCELLED}
    NAMES: ClassVar = {
        "add_order": ("submit", "client_order_id"),
        "add_twap": ("submit", "client_twap_id"),
        "cancel_order": ("cancel", "order_id"),
        "cancel_stop_order": ("cancel", "stop_order_id"),
        "modify_order": ("replace", "order_id"),
        "modify_stop_order": ("replace", "stop_order_id"),
    }

    def __init__(self, **named):
        super().__init__(**named)
        self.exchange.twaps = Remembering()
        self._tags = defaultdict(list)
        self._numbered = 0

    def key(self, received):
        verb, name = self.NAMES.get(received.command, (None, ""))
        return None if verb is None else (verb, received.message["params"][name])

    def row(self, order_id):
        order = self.history.get(order_id)
        if order is not None:
            is_open = order_id in self.book or order_id in self.stops
            end = "" if is_open else self.ENDS.get(order.status, OTHERWISE)
            return Row(order_id, end, order.quantity - order.remaining)
        twap = self.twaps.ever.get(order_id)
        return None if twap is None else Row(order_id, "" if order_id in self.twaps else CANCELLED, Decimal(0))

    def placed(self, tag):
        """The orders that submits with this tag have made: what was rejected never was one."""
        self._take_note()
        rows = [self.row(order_id) for order_id in self._tags[tag]]
        twaps = [self.row(twap.twap_id) for twap in self.twaps.ever.values() if twap.client_twap_id == tag]
        return [row for row in rows if row.end != OTHERWISE] + twaps

    def _take_note(self):
        """The history is in the order of entering: only what is new is looked at."""
        if len(self.history) > self._numbered:
            fresh = list(self.history.values())[self._numbered :]
            self._numbered = len(self.history)
            for order in fresh:
                self._tags[order.client_order_id].append(order.order_id)

    def open_ids(self, symbol=None):
        rows = [*self.book.items(), *self.stops.items(), *self.twaps.items()]
        return {order_id for order_id, order in rows if symbol in {None, order.symbol}}

    def price(self, order_id):
        return self.history[order_id].price


class B2Books(Watched, B2TraderSimulator):
    ENDS: ClassVar = {"Completed": FILLED, "Cancelled": CANCELLED}

    def __init__(self, **named):
        super().__init__(**named)
        self._tags = defaultdict(list)
        self._noted = {"orders": 0, "stops": 0}

    def key(self, received):
        verb, _, route = received.command.partition(" ")
        if route not in {"orders", "stop-orders"}:
            return None
        if verb == "DELETE":
            return "cancel", received.message["path"].rpartition("/")[2]
        return "submit", received.message["body"]["order"].get("comment", "")

    def row(self, order_id):
        order = self.orders.get(order_id)
        if order is not None:
            return Row(order_id, "" if order.live else self.ENDS.get(order.status, OTHERWISE), order.filled_amount)
        stop = self.stops.get(order_id)
        if stop is None:
            return None
        return Row(order_id, "" if stop.live else FIRED if stop.child else CANCELLED, Decimal(0))

    def placed(self, tag):
        for name, book in (("orders", self.orders), ("stops", self.stops)):
            for entry in list(book.values())[self._noted[name] :]:
                if getattr(entry, "source", "Manual") == "Manual":
                    self._tags[entry.ticket.comment].append(entry.order_id)
            self._noted[name] = len(book)
        return [row for row in map(self.row, self._tags[tag]) if row.end != OTHERWISE or row.id in self.ended_by_venue]

    def open_ids(self, symbol=None):
        rows = [*self.orders.items(), *self.stops.items()]
        return {order_id for order_id, order in rows if order.live and symbol in {None, order.market.market_id}}


class DmexBooks(Watched, DmexSimulator):
    """It has no client ids: its encoder knows which hash an order, or a replacement of one, was given."""

    SHOWN = 150

    def __init__(self, **named):
        super().__init__(**named)
        self._tags = defaultdict(list)
        self._nonce = 0

    def _rows(self, user):
        """The list: of closed orders, the last ones."""
        everything = self._book.orders
        closed = [name for name, order in everything.items() if order.closed]
        hidden = set(closed[: -self.SHOWN])
        self._book.orders = {name: order for name, order in everything.items() if name not in hidden}
        try:
            return super()._rows(user)
        finally:
            self._book.orders = everything

    def encode(self, order):
        """An order encoder. The venue takes any hash that is signed."""
        self._nonce += 1
        digest = "0x" + sha256(f"{order.client_order_id} {self._nonce}".encode()).hexdigest()
        replaces = order.options.get("replace_hash")
        self._tags[f"replaces {replaces}" if replaces else order.client_order_id].append(digest)
        amount, price = (str(int(number.scaleb(8))) for number in (order.quantity, order.price))
        data = {"hash": digest, "user_address": self.address, "base_token": "0x" + "ab" * 20, "asset": order.symbol}
        data |= {"amount": amount, "price": price, "leverage": "100000000", "side": order.side == "buy"}
        return digest, data | {"nonce": self._nonce} | ({"replace_hash": replaces} if replaces else {})

    def key(self, received):
        if received.command not in self.TRADING:
            return None
        data = received.message["data"]
        return ("submit", data["hash"]) if "hash" in data else ("cancel", data["order_hash"])

    def row(self, order_id):
        order = self.orders.get(order_id.lower())
        if order is None:
            return None
        end = "" if not order.closed else CANCELLED if order.remaining else FILLED
        return Row(order_id, end, Decimal(order.amount - order.remaining).scaleb(-8))

    def placed(self, tag):
        return [row for row in map(self.row, self._tags[tag]) if row is not None]

    def hashes(self, tag):
        return self._tags[tag]

    def open_ids(self, symbol=None):
        return {each.hash for each in self.orders.values() if not each.closed and symbol in {None, each.asset}}
