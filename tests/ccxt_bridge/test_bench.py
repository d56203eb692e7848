"""That the bench of the simulated exchange tells the truth of its book, and does what it says. Asked by hand-written requests."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from decimal import Decimal
from urllib.parse import urlencode

import aiohttp
import pytest

from router import IdKind, OrderType, Side, TimeInForce
from router.report import OrdStatus
from router.testing import Row, Verb

D = Decimal
ORDER = "/api/v3/order"
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.02",
    "price": "130000.5",
    "newClientOrderId": "mine",
}
UNPRICED = {"price": None, "timeInForce": None}
TERMS = {
    "client_order_id": "mine",
    "symbol": "BTC/USDT",
    "side": Side.SELL,
    "type": OrderType.LIMIT,
    "quantity": D("0.02"),
    "price": D("130000.5"),
    "time_in_force": TimeInForce.GTC,
    "post_only": False,
}


@pytest.fixture
def bench(sim):
    return sim.bench


@pytest.fixture
async def ask(sim):
    """A raw request with these parameters, signed; (status, body). keys: others than the right ones."""
    async with aiohttp.ClientSession() as session:
        session._retry_connection = False

        async def call(method, path=ORDER, keys=None, **asked):
            keys = keys or {"apiKey": sim.api_key, "secret": sim.secret}
            kept = {name: value for name, value in asked.items() if value is not None}
            text = urlencode(kept | {"timestamp": int(time.time() * 1000)})
            signature = hmac.new(keys["secret"].encode(), text.encode(), hashlib.sha256).hexdigest()
            url = f"{sim.url}{path}?{text}&signature={signature}"
            async with session.request(method, url, headers={"X-MBX-APIKEY": keys["apiKey"]}) as response:
                return response.status, await response.json()

        yield call


@pytest.fixture
def place(ask):
    async def placed(**changes):
        status, body = await ask("POST", **LIMIT | changes)
        assert status == 200, body
        return str(body["orderId"])

    return placed


@pytest.fixture
def cancel(ask):
    async def cancelled(order_id, **asked):
        return await ask("DELETE", symbol="BTCUSDT", orderId=order_id, **asked)

    return cancelled


# -- what the book has


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({}, {}),
        ({"type": "LIMIT_MAKER", "timeInForce": None}, {"post_only": True}),
        ({"icebergQty": "0.01", "strategyId": 7}, {"options": {"icebergQty": D("0.01"), "strategyId": D(7)}}),
        ({"symbol": "BTCEUR", "quantity": "0.0200"}, {"symbol": "BTC/EUR"}),
        (
            {"type": "STOP_LOSS_LIMIT", "stopPrice": "110000"},
            {"type": OrderType.STOP_LIMIT, "stop_price": D(110000)},
        ),
        (
            {"type": "STOP_LOSS", "stopPrice": "110000", **UNPRICED},
            {"type": OrderType.STOP, "stop_price": D(110000), "price": None, "time_in_force": TimeInForce.IOC},
        ),
    ],
    ids=["limit", "maker", "extras", "another market", "stop limit", "stop"],
)
async def test_every_term_of_an_order(bench, place, changes, terms):
    order_id = await place(**changes)
    assert bench.rows() == [Row(order_id=order_id, status=OrdStatus.NEW, **TERMS | terms)]


async def test_the_ends_of_orders(bench, place, cancel):
    market = await place(type="MARKET", newClientOrderId=None, **UNPRICED)
    killed = await place(timeInForce="FOK", newClientOrderId=None)
    resting = await place()
    cancelled = await place(newClientOrderId="other")
    await cancel(cancelled)
    ends = [OrdStatus.FILLED, OrdStatus.EXPIRED, OrdStatus.NEW, OrdStatus.CANCELED]
    assert [row.status for row in bench.rows()] == ends
    assert [row.order_id for row in bench.rows()] == [market, killed, resting, cancelled]
    assert (bench.row(market).cum_quantity, bench.row(market).time_in_force) == (D("0.02"), TimeInForce.IOC)
    assert bench.open_ids() == {resting}


# -- what it does


@pytest.mark.parametrize("kind", [*OrderType][:4], ids=str)
async def test_what_is_entered_is_what_was_wanted(bench, ask, kind):
    wanted = bench.order(kind, options={"strategyId": 7})
    order_id = await bench.enter(wanted)
    row = bench.row(order_id)
    terms = ("symbol", "side", "type", "quantity", "price", "stop_price", "client_order_id", "options")
    assert [getattr(row, name) for name in terms] == [getattr(wanted, name) for name in terms]
    assert row.time_in_force is bench.NATURAL[kind]
    _, shown = await ask("GET", symbol="BTCUSDT", origClientOrderId=wanted.client_order_id)
    assert (str(shown["orderId"]), shown["strategyId"]) == (order_id, 7)


async def test_a_sample_of_every_kind_rests_or_is_a_market_order(bench):
    for kind in bench.NATURAL:
        await bench.enter(bench.order(kind))
    assert [row.type for row in bench.rows() if not row.is_open] == [OrderType.MARKET]


async def test_fills(bench, place, cancel):
    order_id = await place()
    await bench.fill(order_id, D("0.005"))
    assert (bench.row(order_id).status, bench.row(order_id).cum_quantity) == (OrdStatus.PARTIALLY_FILLED, D("0.005"))
    await bench.fill(order_id)
    assert (bench.row(order_id).status, bench.row(order_id).cum_quantity) == (OrdStatus.FILLED, D("0.02"))
    assert (await cancel(order_id))[1]["code"] == -2011


async def test_what_is_expelled_has_expired(bench, ask, place):
    order_id = await place()
    await bench.expel(order_id)
    _, shown = await ask("GET", symbol="BTCUSDT", orderId=order_id)
    assert (bench.row(order_id).status, shown["status"]) == (OrdStatus.EXPIRED, "EXPIRED")
    with pytest.raises(ValueError, match="cannot end"):
        await bench.expel(order_id)


async def test_the_words_of_refusal(bench, ask, place, cancel):
    order_id = await place()
    for refusal in bench.REFUSALS:
        bench.refuse(refusal)
        asked = ask("POST", **LIMIT | {"newClientOrderId": None}) if refusal.verb is Verb.SUBMIT else cancel(order_id)
        status, body = await asked
        assert f"{body['code']} {body['msg']}" == refusal.word
        assert status == (401 if body["code"] in {-2014, -2015} else 400)
    assert bench.open_ids() == {order_id}
    assert (await cancel(order_id))[0] == 200  # only the next one was refused


async def test_a_refusal_waits_for_its_verb_and_for_who_may_ask(bench, place, cancel):
    bench.refuse(next(refusal for refusal in bench.REFUSALS if refusal.verb is Verb.CANCEL))
    order_id = await place()
    stranger = bench.wrong()["key"]["credentials"]
    answers = [await cancel(order_id, keys=stranger), await cancel(order_id), await cancel(order_id)]
    assert [body.get("code") for _, body in answers] == [-2015, -1100, None]


async def test_dropped_in_the_middle_of_an_answer(bench, sim, place, cancel):
    await place()
    sim.switches.hold = True
    asked = asyncio.ensure_future(place(newClientOrderId="other"))
    await sim.until_held(1)
    await bench.drop()
    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(asked, 5)
    sim.release()
    sim.switches.hold = False
    assert (await cancel(bench.rows()[1].order_id))[0] == 200


# -- what it says of others


async def test_what_was_asked(bench, ask, place, cancel):
    order_id = await place()
    await cancel(order_id, newClientOrderId="the cancel's own")
    await ask("DELETE", symbol="BTCUSDT", origClientOrderId="mine", newClientOrderId="the cancel's own")
    await ask("GET", "/api/v3/openOrders")
    assert [bench.named(item) for item in bench.asked(Verb.CANCEL)] == [order_id, "mine"]
    assert [bench.named(item) for item in bench.asked(Verb.SUBMIT, Verb.LIST)] == ["mine", ""]
    assert bench.written(Verb.CANCEL, order_id) == 1


async def test_nobody_has_an_unknown_id(bench, ask, cancel):
    names = {"symbol": "BTCUSDT", "origClientOrderId": bench.unknown(IdKind.CLIENT_ORDER)}
    answers = [await cancel(bench.unknown(IdKind.ORDER)), await ask("DELETE", **names)]
    assert [body["code"] for _, body in answers] == [-2011, -2011]  # -1100 would be no id at all


def test_every_command_is_for_something(bench, sim):
    assert bench.VERBS.keys() == sim.COMMANDS


@pytest.mark.parametrize(("name", "code"), [("key", -2015), ("secret", -1022)])
async def test_who_may_not_trade(bench, place, cancel, name, code):
    order_id = await place()
    assert (await cancel(order_id, keys=bench.wrong()[name]["credentials"]))[1]["code"] == code
    assert bench.open_ids() == {order_id}
