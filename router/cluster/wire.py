"""What strategies and gateways say to each other: commands and replies as Structs, and as bytes. Pure.

Rules:

1. A command has an operation id, made by the strategy's process; a deadline, by the gateway's clock; and the tenure that it is for.
2. What comes in is hostile: sizes are bounded, unknown fields are refused, and an Order or Cancel is built by its own constructor.
3. `Refused` is a promise: nothing of this operation was done or will be done by whoever says so, however late it may arrive again.
4. What is long (thousands of orders) goes packed. How long it is unpacked is bounded as well.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from router.errors import Garbled
from router.massreport import VenueCancelReport
from router.model import Cancel, IdKind, Order, OrderType, Side, TimeInForce, plain
from router.redact import Redactor, Sealed
from router.report import (
    CancelReport,
    CxlRejReason,
    Health,
    OrderState,
    OrdRejReason,
    OrdStatus,
    Origin,
    Outcome,
    Replace,
    SubmitReport,
)

__all__ = [
    "MOST_BYTES",
    "Address",
    "AnyCommand",
    "CancelAll",
    "Cancelled",
    "Cancelling",
    "Command",
    "Facts",
    "Listed",
    "Mistaken",
    "OpenOrders",
    "Owned",
    "Recovered",
    "Recovering",
    "Refused",
    "Replacing",
    "Reply",
    "Settleable",
    "Settling",
    "Standing",
    "Submitting",
    "Terms",
    "Told",
    "command",
    "encode",
    "reply",
    "standing",
]

MOST_BYTES: Final = 1_000_000
"""Of one message: the server's own limit by default."""
PACKED_FROM: Final = 100_000  # bytes
MOST_UNPACKED: Final = 32_000_000  # bytes: some hundred thousand orders
MOST_KNOWN: Final = 20_000  # ids of own orders that go with a cancel_all
MOST_RAW: Final = 4_000  # characters of a venue's frame that go with a report

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Word = Annotated[str, Meta(max_length=64)]
Number = Annotated[str, Meta(min_length=1, max_length=100)]
Op = Annotated[str, Meta(pattern="^[0-9a-f]{16}[0-9]{16}$")]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Clock = Annotated[float, Meta(ge=0, le=1e11)]


# -- what a strategy says


class Terms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An Order, but for its venue."""

    symbol: Id
    side: Side
    type: OrderType
    quantity: Number
    client_order_id: Id
    price: Number | None = None
    stop_price: Number | None = None
    time_in_force: TimeInForce | None = None
    post_only: bool = False
    reduce_only: bool = False
    expires_at: datetime | None = None
    options: dict[str, Any] = {}

    @classmethod
    def of(cls, order: Order) -> Terms:
        """Raises TypeError for options that JSON has no words for."""
        return cls(
            symbol=order.symbol,
            side=order.side,
            type=order.type,
            quantity=plain(order.quantity),
            client_order_id=order.client_order_id,
            price=_text(order.price),
            stop_price=_text(order.stop_price),
            time_in_force=order.time_in_force,
            post_only=order.post_only,
            reduce_only=order.reduce_only,
            expires_at=order.expires_at,
            options=_builtins(order.options),
        )

    def order(self, venue: str) -> Order:
        """Raises ValueError or TypeError, as an Order does."""
        return Order(venue, **{name: getattr(self, name) for name in self.__struct_fields__})


class Address(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A Cancel, but for its venue."""

    id: Id
    kind: IdKind | None = None
    symbol: Id | None = None

    @classmethod
    def of(cls, cancel: Cancel) -> Address:
        return cls(cancel.id, cancel.kind, cancel.symbol)

    def cancel(self, venue: str) -> Cancel:
        return Cancel(venue, self.id, self.kind, self.symbol)


class Command(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="verb", tag="command"
):
    """What all commands have. deadline: the gateway's wall clock, in seconds since 1970."""

    op: Op
    tenure: Word
    deadline: Clock


class Submitting(Command, frozen=True, tag="submit"):
    order: Terms


class Cancelling(Command, frozen=True, tag="cancel"):
    """of: the operation that submits the very Order which is to be cancelled; None for an address alone. placed: the tenure which
    that operation was last sent to, where it is known.
    """

    cancel: Address
    of: Op | None = None
    placed: Word = ""


class Replacing(Command, frozen=True, tag="replace"):
    """of, placed: as in Cancelling."""

    target: Address
    of: Op | None = None
    placed: Word = ""
    quantity: Number | None = None
    price: Number | None = None
    stop_price: Number | None = None
    allow_gap: bool = False


class CancelAll(Command, frozen=True, tag="cancel_all"):
    """own: only this strategy's orders. known: the ids (the venue's and client's) of those that it knows to be its own."""

    symbol: Id | None = None
    own: bool = True
    known: Annotated[tuple[Id, ...], Meta(max_length=MOST_KNOWN)] = ()


class OpenOrders(Command, frozen=True, tag="open_orders"):
    pass


Settleable = Submitting | Cancelling | Replacing


class Settling(Command, frozen=True, tag="settle"):
    """Asks what became of a command that was sent before, and never executes it. sent_at: as the gateway's clock was then.
    timeout: seconds after which it is told as it stands. op: of this question, and new with each.

    All that is said of the command is Told, also that it never came and never will be executed (NOT_SENT). Refused is of the
    question alone (expired, of another tenure, fenced), and says nothing of the command.
    """

    command: Settleable
    sent_at: Clock
    timeout: Seconds


class Recovering(Command, frozen=True, tag="recovered"):
    """Asks what became of this strategy's commands that the gateway's journal left in doubt."""

    timeout: Seconds


AnyCommand = Settleable | CancelAll | OpenOrders | Settling | Recovering
_COMMANDS: Final[msgspec.json.Decoder[AnyCommand]] = msgspec.json.Decoder(AnyCommand)


