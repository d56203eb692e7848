"""What `SocketVenue` and `HttpVenue` share: a venue author's words on one side, the book, the bench and the faults on the other.

An author writes pure code, from the venue's page:

    VERBS        what each command word is for
    execute()    what the venue answers to one request; `raise Refused(word)` refuses it, and the book stays as it was
    refused()    how a refusal is worded
    told()       what a change of the book is told in, to whoever listens

and the tables below, whose defaults are those of a venue without the thing. Whatever else `execute` raises over a request
that it cannot read is answered as MALFORMED: so it indexes messages plainly, as a codec does.
"""

from __future__ import annotations

import logging
import secrets
import time
import traceback
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final, cast

from attrs import Factory, define, field

from router.model import IdKind, Order, OrderType
from router.report import ExecType, OrdStatus
from router.testing.bench import Bench, Refusal, Row, Verb
from router.testing.book import Book, Change, Placed
from router.testing.faults import Fault
from router.testing.simulator import Received, Simulator
from router.testing.venuewords import HOSTILE, Ask, Refused

__all__ = ["NO_WORD", "Mistake", "VenueBench", "VenueServer"]

log = logging.getLogger("router.testing")

TRADING: Final = frozenset({Verb.SUBMIT, Verb.CANCEL, Verb.REPLACE, Verb.MASS_CANCEL})
NO_CLOCK: Final = "nothing that the venue is sent carries a time"
NO_WORD: Final = "the venue's page has no word for it"
FACTS: Final = ("VERBS", "SYMBOL", "PRICE", "STOP_PRICE", "QUANTITY", "OPTIONS", "VARIANTS", "REFUSALS")


class Mistake(Exception):
    """An author's code failed over something that the page allows, or is not written yet."""


@define(eq=False)
class VenueBench(Bench):
    """The bench of a VenueServer, which has all of it."""

    sim: VenueServer

    def rows(self) -> Sequence[Row]:
        return self.sim.book.rows()

    def named(self, received: Received) -> str:
        try:
            return self.sim.named(self.sim.request(received))
        except HOSTILE:
            return ""  # a request that is not as the page says names nothing

    def wrong(self) -> Mapping[str, Mapping[str, Any]]:
        return self.sim.wrong()

    async def enter(self, order: Order) -> str:
        return await self.sim.enter(order)

    async def fill(self, order_id: str, quantity: Decimal | None = None, *, copies: int = 1) -> None:
        await self.sim.fill(order_id, quantity, copies=copies)

    async def expel(self, order_id: str) -> None:
        await self.sim.expel(order_id)

    async def drop(self) -> None:
        await self.sim.drop_connections()

    def refuse(self, refusal: Refusal) -> None:
        self.sim.refuse(refusal)


