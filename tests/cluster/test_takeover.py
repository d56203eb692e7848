"""What goes on between two owners of a venue: what one of them may have done, and the other is asked about."""

import asyncio
import time
from types import SimpleNamespace

from adapters.b2trader.simulator import B2TraderSimulator
from router import Cancel, IdKind, OrdStatus, Outcome
from router.cluster import wire
from router.cluster.ownership.bucket import Bucket
from router.cluster.ownership.leasing import Record
from router.cluster.serving import post
from router.model import mint_client_order_id
from router.testing import Switches
from tests import restarting

from .conftest import TTL
from .strategies import limit, new_op, submitting

ADD, CANCEL = "add_order", "cancel_order"


def by_name(order):
    return Cancel("qfex", order.client_order_id, IdKind.CLIENT_ORDER, order.symbol)


def adds(venue):
    return len(venue.commands(ADD))


# -- a cancel of an order whose submit went to an earlier owner


async def test_a_cancel_of_what_an_earlier_owner_placed_says_nothing_of_its_submit(gateway, venue, alpha):
    order, op = limit(), new_op()
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        placed = await alpha.submit(tenure, order, op=op)
    async with gateway(venue, "g2"):  # its journal is empty
        later = await alpha.owner("qfex", gateway="g2", healthy=True)
        cancelled = await alpha.cancel(later, by_name(order), of=op, placed=tenure)
        assert cancelled.report.outcome is Outcome.CONFIRMED
        told = await alpha.settle(later, "qfex", submitting(tenure, order, op=op))
        assert told.report.outcome is not Outcome.NOT_SENT
        assert told.report.order_id in {None, placed.report.order_id}
    assert not venue.book
    assert adds(venue) == 1


async def test_a_second_cancel_of_what_an_earlier_owner_placed_goes_out_as_well(gateway, venue, alpha):
    order, op = limit(), new_op()
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        await alpha.submit(tenure, order, op=op)
    async with gateway(venue, "g2"):
        later = await alpha.owner("qfex", gateway="g2", healthy=True)
        venue.switches = Switches(only=frozenset({CANCEL}), deaf=True)
        first = await alpha.cancel(later, by_name(order), of=op, placed=tenure, seconds=0.3)
        assert first.report.outcome is Outcome.UNKNOWN
        venue.switches = Switches()
        second = await alpha.cancel(later, by_name(order), of=op, placed=tenure, seconds=0.5)
        assert second.report.outcome in {Outcome.CONFIRMED, Outcome.UNKNOWN}
        assert not venue.book


async def test_what_names_another_tenure_is_not_done_also_where_it_is_looked_up_first(gateway, venue, alpha):
    early, op = limit(), new_op()  # older than what the journal will know of
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        await alpha.submit(tenure, limit())
    async with gateway(venue):
        later = await alpha.owner("qfex", other=tenure, healthy=True)
        said = await alpha.say("qfex", submitting(tenure, early, op=op), tenure=later)
        assert said == wire.Refused(text=f"qfex: it was for the tenure {tenure!r}")
    assert adds(venue) == 1


async def test_a_replace_with_a_gap_is_told_by_the_journal_as_it_was_told_live(gateway, alpha):
    async with B2TraderSimulator() as venue:
        adapter = restarting.b2trader(venue)
        async with gateway(None, adapters={"b": adapter}):
            tenure = await alpha.owner("b", healthy=True)
            placed = await alpha.submit(tenure, restarting.spot())
            adapter.fence = lambda: "for the test" if venue.commands("DELETE orders") else ""  # the old order is gone
            given = {"target": wire.Address(placed.report.order_id), "price": "99", "allow_gap": True}
            replacing = wire.Replacing(op=new_op(), tenure=tenure, deadline=time.time() + 1, **given)
            live = await alpha.say("b", replacing)
        async with gateway(None, adapters={"b": restarting.b2trader(venue)}):
            later = await alpha.owner("b", other=tenure, healthy=True)
            told = await alpha.settle(later, "b", replacing)
    assert (live.report.outcome, live.report.text) == (told.report.outcome, told.report.text)
    assert (told.report.outcome, told.report.status) == (Outcome.REFUSED, OrdStatus.CANCELED)


# -- what goes wrong in the gateway itself


