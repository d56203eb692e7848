"""Who may have a venue: the rules of its lease, and the words for them. What follows from them is in standingby and holding.

Rules:

1. A lease is one record in a bucket, and is only ever written by compare-and-set against a revision. A revision never comes again,
   not even in a bucket that was lost and made anew: so a write that was taken proves that nobody else's came between.
2. The holder writes it anew each quarter of the TTL. It may write to the venue until 0.8 TTL after the moment at which the last
   renewal that is known to have been taken was SENT, by its own clock.
3. A standby takes the lease when for one TTL (its own or the record's, whichever is longer), by its own clock since the answer to the
   first, all its reads have shown the same revision. A read that failed, or none for half a TTL, begins that anew: while NATS
   was away the holder could not renew either, and now it has the time for it.
4. It takes at once what was released; and what names the standby's own journal, at its place, as held, where nobody holds it: that
   process is dead. So a holder names its journal only while it has it open, and stops before it lets go of it.
5. Where there is no record, one that nobody holds is written first, and then rule 3 is for it as for any other: a new bucket looks
   like one that was lost while somebody held the lease.
6. A write that was not answered may be taken yet. Each has a number, and all that are in doubt are against one revision, so that
   no more than one of them is ever taken; the next read tells which, and rule 2 counts from when that one was sent.
7. Any other record than its own, or one that is older than the last it knew of, and the holder has lost the lease for good: another
   may have had it meanwhile, and a tenure never comes back.
8. A holder whose time has run out reads before it writes: a backup that somebody has put back has old revisions.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple, Protocol

from msgspec import Meta, Struct

__all__ = ["FENCE", "GAP", "RENEW", "RETRY", "Found", "Look", "Own", "Read", "Record", "Step", "Wait", "Write"]

RENEW: Final = 0.25  # of the TTL
FENCE: Final = 0.8
GAP: Final = 0.5
RETRY: Final = 0.05
LONGEST_TTL: Final = 3600.0

Text = Annotated[str, Meta(max_length=256)]


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the bucket holds. tenure: "" if nobody has it. number: of this write, counted by its tenure. journal, place: of a journal
    that the holder has open (router.journal.identity); "" for none. ttl: the holder's.
    """

    gateway: Text = ""
    tenure: Text = ""
    epoch: Annotated[int, Meta(ge=0, lt=2**60)] = 0
    number: int = 0
    journal: Text = ""
    place: Text = ""
    ttl: Annotated[float, Meta(ge=0, le=LONGEST_TTL)] = 0.0
    released: bool = False


class Found(NamedTuple):
    """What a read showed. revision: 0 where there is nothing."""

    revision: int
    record: Record


class Own(Protocol):
    """A gateway's own journal, as router.journal.identity tells it."""

    @property
    def id(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def is_held(self) -> bool: ...


class Read(NamedTuple):
    """Read the record."""


class Look(NamedTuple):
    """Look at the own journal."""


class Write(NamedTuple):
    """Write the record if the bucket's is still of this revision."""

    record: Record
    last: int


class Wait(NamedTuple):
    """Do nothing until then."""

    until: float


Step = Read | Look | Write | Wait
