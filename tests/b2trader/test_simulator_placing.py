"""Placing orders and stop orders at the simulated B2TRADER."""

import re
from decimal import Decimal

import pytest

ORDERS = "/frontoffice/api/v3/orders"
STOPS = "/frontoffice/api/v3/stop-orders"
LIMIT = {
    "marketId": "spot.btc_usdt",
    "side": "Buy",
    "orderType": "Limit",
    "timeInForce": "Gtc",
    "requestedAmount": 0.02,
    "requestedPrice": 115193.35,
}
STOP = {
    "marketId": "spot.btc_usdt",
    "side": "Buy",
    "orderType": "Market",
    "activationPrice": 128000,
    "requestedAmount": 0.01,
    "timeInForce": "Ioc",
}
LOTS = {
    "side": "Buy",
    "orderType": "Limit",
    "timeInForce": "Gtc",
    "requestedLotAmount": "2.5",
    "requestedPrice": "3900",
}


def ulid_milliseconds(key):
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", key)
    number = 0
    for letter in key[:10]:
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)
    return number


async def test_the_documented_order_sample_is_accepted(raw_venue, raw_client):
    status, body = await raw_client.place(kind="application/json")
    order = body["order"]
    assert (status, set(body), set(order)) == (200, {"order"}, raw_client.order_fields)
    assert (order["status"], order["source"], order["requestedPrice"]) == ("Pending", "Manual", "115193.35")
    assert (order["requestedAmount"], order["remainingAmount"], order["executionPrice"]) == ("0.02", "0.02", "0")
    assert order["cancellationDate"] is order["rejectDetails"] is None
    assert raw_venue.orders[order["orderId"]].requested_amount == Decimal("0.02")
    exact = {"requestedAmount": Decimal("0.02"), "requestedPrice": Decimal("115193.35")}
    assert raw_venue.received[0].message == {"path": ORDERS, "body": {"order": LIMIT | exact}}


async def test_the_documented_stop_sample_is_accepted(raw_venue, raw_client):
    status, body = await raw_client.place_stop()
    order = body["order"]
    assert (status, set(body), set(order)) == (200, {"order"}, raw_client.stop_fields)
    assert (order["status"], order["activationPrice"], order["requestedPrice"]) == (
        "WaitingForActivation",
        "128000",
        None,
    )
    assert raw_venue.stops[order["orderId"]].live
    assert not raw_venue.orders


@pytest.mark.parametrize(
    ("path", "market", "base"), [("cfd", "cfd.eth_eur", "25"), ("perpetual", "perp.btc_usdt", "0.0025")]
)
async def test_lots_come_back_as_base_amounts(raw_venue, raw_client, path, market, base):
    extras = {"leverage": 10, "stopLoss": {"price": "3000", "isTrailing": True}, "takeProfit": {"price": 5000}}
    _, placed = await raw_client.place(LOTS | extras | {"marketId": market}, f"/frontoffice/api/{path}/v4/orders")
    order = LOTS | {"marketId": market, "activationPrice": "200000", "orderType": "Limit"}
    _, stopped = await raw_client.place(order, f"/frontoffice/api/{path}/v4/stop-orders")
    assert (placed["order"]["requestedAmount"], stopped["order"]["requestedAmount"]) == (base, base)
    for body, route, book in ((placed, ORDERS, raw_venue.orders), (stopped, STOPS, raw_venue.stops)):
        key = body["order"]["orderId"]
        assert (await raw_client.cancel(key, route))[0] == 200
        assert not book[key].live


@pytest.mark.parametrize("base", ["v3", "cfd/v4", "perpetual/v4"])
@pytest.mark.parametrize("route", ["orders", "stop-orders"])
async def test_each_family_takes_its_own_markets_only(raw_venue, raw_client, base, route):
    taken = []
    for market in ("spot.btc_usdt", "cfd.eth_eur", "perp.btc_usdt", "margin.btc_usdt"):
        order = LIMIT | LOTS | {"marketId": market, "activationPrice": "200000"}
        status, _ = await raw_client.place(order, f"/frontoffice/api/{base}/{route}")
        taken += [market] if status == 200 else []
        assert status in {200, 400}
    assert taken == [{"v3": "spot.btc_usdt", "cfd/v4": "cfd.eth_eur", "perpetual/v4": "perp.btc_usdt"}[base]]
    assert len(raw_venue.orders) + len(raw_venue.stops) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"side": "Unspecified"},
        {"side": "buy"},
        {"orderType": "Unspecified"},
        {"orderType": "StopLimit"},
        {"timeInForce": "GTC"},
        {"timeInForce": "Gtd"},
        {"timeInForce": "Gtd", "cancellationDate": "soon"},
        {"timeInForce": "Day", "orderType": "Market", "requestedPrice": None},
        {"orderType": "Market"},
        {"requestedAmount": None},
        {"requestedAmount": -1},
        {"requestedAmount": 0},
        {"requestedAmount": True},
        {"requestedAmount": "NaN"},
        {"requestedAmount": "sNaN"},
        {"requestedAmount": "Infinity"},
        {"requestedAmount": "1e999999"},
        {"requestedAmount": "1e-999999"},
        {"requestedAmount": "0.000001"},
        {"requestedAmount": "1" * 5000},
        {"requestedAmount": "1." + "0" * 5000},
        {"requestedPrice": None},
        {"requestedPrice": "1.234"},
        {"requestedPrice": [1]},
        {"marketId": None},
        {"comment": "x" * 101},
        {"leverage": 0},
        {"leverage": "10"},
        {"stopLoss": {"price": -1}},
        {"takeProfit": {}},
    ],
)
async def test_a_bad_ticket_is_refused(raw_venue, raw_client, change):
    status, body = await raw_client.place(LIMIT | change)
    assert (status, list(body)) == (400, ["errors"])
    assert not raw_venue.orders
    assert await raw_client.order(comment="x" * 100, unheardOf=1) in raw_venue.orders


