"""A gateway that would have a lease: what it does next, by the rules of router.cluster.ownership.leasing. Pure: times are told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from msgspec import structs

from router.cluster.ownership.holding import Holding
from router.cluster.ownership.leasing import GAP, RETRY, Found, Look, Own, Read, Record, Step, Wait, Write
from router.cluster.subjects import new_tenure

__all__ = ["Standby"]

MOST_WAIT: Final = 0.25  # seconds between two reads


class _Claim:
    """The writes by which a standby tries to take one revision."""

    def __init__(self, record: Record, last: int) -> None:
        self.record, self.last = record, last
        self.sent: dict[int, float] = {}

    def write(self, now: float) -> Write:
        number = len(self.sent)
        self.sent[number] = now
        return Write(structs.replace(self.record, number=number), self.last)


class Standby:
    """One gateway that would have the lease. won: what it has, once it has it. found: what it read last."""

    def __init__(self, gateway: str, ttl: float, tenure: Callable[[int], str] = new_tenure) -> None:
        self.won: Holding | None = None
        self.found: Found | None = None
        self._gateway, self._ttl, self._tenure = gateway, ttl, tenure
        self._patience = ttl
        self._since = self._next = -math.inf
        self._read_at = -math.inf
        self._own: Own | None = None
        self._is_read = self._has_looked = False
        self._claim: _Claim | None = None
        self._step: Step = Read()

    def step(self, now: float) -> Step:
        """What to do now. Then tell what came of it: read(), looked(), wrote() or failed()."""
        self._step = self._chosen(now)
        return self._step

    def _chosen(self, now: float) -> Step:
        found = self.found
        if not self._is_read or found is None:
            return Read() if now >= self._next else Wait(self._next)
        is_ripe = found.record.released or now - self._since >= self._patience
        if found.revision and not self._has_looked and (is_ripe or self._may_be_dead(found.record)):
            return Look()
        self._is_read = False
        if not found.revision:
            return Write(Record(ttl=self._patience), 0)
        if is_ripe or self._is_dead(found.record):
            return self._claimed(found).write(now)
        self._next = min(now + min(RETRY * self._ttl, MOST_WAIT), max(now, self._since + self._patience))
        return Wait(self._next)

    def _may_be_dead(self, record: Record) -> bool:
        """Whether a look at the own journal is worth it, which is a file's opening."""
        return bool(record.journal) and (self._own is None or self._own.id == record.journal)

    def _is_dead(self, record: Record) -> bool:
        """Rule 4."""
        own = self._own
        if own is None or not record.journal:
            return False
        return (own.id, own.place) == (record.journal, record.place) and not own.is_held

    def _claimed(self, found: Found) -> _Claim:
        if self._claim is None or self._claim.last != found.revision:
            epoch = 1 + max(found.revision, found.record.epoch, self._own.epoch if self._own else 0)
            record = Record(gateway=self._gateway, tenure=self._tenure(epoch), epoch=epoch, ttl=self._ttl)
            self._claim = _Claim(record, found.revision)
        return self._claim

    def read(self, now: float, found: Found) -> None:
        """The answer to a read came now."""
        claim, record = self._claim, found.record
        if claim is not None and record.tenure == claim.record.tenure and record.number in claim.sent:
            self.won = Holding(record, found.revision, claim.sent[record.number])
            return
        is_same = self.found is not None and self.found.revision == found.revision
        if not is_same or now - self._read_at > GAP * self._ttl:
            self._since = now
        self.found, self._read_at = found, now
        if found.revision:  # of what is gone, the time stays in force
            self._patience = max(self._ttl, record.ttl)
        self._is_read, self._has_looked = True, False

    def looked(self, own: Own | None) -> None:
        """The own journal as it was after the read; None where there is none."""
        self._own, self._has_looked = own, True

    def wrote(self, now: float, revision: int) -> None:
        """The write was taken, as this revision; 0: it was refused, because the record had another than was expected."""
        self._next = now + RETRY * self._ttl
        if revision and self._claim is not None and isinstance(self._step, Write) and self._step.record.tenure:
            record = self._step.record
            self.won = Holding(record, revision, self._claim.sent[record.number])

    def failed(self, now: float) -> None:
        """There was no answer to it."""
        self._next = now + RETRY * self._ttl
        self._is_read = False
        if isinstance(self._step, Read):
            self.found = None
