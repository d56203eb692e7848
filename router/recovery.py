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
7. What was adopted from another Router (adopting.py) is asked about on the same terms as then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from router.desk import Desk
from router.errors import JournalError
from router.ledger import Entry
from router.model import Cancel, IdKind, Order, Side
from router.operation import Named, Operation
from router.report import CancelReport, OrderState, Outcome, Replace, SubmitReport
from router.resuming import SKEW, Resumed
from router.scribe import Mass
from router.settling import CLIENT_KINDS
from router.venue import Effect, Execution

if TYPE_CHECKING:
    from router.journal.reading import Kept

__all__ = ["Recovery"]

log = logging.getLogger("router.journal")

T = TypeVar("T")


class Recovery:
    """One venue's part of a restart. found: everything that the journal has of all venues; path: the journal's.

    Raises JournalError when it is of another account, or cannot be read by this version.
    """

    def __init__(self, desk: Desk, found: Iterable[Kept], path: str) -> None:
        self._desk = desk
        self._found = [each for each in found if each.venue == desk.name]
        self._resumed = Resumed(desk, desk.resync)
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
        for each in self._found:
            self._desk.names.take(each.op)
        submits = [each for each in self._found if each.verb == "submit"]
        orders = {each.op: self._order(each) for each in submits}
        for each in self._found:
            if each.in_doubt:
                self._doubt(each, orders)
        if self._desk.adapter.spec.lists and (self._resumed.is_asking or self._masses):
            self._desk.held_up = []

    def _order(self, kept: Kept) -> Entry:
        for order_id, kind in _namesakes(kept):
            self._namesake(order_id, IdKind(kind), kept.intent.client_order_id)
        known, order = _read(kept.known, OrderState), _read(kept.intent.facts["command"], Order)
        entry = Entry(known, order=order, since=_since(kept), minted=kept.intent.facts["minted"], op=kept.op)
        entry.strategy = kept.intent.facts.get("strategy", "")
        for told in kept.told:
            entry.former |= set(told.facts.get("former", ()))
            event = told.facts.get("event") or {}
            if event.get("trade_id") is not None:
                side = told.facts.get("side")
                entry.traded((event["trade_id"], None if side is None else Side(side)))
        if not _is_sought(kept, known):
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
        others = frozenset(order_id for order_id, _ in _namesakes(kept)) if _is_sought(kept, entry.state) else None
        self._resumed.submit(self._operation(kept, order, order), entry, rests=_rests(kept), others=others)

    def _replace(self, kept: Kept) -> None:
        command = _read(kept.intent.facts["command"], Replace)
        entry = self._desk.ledger.find(str(command.known.order_id))
        if entry is None:  # somebody else placed it
            entry = Entry(command.known)
            if command.known.order_id is not None:
                self._desk.ledger.restore(entry)
        self._resumed.replace(self._operation(kept, command, _request(kept, Replace)), entry, rests=_rests(kept))

    def _cancel(self, kept: Kept, orders: dict[str, Entry]) -> None:
        """The last attempt says what may have been done: a cancel that was held may have gone out under another address."""
        last = next((told.facts for told in reversed(kept.told) if "command" in told.facts), kept.intent.facts)
        command = _read(last["command"], Cancel)
        operation = self._operation(kept, command, _request(kept, Cancel))
        entry = orders.get(kept.intent.facts.get("of", ""))
        if entry is not None and entry.state.order_id is None:
            if not any(told.what == "sent" for told in kept.told):
                operation.sent_at = None
            self._resumed.held(operation, entry)
            return
        if entry is not None:
            operation.command = command = entry.state.to_cancel()
        is_set = entry is None and (command.kind in CLIENT_KINDS or last["effect"] != Effect.IDEMPOTENT)
        if is_set:
            operation.targets = _targets(kept)
        self._resumed.cancel(operation, is_unique=not is_set, rests=_rests(kept))

    def _operation(self, kept: Kept, command: Order | Cancel | Replace, request: Order | Cancel | Replace) -> Operation:
        facts = kept.intent.facts
        sent_at = _sent_at(kept) or datetime.fromtimestamp(kept.intent.at, UTC)
        operation = self._resumed.begun(command, request, sent_at)
        operation.id, operation.page, operation.doubted = kept.op, kept.intent.number, True
        operation.named = Named(kept.op, facts["strategy"]) if "strategy" in facts else None
        operation.adopted = facts.get("adopted", False)
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
            await self._resumed.settle_again()
        except Exception:
            log.exception("%s: a mistake of ours in asking about what was in doubt", self._desk.name)
            self._desk.let_go()

    def reports(self) -> list[CancelReport | SubmitReport]:
        """Of what was in doubt, as things stand."""
        return self._resumed.reports()

    async def _ask(self) -> None:
        if not self._found:
            return
        rows = await self._resumed.begin()
        if rows is None and self._desk.adapter.spec.lists:
            return  # it will not be connected: nothing can be asked
        await asyncio.gather(*(self._finish_mass(mass, targets, rows) for mass, targets in self._masses))
        await self._resumed.settle_asked()

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


def _namesakes(kept: Kept) -> Iterator[tuple[str, str]]:
    """Orders of others that have its client id."""
    for told in kept.told:
        yield from told.facts.get("namesakes", ())


def _is_sought(kept: Kept, known: OrderState) -> bool:
    """Whether it is another Router's submit, whose order has not been found yet."""
    return kept.in_doubt and known.order_id is None and bool(kept.intent.facts.get("adopted"))


def _since(kept: Kept) -> float:
    """The wall time before which an order of its client id was not this submit's."""
    sent_at = _sent_at(kept)
    return kept.intent.at if sent_at is None else sent_at.timestamp() - SKEW


def _sent_at(kept: Kept) -> datetime | None:
    """When another Router may have sent it, if it was adopted."""
    sent_at = kept.intent.facts.get("sent_at")
    return None if sent_at is None else _read(sent_at, datetime)


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
