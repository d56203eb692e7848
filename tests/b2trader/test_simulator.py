"""The simulated B2TRADER venue over a real socket, with a raw HTTP client that repeats and follows nothing."""

import asyncio
import json
import logging
import re
from contextlib import asynccontextmanager
from decimal import Decimal

import aiohttp
import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.b2trader.simulator import B2TraderSimulator
from router.testing import Fate

ORDERS = "/frontoffice/api/v3/orders"
STOPS = "/frontoffice/api/v3/stop-orders"
EXCHANGE = "/frontoffice/api/v4/access-token"
ACCOUNTS = "/frontoffice/api/v3/accounts"
V4 = "application/json; x-api-version=4.0"
NOWHERE = "01K2PMT0VMJG5B8XBDNZ7FNM1F"
TOKEN = object()

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
ORDER_FIELDS = set(
    re.findall(
        r"\w+",
        "marketId marketDisplayName orderId orderType side status source timeInForce commission requestedAmount "
        "remainingAmount requestedPrice executionPrice createdAt updatedAt rejectDetails cancellationDate",
    )
)
STOP_FIELDS = set(
    re.findall(
        r"\w+",
        "marketId marketDisplayName orderId orderType side requestedPrice activationPrice requestedAmount "
        "timeInForce status createdAt updatedAt cancellationDate",
    )
)


class Client:
    """A raw client. Its answers are (status, decoded JSON or text)."""

    def __init__(self, venue, session):
        self.venue, self.session, self.bearer = venue, session, venue.token()

    async def call(self, method, path, body=None, *, token=TOKEN, account=TOKEN, kind=V4):
        bearer = self.bearer if token is TOKEN else token
        account = self.venue.account_id if account is TOKEN else account
        named = {"Authorization": bearer and f"Bearer {bearer}", "accountId": account, "Content-Type": kind}
        headers = {name: value for name, value in named.items() if value is not None}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        skip = ("Content-Type",)
        options = {"headers": headers, "data": data, "allow_redirects": False, "skip_auto_headers": skip}
        async with self.session.request(method, self.venue.url + path, **options) as response:
            self.headers = response.headers
            text = await response.text()
            return response.status, json.loads(text) if "json" in response.content_type else text

    async def place(self, order, path=ORDERS, **how):
        return await self.call("POST", path, {"order": order}, **how)

    async def order(self, **change):
        status, body = await self.place(LIMIT | change)
        assert status == 200
        return body["order"]["orderId"]

    async def stop(self, **change):
        status, body = await self.place(STOP | change, STOPS)
        assert status == 200
        return body["order"]["orderId"]

    async def cancel(self, order_id, path=ORDERS, **how):
        return await self.call("DELETE", f"{path}/{order_id}", **how)


@asynccontextmanager
async def opened(**arguments):
    async with B2TraderSimulator(**arguments) as venue, aiohttp.ClientSession() as session:
        session._retry_connection = False
        yield venue, Client(venue, session)


@pytest.fixture
async def desk():
    async with opened() as pair:
        yield pair


def ulid_milliseconds(key):
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", key)
    number = 0
    for letter in key[:10]:
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)
    return number


# -- tokens and headers


async def test_an_offline_token_buys_an_access_token(desk):
    venue, client = desk
    status, body = await client.call("POST", EXCHANGE, {"token": venue.offline_token}, token=None, account=None)
    claims = jwt.decode(body["accessToken"], options={"verify_signature": False})
    assert (status, set(claims)) == (200, {"sub", "iat", "exp", "iss"})
    assert claims["exp"] - claims["iat"] == 3600
    assert venue.tokens_issued == 2  # the client's own is the first
    client.bearer = body["accessToken"]
    assert await client.order() in venue.orders
    assert [item.command for item in venue.received] == ["POST access-token", "POST orders"]


@pytest.mark.parametrize(
    ("body", "status"), [({"token": "wrong"}, 401), ({"token": 7}, 400), ({}, 400), ([], 400), (b"\xff", 400)]
)
async def test_a_bad_exchange_buys_nothing(desk, body, status):
    venue, client = desk
    assert (await client.call("POST", EXCHANGE, body, token=None))[0] == status
    assert venue.tokens_issued == 1
    assert len(venue.commands("POST access-token")) == 1


