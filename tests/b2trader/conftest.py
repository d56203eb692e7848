"""A raw HTTP client of the simulated B2TRADER, which repeats and follows nothing, and fixtures that connect it."""

import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from adapters.b2trader.simulator import B2TraderSimulator

ORDERS = "/frontoffice/api/v3/orders"
STOPS = "/frontoffice/api/v3/stop-orders"
V4 = "application/json; x-api-version=4.0"
OWN = object()

LIMIT = {
    "marketId": "spot.btc_usdt",
    "side": "Buy",
    "orderType": "Limit",
    "timeInForce": "Gtc",
    "requestedAmount": 0.02,
    "requestedPrice": 115193.35,
}
STOP = {
    "marketId": "spot.btc_usdt",
    "side": "Buy",
    "orderType": "Market",
    "activationPrice": 128000,
    "requestedAmount": 0.01,
    "timeInForce": "Ioc",
}
ORDER_FIELDS = (
    "marketId marketDisplayName orderId orderType side status source timeInForce commission requestedAmount "
    "remainingAmount requestedPrice executionPrice createdAt updatedAt rejectDetails cancellationDate"
)
STOP_FIELDS = (
    "marketId marketDisplayName orderId orderType side requestedPrice activationPrice requestedAmount "
    "timeInForce status createdAt updatedAt cancellationDate"
)


class Client:
    """Its answers are (status, decoded JSON or text); `headers` are those of the last one."""

    order_fields = frozenset(ORDER_FIELDS.split())
    stop_fields = frozenset(STOP_FIELDS.split())

    def __init__(self, venue, session):
        self.venue, self.session, self.bearer = venue, session, venue.token()

    async def call(self, method, path, body=None, *, token=OWN, account=OWN, kind=V4):
        bearer = self.bearer if token is OWN else token
        account = self.venue.account_id if account is OWN else account
        named = {"Authorization": bearer and f"Bearer {bearer}", "accountId": account, "Content-Type": kind}
        headers = {name: value for name, value in named.items() if value is not None}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        skip = ("Content-Type",)
        options = {"headers": headers, "data": data, "allow_redirects": False, "skip_auto_headers": skip}
        async with self.session.request(method, self.venue.url + path, **options) as response:
            self.headers = response.headers
            text = await response.text()
            return response.status, json.loads(text) if "json" in response.content_type else text

    async def place(self, order=LIMIT, path=ORDERS, **how):
        return await self.call("POST", path, {"order": order}, **how)

    async def place_stop(self, **change):
        return await self.place(STOP | change, STOPS)

    async def order(self, **change):
        """The id of a new limit order."""
        status, body = await self.place(LIMIT | change)
        assert status == 200
        return body["order"]["orderId"]

    async def stop(self, **change):
        """The id of a new stop order."""
        status, body = await self.place_stop(**change)
        assert status == 200
        return body["order"]["orderId"]

    async def cancel(self, order_id, path=ORDERS, **how):
        return await self.call("DELETE", f"{path}/{order_id}", **how)

    async def cancel_stop(self, stop_id):
        return await self.cancel(stop_id, STOPS)


@asynccontextmanager
async def _opened(**arguments):
    async with B2TraderSimulator(**arguments) as venue, aiohttp.ClientSession() as session:
        session._retry_connection = False
        yield Client(venue, session)


@pytest.fixture(scope="session")
def raw_opened():
    """A venue with these arguments and its client: a context manager."""
    return _opened


@pytest.fixture
async def raw_client():
    async with _opened() as client:
        yield client


@pytest.fixture
def raw_venue(raw_client):
    return raw_client.venue
