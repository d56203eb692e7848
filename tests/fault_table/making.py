"""A bench made: the simulator of a cell's venue, a proxy before it, and a Router that is connected through it."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from attrs import evolve

from adapters.b2trader import B2Trader
from adapters.dmex import Dmex
from adapters.qfex import Qfex
from router import Router
from router.testing import FaultProxy

from .benches import QUIET, B2TraderBench, DmexBench, QfexBench, hash_of
from .cells import B2TRADER, DMEX, DMEX_REST, QFEX

HTTP_TIMEOUT = 0.4


def _encoder(address):
    def encode(order):
        name = hash_of(order.client_order_id)
        amount, price = (str(int(number.scaleb(8))) for number in (order.quantity, order.price))
        terms = {"amount": amount, "price": price, "leverage": str(10**8), "side": True, "nonce": 1}
        return name, {"hash": name, "user_address": address, "base_token": address, "asset": order.symbol, **terms}

    return encode


def _adapter(cell, sim, proxy):
    given = sim.credentials
    if cell.venue is B2TRADER:
        sim.retry_after = 0
        adapter = B2Trader(**given | {"base_url": proxy.url_of(sim.url)})
    elif cell.venue is QFEX:
        adapter = Qfex(**given | {"url": proxy.url_of(sim.url)})
    else:
        if cell.venue is DMEX:
            del given["rest_url"]
        adapter = Dmex(**given | {"url": proxy.url_of(sim.url)}, order_encoder=_encoder(sim.address))
    short = {"quiet_period": QUIET, "http_timeout": HTTP_TIMEOUT}
    adapter._codec = evolve(adapter._codec, spec=evolve(adapter.spec, **short))
    return adapter


BENCHES = {QFEX: QfexBench, B2TRADER: B2TraderBench, DMEX: DmexBench, DMEX_REST: DmexBench}


@asynccontextmanager
async def bench_of(cell):
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(cell.venue.simulator(seed=sum(map(ord, str(cell)))))
        sim.faults.seconds = (0.01, 0.05)
        where = urlsplit(sim.url)
        proxy = await stack.enter_async_context(FaultProxy(where.hostname, where.port))
        adapter = _adapter(cell, sim, proxy)
        router = await stack.enter_async_context(Router({"venue": adapter}))
        bench = BENCHES[cell.venue](cell, sim, proxy, adapter, router)
        bench.mended.set()
        await bench.prepare()
        yield bench
