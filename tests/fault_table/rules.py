"""What a cell must come to, by rule: from what its sender hears, whether it was done, and what the venue can be asked.

1. What the sender hears of its first attempt decides what may be reported, and when.
2. A command is written once; once more if it was answered "not executed"; once more if it can do nothing new and either
   its connection was lost or, over HTTP, its answer was no answer.
3. Silence and doubt end as UNKNOWN. settled() then tells the truth wherever the venue can be asked for it, and where the
   one repeat was the first to be executed.
4. After a repeat "no such order" proves nothing.
"""

from __future__ import annotations

from enum import StrEnum, auto

from attrs import evolve, field, frozen

from router import CxlRejReason, Origin, Outcome
from router.testing import Fault

from .cells import DMEX, Command, Network, Point


class Verdict(StrEnum):
    """An outcome with what tells two refusals apart."""

    CONFIRMED = auto()
    TOO_LATE = auto()
    NOT_FOUND = auto()
    NOT_PLACED = auto()
    REFUSED = auto()
    NOT_SENT = auto()
    UNKNOWN = auto()

    @classmethod
    def of(cls, report):
        if report.outcome is not Outcome.REFUSED:
            return cls[report.outcome.name]
        if report.origin is Origin.ROUTER:
            return cls.NOT_PLACED
        reasons = {CxlRejReason.TOO_LATE_TO_CANCEL: cls.TOO_LATE, CxlRejReason.UNKNOWN_ORDER: cls.NOT_FOUND}
        return reasons.get(report.reason, cls.REFUSED) if isinstance(report.reason, CxlRejReason) else cls.REFUSED


CONFIRMED, UNKNOWN, NOT_SENT = {Verdict.CONFIRMED}, {Verdict.UNKNOWN}, {Verdict.NOT_SENT}
TOO_LATE, REFUSED, NOT_PLACED = {Verdict.TOO_LATE}, {Verdict.REFUSED}, {Verdict.NOT_PLACED}


class Heard(StrEnum):
    """What comes back of the first attempt."""

    ANSWER = auto()
    REFUSAL = auto()
    DECLINED = auto()  # "not executed": attempted anew
    DOUBT = auto()  # the venue speaks of this request, and does not say what became of it
    SILENCE = auto()
    LOST = auto()  # the connection, with the answer
    NOTHING_LEFT = auto()  # it is not written at all


HEARD = {
    Fault.HANG_UP_UNREAD: Heard.LOST,
    Fault.SLOW_READER: Heard.ANSWER,
    Fault.DEAF: Heard.SILENCE,
    Fault.HANG_UP_READ: Heard.LOST,
    Fault.EXPIRED_TOKEN: Heard.REFUSAL,
    Fault.CLOCK_SKEW: Heard.ANSWER,
    Fault.THROTTLED: Heard.DECLINED,
    Fault.THROTTLED_NO_HINT: Heard.DECLINED,
    Fault.SERVER_ERROR: Heard.DOUBT,
    Fault.HTML_PAGE: Heard.SILENCE,
    Fault.MUTE: Heard.SILENCE,
    Fault.HANG_UP_EXECUTED: Heard.LOST,
    Fault.SERVER_ERROR_EXECUTED: Heard.DOUBT,
    Fault.DELAY: Heard.ANSWER,
    Fault.REORDER: Heard.ANSWER,
    Fault.FLOOD: Heard.ANSWER,
    Fault.DUPLICATE: Heard.ANSWER,
    Fault.GARBLE: Heard.SILENCE,
    Fault.NOT_UTF8: Heard.SILENCE,
    Fault.TRUNCATE: Heard.SILENCE,
    Fault.SPLIT: Heard.ANSWER,
    Fault.HANG_UP_ANSWERING: Heard.LOST,
    Fault.HANG_UP_ANSWERED: Heard.ANSWER,
    Network.UNREACHABLE: Heard.NOTHING_LEFT,
    Network.RECONNECTING: Heard.ANSWER,
    Network.PACED: Heard.NOTHING_LEFT,
    Network.LOGIN_SKEWED: Heard.NOTHING_LEFT,
    Network.LOGIN_EXPIRED: Heard.ANSWER,
    Network.CUT_FIRST_BYTE: Heard.LOST,
    Network.CUT_MIDDLE: Heard.LOST,
    Network.HALF_OPEN: Heard.LOST,
    Network.BYTE_BY_BYTE: Heard.ANSWER,
    Network.LOST_TWICE: Heard.LOST,
    Network.OUTAGE: Heard.LOST,
    Network.CUT_ANSWER: Heard.LOST,
}
HEARD_OVER_HTTP = HEARD | {  # an answer that is none is still about this request
    Fault.EXPIRED_TOKEN: Heard.DECLINED,
    Fault.CLOCK_SKEW: Heard.DECLINED,  # when it is the token that is out of time; else it is answered
    Fault.HTML_PAGE: Heard.DOUBT,
    Fault.HTML_ERROR: Heard.DOUBT,
    Fault.REDIRECT: Heard.DOUBT,
    Fault.GARBLE: Heard.DOUBT,
    Fault.NOT_UTF8: Heard.DOUBT,
    Fault.TRUNCATE: Heard.DOUBT,
    Network.HALF_OPEN: Heard.SILENCE,
    Network.TOKEN_REFUSED: Heard.REFUSAL,
}
SPOILT = {Fault.GARBLE, Fault.NOT_UTF8, Fault.TRUNCATE}
SEVERAL_FRAMES = {Command.CANCEL_STOP, Command.CANCEL_CLIENT}  # QFEX: a receipt and the deed, or one of each order
LATE = {Network.HALF_OPEN}  # done, though it came late


