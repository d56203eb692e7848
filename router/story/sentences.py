"""What one entry of the journal says, as a sentence that can be read aloud.

Rules:

1. A sentence says what the entry says, and nothing that the entries before it don't bear out.
2. A venue's words are quoted as its words, and cut: the frame has all of them.
3. An entry of a newer version, or with less in it, makes a shorter sentence, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import define, field

from router.journal.reading import Told
from router.model import IdKind
from router.report import CxlRejReason, ExecType, Origin, Outcome
from router.story.wording import MOST_WORDS, Facts, cut, filled, mapping, number, terms

__all__ = ["Known", "given_up_first", "sentence"]

CLIENT_KINDS: Final = frozenset({IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP})
NOUNS: Final = {"submit": "submit", "cancel": "cancel", "replace": "change", "cancel_all": "cancel-all"}
ORDINALS: Final = ("", "second ", "third ", "fourth ", "fifth ", "sixth ", "seventh ", "eighth ", "ninth ")
ENDS: Final = {"filled": "filled", "canceled": "cancelled", "expired": "expired", "rejected": "rejected"}
STATUSES: Final = ENDS | {"new": "open", "partially_filled": "partly filled", "pending_new": "not answered yet"}
TOLD_BEFORE: Final = {"the last run ended before it was settled", "the connection was lost before the answer"}
"""Notes of an operation that have lines of their own."""
REPLACED: Final = "replaced"
"""What the library, not the venue, says of an order that a new one took the place of."""
PARTS: Final = {
    None: "it has received {}, and has not said what became of it",
    Outcome.CONFIRMED: "that is a part of the answer to {}",
    Outcome.REFUSED: "that does not settle {}",
    Outcome.UNKNOWN: "that leaves {} in doubt",
}


@define
class Known:
    """What has been told so far. states: of orders, by operation and by the venue's id."""

    told: list[Told] = field(factory=list)
    intents: dict[str, Told] = field(factory=dict)
    states: dict[str, Facts] = field(factory=dict)
    doubted: set[str] = field(factory=set)
    _names: dict[str, str] = field(factory=dict)

    def learn(self, told: Told) -> None:
        """Take in an entry, once its sentence has been made."""
        self.told.append(told)
        if told.what == "unknown" and told.op:
            self.doubted.add(told.op)
        state = told.facts.get("state")
        if isinstance(state, Mapping):
            for name in filter(None, (told.op, told.order_id)):
                self.states[name] = state

    def name(self, told: Told) -> str:
        """The operation of an entry: "the cancel", "the second cancel"."""
        op = told.op or ""
        if op not in self._names:
            noun = NOUNS.get(self.verb(told), "command")
            number = sum(each.endswith(noun) for each in self._names.values())
            which = ORDINALS[number] if number < len(ORDINALS) else f"{number + 1}th "
            self._names[op] = f"the {which}{noun}"
        return self._names[op]

    def is_repeated(self, told: Told) -> bool:
        """Whether it is not the first of its kind."""
        return self.name(told) != f"the {NOUNS.get(self.verb(told), 'command')}"

    def verb(self, told: Told) -> str:
        intent = told if told.what == "intent" else self.intents.get(told.op or "")
        return "" if intent is None else str(intent.facts.get("verb", ""))

    def state(self, told: Told) -> Facts:
        """Of the order that an entry is about, as it was told last."""
        return self.states.get(told.order_id or "") or self.states.get(told.op or "") or {}


def sentence(told: Told, known: Known) -> str:
    """What an entry says. known: what those before it have said."""
    if told.what == "intent" and told.op:
        known.intents[told.op] = told
        known.name(told)
    said = _SENTENCES.get(told.what, _other)(told, known)
    known.learn(told)
    return said if told.venue and said.startswith(told.venue) else said[:1].upper() + said[1:]


# -- before


def _intent(told: Told, known: Known) -> str:
    facts = told.facts
    command = mapping(facts, "command")
    match facts.get("verb"):
        case "submit":
            asked = f"to {_placing(command)}"
        case "replace":
            asked = f"to change the order{_colon(_changes(command))}"
        case "cancel":  # perhaps of itself: of a cancel_all, or where a submit in doubt is to be cancelled
            which = known.name(told) if known.is_repeated(told) else ""
            return f"the Router began to cancel {_target(command)}{f' ({which})' if which else ''}. {_written(told)}"
        case "cancel_all":
            asked = f"to cancel every {_scope(facts)} on {told.venue}"
        case _:
            return _other(told, known)
    which = known.name(told) if known.is_repeated(told) else ""
    return f"the Router was asked {asked}{f' ({which})' if which else ''}. {_written(told)}"