# -- what a gateway says


class Facts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A report, but for the request."""

    outcome: Outcome
    status: OrdStatus | None = None
    reason: int | None = None
    text: str = ""
    origin: Origin = Origin.CLIENT
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    journaled: bool | None = None
    raw: str = ""
    orders: tuple[OrderState, ...] = ()
    order_id: str | None = None
    kind: IdKind = IdKind.ORDER
    client_order_id: str | None = None
    symbol: str | None = None
    cum_quantity: Decimal | None = None

    @classmethod
    def of(cls, report: CancelReport | SubmitReport) -> Facts:
        same = ("outcome", "status", "text", "origin", "sent_at", "answered_at", "journaled")
        own = ("orders",) if isinstance(report, CancelReport) else _SUBMITS
        facts = {name: getattr(report, name) for name in (*same, *own)}
        reason = None if report.reason is None else int(report.reason)
        return cls(**facts, reason=reason, raw=report.raw[:MOST_RAW])

    def cancel_report(self, request: Cancel, settle: Any = None) -> CancelReport:
        """As the strategy hears it. settle: how it goes on learning, if UNKNOWN."""
        reason = None if self.reason is None else CxlRejReason(self.reason)
        return CancelReport(request=request, reason=reason, orders=self.orders, **self._common(settle))

    def submit_report(self, request: Order | Replace, settle: Any = None) -> SubmitReport:
        """The same of a submit or replace."""
        reason = None if self.reason is None else OrdRejReason(self.reason)
        own = {name: getattr(self, name) for name in _SUBMITS}
        return SubmitReport(request=request, reason=reason, **own, **self._common(settle))

    def _common(self, settle: Any) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "status": self.status,
            "text": self.text,
            "origin": self.origin,
            "sent_at": self.sent_at,
            "answered_at": self.answered_at,
            "journaled": self.journaled,
            "frame": Sealed(self.raw.encode(), _AS_IT_IS) if self.raw else None,
            "settle": settle if self.outcome is Outcome.UNKNOWN else None,
        }


_SUBMITS: Final = ("order_id", "kind", "client_order_id", "symbol", "cum_quantity")
_AS_IT_IS: Final = Redactor()


class _Said(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="says"):
    pass


class Told(_Said, frozen=True, tag="told"):
    """A report. spent: UNKNOWN, and waiting longer tells nothing more."""

    report: Facts
    spent: bool = False


class Refused(_Said, frozen=True, tag="refused"):
    """Rule 3. tenure: who owns the venue now, where that is known to be another."""

    text: str
    tenure: str = ""


class Listed(_Said, frozen=True, tag="listed"):
    orders: tuple[OrderState, ...] = ()


class Cancelled(_Said, frozen=True, tag="cancelled"):
    """One venue's part of a cancel_all."""

    report: VenueCancelReport


class Recovered(_Said, frozen=True, tag="recovered"):
    """Reports with the commands that they are of."""

    reports: tuple[tuple[Settleable, Facts], ...] = ()


class Mistaken(_Said, frozen=True, tag="mistaken"):
    """What the call raises. kind: the name of an exception of router.errors, ValueError or TypeError."""

    kind: str
    text: str


Reply = Told | Refused | Listed | Cancelled | Recovered | Mistaken
_REPLIES: Final[msgspec.json.Decoder[Reply]] = msgspec.json.Decoder(Reply)


class Owned(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a gateway stands to one venue. tenure: "" while it stands by. fenced: its lease has run out, and may be renewed."""

    tenure: str = ""
    fenced: bool = False
    health: Health | None = None


class Standing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one gateway serves. now: its wall clock. ttl: of its leases, in seconds."""

    gateway: Word
    now: Clock
    ttl: Seconds
    venues: Mapping[str, Owned] = {}


_STANDINGS: Final = msgspec.json.Decoder(Standing)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="string")


def encode(message: Command | Reply | Standing) -> bytes:
    """Raises TypeError for what JSON has no words for (an Order's options), ValueError for what is too long."""
    body = _ENCODER.encode(message)
    if len(body) > PACKED_FROM:
        body = zlib.compress(body, 1)
    if len(body) > MOST_BYTES:
        raise ValueError(f"a message of {len(body)} bytes is too long; {MOST_BYTES} go over NATS")
    return body


T = TypeVar("T")


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    if len(body) > MOST_BYTES:
        raise Garbled(f"a message of {len(body)} bytes is too long")
    try:
        return decoder.decode(_unpacked(body))
    except (msgspec.DecodeError, RecursionError) as error:
        raise Garbled(f"a message that cannot be read: {error}") from None


def _unpacked(body: bytes) -> bytes:
    """Rule 4: JSON begins with a brace, and what is packed does not."""
    if body[:1] == b"{":
        return body
    try:
        found = zlib.decompressobj().decompress(body, MOST_UNPACKED + 1)
    except zlib.error as error:
        raise Garbled(f"a message that cannot be read: {error}") from None
    if len(found) > MOST_UNPACKED:
        raise Garbled("a message that is too long when it is unpacked")
    return found


def command(body: bytes) -> AnyCommand:
    """Raises Garbled."""
    return _decoded(_COMMANDS, body)


def reply(body: bytes) -> Reply:
    """Raises Garbled."""
    return _decoded(_REPLIES, body)


def standing(body: bytes) -> Standing:
    """Raises Garbled."""
    return _decoded(_STANDINGS, body)


def _builtins(options: Mapping[str, Any]) -> Any:
    try:
        return msgspec.to_builtins(options, builtin_types=(datetime,))
    except RecursionError:
        raise TypeError("options are nested too deeply, or in themselves") from None


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)
