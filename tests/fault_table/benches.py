"""What is done at a cell's venue, and what the simulator's own book and records say of it."""

from __future__ import annotations

import asyncio
import hashlib
from decimal import Decimal

from attrs import define, field

from router import Cancel, IdKind, Order, Router
from router.testing import Fault, FaultProxy, Simulator

from .cells import Cell, Command

HASTY = 0.2  # the deadline of what waits for it
PATIENT = 3.0
QUIET = 0.15
FIRST, TARGET, FRESH, OTHER = "first", "target", "fresh", "other"
SIZES = {FIRST: Decimal("0.1"), TARGET: Decimal("0.2"), FRESH: Decimal("0.3"), OTHER: Decimal("0.4")}
"""By which a book tells them apart."""
TWAP = {"num_orders": 5, "order_interval_secs": 30}
OPEN, CANCELLED, FILLED = "open", "cancelled", "filled"


@define(eq=False)
class Bench:
    """targets: the ids of the orders that a cancel is about, as the book has them."""

    cell: Cell
    sim: Simulator
    proxy: FaultProxy
    adapter: object
    router: Router
    targets: tuple = ()
    twaps: dict = field(factory=dict)
    unreadable: int = 0
    """How often the command was cut on its way, so that the simulator could not read it."""
    mended: asyncio.Event = field(factory=asyncio.Event)
    """Whether the venue can be reached."""
    took: float = 0.0
    """Seconds until the first report."""
    _act: object = None

    # -- what is done

    async def prepare(self):
        """Place what is to be cancelled, by the Router, and take its ids from the book."""
        command = self.cell.command
        assert (await self.place(FIRST)).ok  # what our side says of itself when it connects has been passed on now
        if command.is_submit:
            order = self.order(command, TARGET)
            self._act = lambda deadline: self.router.submit(order, deadline=deadline)
            return
        placing = {Command.CANCEL_STOP: Command.SUBMIT_STOP, Command.CANCEL_TWAP: Command.SUBMIT_TWAP}
        count = 2 if command is Command.CANCEL_CLIENT else 1
        orders = [self.order(placing.get(command, Command.SUBMIT), TARGET) for _ in range(count)]
        placed = [await self.router.submit(order, deadline=PATIENT) for order in orders]
        assert all(report.ok for report in placed), placed
        self.targets = self.sized(TARGET)
        assert len(self.targets) == count
        if command is Command.CANCEL_FILLED:
            self.fill(*self.targets)
        address = placed[0]
        if command is Command.CANCEL_CLIENT:
            address = Cancel("venue", TARGET, IdKind.CLIENT_ORDER, orders[0].symbol)
        self._act = lambda deadline: self.router.cancel(address, deadline=deadline)

    def start(self, deadline):
        """The command itself, under way."""
        clock = asyncio.get_running_loop().time
        begun = clock()

        def told(_):
            self.took = clock() - begun

        command = asyncio.ensure_future(self._act(deadline))
        command.add_done_callback(told)
        return command

    def end(self):
        """What has been placed and is open ends as it would with time, and nobody hears of it."""
        for order_id in self.sized(TARGET):
            if self.book()[order_id][1] == OPEN:
                self.fill(order_id)

    def place(self, what):
        """Another order of a size of its own."""
        like = self.cell.command if self.cell.command.is_submit else Command.SUBMIT
        return self.router.submit(self.order(like, what), deadline=PATIENT)

    def another(self, deadline):
        """A further command of the same kind: what it takes of the pace, the next one must wait for."""
        if self.cell.command.is_submit:
            return self.router.submit(self.order(self.cell.command, OTHER), deadline=deadline)
        return self.router.cancel(self.unknown(), deadline=deadline)

    # -- what is seen

    @property
    def health(self):
        return self.router.health()["venue"]

    def wire(self):
        """How often the command was written: read by the simulator, or known to have been lost before."""
        unread = sum(struck.fault is Fault.HANG_UP_UNREAD for struck in self.sim.faults.struck)
        read = [item for item in self.sim.commands(self.cell.word) if self.is_target(item.message)]
        return len(read) + unread + self.unreadable

    def states(self):
        """What has become of the targets."""
        book = self.book()
        return [book[order_id][1] for order_id in self.targets]

    def sized(self, what):
        return tuple(order_id for order_id, (size, _) in self.book().items() if size == SIZES[what])

    def book(self):
        """id -> (size, state) of every order, stop and TWAP that there ever was."""
        raise NotImplementedError

    def fill(self, order_id):
        """The order trades in full, and nobody hears of it."""
        raise NotImplementedError

    def is_target(self, message):
        raise NotImplementedError

    def order(self, command, what):
        raise NotImplementedError

    def unknown(self):
        """A cancel of nothing."""
        raise NotImplementedError


