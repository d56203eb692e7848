"""The read loop: whatever frames come while commands are outstanding, nothing breaks, nothing leaks, and work goes on."""

import asyncio
import copy
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from adapters.qfex.simulator.frames import fill_response, listed, order_response, twap_response
from adapters.qfex.simulator.model import Fill, Twap, Update
from adapters.qfex.simulator.model import Order as Theirs
from router import Order, Outcome, Router, SessionState
from router.operation import Phase

SYMBOL = "AAPL-USD"
STATUSES = [
    "ACK",
    "FILLED",
    "MODIFIED",
    "CANCELLED",
    "CANCELLED_STP",
    "IOC_CANCELLED",
    "REJECTED",
    "NO_SUCH_ORDER",
    "BAD_SYMBOL",
    "PERMISSION_DENIED",
    "CANNOT_MODIFY_PARTIAL_FILL",
    "RATE_LIMITED",
    "NOT_A_STATUS",
]
CODES = ["InvalidOrder", "ServerError", "PermissionDenied", "NotACode"]
DEADLINE = 0.05

scalars = (
    st.sampled_from(
        [None, True, False, 0, -1, 1.5, 10**400, 1e308, "NaN", "1e999999", "", "c0", SYMBOL, "CANCELLED", "\ud800"]
    )
    | st.floats()
    | st.integers()
    | st.text(max_size=4)
)
anything = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(max_size=4), scalars, max_size=2)

# -- frames, as the simulator words them; `known` is an order of ours, or a stranger

