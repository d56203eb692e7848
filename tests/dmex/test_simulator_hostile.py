"""What the simulated DMEX makes of input that is no command, or no good one."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from adapters.dmex.simulator import DmexSimulator

KEY = "0x" + "11" * 32


def accepted(order_hash):
    return {"op": "cancel_order", "success": True, "data": {"order_hash": order_hash}}


def refused(error, order_hash=None):
    data = {} if order_hash is None else {"order_hash": order_hash}
    return {"op": "cancel_order", "success": False, "error": error, "data": data}


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("", "Invalid request"),
        ("null", "Invalid request"),
        ("[" * 100_000, "Invalid request"),  # overflows the stack where eth_account has raised the recursion limit
        ('{"op": "cancel_order", "data": NaN}', "Invalid request"),
        ("1" * 10_000, "Invalid request"),
        (b'{"op": "cancel_order", "data": {}}', "Invalid request"),
        ({"op": "cancel_all", "data": {}}, "Unknown operation"),
        ({"op": ["cancel_order"], "data": {}}, "Unknown operation"),
    ],
)
async def test_frames_that_name_no_command(raw_venue, raw_client, frame, error):
    order_hash = raw_venue.rest()
    assert await raw_client.ask(frame) == {"success": False, "error": error, "data": {}}
    assert not raw_venue.orders[order_hash].closed
    assert raw_venue.received[0].command in {"?", "cancel_all"}


@pytest.mark.parametrize(
    "changed",
    [{"v": True}, {"v": "27"}, {"v": 27.0}, {"v": None}, {"r": 5}, {"s": None}, {"order_hash": 7}, {"extra": 1}],
)
async def test_a_cancel_of_the_wrong_types(raw_venue, raw_client, changed):
    order_hash = raw_venue.rest()
    named = None if "order_hash" in changed else order_hash
    assert await raw_client.cancel(order_hash, **changed) == refused("Invalid request", named)
    assert await raw_client.ask(raw_client.cancel_frame(order_hash) | {"id": 1}) == refused(
        "Invalid request", order_hash
    )
    assert not raw_venue.orders[order_hash].closed


@pytest.mark.parametrize("cut", [slice(0, 65), slice(2, 66), slice(0, 0)])
async def test_a_hash_of_the_wrong_length(raw_venue, raw_client, cut):
    order_hash = raw_venue.rest()
    frame = raw_client.cancel_frame(order_hash)
    frame["data"]["order_hash"] = order_hash[cut]
    assert await raw_client.ask(frame) == refused("Invalid order hash")
    assert not raw_venue.orders[order_hash].closed


async def test_a_frame_too_big_ends_the_connection_alone(raw_venue, raw_client, raw_connected):
    order_hash = raw_venue.rest()
    with pytest.raises(ConnectionClosed) as closed:
        await raw_client.ask("x" * (2**18 + 1))
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    async with raw_connected(raw_venue) as again:
        assert await again.cancel(order_hash) == accepted(order_hash)
    assert raw_venue.orders[order_hash].closed


async def test_another_path_is_not_found(raw_venue):
    with pytest.raises(InvalidStatus, match="404"):
        await connect(raw_venue.url + "/x")
    assert raw_venue.connections == {}


def test_the_recursion_limit_survives_the_import():
    program = (
        "import sys; before = sys.getrecursionlimit(); import adapters.dmex.simulator;"
        "print('py_ecc' in sys.modules, sys.getrecursionlimit() == before)"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert run.stdout == "True True\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "hash",
    "order_hash",
    "user_address",
    "base_token",
    "asset",
    "amount",
    "price",
    "side",
    "nonce",
    "leverage",
    "closing_order",
    "v",
    "r",
    "s",
    "remaining_amount",
    "closed",
    "stop",
    "stop_price",
    "stopped",
    "is_market",
    "post_only",
    "decimals",
    "amount_dec",
    "margin_currency_symbol",
    "replace_hash",
]


def spoil(kind, field, value, missing):
    """What makes a frame of the client's with one field replaced and one missing, so that it is never good."""

    def make(client):
        frame = client.cancel_frame("0x" + "ab" * 32) if kind == "cancel" else client.create_frame("0x" + "cd" * 32)
        data = {name: content for name, content in (frame["data"] | {field: value}).items() if name != missing}
        return frame | {"data": data}

    return make


SPOILT = st.builds(
    spoil, st.sampled_from(["cancel", "create"]), st.sampled_from(FIELDS), JSON, st.sampled_from(["v", "r", "s"])
)
NO_DATA = st.builds(lambda op, data: {"op": op, "data": data}, st.sampled_from(["cancel_order", "create_order"]), JSON)
FRAMES = st.text(max_size=200) | st.binary(max_size=200) | JSON | NO_DATA | SPOILT


@settings(max_examples=40, deadline=None)
@given(frames=st.lists(FRAMES, max_size=6))
async def test_hostile_frames_change_nothing_and_are_all_answered(raw_connected, frames):
    async with DmexSimulator(private_key=KEY) as venue, raw_connected(venue) as client:
        order_hash = venue.rest("0x" + "ab" * 32)
        for frame in frames:
            assert (await client.ask(frame(client) if callable(frame) else frame))["success"] is False
        assert not venue.orders[order_hash].closed
        assert await client.cancel(order_hash) == accepted(order_hash)
        assert (len(venue.received), len(venue.orders)) == (len(frames) + 1, 1)
