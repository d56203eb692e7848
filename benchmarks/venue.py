"""A venue that costs next to nothing: QFEX's trade socket in a process of its own, as the client's process sees it.

It says no more than a benchmark asks (dialects.py). Its other services: the stamp, which is the time at which the first byte
of a command was read (both processes read CLOCK_MONOTONIC, which all of a machine share); what CPU time it has used; and
to hold its answers back until so many are there.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.server import CPU, HOLD, STAMPS, WORDS

__all__ = ["Venue"]

SHARED: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - where no disk is asked
PATIENCE: Final = 120.0


class Venue:
    """The server's process, for as long as the block lasts."""

    url: str

    async def __aenter__(self) -> Self:
        self._file = tempfile.TemporaryFile(dir=SHARED)  # noqa: SIM115 - closed below
        self._file.truncate(8 * WORDS)
        self._memory = mmap.mmap(self._file.fileno(), 0)
        self._shared = memoryview(self._memory).cast("q")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.server", str(self._file.fileno())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[self._file.fileno()],
            env=os.environ | {"MALLOC_TOP_PAD_": str(64 << 20)},
        )
        assert self._process.stdout is not None  # noqa: S101 - see above
        self.url = f"ws://127.0.0.1:{int(await self._process.stdout.readline())}/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None  # noqa: S101 - see above
        self._process.stdin.close()  # at which it ends
        await self._process.wait()
        self._shared.release()
        self._memory.close()
        self._file.close()

    @property
    def count(self) -> int:
        """How many commands have been read."""
        return self._shared[0]

    def stamp(self, number: int = 0) -> int:
        """When the first byte of this command was read, in time.monotonic_ns; 0: of the last one."""
        return self._shared[1 + ((number or self.count) - 1) % STAMPS]

    @property
    def cpu(self) -> int:
        """Nanoseconds of CPU time that its process has used, as of its last read."""
        return self._shared[CPU]

    def hold(self, answers: int) -> None:
        """Answer nothing until there are so many answers, and then all of it at once. 0: no more, from the next one on."""
        self._shared[HOLD] = answers

    async def read(self, count: int) -> None:
        """Wait until so many commands have been read."""
        async with asyncio.timeout(PATIENCE):
            while self.count < count:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(0.005)
