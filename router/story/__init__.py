"""The story of an order: what became of it in a sentence, and everything that was written of it, line by line. Pure.

Rules:

1. A line for each entry, in the order in which they were written, and one wherever another process opened the journal.
2. The end of a process that did not close the journal is told as that: nothing says when it came, only what came before.
3. What became of the order is what the journal knows. Where a command is in doubt, that is said first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from attrs import field, frozen

from router.journal.reading import Told
from router.journal.schema import FINAL
from router.report import CxlRejReason, Origin
from router.story.sentences import Known, given_up_first, sentence
from router.story.wording import clock, cut, filled, mapping, terms

__all__ = ["Line", "Run", "Story", "in_doubt", "tell"]

MOST_RUNS: Final = 3  # that are told one by one where nothing was written of the order
ENDS: Final = {"filled": "It was filled", "canceled": "It was cancelled", "expired": "It expired"}


@frozen
class Run:
    """One time that a Router had the journal open. closed: None while it runs, and for ever if it died; last: when it wrote;
    lives: whether its process may be running still.
    """

    number: int
    pid: int
    host: str
    opened: float
    closed: float | None = None
    last: float | None = None
    lives: bool = True


@frozen(kw_only=True)
class Line:
    """One line. told: the entry that it tells; None for a change of the process."""

    at: float
    text: str
    told: Told | None = field(default=None, repr=False)

    @property
    def frame(self) -> str:
        """What was on the wire, redacted; "" where nothing was."""
        return "" if self.told is None else str(self.told.facts.get("frame") or "")


@frozen(kw_only=True)
class Story:
    """heading: of each order what it is and what became of it, or of each command where there is no order."""

    heading: tuple[str, ...]
    lines: tuple[Line, ...]


def tell(told: Sequence[Told], runs: Sequence[Run] = ()) -> Story:
    """The story that these entries tell. runs: all since the first of them."""
    lines = tuple(_lines(told, {run.number: run for run in runs}))
    return Story(heading=tuple(_heading(told)), lines=lines)


def in_doubt(told: Sequence[Told]) -> list[Told]:
    """The intents of which no outcome is written."""
    ended = {each.op for each in told if each.what in FINAL}
    return [each for each in told if each.what == "intent" and each.op not in ended]


# -- the lines


def _lines(told: Sequence[Told], runs: Mapping[int, Run]) -> Iterator[Line]:
    known, written = Known(), _once(told)
    for before, entry in zip([None, *written], written, strict=False):
        if before is not None and before.run != entry.run:
            yield from _changes(before.run, entry.run, runs)
        yield Line(at=entry.at, text=sentence(entry, known), told=entry)
    if written and (in_doubt(told) or _is_open(told)):
        yield from _changes(written[-1].run, max(runs, default=written[-1].run), runs)
        yield from _death(runs[max(runs)] if runs else None)


def _once(told: Sequence[Told]) -> list[Told]:
    """Without entries that say less of an attempt than one right beside them."""
    seen: dict[tuple[str | None, Any], Told] = {}
    for entry in told:
        key = (entry.op, entry.facts.get("attempt")) if entry.what == "sent" else (None, entry.number)
        if key not in seen or not seen[key].facts.get("frame"):
            seen[key] = entry
    kept = {entry.number for entry in seen.values()}
    return [entry for entry in told if entry.number in kept]


def _changes(first: int, last: int, runs: Mapping[int, Run]) -> Iterator[Line]:
    """From one process to another."""
    between = [runs[number] for number in range(first, last + 1) if number in runs]
    if len(between) > MOST_RUNS + 1:
        between = [between[0], *between[-MOST_RUNS:]]
        yield Line(
            at=between[1].opened,
            text=f"The journal was opened {_times(last - first - MOST_RUNS)} without a word of it.",
        )
    for before, after in pairwise(between):
        yield Line(at=after.opened, text=f"{_end(before)} Process {after.pid} opened the journal.")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _death(run: Run | None) -> Iterator[Line]:
    """The end of the last process, if that is known to have come."""
    if run is not None and run.closed is None and not run.lives:
        at = run.opened if run.last is None else run.last
        yield Line(at=at, text=f"{_end(run)} Nobody has opened the journal since.")


def _end(run: Run) -> str:
    if run.closed is not None:
        return f"Process {run.pid} closed the journal in order at {clock(run.closed)}."
    wrote = "" if run.last is None else f", after {clock(run.last)}"
    return f"Process {run.pid} ended without closing the journal{wrote}: it was killed, or it crashed."


# -- what became of it


def _heading(told: Sequence[Told]) -> Iterator[str]:
    orders = [each for each in told if each.what == "intent" and each.facts.get("verb") == "submit"]
    strangers = dict.fromkeys((each.venue, each.order_id) for each in told if each.order_id)
    for intent in orders:
        mine = [each for each in told if each.op == intent.op]
        ids = {each.order_id for each in mine if each.order_id}
        strangers = {key: None for key in strangers if key[1] not in ids}
        yield _named(intent, mine)
        yield _fate(mine) + _cancels([each for each in told if each.order_id in ids and each.op != intent.op], told)
    for venue, order_id in strangers:
        yield from _stranger(venue, str(order_id), [each for each in told if each.order_id == order_id])
    if not (orders or strangers):
        yield from (_command(intent, told) for intent in told if intent.what == "intent")


def _named(intent: Told, mine: Sequence[Told]) -> str:
    named = next((each.order_id for each in reversed(mine) if each.order_id), None)
    order = f"order {cut(named)}" if named else "an order that the venue has not named"
    return f"{intent.venue}, {order}: {terms(_terms(intent, mine))}, client id {cut(intent.client_order_id)}."


def _terms(intent: Told, mine: Sequence[Told]) -> Mapping[str, Any]:
    """As it was submitted, with what has been changed since."""
    command = mapping(intent.facts, "command")
    states: Iterator[Mapping[str, Any]] = (mapping(each.facts, "state") for each in reversed(mine))
    state = next(filter(None, states), {})
    now = {name: state.get(name) for name in ("quantity", "price", "stop_price") if command.get(name) is not None}
    return {**command, **{name: value for name, value in now.items() if value is not None}}


def _stranger(venue: str, order_id: str, about: Sequence[Told]) -> Iterator[str]:
    known = _status(about)
    yield f"{venue}, order {cut(order_id)}, of which the journal has no submit."
    yield (_as_known(known) if known else "What became of it is not written.") + _cancels(about, about)


def _command(intent: Told, told: Sequence[Told]) -> str:
    noun = str(intent.facts.get("verb", "command")).replace("_", "-")
    end = next((each for each in told if each.op == intent.op and each.what in FINAL), None)
    if end is None:
        return f"{intent.venue}, a {noun}: what became of it is not known."
    return f"{intent.venue}, a {noun}: {cut(end.facts.get('outcome') or end.what).upper().replace('_', ' ')}."


def _fate(mine: Sequence[Told]) -> str:
    """Of an order that was placed here."""
    end = next((each for each in mine if each.what in FINAL), None)
    known = _status(mine)
    if known and known.get("status") not in {None, "pending_new", "rejected"}:
        return _as_known(known)
    if end is None:
        return "It is not known whether it was placed."
    if end.what == "not_sent" or end.facts.get("outcome") == "not_sent":
        return "It was never sent."
    if end.facts.get("origin") in {Origin.ROUTER, "operator"}:
        return "It was not placed."
    return f"{end.venue} refused it{': ' + cut(end.facts['text']) if end.facts.get('text') else ''}."


def _as_known(state: Mapping[str, Any]) -> str:
    status = state.get("status")
    end = ENDS.get(str(status), "It is open, as far as the journal knows")
    return f"{end}{filled(state)}."


def _status(told: Sequence[Told]) -> Mapping[str, Any]:
    """The order as it was told last."""
    for entry in reversed(told):
        found = mapping(entry.facts, "state") or mapping(entry.facts, "event")
        if found and entry.what != "not_sent":
            return found
    return {}


def _is_open(told: Sequence[Told]) -> bool:
    return _status(told).get("status") in {"pending_new", "new", "partially_filled"}


def _cancels(about: Sequence[Told], told: Sequence[Told]) -> str:
    """What became of the commands about it, where that is worth a heading."""
    late = any(
        each.facts.get("reason") == CxlRejReason.TOO_LATE_TO_CANCEL
        and each.facts.get("outcome") == "refused"
        and (each.facts.get("origin") == "operator" or not given_up_first(each, told))
        for each in about
    )
    doubts = sorted({str(each.facts.get("verb")).replace("_", "-") for each in in_doubt(about)})
    said = " A cancel came too late." if late else ""
    return said + "".join(f" It is not known what became of a {verb} of it." for verb in doubts)
