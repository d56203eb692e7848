"""Requests that wait for their replies, and which of them the server refused. It knows of no connection.

A server that forbids a message says so in a line of its own, which names the message's subject and not the message. Rules:

1. Of the calls to one subject that were written on one connection, each is answered, forbidden, or neither yet. As soon as the
   server has forbidden as many as are not answered, all of these are forbidden, and are told so.
2. While it has forbidden fewer, nobody can tell which (its rights may have been changed in between): none is told anything. A call
   that may have arrived is never said not to have.
3. Another connection counts from nothing: what the last one left open may still be answered and is not counted any more.
4. A subject is called, or sent to without waiting for a reply, and never both: what is sent is not counted here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from typing import Any, Final

from nats.aio.msg import Msg

from router.errors import NotAuthorised

__all__ = ["Call", "Calls", "NoResponders"]

NOBODY: Final = "503"  # the server's own answer where nobody listens


class NoResponders(Exception):
    """Nobody listens to the subject: the message has reached nobody, and won't."""


class Call(asyncio.Future[Any]):
    """The reply to come: its bytes, or the whole message. token: the last part of the subject that it comes to."""

    token: str
    subject: str
    whole: bool
    connection: int


class Calls:
    """Those of one client."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._waiting: dict[str, Call] = {}
        self._connection = 0
        self._open: Counter[str] = Counter()  # by subject: written on this connection, and not answered
        self._forbidden: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, subject: str, *, whole: bool = False) -> Call:
        """A call that is written now."""
        call = Call()
        call.token, call.subject, call.whole, call.connection = (
            str(next(self._numbers)),
            subject,
            whole,
            self._connection,
        )
        self._waiting[call.token] = call
        self._open[_plain(subject)] += 1
        return call

    def unwritten(self, call: Call) -> None:
        """It was not written after all."""
        self.forget(call)
        self._settled(call)

    def forget(self, call: asyncio.Future[Any]) -> None:
        """Its reply is of no interest any more. Whether it is forbidden is: it goes on counting."""
        if isinstance(call, Call):
            self._waiting.pop(call.token, None)

    def answered(self, token: str, reply: Msg) -> None:
        """A reply came. Perhaps nobody waits for it any more."""
        call = self._waiting.pop(token, None)
        if call is None:
            return
        self._settled(call)
        if call.done():
            return
        if not reply.data and reply.headers and reply.headers.get("Status") == NOBODY:
            call.set_exception(NoResponders(f"nobody listens to {call.subject}"))
        else:
            call.set_result(reply if call.whole else reply.data)

    def forbidden(self, subject: str) -> None:
        """The server has refused one message to this subject."""
        subject = _plain(subject)
        if self._open[subject]:
            self._forbidden[subject] += 1
            self._look(subject)

    def reconnected(self) -> None:
        """What is written from now on goes over another connection."""
        self._connection += 1
        self._open.clear()
        self._forbidden.clear()

    def _settled(self, call: Call) -> None:
        if call.connection != self._connection:
            return
        subject = _plain(call.subject)
        self._open[subject] -= 1
        if self._open[subject] <= 0:
            del self._open[subject]
        elif self._forbidden:
            self._look(subject)

    def _look(self, subject: str) -> None:
        """Rule 1."""
        if self._forbidden[subject] < self._open[subject]:
            return
        del self._open[subject], self._forbidden[subject]
        for call in [each for each in self._waiting.values() if _plain(each.subject) == subject]:
            if call.connection == self._connection:
                del self._waiting[call.token]
                if not call.done():
                    call.set_exception(NotAuthorised(f"not authorised: NATS forbids publishing to {call.subject}"))


def _plain(subject: str) -> str:
    """As the client library tells a subject that was refused: in lower case."""
    return subject.lower()
