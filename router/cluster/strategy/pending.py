"""One command on its way to a gateway, or one whose outcome is not known: what it says, where it was sent, and its reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol

from attrs import define
from msgspec import structs

from router.cluster import wire
from router.model import Cancel, Order, optional_number
from router.report import CancelReport, OrderState, Outcome, Replace, SubmitReport

__all__ = ["Make", "Pending", "Phase", "Report", "may_be_of", "request_of", "unsayable"]

LONGEST_ID: Final = 256  # characters, of any word that names something

Report = CancelReport | SubmitReport
Make = Callable[[str, float], wire.Settleable]
"""The message, for this tenure and with this deadline by its gateway's clock."""


class Phase(StrEnum):
    """Where a command stands."""

    LOOKING = "looking"
    SENT = "sent"
    DONE = "done"


class Keeper(Protocol):
    """Who has it."""

    def expired(self, pending: Pending) -> None:
        """Its deadline has come, or its caller has gone."""

    async def settle(self, pending: Pending, timeout: float | None) -> Report:
        """What its report's settled() does."""
        ...


@define(eq=False)
class Pending:
    """One command. request: as its report shows it; make: its message, for a tenure and with a deadline; heard: told of each report."""

    venue: str
    verb: str
    op: str
    request: Order | Cancel | Replace
    make: Make
    due: float
    told: asyncio.Future[Any]
    keeper: Keeper
    heard: Callable[[Report], None] = lambda _: None
    phase: Phase = Phase.LOOKING
    command: wire.Settleable | None = None
    """As it was last sent."""
    sent_at: float = 0.0
    """By the gateway's clock."""
    turns: int = 0
    connections: int = 0
    call: asyncio.Future[bytes] | None = None
    inquiry: asyncio.Task[None] | None = None
    was_inquired: bool = False
    may_go_elsewhere: bool = True
    final: wire.Facts | None = None
    notes: tuple[str, ...] = ()

    @property
    def tenure(self) -> str:
        """Which it was last sent to; "" if to none."""
        return "" if self.command is None else self.command.tenure

    def may_be_of(self, symbol: str | None) -> bool:
        """Whether it may be about this symbol; None is every one."""
        return may_be_of(self.request, symbol)

    # -- what Deadlines asks

    @property
    def is_awaited(self) -> bool:
        return not self.told.done()

    @property
    def deadline(self) -> float | None:
        return None if self.told.done() else self.due

    def expire(self, now: float) -> None:
        if self.told.done() or self.due <= now:
            self.keeper.expired(self)

    # -- how it is told

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes = (*self.notes[-3:], text)

    def report(self, facts: wire.Facts) -> Report:
        """Raises ValueError for facts that make none."""
        settle = partial(self.keeper.settle, self)
        if isinstance(self.request, Cancel):
            return facts.cancel_report(self.request, settle)
        if isinstance(self.request, Order) and facts.client_order_id is None:
            named = {"client_order_id": self.request.client_order_id, "symbol": self.request.symbol}
            facts = structs.replace(facts, **named)
        return facts.submit_report(self.request, settle)

    def ours(self, outcome: Outcome, text: str) -> wire.Facts:
        """What we say ourselves."""
        words = "; ".join([text, *self.notes]) if outcome is Outcome.UNKNOWN else text
        if isinstance(self.request, Replace):
            target = self.request.target
            return wire.Facts(outcome=outcome, text=words, order_id=target.id, symbol=target.symbol)
        return wire.Facts(outcome=outcome, text=words)


def unsayable(request: Order | Cancel | Replace) -> str:
    """Why no gateway would read it, or ""."""
    if isinstance(request, Order):
        words = [request.client_order_id, request.symbol]
    else:
        cancel = request.target if isinstance(request, Replace) else request
        words = [cancel.id, cancel.symbol or ""]
    longest = max(map(len, words))
    return f"an id of {longest} characters is too long; {LONGEST_ID} go over NATS" if longest > LONGEST_ID else ""


def may_be_of(request: Order | Cancel | Replace, symbol: str | None) -> bool:
    """Whether it may be about this symbol, for all that it says."""
    own = request.target.symbol if isinstance(request, Replace) else request.symbol
    return symbol is None or own is None or own == symbol


def request_of(venue: str, command: wire.Settleable) -> Order | Cancel | Replace:
    """What was asked for."""
    match command:
        case wire.Submitting():
            return command.order.order(venue)
        case wire.Cancelling():
            return command.cancel.cancel(venue)
        case wire.Replacing():
            return Replace(
                target=command.target.cancel(venue),
                known=OrderState(venue=venue, order_id=None),
                quantity=optional_number(command.quantity, "quantity", venue),
                price=optional_number(command.price, "price", venue),
                stop_price=optional_number(command.stop_price, "stop_price", venue),
            )
