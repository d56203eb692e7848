"""What the journal costs: a cancel and a submit with and without one, and group commit against a commit per entry.

python -m benchmarks.journal [--quick] [--json FILE] [--folder FOLDER] [--rounds N]
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import click
from attrs import frozen

from benchmarks import disk, ground
from benchmarks.bare import BareClient, cancel_frame
from benchmarks.commits import RIVALS, Grouped, Keeper, OneByOne, intent
from benchmarks.ground import AGAIN, Arm, Report, Row, row
from benchmarks.trading import Trader, router_on
from benchmarks.venue import Venue

__all__ = ["main", "measure"]

WITHOUT: Final = "without a journal"
FULL: Final = "with a journal"
PROCESS: Final = 'with one, durability="process"'
BARE: Final = "bare client"
GROUPED: Final = "the journal, group commit"
ONE: Final = "apsw in a thread, a commit per entry"
HOT: Final = "without one, back to back"
REST: Final = 0.006  # seconds: longer than what nobody waits for may lie about
GOALS: Final = {
    "cancel, first byte at the venue": 1.1,
    "cancel, end to end": 2.5,
    "submit, end to end": 3.5,
    "submit, first byte at the venue": None,
    "cancel, CPU of the loop": None,
    "submit, CPU of the loop": None,
}
WARM: Final = (
    300  # commits, by which SQLite's log has its full length: as long as it grows, each takes up to twice as long
)
FLYING: Final = 32
CALLERS: Final = 16


@frozen
class Size:
    """How much each turn does."""

    rounds: int
    commands: int
    entries: int
    puts: int

    @classmethod
    def of(cls, rounds: int, *, quick: bool) -> Size:
        return cls(rounds, 10, 10, 100) if quick else cls(rounds, 25, 20, 300)


async def measure(folder: Path, size: Size) -> Report:
    """All of it, in this folder."""
    facts = disk.about(folder)
    rows: list[Row] = []
    async with Venue() as venue, AsyncExitStack() as stack:
        routers = {
            WITHOUT: router_on(venue),
            WITHOUT + AGAIN: router_on(venue),
            FULL: router_on(venue, folder / "full"),
            PROCESS: router_on(venue, folder / "process", "process"),
        }
        for router in routers.values():
            await stack.enter_async_context(router)
        traders = {name: Trader(router, venue) for name, router in routers.items()}
        for name in (FULL, PROCESS):
            await traders[name].in_turn(WARM // 2)
        bare = await BareClient.open(venue.url)
        stack.callback(bare.close)
        rows += await _in_turn(traders, size)
        rows += await _back_to_back(traders, bare, size)
        rows += await _at_once(traders, bare, size)
    async with AsyncExitStack() as stack:
        rows += await _committing(stack, folder, size)
    return Report(name="What the journal costs", rows=rows, facts=facts)


async def _in_turn(traders: Mapping[str, Trader], size: Size) -> list[Row]:
    """One command at a time, each after a rest."""
    arms: dict[str, Arm] = {
        name: partial(trader.in_turn, size.commands, REST) for name, trader in traders.items() if name != PROCESS
    }
    arms[HOT] = partial(traders[WITHOUT].in_turn, size.commands)
    samples = await ground.interleave(arms, size.rounds)
    rows = [row(samples, what, FULL, WITHOUT, most=most, title=f"{what}, after a rest") for what, most in GOALS.items()]
    alone = row(samples, "cancel, first byte at the venue", HOT, WITHOUT, title="(what the rest alone does to that)")
    return [*rows, alone]


async def _back_to_back(traders: Mapping[str, Trader], bare: BareClient, size: Size) -> list[Row]:
    """One command at a time, each given in the tick that hears of the last one."""
    arms: dict[str, Arm] = {name: partial(trader.in_turn, size.commands) for name, trader in traders.items()}
    arms[BARE] = partial(_bare_in_turn, bare, size.commands)
    samples = await ground.interleave(arms, size.rounds)
    told = {what: most for what, most in GOALS.items() if "first byte" not in what}
    rows = [
        row(samples, what, arm, WITHOUT, most=most, title=f"{what}, back to back")
        for what, most in told.items()
        for arm in (FULL, PROCESS)
    ]
    return [*rows, row(samples, "cancel, end to end", BARE, WITHOUT, title="(what the venue itself takes of a cancel)")]


async def _bare_in_turn(bare: BareClient, size: int) -> dict[str, float]:
    times: list[int] = []
    for _ in range(size):
        before = time.monotonic_ns()
        await bare.ask(cancel_frame())
        times.append(time.monotonic_ns() - before)
    return {"cancel, end to end": median(times) / 1000}


async def _at_once(traders: Mapping[str, Trader], bare: BareClient, size: Size) -> list[Row]:
    """Many cancels in flight."""
    arms: dict[str, Arm] = {name: partial(trader.at_once, FLYING, size.entries) for name, trader in traders.items()}
    arms[BARE] = partial(_bare_at_once, bare, size.entries)
    samples = await ground.interleave(arms, size.rounds)
    what = f"cancels, {FLYING} in flight"
    rows = [row(samples, what, arm, WITHOUT, unit="/s") for arm in (FULL, PROCESS)]
    return [*rows, row(samples, what, BARE, WITHOUT, unit="/s", title="(what the venue itself can take)")]


async def _bare_at_once(bare: BareClient, size: int) -> dict[str, float]:
    async def one() -> None:
        for _ in range(size):
            await bare.ask(cancel_frame())

    before = time.monotonic()
    await asyncio.gather(*(one() for _ in range(FLYING)))
    return {f"cancels, {FLYING} in flight": FLYING * size / (time.monotonic() - before)}


async def _committing(stack: AsyncExitStack, folder: Path, size: Size) -> list[Row]:
    """The journal alone."""
    grouped = Grouped(folder / "grouped")
    keepers: dict[str, Keeper] = {GROUPED: grouped, ONE + AGAIN: OneByOne(folder / "again")}
    keepers |= {name: rival(folder / rival.__name__) for name, rival in RIVALS.items()}
    for keeper in keepers.values():
        await keeper.open()
        stack.push_async_callback(keeper.close)
        for _ in range(WARM):
            await keeper.keep(intent())
    arms: dict[str, Arm] = {name: partial(_keep, keeper, size.entries) for name, keeper in keepers.items()}
    samples = await ground.interleave(arms, size.rounds)
    what = f"entries, {CALLERS} callers"
    rows = [row(samples, what, GROUPED, ONE, unit="/s", least=10)]
    rows += [row(samples, what, name, ONE, unit="/s") for name in RIVALS if name != ONE]
    puts = await ground.interleave({GROUPED: partial(_put, grouped, size.puts)}, size.rounds)
    return rows + [row(puts, what, GROUPED) for what in puts[GROUPED]]


async def _keep(keeper: Keeper, size: int) -> dict[str, float]:
    async def one() -> None:
        for _ in range(size):
            await keeper.keep(intent())

    before = time.monotonic()
    await asyncio.gather(*(one() for _ in range(CALLERS)))
    return {f"entries, {CALLERS} callers": CALLERS * size / (time.monotonic() - before)}


async def _put(journal: Grouped, size: int) -> dict[str, float]:
    """What the loop itself gives for an entry, apart from what the other thread takes of the interpreter."""
    figures: dict[str, float] = {}
    for what, hurry in (("put() of what somebody waits for", True), ("put() of what nobody waits for", False)):
        times: list[int] = []
        for _ in range(size):
            record = intent()
            before = time.monotonic_ns()
            number = journal.put(record, hurry=hurry)
            times.append(time.monotonic_ns() - before)
            if hurry:
                await journal.written(number, None)
        await journal.written(journal.put(intent()), None)
        figures[what] = median(times) / 1000
    return figures


@click.command()
@click.option("--quick", is_flag=True, help="Smaller turns, for a first impression.")
@click.option("--rounds", type=click.IntRange(1), help="How often each side has its turn.")
@click.option("--json", "to", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there as well.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the journals are to lie: on a real disk. By default where temporary files are.",
)
def main(*, quick: bool, rounds: int | None, to: Path | None, folder: Path | None) -> None:
    """What the journal costs: with and without it, and group commit against a commit per entry."""
    ground.keep_heap()
    size = Size.of(rounds or (ground.QUICK_ROUNDS if quick else ground.ROUNDS), quick=quick)
    with tempfile.TemporaryDirectory(prefix="router-benchmark-", dir=folder) as temporary:
        report = asyncio.run(measure(Path(temporary), size))
    report.show()
    if to is not None:
        report.write(to)


if __name__ == "__main__":
    main()
