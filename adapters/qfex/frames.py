"""What QFEX says: its frames, each read into answers for requests and executions for the ledger. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from adapters.qfex import tables
from adapters.qfex.messages import Err, Fill, Message, OpenOrders, OrderRow, StopRow, TwapRow
from adapters.qfex.names import (
    ADD,
    CANCEL,
    CANCEL_SET,
    LOGIN,
    MODIFY,
    QUERY,
    SUBSCRIBE,
    echoed_key,
    modify_by_client,
    shape,
)
from router.model import IdKind, OrderType, Side
from router.report import CxlRejReason, ExecType, OrdStatus, Origin, Outcome
from router.venue import Answer, Execution, Item, Key, Retry, Snapshot, too_deep

__all__ = ["read_frame"]

SHORT_PAGE = 100  # fewer rows than this are the last page, whatever the server's own limit may be

# looked up once: a member of an enum costs as much as a small call
CANCELED, CONFIRMED = OrdStatus.CANCELED, Outcome.CONFIRMED
ORDER, STOP_ORDER = IdKind.ORDER, IdKind.STOP_ORDER

_EXEC_TYPES = {"ACK": ExecType.NEW, "MODIFIED": ExecType.REPLACED}
_RIVALS = frozenset({CANCEL, CANCEL_SET, QUERY, MODIFY})

_message = msgspec.json.Decoder(Message)
_messages = msgspec.json.Decoder(list[Message])
_echo = msgspec.json.Decoder(float_hook=Decimal)


def read_frame(body: bytes) -> Iterable[Item]:
    """Everything that a frame says; a frame may be an array of messages."""
    if body.lstrip()[:1] == b"[":
        return [item for message in _messages.decode(body) for item in _items(message)]
    return _items(_message.decode(body))


def _items(message: Message) -> Iterable[Item]:
    for name, reader in _READERS:
        said = getattr(message, name)
        if said is not None:
            return reader(said)
    if message.error_code is not None:
        return _refusal(Err(message.error_code, message.message, message.incoming_message))
    return _login(message)


def _login(message: Message) -> Iterator[Item]:
    channels = [message.subscribed] if isinstance(message.subscribed, str) else message.subscribed or []
    for channel in channels:
        yield Answer(keys=((SUBSCRIBE, channel),), outcome=Outcome.CONFIRMED)
    if _is_welcome(message):
        yield Answer(keys=((LOGIN, ""),), outcome=Outcome.CONFIRMED)
    elif message.authenticated is False or (message.type, message.result) == ("auth", "failed"):
        yield Answer(keys=((LOGIN, ""),), outcome=Outcome.REFUSED, text="not authenticated")


def _is_welcome(message: Message) -> bool:
    """Every form of success that was documented or seen; it counts only while a login is unanswered."""
    said = message.authenticated
    return (
        said is True
        or isinstance(said, dict)
        or (isinstance(said, str) and said.lower() == "true")
        or isinstance(message.authenticated_response, dict)
        or (message.type, message.result) == ("auth", "success")
        or message.type == "authenticated"
        or message.status in {"ok", "authenticated"}
    )


def _order_response(row: OrderRow) -> list[Item]:
    """An order's new status: an event for the ledger, and the answer to whoever asked for it."""
    happened = _happened(row)
    if happened is not None:
        return [happened, Snapshot(rows=(happened,), keys=_looked_up(row)), *_answers(row, happened.status)]
    if row.status == "NO_SUCH_ORDER":
        return [Snapshot(rows=(), keys=_looked_up(row)), _refused(row)]
    if row.status in tables.REFUSALS:
        return [_refused(row)]
    return [_answer(row, _names(row), outcome=Outcome.UNKNOWN, final=False, text=f"unknown status {row.status!r}")]


def _happened(row: OrderRow) -> Execution | None:
    """What the status says of the order; None for a refusal, and for a word that we don't know."""
    if row.status in tables.ENDED:
        ended = _execution(row, ExecType.CANCELED, CANCELED)
        return replace(ended, origin=Origin.VENUE) if row.status == "CANCELLED_STP" else ended
    if row.status == "FILLED":
        left = row.quantity_remaining
        return _execution(row, ExecType.ORDER_STATUS, OrdStatus.PARTIALLY_FILLED if left != 0 else OrdStatus.FILLED)
    exec_type = _EXEC_TYPES.get(row.status)
    return None if exec_type is None else _execution(row, exec_type, OrdStatus.NEW)


