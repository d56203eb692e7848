"""What a killed process does until then: it places, cancels in every way, replaces and sweeps, and writes down each call and report."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from hashlib import sha256
from itertools import count

from router import Cancel, IdKind, Order, Outcome, ReadFailed
from router.model import mint_client_order_id
from router.report import CancelReport, Replace

SYMBOLS = {
    "qfex": ("AAPL-USD", "GOLD-USD"),
    "b2trader": ("spot.btc_usdt", "spot.eth_usdt"),
    "dmex": ("btcusd", "ethusd"),
}
DEADLINES = (0.3, 1.0, 2.0)
PATIENCE = 20.0  # for what is in doubt
MOST_LEFT = 12  # orders that rest at a venue when a process ends: more are cancelled


def hash_of(client_order_id):
    """The hash that our encoder gives an order: the same for the same order."""
    return "0x" + sha256(client_order_id.encode()).hexdigest()


def encode(wallet):
    """An order encoder of DMEX. The venue takes any hash that is signed."""
    nonces = count(1)

    def encoded(order):
        amount, price = (str(int(number.scaleb(8))) for number in (order.quantity, order.price))
        data = {"user_address": wallet, "base_token": "0x" + "ab" * 20, "asset": order.symbol, "nonce": next(nonces)}
        digest = hash_of(order.client_order_id)
        return digest, data | {"hash": digest, "amount": amount, "price": price, "leverage": "100000000", "side": True}

    return encoded


def name_of(venue, client_order_id):
    """What a venue's book knows a submit by."""
    return hash_of(client_order_id) if venue == "dmex" else client_order_id


def told(report):
    """A report as a line of the history has it."""
    request = report.request
    facts = {
        "venue": request.venue,
        "outcome": report.outcome,
        "origin": report.origin,
        "reason": report.reason and report.reason.name,
        "text": report.text[:300],
        "journaled": getattr(report, "journaled", None),
    }
    if isinstance(report, CancelReport):
        took = [order.order_id for order in report.orders if order.order_id]
        return facts | {"verb": "cancel", "id": request.id, "kind": request.kind, "took": took}
    verb, client_id = ("replace" if isinstance(request, Replace) else "submit"), report.client_order_id
    name = name_of(request.venue, client_id) if client_id else None
    facts |= {"verb": verb, "order_id": report.order_id, "client_order_id": client_id, "name": name}
    return facts | ({"id": request.target.id, "price": str(request.price)} if verb == "replace" else {})


