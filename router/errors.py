"""The exceptions, as a tree.

    RouterError
    |-- UnknownVenue           a name that no venue of this Router has (also a LookupError)
    |-- RouterClosed           the Router was not entered, or was left
    |-- SwitchFired            a dead man's switch was fed too late
    |-- ConfigError            router.toml has mistakes (also a ValueError); has .mistakes
    |-- JournalError           the journal can't be used: read-only, full, damaged, or none; has .path
    |   |-- JournalBusy        another Router has it open
    |   `-- JournalDamaged     it is not as it was written; nothing of it was changed
    |-- GatewayError           the gateways can't be used
    |   |-- NotAuthorised      the NATS server does not allow it, or not to these credentials
    |   `-- GatewayUnreachable no NATS server answers, or not one that can be trusted
    |-- VenueError             something about one venue; has .venue
    |   |-- LoginRefused       the venue does not take our credentials: trying again won't help
    |   |-- VenueUnreachable   no connection, or no answer while logging in
    |   |-- CannotList         the venue has no way to list open orders
    |   `-- ReadFailed         it has one, but it did not answer readably
    |-- OutcomeError           what raise_for_outcome() raises; has .report
    |   |-- CancelRefused
    |   |-- SubmitRefused
    |   |-- NotSent
    |   `-- OutcomeUnknown
    |-- CannotExpress          raised by codecs: this venue has no words for the command; nothing was sent
    |-- Garbled                a frame that cannot be read
    `-- TransportError         a connection failed; .sent tells whether bytes may have left

The caller's own mistakes are ValueError and TypeError. No message holds a key, a token or a signature.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "CancelRefused",
    "CannotExpress",
    "CannotList",
    "ConfigError",
    "Garbled",
    "GatewayError",
    "GatewayUnreachable",
    "JournalBusy",
    "JournalDamaged",
    "JournalError",
    "LoginRefused",
    "NotAuthorised",
    "NotSent",
    "OutcomeError",
    "OutcomeUnknown",
    "ReadFailed",
    "RouterClosed",
    "RouterError",
    "SubmitRefused",
    "SwitchFired",
    "TransportError",
    "UnknownVenue",
    "VenueError",
    "VenueUnreachable",
]


class RouterError(Exception):
    """Whatever this library raises on purpose."""


class UnknownVenue(RouterError, LookupError):
    """A venue name that this Router does not know."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"venue was {name!r}; known: {', '.join(sorted(known)) or 'none'}")


class RouterClosed(RouterError):
    """The Router is used outside its `async with` block."""


class SwitchFired(RouterError):
    """A dead man's switch was fed after it had fired."""


class ConfigError(RouterError, ValueError):
    """The configuration has mistakes. mistakes: one sentence each, which names the key, the value unless it is secret, and the fix."""

    def __init__(self, path: str, mistakes: Iterable[str]) -> None:
        self.path, self.mistakes = path, tuple(mistakes)
        super().__init__("\n".join(f"{path}: {mistake}" for mistake in self.mistakes))


class JournalError(RouterError):
    """The journal can't be used. path: its file. The text says what to do."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"journal {path}: {text}")
        self.path = path
        self.text = text


class JournalBusy(JournalError):
    """Another Router has the journal open: it has one writer at a time."""


class JournalDamaged(JournalError):
    """The journal's file is not as it was written. Nothing of it was changed."""


class GatewayError(RouterError):
    """The gateways can't be used. The text says what to do."""


class NotAuthorised(GatewayError):
    """The NATS server does not allow it, or does not know the credentials."""


class GatewayUnreachable(GatewayError):
    """No NATS server answers, or none that can be trusted."""


class VenueError(RouterError):
    """Something about one venue. venue: its name in the Router."""

    def __init__(self, venue: str, text: str) -> None:
        super().__init__(f"{venue}: {text}")
        self.venue = venue
        self.text = text


class LoginRefused(VenueError):
    """The venue refused our credentials."""


class VenueUnreachable(VenueError):
    """The venue could not be reached, or did not answer while we logged in."""


class CannotList(VenueError):
    """The venue documents no way to list open orders: an empty list would be a guess."""


class ReadFailed(VenueError):
    """The venue can list open orders but did not answer readably."""


class OutcomeError(RouterError):
    """An outcome other than CONFIRMED, from raise_for_outcome(). report: the whole report."""

    def __init__(self, text: str, report: Any) -> None:
        super().__init__(text)
        self.report = report


class CancelRefused(OutcomeError):
    """The venue refused the cancel."""


class SubmitRefused(OutcomeError):
    """The venue refused the order or its replacement."""


class NotSent(OutcomeError):
    """Nothing left this process: it is safe to send the command elsewhere."""


class OutcomeUnknown(OutcomeError):
    """It may or may not have happened. Await report.settled()."""


class CannotExpress(RouterError):
    """Raised by a codec: the venue has no words for this command. Nothing is sent."""


class Garbled(RouterError):
    """A frame that could not be read."""


class TransportError(RouterError):
    """A connection failed. sent: whether bytes of the request may have reached the venue."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent
