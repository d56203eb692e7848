"""One series of processes on three venues that survive them: each finds what its predecessor left, goes on, and is killed.

Every process but the last is killed by SIGKILL as its plan says; the last one, without faults, recovers, cancels what is ours
and closes. What is known afterwards is an Evidence.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from attrs import asdict, define, field, frozen

from crash.history import Evidence, read_lines, read_operations
from crash.plan import LONGEST, draw
from crash.powercut import disk
from crash.recorded import DELAYS
from crash.venues import VENUES
from router.testing import Fault

BOOT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("crash", sys.argv[2])
sys.modules["crash"] = importlib.util.module_from_spec(spec)
from crash.victim import main
main()
"""
READS = {"qfex": ("get_user_orders", "get_order"), "dmex": ("GET orders",)}
LOST = (Fault.MUTE, Fault.MUTE, Fault.MUTE, Fault.HANG_UP_EXECUTED)
PATIENCE = 60.0  # seconds for a process to recover, or to finish


@frozen(kw_only=True)
class Settings:
    """lost: the share of answers that are; late: of adds that are delayed. quiet: seconds, of the Specs. mistake: one of mistakes.py.

    power_cuts: the journal's disk loses what was not synced, too, whenever a process is killed.
    """

    lost: float = 0.05
    late: float = 0.02
    quiet: float = 1.3
    journal: bool = True
    durability: str = "full"
    strategies: int = 16
    mistake: str = ""
    plans: object = draw
    power_cuts: bool = False


