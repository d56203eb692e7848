"""Three venues behind proxies that break, what they and their network do on a seed, and a Router connected to them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from random import Random
from urllib.parse import urlsplit

from attrs import define, evolve

from adapters.b2trader import B2Trader
from adapters.dmex import Dmex
from adapters.qfex import Qfex
from router import Router, SessionState
from router.testing import Fault, FaultProxy
from soak.books import B2Books, DmexBooks, QfexBooks

QUIET = 3.0  # longer than any command can be under way: see HALF_OPEN
HTTP_TIMEOUT = 5.0
HALF_OPEN = (0.1, 1.5)
READS = {"q": {"get_user_orders", "get_order"}, "d": {"GET orders"}}
READ_FAULTS = (Fault.MUTE, Fault.GARBLE, Fault.TRUNCATE, Fault.DELAY, Fault.SERVER_ERROR, Fault.HANG_UP_ANSWERED)
PARTS = [None, None, Decimal("0.25"), Decimal("0.5")]


@define(eq=False)
class Venues:
    """books: the simulators, by the names that the Router has for their venues."""

    books: dict
    proxies: list
    chance: Random

    async def doings(self):
        """Orders trade, in part or whole, are expelled, and stops fire."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.0, 0.1))
            name = self.chance.choice(sorted(self.books))
            await getattr(self, f"_do_{name}")(self.books[name])

    async def breakages(self, pause=(0.5, 3.0)):
        """Connections are reset, at once or in the middle of something, and go half-open and heal."""
        while True:
            await asyncio.sleep(self.chance.uniform(*pause))
            proxy = self.chance.choice(self.proxies)
            match self.chance.choice(("reset", "fuse", "fuse", "half_open", "half_open")):
                case "reset":
                    proxy.reset()
                case "fuse":
                    proxy.reset_after(**{self.chance.choice(("client_bytes", "server_bytes")): range(1, 2000)})
                case "half_open":
                    proxy.half_open()
                    await asyncio.sleep(self.chance.uniform(*HALF_OPEN))
                    proxy.heal()

    def break_all(self, probability, among=()):
        """Let commands draw faults, and reads fewer."""
        for name, book in self.books.items():
            fit = [fault for fault in among if not book.supports(fault)]
            book.faults.random(probability, fit)
            if not among and name in READS:
                fit = [fault for fault in READ_FAULTS if not book.supports(fault, *READS[name])]
                book.faults.random(probability / 4, fit, only=READS[name])

    def mend(self):
        """End all faults."""
        for book in self.books.values():
            book.faults.clear()
        for proxy in self.proxies:
            proxy.heal()
            proxy.reset_after(client_bytes=1 << 40, server_bytes=1 << 40)

    def _any(self, orders):
        """One of those that are open, and how much of it is to trade."""
        order_id = self.chance.choice(list(orders)) if orders else None
        return order_id, self.chance.choice(PARTS), self.chance.random() < 0.2

    async def _do_q(self, book):
        order_id, part, expels = self._any(book.book)
        if order_id and expels:
            book.ended_by_venue.add(order_id)
            await book.expel(order_id)
        elif order_id:
            await book.fill(order_id, part if part and part < book.book[order_id].remaining else None)
        if book.stops and self.chance.random() < 0.1:
            await book.trigger(self.chance.choice(list(book.stops)))

    async def _do_x(self, book):
        live = [order_id for order_id, order in list(book.orders.items())[-100:] if order.live]
        order_id, part, expels = self._any(live)
        if order_id and expels:
            book.ended_by_venue.add(order_id)
            book.orders[order_id].close("Expired", book.desk.clock())
        elif order_id:
            book.fill(order_id, part if part and part < book.orders[order_id].remaining_amount else None)
        waiting = [stop_id for stop_id, stop in list(book.stops.items())[-100:] if stop.live]
        if waiting and self.chance.random() < 0.1:
            book.activate(self.chance.choice(waiting))

    async def _do_d(self, book):
        order_id, part, expels = self._any(book.open_ids())
        if order_id and expels:
            book.ended_by_venue.add(order_id)
            book.close(order_id)
        elif order_id:
            size = int(part.scaleb(8)) if part else None
            book.fill(order_id, size if size and size < book.orders[order_id].remaining else None)

    async def until_ready(self, router, timeout=30.0):
        """Wait until every venue's session is."""
        async with asyncio.timeout(timeout):
            while any(  # noqa: ASYNC110 - health() is all there is to look at
                health.state is not SessionState.READY for health in router.health().values()
            ):
                await asyncio.sleep(0.05)


def with_times(adapter):
    """The same adapter with a shorter quiet period and HTTP time-out, so that doubts end while we look."""
    adapter._codec = evolve(adapter._codec, spec=evolve(adapter.spec, quiet_period=QUIET, http_timeout=HTTP_TIMEOUT))
    return adapter


@asynccontextmanager
async def connected(seed, *, deadline=1.0, names="qxd"):
    """The venues and a Router: q is QFEX, x B2TRADER, d DMEX."""
    async with AsyncExitStack() as stack:
        made = {"q": QfexBooks, "x": B2Books, "d": DmexBooks}
        books = {name: await stack.enter_async_context(made[name](seed=seed)) for name in names}
        proxies = []

        async def through(url):
            parts = urlsplit(url)
            proxies.append(await stack.enter_async_context(FaultProxy(parts.hostname, parts.port, seed)))
            return proxies[-1].url_of(url)

        adapters = {}
        for name, book in books.items():
            keys = book.credentials
            keys |= {key: await through(keys[key]) for key in ("url", "base_url", "rest_url") if key in keys}
            kind = {"q": Qfex, "x": B2Trader, "d": Dmex}[name]
            extra = {"order_encoder": book.encode} if name == "d" else {}
            adapters[name] = with_times(kind(**keys, **extra, deadline=deadline))
        venues = Venues(books, proxies, Random(seed))  # noqa: S311 - what a market does is no secret
        async with Router(adapters) as router:
            yield venues, router
