"""What the journal says became of one command: its state, and the report that its caller was told, or would have been.

Rules:

1. A report is made of what was written up to the outcome, so it is the same whenever it is asked for. In doubt there is none.
2. A time is that of the entry that tells of it: a moment beside that of the report which the caller heard.
3. What an operator said is told as that, in the text: nobody asked the venue.
4. Nothing is made up: what is not as it was written, or can't be read, is an error and no answer.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import msgspec
from attrs import field, frozen
from msgspec import structs

from router.errors import JournalDamaged, JournalError
from router.journal import file as journalfile
from router.journal.check import COLUMNS, is_whole, lost
from router.journal.reading import Told, entries_of
from router.journal.schema import FINAL
from router.journal.states import latest, states
from router.model import Cancel, IdKind, Order
from router.report import (
    CancelReport,
    CxlRejReason,
    OrderState,
    OrdRejReason,
    OrdStatus,
    Origin,
    Outcome,
    Replace,
    SubmitReport,
)

__all__ = ["Answered", "answer"]

_COMMANDS: Final[Mapping[str, type[Order | Cancel | Replace]]] = {
    "submit": Order,
    "cancel": Cancel,
    "replace": Replace,
}
R = TypeVar("R", CxlRejReason, OrdRejReason)


@frozen(kw_only=True)
class Answered:
    """command: as it was first written; request: as its caller said it; both None of a cancel_all. state: as in the table
    `operation`. text: of the last that is known. at: when it was begun, in wall seconds. report: None while it is in doubt, and of
    a cancel_all. strategy: "" where none was named; adopted: another Router, now gone, may have sent it.
    """

    op: str
    venue: str
    verb: str
    state: str
    at: float
    text: str
    command: Order | Cancel | Replace | None = field(repr=False)
    request: Order | Cancel | Replace | None = field(repr=False)
    report: CancelReport | SubmitReport | None
    strategy: str = ""
    adopted: bool = False


def answer(source: apsw.Connection | str | os.PathLike[str], op: str) -> Answered | None:
    """What became of the operation of this id; None where the journal has none.

    source: a connection of journalfile.reader(), or the journal's file. It reads a file, so call it in a thread. What is not
    committed yet is not there, and what ended long ago may have been taken out. Raises JournalError, JournalDamaged.
    """
    if isinstance(source, apsw.Connection):
        return _read(source, Path(source.filename), op)
    path = Path(source).absolute()
    mark = journalfile.read_mark(journalfile.real(path))
    with contextlib.closing(journalfile.reader(path)) as db, journalfile.told(path), db:
        missing = next(lost(db, mark), "")
        found = None if missing else _read(db, path, op)
    if missing:  # perhaps the very command
        raise JournalDamaged(str(path), f"{missing}. {journalfile.AWAY}")
    return found


def _read(db: apsw.Connection, path: Path, op: str) -> Answered | None:
    with journalfile.told(path), db:  # at one moment
        for row in db.execute(f"SELECT {COLUMNS} FROM entry WHERE op = ?", (op,)):
            if not is_whole(row):
                raise JournalDamaged(str(path), f"entry {row[0]} is not as it was written. {journalfile.AWAY}")
        told = entries_of(db, op)
        try:
            found = _answered(db, told) if told else None
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            text = f"what it has of the command {op} can't be read by this version of venue-router: {error}"
            raise JournalError(str(path), text) from None
    return found


def _answered(db: apsw.Connection, told: Sequence[Told]) -> Answered:
    intent = told[0]
    facts, verb = intent.facts, str(intent.facts["verb"])
    end = next((each for each in told if each.what in FINAL), None)
    doubts = [each for each in told if each.what == "unknown"]
    kind = _COMMANDS.get(verb)
    command = None if kind is None else msgspec.convert(facts["command"], kind)
    request = None if kind is None else msgspec.convert(facts.get("request") or facts["command"], kind)
    last = end or (doubts[-1] if doubts else intent)
    return Answered(
        op=str(intent.op),
        venue=intent.venue,
        verb=verb,
        state=end.what if end else "unknown" if doubts else "intent",
        at=intent.at,
        text=_text(last.facts),
        command=command,
        request=request,
        report=None if end is None else _report(db, _until(told, end), request),
        strategy=str(facts.get("strategy") or ""),
        adopted=bool(facts.get("adopted")),
    )


def _until(told: Sequence[Told], end: Told) -> list[Told]:
    """What comes after the end is of the order, and not of the command."""
    return [each for each in told if each.number <= end.number]


def _report(
    db: apsw.Connection, told: Sequence[Told], request: Order | Cancel | Replace | None
) -> CancelReport | SubmitReport | None:
    match request:
        case Cancel():
            return _cancelled(db, told, request)
        case Order():
            return _submitted(told, request, latest(told))
        case Replace():
            return _submitted(told, request, _replaced(db, told))
    return None


def _common(told: Sequence[Told]) -> dict[str, Any]:
    """What all reports have."""
    end = told[-1]
    outcome = Outcome(end.facts.get("outcome", end.what))
    return {
        "outcome": outcome,
        "text": _text(end.facts),
        "origin": _origin(end.facts),
        "sent_at": _sent_at(told, outcome),
        "answered_at": None if outcome is Outcome.NOT_SENT else _time(end.at),
        "journaled": True,
    }


# -- submits and replaces


def _submitted(told: Sequence[Told], request: Order | Replace, state: OrderState | None) -> SubmitReport:
    facts, common = told[-1].facts, _common(told)
    known = request if isinstance(request, Order) else state
    return SubmitReport(
        request=request,
        status=_status(facts) or (state.status if state else None),
        reason=_reason(OrdRejReason, facts, common["outcome"]),
        order_id=(state.order_id if state else None) or told[-1].order_id,
        kind=state.kind if state else IdKind.ORDER,
        client_order_id=known.client_order_id if known else None,
        symbol=known.symbol if known else None,
        cum_quantity=state.cum_quantity if state else None,
        **common,
    )


def _replaced(db: apsw.Connection, told: Sequence[Told]) -> OrderState:
    """The order, as it was when its replace ended; at least as it was before. An order's id may change with it."""
    before = msgspec.convert(told[0].facts["command"], Replace).known
    ids = [name for name in (told[-1].order_id, before.order_id) if name]
    found = states(db, told[0].venue, ids, told[0].number, told[-1].number, dict.fromkeys(ids, before))
    state = next((found[name] for name in ids if name in found), before)
    return structs.replace(state, order_id=ids[0] if ids else None)


