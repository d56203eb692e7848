"""What a strategy makes of a gateway's clock: neither a late message nor a step of that clock moves a deadline for long."""

import time

import pytest

from router.cluster.strategy.clocks import Clocks

BEGUN = 1000.0  # our clock
AHEAD = 5000.0  # what the gateway's is ahead of it


def measured(clocks, now, ahead, way=0.0005):
    """An answer, each way of which took so long."""
    clocks.reckon("g", now - way + ahead, now - 2 * way, now)


def ahead(clocks):
    return clocks.now("g") - time.monotonic()


def test_of_a_gateway_that_never_said_anything_it_is_ours():
    assert Clocks().now("g") == pytest.approx(time.time(), abs=0.5)


@pytest.mark.parametrize("step", [-30.0, 30.0])
def test_a_step_is_noticed_by_the_next_answer_though_that_was_slower(step):
    clocks = Clocks()
    measured(clocks, BEGUN, AHEAD)
    measured(clocks, BEGUN + 1, AHEAD + step, way=0.01)
    assert ahead(clocks) == pytest.approx(AHEAD + step, abs=0.05)


def test_what_lay_in_a_buffer_is_no_step():
    clocks = Clocks()
    measured(clocks, BEGUN, AHEAD)
    clocks.reckon("g", BEGUN + AHEAD, None, BEGUN + 4)  # nobody asked for it, and the loop stood still
    clocks.reckon("g", BEGUN + 1 + AHEAD, BEGUN + 1, BEGUN + 5)  # an answer that was there long before
    assert ahead(clocks) == pytest.approx(AHEAD, abs=0.05)


def test_a_worse_measurement_counts_when_the_good_one_is_old():
    clocks = Clocks()
    measured(clocks, BEGUN, AHEAD)
    measured(clocks, BEGUN + 10, AHEAD + 0.05, way=0.1)
    assert ahead(clocks) == pytest.approx(AHEAD, abs=0.001)
    measured(clocks, BEGUN + 100, AHEAD + 0.05, way=0.1)
    assert ahead(clocks) == pytest.approx(AHEAD + 0.05, abs=0.001)
