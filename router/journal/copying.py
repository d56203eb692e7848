"""What a journal has to tell others, for whoever copies it elsewhere while it is being written.

Rules:

1. Only what came of things is told: executions, doubts and outcomes. How they were sent, and the frames, stay here.
2. Entries are told in the order of their numbers, each as it was written. Numbers that are missing were taken out by compaction.
3. An entry that is not as it was written is not told, and nothing after it: what is copied is believed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec
from attrs import field, frozen

from router.errors import JournalDamaged
from router.journal import file as journalfile
from router.journal.check import COLUMNS, is_whole
from router.journal.reading import version
from router.journal.schema import EPOCHS, FINAL

__all__ = ["Copier", "News"]

Row = tuple[Any, ...]
TOLD: Final = ("execution", "unknown", *FINAL)
_WORDS: Final = ", ".join(f"'{what}'" for what in TOLD)
_NEWS: Final = f"SELECT {COLUMNS} FROM entry WHERE number > ? AND what IN ({_WORDS}) ORDER BY number LIMIT ?"
_INTENT: Final = "SELECT facts FROM entry WHERE op = ? AND what = 'intent'"


@frozen(kw_only=True)
class News:
    """One entry. facts: a JSON object, of an execution with the Event as `event`; of a doubt or an outcome with the `verb` and the
    `symbol` of its command beside what was written. strategy: whose command it was, or who placed the order; "" where nothing
    says. epoch: of the lease under which it was written; 0: under none.
    """

    number: int
    venue: str
    what: str
    op: str | None
    order_id: str | None
    client_order_id: str | None
    at: float
    facts: bytes = field(repr=False)
    strategy: str = ""
    epoch: int = 0


class _Command(msgspec.Struct):
    """What an intent says that its outcome does not."""

    verb: msgspec.Raw = msgspec.Raw(b"null")
    symbol: msgspec.Raw = msgspec.Raw(b"null")
    strategy: str = ""


_command: Final = msgspec.json.Decoder(_Command).decode
_facts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
_NOBODYS: Final = _Command()


class Copier:
    """A connection of its own to a journal that is there. Its calls read a file: make them in a thread, one at a time.

    Close it before the journal is closed, or that leaves its write-ahead log to the next run. Raises JournalError, JournalDamaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._db = journalfile.reader(self.path, lasting=True)

    def close(self) -> None:
        self._db.close()

    def last(self) -> int:
        """The number of the last entry, whatever it is; 0 where there is none."""
        with journalfile.told(self.path):
            return int(self._db.execute("SELECT coalesce(max(number), 0) FROM entry").get)

    def news(self, after: int, limit: int) -> list[News]:
        """What was written after this number, and at most so many. Fewer than `limit`: there is no more as yet."""
        with journalfile.told(self.path), self._db:
            rows: list[Row] = self._db.execute(_NEWS, (after, limit)).fetchall()
            epochs = self._epochs({row[1] for row in rows})
            commands = {op: self._command(op) for op in {row[3] for row in rows}}
        return [self._news(row, commands[row[3]], epochs.get(row[1], 0)) for row in rows]

    def _epochs(self, runs: set[int]) -> dict[int, int]:
        if version(self._db) < EPOCHS or not runs:
            return {}
        return dict(self._db.execute("SELECT run, epoch FROM run WHERE run >= ?", (min(runs),)))

    def _command(self, op: str | None) -> _Command:
        facts = None if op is None else self._db.execute(_INTENT, (op,)).get
        try:
            return _NOBODYS if facts is None else _command(facts)
        except msgspec.DecodeError as error:
            raise self._damaged(f"the facts of the operation {op} can't be read ({error})") from None

    def _news(self, row: Row, command: _Command, epoch: int) -> News:
        if not is_whole(row):
            raise self._damaged(f"entry {row[0]} is not as it was written")
        number, _, at, op, venue, what, order_id, client_order_id, text, _ = row
        facts = _facts(text)
        facts.pop("frame", None)
        if what != "execution":
            facts = {"verb": command.verb, "symbol": command.symbol} | facts
        return News(
            number=number,
            venue=venue,
            what=what,
            op=op,
            order_id=order_id,
            client_order_id=client_order_id,
            at=at,
            facts=_encode(facts),
            strategy=command.strategy,
            epoch=epoch,
        )

    def _damaged(self, text: str) -> JournalDamaged:
        return JournalDamaged(str(self.path), f"{text}; nothing from there on is copied. {journalfile.AWAY}")
