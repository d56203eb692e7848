"""The ledger against a venue that is known: whatever it did is told late, twice, out of order or not at all."""

from decimal import Decimal
from unittest.mock import patch

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router import ExecType, IdKind, Order, OrdStatus, ledger
from router.ledger import KEEP_SECONDS, Entry, Ledger, natural_kind
from router.model import OrderType, Side
from router.report import OrderState
from router.venue import Execution, Reading

KEPT = 3  # closed orders, instead of the 10,000 of rule 6
CLIENT_IDS = ["c1", "c2", "c3"]
ENDINGS = {OrdStatus.CANCELED: ExecType.CANCELED, OrdStatus.EXPIRED: ExecType.EXPIRED}

some = st.integers(0, 1000)
"""Which of those that there are: taken modulo their number."""


TERMS = {
    "kind": st.sampled_from([OrderType.LIMIT, OrderType.LIMIT, OrderType.STOP, OrderType.TWAP]),
    "symbol": st.sampled_from(["T", "U"]),
    "side": st.sampled_from(Side),
    "size": st.integers(1, 5),
    "tells": st.sampled_from(["leaves", "cum", "nothing"]),
}


@define(eq=False)
class Real:
    """An order as the venue has it. echoes: its frames carry the client id; tells: what its frames say of the quantity."""

    id: str
    client_id: str | None
    type: OrderType
    symbol: str
    side: Side
    quantity: Decimal
    echoes: bool
    tells: str
    submit: Entry | None = None
    """What the ledger made of it when it was ours to send; until its answer has named it."""
    filled: Decimal = Decimal(0)
    status: OrdStatus = OrdStatus.NEW
    former: list[str] = field(factory=list)
    """The ids that it had before modifies changed them."""

    @property
    def is_open(self) -> bool:
        return not self.status.is_terminal

    def said(self, exec_type: ExecType, status: OrdStatus | None = None, **facts) -> Execution:
        client_id = self.client_id if self.echoes else None
        twap = self.type is OrderType.TWAP
        kind = IdKind.TWAP if twap and exec_type is ExecType.ORDER_STATUS else IdKind.ORDER
        return Execution(
            exec_type=exec_type,
            order_id=self.id,
            kind=natural_kind(self.type, frozenset(IdKind)) if self.type is OrderType.STOP else kind,
            status=status,
            client_order_id=client_id,
            symbol=self.symbol,
            side=self.side,
            **facts,
        )

    def shown(self, exec_type: ExecType, **facts) -> Execution:
        """All of it, as an acknowledgement or a row of the open orders has it."""
        if self.tells == "leaves":
            facts["leaves_quantity"] = self.quantity - self.filled
        elif self.tells == "cum":
            facts["cum_quantity"] = self.filled
        return self.said(exec_type, OrdStatus.NEW, quantity=self.quantity, **facts)


@define(eq=False)
class Watched:
    """One entry of the ledger: as it was when last looked at, and what it was told of which order."""

    state: OrderState
    real: Real | None = None
    ids: set[str] = field(factory=set)
    trades: dict[str, Decimal] = field(factory=dict)
    is_known: bool = False
    """Whether anything said what is filled."""
    closed: int | None = None
    """Its place among those that ended."""
    closed_at: float = 0.0


