"""A strategy without keys, through a gateway, on a simulated venue. Needs nats-server and the extra `cluster`."""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import AnyRouter, Order
from router.cluster import Credentials, Gateway, RemoteRouter


async def strategy(router: AnyRouter) -> None:
    """It does not know whether the Router is in this process."""
    order = Order("qfex", "AAPL-USD", "buy", "limit", quantity="1", price="200")
    print(await router.submit(order))
    print(await router.cancel(order))
    print(await router.cancel_all("qfex"))


async def main(folder: Path, url: str) -> None:
    gateways = Credentials(url=(url,), strategy="gateway")
    async with QfexSimulator() as venue:
        keys = {"qfex": Qfex(**venue.credentials)}
        async with Gateway(keys, gateways, journal=folder / "router.journal") as gateway, RemoteRouter(url) as router:
            await gateway.owned()  # the first owner of all waits until nobody else can be one
            await strategy(router)
            print("gateway:", gateway)


@contextmanager
def nats_server(folder: Path) -> Iterator[str]:
    """On a free port, for as long as the block lasts."""
    path = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"
    words = [path, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", folder / "nats", "--ports_file_dir", folder]
    with subprocess.Popen(list(map(str, words)), stderr=subprocess.DEVNULL) as process:  # noqa: S603 - our own words
        while not (told := "".join(file.read_text() for file in folder.glob("*.ports"))):
            time.sleep(0.02)
        yield json.loads(told)["nats"][0]
        process.terminate()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, nats_server(Path(name)) as server:
        asyncio.run(main(Path(name), server))
