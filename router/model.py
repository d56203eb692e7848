"""What a strategy says: Order, Cancel and their enums. Names follow FIX 4.4; every venue's own words stay in its folder.

Values are checked where they are built, so that a command which exists is well-formed. Whether a venue can express it
is the venue's codec's business.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Self, TypeVar

from attrs import field, frozen

__all__ = [
    "Cancel",
    "IdKind",
    "Number",
    "Order",
    "OrderType",
    "Side",
    "TimeInForce",
    "is_minted",
    "mint_client_order_id",
    "optional_number",
    "plain",
    "process_prefix",
]

_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_DIGITS = 40  # far beyond any venue's fixed point, and a bound on what "1e999999" may cost


class Word(StrEnum):
    """An enum that also accepts its values in upper case ("BUY") and names the known ones when it refuses."""

    __hash__ = str.__hash__  # Enum's own is a call of Python code, and these are in every key

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if isinstance(value, str) and value != value.lower():
            return cls(value.lower())
        raise ValueError(f"{value!r} is no {cls.__name__}; known: {', '.join(cls)}")


class Side(Word):
    """FIX Side (54)."""

    BUY = "buy"
    SELL = "sell"


class OrderType(Word):
    """FIX OrdType (40). STOP and TAKE_PROFIT become market orders at their `stop_price`, STOP_LIMIT a limit order."""

    LIMIT = "limit"
    MARKET = "market"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"
    TWAP = "twap"


class TimeInForce(Word):
    """FIX TimeInForce (59). GTD needs `Order.expires_at`."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    GTD = "gtd"
    DAY = "day"


class IdKind(Word):
    """What an id names. On DMEX, ORDER is the order hash. A client id may name several orders."""

    ORDER = "order"
    CLIENT_ORDER = "client_order"
    STOP_ORDER = "stop_order"
    TWAP = "twap"
    CLIENT_TWAP = "client_twap"


def plain(number: Decimal) -> str:
    """The number's decimal digits, exact and never in exponent form, as venues expect them ("1000", not "1E+3")."""
    return format(number, "f")


_prefix = secrets.token_hex(8)
_counter = itertools.count(1)
_COUNTED = re.compile("[0-9]{16}")


def mint_client_order_id() -> str:
    """A new client order id: 16 hex digits of this process, then a 16-digit counter; 32 characters in all."""
    return f"{_prefix}{next(_counter):016d}"


def process_prefix() -> str:
    """What the ids begin with that this process makes."""
    return _prefix


def is_minted(client_order_id: str) -> bool:
    """Whether this process made it, so that no other order has it."""
    return client_order_id.startswith(_prefix) and _COUNTED.fullmatch(client_order_id, 16) is not None


def _new_prefix() -> None:
    global _prefix  # noqa: PLW0603 - a forked child must not mint its parent's ids
    _prefix = secrets.token_hex(8)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_prefix)


Number = Decimal | str | int


def _exact(value: object, what: str, venue: str) -> Decimal:
    """A positive, finite Decimal out of Decimal, str or int; anything else is refused, naming venue and value."""
    said = f"{venue}: {what} was {value!r}"
    if isinstance(value, float):
        raise TypeError(f"{said}, a float, whose digits are not the ones you typed; pass '{value}' or a Decimal")
    if isinstance(value, bool) or not isinstance(value, (Decimal, str, int)):
        raise TypeError(f"{said}; pass a Decimal, a str or an int")
    try:
        number = Decimal(value)
    except (InvalidOperation, ValueError):
        raise ValueError(f"{said}; that is not a decimal number") from None
    if not number.is_finite():
        raise ValueError(f"{said}; it must be finite")
    if number <= 0:
        raise ValueError(f"{said}; it must be greater than zero")
    if abs(number.adjusted()) > MAX_DIGITS or len(number.as_tuple().digits) > MAX_DIGITS:
        raise ValueError(f"{said}; more than {MAX_DIGITS} digits is no {what}")
    return Decimal(plain(number))


def optional_number(value: object, what: str, venue: str) -> Decimal | None:
    """An exact number, or None where none was given. Raises ValueError or TypeError, naming venue and value."""
    return None if value is None else _exact(value, what, venue)


W = TypeVar("W", bound=Word)


def _word(kind: type[W], value: object, what: str, venue: str) -> W:
    if type(value) is kind:
        return value
    try:
        return kind(value)  # type: ignore[arg-type]  # _missing_ judges whatever it is
    except ValueError as error:
        raise ValueError(f"{venue}: {what} was {value!r}: {error}") from None


