"""`router settle`: what is in doubt in the journal, asked about once more, or settled by an operator's word."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from router.cli import options, reading
from router.cli.asking import must_be_able_to_ask, progress
from router.cli.choosing import Chosen, choose
from router.cli.connecting import failures
from router.cli.doubts import Doubt, find_doubt, list_doubts, tell_rest, unwritable
from router.cli.exits import NOT_SENT, USAGE, Failure, Sending, run
from router.cli.recounting import read_story, show_story
from router.core import Router
from router.errors import JournalError, VenueError

__all__ = ["command"]

OUTCOMES: Final = ("placed", "not-placed", "cancelled", "not-cancelled", "filled", "replaced", "not-replaced")
PATIENCE: Final = 60.0  # seconds


@click.command("settle")
@click.argument("name", metavar="[ID]", required=False)
@click.option("--as", "word", type=click.Choice(OUTCOMES), help="Ask nobody: this is what became of it.")
@click.option("--order-id", metavar="ID", help="With --as: the venue's id of the order, where the journal has none.")
@click.option("--note", default="", metavar="TEXT", help="With --as: how you know; it is written down.")
@click.option(
    "--deadline",
    type=float,
    default=PATIENCE,
    callback=options.seconds,
    metavar="SECONDS",
    help=f"How long the venue is asked.  [default: {PATIENCE:g}]",
)
@options.yes
@reading.option
@options.config
@options.as_json("what was learnt")
def command(
    name: str | None,
    word: str | None,
    order_id: str | None,
    note: str,
    deadline: float,
    yes: bool,
    journal: Path | None,
    path: Path | None,
    as_json: bool,
) -> int:
    """Settle what is in doubt, by asking or by your word. Without an ID: list it.

    With an ID (as `router why` takes it), the venue is asked what became of it, as a restart does: what it shows settles the doubt; a cancel by
    the venue's id is sent again; with on_unknown = "kill" a submit is cancelled. With --as, nobody is asked and your word is taken:
    it is written down with your name. THAT CAN'T BE UNDONE: nobody asks about it any more, and an order that you name with
    --order-id is taken for this one from then on, so look at the venue first.

    A journal that a Router has open can't be written to: stop that Router first.

    \b
    Exit codes:
      0  settled; nothing in doubt
      2  usage: not in doubt, no such id, the journal is in use, damaged or can't be read; nothing was written
      3  in doubt still
      4  the venue can't be reached or refuses the login, or the answer to the question was no; nothing was written
    """  # noqa: D301 - click reads the \b
    if word is None and (order_id is not None or note):
        raise Failure("--order-id and --note go with --as", USAGE)
    where = reading.journal_path(journal, path)
    if name is None:
        if word is not None:
            raise Failure("--as needs the ID of what it is about", USAGE)
        return list_doubts(where, as_json=as_json)
    must_be_able_to_ask(yes=yes or word is None)
    doubt = find_doubt(where, name)
    if not as_json:
        show_story(read_story(where, doubt.told))
    if word is None:
        return _ask(doubt, path, deadline, as_json=as_json)
    from router.cli.ruling import settle_by_hand  # noqa: PLC0415 - SQLite is of use to those who have a journal

    settled = settle_by_hand(doubt, word, order_id, note, yes=yes)
    return tell_rest(settled, as_json=as_json)


# -- by asking


def _ask(doubt: Doubt, path: Path | None, deadline: float, *, as_json: bool) -> int:
    venues = dict.fromkeys(intent.venue for intent in doubt.intents)
    run(_recover(choose(venues, path), doubt.journal, deadline), Sending(begun=True))
    return tell_rest(doubt, as_json=as_json)


async def _recover(chosen: Chosen, journal: Path, deadline: float) -> None:
    """Do what a restart does. What it comes to is in the journal afterwards."""
    with progress(f"connecting to {', '.join(chosen.names)}") as tell_progress:
        router = Router(chosen.adapters(), journal=journal, **_options(chosen))
        try:
            await router.open()
            tell_progress(f"asking {', '.join(chosen.names)}, for {deadline:g} s at most")
            with suppress(TimeoutError):
                await asyncio.wait_for(router.recovered(), deadline)
        except JournalError as error:
            raise unwritable(error) from None
        except (VenueError, BaseExceptionGroup) as error:
            first, *others = failures(error)
            raise Failure(f"not asked: {first}", NOT_SENT, [str(each) for each in others]) from None
        finally:
            await router.close()


def _options(chosen: Chosen) -> dict[str, Any]:
    if chosen.config is None:
        return {}
    return {"on_unknown": chosen.config.on_unknown, "durability": chosen.config.durability}
