"""Who may say and hear what on NATS: a server's accounts and permissions, made of the names in router.cluster.subjects. Pure.

Rules:

1. A strategy publishes commands under its own name only, so the name in a subject is proven. It hears its own inbox, and the
   announcements of the venues that it was given; what is not allowed here is forbidden.
2. `view` changes nothing. It may not settle either: to settle a cancel can mean to send it once more.
3. Strategies are in another account than the gateways, the leases and the streams. In one account, a request with the lease's
   subject as its reply subject would have whoever answers it (a gateway, NATS itself) write over the lease: NATS checks what one publishes,
   and not where one wants the answer. Between accounts only EXPORTS pass, and answers go back to where the question came from.
4. A strategy reads a venue's events by consumers of its own making. It can't delete or empty anything.
5. A subject can't say "names that begin with alpha". So a reader that is to be remembered (events(resume="main")) is kept from
   others by naming it here: RESUME, or as `router gateway init --resume` says. Who may see the same venue could use, or
   spoil, a reader of any other name, if it knows that name.
6. Gateways own the leases and write the events. They can't delete a stream, nor messages out of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from attrs import field, frozen

from router.cluster import subjects

__all__ = [
    "API",
    "GATEWAY",
    "RESUME",
    "Export",
    "Permissions",
    "Role",
    "exports",
    "of_gateway",
    "of_strategy",
    "reader",
]

GATEWAY: Final = "gateway"
RESUME: Final = ("main",)
API: Final = "router.js"
"""What strategies call "$JS.API", which in their own account is a JetStream that is not theirs."""
_API: Final = "$JS.API"
_SERVICES: Final = ("PING", "INFO", "STATS")


class Role(StrEnum):
    """What a strategy may do at a venue."""

    TRADE = "trade"
    CANCEL_ONLY = "cancel-only"
    VIEW = "view"


VERBS: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.TRADE: subjects.VERBS,
    Role.CANCEL_ONLY: tuple(verb for verb in subjects.VERBS if verb not in {"submit", "replace"}),
    Role.VIEW: ("open_orders", "recovered"),
}


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


@frozen
class Permissions:
    """What one user may publish and subscribe to. denied: what it may not publish in spite of that."""

    publish: tuple[str, ...] = field(converter=_names)
    subscribe: tuple[str, ...] = field(converter=_names)
    denied: tuple[str, ...] = field(default=(), converter=_names)


@frozen
class Export:
    """One subject of the gateways' account, as strategies name it and as gateways do. several: answers to one question."""

    subject: str
    meant: str
    several: bool = False
    heard: bool = False
    """Not asked, but listened to."""


def of_strategy(
    name: str, roles: Mapping[str, Role], others: Iterable[str] = (), resume: Iterable[str] = RESUME
) -> Permissions:
    """roles: by venue. others: the strategies whose remembered readers are not this one's. resume: how those are called."""
    readers = [reader(other, each) for other in others if other != name for each in resume]
    return Permissions(
        publish=[
            subjects.WHO,
            *(subjects.command(venue, verb, name, "*") for venue, role in roles.items() for verb in VERBS[role]),
            *(each for venue in roles for each in _reading(subjects.stream(venue))),
            *_asking(),
        ],
        subscribe=[f"{subjects.inbox(name)}.>", *map(subjects.owner, roles)],
        denied=[each for venue in roles for found in readers for each in _using(subjects.stream(venue), found)],
    )


def of_gateway() -> Permissions:
    """All gateways', whichever venues they serve."""
    streams = ("INFO", "CREATE", "UPDATE", "MSG.GET")
    return Permissions(
        publish=[
            subjects.owner("*"),
            subjects.events("*"),
            f"$KV.{subjects.BUCKET}.*",
            "_R_.>",  # answers to another account
            "_INBOX.>",  # and to one's own
            f"{_API}.INFO",
            *(f"{_API}.STREAM.{what}.*" for what in streams),
            f"{_API}.DIRECT.GET.KV_{subjects.BUCKET}.>",
            *_asking(),
        ],
        subscribe=[
            subjects.command("*", "*", "*", "*"),
            subjects.WHO,
            subjects.owner("*"),
            "$SRV.>",
            f"{subjects.inbox(GATEWAY)}.>",
        ],
    )


def exports(venues: Iterable[str]) -> list[Export]:
    """What passes between the accounts (rule 3)."""
    command, owner = subjects.command("*", "*", "*", "*"), subjects.owner("*")
    found = [Export(command, command), Export(owner, owner, heard=True)]
    found += [Export(each, each, several=True) for each in (subjects.WHO, *_asking())]
    for venue in venues:
        for each in _reading(subjects.stream(venue)):
            found.append(Export(each, each.replace(API, _API), several=".MSG.NEXT." in each))
    return found


def reader(strategy: str, resume: str) -> str:
    """The name on NATS of a reader that is remembered."""
    return f"{strategy}={resume}"


def _reading(stream: str) -> list[str]:
    """Rule 4."""
    consumers = [f"{API}.CONSUMER.{what}.{stream}.*" for what in ("INFO", "CREATE", "RESET", "MSG.NEXT")]
    return [f"{API}.STREAM.INFO.{stream}", *consumers, f"$JS.ACK.{stream}.*.>"]


def _using(stream: str, name: str) -> list[str]:
    """Rule 5."""
    return [
        f"{API}.CONSUMER.*.{stream}.{name}",
        f"{API}.CONSUMER.MSG.NEXT.{stream}.{name}",
        f"$JS.ACK.{stream}.{name}.>",
    ]


def _asking() -> list[str]:
    """What `nats micro` asks."""
    return [f"$SRV.{what}{more}" for what in _SERVICES for more in ("", ".>")]
