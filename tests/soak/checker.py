"""Whether what was reported is so: each answer against the venue's own books. It never looks into the Router.

Rules, by outcome:

1. Submits of one tag: as many orders as were CONFIRMED, and at most as many more as are UNKNOWN. Never one twice.
2. CONFIRMED cancel: what it took is cancelled, and did not trade after the answer. TOO_LATE: it had ended, not cancelled.
3. Any other refusal of a cancel: it was not this cancel that took the order. Of several, and of the venue's own
   doing, nothing is concluded.
4. NOT_SENT: nothing with that name was read off the wire, unless another request had the same name.
5. A report comes by its deadline, with a margin for the time that our own loop stood still.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from math import inf

from attrs import define, field

from router import Outcome
from router.report import CxlRejReason
from soak.books import CANCELLED, FILLED, FIRED

MARGIN = 0.5
LINGER = 10.0


@define(eq=False, kw_only=True)
class Record:
    """One call and its answer. names: the venue's ids that it may take; tag: what the books know a submit by."""

    venue: str
    verb: str
    begun: float
    deadline: float
    what: str = ""
    """What kind of order it is about."""
    tag: str | None = None
    names: frozenset[str] = frozenset()
    since: float = 0.0
    """When the order was submitted, for a cancel: whatever took it did so later."""
    price: Decimal | None = None
    ended: float | None = None
    outcome: Outcome | None = None
    at_once: Outcome | None = None
    """The outcome at first, before anything was settled."""
    reason: CxlRejReason | None = None
    order_id: str | None = None
    took: dict[str, Decimal] = field(factory=dict)
    """What a CONFIRMED cancel took, with what each had traded when the report came."""
    text: str = ""

    def __str__(self) -> str:
        return (
            f"{self.venue} {self.verb} {self.tag or sorted(self.names)}: {self.outcome} {self.reason} {self.text[:200]}"
        )


def wrong(records, books):
    """Everything that was reported and is not so."""
    found = []
    submits, closers = defaultdict(list), defaultdict(list)
    for record in records:
        if record.verb in {"submit", "renew"}:
            submits[record.venue, record.tag].append(record)
        for name in record.names:
            closers[record.venue, name].append(record)
    mass = [record for record in records if record.verb == "cancel_all"]
    for (venue, tag), group in submits.items():
        found += [f"{why}: {group[0]}" for why in _placed(books[venue], tag, group)]
    for record in records:
        book = books[record.venue]
        alone = all(len(closers[record.venue, name]) == 1 for name in record.names) and not _swept(record, mass)
        if record.verb == "cancel":
            found += [f"{why}: {record}" for why in _cancelled(book, record, alone=alone)]
        elif record.verb == "modify":
            found += [f"{why}: {record}" for why in _modified(book, record)]
    return found


def late(records, stood):
    """Calls that did not return in time, or at all. stood: for how long the loop stood still between two times."""
    return [
        f"after {record.ended and record.ended - record.begun} of {record.deadline} s: {record}"
        for record in records
        if record.ended is None
        or record.ended - record.begun > record.deadline + MARGIN + stood(record.begun, record.ended)
    ]


def _swept(record, mass):
    """Whether a cancel_all may have taken the order, or its cancels that went on after its report.

    After "no such order" nothing is left to be taken; after everything else a later cancel_all may take it.
    """
    gone = record.ended is not None and record.reason is CxlRejReason.UNKNOWN_ORDER
    until = record.ended if gone else inf
    return any(
        each.venue == record.venue and each.begun <= until and (each.ended or inf) + LINGER >= record.since
        for each in mass
    )


def _placed(book, tag, group):
    rows = book.placed(tag)
    outcomes = [record.outcome for record in group]
    confirmed, unknown = outcomes.count(Outcome.CONFIRMED), outcomes.count(Outcome.UNKNOWN)
    if len(rows) > len(group):
        yield f"an order {len(rows)} times for {len(group)} submits"
    elif not confirmed <= len(rows) <= confirmed + unknown:
        yield f"{len(rows)} orders for {outcomes}"
    ids = [record.order_id for record in group if record.outcome is Outcome.CONFIRMED]
    if len(set(ids)) < len(ids) or not set(ids) <= {row.id for row in rows}:
        yield f"ids {ids} are not those of the book {[row.id for row in rows]}"
    names = book.hashes(tag) if hasattr(book, "hashes") else [tag]
    if set(outcomes) == {Outcome.NOT_SENT} and any(book.written["submit", name] for name in names):
        yield "not sent, and read"


def _cancelled(book, record, *, alone):
    rows = [row for row in map(book.row, record.names | set(record.took)) if row is not None]
    if record.outcome is Outcome.CONFIRMED:
        for row in rows:
            if row.end != CANCELLED and (row.id in record.took or len(record.names) == 1):
                yield f"confirmed, and {row}"
            elif row.is_open:
                yield f"confirmed, and open: {row}"
            elif row.traded != record.took.get(row.id, row.traded):
                yield f"traded after its cancellation was confirmed, {record.took[row.id]} by then: {row}"
    elif record.outcome is Outcome.REFUSED and record.reason is CxlRejReason.TOO_LATE_TO_CANCEL:
        if not any(
            row.end in {FILLED, FIRED} for row in rows
        ):  # namesakes cannot be told apart, and one of them is meant
            yield from (f"too late, and {row}" for row in rows)
    elif record.outcome is Outcome.REFUSED and alone:
        ours = [row for row in rows if row.end == CANCELLED and row.id not in book.ended_by_venue]
        yield from (f"refused, and nobody else took {row}" for row in ours)
    elif record.outcome is Outcome.NOT_SENT and alone:
        yield from (f"not sent, and read: {name}" for name in record.names if book.written["cancel", name])


def _modified(book, record):
    (order_id,) = record.names
    is_new = book.price(order_id) == record.price
    if is_new and record.outcome in {Outcome.REFUSED, Outcome.NOT_SENT}:
        yield "changed"
    if not is_new and record.outcome is Outcome.CONFIRMED:
        yield "not changed"
    if record.outcome is Outcome.NOT_SENT and book.written["replace", order_id]:
        yield "not sent, and read"
