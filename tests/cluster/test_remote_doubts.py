"""cancel_all of a strategy that has something in doubt: whatever may be open is cancelled, or told."""

import asyncio
import gc
import inspect

import pytest

from router import Cancel, GatewayUnreachable, Order, OrdStatus, Outcome
from router.cluster import RemoteRouter, subjects, wire
from router.cluster.strategy import placed as placed_orders
from router.massreport import VenueCancelReport
from router.report import OrderState

from .pretending import HOLD, Pretender, told
from .servers import nats_server

EMPTY = wire.Cancelled(report=VenueCancelReport(venue="v", no_open_orders=True))


@pytest.fixture
async def remote(nats):
    async with RemoteRouter(nats.url, strategy="alpha") as router:
        yield router


@pytest.fixture
async def gateway(nats):
    async with Pretender(nats.url) as pretender:
        pretender.says["cancel_all"] = EMPTY
        yield pretender


def order(**changes):
    return Order("v", "S", "buy", "limit", **{"quantity": "1", "price": "2"} | changes)


async def doubtful(remote, gateway, **changes):
    gateway.says["submit"] = None
    report = await remote.submit(order(**changes), deadline=0.05)
    assert report.outcome is Outcome.UNKNOWN
    return report


def settling_tasks():
    """Tasks that ask what became of something."""
    names = {"_finding", "settle", "settled", "find_out"}
    return [task for task in asyncio.all_tasks() if task.get_coro().__name__ in names]


def once(first, then):
    """A gateway's word that is another at the first time."""
    words = iter([first])
    return lambda _: next(words, then)


async def test_a_cancel_all_that_was_refused_once_is_given_again_as_another(remote, gateway):
    buried = set()

    def says(command):  # as a gateway does whose lease had run out for a moment: what it refused it refuses for good
        if not buried:
            buried.add(command.op)
        return wire.Refused(text="v: fenced") if command.op in buried else EMPTY

    gateway.says["cancel_all"] = says
    assert (await remote.cancel_all("v", deadline=5)).no_open_orders is True
    assert len(gateway.of(wire.CancelAll)) == 2


async def test_what_turns_out_to_be_placed_is_cancelled_by_another_round(remote, gateway):
    await doubtful(remote, gateway, client_order_id="mine")
    gateway.says["settle"] = told(Outcome.CONFIRMED, order_id="77", status=OrdStatus.NEW)
    row = OrderState(venue="v", order_id="77", status=OrdStatus.CANCELED)
    taken = wire.Cancelled(report=VenueCancelReport(venue="v", affected=(row,), no_open_orders=True))
    gateway.says["cancel_all"] = lambda command: taken if "77" in command.known else EMPTY
    report = await remote.cancel_all("v", deadline=5)
    assert (report.no_open_orders, report.affected) == (True, (row,))
    assert gateway.of(wire.CancelAll)[-1].known == ("77",)


async def test_one_that_stays_in_doubt_does_not_hold_up_the_cancel_of_another(remote, gateway):
    lost = await doubtful(remote, gateway)
    found = await doubtful(remote, gateway)

    def says(command):
        if command.command.op == lost.client_order_id:
            return None
        return told(Outcome.CONFIRMED, order_id="77", status=OrdStatus.NEW)

    gateway.says["settle"] = says
    assert found.client_order_id != lost.client_order_id
    report = await remote.cancel_all("v", deadline=1.5)
    assert any("77" in command.known for command in gateway.of(wire.CancelAll))
    assert report.no_open_orders is False
    assert [lost.client_order_id in doubt.text for doubt in report.doubts] == [True]


async def test_what_the_last_owner_may_have_placed_is_a_doubt_until_the_next_one_tells(nats, remote, gateway):
    """The new owner's list is empty, because it has never heard of the submit that is still under way."""
    gateway.says["submit"] = HOLD
    placing = asyncio.ensure_future(remote.submit(order(client_order_id="mine"), deadline=20))
    await gateway.until(wire.Submitting)
    gateway.announces = False
    other = Pretender(nats.url, epoch=2)
    other.says |= {"cancel_all": EMPTY, "settle": HOLD}
    async with other:
        await other.until(wire.Settling)
        report = await remote.cancel_all("v", deadline=0.5)
        assert (report.no_open_orders, len(report.doubts)) == (False, 1)
        assert "submit" in report.doubts[0].text
        assert (await remote.cancel_all("v", "another", deadline=0.5)).no_open_orders is True
        other.says["settle"] = told(Outcome.CONFIRMED, order_id="77", status=OrdStatus.NEW)
        report = await remote.cancel_all("v", deadline=5)
        assert (await placing).order_id == "77"
        assert report.no_open_orders is True
        assert other.of(wire.CancelAll)[-1].known == ("77",)


async def test_a_caller_of_cancel_all_who_goes_away_leaves_nobody_asking(remote, gateway):
    await doubtful(remote, gateway)
    gateway.says["settle"] = None
    gateway.says["cancel_all"] = HOLD
    leaving = asyncio.ensure_future(remote.cancel_all("v", deadline=20))
    await gateway.until(wire.Settling)
    await gateway.until(wire.CancelAll)
    assert settling_tasks()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert settling_tasks() == []


async def test_a_mistake_of_ours_in_settling_leaves_a_doubt_and_a_report(remote, gateway, monkeypatch):
    await doubtful(remote, gateway)

    async def broken(*_):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(remote._commands._findings, "find_out", broken)
    report = await remote.cancel_all("v", deadline=2)
    assert (report.no_open_orders, len(report.doubts)) == (False, 1)


