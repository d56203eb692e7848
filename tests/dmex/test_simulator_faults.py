"""The faults that the simulated DMEX can be told to have, its REST list, and what it keeps to itself."""

import asyncio
import json
import logging
import socket

import pytest
from aiohttp import ClientConnectionError, ClientSession
from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from adapters.dmex.simulator import DmexSimulator
from router.testing import Fault, Struck

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


# -- injected faults: what reaches the book, and what reaches whoever sent the command


def heard(frame):
    """One word for a frame."""
    try:
        message = json.loads(frame)
    except ValueError:
        return "page" if frame.startswith(b"<") else "garbage"
    return message.get("error") or ("done" if message.get("success") else "push")


async def all_heard(client, fence):
    """What comes up to the refusal of a cancel of an unknown order, or to the end of the connection."""
    words = []
    try:
        await client.tell(client.cancel_frame(fence))
        while "Order not found" not in words:
            async with asyncio.timeout(5):
                words.append(heard(await client.socket.recv(decode=False)))
    except ConnectionClosed:
        words.append("closed")
    return words


FENCE = "Order not found"
EFFECTS = {
    Fault.HANG_UP_UNREAD: (True, ["closed"]),
    Fault.SLOW_READER: (False, ["done", FENCE]),
    Fault.DEAF: (True, [FENCE]),
    Fault.HANG_UP_READ: (True, ["closed"]),
    Fault.SERVER_ERROR: (True, ["undocumented", FENCE]),
    Fault.HTML_PAGE: (True, ["page", FENCE]),
    Fault.MUTE: (False, [FENCE]),
    Fault.HANG_UP_EXECUTED: (False, ["closed"]),
    Fault.SERVER_ERROR_EXECUTED: (False, ["undocumented", FENCE]),
    Fault.DELAY: (False, [FENCE, "done"]),
    Fault.REORDER: (False, [FENCE, "done"]),
    Fault.FLOOD: (False, [*["stranger"] * 7, "done", FENCE]),
    Fault.DUPLICATE: (False, ["done", "done", FENCE]),
    Fault.GARBLE: (False, ["garbage", FENCE]),
    Fault.NOT_UTF8: (False, ["garbage", FENCE]),
    Fault.TRUNCATE: (False, ["garbage", FENCE]),
    Fault.SPLIT: (False, ["done", FENCE]),
    Fault.HANG_UP_ANSWERING: (False, ["closed"]),
    Fault.HANG_UP_ANSWERED: (False, ["done", "closed"]),
}


def test_every_fault_that_this_venue_can_have_is_tested():
    assert {fault for fault in Fault if not DmexSimulator().supports(fault)} == EFFECTS.keys()


@pytest.mark.parametrize("fault", EFFECTS)
async def test_what_a_fault_does_to_the_book_and_to_who_asked(raw_venue, raw_client, fault):
    still_open, expected = EFFECTS[fault]
    order_hash = raw_venue.rest()
    raw_venue.faults.flood = 7
    raw_venue.inject(fault)
    await raw_client.tell(raw_client.cancel_frame(order_hash))
    await raw_venue.until_struck(1, fault)
    if fault is Fault.FLOOD:
        words = ["stranger" for _ in range(7) if await raw_client.read()]
        words += await all_heard(raw_client, "0x" + "ee" * 32)
    else:
        words = await all_heard(raw_client, "0x" + "ee" * 32)
    if fault in {Fault.DELAY, Fault.REORDER}:
        words.append(heard(await raw_client.socket.recv(decode=False)))
    assert ["undocumented" if "rror" in word or "wrong" in word else word for word in words] == expected
    assert raw_venue.orders[order_hash].closed is not still_open
    assert raw_venue.faults.struck == [Struck(fault, "cancel_order", 1)]
    read = [item.message["data"]["order_hash"] for item in raw_venue.commands("cancel_order")]
    assert (order_hash in read) is (fault is not Fault.HANG_UP_UNREAD)


class Wire:
    """A socket that has shaken hands by itself, and shows every byte that comes after."""

    def __init__(self, sock):
        self.sock, self.loop = sock, asyncio.get_running_loop()

    async def open(self, url):
        uri = parse_uri(url)
        await self.loop.sock_connect(self.sock, (uri.host, uri.port))
        protocol = ClientProtocol(uri)
        protocol.send_request(protocol.connect())
        for data in protocol.data_to_send():
            await self.loop.sock_sendall(self.sock, data)
        greeting = b""
        while not greeting.endswith(b"\r\n\r\n"):
            greeting += await self.loop.sock_recv(self.sock, 1)

    async def tell(self, message):
        frame = Frame(Opcode.TEXT, json.dumps(message).encode()).serialize(mask=True)
        await self.loop.sock_sendall(self.sock, frame)

    async def last(self):
        """Every byte, and how it ended."""
        data = b""
        try:
            async with asyncio.timeout(5):
                while part := await self.loop.sock_recv(self.sock, 1 << 16):
                    data += part
        except ConnectionResetError:
            return data, "reset"
        return data, "end"


