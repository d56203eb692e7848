"""The soak: strategies at three venues that break at random, on a printed seed, and nothing reported that is not so.

SOAK_SECONDS (60, or 600) and SOAK_SEED (1) in the environment; `pytest -m soak tests/test_soak.py` for ten minutes. The checker
is tested as well: with a Router that is made to lie, it must say so.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections import Counter
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from adapters.qfex.codec import QfexCodec
from router import Outcome
from router.doubts import MOST_DOUBTS
from router.masscancel import MassCancel
from router.operation import Operation, Reply
from router.report import CxlRejReason
from router.session import Session
from router.testing import Fault
from router.venue import Effect

_spec = importlib.util.spec_from_file_location("soak", Path(__file__).parent / "soak" / "__init__.py")
sys.modules.setdefault("soak", importlib.util.module_from_spec(_spec))  # tests are not a package (importlib mode)

from soak.books import CANCELLED, FILLED, FIRED, Row  # noqa: E402
from soak.checker import Record, late, wrong  # noqa: E402
from soak.strategies import Soaking  # noqa: E402
from soak.venues import HTTP_TIMEOUT, connected  # noqa: E402
from soak.watch import objects, tables, watching  # noqa: E402

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
LONG_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
FAULTS = 0.06  # of a command
STRATEGIES = 4  # at each venue
KEEP_CLOSED = 200  # orders of the ledger, so that it is full long before the first look at the memory
GROWTH = 1000  # objects between the first third and the end
DOUBT = 40  # objects that a submit in doubt for ever may keep
REMEMBERED = 8  # objects that a cancel in doubt keeps, while the Router remembers it


# -- the run


@pytest.fixture
def proofs(monkeypatch):
    """What was open at the very moment at which a cancel_all said that nothing is, and the books to look at, both to fill."""
    found, books, run = [], {}, MassCancel.run

    async def checked(self):
        part = await run(self)
        if part.no_open_orders:
            left = books[self._desk.name].open_ids(self._symbol)
            found.extend(f"no_open_orders, and open: {self._desk.name} {order_id}" for order_id in left)
        return part

    monkeypatch.setattr(MassCancel, "run", checked)
    return found, books


@asynccontextmanager
async def running(soaking, seed):
    """Strategies, consumers of events and the venues' own doings, for as long as the block lasts; then all comes to rest."""
    chance = Random(seed)  # noqa: S311 - what strategies do is no secret
    streams = [soaking.router.events() for _ in range(2)]
    soaking.listening = [asyncio.create_task(soaking.listen(stream)) for stream in streams]
    work = [
        asyncio.create_task(soaking.trade(venue, Random(chance.getrandbits(64))))  # noqa: S311
        for venue in soaking.venues.books
        for _ in range(STRATEGIES)
    ]
    work += [asyncio.create_task(soaking.sweep(venue, chance)) for venue in soaking.venues.books]
    breaking = [asyncio.create_task(soaking.venues.doings()), asyncio.create_task(soaking.venues.breakages())]
    try:
        yield
        soaking.lasting = False
        await asyncio.gather(*work)
    finally:
        for task in (*breaking, *work):
            task.cancel()
        ends = await asyncio.gather(*breaking, *work, return_exceptions=True)
        soaking.problems += [f"the soak itself: {end!r}" for end in ends if isinstance(end, Exception)]


async def rest(soaking):
    """Without faults, until nothing is under way; then with new connections, so that nothing waits for an old one."""
    venues, router = soaking.venues, soaking.router
    venues.mend()
    await venues.until_ready(router)
    await soaking.settle_all()
    for name in set("qd") & set(venues.books):
        await venues.books[name].drop_connections()
    await asyncio.sleep(HTTP_TIMEOUT + 1.0)
    await venues.until_ready(router)
    await soaking.settle_all()


