"""The simulated QFEX plays by the venue's public documentation, over a real socket."""

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from adapters.qfex.exchange import Instrument
from adapters.qfex.simulator import QfexSimulator, Variants, signature
from router.testing import Switches

AAPL = "AAPL-USD"
CHANNELS = ["order_responses", "fills"]


class Client:
    """A bare client: one socket, whole frames, no knowledge of the protocol but the login."""

    def __init__(self, socket):
        self.socket = socket

    async def send(self, command, **params):
        await self.socket.send(json.dumps({"type": command, "params": params}))

    async def recv(self):
        async with asyncio.timeout(5):
            return json.loads(await self.socket.recv())

    async def ask(self, command, **params):
        await self.send(command, **params)
        return await self.recv()

    async def login(self, venue, channels=CHANNELS, **params):
        reply = await self.ask("auth", hmac=login(venue), **params)
        for channel in channels:
            assert await self.ask("subscribe", channels=[channel]) == {"subscribed": channel}
        return reply

    async def add(self, **changes):
        """Enter an order and return the body of its first answer."""
        return (await self.ask("add_order", **order(**changes)))["order_response"]

    async def orders(self, **params):
        """The open orders. Also a fence: whatever was sent before would arrive before."""
        return (await self.ask("get_user_orders", **params))["all_orders_response"]["orders"]

    async def closed(self):
        """Read until the connection ends, and return the frames that came first."""
        frames = []
        try:
            while True:
                frames.append(await self.recv())
        except ConnectionClosed:
            return frames


def login(venue, nonce=None, unix_ts=None, **changes):
    nonce, unix_ts = nonce or secrets.token_hex(16), unix_ts or int(time.time() + venue.clock_skew)
    text = f"{nonce}:{unix_ts}".encode()
    proof = hmac.new(venue.secret_key.encode(), text, hashlib.sha256).hexdigest()
    return {"public_key": venue.public_key, "nonce": nonce, "unix_ts": unix_ts, "signature": proof} | changes


def order(**changes):
    basis = {"symbol": AAPL, "side": "BUY", "order_type": "LIMIT", "order_time_in_force": "GTC"}
    return basis | {"quantity": 10, "price": 150.5, "client_order_id": "mine"} | changes


def stop(**changes):
    return order(**{"side": "SELL", "order_type": "STOP_LOSS", "price": 120, "quantity": 2} | changes)


def code(frame):
    return frame["err"]["error_code"]


@asynccontextmanager
async def connected(venue):
    async with connect(venue.url, compression=None, close_timeout=1) as socket:
        yield Client(socket)


@asynccontextmanager
async def trading(venue, **params):
    async with connected(venue) as client:
        await client.login(venue, **params)
        yield client


@pytest.fixture
async def venue():
    async with QfexSimulator() as simulator:
        yield simulator


@pytest.fixture
async def client(venue):
    async with trading(venue) as one:
        yield one


# -- login


@pytest.mark.parametrize(
    ("secret", "nonce", "unix_ts", "proof"),
    [
        ("qfex_secret_test", "c0ffee", 1760545414, "9a892254ce0416371a78a4352130b7825a2f5fb442b12ddfa7c2f5202ef045dc"),
        (
            "qfex_secret_yyyyyy",
            "c0ffee",
            1760545414,
            "222adbb0993646affe345a15f3c5b45e7123d4ff2c38dc4245c81ffb24c66d64",
        ),
        ("secret", "abc123", 1234, "0e5775c636eaa528850bc56cd8872fa7f6cc41aea8bc99a2ad51f255fe6f40a7"),
        ("secret-key", "abc123", 1700000000, "7cdac5f5aeb21825b4fe5d61abd475250114fc26a8a1ecf4fca9915f57e7e220"),
    ],
)
async def test_published_signatures_log_in(secret, nonce, unix_ts, proof):
    skew = unix_ts - time.time()
    async with QfexSimulator(secret_key=secret, clock_skew=skew) as venue, connected(venue) as client:
        assert signature(secret, nonce, unix_ts) == proof
        reply = await client.ask("auth", hmac=login(venue, nonce, unix_ts, signature=proof))
        assert reply == {"authenticated": True}
        assert venue.nonces == {nonce}


async def test_the_environment_and_the_credentials_say_the_same(venue):
    assert list(venue.environment.values()) == list(venue.credentials.values())
    assert venue.url.startswith("ws://127.0.0.1:")
    assert venue.secret_key not in repr(venue)
    assert venue.jwt not in repr(venue)
    assert venue.received == []


async def test_a_token_logs_in(venue):
    async with connected(venue) as client:
        assert await client.ask("auth", jwt=venue.jwt) == {"authenticated": True}
        assert await client.orders() == []
        assert len(venue.commands("auth")) == 1


async def test_the_other_documented_login_reply():
    async with QfexSimulator(variants=Variants(auth_reply="type_result")) as venue, connected(venue) as client:
        assert await client.ask("auth", hmac=login(venue)) == {"type": "auth", "result": "success"}
        assert len(venue.nonces) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "0" * 64},
        {"signature": "é\ud800"},
        {"public_key": "qfex_pub_other"},
        {"unix_ts": int(time.time()) - 3600},
        {"nonce": "c0ffee"},
    ],
)
async def test_a_bad_login_is_refused_and_ends_the_connection(venue, change):
    async with connected(venue) as client:
        await client.send("auth", hmac=login(venue) | change)
        [frame] = await client.closed()
        assert code(frame) == "PermissionDenied"
        assert client.socket.close_code == 1008
        assert venue.nonces == set()


