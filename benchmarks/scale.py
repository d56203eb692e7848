"""What happens to a cancel when there are many: of sessions, in flight, in a book that is cancelled, and in memory.

python -m benchmarks.scale [--quick] [--rounds N] [--json FILE]
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

from attrs import frozen

from benchmarks import flying, ground, memory, sweep
from benchmarks.bare import Flood
from benchmarks.flying import CPU, LEFT, SEEN
from benchmarks.ground import AGAIN, Arm, Report, Row, row
from benchmarks.libraries import WebsocketsPeer
from benchmarks.peers import SYMBOL, Peer, RouterPeer
from benchmarks.trading import router_on, session_on
from benchmarks.venue import Venue
from router import Router

__all__ = ["main", "measure"]

SESSIONS: Final = (1, 10, 100)
THOUSAND, TEN_THOUSAND, HUNDRED_THOUSAND = 1_000, 10_000, 100_000
GATHER: Final = "a gather on websockets"
ONE_BY_ONE: Final = "cancel_all(symbol), one by one"
NATIVE: Final = "cancel_all(), by the venue's own command"
KILOBYTE: Final = 1024


@frozen
class Turns:
    """How much each turn does. slow, large, heavy: rounds of what takes a good part of a second, a second, several."""

    rounds: int
    slow: int
    large: int
    heavy: int
    spread: int
    left: int

    @classmethod
    def of(cls, size: ground.Size) -> Turns:
        slow, large, heavy = (min(size.rounds, most) for most in ((10, 3, 1) if size.quick else (30, 30, 30)))
        return cls(size.rounds, slow, large, heavy, 1_000 if size.quick else 5_000, 1 if size.quick else 5)


async def measure(size: ground.Size) -> Report:
    """Many sessions, many cancels in flight, a large book cancelled, and what that takes of memory."""
    turns = Turns.of(size)
    rows: list[Row] = []
    async with Venue() as venue:
        rows += await _sessions(venue, turns)
        rows += await _in_flight(venue, turns)
        more, facts = await _left(venue, turns)
        rows += more
    rows += await _sweep(turns)
    more, told = await _memory()
    return Report(name="What happens when there are many", rows=rows + more, facts=facts | told)


async def _sessions(venue: Venue, turns: Turns) -> list[Row]:
    """The same cancels through one Router's 1, 10, 100 sessions."""
    async with AsyncExitStack() as stack:
        arms: dict[str, Arm] = {}
        for number, again in [*((each, "") for each in SESSIONS), (1, AGAIN)]:
            names = [f"qfex{each}" for each in range(number)]
            router = await stack.enter_async_context(Router({name: session_on(venue) for name in names}))
            arms[_sessions_of(number) + again] = partial(flying.spread, router, names, turns.spread)
        samples = await ground.interleave(arms, turns.rounds)
    one, *more = map(_sessions_of, SESSIONS)
    rate = f"cancels, {turns.spread} in flight"
    return [row(samples, what, arm, one, unit=unit) for what, unit in ((rate, "/s"), (CPU, "us")) for arm in more]


def _sessions_of(number: int) -> str:
    return f"{number} session{'s' if number > 1 else ''}"


async def _in_flight(venue: Venue, turns: Turns) -> list[Row]:
    """CPU per cancel, with so many in flight."""
    rows: list[Row] = []
    async with router_on(venue) as router:
        for many, most, rounds, times in (
            (TEN_THOUSAND, 1.3, turns.slow, 2),
            (HUNDRED_THOUSAND, 2.0, turns.heavy, 5),
        ):
            few, base = partial(flying.in_flight, router, venue, THOUSAND, times), f"{THOUSAND:,} in flight"
            arm = f"{many:,} in flight"
            arms: dict[str, Arm] = {base: few, base + AGAIN: few, arm: partial(flying.in_flight, router, venue, many)}
            rows.append(row(await ground.interleave(arms, rounds), CPU, arm, base, most=most))
    return rows


async def _left(venue: Venue, turns: Turns) -> tuple[list[Row], dict[str, Any]]:
    """What answered cancels leave behind: nothing."""
    arm = f"{TEN_THOUSAND:,} answered cancels"
    turn = partial(flying.left_behind, partial(_opened, venue), venue, TEN_THOUSAND)
    samples = await ground.interleave({arm: turn}, turns.left)
    most: Mapping[str, Mapping[str, list[float]]] = {arm: {LEFT: [max(samples[arm][LEFT])]}}
    seen = f"{min(samples[arm][SEEN]):.1f} per cancel while all of them are in flight"
    return [row(most, LEFT, arm, unit="", most=0)], {"entries in the Router's tables": seen}


async def _opened(venue: Venue) -> Router:
    router = router_on(venue)
    await router.open()
    return router


async def _sweep(turns: Turns) -> list[Row]:
    """A book of ten thousand orders is cancelled, and the loop must go on turning."""
    async with Venue() as venue, Venue() as other, AsyncExitStack() as stack:
        router = await stack.enter_async_context(Router({"qfex": session_on(venue), "other": session_on(other)}))
        flood = await Flood.open(venue.url)
        stack.callback(flood.close)
        peers: list[Peer] = [await WebsocketsPeer.open(each) for each in (venue, venue, other)]
        for peer in peers:
            stack.push_async_callback(peer.close)
        calm = RouterPeer(router, "other")
        plain = [partial(sweep.plainly, peer, peers[2], TEN_THOUSAND) for peer in peers[:2]]
        arms: dict[str, Arm] = {
            GATHER: plain[0],
            GATHER + AGAIN: plain[1],
            ONE_BY_ONE: partial(sweep.sweep, router, SYMBOL, flood, calm, TEN_THOUSAND),
            NATIVE: partial(sweep.sweep, router, None, flood, calm, TEN_THOUSAND),
        }
        samples = await ground.interleave(arms, turns.large)
    goals = {sweep.STALL: 0.02}
    return [
        row(samples, what, arm, GATHER, unit="ms", most=goals.get(what), title=f"{TEN_THOUSAND:,} orders, {what}")
        for what in (sweep.STALL, sweep.STALL_CPU, sweep.PAUSE, sweep.DELAY, sweep.TOOK)
        for arm in (ONE_BY_ONE, NATIVE)
    ]


async def _memory() -> tuple[list[Row], dict[str, Any]]:
    """Of a cancel in flight: what Python has asked for, and what the process has grown by."""
    arm = f"{TEN_THOUSAND:,} in flight"
    asked = await memory.measured(TEN_THOUSAND, resident=False)
    grown = await memory.measured(TEN_THOUSAND, resident=True)
    what = "memory per cancel, through cancel_many"
    rows = [] if asked is None else [row({arm: {what: [asked]}}, what, arm, unit="bytes", most=KILOBYTE)]
    told = "not known on this system" if grown is None else f"{grown:,.0f} bytes"
    return rows, {"the process grows, per cancel in flight, by": told}


main = ground.command("scale", measure)

if __name__ == "__main__":
    main()
