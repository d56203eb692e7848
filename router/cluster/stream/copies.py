"""The copy of one journal entry, as it lies in a venue's stream of events. Pure.

Rules:

1. A message holds one entry. Its Nats-Msg-Id is "<journal>:<number>", its subject is subjects.event(venue, journal).
2. Of one journal, the numbers in the stream rise, and none that the journal tells is missing between two of them.
3. An entry that is too long for a message is copied without its longest facts, whose names are in the fact `left_out`.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from router.errors import Garbled
from router.report import Event

__all__ = ["MOST_AGE", "Copy", "decode", "encode", "message_id", "number_of"]

MOST_AGE: Final = 7 * 86_400.0  # seconds that a copy is kept
MOST_FACTS: Final = 500_000  # bytes: a message may have a million


class Copy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry. what: as in the journal: execution, unknown, confirmed, refused, not_sent, resolved. at: seconds since 1970, by
    the gateway's clock. strategy: whose command it was, or who placed the order; "" where nothing says.
    """

    journal: str
    number: int
    venue: str
    what: str
    at: float
    op: str | None = None
    order_id: str | None = None
    client_order_id: str | None = None
    strategy: str = ""
    epoch: int = 0
    facts: Raw = Raw(b"{}")

    def event(self) -> Event | None:
        """What happened to an order, if that is what it tells. Raises Garbled."""
        return _read(_EVENTS, bytes(self.facts)).event if self.what == "execution" else None

    def settlement(self) -> Settlement:
        """What an entry says that is about a command. Raises Garbled."""
        return _read(_SETTLEMENTS, bytes(self.facts))


class Settlement(Struct, frozen=True, kw_only=True):
    """What became of a command: one of the four outcomes, where it has one."""

    verb: str | None = None
    symbol: str | None = None
    outcome: str | None = None
    text: str = ""
    rest: bool = False


class _Happened(Struct, frozen=True):
    event: Event | None = None


_COPIES: Final = msgspec.json.Decoder(Copy)
_EVENTS: Final = msgspec.json.Decoder(_Happened)
_SETTLEMENTS: Final = msgspec.json.Decoder(Settlement)
_FACTS: Final = msgspec.json.Decoder(dict[str, Raw])
_ENCODER: Final = msgspec.json.Encoder()


def encode(copy: Copy) -> bytes:
    """The message's body (rule 3)."""
    return _ENCODER.encode(copy if len(bytes(copy.facts)) <= MOST_FACTS else _shortened(copy))


def decode(body: bytes) -> Copy:
    """Raises Garbled."""
    return _read(_COPIES, body)


def message_id(journal: str, number: int) -> str:
    return f"{journal}:{number}"


def number_of(name: str, journal: str) -> int | None:
    """The number in a message's id; None where it is of another journal, or none of ours."""
    owner, _, number = name.rpartition(":")
    return int(number) if owner == journal and number.isdecimal() else None


def _shortened(copy: Copy) -> Copy:
    """The shortest facts first, as far as they fit."""
    facts = _FACTS.decode(bytes(copy.facts))
    kept: dict[str, Raw] = {}
    room = MOST_FACTS
    for name, fact in sorted(facts.items(), key=lambda item: len(bytes(item[1]))):
        room -= len(name) + len(bytes(fact)) + 4
        if room > 0:
            kept[name] = fact
    kept["left_out"] = Raw(_ENCODER.encode(sorted(facts.keys() - kept.keys())))
    return msgspec.structs.replace(copy, facts=Raw(_ENCODER.encode(kept)))


T = TypeVar("T")


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Garbled(f"a copy of a journal entry that cannot be read: {error}") from None