def _placing(command: Facts) -> str:
    options = mapping(command, "options")
    replaced = next((options[name] for name in sorted(options) if str(name).startswith("replace")), None)
    return terms(command) if replaced is None else f"replace order {cut(replaced)} by a new one: {terms(command)}"


def _written(told: Told) -> str:
    facts = told.facts
    if "of" in facts:
        return "The venue has not named that order yet, so the cancel is held until it does. Written down."
    if facts.get("verb") == "cancel_all":
        return f"Written down; {_count(facts, 'targets')} known to be open."
    if facts.get("verb") != "cancel" or "nonce" in facts:
        return "Written down before it was sent."
    return f"Sent to {told.venue} at once, and written down beside that." if facts.get("sent") else "Written down."


def _target(command: Facts) -> str:
    name = command.get("id", "")
    if command.get("kind") in CLIENT_KINDS:
        return f"whatever has the client id {cut(name)}"
    return "the order"


def _scope(facts: Facts) -> str:
    own = "open order placed through this journal" if facts.get("own") else "open order of the account"
    return own if facts.get("symbol") is None else f"{own} in {cut(facts['symbol'])}"


def _changes(command: Facts) -> str:
    wanted = ((name, command.get(name)) for name in ("quantity", "price", "stop_price"))
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in wanted if value is not None)


# -- on the way


def _sent(told: Told, known: Known) -> str:
    if told.facts.get("native"):
        return f"gave {told.venue} its own cancel-all; {_count(told.facts, 'targets')} known to be open before it."
    attempt = told.facts.get("attempt", 1)
    return f"sent {known.name(told)} to {told.venue}{'.' if attempt == 1 else f' again: attempt {attempt}.'}"


def _answer(told: Told, known: Known) -> str:
    meaning = PARTS.get(told.facts.get("outcome"), PARTS[Outcome.UNKNOWN]).format(known.name(told))
    return f"{_says(told)}: {meaning}."


def _lost(told: Told, known: Known) -> str:
    return f"the connection was lost before {told.venue} had answered {known.name(told)}."


def _unknown(told: Told, known: Known) -> str:
    if told.facts.get("rest"):
        learnt = _colon(cut(told.facts.get("text")))
        return f"asking tells nothing more of {known.name(told)}{learnt}. It is in doubt until somebody settles it by hand."
    return f"the caller was told that {known.name(told)} is UNKNOWN{_colon(cut(told.facts.get('text')))}."


def _execution(told: Told, known: Known) -> str:
    event = mapping(told.facts, "event")
    state = mapping(told.facts, "state") or known.state(told)
    held = filled({**state, **{key: value for key, value in event.items() if value is not None}})
    if event.get("origin") == "operator":
        return f"by the operator's word the order is {_status(event)}{held}."
    match event.get("exec_type"):
        case ExecType.CANCELED if event.get("origin") == Origin.CLIENT and event.get("text") == REPLACED:
            told_as = "a new order took its place"
        case ExecType.TRADE:
            price = event.get("last_price")
            at = "" if price is None else f" at {number(price)}"
            return f"the order traded {number(event.get('last_quantity'))}{at}: it is {_status(event)}{held}."
        case ExecType.NEW:
            return f"{_shows(told, event)}: the order is open as {cut(told.order_id)}."
        case ExecType.REPLACED:
            return f"{_shows(told, event)}: the order is now {terms({**state, 'type': None})}{held}."
        case ExecType.TRIGGERED:
            return f"{_shows(told, event)}: the stop was triggered."
        case _:
            told_as = _shows(told, event)
    return f"{told_as}: the order is {_status(event)}{held}."


def _shows(told: Told, event: Facts) -> str:
    return f"{told.venue} said {cut(event['text'])}" if event.get("text") else f"{told.venue} showed the order"


def _status(event: Facts) -> str:
    return STATUSES.get(event.get("status") or "", cut(event.get("status") or "changed"))


# -- what came of it


