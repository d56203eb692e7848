"""Long work in parts: others run in between, and what happens in between is neither lost nor undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve
from msgspec.structs import replace

from adapters.qfex.codec import SPEC, QfexCodec
from adapters.qfex.simulator import Order as TheirOrder
from adapters.qfex.simulator import QfexSimulator
from router import CxlRejReason, ExecType, IdKind, Order, OrdStatus, Outcome, Router
from router.desk import Desk
from router.events import EventStreams
from router.parts import PART, Parts, let_go
from router.session import Session
from router.tally import Tally
from router.testing import Switches
from router.venue import Execution, Reading

AAPL = "AAPL-USD"
MANY = 20 * PART
FEW = PART
READS = frozenset({"get_user_orders"})


class Turns:
    """Does one thing in every turn of the loop."""

    def __init__(self, do: Any = lambda: None) -> None:
        self._loop, self._do, self.count = asyncio.get_running_loop(), do, 0
        self._next = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self.count += 1
        self._do()
        self._next = self._loop.call_soon(self._turn)

    def stop(self) -> int:
        """How many turns there were."""
        self._next.cancel()
        return self.count


# -- what has no network: a list is taken in


@pytest.fixture
def desk() -> Desk:
    codec = QfexCodec(spec=SPEC, public_key="a", secret_key="b")
    return Desk("qfex", Session(codec), EventStreams())


def row(number: int, status: OrdStatus = OrdStatus.NEW, **more: Any) -> Execution:
    terms: dict[str, Any] = {"symbol": AAPL, "quantity": Decimal(1), "price": Decimal(100)}
    return Execution(exec_type=ExecType.ORDER_STATUS, order_id=f"o{number}", status=status, **terms | more)


def ended(number: int, status: OrdStatus = OrdStatus.CANCELED, **more: Any) -> Execution:
    return Execution(exec_type=ExecType.CANCELED, order_id=f"o{number}", status=status, **more)


def listed(desk: Desk, count: int) -> Reading:
    return Reading(asked=0.0, rows=tuple(map(row, range(count))), changes=desk.changes())


def status(desk: Desk, number: int) -> OrdStatus | None:
    entry = desk.ledger.find(f"o{number}")
    assert entry is not None
    return entry.state.status


async def turn() -> None:
    await asyncio.sleep(0)


async def test_each_row_comes_once_and_turns_are_given_away_in_between() -> None:
    turns = Turns()
    parts = [(turns.count, part) async for part in Parts(range(MANY + 1))]
    turns.stop()
    assert [number for _, part in parts for number in part] == [*range(MANY + 1)]
    assert len({count for count, _ in parts}) == 21


@pytest.mark.parametrize("count", [0, 1, FEW])
async def test_no_turn_is_given_away_for_a_few_rows(count: int) -> None:
    turns = Turns()
    found = [number async for part in Parts(range(count)) for number in part]
    assert (found, turns.stop()) == ([*range(count)], 0)


async def test_what_is_let_go_is_let_go_in_parts() -> None:
    rows, sizes = [*range(MANY)], [MANY]
    turns = Turns(lambda: sizes.append(len(rows)))
    await let_go(rows)
    turns.stop()
    assert (rows, len(sizes)) == ([], 20)
    assert {before - after for before, after in pairwise(sizes)} == {PART}


async def test_a_list_is_taken_in_with_turns_in_between(desk: Desk) -> None:
    sizes: list[int] = [0]
    turns = Turns(lambda: sizes.append(len(desk.ledger)))
    await desk.absorb_in_parts(listed(desk, MANY))
    turns.stop()
    sizes.append(len(desk.ledger))
    assert sizes[-1] == MANY
    assert max(after - before for before, after in pairwise(sizes)) <= 2 * PART


async def test_what_happens_between_two_parts_is_newer_than_the_rows_that_follow(desk: Desk) -> None:
    last, partly = MANY - 1, MANY - 2
    desk.apply(row(partly), asked=False)
    taking = asyncio.ensure_future(desk.absorb_in_parts(listed(desk, MANY)))
    await turn()
    assert desk.ledger.find("o0") is not None, "it has begun"
    assert desk.ledger.find(f"o{last}") is None, "it has not ended"
    desk.apply(ended(last), asked=False)
    desk.apply(
        row(partly, OrdStatus.PARTIALLY_FILLED, cum_quantity=Decimal("0.4"), price=Decimal(99)),
        asked=False,
        listed=True,
    )
    desk.apply(ended(0, OrdStatus.FILLED, cum_quantity=Decimal(1)), asked=False)
    await taking
    assert [status(desk, number) for number in (0, 1, last)] == [OrdStatus.FILLED, OrdStatus.NEW, OrdStatus.CANCELED]
    entry = desk.ledger.find(f"o{partly}")
    assert entry is not None
    assert (entry.state.status, entry.state.price) == (OrdStatus.PARTIALLY_FILLED, Decimal(99)), (
        "not as the older list says"
    )


async def test_a_list_that_names_an_order_twice_is_taken_in_as_it_would_be_at_once(desk: Desk) -> None:
    desk.apply(row(MANY), asked=False)
    desk.apply(Execution(exec_type=ExecType.REPLACED, order_id="new", replaces=f"o{MANY}"), asked=False)
    rows = [row(MANY, price=Decimal(98)), *map(row, range(MANY)), replace(row(MANY, price=Decimal(97)), order_id="new")]
    reading = Reading(asked=0.0, rows=tuple(rows), changes=desk.changes())
    await desk.absorb_in_parts(reading)
    entry = desk.ledger.find("new")
    assert entry is not None
    assert (entry.state.order_id, entry.state.price) == ("new", Decimal(97))


async def test_whoever_cannot_wait_takes_it_all_in_and_it_is_not_done_again(desk: Desk) -> None:
    reading, told = listed(desk, MANY), []
    desk.watchers.append(lambda event: told.append(event.order_id))
    taking = asyncio.ensure_future(desk.absorb_in_parts(reading))
    await turn()
    assert 0 < len(told) < MANY
    desk.absorb(reading)
    assert len(told) == MANY
    desk.apply(ended(MANY - 1), asked=False)
    await taking
    await desk.absorb_in_parts(reading)
    assert (len(told), status(desk, MANY - 1)) == (MANY + 1, OrdStatus.CANCELED)


async def test_a_list_that_was_not_taken_in_to_its_end_is_taken_in_by_the_next_one_who_wants_it(desk: Desk) -> None:
    reading = listed(desk, MANY)
    taking = asyncio.ensure_future(desk.absorb_in_parts(reading))
    await turn()
    taking.cancel()
    assert await asyncio.gather(taking, return_exceptions=True)
    assert len(desk.ledger) < MANY
    desk.absorb(reading)
    assert len(desk.ledger) == MANY


# -- likewise: what one cancel_all makes of it


class Sight:
    """A Tally, and what takes a list in for it."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.tally, self.is_fresh = desk, Tally(desk, None, own=False), True
        desk.watchers.append(self.tally.event)

    async def read(self, reading: Reading) -> set[str | None]:
        self.tally.came()
        await self.desk.absorb_in_parts(reading)
        return {order.order_id for order in await self.tally.read(reading, is_fresh=lambda: self.is_fresh)}

    async def until(self, number: int) -> None:
        """This order was looked at."""
        while not self.tally._open.issuperset({f"o{number}"}):
            await turn()