def left_over(soaking):
    """What is in the Router's tables that does not belong there, when nothing is under way."""
    for venue in soaking.venues.books:
        unknown = [record for record in soaking.records if record.outcome is Outcome.UNKNOWN]
        doubts = sum(record.venue == venue and record.verb in {"submit", "renew", "modify"} for record in unknown)
        for name, size in tables(soaking.router, venue).items():
            allowed = doubts if name in {"placing", "replacing", "held"} else 0
            if size > allowed:
                yield f"{venue}: {size} {name}, and {allowed} in doubt"


async def untrue(soaking):
    """Where the ledgers differ from the books."""
    for venue, book in soaking.venues.books.items():
        if venue != "x":
            shown = {order.order_id for order in await soaking.router.open_orders(venue)}
            if shown != book.open_ids():
                yield f"{venue}: shown {sorted(shown - book.open_ids())}, not shown {sorted(book.open_ids() - shown)}"
        for entry in list(soaking.router._desks[venue].ledger._entries()):
            state = entry.state
            row = book.row(state.order_id) if state.order_id else None
            if row is None:
                continue
            if state.cum_quantity is not None and state.cum_quantity > row.traded:
                yield f"{venue}: more filled than traded: {state} {row}"
            if row.is_open and not entry.is_live:
                yield f"{venue}: ended, and open: {state} {row}"
            if not row.is_open and not entry.is_live and (state.status == "filled") != (row.end in {FILLED, FIRED}):
                yield f"{venue}: ended as {state.status}: {row}"


def table(soaking, seed, seconds, verdicts):
    """What was done, what struck, and what came of it."""
    struck = [item.fault for book in soaking.venues.books.values() for item in book.faults.struck]
    calls = sum(record.verb != "settled" for record in soaking.records)
    lines = [f"seed {seed}, {seconds:g} s, {calls} calls, {len(struck)} faults"]
    lines += [f"  {fault:22}{struck.count(fault):6}" for fault in sorted(set(struck))]
    lines += [f"  {' '.join(key):40}{number:6}" for key, number in sorted(soaking.counts.items())]
    doubted = [each for each in soaking.records if each.at_once is Outcome.UNKNOWN and each.verb != "cancel_all"]
    resolved = sum(record.outcome is not Outcome.UNKNOWN for record in doubted)
    lines += [f"  in doubt {len(doubted)}, resolved {resolved}"]
    lines += [f"  {name.upper():10}{len(found):6}" for name, found in verdicts.items()]
    return "\n".join(lines)


async def soak(seconds, seed, proofs, monkeypatch):
    """Run, come to rest, and look at everything. Returns what is wrong, by kind."""
    monkeypatch.setattr("router.ledger.KEEP_CLOSED", KEEP_CLOSED)
    found_open, books = proofs
    async with watching() as watch:
        async with connected(seed) as (venues, router):
            books.update(venues.books)
            soaking = Soaking(router, venues)
            venues.break_all(FAULTS)
            async with running(soaking, seed):
                await asyncio.sleep(seconds / 3)
                first = objects()
                await asyncio.sleep(seconds * 2 / 3)
            await rest(soaking)
            soaking.doubtful.clear()
            grown = objects() - first
            growth = grown.total()
            kept = sum(len(router._desks[name]._placing) for name in venues.books)
            doubts = [len(router._desks[name]._doubts) for name in venues.books]
            assert max(doubts) <= MOST_DOUBTS
            bound = GROWTH + DOUBT * kept + REMEMBERED * sum(doubts)
            verdicts = {
                "wrong": [*wrong(soaking.records, venues.books), *soaking.problems, *found_open],
                "untrue": [line async for line in untrue(soaking)],
                "hung": late(soaking.records, watch.stood),
                "left": list(left_over(soaking)),
                "grown": [f"{grown}, {kept} submits in doubt, {doubts} remembered"] if growth > bound else [],
            }
            words = table(soaking, seed, seconds, verdicts)
        await asyncio.gather(*soaking.listening)
    verdicts |= {"leaked": watch.leaked, "mistakes": watch.mistakes}
    words += f"\n  LEAKED    {len(watch.leaked):6}\n  MISTAKES  {len(watch.mistakes):6}"
    stall = max((seconds for _, seconds in watch.stalls), default=0.0)
    words += (
        f"\n  stall {stall * 1000:.0f} ms, {growth} objects more than after the first third, {kept} submits in doubt, "
        f"{doubts} doubts remembered"
    )
    shown = [f"{name}: {line}" for name, found in verdicts.items() for line in found[:20]]
    print("", words, *shown, sep="\n")  # noqa: T201 - the seed and what came of it
    return {name: found for name, found in verdicts.items() if found}


