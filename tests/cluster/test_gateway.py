"""A gateway, over a real nats-server and the simulators: what it does with each command, once, and who owns a venue."""

import asyncio
import contextlib
import json
import time

import pytest
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as Silence

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex.simulator import DmexSimulator
from router import Cancel, IdKind, Outcome
from router.cluster import Credentials, Gateway, subjects, wire
from router.cluster.serving import inquiring
from router.testing import Switches
from tests import restarting

from .conftest import TTL
from .strategies import ALPHA, limit, new_op, nobody, strategy, submitting

ADD, CANCEL = "add_order", "cancel_order"


@pytest.fixture
async def owned(gateway, venue, alpha):
    """A gateway that owns QFEX, and its tenure."""
    async with gateway(venue) as found:
        yield found, await alpha.owner("qfex", healthy=True)


async def until(condition, timeout=5):
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - anything may make it true
            await asyncio.sleep(0.01)


def adds(venue):
    return len(venue.commands(ADD))


# -- every verb


async def test_a_submit_and_a_cancel_are_told_as_the_routers_own(owned, venue, alpha):
    _, tenure = owned
    order = limit()
    placed = await alpha.submit(tenure, order)
    assert placed.report.outcome is Outcome.CONFIRMED
    assert placed.report.client_order_id == order.client_order_id
    assert placed.report.journaled is True
    assert set(venue.book) == {placed.report.order_id}
    cancelled = await alpha.cancel(tenure, Cancel("qfex", placed.report.order_id, symbol="AAPL-USD"))
    assert cancelled.report.outcome is Outcome.CONFIRMED
    assert [each.order_id for each in cancelled.report.orders] == [placed.report.order_id]
    assert not venue.book
    assert (adds(venue), len(venue.commands(CANCEL))) == (1, 1)


async def test_an_order_is_cancelled_by_the_operation_that_placed_it(owned, venue, alpha):
    _, tenure = owned
    first, twin = limit(client_order_id="same"), limit(client_order_id="same")
    op = new_op()
    placed = await alpha.submit(tenure, first, op=op)
    other = await alpha.submit(tenure, twin)
    by_name = Cancel("qfex", "same", IdKind.CLIENT_ORDER, "AAPL-USD")
    cancelled = await alpha.cancel(tenure, by_name, of=op, placed=tenure)
    assert [each.order_id for each in cancelled.report.orders] == [placed.report.order_id]
    assert set(venue.book) == {other.report.order_id}


async def test_a_replace(owned, venue, alpha):
    _, tenure = owned
    placed = await alpha.submit(tenure, limit())
    command = wire.Replacing(
        op=new_op(),
        tenure=tenure,
        deadline=time.time() + 3,
        target=wire.Address(placed.report.order_id),
        price="151",
    )
    said = await alpha.say("qfex", command)
    assert said.report.outcome is Outcome.CONFIRMED
    assert [str(order.price) for order in venue.book.values()] == ["151"]


async def test_a_replace_by_operation_and_one_with_nothing_to_change(owned, venue, alpha):
    _, tenure = owned
    op = new_op()
    placed = await alpha.submit(tenure, limit(), op=op)
    given = {"tenure": tenure, "deadline": time.time() + 3, "target": wire.Address("any"), "of": op}
    said = await alpha.say("qfex", wire.Replacing(op=new_op(), price="152", **given))
    assert said.report.outcome is Outcome.CONFIRMED
    assert said.report.order_id == placed.report.order_id
    said = await alpha.say("qfex", wire.Replacing(op=new_op(), price="no number", **given))
    assert said == wire.Mistaken(kind="ValueError", text="qfex: price was 'no number'; that is not a decimal number")


async def test_cancel_all_takes_only_the_strategys_own_by_default(owned, nats, venue, alpha):
    _, tenure = owned
    mine = await alpha.submit(tenure, limit())
    async with strategy(nats.url, "beta") as beta:
        theirs = await beta.submit(tenure, limit())
    given = {"tenure": tenure, "deadline": time.time() + 5}
    said = await alpha.say("qfex", wire.CancelAll(op=new_op(), **given), timeout=6)
    assert [each.order_id for each in said.report.affected] == [mine.report.order_id]
    assert said.report.no_open_orders
    assert set(venue.book) == {theirs.report.order_id}
    said = await alpha.say("qfex", wire.CancelAll(op=new_op(), own=False, **given), timeout=6)
    assert said.report.no_open_orders
    assert not venue.book


