"""What strategies do to a Router: submit, cancel in every way, replace, and cancel all. Each call leaves a Record."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from itertools import count

from attrs import define, field

from router import Cancel, CancelReport, IdKind, Order, Outcome, ReadFailed
from soak.checker import Record
from soak.venues import QUIET

SYMBOLS = {"q": ("AAPL-USD", "GOLD-USD"), "x": ("spot.btc_usdt", "spot.eth_usdt"), "d": ("btcusd", "ethusd")}
DEADLINES = (0.1, 0.4, 1.0, 2.0)
SETTLE = QUIET + 5.0
PRICES = count(1)


@define(eq=False)
class Soaking:
    """One run. lasting: whether strategies begin anything more."""

    router: object
    venues: object
    records: list = field(factory=list)
    counts: Counter = field(factory=Counter)
    problems: list = field(factory=list)
    lasting: bool = True
    _settling: set = field(factory=set)
    doubtful: list = field(factory=list)
    listening: list = field(factory=list)

    def now(self):
        return asyncio.get_running_loop().time()

    # -- one call, recorded

    async def call(self, record, calling):
        """Await a call's report; what is UNKNOWN is settled in a task of its own."""
        self.records.append(record)
        report = await calling
        record.ended = self.now()
        record.at_once = report.outcome
        self.counts[record.venue, record.verb, report.outcome] += 1
        self._note(record, report)
        if report.outcome is Outcome.UNKNOWN:
            task = asyncio.create_task(self._settle(record, report))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        return report

    def _note(self, record, report):
        record.outcome, record.reason, record.text = report.outcome, report.reason, report.text
        if isinstance(report, CancelReport):
            if report.outcome is Outcome.CONFIRMED:
                self._taken(record, report)
        else:
            record.order_id = report.order_id

    def _taken(self, record, report):
        """At the moment of the report."""
        book = self.venues.books[record.venue]
        rows = {order.order_id: book.row(order.order_id) for order in report.orders if order.order_id}
        record.took = {order_id: row.traded for order_id, row in rows.items() if row is not None}
        still = [row for row in map(book.row, record.names) if row is not None and row.is_open]
        self.problems += [f"open when it was confirmed: {row}: {record}" for row in still]

    async def _settle(self, record, report):
        settling = Record(venue=record.venue, verb="settled", begun=self.now(), deadline=SETTLE)
        self.records.append(settling)
        settled = await report.settled(SETTLE)
        settling.ended, settling.outcome = self.now(), settled.outcome
        self._note(record, settled)
        if settled.outcome is Outcome.UNKNOWN:
            self.doubtful.append((record, settled))

    async def settle_all(self):
        """Until nothing more is under way, and again for what is UNKNOWN still."""
        await asyncio.gather(*self._settling)
        doubtful, self.doubtful = self.doubtful, []
        await asyncio.gather(*(self._settle(record, report) for record, report in doubtful))

    # -- commands

    def submit(self, chance, order):
        tag = order.client_order_id
        record = Record(venue=order.venue, verb="submit", begun=self.now(), deadline=chance.choice(DEADLINES), tag=tag)
        record.since, record.what = record.begun, order.type
        return record, self.call(record, self.router.submit(order, deadline=record.deadline))

    def cancel(self, chance, target, names=(), since=0.0, venue=None):
        venue = venue or target.venue
        named = frozenset(name for name in names if name)
        record = Record(venue=venue, verb="cancel", begun=self.now(), deadline=chance.choice(DEADLINES), names=named)
        record.since = since or record.begun
        return record, self.call(record, self.router.cancel(target, deadline=record.deadline))

    def order(self, chance, venue, tag=None):
        """A buy that rests, mostly. Every price is another."""
        kind = chance.choices(("limit", "stop", "twap", "market"), (80, 12, 4, 4))[0]
        step = next(PRICES) % 10_000
        symbol = chance.choice(SYMBOLS[venue])
        tag = tag or f"{chance.getrandbits(64):016x}"
        extra = {"options": {"comment": tag}} if venue == "x" else {}
        if kind == "twap" and venue == "q":
            extra = {"options": {"num_orders": 2, "order_interval_secs": 30}}
            return Order(venue, symbol, "buy", "twap", "1", client_order_id=tag, **extra)
        if kind == "stop" and venue != "d":
            price = {"q": Decimal(6000), "x": Decimal(200_000)}[venue] + step
            return Order(venue, symbol, "buy", "stop", "1", stop_price=price, client_order_id=tag, **extra)
        if kind == "market" and venue != "d":
            return Order(venue, symbol, "buy", "market", "1", client_order_id=tag, **extra)
        price = Decimal(100) + Decimal(step) / 100 if venue != "q" else Decimal(50) + Decimal(step) / 10
        return Order(venue, symbol, "buy", "limit", "1", price, client_order_id=tag, **extra)

    # -- strategies

    async def trade(self, venue, chance):
        """One strategy at one venue, until the run is over."""
        plays = (self.place_and_cancel, self.cancel_at_once, self.many, self.namesakes, self.change, self.ask)
        weights = (40, 25, 6, 8 if venue == "q" else 0, 15, 3)
        while self.lasting:
            await chance.choices(plays, weights)[0](venue, chance)
            await asyncio.sleep(chance.uniform(0.0, 0.1))

    async def place_and_cancel(self, venue, chance):
        order = self.order(chance, venue)
        record, placing = self.submit(chance, order)
        placed = await placing
        if placed.outcome is not Outcome.CONFIRMED or placed.order_id is None or chance.random() < 0.1:
            return
        await asyncio.sleep(chance.uniform(0.0, 0.2))
        targets = [order, placed, Cancel(venue, placed.order_id, placed.kind, placed.symbol)]
        twap = placed.kind is IdKind.TWAP
        if venue == "q":
            by_client = IdKind.CLIENT_TWAP if twap else IdKind.CLIENT_ORDER
            targets.append(Cancel(venue, order.client_order_id, by_client, order.symbol))
        target = chance.choice(targets)
        for _ in range(chance.choice((1, 1, 1, 2))):
            await self.cancel(chance, target, [placed.order_id], record.since, venue)[1]

    async def cancel_at_once(self, venue, chance):
        """Before the submit is answered."""
        order = self.order(chance, venue)
        placed, placing = self.submit(chance, order)
        placing = asyncio.create_task(placing)
        await asyncio.sleep(chance.choice((0.0, 0.001, 0.01)))
        record, cancelling = self.cancel(chance, order, since=placed.since)
        cancelling = asyncio.create_task(cancelling)
        await asyncio.wait([placing, cancelling])
        record.names = frozenset({placed.order_id} - {None})
        await cancelling

    async def many(self, venue, chance):
        pairs = [(self.submit(chance, order), order) for order in (self.order(chance, venue) for _ in range(3))]
        reports = await asyncio.gather(*(calling for (_, calling), _ in pairs))
        wanted = [
            (record, order) for ((record, _), order), report in zip(pairs, reports, strict=True) if report.order_id
        ]
        deadline = chance.choice(DEADLINES)
        batch = self.router.cancel_many([order for _, order in wanted], deadline=deadline)
        records = [
            Record(
                venue=venue,
                verb="cancel",
                begun=self.now(),
                deadline=deadline,
                names=frozenset({record.order_id}),
                since=record.since,
            )
            for record, _ in wanted
        ]
        reports = await batch
        await asyncio.gather(*(self.call(*pair) for pair in zip(records, map(_given, reports), strict=True)))

    async def namesakes(self, venue, chance):
        """Two orders with one client id, and a cancel of both."""
        tag, symbol = f"{chance.getrandbits(64):016x}", SYMBOLS[venue][0]
        orders = [
            Order(venue, symbol, "buy", "limit", "1", 40 + next(PRICES) % 1000, client_order_id=tag) for _ in range(2)
        ]
        pairs = [self.submit(chance, order) for order in orders]
        await asyncio.gather(*(calling for _, calling in pairs))
        record, _ = pairs[0]
        names = [each.order_id for each, _ in pairs]
        await self.cancel(chance, Cancel(venue, tag, IdKind.CLIENT_ORDER, symbol), names, record.since)[1]

    async def change(self, venue, chance):
        """Replace an order, then cancel what there is."""
        order = self.order(chance, venue)
        placed, placing = self.submit(chance, order)
        report = await placing
        if report.outcome is not Outcome.CONFIRMED or report.order_id is None or order.type != "limit":
            return
        price = order.price + Decimal("0.05") * chance.choice((2, 4)) + 1000
        tag = {"q": None, "x": order.client_order_id, "d": f"replaces {report.order_id}"}[venue]
        verb = "modify" if venue == "q" else "renew"
        names = frozenset({report.order_id})
        record = Record(venue=venue, verb=verb, begun=self.now(), deadline=chance.choice(DEADLINES), names=names)
        record.tag, record.price, record.since = tag, price, placed.since
        calling = self.router.replace(report, price=price, allow_gap=venue == "x", deadline=record.deadline)
        changed = await self.call(record, calling)
        if changed.order_id:
            venue_id = Cancel(venue, changed.order_id, changed.kind, changed.symbol)
            await self.cancel(chance, venue_id, [changed.order_id], placed.since)[1]

    async def ask(self, venue, chance):
        if venue != "x":
            try:
                await self.router.open_orders(venue)
            except ReadFailed:
                self.counts[venue, "open_orders", "failed"] += 1
        self.router.health()

    async def sweep(self, venue, chance):
        """Now and then, cancel_all; with time enough to settle what is in doubt where that can be."""
        deadline = SETTLE if venue == "q" else 2.0
        while self.lasting:
            await asyncio.sleep(chance.uniform(6.0, 16.0))
            symbol = chance.choice((None, None, SYMBOLS[venue][0]))
            record = Record(venue=venue, verb="cancel_all", begun=self.now(), deadline=deadline)
            self.records.append(record)
            report = await self.router.cancel_all(venue, symbol, deadline=deadline)
            record.ended = self.now()
            proven = Outcome.CONFIRMED if report.no_open_orders else Outcome.UNKNOWN
            self.counts[venue, "cancel_all", proven] += 1
            record.outcome = record.at_once = proven

    async def listen(self, stream):
        """Events are numbered without gaps, per venue, and no trade is told twice."""
        last, trades = {}, set()
        async for event in stream:
            self.counts[event.venue, "event", event.exec_type] += 1
            if event.venue in last and event.seq != last[event.venue] + 1:
                self.problems.append(f"event {event.seq} after {last[event.venue]} of {event.venue}")
            last[event.venue] = event.seq
            trade = (event.venue, event.order_id, event.trade_id)
            if event.trade_id and trade in trades:
                self.problems.append(f"a trade twice: {event}")
            trades.add(trade)


async def _given(report):
    return report
