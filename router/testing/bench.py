"""The bench: what the conformance cases ask of a simulated venue, and it answers from its own book, in the library's words.

A simulator speaks its venue's words on the wire. Its bench, written beside it and from the same page, says what those
words come to: which command is a cancel, which order it names, what the book has. The cases compare that with what our
side reports; a bench never sees a codec.

Whoever builds a simulator on router.testing.socketvenue or router.testing.httpvenue has a bench already.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import define, field, frozen

from router.model import IdKind, Order, OrderType, Side, TimeInForce
from router.report import CxlRejReason, OrdRejReason, OrdStatus
from router.testing.simulator import Received, Simulator

if TYPE_CHECKING:
    from router.venue import Adapter  # which a simulator is not to know

__all__ = ["KIND_OF", "Bench", "Refusal", "Row", "Verb"]

KIND_OF = {
    OrderType.STOP: IdKind.STOP_ORDER,
    OrderType.STOP_LIMIT: IdKind.STOP_ORDER,
    OrderType.TAKE_PROFIT: IdKind.STOP_ORDER,
    OrderType.TWAP: IdKind.TWAP,
}
"""The id kind of an order type, at a venue with an id space for each; all others, and elsewhere: ORDER."""


class Verb(StrEnum):
    """What a request is for."""

    LOGIN = "login"
    SUBSCRIBE = "subscribe"
    SUBMIT = "submit"
    CANCEL = "cancel"
    REPLACE = "replace"
    MASS_CANCEL = "mass_cancel"
    LIST = "list"
    LOOKUP = "lookup"
    OTHER = "other"


@frozen(kw_only=True)
class Row:
    """An order as the simulated venue's book has it, open or ended. None: this venue does not keep that, or has no such term.

    cum_quantity: what has traded. is_open: whether it can still trade. options: as Order.options, those that the book keeps.
    """

    order_id: str
    kind: IdKind = IdKind.ORDER
    status: OrdStatus
    cum_quantity: Decimal = Decimal(0)
    client_order_id: str | None = None
    symbol: str | None = None
    side: Side | None = None
    type: OrderType | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    expires_at: datetime | None = None
    post_only: bool | None = None
    reduce_only: bool | None = None
    options: Mapping[str, Any] = field(factory=dict)

    @property
    def is_open(self) -> bool:
        return not self.status.is_terminal


@frozen
class Refusal:
    """One of the venue's words of refusal: which request it refuses, the word as its page has it, and what it means.

    told: whether it says for certain that nothing was executed. False: the page does not list it, or leaves it open.
    """

    verb: Verb
    word: str
    reason: CxlRejReason | OrdRejReason
    told: bool = True


@define(eq=False)
class Bench(ABC):
    """A simulated venue, as the cases see it. Quantities and prices are Decimals in the venue's units."""

    VERBS: ClassVar[Mapping[str, Verb]]
    """What each of the simulator's command words is for. What is not here is for nothing that a case looks at."""
    SYMBOL: ClassVar[str]
    """A symbol that can be traded."""
    PRICE: ClassVar[str] = "100"
    """A price at which a LIMIT buy rests."""
    STOP_PRICE: ClassVar[str] = "120"
    """The trigger of a stop that rests."""
    QUANTITY: ClassVar[str] = "2"
    """Of a sample order. A quarter, a half and one and a half of it can be traded too."""
    OPTIONS: ClassVar[Mapping[OrderType, Mapping[str, Any]]] = {}
    """What an order of this type must have in its options."""
    EXTRAS: ClassVar[Mapping[OrderType, Mapping[str, Any]]] = {}
    """What an order of this type may have in its options besides; the sum of both is given."""
    FINE: ClassVar[tuple[str, str] | None] = None
    """A quantity and a price of a LIMIT buy, both at the finest step that the venue takes."""
    MARKETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Other symbols that can be traded, each with the options that an order needs there."""
    NATURAL: ClassVar[Mapping[OrderType, TimeInForce]] = {}
    """The time in force that an order of this type has when nobody says one."""
    FORGETS: ClassVar[frozenset[str]] = frozenset()
    """Terms and options of an order that the venue takes, and that its book does not keep."""
    PAUSE: ClassVar[float] = 0.0
    """Seconds to wait that the venue asks for when it throttles."""
    TELLS: ClassVar[frozenset[str]] = frozenset()
    """What the venue's list says of every order, besides its address and its terms: cum_quantity, status."""
    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Where the page contradicts itself: attributes of the simulator by a name. None of them may change an outcome."""
    REFUSALS: ClassVar[Sequence[Refusal]] = ()
    """The page's words of refusal, each with what it means."""

    sim: Simulator

    # -- how our side reaches it

    def adapter(self, kind: type, changes: Mapping[str, Any]) -> Adapter:
        """An adapter for this simulator. kind: the venue's adapter class; changes: to its credentials (None: leave out)."""
        given = {**self.sim.credentials, **changes}
        made: Adapter = kind(**{name: value for name, value in given.items() if value is not None})
        return made

    def setups(self) -> Mapping[str, Mapping[str, Any]]:
        """The ways to configure the adapter that change what it can do, as changes to its credentials, by name."""
        return {"": {}}

    def claims(self, setup: str) -> Mapping[str, Any]:  # noqa: ARG002 - for venues with several
        """What the page says that can be done, by the names of the Spec's fields, in this set-up. Compared with the Spec."""
        return {}

    def logins(self) -> Mapping[str, Mapping[str, Any]]:
        """Other credentials that the venue takes, as changes, by name: a token instead of a key."""
        return {}

    def wrong(self) -> Mapping[str, Mapping[str, Any]]:
        """Credentials that the venue refuses, as changes, by name. Empty: it has no login."""
        return {}

    # -- what is traded

    def order(self, type_: OrderType = OrderType.LIMIT, venue: str = "venue", **terms: Any) -> Order:
        """A sample order that the venue takes, and that rests if its type can."""
        priced = type_ in {OrderType.LIMIT, OrderType.STOP_LIMIT}
        stop = type_ in {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT}
        sample: dict[str, Any] = {
            "symbol": self.SYMBOL,
            "side": Side.BUY,
            "quantity": self.QUANTITY,
            "price": self.PRICE if priced else None,
            "stop_price": self.STOP_PRICE if stop else None,
            "options": self.OPTIONS.get(type_, {}),
        }
        return Order(venue=venue, type=type_, **{**sample, **terms})

    def unknown(self, kind: IdKind) -> str:  # noqa: ARG002 - for venues whose ids differ in shape
        """A well-formed id that no order has."""
        return secrets.token_hex(16)

    def spellings(self, order_id: str) -> Sequence[str]:  # noqa: ARG002 - for venues whose ids can be written in several ways
        """Other ways to write this id, which the venue takes for the same."""
        return ()

    # -- what the venue's book and records say

    @abstractmethod
    def rows(self) -> Sequence[Row]:
        """Every order that there ever was, in the order of entering."""

    @abstractmethod
    def named(self, received: Received) -> str:
        """The venue's or client's id that this request names; "" for none."""

    # -- what the venue does of its own accord

    @abstractmethod
    async def enter(self, order: Order) -> str:
        """Enter an order of the same account from elsewhere, and return the venue's id of it. Who listens hears of it."""

    @abstractmethod
    async def fill(self, order_id: str, quantity: Decimal | None = None, *, copies: int = 1) -> None:
        """Let an open order trade: all of it, or `quantity`. It is told `copies` times, in the same words; 0: never."""

    @abstractmethod
    async def expel(self, order_id: str) -> None:
        """End an open order unasked. It is told once, where the venue tells such things."""

    @abstractmethod
    async def drop(self) -> None:
        """Drop every connection without a goodbye. Returns when they are gone."""

    def refuse(self, refusal: Refusal) -> None:
        """Let the venue refuse the next request of `refusal.verb` in these words, and execute nothing."""
        raise NotImplementedError(f"REFUSALS names {refusal.word!r}, so the bench needs refuse()")

    # -- derived

    def row(self, order_id: str) -> Row:
        """KeyError, naming the known ones, if the book never had it."""
        rows = {row.order_id: row for row in self.rows()}
        if order_id not in rows:
            raise KeyError(f"the book never had {order_id!r}; it has {sorted(rows)}")
        return rows[order_id]

    def open_ids(self) -> set[str]:
        return {row.order_id for row in self.rows() if row.is_open}

    def words(self, *verbs: Verb) -> frozenset[str]:
        """The simulator's command words for these."""
        return frozenset(word for word, verb in self.VERBS.items() if verb in verbs)

    def asked(self, *verbs: Verb) -> list[Received]:
        """What was read of these, in order."""
        words = self.words(*verbs)
        return [item for item in self.sim.received if item.command in words]

    def written(self, verb: Verb, name: str) -> int:
        """How often a request of this verb that names this id was read off the wire."""
        return sum(self.named(item) == name for item in self.asked(verb))
