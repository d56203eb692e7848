"""The journal's thread: it takes what has gathered, commits it, and tells the loop.

Rules:

1. It holds the lock until it is told to end, also when it can no longer write: the process that sent something is still alive.
2. Before a commit is told, the journal, its log and its lock are looked for: what was written to a file that is gone is not durable.
3. Another program that holds the file up is waited for; nothing is lost by that. Every other error is the last one.
4. When the loop is gone it ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import apsw
from attrs import frozen

from router.errors import JournalError, RouterError
from router.journal import file as journalfile
from router.journal.lock import Lock
from router.journal.reading import Kept, kept
from router.journal.renewal import renew
from router.journal.rows import Encoder
from router.journal.tables import moves
from router.model import process_prefix
from router.record import Record

__all__ = ["AFTER", "Found", "Writer"]

log = logging.getLogger("router.journal")

LOOKING: Final = 1.0  # seconds between two looks whether the loop is still there
STEPS: Final = 100_000  # of SQLite's, between two looks whether somebody still wants the answer
AFTER: Final = (
    "nothing more is written to it: orders are not sent, cancels are. When that is put right, open the Router anew"
)

Batch = list[tuple[int, Record]]


@frozen
class Found:
    """What a journal held when it was opened: the last number, and what is not over."""

    last: int
    kept: list[Kept]


class Writer:
    """The thread, from start() to its end. shown: the journal as its owner calls it; epoch: of the lease under which this run
    trades. told, failed: called on the loop.
    """

    def __init__(
        self, shown: Path, durability: str, epoch: int, told: Callable[[int], None], failed: Callable[[str], None]
    ) -> None:
        self._shown, self._durability, self._epoch = shown, durability, epoch
        self._told, self._failed = told, failed
        self._loop = asyncio.get_running_loop()
        self._work: deque[tuple[int, Record]] = deque()
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._sleeps = self._ends = self._stops = False
        self._due = self._taken = 0
        self.opened: asyncio.Future[Found] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()

    # -- the loop's side

    def start(self) -> None:
        threading.Thread(target=self._run, name="router-journal", daemon=True).start()

    def add(self, number: int, record: Record) -> None:
        """Something to be written, when the thread next looks."""
        self._work.append((number, record))

    def wake(self, number: int) -> None:
        """Have it write everything up to this one now."""
        self._due = number
        if self._sleeps:
            self._sleeps = False
            self._news.put(None)

    def end(self) -> None:
        """Write what is left, and let go."""
        self._ends = True
        self._news.put(None)

    def stop(self) -> None:
        """Write nothing more; hold the lock."""
        self._stops = True
        self._work.clear()

    def abandon(self) -> None:
        """Nobody wants it any more."""
        self.stop()
        self.end()

    # -- the thread's side

    def _run(self) -> None:
        hold: _Hold | None = None
        try:
            hold = _Hold(self._shown, self._durability, self._epoch, self._is_unwanted)
            self._call(_settle, self.opened, Found(hold.last, hold.kept))
            self._write_all(hold)
        except RouterError as error:
            self._call(_settle, self.opened, error)
        except Exception as error:
            log.exception("a mistake of ours in opening the journal")
            text = f"it can't be opened: {type(error).__name__}: {error}"
            self._call(_settle, self.opened, JournalError(str(self._shown), text))
        finally:
            if hold is not None:
                hold.close()
            self._call(_settle, self.ended, None)

    def _write_all(self, hold: _Hold) -> None:
        try:
            while not self._stops and (batch := self._next()):
                hold.write(batch, self._is_unwanted)
                self._call(self._told, batch[-1][0])
            if not self._stops:
                hold.end()
        except Exception as error:  # noqa: BLE001 - told to the loop, and logged where it is ours
            self._call(self._failed, self._fault(error))
            self._work.clear()
            hold.let_down()
        while not self._is_over():  # rule 1
            self._wait()

    def _fault(self, error: Exception) -> str:
        if isinstance(error, JournalError):
            return f"{error}; {AFTER}"
        if not isinstance(error, apsw.Error | OSError) or isinstance(error, apsw.ConstraintError):
            log.error("a mistake of ours in the journal", exc_info=error)
            return (
                f"journal {self._shown}: a mistake of ours ({type(error).__name__}: {error}); please report it; {AFTER}"
            )
        return f"journal {self._shown}: {journalfile.explain(error, self._shown)}; {AFTER}"

    def _next(self) -> Batch:
        """Everything that is to be written now, or nothing when it is to end."""
        while True:
            over = self._is_over()
            if (self._due > self._taken or over) and (batch := self._take()):
                return batch
            if over:
                return []
            self._sleeps = True
            if self._due <= self._taken:  # nothing came between the two
                self._wait()
            self._sleeps = False

    def _wait(self) -> None:
        with contextlib.suppress(queue.Empty):
            self._news.get(timeout=LOOKING)

    def _take(self) -> Batch:
        batch: Batch = []
        with contextlib.suppress(IndexError):
            while True:
                batch.append(self._work.popleft())
        if batch:
            self._taken = batch[-1][0]
        else:
            self._taken = self._due  # they were thrown away
        return batch

    def _is_over(self) -> bool:
        return self._ends or self._loop.is_closed()

    def _is_unwanted(self) -> bool:
        """Whether what it waits for need not be waited for."""
        return (self._ends and self._stops) or self._loop.is_closed()

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        """On the loop, if there still is one."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            log.debug("the loop is closed, and nobody to be told")


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        future.exception()  # whoever has given up waiting need not hear of it
    else:
        future.set_result(result)


