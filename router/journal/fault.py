"""What is wrong with the disk, in words that say what to do."""

from __future__ import annotations

import errno
from typing import Final

import apsw

__all__ = ["explain"]

MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_CAUSES: Final[tuple[tuple[tuple[type[BaseException], ...], frozenset[int], str], ...]] = (
    ((apsw.FullError,), FULL, "the disk is full; free some space on it"),
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


def explain(error: BaseException) -> str:
    """An error of the disk in words that say what to do."""
    number = getattr(error, "errno", None)
    for kinds, numbers, text in _CAUSES:
        if isinstance(error, kinds) or number in numbers:
            return text.format(error=error)
    return str(error)
