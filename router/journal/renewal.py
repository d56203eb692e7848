"""A journal of an earlier version, brought to this one.

Rules:

1. It has been looked through before, and the lock is held.
2. Everything goes in one commit: killed before that, it is of the earlier version, and whole.
3. The version is then written through to the file's own head, where an older program looks first: it says of a newer journal that
   it is newer, and of one that is newer in its log only that it is damaged.
"""

from __future__ import annotations

import contextlib

import apsw

from router.journal.reading import version
from router.journal.schema import RUN, SCHEMA_VERSION

__all__ = ["renew"]


def renew(db: apsw.Connection) -> None:
    """Nothing for one of this version. db: the writer's."""
    if version(db) == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        _rewrite(db)
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(apsw.Error):
            if not db.get_autocommit():
                db.execute("ROLLBACK")
        raise
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _rewrite(db: apsw.Connection) -> None:
    """The table is made anew, so that its words are those of a new journal: what ALTER TABLE leaves is SQLite's own affair."""
    runs = db.execute("SELECT run, prefix, pid, host, version, durability, opened, closed FROM run").fetchall()
    db.execute(f"DROP TABLE run; {RUN[SCHEMA_VERSION]}").fetchall()
    db.executemany(
        "INSERT INTO run (run, prefix, pid, host, version, durability, opened, closed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        runs,
    )
    db.pragma("user_version", SCHEMA_VERSION)
