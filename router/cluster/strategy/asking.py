"""What a strategy asks of one venue's owner, whoever that is: to cancel everything, to list, and to tell what was in doubt."""

from __future__ import annotations

import asyncio
from typing import Final

from attrs import evolve

from router.cluster import wire
from router.cluster.strategy.commands import Commands
from router.cluster.strategy.directory import Directory
from router.cluster.strategy.placed import PlacedOrders
from router.cluster.strategy.questions import Questions, mistake
from router.errors import Garbled, GatewayError, GatewayUnreachable, NotAuthorised, ReadFailed, RouterClosed
from router.massreport import Doubt, VenueCancelReport
from router.report import CancelReport, OrderState, Outcome, SubmitReport
from router.scribe import operation_id

__all__ = ["Asking"]

LONG: Final = 30.0  # seconds of one question about doubts


class Asking:
    """Of one strategy. until: loop time."""

    def __init__(self, directory: Directory, questions: Questions, commands: Commands, placed: PlacedOrders) -> None:
        self._directory, self._questions, self._commands, self._placed = directory, questions, commands, placed

    async def cancel_all(self, venue: str, symbol: str | None, until: float, *, own: bool) -> VenueCancelReport:
        """One venue's part. What goes wrong is a doubt.

        What this strategy has in doubt is settled meanwhile: the owner may be one that has never heard of it. What turns out to be
        placed is cancelled by another round; what stays in doubt is one here.
        """
        settling = self._settling(venue, symbol, until)
        report = await self._cancel_all(venue, symbol, until, own=own)
        if settling:
            await asyncio.wait(settling, timeout=max(0.0, until - asyncio.get_running_loop().time()))
            if any(task.done() and task.result().outcome is Outcome.CONFIRMED for task in settling):
                report = _both(report, await self._cancel_all(venue, symbol, until, own=own))
            for task in settling:
                task.cancel()
        doubts = [Doubt(text=f"{each} (of this strategy)") for each in self._placed.in_doubt(venue, symbol)]
        return evolve(report, doubts=(*report.doubts, *doubts), no_open_orders=report.no_open_orders and not doubts)

    def _settling(self, venue: str, symbol: str | None, until: float) -> list[asyncio.Task[SubmitReport]]:
        loop = asyncio.get_running_loop()
        rest = max(0.0, until - loop.time())
        return [loop.create_task(report.settled(rest)) for report in self._placed.in_doubt(venue, symbol)]

    async def _cancel_all(self, venue: str, symbol: str | None, until: float, *, own: bool) -> VenueCancelReport:
        loop, op, known = asyncio.get_running_loop(), operation_id(), self._placed.own(venue) if own else ()

        def make(tenure: str, clock: float) -> wire.CancelAll:
            rest = max(0.0, until - loop.time())
            return wire.CancelAll(op=op, tenure=tenure, deadline=clock + rest, symbol=symbol, own=own, known=known)

        try:
            said = await self._questions.ask(venue, "cancel_all", make, until, patient=True)
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
            except NotAuthorised:
                return []  # then nothing of ours can be in doubt there
            except TimeoutError:
                said = None
            except Garbled as error:
                raise GatewayUnreachable(f"{venue}: the gateway's answer cannot be read: {error}") from None
            if isinstance(said, wire.Recovered):
                reports = [self._commands.recalled(venue, command, facts) for command, facts in said.reports]
                doubts = any(report.outcome is Outcome.UNKNOWN for report in reports)
                if until is not None or not doubts or loop.time() - begun < 0.8 * LONG:
                    return reports
            elif said is not None:
                raise GatewayUnreachable(f"{venue}: {getattr(said, 'text', type(said).__name__)}")
            if until is not None and loop.time() >= until:
                why = self._directory.why_not(venue)
                raise GatewayUnreachable(f"{venue}: it is not known what was in doubt: {why}")

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
    taken = {order.order_id: order for order in (*first.affected, *then.affected)}
    return evolve(then, affected=tuple(taken.values()))


def _doubtful(venue: str, text: str) -> VenueCancelReport:
    return VenueCancelReport(venue=venue, doubts=(Doubt(text=text),))
