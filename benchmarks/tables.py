"""How a run is told: each row in a few words, and one table of all goals on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.ground import WIDTH, Row, in_short, with_unit
from benchmarks.run import Run

__all__ = ["about", "compared", "measured", "show"]

COLOURS: Final = {"met": "green", "missed": "red", "inconclusive": "yellow"}


def compared(row: Row) -> str:
    """What was measured, of what, and to what."""
    return f"{row.what}: {row.arm}" + (f" / {row.base}" if row.base else "")


def measured(row: Row) -> str:
    """The ratio, or the figure of what has no base."""
    return with_unit(row.figure, row.unit) if row.ratio is None else in_short(row.ratio)


def about(machine: Mapping[str, Any]) -> Iterator[str]:
    """The machine, in two lines."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    yield f"{machine['cores']} x {machine['cpu']}, {machine['system']}, {machine['python']}, load {machine['load']}"
    yield versions


def show(run: Run) -> None:
    """The goals of all, and what is missing."""
    console = Console(file=sys.stdout, highlight=False, width=WIDTH)
    for report in list(run.reports.values())[:1]:
        console.print(f"{report.machine['at']}{', quick' if run.quick else ''}")
        for line in about(report.machine):
            console.print(line, markup=False)
    table = Table("measure", "figure", "goal", "A/A", "", box=None)
    table.columns[1].justify = table.columns[3].justify = "right"
    for row in run.goals():
        verdict = Text(row.verdict, style=COLOURS.get(row.verdict, ""))
        table.add_row(Text(compared(row)), measured(row), row.goal, in_short(row.again), verdict)
    console.print(table)
    for name, said in run.left_out():
        console.print(f"left out of {name}, because not installed: {said}", markup=False)
    for name, why in run.failed.items():
        console.print(f"{name} came to nothing: {why}", markup=False, style="red")
