"""Run as a script: kill mutants. A job is a line of JSON on stdin, and its result a line of JSON on stdout.

Everything but the venues is imported once. Each mutant then has a copy of `adapters` and a process of its own, forked from
here: that is what makes fifty of them a matter of seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from router.testing.conformance import Subject, Verdict, cases, run

LONGEST = 200  # seconds for a mutant
VENUES = Path(importlib.import_module("adapters").__file__).parent


def main() -> None:
    for name in {path.name for path in VENUES.iterdir() if (path / "codec.py").exists()}:
        importlib.import_module(f"adapters.{name}.simulator")  # for what they import: it is slow
        importlib.import_module(f"adapters.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "adapters"]:
        del sys.modules[name]
    for line in sys.stdin:
        job = json.loads(line)
        sys.stdout.write(json.dumps({"name": job["name"], "results": _forked(job)}) + "\n")
        sys.stdout.flush()


def _forked(job: dict) -> list[dict]:
    """What the cases came to in a process of their own; a sentence instead of a case's label if it came to nothing."""
    with tempfile.TemporaryDirectory() as home:
        pid = os.fork()
        if pid == 0:
            _child(job, Path(home))
        _, status = os.waitpid(pid, 0)
        said = Path(home, "results.json")
        if not said.exists():
            return [{"case": "no result", "verdict": "", "text": f"the process ended with {status}"}]
        return json.loads(said.read_text())


def _child(job: dict, home: Path) -> None:
    """Never returns."""
    code = 1
    try:
        signal.alarm(LONGEST)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # stdout is for results
        _mutate(job, home)
        results = _run(job)
        Path(home, "writing").write_text(json.dumps(results))
        Path(home, "writing").rename(home / "results.json")
        code = 0
    finally:
        os._exit(code)


def _mutate(job: dict, home: Path) -> None:
    """The copy, with the mutant's text in place of the old one, is what will be imported."""
    copied = shutil.copytree(VENUES, home / "adapters")
    if job["old"]:
        file = Path(copied, job["venue"], job["file"])
        file.write_text(file.read_text().replace(job["old"], job["new"]))
        os.utime(file, (0, 0))  # else a compiled file of the same second and size would do
    sys.path.insert(0, str(home))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    found = Path(importlib.import_module("adapters").__file__)
    if not found.is_relative_to(home):
        raise ImportError(f"not the copy, but {found}")


def _run(job: dict) -> list[dict]:
    """Every case in every way to configure the venue. A venue that cannot even be imported has failed, too."""
    try:
        subject = Subject.named(job["venue"])
        setups = subject.setups
    except Exception as error:  # noqa: BLE001 - whatever it is
        return [{"case": "import", "verdict": Verdict.FAILED, "text": f"import: {error!r}"}]
    results = []
    for setup in setups:
        for case in cases(*job["cases"]):
            result = run(case, subject, setup)
            results.append({"case": case.label, "verdict": result.verdict, "text": result.text})
            if result.verdict is Verdict.FAILED and job["until_killed"]:
                return results
    return results


if __name__ == "__main__":
    main()
