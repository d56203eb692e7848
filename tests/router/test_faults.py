"""The catalogue of faults, what is drawn on a seed, and what a fault makes of bytes. Venues are in their own folders."""

import asyncio
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router.testing import Fate, Fault, Faults, Point, Simulator, Struck, spoiling
from router.testing.requested import Requested

VENUES = [QfexSimulator, B2TraderSimulator, DmexSimulator]
COMMANDS = frozenset({"add", "cancel"})


def able(fault, command):
    return ""


def chance(seed):
    return random.Random(seed)  # noqa: S311 - faults are no secret


def drawn(faults, traffic):
    return [faults.draw(command, 1)[0] for command in traffic]


# -- the catalogue


def test_numbers_are_unique_and_faults_are_listed_in_the_order_of_a_commands_life():
    assert [fault.number for fault in Fault] == list(range(1, len(Fault) + 1))
    points = list(Point)
    assert sorted(Fault, key=lambda fault: points.index(fault.point)) == list(Fault)
    assert all(fault.sentence.endswith(".") and fault.sentence.count("\n") == 0 for fault in Fault)


def test_a_fault_is_found_by_its_name_however_its_words_are_joined():
    assert Fault.named(" Hang-Up-Unread ") is Fault.HANG_UP_UNREAD
    assert [Fault.named(fault) for fault in Fault] == list(Fault)
    with pytest.raises(ValueError, match="'slow' is no fault; known: hang_up_unread, slow_reader, deaf"):
        Fault.named("slow")


@pytest.mark.parametrize("venue", VENUES)
def test_each_fault_can_be_had_or_is_refused_with_a_reason(venue):
    for fault in Fault:
        simulator = venue()
        reason = simulator.supports(fault)
        if reason:
            with pytest.raises(ValueError, match=f"^{fault}: {reason}$"):
                simulator.inject(fault)
            with pytest.raises(ValueError, match=reason):
                simulator.faults.random(0.1, among=(Fault.MUTE, fault))
            assert simulator.faults.injected == []
        else:
            simulator.inject(fault)
            assert [injection.faults for injection in simulator.faults.injected] == [(fault,)]


def test_what_each_venue_cannot_have():
    cannot = {venue.__name__: {fault for fault in Fault if venue().supports(fault)} for venue in VENUES}
    assert cannot == {
        "QfexSimulator": {Fault.HTML_ERROR, Fault.REDIRECT},
        "B2TraderSimulator": {Fault.FLOOD, Fault.DUPLICATE},
        "DmexSimulator": {
            *(Fault.HTML_ERROR, Fault.REDIRECT, Fault.EXPIRED_TOKEN),
            *(Fault.CLOCK_SKEW, Fault.THROTTLED, Fault.THROTTLED_NO_HINT),
        },
    }


def test_what_can_be_had_depends_on_the_command():
    venue = DmexSimulator()
    assert venue.supports(Fault.REDIRECT, "GET orders") == ""
    assert venue.supports(Fault.DUPLICATE, "GET orders") == "HTTP has one answer per request"
    assert venue.supports(Fault.DUPLICATE, "GET orders", "cancel_order") == ""
    venue.inject(Fault.DUPLICATE, only=("GET orders", "cancel_order"))
    assert venue.faults.draw("GET orders", 0)[0] is None
    assert venue.faults.draw("cancel_order", 1)[0] is Fault.DUPLICATE


@pytest.mark.parametrize("only", [("cancel_orders",), (), ("GET orders",)])
def test_a_command_that_the_venue_does_not_know_is_refused(only):
    with pytest.raises(ValueError, match="known: add_order, add_twap, auth, cancel_all_orders"):
        QfexSimulator().inject(Fault.MUTE, only=only)


def test_a_simulator_that_never_asks_has_switches_only():
    class Plain(Simulator):
        url = credentials = environment = ""

        async def start(self): ...

        async def stop(self): ...

    with pytest.raises(ValueError, match="mute: this simulator has switches only"):
        Plain().inject(Fault.MUTE)


# -- what is drawn


def test_a_fault_strikes_so_many_commands_that_it_covers():
    faults = Faults(able, COMMANDS)
    faults.add([Fault.MUTE], None, 2, 1.0)
    assert drawn(faults, ["list", "cancel", "list", "add", "cancel"]) == [None, Fault.MUTE, None, Fault.MUTE, None]
    faults.add([Fault.DEAF], {"list"}, None, 1.0)
    assert drawn(faults, ["list", "cancel", "list"]) == [Fault.DEAF, None, Fault.DEAF]
    assert faults.struck == [
        *(Struck(Fault.MUTE, "cancel", 1), Struck(Fault.MUTE, "add", 1)),
        *[Struck(Fault.DEAF, "list", 1)] * 2,
    ]


def test_the_oldest_injection_strikes_first_and_only_one_does():
    faults = Faults(able, COMMANDS)
    faults.add([Fault.MUTE], None, 1, 1.0)
    faults.add([Fault.DEAF], None, None, 1.0)
    assert drawn(faults, ["add"] * 3) == [Fault.MUTE, Fault.DEAF, Fault.DEAF]


