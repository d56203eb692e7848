"""The simulated B2TRADER as the conformance cases see it: its book in the library's words, and what it may say otherwise."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from attrs import define

from adapters.b2trader.simulator.formats import mint
from adapters.b2trader.simulator.markets import Market
from adapters.b2trader.simulator.orders import Order, Stop
from adapters.b2trader.simulator.tickets import Protection, Ticket
from router.model import IdKind, OrderType, Side, TimeInForce
from router.model import Order as Wanted
from router.report import CxlRejReason, OrdRejReason, OrdStatus
from router.testing import Bench, Received, Refusal, Row, Verb

if TYPE_CHECKING:
    from adapters.b2trader.simulator.desk import Family
    from adapters.b2trader.simulator.server import B2TraderSimulator

__all__ = ["B2TraderBench"]

STATUSES: Final = {
    "Started": OrdStatus.NEW,
    "Pending": OrdStatus.NEW,
    "Working": OrdStatus.PARTIALLY_FILLED,
    "Completed": OrdStatus.FILLED,
    "Cancelled": OrdStatus.CANCELED,
    "Expired": OrdStatus.EXPIRED,
    "Rejected": OrdStatus.REJECTED,
}
TYPES: Final = {  # the venue's orderType, and whether it is a stop order
    ("Limit", False): OrderType.LIMIT,
    ("Market", False): OrderType.MARKET,
    ("Limit", True): OrderType.STOP_LIMIT,
    ("Market", True): OrderType.STOP,
}
NATURAL: Final = {"Limit": "Gtc", "Market": "Ioc"}
METHODS: Final = {Verb.SUBMIT: "POST", Verb.CANCEL: "DELETE"}
POSTS: Final = {  # HTTP statuses; "Rejected" is an order's, and comes with a 200
    "400": OrdRejReason.OTHER,
    "403": OrdRejReason.BROKER,
    "404": OrdRejReason.UNKNOWN_SYMBOL,
    "422": OrdRejReason.OTHER,
    "Rejected": OrdRejReason.OTHER,  # the values of rejectDetails are not known
}
DELETES: Final = {
    "400": CxlRejReason.OTHER,
    "403": CxlRejReason.BROKER,
    "404": CxlRejReason.UNKNOWN_ORDER,
    "422": CxlRejReason.OTHER,
}
UNTOLD: Final = ("418", "500", "503")
REFUSALS: Final = (
    *(Refusal(Verb.SUBMIT, word, reason) for word, reason in POSTS.items()),
    *(Refusal(Verb.CANCEL, word, reason) for word, reason in DELETES.items()),
    *(Refusal(Verb.SUBMIT, word, OrdRejReason.OTHER, told=False) for word in UNTOLD),
    *(
        Refusal(Verb.CANCEL, word, CxlRejReason.OTHER, told=False)
        for word in (*UNTOLD, "Working", "Pending", "Started")
    ),
)


@define(eq=False)
class B2TraderBench(Bench):
    """One account's orders and stop orders. The venue has no client ids, and pushes nothing on what this library uses.

    In a market that is sized in lots, quantities are lots. A stop that has fired counts as FILLED, by what the order that
    it became has traded: it is neither waiting nor cancelled.
    """

    VERBS: ClassVar[Mapping[str, Verb]] = {
        "POST access-token": Verb.LOGIN,
        "POST orders": Verb.SUBMIT,
        "POST stop-orders": Verb.SUBMIT,
        "DELETE orders": Verb.CANCEL,
        "DELETE stop-orders": Verb.CANCEL,
        "GET accounts": Verb.OTHER,
    }
    SYMBOL: ClassVar[str] = "spot.btc_usdt"
    REFUSALS: ClassVar[Sequence[Refusal]] = REFUSALS
    VARIANTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "a cancelled stop has a date": {"stop_cancel_mode": "dated"},
        "a cancelled stop looks as before": {"stop_cancel_mode": "unchanged"},
        "versions are required": {"versions_required": True},
        "lack of funds is a 200": {"funds_mode": "200"},
        "errors are problems": {"error_style": "problem"},
        "errors are lists": {"error_style": "errors"},
        "errors are empty": {"error_style": "empty"},
        "errors are pages": {"error_style": "html"},
    }
    STOP_PRICE: ClassVar[str] = "128000"  # above the ask: a buy stop waits

    PAUSE: ClassVar[float] = 1.0
    FINE: ClassVar[tuple[str, str]] = ("0.12345", "115150.35")
    MARKETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cfd.eth_eur": {"unit": "lots"},
        "perp.btc_usdt": {
            "unit": "lots",
            "leverage": 3,
            "take_profit": "130000.5",
            "stop_loss": {"price": "90", "isTrailing": True},
        },
    }
    NATURAL: ClassVar[Mapping[OrderType, TimeInForce]] = {
        OrderType.LIMIT: TimeInForce.GTC,
        OrderType.STOP_LIMIT: TimeInForce.GTC,
        OrderType.MARKET: TimeInForce.IOC,
        OrderType.STOP: TimeInForce.IOC,
    }
    EXTRAS: ClassVar[Mapping[OrderType, Mapping[str, Any]]] = {kind: {"comment": f"a {kind}"} for kind in NATURAL}

    sim: B2TraderSimulator

    # -- how our side reaches it

    def setups(self) -> Mapping[str, Mapping[str, Any]]:
        return {"": {}, "token": {"offline_token": None, "token": self.sim.token()}}

    def claims(self, setup: str) -> Mapping[str, Any]:  # noqa: ARG002 - the credentials change nothing
        return {
            "cancel_kinds": frozenset({IdKind.ORDER, IdKind.STOP_ORDER}),
            "set_kinds": frozenset(),
            "needs_symbol": frozenset(),
            "order_types": frozenset(TYPES.values()),
            "lists": frozenset(),
            "replaces": frozenset(),
            "mass_cancels": frozenset(),
            "tells_trades": False,
        }

    def logins(self) -> Mapping[str, Mapping[str, Any]]:
        return {"token": {"offline_token": None, "token": self.sim.token()}}

    def wrong(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            "offline token": {"offline_token": secrets.token_urlsafe(32)},
            "token": {"offline_token": None, "token": secrets.token_urlsafe(64)},
        }

    # -- what is traded

    def unknown(self, kind: IdKind) -> str:  # noqa: ARG002 - all ids look alike
        return mint(self.sim.clock())

    # -- what the book and the records say

    def rows(self) -> Sequence[Row]:
        entries: list[Order | Stop] = [*self.sim.orders.values(), *self.sim.stops.values()]
        entries.sort(key=lambda entry: entry.created)
        return [self._row(entry) for entry in entries]

    def _row(self, entry: Order | Stop) -> Row:
        ticket, market, stop = entry.ticket, entry.market, isinstance(entry, Stop)
        lot = market.lot_size or 1
        return Row(
            order_id=entry.order_id,
            kind=IdKind.STOP_ORDER if stop else IdKind.ORDER,
            status=_stop_status(entry) if isinstance(entry, Stop) else STATUSES[entry.status],
            cum_quantity=self._traded(entry) / lot,
            symbol=market.market_id,
            side=Side(ticket.side.lower()),
            type=TYPES[ticket.order_type, stop],
            quantity=entry.requested_amount / lot,
            price=ticket.requested_price,
            stop_price=ticket.activation_price if stop else None,
            time_in_force=TimeInForce(ticket.time_in_force.lower()),
            expires_at=None if ticket.cancellation_date is None else datetime.fromisoformat(ticket.cancellation_date),
            options=_options(ticket, market),
        )

    def _traded(self, entry: Order | Stop) -> Decimal:
        if isinstance(entry, Order):
            return entry.filled_amount
        return Decimal(0) if entry.child is None else self.sim.orders[entry.child].filled_amount

    def named(self, received: Received) -> str:
        """A DELETE names an id in its path; a POST has no name for its order."""
        path = received.message["path"].partition("?")[0]
        return str(path).rpartition("/")[2] if received.command.startswith("DELETE ") else ""

    # -- what the venue does of its own accord; it tells nobody

    async def enter(self, order: Wanted) -> str:
        market = self.sim.markets[order.symbol]
        family = cast("Family", order.symbol.partition(".")[0])
        stop = order.stop_price is not None
        place = self.sim.desk.place_stop if stop else self.sim.desk.place
        return place(family, _ticket(order, market)).order_id

    async def fill(self, order_id: str, quantity: Decimal | None = None, *, copies: int = 1) -> None:  # noqa: ARG002 - it is never told
        """A stop fires, and the order that it becomes trades: a market order at once, and in full."""
        order = self.sim.activate(order_id) if order_id in self.sim.stops else self.sim.orders[order_id]
        part = None if quantity is None else quantity * (order.market.lot_size or 1)
        if order.status != "Completed":
            self.sim.fill(order.order_id, part)
        elif part not in {None, order.filled_amount}:
            raise ValueError(f"it has traded {order.filled_amount} at once")

    async def expel(self, order_id: str) -> None:
        """An order is cancelled, as by an administrator; a stop's price is reached, and its order refused."""
        if order_id in self.sim.stops:
            self.sim.refuse_activation(order_id)
        else:
            self.sim.desk.cancel(order_id)

    async def drop(self) -> None:
        await self.sim.drop_connections()

    def refuse(self, refusal: Refusal) -> None:
        self.sim.refuse(METHODS[refusal.verb], refusal.word)


