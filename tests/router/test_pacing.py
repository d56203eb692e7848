"""The arithmetic of budgets: what may go when, on a clock that the test passes in."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.pacing import RESERVED, Budget, Lane, Pacer

SLACK = 1e-6  # relative: the buckets are floats
LANES = st.sampled_from(Lane)
TENTH = pytest.approx(0.1)

budgets = st.builds(Budget, st.floats(1, 20_000), st.floats(0.1, 3600))
steps = st.lists(st.tuples(st.floats(0, 2), LANES, st.floats(0.01, 1)), max_size=60)
"""Of one budget: how long after the last message (in periods), in which lane, how heavy (in budgets)."""


Gone = list[tuple[float, float]]


def sent(pacer: Pacer, budget: Budget, traffic: list[tuple[float, Lane, float]]) -> tuple[Gone, float]:
    """What goes of this traffic and when (each goes at once or never), and the time at its end."""
    gone, now = Gone(), 1000.0
    for periods, lane, part in traffic:
        now += periods * budget.seconds
        if pacer.wait(lane, part * budget.units, now) <= 0:
            pacer.spend(lane, part * budget.units, now)
            gone.append((now, part * budget.units))
    return gone, now


def drain(pacer: Pacer, lane: Lane, now: float = 0.0) -> int:
    """How many messages of weight 1 go at once."""
    count = 0
    while pacer.wait(lane, 1, now) <= 0:
        pacer.spend(lane, 1, now)
        count += 1
        assert count < 100_000
    return count


# -- one budget


@settings(deadline=None)
@given(budgets, steps)
def test_in_no_interval_goes_more_than_the_budget_and_what_came_back_meanwhile(
    budget: Budget, traffic: list[tuple[float, Lane, float]]
) -> None:
    gone, _ = sent(Pacer(budget), budget, traffic)
    rate = budget.units / budget.seconds
    for first, (begun, _) in enumerate(gone):
        totals = accumulate(weight for _, weight in gone[first:])
        for total, (ended, _) in zip(totals, gone[first:], strict=True):
            assert total <= (budget.units + rate * (ended - begun)) * (1 + SLACK)


@settings(deadline=None)
@given(budgets, steps)
def test_what_submits_and_reads_use_up_never_stops_a_cancel_that_fits_in_the_reserve(
    budget: Budget, traffic: list[tuple[float, Lane, float]]
) -> None:
    pacer = Pacer(budget)
    light = RESERVED[Lane.READ] * budget.units * (1 - SLACK)
    others = [
        (periods, lane, min(part, 1 - RESERVED[lane])) for periods, lane, part in traffic if lane is not Lane.CANCEL
    ]  # one that is too heavy for its own part of the budget may take all of it
    _, now = sent(pacer, budget, others)
    assert pacer.wait(Lane.CANCEL, light, now) <= 0


@settings(deadline=None)
@given(budgets, steps, LANES, st.floats(0.01, 3))
def test_after_the_wait_that_was_told_it_may_go_and_not_much_earlier(
    budget: Budget, traffic: list[tuple[float, Lane, float]], lane: Lane, part: float
) -> None:
    pacer = Pacer(budget)
    _, now = sent(pacer, budget, traffic)
    weight = part * budget.units
    rest = pacer.wait(lane, weight, now)
    grain = SLACK * budget.seconds + now * SLACK / 1000
    if rest > 2 * grain:
        assert pacer.wait(lane, weight, now + rest - 2 * grain) > 0
    assert pacer.wait(lane, weight, now + max(rest, 0.0) + grain) <= 0


def test_it_comes_back_evenly_and_never_beyond_full() -> None:
    pacer = Pacer(Budget(10, 1))
    assert drain(pacer, Lane.CANCEL, 5.0) == 10
    assert pacer.wait(Lane.CANCEL, 1, 5.0) == TENTH
    assert pacer.wait(Lane.CANCEL, 3, 5.0) == pytest.approx(0.3)
    assert drain(pacer, Lane.CANCEL, 5.2001) == 2
    assert drain(pacer, Lane.CANCEL, 5000.0) == 10


def test_a_clock_that_is_read_out_of_order_gives_nothing_twice_and_takes_nothing() -> None:
    pacer = Pacer(Budget(10, 1))
    assert pacer.wait(Lane.CANCEL, 10, 10.0) <= 0
    assert drain(pacer, Lane.CANCEL, 9.0) == 10
    assert drain(pacer, Lane.CANCEL, 10.0) == 0
    assert pacer.wait(Lane.CANCEL, 1, 10.0) == TENTH


def test_submits_leave_a_fifth_and_reads_a_tenth_and_cancels_nothing() -> None:
    pacer = Pacer(Budget(100, 1))
    assert [drain(pacer, lane) for lane in (Lane.SUBMIT, Lane.READ, Lane.CANCEL)] == [80, 10, 10]
    assert [pacer.wait(lane, 1, 0.0) for lane in Lane] == pytest.approx([0.01, 0.11, 0.21])


def test_what_is_left_is_told_by_lane_and_is_never_negative() -> None:
    pacer = Pacer(Budget(100, 1))
    assert pacer.left(0.0) == pytest.approx({"cancel": 100, "read": 90, "submit": 80})
    pacer.spend(Lane.CANCEL, 85, 0.0)
    assert pacer.left(0.0) == pytest.approx({"cancel": 15, "read": 5, "submit": 0})
    assert pacer.left(0.5) == pytest.approx({"cancel": 65, "read": 55, "submit": 45})


@pytest.mark.parametrize(("lane", "before", "after"), [(Lane.CANCEL, 0.0, 1.6), (Lane.SUBMIT, 0.0, 1.8)])
def test_a_message_heavier_than_the_budget_waits_for_a_full_one_and_is_paid_for(
    lane: Lane, before: float, after: float
) -> None:
    pacer = Pacer(Budget(10, 1))
    pacer.spend(Lane.CANCEL, 4, 0.0)
    assert pacer.wait(lane, 25, 0.0) == pytest.approx(0.4)
    assert pacer.wait(lane, 25, 0.5) == before
    pacer.spend(lane, 25, 0.5)
    assert pacer.wait(lane, 1, 0.5) == pytest.approx(after)


@pytest.mark.parametrize("units", [1.89, 0.16, 12586.398190477661])
@pytest.mark.parametrize("lane", Lane)
def test_a_heavy_message_goes_from_a_full_budget_however_its_numbers_round(units: float, lane: Lane) -> None:
    assert Pacer(Budget(units, 1)).wait(lane, units, 1000.0) <= 0


def test_no_budget_is_no_limit() -> None:
    pacer = Pacer(None)
    for _ in range(1000):
        pacer.spend(Lane.SUBMIT, 1000, 0.0)
    assert ([pacer.wait(lane, 1000, 0.0) for lane in Lane], pacer.left(0.0)) == ([0, 0, 0], {})


# -- two budgets, and parts of them


def test_a_budget_of_their_own_keeps_cancels_apart_both_ways() -> None:
    pacer = Pacer(Budget(10, 1), Budget(5, 1))
    assert drain(pacer, Lane.CANCEL) == 5
    assert drain(pacer, Lane.SUBMIT) == 8
    assert drain(pacer, Lane.READ) == 1
    assert drain(pacer, Lane.CANCEL, 1.0) == 5
    assert pacer.left(1.0) == pytest.approx({"cancel": 0, "read": 9, "submit": 8})
    assert (pacer.describe(Lane.CANCEL), pacer.describe(Lane.SUBMIT)) == (
        "the rate budget of 5 in 1 s",
        "the rate budget of 10 in 1 s",
    )


def test_cancels_may_be_limited_alone() -> None:
    pacer = Pacer(None, Budget(5, 1))
    assert drain(pacer, Lane.CANCEL) == 5
    assert (pacer.wait(Lane.SUBMIT, 1000, 0.0), list(pacer.left(0.0))) == (0, ["cancel"])


def test_a_share_is_a_part_of_both_budgets_and_of_their_pace() -> None:
    pacer = Pacer(Budget(100, 1), Budget(40, 1), share=0.25)
    assert [drain(pacer, Lane.SUBMIT), drain(pacer, Lane.CANCEL)] == [20, 10]
    assert pacer.wait(Lane.CANCEL, 1, 0.0) == TENTH
    assert pacer.describe(Lane.SUBMIT) == "the rate budget of 25 in 1 s"


# -- the venue says "too fast"


def test_a_pause_holds_every_lane_of_its_budget_until_it_is_over() -> None:
    pacer = Pacer(Budget(100, 1))
    pacer.pause(Lane.CANCEL, 3.0, 10.0)
    assert [pacer.wait(lane, 1, 10.0) for lane in Lane] == pytest.approx([3.0, 3.0, 3.0])
    assert [pacer.wait(lane, 1, 12.5) for lane in Lane] == pytest.approx([0.5, 0.5, 0.5])
    assert [pacer.wait(lane, 1, 13.0) for lane in Lane] == [0, 0, 0]


def test_a_pause_of_submits_holds_no_cancels() -> None:
    pacer = Pacer(Budget(100, 1))
    pacer.pause(Lane.SUBMIT, 3.0, 10.0)
    assert [pacer.wait(lane, 1, 10.0) for lane in Lane] == pytest.approx([0.0, 3.0, 3.0])


def test_a_pause_takes_the_budget_for_spent_and_leaves_the_reserves_of_others() -> None:
    pacer = Pacer(Budget(100, 10))
    pacer.pause(Lane.SUBMIT, 0.0, 0.0)
    assert drain(pacer, Lane.SUBMIT) == 0
    assert [drain(pacer, Lane.READ), drain(pacer, Lane.CANCEL)] == [10, 10]


def test_a_pause_gives_nothing_back() -> None:
    pacer = Pacer(Budget(100, 1))
    drain(pacer, Lane.CANCEL)
    pacer.pause(Lane.SUBMIT, 0.0, 0.0)
    assert pacer.left(0.0)["cancel"] == pytest.approx(0)


def test_a_shorter_pause_ends_no_longer_one() -> None:
    pacer = Pacer(None)
    pacer.pause(Lane.SUBMIT, 5.0, 0.0)
    pacer.pause(Lane.READ, 1.0, 1.0)
    assert pacer.wait(Lane.SUBMIT, 1, 1.0) == 4.0
    assert pacer.wait(Lane.SUBMIT, 1, 5.0) == 0


def test_a_pause_of_submits_stops_no_cancels_that_have_a_budget_of_their_own() -> None:
    pacer = Pacer(Budget(10, 1), Budget(10, 1))
    pacer.pause(Lane.SUBMIT, 60.0, 0.0)
    assert drain(pacer, Lane.CANCEL) == 10
    assert pacer.wait(Lane.READ, 1, 0.0) == 60.0


def test_without_a_budget_a_pause_is_all_there_is() -> None:
    pacer = Pacer(None)
    pacer.pause(Lane.CANCEL, 2.0, 0.0)
    assert (pacer.wait(Lane.SUBMIT, 1, 0.0), pacer.wait(Lane.SUBMIT, 1, 2.0)) == (2.0, 0)
    assert pacer.describe(Lane.SUBMIT) == "the venue's pause after too many messages"


# -- mistakes


@pytest.mark.parametrize("units", [0, -1, math.nan])
@pytest.mark.parametrize("good", [0.001, 1, 12_000])
def test_a_budget_that_allows_nothing_is_refused_with_what_it_was(units: float, good: float) -> None:
    with pytest.raises(ValueError, match=r"a budget of .* allows nothing; pass numbers above 0"):
        Budget(units, good)
    with pytest.raises(ValueError, match=r"a budget of .* allows nothing; pass numbers above 0"):
        Budget(good, units)


@pytest.mark.parametrize("share", [0, -0.5, 1.001, 50, math.nan])
def test_a_share_is_above_0_and_up_to_1(share: float) -> None:
    with pytest.raises(ValueError, match=r"share was .*; it is a part of the account's budget, above 0 and up to 1"):
        Pacer(Budget(10, 1), share=share)
