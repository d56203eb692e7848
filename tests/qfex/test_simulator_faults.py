"""The faults that the simulated QFEX can be told to have, and connections that drop."""

import asyncio
import json
import time
from email.utils import parsedate_to_datetime

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from adapters.qfex.simulator import Order as QfexOrder
from adapters.qfex.simulator import QfexSimulator, Variants
from adapters.qfex.simulator.book import Book, History
from router.testing import Fault, Struck, Switches

ORDER = {
    "symbol": "AAPL-USD",
    "side": "BUY",
    "order_type": "LIMIT",
    "order_time_in_force": "GTC",
    "quantity": 10,
    "price": 150.5,
}

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


# -- injected faults: what reaches the book, and what reaches whoever sent the command


def heard(frame):
    """One word for a frame."""
    try:
        message = json.loads(frame)
    except ValueError:
        return "page" if frame.startswith(b"<") else "garbage"
    if "err" in message:
        return message["err"]["error_code"]
    return message["order_response"]["status"] if "order_response" in message else next(iter(message))


async def all_heard(client):
    """What comes up to the answer of a list, or to the end of the connection."""
    words = []
    try:
        await client.send("get_user_orders")
        while "all_orders_response" not in words:
            async with asyncio.timeout(5):
                words.append(heard(await client.socket.recv(decode=False)))
    except ConnectionClosed:
        words.append("closed")
    return words


ROWS = "all_orders_response"
EFFECTS = {
    Fault.HANG_UP_UNREAD: (True, ["closed"]),
    Fault.SLOW_READER: (False, ["CANCELLED", ROWS]),
    Fault.DEAF: (True, [ROWS]),
    Fault.HANG_UP_READ: (True, ["closed"]),
    Fault.EXPIRED_TOKEN: (True, ["PermissionDenied", "closed"]),
    Fault.CLOCK_SKEW: (False, ["CANCELLED", ROWS]),
    Fault.THROTTLED: (True, ["RateLimited", ROWS]),
    Fault.THROTTLED_NO_HINT: (True, ["RATE_LIMITED", ROWS]),
    Fault.SERVER_ERROR: (True, ["ServerError", ROWS]),
    Fault.HTML_PAGE: (True, ["page", ROWS]),
    Fault.MUTE: (False, [ROWS]),
    Fault.HANG_UP_EXECUTED: (False, ["closed"]),
    Fault.SERVER_ERROR_EXECUTED: (False, ["ServerError", ROWS]),
    Fault.DELAY: (False, [ROWS, "CANCELLED"]),
    Fault.REORDER: (False, [ROWS, "CANCELLED"]),
    Fault.FLOOD: (False, [*["stranger"] * 7, "CANCELLED", ROWS]),
    Fault.DUPLICATE: (False, ["CANCELLED", "CANCELLED", ROWS]),
    Fault.GARBLE: (False, ["garbage", ROWS]),
    Fault.NOT_UTF8: (False, ["garbage", ROWS]),
    Fault.TRUNCATE: (False, ["garbage", ROWS]),
    Fault.SPLIT: (False, ["CANCELLED", ROWS]),
    Fault.HANG_UP_ANSWERING: (False, ["closed"]),
    Fault.HANG_UP_ANSWERED: (False, ["CANCELLED", "closed"]),
}


def test_every_fault_that_this_venue_can_have_is_tested():
    assert {fault for fault in Fault if not QfexSimulator().supports(fault)} == EFFECTS.keys()


@pytest.mark.parametrize("fault", EFFECTS)
async def test_what_a_fault_does_to_the_book_and_to_who_asked(raw_venue, raw_client, fault):
    still_open, expected = EFFECTS[fault]
    mine = await raw_client.add()
    raw_venue.faults.flood = 7
    raw_venue.inject(fault)
    await raw_client.send("cancel_order", symbol="AAPL-USD", order_id=mine["order_id"], cancel_order_id_type="order_id")
    await raw_venue.until_struck(1, fault)
    words = await all_heard(raw_client)
    if fault in {Fault.DELAY, Fault.REORDER}:
        words.append(heard(await raw_client.socket.recv(decode=False)))
    if fault is Fault.FLOOD:
        words[:7] = ["stranger"] * 7
    assert words == expected
    assert (mine["order_id"] in raw_venue.book) is still_open
    assert len(raw_venue.commands("cancel_order")) == (fault is not Fault.HANG_UP_UNREAD)
    assert raw_venue.faults.struck == [Struck(fault, "cancel_order", 1)]


async def test_a_fault_strikes_once_and_the_next_command_goes_well(raw_venue, raw_client):
    raw_venue.inject(Fault.MUTE, times=2)
    await raw_client.enter(client_order_id="unheard")
    await raw_client.enter(client_order_id="unheard too")
    assert (await raw_client.add(client_order_id="heard"))["client_order_id"] == "heard"
    assert len(raw_venue.book) == 3
    assert len(raw_venue.faults.struck) == 2