def _stop_status(stop: Stop) -> OrdStatus:
    """What its own status does not tell: a cancelled stop may say Rejected, or that it waits."""
    if stop.live:
        return OrdStatus.NEW
    if stop.child is not None:
        return OrdStatus.FILLED
    return OrdStatus.CANCELED if stop.withdrawn else OrdStatus.REJECTED


def _options(ticket: Ticket, market: Market) -> dict[str, Any]:
    loss, profit = ticket.stop_loss, ticket.take_profit
    options = {
        "unit": "lots" if market.lot_size is not None else None,
        "comment": ticket.comment,
        "leverage": ticket.leverage,
        "take_profit": None if profit is None else profit.price,
        "stop_loss": {"price": loss.price, "isTrailing": True} if loss and loss.is_trailing else loss and loss.price,
    }
    return {name: value for name, value in options.items() if value is not None}


def _ticket(order: Wanted, market: Market) -> Ticket:
    limit = order.price is not None
    lots = market.lot_size is not None
    options = order.options
    return Ticket(
        market_id=order.symbol,
        side="Buy" if order.side is Side.BUY else "Sell",
        order_type="Limit" if limit else "Market",
        time_in_force=cast("Any", order.time_in_force or NATURAL["Limit" if limit else "Market"]).capitalize(),
        requested_amount=None if lots else order.quantity,
        requested_lot_amount=order.quantity if lots else None,
        requested_price=order.price,
        activation_price=order.stop_price,
        cancellation_date=None if order.expires_at is None else order.expires_at.astimezone(UTC).isoformat(),
        comment=options.get("comment"),
        leverage=options.get("leverage"),
        stop_loss=_protection(options.get("stop_loss")),
        take_profit=_protection(options.get("take_profit")),
    )


def _protection(given: Any) -> Protection | None:
    if given is None:
        return None
    terms = given if isinstance(given, Mapping) else {"price": given}
    return Protection(Decimal(terms["price"]), terms.get("isTrailing", False))
