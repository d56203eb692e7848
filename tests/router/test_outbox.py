"""What waits for the pace: who goes first, who never goes, and what a venue's "too fast" means, in time and on the wire."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.qfex.codec import SPEC, QfexCodec
from adapters.qfex.simulator import Order as TheirOrder
from adapters.qfex.simulator import QfexSimulator
from router import Budget, Cancel, CxlRejReason, Order, Outcome, Router
from router.operation import Operation, Reply
from router.outbox import Outbox
from router.pacing import Lane, Pacer
from router.session import Session
from router.testing import Fault, Switches
from router.venue import Effect, Wire

CANCELS = frozenset({"cancel_order"})
LIVELY = 1.0  # seconds in which a cancel that nothing holds back has long gone
ULID = "01K2MNGAWPMQJ7WGATFSCAS1G4"

# -- an outbox on a clock of its own


class Clock(selectors.SelectSelector):
    """Where a loop would wait, its time passes at once instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen"
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that never waits."""

    def __init__(self) -> None:
        self.clock = Clock()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def virtually(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work())


def now() -> float:
    return asyncio.get_running_loop().time()


async def at(time: float) -> None:
    """Until the clock says so; whatever is due before that has been done."""
    due = asyncio.Event()
    asyncio.get_running_loop().call_at(time, due.set)
    await due.wait()


class Nobody:
    """The owner of operations of which nobody hears."""

    def dress(self, _: Operation, reply: Reply) -> Reply:
        return reply

    def closed(self, _: Operation, __: Reply) -> None:
        pass

    def wrote(self, _: Operation) -> None:
        pass

    def may_tell(self, _: Operation) -> bool:
        return True

    def doubted(self, _: Operation) -> None:
        pass


@define(eq=False)
class Line:
    """An outbox, and what it wrote when. up: whether the connection takes anything."""

    pacer: Pacer
    up: bool = True
    written: list[tuple[float, str]] = field(factory=list)
    outbox: Outbox = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.outbox = Outbox(self.pacer, lambda _: "" if self.up else "not connected", self.write)

    def write(self, operation: Operation, _: Wire) -> None:
        self.written.append((now(), name_of(operation)))
        operation.wrote(now())

    def put(self, command: Order | Cancel, weight: float = 1.0, *, ahead: bool = False) -> Operation:
        operation = Operation(command, command, Nobody())
        operation.join(now() + 1e9)
        self.outbox.put(operation, Wire(effect=Effect.ONCE, weight=weight), ahead=ahead)
        return operation

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.written]

    def when(self, name: str) -> float:
        [time] = [time for time, written in self.written if written == name]
        return time


def name_of(operation: Operation) -> str:
    command = operation.command
    return command.client_order_id if isinstance(command, Order) else command.id


def toy(number: int) -> Order:
    return Order("toy", "T", "buy", "limit", "1", "10", client_order_id=f"s{number}")


def cancel(number: int) -> Cancel:
    return Cancel("toy", f"c{number}")


@pytest.mark.parametrize("own", [None, Budget(10, 1)], ids=["one budget", "a budget of their own"])
def test_a_cancel_behind_a_hundred_submits_goes_at_once(own: Budget | None) -> None:
    async def work() -> None:
        line = Line(Pacer(Budget(10, 1), own))
        for number in range(100):
            line.put(toy(number))
        await at(1.05)
        before, waiting = list(line.names), len(line.outbox)
        line.put(cancel(1))
        assert line.names == [*before, "c1"]
        assert line.when("c1") == 1.05
        assert (len(before), waiting) == (18, 82)
        await at(60.0)
        assert [name for name in line.names if name != "c1"] == [f"s{number}" for number in range(100)]
        assert line.when("s99") == pytest.approx(9.2 if own else 9.3, abs=0.02)

    virtually(work)


@settings(deadline=None)  # the machine's own pauses are no fault
@given(
    st.lists(st.tuples(st.floats(0, 0.3), st.booleans()), max_size=60),
    st.sampled_from([None, Budget(3, 1)]),
    st.sampled_from([Budget(1, 1), Budget(2, 1), Budget(10, 1)]),
)
def test_no_submit_ever_goes_while_a_cancel_of_the_same_budget_waits(
    calls: list[tuple[float, bool]], own: Budget | None, general: Budget
) -> None:
    async def work() -> None:
        line, asked = Line(Pacer(general, own)), {}
        for number, (rest, is_cancel) in enumerate(calls):
            await at(now() + rest)
            operation = line.put(cancel(number) if is_cancel else toy(number))
            asked[name_of(operation)] = now()
        await at(now() + 200.0)
        assert sorted(line.names) == sorted(asked)
        waits = [(asked[name], line.when(name)) for name in asked if name.startswith("c")]
        submits = [time for time, name in line.written if name.startswith("s")]
        if own is None:
            assert not [time for time in submits for begun, gone in waits if begun < time < gone]
        for kind in "cs":
            gone = [name for name in line.names if name.startswith(kind)]
            assert gone == [name for name in asked if name.startswith(kind)], "first come, first served in a line"

    virtually(work)


def test_a_cancel_is_not_kept_by_the_timer_of_submits_that_wait_longer() -> None:
    async def work() -> None:
        line = Line(Pacer(Budget(100, 60)))
        for number in range(100):
            line.put(cancel(number))
        line.put(toy(1))
        line.put(cancel(100))
        await at(60.0)
        assert line.when("c100") == pytest.approx(0.6, abs=0.01), "one unit is back"
        assert line.when("s1") == pytest.approx(13.2, abs=0.01), "and here the reserve, and two more"

    virtually(work)


def test_a_pause_of_submits_keeps_no_cancels_that_have_a_budget_of_their_own() -> None:
    async def work() -> None:
        line = Line(Pacer(Budget(10, 1), Budget(1, 1)))
        line.pacer.pause(Lane.SUBMIT, 60.0, now())
        line.put(toy(1))
        line.put(cancel(1))
        line.put(cancel(2))
        await at(100.0)
        assert [line.when("c1"), line.when("c2"), line.when("s1")] == pytest.approx([0.0, 1.0, 60.0], abs=0.01)

    virtually(work)


@pytest.mark.parametrize("general", [Budget(1, 1), Budget(10, 1)])
def test_after_the_loop_stood_still_a_cancel_that_waited_goes_before_a_new_submit(general: Budget) -> None:
    async def work() -> None:
        line = Line(Pacer(general))
        for number in range(int(general.units) + 1):
            line.put(cancel(number))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.clock.now += general.seconds  # nothing ran meanwhile, no timer either
        line.put(toy(1))
        await at(now() + 10.0)
        assert line.names[-2:] == [f"c{int(general.units)}", "s1"]

    virtually(work)


@pytest.mark.parametrize("make", [toy, cancel])
def test_after_the_loop_stood_still_a_new_one_goes_behind_those_of_its_line(
    make: Callable[[int], Order | Cancel],
) -> None:
    async def work() -> None:
        line = Line(Pacer(Budget(2, 1)))
        for number in range(5):
            line.put(make(number))
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.clock.now += 10.0
        line.put(make(5))
        await at(now() + 20.0)
        assert [name[1:] for name in line.names] == list("012345")

    virtually(work)


def test_there_is_one_timer_however_many_wait_and_none_when_none_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        line, armed = Line(Pacer(Budget(10, 1))), []
        loop = asyncio.get_running_loop()
        call_at = loop.call_at
        monkeypatch.setattr(loop, "call_at", lambda *args, **named: armed.append(call_at(*args, **named)) or armed[-1])
        for number in range(1000):
            line.put(toy(number))
        assert len([timer for timer in armed if not timer.cancelled()]) == 1
        assert armed[-1] is line.outbox._timer
        monkeypatch.undo()
        await at(200.0)
        assert (len(line.written), line.outbox._timer, len(line.outbox)) == (1000, None, 0)

    virtually(work)


def test_what_waits_for_the_connection_has_no_timer_and_goes_in_order_when_it_is_there() -> None:
    async def work() -> None:
        line = Line(Pacer(Budget(10, 1)), up=False)
        line.put(toy(1))
        line.put(cancel(1))
        line.put(toy(2))
        await at(5.0)
        assert (line.names, line.outbox._timer) == ([], None)
        line.up = True
        line.outbox.flush()
        assert line.names == ["c1", "s1", "s2"]

    virtually(work)


def test_what_comes_back_goes_to_the_head_of_its_line() -> None:
    async def work() -> None:
        line = Line(Pacer(Budget(5, 1)))
        for number in range(6):
            line.put(toy(number))
        line.put(toy(100), ahead=True)
        line.outbox.flush()
        await at(10.0)
        assert line.names == ["s0", "s1", "s2", "s3", "s100", "s4", "s5"]

    virtually(work)


def test_what_was_discarded_or_is_wanted_by_nobody_never_goes_and_costs_nothing() -> None:
    async def work() -> None:
        line = Line(Pacer(Budget(5, 1)))
        for number in range(4):
            line.put(toy(number))
        left, discarded = line.put(toy(10)), line.put(toy(11))
        last = line.put(toy(12))
        for caller in left._callers:
            caller.future.cancel()
        line.outbox.discard(discarded)
        await at(10.0)
        assert line.names == ["s0", "s1", "s2", "s3", "s12"]
        assert left.reply is not None
        assert left.reply.outcome is Outcome.NOT_SENT
        assert line.when("s12") == pytest.approx(0.2, abs=0.01), "the first unit that came back was for it"
        assert last.attempts == 1

    virtually(work)


# -- through a session


@pytest.fixture
def slowed(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a session has heard that it is too fast."""
    event, pause = asyncio.Event(), Pacer.pause

    def heard(*args: Any) -> None:
        pause(*args)
        event.set()

    monkeypatch.setattr(Pacer, "pause", heard)
    return event


