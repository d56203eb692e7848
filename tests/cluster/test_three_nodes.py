"""Three NATS nodes: one of them dies, whichever it is, and neither the commands nor the owner notice more than a moment of it."""

import asyncio
import time

from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Order, Outcome
from router.cluster import Credentials, Gateway, RemoteRouter

from .servers import nats_cluster

TTL = 12.0
LONGEST = 4.0  # seconds without a confirmed command; a connection to the dead node is made anew in some tenths


class Trader:
    """Places and cancels without end. gap: the longest time between two commands that were confirmed."""

    def __init__(self, router):
        self._router, self.gap, self.confirmed, self.outcomes = router, 0.0, 0, set()

    async def run(self):
        last = time.monotonic()
        while True:
            order = Order("qfex", "AAPL-USD", "buy", "limit", "1", "150")
            for report in (await self._router.submit(order, deadline=1), await self._router.cancel(order, deadline=1)):
                self.outcomes.add(report.outcome)
                if report.ok:
                    self.gap, last = max(self.gap, time.monotonic() - last), time.monotonic()
                    self.confirmed += 1

    async def until(self, more):
        wanted = self.confirmed + more
        async with asyncio.timeout(30):
            while self.confirmed < wanted:  # noqa: ASYNC110 - counted elsewhere
                await asyncio.sleep(0.01)


async def owned(gateway):
    async with asyncio.timeout(3 * TTL):
        while not (tenure := gateway.standing().venues["qfex"].tenure):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)
    return tenure


async def test_commands_go_on_when_a_node_dies_and_the_owner_stays(tmp_path):
    async with nats_cluster() as cluster, QfexSimulator() as venue:
        urls = tuple(cluster.urls)
        keys = {"qfex": Qfex(**venue.credentials)}
        credentials = Credentials(url=urls, strategy="gateway")
        async with Gateway(keys, credentials, journal=tmp_path / "a.journal", ttl=TTL, replicas=3) as gateway:
            tenure = await owned(gateway)
            async with RemoteRouter(urls) as router:
                trader = Trader(router)
                trading = asyncio.create_task(trader.run())
                await trader.until(20)
                for node in cluster.nodes:
                    await node.kill()
                    await trader.until(50)
                    await node.restart()
                    await cluster.ready()
                    await trader.until(20)
                trading.cancel()
                await asyncio.gather(trading, return_exceptions=True)
                assert gateway.standing().venues["qfex"].tenure == tenure
                swept = await router.cancel_all("qfex")
    assert trader.gap < LONGEST
    assert Outcome.REFUSED not in trader.outcomes
    assert (swept.no_open_orders, venue.book) == (True, {})
