"""How orders trade at the simulated QFEX, and what its lists of orders and trades show."""

import pytest

AAPL = "AAPL-USD"


# -- fills


async def test_a_partial_and_a_full_fill(raw_venue, raw_client):
    mine = await raw_client.add()
    await raw_venue.fill(mine["order_id"], 4, 149)
    status, fill = await raw_client.trade()
    assert status == mine | {"status": "FILLED", "quantity_remaining": 6.0, "trade_id": fill["trade_id"]}
    assert (fill["quantity"], fill["price"], fill["order_price"]) == (4.0, 149.0, 150.5)
    assert (fill["remaining_quantity"], fill["side"], fill["aggressor_side"]) == (6.0, "BUY", "SELL")
    assert raw_venue.book[mine["order_id"]].remaining == 6
    assert [row["quantity_remaining"] for row in await raw_client.orders()] == [6.0]
    await raw_venue.fill(mine["order_id"])
    status, fill = await raw_client.trade()
    assert (status["quantity_remaining"], fill["quantity"]) == (0.0, 6.0)
    assert (raw_venue.book, raw_venue.positions) == ({}, {AAPL: 10})
    with pytest.raises(KeyError):
        await raw_venue.fill(mine["order_id"])


async def test_a_fill_beyond_what_is_open_is_a_mistake_of_the_test(raw_venue, raw_client):
    mine = await raw_client.add()
    with pytest.raises(ValueError, match="cannot fill 11 of 10"):
        await raw_venue.fill(mine["order_id"], 11)
    assert raw_venue.book[mine["order_id"]].remaining == 10


async def test_fills_may_come_twice(raw_venue, raw_client):
    raw_venue.variants.duplicate_fills = True
    mine = await raw_client.add()
    await raw_venue.fill(mine["order_id"])
    _, first, second = [await raw_client.recv() for _ in range(3)]
    assert first == second
    assert len(raw_venue.trades) == 1


async def test_an_unsolicited_cancel(raw_venue, raw_client):
    mine = await raw_client.add()
    await raw_venue.expel(mine["order_id"])
    assert (await raw_client.recv())["order_response"] == mine | {"status": "CANCELLED_STP"}
    assert raw_venue.book == {}


async def test_accounts_trade_by_price_and_then_by_age(raw_venue, raw_client, raw_trading):
    async with raw_trading(raw_venue, account_id=raw_venue.sub_accounts[0]) as maker:
        worse = await maker.add(side="SELL", price=151)
        first = await maker.add(side="SELL", price=150)
        second = await maker.add(side="SELL", price=150)
        taken = await raw_client.add(quantity=15, price=150)
    prices = [(fill.order.order_id, fill.price, fill.quantity) for fill in raw_venue.trades]
    assert prices[::2] == [(first["order_id"], 150, 10), (second["order_id"], 150, 5)]
    assert prices[1::2] == [(taken["order_id"], 150, 10), (taken["order_id"], 150, 5)]
    assert list(raw_venue.book) == [worse["order_id"], second["order_id"]]
    assert raw_venue.positions == {AAPL: 15}


async def test_ones_own_resting_order_gives_way(raw_venue, raw_client):
    resting = await raw_client.add(side="SELL", price=150)
    taker = await raw_client.add(price=150)
    [gone] = await raw_client.updates(1)
    assert (gone["order_id"], gone["status"]) == (resting["order_id"], "CANCELLED_STP")
    assert list(raw_venue.book) == [taker["order_id"]]
    assert raw_venue.trades == []


@pytest.mark.parametrize("price", [{"price": 0}, {"price": None}])
async def test_a_market_order_fills_at_the_mark(raw_venue, raw_client, price):
    ack = await raw_client.add(order_type="MARKET", order_time_in_force="IOC", **price)
    status, fill = await raw_client.trade()
    assert (ack["status"], status["status"], status["quantity_remaining"]) == ("ACK", "FILLED", 0.0)
    assert (fill["price"], fill["side"], fill["aggressor_side"]) == (200.0, "BUY", "BUY")
    assert (raw_venue.book, raw_venue.positions) == ({}, {AAPL: 10})


