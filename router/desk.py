"""Everything the Router keeps about one venue: its adapter, its ledger and the operations under way.

A command comes in, becomes an Operation and goes to the adapter; what the adapter hears comes back through the Listener
methods, in the order bind, apply, answered: so a report is always made from a ledger that has read the same frame.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from attrs import evolve
from msgspec import structs

from router.addressing import resolve
from router.doubts import Doubts
from router.dressing import cancel_report, submit_report
from router.errors import CannotExpress
from router.events import EventStreams
from router.ledger import Change, Entry, Ledger
from router.model import Cancel, IdKind, Order, OrderType
from router.naming import Names
from router.operation import Named, Operation, Phase, Reply
from router.parts import Parts
from router.reconcile import News, missing
from router.redact import Sealed
from router.report import (
    CancelReport,
    Event,
    ExecType,
    Health,
    OrderState,
    OrdStatus,
    Origin,
    Outcome,
    Replace,
    SubmitReport,
)
from router.scribe import Scribe
from router.settling import CLIENT_KINDS, Settler, carries
from router.sticky import Sticky
from router.submissions import Submissions
from router.venue import Adapter, Answer, Effect, Execution, Intent, Reading

if TYPE_CHECKING:
    from router.journal import Journal

__all__ = ["Desk"]

HELD_UP = "what was in doubt when the last run ended is still being asked about, and nothing new is placed before"
GATED = "cancel_all is under way, and nothing new is placed until it ends"


class Desk:
    """One venue of a Router. streams: take each Event of the venue's orders; journal: where commands are written, if
    anywhere; kill: unknown submits are to be cancelled.
    """

    def __init__(
        self,
        name: str,
        adapter: Adapter,
        streams: EventStreams,
        *,
        journal: Journal | None = None,
        kill: bool = False,
    ) -> None:
        self.name = name
        self.adapter = adapter
        self.ledger = Ledger(name, tells_trades=adapter.spec.tells_trades, kinds=adapter.spec.cancel_kinds)
        self._streams = streams
        self._kill = kill
        self.keeps_intents = journal is not None
        self.names = Names()
        self.scribe = Scribe(name, journal, adapter.account, asked=bool(adapter.spec.lists), names=self.names)
        self.unread = ""
        """Why the journal could not be read: orders of ours that earlier runs placed are then not known."""
        self.held_up: list[Operation] | None = None
        """Submits that wait until what a journal left in doubt has been asked about; None: nothing waits for that."""
        self.submitted = Submissions()
        self._placing: dict[Entry, Operation] = {}
        self._replacing: dict[Operation, Entry] = {}
        self.gaps: dict[Entry, tuple[str | None, str]] = {}
        """Orders of which a replace has cancelled the old one and not placed the new one yet: its symbol, and whose it will be."""
        self._gates: list[tuple[str | None, str | None]] = []
        self.watchers: list[Callable[[Event], None]] = []
        """Who else is told of each Event."""
        self._sticky = Sticky(self._start, adapter.spec.cancel_kinds)
        self._doubts = Doubts()
        self.resumed: dict[str, Operation] = {}
        """Commands that an earlier run, or another Router, may have sent, by their names in the journal."""
        self._asking: set[asyncio.Task[None]] = set()
        self._reconsidering = False
        self._absorbed: Reading | None = None
        self.is_closed = False
        self._settler = self._new_settler()

    def _new_settler(self) -> Settler:
        return Settler(self.ledger, self.adapter, self, lambda cancel: self.cancel(cancel, None))

    async def open(self, *, strict: bool) -> None:
        self.is_closed = False
        self._settler = self._new_settler()  # the one of an earlier opening was closed
        await self.adapter.open(self.name, self, strict=strict)

    async def close(self) -> None:
        self.is_closed = True
        self.scribe.end()
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        await self._settler.close()
        for operation in self.held_up or ():
            operation.fail("the Router was closed")
        self.held_up = None
        await self.adapter.close()

    # -- cancels

    def cancel(
        self, request: Cancel, deadline: float | None, named: Named | None = None
    ) -> asyncio.Future[CancelReport]:
        """Start a cancel, or join the one of the same address that is under way. Raises ValueError for a name that was used before."""
        if named is not None:
            self.names.take(named.id)
        due = self._due(deadline)
        try:
            command = resolve(self.canonical(request), self.ledger, self.adapter.spec)
        except CannotExpress as error:
            unplaced = self._unplaced(self.canonical(request))
            if len(unplaced) == 1:
                return self._cancel_unplaced(unplaced[0], request, due, named)
            return self._refuse(Operation(request, request, self), due, str(error))
        unplaced = self._unplaced(command)
        if unplaced and len(unplaced) == len(self._live(command)) == 1:
            return self._cancel_unplaced(unplaced[0], request, due, named)
        for entry in unplaced:
            self._withdraw(entry)
        return self._cancel_placed(command, request, due, named)

    def cancel_order(
        self, order: Order, deadline: float | None, named: Named | None = None
    ) -> asyncio.Future[CancelReport]:
        """Cancel this very order, of which the client id may name others as well."""
        known = self.submitted.of(order)
        if known is None:
            return self.cancel(self._by_client_id(order), deadline, named)
        entry = known.entry()
        if entry is None and known.address is not None:
            return self.cancel(known.address, deadline, named)
        if entry is not None and entry in self._placing and (entry.state.order_id is None or self._is_unsent(entry)):
            if named is not None:
                self.names.take(named.id)
            return self._cancel_unplaced(entry, self._by_client_id(order), self._due(deadline), named)
        if entry is not None and entry.state.order_id is not None:
            return self.cancel(entry.state.to_cancel(), deadline, named)
        if named is not None:
            self.names.take(named.id)
        return self._never_placed(order, known.fate, deadline)

    def _never_placed(self, order: Order, fate: str, deadline: float | None) -> asyncio.Future[CancelReport]:
        request = self._by_client_id(order)
        text = f"{self.name}: the order was not placed: {fate}"
        return self._refuse(Operation(request, request, self), self._due(deadline), text)

    def _cancel_placed(
        self, command: Cancel, request: Cancel, due: float, named: Named | None
    ) -> asyncio.Future[CancelReport]:
        running, entry = self._doubts.under(command), self.ledger.find(command.id)
        if entry is not None:
            entry.cancels += 1
        if running is not None and running.is_awaited and running.phase is not Phase.DONE:
            if named is not None:
                self.scribe.joined(running, request, named)
            return self._join(running, due)
        operation = Operation(command, request, self)
        operation.named = named
        future: asyncio.Future[CancelReport] = operation.join(due)
        self._start_beside(running, operation, command)
        return future

    def _start(self, operation: Operation, command: Cancel) -> None:
        """Send a cancel that was held."""
        self._start_beside(self._doubts.under(command), operation, command)

    def _start_beside(self, running: Operation | None, operation: Operation, command: Cancel) -> None:
        """Send a cancel; the one that is under way under its address may be executed instead."""
        self._doubts.begin(operation, command, running)
        self._mark(command, asked=True)
        if command.kind in CLIENT_KINDS:
            known = (entry.state.order_id for entry in self._live(command))
            operation.targets = frozenset(order_id for order_id in known if order_id is not None)
        self.adapter.send(operation)

    def _join(self, operation: Operation, due: float) -> asyncio.Future[Any]:
        future = operation.join(due)
        self.adapter.watch(operation)
        return future

    # -- cancels of orders that are not placed yet

    def _cancel_unplaced(
        self, entry: Entry, request: Cancel, due: float, named: Named | None
    ) -> asyncio.Future[CancelReport]:
        """Withdraw the submit, or hold the cancel until its answer names the order."""
        operation = self._sticky.find(entry)
        if operation is not None:
            if named is not None:
                self.scribe.joined(operation, request, named)
            return self._join(operation, due)
        operation = Operation(self._by_client_id(entry.order) if entry.order else request, request, self)
        operation.named = named
        operation.subject = entry
        if self._withdraw(entry):
            text = f"{self.name}: the order was not placed yet, and now never will be"
            return self._refuse(operation, due, text)
        future = self._join(operation, due)
        self._sticky.hold(operation, entry)
        self.scribe.hold(operation, entry)
        placer = self._placing.get(entry)
        if placer is None or placer in self._doubts or not placer.is_awaited:
            self._unstick(entry)
        return future

    def _unstick(self, entry: Entry) -> None:
        """Its submit is in doubt: the held cancel may go by client id, unless that names another live order as well."""
        others = self.ledger.named(entry.state.client_order_id or "")
        if not any(other.is_live and other is not entry for other in others):
            self._sticky.doubted(entry)

    def _withdraw(self, entry: Entry) -> bool:
        """A submit that still waits for the connection or the pace is not sent."""
        placer = self._placing.get(entry)
        if placer is None or not self._is_unsent(entry):
            return False
        placer.fail(f"{self.name}: cancelled before it was placed")
        return True

    def _is_unsent(self, entry: Entry) -> bool:
        placer = self._placing.get(entry)
        return placer is not None and placer.phase is Phase.HELD and not placer.attempts

    def _unplaced(self, command: Cancel) -> list[Entry]:
        """Of the orders that it names, those whose submit has no id yet, or has not left."""
        if not self._placing:
            return []
        return [
            entry
            for entry in self._live(command)
            if (entry.state.order_id is None and self._placing.get(entry) is not None) or self._is_unsent(entry)
        ]

    def _live(self, command: Cancel) -> list[Entry]:
        """The orders that it may name and that are not known to have ended."""
        if command.kind not in {None, *CLIENT_KINDS}:
            found = self.ledger.find(command.id)
            return [found] if found is not None and found.is_live else []
        twap = command.kind is IdKind.CLIENT_TWAP
        return [
            entry
            for entry in self.ledger.named(command.id)
            if entry.is_live
            and command.symbol in {None, entry.state.symbol}
            and (command.kind is None or (entry.state.kind is IdKind.TWAP) == twap)
        ]

    def address(self, order: Order) -> Cancel:
        """The Cancel that names an order submitted here: by the venue's id when known, else by client id."""
        known = self.submitted.of(order)
        entry = None if known is None else known.entry()
        if entry is not None and entry.state.order_id is not None:
            return entry.state.to_cancel()
        kept = None if known is None or entry is not None else known.address
        return kept or self._by_client_id(order)

    def _by_client_id(self, order: Order) -> Cancel:
        kind = IdKind.CLIENT_TWAP if order.type is OrderType.TWAP else IdKind.CLIENT_ORDER
        return Cancel(self.name, order.client_order_id, kind, order.symbol)

    # -- submits and replaces

    def _unplaceable(self, order: Order) -> str:
        spec = self.adapter.spec
        if spec.order_types:
            return f"{self.name} has no {order.type} orders; it has: {', '.join(sorted(spec.order_types))}"
        return f"{self.name} takes no orders as it is: placing {spec.docs.get('placing', 'is not supported')}"

    def submit(self, order: Order, deadline: float | None, named: Named | None = None) -> asyncio.Future[SubmitReport]:
        """Start a submit. Raises ValueError for a name that was used before."""
        if named is not None:
            self.names.take(named.id)
        operation = Operation(order, order, self)
        operation.named = named
        due = self._due(deadline)
        known = self.submitted.new(order)
        known.fate = GATED
        if order.type not in self.adapter.spec.order_types:
            known.fate = self._unplaceable(order)
            return self._refuse(operation, due, known.fate)
        strategy = "" if named is None else named.strategy
        if self._gates and self.is_gated(order.symbol, strategy):
            return self._refuse(operation, due, f"{self.name}: {GATED}")
        minted = named is not None and named.id == order.client_order_id  # as operation_id() makes them
        operation.subject = entry = self.ledger.intend(order, time.time(), minted=minted)
        entry.strategy = strategy
        known.entry = ref(entry)
        self._placing[entry] = operation
        return self._send(operation, due)

    def replace(
        self, replace: Replace, deadline: float | None, named: Named | None = None
    ) -> asyncio.Future[SubmitReport]:
        """Start a native replace of an order that the ledger knows. Raises ValueError for a name that was used before."""
        if named is not None:
            self.names.take(named.id)
        operation = Operation(replace, replace, self)
        operation.named = named
        due = self._due(deadline)
        try:
            target = resolve(self.canonical(replace.target), self.ledger, self.adapter.spec)
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
        if self.is_gated(entry.state.symbol, entry.strategy):
            return self._refuse(operation, due, f"{self.name}: {GATED}")
        if any(each is entry for each in self._replacing.values()):
            text = f"{self.name}: another replace of {target.id} is not settled yet; await its settled() first"
            return self._refuse(operation, due, text)
        operation.command = evolve(replace, target=target, known=entry.state)
        operation.subject = self._replacing[operation] = entry
        entry.replaces += 1
        return self._send(operation, due)

    def replaced(self, entry: Entry) -> None:
        """A new order has taken this one's place."""
        self.expect_ends([str(entry.state.order_id)])
        ended = Execution(
            exec_type=ExecType.CANCELED,
            order_id=str(entry.state.order_id),
            kind=entry.state.kind,
            status=OrdStatus.CANCELED,
            origin=Origin.CLIENT,
            text="replaced",
        )
        self.apply(ended, asked=True)

    # -- what an earlier run of the process left in doubt, or another Router

    def ask(self, work: Coroutine[Any, Any, None]) -> None:
        """Find out about something, until this is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def resume_submit(self, operation: Operation, entry: Entry) -> Operation:
        """A submit that may have been executed: its order is in the ledger."""
        assert isinstance(operation.command, Order)  # noqa: S101 - see the name
        known = self.submitted.new(operation.command)
        known.entry = ref(entry)
        operation.subject = entry
        self._placing[entry] = operation
        self._doubts.resume(operation)
        return operation

    def resume_replace(self, operation: Operation, entry: Entry) -> Operation:
        """A replace that may have been executed."""
        operation.subject = self._replacing[operation] = entry
        self._doubts.resume(operation)
        return operation

    def drop_replace(self, operation: Operation) -> None:
        """It is in doubt, and nothing comes of it any more."""
        self._replacing.pop(operation, None)

    def resume_cancel(self, operation: Operation) -> None:
        """A cancel that may have been executed."""
        assert isinstance(operation.command, Cancel)  # noqa: S101 - see the name
        running = self._doubts.under(operation.command)
        if running is not None:
            self._doubts.begin(operation, operation.command, running)
            running.repeated = operation.repeated = True
        self._doubts.resume(operation)
        self._mark(operation.command, asked=True)

    def resume_held(self, operation: Operation, entry: Entry) -> None:
        """A cancel that waited for its order's id."""
        operation.subject = entry
        self._sticky.hold(operation, entry)

    # -- cancel_all's gate

    def gate(self, symbol: str | None, strategy: str | None = None) -> list[Operation]:
        """Let nothing new be placed on this symbol (None: on any) by this strategy (None: by any); what has not left never will.
        Returns what is under way.
        """
        self._gates.append((symbol, strategy))
        for operation in self.placing(symbol, strategy):
            if operation.phase is Phase.HELD and not operation.attempts:
                operation.fail(f"{self.name}: {GATED}")
        return self.placing(symbol, strategy)

    def ungate(self, symbol: str | None, strategy: str | None = None) -> None:
        self._gates.remove((symbol, strategy))

    def placing(self, symbol: str | None, strategy: str | None = None) -> list[Operation]:
        """Submits and replaces that are neither answered nor settled."""
        for operation, entry in list(self._replacing.items()):
            if not (entry.is_live or operation.is_awaited):  # what has ended is not modified any more
                del self._replacing[operation]
        under_way = [(operation, entry) for entry, operation in self._placing.items()]
        under_way += self._replacing.items()
        return [
            operation
            for operation, entry in under_way
            if symbol in {None, entry.state.symbol} and strategy in {None, entry.strategy}
        ]

    def subject(self, operation: Operation) -> OrderState | None:
        """The order that a submit or replace is about."""
        entry = operation.subject
        return entry.state if isinstance(entry, Entry) else None

    def expect_ends(self, order_ids: Iterable[str]) -> None:
        """The end of these orders, when it comes, is our doing."""
        for order_id in order_ids:
            entry = self.ledger.find(order_id)
            if entry is not None:
                entry.asked = True

    async def settle(self, operation: Operation, timeout: float | None) -> CancelReport | SubmitReport:
        """Find out what became of a command in doubt, as its report's settled() does."""
        until = None if timeout is None else asyncio.get_running_loop().time() + timeout
        if self._kill and isinstance(operation.command, Order):
            self.cancel_order(operation.command, timeout)
        reply = await self._settler.settle(operation, timeout)
        if reply.outcome is not Outcome.UNKNOWN:
            await self.scribe.kept(operation, None if until is None else until - asyncio.get_running_loop().time())
        return self.dress(operation, reply)

    def told(self, operation: Operation) -> CancelReport | SubmitReport:
        """Its report as things stand."""
        return self.dress(operation, operation.reply or operation.unknown(self._settler.verdict(operation)))

    def is_cancelling(self, entry: Entry) -> bool:
        """Whether a cancel of this order by its id is under way."""
        running = None if entry.state.order_id is None else self._doubts.under(self._resolved(entry))
        return running is not None and running.phase is not Phase.DONE

    def _resolved(self, entry: Entry) -> Cancel:
        return resolve(self.canonical(entry.state.to_cancel()), self.ledger, self.adapter.spec)

    def is_placing(self, symbol: str | None, strategy: str | None = None) -> bool:
        """Whether anything may yet be placed on this symbol (None: on any) by this strategy (None: by any)."""
        return bool(self.placing(symbol, strategy)) or self.is_between(symbol, strategy)

    def is_between(self, symbol: str | None, strategy: str | None = None) -> bool:
        """Whether a replace is between its cancel and its new order."""
        return any(symbol in {None, each} and strategy in {None, whose} for each, whose in self.gaps.values())

    def is_gated(self, symbol: str | None, strategy: str = "") -> bool:
        """Whether a cancel_all lets this strategy place nothing new on this symbol."""
        return any(gate in {None, symbol} and whose in {None, strategy} for gate, whose in self._gates)

    def is_of(self, state: OrderState, strategy: str) -> bool:
        """Whether this strategy placed the order."""
        entry = self.ledger.find(state.order_id or "")
        return entry is not None and entry.state.own and entry.strategy == strategy

    # -- asking

    async def open_orders(self) -> list[OrderState]:
        """The venue's open orders, freshly read."""
        reading = await self.adapter.read(asyncio.get_running_loop().time())
        stale = {row.order_id for row in reading.rows if self.ledger.is_newer(reading, row)}
        self.absorb(reading)
        return [state for row in reading.rows if (state := self.shown(row, stale=row.order_id in stale)) is not None]

    def shown(self, row: Execution, *, stale: bool) -> OrderState | None:
        """An order that a list shows as open, which outranks what the ledger thinks; None: it has ended since, or then."""
        entry = self.ledger.find(row.order_id)
        if entry is None or (row.status is not None and row.status.is_terminal):
            return None
        if entry.is_live:
            return entry.state
        return None if stale else structs.replace(entry.state, kind=row.kind, status=row.status)

    def health(self) -> Health:
        doubts = sum(operation.phase is not Phase.DONE for operation in self._doubts)
        health = self.adapter.health()
        warnings = [health.warning, "" if self.held_up is None else HELD_UP, self.scribe.fault]
        return evolve(health, unknown=doubts, warning="; ".join(filter(None, warnings)))

    def canonical(self, cancel: Cancel) -> Cancel:
        """The same address in the venue's one spelling of the id."""
        name = self.adapter.canonical(cancel.id)
        return cancel if name is cancel.id or name == cancel.id else evolve(cancel, id=name)

    def _due(self, deadline: float | None) -> float:
        return asyncio.get_running_loop().time() + (self.adapter.deadline if deadline is None else deadline)

    def _send(self, operation: Operation, due: float) -> asyncio.Future[Any]:
        future = operation.join(due)
        if self.held_up is None:
            self.adapter.send(operation)
        else:
            operation.waits_for = f"{self.name}: {HELD_UP}"
            self.held_up.append(operation)
            self.adapter.watch(operation)
        return future

    @property
    def obstacle(self) -> str:
        """Why a new order would not be placed at once, or ever."""
        return HELD_UP if self.held_up is not None else self.scribe.fault

    def let_go(self) -> None:
        """Nothing holds submits up any more."""
        held, self.held_up = self.held_up or [], None
        for operation in held:
            if operation.is_wanted:
                operation.waits_for = ""
                self.adapter.send(operation)
            else:
                operation.fail(operation.waits_for)

    def _refuse(self, operation: Operation, due: float, text: str) -> asyncio.Future[Any]:
        future = operation.join(due)
        operation.finish(Reply(outcome=Outcome.NOT_SENT, text=text))
        return future

    def _mark(self, command: Cancel, *, asked: bool) -> None:
        """Whether its orders' end, when it comes, will be our doing."""
        named = command.kind in CLIENT_KINDS
        found = self.ledger.named(command.id) if named else [self.ledger.find(command.id)]
        for entry in found:
            if entry is not None:
                entry.asked = asked

    # -- Listener: what the adapter hears

    def changes(self) -> int:
        return self.ledger.changes

    def bind(self, operation: Operation, answer: Answer, shown: Execution | None = None) -> bool:
        entry, command = operation.subject, operation.command
        if not isinstance(entry, Entry) or answer.order_id is None or answer.outcome is Outcome.REFUSED:
            return True
        if isinstance(command, Cancel):
            return True
        if isinstance(command, Order):
            fits = self.ledger.bind(entry, answer.order_id, entry.state.kind, shown)
        else:
            fits = (shown is None or carries(shown, command)) and self.ledger.rebind(entry, answer.order_id)
        self._reconsider_soon()
        return fits

    def intend(self, operation: Operation, intent: Intent, go: Callable[[], None]) -> None:
        if operation.adopted and intent.effect is not Effect.IDEMPOTENT:
            operation.phase = Phase.WRITTEN
            operation.note("it was not sent again, because that could do something new")
            return
        order = operation.command
        namesakes = self.ledger.named(order.client_order_id) if isinstance(order, Order) else ()
        self.scribe.intend(operation, intent, go, namesakes)

    def apply(self, execution: Execution, *, asked: bool, listed: bool = False) -> None:
        now = time.time()
        change = self.ledger.take(execution, now, asked=asked, listed=listed)
        if change is None:
            return
        if self._streams.held or self.watchers or self.keeps_intents:
            self._publish(change, now)
        if self._doubts.held or self._sticky.held:
            self._reconsider_soon()

    def _publish(self, change: Change, now: float) -> None:
        event = change.event(now)
        self.scribe.happened(event, change.entry, change.execution.side)
        self._streams.publish(event)
        for watcher in self.watchers:
            watcher(event)

    def answered(self, operation: Operation, answer: Answer, raw: Sealed) -> None:
        if operation.sticky and self._sticky.answered(operation, answer):
            self._reconsider_soon()
        else:
            self._settler.answered(operation, answer, raw)
        if operation.page:
            self.scribe.answered(operation, answer, raw)

    def lost(self, operation: Operation) -> None:
        operation.lost = asyncio.get_running_loop().time()
        operation.note("the connection was lost before the answer")
        self.scribe.lost(operation)
        self.doubted(operation)

    def gap(self) -> None:
        self.ledger.gap()

    def resync(self, reading: Reading) -> None:
        self.absorb(reading)
        for operation in [each for each in self._doubts if each.lost is not None]:
            self._settler.reconnected(operation)
        self._settler.look_up(missing(self.ledger, reading, self.adapter.spec.lists))

    def absorb(self, reading: Reading) -> None:
        """Take a list of open orders into the ledger, once."""
        if reading is self._absorbed:
            return
        self._absorbed = reading
        for row in self._news(reading).among(reading.rows):
            self.apply(row, asked=False, listed=True)

    async def absorb_in_parts(self, reading: Reading) -> None:
        """The same, with turns of the loop in between. Whoever cannot wait may absorb() it meanwhile."""
        news = self._news(reading)
        async for part in Parts(reading.rows):
            if reading is self._absorbed:
                return
            for row in news.among(part):
                self.apply(row, asked=False, listed=True)
        self._absorbed = reading

    def _news(self, reading: Reading) -> News:
        return News(self.ledger, reading, self._doubts.ids())

    def _reconsider_soon(self) -> None:
        """After the frame's own answers have been given."""
        if (self._doubts.held or self._sticky.held) and not self._reconsidering:
            self._reconsidering = True
            asyncio.get_running_loop().call_soon(self._reconsider)

    def _reconsider(self) -> None:
        """An event may have settled what was in doubt, or named what a cancel waits for."""
        self._reconsidering = False
        for operation in self._doubts:
            self._settler.by_ledger(operation)
            if operation.phase is Phase.DONE:
                self._doubts.discard(operation)
        self._sticky.review()

    # -- Owner: what the callers hear

    def wrote(self, operation: Operation) -> None:
        self.scribe.sent(operation)

    def may_tell(self, operation: Operation) -> bool:
        return self.scribe.may_tell(operation)

    def doubted(self, operation: Operation) -> None:
        self._doubts.add(operation)

    def closed(self, operation: Operation, reply: Reply) -> None:
        self._doubts.discard(operation)
        if isinstance(operation.command, Cancel):
            self._doubts.drop(operation)
            if reply.outcome is not Outcome.CONFIRMED:
                self._mark(operation.command, asked=False)
        else:
            self._close(operation, reply)
        if operation.id:
            self.scribe.closed(operation, reply)

    def _close(self, operation: Operation, reply: Reply) -> None:
        self._replacing.pop(operation, None)
        if isinstance(operation.command, Order) and isinstance(operation.subject, Entry):
            self._placing.pop(operation.subject, None)
            self._placed(operation.subject, reply)

    def _placed(self, entry: Entry, reply: Reply) -> None:
        """What the end of a submit says of its order."""
        if reply.outcome is Outcome.NOT_SENT:
            self.ledger.forget(entry)
        elif reply.outcome is Outcome.REFUSED:
            self.ledger.end(entry, OrdStatus.REJECTED, time.time())
        known = self.submitted.of(entry.order)
        if known is not None:
            known.fate = reply.text
            known.address = entry.state.to_cancel() if reply.outcome is Outcome.CONFIRMED else None
        if reply.outcome is not Outcome.CONFIRMED:
            self._sticky.ended(entry, reply)
        self._reconsider_soon()

    def dress(self, operation: Operation, reply: Reply) -> CancelReport | SubmitReport:
        if reply.outcome is Outcome.UNKNOWN and operation.phase is not Phase.DONE:
            self.doubted(operation)
            self.scribe.unknown(operation, reply)
        kept = self.scribe.is_kept(operation) if self.keeps_intents else None
        settle = partial(self.settle, operation) if reply.outcome is Outcome.UNKNOWN else None
        if isinstance(operation.command, Cancel):
            return cancel_report(operation, operation.command, reply, self.ledger, settle, kept)
        if reply.outcome is Outcome.UNKNOWN and isinstance(operation.subject, Entry):
            self._unstick(operation.subject)
        return submit_report(operation, reply, settle, journaled=kept)
