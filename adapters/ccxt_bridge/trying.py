"""At open, with the markets known: whether a cancel, a look-up and an order can be made at all. Nothing is sent.

What ccxt cannot make a request of now it never will, so it is said once and with the reason, instead of NOT_SENT for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from adapters.ccxt_bridge.building import secrets
from adapters.ccxt_bridge.calling import Caller, Run
from adapters.ccxt_bridge.deriving import Markets, dry
from router.model import mint_client_order_id
from router.venue import Spec

__all__ = ["narrowed"]

log = logging.getLogger("router.session")

ABOUT_VALUES: Final = frozenset({"InvalidOrder", "BadRequest", "InsufficientFunds", "BadSymbol", "MarketClosed"})
"""What may be wrong with the order that is tried, and right with another."""
SAMPLE: Final = "1"
MAX_SAID: Final = 300


def narrowed(caller: Caller, spec: Spec, markets: Markets, *, client_ids: bool) -> Spec:
    """What can be done of it. client_ids: whether orders carry them. Raises ValueError when nothing can be cancelled."""
    market = next((each for each in caller.exchange.markets.values() if markets.cover(each)), None)
    if market is None:
        return spec
    symbol = market["symbol"]
    refused = _obstacle(caller, "cancel_order", "1", symbol)
    if refused:
        raise ValueError(f"ccxt can make no cancel for {spec.title}: {refused}")
    if caller.exchange.has.get("fetchOrder") is True and (unread := _obstacle(caller, "fetch_order", "1", symbol)):
        log.warning("%s: no order can be looked up, so no cancel can be confirmed: %s", spec.title, unread)
    order = symbol, "limit", "buy", *_sample(market)
    unplaced = _obstacle(caller, "create_order", *order)
    if client_ids and not unplaced and dry(caller, "create_order", *order).request is not None:
        named = dry(caller, "create_order", *order, {"clientOrderId": mint_client_order_id()})
        if named.request is None:
            unplaced = f"with our client ids, so pass client_order_ids=False: {_words(caller, named)}"
    if unplaced:
        log.warning("%s: no order can be placed: %s", spec.title, unplaced)
        return evolve(spec, order_types=frozenset(), docs={**spec.docs, "placing": f"is impossible: {unplaced}"})
    return spec


def _sample(market: Mapping[str, Any]) -> tuple[str, str]:
    limits = market.get("limits") or {}
    least = [(limits.get(name) or {}).get("min") for name in ("amount", "price")]
    return str(least[0] or SAMPLE), str(least[1] or SAMPLE)


def _obstacle(caller: Caller, name: str, *arguments: Any) -> str:
    """Why ccxt makes no request of it, or ""."""
    run = dry(caller, name, *arguments)
    if run.request is not None or run.error is None:
        return "" if run.request is not None else "it makes no request"
    kinds = {kind.__name__ for kind in type(run.error).__mro__}
    if kinds & ABOUT_VALUES and "ArgumentsRequired" not in kinds:
        return ""
    return _words(caller, run)


def _words(caller: Caller, run: Run) -> str:
    text = f"{type(run.error).__name__}: {run.error}"
    for secret in secrets(caller.exchange):
        text = text.replace(secret, "[redacted]")
    return text[:MAX_SAID]