@pytest.fixture
def sight(desk: Desk) -> Sight:
    return Sight(desk)


async def test_what_ends_while_its_list_is_looked_at_does_not_come_back(desk: Desk, sight: Sight) -> None:
    reading = asyncio.ensure_future(sight.read(listed(desk, MANY)))
    await sight.until(0)
    desk.apply(ended(0), asked=False)
    desk.apply(ended(MANY - 1, OrdStatus.FILLED, cum_quantity=Decimal(1)), asked=False)
    orders = await reading
    assert f"o{MANY - 1}" not in orders
    assert [sight.tally.is_wanted(evolve(state(desk, 1), order_id=each)) for each in ("o0", "o1")] == [False, True]
    report = await sight.tally.report(asyncio.get_running_loop().time() + 5)
    assert [order.order_id for order in report.affected] == ["o0"]
    gone = {each.order.order_id: each.order.status for each in report.not_affected}
    assert (len(gone), gone[f"o{MANY - 1}"], gone["o1"]) == (MANY - 1, OrdStatus.FILLED, OrdStatus.NEW)


def state(desk: Desk, number: int) -> Any:
    entry = desk.ledger.find(f"o{number}")
    assert entry is not None
    return entry.state


async def test_a_list_whose_orders_have_all_ended_since_was_not_empty(desk: Desk, sight: Sight) -> None:
    reading = asyncio.ensure_future(sight.read(listed(desk, 2 * PART)))
    await turn()
    for number in range(2 * PART):
        desk.apply(ended(number), asked=False)
    assert (await reading, sight.tally.empty_reads) == (set(), 0)
    assert (await sight.read(listed(desk, 0)), sight.tally.empty_reads) == (set(), 1)


async def test_whether_a_list_was_fresh_is_asked_last(desk: Desk, sight: Sight) -> None:
    for number in range(MANY):
        order = Order("qfex", AAPL, "buy", "limit", "1", "100")
        entry = desk.ledger.intend(order)
        desk.ledger.bind(entry, f"own{number}", IdKind.ORDER)
        desk.ledger.end(entry, OrdStatus.CANCELED, 0.0)
    reading = asyncio.ensure_future(sight.read(listed(desk, 0)))
    await turn()
    sight.is_fresh = False  # something new has begun to be placed
    assert (await reading, sight.tally.empty_reads) == (set(), 0)


