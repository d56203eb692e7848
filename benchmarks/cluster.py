"""What a gateway costs: strategy, NATS, gateway, venue, each a process, beside the embedded Router on the same venue.

python -m benchmarks.cluster [--quick] [--rounds N] [--json FILE]; needs nats-server, and the extra `cluster`.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from attrs import frozen

from benchmarks import ground
from benchmarks.brokers import broker, gateway
from benchmarks.ground import AGAIN, Arm, Report, Row, Samples, row
from benchmarks.trading import Trader, router_on
from benchmarks.venue import Venue
from router import AnyRouter
from router.cluster import RemoteRouter

__all__ = ["main", "measure"]

REMOTE: Final = "through a gateway"
EMBEDDED: Final = "embedded, with a journal"
BARE: Final = "embedded, without a journal"
FLYING: Final = (32, 256)
CANCEL, SUBMIT = "cancel, end to end", "submit, end to end"
GOALS: Final = {CANCEL: 4.0, SUBMIT: 4.0}
"""At most so much of the embedded Router's time."""
THROUGHPUT: Final = 0.45
"""At least so much of its cancels per second."""


@frozen
class Turns:
    """How much each turn does."""

    alone: int
    each: int

    @classmethod
    def of(cls, size: ground.Size) -> Turns:
        return cls(30, 3) if size.quick else cls(100, 10)


async def measure(size: ground.Size) -> Report:
    """A command through a gateway, one after the other and many in flight, against the embedded Router."""
    turns = Turns.of(size)
    async with Venue() as venue, AsyncExitStack() as stack:
        traders = await _open(venue, stack)
        alone: dict[str, Arm] = {name: partial(trader.in_turn, turns.alone) for name, trader in traders.items()}
        samples = await ground.interleave(alone, size.rounds)
        rows = [*_times(samples)]
        for callers in FLYING:
            arms: dict[str, Arm] = {
                name: partial(trader.at_once, callers, turns.each) for name, trader in traders.items()
            }
            rows += _rates(await ground.interleave(arms, size.rounds), callers)
    return Report(name="A command through a gateway", rows=rows, facts=_facts(samples))


async def _open(venue: Venue, stack: AsyncExitStack) -> dict[str, Trader]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="router-benchmark-")))
    url = await stack.enter_async_context(broker(folder))
    await stack.enter_async_context(gateway(folder, url, venue.url))
    routers: dict[str, AnyRouter] = {
        EMBEDDED: router_on(venue, folder / "one.journal"),
        EMBEDDED + AGAIN: router_on(venue, folder / "two.journal"),
        BARE: router_on(venue),
        REMOTE: RemoteRouter(url),
    }
    for router in routers.values():
        await stack.enter_async_context(router)
    traders = {name: Trader(router, venue) for name, router in routers.items()}
    for trader in traders.values():
        await trader.at_once(FLYING[0], 2)
    return traders


def _times(samples: Samples) -> list[Row]:
    rows = [row(samples, what, REMOTE, EMBEDDED, most=most) for what, most in GOALS.items()]
    rows += [row(samples, what, REMOTE, BARE) for what in GOALS]
    return rows + [row(samples, f"{what}, CPU of the loop", REMOTE, EMBEDDED) for what in ("cancel", "submit")]


def _rates(samples: Samples, callers: int) -> list[Row]:
    what = f"cancels, {callers} in flight"
    return [
        row(samples, what, REMOTE, EMBEDDED, unit="/s", least=THROUGHPUT),
        row(samples, what, REMOTE, BARE, unit="/s"),
    ]


def _facts(samples: Samples) -> dict[str, str]:
    """What is added, which is the same for a venue that is far away."""

    def added(what: str, base: str) -> float:
        return median(one - other for one, other in zip(samples[REMOTE][what], samples[base][what], strict=True))

    loop = asyncio.get_running_loop()
    return {
        "added by the gateway": f"{added(CANCEL, EMBEDDED):.0f} us to a cancel, {added(SUBMIT, EMBEDDED):.0f} us to a submit "
        "(the median of the rounds' own differences)",
        "loop": f"{type(loop).__module__}.{type(loop).__qualname__}, in the strategy and in the gateway",
        "processes": "the strategy, nats-server, the gateway and the venue, a process each",
    }


main = ground.command("cluster", measure)

if __name__ == "__main__":
    main()
