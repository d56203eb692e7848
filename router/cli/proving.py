"""What a cancel-all came to, venue by venue: the proof, or the reasons why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from router.cli.exits import DONE, NOT_SENT, REFUSED, UNKNOWN
from router.cli.showing import order_line
from router.console import cell, coloured, show, show_rows, table
from router.massreport import NotAffected, VenueCancelReport
from router.report import OrderState, Outcome

__all__ = ["Part", "Unreached", "code", "facts", "show_parts"]


@attrs.frozen
class Unreached:
    """A venue that could not be connected: nothing was sent to it, and nothing is known of its orders."""

    venue: str
    why: str


Part = VenueCancelReport | Unreached
WORDS = {
    Outcome.CONFIRMED: "proven: {scope} is open (read twice)",
    Outcome.REFUSED: "NOT PROVEN: orders were refused",
    Outcome.UNKNOWN: "NOT PROVEN",
    Outcome.NOT_SENT: "NOT SENT",
}


def code(parts: Mapping[str, Part]) -> int:
    """The exit code: done only if every venue has proven it, and not sent only if nothing was sent to any."""
    outcomes = {_outcome(part) for part in parts.values()}
    if outcomes == {Outcome.CONFIRMED}:
        return DONE
    if outcomes == {Outcome.NOT_SENT}:
        return NOT_SENT
    return REFUSED if outcomes <= {Outcome.CONFIRMED, Outcome.REFUSED} else UNKNOWN


def _outcome(part: Part) -> Outcome:
    if isinstance(part, Unreached):
        return Outcome.NOT_SENT
    if part.no_open_orders:
        return Outcome.CONFIRMED
    left = [each for each in part.not_affected if not _has_ended(each)]
    refused = left and not part.doubts and all(each.reason is not None for each in left)
    return Outcome.REFUSED if refused else Outcome.UNKNOWN


def _has_ended(missed: NotAffected) -> bool:
    return missed.order.status is not None and missed.order.status.is_terminal


def facts(parts: Mapping[str, Part]) -> dict[str, Any]:
    """For JSON."""
    proven = all(_outcome(part) is Outcome.CONFIRMED for part in parts.values())
    return {"no_open_orders": proven, "venues": {name: _facts(part) for name, part in parts.items()}}


def _facts(part: Part) -> dict[str, Any]:
    if isinstance(part, Unreached):
        return {"outcome": _outcome(part), "error": part.why, "no_open_orders": False}
    return {"outcome": _outcome(part), **attrs.asdict(part)}


def show_parts(parts: Mapping[str, Part], scope: str) -> None:
    """As tables: each venue, then everything that was not cancelled or is in doubt, with the reason.

    scope: what a proof is about, as "nothing of AAPL-USD".
    """
    rows = table("venue", "cancelled", "", "outcome")
    for name, part in parts.items():
        taken, outcome = "-" if isinstance(part, Unreached) else str(len(part.affected)), _outcome(part)
        rows.add_row(*map(cell, (name, taken, coloured(outcome), WORDS[outcome].format(scope=scope))))
    show(rows)
    reasons = [(name, *reason) for name, part in parts.items() for reason in _reasons(part)]
    if reasons:
        show_rows(("venue", "what", "order", "why"), reasons)


def _reasons(part: Part) -> Iterator[tuple[str, str, str]]:
    if isinstance(part, Unreached):
        yield "not connected", "-", part.why or "no connection by the deadline"
        return
    for missed in part.not_affected:
        named = "" if missed.reason is None else f"{missed.reason.name}: "
        yield ("had ended" if _has_ended(missed) else "not cancelled"), _line(missed.order), f"{named}{missed.text}"
    for doubt in part.doubts:
        yield "in doubt", _line(doubt.order), doubt.text


def _line(order: OrderState | None) -> str:
    return "-" if order is None else order_line(order)
