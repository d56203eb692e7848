"""A running simulated exchange of ccxt's, and a Router connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from adapters.ccxt_bridge import Ccxt
from adapters.ccxt_bridge.simulator import CcxtSimulator
from router import Router

QUIET = 0.3


@pytest.fixture
async def sim() -> AsyncIterator[CcxtSimulator]:
    async with CcxtSimulator() as simulator:
        yield simulator


@pytest.fixture
async def adapter(sim: CcxtSimulator) -> Ccxt:
    return Ccxt(**sim.credentials, quiet_period=QUIET)


@pytest.fixture
async def router(adapter: Ccxt) -> AsyncIterator[Router]:
    async with Router({"ex": adapter}) as connected:
        yield connected
