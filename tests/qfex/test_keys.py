"""A request and its echo have the same keys, and the bytes of a request are what they always were, whatever its ids hold."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.qfex.codec import QfexCodec
from adapters.qfex.names import keys_for
from router import Cancel, ExecType, IdKind, Order, OrderType, OrdStatus, Origin, Outcome, Side
from router.venue import Answer, Execution, Frame, Item, Snapshot, read

NOW = 1_760_545_414.75
CODEC = QfexCodec(public_key="qfex_pub_x", secret_key="qfex_secret_test")
MODES = {
    None: "order_id",
    IdKind.ORDER: "order_id",
    IdKind.CLIENT_ORDER: "client_order_id",
    IdKind.TWAP: "twap_id",
    IdKind.CLIENT_TWAP: "client_twap_id",
}

hostile = st.sampled_from(['"', "\\", "\n", "\x00", "é", "\u2028", "😀", '","type":"add_order', "%s", "{}"])  # fmt: skip
names = st.lists(hostile | st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1).map("".join)
ids = names.filter(lambda name: bool(name.strip()))
amounts = st.decimals("0.00000001", "1e20", allow_nan=False, places=8)

ROW = {
    "order_id": "o-1",
    "client_order_id": "mine",
    "symbol": "AAPL-USD",
    "status": "CANCELLED",
    "quantity": 2.5,
    "price": 200.25,
    "side": "BUY",
    "type": "LIMIT",
    "quantity_remaining": 2.5,
}
ONLY = {"order_id": "o-1", "client_order_id": "mine", "text": "CANCELLED"}


def items(frame: Any) -> list[Item]:
    return read(CODEC, Frame(body=json.dumps(frame).encode()), NOW)


def echoed(body: bytes) -> Any:
    """The message as we read an echo of it: every number a Decimal."""
    return json.loads(body, parse_float=Decimal, parse_int=Decimal)


# -- what is sent


@settings(deadline=None)
@given(ids, ids | st.none(), st.sampled_from(list(MODES)))
def test_a_cancel_is_written_as_its_message_and_named_as_its_echo(name: str, symbol: str | None, kind: Any) -> None:
    wire = CODEC.encode(Cancel("qfex", name, kind, symbol), NOW)
    params = {"symbol": symbol, "order_id": name, "cancel_order_id_type": MODES[kind]}
    assert wire.body == msgspec.json.encode({"type": "cancel_order", "params": params})
    assert wire.keys == keys_for(echoed(wire.body))


@settings(deadline=None)
@given(ids)
def test_a_cancel_of_a_stop_is_written_as_its_message_and_named_as_its_echo(name: str) -> None:
    wire = CODEC.encode(Cancel("qfex", name, IdKind.STOP_ORDER, "AAPL-USD"), NOW)
    assert wire.body == msgspec.json.encode({"type": "cancel_stop_order", "params": {"stop_order_id": name}})
    assert wire.keys == keys_for(echoed(wire.body))


@settings(deadline=None)
@given(ids, ids, amounts, amounts)
def test_an_order_is_named_as_its_echo(symbol: str, client_id: str, quantity: Decimal, price: Decimal) -> None:
    wire = CODEC.encode(Order("qfex", symbol, "buy", "limit", quantity, price, client_order_id=client_id), NOW)
    assert wire.keys == keys_for(echoed(wire.body))
    assert wire.keys[0] == ("add", client_id)


@settings(deadline=None)
@given(ids, st.sampled_from([*MODES, IdKind.STOP_ORDER]), st.booleans())
def test_the_receipt_of_a_cancel_goes_to_its_first_key(name: str, kind: Any, as_text: bool) -> None:
    wire = CODEC.encode(Cancel("qfex", name, kind, "AAPL-USD"), NOW)
    echo = wire.body.decode() if as_text else json.loads(wire.body)
    [receipt] = items({"ack": {"incoming_message": echo}})
    assert receipt == Answer(keys=wire.keys[:1], outcome=None, final=False)


# -- what a cancellation says, all of it and in this order


def cancelled(**changes: Any) -> Execution:
    facts = {
        "exec_type": ExecType.CANCELED,
        "status": OrdStatus.CANCELED,
        "symbol": "AAPL-USD",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "quantity": Decimal("2.5"),
        "price": Decimal("200.25"),
    }
    return Execution(**ONLY | facts | changes)


def test_a_cancellation_tells_the_event_the_lookup_the_add_the_cancels_and_the_sets() -> None:
    done = {"outcome": Outcome.CONFIRMED, "status": OrdStatus.CANCELED, **ONLY}
    sets = (
        ("cancel_set", ("client_order_id", "mine", "AAPL-USD")),
        ("cancel_set", ("twap_id", "o-1", "AAPL-USD")),
        ("cancel_set", ("client_twap_id", "mine", "AAPL-USD")),
    )
    assert items({"order_response": ROW}) == [
        cancelled(),
        Snapshot(rows=(cancelled(),), keys=(("query", ("order", "o-1")), ("query", ("order", "mine")))),
        Answer(keys=(("add", "mine"),), **done),
        Answer(keys=(("cancel", "o-1"),), all=True, **done),
        Answer(keys=sets, all=True, final=False, **done),
    ]


def test_without_a_client_id_the_add_is_named_by_its_terms_and_the_set_by_the_order() -> None:
    _, snapshot, added, _, of_sets = items({"order_response": ROW | {"client_order_id": ""}})
    assert snapshot.keys == (("query", ("order", "o-1")),)
    assert added.keys == (("add", ("AAPL-USD", "BUY", "LIMIT", Decimal("200.25"), Decimal("2.5"))),)
    assert of_sets.keys == (("cancel_set", ("twap_id", "o-1", "AAPL-USD")),)


def test_without_an_order_id_nothing_is_named_by_it() -> None:
    _, snapshot, _, _, of_sets = items({"order_response": ROW | {"order_id": ""}})
    assert snapshot.keys == (("query", ("order", "mine")),)
    assert [mode for _, (mode, *_) in of_sets.keys] == ["client_order_id", "client_twap_id"]


@pytest.mark.parametrize("status", ["CANCELLED_STP", "CANCELLED", "IOC_CANCELLED"])
def test_only_self_trade_prevention_is_known_to_be_the_venues_doing(status: str) -> None:
    event, snapshot, *_ = items({"order_response": ROW | {"status": status}})
    assert event == cancelled(text=status, origin=Origin.VENUE if status == "CANCELLED_STP" else None)
    assert snapshot.rows == (event,)