async def test_missing_fields_and_missing_wrapper_are_refused(raw_venue, raw_client):
    for name in LIMIT:
        assert (await raw_client.place({key: value for key, value in LIMIT.items() if key != name}))[0] == 400
    assert (await raw_client.call("POST", ORDERS, LIMIT))[0] == 400
    assert (await raw_client.place(LIMIT, STOPS))[0] == 400  # no activationPrice
    assert (await raw_client.place(LIMIT | {"marketId": "spot.no_such"}))[0] == 404
    assert not raw_venue.orders
    assert not raw_venue.stops


async def test_strings_and_numbers_are_the_same_decimal(raw_venue, raw_client):
    for amount in (0.02, "0.02", "0.0200", "2e-2"):
        assert raw_venue.orders[await raw_client.order(requestedAmount=amount)].requested_amount == Decimal("0.02")
    sent = [item.message["body"]["order"]["requestedAmount"] for item in raw_venue.received]
    assert sent == [Decimal("0.02"), "0.02", "0.0200", "2e-2"]


async def test_what_may_not_rest_is_filled_or_cancelled(raw_venue, raw_client):
    market = {"orderType": "Market", "requestedPrice": None}
    _, filled = await raw_client.place(LIMIT | market)
    assert (filled["order"]["status"], filled["order"]["executionPrice"]) == ("Completed", "115200.2")
    assert (filled["order"]["commission"], filled["order"]["remainingAmount"]) == ("2.304004", "0")
    for force in ("Ioc", "Fok"):
        _, missed = await raw_client.place(LIMIT | {"timeInForce": force})  # below the ask
        assert (missed["order"]["status"], missed["order"]["remainingAmount"]) == ("Cancelled", "0.02")
    assert [order.live for order in raw_venue.orders.values()] == [False] * 3


@pytest.mark.parametrize(("mode", "expected"), [("400", 400), ("200", 200)])
@pytest.mark.parametrize(("path", "order"), [(ORDERS, LIMIT), (STOPS, STOP)])
async def test_lack_of_funds(raw_venue, raw_client, mode, expected, path, order):
    raw_venue.funds_mode, raw_venue.reject_next = mode, 1
    answers = [await raw_client.place(order, path), await raw_client.place(order | {"requestedAmount": 101}, path)]
    assert [status for status, _ in answers] == [expected] * 2
    if expected == 200:
        assert [body["order"]["status"] for _, body in answers] == ["Rejected"] * 2
    if expected == 200 and path == ORDERS:
        assert answers[0][1]["order"]["rejectDetails"]
    assert not any(entry.live for entry in (*raw_venue.orders.values(), *raw_venue.stops.values()))
    assert raw_venue.reject_next == 0
    assert (await raw_client.place(order, path))[0] == 200


@pytest.mark.parametrize(
    ("ticks", "written"),
    [
        (17551877845986099, "2025-08-14T16:09:44.5986099Z"),
        (17551877845980000, "2025-08-14T16:09:44.598Z"),
        (17551877841000000, "2025-08-14T16:09:44.1Z"),
        (17551877840000001, "2025-08-14T16:09:44.0000001Z"),
        (17551877840000000, "2025-08-14T16:09:44Z"),
    ],
)
async def test_times_are_dotnet_times_and_ids_carry_them(raw_opened, ticks, written):
    async with raw_opened(clock=lambda: ticks) as client:
        for path, order in ((ORDERS, LIMIT), (STOPS, STOP)):
            _, body = await client.place(order, path)
            assert body["order"]["createdAt"] == body["order"]["updatedAt"] == written
            assert ulid_milliseconds(body["order"]["orderId"]) == ticks // 10_000
        assert len(client.venue.orders) == len(client.venue.stops) == 1
