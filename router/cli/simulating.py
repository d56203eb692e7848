"""`router sim`: a simulator of every venue, for any client."""

from __future__ import annotations

import asyncio
import secrets
import shlex
import signal
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import click

from router import registry
from router.cli.exits import DONE, USAGE, Failure
from router.cli.telling import complain
from router.console import cell, show, show_json, table, write
from router.errors import VenueError

if TYPE_CHECKING:
    from router.testing import Simulator
    from router.testing.requested import Requested

__all__ = ["command", "loaded"]


@click.command("sim")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[=PROBABILITY]",
    help="Let trading commands have this fault (repeatable). random: any fault. list: print them all, and end.",
)
@click.option("--seed", type=int, help="What faults are drawn on, to repeat a run (default: a new one).")
@click.option("--json", "as_json", is_flag=True, help="Print addresses and keys as one JSON object, and go on running.")
def command(faults: tuple[str, ...], seed: int | None, as_json: bool) -> int:
    """Run a simulator of every venue, until Ctrl-C.

    Each is a real server on this machine, with throw-away keys that it prints, for any client to use.
    """
    if "list" in faults:
        _show_faults(as_json=as_json)
        return DONE
    requested = _requested(faults)
    with suppress(KeyboardInterrupt):  # where the loop takes no signal handlers
        return asyncio.run(_simulate(requested, secrets.randbelow(2**32) if seed is None else seed, as_json=as_json))
    return DONE


def _requested(faults: Iterable[str]) -> list[Requested]:
    from router.testing.requested import Requested  # noqa: PLC0415 - of use to this command alone

    try:
        return [Requested.read(text) for text in faults]
    except ValueError as error:
        raise Failure(str(error), USAGE) from None


async def _simulate(requested: Sequence[Requested], seed: int, *, as_json: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        running: dict[str, Simulator] = {}
        for name, found in loaded(registry.SIMULATORS).items():
            running[name] = await stack.enter_async_context(found(seed=seed))
        if not running:
            raise Failure("no simulator is installed", USAGE)
        _show_simulators(running, requested, seed, as_json=as_json)
        await stop.wait()
    return DONE


def loaded(group: str) -> dict[str, Any]:
    """What can be imported of a group; what cannot is named on stderr."""
    found = registry.installed(group)
    for error in found.values():
        if isinstance(error, VenueError):
            complain(str(error))
    return {name: each for name, each in found.items() if not isinstance(each, VenueError)}


def _show_simulators(
    running: dict[str, Simulator], requested: Sequence[Requested], seed: int, *, as_json: bool
) -> None:
    cannot = {name: _inject(name, each, requested) for name, each in running.items()}
    if as_json:
        told = {"seed": seed, "faults": {each.name: each.probability for each in requested}}
        show_json(
            {
                name: {"url": each.url, "environment": each.environment, **told, "cannot": cannot[name]}
                for name, each in running.items()
            }
        )
        return
    rows = table("venue", "url", "name", "value")
    for name, each in running.items():
        for number, (key, value) in enumerate(each.environment.items()):
            rows.add_row(*map(cell, ("" if number else name, "" if number else each.url, key, value)))
    show(rows)
    variables = [item for each in running.values() for item in each.environment.items()]
    write("".join(f"export {key}={shlex.quote(value)}\n" for key, value in variables))
    if requested:
        write(f"Faults: {', '.join(map(str, requested))}. To repeat them: --seed {seed}\n")
    write("Running until Ctrl-C.\n")


def _inject(venue: str, simulator: Simulator, requested: Iterable[Requested]) -> dict[str, str]:
    """Inject what this venue can have, say what it cannot, and return that with the reasons."""
    reasons = {each.name: each.apply(simulator) for each in requested}
    cannot = {name: reason for name, reason in reasons.items() if reason}
    for name, reason in cannot.items():
        complain(f"{venue} cannot have {name}: {reason}")
    return cannot


def _show_faults(*, as_json: bool) -> None:
    from router.testing import Fault  # noqa: PLC0415 - of use to this command alone

    venues = {name: found() for name, found in loaded(registry.SIMULATORS).items()}
    rows = table("", "fault", "strikes when", *venues, "what happens")
    listed = []
    for fault in Fault:
        reasons = {name: venue.supports(fault) for name, venue in venues.items()}
        words = [f"n/a: {reason}" if reason else "yes" for reason in reasons.values()]
        rows.add_row(*map(cell, (fault.number, fault, fault.point, *words, fault.sentence)))
        listed.append({"number": fault.number, "name": fault, "point": fault.point, "cannot": reasons})
    show_json(listed) if as_json else show(rows)
