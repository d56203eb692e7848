"""The Router without an event loop."""

import asyncio
import sys
import threading

import pytest

from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, Order, OrdStatus, Outcome, RouterClosed, SwitchFired, UnknownVenue, VenueUnreachable
from router.blocking import Router


@pytest.fixture
def simulator():
    """The QFEX simulator in a loop and thread of its own, and a way to run its coroutines."""
    loop, venue = asyncio.new_event_loop(), QfexSimulator()
    loop.run_until_complete(venue.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield venue, lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(5)
    asyncio.run_coroutine_threadsafe(venue.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def limit(**changes):
    return Order(
        **{
            "venue": "qfex",
            "symbol": "AAPL-USD",
            "side": "buy",
            "type": "limit",
            "quantity": 1,
            "price": 200,
            **changes,
        }
    )


def test_the_whole_api_without_a_loop(simulator):
    venue, _ = simulator
    with Router({"qfex": Qfex(**venue.credentials)}) as router:
        events = router.events()
        first, second = limit(), limit()
        placed = router.submit(first).raise_for_outcome()
        assert router.submit(second).ok
        assert router.replace(placed, price="201").ok
        assert len(router.open_orders("qfex")) == 2
        assert router.cancel(placed).ok
        (report,) = router.cancel_many([second])
        assert report.ok
        assert next(events).status is OrdStatus.NEW
        assert router.health()["qfex"].ok
        assert not venue.book
    with pytest.raises(RouterClosed):
        router.cancel(placed)


def test_settled_waits(simulator):
    venue, _ = simulator
    with Router({"qfex": Qfex(**venue.credentials)}) as router:
        placed = router.submit(limit())
        venue.switches.mute = True
        report = router.cancel(placed, deadline=0.05)
        assert report.outcome is Outcome.UNKNOWN
        venue.switches.mute = False
        settled = report.settled(5)
        assert settled.ok
        assert settled.settled() is not None
        assert len(venue.commands("cancel_order")) == 1


def test_mistakes_and_failures_raise_as_they_do_with_a_loop(simulator):
    venue, run = simulator
    with Router({"qfex": Qfex(**venue.credentials)}) as router, pytest.raises(UnknownVenue):
        router.cancel(Cancel("nowhere", "a"))
    run(venue.stop())
    with pytest.raises(VenueUnreachable, match="qfex"), Router({"qfex": Qfex(**venue.credentials)}):
        pytest.fail("entered")


def test_events_end_when_the_router_is_closed(simulator):
    venue, _ = simulator
    with Router({"qfex": Qfex(**venue.credentials)}) as router:
        events = router.events()
        router.submit(limit())
    assert [event.status for event in events] in ([OrdStatus.NEW], [])


def test_cancel_all_and_the_dead_mans_switch(simulator):
    venue, _ = simulator
    with Router({"qfex": Qfex(**venue.credentials)}) as router:
        for _ in range(3):
            assert router.submit(limit()).ok
        report = router.cancel_all(deadline=5)
        assert (len(report.affected), report.no_open_orders, venue.book) == (3, True, {})
        assert router.submit(limit()).ok
        with router.deadman(60) as fed:
            fed.feed()
            assert (fed.armed, fed.fired) == (True, False)
        assert not fed.armed
        starved = router.deadman(0.05, venue="qfex")
        assert starved.report().no_open_orders
        with pytest.raises(SwitchFired):
            starved.feed()
        assert venue.book == {}


def test_uvloop_is_used_when_it_is_asked_for(simulator):
    venue, _ = simulator
    uvloop = pytest.importorskip("uvloop")
    with Router({"qfex": Qfex(**venue.credentials)}, uvloop=True) as router:
        assert isinstance(router._loop._loop, uvloop.Loop)
        placed = router.submit(limit())
        assert router.cancel(placed).outcome is Outcome.CONFIRMED
        assert not venue.book
    with Router({"qfex": Qfex(**venue.credentials)}) as router:
        assert not isinstance(router._loop._loop, uvloop.Loop)


def test_a_missing_uvloop_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    router = Router({}, uvloop=True)
    with pytest.raises(ImportError, match=r"venue-router\[uvloop\]"):
        router.__enter__()