# -- cancels


def _cancelled(db: apsw.Connection, told: Sequence[Told], request: Cancel) -> CancelReport:
    facts, common = told[-1].facts, _common(told)
    orders = _orders(db, told, common["outcome"])
    return CancelReport(
        request=request,
        status=_status(facts) or (orders[0].status if len(orders) == 1 else None),
        reason=_reason(CxlRejReason, facts, common["outcome"]),
        orders=orders,
        **common,
    )


def _orders(db: apsw.Connection, told: Sequence[Told], outcome: Outcome) -> tuple[OrderState, ...]:
    """What it took, or was to take. A cancel that was held may have gone out under another address than the first."""
    facts, venue = told[-1].facts, told[0].venue
    sent = next(each.facts["command"] for each in reversed(told) if "command" in each.facts)
    cancel = msgspec.convert(sent, Cancel)
    named = cancel.kind in {IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP}
    ids = tuple(facts.get("taken") or ()) or (() if named else (cancel.id,))
    kind = IdKind.ORDER if named or cancel.kind is None else cancel.kind
    blank = {each: OrderState(venue=venue, order_id=each, kind=kind, symbol=cancel.symbol) for each in ids}
    found = states(db, venue, ids, told[0].number, told[-1].number, blank)
    if not found and outcome is Outcome.CONFIRMED:
        found = {each: structs.replace(state, status=_status(facts)) for each, state in blank.items()}
    return tuple(found[each] for each in ids if each in found)


# -- words


def _text(facts: Mapping[str, Any]) -> str:
    text = str(facts.get("text") or "")
    if "operator" not in facts:
        return text
    noted = f" ({facts['note']})" if facts.get("note") else ""
    return f"{text}, by {facts['operator']}{noted}"


def _origin(facts: Mapping[str, Any]) -> Origin:
    said = facts.get("origin")
    return Origin.CLIENT if said is None or "operator" in facts else Origin(said)


def _status(facts: Mapping[str, Any]) -> OrdStatus | None:
    said = facts.get("status")
    return None if said is None else OrdStatus(said)


def _reason(reasons: type[R], facts: Mapping[str, Any], outcome: Outcome) -> R | None:
    """A refusal always has a reason, and nothing else has one."""
    if outcome is not Outcome.REFUSED:
        return None
    said = facts.get("reason")
    return reasons.OTHER if said is None else reasons(said)


def _sent_at(told: Sequence[Told], outcome: Outcome) -> datetime | None:
    """When its first attempt was written, as far as the journal knows."""
    facts = told[0].facts
    if facts.get("sent_at") is not None:
        return msgspec.convert(facts["sent_at"], datetime)
    if facts.get("sent"):
        return _time(told[0].at)
    first = next((each.at for each in told if each.what == "sent"), None)
    if first is None and outcome is not Outcome.NOT_SENT:
        first = told[0].at  # it was not written down before the process ended
    return None if first is None else _time(first)


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
