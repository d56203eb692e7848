"""What became of a command that was sent before: asked of what this tenure remembers, of the journal, and at last of the venue.

Rules:

1. What was begun here is told as it stands, and is settled as its report would be, however long that takes; each question waits for
   its own time.
2. What was sent to this tenure and never came is buried, and told NOT_SENT: it had one possible receiver.
3. What was sent to an earlier tenure and is not in this journal may have been executed by whoever had that: it is adopted.
4. What came here, is forgotten, and is not in the journal stays UNKNOWN, and so does what the journal has in doubt and nobody asks
   about any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from router import adopting
from router.cluster import wire
from router.cluster.serving.earlier import looked_up
from router.cluster.serving.executing import MISTAKES, cancel_of, mistaken, order_of, replace_of, reply
from router.cluster.serving.operations import BURIED, Doable, Full, Known, Operations
from router.core import Router
from router.desk import Desk
from router.errors import NotAuthorised, RouterError
from router.ledger import natural_kind
from router.model import Cancel, Order, plain
from router.operation import Named, Operation
from router.report import CancelReport, OrdRejReason, OrdStatus, Origin, Outcome, Replace, SubmitReport

__all__ = ["Inquiry"]

log = logging.getLogger("router.cluster")

MOST_ADOPTED: Final = (
    10_000  # in one tenure, with what its journal had in doubt: each is remembered, and asks the venue
)
Report = CancelReport | SubmitReport
NEVER_CAME: Final = "it never came to the gateway, and will not be executed any more"
UNDER_WAY: Final = "it is under way, and there is no answer yet"
FORGOTTEN: Final = "it came to the gateway, too long ago to tell what became of it"
TOO_MANY: Final = "the gateway has too much of others to ask about"
UNASKED: Final = "the gateway's journal has it in doubt, and nothing more is asked about it: {}"


class Inquiry:
    """At one desk, for one tenure. why_not: why nothing may be done at the venue now, or ""; clock: wall time."""

    def __init__(
        self,
        router: Router,
        venue: str,
        tenure: str,
        operations: Operations,
        path: Path,
        why_not: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._router, self._venue, self._tenure = router, venue, tenure
        self._operations, self._path, self._why_not, self._clock = operations, path, why_not, clock
        self._tasks: dict[str, asyncio.Task[Report]] = {}

    def close(self) -> None:
        """Whoever asks is told what is known."""
        for task in self._tasks.values():
            task.cancel()

    @property
    def _desk(self) -> Desk:
        return self._router.desk(self._venue)

    # -- one command

    async def settle(self, asked: wire.Settling, strategy: str, timeout: float) -> wire.Reply:
        """What became of it, after so many seconds at the latest."""
        command, until = asked.command, asyncio.get_running_loop().time() + timeout
        known = self._operations.find(command.op, strategy)
        is_others = known is not None and known.elsewhere and command.tenure != self._tenure
        if known is not None and not is_others:
            return await self._of_known(known, until)
        try:
            if not is_others and self._operations.was_seen(command.op, strategy):
                return await self.forgotten(command, strategy, until)
            if command.tenure == self._tenure:
                return self._bury(command, strategy)
            return await self._of_others(asked, strategy, until)
        except NotAuthorised as error:
            return wire.Mistaken(kind=type(error).__name__, text=str(error))
        except MISTAKES as error:
            return mistaken(error)

    def _bury(self, command: wire.Settleable, strategy: str) -> wire.Reply:
        now = self._clock()
        try:
            self._operations.bury(command.op, strategy, BURIED, now, command.deadline, self._tenure)
        except Full as error:
            return _unknown(str(error))
        return _told(Outcome.NOT_SENT, NEVER_CAME)

    async def _of_known(self, known: Known, until: float) -> wire.Reply:
        if known.said is None and not known.lost:
            await asyncio.wait([known.answered()], timeout=max(0.0, until - asyncio.get_running_loop().time()))
        if known.command is not None and (known.lost or known.was_before):
            return await self.forgotten(known.command, known.strategy, until)
        match known.said:
            case None:
                return _unknown(UNDER_WAY)
            case wire.Refused() as refused:
                return _told(Outcome.NOT_SENT, refused.text)
        report = known.report
        if not known.is_doubtful or report is None:
            return known.said
        settled = await self._shared(known.op, partial(report.settled, None), until)
        if settled is not None:
            known.finish(reply(settled), settled)
        return _as_it_stands(report if settled is None else settled, asked=settled is not None)

    async def forgotten(self, command: Doable, strategy: str, until: float) -> wire.Reply:
        """Of what came here and is not remembered (rule 4). Raises NotAuthorised."""
        found = await self.before(command, strategy, until)
        return _unknown(FORGOTTEN, spent=True) if found is None else found

    async def before(self, command: Doable, strategy: str, until: float) -> wire.Reply | None:
        """Of what was not begun by this tenure; None where neither this Router nor its journal has it. Raises NotAuthorised."""
        operation = self._router.resumed(command.op)
        if operation is None:
            return await self._in_journal(command, strategy)
        return await self._of_operation(operation, strategy, until)

    async def _in_journal(self, command: Doable, strategy: str) -> wire.Reply | None:
        try:
            found = await looked_up(self._path, command.op)
        except RouterError as error:
            return _unknown(str(error))
        if found is None:
            return None
        if found.strategy not in {"", strategy}:
            raise NotAuthorised(_foreign(command.op, strategy))
        if found.report is None:
            return _unknown(UNASKED.format(found.text), spent=True)
        return reply(self._with_its_gap(found.report) if isinstance(command, wire.Replacing) else found.report)

    def _with_its_gap(self, report: Report) -> Report:
        """Of a replace: what was written of the new order, which a gap leaves to be placed when the old one is gone already."""
        order, spec = report.request, self._desk.adapter.spec
        if report.outcome is not Outcome.NOT_SENT or not isinstance(order, Order):
            return report
        if spec.replace_is_new and natural_kind(order.type, spec.cancel_kinds) in spec.replaces:
            return report  # nothing came before it
        text = f"{self._venue}: cancelled, and not placed anew: {report.text}"
        refused = {"outcome": Outcome.REFUSED, "origin": Origin.ROUTER, "reason": OrdRejReason.OTHER}
        return structs.replace(report, text=text, status=OrdStatus.CANCELED, client_order_id=None, **refused)

    # -- what others may have done

    async def _of_others(self, asked: wire.Settling, strategy: str, until: float) -> wire.Reply:
        command = asked.command
        operation = self._router.resumed(command.op)
        if operation is None:
            found = await self._in_journal(command, strategy)
            if found is not None:
                return found
            known = self._operations.find(command.op, strategy)
            if known is not None and not known.elsewhere:  # it has come meanwhile
                return await self._of_known(known, until)
            why = self._why_not() or (TOO_MANY if len(self._desk.resumed) >= MOST_ADOPTED else "")
            if why:
                return _unknown(why)
            operation = self._adopted(asked, strategy)
        return await self._of_operation(operation, strategy, until)

    def _adopted(self, asked: wire.Settling, strategy: str) -> Operation:
        sent_at = datetime.fromtimestamp(min(asked.sent_at, self._clock()), UTC)
        command = self._command(asked.command)
        log.info(
            "%s: adopting %s of %s, sent in tenure %s", self._venue, asked.command.op, strategy, asked.command.tenure
        )
        return adopting.adopt(self._desk, command, Named(asked.command.op, strategy), sent_at)

    def _command(self, command: wire.Settleable) -> Order | Cancel | Replace:
        match command:
            case wire.Submitting():
                return order_of(command, self._venue)
            case wire.Cancelling():
                return cancel_of(command, self._venue)
            case wire.Replacing():
                return replace_of(command, self._venue)

    async def _of_operation(self, operation: Operation, strategy: str, until: float) -> wire.Reply:
        """One that was resumed or adopted."""
        if operation.named is not None and operation.named.strategy not in {"", strategy}:
            raise NotAuthorised(_foreign(operation.id, strategy))
        desk = self._desk
        report = desk.told(operation)
        if report.outcome is not Outcome.UNKNOWN:
            return reply(report)
        settled = await self._shared(operation.id, partial(desk.settle, operation, None), until)
        return _as_it_stands(desk.told(operation) if settled is None else settled, asked=settled is not None)

    async def _shared(self, op: str, work: Callable[[], Coroutine[Any, Any, Report]], until: float) -> Report | None:
        """What it has come to when every means is spent; None: not by then. Those who ask at once ask once."""
        task = self._tasks.get(op)
        if task is None:
            task = self._tasks[op] = asyncio.get_running_loop().create_task(work())
            task.add_done_callback(partial(self._asked, op))
        await asyncio.wait([task], timeout=max(0.0, until - asyncio.get_running_loop().time()))
        return task.result() if task.done() and not task.cancelled() and task.exception() is None else None

    def _asked(self, op: str, task: asyncio.Task[Report]) -> None:
        self._tasks.pop(op, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s: a mistake of ours in settling %s", self._venue, op, exc_info=task.exception())

    # -- what a restart found

    async def recovered(self, strategy: str, timeout: float) -> wire.Reply:
        """What the journal had in doubt of this strategy, and of nobody in particular."""
        await self._router.recovered(timeout)
        desk = self._desk
        found = [each for each in desk.resumed.values() if each.named is None or each.named.strategy in {"", strategy}]
        return wire.Recovered(reports=tuple((_said(each), wire.Facts.of(desk.told(each))) for each in found))


def _said(operation: Operation) -> wire.Settleable:
    """A command as it might have been sent."""
    request = operation.request
    if isinstance(request, Order):
        return wire.Submitting(op=operation.id, tenure="", deadline=0.0, order=wire.Terms.of(request))
    if isinstance(request, Cancel):
        return wire.Cancelling(op=operation.id, tenure="", deadline=0.0, cancel=wire.Address.of(request))
    return wire.Replacing(
        op=operation.id,
        tenure="",
        deadline=0.0,
        target=wire.Address.of(request.target),
        quantity=_text(request.quantity),
        price=_text(request.price),
        stop_price=_text(request.stop_price),
    )


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)


def _as_it_stands(report: Report, *, asked: bool) -> wire.Told:
    """asked: every means is spent."""
    return wire.Told(report=wire.Facts.of(report), spent=asked and report.outcome is Outcome.UNKNOWN)


def _told(outcome: Outcome, text: str, *, spent: bool = False) -> wire.Told:
    return wire.Told(report=wire.Facts(outcome=outcome, text=text), spent=spent)


def _unknown(text: str, *, spent: bool = False) -> wire.Told:
    return _told(Outcome.UNKNOWN, text, spent=spent)


def _foreign(op: str, strategy: str) -> str:
    return f"the operation {op} is not one of {strategy}'s"
