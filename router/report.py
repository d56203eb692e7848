"""What a strategy hears: reports, order states and events. All immutable, all words from FIX 4.4.

Four axes never fold into one enum: what the order is (OrdStatus), what just happened (ExecType), what we know of the
request (Outcome), and why (CxlRejReason, OrdRejReason).

What is made for every answer is a msgspec Struct, which costs a tenth of an attrs class; attrs.asdict() and attrs.evolve() take it
as they take the other models.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Final, NoReturn, Self, TypeVar

import attrs
from attrs import field, frozen
from msgspec import Struct

from router.errors import CancelRefused, NotSent, OutcomeUnknown, SubmitRefused
from router.model import Cancel, IdKind, Order, OrderType, Side
from router.redact import Sealed

__all__ = [
    "CancelReport",
    "CxlRejReason",
    "Event",
    "ExecType",
    "Health",
    "OrdRejReason",
    "OrdStatus",
    "OrderState",
    "Origin",
    "Outcome",
    "Replace",
    "SessionState",
    "SubmitReport",
    "known_to_attrs",
    "quantiles",
]


class _Word(StrEnum):
    __hash__ = str.__hash__  # Enum's own is a call of Python code


class Outcome(_Word):
    """What is known of a request. Only CONFIRMED and REFUSED are the venue's words; NOT_SENT is ours and certain."""

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class OrdStatus(_Word):
    """FIX OrdStatus (39): what the order is."""

    PENDING_NEW = "pending_new"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """Whether the order can no longer trade."""
        return self in _TERMINAL


_TERMINAL = frozenset({OrdStatus.FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED, OrdStatus.EXPIRED})


class ExecType(_Word):
    """FIX ExecType (150): what just happened. ORDER_STATUS says what is, not what happened."""

    NEW = "new"
    TRADE = "trade"
    CANCELED = "canceled"
    REPLACED = "replaced"
    REJECTED = "rejected"
    EXPIRED = "expired"
    TRIGGERED = "triggered"
    ORDER_STATUS = "order_status"


class CxlRejReason(IntEnum):
    """FIX CxlRejReason (102): why a cancel was refused."""

    TOO_LATE_TO_CANCEL = 0
    UNKNOWN_ORDER = 1
    BROKER = 2
    ALREADY_PENDING_CANCEL = 3
    OTHER = 99


class OrdRejReason(IntEnum):
    """FIX OrdRejReason (103): why an order was refused."""

    BROKER = 0
    UNKNOWN_SYMBOL = 1
    EXCHANGE_CLOSED = 2
    ORDER_EXCEEDS_LIMIT = 3
    UNKNOWN_ORDER = 5
    DUPLICATE_ORDER = 6
    UNSUPPORTED_ORDER_CHARACTERISTIC = 11
    INCORRECT_QUANTITY = 13
    OTHER = 99


class Origin(_Word):
    """Who caused it: the strategy (CLIENT), this library (ROUTER), or the venue by itself (VENUE)."""

    CLIENT = "client"
    ROUTER = "router"
    VENUE = "venue"


S = TypeVar("S", bound=type[Struct])


def known_to_attrs(cls: S) -> S:
    """Let attrs.fields(), asdict() and evolve() take a Struct."""
    fields = {name: attrs.field(default=None) for name in cls.__struct_fields__}
    cls.__attrs_attrs__ = attrs.fields(attrs.make_class(cls.__name__, fields))  # type: ignore[attr-defined]  # declared by the classes
    return cls


