"""Every entry of a journal that can still be read, whatever has become of its file.

Rules:

1. Entries are read a thousand at a time. Where that fails, each is asked for by its number, and those that can't be read are counted.
2. An entry that is not as it was written is given all the same, as far as it can be read, and marked.
3. The facts are given as they were written, to the character. Nothing of the file is changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import apsw
import msgspec
from attrs import define

from router.journal.check import checksum

__all__ = ["Salvage"]

CHUNK: Final = 1000
COLUMNS: Final = ("number", "run", "at", "op", "venue", "what", "order_id", "client_order_id", "facts", "crc")
_LIST: Final = ", ".join(COLUMNS)
_BYTES: Final = ", ".join(f"CAST({column} AS BLOB)" if column not in {"number", "at"} else column for column in COLUMNS)
_MANY: Final = "SELECT {} FROM entry WHERE number > ? AND number <= ? ORDER BY number"

Row = tuple[Any, ...]


@define
class Salvage:
    """mark: the number of the last entry that must be there, 0 where nothing tells. lost: how many entries could not be read;
    damaged: how many are not as they were written; complaint: what SQLite said first.
    """

    db: apsw.Connection
    mark: int = 0
    read: int = 0
    damaged: int = 0
    lost: int = 0
    complaint: str = ""

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each as an object for JSON, in order."""
        first, last = self._bounds()
        for begin in range(first - 1, last, CHUNK):
            yield from map(self._told, self._chunk(begin, min(begin + CHUNK, last)))

    def _bounds(self) -> tuple[int, int]:
        """The first and the last number. Those that are missing in between were removed on purpose, by compaction."""
        found = []
        for question in ("SELECT min(number) FROM entry", "SELECT max(number) FROM entry"):
            try:
                found.append(self.db.execute(question).get or 0)
            except (apsw.Error, UnicodeDecodeError) as error:
                self._complain(error)
                found.append(0)
        if found[1] == 0:
            return 1, self.mark
        self.lost += max(0, self.mark - found[1])
        return (found[0] or 1), found[1]

    def _chunk(self, begin: int, end: int) -> Iterator[Row]:
        rows = self._ask(_LIST, begin, end)
        if rows is not None:
            yield from rows
            return
        for number in range(begin, end):
            one = self._ask(_LIST, number, number + 1)
            one = self._ask(_BYTES, number, number + 1) if one is None else one
            self.lost += one is None
            yield from one or ()

    def _ask(self, columns: str, begin: int, end: int) -> list[Row] | None:
        try:
            return self.db.execute(_MANY.format(columns), (begin, end)).fetchall()
        except (apsw.Error, UnicodeDecodeError) as error:
            self._complain(error)
            return None

    def _complain(self, error: Exception) -> None:
        self.complaint = self.complaint or str(error)

    def _told(self, row: Row) -> dict[str, Any]:
        self.read += 1
        whole = checksum(row[:-1]) == row[-1]
        told = dict(zip(COLUMNS, map(_text, row), strict=True))
        told["facts"] = _facts(told["facts"]) if whole else told["facts"]
        if not whole:
            self.damaged += 1
            told["damaged"] = True
        return told


def _facts(text: str) -> Any:
    """As it was written, where it can go into a line of JSON as it is."""
    try:
        json.loads(text)
    except ValueError:
        return text
    return text if "\n" in text else msgspec.Raw(text.encode())


def _text(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
