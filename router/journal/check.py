"""What is wrong with a journal, found before anything is added to it.

Rules:

1. SQLite's own check comes first, then the tables themselves, then each entry against its checksum.
2. The entries are then added up anew, in the order of their operations, and must come to what the other two tables hold.
3. A disk that does not work is not damage: that is raised, not told.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import apsw
import msgspec

from router.journal.lock import Mark
from router.journal.reading import version
from router.journal.schema import ENDED, FINAL, SCHEMAS
from router.journal.tables import MOVES_ORDER

__all__ = ["COLUMNS", "DAMAGE", "checksum", "compare", "is_whole", "layout", "look_through", "lost"]

DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, UnicodeDecodeError)
Row = tuple[Any, ...]


def checksum(row: Row) -> int:
    """Of an entry's columns but the last: the facts as they are, after Python's words for the tuple of the others."""
    facts = row[8] if isinstance(row[8], str) else repr(row[8])  # of one that is damaged
    return zlib.crc32(facts.encode("utf-8", "replace"), zlib.crc32(repr(row[:8]).encode("utf-8", "replace")))


def look_through(db: apsw.Connection, mark: Mark) -> Iterator[str]:
    """Everything that is wrong with it, in sentences; nothing for one that is whole."""
    try:
        for (found,) in db.execute("PRAGMA integrity_check(10)"):
            if found != "ok":
                yield f"SQLite says: {found}"
        if layout(db) != version(db):
            yield "its tables are not as they were made"
            return
        yield from _without_operation(db)
        yield from _operations(db)
        yield from lost(db, mark)
    except DAMAGE as error:
        yield f"SQLite says: {error}"


def layout(db: apsw.Connection) -> int:
    """Of which version its tables, indices and triggers are, word for word; 0: of none that is known here."""
    return _layouts().get(_tables(db), 0)


def _tables(db: apsw.Connection) -> frozenset[Row]:
    return frozenset(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"))


@lru_cache(maxsize=1)
def _layouts() -> dict[frozenset[Row], int]:
    return {_made(schema): version for version, schema in SCHEMAS.items()}


def _made(schema: str) -> frozenset[Row]:
    db = apsw.Connection(":memory:")
    db.execute(schema).fetchall()
    found = _tables(db)
    db.close()
    return found


def lost(db: apsw.Connection, mark: Mark) -> Iterator[str]:
    """Whether it has less than its lock says. mark: read before, because a writer may go on."""
    last = db.execute("SELECT coalesce(max(number), 0) FROM entry").get
    if last < mark.number and mark.is_owed():
        yield f"its last entry is {last}, and {mark.number} was written: the entries after it are lost"


# -- entries

COLUMNS: Final = "number, run, at, op, venue, what, order_id, client_order_id, facts, crc"


def _without_operation(db: apsw.Connection) -> Iterator[str]:
    for row in db.execute(f"SELECT {COLUMNS} FROM entry WHERE op IS NULL"):
        if not is_whole(row):
            yield _changed(row)


def is_whole(row: Row) -> bool:
    """Whether an entry, with its checksum, is as it was written."""
    return isinstance(row[8], str) and checksum(row) == row[-1]


def _changed(row: Row) -> str:
    return f"entry {row[0]} is not as it was written"


# -- what they add up to


class _Facts(msgspec.Struct):
    """What the tables take from an entry's facts."""

    account: Any = None
    verb: Any = None
    symbol: Any = None
    state: msgspec.Raw = msgspec.Raw(b"null")


class _State(msgspec.Struct):
    status: Any = None


_facts: Final = msgspec.json.Decoder(_Facts).decode
_status: Final = msgspec.json.Decoder(_State).decode


def _operations(db: apsw.Connection) -> Iterator[str]:
    """Both tables beside the entries, all in the order of their operations' names."""
    entries = db.execute(f"SELECT {COLUMNS} FROM entry WHERE op IS NOT NULL ORDER BY op, number")
    operations = _Beside(db.execute("SELECT * FROM operation ORDER BY op"))
    orders = _Beside(db.execute("SELECT * FROM own_order ORDER BY op"))
    for op, group in groupby(entries, key=itemgetter(3)):
        rows = list(group)
        changed = [_changed(row) for row in rows if not is_whole(row)]
        yield from changed
        found = operations.at(op), orders.at(op)
        if not changed and (complaint := compare(op, rows, *found)):
            yield complaint
    for op in (*operations.left(), *orders.left()):
        yield f"nothing tells of the operation {op}"


def compare(op: str, rows: Iterable[Row], operation: Row | None, order: Row | None) -> str:
    """What is wrong with an operation and its order, beside their entries; "" for nothing."""
    try:
        sum_of = _Sum(rows)
    except msgspec.DecodeError:
        return f"the facts of the operation {op} can't be read"
    if sum_of.operation != operation:
        return f"the operation {op} is not where its entries left it"
    if sum_of.order != order:
        return f"the order of {op} is not as its entries left it"
    return ""


def _text(value: Any) -> str | None:
    """As SQLite keeps a number in a column of texts."""
    return value if value is None or isinstance(value, str) else str(int(value) if isinstance(value, bool) else value)


class _Sum:
    """What one operation's entries add up to, told anew from the JSON that was written."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.operation: Row | None = None
        self.order: Row | None = None
        for row in rows:
            self._take(*row[:-1])

    def _take(
        self, _: int, run: int, at: float, op: str, venue: str, what: str, order_id: Any, client: Any, facts: str
    ) -> None:
        if what == "intent":
            told = _facts(facts)
            ids = (order_id, client)
            self.operation = (
                op,
                run,
                venue,
                _text(told.account),
                told.verb,
                *ids,
                _text(told.symbol),
                "intent",
                at,
                at,
            )
            if told.verb == "submit":
                self.order = (op, venue, *ids, "pending_new", 1, bytes(told.state).decode(), at)
            return
        if self.operation is not None and (what in FINAL or (what == "unknown" and self.operation[8] == "intent")):
            head, was = self.operation[:5], self.operation[5:8]
            kept = was if order_id is None or what == "unknown" else (order_id, *was[1:])
            self.operation = (*head, *kept, what, self.operation[9], at)
        if self.order is not None and what == "not_sent":
            self.order = (*self.order[:4], None, 0, self.order[6], at)
        elif self.order is not None and what in MOVES_ORDER:
            self._move(self.order, at, order_id, facts)

    def _move(self, order: Row, at: float, order_id: str | None, facts: str) -> None:
        state = bytes(_facts(facts).state)
        if state == b"null":
            return
        status = _status(state).status
        if order[5] or status in ENDED:
            live = int(status not in ENDED) if order[5] else 0
            self.order = (
                *order[:2],
                order[2] if order_id is None else order_id,
                order[3],
                status,
                live,
                state.decode(),
                at,
            )


class _Beside:
    """A table's rows, read beside the entries: each has its operation's name first, and they are in its order."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)
        self._alone: list[str] = []

    def at(self, op: str) -> Row | None:
        """The row of this name; those before it have no entries."""
        while self._next is not None and self._next[0] < op:
            self._alone.append(self._next[0])
            self._next = next(self._rows, None)
        if self._next is None or self._next[0] != op:
            return None
        found, self._next = self._next, next(self._rows, None)
        return found

    def left(self) -> Iterator[str]:
        yield from self._alone
        if self._next is not None:
            yield self._next[0]
        yield from (row[0] for row in self._rows)
