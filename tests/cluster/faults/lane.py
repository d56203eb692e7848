"""Sixteen strategies on three venues behind two gateways, and a series of faults. What is known afterwards is an Evidence.

The venues and the strategies live here; nats-server and each gateway are processes of their own. There are always two gateways: one
that owns, and one that stands by on a journal of its own, which is empty at the beginning.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import nats
from attrs import define, field, frozen
from cluster_faults.trader import Trader
from cluster_servers import nats_cluster, nats_server
from crash import strategy
from crash.history import Evidence, Scribe, read_lines
from crash.lane import LOST, READS
from crash.recorded import DELAYS
from crash.venues import VENUES

from router.testing.proxy import FaultProxy

BOOT = """
import importlib.util, sys
for name, path in (("crash", sys.argv[2]), ("cluster_faults", sys.argv[3])):
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = importlib.util.module_from_spec(spec)
from cluster_faults.owner import main
main()
"""
HERE = Path(__file__)
PATIENCE = 60.0
STRATEGIES = {"qfex": 8, "b2trader": 3, "dmex": 5}


@frozen(kw_only=True)
class Settings:
    """fault: one of FAULTS. lost: the share of answers that are; late: of adds that are delayed. quiet: seconds, of the Specs.

    pause: seconds that a gateway is stopped, or cut off. calm: seconds of trading between two faults; rest: between two plays of a strategy. mistake: one of mistakes.py.
    """

    fault: str = "kill"
    lost: float = 0.0
    late: float = 0.02
    quiet: float = 1.3
    ttl: float = 1.0
    nodes: int = 1
    pause: float = 2.5
    calm: float = 1.0
    rest: float = 0.02
    deadlines: tuple = (0.3, 1.0, 2.0)
    mistake: str = ""


@define(eq=False)
class Process:
    """One gateway. proxy: its way to NATS."""

    name: str
    process: object
    proxy: object
    errors: Path

    async def kill(self):
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@define(eq=False)
class Lane:
    """seed: of everything. gaps: seconds without an owner, a fault each."""

    seed: int
    folder: Path
    settings: Settings = field(factory=Settings)
    tell: object = print
    venues: dict = field(factory=dict, init=False)
    evidence: Evidence = field(factory=Evidence, init=False)
    gaps: list = field(factory=list, init=False)
    _gateways: list = field(factory=list, init=False)
    _owners: dict = field(factory=dict, init=False)
    _news: asyncio.Condition = field(factory=asyncio.Condition, init=False)
    _started: int = field(default=0, init=False)
    _server: object = field(default=None, init=False)
    _stack: object = field(default=None, init=False)

    # -- a run

    async def run(self, rounds):
        """So many faults. Returns the Evidence."""
        strategy.DEADLINES = self.settings.deadlines
        async with AsyncExitStack() as stack:
            self._stack = stack
            await self._set_up()
            traders = await self._traders()
            trading = [asyncio.create_task(trader.trade()) for trader in traders]
            market = asyncio.create_task(self._market())
            try:
                for number in range(1, rounds + 1):
                    await self._round(number, traders)
                await self._end(traders, trading)
            finally:
                for task in (*trading, market):
                    task.cancel()
                results = await asyncio.gather(*trading, market, return_exceptions=True)
                self.evidence.mistakes += [
                    f"a task of ours: {each!r}" for each in results if isinstance(each, Exception)
                ]
                for gateway in self._gateways:
                    await gateway.kill()
            self._collect()
        return self.evidence

    async def _set_up(self):
        for name, kind in VENUES.items():
            venue = kind(seed=self.seed, late=self.settings.late)
            self.venues[name] = await self._stack.enter_async_context(venue)
            venue.foreigners()
        self._break(self.settings.lost)
        made = nats_server() if self.settings.nodes == 1 else nats_cluster(self.settings.nodes)
        self._server = await self._stack.enter_async_context(made)
        await self._listen()
        await self._start()
        await self._owned(lambda owners: len(owners) == len(VENUES))
        await self._start()

    async def _traders(self):
        traders, number = [], 0
        for venue, count in STRATEGIES.items():
            for _ in range(count):
                number += 1
                scribe = Scribe(self.folder / "history.jsonl", number)
                trader = Trader(number, venue, self._server.url, scribe, self.seed, self.settings.rest)
                await self._stack.enter_async_context(trader.router)
                traders.append(trader)
        return traders

    async def _market(self):
        """Orders trade now and then."""
        chance = Random(f"{self.seed} market")  # noqa: S311 - a plan is no secret
        while True:
            await asyncio.sleep(chance.uniform(0.3, 1.2))
            await chance.choice(list(self.venues.values())).trade(chance)

    def _break(self, lost):
        for name, venue in self.venues.items():
            venue.faults.clear()
            venue.late = self.settings.late
            if lost:
                venue.faults.random(lost, LOST)
                if name in READS:
                    venue.faults.random(lost, LOST, only=READS[name])

    async def _end(self, traders, trading):
        for venue in self.venues.values():
            venue.faults.clear()
            venue.late = 0.0
        await self._owned(lambda owners: len(owners) == len(VENUES))
        for trader in traders:
            trader.stop()
        begun = time.monotonic()
        await asyncio.wait_for(asyncio.gather(*trading), PATIENCE)
        await asyncio.wait_for(asyncio.gather(*(trader.finish() for trader in traders)), 2 * PATIENCE)
        self.tell(f"settled and swept in {time.monotonic() - begun:.1f} s")
        await asyncio.sleep(DELAYS[1])  # what is under way at the venues enters their books

    def _collect(self):
        self.evidence.lines = read_lines(self.folder / "history.jsonl")
        for venue in self.venues.values():
            self.evidence.arrivals += venue.arrivals
            self.evidence.rows += venue.rows.values()
            self.evidence.mistakes += venue.mistakes
        self.evidence.arrivals.sort(key=lambda arrival: arrival.at)
        for gateway in self._gateways:
            said = gateway.errors.read_text(errors="replace")
            if "Traceback" in said or "mistake of ours" in said:
                self.evidence.mistakes.append(f"{gateway.name} complained: {said[-3000:]}")

    # -- who owns what, as the gateways tell

    async def _listen(self):
        client = await nats.connect(self._server.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
        self._stack.push_async_callback(client.close)
        await client.subscribe("router.owner.*", cb=self._heard)

    async def _heard(self, message):
        told = json.loads(message.data)
        async with self._news:
            for venue, owned in told["venues"].items():
                if owned.get("tenure") and not owned.get("fenced") and _epoch(owned) >= _epoch(self._owners.get(venue)):
                    self._owners[venue] = owned | {"gateway": told["gateway"], "at": time.monotonic()}
            self._news.notify_all()

    async def _owned(self, enough):
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: enough(self._owners))

    # -- gateways

    async def _start(self):
        self._started += 1
        name = f"g{self._started}"
        parts = urlsplit(self._server.url)
        proxy = await self._stack.enter_async_context(FaultProxy(parts.hostname, parts.port))
        orders = self.folder / f"{name}.json"
        orders.write_text(json.dumps(self._orders(name, proxy)))
        errors = self.folder / f"{name}.stderr"
        with errors.open("wb") as file:
            command = [sys.executable, "-c", BOOT, str(orders), str(HERE.parents[2] / "crash" / "__init__.py")]
            process = await asyncio.create_subprocess_exec(
                *command,
                str(HERE.with_name("__init__.py")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
            )
        gateway = Process(name, process, proxy, errors)
        self._gateways.append(gateway)
        said = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        assert said == b"up\n", f"{name} did not start: {errors.read_text()[-2000:]}"
        return gateway

    def _orders(self, name, proxy):
        settings = self.settings
        return {
            "name": name,
            "nats": proxy.url_of(self._server.url),
            "venues": {venue: each.credentials for venue, each in self.venues.items()},
            "wallet": self.venues["dmex"].address,
            "quiet": settings.quiet,
            "journal": str(self.folder / f"{name}.journal"),
            "ttl": settings.ttl,
            "replicas": settings.nodes,
            "mistake": settings.mistake,
        }

    @property
    def _owner(self):
        names = {owned["gateway"] for owned in self._owners.values()}
        return next(gateway for gateway in reversed(self._gateways) if gateway.name in names)

    # -- faults

    async def _round(self, number, traders):
        before = sum(trader.done for trader in traders)
        async with asyncio.timeout(PATIENCE):
            while sum(trader.done for trader in traders) < before + 4 * len(traders):  # noqa: ASYNC110 - sixteen count
                await asyncio.sleep(0.02)
        chance = Random(f"{self.seed} {number}")  # noqa: S311 - a plan is no secret
        await asyncio.sleep(chance.uniform(0.0, self.settings.calm))
        fault = self.settings.fault
        if fault == "all":
            fault = chance.choice(("kill", "pause", "broker"))
        begun = time.monotonic()
        await getattr(self, f"_{fault}")()
        self.tell(
            f"seed {self.seed} round {number}: {fault}, {time.monotonic() - begun:.1f} s, without an owner {self.gaps[-1]:.2f} s"
        )

    async def _taken_over(self, old, since):
        """All that a gateway had is owned by others. Notes how long that took."""
        mine = [venue for venue, owned in self._owners.items() if owned["gateway"] == old.name]
        await self._owned(lambda owners: all(owners[venue]["gateway"] != old.name for venue in mine))
        self.gaps.append(max((self._owners[venue]["at"] - since for venue in mine), default=0.0))

    async def _kill(self):
        """A gateway dies with what it had in flight; another one, with an empty journal, comes as the next standby."""
        old = self._owner
        since = time.monotonic()
        await old.kill()
        await self._taken_over(old, since)
        await self._start()

    async def _pause(self):
        """It stands still for longer than its lease, and wakes up."""
        old = self._owner
        since = time.monotonic()
        old.process.send_signal(signal.SIGSTOP)
        await self._taken_over(old, since)
        await asyncio.sleep(max(0.0, since + self.settings.pause - time.monotonic()))
        old.process.send_signal(signal.SIGCONT)

    async def _partition(self):
        """It is cut off from NATS, and not from the venues."""
        old = self._owner
        since = time.monotonic()
        old.proxy.half_open()
        await self._taken_over(old, since)
        await asyncio.sleep(max(0.0, since + self.settings.pause - time.monotonic()))
        old.proxy.heal()

    async def _broker(self):
        """nats-server is killed, and comes back."""
        await self._server.kill()
        await self._server.restart()
        since = time.monotonic()
        await self._owned(lambda owners: all(owned["at"] > since for owned in owners.values()))
        self.gaps.append(max(owned["at"] - since for owned in self._owners.values()))


def _epoch(owned):
    return int(owned["tenure"].partition("-")[0]) if owned else -1
