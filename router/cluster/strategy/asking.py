"""What a strategy asks of one venue's owner, whoever that is: to cancel everything, to list, and to tell what was in doubt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from attrs import evolve

from router.cluster import wire
from router.cluster.strategy.commands import Commands
from router.cluster.strategy.directory import Directory
from router.cluster.strategy.placed import PlacedOrders
from router.cluster.strategy.questions import Questions, mistake
from router.errors import Garbled, GatewayError, GatewayUnreachable, ReadFailed, RouterClosed
from router.massreport import Doubt, VenueCancelReport
from router.report import CancelReport, OrderState, Outcome, SubmitReport
from router.scribe import operation_id

__all__ = ["Asking"]

log = logging.getLogger("router.cluster")

LONG: Final = 30.0  # seconds of one question about doubts
FORGOTTEN: Final = "more of this strategy's submits were in doubt than are remembered"
UNANSWERED: Final = "under way, and its gateway does not own the venue any more"


class Asking:
    """Of one strategy. until: loop time."""

    def __init__(self, directory: Directory, questions: Questions, commands: Commands, placed: PlacedOrders) -> None:
        self._directory, self._questions, self._commands, self._placed = directory, questions, commands, placed

    async def cancel_all(self, venue: str, symbol: str | None, until: float, *, own: bool) -> VenueCancelReport:
        """One venue's part. What goes wrong is a doubt.

        What this strategy has in doubt is settled meanwhile: the owner may be one that has never heard of it. Whatever turns out to
        be placed is cancelled by another round, at once; what stays in doubt is one here.
        """
        asked: dict[str, asyncio.Task[Outcome]] = {}
        try:
            self._settle(asked, venue, symbol, until)
            report = await self._cancel_all(venue, symbol, until, own=own)
            self._settle(asked, venue, symbol, until)  # its owner may have changed
            waiting = set(asked.values())
            while waiting:
                rest = max(0.0, until - asyncio.get_running_loop().time())
                done, waiting = await asyncio.wait(waiting, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
                if any(map(_is_placed, done)):
                    report = _both(report, await self._cancel_all(venue, symbol, until, own=own))
                elif not done:
                    break
            return self._with_doubts(report, symbol)
        finally:
            for task in asked.values():
                task.cancel()
            await asyncio.gather(*asked.values(), return_exceptions=True)

    def _settle(self, asked: dict[str, asyncio.Task[Outcome]], venue: str, symbol: str | None, until: float) -> None:
        """Ask what became of whatever may have been placed there, if that is not asked yet."""
        loop = asyncio.get_running_loop()
        rest = max(0.0, until - loop.time())
        for op, report in self._placed.in_doubt(venue, symbol).items():
            if op not in asked:
                asked[op] = loop.create_task(_finding(partial(report.settled, rest)))
        for pending in self._commands.inquired(venue, symbol):
            if pending.op not in asked:
                asked[pending.op] = loop.create_task(_finding(partial(self._commands.settle, pending, rest)))

    def _with_doubts(self, report: VenueCancelReport, symbol: str | None) -> VenueCancelReport:
        """What this strategy has in doubt still, the gateway need not know; where it does, it has said so."""
        said = {doubt.order.client_order_id for doubt in report.doubts if doubt.order is not None} - {None}
        lost = self._placed.in_doubt(report.venue, symbol).values()
        doubts = [f"{each} (of this strategy)" for each in lost if each.client_order_id not in said]
        doubts += [
            f"{each.verb} {each.op}: {UNANSWERED} (of this strategy)"
            for each in self._commands.inquired(report.venue, symbol)
        ]
        doubts += [FORGOTTEN] if report.venue in self._placed.forgotten else []
        told = tuple(Doubt(text=text) for text in doubts)
        proven = report.no_open_orders and not (told or lost)
        return evolve(report, doubts=(*report.doubts, *told), no_open_orders=proven)

    async def _cancel_all(self, venue: str, symbol: str | None, until: float, *, own: bool) -> VenueCancelReport:
        loop, op, known = asyncio.get_running_loop(), operation_id(), self._placed.own(venue) if own else ()

        def refused() -> None:
            nonlocal op
            op = operation_id()  # that one never will be done, also when its gateway may do something again

        def make(tenure: str, clock: float) -> wire.CancelAll:
            rest = max(0.0, until - loop.time())
            return wire.CancelAll(op=op, tenure=tenure, deadline=clock + rest, symbol=symbol, own=own, known=known)

        try:
            said = await self._questions.ask(venue, "cancel_all", make, until, patient=True, refused=refused)
        except TimeoutError:
            owned = self._directory.owner(venue) is not None
            why = "the gateway has not answered by the deadline" if owned else self._directory.why_not(venue)
            return _doubtful(venue, why)
        except (GatewayError, RouterClosed, Garbled, ValueError) as error:
            return _doubtful(venue, str(error))
        if not isinstance(said, wire.Cancelled) or said.report.venue != venue:
            return _doubtful(venue, f"the gateway has not done it: {getattr(said, 'text', type(said).__name__)}")
        self._placed.over(said.report.affected)
        return said.report

    async def recovered(self, venue: str, until: float | None) -> list[CancelReport | SubmitReport]:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            end = begun + LONG if until is None else min(begun + LONG, until)

            def make(tenure: str, clock: float, end: float = end) -> wire.Recovering:
                rest = max(0.0, end - loop.time())
                timeout = max(0.0, rest - min(0.2, rest / 10))
                return wire.Recovering(op=operation_id(), tenure=tenure, deadline=clock + rest, timeout=timeout)

            try:
                said = await self._questions.ask(venue, "recovered", make, end, patient=True)
            except TimeoutError:
                said = None
            except Garbled as error:
                raise GatewayUnreachable(f"{venue}: the gateway's answer cannot be read: {error}") from None
            if isinstance(said, wire.Recovered):
                reports = self._recalled(venue, said)
                doubts = any(report.outcome is Outcome.UNKNOWN for report in reports)
                if until is not None or not doubts or loop.time() - begun < 0.8 * LONG:
                    return reports
            elif said is not None:
                raise GatewayUnreachable(f"{venue}: {getattr(said, 'text', type(said).__name__)}")
            if until is not None and loop.time() >= until:
                owned = self._directory.owner(venue) is not None
                why = "the gateway has not answered in time" if owned else self._directory.why_not(venue)
                raise GatewayUnreachable(f"{venue}: it is not known what was in doubt: {why}")

    def _recalled(self, venue: str, said: wire.Recovered) -> list[CancelReport | SubmitReport]:
        try:
            return [self._commands.recalled(venue, command, facts) for command, facts in said.reports]
        except (ValueError, TypeError) as error:
            raise GatewayUnreachable(f"{venue}: the gateway's answer cannot be read: {error}") from None

    async def open_orders(self, venue: str, until: float) -> list[OrderState]:
        """Raises CannotList, ReadFailed or NotAuthorised."""

        def make(tenure: str, clock: float) -> wire.OpenOrders:
            rest = until - asyncio.get_running_loop().time()
            return wire.OpenOrders(op=operation_id(), tenure=tenure, deadline=clock + rest)

        try:
            said = await self._questions.ask(venue, "open_orders", make, until, patient=False)
        except TimeoutError:
            raise ReadFailed(venue, "no answer from the gateway in time") from None
        except (Garbled, GatewayUnreachable, RouterClosed) as error:
            raise ReadFailed(venue, str(error)) from None
        match said:
            case wire.Listed(orders=orders):
                return list(orders)
            case wire.Mistaken():
                raise mistake(said, venue)
            case wire.Refused(text=text):
                raise ReadFailed(venue, text or self._directory.why_not(venue))
        raise ReadFailed(venue, f"the gateway's answer cannot be read: {type(said).__name__}")


def _both(first: VenueCancelReport, then: VenueCancelReport) -> VenueCancelReport:
    """Of two rounds: the second one's proof, and what both of them took."""
    taken = {(order.kind, order.order_id, order.client_order_id): order for order in (*first.affected, *then.affected)}
    journaled = False if first.journaled is False else then.journaled
    return evolve(then, affected=tuple(taken.values()), journaled=journaled)


async def _finding(settled: Callable[[], Awaitable[CancelReport | SubmitReport]]) -> Outcome:
    """What it has come to; UNKNOWN too where asking was a mistake of ours, which must not take the report down."""
    try:
        return (await settled()).outcome
    except Exception:
        log.exception("a mistake of ours in settling a doubt")
        return Outcome.UNKNOWN


def _is_placed(asked: asyncio.Task[Outcome]) -> bool:
    return asked.result() is Outcome.CONFIRMED


def _doubtful(venue: str, text: str) -> VenueCancelReport:
    return VenueCancelReport(venue=venue, doubts=(Doubt(text=text),))
