"""Whether what strategies were told is so: the rules of the crash proof that are of one process or of several, and two of gateways.

Kinds of findings, besides those of crash.checker:

    LEFT      an order of ours is open at the end, when its strategy has cancelled all of its own, and its submit is not UNKNOWN
    TWO       two gateways wrote to a venue in the wrong order: a command of a tenure was read after one of a later tenure
"""

from __future__ import annotations

from collections import Counter

from crash.cancels import refused, replaced, taken
from crash.checker import Verdict
from crash.story import Finding, Story
from crash.submits import doubled, ghosts, misplaced


def check(evidence):
    """The Verdict."""
    story, verdict = Story(evidence), Verdict()
    for rule in RULES:
        verdict.findings += rule(story)
    _count(story, verdict.counts)
    return verdict


def _last(story, key):
    said = story.said.get(key, ())
    return said[-1][2]["outcome"] if said else "untold"


def left(story):
    for (venue, name), rows in story.rows.items():
        key = (venue, name)
        if key in story.submits and _last(story, key) != "unknown":
            for row in rows:
                if row.ended is None:
                    text = f"{row.id} ({name}) is open at the end, and its submit is {_last(story, key)}"
                    yield Finding("LEFT", venue, text, story.about(*key))


def swept(story):
    """A cancel_all of a strategy's own that proves nothing to be open, and an order of that strategy that was."""
    for at, process, verb, call, report in story.reports:
        if verb == "cancel_all" and report["outcome"] == "confirmed":
            for (venue, name), submit in story.submits.items():
                if venue != report["venue"] or submit["process"] != process or submit["at"] >= call["at"]:
                    continue
                for row in story.rows.get((venue, name), ()):
                    if row.is_open(at):
                        text = f"strategy {process} hears that nothing of its own is open, and {row.id} is"
                        yield Finding("OPEN", venue, text, (*story.about(venue, name), call, report))


def _foreign(story):
    for row in story.evidence.rows:
        if row.foreign and row.ended is not None:
            yield Finding("FOREIGN", row.venue, f"{row.id} is not ours, and was {row.end}")


def _untold(story):
    told = {(line["process"], line["number"]) for line in story.evidence.lines if line["what"] == "told"}
    for call in story.calls.values():
        if (call["process"], call["number"]) not in told:
            yield Finding("UNTOLD", call["venue"], f"a {call['verb']} that was never answered", (call,))


def _broken(story):
    for text in story.evidence.mistakes:
        yield Finding("BROKEN", "", text)


RULES = (doubled, ghosts, misplaced, taken, refused, replaced, swept, left, _foreign, _untold, _broken)


def _count(story, counts):
    counts["operations"] = len(story.calls)
    counts["read"] = len(story.evidence.arrivals)
    final = {}
    for line in story.evidence.lines:
        if line["what"] == "told":
            key = line["process"], line["number"]
            counts["told UNKNOWN"] += line["outcome"] == "unknown" and not line.get("settled")
            final[key] = line
    for line in final.values():
        counts[line["outcome"]] += 1
    still = Counter((line["venue"], line["verb"]) for line in final.values() if line["outcome"] == "unknown")
    for key, times in still.items():
        counts["UNKNOWN still", *key] += times