@pytest.mark.parametrize("token", [None, "", "rubbish", "a.b.c", "\u00e9", "W" * 6000, jwt.encode({}, "k" * 32)])
async def test_only_issued_tokens_are_good(desk, token):
    venue, client = desk
    status, body = await client.place(LIMIT, token=token)
    assert (status, body["status"], body["title"]) == (401, 401, "Unauthorized")
    assert client.headers["Content-Type"].startswith("application/problem+json")
    assert not venue.orders


async def test_tokens_are_revoked_and_replaced_within_one_second(desk):
    venue, client = desk
    key = await client.order()
    venue.expire_tokens()
    assert (await client.cancel(key))[0] == 401
    assert venue.orders[key].live
    client.bearer = venue.token()
    assert (await client.cancel(key))[0] == 200
    assert not venue.orders[key].live


async def test_a_token_past_its_life_is_expired():
    async with opened(token_life=-1) as (venue, client):
        assert (await client.place(LIMIT))[0] == 401
        assert (await client.call("GET", ACCOUNTS))[0] == 401
        assert not venue.orders


async def test_the_account_header_is_required_and_must_be_ones_own(desk):
    venue, client = desk
    key = await client.order()
    status, body = await client.cancel(key, account=None)
    assert (status, set(body), set(body["errors"][0])) == (400, {"errors"}, {"code", "message"})
    assert (await client.cancel(key, account="0" * 24))[0] == 403
    assert venue.orders[key].live
    sent = venue.commands("DELETE orders")
    assert "accountid" not in sent[0].headers
    assert sent[1].headers["accountid"] == "0" * 24


async def test_accounts_need_a_token_and_no_account(desk):
    venue, client = desk
    status, body = await client.call("GET", ACCOUNTS, account=None, kind=None)
    assert (status, [item["accountId"] for item in body]) == (200, [venue.account_id])
    assert re.fullmatch("[0-9a-f]{24}", venue.account_id)
    assert (await client.call("GET", ACCOUNTS, token=None))[0] == 401
    assert len(venue.commands("GET accounts")) == 2


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (None, 200),
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json; x-api-version=3.0", 200),
        ('application/json;X-Api-Version="4.0"', 200),
        ("application/json; x-api-version=9.9", 400),
        ("application/json; x-api-version=", 400),
    ],
)
async def test_an_unknown_media_type_version_is_refused(desk, kind, status):
    venue, client = desk
    key = await client.stop()
    assert (await client.cancel(key, STOPS, kind=kind))[0] == status
    assert venue.stops[key].live is (status == 400)


# -- placing


async def test_the_documented_order_sample_is_accepted(desk):
    venue, client = desk
    status, body = await client.place(LIMIT, kind="application/json")
    order = body["order"]
    assert (status, set(body), set(order)) == (200, {"order"}, ORDER_FIELDS)
    assert (order["status"], order["source"], order["requestedPrice"]) == ("Pending", "Manual", "115193.35")
    assert (order["requestedAmount"], order["remainingAmount"], order["executionPrice"]) == ("0.02", "0.02", "0")
    assert order["cancellationDate"] is order["rejectDetails"] is None
    assert venue.orders[order["orderId"]].requested_amount == Decimal("0.02")
    assert venue.received[0].message == {"path": ORDERS, "body": {"order": LIMIT | exact("0.02", "115193.35")}}


def exact(amount, price):
    return {"requestedAmount": Decimal(amount), "requestedPrice": Decimal(price)}


async def test_the_documented_stop_sample_is_accepted(desk):
    venue, client = desk
    status, body = await client.place(STOP, STOPS)
    order = body["order"]
    assert (status, set(body), set(order)) == (200, {"order"}, STOP_FIELDS)
    assert (order["status"], order["activationPrice"], order["requestedPrice"]) == (
        "WaitingForActivation",
        "128000",
        None,
    )
    assert venue.stops[order["orderId"]].live
    assert not venue.orders


