"""What the tests of several venues need: running simulators, Routers connected to them, and who a frame answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Router
from router.matching import Outstanding, Pending
from router.venue import Answer, Codec, Frame, Wire, read

NOW = 1_760_545_414.0


@pytest.fixture
async def qfex_sim() -> AsyncIterator[QfexSimulator]:
    async with QfexSimulator() as simulator:
        yield simulator


@pytest.fixture
async def qfex(qfex_sim: QfexSimulator) -> AsyncIterator[Router]:
    async with Router({"qfex": Qfex(**qfex_sim.credentials)}) as router:
        yield router


@pytest.fixture
async def b2_sim() -> AsyncIterator[B2TraderSimulator]:
    async with B2TraderSimulator() as simulator:
        yield simulator


@pytest.fixture
async def b2(b2_sim: B2TraderSimulator) -> AsyncIterator[Router]:
    async with Router({"xbtfx": B2Trader(**b2_sim.credentials)}) as router:
        yield router


@pytest.fixture
async def dmex_sim() -> AsyncIterator[DmexSimulator]:
    async with DmexSimulator() as simulator:
        yield simulator


@pytest.fixture
async def dmex(dmex_sim: DmexSimulator) -> AsyncIterator[Router]:
    """Without the REST address, as by default."""
    async with Router({"dmex": Dmex(dmex_sim.private_key, url=dmex_sim.url)}) as router:
        yield router


@pytest.fixture
async def clock() -> Callable[[], float]:
    """The loop's clock, which deadlines are measured by."""
    return asyncio.get_running_loop().time


@pytest.fixture
def heard() -> Callable[..., list[list[Answer]]]:
    """What each of several outstanding requests hears of a frame: codec, frame, *wires -> a list of Answers per wire."""

    def hear(codec: Codec, frame: Any, *wires: Wire) -> list[list[Answer]]:
        line, pending = Outstanding(), [Pending(wire, 0.0) for wire in wires]
        for each in pending:
            line.add(each)
        items = read(codec, Frame(body=frame if isinstance(frame, bytes) else json.dumps(frame).encode()), NOW)
        matched = [(each, item) for item in items if isinstance(item, Answer) for each in line.match(item)]
        return [[item for each, item in matched if each is one] for one in pending]

    return hear
