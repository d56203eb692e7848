"""Which cases noticed which mutants, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from .mutant import Mutant

WIDTH = 100


def lines(noticed: Mapping[Mutant, list[str]], labels: list[str]) -> Iterator[str]:
    """A line for each mutant and a column for each case, then the sums."""
    yield " " * WIDTH + " ".join(label.removeprefix("C") for label in labels)
    for mutant, by in noticed.items():
        yield str(mutant)[: WIDTH - 1].ljust(WIDTH) + "  ".join("x" if label in by else "." for label in labels)
    yield from sums(noticed)


def sums(noticed: Mapping[Mutant, list[str]]) -> Iterator[str]:
    """How many were killed, and by which case how many."""
    killed = sum(bool(by) for by in noticed.values())
    counts = Counter(label for by in noticed.values() for label in by)
    yield f"{len(noticed)} mutants, {killed} killed ({killed / max(1, len(noticed)):.0%})"
    yield ", ".join(f"{label}: {count}" for label, count in sorted(counts.items()))
