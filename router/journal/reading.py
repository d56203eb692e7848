"""What a journal says: what is not over in it, everything of one order, and all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import apsw
import msgspec
from attrs import field, frozen

from router.journal.schema import EPOCHS, IN_DOUBT

__all__ = ["Kept", "Told", "entries", "entries_of", "epoch", "kept", "story", "version"]


@frozen(kw_only=True)
class Told:
    """One entry, as it was written."""

    number: int
    run: int
    at: float
    op: str | None
    venue: str
    what: str
    order_id: str | None
    client_order_id: str | None
    facts: Mapping[str, Any] = field(repr=False)


@frozen(kw_only=True)
class Kept:
    """One operation that is in doubt, or whose order may be open; or an order that has ended, with the client id of a submit
    in doubt: what the venue shows under that id may be either.

    state: as in the table `operation`. known: the order as it was last known, for a submit; live: whether it may be open.
    told: every entry of it, the intent first.
    """

    op: str
    venue: str
    account: str
    verb: str
    state: str
    known: Mapping[str, Any] | None = field(repr=False)
    live: bool
    told: Sequence[Told] = field(repr=False)

    @property
    def in_doubt(self) -> bool:
        return self.state in IN_DOUBT

    @property
    def intent(self) -> Told:
        return self.told[0]


_WORDS: Final = ", ".join(f"'{state}'" for state in IN_DOUBT)
_DOUBTFUL: Final = f"state IN ({_WORDS})"
_KEPT: Final = f"""
    SELECT operation.op, operation.venue, account, verb, state, own_order.facts, coalesce(live, 0)
    FROM operation LEFT JOIN own_order USING (op)
    WHERE {_DOUBTFUL} OR live OR (operation.venue, own_order.client_order_id) IN (
        SELECT venue, client_order_id FROM operation WHERE {_DOUBTFUL} AND verb = 'submit'
    )
    ORDER BY operation.at, operation.op
"""
_COLUMNS: Final = "number, run, at, op, venue, what, order_id, client_order_id, facts"


def version(db: apsw.Connection) -> int:
    """Which version it says that it is."""
    return int(db.pragma("user_version"))


def epoch(db: apsw.Connection) -> int:
    """The highest that any run of it had; 0 where none traded under a lease."""
    return int(db.execute("SELECT coalesce(max(epoch), 0) FROM run").get) if version(db) >= EPOCHS else 0


def kept(db: apsw.Connection) -> list[Kept]:
    """What is not over, oldest first."""
    return [
        Kept(
            op=op,
            venue=venue,
            account=account,
            verb=verb,
            state=state,
            known=_read(known),
            live=bool(live),
            told=entries_of(db, op),
        )
        for op, venue, account, verb, state, known, live in db.execute(_KEPT)
    ]


def entries_of(db: apsw.Connection, op: str) -> list[Told]:
    """Those of one operation, in order."""
    return [_told(row) for row in db.execute(f"SELECT {_COLUMNS} FROM entry WHERE op = ? ORDER BY number", (op,))]


def entries(db: apsw.Connection) -> Iterator[Told]:
    """All of it, in order."""
    for row in db.execute(f"SELECT {_COLUMNS} FROM entry ORDER BY number"):
        yield _told(row)


_NAMED: Final = f"""
    WITH RECURSIVE
    op_of (op) AS (
        SELECT :name
        UNION SELECT op FROM entry WHERE (order_id = :name OR client_order_id = :name) AND op IS NOT NULL
    ),
    order_of (order_id) AS (
        SELECT :name UNION SELECT order_id FROM entry JOIN op_of USING (op) WHERE order_id IS NOT NULL
    )
    SELECT {_COLUMNS} FROM entry
    WHERE op IN (SELECT op FROM op_of) OR order_id IN (SELECT order_id FROM order_of) OR client_order_id = :name
    ORDER BY number
"""


def story(db: apsw.Connection, name: str) -> list[Told]:
    """Every entry of an order, and of the commands about it. name: the venue's id, the client's, or an operation's."""
    return [_told(row) for row in db.execute(_NAMED, {"name": name})]


def _told(row: Sequence[Any]) -> Told:
    *columns, facts = row
    number, run, at, op, venue, what, order_id, client_order_id = columns
    return Told(
        number=number,
        run=run,
        at=at,
        op=op,
        venue=venue,
        what=what,
        order_id=order_id,
        client_order_id=client_order_id,
        facts=_read(facts) or {},
    )


def _read(facts: str | None) -> dict[str, Any] | None:
    return None if facts is None else msgspec.json.decode(facts, type=dict[str, Any])