class _Hold:
    """The lock and the connection, and what is done with them in the thread."""

    def __init__(self, shown: Path, durability: str, epoch: int, is_unwanted: Callable[[], bool]) -> None:
        self._shown = shown
        self._db: apsw.Connection | None = None
        self._files: list[tuple[Path, int, int]] = []
        file = journalfile.real(shown)
        if os.path.lexists(file):
            journalfile.look_at(file, writing=True)  # so that no lock is left beside what is no journal
        self._lock = Lock(file, str(shown), durability)
        try:
            self._open(file, durability, epoch, is_unwanted)
        except BaseException as error:
            self.close()
            if isinstance(error, apsw.Error | OSError):
                raise JournalError(str(shown), f"it can't be opened: {journalfile.explain(error, shown)}") from None
            raise

    def _open(self, file: Path, durability: str, epoch: int, is_unwanted: Callable[[], bool]) -> None:
        sync = {"full": "FULL", "process": "NORMAL"}[durability]
        journalfile.create(file, self._lock.mark, sync)
        journalfile.single(file)
        with journalfile.alone(file) as db:
            db.set_progress_handler(is_unwanted, STEPS)
            journalfile.refuse_damage(db, self._lock.mark, self._shown)
            self.kept = kept(db)
            self.last = db.execute("SELECT coalesce(max(number), 0) FROM entry").get
        self._db = journalfile.connect(file, sync)
        renew(self._db)
        self._begin(durability, epoch)
        self._files = [_identity(Path(f"{file}{end}")) for end in ("", "-wal", "-lock")]

    def _begin(self, durability: str, epoch: int) -> None:
        who = (process_prefix(), os.getpid(), platform.node(), version("venue-router"))
        row = (*who, durability, time.time(), epoch)
        db = self._connected
        db.execute(
            "INSERT INTO run (prefix, pid, host, version, durability, opened, epoch) VALUES (?, ?, ?, ?, ?, ?, ?)", row
        )
        self._run = db.last_insert_rowid()
        self._encoder = Encoder(self._run)
        self._lock.write(self.last)

    @property
    def _connected(self) -> apsw.Connection:
        assert self._db is not None  # noqa: S101 - it is open
        return self._db

    def write(self, batch: Sequence[tuple[int, Record]], is_unwanted: Callable[[], bool]) -> None:
        """One commit."""
        rows = [self._encoder.row(number, record) for number, record in batch]
        records = (record for _, record in batch)
        added = moves(zip(records, rows, strict=True), self._encoder.json)
        self._begin_alone(is_unwanted)
        db = self._connected
        try:
            db.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            for statement, each in added:
                db.executemany(statement, each)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(apsw.Error):
                if not db.get_autocommit():
                    db.execute("ROLLBACK")
            raise
        self._check_files()
        self._lock.write(batch[-1][0])

    def _begin_alone(self, is_unwanted: Callable[[], bool]) -> None:
        """Begin, once nobody else writes (rule 3)."""
        while True:
            try:
                self._connected.execute("BEGIN IMMEDIATE")
            except apsw.BusyError:
                if is_unwanted():
                    raise
            else:
                return

    def _check_files(self) -> None:
        for path, device, inode in self._files:
            try:
                found = os.stat(path)  # noqa: PTH116 - after each commit: half the price
            except OSError:
                found = None
            if found is None or (found.st_dev, found.st_ino) != (device, inode):
                text = f"{path} was moved, removed or replaced while it was open; what was written last may be lost"
                raise JournalError(str(self._shown), text)

    def end(self) -> None:
        """The run ends as it should."""
        self._connected.execute("UPDATE run SET closed = ? WHERE run = ?", (time.time(), self._run))
        self._connected.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        self.let_down()

    def let_down(self) -> None:
        """Close the file, and keep the lock."""
        if self._db is not None:
            with contextlib.suppress(apsw.Error):
                self._db.close(force=True)
            self._db = None

    def close(self) -> None:
        self.let_down()
        self._lock.release()


def _identity(path: Path) -> tuple[Path, int, int]:
    found = path.stat()
    return path, found.st_dev, found.st_ino
