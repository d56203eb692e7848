"""The faults that a simulated venue can be told to have: the catalogue, and what a transport cannot carry.

A command's life at a venue has five points, and a fault strikes at one of them:

    BEFORE_READ -> READ -> EXECUTED -> ANSWERING -> ANSWERED
    in the kernel  known,   in the      part of it   all of it
                   not done book        on the wire  on the wire

Up to READ the book stays as it was; from EXECUTED on the command has been done, whatever its sender hears.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self

__all__ = ["HTTP_CANNOT", "LASTING", "SOCKET_CANNOT", "Fate", "Fault", "Point"]


class Fate(StrEnum):
    """What becomes of a command or of its answer."""

    SEND = "send"
    DROP = "drop"
    HANG_UP = "hang_up"


class Point(StrEnum):
    """How far a command had come when its fault struck."""

    BEFORE_READ = "before_read"
    READ = "read"
    EXECUTED = "executed"
    ANSWERING = "answering"
    ANSWERED = "answered"


class Fault(StrEnum):
    """Each with its number, its point and one sentence. Numbers are for good: new faults get new ones."""

    number: int
    point: Point
    sentence: str

    # fmt: off
    HANG_UP_UNREAD = "hang_up_unread", 1, Point.BEFORE_READ, "The connection is reset with the command unread."
    SLOW_READER = "slow_reader", 2, Point.BEFORE_READ, "For a while nothing is read from the connection; then all goes on."
    DEAF = "deaf", 3, Point.READ, "The command is read, neither executed nor answered."
    HANG_UP_READ = "hang_up_read", 4, Point.READ, "The connection is reset with the command read and not executed."
    EXPIRED_TOKEN = "expired_token", 5, Point.READ, "The login is no longer valid: the command is refused, not executed."
    CLOCK_SKEW = "clock_skew", 6, Point.READ, "The venue's clock jumps, and stays wrong until the faults are cleared."
    THROTTLED = "throttled", 7, Point.READ, "The command is refused for its rate, not executed."
    THROTTLED_NO_HINT = "throttled_no_hint", 8, Point.READ, "The same, in the form that says less."
    SERVER_ERROR = "server_error", 9, Point.READ, "An error of the server's own; the command was not executed."
    HTML_PAGE = "html_page", 10, Point.READ, "A web page that looks like success (HTTP: 200); the command was not executed."
    REDIRECT = "redirect", 11, Point.READ, "HTTP 302 to another path; the command was not executed."
    MUTE = "mute", 12, Point.EXECUTED, "The command is executed and not answered."
    HANG_UP_EXECUTED = "hang_up_executed", 13, Point.EXECUTED, "The connection is reset before the answer."
    SERVER_ERROR_EXECUTED = "server_error_executed", 14, Point.EXECUTED, "An error of the server's own in the answer's place."
    HTML_ERROR = "html_error", 15, Point.EXECUTED, "HTTP 502 with a web page in the answer's place."
    DELAY = "delay", 16, Point.EXECUTED, "The answer comes late, by a time within bounds."
    REORDER = "reorder", 17, Point.EXECUTED, "The answer comes after the next one."
    FLOOD = "flood", 18, Point.ANSWERING, "Hundreds of frames about strangers come before the answer."
    DUPLICATE = "duplicate", 19, Point.ANSWERING, "The answer comes twice."
    GARBLE = "garble", 20, Point.ANSWERING, "Bytes of the answer are others: it is text, and no longer JSON."
    NOT_UTF8 = "not_utf8", 21, Point.ANSWERING, "Bytes of the answer are others: it is no longer text."
    TRUNCATE = "truncate", 22, Point.ANSWERING, "The answer's end is missing, and the message says that it is whole."
    SPLIT = "split", 23, Point.ANSWERING, "The answer comes in several fragments or chunks."
    HANG_UP_ANSWERING = "hang_up_answering", 24, Point.ANSWERING, "The connection is reset in the middle of the answer."
    HANG_UP_ANSWERED = "hang_up_answered", 25, Point.ANSWERED, "The connection is closed right after the answer."
    # fmt: on

    def __new__(cls, name: str, number: int, point: Point, sentence: str) -> Self:
        fault = str.__new__(cls, name)
        fault._value_ = name
        fault.number, fault.point, fault.sentence = number, point, sentence
        return fault

    @classmethod
    def named(cls, name: str) -> Self:
        """The fault of this name, however its words are joined. Else ValueError, with the known ones."""
        wanted = name.strip().lower().replace("-", "_")
        for fault in cls:
            if fault == wanted:
                return fault
        raise ValueError(f"{name!r} is no fault; known: {', '.join(cls)}")


SOCKET_CANNOT: Final = {
    Fault.HTML_ERROR: "a WebSocket message has no status code",
    Fault.REDIRECT: "a WebSocket message cannot redirect",
}
HTTP_CANNOT: Final = {
    Fault.FLOOD: "HTTP carries nothing that was not asked for",
    Fault.DUPLICATE: "HTTP has one answer per request",
}
LASTING: Final = frozenset({Fault.CLOCK_SKEW})
"""Those that do not end with their command."""
