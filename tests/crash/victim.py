"""A process that trades until it is killed: it opens a Router on the journal that its predecessor left, says what it found, and goes on.

Everything that it does and is told is in the history; on stdout it says how far it has come, a word a line. What it is to do
is in a JSON file: see `Orders` in lane.py. Run with the path of that file.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from random import Random

import apsw
from attrs import evolve

from adapters.b2trader import B2Trader
from adapters.dmex import Dmex
from adapters.qfex import Qfex
from crash.history import Scribe
from crash.mistakes import MISTAKES
from crash.strategy import Strategies, encode, told
from router import Router, settling
from router.transport.http import Http
from router.transport.websocket import WebSocket

ADAPTERS = {"qfex": Qfex, "b2trader": B2Trader, "dmex": Dmex}
READING = 1.0  # seconds after which a lost answer to a read is asked for again
HTTP_TIMEOUTS = {"b2trader": 5.0}  # it has no reads, and a login that may take its time while we are busy
PAUSE = 0.3  # seconds between two looks for what is in doubt, once that has taken a while
COMMANDS = (b'"add_order"', b'"cancel_order"', b'"modify_order"', b'"create_order"')


class Fuse:
    """Kills this process at the count-th passing of a point, once it is lit."""

    def __init__(self, point, count):
        self._point, self._left = point, count
        self.is_lit = False

    def __call__(self, point):
        if self.is_lit and point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def rig(fuse):
    """Have the points at which bytes leave this process, and at which SQLite commits, pass the fuse."""
    send, request = WebSocket.send, Http.request

    def sends(self, body):
        is_command = any(word in body for word in COMMANDS)
        if is_command:
            fuse("before_write")
        send(self, body)
        if is_command:
            fuse("after_write")

    async def requests(self, wire, headers, connected, **more):
        def connects():
            fuse("before_write")
            connected()

        return await request(self, wire, headers, connects, **more)

    WebSocket.send, Http.request = sends, requests
    apsw.connection_hooks.append(lambda database: watch(database, fuse))


def watch(database, fuse):
    """A commit is about to be made, or has been: the statement that made it is over."""
    made = []

    def commits():
        fuse("before_commit")
        made.append(True)
        return False

    def ends(_):
        if made:
            made.clear()
            fuse("after_commit")

    database.set_commit_hook(commits)
    database.trace_v2(apsw.SQLITE_TRACE_PROFILE, ends)


def adapters(given):
    """The venues, with a quiet period that a test can wait for."""
    made = {}
    for name, keys in given["venues"].items():
        extra = {"order_encoder": encode(given["wallet"])} if name == "dmex" else {}
        adapter = ADAPTERS[name](**keys, **extra, deadline=2.0)
        times = {"quiet_period": given["quiet"], "deadline": READING, "http_timeout": HTTP_TIMEOUTS.get(name, READING)}
        spec = evolve(adapter.spec, **times)
        adapter._codec = evolve(adapter._codec, spec=spec)
        made[name] = adapter
    return made


def say(word):
    os.write(1, word.encode() + b"\n")


async def live(given):
    chance = Random(given["seed"])  # noqa: S311 - what a strategy does is no secret
    scribe = Scribe(given["history"], given["process"])
    fuse = Fuse(given["point"], given["count"])
    rig(fuse)
    settling.LONGEST_PAUSE = PAUSE
    if given["mistake"]:
        MISTAKES[given["mistake"]]()
    scribe.write("began")
    async with Router(adapters(given), **given["router"]) as router:
        scribe.write("opened")
        say("opened")
        strategies = Strategies(router, scribe, chance, given["process"], fuse)
        early = strategies.start(1) if given["trades"] else []
        scribe.write("recovered", reports=[told(report) for report in await router.recovered()])
        await strategies.know()
        say("recovered")
        if given["trades"]:
            fuse.is_lit = True
            say("trading")
            await asyncio.gather(*early, *strategies.start(given["strategies"]), strategies.sweep())
        await strategies.finish()
    scribe.write("ended")


def main():
    asyncio.run(live(json.loads(Path(sys.argv[1]).read_text())))
