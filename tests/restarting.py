"""What tests of a restart share: venues with a short quiet period, and a crash without a process.

A crash is made by copying the journal's files as they are at that moment, as a killed process leaves them, and by opening
the next Router on the copy; what the first one goes on writing never gets there.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from attrs import evolve

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.codec import SPEC, QfexCodec
from adapters.qfex.simulator import QfexSimulator
from router import Order, Outcome, Router
from router.session import Session
from router.testing import Switches

QUIET = 0.4
CANCELS = ("cancel_order", "cancel_stop_order")
ADD = frozenset({"add_order"})
crashes = count(1)


def qfex(sim: QfexSimulator, **changes: Any) -> Session:
    """QFEX with a quiet period that a test can wait for."""
    spec = evolve(SPEC, url=sim.url, **{"quiet_period": QUIET} | changes)
    session = Session(QfexCodec(spec=spec, public_key=sim.public_key, secret_key=sim.secret_key))
    session.account = "ours"
    return session


def limit(**changes: Any) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


def crash(journal: Path) -> Path:
    """The journal as it would be if the process died now."""
    folder = journal.parent / f"crash-{next(crashes)}"
    folder.mkdir()
    for name in (journal.name, f"{journal.name}-wal", f"{journal.name}-lock"):
        if (journal.parent / name).exists():
            shutil.copy(journal.parent / name, folder / name)
    return folder / journal.name


async def durable(router: Router, number: int = 0) -> None:
    """Everything that was written of so far is on the disk."""
    journal = router._journal
    assert await journal.written(number or journal._number, 5) or journal._number == 0


@asynccontextmanager
async def restarted(sim: QfexSimulator, journal: Path, **changes: Any) -> AsyncIterator[Router]:
    async with Router({"qfex": qfex(sim)}, journal=crash(journal), **changes) as router:
        yield router


def open_ids(sim: QfexSimulator) -> set[str]:
    return set(sim.book)


async def in_doubt(router: Router, order: Order, sim: QfexSimulator, **switches: bool) -> None:
    """A submit that the venue does not answer, and of which the journal's intent is durable."""
    sim.switches = Switches(only=ADD, **switches)
    report = await router.submit(order, deadline=0.1)
    assert report.outcome is Outcome.UNKNOWN
    assert report.journaled is True
    await durable(router)
    sim.switches = Switches()


def b2trader(sim: B2TraderSimulator) -> B2Trader:
    """B2TRADER with a quiet period that a test can wait for."""
    found = B2Trader(**sim.credentials)
    found.through(lambda codec: evolve(codec, spec=evolve(codec.spec, quiet_period=0.2)))
    return found


def spot() -> Order:
    return Order("b", "spot.btc_usdt", "buy", "limit", "0.02", "100")


def dmex(sim: DmexSimulator, quiet: float = 0.2) -> Dmex:
    """DMEX with REST, an encoder, and a quiet period that a test can wait for."""
    found = Dmex(**sim.credentials, order_encoder=sim.bench.encode)
    found.through(lambda codec: evolve(codec, spec=evolve(codec.spec, quiet_period=quiet)))
    return found


def future() -> Order:
    return Order("dmex", "btcusd", "buy", "limit", "0.5", "60000", options={"leverage": 10})
