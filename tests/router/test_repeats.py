"""What goes out again after its connection is lost, what never does, and what the answer to a repeat proves."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from attrs import evolve

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.codec import SPEC, QfexCodec
from adapters.qfex.simulator import Order as TheirOrder
from adapters.qfex.simulator import QfexSimulator, Twap
from router import Budget, Cancel, CxlRejReason, IdKind, Order, OrdStatus, Origin, Outcome, Router, SubmitReport
from router.session import Session
from router.testing import Fault, Switches
from router.testing.faults import Fate

CANCELS = frozenset({"cancel_order", "cancel_stop_order"})
DELETE = "DELETE orders"
SAME = Cancel("qfex", "same", IdKind.CLIENT_ORDER, "AAPL-USD")
SAME_TWAP = Cancel("qfex", "same", IdKind.CLIENT_TWAP, "AAPL-USD")
TWAP = {"num_orders": 5, "order_interval_secs": 30}
LOGIN = ["auth", "subscribe", "subscribe"]


@pytest.fixture
async def hasty(qfex_sim: QfexSimulator) -> AsyncIterator[Router]:
    """QFEX with a quiet period that a test can wait for."""
    spec = evolve(SPEC, url=qfex_sim.url, quiet_period=0.3)
    codec = QfexCodec(spec=spec, public_key=qfex_sim.public_key, secret_key=qfex_sim.secret_key)
    async with Router({"qfex": Session(codec)}) as router:
        yield router


def limit(**changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


def twap(**changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "twap", "5", options=TWAP, client_order_id="same", **changes)


def spot() -> Order:
    return Order("b", "spot.btc_usdt", "buy", "limit", "0.02", "100")


async def placed(router: Router, order: Order) -> SubmitReport:
    report = await router.submit(order)
    assert report.ok, report
    return report


def newer(sim: QfexSimulator) -> str:
    """Another program places an order with the same client id."""
    order = TheirOrder(account=sim.account_id, symbol="AAPL-USD", quantity=Decimal(1), price=Decimal(100))
    order.client_order_id = "same"
    sim.exchange.add(order)
    return order.order_id


def cancels(sim: QfexSimulator) -> list[tuple[str, str]]:
    """The cancels on the wire: by what, and which."""
    sent = [item.message["params"] for item in sim.commands("cancel_order")]
    return [(params["cancel_order_id_type"], params["order_id"]) for params in sent]


# -- over a socket


async def test_a_lost_cancel_by_id_goes_out_once_more_the_same_bytes_before_the_orders_are_read(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    order = await placed(qfex, limit())
    qfex_sim.inject(Fault.HANG_UP_READ, only=CANCELS)
    begun = len(qfex_sim.received)
    report = await qfex.cancel(order)
    await qfex_sim.until(1, "get_user_orders")
    assert (report.outcome, report.status, qfex_sim.book) == (Outcome.CONFIRMED, OrdStatus.CANCELED, {})
    words = [item.command for item in qfex_sim.received[begun:]]
    assert words == ["cancel_order", *LOGIN, "cancel_order", "get_user_orders"]
    first, second = qfex_sim.commands("cancel_order")
    assert (first.message, first.connection != second.connection) == (second.message, True)


async def test_the_same_bytes(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancelling = asyncio.ensure_future(router.cancel("toy", "a"))
        await venue.until("cancel a")
        await venue.hang_up()
        await venue.until("list")
        assert venue.read == ["login", "cancel a", "login", "cancel a", "list 0"]
        await venue.say("cancelled a")
        assert (await cancelling).ok


async def test_it_goes_out_even_when_its_caller_was_told_and_settles_it(hasty: Router, qfex_sim: QfexSimulator) -> None:
    order = await placed(hasty, limit())
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    report = await hasty.cancel(order, deadline=0.1)
    qfex_sim.switches = Switches()
    assert (report.outcome, len(qfex_sim.book)) == (Outcome.UNKNOWN, 1)
    await qfex_sim.drop_connections()
    await qfex_sim.until(2, "cancel_order")
    settled = await report.settled(5)
    assert (settled.outcome, settled.status, qfex_sim.book) == (Outcome.CONFIRMED, OrdStatus.CANCELED, {})
    assert len(qfex_sim.commands("cancel_order")) == 2


async def test_two_drops_are_one_repeat(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancelling = asyncio.ensure_future(router.cancel("toy", "a", deadline=1.0))
        await venue.until("cancel a")
        await venue.hang_up()
        await venue.until("cancel a", 2)
        for logins in (3, 4):
            await venue.hang_up()
            await venue.until("login", logins)
            await venue.until("list", logins - 2)
        report = await cancelling
        settled = await report.settled(0.5)
        assert report.outcome is settled.outcome is Outcome.UNKNOWN
    assert venue.count("cancel a") == 2


async def test_repeats_go_in_the_order_in_which_they_were_first_sent_and_before_other_cancels(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        lost = [asyncio.ensure_future(router.cancel("toy", name, deadline=5)) for name in "abc"]
        await venue.until("cancel", 3)
        venue.welcomes = ""
        await venue.hang_up()
        await venue.until("login", 2)
        waiting = asyncio.ensure_future(router.cancel("toy", "d", deadline=5))
        await asyncio.sleep(0)
        await venue.say("welcome")
        await venue.until("cancel", 7)
        await venue.say(*(f"cancelled {name}" for name in "abcd"))
        assert all(report.ok for report in await asyncio.gather(*lost, waiting))
    assert [message for message in venue.read if message.startswith("cancel")][3:] == [
        "cancel a",
        "cancel b",
        "cancel c",
        "cancel d",
    ]


async def test_repeats_alone_go_in_the_order_in_which_they_were_first_sent(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        lost = [asyncio.ensure_future(router.cancel("toy", name, deadline=5)) for name in "abc"]
        await venue.until("cancel", 3)
        await venue.hang_up()
        await venue.until("cancel", 6)
        await venue.say(*(f"cancelled {name}" for name in "abc"))
        assert all(report.ok for report in await asyncio.gather(*lost))
    assert [message for message in venue.read if message.startswith("cancel")] == [
        f"cancel {name}" for name in "abcabc"
    ]


async def test_a_repeat_waits_for_the_pace_like_any_cancel(venue, toy_session):
    async with Router({"toy": toy_session(budget=Budget(3, 0.3))}) as router:
        lost = [asyncio.ensure_future(router.cancel("toy", name, deadline=5)) for name in "abc"]
        await venue.until("cancel", 3)
        begun = asyncio.get_running_loop().time()
        await venue.hang_up()
        await venue.until("cancel", 6)
        assert asyncio.get_running_loop().time() - begun >= 0.25
        await venue.say(*(f"cancelled {name}" for name in "abc"))
        assert all(report.ok for report in await asyncio.gather(*lost))
    assert venue.count("cancel") == 6


async def test_a_repeat_that_was_never_written_goes_out_after_the_next_login(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancelling = asyncio.ensure_future(router.cancel("toy", "a", deadline=5))
        await venue.until("cancel a")
        venue.welcomes = ""
        await venue.hang_up()
        await venue.until("login", 2)
        venue.welcomes = "welcome"
        await venue.hang_up()
        await venue.until("cancel a", 2)
        await venue.say("cancelled a")
        assert (await cancelling).ok
    assert (venue.count("cancel a"), venue.logins) == (2, 3)


async def test_what_was_settled_before_the_next_login_is_not_repeated(venue, toy_session, order):
    venue.rows = ""
    async with Router({"toy": toy_session()}) as router:
        submitting = asyncio.ensure_future(router.submit(order("c1")))
        await venue.until("add")
        await venue.say("added c1 a")
        cancelling = asyncio.ensure_future(router.cancel(await submitting))
        await venue.until("cancel a")
        await venue.say("cancelled a c1")
        assert (await cancelling).ok
        await venue.hang_up()
        await venue.until("list")
    assert venue.count("cancel a") == 1


@pytest.mark.parametrize("what", ["submit", "replace", "cancel by client id"])
async def test_what_could_do_something_new_is_never_repeated(hasty: Router, qfex_sim: QfexSimulator, what: str) -> None:
    older = [await placed(hasty, limit(client_order_id="same")) for _ in range(2)]
    command = {"submit": "add_order", "replace": "modify_order", "cancel by client id": "cancel_order"}[what]
    before = len(qfex_sim.commands(command))
    qfex_sim.inject(Fault.HANG_UP_READ, only={command})
    calls: dict[str, Callable[[], Any]] = {
        "submit": lambda: hasty.submit(limit(client_order_id="new"), deadline=0.5),
        "replace": lambda: hasty.replace(older[0], price="140", deadline=0.5),
        "cancel by client id": lambda: hasty.cancel(Cancel("qfex", "other", "client_order", "AAPL-USD"), deadline=0.5),
    }
    report = await calls[what]()
    assert report.outcome is Outcome.UNKNOWN
    assert "the connection was lost before the answer" in report.text
    settled = await report.settled(2)
    assert settled.outcome is not Outcome.CONFIRMED
    assert (len(qfex_sim.commands(command)), len(qfex_sim.book)) == (before + 1, 2)


# -- what the answer to a repeat proves


async def test_no_such_order_after_a_repeat_is_unknown_until_a_look_up_tells_that_it_was_cancelled(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    order = await placed(hasty, limit())
    qfex_sim.inject(Fault.HANG_UP_EXECUTED, only=CANCELS)
    report = await hasty.cancel(order)
    assert (report.outcome, qfex_sim.book) == (Outcome.UNKNOWN, {})
    assert "gone, cause unknown: NO_SUCH_ORDER" in report.text
    settled = await report.settled()
    assert (settled.outcome, settled.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert len(qfex_sim.commands("cancel_order")) == 2


async def test_no_such_order_after_a_repeat_of_what_was_filled_meanwhile_is_too_late(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    order = await placed(hasty, limit())
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(hasty.cancel(order))
    await qfex_sim.until(1, "cancel_order")
    qfex_sim.switches = Switches()
    await qfex_sim.drop_connections()
    await qfex_sim.fill(str(order.order_id))  # nobody is there to hear it
    report = await cancelling
    settled = report if report.outcome is Outcome.REFUSED else await report.settled()
    assert (settled.outcome, settled.reason) == (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)
    assert settled.status is OrdStatus.FILLED
    assert len(qfex_sim.commands("cancel_order")) == 2


async def test_an_event_tells_what_no_such_order_did_not(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancelling = asyncio.ensure_future(router.cancel("toy", "a"))
        await venue.until("cancel a")
        await venue.hang_up()
        await venue.until("cancel a", 2)
        await venue.say("refused a")
        report = await cancelling
        assert report.outcome is Outcome.UNKNOWN
        assert "gone, cause unknown: no such order" in report.text
        settling = asyncio.ensure_future(report.settled(5))
        await venue.say("cancelled a")
        assert (await settling).ok
    assert venue.count("cancel a") == 2


async def test_too_late_after_a_repeat_is_too_late(venue, toy_session):
    async with Router({"toy": toy_session()}) as router:
        cancelling = asyncio.ensure_future(router.cancel("toy", "a"))
        await venue.until("cancel a")
        await venue.hang_up()
        await venue.until("cancel a", 2)
        await venue.say("late a")
        report = await cancelling
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)


@pytest.mark.parametrize("code", ["InvalidOrder", "PermissionDenied", "InvalidParameter"])
async def test_any_other_refusal_of_a_repeat_is_unknown_because_the_first_may_have_been_executed(
    hasty: Router, qfex_sim: QfexSimulator, code: str
) -> None:
    order = await placed(hasty, limit())
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(hasty.cancel(order))
    await qfex_sim.until(1, "cancel_order")
    await qfex_sim.drop_connections()
    _, again = await qfex_sim.until(2, "cancel_order")
    await qfex_sim.send({"err": {"error_code": code, "message": "words", "incoming_message": again.message}})
    report = await cancelling
    assert report.outcome is Outcome.UNKNOWN
    assert "an earlier one may have been executed" in report.text
    assert f"{code}: words" in report.text


async def test_a_first_attempt_that_is_refused_is_refused(qfex: Router) -> None:
    report = await qfex.cancel("qfex", "5b309929-206f-40ec-804d-cbe46e81afc1", symbol="AAPL-USD")
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)


# -- cancels that name a set


async def test_a_lost_cancel_by_client_id_takes_by_venue_id_what_was_there_before_it_and_nothing_newer(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    older = [await placed(hasty, limit(client_order_id="same")) for _ in range(2)]
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(hasty.cancel(SAME))
    await qfex_sim.until(1, "cancel_order")
    qfex_sim.switches = Switches()
    young = newer(qfex_sim)
    await qfex_sim.drop_connections()
    report = await cancelling
    assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert {row.order_id for row in report.orders} == {order.order_id for order in older}
    assert list(qfex_sim.book) == [young]
    first, *others = cancels(qfex_sim)
    assert first == ("client_order_id", "same")
    assert sorted(others) == sorted(("order_id", str(order.order_id)) for order in older)


async def test_a_lost_cancel_by_client_id_that_was_executed_is_settled_without_touching_a_newer_order(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    older = [await placed(hasty, limit(client_order_id="same")) for _ in range(2)]
    qfex_sim.switches = Switches(mute=True, only=CANCELS)
    cancelling = asyncio.ensure_future(hasty.cancel(SAME))
    await qfex_sim.until(1, "cancel_order")
    qfex_sim.switches = Switches()
    await qfex_sim.drop_connections()
    young = newer(qfex_sim)
    report = await cancelling
    settled = report if report.ok else await report.settled()
    assert (settled.outcome, list(qfex_sim.book)) == (Outcome.CONFIRMED, [young])
    assert {row.order_id for row in settled.orders} == {order.order_id for order in older}
    assert cancels(qfex_sim) == [("client_order_id", "same")]


async def test_a_lost_cancel_by_client_id_is_finished_though_its_caller_was_told(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    older = [await placed(hasty, limit(client_order_id="same")) for _ in range(2)]
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    report = await hasty.cancel(SAME, deadline=0.1)
    qfex_sim.switches = Switches()
    young = newer(qfex_sim)
    assert (report.outcome, len(qfex_sim.book)) == (Outcome.UNKNOWN, 3)
    await qfex_sim.drop_connections()
    await qfex_sim.until(3, "cancel_order")
    settled = await report.settled(5)
    assert (settled.outcome, list(qfex_sim.book)) == (Outcome.CONFIRMED, [young])
    assert {row.order_id for row in settled.orders} == {order.order_id for order in older}


async def test_a_lost_cancel_by_client_id_of_nothing_known_here_takes_nothing_and_stays_unknown(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.inject(Fault.HANG_UP_READ, only=CANCELS)
    cancelling = asyncio.ensure_future(hasty.cancel(SAME, deadline=1.0))
    await qfex_sim.until_struck(1)
    young = newer(qfex_sim)
    report = await cancelling
    settled = await report.settled()
    assert report.outcome is settled.outcome is Outcome.UNKNOWN
    assert "may be newer than the cancel were left alone" in settled.text
    assert (list(qfex_sim.book), cancels(qfex_sim)) == ([young], [("client_order_id", "same")])


async def test_a_lost_cancel_of_twaps_by_client_id_takes_by_venue_id_what_was_there_before_it(
    hasty: Router, qfex_sim: QfexSimulator
) -> None:
    older = [await placed(hasty, twap()) for _ in range(2)]
    qfex_sim.switches = Switches(deaf=True, only=CANCELS)
    cancelling = asyncio.ensure_future(hasty.cancel(SAME_TWAP))
    await qfex_sim.until(1, "cancel_order")
    qfex_sim.switches = Switches()
    terms = {"symbol": "AAPL-USD", "side": "BUY", "total_quantity": Decimal(5), "reduce_only": False, **TWAP}
    young = qfex_sim.exchange.add_twap(Twap(account=qfex_sim.account_id, client_twap_id="same", **terms))
    await qfex_sim.drop_connections()
    report = await cancelling
    settled = report if report.ok else await report.settled()
    assert settled.outcome is Outcome.CONFIRMED
    assert list(qfex_sim.twaps) == [young.twap_id]
    first, *others = cancels(qfex_sim)
    assert first == ("client_twap_id", "same")
    assert sorted(others) == sorted(("twap_id", str(order.order_id)) for order in older)


# -- a venue that signs


async def test_a_signed_cancel_is_repeated_with_the_same_signature(dmex_sim: DmexSimulator) -> None:
    order_hash = dmex_sim.rest()
    dmex_sim.inject(Fault.HANG_UP_READ, only={"cancel_order"})
    async with Router({"dmex": Dmex(**dmex_sim.credentials)}) as router:
        report = await router.cancel("dmex", order_hash)
    first, second = dmex_sim.commands("cancel_order")
    assert (report.outcome, dmex_sim.orders[order_hash].closed) == (Outcome.CONFIRMED, True)
    assert (first.message, first.connection != second.connection) == (second.message, True)


@pytest.mark.parametrize("rest", [True, False])
async def test_a_signed_cancel_that_was_executed_is_refused_again_and_settled_by_what_can_be_read(
    dmex_sim: DmexSimulator, rest: bool
) -> None:
    order_hash = dmex_sim.rest()
    dmex_sim.inject(Fault.HANG_UP_EXECUTED, only={"cancel_order"})
    address = dmex_sim.credentials if rest else {"private_key": dmex_sim.private_key, "url": dmex_sim.url}
    adapter = Dmex(**address)
    adapter._codec = evolve(adapter._codec, spec=evolve(adapter.spec, quiet_period=0.2))
    async with Router({"dmex": adapter}) as router:
        report = await router.cancel("dmex", order_hash, deadline=1.0)
        settled = report if report.ok else await report.settled(2)
    assert settled.outcome is (Outcome.CONFIRMED if rest else Outcome.UNKNOWN)
    assert (len(dmex_sim.commands("cancel_order")), dmex_sim.orders[order_hash].closed) == (2, True)


async def test_a_lost_create_is_never_repeated(dmex_sim: DmexSimulator) -> None:
    def encoder(order: Order) -> tuple[str, Mapping[str, Any]]:
        order_hash = "0x" + secrets.token_hex(32)
        numbers = {"amount": "1000000000", "price": "10000000000000", "leverage": "100000000"}
        data = {"hash": order_hash, "user_address": adapter.address, "base_token": "0x" + "00" * 20}
        return order_hash, data | numbers | {"asset": order.symbol, "side": True, "nonce": 1}

    adapter = Dmex(**dmex_sim.credentials, order_encoder=encoder)
    dmex_sim.inject(Fault.HANG_UP_EXECUTED, only={"create_order"})
    async with Router({"dmex": adapter}) as router:
        report = await router.submit(Order("dmex", "btcusd", "buy", "limit", "10", "100000"))
    assert (report.outcome, report.text) == (Outcome.CONFIRMED, "the venue named the order later")
    assert (len(dmex_sim.commands("create_order")), len(dmex_sim.orders)) == (1, 1)


# -- over HTTP


class Watched(B2TraderSimulator):
    """Remembers which connection each DELETE came by."""

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE" and request.transport is not None:
            self.__dict__.setdefault("peers", []).append(request.transport.get_extra_info("peername"))
        return await super()._serve(request)


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    async with Watched() as simulator:
        yield simulator


@pytest.fixture
async def trader(watched: Watched) -> AsyncIterator[Router]:
    async with Router({"b": B2Trader(**watched.credentials)}) as router:
        yield router


@pytest.mark.parametrize("fault", [Fault.HANG_UP_UNREAD, Fault.HANG_UP_READ])
async def test_a_lost_delete_goes_out_once_more_over_a_connection_of_its_own(
    trader: Router, watched: Watched, fault: Fault
) -> None:
    order = await placed(trader, spot())
    watched.inject(fault, only={DELETE})
    report = await trader.cancel(order)
    assert (report.outcome, watched.orders[str(order.order_id)].status) == (Outcome.CONFIRMED, "Cancelled")
    first, second = watched.__dict__["peers"]
    assert first != second


async def test_the_repeat_uses_no_connection_that_was_kept(trader: Router, watched: Watched) -> None:
    orders = await asyncio.gather(*(placed(trader, spot()) for _ in range(3)))  # as many connections, all kept
    reports = await asyncio.gather(*(trader.cancel(order) for order in orders[:2]))
    assert all(report.ok for report in reports)
    kept = set(watched.__dict__.pop("peers"))
    watched.inject(Fault.HANG_UP_READ, only={DELETE})
    assert (await trader.cancel(orders[2])).ok
    first, second = watched.__dict__["peers"]
    assert second not in kept | {first}


async def test_a_delete_is_repeated_once_and_never_again(trader: Router, watched: Watched) -> None:
    order = await placed(trader, spot())
    watched.inject(Fault.HANG_UP_READ, only={DELETE}, times=None)
    report = await trader.cancel(order, deadline=0.5)
    settled = await report.settled(0.3)
    again = await settled.settled(0.3)
    assert report.outcome is settled.outcome is again.outcome is Outcome.UNKNOWN
    assert len(watched.commands(DELETE)) == 2


async def test_a_delete_whose_answer_is_lost_is_told_not_found_and_stays_unknown(
    trader: Router, watched: Watched
) -> None:
    order = await placed(trader, spot())
    watched.inject(Fault.HANG_UP_EXECUTED, only={DELETE})
    report = await trader.cancel(order, deadline=1.0)
    assert len(watched.commands(DELETE)) == 2
    assert watched.orders[str(order.order_id)].status == "Cancelled"
    assert report.outcome is Outcome.UNKNOWN
    assert "gone, cause unknown" in report.text


@pytest.mark.parametrize("fault", [Fault.DEAF, Fault.MUTE])
async def test_past_its_deadline_a_delete_is_repeated_when_somebody_wants_it_settled(
    trader: Router, watched: Watched, fault: Fault
) -> None:
    order = await placed(trader, spot())
    watched.inject(fault, only={DELETE})
    report = await trader.cancel(order, deadline=0.2)
    assert (report.outcome, len(watched.commands(DELETE))) == (Outcome.UNKNOWN, 1)
    settled = await report.settled(1)
    assert settled.outcome is (Outcome.CONFIRMED if fault is Fault.DEAF else Outcome.UNKNOWN)
    assert watched.orders[str(order.order_id)].status == "Cancelled"
    if settled.outcome is Outcome.UNKNOWN:
        assert "gone, cause unknown" in settled.text
        assert (await settled.settled(0.2)).outcome is Outcome.UNKNOWN
    first, second = watched.__dict__["peers"]
    assert first != second


async def test_a_delete_that_nobody_wants_settled_is_not_repeated(trader: Router, watched: Watched) -> None:
    order = await placed(trader, spot())
    watched.switches = Switches(hold=True, only=frozenset({DELETE}))
    report = await trader.cancel(order, deadline=0.1)
    await watched.until_held(1)
    watched.switches = Switches()
    watched.release(fate=Fate.HANG_UP)
    other = await trader.cancel("b", "01K2MNGAWPMQJ7WGATFSCAS1G4")
    assert (report.outcome, other.reason) == (Outcome.UNKNOWN, CxlRejReason.UNKNOWN_ORDER)
    assert len(watched.commands(DELETE)) == 2, "its one, and the other's"


# -- submits in the worst case


async def test_two_gateway_time_outs_are_one_post_and_unknown(b2: Router, b2_sim: B2TraderSimulator) -> None:
    b2_sim.fail_next = [504, 504]
    order = Order("xbtfx", "spot.btc_usdt", "buy", "limit", "0.02", "100")
    report = await b2.submit(order)
    settled = await report.settled(1.0)
    assert report.outcome is settled.outcome is Outcome.UNKNOWN
    assert "cannot be asked for its open orders" in settled.text
    assert (len(b2_sim.commands("POST orders")), b2_sim.fail_next, b2_sim.orders) == (1, [504], {})


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.SERVER_ERROR_EXECUTED])
async def test_two_server_errors_are_one_order_frame_which_is_settled_by_reading(
    hasty: Router, qfex_sim: QfexSimulator, fault: Fault
) -> None:
    qfex_sim.inject(fault, only={"add_order"}, times=2)
    report = await hasty.submit(limit())
    settled = await report.settled()
    executed = fault is Fault.SERVER_ERROR_EXECUTED
    assert (report.outcome, len(qfex_sim.commands("add_order"))) == (Outcome.UNKNOWN, 1)
    assert settled.outcome is (Outcome.CONFIRMED if executed else Outcome.REFUSED)
    assert (settled.origin, len(qfex_sim.book)) == ((Origin.CLIENT, 1) if executed else (Origin.ROUTER, 0))
