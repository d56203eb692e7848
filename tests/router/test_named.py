"""Commands that their callers have named: the journal calls them so, once each, and remembers whose orders they placed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router import AnyRouter, OrderState, Outcome, Replace, Router
from router.journal.file import reader
from router.journal.reading import Told, entries
from router.masscancel import MassCancel
from router.naming import Names
from router.operation import Named
from router.replacing import replace_natively, replace_with_gap
from router.testing import Switches
from tests.restarting import ADD, CANCELS, b2trader, crash, dmex, durable, future, limit, open_ids, qfex, spot

numbers = count(1)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def named(strategy: str = "alpha") -> Named:
    return Named(f"{'decade00' * 2}{next(numbers):016d}", strategy)


def written(journal: Path, name: Named) -> list[Told]:
    with closing(reader(journal)) as db:
        return [each for each in entries(db) if each.op == name.id]


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(3):
        while not holds():  # noqa: ASYNC110 - whatever it is about has no event
            await asyncio.sleep(0.005)


# -- names


async def test_the_journal_calls_each_command_by_its_callers_name(qfex_sim: QfexSimulator, journal: Path) -> None:
    placing, changing, cancelling = named(), named("beta"), named("gamma")
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        desk = router.desk("qfex")
        placed = await desk.submit(limit(), None, placing)
        replace = Replace(target=placed.to_cancel(), known=OrderState(venue="qfex", order_id=None), price=149)
        assert (await replace_natively(desk, replace, None, changing)).ok
        assert (await desk.cancel(placed.to_cancel(), None, cancelling)).ok
    for name, verb in ((placing, "submit"), (changing, "replace"), (cancelling, "cancel")):
        first, *_, last = written(journal, name)
        assert (first.what, first.facts["verb"], first.facts["strategy"]) == ("intent", verb, name.strategy)
        assert last.what in {"confirmed", "execution"}


@pytest.mark.parametrize("verb", ["submit", "cancel", "cancel_order", "replace"])
async def test_no_name_is_used_twice(qfex_sim: QfexSimulator, journal: Path, verb: str) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        desk, name = router.desk("qfex"), named()
        order = limit()
        placed = await desk.submit(order, None, name)
        replace = Replace(target=placed.to_cancel(), known=OrderState(venue="qfex", order_id=None), price=149)
        again = {"submit": limit(), "cancel": placed.to_cancel(), "cancel_order": order, "replace": replace}[verb]
        with pytest.raises(ValueError, match="before"):
            getattr(desk, verb)(again, None, name)
        assert (await router.submit(limit())).journaled  # the journal has come to no harm
    assert len(qfex_sim.commands("add_order")) == 2
    assert not qfex_sim.commands("modify_order", *CANCELS)


async def test_a_name_of_what_is_kept_from_an_earlier_run_is_used(qfex_sim: QfexSimulator, journal: Path) -> None:
    name = named()
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        assert (await router.desk("qfex").submit(limit(), None, name)).ok
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        with pytest.raises(ValueError, match="before"):
            router.desk("qfex").submit(limit(), None, name)


def test_names_are_told_apart_whatever_they_are() -> None:
    names = Names()
    used = [
        "a1",
        "a10",
        "x007",
        "x7",
        "",
        "007",
        "x\n999",
        *(f"{'ab' * 8}{number:016d}" for number in range(990, 1010)),
    ]
    for name in used:
        assert name not in names
        names.take(name)
        assert name in names
        with pytest.raises(ValueError, match="before"):
            names.take(name)
    assert not any(each in names for each in ("a2", "x008", "y007", f"{'ab' * 8}{1010:016d}", "x\n998"))


async def test_a_cancel_that_joins_another_is_in_the_journal_as_well(qfex_sim: QfexSimulator, journal: Path) -> None:
    first, second = named(), named("beta")
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        desk = router.desk("qfex")
        placed = await desk.submit(limit(), None, named())
        qfex_sim.switches = Switches(hold=True, only=frozenset(CANCELS))
        both = [desk.cancel(placed.to_cancel(), 2, name) for name in (first, second)]
        await until(lambda: qfex_sim.held)
        qfex_sim.switches = Switches()
        qfex_sim.release()
        reports = await asyncio.gather(*both)
        assert [report.outcome for report in reports] == [Outcome.CONFIRMED] * 2
        assert all(report.journaled for report in reports)
    assert len(qfex_sim.commands(*CANCELS)) == 1
    begun, *_, ended = written(journal, second)
    assert (begun.facts["joins"], begun.facts["strategy"], ended.what) == (first.id, "beta", "confirmed")


async def test_a_joined_cancel_that_a_crash_left_in_doubt_is_settled_like_the_other(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    names = [named(), named("beta")]
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        desk = router.desk("qfex")
        placed = await desk.submit(limit(), None, named())
        qfex_sim.switches = Switches(deaf=True, only=frozenset(CANCELS))
        both = [desk.cancel(placed.to_cancel(), 0.2, name) for name in names]
        assert {report.outcome for report in await asyncio.gather(*both)} == {Outcome.UNKNOWN}
        await durable(router)
        copy = crash(journal)
    qfex_sim.switches = Switches()
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as router:
        reports = await router.recovered()
        assert {report.outcome for report in reports} == {Outcome.CONFIRMED}
        assert all(router.resumed(name.id).named == name for name in names)
    assert not open_ids(qfex_sim)


async def test_a_cancel_that_joins_a_held_one_is_in_the_journal_as_well(qfex_sim: QfexSimulator, journal: Path) -> None:
    names = [named(), named("beta")]
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        desk, order = router.desk("qfex"), limit()
        qfex_sim.switches = Switches(hold=True, only=ADD)
        submitting = desk.submit(order, 2, named())
        await until(lambda: qfex_sim.held)
        both = [desk.cancel_order(order, 2, name) for name in names]
        qfex_sim.switches = Switches()
        qfex_sim.release()
        assert (await submitting).ok
        assert {report.outcome for report in await asyncio.gather(*both)} == {Outcome.CONFIRMED}
    assert [written(journal, name)[-1].what for name in names] == ["confirmed"] * 2
    assert len(qfex_sim.commands(*CANCELS)) == 1


async def test_a_replace_with_a_gap_gives_its_name_to_the_new_order(b2_sim: B2TraderSimulator, journal: Path) -> None:
    name = named()
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as router:
        desk = router.desk("b")
        placed = await desk.submit(spot(), None, named("old"))
        replace = Replace(target=placed.to_cancel(), known=OrderState(venue="b", order_id=None), price=99)
        report = await replace_with_gap(desk, replace, None, name)
        assert desk.ledger.find(report.order_id).strategy == "alpha"
    (intent, *_) = written(journal, name)
    assert intent.facts["verb"] == "submit"


async def test_a_replace_that_is_a_new_order_gives_it_its_name(dmex_sim: DmexSimulator, journal: Path) -> None:
    name = named()
    async with Router({"dmex": dmex(dmex_sim)}, journal=journal) as router:
        desk = router.desk("dmex")
        placed = await desk.submit(future(), None, named("old"))
        replace = Replace(target=placed.to_cancel(), known=OrderState(venue="dmex", order_id=None), price=60001)
        report = await replace_natively(desk, replace, None, name)
        assert report.ok
        assert desk.ledger.find(report.order_id).strategy == "alpha"
    (intent, *_) = written(journal, name)
    assert intent.facts["verb"] == "submit"


async def test_whose_an_order_is_survives_a_restart(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        placed = await router.desk("qfex").submit(limit(), None, named("beta"))
        unnamed = await router.submit(limit())
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        find = router.desk("qfex").ledger.find
        assert [find(each.order_id).strategy for each in (placed, unnamed)] == ["beta", ""]


# -- cancel_all of one strategy


def mass(router: Router, strategy: str, seconds: float = 2, symbol: str | None = None, **more: Any) -> MassCancel:
    desk, due = router.desk("qfex"), asyncio.get_running_loop().time() + seconds
    return MassCancel(desk, symbol, own=True, due=due, strategy=strategy, **more)


async def test_only_the_orders_of_one_strategy_are_cancelled_and_proven(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        desk = router.desk("qfex")
        mine = {(await desk.submit(limit(), None, named())).order_id for _ in range(3)}
        others = {(await desk.submit(limit(), None, named("beta"))).order_id, (await router.submit(limit())).order_id}
        name = named()
        report = await mass(router, "alpha", named=name).run()
        assert report.no_open_orders
        assert {order.order_id for order in report.affected} == mine
    assert open_ids(qfex_sim) == others
    intent, *_, ended = written(journal, name)
    assert (set(intent.facts["targets"]), intent.facts["strategy"], ended.what) == (mine, "alpha", "confirmed")


async def test_orders_can_be_told_by_a_function_as_well(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": qfex(qfex_sim)}) as router:
        mine = await router.submit(limit(price="149"))
        other = await router.submit(limit())
        due = asyncio.get_running_loop().time() + 2
        desk = router.desk("qfex")
        report = await MassCancel(desk, None, own=True, due=due, mine=lambda state: state.price == 149).run()
        assert [order.order_id for order in report.affected] == [mine.order_id]
        with pytest.raises(ValueError, match="own=True"):
            MassCancel(desk, None, own=False, due=due, mine=lambda _: True)
    assert open_ids(qfex_sim) == {other.order_id}


async def test_nobody_elses_submits_are_gated(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": qfex(qfex_sim)}) as router:
        desk = router.desk("qfex")
        await desk.submit(limit(), None, named())
        old = await desk.submit(limit(), None, named("beta"))
        qfex_sim.switches = Switches(deaf=True, only=frozenset(CANCELS))
        working = asyncio.ensure_future(mass(router, "alpha", 0.8).run())
        await qfex_sim.until(1, *CANCELS)
        refused = await desk.submit(limit(), 0.3, named())
        assert (refused.outcome, "cancel_all is under way" in refused.text) == (Outcome.NOT_SENT, True)
        assert (await desk.submit(limit(), 0.3, named("beta"))).ok
        assert (await router.submit(limit(), deadline=0.3)).ok
        known = OrderState(venue="qfex", order_id=None)
        replace = Replace(target=old.to_cancel(), known=known, price=149)
        assert (await replace_natively(desk, replace, 0.3, named())).ok  # beta's order, whoever changes it
        await working
        assert (await desk.submit(limit(), 0.3, named())).ok


async def test_an_order_of_the_strategy_is_not_replaced_meanwhile_whoever_asks(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": qfex(qfex_sim)}) as router:
        desk = router.desk("qfex")
        placed = await desk.submit(limit(), None, named())
        qfex_sim.switches = Switches(deaf=True, only=frozenset(CANCELS))
        working = asyncio.ensure_future(mass(router, "alpha", 0.5).run())
        await qfex_sim.until(1, *CANCELS)
        replace = Replace(target=placed.to_cancel(), known=OrderState(venue="qfex", order_id=None), price=149)
        assert (await replace_natively(desk, replace, 0.3, named("beta"))).outcome is Outcome.NOT_SENT
        await working


async def test_a_submit_in_doubt_is_a_doubt_of_its_own_strategy_alone(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": qfex(qfex_sim, quiet_period=5)}) as router:
        desk = router.desk("qfex")
        qfex_sim.switches = Switches(deaf=True, only=ADD)
        assert (await desk.submit(limit(), 0.1, named("beta"))).outcome is Outcome.UNKNOWN
        assert (await mass(router, "alpha").run()).no_open_orders
        report = await mass(router, "beta", 0.5).run()
        assert not report.no_open_orders
        assert "is not settled" in str(report.doubts)


async def test_a_restart_finishes_one_strategys_cancel_all_and_takes_no_other_order(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        desk = router.desk("qfex")
        for _ in range(2):
            await desk.submit(limit(), None, named())
        other = await desk.submit(limit(), None, named("beta"))
        qfex_sim.switches = Switches(deaf=True, only=frozenset(CANCELS))
        working = asyncio.ensure_future(mass(router, "alpha", 3).run())
        await qfex_sim.until(1, *CANCELS)
        await durable(router)
        copy = crash(journal)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    qfex_sim.switches = Switches()
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as router:
        await router.recovered()
    assert open_ids(qfex_sim) == {other.order_id}
    assert not qfex_sim.commands("cancel_all_orders")


async def test_a_gap_is_a_doubt_of_whose_order_it_will_be(b2_sim: B2TraderSimulator) -> None:
    async with Router({"b": b2trader(b2_sim)}) as router:
        desk = router.desk("b")
        placed = await desk.submit(spot(), None, named())
        b2_sim.switches = Switches(hold=True)
        replace = Replace(target=placed.to_cancel(), known=OrderState(venue="b", order_id=None), price=99)
        working = asyncio.ensure_future(replace_with_gap(desk, replace, 2, named()))
        await until(lambda: desk.gaps)
        assert desk.is_between(None)
        assert desk.is_between(None, "alpha")
        assert not desk.is_between(None, "beta")
        assert not desk.is_placing("another", "alpha")
        await until(lambda: b2_sim.held)
        b2_sim.switches = Switches()
        b2_sim.release()
        await working
        assert not desk.gaps


# -- the Router


async def test_a_router_is_what_any_router_is(qfex_sim: QfexSimulator) -> None:
    async def trade(router: AnyRouter) -> list[Outcome]:
        async with router:
            reports = [await router.submit(limit()) for _ in range(3)]
            batch = router.cancel_many(reports)
            assert len(batch) == 3
            told = [report.outcome async for report in batch]
            return told + [report.outcome for report in await batch]

    assert await trade(Router({"qfex": qfex(qfex_sim)})) == [Outcome.CONFIRMED] * 6
    members = {name for name in vars(AnyRouter) if not name.startswith("_")}
    assert members == {
        "cancel", "cancel_all", "cancel_many", "close", "deadman", "events", "health", "open", "open_orders",
        "recovered", "replace", "submit",
    }  # fmt: skip


async def test_the_lease_epoch_is_written_of_the_run(qfex_sim: QfexSimulator, journal: Path) -> None:
    for epoch in (0, 7):
        router = Router({"qfex": qfex(qfex_sim)}, journal=journal)
        router.lease_epoch = epoch
        async with router:
            assert router.resumed("nothing") is None
    with closing(reader(journal)) as db:
        assert [epoch for (epoch,) in db.execute("SELECT epoch FROM run ORDER BY run")] == [0, 7]
