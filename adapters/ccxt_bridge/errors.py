"""What ccxt's errors say of a request that was sent. The specific class decides, whatever it inherits from.

What is not in the table leaves the outcome open: RequestTimeout, NetworkError, ExchangeNotAvailable, OnMaintenance,
OperationFailed, BadResponse, NullResponse, CancelPending, NotSupported, the bare ExchangeError, and everything that is not
ccxt's. RateLimitExceeded, DDoSProtection and InvalidNonce inherit from NetworkError, and are known not to be executed.

Before the class, the exchange's own words: a time-out, something internal, pending or busy is no refusal, whatever class ccxt
has put it in. And what must not be done twice is attempted again only after exactly RateLimitExceeded or InvalidNonce.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from attrs import frozen

from router.report import CxlRejReason, OrdRejReason, Outcome
from router.venue import Retry

__all__ = ["AT_ONCE", "Verdict", "judge"]

AT_ONCE: Final = 0.05  # seconds: a new attempt is signed anew, with a new nonce; only nonces have this pause


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
RETRIED: Final = frozenset({"RateLimitExceeded", "InvalidNonce"})
_OPEN = re.compile(
    r"time[d _-]{0,2}out|internal|unknown[ _-](?:err|exce|state)|(?:status|result|state)[ _](?:is[ _])?unknown"
    r"|busy|processing|in[ _]process\b|pending|submitted|overload",
    re.IGNORECASE,
)
"""Words that say that it is not known, or still under way."""
UNSUPPORTED: Final = Verdict(order_reason=OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC)
SAID: Final = {"duplicate": TABLE["DuplicateOrderId"], "unsupported": UNSUPPORTED, "not supported": UNSUPPORTED}
"""What an InvalidOrder is, by a word of the exchange's: ccxt has one class for many of them."""


def judge(error: Exception, status: int = HTTPStatus.BAD_REQUEST, *, once: bool = False) -> Verdict:
    """What is known of the request whose answer, with this HTTP status, made ccxt raise this. once: it must not be repeated."""
    if _OPEN.search(str(error)):
        return UNKNOWN
    found = _by_class(error, status)
    return UNKNOWN if once and found.retry is not None and not _is_exactly(error, RETRIED) else found


def _is_exactly(error: Exception, names: frozenset[str]) -> bool:
    return type(error).__module__ == "ccxt.base.errors" and type(error).__name__ in names


def _by_class(error: Exception, status: int) -> Verdict:
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
