"""The table of the cells that were run, printed at the end of the run."""

from __future__ import annotations

from collections import Counter

from attrs import Factory, define, frozen
from rich.console import Console
from rich.table import Table

from .cells import FAULTS, VENUES, Cell, Point
from .rules import Verdict

WIDTH = 215
SHORT = {
    Verdict.CONFIRMED: "conf",
    Verdict.TOO_LATE: "late",
    Verdict.NOT_FOUND: "none",
    Verdict.NOT_PLACED: "unplaced",
    Verdict.REFUSED: "refused",
    Verdict.NOT_SENT: "unsent",
    Verdict.UNKNOWN: "?",
}
LEGEND = (
    "conf: CONFIRMED; late: REFUSED, TOO_LATE_TO_CANCEL; none: REFUSED, UNKNOWN_ORDER; refused: REFUSED, otherwise; "
    "unplaced: REFUSED by the ROUTER; unsent: NOT_SENT; ?: UNKNOWN. First report > what settled() came to, how often it was written."
)


@frozen
class Result:
    """wrong: the exception with which the cell failed."""

    cell: Cell
    first: Verdict | None = None
    final: Verdict | None = None
    wire: int = 0
    wrong: Exception | None = None

    def __str__(self):
        if self.cell.excuse:
            return "n/a"
        words = [] if self.wrong is None else ["WRONG"]
        words += [SHORT[said] for said in dict.fromkeys(filter(None, (self.first, self.final)))]
        return f"{' > '.join(words)}, {self.wire}"


@define(eq=False)
class FaultTable:
    """A plugin of pytest: it prints what the tests of this run have put in."""

    results: dict[Cell, Result] = Factory(dict)
    left: object = None
    """The tasks that have not ended with their cells."""

    def pytest_terminal_summary(self, terminalreporter):
        if self.results:
            terminalreporter.section("fault table")
            terminalreporter.write(self.render())

    @property
    def run(self):
        return [result for result in self.results.values() if not result.cell.excuse]

    def render(self):
        console = Console(width=WIDTH, force_terminal=False, no_color=True, legacy_windows=False)
        with console.capture() as captured:
            shown = {cell.venue for cell in self.results}
            for venue in filter(shown.__contains__, VENUES):
                console.print(self._of(venue))
            console.print(f"{LEGEND}\n", soft_wrap=True)
            for line, count in sorted(self._excuses().items()):
                console.print(f"n/a in {count} cells: {line}", soft_wrap=True)
            console.print(
                f"{len(self.run)} cells run, {sum(result.wrong is not None for result in self.run)} of them wrong"
            )
        return captured.get()

    def _of(self, venue):
        table = Table(title=venue.name, title_justify="left", show_edge=False, pad_edge=False)
        for heading in ("point", "fault", *venue.words):
            table.add_column(heading, overflow="fold", no_wrap=heading == "fault")
        order = list(Point)
        for fault in sorted(FAULTS, key=lambda fault: order.index(Point[fault.point.name])):
            row = [str(self.results.get(cell, "")) for cell in _cells(self.results, venue, fault)]
            if any(row):
                number = f"{fault.number} " if hasattr(fault, "number") else ""
                table.add_row(Point[fault.point.name], f"{number}{fault}", *row)
        return table

    def _excuses(self):
        excused = [result.cell for result in self.results.values() if result.cell.excuse]
        return Counter(f"{cell.venue.name}, {cell.fault}: {cell.excuse}" for cell in excused)


def _cells(results, venue, fault):
    found = {(cell.venue, cell.fault, cell.command): cell for cell in results}
    return [found.get((venue, fault, command)) for command in venue.words]