@pytest.mark.parametrize(
    ("path", "market", "base"), [("cfd", "cfd.eth_eur", "25"), ("perpetual", "perp.btc_usdt", "0.0025")]
)
async def test_lots_come_back_as_base_amounts(desk, path, market, base):
    venue, client = desk
    extras = {"leverage": 10, "stopLoss": {"price": "3000", "isTrailing": True}, "takeProfit": {"price": 5000}}
    _, placed = await client.place(LOTS | extras | {"marketId": market}, f"/frontoffice/api/{path}/v4/orders")
    order = LOTS | {"marketId": market, "activationPrice": "200000", "orderType": "Limit"}
    _, stopped = await client.place(order, f"/frontoffice/api/{path}/v4/stop-orders")
    assert (placed["order"]["requestedAmount"], stopped["order"]["requestedAmount"]) == (base, base)
    for body, route, book in ((placed, ORDERS, venue.orders), (stopped, STOPS, venue.stops)):
        key = body["order"]["orderId"]
        assert (await client.cancel(key, route))[0] == 200
        assert not book[key].live


@pytest.mark.parametrize("base", ["v3", "cfd/v4", "perpetual/v4"])
@pytest.mark.parametrize("route", ["orders", "stop-orders"])
async def test_each_family_takes_its_own_markets_only(desk, base, route):
    venue, client = desk
    taken = []
    for market in ("spot.btc_usdt", "cfd.eth_eur", "perp.btc_usdt", "margin.btc_usdt"):
        order = LIMIT | LOTS | {"marketId": market, "activationPrice": "200000"}
        status, _ = await client.place(order, f"/frontoffice/api/{base}/{route}")
        taken += [market] if status == 200 else []
        assert status in {200, 400}
    assert taken == [{"v3": "spot.btc_usdt", "cfd/v4": "cfd.eth_eur", "perpetual/v4": "perp.btc_usdt"}[base]]
    assert len(venue.orders) + len(venue.stops) == 1


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
async def test_a_bad_ticket_is_refused(desk, change):
    venue, client = desk
    status, body = await client.place(LIMIT | change)
    assert (status, list(body)) == (400, ["errors"])
    assert not venue.orders
    assert await client.order(comment="x" * 100, unheardOf=1) in venue.orders


async def test_missing_fields_and_missing_wrapper_are_refused(desk):
    venue, client = desk
    for name in LIMIT:
        assert (await client.place({key: value for key, value in LIMIT.items() if key != name}))[0] == 400
    assert (await client.call("POST", ORDERS, LIMIT))[0] == 400
    assert (await client.place(LIMIT, STOPS))[0] == 400  # no activationPrice
    assert (await client.place(LIMIT | {"marketId": "spot.no_such"}))[0] == 404
    assert not venue.orders
    assert not venue.stops


async def test_strings_and_numbers_are_the_same_decimal(desk):
    venue, client = desk
    for amount in (0.02, "0.02", "0.0200", "2e-2"):
        assert venue.orders[await client.order(requestedAmount=amount)].requested_amount == Decimal("0.02")
    sent = [item.message["body"]["order"]["requestedAmount"] for item in venue.received]
    assert sent == [Decimal("0.02"), "0.02", "0.0200", "2e-2"]


async def test_what_may_not_rest_is_filled_or_cancelled(desk):
    venue, client = desk
    market = {"orderType": "Market", "requestedPrice": None}
    _, filled = await client.place(LIMIT | market)
    assert (filled["order"]["status"], filled["order"]["executionPrice"]) == ("Completed", "115200.2")
    assert (filled["order"]["commission"], filled["order"]["remainingAmount"]) == ("2.304004", "0")
    for force in ("Ioc", "Fok"):
        _, missed = await client.place(LIMIT | {"timeInForce": force})  # below the ask
        assert (missed["order"]["status"], missed["order"]["remainingAmount"]) == ("Cancelled", "0.02")
    assert [order.live for order in venue.orders.values()] == [False] * 3