async def test_an_order_that_ends_while_the_report_is_made_is_told_as_it_ended(desk: Desk, sight: Sight) -> None:
    await sight.read(listed(desk, MANY))
    turns = Turns()
    making = asyncio.ensure_future(sight.tally.report(asyncio.get_running_loop().time() + 5))
    await turn()
    desk.apply(ended(0), asked=False)
    desk.apply(ended(MANY - 1), asked=False)
    report = await making
    assert turns.stop() >= 15
    assert [order.order_id for order in report.affected] == ["o0", f"o{MANY - 1}"]
    assert len(report.not_affected) == MANY - 2


async def test_after_the_deadline_the_report_gives_no_turns_away(desk: Desk, sight: Sight) -> None:
    await sight.read(listed(desk, MANY))
    turns = Turns()
    report = await sight.tally.report(asyncio.get_running_loop().time() - 1)
    assert (len(report.not_affected), turns.stop()) == (MANY, 0)


# -- whole cancel_alls, over the wire


@asynccontextmanager
async def ample(sim: QfexSimulator) -> AsyncIterator[Router]:
    spec = evolve(SPEC, url=sim.url, budget=None, cancel_budget=None)
    codec = QfexCodec(spec=spec, public_key=sim.public_key, secret_key=sim.secret_key)
    async with Router({"qfex": Session(codec)}) as router:
        yield router


def strangers(sim: QfexSimulator, count: int) -> list[str]:
    terms: dict[str, Any] = {"account": sim.account_id, "quantity": Decimal(1), "price": Decimal(100), "symbol": AAPL}
    orders = [TheirOrder(**terms) for _ in range(count)]
    for order in orders:
        sim.exchange.add(order)
    return [order.order_id for order in orders]


@pytest.mark.parametrize("symbol", [None, AAPL], ids=["native", "one_by_one"])
async def test_others_run_while_thousands_are_cancelled(qfex_sim: QfexSimulator, symbol: str | None) -> None:
    names = strangers(qfex_sim, MANY)
    async with ample(qfex_sim) as router:
        stream = router.events()
        happened = [0]
        told = 0

        def count() -> None:
            nonlocal told
            told = stream._queue.qsize()
            happened.append(told)

        turns = Turns(count)
        report = await router.cancel_all("qfex", symbol)
        turns.stop()
    assert {order.order_id for order in report.affected} == {*names}
    assert report.no_open_orders
    assert told >= 2 * MANY
    steps = [after - before for before, after in pairwise(happened)]
    assert max(steps) < MANY / 2, "the list is not taken in at once"
    assert turns.count >= 4 * MANY / PART


async def test_a_fill_while_the_list_is_taken_in(qfex_sim: QfexSimulator) -> None:
    names = strangers(qfex_sim, MANY)
    async with ample(qfex_sim) as router:
        qfex_sim.switches = Switches(hold=True, only=READS)
        stream = router.events()
        cancelling = asyncio.ensure_future(router.cancel_all("qfex", AAPL))
        await qfex_sim.until_held(1)
        qfex_sim.switches = Switches()
        qfex_sim.release()
        async with asyncio.timeout(5):
            await anext(stream)  # the first row
        await qfex_sim.fill(names[-1])
        report = await cancelling
    [missed] = report.not_affected
    assert (missed.order.order_id, missed.reason) == (names[-1], CxlRejReason.TOO_LATE_TO_CANCEL)
    assert (missed.order.status, missed.order.cum_quantity) == (OrdStatus.FILLED, Decimal(1))
    assert (len(report.affected), report.no_open_orders) == (MANY - 1, True)


async def test_the_deadline_may_come_at_any_turn(qfex_sim: QfexSimulator) -> None:
    async with ample(qfex_sim) as router:
        loop = asyncio.get_running_loop()
        for deadline in (0.02, 0.05, 0.08, 0.12, 0.2):
            names = {*strangers(qfex_sim, MANY)} | {*qfex_sim.book}
            before = loop.time()
            report = await router.cancel_all("qfex", AAPL, deadline=deadline)
            late = loop.time() - before - deadline
            gone = {order.order_id for order in report.affected}
            assert late < 0.5
            assert not gone & {*qfex_sim.book}
            assert not (report.no_open_orders and qfex_sim.book)
            assert gone | {each.order.order_id for each in report.not_affected} <= names
            reports = await router.cancel_many([order.to_cancel() for order in await router.open_orders("qfex")])
            assert {each.outcome for each in reports} <= {Outcome.CONFIRMED, Outcome.REFUSED}
