"""The bases of a venue author's simulator: a book, a server, every fault, and a bench, for a little code of the author's."""

import asyncio
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ClassVar

import aiohttp
import msgspec
import pytest
from attrs import evolve, field, frozen
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from router import Order, OrdStatus
from router.errors import CannotExpress
from router.model import Cancel, IdKind, OrderType, Side, plain
from router.redact import Secret
from router.report import CxlRejReason, ExecType, OrdRejReason, Outcome
from router.session import Session
from router.testing import Fault, Refusal, Verb
from router.testing.book import Book, Change
from router.testing.conformance import Subject, Verdict, cases, run
from router.testing.faults import HTTP_CANNOT, SOCKET_CANNOT
from router.testing.httpvenue import HttpVenue
from router.testing.socketvenue import Ask, Refused, SocketVenue
from router.testing.venuewords import read_json
from router.venue import (
    Answer,
    Codec,
    Command,
    Effect,
    Execution,
    Frame,
    Item,
    Renewal,
    Retry,
    Snapshot,
    Spec,
    Via,
    Wire,
)

ORDER = Order("venue", "ABC", "buy", "limit", quantity=4, price=10, client_order_id="c1")


# -- two venues


class Shop(SocketVenue):
    """Over a socket, with a subscription, stops of their own, and a clock."""

    NAME = "shop"
    SYMBOL = "ABC"
    WORD = "do"
    CLOCK = True
    CLIENT_IDS = False
    KINDS: ClassVar = {OrderType.STOP: IdKind.STOP_ORDER}
    VERBS: ClassVar = {
        "hello": Verb.LOGIN,
        "watch": Verb.SUBSCRIBE,
        "buy": Verb.SUBMIT,
        "end": Verb.CANCEL,
        "break": Verb.OTHER,
    }
    WORDS: ClassVar = {
        Fault.THROTTLED: "slower",
        Fault.SERVER_ERROR: "oops",
        Fault.EXPIRED_TOKEN: "who are you",
    }

    def execute(self, ask: Ask) -> Any:
        match ask.word:
            case "hello" if abs(float(ask.body["at"]) - self.now()) > 60:
                raise Refused("your clock is wrong")
            case "buy":
                terms = {name: ask.number(name) for name in ("quantity", "price")}
                placed = self.book.enter(Order("shop", self.SYMBOL, "buy", "limit", **terms))
                return {"id": placed.order_id}
            case "end":
                self.book.cancel(self.open(ask.body["id"], unknown="no such", filled="gone"))
                return None
            case "break":
                raise RuntimeError("a mistake in the shop")
        return {"done": ask.word}

    def refused(self, ask: Ask, word: str) -> Any:
        return {"no": word, "to": ask.body["do"]}

    def told(self, change: Change) -> Any:
        return {"told": change.exec_type, "id": change.placed.order_id}

    def channels(self, ask: Ask) -> Any:
        return [ask.body["channel"]]

    def channel(self, change: Change) -> str:
        return "trades" if change.exec_type is ExecType.TRADE else "orders"


class Corner(HttpVenue):
    """Over HTTP, with a token that is got by the key."""

    NAME = "corner"
    SYMBOL = "ABC"
    VERBS: ClassVar = {
        "POST /token": Verb.LOGIN,
        "POST /orders": Verb.SUBMIT,
        "DELETE /orders/{id}": Verb.CANCEL,
        "GET /orders": Verb.LIST,
        "GET /orders/{id}": Verb.LOOKUP,
    }
    STATUSES: ClassVar = {"no order": 404, "too late": 409, "no funds": 422}
    REFUSALS = (
        Refusal(Verb.CANCEL, "no order", CxlRejReason.UNKNOWN_ORDER),
        Refusal(Verb.CANCEL, "too late", CxlRejReason.TOO_LATE_TO_CANCEL),
        Refusal(Verb.SUBMIT, "no funds", OrdRejReason.ORDER_EXCEEDS_LIMIT),
    )

    def execute(self, ask: Ask) -> Any:
        match ask.verb:
            case Verb.LOGIN:
                if ask.body["key"] != self.key:
                    raise Refused(self.UNAUTHORIZED)
                return {"token": self.token}
            case Verb.SUBMIT:
                order = Order("corner", type="limit", **ask.body)
                return shown(self.book.enter(order))
            case Verb.CANCEL:
                return shown(self.book.cancel(self.open(ask.names["id"], unknown="no order", filled="too late")))
            case Verb.LOOKUP:
                placed = self.book.find(ask.names["id"])
                if placed is None:
                    raise Refused("no order")
                return shown(placed)
        return [shown(placed) for placed in self.book]

    def refused(self, ask: Ask, word: str) -> Any:
        return {"error": word}


