"""Where a restart could conclude too much: other orders of a client id, what filled meanwhile, what was said too early."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from pathlib import Path

import apsw
import pytest
from attrs import evolve

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, IdKind, Order, OrdStatus, Outcome, Router, SessionState, VenueUnreachable
from router.testing import Switches
from tests.restarting import ADD, CANCELS, b2trader, crash, dmex, durable, future, in_doubt, limit, open_ids, qfex, spot


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


# -- whose order a row is


@pytest.mark.parametrize("ending", ["fill", "cancel"])
async def test_an_order_that_had_the_client_id_before_is_not_taken_for_the_one_in_doubt(
    qfex_sim: QfexSimulator, journal: Path, ending: str
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        before = await first.submit(limit(client_order_id="x"))
        await in_doubt(first, limit(client_order_id="x"), qfex_sim, deaf=True)
        if ending == "fill":
            await qfex_sim.fill(str(before.order_id))
        else:
            await first.cancel(before)
        await first.open_orders("qfex")
        await durable(first)
        copy = crash(journal)
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as second:
        (report,) = await second.recovered()
        assert report.outcome in {Outcome.UNKNOWN, Outcome.REFUSED}
        assert report.order_id is None


async def test_an_order_that_ended_after_it_with_the_client_id_is_not_taken_for_the_one_in_doubt(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(client_order_id="x", price="149"), qfex_sim, deaf=True)
        await first.submit(limit(client_order_id="x"))
        (later,) = open_ids(qfex_sim)
        await qfex_sim.fill(later)
        await first.open_orders("qfex")
        await durable(first)
        copy = crash(journal)
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as second:
        (report,) = await second.recovered()
        assert report.order_id is None
        assert report.outcome is not Outcome.CONFIRMED


@pytest.mark.parametrize("on_unknown", ["leave", "kill"])
async def test_a_strangers_order_of_the_same_client_id_is_left_alone(
    qfex_sim: QfexSimulator, journal: Path, on_unknown: str
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}) as stranger:
        theirs = await stranger.submit(limit(client_order_id="x", quantity="3"))
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await first.open_orders("qfex")
        await in_doubt(first, limit(client_order_id="x", quantity="3"), qfex_sim, deaf=True)
        copy = crash(journal)
        await qfex_sim.fill(str(theirs.order_id), "1")  # its row has a newer time now
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy, on_unknown=on_unknown) as second:
        (report,) = await second.recovered()
        assert report.outcome is Outcome.UNKNOWN
        await second.cancel_all(scope="own", deadline=0.5)
    assert open_ids(qfex_sim) == {theirs.order_id}


async def test_of_two_submits_in_doubt_with_one_client_id_each_keeps_its_own_price(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        for price in ("150", "149"):
            await in_doubt(first, limit(client_order_id="x", price=price), qfex_sim, mute=True)
        copy = crash(journal)
        ids = {order.price: order.order_id for order in qfex_sim.book.values()}
    await qfex_sim.fill(ids[Decimal(150)])
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as second:
        for report in await second.recovered():
            assert report.order_id in {None, ids[report.request.price]}


# -- what is not to be lost


async def test_the_id_of_an_order_is_durable_before_it_is_told_where_nothing_else_tells_it(
    b2_sim: B2TraderSimulator, journal: Path
) -> None:
    for _ in range(5):
        async with Router({"b": b2trader(b2_sim)}, journal=journal) as first:
            placed = await first.submit(spot())
            copy = crash(journal)
        async with Router({"b": b2trader(b2_sim)}, journal=copy) as second:
            assert await second.recovered() == []
            assert placed.order_id in {state.order_id for state in second._desks["b"].ledger.live()}


async def test_an_order_that_a_modify_has_renamed_is_still_own(qfex_sim: QfexSimulator, journal: Path) -> None:
    qfex_sim.variants.modify_changes_order_id = True
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        placed = await first.submit(limit())
        replaced = await first.replace(placed, price="150")  # nothing but the id changes
        assert replaced.ok
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as second:
        (row,) = await second.open_orders("qfex")
        assert row.own
        report = await second.cancel("qfex", placed.order_id, symbol="AAPL-USD")  # by the id that it had
        assert report.ok


async def test_an_order_that_is_built_from_another_one_is_an_operation_of_its_own(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        order = limit()
        for each in (order, evolve(order, price=Decimal(149)), limit()):
            report = await router.submit(each)
            assert (report.outcome, report.journaled) == (Outcome.CONFIRMED, True)


# -- too early, too late


async def test_the_quiet_period_begins_when_the_venue_is_there(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(), qfex_sim, deaf=True)
        copy = crash(journal)
    await qfex_sim.stop()
    async with Router({"qfex": qfex(qfex_sim, quiet_period=1.0)}, journal=copy, strict=False) as second:
        loop = asyncio.get_running_loop()
        opened = loop.time()
        refused = await second.submit(limit(), deadline=1.2)
        assert refused.outcome is Outcome.NOT_SENT
        assert loop.time() - opened >= 1.0  # the quiet period is over, counted from here
        await qfex_sim.start()
        began = loop.time()
        (report,) = await second.recovered()
        assert loop.time() - began >= 1.0
        assert report.outcome is Outcome.REFUSED


async def test_a_replacement_is_not_made_of_a_count_that_a_wait_makes_old(
    dmex_sim: DmexSimulator, journal: Path
) -> None:
    async with Router({"dmex": dmex(dmex_sim)}, journal=journal) as first:
        old = await first.submit(future())
        dmex_sim.switches = Switches(deaf=True)
        assert (await first.submit(future(), deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        copy = crash(journal)
        dmex_sim.switches = Switches()
    async with Router({"dmex": dmex(dmex_sim, quiet=0.5)}, journal=copy) as second:
        report = await second.replace(old.to_cancel(), price="60001")
        assert report.outcome is Outcome.NOT_SENT
        assert "asked about" in report.text
    assert len(dmex_sim.orders) == 1


async def test_the_old_order_stays_when_nothing_could_be_placed_in_its_place(
    b2_sim: B2TraderSimulator, journal: Path
) -> None:
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as router:
        placed = await router.submit(spot())
        router._journal._fail("journal: the disk is full")
        report = await router.replace(placed, price="99", allow_gap=True)
        assert (report.outcome, report.text) == (Outcome.NOT_SENT, "b: journal: the disk is full")
    assert not any(each.command.startswith("DELETE") for each in b2_sim.received)


async def test_a_cancel_right_after_opening_counts_as_a_repeat(b2_sim: B2TraderSimulator, journal: Path) -> None:
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as first:
        placed = await first.submit(spot())
        b2_sim.switches = Switches(mute=True)
        assert (await first.cancel(placed, deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        copy = crash(journal)
        b2_sim.switches = Switches()
    async with Router({"b": b2trader(b2_sim)}, journal=copy) as second:
        report = await second.cancel(placed.to_cancel(), deadline=1)
        assert report.outcome is Outcome.UNKNOWN


# -- held cancels, cancel_all, opening


@pytest.mark.parametrize("answered", [True, False])
async def test_a_held_cancel_that_went_out_by_client_id_never_does_again(
    qfex_sim: QfexSimulator, journal: Path, *, answered: bool
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        order = limit()
        qfex_sim.switches = Switches(deaf=True, only=ADD | frozenset(CANCELS))
        await first.submit(order, deadline=0.1)
        assert (await first.cancel(order, deadline=0.1)).sent_at is not None
        await durable(first)
        copy = crash(journal)
    qfex_sim.switches = Switches() if answered else Switches(deaf=True, only=frozenset({"get_order"}))
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as second:
        _, cancelled = await second.recovered()
        assert cancelled.outcome is (Outcome.REFUSED if answered else Outcome.UNKNOWN)
    assert len(qfex_sim.commands(*CANCELS)) == 1


async def test_a_cancel_all_that_was_given_up_is_not_carried_out_later(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        placed = await first.submit(limit())
        qfex_sim.switches = Switches(deaf=True, only=frozenset({"cancel_all_orders", *CANCELS}))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first.cancel_all("qfex", deadline=5), 0.2)
    qfex_sim.switches = Switches()
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as second:
        reports = await second.recovered()
        assert all(report.request.id != placed.order_id for report in reports)
    assert open_ids(qfex_sim) == {placed.order_id}


async def test_a_router_that_could_not_be_opened_recovers_when_it_can(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(), qfex_sim, mute=True)
    await qfex_sim.stop()
    second = Router({"qfex": qfex(qfex_sim)}, journal=journal)
    with pytest.raises(VenueUnreachable):
        await second.open()
    await qfex_sim.start()
    async with second:
        (report,) = await second.recovered()
        assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.NEW)


async def test_a_refused_login_is_what_submits_are_told_of(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(), qfex_sim, mute=True)
    wrong = {**qfex_sim.credentials, "secret_key": "0" * 64}
    async with Router({"qfex": Qfex(**wrong)}, journal=journal, strict=False) as second:
        assert second.health()["qfex"].state is SessionState.FATAL
        (report,) = await second.recovered()
        assert report.outcome is Outcome.UNKNOWN
        refused = await second.submit(limit())
        assert refused.outcome is Outcome.NOT_SENT
        assert "login refused" in refused.text


async def test_another_accounts_journal_is_left_alone_when_that_is_not_strict(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        placed = await first.submit(limit())
    other = qfex(qfex_sim)
    other.account = "theirs"
    async with Router({"qfex": other}, journal=journal, strict=False) as second:
        assert "another account" in str(second.journal_error)
        assert (await second.submit(limit())).outcome is Outcome.NOT_SENT
        report = await second.cancel(placed)
        assert (report.outcome, report.journaled) == (Outcome.CONFIRMED, False)
    assert not open_ids(qfex_sim)


async def test_what_a_journal_that_was_not_read_has_as_own_is_never_said_to_be_gone(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        placed = await first.submit(limit())
    os.truncate(journal, 0)
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal, strict=False) as second:
        report = await second.cancel_all(scope="own", deadline=1)
        assert not report.no_open_orders
        assert "earlier runs are not known" in str(report.doubts)
        assert open_ids(qfex_sim) == {placed.order_id}
        assert (await second.cancel_all(deadline=2)).no_open_orders  # of the account, it can be proven
    assert not open_ids(qfex_sim)


async def test_a_cancel_all_is_not_finished_where_its_cancels_could_not_be_sent(
    b2_sim: B2TraderSimulator, journal: Path
) -> None:
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as first:
        placed = await first.submit(spot())
        b2_sim.switches = Switches(deaf=True)
        working = asyncio.ensure_future(first.cancel_all("b", deadline=3))
        await b2_sim.until(1, "DELETE orders")
        await durable(first)
        copy = crash(journal)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    await b2_sim.stop()
    venue = b2trader(b2_sim)
    venue._deadline = 0.2
    async with Router({"b": venue}, journal=copy, strict=False) as second:
        await second.recovered(timeout=2)
    db = apsw.Connection(str(copy))
    left = [state for (state,) in db.execute("SELECT state FROM operation WHERE verb = 'cancel_all'")]
    db.close()
    assert left == ["intent"]
    assert placed.order_id is not None


async def test_recovered_returns_when_the_router_is_closed(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(), qfex_sim, deaf=True)
    second = Router({"qfex": qfex(qfex_sim, quiet_period=30)}, journal=journal)
    await second.open()
    waiting = asyncio.ensure_future(second.recovered())
    await qfex_sim.until(1, "get_order")
    await second.close()
    assert [report.outcome for report in await waiting] == [Outcome.UNKNOWN]


async def test_a_venue_that_cannot_be_asked_holds_no_submit_up(b2_sim: B2TraderSimulator, journal: Path) -> None:
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as first:
        b2_sim.switches = Switches(mute=True)
        assert (await first.submit(spot(), deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        copy = crash(journal)
        b2_sim.switches = Switches()
    async with Router({"b": b2trader(b2_sim)}, journal=copy) as second:
        order: Order = spot()
        assert (await second.submit(order, deadline=1)).ok


async def test_a_replace_of_an_order_that_has_ended_is_not_asked_about_for_ever(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        placed = await first.submit(limit())
        qfex_sim.switches = Switches(deaf=True, only=frozenset({"modify_order"}))
        assert (await first.replace(placed, price="149", deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        copy = crash(journal)
    qfex_sim.switches = Switches()
    await qfex_sim.fill(str(placed.order_id))
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as second:
        (report,) = await second.recovered()
        assert (report.outcome, report.status) == (Outcome.UNKNOWN, OrdStatus.FILLED)
    asked = len(qfex_sim.received)
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as third:
        (report,) = await third.recovered()
        assert report.outcome is Outcome.UNKNOWN
        assert len(qfex_sim.received) - asked <= 5  # the login, and one list


async def test_a_strangers_order_of_another_price_is_not_taken_for_the_one_in_doubt(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(client_order_id="x", price="105"), qfex_sim, deaf=True)
        copy = crash(journal)
    async with Router({"qfex": qfex(qfex_sim)}) as stranger:
        theirs = await stranger.submit(limit(client_order_id="x", price="99"))
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as second:
        (report,) = await second.recovered()
        assert (report.outcome, report.order_id) == (Outcome.UNKNOWN, None)
        await second.cancel_all(scope="own", deadline=0.5)
    assert open_ids(qfex_sim) == {theirs.order_id}


async def test_a_cancel_all_is_finished_also_after_a_start_that_failed(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        for _ in range(3):
            await first.submit(limit())
        qfex_sim.switches = Switches(deaf=True, only=frozenset({"cancel_all_orders", *CANCELS}))
        working = asyncio.ensure_future(first.cancel_all("qfex", deadline=3))
        await qfex_sim.until(1, "cancel_all_orders")
        await durable(first)
        copy = crash(journal)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    await qfex_sim.stop()
    with pytest.raises(VenueUnreachable):
        await Router({"qfex": qfex(qfex_sim)}, journal=copy).open()
    qfex_sim.switches = Switches()
    await qfex_sim.start()
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as third:
        await third.recovered()
    assert not open_ids(qfex_sim)


async def test_an_order_object_means_the_same_order_after_the_router_was_opened_again(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    router = Router({"qfex": qfex(qfex_sim)}, journal=journal)
    mine, other, never = (limit(client_order_id="x") for _ in range(3))
    async with router:
        kept = [await router.submit(each) for each in (mine, other)]
        qfex_sim.refuse({"add_order"}, "REJECTED")
        await router.submit(never)
    async with router:
        assert (await router.cancel(mine)).ok
        assert open_ids(qfex_sim) == {kept[1].order_id}
        assert (await router.cancel(never)).outcome is Outcome.NOT_SENT
        assert open_ids(qfex_sim) == {kept[1].order_id}


async def test_a_cancel_of_a_set_does_not_join_one_that_is_answered_and_not_told_yet(
    qfex_sim: QfexSimulator, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        for _ in range(2):
            await router.submit(limit(client_order_id="x"))
        await durable(router)
        monkeypatch.setattr(router._journal, "is_durable", lambda _: False)
        monkeypatch.setattr(router._journal, "when", lambda *_: None)  # the disk stalls
        same = Cancel("qfex", "x", IdKind.CLIENT_ORDER, "AAPL-USD")
        first = asyncio.ensure_future(router.cancel(same, deadline=1.5))
        async with Router({"qfex": qfex(qfex_sim)}) as stranger:
            async with asyncio.timeout(3):
                while open_ids(qfex_sim):
                    await stranger.open_orders("qfex")
            async with asyncio.timeout(3):
                while not all(each.phase == "done" for each in router._desks["qfex"]._doubts.cancels.values()):
                    await stranger.open_orders("qfex")
            await stranger.submit(limit(client_order_id="x"))
        second = await router.cancel(same, deadline=1)
        assert second.ok or second.outcome is Outcome.UNKNOWN
        assert len(qfex_sim.commands(*CANCELS)) == 2
        assert (await first).journaled is False
    assert not open_ids(qfex_sim)


async def test_a_replace_of_an_order_that_has_ended_changes_no_other_of_its_client_id(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    router = Router({"qfex": qfex(qfex_sim)}, journal=journal)
    ended, other = (limit(client_order_id="x") for _ in range(2))
    async with router:
        placed = await router.submit(ended)
        await router.submit(other)
        await qfex_sim.fill(str(placed.order_id))
        await router.open_orders("qfex")
    async with router:
        await router.replace(ended, price="140")
    (left,) = qfex_sim.book.values()
    assert left.price == Decimal(150)
