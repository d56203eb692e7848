"""The two kinds of Router: in this process, and behind a gateway on NATS. Every test of this folder runs on both.

A venue is the simulator, its adapter with a quiet period that a test can wait for, and what its commands are called on the wire.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router import AnyRouter, Order, OrderType, Router
from router.cluster import Credentials, Gateway, RemoteRouter
from router.testing import Bench, Refusal, Simulator, Switches, Verb
from tests import restarting
from tests.cluster.servers import binary

KINDS = ("embedded", "remote")
TTL = 0.5


@define
class Place:
    """One venue of a test. adds, cancels: its commands that place and cancel an order."""

    name: str
    simulator: Any
    adapter: Any

    @property
    def bench(self) -> Bench:
        return self.simulator.bench

    @property
    def adds(self) -> frozenset[str]:
        return self.bench.words(Verb.SUBMIT)

    @property
    def cancels(self) -> frozenset[str]:
        return self.bench.words(Verb.CANCEL)

    def order(self, type_: OrderType = OrderType.LIMIT, **terms: Any) -> Order:
        return self.bench.order(type_, self.name, **terms)

    def open_ids(self) -> set[str]:
        return self.bench.open_ids()

    def switch(self, commands: frozenset[str], **switches: bool) -> None:
        self.simulator.switches = Switches(only=commands, **switches)

    def heal(self) -> None:
        self.simulator.switches = Switches()

    def count(self, commands: frozenset[str]) -> int:
        return len(self.simulator.commands(*commands))

    async def written(self, commands: frozenset[str], count: int = 1) -> None:
        await self.simulator.until(count, *commands)

    def refuse(self, verb: Verb) -> Refusal:
        """The next one is refused in words that say for certain that nothing was done."""
        refusal = next(each for each in self.bench.REFUSALS if each.verb is verb and each.told)
        self.bench.refuse(refusal)
        return refusal


PLACES: Mapping[str, tuple[type[Simulator], Callable[[Any], Place]]] = {
    "qfex": (QfexSimulator, lambda sim: Place("qfex", sim, restarting.qfex(sim))),
    "b2trader": (B2TraderSimulator, lambda sim: Place("b", sim, restarting.b2trader(sim))),
    "dmex": (DmexSimulator, lambda sim: Place("dmex", sim, restarting.dmex(sim))),
}


@define
class Site:
    """Where Routers are made. kind: which; url: of the nats-server."""

    kind: str
    folder: Path
    url: str

    @asynccontextmanager
    async def router(self, venues: Mapping[str, Any], **options: Any) -> AsyncIterator[AnyRouter]:
        """A Router of these venues, ready."""
        if self.kind == "embedded":
            async with Router(venues, journal=self.folder / "router.journal", **options) as router:
                yield router
            return
        async with self.gateway(venues, **options), RemoteRouter(self.url, strategy="alpha") as router:
            await ready(router, venues)
            yield router

    def gateway(self, venues: Mapping[str, Any], **options: Any) -> Gateway:
        return Gateway(venues, Credentials(url=self.url), journal=self.folder / "router.journal", ttl=TTL, **options)

    def unopened(self, venues: Mapping[str, Any]) -> AnyRouter:
        return Router(venues) if self.kind == "embedded" else RemoteRouter(self.url)

    @asynccontextmanager
    async def one(self, place: str) -> AsyncIterator[tuple[AnyRouter, Place]]:
        """A Router of one venue."""
        simulator, make = PLACES[place]
        async with simulator() as sim:
            found = make(sim)
            async with self.router({found.name: found.adapter}) as router:
                yield router, found


async def ready(router: AnyRouter, venues: Mapping[str, Any]) -> None:
    async with asyncio.timeout(10):
        while not all(name in (health := router.health()) and health[name].ok for name in venues):  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.005)


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all: the venues are given back after each test."""
    folder = tmp_path_factory.mktemp("nats")
    options = ["-js", "-a", "127.0.0.1", "-p", "-1", "-sd", str(folder / "store"), "--ports_file_dir", str(folder)]
    with subprocess.Popen([binary(), *options, "-l", str(folder / "log")]) as server:  # noqa: S603 - our own child
        try:
            yield _told(folder)
        finally:
            server.kill()


def _told(folder: Path) -> str:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        for path in folder.glob("*.ports"):
            try:
                return json.loads(path.read_text())["nats"][0]
            except ValueError:  # written only in part
                continue
        time.sleep(0.01)
    raise AssertionError("no nats-server came up")


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    url = request.getfixturevalue("nats_url") if request.param == "remote" else ""
    return Site(request.param, tmp_path, url)


@pytest.fixture(params=PLACES)
async def anywhere(request: pytest.FixtureRequest, site: Site) -> AsyncIterator[tuple[AnyRouter, Place]]:
    """A Router of one venue, for each of the three."""
    async with site.one(request.param) as found:
        yield found


@pytest.fixture
async def at_qfex(site: Site) -> AsyncIterator[tuple[AnyRouter, Place]]:
    async with site.one("qfex") as found:
        yield found


@pytest.fixture
async def at_b2trader(site: Site) -> AsyncIterator[tuple[AnyRouter, Place]]:
    async with site.one("b2trader") as found:
        yield found


@pytest.fixture
async def at_dmex(site: Site) -> AsyncIterator[tuple[AnyRouter, Place]]:
    async with site.one("dmex") as found:
        yield found


@pytest.fixture
async def everywhere(site: Site) -> AsyncIterator[tuple[AnyRouter, dict[str, Place]]]:
    """A Router of all three."""
    async with QfexSimulator() as qfex, B2TraderSimulator() as b2trader, DmexSimulator() as dmex:
        places = {place.name: place for place in map(_placed, ("qfex", "b2trader", "dmex"), (qfex, b2trader, dmex))}
        async with site.router({name: place.adapter for name, place in places.items()}) as router:
            yield router, places


def _placed(name: str, simulator: Simulator) -> Place:
    return PLACES[name][1](simulator)