def shown(placed):
    terms = {name: getattr(placed.order, name) for name in ("symbol", "side", "quantity", "price", "client_order_id")}
    return {"id": placed.order_id, "status": placed.status, "filled": placed.cum_quantity} | terms


class Row(msgspec.Struct):
    id: str
    status: OrdStatus
    filled: Decimal
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    client_order_id: str


SPEC = Spec(
    title="corner",
    docs_url="https://example.org",
    http_url="",
    cancel_kinds=frozenset({IdKind.ORDER}),
    order_types=frozenset({OrderType.LIMIT}),
    lists=frozenset({IdKind.ORDER}),
)
REASONS = {
    "no order": {"cancel_reason": CxlRejReason.UNKNOWN_ORDER},
    "too late": {"cancel_reason": CxlRejReason.TOO_LATE_TO_CANCEL},
    "no funds": {"order_reason": OrdRejReason.ORDER_EXCEEDS_LIMIT},
}


@frozen
class CornerCodec(Codec):
    spec: Spec
    key: str = field(repr=False)

    def secrets(self) -> Iterable[str]:
        return [self.key]

    def hello(self, now: float, entropy: bytes) -> Iterable[Wire]:
        return [self.wire("token", "POST", "/token", Effect.READ, {"key": self.key}, bearer=False)]

    def list_orders(self, now: float, after: str | None = None) -> Wire:
        return self.wire("list", "GET", "/orders", Effect.READ)

    def lookup(self, cancel: Cancel, now: float) -> Wire:
        return self.wire("look", "GET", f"/orders/{cancel.id}", Effect.READ)

    def encode(self, command: Command, now: float) -> Wire:
        match command:
            case Cancel() if command.id.isalnum() and command.id.isascii():
                return self.wire("cancel", "DELETE", f"/orders/{command.id}", Effect.IDEMPOTENT)
            case Order(type=OrderType.LIMIT, time_in_force=None, post_only=False, reduce_only=False) if (
                not command.options
            ):
                terms = {name: getattr(command, name) for name in ("symbol", "side", "client_order_id")}
                terms |= {"quantity": plain(command.quantity), "price": plain(command.price or Decimal(0))}
                return self.wire("place", "POST", "/orders", Effect.ONCE, terms)
        raise CannotExpress(f"{command.venue} has no words for it")

    def wire(self, verb, method, path, effect, body=None, *, bearer=True) -> Wire:
        return Wire(
            keys=((verb, path),),
            body=b"" if body is None else msgspec.json.encode(body),
            effect=effect,
            via=Via.HTTP,
            method=method,
            path=path,
            bearer=bearer,
        )

    def decode(self, frame: Frame, now: float) -> Iterable[Item]:
        verb = frame.wire.keys[0][0]
        if frame.status == 200:
            yield from self.told(verb, frame.body)
            return
        text = f"HTTP {frame.status}"
        if frame.status in {400, 404, 409, 422}:
            word = msgspec.json.decode(frame.body)["error"]
            yield Answer(outcome=Outcome.REFUSED, text=f"{text} {word}", **REASONS.get(word, {}))
        elif frame.status == 429:
            after = frame.headers.get("retry-after")
            yield Answer(outcome=Outcome.REFUSED, text=text, retry=Retry.LATER, after=float(after) if after else None)
        elif frame.status == 401:
            yield Answer(outcome=Outcome.REFUSED, text=text, retry=None if verb == "token" else Retry.TOKEN)
        else:
            yield Answer(outcome=Outcome.UNKNOWN, text=text)

    def told(self, verb: str, body: bytes) -> Iterable[Item]:
        if verb == "token":
            token = msgspec.json.decode(body, type=dict[str, str])["token"]
            yield Renewal(token=Secret(token), wire=self.hello(0, b"")[0])
            yield Answer(outcome=Outcome.CONFIRMED)
        elif verb == "list":
            yield Snapshot(rows=tuple(map(execution, msgspec.json.decode(body, type=list[Row]))))
        elif verb == "look":
            yield Snapshot(rows=(execution(msgspec.json.decode(body, type=Row)),))
        else:
            row = msgspec.json.decode(body, type=Row)
            yield execution(row)
            yield Answer(outcome=Outcome.CONFIRMED, order_id=row.id, status=row.status)


