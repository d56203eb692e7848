"""The QFEX codec against the documented frames: bytes in, items out, no socket."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.qfex.codec import SPEC, QfexCodec, signature
from router import Cancel, CxlRejReason, ExecType, IdKind, Order, OrderState, OrdStatus, Origin, Outcome, Replace
from router.errors import CannotExpress
from router.venue import Answer, Command, Effect, Execution, Frame, Item, Retry, Snapshot, Wire, read

NOW = 1_760_545_414.75
ENTROPY = bytes(range(16))
FRAMES = json.loads((Path(__file__).parents[1] / "data" / "frames" / "qfex.json").read_text())
CODEC = QfexCodec(public_key="qfex_pub_x", secret_key="qfex_secret_test")
ID = "5b309929-206f-40ec-804d-cbe46e81afc1"
STOP_ID = "510333ac-3b1b-4f0e-9d3c-6d2a5f1c7e10"
TWAP_ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
ONE = Decimal(1)
Hear = Callable[..., list[list[Answer]]]


def sample(name: str, **changes: Any) -> Any:
    """A documented frame, with fields of its body changed."""
    frame = FRAMES[name]["frame"]
    if not changes:
        return frame
    [(key, body)] = frame.items()
    return {key: body | changes}


def items(frame: Any) -> list[Item]:
    return read(CODEC, Frame(body=frame if isinstance(frame, bytes) else json.dumps(frame).encode()), NOW)


def executions(frame: Any) -> list[Execution]:
    return [item for item in items(frame) if isinstance(item, Execution)]


def numbers(body: bytes) -> Any:
    """JSON with every number as ("number", its text)."""
    mark = lambda text: ("number", text)  # noqa: E731 - one expression, used twice
    return json.loads(body, parse_float=mark, parse_int=mark)


def number(text: str) -> tuple[str, str]:
    return "number", text


def limit(**changes: Any) -> Order:
    fields = {"quantity": "1", "price": "200", "client_order_id": "my-order-001"} | changes
    return Order("qfex", "AAPL-USD", "buy", "limit", **fields)


def stop(**changes: Any) -> Order:
    fields = {"quantity": "1", "stop_price": "190", "client_order_id": "my-stop-001"} | changes
    return Order("qfex", "AAPL-USD", "sell", "stop", **fields)


def twap(**options: Any) -> Order:
    options = {"num_orders": 5, "order_interval_secs": 30} | options
    return Order("qfex", "AAPL-USD", "buy", "twap", "10", client_order_id="my-twap-001", options=options)


def cancel(order_id: str = ID, kind: IdKind = IdKind.ORDER) -> Cancel:
    return Cancel("qfex", order_id, kind, "AAPL-USD")


def replace(**changes: Any) -> Replace:
    order = Order("qfex", "AAPL-USD", "buy", "limit", "1", "200")
    known = OrderState(
        venue="qfex",
        order_id=ID,
        symbol="AAPL-USD",
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        price=order.price,
        reduce_only=False,
    )
    return Replace(target=cancel(), known=known, **{name: Decimal(value) for name, value in changes.items()})


def wire(command: Command) -> Wire:
    return CODEC.encode(command, NOW)


ADD, CANCEL, MODIFY = wire(limit()), wire(cancel()), wire(replace(price="201.5", quantity="2"))


# -- login


@pytest.mark.parametrize(
    ("secret", "nonce", "unix_ts", "expected"),
    [
        ("qfex_secret_test", "c0ffee", 1760545414, "9a892254ce0416371a78a4352130b7825a2f5fb442b12ddfa7c2f5202ef045dc"),
        (
            "qfex_secret_yyyyyy",
            "c0ffee",
            1760545414,
            "222adbb0993646affe345a15f3c5b45e7123d4ff2c38dc4245c81ffb24c66d64",
        ),
        ("secret", "abc123", 1234, "0e5775c636eaa528850bc56cd8872fa7f6cc41aea8bc99a2ad51f255fe6f40a7"),
        ("secret-key", "abc123", 1700000000, "7cdac5f5aeb21825b4fe5d61abd475250114fc26a8a1ecf4fca9915f57e7e220"),
    ],
)
def test_the_published_signatures(secret: str, nonce: str, unix_ts: int, expected: str) -> None:
    assert signature(secret, nonce, unix_ts) == expected


def test_hello_signs_subscribes_and_asks_for_nothing_else() -> None:
    auth, *rest = [numbers(each.body) for each in CODEC.hello(NOW, ENTROPY)]
    proof = auth["params"].pop("hmac")
    assert auth == {"type": "auth", "params": {}}
    signed = hmac.new(b"qfex_secret_test", f"{ENTROPY.hex()}:1760545414".encode(), hashlib.sha256).hexdigest()
    assert proof == {
        "public_key": "qfex_pub_x",
        "nonce": ENTROPY.hex(),
        "unix_ts": number("1760545414"),
        "signature": signed,
    }
    assert rest == [
        {"type": "subscribe", "params": {"channels": ["order_responses"]}},
        {"type": "subscribe", "params": {"channels": ["fills"]}},
    ]


def test_hello_with_a_token_for_a_sub_account_that_cancels_on_disconnect() -> None:
    codec = QfexCodec(jwt="eyJx.y.z", account_id="sub", cancel_on_disconnect=True)
    auth, *_, last = [json.loads(each.body) for each in codec.hello(NOW, ENTROPY)]
    assert auth == {"type": "auth", "params": {"jwt": "eyJx.y.z", "account_id": "sub"}}
    assert last == {"type": "cancel_on_disconnect", "params": {"cancel_on_disconnect": True}}


@pytest.mark.parametrize(
    "frame",
    [
        sample("authenticated"),
        sample("auth success"),
        {"authenticated": {"account_id": "x"}},
        {"authenticated": "true"},
        {"type": "authenticated"},
        {"authenticated_response": {"account_id": "x"}},
        {"status": "ok"},
        {"status": "authenticated"},
        {"err": {"error_code": "AlreadyAuthenticated", "message": None}},
    ],
    ids=json.dumps,
)
def test_every_reported_yes_to_a_login(heard: Hear, frame: Any) -> None:
    login = next(iter(CODEC.hello(NOW, ENTROPY)))
    [[answer]] = heard(CODEC, frame, login)
    assert (answer.outcome, answer.final) == (Outcome.CONFIRMED, True)


@pytest.mark.parametrize(
    "frame",
    [
        {"authenticated": False},
        {"type": "auth", "result": "failed"},
        {
            "err": {
                "error_code": "PermissionDenied",
                "message": "no",
                "incoming_message": {"type": "auth", "params": {}},
            }
        },
        {"err": {"error_code": "PermissionDenied", "message": "no", "incoming_message": None}},
        {"err": {"error_code": "InvalidParameter"}},
        {"err": {"error_code": "KycRequired"}},
        {"err": {"error_code": "TncRequired"}},
    ],
    ids=json.dumps,
)
def test_every_reported_no_to_a_login(heard: Hear, frame: Any) -> None:
    login = next(iter(CODEC.hello(NOW, ENTROPY)))
    [[answer]] = heard(CODEC, frame, login)
    assert answer.outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    "frame", [{"authenticated": None}, {"type": "auth"}, {"type": "auth", "result": "pending"}, {}]
)
def test_what_is_neither_yes_nor_no_answers_no_login(heard: Hear, frame: Any) -> None:
    assert heard(CODEC, frame, next(iter(CODEC.hello(NOW, ENTROPY)))) == [[]]


def test_a_subscription_is_confirmed_by_its_own_name(heard: Hear) -> None:
    _, orders, fills = CODEC.hello(NOW, ENTROPY)
    assert [len(answers) for answers in heard(CODEC, sample("subscribed"), orders, fills)] == [1, 0]


# -- what we send


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            limit(quantity="10", price="150.5"),
            {
                "order_type": "LIMIT",
                "order_time_in_force": "GTC",
                "quantity": number("10"),
                "price": number("150.5"),
                "client_order_id": "my-order-001",
            },
        ),
        (limit(quantity="1E+3"), {"quantity": number("1000")}),
        (limit(quantity="0.00000001", price="1E-7"), {"quantity": number("0.00000001"), "price": number("0.0000001")}),
        (limit(quantity="12345678901234567890.123456789"), {"quantity": number("12345678901234567890.123456789")}),
        (limit(post_only=True), {"order_type": "ALO", "order_time_in_force": "GTC"}),
        (limit(time_in_force="ioc"), {"order_time_in_force": "IOC"}),
        (limit(time_in_force="fok"), {"order_time_in_force": "FOK"}),
        (
            limit(options={"take_profit": Decimal("1E+3"), "stop_loss": "0.00000001"}),
            {"take_profit": number("1000"), "stop_loss": number("0.00000001")},
        ),
        (stop(), {"order_type": "STOP_LOSS", "side": "SELL", "price": number("190"), "client_order_id": "my-stop-001"}),
        (limit(quantity="2E+2", price="1.9E+2"), {"quantity": number("200"), "price": number("190")}),
        (
            Order("qfex", "AAPL-USD", "sell", "take_profit", 2, stop_price=210, client_order_id="c", reduce_only=True),
            {"order_type": "TAKE_PROFIT", "side": "SELL", "price": number("210"), "quantity": number("2"), "reduce_only": True, "client_order_id": "c"},
        ),
        (
            Order("qfex", "AAPL-USD", "buy", "market", "0.5", client_order_id="c"),
            {"order_type": "MARKET", "order_time_in_force": "IOC", "price": number("0"), "quantity": number("0.5"), "client_order_id": "c"},
        ),
    ],
)  # fmt: skip
def test_add_order(command: Order, expected: dict[str, Any]) -> None:
    usual = {
        "symbol": "AAPL-USD",
        "side": "BUY",
        "order_type": "LIMIT",
        "order_time_in_force": "GTC",
        "quantity": number("1"),
        "price": number("200"),
        "client_order_id": "my-order-001",
        "reduce_only": False,
    }
    assert numbers(wire(command).body) == {"type": "add_order", "params": usual | expected}
    assert wire(command).effect is Effect.ONCE


def test_add_twap() -> None:
    expected = {
        "symbol": "AAPL-USD",
        "side": "BUY",
        "total_quantity": number("10"),
        "num_orders": number("5"),
        "order_interval_secs": number("30"),
        "reduce_only": False,
        "client_twap_id": "my-twap-001",
        "start_time": number("1760545414.5"),
        "worst_price": number("1000"),
    }
    encoded = wire(twap(start_time="1760545414.5", worst_price=Decimal("1E+3")))
    assert numbers(encoded.body) == {"type": "add_twap", "params": expected}
    assert encoded.effect is Effect.ONCE


@pytest.mark.parametrize(
    ("kind", "mode", "effect"),
    [
        (IdKind.ORDER, "order_id", Effect.IDEMPOTENT),
        (IdKind.CLIENT_ORDER, "client_order_id", Effect.ONCE),
        (IdKind.TWAP, "twap_id", Effect.IDEMPOTENT),
        (IdKind.CLIENT_TWAP, "client_twap_id", Effect.ONCE),
    ],
)
def test_cancel_order_in_all_four_id_types(kind: IdKind, mode: str, effect: Effect) -> None:
    encoded = wire(cancel("some-id", kind))
    params = {"symbol": "AAPL-USD", "order_id": "some-id", "cancel_order_id_type": mode}
    assert (json.loads(encoded.body), encoded.effect) == ({"type": "cancel_order", "params": params}, effect)


def test_cancel_stop_order_names_the_stop_alone() -> None:
    encoded = wire(cancel(STOP_ID, IdKind.STOP_ORDER))
    assert json.loads(encoded.body) == {"type": "cancel_stop_order", "params": {"stop_order_id": STOP_ID}}
    assert encoded.effect is Effect.IDEMPOTENT


def test_modify_order() -> None:
    expected = {
        "symbol": "AAPL-USD",
        "order_id": ID,
        "side": "BUY",
        "order_type": "LIMIT",
        "reduce_only": False,
        "quantity": number("3000"),
    }
    encoded = wire(replace(quantity="3E+3"))
    assert numbers(encoded.body) == {"type": "modify_order", "params": expected}
    assert encoded.effect is Effect.ONCE


def test_modify_stop_order() -> None:
    order = stop()
    known = OrderState(venue="qfex", order_id=STOP_ID, kind=IdKind.STOP_ORDER, symbol="AAPL-USD", side=order.side, type=order.type, quantity=order.quantity, stop_price=order.stop_price)  # fmt: skip
    change = Replace(target=cancel(STOP_ID, IdKind.STOP_ORDER), known=known, stop_price=Decimal("189.5"))
    expected = {
        "stop_order_id": STOP_ID,
        "symbol": "AAPL-USD",
        "side": "SELL",
        "order_type": "STOP_LOSS",
        "price": number("189.5"),
        "quantity": number("1"),
    }
    assert numbers(wire(change).body) == {"type": "modify_stop_order", "params": expected}


def test_the_queries() -> None:
    first, second = CODEC.list_orders(NOW), CODEC.list_orders(NOW, "499")
    assert json.loads(first.body)["type"] == "get_user_orders"
    assert [json.loads(page.body)["params"]["offset"] for page in (first, second)] == [0, 499]
    one = CODEC.lookup(cancel(), NOW)
    assert one is not None
    assert json.loads(one.body) == {"type": "get_order", "params": {"symbol": "AAPL-USD", "order_id": ID}}
    assert {first.effect, second.effect, one.effect} == {Effect.READ}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (Order("qfex", "AAPL-USD", "buy", "stop_limit", "1", "200", "190"), "stop_limit"),
        (limit(time_in_force="day"), "day"),
        (limit(time_in_force="gtd", expires_at=datetime(2027, 1, 1, tzinfo=UTC)), "gtd"),
        (limit(time_in_force="ioc", post_only=True), "ioc"),
        (Order("qfex", "AAPL-USD", "buy", "market", "1", time_in_force="gtc"), "gtc"),
        (limit(options={"leverage": 3}), "leverage"),
        (limit(options={"take_profit": 1.5}), "1.5"),
        (limit(options={"take_profit": True}), "True"),
        (limit(options={"take_profit": None}), "None"),
        (limit(options={"stop_loss": "abc"}), "abc"),
        (limit(options={"stop_loss": "NaN"}), "NaN"),
        (limit(options={"stop_loss": "-1"}), "-1"),
        (limit(options={"stop_loss": "1e999999"}), "1e999999"),
        (Order("qfex", "AAPL-USD", "buy", "twap", "10"), "num_orders"),
        (twap(num_orders=1), "num_orders"),
        (twap(num_orders=True), "num_orders"),
        (twap(num_orders="5"), "num_orders"),
        (twap(order_interval_secs=29), "order_interval_secs"),
        (twap(order_interval_secs=30.5), "order_interval_secs"),
        (twap(worst_price=1.5), "worst_price"),
        (twap(take_profit=1), "take_profit"),
        (replace(stop_price="1"), "stop_price"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_this_venue_has_no_words_for(command: Command, said: str) -> None:
    with pytest.raises(CannotExpress, match="qfex") as caught:
        CODEC.encode(command, NOW)
    assert said in str(caught.value)


def test_a_twap_takes_no_time_in_force() -> None:
    order = Order("qfex", "AAPL-USD", "buy", "twap", "10", time_in_force="ioc", options={"num_orders": 5, "order_interval_secs": 30})  # fmt: skip
    with pytest.raises(CannotExpress, match="ioc"):
        CODEC.encode(order, NOW)


def test_no_secret_in_the_repr() -> None:
    codec = QfexCodec(public_key="p", secret_key="qfex_secret_abcdef", jwt="eyJ.abc.def")
    assert "abcdef" not in repr(codec)
    assert "eyJ" not in repr(codec)
    assert all(
        "qfex_secret" not in repr(each) and each.body.decode() not in repr(each) for each in codec.hello(NOW, ENTROPY)
    )
    assert SPEC.url == "wss://trade.qfex.com/"


# -- order_response, one status class after the other


def test_the_documented_ack_is_read_exactly() -> None:
    [execution] = executions(sample("order_response ACK"))
    assert (execution.exec_type, execution.status, execution.order_id) == (ExecType.NEW, OrdStatus.NEW, ID)
    assert (execution.symbol, execution.side, execution.type) == ("AAPL-USD", "buy", "limit")
    assert (execution.quantity, execution.price, execution.leaves_quantity) == (ONE, 200 * ONE, ONE)
    assert (execution.client_order_id, execution.trade_id, execution.stop_price) == (None, None, None)


@pytest.mark.parametrize(
    "status", ["ACK", "MODIFIED", "FILLED", "FILLED_SOMEHOW", "cancelled", "EXPIRED", "NOT_FOUND", ""]
)
def test_an_open_or_unknown_status_never_answers_a_cancel(heard: Hear, status: str) -> None:
    frame = sample("order_response ACK", status=status, quantity_remaining=0.5)
    by_client = wire(cancel("my-order-001", IdKind.CLIENT_ORDER))
    named = sample("order_response ACK", status=status, quantity_remaining=0.5, client_order_id="my-order-001")
    outcomes = {answer.outcome for answers in heard(CODEC, frame, CANCEL) + heard(CODEC, named, CANCEL, by_client) for answer in answers}  # fmt: skip
    assert not outcomes & {Outcome.CONFIRMED, Outcome.REFUSED}


@pytest.mark.parametrize("status", ["FILLED_SOMEHOW", "EXPIRED", "NOT_FOUND", "REJECTED_FOR_A_NEW_REASON", "ack", ""])
def test_an_unknown_status_confirms_and_refuses_nothing(heard: Hear, status: str) -> None:
    frame = sample("order_response ACK", status=status, client_order_id="my-order-001")
    for request in (ADD, CANCEL, MODIFY):
        [answers] = heard(CODEC, frame, request)
        assert {answer.outcome for answer in answers} <= {Outcome.UNKNOWN, None}
    assert all(item.status is None or not item.status.is_terminal for item in executions(frame))


def test_an_ack_confirms_the_add_with_its_client_id_and_no_other(heard: Hear) -> None:
    other = wire(limit(client_order_id="other"))
    frame = sample("order_response ACK", client_order_id="my-order-001")
    theirs, [mine], *rest = heard(CODEC, frame, other, ADD, CANCEL, MODIFY)
    assert (mine.outcome, mine.order_id) == (Outcome.CONFIRMED, ID)
    assert [theirs, *rest] == [[], [], []]


def test_an_empty_client_id_is_matched_by_shape_with_1_0_as_1(heard: Hear) -> None:
    different = wire(stop(quantity="2", client_order_id="other"))
    theirs, [mine] = heard(CODEC, sample("stop ACK"), different, wire(stop()))
    assert (theirs, mine.outcome, mine.order_id, mine.kind) == ([], Outcome.CONFIRMED, STOP_ID, IdKind.STOP_ORDER)


def test_the_same_shape_with_another_client_id_is_a_strangers(heard: Hear) -> None:
    assert heard(CODEC, sample("stop ACK", client_order_id="stranger"), wire(stop())) == [[]]


@pytest.mark.parametrize("frame_id", [ID, "8f14e45f-ceea-467f-a8a5-0d4d6f5a2b11"])
def test_modified_confirms_the_modify_by_id_or_by_shape(heard: Hear, frame_id: str) -> None:
    [confirmed], add, cancelled = heard(
        CODEC, sample("order_response MODIFIED", order_id=frame_id), MODIFY, ADD, CANCEL
    )
    assert (confirmed.outcome, add, cancelled) == (Outcome.CONFIRMED, [], [])


def test_a_partial_fill_confirms_the_add_and_leaves_the_cancel_waiting(heard: Hear) -> None:
    frame = sample("order_response FILLED in part", client_order_id="my-order-001")
    [added], cancelled = heard(CODEC, frame, ADD, CANCEL)
    assert (added.outcome, cancelled) == (Outcome.CONFIRMED, [])
    assert [item.status for item in executions(frame)] == [OrdStatus.PARTIALLY_FILLED]


@pytest.mark.parametrize("name", ["order_response FILLED", "fill_response"])
def test_filled_with_nothing_left_refuses_every_cancel_of_the_order(heard: Hear, name: str) -> None:
    [body] = sample(name).values()
    two = [wire(cancel(body["order_id"])), wire(cancel(body["order_id"]))]
    first, second, stranger = heard(CODEC, sample(name), *two, wire(cancel("other")))
    assert {(answer.outcome, answer.cancel_reason) for answer in first + second} == {
        (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)
    }
    assert (len(first), len(second), stranger) == (1, 1, [])


@pytest.mark.parametrize("status", ["CANCELLED", "CANCELLED_STP", "IOC_PARTIALLY_FILLED", "IOC_CANCELLED"])
def test_an_ended_order_confirms_every_cancel_of_it(heard: Hear, status: str) -> None:
    frame = sample("order_response CANCELLED", status=status)
    stranger = wire(cancel("other"))
    one, two, three = heard(CODEC, frame, CANCEL, wire(cancel()), stranger)
    assert [answer.outcome for answer in one + two] == [Outcome.CONFIRMED, Outcome.CONFIRMED]
    assert three == []
    [execution] = executions(frame)
    assert (execution.exec_type, execution.status) == (ExecType.CANCELED, OrdStatus.CANCELED)
    assert (execution.cum_quantity, execution.leaves_quantity) == (None, None)
    assert execution.origin is (Origin.VENUE if status == "CANCELLED_STP" else None)


def test_a_cancelled_order_is_a_part_of_the_cancel_by_its_client_id(heard: Hear) -> None:
    by_client = wire(cancel("my-order-001", IdKind.CLIENT_ORDER))
    [part] = heard(CODEC, sample("order_response CANCELLED", client_order_id="my-order-001"), by_client)[0]
    assert (part.outcome, part.final, part.order_id) == (Outcome.CONFIRMED, False, ID)
    elsewhere = sample("order_response CANCELLED", client_order_id="my-order-001", symbol="GOLD-USD")
    assert heard(CODEC, elsewhere, by_client) == [[]]


def test_the_documented_stop_cancel_confirms(heard: Hear) -> None:
    [[answer]] = heard(CODEC, sample("stop CANCELLED"), wire(cancel(STOP_ID, IdKind.STOP_ORDER)))
    assert (answer.outcome, answer.final, answer.kind) == (Outcome.CONFIRMED, True, IdKind.STOP_ORDER)
    [execution] = executions(sample("stop CANCELLED"))
    assert (execution.quantity, execution.cum_quantity, execution.status) == (None, None, OrdStatus.CANCELED)


REJECTS = [
    "REJECTED",
    "INVALID_ORDER_TYPE",
    "BAD_SYMBOL",
    "PRICE_LESS_THAN_MIN_PRICE",
    "PRICE_GREATER_THAN_MAX_PRICE",
    "FAILED_MARGIN_CHECK",
    "INVALID_TICK_SIZE_PRECISION_PRICE",
    "INVALID_TICK_SIZE_PRECISION_QUANTITY",
    "QUANTITY_LESS_THAN_MIN_QUANTITY",
    "QUANTITY_GREATER_THAN_MAX_QUANTITY",
    "REJECTED_GREATER_THAN_MAX_PRICE_BAND",
    "REJECTED_LESS_THAN_MIN_PRICE_BAND",
    "INVALID_TIME_IN_FORCE",
    "REJECTED_WOULD_BREACH_MAX_POSITION",
    "REJECTED_WOULD_BREACH_MAX_NOTIONAL",
    "REJECTED_MARKET_CLOSED",
    "REJECTED_FAILED_TO_PROCESS",
    "INVALID_TAKEPROFIT_PRICE",
    "INVALID_STOPLOSS_PRICE",
    "INVALID_TAKE_PROFIT_PRICE",
    "INVALID_STOP_LOSS_PRICE",
    "RATE_LIMITED",
    "REJECTED_TOO_MANY_OPEN_ORDERS",
    "REJECTED_OPEN_INTEREST_LIMIT",
    "REJECTED_TOTAL_OPEN_INTEREST_LIMIT",
    "REJECTED_LESS_THAN_MIN_NOTIONAL",
    "USER_IN_LIQUIDATION",
    "PERMISSION_DENIED",
]


@pytest.mark.parametrize("status", REJECTS)
def test_a_reject_refuses_the_add(heard: Hear, status: str) -> None:
    frame = sample("order_response ACK", status=status, client_order_id="my-order-001")
    [[answer]] = heard(CODEC, frame, ADD)
    assert (answer.outcome, answer.text) == (Outcome.REFUSED, status)
    assert answer.retry is (Retry.LATER if status == "RATE_LIMITED" else None)


@pytest.mark.parametrize(
    "status", ["CANNOT_MODIFY_PARTIAL_FILL", "CANNOT_MODIFY_NO_SUCH_ORDER", "CANNOT_MODIFY_ALO_WOULD_CROSS"]
)
def test_a_modify_reject_refuses_the_modify_alone(heard: Hear, status: str) -> None:
    [answer], add, cancelled = heard(CODEC, sample("order_response ACK", status=status), MODIFY, ADD, CANCEL)
    assert (answer.outcome, add, cancelled) == (Outcome.REFUSED, [], [])
    assert executions(sample("order_response ACK", status=status)) == []


def test_no_such_order_refuses_the_oldest_cancel_of_that_id(heard: Hear) -> None:
    frame = sample("order_response NO_SUCH_ORDER")
    [answer], younger, stranger = heard(CODEC, frame, CANCEL, wire(cancel()), wire(cancel("other")))
    assert (answer.outcome, answer.cancel_reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)
    assert (younger, stranger) == ([], [])


@pytest.mark.parametrize("field", ["client_order_id", "order_id"])
def test_no_such_order_of_a_client_id_wherever_the_venue_puts_it(heard: Hear, field: str) -> None:
    by_client = wire(cancel("my-order-001", IdKind.CLIENT_ORDER))
    [[answer]] = heard(CODEC, sample("order_response NO_SUCH_ORDER", **{field: "my-order-001"}), by_client)
    assert (answer.outcome, answer.cancel_reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)


@pytest.mark.parametrize("request_", [CANCEL, MODIFY], ids=["cancel", "modify"])
def test_rejected_goes_to_whatever_of_that_id_is_outstanding(heard: Hear, request_: Wire) -> None:
    frame = sample("order_response ACK", status="REJECTED", client_order_id="my-order-001")
    add, [answer] = heard(CODEC, frame, ADD, request_)
    assert (add, answer.outcome) == ([], Outcome.REFUSED)


def test_rejected_settles_nothing_when_the_verb_cannot_be_told(heard: Hear) -> None:
    assert heard(CODEC, sample("order_response ACK", status="REJECTED"), CANCEL, MODIFY) == [[], []]


def test_a_strangers_reject_settles_nothing(heard: Hear) -> None:
    frame = sample("order_response ACK", status="REJECTED", order_id="stranger", client_order_id="stranger")
    assert heard(CODEC, frame, ADD, CANCEL, MODIFY) == [[], [], []]


# -- the other frames


def test_the_documented_fill() -> None:
    [trade] = executions(sample("fill_response"))
    assert (trade.exec_type, trade.status) == (ExecType.TRADE, OrdStatus.FILLED)
    assert (trade.last_quantity, trade.last_price) == (Decimal("0.004"), Decimal(25242))
    assert (trade.trade_id, trade.client_order_id) == ("b2d3f0a4-7f0c-4e8b-9c57-0b1f3f6f9f11", "my-fill-001")
    assert trade.at is not None
    assert trade.at.replace(microsecond=0) == datetime(2026, 1, 26, 15, 0, 42, tzinfo=UTC)


def test_a_fill_without_what_remains_says_nothing_of_the_status() -> None:
    body = {
        name: value for name, value in sample("fill_response")["fill_response"].items() if name != "remaining_quantity"
    }
    [trade] = executions({"fill_response": body})
    assert (trade.status, trade.leaves_quantity) == (None, None)


def test_numbers_as_text_are_read_too() -> None:
    [execution] = executions(sample("order_response ACK", quantity="0.10", price="200.00", quantity_remaining="0.1"))
    assert (execution.quantity, execution.price, execution.leaves_quantity) == (
        Decimal("0.1"),
        200 * ONE,
        Decimal("0.1"),
    )


def test_numbers_are_read_as_they_stand_and_not_through_a_float() -> None:
    body = json.dumps(sample("order_response ACK")).replace('"price": 200.0', '"price": 0.1000000000000000055511151')
    [execution] = executions(body.encode())
    assert execution.price == Decimal("0.1000000000000000055511151")


@pytest.mark.parametrize("echo", ["object", "text"])
def test_an_ack_is_a_receipt_for_the_request_that_it_repeats(heard: Hear, echo: str) -> None:
    message = sample("ack")["ack"]["incoming_message"]
    frame = {"ack": {"incoming_message": message if echo == "object" else json.dumps(message)}}
    [receipt], other = heard(
        CODEC, frame, wire(cancel(STOP_ID, IdKind.STOP_ORDER)), wire(cancel("x", IdKind.STOP_ORDER))
    )
    assert (receipt.outcome, receipt.final, other) == (None, False, [])


@pytest.mark.parametrize(
    "frame", [{"ack_response": True}, {"ack": {"incoming_message": None}}, {"ack": {}}], ids=json.dumps
)
def test_a_bare_ack_is_a_receipt_for_the_only_request(heard: Hear, frame: Any) -> None:
    stopped = wire(cancel(STOP_ID, IdKind.STOP_ORDER))
    [[receipt]] = heard(CODEC, frame, stopped)
    assert (receipt.outcome, receipt.final) == (None, False)
    assert heard(CODEC, frame, stopped, CANCEL) == [[], []]


def test_ack_response_false_says_nothing(heard: Hear) -> None:
    assert heard(CODEC, {"ack_response": False}, CANCEL) == [[]]


def test_the_documented_err_with_its_defaults_filled_and_its_ints_as_floats(heard: Hear) -> None:
    order = Order("qfex", "AAPL", "buy", "limit", "10", "200", client_order_id="my-order-001")
    same_shape = Order("qfex", "AAPL", "buy", "limit", "10", "200", client_order_id="my-order-002")
    other, [answer] = heard(CODEC, sample("err"), wire(same_shape), wire(order))
    assert (other, answer.outcome, answer.retry) == ([], Outcome.REFUSED, Retry.LATER)
    assert "You have exceeded the allowed message rate." in answer.text


def err(code: str, echo: Any = "absent") -> Any:
    body: dict[str, Any] = {"error_code": code, "message": "words"}
    return {"err": body if echo == "absent" else body | {"incoming_message": echo}}


ECHO = json.loads(CANCEL.body)


@pytest.mark.parametrize("echo", [ECHO, json.dumps(ECHO)], ids=["object", "text"])
def test_an_err_is_for_the_request_that_it_repeats(heard: Hear, echo: Any) -> None:
    other, [answer] = heard(CODEC, err("InvalidParameter", echo), ADD, CANCEL)
    assert (other, answer.outcome, "words" in answer.text) == ([], Outcome.REFUSED, True)


@pytest.mark.parametrize("echo", [None, "absent", "not json {", "[]", 5], ids=str)
def test_a_nameless_err_is_for_the_only_request(heard: Hear, echo: Any) -> None:
    [[answer]] = heard(CODEC, err("InvalidParameter", echo), CANCEL)
    assert answer.outcome is Outcome.REFUSED
    assert heard(CODEC, err("InvalidParameter", echo), CANCEL, ADD) == [[], []]


def test_an_err_that_repeats_a_strangers_request_settles_nothing_even_of_the_only_one(heard: Hear) -> None:
    stranger = {"type": "cancel_order", "params": ECHO["params"] | {"order_id": "stranger"}}
    assert heard(CODEC, err("InvalidParameter", stranger), CANCEL) == [[]]
    assert heard(CODEC, err("InvalidParameter", {"type": "set_user_leverage", "params": {}}), CANCEL) == [[]]


def test_an_err_of_an_order_with_another_client_id_is_not_matched_by_shape(heard: Hear) -> None:
    echo = json.loads(wire(limit(client_order_id="settled-before")).body)
    assert heard(CODEC, err("InvalidOrder", echo), ADD) == [[]]
    assert heard(CODEC, {"ack": {"incoming_message": echo}}, ADD) == [[]]


def test_an_err_of_a_modify_of_another_order_is_not_matched_by_shape(heard: Hear) -> None:
    message = json.loads(MODIFY.body)
    echo = message | {"params": message["params"] | {"order_id": "another"}}
    assert heard(CODEC, err("InvalidOrder", echo), MODIFY) == [[]]


@pytest.mark.parametrize("kind", ["error", "Err"])
def test_the_obsolete_errs(heard: Hear, kind: str) -> None:
    frame = {"type": kind, "error_code": "InvalidOrder", "message": "words", "incoming_message": ECHO}
    other, [answer] = heard(CODEC, frame, ADD, CANCEL)
    assert (other, answer.outcome) == ([], Outcome.REFUSED)
    bare = {"type": kind, "error_code": "InvalidOrder"}
    assert [answer.outcome for answer in heard(CODEC, bare, CANCEL)[0]] == [Outcome.REFUSED]


@pytest.mark.parametrize(
    "code",
    [
        "InvalidJSONFormat",
        "InvalidParameter",
        "PermissionDenied",
        "InvalidOrder",
        "InvalidPrice",
        "KycRequired",
        "TncRequired",
    ],
)
def test_the_codes_that_refuse(heard: Hear, code: str) -> None:
    [[answer]] = heard(CODEC, err(code, ECHO), CANCEL)
    assert (answer.outcome, answer.retry) == (Outcome.REFUSED, None)


@pytest.mark.parametrize("code", ["ServerError", "BrandNew", "", "invalidparameter", "NO_SUCH_ORDER"])
def test_the_codes_that_leave_it_open(heard: Hear, code: str) -> None:
    [[answer]] = heard(CODEC, err(code, ECHO), CANCEL)
    assert answer.outcome is Outcome.UNKNOWN


def test_a_twap_response_confirms_the_add_and_is_a_receipt_for_cancels(heard: Hear) -> None:
    by_id, by_client = wire(cancel(TWAP_ID, IdKind.TWAP)), wire(cancel("my-twap-001", IdKind.CLIENT_TWAP))
    other = wire(cancel("other", IdKind.TWAP))
    [added], one, two, three = heard(CODEC, sample("twap_response"), wire(twap()), by_id, by_client, other)
    assert (added.outcome, added.order_id, added.kind) == (Outcome.CONFIRMED, TWAP_ID, IdKind.TWAP)
    assert [(answer.outcome, answer.final) for answer in one + two] == [(None, False)] * 2
    assert three == []


@pytest.mark.parametrize("status", ["REJECTED", "FAILED_MARGIN_CHECK", "CANCELLED"])
def test_a_twap_status_that_sounds_like_a_refusal_confirms_nothing(heard: Hear, status: str) -> None:
    [[answer]] = heard(CODEC, sample("twap_response", status=status), wire(twap()))
    assert answer.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("client_id", ["my-stop-001", ""])
def test_a_stop_order_response_confirms_the_add_and_is_a_receipt_for_the_cancel(heard: Hear, client_id: str) -> None:
    frame = sample("stop_order_response", client_order_id=client_id)
    [added], [receipt] = heard(CODEC, frame, wire(stop()), wire(cancel(STOP_ID, IdKind.STOP_ORDER)))
    assert (added.outcome, added.order_id, added.kind) == (Outcome.CONFIRMED, STOP_ID, IdKind.STOP_ORDER)
    assert (receipt.outcome, receipt.final) == (None, False)


def snapshot(frame: Any) -> Snapshot:
    [page] = items(frame)
    assert isinstance(page, Snapshot)
    return page


def test_the_open_orders_are_read_with_stops_and_twaps() -> None:
    order, stopped, timed = snapshot(sample("all_orders_response")).rows
    assert (order.order_id, order.kind, order.status, order.quantity) == (ID, IdKind.ORDER, OrdStatus.NEW, ONE)
    assert (stopped.order_id, stopped.kind, stopped.stop_price, stopped.price) == (
        STOP_ID,
        IdKind.STOP_ORDER,
        190 * ONE,
        None,
    )
    assert (timed.order_id, timed.kind, timed.client_order_id) == (TWAP_ID, IdKind.TWAP, "my-twap-001")
    assert {row.exec_type for row in (order, stopped, timed)} == {ExecType.ORDER_STATUS}
    assert order.at is not None
    assert order.at.replace(microsecond=0) == datetime(2025, 9, 18, 15, 19, 30, tzinfo=UTC)


def test_the_older_forms_of_the_list() -> None:
    assert [row.order_id for row in snapshot(sample("all_orders_response with stop_orders")).rows] == [ID, STOP_ID]
    assert [row.order_id for row in snapshot(sample("user_orders")).rows] == [ID]


def test_an_array_says_what_its_messages_say(heard: Hear) -> None:
    [[receipt, done]] = heard(CODEC, sample("array"), wire(cancel(STOP_ID, IdKind.STOP_ORDER)))
    assert (receipt.outcome, done.outcome, done.final) == (None, Outcome.CONFIRMED, True)
    assert items([]) == []


@pytest.mark.parametrize(
    "frame",
    [
        {"position_response": {"symbol": "AAPL-USD", "position": "1"}},
        {"balance_response": {"deposit": 1.0}},
        {"type": "subscribed", "connection_id": "x", "message_id": 1, "channel": "v4_balances", "contents": [{}]},
        {"user_trades_response": []},
        {"user_leverage_response": [{"leverage": "20"}]},
        {"something": "new"},
    ],
    ids=lambda frame: next(iter(frame)),
)
def test_frames_about_other_things_say_nothing_of_orders(heard: Hear, frame: Any) -> None:
    assert heard(CODEC, frame, CANCEL) == [[]]
    assert executions(frame) == []


@pytest.mark.parametrize("name", FRAMES)
def test_every_documented_frame_is_readable_and_names_its_source(name: str) -> None:
    assert isinstance(items(sample(name)), list)
    assert FRAMES[name]["source"].startswith("QFEX")