async def test_an_old_but_signed_login_is_refused(venue):
    async with connected(venue) as client:
        await client.send("auth", hmac=login(venue, unix_ts=int(time.time()) - 901))
        [frame] = await client.closed()
        assert code(frame) == "PermissionDenied"
        assert venue.nonces == set()


async def test_an_unknown_account_is_refused(venue):
    async with connected(venue) as client:
        await client.send("auth", hmac=login(venue), account_id="someone else")
        assert [code(frame) for frame in await client.closed()] == ["PermissionDenied"]
        assert len(venue.commands("auth")) == 1


@pytest.mark.parametrize(
    ("shape", "frames"),
    [
        ("authenticated_false", [{"authenticated": False}]),
        ("type_failed", [{"type": "auth", "result": "failed"}]),
        ("close", []),
    ],
)
async def test_the_other_refusals_of_a_login(venue, shape, frames):
    venue.variants.refusal = shape
    async with connected(venue) as client:
        await client.send("auth", jwt="eyJ.wrong")
        assert await client.closed() == frames
        assert len(venue.commands("auth")) == 1


async def test_a_nonce_works_once_even_across_connections(venue):
    once = login(venue)
    async with connected(venue) as first, connected(venue) as second:
        assert await first.ask("auth", hmac=once) == {"authenticated": True}
        await second.send("auth", hmac=once)
        assert [code(frame) for frame in await second.closed()] == ["PermissionDenied"]
        assert venue.nonces == {once["nonce"]}


async def test_a_second_login_is_refused_and_harmless(venue, client):
    assert code(await client.ask("auth", hmac=login(venue))) == "AlreadyAuthenticated"
    assert (await client.add())["status"] == "ACK"
    assert len(venue.book) == 1


async def test_a_connection_without_login_is_closed():
    async with QfexSimulator(auth_deadline=0.01) as venue, connected(venue) as client:
        assert await client.closed() == []
        assert client.socket.close_code == 1008
        assert venue.received == []


async def test_commands_before_login_are_refused(venue):
    async with connected(venue) as client:
        for command, params in (("add_order", order()), ("subscribe", {"channels": CHANNELS}), ("get_order", {})):
            assert code(await client.ask(command, **params)) == "PermissionDenied"
        assert await client.login(venue) == {"authenticated": True}
        assert venue.book == {}


async def test_the_clock_skew_shows_in_the_date_header_and_judges_logins():
    async with QfexSimulator(clock_skew=7200) as venue, connected(venue) as client:
        [date] = client.socket.response.headers.get_all("Date")
        assert parsedate_to_datetime(date).timestamp() - time.time() > 7000
        await client.send("auth", hmac=login(venue, unix_ts=int(time.time())))
        assert [code(frame) for frame in await client.closed()] == ["PermissionDenied"]
        assert venue.nonces == set()


# -- subscriptions


async def test_order_responses_need_a_subscription(venue):
    async with connected(venue) as client:
        await client.login(venue, channels=[])
        await client.send("add_order", **order())
        [row] = await client.orders()
        assert row["order_id"] in venue.book
        assert await client.ask("subscribe", channels=["order_responses", "positions"]) == {
            "subscribed": "order_responses"
        }
        assert await client.recv() == {"subscribed": "positions"}
        assert (await client.add())["status"] == "ACK"
        assert await client.ask("unsubscribe", channels=["order_responses"]) == {"unsubscribed": "order_responses"}
        await client.send("add_order", **order())
        assert len(await client.orders()) == len(venue.book) == 3


async def test_all_subscribed_connections_of_the_account_hear_and_no_other(venue, client):
    other = venue.sub_accounts[0]
    async with trading(venue) as twin, trading(venue, account_id=other) as stranger:
        mine = await client.add()
        assert (await twin.recv())["order_response"] == mine
        assert await stranger.orders() == []
        assert mine["user_id"] == venue.account_id
        assert (await stranger.add())["user_id"] == other
        assert {entry.account for entry in venue.book.values()} == {venue.account_id, other}


# -- orders


async def test_an_acknowledgement_has_the_documented_shape(venue, client):
    frame = await client.ask("add_order", **order())
    body = frame["order_response"]
    assert UUID(body["order_id"]).version == 4
    assert body == {
        "order_id": next(iter(venue.book)),
        "symbol": AAPL,
        "status": "ACK",
        "quantity": 10.0,
        "price": 150.5,
        "take_profit": 0.0,
        "stop_loss": 0.0,
        "side": "BUY",
        "type": "LIMIT",
        "time_in_force": "GTC",
        "user_id": venue.account_id,
        "client_order_id": "mine",
        "quantity_remaining": 10.0,
        "trade_id": None,
    }
    assert type(body["quantity"]) is float


@pytest.mark.parametrize("reduce_only", [True, 0, 1])
async def test_an_absent_client_order_id_is_made_up_and_reduce_only_may_be_a_number(venue, client, reduce_only):
    body = await client.add(client_order_id="", reduce_only=reduce_only)
    assert UUID(body["client_order_id"])
    assert venue.book[body["order_id"]].reduce_only is bool(reduce_only)


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
async def test_the_engine_rejects_with_a_status(venue, client, change, status):
    body = await client.add(**change)
    assert (body["status"], body["client_order_id"]) == (status, "mine")
    assert body["quantity_remaining"] == body["quantity"]
    assert venue.history[body["order_id"]].status == status
    assert venue.book == venue.stops == {}


