"""Whether what a reader is about to use is as it was written: a glance, where the check of all of it would take too long.

Rules:

1. The mark is read before the entries: it is written after each commit, so a journal that is behind it has lost entries,
   whether or not somebody writes to it now.
2. What is used is looked at, and nothing else: the entries of a story, or the commands that are not over.
3. An entry that makes no sense (no text, no JSON, no time) is an error, not a story.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import apsw

from router.journal.check import COLUMNS, DAMAGE, compare, is_whole, lost
from router.journal.lock import Mark
from router.journal.reading import Told
from router.journal.schema import IN_DOUBT

__all__ = ["Senseless", "changed", "glance", "is_time", "lost", "sensible"]

LAST: Final = 253_402_300_799  # the last second that has a date
_WORDS: Final = ", ".join(f"'{state}'" for state in IN_DOUBT)
_NOT_OVER: Final = f"SELECT op FROM operation WHERE state IN ({_WORDS}) UNION SELECT op FROM own_order WHERE live"


class Senseless(ValueError):
    """An entry that can't be told."""


def glance(db: apsw.Connection, mark: Mark) -> Iterator[str]:
    """What is wrong with what is not over, in sentences."""
    try:
        yield from lost(db, mark)
        for op in [str(op) for (op,) in db.execute(_NOT_OVER)]:
            rows = db.execute(f"SELECT {COLUMNS} FROM entry WHERE op = ? ORDER BY number", (op,)).fetchall()
            operation, order = (
                db.execute(f"SELECT * FROM {table} WHERE op = ?", (op,)).fetchone()
                for table in ("operation", "own_order")
            )
            yield from (f"entry {row[0]} is not as it was written" for row in rows if not is_whole(row))
            if all(map(is_whole, rows)) and (complaint := compare(op, rows, operation, order)):
                yield complaint
    except DAMAGE as error:
        yield f"SQLite says: {error}"


def changed(db: apsw.Connection, told: Iterable[Told]) -> list[int]:
    """The numbers of those that are not as they were written."""
    question = f"SELECT {COLUMNS} FROM entry WHERE number = ?"
    rows = (db.execute(question, (each.number,)).fetchone() for each in told)
    return [row[0] for row in rows if row is not None and not is_whole(row)]


def sensible(told: Iterable[Told]) -> None:
    """Raises Senseless for what cannot be told (rule 3)."""
    for each in told:
        names: tuple[object, ...] = (each.venue, each.op or "", each.order_id or "", each.client_order_id or "")
        if not all(isinstance(name, str) for name in names):
            raise Senseless(f"the ids of entry {each.number} are no text")
        if not is_time(each.at):
            raise Senseless(f"the time of entry {each.number} is none")


def is_time(at: object) -> bool:
    """Whether there is such a moment."""
    return isinstance(at, int | float) and 0 <= at <= LAST
