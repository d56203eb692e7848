"""The one writer's hold on a journal, and the mark that tells how far it had come.

Rules:

1. The writer holds <path>-lock by flock for as long as it lives, also when it can no longer write: what it sent may still be on
   its way, and whoever opens the journal next believes that it is not.
2. It says in it who it is, and after each commit the number of the last entry: a journal with fewer entries has lost some,
   whatever has become of its file. Only where the journal was kept with durability "process", and the machine has been started
   anew since, that is what was agreed on.
3. A forked child lets go of it: the parent's death must free it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import zlib
from pathlib import Path
from typing import ClassVar, Final
from weakref import WeakSet

from attrs import frozen

from router.errors import JournalBusy, JournalError
from router.journal.fault import explain

__all__ = ["Lock", "Mark", "boot", "is_held", "read_mark"]

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
WORDS: Final = 200  # bytes, more than it ever holds
ONLOOKERS: Final = (0.01, 0.02, 0.04)  # seconds between attempts: somebody may just be looking whether it is held


@frozen
class Mark:
    """What a lock says of the last entry that was durable; number 0 where it says nothing that can be read."""

    number: int = 0
    durability: str = "full"
    boot: str = ""

    def is_owed(self) -> bool:
        """Whether the journal must have that entry (rule 2)."""
        return self.durability != "process" or self.boot == boot()


class Lock:
    """Raises JournalBusy, or JournalError. file: the journal, by its real name; shown: as its owner calls it."""

    _held: ClassVar[WeakSet[Lock]] = WeakSet()

    def __init__(self, file: Path, shown: str, durability: str = "full") -> None:
        self.path = Path(f"{file}-lock")
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise JournalError(shown, f"its lock {self.path} can't be opened: {explain(error)}") from None
        try:
            _lock(self._file)
        except OSError as error:
            refused = self._refused(shown, error)
            os.close(self._file)
            raise refused from None
        self._durability, self._process = durability, os.getpid()
        self.mark = _mark(self._file)
        Lock._held.add(self)

    def _refused(self, shown: str, error: OSError) -> JournalError:
        if not isinstance(error, BlockingIOError):
            return JournalError(
                shown, f"this file system can't lock {self.path}: {error.strerror}; name a journal elsewhere"
            )
        holder = next(iter(_words(self._file)), "")
        who = "this process" if holder == str(os.getpid()) else f"process {holder}" if holder else "another process"
        text = f"{who} has it open, and it has one writer at a time; end that Router, or give this one a journal of its own"
        return JournalBusy(shown, text)

    def write(self, number: int) -> None:
        """Every entry up to this number is durable."""
        words = f"{self._process} {number:020d} {self._durability} {boot()}"
        os.pwrite(self._file, f"{words} {_seal(words)}\n".encode(), 0)

    def release(self) -> None:
        if self in Lock._held:
            Lock._held.discard(self)
            os.close(self._file)

    @classmethod
    def forked(cls) -> None:
        """In the child: close them, which takes nothing from the parent."""
        for lock in list(cls._held):
            lock.release()


os.register_at_fork(after_in_child=Lock.forked)


def read_mark(file: Path) -> Mark:
    """What the lock of this journal says now, whoever holds it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(f"{file}-lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return _mark(descriptor)
        finally:
            os.close(descriptor)
    return Mark()


def is_held(file: Path) -> bool:
    """Whether somebody has this journal open for writing, in this process or another, or nothing can tell whether. It is held
    for the moment of the look, together with others who look.
    """
    try:
        descriptor = os.open(f"{file}-lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing would do, but for a child that is forked meanwhile
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(descriptor: int) -> None:
    for seconds in ONLOOKERS:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(seconds)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _mark(descriptor: int) -> Mark:
    match _words(descriptor):
        case [pid, number, durability, boot, seal] if seal == _seal(f"{pid} {number} {durability} {boot}"):
            return Mark(int(number), durability, boot)
    return Mark()


def _words(descriptor: int) -> list[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return os.pread(descriptor, WORDS, 0).decode("ascii").split()
    return []


def _seal(words: str) -> str:
    return f"{zlib.crc32(words.encode()):08x}"


def _readboot() -> str:
    with contextlib.suppress(OSError):
        return BOOT_ID.read_text().strip()
    return "-"


_BOOT: Final = _readboot()


def boot() -> str:
    """Which start of the machine this is; "-" where nothing tells."""
    return _BOOT