@given(st.integers(), st.lists(st.sampled_from(["add", "cancel", "list", "login"]), max_size=60))
def test_the_same_seed_and_traffic_give_the_same_faults(seed, traffic):
    runs = []
    for more in ([], ["list"] * 5):  # what is not covered draws nothing
        faults = Faults(able, COMMANDS, seed)
        faults.add([Fault.HANG_UP_READ], {"cancel"}, None, 0.2)
        faults.random(0.5)
        assert drawn(faults, more) == [None] * len(more)
        runs.append([(fault, source.random()) for fault, source in (faults.draw(each, 1) for each in traffic) if fault])
    assert runs[0] == runs[1]


def test_another_seed_gives_other_faults_and_the_seed_can_be_set_again():
    faults = Faults(able, COMMANDS, 1)
    faults.random(0.5)
    first, faults.seed = drawn(faults, ["add"] * 50), 2
    second, faults.seed = drawn(faults, ["add"] * 50), 1
    assert (drawn(faults, ["add"] * 50), faults.seed) == (first, 1)
    assert second != first
    assert 10 < len([fault for fault in first if fault]) < 40


def test_random_draws_what_ends_with_its_command_or_what_it_is_told():
    faults = Faults(able, COMMANDS)
    faults.random(1.0)
    assert set(drawn(faults, ["add"] * 2000)) == set(Fault) - {Fault.CLOCK_SKEW}
    faults.clear()
    faults.random(1.0, among=(Fault.CLOCK_SKEW,), only=("login",))
    assert drawn(faults, ["add", "login"]) == [None, Fault.CLOCK_SKEW]


def test_clearing_ends_what_was_injected_and_keeps_the_record():
    faults = Faults(able, COMMANDS)
    faults.add([Fault.CLOCK_SKEW], None, None, 1.0)
    assert drawn(faults, ["add"]) == [Fault.CLOCK_SKEW]
    assert 1200 <= abs(faults.skew) <= 7200
    faults.clear()
    assert (drawn(faults, ["add"]), faults.skew, faults.injected) == ([None], 0.0, [])
    assert faults.struck == [Struck(Fault.CLOCK_SKEW, "add", 1)]


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_is_one(probability):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        Faults(able, COMMANDS).random(probability)


async def test_two_answers_of_a_line_change_places_and_a_third_waits_for_a_fourth():
    faults, order = Faults(able, COMMANDS), []

    async def answer(name, line="a"):
        assert await faults.keep(line) is Fate.SEND
        order.append(name)
        faults.let_go(line)

    tasks = [asyncio.create_task(answer(name)) for name in ("one", "two", "three")]
    tasks.append(asyncio.create_task(answer("elsewhere", "b")))
    await tasks[1]
    await tasks[0]
    assert order == ["two", "one"]
    assert not tasks[2].done()
    faults.clear()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)
    assert sorted(order[2:]) == ["elsewhere", "three"]


def test_what_is_requested_by_name():
    assert str(Requested.read("mute=0.25")) == "mute=0.25"
    assert str(Requested.read("Hang-Up-Read")) == "hang_up_read"
    assert Requested.read("random=0.5").fault is None
    for text in ("mute=", "mute=x", "mute=2", "mute=nan", "nothing"):
        with pytest.raises(ValueError, match=r"expected 0 to 1|is no fault"):
            Requested.read(text)
    venue = DmexSimulator()
    assert Requested.read("redirect").apply(venue) == "a WebSocket message cannot redirect"
    assert Requested.read("random=0.5").apply(venue) == Requested.read("mute").apply(venue) == ""
    assert [(len(each.faults) > 1, each.probability) for each in venue.faults.injected] == [(True, 0.5), (False, 1.0)]


# -- what becomes of bytes

ANSWERS = st.recursive(st.none() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=8).map(
    lambda value: json.dumps({"": value}).encode()
)


@given(ANSWERS, st.integers())
def test_a_spoilt_answer_is_as_spoilt_as_it_says(answer, seed):
    garbled, binary, cut = (
        spoiling.spoil(fault, answer, chance(seed)) for fault in (Fault.GARBLE, Fault.NOT_UTF8, Fault.TRUNCATE)
    )
    assert garbled.decode()
    assert answer.startswith(cut)
    assert 0 < len(cut) < len(answer) == len(garbled) == len(binary)
    for text in (garbled, cut):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text.decode())
    with pytest.raises(UnicodeDecodeError):
        binary.decode()


@given(st.binary(), st.integers())
def test_pieces_make_the_whole_and_a_half_never_does(answer, seed):
    parts = spoiling.pieces(answer, chance(seed))
    assert (b"".join(parts), len(parts) > 1) == (answer, True)
    assert len(answer) < 2 or all(parts)
    begun = spoiling.half(answer, chance(seed))
    assert answer.startswith(begun)
    assert len(answer) < 2 or 0 < len(begun) < len(answer)


def test_an_empty_answer_stays_empty():
    assert {spoiling.spoil(fault, b"", chance(1)) for fault in Fault} == {b""}
