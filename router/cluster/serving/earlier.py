"""What earlier runs have written of operations into the journal of a venue, for a tenure that must not begin any of them again.

An id is 16 hex digits of a strategy's process and a counter. Strategies outlive a gateway's restart, so theirs may be in the journal:
of each process the highest is looked up once, and only what is not above that need be looked up when it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from router.journal.answers import Answered, answer
from router.journal.file import reader, told

__all__ = ["Earlier", "looked_up"]

PROCESS: Final = 16  # characters
_NEXT: Final = "SELECT op FROM operation WHERE op > ? ORDER BY op LIMIT 1"
_LAST: Final = "SELECT op FROM operation WHERE op >= ? AND op < ? ORDER BY op DESC LIMIT 1"
_BEYOND: Final = "g"  # sorts after every hex digit


class Earlier:
    """The operations of earlier runs. highest: the last id by process."""

    def __init__(self, highest: Mapping[str, str] | None = None) -> None:
        self._highest = dict(highest or {})

    @classmethod
    def read(cls, path: Path) -> Earlier:
        """Of a journal that is open. It reads the file, so call it in a thread. Raises JournalError."""
        found, last = {}, ""
        with contextlib.closing(reader(path)) as db, told(path), db:
            while (row := db.execute(_NEXT, (last,)).fetchone()) is not None:
                process = row[0][:PROCESS]
                last = process + _BEYOND
                found[process] = max(op for (op,) in db.execute(_LAST, (process, last)))
        return cls(found)

    def may_have(self, op: str) -> bool:
        """Whether it can be in the journal since before."""
        return op <= self._highest.get(op[:PROCESS], "")


async def looked_up(path: Path, op: str) -> Answered | None:
    """What the journal says became of it. Raises JournalError."""
    return await asyncio.to_thread(answer, path, op)
