"""`router config check`: whether router.toml does what it is to do, before anything is traded with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import frozen

from router.cli import options
from router.cli.asking import progress
from router.cli.choosing import Chosen, configured
from router.cli.connecting import Journal, connected
from router.cli.exits import DONE, NOT_SENT, USAGE, Failure, run
from router.console import cell, show, show_json, table

if TYPE_CHECKING:
    from router.config import Config

__all__ = ["command"]


@frozen
class Checked:
    """One venue of the file. errors: why it can't be used; code: whose fault that is."""

    adapter: str
    errors: Sequence[str] = ()
    code: int = DONE


@click.group("config")
def command() -> None:
    """Look at router.toml."""


@command.command("check")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@options.as_json("what was found")
def check(path: Path | None, as_json: bool) -> int:
    """Read the configuration, and log in to each of its venues without trading.

    PATH: $ROUTER_CONFIG, or else ./router.toml, where it is left out. All mistakes are told at once. The journal is neither opened nor made.

    \b
    Exit codes:
      0  every venue took the login
      2  the file has mistakes, or there is none
      4  a venue can't be reached or refused the login
    """  # noqa: D301 - click reads the \b
    config = configured(path)
    if config is None:
        raise Failure("there is no router.toml: name the file, set ROUTER_CONFIG, or write one", USAGE)
    found = run(_check(config))
    if as_json:
        journal = config.journal and str(config.journal)
        venues = {name: {"ok": not each.errors, "errors": list(each.errors)} for name, each in found.items()}
        show_json({"path": str(config.path), "journal": journal, "venues": venues})
    else:
        _show(config, found)
    codes = {each.code for each in found.values()}
    return USAGE if USAGE in codes else NOT_SENT if NOT_SENT in codes else DONE


async def _check(config: Config) -> dict[str, Checked]:
    with progress(f"logging in to {', '.join(config.venues)}"):
        checked = await asyncio.gather(*(_log_in(config, name) for name in config.venues))
    return dict(zip(config.venues, checked, strict=True))


async def _log_in(config: Config, name: str) -> Checked:
    adapter = config.venues[name].adapter
    try:
        async with connected(Chosen((name,), config), Journal.NEVER):
            return Checked(adapter)
    except Failure as failure:
        words = str(failure).removeprefix("not sent: ")
        return Checked(adapter, failure.lines or (words,), failure.code)


def _show(config: Config, found: Mapping[str, Checked]) -> None:
    show(f"{config.path}: journal {config.journal or 'none'}")
    rows = table("venue", "adapter", "", "")
    for name, each in found.items():
        rows.add_row(
            *map(cell, (name, each.adapter, "FAILED" if each.errors else "ok", "; ".join(each.errors) or "logged in")),
            style="bold red" if each.errors else None,
        )
    show(rows)
