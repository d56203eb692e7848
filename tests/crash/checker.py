"""Whether what processes said, before they were killed and after, is so: their history against the venues' own record.

Kinds of findings:

    LOST      an order is open that a former process placed, and after recovery it is neither known as own nor is its submit
              UNKNOWN; or it is UNKNOWN although it was CONFIRMED before
    DOUBLED   one submit, or one replace, that a venue has read twice, or a book with two orders of it
    GHOST     a submit that was REFUSED or NOT_SENT, and whose order has lived; or NOT_SENT, and a venue has read it
    OPEN      a cancel that was CONFIRMED, and an order of it that was open after that, or was filled; the same of a cancel_all
    UNTOLD    in doubt when its process died, and not among what the next one had to say about that
    AHEAD     a submit that a venue has read, and that is not in the journal when its process has died
    FALSE     a report that is otherwise not so: CONFIRMED and never in the book, too late and not filled, refused and taken by it
    STRAY     a submit, a cancel-all or a cancel by client id, read from a process that was not asked for it
    FOREIGN   an order that is not ours, cancelled
    BROKEN    a process that ended by itself, or a Router that complains of a mistake of its own

It is pure: it never looks into the Router, and of the journal only at what it held when a process began.
"""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from crash.cancels import refused, replaced, stray, swept, taken
from crash.doubts import ahead, untold
from crash.story import Finding, Story
from crash.submits import doubled, ghosts, lost, misplaced


@define(eq=False)
class Verdict:
    """counts: operations, those in doubt when their process died, what became of those, and what is UNKNOWN at the end."""

    findings: list = field(factory=list)
    counts: Counter = field(factory=Counter)

    @property
    def kinds(self):
        return {finding.kind for finding in self.findings}


def check(evidence):
    """The Verdict."""
    story, verdict = Story(evidence), Verdict()
    for rule in RULES:
        verdict.findings += rule(story)
    _count(story, verdict.counts)
    return verdict


def _foreign(story):
    for row in story.evidence.rows:
        if row.foreign and row.ended is not None:
            yield Finding("FOREIGN", row.venue, f"{row.id} is not ours, and was {row.end}")


def _broken(story):
    for text in story.evidence.mistakes:
        yield Finding("BROKEN", "", text)


RULES = (
    lost,
    doubled,
    ghosts,
    misplaced,
    taken,
    swept,
    refused,
    replaced,
    stray,
    untold,
    ahead,
    _foreign,
    _broken,
)


def _count(story, counts):
    counts["operations"] = len(story.calls)
    counts["rounds"] = sum(code != 0 for code in story.evidence.deaths.values())
    counts["read"] = len(story.evidence.arrivals)
    answered = {(line["process"], line["number"]) for line in story.evidence.lines if line["what"] == "told"}
    died = {process for process, code in story.evidence.deaths.items() if code != 0}
    untold = [call for call in story.calls.values() if (call["process"], call["number"]) not in answered]
    counts["untold when killed"] = sum(call["process"] in died for call in untold)
    counts["recovered"] = len(story.recovered)
    seen = set()
    for recovered in story.recovered.values():
        for report in recovered["reports"]:
            name = (report["venue"], report["verb"], report.get("client_order_id") or report.get("id"))
            new = name not in seen
            seen.add(name)
            counts["in doubt after a restart"] += new
            counts["resolved"] += report["outcome"] != "unknown"
    if story.recovered:
        for report in story.recovered[max(story.recovered)]["reports"]:
            if report["outcome"] == "unknown":
                counts["UNKNOWN still", report["venue"], report["verb"]] += 1
