"""REST cancels: the Router with its B2TRADER adapter against a raw client, bare aiohttp and ccxt, on one local server.

python -m benchmarks.rest [--quick] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from importlib.util import find_spec
from itertools import count
from statistics import median
from typing import Any, Final

from attrs import frozen

from benchmarks import ground
from benchmarks.ground import AGAIN, Arm, Report, Row, Samples, Size, row
from benchmarks.restclients import BareAiohttp, Ccxt, Raw, RouterClient
from benchmarks.restvenue import RestVenue

__all__ = ["main", "measure"]

ROUTER: Final = "router.cancel()"
AIOHTTP: Final = "bare aiohttp"
RAW: Final = "raw Protocol"
CCXT: Final = "ccxt cancel_order()"
VENUE: Final = "the venue itself"
FLYING: Final = 20
ALONE: Final = "REST cancel, one at a time"
TOGETHER: Final = f"REST cancels, {FLYING} in flight"
CPU: Final = f"CPU per REST cancel, {FLYING} in flight"
_ids: Final = count(1)

Cancel = Callable[[int, str], Coroutine[Any, Any, None]]
"""Cancels the order of that id; the number tells which of the flights it is. Raises unless the venue has confirmed it."""


@frozen
class Turn:
    """How much each side does in its turn."""

    alone: int
    together: int

    @classmethod
    def of(cls, size: Size) -> Turn:
        return cls(20, 5) if size.quick else cls(60, 20)


async def measure(size: Size) -> Report:
    """REST cancels through the Router, against a raw client, bare aiohttp and ccxt's cancel_order()."""
    async with RestVenue() as venue, AsyncExitStack() as stack:
        clients = _clients(venue)
        sides = {name: await stack.enter_async_context(client) for name, client in clients.items()}
        turn = Turn.of(size)
        arms: dict[str, Arm] = {name: partial(_turn, side.cancel, turn) for name, side in sides.items()}
        arms[VENUE] = partial(_venue, sides[RAW], turn)
        samples = await ground.interleave(arms, size.rounds)
    left_out = {} if CCXT in clients else {"left out, because not installed": "ccxt"}
    return Report(name="REST cancels", rows=_rows(samples), facts=_facts(samples) | left_out)


def _clients(venue: RestVenue) -> dict[str, Any]:
    found: dict[str, Any] = {
        ROUTER: RouterClient(venue),
        AIOHTTP: BareAiohttp(venue),
        AIOHTTP + AGAIN: BareAiohttp(venue),
        RAW: Raw(venue, FLYING),
        RAW + AGAIN: Raw(venue, FLYING),
    }
    if find_spec("ccxt") is not None:
        found |= {CCXT: Ccxt(venue), CCXT + AGAIN: Ccxt(venue)}
    return found


async def _turn(cancel: Cancel, turn: Turn) -> dict[str, float]:
    return {**await _alone(cancel, turn.alone), **await _together(cancel, turn.together)}


async def _alone(cancel: Cancel, size: int) -> dict[str, float]:
    times: list[int] = []
    for _ in range(size):
        order_id = _name()
        before = time.monotonic_ns()
        await cancel(0, order_id)
        times.append(time.monotonic_ns() - before)
    return {ALONE: median(times) / 1000}


async def _together(cancel: Cancel, size: int) -> dict[str, float]:
    async def flight(number: int) -> None:
        for _ in range(size):
            await cancel(number, _name())

    before, cpu = time.monotonic(), time.thread_time()
    await asyncio.gather(*(flight(number) for number in range(FLYING)))
    cpu, took = time.thread_time() - cpu, time.monotonic() - before
    return {TOGETHER: FLYING * size / took, CPU: cpu / (FLYING * size) * 1e6}


async def _venue(raw: Raw, turn: Turn) -> dict[str, float]:
    """What the server spends of its processor while the fastest of all asks it."""
    before = await raw.used()
    await _together(raw.cancel, turn.together)
    after = await raw.used()
    return {CPU: (after.cpu - before.cpu) / (after.served - before.served) / 1000}


def _name() -> str:
    """An order's id: digits, so that each venue's ids look like it."""
    return f"{next(_ids) + 10**15}"


def _rows(samples: Samples) -> list[Row]:
    rows = [
        row(samples, ALONE, ROUTER, AIOHTTP, most=1.10),
        row(samples, TOGETHER, ROUTER, AIOHTTP, unit="/s", least=0.90),
    ]
    if CCXT in samples:
        rows += [
            row(samples, ALONE, ROUTER, CCXT, most=0.60),
            row(samples, TOGETHER, ROUTER, CCXT, unit="/s", least=2.3),
        ]
    return [
        *rows,
        row(samples, ALONE, ROUTER, RAW),
        row(samples, TOGETHER, ROUTER, RAW, unit="/s"),
        row(samples, CPU, ROUTER, AIOHTTP),
        row(samples, CPU, ROUTER, RAW),
        row(samples, CPU, VENUE, AIOHTTP, title="(CPU of the venue itself, per request)"),
    ]


def _facts(samples: Samples) -> dict[str, str]:
    spent = median(samples[VENUE][CPU])
    return {
        "the venue can answer": f"{1e6 / spent:,.0f} requests a second, by the {spent:.0f} us of CPU that one takes of it;"
        f" the raw client asks for {median(samples[RAW][TOGETHER]):,.0f}, the Router for"
        f" {median(samples[ROUTER][TOGETHER]):,.0f}"
    }


main = ground.command("rest", measure)

if __name__ == "__main__":
    main()
