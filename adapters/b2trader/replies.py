"""What B2TRADER answers: the status code decides, the order in the body tells the rest. Pure.

The documented 200 of a stop cancel shows a freshly rejected order, so on that endpoint `Rejected` means cancelled. A stop
that is shown as waiting and undated may or may not be cancelled: a second DELETE tells, by its 404.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

import msgspec
from msgspec import Struct

from adapters.b2trader.tokens import renewal
from router.model import Cancel, IdKind, OrderType, Side
from router.report import CxlRejReason, ExecType, OrdRejReason, OrdStatus, Outcome
from router.venue import Answer, Execution, Frame, Item, Retry, Wire

__all__ = ["read_reply"]

REFUSALS = {  # why, as an order and as a cancel; everything else that is not a 2xx leaves the outcome open
    400: (OrdRejReason.OTHER, CxlRejReason.OTHER),
    403: (OrdRejReason.BROKER, CxlRejReason.BROKER),
    404: (OrdRejReason.UNKNOWN_SYMBOL, CxlRejReason.UNKNOWN_ORDER),
    422: (OrdRejReason.OTHER, CxlRejReason.OTHER),
}
MAX_WORDS = 64 * 1024  # what is shown is cut when no secret is in it any more
MAX_PAUSE = 60.0

OPEN = {"Started", "Pending", "Working"}
STATUSES = {
    "Started": OrdStatus.NEW,
    "Pending": OrdStatus.NEW,
    "Working": OrdStatus.NEW,
    "Completed": OrdStatus.FILLED,
    "Cancelled": OrdStatus.CANCELED,
    "Expired": OrdStatus.EXPIRED,
    "Rejected": OrdStatus.REJECTED,
    "WaitingForActivation": OrdStatus.NEW,
}
SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
TYPES = {"Limit": OrderType.LIMIT, "Market": OrderType.MARKET}
STOP_TYPES = {"Limit": OrderType.STOP_LIMIT, "Market": OrderType.STOP}
HAPPENED = {
    OrdStatus.CANCELED: ExecType.CANCELED,
    OrdStatus.EXPIRED: ExecType.EXPIRED,
    OrdStatus.REJECTED: ExecType.REJECTED,
}


class Row(Struct, rename="camel"):
    """An Order or a StopOrder, as far as we read it."""

    order_id: str
    status: str
    market_id: str | None = None
    order_type: str | None = None
    side: str | None = None
    requested_amount: Decimal | None = None
    remaining_amount: Decimal | None = None
    requested_price: Decimal | None = None
    activation_price: Decimal | None = None
    cancellation_date: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    reject_details: str | None = None


class Body(Struct):
    """Every answer about an order."""

    order: Row


class TokenBody(Struct, rename="camel"):
    """The answer to a token exchange."""

    access_token: str


_body = msgspec.json.Decoder(Body)
_token = msgspec.json.Decoder(TokenBody)


def read_reply(
    frame: Frame, now: float, cancel: Callable[[Cancel, str], Wire], token_request: Callable[[], Wire]
) -> Iterable[Item]:
    """What the answer to one of our requests says. cancel, token_request: make the requests that may follow."""
    assert frame.wire is not None  # noqa: S101 - this venue speaks HTTP only
    verb, name = frame.wire.keys[0]
    if verb == "token":
        return _token_reply(frame, now, token_request)
    kind, order_id = cast("tuple[IdKind, str]", name)  # as our own codec made it
    if verb == "place":
        return _placed(frame, kind)
    if verb == "probe":
        return _probed(frame, order_id)
    return _stop_cancelled(frame, order_id, cancel) if kind is IdKind.STOP_ORDER else _order_cancelled(frame, order_id)


def _token_reply(frame: Frame, now: float, token_request: Callable[[], Wire]) -> Iterator[Item]:
    if frame.status == 200:
        yield renewal(_token.decode(frame.body).access_token, now, token_request())
        yield Answer(outcome=Outcome.CONFIRMED)
    else:
        refused = frame.status in {*REFUSALS, 401}
        yield Answer(outcome=Outcome.REFUSED if refused else Outcome.UNKNOWN, text=_words(frame))


def _failed(frame: Frame, hint: str = "") -> Answer:
    """An answer that is not a 2xx."""
    text = _words(frame) + hint
    if frame.status == 401:
        return Answer(outcome=Outcome.REFUSED, retry=Retry.TOKEN, text=text)
    if frame.status == 429:
        return Answer(outcome=Outcome.REFUSED, retry=Retry.LATER, after=_retry_after(frame), text=text)
    if frame.status in REFUSALS:
        order_reason, cancel_reason = REFUSALS[frame.status]
        return Answer(outcome=Outcome.REFUSED, order_reason=order_reason, cancel_reason=cancel_reason, text=text)
    return Answer(outcome=Outcome.UNKNOWN, text=text)


def _is_success(frame: Frame) -> bool:
    return 200 <= frame.status < 300


# -- cancels


def _order_cancelled(frame: Frame, order_id: str) -> Iterator[Item]:
    if not _is_success(frame):
        yield _failed(frame, _other_kind(frame, "an order", "a stop order", IdKind.STOP_ORDER))
        return
    row = _body.decode(frame.body).order
    status = STATUSES.get(row.status)
    facts: dict[str, Any] = {"order_id": row.order_id, "text": row.status, "status": status}
    if row.order_id != order_id:
        yield Answer(outcome=Outcome.UNKNOWN, text=f"the answer names another order: {row.order_id[:64]}")
    elif status is OrdStatus.CANCELED or status is OrdStatus.EXPIRED:
        yield _execution(row, IdKind.ORDER, status)
        yield Answer(outcome=Outcome.CONFIRMED, **facts)
    elif status is OrdStatus.FILLED:
        yield _execution(row, IdKind.ORDER, status)
        yield Answer(outcome=Outcome.REFUSED, cancel_reason=CxlRejReason.TOO_LATE_TO_CANCEL, **facts)
    else:
        facts["text"] = f"the cancel was accepted, and the order is still shown as {row.status!r}"
        yield Answer(outcome=Outcome.UNKNOWN, **facts)


def _stop_cancelled(frame: Frame, order_id: str, cancel: Callable[[Cancel, str], Wire]) -> Iterator[Item]:
    if not _is_success(frame):
        yield _failed(frame, _other_kind(frame, "a stop order", "an order", IdKind.ORDER))
        return
    row = _body.decode(frame.body).order
    if row.order_id == order_id and row.status == "WaitingForActivation" and row.cancellation_date is None:
        probe = cancel(Cancel("b2trader", order_id, IdKind.STOP_ORDER), "probe")
        yield Answer(outcome=None, final=False, text="accepted, and still shown as waiting", then=probe)
    else:
        yield from _stop_verdict(row, order_id)


def _probed(frame: Frame, order_id: str) -> Iterator[Item]:
    """The second DELETE of a stop: its 404 says that the first one took it. No other failure refuses anything."""
    if frame.status == 404:
        yield _stop_gone(order_id)
        text = "accepted, and gone when probed"
        yield Answer(
            outcome=Outcome.CONFIRMED, order_id=order_id, kind=IdKind.STOP_ORDER, status=OrdStatus.CANCELED, text=text
        )
    elif _is_success(frame):
        yield from _stop_verdict(_body.decode(frame.body).order, order_id)
    else:
        retry = Retry.TOKEN if frame.status == 401 else None
        yield Answer(outcome=Outcome.UNKNOWN, retry=retry, text=f"the cancel was accepted; probing it: {_words(frame)}")


def _stop_verdict(row: Row, order_id: str) -> Iterator[Item]:
    facts: dict[str, Any] = {"order_id": row.order_id, "kind": IdKind.STOP_ORDER}
    if row.order_id != order_id:
        yield Answer(outcome=Outcome.UNKNOWN, text=f"the answer names another order: {row.order_id[:64]}")
    elif row.status == "Activated":
        text = "Activated: the stop had fired, and the order that it placed may be live under an id of its own"
        yield Answer(outcome=Outcome.REFUSED, cancel_reason=CxlRejReason.TOO_LATE_TO_CANCEL, text=text, **facts)
    elif row.status == "Rejected" or row.cancellation_date is not None:
        yield _execution(row, IdKind.STOP_ORDER, OrdStatus.CANCELED)
        text = row.status if row.cancellation_date is None else f"{row.status}, cancelled {row.cancellation_date}"
        yield Answer(outcome=Outcome.CONFIRMED, status=OrdStatus.CANCELED, text=text, **facts)
    else:
        yield Answer(outcome=Outcome.UNKNOWN, text=f"the cancel was accepted, and the stop is shown as {row.status!r}")


def _stop_gone(order_id: str) -> Execution:
    return Execution(
        exec_type=ExecType.CANCELED, order_id=order_id, kind=IdKind.STOP_ORDER, status=OrdStatus.CANCELED, text="404"
    )


def _other_kind(frame: Frame, sought: str, other: str, kind: IdKind) -> str:
    if frame.status != 404:
        return ""
    return f"; no such open {sought[sought.index(' ') + 1 :]}; if the id is {other}'s, pass kind={kind.value!r}"


# -- placements


def _placed(frame: Frame, kind: IdKind) -> Iterator[Item]:
    """A 200 on a placement may carry a rejection."""
    if not _is_success(frame):
        yield _failed(frame)
        return
    row = _body.decode(frame.body).order
    status = STATUSES.get(row.status)
    facts: dict[str, Any] = {"order_id": row.order_id, "kind": kind}
    if status is OrdStatus.REJECTED:
        text = f"Rejected: {row.reject_details}" if row.reject_details else "Rejected"
        yield Answer(outcome=Outcome.REFUSED, status=status, text=text, **facts)
    elif status is not None:
        yield _execution(row, kind, status)
        yield Answer(outcome=Outcome.CONFIRMED, status=status, text=row.status, **facts)
    elif row.status == "Activated":
        text = "Activated at once: the trigger was already met; the order that it placed has an id of its own"
        yield Answer(outcome=Outcome.CONFIRMED, text=text, **facts)
    else:
        yield Answer(outcome=Outcome.UNKNOWN, text=f"unknown status {row.status!r}", **facts)


def _execution(row: Row, kind: IdKind, status: OrdStatus) -> Execution:
    stop = kind is IdKind.STOP_ORDER
    in_base = (row.market_id or "").startswith("spot.")  # elsewhere orders are sized in lots and shown in base units
    return Execution(
        exec_type=HAPPENED.get(status, ExecType.NEW if status is OrdStatus.NEW else ExecType.ORDER_STATUS),
        order_id=row.order_id,
        kind=kind,
        status=status,
        symbol=row.market_id,
        side=SIDES.get(row.side or ""),
        type=(STOP_TYPES if stop else TYPES).get(row.order_type or ""),
        quantity=row.requested_amount if in_base else None,
        price=row.requested_price,
        stop_price=row.activation_price,
        cum_quantity=None if stop or not in_base else _filled(row, status),
        at=_time(row.updated_at),
        text=row.status,
    )


def _filled(row: Row, status: OrdStatus) -> Decimal | None:
    """What the order has traded: the requested amount less the remaining, as documented for open and ended orders alike.

    A cancelled order without a remainder contradicts itself, and so does a remainder above the request: they tell nothing.
    """
    if row.requested_amount is None or row.remaining_amount is None:
        return None
    if not 0 <= row.remaining_amount <= row.requested_amount:
        return None
    if not row.remaining_amount and status is not OrdStatus.FILLED:
        return None
    return row.requested_amount - row.remaining_amount


def _time(text: str | None) -> datetime | None:
    """.NET's round-trip format: 0 to 7 fraction digits."""
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else None


