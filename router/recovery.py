"""What a Router does with what its journal left open at one venue: orders come back, doubts are asked about.

Rules:

1. Orders of ours that may be open are in the ledger again before the venue is connected; what they have traded since is not known.
2. A cancel by a venue-unique id is sent again. One that names a set, and a cancel_all, never is: what was known to be open before
   it was sent, and still is, is cancelled by the venue's own ids.
3. A submit or a replace is never sent again. It is asked about, as settled() does: the venue's quiet period begins when it has
   first answered this Router, because until then what the last one sent may still be on its way.
4. A cancel that was held for its order's id is held again, and may have gone out by client id before.
5. Cancels go at once. Submits wait until whatever may have placed or taken something has been asked about, where the venue can be
   asked at all; what nothing can tell stays UNKNOWN.
6. An order that was known before a submit in doubt, by the same client id, is not taken for that submit's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from router.desk import Desk
from router.errors import JournalError, VenueError
from router.ledger import Entry
from router.model import Cancel, IdKind, Order, Side
from router.operation import Operation, Phase
from router.report import CancelReport, OrderState, OrdStatus, Outcome, Replace, SessionState, SubmitReport
from router.scribe import Mass
from router.settling import CLIENT_KINDS
from router.venue import Effect, Execution

if TYPE_CHECKING:
    from router.journal.reading import Kept

__all__ = ["Recovery"]

log = logging.getLogger("router.journal")

PAUSE = 0.5  # seconds between two attempts to read the open orders
T = TypeVar("T")


class Recovery:
    """One venue's part of a restart. found: everything that the journal has of all venues; path: the journal's.

    Raises JournalError when it is of another account, or cannot be read by this version.
    """

    def __init__(self, desk: Desk, found: Iterable[Kept], path: str) -> None:
        self._desk = desk
        self._found = [each for each in found if each.venue == desk.name]
        self._asked: list[Operation] = []
        self._resting: list[Operation] = []
        self._again: list[Operation] = []
        self._masses: list[tuple[Mass, frozenset[str]]] = []
        self._check_account(path)
        try:
            self._restore()
        except (msgspec.ValidationError, LookupError) as error:
            text = f"what it has of {desk.name} can't be read by this version of venue-router: {error}"
            raise JournalError(path, text) from None

    def _check_account(self, path: str) -> None:
        ours = self._desk.adapter.account
        others = {each.account for each in self._found} - {ours, ""}
        if ours and others:
            name, count = self._desk.name, sum(each.account in others for each in self._found)
            text = (
                f"it has {count} open orders or commands in doubt of {name}, of another account than the one that is used now; "
                f"use that account, or another journal, or give this account another name than {name}"
            )
            raise JournalError(path, text)

    # -- before the venue is connected

    def _restore(self) -> None:
        """Put orders into the ledger, and doubts where the desk has them."""
        submits = [each for each in self._found if each.verb == "submit"]
        orders = {each.op: self._order(each) for each in submits}
        for each in self._found:
            if each.in_doubt:
                self._doubt(each, orders)
        if self._desk.adapter.spec.lists and (self._asked or self._masses):
            self._desk.held_up = []

    def _order(self, kept: Kept) -> Entry:
        for order_id, kind in kept.intent.facts.get("namesakes", ()):
            self._namesake(order_id, IdKind(kind), kept.intent.client_order_id)
        known, order = _read(kept.known, OrderState), _read(kept.intent.facts["command"], Order)
        entry = Entry(known, order=order, since=kept.intent.at, minted=kept.intent.facts["minted"], op=kept.op)
        for told in kept.told:
            entry.former |= set(told.facts.get("former", ()))
            event = told.facts.get("event") or {}
            if event.get("trade_id") is not None:
                side = told.facts.get("side")
                entry.traded((event["trade_id"], None if side is None else Side(side)))
        self._desk.ledger.restore(entry)
        return entry

    def _namesake(self, order_id: str, kind: IdKind, client_order_id: str | None) -> None:
        """Somebody else's order that was known by the same client id before: what the venue shows of it is not ours to take."""
        if self._desk.ledger.find(order_id) is None:
            name = self._desk.name
            state = OrderState(venue=name, order_id=order_id, client_order_id=client_order_id, kind=kind)
            self._desk.ledger.restore(Entry(state))

    def _doubt(self, kept: Kept, orders: dict[str, Entry]) -> None:
        match kept.verb:
            case "submit":
                self._submit(kept, orders[kept.op])
            case "replace":
                self._replace(kept)
            case "cancel":
                self._cancel(kept, orders)
            case "cancel_all":
                mass = self._desk.scribe.mass(kept.op, kept.intent.number)
                self._masses.append((mass, _targets(kept)))

    def _submit(self, kept: Kept, entry: Entry) -> None:
        order = entry.order
        assert order is not None  # noqa: S101 - it was restored with its order
        self._ask_about(kept, self._desk.resume_submit(self._operation(kept, order, order), entry))

    def _replace(self, kept: Kept) -> None:
        command = _read(kept.intent.facts["command"], Replace)
        entry = self._desk.ledger.find(str(command.known.order_id)) or self._stranger(command.known)
        self._ask_about(kept, self._desk.resume_replace(self._operation(kept, command, _request(kept, Replace)), entry))

    def _stranger(self, state: OrderState) -> Entry:
        """An order that somebody else placed."""
        entry = Entry(state)
        self._desk.ledger.restore(entry)
        return entry

    def _cancel(self, kept: Kept, orders: dict[str, Entry]) -> None:
        """The last attempt says what may have been done: a cancel that was held may have gone out under another address."""
        last = next((told.facts for told in reversed(kept.told) if "command" in told.facts), kept.intent.facts)
        command = _read(last["command"], Cancel)
        operation = self._operation(kept, command, _request(kept, Cancel))
        entry = orders.get(kept.intent.facts.get("of", ""))
        if entry is not None and entry.state.order_id is None:
            if not any(told.what == "sent" for told in kept.told):
                operation.sent_at = None
            # as one that may have gone out: what was not written yet proves nothing
            self._desk.resume_held(operation, entry)
            self._asked.append(operation)
            return
        if entry is not None:
            operation.command = command = entry.state.to_cancel()
        self._desk.resume_cancel(operation)
        if entry is None and (command.kind in CLIENT_KINDS or last["effect"] != Effect.IDEMPOTENT):
            operation.targets = _targets(kept)
            self._ask_about(kept, operation)
        elif _rests(kept):
            operation.gone = True
            self._ask_about(kept, operation)
        else:
            self._again.append(operation)

    def _ask_about(self, kept: Kept, operation: Operation) -> None:
        """Its connection is gone with the process that had it."""
        operation.phase, operation.lost = Phase.WRITTEN, operation.written
        (self._resting if _rests(kept) else self._asked).append(operation)

    def _operation(self, kept: Kept, command: Order | Cancel | Replace, request: Order | Cancel | Replace) -> Operation:
        operation = Operation(command, request, self._desk)
        operation.id, operation.page, operation.doubted = kept.op, kept.intent.number, True
        operation.attempts, operation.written = 1, asyncio.get_running_loop().time()
        operation.sent_at = datetime.fromtimestamp(kept.intent.at, UTC)
        operation.note("the last run ended before it was settled")
        return operation

    # -- once it is connected

    async def run(self) -> None:
        """Ask about everything that is in doubt; submits go when nothing that may still place something is. Cancelled, it
        lets nothing go.
        """
        try:
            await self._ask()
            self._desk.let_go()
            await asyncio.gather(*map(self._settled, self._again))
        except Exception:
            log.exception("%s: a mistake of ours in asking about what was in doubt", self._desk.name)
            self._desk.let_go()

    def reports(self) -> list[CancelReport | SubmitReport]:
        """Of what was in doubt, as things stand."""
        return [self._desk.told(operation) for operation in (*self._asked, *self._again, *self._resting)]

    async def _ask(self) -> None:
        for operation in self._again:
            self._desk.adapter.send(operation)
        rows = await self._read_orders()
        if rows is None and self._desk.adapter.spec.lists:
            return  # it will not be connected: nothing can be asked
        now = asyncio.get_running_loop().time()
        for operation in self._asked:  # until now the venue may not have had what the last run sent
            operation.written = now
            operation.lost = None if operation.lost is None else now
        await asyncio.gather(*(self._finish_mass(mass, targets, rows) for mass, targets in self._masses))
        await asyncio.gather(*map(self._settled, self._asked))

    async def _settled(self, operation: Operation) -> None:
        await self._desk.settle(operation, None)
        self._let_rest(operation)
        await self._desk.scribe.kept(operation, None)

    def _let_rest(self, operation: Operation) -> None:
        """Where nothing is left to be learnt or done (the venue does not know what was to be cancelled, or the order that was to
        be replaced has ended), later runs don't ask again. It is in doubt all the same, until somebody settles it.
        """
        command, entry = operation.command, operation.subject
        if isinstance(command, Cancel):
            entry = self._desk.ledger.find(command.id)
            over = operation.gone and not (entry is not None and entry.state.status is OrdStatus.PENDING_NEW)
        else:
            over = isinstance(command, Replace) and isinstance(entry, Entry) and not entry.is_live
        if over and operation.phase is not Phase.DONE:
            self._desk.scribe.rests(operation)

    async def _read_orders(self) -> Sequence[Execution] | None:
        """The venue's open orders, however long that takes; None where it cannot list."""
        while self._found and self._desk.adapter.spec.lists and not self._desk.is_closed:
            if self._desk.adapter.health().state is SessionState.FATAL:
                break
            try:
                reading = await self._desk.adapter.read(asyncio.get_running_loop().time())
            except VenueError:
                await asyncio.sleep(PAUSE)
            else:
                self._desk.resync(reading)
                return reading.rows
        return None

    async def _finish_mass(self, mass: Mass, targets: frozenset[str], rows: Sequence[Execution] | None) -> None:
        """Cancel what a cancel_all had before it, one by one (rule 2)."""
        listed = None if rows is None else {row.order_id for row in rows}
        entries = [self._desk.ledger.find(order_id) for order_id in sorted(targets)]
        wanted = [
            entry.state.to_cancel()
            for entry in entries
            if entry is not None and entry.is_live and (listed is None or entry.state.order_id in listed)
        ]
        reports = await asyncio.gather(*(self._desk.cancel(cancel, None) for cancel in wanted))
        if any(report.outcome is Outcome.NOT_SENT for report in reports):
            return  # the next run goes on with it
        done = sum(report.ok for report in reports)
        text = (
            f"after a restart: of {len(wanted)} orders that were open before it and still were, {done} were cancelled"
        )
        mass.ended(proven=False, text=text)


def _rests(kept: Kept) -> bool:
    """Whether an earlier run has found that asking tells nothing more."""
    return any(told.facts.get("rest") for told in kept.told)


def _targets(kept: Kept) -> frozenset[str]:
    return frozenset(target for told in kept.told for target in told.facts.get("targets", ()))


def _request(kept: Kept, what: type[T]) -> T:
    """As the caller said it."""
    return _read(kept.intent.facts.get("request") or kept.intent.facts["command"], what)


def _read(facts: Any, what: type[T]) -> T:
    return msgspec.convert(facts, what)
