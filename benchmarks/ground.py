"""The ground that every benchmark stands on: interleaved rounds, ratios inside one run, and the doubt that belongs to each.

Rules:

1. What is compared takes turns: every round runs every arm once, and each round begins with another one.
2. A figure is the median of the rounds; a ratio is the median of the rounds' own ratios, so that a slow minute slows both sides.
3. Beside each ratio stands the same ratio of the base to itself (A/A). Where that leaves STEADY, the machine was too busy to
   tell, and the verdict is "inconclusive", whatever the ratio says.
4. The output says what was measured on: machine, versions, date.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

import msgspec
from attrs import asdict, field, frozen
from rich.console import Console
from rich.table import Table

__all__ = ["AGAIN", "ROUNDS", "Arm", "Report", "Row", "Samples", "interleave", "keep_heap", "row"]

ROUNDS: Final = 40
QUICK_ROUNDS: Final = 30
STEADY: Final = (0.90, 1.10)
WIDTH: Final = 180
AGAIN: Final = " again"
"""The arm that is its base a second time is called the same, with this behind it."""
PACKAGES: Final = (
    "venue-router",
    "websockets",
    "aiohttp",
    "apsw",
    "msgspec",
    "attrs",
    "uvloop",
    "aiosqlite",
    "orjson",
    "ccxt",
)

Verdict = Literal["", "met", "missed", "inconclusive"]
Arm = Callable[[], Awaitable[Mapping[str, float]]]
"""One turn of one side: does its work and returns its figures, by the name of what each measures."""
Samples = Mapping[str, Mapping[str, Sequence[float]]]
"""Figures by arm and by what they measure, one for each round."""


async def interleave(arms: Mapping[str, Arm], rounds: int, told: Callable[[int], None] = lambda _: None) -> Samples:
    """Run the arms by turns (rule 1), after one round that does not count. told: called with the number of each round done."""
    names = list(arms)
    samples: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            figures = await arms[name]()
            for what, figure in figures.items() if number else ():
                samples[name].setdefault(what, []).append(figure)
        told(number)
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
    """The line that compares an arm with its base. most, least: the goal, if there is one."""
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
        verdict=_verdict(ratio, again, most, least),
        rounds=len(figures),
    )


def _ratio(above: Sequence[float], below: Sequence[float]) -> float:
    return median(one / other for one, other in zip(above, below, strict=True))


def _verdict(ratio: float | None, again: float | None, most: float | None, least: float | None) -> Verdict:
    if ratio is None or (most is None and least is None):
        return ""
    if again is None or not STEADY[0] <= again <= STEADY[1]:
        return "inconclusive"
    reached = (most is None or ratio <= most) and (least is None or ratio >= least)
    return "met" if reached else "missed"


def keep_heap() -> bool:
    """Have glibc neither grow nor trim the heap at every read, which makes the same code 1.4 times slower at some layouts."""
    try:
        return bool(ctypes.CDLL(None).mallopt(-2, 64 << 20))  # M_TOP_PAD
    except (OSError, AttributeError):  # another C library
        return False


# -- what comes out


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": round(os.getloadavg()[0], 2),
        "versions": dict(filter(None, map(_version, PACKAGES))),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _version(package: str) -> tuple[str, str] | None:
    try:
        return package, version(package)
    except PackageNotFoundError:
        return None


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
                _figure(each.figure, each.unit),
                each.base,
                _figure(each.base_figure, each.unit),
                *(("" if number is None else f"{number:.2f}") for number in (each.ratio, each.again)),
                each.goal,
                each.verdict,
            )
        return table


def _figure(number: float | None, unit: str) -> str:
    if number is None:
        return ""
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.1f} {unit}"
