"""What is wrong with the disk, in words that say what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

import apsw

__all__ = ["explain"]

MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_ROOM: Final = "the disk is full; free some space on it"
_CAUSES: Final[tuple[tuple[tuple[type[BaseException], ...], frozenset[int], str], ...]] = (
    ((apsw.FullError,), FULL, NO_ROOM),
    ((apsw.ReadOnlyError,), READ_ONLY, "it, or its folder, can't be written; allow that, or name a journal elsewhere"),
    ((FileNotFoundError,), MISSING, "there is no such folder or file; make the folder, or name another one"),
    (
        (apsw.CantOpenError,),
        frozenset(),
        "the file system does not let it be opened; look at the folder's permissions and at what is left of the disk",
    ),
    ((apsw.BusyError, apsw.LockedError), frozenset(), "another program is writing to it; end that"),
    ((apsw.IOError, OSError), frozenset(), "the disk does not work ({error}); look at the system's log"),
)


def explain(error: BaseException, path: os.PathLike[str] | str | None = None) -> str:
    """An error of the disk in words that say what to do. path: of the file; SQLite doesn't always tell that there is no room."""
    if isinstance(error, apsw.IOError | apsw.CantOpenError) and path is not None and _is_full(Path(path)):
        return NO_ROOM
    number = getattr(error, "errno", None)
    for kinds, numbers, text in _CAUSES:
        if isinstance(error, kinds) or number in numbers:
            return text.format(error=error)
    return str(error)


def _is_full(path: Path) -> bool:
    """Whether nothing can be added beside it. A file system that doesn't count its files says 0 of them."""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return False
    return bool(found.f_blocks) and not found.f_bavail or bool(found.f_files) and not found.f_favail  # noqa: RUF021
