"""What the journal knows, read beside whoever writes it: which orders are own, and what is in doubt."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from attrs import field, frozen
from msgspec.structs import replace

from router.cli.telling import complain
from router.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

    import apsw

    from router.report import OrderState

__all__ = ["InDoubt", "Remembered", "remembered"]


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@frozen
class InDoubt:
    """A command of which the journal doesn't know the outcome. state: "intent" (not answered) or "unknown" (given up);
    rests: asking tells nothing more of it.
    """

    venue: str
    verb: str
    state: str
    order_id: str | None
    client_order_id: str | None
    symbol: str | None
    op: str
    at: datetime = field(converter=_time)
    rests: bool = field(default=False, converter=bool)


@frozen
class Remembered:
    """own: the ids of the orders placed through this journal that may be open, by venue; a client id only where there is
    no other. in_doubt: the commands in doubt at these venues.
    """

    own: frozenset[tuple[str, str]]
    in_doubt: tuple[InDoubt, ...]

    def marked(self, order: OrderState) -> OrderState:
        """The order with `own` as the journal knows it."""
        names = {(order.venue, name) for name in (order.order_id, order.client_order_id) if name}
        return replace(order, own=order.own or not names.isdisjoint(self.own))


def remembered(path: Path, venues: Iterable[str]) -> Remembered | None:
    """Read the journal. None: there is none yet, or it can't be read, which is then said on stderr."""
    if not path.exists():
        return None
    import apsw  # noqa: PLC0415 - SQLite is of use only where there is a journal

    from router.journal import file as journalfile  # noqa: PLC0415 - SQLite is of use only where there is a journal
    from router.journal.glance import glance  # noqa: PLC0415 - see above

    try:
        mark = journalfile.read_mark(journalfile.real(path))
        db = journalfile.reader(path)
        try:
            db.execute("BEGIN")
            wrong = next(glance(db, mark), "")
            found = None if wrong else _read(db, set(venues))
        finally:
            db.close()
    except apsw.Error as error:
        wrong = journalfile.explain(error, path)
    except (ValueError, TypeError, OverflowError) as error:  # what is not what it was
        wrong = str(error)
    except JournalError as error:
        complain(f"{error} ({LEFT_OPEN})")
        return None
    if wrong:
        complain(f"journal {path}: {wrong}; `router journal check` says more ({LEFT_OPEN})")
        return None
    return found


LEFT_OPEN: Final = "so nothing tells which orders are own, nor what is in doubt"
OWN: Final = "SELECT venue, coalesce(order_id, client_order_id) FROM own_order WHERE live"
IN_DOUBT: Final = """
    SELECT venue, verb, state, order_id, client_order_id, symbol, op, at, EXISTS (
        SELECT 1 FROM entry WHERE entry.op = operation.op AND what = 'unknown' AND instr(entry.facts, '"rest":true')
    ) FROM operation
    WHERE state IN ('intent', 'unknown') ORDER BY at
"""


def _read(db: apsw.Connection, venues: set[str]) -> Remembered:
    own = frozenset((venue, name) for venue, name in db.execute(OWN) if venue in venues and name)
    doubts = [InDoubt(*row) for row in db.execute(IN_DOUBT)]
    return Remembered(own, tuple(doubt for doubt in doubts if doubt.venue in venues))
