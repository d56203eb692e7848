"""The Router of a strategy whose venues belong to gateways: the same methods, reports and exceptions, over NATS.

Rules:

1. NOT_SENT only where it is certain that no gateway has executed the command or will: there is none, or no connection; nobody listens
   ("no responders"); the server does not allow it; or the only gateway that it could reach has refused it, as it promises, for good.
2. UNKNOWN wherever it is not: no answer by the deadline, an answer that cannot be read, a lost connection, a new owner that does not
   know either, close() meanwhile. settled() asks the owner of the day until it can tell, every means is spent, or the time is over.
3. A command has one id for ever. It goes to another tenure only after the one that it went to is certain not to have executed it.
4. After a change of the owner or a reconnection, what has no answer yet is asked about at once, and told if that ends it in time.
5. A mistake of the caller raises what Router raises; and the options of an Order must be such as JSON has words for (TypeError).
6. What changes nothing when it is done twice (a cancel_all, a read) is asked again of the next owner, up to its deadline. A read does
   not wait for an owner, and raises ReadFailed, or NotAuthorised.
7. Whoever goes away or closes takes nothing back that was sent: a cancel_all goes on at the gateway until its deadline, and lets
   nothing of this strategy's be placed so long; a submit that waits there may still be placed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from weakref import WeakSet

from attrs import evolve

from router.anyrouter import Addressed, AnyRouter, Target
from router.batch import CancelBatch
from router.cluster import wire
from router.cluster.broker.connection import Connection
from router.cluster.broker.credentials import ANONYMOUS, Credentials
from router.cluster.strategy.asking import Asking
from router.cluster.strategy.commands import Commands
from router.cluster.strategy.directory import Directory
from router.cluster.strategy.pending import Pending
from router.cluster.strategy.placed import PlacedOrders, by_client_id
from router.cluster.strategy.questions import Questions
from router.cluster.stream.events import RemoteEvents
from router.deadman import DeadMan
from router.errors import (
    GatewayUnreachable,
    RouterClosed,
    UnknownVenue,
)
from router.massreport import MassCancelReport
from router.model import Cancel, IdKind, Number, Order, optional_number, plain
from router.report import CancelReport, Health, OrderState, Outcome, Replace, SubmitReport
from router.scribe import operation_id
from router.targets import addressed, checked_seconds

__all__ = ["RemoteRouter"]

log = logging.getLogger("router.cluster")

READING = 10.0  # seconds at least that a list may take
LONGEST = 86_400.0 * 365  # seconds: a gateway reads no deadline that is beyond all reason
R = TypeVar("R", CancelReport, SubmitReport)


class RemoteRouter:
    """`router.Router` for a strategy that has no keys. Use it as an async context manager.

    url: of NATS, one or several; or credentials: the file that `router gateway init` wrote for this strategy, which has it all (url
    is then taken instead of the file's). Else strategy: the name in its subjects; nkey: a file with its seed; ca: whom to trust.
    deadline: seconds for commands that give none, and for connecting.

    Entering connects to NATS and learns which gateways are there; none is no error. Raises NotAuthorised or GatewayUnreachable.
    """

    def __init__(
        self,
        url: str | Iterable[str] | None = None,
        *,
        credentials: str | os.PathLike[str] | Credentials | None = None,
        strategy: str | None = None,
        nkey: str | os.PathLike[str] | None = None,
        ca: str | os.PathLike[str] | None = None,
        deadline: float = 5.0,
    ) -> None:
        self._credentials = _credentials(url, credentials, strategy, nkey, ca)
        self._deadline = checked_seconds(deadline) or 5.0
        self._strategy = self._credentials.strategy
        self._placed = PlacedOrders()
        self._commands = Commands(self._strategy)
        self._switches: set[DeadMan] = set()
        self._streams: WeakSet[RemoteEvents] = WeakSet()
        self._connection: Connection | None = None
        self._directory: Directory | None = None
        self._is_open = False

    def __repr__(self) -> str:
        where = ", ".join(self._credentials.url)
        return f"<RemoteRouter of {self._strategy} at {where}{'' if self._is_open else ', closed'}>"

    # -- life

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect to NATS, and learn who is there. Raises NotAuthorised or GatewayUnreachable."""
        if self._is_open:
            return
        name = f"{self._strategy}@{socket.gethostname()}:{os.getpid()}"
        self._connection = Connection(self._credentials, name=name, changed=self._changed, denied=self._denied)
        self._directory = Directory(
            self._connection, self._strategy, moved=self._moved, ended=self._round_ended, met=self._met
        )
        questions = Questions(self._connection, self._directory, self._strategy)
        self._commands.open(self._connection, self._directory, questions)
        self._asking = Asking(self._directory, questions, self._commands, self._placed)
        try:
            await self._connection.open(timeout=self._deadline)
            await self._directory.open()
        except BaseException:
            await self.close()
            raise
        self._is_open = True

    async def close(self) -> None:
        """Disconnect. Whoever still waits is told what is known."""
        await asyncio.gather(*(switch.close() for switch in list(self._switches)))  # what fires needs the gateways
        self._is_open = False
        for stream in list(self._streams):
            stream.end()
        if self._connection is None or self._directory is None:
            return
        await self._commands.close()
        await self._directory.close()
        await self._connection.close()

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
        """Cancel one order (or the orders that a client id names), and say what is known of it. As Router.cancel()."""
        request = addressed(target, id, kind, symbol)
        await self._met_venue(request.venue)
        return await self._cancel(request, checked_seconds(deadline))

    def cancel_many(self, cancels: Iterable[Addressed], *, deadline: float | None = None) -> CancelBatch:
        """Start all of these cancels now. Await it for the reports in order, or iterate over them as they complete."""
        requests = [addressed(cancel) for cancel in cancels]
        for request in requests:
            self._check(request.venue)
        return CancelBatch(requests, partial(self._cancel, seconds=checked_seconds(deadline)))

    async def submit(self, order: Order, *, deadline: float | None = None) -> SubmitReport:
        """Place an order, once. Raises ValueError for an Order that was submitted before."""
        if not isinstance(order, Order):
            raise TypeError(f"submit() takes an Order, not {order!r}")
        await self._met_venue(order.venue)
        seconds, terms = checked_seconds(deadline), wire.Terms.of(order)
        placed, op = self._placed.new(order), operation_id(order)

        def make(tenure: str, until: float) -> wire.Submitting:
            return wire.Submitting(op=op, tenure=tenure, deadline=until, order=terms)

        def heard(report: Any) -> None:
            placed.heard(report)
            self._placed.submitted(order.venue, order.client_order_id, report)
            self._placed.told(op, report)

        placed.pending = self._pending(order.venue, "submit", op, order, make, seconds, heard)
        report: SubmitReport = await self._commands.start(placed.pending)
        return report

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
        """Change a resting order where the venue can do that by itself; else NOT_SENT, unless allow_gap. As Router.replace()."""
        request = addressed(target)
        await self._met_venue(request.venue)
        seconds, venue = checked_seconds(deadline), request.venue
        address, of = self._address(request)
        replace = Replace(
            target=address,
            known=OrderState(venue=venue, order_id=None),
            quantity=optional_number(quantity, "quantity", venue),
            price=optional_number(price, "price", venue),
            stop_price=optional_number(stop_price, "stop_price", venue),
        )
        if replace.quantity is replace.price is replace.stop_price is None:
            raise ValueError(f"{venue}: replace was given nothing to change")
        op = operation_id()

        def make(tenure: str, until: float) -> wire.Replacing:
            return wire.Replacing(
                op=op,
                tenure=tenure,
                deadline=until,
                target=wire.Address.of(address),
                of=None if of is None else of.op,
                placed="" if of is None else of.tenure,
                quantity=None if replace.quantity is None else plain(replace.quantity),
                price=None if replace.price is None else plain(replace.price),
                stop_price=None if replace.stop_price is None else plain(replace.stop_price),
                allow_gap=bool(allow_gap),
            )

        def heard(report: Any) -> None:
            self._placed.submitted(venue, None, report)
            self._placed.told(op, report)

        report: SubmitReport = await self._commands.start(
            self._pending(venue, "replace", op, replace, make, seconds, heard)
        )
        return report

    async def cancel_all(
        self,
        venue: str | None = None,
        symbol: str | None = None,
        *,
        scope: Literal["account", "own"] = "own",
        deadline: float = 30,
    ) -> MassCancelReport:
        """Cancel every order in scope, and prove that none is open: at all venues or one, of all symbols or one.

        scope: "own" takes the orders that this strategy placed, whichever process of it; "account" every order of the account,
        other strategies' included. The rest is as in Router.cancel_all().
        """
        names, seconds = await self._scope(venue, symbol, scope), min(checked_seconds(deadline) or 0.0, LONGEST)
        until = asyncio.get_running_loop().time() + seconds
        parts = [self._asking.cancel_all(name, symbol, until, own=scope == "own") for name in names]
        reports = await asyncio.gather(*parts)
        return MassCancelReport(venues=dict(zip(names, reports, strict=True)))

    def deadman(
        self,
        seconds: float,
        *,
        venue: str | None = None,
        symbol: str | None = None,
        scope: Literal["account", "own"] = "own",
        deadline: float = 30,
    ) -> DeadMan:
        """A dead man's switch, armed from now on: cancel_all with these arguments runs when it is not fed for so long.

        As Router.deadman(): it lives in this process, not in the gateway.
        """
        limit = checked_seconds(seconds)
        if limit is None:
            raise TypeError("deadman() needs the seconds after which it fires")
        _checked_scope(scope, symbol)  # a mistake must not wait for the day on which it fires
        self._check(venue)
        checked_seconds(deadline)
        fire = partial(self.cancel_all, venue, symbol, scope=scope, deadline=deadline)
        switch = DeadMan(limit, fire, self._switches.discard)
        self._switches.add(switch)
        return switch

    # -- asking

    async def open_orders(self, venue: str) -> list[OrderState]:
        """The venue's open orders, freshly read by its owner; each row is an address for cancel(). `own`: placed by that gateway.

        Raises CannotList where the venue documents no way to list, ReadFailed where it or the gateway did not answer readably, and
        NotAuthorised.
        """
        await self._met_venue(venue)
        until = asyncio.get_running_loop().time() + max(self._deadline, READING)
        return await self._asking.open_orders(venue, until)

    def events(self, resume: str | None = None) -> RemoteEvents:
        """What happens to orders, of every venue: from now on; or, with resume, from where the reader of this name was.

        It comes out of the gateways' journals, and nothing is dropped or told twice, whoever owns the venues meanwhile.
        """
        if self._connection is None or self._directory is None:
            raise RouterClosed("the Router is not open; use it inside `async with RemoteRouter(...)`")
        venues = self._directory.venues if self._is_open else []
        stream = RemoteEvents(self._connection, venues, self._strategy, resume)
        if self._is_open:
            self._streams.add(stream)
        else:
            stream.end()
        return stream

    def health(self) -> dict[str, Health]:
        """How each venue is, as its gateway told last."""
        directory = self._directory
        return {} if directory is None else {name: directory.health(name) for name in directory.venues}

    async def recovered(self, timeout: float | None = None) -> list[CancelReport | SubmitReport]:
        """What became of this strategy's commands that the gateways' journals had in doubt when they took over.

        timeout: seconds after which the reports are told as they stand; None: however long the venues take to answer. Raises
        GatewayUnreachable where nobody can tell, NotAuthorised where nobody may.
        """
        until = None if timeout is None else asyncio.get_running_loop().time() + timeout
        directory = await self._met_venue(None)
        if not directory.venues:
            raise GatewayUnreachable(f"nobody can tell what was in doubt: {directory.why_not('')}")
        loop = asyncio.get_running_loop()
        asking = [loop.create_task(self._asking.recovered(name, until)) for name in directory.venues]
        try:
            return [report for reports in await asyncio.gather(*asking) for report in reports]
        finally:
            for task in asking:
                task.cancel()  # one that can't tell has ended it

    # -- inside: commands

    def _cancel(self, request: Cancel | Order, seconds: float | None) -> asyncio.Future[CancelReport]:
        """Start one cancel, of an address or of the very order."""
        address, of = self._address(request)
        if isinstance(request, Order) and (placed := self._placed.of(request)) is not None and placed.address is None:
            if placed.fate is not None:
                return _told(_not_sent(address, f"the order was not placed: {placed.fate}"))
            if placed.pending is not None and self._commands.withdraw(placed.pending):
                return _told(_not_sent(address, "the order was not placed yet, and now never will be"))
        if of is not None:
            of.may_go_elsewhere = False
        op = operation_id()

        def make(tenure: str, until: float) -> wire.Cancelling:
            return wire.Cancelling(
                op=op,
                tenure=tenure,
                deadline=until,
                cancel=wire.Address.of(address),
                of=None if of is None else of.op,
                placed="" if of is None else of.tenure,
            )

        pending = self._pending(address.venue, "cancel", op, address, make, seconds, self._placed.cancelled)
        return self._commands.start(pending)

    def _address(self, request: Cancel | Order | Any) -> tuple[Cancel, Pending | None]:
        """What is named, and the submit that goes with it where the venue's id is not known yet."""
        if not isinstance(request, Order):
            return request, None
        placed = self._placed.of(request)
        if placed is None:
            return by_client_id(request), None
        return (by_client_id(request), placed.pending) if placed.address is None else (placed.address, None)

    def _pending(
        self,
        venue: str,
        verb: str,
        op: str,
        request: Order | Cancel | Replace,
        make: Any,
        seconds: float | None,
        heard: Any,
    ) -> Pending:
        loop = asyncio.get_running_loop()
        due = loop.time() + min(self._deadline if seconds is None else seconds, LONGEST)
        return Pending(venue, verb, op, request, make, due, loop.create_future(), self._commands, heard)

    # -- inside: venues

    async def _scope(self, venue: str | None, symbol: str | None, scope: str) -> list[str]:
        """The venues that a cancel_all is about."""
        _checked_scope(scope, symbol)
        directory = await self._met_venue(venue)
        if venue is not None:
            return [venue]
        return list(dict.fromkeys([*directory.venues, *sorted(self._placed.venues)]))  # also where no gateway is now

    async def _met_venue(self, venue: str | None) -> Directory:
        """The directory, after a look for a venue that it does not know; None is any. Raises as _check() does."""
        directory = self._directory
        if self._is_open and directory is not None:
            is_known = bool(directory.venues) if venue is None else directory.has(venue)
            if not is_known:
                await directory.until_met(venue)
        return self._check(venue)

    def _check(self, venue: str | None) -> Directory:
        """Raises RouterClosed, or UnknownVenue where gateways are there and none serves it."""
        directory = self._directory
        if not self._is_open or directory is None:
            said = "" if venue is None else f"{venue}: "
            raise RouterClosed(f"{said}the Router is not open; use it inside `async with RemoteRouter(...)`")
        if venue is not None and not directory.has(venue) and directory.has_gateways:
            raise UnknownVenue(venue, directory.venues)
        return directory

    # -- inside: what happens

    def _changed(self) -> None:
        if self._directory is not None and self._directory.changed():
            self._commands.reconnected()

    def _denied(self, operation: str, subject: str) -> None:
        if self._directory is not None:
            self._directory.refused(operation, subject)

    def _moved(self, seat: Any) -> None:
        self._commands.moved(seat)

    def _round_ended(self) -> None:
        self._commands.round_ended()

    def _met(self, venue: str) -> None:
        for stream in list(self._streams):
            stream.add(venue)


def _credentials(
    url: str | Iterable[str] | None,
    given: str | os.PathLike[str] | Credentials | None,
    strategy: str | None,
    nkey: str | os.PathLike[str] | None,
    ca: str | os.PathLike[str] | None,
) -> Credentials:
    if given is not None:
        if not strategy is nkey is ca is None:
            raise TypeError("credentials say who the strategy is; pass no strategy, nkey or ca beside them")
        found = given if isinstance(given, Credentials) else Credentials.read(Path(given))
        return found if url is None else evolve(found, url=url)
    if url is None:
        raise TypeError("RemoteRouter() needs the url of NATS, or credentials=, a file that has it")
    return Credentials(
        url=url,
        strategy=ANONYMOUS if strategy is None else strategy,
        seed=None if nkey is None else Path(nkey).read_text(encoding="utf-8"),
        ca=None if ca is None else Path(ca),
    )


def _checked_scope(scope: str, symbol: str | None) -> None:
    if scope not in {"account", "own"}:
        raise ValueError(f"scope was {scope!r}; it is 'account' or 'own'")
    if not isinstance(symbol, str | None):
        raise TypeError(f"symbol was {symbol!r}; it must be a str")


def _not_sent(request: Cancel, text: str) -> CancelReport:
    return CancelReport(request=request, outcome=Outcome.NOT_SENT, text=f"{request.venue}: {text}")


def _told(report: R) -> asyncio.Future[R]:
    told: asyncio.Future[R] = asyncio.get_running_loop().create_future()
    told.set_result(report)
    return told


if TYPE_CHECKING:

    def _is_one(router: RemoteRouter) -> AnyRouter:
        return router
