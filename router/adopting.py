"""A command that another Router, now gone, may have sent to this account, and of which this journal knows nothing.

Rules:

1. It is written as an intent before anything is done about it, so that a restart goes on with it, and is then asked about as what
   a restart finds in doubt (resuming.py). The other one's clock may differ by a minute.
2. A submit is never sent again. Its order may have been shown before anybody here asked about it, as one that somebody placed.
3. A cancel by a venue-unique id goes out once more, if that can do nothing new. One of a set does not.
4. A replace is compared with the list. Where it names its order by a client id, nothing tells which order it meant; where the
   order was changed here since, nothing tells what it did.
5. Nobody else's submits are held up. cancel_all counts it as any command in doubt.
"""

from __future__ import annotations

import logging
from datetime import datetime

from attrs import evolve

from router.addressing import resolve
from router.desk import Desk
from router.errors import CannotExpress
from router.ledger import Entry
from router.model import Cancel, IdKind, Order
from router.operation import Named, Operation, Phase
from router.report import OrderState, Replace
from router.resuming import SKEW, Resumed
from router.settling import CLIENT_KINDS
from router.venue import Effect

__all__ = ["adopt"]

log = logging.getLogger("router.core")


def adopt(desk: Desk, command: Order | Cancel | Replace, named: Named, sent_at: datetime) -> Operation:
    """Put it in doubt here, and find out about it in the background: desk.settle() and desk.told() tell what became of it.

    sent_at: when the other Router may have sent it, by its clock; aware. The same name again is the same operation. Raises
    ValueError where a command of that name was begun here, and where there is no journal.
    """
    known = desk.resumed.get(named.id)
    if known is not None:
        return known
    if sent_at.tzinfo is None:
        raise ValueError(f"{desk.name}: sent_at was {sent_at}, without a time zone")
    if not desk.keeps_intents:
        raise ValueError(f"{desk.name}: nothing can be adopted without a journal")
    desk.names.take(named.id)
    return _Adoption(desk, named, sent_at).begin(command)


class _Adoption:
    """One of them."""

    def __init__(self, desk: Desk, named: Named, sent_at: datetime) -> None:
        self._desk, self._named, self._sent_at = desk, named, sent_at
        self._resumed = Resumed(desk, desk.absorb)

    def begin(self, command: Order | Cancel | Replace) -> Operation:
        match command:
            case Order():
                operation = self._submit(command)
            case Cancel():
                operation = self._cancel(command)
            case Replace():
                operation = self._replace(command)
        operation.note("another Router may have sent it")
        self._desk.ask(self._find_out(operation))
        return operation

    def _operation(
        self, command: Order | Cancel | Replace, request: Order | Cancel | Replace, effect: Effect, entry: Entry | None
    ) -> Operation:
        """In the journal (rule 1)."""
        operation = self._resumed.begun(command, request, self._sent_at)
        operation.named, operation.adopted, operation.subject = self._named, True, entry
        self._desk.scribe.adopt(operation, effect)
        operation.doubted = True  # an intent without an end is in doubt
        return operation

    # -- by kind

    def _submit(self, order: Order) -> Operation:
        entry = self._desk.ledger.intend(order, self._sent_at.timestamp() - SKEW)
        self._desk.ledger.forget(entry)  # or it would take the first order that fits
        entry.minted = False  # by another process, if at all: what else has this client id is not known here
        entry.from_start = False
        entry.strategy = self._named.strategy
        operation = self._operation(order, order, Effect.ONCE, entry)
        self._resumed.submit(operation, entry, others=frozenset())
        return operation

    def _cancel(self, request: Cancel) -> Operation:
        command = self._resolved(request)
        is_unique = command.kind not in CLIENT_KINDS and command.kind not in self._desk.adapter.spec.set_kinds
        effect = Effect.IDEMPOTENT if is_unique else Effect.ONCE
        operation = self._operation(command, request, effect, None)
        self._resumed.cancel(operation, is_unique=is_unique)
        return operation

    def _resolved(self, request: Cancel) -> Cancel:
        """In the venue's terms. A client id stays one: the order that has it now may be newer than the command."""
        desk, cancel = self._desk, self._desk.canonical(request)
        if cancel.kind is None and desk.ledger.find(cancel.id) is None:
            kinds = {entry.state.kind is IdKind.TWAP for entry in desk.ledger.named(cancel.id)}
            if kinds:
                cancel = evolve(cancel, kind=IdKind.CLIENT_TWAP if kinds == {True} else IdKind.CLIENT_ORDER)
        if cancel.kind in CLIENT_KINDS:
            return cancel
        try:
            return resolve(cancel, desk.ledger, desk.adapter.spec)
        except CannotExpress:
            return cancel

    def _replace(self, request: Replace) -> Operation:
        target = self._resolved(request.target)
        kind = target.kind or IdKind.ORDER
        if kind in CLIENT_KINDS:
            state = OrderState(venue=self._desk.name, order_id=None, client_order_id=target.id, symbol=target.symbol)
            entry = Entry(state)
        else:
            state = OrderState(venue=self._desk.name, order_id=target.id, kind=kind, symbol=target.symbol)
            entry = self._desk.ledger.find(target.id) or self._unseen(state)
        command = evolve(request, target=target, known=entry.state)
        operation = self._operation(command, request, Effect.ONCE, entry)
        self._resumed.replace(operation, entry)
        return operation

    def _unseen(self, state: OrderState) -> Entry:
        """An order of which nothing but its id is known."""
        entry = Entry(state)
        self._desk.ledger.restore(entry)
        return entry

    # -- finding out

    async def _find_out(self, operation: Operation) -> None:
        try:
            await self._desk.scribe.kept(operation, None)
            rows = await self._resumed.begin()
            if rows is None and self._desk.adapter.spec.lists:
                return  # it will not be connected: nothing can be asked
            if isinstance(operation.command, Replace):
                await self._desk.adapter.lookup(operation.command.target)
            await self._resumed.settle_asked()
            await self._resumed.settle_again()
            if isinstance(operation.command, Replace) and operation.phase is not Phase.DONE:
                await self._let_go(operation)
        except Exception:
            log.exception("%s: a mistake of ours in asking about what another Router may have sent", self._desk.name)

    async def _let_go(self, operation: Operation) -> None:
        """A replace that nothing has told of, after the quiet period: when its order is not open, nothing comes of it any more."""
        rows = await self._resumed.read_orders()
        entry = operation.subject
        if rows is not None and isinstance(entry, Entry) and entry.state.order_id not in {row.order_id for row in rows}:
            self._desk.drop_replace(operation)
