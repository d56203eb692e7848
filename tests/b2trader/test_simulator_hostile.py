"""What the simulated B2TRADER makes of input that is no request, or no good one."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ORDERS = "/frontoffice/api/v3/orders"
STOPS = "/frontoffice/api/v3/stop-orders"
EXCHANGE = "/frontoffice/api/v4/access-token"
ACCOUNTS = "/frontoffice/api/v3/accounts"
NOWHERE = "01K2PMT0VMJG5B8XBDNZ7FNM1F"
LIMIT = {
    "marketId": "spot.btc_usdt",
    "side": "Buy",
    "orderType": "Limit",
    "timeInForce": "Gtc",
    "requestedAmount": 0.02,
    "requestedPrice": 115193.35,
}


async def test_what_is_not_http_is_refused(raw_venue, raw_client):
    reader, writer = await asyncio.open_connection(*raw_venue.url.removeprefix("http://").split(":"))
    writer.write(b"\x00\xffDELETE everything\r\n\r\n")
    assert b" 400 " in (await reader.readline())
    writer.close()
    await writer.wait_closed()
    assert await raw_client.order() in raw_venue.orders
    assert len(raw_venue.received) == 1


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
async def test_a_hostile_body_is_refused(raw_venue, raw_client, body, path):
    assert (await raw_client.call("POST", path, body))[0] == 400
    assert (len(raw_venue.received), raw_venue.orders, raw_venue.stops) == (1, {}, {})
    assert await raw_client.order() in raw_venue.orders


async def test_a_huge_body_is_refused_and_recorded(raw_venue, raw_client):
    assert (await raw_client.call("POST", ORDERS, b" " * 70_000))[0] == 413
    assert raw_venue.received[0].message == {"path": ORDERS, "body": ""}
    assert not raw_venue.orders


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", f"{ORDERS}/{NOWHERE}"), ("GET", ORDERS), ("DELETE", ORDERS), ("POST", ACCOUNTS), ("POST", "/")],
)
async def test_an_unknown_endpoint_is_recorded_and_not_found(raw_venue, raw_client, method, path):
    assert (await raw_client.call(method, path, {"order": LIMIT}))[0] == 404
    assert [item.message["path"] for item in raw_venue.received] == [path]
    assert raw_venue.received[0].command == f"{method} " + {ACCOUNTS: "accounts", "/": "elsewhere"}.get(path, "orders")
    assert not raw_venue.orders


fields = st.text() | st.sampled_from([*LIMIT, "activationPrice", "order"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(fields, inner, max_size=5),
    max_leaves=12,
)
broken = st.tuples(
    st.sampled_from([*LIMIT]), anything.filter(lambda value: not isinstance(value, int | float | str))
).map(lambda pair: {"order": LIMIT | dict([pair])})


@given(bodies=st.lists(anything | broken, min_size=1, max_size=10), path=st.sampled_from([ORDERS, STOPS, EXCHANGE]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_any_json_is_refused_and_the_venue_lives(raw_opened, bodies, path):
    async with raw_opened() as client:
        for body in bodies:
            status, _ = await client.call("POST", path, body)
            assert 400 <= status < 500
        assert len(client.venue.received) == len(bodies)
        assert not client.venue.orders
        assert await client.order() in client.venue.orders
