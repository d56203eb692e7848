"""How long an import takes, each in a process of its own, and what has not been imported by it.

python -m benchmarks.imports [--quick] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import ground
from benchmarks.ground import AGAIN, Arm, Report, Row, Samples, Size, row

__all__ = ["main", "measure"]

ROOT: Final = Path(__file__).parent.parent
ETHEREUM: Final = "eth_account"
TRANSPORTS: Final = "router, both transports"
OTHERS: Final = {
    **{name: name for name in ("adapters.qfex", "adapters.b2trader", "adapters.dmex", "adapters.ccxt_bridge")},
    TRANSPORTS: "router, router.transport.http, router.transport.websocket",  # what opening venues comes to
}
WHAT: Final = "import"
ABSENT: Final = "eth_account and web3 among what it imports"
TIMED: Final = "import time; before = time.perf_counter_ns(); import {}; print(time.perf_counter_ns() - before)"
COUNTED: Final = "{}; import sys; print(len({{'eth_account', 'web3'}} & sys.modules.keys()))"
WITHOUT: Final = {
    "import router": "import router",
    "import adapters.dmex": "import adapters.dmex",
    "Dmex(private_key=...)": "from adapters.dmex import Dmex; Dmex(private_key='0x' + '5e' * 32)",
}
HEAVIEST: Final = 5


class Python:
    """Fresh processes. All of them keep their compiled modules in one folder, whatever the environment says of that: a source tree
    is compared with what was compiled when it was installed, and the round that does not count compiles both.
    """

    def __init__(self, folder: str) -> None:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._environment = kept | {"PYTHONPYCACHEPREFIX": folder}

    async def __call__(self, *arguments: str, told: bool = False) -> str:
        """What one prints. told: on stderr."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *arguments),
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{arguments[-1]} failed: {err.decode()}")
        return (err if told else out).decode()


async def measure(size: Size) -> Report:
    """How long `import router` and each adapter take, against eth_account, and what they leave alone."""
    with tempfile.TemporaryDirectory(prefix="router-benchmark-") as folder:
        return await _measure(size, Python(folder))


async def _measure(size: Size, python: Python) -> Report:
    each = 1 if size.quick else 3
    modules = {"router": "router", ETHEREUM: ETHEREUM, ETHEREUM + AGAIN: ETHEREUM}
    samples = await ground.interleave(_arms(python, modules, each), size.rounds)
    modules = {"router": "router", "router" + AGAIN: "router", **OTHERS}
    others = await ground.interleave(_arms(python, modules, each), max(1, size.rounds // 10))
    rows = [row(samples, WHAT, "router", ETHEREUM, unit="ms", most=0.4)]
    rows += [row(others, WHAT, name, "router", unit="ms") for name in OTHERS]
    rows += [await _absent(python, name, code) for name, code in WITHOUT.items()]
    return Report(name="Imports", rows=rows, facts={"the heaviest that router imports": await _heaviest(python)})


def _arms(python: Python, modules: dict[str, str], each: int) -> dict[str, Arm]:
    return {name: partial(_import, python, module, each) for name, module in modules.items()}


async def _import(python: Python, module: str, times: int) -> dict[str, float]:
    """Milliseconds, the median of so many processes."""
    taken = [int(await python("-c", TIMED.format(module))) for _ in range(times)]
    return {WHAT: median(taken) / 1e6}


async def _absent(python: Python, name: str, code: str) -> Row:
    found = float(await python("-c", COUNTED.format(code)))
    samples: Samples = {name: {ABSENT: [found]}}
    return row(samples, ABSENT, name, unit="", most=0)


async def _heaviest(python: Python) -> str:
    """By package: what its modules take themselves, without what they import."""
    told = await python("-X", "importtime", "-c", "import router", told=True)
    taken: Counter[str] = Counter()
    for line in told.splitlines():
        own, _, name = line.removeprefix("import time:").replace("|", " ").split()[:3]
        if own.isdigit():
            taken[name.partition(".")[0]] += int(own)
    return ", ".join(f"{name} {own / 1000:.0f} ms" for name, own in taken.most_common(HEAVIEST))


main = ground.command("imports", measure)

if __name__ == "__main__":
    main()
