"""Which parameters a request may have. The venue refuses what it has not read, so nothing that is sent goes unnoticed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from adapters.ccxt_bridge.simulator.refusal import Refusal

__all__ = ["KEPT", "check"]

SIGNING: Final = frozenset({"timestamp", "recvWindow", "signature"})
KEPT: Final = ("icebergQty", "strategyId", "strategyType")
"""What an order may have besides, and is shown with."""
ADDRESS: Final = frozenset({"symbol", "orderId", "origClientOrderId"})
TERMS: Final = ("symbol", "side", "type", "timeInForce", "quantity", "price", "stopPrice")
TAKEN: Final = {
    "POST order": frozenset({*TERMS, *KEPT, "newClientOrderId", "newOrderRespType", "selfTradePreventionMode"}),
    "DELETE order": ADDRESS | {"newClientOrderId", "cancelRestrictions"},
    "GET order": ADDRESS,
    "GET openOrders": frozenset({"symbol"}),
}
FORMS: Final = frozenset({"ACK", "RESULT", "FULL"})


def check(command: str, asked: Mapping[str, str]) -> None:
    """Raise Refusal for a parameter that is not read, or for an answer's form that there is not."""
    taken = TAKEN.get(command)
    if taken is None:
        return
    read = asked.keys() & (taken | SIGNING)
    if len(read) < len(asked):
        text = f"read '{len(read)}' parameter(s) but was sent '{len(asked)}'"
        raise Refusal(-1104, f"Not all sent parameters were read; {text}.")
    if asked.get("newOrderRespType", "FULL") not in FORMS:
        raise Refusal(-1136, "Invalid newOrderRespType.")
