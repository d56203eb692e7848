"""That the bench of the simulated DMEX tells the truth of its book, and does what it says. Asked by hand-written frames."""

import asyncio
from decimal import Decimal

import pytest
from aiohttp import ClientConnectionError, ClientSession
from websockets.exceptions import ConnectionClosed

from router import OrderType, Side
from router.report import OrdStatus
from router.testing import Row, Verb

D = Decimal
A_HASH, ANOTHER = "0x" + "Aa" * 32, "0x" + "bb" * 32
ZERO = "0x" + "0" * 64
TYPES = {
    OrderType.LIMIT: {"stop": False, "is_market": False},
    OrderType.MARKET: {"stop": False, "is_market": True},
    OrderType.STOP_LIMIT: {"stop": True, "is_market": False, "stop_price": "12050000000"},
    OrderType.STOP: {"stop": True, "is_market": True, "stop_price": "12050000000"},
}


@pytest.fixture
def bench(raw_venue):
    return raw_venue.bench


# -- what the book has


@pytest.mark.parametrize("kind", TYPES)
async def test_every_term_of_an_order(bench, raw_client, kind):
    given = {"amount": "12500000", "price": "10000000001", "side": False, "leverage": "250000000"}
    told = await raw_client.create(A_HASH, **given, **TYPES[kind], closing_order=True, remaining_amount="12500000")
    assert told["success"] is True
    row = Row(
        order_id=A_HASH.lower(),
        status=OrdStatus.NEW,
        symbol="btcusd",
        side=Side.SELL,
        type=kind,
        quantity=D("0.125"),
        price=None if TYPES[kind]["is_market"] else D("100.00000001"),
        stop_price=D("120.5") if TYPES[kind]["stop"] else None,
        post_only=True,
        reduce_only=True,
        options={"leverage": D("2.5")},
    )
    assert bench.rows() == [row]


async def test_the_ends_of_orders(bench, raw_client, raw_venue):
    resting, cancelled, filled, expelled = (raw_venue.rest() for _ in range(4))
    await raw_client.cancel(cancelled)
    await bench.fill(resting, D("2.5"))
    await bench.fill(filled)
    await bench.expel(expelled)
    found = [(row.order_id, row.status, row.cum_quantity) for row in bench.rows()]
    assert found == [
        (resting, OrdStatus.PARTIALLY_FILLED, D("2.5")),
        (cancelled, OrdStatus.CANCELED, 0),
        (filled, OrdStatus.FILLED, 10),
        (expelled, OrdStatus.CANCELED, 0),
    ]
    assert bench.open_ids() == {resting}
    words = ["Order already cancelled", "Order already filled", "Order already cancelled"]
    assert [(await raw_client.cancel(each))["error"] for each in (cancelled, filled, expelled)] == words


# -- what it does


@pytest.mark.parametrize("kind", TYPES)
async def test_what_is_encoded_is_what_was_wanted(bench, raw_client, kind):
    wanted = bench.order(kind, side="sell", quantity="0.00000001", reduce_only=True, options={"leverage": "2.5"})
    order_hash, data = bench.encode(wanted)
    await raw_client.tell({"op": "create_order", "data": {**data, **raw_client.signature(order_hash)}})
    assert (await raw_client.read())["success"] is True
    row = bench.row(order_hash)
    terms = ("symbol", "side", "type", "quantity", "price", "stop_price", "post_only", "reduce_only")
    assert [getattr(row, name) for name in terms] == [getattr(wanted, name) for name in terms]
    assert row.options == {"leverage": D("2.5")}


def test_no_two_orders_have_one_hash(bench):
    wanted = bench.order()
    assert bench.encode(wanted)[0] != bench.encode(wanted)[0]


@pytest.mark.parametrize(
    "terms", [{"quantity": "1.000000001"}, {"time_in_force": "ioc"}, {"options": {"colour": "red"}}], ids=str
)
def test_what_the_venue_cannot_be_told(bench, terms):
    with pytest.raises(ValueError, match=r"decimals|time in force"):
        bench.encode(bench.order(**terms))