@pytest.mark.parametrize("known_by", ["order_id", "client_order_id"])
async def test_cancel_all_takes_what_the_strategy_knows_to_be_its_own_and_this_gateway_does_not(
    gateway, venue, alpha, known_by
):
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        mine, theirs = [await alpha.submit(tenure, limit()) for _ in range(2)]
    async with gateway(venue, "g2"):  # its journal is empty
        later = await alpha.owner("qfex", gateway="g2", healthy=True)
        known = (getattr(mine.report, known_by),)
        command = wire.CancelAll(op=new_op(), tenure=later, deadline=time.time() + 5, known=known)
        said = await alpha.say("qfex", command, timeout=6)
    assert [each.order_id for each in said.report.affected] == [mine.report.order_id]
    assert said.report.no_open_orders
    assert set(venue.book) == {theirs.report.order_id}


async def test_cancel_all_takes_by_id_what_no_list_shows_and_another_gateway_has_placed(gateway, alpha):
    async with B2TraderSimulator() as venue:
        async with gateway(None, adapters={"b": restarting.b2trader(venue)}):
            tenure = await alpha.owner("b", healthy=True)
            placed = await alpha.submit(tenure, restarting.spot())
        async with gateway(None, "g2", adapters={"b": restarting.b2trader(venue)}):
            later = await alpha.owner("b", gateway="g2", healthy=True)
            given = {"tenure": later, "known": (placed.report.order_id, "no-such-order")}
            command = wire.CancelAll(op=new_op(), deadline=time.time() + 2, symbol="spot.other", **given)
            said = await alpha.say("b", command, timeout=6)
            assert any("nothing tells of which symbol" in doubt.text for doubt in said.report.doubts)
            assert said.report.affected == ()
            said = await alpha.say("b", wire.CancelAll(op=new_op(), deadline=time.time() + 2, **given), timeout=6)
    assert [each.order_id for each in said.report.affected] == [placed.report.order_id]
    assert not said.report.no_open_orders


async def test_open_orders(owned, alpha):
    _, tenure = owned
    placed = await alpha.submit(tenure, limit())
    said = await alpha.say("qfex", wire.OpenOrders(op=new_op(), tenure=tenure, deadline=time.time() + 3))
    assert [each.order_id for each in said.orders] == [placed.report.order_id]


async def test_thousands_of_open_orders_go_into_one_message(owned, venue, alpha):
    from adapters.qfex.simulator import Order as QfexOrder

    _, tenure = owned
    for number in range(6000):
        await venue.enter(
            QfexOrder(account=venue.account_id, symbol="AAPL-USD", quantity=1, price=1, client_order_id=f"n{number}")
        )
    said = await alpha.say("qfex", wire.OpenOrders(op=new_op(), tenure=tenure, deadline=time.time() + 9), timeout=10)
    assert len(said.orders) == 6000


async def test_a_venue_that_cannot_list_says_so(gateway, alpha):
    async with B2TraderSimulator() as venue, gateway(None, adapters={"b": restarting.b2trader(venue)}):
        tenure = await alpha.owner("b", healthy=True)
        said = await alpha.say("b", wire.OpenOrders(op=new_op(), tenure=tenure, deadline=time.time() + 3))
        assert said.kind == "CannotList"


async def test_an_order_that_is_none(owned, venue, alpha):
    _, tenure = owned
    terms = wire.Terms(symbol="AAPL-USD", side="buy", type="limit", quantity="-1", client_order_id="x", price="1")
    command = wire.Submitting(op=new_op(), tenure=tenure, deadline=time.time() + 3, order=terms)
    said = await alpha.say("qfex", command)
    assert said == wire.Mistaken(kind="ValueError", text="qfex: quantity was '-1'; it must be greater than zero")
    assert adds(venue) == 0


# -- the same again


async def test_the_same_message_twice_is_executed_once(owned, venue, alpha):
    _, tenure = owned
    command = submitting(tenure, limit())
    first, second = await asyncio.gather(alpha.say("qfex", command), alpha.say("qfex", command))
    assert first == second == await alpha.say("qfex", command)
    assert first.report.outcome is Outcome.CONFIRMED
    assert adds(venue) == 1