def execution(row: Row) -> Execution:
    happened = {OrdStatus.NEW: ExecType.NEW, OrdStatus.CANCELED: ExecType.CANCELED}
    return Execution(
        exec_type=happened.get(row.status, ExecType.ORDER_STATUS),
        order_id=row.id,
        status=row.status,
        client_order_id=row.client_order_id,
        symbol=row.symbol,
        side=row.side,
        type=OrderType.LIMIT,
        quantity=row.quantity,
        price=row.price,
        cum_quantity=row.filled,
    )


class CornerAdapter(Session):
    declared = SPEC

    def __init__(self, key, url):
        super().__init__(CornerCodec(evolve(SPEC, http_url=url), key))


# -- talking to them


@pytest.fixture
async def shop():
    async with Shop() as venue:
        yield venue


@pytest.fixture
async def corner():
    async with Corner() as venue:
        yield venue


class Client:
    """One connection to the shop."""

    def __init__(self, socket):
        self.socket = socket

    async def say(self, message):
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def hear(self):
        async with asyncio.timeout(5):
            return json.loads(await self.socket.recv())

    async def ask(self, word, **terms):
        await self.say({"do": word, **terms})
        return await self.hear()

    async def login(self, venue, *channels):
        assert await self.ask("hello", at=venue.now()) == {"done": "hello"}
        for channel in channels:
            assert await self.ask("watch", channel=channel) == {"done": "watch"}
        return self

    async def gone(self):
        async with asyncio.timeout(5):
            await self.socket.wait_closed()
        return self.socket.close_code, self.socket.close_reason


@pytest.fixture
async def dial():
    """Connections to a venue, closed at the end."""
    made = []

    async def connected(venue):
        made.append(await connect(venue.url, compression=None))
        return Client(made[-1])

    yield connected
    for socket in made:
        await socket.close()


