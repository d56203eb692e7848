"""`router why`: the whole story of an order, read from the journal."""

from __future__ import annotations

from pathlib import Path

import click

from router.cli import options, reading
from router.cli.exits import DONE
from router.cli.recounting import facts_of, read_story, show_story, told_of
from router.console import show_json

__all__ = ["command"]


@click.command("why")
@click.argument("name", metavar="ID")
@click.option("--frames", is_flag=True, help="Show what was on the wire in full, redacted.")
@reading.option
@options.config
@options.as_json("the entries with all their facts")
def command(name: str, frames: bool, journal: Path | None, path: Path | None, as_json: bool) -> int:
    """Tell the whole story of an order from the journal: what was asked, sent, answered and concluded, and when.

    ID is the venue's order id, a client order id or the journal's name of a command; its first 6 characters or more are
    enough where no other id begins so. Nothing is connected, and it works beside a running Router.

    \b
    Exit codes:
      0  told
      2  the journal knows no such id, or several; or it can't be read

    Entries that are lost, or are not as they were written, are said on stderr; what is left is told.
    """  # noqa: D301 - click reads the \b
    where = reading.journal_path(journal, path)
    with reading.watched(where) as db:
        told = told_of(db, name)
        reading.vouch(db, where, told)
    story = read_story(where, told)
    if as_json:
        show_json(facts_of(name, story))
    else:
        show_story(story, frames=frames)
    return DONE
