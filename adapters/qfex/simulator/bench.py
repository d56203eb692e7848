"""The simulated QFEX as the conformance cases see it: its book in the library's words, and what it may say otherwise."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import uuid4

from attrs import define

from adapters.qfex.simulator.model import ACCEPTED, ZERO, Order, Twap, Update
from adapters.qfex.simulator.refusals import REFUSALS
from router.model import IdKind, OrderType, Side, TimeInForce
from router.model import Order as Wanted
from router.pacing import Budget
from router.report import OrdStatus
from router.testing import Bench, Received, Refusal, Row, Verb

if TYPE_CHECKING:
    from adapters.qfex.simulator.server import QfexSimulator

__all__ = ["QfexBench"]

TYPES: Final = {
    "LIMIT": OrderType.LIMIT,
    "ALO": OrderType.LIMIT,  # post-only
    "MARKET": OrderType.MARKET,
    "STOP_LOSS": OrderType.STOP,
    "TAKE_PROFIT": OrderType.TAKE_PROFIT,
}
WORDS: Final = {kind: word for word, kind in TYPES.items() if word != "ALO"}
ENDS: Final = {
    "FILLED": OrdStatus.FILLED,
    "CANCELLED": OrdStatus.CANCELED,
    "CANCELLED_STP": OrdStatus.CANCELED,
    "IOC_PARTIALLY_FILLED": OrdStatus.CANCELED,
    "IOC_CANCELLED": OrdStatus.CANCELED,
    "MODIFIED": OrdStatus.CANCELED,  # not open any more: it goes on under a new id
    "EXPIRED": OrdStatus.EXPIRED,
}
"""Every other status of an order that is not open has rejected it."""
NAMES: Final = ("order_id", "stop_order_id", "client_order_id", "client_twap_id")
"""The parameters in which a command names what it is about."""


@define(eq=False)
class QfexBench(Bench):
    """One account's orders, stops and TWAPs. A stop that fires trades at once, under its own id."""

    VERBS: ClassVar[Mapping[str, Verb]] = {
        "auth": Verb.LOGIN,
        "subscribe": Verb.SUBSCRIBE,
        "unsubscribe": Verb.SUBSCRIBE,
        "add_order": Verb.SUBMIT,
        "add_twap": Verb.SUBMIT,
        "close_position": Verb.SUBMIT,
        "cancel_order": Verb.CANCEL,
        "cancel_stop_order": Verb.CANCEL,
        "modify_order": Verb.REPLACE,
        "modify_stop_order": Verb.REPLACE,
        "cancel_all_orders": Verb.MASS_CANCEL,
        "get_user_orders": Verb.LIST,
        "get_order": Verb.LOOKUP,
        "get_user_trades": Verb.OTHER,
        "cancel_on_disconnect": Verb.OTHER,
    }
    SYMBOL: ClassVar[str] = "AAPL-USD"
    OPTIONS: ClassVar[Mapping[OrderType, Mapping[str, Any]]] = {
        OrderType.TWAP: {"num_orders": 5, "order_interval_secs": 30}
    }
    TELLS: ClassVar[frozenset[str]] = frozenset({"cum_quantity", "status"})
    FINE: ClassVar[tuple[str, str]] = ("2.001", "100.01")
    MARKETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"NVDA-USD": {}}
    NATURAL: ClassVar[Mapping[OrderType, TimeInForce]] = {
        OrderType.LIMIT: TimeInForce.GTC,
        OrderType.MARKET: TimeInForce.IOC,
    }
    EXTRAS: ClassVar[Mapping[OrderType, Mapping[str, Any]]] = {
        OrderType.LIMIT: {"take_profit": "150.5", "stop_loss": "90"},
        OrderType.TWAP: {"start_time": 4_000_000_000, "worst_price": "101.5"},
    }
    REFUSALS: ClassVar[Sequence[Refusal]] = REFUSALS
    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {  # where the page has two minds; the usual one is left out
        "login answered by type": {"variants.auth_reply": "type_result"},
        "login refused by false": {"variants.refusal": "authenticated_false"},
        "login refused by type": {"variants.refusal": "type_failed"},
        "ack_response": {"variants.ack": "ack_response"},
        "no ack of stops": {"variants.ack_stop_cancel": False},
        "only an ack of stops": {"variants.only_ack": True},
        "stops echo the client id": {"variants.empty_stop_echo": False},
        "errs echo text": {"variants.err_echo": "string"},
        "errs echo nothing": {"variants.err_echo": "null"},
        "strangers first": {"variants.strangers_first": True},
        "IOC remainders are CANCELLED": {"variants.ioc_style": "old"},
        "a modify changes the id": {"variants.modify_changes_order_id": True},
        "get_order is an order_response": {"variants.get_order_reply": "order_response"},
        "a TWAP's cancel is a twap_response": {"variants.twap_cancel_reply": "twap_response"},
        "a TWAP's cancel is an ack": {"variants.twap_cancel_reply": "ack"},
        "arrays": {"variants.array_frames": True},
        "fills twice": {"variants.duplicate_fills": True},
        "cancel_all spares stops": {"variants.cancel_all_stops": False},
        "cancel_all takes TWAPs": {"variants.cancel_all_twaps": True},
    }

    sim: QfexSimulator

    # -- how our side reaches it

    def claims(self, setup: str) -> Mapping[str, Any]:  # noqa: ARG002 - there is one
        every = frozenset(IdKind)
        return {
            "cancel_kinds": every,
            "set_kinds": frozenset({IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP, IdKind.TWAP}),
            "needs_symbol": every - {IdKind.STOP_ORDER},
            "order_types": frozenset(OrderType) - {OrderType.STOP_LIMIT},
            "lists": frozenset({IdKind.ORDER, IdKind.STOP_ORDER, IdKind.TWAP}),
            "replaces": frozenset({IdKind.ORDER, IdKind.STOP_ORDER}),
            "mass_cancels": frozenset({IdKind.ORDER}),  # of stops and TWAPs the page says nothing
            "tells_trades": True,
            "budget": Budget(12_000, 60),
            "cancel_budget": Budget(12_000, 60),
        }

    def logins(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            "jwt": {"public_key": None, "secret_key": None, "jwt": self.sim.jwt},
            "account named": {"account_id": self.sim.account_id},
        }

    def wrong(self) -> Mapping[str, Mapping[str, Any]]:
        token = f"eyJ{secrets.token_urlsafe(24)}.eyJ{secrets.token_urlsafe(48)}.{secrets.token_urlsafe(32)}"
        return {
            "secret": {"secret_key": f"qfex_secret_{secrets.token_hex(16)}"},
            "public key": {"public_key": f"qfex_pub_{secrets.token_hex(16)}"},
            "jwt": {"public_key": None, "secret_key": None, "jwt": token},
            "account": {"account_id": str(uuid4())},
        }

    # -- what is traded

    def unknown(self, kind: IdKind) -> str:  # noqa: ARG002 - all ids look alike
        return str(uuid4())

    # -- what the book and the records say

    def rows(self) -> Sequence[Row]:
        entries: list[Order | Twap] = [*self.sim.history.values(), *self.sim.twap_history.values()]
        entries.sort(key=lambda entry: entry.number)  # a TWAP follows the order of its number
        return [self._twap_row(entry) if isinstance(entry, Twap) else self._order_row(entry) for entry in entries]

    def _order_row(self, order: Order) -> Row:
        attached = {"take_profit": order.take_profit, "stop_loss": order.stop_loss}
        return Row(
            order_id=order.order_id,
            kind=IdKind.STOP_ORDER if order.is_stop else IdKind.ORDER,
            status=self._status(order),
            cum_quantity=order.quantity - order.remaining,
            client_order_id=order.client_order_id or None,
            symbol=order.symbol,
            side=Side(order.side),
            type=TYPES.get(order.type),
            quantity=order.quantity,
            price=None if order.is_stop or order.type == "MARKET" else order.price,
            stop_price=order.price if order.is_stop else None,
            time_in_force=TimeInForce(order.time_in_force),
            post_only=order.type == "ALO",
            reduce_only=order.reduce_only,
            options={name: value for name, value in attached.items() if value},
        )

    def _status(self, order: Order) -> OrdStatus:
        if order.order_id in self.sim.book or order.order_id in self.sim.stops:
            return OrdStatus.PARTIALLY_FILLED if order.remaining < order.quantity else OrdStatus.NEW
        return ENDS.get(order.status, OrdStatus.REJECTED)

    def _twap_row(self, twap: Twap) -> Row:
        names = ("num_orders", "order_interval_secs", "start_time", "worst_price")
        options = {name: getattr(twap, name) for name in names}
        traded = OrdStatus.PARTIALLY_FILLED if twap.filled_quantity else OrdStatus.NEW
        ended = OrdStatus.FILLED if twap.filled_quantity == twap.total_quantity else OrdStatus.CANCELED
        return Row(
            order_id=twap.twap_id,
            kind=IdKind.TWAP,
            status=traded if twap.twap_id in self.sim.twaps else ended,
            cum_quantity=twap.filled_quantity,
            client_order_id=twap.client_twap_id,
            symbol=twap.symbol,
            side=Side(twap.side),
            type=OrderType.TWAP,
            quantity=twap.total_quantity,
            reduce_only=twap.reduce_only,
            options={name: value for name, value in options.items() if value is not None},
        )

    def named(self, received: Received) -> str:
        params = received.message.get("params") if isinstance(received.message, dict) else None
        given = params if isinstance(params, dict) else {}
        return next((given[name] for name in NAMES if isinstance(given.get(name), str)), "")

    # -- what the venue does of its own accord

    async def enter(self, order: Wanted) -> str:
        """Of what is entered, TWAPs are told to nobody: their answer is for who asked."""
        if order.type is OrderType.TWAP:
            return self.sim.exchange.add_twap(_twap(order, self.sim.account_id)).twap_id
        events = await self.sim.enter(_order(order, self.sim.account_id))
        own = next(event.order for event in events if isinstance(event, Update))
        if own.status not in ACCEPTED:
            raise ValueError(f"the venue rejects it: {own.status}")
        return own.order_id

    async def fill(self, order_id: str, quantity: Decimal | None = None, *, copies: int = 1) -> None:
        """A stop fires, and trades in full. A TWAP's child trades."""
        if order_id in self.sim.twaps:
            await self._fill_twap(self.sim.twaps[order_id], quantity, copies)
        elif order_id not in self.sim.stops:
            await self.sim.fill(order_id, quantity, copies=copies)
        elif quantity in {None, self.sim.stops[order_id].quantity}:
            await self.sim.trigger(order_id, copies=copies)
        else:
            raise ValueError("a stop becomes a market order, and trades in full")

    async def _fill_twap(self, twap: Twap, quantity: Decimal | None, copies: int) -> None:
        size = twap.total_quantity - twap.filled_quantity if quantity is None else quantity
        child = await self.sim.spawn_child(twap.twap_id, quantity=size, price=self.PRICE)
        await self.sim.fill(child, copies=copies)
        twap.filled_quantity += size
        if twap.filled_quantity == twap.total_quantity:
            del self.sim.twaps[twap.twap_id]

    async def expel(self, order_id: str) -> None:
        await self.sim.expel(order_id)

    async def drop(self) -> None:
        await self.sim.drop_connections()

    def refuse(self, refusal: Refusal) -> None:
        self.sim.refuse(self.words(refusal.verb), refusal.word)


def _order(order: Wanted, account: str) -> Order:
    word = "ALO" if order.post_only else WORDS[order.type]
    natural = TimeInForce.IOC if word == "MARKET" else TimeInForce.GTC
    return Order(
        account=account,
        symbol=order.symbol,
        side=order.side.upper(),
        type=word,
        time_in_force=(order.time_in_force or natural).upper(),
        quantity=order.quantity,
        price=order.price or order.stop_price or ZERO,
        take_profit=Decimal(order.options.get("take_profit", 0)),
        stop_loss=Decimal(order.options.get("stop_loss", 0)),
        client_order_id=order.client_order_id,
        reduce_only=order.reduce_only,
    )


def _twap(order: Wanted, account: str) -> Twap:
    return Twap(
        account=account,
        symbol=order.symbol,
        side=order.side.upper(),
        total_quantity=order.quantity,
        reduce_only=order.reduce_only,
        client_twap_id=order.client_order_id,
        **order.options,
    )