@pytest.fixture
async def call():
    """One request over HTTP: its status and its body; with the venue's token, unless another header says otherwise."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:

        async def called(venue, method, path, body=None, **options):
            headers = {"Authorization": f"Bearer {venue.token}"} | options.pop("headers", {})
            data = body if isinstance(body, str | bytes) else None if body is None else json.dumps(body)
            async with session.request(
                method, venue.url + path, data=data, headers=headers, allow_redirects=False
            ) as got:
                text = await got.text()
                return got.status, json.loads(text) if text[:1] in "{[" and text else text, got.headers

        yield called


BUY = {"quantity": "4", "price": "10"}
PLACE = {"symbol": "ABC", "side": "buy", "quantity": "4", "price": "10", "client_order_id": "c1"}


# -- the book


def test_the_book_counts_what_has_traded_and_notes_each_change():
    book = Book()
    placed = book.enter(ORDER)
    book.fill(placed, Decimal(1))
    book.fill(placed, price=Decimal(9))
    assert (placed.status, placed.cum_quantity, placed.leaves_quantity) == (OrdStatus.FILLED, 4, 0)
    changes = book.take()
    assert [(each.exec_type, each.placed.status, each.quantity, each.price) for each in changes] == [
        (ExecType.NEW, OrdStatus.NEW, 0, 0),
        (ExecType.TRADE, OrdStatus.PARTIALLY_FILLED, 1, 10),
        (ExecType.TRADE, OrdStatus.FILLED, 3, 9),
    ]
    assert changes[1].trade_id != changes[2].trade_id
    assert book.take() == []


def test_the_book_refuses_what_cannot_be():
    book = Book()
    placed = book.enter(ORDER)
    for quantity in (Decimal(0), Decimal(-1), Decimal(5)):
        with pytest.raises(ValueError, match=f"cannot fill {quantity} of the 4 left"):
            book.fill(placed, quantity)
    book.fill(placed, Decimal(2))
    with pytest.raises(ValueError, match="has traded 2 already"):
        book.replace(placed, quantity=Decimal(1))
    book.cancel(placed)
    with pytest.raises(ValueError, match="has ended: canceled"):
        book.cancel(placed)
    with pytest.raises(ValueError, match="cannot fill 2 of the 0 left"):
        book.fill(placed, Decimal(2))


def test_the_book_finds_orders_by_id_and_by_the_clients_id():
    book = Book()
    placed, ended = book.enter(ORDER), book.enter(ORDER)
    book.cancel(ended)
    assert book.find(placed.order_id) is placed
    assert [book.find(other) for other in ("no such", 17, None, ["a list"])] == [None] * 4
    assert book.by_client("c1") == [placed]
    assert list(book) == [placed]
    assert [row.order_id for row in book.rows()] == [placed.order_id, ended.order_id]


def test_a_replace_gives_new_terms_and_one_down_to_what_has_traded_fills():
    book = Book()
    placed = book.enter(ORDER)
    book.fill(placed, Decimal(1))
    book.replace(placed, price=Decimal(11), quantity=Decimal(3))
    assert (placed.order.price, placed.leaves_quantity) == (11, 2)
    book.replace(placed, quantity=Decimal(1))
    assert placed.status is OrdStatus.FILLED
    assert [each.exec_type for each in book.take()][2:] == [ExecType.REPLACED, ExecType.REPLACED]


def test_a_market_order_trades_at_once():
    book = Book(last_price=Decimal(7))
    placed = book.enter(Order("venue", "ABC", "sell", "market", quantity=4))
    assert placed.status is OrdStatus.FILLED
    assert [(each.exec_type, each.price) for each in book.take()] == [(ExecType.NEW, 0), (ExecType.TRADE, 7)]


def test_rows_show_the_kind_and_leave_out_client_ids_that_the_venue_does_not_keep(shop):
    shop.book.enter(Order("venue", "ABC", "buy", "stop", quantity=4, stop_price=9, client_order_id="mine"))
    row = shop.bench.rows()[0]
    assert (row.kind, row.client_order_id, row.stop_price) == (IdKind.STOP_ORDER, None, 9)
    corner = Corner()
    corner.book.enter(ORDER)
    assert (corner.bench.rows()[0].kind, corner.bench.rows()[0].client_order_id) == (IdKind.ORDER, "c1")


# -- over a socket


async def test_nothing_may_be_asked_before_the_login(shop, dial):
    client = await dial(shop)
    assert await client.ask("buy", **BUY) == {"no": "unauthorized", "to": "buy"}
    assert await client.ask("hello", at=shop.now() + 3600) == {"no": "your clock is wrong", "to": "hello"}
    assert await client.ask("buy", **BUY) == {"no": "unauthorized", "to": "buy"}
    await client.login(shop)
    order_id = (await client.ask("buy", **BUY))["id"]
    assert shop.bench.open_ids() == {order_id}


async def test_who_listens_hears_the_channels_that_it_asked_for(shop, dial):
    trades = await (await dial(shop)).login(shop, "trades")
    orders = await (await dial(shop)).login(shop, "orders")
    await dial(shop)  # not logged in
    order_id = (await orders.ask("buy", **BUY))["id"]
    assert await orders.hear() == {"told": "new", "id": order_id}
    await shop.bench.fill(order_id, Decimal(1), copies=2)
    await shop.bench.expel(order_id)
    assert [await trades.hear(), await trades.hear()] == [{"told": "trade", "id": order_id}] * 2
    assert await orders.hear() == {"told": "canceled", "id": order_id}


async def test_an_order_from_elsewhere_is_told_and_a_silent_trade_is_not(shop, dial):
    client = await (await dial(shop)).login(shop, "orders", "trades")
    order_id = await shop.bench.enter(shop.bench.order())
    await shop.bench.fill(order_id, copies=0)
    assert await client.hear() == {"told": "new", "id": order_id}
    assert await client.ask("end", id=order_id) == {"no": "gone", "to": "end"}
    assert shop.bench.row(order_id).status is OrdStatus.FILLED


HOSTILE = [
    "",
    "no json",
    "[" * 100_000,
    '{"do": "buy", "quantity": ' + "[" * 40 + "]" * 40 + ', "price": "1"}',
    "17",
    "null",
    "[]",
    '["do", "buy"]',
    '{"do": 17}',
    '{"do": ["buy"]}',
    '{"do": "buy"}',
    '{"do": "sell"}',
    '{"do": "buy", "quantity": null, "price": true}',
    '{"do": "buy", "quantity": NaN, "price": "NaN"}',
    '{"do": "buy", "quantity": "1e999999999", "price": "-1"}',
    '{"do": "buy", "quantity": ' + "9" * 6000 + ', "price": "1"}',
    '{"do": "end", "id": {"a": 1}}',
    '{"do": "end", "id": ["x"]}',
    '{"do": "end", "id": "\\ud800"}',
    '{"do": "watch"}',
    b"\xff\xfe",
    "x" * 500_000,
]


@pytest.mark.parametrize("frame", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_frames_change_nothing_and_end_nothing(shop, dial, frame, caplog):
    client = await (await dial(shop)).login(shop)
    await client.say(frame)
    answer = await client.ask("buy", **BUY)
    if "no" in answer:
        assert answer["no"] in {"malformed", "no such"}
        answer = await client.hear()
    assert shop.bench.open_ids() == {answer["id"]}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_json_is_read_exactly_and_never_deeply():
    assert read_json('{"price": 1.10}') == {"price": Decimal("1.10")}
    assert read_json(b"[" * 64 + b"]" * 64)
    for text in ("[" * 65 + "]" * 65, "NaN", "[-Infinity]", b"\xff"):
        with pytest.raises(ValueError, match=r"deep|no JSON|decode"):
            read_json(text)


def test_a_number_may_be_quoted_and_is_nothing_else():
    ask = Ask("buy", Verb.SUBMIT, {"a": "1.5", "b": 2, "c": True, "d": None, "e": []})
    assert (ask.number("a"), ask.number("b")) == (Decimal("1.5"), 2)
    for name in "cde":
        with pytest.raises(TypeError, match=f"{name} is no number"):
            ask.number(name)
    with pytest.raises(KeyError):
        ask.number("f")


async def test_without_subscriptions_whoever_is_logged_in_hears_everything(dial):
    class Open(Shop):
        VERBS: ClassVar = {word: verb for word, verb in Shop.VERBS.items() if verb is not Verb.SUBSCRIBE}

        def channel(self, change):
            return ""

    async with Open() as venue:
        stranger = await dial(venue)
        client = await (await dial(venue)).login(venue)
        order_id = await venue.bench.enter(venue.bench.order())
        assert await client.hear() == {"told": "new", "id": order_id}
        assert await stranger.ask("buy") == {"no": "unauthorized", "to": "buy"}


async def test_a_deaf_venue_records_and_does_nothing(shop, dial):
    client = await (await dial(shop)).login(shop)
    shop.switches.deaf = True
    await client.say({"do": "buy", **BUY})
    assert await client.ask("watch", channel="trades") == {"done": "watch"}
    assert (len(shop.commands("buy")), shop.bench.rows()) == (1, [])


async def test_a_mistake_of_the_authors_ends_the_connection_in_its_own_words(shop, dial, caplog):
    client = await (await dial(shop)).login(shop)
    await client.say({"do": "break"})
    assert await client.gone() == (1011, "a mistake in the shop")
    assert "a mistake in the shop" in caplog.text
    assert "test_venue_bases.py" in caplog.text


async def test_after_a_stop_it_is_where_it_was_with_its_book(shop, dial):
    client = await (await dial(shop)).login(shop)
    order_id, url = (await client.ask("buy", **BUY))["id"], shop.url
    await shop.stop()
    await shop.stop()
    assert await client.gone()
    await shop.start()
    assert shop.url == url
    again = await (await dial(shop)).login(shop)
    assert await again.ask("end", id=order_id + "0") == {"no": "no such", "to": "end"}
    assert shop.bench.open_ids() == {order_id}


async def test_dropped_connections_are_gone_without_a_goodbye(shop, dial):
    client = await (await dial(shop)).login(shop)
    await shop.bench.drop()
    assert shop.connections == 0
    assert await client.gone() == (1006, "")


async def test_held_answers_go_when_they_are_released_and_muted_ones_never(shop, dial):
    client = await (await dial(shop)).login(shop)
    shop.switches.hold = True
    await client.say({"do": "buy", **BUY})
    await shop.until_held(1)
    order_id = shop.bench.rows()[0].order_id
    assert await client.ask("watch", channel="orders") == {"done": "watch"}
    shop.release()
    assert await client.hear() == {"id": order_id}
    shop.switches.hold, shop.switches.mute = False, True
    assert await client.hear() == {"told": "new", "id": order_id}  # to whoever listens when it is told
    await client.say({"do": "end", "id": order_id})
    assert await client.ask("watch", channel="trades") == {"done": "watch"}
    assert shop.bench.open_ids() == set()


async def test_the_bench_refuses_the_next_request_in_the_words_it_is_given(shop, dial):
    client = await (await dial(shop)).login(shop)
    shop.bench.refuse(Refusal(Verb.CANCEL, "not today", CxlRejReason.OTHER))
    order_id = (await client.ask("buy", **BUY))["id"]
    assert await client.ask("end", id=order_id) == {"no": "not today", "to": "end"}
    assert shop.bench.open_ids() == {order_id}
    await client.say({"do": "end", "id": order_id})
    await shop.until(2, "end")
    assert await client.ask("end", id=order_id) == {"no": "no such", "to": "end"}
    assert shop.bench.written(Verb.CANCEL, order_id) == 3


SPOKEN = {
    Fault.THROTTLED: "slower",
    Fault.SERVER_ERROR: "oops",
    Fault.SERVER_ERROR_EXECUTED: "oops",
    Fault.EXPIRED_TOKEN: "who are you",
}


@pytest.mark.parametrize("fault", Fault)
async def test_each_fault_strikes_where_it_says_or_is_excused(shop, dial, fault):
    if fault in SOCKET_CANNOT or fault is Fault.THROTTLED_NO_HINT:
        with pytest.raises(ValueError, match=SOCKET_CANNOT.get(fault, "no word for it")):
            shop.inject(fault, only={"buy"})
        return
    client = await (await dial(shop)).login(shop, "orders")
    shop.faults.flood = 3
    shop.inject(fault, only={"buy"})
    heard = await _struck(client, shop)
    executed = fault.point not in {"before_read", "read"} or fault in {Fault.SLOW_READER, Fault.CLOCK_SKEW}
    assert len(shop.bench.rows()) == executed
    assert [each.fault for each in shop.faults.struck] == [fault]
    if fault in SPOKEN:
        assert [json.loads(each) for each in heard] == [{"no": SPOKEN[fault], "to": "buy"}]
    if fault is Fault.EXPIRED_TOKEN:
        assert await client.gone() == (1008, "the login has ended")
    assert len(heard) == {Fault.FLOOD: 5, Fault.DUPLICATE: 4}.get(fault, len(heard))


async def _struck(client, venue):
    """Everything that is heard after a `buy`, until a later request is answered or the connection has ended."""
    heard = []
    try:
        await client.say({"do": "buy", **BUY})
        await venue.until_struck(1)
        await client.say({"do": "watch", "channel": "none"})
        async with asyncio.timeout(5):
            while '"done"' not in (heard or [""])[-1]:
                heard.append(_text(await client.socket.recv(decode=False)))
            if venue.faults.struck[0].fault in {Fault.DELAY, Fault.REORDER}:
                venue.faults.clear()
                heard = [_text(await client.socket.recv(decode=False)), *heard]
    except ConnectionClosed:
        return heard
    return heard[:-1] if heard else heard


def _text(raw):
    return raw.decode(errors="replace")


async def test_a_clock_that_is_wrong_refuses_logins_and_a_venue_without_one_cannot_have_it(shop, dial):
    shop.inject(Fault.CLOCK_SKEW, only={"hello"})
    client = await dial(shop)
    assert (await client.ask("hello", at=shop.now() - shop.faults.skew))["no"] == "your clock is wrong"
    assert Corner().supports(Fault.CLOCK_SKEW) == "nothing that the venue is sent carries a time"


def test_a_venue_that_tells_nothing_unasked_cannot_be_flooded_with_it():
    class Silent(Shop):
        def told(self, change):
            return None

    assert Silent().supports(Fault.FLOOD) == "the venue tells nothing unasked"
    assert Shop().supports(Fault.FLOOD) == ""


# -- over HTTP


async def test_a_token_is_got_by_the_key_and_nothing_else_is_admitted(corner, call):
    assert (await call(corner, "POST", "/token", {"key": corner.bench.wrong()["another's key"]["key"]}))[0] == 401
    status, body, _ = await call(corner, "POST", "/token", {"key": corner.key}, headers={"Authorization": ""})
    assert (status, body) == (200, {"token": corner.token})
    for header in ("", "Bearer", f"Bearer {corner.key}", f"bearer {corner.token}"):
        status, body, _ = await call(corner, "GET", "/orders", headers={"Authorization": header})
        assert (status, body) == (401, {"error": "unauthorized"})


async def test_refusals_have_the_statuses_that_the_author_gave_them(corner, call):
    order_id = (await call(corner, "POST", "/orders", PLACE))[1]["id"]
    await corner.bench.fill(order_id)
    assert (await call(corner, "DELETE", f"/orders/{order_id}"))[:2] == (409, {"error": "too late"})
    assert (await call(corner, "DELETE", "/orders/none"))[:2] == (404, {"error": "no order"})
    assert (await call(corner, "POST", "/orders", {}))[:2] == (400, {"error": "malformed"})
    for method, path in (("PUT", "/orders"), ("GET", "/"), ("DELETE", "/orders/a/b"), ("DELETE", "/orders/")):
        assert (await call(corner, method, path))[:2] == (404, {"error": "malformed"})


@pytest.mark.parametrize(
    "body", ["", "no json", "[" * 10_000, "null", "[1]", '{"symbol": 1}', b"\xff", '{"quantity": NaN}', "x" * 300_000]
)
async def test_hostile_bodies_change_nothing(corner, call, body, caplog):
    assert (await call(corner, "POST", "/orders", body))[0] == 400
    assert (await call(corner, "GET", "/orders"))[:2] == (200, [])
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_what_was_read_is_recorded_by_route_and_names_its_order(corner, call):
    await call(corner, "POST", "/orders", PLACE)
    await call(corner, "DELETE", "/orders/some%20id")
    assert [item.command for item in corner.received] == ["POST /orders", "DELETE /orders/{id}"]
    assert [corner.bench.named(item) for item in corner.received] == ["c1", "some id"]


STATUSES = {
    Fault.EXPIRED_TOKEN: {401},
    Fault.THROTTLED: {429},
    Fault.THROTTLED_NO_HINT: {429},
    Fault.SERVER_ERROR: {500, 502, 503, 504},
    Fault.SERVER_ERROR_EXECUTED: {500, 502, 503, 504},
    Fault.HTML_ERROR: {502},
    Fault.REDIRECT: {302},
}
SILENT = {Fault.DEAF, Fault.MUTE, Fault.REORDER}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.CLOCK_SKEW])
async def test_each_fault_strikes_a_request_where_it_says_or_is_excused(corner, call, fault):
    if fault in HTTP_CANNOT:
        with pytest.raises(ValueError, match=HTTP_CANNOT[fault]):
            corner.inject(fault, only={"POST /orders"})
        return
    corner.inject(fault, only={"POST /orders"})
    asking = asyncio.create_task(call(corner, "POST", "/orders", PLACE))
    await corner.until_struck(1, fault)
    if fault in SILENT:
        await corner.until(1, "POST /orders")
        assert (await call(corner, "GET", "/orders"))[0] == 200
        assert not asking.done()
        await corner.stop()
    answer = (await asyncio.gather(asking, return_exceptions=True))[0]
    executed = fault.point not in {"before_read", "read"} or fault is Fault.SLOW_READER
    assert len(corner.bench.rows()) == executed
    if isinstance(answer, Exception):
        assert "hang_up" in fault or fault in SILENT | {Fault.GARBLE, Fault.NOT_UTF8, Fault.TRUNCATE}
    else:
        assert answer[0] in STATUSES.get(fault, {200})
        assert ("Retry-After" in answer[2]) == (fault is Fault.THROTTLED)
        assert answer[2].get("Location") == ("/redirected/orders" if fault is Fault.REDIRECT else None)


async def test_an_expired_token_is_refused_until_a_new_one_is_got(corner, call):
    old = corner.token
    corner.inject(Fault.EXPIRED_TOKEN, only={"GET /orders"})
    assert (await call(corner, "GET", "/orders"))[0] == 401
    assert (await call(corner, "GET", "/orders", headers={"Authorization": f"Bearer {old}"}))[0] == 401
    token = (await call(corner, "POST", "/token", {"key": corner.key}))[1]["token"]
    assert (await call(corner, "GET", "/orders", headers={"Authorization": f"Bearer {token}"}))[0] == 200


async def test_an_http_venue_stops_drops_and_starts_where_it_was(corner, call):
    order_id, url = (await call(corner, "POST", "/orders", PLACE))[1]["id"], corner.url
    assert corner.connections == 1
    async with asyncio.timeout(5):
        await corner.bench.drop()
    assert corner.connections == 0
    await corner.stop()
    await corner.start()
    assert corner.url == url
    assert (await call(corner, "GET", f"/orders/{order_id}"))[1]["status"] == "new"


async def test_a_mistake_over_http_is_an_error_of_the_servers_own(corner, call, monkeypatch):
    monkeypatch.setattr(Corner, "execute", lambda self, ask: 1 // 0 if ask.verb is Verb.LIST else missing())
    assert (await call(corner, "GET", "/orders"))[0] == 400  # arithmetic over what was sent
    assert (await call(corner, "POST", "/orders", PLACE))[:2] == (500, "not written yet")


def missing():
    raise NotImplementedError("not written yet")


@pytest.mark.parametrize("case", cases("C01", "C02", "C09", "C22", "C24", "C29"), ids=str)
def test_an_adapter_for_an_http_venue_conforms(case):
    result = run(case, Subject("corner", CornerAdapter, Corner))
    assert (result.verdict, result.text) == (Verdict.PASSED, "")


def test_a_bench_needs_no_words_of_its_own():
    bench = Shop().bench
    assert (bench.SYMBOL, bench.VERBS["end"]) == ("ABC", Verb.CANCEL)
    assert bench.order().price == 100
    with pytest.raises(KeyError, match="the book never had"):
        asyncio.run(bench.fill("17"))