async def test_reads_and_logins_are_struck_when_they_are_named(raw_venue, raw_client, raw_connected):
    raw_venue.inject(Fault.DUPLICATE, only=("get_user_orders",))
    raw_venue.inject(Fault.SERVER_ERROR, only=("auth",))
    await raw_client.add()
    assert await all_heard(raw_client) == [ROWS]
    assert "all_orders_response" in await raw_client.recv()
    async with raw_connected(raw_venue) as late:
        assert await late.refusal("auth", hmac=late.proof()) == "ServerError"
        assert await late.login() == {"authenticated": True}
    assert [item.command for item in raw_venue.faults.struck] == ["get_user_orders", "auth"]


async def test_other_connections_of_the_account_hear_the_answer_whole(raw_venue, raw_client, raw_trading):
    async with raw_trading(raw_venue) as twin:
        raw_venue.inject(Fault.GARBLE)
        await raw_client.enter(client_order_id="x")
        assert (await twin.recv())["order_response"]["client_order_id"] == "x"
        assert await all_heard(raw_client) == ["garbage", ROWS]


async def test_strangers_are_known_to_nobody_and_come_on_subscribed_channels(raw_venue, raw_client):
    raw_venue.inject(Fault.FLOOD)
    await raw_client.enter(client_order_id="mine")
    frames = [await raw_client.recv() for _ in range(301)]
    kinds = {next(iter(frame)) for frame in frames}
    assert kinds == {"order_response", "fill_response"}
    assert {next(iter(frame.values()))["order_id"] for frame in frames} & raw_venue.history.keys() == set(
        raw_venue.book
    )
    assert frames[-1]["order_response"]["client_order_id"] == "mine"


@pytest.mark.parametrize(
    ("command", "params", "named"),
    [
        ("add_order", {"client_order_id": "a"}, {"client_order_id": "a", "quantity": 10.0}),
        ("cancel_stop_order", {"stop_order_id": "s"}, {"order_id": "s"}),
        ("cancel_order", {"order_id": "c", "cancel_order_id_type": "client_order_id"}, {"client_order_id": "c"}),
    ],
)
async def test_a_rate_limit_without_a_hint_names_the_order(raw_venue, raw_client, command, params, named):
    raw_venue.inject(Fault.THROTTLED_NO_HINT)
    body = ORDER | params if command == "add_order" else {"symbol": "AAPL-USD"} | params
    answer = (await raw_client.ask(command, **body))["order_response"]
    assert (answer["status"], answer | named) == ("RATE_LIMITED", answer)
    assert raw_venue.history == {}


async def test_a_rate_limit_of_a_command_without_an_order_is_an_err(raw_venue, raw_client):
    raw_venue.inject(Fault.THROTTLED_NO_HINT, times=2)
    assert await raw_client.refusal("cancel_all_orders") == "RateLimited"
    assert await raw_client.refusal("add_order", quantity=True) == "RateLimited"


async def test_a_skewed_clock_refuses_logins_and_shows_in_the_date_until_it_is_cleared(raw_venue, raw_client):
    raw_venue.inject(Fault.CLOCK_SKEW)
    await raw_client.add()
    async with connect(raw_venue.url) as socket:
        dated = parsedate_to_datetime(socket.response.headers["Date"]).timestamp()
        assert abs(dated - time.time() - raw_venue.faults.skew) < 2
        client = type(raw_client)(raw_venue, socket)
        assert await client.refusal("auth", hmac=client.proof()) == "PermissionDenied"
    raw_venue.faults.clear()
    async with connect(raw_venue.url) as socket:
        assert await type(raw_client)(raw_venue, socket).login() == {"authenticated": True}


async def test_a_slow_reader_leaves_what_follows_unread(raw_venue, raw_client):
    raw_venue.faults.seconds = (0.2, 0.2)
    raw_venue.inject(Fault.SLOW_READER)
    await raw_client.enter()
    await raw_client.send("get_user_orders")
    await raw_venue.until_struck(1)
    assert raw_venue.commands("add_order", "get_user_orders") == []
    assert [heard(await raw_client.socket.recv(decode=False)) for _ in range(2)] == ["ACK", ROWS]


async def test_the_same_seed_gives_the_same_faults_for_the_same_traffic(raw_trading):
    async def run(seed):
        async with QfexSimulator(seed=seed) as venue, raw_trading(venue) as client:
            among = (Fault.MUTE, Fault.DEAF, Fault.DUPLICATE, Fault.SERVER_ERROR, Fault.THROTTLED, Fault.HTML_PAGE)
            venue.faults.random(0.5, among)
            for number in range(40):
                await client.enter(client_order_id=f"{number}")
            words = await all_heard(client)
            return words, [(item.fault, item.command) for item in venue.faults.struck], len(venue.book)

    first, again, other = await run(7), await run(7), await run(8)
    assert first == again
    assert first[1] != other[1]
    assert 10 < len(first[1]) < 30