async def test_an_id_that_another_command_had_is_a_mistake(owned, venue, alpha):
    _, tenure = owned
    op = new_op()
    await alpha.submit(tenure, limit(), op=op)
    said = await alpha.submit(tenure, limit(price="9"), op=op)
    assert said == wire.Mistaken(kind="ValueError", text=f"{op} was the id of another command")
    assert adds(venue) == 1


async def test_what_the_table_has_forgotten_is_answered_from_the_journal(owned, venue, alpha):
    found, tenure = owned
    command = submitting(tenure, limit())
    first = await alpha.say("qfex", command)
    operations = found._posts["qfex"]._tenure.operations
    operations._known.clear()
    async with asyncio.timeout(5):
        while (again := await alpha.say("qfex", command)).report.outcome is Outcome.UNKNOWN:  # noqa: ASYNC110 - it is written late
            await asyncio.sleep(0.02)
    assert again.report.order_id == first.report.order_id
    assert adds(venue) == 1
    never = submitting(tenure, limit())
    operations.bury(never.op, ALPHA, "for the test", time.time())
    operations._known.clear()
    said = await alpha.say("qfex", never)
    assert (said.report.outcome, said.spent) == (Outcome.UNKNOWN, True)
    assert adds(venue) == 1


async def test_after_a_restart_on_the_same_journal_it_is_answered_from_that(gateway, venue, alpha):
    order, op = limit(), new_op()
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        first = await alpha.submit(tenure, order, op=op)
    async with gateway(venue):
        later = await alpha.owner("qfex", other=tenure, healthy=True)
        late = await alpha.submit(later, order, op=op, seconds=-1)
        assert late.report.order_id == first.report.order_id
        again = await alpha.submit(later, order, op=op)
        assert again.report.order_id == first.report.order_id
        new = await alpha.submit(later, limit())
        assert new.report.outcome is Outcome.CONFIRMED
        told = await alpha.settle(later, "qfex", submitting(tenure, order, op=op))
        assert told.report.order_id == first.report.order_id
    assert adds(venue) == 2


async def test_another_strategy_does_not_hear_what_became_of_it(owned, nats, venue, alpha):
    _, tenure = owned
    order, op = limit(), new_op()
    await alpha.submit(tenure, order, op=op)
    async with strategy(nats.url, "beta") as beta:
        said = await beta.settle(tenure, "qfex", submitting("1-earlier", order, op=op))
        assert said == wire.Mistaken(kind="NotAuthorised", text=f"the operation {op} is not one of beta's")
        said = await beta.submit(tenure, order, op=op)
        assert said.kind == "ValueError"
    assert adds(venue) == 1


# -- what is refused


async def test_what_comes_late_is_refused_and_never_done(owned, venue, alpha):
    _, tenure = owned
    command = submitting(tenure, limit(), seconds=-0.01)
    said = await alpha.say("qfex", command)
    assert said == wire.Refused(text="qfex: it came after its deadline")
    timely = submitting(tenure, limit(), op=command.op)
    assert isinstance(await alpha.say("qfex", timely), wire.Refused | wire.Mistaken)
    assert adds(venue) == 0


async def test_another_tenure_has_no_listener_or_is_refused(owned, venue, alpha):
    _, tenure = owned
    with pytest.raises(NoRespondersError):
        await alpha.submit("1-00000000", limit())
    said = await alpha.say("qfex", submitting("1-00000000", limit()), tenure=tenure)
    assert isinstance(said, wire.Refused)
    assert said.tenure == tenure
    assert adds(venue) == 0


@pytest.mark.parametrize("body", [b"", b"{", b"\xff" * 99, b"[" * 50_000, b'{"verb":"submit"}', b"x\x9c" + b"0" * 99])
async def test_garbage_is_told_as_that(owned, venue, alpha, body):
    _, tenure = owned
    said = wire.reply(await alpha.raw(subjects.command("qfex", "submit", ALPHA, tenure), body))
    assert (type(said), said.kind) == (wire.Mistaken, "Garbled")
    assert (await alpha.submit(tenure, limit())).report.outcome is Outcome.CONFIRMED


