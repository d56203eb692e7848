"""The journal's file: made whole or not at all, opened only when it is one, and left as it was when it is not.

Rules:

1. A new journal is made under another name and then linked to its own, so a file of that name is never half made.
2. A journal is opened for writing only after it has been looked through (router.journal.check). For that it is held alone, with no
   -shm, and closed without a checkpoint: one that fails is left as it was, its write-ahead log included.
3. Nothing but SQLite opens the file: closing it in any other way would take away the locks that SQLite has on it in this process.
4. A journal has one name. Names that lead to it are followed; a second name of the file itself is refused, because it would have
   a write-ahead log of its own.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw

from router.errors import JournalDamaged, JournalError
from router.journal.check import DAMAGE, layout, look_through
from router.journal.fault import explain
from router.journal.lock import Mark, read_mark
from router.journal.reading import version
from router.journal.schema import APPLICATION_ID, SCHEMA, SCHEMA_VERSION, SCHEMAS

__all__ = [
    "AWAY",
    "alone",
    "connect",
    "create",
    "explain",
    "look_at",
    "look_through",
    "read_mark",
    "reader",
    "real",
    "refuse_damage",
    "single",
    "told",
]

MOST_COMPLAINTS: Final = 5
BUSY_MILLISECONDS: Final = 2000  # a reader that looks beside the writer may hold it up for so long
LOG_BYTES: Final = 16 * 2**20  # what the write-ahead log is cut back to after a long reader has held it up
AWAY: Final = (
    "Nothing of it was changed. `router journal check` says what is wrong and `router journal export` prints what can be read; "
    "then move it away, with its -wal and -lock, and begin a new one. Until then orders can be cancelled without it: "
    "`router cancel`, or Router(..., strict=False)"
)
GONE: Final = (
    "Put it back; or, to begin a new one, remove what is left of it. Until then orders can be cancelled without it: "
    "`router cancel`, or Router(..., strict=False)"
)


def real(path: Path) -> Path:
    """The file's own name, whatever leads to it."""
    try:
        return Path(os.path.realpath(path))
    except OSError as error:
        raise JournalError(str(path), f"it can't be opened: {explain(error)}") from None


# -- making one


def create(file: Path, mark: Mark, sync: str) -> None:
    """A new, empty journal, if there is none of this name, and there was none. The lock is held."""
    made = file.with_name(f".{file.name}.new")
    _remove(made)  # what is left of one that was interrupted
    if os.path.lexists(file):
        return
    _check_gone(file, mark)
    try:
        os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        db = apsw.Connection(str(made))
        try:
            db.execute(f"PRAGMA synchronous={sync}; PRAGMA journal_mode=WAL; BEGIN; {SCHEMA} COMMIT").fetchall()
        finally:
            db.close()
        os.link(made, file)
    except (OSError, apsw.Error) as error:
        raise JournalError(str(file), f"it can't be made: {explain(error, file)}") from None
    finally:
        _remove(made)
    _sync(file.parent)


def _check_gone(file: Path, mark: Mark) -> None:
    left = [name for name in (f"{file}-wal", f"{file}-journal") if _size(name)]
    if mark.number and mark.is_owed():
        left.append(f"{file}-lock")
    if left:
        text = f"it is gone, and it was there: {' and '.join(left)} still tell of it. Nothing was changed. {GONE}"
        raise JournalDamaged(str(file), text)


def _size(name: str) -> int:
    try:
        return Path(name).stat().st_size
    except FileNotFoundError:
        return 0


def _remove(made: Path) -> None:
    for left in (made, *(Path(f"{made}{end}") for end in ("-wal", "-shm", "-journal"))):
        with contextlib.suppress(OSError):
            left.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- opening one


def look_at(file: Path, *, writing: bool) -> None:
    """What can be said before it is opened."""
    try:
        found = file.stat()
        beside = os.path.lexists(f"{file}-journal")
    except (OSError, ValueError) as error:
        raise JournalError(str(file), f"it can't be opened: {explain(error, file)}") from None
    if not stat.S_ISREG(found.st_mode):
        raise JournalError(str(file), "it is no file; name one that is, or one that is not there yet")
    if not found.st_size:
        raise JournalDamaged(str(file), f"it is empty. {AWAY}")
    if beside:
        raise JournalDamaged(str(file), f"{file}-journal is beside it, which no Router has made. {AWAY}")
    if writing:
        _check_writable(file, found)
    _check_head(file)


def _check_writable(file: Path, found: os.stat_result) -> None:
    """Also for the superuser, who may write whatever the permissions say."""
    if not (found.st_mode & 0o222 and os.access(file, os.W_OK)):
        raise JournalError(
            str(file), f"it is read-only; allow it to be written (chmod u+w {file}), or name another one"
        )
    if not (file.parent.stat().st_mode & 0o222 and os.access(file.parent, os.W_OK | os.X_OK)):
        text = f"its folder is read-only, and its write-ahead log is kept there; allow {file.parent} to be written, or name another one"
        raise JournalError(str(file), text)


