"""Who may log in to the simulated QFEX, and who hears what."""

import time
from email.utils import parsedate_to_datetime

import pytest

from adapters.qfex.simulator import QfexSimulator, Variants, signature


def code(frame):
    return frame["err"]["error_code"]


# -- login


@pytest.mark.parametrize(
    ("secret", "nonce", "unix_ts", "proof"),
    [
        ("qfex_secret_test", "c0ffee", 1760545414, "9a892254ce0416371a78a4352130b7825a2f5fb442b12ddfa7c2f5202ef045dc"),
        (
            "qfex_secret_yyyyyy",
            "c0ffee",
            1760545414,
            "222adbb0993646affe345a15f3c5b45e7123d4ff2c38dc4245c81ffb24c66d64",
        ),
        ("secret", "abc123", 1234, "0e5775c636eaa528850bc56cd8872fa7f6cc41aea8bc99a2ad51f255fe6f40a7"),
        ("secret-key", "abc123", 1700000000, "7cdac5f5aeb21825b4fe5d61abd475250114fc26a8a1ecf4fca9915f57e7e220"),
    ],
)
async def test_published_signatures_log_in(raw_connected, secret, nonce, unix_ts, proof):
    skew = unix_ts - time.time()
    async with QfexSimulator(secret_key=secret, clock_skew=skew) as venue, raw_connected(venue) as client:
        assert signature(secret, nonce, unix_ts) == proof
        reply = await client.ask("auth", hmac=client.proof(nonce, unix_ts, signature=proof))
        assert reply == {"authenticated": True}
        assert venue.nonces == {nonce}


async def test_the_environment_and_the_credentials_say_the_same(raw_venue):
    assert list(raw_venue.environment.values()) == list(raw_venue.credentials.values())
    assert raw_venue.url.startswith("ws://127.0.0.1:")
    assert raw_venue.secret_key not in repr(raw_venue)
    assert raw_venue.jwt not in repr(raw_venue)
    assert raw_venue.received == []


async def test_a_token_logs_in(raw_venue, raw_connected):
    async with raw_connected(raw_venue) as client:
        assert await client.ask("auth", jwt=raw_venue.jwt) == {"authenticated": True}
        assert await client.orders() == []
        assert len(raw_venue.commands("auth")) == 1


async def test_the_other_documented_login_reply(raw_connected):
    async with QfexSimulator(variants=Variants(auth_reply="type_result")) as venue, raw_connected(venue) as client:
        assert await client.ask("auth", hmac=client.proof()) == {"type": "auth", "result": "success"}
        assert len(venue.nonces) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "0" * 64},
        {"signature": "é\ud800"},
        {"public_key": "qfex_pub_other"},
        {"unix_ts": int(time.time()) - 3600},
        {"nonce": "c0ffee"},
    ],
)
async def test_a_bad_login_is_refused_and_ends_the_connection(raw_venue, raw_connected, change):
    async with raw_connected(raw_venue) as client:
        await client.send("auth", hmac=client.proof() | change)
        [frame] = await client.closed()
        assert code(frame) == "PermissionDenied"
        assert client.socket.close_code == 1008
        assert raw_venue.nonces == set()


async def test_an_old_but_signed_login_is_refused(raw_venue, raw_connected):
    async with raw_connected(raw_venue) as client:
        await client.send("auth", hmac=client.proof(unix_ts=int(time.time()) - 901))
        [frame] = await client.closed()
        assert code(frame) == "PermissionDenied"
        assert raw_venue.nonces == set()


async def test_an_unknown_account_is_refused(raw_venue, raw_connected):
    async with raw_connected(raw_venue) as client:
        await client.send("auth", hmac=client.proof(), account_id="someone else")
        assert [code(frame) for frame in await client.closed()] == ["PermissionDenied"]
        assert len(raw_venue.commands("auth")) == 1


@pytest.mark.parametrize(
    ("shape", "frames"),
    [
        ("authenticated_false", [{"authenticated": False}]),
        ("type_failed", [{"type": "auth", "result": "failed"}]),
        ("close", []),
    ],
)
async def test_the_other_refusals_of_a_login(raw_venue, raw_connected, shape, frames):
    raw_venue.variants.refusal = shape
    async with raw_connected(raw_venue) as client:
        await client.send("auth", jwt="eyJ.wrong")
        assert await client.closed() == frames
        assert len(raw_venue.commands("auth")) == 1


async def test_a_nonce_works_once_even_across_connections(raw_venue, raw_connected):
    async with raw_connected(raw_venue) as first, raw_connected(raw_venue) as second:
        once = first.proof()
        assert await first.ask("auth", hmac=once) == {"authenticated": True}
        await second.send("auth", hmac=once)
        assert [code(frame) for frame in await second.closed()] == ["PermissionDenied"]
        assert raw_venue.nonces == {once["nonce"]}


async def test_a_second_login_is_refused_and_harmless(raw_venue, raw_client):
    assert await raw_client.refusal("auth", hmac=raw_client.proof()) == "AlreadyAuthenticated"
    assert (await raw_client.add())["status"] == "ACK"
    assert len(raw_venue.book) == 1


async def test_a_connection_without_login_is_closed(raw_connected):
    async with QfexSimulator(auth_deadline=0.01) as venue, raw_connected(venue) as client:
        assert await client.closed() == []
        assert client.socket.close_code == 1008
        assert venue.received == []


async def test_commands_before_login_are_refused(raw_venue, raw_connected):
    async with raw_connected(raw_venue) as client:
        for command, params in (("add_order", {}), ("subscribe", {"channels": ["fills"]}), ("get_order", {})):
            assert await client.refusal(command, **params) == "PermissionDenied"
        await client.enter()
        assert code(await client.recv()) == "PermissionDenied"
        assert await client.login() == {"authenticated": True}
        assert raw_venue.book == {}


async def test_the_clock_skew_shows_in_the_date_header_and_judges_logins(raw_connected):
    async with QfexSimulator(clock_skew=7200) as venue, raw_connected(venue) as client:
        [date] = client.socket.response.headers.get_all("Date")
        assert parsedate_to_datetime(date).timestamp() - time.time() > 7000
        await client.send("auth", hmac=client.proof(unix_ts=int(time.time())))
        assert [code(frame) for frame in await client.closed()] == ["PermissionDenied"]
        assert venue.nonces == set()


# -- subscriptions


async def test_order_responses_need_a_subscription(raw_venue, raw_connected):
    async with raw_connected(raw_venue) as client:
        await client.login(channels=[])
        await client.enter()
        [row] = await client.orders()
        assert row["order_id"] in raw_venue.book
        assert await client.ask("subscribe", channels=["order_responses", "positions"]) == {
            "subscribed": "order_responses"
        }
        assert await client.recv() == {"subscribed": "positions"}
        assert (await client.add())["status"] == "ACK"
        assert await client.ask("unsubscribe", channels=["order_responses"]) == {"unsubscribed": "order_responses"}
        await client.enter()
        assert len(await client.orders()) == len(raw_venue.book) == 3


async def test_all_subscribed_connections_of_the_account_hear_and_no_other(raw_venue, raw_client, raw_trading):
    other = raw_venue.sub_accounts[0]
    async with raw_trading(raw_venue) as twin, raw_trading(raw_venue, account_id=other) as stranger:
        mine = await raw_client.add()
        assert (await twin.recv())["order_response"] == mine
        assert await stranger.orders() == []
        assert mine["user_id"] == raw_venue.account_id
        assert (await stranger.add())["user_id"] == other
        assert {entry.account for entry in raw_venue.book.values()} == {raw_venue.account_id, other}