def _ended(told: Told, known: Known) -> str:
    facts, name, verb = told.facts, known.name(told), known.verb(told)
    outcome = facts.get("outcome") or told.what
    if facts.get("origin") == "operator":
        return _by_hand(told, name)
    learnt = "learnt later: " if told.what == "resolved" and verb != "cancel_all" else ""
    if verb == "cancel_all":
        return _swept(told, name)
    if outcome == Outcome.NOT_SENT:
        return f"{name} was NOT SENT{_colon(cut(facts.get('text')))}."
    if outcome == Outcome.REFUSED and facts.get("origin") == Origin.ROUTER:
        return f"{_concluded(told, verb)}: {name} is REFUSED, by the Router and not by {told.venue}."
    if outcome == Outcome.REFUSED and verb == "cancel" and facts.get("reason") == CxlRejReason.TOO_LATE_TO_CANCEL:
        return learnt + _too_late(told, known)
    because = _because(told)
    return f"{learnt}{because}{'. So ' if because else ''}{name} is {str(outcome).upper().replace('_', ' ')}."


def _too_late(told: Told, known: Known) -> str:
    name, end = known.name(told), ENDS.get(told.facts.get("status") or "", "over")
    held = filled(known.state(told))
    if given_up_first(told, known.told):
        known_now = f"the order is {end}{held}, which was told only after {name} had been given up"
        return f"{known_now}. So {name} is REFUSED, TOO_LATE_TO_CANCEL."
    return f"{name} came too late: the order had been {end}{held}. It is REFUSED, TOO_LATE_TO_CANCEL."


def given_up_first(end: Told, told: Sequence[Told]) -> bool:
    """Whether a cancel had been given up, or its process was gone, before the end of its order was told."""
    mine = [each for each in told if each.op == end.op and each.number < end.number]
    doubts = [each.number for each in mine if each.what == "unknown"]
    before = [each.number for each in mine if mine[0].run == each.run != end.run]
    gave_up = min(doubts, default=max(before, default=None))
    ends = (
        each.number
        for each in told
        if each.order_id == end.order_id is not None
        and each.op != end.op
        and _is_end(each)
        and each.number < end.number
    )
    return gave_up is not None and gave_up < min(ends, default=end.number)


def _is_end(told: Told) -> bool:
    return any(mapping(told.facts, key).get("status") in ENDS for key in ("state", "event"))


def _because(told: Told) -> str:
    text = cut(told.facts.get("text"))
    return " ".join(filter(None, (told.venue, "answered", text))) if "frame" in told.facts else text


def _concluded(told: Told, verb: str) -> str:
    """What the Router read, and what follows from it: see settling, rule 4."""
    facts = told.facts
    evidence = "; ".join(cut(note) for note in facts.get("notes") or () if note not in TOLD_BEFORE)
    quiet = facts.get("quiet_period")
    after = f"its quiet period{'' if quiet is None else f' of {number(quiet)} s'}"
    done = "changed" if verb == "replace" else "placed"
    if verb not in {"submit", "replace"}:
        return f"the Router concludes: {cut(facts.get('text'), 4 * MOST_WORDS)}"
    return f"asked {told.venue} twice after {after}: {evidence or cut(facts.get('text'))}. So it was not {done}"


def _swept(told: Told, name: str) -> str:
    if told.facts.get("outcome") == Outcome.CONFIRMED:
        return f"{told.venue} showed twice, freshly, that nothing in scope was open. So {name} is proven."
    return f"{name} ended without the proof that nothing in scope was open."


def _by_hand(told: Told, name: str) -> str:
    facts = told.facts
    noted = f"; noted: {cut(facts['note'])}" if facts.get("note") else ""
    word = str(facts.get("outcome")).upper()
    return f"the operator {cut(facts.get('operator'))} settled {name} by hand, as {cut(facts.get('as'))}: it is {word}{noted}."


def _other(told: Told, _known: Known) -> str:
    return f"{told.venue}: {told.what}{_colon(cut(told.facts.get('text')))}."


_SENTENCES: Final[Mapping[str, Callable[[Told, Known], str]]] = {
    "intent": _intent,
    "sent": _sent,
    "answer": _answer,
    "lost": _lost,
    "unknown": _unknown,
    "execution": _execution,
    **dict.fromkeys(("confirmed", "refused", "not_sent", "resolved"), _ended),
}


# -- words


def _says(told: Told) -> str:
    text = cut(told.facts.get("text"))
    return f"{told.venue} said {text}" if text else f"{told.venue} answered"


def _count(facts: Facts, key: str) -> str:
    count = len(facts.get(key) or ())
    return f"{count or 'no'} order{'' if count == 1 else 's'} {'was' if count == 1 else 'were'}"


def _colon(text: str) -> str:
    return f": {text}" if text else ""
