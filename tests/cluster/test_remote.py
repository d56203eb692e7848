"""RemoteRouter against gateways that say what the test makes them say: the four outcomes in every interleaving."""

import asyncio
import contextlib
import secrets
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from router import (
    Cancel,
    CannotList,
    GatewayUnreachable,
    IdKind,
    NotAuthorised,
    Order,
    OrderState,
    OrdStatus,
    Outcome,
    ReadFailed,
    RouterClosed,
    SessionState,
    UnknownVenue,
)
from router.cluster import RemoteRouter, subjects, wire
from router.massreport import VenueCancelReport

from .pretending import HOLD, Pretender, confirmed, told
from .servers import nats_server

COMMANDS = (wire.Submitting, wire.Cancelling, wire.Replacing)
GARBAGE = [
    b"\xff\xfe",
    b"{}",
    b"[" * 100_000,
    b'{"says":"told"}',
    b'{"says":"told","report":{"outcome":"maybe"}}',
    b'{"says":"told","report":{"outcome":"refused","reason":77}}',
    wire.Listed(),
    wire.Cancelled(report=VenueCancelReport(venue="v", no_open_orders=True)),
    wire.Recovered(),
    wire.Mistaken(kind="SystemExit", text="0"),
    wire.Mistaken(kind="ReadFailed", text="v: no"),
    b"x" * 900_000,
]


@pytest.fixture
async def remote(nats):
    async with RemoteRouter(nats.url, strategy="alpha") as router:
        yield router


@pytest.fixture
async def gateway(nats):
    async with Pretender(nats.url) as pretender:
        yield pretender


def order(**changes):
    return Order("v", "S", "buy", "limit", **{"quantity": "1", "price": "2"} | changes)


async def until(condition, timeout=5.0):
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)


def start(work):
    return asyncio.ensure_future(work)


# -- nobody is there


async def test_without_a_gateway_everything_is_not_sent_at_once_whatever_the_venue_is_called(remote):
    begun = time.monotonic()
    reports = [
        await remote.cancel("v", "1"),
        await remote.submit(order()),
        await remote.replace(Cancel("v", "1"), price="3"),
        await remote.cancel("no such.venue > at *", "1"),
        *await remote.cancel_many([Cancel("v", "1"), order()]),
    ]
    assert {report.outcome for report in reports} == {Outcome.NOT_SENT}
    assert {report.text for report in reports[:3]} == {"v: no gateway is there"}
    assert (reports[1].client_order_id, reports[1].symbol) == (reports[1].request.client_order_id, "S")
    assert time.monotonic() - begun < 0.5
    with pytest.raises(ReadFailed, match="no gateway is there"):
        await remote.open_orders("v")
    with pytest.raises(GatewayUnreachable, match="no gateway is there"):
        await remote.recovered(0.1)


async def test_where_gateways_are_and_none_serves_the_venue_it_is_unknown(remote, gateway):
    for mistake in (remote.cancel("w", "1"), remote.open_orders("w"), remote.cancel_all("w")):
        with pytest.raises(UnknownVenue, match="venue was 'w'; known: v"):
            await mistake
    with pytest.raises(UnknownVenue, match="'w'; known: v"):
        remote.cancel_many([Cancel("w", "1")])


async def test_where_gateways_stand_by_and_none_owns_it_it_is_not_sent(nats, remote):
    async with Pretender(nats.url, tenure="") as standby:
        report = await remote.cancel("v", "1")
        assert (report.outcome, report.text) == (Outcome.NOT_SENT, "v: no gateway owns it at the moment")
        await standby.take("7-00000001")
        assert (await remote.cancel("v", "1")).outcome is Outcome.CONFIRMED


async def test_a_gateway_that_comes_later_is_found_by_the_next_command(nats, remote):
    assert (await remote.cancel("v", "1")).outcome is Outcome.NOT_SENT
    async with Pretender(nats.url):
        assert (await remote.cancel("v", "1")).outcome is Outcome.CONFIRMED


