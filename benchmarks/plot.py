"""The plot of a run, as SVG made by hand: a bar for each ratio that has a goal, on a log axis. Readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import ceil, floor, log10
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.ground import VERDICTS, Row, in_short
from benchmarks.run import Run

__all__ = ["svg"]

WIDTH: Final = 960
LEFT: Final = 400  # where the axis begins
RIGHT: Final = 800  # and where it ends; behind it stand the figures
TOP: Final = 84
STEP: Final = 34
BAR: Final = 12
FOOT: Final = 46
FONT: Final = "text { font: 13px system-ui, sans-serif; } .title { font-size: 17px; font-weight: 600; } .small { font-size: 11px; }"
LINES: Final = ".one { stroke-width: 1.5; } .goal { stroke-width: 2.5; } .doubt { stroke-width: 1.2; }"
LIGHT: Final = {
    "page": "#ffffff",
    "ink": "#1f2328",
    "pale": "#59636e",
    "grid": "#d1d9e0",
    "met": "#1a7f37",
    "missed": "#cf222e",
    "inconclusive": "#9a6700",
}
DARK: Final = {
    "page": "#0d1117",
    "ink": "#f0f6fc",
    "pale": "#9198a1",
    "grid": "#3d444d",
    "met": "#3fb950",
    "missed": "#f85149",
    "inconclusive": "#d29922",
}


def svg(run: Run) -> str:
    """The whole picture."""
    rows = [row for row in run.goals() if row.ratio]
    axis = Axis(rows)
    height = TOP + STEP * len(rows) + FOOT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title">',
        '<title id="title">venue-router: what it takes, compared with others in the same run</title>',
        f"<style>{FONT} {LINES}\n{_colours(LIGHT)}\n@media (prefers-color-scheme: dark) {{ {_colours(DARK)} }}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>',
        *_heading(run),
        *axis.grid(TOP, TOP + STEP * len(rows)),
        *(line for number, row in enumerate(rows) for line in _row(row, axis, TOP + STEP * number)),
        *_legend(height),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


class Axis:
    """Ratios, on a log scale that holds all of them and their goals, and 1."""

    def __init__(self, rows: Iterable[Row]) -> None:
        numbers = [1.0, *(number for row in rows for number in (row.ratio, row.most, row.least) if number)]
        self._low = min(-1, floor(log10(min(numbers)) * 2) / 2)
        self._high = max(1, ceil(log10(max(numbers)) * 2) / 2)

    def at(self, ratio: float) -> float:
        share = (log10(ratio) - self._low) / (self._high - self._low)
        return round(LEFT + (RIGHT - LEFT) * min(max(share, 0), 1), 1)

    def grid(self, top: int, bottom: int) -> Iterator[str]:
        """A line at each power of ten, and labels above."""
        for power in range(ceil(self._low), floor(self._high) + 1):
            x = self.at(10**power)
            yield f'<line class="{"grid" if power else "one"}" x1="{x}" y1="{top - 8}" x2="{x}" y2="{bottom}"/>'
            yield _text(x, top - 14, f"{10.0**power:g}", "small", anchor="middle")


def _colours(of: Mapping[str, str]) -> str:
    fills = {".page": "page", "text": "ink", ".small": "pale", **{f".{name}": name for name in VERDICTS}}
    strokes = {".grid": "grid", ".one": "pale", ".goal, .doubt": "ink"}
    filled = " ".join(f"{where} {{ fill: {of[colour]}; }}" for where, colour in fills.items())
    return filled + " " + " ".join(f"{where} {{ stroke: {of[colour]}; }}" for where, colour in strokes.items())


def _heading(run: Run) -> Iterator[str]:
    yield _text(20, 30, "Ratios to others in the same run", "title")
    for report in list(run.reports.values())[:1]:
        machine = report.machine
        said = f"{machine['at'][:10]}, {machine['cores']} x {machine['cpu']}, {machine['python']}"
        yield _text(20, 50, f"{said}{', quick' if run.quick else ''}", "small")


def _row(row: Row, axis: Axis, top: int) -> Iterator[str]:
    ratio = row.ratio or 1.0
    middle = top + STEP / 2
    ends = sorted((axis.at(1), axis.at(ratio)))
    yield f"<g><title>{escape(f'{row.what}: {row.arm} / {row.base}, {in_short(ratio)}, goal {row.goal}')}</title>"
    yield _text(20, middle - 2, row.what)
    yield _text(20, middle + 11, f"{row.arm} / {row.base}", "small")
    yield (
        f'<rect class="{row.verdict}" x="{ends[0]}" y="{middle - BAR / 2}" '
        f'width="{max(ends[1] - ends[0], 1):.1f}" height="{BAR}" rx="2"/>'
    )
    yield from _doubt(row, axis, middle)
    for goal in (row.most, row.least):
        if goal:
            x = axis.at(goal)
            yield f'<line class="goal" x1="{x}" y1="{middle - 10}" x2="{x}" y2="{middle + 10}"/>'
    yield _text(RIGHT + 16, middle + 4, in_short(ratio), row.verdict)
    yield _text(RIGHT + 66, middle + 4, row.goal, "small")
    yield "</g>"


def _doubt(row: Row, axis: Axis, middle: float) -> Iterator[str]:
    """How far the ratio could be off, by how far A/A is: a whisker at the bar's end."""
    if not (row.again and row.ratio):
        return
    off = max(row.again, 1 / row.again)
    low, high = axis.at(row.ratio / off), axis.at(row.ratio * off)
    yield f'<line class="doubt" x1="{low}" y1="{middle}" x2="{high}" y2="{middle}"/>'
    for x in (low, high):
        yield f'<line class="doubt" x1="{x}" y1="{middle - 3}" x2="{x}" y2="{middle + 3}"/>'


def _legend(height: int) -> Iterator[str]:
    x = 20.0
    for verdict in VERDICTS:
        yield f'<rect class="{verdict}" x="{x}" y="{height - 30}" width="10" height="10" rx="2"/>'
        yield _text(x + 15, height - 21, verdict, "small")
        x += 30 + 7 * len(verdict)
    yield _text(
        x + 10,
        height - 21,
        "Thick mark: the goal (<= wants the bar to end left of it, >= right). Whisker: how far A/A is from 1. Log scale.",
        "small",
    )


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "") -> str:
    attributes = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x}" y="{y}"{attributes}>{escape(words)}</text>'
