"""What ccxt's errors say of a request that was sent. The specific class decides, whatever it inherits from.

What is not in the table leaves the outcome open: RequestTimeout, NetworkError, ExchangeNotAvailable, OnMaintenance,
OperationFailed, BadResponse, NullResponse, CancelPending, NotSupported, the bare ExchangeError, and everything that is not
ccxt's. RateLimitExceeded, DDoSProtection and InvalidNonce inherit from NetworkError, and are known not to be executed.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from attrs import frozen

from router.report import CxlRejReason, OrdRejReason, Outcome
from router.venue import Retry

__all__ = ["Verdict", "judge"]

AT_ONCE: Final = 0.05  # seconds: a new attempt is signed anew, with a new nonce


@frozen(kw_only=True)
class Verdict:
    """missing: the exchange knows no such open order, which for many means filled and cancelled alike."""

    outcome: Outcome = Outcome.REFUSED
    retry: Retry | None = None
    after: float | None = None
    cancel_reason: CxlRejReason = CxlRejReason.OTHER
    order_reason: OrdRejReason = OrdRejReason.OTHER
    missing: bool = False


UNKNOWN: Final = Verdict(outcome=Outcome.UNKNOWN)
LATER: Final = Verdict(retry=Retry.LATER)
BROKER: Final = Verdict(cancel_reason=CxlRejReason.BROKER, order_reason=OrdRejReason.BROKER)
CLOSED: Final = Verdict(order_reason=OrdRejReason.EXCHANGE_CLOSED)

TABLE: Final = {
    "RateLimitExceeded": LATER,
    "DDoSProtection": LATER,
    "InvalidNonce": Verdict(retry=Retry.LATER, after=AT_ONCE),
    "ChecksumError": UNKNOWN,  # inherits from InvalidNonce, and is about order books
    "AuthenticationError": BROKER,  # and PermissionDenied, AccountNotEnabled, AccountSuspended
    "InsufficientFunds": Verdict(order_reason=OrdRejReason.ORDER_EXCEEDS_LIMIT),
    "OrderNotFound": Verdict(
        cancel_reason=CxlRejReason.UNKNOWN_ORDER, order_reason=OrdRejReason.UNKNOWN_ORDER, missing=True
    ),
    "OrderNotCached": UNKNOWN,
    "DuplicateOrderId": Verdict(order_reason=OrdRejReason.DUPLICATE_ORDER),
    "ContractUnavailable": CLOSED,
    "InvalidOrder": Verdict(),  # and OrderImmediatelyFillable, OrderNotFillable
    "BadSymbol": Verdict(order_reason=OrdRejReason.UNKNOWN_SYMBOL),
    "BadRequest": Verdict(),
    "MarketClosed": CLOSED,
    "ManualInteractionNeeded": BROKER,
    "RestrictedLocation": BROKER,
    "OperationRejected": Verdict(),  # and NoChange
}
UNSUPPORTED: Final = Verdict(order_reason=OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC)
SAID: Final = {"duplicate": TABLE["DuplicateOrderId"], "unsupported": UNSUPPORTED, "not supported": UNSUPPORTED}
"""What an InvalidOrder is, by a word of the exchange's: ccxt has one class for many of them."""


def judge(error: Exception, status: int = HTTPStatus.BAD_REQUEST) -> Verdict:
    """What is known of the request whose answer, with this HTTP status, made ccxt raise this."""
    for kind in type(error).__mro__:
        if kind.__module__ == "ccxt.base.errors" and kind.__name__ in TABLE:
            if kind.__name__ == "InvalidOrder":
                said = str(error).lower()
                return next((found for word, found in SAID.items() if word in said), TABLE["InvalidOrder"])
            return _unauthorized(TABLE[kind.__name__], status)
    return UNKNOWN


def _unauthorized(found: Verdict, status: int) -> Verdict:
    """Of a key that has worked before, ccxt calls Binance's "invalid API-key" a matter of speed. HTTP 401 is none."""
    return BROKER if found is LATER and status == HTTPStatus.UNAUTHORIZED else found
