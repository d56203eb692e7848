"""A journal made smaller: what is over, and has been for long, is taken out of it.

Rules:

1. An operation goes whole or not at all: when it has its outcome, its order has ended, and its last entry is old. What is in doubt
   or may be open stays, with all that was told of it, and so does the last entry of all.
2. Everything goes in one commit, and the file is then rewritten in another: a process that is killed in between leaves the journal
   as it was, or as it should become.
3. It is the journal's one writer meanwhile, and looks through it first, as a Router does.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw
from attrs import frozen

from router.errors import JournalError
from router.journal import file as journalfile
from router.journal.lock import Lock
from router.journal.renewal import renew
from router.journal.schema import FINAL

__all__ = ["Compacted", "Progress", "compact"]

STEP: Final = 2000  # operations between two tellings of how far it has come
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@frozen
class Compacted:
    """What was taken out, and the file's size in bytes, its write-ahead log included, before and after."""

    operations: int
    orders: int
    entries: int
    before: int
    after: int


def compact(path: str | os.PathLike[str], older_than_seconds: float, progress: Progress | None = None) -> Compacted:
    """Take out what ended longer ago than this. Raises JournalBusy, JournalDamaged or JournalError."""
    if not older_than_seconds >= 0:
        raise ValueError(f"older_than_seconds was {older_than_seconds!r}; it must be 0 or more")
    shown = Path(path).absolute()
    file = journalfile.real(shown)
    journalfile.look_at(file, writing=True)
    lock = Lock(file, str(shown))
    try:
        return _compact(shown, file, lock, time.time() - older_than_seconds, progress or _nobody)
    except (apsw.Error, OSError) as error:
        text = f"it can't be compacted: {journalfile.explain(error, shown)}. It holds what it held"
        raise JournalError(str(shown), text) from None
    finally:
        lock.release()


def _nobody(what: str, done: int, of: int) -> None:
    pass


def _compact(shown: Path, file: Path, lock: Lock, before: float, progress: Progress) -> Compacted:
    journalfile.single(file)
    progress("looking through it", 0, 1)
    with journalfile.alone(file) as db:
        journalfile.refuse_damage(db, lock.mark, shown)
    size = _size(file)
    with contextlib.closing(journalfile.connect(file, "FULL")) as db:
        renew(db)
        counts = _remove(db, before, progress)
        _shrink(db, shown, progress)
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    return Compacted(*counts, size, _size(file))


_WORDS: Final = ", ".join(f"'{state}'" for state in FINAL)
_OVER: Final = f"""
    CREATE TEMP TABLE over AS
    SELECT op FROM operation
    WHERE state IN ({_WORDS}) AND changed < :before
        AND NOT EXISTS (SELECT 1 FROM own_order WHERE own_order.op = operation.op AND (live OR changed >= :before))
        AND NOT EXISTS (
            SELECT 1 FROM entry WHERE entry.op = operation.op
                AND (at >= :before OR number = (SELECT max(number) FROM entry))
        )
        AND (venue, client_order_id) NOT IN (
            SELECT venue, coalesce(client_order_id, '') FROM operation WHERE state NOT IN ({_WORDS}) AND verb = 'submit'
        ) IS NOT FALSE
"""
_SOME: Final = "(SELECT op FROM over WHERE rowid > ? AND rowid <= ?)"
_OTHERS: Final = "DELETE FROM entry WHERE op IS NULL AND at < ? AND number < (SELECT max(number) FROM entry)"


def _remove(db: apsw.Connection, before: float, progress: Progress) -> tuple[int, int, int]:
    """Operations, orders and entries, in one commit."""
    db.execute("PRAGMA temp_store=MEMORY")
    db.execute("BEGIN IMMEDIATE")
    db.execute(_OVER, {"before": before})
    total = db.execute("SELECT count(*) FROM over").get
    orders = operations = entries = 0
    for begin in range(0, total, STEP):
        progress("taking out what is over", begin, total)
        some = (begin, begin + STEP)
        orders += _delete(db, f"DELETE FROM own_order WHERE op IN {_SOME}", some)
        operations += _delete(db, f"DELETE FROM operation WHERE op IN {_SOME}", some)
        entries += _delete(db, f"DELETE FROM entry WHERE op IN {_SOME}", some)
    entries += _delete(db, _OTHERS, (before,))
    db.execute("DROP TABLE over")
    db.execute("COMMIT")
    progress("taking out what is over", total, total)
    return operations, orders, entries


def _delete(db: apsw.Connection, statement: str, values: tuple[float, ...]) -> int:
    db.execute(statement, values)
    return db.changes()


def _shrink(db: apsw.Connection, shown: Path, progress: Progress) -> None:
    """Rewrite the file, which is of no consequence for what it holds."""
    progress("making the file smaller", 0, 1)
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except (apsw.FullError, apsw.IOError) as error:
        text = (
            f"what is over was taken out, but the file can't be made smaller: {journalfile.explain(error, shown)}. That takes twice as "
            "much room as it has now, for a moment. The journal is whole, and works"
        )
        raise JournalError(str(shown), text) from None
    progress("making the file smaller", 1, 1)


def _size(file: Path) -> int:
    log = Path(f"{file}-wal")
    return file.stat().st_size + (log.stat().st_size if log.exists() else 0)
