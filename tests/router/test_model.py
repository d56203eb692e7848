"""What a strategy says is checked where it is said, and every complaint names the venue and the value."""

from datetime import UTC, datetime
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import Cancel, IdKind, Order, OrderType, Side, TimeInForce
from router.model import mint_client_order_id, plain

GOOD = {"venue": "qfex", "symbol": "AAPL-USD", "side": Side.BUY, "type": "limit", "quantity": "1", "price": "200"}


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"quantity": 1.5}, TypeError, "quantity was 1.5, a float"),
        ({"price": 200.0}, TypeError, "price was 200.0, a float"),
        ({"quantity": True}, TypeError, "quantity was True"),
        ({"quantity": None}, TypeError, "quantity was None"),
        ({"quantity": "NaN"}, ValueError, "quantity was 'NaN'; it must be finite"),
        ({"quantity": Decimal("sNaN")}, ValueError, "it must be finite"),
        ({"quantity": "Infinity"}, ValueError, "it must be finite"),
        ({"quantity": "-1"}, ValueError, "quantity was '-1'; it must be greater than zero"),
        ({"quantity": 0}, ValueError, "quantity was 0; it must be greater than zero"),
        ({"quantity": "1e999999"}, ValueError, "more than 40 digits"),
        ({"quantity": "ten"}, ValueError, "that is not a decimal number"),
        ({"quantity": "1" * 5000}, ValueError, "more than 40 digits"),
        ({"side": "hold"}, ValueError, "side was 'hold'"),
        ({"type": "iceberg"}, ValueError, "type was 'iceberg'"),
        ({"type": "market"}, ValueError, "price was 200, but a market order takes none"),
        ({"price": None}, ValueError, "a limit order needs a price"),
        ({"type": "stop", "price": None}, ValueError, "a stop order needs a stop_price"),
        ({"type": "stop_limit"}, ValueError, "a stop_limit order needs a stop_price"),
        ({"stop_price": "9"}, ValueError, "stop_price was 9"),
        ({"symbol": ""}, ValueError, "symbol was ''"),
        ({"symbol": None}, TypeError, "symbol was None"),
        ({"client_order_id": " "}, ValueError, "client_order_id was ' '"),
        ({"time_in_force": "gtd"}, ValueError, "go together"),
        ({"expires_at": datetime(2030, 1, 1, tzinfo=UTC)}, ValueError, "go together"),
        ({"time_in_force": "gtd", "expires_at": datetime(2030, 1, 1)}, ValueError, "time zone"),  # noqa: DTZ001 - the point
        ({"post_only": 1}, TypeError, "post_only was 1"),
        ({"options": [1]}, TypeError, "options was [1]"),
    ],
)
def test_a_malformed_order_raises_naming_venue_and_value(changes, error, words):
    with pytest.raises(error) as caught:
        Order(**{**GOOD, **changes})
    assert words in str(caught.value)
    assert str(caught.value).startswith("qfex")


def test_an_order_keeps_exact_decimals_and_is_frozen():
    order = Order(**GOOD | {"quantity": "1e3", "price": 200, "time_in_force": "GTC"})
    assert (order.quantity, str(order.quantity), order.price) == (1000, "1000", Decimal(200))
    assert order.time_in_force is TimeInForce.GTC
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        order.quantity = Decimal(2)


def test_client_ids_are_minted_unique_and_short_enough():
    first, second = Order(**GOOD), Order(**GOOD)
    assert first.client_order_id != second.client_order_id
    assert len(mint_client_order_id()) == 32


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("qfex", ""), ValueError, "id was ''"),
        (("qfex", None), TypeError, "id was None"),
        (("qfex", "a", "bad"), ValueError, "kind was 'bad'"),
        (("qfex", "a", None, ""), ValueError, "symbol was ''"),
        (("", "a"), ValueError, "venue was ''"),
    ],
)
def test_a_malformed_cancel_raises(arguments, error, words):
    with pytest.raises(error) as caught:
        Cancel(*arguments)
    assert words in str(caught.value)


def test_enums_take_their_words_in_either_case():
    assert Cancel("q", "a", "STOP_ORDER").kind is IdKind.STOP_ORDER
    assert OrderType("LIMIT") is OrderType.LIMIT


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("1e-20"), max_value=Decimal("1e20")))
def test_plain_is_exact_and_has_no_exponent(number):
    assert Decimal(plain(number)) == number
    assert "e" not in plain(number).lower()
