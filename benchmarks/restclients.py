"""Four clients that cancel orders over REST, each as somebody would write it: kept connections, status and body checked."""

from __future__ import annotations

from contextlib import AsyncExitStack
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from adapters.b2trader import B2Trader
from benchmarks.rawrest import RawConnection
from benchmarks.restvenue import STOPS, RestVenue
from router import IdKind, Outcome, Router

__all__ = ["BareAiohttp", "Ccxt", "Raw", "RouterClient", "Used"]

ACCOUNT: Final = "67d0456f8c7b1108e4cf5d46"
TOKEN: Final = "benchmark." + "0123456789abcdef" * 40  # as long as a JWT
HEADERS: Final = {
    "Accept": "*/*",
    "accountId": ACCOUNT,
    "Content-Type": "application/json; x-api-version=4.0",
    "Authorization": f"Bearer {TOKEN}",
}


class Used(msgspec.Struct):
    """What the venue has spent. cpu: nanoseconds; served: requests."""

    cpu: int
    served: int


class Client:
    """What all have in common: something that is open for as long as the block lasts."""

    def __init__(self, venue: RestVenue) -> None:
        self._venue = venue

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _open(self, stack: AsyncExitStack) -> None:
        raise NotImplementedError


class RouterClient(Client):
    """The Router as everybody uses it. The venue publishes no rate, so that nothing paces the adapter."""

    async def _open(self, stack: AsyncExitStack) -> None:
        venue = B2Trader(self._venue.url, ACCOUNT, TOKEN)
        self._router = await stack.enter_async_context(Router({"b2trader": venue}))

    async def cancel(self, _flight: int, order_id: str) -> None:
        report = await self._router.cancel("b2trader", order_id, IdKind.STOP_ORDER)
        if report.outcome is not Outcome.CONFIRMED:
            raise RuntimeError(f"a cancel came to {report}")


class BareAiohttp(Client):
    """aiohttp with nothing around it."""

    async def _open(self, stack: AsyncExitStack) -> None:
        self._session = await stack.enter_async_context(aiohttp.ClientSession(headers=HEADERS))
        self._url = self._venue.url + STOPS.decode()

    async def cancel(self, _flight: int, order_id: str) -> None:
        async with self._session.delete(self._url + order_id) as response:
            body = msgspec.json.decode(await response.read())
            if response.status != 200 or body["order"]["orderId"] != order_id:
                raise RuntimeError(f"a cancel came to {response.status}: {body}")


class Raw(Client):
    """One kept connection for each in flight."""

    def __init__(self, venue: RestVenue, flights: int) -> None:
        super().__init__(venue)
        self._flights = flights

    async def _open(self, stack: AsyncExitStack) -> None:
        self._connections = [await RawConnection.open(self._venue.port) for _ in range(self._flights)]
        for connection in self._connections:
            stack.callback(connection.close)
        fields = {"Host": f"127.0.0.1:{self._venue.port}", **HEADERS}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._head = b"DELETE " + STOPS + b"%b HTTP/1.1\r\n" + lines.encode() + b"\r\n"

    async def cancel(self, flight: int, order_id: str) -> None:
        await self._connections[flight].cancel(self._head, order_id)

    async def used(self) -> Used:
        _, body = await self._connections[0].ask(b"GET /used HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return msgspec.json.decode(body, type=Used)


class Ccxt(Client):
    """ccxt's own cancel_order() of a Binance spot order, with its throttle switched off and the markets known."""

    async def _open(self, stack: AsyncExitStack) -> None:
        binance = import_module("ccxt.async_support").binance
        self._exchange: Any = binance({"apiKey": "benchmark", "secret": "benchmark", "enableRateLimit": False})
        stack.push_async_callback(self._exchange.close)
        self._exchange.urls["api"]["private"] = f"{self._venue.url}/api/v3"
        market = {"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True}
        kinds = dict.fromkeys(("swap", "future", "option", "contract", "linear", "inverse"), False)
        numbers = {"precision": {"amount": 0.00001, "price": 0.01}, "limits": {}}
        self._exchange.set_markets([market | kinds | numbers])

    async def cancel(self, _flight: int, order_id: str) -> None:
        order = await self._exchange.cancel_order(order_id, "BTC/USDT")
        if order["id"] != order_id or order["status"] != "canceled":
            raise RuntimeError(f"a cancel came to {order}")
