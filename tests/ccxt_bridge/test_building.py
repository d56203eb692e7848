"""Making a Ccxt: what it is told of, what it derives, and what it refuses. And ccxt's errors, class by class."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys

import ccxt.async_support
import pytest
from ccxt.base import errors

from adapters.ccxt_bridge import Ccxt
from adapters.ccxt_bridge.building import CREDENTIALS
from adapters.ccxt_bridge.errors import judge
from adapters.ccxt_bridge.rows import status_of
from router import Cancel, CxlRejReason, IdKind, Order, OrderType, OrdRejReason, OrdStatus, Outcome, Router
from router.errors import CannotExpress, Garbled
from router.venue import Frame, Retry, Via, read

KEYS = {"apiKey": "key-of-sixteen-chars", "secret": base64.b64encode(b"x" * 66).decode()}


def built(name="kraken", **changes):
    return Ccxt(name, **{"credentials": KEYS} | changes)


# -- what is imported, and when


def test_ccxt_is_not_imported_before_it_is_used():
    code = "import sys, adapters.ccxt_bridge as b; assert not {'ccxt', 'aiohttp'} & set(sys.modules); b.Ccxt.declared"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own interpreter


def test_a_missing_ccxt_names_the_command_that_installs_it():
    code = """
import sys
sys.modules["ccxt"] = None
from adapters.ccxt_bridge import Ccxt
from router import VenueError
try:
    Ccxt("kraken", credentials={})
except VenueError as error:
    assert "pip install 'venue-router[ccxt]'" in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own interpreter


# -- what is refused


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"exchange": "krakne"}, "kraken"),
        ({"credentials": {}}, "apiKey, secret"),
        ({"credentials": {"apiKey": "key"}}, "secret"),
        ({"credentials": KEYS | {"key": "k"}}, "key"),
        ({"market_type": "swap"}, "spot"),
        ({"url": "http://exchange.example"}, "https"),
        ({"exchange": "bydfi"}, "bydfi"),
    ],
    ids=str,
)
def test_what_is_wrong_is_named(arguments, named):
    with pytest.raises(ValueError, match=named) as caught:
        Ccxt(**{"exchange": "kraken", "credentials": KEYS} | arguments)
    assert KEYS["secret"] not in str(caught.value)


@pytest.mark.parametrize("given", [17, ccxt.kraken, object()], ids=["number", "class", "object"])
def test_what_is_no_exchange_of_async_support(given):
    with pytest.raises(TypeError, match="async_support"):
        Ccxt(given)


@pytest.mark.parametrize("name", ["httpsProxy", "socksProxy", "aiohttp_proxy", "proxyUrl"])
def test_a_proxy_is_refused_and_not_ignored(name):
    exchange = ccxt.async_support.kraken(KEYS)
    setattr(exchange, name, "http://proxy.example")
    with pytest.raises(ValueError, match="prox"):
        Ccxt(exchange)


# -- the environment


def test_the_environment_makes_an_adapter():
    adapter = Ccxt.from_environ(
        {"CCXT_EXCHANGE": "okx", "CCXT_API_KEY": "k" * 8, "CCXT_SECRET": "s" * 8, "CCXT_PASSWORD": "p" * 8}
        | {"CCXT_MARKET_TYPE": "swap", "CCXT_URL": "http://127.0.0.1:1"}
    )
    assert (adapter.spec.title, adapter.spec.http_url) == ("okx", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "CCXT_EXCHANGE"),
        ({"CCXT_EXCHANGE": "kraken"}, "apiKey, secret.*CCXT_SECRET"),
        ({"CCXT_EXCHANGE": "okx", "CCXT_API_KEY": "k", "CCXT_SECRET": "s"}, "password.*CCXT_PASSWORD"),
    ],
    ids=["nothing", "no keys", "no password"],
)
def test_what_the_environment_lacks_is_named(environ, named):
    with pytest.raises(ValueError, match=named):
        Ccxt.from_environ(environ)


async def test_the_environment_of_the_simulator_reaches_it(sim):
    async with Router({"ex": Ccxt.from_environ(sim.environment)}) as router:
        assert await router.open_orders("ex") == []


# -- what is derived


