"""Very many cancels in flight: the venue holds its answers back until all are there; and what is left when they have been given."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks.peers import SYMBOL, WrongAnswerError, new_ids
from benchmarks.venue import Venue
from router import Cancel, CancelReport, IdKind, Outcome, Router

__all__ = ["CPU", "LEFT", "SEEN", "cancels_of", "gathered", "in_flight", "left_behind", "spread"]

CPU: Final = "CPU of the loop per cancel"
LEFT: Final = "entries left in the in-flight tables"
SEEN: Final = "entries in them meanwhile, per cancel"
DEADLINE: Final = 600.0  # seconds: nothing is to run out
LASTING: Final = ("Ledger",)
"""Classes whose tables are no requests in flight: what became of orders is remembered, within bounds."""
CONTAINERS: Final = (Mapping, set, list, deque)


def cancels_of(size: int) -> list[Cancel]:
    """Made by the caller, who keeps them."""
    return [Cancel("qfex", order_id, IdKind.ORDER, SYMBOL) for order_id in new_ids(size)]


async def in_flight(router: Router, venue: Venue, size: int, times: int = 1) -> dict[str, float]:
    """cancel_many of so many, of which none is answered before the last one is at the venue."""
    used = 0
    for _ in range(times):
        cancels = cancels_of(size)
        venue.hold(size)
        cpu = time.thread_time_ns()
        reports = await router.cancel_many(cancels, deadline=DEADLINE)
        used += time.thread_time_ns() - cpu
        check(reports, cancels)
    return {CPU: used / size / times / 1000}


async def gathered(router: Router, venue: Venue, size: int, times: int = 1) -> dict[str, float]:
    """The same by a gather of router.cancel()."""
    used = 0
    for _ in range(times):
        cancels = cancels_of(size)
        venue.hold(size)
        cpu = time.thread_time_ns()
        reports = await asyncio.gather(*(router.cancel(cancel, deadline=DEADLINE) for cancel in cancels))
        used += time.thread_time_ns() - cpu
        check(reports, cancels)
    return {CPU: used / size / times / 1000}


async def spread(router: Router, names: Sequence[str], size: int) -> dict[str, float]:
    """So many cancels at once, over these sessions."""
    targets = [(names[number % len(names)], order_id) for number, order_id in enumerate(new_ids(size))]
    cpu, before = time.thread_time_ns(), time.monotonic()
    reports = await asyncio.gather(
        *(router.cancel(name, order_id, "order", symbol=SYMBOL) for name, order_id in targets)
    )
    took, used = time.monotonic() - before, time.thread_time_ns() - cpu
    if any(report.outcome is not Outcome.CONFIRMED for report in reports):
        raise WrongAnswerError(reports)
    return {f"cancels, {size} in flight": size / took, CPU: used / size / 1000}


def check(reports: Sequence[CancelReport], cancels: Sequence[Cancel]) -> None:
    """Each must have been cancelled, and none be reported for another."""
    for report, cancel in zip(reports, cancels, strict=True):
        if report.outcome is not Outcome.CONFIRMED or report.request.id != cancel.id:
            raise WrongAnswerError(report)


# -- the tables


async def left_behind(make: Callable[[], Awaitable[Router]], venue: Venue, size: int) -> dict[str, float]:
    """How many entries of any table of the Router's a fresh one has more after so many answered cancels than before them.

    Every container of every object of the library's is counted, whatever its name: nothing can be forgotten here.
    """
    router = await make()
    try:
        before, tasks = tables(router), len(asyncio.all_tasks())
        venue.hold(size)
        count = venue.count
        batch = router.cancel_many(cancels_of(size - 1), deadline=DEADLINE)
        await venue.read(count + size - 1)
        meanwhile = tables(router)
        await router.cancel(cancels_of(1)[0])  # which has the venue answer them all
        await batch
        del batch
        await asyncio.sleep(0)
        after = tables(router)
        left = after - before
        return {LEFT: left.total() + len(asyncio.all_tasks()) - tasks, SEEN: (meanwhile - before).total() / size}
    finally:
        await router.close()


def tables(router: Router) -> Counter[str]:
    """The number of entries of each container that the Router has, by the class and the attribute that holds it."""
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    found: list[Any] = [router]
    while found:
        each = found.pop()
        if id(each) in seen or type(each).__name__ in LASTING or not type(each).__module__.startswith("router."):
            continue
        seen.add(id(each))
        for name, value in _attributes(each):
            if isinstance(value, CONTAINERS):
                sizes[f"{type(each).__name__}.{name}"] += _entries(value, found)
            else:
                found.append(value)
    return sizes


def _attributes(each: object) -> Iterator[tuple[str, Any]]:
    yield from vars(each).items() if hasattr(each, "__dict__") else ()
    for kind in type(each).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if name not in {"__dict__", "__weakref__"} and hasattr(each, name):
                yield name, getattr(each, name)


def _entries(container: Any, found: list[Any]) -> int:
    """Its own and those of containers in it; what else is in it goes to `found`. What bounds itself is no table."""
    if isinstance(container, deque) and container.maxlen is not None:
        return 0
    size = 0
    for value in list(container.values() if isinstance(container, Mapping) else container):
        size += 1
        if isinstance(value, CONTAINERS):
            size += _entries(value, found)
        else:
            found.append(value)
    return size
