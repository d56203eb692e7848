"""That the bench of the simulated QFEX tells the truth of its book, and does what it says. Asked by hand-written frames."""

import json
from decimal import Decimal

import pytest
from websockets.exceptions import ConnectionClosed

from router import IdKind, OrderType, Side, TimeInForce
from router.report import OrdStatus
from router.testing import Row, Verb

D = Decimal
TWAP = {"symbol": "AAPL-USD", "side": "SELL", "total_quantity": 3, "num_orders": 4, "order_interval_secs": 60}
LIMIT = {
    "symbol": "AAPL-USD",
    "side": Side.SELL,
    "type": OrderType.LIMIT,
    "quantity": D("10"),
    "price": D("150.5"),
    "time_in_force": TimeInForce.GTC,
    "client_order_id": "mine",
    "post_only": False,
    "reduce_only": False,
}


async def answers(client, count):
    return [await client.recv() for _ in range(count)]


async def test_every_term_of_an_order(raw_venue, raw_client):
    placed = await raw_client.add(
        side="SELL", order_type="ALO", reduce_only=True, take_profit=120.25, stop_loss=160.5, quantity=0.125
    )
    changed = {"post_only": True, "reduce_only": True, "quantity": D("0.125")}
    attached = {"take_profit": D("120.25"), "stop_loss": D("160.5")}
    row = Row(order_id=placed["order_id"], status=OrdStatus.NEW, **LIMIT | changed, options=attached)
    assert raw_venue.bench.rows() == [row]


@pytest.mark.parametrize(("word", "kind"), [("STOP_LOSS", OrderType.STOP), ("TAKE_PROFIT", OrderType.TAKE_PROFIT)])
async def test_the_price_of_a_stop_is_its_trigger(raw_venue, raw_client, word, kind):
    placed = await raw_client.add(side="SELL", order_type=word, price=120.5)
    own = {"kind": IdKind.STOP_ORDER, "type": kind, "price": None, "stop_price": D("120.5")}
    assert raw_venue.bench.row(placed["order_id"]) == Row(
        order_id=placed["order_id"], status=OrdStatus.NEW, **LIMIT | own
    )


async def test_a_twap_follows_the_order_before_it(raw_venue, raw_client):
    first = (await raw_client.add())["order_id"]
    wanted = TWAP | {"reduce_only": True, "client_twap_id": "slow", "start_time": 1.5, "worst_price": 99}
    twap = (await raw_client.ask("add_twap", **wanted))["twap_response"]["twap_id"]
    last = (await raw_client.add())["order_id"]
    rows = raw_venue.bench.rows()
    assert [row.order_id for row in rows] == [first, twap, last]
    options = {"num_orders": 4, "order_interval_secs": 60, "start_time": D("1.5"), "worst_price": 99}
    own = {"quantity": 3, "client_order_id": "slow", "reduce_only": True, "kind": IdKind.TWAP, "type": OrderType.TWAP}
    none = {"price": None, "time_in_force": None, "post_only": None}
    assert rows[1] == Row(order_id=twap, status=OrdStatus.NEW, **LIMIT | own | none, options=options)
    await raw_client.cancel(twap, "twap_id")
    assert raw_venue.bench.row(twap).status is OrdStatus.CANCELED


async def test_the_ends_of_orders(raw_venue, raw_client):
    async def added(**changes):
        return (await raw_client.add(**changes))["order_id"]

    resting, rejected, cancelled = await added(), await added(quantity=-1), await added()
    await raw_client.cancel(cancelled)
    ioc = await added(order_time_in_force="IOC")
    await raw_client.updates(1)
    market = await added(order_type="MARKET", order_time_in_force="IOC")
    statuses = {row.order_id: row.status for row in raw_venue.bench.rows()}
    assert statuses == {
        resting: OrdStatus.NEW,
        rejected: OrdStatus.REJECTED,
        cancelled: OrdStatus.CANCELED,
        ioc: OrdStatus.CANCELED,
        market: OrdStatus.FILLED,
    }
    assert raw_venue.bench.open_ids() == {resting}


async def test_an_order_modified_under_a_new_id_is_two(raw_venue, raw_client):
    raw_venue.variants.modify_changes_order_id = True
    old = await raw_client.add()
    new = await raw_client.modify(old, price=151, quantity=4)
    rows = raw_venue.bench.rows()
    assert [(row.order_id, row.status, row.price) for row in rows] == [
        (old["order_id"], OrdStatus.CANCELED, D("150.5")),
        (new["order_id"], OrdStatus.NEW, D(151)),
    ]


