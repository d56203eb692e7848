"""The dead man's switch: when it fires, when it does not, and what it says afterwards."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from adapters.qfex.simulator import QfexSimulator
from router import Order, Router, RouterClosed, UnknownVenue
from router.deadman import DeadMan
from router.errors import SwitchFired
from router.massreport import MassCancelReport
from router.testing import Switches

READS = frozenset({"get_user_orders"})
LONG = 60.0


def limit(symbol: str = "AAPL-USD") -> Order:
    return Order("qfex", symbol, "buy", "limit", "1", "150")


async def place(router: Router, *orders: Order) -> list[str]:
    reports = [await router.submit(order) for order in orders]
    assert all(report.ok for report in reports), reports
    return [str(report.order_id) for report in reports]


class Fired:
    """What a switch calls instead of cancel_all, and how often it did."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> MassCancelReport:
        self.times += 1
        return MassCancelReport(venues={})


async def pass_time(seconds: float) -> None:
    """Time itself is the event here."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)


# -- firing


async def test_it_fires_once_when_it_is_not_fed(qfex: Router, qfex_sim: QfexSimulator) -> None:
    [order_id] = await place(qfex, limit())
    switch = qfex.deadman(0.1)
    assert (switch.armed, switch.fired, "armed" in repr(switch)) == (True, False, True)
    report = await switch.report()
    assert ([order.order_id for order in report.affected], report.no_open_orders) == ([order_id], True)
    assert (switch.armed, switch.fired, "fired" in repr(switch)) == (False, True, True)
    assert (qfex_sim.book, len(qfex_sim.commands("cancel_all_orders"))) == ({}, 1)
    [later] = await place(qfex, limit())
    await pass_time(0.3)
    assert (list(qfex_sim.book), await switch.report() is report) == ([later], True)


async def test_it_does_not_fire_while_it_is_fed(qfex: Router, qfex_sim: QfexSimulator) -> None:
    [order_id] = await place(qfex, limit())
    with qfex.deadman(0.5) as switch:
        for _ in range(10):
            await pass_time(0.1)
            switch.feed()
        assert (switch.fired, list(qfex_sim.book)) == (False, [order_id])


async def test_it_fires_that_long_after_the_last_feeding() -> None:
    fire, loop = Fired(), asyncio.get_running_loop()
    switch, start = DeadMan(0.2, fire), loop.time()
    await pass_time(0.1)
    switch.feed()
    await switch.report()
    assert (loop.time() - start >= 0.3, fire.times) == (True, 1)


async def test_who_feeds_it_too_late_is_told(qfex: Router) -> None:
    switch = qfex.deadman(0.05)
    await switch.report()
    for _ in range(2):
        with pytest.raises(SwitchFired, match=r"0\.05 s"):
            switch.feed()


async def test_a_blocked_loop_fires(qfex: Router, qfex_sim: QfexSimulator) -> None:
    await place(qfex, limit())
    switch = qfex.deadman(0.1)
    time.sleep(0.3)  # noqa: ASYNC251 - the strategy that hangs
    assert (await switch.report()).no_open_orders
    assert qfex_sim.book == {}


async def test_a_blocked_loop_fires_although_it_feeds_as_soon_as_it_can(qfex: Router, qfex_sim: QfexSimulator) -> None:
    await place(qfex, limit())
    switch = qfex.deadman(0.1)
    time.sleep(0.3)  # noqa: ASYNC251 - the strategy that hangs
    with pytest.raises(SwitchFired):
        switch.feed()
    assert (await switch.report()).no_open_orders
    assert qfex_sim.book == {}


async def test_its_report_waits_until_it_has_fired(qfex: Router) -> None:
    switch = qfex.deadman(0.1)
    waiting = [asyncio.ensure_future(switch.report()) for _ in range(2)]
    assert not switch.fired
    first, second = await asyncio.gather(*waiting)
    assert (first is second, first.no_open_orders) == (True, True)


async def test_who_gives_up_waiting_for_the_report_does_not_stop_it(qfex: Router, qfex_sim: QfexSimulator) -> None:
    await place(qfex, limit())
    qfex_sim.switches = Switches(hold=True, only=READS)
    switch = qfex.deadman(0.05)
    waiting = asyncio.ensure_future(switch.report())
    await qfex_sim.until_held(1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    qfex_sim.switches = Switches()
    qfex_sim.release()
    assert (await switch.report()).no_open_orders
    assert qfex_sim.book == {}


# -- not firing


async def test_disarmed_it_never_fires(qfex: Router, qfex_sim: QfexSimulator) -> None:
    [order_id] = await place(qfex, limit())
    switch = qfex.deadman(0.1)
    switch.disarm()
    switch.disarm()
    await pass_time(0.3)
    assert (switch.armed, switch.fired, "disarmed" in repr(switch)) == (False, False, True)
    assert list(qfex_sim.book) == [order_id]
    with pytest.raises(RuntimeError, match="disarmed"):
        await switch.report()


async def test_disarming_ends_the_wait_for_its_report(qfex: Router) -> None:
    switch = qfex.deadman(LONG)
    waiting = asyncio.ensure_future(switch.report())
    asyncio.get_running_loop().call_soon(switch.disarm)
    with pytest.raises(RuntimeError, match="disarmed"):
        await waiting


@pytest.mark.parametrize("fails", [False, True])
async def test_leaving_its_block_disarms_it(qfex: Router, qfex_sim: QfexSimulator, *, fails: bool) -> None:
    [order_id] = await place(qfex, limit())
    try:
        with qfex.deadman(0.1) as switch:
            if fails:
                raise ZeroDivisionError  # noqa: TRY301 - the strategy's own mistake
    except ZeroDivisionError:
        assert fails
    await pass_time(0.3)
    assert (switch.fired, list(qfex_sim.book)) == (False, [order_id])


async def test_closing_the_router_disarms_it(qfex: Router, qfex_sim: QfexSimulator) -> None:
    [order_id] = await place(qfex, limit())
    switch = qfex.deadman(0.1)
    await qfex.close()
    await pass_time(0.3)
    assert (switch.armed, switch.fired, list(qfex_sim.book)) == (False, False, [order_id])


async def test_closing_the_router_lets_a_fired_one_finish(qfex: Router, qfex_sim: QfexSimulator) -> None:
    [order_id] = await place(qfex, limit())
    qfex_sim.switches = Switches(hold=True, only=READS)
    switch = qfex.deadman(0.05)
    await qfex_sim.until_held(1)
    closing = asyncio.ensure_future(qfex.close())
    qfex_sim.switches = Switches()
    qfex_sim.release()
    await closing
    assert [order.order_id for order in (await switch.report()).affected] == [order_id]
    assert qfex_sim.book == {}


async def test_closing_the_router_just_as_it_fires_lets_it_finish(qfex: Router, qfex_sim: QfexSimulator) -> None:
    await place(qfex, limit())
    switch = qfex.deadman(0.05)
    time.sleep(0.1)  # noqa: ASYNC251 - so that the switch and the closing come in one turn of the loop
    loop, closing = asyncio.get_running_loop(), asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    loop.call_later(0, lambda: (tasks.append(loop.create_task(qfex.close())), closing.set()))
    await closing.wait()
    await asyncio.gather(*tasks)
    if switch.fired:
        assert (await switch.report()).no_open_orders
        assert qfex_sim.book == {}
    else:
        assert len(qfex_sim.book) == 1


# -- several, and what they are told


async def test_several_switches_each_with_a_scope_of_its_own(qfex: Router, qfex_sim: QfexSimulator) -> None:
    await place(qfex, limit(), limit())
    [gold] = await place(qfex, limit("GOLD-USD"))
    first, second = qfex.deadman(0.1, symbol="AAPL-USD"), qfex.deadman(LONG, symbol="GOLD-USD")
    report = await first.report()
    assert ({order.symbol for order in report.affected}, list(qfex_sim.book)) == ({"AAPL-USD"}, [gold])
    second.feed()
    assert (first.fired, second.fired, second.armed) == (True, False, True)


async def test_two_that_fire_at_once(qfex: Router, qfex_sim: QfexSimulator) -> None:
    await place(qfex, limit())
    reports = await asyncio.gather(*(qfex.deadman(0.1).report() for _ in range(2)))
    assert [report.no_open_orders for report in reports] == [True, True]
    assert qfex_sim.book == {}
    await place(qfex, limit())


@pytest.mark.parametrize(
    "arguments",
    [{}, {"venue": "qfex", "symbol": "GOLD-USD", "scope": "own", "deadline": 7}],
    ids=["default", "all"],
)
async def test_its_arguments_are_those_of_cancel_all(
    qfex: Router, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    heard: list[dict[str, Any]] = []

    async def cancel_all(
        venue: str | None = None, symbol: str | None = None, *, scope: str = "account", deadline: float = 30
    ) -> MassCancelReport:
        heard.append({"venue": venue, "symbol": symbol, "scope": scope, "deadline": deadline})
        return MassCancelReport(venues={})

    monkeypatch.setattr(qfex, "cancel_all", cancel_all)
    await qfex.deadman(0.01, **arguments).report()
    assert heard == [{"venue": None, "symbol": None, "scope": "account", "deadline": 30} | arguments]


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ({"seconds": 0}, ValueError),
        ({"seconds": -1}, ValueError),
        ({"seconds": float("nan")}, ValueError),
        ({"seconds": True}, TypeError),
        ({"seconds": None}, TypeError),
        ({"seconds": LONG, "venue": "qfx"}, UnknownVenue),
        ({"seconds": LONG, "scope": "everything"}, ValueError),
        ({"seconds": LONG, "deadline": 0}, ValueError),
    ],
    ids=str,
)
async def test_mistakes_are_told_when_it_is_armed(
    qfex: Router, arguments: dict[str, Any], mistake: type[Exception]
) -> None:
    with pytest.raises(mistake):
        qfex.deadman(**arguments)


async def test_none_is_armed_on_a_closed_router(qfex: Router) -> None:
    await qfex.close()
    with pytest.raises(RouterClosed):
        qfex.deadman(LONG)


async def test_a_disarmed_one_is_forgotten(qfex: Router) -> None:
    for _ in range(10):
        with qfex.deadman(LONG) as switch:
            switch.feed()
    assert len(qfex._switches) <= 1
