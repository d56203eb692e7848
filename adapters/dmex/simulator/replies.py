"""What the socket says. All of it is assumed: the venue documents no reply."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from adapters.dmex.simulator.book import HASH

__all__ = ["GREETING", "PUSH", "Reply", "reply"]

Reply: TypeAlias = Literal["success", "status", "verdictless"]

GREETING: Final = {"event": "connected", "data": {"server": "simulator"}}
PUSH: Final = {"event": "price", "data": {"asset": "btcusd", "price": "10000000000000"}}


def reply(style: Reply, op: str | None, order_hash: Any, error: str | None) -> dict[str, Any]:
    """The answer to one frame. op: if it names a known one. order_hash: named in it. error: None if it was executed."""
    words: dict[str, Any] = {} if op is None else {"op": op}
    if style == "success":
        words["success"] = error is None
    elif style == "status":
        words["status"] = "ok" if error is None else "error"
    if error is not None and style != "verdictless":
        words["error"] = error
    named = isinstance(order_hash, str) and HASH.fullmatch(order_hash)
    return words | {"data": {"order_hash": order_hash.lower()} if named else {}}
