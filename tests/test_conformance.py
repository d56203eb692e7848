"""Every installed venue that this distribution brings does all that its Spec claims. A new venue needs no edit here."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from router.registry import ADAPTERS
from router.testing.conformance import CASES, RESULTS, Subject, Verdict, cases, run, subjects
from router.testing.conformance.table import lines

OURS = {point.name for point in entry_points(group=ADAPTERS) if point.dist and point.dist.name == "venue-router"}
SUBJECTS = {name: subject for name, subject in subjects().items() if name in OURS}
SETUPS = [(name, setup) for name, subject in SUBJECTS.items() for setup in subject.setups]


@pytest.mark.parametrize("case", cases(), ids=str)
@pytest.mark.parametrize(("name", "setup"), SETUPS)
def test_conforms(name: str, setup: str, case) -> None:
    result = run(case, SUBJECTS[name], setup)
    assert result.verdict in {Verdict.PASSED, Verdict.NOT_APPLICABLE}, result.text


def test_every_venue_of_ours_was_put_to_the_test_and_every_case_was_passed_by_one(capsys) -> None:
    assert set(SUBJECTS) == OURS
    passed = {result.case.number for result in RESULTS if result.verdict is Verdict.PASSED}
    assert passed == set(CASES)
    with capsys.disabled():
        print("", *lines(RESULTS), sep="\n")  # noqa: T201 - the table of venues and cases, for the record


@pytest.mark.parametrize("name", ["qfex", "adapters.qfex"])
def test_a_venue_is_found_by_its_name_or_by_a_module(name: str) -> None:
    assert Subject.named(name).adapter.__name__ == "Qfex"