class LedgerMachine(RuleBasedStateMachine):
    """Rules make the venue act, or the ledger hear of it; nothing is heard unless a rule delivers it."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = patch.object(ledger, "KEEP_CLOSED", KEPT)
        self._patch.start()
        self.now = 0.0
        self.reals: list[Real] = []
        self.air: list[tuple[Real, Execution]] = []
        self.heard: list[tuple[Real, Execution]] = []
        self.readings: list[tuple[Reading, list[Real]]] = []
        self.watched: dict[Entry, Watched] = {}
        self.released: list[Entry] = []
        self.spared: set[Entry] = set()
        self.closings = 0
        self.events = 0
        self.numbers = 0

    def teardown(self) -> None:
        self._patch.stop()

    @initialize(tells_trades=st.booleans())
    def opens(self, tells_trades):
        self.tells_trades = tells_trades
        self.ledger = Ledger("toy", tells_trades=tells_trades)

    def new_number(self) -> int:
        self.numbers += 1
        return self.numbers

    def pick(self, number, wanted):
        found = [real for real in self.reals if wanted(real)]
        return found[number % len(found)] if found else None

    # -- what the venue does

    def _enter(self, client_id, kind, symbol, side, size, tells, *, echoes):
        real = Real(f"o{self.new_number()}", client_id, kind, symbol, side, Decimal(size), echoes=echoes, tells=tells)
        self.reals.append(real)
        return real

    def _acknowledge(self, real):
        if real.type is OrderType.TWAP:
            self.air.append((real, real.shown(ExecType.ORDER_STATUS)))
        else:
            self.air.append((real, real.shown(ExecType.NEW)))

    @rule(client_id=st.sampled_from([None, *CLIENT_IDS]), echoes=st.booleans(), **TERMS)
    def somebody_else_places(self, client_id, echoes, kind, symbol, side, size, tells):
        self._acknowledge(self._enter(client_id, kind, symbol, side, size, tells, echoes=echoes))

    @rule(
        client_id=st.sampled_from(CLIENT_IDS),
        is_placed=st.booleans(),
        refused=st.booleans(),
        echoes=st.booleans(),
        **TERMS,
    )
    def we_place(self, client_id, is_placed, refused, echoes, kind, symbol, side, size, tells):
        price = {"stop_price": "9"} if kind is OrderType.STOP else {} if kind is OrderType.TWAP else {"price": "9"}
        entry = self.ledger.intend(Order("toy", symbol, side, kind, str(size), client_order_id=client_id, **price))
        self._watch(entry)
        if is_placed:
            real = self._enter(client_id, kind, symbol, side, size, tells, echoes=echoes)
            real.submit = entry
            self._acknowledge(real)
        elif refused:
            self.ledger.end(entry, OrdStatus.REJECTED, self.now)
            self._note_closing(entry)
        else:
            self.ledger.forget(entry)
            self.released.append(entry)

    @rule(number=some, size=st.integers(1, 3), other=some, is_cross=st.booleans(), leaves=st.booleans())
    @precondition(lambda self: self.reals)
    def trade(self, number, size, other, is_cross, leaves):
        """One order trades with a stranger, or two of them with each other under one trade id."""
        trade_id = f"t{self.new_number()}"
        real = self.pick(number, lambda each: each.is_open and each.type is not OrderType.TWAP)
        if real is None:
            return
        sides = [real]
        rival = self.pick(other, lambda each: each.is_open and each is not real and each.type is not OrderType.TWAP)
        if is_cross and rival is not None:
            sides.append(rival)
        size = min(Decimal(size), *(each.quantity - each.filled for each in sides))
        for each in sides:
            self._fill(each, size, trade_id, leaves=leaves)

    def _fill(self, real, size, trade_id, *, leaves):
        real.filled += size
        left = real.quantity - real.filled
        if not left:
            real.status = OrdStatus.FILLED
        facts = {}
        if real.tells == "leaves" and leaves:
            status = OrdStatus.PARTIALLY_FILLED if left else OrdStatus.FILLED
            facts = {"leaves_quantity": left, "status": status}
        elif real.tells == "cum":
            facts = {"cum_quantity": real.filled, "status": OrdStatus.PARTIALLY_FILLED if left else OrdStatus.FILLED}
        self.air.append((real, real.said(ExecType.TRADE, last_quantity=size, trade_id=trade_id, **facts)))

    @rule(number=some, size=st.integers(1, 5))
    @precondition(lambda self: self.reals)
    def twap_goes_on(self, number, size):
        real = self.pick(number, lambda each: each.is_open and each.type is OrderType.TWAP)
        if real is not None and real.filled + size < real.quantity:
            real.filled += size
            self.air.append((real, real.shown(ExecType.ORDER_STATUS)))

    @rule(number=some, status=st.sampled_from(sorted(ENDINGS)))
    @precondition(lambda self: self.reals)
    def end(self, number, status):
        real = self.pick(number, lambda each: each.is_open)
        if real is not None:
            real.status = status
            self.air.append((real, real.said(ENDINGS[status], status)))

    @rule(number=some, size=st.integers(1, 5), is_renamed=st.booleans())
    @precondition(lambda self: self.reals)
    def modify(self, number, size, is_renamed):
        """As QFEX does, only what has not traded; under a new id where the venue makes one."""
        real = self.pick(number, lambda each: each.is_open and not each.filled and each.type is OrderType.LIMIT)
        if real is None:
            return
        replaces = None
        real.quantity = Decimal(size)
        if is_renamed and not real.echoes:  # else a fill under its new id could be of any order with that client id
            replaces = real.id
            real.former.append(real.id)
            real.id = f"o{self.new_number()}"
        self.air.append((real, real.shown(ExecType.REPLACED, price=Decimal(8), replaces=replaces)))

    @rule()
    @precondition(lambda self: self.reals)
    def list_orders(self):
        """A reading is made now, and delivered when a rule says so."""
        reals = [real for real in self.reals if real.is_open]
        rows = tuple(real.shown(ExecType.ORDER_STATUS) for real in reals)
        self.readings.append((Reading(asked=self.now, rows=rows, changes=self.ledger.changes), reals))

    # -- what the ledger hears

    @rule(numbers=st.lists(some, min_size=1, max_size=6))
    @precondition(lambda self: self.air)
    def deliver(self, numbers):
        for number in numbers[: len(self.air)]:
            self._hear(*self.air.pop(number % len(self.air)))

    @rule()
    @precondition(lambda self: self.air)
    def deliver_all_in_order(self):
        while self.air:
            self._hear(*self.air.pop(0))

    @rule(numbers=st.lists(some, min_size=1, max_size=3))
    @precondition(lambda self: self.heard)
    def deliver_again(self, numbers):
        for number in numbers:
            self._hear(*self.heard[number % len(self.heard)])

    @rule(number=some)
    @precondition(lambda self: self.readings)
    def deliver_a_reading(self, number):
        reading, reals = self.readings.pop(number % len(self.readings))
        for row, real in zip(reading.rows, reals, strict=True):
            if not self.ledger.is_newer(reading, row):
                self._hear(real, row)

    @rule()
    def connection_is_lost(self):
        self.ledger.gap()
        for entry in self.watched:
            assert not entry.from_start

    @rule(seconds=st.sampled_from([1.0, 100.0, KEEP_SECONDS / 2, KEEP_SECONDS + 1]))
    def time_passes(self, seconds):
        self.now += seconds

    def _hear(self, real, execution):
        if execution not in [frame for _, frame in self.heard[-50:]]:
            self.heard.append((real, execution))
        self._answer(real, execution)
        self._apply(real, execution)
        self._note_spared()

    def _note_spared(self):
        """Kept for a namesake, until the next one ends: that may be over by the end of a rule."""
        self.spared |= {entry for entry in self._tables() if not entry.is_live and self.ledger._is_needed(entry)}

    def _answer(self, real, execution):
        """The frame that acknowledges a submit names its order: by client id to the oldest, or by its terms."""
        if execution.exec_type is not ExecType.NEW and real.type is not OrderType.TWAP:
            return
        waiting = [each for each in self.reals if each.submit is not None]
        if execution.client_order_id is not None:
            waiting = [each for each in waiting if each.client_id == execution.client_order_id]
        else:
            waiting = [each for each in waiting if each is real]
        if waiting:
            entry = waiting[0].submit
            stranger = self.ledger.find(execution.order_id)
            if self.ledger.bind(entry, execution.order_id, natural_kind(real.type, frozenset(IdKind))):
                waiting[0].submit = None
                self._own(entry, real, execution.order_id)
                self._merge(entry, stranger)
                self._note_closing(entry)

    def _apply(self, real, execution):
        former = self.ledger.find(execution.replaces or "")
        known = self.ledger.find(execution.order_id) or former
        before = None if known is None else (known.state, len(known.trades))
        changes = self.ledger.changes
        event = self.ledger.apply(execution, self.now)
        entry = self.ledger.find(execution.order_id)
        if entry is None:  # it had ended long ago, and was forgotten with this very frame
            return
        watched = self._own(entry, real, execution.order_id, execution.replaces)
        self._merge(entry, former)
        self._merge(entry, known)
        self._learn(watched, execution, is_first=before is None)
        self._count(watched, execution, event)
        self._event(entry, event, changes, before if known is entry else None)
        self._note_closing(entry)

    def _event(self, entry, event, changes, before):
        """One for each change."""
        assert self.ledger.changes == changes + (event is not None)
        if before is not None:
            assert (event is not None) == (before != (entry.state, len(entry.trades)))
        if event is not None:
            self.events += 1
            assert event.seq == self.events
            assert (event.order_id, event.status) == (entry.state.order_id, entry.state.status)
            assert event.cum_quantity == entry.state.cum_quantity

    def _own(self, entry, real, *ids):
        """One order of the venue's is one entry of the ledger's."""
        watched = self._watch(entry)
        watched.real = watched.real or real
        assert watched.real is real, "one entry for two orders"
        watched.ids.update(each for each in ids if each)
        return watched

    def _merge(self, entry, other):
        """Two entries turned out to be one order."""
        if other is None or other is entry:
            return
        mine, gone = self.watched[entry], self.watched.pop(other)
        assert gone.real is mine.real
        self.released.append(other)
        mine.ids |= gone.ids
        mine.trades |= gone.trades
        mine.is_known = mine.is_known or gone.is_known
        if gone.closed is not None and mine.closed is None:
            mine.closed, mine.closed_at = gone.closed, gone.closed_at

    def _learn(self, watched, execution, *, is_first):
        (entry,) = [each for each, known in self.watched.items() if known is watched]
        total = execution.quantity or entry.state.quantity
        told = execution.cum_quantity is not None or (execution.leaves_quantity is not None and total is not None)
        from_start = self.tells_trades and (entry.from_start or (is_first and execution.exec_type is ExecType.NEW))
        watched.is_known = watched.is_known or told or from_start

    def _count(self, watched, execution, event):
        """A trade counts once."""
        is_new = execution.trade_id is not None and execution.trade_id not in watched.trades
        if is_new:
            watched.trades[execution.trade_id] = execution.last_quantity
        assert (event is not None and event.trade_id is not None) == is_new

    # -- book-keeping of the test's own

    def _watch(self, entry):
        return self.watched.setdefault(entry, Watched(entry.state))

    def _note_closing(self, entry):
        watched = self.watched[entry]
        if not entry.is_live and watched.closed is None:
            self.closings += 1
            watched.closed, watched.closed_at = self.closings, self.now

    def _tables(self):
        by_client = [entry for entries in self.ledger._by_client.values() for entry in entries]
        return {*self.ledger._by_id.values(), *by_client}

    # -- what always holds

    @invariant()
    def nothing_goes_back(self):
        for entry, watched in self.watched.items():
            before, now = watched.state, entry.state
            assert now.own == before.own
            if before.status is not None and before.status.is_terminal:
                assert now.status is before.status
            if before.cum_quantity is not None:
                assert now.cum_quantity is not None
                assert now.cum_quantity >= before.cum_quantity
            watched.state = now

    def _owned(self):
        tables = self._tables()
        owned = ((entry, watched) for entry, watched in self.watched.items() if watched.real is not None)
        return [(entry, watched) for entry, watched in owned if entry in tables]

    @invariant()
    def filled_is_never_more_than_was_traded_and_never_a_guess(self):
        for entry, watched in self._owned():
            filled = entry.state.cum_quantity
            assert filled is None or 0 <= filled <= watched.real.filled
            assert filled is None or watched.is_known

    @invariant()
    def a_trade_counts_once(self):
        for entry, watched in self._owned():
            assert entry.counted == sum(watched.trades.values())

    @invariant()
    def what_has_ended_has_ended(self):
        for entry, watched in self._owned():
            assert entry.is_live or entry.state.status is watched.real.status

    @invariant()
    def every_id_finds_its_order(self):
        for entry, watched in self._owned():
            assert {self.ledger.find(each) for each in watched.ids} <= {entry}
            client_id = entry.state.client_order_id
            assert client_id is None or entry in self.ledger.named(client_id)
            chain = [*watched.real.former, watched.real.id]
            assert entry.state.order_id == [each for each in chain if each in watched.ids][-1], (
                "a cancel follows the order"
            )

    @invariant()
    def tables_hold_what_they_say(self):
        for order_id, entry in self.ledger._by_id.items():
            assert order_id in entry.ids
        for client_id, entries in self.ledger._by_client.items():
            assert entries
            assert len({id(entry) for entry in entries}) == len(entries)
            assert all(entry.state.client_order_id == client_id for entry in entries)

    @invariant()
    def what_is_let_go_is_in_no_table(self):
        tables = self._tables()
        assert tables.isdisjoint(self.released)
        ended = [entry for entry in tables if not entry.is_live]
        self._note_spared()
        kept = [entry for entry in ended if entry not in self.spared]
        assert len(kept) <= KEPT
        latest = max((self.watched[entry].closed_at for entry in kept), default=0.0)
        assert all(self.watched[entry].closed_at >= latest - KEEP_SECONDS for entry in kept)
        assert {entry for _, entry in self.ledger._closed} >= set(kept), "it would be kept for ever"
        assert len(self.ledger) == len(tables)

    @invariant()
    def what_is_not_let_go_is_kept(self):
        gone = self.watched.keys() - self._tables()
        for entry in gone - set(self.released):
            watched = self.watched[entry]
            assert watched.closed is not None, "a live order was forgotten"
            latest = max(each.closed_at for each in self.watched.values())
            assert self.closings - watched.closed >= KEPT or latest - watched.closed_at > KEEP_SECONDS
        for entry in gone:
            del self.watched[entry]
            self.released.append(entry)


LedgerMachine.TestCase.settings = settings(
    max_examples=250, stateful_step_count=40, deadline=None, print_blob=True, report_multiple_bugs=False
)
test_the_ledger_agrees_with_the_venue = LedgerMachine.TestCase
