"""Adoption: what another Router, now gone, may have sent is found out by one that knows nothing of it, and never guessed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, IdKind, Order, OrdStatus, Origin, Outcome, Router
from router.adopting import adopt
from router.journal.answers import answer
from router.operation import Named, Operation
from router.report import OrderState, Replace, SubmitReport
from router.resuming import SKEW
from router.session import Session
from router.testing import Switches
from tests.restarting import (
    ADD,
    CANCELS,
    b2trader,
    crash,
    dmex,
    durable,
    future,
    in_doubt,
    limit,
    open_ids,
    qfex,
    spot,
)

QUIET = 0.1
numbers = count(1)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "second"


def quick(sim: QfexSimulator) -> Session:
    return qfex(sim, quiet_period=QUIET)


def named(strategy: str = "alpha") -> Named:
    return Named(f"{'c0ffee00' * 2}{next(numbers):016d}", strategy)


def gone(router: Router, command: Order | Cancel | Replace, name: Named | None = None, **ago: float) -> Operation:
    """Adopt what a Router that is gone sent a moment ago."""
    sent_at = datetime.now(UTC) - timedelta(**ago or {"seconds": 1})
    return adopt(router.desk(command.venue), command, name or named(), sent_at)


async def told(router: Router, operation: Operation) -> Any:
    async with asyncio.timeout(5):
        return await router.desk(operation.command.venue).settle(operation, None)


async def rest(router: Router, venue: str) -> None:
    """Until nothing is asked about in the background any more."""
    async with asyncio.timeout(5):
        while tasks := router.desk(venue)._asking:
            await asyncio.wait(tasks)


def change(target: Cancel, **terms: Any) -> Replace:
    known = OrderState(venue=target.venue, order_id=None)
    return Replace(target=target, known=known, **{name: Decimal(value) for name, value in terms.items()})


async def sent(sim: QfexSimulator, order: Order, **switches: bool) -> None:
    """Another Router sends it, hears nothing, and is gone."""
    async with Router({"qfex": quick(sim)}) as first:
        sim.switches = Switches(only=ADD, **switches)
        assert (await first.submit(order, deadline=0.1)).outcome is Outcome.UNKNOWN
        sim.switches = Switches()


# -- submits


@pytest.mark.parametrize("shown", ["as it happens", "with the snapshot"])
async def test_a_submit_that_was_executed_is_recognised_and_own_from_then_on(
    qfex_sim: QfexSimulator, journal: Path, shown: str
) -> None:
    order, name = limit(), named()
    if shown == "with the snapshot":
        await sent(qfex_sim, order, mute=True)
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        if shown != "with the snapshot":
            await sent(qfex_sim, order, mute=True)
        (row,) = await second.open_orders("qfex")
        assert not row.own
        operation = gone(second, evolve(order), name)
        report = await told(second, operation)
        assert (report.outcome, report.order_id) == (Outcome.CONFIRMED, row.order_id)
        assert (report.journaled, second.resumed(name.id)) == (True, operation)
        (row,) = await second.open_orders("qfex")
        assert (row.own, row.client_order_id) == (True, order.client_order_id)
        assert second.desk("qfex").ledger.find(str(row.order_id)).strategy == "alpha"
        await rest(second, "qfex")
        assert (await second.cancel_all(scope="own")).no_open_orders
    assert len(qfex_sim.commands("add_order")) == 1
    assert not open_ids(qfex_sim)


async def test_a_submit_that_never_arrived_is_refused_but_not_before_the_quiet_period(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        began = asyncio.get_running_loop().time()
        operation = gone(second, limit(), days=1)
        assert second.desk("qfex").told(operation).outcome is Outcome.UNKNOWN
        report = await told(second, operation)
        assert asyncio.get_running_loop().time() - began >= QUIET
        assert (report.outcome, report.origin) == (Outcome.REFUSED, Origin.ROUTER)
        assert "not placed" in report.text
    assert not qfex_sim.commands("add_order")
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as third:
        assert await third.recovered() == []


async def test_a_submit_that_arrives_while_it_is_asked_about_is_confirmed(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    order = limit()
    async with (
        Router({"qfex": qfex(qfex_sim, quiet_period=1.0)}, journal=journal) as second,
        Router({"qfex": quick(qfex_sim)}) as slow,
    ):
        operation = gone(second, evolve(order))
        await qfex_sim.until(1, "get_order")
        placed = await slow.submit(order)
        report = await told(second, operation)
        assert (report.outcome, report.order_id) == (Outcome.CONFIRMED, placed.order_id)


async def test_a_submit_that_was_filled_before_is_found_as_filled(qfex_sim: QfexSimulator, journal: Path) -> None:
    order = limit()
    await sent(qfex_sim, order, mute=True)
    (order_id,) = open_ids(qfex_sim)
    await qfex_sim.fill(order_id)
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        report = await told(second, gone(second, order))
        assert (report.outcome, report.status, report.order_id) == (Outcome.CONFIRMED, OrdStatus.FILLED, order_id)


async def test_a_submit_whose_order_was_shown_and_has_ended_since_is_recognised(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    order = limit()
    await sent(qfex_sim, order, mute=True)
    (order_id,) = open_ids(qfex_sim)
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        assert await second.open_orders("qfex")
        await qfex_sim.fill(order_id)
        async with asyncio.timeout(3):
            while second.desk("qfex").ledger.find(order_id).is_live:
                await second.open_orders("qfex")
        report = await told(second, gone(second, order))
        assert (report.outcome, report.status, report.order_id) == (Outcome.CONFIRMED, OrdStatus.FILLED, order_id)


@pytest.mark.parametrize("other", [{"price": "149"}, {"quantity": "2"}, {"price": "150.0"}])
async def test_an_order_of_its_client_id_is_its_own_only_when_the_terms_fit(
    qfex_sim: QfexSimulator, journal: Path, other: dict[str, str]
) -> None:
    async with Router({"qfex": quick(qfex_sim)}) as stranger:
        theirs = await stranger.submit(limit(client_order_id="x", **other))
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        report = await told(second, gone(second, limit(client_order_id="x")))
        fits = other == {"price": "150.0"}
        assert report.outcome is (Outcome.CONFIRMED if fits else Outcome.UNKNOWN)
        assert report.order_id == (theirs.order_id if fits else None)
        (row,) = await second.open_orders("qfex")
        assert row.own is fits


async def test_of_two_orders_that_fit_none_is_taken(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": quick(qfex_sim)}) as stranger:
        for _ in range(2):
            await stranger.submit(limit(client_order_id="x"))
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        report = await told(second, gone(second, limit(client_order_id="x")))
        assert (report.outcome, report.order_id) == (Outcome.UNKNOWN, None)
        assert "nothing tells which of them" in report.text
        assert not any(row.own for row in await second.open_orders("qfex"))


async def test_an_order_that_is_of_another_command_is_not_taken(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        mine = await second.submit(limit(client_order_id="x"))
        report = await told(second, gone(second, limit(client_order_id="x")))
        assert (report.outcome, report.order_id) == (Outcome.UNKNOWN, None)
    assert open_ids(qfex_sim) == {mine.order_id}


async def test_an_order_that_was_there_long_before_is_not_taken_nor_by_a_later_run(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": quick(qfex_sim)}) as stranger:
        theirs = await stranger.submit(limit(client_order_id="x", quantity="3"))
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        report = await told(second, gone(second, limit(client_order_id="x", quantity="3"), seconds=-SKEW - 0.05))
        assert (report.outcome, report.order_id) == (Outcome.UNKNOWN, None)
        await durable(second)
    await qfex_sim.fill(str(theirs.order_id), "1")  # its row has a newer time now
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as third:
        (report,) = await third.recovered()
        assert (report.outcome, report.order_id) == (Outcome.UNKNOWN, None)
        (row,) = await third.open_orders("qfex")
        assert not row.own


async def test_a_clock_that_is_a_minute_behind_does_no_harm(qfex_sim: QfexSimulator, journal: Path) -> None:
    order = limit(client_order_id="x")
    await sent(qfex_sim, order, mute=True)
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        assert (await told(second, gone(second, order, seconds=-55))).ok


@pytest.mark.parametrize(("switch", "outcome"), [("mute", Outcome.CONFIRMED), ("deaf", Outcome.REFUSED)])
async def test_a_restart_goes_on_with_an_adoption(
    qfex_sim: QfexSimulator, journal: Path, switch: str, outcome: Outcome
) -> None:
    order, name = limit(), named()
    await sent(qfex_sim, order, **{switch: True})
    qfex_sim.switches = Switches(deaf=True, only=frozenset({"get_user_orders", "get_order"}))
    async with Router({"qfex": quick(qfex_sim)}, journal=journal, strict=False) as second:
        gone(second, order, name)
        await durable(second)
        copy = crash(journal)
    qfex_sim.switches = Switches()
    async with Router({"qfex": quick(qfex_sim)}, journal=copy) as third:
        (report,) = await third.recovered()
        assert report.outcome is outcome
        operation = third.resumed(name.id)
        assert (operation.named, operation.adopted) == (name, True)
        assert timedelta(seconds=1) <= datetime.now(UTC) - operation.sent_at < timedelta(seconds=30)
        said = answer(copy, name.id)
        assert (said.report.outcome, said.report.sent_at) == (outcome, operation.sent_at)
        assert third.desk("qfex").told(operation).outcome is outcome
        for entry in third.desk("qfex").ledger.own():
            assert entry.strategy == "alpha"
    assert len(qfex_sim.commands("add_order")) == 1


async def test_submits_of_others_are_not_held_up_and_cancel_all_counts_it_as_a_doubt(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim, quiet_period=1.0)}, journal=journal) as second:
        await second.recovered()
        operation = gone(second, limit())
        assert (await second.submit(limit(), deadline=0.5)).ok
        early = await second.cancel_all(deadline=0.6)
        assert not early.no_open_orders
        assert "is not settled" in str(early.doubts)
        assert (await told(second, operation)).outcome is Outcome.REFUSED
        assert (await second.cancel_all(deadline=3)).no_open_orders


async def test_the_same_name_is_the_same_operation_and_one_that_began_here_is_none(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        order, name, own = limit(), named(), named()
        operation = gone(second, order, name)
        assert gone(second, order, name) is operation
        assert (await second.desk("qfex").submit(limit(), None, own)).ok
        with pytest.raises(ValueError, match="before"):
            gone(second, limit(), own)
        with pytest.raises(ValueError, match="before"):
            second.desk("qfex").submit(limit(), None, name)
        with pytest.raises(ValueError, match="time zone"):
            adopt(second.desk("qfex"), limit(), named(), datetime(2026, 1, 1))  # noqa: DTZ001 - that is the mistake
        assert (await told(second, operation)).outcome is Outcome.REFUSED
    assert len(qfex_sim.commands("add_order")) == 1
    async with Router({"qfex": quick(qfex_sim)}) as without:
        with pytest.raises(ValueError, match="journal"):
            gone(without, limit())


async def test_closing_ends_the_asking_and_the_next_run_takes_it_up(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim, quiet_period=30)}, journal=journal) as second:
        operation = gone(second, limit())
        await qfex_sim.until(1, "get_order")
    assert operation.reply is None
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as third:
        (report,) = await third.recovered()
        assert report.outcome is Outcome.REFUSED


async def test_a_venue_that_is_away_is_asked_when_it_is_back(qfex_sim: QfexSimulator, journal: Path) -> None:
    order = limit()
    await sent(qfex_sim, order, mute=True)
    await qfex_sim.stop()
    async with Router({"qfex": quick(qfex_sim)}, journal=journal, strict=False) as second:
        operation = gone(second, order)
        early = await second.desk("qfex").settle(operation, 2 * QUIET)
        assert early.outcome is Outcome.UNKNOWN
        await qfex_sim.start()
        assert (await told(second, operation)).ok


async def test_where_there_are_no_client_ids_a_submit_stays_unknown(b2_sim: B2TraderSimulator, journal: Path) -> None:
    async with Router({"b": b2trader(b2_sim)}) as first:
        placed = await first.submit(spot())
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as second:
        report = await told(second, gone(second, spot()))
        assert (report.outcome, report.order_id) == (Outcome.UNKNOWN, None)
        assert (await second.submit(spot(), deadline=1)).ok
        own = await second.cancel_all(scope="own", deadline=0.5)
        assert not own.no_open_orders
    posted = [each for each in b2_sim.received if each.command.startswith("POST orders")]
    assert (len(posted), placed.ok) == (2, True)


async def test_where_the_id_is_made_of_the_order_a_submit_of_another_stays_unknown(
    dmex_sim: DmexSimulator, journal: Path
) -> None:
    async with Router({"dmex": dmex(dmex_sim)}) as first:
        assert (await first.submit(future())).ok
    async with Router({"dmex": dmex(dmex_sim)}, journal=journal) as second:
        report = await told(second, gone(second, future()))
        assert (report.outcome, report.order_id) == (Outcome.UNKNOWN, None)
    assert len(dmex_sim.orders) == 1


# -- cancels


@pytest.mark.parametrize("switch", ["deaf", "mute"])
async def test_a_cancel_by_the_venues_id_goes_out_once_more(
    qfex_sim: QfexSimulator, journal: Path, switch: str
) -> None:
    async with Router({"qfex": quick(qfex_sim)}) as first:
        placed = await first.submit(limit())
        qfex_sim.switches = Switches(only=frozenset(CANCELS), **{switch: True})
        assert (await first.cancel(placed, deadline=0.1)).outcome is Outcome.UNKNOWN
        qfex_sim.switches = Switches()
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        operation = gone(second, placed.to_cancel())
        report = await told(second, operation)
        assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
        await rest(second, "qfex")
    assert len(qfex_sim.commands(*CANCELS)) == 2
    assert not open_ids(qfex_sim)
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as third:
        assert await third.recovered() == []


async def test_not_found_is_gone_and_not_refused_and_a_restart_does_not_ask_for_ever(
    b2_sim: B2TraderSimulator, journal: Path
) -> None:
    async with Router({"b": b2trader(b2_sim)}) as first:
        placed = await first.submit(spot())
        assert (await first.cancel(placed)).ok
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as second:
        report = await told(second, gone(second, placed.to_cancel()))
        assert report.outcome is Outcome.UNKNOWN
        assert "gone, cause unknown" in report.text
        await rest(second, "b")
    deleted = [each for each in b2_sim.received if each.command.startswith("DELETE")]
    assert len(deleted) == 2


async def test_a_cancel_on_dmex_goes_out_once_more(dmex_sim: DmexSimulator, journal: Path) -> None:
    async with Router({"dmex": dmex(dmex_sim)}) as first:
        placed = await first.submit(future())
    async with Router({"dmex": dmex(dmex_sim)}, journal=journal) as second:
        report = await told(second, gone(second, placed.to_cancel()))
        assert report.ok
        assert await second.open_orders("dmex") == []


async def test_a_cancel_that_is_under_way_here_as_well_makes_both_repeats(
    b2_sim: B2TraderSimulator, journal: Path
) -> None:
    async with Router({"b": b2trader(b2_sim)}) as first:
        placed = await first.submit(spot())
        assert (await first.cancel(placed)).ok
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as second:
        mine = asyncio.ensure_future(second.cancel(placed.to_cancel(), deadline=1))
        await asyncio.sleep(0)
        operation = gone(second, placed.to_cancel())
        assert (await told(second, operation)).outcome is Outcome.UNKNOWN
        assert (await mine).outcome is Outcome.UNKNOWN  # "no such order" may be of the other one's doing


@pytest.mark.parametrize("kind", [None, IdKind.CLIENT_ORDER])
async def test_a_cancel_of_a_set_is_not_sent_again_and_what_is_open_is_left_alone(
    qfex_sim: QfexSimulator, journal: Path, kind: IdKind | None
) -> None:
    async with Router({"qfex": quick(qfex_sim)}) as first:
        placed = await first.submit(limit(client_order_id="same"))
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        assert await second.open_orders("qfex")
        operation = gone(second, Cancel("qfex", "same", kind, "AAPL-USD"))
        report = await told(second, operation)
        assert (report.outcome, report.orders) == (Outcome.UNKNOWN, ())
        assert "left alone" in report.text
        await rest(second, "qfex")
    assert not qfex_sim.commands(*CANCELS)
    assert open_ids(qfex_sim) == {placed.order_id}


@pytest.mark.parametrize("ending", ["cancel", "fill"])
async def test_a_set_of_which_nothing_is_left_stays_unknown(
    qfex_sim: QfexSimulator, journal: Path, ending: str
) -> None:
    order = limit()
    async with Router({"qfex": quick(qfex_sim)}) as first:
        placed = await first.submit(order)
        await (first.cancel(placed) if ending == "cancel" else qfex_sim.fill(str(placed.order_id)))
    before = len(qfex_sim.commands(*CANCELS))
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        operation = gone(second, Cancel("qfex", order.client_order_id, IdKind.CLIENT_ORDER, "AAPL-USD"))
        await rest(second, "qfex")
        assert second.desk("qfex").told(operation).outcome is Outcome.UNKNOWN
    assert len(qfex_sim.commands(*CANCELS)) == before


# -- replaces


@pytest.mark.parametrize(("switch", "outcome"), [("mute", Outcome.CONFIRMED), ("deaf", Outcome.REFUSED)])
async def test_a_replace_is_compared_with_the_list(
    qfex_sim: QfexSimulator, journal: Path, switch: str, outcome: Outcome
) -> None:
    async with Router({"qfex": quick(qfex_sim)}) as first:
        placed = await first.submit(limit())
        qfex_sim.switches = Switches(only=frozenset({"modify_order"}), **{switch: True})
        assert (await first.replace(placed, price="149", deadline=0.1)).outcome is Outcome.UNKNOWN
        qfex_sim.switches = Switches()
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        operation = gone(second, change(placed.to_cancel(), price="149"))
        report = await told(second, operation)
        assert (report.outcome, report.order_id) == (outcome, placed.order_id)
        assert isinstance(report, SubmitReport)
    assert len(qfex_sim.commands("modify_order")) == 1


async def test_a_replace_by_client_id_stays_unknown_also_after_a_restart(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": quick(qfex_sim)}) as first:
        await first.submit(limit(client_order_id="x", price="149"))
    by_client = Cancel("qfex", "x", IdKind.CLIENT_ORDER, "AAPL-USD")
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        operation = gone(second, change(by_client, price="149"))
        report = await told(second, operation)
        assert report.outcome is Outcome.UNKNOWN
        assert "by a client id" in report.text
        assert second.health()["qfex"].unknown == 1
        assert (await second.cancel_all(deadline=3)).no_open_orders
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as third:
        (report,) = await third.recovered()
        assert report.outcome is Outcome.UNKNOWN


async def test_a_replace_of_an_order_that_was_changed_here_since_stays_unknown(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": quick(qfex_sim)}) as first:
        placed = await first.submit(limit())
        assert (await first.replace(placed, price="149")).ok
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        await second.open_orders("qfex")
        assert (await second.replace(placed.to_cancel(), price="148")).ok
        report = await told(second, gone(second, change(placed.to_cancel(), price="149")))
        assert report.outcome is Outcome.UNKNOWN
        assert "was changed since" in report.text
        assert (await second.replace(placed.to_cancel(), price="147")).ok
        await durable(second)
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as third:
        (report,) = await third.recovered()
        assert (await report.settled(3)).outcome is Outcome.UNKNOWN


async def test_a_replace_of_an_order_that_is_gone_stays_unknown_and_is_no_doubt_for_ever(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    nowhere = Cancel("qfex", "7d9f0c52-2f0e-4d39-9a0f-0a5a3f1f9d11", IdKind.ORDER, "AAPL-USD")
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        operation = gone(second, change(nowhere, price="149"))
        assert second.desk("qfex").placing(None) == [operation]
        report = await told(second, operation)
        assert report.outcome is Outcome.UNKNOWN
        await rest(second, "qfex")
        assert (await second.cancel_all(deadline=3)).no_open_orders
    assert not qfex_sim.commands("modify_order")


async def test_an_adoption_beside_what_recovery_asks_about(qfex_sim: QfexSimulator, journal: Path) -> None:
    order = limit()
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as earlier:
        await in_doubt(earlier, limit(), qfex_sim, deaf=True)
    await sent(qfex_sim, order, mute=True)
    async with Router({"qfex": quick(qfex_sim)}, journal=journal) as second:
        operation = gone(second, order)
        (recovered,) = await second.recovered()
        assert recovered.outcome is Outcome.REFUSED
        assert (await told(second, operation)).ok
