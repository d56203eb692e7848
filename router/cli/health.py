"""`router health`: how each venue is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import click

from router.cli import options
from router.cli.asking import progress
from router.cli.choosing import Chosen, choose
from router.cli.connecting import Journal, connected
from router.cli.exits import DONE, NOT_SENT, run
from router.console import cell, show, show_json, table
from router.report import Health

__all__ = ["command"]


@click.command("health")
@click.argument("venues", nargs=-1, metavar="[VENUE]...")
@options.config
@options.as_json("it")
def command(venues: tuple[str, ...], path: Path | None, as_json: bool) -> int:
    """Connect, and show how each venue is.

    VENUE: all of router.toml, where none is named. It has a session of its own: it tells nothing of a Router that runs elsewhere.

    \b
    Exit codes:
      0  all of them are well
      2  usage: bad input, missing credentials, a mistake in router.toml
      4  one of them is not
    """  # noqa: D301 - click reads the \b
    found = run(_look(choose(venues, path)))
    if as_json:
        show_json({name: attrs.asdict(each) | {"ok": each.ok} for name, each in found.items()})
    else:
        _show(found)
    return DONE if all(each.ok for each in found.values()) else NOT_SENT


async def _look(chosen: Chosen) -> dict[str, Health]:
    with progress(f"connecting to {', '.join(chosen.names)}"):
        async with connected(chosen, Journal.NEVER, strict=False) as found:
            return found.router.health()


def _show(found: Mapping[str, Health]) -> None:
    rows = table("venue", "", "state", "token until", "budget left", "error or warning")
    for name, each in found.items():
        words = "; ".join(filter(None, (each.last_error, each.warning)))
        until = each.token_expires_at and each.token_expires_at.isoformat(" ", "seconds")
        budget = ", ".join(f"{lane} {left:g}" for lane, left in each.budget_left.items())
        columns: tuple[Any, ...] = (name, "ok" if each.ok else "NOT OK", each.state, until, budget, words)
        rows.add_row(*(cell(value or "-") for value in columns), style=None if each.ok else "bold red")
    show(rows)