async def test_a_submit_on_the_subject_of_a_cancel_is_not_executed(owned, venue, alpha):
    _, tenure = owned
    said = await alpha.say("qfex", submitting(tenure, limit()), verb="cancel")
    assert said == wire.Mistaken(kind="NotAuthorised", text="what came as cancel was a submit")
    assert adds(venue) == 0


async def test_while_the_lease_has_run_out_commands_are_refused_and_reads_are_not(owned, nats, venue, alpha):
    found, tenure = owned
    placed = await alpha.submit(tenure, limit())
    post = found._posts["qfex"]
    why = post._lease.why_not
    post._tenure._why_not = lambda: "the lease has run out"
    said = await alpha.submit(tenure, limit())
    assert said == wire.Refused(text="qfex: the lease has run out")
    said = await alpha.say("qfex", wire.OpenOrders(op=new_op(), tenure=tenure, deadline=time.time() + 3))
    assert [each.order_id for each in said.orders] == [placed.report.order_id]
    post._tenure._why_not = why
    assert adds(venue) == 1


async def test_a_message_that_wants_no_answer_is_not_executed(owned, venue, alpha):
    _, tenure = owned
    command = submitting(tenure, limit())
    await alpha.client.publish(subjects.command("qfex", "submit", ALPHA, tenure), wire.encode(command))
    assert (await alpha.settle(tenure, "qfex", command)).report.outcome is Outcome.NOT_SENT
    assert adds(venue) == 0


@pytest.mark.parametrize(
    "reply", ["$KV.router-owners.qfex", "router.owner.qfex", "$JS.API.STREAM.PURGE.router-events-qfex"]
)
async def test_nobody_has_the_gateway_write_where_no_answer_belongs(owned, venue, alpha, reply):
    _, tenure = owned
    written = asyncio.Queue()
    await alpha.client.subscribe(reply, cb=written.put)
    command, who = submitting(tenure, limit()), subjects.WHO
    for subject, body in ((subjects.command("qfex", "submit", ALPHA, tenure), wire.encode(command)), (who, b"")):
        await alpha.client.publish(subject, body, reply=reply)
    told = await alpha.settle(tenure, "qfex", command)
    assert told.report.outcome is Outcome.NOT_SENT
    await alpha.raw(who, b"")
    while not written.empty():
        assert b"says" not in (found := written.get_nowait().data)
        assert b"gateway" in found  # the lease, and what owners announce
    assert adds(venue) == 0


async def test_a_cancel_that_comes_with_its_submit_finds_it_also_where_that_is_looked_up_first(
    gateway, venue, alpha, monkeypatch
):
    look = inquiring.looked_up

    async def slowly(path, op):
        await asyncio.sleep(0.1)
        return await look(path, op)

    monkeypatch.setattr(inquiring, "looked_up", slowly)  # a slow disk
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        early = limit()  # its operation is older than what the journal will know of
        op = new_op()
        await alpha.submit(tenure, limit())
    async with gateway(venue):
        later = await alpha.owner("qfex", other=tenure, healthy=True)
        placing = asyncio.ensure_future(alpha.submit(later, early, op=op))
        await asyncio.sleep(0)  # it is written first
        address = Cancel("qfex", early.client_order_id, IdKind.CLIENT_ORDER, "AAPL-USD")
        cancelled = await alpha.cancel(later, address, of=op, placed=later)
        placed = await placing
    assert placed.report.outcome in {Outcome.CONFIRMED, Outcome.NOT_SENT}
    assert cancelled.report.outcome is placed.report.outcome
    assert early.client_order_id not in {order.client_order_id for order in venue.book.values()}


# -- what never came, and what others may have done


async def test_what_never_came_is_buried_when_somebody_asks(owned, venue, alpha):
    _, tenure = owned
    command = submitting(tenure, limit())
    asked = await alpha.settle(tenure, "qfex", command)
    assert asked.report.outcome is Outcome.NOT_SENT
    late = await alpha.say("qfex", command)
    assert isinstance(late, wire.Refused)
    assert (await alpha.settle(tenure, "qfex", command)).report.outcome is Outcome.NOT_SENT
    assert adds(venue) == 0