@define(eq=False, kw_only=True)
class VenueServer(Simulator):
    """A simulated venue. key: the credential of its one client; `admits` and `execute` say where it belongs."""

    NAME: ClassVar[str]
    """The venue's, as its entry point has it: environment variables begin with it."""
    VERBS: ClassVar[Mapping[str, Verb]]
    SYMBOL: ClassVar[str]
    PRICE: ClassVar[str]
    STOP_PRICE: ClassVar[str]
    QUANTITY: ClassVar[str]
    OPTIONS: ClassVar[Mapping[OrderType, Mapping[str, Any]]]
    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]]
    REFUSALS: ClassVar[Sequence[Refusal]] = ()
    """As `Bench` has them."""
    WORDS: ClassVar[Mapping[Fault, str]] = {}
    """The word in which the venue refuses for a fault's reason: THROTTLED, THROTTLED_NO_HINT, SERVER_ERROR, EXPIRED_TOKEN.
    Over a socket it cannot have one that has no word.
    """
    MALFORMED: ClassVar[str] = "malformed"
    """The word for a request that cannot be read."""
    UNAUTHORIZED: ClassVar[str] = "unauthorized"
    """The word for a request without a login, or whose credentials are wrong."""
    IDS: ClassVar[Sequence[str]] = ("order_id", "client_order_id", "id")
    """The names under which a request has the id that it is about, the first that it has."""
    CLIENT_IDS: ClassVar[bool] = True
    """Whether orders keep the id that the client gave them."""
    KINDS: ClassVar[Mapping[OrderType, IdKind]] = {}
    """The id kind of order types that have an id space of their own: `KIND_OF`, for all that can."""
    CLOCK: ClassVar[bool] = False
    """Whether something that the venue is sent carries a time that it checks, against `now()`."""

    key: str = field(factory=lambda: secrets.token_hex(16), repr=False)
    book: Book = field(
        init=False,
        repr=False,
        default=Factory(
            lambda self: Book(kinds=self.KINDS, client_ids=self.CLIENT_IDS, new_id=self.new_id), takes_self=True
        ),
    )
    _refusals: list[Refusal] = field(factory=list, init=False, repr=False)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        verbs = getattr(cls, "VERBS", {})
        cls.COMMANDS = frozenset(verbs)
        cls.TRADING = frozenset(word for word, verb in verbs.items() if verb in TRADING)

    # -- what an author writes

    @abstractmethod
    def execute(self, ask: Ask) -> Any:
        """Do what is asked, in `self.book`, and return the answer (None: none). Raises Refused, with a word of the page."""

    @abstractmethod
    def refused(self, ask: Ask, word: str) -> Any:
        """How the venue words a refusal of this request (None: not at all)."""

    def named(self, ask: Ask) -> str:
        """The venue's or client's id that a request names; "" for none. See IDS."""
        found = (value for name in self.IDS for value in (ask.names.get(name), ask.body.get(name)) if value)
        return str(next(found, ""))

    def told(self, change: Change) -> Any:  # noqa: ARG002 - a default
        """The message that tells a change to those who listen; None: it is not told."""
        return None

    def admits(self, ask: Ask) -> bool:
        """Whether this request's sender may ask it: logged in, or with credentials that are right."""
        raise NotImplementedError

    def open(self, order_id: object, *, unknown: str, filled: str) -> Placed:
        """The open order of this id. Else Refused: in the word `filled` if all of it has traded, or in `unknown`."""
        placed = self.book.find(order_id)
        if placed is None or not placed.is_open:
            raise Refused(filled if placed is not None and placed.status is OrdStatus.FILLED else unknown)
        return placed

    def new_id(self) -> str:
        """An id for an order or a trade, in the venue's form."""
        return secrets.token_hex(8)

    @property
    def credentials(self) -> dict[str, Any]:
        return {"url": self.url, "key": self.key}

    @property
    def environment(self) -> dict[str, str]:
        return {f"{self.NAME.upper()}_{name.upper()}": str(value) for name, value in self.credentials.items()}

    def wrong(self) -> Mapping[str, Mapping[str, Any]]:
        """As Bench.wrong()."""
        return {"another's key": {"key": self.key[::-1]}}

    def word_for(self, fault: Fault | None) -> str | None:
        """The word in which the venue speaks of this fault, before executing or after it."""
        same = Fault.SERVER_ERROR if fault is Fault.SERVER_ERROR_EXECUTED else fault
        return None if same is None else self.WORDS.get(same)

    # -- what the bench asks

    @property
    def bench(self) -> VenueBench:
        facts = {name: getattr(type(self), name) for name in FACTS if hasattr(type(self), name)}
        kind = type(f"{type(self).__name__}Bench", (VenueBench,), facts)  # a Bench declares them on its class
        return cast("VenueBench", kind(self))

    def now(self) -> float:
        """The venue's clock, in seconds since 1970."""
        return time.time() + self.faults.skew

    def refuse(self, refusal: Refusal) -> None:
        """Refuse the next request of this verb in these words."""
        self._refusals.append(refusal)

    @abstractmethod
    def request(self, received: Received) -> Ask:
        """A request, from what was recorded of it."""

    @abstractmethod
    async def drop_connections(self) -> None:
        """Drop every connection without a goodbye. Returns when they are gone."""

    # -- what the venue does of its own accord

    async def enter(self, order: Order) -> str:
        """An order of the same account, from elsewhere. Returns its id."""
        placed = self.book.enter(order)
        self._publish(self.book.take())
        return placed.order_id

    async def fill(self, order_id: str, quantity: Decimal | None = None, *, copies: int = 1) -> None:
        """Let an open order trade, and tell it this often in the same words."""
        self.book.fill(self._placed(order_id), quantity)
        changes = self.book.take()
        for _ in range(copies):
            self._publish(changes)

    async def expel(self, order_id: str) -> None:
        """End an open order unasked."""
        self.book.end(self._placed(order_id), OrdStatus.CANCELED, ExecType.CANCELED)
        self._publish(self.book.take())

    def _placed(self, order_id: str) -> Placed:
        placed = self.book.find(order_id)
        if placed is None:
            raise KeyError(f"the book never had {order_id!r}; it has {sorted(self.book.placed)}")
        return placed

    def _publish(self, changes: Sequence[Change]) -> None:
        """Tell changes that nobody here asked for, where the venue tells such things."""

    # -- from a request to its answer

    def _answer(self, ask: Ask) -> tuple[Any, str]:
        """Execute, or refuse. Returns the message, and the word of refusal ("" for none)."""
        try:
            if not self.admits(ask):
                raise Refused(self.UNAUTHORIZED)  # noqa: TRY301 - one way to refuse
            self._refuse_as_told(ask)
            answer = self.execute(ask)
            self._accepted_from(ask)
            return answer, ""  # noqa: TRY300 - one way to answer
        except Refused as refusal:
            word = refusal.word
        except HOSTILE as error:
            log.warning("%s: %s is answered as %r: %s", self.NAME, ask.word, self.MALFORMED, _where(error))
            word = self.MALFORMED
        except Exception as error:
            raise self._mistake(error) from error
        return self._refusal(ask, word), word

    def _accepted_from(self, ask: Ask) -> None:
        """What a request that was not refused means for whoever sent it."""

    def _refusal(self, ask: Ask, word: str) -> Any:
        """A refusal, or nothing of a request that leaves no words for one."""
        try:
            return self.refused(ask, word)
        except HOSTILE as error:
            log.warning("%s: %s cannot even be refused: %s", self.NAME, ask.word, _where(error))
            return None
        except Exception as error:
            raise self._mistake(error) from error

    def _mistake(self, error: Exception) -> Mistake:
        """What an author is told of a mistake in the simulator itself: the conformance cases show what is logged."""
        log.error("%s: a mistake in the simulator: %s: %s", self.NAME, _where(error), error)
        return Mistake(str(error) or type(error).__name__)

    def _refuse_as_told(self, ask: Ask) -> None:
        for refusal in self._refusals:
            if refusal.verb is ask.verb:
                self._refusals.remove(refusal)
                raise Refused(refusal.word)

    def _covers(self, command: str) -> bool:
        """Whether the switches are about this command: without `only`, they are about trading."""
        return command in (self.TRADING if self.switches.only is None else self.switches.only)

    def excuse(self, fault: Fault, command: str) -> str:  # noqa: ARG002 - the same for all commands
        return NO_CLOCK if fault is Fault.CLOCK_SKEW and not self.CLOCK else ""


def _where(error: Exception) -> str:
    """What went wrong and where, without anything that was sent."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}(), {last.filename}, line {last.lineno}"
