"""How often the bridge is on the wire, counted at the server, whatever ccxt and aiohttp would do by themselves."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter

import ccxt.async_support
import pytest

from adapters.ccxt_bridge import Ccxt
from adapters.ccxt_bridge.simulator import Refusal
from router import Budget, Cancel, CxlRejReason, Order, OrdStatus, Outcome, ReadFailed, Router
from router.testing import Fault, Switches

POST, DELETE, GET = "POST order", "DELETE order", "GET order"
SYMBOL = "BTC/USDT"


def limit(**changes):
    return Order("ex", SYMBOL, "buy", "limit", **{"quantity": "0.02", "price": "110000"} | changes)


async def place(router):
    report = await router.submit(limit())
    assert report.ok, report
    return report


def opened(sim, exchange=None, **changes):
    """A Router connected to the simulator by an adapter that was made otherwise."""
    settings = {"quiet_period": 0.3, **sim.credentials, **changes}
    if exchange is not None:
        settings |= {"exchange": exchange({"apiKey": sim.api_key, "secret": sim.secret})}
        del settings["credentials"]
    return Router({"ex": Ccxt(**settings)})


# -- connections that drop


async def test_a_hang_up_on_a_kept_alive_connection_is_one_delete_and_one_repeat_of_ours(router, sim):
    first, second = await place(router), await place(router)
    assert (await router.cancel(first)).ok
    sim.switches = Switches(hang_up=True)
    report = await router.cancel(second, deadline=0.4)
    assert report.outcome is Outcome.UNKNOWN
    wire = Counter(item.message["orderId"] for item in sim.commands(DELETE))
    assert wire == {first.order_id: 1, second.order_id: 2}, "neither hidden repeats nor a third attempt"
    sim.switches = Switches()
    settled = await report.settled(timeout=3)
    assert (settled.outcome, len(sim.commands(DELETE))) == (Outcome.CONFIRMED, 3)


async def test_a_hang_up_on_a_submit_is_one_post(router, sim):
    await place(router)
    sim.inject(Fault.HANG_UP_EXECUTED)
    report = await router.submit(limit(), deadline=0.3)
    assert (report.outcome, len(sim.commands(POST))) == (Outcome.UNKNOWN, 2)
    assert (await report.settled(timeout=3)).outcome is Outcome.CONFIRMED
    assert len(sim.commands(POST)) == 2


async def test_after_all_kept_connections_have_dropped_a_cancel_is_done(router, sim):
    placed = await place(router)
    sim.drop_connections()
    report = await router.cancel(placed)
    assert (report.outcome, len(sim.commands(DELETE))) == (Outcome.CONFIRMED, 1)


async def test_the_one_repeat_finds_the_order_gone_and_reads_why(router, sim):
    placed = await place(router)
    sim.inject(Fault.HANG_UP_EXECUTED)
    report = await router.cancel(placed)
    assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert (len(sim.commands(DELETE)), len(sim.commands(GET))) == (2, 1)


async def test_the_one_repeat_of_a_cancel_of_nothing_proves_nothing(router, sim):
    sim.inject(Fault.HANG_UP_EXECUTED)
    report = await router.cancel(Cancel("ex", "77", symbol=SYMBOL), deadline=0.4)
    assert (report.outcome, len(sim.commands(DELETE))) == (Outcome.UNKNOWN, 2)


# -- ccxt's own machinery


REPEATS = {"maxRetriesOnFailure": 3, "maxRetriesOnFailureDelay": 1}


@pytest.mark.parametrize("late", [False, True], ids=["given", "set later"])
@pytest.mark.parametrize("where", ["all", "order"])
async def test_the_repeats_of_ccxt_are_off(sim, where, late):
    options = REPEATS if where == "all" else {"order": REPEATS}
    async with opened(sim, options={} if late else options) as router:
        if late:
            router._desks["ex"].adapter._caller.exchange.options.update(options)
        if not late:
            assert "maxRetries" not in str(router._desks["ex"].adapter._caller.exchange.options)
        sim.fail_next = [Refusal(-1007, "Timeout", 408)]
        report = await router.submit(limit(), deadline=1)
        assert (report.outcome, len(sim.commands(POST)), sim.orders) == (Outcome.UNKNOWN, 1, {})


async def test_a_cancel_overtakes_a_hundred_submits_at_ten_a_second(sim):
    class Slow(ccxt.async_support.binance):
        def describe(self):
            return self.deep_extend(super().describe(), {"rateLimit": 5000})

    async with opened(sim, Slow, budget=Budget(10, 1.0)) as router:
        placed = await place(router)
        submits = [asyncio.ensure_future(router.submit(limit(), deadline=0.5)) for _ in range(100)]
        await sim.until(2, POST)
        begun = asyncio.get_running_loop().time()
        report = await router.cancel(placed)
        assert (report.outcome, asyncio.get_running_loop().time() - begun < 0.3) == (Outcome.CONFIRMED, True)
        outcomes = Counter(each.outcome for each in await asyncio.gather(*submits))
        assert outcomes[Outcome.CONFIRMED] + outcomes[Outcome.NOT_SENT] == 100
        assert outcomes[Outcome.CONFIRMED] == len(sim.commands(POST)) - 1 < 20


async def test_what_waited_is_signed_when_it_goes(sim):
    async with opened(sim, options={"recvWindow": 300}, budget=Budget(2, 2.0)) as router:
        reports = await asyncio.gather(*(router.submit(limit(), deadline=3) for _ in range(3)))
        assert {report.outcome for report in reports} == {Outcome.CONFIRMED}
        assert len(sim.commands(POST)) == 3


async def test_no_cookie_is_kept_and_no_redirect_followed(sim):
    sim.headers = {"Set-Cookie": "visitor=17; Path=/"}
    async with opened(sim, url=sim.url.replace("127.0.0.1", "localhost")) as router:  # an address has no cookies
        await place(router)
        sim.fail_next = [307]
        assert (await router.submit(limit(), deadline=1)).outcome is Outcome.UNKNOWN
    assert not any("cookie" in item.headers for item in sim.received)
    assert (sim.redirects_followed, len(sim.orders)) == (0, 1)


async def test_markets_are_loaded_once_and_the_wallet_is_left_alone(sim):
    async with opened(sim) as router:
        await asyncio.gather(*(place(router) for _ in range(5)))
    loading = [item for item in sim.received if item.command != POST]
    paths = {item.message["path"] for item in loading}
    assert (len(paths), [path for path in paths if "capital" in path]) == (len(loading), [])


async def test_markets_that_are_there_are_not_loaded(sim):
    async with opened(sim) as router:
        markets = router._desks["ex"].adapter._caller.exchange.markets
    sim.received.clear()
    exchange = ccxt.async_support.binance({"apiKey": sim.api_key, "secret": sim.secret})
    exchange.set_markets(markets)
    async with Router({"ex": Ccxt(exchange, url=sim.url)}) as router:
        assert (await router.cancel(await place(router))).ok
    assert {item.command for item in sim.received} == {POST, DELETE}


# -- methods of several requests, and what else ccxt may do


class Careful(ccxt.async_support.binance):
    """It looks before it cancels and before it places."""

    async def cancel_order(self, id, symbol=None, params=None):  # noqa: A002 - as ccxt calls it
        await self.load_markets(reload=True)
        await self.loadMarkets()
        await self.public_get_time()
        return await super().cancel_order(id, symbol, params or {})

    async def create_order(self, symbol, type, side, amount, price=None, params=None):  # noqa: A002 - see above
        await self.public_get_time()
        return await super().create_order(symbol, type, side, amount, price, params or {})


async def test_a_method_of_two_requests_is_done_once(sim):
    async with opened(sim, Careful) as router:
        placed = await place(router)
        assert (await router.cancel(placed)).ok
        again = await router.cancel(placed)
        assert (again.outcome, again.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)
        sim.retry_after, sim.fail_next = 0, [429]
        placed = await place(router)
        assert (await router.cancel(placed)).ok
    assert (len(sim.commands(POST)), len(sim.commands(DELETE))) == (3, 3)


async def test_a_method_that_repeats_after_an_error_is_stopped(sim):
    class Stubborn(ccxt.async_support.binance):
        async def create_order(self, *arguments, **named):
            try:
                return await super().create_order(*arguments, **named)
            except Exception:  # noqa: BLE001 - that is what it is about
                return await super().create_order(*arguments, **named)

    async with opened(sim, Stubborn) as router:
        sim.inject(Fault.GARBLE)
        report = await router.submit(limit(), deadline=1)
        assert (report.outcome, len(sim.commands(POST))) == (Outcome.UNKNOWN, 1)
        sim.fail_next = [Refusal(-1007, "Timeout"), Refusal(-1007, "Timeout", 200)]
        for count in (2, 3):
            report = await router.submit(limit(), deadline=1)
            assert (report.outcome, len(sim.commands(POST))) == (Outcome.UNKNOWN, count)


@pytest.mark.parametrize("raised", [ZeroDivisionError, KeyError, RecursionError, ccxt.async_support.ExchangeError])
async def test_whatever_a_parser_raises_is_unknown_and_settled(sim, raised):
    class Broken(ccxt.async_support.binance):
        is_broken = False

        def parse_order(self, order, market=None):
            if self.is_broken:
                raise raised
            return super().parse_order(order, market)

    async with opened(sim, Broken) as router:
        exchange = router._desks["ex"].adapter._caller.exchange
        exchange.is_broken = True
        report = await router.submit(limit(), deadline=1)
        assert (report.outcome, len(sim.commands(POST))) == (Outcome.UNKNOWN, 1)
        exchange.is_broken = False
        assert (await report.settled(timeout=3)).outcome is Outcome.CONFIRMED


class Terse(ccxt.async_support.binance):
    """Its answer to a cancel says that it was accepted, and no more."""

    async def cancel_order(self, id, symbol=None, params=None):  # noqa: A002 - as ccxt calls it
        await super().cancel_order(id, symbol, params or {})
        return self.safe_order({"info": {}})


async def test_a_cancel_that_was_accepted_is_confirmed_by_reading_the_order(sim):
    async with opened(sim, Terse) as router:
        placed = await place(router)
        report = await router.cancel(placed)
        assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
        assert (len(sim.commands(DELETE)), len(sim.commands(GET))) == (1, 1)


async def test_a_cancel_that_was_accepted_and_not_done_is_unknown(sim):
    class Idle(ccxt.async_support.binance):
        async def cancel_order(self, id, symbol=None, params=None):  # noqa: A002 - as ccxt calls it
            await self.public_get_time()
            return self.safe_order({"info": {}, "id": id})

    async with opened(sim, Idle) as router:
        placed = await place(router)
        report = await router.cancel(placed, deadline=0.4)
        assert (report.outcome, sim.orders[placed.order_id].live) == (Outcome.UNKNOWN, True)


async def test_a_cancel_that_takes_effect_later_is_confirmed_when_it_has(sim):
    class Patient(ccxt.async_support.binance):
        async def cancel_order(self, id, symbol=None, params=None):  # noqa: A002 - as ccxt calls it
            await self.public_get_time()
            return self.safe_order({"info": {}, "id": id, "status": "canceling"})

    async with opened(sim, Patient) as router:
        placed = await place(router)
        cancelling = asyncio.ensure_future(router.cancel(placed, deadline=3))
        await sim.until(1, GET)
        sim.book.cancel({"symbol": "BTCUSDT", "orderId": placed.order_id})
        assert (await cancelling).outcome is Outcome.CONFIRMED


async def test_an_answer_about_another_order_settles_nothing(sim):
    class Mistaken(ccxt.async_support.binance):
        async def cancel_order(self, id, symbol=None, params=None):  # noqa: A002 - as ccxt calls it
            await self.public_get_time()
            return self.safe_order({"info": {}, "id": "4711", "status": "canceled"})

    async with opened(sim, Mistaken) as router:
        placed = await place(router)
        report = await router.cancel(placed, deadline=0.3)
        assert (report.outcome, "4711" in report.text) == (Outcome.UNKNOWN, True)


async def test_an_exchange_that_asks_for_several_things_at_once_is_not_sent_to(sim, caplog):
    class Hurried(ccxt.async_support.binance):
        is_hurried = False

        async def cancel_order(self, id, symbol=None, params=None):  # noqa: A002 - as ccxt calls it
            if self.is_hurried:
                await asyncio.gather(self.public_get_time(), self.public_get_time())
            return await super().cancel_order(id, symbol, params or {})

    async with opened(sim, Hurried) as router:
        placed = await place(router)
        router._desks["ex"].adapter._caller.exchange.is_hurried = True
        asked = len(sim.received)
        report = await router.cancel(placed)
        assert (report.outcome, len(sim.received)) == (Outcome.NOT_SENT, asked)
        await asyncio.sleep(0.01)
        gc.collect()
        assert [record for record in caplog.records if record.name == "asyncio"] == [], "nothing was left running"


# -- secrets


async def test_no_key_and_no_signature_is_ever_shown(sim, caplog):
    caplog.set_level(logging.DEBUG)
    shown = []
    async with opened(sim) as router:
        placed = await place(router)
        for answer in (
            503,
            418,
            302,
            Refusal(-1022, "Signature for this request is not valid."),
            Refusal(-2, "?", 404),
        ):
            sim.fail_next, sim.retry_after = [answer], 0
            shown.append(await router.cancel(placed, deadline=0.3))
        for fault in (Fault.GARBLE, Fault.HANG_UP_EXECUTED, Fault.MUTE):
            sim.inject(fault)
            shown += [await router.submit(limit(), deadline=0.2), await router.cancel(placed, deadline=0.2)]
        adapter = router._desks["ex"].adapter
        wire = adapter._codec.encode(placed.to_cancel(), 0.0)
        shown += [adapter, wire, wire.run, wire.run.request, router.health(), *[each.raw for each in shown]]
        await sim.stop()
        shown += [await router.cancel(placed, deadline=0.2)]
    secrets = {sim.secret, sim.api_key, wire.path.rpartition("=")[2]}
    secrets |= {item.message["signature"] for item in sim.received if "signature" in item.message}
    assert len(secrets) > 10, secrets
    text = caplog.text + "".join(f"{each} {each!r}" for each in shown)
    assert [secret for secret in secrets if secret in text] == []


async def test_an_exchange_that_says_the_key_aloud_is_not_quoted(router, sim):
    sim.fail_next = [Refusal(-1100, f"Illegal key {sim.api_key} for {sim.secret}")]
    report = await router.submit(limit())
    assert (report.outcome, "Illegal key" in report.text) == (Outcome.REFUSED, True)
    assert [each for each in (sim.api_key, sim.secret) if each in f"{report!r}{report.raw}"] == []


async def test_a_list_that_is_not_answered_holds_up_nobody_for_ever(sim):
    async with opened(sim, deadline=0.1) as router:
        sim.switches = Switches(deaf=True, only=frozenset({"GET openOrders"}))
        with pytest.raises(ReadFailed, match="no answer"):
            async with asyncio.timeout(2):
                await router.open_orders("ex")


async def test_an_error_while_opening_shows_no_secret(sim, caplog):
    caplog.set_level(logging.DEBUG)

    class Signing(ccxt.async_support.binance):
        async def fetch_markets(self, params=None):
            await self.private_get_order({"symbol": "X"})
            return await super().fetch_markets(params or {})

    with pytest.raises(Exception, match="markets could not be loaded") as caught:
        async with opened(sim, Signing):
            pytest.fail("entered")
    [sent] = sim.commands(GET)
    for secret in (sim.secret, sim.api_key, sent.message["signature"]):
        assert secret not in str(caught.value) + caplog.text
