"""Gateways that are killed, paused and cut off: nothing lost, doubled or told that is not so; and a checker that notices mistakes.

CLUSTER_ROUNDS (3, or 30) and CLUSTER_SEED (1) in the environment; `pytest -m cluster tests/cluster/test_faults.py` for thirty rounds of each.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from attrs import evolve

HERE = Path(__file__).parent
for name, path in (
    ("crash", HERE.parent / "crash" / "__init__.py"),
    ("cluster_servers", HERE / "servers.py"),
    ("cluster_faults", HERE / "faults" / "__init__.py"),
):
    spec = importlib.util.spec_from_file_location(name, path)
    if name not in sys.modules:  # tests are not a package (importlib mode)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])

from cluster_faults.checker import check  # noqa: E402
from cluster_faults.lane import Lane, Settings  # noqa: E402

SEED = int(os.environ.get("CLUSTER_SEED", "1"))
ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "3"))
LONG_ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "30"))
SHOWN = 10
LONGEST_GAP = 1.5
FAULTS = {
    "kill": Settings(fault="kill"),
    "pause": Settings(fault="pause"),
    "broker": Settings(fault="broker"),
    "partition": Settings(fault="partition"),
    "all": Settings(fault="all", lost=0.05),
}


def tell(line):
    print(line, flush=True)  # noqa: T201 - how far it has come


async def found(folder, rounds, settings):
    lane = Lane(SEED, folder, settings, tell)
    verdict = check(await lane.run(rounds))
    tell(f"seed {SEED}, {settings.fault} x {rounds}: {dict(verdict.counts)}")
    tell(f"without an owner: {[round(gap, 2) for gap in sorted(lane.gaps)]}")
    for finding in verdict.findings[:SHOWN]:
        tell(str(finding))
    return verdict, lane.gaps


async def proven(folder, rounds, settings):
    verdict, gaps = await found(folder, rounds, settings)
    assert not Counter(finding.kind for finding in verdict.findings)
    assert verdict.counts["operations"] > 64 * rounds
    assert len(gaps) == rounds
    return gaps


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_lost(tmp_path, fault):
    await proven(tmp_path, ROUNDS, evolve(FAULTS[fault], calm=0.3, rest=0.15))  # with time for the tests beside it


@pytest.mark.cluster
@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_lost_in_thirty_rounds(tmp_path, fault):
    gaps = await proven(tmp_path, LONG_ROUNDS, FAULTS[fault])
    assert max(gaps) <= LONGEST_GAP


# -- that the checker sees


async def test_without_a_fence_orders_are_placed_that_were_refused(tmp_path):
    settings = Settings(fault="pause", mistake="no_fence", pause=4.0, quiet=0.4, deadlines=(6.0,))
    verdict, _ = await found(tmp_path, 1, settings)
    assert verdict.kinds & {"GHOST", "DOUBLED"}


async def test_what_is_sent_again_blindly_is_doubled(tmp_path):
    verdict, _ = await found(tmp_path, 1, Settings(fault="kill", mistake="resend"))
    assert "DOUBLED" in verdict.kinds