async def test_rejects_may_come_as_err(venue, client):
    venue.variants.reject_with_err = True
    frame = await client.ask("add_order", **order(price=150.505))
    assert (code(frame), frame["err"]["message"]) == ("InvalidOrder", "INVALID_TICK_SIZE_PRECISION_PRICE")
    assert frame["err"]["incoming_message"]["params"]["client_order_id"] == "mine"
    assert venue.book == {}


# -- cancels


async def test_cancel_by_order_id(venue, client):
    mine, other = await client.add(), await client.add()
    reply = await client.ask("cancel_order", symbol=AAPL, order_id=mine["order_id"], cancel_order_id_type="order_id")
    assert reply["order_response"] == mine | {"status": "CANCELLED"}
    assert list(venue.book) == [other["order_id"]]
    assert venue.history[mine["order_id"]].status == "CANCELLED"


async def test_cancel_by_client_order_id_hits_every_open_order_of_the_symbol(venue, client):
    twins = {(await client.add())["order_id"], (await client.add())["order_id"]}
    elsewhere = await client.add(symbol="NVDA-USD")
    await client.send("cancel_order", symbol=AAPL, order_id="mine", cancel_order_id_type="client_order_id")
    replies = [(await client.recv())["order_response"] for _ in twins]
    assert {reply["order_id"] for reply in replies} == twins
    assert {reply["status"] for reply in replies} == {"CANCELLED"}
    assert list(venue.book) == [elsewhere["order_id"]]


@pytest.mark.parametrize("id_type", ["order_id", "client_order_id", "twap_id", "client_twap_id"])
async def test_cancelling_what_is_not_there_is_answered_once(venue, client, id_type):
    mine = await client.add()
    reply = await client.ask("cancel_order", symbol=AAPL, order_id="nothing", cancel_order_id_type=id_type)
    body = reply["order_response"]
    assert body["status"] == "NO_SUCH_ORDER"
    assert body["client_order_id" if id_type.startswith("client") else "order_id"] == "nothing"
    assert [row["order_id"] for row in await client.orders()] == [mine["order_id"]] == list(venue.book)


@pytest.mark.parametrize("id_type", ["order_id", "client_order_id"])
async def test_orders_of_another_account_or_symbol_are_out_of_reach(venue, client, id_type):
    mine = await client.add()
    key = mine[id_type]
    async with trading(venue, account_id=venue.sub_accounts[0]) as stranger:
        for one, symbol in ((stranger, AAPL), (client, "NVDA-USD")):
            reply = await one.ask("cancel_order", symbol=symbol, order_id=key, cancel_order_id_type=id_type)
            assert reply["order_response"]["status"] == "NO_SUCH_ORDER"
    assert list(venue.book) == [mine["order_id"]]


async def test_cancel_all_acknowledges_and_then_reports_each(venue, client):
    ids = {(await client.add())["order_id"], (await client.add(symbol="NVDA-USD"))["order_id"]}
    ids.add((await client.ask("add_order", **stop()))["order_response"]["order_id"])
    async with trading(venue, account_id=venue.sub_accounts[0]) as stranger:
        theirs = await stranger.add()
        assert await client.ask("cancel_all_orders") == {
            "ack": {"incoming_message": {"type": "cancel_all_orders", "params": {}}}
        }
        replies = [(await client.recv())["order_response"] for _ in ids]
    assert {reply["order_id"] for reply in replies} == ids
    assert {reply["status"] for reply in replies} == {"CANCELLED"}
    assert [*venue.book, *venue.stops] == [theirs["order_id"]]


async def test_cancel_all_may_spare_stops_and_acknowledge_briefly(venue, client):
    venue.variants = Variants(cancel_all_stops=False, ack="ack_response")
    spared = (await client.ask("add_order", **stop()))["order_response"]["order_id"]
    assert await client.ask("cancel_all_orders") == {"ack_response": True}
    assert [row["order_id"] for row in await client.orders()] == [spared]
    assert list(venue.stops) == [spared]


# -- stops


async def test_a_stop_is_acknowledged_without_client_id_and_cancelled_with_zeros(venue, client):
    body = (await client.ask("add_order", **stop()))["order_response"]
    assert (body["status"], body["type"], body["client_order_id"], body["price"]) == ("ACK", "STOP_LOSS", "", 120.0)
    assert list(venue.stops) == [body["order_id"]]
    ack = await client.ask("cancel_stop_order", stop_order_id=body["order_id"])
    assert ack["ack"]["incoming_message"]["params"] == {"stop_order_id": body["order_id"]}
    gone = (await client.recv())["order_response"]
    absent = {"take_profit", "stop_loss", "trade_id"}
    rest = {name: value for name, value in body.items() if name not in absent}
    assert gone == rest | {"status": "CANCELLED", "quantity": 0.0, "quantity_remaining": 0.0}
    assert venue.stops == {}
    assert venue.history[body["order_id"]].client_order_id == "mine"


async def test_a_stop_may_echo_its_client_id_and_skip_the_ack(venue, client):
    venue.variants = Variants(empty_stop_echo=False, ack_stop_cancel=False)
    body = (await client.ask("add_order", **stop(order_type="TAKE_PROFIT")))["order_response"]
    assert body["client_order_id"] == "mine"
    gone = (await client.ask("cancel_stop_order", stop_order_id=body["order_id"]))["order_response"]
    assert (gone["order_id"], gone["status"], gone["type"]) == (body["order_id"], "CANCELLED", "TAKE_PROFIT")
    assert venue.stops == {}