def _answers(row: OrderRow, status: OrdStatus | None) -> list[Answer]:
    """Whose request it answers: the modify, or the add and, when the order has ended, every cancel."""
    if row.status == "MODIFIED":
        return [_answer(row, ((MODIFY, row.order_id), _modify_key(row)), outcome=CONFIRMED)]
    added = _answer(row, _add_keys(row), outcome=CONFIRMED, status=status)  # taken, whatever has become of it since
    if status is CANCELED:
        return [added, *_cancelled(row)]
    if status is OrdStatus.FILLED:
        return [added, _too_late(row.order_id, row.status)]
    return [added]


def _looked_up(row: OrderRow) -> tuple[Key, ...]:
    """The get_order that this may answer, as one client of the venue has seen; it may have asked by either id."""
    by_id: tuple[Key, ...] = ((QUERY, ("order", row.order_id)),) if row.order_id else ()
    return (*by_id, (QUERY, ("order", row.client_order_id))) if row.client_order_id else by_id


def _answer(
    row: OrderRow,
    keys: tuple[Key, ...],
    *,
    outcome: Outcome,
    status: OrdStatus | None = None,
    final: bool = True,
    all: bool = False,  # noqa: A002 - Answer's name
    text: str = "",
) -> Answer:
    """What the row says to the requests of these names."""
    return Answer(
        keys=keys,
        outcome=outcome,
        final=final,
        all=all,
        status=status,
        text=text or row.status,
        order_id=row.order_id,
        client_order_id=row.client_order_id or None,
        kind=STOP_ORDER if row.type in tables.STOPS else ORDER,
    )


def _add_keys(row: OrderRow) -> tuple[Key, ...]:
    """By client id; by its terms only where the venue leaves the echo empty, as it does for stops."""
    if row.client_order_id:
        return ((ADD, row.client_order_id),)
    return ((ADD, shape(row.symbol, row.side, row.type, row.price, row.quantity)),)


def _modify_key(row: OrderRow) -> Key:
    """A modify whose order has a new id: by client id; by its new terms only where the venue leaves the echo empty."""
    if row.client_order_id:
        return modify_by_client(row.client_order_id)
    return MODIFY, shape(row.symbol, row.side, None, row.price, row.quantity)


def _too_late(order_id: str, text: str) -> Answer:
    return Answer(
        keys=((CANCEL, order_id),),
        all=True,
        owed=True,
        outcome=Outcome.REFUSED,
        cancel_reason=CxlRejReason.TOO_LATE_TO_CANCEL,
        status=OrdStatus.FILLED,
        text=text,
    )


def _cancelled(row: OrderRow) -> tuple[Answer, Answer]:
    """Every cancel of this order is done; a cancel of the set it belongs to has taken one more."""
    return (
        _answer(row, ((CANCEL, row.order_id),), outcome=CONFIRMED, all=True, status=CANCELED),
        _answer(row, _sets(row), outcome=CONFIRMED, all=True, status=CANCELED, final=False),
    )


def _sets(row: OrderRow) -> tuple[Key, ...]:
    """The set-cancels that this order may belong to. A TWAP is cancelled by its id and answered as an order of that id."""
    client_id, symbol = row.client_order_id, row.symbol
    by_id: tuple[Key, ...] = ((CANCEL_SET, ("twap_id", row.order_id, symbol)),) if row.order_id else ()
    if not client_id:
        return by_id
    return (
        (CANCEL_SET, ("client_order_id", client_id, symbol)),
        *by_id,
        (CANCEL_SET, ("client_twap_id", client_id, symbol)),
    )


def _names(row: OrderRow) -> tuple[Key, ...]:
    """All requests that a refusal of this order may answer, the most specific first."""
    by_id: tuple[Key, ...] = (
        (CANCEL, row.order_id),
        (MODIFY, row.order_id),
        (CANCEL_SET, ("twap_id", row.order_id, row.symbol)),
    )
    misplaced = (
        (CANCEL_SET, ("client_order_id", row.order_id, row.symbol)),
        (CANCEL_SET, ("client_twap_id", row.order_id, row.symbol)),
    )
    by_client = _sets(row) if row.status == "NO_SUCH_ORDER" else ()  # else it may be of another order with that id
    return by_id + _add_keys(row) + by_client + misplaced


def _refused(row: OrderRow) -> Answer:
    refusal = tables.REFUSALS[row.status]
    verbs = refusal.verbs
    keys = tuple(key for key in _names(row) if key[0] in verbs)
    asked = _looked_up(row)  # a get_order under way may be what this answers
    return replace(
        _answer(row, keys + asked, outcome=Outcome.REFUSED),
        rivals=_RIVALS,
        cancel_reason=refusal.cancel_reason,
        order_reason=refusal.order_reason,
        retry=Retry.LATER if row.status == "RATE_LIMITED" else None,
    )