async def test_where_nobody_listens_any_more_it_is_not_sent_at_once(remote, gateway):
    assert (await remote.cancel("v", "1")).ok
    await gateway.drop()
    gateway.announces = False
    begun = time.monotonic()
    report = await remote.cancel("v", "2", deadline=5)
    assert report.outcome is Outcome.NOT_SENT
    assert time.monotonic() - begun < 1
    assert len(gateway.heard) == 1


async def test_an_owner_that_was_not_heard_of_for_long_is_sent_nothing(remote, gateway):
    assert (await remote.cancel("v", "1")).ok
    gateway.announces = False  # it listens still: as a stopped process does
    await until(lambda: not remote._directory._seats["v"].is_owned)
    report = await remote.cancel("v", "2")
    assert report.outcome is Outcome.NOT_SENT
    assert len(gateway.heard) == 1
    assert remote.health()["v"].state is SessionState.BACKING_OFF
    gateway.announces = True
    assert (await remote.cancel("v", "2")).ok


# -- answers


async def test_not_sent_is_told_as_the_gateway_tells_it(remote, gateway):
    gateway.says["cancel"] = told(Outcome.NOT_SENT, text="v: the venue is not connected")
    report = await remote.cancel("v", "1")
    assert (report.outcome, report.text) == (Outcome.NOT_SENT, "v: the venue is not connected")
    assert len(gateway.heard) == 1


async def test_what_the_gateway_tells_is_what_the_caller_hears(remote, gateway):
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    state = OrderState(venue="v", order_id="o1", price=Decimal("1.50"), cum_quantity=Decimal(0), own=True)
    gateway.says["cancel"] = told(
        Outcome.REFUSED,
        reason=1,
        text="no such order",
        orders=(state,),
        sent_at=at,
        answered_at=at,
        journaled=True,
        raw='{"a":1}',
    )
    report = await remote.cancel("v", "o1")
    assert (report.outcome, report.reason, report.text) == (Outcome.REFUSED, 1, "no such order")
    assert (report.orders, report.sent_at, report.journaled, report.raw) == ((state,), at, True, '{"a":1}')
    assert report.request == Cancel("v", "o1")


async def test_a_command_says_who_it_is_for_and_until_when_by_the_gateways_clock(nats, remote):
    async with Pretender(nats.url, ahead=1000.0) as gateway:
        assert (await remote.cancel("v", "1", "order", symbol="S", deadline=3)).ok
        [command] = gateway.of(wire.Cancelling)
    assert command.tenure == gateway.tenure
    assert command.deadline == pytest.approx(time.time() + 1003, abs=0.5)
    assert command.cancel == wire.Address("1", IdKind.ORDER, "S")


async def test_refused_by_the_gateway_is_not_sent_and_goes_nowhere_else(remote, gateway):
    gateway.says["submit"] = wire.Refused(text="it is fenced")
    report = await remote.submit(order())
    assert (report.outcome, report.text) == (Outcome.NOT_SENT, "v: it is fenced")
    assert len(gateway.heard) == 1


async def test_refused_because_another_owns_it_goes_there_under_the_same_id(nats, remote, gateway):
    assert (await remote.cancel("v", "0")).ok
    async with Pretender(nats.url, epoch=2) as other:
        gateway.says["submit"] = wire.Refused(text="not mine any more", tenure=other.tenure)
        gateway.announces = False
        report = await remote.submit(order())
    assert report.outcome is Outcome.CONFIRMED
    ops = [command.op for each in (gateway, other) for command in each.of(wire.Submitting)]
    assert len(set(ops)) == 1
    assert len(other.of(wire.Submitting)) == 1


