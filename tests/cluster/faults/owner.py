"""A gateway in a process of its own, until it is killed. What it is to do is in a JSON file: see `Lane._orders`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from cluster_faults.mistakes import MISTAKES
from crash.victim import PAUSE, adapters

from router import settling
from router.cluster import Credentials, Gateway


async def live(given):
    settling.LONGEST_PAUSE = PAUSE
    if given["mistake"]:
        MISTAKES[given["mistake"]]()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    gateway = Gateway(
        adapters(given),
        Credentials(url=(given["nats"],), strategy="gateway"),
        journal=given["journal"],
        ttl=given["ttl"],
        replicas=given["replicas"],
        name=given["name"],
    )
    async with gateway:
        os.write(1, b"up\n")
        await stopped.wait()


def main():
    asyncio.run(live(json.loads(Path(sys.argv[1]).read_text())))
