"""What an operator says became of a command in doubt: checked against what the journal knows, asked for once more, written."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from router.cli.asking import confirmed
from router.cli.doubts import Doubt, unwritable
from router.cli.exits import USAGE, Failure, run
from router.cli.reading import reading
from router.errors import JournalError
from router.journal.reading import story
from router.journal.settling import WORDS, Ruling, contradiction, fitting, records, write

if TYPE_CHECKING:
    from pathlib import Path

    import apsw

    from router.journal.reading import Told

__all__ = ["settle_by_hand"]


FORMER: Final = """
    SELECT DISTINCT op FROM entry, json_each(facts, '$.former') AS former
    WHERE venue = ? AND what = 'execution' AND op IS NOT NULL AND former.value = ?
"""


def settle_by_hand(doubt: Doubt, word: str, order_id: str | None, note: str, *, yes: bool) -> Doubt:
    """Write it, and return the one command that it was about. Raises Failure."""
    intent = _meant(doubt, word)
    order = _order(doubt, intent)
    state = None if order is None else _state(doubt, order)
    _check(doubt, word, intent, state, order_id)
    ruling = Ruling(word=word, operator=_operator(), order_id=order_id, note=note)
    if not yes:
        meaning = WORDS[str(intent.facts["verb"])][word].means
        asyncio.run(confirmed(f"Write down for good, of the {_noun(intent)} {intent.op} on {intent.venue}: {meaning}?"))
    try:
        run(write(doubt.journal, "full", records(intent, ruling, order, state)))
    except JournalError as error:
        raise unwritable(error) from None
    return evolve(doubt, intents=[intent])


def _meant(doubt: Doubt, word: str) -> Told:
    """The command that the word is about."""
    found = fitting(word, doubt.intents)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(intent.op) for intent in found)
        raise Failure(f"{len(found)} commands of it are in doubt: name one of them: {names}", USAGE)
    known = {each for intent in doubt.intents for each in WORDS.get(str(intent.facts.get("verb")), ())}
    nouns = " and ".join(dict.fromkeys(_noun(intent) for intent in doubt.intents))
    raise Failure(f"--as {word} says nothing of a {nouns}; use {', '.join(sorted(known))}", USAGE)


def _noun(intent: Told) -> str:
    return str(intent.facts.get("verb")).replace("_", "-")


def _order(doubt: Doubt, intent: Told) -> Told | None:
    """The submit of the one order that the command is about, if it was placed through this journal."""
    submits = [each for each in doubt.told if each.what == "intent" and each.facts.get("verb") == "submit"]
    if intent in submits:
        return intent
    return submits[0] if len(submits) == 1 else None


def _state(doubt: Doubt, order: Told) -> Mapping[str, Any]:
    """As it was told last."""
    states = [each.facts["state"] for each in doubt.told if each.op == order.op and each.facts.get("state")]
    return dict(states[-1])


def _check(doubt: Doubt, word: str, intent: Told, state: Mapping[str, Any] | None, order_id: str | None) -> None:
    """Raises Failure for what cannot be so."""
    if wrong := contradiction(word, intent, state):
        raise Failure(f"--as {word} can't be: {wrong}", USAGE)
    known = intent.order_id or (state or {}).get("order_id")
    if order_id is not None and (_noun(intent) != "submit" or word == "not-placed"):
        raise Failure("--order-id goes with a submit that was placed", USAGE)
    if order_id is not None and known not in {None, order_id}:
        raise Failure(f"--order-id was {order_id!r}, and the journal says that the venue's id is {known!r}", USAGE)
    if word == "placed" and known is None and order_id is None:
        raise Failure(
            "the venue's id of the order is not known: give it with --order-id, or nothing could cancel it", USAGE
        )
    if order_id is not None and known is None:
        _check_new(doubt.journal, intent, order_id)


def _check_new(journal: Path, intent: Told, order_id: str) -> None:
    """Raises Failure for an id that is known to be another order's."""
    with reading(journal) as db:
        told = [each for each in story(db, order_id) if each.venue == intent.venue and each.op != intent.op]
        known = told + _former(db, intent.venue, order_id)
    if any(_is_another(each, intent, order_id) for each in known):
        raise Failure(
            f"--order-id was {order_id!r}, and the journal knows that as another order: router why {order_id}", USAGE
        )


def _former(db: apsw.Connection, venue: str, order_id: str) -> list[Told]:
    """Entries of the order that had this id before a change."""
    ops = [op for (op,) in db.execute(FORMER, (venue, order_id))]
    return [each for op in ops for each in story(db, op) if each.op == op]


def _is_another(told: Told, intent: Told, order_id: str) -> bool:
    """Whether this entry is not of the order of intent: of another submit, of another client id, or from before."""
    if told.what == "intent" and told.facts.get("verb") == "submit":
        return True
    if told.order_id != order_id:
        return False
    return told.number < intent.number or told.client_order_id not in {None, "", intent.client_order_id}


def _operator() -> str:
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return "an operator without a name"