async def test_gateways_that_send_each_other_a_command_do_not_do_so_for_ever(remote, gateway):
    assert (await remote.cancel("v", "0")).ok
    await until(lambda: remote._directory._round.over.done())  # noqa: PLW0108 - of the last one
    gateway.says["cancel"] = wire.Refused(text="not mine", tenure="99-00000000")
    report = await remote.cancel("v", "1", deadline=2)
    assert report.outcome is Outcome.NOT_SENT
    assert len(gateway.heard) <= 6


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
async def test_an_answer_that_cannot_be_read_is_unknown_and_settled_ends(remote, gateway, garbage):
    gateway.says["cancel"] = gateway.says["settle"] = garbage
    report = await remote.cancel("v", "1", deadline=2)
    assert report.outcome is Outcome.UNKNOWN
    settled = await report.settled()
    assert settled.outcome is Outcome.UNKNOWN
    assert "cannot be read" in settled.text
    gateway.says["settle"] = confirmed
    assert (await report.settled()).outcome is Outcome.CONFIRMED


@pytest.mark.parametrize(("kind", "error"), [("ValueError", ValueError), ("TypeError", TypeError)])
async def test_the_callers_mistakes_that_the_gateway_finds_are_raised(remote, gateway, kind, error):
    gateway.says["replace"] = wire.Mistaken(kind=kind, text="v: price was 0")
    with pytest.raises(error, match="v: price was 0"):
        await remote.replace(Cancel("v", "1"), price="1")


async def test_what_cannot_be_said_over_nats_raises_or_is_not_sent(remote, gateway):
    with pytest.raises(TypeError):
        await remote.submit(order(options={"leverage": object()}))
    memo = {"memo": secrets.token_hex(2_000_000)}
    for work in (
        remote.submit(order(options=memo)),
        remote.submit(order(client_order_id="x" * 257)),
        remote.cancel("v", "x" * 257),
        remote.replace(Cancel("v", "x" * 257), price="1"),
    ):
        report = await work
        assert (report.outcome, "too long" in report.text) == (Outcome.NOT_SENT, True)
    assert gateway.heard == []


# -- silence


async def test_silence_is_unknown_at_the_deadline_and_settled_asks(remote, gateway):
    gateway.says["submit"] = None
    begun, one = time.monotonic(), order()
    report = await remote.submit(one, deadline=0.3)
    assert 0.29 < time.monotonic() - begun < 1.5
    assert report.outcome is Outcome.UNKNOWN
    assert "no answer by the deadline" in report.text
    settled = await report.settled(2)
    assert (settled.outcome, settled.order_id) == (Outcome.CONFIRMED, f"v-{one.client_order_id}")
    [asked], [sent] = gateway.of(wire.Settling), gateway.of(wire.Submitting)
    assert asked.command == sent
    assert asked.op != sent.op
    assert asked.sent_at == pytest.approx(time.time(), abs=5)


async def test_an_answer_after_the_deadline_changes_no_report_and_settled_asks_once(remote, gateway):
    gateway.says["cancel"] = HOLD
    report = await remote.cancel("v", "1", deadline=0.1)
    await gateway.release()
    assert report.outcome is Outcome.UNKNOWN
    first, second = await report.settled(2), await report.settled(2)
    assert first == second
    assert first.outcome is Outcome.CONFIRMED
    assert len(gateway.of(wire.Settling)) == 1


async def test_settled_goes_on_asking_until_the_gateway_has_spent_its_means(remote, gateway):
    gateway.says["cancel"] = None
    said = iter([told(Outcome.UNKNOWN, text="asking"), wire.Refused(text="fenced"), told(Outcome.UNKNOWN, text="x")])
    gateway.says["settle"] = lambda _: next(said, wire.Told(report=wire.Facts(outcome=Outcome.UNKNOWN), spent=True))
    report = await remote.cancel("v", "1", deadline=0.1)
    async with asyncio.timeout(5):
        assert (await report.settled()).outcome is Outcome.UNKNOWN
    assert len(gateway.of(wire.Settling)) == 4


async def test_settled_ends_at_its_time(remote, gateway):
    gateway.says["cancel"] = gateway.says["settle"] = None
    report = await remote.cancel("v", "1", deadline=0.1)
    begun = time.monotonic()
    settled = await report.settled(0.3)
    assert settled.outcome is Outcome.UNKNOWN
    assert time.monotonic() - begun < 1.5
    assert (await report.settled(0)).outcome is Outcome.UNKNOWN


