"""The venue's words of refusal, by what they mean: statuses of an order_response in capitals, and error codes of an err."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from router.report import CxlRejReason, OrdRejReason
from router.testing import Refusal, Verb

__all__ = ["REFUSALS"]

Ord, Cxl = OrdRejReason, CxlRejReason
ORDERS: Final = {  # what rejects an order for what it says or for who sends it, entered or modified
    Ord.UNKNOWN_SYMBOL: "BAD_SYMBOL",
    Ord.EXCHANGE_CLOSED: "REJECTED_MARKET_CLOSED",
    Ord.UNSUPPORTED_ORDER_CHARACTERISTIC: "INVALID_ORDER_TYPE INVALID_TIME_IN_FORCE",
    Ord.INCORRECT_QUANTITY: "INVALID_TICK_SIZE_PRECISION_QUANTITY QUANTITY_LESS_THAN_MIN_QUANTITY "
    "QUANTITY_GREATER_THAN_MAX_QUANTITY REJECTED_LESS_THAN_MIN_NOTIONAL",
    Ord.ORDER_EXCEEDS_LIMIT: "FAILED_MARGIN_CHECK REJECTED_WOULD_BREACH_MAX_POSITION REJECTED_WOULD_BREACH_MAX_NOTIONAL "
    "REJECTED_TOO_MANY_OPEN_ORDERS REJECTED_OPEN_INTEREST_LIMIT REJECTED_TOTAL_OPEN_INTEREST_LIMIT",
    Ord.BROKER: "PERMISSION_DENIED PermissionDenied KycRequired TncRequired",
    Ord.OTHER: "REJECTED REJECTED_FAILED_TO_PROCESS USER_IN_LIQUIDATION PRICE_LESS_THAN_MIN_PRICE "
    "PRICE_GREATER_THAN_MAX_PRICE REJECTED_GREATER_THAN_MAX_PRICE_BAND REJECTED_LESS_THAN_MIN_PRICE_BAND "
    "INVALID_TICK_SIZE_PRECISION_PRICE INVALID_TAKEPROFIT_PRICE INVALID_TAKE_PROFIT_PRICE INVALID_STOPLOSS_PRICE "
    "INVALID_STOP_LOSS_PRICE InvalidJSONFormat InvalidParameter InvalidOrder InvalidPrice",
}
MODIFIES: Final = {
    Ord.UNKNOWN_ORDER: "CANNOT_MODIFY_NO_SUCH_ORDER",
    Ord.OTHER: "CANNOT_MODIFY_PARTIAL_FILL CANNOT_MODIFY_ALO_WOULD_CROSS",
}
CANCELS: Final = {
    Cxl.UNKNOWN_ORDER: "NO_SUCH_ORDER",
    Cxl.BROKER: "PERMISSION_DENIED PermissionDenied KycRequired TncRequired",
    Cxl.OTHER: "REJECTED InvalidJSONFormat InvalidParameter InvalidOrder",
}
UNTOLD: Final = ("ServerError", "REJECTED_BY_THE_MOON")
"""What leaves open what became of the command: the venue in doubt, and a text that is on no page."""


def _told(verb: Verb, words: Mapping[Any, str]) -> list[Refusal]:
    return [Refusal(verb, word, reason) for reason, said in words.items() for word in said.split()]


REFUSALS: Final = (
    *_told(Verb.SUBMIT, ORDERS),
    *_told(Verb.REPLACE, ORDERS),
    *_told(Verb.REPLACE, MODIFIES),
    *_told(Verb.CANCEL, CANCELS),
    *(Refusal(verb, word, Ord.OTHER, told=False) for verb in (Verb.SUBMIT, Verb.REPLACE) for word in UNTOLD),
    *(Refusal(Verb.CANCEL, word, Cxl.OTHER, told=False) for word in UNTOLD),
)