@pytest.mark.parametrize(
    ("name", "kinds", "types", "lists"),
    [
        ("binance", "order client_order", "limit market stop stop_limit", True),
        ("binanceus", "order client_order", "limit market stop stop_limit", True),
        ("binanceusdm", "order", "limit", False),
        ("kraken", "order", "limit", False),
        ("bybit", "order", "limit", False),
        ("lighter", "order", "limit", False),
    ],
)
def test_what_an_exchange_can_is_what_is_vouched_for(name, kinds, types, lists):
    keys = KEYS | {"walletAddress": "0x" + "11" * 20, "privateKey": "0x" + "11" * 32}
    spec = built(name, credentials=keys).spec
    assert spec.cancel_kinds == spec.needs_symbol == {IdKind(kind) for kind in kinds.split()}
    assert spec.order_types == {OrderType(each) for each in types.split()}
    assert (bool(spec.lists), spec.replaces, spec.mass_cancels, spec.tells_trades) == (lists, set(), set(), False)


def test_every_exchange_of_ccxts_is_built_or_refused_with_a_reason():
    keys = {name: KEYS["secret"] if name == "secret" else "0x" + "11" * 32 for name in CREDENTIALS}
    able, refused = [], {}
    for name in ccxt.async_support.exchanges:
        try:
            able += Ccxt(name, credentials=keys).spec.order_types and [name]
        except ValueError as error:
            refused[name] = str(error)
    assert [name for name, why in refused.items() if name not in why] == []
    assert len(able) > 90


@pytest.mark.parametrize("name", ["binance", "binanceus"])
@pytest.mark.parametrize("method", ["cancel_order", "fetch_order"])
def test_where_client_ids_are_declared_ccxt_passes_them_on(name, method):
    caller = built(name)._caller
    symbol = "BTC/USDT"
    market = {"id": "BTCX", "symbol": symbol, "base": "BTC", "quote": "USDT", "type": "spot", "spot": True}
    caller.exchange.set_markets([market | {"precision": {"amount": 1, "price": 1}, "limits": {}}])
    request = caller.call(method, "", symbol, {"clientOrderId": "mine-1"}).request
    assert request is not None
    assert "origClientOrderId=mine-1" in request.url
    assert "orderId=" not in request.url.replace("origClientOrderId=", "")


@pytest.mark.parametrize(
    ("market_type", "options", "symbol", "is_taken"),
    [
        ("spot", {}, "BTC/USDT", True),
        ("spot", {}, "BTC/USDT:USDT", False),
        ("swap", {}, "BTC/USDT", False),
        ("swap", {}, "BTC/USDT:USDT", True),
        ("swap", {"defaultSubType": "linear"}, "BTC/USD:BTC", False),
        ("swap", {"defaultSubType": "inverse"}, "BTC/USD:BTC", True),
    ],
)
def test_orders_are_placed_only_where_the_list_shows_them(market_type, options, symbol, is_taken):
    adapter = built("binance", market_type=market_type, options=options)
    markets = []
    for each in ("BTC/USDT", "BTC/USDT:USDT", "BTC/USD:BTC"):
        contract = ":" in each
        kind = {"type": "swap" if contract else "spot", "spot": not contract, "swap": contract, "contract": contract}
        kind |= {"linear": each.endswith(":USDT"), "inverse": each.endswith(":BTC"), "option": False, "symbol": each}
        kind |= {"subType": ("inverse" if each.endswith(":BTC") else "linear") if contract else None}
        kind |= {"id": each, "base": "BTC", "quote": "USDT", "settle": each.rpartition(":")[2], "limits": {}}
        markets.append(kind | {"precision": {"amount": 0.1, "price": 0.1}, "info": {"orderTypes": ["LIMIT"]}})
    adapter._caller.exchange.set_markets(markets)
    order = Order("ex", symbol, "buy", "limit", "1", "2")
    if is_taken:
        assert b"quantity=1&" in adapter._codec.encode(order, 1.0).body
    else:
        with pytest.raises(CannotExpress, match="market"):
            adapter._codec.encode(order, 1.0)


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"status": "open"}, OrdStatus.NEW),
        ({"status": "open", "filled": "0.1"}, OrdStatus.PARTIALLY_FILLED),
        ({"status": "canceling", "filled": "0"}, OrdStatus.NEW),
        ({"status": "closed"}, None),
        ({"status": "closed", "filled": "1"}, None),
        ({"status": "closed", "amount": "1"}, None),
        ({"status": "closed", "filled": "0", "amount": "0"}, None),
        ({"status": "canceled", "info": {"status": "CANCEL_SENT"}}, None),
        ({"status": "canceled", "info": {"data": {"state": "PENDING_CANCEL"}}}, None),
        ({"status": "canceled", "info": {"orderState": "Cancelling"}}, None),
        ({"status": "closed", "filled": "1", "amount": "1", "info": {"state": "submitted"}}, None),
        ({"status": "canceled", "info": {"status": "REJECTED"}}, OrdStatus.REJECTED),
        ({"status": "canceled", "info": {"state": "order_failed"}}, OrdStatus.REJECTED),
        ({"status": "canceled", "info": {"status": "CANCELLED", "note": "pending"}}, OrdStatus.CANCELED),
        ({"status": "closed", "filled": "1", "amount": "1.0"}, OrdStatus.FILLED),
        ({"status": "closed", "filled": "0.5", "amount": "1"}, None),
        ({"status": "canceled", "filled": "0.5"}, OrdStatus.CANCELED),
        ({"status": "expired"}, OrdStatus.EXPIRED),
        ({"status": "rejected"}, OrdStatus.REJECTED),
        ({"status": "ok"}, None),
        ({"status": None}, None),
        ([], None),
        ("text", None),
    ],
    ids=str,
)
def test_what_has_become_of_an_order(order, status):
    assert status_of(order) is status