@define(eq=False)
class Lane:
    """number: which one of several that run side by side."""

    seed: int
    number: int
    folder: Path
    settings: Settings = field(factory=Settings)
    tell: object = print
    venues: dict = field(factory=dict, init=False)
    evidence: Evidence = field(factory=Evidence, init=False)
    _disk: object = field(default=None, init=False)
    _process: object = field(default=None, init=False)
    _said: dict = field(factory=dict, init=False)
    _hits: int = field(default=0, init=False)
    _plan: object = field(default=None, init=False)
    _listening: object = field(default=None, init=False)

    # -- a run

    async def run(self, rounds):
        """So many processes that are killed, and a last one. Returns the Evidence."""
        async with AsyncExitStack() as stack:
            for name, kind in VENUES.items():
                venue = kind(seed=self.seed * 1000 + self.number, late=self.settings.late)
                self.venues[name] = await stack.enter_async_context(venue)
                venue.notice = self._notice
                venue.foreigners()
            if self.settings.power_cuts:
                self._disk = await stack.enter_async_context(disk(self.folder))
            self._break(self.settings.lost)
            market = asyncio.create_task(self._market())
            try:
                for number in range(1, rounds + 1):
                    await self._round(number, self.settings.plans(self._chance(number)))
                self._break(0.0)
                await self._last(rounds + 1)
                await asyncio.sleep(DELAYS[1])  # what is under way at the venues enters their books
            finally:
                self._kill()
                market.cancel()
                await asyncio.wait([market])
            self._collect()
            self.evidence.mistakes += [f"the market: {market.exception()!r}"] if not market.cancelled() else []
        return self.evidence

    def _chance(self, number):
        return Random(f"{self.seed} {self.number} {number}")  # noqa: S311 - a plan is no secret

    def _break(self, lost):
        for name, venue in self.venues.items():
            venue.faults.clear()
            venue.faults.random(lost, LOST)
            if name in READS:
                venue.faults.random(lost, LOST, only=READS[name])
            venue.late = self.settings.late if lost else 0.0

    async def _market(self):
        """Orders trade now and then."""
        chance = self._chance(0)
        while True:
            await asyncio.sleep(chance.uniform(0.3, 1.2))
            await chance.choice(list(self.venues.values())).trade(chance)

    def _collect(self):
        self.evidence.lines = read_lines(self.history)
        for venue in self.venues.values():
            self.evidence.arrivals += venue.arrivals
            self.evidence.rows += venue.rows.values()
            self.evidence.mistakes += venue.mistakes
        self.evidence.arrivals.sort(key=lambda arrival: arrival.at)
        with (self.folder / "venues.jsonl").open("w") as file:  # for whoever looks into a finding
            for each in (*self.evidence.arrivals, *self.evidence.rows):
                file.write(json.dumps(asdict(each), default=str) + "\n")

    # -- a process

    @property
    def history(self):
        return self.folder / "history.jsonl"

    @property
    def journal(self):
        return (self.folder if self._disk is None else self._disk.folder) / "router.journal"

    async def _round(self, number, plan):
        self._plan, self._hits = plan, 0
        begun = time.monotonic()
        await self._start(number, trades=True)
        killer = asyncio.create_task(self._kill_in_time(plan))
        code = await self._process.wait()
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)
        if self._disk is not None:
            await self._disk.cut()
        await self._ended(number, code, -signal.SIGKILL)
        self.tell(f"lane {self.number} round {number}: killed at {plan}, {time.monotonic() - begun:.1f} s")

    async def _last(self, number):
        self._plan = None
        await self._start(number, trades=False)
        try:
            code = await asyncio.wait_for(self._process.wait(), PATIENCE)
        except TimeoutError:
            self._kill()
            code = await self._process.wait()
        await self._ended(number, code, 0)

    async def _start(self, number, *, trades):
        self._look_at_the_journal(number)
        for venue in self.venues.values():
            venue.process = number
        orders = self.folder / "orders.json"
        orders.write_text(json.dumps(self._orders(number, trades=trades)))
        self._said = {word: asyncio.Event() for word in ("start", "opened", "recovered", "trading")}
        self._said["start"].set()
        with (self.folder / f"stderr-{number}").open("wb") as errors:
            command = [sys.executable, "-c", BOOT, str(orders), str(Path(__file__).with_name("__init__.py"))]
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=errors
            )
        self._listening = asyncio.create_task(self._listen(self._process.stdout))

    def _orders(self, number, *, trades):
        """What a process is told."""
        settings, plan = self.settings, self._plan
        journal = {"journal": str(self.journal), "durability": settings.durability} if settings.journal else {}
        own = plan is not None and plan.kind == "own"
        return {
            "process": number,
            "seed": f"{self.seed} {self.number} {number}",
            "history": str(self.history),
            "venues": {name: venue.credentials for name, venue in self.venues.items()},
            "wallet": self.venues["dmex"].address,
            "quiet": settings.quiet,
            "router": journal,
            "strategies": settings.strategies,
            "trades": trades,
            "mistake": settings.mistake,
            "point": plan.point if own else "",
            "count": plan.count if own else 0,
        }

    async def _listen(self, stdout):
        async for line in stdout:
            self._said[line.decode().strip()].set()

    def _look_at_the_journal(self, number):
        """What the journal says of each operation, from a copy: reading it would change what lies beside it."""
        if not self.journal.exists():
            return
        copy = self.folder / "copy"
        for end in ("", "-wal"):
            if Path(f"{self.journal}{end}").exists():
                shutil.copyfile(f"{self.journal}{end}", f"{copy}{end}")
        self.evidence.journals[number] = read_operations(copy)
        for left in self.folder.glob("copy*"):
            left.unlink()

    async def _ended(self, number, code, wanted):
        await self._listening
        self.evidence.deaths[number] = code
        errors = (self.folder / f"stderr-{number}").read_text(errors="replace")
        if code != wanted:
            self.evidence.mistakes.append(f"process {number} ended with {code}, not {wanted}: {errors[-2000:]}")
        elif "Traceback" in errors or "mistake of ours" in errors:
            self.evidence.mistakes.append(f"process {number} complained: {errors[-2000:]}")

    # -- killing

    def _notice(self, venue, stage, verb):
        plan = self._plan
        if plan is None or plan.kind != "venue" or not self._said["trading"].is_set():
            return
        if (venue, stage, verb) == (plan.venue, plan.point, plan.verb):
            self._hits += 1
            if self._hits == plan.count:
                self._kill()

    async def _kill_in_time(self, plan):
        """At its time; or when its point has not come."""
        since, seconds = (plan.since, plan.seconds) if plan.kind == "time" else ("trading", LONGEST)
        try:
            await asyncio.wait_for(self._said[since].wait(), PATIENCE)
            await asyncio.sleep(seconds)
        except TimeoutError:
            self.evidence.mistakes.append(f"a process that was to be killed at {plan} never said {since!r}")
        self._kill()

    def _kill(self):
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