def _text(value: object, what: str, venue: object) -> str:
    if type(value) is str and value.isascii() and value.strip():
        return value
    if not isinstance(value, str):
        raise TypeError(f"{venue}: {what} was {value!r}; it must be a str")
    if not value.strip():
        raise ValueError(f"{venue}: {what} was {value!r}; it must not be empty")
    if not value.isascii() and _SURROGATE.search(value):
        raise ValueError(f"{venue}: {what} was {value!r}; that is not text which can be sent")
    return value


def _flag(value: object, what: str, venue: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{venue}: {what} was {value!r}; it must be a bool")
    return value


def _mapping(value: object, venue: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{venue}: options was {value!r}; it must be a mapping")
    return dict(value)


@frozen(init=False)  # the hand-written __init__ names the venue in every complaint
class Order:
    """An order to be placed: FIX NewOrderSingle. Immutable, checked when built, submitted at most once.

    venue: the name it has in the Router. symbol: the venue's own spelling. quantity: base units, unless the venue's
    `options` say otherwise. price: the limit. stop_price: the trigger, whatever the venue calls it. time_in_force:
    None is the venue's natural one for the type. client_order_id: minted when left out. expires_at: aware, for GTD.
    options: a venue's own extras (leverage, take_profit, TWAP fields ...), checked by its codec.

    Numbers are kept as Decimal; str and int are accepted, float is refused because its digits are not exact.
    Raises ValueError or TypeError, naming the venue and the value.
    """

    venue: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    time_in_force: TimeInForce | None
    client_order_id: str
    post_only: bool
    reduce_only: bool
    expires_at: datetime | None
    options: Mapping[str, Any] = field(hash=False)

    def __init__(
        self,
        venue: str,
        symbol: str,
        side: Side | str,
        type: OrderType | str,  # noqa: A002 - FIX calls it OrdType; "order.type" reads best
        quantity: Number,
        price: Number | None = None,
        stop_price: Number | None = None,
        time_in_force: TimeInForce | str | None = None,
        client_order_id: str | None = None,
        post_only: bool = False,
        reduce_only: bool = False,
        expires_at: datetime | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        tif = None if time_in_force is None else _word(TimeInForce, time_in_force, "time_in_force", venue)
        self.__attrs_init__(
            venue=_text(venue, "venue", venue),
            symbol=_text(symbol, "symbol", venue),
            side=_word(Side, side, "side", venue),
            type=_word(OrderType, type, "type", venue),
            quantity=_exact(quantity, "quantity", venue),
            price=optional_number(price, "price", venue),
            stop_price=optional_number(stop_price, "stop_price", venue),
            time_in_force=tif,
            client_order_id=mint_client_order_id()
            if client_order_id is None
            else _text(client_order_id, "client_order_id", venue),
            post_only=_flag(post_only, "post_only", venue),
            reduce_only=_flag(reduce_only, "reduce_only", venue),
            expires_at=expires_at,
            options=_mapping(options, venue),
        )
        for complaint in _complaints(self):
            raise ValueError(f"{venue}: {complaint}")


_PRICED = {OrderType.LIMIT, OrderType.STOP_LIMIT}
_TRIGGERED = {OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT}


def _complaints(order: Order) -> list[str]:
    """What contradicts itself in an order, whatever the venue."""
    kind, found = order.type, []
    if kind in _PRICED and order.price is None:
        found.append(f"a {kind} order needs a price")
    if kind not in _PRICED and order.price is not None:
        found.append(f"price was {plain(order.price)}, but a {kind} order takes none")
    if kind in _TRIGGERED and order.stop_price is None:
        found.append(f"a {kind} order needs a stop_price")
    if kind not in _TRIGGERED and order.stop_price is not None:
        found.append(f"stop_price was {plain(order.stop_price)}, but a {kind} order takes none")
    if order.post_only and kind is not OrderType.LIMIT:
        found.append(f"post_only was set, but a {kind} order cannot rest")
    if (order.time_in_force is TimeInForce.GTD) != (order.expires_at is not None):
        found.append("expires_at and time_in_force=GTD go together")
    if order.expires_at is not None and order.expires_at.tzinfo is None:
        found.append(f"expires_at was {order.expires_at}, without a time zone")
    return found


@frozen(init=False)
class Cancel:
    """A request to cancel: FIX OrderCancelRequest. kind None means what the ledger knows the id as, else ORDER.

    symbol: needed by some venues; filled in from the ledger where the Router placed or saw the order.
    """

    venue: str
    id: str
    kind: IdKind | None
    symbol: str | None

    def __init__(self, venue: str, id: str, kind: IdKind | str | None = None, symbol: str | None = None) -> None:  # noqa: A002 - the contract's name
        self.__attrs_init__(
            _text(venue, "venue", venue),
            _text(id, "id", venue),
            kind if kind is None or type(kind) is IdKind else _word(IdKind, kind, "kind", venue),
            None if symbol is None else _text(symbol, "symbol", venue),
        )