@asynccontextmanager
async def paced(sim: QfexSimulator, **changes: Any) -> AsyncIterator[Router]:
    """A Router whose QFEX has small budgets."""
    spec = evolve(SPEC, url=sim.url, **{"cancel_budget": None} | changes)
    codec = QfexCodec(spec=spec, public_key=sim.public_key, secret_key=sim.secret_key)
    async with Router({"qfex": Session(codec)}) as router:
        yield router


def limit(**changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


def resting(sim: QfexSimulator, count: int = 1) -> list[str]:
    """Orders that were there before."""
    orders = [TheirOrder(account=sim.account_id, symbol="AAPL-USD", quantity=1, price=100) for _ in range(count)]
    for order in orders:
        sim.exchange.add(order)
    return [order.order_id for order in orders]


def trading(sim: QfexSimulator) -> list[str]:
    return [item.command for item in sim.received if item.command in {"add_order", "cancel_order"}]


async def test_on_the_wire_a_cancel_behind_a_hundred_submits_is_the_next_frame(qfex_sim: QfexSimulator) -> None:
    [order_id] = resting(qfex_sim)
    async with paced(qfex_sim, budget=Budget(10, 1)) as router:
        submits = [asyncio.ensure_future(router.submit(limit(), deadline=0.6)) for _ in range(100)]
        await qfex_sim.until(9, "add_order")
        begun, before = now(), len(trading(qfex_sim))
        report = await router.cancel("qfex", order_id, symbol="AAPL-USD")
        assert now() - begun < LIVELY
        reports = await asyncio.gather(*submits)
    assert report.ok
    assert trading(qfex_sim)[before] == "cancel_order"
    outcomes = [each.outcome for each in reports]
    assert outcomes.count(Outcome.CONFIRMED) == len(qfex_sim.commands("add_order")) == len(qfex_sim.book)
    assert outcomes.count(Outcome.NOT_SENT) == 100 - outcomes.count(Outcome.CONFIRMED) > 80
    assert "it waited for the rate budget of 10 in 1 s" in reports[-1].text


async def test_what_waits_past_its_deadline_is_not_sent_names_the_budget_and_never_goes(
    qfex_sim: QfexSimulator,
) -> None:
    async with paced(qfex_sim, budget=Budget(5, 1)) as router:
        first = [asyncio.ensure_future(router.submit(limit())) for _ in range(4)]
        await asyncio.sleep(0)
        late = await router.submit(limit(client_order_id="late"), deadline=0.05)
        assert (late.outcome, late.sent_at) == (Outcome.NOT_SENT, None)
        assert late.text == "it waited for the rate budget of 5 in 1 s"
        after = await router.submit(limit(client_order_id="after"))
        assert after.ok
        assert all(each.ok for each in await asyncio.gather(*first))
    sent = [item.message["params"]["client_order_id"] for item in qfex_sim.commands("add_order")]
    assert ("late" in sent, sent[-1], len(sent)) == (False, "after", 5)


async def test_a_submit_that_waits_for_the_pace_goes_for_no_caller_who_left(qfex_sim: QfexSimulator) -> None:
    async with paced(qfex_sim, budget=Budget(5, 1)) as router:
        for _ in range(4):
            assert (await router.submit(limit())).ok
        leaver = asyncio.ensure_future(router.submit(limit(client_order_id="left")))
        stayer = asyncio.ensure_future(router.submit(limit(client_order_id="stayed")))
        await asyncio.sleep(0)
        leaver.cancel()
        assert (await stayer).ok
    assert sorted(order.client_order_id == "stayed" for order in qfex_sim.book.values()) == [False] * 4 + [True]
    assert "left" not in {item.message["params"]["client_order_id"] for item in qfex_sim.commands("add_order")}


async def test_a_closed_router_has_told_whoever_waited_for_the_pace(qfex_sim: QfexSimulator) -> None:
    async with paced(qfex_sim, budget=Budget(5, 600)) as router:
        submits = [asyncio.ensure_future(router.submit(limit(), deadline=60)) for _ in range(6)]
        await qfex_sim.until(4, "add_order")
    reports = await asyncio.gather(*submits)
    assert [each.outcome for each in reports[4:]] == [Outcome.NOT_SENT] * 2
    assert len(qfex_sim.commands("add_order")) == 4


async def test_reads_wait_for_the_pace_and_take_nothing_from_cancels(qfex_sim: QfexSimulator) -> None:
    ids = resting(qfex_sim, 5)
    async with paced(qfex_sim, budget=Budget(50, 100)) as router:
        for _ in range(9):
            await router.open_orders("qfex")  # of weight 5: then nothing is left but the last tenth
        reading = asyncio.ensure_future(router.open_orders("qfex"))
        cancels = [Cancel("qfex", order_id, symbol="AAPL-USD") for order_id in ids]
        begun = now()
        reports = await router.cancel_many(cancels)
        assert now() - begun < LIVELY
        assert ([report.ok for report in reports], reading.done()) == ([True] * 5, False)
        reading.cancel()
    assert (len(qfex_sim.commands("get_user_orders")), qfex_sim.book) == (9, {})


async def test_health_tells_what_is_left_and_that_it_comes_back(qfex_sim: QfexSimulator) -> None:
    [order_id] = resting(qfex_sim)
    async with paced(qfex_sim, budget=Budget(10, 2), cancel_budget=Budget(20, 20)) as router:
        full = {"cancel": 20, "read": 9, "submit": 8}
        assert router.health()["qfex"].budget_left == pytest.approx(full)
        submits = [asyncio.ensure_future(router.submit(limit())) for _ in range(8)]
        cancelling = asyncio.ensure_future(router.cancel("qfex", order_id, symbol="AAPL-USD"))
        await asyncio.sleep(0)
        spent = router.health()["qfex"].budget_left
        assert spent == pytest.approx({"cancel": 19, "read": 1, "submit": 0}, abs=0.5)
        assert (await cancelling).ok
        await asyncio.gather(*submits)
        assert (await router.submit(limit())).ok
        assert (await router.submit(limit())).ok  # each waited for a fifth of a second
        assert router.health()["qfex"].budget_left["cancel"] > spent["cancel"]
    async with paced(qfex_sim, budget=None) as router:
        assert router.health()["qfex"].budget_left == {}


# -- the venue says "too fast"


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.THROTTLED_NO_HINT])
@pytest.mark.parametrize("command", ["add_order", "cancel_order"])
async def test_what_was_refused_for_its_rate_was_not_executed_and_goes_again_after_the_pause(
    qfex_sim: QfexSimulator, fault: Fault, command: str
) -> None:
    [order_id] = resting(qfex_sim)
    qfex_sim.inject(fault, only={command})
    async with paced(qfex_sim) as router:
        begun = now()
        asked = router.submit(limit()) if command == "add_order" else router.cancel("qfex", order_id, symbol="AAPL-USD")
        report = await asked
        assert now() - begun >= 0.45
    assert report.ok
    assert [len(qfex_sim.commands(command)), len(qfex_sim.book)] == [2, 2 if command == "add_order" else 0]


