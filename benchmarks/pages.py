"""docs/benchmarks.md, .svg and .json, and docs/gateways.* likewise, made of a run.

What stands outside the markers of a page is written by hand, and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from attrs import evolve

from benchmarks import plot
from benchmarks.ground import VERDICTS, Report, Row, in_short, with_unit
from benchmarks.run import NAMES, Run
from benchmarks.tables import compared, measured

__all__ = ["BEGIN", "END", "NAME", "generated", "renew", "renewed"]

NAME: Final = "benchmarks"
PAGES: Final = {NAME: tuple(name for name in NAMES if name != "cluster"), "gateways": ("cluster",)}
"""The benchmarks that each page is about."""
BEGIN: Final = "<!-- begin: written by `python -m benchmarks --docs`; changes in here are lost -->"
END: Final = "<!-- end -->"


def renew(run: Run, folder: Path) -> list[Path]:
    """Write the three files of each page of which something was measured. Raises ValueError when a page has lost its markers."""
    return [path for name in PAGES for path in _renew(_part(run, name), folder, name)]


def _part(run: Run, name: str) -> Run:
    """What a page is about."""
    kept = {each: report for each, report in run.reports.items() if each in PAGES[name]}
    return evolve(run, reports=kept, failed={each: why for each, why in run.failed.items() if each in PAGES[name]})


def _renew(run: Run, folder: Path, name: str) -> list[Path]:
    if not run.reports:
        return []
    page = folder / f"{name}.md"
    text = renewed(page.read_text(encoding="utf-8"), run, name)
    page.write_text(text, encoding="utf-8")
    run.write(folder / f"{name}.json")
    (folder / f"{name}.svg").write_text(plot.svg(run), encoding="utf-8")
    return [folder / f"{name}.{ending}" for ending in ("md", "svg", "json")]


def renewed(page: str, run: Run, name: str = NAME) -> str:
    """The page with another run in it."""
    before, begun, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (begun and ended):
        raise ValueError(f"docs/{name}.md has lost its markers, {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{generated(run, name)}{END}{after}"


def generated(run: Run, name: str = NAME) -> str:
    """What a run has to say."""
    return "\n".join([*_about(run, name), *_goals(run), *_missing(run), *_all(run)]) + "\n"


def _about(run: Run, name: str) -> Iterator[str]:
    for report in list(run.reports.values())[:1]:
        machine = report.machine
        versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
        rounds = max((row.rounds for row in run.goals()), default=0)
        yield "\n## The run\n"
        yield f"Measured on {machine['at'][:10]}, {'with smaller turns (--quick), ' if run.quick else ''}in {rounds} rounds where nothing else is said:"
        yield f"{machine['cores']} x {machine['cpu']}, {machine['system']}, {machine['python']}; load {machine['load']}."
        yield f"{versions}.\n"
    yield "**The figures belong to that run, on that machine.** Yours will differ; the ratios should differ less.\n"
    yield f"![A bar for each ratio, with its goal and the doubt that A/A leaves]({name}.svg)\n"


def _goals(run: Run) -> Iterator[str]:
    verdicts = [row.verdict for row in run.goals()]
    counted = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in verdicts)
    yield f"## Goals: {counted}\n"
    yield from _table(
        ("measure", "figure", "goal", "A/A", "verdict"),
        ((compared(row), measured(row), row.goal, in_short(row.again), row.verdict) for row in run.goals()),
    )


def _missing(run: Run) -> Iterator[str]:
    said = [f"- left out of {name}, because not installed: {what}" for name, what in run.left_out()]
    said += [f"- {name} came to nothing: {why}" for name, why in run.failed.items()]
    if said:
        yield from ("Not measured:\n", *said, "")


def _all(run: Run) -> Iterator[str]:
    yield "## Everything that was measured\n"
    yield "The median of the rounds of each side, and the median of the rounds' own ratios.\n"
    for report in run.reports.values():
        yield from _one(report)


def _one(report: Report) -> Iterator[str]:
    yield f"### {report.name}\n"
    yield from _table(("what", "of", "", "to", "", "ratio", "A/A", "rounds"), map(_cells, report.rows))
    if report.facts:
        yield from (*(f"- {name}: {fact}" for name, fact in report.facts.items()), "")


def _cells(row: Row) -> tuple[str, ...]:
    sides = (row.arm, with_unit(row.figure, row.unit), row.base, with_unit(row.base_figure, row.unit))
    return (row.what, *sides, in_short(row.ratio), in_short(row.again), str(row.rounds))


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
