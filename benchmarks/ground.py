"""The ground that every benchmark stands on: interleaved rounds, ratios inside one run, and the doubt that belongs to each.

Rules:

1. What is compared takes turns: every round runs every arm once, and each round begins with another one.
2. A figure is the median of the rounds; a ratio is the median of the rounds' own ratios, so that a slow minute slows both sides.
3. Beside each ratio stands the same ratio of the base to itself (A/A). Where that leaves STEADY, the machine was too busy to
   tell, and the verdict is "inconclusive", whatever the ratio says.
4. A goal for a figure that has no base (a count, bytes) is held against the figure itself: nothing else's haste changes it.
5. The output says what was measured on: machine, versions, date.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

import click
import msgspec
from attrs import asdict, field, frozen
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine

__all__ = [
    "AGAIN",
    "QUICK_ROUNDS",
    "ROUNDS",
    "VERDICTS",
    "Arm",
    "Measure",
    "Report",
    "Row",
    "Samples",
    "Size",
    "command",
    "in_short",
    "interleave",
    "keep_heap",
    "row",
    "with_unit",
]

ROUNDS: Final = 40
QUICK_ROUNDS: Final = 30
STEADY: Final = (0.90, 1.10)
WIDTH: Final = 180
AGAIN: Final = " again"
"""The arm that is its base a second time is called the same, with this behind it."""
VERDICTS: Final = ("met", "missed", "inconclusive")
Verdict = Literal["", "met", "missed", "inconclusive"]
Arm = Callable[[], Awaitable[Mapping[str, float]]]
"""One turn of one side: does its work and returns its figures, by the name of what each measures."""
Samples = Mapping[str, Mapping[str, Sequence[float]]]
"""Figures by arm and by what they measure, one for each round."""


async def interleave(arms: Mapping[str, Arm], rounds: int, told: Callable[[int], None] = lambda _: None) -> Samples:
    """Run the arms by turns (rule 1), after one round that does not count. told: called with the number of each round done."""
    names = list(arms)
    samples: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    gc.collect()
    gc.freeze()  # what was imported before is searched for garbage in nobody's turn
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            figures = await arms[name]()
            for what, figure in figures.items() if number else ():
                samples[name].setdefault(what, []).append(figure)
        told(number)
    gc.unfreeze()
    return samples


@frozen(kw_only=True)
class Row:
    """One line of the table. ratio: figure by base; again: A/A; both None where nothing is compared."""

    what: str
    arm: str
    base: str = ""
    figure: float
    base_figure: float | None = None
    unit: str = "us"
    ratio: float | None = None
    again: float | None = None
    goal: str = ""
    most: float | None = None
    least: float | None = None
    verdict: Verdict = ""
    rounds: int


def row(
    samples: Samples,
    what: str,
    arm: str,
    base: str = "",
    *,
    unit: str = "us",
    most: float | None = None,
    least: float | None = None,
    title: str = "",
) -> Row:
    """The line that compares an arm with its base. most, least: the goal, if there is one; without a base, of the figure itself."""
    figures = samples[arm][what]
    ratio = _ratio(figures, samples[base][what]) if base else None
    twin = samples.get(base + AGAIN, {}).get(what)
    again = _ratio(twin, samples[base][what]) if twin else None
    return Row(
        what=title or what,
        arm=arm,
        base=base,
        figure=median(figures),
        base_figure=median(samples[base][what]) if base else None,
        unit=unit,
        ratio=ratio,
        again=again,
        goal=f"<= {most:g}" if most is not None else f">= {least:g}" if least is not None else "",
        most=most,
        least=least,
        verdict=_compared(ratio, again, most, least) if base else _reached(median(figures), most, least),
        rounds=len(figures),
    )


def _ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return median(one / other for one, other in zip(above, below, strict=True))


def _compared(ratio: float | None, again: float | None, most: float | None, least: float | None) -> Verdict:
    verdict = _reached(ratio, most, least)
    steady = again is not None and STEADY[0] <= again <= STEADY[1]
    return verdict if steady or not verdict else "inconclusive"


def _reached(number: float | None, most: float | None, least: float | None) -> Verdict:
    if number is None or (most is None and least is None):
        return ""
    return "met" if (most is None or number <= most) and (least is None or number >= least) else "missed"


def keep_heap() -> bool:
    """Have glibc neither grow nor trim the heap at every read, which makes the same code 1.4 times slower at some layouts."""
    try:
        return bool(ctypes.CDLL(None).mallopt(-2, 64 << 20))  # M_TOP_PAD
    except (OSError, AttributeError):  # another C library
        return False


# -- what comes out


@frozen(kw_only=True)
class Report:
    """Everything that one benchmark has to say. facts: what else should be known, such as the disk."""

    name: str
    rows: Sequence[Row]
    facts: Mapping[str, Any] = field(factory=dict)
    machine: Mapping[str, Any] = field(factory=machine)

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(asdict(self))) + b"\n")

    def show(self) -> None:
        """As a table on the terminal."""
        console = Console(file=sys.stdout, highlight=False, width=WIDTH)
        about = self.machine
        console.print(f"{self.name}, {about['at']}")
        console.print(f"{about['cores']} x {about['cpu']}, {about['system']}, {about['python']}, load {about['load']}")
        console.print(", ".join(f"{name} {number}" for name, number in about["versions"].items()))
        for name, fact in self.facts.items():
            console.print(f"{name}: {fact}")
        console.print(self._table())

    def _table(self) -> Table:
        table = Table("what", "of", "", "to", "", "ratio", "A/A", "goal", "", box=None)
        for column in (2, 4, 5, 6):
            table.columns[column].justify = "right"
        for each in self.rows:
            table.add_row(
                each.what,
                each.arm,
                with_unit(each.figure, each.unit),
                each.base,
                with_unit(each.base_figure, each.unit),
                *map(in_short, (each.ratio, each.again)),
                each.goal,
                each.verdict,
            )
        return table


def in_short(number: float | None) -> str:
    """A ratio, with two digits that say something."""
    return "" if number is None else f"{number:.2f}" if number >= 0.1 else f"{number:.2g}"


def with_unit(number: float | None, unit: str) -> str:
    """A figure, with no more digits than anybody reads."""
    if number is None:
        return ""
    if not unit:
        return f"{number:g}"
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.1f} {unit}"


# -- how a benchmark is run


@frozen
class Size:
    """How much is measured. quick: smaller turns."""

    rounds: int
    quick: bool


Measure = Callable[[Size], Report | Coroutine[Any, Any, Report]]


def command(name: str, measure: Measure) -> click.Command:
    """The `main` of a benchmark: python -m benchmarks.NAME [--quick] [--rounds N] [--json FILE]."""

    @click.command(name, help=measure.__doc__)
    @click.option("--quick", is_flag=True, help="Smaller turns, for a first impression.")
    @click.option("--rounds", type=click.IntRange(1), help="How often each side has its turn.")
    @click.option(
        "--json", "to", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there as well."
    )
    def main(*, quick: bool, rounds: int | None, to: Path | None) -> None:
        keep_heap()
        size = Size(rounds or (QUICK_ROUNDS if quick else ROUNDS), quick)
        made = measure(size)
        report = made if isinstance(made, Report) else asyncio.run(made)
        report.show()
        if to is not None:
            report.write(to)

    return main