@known_to_attrs
class OrderState(Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one order; a row of open_orders() and of report.orders. It is an address for cancel().

    Quantities are in the venue's units; None means not known, never zero. `own`: placed by this Router.
    """

    venue: str
    order_id: str | None
    client_order_id: str | None = None
    kind: IdKind = IdKind.ORDER
    symbol: str | None = None
    side: Side | None = None
    type: OrderType | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    post_only: bool | None = None
    reduce_only: bool | None = None
    status: OrdStatus | None = None
    cum_quantity: Decimal | None = None
    own: bool = False
    __attrs_attrs__: ClassVar[Any]

    def to_cancel(self) -> Cancel:
        """The Cancel that names this order."""
        return _address(self.venue, self.order_id, self.kind, self.client_order_id, self.symbol)


@frozen(kw_only=True)
class Replace:
    """A change of a resting order: FIX OrderCancelReplaceRequest. None leaves a value as it is.

    target: the order's address. known: the order as the ledger has it. quantity: the total, filled part included.
    """

    target: Cancel
    known: OrderState
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None

    @property
    def venue(self) -> str:
        return self.target.venue


def _address(venue: str, order_id: str | None, kind: IdKind, client_id: str | None, symbol: str | None) -> Cancel:
    if order_id is not None:
        return Cancel(venue, order_id, kind, symbol)
    if client_id is None:
        raise ValueError(f"{venue}: this order has no id yet, so nothing names it")
    by_client = IdKind.CLIENT_TWAP if kind is IdKind.TWAP else IdKind.CLIENT_ORDER
    return Cancel(venue, client_id, by_client, symbol)


_HIDDEN: Final = frozenset({"frame", "settle", "loop"})


class _Report(Struct, frozen=True, kw_only=True, eq=False, weakref=True):
    """What all reports share. `settle` is how the Router goes on learning; None once the outcome is final.

    journaled: whether the journal will remember this after a crash. False: it will not, because the disk is full, broken or
    slow; the command was sent all the same if it is a cancel. None: there is no journal, or nothing was sent.
    """

    outcome: Outcome
    status: OrdStatus | None = None
    text: str = ""
    origin: Origin = Origin.CLIENT
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    journaled: bool | None = None
    frame: Sealed | None = None
    settle: Callable[[float | None], Awaitable[Any]] | None = None
    __attrs_attrs__: ClassVar[Any]

    def _facts(self) -> dict[str, Any]:
        """All but what only the Router needs."""
        return {name: getattr(self, name) for name in self.__struct_fields__ if name not in _HIDDEN}

    def __eq__(self, other: object) -> bool:
        return self._facts() == other._facts() if type(other) is type(self) else NotImplemented

    def __ne__(self, other: object) -> bool:  # Struct has one of its own
        return not self == other

    def __hash__(self) -> int:
        return hash(tuple(self._facts().values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._facts().items())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list(self._facts().items())

    @property
    def raw(self) -> str:
        """The frame that decided, redacted; empty where none did."""
        return "" if self.frame is None else str(self.frame)

    @property
    def ok(self) -> bool:
        """Whether the outcome is CONFIRMED."""
        return self.outcome is Outcome.CONFIRMED

    def __bool__(self) -> NoReturn:
        raise TypeError("a report is neither true nor false: compare .outcome, or use .ok")

    async def settled(self, timeout: float | None = None) -> Self:
        """The report once the venue's own words have settled it. Always returns one.

        timeout: seconds to go on trying; None: until every means is spent. It is UNKNOWN still when nothing could
        tell, and its text says what could not be learnt.
        """
        if self.outcome is not Outcome.UNKNOWN or self.settle is None:
            return self
        report: Self = await self.settle(timeout)
        return report

    def raise_for_outcome(self) -> Self:
        """Return the report when CONFIRMED; else raise CancelRefused, SubmitRefused, NotSent or OutcomeUnknown."""
        match self.outcome:
            case Outcome.CONFIRMED:
                return self
            case Outcome.REFUSED:
                raise self._refused()(str(self), self)
            case Outcome.NOT_SENT:
                raise NotSent(str(self), self)
            case Outcome.UNKNOWN:
                raise OutcomeUnknown(str(self), self)

    def _refused(self) -> type[CancelRefused | SubmitRefused]:
        raise NotImplementedError

    def _what(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        reason = getattr(self, "reason", None)
        words = [self.outcome.upper(), reason.name if reason is not None else "", self.text]
        return f"{self._what()}: {' '.join(word for word in words if word)}"


@known_to_attrs
class CancelReport(_Report, frozen=True, kw_only=True, eq=False):
    """The answer to one cancel.

    request: what was asked. orders: what it took, or the order as last known. reason: set when REFUSED.
    text: the venue's words, or ours when nothing was sent. sent_at, answered_at: aware UTC; None if it did not happen.
    raw: the deciding frame, redacted (computed when looked at).
    """

    request: Cancel
    reason: CxlRejReason | None = None
    orders: tuple[OrderState, ...] = ()

    def _refused(self) -> type[CancelRefused]:
        return CancelRefused

    def _what(self) -> str:
        return f"{self.request.venue}: cancel {self.request.id}"


@known_to_attrs
class SubmitReport(_Report, frozen=True, kw_only=True, eq=False):
    """The answer to one submit or replace. order_id: the venue's id, when known; kind: what that id names."""

    request: Order | Replace
    reason: OrdRejReason | None = None
    order_id: str | None = None
    kind: IdKind = IdKind.ORDER
    client_order_id: str | None = None
    symbol: str | None = None
    cum_quantity: Decimal | None = None

    def to_cancel(self) -> Cancel:
        """The Cancel that names this order: by the venue's id when known, else by client id."""
        return _address(self.request.venue, self.order_id, self.kind, self.client_order_id, self.symbol)

    def _refused(self) -> type[SubmitRefused]:
        return SubmitRefused

    def _what(self) -> str:
        verb = "replace" if isinstance(self.request, Replace) else "submit"
        return f"{self.request.venue}: {verb} {self.client_order_id or self.order_id}"


@known_to_attrs
class Event(Struct, frozen=True, kw_only=True, gc=False):
    """Something that happened to an order. FIX ExecutionReport.

    exec_type TRADE carries last_quantity, last_price and trade_id, once per trade. cum_quantity: None when not known.
    seq: counts this Router's events of the venue, from 1. at: the venue's time where given, else ours; aware UTC.
    """

    venue: str
    order_id: str | None
    client_order_id: str | None
    exec_type: ExecType
    status: OrdStatus | None
    last_quantity: Decimal | None
    last_price: Decimal | None
    cum_quantity: Decimal | None
    trade_id: str | None
    seq: int
    at: datetime
    symbol: str | None = None
    origin: Origin = Origin.VENUE
    text: str = ""
    __attrs_attrs__: ClassVar[Any]


class SessionState(_Word):
    """Where a venue's session stands."""

    CONNECTING = "connecting"
    SYNCING = "syncing"
    READY = "ready"
    BACKING_OFF = "backing_off"
    FATAL = "fatal"
    CLOSED = "closed"


@frozen(kw_only=True)
class Health:
    """How one venue is. ok: ready, with a token that has not ended. since: of the state, aware UTC.

    outstanding: commands that still have a waiting caller; unknown: commands whose outcome is in doubt; budget_left: units
    of the rate budgets by lane, {} where nothing is limited; round_trip: quantiles (p50, p90, p99) of the last answers'
    seconds, {} before the first; garbled: frames that could not be read; token_expires_at: of a bearer token, where known.
    """

    state: SessionState
    since: datetime
    last_error: str = ""
    outstanding: int = 0
    unknown: int = 0
    budget_left: Mapping[str, float] = field(factory=dict)
    round_trip: Mapping[str, float] = field(factory=dict)
    garbled: int = 0
    token_expires_at: datetime | None = None
    warning: str = ""

    @property
    def ok(self) -> bool:
        ended = self.token_expires_at is not None and self.token_expires_at <= datetime.now(UTC)
        return self.state is SessionState.READY and not ended


def quantiles(values: Collection[float]) -> dict[str, float]:
    """p50, p90 and p99 of some seconds; {} of none."""
    if not values:
        return {}
    from statistics import quantiles as cuts  # noqa: PLC0415 - only health() needs it

    found = cuts(values, n=100, method="inclusive") if len(values) > 1 else [next(iter(values))] * 99
    return {"p50": found[49], "p90": found[89], "p99": found[98]}
