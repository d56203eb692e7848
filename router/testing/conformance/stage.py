"""The stage of one case: a simulated venue, a Router that is connected to it, and what both say of the same orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from attrs import define, evolve, field, frozen

from router.core import EventStream, Router
from router.model import Cancel, IdKind, Order, OrderType
from router.report import CancelReport, CxlRejReason, Event, OrdStatus, Outcome, SessionState, SubmitReport
from router.session import Session
from router.testing.bench import KIND_OF, Bench, Row, Verb
from router.testing.conformance.case import Nonconformity, NotApplicable, require
from router.testing.conformance.subject import Subject
from router.testing.conformance.trace import Trace, TracedCodec
from router.testing.faults import Fault
from router.testing.simulator import Simulator, Switches
from router.venue import Adapter, Spec

__all__ = ["HASTY", "PATIENT", "VENUE", "Stage", "Target", "differences"]

VENUE = "venue"
HASTY = 0.3
"""The deadline, in seconds, of what is to reach it."""
PATIENT = 5.0
"""The deadline of what is not."""
QUIET = 0.25
"""The venue's quiet period, which is made short."""
HTTP_TIMEOUT = 0.8
CLIENT_KINDS = frozenset({IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP})
TERMS = ("symbol", "side", "type", "quantity", "price", "stop_price", "expires_at", "post_only", "reduce_only")


@frozen
class Target:
    """An order in the venue's book, and a Cancel that names it. others: ids of orders that this Cancel names too."""

    cancel: Cancel
    order_id: str
    order: Order
    others: tuple[str, ...] = ()

    @property
    def order_ids(self) -> tuple[str, ...]:
        return (self.order_id, *self.others)


