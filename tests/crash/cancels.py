"""What is said of cancels and replaces, against the venues' record. The kinds of findings are in checker.py."""

from __future__ import annotations

from decimal import Decimal

from crash.history import CANCELLED, FILLED
from crash.story import Finding


def taken(story):
    for at, process, verb, call, report in story.reports:
        if verb != "cancel" or report["outcome"] != "confirmed":
            continue
        for row in _concerned(story, call, report):
            lines = (call or {}, report)
            if row.ended is None or row.ended > at:
                after = "is open still" if row.ended is None else f"was open for {row.ended - at:.3f} s after that"
                yield Finding("OPEN", row.venue, f"process {process} says cancelled, and {row.id} {after}", lines)
            elif row.end != CANCELLED:
                yield Finding("OPEN", row.venue, f"process {process} says cancelled, and {row.id} was {row.end}", lines)


def swept(story):
    """What was submitted before a cancel_all of our own, and is open when that has said that nothing is."""
    for at, process, verb, call, report in story.reports:
        if verb == "cancel_all" and report["outcome"] == "confirmed":
            for (venue, name), submit in story.submits.items():
                for row in story.rows.get((venue, name), ()):
                    if venue == report["venue"] and submit["at"] < call["at"] and row.is_open(at):
                        text = f"process {process} says that nothing of ours is open, and {row.id} is"
                        yield Finding("OPEN", venue, text, (*story.about(venue, name), call, report))


def _concerned(story, call, report):
    """The orders that a cancel is about: those that it names, and those that it says it took."""
    venue, found = report["venue"], []
    if call is not None:
        found += story.rows.get((venue, call.get("name")), [])
        found.append(story.by_id.get((venue, call.get("order_id"))))
    elif report["kind"] in {"client_order", "client_twap"}:
        found += story.rows.get((venue, report["id"]), [])
    else:
        found.append(story.by_id.get((venue, report["id"])))
    found += [story.by_id.get((venue, order_id)) for order_id in report["took"]]
    return {row.id: row for row in found if row is not None}.values()


def refused(story):
    """Refused for a reason that is not so."""
    for at, process, verb, call, report in story.reports:
        if verb == "cancel" and report["outcome"] == "refused":
            yield from _refused(story, at, process, call, report)


def _refused(story, at, process, call, report):
    """Too late means filled; with any other reason, it was not this cancel that took the order."""
    rows, lines = _concerned(story, call, report), (call or {}, report)
    if report["reason"] == "TOO_LATE_TO_CANCEL":
        if rows and not any(row.end == FILLED for row in rows):
            yield Finding("FALSE", report["venue"], f"too late, and it was {[row.end for row in rows]}", lines)
        return
    for row in rows:
        if row.end != CANCELLED:
            continue
        was_there = call is None or call["at"] < row.ended
        if row.ended < at and was_there and story.cancels(row) == 1:
            text = f"process {process} says {report['reason']}, and nobody else took {row.id}"
            yield Finding("FALSE", row.venue, text, lines)


def replaced(story):
    """A replace that was made and is said not to be, or the other way round."""
    for _, process, verb, call, report in story.reports:
        if verb == "replace":
            yield from _replaced(story, process, call or report, report)


def _replaced(story, process, call, report):
    row = story.by_id.get((report["venue"], call.get("order_id") or report["id"]))
    if row is None:
        return
    had = any(Decimal(price) == Decimal(call["price"]) for price in row.prices)
    if (report["outcome"] == "confirmed") > had or (had and report["outcome"] in {"refused", "not_sent"}):
        text = f"process {process}: {report['outcome']} of a replace at {call['price']}, and {row.id} had {row.prices}"
        yield Finding("FALSE", report["venue"], text, (call, report))


def stray(story):
    asked = {(call["process"], call["venue"], call["verb"], call.get("name")) for call in story.calls.values()}
    for arrival in story.evidence.arrivals:
        was_asked = (arrival.process, arrival.venue, arrival.verb, arrival.name or None) in asked
        named = arrival.verb in {"submit", "cancel_all"} or arrival.by == "client"
        if named and not was_asked and not (arrival.by == "client" and _held(story, arrival, asked)):
            text = f"a {arrival.verb} of {arrival.name} from process {arrival.process}, which was not asked for it"
            yield Finding("STRAY", arrival.venue, text, story.about(arrival.venue, arrival.name))


def _held(story, arrival, asked):
    """A cancel that a former process held, or that found nothing, may leave the next one; not one that took something."""
    key = (arrival.venue, "cancel", arrival.name)
    former = any((process, *key) in asked for process in range(1, arrival.process))
    rows = story.rows.get((arrival.venue, arrival.name), ())
    earlier = (other for other in story.evidence.arrivals if (other.venue, other.verb, other.name) == key)
    took = any(row.is_open(other.at) for other in earlier if other.at < arrival.at for row in rows)
    return former and not took
