"""QFEX's words and ours: order types, times in force, statuses, error codes, weights. Refusals are an allow-list."""

from __future__ import annotations

from attrs import frozen

from router.model import OrderType, Side, TimeInForce
from router.report import CxlRejReason, OrdRejReason

__all__ = [
    "DOUBTFUL",
    "ENDED",
    "ERROR_CODES",
    "ORDER_TYPES",
    "REFUSALS",
    "SIDES",
    "STOPS",
    "TIMES_IN_FORCE",
    "TYPES",
    "WEIGHTS",
]

ORDER_TYPES = {
    OrderType.LIMIT: "LIMIT",
    OrderType.MARKET: "MARKET",
    OrderType.STOP: "STOP_LOSS",
    OrderType.TAKE_PROFIT: "TAKE_PROFIT",
}
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
TYPES = {word: kind for kind, word in ORDER_TYPES.items()} | {"ALO": OrderType.LIMIT, "STOP_MARKET": OrderType.STOP}
STOPS = frozenset({"STOP_LOSS", "TAKE_PROFIT"})

GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
TIMES_IN_FORCE = {  # the first is the natural one; a stop's must be there and is not read
    "LIMIT": (GTC, IOC, FOK),
    "ALO": (GTC,),
    "MARKET": (IOC,),
    "STOP_LOSS": (GTC, IOC, FOK),
    "TAKE_PROFIT": (GTC, IOC, FOK),
}

ENDED = frozenset({"CANCELLED", "CANCELLED_STP", "IOC_PARTIALLY_FILLED", "IOC_CANCELLED"})


@frozen
class Refusal:
    """What a reject status may answer, and why it was given."""

    verbs: frozenset[str]
    order_reason: OrdRejReason = OrdRejReason.OTHER
    cancel_reason: CxlRejReason = CxlRejReason.OTHER


_ADD = frozenset({"add"})
_MODIFY = frozenset({"modify"})
_TERMS = frozenset({"modify", "add"})  # an order's terms can be wrong in either
_ANY = frozenset({"cancel", "modify", "add", "cancel_set"})
_CANCEL = frozenset({"cancel", "cancel_set"})

_LIMIT = Refusal(_TERMS, OrdRejReason.ORDER_EXCEEDS_LIMIT)
_QUANTITY = Refusal(_TERMS, OrdRejReason.INCORRECT_QUANTITY)
_OTHER = Refusal(_TERMS)

REFUSALS = {
    "REJECTED": Refusal(_ANY),
    "RATE_LIMITED": Refusal(_ANY),
    "PERMISSION_DENIED": Refusal(_ANY, OrdRejReason.BROKER, CxlRejReason.BROKER),
    "NO_SUCH_ORDER": Refusal(_CANCEL, OrdRejReason.UNKNOWN_ORDER, CxlRejReason.UNKNOWN_ORDER),
    "CANNOT_MODIFY_NO_SUCH_ORDER": Refusal(_MODIFY, OrdRejReason.UNKNOWN_ORDER),
    "CANNOT_MODIFY_PARTIAL_FILL": Refusal(_MODIFY),
    "CANNOT_MODIFY_ALO_WOULD_CROSS": Refusal(_MODIFY),
    "BAD_SYMBOL": Refusal(_ANY, OrdRejReason.UNKNOWN_SYMBOL),
    "INVALID_ORDER_TYPE": Refusal(_TERMS, OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC),
    "INVALID_TIME_IN_FORCE": Refusal(_TERMS, OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC),
    "PRICE_LESS_THAN_MIN_PRICE": _OTHER,
    "PRICE_GREATER_THAN_MAX_PRICE": _OTHER,
    "REJECTED_GREATER_THAN_MAX_PRICE_BAND": _OTHER,
    "REJECTED_LESS_THAN_MIN_PRICE_BAND": _OTHER,
    "INVALID_TICK_SIZE_PRECISION_PRICE": _OTHER,
    "INVALID_TICK_SIZE_PRECISION_QUANTITY": _QUANTITY,
    "QUANTITY_LESS_THAN_MIN_QUANTITY": _QUANTITY,
    "QUANTITY_GREATER_THAN_MAX_QUANTITY": _QUANTITY,
    "INVALID_TAKEPROFIT_PRICE": _OTHER,
    "INVALID_TAKE_PROFIT_PRICE": _OTHER,
    "INVALID_STOPLOSS_PRICE": _OTHER,
    "INVALID_STOP_LOSS_PRICE": _OTHER,
    "FAILED_MARGIN_CHECK": _LIMIT,
    "REJECTED_WOULD_BREACH_MAX_POSITION": _LIMIT,
    "REJECTED_WOULD_BREACH_MAX_NOTIONAL": _LIMIT,
    "REJECTED_LESS_THAN_MIN_NOTIONAL": _QUANTITY,
    "REJECTED_TOO_MANY_OPEN_ORDERS": _LIMIT,
    "REJECTED_OPEN_INTEREST_LIMIT": _LIMIT,
    "REJECTED_TOTAL_OPEN_INTEREST_LIMIT": _LIMIT,
    "REJECTED_MARKET_CLOSED": Refusal(_TERMS, OrdRejReason.EXCHANGE_CLOSED),
    "REJECTED_FAILED_TO_PROCESS": _OTHER,
    "USER_IN_LIQUIDATION": _OTHER,
}

ERROR_CODES = {  # why, as an order and as a cancel; ServerError is not here: the venue itself is in doubt then
    "InvalidJSONFormat": (OrdRejReason.OTHER, CxlRejReason.OTHER),
    "InvalidParameter": (OrdRejReason.OTHER, CxlRejReason.OTHER),
    "InvalidOrder": (OrdRejReason.OTHER, CxlRejReason.OTHER),
    "InvalidPrice": (OrdRejReason.OTHER, CxlRejReason.OTHER),
    "PermissionDenied": (OrdRejReason.BROKER, CxlRejReason.BROKER),
    "KycRequired": (OrdRejReason.BROKER, CxlRejReason.BROKER),
    "TncRequired": (OrdRejReason.BROKER, CxlRejReason.BROKER),
}

DOUBTFUL = ("REJECT", "FAIL", "INVALID", "ERROR", "DENIED", "CANCEL", "EXPIRE", "NO_SUCH")

WEIGHTS = {  # units of the rate budget, where not 1 (rate limits page of 2026)
    "cancel_all_orders": 2.0,
    "get_order": 2.0,
    "get_user_orders": 5.0,
    "subscribe": 0.1,
    "cancel_on_disconnect": 0.1,
}
