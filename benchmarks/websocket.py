"""A cancel over WebSocket: the Router against a raw protocol, the usual libraries and ccxt.pro, all on one local server.

python -m benchmarks.websocket [--quick] [--rounds N] [--json FILE] [--uvloop]
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from statistics import median
from timeit import timeit
from typing import Any, Final

import click
from attrs import frozen

from benchmarks import ground
from benchmarks.bare import Flood, cancel_frame, client_frame
from benchmarks.dialects import CANCELLED, text_frame
from benchmarks.ground import AGAIN, Arm, Report, Row, Samples, row
from benchmarks.libraries import CCXT, PEERS, RAW, WEBSOCKETS, CcxtPeer
from benchmarks.peers import ROUTER, SYMBOL, Peer, RouterPeer, installed, new_ids
from benchmarks.venue import Venue

__all__ = ["main", "measure"]

SEQUENTIAL: Final = "sequential round trip"
SEQUENTIAL_CPU: Final = "sequential, CPU of the loop"
FEW, MANY = 20, 1000  # in flight
SIGNATURES: Final = 500
FLOOD: Final = "a flood of frames made before"
GOALS: Final[Mapping[tuple[str, int], float]] = {
    (RAW, 1): 1.20,
    (RAW, MANY): 1.0,
    (WEBSOCKETS, 1): 1.00,
    (WEBSOCKETS, MANY): 1.5,
    (CCXT, 1): 0.45,
    (CCXT, MANY): 6.0,
}
"""Against whom, with how many in flight: at most so much of its time, at least so much of its throughput."""


@frozen
class Turns:
    """How much each turn does."""

    alone: int
    few: int
    many: int

    @classmethod
    def of(cls, size: ground.Size) -> Turns:
        return cls(40, 3, 1) if size.quick else cls(200, 20, 3)


async def measure(size: ground.Size) -> Report:
    """A cancel over WebSocket, one after the other and many in flight, against other clients of the same server."""
    turns = Turns.of(size)
    async with Venue() as venue, AsyncExitStack() as stack:
        peers = await _open(venue, stack)
        flood = await Flood.open(venue.url)
        stack.callback(flood.close)
        rows = await _one_by_one(peers, turns, size.rounds)
        rows += await _at_once(peers, venue, FEW, turns.few, size.rounds)
        more, facts = await _many(peers, venue, flood, turns, size.rounds)
        facts |= _facts(peers)
    return Report(name="A cancel over WebSocket", rows=rows + more, facts=facts)


async def _open(venue: Venue, stack: AsyncExitStack) -> dict[str, Peer]:
    """Every side that there is, and each base a second time; all have made a few cancels before it counts."""
    kinds: dict[str, type[Peer]] = {ROUTER: RouterPeer}
    for name, kind in PEERS.items():
        if installed(kind.needs) is not None:
            kinds |= {name: kind, name + AGAIN: kind}
    peers: dict[str, Peer] = {}
    for name, kind in kinds.items():
        peers[name] = peer = await kind.open(venue)
        stack.push_async_callback(peer.close)
        await asyncio.gather(*map(peer.cancel, new_ids(FEW)))
    return peers


def _facts(peers: Mapping[str, Peer]) -> dict[str, Any]:
    versions = {package: number for kind in PEERS.values() for package, number in (installed(kind.needs) or {}).items()}
    loop = type(asyncio.get_running_loop())
    facts = {
        "loop": f"{loop.__module__}.{loop.__qualname__}",
        "peers": ", ".join(f"{package} {number}" for package, number in sorted(versions.items())),
    }
    ccxt = peers.get(CCXT)
    if isinstance(ccxt, CcxtPeer):
        took = timeit(ccxt.sign, number=SIGNATURES) / SIGNATURES * 1e6
        facts["of ccxt.pro's time, its signature of each cancel"] = f"{took:.1f} us"
    absent = [name for name in PEERS if name not in peers]
    if absent:
        facts["left out, because not installed"] = ", ".join(absent)
    return facts


# -- one by one


async def _one_by_one(peers: Mapping[str, Peer], turns: Turns, rounds: int) -> list[Row]:
    arms: dict[str, Arm] = {name: partial(_alone, peer, turns.alone) for name, peer in peers.items()}
    samples = await ground.interleave(arms, rounds)
    bases = _bases(peers)
    rows = [row(samples, SEQUENTIAL, ROUTER, base, most=GOALS.get((base, 1))) for base in bases]
    return rows + [row(samples, SEQUENTIAL_CPU, ROUTER, base) for base in bases]


async def _alone(peer: Peer, size: int) -> dict[str, float]:
    times: list[int] = []
    cpu = time.thread_time_ns()
    for order_id in new_ids(size):
        before = time.monotonic_ns()
        await peer.cancel(order_id)
        times.append(time.monotonic_ns() - before)
    return {SEQUENTIAL: median(times) / 1000, SEQUENTIAL_CPU: (time.thread_time_ns() - cpu) / size / 1000}


def _bases(peers: Mapping[str, Peer]) -> list[str]:
    return [name for name in PEERS if name in peers]


# -- many in flight


async def _at_once(peers: Mapping[str, Peer], venue: Venue, flying: int, batches: int, rounds: int) -> list[Row]:
    arms: dict[str, Arm] = {name: partial(_gather, peer, venue, flying, batches) for name, peer in peers.items()}
    return _throughput(await ground.interleave(arms, rounds), peers, flying)


async def _many(
    peers: Mapping[str, Peer], venue: Venue, flood: Flood, turns: Turns, rounds: int
) -> tuple[list[Row], dict[str, Any]]:
    """With the most in flight, the venue must not be what is measured: the flood shows what it can do."""
    arms: dict[str, Arm] = {name: partial(_gather, peer, venue, MANY, turns.many) for name, peer in peers.items()}
    arms[FLOOD] = partial(_pour, flood, venue, turns.many)
    samples = await ground.interleave(arms, rounds)
    what = _rate(MANY)
    shown = row(samples, what, FLOOD, ROUTER, unit="/s", title="(what the venue itself can take)")
    cpu = {name: median(samples[name][_venue_cpu(MANY)]) for name in (ROUTER, FLOOD)}
    own = median(samples[ROUTER][_cpu(MANY)])
    facts = {
        "the venue's own CPU per cancel": f"{cpu[ROUTER]:.1f} us with {ROUTER} ({cpu[FLOOD]:.1f} us under the flood), "
        f"in a process of its own; the Router's is {own:.1f} us",
    }
    return [*_throughput(samples, peers, MANY), shown], facts


def _throughput(samples: Samples, peers: Mapping[str, Peer], flying: int) -> list[Row]:
    bases, what = _bases(peers), _rate(flying)
    rows = [row(samples, what, ROUTER, base, unit="/s", least=GOALS.get((base, flying))) for base in bases]
    return rows + [row(samples, _cpu(flying), ROUTER, base) for base in bases]


async def _gather(peer: Peer, venue: Venue, flying: int, batches: int) -> dict[str, float]:
    """So many at once, and the next ones when all of them are answered."""
    names = [new_ids(flying) for _ in range(batches)]

    async def run() -> None:
        for batch in names:
            await asyncio.gather(*map(peer.cancel, batch))

    return await _timed(run(), venue, flying, batches)


async def _pour(flood: Flood, venue: Venue, batches: int) -> dict[str, float]:
    names = [new_ids(MANY) for _ in range(batches)]
    frames = [b"".join(client_frame(cancel_frame(name)) for name in batch) for batch in names]
    size = len(text_frame(CANCELLED % (names[0][0].encode(), SYMBOL.encode())))

    async def run() -> None:
        for each in frames:
            await flood.pour(each, size * MANY)

    return await _timed(run(), venue, MANY, batches)


async def _timed(work: Awaitable[None], venue: Venue, flying: int, batches: int) -> dict[str, float]:
    """Cancels per second, and the CPU time of a cancel on both sides."""
    cancels = flying * batches
    venue_cpu, cpu, before = venue.cpu, time.thread_time_ns(), time.monotonic()
    await work
    took, used = time.monotonic() - before, time.thread_time_ns() - cpu
    await asyncio.sleep(0.002)  # by which the venue has said what its last answers cost
    return {
        _rate(flying): cancels / took,
        _cpu(flying): used / cancels / 1000,
        _venue_cpu(flying): (venue.cpu - venue_cpu) / cancels / 1000,
    }


def _rate(flying: int) -> str:
    return f"cancels, {flying} in flight"


def _cpu(flying: int) -> str:
    return f"{flying} in flight, CPU of the loop"


def _venue_cpu(flying: int) -> str:
    return f"{flying} in flight, CPU of the venue"


def _use_uvloop(context: click.Context, option: click.Parameter, wanted: bool) -> None:  # noqa: ARG001 - click's
    if wanted:
        import_module("uvloop").install()


main = ground.command("websocket", measure)
main.params.append(
    click.Option(
        ["--uvloop"], is_flag=True, expose_value=False, callback=_use_uvloop, help="On uvloop, for every side."
    )
)

if __name__ == "__main__":
    main()