def _execution(row: OrderRow, exec_type: ExecType, status: OrdStatus | None) -> Execution:
    """The order as the row shows it. What a cancellation shows as remaining doesn't tell what was filled."""
    stop = row.type in tables.STOPS
    # fifteen facts: with one more, CPython makes a dict for each call, which then takes four times as long
    return Execution(
        exec_type=exec_type,
        order_id=row.order_id,
        kind=STOP_ORDER if stop else ORDER,
        status=status,
        client_order_id=row.client_order_id or None,
        symbol=row.symbol,
        side=_side(row.side),
        type=tables.TYPES.get(row.type or ""),
        quantity=row.quantity or None,  # a cancelled stop shows zeros
        price=None if stop else row.price or None,
        stop_price=(row.price or None) if stop else None,
        post_only=True if row.type == "ALO" else None,
        leaves_quantity=None if status is CANCELED else row.quantity_remaining,
        at=_time(row.update_time),
        text=row.status,
    )


def _fill(fill: Fill) -> Iterator[Item]:
    left = fill.remaining_quantity
    status = None if left is None else OrdStatus.PARTIALLY_FILLED if left else OrdStatus.FILLED
    yield Execution(
        exec_type=ExecType.TRADE,
        order_id=fill.order_id,
        status=status,
        client_order_id=fill.client_order_id or None,
        symbol=fill.symbol,
        side=_side(fill.side),
        last_quantity=fill.quantity,
        last_price=fill.price,
        leaves_quantity=left,
        trade_id=fill.trade_id,
        at=_time(fill.timestamp),
    )
    if status is OrdStatus.FILLED:
        yield _too_late(fill.order_id, "FILLED")


def _refusal(err: Err) -> Iterator[Item]:
    """An err is about one request: the one it echoes, or else whichever is the only one."""
    echo = _echoed(err.incoming_message)
    keys = echoed_key(echo) if echo is not None else ()
    code = err.error_code
    text = f"{code}: {err.message}" if err.message else code
    facts: dict[str, Any] = {"keys": keys, "sole": echo is None, "text": text}
    if code == "AlreadyAuthenticated":
        yield Answer(keys=((LOGIN, ""),), outcome=Outcome.CONFIRMED, text=text)
    elif code == "RateLimited":
        yield Answer(**facts, outcome=Outcome.REFUSED, retry=Retry.LATER)
    elif code in tables.ERROR_CODES:
        order_reason, cancel_reason = tables.ERROR_CODES[code]
        yield Answer(**facts, outcome=Outcome.REFUSED, order_reason=order_reason, cancel_reason=cancel_reason)
    else:  # ServerError, and every code that the venue has not published
        yield Answer(**facts, outcome=Outcome.UNKNOWN)


def _receipt(echo: Mapping[str, Any] | None) -> Answer:
    """The request was received, which is not yet the deed."""
    keys = echoed_key(echo) if echo is not None else ()
    return Answer(keys=keys, sole=echo is None, outcome=None, final=False)


def _echoed(raw: Raw) -> Mapping[str, Any] | None:
    """The request that an ack or err repeats: an object, or an object's text; None when it says nothing."""
    echo = _echo.decode(raw)
    if isinstance(echo, str):
        if too_deep(echo.encode()):
            raise ValueError("the echo is nested too deep")
        try:
            echo = _echo.decode(echo)
        except (msgspec.DecodeError, RecursionError):
            return None
    if not isinstance(echo, dict):
        return None
    params = echo.get("params")
    if isinstance(params, dict):
        numbers = {name: Decimal(value) for name, value in params.items() if type(value) is int}
        echo["params"] = params | numbers
    return echo


def _page(listed: OpenOrders) -> Snapshot:
    orders = [_listed(row) for row in listed.orders or []] + [_stop(row) for row in listed.stop_orders or []]
    twaps = [_twap_row(row) for row in listed.twaps or []]
    longest = max(len(orders), len(twaps))
    more = longest >= SHORT_PAGE
    lists = (orders, twaps)
    return Snapshot(
        rows=(*orders, *twaps),
        keys=((QUERY, "orders"),),
        step=longest - 1 if more else 0,
        head=tuple(rows[0].order_id if rows else None for rows in lists),
        tail=tuple(rows[-1].order_id if more and len(rows) == longest else None for rows in lists),
    )


