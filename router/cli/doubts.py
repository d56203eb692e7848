"""What the journal has in doubt: found, listed, and told again once something was done about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from attrs import frozen

from router.cli.asking import progress
from router.cli.exits import DONE, UNKNOWN, USAGE, Failure
from router.cli.reading import mark, reading, vouch, watched
from router.cli.recounting import facts_of, read_story, show_story, told_of
from router.cli.remembered import IN_DOUBT, InDoubt
from router.cli.telling import complain
from router.console import cell, show, show_json, table
from router.errors import JournalBusy, JournalError
from router.report import Outcome
from router.story import in_doubt, tell

if TYPE_CHECKING:
    from router.journal.reading import Told

__all__ = ["Doubt", "find_doubt", "list_doubts", "tell_rest", "unwritable"]

MOST: Final = 3  # complaints in a line


@frozen(kw_only=True)
class Doubt:
    """What is to be settled. told: everything of the order; intents: of those of its commands that are meant."""

    name: str
    journal: Path
    told: Sequence[Told]
    intents: Sequence[Told]


def find_doubt(journal: Path, name: str) -> Doubt:
    """What is in doubt of this id. Raises Failure when nothing is."""
    with watched(journal) as db:
        told = told_of(db, name)
        vouch(db, journal, told)
    intents = in_doubt(told)
    mine = [intent for intent in intents if intent.op == name] or intents
    if not mine:
        raise Failure(f"nothing of {name} is in doubt. {' '.join(tell(told).heading)}", USAGE)
    return Doubt(name=name, journal=journal, told=told, intents=mine)


def list_doubts(journal: Path, *, as_json: bool) -> int:
    """Everything that is in doubt, and the exit code. Whoever relies on that relies on all of the journal: it is looked through."""
    from router.journal.file import look_through  # noqa: PLC0415 - SQLite is of use to those who have a journal

    last = mark(journal)
    with progress(f"reading {journal}"), reading(journal) as db:
        db.execute("BEGIN")
        wrong = list(look_through(db, last))
        found = [InDoubt(*row) for row in db.execute(IN_DOUBT)]
    if as_json:
        show_json({"journal": str(journal), "in_doubt": [attrs.asdict(each) for each in found], "complaints": wrong})
    else:
        _show(journal, found, is_all=not wrong)
    if not wrong:
        return UNKNOWN if found else DONE
    more = f", and {len(wrong) - MOST} more" if len(wrong) > MOST else ""
    complain(
        f"journal {journal}: it is damaged: {'; '.join(wrong[:MOST])}{more}. SO MORE MAY BE IN DOUBT than it knows of; "
        "`router journal check` says all that is wrong"
    )
    return USAGE


def _show(journal: Path, found: Sequence[InDoubt], *, is_all: bool) -> None:
    if found:
        rows = table("in doubt since (UTC)", "venue", "command", "id", "order", "symbol", "what is known")
        for each in found:
            order = each.order_id or each.client_order_id or "-"
            words = (
                each.at.strftime("%Y-%m-%d %H:%M:%S"),
                each.venue,
                each.verb,
                each.op,
                order,
                each.symbol or "-",
                _known(each),
            )
            rows.add_row(*map(cell, words))
        show(rows)
    elif is_all:
        show(f"{journal}: nothing is in doubt")


def _known(doubt: InDoubt) -> str:
    if doubt.rests:
        return "asking tells nothing more: settle it with --as"
    return "the caller was told UNKNOWN" if doubt.state == "unknown" else "not answered yet, or its process died"


def tell_rest(doubt: Doubt, *, as_json: bool) -> int:
    """What has been written since, and whether that settles it: the exit code."""
    with reading(doubt.journal) as db:
        told = told_of(db, doubt.told[0].op or doubt.name)
    mine = {each.op for each in doubt.intents}
    left = [intent for intent in in_doubt(told) if intent.op in mine]
    open_ended = {each.op for each in told if each.op in mine and each.what == "resolved" and _is_unknown(each)}
    last = max(each.number for each in doubt.told)
    story = read_story(doubt.journal, told)
    old = [place for place, line in enumerate(story.lines) if line.told is not None and line.told.number <= last]
    new = attrs.evolve(story, lines=story.lines[old[-1] + 1 :])
    if as_json:
        show_json(
            facts_of(doubt.name, new)
            | {"settled": not (left or open_ended), "in_doubt": [intent.op for intent in left]}
        )
    else:
        show("")
        show_story(new)
    for intent in left:
        _say_how(intent)
    for op in sorted(map(str, open_ended)):
        complain(
            f"{op} is over, and what became of it is UNKNOWN: look at what is open, and cancel that: router orders"
        )
    return UNKNOWN if left or open_ended else DONE


def _is_unknown(told: Told) -> bool:
    """An end without an outcome: of a cancel-all that nobody goes on with."""
    return told.facts.get("outcome") == Outcome.UNKNOWN


def _say_how(intent: Told) -> None:
    from router.journal.settling import WORDS  # noqa: PLC0415 - SQLite is of use to those who have a journal

    verb = str(intent.facts.get("verb"))
    words = " | ".join(WORDS.get(verb, ()))
    complain(
        f"the {verb.replace('_', '-')} is in doubt still. Look at {intent.venue} yourself, then say what became of it: "
        f"router settle {intent.op} --as [{words}]"
    )


def unwritable(error: JournalError) -> Failure:
    """Why nothing can be settled now."""
    if isinstance(error, JournalBusy):
        return Failure(f"{error}. Stop that Router first; it asks about what is in doubt whenever it starts", USAGE)
    return Failure(str(error), USAGE)
