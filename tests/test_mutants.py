"""The conformance cases notice what a venue author gets wrong: mutants of the built-in codecs, each killed by a named case.

In the normal run a mutant meets only the case that is named for it. With MUTANTS_ALL=1 in the environment every mutant
meets every case, which takes most of an hour, and a matrix of both is printed:

    MUTANTS_ALL=1 pytest tests/test_mutants.py
"""

from __future__ import annotations

import os

import pytest

from router.testing.conformance import cases

from .mutants import MUTANTS
from .mutants.matrix import lines, sums
from .mutants.mutant import Mutant, as_it_is
from .mutants.running import results

ALL = bool(os.environ.get("MUTANTS_ALL"))
ENOUGH = 45
KILLED = 0.9
MORTAL = [mutant for mutant in MUTANTS if mutant.killer]
SURVIVORS = [mutant for mutant in MUTANTS if not mutant.killer]
LABELS = [case.label for case in cases()]


@pytest.fixture(scope="module")
def said(request):
    """What the cases said of the mutants whose tests were asked for, and of the venues as they are."""
    asked = {item.callspec.params["mutant"] for item in request.session.items if _is_about_a_mutant(item)}
    if any(item.originalname == "test_nine_in_ten_are_killed" for item in request.session.items):
        asked = set(MUTANTS if ALL else MORTAL)
    named = {venue: sorted({m.killer for m in asked if m.venue == venue and m.killer}) for venue in _venues()}
    whole = [as_it_is(venue, labels) for venue, labels in named.items() if labels]
    mutated = [m.job([] if ALL else [m.killer], until_killed=not ALL) for m in MUTANTS if m in asked]
    return results([*whole, *mutated])


def _is_about_a_mutant(item) -> bool:
    return item.originalname in {"test_it_is_killed_by_the_case_that_is_named", "test_it_survives_every_case"}


def _venues() -> list[str]:
    return sorted({mutant.venue for mutant in MUTANTS})


def _noticed(said, mutant: Mutant) -> list[str]:
    """The cases that failed, and said so under their own name."""
    failed = [each for each in said[str(mutant)] if each["verdict"] == "FAILED"]
    return sorted({each["case"] for each in failed if each["text"].startswith(f"{each['case']} ")})


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_the_text_that_it_replaces_is_in_the_file_once(mutant: Mutant) -> None:
    assert mutant.path.read_text().count(mutant.old) == 1
    assert bool(mutant.killer) != bool(mutant.survives)


@pytest.mark.parametrize("mutant", MORTAL, ids=str)
def test_it_is_killed_by_the_case_that_is_named(mutant: Mutant, said) -> None:
    assert mutant.killer in _noticed(said, mutant), said[str(mutant)]
    whole = [each for each in said[mutant.venue] if each["case"] == mutant.killer]
    assert {each["verdict"] for each in whole} <= {"ok", "n/a"}, whole
    assert "ok" in {each["verdict"] for each in whole}


@pytest.mark.skipif(not ALL, reason="MUTANTS_ALL is not set")
@pytest.mark.parametrize("mutant", SURVIVORS, ids=str)
def test_it_survives_every_case(mutant: Mutant, said) -> None:
    assert not _noticed(said, mutant), f"it is killed now; it was to survive because {mutant.survives}"


def test_nine_in_ten_are_killed(said, capsys) -> None:
    noticed = {mutant: _noticed(said, mutant) if ALL or mutant.killer else [] for mutant in MUTANTS}
    with capsys.disabled():
        print("", *(lines(noticed, LABELS) if ALL else sums(noticed)), sep="\n")  # noqa: T201 - for the record
    assert len(set(map(str, MUTANTS))) == len(MUTANTS) >= ENOUGH
    assert sum(map(bool, noticed.values())) >= KILLED * len(MUTANTS)
