"""What entries add to the tables of operations and of own orders: one statement for each kind of move, and their rows.

Rules, for the entries of one commit, in order:

1. An intent begins an operation; that of a submit begins an order as well.
2. UNKNOWN moves an operation from intent only; an outcome ends it, and may tell its order's id.
3. What has a state moves its order, unless that has ended and the state has not. NOT_SENT ends it without one.

The writer makes these moves, and SQLite's triggers refuse the wrong ones: deriving them in SQL, from the JSON, took twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from router.journal.schema import ENDED, FINAL
from router.record import Record

__all__ = ["MOVES_ORDER", "moves", "text"]

MOVES_ORDER: Final = frozenset({"execution", "confirmed", "refused", "resolved"})
BEGIN: Final = "INSERT INTO operation VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'intent', ?, ?)"
PLACE: Final = "INSERT INTO own_order VALUES (?, ?, ?, ?, 'pending_new', 1, ?, ?)"
DOUBT: Final = "UPDATE operation SET state = 'unknown', changed = ? WHERE op = ? AND state = 'intent'"
END: Final = "UPDATE operation SET state = ?, changed = ?, order_id = coalesce(?, order_id) WHERE op = ?"
MOVE: Final = """
    UPDATE own_order
    SET order_id = coalesce(?, order_id), status = ?, live = live AND ?, facts = coalesce(?, facts), changed = ?
    WHERE op = ? AND (live OR ?)
"""

Row = tuple[Any, ...]


def moves(written: Iterable[tuple[Record, Row]], encode: Callable[[Any], str]) -> Iterator[tuple[str, list[Row]]]:
    """Statements and their rows, in the order in which they are to be made. written: records, each with its row of `entry`."""
    rows: dict[str, list[Row]] = {BEGIN: [], PLACE: [], DOUBT: [], END: [], MOVE: []}
    for record, row in written:
        if record.op is not None:
            _take(rows, record, row, encode)
    return ((statement, found) for statement, found in rows.items() if found)


def _take(rows: dict[str, list[Row]], record: Record, row: Row, encode: Callable[[Any], str]) -> None:
    _, run, at, op, venue, what, order_id, client_order_id, *_ = row
    facts = record.facts
    if what == "intent":
        names = (text(facts["account"]), facts["verb"], order_id, client_order_id, text(facts.get("symbol")))
        rows[BEGIN].append((op, run, venue, *names, at, at))
        if facts["verb"] == "submit":
            rows[PLACE].append((op, venue, order_id, client_order_id, encode(facts["state"]), at))
    elif what == "unknown":
        rows[DOUBT].append((at, op))
    elif what in FINAL:
        rows[END].append((what, at, order_id, op))
    if what == "not_sent":
        rows[MOVE].append((None, None, 0, None, at, op, 1))
    elif what in MOVES_ORDER and facts.get("state") is not None:
        rows[MOVE].append(_move(facts["state"], encode, order_id, at, op))


def _move(state: Any, encode: Callable[[Any], str], order_id: str | None, at: float, op: str) -> Row:
    status = state.get("status") if isinstance(state, dict) else state.status
    ended = status in ENDED
    return (order_id, None if status is None else str(status), not ended, encode(state), at, op, ended)


def text(name: Any) -> str | None:
    """Somebody's word in a column: half surrogates are escaped."""
    if name is None or (type(name) is str and name.isascii()):
        return name
    return str(name).encode("utf-8", "backslashreplace").decode()
