"""Our side of DMEX (https://docs.dmex.app): a signature over the order's hash is the only credential.

A cancel signs the 32 bytes of the hash and names nothing else. What is documented of placing an order leaves out the
recipe of its hash, so placing needs an encoder from the user; reply frames are undocumented and read in replies.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from attrs import evolve, field, frozen
from msgspec import Struct

from adapters.dmex.replies import ADD, CANCEL, read_reply
from adapters.dmex.signing import HASH, Signer
from router.errors import CannotExpress
from router.model import Cancel, IdKind, Order, OrderType, Side
from router.report import ExecType, OrdStatus, Outcome
from router.venue import Answer, Codec, Command, Effect, Execution, Frame, Item, Snapshot, Spec, Via, Wire

__all__ = ["SPEC", "DmexCodec", "OrderEncoder"]

SPEC = Spec(
    title="dmex",
    docs_url="https://docs.dmex.app/api-docs/websocket/cancel-order",
    url="wss://api.dmex.app/ws",
    cancel_kinds=frozenset({IdKind.ORDER}),
    replace_is_new=True,
    order_types=frozenset({OrderType.LIMIT, OrderType.MARKET, OrderType.STOP, OrderType.STOP_LIMIT}),
    docs={
        "cancel": "by order hash, signed; reply frames are undocumented",
        "client ids": "none",
        "stops": "held by the venue; cancelled like any order, by their hash",
        "replace": "a new order in the place of the old one, in one step; needs rest_url=, because what is filled is read "
        "just before, and what fills after that comes on top",
        "placing": "needs an order_encoder: the recipe of today's order hash is not public",
    },
)
KEY_DIGITS = 64
SCALE = -8  # amounts and prices are integers of 1e-8

OrderEncoder = Callable[[Order], tuple[str, Mapping[str, Any]]]
"""Order -> (the order's hash, the `data` of its create frame without v, r and s)."""


class Row(Struct):
    """An order as GET /api/orders lists it, open or closed."""

    hash: str
    amount: str
    remaining_amount: str
    closed: bool
    asset: str | None = None
    side: bool | None = None
    price: str | None = None
    stop: bool = False
    stop_price: str | None = None
    is_market: bool = False
    post_only: bool | None = None
    created_at: str | None = None


class Rows(Struct):
    """The answer of GET /api/orders."""

    success: bool
    data: list[Row]


_rows = msgspec.json.Decoder(Rows)


@frozen(kw_only=True)
class DmexCodec(Codec):
    """The words of one wallet. order_encoder: makes orders, where the user has one."""

    spec: Spec = SPEC
    signer: Signer = field(repr=False)
    order_encoder: OrderEncoder | None = field(default=None, repr=False)

    def canonical(self, name: str) -> str:
        return name.lower() if HASH.fullmatch(name) else name

    # -- outbound

    def encode(self, command: Command, now: float) -> Wire:
        match command:
            case Cancel():
                return self._cancel(command)
            case Order():
                return self._create(command)
        raise CannotExpress(
            f"{command.venue} has no command that changes an order; a new one takes its place (replace_hash)"
        )

    def replacement(self, order: Order, replaces: str) -> Order:
        """The venue cancels the order of `replace_hash` and creates the new one in one step."""
        if self.order_encoder is None:
            raise CannotExpress(f"{order.venue}: replacing needs order_encoder=, as placing does")
        return evolve(order, options={**order.options, "replace_hash": replaces})

    def _cancel(self, cancel: Cancel) -> Wire:
        if not HASH.fullmatch(cancel.id):
            key_like = len(cancel.id) == KEY_DIGITS  # someone may have pasted a private key
            shown = "64 characters without 0x" if key_like else repr(cancel.id)
            raise CannotExpress(f"{cancel.venue}: id was {shown}; an order hash is 0x and 64 hex digits")
        signed = self._signed(cancel.id)
        return _wire(
            "cancel_order", {"order_hash": cancel.id, **signed}, (CANCEL, cancel.id.lower()), Effect.IDEMPOTENT
        )

    def _create(self, order: Order) -> Wire:
        if self.order_encoder is None:
            raise CannotExpress(
                f"{order.venue}: placing needs order_encoder=, because neither the create frame nor the recipe of the "
                "order hash is public; cancelling does not"
            )
        try:
            order_hash, data = self.order_encoder(order)
        except (ValueError, TypeError, KeyError) as error:
            raise CannotExpress(f"{order.venue}: the order_encoder refused the order: {error}") from error
        if not HASH.fullmatch(str(order_hash)):
            raise CannotExpress(f"{order.venue}: the order_encoder's hash was {order_hash!r}; 0x and 64 hex digits")
        order_hash = order_hash.lower()
        body = {**data, **self._signed(order_hash)}
        return _wire("create_order", body, (ADD, order_hash), Effect.ONCE, order_id=order_hash)

    def _signed(self, order_hash: str) -> dict[str, Any]:
        signature = self.signer.sign(order_hash)
        return {"v": signature.v, "r": signature.r, "s": signature.s}

    def list_orders(self, now: float, after: str | None = None) -> Wire | None:
        if self.spec.http_url is None:
            return None
        path = f"/api/orders?user={self.signer.address}"
        return Wire(effect=Effect.READ, via=Via.HTTP, path=path, headers={"Accept": "application/json"})

    # -- inbound

    def decode(self, frame: Frame, now: float) -> Iterable[Item]:
        if frame.wire is not None:
            return _listed(frame)
        return read_reply(msgspec.json.decode(frame.body))


def _wire(op: str, data: Mapping[str, Any], key: tuple[str, str], effect: Effect, order_id: str | None = None) -> Wire:
    return Wire(keys=(key,), body=msgspec.json.encode({"op": op, "data": data}), effect=effect, order_id=order_id)


def _listed(frame: Frame) -> Iterator[Item]:
    """All orders of the wallet, closed ones included, which tells a cancelled order from a filled one."""
    if frame.status != 200:
        yield Answer(outcome=Outcome.UNKNOWN, text=f"HTTP {frame.status}")
        return
    listed = _rows.decode(frame.body)
    if not listed.success:
        yield Answer(outcome=Outcome.UNKNOWN, text="the venue says that it could not list")
        return
    yield Snapshot(rows=tuple(_execution(row) for row in listed.data))


def _execution(row: Row) -> Execution:
    amount, left = _number(row.amount), _number(row.remaining_amount)
    return Execution(
        exec_type=ExecType.ORDER_STATUS,
        order_id=row.hash.lower(),
        status=_status(row, amount, left),
        symbol=row.asset,
        side=None if row.side is None else Side.BUY if row.side else Side.SELL,
        type=_type(row),
        quantity=amount,
        price=None if row.price is None or row.is_market else _number(row.price),
        stop_price=_number(row.stop_price) if row.stop and row.stop_price is not None else None,
        post_only=row.post_only,
        leaves_quantity=left,
        at=None if row.created_at is None else datetime.fromisoformat(row.created_at),
    )


def _status(row: Row, amount: Decimal, left: Decimal) -> OrdStatus:
    """No status is documented; `closed` and the remaining amount tell."""
    if row.closed:
        return OrdStatus.CANCELED if left else OrdStatus.FILLED
    return OrdStatus.PARTIALLY_FILLED if left < amount else OrdStatus.NEW


def _type(row: Row) -> OrderType:
    if row.stop:
        return OrderType.STOP if row.is_market else OrderType.STOP_LIMIT
    return OrderType.MARKET if row.is_market else OrderType.LIMIT


def _number(text: str) -> Decimal:
    """A fixed-point integer as a decimal."""
    if not (text.isascii() and text.isdigit() and len(text) <= 40):
        raise ValueError("not a fixed-point integer")
    return Decimal(text).scaleb(SCALE)
