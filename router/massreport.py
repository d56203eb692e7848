"""What cancel_all() tells: per venue, what it took, what it did not, and why it may not be all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from attrs import frozen

from router.report import CxlRejReason, OrderState

__all__ = ["Doubt", "MassCancelReport", "NotAffected", "VenueCancelReport"]


@frozen(kw_only=True)
class NotAffected:
    """An order in scope that was not cancelled. status None or not terminal: as far as is known it is still open."""

    order: OrderState
    reason: CxlRejReason | None = None
    text: str = ""


@frozen(kw_only=True)
class Doubt:
    """A reason why an order may be open that nothing shows. order: the one it is about, if it is about one."""

    text: str
    order: OrderState | None = None


@frozen(kw_only=True)
class VenueCancelReport:
    """One venue's part. no_open_orders: the venue showed twice, freshly, that nothing in scope is open, and nothing is in
    doubt; False is "not proven". journaled: as in a CancelReport; False where it is of one of the cancels.
    """

    venue: str
    affected: tuple[OrderState, ...] = ()
    not_affected: tuple[NotAffected, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    no_open_orders: bool = False
    journaled: bool | None = None

    def __str__(self) -> str:
        return _line(self)


@frozen(kw_only=True)
class MassCancelReport:
    """The answer to cancel_all(): FIX OrderMassCancelReport, for several venues.

    venues: each venue's part by its name. It tells of orders only: positions stay as they are, and protective stops are
    orders, so they are gone too.
    """

    venues: Mapping[str, VenueCancelReport]

    @property
    def affected(self) -> tuple[OrderState, ...]:
        """Every order that it took."""
        return tuple(order for each in self.venues.values() for order in each.affected)

    @property
    def not_affected(self) -> tuple[NotAffected, ...]:
        """Every order in scope that it saw and did not take, with the reason."""
        return tuple(order for each in self.venues.values() for order in each.not_affected)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Every reason why an order may be open that nothing shows."""
        return tuple(doubt for each in self.venues.values() for doubt in each.doubts)

    @property
    def no_open_orders(self) -> bool:
        """Whether every venue has shown that nothing in scope is open. False is "not proven"."""
        return bool(self.venues) and all(each.no_open_orders for each in self.venues.values())

    @property
    def journaled(self) -> bool | None:
        """Whether the journal will remember all of it after a crash; None without a journal."""
        told = {each.journaled for each in self.venues.values()} - {None}
        return None if not told else all(told)

    def __bool__(self) -> NoReturn:
        raise TypeError("a report is neither true nor false: look at .no_open_orders")

    def __str__(self) -> str:
        return "; ".join(map(str, self.venues.values())) or "no venue"


def _line(part: VenueCancelReport) -> str:
    proof = "no open orders" if part.no_open_orders else "not proven to have no open orders"
    why = ", ".join([*(each.text for each in part.not_affected[:3]), *(each.text for each in part.doubts[:3])])
    return f"{part.venue}: {len(part.affected)} cancelled, {proof}{f' ({why})' if why else ''}; positions are untouched"
