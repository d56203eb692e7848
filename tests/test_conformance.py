"""Every installed venue that this distribution brings does all that its Spec claims. A new venue needs no edit here.

The cases wait more than they compute, so venues and set-ups are put to the test side by side, each in a process of its own.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import entry_points
from multiprocessing import get_context

import pytest

from router.registry import ADAPTERS
from router.testing.conformance import CASES, Result, Subject, Verdict, cases, run, subjects
from router.testing.conformance.table import lines

AT_ONCE = 6
OURS = {point.name for point in entry_points(group=ADAPTERS) if point.dist and point.dist.name == "venue-router"}
SUBJECTS = {name: subject for name, subject in subjects().items() if name in OURS}
SETUPS = [(name, setup) for name, subject in SUBJECTS.items() for setup in subject.setups]


def run_all(name: str, setup: str) -> list[Result]:
    return [run(case, SUBJECTS[name], setup) for case in cases()]


@pytest.fixture(scope="module")
def results() -> dict[tuple[str, str], list[Result]]:
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn")) as pool:
        running = {each: pool.submit(run_all, *each) for each in SETUPS}
        return {each: found.result() for each, found in running.items()}


@pytest.mark.parametrize("case", cases(), ids=str)
@pytest.mark.parametrize(("name", "setup"), SETUPS)
def test_conforms(results, name: str, setup: str, case) -> None:
    (result,) = [each for each in results[name, setup] if each.case.number == case.number]
    assert result.verdict in {Verdict.PASSED, Verdict.NOT_APPLICABLE}, result.text


def test_every_venue_of_ours_was_put_to_the_test_and_every_case_was_passed_by_one(results, capsys) -> None:
    assert set(SUBJECTS) == OURS
    told = [result for found in results.values() for result in found]
    assert {result.case.number for result in told if result.verdict is Verdict.PASSED} == set(CASES)
    with capsys.disabled():
        print("", *lines(told), sep="\n")  # noqa: T201 - the table of venues and cases, for the record


@pytest.mark.parametrize("name", ["qfex", "adapters.qfex"])
def test_a_venue_is_found_by_its_name_or_by_a_module(name: str) -> None:
    assert Subject.named(name).adapter.__name__ == "Qfex"
