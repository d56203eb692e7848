"""What a venue author writes: a Spec (the venue as data) and a Codec (pure functions), and the Adapter behind the Router.

A codec never awaits, never sees a socket, a clock, a log or randomness: it is given `now` and `entropy`. Whatever it
raises while reading a frame becomes Garbled in `read()`, so venue code indexes its messages plainly.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import field, frozen
from msgspec import Struct
from msgspec.structs import replace

from router.errors import CannotExpress, Garbled
from router.model import MAX_DIGITS, Cancel, IdKind, Order, OrderType, Side
from router.pacing import Budget
from router.redact import Sealed, Secret, redact
from router.report import CxlRejReason, ExecType, Health, OrdRejReason, OrdStatus, Origin, Outcome, Replace

if TYPE_CHECKING:
    from router.operation import Operation

__all__ = [
    "Adapter",
    "Answer",
    "Budget",
    "Codec",
    "Command",
    "Effect",
    "Execution",
    "Fence",
    "Frame",
    "Intent",
    "Item",
    "Key",
    "Listener",
    "Reading",
    "Renewal",
    "Retry",
    "Snapshot",
    "Spec",
    "Via",
    "Wire",
    "concerns",
    "read",
    "too_deep",
]

Command = Order | Cancel | Replace
Key = tuple[str, Hashable]
"""(verb, name): what a request is called in its answer. Names are compared, never parsed."""


ORDER_KINDS = frozenset({IdKind.ORDER, IdKind.STOP_ORDER, IdKind.TWAP})
"""The kinds that name an order by the venue's own id."""


NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
NO_FRAME: Final = Sealed(b"", redact)


