"""The table of venues and cases: what each came to."""

from __future__ import annotations

from collections.abc import Iterable

from router.testing.conformance.run import Result, Verdict

__all__ = ["lines"]


def lines(results: Iterable[Result]) -> list[str]:
    """A line per case, a column per venue, and below them what was not applicable and why."""
    results = list(results)
    venues = list(dict.fromkeys(result.venue for result in results))
    cells = {(result.venue, result.case.number): result.verdict for result in results}
    known = sorted({result.case for result in results}, key=lambda case: case.number)
    width = max((len(str(case)) for case in known), default=0)
    head = "  ".join([" " * width, *venues])
    rows = [
        _row(str(case).ljust(width), [(venue, cells.get((venue, case.number))) for venue in venues]) for case in known
    ]
    return [head, *rows, "", *_sums(results, venues), *_reasons(results)]


def _row(title: str, found: list[tuple[str, Verdict | None]]) -> str:
    return "  ".join([title, *((verdict or "").ljust(len(venue)) for venue, verdict in found)]).rstrip()


def _sums(results: list[Result], venues: list[str]) -> list[str]:
    told = []
    for venue in venues:
        mine = [result.verdict for result in results if result.venue == venue]
        counts = (f"{mine.count(verdict)} {verdict}" for verdict in Verdict if verdict in mine)
        told.append(f"{venue}: {', '.join(counts)}")
    return told


def _reasons(results: list[Result]) -> list[str]:
    """Why a case does not apply, once for all venues that say the same."""
    found: dict[str, dict[str, None]] = {}
    for result in results:
        if result.verdict is Verdict.NOT_APPLICABLE:
            found.setdefault(f"{result.case.label} n/a, {result.text}", {})[result.venue] = None
    return [f"{reason}: {', '.join(venues)}" for reason, venues in sorted(found.items())]
