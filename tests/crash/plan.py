"""When a process is killed: drawn by seed, at random times and at the points that matter."""

from __future__ import annotations

from attrs import frozen

LONGEST = 2.0  # seconds of trading, if the point does not come

OWN = ("before_write", "after_write", "before_told", "after_told", "before_commit", "after_commit")
"""Points that the process passes by itself: bytes about to leave it, and gone; a report about to be written down, and written."""
STAGES = ("read", "executed", "answered")
"""Of a command at a venue: see venues.py."""


@frozen(kw_only=True)
class Plan:
    """kind: "time" after `since` (a word that the process says, or "start"), "own" (a point of its own) or "venue" (a stage)."""

    kind: str
    since: str = "trading"
    seconds: float = 0.0
    point: str = ""
    venue: str = ""
    verb: str = ""
    count: int = 1

    def __str__(self):
        if self.kind == "time":
            return f"{self.seconds:.2f} s after {self.since}"
        return f"{self.venue} {self.verb} {self.point} {self.count}".strip()


def draw(chance):
    """One of all."""
    kind = chance.choices(("time", "start", "early", "own", "venue"), (26, 6, 14, 26, 28))[0]
    if kind == "start":  # while it opens the journal, or before
        return Plan(kind="time", since="start", seconds=chance.uniform(0.1, 0.7))
    if kind == "early":  # while it recovers
        return Plan(kind="time", since="opened", seconds=chance.uniform(0.0, 2.0))
    if kind == "time":
        return Plan(kind="time", seconds=chance.uniform(0.02, 1.0))
    if kind == "own":
        return Plan(kind="own", point=chance.choice(OWN), count=chance.randint(1, 60))
    venue = chance.choice(("qfex", "qfex", "b2trader", "dmex"))
    verb = chance.choice(("submit", "cancel", "replace") if venue == "qfex" else ("submit", "cancel"))
    count = chance.randint(1, 6 if verb == "replace" else 15)
    return Plan(kind="venue", venue=venue, verb=verb, point=chance.choice(STAGES), count=count)
