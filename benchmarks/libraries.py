"""What the Router is compared with: the usual libraries, each as its users would write it, and ccxt.pro."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar, Final, Self

from benchmarks.peers import CarelessPeer, Peer, RawPeer, WrongAnswerError, request
from benchmarks.venue import Venue

__all__ = ["CCXT", "PEERS", "RAW", "WEBSOCKETS", "CcxtPeer", "WebsocketsPeer"]

RAW, WEBSOCKETS, CCXT = "raw Protocol", "websockets", "ccxt.pro (Binance)"
MARKET: Final = {
    **dict.fromkeys(("base", "baseId"), "AAPL"),
    **dict.fromkeys(("quote", "quoteId"), "USDT"),
    "id": "AAPLUSDT",
    "symbol": "AAPL/USDT",
    "type": "spot",
    "spot": True,
}


class JsonPeer:
    """What they have in common."""

    def __init__(self) -> None:
        orjson = import_module("orjson")
        self._dumps, self._loads = orjson.dumps, orjson.loads
        self._loop = asyncio.get_running_loop()
        self._answers: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._reading: asyncio.Task[None] | None = None

    def heard(self, body: str | bytes) -> None:
        said = self._loads(body)["order_response"]
        if (future := self._answers.pop(said["order_id"], None)) is not None:
            future.set_result(said)

    async def cancel(self, order_id: str) -> None:
        future = self._answers[order_id] = self._loop.create_future()
        await self.send(request(order_id))
        said = await future
        if said["status"] != "CANCELLED":
            raise WrongAnswerError(said)

    async def send(self, message: Mapping[str, Any]) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading


class WebsocketsPeer(JsonPeer):
    """websockets without compression; a task reads."""

    needs: ClassVar[tuple[str, ...]] = ("websockets", "orjson")

    @classmethod
    async def open(cls, venue: Venue) -> Self:
        peer = cls()
        peer._connection = await import_module("websockets").connect(venue.url, compression=None)
        peer._reading = asyncio.create_task(peer._read())
        return peer

    _connection: Any

    async def _read(self) -> None:
        while True:
            self.heard(await self._connection.recv(decode=False))

    async def send(self, message: Mapping[str, Any]) -> None:
        await self._connection.send(self._dumps(message), text=True)

    async def close(self) -> None:
        await super().close()
        await self._connection.close()


class AiohttpPeer(JsonPeer):
    """aiohttp's WebSocket client; a task reads."""

    needs: ClassVar[tuple[str, ...]] = ("aiohttp", "orjson")
    _session: Any
    _connection: Any

    @classmethod
    async def open(cls, venue: Venue) -> Self:
        peer = cls()
        peer._session = import_module("aiohttp").ClientSession()
        peer._connection = await peer._session.ws_connect(venue.url, compress=0)
        peer._reading = asyncio.create_task(peer._read())
        return peer

    async def _read(self) -> None:
        async for message in self._connection:
            self.heard(message.data)

    async def send(self, message: Mapping[str, Any]) -> None:
        await self._connection.send_str(self._dumps(message).decode())

    async def close(self) -> None:
        await super().close()
        await self._connection.close()
        await self._session.close()


class PicowsPeer(JsonPeer):
    """picows, which calls back."""

    needs: ClassVar[tuple[str, ...]] = ("picows", "orjson")
    _transport: Any

    @classmethod
    async def open(cls, venue: Venue) -> Self:
        picows, peer = import_module("picows"), cls()
        peer._text = picows.WSMsgType.TEXT

        class Listener(picows.WSListener):  # type: ignore[misc, name-defined]  # known at run time only
            def on_ws_frame(self, transport: Any, frame: Any) -> None:  # noqa: ARG002 - its signature
                if frame.msg_type == peer._text:
                    peer.heard(frame.get_payload_as_memoryview())

        peer._transport, _ = await picows.ws_connect(Listener, venue.url)
        return peer

    _text: Any

    async def send(self, message: Mapping[str, Any]) -> None:
        self._transport.send(self._text, self._dumps(message))

    async def close(self) -> None:
        self._transport.disconnect()
        await self._transport.wait_disconnected()


class CcxtPeer:
    """ccxt.pro: cancelOrderWs of Binance, without its throttle; it signs each request, as Binance wants it."""

    needs: ClassVar[tuple[str, ...]] = ("ccxt", "orjson")

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange

    @classmethod
    async def open(cls, venue: Venue) -> Self:
        binance = import_module("ccxt.pro.binance").binance
        exchange = binance({"apiKey": "k" * 64, "secret": "s" * 64, "enableRateLimit": False})
        exchange.urls["api"]["ws"]["ws-api"]["spot"] = venue.url
        exchange.set_markets([exchange.safe_market_structure(MARKET)])
        return cls(exchange)

    async def cancel(self, order_id: str) -> None:
        order = await self.exchange.cancel_order_ws(order_id, "AAPL/USDT")
        if order["id"] != order_id or order["status"] != "canceled":
            raise WrongAnswerError(order)

    def sign(self) -> None:
        """What it does for each request because Binance wants it, and the Router's venue does not."""
        self.exchange.sign_params({"orderId": "1" * 19, "returnRateLimits": False, "symbol": MARKET["id"]})

    async def close(self) -> None:
        await self.exchange.close()


PEERS: Final[dict[str, type[Peer]]] = {
    RAW: RawPeer,
    "raw Protocol, mask of zeros": CarelessPeer,
    WEBSOCKETS: WebsocketsPeer,
    "aiohttp ws": AiohttpPeer,
    "picows": PicowsPeer,
    CCXT: CcxtPeer,
}
