"""A gateway that has a lease: what it does next, by the rules of router.cluster.ownership.leasing. Pure: times are told."""

from __future__ import annotations

import math
from typing import Final

from msgspec import structs

from router.cluster.ownership.leasing import FENCE, RENEW, RETRY, Found, Own, Read, Record, Step, Wait, Write

__all__ = ["Holding"]

MOST_DOUBTS: Final = 1000


class Holding:
    """The lease while it is one gateway's. until: when it has to stop, if nothing is renewed. lost: why it has the lease no more.
    own: its journal, from when it has opened it on (rule 4).
    """

    def __init__(self, record: Record, revision: int, sent: float) -> None:
        self.lost = ""
        self.until = -math.inf
        self.own: Own | None = None
        self._record, self._ttl = record, record.ttl
        self._sent = {record.number: sent}
        self._read_at = self._next = -math.inf
        self._leaves = self._was_refused = False
        self._confirm(record.number, revision)

    @property
    def tenure(self) -> str:
        return self._record.tenure

    @property
    def epoch(self) -> int:
        return self._record.epoch

    def leave(self) -> None:
        """Stop at once; the steps from now on give the lease back."""
        self._leaves = True
        self.until = self._next = -math.inf

    def step(self, now: float) -> Step:
        """What to do now. Then tell what came of it: read(), wrote() or failed()."""
        if now < self._next:
            return Wait(self._next)
        has_run_out = now >= self.until and not self._leaves
        if self._was_refused or (has_run_out and now - self._read_at > RENEW * self._ttl):
            return Read()
        self._read_at = -math.inf
        self._number += 1
        self._sent[self._number] = now
        if len(self._sent) > MOST_DOUBTS:
            del self._sent[next(iter(self._sent))]
        return Write(self._renewed(), self._revision)

    def _renewed(self) -> Record:
        own = self.own
        journal, place = (own.id, own.place) if own else ("", "")
        return structs.replace(self._record, number=self._number, journal=journal, place=place, released=self._leaves)

    def _confirm(self, number: int, revision: int) -> None:
        sent = self._sent[number]
        self._revision, self._known = revision, number
        self._number = max(self._sent)
        self._sent.clear()
        if not self._leaves:
            self._next = sent + RENEW * self._ttl
            self.until = sent + FENCE * self._ttl

    def wrote(self, now: float, revision: int) -> None:
        """As a Standby is told."""
        if not revision:
            self._was_refused, self._next = True, now
            return
        self._confirm(self._number, revision)
        if self._leaves:
            self.lost = "it was given back"

    def read(self, now: float, found: Found) -> None:
        """The answer to a read came now."""
        record = found.record
        is_ours = record.tenure == self.tenure
        if is_ours and found.revision == self._revision and record.number == self._known:
            self._next = now + RETRY * self._ttl if self._was_refused else now
        elif is_ours and record.number in self._sent:
            self._confirm(record.number, found.revision)
        else:
            self.lost = _why_lost(found)
            self.until = -math.inf
        if record.released and not self.lost:
            self.lost = "it was given back"
        self._was_refused, self._read_at = False, now

    def failed(self, now: float) -> None:
        """There was no answer to it."""
        self._next = now + RETRY * self._ttl


def _why_lost(found: Found) -> str:
    if not found.revision:
        return "its lease is gone from NATS"
    if not found.record.tenure:
        return "its lease on NATS is nobody's"
    return f"gateway {found.record.gateway!r} took it"
