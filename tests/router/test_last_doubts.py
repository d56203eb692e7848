"""Doubts that are easily lost: held cancels answered out of order, dropped reports, lists that lag, one name for two orders."""

import asyncio
import gc
import time
from decimal import Decimal

import pytest
from attrs import evolve

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator.refusal import Refusal
from adapters.b2trader.simulator.tokens import Tokens
from adapters.dmex import Dmex
from adapters.qfex.codec import SPEC, QfexCodec
from router import Cancel, CxlRejReason, IdKind, Order, OrdStatus, Outcome, Router, SwitchFired
from router.session import Session
from router.testing import Fault, Switches, Verb
from router.testing import Refusal as Word

AAPL = "AAPL-USD"
REFUSED_CANCEL = Word(Verb.CANCEL, "InvalidOrder", CxlRejReason.OTHER)


def limit(**changes):
    return Order("qfex", AAPL, "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


def spot():
    return Order("xbtfx", "spot.btc_usdt", "buy", "limit", "0.02", "100")


def taken(report):
    return {order.order_id for order in report.affected}


# -- held cancels


async def test_a_held_cancel_that_ended_is_not_joined(qfex, qfex_sim):
    qfex_sim.inject(Fault.MUTE, only={"add_order"})
    order = limit()
    assert (await qfex.submit(order, deadline=0.1)).outcome is Outcome.UNKNOWN
    qfex_sim.inject(Fault.THROTTLED, only={"cancel_order"}, times=None)
    refused = await qfex.cancel(order, deadline=0.3)
    assert refused.outcome is Outcome.REFUSED
    qfex_sim.faults.clear()
    async with asyncio.timeout(3):
        again = await qfex.cancel(order, deadline=2)
    assert (again.outcome, qfex_sim.book) == (Outcome.CONFIRMED, {})


async def test_an_early_no_such_order_after_the_ack_does_not_lose_the_cancel(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        placed = order("c1")
        await router.submit(placed, deadline=0.1)
        cancelling = asyncio.ensure_future(router.cancel(placed, deadline=2))
        await venue.until("cancel-set c1")
        await venue.say("added c1 id1")
        await venue.say("trade id1 1 t1")
        await venue.say("refused c1")
        await venue.until("cancel id1")
        await venue.say("cancelled id1 c1")
        assert (await cancelling).ok


# -- doubts whose report nobody kept


async def test_a_set_is_cancelled_after_a_drop_even_if_its_report_was_dropped(venue, toy_session, order):
    async with Router({"toy": toy_session()}) as router:
        for number in (1, 2):
            submit = asyncio.ensure_future(router.submit(order("c")))
            await venue.until("add c", number)
            await venue.say(f"added c id{number}")
            assert (await submit).ok
        venue.rows, venue.welcomes = "id1:c id2:c", ""
        await router.cancel(Cancel("toy", "c", IdKind.CLIENT_ORDER), deadline=0.05)
        await venue.hang_up()
        await venue.until("login", 2)
        gc.collect()
        await venue.say("welcome")
        await venue.until("cancel id1")
        await venue.until("cancel id2")
    assert venue.count("cancel-set") == 1


async def test_a_repeat_that_was_declined_is_made_all_the_same(b2, b2_sim):
    placed = await b2.submit(spot())
    b2_sim.inject(Fault.DEAF, only={"DELETE orders"})
    report = await b2.cancel(placed, deadline=0.1)
    b2_sim.fail_next, b2_sim.retry_after = [429], 0
    settled = await report.settled(timeout=5)
    assert (settled.outcome, b2_sim.orders[placed.order_id].live) == (Outcome.CONFIRMED, False)
    assert len(b2_sim.commands("DELETE orders")) == 3, "lost, declined, done"


# -- one name for two orders


async def test_an_order_that_was_not_sent_names_no_namesake(qfex, qfex_sim):
    unsent = limit(client_order_id="grid", time_in_force="day")
    assert (await qfex.submit(unsent)).outcome is Outcome.NOT_SENT
    assert (await qfex.submit(limit(client_order_id="grid"))).ok
    report = await qfex.cancel(unsent)
    assert (report.outcome, len(qfex_sim.book)) == (Outcome.NOT_SENT, 1)
    assert "was not placed" in report.text


async def test_an_older_order_of_the_same_client_id_is_not_taken_for_ours(qfex_sim):
    spec = evolve(SPEC, url=qfex_sim.url, quiet_period=0.2)
    codec = QfexCodec(spec=spec, public_key=qfex_sim.public_key, secret_key=qfex_sim.secret_key)
    async with Router({"qfex": Session(codec)}) as router:
        old = await router.submit(limit(client_order_id="grid"))
        qfex_sim.history[old.order_id].update_time -= 60
        await qfex_sim.fill(old.order_id)
    for filled in (qfex_sim.history[old.order_id], qfex_sim.engine.history[old.order_id]):
        filled.update_time -= 60
    async with Router({"qfex": Session(codec)}) as router:
        qfex_sim.switches = Switches(deaf=True, only=frozenset({"add_order"}))
        lost = await router.submit(limit(client_order_id="grid"), deadline=0.1)
        settled = await lost.settled(timeout=5)
    assert settled.outcome is not Outcome.CONFIRMED
    assert settled.cum_quantity in {None, Decimal(0)}


# -- cancel_all, replace, the switch


@pytest.mark.parametrize("hides", ["all", "stops"])
async def test_orders_of_ours_that_the_list_leaves_out_are_cancelled_by_id(qfex, qfex_sim, monkeypatch, hides):
    shown = type(qfex_sim.exchange).open_orders

    def partial(exchange, *scope):
        return [order for order in shown(exchange, *scope) if hides == "stops" and not order.is_stop]

    monkeypatch.setattr(type(qfex_sim.exchange), "open_orders", partial)
    placed = await qfex.submit(limit())
    stop = await qfex.submit(Order("qfex", AAPL, "sell", "stop", "1", stop_price="120"))
    report = await qfex.cancel_all(deadline=5)
    assert (taken(report), qfex_sim.book, qfex_sim.stops) == ({placed.order_id, stop.order_id}, {}, {})
    assert report.no_open_orders


async def test_children_of_a_twap_that_ended_earlier_are_a_doubt_of_ones_own(qfex, qfex_sim):
    twap = await qfex.submit(
        Order("qfex", AAPL, "buy", "twap", "10", options={"num_orders": 5, "order_interval_secs": 60})
    )
    await qfex_sim.spawn_child(twap.order_id, quantity=Decimal(2), price=Decimal(150))
    assert (await qfex.cancel(twap)).ok
    report = await qfex.cancel_all(scope="own", deadline=3)
    assert (report.no_open_orders, len(qfex_sim.book)) == (False, 1)
    assert any("TWAP" in doubt.text for doubt in report.doubts)


async def test_one_order_is_replaced_once_at_a_time(b2, b2_sim):
    placed = await b2.submit(spot())
    reports = await asyncio.gather(*(b2.replace(placed, price=price, allow_gap=True) for price in ("101", "102")))
    assert sorted(report.outcome for report in reports) == [Outcome.CONFIRMED, Outcome.NOT_SENT]
    assert sum(order.live for order in b2_sim.orders.values()) == 1


async def test_a_cancel_is_not_undone_by_a_replace_that_comes_after_it(b2, b2_sim):
    placed = await b2.submit(spot())
    b2_sim.switches = Switches(hold=True, only=frozenset({"DELETE orders"}))
    cancelling = asyncio.ensure_future(b2.cancel(placed))
    await b2_sim.until_held(1)
    replaced = await b2.replace(placed, price="101", allow_gap=True)
    b2_sim.release()
    assert ((await cancelling).outcome, replaced.outcome) == (Outcome.CONFIRMED, Outcome.NOT_SENT)
    assert not any(order.live for order in b2_sim.orders.values())


async def test_a_second_modify_waits_for_the_first_to_be_settled(qfex, qfex_sim):
    placed = await qfex.submit(limit(quantity="10"))
    qfex_sim.inject(Fault.MUTE, only={"modify_order"})
    first = await qfex.replace(placed, quantity="1", deadline=0.1)
    second = await qfex.replace(placed, price="151")
    assert (first.outcome, second.outcome) == (Outcome.UNKNOWN, Outcome.NOT_SENT)
    assert (await first.settled(timeout=5)).ok
    third = await (await qfex.replace(placed, price="151", deadline=0.2)).settled(timeout=5)
    assert (third.outcome, qfex_sim.book[third.order_id].quantity) == (Outcome.CONFIRMED, 1)


async def test_leaving_the_router_lets_a_switch_that_fires_finish(qfex_sim, qfex):
    await qfex.submit(limit())
    switch = qfex.deadman(0.05, deadline=3)

    async def strategy():
        async with qfex:
            time.sleep(0.1)  # noqa: ASYNC251 - the strategy blocks the loop
            switch.feed()

    with pytest.raises(SwitchFired):
        await strategy()
    assert (qfex_sim.book, (await switch.report()).venues["qfex"].affected[0].status) == ({}, OrdStatus.CANCELED)


# -- texts and encoders


async def test_a_long_token_that_the_venue_echoes_is_not_shown_in_part(b2_sim, monkeypatch):
    token = "t0ken-" + "x7" * 300

    def echo(_, header):
        raise Refusal(403, "forbidden", f"bad header {header}")

    monkeypatch.setattr(Tokens, "check", echo)
    async with Router({"xbtfx": B2Trader(b2_sim.url, b2_sim.account_id, token)}) as router:
        report = await router.cancel("xbtfx", "01K2MNGAWPMQJ7WGATFSCAS1G4", deadline=1)
    assert report.outcome is Outcome.REFUSED
    assert token[:40] not in report.text


async def test_an_encoder_that_breaks_is_not_sent_and_leaves_nothing(dmex_sim):
    def broken(order):
        raise RuntimeError("no recipe")

    adapter = Dmex(dmex_sim.private_key, url=dmex_sim.url, order_encoder=broken)
    async with Router({"dmex": adapter}) as router:
        report = await router.submit(Order("dmex", "btcusd", "buy", "limit", "1", "100"))
        assert (report.outcome, router._desks["dmex"].placing(None)) == (Outcome.NOT_SENT, [])
    assert dmex_sim.received == []


# -- an answer that is still owed


async def test_the_own_answer_of_a_cancel_that_a_fill_settled_is_nobody_elses(qfex, qfex_sim):
    """The venue's err names nothing, and comes when a submit is the only command that waits."""
    qfex_sim.variants.err_echo = "null"
    placed, other = await qfex.submit(limit()), await qfex.submit(limit())
    told = qfex.events()
    qfex_sim.switches = Switches(hold=True, only=frozenset({"cancel_order", "add_order"}))
    qfex_sim.bench.refuse(REFUSED_CANCEL)
    cancelling = asyncio.ensure_future(qfex.cancel(placed))
    await qfex_sim.until_held(1)
    await qfex_sim.fill(placed.order_id)
    late = await cancelling
    assert (late.outcome, late.reason, late.status) == (Outcome.REFUSED, 0, OrdStatus.FILLED)
    submitting = asyncio.ensure_future(qfex.submit(limit(price="151")))
    await qfex_sim.until_held(2)
    answers = set(qfex_sim._tasks)
    qfex_sim.release(1)
    await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    await qfex_sim.fill(other.order_id)
    while (await anext(told)).order_id != other.order_id:
        pass  # what was said before it has been heard too
    qfex_sim.switches = Switches()
    qfex_sim.release()
    report = await submitting
    assert (report.outcome, list(qfex_sim.book)) == (Outcome.CONFIRMED, [report.order_id])
