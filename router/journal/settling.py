"""What is written when an operator says what became of a command in doubt: the words, the entries, and the writing.

Rules:

1. Only what is in doubt can be settled, and only as something that a command of its kind can come to.
2. What an operator says is written as that: with the name, the note and the origin "operator". Nobody asked the venue.
3. What it says of an order placed here is written of that order too, so that the next Router has it in its ledger, or knows its end.
   What the journal has of it already is never taken back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from router.errors import JournalError
from router.journal import Durability, Journal
from router.journal.reading import Told
from router.record import Record
from router.report import CxlRejReason, ExecType, OrdRejReason, OrdStatus, Outcome

__all__ = ["WORDS", "Ruling", "Word", "contradiction", "fitting", "records", "write"]

OPERATOR: Final = "operator"
SECONDS: Final = 10.0  # that the entries may take to be durable


@frozen
class Word:
    """What one word means of a command. status: of the order; None: it says nothing of that."""

    outcome: Outcome
    status: OrdStatus | None
    means: str
    exec_type: ExecType | None = None


_TERMINAL: Final = {str(status) for status in OrdStatus if status.is_terminal}
_CANCELLED: Final = (OrdStatus.CANCELED, ExecType.CANCELED)
_FILLED: Final = (OrdStatus.FILLED, ExecType.ORDER_STATUS)
WORDS: Final[Mapping[str, Mapping[str, Word]]] = {
    "submit": {
        "placed": Word(Outcome.CONFIRMED, OrdStatus.NEW, "it was placed, and is open", ExecType.NEW),
        "not-placed": Word(Outcome.REFUSED, OrdStatus.REJECTED, "it was not placed, and never will be"),
        "cancelled": Word(Outcome.CONFIRMED, _CANCELLED[0], "it was placed, and is cancelled by now", _CANCELLED[1]),
        "filled": Word(Outcome.CONFIRMED, _FILLED[0], "it was placed, and is filled by now", _FILLED[1]),
    },
    "cancel": {
        "cancelled": Word(Outcome.CONFIRMED, _CANCELLED[0], "the order is cancelled", _CANCELLED[1]),
        "not-cancelled": Word(Outcome.REFUSED, None, "it did not cancel the order"),
        "filled": Word(Outcome.REFUSED, _FILLED[0], "it came too late: the order is filled", _FILLED[1]),
    },
    "replace": {
        "replaced": Word(Outcome.CONFIRMED, None, "the order has its new terms"),
        "not-replaced": Word(Outcome.REFUSED, None, "the order has its old terms"),
    },
    "cancel_all": {
        "cancelled": Word(Outcome.CONFIRMED, None, "every order in its scope is cancelled"),
        "not-cancelled": Word(Outcome.REFUSED, None, "orders in its scope may be open still"),
    },
}
"""By the kind of command, and the word for what became of it."""


@frozen(kw_only=True)
class Ruling:
    """What an operator says. order_id: the venue's, of an order that it has not named to us."""

    word: str
    operator: str
    order_id: str | None = None
    note: str = ""


def fitting(word: str, intents: Sequence[Told]) -> list[Told]:
    """Those commands that can have come to this. An order's cancel goes before its submit, which the word fits as well."""
    able = [intent for intent in intents if word in WORDS.get(_verb(intent), {})]
    cancels = [intent for intent in able if _verb(intent) != "submit"]
    return cancels or able


def contradiction(word: str, intent: Told, state: Mapping[str, Any] | None) -> str:
    """What the journal knows that says otherwise; "" for nothing."""
    status = (state or {}).get("status")
    wanted = WORDS[_verb(intent)][word].status
    if word == "not-placed" and status not in {None, OrdStatus.PENDING_NEW, OrdStatus.REJECTED}:
        return f"the journal says that the venue has shown the order, as {status}"
    if wanted is not None and wanted.is_terminal and status in _TERMINAL and status != wanted:
        return f"the journal says that the order has ended, as {status}"
    return ""


def records(intent: Told, ruling: Ruling, order: Told | None, state: Mapping[str, Any] | None) -> list[Record]:
    """The entries. intent: of the command in doubt; order: of the submit of its order, with the state that it was last told."""
    word = WORDS[_verb(intent)][ruling.word]
    now = None if state is None else _state(state, word, ruling)
    facts: dict[str, Any] = {
        "outcome": word.outcome,
        "text": f"settled by hand, as {ruling.word}",
        "status": word.status,
        "reason": _reason(_verb(intent), word),
        "origin": OPERATOR,
        "notes": (),
        "taken": (),
        "operator": ruling.operator,
        "as": ruling.word,
        "note": ruling.note,
    }
    mine = order is not None and order.op == intent.op
    named = ruling.order_id or intent.order_id or (now or {}).get("order_id")
    if mine and now is not None:
        facts["state"] = now
    ended = Record("resolved", intent.venue, intent.op, named, intent.client_order_id, facts)
    if order is None or now is None or word.exec_type is None:
        return [ended]
    return [_happened(order, now, word), ended]


def _happened(order: Told, state: Mapping[str, Any], word: Word) -> Record:
    """What the word says of an order that was placed here."""
    event = {
        "venue": order.venue,
        "order_id": state.get("order_id"),
        "client_order_id": order.client_order_id,
        "exec_type": word.exec_type,
        "status": state.get("status"),
        "cum_quantity": state.get("cum_quantity"),
        "symbol": state.get("symbol"),
        "origin": OPERATOR,
        "text": "",
    }
    facts = {"event": event, "state": state}
    return Record("execution", order.venue, order.op, state.get("order_id"), order.client_order_id, facts)


def _state(state: Mapping[str, Any], word: Word, ruling: Ruling) -> dict[str, Any]:
    """The order, as the operator says that it is. How much it has traded is not known, unless it is all."""
    now = dict(state)
    if ruling.order_id is not None:
        now["order_id"] = ruling.order_id
    is_news = word.status is not OrdStatus.NEW or state.get("status") in {None, OrdStatus.PENDING_NEW}
    if word.status is not None and is_news and state.get("status") not in _TERMINAL:
        now["status"] = word.status
        if word.status is OrdStatus.FILLED:
            now["cum_quantity"] = state.get("quantity")
    return now


def _reason(verb: str, word: Word) -> int | None:
    if word.outcome is not Outcome.REFUSED:
        return None
    if verb == "cancel":
        return int(CxlRejReason.TOO_LATE_TO_CANCEL if word.status is OrdStatus.FILLED else CxlRejReason.OTHER)
    return None if verb == "cancel_all" else int(OrdRejReason.OTHER)


def _verb(intent: Told) -> str:
    return str(intent.facts.get("verb"))


async def write(path: Path, durability: Durability, entries: Sequence[Record]) -> None:
    """Add them, as its one writer. Raises JournalBusy, JournalDamaged or JournalError."""
    journal = Journal(path, durability)
    await journal.open()
    try:
        last = max(journal.put(evolve(entry, at=time.time())) for entry in entries)  # by now it is open
        if not await journal.written(last, SECONDS):
            raise JournalError(str(path), journal.fault or "the disk hangs; it is not known whether this was written")
    finally:
        await journal.close()
