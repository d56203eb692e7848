"""Entering, cancelling and modifying orders at the simulated QFEX."""

from uuid import UUID

import pytest

from adapters.qfex.simulator import Instrument, QfexSimulator, Variants

AAPL = "AAPL-USD"


# -- orders


async def test_an_acknowledgement_has_the_documented_shape(raw_venue, raw_client):
    body = await raw_client.add()
    assert UUID(body["order_id"]).version == 4
    assert body == {
        "order_id": next(iter(raw_venue.book)),
        "symbol": AAPL,
        "status": "ACK",
        "quantity": 10.0,
        "price": 150.5,
        "take_profit": 0.0,
        "stop_loss": 0.0,
        "side": "BUY",
        "type": "LIMIT",
        "time_in_force": "GTC",
        "user_id": raw_venue.account_id,
        "client_order_id": "mine",
        "quantity_remaining": 10.0,
        "trade_id": None,
    }
    assert type(body["quantity"]) is float


@pytest.mark.parametrize("reduce_only", [True, 0, 1])
async def test_an_absent_client_order_id_is_made_up_and_reduce_only_may_be_a_number(raw_venue, raw_client, reduce_only):
    body = await raw_client.add(client_order_id="", reduce_only=reduce_only)
    assert UUID(body["client_order_id"])
    assert raw_venue.book[body["order_id"]].reduce_only is bool(reduce_only)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"symbol": "DOGE-USD"}, "BAD_SYMBOL"),
        ({"price": 150.505}, "INVALID_TICK_SIZE_PRECISION_PRICE"),
        ({"price": -1}, "PRICE_LESS_THAN_MIN_PRICE"),
        ({"price": 0.5}, "REJECTED_LESS_THAN_MIN_PRICE_BAND"),
        ({"price": 2_000_000}, "REJECTED_GREATER_THAN_MAX_PRICE_BAND"),
        ({"quantity": 1.0005}, "INVALID_TICK_SIZE_PRECISION_QUANTITY"),
        ({"quantity": 0.001}, "QUANTITY_LESS_THAN_MIN_QUANTITY"),
        ({"quantity": -5}, "QUANTITY_LESS_THAN_MIN_QUANTITY"),
        ({"quantity": 99_999_999_999}, "QUANTITY_GREATER_THAN_MAX_QUANTITY"),
        ({"order_type": "ALO", "order_time_in_force": "IOC"}, "INVALID_TIME_IN_FORCE"),
        ({"order_type": "MARKET"}, "INVALID_TIME_IN_FORCE"),
        ({"order_type": "STOP_MARKET"}, "INVALID_ORDER_TYPE"),
        ({"take_profit": 0.005}, "INVALID_TAKEPROFIT_PRICE"),
        ({"stop_loss": -1}, "INVALID_STOPLOSS_PRICE"),
    ],
)
async def test_the_engine_rejects_with_a_status(raw_venue, raw_client, change, status):
    body = await raw_client.add(**change)
    assert (body["status"], body["client_order_id"]) == (status, "mine")
    assert body["quantity_remaining"] == body["quantity"]
    assert raw_venue.history[body["order_id"]].status == status
    assert raw_venue.book == raw_venue.stops == {}


async def test_rejects_may_come_as_err(raw_venue, raw_client):
    raw_venue.variants.reject_with_err = True
    await raw_client.enter(price=150.505)
    err = (await raw_client.recv())["err"]
    assert (err["error_code"], err["message"]) == ("InvalidOrder", "INVALID_TICK_SIZE_PRECISION_PRICE")
    assert err["incoming_message"]["params"]["client_order_id"] == "mine"
    assert raw_venue.book == {}


async def test_symbols_are_what_the_constructor_says(raw_trading):
    symbols = {"TOY-USD": Instrument("1", "1", "1", "10")}
    async with QfexSimulator(symbols=symbols) as venue, raw_trading(venue) as client:
        assert (await client.add())["status"] == "BAD_SYMBOL"
        mine = await client.add(symbol="TOY-USD", price=9)
        assert list(venue.book) == [mine["order_id"]]


# -- cancels


async def test_cancel_by_order_id(raw_venue, raw_client):
    mine, other = await raw_client.add(), await raw_client.add()
    assert await raw_client.cancel(mine["order_id"]) == mine | {"status": "CANCELLED"}
    assert list(raw_venue.book) == [other["order_id"]]
    assert raw_venue.history[mine["order_id"]].status == "CANCELLED"


async def test_cancel_by_client_order_id_hits_every_open_order_of_the_symbol(raw_venue, raw_client):
    twins = {(await raw_client.add())["order_id"], (await raw_client.add())["order_id"]}
    elsewhere = await raw_client.add(symbol="NVDA-USD")
    await raw_client.send("cancel_order", symbol=AAPL, order_id="mine", cancel_order_id_type="client_order_id")
    replies = await raw_client.updates(len(twins))
    assert {reply["order_id"] for reply in replies} == twins
    assert {reply["status"] for reply in replies} == {"CANCELLED"}
    assert list(raw_venue.book) == [elsewhere["order_id"]]