# -- what it does


@pytest.mark.parametrize("kind", [OrderType.LIMIT, OrderType.STOP, OrderType.TAKE_PROFIT])
async def test_what_is_entered_is_told_to_who_listens(raw_venue, raw_client, raw_trading, kind):
    wanted = raw_venue.bench.order(kind, reduce_only=True)
    async with raw_trading(raw_venue, channels=()) as deaf:
        order_id = await raw_venue.bench.enter(wanted)
        told = (await raw_client.recv())["order_response"]
        assert (told["order_id"], told["status"], told["quantity"]) == (order_id, "ACK", 2.0)
        assert [row["order_id"] for row in await deaf.orders()] == [order_id]  # and no frame before
    row = raw_venue.bench.row(order_id)
    terms = ("symbol", "side", "type", "quantity", "price", "stop_price", "client_order_id", "reduce_only")
    assert [getattr(row, name) for name in terms] == [getattr(wanted, name) for name in terms]


async def test_what_cannot_be_entered(raw_venue):
    with pytest.raises(ValueError, match="QUANTITY_GREATER"):
        await raw_venue.bench.enter(raw_venue.bench.order(quantity=10**9))


@pytest.mark.parametrize("copies", [0, 1, 2, 3])
async def test_a_fill_is_told_in_the_same_words(raw_venue, raw_client, copies):
    order_id = (await raw_client.add())["order_id"]
    await raw_venue.bench.fill(order_id, D("2.5"), copies=copies)
    told = await answers(raw_client, 2 * copies)
    assert told == told[:2] * copies
    assert [next(iter(frame)) for frame in told[:2]] == ["order_response", "fill_response"][: 2 * copies]
    row = raw_venue.bench.row(order_id)
    assert (row.status, row.cum_quantity) == (OrdStatus.PARTIALLY_FILLED, D("2.5"))
    assert len(await raw_client.orders()) == 1  # and no frame before


async def test_a_stop_fires_in_full(raw_venue, raw_client):
    stop_id = (await raw_client.add_stop())["order_id"]
    with pytest.raises(ValueError, match="in full"):
        await raw_venue.bench.fill(stop_id, D(1))
    await raw_venue.bench.fill(stop_id, copies=2)
    assert [frame.keys() for frame in await answers(raw_client, 4)] == [{"order_response"}, {"fill_response"}] * 2
    assert (raw_venue.bench.row(stop_id).status, raw_venue.bench.row(stop_id).cum_quantity) == (OrdStatus.FILLED, 2)


async def test_a_twap_trades_by_a_child(raw_venue, raw_client):
    twap = await raw_venue.bench.enter(raw_venue.bench.order(OrderType.TWAP))
    await raw_venue.bench.fill(twap, D("0.5"))
    child = (await raw_client.recv())["order_response"]
    assert (child["status"], child["quantity"], child["client_order_id"]) == ("ACK", 0.5, "")
    assert (await raw_client.trade())[1]["order_id"] == child["order_id"]
    assert raw_venue.bench.row(twap).status is OrdStatus.PARTIALLY_FILLED
    await raw_venue.bench.fill(twap)
    assert (raw_venue.bench.row(twap).status, raw_venue.bench.row(twap).cum_quantity) == (OrdStatus.FILLED, 2)
    assert twap not in raw_venue.bench.open_ids()


@pytest.mark.parametrize("kind", [OrderType.LIMIT, OrderType.STOP, OrderType.TWAP])
async def test_what_is_expelled_is_told_once(raw_venue, raw_client, kind):
    order_id = await raw_venue.bench.enter(raw_venue.bench.order(kind))
    if kind is not OrderType.TWAP:
        await raw_client.recv()
    await raw_venue.bench.expel(order_id)
    told = (await raw_client.recv())["order_response"]
    assert (told["order_id"], told["status"][:9]) == (order_id, "CANCELLED")
    assert (await raw_client.orders(), raw_venue.bench.row(order_id).status) == ([], OrdStatus.CANCELED)


REQUESTS = {
    Verb.SUBMIT: ("add_order", {"client_order_id": "new"}),
    Verb.CANCEL: ("cancel_order", {"cancel_order_id_type": "order_id"}),
    Verb.REPLACE: ("modify_order", {"reduce_only": False, "price": 99}),
}


