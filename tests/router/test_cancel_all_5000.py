"""cancel_all over 5,000 orders at three venues that fail in many ways at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.codec import SPEC, QfexCodec
from adapters.qfex.simulator import Order as TheirOrder
from adapters.qfex.simulator import QfexSimulator, Twap
from router import Order, Outcome, Router
from router.session import Session
from router.testing import Fault
from router.venue import Budget

LIMITS, STOPS, TWAPS, CHILDREN = 3_150, 300, 20, 30
SPOTS, HASHES = 500, 1_000
TICK = 0.005
DEADLINE = 10.0
AMPLE = Budget(120_000, 60.0)  # so that 3,500 cancels one by one need no 17 seconds


class Ticker:
    """Counts how often the loop gets round, and remembers the longest time that it did not."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.count, self.longest = 0, 0.0
        self._start = self._last = self._loop.time()
        self._timer = self._loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        self.count, self.longest, self._last = self.count + 1, max(self.longest, now - self._last), now
        self._timer = self._loop.call_later(TICK, self._tick)

    def stop(self) -> float:
        """How long it ran."""
        self._timer.cancel()
        return self._loop.time() - self._start


@pytest.fixture
async def three(qfex_sim: QfexSimulator, b2_sim: B2TraderSimulator, dmex_sim: DmexSimulator) -> AsyncIterator[Router]:
    spec = evolve(SPEC, url=qfex_sim.url, budget=AMPLE, cancel_budget=AMPLE)
    codec = QfexCodec(spec=spec, public_key=qfex_sim.public_key, secret_key=qfex_sim.secret_key)
    venues = {
        "qfex": Session(codec),
        "xbtfx": B2Trader(**b2_sim.credentials),
        "dmex": Dmex(**dmex_sim.credentials),
    }
    async with Router(venues) as router:
        yield router


def open_here(sim: QfexSimulator) -> set[str]:
    return {*sim.book, *sim.stops, *sim.twaps}


def open_there(sim: B2TraderSimulator) -> set[str]:
    return {name for name, order in sim.orders.items() if order.live}


def open_on(sim: DmexSimulator) -> set[str]:
    return {name for name, order in sim.orders.items() if not order.closed}


def fill_qfex(sim: QfexSimulator) -> None:
    """Put in place, as if by another connection of the account."""
    usual: dict[str, Any] = {"account": sim.account_id, "quantity": Decimal(1), "price": Decimal(100)}
    for number in range(LIMITS):
        sim.exchange.add(TheirOrder(**usual, symbol=("AAPL-USD", "NVDA-USD", "GOLD-USD")[number % 3]))
    for _ in range(STOPS):
        sim.exchange.add(TheirOrder(**usual, symbol="AAPL-USD", side="SELL", type="STOP_LOSS"))
    for _ in range(TWAPS):
        terms: dict[str, Any] = {"total_quantity": Decimal(10), "num_orders": 5, "order_interval_secs": 30}
        sim.exchange.add_twap(Twap(account=sim.account_id, symbol="AAPL-USD", side="BUY", reduce_only=False, **terms))
    for number in range(CHILDREN):
        sim.exchange.spawn_child([*sim.twaps][number % TWAPS], Decimal(1), Decimal(90))


async def fill_b2(router: Router) -> None:
    """Placed by this Router: what it does not know of cannot be found there."""
    for _ in range(0, SPOTS, 50):
        orders = [Order("xbtfx", "spot.btc_usdt", "buy", "limit", "0.01", "110000") for _ in range(50)]
        reports = await asyncio.gather(*(router.submit(order) for order in orders))
        assert {report.outcome for report in reports} == {Outcome.CONFIRMED}