def single(file: Path) -> None:
    """Refuse a file that has a second name (rule 4)."""
    if file.stat().st_nlink > 1:
        text = "its file has more than one name (hard links), and each would have a write-ahead log of its own; remove all but one"
        raise JournalError(str(file), text)


def _check_head(file: Path) -> None:
    """As it stands in the file: no log is looked at, nothing is locked, nothing is made."""
    try:
        with contextlib.closing(_connection(file, apsw.SQLITE_OPEN_READONLY, "?immutable=1")) as db:
            name, said, known = db.pragma("application_id"), version(db), layout(db)
    except DAMAGE as error:
        if _size(f"{file}-wal"):
            return  # perhaps a checkpoint was interrupted: it is whole with its log only, and is looked through with that
        text = f"it is no journal, or its beginning has been overwritten ({error}). {AWAY}"
        raise JournalDamaged(str(file), text) from None
    except (apsw.Error, OSError) as error:
        raise JournalError(str(file), f"it can't be opened: {explain(error, file)}") from None
    if name != APPLICATION_ID:
        raise JournalDamaged(str(file), f"it is a database, but no Router's journal. {AWAY}")
    if said > SCHEMA_VERSION and not known:
        raise JournalError(str(file), "it was written by a newer version of venue-router; use that one")
    if said not in SCHEMAS:  # whether it is the one that its tables are of is looked at with the log
        raise JournalDamaged(str(file), f"its version is {said}, which no Router writes. {AWAY}")


def _connection(file: Path, flags: int, parameters: str = "") -> apsw.Connection:
    return apsw.Connection(f"file:{quote(str(file))}{parameters}", flags=flags | apsw.SQLITE_OPEN_URI)


@contextlib.contextmanager
def told(file: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except DAMAGE as error:
        raise JournalDamaged(str(file), f"it can't be read: {error}. {AWAY}") from None
    except (apsw.Error, OSError) as error:
        raise JournalError(str(file), f"it can't be opened: {explain(error, file)}") from None


def reader(path: Path, *, lasting: bool = False) -> apsw.Connection:
    """A connection that only reads, also beside the writer. Where nothing can be made beside the file, and it has no log, the file
    is read as it stands: nobody can be writing to it. lasting: somebody may begin to, before this connection is closed.
    """
    file = real(path)
    look_at(file, writing=False)
    with told(file):
        try:
            return _ready(_patient(_connection(file, apsw.SQLITE_OPEN_READONLY)))
        except (apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError):
            if lasting or _size(f"{file}-wal"):
                raise
            return _ready(_connection(file, apsw.SQLITE_OPEN_READONLY, "?immutable=1"))


def connect(file: Path, sync: str) -> apsw.Connection:
    """The writer's connection, which leaves the file alone when it is closed, until told otherwise."""
    with told(file):
        db = _ready(_patient(_connection(file, apsw.SQLITE_OPEN_READWRITE)))
        full = "ON" if sync == "FULL" else "OFF"
        db.execute(
            f"PRAGMA synchronous={sync}; PRAGMA fullfsync={full}; PRAGMA checkpoint_fullfsync=ON; "
            f"PRAGMA recursive_triggers=ON; PRAGMA journal_size_limit={LOG_BYTES}"
        ).fetchall()
        return db


@contextlib.contextmanager
def alone(file: Path) -> Iterator[apsw.Connection]:
    """A connection to look through it, which leaves nothing behind (rule 2). The lock is held."""
    log = Path(f"{file}-wal")
    with told(file), contextlib.closing(_connection(file, apsw.SQLITE_OPEN_READWRITE)) as db:
        made = None if os.path.lexists(log) else log
        try:
            if not _is_alone(db):
                made = None
            if db.readonly("main") or db.execute("PRAGMA journal_mode").get != "wal":
                raise JournalDamaged(str(file), f"its header has been overwritten. {AWAY}")
            yield db
        finally:
            if made is not None:
                _remove_empty(made)


def refuse_damage(db: apsw.Connection, mark: Mark, shown: Path) -> None:
    """Raises JournalDamaged for one that is not whole."""
    wrong = list(islice(look_through(db, mark), MOST_COMPLAINTS))
    if wrong:
        raise JournalDamaged(str(shown), f"it is damaged: {'; '.join(wrong)}. {AWAY}")


def _is_alone(db: apsw.Connection) -> bool:
    """Begin; False: somebody is reading it, and has its -shm."""
    db.execute("PRAGMA locking_mode=EXCLUSIVE")
    try:
        _ready(db)
    except apsw.BusyError:
        db.execute("PRAGMA locking_mode=NORMAL")
        _ready(_patient(db))
        return False
    return True


def _remove_empty(log: Path) -> None:
    with contextlib.suppress(OSError):
        if not log.stat().st_size:
            log.unlink()


def _patient(db: apsw.Connection) -> apsw.Connection:
    db.set_busy_timeout(BUSY_MILLISECONDS)
    return db


def _ready(db: apsw.Connection) -> apsw.Connection:
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    db.execute("PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; SELECT count(*) FROM sqlite_schema").fetchall()
    return db
