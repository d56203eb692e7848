"""What is written down while processes are killed: their calls and reports, what venues read, and what became of orders.

A process writes a line before each call and after each report, by one write to a file opened with O_APPEND: what was written
before a kill -9 is there after it. Times are those of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing

from attrs import define, field, frozen

CANCELLED, FILLED, OTHERWISE = "cancelled", "filled", "ended otherwise"
LAST_RUNS = 10  # of a journal, of which the settled operations are of interest too


class Scribe:
    """Writes lines of one process. process: its number, from 1."""

    def __init__(self, path, process):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._process = process

    def write(self, what, **facts):
        line = {"what": what, "process": self._process, "at": time.monotonic(), **facts}
        os.write(self._file, json.dumps(line).encode() + b"\n")


def read_lines(path):
    """All lines, in order. The last one of a process that was killed may be cut off."""
    if not path.exists():
        return []
    found = []
    for text in path.read_bytes().split(b"\n"):
        try:
            found.append(json.loads(text))
        except ValueError:
            if text and not text.startswith(b'{"what"'):
                raise
    return found


@frozen(kw_only=True)
class Arrival:
    """A command as a venue read it. process: who had made the connection. by: "id" or "client", of a cancel."""

    at: float
    venue: str
    process: int
    verb: str
    name: str
    by: str = "id"


@define(eq=False, kw_only=True)
class Row:
    """An order that was in a venue's book, from `born` until `ended` (None: it is open). name: what its submit is known by.

    prices: each that it has had. foreign: it came another way than from our processes.
    """

    venue: str
    id: str
    name: str
    born: float
    foreign: bool = False
    prices: list = field(factory=list)
    ended: float | None = None
    end: str = ""

    def is_open(self, at):
        return self.born <= at and (self.ended is None or self.ended > at)


@define(eq=False, kw_only=True)
class Evidence:
    """All that is known of one series of processes.

    arrivals, rows: of the venues. journals: what the journal's table of operations held when a process began, by its number;
    a row is a mapping of op, venue, verb, order_id, client_order_id and state. deaths: how each process ended, by its number.
    """

    lines: list = field(factory=list)
    arrivals: list = field(factory=list)
    rows: list = field(factory=list)
    journals: dict = field(factory=dict)
    deaths: dict = field(factory=dict)
    mistakes: list = field(factory=list)


def read_operations(path):
    """The journal's operations: those in doubt, and all of the last runs.

    path: of a copy, because even a reader changes what is beside a database.
    """
    wanted = """
        SELECT op, venue, verb, order_id, client_order_id, state FROM operation
        WHERE state IN ('intent', 'unknown') OR run > (SELECT max(run) FROM run) - ?
    """
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(wanted, [LAST_RUNS])]
