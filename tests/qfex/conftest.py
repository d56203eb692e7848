"""A raw client of the simulated QFEX, which shares no code with the adapter, and fixtures that connect it."""

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from adapters.qfex.simulator import QfexSimulator

ORDER = {
    "symbol": "AAPL-USD",
    "side": "BUY",
    "order_type": "LIMIT",
    "order_time_in_force": "GTC",
    "quantity": 10,
    "price": 150.5,
    "client_order_id": "mine",
}
STOP = ORDER | {"side": "SELL", "order_type": "STOP_LOSS", "price": 120, "quantity": 2}


class Client:
    """One socket, whole frames, no knowledge of the protocol but the login and a usual order."""

    def __init__(self, venue, socket):
        self.venue, self.socket = venue, socket

    async def send(self, command, **params):
        await self.socket.send(json.dumps({"type": command, "params": params}))

    async def recv(self):
        async with asyncio.timeout(5):
            return json.loads(await self.socket.recv())

    async def ask(self, command, **params):
        await self.send(command, **params)
        return await self.recv()

    async def refusal(self, command, **params):
        """The error code of the err that answers."""
        return (await self.ask(command, **params))["err"]["error_code"]

    async def closed(self):
        """Read until the connection ends, and return the frames that came first."""
        frames = []
        try:
            while True:
                frames.append(await self.recv())
        except ConnectionClosed:
            return frames

    # -- login

    def proof(self, nonce=None, unix_ts=None, **changes):
        nonce = nonce or secrets.token_hex(16)
        unix_ts = unix_ts or int(time.time() + self.venue.clock_skew)
        signed = hmac.new(self.venue.secret_key.encode(), f"{nonce}:{unix_ts}".encode(), hashlib.sha256).hexdigest()
        login = {"public_key": self.venue.public_key, "nonce": nonce, "unix_ts": unix_ts, "signature": signed}
        return login | changes

    async def login(self, channels=("order_responses", "fills"), **params):
        reply = await self.ask("auth", hmac=self.proof(), **params)
        for channel in channels:
            assert await self.ask("subscribe", channels=[channel]) == {"subscribed": channel}
        return reply

    # -- orders

    async def enter(self, **changes):
        """Send an order, read nothing."""
        await self.send("add_order", **ORDER | changes)

    async def add(self, **changes):
        """Enter an order and return the body of its first answer."""
        return (await self.ask("add_order", **ORDER | changes))["order_response"]

    async def add_stop(self, **changes):
        return (await self.ask("add_order", **STOP | changes))["order_response"]

    async def modify(self, order, **changes):
        """Modify an order that `add` returned."""
        target = {"symbol": order["symbol"], "order_id": order["order_id"], "side": order["side"]}
        wanted = target | {"order_type": order["type"], "reduce_only": False} | changes
        return (await self.ask("modify_order", **wanted))["order_response"]

    async def cancel(self, order_id, id_type="order_id", symbol="AAPL-USD"):
        """Cancel by any id and return the body of the first answer."""
        params = {"symbol": symbol, "order_id": order_id, "cancel_order_id_type": id_type}
        return (await self.ask("cancel_order", **params))["order_response"]

    async def orders(self, **params):
        """The open orders. Also a fence: whatever was sent before would arrive before."""
        return (await self.ask("get_user_orders", **params))["all_orders_response"]["orders"]

    async def updates(self, count):
        """The bodies of the next order_responses."""
        return [(await self.recv())["order_response"] for _ in range(count)]

    async def trade(self):
        """The bodies of the next order_response and the fill_response that follows it."""
        return (await self.recv())["order_response"], (await self.recv())["fill_response"]


@asynccontextmanager
async def _connected(venue):
    async with connect(venue.url, compression=None, close_timeout=1) as socket:
        yield Client(venue, socket)


@asynccontextmanager
async def _trading(venue, **params):
    async with _connected(venue) as client:
        await client.login(**params)
        yield client


@pytest.fixture(scope="session")
def raw_connected():
    """Connect to a venue: a context manager."""
    return _connected


@pytest.fixture(scope="session")
def raw_trading():
    """Connect to a venue, log in and subscribe: a context manager."""
    return _trading


@pytest.fixture
async def raw_venue():
    async with QfexSimulator() as simulator:
        yield simulator


@pytest.fixture
async def raw_client(raw_venue):
    async with _trading(raw_venue) as client:
        yield client