async def test_never_came_is_not_sent_when_it_is_settled(remote, gateway):
    gateway.says["submit"] = None
    gateway.says["settle"] = told(Outcome.NOT_SENT, text="it never came")
    one = order()
    settled = await (await remote.submit(one, deadline=0.1)).settled(2)
    assert (settled.outcome, settled.client_order_id, settled.symbol) == (Outcome.NOT_SENT, one.client_order_id, "S")
    cancelled = await remote.cancel(one)
    assert (cancelled.outcome, gateway.of(wire.Cancelling)) == (Outcome.NOT_SENT, [])


async def test_a_caller_who_goes_away_takes_nothing_with_it(remote, gateway):
    gateway.says["submit"] = HOLD
    one = order()
    leaving = start(remote.submit(one))
    await gateway.until(wire.Submitting)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await gateway.release()
    await until(lambda: remote._placed.of(one).address is not None)
    assert (await remote.cancel(one)).request.id == f"v-{one.client_order_id}"


# -- the owner changes


async def test_when_the_owner_changes_the_new_one_is_asked_and_told_before_the_deadline(nats, remote, gateway):
    for verb in ("submit", "cancel", "replace"):
        gateway.says[verb] = HOLD
    works = [
        start(work)
        for work in (remote.submit(order()), remote.cancel("v", "1"), remote.replace(Cancel("v", "1"), price="3"))
    ]
    for kind in COMMANDS:
        await gateway.until(kind)
    gateway.announces = False
    async with Pretender(nats.url, epoch=2) as other:
        reports = await asyncio.gather(*works)
        asked = other.of(wire.Settling)
    assert {report.outcome for report in reports} == {Outcome.CONFIRMED}
    assert {each.command.op for each in asked} == {command.op for command in gateway.heard}
    assert {each.tenure for each in asked} == {other.tenure}
    assert [each for each in other.heard if isinstance(each, COMMANDS)] == []


async def test_a_new_owner_that_does_not_know_leaves_it_unknown_at_the_deadline(nats, remote, gateway):
    gateway.says["submit"] = HOLD
    work = start(remote.submit(order(), deadline=0.8))
    await gateway.until(wire.Submitting)
    other = Pretender(nats.url, epoch=2)
    other.says["settle"] = told(Outcome.UNKNOWN, text="asking the venue")
    async with other:
        report = await work
    assert other.of(wire.Settling)
    assert report.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "said",
    [
        wire.Refused(text="fenced, and it never left"),
        wire.Refused(text="not mine", tenure="2-00000000"),
        told(Outcome.NOT_SENT, text="not connected"),
        wire.Mistaken(kind="ValueError", text="no"),
    ],
)
async def test_once_a_new_owner_was_asked_a_refusal_of_the_old_one_proves_nothing(nats, remote, gateway, said):
    gateway.says["cancel"] = HOLD
    work = start(remote.cancel("v", "1"))
    await gateway.until(wire.Cancelling)
    other = Pretender(nats.url, epoch=2)
    other.says["settle"] = HOLD
    async with other:
        await other.until(wire.Settling)
        await gateway.release(said)
        done, _ = await asyncio.wait([work], timeout=0.2)
        assert not done
        await other.release()
        assert (await work).outcome is Outcome.CONFIRMED


async def test_the_old_owners_own_answer_still_counts(nats, remote, gateway):
    gateway.says["cancel"] = HOLD
    work = start(remote.cancel("v", "1"))
    await gateway.until(wire.Cancelling)
    other = Pretender(nats.url, epoch=2)
    other.says["settle"] = HOLD
    async with other:
        await other.until(wire.Settling)
        await gateway.release()
        assert (await work).outcome is Outcome.CONFIRMED
        await other.release(told(Outcome.REFUSED, text="too late to say"))


async def test_an_owner_of_a_lower_epoch_is_not_believed_while_the_other_is_heard_of(nats, remote):
    async with Pretender(nats.url, epoch=5) as owner, Pretender(nats.url, epoch=4) as pretender:
        await until(lambda: remote._directory.tenure("v") == owner.tenure)
        for _ in range(3):
            await pretender.announce()
            assert (await remote.cancel("v", "1")).ok
        assert pretender.of(wire.Cancelling) == []
        owner.announces = False
        await owner.drop()
        await until(
            lambda: remote._directory.owner("v") is not None and remote._directory.tenure("v") == pretender.tenure
        )
        assert (await remote.cancel("v", "1")).ok
        assert len(pretender.of(wire.Cancelling)) == 1


