"""The simulated Binance spot as the conformance cases see it: its book in the library's words, and the page's refusals."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final

from attrs import define

from adapters.ccxt_bridge.simulator.book import UNTIMED, Order
from adapters.ccxt_bridge.simulator.refusal import worded
from router.model import IdKind, OrderType, Side, TimeInForce
from router.model import Order as Wanted
from router.report import CxlRejReason, OrdRejReason, OrdStatus
from router.testing import Bench, Received, Refusal, Row, Verb

if TYPE_CHECKING:
    from adapters.ccxt_bridge.simulator.server import CcxtSimulator

__all__ = ["CcxtBench"]

STATUSES: Final = {
    "NEW": OrdStatus.NEW,
    "PARTIALLY_FILLED": OrdStatus.PARTIALLY_FILLED,
    "FILLED": OrdStatus.FILLED,
    "CANCELED": OrdStatus.CANCELED,
    "EXPIRED": OrdStatus.EXPIRED,
}
TYPES: Final = {
    "LIMIT": OrderType.LIMIT,
    "LIMIT_MAKER": OrderType.LIMIT,
    "MARKET": OrderType.MARKET,
    "STOP_LOSS": OrderType.STOP,
    "STOP_LOSS_LIMIT": OrderType.STOP_LIMIT,
    "TAKE_PROFIT": OrderType.TAKE_PROFIT,
    "TAKE_PROFIT_LIMIT": OrderType.TAKE_PROFIT,
}
WORDS: Final = {
    OrderType.LIMIT: "LIMIT",
    OrderType.MARKET: "MARKET",
    OrderType.STOP: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrderType.TAKE_PROFIT: "TAKE_PROFIT",
}
COMMANDS: Final = {Verb.SUBMIT: "POST order", Verb.CANCEL: "DELETE order"}

NO_RIGHT: Final = (  # of either verb: the account, or its key, may not
    "-1002 You are not authorized to execute this request.",
    "-1022 Signature for this request is not valid.",
    "-2014 API-key format invalid.",
    "-2015 Invalid API-key, IP, or permissions for action.",
)
DISABLED: Final = (
    "This action is disabled on this account.",
    "This account may not place or cancel orders.",
    "Rest API trading is not enabled.",
)
POSTS: Final = {
    "-1013 Filter failure: PRICE_FILTER": OrdRejReason.OTHER,
    "-1013 Filter failure: LOT_SIZE": OrdRejReason.OTHER,  # too much, too little, or between the steps
    "-1013 Filter failure: NOTIONAL": OrdRejReason.OTHER,
    "-1014 Unsupported order combination.": OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC,
    "-1102 Mandatory parameter 'price' was not sent, was empty/null, or malformed.": OrdRejReason.OTHER,
    "-1111 Parameter 'quantity' has too much precision.": OrdRejReason.OTHER,
    "-1115 Invalid timeInForce.": OrdRejReason.OTHER,
    "-1121 Invalid symbol.": OrdRejReason.UNKNOWN_SYMBOL,
    "-2010 Account has insufficient balance for requested action.": OrdRejReason.ORDER_EXCEEDS_LIMIT,
    "-2010 Duplicate order sent.": OrdRejReason.DUPLICATE_ORDER,
    "-2010 Market is closed.": OrdRejReason.EXCHANGE_CLOSED,
    "-2010 Market orders are not supported for this symbol.": OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC,
    "-2010 Order would immediately match and take.": OrdRejReason.OTHER,
    "-2010 Order would trigger immediately.": OrdRejReason.OTHER,
    "-2010 Price * QTY is zero or less.": OrdRejReason.OTHER,
    "-2010 This symbol is not permitted for this account.": OrdRejReason.BROKER,
    "-2010 This symbol is restricted for this account.": OrdRejReason.BROKER,
}
DELETES: Final = {  # "Unknown order sent." is not here: it is said of what is not open, and only of that
    "-1100 Illegal characters found in parameter 'orderId'; legal range is '^[0-9]{1,20}$'.": CxlRejReason.OTHER,
    "-1121 Invalid symbol.": CxlRejReason.OTHER,
    "-2011 Market is closed.": CxlRejReason.OTHER,
}
UNTOLD: Final = (
    "-1000 An unknown error occurred while processing the request.",
    "-1001 Internal error; unable to process your request. Please try again.",
    "-1006 An unexpected response was received from the message bus. Execution status unknown.",
    "-1007 Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    "-1008 Server is currently overloaded with other requests. Please try again in a few minutes.",
    "-9999 Words that the page does not have.",
)
REFUSALS: Final = (
    *(Refusal(Verb.SUBMIT, word, reason) for word, reason in POSTS.items()),
    *(Refusal(Verb.SUBMIT, word, OrdRejReason.BROKER) for word in NO_RIGHT),
    *(Refusal(Verb.SUBMIT, f"-2010 {text}", OrdRejReason.BROKER) for text in DISABLED),
    *(Refusal(Verb.CANCEL, word, reason) for word, reason in DELETES.items()),
    *(Refusal(Verb.CANCEL, word, CxlRejReason.BROKER) for word in NO_RIGHT),
    *(Refusal(Verb.CANCEL, f"-2011 {text}", CxlRejReason.BROKER) for text in DISABLED),
    *(Refusal(Verb.SUBMIT, word, OrdRejReason.OTHER, told=False) for word in UNTOLD),
    *(Refusal(Verb.CANCEL, word, CxlRejReason.OTHER, told=False) for word in UNTOLD),
)


@define(eq=False)
class CcxtBench(Bench):
    """One account's spot orders, under the unified symbols (BTC/USDT). The venue tells nothing that it is not asked for.

    A LIMIT_MAKER is a limit that is post-only. What is too fast (-1003, -1015) or late (-1021) was not executed and may be
    asked anew, so it is a fault and no word of refusal.
    """

    VERBS: ClassVar[Mapping[str, Verb]] = {
        "POST order": Verb.SUBMIT,
        "DELETE order": Verb.CANCEL,
        "GET order": Verb.LOOKUP,
        "GET openOrders": Verb.LIST,
        "GET exchangeInfo": Verb.OTHER,
        "GET time": Verb.OTHER,
        "GET getall": Verb.OTHER,
    }
    SYMBOL: ClassVar[str] = "BTC/USDT"
    PRICE: ClassVar[str] = "100000"  # below the market, and three times as much is above it
    STOP_PRICE: ClassVar[str] = "128000"
    FINE: ClassVar[tuple[str, str]] = ("0.12345", "100000.01")
    MARKETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"BTC/EUR": {}}
    NATURAL: ClassVar[Mapping[OrderType, TimeInForce]] = {
        OrderType.LIMIT: TimeInForce.GTC,
        OrderType.STOP_LIMIT: TimeInForce.GTC,
        OrderType.MARKET: TimeInForce.IOC,
        OrderType.STOP: TimeInForce.IOC,
    }
    EXTRAS: ClassVar[Mapping[OrderType, Mapping[str, Any]]] = {
        OrderType.LIMIT: {"icebergQty": "0.25", "strategyId": 7, "newOrderRespType": "ACK"},
        OrderType.MARKET: {"strategyType": 1000000, "newOrderRespType": "RESULT"},
    }
    FORGETS: ClassVar[frozenset[str]] = frozenset({"newOrderRespType"})
    PAUSE: ClassVar[float] = 1.0
    REFUSALS: ClassVar[Sequence[Refusal]] = REFUSALS

    sim: CcxtSimulator

    # -- how our side reaches it

    def wrong(self) -> Mapping[str, Mapping[str, Any]]:
        key, secret = self.sim.api_key, self.sim.secret
        return {
            "key": {"credentials": {"apiKey": secrets.token_hex(32), "secret": secret}},
            "secret": {"credentials": {"apiKey": key, "secret": secrets.token_hex(32)}},
        }

    # -- what is traded

    def unknown(self, kind: IdKind) -> str:
        """The venue's ids are numbers."""
        return secrets.token_hex(16) if kind is IdKind.CLIENT_ORDER else str(10**12 + secrets.randbelow(10**12))

    # -- what the book and the records say

    def rows(self) -> Sequence[Row]:
        return [self._row(order) for order in self.sim.orders.values()]

    def _row(self, order: Order) -> Row:
        market = self.sim.markets[order.symbol]
        return Row(
            order_id=str(order.order_id),
            status=STATUSES[order.status],
            cum_quantity=order.filled,
            client_order_id=order.client_order_id,
            symbol=f"{market.base}/{market.quote}",
            side=Side(order.side.lower()),
            type=TYPES[order.type],
            quantity=order.quantity,
            price=order.price or None,
            stop_price=order.stop_price or None,
            time_in_force=_time_in_force(order),
            post_only=order.type == "LIMIT_MAKER",
            options={name: Decimal(text) for name, text in order.extras.items()},
        )

    def named(self, received: Received) -> str:
        asked = received.message
        return str(asked.get("orderId") or asked.get("origClientOrderId") or asked.get("newClientOrderId") or "")

    # -- what the venue does of its own accord; it tells nobody

    async def enter(self, order: Wanted) -> str:
        kind = "LIMIT_MAKER" if order.post_only else WORDS[order.type]
        asked = {
            "symbol": order.symbol.replace("/", ""),
            "side": order.side.upper(),
            "type": kind,
            "newClientOrderId": order.client_order_id,
            **{name: str(value) for name, value in order.options.items()},
        }
        if kind not in UNTIMED:
            asked["timeInForce"] = (order.time_in_force or TimeInForce.GTC).upper()
        numbers = {"quantity": order.quantity, "price": order.price, "stopPrice": order.stop_price}
        asked |= {name: f"{number:f}" for name, number in numbers.items() if number is not None}
        return str(self.sim.book.place(asked).order_id)

    async def fill(self, order_id: str, quantity: Decimal | None = None, *, copies: int = 1) -> None:  # noqa: ARG002 - it is never told
        self.sim.fill(order_id, quantity)

    async def expel(self, order_id: str) -> None:
        self.sim.book.expire(order_id)

    async def drop(self) -> None:
        self.sim.drop_connections()
        await asyncio.sleep(0)  # in which the loop tells the server that they are lost

    def refuse(self, refusal: Refusal) -> None:
        self.sim.refuse(COMMANDS[refusal.verb], worded(refusal.word))


def _time_in_force(order: Order) -> TimeInForce:
    """Those that have none show GTC. What a market order does not get at once is not kept, and a maker's order rests."""
    if order.type in UNTIMED and order.type != "LIMIT_MAKER":
        return TimeInForce.IOC
    return TimeInForce(order.time_in_force.lower())
