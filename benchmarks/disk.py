"""What a journal's folder lies on: its file system, and what making something durable costs there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

__all__ = ["about", "is_memory"]

SYNCS: Final = 200
PAGE: Final = 4096


def about(folder: Path) -> dict[str, Any]:
    """For the report."""
    kind = file_system(folder)
    unreal = "; IN MEMORY: nothing here is durable, and the ratios say nothing" if is_memory(kind) else ""
    return {
        "journals in": f"{folder} ({kind}{unreal})",
        "fdatasync of a page": f"{sync_time(folder):.0f} us (median of {SYNCS}; overwritten in place)",
    }


def file_system(folder: Path) -> str:
    """Its type, by the system's table of mounts."""
    try:
        table = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "file system not known"
    mounts = [line.split()[1:3] for line in table.splitlines()]
    holding = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding, key=lambda each: len(each[0]), default=("", "file system not known"))[1]


def is_memory(kind: str) -> bool:
    return kind in {"tmpfs", "ramfs"}


def sync_time(folder: Path) -> float:
    """Microseconds."""
    path = folder / "sync"
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    times: list[int] = []
    try:
        for number in range(SYNCS):
            before = time.monotonic_ns()
            os.pwrite(file, os.urandom(PAGE), number % 16 * PAGE)
            os.fdatasync(file)
            times.append(time.monotonic_ns() - before)
    finally:
        os.close(file)
        path.unlink()
    return median(times) / 1000
