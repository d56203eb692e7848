"""What the journal has in doubt: found, listed, and told again once something was done about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from attrs import frozen

from router.cli.exits import DONE, UNKNOWN, USAGE, Failure
from router.cli.reading import reading
from router.cli.recounting import facts_of, read_story, show_story, told_of
from router.cli.remembered import IN_DOUBT, InDoubt
from router.cli.telling import complain
from router.console import cell, show, show_json, table
from router.errors import JournalBusy, JournalError
from router.story import in_doubt, tell

if TYPE_CHECKING:
    from router.journal.reading import Told

__all__ = ["Doubt", "find_doubt", "list_doubts", "tell_rest", "unwritable"]


@frozen(kw_only=True)
class Doubt:
    """What is to be settled. told: everything of the order; intents: of those of its commands that are meant."""

    name: str
    journal: Path
    told: Sequence[Told]
    intents: Sequence[Told]


def find_doubt(journal: Path, name: str) -> Doubt:
    """What is in doubt of this id. Raises Failure when nothing is."""
    with reading(journal) as db:
        told = told_of(db, name)
    intents = in_doubt(told)
    mine = [intent for intent in intents if intent.op == name] or intents
    if not mine:
        raise Failure(f"nothing of {name} is in doubt. {' '.join(tell(told).heading)}", USAGE)
    return Doubt(name=name, journal=journal, told=told, intents=mine)


def list_doubts(journal: Path, *, as_json: bool) -> int:
    """Everything that is in doubt, and the exit code."""
    with reading(journal) as db:
        found = [InDoubt(*row) for row in db.execute(IN_DOUBT)]
    if as_json:
        show_json({"journal": str(journal), "in_doubt": [attrs.asdict(each) for each in found]})
    elif found:
        rows = table("in doubt since (UTC)", "venue", "command", "id", "order", "symbol", "what is known")
        for each in found:
            known = (
                "the caller was told UNKNOWN" if each.state == "unknown" else "not answered yet, or its process died"
            )
            order = each.order_id or each.client_order_id or "-"
            words = (
                each.at.strftime("%Y-%m-%d %H:%M:%S"),
                each.venue,
                each.verb,
                each.op,
                order,
                each.symbol or "-",
                known,
            )
            rows.add_row(*map(cell, words))
        show(rows)
    else:
        show(f"{journal}: nothing is in doubt")
    return UNKNOWN if found else DONE


def tell_rest(doubt: Doubt, *, as_json: bool) -> int:
    """What has been written since, and whether that settles it: the exit code."""
    with reading(doubt.journal) as db:
        told = told_of(db, doubt.told[0].op or doubt.name)
    left = [intent for intent in in_doubt(told) if intent.op in {each.op for each in doubt.intents}]
    last = max(each.number for each in doubt.told)
    story = read_story(doubt.journal, told)
    old = [place for place, line in enumerate(story.lines) if line.told is not None and line.told.number <= last]
    new = attrs.evolve(story, lines=story.lines[old[-1] + 1 :])
    if as_json:
        show_json(facts_of(doubt.name, new) | {"settled": not left, "in_doubt": [intent.op for intent in left]})
    else:
        show("")
        show_story(new)
    for intent in left:
        _say_how(intent)
    return UNKNOWN if left else DONE


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
