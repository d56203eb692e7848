"""The order state machine: any order of events keeps its rules."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from router import ExecType, IdKind, Order, OrdStatus, Origin
from router.ledger import KEEP_CLOSED, KEEP_SECONDS, Ledger
from router.venue import Execution, Reading

STATUSES = [None, *OrdStatus]


def execution(order_id="o1", **facts):
    facts.setdefault("exec_type", ExecType.ORDER_STATUS)
    return Execution(order_id=order_id, **facts)


def test_an_order_of_ours_is_found_by_its_client_id_and_then_by_the_venues():
    ledger = Ledger("toy")
    entry = ledger.intend(Order("toy", "T", "buy", "stop", "2", stop_price="9", client_order_id="c1"))
    assert entry.state.kind is IdKind.STOP_ORDER
    event = ledger.apply(execution(client_order_id="c1", symbol="T", exec_type=ExecType.NEW, status=OrdStatus.NEW), 0)
    assert ledger.find("o1") is entry
    assert (event.status, event.origin, event.seq) == (OrdStatus.NEW, Origin.CLIENT, 1)


def test_two_orders_may_share_a_client_id():
    ledger = Ledger("toy")
    for _ in range(2):
        ledger.intend(Order("toy", "T", "buy", "limit", "2", "9", client_order_id="c1"))
    for order_id in ("o1", "o2"):
        ledger.apply(execution(order_id, client_order_id="c1", symbol="T", status=OrdStatus.NEW), 0)
    assert [entry.state.order_id for entry in ledger.named("c1")] == ["o1", "o2"]


def test_a_fill_before_the_ack_counts():
    ledger = Ledger("toy")
    ledger.intend(Order("toy", "T", "buy", "limit", "2", "9", client_order_id="c1"))
    fill = execution(
        client_order_id="c1", symbol="T", exec_type=ExecType.TRADE, last_quantity=Decimal("0.5"), trade_id="t1"
    )
    assert ledger.apply(fill, 0).cum_quantity == Decimal("0.5")
    assert ledger.apply(fill, 0) is None
    ledger.apply(execution(client_order_id="c1", exec_type=ExecType.NEW, status=OrdStatus.NEW), 0)
    assert ledger.find("o1").state.status is OrdStatus.PARTIALLY_FILLED


def test_a_fill_after_the_cancellation_raises_and_leaves_it_terminal():
    ledger = Ledger("toy")
    ledger.apply(execution(exec_type=ExecType.NEW, status=OrdStatus.NEW, quantity=Decimal(2)), 0)
    ledger.apply(execution(exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED), 0)
    late = execution(exec_type=ExecType.TRADE, last_quantity=Decimal(1), trade_id="t1", leaves_quantity=Decimal(1))
    event = ledger.apply(late, 0)
    assert (event.status, event.cum_quantity) == (OrdStatus.CANCELED, Decimal(1))


def test_filled_is_none_while_not_known():
    ledger = Ledger("toy")
    assert ledger.apply(execution(status=OrdStatus.NEW), 0).cum_quantity is None
    trade = execution(exec_type=ExecType.TRADE, last_quantity=Decimal(1), trade_id="t1")
    assert ledger.apply(trade, 0).cum_quantity is None


def test_after_a_gap_trades_no_longer_give_the_filled_quantity():
    ledger = Ledger("toy")
    ledger.intend(Order("toy", "T", "buy", "limit", "2", "9", client_order_id="c1"))
    ledger.apply(execution(client_order_id="c1", exec_type=ExecType.NEW, status=OrdStatus.NEW), 0)
    ledger.gap()
    event = ledger.apply(execution(exec_type=ExecType.TRADE, last_quantity=Decimal(1), trade_id="t9"), 0)
    assert event.cum_quantity == 0, "what was known stays; what was missed is not guessed"


def test_an_id_that_a_modify_changed_goes_on_naming_the_order():
    ledger = Ledger("toy")
    ledger.apply(execution(status=OrdStatus.NEW, price=Decimal(1)), 0)
    changed = execution("o2", exec_type=ExecType.REPLACED, replaces="o1", price=Decimal(3), status=OrdStatus.NEW)
    ledger.apply(changed, 0)
    assert ledger.find("o1") is ledger.find("o2")
    assert ledger.find("o1").state.order_id == "o2"
    assert ledger.find("o1").state.price == 3


def test_a_snapshot_does_not_override_what_is_newer():
    ledger = Ledger("toy")
    ledger.apply(execution(status=OrdStatus.NEW), 0)
    reading = Reading(asked=0, rows=(execution(status=OrdStatus.NEW),), changes=ledger.changes)
    assert not ledger.is_newer(reading, reading.rows[0])
    ledger.apply(execution(exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED), 0)
    assert ledger.is_newer(reading, reading.rows[0])


def test_an_unsolicited_cancellation_is_the_venues():
    ledger = Ledger("toy")
    ledger.apply(execution(status=OrdStatus.NEW), 0)
    gone = execution(exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED)
    assert ledger.apply(gone, 0).origin is Origin.VENUE


def test_terminal_orders_are_kept_for_a_while_and_no_longer():
    ledger = Ledger("toy")
    for number in range(KEEP_CLOSED + 5):
        ledger.apply(execution(str(number), exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED), 0)
    assert len(ledger) == KEEP_CLOSED
    assert ledger.find("0") is None
    ledger.apply(execution("last", exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED), KEEP_SECONDS + 1)
    assert len(ledger) == 1


executions = st.builds(
    Execution,
    exec_type=st.sampled_from(ExecType),
    order_id=st.sampled_from(["o1", "o2", "o3"]),
    client_order_id=st.sampled_from([None, "c1", "c2"]),
    replaces=st.sampled_from([None, None, "o1", "o2"]),
    status=st.sampled_from(STATUSES),
    symbol=st.sampled_from([None, "T"]),
    quantity=st.sampled_from([None, Decimal(5)]),
    leaves_quantity=st.sampled_from([None, Decimal(0), Decimal(2), Decimal(5)]),
    cum_quantity=st.sampled_from([None, Decimal(0), Decimal(3)]),
    last_quantity=st.sampled_from([None, Decimal(1)]),
    trade_id=st.sampled_from([None, "t1", "t2", "t3"]),
)


@given(st.lists(executions, max_size=30))
def test_whatever_comes_filled_never_shrinks_and_terminal_stays(happenings):
    ledger = Ledger("toy")
    ledger.intend(Order("toy", "T", "buy", "limit", "5", "9", client_order_id="c1"))
    trades = set()
    for happening in happenings:
        entry = ledger.find(happening.order_id)
        before = entry.state if entry is not None else None
        event = ledger.apply(happening, 0)
        after = ledger.find(happening.order_id).state
        if before is not None:
            if before.status is not None and before.status.is_terminal:
                assert after.status is before.status
            if before.cum_quantity is not None:
                assert after.cum_quantity is not None
                assert after.cum_quantity >= before.cum_quantity
        if event is not None and event.trade_id is not None:
            counted = (ledger.find(happening.order_id), event.trade_id)
            assert counted not in trades
            trades.add(counted)


# -- client ids need not be unique


def ours(ledger, quantity="5", **facts):
    return ledger.intend(Order("toy", "T", "buy", "limit", quantity, "9", client_order_id="c1", **facts))


def test_an_order_known_before_ours_was_sent_is_not_ours():
    ledger = Ledger("toy")
    ledger.apply(execution(client_order_id="c1", symbol="T", status=OrdStatus.NEW), 0)
    entry = ours(ledger)
    assert not ledger.bind(entry, "o1", IdKind.ORDER)
    assert (entry.state.order_id, ledger.find("o1").state.own) == (None, False)


def test_an_answer_that_shows_other_terms_is_not_ours():
    ledger = Ledger("toy")
    entry = ours(ledger)
    assert not ledger.bind(entry, "o1", IdKind.ORDER, execution(symbol="T", quantity=Decimal(4)))
    assert ledger.bind(entry, "o2", IdKind.ORDER, execution("o2", symbol="T", quantity=Decimal(5)))
    assert not ledger.bind(entry, "o3", IdKind.ORDER), "it has an id, and only a modify gives it another"
    assert ledger.rebind(entry, "o3")
    assert ledger.find("o2") is ledger.find("o3") is entry


def test_a_refused_order_takes_no_frames_of_the_next_one():
    ledger = Ledger("toy")
    first, second = ours(ledger), None
    ledger.end(first, OrdStatus.REJECTED, 0)
    second = ours(ledger)
    ledger.apply(execution(client_order_id="c1", symbol="T", quantity=Decimal(5), status=OrdStatus.NEW), 0)
    assert ledger.find("o1") is second


def test_a_late_frame_under_a_former_id_leaves_the_present_one():
    ledger = Ledger("toy")
    ledger.apply(execution(status=OrdStatus.NEW), 0)
    ledger.apply(execution("o2", exec_type=ExecType.REPLACED, replaces="o1", status=OrdStatus.NEW), 0)
    ledger.apply(execution("o1", exec_type=ExecType.TRADE, last_quantity=Decimal(1), trade_id="t1"), 0)
    assert ledger.find("o1").state.order_id == "o2"


def test_what_is_left_tells_nothing_of_a_total_that_a_modify_may_have_changed():
    ledger = Ledger("toy")
    new = execution(exec_type=ExecType.NEW, status=OrdStatus.NEW, quantity=Decimal(5), leaves_quantity=Decimal(5))
    ledger.apply(new, 0)
    ledger.gap()
    fill = execution(exec_type=ExecType.TRADE, last_quantity=Decimal(1), trade_id="t1", leaves_quantity=Decimal(2))
    ledger.apply(fill, 0)
    assert ledger.find("o1").state.cum_quantity == 0, "as far as it was known, and not the 3 that 5 less 2 would be"
    ledger.apply(execution(status=OrdStatus.NEW, quantity=Decimal(3), leaves_quantity=Decimal(2)), 0, listed=True)
    assert (ledger.find("o1").state.quantity, ledger.find("o1").state.cum_quantity) == (3, 1)


def test_an_ended_order_is_kept_while_a_namesake_has_no_id():
    ledger = Ledger("toy")
    waiting, known = ours(ledger), ours(ledger)
    assert ledger.bind(known, "o1", IdKind.ORDER)
    filled = execution(status=OrdStatus.FILLED, client_order_id="c1", symbol="T", quantity=Decimal(5))
    ledger.apply(filled, 0)
    ledger.apply(execution("o2", exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED), KEEP_SECONDS + 1)
    ledger.apply(filled, KEEP_SECONDS + 2)
    assert (ledger.find("o1"), waiting.state.order_id) == (known, None)
    ledger.end(waiting, OrdStatus.REJECTED, KEEP_SECONDS + 3)
    ledger.apply(execution("o3", exec_type=ExecType.CANCELED, status=OrdStatus.CANCELED), KEEP_SECONDS + 4)
    assert ledger.find("o1") is None