async def test_what_is_no_announcement_changes_nothing(nats, remote, gateway):
    assert (await remote.cancel("v", "1")).ok
    standing = gateway.standing()
    for venue, body in (
        ("v", b"{"),
        ("v", b"\xff"),
        ("v", wire.encode(wire.Standing(gateway="x", now=0, ttl=1, venues={"v": wire.Owned(tenure="9.>")}))),
        ("v", wire.encode(wire.Standing(gateway="x", now=0, ttl=1, venues={"v": wire.Owned(tenure="word")}))),
        ("v", wire.encode(wire.Standing(gateway="x", now=0, ttl=1, venues={"w": wire.Owned(tenure="9-1")}))),
        (
            "v",
            wire.encode(wire.Standing(gateway="x", now=0, ttl=1, venues={"v": wire.Owned(tenure="9-1", fenced=True)})),
        ),
    ):
        await gateway.nats.publish(subjects.owner(venue), body)
    await gateway.nats.flush()
    assert (await remote.cancel("v", "1")).ok
    assert list(remote.health()) == ["v"]
    assert remote._directory.tenure("v") == standing.venues["v"].tenure


async def test_five_hundred_at_once_over_a_change_of_the_owner(nats, remote, gateway):
    gateway.says["cancel"] = lambda command: confirmed(command) if int(command.cancel.id) % 2 else None
    batch = remote.cancel_many([Cancel("v", str(number)) for number in range(500)], deadline=8)
    await gateway.until(wire.Cancelling, 300)
    gateway.says["cancel"] = None
    gateway.announces = False
    async with Pretender(nats.url, epoch=2) as other:
        reports = await batch
    assert {report.outcome for report in reports} == {Outcome.CONFIRMED}
    assert [report.orders[0].order_id for report in reports] == [str(number) for number in range(500)]
    executed = [command.op for each in (gateway, other) for command in each.of(wire.Cancelling)]
    assert len(executed) == len(set(executed)) == 500


# -- NATS goes away


async def test_while_nats_is_away_nothing_is_sent_and_then_everything_goes_on(nats, remote, gateway):
    assert (await remote.cancel("v", "1")).ok
    await nats.kill()
    await until(lambda: not remote._connection.is_up)
    begun = time.monotonic()
    for report in (await remote.cancel("v", "1"), await remote.submit(order())):
        assert (report.outcome, report.text) == (Outcome.NOT_SENT, "v: not connected to NATS")
    with pytest.raises(ReadFailed, match="not connected to NATS"):
        await remote.open_orders("v")
    assert time.monotonic() - begun < 0.5
    health = remote.health()["v"]
    assert (health.state, health.last_error) == (SessionState.BACKING_OFF, "not connected to NATS")
    await nats.restart()
    await until(lambda: remote._connection.is_up and gateway.nats.is_connected)
    await until(lambda: remote._directory.owner("v"))
    assert (await remote.cancel("v", "1")).ok
    assert len(gateway.of(wire.Cancelling)) == 2


async def test_after_a_reconnection_the_owner_is_asked_what_became_of_it(nats, remote, gateway):
    gateway.says["cancel"] = gateway.says["submit"] = None
    works = [start(remote.cancel("v", "1", deadline=8)), start(remote.submit(order(), deadline=8))]
    await gateway.until(wire.Cancelling)
    await gateway.until(wire.Submitting)
    await nats.restart()
    reports = await asyncio.gather(*works)
    assert {report.outcome for report in reports} == {Outcome.CONFIRMED}
    assert len(gateway.of(wire.Cancelling)) == len(gateway.of(wire.Submitting)) == 1