async def test_when_no_attempt_is_left_within_the_deadline_it_is_refused(qfex_sim: QfexSimulator) -> None:
    qfex_sim.inject(Fault.THROTTLED, only={"add_order"}, times=None)
    async with paced(qfex_sim) as router:
        begun = now()
        report = await router.submit(limit(), deadline=0.8)
        assert now() - begun < 0.8, "what is certain is told at once"
    assert (report.outcome, len(qfex_sim.book)) == (Outcome.REFUSED, 0)
    assert "RateLimited" in report.text
    assert len(qfex_sim.commands("add_order")) == 2


async def test_what_waits_out_a_longer_pause_at_its_deadline_is_refused_and_never_goes_again(
    qfex_sim: QfexSimulator,
) -> None:
    qfex_sim.inject(Fault.THROTTLED, only={"add_order"}, times=2)
    qfex_sim.switches = Switches(hold=True)
    async with paced(qfex_sim) as router:
        first = asyncio.ensure_future(router.submit(limit(client_order_id="first"), deadline=0.8))
        await qfex_sim.until_held(1)
        second = asyncio.ensure_future(router.submit(limit(client_order_id="second")))
        await qfex_sim.until_held(2)
        qfex_sim.switches = Switches()
        qfex_sim.release(1)  # half a second, and there would be time
        asyncio.get_running_loop().call_later(0.4, qfex_sim.release)  # half a second from then
        refused, placed = await asyncio.gather(first, second)
    assert (refused.outcome, placed.outcome) == (Outcome.REFUSED, Outcome.CONFIRMED)
    assert "RateLimited" in refused.text
    sent = [item.message["params"]["client_order_id"] for item in qfex_sim.commands("add_order")]
    assert sent == ["first", "second", "second"]


