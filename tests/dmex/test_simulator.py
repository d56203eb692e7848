"""The simulated DMEX, asked over real sockets by a client that shares no code with the adapter."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from adapters.dmex.simulator import CURVE_ORDER, GREETING, PUSH, DmexSimulator
from router.testing import QUIET

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "dmex_vectors.json").read_text())
SHORT_R = next(vector for vector in VECTORS if vector["r"].startswith("0x00"))
KEY = "0x" + "11" * 32
OTHER = "0x" + "22" * 32


def address(key: str) -> str:
    return str(Account.from_key(key).address)


def signature(order_hash: str, key: str = KEY) -> dict[str, Any]:
    signed = Account.from_key(key).sign_message(encode_defunct(hexstr=order_hash))
    return {"v": signed.v, "r": f"0x{signed.r:064x}", "s": f"0x{signed.s:064x}"}


def cancel(order_hash: str, key: str = KEY, /, **changed: Any) -> dict[str, Any]:
    return {"op": "cancel_order", "data": {"order_hash": order_hash, **signature(order_hash, key), **changed}}


def vector_frame(vector: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {"op": "cancel_order", "data": {name: vector[name] for name in ("order_hash", "v", "r", "s")} | changed}


def create(order_hash: str, key: str = KEY, /, **changed: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "hash": order_hash,
        "user_address": address(key),
        "base_token": "0x" + "ab" * 20,
        "asset": "btcusd",
    }
    data |= {"amount": "1000000000", "price": "10000000000000", "side": True, "nonce": 7, "leverage": "1000000000"}
    data |= {"closing_order": False, **signature(order_hash, key), "remaining_amount": "1000000000", "closed": False}
    data |= {"stop": False, "stop_price": "0", "stopped": False, "is_market": False, "post_only": True, "decimals": 2}
    data |= {"amount_dec": 4, "margin_currency_symbol": "USDC", "replace_hash": "0x" + "0" * 64}
    return {"op": "create_order", "data": data | changed}


async def tell(socket: ClientConnection, *frames: Any) -> None:
    for frame in frames:
        await socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))


async def read(socket: ClientConnection) -> Any:
    return json.loads(await socket.recv())


async def ask(socket: ClientConnection, frame: Any) -> Any:
    await tell(socket, frame)
    return await read(socket)


def accepted(order_hash: str, op: str = "cancel_order") -> dict[str, Any]:
    return {"op": op, "success": True, "data": {"order_hash": order_hash}}


def refused(error: str, order_hash: str | None = None, op: str = "cancel_order") -> dict[str, Any]:
    data = {} if order_hash is None else {"order_hash": order_hash}
    return {"op": op, "success": False, "error": error, "data": data}


@pytest.fixture
async def venue() -> AsyncIterator[DmexSimulator]:
    async with DmexSimulator(private_key=KEY) as simulator:
        yield simulator


@pytest.fixture
async def socket(venue: DmexSimulator) -> AsyncIterator[ClientConnection]:
    async with connect(venue.url, compression=None) as connection:
        yield connection


# -- signatures


async def test_every_signature_of_web3js_is_accepted(venue: DmexSimulator, socket: ClientConnection) -> None:
    for vector in VECTORS:
        order_hash = venue.rest(vector["order_hash"], owner=vector["address"])
        assert await ask(socket, vector_frame(vector)) == accepted(order_hash)
    assert len(venue.orders) == len(venue.commands("cancel_order")) == 128
    assert all(order.closed and order.remaining == order.amount for order in venue.orders.values())


async def test_a_signature_of_another_hash_is_refused(venue: DmexSimulator, socket: ClientConnection) -> None:
    for vector, other in pairwise(VECTORS):
        order_hash = venue.rest(vector["order_hash"], owner=vector["address"])
        frame = vector_frame(other, order_hash=order_hash)
        assert await ask(socket, frame) == refused("Invalid signature", order_hash)
    assert not any(order.closed for order in venue.orders.values())


async def test_a_short_r_is_refused(venue: DmexSimulator, socket: ClientConnection) -> None:
    order_hash = venue.rest(SHORT_R["order_hash"], owner=SHORT_R["address"])
    frame = vector_frame(SHORT_R, r="0x" + SHORT_R["r"][4:])
    assert len(frame["data"]["r"]) == 64
    assert await ask(socket, frame) == refused("Invalid signature", order_hash)
    assert not venue.orders[order_hash].closed


async def test_a_short_r_is_padded_when_lenient(venue: DmexSimulator, socket: ClientConnection) -> None:
    venue.strict = False
    order_hash = venue.rest(SHORT_R["order_hash"], owner=SHORT_R["address"])
    assert await ask(socket, vector_frame(SHORT_R, r=hex(int(SHORT_R["r"], 16)))) == accepted(order_hash)
    assert venue.orders[order_hash].closed


def high_s(order_hash: str) -> dict[str, Any]:
    data = cancel(order_hash)["data"]
    return {"v": 55 - data["v"], "s": f"0x{CURVE_ORDER - int(data['s'], 16):064x}"}


def small_v(order_hash: str) -> dict[str, Any]:
    return {"v": cancel(order_hash)["data"]["v"] - 27}


@pytest.mark.parametrize("twin", [high_s, small_v])
@pytest.mark.parametrize("strict", [True, False])
async def test_the_other_forms_of_a_signature_are_for_the_lenient(
    venue: DmexSimulator, socket: ClientConnection, twin: Any, *, strict: bool
) -> None:
    venue.strict = strict
    order_hash = venue.rest()
    expected = refused("Invalid signature", order_hash) if strict else accepted(order_hash)
    assert await ask(socket, cancel(order_hash, **twin(order_hash))) == expected
    assert venue.orders[order_hash].closed is not strict


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "changed",
    [
        {"r": "0x" + "0" * 64},
        {"s": "0x" + "0" * 64},
        {"r": f"0x{CURVE_ORDER:x}"},
        {"s": f"0x{CURVE_ORDER:x}"},
        {"r": "0x" + "1" * 65},
        {"r": "1" * 66},
        {"r": "0x" + "0" * 63 + "5"},  # no point of the curve has this x
        {"v": 29},
        {"v": -1},
        {"v": 10**300},
        {"v": 55},  # the wrong one of 27 and 28, see the test
    ],
)
async def test_numbers_that_are_no_signature(
    venue: DmexSimulator, socket: ClientConnection, changed: dict[str, Any], *, strict: bool
) -> None:
    venue.strict = strict
    order_hash = venue.rest()
    frame = cancel(order_hash)
    frame["data"] |= {"v": 55 - frame["data"]["v"]} if changed == {"v": 55} else changed
    assert await ask(socket, frame) == refused("Invalid signature", order_hash)
    assert not venue.orders[order_hash].closed


async def test_only_the_owner_cancels(venue: DmexSimulator, socket: ClientConnection) -> None:
    order_hash = venue.rest()
    assert await ask(socket, cancel(order_hash, OTHER)) == refused("Invalid signature", order_hash)
    assert not venue.orders[order_hash].closed
    assert await ask(socket, cancel(order_hash)) == accepted(order_hash)
    assert venue.orders[order_hash].closed


async def test_a_delegate_signs_for_its_owner_alone(venue: DmexSimulator, socket: ClientConnection) -> None:
    venue.delegates = {venue.address.lower(): {address(OTHER).lower()}}
    mine, foreign = venue.rest(), venue.rest(owner="0x" + "33" * 20)
    assert await ask(socket, cancel(mine, OTHER)) == accepted(mine)
    assert await ask(socket, cancel(foreign, OTHER)) == refused("Invalid signature", foreign)
    assert venue.orders[mine].closed
    assert not venue.orders[foreign].closed


# -- the book


async def test_an_unknown_hash(venue: DmexSimulator, socket: ClientConnection) -> None:
    assert await ask(socket, cancel("0x" + "ab" * 32)) == refused("Order not found", "0x" + "ab" * 32)
    assert venue.orders == {}
    assert len(venue.commands("cancel_order")) == 1


async def test_the_case_of_a_hash_does_not_matter(venue: DmexSimulator, socket: ClientConnection) -> None:
    order_hash = venue.rest("0x" + "AB" * 32)
    assert await ask(socket, cancel("0x" + "aB" * 32)) == accepted("0x" + "ab" * 32)
    assert venue.orders[order_hash].closed


async def test_cancelling_twice(venue: DmexSimulator, socket: ClientConnection) -> None:
    order_hash = venue.rest()
    assert await ask(socket, cancel(order_hash)) == accepted(order_hash)
    assert await ask(socket, cancel(order_hash)) == refused("Order already cancelled", order_hash)
    assert venue.orders[order_hash].closed
    assert len(venue.commands("cancel_order")) == 2


async def test_a_filled_order_and_a_half_filled_one(venue: DmexSimulator, socket: ClientConnection) -> None:
    filled, half, closed = venue.rest(), venue.rest(amount="400"), venue.rest()
    venue.fill(filled)
    venue.fill(half, 100)
    venue.close(closed)
    assert await ask(socket, cancel(filled)) == refused("Order already filled", filled)
    assert await ask(socket, cancel(half)) == accepted(half)
    assert await ask(socket, cancel(closed)) == refused("Order already cancelled", closed)
    assert [(order.remaining, order.closed) for order in venue.orders.values()] == [
        (0, True),
        (300, True),
        (1_000_000_000, True),
    ]


async def test_what_cannot_happen_to_an_order(venue: DmexSimulator) -> None:
    order_hash = venue.rest(amount=10)
    for impossible in (0, 11, -1):
        with pytest.raises(ValueError, match="cannot fill"):
            venue.fill(order_hash, impossible)
    venue.close(order_hash)
    with pytest.raises(ValueError, match="already closed"):
        venue.close(order_hash)
    with pytest.raises(ValueError, match="already in the book"):
        venue.rest(order_hash)
    with pytest.raises(ValueError, match="not a hash"):
        venue.rest("0x12")
    assert venue.orders[order_hash].remaining == 10


# -- creating


async def test_create_then_cancel_with_the_same_signature(venue: DmexSimulator, socket: ClientConnection) -> None:
    order_hash = "0x" + "cd" * 32
    frame = create(order_hash, amount="300", remaining_amount="300", stop=True, stop_price="5")
    assert await ask(socket, frame) == accepted(order_hash, "create_order")
    order = venue.orders[order_hash]
    assert (
        order.owner,
        order.amount,
        order.remaining,
        order.stop,
        order.stop_price,
        order.post_only,
        order.closed,
    ) == (
        *(venue.address, 300, 300, True, 5),
        *(True, False),
    )
    kept = {name: frame["data"][name] for name in ("v", "r", "s")}
    assert await ask(socket, cancel(order_hash, **kept)) == accepted(order_hash)
    assert order.closed


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"amount": "0", "remaining_amount": "0"}, "Amount must be greater than zero"),
        ({"amount": "-5"}, "Amount must be greater than zero"),
        ({"amount": "1e8"}, "Amount must be greater than zero"),
        ({"leverage": "0"}, "Invalid leverage"),
        ({"leverage": "ten"}, "Invalid leverage"),
        ({"price": "1.5"}, "Invalid price"),
        ({"stop_price": ""}, "Invalid price"),
        ({"r": "0x" + "7" * 64}, "Invalid signature"),
        ({"user_address": "0x" + "33" * 20}, "Invalid signature"),
        ({"nonce": True}, "Invalid request"),
        ({"nonce": -1}, "Invalid request"),
        ({"side": "buy"}, "Invalid request"),
        ({"amount": 300}, "Invalid request"),
        ({"remaining_amount": "1"}, "Invalid request"),
        ({"closed": True}, "Invalid request"),
        ({"extra": 1}, "Invalid request"),
        ({"base_token": "USDC"}, "Invalid request"),
        ({"replace_hash": "0x" + "ef" * 32}, "Order not found"),
        ({"replace_hash": "0x12"}, "Invalid order hash"),
    ],
)
async def test_an_order_that_is_refused(
    venue: DmexSimulator, socket: ClientConnection, changed: dict[str, Any], error: str
) -> None:
    order_hash = "0x" + "cd" * 32
    assert await ask(socket, create(order_hash, **changed)) == refused(error, order_hash, "create_order")
    assert venue.orders == {}
    assert len(venue.commands("create_order")) == 1


async def test_a_hash_enters_the_book_once(venue: DmexSimulator, socket: ClientConnection) -> None:
    order_hash = venue.rest(amount=5)
    assert await ask(socket, create(order_hash)) == refused("Order already exists", order_hash, "create_order")
    assert venue.orders[order_hash].amount == 5


async def test_replacing_swaps_in_one_step(venue: DmexSimulator, socket: ClientConnection) -> None:
    old, new = venue.rest(), "0x" + "cd" * 32
    assert await ask(socket, create(new, replace_hash=old)) == accepted(new, "create_order")
    assert venue.orders[old].closed
    assert not venue.orders[new].closed
    late = refused("Order already cancelled", "0x" + "ce" * 32, "create_order")
    assert await ask(socket, create("0x" + "ce" * 32, replace_hash=old)) == late
    assert set(venue.orders) == {old, new}


async def test_a_refused_replacement_leaves_the_old_order_resting(
    venue: DmexSimulator, socket: ClientConnection
) -> None:
    mine, foreign, filled = venue.rest(), venue.rest(owner=address(OTHER)), venue.rest()
    venue.fill(filled)
    new = "0x" + "cd" * 32
    for changed, error in (
        ({"replace_hash": mine, "amount": "0"}, "Amount must be greater than zero"),
        ({"replace_hash": mine, "s": "0x" + "7" * 64}, "Invalid signature"),
        ({"replace_hash": foreign}, "Order not found"),
        ({"replace_hash": filled}, "Order already filled"),
    ):
        assert await ask(socket, create(new, **changed)) == refused(error, new, "create_order")
    assert set(venue.orders) == {mine, foreign, filled}
    assert [venue.orders[name].closed for name in (mine, foreign)] == [False, False]


# -- how replies are worded


async def test_replies_without_a_hash(venue: DmexSimulator, socket: ClientConnection) -> None:
    venue.echo_hash = False
    order_hash = venue.rest()
    assert await ask(socket, cancel(order_hash)) == {"op": "cancel_order", "success": True, "data": {}}
    assert await ask(socket, cancel(order_hash)) == refused("Order already cancelled")
    assert venue.orders[order_hash].closed


async def test_replies_in_other_words(venue: DmexSimulator, socket: ClientConnection) -> None:
    order_hash = venue.rest()
    named = {"op": "cancel_order", "data": {"order_hash": order_hash}}
    venue.reply = "status"
    assert await ask(socket, cancel(order_hash)) == named | {"status": "ok"}
    failed = {"status": "error", "error": "Order already cancelled"}
    assert await ask(socket, cancel(order_hash)) == named | failed
    venue.reply = "verdictless"
    assert await ask(socket, cancel(order_hash)) == named
    assert venue.orders[order_hash].closed
    with pytest.raises(ValueError, match="reply"):
        venue.reply = "loud"  # type: ignore[assignment] # that is the point


async def test_frames_that_are_no_replies() -> None:
    async with (
        DmexSimulator(private_key=KEY, greeting=True, push=True) as venue,
        connect(venue.url, compression=None) as socket,
    ):
        order_hash = venue.rest()
        assert await read(socket) == GREETING
        assert await ask(socket, cancel(order_hash)) == PUSH
        assert await read(socket) == accepted(order_hash)
        await venue.send({"event": "news"})
        await venue.send("not json")
        await venue.send(b"\x00")
        assert [await socket.recv() for _ in range(3)] == ['{"event": "news"}', "not json", b"\x00"]
        assert venue.orders[order_hash].closed


# -- the switches


async def test_held_answers_come_in_any_order(venue: DmexSimulator, socket: ClientConnection) -> None:
    venue.switches.hold = True
    hashes = [venue.rest() for _ in range(8)]
    await tell(socket, *(cancel(order_hash) for order_hash in hashes))
    await venue.until_held(8)
    assert all(order.closed for order in venue.orders.values())
    venue.release(shuffle=7)
    answers = [(await read(socket))["data"]["order_hash"] for _ in hashes]
    assert answers != hashes
    assert sorted(answers) == sorted(hashes)


async def test_a_held_answer_blocks_no_other_command(venue: DmexSimulator, socket: ClientConnection) -> None:
    venue.switches.hold = True
    venue.switches.only = frozenset({"cancel_order"})
    held, created = venue.rest(), "0x" + "cd" * 32
    await tell(socket, cancel(held))
    assert await ask(socket, create(created)) == accepted(created, "create_order")
    venue.release()
    assert await read(socket) == accepted(held)
    assert venue.orders[held].closed


async def test_a_mute_venue_executes_and_a_deaf_one_does_not(venue: DmexSimulator, socket: ClientConnection) -> None:
    executed, ignored, last = venue.rest(), venue.rest(), venue.rest()
    venue.switches.mute = True
    await tell(socket, cancel(executed))
    await venue.until(1, "cancel_order")
    venue.switches.mute, venue.switches.deaf = False, True
    await tell(socket, cancel(ignored))
    await venue.until(2, "cancel_order")
    venue.switches.deaf = False
    assert await ask(socket, cancel(last)) == accepted(last)
    assert [venue.orders[name].closed for name in (executed, ignored, last)] == [True, False, True]


async def test_hanging_up_comes_after_executing(venue: DmexSimulator, socket: ClientConnection) -> None:
    venue.switches.hang_up = True
    order_hash = venue.rest()
    with pytest.raises(ConnectionClosed):
        await ask(socket, cancel(order_hash))
    assert venue.orders[order_hash].closed
    assert [item.connection for item in venue.commands("cancel_order")] == [1]


async def test_dropped_connections(venue: DmexSimulator, socket: ClientConnection) -> None:
    venue.switches.hold = True
    order_hash = venue.rest()
    await tell(socket, cancel(order_hash))
    await venue.until_held(1)
    await venue.drop_connections()
    assert venue.connections == {}
    with pytest.raises(ConnectionClosed):
        await socket.recv()
    venue.release()
    venue.switches.hold = False
    async with connect(venue.url, compression=None) as again:
        assert await ask(again, cancel(order_hash)) == refused("Order already cancelled", order_hash)
        assert list(venue.connections) == [2]


async def test_stopping_twice_with_everything_pending() -> None:
    venue = DmexSimulator(private_key=KEY)
    await venue.start()
    url = venue.url
    order_hash = venue.rest()
    venue.switches.hold = True
    async with connect(url, compression=None) as socket:
        await tell(socket, cancel(order_hash))
        await venue.until_held(1)
        await venue.stop()
        await venue.stop()
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    with pytest.raises(OSError, match="Connect"):
        await connect(url)
    with pytest.raises(RuntimeError, match="not running"):
        _ = venue.url
    assert venue.held == 0
    assert venue.orders[order_hash].closed


# -- REST


async def rows(venue: DmexSimulator, user: str) -> tuple[int, Any]:
    async with (
        ClientSession() as session,
        session.get(venue.rest_url + "/api/orders", params={"user": user}) as response,
    ):
        return response.status, await response.json()


async def test_the_list_of_orders(venue: DmexSimulator) -> None:
    resting, closed = venue.rest(amount="70", stop=True, stop_price=3), venue.rest()
    venue.rest(owner=address(OTHER))
    venue.fill(resting, 20)
    venue.close(closed)
    status, answer = await rows(venue, venue.address.lower())
    assert (status, answer["success"]) == (200, True)
    assert [row["hash"] for row in answer["data"]] == [resting, closed]
    row = answer["data"][0]
    assert row.pop("created_at").endswith("Z")
    signed = {"v", "r", "s", "replace_hash"}
    assert row.keys() == create(resting)["data"].keys() - signed
    assert (row["hash"], row["user_address"], row["asset"], row["side"]) == (resting, venue.address, "btcusd", True)
    assert (row["amount"], row["remaining_amount"], row["price"]) == ("70", "50", "10000000000000")
    assert (row["closed"], row["stop"], row["stop_price"], row["stopped"]) == (False, True, "3", False)
    assert (row["nonce"], row["leverage"], row["decimals"], row["amount_dec"]) == (1, "1000000000", 2, 4)
    venue.rest_open_only = True
    assert [row["hash"] for row in (await rows(venue, venue.address))[1]["data"]] == [resting]
    assert [item.connection for item in venue.commands("GET orders")] == [0, 0]


async def test_a_list_for_nobody(venue: DmexSimulator) -> None:
    for user in ("", "0x12", "0x" + "g" * 40):
        assert await rows(venue, user) == (400, {"success": False, "error": "Invalid user"})
    assert await rows(venue, "0x" + "33" * 20) == (200, {"success": True, "data": []})
    assert len(venue.commands("GET orders")) == 4


async def test_rest_is_switched_only_by_name(venue: DmexSimulator) -> None:
    order_hash = venue.rest()
    venue.switches.hang_up = True
    assert [row["hash"] for row in (await rows(venue, venue.address))[1]["data"]] == [order_hash]
    venue.switches.only = frozenset({"GET orders"})
    with pytest.raises(ClientConnectionError):
        await rows(venue, venue.address)
    assert len(venue.commands("GET orders")) >= 2  # a client may repeat a GET


async def test_a_mute_list_ends_with_the_venue() -> None:
    async with ClientSession() as session:
        async with DmexSimulator(private_key=KEY) as venue:
            venue.switches.mute, venue.switches.only = True, frozenset({"GET orders"})
            asked = session.get(venue.rest_url + "/api/orders", params={"user": venue.address})
            task = asyncio.ensure_future(asked)
            await venue.until(1, "GET orders")
        with pytest.raises(ClientConnectionError):
            await task
        assert len(venue.commands("GET orders")) >= 1


# -- hostile input


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("", "Invalid request"),
        ("null", "Invalid request"),
        (
            "[" * 100_000,
            "Invalid request",
        ),  # would overflow the stack: importing eth_account raises the recursion limit
        ('{"op": "cancel_order", "data": NaN}', "Invalid request"),
        ("1" * 10_000, "Invalid request"),
        (b'{"op": "cancel_order", "data": {}}', "Invalid request"),
        ({"op": "cancel_all", "data": {}}, "Unknown operation"),
        ({"op": ["cancel_order"], "data": {}}, "Unknown operation"),
    ],
)
async def test_frames_that_name_no_command(
    venue: DmexSimulator, socket: ClientConnection, frame: Any, error: str
) -> None:
    order_hash = venue.rest()
    assert await ask(socket, frame) == {"success": False, "error": error, "data": {}}
    assert not venue.orders[order_hash].closed
    assert venue.received[0].command in {"?", "cancel_all"}


@pytest.mark.parametrize(
    "changed",
    [{"v": True}, {"v": "27"}, {"v": 27.0}, {"v": None}, {"r": 5}, {"s": None}, {"order_hash": 7}, {"extra": 1}],
)
async def test_a_cancel_of_the_wrong_types(
    venue: DmexSimulator, socket: ClientConnection, changed: dict[str, Any]
) -> None:
    order_hash = venue.rest()
    named = None if "order_hash" in changed else order_hash
    assert await ask(socket, cancel(order_hash, **changed)) == refused("Invalid request", named)
    assert await ask(socket, cancel(order_hash) | {"id": 1}) == refused("Invalid request", order_hash)
    assert not venue.orders[order_hash].closed


@pytest.mark.parametrize("cut", [slice(0, 65), slice(2, 66), slice(0, 0)])
async def test_a_hash_of_the_wrong_length(venue: DmexSimulator, socket: ClientConnection, cut: slice) -> None:
    order_hash = venue.rest()
    frame = cancel(order_hash)
    frame["data"]["order_hash"] = order_hash[cut]
    assert await ask(socket, frame) == refused("Invalid order hash")
    assert not venue.orders[order_hash].closed


async def test_a_frame_too_big_ends_the_connection_alone(venue: DmexSimulator, socket: ClientConnection) -> None:
    order_hash = venue.rest()
    with pytest.raises(ConnectionClosed) as closed:
        await ask(socket, "x" * (2**18 + 1))
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    async with connect(venue.url, compression=None) as again:
        assert await ask(again, cancel(order_hash)) == accepted(order_hash)
    assert venue.orders[order_hash].closed


async def test_another_path_is_not_found(venue: DmexSimulator) -> None:
    with pytest.raises(InvalidStatus, match="404"):
        await connect(venue.url + "/x")
    assert venue.connections == {}


def test_the_recursion_limit_survives_the_import() -> None:
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
FIELDS = st.sampled_from(sorted(create("0x" + "cd" * 32)["data"].keys() | {"order_hash"}))


@st.composite
def hostile_frames(draw: st.DrawFn) -> Any:
    frame = draw(st.sampled_from([cancel("0x" + "ab" * 32), create("0x" + "cd" * 32)]))
    spoiled = dict(frame["data"]) | {draw(FIELDS): draw(JSON)}
    del spoiled[draw(st.sampled_from(["v", "r", "s"]))]  # so that it is never good
    whole = st.just({"op": frame["op"], "data": spoiled}) | st.just({"op": frame["op"], "data": draw(JSON)}) | JSON
    return draw(st.text(max_size=200) | st.binary(max_size=200) | whole)


@settings(max_examples=40, deadline=None)
@given(frames=st.lists(hostile_frames(), max_size=6))
async def test_hostile_frames_change_nothing_and_are_all_answered(frames: list[Any]) -> None:
    async with DmexSimulator(private_key=KEY) as venue, connect(venue.url, compression=None) as socket:
        order_hash = venue.rest("0x" + "ab" * 32)
        for frame in frames:
            assert (await ask(socket, frame))["success"] is False
        assert not venue.orders[order_hash].closed
        assert await ask(socket, cancel(order_hash)) == accepted(order_hash)
        assert (len(venue.received), len(venue.orders)) == (len(frames) + 1, 1)


# -- secrets


async def test_nothing_secret_is_shown(venue: DmexSimulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    order_hash = venue.rest()
    frame = cancel(order_hash)
    async with connect(venue.url, compression=None, logger=QUIET) as socket:
        assert await ask(socket, frame) == accepted(order_hash)
    await rows(venue, venue.address)
    shown = repr(venue) + repr(venue.received) + repr(venue.orders) + caplog.text
    assert not any(secret[2:] in shown for secret in (KEY, frame["data"]["r"], frame["data"]["s"]))


async def test_the_ways_to_reach_it(venue: DmexSimulator) -> None:
    assert venue.credentials == {"url": venue.url, "rest_url": venue.rest_url, "private_key": KEY}
    assert venue.environment == {
        "DMEX_URL": venue.url,
        "DMEX_REST_URL": venue.rest_url,
        "DMEX_PRIVATE_KEY": KEY,
    }
    assert DmexSimulator().address != DmexSimulator().address
    assert venue.address == address(KEY)