async def test_entered_from_elsewhere_and_replaced(bench, raw_client, raw_venue, raw_rows):
    old = await bench.enter(bench.order(post_only=True))
    new = await bench.enter(bench.order(price="101", options={"replace_hash": old}))
    _, listed = await raw_rows(raw_venue, raw_venue.address)
    rows = {row["hash"]: (row["closed"], row["price"], row["post_only"]) for row in listed["data"]}
    assert rows == {old: (True, "10000000000", True), new: (False, "10100000000", False)}
    assert bench.open_ids() == {new}
    assert (await raw_client.cancel(new))["success"] is True


@pytest.mark.parametrize("verb", [Verb.SUBMIT, Verb.REPLACE, Verb.CANCEL])
async def test_the_words_of_refusal(bench, raw_client, raw_venue, verb):
    order_hash = raw_venue.rest()
    for refusal in [refusal for refusal in bench.REFUSALS if refusal.verb is verb]:
        bench.refuse(refusal)
        replaces = order_hash if verb is Verb.REPLACE else ZERO
        if verb is Verb.CANCEL:
            told = await raw_client.cancel(order_hash)
        else:
            told = await raw_client.create(ANOTHER, replace_hash=replaces)
        assert (told["success"], told["error"]) == (False, refusal.word)
    assert (len(bench.rows()), bench.open_ids()) == (1, {order_hash})
    assert (await raw_client.cancel(order_hash))["success"] is True  # only the next one was refused


async def test_a_refusal_waits_for_its_verb(bench, raw_client, raw_venue):
    order_hash = raw_venue.rest()
    bench.refuse(next(refusal for refusal in bench.REFUSALS if refusal.verb is Verb.REPLACE))
    assert (await raw_client.create(ANOTHER))["success"] is True
    assert (await raw_client.cancel(ANOTHER))["success"] is True
    assert (await raw_client.create(A_HASH, replace_hash=order_hash))["success"] is False


async def test_dropped_and_restarted(bench, raw_client, raw_venue, raw_connected, raw_rows):
    order_hash = raw_venue.rest()
    await bench.drop()
    assert raw_venue.connections == {}
    with pytest.raises(ConnectionClosed):
        await raw_client.read()
    at = raw_venue.url, raw_venue.rest_url
    await raw_venue.stop()
    await raw_venue.start()
    assert ((raw_venue.url, raw_venue.rest_url), raw_venue.bench) == (at, bench)
    assert [row["hash"] for row in (await raw_rows(raw_venue, raw_venue.address))[1]["data"]] == [order_hash]
    async with raw_connected(raw_venue) as again:
        assert (await again.cancel(order_hash))["success"] is True


async def test_the_connection_to_the_list_is_dropped_too(bench, raw_venue):
    raw_venue.switches.hold, raw_venue.switches.only = True, frozenset({"GET orders"})
    async with ClientSession() as session:
        session._retry_connection = False
        asked = asyncio.ensure_future(session.get(raw_venue.rest_url + "/api/orders"))
        await raw_venue.until_held(1)
        await bench.drop()
        with pytest.raises(ClientConnectionError):
            await asyncio.wait_for(asked, 5)


# -- what it says of others


async def test_what_was_asked(bench, raw_client, raw_venue, raw_rows):
    await raw_client.create(A_HASH)
    await raw_client.cancel(A_HASH)
    await raw_client.ask({"op": "cancel_order", "data": [A_HASH]})
    await raw_rows(raw_venue, raw_venue.address)
    assert [bench.named(item) for item in bench.asked(Verb.SUBMIT)] == [A_HASH.lower()]
    assert [bench.named(item) for item in bench.asked(Verb.CANCEL)] == [A_HASH.lower(), ""]
    assert (bench.written(Verb.CANCEL, A_HASH.lower()), len(bench.asked(Verb.LIST))) == (1, 1)


def test_every_command_is_for_something(bench, raw_venue):
    assert bench.VERBS.keys() == raw_venue.COMMANDS


def test_with_the_list_and_without(bench, raw_venue):
    def made(**given):
        return given

    adapters = {name: bench.adapter(made, changes) for name, changes in bench.setups().items()}
    assert ["rest_url" in given for given in adapters.values()] == [False, True, True]
    for name in ("", "rest"):
        assert adapters[name]["order_encoder"](bench.order())[1]["user_address"] == raw_venue.address
    assert "order_encoder" not in adapters["cancels"]


def test_the_variants_exist(bench, raw_venue):
    assert len(bench.VARIANTS) > 5
    for name, values in bench.VARIANTS.items():
        for attribute, value in values.items():
            assert getattr(raw_venue, attribute) != value, name
