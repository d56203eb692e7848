"""The names on NATS: subjects, the bucket of leases, the streams of events. Pure.

    router.cmd.<venue>.<verb>.<strategy>.<tenure>   a command, to the one gateway that has this tenure of the venue
    router.who                                      asks every gateway for what it serves and owns
    router.owner.<venue>                            told by the owner, when it takes over and each time that it renews
    router.event.<venue>.<journal>                  what happened, out of one gateway's journal
    $KV.router-owners.<venue>                       who owns the venue

A server's permissions are made of these: a strategy may publish under its own name only, so that the name in a subject is proven.
"""

from __future__ import annotations

import re
import secrets
from typing import Final, NamedTuple

__all__ = [
    "BUCKET",
    "VERBS",
    "WHO",
    "Addressed",
    "addressed",
    "command",
    "commands",
    "event",
    "events",
    "inbox",
    "new_tenure",
    "owner",
    "stream",
    "token",
]

WHO: Final = "router.who"
BUCKET: Final = "router-owners"
VERBS: Final = ("submit", "replace", "cancel", "cancel_all", "open_orders", "settle", "recovered")
_TOKEN: Final = re.compile("[A-Za-z0-9_-]{1,64}")


def token(name: str, what: str) -> str:
    """The name, if it can be a part of a subject. Raises ValueError."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{what} was {name!r}; on NATS it is made of 1 to 64 letters, digits, '-' and '_'")
    return name


def new_tenure(epoch: int) -> str:
    """A name for one gateway's time as an owner, which no other time has."""
    return f"{epoch}-{secrets.token_hex(4)}"


def command(venue: str, verb: str, strategy: str, tenure: str) -> str:
    return f"router.cmd.{venue}.{verb}.{strategy}.{tenure}"


def commands(venue: str, verb: str, tenure: str) -> str:
    """What the owner listens to."""
    return command(venue, verb, "*", tenure)


class Addressed(NamedTuple):
    """What the subject of a command says."""

    venue: str
    verb: str
    strategy: str
    tenure: str


def addressed(subject: str) -> Addressed:
    """Raises ValueError."""
    parts = subject.split(".")
    if len(parts) != 6 or parts[:2] != ["router", "cmd"]:
        raise ValueError(f"{subject!r} is no subject of a command")
    return Addressed(*parts[2:])


def owner(venue: str) -> str:
    return f"router.owner.{venue}"


def event(venue: str, journal: str) -> str:
    return f"router.event.{venue}.{journal}"


def events(venue: str) -> str:
    """All of a venue's, whoever had it."""
    return event(venue, "*")


def stream(venue: str) -> str:
    return f"router-events-{venue}"


def inbox(strategy: str) -> str:
    """Where a strategy's answers come to, and nobody else's."""
    return f"_INBOX.{strategy}"