async def test_a_cancel_that_comes_before_its_submit_buries_it(owned, venue, alpha):
    _, tenure = owned
    command = submitting(tenure, limit())
    address = Cancel("qfex", command.order.client_order_id, IdKind.CLIENT_ORDER, "AAPL-USD")
    cancelled = await alpha.cancel(tenure, address, of=command.op, placed=tenure)
    assert cancelled.report.outcome is Outcome.NOT_SENT
    assert "cancelled before it was placed" in cancelled.report.text
    assert isinstance(await alpha.say("qfex", command), wire.Refused)
    again = await alpha.cancel(tenure, address, of=command.op, placed=tenure)
    assert again.report.outcome is Outcome.NOT_SENT
    assert (adds(venue), len(venue.commands(CANCEL))) == (0, 0)


async def test_what_another_gateway_may_have_placed_is_found_and_not_placed_again(gateway, venue, alpha):
    order, op = limit(), new_op()
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        placed = await alpha.submit(tenure, order, op=op)
    async with gateway(venue, "g2"):  # its journal is empty
        later = await alpha.owner("qfex", gateway="g2", healthy=True)
        told = await alpha.settle(later, "qfex", submitting(tenure, order, op=op))
        assert told.report.outcome is Outcome.CONFIRMED
        assert told.report.order_id == placed.report.order_id
        again = await alpha.submit(later, order, op=op)
        assert again.report.order_id == placed.report.order_id
    assert adds(venue) == 1


async def test_what_no_gateway_has_placed_is_found_out_after_the_quiet_period(gateway, venue, alpha):
    command = submitting("1-00000000", limit())
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        begun = time.monotonic()
        short = await alpha.settle(tenure, "qfex", command, timeout=0.1)
        assert (short.report.outcome, short.spent) == (Outcome.UNKNOWN, False)
        told = await alpha.settle(tenure, "qfex", command, timeout=5)
        assert told.report.outcome is Outcome.REFUSED
        assert time.monotonic() - begun > restarting.QUIET
    assert adds(venue) == 0


async def test_where_the_venue_cannot_be_asked_it_stays_unknown(gateway, alpha):
    async with B2TraderSimulator() as venue, gateway(None, adapters={"b": restarting.b2trader(venue)}):
        tenure = await alpha.owner("b", healthy=True)
        told = await alpha.settle(tenure, "b", submitting("1-00000000", restarting.spot()), timeout=5)
        assert (told.report.outcome, told.spent) == (Outcome.UNKNOWN, True)


async def test_a_cancel_that_another_gateway_may_have_sent_goes_out_once_more(gateway, venue, alpha):
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        placed = await alpha.submit(tenure, limit())
    address = wire.Address(placed.report.order_id, IdKind.ORDER, "AAPL-USD")
    lost = wire.Cancelling(op=new_op(), tenure=tenure, deadline=time.time() + 1, cancel=address)
    async with gateway(venue, "g2"):
        later = await alpha.owner("qfex", gateway="g2", healthy=True)
        told = await alpha.settle(later, "qfex", lost)
        assert told.report.outcome is Outcome.CONFIRMED
    assert not venue.book
    assert len(venue.commands(CANCEL)) == 1


async def test_an_answer_that_the_venue_owes_is_settled_by_asking(owned, venue, alpha):
    _, tenure = owned
    venue.switches = Switches(only=frozenset({ADD}), mute=True)
    command = submitting(tenure, limit(), seconds=0.3)
    said = await alpha.say("qfex", command)
    assert said.report.outcome is Outcome.UNKNOWN
    venue.switches = Switches()
    told = await alpha.settle(tenure, "qfex", command)
    assert told.report.outcome is Outcome.CONFIRMED
    assert (await alpha.say("qfex", command)).report.outcome is Outcome.CONFIRMED
    assert adds(venue) == 1


async def test_what_is_under_way_is_waited_for(owned, venue, alpha):
    _, tenure = owned
    venue.switches = Switches(only=frozenset({ADD}), mute=True)
    command = submitting(tenure, limit(), seconds=1.0)
    answer = asyncio.ensure_future(alpha.say("qfex", command))
    await venue.until(1, ADD)
    told = await alpha.settle(tenure, "qfex", command, timeout=0.1)
    assert (told.report.outcome, told.spent) == (Outcome.UNKNOWN, False)
    assert (await answer).report.outcome is Outcome.UNKNOWN
    assert adds(venue) == 1


async def test_an_answer_that_comes_while_somebody_asks_is_told(owned, venue, alpha):
    _, tenure = owned
    venue.switches = Switches(only=frozenset({ADD}), delay=0.5)
    command = submitting(tenure, limit())
    answer = asyncio.ensure_future(alpha.say("qfex", command))
    await venue.until(1, ADD)
    told = await alpha.settle(tenure, "qfex", command, timeout=3)
    assert told.report == (await answer).report
    assert told.report.outcome is Outcome.CONFIRMED


async def test_recovered_tells_a_strategy_its_own_doubts(gateway, nats, venue, alpha, tmp_path):
    order, op = limit(), new_op()
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        venue.switches = Switches(only=frozenset({ADD}), mute=True)
        await alpha.submit(tenure, order, op=op, seconds=0.2)
        copy = restarting.crash(tmp_path / "g1.qfex.journal")
        venue.switches = Switches()
    async with gateway(venue, "g2", journal=copy.with_name("g1.journal")), strategy(nats.url, "beta") as beta:
        later = await alpha.owner("qfex", gateway="g2", healthy=True)
        asked = wire.Recovering(op=new_op(), tenure=later, deadline=time.time() + 6, timeout=5)
        ((said, facts),) = (await alpha.say("qfex", asked, timeout=7)).reports
        assert (said.op, said.order.client_order_id) == (op, order.client_order_id)
        assert facts.outcome is Outcome.CONFIRMED
        assert (await beta.say("qfex", asked, timeout=7)).reports == ()
    assert adds(venue) == 1


# -- who owns it


async def test_of_two_gateways_one_owns_it_and_the_other_takes_over_at_once_when_that_ends(gateway, venue, alpha):
    async with contextlib.AsyncExitStack() as second, contextlib.AsyncExitStack() as first:
        one = await first.enter_async_context(gateway(venue, ttl=20))
        tenure = await alpha.owner("qfex", healthy=True)
        two = await second.enter_async_context(gateway(venue, "g2", ttl=20))
        assert one.standing().venues["qfex"].tenure == tenure
        assert two.standing().venues["qfex"].tenure == ""
        placed = await alpha.submit(tenure, limit())
        begun = time.monotonic()
        closing = asyncio.ensure_future(first.aclose())
        later = await alpha.owner("qfex", gateway="g2")
        cancelled = await alpha.cancel(later, Cancel("qfex", placed.report.order_id, symbol="AAPL-USD"))
        assert cancelled.report.outcome is Outcome.CONFIRMED
        assert time.monotonic() - begun < 3
        await closing
        assert await nobody(alpha, subjects.command("qfex", "submit", ALPHA, tenure))


async def test_every_gateway_says_what_it_serves(gateway, venue, alpha):
    async with gateway(venue), gateway(venue, "g2"):
        tenure = await alpha.owner("qfex", healthy=True)
        heard = asyncio.Queue()

        async def hear(message):
            heard.put_nowait(wire.standing(message.data))

        inbox = alpha.client.new_inbox()
        await alpha.client.subscribe(inbox, cb=hear)
        await alpha.client.publish(subjects.WHO, b"", reply=inbox)
        found = [await asyncio.wait_for(heard.get(), 5) for _ in range(2)]
    assert {each.gateway for each in found} == {"g1", "g2"}
    assert sorted(each.venues["qfex"].tenure for each in found) == ["", tenure]
    assert {each.ttl for each in found} == {TTL}
    assert all(abs(each.now - time.time()) < 5 for each in found)


async def test_nats_own_tools_see_it(owned, alpha):
    _, tenure = owned
    await alpha.submit(tenure, limit())
    told = {verb: json.loads(await alpha.raw(f"$SRV.{verb}.venue-router", b"")) for verb in ("PING", "INFO", "STATS")}
    assert told["PING"]["metadata"] == {
        "gateway": "g1",
        "venue": "qfex",
        "epoch": tenure.split("-")[0],
        "tenure": tenure,
    }
    assert {each["name"] for each in told["INFO"]["endpoints"]} == set(subjects.VERBS)
    asked = {each["name"]: each["num_requests"] for each in told["STATS"]["endpoints"]}
    assert (asked["submit"], asked["cancel"]) == (1, 0)


