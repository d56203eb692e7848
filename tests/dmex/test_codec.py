"""The DMEX codec: the documented cancel frame byte for byte, and what may be concluded from undocumented replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from adapters.dmex.codec import SPEC, DmexCodec
from adapters.dmex.signing import load_key
from router import Cancel, CxlRejReason, IdKind, Order, OrderState, OrderType, OrdRejReason, OrdStatus, Outcome, Replace
from router.errors import CannotExpress, Garbled
from router.venue import Answer, Effect, Execution, Frame, Item, Snapshot, Via, Wire, read

NOW = 1_714_564_800.0
DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "dmex_vectors.json").read_text())
FRAMES = json.loads((DATA / "frames" / "dmex.json").read_text())
HASH = FRAMES["cancelled"]["frame"]["data"]["order_hash"]
OTHER = "0x" + "ab" * 32
SIGNER = load_key("0x29a4f9cd5337dc67a63444474e399663b36f7680f2da2156d2b7e68eb5c30c5c")
CODEC = DmexCodec(signer=SIGNER)
Hear = Callable[..., list[list[Answer]]]


def cancel(order_hash: str = HASH, codec: DmexCodec = CODEC) -> Wire:
    return codec.encode(Cancel("dmex", order_hash, IdKind.ORDER), NOW)


def encode_order(order: Order) -> tuple[str, Mapping[str, Any]]:
    return HASH, {"hash": HASH, "asset": order.symbol, "amount": str(int(order.quantity.scaleb(8))), **order.options}


CREATOR = evolve(CODEC, order_encoder=encode_order)
LISTER = evolve(CODEC, spec=evolve(SPEC, http_url="https://x.example", lists=frozenset({IdKind.ORDER})))
LIMIT = Order("dmex", "btcusd", "buy", "limit", "10", "100000")
CREATE = CREATOR.encode(LIMIT, NOW)


# -- what we send


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["order_hash"][:10])
def test_the_cancel_frame_of_every_vector(vector: dict[str, Any]) -> None:
    wire = cancel(vector["order_hash"], DmexCodec(signer=load_key(vector["private_key"])))
    names = ("order_hash", "v", "r", "s")
    assert json.loads(wire.body) == {"op": "cancel_order", "data": {name: vector[name] for name in names}}
    assert list(json.loads(wire.body)["data"]) == list(names)
    assert (wire.effect, wire.via) == (Effect.IDEMPOTENT, Via.SOCKET)


def test_all_128_vectors_are_there_with_leading_zeros_among_them() -> None:
    assert len(VECTORS) == 128
    assert sum(vector["r"].startswith("0x0") or vector["s"].startswith("0x0") for vector in VECTORS) >= 16
    assert {len(vector[name]) for vector in VECTORS for name in ("r", "s")} == {66}


def test_the_pair_that_the_documented_python_shortens() -> None:
    data = json.loads(cancel().body)["data"]
    assert (data["v"], data["r"]) == (28, "0x00824f2e30c11fcafaef56e9cec19dbed88d21298136bdf1f0980f49e496630d")
    assert data["s"] == "0x38865870a16632a35911b1e06cd2f49f38803741945abfe32fc809073936a47b"


def test_the_case_of_a_hash_changes_no_signature_and_no_match(heard: Hear) -> None:
    upper = cancel("0x" + HASH[2:].upper())
    small, large = json.loads(cancel().body)["data"], json.loads(upper.body)["data"]
    assert [small[name] for name in "vrs"] == [large[name] for name in "vrs"]
    [[answer]] = heard(CODEC, FRAMES["cancelled"]["frame"], upper)
    assert answer.outcome is Outcome.CONFIRMED


@pytest.mark.parametrize(
    "order_hash",
    [
        HASH[:-1],
        HASH + "0",
        HASH[2:],
        "0X" + HASH[2:],
        "0x" + "g" * 64,
        HASH + "\n",
        " " + HASH,
        HASH[:-1] + "\uff11",
        "0x" + "0" * 62,
        "1",
    ],
)
def test_a_hash_that_is_none_is_not_signed(order_hash: str) -> None:
    with pytest.raises(CannotExpress, match="dmex"):
        cancel(order_hash)


def test_an_order_needs_an_encoder() -> None:
    with pytest.raises(CannotExpress, match="order_encoder"):
        CODEC.encode(LIMIT, NOW)


def test_an_encoders_frame_is_signed_over_its_hash_like_the_cancel() -> None:
    order = Order("dmex", "btcusd", "buy", "limit", "10", "100000", options={"replace_hash": OTHER})
    wire = CREATOR.encode(order, NOW)
    frame, signed = json.loads(wire.body), json.loads(cancel().body)["data"]
    assert frame["op"] == "create_order"
    assert frame["data"] == {"hash": HASH, "asset": "btcusd", "amount": "1000000000", "replace_hash": OTHER} | {
        name: signed[name] for name in "vrs"
    }
    assert (wire.order_id, wire.effect) == (HASH, Effect.ONCE)


@pytest.mark.parametrize("order_hash", [HASH[:-1], "", None, 5, b"\x00" * 32])
def test_an_encoder_that_gives_no_hash(order_hash: Any) -> None:
    with pytest.raises(CannotExpress, match="dmex"):
        evolve(CODEC, order_encoder=lambda _: (order_hash, {})).encode(LIMIT, NOW)


@pytest.mark.parametrize("error", [ValueError("odd lot"), TypeError("odd lot"), KeyError("odd lot")])
def test_an_encoder_that_refuses_an_order(error: Exception) -> None:
    def refuse(order: Order) -> tuple[str, Mapping[str, Any]]:
        raise error

    with pytest.raises(CannotExpress, match="odd lot"):
        evolve(CODEC, order_encoder=refuse).encode(LIMIT, NOW)


def test_there_is_no_modify() -> None:
    known = OrderState(venue="dmex", order_id=HASH)
    with pytest.raises(CannotExpress, match="replace_hash"):
        CODEC.encode(Replace(target=Cancel("dmex", HASH, IdKind.ORDER), known=known, price=Decimal(1)), NOW)


def test_no_signature_and_no_key_in_a_repr() -> None:
    shown = repr(cancel()) + repr(CREATE) + repr(CODEC) + repr(CREATOR)
    data = json.loads(cancel().body)["data"]
    assert data["r"][2:] not in shown
    assert "29a4f9cd" not in shown


# -- what a reply may settle


@pytest.mark.parametrize("name", ["cancelled", "cancelled, status"])
def test_a_success_with_the_hash_confirms_that_cancel(heard: Hear, name: str) -> None:
    other, [answer], create = heard(CODEC, FRAMES[name]["frame"], cancel(OTHER), cancel(), CREATE)
    assert (other, create, answer.outcome, answer.order_id) == ([], [], Outcome.CONFIRMED, HASH)


def test_a_success_without_the_hash_confirms_the_only_cancel(heard: Hear) -> None:
    frame = FRAMES["cancelled, no hash"]["frame"]
    assert [answer.outcome for answer in heard(CODEC, frame, cancel())[0]] == [Outcome.CONFIRMED]
    assert heard(CODEC, frame, cancel(), cancel(OTHER)) == [[], []]


def test_a_success_that_names_the_hash_but_not_the_verb_is_ambiguous_beside_a_create(heard: Hear) -> None:
    frame = {"success": True, "data": {"order_hash": HASH}}
    assert [answer.outcome for answer in heard(CODEC, frame, cancel())[0]] == [Outcome.CONFIRMED]
    assert heard(CODEC, frame, cancel(), CREATE) == [[], []]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Invalid signature", CxlRejReason.OTHER),
        ("Order not found", CxlRejReason.UNKNOWN_ORDER),
        ("Order already cancelled", CxlRejReason.UNKNOWN_ORDER),
        ("Order already filled", CxlRejReason.TOO_LATE_TO_CANCEL),
        ("ORDER IS FULLY FILLED", CxlRejReason.TOO_LATE_TO_CANCEL),
    ],
)
@pytest.mark.parametrize("style", ["text", "object", "list"])
def test_the_words_of_a_refusal(heard: Hear, words: str, reason: CxlRejReason, style: str) -> None:
    said: dict[str, dict[str, Any]] = {
        "text": {"error": words},
        "object": {"error": {"message": words}},
        "list": {"errors": [{"message": words}]},
    }
    frame = {"op": "cancel_order", "success": False, "data": {"order_hash": HASH}, **said[style]}
    other, [answer] = heard(CODEC, frame, cancel(OTHER), cancel())
    assert (other, answer.outcome, answer.cancel_reason, answer.text) == ([], Outcome.REFUSED, reason, words)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Amount must be greater than zero", OrdRejReason.INCORRECT_QUANTITY),
        ("Insufficient margin", OrdRejReason.ORDER_EXCEEDS_LIMIT),
        ("Invalid leverage", OrdRejReason.UNSUPPORTED_ORDER_CHARACTERISTIC),
        ("Invalid signature", OrdRejReason.OTHER),
    ],
)
def test_the_documented_errors_of_create(heard: Hear, words: str, reason: OrdRejReason) -> None:
    frame = {"op": "create_order", "success": False, "error": words, "data": {"order_hash": HASH}}
    [answer], cancelled = heard(CODEC, frame, CREATE, cancel())
    assert (answer.outcome, answer.order_reason, cancelled) == (Outcome.REFUSED, reason, [])


@pytest.mark.parametrize("words", ["Internal error", "Try again later", "Something new", "", "filled", "signature"])
def test_any_other_words_refuse_nothing(heard: Hear, words: str) -> None:
    frame = {"op": "cancel_order", "success": False, "error": words, "data": {"order_hash": HASH}}
    [[answer]] = heard(CODEC, frame, cancel())
    assert answer.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "frame",
    [
        FRAMES["greeting"]["frame"],
        {"op": "cancel_order", "data": {"order_hash": HASH}},
        {"op": "cancel_order", "success": True, "error": "Order not found", "data": {"order_hash": HASH}},
        {"op": "cancel_order", "success": True, "status": "error", "data": {"order_hash": HASH}},
        {"op": "cancel_order", "success": "true", "data": {"order_hash": HASH}},
        {"op": "cancel_order", "success": 1, "data": {"order_hash": HASH}},
        {"op": "cancel_order", "status": "pending", "data": {"order_hash": HASH}},
        {"op": "cancel_order", "success": True, "data": {"order_hash": OTHER}},
        {"op": "create_order", "success": True, "data": {"order_hash": HASH}},
        {"op": "subscribe", "success": True},
        {"status": "ok", "timestamp": 5},
        [{"op": "cancel_order", "success": True, "data": {"order_hash": HASH}}],
        "cancelled",
        None,
        True,
        5,
    ],
    ids=json.dumps,
)
def test_a_frame_without_a_clear_verdict_on_this_cancel_settles_nothing(heard: Hear, frame: Any) -> None:
    assert heard(CODEC, frame, cancel()) == [[]]


def test_a_verdict_that_names_neither_verb_nor_hash_is_for_the_only_request(heard: Hear) -> None:
    assert [answer.outcome for answer in heard(CODEC, {"success": True}, cancel())[0]] == [Outcome.CONFIRMED]
    refusal = {"success": False, "error": "Invalid signature"}
    assert [answer.outcome for answer in heard(CODEC, refusal, CREATE)[0]] == [Outcome.REFUSED]
    for frame in ({"success": True}, refusal):
        assert heard(CODEC, frame, cancel(), cancel(OTHER)) == heard(CODEC, frame, cancel(), CREATE) == [[], []]


@pytest.mark.parametrize("order_hash", [HASH[:-1], HASH + "0", 5, None, [HASH]])
def test_a_hash_that_is_none_names_nothing(heard: Hear, order_hash: Any) -> None:
    frame = {"op": "cancel_order", "success": True, "data": {"order_hash": order_hash}}
    assert heard(CODEC, frame, cancel(), cancel(OTHER)) == [[], []]


# -- reading orders back


def listed(frame: Any, status: int = 200) -> list[Item]:
    wire = LISTER.list_orders(NOW)
    body = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
    return read(LISTER, Frame(body=body, wire=wire, status=status), NOW)


def row(**changes: Any) -> Execution:
    [page] = listed({"success": True, "data": [FRAMES["orders"]["frame"]["data"][0] | changes]})
    assert isinstance(page, Snapshot)
    [execution] = page.rows
    return execution


def test_the_orders_of_the_wallet_are_asked_for_only_where_there_is_an_address() -> None:
    wire = LISTER.list_orders(NOW)
    assert wire is not None
    assert (wire.method, wire.path, wire.effect) == ("GET", f"/api/orders?user={SIGNER.address}", Effect.READ)
    assert CODEC.list_orders(NOW) is None


def test_the_documented_row_in_units_of_1e_8() -> None:
    order = row()
    assert (order.order_id, order.symbol, order.type, order.side) == (HASH, "btcusd", OrderType.LIMIT, "buy")
    assert (order.quantity, order.price, order.leaves_quantity) == (Decimal(10), Decimal(100000), Decimal(10))
    assert (order.status, order.at) == (OrdStatus.NEW, datetime(2024, 5, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("closed", "remaining", "status"),
    [
        (False, "1000000000", OrdStatus.NEW),
        (False, "1", OrdStatus.PARTIALLY_FILLED),
        (True, "0", OrdStatus.FILLED),
        (True, "1000000000", OrdStatus.CANCELED),
        (True, "1", OrdStatus.CANCELED),
    ],
)
def test_the_status_that_a_row_implies(closed: bool, remaining: str, status: OrdStatus) -> None:
    assert row(closed=closed, remaining_amount=remaining).status is status


@pytest.mark.parametrize(
    ("stop", "is_market", "kind"),
    [
        (True, True, OrderType.STOP),
        (True, False, OrderType.STOP_LIMIT),
        (False, True, OrderType.MARKET),
        (False, False, OrderType.LIMIT),
    ],
)
def test_the_type_that_a_row_implies(stop: bool, is_market: bool, kind: OrderType) -> None:
    order = row(stop=stop, is_market=is_market, stop_price="9000000000000")
    assert (order.type, order.stop_price) == (kind, Decimal(90000) if stop else None)


@pytest.mark.parametrize("bad", ["1.5", "-1", "1e9", "", "\u0661", "9" * 41, 10, None])
def test_an_amount_that_is_no_fixed_point_integer(bad: Any) -> None:
    with pytest.raises(Garbled):
        row(remaining_amount=bad)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"success":true}', b'{"success":true,"data":null}'])
def test_a_list_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(Garbled):
        listed(body)


@pytest.mark.parametrize(
    ("frame", "status"), [({"success": False, "data": []}, 200), ({"success": True, "data": []}, 500), (b"<html>", 403)]
)
def test_a_list_that_is_refused_is_no_empty_list(frame: Any, status: int) -> None:
    [answer] = listed(frame, status)
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.UNKNOWN
