"""The life of a connection: how its end is noticed, how it comes back, in which order it is used again, what health tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Budget, Cancel, Order, Outcome, Router, SessionState, SubmitReport
from router.link import FIRST_PAUSE, LONGEST_PAUSE
from router.testing import FaultProxy, Switches
from router.transport.websocket import HEARTBEAT_GRACE

NOTICED = 3.0  # seconds in which a peer that says nothing is noticed
NOBODYS = "5b309929-206f-40ec-804d-cbe46e81afc1"
LOGIN = ["auth", "subscribe", "subscribe"]
ARM = "cancel_on_disconnect"


def now() -> float:
    return asyncio.get_running_loop().time()


def limit(**changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


async def placed(router: Router, order: Order | None = None) -> SubmitReport:
    report = await router.submit(order or limit())
    assert report.ok, report
    return report


@asynccontextmanager
async def armed(sim: QfexSimulator, **options: Any) -> AsyncIterator[Router]:
    async with Router({"qfex": Qfex(**sim.credentials, cancel_on_disconnect=True, **options)}) as router:
        yield router


def arms(sim: QfexSimulator) -> list[bool]:
    return [item.message["params"][ARM] for item in sim.commands(ARM)]


@contextmanager
def deafened(venue: Any) -> Iterator[None]:
    """The venue reads nothing of its one connection, not even pings, and keeps the socket."""
    [connection] = venue.connections
    connection.transport.pause_reading()
    try:
        yield
    finally:
        connection.transport.resume_reading()  # or its server would wait for it


# -- its end is noticed


async def test_a_peer_that_stops_reading_and_keeps_the_socket_is_noticed(venue, toy_session, caplog):
    async with Router({"toy": toy_session()}):
        with deafened(venue):
            begun = now()
            await venue.until("login", 2)
            assert now() - begun < NOTICED
    assert "connection lost: the server did not answer a ping" in caplog.text


async def test_a_network_that_has_gone_is_noticed_and_what_was_written_into_it_is_settled_when_it_is_back(
    qfex_sim: QfexSimulator,
) -> None:
    address = urlsplit(qfex_sim.url)
    async with FaultProxy(str(address.hostname), int(address.port or 0)) as proxy:
        credentials = qfex_sim.credentials | {"url": proxy.url_of(qfex_sim.url)}
        async with Router({"qfex": Qfex(**credentials)}) as router:
            order = await placed(router)
            begun = now()
            proxy.half_open()
            cancelling = asyncio.ensure_future(router.cancel(order, deadline=20))
            await proxy.until_connections(2)
            assert now() - begun < NOTICED
            health = router.health()["qfex"]
            assert (health.ok, health.state) == (False, SessionState.BACKING_OFF)
            assert "did not answer a ping" in health.last_error
            proxy.heal()
            report = await cancelling
            settled = report if report.ok else await report.settled()
            assert (settled.outcome, qfex_sim.book) == (Outcome.CONFIRMED, {})
            assert len(qfex_sim.commands("cancel_order")) <= 2


async def test_the_time_that_our_own_loop_stood_still_is_not_the_venues_silence(venue, toy_session):
    session = toy_session()
    async with Router({"toy": session}) as router:
        socket = session._link.socket
        beat, blocked = socket._beat, asyncio.Event()

        def beat_and_block() -> None:
            beat()
            if not blocked.is_set():
                time.sleep(HEARTBEAT_GRACE + 0.5)  # the answer comes meanwhile, and nobody can read it
                blocked.set()

        socket._beat = beat_and_block
        await blocked.wait()
        report = await router.cancel("toy", "a", deadline=HEARTBEAT_GRACE * 2)
        assert (report.outcome, venue.logins) == (Outcome.UNKNOWN, 1)
        assert (session._link.socket is socket, router.health()["toy"].ok) == (True, True)
    assert venue.logins == 1


async def test_a_quiet_venue_that_answers_pings_is_left_alone(venue, toy_session):
    async with Router({"toy": toy_session(heartbeat=0.1)}) as router:
        since = router.health()["toy"].since
        assert (await router.cancel("toy", "a", deadline=NOTICED)).outcome is Outcome.UNKNOWN
        assert (venue.logins, router.health()["toy"].since) == (1, since)


async def test_a_dead_peer_is_noticed_after_the_loop_stood_still_as_well(venue, toy_session, caplog):
    async with Router({"toy": toy_session()}):
        with deafened(venue):
            time.sleep(HEARTBEAT_GRACE + 0.5)  # noqa: ASYNC251 - a strategy that computes
            begun = now()
            await venue.until("login", 2)
            assert now() - begun < NOTICED
    assert "connection lost: the server did not answer a ping" in caplog.text


# -- it comes back


class Hurried:
    """What the link has instead of asyncio: its pauses are remembered, and take no time."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


