"""The faults that the simulated B2TRADER can be told to have."""

import asyncio
import json
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp
import pytest

from adapters.b2trader.simulator import B2TraderSimulator
from router.testing import Fate, Fault, Struck

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


# -- injected faults: what reaches the book, and what reaches whoever sent the command

EFFECTS = {
    Fault.HANG_UP_UNREAD: (True, "hung up"),
    Fault.SLOW_READER: (False, "200 order"),
    Fault.DEAF: (True, "nothing"),
    Fault.HANG_UP_READ: (True, "hung up"),
    Fault.EXPIRED_TOKEN: (True, "401"),
    Fault.THROTTLED: (True, "429 in 1 s"),
    Fault.THROTTLED_NO_HINT: (True, "429"),
    Fault.SERVER_ERROR: (True, "5xx"),
    Fault.HTML_PAGE: (True, "200 page"),
    Fault.REDIRECT: (True, "302 elsewhere"),
    Fault.MUTE: (False, "nothing"),
    Fault.HANG_UP_EXECUTED: (False, "hung up"),
    Fault.SERVER_ERROR_EXECUTED: (False, "5xx"),
    Fault.HTML_ERROR: (False, "502 page"),
    Fault.DELAY: (False, "200 order"),
    Fault.GARBLE: (False, "200 garbage"),
    Fault.NOT_UTF8: (False, "200 garbage"),
    Fault.TRUNCATE: (False, "200 garbage"),
    Fault.SPLIT: (False, "200 order"),
    Fault.HANG_UP_ANSWERING: (False, "hung up"),
    Fault.HANG_UP_ANSWERED: (False, "200 order"),
}


async def cancelled(client, key):
    """One DELETE, and a few words for what came of it."""
    headers = {"Authorization": f"Bearer {client.bearer}", "accountId": client.venue.account_id}
    url = f"{client.venue.url}{ORDERS}/{key}"
    try:
        async with client.session.delete(url, headers=headers, allow_redirects=False) as response:
            body = await response.read()
            assert response.headers.get("Content-Length", f"{len(body)}") == f"{len(body)}"
    except aiohttp.ClientError:
        return "hung up"
    return worded(response.status, response.headers, body)


def worded(status, headers, body):
    if body.startswith(b"<"):
        return f"{status} page"
    if status == 200:
        return f"200 {'order' if readable(body) else 'garbage'}"
    if status == 429 and "Retry-After" in headers:
        return f"429 in {headers['Retry-After']} s"
    if status == 302 and headers["Location"].startswith("/redirected/"):
        return "302 elsewhere"
    return "5xx" if status in {500, 502, 503, 504} else f"{status}"


def readable(body):
    try:
        return "order" in json.loads(body)
    except ValueError:
        return False


def test_every_fault_that_this_venue_can_have_is_tested():
    apart = {Fault.CLOCK_SKEW, Fault.REORDER}
    assert {fault for fault in Fault if not B2TraderSimulator().supports(fault)} == EFFECTS.keys() | apart


@pytest.mark.parametrize("fault", EFFECTS)
async def test_what_a_fault_does_to_the_book_and_to_who_asked(raw_venue, raw_client, fault):
    live, expected = EFFECTS[fault]
    key = await raw_client.order()
    raw_venue.inject(fault, only=("DELETE orders",))
    asked = asyncio.create_task(cancelled(raw_client, key))
    await raw_venue.until_struck(1, fault)
    if expected == "nothing":
        await raw_venue.until(1, "DELETE orders")
        assert (await raw_client.call("GET", ACCOUNTS))[0] == 200
        assert (raw_venue.orders[key].live, asked.done()) == (live, False)
        await raw_venue.stop()
        expected = "hung up"
    assert await asked == expected
    assert raw_venue.orders[key].live is live
    assert len(raw_venue.commands("DELETE orders")) == (fault is not Fault.HANG_UP_UNREAD)
    assert raw_venue.faults.struck == [Struck(fault, "DELETE orders", 0)]


async def test_a_fault_strikes_trading_commands_and_once(raw_venue, raw_client):
    raw_venue.inject(Fault.SERVER_ERROR)
    assert (await raw_client.call("GET", ACCOUNTS))[0] == 200
    assert (await raw_client.call("POST", EXCHANGE, {"token": raw_venue.offline_token}))[0] == 200
    assert (await raw_client.place())[0] in {500, 502, 503, 504}
    assert (await raw_client.place())[0] == 200
    assert len(raw_venue.orders) == 1