class Effect(StrEnum):
    """What a repeat would do. READ: nothing. IDEMPOTENT: the same thing. ONCE: possibly something new."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


class Via(StrEnum):
    """How a Wire travels."""

    SOCKET = "socket"
    HTTP = "http"


class Retry(StrEnum):
    """Why the venue says that a request was not executed, and so what must happen before a new attempt."""

    TOKEN = "token"  # noqa: S105 - a word, not a secret
    LATER = "later"


class Wire(Struct, frozen=True, kw_only=True):
    """One message out. Only the codec looks inside the body.

    keys: the names that its answer may use. acknowledged: a bare receipt is its whole answer. bearer: the session puts
    the token on, as the Spec says. order_id: the id that the order will have, where we choose it. secrets: parts of a
    login's body that must never be shown. weight: what it costs of the venue's rate budget. nonce: the number in it that must
    never be used twice, where the venue has such: a journal then keeps it before the first byte leaves, also of a cancel.
    headers, method and path are for HTTP; path is relative to the venue's base URL.
    """

    keys: tuple[Key, ...] = ()
    body: bytes = b""
    effect: Effect
    via: Via = Via.SOCKET
    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, str] = NOTHING
    bearer: bool = False
    acknowledged: bool = False
    order_id: str | None = None
    secrets: tuple[str, ...] = ()
    weight: float = 1.0
    nonce: str | None = None

    def __repr__(self) -> str:
        return f"<Wire {self.via} {self.effect} {self.keys} of {len(self.body)} bytes>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("", repr(self))]  # else rich shows every field


class Frame(Struct, frozen=True, kw_only=True):
    """One message in. wire, status and headers (names in lower case) are set for an HTTP answer."""

    body: bytes
    wire: Wire | None = None
    status: int = 0
    headers: Mapping[str, str] = NOTHING

    def __repr__(self) -> str:
        return f"<Frame {self.status or 'message'} of {len(self.body)} bytes>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("", repr(self))]


class Answer(Struct, frozen=True, kw_only=True):
    """What a frame says of a request.

    keys: from most to least specific; it goes to the oldest outstanding Wire that holds the first key found. Empty:
    the request of an HTTP answer. outcome: None is a receipt, which promises an answer. final: False is a part, after
    which a set-cancel (or a receipt) is completed by reading. all: it goes to every Wire that holds one of the keys.
    sole: the frame names no request; it counts only for the sole outstanding Wire whose verb is in keys (no keys: any).
    rivals: verbs of which only one may be outstanding under these keys, or nothing is settled.
    owed: the frame is about the order, and so settles the request; what the venue says to the request itself is still to come.
    status: of the order named. reasons: why it was refused, as a cancel and as an order. retry: the venue says that it
    was not executed; after: seconds to wait before a new attempt. then: a Wire whose answer completes this one.
    """

    keys: tuple[Key, ...] = ()
    outcome: Outcome | None = None
    final: bool = True
    all: bool = False
    sole: bool = False
    owed: bool = False
    rivals: frozenset[str] = frozenset()
    status: OrdStatus | None = None
    cancel_reason: CxlRejReason = CxlRejReason.OTHER
    order_reason: OrdRejReason = OrdRejReason.OTHER
    text: str = ""
    order_id: str | None = None
    client_order_id: str | None = None
    kind: IdKind = IdKind.ORDER
    retry: Retry | None = None
    after: float | None = None
    then: Wire | None = None


class Execution(Struct, frozen=True, kw_only=True, gc=False):
    """What a frame says of an order, whoever asked. Also a row of a Snapshot (exec_type ORDER_STATUS).

    cum_quantity: set only where the venue tells it. leaves_quantity: what is still open. replaces: the id that this
    order had before a modify changed it. origin: set where the venue tells who caused it. at: the venue's time.
    """

    exec_type: ExecType
    order_id: str
    kind: IdKind = IdKind.ORDER
    status: OrdStatus | None = None
    client_order_id: str | None = None
    symbol: str | None = None
    side: Side | None = None
    type: OrderType | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    post_only: bool | None = None
    reduce_only: bool | None = None
    leaves_quantity: Decimal | None = None
    cum_quantity: Decimal | None = None
    last_quantity: Decimal | None = None
    last_price: Decimal | None = None
    trade_id: str | None = None
    replaces: str | None = None
    origin: Origin | None = None
    at: datetime | None = None
    text: str = ""


class Snapshot(Struct, frozen=True, kw_only=True, gc=False):
    """A page of open orders, or the answer to a lookup.

    next: the cursor of the page after it; step: the same for venues that page by offset: how many rows further the next
    page begins (0: this was the last). tail: the id of the last row of each list in the page, None where that list has
    ended; head: of the first. The next page must begin with it: so rows that moved between two pages are noticed.
    """

    rows: tuple[Execution, ...]
    keys: tuple[Key, ...] = ()
    next: str | None = None
    step: int = 0
    head: tuple[str | None, ...] = ()
    tail: tuple[str | None, ...] = ()


class Renewal(Struct, frozen=True, kw_only=True):
    """A fresh bearer token. due: the wall time to renew it at; expires: when it ends; wire: the request that renews."""

    token: Secret
    due: float | None = None
    expires: float | None = None
    wire: Wire | None = None


Item = Answer | Execution | Snapshot | Renewal


@frozen(kw_only=True)
class Spec:
    """A venue as data.

    url: the socket's, None for a venue without one. http_url: of its REST API, None for none. deadline: seconds that a
    command has by default. quiet_period: seconds after which an order that the venue doesn't show was not placed;
    longer than its worst processing time. heartbeat: seconds between our pings. bearer: header and prefix of the token.
    budget: how fast an account may send; cancel_budget: how fast cancels, where the venue counts them apart.

    Capabilities, each with its meaning: cancel_kinds: id kinds that a cancel may use. set_kinds: those that may name
    several orders. needs_symbol: id kinds whose cancel needs a symbol. order_types: what submit can express.
    lists: the id kinds that list_orders() shows (empty: it cannot list). replaces: the id kinds that have a native
    replace. replace_is_new: a replace makes a new order of what is left, so what is filled must be known just before.
    mass_cancels: the id kinds that the venue's own cancel-all takes for certain, of all symbols of the account (empty: it
    has none). tells_trades: every trade is told as it happens, so counting them gives what is filled. docs: sentences for
    the reader, by capability.
    """

    title: str
    docs_url: str
    url: str | None = field(default=None, repr=lambda url: repr(url and redact(url)))
    http_url: str | None = field(default=None, repr=lambda url: repr(url and redact(url)))
    deadline: float = 5.0
    login_timeout: float = 10.0
    http_timeout: float = 30.0
    quiet_period: float = 10.0
    heartbeat: float = 1.0
    max_frame: int = 4 * 2**20
    bearer: tuple[str, str] = ("Authorization", "Bearer ")
    budget: Budget | None = None
    cancel_budget: Budget | None = None
    cancel_kinds: frozenset[IdKind]
    set_kinds: frozenset[IdKind] = frozenset()
    needs_symbol: frozenset[IdKind] = frozenset()
    order_types: frozenset[OrderType] = frozenset()
    lists: frozenset[IdKind] = frozenset()
    replaces: frozenset[IdKind] = frozenset()
    replace_is_new: bool = False
    mass_cancels: frozenset[IdKind] = frozenset()
    tells_trades: bool = False
    docs: Mapping[str, str] = field(factory=dict)

    @property
    def unlisted(self) -> frozenset[IdKind]:
        """The kinds of order that may be open here and that no list shows: while there are any, nothing proves flatness."""
        return (self.cancel_kinds & ORDER_KINDS) - self.lists


class Codec(Protocol):
    """One venue's words. Subclass it: everything but `spec`, `encode` and `decode` has a default."""

    @property
    def spec(self) -> Spec: ...

    def encode(self, command: Command, now: float) -> Wire:
        """The message for a command, or CannotExpress. now: wall time in seconds.

        Of a cancel it may be asked again with the same arguments, for a repeat, and gives the same bytes then.
        """
        ...

    def decode(self, frame: Frame, now: float) -> Iterable[Item]:
        """Everything a frame says; () for one that says nothing of orders."""
        ...

    def hello(self, now: float, entropy: bytes) -> Iterable[Wire]:  # noqa: ARG002 - a default
        """What to say after connecting: token, login, subscriptions; sent one by one, each answered. entropy: 16 bytes."""
        return ()

    def list_orders(self, now: float, after: str | None = None) -> Wire | None:  # noqa: ARG002 - a default
        """The request for a page of open orders; None: the venue cannot list."""
        return None

    def lookup(self, cancel: Cancel, now: float) -> Wire | None:  # noqa: ARG002 - a default
        """The request that asks for one order by its address; None: the venue has none."""
        return None

    def remaining(self, command: Command, rows: Sequence[Execution]) -> Sequence[Execution]:
        """The rows that this command has still open."""
        return [row for row in rows if concerns(command, row)]

    def cancel_all(self, now: float) -> Wire | None:  # noqa: ARG002 - a default
        """The venue's own cancel of everything that Spec.mass_cancels names; None: it has none."""
        return None

    def replacement(self, order: Order, replaces: str) -> Order:
        """Where a replace is a new order (Spec.replace_is_new): the order that takes the place of the one of this id."""
        raise CannotExpress(f"{order.venue} has no order that takes another's place ({replaces})")

    def goodbye(self, now: float) -> Iterable[Wire]:  # noqa: ARG002 - a default
        """What to say before a connection is closed on purpose; sent one by one, each answered."""
        return ()

    def canonical(self, name: str) -> str:
        """The one spelling of an id that may be written in several."""
        return name

    def secrets(self) -> Iterable[str]:
        """Texts that must never be shown, exactly as they are."""
        return ()


