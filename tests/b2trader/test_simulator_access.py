"""Who may call the simulated B2TRADER: tokens, account and version headers, and how to reach it."""

import logging
import re

import jwt
import pytest

STOPS = "/frontoffice/api/v3/stop-orders"
EXCHANGE = "/frontoffice/api/v4/access-token"
ACCOUNTS = "/frontoffice/api/v3/accounts"


# -- tokens and headers


async def test_an_offline_token_buys_an_access_token(raw_venue, raw_client):
    status, body = await raw_client.call("POST", EXCHANGE, {"token": raw_venue.offline_token}, token=None, account=None)
    claims = jwt.decode(body["accessToken"], options={"verify_signature": False})
    assert (status, set(claims)) == (200, {"sub", "iat", "exp", "iss"})
    assert claims["exp"] - claims["iat"] == 3600
    assert raw_venue.tokens_issued == 2  # the client's own is the first
    raw_client.bearer = body["accessToken"]
    assert await raw_client.order() in raw_venue.orders
    assert [item.command for item in raw_venue.received] == ["POST access-token", "POST orders"]


@pytest.mark.parametrize(
    ("body", "status"), [({"token": "wrong"}, 401), ({"token": 7}, 400), ({}, 400), ([], 400), (b"\xff", 400)]
)
async def test_a_bad_exchange_buys_nothing(raw_venue, raw_client, body, status):
    assert (await raw_client.call("POST", EXCHANGE, body, token=None))[0] == status
    assert raw_venue.tokens_issued == 1
    assert len(raw_venue.commands("POST access-token")) == 1


@pytest.mark.parametrize("token", [None, "", "rubbish", "a.b.c", "\u00e9", "W" * 6000, jwt.encode({}, "k" * 32)])
async def test_only_issued_tokens_are_good(raw_venue, raw_client, token):
    status, body = await raw_client.place(token=token)
    assert (status, body["status"], body["title"]) == (401, 401, "Unauthorized")
    assert raw_client.headers["Content-Type"].startswith("application/problem+json")
    assert not raw_venue.orders


async def test_tokens_are_revoked_and_replaced_within_one_second(raw_venue, raw_client):
    key = await raw_client.order()
    raw_venue.expire_tokens()
    assert (await raw_client.cancel(key))[0] == 401
    assert raw_venue.orders[key].live
    raw_client.bearer = raw_venue.token()
    assert (await raw_client.cancel(key))[0] == 200
    assert not raw_venue.orders[key].live


async def test_a_token_past_its_life_is_expired(raw_opened):
    async with raw_opened(token_life=-1) as client:
        assert (await client.place())[0] == 401
        assert (await client.call("GET", ACCOUNTS))[0] == 401
        assert not client.venue.orders


async def test_the_account_header_is_required_and_must_be_ones_own(raw_venue, raw_client):
    key = await raw_client.order()
    status, body = await raw_client.cancel(key, account=None)
    assert (status, set(body), set(body["errors"][0])) == (400, {"errors"}, {"code", "message"})
    assert (await raw_client.cancel(key, account="0" * 24))[0] == 403
    assert raw_venue.orders[key].live
    sent = raw_venue.commands("DELETE orders")
    assert "accountid" not in sent[0].headers
    assert sent[1].headers["accountid"] == "0" * 24


async def test_accounts_need_a_token_and_no_account(raw_venue, raw_client):
    status, body = await raw_client.call("GET", ACCOUNTS, account=None, kind=None)
    assert (status, [item["accountId"] for item in body]) == (200, [raw_venue.account_id])
    assert re.fullmatch("[0-9a-f]{24}", raw_venue.account_id)
    assert (await raw_client.call("GET", ACCOUNTS, token=None))[0] == 401
    assert len(raw_venue.commands("GET accounts")) == 2


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (None, 200),
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json; x-api-version=3.0", 200),
        ('application/json;X-Api-Version="4.0"', 200),
        ("application/json; x-api-version=9.9", 400),
        ("application/json; x-api-version=", 400),
    ],
)
async def test_an_unknown_media_type_version_is_refused(raw_venue, raw_client, kind, status):
    key = await raw_client.stop()
    assert (await raw_client.cancel(key, STOPS, kind=kind))[0] == status
    assert raw_venue.stops[key].live is (status == 400)


# -- identity


async def test_credentials_and_environment_name_the_same_venue(raw_venue):
    assert raw_venue.credentials == {
        "base_url": raw_venue.url,
        "account_id": raw_venue.account_id,
        "offline_token": raw_venue.offline_token,
    }
    assert raw_venue.environment == {f"B2TRADER_{name.upper()}": text for name, text in raw_venue.credentials.items()}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", raw_venue.url)
    assert raw_venue.offline_token not in repr(raw_venue)
    assert not raw_venue.received


async def test_no_logger_tells_a_token(raw_venue, raw_client, caplog):
    with caplog.at_level(logging.DEBUG):
        assert (await raw_client.call("POST", EXCHANGE, {"token": raw_venue.offline_token}))[0] == 200
        key = await raw_client.order()
        assert (await raw_client.cancel(key, token="W" * 100))[0] == 401
    assert raw_venue.orders[key].live
    assert not any(secret in caplog.text for secret in (raw_venue.offline_token, raw_client.bearer, "W" * 100))
