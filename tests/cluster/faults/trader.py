"""One strategy on one venue, through a RemoteRouter of its own, until it is told to stop. It writes down each call and report."""

from __future__ import annotations

import asyncio
from random import Random

from crash.strategy import Strategies

from router import Outcome
from router.cluster import Credentials, RemoteRouter

PAUSE = 0.02  # seconds after something that was not sent
ENDING = 4.0  # seconds for the last sweep, which a submit that nothing can tell of uses up


class Trader(Strategies):
    """number: of the strategy, from 1; it is the process of its lines. rest: seconds at most between two plays."""

    def __init__(self, number, venue, nats, scribe, seed, rest):
        self._rest = rest
        self.router = RemoteRouter(credentials=Credentials(url=(nats,), strategy=f"s{number}"))
        self.venue, self._stopped = venue, False
        super().__init__(_Named(self.router, venue), scribe, Random(f"{seed} {number}"), number, lambda point: None)  # noqa: S311 - see crash
        self._router = self.router
        self.done = 0

    def stop(self):
        self._stopped = True

    async def trade(self):
        """Until stop()."""
        plays = (self._place_and_cancel, self._cancel_at_once, self._change, self._leave, self._clear)
        weights = (40, 25, 20 if self.venue == "qfex" else 0, 12, 8)
        while not self._stopped:
            await self._chance.choices(plays, weights)[0](self.venue)
            await asyncio.sleep(self._chance.uniform(0.0, self._rest))

    async def _call(self, verb, calling, **facts):
        report = await super()._call(verb, calling, **facts)
        self.done += 1
        if report.outcome is Outcome.NOT_SENT:
            await asyncio.sleep(PAUSE)
        return report

    async def finish(self):
        """Everything in doubt is settled, and what is left of ours is cancelled."""
        while self._settling:
            await asyncio.gather(*self._settling)
        await self._cancel_all(self.venue, ENDING)

    def note(self, what, **facts):
        self._scribe.write(what, **facts)


class _Named:
    """What Strategies asks a Router for its venues by."""

    def __init__(self, router, venue):
        self._venue = venue

    def health(self):
        return {self._venue: None}
