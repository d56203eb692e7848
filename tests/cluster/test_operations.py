"""The table of operations: begun once, told again, forgotten in order, and never mistaken for another's."""

import pytest

from router import Order, Outcome
from router.cluster import wire
from router.cluster.serving.operations import KEPT, LONGEST, Full, Operations
from router.report import CancelReport, SubmitReport

PROCESS = "0123456789abcdef"
NOW = 1_800_000_000.0
SAID = wire.Told(report=wire.Facts(outcome=Outcome.CONFIRMED))


def op(number):
    return f"{PROCESS}{number:016d}"


def cancelling(number, id_="an-order", **changes):
    given = {"tenure": "1-a", "deadline": NOW + 1} | changes
    return wire.Cancelling(op=op(number), cancel=wire.Address(id_), **given)


def report(outcome):
    order = Order("v", "AAPL-USD", "buy", "limit", "1", "1")
    return SubmitReport(request=order, outcome=outcome)


@pytest.fixture
def operations():
    return Operations(most=50, young=30, final=5, doubts=2)


def done(operations, number, now=NOW, said=SAID, found=None):
    known = operations.begin(cancelling(number, deadline=now + 1), "alpha", now)
    known.finish(said, found)
    return known


def test_who_asks_before_the_answer_and_after_it_hears_the_same(operations):
    known, heard = operations.begin(cancelling(1), "alpha", NOW), []
    known.tell(heard.append)
    known.tell(heard.append)
    assert heard == []
    assert operations.under_way() == [known]
    known.finish(SAID)
    known.tell(heard.append)
    assert heard == [SAID, SAID, SAID]
    assert operations.find(op(1), "alpha") is known
    assert operations.under_way() == []


def test_what_was_seen_is_never_begun_again(operations):
    operations.begin(cancelling(1), "alpha", NOW)
    with pytest.raises(ValueError, match="never begun twice"):
        operations.begin(cancelling(1), "alpha", NOW)
    operations.bury(op(2), "alpha", "too late", NOW)
    with pytest.raises(ValueError, match="never begun twice"):
        operations.begin(cancelling(2), "alpha", NOW)
    assert operations.find(op(2), "alpha").said == wire.Refused(text="too late")


def test_an_id_is_a_strategys_own(operations):
    mine = operations.begin(cancelling(1), "alpha", NOW)
    assert operations.find(op(1), "beta") is None
    assert not operations.was_seen(op(1), "beta")
    operations.bury(op(1), "beta", "not yours", NOW)
    assert operations.find(op(1), "alpha") is mine
    assert mine.said is None


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (cancelling(1, deadline=NOW + 9), True),
        (cancelling(1, tenure="2-b"), True),
        (cancelling(1, placed="2-b"), True),
        (cancelling(1, "another-order"), False),
        (cancelling(1, of=op(9)), False),
        (wire.CancelAll(op=op(1), tenure="1-a", deadline=NOW + 1), False),
    ],
)
def test_the_same_command_again_is_told_from_another_one(operations, other, same):
    assert operations.begin(cancelling(1), "alpha", NOW).is_said_by(other) is same


def test_what_is_over_is_forgotten_the_oldest_first_when_its_time_has_come(operations):
    for number in range(1, 11):
        done(operations, number)
    assert len(operations) == 10  # a message of any of them may still be in time
    later = NOW + 2 + KEPT
    for number in range(11, 14):
        done(operations, number, later)
    assert operations.find(op(1), "alpha") is None
    assert operations.find(op(10), "alpha") is not None
    assert all(operations.was_seen(op(number), "alpha") for number in range(1, 14))


def test_under_load_what_is_over_is_forgotten_before_its_time_and_nothing_is_turned_away(operations):
    slow = operations.begin(cancelling(1), "alpha", NOW)
    for number in range(2, 1000):
        done(operations, number)
    assert len(operations) <= 31
    assert operations.find(op(999), "alpha") is not None
    assert operations.find(op(1), "alpha") is slow
    assert operations.was_seen(op(500), "alpha")


def test_what_is_under_way_is_not_forgotten(operations):
    known = operations.begin(cancelling(1), "alpha", NOW)
    for number in range(2, 40):
        done(operations, number, NOW + 10 * number * KEPT)
    assert operations.find(op(1), "alpha") is known


def test_doubts_are_kept_beyond_their_time_and_only_the_last_ones(operations):
    for number in range(1, 5):
        done(operations, number, found=report(Outcome.UNKNOWN))
    for number in range(5, 40):
        done(operations, number, NOW + 10 * KEPT)
    kept = [number for number in range(1, 5) if operations.find(op(number), "alpha") is not None]
    assert kept == [3, 4]


def test_a_deadline_in_a_hundred_years_does_not_keep_it_for_ever(operations):
    known = operations.begin(cancelling(1, deadline=NOW + 1e9), "alpha", NOW)
    assert known.until == NOW + LONGEST + KEPT


def test_there_is_a_most_and_what_it_turned_away_is_not_begun_later(operations):
    for number in range(50):
        operations.begin(cancelling(number), "alpha", NOW)
    with pytest.raises(Full, match="50 operations are under way"):
        operations.begin(cancelling(50), "alpha", NOW)
    assert operations.was_seen(op(50), "alpha")
    assert operations.find(op(50), "alpha") is None


def test_a_mistake_of_ours_leaves_nobody_an_answer(operations):
    known, heard = operations.begin(cancelling(1), "alpha", NOW), []
    known.tell(heard.append)
    known.lose()
    known.tell(heard.append)
    assert heard == []
    assert operations.under_way() == []


def test_a_better_answer_takes_the_place_of_a_doubt(operations):
    request = cancelling(1).cancel.cancel("v")
    doubt = CancelReport(request=request, outcome=Outcome.UNKNOWN)
    known = done(operations, 1, found=doubt)
    assert known.is_doubtful
    assert not known.is_over
    known.finish(SAID, CancelReport(request=request, outcome=Outcome.CONFIRMED))
    assert known.is_over
    assert known.said is SAID
