"""Replies: where they may go, and what they are as bytes. What is too long for one message is told in short, and says so."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from router.cluster import wire
from router.massreport import Doubt

__all__ = ["encoded", "is_inbox"]

NAMED: Final = 1_000  # orders of each kind that a report names, if it can't name all
_INBOXES: Final = ("_INBOX.", "_R_.")  # a client's own, and as it looks from another account


def is_inbox(subject: str) -> bool:
    """Whether an answer may go there."""
    return subject.startswith(_INBOXES)


def encoded(reply: wire.Reply, venue: str) -> bytes:
    """Raises ValueError where it can't be told at all."""
    try:
        return wire.encode(reply)
    except ValueError:
        return wire.encode(_shorter(reply, venue))


def _shorter(reply: wire.Reply, venue: str) -> wire.Reply:
    match reply:
        case wire.Cancelled(report):
            taken, missed, doubts = report.affected, report.not_affected, report.doubts
            text = f"{len(taken)} were cancelled, {len(missed)} not, {len(doubts)} are in doubt: too many to name all"
            return wire.Cancelled(
                report=evolve(
                    report,
                    affected=taken[:NAMED],
                    not_affected=missed[:NAMED],
                    doubts=(*doubts[:NAMED], Doubt(text=text)),
                    no_open_orders=False,
                )
            )
        case wire.Listed(orders):
            return wire.Mistaken(
                kind="ReadFailed", text=f"{venue}: {len(orders)} open orders are too many for a message"
            )
    raise ValueError(f"{venue}: a {type(reply).__name__} is too long for a message")