async def test_a_stop_may_be_answered_by_acks_alone(venue, client):
    venue.variants.only_ack = True
    stop_id = (await client.ask("add_order", **stop()))["order_response"]["order_id"]
    change = {"stop_order_id": stop_id, "symbol": AAPL, "price": 110, "quantity": 1}
    assert (await client.ask("modify_stop_order", **change))["ack"]["incoming_message"] == {
        "type": "modify_stop_order",
        "params": change | {"side": None, "order_type": None},
    }
    assert venue.stops[stop_id].price == 110
    assert "ack" in await client.ask("cancel_stop_order", stop_order_id=stop_id)
    assert await client.orders() == []
    assert venue.stops == {}


async def test_cancel_order_does_not_reach_stops_nor_cancel_stop_order_orders(venue, client):
    stop_id = (await client.ask("add_order", **stop()))["order_response"]["order_id"]
    order_id = (await client.add())["order_id"]
    wrong = await client.ask("cancel_order", symbol=AAPL, order_id=stop_id, cancel_order_id_type="order_id")
    assert wrong["order_response"]["status"] == "NO_SUCH_ORDER"
    wrong = await client.ask("cancel_stop_order", stop_order_id=order_id)
    assert wrong["order_response"]["status"] == "NO_SUCH_ORDER"
    assert (list(venue.stops), list(venue.book)) == ([stop_id], [order_id])


async def test_stops_beyond_the_position_displace_the_oldest(venue, client):
    await venue.set_position(AAPL, 5)
    old, young = [(await client.ask("add_order", **stop()))["order_response"]["order_id"] for _ in range(2)]
    newest = (await client.ask("add_order", **stop(quantity=3)))["order_response"]
    displaced = (await client.recv())["order_response"]
    assert newest["status"] == "ACK"
    assert (displaced["order_id"], displaced["status"]) == (old, "CANCELLED")
    assert list(venue.stops) == [young, newest["order_id"]]
    too_large = (await client.ask("add_order", **stop(quantity=6)))["order_response"]
    assert too_large["status"] == "REJECTED"
    assert list(venue.stops) == [young, newest["order_id"]]


async def test_a_growing_stop_displaces_others_but_never_itself(venue, client):
    await venue.set_position(AAPL, 4)
    first, second = [(await client.ask("add_order", **stop()))["order_response"]["order_id"] for _ in range(2)]
    change = {"symbol": AAPL, "price": 110.5, "quantity": 4, "side": "SELL", "order_type": "STOP_LOSS"}
    assert "ack" in await client.ask("modify_stop_order", stop_order_id=first, **change)
    modified, displaced = [(await client.recv())["order_response"] for _ in range(2)]
    assert (modified["order_id"], modified["status"], modified["price"]) == (first, "MODIFIED", 110.5)
    assert (displaced["order_id"], displaced["status"]) == (second, "CANCELLED")
    refused = await client.ask("modify_stop_order", stop_order_id=first, **change | {"quantity": 5})
    assert refused["order_response"]["status"] == "REJECTED"
    assert {key: entry.quantity for key, entry in venue.stops.items()} == {first: 4}


async def test_a_triggered_stop_trades_and_the_shrunken_position_displaces_the_rest(venue, client):
    await venue.set_position(AAPL, 4)
    first, second = [(await client.ask("add_order", **stop()))["order_response"]["order_id"] for _ in range(2)]
    await venue.trigger(first)
    filled, fill = (await client.recv())["order_response"], (await client.recv())["fill_response"]
    assert (filled["order_id"], filled["status"], filled["quantity_remaining"]) == (first, "FILLED", 0.0)
    assert (fill["order_id"], fill["price"], fill["trade_id"]) == (first, 200.0, filled["trade_id"])
    assert (list(venue.stops), venue.positions) == ([second], {AAPL: 2})
    await venue.set_position(AAPL, 0)
    assert (await client.recv())["order_response"]["order_id"] == second
    assert (venue.stops, venue.positions) == ({}, {})


async def test_modifying_an_unknown_stop_is_rejected(venue, client):
    reply = await client.ask("modify_stop_order", stop_order_id="nothing", symbol=AAPL, price=1, quantity=1)
    assert reply["order_response"]["status"] == "CANNOT_MODIFY_NO_SUCH_ORDER"
    assert venue.stops == {}


# -- modify


def change(body, **changes):
    basis = {"symbol": AAPL, "order_id": body["order_id"], "side": "BUY", "order_type": "LIMIT", "reduce_only": False}
    return basis | changes


async def test_modify_keeps_the_id(venue, client):
    mine = await client.add()
    reply = await client.ask("modify_order", **change(mine, price=140, quantity=3))
    expected = {"status": "MODIFIED", "price": 140.0, "quantity": 3.0, "quantity_remaining": 3.0}
    assert reply["order_response"] == mine | expected
    assert {key: entry.price for key, entry in venue.book.items()} == {mine["order_id"]: 140}


async def test_modify_may_change_the_id(venue, client):
    venue.variants.modify_changes_order_id = True
    mine = await client.add()
    body = (await client.ask("modify_order", **change(mine, price=140)))["order_response"]
    assert body["order_id"] != mine["order_id"]
    assert list(venue.book) == [body["order_id"]]
    assert venue.history[mine["order_id"]].status == "MODIFIED"
    reply = await client.ask("cancel_order", symbol=AAPL, order_id=mine["order_id"], cancel_order_id_type="order_id")
    assert reply["order_response"]["status"] == "NO_SUCH_ORDER"


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
async def test_a_rejected_modify_changes_nothing(venue, client, changes, status):
    mine = await client.add()
    body = (await client.ask("modify_order", **change(mine, price=140) | changes))["order_response"]
    assert body["status"] == status
    [entry] = venue.book.values()
    assert (entry.order_id, entry.price, entry.status) == (mine["order_id"], 150.5, "ACK")


