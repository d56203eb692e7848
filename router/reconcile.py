"""What a list of open orders says that the ledger doesn't know. Pure.

A list is as old as its request: orders that anything newer has touched are left as they are. An order that is missing from the
list has ended, or has not arrived there yet; which of the two, and how, only a look-up can tell.
"""

from __future__ import annotations

from collections.abc import Collection

from router.ledger import Ledger
from router.model import IdKind
from router.report import OrderState
from router.venue import Execution, Reading

__all__ = ["missing", "news"]


def news(ledger: Ledger, reading: Reading, asked: Collection[str]) -> list[Execution]:
    """The rows to be applied. asked: ids that somebody asks about; of others, what ended before it was known is no news."""
    return [
        row
        for row in reading.rows
        if not ledger.is_newer(reading, row) and (row.order_id in asked or _is_ours_or_open(ledger, row))
    ]


def _is_ours_or_open(ledger: Ledger, row: Execution) -> bool:
    return row.status is None or not row.status.is_terminal or ledger.find(row.order_id) is not None


def missing(ledger: Ledger, reading: Reading, listed: frozenset[IdKind]) -> list[OrderState]:
    """Orders of ours that are live as far as is known, of kinds that the venue lists, and not in the list."""
    shown = {row.order_id for row in reading.rows}
    return [
        state
        for state in ledger.live()
        if state.own
        and state.order_id is not None
        and state.kind in listed
        and not _shown(ledger, state, shown, reading)
    ]


def _shown(ledger: Ledger, state: OrderState, shown: set[str], reading: Reading) -> bool:
    entry = ledger.find(str(state.order_id))
    return entry is None or entry.touched > reading.changes or not shown.isdisjoint(entry.ids)