async def test_a_minute_of_everything_at_once(proofs, monkeypatch):
    assert await soak(SECONDS, SEED, proofs, monkeypatch) == {}


@pytest.mark.soak
async def test_ten_minutes_of_everything_at_once(proofs, monkeypatch):
    assert await soak(LONG_SECONDS, SEED, proofs, monkeypatch) == {}


# -- that the checker sees


async def soaked(faults, names="q", seconds=1.5):
    """A short soak with these faults and no others: what is wrong."""
    async with connected(1, deadline=0.3, names=names) as (venues, router):
        soaking = Soaking(router, venues)
        venues.break_all(0.3, faults)
        chance = Random(1)  # noqa: S311
        async with asyncio.TaskGroup() as group:
            for _ in range(STRATEGIES):
                group.create_task(soaking.trade(names, chance))
            await asyncio.sleep(seconds)
            soaking.lasting = False
        venues.mend()
        await venues.until_ready(router)
        await soaking.settle_all()
        return [*wrong(soaking.records, venues.books), *soaking.problems]


async def test_nothing_is_wrong_with_a_router_that_does_not_lie():
    assert await soaked((Fault.HANG_UP_EXECUTED, Fault.DEAF)) == []


async def test_the_checker_sees_a_blind_resend(monkeypatch):
    encode = QfexCodec.encode

    def blindly(self, command, now):
        return replace(encode(self, command, now), effect=Effect.IDEMPOTENT)

    def at_once(self, lane):
        return "" if self._link is not None and self._link.is_up else "away"

    monkeypatch.setattr(QfexCodec, "encode", blindly)
    monkeypatch.setattr(Session, "_obstacle", at_once)  # else the list is read first, and settles what was placed
    found = await soaked((Fault.HANG_UP_EXECUTED,), seconds=3)
    assert any("an order 2 times for 1 submits" in line for line in found)


async def test_the_checker_sees_a_guess(monkeypatch):
    guess = Reply(outcome=Outcome.CONFIRMED, text="it will have worked")
    monkeypatch.setattr(Operation, "unknown", lambda self, text: guess)
    found = await soaked((Fault.DEAF,))
    assert any("0 orders for [<Outcome.CONFIRMED" in line for line in found)
    assert any("open when it was confirmed" in line for line in found)


class OneOrder:
    """Books with one order, `a`, that its submit is known by as well."""

    def __init__(self, end, traded=0, *, expelled=False, written=()):
        self.only = Row("a", end, Decimal(traded))
        self.ended_by_venue = {"a"} if expelled else set()
        self.written = Counter(written)

    def row(self, order_id):
        return self.only if order_id == "a" else None

    def placed(self, tag):
        return [self.only] if tag == "a" else []

    def price(self, order_id):
        return Decimal(7)


LATE, NO_ORDER = CxlRejReason.TOO_LATE_TO_CANCEL, CxlRejReason.UNKNOWN_ORDER
C, R, N, U = Outcome.CONFIRMED, Outcome.REFUSED, Outcome.NOT_SENT, Outcome.UNKNOWN
OPEN, TAKEN, DONE = OneOrder(""), OneOrder(CANCELLED), OneOrder(FILLED, 1)