async def test_what_happens_is_copied_to_nats(gateway, venue, alpha):
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        placed = await alpha.submit(tenure, limit())
        await alpha.cancel(tenure, Cancel("qfex", placed.report.order_id, symbol="AAPL-USD"))
    stream = alpha.client.jetstream()
    reader = await stream.subscribe(subjects.events("qfex"), ordered_consumer=True)
    told = []
    while sum(each == "canceled" for each in told) == 0:
        facts = json.loads((await reader.next_msg(timeout=5)).data)["facts"]
        told.append(facts.get("event", {}).get("exec_type"))
    assert told[0] == "new"


async def test_nats_that_is_killed_and_comes_back_changes_no_owner(owned, nats, venue, alpha):
    _, tenure = owned
    await nats.restart()
    await until(lambda: alpha.client.is_connected)
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(NoRespondersError, Silence):
                said = await alpha.submit(tenure, limit(), timeout=1)
                if isinstance(said, wire.Told):
                    break
            await asyncio.sleep(0.05)
    assert said.report.outcome is Outcome.CONFIRMED
    assert adds(venue) == 1


async def test_commands_wait_while_it_is_taking_over_and_a_venue_that_hangs_holds_nothing_up(gateway, venue, alpha):
    venue.switches = Switches(only=frozenset({"auth"}), mute=True)
    async with gateway(venue):
        tenure = await alpha.owner("qfex")
        said = await alpha.submit(tenure, limit(), seconds=1.0)
        assert said.report.outcome is Outcome.NOT_SENT
        assert "connect" in said.report.text
    assert adds(venue) == 0


async def test_a_journal_that_cannot_be_opened_gives_the_venue_to_another_gateway(gateway, venue, alpha, tmp_path):
    (tmp_path / "g1.qfex.journal").write_bytes(b"this is no journal" * 1000)
    notes = []
    async with gateway(venue, tell=notes.append):
        await until(lambda: any(note.what == "failed" for note in notes))
        async with gateway(venue, "g2"):
            tenure = await alpha.owner("qfex", gateway="g2", healthy=True)
            assert (await alpha.submit(tenure, limit())).report.outcome is Outcome.CONFIRMED
    assert any("journal" in note.text for note in notes if note.is_trouble)


async def test_a_journal_of_another_account_gives_the_venue_back(gateway, venue, alpha, tmp_path):
    async with gateway(venue):
        tenure = await alpha.owner("qfex", healthy=True)
        await alpha.submit(tenure, limit())
    other, notes = restarting.qfex(venue), []
    other.account = "theirs"
    async with gateway(None, adapters={"qfex": other}, tell=notes.append, ttl=20):
        await until(lambda: any(note.what == "failed" for note in notes))
        async with gateway(venue, "g2", ttl=20):
            await alpha.owner("qfex", gateway="g2", healthy=True)
    (failed, *_) = [note for note in notes if note.what == "failed"]
    assert "of another account than the one that is used now" in failed.text


async def test_dmex_and_b2trader_as_well(gateway, alpha):
    async with B2TraderSimulator() as b, DmexSimulator() as dmex:
        adapters = {"b": restarting.b2trader(b), "dmex": restarting.dmex(dmex)}
        async with gateway(None, adapters=adapters):
            for order in (restarting.spot(), restarting.future()):
                tenure = await alpha.owner(order.venue, healthy=True)
                placed = await alpha.submit(tenure, order)
                assert placed.report.outcome is Outcome.CONFIRMED
                address = Cancel(order.venue, placed.report.order_id, placed.report.kind, order.symbol)
                assert (await alpha.cancel(tenure, address)).report.outcome is Outcome.CONFIRMED


# -- what it is made of


def test_an_adapter_that_knows_no_fence_is_not_taken(tmp_path):
    with pytest.raises(ValueError, match="knows no fence"):
        Gateway({"v": object()}, Credentials(url="nats://127.0.0.1:1"), journal=tmp_path / "j")


@pytest.mark.parametrize("changes", [{"ttl": 0}, {"ttl": float("nan")}, {"name": "a.b"}])
def test_what_cannot_be_right_is_said(tmp_path, changes):
    with pytest.raises(ValueError, match=r"ttl was|the gateway's name was"):
        Gateway({}, Credentials(url="nats://127.0.0.1:1"), journal=tmp_path / "j", **changes)
