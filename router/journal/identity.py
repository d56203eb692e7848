"""Which journal a file is, and whether somebody writes to it: what a lease is compared with.

Rules:

1. Nothing of the file is changed, and whoever has it open is not disturbed.
2. Its name is that of its first run, which is never taken out of it. A copy has the same name: only together with its place does
   the name say that it is the very file.
"""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

from attrs import frozen

from router.journal import file as journalfile
from router.journal.lock import boot, is_held
from router.journal.reading import epoch
from router.redact import fingerprint

__all__ = ["Identity", "identity"]


@frozen(kw_only=True)
class Identity:
    """id: for as long as the journal lives, wherever it is. place: of this very file, on this machine as it was last started.
    epoch: the highest of any run. is_held: whether somebody had it open for writing, or nothing could tell.
    """

    id: str
    place: str
    epoch: int
    is_held: bool


def identity(path: str | os.PathLike[str]) -> Identity | None:
    """Of the journal of this name; None where there is none, or one that nobody has ever begun to write to.

    It reads a file, so call it in a thread. Raises JournalDamaged, and JournalError for what can't be read; also while somebody
    looks through it to open it.
    """
    file = journalfile.real(Path(path).absolute())
    if not os.path.lexists(file):
        return None
    held = is_held(file)
    with contextlib.closing(journalfile.reader(file)) as db, journalfile.told(file), db:
        first = db.execute("SELECT prefix, pid, host, opened FROM run ORDER BY run LIMIT 1").fetchone()
        highest = epoch(db)
    if first is None:
        return None
    prefix, *who = first
    name = f"{prefix}-{fingerprint(*map(repr, who))}"
    return Identity(id=name, place=_place(file), epoch=highest, is_held=held)


def _place(file: Path) -> str:
    found = file.stat()
    return fingerprint(boot(), platform.node(), str(found.st_dev), str(found.st_ino))
