"""The faults that the simulated B2TRADER can be told to have."""

import asyncio

import aiohttp
import pytest

from router.testing import Fate

ORDERS = "/frontoffice/api/v3/orders"
STOPS = "/frontoffice/api/v3/stop-orders"
EXCHANGE = "/frontoffice/api/v4/access-token"
ACCOUNTS = "/frontoffice/api/v3/accounts"
NOWHERE = "01K2PMT0VMJG5B8XBDNZ7FNM1F"


async def test_overrides_do_not_execute(raw_venue, raw_client):
    order, stop = await raw_client.order(), await raw_client.stop()
    raw_venue.fail_next = [500, 503, 429, 302, 599]
    answers = []
    for key, path in ((order, ORDERS), (stop, STOPS), (order, ORDERS), (stop, STOPS), (order, ORDERS)):
        answers.append((await raw_client.cancel(key, path))[0])
        if answers[-1] == 429:
            assert raw_client.headers["Retry-After"] == "1"
        if answers[-1] == 302:
            assert raw_client.headers["Location"].startswith("/redirected/")
    assert answers == [500, 503, 429, 302, 599]
    assert raw_venue.orders[order].live
    assert raw_venue.stops[stop].live
    assert len(raw_venue.commands("DELETE orders", "DELETE stop-orders")) == 5
    assert (await raw_client.cancel(order))[0] == 200


async def test_overrides_spare_what_is_not_trading_and_what_only_leaves_out(raw_venue, raw_client):
    raw_venue.fail_next = [500]
    raw_venue.switches.only = frozenset({"DELETE orders"})
    assert (await raw_client.call("POST", EXCHANGE, {"token": raw_venue.offline_token}))[0] == 200
    key = await raw_client.order()
    assert (await raw_client.cancel(key))[0] == 500
    assert (raw_venue.fail_next, raw_venue.orders[key].live) == ([], True)
    raw_venue.fail_next, raw_venue.switches.only = [503], frozenset({"POST access-token"})
    assert (await raw_client.call("POST", EXCHANGE, {"token": raw_venue.offline_token}))[0] == 503
    assert raw_venue.tokens_issued == 2


async def test_a_followed_redirect_is_seen(raw_venue, raw_client):
    key = await raw_client.order()
    raw_venue.fail_next = [302]
    async with raw_client.session.delete(f"{raw_venue.url}{ORDERS}/{key}") as response:  # follows, as most clients do
        assert response.status == 404
    assert raw_venue.redirects_followed == 1
    assert [item.command for item in raw_venue.received[1:]] == ["DELETE orders", "DELETE redirected"]
    assert raw_venue.orders[key].live


@pytest.mark.parametrize(("style", "kind"), [("problem", "json"), ("errors", "json"), ("empty", ""), ("html", "html")])
async def test_error_styles(raw_venue, raw_client, style, kind):
    raw_venue.error_style = style
    status, body = await raw_client.cancel(NOWHERE)
    assert (status, kind in raw_client.headers.get("Content-Type", "")) == (404, True)
    assert {"problem": "traceId", "errors": "errors", "empty": "", "html": "<html>"}[style] in body
    assert (body == "") is (style == "empty")
    assert not raw_venue.orders


async def test_hang_up_on_a_kept_alive_connection(raw_venue, raw_client):
    key = await raw_client.stop()
    assert raw_venue.connections == 1
    raw_venue.switches.hang_up = True
    with pytest.raises(aiohttp.ClientConnectionError):
        await raw_client.cancel_stop(key)
    assert len(raw_venue.commands("DELETE stop-orders")) == 1
    assert not raw_venue.stops[key].live
    raw_venue.switches.hang_up = False
    assert (await raw_client.cancel_stop(key))[0] == 404


async def test_a_client_that_repeats_by_itself_counts_twice(raw_venue, raw_client):
    raw_client.session._retry_connection = True
    key = await raw_client.stop()
    raw_venue.switches.hang_up = True
    with pytest.raises(aiohttp.ClientConnectionError):
        await raw_client.cancel_stop(key)
    assert len(raw_venue.commands("DELETE stop-orders")) == 2
    assert not raw_venue.stops[key].live


async def test_held_answers_come_in_another_order(raw_venue, raw_client):
    keys = [await raw_client.order() for _ in range(4)]
    raw_venue.switches.hold = True
    finished = []

    async def cancel(key):
        status, body = await raw_client.cancel(key)
        finished.append((status, body["order"]["orderId"]))

    tasks = []
    for count, key in enumerate(keys, 1):
        tasks.append(asyncio.create_task(cancel(key)))
        await raw_venue.until_held(count)
    assert not any(order.live for order in raw_venue.orders.values())
    assert not finished
    raw_venue.release(shuffle=1)
    await asyncio.gather(*tasks)
    assert sorted(finished) == sorted((200, key) for key in keys)
    assert finished != [(200, key) for key in keys]
    assert raw_venue.held == 0


@pytest.mark.parametrize(("switch", "live"), [("mute", False), ("deaf", True)])
async def test_mute_executes_and_deaf_does_not(raw_venue, raw_client, switch, live):
    key = await raw_client.order()
    setattr(raw_venue.switches, switch, True)
    cancel = asyncio.create_task(raw_client.cancel(key))
    await raw_venue.until(1, "DELETE orders")
    assert (await raw_client.call("GET", ACCOUNTS))[0] == 200  # not a trading command
    assert (raw_venue.orders[key].live, cancel.done()) == (live, False)
    await raw_venue.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await cancel


async def test_stop_releases_what_is_held_and_may_be_called_twice(raw_opened):
    async with raw_opened() as client:
        key = await client.order()
        client.venue.switches.hold = True
        cancel = asyncio.create_task(client.cancel(key))
        await client.venue.until_held(1)
        await client.venue.stop()
        await client.venue.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await cancel
        assert (client.venue.held, client.venue.connections, client.venue.orders[key].status) == (0, 0, "Cancelled")


async def test_a_dropped_answer_is_never_sent(raw_venue, raw_client):
    key = await raw_client.order()
    raw_venue.switches.hold = True
    cancel = asyncio.create_task(raw_client.cancel(key))
    await raw_venue.until_held(1)
    raw_venue.release(fate=Fate.HANG_UP)
    with pytest.raises(aiohttp.ClientConnectionError):
        await cancel
    assert not raw_venue.orders[key].live


async def test_a_delayed_answer_does_not_delay_the_end(raw_venue, raw_client):
    key = await raw_client.order()
    raw_venue.switches.delay = 3600.0
    cancel = asyncio.create_task(raw_client.cancel(key))
    await raw_venue.until(1, "DELETE orders")
    await raw_venue.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await cancel
    assert not raw_venue.orders[key].live
