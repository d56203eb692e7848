"""A raw client of the simulated DMEX, which shares no code with the adapter, and fixtures that connect it."""

import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession
from eth_account import Account
from eth_account.messages import encode_defunct
from websockets.asyncio.client import connect

from adapters.dmex.simulator import DmexSimulator
from router.testing import QUIET

KEY = "0x" + "11" * 32


class Client:
    """One socket, whole frames, and the frames that its key signs."""

    def __init__(self, socket):
        self.socket = socket

    async def tell(self, *frames):
        for frame in frames:
            await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def read(self):
        return json.loads(await self.socket.recv())

    async def ask(self, frame):
        await self.tell(frame)
        return await self.read()

    async def cancel(self, order_hash, key=KEY, /, **changed):
        return await self.ask(self.cancel_frame(order_hash, key, **changed))

    async def create(self, order_hash, key=KEY, /, **changed):
        return await self.ask(self.create_frame(order_hash, key, **changed))

    def address(self, key=KEY):
        return str(Account.from_key(key).address)

    def signature(self, order_hash, key=KEY):
        signed = Account.from_key(key).sign_message(encode_defunct(hexstr=order_hash))
        return {"v": signed.v, "r": f"0x{signed.r:064x}", "s": f"0x{signed.s:064x}"}

    def cancel_frame(self, order_hash, key=KEY, /, **changed):
        return {"op": "cancel_order", "data": {"order_hash": order_hash, **self.signature(order_hash, key), **changed}}

    def create_frame(self, order_hash, key=KEY, /, **changed):
        data = {"hash": order_hash, "user_address": self.address(key), "base_token": "0x" + "ab" * 20}
        data |= {"asset": "btcusd", "amount": "1000000000", "price": "10000000000000", "side": True, "nonce": 7}
        data |= {"leverage": "1000000000", "closing_order": False, **self.signature(order_hash, key)}
        data |= {"remaining_amount": "1000000000", "closed": False, "stop": False, "stop_price": "0", "stopped": False}
        data |= {"is_market": False, "post_only": True, "decimals": 2, "amount_dec": 4}
        data |= {"margin_currency_symbol": "USDC", "replace_hash": "0x" + "0" * 64}
        return {"op": "create_order", "data": data | changed}


@asynccontextmanager
async def _connected(venue):
    async with connect(venue.url, compression=None, logger=QUIET) as socket:
        yield Client(socket)


async def _rows(venue, user):
    async with (
        ClientSession() as session,
        session.get(venue.rest_url + "/api/orders", params={"user": user}) as response,
    ):
        return response.status, await response.json()


@pytest.fixture(scope="session")
def raw_connected():
    """Connect to a venue: a context manager."""
    return _connected


@pytest.fixture(scope="session")
def raw_rows():
    """Ask a venue for a user's orders: the status and the body."""
    return _rows


@pytest.fixture
async def raw_venue():
    async with DmexSimulator(private_key=KEY) as simulator:
        yield simulator


@pytest.fixture
async def raw_client(raw_venue):
    async with _connected(raw_venue) as client:
        yield client
