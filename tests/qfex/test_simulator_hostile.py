"""What the simulated QFEX makes of input that is no command, or no good one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.qfex.simulator import QfexSimulator

AAPL = "AAPL-USD"
ORDER = {
    "symbol": AAPL,
    "side": "BUY",
    "order_type": "LIMIT",
    "order_time_in_force": "GTC",
    "quantity": 10,
    "price": 150.5,
    "client_order_id": "mine",
}
STOP = ORDER | {"side": "SELL", "order_type": "STOP_LOSS", "price": 120, "quantity": 2}
TWAP = {
    "symbol": AAPL,
    "side": "BUY",
    "total_quantity": 10,
    "num_orders": 5,
    "order_interval_secs": 30,
    "reduce_only": False,
    "client_twap_id": "slow",
}


def code(frame):
    return frame["err"]["error_code"]


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
async def test_what_is_not_json_is_echoed_as_text(raw_venue, raw_client, raw):
    await raw_client.socket.send(raw)
    body = (await raw_client.recv())["err"]
    assert body["error_code"] == "InvalidJSONFormat"
    assert body["incoming_message"] == (raw if len(raw) < 10_000 else None)
    assert (await raw_client.add())["status"] == "ACK"
    assert [item.message for item in raw_venue.commands("?")] == [raw]


async def test_bytes_that_are_no_text_are_not_json(raw_venue, raw_client):
    await raw_client.socket.send(b"\xff\xfe")
    assert code(await raw_client.recv()) == "InvalidJSONFormat"
    assert len(raw_venue.commands("?")) == 1


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
        {"type": "add_order", "params": ORDER | {"quantity": "10"}},
        {"type": "add_order", "params": ORDER | {"quantity": True}},
        {"type": "add_order", "params": ORDER | {"quantity": 10**15}},
        {"type": "add_order", "params": ORDER | {"price": None}},
        {"type": "add_order", "params": ORDER | {"side": "buy"}},
        {"type": "add_order", "params": ORDER | {"order_time_in_force": "GFD"}},
        {"type": "add_order", "params": ORDER | {"reduce_only": 2}},
        {"type": "add_order", "params": ORDER | {"client_order_id": "x" * 65}},
        {"type": "modify_order", "params": {"symbol": AAPL, "order_id": "x", "side": "BUY", "order_type": "LIMIT"}},
        {"type": "cancel_order", "params": {"symbol": AAPL, "order_id": 7, "cancel_order_id_type": "order_id"}},
        {"type": "subscribe", "params": {"channels": ["order_responses", "nothing"]}},
        {"type": "subscribe", "params": {"channels": []}},
        {"type": "get_user_orders", "params": {"limit": -1}},
    ],
)
async def test_faulty_commands_are_refused(raw_venue, raw_client, message):
    await raw_client.socket.send(json.dumps(message))
    assert code(await raw_client.recv()) == "InvalidParameter"
    assert await raw_client.orders() == []
    assert raw_venue.history == {}


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
async def test_a_malformed_login_may_be_mended(raw_venue, raw_connected, params):
    async with raw_connected(raw_venue) as client:
        assert await client.refusal("auth", **params) == "InvalidParameter"
        assert await client.login() == {"authenticated": True}
        assert len(raw_venue.commands("auth")) == 2


@pytest.mark.parametrize(("style", "shown"), [("object", dict), ("string", str), ("null", type(None))])
async def test_an_err_echoes_the_command_as_read(raw_venue, raw_client, style, shown):
    raw_venue.variants.err_echo = style
    params = {"symbol": AAPL, "side": "BUY", "order_type": "LIMIT", "quantity": 10}
    echo = (await raw_client.ask("add_order", **params))["err"]["incoming_message"]
    assert type(echo) is shown
    if shown is dict:
        absent = dict.fromkeys(["price", "take_profit", "stop_loss", "client_order_id", "reduce_only"])
        assert echo == {"type": "add_order", "params": params | absent}
        assert type(echo["params"]["quantity"]) is float
    if shown is str:
        assert json.loads(echo)["params"] == params
    assert raw_venue.book == {}


COMMANDS = sorted(
    {"auth", "subscribe", "unsubscribe", "cancel_on_disconnect", "add_order", "cancel_order", "cancel_all_orders"}
    | {"cancel_stop_order", "modify_order", "modify_stop_order", "add_twap", "close_position", "get_order"}
    | {"get_user_orders", "get_user_trades", "nonsense"}
)
NAMES = sorted({*ORDER, *TWAP, "order_id", "cancel_order_id_type", "stop_order_id", "limit", "hmac", "channels"})
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([AAPL, "BUY", "LIMIT"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1e-320, 0.001, 1e11])
PARAMS = JSON | st.dictionaries(st.sampled_from(NAMES), JSON)
NEARLY = st.builds(
    lambda basis, edits: basis | edits,
    st.sampled_from([ORDER, STOP, TWAP]),
    st.dictionaries(st.sampled_from(NAMES), JSON | NUMBERS, max_size=3),
)


@settings(deadline=None, max_examples=150)
@given(commands=st.lists(st.tuples(st.sampled_from(COMMANDS), PARAMS | NEARLY), min_size=1, max_size=5))
async def test_no_parameters_ever_kill_a_connection(raw_trading, commands):
    async with QfexSimulator() as venue, raw_trading(venue) as client:
        for command, params in commands:
            await client.socket.send(json.dumps({"type": command, "params": params}))
        await client.send("subscribe", channels=["balances"])
        while await client.recv() != {"subscribed": "balances"}:
            pass
        assert len(venue.received) == len(commands) + 4
        assert venue.connections == 1