async def test_settled_waits_for_nats_and_for_an_owner(nats, remote):
    async with Pretender(nats.url) as gateway:
        gateway.says["submit"] = None
        work = start(remote.submit(order(), deadline=0.4))
        await gateway.until(wire.Submitting)
        await nats.kill()
        report = await work
    assert report.outcome is Outcome.UNKNOWN
    settling = start(report.settled())
    await nats.restart()
    async with Pretender(nats.url, epoch=2) as other:
        settled = await settling
        assert settled.outcome is Outcome.CONFIRMED
        assert other.of(wire.Submitting) == []


# -- closing


async def test_closing_tells_whoever_waits_what_is_known(nats, gateway):
    gateway.says["cancel"] = HOLD
    remote = RemoteRouter(nats.url)
    async with remote:
        work = start(remote.cancel("v", "1"))
        await gateway.until(wire.Cancelling)
        clearing = start(remote.cancel_all("v"))
        gateway.says["cancel_all"] = None
        await gateway.until(wire.CancelAll)
    report = await work
    assert report.outcome is Outcome.UNKNOWN
    assert "closed" in report.text
    assert (await clearing).no_open_orders is False
    settled = await report.settled()
    assert (settled.outcome, "closed" in settled.text) == (Outcome.UNKNOWN, True)
    with pytest.raises(RouterClosed, match="async with RemoteRouter"):
        await remote.cancel("v", "1")
    async with remote:
        assert (await report.settled(2)).outcome is Outcome.CONFIRMED


async def test_closing_while_it_looks_for_an_owner_sends_nothing(nats):
    async with Pretender(nats.url, tenure="") as standby:
        remote = RemoteRouter(nats.url)
        async with remote:
            await until(remote.health)
            work = start(remote.cancel("v", "1"))
            await asyncio.sleep(0)
        report = await work
        assert report.outcome is Outcome.NOT_SENT
        assert standby.heard == []


async def test_an_opening_that_fails_leaves_nothing_behind(nats):
    url = nats.url
    await nats.kill()
    remote = RemoteRouter(url, deadline=0.5)
    with pytest.raises(GatewayUnreachable, match=url.rpartition("/")[2]):
        async with asyncio.timeout(10):
            await remote.open()
    with pytest.raises(RouterClosed):
        await remote.cancel("v", "1")


# -- orders


async def test_an_order_is_submitted_once_whoever_owns_its_venue(nats, remote, gateway):
    one = order()
    assert (await remote.submit(one)).ok
    with pytest.raises(ValueError, match=f"v: the order {one.client_order_id} was submitted before"):
        await remote.submit(one)
    assert len(gateway.heard) == 1


async def test_an_order_is_cancelled_by_the_venues_id_once_that_is_known(remote, gateway):
    one = order()
    await remote.submit(one)
    report = await remote.cancel(one)
    assert report.request == Cancel("v", f"v-{one.client_order_id}", "order", "S")
    [command] = gateway.of(wire.Cancelling)
    assert (command.of, command.placed) == (None, "")


async def test_an_order_under_way_is_cancelled_by_its_operation(remote, gateway):
    gateway.says["submit"] = HOLD
    one = order()
    placing = start(remote.submit(one))
    [submit] = await gateway.until(wire.Submitting)
    report = await remote.cancel(one)
    [command] = gateway.of(wire.Cancelling)
    assert (command.of, command.placed) == (submit.op, gateway.tenure)
    assert report.request == Cancel("v", one.client_order_id, "client_order", "S")
    await until(lambda: remote._directory._round.over.done())  # noqa: PLW0108 - of the last one, or it would not ask anew
    await gateway.release(wire.Refused(text="cancelled before it was placed", tenure="9-00000001"))
    assert (await placing).outcome is Outcome.NOT_SENT
    assert len(gateway.of(wire.Submitting)) == 1


async def test_an_order_that_was_never_placed_is_not_cancelled_anywhere(remote, gateway):
    gateway.says["submit"] = told(Outcome.REFUSED, text="too big", reason=3, status=OrdStatus.REJECTED)
    one = order()
    await remote.submit(one)
    report = await remote.cancel(one)
    assert (report.outcome, report.text) == (Outcome.NOT_SENT, "v: the order was not placed: too big")
    assert gateway.of(wire.Cancelling) == []


