"""What the journal knew of some orders at one of its entries.

Rules:

1. Of an order placed here it is the state that was last written. Of anybody else's it is what the last event told.
2. The entries around the command are looked at first: the venue's ids have no index, and that is where an order's end is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import apsw
import msgspec
from msgspec import structs

from router.journal.reading import Told
from router.report import OrderState, OrdStatus

__all__ = ["latest", "states"]

_WANTED: Final = "IN (SELECT value FROM json_each(?))"
_AROUND: Final = f"""
    SELECT order_id, facts FROM entry
    WHERE number BETWEEN ? AND ? AND venue = ? AND order_id {_WANTED} AND what IN ('execution', 'confirmed', 'resolved')
    ORDER BY number
"""
_OWN: Final = f"SELECT order_id, op FROM own_order WHERE venue = ? AND order_id {_WANTED}"
_LAST: Final = """
    SELECT facts ->> 'state' FROM entry WHERE op = ? AND number <= ? AND facts ->> 'state' IS NOT NULL
    ORDER BY number DESC LIMIT 1
"""


def latest(told: Iterable[Told]) -> OrderState | None:
    """The state that the last of these entries tells that tells one."""
    found = [each.facts["state"] for each in told if each.facts.get("state") is not None]
    return msgspec.convert(found[-1], OrderState) if found else None


def states(
    db: apsw.Connection, venue: str, ids: Sequence[str], first: int, last: int, blank: Mapping[str, OrderState]
) -> dict[str, OrderState]:
    """Those of these orders that something is known of, at the entry `last`. first: of the command that is about them. blank: what
    is known of each without the journal.
    """
    found: dict[str, OrderState] = {}
    told: set[str] = set()
    for order_id, text in db.execute(_AROUND, (first, last, venue, json.dumps(ids))):
        facts = msgspec.json.decode(text, type=dict[str, Any])
        if facts.get("state") is not None:
            told.add(order_id)
            found[order_id] = msgspec.convert(facts["state"], OrderState)
        elif facts.get("event") is not None and order_id not in told:
            found[order_id] = _moved(found.get(order_id) or blank[order_id], facts["event"])
    left = [order_id for order_id in ids if order_id not in told]
    return found | (_own(db, venue, left, last) if left else {})


def _moved(state: OrderState, event: Mapping[str, Any]) -> OrderState:
    """Somebody else's order, after an event: what that doesn't tell is as it was."""
    status = event.get("status")
    news = {
        "client_order_id": event.get("client_order_id"),
        "symbol": event.get("symbol"),
        "status": None if status is None else OrdStatus(status),
        "cum_quantity": event.get("cum_quantity"),
    }
    known = {name: value for name, value in news.items() if value is not None}
    return msgspec.convert(structs.asdict(state) | known, OrderState)


def _own(db: apsw.Connection, venue: str, ids: Sequence[str], last: int) -> dict[str, OrderState]:
    found: dict[str, OrderState] = {}
    rows: list[Any] = db.execute(_OWN, (venue, json.dumps(ids))).fetchall()
    for order_id, op in rows:
        state = db.execute(_LAST, (op, last)).get
        if state is not None:
            found[order_id] = msgspec.json.decode(state, type=OrderState)
    return found
