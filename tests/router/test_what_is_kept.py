"""What is kept of requests while they wait and afterwards: no more than is needed, and nothing that is needed is let go."""

import asyncio
import gc
import weakref

import pytest
from rich.pretty import pretty_repr

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.ccxt_bridge import Ccxt
from adapters.ccxt_bridge.calling import Run
from adapters.ccxt_bridge.simulator import CcxtSimulator
from router import Cancel, CancelReport, IdKind, Order, Outcome, Router, doubts
from router.pacing import Lane
from router.redact import Sealed, redact
from router.testing import Fault
from router.venue import Effect, Frame, Wire


@pytest.fixture
def breaks(toy_session):
    """A session whose codec, against its contract, cannot encode any more while `broken` holds something."""
    session, broken = toy_session(), []

    class Breaks(type(session._codec)):
        def encode(self, command, now):
            if broken:
                raise RuntimeError("impure")
            return super().encode(command, now)

    session._codec = Breaks(session.spec)
    return session, broken


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for what is looked at
            await asyncio.sleep(0.01)


async def test_a_codec_that_cannot_encode_again_does_not_keep_the_session_from_coming_back(venue, breaks, caplog):
    session, broken = breaks
    async with Router({"toy": session}) as router:
        asked = [asyncio.ensure_future(router.cancel("toy", name, deadline=2)) for name in "ab"]
        await venue.until("cancel ", 2)
        broken.append(True)
        await venue.hang_up()
        await until(lambda: venue.logins == 2)
        broken.clear()
        assert (await router.cancel("toy", "c", deadline=0.2)).outcome is Outcome.UNKNOWN
        for report in await asyncio.gather(*asked):
            assert report.outcome is Outcome.UNKNOWN
            assert "the connection was lost before the answer" in report.text
    assert venue.count("cancel a") == venue.count("cancel b") == 1
    assert "could not be encoded again" in caplog.text


async def test_the_bytes_of_a_cancel_are_not_kept_and_its_repeat_goes_out_all_the_same(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        asked = asyncio.ensure_future(router.cancel("toy", "a", deadline=5))
        await venue.until("cancel a")
        (pending,) = router._desks["toy"].adapter._outstanding
        assert pending.wire is None
        await venue.hang_up()
        await venue.until("cancel a", 2)
        await venue.say("cancelled a")
        assert (await asked).outcome is Outcome.CONFIRMED
        assert venue.count("cancel ") == venue.count("cancel a") == 2


async def test_a_cancel_that_never_left_does_not_hide_the_one_in_doubt_before_it():
    async with B2TraderSimulator() as sim, Router({"b": B2Trader(**sim.credentials)}) as router:
        placed = await router.submit(Order("b", "spot.btc_usdt", "buy", "limit", "0.02", "100"))
        sim.inject(Fault.MUTE, only=frozenset({"DELETE orders"}))
        address = Cancel("b", placed.order_id, IdKind.ORDER, "spot.btc_usdt")
        first = await router.cancel(address, deadline=0.3)
        assert first.outcome is Outcome.UNKNOWN
        adapter = router._desks["b"].adapter
        adapter._pacer.pause(Lane.CANCEL, 0.3, asyncio.get_running_loop().time())  # as the venue's 429 does
        assert (await router.cancel(address, deadline=0.1)).outcome is Outcome.NOT_SENT
        third = await router.cancel(address, deadline=2)
        assert third.outcome is Outcome.UNKNOWN, "the first one took it, so 'no such order' proves nothing"
        assert "gone, cause unknown" in third.text
        assert not any(order.live for order in sim.orders.values())


async def test_cancels_whose_callers_went_away_are_forgotten_beyond_the_bound(venue, toy_session, monkeypatch):
    monkeypatch.setattr(doubts, "MOST_DOUBTS", 10)
    async with Router({"toy": toy_session()}) as router:
        kept = router._desks["toy"]
        asked = [asyncio.ensure_future(router.cancel("toy", f"x{number}", deadline=0.3)) for number in range(60)]
        await venue.until("cancel ", 60)
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        await until(lambda: not len(kept.adapter._deadlines))
        assert len(kept._doubts.cancels) == len(kept._doubts) == 10
        assert router.health()["toy"].unknown == 10


async def test_a_cancel_in_doubt_many_times_over_keeps_one_before_it(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        alive = weakref.WeakSet()
        for _ in range(5):
            assert (await router.cancel("toy", "a", deadline=0.05)).outcome is Outcome.UNKNOWN
            alive.add(router._desks["toy"]._doubts.cancels[Cancel("toy", "a", IdKind.ORDER)])
        last = router._desks["toy"]._doubts.cancels[Cancel("toy", "a", IdKind.ORDER)]
        assert last.repeated
        assert last.beside is not None
        assert last.beside.beside is None


async def test_a_refused_request_of_ccxt_leaves_nothing():
    async with CcxtSimulator() as sim, Router({"ex": Ccxt(**sim.credentials, quiet_period=0.2)}) as router:
        for number in range(5):
            report = await router.cancel(Cancel("ex", str(9000 + number), symbol="BTC/USDT"))
            assert report.outcome is Outcome.REFUSED
        del report
        await asyncio.sleep(0)
        gc.collect()
        assert sum(isinstance(each, Run) for each in gc.get_objects()) == 0


def test_rich_shows_no_more_than_repr_does():
    wire = Wire(effect=Effect.READ, body=b"TOPSECRET", headers={"Authorization": "TOPSECRET"}, secrets=("TOPSECRET",))
    report = CancelReport(request=Cancel("q", "x"), outcome=Outcome.UNKNOWN, frame=Sealed(b"TOPSECRET", redact))
    for each in (wire, Frame(body=b"TOPSECRET", wire=wire), report):
        assert "TOPSECRET" not in pretty_repr(each) + repr(each)
    assert "settle" not in pretty_repr(report)


def test_equal_reports_do_not_differ():
    one, other = (CancelReport(request=Cancel("q", "x"), outcome=Outcome.UNKNOWN, settle=print) for _ in range(2))
    assert one == other
    assert (one != other) is False
    assert hash(one) == hash(other)
    assert one != CancelReport(request=Cancel("q", "y"), outcome=Outcome.UNKNOWN)
    assert one != "q: cancel x: UNKNOWN"
    assert weakref.ref(one)() is one