async def test_a_submit_that_looks_for_an_owner_is_withdrawn(nats, remote):
    async with Pretender(nats.url, tenure="") as standby:
        await until(remote.health)
        one = order()
        placing = start(remote.submit(one))
        await asyncio.sleep(0)
        cancelling = start(remote.cancel(one))
        reports = await placing, await cancelling
        assert [report.outcome for report in reports] == [Outcome.NOT_SENT, Outcome.NOT_SENT]
        assert "cancelled before it was placed" in reports[0].text
        assert standby.heard == []


# -- cancel_all, lists, what was in doubt


async def test_cancel_all_takes_its_own_and_names_them(remote, gateway):
    one, two = order(), order(client_order_id="mine")
    gateway.says["cancel_all"] = wire.Cancelled(report=VenueCancelReport(venue="v", no_open_orders=True))
    await remote.submit(one)
    gateway.says["submit"] = None
    await remote.submit(two, deadline=0.05)
    third = order()
    await remote.submit(third, deadline=0.05)
    gateway.says["settle"] = HOLD
    report = await remote.cancel_all(symbol="S", deadline=0.3)
    [command] = gateway.of(wire.CancelAll)
    assert (report.no_open_orders, len(report.doubts)) == (False, 2)
    assert (command.own, command.symbol) == (True, "S")
    assert set(command.known) == {f"v-{one.client_order_id}", third.client_order_id}
    gateway.says["settle"] = told(Outcome.NOT_SENT)
    await remote.cancel(one)
    assert (await remote.cancel_all(scope="account")).no_open_orders is True
    assert (gateway.of(wire.CancelAll)[1].own, gateway.of(wire.CancelAll)[1].known) == (False, ())
    await remote.cancel_all()
    assert gateway.of(wire.CancelAll)[2].known == ()


async def test_cancel_all_goes_on_at_the_next_owner(nats, remote, gateway):
    gateway.says["cancel_all"] = HOLD
    work = start(remote.cancel_all(deadline=8))
    [first] = await gateway.until(wire.CancelAll)
    gateway.announces = False
    other = Pretender(nats.url, epoch=2)
    other.says["cancel_all"] = wire.Cancelled(report=VenueCancelReport(venue="v", no_open_orders=True))
    async with other:
        assert (await work).no_open_orders is True
        [second] = other.of(wire.CancelAll)
    assert second.op == first.op


@pytest.mark.parametrize(
    "said", [None, wire.Refused(text="fenced"), b"{", wire.Listed(), wire.Mistaken(kind="X", text="")]
)
async def test_cancel_all_that_is_not_answered_proves_nothing(remote, gateway, said):
    gateway.says["cancel_all"] = said
    report = await remote.cancel_all("v", deadline=0.4)
    assert report.no_open_orders is False
    assert len(report.doubts) == 1


async def test_cancel_all_of_another_venue_in_the_answer_proves_nothing(remote, gateway):
    gateway.says["cancel_all"] = wire.Cancelled(report=VenueCancelReport(venue="w", no_open_orders=True))
    assert (await remote.cancel_all("v")).no_open_orders is False


async def test_lists_and_their_exceptions(remote, gateway):
    rows = (OrderState(venue="v", order_id="1"), OrderState(venue="v", order_id="2"))
    gateway.says["open_orders"] = wire.Listed(orders=rows)
    assert await remote.open_orders("v") == list(rows)
    for said, error in (
        (wire.Mistaken(kind="CannotList", text="v: it has no list"), CannotList),
        (wire.Mistaken(kind="ReadFailed", text="v: silence"), ReadFailed),
        (wire.Refused(text="fenced"), ReadFailed),
        (b"{", ReadFailed),
        (told(), ReadFailed),
    ):
        gateway.says["open_orders"] = said
        with pytest.raises(error) as raised:
            await remote.open_orders("v")
        assert raised.value.venue == "v"
        assert str(raised.value).count("v: ") == 1


