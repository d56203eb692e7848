"""`router watch --nats`: what happens to orders at the gateways' venues, as their journals tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from router.cli.exits import DONE, NOT_SENT, USAGE, Failure
from router.cli.showing import time_of_day
from router.cli.telling import complain, say
from router.console import line_json, visible, write
from router.errors import ConfigError, Garbled, GatewayError
from router.report import Event, Health, SessionState

if TYPE_CHECKING:
    from router.cluster.strategy.remote import RemoteRouter
    from router.cluster.stream.copies import Copy, Settlement
    from router.cluster.stream.events import Copies

__all__ = ["settled_line", "watch"]

Show = Callable[[Event], str]
EXTRA: Final = "this needs NATS's client: pip install 'venue-router[cluster]'"
LOOK: Final = 0.5  # seconds between two looks at how the venues are


def router_of(url: str | None, credentials: Path | None, venues: Sequence[str]) -> RemoteRouter:
    """What watches these venues. Raises Failure for what can't be right."""
    try:
        from router.cluster import subjects  # noqa: PLC0415 - an extra
        from router.cluster.strategy.remote import RemoteRouter  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"nats", "nkeys"}:
            raise
        raise Failure(EXTRA, USAGE) from None
    try:
        for venue in venues:
            subjects.token(venue, "a venue")
        return RemoteRouter(url, credentials=credentials)
    except ConfigError as error:
        first, *others = str(error).splitlines()
        raise Failure(first, USAGE, others) from None
    except (ValueError, TypeError) as error:
        raise Failure(str(error), USAGE) from None


async def watch(
    router: RemoteRouter, venues: Sequence[str], stopped: asyncio.Event, show: Show, *, as_json: bool
) -> int:
    """Until it is stopped, or nobody reads stdout any more. venues: all that are known, where none is named. show: makes an
    event's line.
    """
    try:
        await router.open()
    except GatewayError as error:
        raise Failure(str(error), NOT_SENT) from None
    try:
        await _watch(router, venues, stopped, show, as_json=as_json)
    finally:
        await router.close()
    return DONE


async def _watch(
    router: RemoteRouter, venues: Sequence[str], stopped: asyncio.Event, show: Show, *, as_json: bool
) -> None:
    stream = router.events()
    copies, wanted = stream.copies, frozenset(venues)
    for venue in venues:
        copies.add(venue)
    works = (_look(router, copies, wanted), _print(copies, wanted, show, as_json=as_json), stopped.wait())
    tasks = [asyncio.ensure_future(work) for work in works]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done:
        task.result()


# -- how the venues are


async def _look(router: RemoteRouter, copies: Copies, wanted: frozenset[str]) -> None:
    """Tell how each venue is, and when that changes: silence must not look like quiet."""
    seen: dict[str, str] = {}
    is_empty = False
    while True:
        found = {name: each for name, each in router.health().items() if not wanted or name in wanted}
        for name in sorted(wanted | found.keys()):
            copies.add(name)
            trouble = _trouble(found.get(name), copies.troubles.get(name, ""))
            if seen.get(name) != trouble:
                _say_how(name, trouble)
                seen[name] = trouble
        if not seen and not is_empty:
            complain("no gateway is there; what happens is shown as soon as there is one")
        is_empty = not seen
        await asyncio.sleep(LOOK)


def _trouble(health: Health | None, unread: str) -> str:
    """Why nothing, or not everything, may be heard of a venue; "" while all is well."""
    if unread:
        return f"what happens can't be read: {unread}"
    if health is None:
        return "no gateway serves it"
    if health.state is SessionState.READY:
        return ""
    return f"{health.state}: {health.last_error or 'the gateway has no connection to it'}"


def _say_how(name: str, trouble: str) -> None:
    if trouble:
        complain(f"{name}: {trouble}")
    else:
        say(f"{name}: watching")


# -- what happens


async def _print(copies: Copies, wanted: frozenset[str], show: Show, *, as_json: bool) -> None:
    """A line for each, at once; ends when nobody reads them any more."""
    async for copy in copies:
        if wanted and copy.venue not in wanted:
            continue
        try:
            event, settlement = copy.event(), settled(copy)
        except Garbled as error:
            complain(f"{copy.venue}: entry {copy.number} of the journal {copy.journal} is left out: {error}")
            continue
        if event is not None:
            shown = show(event)
        elif settlement is not None:
            shown = line_json(_settled_facts(copy, settlement)) if as_json else settled_line(copy, settlement)
        else:
            continue
        if not write(f"{shown}\n"):
            return


def settled(copy: Copy) -> Settlement | None:
    """What an entry says that settles a command which was in doubt; None if it does not. Raises Garbled."""
    return copy.settlement() if copy.what == "resolved" else None


def settled_line(copy: Copy, settlement: Settlement) -> str:
    """One settlement for people."""
    words = (
        time_of_day(_at(copy)),
        copy.venue,
        "SETTLED",
        settlement.symbol,
        copy.order_id or copy.client_order_id,
        settlement.verb,
        (settlement.outcome or "").upper(),
        f"by {copy.strategy}" if copy.strategy else "",
        settlement.text,
    )
    return visible("  ".join(filter(None, words)))


def _settled_facts(copy: Copy, settlement: Settlement) -> dict[str, Any]:
    """What a program may want of it. `settled` is what no event has."""
    return {
        "venue": copy.venue,
        "settled": settlement.outcome,
        "verb": settlement.verb,
        "symbol": settlement.symbol,
        "op": copy.op,
        "order_id": copy.order_id,
        "client_order_id": copy.client_order_id,
        "strategy": copy.strategy,
        "text": settlement.text,
        "at": _at(copy),
    }


def _at(copy: Copy) -> datetime:
    return datetime.fromtimestamp(copy.at, UTC)