@pytest.mark.parametrize("verb", REQUESTS)
async def test_the_words_of_refusal(raw_venue, raw_client, verb):
    order = await raw_client.add()
    before, (command, changes) = raw_venue.bench.rows(), REQUESTS[verb]
    given = {"symbol": "AAPL-USD", "side": "BUY", "order_type": "LIMIT", "order_time_in_force": "GTC", "quantity": 1}
    for refusal in [refusal for refusal in raw_venue.bench.REFUSALS if refusal.verb is verb]:
        raw_venue.bench.refuse(refusal)
        told = await raw_client.ask(command, **given | {"price": 99, "order_id": order["order_id"]} | changes)
        body = told.get("order_response") or told["err"]
        assert refusal.word in {body.get("status"), body.get("error_code")}
        if verb is not Verb.SUBMIT and "status" in body:
            assert body["order_id"] == order["order_id"]
    assert raw_venue.bench.rows() == before
    assert (await raw_client.cancel(order["order_id"]))["status"] == "CANCELLED"  # only the next one was refused


async def test_a_refusal_waits_for_its_verb(raw_venue, raw_client):
    cancel = next(each for each in raw_venue.bench.REFUSALS if each.verb is Verb.CANCEL and each.word == "REJECTED")
    raw_venue.bench.refuse(cancel)
    assert (await raw_client.add())["status"] == "ACK"
    stop = (await raw_client.add_stop())["order_id"]
    told = (await raw_client.ask("cancel_stop_order", stop_order_id=stop))["order_response"]
    assert (told["order_id"], told["status"], stop in raw_venue.bench.open_ids()) == (stop, "REJECTED", True)


async def test_dropped_and_restarted(raw_venue, raw_client, raw_trading):
    bench, order_id = raw_venue.bench, (await raw_client.add())["order_id"]
    await bench.drop()
    assert raw_venue.connections == 0
    with pytest.raises(ConnectionClosed):
        await raw_client.recv()
    url = raw_venue.url
    await raw_venue.stop()
    await raw_venue.start()
    assert (raw_venue.url, raw_venue.bench) == (url, bench)
    async with raw_trading(raw_venue) as again:
        assert [row["order_id"] for row in await again.orders()] == [order_id]


# -- what it says of others


async def test_what_was_asked(raw_venue, raw_client):
    await raw_client.add(client_order_id="tag")
    await raw_client.ask("add_twap", **TWAP, reduce_only=False, client_twap_id="slow")
    await raw_client.cancel("nothing")
    await raw_client.ask("cancel_stop_order", stop_order_id="nothing")
    await raw_client.orders()
    await raw_client.socket.send(json.dumps({"type": "cancel_order", "params": ["nothing"]}))
    await raw_client.recv()
    bench = raw_venue.bench
    assert [bench.named(item) for item in bench.asked(Verb.SUBMIT)] == ["tag", "slow"]
    assert [bench.named(item) for item in bench.asked(Verb.CANCEL)] == ["nothing", "nothing", ""]
    assert (bench.written(Verb.CANCEL, "nothing"), len(bench.asked(Verb.LIST))) == (2, 1)
    assert (len(bench.asked(Verb.LOGIN)), len(bench.asked(Verb.SUBSCRIBE))) == (1, 2)


def test_every_command_is_for_something(raw_venue):
    assert raw_venue.bench.VERBS.keys() == raw_venue.COMMANDS


async def test_who_may_log_in(raw_venue, raw_connected):
    async def login(**changes):
        given = {name: value for name, value in (raw_venue.credentials | changes).items() if value is not None}
        async with raw_connected(raw_venue) as client:
            proof = {"jwt": given["jwt"]} if "jwt" in given else {"hmac": client.proof()}
            if "hmac" in proof:
                proof["hmac"]["public_key"] = given["public_key"]
            account = {"account_id": given["account_id"]} if "account_id" in given else {}
            return await client.ask("auth", **proof, **account)

    for changes in raw_venue.bench.logins().values():
        assert await login(**changes) == {"authenticated": True}
    wrong = raw_venue.bench.wrong()
    assert wrong.pop("secret")["secret_key"] != raw_venue.secret_key
    for changes in wrong.values():
        assert (await login(**changes))["err"]["error_code"] == "PermissionDenied"


def test_the_variants_exist(raw_venue):
    assert len(raw_venue.bench.VARIANTS) > 10
    for name, values in raw_venue.bench.VARIANTS.items():
        for path, value in values.items():
            part, _, attribute = path.partition(".")
            assert getattr(getattr(raw_venue, part), attribute) != value, name