async def test_a_partly_filled_order_cannot_be_modified(venue, client):
    mine = await client.add()
    await venue.fill(mine["order_id"], 4)
    assert [*await client.recv(), *await client.recv()] == ["order_response", "fill_response"]
    body = (await client.ask("modify_order", **change(mine, price=140)))["order_response"]
    assert (body["status"], body["quantity_remaining"]) == ("CANNOT_MODIFY_PARTIAL_FILL", 6.0)
    assert venue.book[mine["order_id"]].price == 150.5


async def test_a_post_only_order_cannot_be_modified_into_the_market(venue, client):
    await client.add(side="SELL", price=160)
    mine = await client.add(order_type="ALO")
    wanted = change(mine, order_type="ALO", price=160)
    assert (await client.ask("modify_order", **wanted))["order_response"]["status"] == "CANNOT_MODIFY_ALO_WOULD_CROSS"
    assert venue.book[mine["order_id"]].price == 150.5


# -- TWAPs


def twap(**changes):
    basis = {"symbol": AAPL, "side": "BUY", "total_quantity": 10, "num_orders": 5, "order_interval_secs": 30}
    return basis | {"reduce_only": False, "client_twap_id": "slow"} | changes


@pytest.mark.parametrize("id_type", ["twap_id", "client_twap_id"])
async def test_a_twap_is_listed_and_cancelled(venue, client, id_type):
    body = (await client.ask("add_twap", **twap()))["twap_response"]
    assert (body["total_num_orders"], body["filled_quantity"], body["client_twap_id"]) == (5, 0.0, "slow")
    listed = (await client.ask("get_user_orders"))["all_orders_response"]
    assert listed == {"orders": [], "twaps": [body]}
    reply = await client.ask("cancel_order", symbol=AAPL, order_id=body[id_type], cancel_order_id_type=id_type)
    gone = reply["order_response"]
    assert (gone["order_id"], gone["client_order_id"], gone["status"]) == (body["twap_id"], "slow", "CANCELLED")
    assert venue.twaps == {}


@pytest.mark.parametrize(("style", "key"), [("twap_response", "twap_response"), ("ack", "ack")])
async def test_other_guesses_at_the_reply_to_a_twap_cancel(venue, client, style, key):
    venue.variants.twap_cancel_reply = style
    twap_id = (await client.ask("add_twap", **twap()))["twap_response"]["twap_id"]
    reply = await client.ask("cancel_order", symbol=AAPL, order_id=twap_id, cancel_order_id_type="twap_id")
    assert list(reply) == [key]
    assert venue.twaps == {}


@pytest.mark.parametrize(
    "changes", [{"num_orders": 1}, {"order_interval_secs": 29}, {"total_quantity": 0.01}, {"symbol": "DOGE-USD"}]
)
async def test_a_twap_outside_its_rules_is_refused(venue, client, changes):
    assert code(await client.ask("add_twap", **twap(**changes))) == "InvalidParameter"
    assert venue.twaps == {}


# -- queries


