"""The stage of one case: a simulated venue, a Router that is connected to it, and what both say of the same orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from operator import attrgetter
from typing import Any

from attrs import define, evolve, field, frozen

from router.core import EventStream, Router
from router.model import Cancel, IdKind, Order, OrderType, TimeInForce
from router.report import (
    CancelReport,
    CxlRejReason,
    Event,
    OrderState,
    OrdStatus,
    Outcome,
    SessionState,
    SubmitReport,
)
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
LOGIN_TIMEOUT = 2.0
HTTP_TIMEOUT = 0.8
STATED = ("kind", "symbol", "side", "type", "quantity", "price", "stop_price", "cum_quantity", "status")
MOST_TOLD = 8  # events in an account
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
        quick = evolve(made.spec, quiet_period=QUIET, login_timeout=LOGIN_TIMEOUT, http_timeout=HTTP_TIMEOUT)
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

    def forms(self) -> Iterator[str]:
        """Each of the venue's documented forms in turn, by name, for as long as the loop's body; then the usual one."""
        usual = {name: attrgetter(name)(self.sim) for each in self.bench.VARIANTS.values() for name in each}
        for title, changes in self.bench.VARIANTS.items():
            self.trace.lines.clear()
            self.trace.note(f"-- the venue's form: {title}")
            for name, value in ({**usual, **changes}).items():
                _set(self.sim, name, value)
            yield title
        for name, value in usual.items():
            _set(self.sim, name, value)

    # -- orders

    async def place(self, order: Order | None = None) -> SubmitReport:
        """An order placed through the Router, which the book has as it was meant."""
        order = self.bench.order() if order is None else order
        report = await self.router.submit(order, deadline=PATIENT)
        self.expect(report, Outcome.CONFIRMED)
        self.meant(order, report)
        return report

    def meant(self, order: Order, report: SubmitReport) -> None:
        """The order was placed as it was meant, and the report says what has become of it."""
        require(report.order_id, f"the submit is CONFIRMED without the venue's id: {report}")
        row = self.bench.row(report.order_id or "")
        self.same(order, row)
        ends = {status for status in (report.status, row.status) if status is not None and status.is_terminal}
        require(
            len(ends) < 2 and (row.status in ends or not ends), f"{describe(report)}; the book has it as {row.status}"
        )
        require(report.kind is row.kind, f"the report calls it a {report.kind}, at the venue it is a {row.kind}")

    async def target(self, kind: IdKind = IdKind.ORDER, **terms: Any) -> Target:
        """An open order that a cancel of this kind can name, and a second one where such a cancel names several.

        Placed through the Router where it can be, else from elsewhere.
        """
        types, wanted = (
            self.types(kind),
            {IdKind.CLIENT_ORDER: IdKind.ORDER, IdKind.CLIENT_TWAP: IdKind.TWAP}.get(kind, kind),
        )
        type_ = next((each for each in types if each in self.spec.order_types), types[0])
        order = self.bench.order(type_, **terms)
        order_id = await self._open(order)
        found = self.bench.row(order_id).kind
        require(found is wanted, f"cancels by {kind} are claimed; a {type_} order is a {found} at this venue")
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
        found = differences(order, row, self.bench)
        require(not found, f"the order as placed and as the venue's book has it differ: {'; '.join(found)}")

    def faithful(self, told: OrderState, row: Row) -> None:
        """What is told of an order is what the book has; what is not known is not told."""
        for name in STATED:
            kept, said = getattr(row, name), getattr(told, name)
            require(said is None or said == kept, f"{row.order_id}: {name} is {kept} in the book, told is {said}")

    def untouched(self, targets: Iterable[Target]) -> None:
        """These orders are still open."""
        named = [order_id for target in targets for order_id in target.order_ids]
        gone = [order_id for order_id in named if not self.bench.row(order_id).is_open]
        require(not gone, f"orders that nobody cancelled are no longer open: {gone}")


def _set(holder: Any, name: str, value: Any) -> None:
    """Set an attribute, or one of an attribute ("variants.ack")."""
    path, _, last = name.rpartition(".")
    setattr(attrgetter(path)(holder) if path else holder, last, value)


def describe(report: CancelReport | SubmitReport) -> str:
    """A report in one line."""
    reason = "" if report.reason is None else f", {report.reason.name}"
    status = "" if report.status is None else f", order {report.status}"
    return f"{report.outcome.name}{reason}{status} ({report.text or 'no text'})"


def differences(order: Order, row: Row, bench: Bench) -> list[str]:
    """What the book has otherwise than the order says, and what the order says that the book has not."""
    meant: dict[str, Any] = {name: getattr(order, name) for name in TERMS} | _plain(order.options)
    meant["time_in_force"] = order.time_in_force or bench.NATURAL.get(order.type)
    kept = {name: getattr(row, name) for name in (*TERMS, "time_in_force")} | _plain(row.options)
    if row.client_order_id:
        meant["client_order_id"], kept["client_order_id"] = order.client_order_id, row.client_order_id
    return [
        f"{name}: {value} is {kept.get(name)} in the book"
        for name, value in meant.items()
        if name not in bench.FORGETS and kept.get(name) != value and not _is_open(name, value, kept.get(name))
    ]


def _is_open(name: str, said: Any, kept: Any) -> bool:
    """Whether the venue may choose, because nothing was said; or need not keep what is so anyway: no flag, until cancelled."""
    if name == "time_in_force":
        return said is None or (said is TimeInForce.GTC and kept is None)
    return said is False and kept is None


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
    """The last of them."""
    shown = [
        f"{each.exec_type} of {each.order_id} ({each.last_quantity or each.status})" for each in events[-MOST_TOLD:]
    ]
    return "; ".join(shown) or "nothing"
