"""`router watch`: what happens to orders, a line each, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import click

from router.cli import options, watching_remote
from router.cli.choosing import Chosen, choose
from router.cli.connecting import Connected, Journal, connected
from router.cli.exits import DONE, NOT_SENT, USAGE, Failure
from router.cli.showing import time_of_day
from router.cli.telling import complain, say
from router.console import line_json, visible, write
from router.core import EventStream, Router
from router.model import plain
from router.report import Event, Health, SessionState

__all__ = ["command", "line"]

LOOK: Final = 0.5  # seconds between two looks at how the venues are


@click.command("watch")
@click.argument("venues", nargs=-1, metavar="[VENUE]...")
@options.config
@click.option("--nats", "url", metavar="URL", help="Ask the gateways there; no venue is connected.")
@click.option(
    "--credentials",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Who we are at the gateways, and where those are if there is no --nats.",
)
@options.as_json("each event, one object per line")
def command(
    venues: tuple[str, ...], path: Path | None, url: str | None, credentials: Path | None, as_json: bool
) -> int:
    """Show what happens to orders, as it happens: a line each, until Ctrl-C.

    VENUE: all of router.toml, where none is named; with --nats all that the gateways serve, and that may be seen. From gateways, what
    became of commands that were in doubt is shown as well. Only what a venue tells of its own accord is seen. Connections that are lost and found again are told on stderr: what
    happened in between is not shown.

    \b
    Exit codes:
      0  ended by Ctrl-C, by SIGTERM, or because nobody reads stdout any more
      2  usage: bad input, missing credentials, a mistake in router.toml
      4  every login was refused; or NATS can't be reached, or does not let us in
    """  # noqa: D301 - click reads the \b
    if url is not None or credentials is not None:
        return _watch_gateways(venues, path, url, credentials, as_json=as_json)
    chosen = choose(venues, path)
    with suppress(KeyboardInterrupt):  # where the loop takes no signal handlers
        asyncio.run(_watch(chosen, as_json=as_json))
    return DONE


def _watch_gateways(
    venues: tuple[str, ...], path: Path | None, url: str | None, credentials: Path | None, *, as_json: bool
) -> int:
    if path is not None:
        raise Failure("--config is about venues that we connect ourselves; leave it out with --nats", USAGE)
    router = watching_remote.router_of(url, credentials, venues)

    async def work() -> int:
        return await watching_remote.watch(
            router, venues, _on_signals(), partial(_shown, as_json=as_json), as_json=as_json
        )

    with suppress(KeyboardInterrupt):  # where the loop takes no signal handlers
        return asyncio.run(work())
    return DONE


async def _watch(chosen: Chosen, *, as_json: bool) -> None:
    async with connected(chosen, Journal.NEVER, strict=False) as found:
        _say_who(found)
        stopped, events = _on_signals(), found.router.events()
        works = (_look(found.router), _print(events, as_json=as_json), stopped.wait())
        tasks = [asyncio.get_running_loop().create_task(work) for work in works]
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for task in done:
            task.result()


def _on_signals() -> asyncio.Event:
    """An event that Ctrl-C and SIGTERM set."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    return stopped


# -- how the venues are


def _say_who(found: Connected) -> None:
    """What is watched, on stderr. Raises Failure if nothing can be."""
    states = found.router.health()
    if all(each.state is SessionState.FATAL for each in states.values()):
        first, *others = [f"{name}: {each.last_error}" for name, each in states.items()]
        raise Failure(first, NOT_SENT, others)
    for name, adapter in found.adapters.items():
        if adapter.spec.url is None:
            complain(
                f"{name} tells nothing of its own accord: what happens there is not seen; ask with `router orders`"
            )
    for name, each in states.items():
        _say_how(name, each)


def _say_how(name: str, health: Health) -> None:
    if health.state is SessionState.READY:
        say(f"{name}: watching")
    else:
        complain(f"{name}: {health.state}: {health.last_error or 'the connection is gone'}")


async def _look(router: Router) -> None:
    """Tell when a connection is lost or found again: silence must not look like quiet."""
    seen = {name: each.state for name, each in router.health().items()}
    while True:
        await asyncio.sleep(LOOK)
        for name, each in router.health().items():
            if each.state is not seen[name]:
                seen[name] = each.state
                _say_how(name, each)


# -- what happens


async def _print(events: EventStream, *, as_json: bool) -> None:
    """A line for each, at once; ends when nobody reads them any more."""
    async for event in events:
        if not write(f"{_shown(event, as_json=as_json)}\n"):
            return


def _shown(event: Event, *, as_json: bool) -> str:
    return line_json(attrs.asdict(event)) if as_json else line(event)


def line(event: Event) -> str:
    """One event for people."""
    numbers = {"quantity": event.last_quantity, "price": event.last_price, "filled": event.cum_quantity}
    words = (
        time_of_day(event.at),
        event.venue,
        event.exec_type.upper(),
        event.symbol,
        event.order_id or event.client_order_id,
        event.status,
        *(f"{name} {plain(number)}" for name, number in numbers.items() if number is not None),
        event.text,
    )
    return visible("  ".join(filter(None, words)))