def concerns(command: Command, row: Execution) -> bool:
    """Whether an open order is one that the command names."""
    if row.status is not None and row.status.is_terminal:
        return False
    if isinstance(command, Order):
        return row.client_order_id == command.client_order_id
    target = command if isinstance(command, Cancel) else command.target
    if target.kind in {IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP}:
        named = row.client_order_id == target.id
        return (
            named
            and target.symbol in {None, row.symbol}
            and (row.kind is IdKind.TWAP) == (target.kind is IdKind.CLIENT_TWAP)
        )
    return row.order_id == target.id


def read(codec: Codec, frame: Frame, now: float) -> list[Item]:
    """Decode the whole frame, or raise Garbled: the one place where a codec's exceptions end."""
    fault = _fault(frame.body)
    if fault:
        if frame.wire is None:
            raise Garbled(f"a frame of {len(frame.body)} bytes is {fault}")
        frame = replace(frame, body=b"<unreadable>")  # the status code decides all the same
    try:
        items = list(codec.decode(frame, now))
        _check(items)
    except Exception as error:
        raise Garbled(f"{type(error).__name__} while reading a frame of {len(frame.body)} bytes") from error
    return items


def _fault(body: bytes) -> str:
    """Why a body is not even to be parsed, or ""."""
    if not body.isascii():
        try:
            body.decode()  # a parser may not look at what it skips, and a spoilt name there changes what the rest means
        except UnicodeDecodeError:
            return "no text"
    return f"nested deeper than {MAX_DEPTH}" if too_deep(body) else ""


def _check(items: Iterable[Item]) -> None:
    """What later code relies on: keys can be looked up, and no number is one to choke on ("NaN", "1e999999")."""
    checked = None
    for item in items:
        if isinstance(item, Answer):
            hash(item.keys)
        elif isinstance(item, Execution):
            checked = item
            _check_numbers(item)
        elif isinstance(item, Snapshot):
            hash(item.keys)
            for row in item.rows:
                if row is not checked:  # a frame of one order says it as what happened and as what is
                    _check_numbers(row)


def _check_numbers(row: Execution) -> None:
    for number in (row.quantity, row.leaves_quantity, row.cum_quantity, row.last_quantity):
        if number is not None and not (number.is_finite() and number.adjusted() in _SANE and number >= 0):
            raise ValueError("a quantity is negative or out of bounds")
    for number in (row.price, row.stop_price, row.last_price):
        if number is not None and not (number.is_finite() and number.adjusted() in _SANE):
            raise ValueError("a price is out of bounds")


_SANE = range(-MAX_DIGITS, MAX_DIGITS + 1)


