"""The faults that the simulated DMEX can be told to have, its REST list, and what it keeps to itself."""

import asyncio
import logging

import pytest
from aiohttp import ClientConnectionError, ClientSession
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from adapters.dmex.simulator import DmexSimulator

KEY = "0x" + "11" * 32
OTHER = "0x" + "22" * 32


def accepted(order_hash, op="cancel_order"):
    return {"op": op, "success": True, "data": {"order_hash": order_hash}}


def refused(error, order_hash=None, op="cancel_order"):
    data = {} if order_hash is None else {"order_hash": order_hash}
    return {"op": op, "success": False, "error": error, "data": data}


# -- the switches


async def test_held_answers_come_in_any_order(raw_venue, raw_client):
    raw_venue.switches.hold = True
    hashes = [raw_venue.rest() for _ in range(8)]
    await raw_client.tell(*(raw_client.cancel_frame(order_hash) for order_hash in hashes))
    await raw_venue.until_held(8)
    assert all(order.closed for order in raw_venue.orders.values())
    raw_venue.release(shuffle=7)
    answers = [(await raw_client.read())["data"]["order_hash"] for _ in hashes]
    assert answers != hashes
    assert sorted(answers) == sorted(hashes)


async def test_a_held_answer_blocks_no_other_command(raw_venue, raw_client):
    raw_venue.switches.hold = True
    raw_venue.switches.only = frozenset({"cancel_order"})
    held, created = raw_venue.rest(), "0x" + "cd" * 32
    await raw_client.tell(raw_client.cancel_frame(held))
    assert await raw_client.create(created) == accepted(created, "create_order")
    raw_venue.release()
    assert await raw_client.read() == accepted(held)
    assert raw_venue.orders[held].closed


async def test_a_mute_venue_executes_and_a_deaf_one_does_not(raw_venue, raw_client):
    executed, ignored, last = raw_venue.rest(), raw_venue.rest(), raw_venue.rest()
    raw_venue.switches.mute = True
    await raw_client.tell(raw_client.cancel_frame(executed))
    await raw_venue.until(1, "cancel_order")
    raw_venue.switches.mute, raw_venue.switches.deaf = False, True
    await raw_client.tell(raw_client.cancel_frame(ignored))
    await raw_venue.until(2, "cancel_order")
    raw_venue.switches.deaf = False
    assert await raw_client.cancel(last) == accepted(last)
    assert [raw_venue.orders[name].closed for name in (executed, ignored, last)] == [True, False, True]


async def test_hanging_up_comes_after_executing(raw_venue, raw_client):
    raw_venue.switches.hang_up = True
    order_hash = raw_venue.rest()
    with pytest.raises(ConnectionClosed):
        await raw_client.cancel(order_hash)
    assert raw_venue.orders[order_hash].closed
    assert [item.connection for item in raw_venue.commands("cancel_order")] == [1]


async def test_dropped_connections(raw_venue, raw_client, raw_connected):
    raw_venue.switches.hold = True
    order_hash = raw_venue.rest()
    await raw_client.tell(raw_client.cancel_frame(order_hash))
    await raw_venue.until_held(1)
    await raw_venue.drop_connections()
    assert raw_venue.connections == {}
    with pytest.raises(ConnectionClosed):
        await raw_client.read()
    raw_venue.release()
    raw_venue.switches.hold = False
    async with raw_connected(raw_venue) as again:
        assert await again.cancel(order_hash) == refused("Order already cancelled", order_hash)
        assert list(raw_venue.connections) == [2]


async def test_stopping_twice_with_everything_pending(raw_connected):
    venue = DmexSimulator(private_key=KEY)
    await venue.start()
    url = venue.url
    order_hash = venue.rest()
    venue.switches.hold = True
    async with raw_connected(venue) as client:
        await client.tell(client.cancel_frame(order_hash))
        await venue.until_held(1)
        await venue.stop()
        await venue.stop()
        with pytest.raises(ConnectionClosed):
            await client.read()
    with pytest.raises(OSError, match="Connect"):
        await connect(url)
    with pytest.raises(RuntimeError, match="not running"):
        _ = venue.url
    assert venue.held == 0
    assert venue.orders[order_hash].closed