async def test_whoever_is_told_of_notes_and_fails_costs_no_venue(gateway, venue, alpha):
    def tell(note):
        raise RuntimeError(note.what)

    async with gateway(venue, tell=tell):
        tenure = await alpha.owner("qfex", healthy=True)
        assert (await alpha.submit(tenure, limit())).report.outcome is Outcome.CONFIRMED


async def test_a_venue_that_cannot_be_opened_because_of_a_mistake_is_tried_again(gateway, venue, alpha, monkeypatch):
    monkeypatch.setattr(post, "FIRST_PAUSE", 0.05)
    adapter, notes = restarting.qfex(venue), []
    opened = adapter.open

    async def once(*given, **more):
        adapter.open = opened
        raise RuntimeError("a mistake")

    adapter.open = once
    async with gateway(None, adapters={"qfex": adapter}, tell=notes.append):
        tenure = await alpha.owner("qfex", healthy=True)
        assert (await alpha.submit(tenure, limit())).report.outcome is Outcome.CONFIRMED
    assert [note.text for note in notes if note.what == "failed"] == [
        "can't own it, because of a mistake of ours; see the log"
    ]


async def test_a_journal_that_is_lost_is_told_and_cancels_go_on(gateway, venue, alpha, tmp_path):
    notes = []
    async with gateway(venue, tell=notes.append):
        tenure = await alpha.owner("qfex", healthy=True)
        placed = await alpha.submit(tenure, limit())
        (tmp_path / "g1.qfex.journal").rename(tmp_path / "away")
        lost = await alpha.submit(tenure, limit())
        assert lost.report.outcome is Outcome.NOT_SENT
        cancelled = await alpha.cancel(tenure, Cancel("qfex", placed.report.order_id, symbol="AAPL-USD"))
        assert (cancelled.report.outcome, cancelled.report.journaled) == (Outcome.CONFIRMED, False)
        async with asyncio.timeout(5):
            while not any(note.what == "journal" and note.is_trouble for note in notes):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert adds(venue) == 1


async def test_a_lease_that_somebody_takes_while_the_venue_is_opened_is_given_up(gateway, venue, alpha):
    adapter, notes = restarting.qfex(venue), []
    opened, begun, go = adapter.open, asyncio.Event(), asyncio.Event()

    async def slowly(*given, **more):
        begun.set()
        await go.wait()
        return await opened(*given, **more)

    adapter.open = slowly
    bucket = Bucket(SimpleNamespace(client=alpha.client), timeout=5)
    async with gateway(None, adapters={"qfex": adapter}, tell=notes.append):
        await begun.wait()
        thief = Record(gateway="thief", tenure="9-deadbeef", epoch=9, ttl=TTL)
        while not await bucket.write("qfex", thief, (await bucket.read("qfex")).revision):
            pass  # it was renewed in between
        async with asyncio.timeout(5):
            while not any(note.what == "lost" for note in notes):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert venue.commands() == []
        go.set()
        tenure = await alpha.owner("qfex", healthy=True)
        assert (await alpha.submit(tenure, limit())).report.outcome is Outcome.CONFIRMED
    assert not any("inf" in note.text for note in notes)


async def test_no_strategy_breaks_the_journal_with_ids_that_the_gateway_makes_itself(gateway, venue, alpha):
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        last = mint_client_order_id()
        made, ahead = last, [f"{last[:16]}{int(last[16:]) + number:016d}" for number in range(5, 40)]
        assert isinstance(await alpha.submit(tenure, limit(client_order_id="made"), op=made), wire.Told)
        for op in ahead:
            said = await alpha.submit(tenure, limit(client_order_id=f"order-{op}"), op=op)
            assert isinstance(said, wire.Told | wire.Mistaken)
        lost = submitting("1-earlier", limit(), op=f"{last[:16]}{10**15}")
        assert isinstance(await alpha.settle(tenure, "qfex", lost), wire.Mistaken)
        everything = wire.CancelAll(op=new_op(), tenure=tenure, deadline=time.time() + 5)
        assert (await alpha.say("qfex", everything, timeout=6)).report.no_open_orders
        placed = await alpha.submit(tenure, limit())
        assert (placed.report.outcome, placed.report.journaled) == (Outcome.CONFIRMED, True)
