"""The simulated exchange by itself: what Binance documents of keys, signatures, times, errors and orders."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import aiohttp
import pytest

from adapters.ccxt_bridge.simulator import CcxtSimulator
from router.testing import Fault, Switches

ORDER = "/api/v3/order"
TERMS = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.02",
    "price": "110000",
}
RESULT = {"newOrderRespType": "RESULT"}


class Client:
    """A raw client, which repeats and follows nothing."""

    def __init__(self, sim, session):
        self.sim, self.session = sim, session

    async def call(self, method, path, *, key=None, secret=None, at=None, body=False, **asked):
        asked = {name: value for name, value in asked.items() if value is not None}
        asked["timestamp"] = int(time.time() * 1000) if at is None else at
        signed = urlencode(asked)
        signature = hmac.new((secret or self.sim.secret).encode(), signed.encode(), hashlib.sha256).hexdigest()
        sent = f"{signed}&signature={signature}"
        headers = {} if key == "" else {"X-MBX-APIKEY": key or self.sim.api_key}
        url = self.sim.url + path + ("" if body else f"?{sent}")
        settings = {"headers": headers, "data": sent if body else None, "allow_redirects": False}
        async with self.session.request(method, url, **settings) as response:
            return response.status, await response.json(content_type=None)

    async def place(self, **changes):
        return await self.call("POST", ORDER, **TERMS | changes)


@asynccontextmanager
async def connected(sim):
    async with aiohttp.ClientSession() as session:
        session._retry_connection = False
        yield Client(sim, session)


@pytest.fixture
async def raw(sim):
    async with connected(sim) as client:
        yield client


# -- who asks


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"key": ""}, 401, -2014),
        ({"key": "somebody else's"}, 401, -2015),
        ({"secret": "wrong"}, 400, -1022),
        ({"at": "now"}, 400, -1102),
        ({"at": int(time.time() * 1000) + 3_600_000}, 400, -1021),
        ({"at": 1_000_000_000_000}, 400, -1021),
    ],
    ids=["no key", "wrong key", "wrong signature", "no time", "ahead", "behind"],
)
@pytest.mark.parametrize(("method", "path"), [("POST", ORDER), ("DELETE", ORDER), ("GET", "/api/v3/openOrders")])
async def test_who_may_not_ask(raw, sim, method, path, how, status, code):
    answer = await raw.call(method, path, **TERMS, **how)
    assert (answer[0], answer[1]["code"], sim.orders) == (status, code, {})


@pytest.mark.parametrize("body", [True, False], ids=["body", "query"])
async def test_parameters_are_taken_from_the_query_and_from_the_body(raw, sim, body):
    status, placed = await raw.place(body=body)
    assert (status, placed["status"], str(placed["orderId"]) in sim.orders) == (200, "NEW", True)


async def test_a_window_that_is_sent_is_used(raw):
    behind = int(time.time() * 1000) - 8000
    assert (await raw.place(at=behind))[1]["code"] == -1021
    assert (await raw.place(at=behind, recvWindow=20000))[0] == 200


# -- what is asked


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NOSUCH"}, -1121),
        ({"symbol": None}, -1102),
        ({"side": "HOLD"}, -1117),
        ({"type": "GUESS"}, -1116),
        ({"timeInForce": "DAY"}, -1115),
        ({"quantity": None}, -1102),
        ({"quantity": "1e-2"}, -1102),
        ({"quantity": "0"}, -1013),
        ({"quantity": "0.0200001"}, -1013),
        ({"price": "110000.001"}, -1013),
        ({"quantity": "101"}, -2010),
        ({"type": "LIMIT_MAKER", "price": "130000", "timeInForce": None}, -2010),
        ({"type": "LIMIT_MAKER"}, -1106),
        ({"type": "MARKET"}, -1106),
        ({"noSuchParameter": "1"}, -1104),
        ({"newOrderRespType": "SHORT"}, -1136),
        ({"strategyId": "mine"}, -1130),
        ({"icebergQty": "0.02"}, -2010),
    ],
    ids=str,
)
async def test_an_order_that_is_not_taken(raw, sim, changes, code):
    status, answer = await raw.place(**changes)
    assert (status, answer["code"], sim.orders) == (400, code, {})


async def test_a_client_id_is_unique_among_open_orders(raw, sim):
    _, placed = await raw.place(newClientOrderId="mine")
    assert (await raw.place(newClientOrderId="mine"))[1]["msg"] == "Duplicate order sent."
    sim.fill(str(placed["orderId"]))
    assert (await raw.place(newClientOrderId="mine"))[0] == 200


async def test_a_cancel_shows_both_client_ids_and_what_was_filled(raw, sim):
    _, placed = await raw.place(newClientOrderId="mine")
    sim.fill(str(placed["orderId"]), "0.005")
    status, cancelled = await raw.call("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="mine")
    assert (status, cancelled["status"], cancelled["executedQty"]) == (200, "CANCELED", "0.00500000")
    assert (cancelled["origClientOrderId"], cancelled["clientOrderId"] == "mine") == ("mine", False)


@pytest.mark.parametrize("ended", ["filled", "cancelled", "never"])
async def test_a_cancel_says_the_same_of_all_that_is_not_open(raw, sim, ended):
    _, placed = await raw.place()
    order_id = str(placed["orderId"]) if ended != "never" else "17"
    if ended == "filled":
        sim.fill(order_id)
    elif ended == "cancelled":
        await raw.call("DELETE", ORDER, symbol="BTCUSDT", orderId=order_id)
    answer = await raw.call("DELETE", ORDER, symbol="BTCUSDT", orderId=order_id)
    assert answer == (400, {"code": -2011, "msg": "Unknown order sent."})
    status, shown = await raw.call("GET", ORDER, symbol="BTCUSDT", orderId=order_id)
    told = {"filled": "FILLED", "cancelled": "CANCELED"}.get(ended, -2013)
    assert (status, shown.get("status", shown.get("code"))) == (400 if ended == "never" else 200, told)


async def test_open_orders_are_of_one_symbol_or_of_all(raw):
    await raw.place()
    await raw.place(symbol="ETHUSDT", price="3900", quantity="1")
    assert len((await raw.call("GET", "/api/v3/openOrders"))[1]) == 2
    [row] = (await raw.call("GET", "/api/v3/openOrders", symbol="ETHUSDT"))[1]
    assert row["symbol"] == "ETHUSDT"


@pytest.mark.parametrize(
    ("changes", "status", "filled"),
    [
        ({"type": "MARKET", "timeInForce": None, "price": None}, "FILLED", "0.02000000"),
        ({"timeInForce": "IOC"}, "EXPIRED", "0.00000000"),
        ({"timeInForce": "FOK", "price": "130000"}, "FILLED", "0.02000000"),
        (
            {"type": "STOP_LOSS", "timeInForce": None, "price": None, "stopPrice": "125000"} | RESULT,
            "NEW",
            "0.00000000",
        ),
    ],
    ids=["market", "ioc", "fok", "stop"],
)
async def test_what_does_not_rest(raw, changes, status, filled):
    _, placed = await raw.place(**changes)
    assert (placed["status"], placed["executedQty"]) == (status, filled)


# -- faults


@pytest.mark.parametrize(("status", "retry"), [(429, 3), (418, 3), (429, None)])
async def test_too_fast_says_how_long_or_not(sim, status, retry):
    sim.fail_next, sim.retry_after = [status], retry
    async with aiohttp.ClientSession() as session, session.post(sim.url + ORDER) as response:
        body = await response.json()
        assert (response.status, body["code"], response.headers.get("Retry-After")) == (
            status,
            -1003,
            None if retry is None else "3",
        )


@pytest.mark.parametrize("fault", [fault for fault in Fault if not CcxtSimulator().excuse(fault, "POST order")])
async def test_every_fault_can_be_had_and_the_venue_goes_on(raw, sim, fault):
    sim.faults.seconds = (0.01, 0.02)
    sim.inject(fault)
    sim.switches = Switches(delay=0.0)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.2)) as session:
            await Client(sim, session).place()
    except (aiohttp.ClientError, TimeoutError, ValueError):
        pass
    assert [struck.fault for struck in sim.faults.struck] == [fault]
    executed = fault.number >= Fault.MUTE.number or fault is Fault.SLOW_READER
    assert len(sim.orders) == executed
    sim.faults.clear()
    assert (await raw.place())[0] == 200


def test_a_fault_that_it_cannot_have_is_refused_with_the_reason():
    for fault in (Fault.EXPIRED_TOKEN, Fault.FLOOD, Fault.DUPLICATE):
        with pytest.raises(ValueError, match=fault):
            CcxtSimulator().inject(fault)


async def test_it_starts_again_on_the_same_port_with_its_book(raw, sim):
    url = sim.url
    await raw.place()
    await sim.stop()
    await sim.stop()
    await sim.start()
    async with connected(sim) as client:
        assert (sim.url, len((await client.call("GET", "/api/v3/openOrders"))[1])) == (url, 1)


async def test_dropped_connections_are_gone(raw, sim):
    await raw.place()
    assert sim.connections == 1
    sim.drop_connections()
    async with asyncio.timeout(2):
        while sim.connections:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)
    assert (await raw.place())[0] == 200
