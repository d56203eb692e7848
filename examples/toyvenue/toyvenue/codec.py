"""Our side of the toy venue: what to send, and what an answer says. No sockets, no clock, no state."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec
from attrs import field, frozen

from router.errors import CannotExpress
from router.model import Cancel, IdKind, Order, OrderType, Side, TimeInForce, plain
from router.report import CxlRejReason, ExecType, OrdRejReason, OrdStatus, Outcome
from router.venue import Answer, Codec, Command, Effect, Execution, Frame, Item, Retry, Snapshot, Spec, Wire

SPEC = Spec(
    title="toyvenue",
    docs_url="https://example.org/toyvenue",
    url="wss://toyvenue.example.org/",
    cancel_kinds=frozenset({IdKind.ORDER}),
    order_types=frozenset({OrderType.LIMIT}),
    lists=frozenset({IdKind.ORDER}),
    tells_trades=True,
)
STATUSES = {"open": OrdStatus.NEW, "filled": OrdStatus.FILLED, "cancelled": OrdStatus.CANCELED}
EVENTS = {"open": ExecType.NEW, "filled": ExecType.ORDER_STATUS, "cancelled": ExecType.CANCELED}
TERMS = ("order_id", "client_order_id", "symbol", "side", "quantity", "price")
REFUSALS: dict[str, dict[str, Any]] = {  # they say for certain that nothing was done; of other words nobody knows
    "wrong key": {},
    "too fast": {"retry": Retry.LATER},
    "unknown symbol": {"order_reason": OrdRejReason.UNKNOWN_SYMBOL},
    "unknown order": {"cancel_reason": CxlRejReason.UNKNOWN_ORDER},
    "already filled": {"cancel_reason": CxlRejReason.TOO_LATE_TO_CANCEL, "status": OrdStatus.FILLED},
}


class Message(msgspec.Struct):  # all that one may have; what doesn't fit is unreadable, and says nothing
    re: str = ""
    ok: bool = False
    error: str = ""
    status: str = ""
    order_id: str | None = None
    client_order_id: str | None = None
    symbol: str | None = None
    side: Side | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    filled: Decimal | None = None
    trade: tuple[str, Decimal, Decimal] | None = None
    orders: list["Message"] | None = None


def request(op: str, about: str, effect: Effect, **terms: str) -> Wire:
    """A message out. Its id says what it is about; the answer repeats it, and is found by it."""
    body = msgspec.json.encode({"op": op, "id": f"{op} {about}", **terms})
    return Wire(keys=(("request", f"{op} {about}"),), body=body, effect=effect)


@frozen
class ToyCodec(Codec):
    spec: Spec
    key: str = field(repr=False)

    def secrets(self) -> Iterable[str]:
        return [self.key]

    def hello(self, now: float, entropy: bytes) -> Iterable[Wire]:
        return [request("login", "", Effect.READ, key=self.key)]

    def list_orders(self, now: float, after: str | None = None) -> Wire:
        return request("list", "", Effect.READ)

    def encode(self, command: Command, now: float) -> Wire:
        match command:
            case Cancel():
                return request("cancel", command.id, Effect.IDEMPOTENT, order_id=command.id)
            case Order(
                type=OrderType.LIMIT, time_in_force=None | TimeInForce.GTC, post_only=False, reduce_only=False
            ) if not command.options:
                terms = {"symbol": command.symbol, "side": command.side, "client_order_id": command.client_order_id}
                numbers = {name: plain(getattr(command, name)) for name in ("quantity", "price")}
                return request("place", command.client_order_id, Effect.ONCE, **terms, **numbers)
        raise CannotExpress(f"{command.venue} has plain limit orders only, which rest and are never changed")

    def decode(self, frame: Frame, now: float) -> Iterator[Item]:
        message = msgspec.json.decode(frame.body, type=Message)
        keys = (("request", message.re),)
        if message.order_id:
            yield execution(message, ExecType.TRADE if message.trade else EVENTS[message.status])
        if message.orders is not None:
            yield Snapshot(keys=keys, rows=tuple(execution(row, ExecType.ORDER_STATUS) for row in message.orders))
        elif message.ok:
            status = STATUSES.get(message.status)
            yield Answer(keys=keys, outcome=Outcome.CONFIRMED, order_id=message.order_id, status=status)
        elif message.re:
            outcome = Outcome.REFUSED if message.error in REFUSALS else Outcome.UNKNOWN
            yield Answer(keys=keys, outcome=outcome, text=message.error, **REFUSALS.get(message.error, {}))


def execution(message: Message, happened: ExecType) -> Execution:
    terms: dict[str, Any] = {name: getattr(message, name) for name in TERMS}
    terms |= zip(("trade_id", "last_quantity", "last_price"), message.trade or (), strict=False)
    terms |= {"status": STATUSES[message.status], "cum_quantity": message.filled}
    return Execution(exec_type=happened, type=OrderType.LIMIT, **terms)