# -- ccxt's errors


REFUSED = {
    "RateLimitExceeded": (Retry.LATER, CxlRejReason.OTHER, OrdRejReason.OTHER),
    "DDoSProtection": (Retry.LATER, CxlRejReason.OTHER, OrdRejReason.OTHER),
    "InvalidNonce": (Retry.LATER, CxlRejReason.OTHER, OrdRejReason.OTHER),
    "AuthenticationError": (None, CxlRejReason.BROKER, OrdRejReason.BROKER),
    "PermissionDenied": (None, CxlRejReason.BROKER, OrdRejReason.BROKER),
    "AccountNotEnabled": (None, CxlRejReason.BROKER, OrdRejReason.BROKER),
    "AccountSuspended": (None, CxlRejReason.BROKER, OrdRejReason.BROKER),
    "InsufficientFunds": (None, CxlRejReason.OTHER, OrdRejReason.ORDER_EXCEEDS_LIMIT),
    "InvalidOrder": (None, CxlRejReason.OTHER, OrdRejReason.OTHER),
    "OrderNotFound": (None, CxlRejReason.UNKNOWN_ORDER, OrdRejReason.UNKNOWN_ORDER),
    "OrderImmediatelyFillable": (None, CxlRejReason.OTHER, OrdRejReason.OTHER),
    "OrderNotFillable": (None, CxlRejReason.OTHER, OrdRejReason.OTHER),
    "DuplicateOrderId": (None, CxlRejReason.OTHER, OrdRejReason.DUPLICATE_ORDER),
    "ContractUnavailable": (None, CxlRejReason.OTHER, OrdRejReason.EXCHANGE_CLOSED),
    "BadRequest": (None, CxlRejReason.OTHER, OrdRejReason.OTHER),
    "BadSymbol": (None, CxlRejReason.OTHER, OrdRejReason.UNKNOWN_SYMBOL),
    "OperationRejected": (None, CxlRejReason.OTHER, OrdRejReason.OTHER),
    "NoChange": (None, CxlRejReason.OTHER, OrdRejReason.OTHER),
    "MarginModeAlreadySet": (None, CxlRejReason.OTHER, OrdRejReason.OTHER),
    "MarketClosed": (None, CxlRejReason.OTHER, OrdRejReason.EXCHANGE_CLOSED),
    "ManualInteractionNeeded": (None, CxlRejReason.BROKER, OrdRejReason.BROKER),
    "RestrictedLocation": (None, CxlRejReason.BROKER, OrdRejReason.BROKER),
}


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "error_hierarchy"])
def test_each_class_of_error_is_refused_or_leaves_the_outcome_open(name):
    verdict = judge(getattr(errors, name)("words"))
    if name in REFUSED:
        assert verdict.outcome is Outcome.REFUSED
        assert (verdict.retry, verdict.cancel_reason, verdict.order_reason) == REFUSED[name]
    else:
        assert (verdict.outcome, verdict.retry) == (Outcome.UNKNOWN, None)


@pytest.mark.parametrize("error", [KeyError("x"), TimeoutError(), type("OrderNotFound", (Exception,), {})()], ids=repr)
def test_what_is_not_ccxts_leaves_the_outcome_open(error):
    assert judge(error).outcome is Outcome.UNKNOWN


def test_a_class_of_the_users_is_judged_by_what_it_inherits():
    assert judge(type("Mine", (errors.RateLimitExceeded,), {})()).retry is Retry.LATER