@pytest.mark.parametrize(("mode", "expected"), [("400", 400), ("200", 200)])
@pytest.mark.parametrize(("path", "order"), [(ORDERS, LIMIT), (STOPS, STOP)])
async def test_lack_of_funds(desk, mode, expected, path, order):
    venue, client = desk
    venue.funds_mode, venue.reject_next = mode, 1
    answers = [await client.place(order, path), await client.place(order | {"requestedAmount": 101}, path)]
    assert [status for status, _ in answers] == [expected] * 2
    if expected == 200:
        assert [body["order"]["status"] for _, body in answers] == ["Rejected"] * 2
    if expected == 200 and path == ORDERS:
        assert answers[0][1]["order"]["rejectDetails"]
    assert not any(entry.live for entry in (*venue.orders.values(), *venue.stops.values()))
    assert venue.reject_next == 0
    assert (await client.place(order, path))[0] == 200


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
async def test_times_are_dotnet_times_and_ids_carry_them(ticks, written):
    async with opened(clock=lambda: ticks) as (venue, client):
        for path, order in ((ORDERS, LIMIT), (STOPS, STOP)):
            _, body = await client.place(order, path)
            assert body["order"]["createdAt"] == body["order"]["updatedAt"] == written
            assert ulid_milliseconds(body["order"]["orderId"]) == ticks // 10_000
        assert len(venue.orders) == len(venue.stops) == 1


# -- cancelling


async def test_an_order_is_cancelled_once(desk):
    venue, client = desk
    key = await client.order()
    status, body = await client.cancel(key, kind=None)
    assert (status, set(body["order"]), body["order"]["status"]) == (200, ORDER_FIELDS, "Cancelled")
    assert body["order"]["cancellationDate"] == body["order"]["updatedAt"]
    status, problem = await client.cancel(key, kind=None)
    assert (status, set(problem)) == (404, {"type", "title", "status", "traceId"})
    assert venue.orders[key].status == "Cancelled"
    assert "content-type" not in venue.commands("DELETE orders")[1].headers
    assert [item.message for item in venue.commands("DELETE orders")] == [{"path": f"{ORDERS}/{key}", "body": ""}] * 2


@pytest.mark.parametrize("key", [NOWHERE, "%00", "..%2f..", "x" * 4000, "%F0%9F%92%A9", "%ff", "a/b"])
async def test_an_unknown_id_is_not_found(desk, key):
    venue, client = desk
    assert (await client.cancel(key))[0] == 404
    assert (await client.cancel(key, STOPS))[0] == 404
    assert len(venue.received) == 2


async def test_orders_and_stops_are_two_id_spaces(desk):
    venue, client = desk
    order, stop = await client.order(), await client.stop()
    assert (await client.cancel(order, STOPS))[0] == 404
    assert (await client.cancel(stop, ORDERS))[0] == 404
    assert (await client.cancel(order, "/frontoffice/api/cfd/v4/orders"))[0] == 404
    assert venue.orders[order].live
    assert venue.stops[stop].live


async def test_a_filled_order_is_not_found_and_a_part_filled_one_is_cancelled(desk):
    venue, client = desk
    whole, part = await client.order(), await client.order()
    venue.fill(whole)
    assert venue.fill(part, "0.005").status == "Working"
    assert (await client.cancel(whole))[0] == 404
    _, body = await client.cancel(part)
    assert (body["order"]["remainingAmount"], body["order"]["executionPrice"]) == ("0.015", "115193.35")
    assert [order.status for order in venue.orders.values()] == ["Completed", "Cancelled"]
    with pytest.raises(ValueError, match="cannot fill"):
        venue.fill(part)


@pytest.mark.parametrize(
    ("status", "remaining", "again"),
    [("Expired", "0.02", 404), ("Completed", "0", 404), ("Working", "0.02", 200), ("Novel", "0.02", 404)],
)
async def test_a_cancelled_order_may_end_otherwise(desk, status, remaining, again):
    venue, client = desk
    venue.order_cancel_status = status
    key = await client.order()
    code, body = await client.cancel(key)
    assert (code, body["order"]["status"], body["order"]["remainingAmount"]) == (200, status, remaining)
    assert venue.orders[key].status == status
    assert (await client.cancel(key))[0] == again


