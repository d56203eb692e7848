"""What a strategy may ask of a Router, wherever that runs: in its own process, or behind a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from router.deadman import DeadMan
from router.massreport import MassCancelReport
from router.model import Cancel, IdKind, Number, Order
from router.report import CancelReport, Event, Health, OrderState, SubmitReport

__all__ = ["Addressed", "AnyRouter", "Batch", "Target"]

Addressed = Cancel | Order | OrderState | SubmitReport
Target = Addressed | str
"""What cancel() takes: anything that knows its own address, or a venue's name followed by an id."""


class Batch(Protocol):
    """Several cancels under way: awaited for all reports in order, or gone through as they complete."""

    def __len__(self) -> int: ...

    def __await__(self) -> Generator[Any, None, list[CancelReport]]: ...

    def __aiter__(self) -> AsyncIterator[CancelReport]: ...


class AnyRouter(Protocol):
    """One vocabulary for several venues. Router says what each of these does."""

    async def open(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Disconnect. Whoever still waits is told what is known."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def recovered(self, timeout: float | None = None) -> list[CancelReport | SubmitReport]:
        """What became of the commands that were in doubt before it was opened."""
        ...

    async def cancel(
        self,
        target: Target,
        id: str | None = None,  # noqa: A002 - the contract's name
        kind: IdKind | str | None = None,
        *,
        symbol: str | None = None,
        deadline: float | None = None,
    ) -> CancelReport:
        """Cancel one order, or the orders that a client id names."""
        ...

    def cancel_many(self, cancels: Iterable[Addressed], *, deadline: float | None = None) -> Batch:
        """Start all of these cancels now."""
        ...

    async def submit(self, order: Order, *, deadline: float | None = None) -> SubmitReport:
        """Place an order, once."""
        ...

    async def cancel_all(
        self,
        venue: str | None = None,
        symbol: str | None = None,
        *,
        scope: Literal["account", "own"] = ...,
        deadline: float = 30,
    ) -> MassCancelReport:
        """Cancel every order in scope, and prove that none is open. Each kind of Router has a default scope of its own."""
        ...

    def deadman(
        self,
        seconds: float,
        *,
        venue: str | None = None,
        symbol: str | None = None,
        scope: Literal["account", "own"] = ...,
        deadline: float = 30,
    ) -> DeadMan:
        """A switch, armed from now on: cancel_all runs when it is not fed for so long."""
        ...

    async def replace(
        self,
        target: Target,
        *,
        quantity: Number | None = None,
        price: Number | None = None,
        stop_price: Number | None = None,
        allow_gap: bool = False,
        deadline: float | None = None,
    ) -> SubmitReport:
        """Change a resting order."""
        ...

    async def open_orders(self, venue: str) -> list[OrderState]:
        """The venue's open orders, freshly read."""
        ...

    def events(self) -> AsyncIterator[Event]:
        """What happens to orders from now on."""
        ...

    def health(self) -> dict[str, Health]:
        """How each venue is."""
        ...
