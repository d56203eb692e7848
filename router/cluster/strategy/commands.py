"""All commands that a strategy has on their way: what may be executed once, and what its caller is told.

Rules:

1. LOOKING while its owner is not known, SENT from the moment at which its message was given to the connection, then DONE. What is
   not sent by the deadline, or for which there is no owner, is NOT_SENT, and nobody waits for what nobody waits for any more.
2. A message has one possible receiver. "No responders", "refused" and "not allowed" are therefore certain: it was not executed and
   will not be. Only after one of these may it go to another tenure, under the same id; not after an inquiry, nor after a cancel
   of the very order (whoever heard of that refuses it for good).
3. When the owner has changed, or the connection was lost and is back, the answer may be lost: an inquiry begins, which asks the owner
   what became of it, and may have it done by another gateway, if it is a cancel. From then on "it was not executed" is not the end of
   it where its first receiver says so: only CONFIRMED or REFUSED, or what the inquiry is told.
4. The first final report counts. Silence at the deadline is UNKNOWN, and so is an answer that cannot be read.
5. UNKNOWN goes with the means to ask on: settled() asks whoever owns the venue then, again and again.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, Final, cast

from router.cluster import subjects, wire
from router.cluster.broker.connection import Connection, NoResponders
from router.cluster.strategy.directory import Directory, Seat
from router.cluster.strategy.findings import Findings
from router.cluster.strategy.pending import Pending, Phase, Report, request_of, unsayable
from router.cluster.strategy.questions import Questions, mistake
from router.deadlines import Deadlines
from router.errors import Garbled, GatewayUnreachable, NotAuthorised, RouterClosed, UnknownVenue
from router.operation import Operation
from router.report import Outcome

__all__ = ["Commands"]

TURNS: Final = 5  # tenures that one command may be sent to
WITHDRAWN: Final = "cancelled before it was placed"


class Commands:
    """All that one strategy has on its way."""

    def __init__(self, strategy: str) -> None:
        self._strategy = strategy
        self._under_way: dict[Pending, None] = {}
        self._deadlines = Deadlines()
        self._connection: Connection
        self._directory: Directory
        self._findings: Findings

    def open(self, connection: Connection, directory: Directory, questions: Questions) -> None:
        """Go this way from now on, also for what was left in doubt before."""
        self._connection, self._directory = connection, directory
        self._findings = Findings(directory, questions)

    # -- sending

    def start(self, pending: Pending) -> asyncio.Future[Any]:
        """Send it, or find out to whom. Raises TypeError for what cannot be said over NATS."""
        self._under_way[pending] = None
        self._deadlines.watch(cast("Operation", pending))  # it asks for no more than a Pending has
        try:
            self._look(pending)
        except BaseException:
            self._end(pending)
            raise
        return pending.told

    def _look(self, pending: Pending) -> None:
        """Send it to the owner, if it is known (rule 1)."""
        if not self._connection.is_up:
            self._not_sent(pending, self._directory.why_not(pending.venue))
            return
        seat = self._directory.owner(pending.venue)
        if seat is not None:
            self._send(pending, seat)
            return
        pending.phase = Phase.LOOKING
        self._directory.ask()

    def _send(self, pending: Pending, seat: Seat) -> None:
        if fault := unsayable(pending.request):
            self._not_sent(pending, fault)
            return
        rest = pending.due - asyncio.get_running_loop().time()
        pending.sent_at = self._directory.clock(seat.gateway)
        pending.command = pending.make(seat.tenure, pending.sent_at + rest)
        pending.phase, pending.connections = Phase.SENT, self._directory.connections
        pending.turns += 1
        subject = subjects.command(pending.venue, pending.verb, self._strategy, seat.tenure)
        try:
            call = self._connection.call(subject, wire.encode(pending.command))
        except ValueError as error:  # too long
            self._not_sent(pending, str(error))
            return
        pending.call = call
        call.add_done_callback(partial(self._returned, pending, seat))

    # -- what comes back

    def _returned(self, pending: Pending, seat: Seat, call: asyncio.Future[bytes]) -> None:
        if call.cancelled() or pending.call is not call:
            return
        pending.call = None
        error = call.exception()
        if error is None:
            self._read(pending, seat, call.result())
        elif isinstance(error, NoResponders):
            self._directory.gone(seat, pending.tenure)
            self._never_came(pending, "nobody listens any more at the gateway that owned it", may_go=True)
        elif isinstance(error, NotAuthorised | GatewayUnreachable):
            self._never_came(pending, str(error), may_go=False)
        else:
            self._tell(pending, pending.ours(Outcome.UNKNOWN, f"a mistake of ours: {type(error).__name__}"))

    def _read(self, pending: Pending, seat: Seat, body: bytes) -> None:
        try:
            self._heard(pending, seat, wire.reply(body))
        except (Garbled, ValueError) as error:
            text = f"{pending.venue}: what the gateway {seat.gateway} answered cannot be read: {error}"
            self._tell(pending, pending.ours(Outcome.UNKNOWN, text))

    def _heard(self, pending: Pending, seat: Seat, said: wire.Reply) -> None:
        """Raises Garbled or ValueError for what is no answer."""
        match said:
            case wire.Told(report=facts) if facts.outcome is Outcome.NOT_SENT:
                self._never_came(pending, facts.text, may_go=False, facts=facts)
            case wire.Told():
                self._tell(pending, said.report)
            case wire.Refused():
                is_elsewhere = said.tenure not in {"", pending.tenure}
                if is_elsewhere:
                    self._directory.gone(seat, pending.tenure)
                self._never_came(pending, said.text, may_go=is_elsewhere)
            case wire.Mistaken():
                self._raise(pending, said)
            case _:
                raise Garbled(f"{type(said).__name__} is no answer to a {pending.verb}")

    def _raise(self, pending: Pending, said: wire.Mistaken) -> None:
        """A mistake of the caller, of which nothing was sent."""
        error = mistake(said, pending.venue)
        if not isinstance(error, ValueError | TypeError | UnknownVenue):
            raise Garbled(f"{said.kind} is no answer to a {pending.verb}: {said.text}")
        if pending.phase is Phase.DONE or pending.was_inquired:
            return
        self._end(pending)
        if not pending.told.done():
            pending.told.set_exception(error)

    def _never_came(self, pending: Pending, text: str, *, may_go: bool, facts: wire.Facts | None = None) -> None:
        """It was not executed and will not be (rule 2), unless an inquiry may have had it done (rule 3). may_go: to another
        tenure; facts: what the gateway told.
        """
        if pending.phase is Phase.DONE or pending.was_inquired:
            pending.note(text)
        elif may_go and pending.may_go_elsewhere and pending.is_awaited and pending.turns < TURNS:
            self._look(pending)
        elif facts is not None:
            self._tell(pending, facts)
        else:
            self._not_sent(pending, text)

    # -- the world changes

    def moved(self, seat: Seat) -> None:
        """A venue has an owner that it did not have."""
        for pending in [each for each in self._under_way if each.venue == seat.venue]:
            if pending.phase is Phase.LOOKING:
                self._look_again(pending)
            elif pending.tenure != seat.tenure:
                pending.note("its gateway does not own the venue any more")
                self._inquire(pending)

    def round_ended(self) -> None:
        """Every gateway that is there has said what it owns."""
        for pending in [each for each in self._under_way if each.phase is Phase.LOOKING]:
            if self._directory.owner(pending.venue) is None:
                self._not_sent(pending, self._directory.why_not(pending.venue))

    def reconnected(self) -> None:
        """What was sent before may have been lost, or its answer."""
        for pending in list(self._under_way):
            if pending.phase is Phase.SENT and pending.connections != self._directory.connections:
                pending.note("the connection to NATS was lost before the answer")
                self._inquire(pending)

    def _look_again(self, pending: Pending) -> None:
        if not pending.is_awaited:
            self._end(pending)
            return
        try:
            self._look(pending)
        except (TypeError, ValueError) as error:
            self._end(pending)
            pending.told.set_exception(error)

    def inquired(self, venue: str, symbol: str | None) -> list[Pending]:
        """Submits and replaces that may have been executed by somebody who does not own the venue any more."""
        there = [each for each in self._under_way if each.venue == venue and each.verb != "cancel"]
        return [each for each in there if each.was_inquired and each.final is None and each.may_be_of(symbol)]

    def withdraw(self, pending: Pending) -> bool:
        """Whether it had not been sent, and now never will be."""
        if pending.phase is not Phase.LOOKING:
            return False
        self._not_sent(pending, f"{pending.venue}: {WITHDRAWN}")
        return True

    # -- telling

    def expired(self, pending: Pending) -> None:
        """Its deadline has come, or its caller has gone."""
        if pending.phase is Phase.DONE:
            return
        if pending.phase is Phase.LOOKING:
            self._not_sent(pending, self._directory.why_not(pending.venue))
        else:
            why = "" if self._connection.is_up else ", and the connection to NATS is lost"
            self._tell(pending, pending.ours(Outcome.UNKNOWN, f"no answer by the deadline{why}"))

    def _not_sent(self, pending: Pending, text: str) -> None:
        words = text if text.startswith(f"{pending.venue}:") else f"{pending.venue}: {text}"
        self._tell(pending, pending.ours(Outcome.NOT_SENT, words))

    def _tell(self, pending: Pending, facts: wire.Facts) -> None:
        """Rule 4. Raises ValueError for facts that make no report."""
        if pending.phase is Phase.DONE:
            return
        report = pending.report(facts)
        self._end(pending)
        if facts.outcome is not Outcome.UNKNOWN:
            pending.final = facts
        pending.heard(report)
        if not pending.told.done():
            pending.told.set_result(report)

    def _end(self, pending: Pending) -> None:
        pending.phase = Phase.DONE
        self._under_way.pop(pending, None)
        self._deadlines.discard(cast("Operation", pending))
        call, pending.call = pending.call, None
        if call is not None:
            self._connection.forget(call)
        if pending.inquiry is not None and pending.inquiry is not asyncio.current_task():
            pending.inquiry.cancel()

    async def close(self) -> None:
        """Whoever waits is told what is known."""
        inquiries = [each.inquiry for each in self._under_way if each.inquiry is not None]
        for pending in list(self._under_way):
            if pending.phase is Phase.LOOKING:
                self._not_sent(pending, "the Router was closed")
            else:
                self._tell(pending, pending.ours(Outcome.UNKNOWN, "the Router was closed before the answer"))
        self._deadlines.close()
        await asyncio.gather(*inquiries, return_exceptions=True)

    def recalled(self, venue: str, command: wire.Settleable, facts: wire.Facts) -> Report:
        """The report of a command that a gateway has found in its journal. Raises ValueError for what makes none."""
        request = request_of(venue, command)
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        pending = Pending(venue, "settle", command.op, request, lambda *_: command, 0.0, told, self)
        pending.phase, pending.command = Phase.DONE, command
        pending.sent_at = time.time() if facts.sent_at is None else facts.sent_at.timestamp()
        return pending.report(facts)

    # -- finding out

    def _inquire(self, pending: Pending) -> None:
        """Rule 3. It asks until it is told, or until the deadline ends it."""
        pending.was_inquired = True
        if pending.inquiry is None or pending.inquiry.done():
            pending.inquiry = asyncio.get_running_loop().create_task(self._inquiring(pending))

    async def _inquiring(self, pending: Pending) -> None:
        try:
            facts = await self._findings.find_out(pending, pending.due)
        except (TimeoutError, RouterClosed):
            return
        if facts.outcome is not Outcome.UNKNOWN:
            self._tell(pending, facts)
        else:
            pending.note(facts.text)

    async def settle(self, pending: Pending, timeout: float | None) -> Report:
        """What a report's settled() does (rule 5)."""
        loop = asyncio.get_running_loop()
        if pending.final is not None:
            return pending.report(pending.final)
        pending.was_inquired = True
        until = None if timeout is None else loop.time() + timeout
        try:
            facts = await self._findings.find_out(pending, until)
        except TimeoutError:
            facts = pending.ours(Outcome.UNKNOWN, f"{pending.venue}: {self._findings.silence(pending.venue)}")
        except RouterClosed:
            facts = pending.ours(Outcome.UNKNOWN, "the Router was closed, so nobody can be asked")
        report = pending.report(facts)
        if facts.outcome is not Outcome.UNKNOWN and pending.final is None:
            if pending.phase is not Phase.DONE:  # somebody else asks than who waits for it
                self._tell(pending, facts)
            else:
                pending.final = facts
                pending.heard(report)
        return report
