"""What the venues of the proof have in common: what they read and what becomes of orders is noted, and some adds are delayed.

An add that is delayed has been read, and enters the book some time later, whoever is gone by then. A venue calls `notice`
at three stages of every trading command: "read", "executed" (its answer not yet on the wire), and "answered".
"""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from random import Random

from crash.history import Arrival, Row

DELAYS = (0.3, 0.9)
FOREIGN = 3  # orders of the account that none of our processes has placed


class Recorded:
    """Mixed into a simulator. late: the probability with which an add is delayed."""

    NAME = ""

    def __init__(self, *, seed, late=0.0, **named):
        super().__init__(seed=seed, **named)
        self.late = late
        self.process = 0
        self.arrivals = []
        self.rows = {}
        self.mistakes = []
        self.notice = lambda venue, stage, verb: None
        self._open = {}
        self._of = {}
        self._chance = Random(f"{seed} {self.NAME}")  # noqa: S311 - what a venue does is no secret
        self._under_way = set()

    # -- what is read

    def arrived(self, verb, name, *, connection=0, by="id"):
        """Note a command. Returns the seconds by which it is delayed."""
        process = self._of.get(connection, self.process)
        self.arrivals.append(
            Arrival(at=time.monotonic(), venue=self.NAME, process=process, verb=verb, name=name, by=by)
        )
        self.notice(self.NAME, "read", verb)
        if verb == "submit" and self._chance.random() < self.late:
            return self._chance.uniform(*DELAYS)
        return 0.0

    def later(self, seconds, work):
        """Do it after so long, however its sender fares."""

        async def wait():
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception as error:
                self.mistakes.append(f"{self.NAME}: {error!r}")
                raise

        task = asyncio.create_task(wait())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def stop(self):
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await super().stop()

    # -- what becomes of orders

    def changed(self):
        """Note what has entered the book, what has ended, and what was changed."""
        now = time.monotonic()
        for order_id, name, price in self.fresh():
            row = Row(venue=self.NAME, id=order_id, name=name, born=now, prices=[price])
            self.rows[order_id] = self._open[order_id] = row
        for order_id, row in list(self._open.items()):
            end, price = self.state(order_id)
            if price not in row.prices:
                row.prices.append(price)
            if end:
                row.end, row.ended = end, now
                del self._open[order_id]

    def executed(self, verb):
        self.changed()
        self.notice(self.NAME, "executed", verb)

    async def trade(self, chance):
        """One of the open orders trades, in whole or in part."""
        able = [row.id for row in self._open.values() if not row.foreign]
        if able:
            await self.fill_some(chance.choice(able), chance)
            self.changed()

    def foreigners(self):
        """Orders of the account that came another way."""
        for number in range(FOREIGN):
            self.place_foreign(Decimal(20 + number))
        self.changed()
        for row in self._open.values():
            row.foreign = True