def break_qfex(sim: QfexSimulator, *, native: bool) -> None:
    sim.faults.seed = 5_000
    sim.inject(Fault.HANG_UP_EXECUTED, only={"cancel_stop_order"}, probability=0.01)
    sim.inject(Fault.MUTE, only={"cancel_stop_order"}, times=10, probability=0.1)
    sim.inject(Fault.THROTTLED, only={"cancel_stop_order", "cancel_order"}, times=5, probability=0.05)
    sim.inject(Fault.SERVER_ERROR, only={"cancel_stop_order", "cancel_order"}, times=10, probability=0.05)
    sim.inject(Fault.HANG_UP_ANSWERING, only={"get_user_orders"}, probability=0.2)
    if not native:
        sim.inject(Fault.HANG_UP_READ, only={"cancel_all_orders"})
        sim.inject(Fault.HANG_UP_READ, only={"cancel_order"}, probability=0.002)


def break_b2(sim: B2TraderSimulator) -> None:
    sim.faults.seed = 5_000
    for fault in (Fault.SERVER_ERROR, Fault.SERVER_ERROR_EXECUTED, Fault.THROTTLED, Fault.HANG_UP_EXECUTED):
        sim.inject(fault, only={"DELETE orders"}, times=10, probability=0.1)


def break_dmex(sim: DmexSimulator) -> None:
    sim.faults.seed = 5_000
    sim.inject(Fault.HANG_UP_EXECUTED, only={"cancel_order"}, probability=0.005)
    sim.inject(Fault.MUTE, only={"cancel_order"}, times=20, probability=0.05)
    sim.inject(Fault.SERVER_ERROR, only={"GET orders"}, times=2)


@pytest.mark.parametrize("native", [True, False], ids=["native", "one_by_one"])
async def test_5000_orders(
    three: Router, qfex_sim: QfexSimulator, b2_sim: B2TraderSimulator, dmex_sim: DmexSimulator, *, native: bool
) -> None:
    fill_qfex(qfex_sim)
    await fill_b2(three)
    for _ in range(HASHES):
        dmex_sim.rest()
    everything = {"qfex": open_here(qfex_sim), "xbtfx": open_there(b2_sim), "dmex": open_on(dmex_sim)}
    assert sum(map(len, everything.values())) == 5_000
    break_qfex(qfex_sim, native=native)
    break_b2(b2_sim)
    break_dmex(dmex_sim)

    ticker = Ticker()
    report = await three.cancel_all(deadline=DEADLINE)
    seconds = ticker.stop()

    still = {"qfex": open_here(qfex_sim), "xbtfx": open_there(b2_sim), "dmex": open_on(dmex_sim)}
    for name, part in report.venues.items():
        assert not (part.no_open_orders and still[name]), name
        assert not {order.order_id for order in part.affected} & still[name], name
        told = {order.order_id for order in part.affected}
        told |= {each.order.order_id for each in part.not_affected}
        told |= {doubt.order.order_id for doubt in part.doubts if doubt.order is not None}
        assert told == everything[name], name
    assert (still["qfex"], report.venues["qfex"].no_open_orders) == (set(), True)
    assert (still["dmex"], report.venues["dmex"].no_open_orders) == (set(), True)
    assert not report.venues["xbtfx"].no_open_orders

    assert len(qfex_sim.commands("cancel_all_orders")) <= 1
    assert most(qfex_sim, "order_id", "stop_order_id") <= 4
    assert most(dmex_sim, "order_hash") <= 4
    assert max(Counter(item.message["path"] for item in b2_sim.commands("DELETE orders")).values()) <= 6
    assert len(qfex_sim.commands("cancel_order", "cancel_stop_order")) <= 3 * len(everything["qfex"])
    assert len(dmex_sim.commands("cancel_order")) <= 2 * HASHES
    assert len(qfex_sim.commands("get_user_orders")) <= 200
    assert ticker.count >= 50, f"{ticker.count} turns in {seconds:.1f} s, the longest of {ticker.longest:.2f} s"
    assert ticker.longest < seconds / 2


def most(sim: QfexSimulator | DmexSimulator, *names: str) -> int:
    """How often the most cancelled order was cancelled on the wire."""
    sent = [item.message for item in sim.commands("cancel_order", "cancel_stop_order")]
    bodies = [message.get("params") or message.get("data") for message in sent]
    return max(Counter(body[name] for body in bodies for name in names if name in body).values(), default=0)
