"""kill -9 at random points: nothing lost, doubled or reported that is not so, and a checker that has been seen to notice each of these.

CRASH_SEED (1) and CRASH_ROUNDS (20, or 200) in the environment; `pytest -m crash tests/test_crash.py` for two hundred rounds.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from attrs import evolve

_spec = importlib.util.spec_from_file_location("crash", Path(__file__).parent / "crash" / "__init__.py")
sys.modules.setdefault("crash", importlib.util.module_from_spec(_spec))  # tests are not a package (importlib mode)

from crash.checker import check  # noqa: E402
from crash.history import CANCELLED, FILLED, Arrival, Evidence, Row  # noqa: E402
from crash.lane import Lane, Settings  # noqa: E402
from crash.plan import Plan  # noqa: E402
from crash.powercut import NoPowerCuts  # noqa: E402

SEED = int(os.environ.get("CRASH_SEED", "1"))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "20"))
LONG_ROUNDS = int(os.environ.get("CRASH_ROUNDS", "200"))
LANES = 4  # series that run side by side: a process that recovers waits, mostly
SHOWN = 10  # findings


def tell(line):
    print(line, flush=True)  # noqa: T201 - how far it has come


async def crash(folder, rounds, lanes, settings=None, seed=SEED):
    """Several series of processes side by side. Returns the findings, and the counts of all."""
    made = []
    for number in range(lanes):
        own = folder / f"lane-{number}"
        own.mkdir()
        made.append(Lane(seed, number, own, settings or Settings(), tell))
    begun = time.monotonic()
    shares = [rounds // lanes + (number < rounds % lanes) for number in range(lanes)]
    verdicts = [check(one) for one in await asyncio.gather(*map(Lane.run, made, shares))]
    found = [
        evolve(each, text=f"lane {n}: {each.text}") for n, verdict in enumerate(verdicts) for each in verdict.findings
    ]
    counts = sum((verdict.counts for verdict in verdicts), Counter())
    tell(f"seed {seed}, {rounds} rounds in {time.monotonic() - begun:.0f} s: {dict(counts)}")
    return found, counts


def nothing(found):
    """Nothing was found; else it is shown."""
    tell(f"seed {SEED}: found {dict(Counter(finding.kind for finding in found))}")
    for finding in found[:SHOWN]:
        tell(str(finding))
    return not found


# -- the proof


async def proven(folder, rounds):
    found, counts = await crash(folder, rounds, LANES)
    assert nothing(found)
    assert counts["rounds"] == rounds
    assert counts["in doubt after a restart"] > rounds  # else nothing was proven
    assert counts["resolved"] > rounds / 2


async def test_nothing_is_lost_in_twenty_rounds(tmp_path):
    await proven(tmp_path, ROUNDS)


@pytest.mark.crash
async def test_nothing_is_lost_in_two_hundred_rounds(tmp_path):
    await proven(tmp_path, LONG_ROUNDS)


async def with_power_cuts(folder, rounds, **settings):
    """The findings of a series whose disk loses what was not synced."""
    plans = at(venue="qfex", verb="submit", point="executed", count=10)
    try:
        return await crash(folder, rounds, 1, Settings(power_cuts=True, plans=plans, **settings))
    except NoPowerCuts as error:
        pytest.skip(str(error))


async def test_nothing_is_lost_when_the_power_is_cut(tmp_path):
    found, counts = await with_power_cuts(tmp_path, 3)
    assert nothing(found)
    assert counts["in doubt after a restart"] > 3


# -- that the checker sees: mistakes that a Router might make


def at(**where):
    """Every process is killed there."""
    return lambda chance: Plan(**{"kind": "venue"} | where)


async def kinds(folder, rounds, **settings):
    """The kinds of what is found in a series."""
    found, _ = await crash(folder, rounds, 1, Settings(**settings))
    return {finding.kind for finding in found}


async def test_without_a_journal_orders_are_lost(tmp_path):
    there = at(venue="b2trader", verb="submit", point="executed", count=5)
    assert await kinds(tmp_path, 2, journal=False, plans=there) >= {"LOST", "UNTOLD"}


async def test_what_is_sent_again_blindly_is_doubled(tmp_path):
    there = at(venue="qfex", verb="submit", point="executed", count=5)
    assert "DOUBLED" in await kinds(tmp_path, 2, mistake="resend", plans=there)


async def test_what_is_written_behind_its_bytes_is_lost(tmp_path):
    there = at(kind="own", point="after_write", count=5)
    assert {"AHEAD", "UNTOLD"} <= await kinds(tmp_path, 3, mistake="behind", plans=there)


async def test_who_asks_too_early_calls_orders_not_placed_that_live(tmp_path):
    there = at(venue="qfex", verb="submit", point="read", count=8)
    assert "GHOST" in await kinds(tmp_path, 3, quiet=0.05, late=1.0, plans=there)


async def test_what_is_not_synced_is_lost_when_the_power_is_cut(tmp_path):
    found, _ = await with_power_cuts(tmp_path, 2, durability="process")
    assert {"LOST", "AHEAD"} <= {finding.kind for finding in found}


# -- that the checker sees: each kind by itself, in histories made by hand


def line(what, process, at, **facts):
    return {"what": what, "process": process, "at": at, **facts}


def said(verb, outcome, **facts):
    plain = {"venue": "v", "verb": verb, "outcome": outcome, "reason": None, "text": "", "journaled": True}
    if verb == "cancel":
        plain |= {"id": "i", "kind": "order", "took": []}
    elif verb == "submit":
        plain |= {"order_id": "i", "client_order_id": "c", "name": "c"}
    return plain | facts


def order(**facts):
    return Row(**{"venue": "v", "id": "i", "name": "c", "born": 1.5} | facts)


def read(verb="submit", name="c", process=1, **facts):
    return Arrival(**{"venue": "v", "at": 1.4, "process": process, "verb": verb, "name": name} | facts)


SUBMIT = line("call", 1, 1.0, number=1, verb="submit", venue="v", name="c", client_order_id="c")
PLACED = line("told", 1, 2.0, number=1, **said("submit", "confirmed"))
CANCEL = line("call", 1, 3.0, number=2, verb="cancel", venue="v", name="c", order_id="i", by="id")
GONE = line("told", 1, 4.0, number=2, **said("cancel", "confirmed", took=["i"]))
REPLACE = line("call", 1, 3.0, number=2, verb="replace", venue="v", name="c", order_id="i", price="7")
ENDED = {"ended": 3.5, "end": CANCELLED}
SWEEP = line("call", 1, 3.0, number=2, verb="cancel_all", venue="v")
SWEPT = line("told", 1, 4.0, number=2, **said("cancel_all", "confirmed"))
NO_ORDER = {"outcome": "refused", "reason": "UNKNOWN_ORDER"}
IN_DOUBT = {"op": "o", "venue": "v", "verb": "submit", "order_id": None, "client_order_id": "c", "state": "intent"}


def recovered(*reports, own=("i",), listed=()):
    """The second process has found these."""
    return [
        line("recovered", 2, 6.0, reports=list(reports)),
        line("known", 2, 7.0, own={"v": list(own)}, listed={"v": list(listed)}),
    ]


def found(*lines, rows=(), arrivals=(), **known):
    evidence = Evidence(lines=list(lines), rows=list(rows), arrivals=list(arrivals), **known)
    return [finding.kind for finding in check(evidence).findings]


TOLD = [SUBMIT, PLACED]
LATER = line("recovered", 3, 9.0, reports=[said("submit", "confirmed")])
TAKEN, HELD = read("cancel", by="client", at=3.2), read("cancel", process=2, by="client", at=5.0)
REPLACED = said("replace", "confirmed", order_id="i", id="i", price="7", name="c")


@pytest.mark.parametrize(
    ("kinds", "lines", "known"),
    [
        (["LOST"], [*TOLD, *recovered(own=())], {"rows": [order()]}),
        (["LOST"], [*TOLD, *recovered()], {"rows": [order()], "deaths": {1: -9, 2: 0}}),
        (["LOST"], [*TOLD, *recovered(said("submit", "unknown"), own=())], {"rows": [order()]}),
        (["DOUBLED"], TOLD, {"rows": [order()], "arrivals": [read(), read()]}),
        (["DOUBLED"], TOLD, {"rows": [order(), order(id="j")], "arrivals": [read()]}),
        (["DOUBLED"], [*TOLD, REPLACE], {"rows": [order()], "arrivals": [read("replace", "i@7")] * 2}),
        (["GHOST"], [SUBMIT, line("told", 1, 2.0, number=1, **said("submit", "refused"))], {"rows": [order()]}),
        (["GHOST"], [SUBMIT, *recovered(said("submit", "refused"))], {"rows": [order()]}),
        (["GHOST"], [SUBMIT, line("told", 1, 2.0, number=1, **said("submit", "not_sent"))], {"arrivals": [read()]}),
        (["OPEN"], [*TOLD, CANCEL, GONE], {"rows": [order()]}),
        (["OPEN"], [*TOLD, CANCEL, GONE], {"rows": [order(ended=4.5, end=CANCELLED)]}),
        (["OPEN"], [*TOLD, CANCEL, GONE], {"rows": [order(ended=3.5, end=FILLED)]}),
        (["OPEN"], [*TOLD, *recovered(said("cancel", "confirmed"))], {"rows": [order()]}),
        (["OPEN"], [*TOLD, *recovered(said("cancel", "confirmed", id="c", kind="client_order"))], {"rows": [order()]}),
        (["OPEN"], [*TOLD, SWEEP, SWEPT], {"rows": [order()]}),
        (["UNTOLD"], [SUBMIT, *recovered()], {"arrivals": [read()]}),
        (["UNTOLD"], [SUBMIT, *recovered(), LATER], {"rows": [order()], "arrivals": [read()]}),
        (["UNTOLD"] * 2, [SUBMIT, *recovered()], {"arrivals": [read()], "journals": {2: [IN_DOUBT]}}),
        (["UNTOLD"], [*TOLD, *recovered()], {"rows": [order()], "journals": {2: [IN_DOUBT]}}),
        (["UNTOLD"], [*TOLD, *recovered()], {"rows": [order()], "journals": {2: [IN_DOUBT | {"verb": "cancel"}]}}),
        (["FALSE"], TOLD, {}),
        (["FALSE"], TOLD, {"rows": [order(id="j")]}),
        (["FALSE"], TOLD, {"rows": [order(born=2.5)]}),
        (
            ["FALSE"],
            [*TOLD, CANCEL, GONE | {"outcome": "refused", "reason": "TOO_LATE_TO_CANCEL"}],
            {"rows": [order(**ENDED)]},
        ),
        (["FALSE"], [*TOLD, CANCEL, GONE | NO_ORDER], {"rows": [order(**ENDED)]}),
        (["FALSE"], [*TOLD, REPLACE, line("told", 1, 4.0, number=2, **REPLACED)], {"rows": [order(prices=[5])]}),
        (
            ["FALSE"],
            [*TOLD, REPLACE, line("told", 1, 4.0, number=2, **REPLACED | {"outcome": "refused"})],
            {"rows": [order(prices=[5, 7])]},
        ),
        (["AHEAD"], [SUBMIT, PLACED], {"rows": [order()], "arrivals": [read()], "journals": {2: []}}),
        (["AHEAD"], [SUBMIT], {"arrivals": [read()], "journals": {2: [IN_DOUBT | {"verb": "cancel"}]}}),
        (["STRAY"], TOLD, {"rows": [order()], "arrivals": [read(process=2)]}),
        (["STRAY"], TOLD, {"rows": [order()], "arrivals": [read("cancel", process=2, by="client")]}),
        (
            ["STRAY"],
            [*TOLD, CANCEL],
            {"rows": [order()], "arrivals": [TAKEN, read("cancel", process=2, by="client", at=5.0)]},
        ),
        (["STRAY"], TOLD, {"rows": [order()], "arrivals": [read("cancel_all", "", process=2)]}),
        (["FOREIGN"], [], {"rows": [order(foreign=True, **ENDED)]}),
        (["BROKEN"], [], {"mistakes": ["it fell over"]}),
    ],
)
def test_the_checker_sees_what_is_not_so(kinds, lines, known):
    assert found(*lines, **known) == kinds


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        ([*TOLD, *recovered()], {"rows": [order()], "arrivals": [read()]}),
        ([SUBMIT, *recovered(said("submit", "confirmed"))], {"rows": [order()], "arrivals": [read()]}),
        ([SUBMIT, *recovered(said("submit", "unknown"), own=())], {"rows": [order()], "arrivals": [read()]}),
        ([SUBMIT, *recovered(said("submit", "refused"), own=())], {"arrivals": [read()]}),
        ([SUBMIT, *recovered(own=())], {}),
        (
            [SUBMIT, *recovered()],
            {"rows": [order()], "arrivals": [read()], "journals": {2: [IN_DOUBT | {"state": "confirmed"}]}},
        ),
        ([SUBMIT, *recovered(said("submit", "confirmed"))], {"rows": [order()], "journals": {2: [IN_DOUBT]}}),
        ([*TOLD, *recovered()], {"rows": [order()], "journals": {2: [IN_DOUBT | {"verb": "cancel_all"}]}}),
        (
            [*TOLD, *recovered(said("cancel", "unknown", id="c", kind="client_order"))],
            {
                "rows": [order()],
                "journals": {2: [IN_DOUBT | {"verb": "cancel", "order_id": "i", "client_order_id": None}]},
            },
        ),
        (TOLD, {"rows": [order()], "arrivals": [read()], "journals": {2: [IN_DOUBT]}}),
        ([*TOLD, CANCEL, GONE], {"rows": [order(**ENDED)], "arrivals": [read(), read("cancel", "i")]}),
        ([*TOLD, CANCEL], {"rows": [order()], "arrivals": [read("cancel", "i")] * 3}),
        ([*TOLD, CANCEL], {"rows": [order()], "arrivals": [HELD]}),  # it was held
        ([SUBMIT, CANCEL], {"rows": [order(born=4.0)], "arrivals": [TAKEN, HELD]}),  # the first found nothing
        (
            [*TOLD, CANCEL, GONE | {"outcome": "refused", "reason": "TOO_LATE_TO_CANCEL"}],
            {"rows": [order(ended=3.5, end=FILLED)]},
        ),
        ([*TOLD, CANCEL, CANCEL | {"number": 3}, GONE | NO_ORDER], {"rows": [order(**ENDED)]}),
        ([*TOLD, CANCEL, SWEEP | {"number": 3}, GONE | NO_ORDER], {"rows": [order(**ENDED)]}),
        ([*TOLD, CANCEL | {"number": 3}, CANCEL | {"at": 3.8}, GONE | NO_ORDER], {"rows": [order(**ENDED)]}),
        ([*TOLD, REPLACE, line("told", 1, 4.0, number=2, **REPLACED)], {"rows": [order(prices=[5, 7])]}),
        ([*TOLD, *recovered(own=())], {"rows": [order(**ENDED)], "deaths": {1: -9, 2: 0}}),
        ([*TOLD, SWEEP, SWEPT], {"rows": [order(**ENDED)], "arrivals": [read("cancel_all", "")]}),
        ([*TOLD, SWEEP, SWEPT | {"outcome": "unknown"}], {"rows": [order()]}),
        ([SWEEP, SUBMIT | {"at": 3.5}, SWEPT], {"rows": [order(born=3.9)]}),
        ([SUBMIT | {"process": 2}, *recovered(own=())], {"rows": [order()]}),  # it was placed meanwhile
        ([], {"rows": [order(foreign=True)]}),
    ],
)
def test_the_checker_sees_what_is_so(lines, known):
    assert found(*lines, **known) == []


def test_what_is_counted():
    lines = [SUBMIT, PLACED, CANCEL, *recovered(said("cancel", "unknown"))]
    counts = check(Evidence(lines=lines, rows=[order()], arrivals=[read()], deaths={1: -9, 2: 0})).counts
    wanted = {"operations": 2, "rounds": 1, "read": 1, "untold when killed": 1, "in doubt after a restart": 1}
    assert counts == Counter(wanted | {"recovered": 1, "resolved": 0, ("UNKNOWN still", "v", "cancel"): 1})
