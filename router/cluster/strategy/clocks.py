"""What the gateways' clocks say: reckoned from their words and our monotonic clock, so that a step of our wall clock moves no deadline."""

from __future__ import annotations

import time
from typing import Final

from attrs import define

__all__ = ["Clocks"]

FRESH: Final = 30.0  # seconds for which a good measurement is not replaced by a worse one
UNASKED: Final = 0.05  # seconds by which a word may be old that was not asked for


@define
class _Clock:
    """base: what a gateway's wall clock is ahead of our monotonic one. error: of it, in seconds."""

    base: float
    error: float
    at: float

    def measured(self, base: float, error: float, now: float, *, is_asked: bool) -> None:
        is_behind = is_asked and base + error < self.base - self.error  # else it may only have been long under way
        if error <= 1.5 * self.error or now - self.at > FRESH or is_behind:
            self.base, self.error, self.at = base, error, now
        elif base - error > self.base + self.error:  # it was set forward
            self.base = base


class Clocks:
    """By the gateway's name."""

    def __init__(self) -> None:
        self._known: dict[str, _Clock] = {}

    def now(self, gateway: str) -> float:
        """What its wall clock says now; ours, where it never said anything."""
        known = self._known.get(gateway)
        return time.time() if known is None else known.base + time.monotonic()

    def reckon(self, gateway: str, said: float, sent: float | None, now: float) -> None:
        """It said so, and was heard now. sent: when it was asked; both monotonic. What was not asked for has been under way for a
        time that is not known, but is short.
        """
        base = said - (now if sent is None else (sent + now) / 2)
        error = UNASKED if sent is None else (now - sent) / 2
        known = self._known.get(gateway)
        if known is None:
            self._known[gateway] = _Clock(base, error, now)
        else:
            known.measured(base, error, now, is_asked=sent is not None)

    def forget(self, gateway: str) -> None:
        self._known.pop(gateway, None)