@pytest.fixture
async def wire(raw_venue):
    with socket.socket() as sock:
        sock.settimeout(0)
        wire = Wire(sock)
        await wire.open(raw_venue.url)
        yield wire


def whole(order_hash):
    return Frame(Opcode.TEXT, json.dumps(accepted(order_hash)).encode()).serialize(mask=False)


@pytest.mark.parametrize("fault", [Fault.HANG_UP_UNREAD, Fault.HANG_UP_READ, Fault.HANG_UP_EXECUTED])
async def test_hanging_up_without_an_answer_is_a_reset_without_a_byte(raw_venue, raw_client, wire, fault):
    raw_venue.inject(fault)
    await wire.tell(raw_client.cancel_frame(raw_venue.rest()))
    assert await wire.last() == (b"", "reset")


async def test_hanging_up_while_answering_leaves_half_a_frame(raw_venue, raw_client, wire):
    order_hash = raw_venue.rest()
    raw_venue.inject(Fault.HANG_UP_ANSWERING)
    await wire.tell(raw_client.cancel_frame(order_hash))
    data, end = await wire.last()
    assert end == "reset"
    assert whole(order_hash).startswith(data)
    assert 0 < len(data) < len(whole(order_hash))


async def test_hanging_up_after_the_answer_leaves_all_of_it(raw_venue, raw_client, wire):
    order_hash = raw_venue.rest()
    raw_venue.inject(Fault.HANG_UP_ANSWERED)
    await wire.tell(raw_client.cancel_frame(order_hash))
    assert await wire.last() == (whole(order_hash), "end")


async def test_a_split_answer_comes_in_fragments(raw_venue, raw_client):
    order_hash = raw_venue.rest()
    raw_venue.inject(Fault.SPLIT)
    await raw_client.tell(raw_client.cancel_frame(order_hash))
    fragments = [part async for part in raw_client.socket.recv_streaming()]
    assert len(fragments) > 1
    assert json.loads("".join(fragments)) == accepted(order_hash)


async def test_text_that_is_none_ends_a_connection_whose_client_reads_text(raw_venue, raw_client):
    raw_venue.inject(Fault.NOT_UTF8)
    with pytest.raises(ConnectionClosed, match="1007"):
        await raw_client.cancel(raw_venue.rest())
    assert all(order.closed for order in raw_venue.orders.values())


async def test_the_same_seed_gives_the_same_bytes_for_the_same_traffic(raw_connected):
    hashes = [f"0x{number:064x}" for number in range(1, 41)]

    async def run(seed):
        async with DmexSimulator(private_key=KEY) as venue, raw_connected(venue) as client:
            venue.faults.seed = seed
            among = (Fault.MUTE, Fault.DUPLICATE, Fault.GARBLE, Fault.TRUNCATE, Fault.SERVER_ERROR, Fault.FLOOD)
            venue.faults.random(0.5, among)
            venue.faults.flood = 3
            frames = []
            await client.tell(*map(client.cancel_frame, hashes))
            await venue.until(40, "cancel_order")
            await client.tell("fence")
            while not frames or b"Invalid request" not in frames[-1]:
                frames.append(await client.socket.recv(decode=False))
            return frames, venue.faults.struck

    first, again, other = await run(3), await run(3), await run(4)
    assert first == again
    assert first[0] != other[0]
    assert len({item.fault for item in first[1]}) > 3


async def test_a_struck_list_of_orders(raw_venue, raw_rows):
    raw_venue.rest()
    url, params = raw_venue.rest_url + "/api/orders", {"user": raw_venue.address}
    for fault, expected in (
        (Fault.SERVER_ERROR, {500, 502, 503, 504}),
        (Fault.HTML_ERROR, {502}),
        (Fault.HTML_PAGE, {200}),
        (Fault.REDIRECT, {302}),
    ):
        raw_venue.inject(fault, only=("GET orders",))
        async with ClientSession() as session, session.get(url, params=params, allow_redirects=False) as response:
            text = await response.text()
        assert (response.status in expected, "<html>" in text) == (True, "html" in fault)
    raw_venue.inject(Fault.SPLIT, only=("GET orders",))
    assert len((await raw_rows(raw_venue, raw_venue.address))[1]["data"]) == 1
    raw_venue.inject(Fault.HANG_UP_UNREAD, only=("GET orders",), times=None)
    with pytest.raises(ClientConnectionError):
        await raw_rows(raw_venue, raw_venue.address)
    assert len(raw_venue.commands("GET orders")) == 5


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