@define(eq=False)
class Stage:
    """events: what router.events() has told so far."""

    subject: Subject
    setup: str
    sim: Simulator
    bench: Bench
    spec: Spec
    trace: Trace = field(factory=Trace)
    events: list[Event] = field(factory=list)
    _router: Router | None = None
    _told: asyncio.Condition = field(factory=asyncio.Condition)

    @classmethod
    @asynccontextmanager
    async def of(cls, subject: Subject, setup: str) -> AsyncIterator[Stage]:
        async with subject.simulator() as sim:
            bench = sim.bench
            spec = bench.adapter(subject.adapter, bench.setups()[setup]).spec
            yield cls(subject, setup, sim, bench, spec)

    # -- connecting

    def adapter(self, changes: Mapping[str, Any] | None = None) -> Adapter:
        """The venue's adapter, with short times and a trace. changes: to the plain credentials, instead of the set-up's."""
        changes = self.bench.setups()[self.setup] if changes is None else changes
        made = self.bench.adapter(self.subject.adapter, changes)
        quick = evolve(made.spec, quiet_period=QUIET, login_timeout=2.0, http_timeout=HTTP_TIMEOUT)
        if isinstance(made, Session):
            made.through(lambda codec: TracedCodec(codec, quick, self.trace))
        else:
            made.spec = quick  # type: ignore[misc]  # an Adapter whole lets its times be set, or keeps its own
        return made

    @asynccontextmanager
    async def connected(self, changes: Mapping[str, Any] | None = None) -> AsyncIterator[Router]:
        """A Router with this venue alone, whose events are heard."""
        async with Router({VENUE: self.adapter(changes)}) as router:
            self._router = router
            listening = asyncio.create_task(self._listen(router.events()))
            try:
                yield router
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, stream: EventStream) -> None:
        async for event in stream:
            self.events.append(event)
            async with self._told:
                self._told.notify_all()

    @property
    def router(self) -> Router:
        assert self._router is not None  # noqa: S101 - a mistake in a case
        return self._router

    async def hear(self, wanted: Callable[[list[Event]], object], what: str) -> None:
        """Wait until the events are so."""
        try:
            async with asyncio.timeout(PATIENT), self._told:
                await self._told.wait_for(lambda: wanted(self.events))
        except TimeoutError:
            raise Nonconformity(f"router.events() never told {what}; it told {_brief(self.events)}") from None

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is so that nobody announces."""
        try:
            async with asyncio.timeout(PATIENT):
                while not condition():  # noqa: ASYNC110 - health() is asked, it announces nothing
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise Nonconformity(f"waited for {what}, in vain: {self.router.health()[VENUE]}") from None

    async def ready(self) -> None:
        await self.until(lambda: self.state is SessionState.READY, "the session to be ready again")

    @property
    def state(self) -> SessionState:
        return self.router.health()[VENUE].state

    # -- what the venue claims

    def needs(self, claim: object, otherwise: str) -> None:
        """NotApplicable, unless the venue claims this."""
        if not claim:
            raise NotApplicable(otherwise)

    @property
    def is_socket(self) -> bool:
        return self.spec.url is not None

    def types(self, kind: IdKind) -> tuple[OrderType, ...]:
        """The order types whose orders a cancel of this kind can name, the simplest first."""
        wanted = {IdKind.CLIENT_ORDER: IdKind.ORDER, IdKind.CLIENT_TWAP: IdKind.TWAP}.get(kind, kind)
        return tuple(type_ for type_ in OrderType if self.kind(type_) is wanted and type_ is not OrderType.MARKET)

    def kind(self, type_: OrderType) -> IdKind:
        """The kind of id that an order of this type has here."""
        kind = KIND_OF.get(type_, IdKind.ORDER)
        return kind if kind in self.spec.cancel_kinds else IdKind.ORDER

    def faults(self, verb: Verb, *faults: Fault) -> list[Fault]:
        """Those of them that a request of this verb can have here. NotApplicable if there are none, with the reason."""
        words = self.bench.words(verb)
        reasons = {fault: self.sim.supports(fault, *words) for fault in faults}
        able = [fault for fault, reason in reasons.items() if not reason]
        self.needs(able, next(iter(reasons.values()), ""))
        return able

    def strike(self, verb: Verb, fault: Fault, times: int | None = 1) -> None:
        """The next requests of this verb have this fault."""
        able = [word for word in sorted(self.bench.words(verb)) if not self.sim.supports(fault, word)]
        self.trace.note(f"-- from here the venue has the fault {fault} ({fault.sentence})")
        self.sim.inject(fault, only=able, times=times)

    def calm(self) -> None:
        """The venue is well again."""
        self.sim.faults.clear()
        self.sim.faults.struck.clear()
        self.sim.switches = Switches()
        self.sim.release()

    def hold(self, verb: Verb) -> None:
        """The answers to requests of this verb are kept back until calm()."""
        self.sim.switches = Switches(hold=True, only=self.bench.words(verb))

    # -- orders

    async def place(self, order: Order | None = None) -> SubmitReport:
        """An order placed through the Router, which the book has as it was meant."""
        order = self.bench.order() if order is None else order
        report = await self.router.submit(order, deadline=PATIENT)
        self.expect(report, Outcome.CONFIRMED)
        require(report.order_id, f"the submit is CONFIRMED without the venue's id: {report}")
        self.same(order, self.bench.row(report.order_id or ""))
        return report

    async def target(self, kind: IdKind = IdKind.ORDER, **terms: Any) -> Target:
        """An open order that a cancel of this kind can name, and a second one where such a cancel names several.

        Placed through the Router where it can be, else from elsewhere.
        """
        types = self.types(kind)
        type_ = next((each for each in types if each in self.spec.order_types), types[0])
        order = self.bench.order(type_, **terms)
        order_id = await self._open(order)
        if kind not in CLIENT_KINDS:
            return Target(Cancel(VENUE, order_id, kind, order.symbol), order_id, order)
        shared = {"client_order_id": order.client_order_id, **terms}
        alike = [self.bench.order(type_, **shared)] if kind in self.spec.set_kinds else []
        others = [
            await self._open(each) for each in alike
        ]  # else the Router knows a venue's id for the name, and uses it
        return Target(Cancel(VENUE, order.client_order_id, kind, order.symbol), order_id, order, tuple(others))

    async def _open(self, order: Order) -> str:
        if order.type in self.spec.order_types:
            order_id = (await self.place(order)).order_id or ""
        else:
            order_id = await self.bench.enter(order)
        require(self.bench.row(order_id).is_open, f"the sample order {order_id} does not rest in the book")
        return order_id

    def written(self, target: Target) -> int:
        """How often its cancel was read, by the name that was given, or by the venue's id where that is known to be one."""
        names = {target.cancel.id} if target.others else {target.cancel.id, target.order_id}
        return sum(self.bench.written(Verb.CANCEL, name) for name in names)

    # -- whether reports are true

    def expect(self, report: CancelReport | SubmitReport, *outcomes: Outcome) -> None:
        """One of these outcomes."""
        wanted = " or ".join(outcome.name for outcome in outcomes)
        require(report.outcome in outcomes, f"expected {wanted}, but the report says {describe(report)}")

    def refused(self, report: CancelReport | SubmitReport, *reasons: object) -> None:
        """REFUSED, for one of these reasons."""
        self.expect(report, Outcome.REFUSED)
        require(
            report.reason in reasons, f"expected the reason {' or '.join(map(repr, reasons))}, but: {describe(report)}"
        )

    def true(self, report: CancelReport, target: Target) -> None:
        """What the report says of its orders is what the book says."""
        for order_id in target.order_ids:
            self._true(report, target, self.bench.row(order_id))

    def _true(self, report: CancelReport, target: Target, row: Row) -> None:
        cancelled, book = row.status is OrdStatus.CANCELED, f"the book has the order as {row.status}"
        match report.outcome:
            case Outcome.CONFIRMED:
                require(cancelled, f"{describe(report)}, but {book}")
            case Outcome.REFUSED if report.reason in {CxlRejReason.UNKNOWN_ORDER, CxlRejReason.TOO_LATE_TO_CANCEL}:
                require(not row.is_open, f"{describe(report)}, but {book}")
            case Outcome.REFUSED:
                require(not cancelled, f"{describe(report)}, but {book}")
            case Outcome.NOT_SENT:
                written = self.written(target)
                require(written == 0, f"{describe(report)}, but it was read {written} times")

    def same(self, order: Order, row: Row) -> None:
        """The book has the order as it was meant."""
        found = differences(order, row)
        require(not found, f"the order as placed and as the venue's book has it differ: {'; '.join(found)}")

    def untouched(self, targets: Iterable[Target]) -> None:
        """These orders are still open."""
        named = [order_id for target in targets for order_id in target.order_ids]
        gone = [order_id for order_id in named if not self.bench.row(order_id).is_open]
        require(not gone, f"orders that nobody cancelled are no longer open: {gone}")


