"""What nobody has vouched for is not believed: ccxt's real classes against a small server, which answers as the exchange would."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import random
import sys
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import ccxt.async_support
import pytest
from aiohttp import web
from ccxt.base import errors

from adapters.ccxt_bridge import Ccxt
from adapters.ccxt_bridge.calling import Caller
from adapters.ccxt_bridge.errors import judge
from adapters.ccxt_bridge.simulator import Market, Refusal
from router import Cancel, CannotList, CxlRejReason, Order, OrdStatus, Outcome, Router, VenueError
from router.venue import Retry

KEY, SECRET = "key-of-sixteen-chars", base64.b64encode(b"k" * 64).decode()
GIVEN = {
    "apiKey": KEY,
    "secret": SECRET,
    "password": "pass-word",
    "uid": "123456",
    "walletAddress": "0x" + "22" * 20,
    "privateKey": "0x" + "11" * 32,
}
SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"


def market(symbol):
    contract = ":" in symbol
    steps = {"amount": "0.0001", "price": "0.01"}
    kind = {"type": "swap" if contract else "spot", "spot": not contract, "swap": contract, "contract": contract}
    kind |= {"linear": contract or None, "inverse": False if contract else None, "future": False, "option": False}
    names = {"id": "BTCUSDTP" if contract else "BTCUSDT", "symbol": symbol, "base": "BTC", "quote": "USDT"}
    names |= {"baseId": "BTC", "quoteId": "USDT", "settle": "USDT" if contract else None, "active": True}
    info = {"orderTypes": ["LIMIT", "MARKET"], "filters": []}
    return names | kind | {"contractSize": "0.01" if contract else None, "precision": steps, "limits": {}, "info": info}


class Venue:
    """Answers with what `say` returns, (status, object), and keeps what it was asked."""

    def __init__(self, say):
        self.say, self.asked = say, []

    async def serve(self, request):
        body = (await request.read()).decode()
        self.asked.append((request.method, request.path, request.query_string, body))
        said = self.say(request.method, request.path, dict(request.query), body)
        status, answer = await said if asyncio.iscoroutine(said) else said
        return web.json_response(answer, status=status)

    def paths(self, method=None):
        return [path for each, path, *_ in self.asked if method in {None, each}]


@asynccontextmanager
async def opened(name, say, market_type="spot", *, markets=(SPOT, SWAP), **settings):
    """A Router to that exchange, whose markets are known unless there are none."""
    venue = Venue(say)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", venue.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    needed = getattr(ccxt.async_support, name)().requiredCredentials
    keys = {each: GIVEN[each] for each, is_needed in needed.items() if is_needed}
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    settings = {"quiet_period": 0.1, "client_order_ids": False} | settings
    adapter = Ccxt(name, credentials=keys, url=url, market_type=market_type, **settings)
    if markets:
        adapter._caller.exchange.set_markets([market(symbol) for symbol in markets])
    try:
        async with Router({"ex": adapter}) as router:
            yield router, venue
    finally:
        await runner.cleanup()


def nothing(*_):
    return 404, {}


def limit(symbol=SPOT, **changes):
    return Order("ex", symbol, "buy", "limit", **{"quantity": "2", "price": "100.5"} | changes)


def cancel(order_id="123456", symbol=SPOT):
    return Cancel("ex", order_id, symbol=symbol)


# -- orders


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("bitbank", Order("ex", SPOT, "sell", "stop", "2", stop_price="99")),
        ("hitbtc", Order("ex", SPOT, "sell", "stop_limit", "2", "98", "99")),
        ("kraken", Order("ex", SPOT, "buy", "market", "2")),
    ],
    ids=str,
)
async def test_other_types_than_limit_are_not_sent(name, order):
    async with opened(name, nothing) as (router, venue):
        report = await router.submit(order)
        assert (report.outcome, venue.asked) == (Outcome.NOT_SENT, [])


@pytest.mark.parametrize(
    "terms", [{"time_in_force": "ioc"}, {"time_in_force": "fok"}, {"post_only": True}, {"reduce_only": True}], ids=str
)
@pytest.mark.parametrize("name", ["krakenfutures", "blofin"])
async def test_terms_that_ccxt_may_drop_are_not_sent_and_the_text_says_why(name, terms):
    async with opened(name, nothing, "swap") as (router, venue):
        report = await router.submit(limit(SWAP, **terms))
        assert (report.outcome, venue.asked) == (Outcome.NOT_SENT, [])
        assert (f"{name} (swap) is not vouched for" in report.text, "vouched.py" in report.text) == (True, True)


async def test_a_plain_limit_order_is_placed_and_cancelled():
    row = {
        "orderId": "9",
        "symbol": "BTCUSDT",
        "status": "NEW",
        "origQty": "2",
        "executedQty": "0",
        "type": "LIMIT",
        "side": "BUY",
    }

    def say(method, path, query, body):
        if method == "DELETE":
            row["status"] = "CANCELED"
        return 200, row

    async with opened("mexc", say) as (router, venue):
        placed = await router.submit(limit(time_in_force="gtc"))
        report = await router.cancel(placed)
        assert (placed.outcome, report.outcome, report.status) == (
            Outcome.CONFIRMED,
            Outcome.CONFIRMED,
            OrdStatus.CANCELED,
        )
        assert [method for method, *_ in venue.asked] == ["POST", "DELETE", "GET"]


async def test_an_order_that_the_exchange_rejects_is_refused_whatever_ccxt_calls_it():
    row = {
        "orderId": "1",
        "symbol": "BTCUSDT",
        "status": "REJECTED",
        "origQty": "2",
        "executedQty": "0",
        "type": "LIMIT",
        "side": "BUY",
    }
    async with opened("toobit", lambda *_: (200, row)) as (router, _):
        report = await router.submit(limit())
        assert (report.outcome, report.status) == (Outcome.REFUSED, OrdStatus.REJECTED)


async def test_a_status_that_is_told_and_not_understood_is_not_new():
    row = {"id": "d0c5", "price": "100.5", "size": "2", "product_id": "BTCUSDT", "side": "buy", "type": "limit"}
    row |= {"filled_size": "1", "status": "done", "settled": True, "created_at": "2016-12-08T20:02:28.53864Z"}
    async with opened("coinbaseexchange", lambda *_: (200, row)) as (router, _):
        report = await router.submit(limit())
        assert (report.outcome, report.order_id) == (Outcome.CONFIRMED, "d0c5")
        assert report.status is not OrdStatus.NEW


# -- lists


@pytest.mark.parametrize(
    ("name", "market_type"), [("coinbase", "spot"), ("binance", "swap"), ("btse", "swap"), ("okx", "spot")]
)
async def test_a_list_is_not_asked_for_and_proves_nothing(name, market_type):
    async with opened(name, lambda *_: (200, []), market_type) as (router, venue):
        with pytest.raises(CannotList, match="not vouched for"):
            await router.open_orders("ex")
        report = await router.cancel_all("ex", deadline=0.3)
        assert (report.no_open_orders, venue.asked) == (False, [])


async def test_a_submit_in_doubt_stays_unknown():
    async with opened("kraken", lambda *_: (502, {})) as (router, venue):
        report = await router.submit(limit(), deadline=0.5)
        settled = await report.settled(timeout=0.5)
        assert (report.outcome, settled.outcome, len(venue.asked)) == (Outcome.UNKNOWN, Outcome.UNKNOWN, 1)


async def test_options_that_lead_elsewhere_are_not_vouched_for(sim):
    for options in ({"portfolioMargin": True}, {"defaultMarginMode": "cross"}):
        adapter = Ccxt(**sim.credentials | {"options": {"fetchOpenOrders": options, **options}})
        assert adapter.spec.lists == frozenset(), options


# -- cancels


async def test_a_receipt_that_ccxt_calls_a_cancellation_is_read():
    def say(method, path, query, body):
        if method == "DELETE":
            return 200, {"success": True, "timestamp": 1700000000000, "data": {"status": "CANCEL_SENT"}}
        row = {"orderId": 123456, "symbol": "BTCUSDT", "status": "FILLED", "side": "BUY", "quantity": 2, "executed": 2}
        return 200, {"success": True, "data": row | {"type": "LIMIT", "price": 100.5, "createdTime": "1700000000.123"}}

    async with opened("woo", say) as (router, venue):
        report = await router.cancel(cancel())
        assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)
        assert [method for method, *_ in venue.asked] == ["DELETE", "GET"]


async def test_a_look_up_that_shows_something_under_way_confirms_nothing():
    def say(method, path, query, body):
        row = {
            "orderId": 123456,
            "symbol": "BTCUSDT",
            "status": "CANCEL_SENT",
            "side": "BUY",
            "quantity": 2,
            "executed": 0,
        }
        return 200, {"success": True, "data": row | {"type": "LIMIT", "price": 100.5, "createdTime": "1700000000.123"}}

    async with opened("woo", say) as (router, venue):
        report = await router.cancel(cancel(), deadline=0.3)
        assert (report.outcome, [method for method, *_ in venue.asked]) == (Outcome.UNKNOWN, ["DELETE", "GET"])


async def test_a_symbol_is_always_wanted_and_filled_in():
    row = {
        "orderId": "1",
        "symbol": "BTCUSDTP",
        "origQty": "2",
        "executedQty": "0",
        "type": "LIMIT",
        "side": "BUY_OPEN",
        "status": "NEW",
    }
    async with opened("hashkey", lambda *_: (200, row), "swap") as (router, venue):
        assert (await router.cancel("ex", "1")).outcome is Outcome.NOT_SENT
        placed = await router.submit(limit(SWAP))
        await router.cancel("ex", placed.order_id, deadline=0.3)
        assert venue.paths("DELETE") == ["/api/v1/futures/order"]


# -- the exchange's words


OPEN = [
    ("kucoin", 200, {"code": "408000", "msg": "Network timeout, please try again later"}, True),
    ("coinsph", 400, {"code": -1001, "msg": "Internal error."}, True),
    ("coinsph", 400, {"code": -1000, "msg": "An unknown error occured while processing the request."}, True),
    ("tokocrypto", 200, {"code": -1004, "msg": "Server is busy, please wait and try again"}, True),
    ("coinsph", 400, {"code": -1147, "msg": "Order cancellation timeout"}, False),
    ("bitget", 200, {"code": "36220", "msg": "Order is pending cancel."}, False),
]


@pytest.mark.parametrize(("name", "status", "words", "is_submit"), OPEN, ids=lambda value: str(value)[:40])
async def test_words_that_say_it_is_not_known_are_no_refusal(name, status, words, is_submit):
    async with opened(name, lambda *_: (status, words), options={"uta": False}) as (router, venue):
        report = await (router.submit(limit(), deadline=1) if is_submit else router.cancel(cancel(), deadline=1))
        assert (report.outcome, len(venue.asked)) == (Outcome.UNKNOWN, 1)


@pytest.mark.parametrize(
    ("error", "once", "retry"),
    [
        (errors.RateLimitExceeded("slow down"), True, Retry.LATER),
        (errors.InvalidNonce("nonce"), True, Retry.LATER),
        (errors.DDoSProtection("slow down"), True, None),
        (errors.DDoSProtection("slow down"), False, Retry.LATER),
        (type("Mine", (errors.RateLimitExceeded,), {})("slow down"), True, None),
        (errors.RateLimitExceeded("server busy"), True, None),
        (errors.RateLimitExceeded("server busy"), False, None),
    ],
    ids=str,
)
def test_what_must_not_be_done_twice_is_tried_again_after_exactly_two_classes(error, once, retry):
    verdict = judge(error, once=once)
    assert (verdict.retry, verdict.outcome is Outcome.UNKNOWN) == (retry, retry is None)


# -- what ccxt asks first


def gate(first):
    """gate asks for the account before its first order. first: what that is answered with."""
    live = {"123456"}

    def say(method, path, query, body):
        if path.endswith("/account/detail"):
            return first.pop(0) if first else (200, {"key": {"mode": 1}})
        row = {"id": "123456", "currency_pair": "BTCUSDT", "amount": "2", "left": "2", "type": "limit", "side": "buy"}
        if method == "DELETE":
            live.clear()
        return 200, row | {"price": "1", "status": "open" if live else "cancelled", "create_time_ms": 1700000000000}

    return say


async def test_a_first_question_that_is_refused_is_not_the_commands_refusal():
    async with opened("gate", gate([(403, {"label": "FORBIDDEN", "message": "no permission"})])) as (router, venue):
        report = await router.cancel(cancel())
        assert (report.outcome, venue.paths()[0]) == (Outcome.CONFIRMED, "/api/v4/account/detail")
        assert len(venue.paths("DELETE")) == 1


@pytest.mark.parametrize("is_submit", [True, False], ids=["submit", "cancel"])
async def test_a_first_question_that_fails_leaves_the_command_unsent(is_submit):
    async with opened("gate", gate([(502, {})])) as (router, venue):
        report = await (router.submit(limit()) if is_submit else router.cancel(cancel()))
        assert (report.outcome, venue.paths(), report.sent_at) == (Outcome.NOT_SENT, ["/api/v4/account/detail"], None)
        assert "asks first" in report.text


async def test_a_first_question_that_comes_too_fast_is_asked_again_and_is_never_the_commands_refusal():
    async with opened("gate", gate([(429, {})])) as (router, venue):
        assert (await router.cancel(cancel(), deadline=3)).outcome is Outcome.CONFIRMED
    async with opened("gate", gate([(429, {})])) as (router, venue):
        report = await router.cancel(cancel(), deadline=0.3)  # less than the pause
        assert (report.outcome, venue.paths("DELETE")) == (Outcome.NOT_SENT, [])


async def test_a_repeat_whose_first_question_fails_is_still_in_doubt():
    options, details = [], [(200, {"key": {"mode": 1}})]

    def failing(method, path, query, body):
        if method == "DELETE":
            options[0]["unifiedAccount"] = None  # so that ccxt asks again
        return details.pop(0) if path.endswith("/account/detail") and details else (502, {})

    async with opened("gate", failing) as (router, venue):
        options.append(router._desks["ex"].adapter._caller.exchange.options)
        report = await router.cancel(cancel(), deadline=0.3)
        settled = await report.settled(timeout=0.4)
        assert (report.outcome, settled.outcome) == (Outcome.UNKNOWN, Outcome.UNKNOWN)
        assert [path.rpartition("/")[2] for path in venue.paths()] == ["detail", "123456", "detail"]


async def test_a_cancel_that_is_lost_after_a_first_question_is_settled_by_one_repeat():
    say, lost = gate([]), [True]

    async def losing(method, path, query, body):
        answer = say(method, path, query, body)
        if method == "DELETE" and lost:
            lost.clear()
            await asyncio.Event().wait()
        return answer

    async with opened("gate", losing) as (router, venue):
        report = await router.cancel(cancel(), deadline=0.3)
        assert report.outcome is Outcome.UNKNOWN
        await report.settled(timeout=2)
        assert len(venue.paths("DELETE")) == 2


async def test_options_are_not_passed_on_unchecked():
    async with opened("gate", gate([])) as (router, venue):
        report = await router.submit(limit(options={"amount": "2000"}))
        assert (report.outcome, venue.asked) == (Outcome.NOT_SENT, [])


@pytest.mark.parametrize(
    "name", ["stopLossPrice", "takeProfitPrice", "trailingDelta", "triggerDirection", "stopLoss", "test", "cost"]
)
async def test_options_that_make_another_order_are_not_sent(router, sim, name):
    report = await router.submit(Order("ex", SPOT, "buy", "limit", "0.02", "110000", options={name: "1"}))
    assert (report.outcome, name in report.text, sim.orders) == (Outcome.NOT_SENT, True, {})


# -- at open


@pytest.mark.parametrize("known", [(), (SWAP,)], ids=["loaded", "known"])
async def test_nothing_is_signed_for_ccxts_makers(known):
    asked = []

    def say(method, path, query, body):
        asked.append((path, body))
        told = {
            "meta": {"universe": [], "marginTables": []},
            "spotMeta": {"tokens": [], "universe": []},
            "perpDexs": [None],
        }
        return 200, told.get(json.loads(body or "{}").get("type"), [])

    with pytest.raises(VenueError, match=r"may be a command|no cancel"):
        async with opened("hyperliquid", say, "swap", markets=known):
            pytest.fail("entered")
    assert [path for path, _ in asked if path == "/exchange"] == []


async def test_a_fee_for_ccxts_makers_is_not_given_out_in_a_command(sim):
    class Greedy(ccxt.async_support.binance):
        async def cancel_order(self, id, symbol=None, params=None):  # noqa: A002 - as ccxt calls it
            await self.fetch("http://127.0.0.1:1/account/builder_codes/approve", "POST", {}, "{}")
            return await super().cancel_order(id, symbol, params or {})

    exchange = Greedy({"apiKey": sim.api_key, "secret": sim.secret})
    with pytest.raises(VenueError, match="fee or a referral"):
        async with Router({"ex": Ccxt(exchange, url=sim.url, market_type="spot")}):
            pytest.fail("entered")


@pytest.mark.parametrize(("name", "why"), [("coinone", "ArgumentsRequired"), ("bitvavo", "operatorId")])
async def test_an_exchange_where_nothing_can_be_cancelled_is_refused_with_the_reason(name, why):
    with pytest.raises(VenueError, match=f"no cancel for {name}.*{why}"):
        async with opened(name, nothing):
            pytest.fail("entered")


async def test_an_exchange_where_nothing_can_be_placed_says_why():
    async with opened("gate", nothing, client_order_ids=True, options={"unifiedAccount": False}) as (router, venue):
        report = await router.submit(limit())
        assert (report.outcome, "client_order_ids=False" in report.text, venue.asked) == (Outcome.NOT_SENT, True, [])


async def test_a_market_that_was_listed_since_is_named_with_what_to_do(router, sim):
    sim.markets["SOLUSDT"] = Market("SOL", "USDT", "100")
    for report in (await router.cancel(cancel(symbol="SOL/USDT")), await router.submit(limit("SOL/USDT"))):
        assert (report.outcome, "open it again" in report.text) == (Outcome.NOT_SENT, True)


# -- nonces


async def test_nonces_rise_strictly():
    exchange = ccxt.async_support.kraken({"apiKey": KEY, "secret": SECRET})
    Caller(exchange)
    made = [exchange.nonce() for _ in range(1000)]
    assert made == sorted(set(made))


async def test_cancels_are_not_refused_for_nonces_that_overtake_each_other():
    live, last, declined = {f"O{number:03d}" for number in range(30)}, [0], []
    ids = sorted(live)

    async def say(method, path, query, body):
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        await asyncio.sleep(random.random() * 0.003)  # noqa: S311 - no secret
        if int(asked["nonce"]) <= last[0]:
            declined.append(path)
            return 200, {"error": ["EAPI:Invalid nonce"]}
        last[0] = int(asked["nonce"])
        if path.endswith("CancelOrder"):
            live.discard(asked["txid"])
            return 200, {"error": [], "result": {"count": 1}}
        row = {
            "status": "open" if asked["txid"] in live else "canceled",
            "vol": "1",
            "vol_exec": "0",
            "opentm": 1700000000.1,
        }
        return 200, {"error": [], "result": {asked["txid"]: row | {"descr": {"pair": "BTCUSDT", "type": "buy"}}}}

    async with opened("kraken", say) as (router, _):
        reports = await router.cancel_many([cancel(each) for each in ids])
    assert {report.outcome for report in reports} == {Outcome.CONFIRMED}
    assert (live, len(declined) > 5) == (set(), True)


# -- what is shown, and what is left


def test_a_mistake_in_the_configuration_shows_no_key():
    with pytest.raises(TypeError) as caught:
        Ccxt({"apiKey": KEY, "secret": SECRET})
    assert [each for each in (KEY, SECRET) if each in str(caught.value)] == []


async def test_signatures_and_sign_in_tokens_are_not_shown_under_other_names():
    def say(method, path, query, body):
        return 400, {"sent": body, "token": "t", "said": "signed in as token-of-the-sign-in"}

    async with opened("cryptocom", say) as (router, venue):
        router._desks["ex"].adapter._caller.exchange.options["accessToken"] = "token-of-the-sign-in"
        report = await router.cancel(cancel(), deadline=0.5)
        signature = json.loads(venue.asked[0][3])["sig"]
        shown = f"{report!r}{report.text}{report.raw}"
        assert [each for each in (signature, "token-of-the-sign-in", KEY) if each in shown] == []


def test_an_exchange_object_belongs_to_one_adapter():
    exchange = ccxt.async_support.kraken({"apiKey": KEY, "secret": SECRET})
    Ccxt(exchange)
    with pytest.raises(ValueError, match="another adapter"):
        Ccxt(exchange)


async def test_what_is_not_finished_is_let_go_of_without_a_complaint(monkeypatch):
    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    say = gate([])

    async def slow(method, path, query, body):
        if method == "DELETE":
            await asyncio.Event().wait()
        return say(method, path, query, body)

    async with opened("gate", slow) as (router, _):
        await asyncio.gather(*(router.cancel(cancel(str(number)), deadline=0.1) for number in range(5)))
    gc.collect()
    assert complaints == []


async def test_a_wrong_clock_is_tried_again_for_as_long_as_somebody_waits(router, sim):
    placed = await router.submit(limit(quantity="0.02", price="110000"))
    sim.fail_next = [Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")] * 8
    report = await router.cancel(placed)
    assert (report.outcome, len(sim.commands("DELETE order"))) == (Outcome.CONFIRMED, 9)