async def test_a_chaos_of_every_fault_leaves_the_venue_able_to_answer(raw_venue, raw_trading):
    raw_venue.faults.seconds = (0.0, 0.001)
    raw_venue.faults.random(1.0)
    while len({item.fault for item in raw_venue.faults.struck}) < len(EFFECTS) - len({Fault.CLOCK_SKEW}):
        async with raw_trading(raw_venue) as client:
            await client.enter()
            await all_heard(client)
    raw_venue.faults.clear()
    async with raw_trading(raw_venue) as client:
        assert (await client.add())["status"] == "ACK"


# -- children of TWAPs, and cancelling all


async def test_a_running_twap_places_a_child_that_is_an_order_like_any_other(raw_venue, raw_client):
    twap_id = (await raw_client.ask("add_twap", **TWAP))["twap_response"]["twap_id"]
    child = await raw_venue.spawn_child(twap_id, quantity=2, price="150.5")
    body = (await raw_client.recv())["order_response"]
    assert (body["order_id"], body["status"], body["type"], body["quantity"]) == (child, "ACK", "LIMIT", 2.0)
    assert [row["order_id"] for row in await raw_client.orders()] == [child] == list(raw_venue.book)
    assert (await raw_client.cancel(twap_id, "twap_id"))["status"] == "CANCELLED"
    assert (list(raw_venue.book), raw_venue.twaps) == ([child], {})
    with pytest.raises(KeyError, match=twap_id):
        await raw_venue.spawn_child(twap_id, quantity=2, price=150)
    assert (await raw_client.cancel(child))["status"] == "CANCELLED"
    assert raw_venue.book == {}


@pytest.mark.parametrize("twaps", [False, True])
@pytest.mark.parametrize("stops", [False, True])
async def test_what_cancelling_all_takes_is_a_variant(raw_venue, raw_client, stops, twaps):
    assert not Variants().cancel_all_twaps
    raw_venue.variants = Variants(cancel_all_stops=stops, cancel_all_twaps=twaps)
    taken = {(await raw_client.add())["order_id"]}
    stop = (await raw_client.add_stop())["order_id"]
    twap = (await raw_client.ask("add_twap", **TWAP))["twap_response"]["twap_id"]
    taken |= ({stop} if stops else set()) | ({twap} if twaps else set())
    assert "ack" in await raw_client.ask("cancel_all_orders")
    gone = await raw_client.updates(len(taken))
    assert {body["order_id"]: body["status"] for body in gone} == dict.fromkeys(taken, "CANCELLED")
    assert (raw_venue.book, stop in raw_venue.stops, twap in raw_venue.twaps) == ({}, not stops, not twaps)


# -- many orders


def unwalked(*_):
    raise AssertionError("this takes longer with every order")


async def test_thousands_of_orders_are_listed_and_ended_and_no_command_walks_through_all(
    raw_venue, raw_client, monkeypatch
):
    account = raw_venue.account_id

    def entered(count):
        orders = [QfexOrder(account=account, symbol="AAPL-USD", quantity=1, price=100) for _ in range(count)]
        return [raw_venue.exchange.add(order) and order.order_id for order in orders]

    for name in ("__iter__", "keys", "values", "items"):
        monkeypatch.setattr(History, name, unwalked)
    for order_id in entered(30_000):
        raw_venue.exchange.cancel(account, "AAPL-USD", "order_id", order_id)
    ids = entered(5_000)
    assert [row["order_id"] for page in range(5) for row in await raw_client.orders(offset=1000 * page)] == ids
    found = await raw_client.ask("get_order", symbol="AAPL-USD", order_id=ids[0])
    assert found["all_orders_response"]["orders"][0]["order_id"] == ids[0]
    with monkeypatch.context() as patched:
        for name in ("__iter__", "keys", "values", "items"):
            patched.setattr(Book, name, unwalked)
        for order_id in ids[:500]:
            assert (await raw_client.cancel(order_id))["order_id"] == order_id
        assert (await raw_client.cancel("nowhere", "twap_id"))["status"] == "NO_SUCH_ORDER"
        assert (await raw_client.add(side="SELL", price=300))["status"] == "ACK"
    assert (len(raw_venue.book), len(raw_venue.history)) == (4_501, 35_001)


async def test_orders_are_listed_as_they_were_entered_whatever_happened_since(raw_venue, raw_client):
    first, stop = await raw_client.add(), await raw_client.add_stop(client_order_id="s")
    second, third = await raw_client.add(), await raw_client.add()
    await raw_client.modify(first, price=140)
    await raw_client.ask("modify_stop_order", stop_order_id=stop["order_id"], symbol="AAPL-USD", price=119, quantity=1)
    await raw_client.recv()
    await raw_client.cancel(second["order_id"])
    listed = [row["order_id"] for row in await raw_client.orders()]
    assert listed == [first["order_id"], stop["order_id"], third["order_id"]]
    answer = await raw_client.ask("get_order", symbol="AAPL-USD", order_id="mine")
    assert answer["all_orders_response"]["orders"][0]["order_id"] == third["order_id"]
