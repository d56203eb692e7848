"""The B2TRADER codec against the documented requests and answers: bytes in, items out, no socket."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jwt
import pytest
from attrs import evolve

from adapters.b2trader.codec import SPEC, B2TraderCodec
from router import (
    Cancel,
    CxlRejReason,
    ExecType,
    IdKind,
    Order,
    OrderState,
    OrderType,
    OrdRejReason,
    OrdStatus,
    Outcome,
    Replace,
)
from router.errors import CannotExpress, Garbled
from router.venue import Answer, Effect, Execution, Frame, Item, Renewal, Retry, Via, Wire, read

NOW = 1_755_187_784.5
FRAMES = json.loads((Path(__file__).parents[1] / "data" / "frames" / "b2trader.json").read_text())
ACCOUNT = "67d0456f8c7b1108e4cf5d46"
CODEC = B2TraderCodec(spec=evolve(SPEC, http_url="https://x.example"), account_id=ACCOUNT, offline_token="offline-1")
STOP_ID, ORDER_ID = "01K2MNGAWPMQJ7WGATFSCAS1G4", "01K2PMT0VMJG5B8XBDNZ7FNM1F"
V4 = "application/json; x-api-version=4.0"
LOTS = {"unit": "lots"}


def cancel(kind: IdKind = IdKind.STOP_ORDER, order_id: str | None = None) -> Wire:
    return CODEC.encode(Cancel("xbtfx", order_id or (STOP_ID if kind is IdKind.STOP_ORDER else ORDER_ID), kind), NOW)


def limit(symbol: str = "spot.btc_usdt", **changes: Any) -> Order:
    return Order("xbtfx", symbol, "buy", "limit", **{"quantity": "0.02", "price": "115193.35"} | changes)


def stop(symbol: str = "spot.btc_usdt", **changes: Any) -> Order:
    return Order("xbtfx", symbol, "buy", "stop", **{"quantity": "0.01", "stop_price": "128000"} | changes)


def answer(wire: Wire, status: int, body: Any = b"", **headers: str) -> list[Item]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return read(CODEC, Frame(body=raw, wire=wire, status=status, headers=names), NOW)


def verdict(wire: Wire, status: int, body: Any = b"", **headers: str) -> Answer:
    [said] = [item for item in answer(wire, status, body, **headers) if isinstance(item, Answer)]
    return said


def shown(name: str, **changes: Any) -> dict[str, Any]:
    """A documented object, with fields changed."""
    return {"order": FRAMES[name]["frame"]["order"] | changes}


ORDER, STOP, PLACE = cancel(IdKind.ORDER), cancel(), CODEC.encode(limit(), NOW)
STOPPED, CANCELLED = "cancel stop order", "cancel order"


# -- what we send


def test_cancel_stop_order_exactly_as_documented() -> None:
    assert (STOP.method, STOP.path, STOP.body) == ("DELETE", f"/frontoffice/api/v3/stop-orders/{STOP_ID}", b"")
    assert STOP.headers == {"Accept": "*/*", "accountId": ACCOUNT, "Content-Type": V4}
    assert (STOP.bearer, STOP.via, STOP.effect) == (True, Via.HTTP, Effect.IDEMPOTENT)


def test_cancel_order_has_no_content_type() -> None:
    assert (ORDER.method, ORDER.path, ORDER.body) == ("DELETE", f"/frontoffice/api/v3/orders/{ORDER_ID}", b"")
    assert ORDER.headers == {"Accept": "*/*", "accountId": ACCOUNT}
    assert (ORDER.bearer, ORDER.effect) == (True, Effect.IDEMPOTENT)


@pytest.mark.parametrize(
    ("order", "path", "content_type"),
    [
        (limit(), "/frontoffice/api/v3/orders", "application/json"),
        (stop(), "/frontoffice/api/v3/stop-orders", V4),
        (limit("cfd.eth_eur", options=LOTS), "/frontoffice/api/cfd/v4/orders", V4),
        (stop("cfd.eth_eur", options=LOTS), "/frontoffice/api/cfd/v4/stop-orders", V4),
        (limit("perp.btc_usdt", options=LOTS), "/frontoffice/api/perpetual/v4/orders", V4),
        (stop("perp.btc_usdt", options=LOTS), "/frontoffice/api/perpetual/v4/stop-orders", V4),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_where_each_family_of_orders_is_posted(order: Order, path: str, content_type: str) -> None:
    wire = CODEC.encode(order, NOW)
    assert (wire.method, wire.path, wire.bearer, wire.effect) == ("POST", path, True, Effect.ONCE)
    assert wire.headers == {"Accept": "*/*", "accountId": ACCOUNT, "Content-Type": content_type}


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (
            limit(),
            {"orderType": "Limit", "timeInForce": "Gtc", "requestedAmount": "0.02", "requestedPrice": "115193.35"},
        ),
        (
            limit(quantity="0.00000001", price="1E+5"),
            {"orderType": "Limit", "timeInForce": "Gtc", "requestedAmount": "0.00000001", "requestedPrice": "100000"},
        ),
        (
            stop(),
            {"orderType": "Market", "timeInForce": "Ioc", "requestedAmount": "0.01", "activationPrice": "128000"},
        ),
        (
            Order("xbtfx", "spot.btc_usdt", "buy", "stop_limit", "0.01", "128100", "128000", "fok"),
            {
                "orderType": "Limit",
                "timeInForce": "Fok",
                "requestedAmount": "0.01",
                "requestedPrice": "128100",
                "activationPrice": "128000",
            },
        ),
        (
            Order("xbtfx", "spot.btc_usdt", "buy", "market", "1E-7"),
            {"orderType": "Market", "timeInForce": "Ioc", "requestedAmount": "0.0000001"},
        ),
        (
            limit(
                time_in_force="gtd",
                expires_at=datetime.fromisoformat("2026-12-31T23:59:58.5+01:00"),
                options={"comment": "x"},
            ),
            {
                "orderType": "Limit",
                "timeInForce": "Gtd",
                "requestedAmount": "0.02",
                "requestedPrice": "115193.35",
                "cancellationDate": "2026-12-31T22:59:58.500Z",
                "comment": "x",
            },
        ),
    ],
)
def test_the_terms_of_a_spot_order(order: Order, expected: dict[str, Any]) -> None:
    body = json.loads(CODEC.encode(order, NOW).body)
    assert body == {"order": {"marketId": "spot.btc_usdt", "side": "Buy"} | expected}


def test_the_terms_of_a_perpetual_in_lots() -> None:
    options = LOTS | {"leverage": 5, "take_profit": Decimal("1.2E+5"), "stop_loss": {"price": "110000.0", "isTrailing": True}}  # fmt: skip
    order = Order("xbtfx", "perp.btc_usdt", "sell", "limit", "3", "115180", time_in_force="day", options=options)
    assert json.loads(CODEC.encode(order, NOW).body)["order"] == {
        "marketId": "perp.btc_usdt",
        "side": "Sell",
        "orderType": "Limit",
        "timeInForce": "Day",
        "requestedLotAmount": "3",
        "requestedPrice": "115180",
        "leverage": 5,
        "takeProfit": {"price": "120000"},
        "stopLoss": {"price": "110000.0", "isTrailing": True},
    }


def test_the_token_exchange() -> None:
    [wire] = CODEC.hello(NOW, bytes(16))
    assert (wire.method, wire.path, json.loads(wire.body)) == (
        "POST",
        "/frontoffice/api/v4/access-token",
        {"token": "offline-1"},
    )
    assert (wire.headers["Content-Type"], wire.bearer) == ("application/json", False)
    assert "Authorization" not in wire.headers
    assert "offline-1" not in repr(wire) + repr(CODEC)
    assert list(B2TraderCodec(spec=SPEC, account_id=ACCOUNT).hello(NOW, bytes(16))) == []


@pytest.mark.parametrize("kind", [IdKind.ORDER, IdKind.STOP_ORDER])
@pytest.mark.parametrize(
    "order_id",
    [
        "a/b",
        "..",
        ".",
        "%2e",
        "a?b",
        "a#b",
        "a\nb",
        "a\r\nX: y",
        "a b",
        "a\\b",
        "a;b",
        "a\u2028b",
        "\uff41",
        "01K2\n",
        "a" * 65,
    ],
)
def test_an_id_that_would_leave_its_place_in_the_path(order_id: str, kind: IdKind) -> None:
    with pytest.raises(CannotExpress, match="xbtfx"):
        cancel(kind, order_id)


@pytest.mark.parametrize("order_id", [STOP_ID, STOP_ID.lower(), "17", "a_b-c"])
def test_an_id_that_could_be_right_passes(order_id: str) -> None:
    assert cancel(IdKind.ORDER, order_id).path.endswith(f"/{order_id}")


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (limit("cfd.eth_eur"), "lots"),
        (limit("perp.btc_usdt"), "lots"),
        (limit("cfd.eth_eur", options={"unit": "base"}), "lots"),
        (limit(options=LOTS), "base"),
        (limit("btc_usdt"), "btc_usdt"),
        (limit("swap.btc_usdt"), "swap.btc_usdt"),
        (limit(post_only=True), "post_only"),
        (limit(reduce_only=True), "reduce_only"),
        (limit(options={"leverage": 5}), "leverage"),
        (limit(options={"comment": "x" * 101}), "comment"),
        (limit(options={"comment": 5}), "comment"),
        (limit("cfd.eth_eur", options=LOTS | {"leverage": 0}), "leverage"),
        (limit("cfd.eth_eur", options=LOTS | {"leverage": 1.5}), "leverage"),
        (limit("cfd.eth_eur", options=LOTS | {"leverage": True}), "leverage"),
        (limit("cfd.eth_eur", options=LOTS | {"take_profit": 1.5}), "take_profit"),
        (limit("cfd.eth_eur", options=LOTS | {"take_profit": "NaN"}), "take_profit"),
        (limit("cfd.eth_eur", options=LOTS | {"stop_loss": {"price": "1", "trailing": True}}), "stop_loss"),
        (limit("cfd.eth_eur", options=LOTS | {"stop_loss": {"price": "1e999999"}}), "stop_loss"),
        (Order("xbtfx", "spot.btc_usdt", "buy", "market", "1", time_in_force="gtc"), "gtc"),
        (stop(time_in_force="day"), "day"),
        (Order("xbtfx", "spot.btc_usdt", "buy", "take_profit", "1", stop_price="2"), "take_profit"),
        (Order("xbtfx", "spot.btc_usdt", "buy", "twap", "1"), "twap"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_this_venue_has_no_words_for(order: Order, said: str) -> None:
    with pytest.raises(CannotExpress, match="xbtfx") as caught:
        CODEC.encode(order, NOW)
    assert said in str(caught.value)


def test_there_is_no_modify() -> None:
    known = OrderState(venue="xbtfx", order_id=ORDER_ID)
    with pytest.raises(CannotExpress, match="xbtfx"):
        CODEC.encode(Replace(target=Cancel("xbtfx", ORDER_ID, IdKind.ORDER), known=known, price=Decimal(1)), NOW)
    assert CODEC.list_orders(NOW) is None
    assert SPEC.lists == SPEC.replaces == frozenset()


# -- the status code decides


@pytest.mark.parametrize("wire", [ORDER, STOP, PLACE], ids=["order", "stop", "place"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>sorry</html>",
        b"{",
        b"null",
        b"\xff",
        *(FRAMES[name]["frame"] for name in ("ProblemDetails", "errors list", "errors object")),
    ],
    ids=["empty", "html", "broken", "null", "latin", "problem", "list", "object"],
)
@pytest.mark.parametrize(
    ("status", "outcome", "retry"),
    [
        (400, Outcome.REFUSED, None),
        (401, Outcome.REFUSED, Retry.TOKEN),
        (403, Outcome.REFUSED, None),
        (404, Outcome.REFUSED, None),
        (422, Outcome.REFUSED, None),
        (429, Outcome.REFUSED, Retry.LATER),
        *((status, Outcome.UNKNOWN, None) for status in (301, 302, 304, 307, 402, 405, 408, 409, 410, 418, 500, 501, 502, 503, 504, 599)),
    ],
)  # fmt: skip
def test_a_status_that_is_no_success(wire: Wire, status: int, outcome: Outcome, retry: Retry | None, body: Any) -> None:
    said = verdict(wire, status, body)
    assert (said.outcome, said.retry, said.final) == (outcome, retry, True)
    assert str(status) in said.text
    assert not [item for item in answer(wire, status, body) if isinstance(item, Execution)]


@pytest.mark.parametrize("wire", [ORDER, STOP, PLACE], ids=["order", "stop", "place"])
@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"null", b'{"order":null}', b'{"order":{"orderId":"x"}}'])
def test_a_success_that_cannot_be_read_is_garbled(wire: Wire, status: int, body: bytes) -> None:
    with pytest.raises(Garbled):
        answer(wire, status, body)


@pytest.mark.parametrize(("wire", "other"), [(ORDER, "stop_order"), (STOP, "order")], ids=["order", "stop"])
def test_a_404_names_the_other_kind_of_id(wire: Wire, other: str) -> None:
    said = verdict(wire, 404, FRAMES["ProblemDetails"]["frame"])
    assert said.cancel_reason is CxlRejReason.UNKNOWN_ORDER
    assert f"kind={other!r}" in said.text
    assert "Not Found" in said.text


@pytest.mark.parametrize(
    ("header", "after"), [("3", 3.0), ("0", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("٣", None)]
)
def test_retry_after(header: str, after: float | None) -> None:
    assert verdict(ORDER, 429, retry_after=header).after == after


def test_a_403_is_the_brokers_refusal_of_an_order() -> None:
    assert verdict(PLACE, 403).order_reason is OrdRejReason.BROKER


def test_the_words_of_an_error_are_bounded() -> None:
    assert len(verdict(ORDER, 400, {"title": "x" * 100_000}).text) < 70_000
    assert len(verdict(ORDER, 404, {"title": "x" * 100_000}).text) < 70_000


# -- a cancelled stop


def test_the_documented_200_says_rejected_and_means_cancelled() -> None:
    said = verdict(STOP, 200, shown(STOPPED))
    assert (said.outcome, said.status, said.order_id, said.kind) == (
        Outcome.CONFIRMED,
        OrdStatus.CANCELED,
        STOP_ID,
        IdKind.STOP_ORDER,
    )
    [told] = [item for item in answer(STOP, 200, shown(STOPPED)) if isinstance(item, Execution)]
    assert (told.exec_type, told.status, told.cum_quantity) == (ExecType.CANCELED, OrdStatus.CANCELED, None)
    assert (told.type, told.stop_price, told.price, told.quantity) == (
        OrderType.STOP,
        Decimal(128000),
        None,
        Decimal("0.01"),
    )
    assert told.at == datetime(2025, 8, 14, 16, 9, 44, 598609, tzinfo=UTC)


@pytest.mark.parametrize("status", ["WaitingForActivation", "Rejected", "SomethingNew"])
def test_a_cancellation_date_confirms_whatever_the_status(status: str) -> None:
    said = verdict(STOP, 200, shown(STOPPED, status=status, cancellationDate="2025-08-14T16:10:00Z"))
    assert said.outcome is Outcome.CONFIRMED


@pytest.mark.parametrize("date", [None, "2025-08-14T16:10:00Z"])
def test_an_activated_stop_was_too_late_and_its_child_may_live(date: str | None) -> None:
    said = verdict(STOP, 200, shown(STOPPED, status="Activated", cancellationDate=date))
    assert (said.outcome, said.cancel_reason) == (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)
    assert "may be live" in said.text


def test_a_waiting_stop_without_a_date_is_probed_once() -> None:
    waiting = shown(STOPPED, status="WaitingForActivation")
    said = verdict(STOP, 200, waiting)
    assert (said.outcome, said.final) == (None, False)
    assert said.then is not None
    assert (said.then.method, said.then.path, said.then.headers) == ("DELETE", STOP.path, STOP.headers)
    assert verdict(said.then, 404).outcome is Outcome.CONFIRMED
    assert verdict(said.then, 200, shown(STOPPED)).outcome is Outcome.CONFIRMED
    again = verdict(said.then, 200, waiting)
    assert (again.outcome, again.then) == (Outcome.UNKNOWN, None)
    assert verdict(said.then, 200, shown(STOPPED, status="Activated")).outcome is Outcome.REFUSED
    for status in (400, 403, 422, 429, 500, 302):
        assert verdict(said.then, status).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", ["SomethingNew", "Cancelled", ""])
def test_a_stop_shown_in_an_unknown_status_is_unknown(status: str) -> None:
    assert verdict(STOP, 200, shown(STOPPED, status=status)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(("wire", "name"), [(STOP, STOPPED), (ORDER, CANCELLED)], ids=["stop", "order"])
def test_an_answer_about_another_order_settles_nothing(wire: Wire, name: str) -> None:
    said = answer(wire, 200, shown(name, orderId="01K2MNGAWPMQJ7WGATFSCAS1XX"))
    assert [item.outcome for item in said if isinstance(item, Answer)] == [Outcome.UNKNOWN]
    assert not [item for item in said if isinstance(item, Execution)]


# -- a cancelled order


@pytest.mark.parametrize(
    ("status", "outcome", "ends"),
    [
        ("Cancelled", Outcome.CONFIRMED, OrdStatus.CANCELED),
        ("Expired", Outcome.CONFIRMED, OrdStatus.EXPIRED),
        ("Completed", Outcome.REFUSED, OrdStatus.FILLED),
        *((status, Outcome.UNKNOWN, None) for status in ("Started", "Pending", "Working", "Rejected", "New", "cancelled")),
    ],
)  # fmt: skip
def test_the_status_of_an_order_after_its_cancel(status: str, outcome: Outcome, ends: OrdStatus | None) -> None:
    items = answer(ORDER, 200, shown(CANCELLED, status=status))
    [said] = [item for item in items if isinstance(item, Answer)]
    assert said.outcome is outcome
    assert said.cancel_reason is (CxlRejReason.TOO_LATE_TO_CANCEL if status == "Completed" else CxlRejReason.OTHER)
    assert [item.status for item in items if isinstance(item, Execution)] == ([] if ends is None else [ends])


def test_a_cancelled_order_tells_what_was_filled() -> None:
    [told, _] = answer(ORDER, 200, shown(CANCELLED, remainingAmount="0.005"))
    assert isinstance(told, Execution)
    assert (told.quantity, told.cum_quantity, told.price) == (Decimal("0.02"), Decimal("0.015"), Decimal("115193.35"))


@pytest.mark.parametrize("digits", range(8))
def test_timestamps_of_none_to_seven_digits(digits: int) -> None:
    fraction = "1234567"[:digits]
    text = f"2025-08-14T16:09:44{'.' if digits else ''}{fraction}Z"
    [told, _] = answer(ORDER, 200, shown(CANCELLED, updatedAt=text))
    assert isinstance(told, Execution)
    assert told.at == datetime(2025, 8, 14, 16, 9, 44, int(fraction[:6].ljust(6, "0")), tzinfo=UTC)


def test_decimals_as_numbers_or_text_or_with_the_price_left_out() -> None:
    body = json.dumps(shown(CANCELLED)).replace('"115193.35"', "115193.350000000000000000001")
    [told, _] = answer(ORDER, 200, body.encode())
    assert isinstance(told, Execution)
    assert told.price == Decimal("115193.350000000000000000001")
    order = shown(CANCELLED)["order"]
    del order["requestedPrice"]
    assert verdict(ORDER, 200, {"order": order | {"somethingNew": [1]}}).outcome is Outcome.CONFIRMED


# -- a placed order


@pytest.mark.parametrize("status", ["Started", "Pending", "Working", "Completed", "Cancelled", "Expired"])
def test_a_placed_order_is_confirmed_with_its_status(status: str) -> None:
    said = verdict(PLACE, 200, shown(CANCELLED, status=status))
    assert (said.outcome, said.order_id, said.kind) == (Outcome.CONFIRMED, ORDER_ID, IdKind.ORDER)


def test_a_200_on_a_placement_may_carry_a_rejection() -> None:
    said = verdict(PLACE, 200, shown(CANCELLED, status="Rejected", rejectDetails="InsufficientFunds"))
    assert (said.outcome, "InsufficientFunds" in said.text) == (Outcome.REFUSED, True)
    assert verdict(CODEC.encode(stop(), NOW), 200, shown(STOPPED)).outcome is Outcome.REFUSED


def test_a_placed_stop_is_a_stop() -> None:
    said = verdict(CODEC.encode(stop(), NOW), 200, shown(STOPPED, status="WaitingForActivation"))
    assert (said.outcome, said.kind, said.order_id) == (Outcome.CONFIRMED, IdKind.STOP_ORDER, STOP_ID)
    at_once = verdict(CODEC.encode(stop(), NOW), 200, shown(STOPPED, status="Activated"))
    assert (at_once.outcome, "id of its own" in at_once.text) == (Outcome.CONFIRMED, True)


def test_a_placement_in_an_unknown_status_is_unknown() -> None:
    assert verdict(PLACE, 200, shown(CANCELLED, status="SomethingNew")).outcome is Outcome.UNKNOWN


# -- tokens


def renewal(token: str) -> Renewal:
    [request] = CODEC.hello(NOW, bytes(16))
    fresh, said = answer(request, 200, {"accessToken": token, "somethingNew": 1})
    assert isinstance(fresh, Renewal)
    assert isinstance(said, Answer)
    assert said.outcome is Outcome.CONFIRMED
    assert token not in repr(fresh)
    return fresh


def test_a_token_is_renewed_at_80_percent_of_its_life() -> None:
    fresh = renewal(jwt.encode({"exp": int(NOW) + 1000}, "k" * 32))
    assert fresh.expires == int(NOW) + 1000
    assert fresh.due == pytest.approx(NOW + 0.8 * (int(NOW) + 1000 - NOW))
    assert fresh.wire is not None
    assert fresh.wire.path == "/frontoffice/api/v4/access-token"


@pytest.mark.parametrize("claims", [None, {}, {"exp": "soon"}, {"exp": None}, {"exp": 1e400}], ids=str)
def test_a_token_that_does_not_say_lives_an_hour(claims: dict[str, Any] | None) -> None:
    raw = jwt.utils.base64url_encode(json.dumps(claims).encode()).decode()
    head = jwt.utils.base64url_encode(b'{"alg":"HS256"}').decode()
    assert renewal("opaque" if claims is None else f"{head}.{raw}.c2ln").due == pytest.approx(NOW + 2880)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(400, Outcome.REFUSED), (401, Outcome.REFUSED), (403, Outcome.REFUSED), (404, Outcome.REFUSED), (500, Outcome.UNKNOWN), (302, Outcome.UNKNOWN)],
)  # fmt: skip
def test_a_token_that_is_not_given(status: int, outcome: Outcome) -> None:
    [request] = CODEC.hello(NOW, bytes(16))
    said = verdict(request, status, b"<html>")
    assert (said.outcome, said.retry) == (outcome, None)
    with pytest.raises(Garbled):
        answer(request, 200, b"<html>")


def test_the_sample_is_the_documented_one() -> None:
    """Its id is a ULID of the millisecond of createdAt; it was made and refused within 0.4 us."""
    order = FRAMES[STOPPED]["frame"]["order"]
    number = 0
    for char in order["orderId"][:10]:
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(char)
    created = datetime.fromisoformat(order["createdAt"])
    assert number == int(created.timestamp() * 1000)
    assert (order["status"], order["cancellationDate"]) == ("Rejected", None)
