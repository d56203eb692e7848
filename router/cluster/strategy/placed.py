"""What a strategy remembers of the orders that it has placed through gateways: which Order was submitted, and what is its own.

Of an Order, for as long as the strategy has the object: its operation, and its address once that is known. Of everything else only the
ids by which a cancel_all of its own orders finds them at a gateway that has never heard of them; of these the last ones are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from weakref import ref

from router.cluster.strategy.pending import Pending, may_be_of
from router.model import Cancel, IdKind, Order, is_minted
from router.report import CancelReport, OrderState, Outcome, SubmitReport

__all__ = ["Placed", "PlacedOrders", "by_client_id"]

MOST_KNOWN: Final = 10_000  # of one venue
MOST_CHARACTERS: Final = 600_000  # of one message
MOST_DOUBTS: Final = 1000


class Placed:
    """One Order object. address: by the venue's id; fate: why there is nothing to cancel. Where a venue has refused an order and
    given it an id all the same, its gateway knows better.
    """

    def __init__(self, order: Order, among: dict[int, Placed]) -> None:
        number = id(order)
        self.order = ref(order, lambda _: among.pop(number, None))
        self.pending: Pending | None = None
        self.address: Cancel | None = None
        self.fate: str | None = None

    def heard(self, report: SubmitReport) -> None:
        """What its submit came to, as far as is known."""
        if report.outcome is Outcome.NOT_SENT or (report.outcome is Outcome.REFUSED and report.order_id is None):
            self.fate = report.text
        elif report.outcome is not Outcome.REFUSED and report.order_id is not None:
            self.address = report.to_cancel()
        if self.fate is not None or self.address is not None:
            self.pending = None  # it holds the Order, which must go when the strategy lets go of it


class PlacedOrders:
    """All of one strategy's."""

    def __init__(self) -> None:
        self._orders: dict[int, Placed] = {}
        self._own: dict[str, dict[str, None]] = {}
        self._doubts: dict[str, SubmitReport] = {}
        self.forgotten: set[str] = set()
        """Venues of which there were more doubts than are kept."""

    def new(self, order: Order) -> Placed:
        """It is being submitted. Raises ValueError if it was before."""
        if self.of(order) is not None:
            raise ValueError(
                f"{order.venue}: the order {order.client_order_id} was submitted before; build a new Order to place another"
            )
        placed = self._orders[id(order)] = Placed(order, self._orders)
        if is_minted(order.client_order_id):  # or the id may name somebody else's orders as well
            self._add(order.venue, order.client_order_id)
        return placed

    def of(self, order: Order) -> Placed | None:
        found = self._orders.get(id(order))
        return found if found is not None and found.order() is order else None

    def own(self, venue: str) -> tuple[str, ...]:
        """The ids of orders that are its own and may be open, as many as a message takes."""
        found, size = [], 0
        for name in reversed(self._own.get(venue, {})):
            size += len(name) + 3
            if size > MOST_CHARACTERS:
                break
            found.append(name)
        return tuple(found)

    def submitted(self, venue: str, client_order_id: str | None, report: SubmitReport) -> None:
        """A submit or a replace has come to this."""
        if report.outcome in {Outcome.NOT_SENT, Outcome.REFUSED} or report.order_id is not None:
            self._drop(venue, client_order_id)
        if report.order_id is not None and report.outcome is Outcome.CONFIRMED and not _is_over(report):
            self._add(venue, report.order_id)

    def told(self, op: str, report: SubmitReport) -> None:
        """What the caller of this submit or replace has been told."""
        self._doubts.pop(op, None)
        if report.outcome is Outcome.UNKNOWN:
            self._doubts[op] = report
            if len(self._doubts) > MOST_DOUBTS:
                oldest = self._doubts.pop(next(iter(self._doubts)))
                self.forgotten.add(oldest.request.venue)

    def in_doubt(self, venue: str, symbol: str | None) -> dict[str, SubmitReport]:
        """Submits and replaces that may have placed something there, for all that is known, by their operations."""
        there = {op: report for op, report in self._doubts.items() if report.request.venue == venue}
        return {op: report for op, report in there.items() if may_be_of(report.request, symbol)}

    @property
    def venues(self) -> set[str]:
        """Where something of its own may be open."""
        own = {venue for venue, names in self._own.items() if names}
        return own | self.forgotten | {report.request.venue for report in self._doubts.values()}

    def cancelled(self, report: CancelReport) -> None:
        """A cancel has come to this."""
        self.over(order for order in report.orders if _is_over(order))

    def over(self, orders: Iterable[OrderState]) -> None:
        """These can no longer trade."""
        for order in orders:
            self._drop(order.venue, order.order_id)
            self._drop(order.venue, order.client_order_id)

    def _add(self, venue: str, name: str) -> None:
        known = self._own.setdefault(venue, {})
        known[name] = None
        if len(known) > MOST_KNOWN:
            del known[next(iter(known))]

    def _drop(self, venue: str, name: str | None) -> None:
        if name is not None:
            self._own.get(venue, {}).pop(name, None)


def by_client_id(order: Order) -> Cancel:
    """The Cancel that names an Order by the id that it was given here."""
    kind = IdKind.CLIENT_TWAP if order.type.value == "twap" else IdKind.CLIENT_ORDER
    return Cancel(order.venue, order.client_order_id, kind, order.symbol)


def _is_over(state: OrderState | SubmitReport) -> bool:
    return state.status is not None and state.status.is_terminal
