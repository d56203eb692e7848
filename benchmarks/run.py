"""All benchmarks one after the other, each in a process of its own, and what came of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

import msgspec
from attrs import field, frozen

from benchmarks.ground import Report, Row

__all__ = ["NAMES", "ROOT", "Run", "perform"]

ROOT: Final = Path(__file__).parent.parent
NAMES: Final = ("websocket", "rest", "signing", "scale", "imports", "cluster")
PATIENCE: Final = 1800.0  # seconds for one benchmark
TOP_PAD: Final = 64 << 20  # see ground.keep_heap(); here for what a process takes before that


@frozen(kw_only=True)
class Run:
    """What one run has measured. failed: the benchmarks that came to nothing, with the reason."""

    quick: bool
    reports: Mapping[str, Report] = field(factory=dict)
    failed: Mapping[str, str] = field(factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError, or ValueError for a file that is none of ours."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def write(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")

    def goals(self) -> Iterator[Row]:
        """Every row that has one."""
        return (row for report in self.reports.values() for row in report.rows if row.goal)

    def left_out(self) -> Iterator[tuple[str, str]]:
        """The benchmarks in which something could not be compared, and what."""
        for name, report in self.reports.items():
            yield from ((name, str(said)) for fact, said in report.facts.items() if fact.startswith("left out"))


def perform(
    names: Iterable[str], *, quick: bool, rounds: int | None = None, told: Callable[[str], None] = lambda _: None
) -> Run:
    """Run them. One that fails stops none of the others. told: called with the name of each as it begins."""
    reports: dict[str, Report] = {}
    failed: dict[str, str] = {}
    flags = [*(["--quick"] if quick else []), *([f"--rounds={rounds}"] if rounds else [])]
    for name in names:
        told(name)
        try:
            reports[name] = _report(name, flags)
        except (OSError, ValueError, RuntimeError, subprocess.SubprocessError) as error:
            failed[name] = str(error)
    return Run(quick=quick, reports=reports, failed=failed)


def _report(name: str, flags: list[str]) -> Report:
    with tempfile.TemporaryDirectory(prefix="router-benchmark-") as folder:
        path = Path(folder) / "report.json"
        done = subprocess.run(  # noqa: S603 - ours
            [sys.executable, "-m", f"benchmarks.{name}", *flags, "--json", str(path)],
            cwd=ROOT,
            env=os.environ | {"MALLOC_TOP_PAD_": str(TOP_PAD)},
            timeout=PATIENCE,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError((done.stderr.strip() or f"it ended with {done.returncode}").splitlines()[-1])
        return msgspec.json.decode(path.read_bytes(), type=Report)