class Strategies:
    """All that one process does. fuse: what kills it, at points that it passes."""

    def __init__(self, router, scribe, chance, process, fuse):
        self._router, self._scribe, self._chance, self._fuse = router, scribe, chance, fuse
        self._process = process
        self._numbers, self._prices = count(1), count(process * 37)
        self._settling = set()
        self._left = {venue: [] for venue in router.health()}

    # -- what is written down

    async def _call(self, verb, calling, **facts):
        """Await a report, which is settled in a task of its own if it is UNKNOWN."""
        number = next(self._numbers)
        self._scribe.write("call", number=number, verb=verb, **facts)
        report = await calling
        self._fuse("before_told")
        self._scribe.write("told", number=number, **told(report))
        self._fuse("after_told")
        if report.outcome is Outcome.UNKNOWN:
            task = asyncio.create_task(self._settle(number, report))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        return report

    async def _settle(self, number, report):
        settled = await report.settled(PATIENCE)
        self._scribe.write("told", number=number, settled=True, **told(settled))

    async def know(self):
        """Which orders the Router holds for its own, and which the venues list."""
        own, listed = {}, {}
        for venue, desk in self._router._desks.items():
            if desk.adapter.spec.lists:
                rows = await self._list(venue)
                own[venue] = [row.order_id for row in rows if row.own]
                listed[venue] = [row.order_id for row in rows]
                self._left[venue] = [row for row in rows if row.own]
            else:
                states = [entry.state for entry in desk.ledger.own() if entry.is_live and entry.state.order_id]
                own[venue], self._left[venue] = [state.order_id for state in states], states
        self._scribe.write("known", own=own, listed=listed)

    async def _list(self, venue):
        """Answers may be lost: ask until one comes."""
        while True:
            try:
                return await self._router.open_orders(venue)
            except ReadFailed:
                await asyncio.sleep(0.05)

    # -- commands

    def _order(self, venue):
        step = next(self._prices) % 10_000
        given = self._chance.random() < 0.5
        name = f"p{self._process}-{self._chance.getrandbits(48):012x}" if given else mint_client_order_id()
        price = Decimal(50) + Decimal(step) / 10 if venue == "qfex" else Decimal(100) + Decimal(step) / 100
        extra = {"options": {"comment": name}} if venue == "b2trader" else {}
        return Order(
            venue, self._chance.choice(SYMBOLS[venue]), "buy", "limit", "1", price, client_order_id=name, **extra
        )

    def _deadline(self):
        return self._chance.choice(DEADLINES)

    def submit(self, order):
        calling = self._router.submit(order, deadline=self._deadline())
        name = name_of(order.venue, order.client_order_id)
        return self._call("submit", calling, venue=order.venue, name=name, client_order_id=order.client_order_id)

    def cancel(self, target, *, venue, name=None, order_id=None, by="id"):
        calling = self._router.cancel(target, deadline=self._deadline())
        return self._call("cancel", calling, venue=venue, name=name, order_id=order_id, by=by)

    # -- plays

    def start(self, tasks):
        """Strategies at each venue, that many in all but at least one each."""
        each = max(1, tasks // len(self._left))
        return [asyncio.create_task(self._trade(venue)) for venue in self._left for _ in range(each)]

    async def _trade(self, venue):
        """One strategy, until the process is killed."""
        plays = (self._place_and_cancel, self._cancel_at_once, self._change, self._leave, self._clear)
        weights = (40, 25, 20 if venue == "qfex" else 0, 12, 8)
        while True:
            await self._chance.choices(plays, weights)[0](venue)
            await asyncio.sleep(self._chance.uniform(0.0, 0.03))

    async def _place_and_cancel(self, venue):
        order = self._order(venue)
        placed = await self.submit(order)
        if placed.outcome is not Outcome.CONFIRMED:
            return
        await asyncio.sleep(self._chance.uniform(0.0, 0.05))
        address = Cancel(venue, placed.order_id, placed.kind, order.symbol)
        by_client = Cancel(venue, order.client_order_id, IdKind.CLIENT_ORDER, order.symbol)
        ways = [(order, "id"), (placed, "id"), (address, "id")] + [(by_client, "client")] * (venue == "qfex")
        target, by = self._chance.choice(ways)
        names = {"name": name_of(venue, order.client_order_id), "order_id": placed.order_id}
        times = self._chance.choice((1, 1, 1, 2))
        await asyncio.gather(*(self.cancel(target, venue=venue, **names, by=by) for _ in range(times)))

    async def _cancel_at_once(self, venue):
        """Before the submit is answered."""
        order = self._order(venue)
        placing = asyncio.create_task(self.submit(order))
        await asyncio.sleep(self._chance.choice((0.0, 0.001, 0.004)))
        name = name_of(venue, order.client_order_id)
        await asyncio.gather(placing, self.cancel(order, venue=venue, name=name, by="order"))

    async def _change(self, venue):
        """Replace an order, then cancel it."""
        order = self._order(venue)
        placed = await self.submit(order)
        if placed.outcome is not Outcome.CONFIRMED:
            return
        price = order.price + 2000
        calling = self._router.replace(placed, price=price, deadline=self._deadline())
        names = {"name": order.client_order_id, "order_id": placed.order_id}
        await self._call("replace", calling, venue=venue, price=str(price), **names)
        await self.cancel(placed, venue=venue, **names)

    async def _leave(self, venue):
        """An order is left to rest, for a later process to find."""
        placed = await self.submit(self._order(venue))
        if placed.outcome is Outcome.CONFIRMED:
            self._left[venue].append(placed)

    async def _clear(self, venue):
        """Cancel what rests, orders of former processes among it."""
        left = self._left[venue]
        self._chance.shuffle(left)
        taken, left[:] = left[MOST_LEFT // 2 :], left[: MOST_LEFT // 2]
        await asyncio.gather(*(self.cancel(each, venue=venue, order_id=each.order_id) for each in taken))

    async def sweep(self):
        """Now and then, cancel_all of our own."""
        if self._chance.random() < 0.25:
            await asyncio.sleep(self._chance.uniform(0.0, 0.5))
            await self._cancel_all(self._chance.choice(list(self._left)), 3.0)

    async def _cancel_all(self, venue, deadline):
        number = next(self._numbers)
        self._scribe.write("call", number=number, verb="cancel_all", venue=venue)
        report = await self._router.cancel_all(venue, scope="own", deadline=deadline)
        doubts = [doubt.text[:200] for part in report.venues.values() for doubt in part.doubts]
        proven = Outcome.CONFIRMED if report.no_open_orders else Outcome.UNKNOWN
        facts = {"venue": venue, "verb": "cancel_all", "outcome": proven, "text": "; ".join(doubts)}
        self._scribe.write("told", number=number, **facts)

    async def finish(self):
        """The last process: everything of ours is cancelled."""
        await asyncio.gather(*self._settling)
        await asyncio.gather(*(self._cancel_all(venue, 2.0) for venue in self._left))