# -- hostile answers, without a network


async def _codec(sim):
    adapter = Ccxt(**sim.credentials)
    async with Router({"ex": adapter}):
        pass
    return adapter._codec


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b'{"symbol": "BTCUSDT", "orderId": 17, "status": "CANCELED"}', Outcome.CONFIRMED),
        (400, b'{"code": -1022, "msg": "Signature for this request is not valid."}', Outcome.REFUSED),
    ],
    ids=["accepted", "refused"],
)
async def test_an_answer_that_is_read_again_says_the_same(sim, status, body, outcome):
    codec = await _codec(sim)
    wire = codec.encode(Cancel("ex", "17", IdKind.ORDER, "BTC/USDT"), 1.0)
    frame = Frame(body=body, status=status, wire=wire)
    first, second = [list(codec.decode(frame, 1.0)) for _ in range(2)]
    assert first == second
    assert first[-1].outcome is outcome


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"orderId": 17, "origQty": "1", "executedQty": "1.5e9999999", "cummulativeQuoteQty": "1"}',
        b'{"orderId": 17, "executedQty": 1e999999999}',
        b'{"orderId": 17, "executedQty": NaN}',
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"\xff\xfe",
    ],
    ids=lambda body: str(body[:40]),
)
async def test_a_hostile_answer_to_a_cancel_never_confirms_it(sim, body):
    codec = await _codec(sim)
    wire = codec.encode(Cancel("ex", "17", IdKind.ORDER, "BTC/USDT"), 1.0)
    begun = asyncio.get_running_loop().time()
    try:
        items = read(codec, Frame(body=body, wire=wire, status=200), 1.0)
    except Garbled:
        items = []
    assert asyncio.get_running_loop().time() - begun < 1
    assert not any(getattr(item, "outcome", None) in {Outcome.CONFIRMED, Outcome.REFUSED} for item in items)


CANCELED = b'{"symbol":"BTCUSDT","orderId":17,"status":"CANCELED","origQty":"1","executedQty":"0"}'


@pytest.mark.parametrize("status", [100, 302, 402, 423, 500, 599])
async def test_a_status_that_ccxt_has_no_error_for_is_not_taken_for_success(sim, status):
    codec = await _codec(sim)
    wire = codec.encode(Cancel("ex", "17", IdKind.ORDER, "BTC/USDT"), 1.0)
    [answer] = read(codec, Frame(body=CANCELED, wire=wire, status=status), 1.0)
    assert (answer.outcome, str(status) in answer.text) == (Outcome.UNKNOWN, True)


async def test_what_is_signed_is_cut_off_before_anybody_redacts(sim):
    codec = await _codec(sim)
    wire = codec.encode(Cancel("ex", "17", IdKind.ORDER, "BTC/USDT"), 1.0)
    [answer] = read(codec, Frame(body=b"<html>not here</html>", wire=wire, status=404), 1.0)
    assert (answer.outcome, "/api/v3/order" in answer.text) == (Outcome.UNKNOWN, True)
    assert "signature" not in answer.text


async def test_a_look_up_that_shows_another_order_is_no_answer(sim):
    codec = await _codec(sim)
    wire = codec.lookup(Cancel("ex", "18", IdKind.ORDER, "BTC/USDT"), 1.0)
    with pytest.raises(Garbled):
        read(codec, Frame(body=CANCELED, wire=wire, status=200), 1.0)


async def test_numbers_that_are_no_strings_keep_their_digits(sim):
    codec = await _codec(sim)
    wire = codec.encode(Cancel("ex", "17", IdKind.ORDER, "BTC/USDT"), 1.0)
    assert (wire.via, wire.method) == (Via.HTTP, "DELETE")
    body = b'{"symbol":"BTCUSDT","orderId":17,"status":"CANCELED","origQty":123456789.123456789123,"executedQty":0.1}'
    execution, answer = read(codec, Frame(body=body, wire=wire, status=200), 1.0)
    assert (str(execution.quantity), str(execution.cum_quantity)) == ("123456789.123456789123", "0.1")
    assert (answer.outcome, answer.order_id) == (Outcome.CONFIRMED, "17")


def test_a_host_without_tls_is_not_spoken_to():
    adapter = built("binance", market_type="spot")
    exchange = adapter._caller.exchange
    exchange.set_markets([])
    exchange.urls["api"]["private"] = "http://api.binance.com/api/v3"
    with pytest.raises(Exception, match="https"):
        adapter._codec.list_orders(1.0)