def describe(report: CancelReport | SubmitReport) -> str:
    """A report in one line."""
    reason = "" if report.reason is None else f", {report.reason.name}"
    status = "" if report.status is None else f", order {report.status}"
    return f"{report.outcome.name}{reason}{status} ({report.text or 'no text'})"


def differences(order: Order, row: Row) -> list[str]:
    """What the book has otherwise than the order says. What the book does not keep is not compared."""
    meant: dict[str, Any] = {name: getattr(order, name) for name in TERMS}
    kept: dict[str, Any] = {name: getattr(row, name) for name in TERMS}
    if order.time_in_force is not None:
        meant["time_in_force"], kept["time_in_force"] = order.time_in_force, row.time_in_force
    if row.client_order_id:
        meant["client_order_id"], kept["client_order_id"] = order.client_order_id, row.client_order_id
    for name in order.options.keys() & row.options.keys():
        meant[name], kept[name] = _plain(order.options[name]), _plain(row.options[name])
    return [
        f"{name}: {meant[name]} is {value} in the book"
        for name, value in kept.items()
        if value is not None and value != meant[name]
    ]


def _plain(value: Any) -> Any:
    """Numbers by value, however they were given."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return value
    try:
        return Decimal(value)
    except ArithmeticError:
        return value


def _brief(events: list[Event]) -> str:
    return (
        "; ".join(f"{each.exec_type} of {each.order_id} ({each.last_quantity or each.status})" for each in events)
        or "nothing"
    )
