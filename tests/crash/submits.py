"""What is said of submits, against the venues' record. The kinds of findings are in checker.py."""

from __future__ import annotations

from collections import Counter

from crash.story import Finding


def lost(story):
    """Once for each order: at the first recovery that did not know it."""
    found = {}
    for process, known in story.known.items():
        unknown = _in_doubt(story, process)
        for (venue, name), rows in story.rows.items():
            call = story.submits.get((venue, name))
            if call is None or call["process"] >= process or (venue, name) in found or (venue, name) in unknown:
                continue
            for row in rows:
                if row.is_open(known["at"]) and row.born < known["at"] and row.id not in known["own"][venue]:
                    text = f"the order {row.id} ({name}) is open, and process {process} does not know that it is ours"
                    found[venue, name] = Finding("LOST", venue, text, story.about(venue, name))
    yield from found.values()
    yield from _left(story)


def _left(story):
    """What is open at the end, when everything of ours was to be cancelled."""
    ends = {process: line["at"] for process, line in story.known.items()}
    if not ends or story.evidence.deaths.get(max(ends)) != 0:
        return
    unknown = _in_doubt(story, max(ends))
    for (venue, name), rows in story.rows.items():
        if (venue, name) in story.submits and (venue, name) not in unknown:
            for row in rows:
                if row.ended is None:
                    text = f"the order {row.id} ({name}) is open at the end, and cancel_all of our own has left it"
                    yield Finding("LOST", venue, text, story.about(venue, name))


def _in_doubt(story, process):
    """The submits that are UNKNOWN still. One that was CONFIRMED to a former process has an order that it could name."""
    reports = [report for report in story.recovered[process]["reports"] if report["verb"] == "submit"]
    unknown = {(report["venue"], report["name"]) for report in reports if report["outcome"] == "unknown"}
    return {key for key in unknown if not any(report["outcome"] == "confirmed" for _, _, report in story.said[key])}


def doubled(story):
    read = Counter(
        (arrival.venue, arrival.verb, arrival.name)
        for arrival in story.evidence.arrivals
        if arrival.verb in {"submit", "replace"}
    )
    calls = Counter((call["venue"], "replace", f"{call['order_id']}@{call['price']}") for call in story.of("replace"))
    for (venue, verb, name), times in read.items():
        if times > max(1, calls[venue, verb, name]):
            yield Finding("DOUBLED", venue, f"the {verb} {name} was read {times} times", story.about(venue, name))
    for (venue, name), rows in story.rows.items():
        if len(rows) > 1:
            text = f"the submit {name} made {len(rows)} orders: {[row.id for row in rows]}"
            yield Finding("DOUBLED", venue, text, story.about(venue, name))


def ghosts(story):
    read = {(arrival.venue, arrival.name) for arrival in story.evidence.arrivals if arrival.verb == "submit"}
    for (venue, name), said in story.said.items():
        for _, process, report in said:
            outcome = report["outcome"]
            rows = story.rows.get((venue, name), [])
            if outcome in {"refused", "not_sent"} and rows:
                text = f"{name} is {outcome} says process {process} ({report['text']}), and the order {rows[0].id} has lived"
                yield Finding("GHOST", venue, text, story.about(venue, name))
            elif outcome == "not_sent" and (venue, name) in read:
                yield Finding("GHOST", venue, f"{name} was not sent, and was read", story.about(venue, name))


def misplaced(story):
    """CONFIRMED, and the book never had it."""
    for at, process, verb, call, report in story.reports:
        if verb == "submit" and report["outcome"] == "confirmed":
            rows = story.rows.get((report["venue"], (call or report)["name"]), [])
            if not any(row.id == report["order_id"] and row.born <= at for row in rows):
                text = f"process {process} says placed as {report['order_id']}; the book has {[row.id for row in rows]}"
                yield Finding("FALSE", report["venue"], text, (call or {}, report))