async def test_it_backs_off_with_jitter_up_to_a_limit(venue, toy_session, monkeypatch):
    hurried = Hurried()
    attempts = 14
    async with Router({"toy": toy_session()}):
        monkeypatch.setattr("router.link.asyncio", hurried)
        venue.welcomes = "go-away"
        await venue.hang_up()
        await venue.until("login", 1 + attempts)
        monkeypatch.undo()
    pauses = hurried.pauses[:attempts]
    full = [min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) for number in range(attempts)]
    parts = [pause / longest for pause, longest in zip(pauses, full, strict=True)]
    assert all(0.5 <= part <= 1.0 for part in parts)
    assert len(set(parts)) > attempts / 2, "many routers must not come back at the same moment"
    assert full[-1] == LONGEST_PAUSE


async def test_a_login_that_is_refused_after_a_first_success_is_tried_again_and_health_is_red_until_then(
    venue, toy_session
):
    async with Router({"toy": toy_session()}) as router:
        venue.welcomes = "go-away"
        await venue.hang_up()
        await venue.until("login", 3)
        health = router.health()["toy"]
        assert (health.ok, health.state) == (False, SessionState.BACKING_OFF)
        assert "login refused: go away" in health.last_error
        report = await router.cancel("toy", "a", deadline=0.1)
        assert report.outcome is Outcome.NOT_SENT
        assert "login refused: go away" in report.text
        venue.welcomes = "welcome"
        waiting = asyncio.ensure_future(router.cancel("toy", "b", deadline=20))
        await venue.until("cancel b")
        await venue.say("cancelled b")
        assert (await waiting).ok
        await venue.until("list")
        assert (await router.open_orders("toy"), router.health()["toy"].ok) == ([], True)
        assert router.health()["toy"].last_error == ""
    assert venue.count("cancel a") == 0


