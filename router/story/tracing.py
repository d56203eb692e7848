"""Which entries of a journal belong to an order's story: its own, and those of commands that named it in another way."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw

from router.journal.glance import Senseless, is_time
from router.journal.reading import Told, story
from router.story import Run

__all__ = ["MOST_MATCHES", "SHORTEST", "named", "runs", "trace"]

SHORTEST: Final = 6  # characters that the beginning of an id must have
MOST_MATCHES: Final = 20
LAST: Final = "\U0010ffff"  # no id sorts behind it

_BY_CLIENT: Final = """
    SELECT DISTINCT op FROM entry
    WHERE client_order_id IN (SELECT value FROM json_each(?)) AND what = 'intent' AND facts ->> 'verb' <> 'submit'
"""
_MASSES: Final = """
    SELECT DISTINCT entry.op FROM operation JOIN entry USING (op), json_each(entry.facts, '$.targets') AS target
    WHERE verb = 'cancel_all' AND target.value IN (SELECT value FROM json_each(?))
"""
_BEGINNING: Final = """
    SELECT name FROM (
        SELECT DISTINCT order_id AS name FROM entry WHERE order_id >= :from AND order_id < :to
        UNION SELECT DISTINCT client_order_id FROM entry WHERE client_order_id >= :from AND client_order_id < :to
        UNION SELECT op FROM operation WHERE op >= :from AND op < :to
    ) LIMIT :most
"""
_RUNS: Final = "SELECT run, pid, host, opened, closed FROM run WHERE run >= ? ORDER BY run"
_AT_OR_BEFORE: Final = "SELECT number, run, at FROM entry WHERE number <= ? ORDER BY number DESC LIMIT 1"


def trace(db: apsw.Connection, name: str) -> list[Told]:
    """Everything of one order, in order. name: the venue's id, the client's, or an operation's."""
    found = _own(db, name)
    told = list(found.values())
    submits = [each for each in told if each.what == "intent" and each.facts.get("verb") == "submit"]
    ops = _ops(db, _BY_CLIENT, (each.client_order_id for each in submits))
    ops |= _ops(db, _MASSES, (each.order_id for each in told))
    for op in ops - {each.op for each in told}:
        found.update((each.number, each) for each in story(db, op) if each.op == op)
    return [found[number] for number in sorted(found)]


def _own(db: apsw.Connection, name: str) -> dict[int, Told]:
    """What names the order, or a command about it, by an id of its own."""
    found = {told.number: told for told in story(db, name)}
    for order_id in {each.order_id for each in found.values() if each.order_id} - {name}:
        found.update((each.number, each) for each in story(db, order_id))
    return found


def _ops(db: apsw.Connection, question: str, names: Iterable[str | None]) -> set[str]:
    return {op for (op,) in db.execute(question, (json.dumps(sorted({name for name in names if name})),))}


def named(db: apsw.Connection, beginning: str) -> dict[str, list[Told]]:
    """The ids that begin so, MOST_MATCHES at most, with what names them: one id for each story."""
    bounds = {"from": beginning, "to": beginning + LAST, "most": MOST_MATCHES}
    found: dict[tuple[int, ...], tuple[str, list[Told]]] = {}
    for (name,) in db.execute(_BEGINNING, bounds):
        own = _own(db, name)
        found.setdefault(tuple(sorted(own)), (name, [own[number] for number in sorted(own)]))
    return dict(found.values())


def runs(db: apsw.Connection, told: Sequence[Told]) -> list[Run]:
    """The runs since the first that a story tells of. Raises Senseless."""
    if not told:
        return []
    rows: Any = db.execute(_RUNS, (told[0].run,)).fetchall()
    for number, _, _, opened, closed in rows:
        if not is_time(opened) or not (closed is None or is_time(closed)):
            raise Senseless(f"the times of run {number} are none")
    return [
        Run(number, pid, host, opened, closed, last=_last(db, number), lives=closed is None and _lives(pid, host))
        for number, pid, host, opened, closed in rows
    ]


def _lives(pid: int, host: str) -> bool:
    """Whether the process may be running still. One on another machine may."""
    if host != platform.node():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _last(db: apsw.Connection, run: int) -> float | None:
    """When a run wrote its last entry. Runs follow each other, so that entry is found by halves."""
    low, high = 0, db.execute("SELECT coalesce(max(number), 0) FROM entry").get
    at = None
    while low < high:
        middle = (low + high + 1) // 2
        found: Any = db.execute(_AT_OR_BEFORE, (middle,)).fetchone()
        number, of, when = found or (0, 0, None)
        if of > run:
            high = number - 1
        else:
            low, at = middle, when if of == run else None
    return at
