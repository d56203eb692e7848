"""`router venues`: what is installed, and what each can do."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import click

from router import venuetable
from router.cli.exits import DONE, USAGE, Failure
from router.console import cell, red, show, show_json, table, write

__all__ = ["command"]


@click.command("venues")
@click.option("--json", "as_json", is_flag=True, help="Print what each can do as one JSON object.")
@click.option("--markdown", is_flag=True, help="Print the table of the built-in venues that is in docs/venues.md.")
def command(as_json: bool, markdown: bool) -> int:
    """List the installed venues, where each comes from and what it can do. No credentials needed.

    Those that other packages bring are among them. One that is broken is named with its error; the others work.
    """
    if as_json and markdown:
        raise Failure("--json or --markdown, and not both", USAGE)
    with redirect_stdout(sys.stderr):  # somebody else's module may print when it is imported
        found = venuetable.built_in() if markdown else venuetable.listed()
    if markdown:
        write(venuetable.markdown(found))
    elif as_json:
        show_json(found)
    else:
        _show_venues(found)
    return DONE


def _show_venues(found: Mapping[str, Mapping[str, Any]]) -> None:
    sets = ("cancel_kinds", "needs_symbol", "order_types", "lists", "replaces")
    last = ("documentation", "simulator", "package")
    rows = table("venue", "cancels by", "symbol needed for", "orders", "lists", "replaces", *last)
    for name, venue in found.items():
        if "error" not in venue:
            words = [", ".join(venue[each]) or "-" for each in sets]
            rows.add_row(
                *map(cell, (name, *words, venue["docs_url"], "yes" if venue["simulator"] else "-", venue["package"]))
            )
    show(rows)
    for name, venue in found.items():
        for title, key in ((name, "error"), (f"{name}'s simulator", "simulator_error")):
            if key in venue:
                show(red(f"{title} ({venue['package']}): {venue[key]}"))