async def test_what_was_in_doubt_is_told_and_can_be_settled(remote, gateway):
    one = order()
    submitting = wire.Submitting(op="0" * 32, tenure="", deadline=0.0, order=wire.Terms.of(one))
    cancelling = wire.Cancelling(op="1" * 32, tenure="", deadline=0.0, cancel=wire.Address("7"))
    replacing = wire.Replacing(op="2" * 32, tenure="", deadline=0.0, target=wire.Address("8"), price="3")
    doubt, done = wire.Facts(outcome=Outcome.UNKNOWN, text="?"), wire.Facts(outcome=Outcome.CONFIRMED)
    gateway.says["recovered"] = wire.Recovered(reports=((submitting, doubt), (cancelling, done), (replacing, done)))
    placed, cancelled, replaced = await remote.recovered(1)
    assert (placed.request, placed.outcome) == (one, Outcome.UNKNOWN)
    assert (cancelled.request, replaced.request.price) == (Cancel("v", "7"), 3)
    assert (await placed.settled(2)).outcome is Outcome.CONFIRMED
    assert gateway.of(wire.Settling)[0].command == submitting


async def test_what_nobody_can_tell_of_doubts_raises(remote, gateway):
    gateway.says["recovered"] = None
    with pytest.raises(GatewayUnreachable, match="v: it is not known what was in doubt"):
        await remote.recovered(0.2)


# -- rights

RIGHTS = """
authorization { users = [
  { user: gateway, password: gateway },
  { user: viewer, password: viewer, permissions: {
    publish: ["router.who", "router.cmd.v.open_orders.alpha.*", "router.cmd.v.cancel.alpha.*"],
    subscribe: ["_INBOX.alpha.>", "router.owner.v"] } }
] }
no_auth_user: viewer
"""


@contextlib.asynccontextmanager
async def limited(rights=RIGHTS):
    async with nats_server(rights) as server:
        url = server.url.replace("nats://", "nats://gateway:gateway@")
        async with Pretender(url, "v", "w") as gateway, RemoteRouter(server.url, strategy="alpha") as remote:
            yield gateway, remote


async def test_what_the_server_does_not_allow_is_not_sent_and_says_so():
    async with limited() as (gateway, remote):
        begun = time.monotonic()
        for work in (
            remote.submit(order()),
            remote.replace(Cancel("v", "1"), price="1"),
            remote.cancel("w", "1"),
        ):
            report = await work
            assert (report.outcome, "not authorised" in report.text) == (Outcome.NOT_SENT, True)
        with pytest.raises(NotAuthorised):
            await remote.open_orders("w")
        report = await remote.cancel_all("v", deadline=5)
        assert "not authorised" in report.doubts[0].text
        assert time.monotonic() - begun < 1.5
        assert gateway.heard == []
        assert (await remote.cancel("v", "1")).ok
        assert await remote.open_orders("v") == []


async def test_venues_of_others_are_left_out_of_what_is_done_everywhere():
    async with limited() as (_gateway, remote):
        assert list(remote.health()) == ["v"]
        assert list((await remote.cancel_all(deadline=0.5)).venues) == ["v"]
        with pytest.raises(NotAuthorised, match="recovered"):  # [] would say that nothing is in doubt
            await remote.recovered(0.5)


async def test_who_may_not_even_ask_is_told_so_on_entering():
    with pytest.raises(NotAuthorised, match=r"router\.who"):
        async with limited(RIGHTS.replace('"router.who", ', "")):
            pass


# -- without nats-py


def test_without_nats_py_the_way_out_is_told():
    script = (
        "import sys\n"
        "sys.modules['nats'] = None\n"
        "import router.cluster\n"
        "from router.cluster import Credentials\n"
        "try:\n"
        "    router.cluster.RemoteRouter\n"
        "except ImportError as error:\n"
        "    print(error)\n"
        "print(hasattr(router.cluster, 'Nothing'), 'RemoteRouter' in dir(router.cluster))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout.splitlines() == ["RemoteRouter needs nats: pip install 'venue-router[cluster]'", "False True"]
