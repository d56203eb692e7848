"""What is asked for: reading the body of a placing request, and checking it against its market."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from adapters.b2trader.simulator.formats import decimal_string
from adapters.b2trader.simulator.markets import Market
from adapters.b2trader.simulator.refusal import invalid

__all__ = ["Ticket", "base_amount", "check_activation", "check_terms", "read_ticket"]

LARGEST: Final = 14  # the power of ten no amount and no price may reach


class Protection(msgspec.Struct, rename="camel", frozen=True):
    """A stop loss or take profit of a CFD or perpetual order."""

    price: Decimal
    is_trailing: bool = False


class Ticket(msgspec.Struct, rename="camel", frozen=True):
    """The inside of {"order": {...}} of every placing request. Unknown fields are ignored, unknown values are not."""

    market_id: str
    side: Literal["Buy", "Sell"]
    order_type: Literal["Market", "Limit"]
    time_in_force: Literal["Gtc", "Ioc", "Fok", "Gtd", "Day"]
    requested_amount: Decimal | None = None
    requested_lot_amount: Decimal | None = None
    requested_price: Decimal | None = None
    activation_price: Decimal | None = None
    cancellation_date: str | None = None
    comment: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    leverage: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stop_loss: Protection | None = None
    take_profit: Protection | None = None

    @property
    def rests(self) -> bool:
        """Whether what is not filled at once may wait."""
        return self.order_type == "Limit" and self.time_in_force not in {"Ioc", "Fok"}


class _Envelope(msgspec.Struct, frozen=True):
    order: Ticket


def read_ticket(body: bytes) -> Ticket:
    """The ticket in a request's body. Like all below, raises Refusal when it is not one."""
    try:
        return msgspec.json.decode(body, type=_Envelope).order
    except (ValueError, ArithmeticError) as error:  # msgspec's own errors are ValueErrors
        raise invalid(str(error)) from None


def base_amount(ticket: Ticket, market: Market) -> Decimal:
    """How much is asked for, in the base asset."""
    lots = market.lot_size is not None
    name, asked = (
        ("requestedLotAmount", ticket.requested_lot_amount) if lots else ("requestedAmount", ticket.requested_amount)
    )
    amount = _check(name, asked, market.amount_scale)
    if amount < market.min_amount:
        raise invalid(f"{name} is below {decimal_string(market.min_amount)}")
    return amount * (market.lot_size or 1)


def check_activation(ticket: Ticket, market: Market) -> Decimal:
    """The activation price that a stop order must have."""
    return _check("activationPrice", ticket.activation_price, market.price_scale)


def check_terms(ticket: Ticket, market: Market) -> None:
    """Its prices and its expiry."""
    if ticket.order_type == "Limit":
        _check("requestedPrice", ticket.requested_price, market.price_scale)
    elif ticket.requested_price is not None:
        raise invalid("requestedPrice must be null or omitted for Market orders")
    for name, protection in (("stopLoss.price", ticket.stop_loss), ("takeProfit.price", ticket.take_profit)):
        if protection is not None:
            _check(name, protection.price, market.price_scale)
    _check_expiry(ticket)


def _check_expiry(ticket: Ticket) -> None:
    if ticket.order_type == "Market" and ticket.time_in_force in {"Gtd", "Day"}:
        raise invalid("timeInForce applies to limit orders only")
    if ticket.time_in_force != "Gtd":
        return
    try:
        datetime.fromisoformat(ticket.cancellation_date or "")
    except ValueError:
        raise invalid("cancellationDate is required for Gtd") from None


def _check(name: str, value: Decimal | None, scale: int) -> Decimal:
    """A number that is there, positive, not absurd, and on the market's grid."""
    if value is None:
        raise invalid(f"{name} is required")
    if not value.is_finite() or value <= 0 or value.adjusted() >= LARGEST or len(value.as_tuple().digits) > 2 * LARGEST:
        raise invalid(f"{name} is out of range")
    if value.as_tuple().exponent > 0:  # type: ignore[operator]  # it is finite
        raise invalid(f"{name} has an exponent, and the page writes numbers out")
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > scale:
        raise invalid(f"{name} has more than {scale} decimals")
    return value
