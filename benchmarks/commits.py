"""The same entries written without group commit: what the journal's own way of committing is compared with."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol

import apsw
import msgspec

from router.journal import Journal
from router.journal.schema import SCHEMA
from router.journal.tables import moves
from router.model import Cancel, IdKind
from router.record import Record

__all__ = ["RIVALS", "AioSqlite", "Grouped", "Keeper", "OneByOne", "ThreadEach", "intent"]

INSERT: Final = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
FRAME: Final = (
    '{"type":"cancel_order","params":{"symbol":"AAPL-USD","order_id":"5b309929-206f-40ec-804d-cbe46e81afc1",'
    '"cancel_order_id_type":"order_id"}}'
)
_numbers = count(1)


def intent() -> Record:
    """What a cancel writes before it is told: a new operation each time."""
    number = next(_numbers)
    facts = {
        "verb": "cancel",
        "account": "0123456789ab",
        "effect": "idempotent",
        "symbol": "AAPL-USD",
        "command": Cancel("qfex", f"5b309929-206f-40ec-804d-{number:012x}", IdKind.ORDER, "AAPL-USD"),
        "sent": 0,
        "frame": FRAME,
    }
    return Record("intent", "qfex", f"0123456789abcdef{number:016d}", facts["command"].id, None, facts)  # type: ignore[attr-defined]


class Keeper(Protocol):
    """One way to make an entry durable."""

    async def open(self) -> object: ...

    async def keep(self, record: Record) -> None:
        """Return once it is durable."""

    async def close(self) -> None: ...


class Grouped(Journal):
    """The journal as it is."""

    async def keep(self, record: Record) -> None:
        if not await self.written(self.put(record), None):
            raise OSError(self.fault)


class OneByOne:
    """Built as the journal is, thread, apsw and all, but with a commit for each entry: the strictest comparison."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = count(1)
        self._queue: queue.SimpleQueue[tuple[Record, asyncio.Future[None]] | None] = queue.SimpleQueue()

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._db = apsw.Connection(_made(self._path))
        self._db.execute("PRAGMA synchronous=FULL")
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    async def keep(self, record: Record) -> None:
        kept: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((record, kept))
        await kept

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            self._db.execute("BEGIN IMMEDIATE")
            for statement, row in _statements(next(self._numbers), task[0]):
                self._db.execute(statement, row)
            self._db.execute("COMMIT")
            self._loop.call_soon_threadsafe(task[1].set_result, None)

    async def close(self) -> None:
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._db.close()


class ThreadEach:
    """sqlite3 from the standard library, a commit per call, each in asyncio.to_thread()."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._numbers = count(1)

    async def open(self) -> None:
        self._db = sqlite3.connect(_made(self._path), isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA synchronous=FULL")

    async def keep(self, record: Record) -> None:
        await asyncio.to_thread(self._keep, record)

    def _keep(self, record: Record) -> None:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            for statement, row in _statements(next(self._numbers), record):
                self._db.execute(statement, row)
            self._db.execute("COMMIT")

    async def close(self) -> None:
        self._db.close()


class AioSqlite:
    """aiosqlite, where it is installed: a commit per call, all in its one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = count(1)

    async def open(self) -> None:
        self._db: Any = await import_module("aiosqlite").connect(_made(self._path))
        await self._db.execute("PRAGMA synchronous=FULL")
        self._lock = asyncio.Lock()

    async def keep(self, record: Record) -> None:
        async with self._lock:  # one connection has one transaction at a time
            for statement, row in _statements(next(self._numbers), record):
                await self._db.execute(statement, row)
            await self._db.commit()

    async def close(self) -> None:
        await self._db.close()


def _made(path: Path) -> str:
    """A file with the journal's own tables and triggers."""
    db = apsw.Connection(str(path))
    db.execute(f"PRAGMA journal_mode=WAL; BEGIN; {SCHEMA} COMMIT").fetchall()
    db.close()
    return str(path)


def _statements(number: int, record: Record) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """What the journal writes of an entry, by the journal's own rules."""
    facts = msgspec.json.encode(record.facts).decode()
    row = (number, 1, time.time(), record.op, record.venue, record.what, record.order_id, record.client_order_id, facts)
    yield INSERT, (*row, zlib.crc32(repr(row).encode()))
    for statement, rows in moves([(record, row)], lambda each: msgspec.json.encode(each).decode()):
        yield statement, rows[0]


RIVALS: Final[dict[str, type[OneByOne | ThreadEach | AioSqlite]]] = {
    "apsw in a thread, a commit per entry": OneByOne,
    "sqlite3, to_thread per entry": ThreadEach,
}
if find_spec("aiosqlite") is not None:
    RIVALS["aiosqlite, a commit per entry"] = AioSqlite
