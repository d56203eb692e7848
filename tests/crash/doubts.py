"""What was in doubt when a process died, against what the next one had to say of it. The kinds of findings are in checker.py."""

from __future__ import annotations

from crash.story import FINAL, SETTLED, Finding


def untold(story):
    yield from _untold_by_the_journal(story)
    read = {(arrival.venue, arrival.name) for arrival in story.evidence.arrivals if arrival.verb == "submit"}
    for key, call in story.submits.items():
        heir = min((process for process in story.recovered if process > call["process"]), default=None)
        if heir is not None and key in read and not _is_told(story, key, call, heir):
            text = f"{key[1]} was read, nobody was told what became of it, and process {heir} says nothing of it"
            yield Finding("UNTOLD", key[0], text, story.about(*key))


def _is_told(story, key, call, heir):
    """Whether a submit was settled before its process died, or is in the journal as settled, or is among what the heir tells."""
    recovered = story.recovered[heir]
    if any(report["verb"] == "submit" and (report["venue"], report["name"]) == key for report in recovered["reports"]):
        return True
    if any(report["outcome"] in FINAL and at < recovered["at"] for at, _, report in story.said[key]):
        return True
    return any(
        row["verb"] == "submit" and row["state"] in SETTLED
        for row in story.evidence.journals.get(heir, ())
        if (row["venue"], row["client_order_id"]) == (call["venue"], call["client_order_id"])
    )


def _untold_by_the_journal(story):
    """What the journal has in doubt when a process begins must be among what it recovers. A cancel-all is no single report."""
    for process, recovered in story.recovered.items():
        names = {
            (report["venue"], report["verb"], name)
            for report in recovered["reports"]
            for name in (*report.get("took", ()), *map(report.get, ("id", "order_id", "client_order_id")))
            if name
        }
        for row in story.evidence.journals.get(process, ()):
            if row["state"] in SETTLED or row["verb"] == "cancel_all":
                continue
            order = story.by_id.get((row["venue"], row["order_id"]))
            called = {row["order_id"], row["client_order_id"], order and order.name}
            if not {(row["venue"], row["verb"], name) for name in called} & names:
                text = f"the {row['verb']} {row['op']} is in doubt in the journal, and process {process} says nothing of it"
                yield Finding("UNTOLD", row["venue"], text, (row,))


def ahead(story):
    journals = {
        process: {(row["venue"], row["client_order_id"]) for row in rows if row["verb"] == "submit"}
        for process, rows in story.evidence.journals.items()
    }
    for arrival in story.evidence.arrivals:
        call = story.submits.get((arrival.venue, arrival.name))
        kept = journals.get(arrival.process + 1)
        if arrival.verb != "submit" or call is None or kept is None:
            continue
        if (call["venue"], call["client_order_id"]) not in kept:
            text = f"{arrival.name} was read, and the journal has nothing of it"
            yield Finding("AHEAD", arrival.venue, text, story.about(arrival.venue, arrival.name))