@pytest.mark.parametrize(
    ("mode", "status", "dated"),
    [
        ("rejected", "Rejected", False),
        ("dated", "WaitingForActivation", True),
        ("unchanged", "WaitingForActivation", False),
    ],
)
async def test_a_cancelled_stop_is_gone_whatever_it_says(desk, mode, status, dated):
    venue, client = desk
    venue.stop_cancel_mode = mode
    key = await client.stop()
    code, body = await client.cancel(key, STOPS)
    assert (code, set(body["order"]), body["order"]["status"]) == (200, STOP_FIELDS, status)
    assert (body["order"]["cancellationDate"] is not None) is dated
    assert (await client.cancel(key, STOPS))[0] == 404
    assert not venue.stops[key].live
    with pytest.raises(ValueError, match="not waiting"):
        venue.activate(key)


async def test_rejected_without_a_date_is_what_it_says_by_default(desk):
    venue, client = desk
    key = await client.stop()
    _, body = await client.cancel(key, STOPS)
    assert (body["order"]["status"], body["order"]["cancellationDate"]) == ("Rejected", None)
    assert venue.stops[key].status == "Rejected"


async def test_an_ignored_stop_cancel_leaves_it_waiting(desk):
    venue, client = desk
    key = await client.stop()
    venue.stop_cancel_ignored = True
    answers = [await client.cancel(key, STOPS) for _ in range(2)]
    assert [(code, body["order"]["status"]) for code, body in answers] == [(200, "WaitingForActivation")] * 2
    assert venue.stops[key].live
    assert venue.activate(key).status == "Completed"


@pytest.mark.parametrize(("side", "price"), [("Buy", "115000"), ("Buy", "115200.2"), ("Sell", "116000")])
async def test_a_stop_on_the_wrong_side_is_activated_at_once(desk, side, price):
    venue, client = desk
    limit = {"orderType": "Limit", "requestedPrice": "100000", "timeInForce": "Gtc"}
    _, body = await client.place(STOP | limit | {"side": side, "activationPrice": price}, STOPS)
    assert body["order"]["status"] == "Activated"
    stop = venue.stops[body["order"]["orderId"]]
    child = venue.orders[stop.child]
    assert (child.source, child.status, child.requested_amount) == ("StopOrder", "Pending", stop.requested_amount)
    assert (await client.cancel(child.order_id))[1]["order"]["source"] == "StopOrder"


@pytest.mark.parametrize(("visible", "status"), [(True, 200), (False, 404)])
async def test_cancel_after_activation(desk, visible, status):
    venue, client = desk
    venue.activated_visible = visible
    key = await client.stop(orderType="Limit", requestedPrice="128000", timeInForce="Gtc")
    child = venue.activate(key)
    code, body = await client.cancel(key, STOPS)
    assert (code, body.get("order", {}).get("status")) == (status, "Activated" if visible else None)
    assert (child.live, child.source, venue.stops[key].child) == (True, "StopOrder", child.order_id)
    assert (await client.cancel(child.order_id))[0] == 200


async def test_a_refused_activation_leaves_nothing(desk):
    venue, client = desk
    key = await client.stop()
    venue.refuse_activation(key)
    assert (await client.cancel(key, STOPS))[0] == 404
    assert (venue.stops[key].status, venue.orders) == ("Rejected", {})


# -- faults


async def test_overrides_do_not_execute(desk):
    venue, client = desk
    order, stop = await client.order(), await client.stop()
    venue.fail_next = [500, 503, 429, 302, 599]
    answers = []
    for key, path in ((order, ORDERS), (stop, STOPS), (order, ORDERS), (stop, STOPS), (order, ORDERS)):
        answers.append((await client.cancel(key, path))[0])
        if answers[-1] == 429:
            assert client.headers["Retry-After"] == "1"
        if answers[-1] == 302:
            assert client.headers["Location"].startswith("/redirected/")
    assert answers == [500, 503, 429, 302, 599]
    assert venue.orders[order].live
    assert venue.stops[stop].live
    assert len(venue.commands("DELETE orders", "DELETE stop-orders")) == 5
    assert (await client.cancel(order))[0] == 200


