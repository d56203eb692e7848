"""That the bench of the simulated B2TRADER tells the truth of its book, and does what it says. Asked by hand-written requests."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import aiohttp
import pytest

from adapters.b2trader.simulator.orders import OPEN
from router import IdKind, OrderType, Side, TimeInForce
from router.report import OrdStatus
from router.testing import Row, Verb

D = Decimal
STOPS = "/frontoffice/api/v3/stop-orders"
PERP = "/frontoffice/api/perpetual/v4/orders"
SPOT = {"marketId": "spot.btc_usdt", "side": "Sell", "orderType": "Limit", "timeInForce": "Gtc"}
LIMIT = SPOT | {"requestedAmount": "0.02", "requestedPrice": "115193.35"}
TERMS = {
    "symbol": "spot.btc_usdt",
    "side": Side.SELL,
    "type": OrderType.LIMIT,
    "quantity": D("0.02"),
    "price": D("115193.35"),
    "time_in_force": TimeInForce.GTC,
}


@pytest.fixture
def bench(raw_venue):
    return raw_venue.bench


async def placed(client, order, path="/frontoffice/api/v3/orders"):
    status, body = await client.place(order, path)
    assert status == 200, body
    return body["order"]["orderId"]


# -- what the book has


async def test_every_term_of_an_order(bench, raw_client):
    until = {"timeInForce": "Gtd", "cancellationDate": "2030-01-02T03:04:05.600Z", "comment": "mine"}
    order_id = await placed(raw_client, LIMIT | until)
    expires = datetime(2030, 1, 2, 3, 4, 5, 600000, UTC)
    terms = TERMS | {"time_in_force": TimeInForce.GTD, "expires_at": expires, "options": {"comment": "mine"}}
    assert bench.rows() == [Row(order_id=order_id, status=OrdStatus.NEW, **terms)]


async def test_lots_and_what_is_attached(bench, raw_client):
    order = {"marketId": "perp.btc_usdt", "side": "Buy", "orderType": "Market", "timeInForce": "Ioc"}
    order |= {"requestedLotAmount": 20, "leverage": 7, "takeProfit": {"price": "120000.5"}}
    order_id = await placed(raw_client, order | {"stopLoss": {"price": 110000, "isTrailing": True}}, PERP)
    row = bench.row(order_id)
    assert (row.type, row.quantity, row.cum_quantity, row.price) == (OrderType.MARKET, 20, 20, None)
    loss = {"price": 110000, "isTrailing": True}
    assert row.options == {"unit": "lots", "leverage": 7, "take_profit": D("120000.5"), "stop_loss": loss}


@pytest.mark.parametrize(("word", "kind"), [("Limit", OrderType.STOP_LIMIT), ("Market", OrderType.STOP)])
async def test_every_term_of_a_stop(bench, raw_client, word, kind):
    order = LIMIT | {"orderType": word, "activationPrice": 100} | ({} if word == "Limit" else {"requestedPrice": None})
    stop_id = await placed(raw_client, order, STOPS)
    own = {"kind": IdKind.STOP_ORDER, "type": kind, "stop_price": 100}
    price = D("115193.35") if word == "Limit" else None
    assert bench.rows() == [Row(order_id=stop_id, status=OrdStatus.NEW, **TERMS | own | {"price": price})]


@pytest.mark.parametrize("mode", ["rejected", "dated", "unchanged"])
async def test_a_cancelled_stop_is_cancelled_whatever_it_says(bench, raw_client, raw_venue, mode):
    raw_venue.stop_cancel_mode = mode
    stop_id = await raw_client.stop()
    await raw_client.cancel_stop(stop_id)
    assert (bench.row(stop_id).status, bench.open_ids()) == (OrdStatus.CANCELED, set())


async def test_the_ends_of_orders(bench, raw_client, raw_venue):
    resting, cancelled = await raw_client.order(), await raw_client.order()
    await raw_client.cancel(cancelled)
    killed = await raw_client.order(timeInForce="Fok", requestedPrice=1)
    raw_venue.funds_mode, raw_venue.reject_next = "200", 1
    rejected = await raw_client.order()
    expected = [OrdStatus.NEW, OrdStatus.CANCELED, OrdStatus.CANCELED, OrdStatus.REJECTED]
    rows = {row.order_id: row.status for row in bench.rows()}
    assert rows == dict(zip([resting, cancelled, killed, rejected], expected, strict=True))


# -- what it does


@pytest.mark.parametrize("kind", [OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT])
async def test_what_is_entered_is_what_was_wanted(bench, raw_client, kind):
    wanted = bench.order(kind, options={"comment": "from elsewhere"})
    order_id = await bench.enter(wanted)
    row = bench.row(order_id)
    terms = ("symbol", "side", "type", "quantity", "price", "stop_price", "options")
    assert [getattr(row, name) for name in terms] == [getattr(wanted, name) for name in terms]
    path = STOPS if row.kind is IdKind.STOP_ORDER else "/frontoffice/api/v3/orders"
    assert (await raw_client.cancel(order_id, path))[0] == 200


async def test_an_order_entered_until_a_date_in_lots(bench):
    until = datetime(2030, 1, 2, tzinfo=UTC)
    options = {"unit": "lots", "leverage": 3, "take_profit": "7", "stop_loss": {"price": "5", "isTrailing": True}}
    terms = {"symbol": "perp.btc_usdt", "time_in_force": "gtd", "expires_at": until}
    row = bench.row(await bench.enter(bench.order(**terms, options=options)))
    assert (row.quantity, row.expires_at, row.time_in_force) == (2, until, TimeInForce.GTD)
    assert row.options == options | {"take_profit": D(7), "stop_loss": {"price": D(5), "isTrailing": True}}


async def test_fills(bench, raw_client):
    order_id = await raw_client.order()
    await bench.fill(order_id, D("0.005"))
    assert (bench.row(order_id).status, bench.row(order_id).cum_quantity) == (OrdStatus.PARTIALLY_FILLED, D("0.005"))
    await bench.fill(order_id)
    assert (bench.row(order_id).status, bench.row(order_id).cum_quantity) == (OrdStatus.FILLED, D("0.02"))
    assert (await raw_client.cancel(order_id))[0] == 404


@pytest.mark.parametrize("kind", [OrderType.STOP, OrderType.STOP_LIMIT])
async def test_a_stop_that_fires(bench, raw_client, kind):
    stop_id = await bench.enter(bench.order(kind))
    await bench.fill(stop_id)
    stop, child = bench.rows()
    assert (stop.order_id, stop.status, stop.cum_quantity) == (stop_id, OrdStatus.FILLED, 2)
    assert (child.kind, child.stop_price, child.status) == (IdKind.ORDER, None, OrdStatus.FILLED)
    assert (await raw_client.cancel_stop(stop_id))[1]["order"]["status"] == "Activated"


async def test_a_market_order_cannot_trade_in_part(bench):
    with pytest.raises(ValueError, match="at once"):
        await bench.fill(await bench.enter(bench.order(OrderType.STOP)), D(1))


async def test_what_is_expelled(bench, raw_client):
    order_id, stop_id = await raw_client.order(), await raw_client.stop()
    await bench.expel(order_id)
    await bench.expel(stop_id)
    assert [bench.row(each).status for each in (order_id, stop_id)] == [OrdStatus.CANCELED, OrdStatus.REJECTED]
    assert [(await raw_client.cancel(order_id))[0], (await raw_client.cancel_stop(stop_id))[0]] == [404, 404]


@pytest.mark.parametrize("kind", ["order", "stop"])
async def test_the_words_of_refusal(bench, raw_client, kind):
    order_id = await getattr(raw_client, kind)()
    again = raw_client.place if kind == "order" else raw_client.place_stop
    cancel = raw_client.cancel if kind == "order" else raw_client.cancel_stop
    for refusal in bench.REFUSALS:
        if kind == "stop" and refusal.word in OPEN:
            continue  # an order's status, and no stop's
        bench.refuse(refusal)
        status, body = await (again() if refusal.verb is Verb.SUBMIT else cancel(order_id))
        assert refusal.word == (body["order"]["status"] if status == 200 else str(status))
    assert bench.open_ids() == {order_id}
    assert (await cancel(order_id))[0] == 200  # only the next one was refused


async def test_a_refusal_waits_for_its_verb(bench, raw_client):
    bench.refuse(next(refusal for refusal in bench.REFUSALS if refusal.verb is Verb.CANCEL))
    order_id = await raw_client.order()
    assert [(await raw_client.cancel(order_id))[0] for _ in range(2)] == [400, 200]


async def test_dropped_in_the_middle_of_an_answer(bench, raw_client, raw_venue):
    await raw_client.order()
    raw_venue.switches.hold = True
    asked = asyncio.ensure_future(raw_client.order())
    await raw_venue.until_held(1)
    await bench.drop()
    with pytest.raises(aiohttp.ClientError):
        await asyncio.wait_for(asked, 5)
    raw_venue.release()
    raw_venue.switches.hold = False
    assert len(bench.rows()) == 2
    assert (await raw_client.cancel(bench.rows()[1].order_id))[0] == 200


async def test_restarted(bench, raw_client, raw_venue):
    order_id, url = await raw_client.order(), raw_venue.url
    await raw_venue.stop()
    await raw_venue.start()
    assert (raw_venue.url, raw_venue.bench) == (url, bench)
    assert (await raw_client.cancel(order_id))[0] == 200  # with the token of before


# -- what it says of others


async def test_what_was_asked(bench, raw_client):
    order_id, stop_id = await raw_client.order(), await raw_client.stop()
    await raw_client.cancel(order_id)
    await raw_client.cancel_stop(stop_id)
    await raw_client.cancel(order_id + "?twice=1")
    assert [bench.named(item) for item in bench.asked(Verb.CANCEL)] == [order_id, stop_id, order_id]
    assert [bench.named(item) for item in bench.asked(Verb.SUBMIT)] == ["", ""]
    assert bench.written(Verb.CANCEL, order_id) == 2


def test_every_command_is_for_something(bench, raw_venue):
    assert bench.VERBS.keys() == raw_venue.COMMANDS


async def test_who_may_trade(bench, raw_client):
    access = "/frontoffice/api/v4/access-token"
    for changes in [*bench.logins().values(), bench.setups()["token"]]:
        assert (await raw_client.cancel("nothing", token=changes["token"]))[0] == 404
    wrong = bench.wrong()
    assert (await raw_client.cancel("nothing", token=wrong["token"]["token"]))[0] == 401
    body = {"token": wrong["offline token"]["offline_token"]}
    assert (await raw_client.call("POST", access, body, token=None, account=None))[0] == 401


def test_the_variants_exist(bench, raw_venue):
    assert len(bench.VARIANTS) > 5
    for name, values in bench.VARIANTS.items():
        for attribute, value in values.items():
            assert getattr(raw_venue, attribute) != value, name
