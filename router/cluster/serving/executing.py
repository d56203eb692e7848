"""What commands say, done at the desk of the venue: each begun once, with what it comes to as a reply.

Rules:

1. An Order that was submitted here is cancelled as that very order, of which the client id may name others as well.
2. A cancel of an order whose submit has not come here goes by its address, and buries that submit: it would come too late. Where the
   submit can have come nowhere else, nothing is asked of the venue; where it can, that burial says nothing of what became of it.
3. A mistake of the caller's is told as the exception that it is. What is a mistake of ours is not answered: nothing would be certain.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from router.cluster import wire
from router.cluster.serving.earlier import looked_up
from router.cluster.serving.operations import Full, Known, Operations
from router.cluster.serving.sweeping import cancelled, unheard_of, with_these
from router.core import Router
from router.desk import Desk
from router.errors import RouterClosed, RouterError
from router.masscancel import MassCancel
from router.massreport import VenueCancelReport
from router.model import Cancel, Order, optional_number
from router.operation import Named
from router.replacing import replace_natively, replace_with_gap
from router.report import CancelReport, OrderState, Outcome, Replace, SubmitReport

__all__ = ["MISTAKES", "Executor", "cancel_of", "mistaken", "order_of", "replace_of", "reply"]

log = logging.getLogger("router.cluster")

MISTAKES: Final = (ValueError, TypeError)
LOOK: Final = 0.25  # seconds that a look into the journal has
WITHDRAWN: Final = "it was cancelled before it was placed"
Came = CancelReport | SubmitReport | VenueCancelReport


def reply(report: Came) -> wire.Reply:
    """A report as it is told."""
    if isinstance(report, VenueCancelReport):
        return wire.Cancelled(report=report)
    return wire.Told(report=wire.Facts.of(report))


class Executor:
    """At one desk, for one tenure. clock: wall time; path: the journal's."""

    def __init__(
        self, router: Router, venue: str, tenure: str, operations: Operations, path: Path, clock: Callable[[], float]
    ) -> None:
        self._router, self._venue, self._tenure = router, venue, tenure
        self._operations, self._path, self._clock = operations, path, clock

    @property
    def _desk(self) -> Desk:
        return self._router.desk(self._venue)

    def begin(self, known: Known, seconds: float) -> None:
        """Do it; the answer is there in so many seconds at the latest."""
        try:
            work = self._begun(known, seconds)
        except MISTAKES as error:
            known.finish(mistaken(error))
        except RouterClosed as error:
            known.finish(wire.Refused(text=str(error)))
        except Exception:
            log.exception("%s: a mistake of ours in beginning %s", self._venue, known.op)
            known.lose()
        else:
            work.add_done_callback(partial(self._done, known))

    def _done(self, known: Known, work: asyncio.Future[Came]) -> None:
        error = asyncio.CancelledError() if work.cancelled() else work.exception()
        if isinstance(known.command, wire.CancelAll):  # thousands of ids, of which nothing depends any more
            known.command = structs.replace(known.command, known=())
        if error is None:
            report = work.result()
            known.finish(reply(report), None if isinstance(report, VenueCancelReport) else report)
        elif isinstance(error, MISTAKES) and isinstance(known.command, wire.Replacing):
            known.finish(mistaken(error))  # new terms that contradict each other: told before anything is sent
        else:
            if not work.cancelled():
                log.error("%s: a mistake of ours in %s", self._venue, known.op, exc_info=error)
            known.lose()

    def _begun(self, known: Known, seconds: float) -> asyncio.Future[Any]:
        named = Named(known.op, known.strategy)
        match known.command:
            case wire.Submitting() as command:
                known.order = order_of(command, self._venue)
                return self._desk.submit(known.order, seconds, named)
            case wire.Cancelling() as command:
                return self._cancel(command, named, seconds)
            case wire.Replacing() as command:
                return self._replace(command, named, seconds)
            case wire.CancelAll() as command:
                return _task(self._cancel_all(command, named, seconds))
        raise TypeError(f"{known.op} says nothing that can be done")

    # -- cancels

    def _cancel(self, command: wire.Cancelling, named: Named, seconds: float) -> asyncio.Future[CancelReport]:
        request = cancel_of(command, self._venue)
        if command.of is None:
            return self._desk.cancel(request, seconds, named)
        order, never = self._placed(command.of, named.strategy, command.placed)
        if never:
            return _told(CancelReport(request=request, outcome=Outcome.NOT_SENT, text=f"{self._venue}: {never}"))
        if order is not None:
            return self._desk.cancel_order(order, seconds, named)
        return _task(self._cancel_unheard(request, command.of, named, seconds))

    def _placed(self, op: str, strategy: str, placed: str) -> tuple[Order | None, str]:
        """The Order that this operation submits here, and why it was not and never will be placed here (rule 2)."""
        known = self._operations.find(op, strategy)
        if known is not None and not known.elsewhere:
            said = known.said.text if isinstance(known.said, wire.Refused) else ""
            return known.order, said.removeprefix(f"{self._venue}: ")
        operation = self._router.resumed(op)
        if operation is not None and isinstance(operation.command, Order):
            return operation.command, ""
        if not self._operations.was_seen(op, strategy):
            now, elsewhere = self._clock(), placed != self._tenure
            try:
                self._operations.bury(op, strategy, WITHDRAWN, now, now, self._tenure, elsewhere=elsewhere)
            except Full:
                return None, ""
            if not elsewhere:
                return None, f"{WITHDRAWN}, and now never will be"
        return None, ""

    async def _cancel_unheard(self, request: Cancel, op: str, named: Named, seconds: float) -> CancelReport:
        """Of an order that came to an earlier tenure: by the venue's id where our journal knows that. Of one that has come to this
        one, and is still looked up there: when that is over.
        """
        placing = self._operations.find(op, named.strategy)
        if placing is not None and placing.said is None:
            await asyncio.wait([placing.answered()], timeout=min(LOOK, seconds / 2))
            if placing.order is not None:
                return await self._desk.cancel_order(placing.order, max(seconds / 2, seconds - LOOK), named)
        try:
            found = await looked_up(self._path, op)
        except RouterError:
            found = None
        report = None if found is None or found.strategy not in {"", named.strategy} else found.report
        if isinstance(report, SubmitReport) and report.order_id is not None:
            request = report.to_cancel()
        return await self._desk.cancel(request, seconds, named)

    async def _cancel_all(self, command: wire.CancelAll, named: Named, seconds: float) -> VenueCancelReport:
        desk, known = self._desk, frozenset(command.known)

        def mine(state: OrderState) -> bool:
            return desk.is_of(state, named.strategy) or not known.isdisjoint({state.order_id, state.client_order_id})

        due, of_own = asyncio.get_running_loop().time() + seconds, {"mine": mine, "strategy": named.strategy}
        scope: dict[str, Any] = of_own if command.own else {}
        sweep = MassCancel(desk, command.symbol, own=command.own, due=due, named=named, **scope).run()
        unheard = unheard_of(desk, command.known) if command.own else []
        by_id = [] if command.symbol else unheard
        report, told = await asyncio.gather(sweep, cancelled(desk, by_id, seconds))
        return with_these(report, told, len(unheard) - len(by_id)) if unheard else report

    # -- replaces

    def _replace(self, command: wire.Replacing, named: Named, seconds: float) -> asyncio.Future[SubmitReport]:
        replace = replace_of(command, self._venue)
        if command.of is not None:
            order, never = self._placed(command.of, named.strategy, command.placed)
            if never:
                return _told(SubmitReport(request=replace, outcome=Outcome.NOT_SENT, text=f"{self._venue}: {never}"))
            if order is not None:
                replace = replace_of(command, self._venue, self._desk.address(order))
        do = replace_with_gap if command.allow_gap else replace_natively
        return _task(do(self._desk, replace, seconds, named))


def order_of(command: wire.Submitting, venue: str) -> Order:
    """Raises ValueError, TypeError."""
    return command.order.order(venue)


def cancel_of(command: wire.Cancelling, venue: str) -> Cancel:
    """Raises ValueError, TypeError."""
    return command.cancel.cancel(venue)


def replace_of(command: wire.Replacing, venue: str, target: Cancel | None = None) -> Replace:
    """target: what it names, where that is known better here. Raises ValueError, TypeError."""
    return Replace(
        target=target or command.target.cancel(venue),
        known=OrderState(venue=venue, order_id=None),
        quantity=optional_number(command.quantity, "quantity", venue),
        price=optional_number(command.price, "price", venue),
        stop_price=optional_number(command.stop_price, "stop_price", venue),
    )


def mistaken(error: BaseException) -> wire.Mistaken:
    """What the call is to raise."""
    builtin = TypeError if isinstance(error, TypeError) else ValueError
    return wire.Mistaken(kind=(type(error) if isinstance(error, RouterError) else builtin).__name__, text=str(error))


def _told(report: Any) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(report)
    return future


def _task(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(work)