async def test_overrides_spare_what_is_not_trading_and_what_only_leaves_out(desk):
    venue, client = desk
    venue.fail_next = [500]
    venue.switches.only = frozenset({"DELETE orders"})
    assert (await client.call("POST", EXCHANGE, {"token": venue.offline_token}))[0] == 200
    key = await client.order()
    assert (await client.cancel(key))[0] == 500
    assert (venue.fail_next, venue.orders[key].live) == ([], True)
    venue.fail_next, venue.switches.only = [503], frozenset({"POST access-token"})
    assert (await client.call("POST", EXCHANGE, {"token": venue.offline_token}))[0] == 503
    assert venue.tokens_issued == 2


async def test_a_followed_redirect_is_seen(desk):
    venue, client = desk
    key = await client.order()
    venue.fail_next = [302]
    async with client.session.delete(f"{venue.url}{ORDERS}/{key}") as response:  # follows, as most clients do
        assert response.status == 404
    assert venue.redirects_followed == 1
    assert [item.command for item in venue.received[1:]] == ["DELETE orders", "DELETE redirected"]
    assert venue.orders[key].live


@pytest.mark.parametrize(("style", "kind"), [("problem", "json"), ("errors", "json"), ("empty", ""), ("html", "html")])
async def test_error_styles(desk, style, kind):
    venue, client = desk
    venue.error_style = style
    status, body = await client.cancel(NOWHERE)
    assert (status, kind in client.headers.get("Content-Type", "")) == (404, True)
    assert {"problem": "traceId", "errors": "errors", "empty": "", "html": "<html>"}[style] in body
    assert (body == "") is (style == "empty")
    assert not venue.orders


async def test_hang_up_on_a_kept_alive_connection(desk):
    venue, client = desk
    key = await client.stop()
    assert venue.connections == 1
    venue.switches.hang_up = True
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.cancel(key, STOPS)
    assert len(venue.commands("DELETE stop-orders")) == 1
    assert not venue.stops[key].live
    venue.switches.hang_up = False
    assert (await client.cancel(key, STOPS))[0] == 404


async def test_a_client_that_repeats_by_itself_counts_twice(desk):
    venue, client = desk
    client.session._retry_connection = True
    key = await client.stop()
    venue.switches.hang_up = True
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.cancel(key, STOPS)
    assert len(venue.commands("DELETE stop-orders")) == 2
    assert not venue.stops[key].live


async def test_held_answers_come_in_another_order(desk):
    venue, client = desk
    keys = [await client.order() for _ in range(4)]
    venue.switches.hold = True
    finished = []

    async def cancel(key):
        status, body = await client.cancel(key)
        finished.append((status, body["order"]["orderId"]))

    tasks = []
    for count, key in enumerate(keys, 1):
        tasks.append(asyncio.create_task(cancel(key)))
        await venue.until_held(count)
    assert not any(order.live for order in venue.orders.values())
    assert not finished
    venue.release(shuffle=1)
    await asyncio.gather(*tasks)
    assert sorted(finished) == sorted((200, key) for key in keys)
    assert finished != [(200, key) for key in keys]
    assert venue.held == 0


@pytest.mark.parametrize(("switch", "live"), [("mute", False), ("deaf", True)])
async def test_mute_executes_and_deaf_does_not(desk, switch, live):
    venue, client = desk
    key = await client.order()
    setattr(venue.switches, switch, True)
    cancel = asyncio.create_task(client.cancel(key))
    await venue.until(1, "DELETE orders")
    assert (await client.call("GET", ACCOUNTS))[0] == 200  # not a trading command
    assert (venue.orders[key].live, cancel.done()) == (live, False)
    await venue.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await cancel


async def test_stop_releases_what_is_held_and_may_be_called_twice():
    async with opened() as (venue, client):
        key = await client.order()
        venue.switches.hold = True
        cancel = asyncio.create_task(client.cancel(key))
        await venue.until_held(1)
        await venue.stop()
        await venue.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await cancel
        assert (venue.held, venue.connections, venue.orders[key].status) == (0, 0, "Cancelled")


async def test_a_dropped_answer_is_never_sent(desk):
    venue, client = desk
    key = await client.order()
    venue.switches.hold = True
    cancel = asyncio.create_task(client.cancel(key))
    await venue.until_held(1)
    venue.release(fate=Fate.HANG_UP)
    with pytest.raises(aiohttp.ClientConnectionError):
        await cancel
    assert not venue.orders[key].live