async def test_open_orders_and_stops_are_paged_in_order(venue, client):
    ids = [(await client.add())["order_id"] for _ in range(3)]
    ids.append((await client.ask("add_order", **stop()))["order_response"]["order_id"])
    ids.append((await client.add(symbol="NVDA-USD"))["order_id"])
    pages = [await client.orders(limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [[row["order_id"] for row in page] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
    assert [row["type"] for row in await client.orders(symbol=AAPL)] == ["LIMIT"] * 3 + ["STOP_LOSS"]
    assert all(type(row["update_time"]) is float for row in await client.orders())
    assert [*venue.book, *venue.stops] == [*ids[:3], ids[4], ids[3]]


async def test_get_order_in_both_shapes(venue, client):
    mine = await client.add()
    for key in (mine["order_id"], "mine"):
        listed = (await client.ask("get_order", symbol=AAPL, order_id=key))["all_orders_response"]
        assert [row["order_id"] for row in listed["orders"]] == [mine["order_id"]] == list(venue.book)
    unknown = await client.ask("get_order", symbol=AAPL, order_id="nothing")
    assert unknown == {"all_orders_response": {"orders": [], "twaps": []}}
    venue.variants.get_order_reply = "order_response"
    assert (await client.ask("get_order", symbol=AAPL, order_id="mine"))["order_response"]["status"] == "ACK"
    unknown = await client.ask("get_order", symbol=AAPL, order_id="nothing")
    assert unknown["order_response"]["status"] == "NO_SUCH_ORDER"


async def test_trades_are_listed_and_filtered(venue, client):
    first, second = await client.add(), await client.add(symbol="NVDA-USD")
    for body in (first, second):
        await venue.fill(body["order_id"])
        fill = [await client.recv(), await client.recv()][1]["fill_response"]
    rows = (await client.ask("get_user_trades"))["user_trades_response"]
    assert [row["order_id"] for row in rows] == [first["order_id"], second["order_id"]]
    assert rows[1] == {name: fill[name] for name in rows[1]}
    for filters in ({"order_id": second["order_id"]}, {"offset": 1}):
        assert (await client.ask("get_user_trades", **filters))["user_trades_response"] == rows[1:]
    for unit in (1, 1000):
        assert (await client.ask("get_user_trades", end_ts=1746908400 * unit))["user_trades_response"] == []
    assert len(venue.trades) == 2


# -- fills


async def test_a_partial_and_a_full_fill(venue, client):
    mine = await client.add()
    await venue.fill(mine["order_id"], 4, 149)
    status, fill = (await client.recv())["order_response"], (await client.recv())["fill_response"]
    assert status == mine | {"status": "FILLED", "quantity_remaining": 6.0, "trade_id": fill["trade_id"]}
    assert (fill["quantity"], fill["price"], fill["order_price"]) == (4.0, 149.0, 150.5)
    assert (fill["remaining_quantity"], fill["side"], fill["aggressor_side"]) == (6.0, "BUY", "SELL")
    assert venue.book[mine["order_id"]].remaining == 6
    assert [row["quantity_remaining"] for row in await client.orders()] == [6.0]
    await venue.fill(mine["order_id"])
    assert (await client.recv())["order_response"]["quantity_remaining"] == 0.0
    assert (await client.recv())["fill_response"]["quantity"] == 6.0
    assert (venue.book, venue.positions) == ({}, {AAPL: 10})
    with pytest.raises(KeyError):
        await venue.fill(mine["order_id"])


async def test_a_fill_beyond_what_is_open_is_a_mistake_of_the_test(venue, client):
    mine = await client.add()
    with pytest.raises(ValueError, match="cannot fill 11 of 10"):
        await venue.fill(mine["order_id"], 11)
    assert venue.book[mine["order_id"]].remaining == 10


async def test_fills_may_come_twice(venue, client):
    venue.variants.duplicate_fills = True
    mine = await client.add()
    await venue.fill(mine["order_id"])
    _, first, second = [await client.recv() for _ in range(3)]
    assert first == second
    assert len(venue.trades) == 1


async def test_an_unsolicited_cancel(venue, client):
    mine = await client.add()
    await venue.expel(mine["order_id"])
    assert (await client.recv())["order_response"] == mine | {"status": "CANCELLED_STP"}
    assert venue.book == {}


async def test_accounts_trade_by_price_and_then_by_age(venue, client):
    async with trading(venue, account_id=venue.sub_accounts[0]) as maker:
        worse = await maker.add(side="SELL", price=151)
        first = await maker.add(side="SELL", price=150)
        second = await maker.add(side="SELL", price=150)
        taken = await client.add(quantity=15, price=150)
    prices = [(fill.order.order_id, fill.price, fill.quantity) for fill in venue.trades]
    assert prices[::2] == [(first["order_id"], 150, 10), (second["order_id"], 150, 5)]
    assert prices[1::2] == [(taken["order_id"], 150, 10), (taken["order_id"], 150, 5)]
    assert list(venue.book) == [worse["order_id"], second["order_id"]]
    assert venue.positions == {AAPL: 15}


async def test_ones_own_resting_order_gives_way(venue, client):
    resting = await client.add(side="SELL", price=150)
    taker = await client.add(price=150)
    gone = (await client.recv())["order_response"]
    assert (gone["order_id"], gone["status"]) == (resting["order_id"], "CANCELLED_STP")
    assert list(venue.book) == [taker["order_id"]]
    assert venue.trades == []


@pytest.mark.parametrize("price", [{"price": 0}, {"price": None}])
async def test_a_market_order_fills_at_the_mark(venue, client, price):
    ack = await client.add(order_type="MARKET", order_time_in_force="IOC", **price)
    status, fill = (await client.recv())["order_response"], (await client.recv())["fill_response"]
    assert (ack["status"], status["status"], status["quantity_remaining"]) == ("ACK", "FILLED", 0.0)
    assert (fill["price"], fill["side"], fill["aggressor_side"]) == (200.0, "BUY", "BUY")
    assert (venue.book, venue.positions) == ({}, {AAPL: 10})


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
async def test_what_does_not_trade_at_once_ends(venue, style, time_in_force, liquidity, statuses):
    venue.variants.ioc_style = style
    async with (
        trading(venue, account_id=venue.sub_accounts[0]) as maker,
        trading(venue, channels=CHANNELS[:1]) as client,
    ):
        if liquidity:
            await maker.add(side="SELL", price=150, quantity=liquidity)
        await client.send("add_order", **order(order_time_in_force=time_in_force))
        seen = [(await client.recv())["order_response"]["status"] for _ in statuses]
        assert seen == statuses
        assert await client.orders() == []
    assert all(entry.account != venue.account_id for entry in venue.book.values())


async def test_a_post_only_order_that_would_cross_never_rests(venue, client):
    async with trading(venue, account_id=venue.sub_accounts[0]) as maker:
        resting = await maker.add(side="SELL", price=150)
        assert (await client.add(order_type="ALO", price=150))["status"] == "REJECTED"
    assert list(venue.book) == [resting["order_id"]]


async def test_close_position(venue, client):
    await venue.set_position(AAPL, 2)
    ack = (await client.ask("close_position", symbol=AAPL, client_order_id="out"))["order_response"]
    assert (ack["side"], ack["type"], ack["time_in_force"], ack["price"]) == ("SELL", "LIMIT", "IOC", 199.8)
    assert (await client.recv())["order_response"]["status"] == "FILLED"
    assert (await client.recv())["fill_response"]["client_order_id"] == "out"
    assert venue.positions == {}
    assert code(await client.ask("close_position", symbol=AAPL)) == "InvalidOrder"


# -- switches


async def test_held_answers_come_back_in_another_order(venue, client):
    venue.switches.hold = True
    names = [f"order-{number}" for number in range(6)]
    for name in names:
        await client.send("add_order", **order(client_order_id=name))
    await venue.until_held(6)
    assert len(await client.orders()) == len(venue.book) == 6
    venue.release(shuffle=1)
    seen = [(await client.recv())["order_response"]["client_order_id"] for _ in names]
    assert sorted(seen) == names != seen
    assert venue.held == 0


async def test_mute_executes_and_answers_nobody(venue, client):
    async with trading(venue) as twin:
        venue.switches.mute = True
        await client.send("add_order", **order())
        assert len(await client.orders()) == len(await twin.orders()) == len(venue.book) == 1


async def test_deaf_records_and_executes_nothing(venue, client):
    venue.switches = Switches(deaf=True)
    await client.send("add_order", **order())
    assert await client.orders() == []
    assert (venue.book, len(venue.commands("add_order"))) == ({}, 1)
    venue.switches = Switches(deaf=True, only=frozenset({"subscribe"}))
    await client.send("subscribe", channels=CHANNELS)
    assert (await client.add())["status"] == "ACK"
    assert len(venue.book) == len(await client.orders()) == 1


async def test_hang_up_executes_and_drops_the_connection(venue):
    async with connect(venue.url) as socket:
        client = Client(socket)
        await client.login(venue)
        venue.switches.hang_up = True
        await client.send("add_order", **order())
        with pytest.raises(ConnectionClosedError):
            await client.recv()
    assert len(venue.book) == 1


async def test_switches_that_name_commands_leave_the_others_alone(venue, client):
    venue.switches = Switches(mute=True, only=frozenset({"get_user_orders"}))
    mine = await client.add()
    await client.send("get_user_orders")
    reply = await client.ask("cancel_order", symbol=AAPL, order_id=mine["order_id"], cancel_order_id_type="order_id")
    assert reply["order_response"]["status"] == "CANCELLED"
    assert (venue.book, len(venue.commands("get_user_orders"))) == ({}, 1)


async def test_a_stop_of_the_venue_forgets_what_it_holds(venue, client):
    venue.switches.hold = True
    await client.send("add_order", **order())
    await venue.until_held(1)
    await venue.stop()
    await venue.stop()
    assert await client.closed() == []
    assert (venue.connections, len(venue.book)) == (0, 1)


async def test_strangers_and_arrays(venue, client):
    venue.variants = Variants(strangers_first=True, array_frames=True)
    await client.send("add_order", **order())
    [stranger], [mine] = await client.recv(), await client.recv()
    assert stranger["order_response"]["order_id"] not in venue.history
    assert list(venue.book) == [mine["order_response"]["order_id"]]
    await client.send("cancel_all_orders")
    await client.recv()
    assert [list(frame) for frame in await client.recv()] == [["ack"], ["order_response"]]
    assert venue.book == {}


async def test_frames_on_demand_reach_whoever_is_logged_in(venue, client):
    async with connected(venue) as nobody:
        await venue.send({"order_response": None})
        await venue.send("not json")
        await venue.send(b"\xff")
        assert [await client.socket.recv() for _ in range(3)] == ['{"order_response":null}', "not json", b"\xff"]
        assert code(await nobody.ask("get_user_orders")) == "PermissionDenied"
        assert venue.connections == 2


# -- drops


async def test_cancel_on_disconnect_cancels_everything_of_the_account(venue, client):
    ids = {(await client.add())["order_id"], (await client.add(symbol="GOLD-USD"))["order_id"]}
    ids.add((await client.ask("add_order", **stop()))["order_response"]["order_id"])
    twap_id = (await client.ask("add_twap", **twap()))["twap_response"]["twap_id"]
    async with trading(venue, account_id=venue.sub_accounts[0]) as stranger:
        theirs = (await stranger.add())["order_id"]
        async with connected(venue) as fragile:
            await fragile.login(venue, channels=[])
            ack = await fragile.ask("cancel_on_disconnect", cancel_on_disconnect=True)
            assert ack["ack"]["incoming_message"]["type"] == "cancel_on_disconnect"
        gone = [(await client.recv())["order_response"] for _ in range(4)]
    assert {body["order_id"] for body in gone} == ids | {twap_id}
    assert {body["status"] for body in gone} == {"CANCELLED"}
    assert ([*venue.book, *venue.stops], venue.twaps) == ([theirs], {})


async def test_without_it_a_drop_leaves_the_orders(venue, client):
    mine = await client.add()
    assert "ack" in await client.ask("cancel_on_disconnect", cancel_on_disconnect=True)
    assert "ack" in await client.ask("cancel_on_disconnect", cancel_on_disconnect=False)
    await venue.drop_connections()
    assert await client.closed() == []
    assert (list(venue.book), venue.connections) == ([mine["order_id"]], 0)


async def test_dropped_connections_honour_it_before_the_drop_returns(venue, client):
    await client.add()
    await client.ask("cancel_on_disconnect", cancel_on_disconnect=True)
    await venue.drop_connections()
    assert (venue.book, venue.connections) == ({}, 0)


async def test_a_venue_that_comes_back_listens_where_it_did(venue):
    url = venue.url
    await venue.stop()
    await venue.start()
    async with trading(venue) as client:
        await client.add()
    assert venue.url == url
    assert len(venue.book) == 1


# -- malformed input


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        "nonsense",
        '{"type":NaN}',
        '{"type":"add_order","params":{"price":1e999}}',
        '{"type":"add_order","params":{"price":1e-99999999999999999999999999999999999999999999999999999999999999}}',
        '{"n":' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"type":"add_order","params":' + "[" * 70 + "]" * 70 + "}",
    ],
)
async def test_what_is_not_json_is_echoed_as_text(venue, client, raw):
    await client.socket.send(raw)
    body = (await client.recv())["err"]
    assert body["error_code"] == "InvalidJSONFormat"
    assert body["incoming_message"] == (raw if len(raw) < 10_000 else None)
    assert (await client.add())["status"] == "ACK"
    assert [item.message for item in venue.commands("?")] == [raw]


async def test_bytes_that_are_no_text_are_not_json(venue, client):
    await client.socket.send(b"\xff\xfe")
    assert code(await client.recv()) == "InvalidJSONFormat"
    assert len(venue.commands("?")) == 1


@pytest.mark.parametrize(
    "message",
    [
        [],
        7,
        None,
        {},
        {"type": 7},
        {"type": "place_order", "params": {}},
        {"type": "add_order"},
        {"type": "add_order", "params": []},
        {"type": "add_order", "params": {}},
        {"type": "add_order", "params": order(quantity="10")},
        {"type": "add_order", "params": order(quantity=True)},
        {"type": "add_order", "params": order(quantity=10**15)},
        {"type": "add_order", "params": order(price=None)},
        {"type": "add_order", "params": order(side="buy")},
        {"type": "add_order", "params": order(order_time_in_force="GFD")},
        {"type": "add_order", "params": order(reduce_only=2)},
        {"type": "add_order", "params": order(client_order_id="x" * 65)},
        {"type": "modify_order", "params": {"symbol": AAPL, "order_id": "x", "side": "BUY", "order_type": "LIMIT"}},
        {"type": "cancel_order", "params": {"symbol": AAPL, "order_id": 7, "cancel_order_id_type": "order_id"}},
        {"type": "subscribe", "params": {"channels": ["order_responses", "nothing"]}},
        {"type": "subscribe", "params": {"channels": []}},
        {"type": "get_user_orders", "params": {"limit": -1}},
    ],
)
async def test_faulty_commands_are_refused(venue, client, message):
    await client.socket.send(json.dumps(message))
    assert code(await client.recv()) == "InvalidParameter"
    assert await client.orders() == []
    assert venue.history == {}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"jwt": "x", "hmac": None, "account_id": 7},
        {"hmac": {}},
        {"hmac": {"public_key": "x", "nonce": "no hex", "unix_ts": 1, "signature": "x"}},
        {"hmac": {"public_key": "x", "nonce": "c0ffee", "unix_ts": 1.0, "signature": "x"}},
        {"hmac": {"public_key": "x", "nonce": "a" * 101, "unix_ts": 1, "signature": "x"}},
        {"api_key": "obsolete"},
    ],
)
async def test_a_malformed_login_may_be_mended(venue, params):
    async with connected(venue) as client:
        assert code(await client.ask("auth", **params)) == "InvalidParameter"
        assert await client.login(venue) == {"authenticated": True}
        assert len(venue.commands("auth")) == 2