async def test_an_expired_token_is_of_no_use_and_a_new_one_is(raw_venue, raw_client):
    raw_venue.inject(Fault.EXPIRED_TOKEN)
    assert [(await raw_client.place())[0] for _ in range(2)] == [401, 401]
    _, body = await raw_client.call("POST", EXCHANGE, {"token": raw_venue.offline_token})
    assert (await raw_client.place(token=body["accessToken"]))[0] == 200


async def test_a_skewed_clock_judges_tokens_and_dates_answers_until_it_is_cleared(raw_venue, raw_client):
    raw_venue.faults.seed = next(seed for seed in range(99) if _skewed(seed) > 3600)
    raw_venue.inject(Fault.CLOCK_SKEW)
    assert (await raw_client.place())[0] == 401  # an hour has passed, and with it the token
    dated = parsedate_to_datetime(raw_client.headers["Date"]).timestamp()
    assert abs(dated - time.time() - raw_venue.faults.skew) < 2
    key = (await raw_client.place(token=raw_venue.token()))[1]["order"]["orderId"]
    assert abs(raw_venue.orders[key].created / 10**7 - dated) < 5
    raw_venue.faults.clear()
    assert (await raw_client.place())[0] == 200


def _skewed(seed):
    venue = B2TraderSimulator(seed=seed)
    venue.inject(Fault.CLOCK_SKEW)
    venue.faults.draw("POST orders", 0)
    return venue.faults.skew


async def test_two_answers_change_places(raw_venue, raw_client):
    keys, finished = [await raw_client.order() for _ in range(2)], []

    async def cancel(key):
        assert await cancelled(raw_client, key) == "200 order"
        finished.append(key)

    raw_venue.inject(Fault.REORDER)
    first = asyncio.create_task(cancel(keys[0]))
    await raw_venue.until(1, "DELETE orders")
    await cancel(keys[1])
    await first
    assert finished == keys[::-1]
    assert len(raw_venue.commands("DELETE orders")) == 2
    assert not any(order.live for order in raw_venue.orders.values())


async def test_half_a_body_and_a_body_in_chunks_on_the_wire(raw_venue, raw_client):
    async def wire(fault):
        raw_venue.inject(fault)
        address = urlsplit(raw_venue.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        path = f"{ORDERS}/{await raw_client.order()}" if fault is None else f"{ORDERS}/{NOWHERE}"
        head = f"DELETE {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {raw_client.bearer}\r\n"
        writer.write(f"{head}accountId: {raw_venue.account_id}\r\nConnection: close\r\n\r\n".encode())
        data, end = b"", "end"
        try:
            while part := await reader.read(1):
                data += part
        except ConnectionResetError:
            end = "reset"
        finally:
            writer.close()
        head, _, body = data.decode().partition("\r\n\r\n")
        return head, body, end

    head, body, end = await wire(Fault.HANG_UP_ANSWERING)
    promised = int(head.lower().partition("content-length: ")[2].split()[0])
    assert (len(body) < promised, end) == (True, "reset")
    head, body, end = await wire(Fault.SPLIT)
    assert "transfer-encoding: chunked" in head.lower()
    sizes = [int(size, 16) for size in body.split("\r\n")[0:-1:2] if size]
    assert (sizes[-1], len(sizes) > 2, end) == (0, True, "end")


async def test_the_same_seed_gives_the_same_faults_for_the_same_traffic(raw_opened):
    async def run(seed):
        async with raw_opened(seed=seed) as client:
            among = (Fault.SERVER_ERROR, Fault.THROTTLED, Fault.HTML_ERROR, Fault.HANG_UP_READ, Fault.TRUNCATE)
            client.venue.faults.random(0.5, among, only=("DELETE orders",))
            words = [await cancelled(client, await client.order()) for _ in range(30)]
            return words, [item.fault for item in client.venue.faults.struck]

    first, again, other = await run(1), await run(1), await run(2)
    assert first == again
    assert first[1] != other[1]
    assert 5 < len(first[1]) < 25
