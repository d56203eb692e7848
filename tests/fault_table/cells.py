"""The cells of the table: which command of which venue meets which fault, and at which point of its life. Data."""

from __future__ import annotations

from enum import StrEnum
from functools import cache

from attrs import frozen

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router.testing import Fault


class Command(StrEnum):
    SUBMIT = "submit"
    SUBMIT_FILLED = "submit-filled"  # whatever of it is open is filled before settled() looks
    SUBMIT_STOP = "submit-stop"
    SUBMIT_TWAP = "submit-twap"
    SUBMIT_TWAP_ENDED = "submit-twap-ended"  # as submit-filled
    CANCEL = "cancel"
    CANCEL_FILLED = "cancel-filled"  # the order had been filled, and the frame that said so was lost
    CANCEL_CLIENT = "cancel-by-client-id"  # of two orders
    CANCEL_STOP = "cancel-stop"
    CANCEL_TWAP = "cancel-twap"

    @property
    def is_submit(self):
        return self.startswith("submit")

    @property
    def ends_early(self):
        return self in {Command.SUBMIT_FILLED, Command.SUBMIT_TWAP_ENDED}

    @property
    def is_once(self):
        """Whether a repeat could do something new."""
        return self.is_submit or self is Command.CANCEL_CLIENT


class Point(StrEnum):
    """The catalogue's points, and those that only a network or our own side of the wire has."""

    BEFORE_WRITE = "before write"
    MID_FRAME = "mid-frame"
    IN_FLIGHT = "in flight"
    BEFORE_READ = "before read"
    READ = "read"
    EXECUTED = "executed"
    ANSWERING = "answering"
    ANSWERED = "answered"


class Network(StrEnum):
    """Faults that no simulator has: those of the way to it, of its login, and of the pace."""

    point: Point

    # fmt: off
    UNREACHABLE = "unreachable", Point.BEFORE_WRITE  # until after the deadline
    RECONNECTING = "reconnecting", Point.BEFORE_WRITE  # and connected again before the deadline
    PACED = "paced", Point.BEFORE_WRITE  # the venue has asked for a pause
    LOGIN_SKEWED = "login_skewed", Point.BEFORE_WRITE  # logins are refused for their time, until after the deadline
    LOGIN_EXPIRED = "login_expired", Point.BEFORE_WRITE  # one login is refused while the command waits
    CUT_FIRST_BYTE = "cut_first_byte", Point.MID_FRAME  # one byte of the command is passed on, and a reset
    CUT_MIDDLE = "cut_middle", Point.MID_FRAME  # some bytes of it
    HALF_OPEN = "half_open", Point.IN_FLIGHT  # the command arrives when its connection has been given up
    BYTE_BY_BYTE = "byte_by_byte", Point.IN_FLIGHT  # both ways
    TOKEN_REFUSED = "token_refused", Point.READ  # HTTP 401, and no new token is to be had
    LOST_TWICE = "lost_twice", Point.READ  # as hang_up_read, and the same again
    OUTAGE = "outage", Point.READ  # as hang_up_read, and the venue is away until its quiet period is over
    CUT_ANSWER = "cut_answer", Point.ANSWERING  # some bytes of the answer are passed on, and a reset
    # fmt: on

    def __new__(cls, name, point):
        fault = str.__new__(cls, name)
        fault._value_, fault.point = name, point
        return fault


@frozen(eq=False)
class Venue:
    """What a rule may ask of a venue. words: what its simulator calls each command; login: what it calls a login.

    http: commands go over HTTP. lists: open orders can be read. shows_ends: what became of an order can be read.
    finds_clients: an order can be looked up by its client id. tells_fills: whoever says that an order was filled says how
    much of it.
    """

    name: str
    simulator: type
    words: dict[Command, str]
    login: str = ""
    http: bool = False
    lists: bool = False
    shows_ends: bool = False
    finds_clients: bool = False
    tells_fills: bool = False


_DMEX = {
    Command.SUBMIT: "create_order",
    Command.SUBMIT_FILLED: "create_order",
    Command.CANCEL: "cancel_order",
    Command.CANCEL_FILLED: "cancel_order",
}
QFEX = Venue(
    "qfex",
    QfexSimulator,
    {
        Command.SUBMIT: "add_order",
        Command.SUBMIT_FILLED: "add_order",
        Command.SUBMIT_STOP: "add_order",
        Command.SUBMIT_TWAP: "add_twap",
        Command.SUBMIT_TWAP_ENDED: "add_twap",
        Command.CANCEL: "cancel_order",
        Command.CANCEL_FILLED: "cancel_order",
        Command.CANCEL_CLIENT: "cancel_order",
        Command.CANCEL_STOP: "cancel_stop_order",
        Command.CANCEL_TWAP: "cancel_order",
    },
    login="auth",
    lists=True,
    shows_ends=True,
    finds_clients=True,
    tells_fills=True,
)
B2TRADER = Venue(
    "b2trader",
    B2TraderSimulator,
    {
        Command.SUBMIT: "POST orders",
        Command.SUBMIT_FILLED: "POST orders",
        Command.SUBMIT_STOP: "POST stop-orders",
        Command.CANCEL: "DELETE orders",
        Command.CANCEL_FILLED: "DELETE orders",
        Command.CANCEL_STOP: "DELETE stop-orders",
    },
    login="POST access-token",
    http=True,
)
DMEX = Venue("dmex", DmexSimulator, _DMEX)
DMEX_REST = Venue("dmex+rest", DmexSimulator, _DMEX, lists=True, shows_ends=True)
VENUES = (QFEX, B2TRADER, DMEX, DMEX_REST)


@frozen
class Cell:
    """excuse: why there is no such case; empty for a cell that is run."""

    venue: Venue
    command: Command
    fault: Fault | Network
    excuse: str = ""

    @property
    def point(self):
        return Point[self.fault.point.name]

    @property
    def word(self):
        return self.venue.words[self.command]

    def __str__(self):
        return f"{self.venue.name}-{self.command}-{self.fault}"


NO_TOKEN = "no token is renewed between two attempts"
NO_CONNECTION = "each HTTP request may make its own connection: see unreachable"
WRITTEN_ONCE = "a submit is written once: see hang_up_read"
NO_RELOGIN = "nothing logs in anew when a connection is lost: see token_refused"


@cache
def _simulator(venue):
    return venue.simulator()


def _excuse(venue, command, fault):
    """The simulator's own reason, or why the point is none of this transport."""
    word, supports = venue.words[command], _simulator(venue).supports
    no_login = NO_RELOGIN if venue.http else supports(Fault.EXPIRED_TOKEN, word)
    reasons = {
        Network.PACED: supports(Fault.THROTTLED, word),
        Network.RECONNECTING: NO_CONNECTION if venue.http else "",
        Network.LOGIN_SKEWED: no_login,
        Network.LOGIN_EXPIRED: no_login,
        Network.TOKEN_REFUSED: "" if venue.http else NO_TOKEN,
        Network.LOST_TWICE: WRITTEN_ONCE if command.is_submit else "",
    }
    return supports(fault, word) if isinstance(fault, Fault) else reasons.get(fault, "")


FAULTS = (*Fault, *Network)
CELLS = tuple(
    Cell(venue, command, fault, _excuse(venue, command, fault))
    for venue in VENUES
    for command in venue.words
    for fault in sorted(FAULTS, key=lambda fault: list(Point).index(Point[fault.point.name]))
)
