"""A conformance case: a number for good, a rule in one sentence, and what checks it. All cases, in the order of numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from router.testing.conformance.stage import Stage

__all__ = ["CASES", "Case", "Nonconformity", "NotApplicable", "case", "cases", "require"]

Check = Callable[["Stage"], Awaitable[None]]


class Nonconformity(AssertionError):
    """The venue's adapter did something else than the rule says."""


class NotApplicable(Exception):
    """The venue does not claim what the case is about: with the reason."""


@frozen
class Case:
    """number, title: as in "C04 hang-up mid-flight". rule: what must hold, in one sentence."""

    number: int
    title: str
    rule: str
    check: Check

    @property
    def label(self) -> str:
        return f"C{self.number:02}"

    def __str__(self) -> str:
        return f"{self.label} {self.title}"


CASES: dict[int, Case] = {}
"""By number. Numbers are for good: a new case gets a new one."""


def case(number: int, title: str, rule: str) -> Callable[[Check], Check]:
    """Declare a case. It raises Nonconformity, or NotApplicable for a venue that does not claim what it is about."""

    def declare(check: Check) -> Check:
        if number in CASES:
            raise ValueError(f"C{number:02} is taken by {CASES[number].title!r}")
        CASES[number] = Case(number, title, rule, check)
        return check

    return declare


def cases(*labels: str) -> list[Case]:
    """The cases of these labels ("C04", "4"), in order; of none: all. Raises ValueError, with the known ones."""
    known = [CASES[number] for number in sorted(CASES)]
    wanted = {label.upper().removeprefix("C").lstrip("0") for label in labels}
    unknown = wanted - {str(each.number) for each in known}
    if unknown:
        raise ValueError(
            f"no case has the number {', '.join(sorted(unknown))}; there are {known[0].label} to {known[-1].label}"
        )
    return [each for each in known if not wanted or str(each.number) in wanted]


def require(condition: object, sentence: str) -> None:
    """Nonconformity, unless this is so. sentence: what is wrong if it is not."""
    if not condition:
        raise Nonconformity(sentence)