async def test_a_connection_that_is_refused_for_a_while_comes_back(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": Qfex(**qfex_sim.credentials)}) as router:
        order = await placed(router)
        await qfex_sim.stop()
        held = await router.cancel(order, deadline=0.3)
        assert (held.outcome, router.health()["qfex"].ok) == (Outcome.NOT_SENT, False)
        await qfex_sim.start()
        report = await router.cancel(order, deadline=20)
    assert (report.outcome, qfex_sim.book, len(qfex_sim.commands("cancel_order"))) == (Outcome.CONFIRMED, {}, 1)


# -- and is used again in this order


@pytest.mark.parametrize("wanted", [True, False])
async def test_after_a_drop_come_login_subscriptions_repeats_cancels_the_list_and_then_submits(
    qfex_sim: QfexSimulator, wanted: bool
) -> None:
    async with Router({"qfex": Qfex(**qfex_sim.credentials, cancel_on_disconnect=wanted)}) as router:
        lost, other = [await placed(router) for _ in range(2)]
        qfex_sim.switches = Switches(deaf=True, only=frozenset({"cancel_order"}))
        repeated = asyncio.ensure_future(router.cancel(lost))
        await qfex_sim.until(1, "cancel_order")
        qfex_sim.switches = Switches(hold=True, only=frozenset({"auth"}))
        begun = len(qfex_sim.received)
        await qfex_sim.drop_connections()
        await qfex_sim.until_held(1)
        submitting = asyncio.ensure_future(router.submit(limit()))
        cancelling = asyncio.ensure_future(router.cancel(other))
        await asyncio.sleep(0)
        qfex_sim.switches = Switches(hold=True, only=frozenset({"get_user_orders"}))
        qfex_sim.release()
        await qfex_sim.until_held(1)
        assert not submitting.done()
        qfex_sim.switches = Switches()
        qfex_sim.release()
        assert (await submitting).ok
        await asyncio.gather(repeated, cancelling)
    found = [item for item in qfex_sim.received[begun:] if item.command != "get_order"]
    words = [item.command for item in found][: 7 + wanted]
    assert words == [*LOGIN, *[ARM] * wanted, "cancel_order", "cancel_order", "get_user_orders", "add_order"]
    assert [item.message["params"]["order_id"] for item in found if item.command == "cancel_order"] == [
        lost.order_id,
        other.order_id,
    ]


async def test_a_list_that_fails_is_asked_again_and_submits_wait_for_it(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": Qfex(**qfex_sim.credentials)}) as router:
        qfex_sim.switches = Switches(hold=True, only=frozenset({"get_user_orders"}))
        await qfex_sim.drop_connections()
        await qfex_sim.until_held(1)
        assert router.health()["qfex"].state is SessionState.SYNCING
        report = await router.submit(limit(), deadline=0.2)
        assert (report.outcome, "syncing" in report.text) == (Outcome.NOT_SENT, True)
        assert (await router.cancel("qfex", NOBODYS, symbol="AAPL-USD")).outcome is Outcome.REFUSED
        qfex_sim.switches = Switches()
        qfex_sim.release()
        assert (await router.submit(limit())).ok
    assert len(qfex_sim.commands("add_order")) == 1


# -- the venue's own switch


async def test_it_is_armed_with_every_login_and_disarmed_by_a_clean_close(qfex_sim: QfexSimulator) -> None:
    async with armed(qfex_sim) as router:
        assert arms(qfex_sim) == [True]
        await placed(router)
        await qfex_sim.drop_connections()
        assert qfex_sim.book == {}, "the venue did what it was told"
        await placed(router)
        assert arms(qfex_sim) == [True, True]
        words = [item.command for item in qfex_sim.received]
        assert words[words.index("auth", 1) :][:4] == [*LOGIN, ARM]
    assert (arms(qfex_sim), qfex_sim.received[-1].command, len(qfex_sim.book)) == ([True, True, False], ARM, 1)


async def test_on_exit_cancel_leaves_it_armed_and_closing_cancels(qfex_sim: QfexSimulator) -> None:
    async with armed(qfex_sim, on_exit="cancel") as router:
        await placed(router)
    await qfex_sim.drop_connections()  # returns when the end of each connection has been noticed
    assert (arms(qfex_sim), qfex_sim.book) == ([True], {})


async def test_closing_while_the_connection_is_gone_says_nothing_and_takes_no_time(qfex_sim: QfexSimulator) -> None:
    async with armed(qfex_sim):
        qfex_sim.switches = Switches(hold=True, only=frozenset({"auth"}))
        await qfex_sim.drop_connections()
        await qfex_sim.until_held(1)
        begun = now()
    assert now() - begun < NOTICED
    assert arms(qfex_sim) == [True]


async def test_a_login_whose_arming_is_refused_is_no_login(qfex_sim: QfexSimulator) -> None:
    async with armed(qfex_sim) as router:
        qfex_sim.switches = Switches(deaf=True, only=frozenset({ARM}))
        await qfex_sim.drop_connections()
        await qfex_sim.until(2, ARM)
        report = await router.submit(limit(), deadline=0.3)
        assert (report.outcome, router.health()["qfex"].ok) == (Outcome.NOT_SENT, False)
        qfex_sim.switches = Switches()


@pytest.mark.parametrize("word", ["", "Leave", "disarm", None])
def test_on_exit_is_leave_or_cancel(word: Any) -> None:
    with pytest.raises(ValueError, match=r"on_exit was .*; it is 'leave' or 'cancel'"):
        Qfex(jwt="a.b.c", on_exit=word)


# -- health


async def test_health_tells_the_state_and_since_when(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": Qfex(**qfex_sim.credentials)}) as router:
        ready = router.health()["qfex"]
        assert (ready.ok, ready.state, ready.last_error) == (True, SessionState.READY, "")
        assert ready.since <= datetime.now(UTC)
        assert (ready.outstanding, ready.unknown, ready.garbled, ready.round_trip) == (0, 0, 0, {})
        await qfex_sim.stop()
        await router.cancel("qfex", NOBODYS, symbol="AAPL-USD", deadline=0.1)
        gone = router.health()["qfex"]
        assert (gone.ok, gone.state) == (False, SessionState.BACKING_OFF)
        assert gone.since >= ready.since
        assert gone.last_error != ""
    assert router.health()["qfex"].state is SessionState.CLOSED


async def test_health_counts_who_waits_what_is_in_doubt_and_what_could_not_be_read(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": Qfex(**qfex_sim.credentials)}) as router:
        qfex_sim.switches = Switches(hold=True)
        calls = [asyncio.ensure_future(router.submit(limit(), deadline=0.3)) for _ in range(3)]
        await qfex_sim.until_held(3)
        assert (router.health()["qfex"].outstanding, router.health()["qfex"].unknown) == (3, 0)
        assert [report.outcome for report in await asyncio.gather(*calls)] == [Outcome.UNKNOWN] * 3
        assert (router.health()["qfex"].outstanding, router.health()["qfex"].unknown) == (0, 3)
        qfex_sim.switches = Switches()
        await qfex_sim.send("<html>")
        qfex_sim.release()
        await router.open_orders("qfex")
        assert (router.health()["qfex"].unknown, router.health()["qfex"].garbled) == (0, 1)


async def test_health_tells_how_long_answers_take(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": Qfex(**qfex_sim.credentials)}) as router:
        await placed(router)
        first = router.health()["qfex"].round_trip
        assert first["p50"] == first["p90"] == first["p99"] > 0
        qfex_sim.switches = Switches(delay=0.2)
        await asyncio.gather(*(placed(router) for _ in range(3)))
        later = router.health()["qfex"].round_trip
    assert list(later) == ["p50", "p90", "p99"]
    assert 0 < first["p50"] < 0.2 <= later["p50"] <= later["p90"] <= later["p99"] < NOTICED


async def test_health_tells_what_is_left_of_a_share(qfex_sim: QfexSimulator) -> None:
    async with Router({"qfex": Qfex(**qfex_sim.credentials, share=0.5)}) as router:
        assert router.health()["qfex"].budget_left == {"cancel": 6000, "read": 5400, "submit": 4800}
        await router.cancel(Cancel("qfex", NOBODYS, symbol="AAPL-USD"))
        assert router.health()["qfex"].budget_left["cancel"] == pytest.approx(6000, abs=1.1)


async def test_the_budgets_of_the_spec_may_be_changed_and_are_its_codecs(venue, toy_session):
    async with Router({"toy": toy_session(budget=Budget(10, 1), cancel_budget=Budget(4, 1))}) as router:
        assert router.health()["toy"].budget_left == pytest.approx({"cancel": 4, "read": 9, "submit": 8})
    async with Router({"toy": toy_session()}) as router:
        assert router.health()["toy"].budget_left == {}