# -- error bodies: undocumented, so they only add words


def _retry_after(frame: Frame) -> float | None:
    text = frame.headers.get("retry-after", "")
    return min(float(text), MAX_PAUSE) if text.isascii() and text.isdigit() else None


def _words(frame: Frame) -> str:
    said = _said(frame.body)
    return f"HTTP {frame.status}: {said}"[:MAX_WORDS] if said else f"HTTP {frame.status}"


def _said(body: bytes) -> str:
    """The words of ProblemDetails, of {"errors": [...]} or {"errors": {...}}, or what kind of body it was."""
    if not body.strip():
        return ""
    try:
        problem = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return "an HTML page" if body.lstrip()[:1] == b"<" else "an unreadable body"
    if not isinstance(problem, dict):
        return "an unexpected body"
    parts = [problem.get(name) for name in ("title", "detail", "error", "error_description", "message")]
    return " ".join(str(part) for part in [*parts, *_errors(problem.get("errors"))] if isinstance(part, str))


def _errors(errors: Any) -> list[str]:
    if isinstance(errors, dict):
        return [f"{name}: {message}" for name, messages in errors.items() for message in _flat(messages)]
    if isinstance(errors, list):
        return [
            " ".join(str(error.get(name, "")) for name in ("code", "message"))
            for error in errors
            if isinstance(error, dict)
        ]
    return []


def _flat(messages: Any) -> list[str]:
    return [str(message) for message in messages] if isinstance(messages, list) else [str(messages)]