def _listed(row: OrderRow) -> Execution:
    return _execution(row, ExecType.ORDER_STATUS, _row_status(row))


def _row_status(row: OrderRow) -> OrdStatus | None:
    if row.status in tables.ENDED:
        return OrdStatus.CANCELED
    if row.status == "FILLED" and row.quantity_remaining == 0:
        return OrdStatus.FILLED
    return OrdStatus.NEW if row.status not in tables.REFUSALS else None


def _stop(row: StopRow) -> Execution:
    return Execution(
        exec_type=ExecType.ORDER_STATUS,
        order_id=row.stop_order_id,
        kind=IdKind.STOP_ORDER,
        status=OrdStatus.NEW,
        client_order_id=row.client_order_id or None,
        symbol=row.symbol,
        side=_side(row.direction),
        type=tables.TYPES.get(row.stop_order_type or ""),
        quantity=row.quantity,
        stop_price=row.price,
    )


def _stop_response(row: StopRow) -> Iterator[Item]:
    """A stop's terms without a verdict: enough to confirm an add, and no more than a receipt for anything else."""
    yield _stop(row)
    named: tuple[Key, ...] = ((ADD, row.client_order_id),) if row.client_order_id else ()
    keys = named or ((ADD, shape(row.symbol, row.direction, row.stop_order_type, row.price, row.quantity)),)
    facts = {"order_id": row.stop_order_id, "kind": IdKind.STOP_ORDER}
    yield Answer(keys=keys, outcome=Outcome.CONFIRMED, status=OrdStatus.NEW, **facts)  # type: ignore[arg-type]  # facts fit
    yield Answer(keys=((CANCEL, row.stop_order_id), (MODIFY, row.stop_order_id)), outcome=None, final=False)


def _twap_row(row: TwapRow) -> Execution:
    ended = row.status in {"CANCELLED", "CANCELED"}
    done = row.total_quantity is not None and row.filled_quantity == row.total_quantity
    return Execution(
        exec_type=ExecType.ORDER_STATUS,
        order_id=row.twap_id,
        kind=IdKind.TWAP,
        status=OrdStatus.CANCELED if ended else OrdStatus.FILLED if done else OrdStatus.NEW,
        client_order_id=row.client_twap_id or None,
        symbol=row.symbol,
        side=_side(row.side),
        type=OrderType.TWAP,
        quantity=row.total_quantity,
        cum_quantity=row.filled_quantity,
        reduce_only=row.reduce_only if isinstance(row.reduce_only, bool) else None,
        text=row.status or "",
    )


def _twap_response(row: TwapRow) -> Iterator[Item]:
    """A TWAP with an id exists, so its add is done, unless its status sounds like a refusal. Of a cancel it is the
    first answer, and no more: the open TWAPs tell.
    """
    yield _twap_row(row)
    doubtful = any(word in (row.status or "").upper() for word in tables.DOUBTFUL)
    yield Answer(
        keys=((ADD, ("twap", row.client_twap_id)),),
        outcome=Outcome.UNKNOWN if doubtful else Outcome.CONFIRMED,
        final=not doubtful,
        order_id=row.twap_id,
        client_order_id=row.client_twap_id,
        kind=IdKind.TWAP,
        text=row.status or "",
    )
    names = (("twap_id", row.twap_id), ("client_twap_id", row.client_twap_id))
    keys = tuple((CANCEL_SET, (mode, name, row.symbol)) for mode, name in names if name)
    yield Answer(keys=keys, outcome=None, final=False, all=True)


def _side(word: str | None) -> Side | None:
    return tables.SIDES.get(word or "")


def _time(seconds: Any) -> datetime | None:
    """Unix seconds; a time beyond the year 2200 is milliseconds, as one client has seen them. Else no time at all."""
    if not isinstance(seconds, float | int) or not 0 < seconds < 1e14:
        return None
    return datetime.fromtimestamp(seconds / 1000 if seconds > 7e9 else seconds, UTC)


_READERS: tuple[tuple[str, Callable[[Any], Iterable[Item]]], ...] = (  # the commonest first
    ("order_response", _order_response),
    ("fill_response", _fill),
    ("err", _refusal),
    ("ack", lambda ack: [_receipt(_echoed(ack.incoming_message))]),
    ("ack_response", lambda received: [_receipt(None)] if received else []),
    ("all_orders_response", lambda listed: [_page(listed)]),
    ("user_orders", lambda rows: [_page(OpenOrders(orders=rows))]),
    ("twap_response", _twap_response),
    ("stop_order_response", _stop_response),
)