frames = st.tuples(
    st.sampled_from(["order", "order", "fill", "listed", "twap", "err", "ack", "receipt", "echoless"]),
    st.integers(0, 9),  # which order
    st.sampled_from(STATUSES),
    st.integers(0, 3),  # what is filled, of 3
    st.sampled_from(CODES),
)
changes = st.lists(st.tuples(st.sampled_from(["drop", "set"]), st.integers(0, 60), anything), max_size=2)
damages = st.tuples(
    st.sampled_from(["none"] * 6 + ["cut", "insert", "array", "twice"]), st.integers(0, 400), st.binary(max_size=3)
)
steps = st.one_of(
    st.tuples(st.just("submit"), st.sampled_from(["limit", "stop", "twap"]), st.integers(0, 2)),
    st.tuples(st.just("cancel"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("replace"), st.integers(0, 9), st.booleans()),
    *[st.tuples(st.just("hear"), st.lists(st.tuples(frames, changes, damages), min_size=1, max_size=6))] * 4,
)
plans = st.tuples(st.sampled_from(["", "hold", "mute", "deaf"]), st.lists(steps, min_size=2, max_size=12))


def rows(venue: QfexSimulator) -> list[Theirs]:
    """Orders that a frame may be about: the venue's own, those that we named, and a stranger."""
    ours = [*venue.history.values()]
    sent = [item.message["params"] for item in venue.commands("add_order")]
    named = [Theirs(account=venue.account_id, symbol=SYMBOL, quantity=Decimal(3), price=Decimal(100), client_order_id=each["client_order_id"]) for each in sent]  # fmt: skip
    return [*ours, *named, Theirs(account=venue.account_id, symbol=SYMBOL, quantity=Decimal(3), price=Decimal(100))]


def worded(venue: QfexSimulator, shape: tuple[str, int, str, int, str]) -> dict[str, Any]:
    kind, number, status, filled, code = shape
    known = rows(venue)
    order = evolve(known[number % len(known)], status=status)
    order = evolve(order, remaining=max(Decimal(0), order.quantity - filled))
    sent = venue.commands("add_order", "cancel_order", "cancel_stop_order", "modify_order", "add_twap")
    echo = sent[number % len(sent)].message if sent else {"type": "add_order", "params": {}}
    match kind:
        case "order":
            said = {"order_response": order_response(Update(order))}
        case "fill":
            said = {
                "fill_response": fill_response(Fill(f"t{number}", order, Decimal(filled), order.price, "BUY", 1.7e9))
            }
        case "listed":
            said = {"all_orders_response": {"orders": [listed(each) for each in known], "twaps": []}}
        case "twap":
            twap = Twap(account=order.account, symbol=SYMBOL, side="BUY", total_quantity=Decimal(3), num_orders=2, order_interval_secs=30, reduce_only=False, client_twap_id=order.client_order_id, status=status)  # fmt: skip
            said = {"twap_response": twap_response(twap)}
        case "err":
            said = {"err": {"error_code": code, "message": "no", "incoming_message": echo}}
        case "ack":
            said = {"ack": {"incoming_message": echo}}
        case "receipt":
            said = {"ack_response": True}
        case _:
            said = {"err": {"error_code": code, "message": "no", "incoming_message": None}}
    return said


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


def changed(frame: dict[str, Any], what: list[tuple[str, int, Any]]) -> dict[str, Any]:
    frame = copy.deepcopy(frame)
    for act, number, value in what:
        found = list(places(frame))
        if not found:
            break
        *way, last = found[number % len(found)]
        holder: Any = frame
        for key in way:
            holder = holder[key]
        if act == "set":
            holder[last] = value
        else:
            del holder[last]
    return frame


def damaged(frame: dict[str, Any], how: tuple[str, int, bytes]) -> bytes:
    body = json.dumps(frame, default=float).encode()
    act, at, extra = how
    at %= len(body)
    spoilt = {"cut": body[:at], "insert": body[:at] + extra + body[at:], "array": b"[" + body + b"," + body + b"]"}
    return spoilt.get(act, body)


class Scene:
    """A Router on a simulated venue, and what must hold after every frame."""

    def __init__(self, venue: QfexSimulator, router: Router, session: Qfex) -> None:
        self.venue, self.router, self.session = venue, router, session
        self.desk = router._desks["qfex"]
        self.ledger = self.desk.ledger
        self.tasks: list[asyncio.Task[Any]] = []
        self.orders: list[Order] = []
        self.states: dict[Any, Any] = {}
        self.was_nameless = False

    async def play(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("submit", kind, number):
                self._submit(kind, number)
            case ("cancel", number, by_client) if self.orders:
                order = self.orders[number % len(self.orders)]
                known = self.desk.address(order)
                target = self.desk._by_client_id(order) if by_client else known
                self._start(self.router.cancel(target, deadline=DEADLINE))
            case ("replace", number, _) if self.orders:
                order = self.orders[number % len(self.orders)]
                self._start(self.router.replace(self.desk.address(order), quantity="2", deadline=DEADLINE))
            case ("hear", said):
                for shape, what, how in said:
                    body = damaged(changed(worded(self.venue, shape), what), how)
                    for _ in range(2 if how[0] == "twice" else 1):
                        self.session.heard(body)
                        self.was_nameless = self.was_nameless or self.session._outstanding.is_unclear
                        self.check()
        await asyncio.sleep(0)  # the task that was started has its first turn

    def _submit(self, kind: str, number: int) -> None:
        more = {"limit": {"price": "100"}, "stop": {"stop_price": "90"}, "twap": {"options": {"num_orders": 2, "order_interval_secs": 30}}}[kind]  # fmt: skip
        order = Order(
            "qfex", SYMBOL, "buy" if kind != "stop" else "sell", kind, "3", client_order_id=f"c{number}", **more
        )
        self.orders.append(order)
        self._start(self.router.submit(order, deadline=DEADLINE))

    def _start(self, work: Any) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    # -- what always holds

    def check(self) -> None:
        self._check_states()
        self._check_tables()

    def _check_states(self) -> None:
        for entry in {*self.ledger._entries()}:
            before, now = self.states.get(entry), entry.state
            if before is not None:
                assert now.own >= before.own
                assert now.status is before.status or not (before.status and before.status.is_terminal)
                assert before.cum_quantity is None or now.cum_quantity >= before.cum_quantity
            assert now.cum_quantity is None or now.cum_quantity.is_finite()
            assert entry.counted.is_finite()
            self.states[entry] = now

    def _check_tables(self) -> None:
        line, desk = self.session._outstanding, self.desk
        held = {pending for held in line._by_key.values() for pending in (held if isinstance(held, dict) else [held])}
        assert held <= set(line)
        assert all(line._by_key.values()), "an empty key would stay for ever"
        for order_id, entry in self.ledger._by_id.items():
            assert order_id in entry.ids
        for operation in [*desk._placing.values(), *desk._replacing]:
            assert operation.phase is not Phase.DONE
        assert len(line) <= len(self.tasks) + len(self.venue.received), [pending.keys for pending in line]

    async def finish(self) -> None:
        """Every caller has its report; then the venue is itself again, and new work is done."""
        await asyncio.gather(*self.tasks)
        assert not self.session._deadlines.waiting
        self.venue.switches.hold = self.venue.switches.mute = self.venue.switches.deaf = False
        self.venue.release()
        placed = await self.router.submit(Order("qfex", SYMBOL, "buy", "limit", "1", "50"))
        done = await self.router.cancel(placed)
        assert (placed.outcome, done.outcome) == (Outcome.CONFIRMED, Outcome.CONFIRMED), (placed.text, done.text)
        assert placed.order_id not in self.venue.book
        assert self.session.health().state is SessionState.READY
        seen = [item.command for item in self.venue.received]
        assert self.venue.connections == 1
        assert seen.count("auth") == 1 or self.was_nameless, "only to clear nameless answers may it connect anew"
        self.check()

    def closed(self) -> None:
        """Nothing is left of what was under way."""
        session, desk = self.session, self.desk
        assert (len(session._outstanding), session._outstanding._by_key) == (0, {})
        assert (session._deadlines._operations, session._deadlines._timer) == ({}, None)
        assert (len(session._outbox), session._outbox._timer, session._again) == (0, None, {})
        assert (desk._settler._completing, desk._settler._searching) == ({}, {})
        assert not desk._sticky or all(operation.phase is not Phase.DONE for operation in desk._doubts)


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What is logged as an error, and what the loop could tell nobody."""
    said: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: said.append(record.getMessage() + str(record.exc_info or ""))  # type: ignore[method-assign]
    log = logging.getLogger("router")
    log.addHandler(handler)
    try:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(str(context)))
        yield said
    finally:
        log.removeHandler(handler)


async def run(plan: tuple[str, list[tuple[Any, ...]]]) -> None:
    switch, todo = plan
    with complaints() as said:
        async with QfexSimulator() as venue:
            session = Qfex(**venue.credentials)
            async with Router({"qfex": session}) as router:
                scene = Scene(venue, router, session)
                if switch:
                    setattr(venue.switches, switch, True)
                for step in todo:
                    await scene.play(step)
                await scene.finish()
            scene.closed()
    assert said == []


@settings(
    max_examples=80,
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(plan=plans)
def test_whatever_is_heard_nothing_breaks_and_work_goes_on(plan: tuple[str, list[tuple[Any, ...]]]) -> None:
    asyncio.run(run(plan))
