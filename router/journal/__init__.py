"""The write-ahead journal: what is about to be done is on the disk before it is done, and what came of it afterwards.

Rules:

1. One thread writes (router.journal.writer), with one connection. Whatever has gathered while it was at work goes into its next
   commit (group commit).
2. A record that somebody waits for is handed over at once. One that can be learnt anew (an answer, an execution) goes with the
   next of those, or a little later.
3. A record is durable when the commit that holds it has returned: with durability "full" it survives a power cut, with
   "process" the end of this process.
4. The first error is the last: after it nothing more is written, whoever waits is told, and `fault` says why and what to do. A
   failed fsync is never tried again, because the pages that it failed to write are gone. The lock is held until close().
5. Everything of the caller's side happens on the event loop: numbers are given there, in order, and callbacks are called there.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import ClassVar, Final, Literal
from weakref import WeakSet

from router.errors import JournalBusy, RouterError
from router.journal.reading import Kept
from router.journal.writer import AFTER, Writer
from router.record import Record

__all__ = ["Durability", "Journal"]

log = logging.getLogger("router.journal")

Durability = Literal["full", "process"]
LAZY: Final = 0.005  # seconds that a record may lie about which nobody waits for
MOST_WAITING: Final = 200_000  # records in memory: a disk that is so far behind does not work
MOST_EPOCH: Final = 2**63 - 1  # that SQLite can hold
CLOSING: Final = 5.0  # seconds for what is still to be written


class Journal:
    """One journal, open for writing. path: its file, made where there is none. Raises ValueError."""

    _all: ClassVar[WeakSet[Journal]] = WeakSet()

    def __init__(self, path: str | os.PathLike[str], durability: Durability = "full") -> None:
        if durability not in {"full", "process"}:
            raise ValueError(f"durability was {durability!r}; it is 'full' or 'process'")
        self.path = _absolute(path)
        self.durability = durability
        self.fault = f"journal {self.path}: it is not open"
        """Why nothing is written; "" while it works."""
        self.on_durable: Callable[[int], None] | None = None
        """Called on the loop after each commit, with the number of the last durable entry: for who copies it elsewhere."""
        self._writer: Writer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._number = self._durable = 0
        self._waiting: list[tuple[int, int, Callable[[bool], None]]] = []
        self._order = count()
        self._loop: asyncio.AbstractEventLoop
        Journal._all.add(self)

    def __repr__(self) -> str:
        return f"<Journal {self.path}{', ' + self.fault if self.fault else ''}>"

    # -- life

    async def open(self, epoch: int = 0) -> list[Kept]:
        """Lock it, look through it, and return what is not over in it. epoch: of the lease under which its orders are placed from
        now on; 0: under none. Raises JournalBusy, JournalDamaged or JournalError; ValueError for what is no epoch.
        """
        _check_epoch(epoch)
        if self._writer is not None and not self._writer.ended.done():
            raise JournalBusy(str(self.path), "it was opened here before, and is not closed yet; one writer at a time")
        self._loop = asyncio.get_running_loop()
        self._writer = writer = Writer(self.path, self.durability, epoch, self._written, self._fail)
        writer.start()
        try:
            found = await asyncio.shield(writer.opened)
        except RouterError as error:
            self.fault = str(error)
            raise
        except asyncio.CancelledError:
            writer.abandon()
            raise
        self._number = self._durable = found.last
        self.fault = ""
        return found.kept

    async def close(self) -> None:
        """Write what is left, and let go of the file. A disk that hangs is waited for a few seconds."""
        writer = self._writer
        if writer is None:
            return
        self._hand_over()
        writer.end()
        done, _ = await asyncio.wait([writer.ended], timeout=CLOSING)
        if not done:
            self._fail(f"journal {self.path}: the disk hangs; what was written last may be lost")
        self._end(self.fault or f"journal {self.path}: it is closed")

    # -- writing

    def put(self, record: Record, *, hurry: bool = True) -> int:
        """Write this; returns its number, 0 when nothing is written any more. hurry: somebody waits for it."""
        if self.fault or self._writer is None:
            return 0
        self._number = number = self._number + 1
        self._writer.add(number, record)
        if hurry:
            self._writer.wake(number)
        elif self._timer is None:
            self._timer = self._loop.call_later(LAZY, self._hand_over)
        if number - self._durable > MOST_WAITING:
            self._fail(f"journal {self.path}: the disk is {MOST_WAITING} entries behind; {AFTER}")
        return number

    def is_durable(self, number: int) -> bool:
        """Whether the record of this number survives."""
        return 0 < number <= self._durable

    def when(self, number: int, told: Callable[[bool], None]) -> None:
        """Call this when the record is durable (True), or never will be (False)."""
        if self.fault or not self._durable < number <= self._number:
            told(self.is_durable(number))
        else:
            heapq.heappush(self._waiting, (number, next(self._order), told))

    async def written(self, number: int, timeout: float | None) -> bool:
        """Whether the record is durable, at the latest after so many seconds."""
        if self.fault or self.is_durable(number):
            return self.is_durable(number)
        future: asyncio.Future[bool] = self._loop.create_future()
        self.when(number, partial(_settle, future))
        timer = None if timeout is None else self._loop.call_later(timeout, _settle, future, False)  # noqa: FBT003
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writer is not None:
            self._writer.wake(self._number)

    def _written(self, number: int) -> None:
        if self.fault:
            return
        self._durable = number
        while self._waiting and self._waiting[0][0] <= number:
            _tell(heapq.heappop(self._waiting)[2], kept=True)
        if self.on_durable is not None:
            try:
                self.on_durable(number)
            except Exception:
                log.exception("a mistake of ours in telling whoever copies the journal")

    def _fail(self, fault: str) -> None:
        """Nothing more is written (rule 4)."""
        if self.fault:
            return
        log.error("%s", fault)
        self._end(fault)

    def _end(self, fault: str) -> None:
        self.fault = fault
        if self._writer is not None:
            self._writer.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        for _, _, told in sorted(waiting):
            _tell(told, kept=False)

    @classmethod
    def forked(cls) -> None:
        """In the child: the thread and the lock are its parent's."""
        for journal in list(cls._all):
            journal._writer = None  # noqa: SLF001 - one of ours
            journal._waiting.clear()  # noqa: SLF001
            journal.fault = f"journal {journal.path}: it belongs to the process that this one was forked from"


os.register_at_fork(after_in_child=Journal.forked)


def _absolute(path: str | os.PathLike[str]) -> Path:
    name = os.fspath(path)
    if not name or "\0" in name or name != name.encode("utf-8", "replace").decode():
        raise ValueError(f"journal was {name!r}; it is the name of a file, in letters that UTF-8 has")
    return Path(name).absolute()


def _check_epoch(epoch: int) -> None:
    if type(epoch) is not int or not 0 <= epoch <= MOST_EPOCH:
        raise ValueError(f"epoch was {epoch!r}; it is a number from 0 to {MOST_EPOCH}")


def _settle(future: asyncio.Future[bool], kept: bool) -> None:
    if not future.done():
        future.set_result(kept)


def _tell(told: Callable[[bool], None], *, kept: bool) -> None:
    try:
        told(kept)
    except Exception:
        log.exception("a mistake of ours in telling that an entry was written")