@pytest.mark.parametrize("id_type", ["order_id", "client_order_id", "twap_id", "client_twap_id"])
async def test_cancelling_what_is_not_there_is_answered_once(raw_venue, raw_client, id_type):
    mine = await raw_client.add()
    body = await raw_client.cancel("nothing", id_type)
    assert body["status"] == "NO_SUCH_ORDER"
    assert body["client_order_id" if id_type.startswith("client") else "order_id"] == "nothing"
    assert [row["order_id"] for row in await raw_client.orders()] == [mine["order_id"]] == list(raw_venue.book)


@pytest.mark.parametrize("id_type", ["order_id", "client_order_id"])
async def test_orders_of_another_account_or_symbol_are_out_of_reach(raw_venue, raw_client, raw_trading, id_type):
    mine = await raw_client.add()
    key = mine[id_type]
    async with raw_trading(raw_venue, account_id=raw_venue.sub_accounts[0]) as stranger:
        for one, symbol in ((stranger, AAPL), (raw_client, "NVDA-USD")):
            assert (await one.cancel(key, id_type, symbol))["status"] == "NO_SUCH_ORDER"
    assert list(raw_venue.book) == [mine["order_id"]]


async def test_cancel_all_acknowledges_and_then_reports_each(raw_venue, raw_client, raw_trading):
    ids = {(await raw_client.add())["order_id"], (await raw_client.add(symbol="NVDA-USD"))["order_id"]}
    ids.add((await raw_client.add_stop())["order_id"])
    async with raw_trading(raw_venue, account_id=raw_venue.sub_accounts[0]) as stranger:
        theirs = await stranger.add()
        assert await raw_client.ask("cancel_all_orders") == {
            "ack": {"incoming_message": {"type": "cancel_all_orders", "params": {}}}
        }
        replies = await raw_client.updates(len(ids))
    assert {reply["order_id"] for reply in replies} == ids
    assert {reply["status"] for reply in replies} == {"CANCELLED"}
    assert [*raw_venue.book, *raw_venue.stops] == [theirs["order_id"]]


async def test_cancel_all_may_spare_stops_and_acknowledge_briefly(raw_venue, raw_client):
    raw_venue.variants = Variants(cancel_all_stops=False, ack="ack_response")
    spared = (await raw_client.add_stop())["order_id"]
    assert await raw_client.ask("cancel_all_orders") == {"ack_response": True}
    assert [row["order_id"] for row in await raw_client.orders()] == [spared]
    assert list(raw_venue.stops) == [spared]


# -- modify


async def test_modify_keeps_the_id(raw_venue, raw_client):
    mine = await raw_client.add()
    body = await raw_client.modify(mine, price=140, quantity=3)
    expected = {"status": "MODIFIED", "price": 140.0, "quantity": 3.0, "quantity_remaining": 3.0}
    assert body == mine | expected
    assert {key: entry.price for key, entry in raw_venue.book.items()} == {mine["order_id"]: 140}


async def test_modify_may_change_the_id(raw_venue, raw_client):
    raw_venue.variants.modify_changes_order_id = True
    mine = await raw_client.add()
    body = await raw_client.modify(mine, price=140)
    assert body["order_id"] != mine["order_id"]
    assert list(raw_venue.book) == [body["order_id"]]
    assert raw_venue.history[mine["order_id"]].status == "MODIFIED"
    assert (await raw_client.cancel(mine["order_id"]))["status"] == "NO_SUCH_ORDER"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"side": "SELL"}, "CANNOT_MODIFY_NO_SUCH_ORDER"),
        ({"order_id": "nothing"}, "CANNOT_MODIFY_NO_SUCH_ORDER"),
        ({"order_type": "ALO"}, "INVALID_ORDER_TYPE"),
        ({"reduce_only": True}, "REJECTED"),
        ({"price": 140.001}, "INVALID_TICK_SIZE_PRECISION_PRICE"),
    ],
)
async def test_a_rejected_modify_changes_nothing(raw_venue, raw_client, changes, status):
    mine = await raw_client.add()
    body = await raw_client.modify(mine, **{"price": 140} | changes)
    assert body["status"] == status
    [entry] = raw_venue.book.values()
    assert (entry.order_id, entry.price, entry.status) == (mine["order_id"], 150.5, "ACK")


async def test_a_partly_filled_order_cannot_be_modified(raw_venue, raw_client):
    mine = await raw_client.add()
    await raw_venue.fill(mine["order_id"], 4)
    assert [*await raw_client.recv(), *await raw_client.recv()] == ["order_response", "fill_response"]
    body = await raw_client.modify(mine, price=140)
    assert (body["status"], body["quantity_remaining"]) == ("CANNOT_MODIFY_PARTIAL_FILL", 6.0)
    assert raw_venue.book[mine["order_id"]].price == 150.5


async def test_a_post_only_order_cannot_be_modified_into_the_market(raw_venue, raw_client):
    await raw_client.add(side="SELL", price=160)
    mine = await raw_client.add(order_type="ALO")
    assert (await raw_client.modify(mine, price=160))["status"] == "CANNOT_MODIFY_ALO_WOULD_CROSS"
    assert raw_venue.book[mine["order_id"]].price == 150.5