@pytest.mark.parametrize(
    ("style", "time_in_force", "liquidity", "statuses"),
    [
        ("new", "IOC", 4, ["ACK", "FILLED", "IOC_PARTIALLY_FILLED"]),
        ("new", "IOC", 0, ["ACK", "IOC_CANCELLED"]),
        ("old", "IOC", 4, ["ACK", "FILLED", "CANCELLED"]),
        ("old", "IOC", 0, ["ACK", "CANCELLED"]),
        ("new", "FOK", 4, ["ACK", "CANCELLED"]),
        ("new", "FOK", 10, ["ACK", "FILLED"]),
    ],
)
async def test_what_does_not_trade_at_once_ends(raw_venue, raw_trading, style, time_in_force, liquidity, statuses):
    raw_venue.variants.ioc_style = style
    async with (
        raw_trading(raw_venue, account_id=raw_venue.sub_accounts[0]) as maker,
        raw_trading(raw_venue, channels=["order_responses"]) as client,
    ):
        if liquidity:
            await maker.add(side="SELL", price=150, quantity=liquidity)
        await client.enter(order_time_in_force=time_in_force)
        assert [body["status"] for body in await client.updates(len(statuses))] == statuses
        assert await client.orders() == []
    assert all(entry.account != raw_venue.account_id for entry in raw_venue.book.values())


async def test_a_post_only_order_that_would_cross_never_rests(raw_venue, raw_client, raw_trading):
    async with raw_trading(raw_venue, account_id=raw_venue.sub_accounts[0]) as maker:
        resting = await maker.add(side="SELL", price=150)
        assert (await raw_client.add(order_type="ALO", price=150))["status"] == "REJECTED"
    assert list(raw_venue.book) == [resting["order_id"]]


async def test_close_position(raw_venue, raw_client):
    await raw_venue.set_position(AAPL, 2)
    ack = (await raw_client.ask("close_position", symbol=AAPL, client_order_id="out"))["order_response"]
    assert (ack["side"], ack["type"], ack["time_in_force"], ack["price"]) == ("SELL", "LIMIT", "IOC", 199.8)
    status, fill = await raw_client.trade()
    assert (status["status"], fill["client_order_id"]) == ("FILLED", "out")
    assert raw_venue.positions == {}
    assert await raw_client.refusal("close_position", symbol=AAPL) == "InvalidOrder"


# -- queries


async def test_open_orders_and_stops_are_paged_in_order(raw_venue, raw_client):
    ids = [(await raw_client.add())["order_id"] for _ in range(3)]
    ids.append((await raw_client.add_stop())["order_id"])
    ids.append((await raw_client.add(symbol="NVDA-USD"))["order_id"])
    pages = [await raw_client.orders(limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [[row["order_id"] for row in page] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
    assert [row["type"] for row in await raw_client.orders(symbol=AAPL)] == ["LIMIT"] * 3 + ["STOP_LOSS"]
    assert all(type(row["update_time"]) is float for row in await raw_client.orders())
    assert [*raw_venue.book, *raw_venue.stops] == [*ids[:3], ids[4], ids[3]]


async def test_get_order_in_both_shapes(raw_venue, raw_client):
    mine = await raw_client.add()
    for key in (mine["order_id"], "mine"):
        listed = (await raw_client.ask("get_order", symbol=AAPL, order_id=key))["all_orders_response"]
        assert [row["order_id"] for row in listed["orders"]] == [mine["order_id"]] == list(raw_venue.book)
    unknown = await raw_client.ask("get_order", symbol=AAPL, order_id="nothing")
    assert unknown == {"all_orders_response": {"orders": [], "twaps": []}}
    raw_venue.variants.get_order_reply = "order_response"
    assert (await raw_client.ask("get_order", symbol=AAPL, order_id="mine"))["order_response"]["status"] == "ACK"
    unknown = await raw_client.ask("get_order", symbol=AAPL, order_id="nothing")
    assert unknown["order_response"]["status"] == "NO_SUCH_ORDER"


async def test_trades_are_listed_and_filtered(raw_venue, raw_client):
    first, second = await raw_client.add(), await raw_client.add(symbol="NVDA-USD")
    for body in (first, second):
        await raw_venue.fill(body["order_id"])
        _, fill = await raw_client.trade()
    rows = (await raw_client.ask("get_user_trades"))["user_trades_response"]
    assert [row["order_id"] for row in rows] == [first["order_id"], second["order_id"]]
    assert rows[1] == {name: fill[name] for name in rows[1]}
    for filters in ({"order_id": second["order_id"]}, {"offset": 1}):
        assert (await raw_client.ask("get_user_trades", **filters))["user_trades_response"] == rows[1:]
    for unit in (1, 1000):
        assert (await raw_client.ask("get_user_trades", end_ts=1746908400 * unit))["user_trades_response"] == []
    assert len(raw_venue.trades) == 2