def heard(cell):
    found = (HEARD_OVER_HTTP if cell.venue.http else HEARD)[cell.fault]
    if cell.venue.http and cell.command is Command.CANCEL_FILLED and cell.fault in SPOILT:
        return Heard.ANSWER  # a 404 decides, whatever its body
    if cell.command is Command.CANCEL_CLIENT and cell.fault is Fault.THROTTLED_NO_HINT:
        return Heard.SILENCE  # names the client id, and so perhaps an order of somebody else's
    return found


def is_executed(cell):
    """Whether the first attempt was."""
    return cell.fault in LATE or cell.point in {Point.EXECUTED, Point.ANSWERING, Point.ANSWERED}


@frozen
class Expected:
    """first, final: what may be reported, at once and by settled(). wire: how often the command may have been written.

    waits: the report is due at the deadline, not before there is something to say.
    """

    first: frozenset[Verdict] = field(converter=frozenset)
    final: frozenset[Verdict] = field(converter=frozenset)
    wire: range
    waits: bool = False


def expected(cell):
    answered = {Verdict.NOT_FOUND, Verdict.TOO_LATE} if cell.command is Command.CANCEL_FILLED else CONFIRMED
    once = range(1, 2)
    match heard(cell):
        case Heard.ANSWER:
            return Expected(answered, answered, range(1, 3) if _is_incomplete(cell) else once)
        case Heard.REFUSAL:
            return Expected(REFUSED, REFUSED, once)
        case Heard.NOTHING_LEFT:
            return Expected(NOT_SENT, NOT_SENT, range(1), waits=True)
        case Heard.DECLINED:
            return Expected(answered, answered, range(1 if cell.fault is Fault.CLOCK_SKEW else 2, 3))
    return _lost(cell) if heard(cell) is Heard.LOST else _unanswered(cell)


def _is_incomplete(cell):
    """A cancel of a TWAP is complete when a read shows none left, for which the connection was closed too early."""
    return cell.command is Command.CANCEL_TWAP and cell.fault is Fault.HANG_UP_ANSWERED


def _unless_readable(cell, spoilt):
    """What was spoilt may have been one frame of several, or a part that nobody reads."""
    if not (cell.fault in SPOILT and cell.command in SEVERAL_FRAMES) and cell.fault is not Fault.NOT_UTF8:
        return spoilt
    said = {Verdict.NOT_FOUND} if cell.command is Command.CANCEL_FILLED else CONFIRMED
    return evolve(spoilt, first=spoilt.first | said, final=spoilt.final | said, wire=range(1, spoilt.wire.stop))


def _unanswered(cell):
    """Silence until the deadline, or an answer that is none, of which the caller hears at once."""
    final = _settled(cell, repeated=cell.venue.http)
    wire = _attempts(cell, repeated=cell.venue.http)
    waits = heard(cell) is Heard.SILENCE
    if cell.fault in LATE:  # over HTTP the late answer may be in time for settled(), or for the repeat
        return Expected(UNKNOWN, UNKNOWN | CONFIRMED | _late_words(cell), range(1, wire.stop), waits=waits)
    return _unless_readable(cell, Expected(UNKNOWN, final, wire, waits=waits))


def _lost(cell):
    final = _settled(cell, repeated=True)
    wire = _attempts(cell, repeated=True)
    if cell.fault in LATE or cell.fault is Network.OUTAGE:  # its caller does not wait for the next connection
        return Expected(UNKNOWN, final, wire, waits=True)
    if cell.fault is Network.LOST_TWICE and not cell.command.is_once:  # and with it the only repeat
        final = _settled(cell, repeated=False)
        return Expected(UNKNOWN | final, final, wire, waits=True)
    if cell.command.is_once:
        early = final if is_executed(cell) or cell.command is Command.CANCEL_CLIENT else set()
        return Expected(UNKNOWN | early, final, wire, waits=True)
    if cell.command is not Command.CANCEL_FILLED and not is_executed(cell):
        return Expected(CONFIRMED, CONFIRMED, wire)  # by the repeat, within the deadline
    heard_in_part = cell.point is Point.ANSWERING and cell.command in SEVERAL_FRAMES
    return Expected(UNKNOWN | final, final, range(1, 3) if heard_in_part else wire)


def _late_words(cell):
    return {Verdict.NOT_FOUND, Verdict.TOO_LATE} if cell.command is Command.CANCEL_FILLED else set()


def _attempts(cell, *, repeated):
    count = 2 if repeated and not cell.command.is_once else 1
    return range(count, count + 1)


def _settled(cell, *, repeated):
    """What settled() comes to when the first attempt's answer never came."""
    if cell.command.is_submit:
        return _placed(cell)
    if cell.command is Command.CANCEL_CLIENT:
        return CONFIRMED if repeated else UNKNOWN | (CONFIRMED if is_executed(cell) else set())
    ended = cell.command is Command.CANCEL_FILLED
    if not ended and not is_executed(cell):
        return CONFIRMED if repeated else UNKNOWN
    if cell.venue.shows_ends and cell.command is not Command.CANCEL_TWAP:
        return TOO_LATE if ended else CONFIRMED
    if cell.venue is DMEX and repeated:  # its refusal says what became of the order
        return TOO_LATE if ended else UNKNOWN | CONFIRMED
    return UNKNOWN | (CONFIRMED if cell.command is Command.CANCEL_TWAP else set())


def _placed(cell):
    """What settled() comes to for a submit."""
    twap = cell.command in {Command.SUBMIT_TWAP, Command.SUBMIT_TWAP_ENDED}
    if is_executed(cell):
        if cell.command is Command.SUBMIT_TWAP_ENDED:
            return UNKNOWN | CONFIRMED
        return CONFIRMED if cell.venue.lists else UNKNOWN
    if cell.venue.finds_clients and not twap:
        return NOT_PLACED
    return UNKNOWN
