"""What a list of open orders says that the ledger doesn't know. Pure.

A list is as old as its request: orders that anything newer has touched are left as they are. An order that is missing from the
list has ended, or has not arrived there yet; which of the two, and how, only a look-up can tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from router.ledger import Ledger
from router.model import IdKind
from router.report import OrderState
from router.venue import Execution, Reading

__all__ = ["News", "missing"]


class News:
    """Which rows of a list are to be applied. It may be taken in part by part: what happens to an order before its part comes
    is newer than its row.

    asked: ids that somebody asks about; of others, what ended before it was known is no news.
    """

    def __init__(self, ledger: Ledger, reading: Reading, asked: Collection[str]) -> None:
        self._ledger, self._since, self._asked = ledger, reading.changes, asked
        self._ours: set[int] = set()

    def among(self, rows: Iterable[Execution]) -> Iterator[Execution]:
        """Those to be applied, each of them before the next one is asked for."""
        for row in rows:
            if self._is_news(row):
                before = self._ledger.changes
                yield row
                if self._ledger.changes != before:
                    self._ours.add(self._ledger.changes)

    def _is_news(self, row: Execution) -> bool:
        entry = self._ledger.find(row.order_id)
        if entry is not None:
            return entry.touched <= self._since or entry.touched in self._ours
        return row.status is None or not row.status.is_terminal or row.order_id in self._asked


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