def answer(verb, outcome, **known):
    names = frozenset() if verb == "submit" else frozenset({"a"})
    given = {"venue": "v", "begun": 0.0, "deadline": 1.0, "ended": 0.5, "names": names, "outcome": outcome}
    return Record(verb=verb, **given | known)


@pytest.mark.parametrize(
    ("book", "record", "why"),
    [
        (OPEN, answer("submit", C, tag="b", order_id="b"), "0 orders for"),
        (OPEN, answer("submit", C, tag="a", order_id="b"), "are not those of the book"),
        (OPEN, answer("submit", R, tag="a"), "1 orders for"),
        (OPEN, answer("submit", N, tag="a"), "1 orders for"),
        (OneOrder("", written=[("submit", "b")]), answer("submit", N, tag="b"), "not sent, and read"),
        (OPEN, answer("cancel", C), "confirmed, and"),
        (DONE, answer("cancel", C), "confirmed, and"),
        (OneOrder(CANCELLED, 1), answer("cancel", C, took={"a": Decimal(0)}), "traded after"),
        (OPEN, answer("cancel", R, reason=LATE), "too late, and"),
        (TAKEN, answer("cancel", R, reason=LATE), "too late, and"),
        (TAKEN, answer("cancel", R, reason=NO_ORDER), "nobody else took"),
        (OneOrder("", written=[("cancel", "a")]), answer("cancel", N), "not sent, and read"),
        (OPEN, answer("modify", C, price=Decimal(8)), "not changed"),
        (OPEN, answer("modify", R, price=Decimal(7)), "changed"),
    ],
)
def test_the_checker_sees_what_is_not_so(book, record, why):
    found = wrong([record], {"v": book})
    assert any(why in line for line in found)


@pytest.mark.parametrize(
    ("book", "record"),
    [
        (OPEN, answer("submit", C, tag="a", order_id="a")),
        (OPEN, answer("submit", U, tag="a")),
        (OPEN, answer("submit", U, tag="b")),
        (OPEN, answer("submit", R, tag="b")),
        (TAKEN, answer("cancel", C, took={"a": Decimal(0)})),
        (DONE, answer("cancel", R, reason=LATE)),
        (OneOrder(CANCELLED, expelled=True), answer("cancel", R, reason=NO_ORDER)),
        (OPEN, answer("cancel", U)),
        (OPEN, answer("cancel", N)),
        (OPEN, answer("modify", C, price=Decimal(7))),
    ],
)
def test_the_checker_sees_what_is_so(book, record):
    assert wrong([record], {"v": book}) == []


def test_of_two_cancels_nobody_can_tell_which_one_took_the_order():
    assert wrong([answer("cancel", R, reason=NO_ORDER), answer("cancel", U)], {"v": TAKEN}) == []
    swept = answer("cancel_all", U, names=frozenset(), ended=2.0)
    assert wrong([answer("cancel", R, reason=NO_ORDER), swept], {"v": TAKEN}) == []


def test_the_checker_sees_what_comes_late_and_what_never_comes():
    never, slow, stood = (
        answer("cancel", None, ended=None),
        answer("cancel", U, ended=2.0),
        answer("cancel", U, ended=2.0),
    )
    assert len(late([never, slow, answer("cancel", U, ended=1.2)], lambda begun, ended: 0.0)) == 2
    assert late([stood], lambda begun, ended: 1.0) == []


async def test_the_watch_sees_what_nobody_awaited_and_who_runs_on():
    async def fails():
        raise RuntimeError("nobody hears this")

    async with watching() as watch:
        task = asyncio.create_task(fails())
        await asyncio.wait([task])
        del task
        running_on = asyncio.create_task(asyncio.sleep(3600))
    running_on.cancel()
    assert "nobody hears this" in watch.mistakes[0]
    assert len(watch.leaked) == 1
