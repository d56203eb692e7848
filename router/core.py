"""The Router: one cancel() and one submit() across venues. It routes; each venue's Desk does the rest."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Generator, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet, WeakValueDictionary

from router.desk import Desk
from router.errors import RouterClosed, UnknownVenue
from router.model import Cancel, IdKind, Number, Order, optional_number
from router.report import CancelReport, Event, Health, OrderState, Replace, SubmitReport
from router.venue import Adapter

__all__ = ["CancelBatch", "EventStream", "Router", "Target"]

CHUNK = 32  # cancels started between two yields, so that many at once don't hold up another venue's

Addressed = Cancel | Order | OrderState | SubmitReport
Target = Addressed | str
"""What cancel() takes: anything that knows its own address, or a venue's name followed by an id."""


class Router:
    """One vocabulary for several venues, each by the name given here.

    venues: adapters by name; strict: False starts with those venues that can be reached and tells of the others in
    health(). Use it as an async context manager: entering connects every venue and waits until each is ready, and
    raises LoginRefused or VenueUnreachable (an ExceptionGroup for several).
    """

    def __init__(self, venues: Mapping[str, Adapter], *, strict: bool = True) -> None:
        self._strict = strict
        self._streams: WeakSet[EventStream] = WeakSet()
        self._desks = {name: Desk(name, adapter, self._publish) for name, adapter in venues.items()}
        self._submitted: WeakValueDictionary[int, Order] = WeakValueDictionary()
        self._is_open = self._was_closed = False

    def __repr__(self) -> str:
        return f"<Router {', '.join(self._desks) or 'without venues'}{'' if self._is_open else ', closed'}>"

    # -- life

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect every venue. Raises LoginRefused or VenueUnreachable; several of them in an ExceptionGroup."""
        try:
            openings = (desk.open(strict=self._strict) for desk in self._desks.values())
            results = await asyncio.gather(*openings, return_exceptions=True)
            _raise_failures([result for result in results if result is not None])
        except BaseException:
            await self.close()
            raise
        self._is_open, self._was_closed = True, False

    async def close(self) -> None:
        """Disconnect. Whoever still waits is told what is known."""
        self._is_open, self._was_closed = False, True
        await asyncio.gather(*(desk.close() for desk in self._desks.values()))
        for stream in list(self._streams):
            stream.end()

    # -- commands

    async def cancel(
        self,
        target: Target,
        id: str | None = None,  # noqa: A002 - the contract's name
        kind: IdKind | str | None = None,
        *,
        symbol: str | None = None,
        deadline: float | None = None,
    ) -> CancelReport:
        """Cancel one order (or the orders that a client id names), and say what is known of it.

        target: a Cancel, an Order, a row of open_orders(), a SubmitReport, or a venue's name followed by `id`.
        deadline: seconds from now until the report is there at the latest; None: the adapter's. Every answer is a
        report; raises only for mistakes of the caller: ValueError, TypeError, UnknownVenue, RouterClosed.
        """
        request = self._request(target, id, kind, symbol)
        return await self._desk(request.venue).cancel(request, _deadline(deadline))

    def cancel_many(self, cancels: Iterable[Addressed], *, deadline: float | None = None) -> CancelBatch:
        """Start all of these cancels now. Await it for the reports in order, or iterate over them as they complete."""
        requests = [self._request(cancel, None, None, None) for cancel in cancels]
        desks = [self._desk(request.venue) for request in requests]
        return CancelBatch(list(zip(desks, requests, strict=True)), _deadline(deadline))

    async def submit(self, order: Order, *, deadline: float | None = None) -> SubmitReport:
        """Place an order, once. Raises ValueError for an Order that was submitted before."""
        if not isinstance(order, Order):
            raise TypeError(f"submit() takes an Order, not {order!r}")
        desk, seconds = self._desk(order.venue), _deadline(deadline)
        if self._submitted.get(id(order)) is order:
            raise ValueError(
                f"{order.venue}: the order {order.client_order_id} was submitted before; build a new Order to place another"
            )
        self._submitted[id(order)] = order
        return await desk.submit(order, seconds)

    async def replace(
        self,
        target: Target,
        *,
        quantity: Number | None = None,
        price: Number | None = None,
        stop_price: Number | None = None,
        allow_gap: bool = False,  # noqa: ARG002 - see the docstring
        deadline: float | None = None,
    ) -> SubmitReport:
        """Change a resting order where the venue can do that by itself; else NOT_SENT, saying so.

        quantity: the total, what is filled included (FIX OrderQty). None leaves a value as it is. allow_gap: cancel and
        place anew where there is no native replace; not available yet, so without one the answer is NOT_SENT either way.
        """
        address = self._request(target, None, None, None)
        desk, seconds = self._desk(address.venue), _deadline(deadline)
        replace = Replace(
            target=address,
            known=OrderState(venue=address.venue, order_id=None),
            quantity=optional_number(quantity, "quantity", address.venue),
            price=optional_number(price, "price", address.venue),
            stop_price=optional_number(stop_price, "stop_price", address.venue),
        )
        if replace.quantity is replace.price is replace.stop_price is None:
            raise ValueError(f"{address.venue}: replace was given nothing to change")
        return await desk.replace(replace, seconds)

    # -- asking

    async def open_orders(self, venue: str) -> list[OrderState]:
        """The venue's open orders, freshly read; each row is an address for cancel().

        Raises CannotList where the venue documents no way to list, ReadFailed where it did not answer readably.
        """
        return await self._desk(venue).open_orders()

    def events(self) -> EventStream:
        """What happens to orders from now on, of every venue. Each call has a queue of its own; nothing is dropped."""
        stream = EventStream()
        self._streams.add(stream)
        if self._was_closed:
            stream.end()
        return stream

    def health(self) -> dict[str, Health]:
        """How each venue is."""
        return {name: desk.health() for name, desk in self._desks.items()}

    # -- inside

    def _publish(self, event: Event) -> None:
        for stream in self._streams:
            stream.put(event)

    def _desk(self, venue: str) -> Desk:
        desk = self._desks.get(venue)
        if desk is None:
            raise UnknownVenue(venue, self._desks)
        if not self._is_open:
            raise RouterClosed(f"{venue}: the Router is not open; use it inside `async with Router(...)`")
        return desk

    def _request(self, target: Target, id_: str | None, kind: IdKind | str | None, symbol: str | None) -> Cancel:
        if isinstance(target, str):
            if id_ is None:
                raise TypeError(f"cancel({target!r}) names a venue and no id; pass the id as the second argument")
            return Cancel(target, id_, kind, symbol)
        if id_ is not None or kind is not None or symbol is not None:
            raise TypeError(f"a {type(target).__name__} knows its own address; pass no id, kind or symbol beside it")
        if isinstance(target, Cancel):
            return target
        if isinstance(target, Order):
            return self._desk(target.venue).address(target)
        if isinstance(target, OrderState | SubmitReport):
            return target.to_cancel()
        raise TypeError(f"{target!r} is nothing that can be cancelled")


def _raise_failures(failures: list[BaseException]) -> None:
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise BaseExceptionGroup("several venues could not be connected", failures)


def _deadline(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"deadline was {seconds!r}; it must be a number of seconds")
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"deadline was {seconds!r}; it must be more than 0 seconds")
    return seconds


class CancelBatch:
    """Several cancels under way. Await it for the list of reports, or iterate as they complete; as often as you like."""

    def __init__(self, requests: list[tuple[Desk, Cancel]], deadline: float | None) -> None:
        self._requests = requests
        self._deadline = deadline
        loop = asyncio.get_running_loop()
        self._reports: list[asyncio.Future[CancelReport]] = [loop.create_future() for _ in requests]
        self._start(0)
        self._starting = loop.create_task(self._start_rest()) if len(requests) > CHUNK else None

    def __len__(self) -> int:
        return len(self._requests)

    def _start(self, begin: int) -> None:
        chunk = slice(begin, begin + CHUNK)
        for (desk, request), report in zip(self._requests[chunk], self._reports[chunk], strict=True):
            try:
                told = desk.cancel(request, self._deadline)
            except Exception as error:  # noqa: BLE001 - one that cannot be started must not hold up the others
                report.set_exception(error)
            else:
                told.add_done_callback(partial(_pass_on, report))

    async def _start_rest(self) -> None:
        for begin in range(CHUNK, len(self._requests), CHUNK):
            await asyncio.sleep(0)
            self._start(begin)

    async def _all(self) -> list[CancelReport]:
        return [await asyncio.shield(report) for report in self._reports]

    def __await__(self) -> Generator[Any, None, list[CancelReport]]:
        return self._all().__await__()

    async def __aiter__(self) -> AsyncIterator[CancelReport]:
        done: asyncio.Queue[asyncio.Future[CancelReport]] = asyncio.Queue()
        for report in self._reports:
            report.add_done_callback(done.put_nowait)
        for _ in self._reports:
            yield (await done.get()).result()


def _pass_on(report: asyncio.Future[CancelReport], told: asyncio.Future[CancelReport]) -> None:
    if not report.done() and not told.cancelled():
        report.set_result(told.result())


class EventStream:
    """One consumer's events. Iterate it; it ends when the Router is closed."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def put(self, event: Event) -> None:
        self._queue.put_nowait(event)

    def end(self) -> None:
        self._queue.put_nowait(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._queue.get()
        if event is None:
            self.end()  # so that a further call ends as well
            raise StopAsyncIteration
        return event
