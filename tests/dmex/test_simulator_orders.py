"""Cancelling and creating orders at the simulated DMEX, and how it words its replies."""

import pytest

from adapters.dmex.simulator import GREETING, PUSH, DmexSimulator

KEY = "0x" + "11" * 32
OTHER = "0x" + "22" * 32


def accepted(order_hash, op="cancel_order"):
    return {"op": op, "success": True, "data": {"order_hash": order_hash}}


def refused(error, order_hash=None, op="cancel_order"):
    data = {} if order_hash is None else {"order_hash": order_hash}
    return {"op": op, "success": False, "error": error, "data": data}


# -- the book


async def test_an_unknown_hash(raw_venue, raw_client):
    assert await raw_client.cancel("0x" + "ab" * 32) == refused("Order not found", "0x" + "ab" * 32)
    assert raw_venue.orders == {}
    assert len(raw_venue.commands("cancel_order")) == 1


async def test_the_case_of_a_hash_does_not_matter(raw_venue, raw_client):
    order_hash = raw_venue.rest("0x" + "AB" * 32)
    assert await raw_client.cancel("0x" + "aB" * 32) == accepted("0x" + "ab" * 32)
    assert raw_venue.orders[order_hash].closed


async def test_cancelling_twice(raw_venue, raw_client):
    order_hash = raw_venue.rest()
    assert await raw_client.cancel(order_hash) == accepted(order_hash)
    assert await raw_client.cancel(order_hash) == refused("Order already cancelled", order_hash)
    assert raw_venue.orders[order_hash].closed
    assert len(raw_venue.commands("cancel_order")) == 2


async def test_a_filled_order_and_a_half_filled_one(raw_venue, raw_client):
    filled, half, closed = raw_venue.rest(), raw_venue.rest(amount="400"), raw_venue.rest()
    raw_venue.fill(filled)
    raw_venue.fill(half, 100)
    raw_venue.close(closed)
    assert await raw_client.cancel(filled) == refused("Order already filled", filled)
    assert await raw_client.cancel(half) == accepted(half)
    assert await raw_client.cancel(closed) == refused("Order already cancelled", closed)
    assert [(order.remaining, order.closed) for order in raw_venue.orders.values()] == [
        (0, True),
        (300, True),
        (1_000_000_000, True),
    ]


async def test_what_cannot_happen_to_an_order(raw_venue):
    order_hash = raw_venue.rest(amount=10)
    for impossible in (0, 11, -1):
        with pytest.raises(ValueError, match="cannot fill"):
            raw_venue.fill(order_hash, impossible)
    raw_venue.close(order_hash)
    with pytest.raises(ValueError, match="already closed"):
        raw_venue.close(order_hash)
    with pytest.raises(ValueError, match="already in the book"):
        raw_venue.rest(order_hash)
    with pytest.raises(ValueError, match="not a hash"):
        raw_venue.rest("0x12")
    assert raw_venue.orders[order_hash].remaining == 10


# -- creating


async def test_create_then_cancel_with_the_same_signature(raw_venue, raw_client):
    order_hash = "0x" + "cd" * 32
    frame = raw_client.create_frame(order_hash, amount="300", remaining_amount="300", stop=True, stop_price="5")
    assert await raw_client.ask(frame) == accepted(order_hash, "create_order")
    order = raw_venue.orders[order_hash]
    assert (order.owner, order.amount, order.remaining) == (raw_venue.address, 300, 300)
    assert (order.stop, order.stop_price, order.post_only, order.closed) == (True, 5, True, False)
    kept = {name: frame["data"][name] for name in ("v", "r", "s")}
    assert await raw_client.cancel(order_hash, **kept) == accepted(order_hash)
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
async def test_an_order_that_is_refused(raw_venue, raw_client, changed, error):
    order_hash = "0x" + "cd" * 32
    assert await raw_client.create(order_hash, **changed) == refused(error, order_hash, "create_order")
    assert raw_venue.orders == {}
    assert len(raw_venue.commands("create_order")) == 1


async def test_a_hash_enters_the_book_once(raw_venue, raw_client):
    order_hash = raw_venue.rest(amount=5)
    assert await raw_client.create(order_hash) == refused("Order already exists", order_hash, "create_order")
    assert raw_venue.orders[order_hash].amount == 5


async def test_replacing_swaps_in_one_step(raw_venue, raw_client):
    old, new = raw_venue.rest(), "0x" + "cd" * 32
    assert await raw_client.create(new, replace_hash=old) == accepted(new, "create_order")
    assert raw_venue.orders[old].closed
    assert not raw_venue.orders[new].closed
    late = refused("Order already cancelled", "0x" + "ce" * 32, "create_order")
    assert await raw_client.create("0x" + "ce" * 32, replace_hash=old) == late
    assert set(raw_venue.orders) == {old, new}


async def test_a_refused_replacement_leaves_the_old_order_resting(raw_venue, raw_client):
    mine, foreign, filled = raw_venue.rest(), raw_venue.rest(owner=raw_client.address(OTHER)), raw_venue.rest()
    raw_venue.fill(filled)
    new = "0x" + "cd" * 32
    for changed, error in (
        ({"replace_hash": mine, "amount": "0"}, "Amount must be greater than zero"),
        ({"replace_hash": mine, "s": "0x" + "7" * 64}, "Invalid signature"),
        ({"replace_hash": foreign}, "Order not found"),
        ({"replace_hash": filled}, "Order already filled"),
    ):
        assert await raw_client.create(new, **changed) == refused(error, new, "create_order")
    assert set(raw_venue.orders) == {mine, foreign, filled}
    assert [raw_venue.orders[name].closed for name in (mine, foreign)] == [False, False]


# -- how replies are worded


async def test_replies_without_a_hash(raw_venue, raw_client):
    raw_venue.echo_hash = False
    order_hash = raw_venue.rest()
    assert await raw_client.cancel(order_hash) == {"op": "cancel_order", "success": True, "data": {}}
    assert await raw_client.cancel(order_hash) == refused("Order already cancelled")
    assert raw_venue.orders[order_hash].closed


async def test_replies_in_other_words(raw_venue, raw_client):
    order_hash = raw_venue.rest()
    named = {"op": "cancel_order", "data": {"order_hash": order_hash}}
    raw_venue.reply = "status"
    assert await raw_client.cancel(order_hash) == named | {"status": "ok"}
    failed = {"status": "error", "error": "Order already cancelled"}
    assert await raw_client.cancel(order_hash) == named | failed
    raw_venue.reply = "verdictless"
    assert await raw_client.cancel(order_hash) == named
    assert raw_venue.orders[order_hash].closed
    with pytest.raises(ValueError, match="reply"):
        raw_venue.reply = "loud"


async def test_frames_that_are_no_replies(raw_connected):
    async with DmexSimulator(private_key=KEY, greeting=True, push=True) as venue, raw_connected(venue) as client:
        order_hash = venue.rest()
        assert await client.read() == GREETING
        assert await client.cancel(order_hash) == PUSH
        assert await client.read() == accepted(order_hash)
        await venue.send({"event": "news"})
        await venue.send("not json")
        await venue.send(b"\x00")
        assert [await client.socket.recv() for _ in range(3)] == ['{"event": "news"}', "not json", b"\x00"]
        assert venue.orders[order_hash].closed
