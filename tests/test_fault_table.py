"""The fault table: every venue, command and fault, and whether report, wire and the venue's own book agree."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from router import CancelReport, OrdStatus

from .fault_table.benches import CANCELLED, FILLED, FRESH, HASTY, OPEN, PATIENT, SIZES, TARGET
from .fault_table.cells import CELLS, Command, Network
from .fault_table.making import bench_of
from .fault_table.rules import Heard, Verdict, expected, heard
from .fault_table.strikes import TURNS, strike
from .fault_table.table import FaultTable, Result

ENOUGH = 150
AT_ONCE = 8
MARGIN = 0.75  # seconds by which our own loop may be late
SETTLE = 5.0
LONGEST = 30.0  # settled() always comes back in half of it
RUN = [cell for cell in CELLS if not cell.excuse]
EXCUSED = [cell for cell in CELLS if cell.excuse]


@pytest.fixture(scope="module")
def table(request):
    """Everything that was asked for, run side by side, because most of it is waiting; printed at the end of the run."""
    table = FaultTable()
    request.config.pluginmanager.register(table)
    for cell in asked(request):
        table.results[cell] = Result(cell)
    asyncio.run(run_all(table, [cell for cell in table.results if not cell.excuse]))
    return table


def asked(request):
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    return [item.callspec.params["cell"] for item in items]


async def run_all(table, cells):
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(cell):
        async with gate:
            table.results[cell] = await result_of(cell)

    slowest_first = sorted(cells, key=lambda cell: cell.fault is not Network.HALF_OPEN)
    await asyncio.gather(*map(run, slowest_first))
    for _ in range(TURNS):
        await asyncio.sleep(0)
    table.left = asyncio.all_tasks() - {asyncio.current_task()}


# -- what must be so of any report, by the venue's own book


def agree(report, bench):
    """Whether the book bears out a report."""
    verdict = Verdict.of(report)
    if isinstance(report, CancelReport):
        states = bench.states()
        if verdict is Verdict.CONFIRMED:
            assert set(states) == {CANCELLED}
        elif verdict is Verdict.TOO_LATE:
            assert FILLED in states
            assert report.status is OrdStatus.FILLED
            silence = set() if bench.cell.venue.tells_fills else {None}
            assert {order.cum_quantity for order in report.orders} <= {SIZES[TARGET]} | silence
        elif verdict is not Verdict.UNKNOWN:
            assert CANCELLED not in states
    else:
        placed = bench.sized(TARGET)
        if verdict is Verdict.CONFIRMED:
            assert [report.order_id] == list(placed)
        elif verdict is Verdict.UNKNOWN:
            assert len(placed) <= 1
        else:
            assert placed == ()
    if verdict is Verdict.NOT_SENT:
        assert bench.wire() == 0
    if bench.cell.command is Command.CANCEL_FILLED:
        assert bench.states() == [FILLED]


async def usable(bench):
    """The session goes on: a new order is placed and cancelled, health is well, and nothing is left."""
    bench.sim.faults.clear()
    await bench.mended.wait()
    placed = await bench.place(FRESH)
    assert placed.ok, placed
    [fresh] = bench.sized(FRESH)
    assert (placed.order_id, bench.book()[fresh][1]) == (fresh, OPEN)
    cancelled = await bench.router.cancel(placed, deadline=PATIENT)
    assert cancelled.ok, cancelled
    assert bench.book()[fresh][1] == CANCELLED
    assert bench.health.ok, bench.health
    assert bench.health.outstanding == 0


def leftovers(bench, final):
    """A request in doubt may be outstanding on its connection, and nothing else."""
    in_doubt = heard(bench.cell) in {Heard.SILENCE, Heard.DOUBT} and not bench.cell.venue.http
    assert len(bench.adapter._outstanding) <= in_doubt
    assert bench.health.unknown <= (Verdict.of(final) is Verdict.UNKNOWN)


# -- the cells


async def result_of(cell):
    """What the cell came to, and what was wrong with that."""
    result = Result(cell)
    try:
        async with asyncio.timeout(LONGEST):
            async for result in steps(cell):  # noqa: B007 - the last one counts
                pass
    except Exception as error:  # noqa: BLE001 - it is raised in the cell's own test
        return evolve(result, wrong=error)
    return result


async def steps(cell):
    """The result after each step, so that the table shows how far a cell has come."""
    must = expected(cell)
    async with bench_of(cell) as bench:
        first = await strike(bench, HASTY if must.waits else PATIENT)
        result = Result(cell, Verdict.of(first), wire=bench.wire())
        yield result
        agree(first, bench)
        if cell.command.ends_early:
            bench.end()
        async with asyncio.timeout(LONGEST / 2):
            final = await first.settled(SETTLE if cell.fault is Network.OUTAGE else None)
        result = evolve(result, final=Verdict.of(final), wire=bench.wire())
        yield result
        agree(final, bench)
        await usable(bench)
        agree(final, bench)
        result = evolve(result, wire=bench.wire())
        yield result
        assert result.first in must.first
        assert result.final in must.final
        assert result.wire in must.wire
        assert bench.took < (HASTY if must.waits else PATIENT) + MARGIN
        assert must.waits or bench.took < PATIENT - MARGIN, "what has been said is passed on at once"
        leftovers(bench, final)


@pytest.mark.parametrize("cell", RUN, ids=str)
def test_the_cell(cell, table):
    wrong = table.results[cell].wrong
    if wrong is not None:
        raise wrong


@pytest.mark.parametrize("cell", EXCUSED, ids=str)
def test_the_cell_that_there_is_not(cell, table):
    assert table.results[cell].cell.excuse
    if not isinstance(cell.fault, Network):
        with pytest.raises(ValueError, match=cell.excuse):
            cell.venue.simulator().inject(cell.fault, only={cell.word})


def test_no_cell_and_no_task_is_left(table):
    assert len(RUN) >= ENOUGH
    ended = [result for result in table.run if result.final is not None]
    assert len(ended) == len(table.run)
    assert len(ended) >= ENOUGH or len(table.results) < len(CELLS), "some were not asked for"
    assert table.left == set()
