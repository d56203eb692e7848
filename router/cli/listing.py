"""`router orders`: what is open, and where nobody can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from router.cli import options
from router.cli.asking import progress
from router.cli.choosing import Chosen, choose
from router.cli.connecting import Journal, connected
from router.cli.exits import DONE, UNKNOWN, run
from router.cli.remembered import InDoubt, Remembered, remembered
from router.cli.showing import ORDER_COLUMNS, order_cells
from router.console import red, show, show_json, show_rows
from router.core import Router
from router.errors import VenueError
from router.report import OrderState

__all__ = ["command", "marked", "read_orders"]

Listed = Mapping[str, list[OrderState] | VenueError]


@click.command("orders")
@click.argument("venues", nargs=-1, metavar="[VENUE]...")
@options.config
@options.as_json("the orders")
def command(venues: tuple[str, ...], path: Path | None, as_json: bool) -> int:
    """Show the open orders, freshly read.

    VENUE: all of router.toml, where none is named. A venue that cannot be read is named with the reason, and never shown as if it had no orders. Where router.toml names a
    journal, it is read too (never written): it tells which orders are own, and which commands are in doubt.

    \b
    Exit codes:
      0  all of them were read
      2  usage: bad input, missing credentials, a mistake in router.toml
      3  unknown: one of them cannot list its orders, or did not answer
    """  # noqa: D301 - click reads the \b
    chosen = choose(venues, path)
    listed = run(_read(chosen))
    known = _known(chosen)
    shown = {name: _marked(each, known) for name, each in listed.items()}
    if as_json:
        show_json(_facts(shown, known))
    else:
        _show(shown, known)
    return UNKNOWN if any(isinstance(each, VenueError) for each in listed.values()) else DONE


async def _read(chosen: Chosen) -> Listed:
    with progress(f"connecting to {', '.join(chosen.names)}") as tell:
        async with connected(chosen, Journal.NEVER, strict=False) as found:
            tell("reading the open orders")
            return await read_orders(found.router, chosen.names)


async def read_orders(router: Router, names: Sequence[str]) -> Listed:
    """The open orders by venue, or why they can't be read."""
    read = await asyncio.gather(*map(router.open_orders, names), return_exceptions=True)
    found: dict[str, list[OrderState] | VenueError] = {}
    for name, each in zip(names, read, strict=True):
        if isinstance(each, BaseException) and not isinstance(each, VenueError):
            raise each
        found[name] = each
    return found


def marked(listed: Listed, chosen: Chosen) -> Listed:
    """The same, with `own` as the journal knows it, which is only read."""
    known = _known(chosen)
    return {name: _marked(each, known) for name, each in listed.items()}


def _known(chosen: Chosen) -> Remembered | None:
    journal = None if chosen.config is None else chosen.config.journal
    return None if journal is None else remembered(journal, chosen.names)


def _marked(orders: list[OrderState] | VenueError, known: Remembered | None) -> list[OrderState] | VenueError:
    if known is None or isinstance(orders, VenueError):
        return orders
    return list(map(known.marked, orders))


# -- shown


def _facts(listed: Listed, known: Remembered | None) -> dict[str, Any]:
    """For JSON. own: null where nothing tells."""
    own: dict[str, Any] = {} if known else {"own": None}
    venues = {
        name: {"error": each.text, "kind": type(each).__name__}
        if isinstance(each, VenueError)
        else {"orders": [attrs.asdict(order) | own for order in each]}
        for name, each in listed.items()
    }
    return {"venues": venues, "in_doubt": None if known is None else list(map(attrs.asdict, known.in_doubt))}


def _show(listed: Listed, known: Remembered | None) -> None:
    orders = [order for each in listed.values() if not isinstance(each, VenueError) for order in each]
    if orders:
        shown = [(*order_cells(order), *(["yes" if order.own else "-"] if known else [])) for order in orders]
        show_rows((*ORDER_COLUMNS, *(["own"] if known else [])), shown)
    for name, each in listed.items():
        if isinstance(each, VenueError):
            show(red(f"{name}: its open orders are not known: {each.text} ({type(each).__name__})"))
        elif not each:
            show(f"{name}: no open orders")
    if known is not None and known.in_doubt:
        _show_doubts(known.in_doubt)


def _show_doubts(doubts: Sequence[InDoubt]) -> None:
    rows: list[tuple[str, ...]] = []
    for each in doubts:
        words = "unknown" if each.state == "unknown" else "not answered yet, or its process died"
        names = (each.order_id or "-", each.client_order_id or "-", each.symbol or "-")
        rows.append((each.at.isoformat(" ", "milliseconds"), each.venue, each.verb, *names, words))
    show_rows(("in doubt since", "venue", "command", "order", "client id", "symbol", "what is known"), rows)
