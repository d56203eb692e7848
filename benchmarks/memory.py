"""What a cancel in flight takes of memory, in a process of its own: python -m benchmarks.memory SIZE [--resident]."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from benchmarks.flying import cancels_of
from benchmarks.trading import router_on
from benchmarks.venue import Venue
from router import Outcome

__all__ = ["main", "measured"]

DEADLINE = 600.0


async def measured(size: int, *, resident: bool) -> float | None:
    """Bytes per cancel, by a process of its own; None where that cannot be told."""
    command = ["-m", "benchmarks.memory", str(size), *(["--resident"] if resident else [])]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    return msgspec.json.decode(told, type=float | None)


async def _measure(size: int, used: Callable[[], int | None]) -> float | None:
    async with Venue() as venue, router_on(venue) as router:
        await router.cancel_many(cancels_of(100))
        cancels, last = cancels_of(size), cancels_of(1)[0]
        count = venue.count
        venue.hold(size + 1)
        gc.collect()
        before = used()
        batch = router.cancel_many(cancels, deadline=DEADLINE)
        await venue.read(count + size)
        gc.collect()
        after = used()
        await router.cancel(last)  # at which the venue answers all of them
        if any(report.outcome is not Outcome.CONFIRMED for report in await batch):
            raise RuntimeError("a cancel was not confirmed")
    return None if before is None or after is None else (after - before) / size


def _traced() -> int:
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    return tracemalloc.get_traced_memory()[0]


def _resident() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


@click.command()
@click.argument("size", type=int)
@click.option("--resident", is_flag=True, help="What the process has in memory, not what Python has asked for.")
def main(*, size: int, resident: bool) -> None:
    """Print the bytes per cancel as JSON."""
    figure = asyncio.run(_measure(size, _resident if resident else _traced))
    sys.stdout.write(msgspec.json.encode(figure).decode())


if __name__ == "__main__":
    main()
