"""What DMEX answers on its socket. The frames are not documented: all that we assume about them is in this file.

Assumed: a reply is an object that says whether it worked (`success`, or `status`, as the venue's REST API does), and
names the request by the order's hash, or by `op`. A frame that does neither settles nothing, and a refusal counts as one
only with words that the venue's pages use for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from router.report import CxlRejReason, ExecType, OrdRejReason, OrdStatus, Outcome
from router.venue import Answer, Execution, Item, Key

__all__ = ["ADD", "CANCEL", "read_reply"]

ADD, CANCEL = "add", "cancel"
RIVALS = frozenset({CANCEL, ADD})
VERBS = {"cancel_order": CANCEL, "create_order": ADD}
HASH = re.compile(r"0x[0-9a-fA-F]{64}")

WORKED = {"ok", "success"}
FAILED = {"error", "failed", "fail"}

# A refusal, from the documented error names and rules of create and cancel: its whole words, in lower case.
FILLED = (CxlRejReason.TOO_LATE_TO_CANCEL, OrdRejReason.OTHER, OrdStatus.FILLED)
CANCELLED = (CxlRejReason.UNKNOWN_ORDER, OrdRejReason.OTHER, OrdStatus.CANCELED)
CLOSED = (CxlRejReason.UNKNOWN_ORDER, OrdRejReason.OTHER, None)
MISSING = (CxlRejReason.UNKNOWN_ORDER, OrdRejReason.UNKNOWN_ORDER, None)
Refusal = tuple[CxlRejReason, OrdRejReason, OrdStatus | None]

REFUSALS: dict[str, Refusal] = {
    "invalid signature": (CxlRejReason.OTHER, OrdRejReason.OTHER, None),
    "invalid leverage": (CxlRejReason.OTHER, OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC, None),
    "insufficient margin": (CxlRejReason.OTHER, OrdRejReason.ORDER_EXCEEDS_LIMIT, None),
    "amount must be greater than zero": (CxlRejReason.OTHER, OrdRejReason.INCORRECT_QUANTITY, None),
    "not found": MISSING,
    "unknown order": MISSING,
}
for state, refusal in (
    ("filled", FILLED),
    ("cancelled", CANCELLED),
    ("canceled", CANCELLED),
    ("closed", CLOSED),
    ("not open", CLOSED),
    ("not found", MISSING),
):
    for words in ("already {}", "order {}", "order already {}", "order is {}", "order is already {}"):
        REFUSALS[words.format(state)] = refusal
    REFUSALS[f"order is fully {state}"] = refusal


def read_reply(message: Any) -> Iterator[Item]:
    """What one frame says, decoded from JSON."""
    if not isinstance(message, Mapping):
        return
    worked, text = _verdict(message)
    order_hash, verb = _named(message), VERBS.get(str(message.get("op")))
    if worked is None or (message.get("op") is not None and verb is None):
        return
    if order_hash is None and verb is None and not isinstance(message.get("success"), bool):
        return  # {"status": "ok"} alone may be a greeting
    if worked and order_hash is not None and verb is not None:
        yield _execution(order_hash, verb)
    yield _answer(worked, text, order_hash, verb)


def _verdict(message: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether it worked, and the venue's words; None: it doesn't say, or contradicts itself."""
    success, status = message.get("success"), str(message.get("status", "")).lower()
    text = _words(message)
    said = {
        success if isinstance(success, bool) else None,
        True if status in WORKED else False if status in FAILED else None,
        False if text else None,
    } - {None}
    return (said.pop() if len(said) == 1 else None), text


def _words(message: Mapping[str, Any]) -> str:
    error = message.get("error")
    if isinstance(error, Mapping):
        error = error.get("message")
    if isinstance(error, str):
        return error
    errors = message.get("errors")
    if isinstance(errors, list):
        return "; ".join(str(each.get("message")) for each in errors if isinstance(each, Mapping))
    return ""


def _named(message: Mapping[str, Any]) -> str | None:
    """The order hash that the frame names, in lower case."""
    data = message.get("data")
    for place in (data if isinstance(data, Mapping) else {}, message):
        for name in ("order_hash", "hash"):
            value = place.get(name)
            if isinstance(value, str) and HASH.fullmatch(value):
                return value.lower()
    return None


def _answer(worked: bool, text: str, order_hash: str | None, verb: str | None) -> Answer:
    verbs = (verb,) if verb is not None else (CANCEL, ADD)
    keys: tuple[Key, ...] = tuple((each, order_hash or "") for each in verbs)
    facts: dict[str, Any] = {"keys": keys, "sole": order_hash is None, "rivals": RIVALS}
    if worked:  # an order that is cancelled is so for every cancel of it
        everyone = order_hash is not None
        return Answer(**facts, all=everyone, outcome=Outcome.CONFIRMED, order_id=order_hash, text="success")
    refusal = REFUSALS.get(text.lower().strip().rstrip(".!"))
    if refusal is not None:
        cancel_reason, order_reason, status = refusal
        reasons: dict[str, Any] = {"cancel_reason": cancel_reason, "order_reason": order_reason}
        return Answer(**facts, **reasons, outcome=Outcome.REFUSED, status=status, text=text)
    return Answer(**facts, outcome=Outcome.UNKNOWN, text=text or "failed, without a reason")


def _execution(order_hash: str, verb: str) -> Execution:
    if verb == CANCEL:
        return Execution(exec_type=ExecType.CANCELED, order_id=order_hash, status=OrdStatus.CANCELED)
    return Execution(exec_type=ExecType.NEW, order_id=order_hash, status=OrdStatus.NEW)