# -- REST


async def test_the_list_of_orders(raw_venue, raw_client, raw_rows):
    resting, closed = raw_venue.rest(amount="70", stop=True, stop_price=3), raw_venue.rest()
    raw_venue.rest(owner=raw_client.address(OTHER))
    raw_venue.fill(resting, 20)
    raw_venue.close(closed)
    status, answer = await raw_rows(raw_venue, raw_venue.address.lower())
    assert (status, answer["success"]) == (200, True)
    assert [row["hash"] for row in answer["data"]] == [resting, closed]
    row = answer["data"][0]
    assert row.pop("created_at").endswith("Z")
    signed = {"v", "r", "s", "replace_hash"}
    assert row.keys() == raw_client.create_frame(resting)["data"].keys() - signed
    assert (row["hash"], row["user_address"], row["asset"], row["side"]) == (resting, raw_venue.address, "btcusd", True)
    assert (row["amount"], row["remaining_amount"], row["price"]) == ("70", "50", "10000000000000")
    assert (row["closed"], row["stop"], row["stop_price"], row["stopped"]) == (False, True, "3", False)
    assert (row["nonce"], row["leverage"], row["decimals"], row["amount_dec"]) == (1, "1000000000", 2, 4)
    raw_venue.rest_open_only = True
    assert [row["hash"] for row in (await raw_rows(raw_venue, raw_venue.address))[1]["data"]] == [resting]
    assert [item.connection for item in raw_venue.commands("GET orders")] == [0, 0]


async def test_a_list_for_nobody(raw_venue, raw_rows):
    for user in ("", "0x12", "0x" + "g" * 40):
        assert await raw_rows(raw_venue, user) == (400, {"success": False, "error": "Invalid user"})
    assert await raw_rows(raw_venue, "0x" + "33" * 20) == (200, {"success": True, "data": []})
    assert len(raw_venue.commands("GET orders")) == 4


async def test_rest_is_switched_only_by_name(raw_venue, raw_rows):
    order_hash = raw_venue.rest()
    raw_venue.switches.hang_up = True
    assert [row["hash"] for row in (await raw_rows(raw_venue, raw_venue.address))[1]["data"]] == [order_hash]
    raw_venue.switches.only = frozenset({"GET orders"})
    with pytest.raises(ClientConnectionError):
        await raw_rows(raw_venue, raw_venue.address)
    assert len(raw_venue.commands("GET orders")) >= 2  # a client may repeat a GET


async def test_a_mute_list_ends_with_the_venue():
    async with ClientSession() as session:
        async with DmexSimulator(private_key=KEY) as venue:
            venue.switches.mute, venue.switches.only = True, frozenset({"GET orders"})
            asked = session.get(venue.rest_url + "/api/orders", params={"user": venue.address})
            task = asyncio.ensure_future(asked)
            await venue.until(1, "GET orders")
        with pytest.raises(ClientConnectionError):
            await task
        assert len(venue.commands("GET orders")) >= 1


# -- secrets


async def test_nothing_secret_is_shown(raw_venue, raw_client, raw_connected, raw_rows, caplog):
    caplog.set_level(logging.DEBUG)
    order_hash = raw_venue.rest()
    frame = raw_client.cancel_frame(order_hash)
    async with raw_connected(raw_venue) as again:
        assert await again.ask(frame) == accepted(order_hash)
    await raw_rows(raw_venue, raw_venue.address)
    shown = repr(raw_venue) + repr(raw_venue.received) + repr(raw_venue.orders) + caplog.text
    assert not any(secret[2:] in shown for secret in (KEY, frame["data"]["r"], frame["data"]["s"]))


async def test_the_ways_to_reach_it(raw_venue, raw_client):
    assert raw_venue.credentials == {"url": raw_venue.url, "rest_url": raw_venue.rest_url, "private_key": KEY}
    assert raw_venue.environment == {
        "DMEX_URL": raw_venue.url,
        "DMEX_REST_URL": raw_venue.rest_url,
        "DMEX_PRIVATE_KEY": KEY,
    }
    assert DmexSimulator().address != DmexSimulator().address
    assert raw_venue.address == raw_client.address()
