"""A restart: what the journal left open is asked about, sent again, or left in doubt, as its effect allows.

A crash is made by copying the journal's files as they are at that moment, as a killed process leaves them, and by opening
the next Router on the copy; what the first one goes on writing never gets there.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router import (
    Cancel,
    IdKind,
    JournalBusy,
    JournalError,
    Order,
    OrdStatus,
    Origin,
    Outcome,
    Router,
)
from router.testing import Switches
from tests.restarting import (
    ADD,
    CANCELS,
    QUIET,
    b2trader,
    crash,
    durable,
    in_doubt,
    limit,
    open_ids,
    qfex,
    restarted,
    spot,
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


# -- submits


async def test_a_submit_in_doubt_that_was_executed_is_found_and_never_sent_again(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        order = limit()
        await in_doubt(first, order, qfex_sim, mute=True)
        async with restarted(qfex_sim, journal) as second:
            (report,) = await second.recovered()
            assert report.outcome is Outcome.CONFIRMED
            assert report.request == order
            assert {report.order_id} == open_ids(qfex_sim)
            (row,) = await second.open_orders("qfex")
            assert (row.own, row.client_order_id) == (True, order.client_order_id)
            assert (await second.cancel(report)).ok
    assert len(qfex_sim.commands("add_order")) == 1
    assert not open_ids(qfex_sim)


async def test_a_submit_in_doubt_that_never_arrived_is_not_placed_but_not_before_the_quiet_period(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(), qfex_sim, deaf=True)
        began = asyncio.get_running_loop().time()
        async with restarted(qfex_sim, journal) as second:
            (report,) = await second.recovered()
            assert asyncio.get_running_loop().time() - began >= QUIET
            assert (report.outcome, report.origin) == (Outcome.REFUSED, Origin.ROUTER)
            assert "not placed" in report.text
            assert report.journaled is True
        async with Router({"qfex": qfex(qfex_sim)}, journal=journal.parent / "crash-none") as _:
            pass
    assert len(qfex_sim.commands("add_order")) == 1


async def test_what_was_resolved_is_not_asked_about_again(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(), qfex_sim, deaf=True)
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as second:
        assert len(await second.recovered()) == 1
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as third:
        assert await third.recovered() == []


async def test_a_submit_that_is_filled_while_nobody_runs_is_found_as_filled(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(), qfex_sim, mute=True)
        copy = crash(journal)
    (order_id,) = open_ids(qfex_sim)
    await qfex_sim.fill(order_id)
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as second:
        (report,) = await second.recovered()
        assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.FILLED)


async def test_submits_wait_for_the_answers_and_cancels_do_not(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        kept = await first.submit(limit())
        await in_doubt(first, limit(), qfex_sim, deaf=True)
        async with restarted(qfex_sim, journal) as second:
            late = await second.submit(limit(), deadline=0.05)
            assert (late.outcome, late.sent_at) == (Outcome.NOT_SENT, None)
            assert "still being asked about" in late.text
            assert "asked about" in second.health()["qfex"].warning
            waiting = asyncio.ensure_future(second.submit(limit(), deadline=5))
            assert (await second.cancel("qfex", kept.order_id, symbol="AAPL-USD")).ok
            assert not waiting.done()
            assert (await waiting).ok
            assert "asked about" not in second.health()["qfex"].warning
    assert len(qfex_sim.commands("add_order")) == 3


async def test_closing_while_asking_sends_nothing(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(), qfex_sim, deaf=True)
        async with restarted(qfex_sim, journal) as second:
            waiting = asyncio.ensure_future(second.submit(limit(), deadline=5))
            await asyncio.wait([waiting], timeout=0.05)
        assert (await waiting).outcome is Outcome.NOT_SENT
    assert len(qfex_sim.commands("add_order")) == 1


async def test_kill_cancels_an_unknown_submit_by_its_client_id(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(), qfex_sim, mute=True)
        async with restarted(qfex_sim, journal, on_unknown="kill") as second:
            await second.recovered()
            await qfex_sim.until(1, *CANCELS)
            async with asyncio.timeout(3):
                while open_ids(qfex_sim):
                    await second.open_orders("qfex")
    assert not open_ids(qfex_sim)


# -- cancels


async def test_a_cancel_in_doubt_goes_out_again(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        placed = await first.submit(limit())
        qfex_sim.switches = Switches(deaf=True, only=frozenset(CANCELS))
        assert (await first.cancel(placed, deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        qfex_sim.switches = Switches()
        async with restarted(qfex_sim, journal) as second:
            (report,) = await second.recovered()
            assert report.outcome is Outcome.CONFIRMED
            assert report.request.id == placed.order_id
    assert len(qfex_sim.commands(*CANCELS)) == 2
    assert not open_ids(qfex_sim)


async def test_a_cancel_in_doubt_that_was_executed_is_told_by_the_venue_and_not_guessed(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        placed = await first.submit(limit())
        qfex_sim.switches = Switches(mute=True, only=frozenset(CANCELS))
        assert (await first.cancel(placed, deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        qfex_sim.switches = Switches()
        async with restarted(qfex_sim, journal) as second:
            (report,) = await second.recovered()
            assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)


async def test_a_cancel_of_a_set_is_never_sent_again_and_newer_orders_are_left(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        old = [(await first.submit(limit(client_order_id="same"))).order_id for _ in range(2)]
        qfex_sim.switches = Switches(deaf=True, only=frozenset(CANCELS))
        same = Cancel("qfex", "same", IdKind.CLIENT_ORDER, "AAPL-USD")
        assert (await first.cancel(same, deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        copy = crash(journal)
        qfex_sim.switches = Switches()
        newer = await first.submit(limit(client_order_id="same"))
        before = len(qfex_sim.commands(*CANCELS))
        async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as second:
            (report,) = await second.recovered()
            assert report.outcome is Outcome.CONFIRMED
            assert {order.order_id for order in report.orders} == set(old)
        sent = qfex_sim.commands(*CANCELS)[before:]
    assert len(sent) == 2
    assert not any("same" in str(each.message) for each in sent)
    assert open_ids(qfex_sim) == {newer.order_id}


async def test_a_cancel_all_in_doubt_is_never_given_again_and_newer_orders_are_left(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        old = [await first.submit(limit()) for _ in range(3)]
        qfex_sim.switches = Switches(deaf=True, only=frozenset({"cancel_all_orders", *CANCELS}))
        working = asyncio.ensure_future(first.cancel_all("qfex", deadline=3))
        await qfex_sim.until(1, "cancel_all_orders")
        await durable(first)
        copy = crash(journal)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        qfex_sim.switches = Switches()
        newer = await first.submit(limit())
        async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as second:
            await second.recovered()
        async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as third:
            assert await third.recovered() == []
    assert len(qfex_sim.commands("cancel_all_orders")) == 1
    assert open_ids(qfex_sim) == {newer.order_id}
    assert len(old) == 3


async def test_a_cancel_that_was_held_goes_out_once_its_order_is_found(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        order = limit(client_order_id="twice")
        await first.submit(
            limit(client_order_id="twice", price="151")
        )  # so that the client id names nothing for certain
        qfex_sim.switches = Switches(mute=True, only=ADD)
        submitting = asyncio.ensure_future(first.submit(order, deadline=0.2))
        await qfex_sim.until(2, "add_order")
        held = await first.cancel(order, deadline=0.1)
        assert (held.outcome, held.sent_at) == (Outcome.UNKNOWN, None)
        await submitting
        await durable(first)
        qfex_sim.switches = Switches()
        async with restarted(qfex_sim, journal) as second:
            reports = await second.recovered()
            assert [report.outcome for report in reports] == [Outcome.CONFIRMED, Outcome.CONFIRMED]
    (left,) = qfex_sim.book.values()
    assert left.price == Decimal(151)


# -- replaces


@pytest.mark.parametrize(("switch", "outcome"), [("mute", Outcome.CONFIRMED), ("deaf", Outcome.REFUSED)])
async def test_a_replace_in_doubt_is_read_back(
    qfex_sim: QfexSimulator, journal: Path, switch: str, outcome: Outcome
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        placed = await first.submit(limit())
        qfex_sim.switches = Switches(**{switch: True}, only=frozenset({"modify_order"}))
        assert (await first.replace(placed, price="149", deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        qfex_sim.switches = Switches()
        async with restarted(qfex_sim, journal) as second:
            (report,) = await second.recovered()
            assert report.outcome is outcome
    assert len(qfex_sim.commands("modify_order")) == 1


# -- orders


async def test_own_orders_are_own_again_and_others_are_left_alone(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        mine = await first.submit(limit())
        ended = await first.submit(limit())
        assert (await first.cancel(ended)).ok
    async with Router({"qfex": qfex(qfex_sim)}) as stranger:
        theirs = await stranger.submit(limit())
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as second:
        assert await second.recovered() == []
        rows = {row.order_id: row.own for row in await second.open_orders("qfex")}
        assert rows == {mine.order_id: True, theirs.order_id: False}
        report = await second.cancel_all(scope="own")
        assert [order.order_id for order in report.affected] == [mine.order_id]
        assert report.no_open_orders
    assert open_ids(qfex_sim) == {theirs.order_id}


async def test_an_order_that_ended_while_nobody_ran_is_known_to_have_ended(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        mine = await first.submit(limit())
    await qfex_sim.fill(str(mine.order_id))
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as second:
        await second.recovered()
        report = await second.cancel("qfex", mine.order_id, symbol="AAPL-USD")
        assert (report.outcome, report.status) == (Outcome.REFUSED, OrdStatus.FILLED)


async def test_a_trade_of_an_earlier_run_is_not_counted_again(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        mine = await first.submit(limit(quantity="3"))
        events = first.events()
        await qfex_sim.fill(str(mine.order_id), "1")
        async for trade in events:
            if trade.trade_id is not None:
                break
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as second:
        (row,) = await second.open_orders("qfex")
        assert row.cum_quantity == 1
        events = second.events()
        entry = second._desks["qfex"].ledger.find(str(mine.order_id))
        assert {name for name, _ in entry.trades} == {trade.trade_id}
        await qfex_sim.fill(str(mine.order_id), "2")
        async for event in events:
            if event.trade_id is not None:
                break
        assert event.last_quantity == Decimal(2)
        assert event.cum_quantity == 3


async def test_a_client_id_of_an_earlier_run_still_names_its_order(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        order = limit()
        placed = await first.submit(order)
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as second:
        report = await second.cancel("qfex", order.client_order_id, IdKind.CLIENT_ORDER)
        assert [each.order_id for each in report.orders] == [placed.order_id]


# -- venues that can't be asked


async def test_where_the_venue_cannot_be_asked_a_submit_stays_unknown_and_later_ones_go(
    b2_sim: B2TraderSimulator, journal: Path
) -> None:
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as first:
        b2_sim.switches = Switches(mute=True)
        assert (await first.submit(spot(), deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        copy = crash(journal)
        b2_sim.switches = Switches()
        for _ in range(2):
            async with Router({"b": b2trader(b2_sim)}, journal=copy) as later:
                (report,) = await later.recovered()
                assert report.outcome is Outcome.UNKNOWN
                assert "cannot be asked" in report.text
                assert later.health()["b"].unknown == 1
                assert (await later.submit(spot())).ok


async def test_a_cancel_that_is_gone_is_not_sent_by_every_later_run(b2_sim: B2TraderSimulator, journal: Path) -> None:
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as first:
        placed = await first.submit(spot())
        b2_sim.switches = Switches(mute=True)
        assert (await first.cancel(placed, deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        copy = crash(journal)
        b2_sim.switches = Switches()
    before = sum(each.command.startswith("DELETE") for each in b2_sim.received)
    async with Router({"b": b2trader(b2_sim)}, journal=copy) as second:
        (report,) = await second.recovered()
        assert report.outcome is Outcome.UNKNOWN
        assert "gone, cause unknown" in report.text
    async with Router({"b": b2trader(b2_sim)}, journal=copy) as third:
        (report,) = await third.recovered()
        assert report.outcome is Outcome.UNKNOWN
        assert third.health()["b"].unknown == 1
    assert sum(each.command.startswith("DELETE") for each in b2_sim.received) == before + 1


async def test_a_dmex_order_is_found_by_the_hash_that_was_written_before_it_was_sent(
    dmex_sim: DmexSimulator, journal: Path
) -> None:
    def dmex() -> Dmex:
        return Dmex(**dmex_sim.credentials, order_encoder=dmex_sim.bench.encode)

    async with Router({"dmex": dmex()}, journal=journal) as first:
        order = Order("dmex", "btcusd", "buy", "limit", "0.5", "60000", options={"leverage": 10})
        dmex_sim.switches = Switches(mute=True)
        assert (await first.submit(order, deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        dmex_sim.switches = Switches()
        async with Router({"dmex": dmex()}, journal=crash(journal)) as second:
            (report,) = await second.recovered()
            assert report.outcome is Outcome.CONFIRMED
            assert len(dmex_sim.orders) == 1
            assert report.order_id in dmex_sim.orders
            assert (await second.cancel(report)).ok


# -- whose journal


async def test_a_second_router_on_the_same_journal_is_told_who_has_it(qfex_sim: QfexSimulator, journal: Path) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal):
        with pytest.raises(JournalBusy, match="has it open"):
            await Router({"qfex": qfex(qfex_sim)}, journal=journal).open()
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as second:
        assert (await second.submit(limit())).journaled is True


async def test_a_journal_of_another_account_is_not_asked_about_with_this_one(
    qfex_sim: QfexSimulator, journal: Path
) -> None:
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await first.submit(limit())
    other = qfex(qfex_sim)
    other.account = "theirs"
    with pytest.raises(JournalError, match="another account"):
        await Router({"qfex": other}, journal=journal).open()
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as again:
        assert len(await again.open_orders("qfex")) == 1


async def test_a_router_that_is_opened_again_knows_each_order_once(qfex_sim: QfexSimulator, journal: Path) -> None:
    router = Router({"qfex": qfex(qfex_sim)}, journal=journal)
    async with router:
        await in_doubt(router, limit(), qfex_sim, mute=True)
        mine = await router.submit(limit())
    async with router:
        (report,) = await router.recovered()
        assert report.ok
        rows = await router.open_orders("qfex")
        assert {row.order_id for row in rows if row.own} == {report.order_id, mine.order_id}
        assert (await router.cancel(mine)).ok
        assert (await router.submit(limit())).journaled is True


async def test_without_a_journal_nothing_is_said_of_one(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": qfex(qfex_sim)}) as router:
        assert (await router.submit(limit())).journaled is None
        assert await router.recovered() == []