async def test_a_delayed_answer_does_not_delay_the_end(desk):
    venue, client = desk
    key = await client.order()
    venue.switches.delay = 3600.0
    cancel = asyncio.create_task(client.cancel(key))
    await venue.until(1, "DELETE orders")
    await venue.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await cancel
    assert not venue.orders[key].live


# -- identity


async def test_credentials_and_environment_name_the_same_venue(desk):
    venue, _ = desk
    assert venue.credentials == {
        "base_url": venue.url,
        "account_id": venue.account_id,
        "offline_token": venue.offline_token,
    }
    assert venue.environment == {f"B2TRADER_{name.upper()}": text for name, text in venue.credentials.items()}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", venue.url)
    assert venue.offline_token not in repr(venue)
    assert not venue.received


async def test_no_logger_tells_a_token(desk, caplog):
    venue, client = desk
    with caplog.at_level(logging.DEBUG):
        assert (await client.call("POST", EXCHANGE, {"token": venue.offline_token}))[0] == 200
        key = await client.order()
        assert (await client.cancel(key, token="W" * 100))[0] == 401
    assert venue.orders[key].live
    assert not any(secret in caplog.text for secret in (venue.offline_token, client.bearer, "W" * 100))


# -- hostility


async def test_what_is_not_http_is_refused(desk):
    venue, client = desk
    reader, writer = await asyncio.open_connection(*venue.url.removeprefix("http://").split(":"))
    writer.write(b"\x00\xffDELETE everything\r\n\r\n")
    assert b" 400 " in (await reader.readline())
    writer.close()
    await writer.wait_closed()
    assert await client.order() in venue.orders
    assert len(venue.received) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"order":' * 7_000,
        b'{"order":' + b"1" * 50_000 + b"}",
        b'{"order":{"requestedAmount":1e99999999999999999999}}',
        b'{"order":{"marketId":"\\ud800"}}',
        b"NaN",
    ],
)
@pytest.mark.parametrize("path", [ORDERS, STOPS, EXCHANGE])
async def test_a_hostile_body_is_refused(desk, body, path):
    venue, client = desk
    assert (await client.call("POST", path, body))[0] == 400
    assert (len(venue.received), venue.orders, venue.stops) == (1, {}, {})
    assert await client.order() in venue.orders


async def test_a_huge_body_is_refused_and_recorded(desk):
    venue, client = desk
    assert (await client.call("POST", ORDERS, b" " * 70_000))[0] == 413
    assert venue.received[0].message == {"path": ORDERS, "body": ""}
    assert not venue.orders


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", f"{ORDERS}/{NOWHERE}"), ("GET", ORDERS), ("DELETE", ORDERS), ("POST", ACCOUNTS), ("POST", "/")],
)
async def test_an_unknown_endpoint_is_recorded_and_not_found(desk, method, path):
    venue, client = desk
    assert (await client.call(method, path, {"order": LIMIT}))[0] == 404
    assert [item.message["path"] for item in venue.received] == [path]
    assert venue.received[0].command == f"{method} " + {ACCOUNTS: "accounts", "/": "elsewhere"}.get(path, "orders")
    assert not venue.orders


def is_plausible(value):
    return isinstance(value, int | float | str)


fields = st.text() | st.sampled_from([*STOP, "order"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(fields, inner, max_size=5),
    max_leaves=12,
)
broken = st.tuples(st.sampled_from([*LIMIT]), anything.filter(lambda value: not is_plausible(value))).map(
    lambda pair: {"order": LIMIT | dict([pair])}
)


@given(bodies=st.lists(anything | broken, min_size=1, max_size=10), path=st.sampled_from([ORDERS, STOPS, EXCHANGE]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_any_json_is_refused_and_the_venue_lives(bodies, path):
    async with opened() as (venue, client):
        for body in bodies:
            status, _ = await client.call("POST", path, body)
            assert 400 <= status < 500
        assert len(venue.received) == len(bodies)
        assert not venue.orders
        assert await client.order() in venue.orders