@pytest.mark.parametrize(("style", "shown"), [("object", dict), ("string", str), ("null", type(None))])
async def test_an_err_echoes_the_command_as_read(venue, client, style, shown):
    venue.variants.err_echo = style
    params = {"symbol": AAPL, "side": "BUY", "order_type": "LIMIT", "quantity": 10}
    echo = (await client.ask("add_order", **params))["err"]["incoming_message"]
    assert type(echo) is shown
    if shown is dict:
        absent = dict.fromkeys(["price", "take_profit", "stop_loss", "client_order_id", "reduce_only"])
        assert echo == {"type": "add_order", "params": params | absent}
        assert type(echo["params"]["quantity"]) is float
    if shown is str:
        assert json.loads(echo)["params"] == params
    assert venue.book == {}


COMMANDS = sorted(
    {"auth", "subscribe", "unsubscribe", "cancel_on_disconnect", "add_order", "cancel_order", "cancel_all_orders"}
    | {"cancel_stop_order", "modify_order", "modify_stop_order", "add_twap", "close_position", "get_order"}
    | {"get_user_orders", "get_user_trades", "nonsense"}
)
NAMES = sorted({*order(), *twap(), "order_id", "cancel_order_id_type", "stop_order_id", "limit", "hmac", "channels"})
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([AAPL, "BUY", "LIMIT"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1e-320, 0.001, 1e11])
PARAMS = JSON | st.dictionaries(st.sampled_from(NAMES), JSON)
NEARLY = st.builds(
    lambda basis, edits: basis | edits,
    st.sampled_from([order(), stop(), twap()]),
    st.dictionaries(st.sampled_from(NAMES), JSON | NUMBERS, max_size=3),
)


@settings(deadline=None, max_examples=150)
@given(commands=st.lists(st.tuples(st.sampled_from(COMMANDS), PARAMS | NEARLY), min_size=1, max_size=5))
async def test_no_parameters_ever_kill_a_connection(commands):
    async with QfexSimulator() as venue, trading(venue) as client:
        for command, params in commands:
            await client.socket.send(json.dumps({"type": command, "params": params}))
        await client.send("subscribe", channels=["balances"])
        while await client.recv() != {"subscribed": "balances"}:
            pass
        assert len(venue.received) == len(commands) + 4
        assert venue.connections == 1


async def test_symbols_are_what_the_constructor_says():
    symbols = {"TOY-USD": Instrument("1", "1", "1", "10")}
    async with QfexSimulator(symbols=symbols) as venue, trading(venue) as client:
        assert (await client.add())["status"] == "BAD_SYMBOL"
        mine = await client.add(symbol="TOY-USD", price=9)
        assert list(venue.book) == [mine["order_id"]]