async def test_retry_after_is_honoured_and_holds_other_submits_and_no_cancels(
    b2_sim: B2TraderSimulator, slowed: asyncio.Event
) -> None:
    order = Order("b", "spot.btc_usdt", "buy", "limit", "0.02", "100")
    b2_sim.fail_next, b2_sim.retry_after = [429], 1
    async with Router({"b": B2Trader(**b2_sim.credentials)}) as router:
        begun = now()
        throttled = asyncio.ensure_future(router.submit(order))
        await asyncio.wait_for(slowed.wait(), 5)
        other = Order("b", "spot.btc_usdt", "buy", "limit", "0.02", "100")
        held = await router.submit(other, deadline=0.3)
        assert (held.outcome, len(b2_sim.commands("POST orders"))) == (Outcome.NOT_SENT, 1)
        assert held.text == "it waited for the venue's pause after too many messages"
        gone = await router.cancel("b", ULID, deadline=0.3)
        assert (gone.reason, len(b2_sim.commands("DELETE orders"))) == (CxlRejReason.UNKNOWN_ORDER, 1)
        placed = await throttled
        assert now() - begun >= 1.0
    assert (placed.outcome, len(b2_sim.commands("POST orders")), len(b2_sim.orders)) == (Outcome.CONFIRMED, 2, 1)


