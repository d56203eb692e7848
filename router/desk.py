"""Everything the Router keeps about one venue: its adapter, its ledger and the operations under way.

A command comes in, becomes an Operation and goes to the adapter; what the adapter hears comes back through the Listener
methods, in the order bind, apply, answered: so a report is always made from a ledger that has read the same frame.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from weakref import WeakSet, WeakValueDictionary

from attrs import evolve

from router.addressing import resolve
from router.errors import CannotExpress
from router.ledger import Entry, Ledger
from router.model import Cancel, IdKind, Order, OrderType
from router.operation import Operation, Phase, Reply
from router.redact import Sealed
from router.report import (
    CancelReport,
    CxlRejReason,
    Event,
    Health,
    OrderState,
    OrdRejReason,
    OrdStatus,
    Outcome,
    Replace,
    SubmitReport,
)
from router.settling import Settler
from router.venue import Adapter, Answer, Execution, Reading

__all__ = ["Desk"]


class Desk:
    """One venue of a Router. publish: takes each Event of the venue's orders."""

    def __init__(self, name: str, adapter: Adapter, publish: Callable[[Event], None]) -> None:
        self.name = name
        self.adapter = adapter
        self.ledger = Ledger(name, tells_trades=adapter.spec.tells_trades)
        self._publish = publish
        self._cancels: WeakValueDictionary[Cancel, Operation] = WeakValueDictionary()
        self._submits: WeakValueDictionary[int, Operation] = WeakValueDictionary()
        self._doubts: WeakSet[Operation] = WeakSet()
        self._reconsidering = False
        self._absorbed: Reading | None = None
        self._settler = Settler(self.ledger, adapter, self.resync)

    async def open(self, *, strict: bool) -> None:
        self._settler = Settler(self.ledger, self.adapter, self.resync)  # the one of an earlier opening was closed
        await self.adapter.open(self.name, self, strict=strict)

    async def close(self) -> None:
        await self._settler.close()
        await self.adapter.close()

    # -- commands

    def cancel(self, request: Cancel, deadline: float | None) -> asyncio.Future[CancelReport]:
        """Start a cancel, or join the one of the same address that is under way."""
        due = self._due(deadline)
        try:
            command = resolve(self._canonical(request), self.ledger, self.adapter.spec)
        except CannotExpress as error:
            return self._refuse(Operation(request, request, self), due, str(error))
        if self._withdraw(command):
            text = f"{self.name}: the order was not placed yet, and now never will be"
            return self._refuse(Operation(command, request, self), due, text)
        running = self._cancels.get(command)
        if running is not None and running.is_awaited:
            future = running.join(due)
            self.adapter.watch(running)
            return future
        operation = Operation(command, request, self)
        if running is not None and running.phase is Phase.WRITTEN:
            running.repeated = operation.repeated = True
        self._cancels[command] = operation
        self._mark(command, asked=True)
        return self._send(operation, due)

    def submit(self, order: Order, deadline: float | None) -> asyncio.Future[SubmitReport]:
        """Start a submit."""
        operation = Operation(order, order, self)
        due = self._due(deadline)
        if order.type not in self.adapter.spec.order_types:
            known = ", ".join(sorted(self.adapter.spec.order_types)) or "none"
            return self._refuse(operation, due, f"{self.name} has no {order.type} orders; it has: {known}")
        operation.subject = self.ledger.intend(order)
        self._submits[id(operation.subject)] = operation
        return self._send(operation, due)

    def replace(self, replace: Replace, deadline: float | None) -> asyncio.Future[SubmitReport]:
        """Start a native replace of an order that the ledger knows."""
        operation = Operation(replace, replace, self)
        due = self._due(deadline)
        try:
            target = resolve(self._canonical(replace.target), self.ledger, self.adapter.spec)
        except CannotExpress as error:
            return self._refuse(operation, due, str(error))
        entry = self.ledger.find(target.id)
        if entry is None:
            return self._refuse(
                operation,
                due,
                f"{self.name}: {target.id!r} is not known here, nor what it is now; read open_orders first",
            )
        if target.kind not in self.adapter.spec.replaces:
            return self._refuse(operation, due, f"{self.name} has no native replace of a {target.kind}")
        operation.command = evolve(replace, target=target, known=entry.state)
        operation.subject = entry
        return self._send(operation, due)

    def address(self, order: Order) -> Cancel:
        """The Cancel that names an order submitted here: by the venue's id when known, else by client id."""
        for entry in self.ledger.named(order.client_order_id):
            if entry.state.own and entry.state.symbol == order.symbol and entry.state.order_id is not None:
                return Cancel(self.name, entry.state.order_id, entry.state.kind, order.symbol)
        twap = order.type is OrderType.TWAP
        kind = IdKind.CLIENT_TWAP if twap else IdKind.CLIENT_ORDER
        return Cancel(self.name, order.client_order_id, kind, order.symbol)

    async def open_orders(self) -> list[OrderState]:
        """The venue's open orders, freshly read."""
        reading = await self.adapter.read(asyncio.get_running_loop().time())
        self.resync(reading)
        entries = [self.ledger.find(row.order_id) for row in reading.rows]
        return [entry.state for entry in entries if entry is not None and entry.is_live]

    def health(self) -> Health:
        doubts = sum(operation.phase is not Phase.DONE for operation in self._doubts)
        return evolve(self.adapter.health(), unknown=doubts)

    def _canonical(self, cancel: Cancel) -> Cancel:
        name = self.adapter.canonical(cancel.id)
        return cancel if name == cancel.id else evolve(cancel, id=name)

    def _due(self, deadline: float | None) -> float:
        return asyncio.get_running_loop().time() + (self.adapter.deadline if deadline is None else deadline)

    def _send(self, operation: Operation, due: float) -> asyncio.Future[Any]:
        future = operation.join(due)
        self.adapter.send(operation)
        return future

    def _refuse(self, operation: Operation, due: float, text: str) -> asyncio.Future[Any]:
        future = operation.join(due)
        operation.finish(Reply(outcome=Outcome.NOT_SENT, text=text))
        return future

    def _withdraw(self, command: Cancel) -> bool:
        """Submits that still wait for the connection are not sent. True: the cancel names nothing else."""
        if command.kind not in {IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP}:
            return False
        twap = command.kind is IdKind.CLIENT_TWAP
        live = [
            entry
            for entry in self.ledger.named(command.id)
            if entry.is_live
            and (entry.state.kind is IdKind.TWAP) == twap
            and command.symbol in {None, entry.state.symbol}
        ]
        submits = [self._submits.get(id(entry)) for entry in live]
        held = [each for each in submits if each is not None and each.phase is Phase.HELD and not each.attempts]
        for submit in held:
            submit.fail(f"{self.name}: cancelled before it was placed")
        return bool(held) and len(held) == len(live)

    def _mark(self, command: Cancel, *, asked: bool) -> None:
        """Whether its orders' end, when it comes, will be our doing."""
        named = command.kind in {IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP}
        found = self.ledger.named(command.id) if named else [self.ledger.find(command.id)]
        for entry in found:
            if entry is not None:
                entry.asked = asked

    # -- Listener: what the adapter hears

    def changes(self) -> int:
        return self.ledger.changes

    def bind(self, operation: Operation, answer: Answer) -> bool:
        entry = operation.subject
        if not isinstance(entry, Entry) or answer.order_id is None or answer.outcome is Outcome.REFUSED:
            return True
        return self.ledger.bind(entry, answer.order_id, entry.state.kind)

    def apply(self, execution: Execution, *, asked: bool) -> None:
        event = self.ledger.apply(execution, time.time(), asked=asked)
        if event is not None:
            self._publish(event)
            if self._doubts and not self._reconsidering:  # after the frame's own answers have been given
                self._reconsidering = True
                asyncio.get_running_loop().call_soon(self._reconsider)

    def answered(self, operation: Operation, answer: Answer, raw: Sealed) -> None:
        self._settler.answered(operation, answer, raw)

    def lost(self, operation: Operation) -> None:
        operation.lost = asyncio.get_running_loop().time()
        operation.note("the connection was lost before the answer")
        self._doubts.add(operation)

    def gap(self) -> None:
        self.ledger.gap()

    def resync(self, reading: Reading) -> None:
        if reading is self._absorbed:
            return
        self._absorbed = reading
        for row in reading.rows:
            if not self.ledger.is_newer(reading, row):
                self.apply(row, asked=False)

    def _reconsider(self) -> None:
        """An event may have settled what was in doubt."""
        self._reconsidering = False
        for operation in list(self._doubts):
            self._settler.by_ledger(operation)
            if operation.phase is Phase.DONE:
                self._doubts.discard(operation)

    # -- Owner: what the callers hear

    def closed(self, operation: Operation, reply: Reply) -> None:
        if isinstance(operation.command, Cancel) and reply.outcome is not Outcome.CONFIRMED:
            self._mark(operation.command, asked=False)
        elif isinstance(operation.command, Order) and isinstance(operation.subject, Entry):
            if reply.outcome is Outcome.NOT_SENT:
                self.ledger.forget(operation.subject)
            elif reply.outcome is Outcome.REFUSED:
                self.ledger.end(operation.subject, OrdStatus.REJECTED, time.time())

    def dress(self, operation: Operation, reply: Reply) -> CancelReport | SubmitReport:
        if reply.outcome is Outcome.UNKNOWN:
            self._doubts.add(operation)
        if isinstance(operation.command, Cancel):
            return self._cancel_report(operation, operation.command, reply)
        return self._submit_report(operation, reply)

    def _cancel_report(self, operation: Operation, command: Cancel, reply: Reply) -> CancelReport:
        orders = self._orders(operation, command, reply)
        status = reply.status or (orders[0].status if len(orders) == 1 else None)
        return CancelReport(
            request=operation.request,  # type: ignore[arg-type]  # a cancel's request is a Cancel
            outcome=reply.outcome,
            status=status,
            reason=_reason(reply.cancel_reason, CxlRejReason.OTHER, reply),
            text=reply.text,
            orders=orders,
            origin=reply.origin,
            sent_at=operation.sent_at,
            answered_at=reply.answered_at,
            frame=reply.raw,
            settle=self._settle(operation, reply),
        )

    def _orders(self, operation: Operation, command: Cancel, reply: Reply) -> tuple[OrderState, ...]:
        named = command.kind in {IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP}
        ids = list(operation.taken) or ([] if named else [command.id])
        found = [self.ledger.find(order_id) for order_id in ids]
        if not any(found) and reply.outcome is Outcome.CONFIRMED and ids:
            kind = IdKind.ORDER if named or command.kind is None else command.kind
            return tuple(
                OrderState(venue=self.name, order_id=order_id, kind=kind, symbol=command.symbol, status=reply.status)
                for order_id in ids
            )
        return tuple(entry.state for entry in found if entry is not None)

    def _submit_report(self, operation: Operation, reply: Reply) -> SubmitReport:
        entry = operation.subject if isinstance(operation.subject, Entry) else None
        state = entry.state if entry is not None else None
        known = operation.request if isinstance(operation.request, Order) else state
        return SubmitReport(
            request=operation.request,  # type: ignore[arg-type]  # a submit's request is an Order or a Replace
            outcome=reply.outcome,
            status=reply.status or (state.status if state else None),
            reason=_reason(reply.order_reason, OrdRejReason.OTHER, reply),
            text=reply.text,
            origin=reply.origin,
            sent_at=operation.sent_at,
            answered_at=reply.answered_at,
            frame=reply.raw,
            order_id=(state.order_id if state else None) or reply.order_id,
            kind=state.kind if state else reply.kind,
            client_order_id=known.client_order_id if known else None,
            symbol=known.symbol if known else None,
            cum_quantity=state.cum_quantity if state else None,
            settle=self._settle(operation, reply),
        )

    def _settle(self, operation: Operation, reply: Reply) -> Callable[[float | None], Awaitable[Any]] | None:
        if reply.outcome is not Outcome.UNKNOWN:
            return None

        async def settle(timeout: float | None) -> CancelReport | SubmitReport:
            return self.dress(operation, await self._settler.settle(operation, timeout))

        return settle


R = TypeVar("R", CxlRejReason, OrdRejReason)


def _reason(said: R | None, otherwise: R, reply: Reply) -> R | None:
    """A refusal always has a reason, and nothing else has one."""
    if reply.outcome is not Outcome.REFUSED:
        return None
    return otherwise if said is None else said
