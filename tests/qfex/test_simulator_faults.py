"""The faults that the simulated QFEX can be told to have, and connections that drop."""

import pytest
from websockets.exceptions import ConnectionClosedError

from adapters.qfex.simulator import Variants
from router.testing import Switches

TWAP = {
    "symbol": "AAPL-USD",
    "side": "BUY",
    "total_quantity": 10,
    "num_orders": 5,
    "order_interval_secs": 30,
    "reduce_only": False,
}


# -- switches


async def test_held_answers_come_back_in_another_order(raw_venue, raw_client):
    raw_venue.switches.hold = True
    names = [f"order-{number}" for number in range(6)]
    for name in names:
        await raw_client.enter(client_order_id=name)
    await raw_venue.until_held(6)
    assert len(await raw_client.orders()) == len(raw_venue.book) == 6
    raw_venue.release(shuffle=1)
    seen = [body["client_order_id"] for body in await raw_client.updates(6)]
    assert sorted(seen) == names != seen
    assert raw_venue.held == 0


async def test_mute_executes_and_answers_nobody(raw_venue, raw_client, raw_trading):
    async with raw_trading(raw_venue) as twin:
        raw_venue.switches.mute = True
        await raw_client.enter()
        assert len(await raw_client.orders()) == len(await twin.orders()) == len(raw_venue.book) == 1


async def test_deaf_records_and_executes_nothing(raw_venue, raw_client):
    raw_venue.switches = Switches(deaf=True)
    await raw_client.enter()
    assert await raw_client.orders() == []
    assert (raw_venue.book, len(raw_venue.commands("add_order"))) == ({}, 1)
    raw_venue.switches = Switches(deaf=True, only=frozenset({"subscribe"}))
    await raw_client.send("subscribe", channels=["fills"])
    assert (await raw_client.add())["status"] == "ACK"
    assert len(raw_venue.book) == len(await raw_client.orders()) == 1


async def test_hang_up_executes_and_drops_the_connection(raw_venue, raw_trading):
    async with raw_trading(raw_venue) as client:
        raw_venue.switches.hang_up = True
        await client.enter()
        with pytest.raises(ConnectionClosedError):
            await client.recv()
    assert len(raw_venue.book) == 1


async def test_switches_that_name_commands_leave_the_others_alone(raw_venue, raw_client):
    raw_venue.switches = Switches(mute=True, only=frozenset({"get_user_orders"}))
    mine = await raw_client.add()
    await raw_client.send("get_user_orders")
    assert (await raw_client.cancel(mine["order_id"]))["status"] == "CANCELLED"
    assert (raw_venue.book, len(raw_venue.commands("get_user_orders"))) == ({}, 1)


async def test_a_stop_of_the_venue_forgets_what_it_holds(raw_venue, raw_client):
    raw_venue.switches.hold = True
    await raw_client.enter()
    await raw_venue.until_held(1)
    await raw_venue.stop()
    await raw_venue.stop()
    assert await raw_client.closed() == []
    assert (raw_venue.connections, len(raw_venue.book)) == (0, 1)


async def test_strangers_and_arrays(raw_venue, raw_client):
    raw_venue.variants = Variants(strangers_first=True, array_frames=True)
    await raw_client.enter()
    [stranger], [mine] = await raw_client.recv(), await raw_client.recv()
    assert stranger["order_response"]["order_id"] not in raw_venue.history
    assert list(raw_venue.book) == [mine["order_response"]["order_id"]]
    await raw_client.send("cancel_all_orders")
    await raw_client.recv()
    assert [list(frame) for frame in await raw_client.recv()] == [["ack"], ["order_response"]]
    assert raw_venue.book == {}


async def test_frames_on_demand_reach_whoever_is_logged_in(raw_venue, raw_client, raw_connected):
    async with raw_connected(raw_venue) as nobody:
        await raw_venue.send({"order_response": None})
        await raw_venue.send("not json")
        await raw_venue.send(b"\xff")
        assert [await raw_client.socket.recv() for _ in range(3)] == ['{"order_response":null}', "not json", b"\xff"]
        assert await nobody.refusal("get_user_orders") == "PermissionDenied"
        assert raw_venue.connections == 2


# -- drops


async def test_cancel_on_disconnect_cancels_everything_of_the_account(
    raw_venue, raw_client, raw_trading, raw_connected
):
    ids = {(await raw_client.add())["order_id"], (await raw_client.add(symbol="GOLD-USD"))["order_id"]}
    ids.add((await raw_client.add_stop())["order_id"])
    twap_id = (await raw_client.ask("add_twap", **TWAP))["twap_response"]["twap_id"]
    async with raw_trading(raw_venue, account_id=raw_venue.sub_accounts[0]) as stranger:
        theirs = (await stranger.add())["order_id"]
        async with raw_connected(raw_venue) as fragile:
            await fragile.login(channels=[])
            ack = await fragile.ask("cancel_on_disconnect", cancel_on_disconnect=True)
            assert ack["ack"]["incoming_message"]["type"] == "cancel_on_disconnect"
        gone = await raw_client.updates(4)
    assert {body["order_id"] for body in gone} == ids | {twap_id}
    assert {body["status"] for body in gone} == {"CANCELLED"}
    assert ([*raw_venue.book, *raw_venue.stops], raw_venue.twaps) == ([theirs], {})


async def test_without_it_a_drop_leaves_the_orders(raw_venue, raw_client):
    mine = await raw_client.add()
    assert "ack" in await raw_client.ask("cancel_on_disconnect", cancel_on_disconnect=True)
    assert "ack" in await raw_client.ask("cancel_on_disconnect", cancel_on_disconnect=False)
    await raw_venue.drop_connections()
    assert await raw_client.closed() == []
    assert (list(raw_venue.book), raw_venue.connections) == ([mine["order_id"]], 0)


async def test_dropped_connections_honour_it_before_the_drop_returns(raw_venue, raw_client):
    await raw_client.add()
    await raw_client.ask("cancel_on_disconnect", cancel_on_disconnect=True)
    await raw_venue.drop_connections()
    assert (raw_venue.book, raw_venue.connections) == ({}, 0)


async def test_a_venue_that_comes_back_listens_where_it_did(raw_venue, raw_trading):
    url = raw_venue.url
    await raw_venue.stop()
    await raw_venue.start()
    async with raw_trading(raw_venue) as client:
        await client.add()
    assert raw_venue.url == url
    assert len(raw_venue.book) == 1