async def test_feedback_to_submits_stops_no_cancels_where_they_are_counted_apart(
    qfex_sim: QfexSimulator, slowed: asyncio.Event
) -> None:
    [order_id] = resting(qfex_sim)
    qfex_sim.inject(Fault.THROTTLED, only={"add_order"})
    async with paced(qfex_sim, budget=Budget(1000, 1), cancel_budget=Budget(1000, 1)) as router:
        throttled = asyncio.ensure_future(router.submit(limit(client_order_id="throttled")))
        await asyncio.wait_for(slowed.wait(), 5)
        other = await router.submit(limit(client_order_id="other"), deadline=0.2)
        assert (other.outcome, other.text) == (Outcome.NOT_SENT, "it waited for the rate budget of 1000 in 1 s")
        cancelling = asyncio.ensure_future(router.cancel("qfex", order_id, symbol="AAPL-USD"))
        await asyncio.wait([cancelling, throttled], return_when=asyncio.FIRST_COMPLETED)
        assert (cancelling.done(), throttled.done()) == (True, False)
        assert (await cancelling).ok
        assert (await throttled).ok
    assert trading(qfex_sim) == ["add_order", "cancel_order", "add_order"]


async def test_feedback_to_cancels_where_all_are_counted_together_holds_submits(
    qfex_sim: QfexSimulator, slowed: asyncio.Event
) -> None:
    [order_id] = resting(qfex_sim)
    qfex_sim.inject(Fault.THROTTLED, only=CANCELS)
    async with paced(qfex_sim, budget=Budget(1000, 10)) as router:
        cancelling = asyncio.ensure_future(router.cancel("qfex", order_id, symbol="AAPL-USD"))
        await asyncio.wait_for(slowed.wait(), 5)
        submitting = asyncio.ensure_future(router.submit(limit()))
        assert (await cancelling).ok
        assert not submitting.done()
        assert (await submitting).ok
    assert trading(qfex_sim) == ["cancel_order", "cancel_order", "add_order"]


async def test_a_read_that_is_refused_for_its_rate_is_asked_again_and_slows_submits_down_as_well(
    qfex_sim: QfexSimulator, slowed: asyncio.Event
) -> None:
    resting(qfex_sim)
    qfex_sim.inject(Fault.THROTTLED, only={"get_user_orders"})
    async with paced(qfex_sim, budget=Budget(1000, 10)) as router:
        reading = asyncio.ensure_future(router.open_orders("qfex"))
        await asyncio.wait_for(slowed.wait(), 5)
        report = await router.submit(limit(), deadline=0.2)
        assert (report.outcome, reading.done()) == (Outcome.NOT_SENT, False)
        assert len(await reading) == 1
    assert (len(qfex_sim.commands("get_user_orders")), qfex_sim.commands("add_order")) == (2, [])
