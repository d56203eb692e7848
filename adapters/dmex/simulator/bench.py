"""The simulated DMEX as the conformance cases see it: its book in the library's words, its order encoder, its variants."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Final

from attrs import define, field

from adapters.dmex.simulator.book import Order
from adapters.dmex.simulator.requests import read_order
from router.model import IdKind, OrderType, Side, TimeInForce
from router.model import Order as Wanted
from router.report import CxlRejReason, OrdRejReason, OrdStatus
from router.testing import Bench, Received, Refusal, Row, Verb

if TYPE_CHECKING:
    from adapters.dmex.simulator.server import DmexSimulator
    from router.venue import Adapter

__all__ = ["DmexBench"]

SCALE: Final = 8  # numbers are integers in units of 1e-8
MARGIN_TOKEN: Final = "0x" + "d0" * 20
TYPES: Final = {  # stop, is_market
    (False, False): OrderType.LIMIT,
    (False, True): OrderType.MARKET,
    (True, False): OrderType.STOP_LIMIT,
    (True, True): OrderType.STOP,
}
FLAGS: Final = {kind: flags for flags, kind in TYPES.items()}

CREATES: Final = {  # the validation errors of a create, by name
    "Amount must be greater than zero": OrdRejReason.INCORRECT_QUANTITY,
    "Invalid signature": OrdRejReason.OTHER,
    "Insufficient margin": OrdRejReason.ORDER_EXCEEDS_LIMIT,
    "Invalid leverage": OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC,
}
CANCELS: Final = {  # the rules of a cancel; the words are this simulator's own
    "Invalid signature": CxlRejReason.OTHER,
    "Order not found": CxlRejReason.UNKNOWN_ORDER,
    "Order already filled": CxlRejReason.TOO_LATE_TO_CANCEL,
    "Order already cancelled": CxlRejReason.UNKNOWN_ORDER,
}
OPEN: Final = ("Internal error", "Order already exists", "Order not found, but it may be on its way")
"""Words that no page has."""
REPLACES: Final = {"Order not found": OrdRejReason.UNKNOWN_ORDER, "Order already filled": OrdRejReason.OTHER}
COMMANDS: Final = {Verb.SUBMIT: "create_order", Verb.CANCEL: "cancel_order", Verb.REPLACE: "replace_order"}


def _refusals() -> list[Refusal]:
    words: dict[Verb, Mapping[str, CxlRejReason | OrdRejReason]]
    words = {Verb.SUBMIT: CREATES, Verb.REPLACE: CREATES | REPLACES, Verb.CANCEL: CANCELS}
    told = [Refusal(verb, word, reason) for verb, said in words.items() for word, reason in said.items()]
    other: dict[Verb, CxlRejReason | OrdRejReason]
    other = {Verb.SUBMIT: OrdRejReason.OTHER, Verb.REPLACE: OrdRejReason.OTHER, Verb.CANCEL: CxlRejReason.OTHER}
    return told + [Refusal(verb, word, reason, told=False) for verb, reason in other.items() for word in OPEN]


@define(eq=False)
class DmexBench(Bench):
    """One wallet's orders, by their hashes. There are no client ids, and nothing is told that was not asked for.

    An order only closes its position (closing_order) where the library says reduce_only.
    """

    VERBS: ClassVar[Mapping[str, Verb]] = {  # a create may replace an order, too
        "create_order": Verb.SUBMIT,
        "cancel_order": Verb.CANCEL,
        "GET orders": Verb.LIST,
    }
    SYMBOL: ClassVar[str] = "btcusd"
    REFUSALS: ClassVar[Sequence[Refusal]] = _refusals()
    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {  # no page has a reply: all of them are assumed
        "a status instead of success": {"reply": "status"},
        "no hash in replies": {"echo_hash": False},
        "a status, and no hash": {"reply": "status", "echo_hash": False},
        "a greeting": {"greeting": True},
        "pushes": {"push": True},
        "a greeting, pushes and no hash": {"greeting": True, "push": True, "echo_hash": False},
        "lenient signatures": {"strict": False},
        "the list has open orders only": {"rest_open_only": True},
    }

    TELLS: ClassVar[frozenset[str]] = frozenset({"cum_quantity", "status", "post_only"})
    FINE: ClassVar[tuple[str, str]] = ("1.00000001", "60000.00000001")
    MARKETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ethusd": {}}
    EXTRAS: ClassVar[Mapping[OrderType, Mapping[str, Any]]] = {OrderType.LIMIT: {"leverage": 3}}

    sim: DmexSimulator
    _nonces: Iterator[int] = field(factory=lambda: itertools.count(1), init=False, repr=False)

    # -- how our side reaches it

    def adapter(self, kind: type, changes: Mapping[str, Any]) -> Adapter:
        return super().adapter(kind, {"order_encoder": self.encode, **changes})

    def setups(self) -> Mapping[str, Mapping[str, Any]]:
        return {"": {"rest_url": None}, "rest": {}, "cancels": {"order_encoder": None}}

    def claims(self, setup: str) -> Mapping[str, Any]:
        orders = frozenset({IdKind.ORDER})
        nothing: frozenset[Any] = frozenset()
        return {
            "cancel_kinds": orders,
            "set_kinds": nothing,
            "needs_symbol": nothing,
            "order_types": nothing if setup == "cancels" else frozenset(FLAGS),
            "lists": nothing if setup == "" else orders,
            "replaces": nothing if setup == "cancels" else orders,
            "replace_is_new": True,
            "mass_cancels": nothing,
            "tells_trades": False,
        }

    def encode(self, order: Wanted) -> tuple[str, Mapping[str, Any]]:
        """The order's hash and the data of its create. Any hash that is signed will do: the recipe is not public."""
        options = {"leverage": 1, **order.options}
        replaced = options.pop("replace_hash", None)
        if order.time_in_force not in {None, TimeInForce.GTC} or options.keys() != {"leverage"}:
            raise ValueError("the venue knows no time in force, and of options leverage and replace_hash")
        nonce = next(self._nonces)
        digest = "0x" + sha256(f"{order.client_order_id} {nonce}".encode()).hexdigest()
        stop, is_market = FLAGS[order.type]
        amount = _units(order.quantity)
        return digest, {
            "hash": digest,
            "user_address": self.sim.address,
            "base_token": MARGIN_TOKEN,
            "asset": order.symbol,
            "amount": amount,
            "price": _units(order.price or Decimal(0)),
            "side": order.side is Side.BUY,
            "nonce": nonce,
            "leverage": _units(Decimal(options["leverage"])),
            "closing_order": order.reduce_only,
            "remaining_amount": amount,
            "stop": stop,
            "stop_price": _units(order.stop_price or Decimal(0)),
            "is_market": is_market,
            "post_only": order.post_only,
            **({} if replaced is None else {"replace_hash": replaced}),
        }

    # -- what is traded

    def unknown(self, kind: IdKind) -> str:  # noqa: ARG002 - there is one kind
        return "0x" + secrets.token_hex(32)

    def spellings(self, order_id: str) -> Sequence[str]:
        return (f"0x{order_id[2:].upper()}",)

    # -- what the book and the records say

    def rows(self) -> Sequence[Row]:
        return [self._row(order) for order in self.sim.orders.values()]

    def _row(self, order: Order) -> Row:
        return Row(
            order_id=order.hash,
            status=_status(order),
            cum_quantity=_number(order.amount - order.remaining),
            symbol=order.asset,
            side=Side.BUY if order.side else Side.SELL,
            type=TYPES[order.stop, order.is_market],
            quantity=_number(order.amount),
            price=None if order.is_market else _number(order.price),
            stop_price=_number(order.stop_price) if order.stop else None,
            post_only=order.post_only,
            reduce_only=order.closing_order,
            options={"leverage": _number(order.leverage)},
        )

    def named(self, received: Received) -> str:
        """The order's hash, in lower case."""
        data = received.message.get("data") if isinstance(received.message, dict) else None
        given = data if isinstance(data, dict) else {}
        name = given.get("hash" if received.command == "create_order" else "order_hash", "")
        return name.lower() if isinstance(name, str) else ""

    # -- what the venue does of its own accord; it tells nobody

    async def enter(self, order: Wanted) -> str:
        order_hash, data = self.encode(order)
        self.sim.enter(read_order(data), data.get("replace_hash", ""))
        return order_hash

    async def fill(self, order_id: str, quantity: Decimal | None = None, *, copies: int = 1) -> None:  # noqa: ARG002 - it is never told
        self.sim.fill(order_id, None if quantity is None else _units(quantity))

    async def expel(self, order_id: str) -> None:
        self.sim.close(order_id)

    async def drop(self) -> None:
        await self.sim.drop_connections()

    def refuse(self, refusal: Refusal) -> None:
        self.sim.refuse(COMMANDS[refusal.verb], refusal.word)


def _status(order: Order) -> OrdStatus:
    """No status is documented: `closed` and what remains tell."""
    if order.closed:
        return OrdStatus.CANCELED if order.remaining else OrdStatus.FILLED
    return OrdStatus.PARTIALLY_FILLED if order.remaining < order.amount else OrdStatus.NEW


def _number(units: int) -> Decimal:
    return Decimal(units).scaleb(-SCALE)


def _units(number: Decimal) -> str:
    units = number.scaleb(SCALE)
    if units % 1:
        raise ValueError(f"{number} has more than {SCALE} decimals")
    return str(int(units))