MAX_DEPTH = 64
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def too_deep(body: bytes) -> bool:
    """Whether JSON is nested so deep that parsing it could exhaust the C stack. Linear in the body.

    The interpreter's own recursion limit is no defence: importing eth-account raises it for the whole process, and then
    a hundred thousand brackets end the process instead of raising.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(unescaped.split(b'"')[::2])
    depth = 0
    for byte in outside.translate(None, _NOT_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


class Reading(Struct, frozen=True, kw_only=True):
    """All open orders as the venue listed them. asked: monotonic time at which the first page was asked for."""

    asked: float
    rows: tuple[Execution, ...]
    changes: int = 0
    """The ledger's count of changes when it was asked for."""


class Intent(Struct, frozen=True, kw_only=True):
    """What is about to be sent: what a repeat of it would do, its nonce if it has one, and its bytes, redacted when looked at."""

    effect: Effect
    frame: Sealed = NO_FRAME
    nonce: str | None = None


class Listener(Protocol):
    """What an Adapter tells the Router, in this order within one frame."""

    @property
    def keeps_intents(self) -> bool:
        """Whether intend() does more than go: where it does not, it need not be asked."""

    def intend(self, operation: Operation, intent: Intent, go: Callable[[], None]) -> None:
        """A command is ready to be sent: go() is called when it may leave, now or once it is in the journal, or never."""

    def changes(self) -> int:
        """How many changes of orders there have been: a Reading notes it when it asks."""

    def bind(self, operation: Operation, answer: Answer, shown: Execution | None = None) -> bool:
        """An answer named the order of a submit or replace: the ledger learns its id before anything is applied to it.

        shown: the order as the same frame shows it, where the answer was only found by its keys. False: that is known to be
        another order, so the answer is not for this operation.
        """

    def apply(self, execution: Execution, *, asked: bool) -> None:
        """Something happened to an order. asked: an outstanding cancel of ours is answered by the same frame."""

    def answered(self, operation: Operation, answer: Answer, raw: Sealed) -> None:
        """A request was answered, wholly or in part."""

    def lost(self, operation: Operation) -> None:
        """The connection that carried this request is gone, and its answer with it."""

    def gap(self) -> None:
        """Executions may have been missed."""

    def resync(self, reading: Reading) -> None:
        """The open orders after a reconnection."""


Fence = Callable[[], str]
"""Why nothing that may change anything may leave now, or ""."""


class Adapter(Protocol):
    """A venue as the Router sees it. Session is the one for codecs; a venue that fits no codec implements this whole."""

    fence: Fence | None
    """Set before open() by whoever may lose the account to another process; None: nobody may. It is asked directly before
    each write. While it says why not, commands wait as they do for a connection, and no login is sent; reads may go on.
    """

    def unfenced(self) -> None:
        """The fence is open again: what has waited may go."""

    @property
    def spec(self) -> Spec: ...

    @property
    def account(self) -> str:
        """A name of the account that never changes and shows no secret; "" where it is not known. A journal is kept by it."""

    @property
    def deadline(self) -> float: ...

    async def open(self, name: str, listener: Listener, *, strict: bool) -> None:
        """Connect and log in; returns when ready. Raises VenueError. Not strict: goes on trying in the background."""

    async def close(self) -> None: ...

    def send(self, operation: Operation) -> None:
        """Take a command on its way. Never blocks: the operation's callers hear of it by its deadline at the latest.

        Before the first byte may leave, the listener's intend() is asked.
        """

    def watch(self, operation: Operation) -> None:
        """A further caller with its own deadline has joined this operation."""

    async def read(self, since: float) -> Reading:
        """All open orders, asked for after `since` (monotonic). Raises CannotList or ReadFailed."""

    def remaining(self, command: Command, rows: Sequence[Execution]) -> Sequence[Execution]:
        """The rows that this command has still open."""

    async def lookup(self, cancel: Cancel) -> tuple[Execution, ...] | None:
        """Ask for one order; what the venue says is applied before this returns. None: it could not be asked."""

    def replacement(self, order: Order, replaces: str) -> Order:
        """As Codec.replacement. Raises CannotExpress."""

    @property
    def is_away(self) -> bool:
        """Whether there is no connection now, and one is being sought."""

    def repeat(self, operation: Operation) -> None:
        """Send a command in doubt once more, if that is due and can do nothing new."""

    def is_due(self, operation: Operation) -> bool:
        """Whether such a repeat is still to go out."""

    async def cancel_all(self, timeout: float) -> Answer:
        """Give the venue's own cancel-all command once, as Spec.mass_cancels says; the venue's answer to the command.

        Raises CannotExpress where there is none, and TransportError, whose `sent` tells whether it may have been executed.
        """

    def canonical(self, name: str) -> str:
        """The one spelling of an id that may be written in several."""

    def health(self) -> Health: ...