class QfexBench(Bench):
    def book(self):
        self.twaps |= self.sim.twaps
        is_open = {*self.sim.book, *self.sim.stops}
        orders = {
            order_id: (order.quantity, OPEN if order_id in is_open else order.status.lower())
            for order_id, order in self.sim.history.items()
        }
        twaps = {
            twap_id: (twap.total_quantity, OPEN if twap_id in self.sim.twaps else CANCELLED)
            for twap_id, twap in self.twaps.items()
        }
        return orders | twaps

    def fill(self, order_id):
        if order_id in self.sim.twaps:
            del self.sim.twaps[order_id]
        else:
            self.sim.engine.fill(order_id, None, None)

    def is_target(self, message):
        params = message["params"]
        if self.cell.command.is_submit:
            return TARGET in {params.get("client_order_id"), params.get("client_twap_id")}
        named = params.get("order_id") or params.get("stop_order_id")
        return named == TARGET if self.cell.command is Command.CANCEL_CLIENT else named in self.targets

    def order(self, command, what):
        size = SIZES[what]
        match command:
            case Command.SUBMIT_STOP:
                terms = {"side": "sell", "type": "stop", "stop_price": "120"}
            case Command.SUBMIT_TWAP | Command.SUBMIT_TWAP_ENDED:
                terms = {"side": "buy", "type": "twap", "options": TWAP}
            case _:
                terms = {"side": "buy", "type": "limit", "price": "150"}
        return Order("venue", "AAPL-USD", **terms, quantity=size, client_order_id=what)

    def unknown(self):
        if self.cell.command is Command.CANCEL_STOP:
            return Cancel("venue", "nothing", IdKind.STOP_ORDER)
        return Cancel("venue", "nothing", IdKind.ORDER, "AAPL-USD")


class B2TraderBench(Bench):
    def book(self):
        orders = {order.order_id: (order.requested_amount, _b2(order)) for order in self.sim.orders.values()}
        stops = {
            stop.order_id: (stop.requested_amount, OPEN if stop.live else CANCELLED) for stop in self.sim.stops.values()
        }
        return orders | stops

    def fill(self, order_id):
        self.sim.fill(order_id)

    def is_target(self, message):
        if self.cell.command.is_submit:
            return Decimal(message["body"]["order"]["requestedAmount"]) == SIZES[TARGET]
        return message["path"].rpartition("/")[2] in self.targets

    def order(self, command, what):
        terms = (
            {"type": "stop", "stop_price": "128000"}
            if command is Command.SUBMIT_STOP
            else {"type": "limit", "price": "100"}
        )
        return Order("venue", "spot.btc_usdt", "buy", **terms, quantity=SIZES[what], client_order_id=what)

    def unknown(self):
        kind = IdKind.STOP_ORDER if self.cell.command is Command.CANCEL_STOP else IdKind.ORDER
        return Cancel("venue", "nothing", kind)


class DmexBench(Bench):
    def book(self):
        return {
            order_hash: (
                Decimal(order.amount).scaleb(-8),
                OPEN if not order.closed else CANCELLED if order.remaining else FILLED,
            )
            for order_hash, order in self.sim.orders.items()
        }

    def fill(self, order_id):
        self.sim.fill(order_id)

    def is_target(self, message):
        return message["data"].get("hash", message["data"].get("order_hash")) == hash_of(TARGET)

    def order(self, command, what):
        return Order("venue", "btcusd", "buy", "limit", SIZES[what], "60000", client_order_id=what)

    def unknown(self):
        return Cancel("venue", hash_of("nothing"))


def _b2(order):
    return OPEN if order.live else FILLED if order.status == "Completed" else order.status.lower()


def hash_of(name):
    """The hash of a DMEX order: any will do for a simulated venue, which cannot know the recipe either."""
    return "0x" + hashlib.sha256(name.encode()).hexdigest()