async def test_more_doubts_than_are_kept_are_a_doubt(remote, gateway, monkeypatch):
    monkeypatch.setattr(placed_orders, "MOST_DOUBTS", 1)
    for _ in range(2):
        await doubtful(remote, gateway)
    gateway.says["settle"] = told(Outcome.NOT_SENT)
    report = await remote.cancel_all("v", deadline=2)
    assert report.no_open_orders is False
    assert "more of this strategy's submits" in report.doubts[0].text


async def test_every_venue_has_those_too_where_something_was_placed_and_nobody_is_now(nats):
    remote = RemoteRouter(nats.url)
    async with Pretender(nats.url), remote:
        assert (await remote.submit(order())).ok
    async with Pretender(nats.url, "w") as other, remote:
        other.says["cancel_all"] = wire.Cancelled(report=VenueCancelReport(venue="w", no_open_orders=True))
        report = await remote.cancel_all(deadline=0.3)
        assert set(report.venues) == {"v", "w"}
        assert (report.venues["v"].no_open_orders, report.venues["w"].no_open_orders) == (False, True)


async def test_an_unknown_outcome_that_somebody_else_learns_is_told_to_who_waits(nats, remote, gateway):
    gateway.says["submit"] = HOLD
    placing = asyncio.ensure_future(remote.submit(order(), deadline=20))
    [submit] = await gateway.until(wire.Submitting)
    gateway.announces = False
    other = Pretender(nats.url, epoch=2)
    other.says |= {"cancel_all": EMPTY, "settle": once(None, told(order_id="77"))}
    async with other:
        await other.until(wire.Settling)  # its own inquiry, which is never answered
        await remote.cancel_all("v", deadline=5)
        report = await asyncio.wait_for(placing, 1)
    assert (report.outcome, submit.op) == (Outcome.CONFIRMED, report.client_order_id)


# -- small things of the same kind


async def test_an_order_that_nobody_holds_any_more_is_forgotten(remote, gateway):
    async def place():
        return [(await remote.submit(order())).outcome for _ in range(5)]

    assert set(await place()) == {Outcome.CONFIRMED}
    async with asyncio.timeout(5):
        while remote._placed._orders:  # the loop holds on to the last one for a turn
            await asyncio.sleep(0)
            gc.collect()


async def test_what_no_report_can_be_made_of_is_said_as_what_it_is(remote, gateway):
    terms = wire.Terms(
        symbol="S", side="buy", type="limit", quantity="1", client_order_id="x"
    )  # a limit without a price
    submitting = wire.Submitting(op="0" * 32, tenure="", deadline=0.0, order=terms)
    gateway.says["recovered"] = wire.Recovered(reports=((submitting, wire.Facts(outcome=Outcome.UNKNOWN)),))
    with pytest.raises(GatewayUnreachable, match="cannot be read: v: a limit order needs a price"):
        await remote.recovered(1)


async def test_when_one_venue_cannot_tell_what_was_in_doubt_nobody_goes_on_asking(nats, remote):
    silent = Pretender(nats.url, "w")
    silent.says["recovered"] = None
    async with silent, Pretender(nats.url, "v") as gateway:
        gateway.says["recovered"] = wire.Mistaken(kind="ReadFailed", text="v: no journal")
        while len(remote.health()) < 2:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)
        with pytest.raises(GatewayUnreachable, match="no journal"):
            await remote.recovered()
        await asyncio.sleep(0)
        names = {task.get_coro().__name__ for task in asyncio.all_tasks() if inspect.iscoroutine(task.get_coro())}
        assert "recovered" not in names


async def test_a_deadline_beyond_all_reason_is_a_long_one(remote, gateway):
    for deadline in (1e300, 10**12):
        assert (await remote.cancel("v", "1", deadline=deadline)).outcome is Outcome.CONFIRMED
        assert (await remote.submit(order(), deadline=deadline)).outcome is Outcome.CONFIRMED
        assert (await remote.cancel_all("v", deadline=deadline)).no_open_orders is True
    with pytest.raises(ValueError, match="more than 0 seconds"):
        await remote.cancel("v", "1", deadline=10**400)


async def test_what_is_nested_in_itself_is_a_mistake_of_the_caller(remote, gateway):
    endless = {}
    endless["more"] = endless
    with pytest.raises(TypeError, match="nested"):
        await remote.submit(order(options=endless))
    assert gateway.heard == []


async def test_a_gap_is_allowed_by_whatever_is_true(remote, gateway):
    for allow_gap in (None, "", 1):
        assert (await remote.replace(Cancel("v", "1"), price="2", allow_gap=allow_gap)).ok
    assert [command.allow_gap for command in gateway.of(wire.Replacing)] == [False, False, True]


async def test_rights_that_come_with_a_new_connection_are_noticed(nats, remote, gateway):
    assert (await remote.cancel("v", "1")).ok
    remote._denied("subscribe", subjects.owner("v"))  # as the server said it, before its rights were changed
    assert (await remote.cancel_all(deadline=1)).venues == {}
    before = remote._directory.connections
    await nats.restart()
    async with asyncio.timeout(10):
        while remote._directory.connections == before or remote._directory.owner("v") is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert set((await remote.cancel_all(deadline=2)).venues) == {"v"}


async def test_two_event_loops_one_after_the_other():
    async with nats_server() as nats:
        remote = RemoteRouter(nats.url)

        async def first():
            async with Pretender(nats.url) as gateway, remote:
                return await doubtful(remote, gateway)

        async def then(report):
            async with Pretender(nats.url, epoch=2) as gateway, remote:
                gateway.says["cancel_all"] = EMPTY
                assert (await report.settled(2)).outcome is Outcome.CONFIRMED
                assert (await remote.cancel_all(deadline=2)).no_open_orders is True

        report = await asyncio.to_thread(asyncio.run, first())
        await asyncio.to_thread(asyncio.run, then(report))
