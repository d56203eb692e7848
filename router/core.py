"""The Router: one cancel() and one submit() across venues. It routes; each venue's Desk does the rest."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from weakref import WeakValueDictionary

from router.anyrouter import Addressed, AnyRouter, Target
from router.batch import CancelBatch
from router.deadman import DeadMan
from router.desk import Desk
from router.errors import JournalError, RouterClosed, UnknownVenue
from router.events import EventStream, EventStreams
from router.masscancel import MassCancel
from router.massreport import Doubt, MassCancelReport, VenueCancelReport
from router.model import Cancel, IdKind, Number, Order, optional_number
from router.operation import Operation
from router.recovery import Recovery
from router.replacing import replace_natively, replace_with_gap
from router.report import CancelReport, Health, OrderState, Replace, SubmitReport
from router.targets import addressed, checked_seconds
from router.venue import Adapter

if TYPE_CHECKING:
    from router.journal import Journal

__all__ = ["Addressed", "CancelBatch", "EventStream", "Router", "Target"]

log = logging.getLogger("router.core")


class Router:
    """One vocabulary for several venues, each by the name given here.

    venues: adapters by name; strict: False starts with those venues that can be reached and tells of the others in
    health(). on_unknown: "kill" cancels a submit in doubt by its client id when it is settled, where the venue can;
    "leave" only finds out. Use it as an async context manager: entering connects every venue and waits until each is ready, and
    raises LoginRefused or VenueUnreachable (an ExceptionGroup for several).

    journal: a file, made where there is none, in which every command is written before or while it is sent, so that a new
    Router knows what the last one left open; one Router at a time. None: nothing outlives the process. durability: "full"
    survives a power cut, "process" the end of the process. Opening it raises JournalBusy, JournalDamaged or JournalError; with
    strict=False the Router opens without it: cancels go (their reports say journaled=False), submits are NOT_SENT.
    """

    def __init__(
        self,
        venues: Mapping[str, Adapter],
        *,
        strict: bool = True,
        on_unknown: Literal["leave", "kill"] = "leave",
        journal: str | os.PathLike[str] | None = None,
        durability: Literal["full", "process"] = "full",
    ) -> None:
        if on_unknown not in {"leave", "kill"}:
            raise ValueError(f"on_unknown was {on_unknown!r}; it is 'leave' or 'kill'")
        if durability not in {"full", "process"}:
            raise ValueError(f"durability was {durability!r}; it is 'full' or 'process'")
        self._strict = strict
        self._journal = _journal(journal, durability)
        self.journal_error: JournalError | None = None
        """Why the journal could not be opened, where strict=False went on without it."""
        self.lease_epoch = 0
        """Under which lease this Router trades, as its journal is to tell; 0: under none. Set before it is opened."""
        self._recoveries: list[Recovery] = []
        self._recovering: asyncio.Future[Any] | None = None
        self._streams = EventStreams()
        self._switches: set[DeadMan] = set()
        self._venues, self._kill = dict(venues), on_unknown == "kill"
        self._desks = self._new_desks()
        self._submitted: WeakValueDictionary[int, Order] = WeakValueDictionary()
        self._is_open = self._was_closed = False

    def _new_desks(self) -> dict[str, Desk]:
        return {
            name: Desk(name, adapter, self._streams, journal=self._journal, kill=self._kill)
            for name, adapter in self._venues.items()
        }

    @classmethod
    def from_config(
        cls, path: str | os.PathLike[str], *, venues: Iterable[str] | None = None, journal: bool = True
    ) -> Self:
        """The Router that a router.toml describes; docs/configuration.md has its keys.

        venues: only these; the others' secrets are not even looked for. journal: False leaves the file's journal alone.
        Raises ConfigError with all its mistakes, or UnknownVenue.
        """
        from router import config  # noqa: PLC0415 - of use here alone

        found = config.load(path)
        return cls(
            found.adapters(venues),
            strict=found.strict,
            on_unknown=found.on_unknown,
            journal=found.journal if journal else None,
            durability=found.durability,
        )

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
        """Connect every venue. Raises LoginRefused or VenueUnreachable; several of them in an ExceptionGroup.

        With a journal: open that first, and begin to ask about what it left in doubt; recovered() waits for the answers.
        """
        try:
            await self._open_journal()
            openings = (desk.open(strict=self._strict) for desk in self._desks.values())
            results = await asyncio.gather(*openings, return_exceptions=True)
            _raise_failures([result for result in results if result is not None])
        except BaseException:
            await self.close()
            raise
        self._is_open, self._was_closed = True, False
        self._recovering = asyncio.gather(*(recovery.run() for recovery in self._recoveries))

    async def _open_journal(self) -> None:
        """Read it into the ledgers before anything can happen to an order."""
        self.journal_error, self._recoveries = None, []
        if self._journal is None:
            return
        try:
            await self._begin_anew(self._journal)
        except JournalError as error:
            self.journal_error = error
            if self._strict:
                raise
            await self._journal.close()
            self._journal.fault = str(error)
            for desk in self._desks.values():
                desk.unread = str(error)
            log.warning("%s; going on without it: submits will not be sent", error)

    async def _begin_anew(self, journal: Journal) -> None:
        """What the journal says is what is known: it may have been written by others since this Router was last open."""
        found = await journal.open(self.lease_epoch)
        desks = self._new_desks()
        self._recoveries = [Recovery(desk, found, str(journal.path)) for desk in desks.values()]
        for name, desk in desks.items():
            desk.submitted.inherit(self._desks[name].submitted, desk.ledger)
        self._desks = desks
        for venue in sorted({each.venue for each in found} - set(desks)):
            log.warning(
                "journal %s: it has open orders or doubts of %s, which this Router does not have", journal.path, venue
            )

    async def recovered(self, timeout: float | None = None) -> list[CancelReport | SubmitReport]:
        """Wait until everything has been asked about that the journal left in doubt, and tell what became of it.

        timeout: seconds after which the reports are told as they stand; None: however long the venue takes to answer.
        A report that is UNKNOWN still is of something that nothing could tell: `router settle` takes an operator's word for it.
        Until then submits wait, up to their deadlines; cancels don't. [] where nothing was in doubt.
        """
        if self._recovering is not None:
            await asyncio.wait([self._recovering], timeout=timeout)
        return [report for recovery in self._recoveries for report in recovery.reports()]

    async def close(self) -> None:
        """Disconnect. Whoever still waits is told what is known. With a journal, the next opening begins anew from it: what
        was UNKNOWN is settled there, in recovered(), and no report of before.
        """
        await asyncio.gather(*(switch.close() for switch in list(self._switches)))  # what fires needs the venues
        self._is_open, self._was_closed = False, True
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.gather(self._recovering, return_exceptions=True)
            self._recovering = None
        await asyncio.gather(*(desk.close() for desk in self._desks.values()))
        if self._journal is not None:
            await self._journal.close()
        for desk in self._desks.values():
            desk.scribe.close()
        self._streams.end()

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
        request = addressed(target, id, kind, symbol)
        return await _start(self.desk(request.venue), request, checked_seconds(deadline))

    def cancel_many(self, cancels: Iterable[Addressed], *, deadline: float | None = None) -> CancelBatch:
        """Start all of these cancels now. Await it for the reports in order, or iterate over them as they complete."""
        requests = [addressed(cancel) for cancel in cancels]
        desks = [self.desk(request.venue) for request in requests]
        seconds = checked_seconds(deadline)
        return CancelBatch(list(zip(desks, requests, strict=True)), lambda each: _start(*each, seconds))

    async def submit(self, order: Order, *, deadline: float | None = None) -> SubmitReport:
        """Place an order, once. Raises ValueError for an Order that was submitted before."""
        if not isinstance(order, Order):
            raise TypeError(f"submit() takes an Order, not {order!r}")
        desk, seconds = self.desk(order.venue), checked_seconds(deadline)
        if self._submitted.get(id(order)) is order:
            raise ValueError(
                f"{order.venue}: the order {order.client_order_id} was submitted before; build a new Order to place another"
            )
        self._submitted[id(order)] = order
        return await desk.submit(order, seconds)

    async def cancel_all(
        self,
        venue: str | None = None,
        symbol: str | None = None,
        *,
        scope: Literal["account", "own"] = "account",
        deadline: float = 30,
    ) -> MassCancelReport:
        """Cancel every order, and prove that none is open: at all venues or one, of all symbols or one.

        scope: "account" takes every order of the account, orders placed elsewhere included; "own" only those that this
        Router placed. Until it ends, submits in scope are NOT_SENT. deadline: seconds until the report is there at the
        latest; each venue works by itself, and one that fails holds up no other. It says nothing of positions, and
        protective stops go too. Raises only for mistakes of the caller.
        """
        desks, seconds = self._scope(venue, scope), checked_seconds(deadline) or 0.0
        due = asyncio.get_running_loop().time() + seconds
        parts = [MassCancel(desk, symbol, own=scope == "own", due=due).run() for desk in desks]
        results = await asyncio.gather(*parts, return_exceptions=True)
        return MassCancelReport(
            venues={desk.name: _part(desk, result) for desk, result in zip(desks, results, strict=True)}
        )

    def deadman(
        self,
        seconds: float,
        *,
        venue: str | None = None,
        symbol: str | None = None,
        scope: Literal["account", "own"] = "account",
        deadline: float = 30,
    ) -> DeadMan:
        """A dead man's switch, armed from now on: cancel_all with these arguments runs when it is not fed for so long.

        Call feed() on it from the strategy's own loop, more often than every `seconds`; disarm() ends it, and so does
        closing the Router. It lives in this process: what must survive the process needs the venue's own switch.
        """
        limit = checked_seconds(seconds)
        if limit is None:
            raise TypeError("deadman() needs the seconds after which it fires")
        self._scope(venue, scope)  # a mistake must not wait for the day on which it fires
        checked_seconds(deadline)
        fire = partial(self.cancel_all, venue, symbol, scope=scope, deadline=deadline)
        switch = DeadMan(limit, fire, self._switches.discard)
        self._switches.add(switch)
        return switch

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
        """Change a resting order where the venue can do that by itself; else NOT_SENT, unless allow_gap.

        quantity: the total, what is filled included (FIX OrderQty). None leaves a value as it is. allow_gap: where there is
        no native replace, cancel the order and place a new one of what is left, with a gap between the two in which
        nothing rests. It is placed only when what the old one has traded is known for certain; else the answer is REFUSED
        by the ROUTER, and the old order is gone.
        """
        request = addressed(target)
        desk, seconds = self.desk(request.venue), checked_seconds(deadline)
        address = desk.address(request) if isinstance(request, Order) else request
        replace = Replace(
            target=address,
            known=OrderState(venue=address.venue, order_id=None),
            quantity=optional_number(quantity, "quantity", address.venue),
            price=optional_number(price, "price", address.venue),
            stop_price=optional_number(stop_price, "stop_price", address.venue),
        )
        if replace.quantity is replace.price is replace.stop_price is None:
            raise ValueError(f"{address.venue}: replace was given nothing to change")
        return await (replace_with_gap if allow_gap else replace_natively)(desk, replace, seconds)

    # -- asking

    async def open_orders(self, venue: str) -> list[OrderState]:
        """The venue's open orders, freshly read; each row is an address for cancel().

        Raises CannotList where the venue documents no way to list, ReadFailed where it did not answer readably.
        """
        return await self.desk(venue).open_orders()

    def events(self) -> EventStream:
        """What happens to orders from now on, of every venue. Each call has a queue of its own; nothing is dropped."""
        stream = self._streams.new()
        if self._was_closed:
            stream.end()
        return stream

    def health(self) -> dict[str, Health]:
        """How each venue is."""
        return {name: desk.health() for name, desk in self._desks.items()}

    # -- for those who run it on behalf of others

    def desk(self, venue: str) -> Desk:
        """Everything that is kept about one venue. Raises UnknownVenue, RouterClosed."""
        desk = self._desks.get(venue)
        if desk is None:
            raise UnknownVenue(venue, self._desks)
        if not self._is_open:
            raise RouterClosed(f"{venue}: the Router is not open; use it inside `async with Router(...)`")
        return desk

    def resumed(self, op: str) -> Operation | None:
        """The command of this name that recovery brought back from the journal, or that was adopted: for its desk's settle() and told()."""
        found = (desk.resumed.get(op) for desk in self._desks.values())
        return next((operation for operation in found if operation is not None), None)

    # -- inside

    def _scope(self, venue: str | None, scope: str) -> list[Desk]:
        """The venues that a cancel_all is about."""
        if scope not in {"account", "own"}:
            raise ValueError(f"scope was {scope!r}; it is 'account' or 'own'")
        return [self.desk(name) for name in (self._desks if venue is None else [venue])]


def _checked(router: Router) -> AnyRouter:
    """A Router is what strategies are promised: the type checker looks."""
    return router


def _start(desk: Desk, request: Cancel | Order, deadline: float | None) -> asyncio.Future[CancelReport]:
    """Start one cancel, of an address or of the very order."""
    return desk.cancel_order(request, deadline) if isinstance(request, Order) else desk.cancel(request, deadline)


def _part(desk: Desk, result: VenueCancelReport | BaseException) -> VenueCancelReport:
    """A mistake of ours at one venue must not take the others' reports down."""
    if isinstance(result, VenueCancelReport):
        return result
    log.error("%s: a mistake of ours in cancel_all", desk.name, exc_info=result)
    return VenueCancelReport(venue=desk.name, doubts=(Doubt(text=f"cancel_all broke off: {type(result).__name__}"),))


def _journal(path: str | os.PathLike[str] | None, durability: Literal["full", "process"]) -> Journal | None:
    if path is None:
        return None
    from router.journal import Journal  # noqa: PLC0415 - SQLite is imported by those who keep a journal

    return Journal(path, durability)


def _raise_failures(failures: list[BaseException]) -> None:
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise BaseExceptionGroup("several venues could not be connected", failures)
