"""The REST endpoints: from a request to its answer, and the faults that the venue can be told to have.

One request, in this order; whatever refuses it, its answer passes the gate like any other:

1. It is read and recorded. A deaf venue stops here.
2. `fail_next`, or a fault that strikes before execution, answers in the venue's place; nothing is executed.
3. API key, timestamp, signature, parameters; then what `refuse` asked for.
4. The book executes it. The answer is written down now, whenever it may be sent, unless a fault has another in its place.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, Final

from aiohttp import web
from attrs import Factory, define, field

from adapters.ccxt_bridge.simulator import parameters
from adapters.ccxt_bridge.simulator.access import Call, check, read_call
from adapters.ccxt_bridge.simulator.bench import CcxtBench
from adapters.ccxt_bridge.simulator.book import Book, Market, Order, markets
from adapters.ccxt_bridge.simulator.refusal import Refusal, in_place_of
from router.testing import QUIET, Fate, Fault, Point, Received, Simulator, pages
from router.testing.faults import HTTP_CANNOT
from router.testing.strike import Strike

__all__ = ["CcxtSimulator"]

LARGEST_BODY: Final = 64 * 1024
REDIRECTED: Final = "/redirected"
SIGNED: Final = frozenset({"POST order", "DELETE order", "GET order", "GET openOrders", "GET getall"})
CANNOT: Final = HTTP_CANNOT | {Fault.EXPIRED_TOKEN: "its keys do not expire"}


@define(eq=False, kw_only=True)
class CcxtSimulator(Simulator):
    """A simulated Binance spot venue with one account. What is not an identity is a switch: set it at any time.

    `switches` with `only=None` apply to placing and cancelling; so do `fail_next` and `faults`.
    """

    TRADING: ClassVar[frozenset[str]] = frozenset({"POST order", "DELETE order"})
    COMMANDS: ClassVar[frozenset[str]] = SIGNED | {"GET exchangeInfo", "GET time"}

    api_key: str = field(factory=lambda: secrets.token_hex(32), repr=False)
    secret: str = field(factory=lambda: secrets.token_hex(32), repr=False)
    markets: dict[str, Market] = field(factory=markets, repr=False)
    fail_next: list[int | Refusal] = field(factory=list)
    """What answers the next commands in the venue's place: an error, or a status. 302 leads to another path of this server."""
    retry_after: int | None = 1
    """Seconds, in the header of a 429 or 418. None: there is no such header."""
    headers: dict[str, str] = field(factory=dict, repr=False)
    """What every answer carries besides: cookies, for example."""

    book: Book = field(init=False, default=Factory(lambda self: Book(self._now, self.markets), takes_self=True))
    _runner: web.AppRunner | None = field(default=None, init=False, repr=False)
    _stopped: asyncio.Event = field(factory=asyncio.Event, init=False, repr=False)
    _port: int = field(default=0, init=False)
    _refusals: list[tuple[str, Refusal]] = field(factory=list, init=False, repr=False)
    _bench: CcxtBench = field(init=False, repr=False, default=Factory(CcxtBench, takes_self=True))

    # -- where it is

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT, once started."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def credentials(self) -> dict[str, Any]:
        keys = {"apiKey": self.api_key, "secret": self.secret}
        return {"exchange": "binance", "credentials": keys, "url": self.url, "market_type": "spot"}

    @property
    def environment(self) -> dict[str, str]:
        return {
            "CCXT_EXCHANGE": "binance",
            "CCXT_API_KEY": self.api_key,
            "CCXT_SECRET": self.secret,
            "CCXT_MARKET_TYPE": "spot",
            "CCXT_URL": self.url,
        }

    @property
    def bench(self) -> CcxtBench:
        return self._bench

    async def start(self) -> None:
        """Listen, on the same port as before if this is a restart; the book is as it was."""
        self._stopped = asyncio.Event()
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, logger=QUIET, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.release(fate=Fate.DROP)
        self._stopped.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def drop_connections(self) -> None:
        """End every open connection."""
        server = self._runner.server if self._runner else None
        for connection in list(server.connections) if server else []:
            if connection.transport is not None:
                connection.transport.abort()

    def excuse(self, fault: Fault, command: str) -> str:  # noqa: ARG002 - all commands go over HTTP
        return CANNOT.get(fault, "")

    def _now(self) -> int:
        return int((time.time() + self.faults.skew) * 1000)

    # -- what can be seen and done from outside the wire

    @property
    def orders(self) -> dict[str, Order]:
        return self.book.orders

    @property
    def connections(self) -> int:
        """How many are open now."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    @property
    def redirects_followed(self) -> int:
        """How many requests came because a client followed a 302."""
        return sum(item.message["path"].startswith(REDIRECTED) for item in self.received)

    def fill(self, order_id: str, quantity: Decimal | str | int | None = None) -> Order:
        """Fill an open order (None: all that remains)."""
        return self.book.fill(order_id, quantity)

    def refuse(self, command: str, refusal: Refusal) -> None:
        """Refuse the next one of this command that may be asked at all, and execute nothing."""
        self._refusals.append((command, refusal))

    # -- one request

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = await read_call(request)
        strike = await self.meet(call.command, request.transport)
        if await strike.arrive() is not Fate.SEND:
            return self._hang_up(request)
        await self.record(Received(0, call.command, {"path": call.path, **call.asked}, call.headers))
        switchable = call.command in self.TRADING or self.switches.only is not None
        fate = Fate.DROP if switchable and self.is_deaf(call.command) else strike.read()
        if fate is not Fate.SEND:
            return await self._unanswered(request, fate)
        response = self._answer(call, strike, switchable=switchable)
        fate = await self.gate(call.command) if switchable else Fate.SEND
        if fate is Fate.SEND:
            fate = await strike.execute()
        if fate is not Fate.SEND:
            return await self._unanswered(request, fate)
        response.headers.update(self.headers)
        try:
            return await pages.put(request, response, strike)
        finally:
            strike.answered()

    async def _unanswered(self, request: web.Request, fate: Fate) -> web.StreamResponse:
        if fate is not Fate.HANG_UP:
            await self._stopped.wait()  # nothing is said for as long as this server lives
        return self._hang_up(request)

    def _hang_up(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # never sent: the transport is closed

    def _answer(self, call: Call, strike: Strike, *, switchable: bool) -> web.Response:
        if switchable and self.fail_next and self.switches.cover(call.command):
            return self._override(self.fail_next.pop(0), call)
        given = pages.in_place(strike)
        instead = self._override(given, call) if isinstance(given, int) else given
        if instead is not None and strike.fault is Fault.THROTTLED_NO_HINT:
            instead.headers.pop("Retry-After", None)
        if instead is not None and strike.fault is not None and strike.fault.point is Point.READ:
            return instead
        try:
            answer = web.json_response(self._execute(call))
        except Refusal as refusal:
            answer = refusal.response()
        return answer if instead is None else instead

    def _override(self, given: int | Refusal, call: Call) -> web.Response:
        refusal = in_place_of(given) if isinstance(given, int) else given
        response = refusal.response()
        if refusal.status in {418, 429} and self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        if 300 <= refusal.status < 400:
            response.headers["Location"] = f"{REDIRECTED}{call.path}"
        return response

    def _execute(self, call: Call) -> Any:
        if call.command in SIGNED:
            check(call, self.api_key, self.secret, self._now())
        parameters.check(call.command, call.asked)
        self._decreed(call.command)
        endpoints: dict[str, Callable[[], Any]] = {
            "POST /api/v3/order": lambda: self.book.place(call.asked).placed(call.asked.get("newOrderRespType")),
            "DELETE /api/v3/order": lambda: self.book.cancel(call.asked).cancelled(),
            "GET /api/v3/order": lambda: self.book.query(call.asked).json(),
            "GET /api/v3/openOrders": lambda: [order.json() for order in self.book.open(call.asked)],
            "GET /api/v3/time": lambda: {"serverTime": self._now()},
            "GET /api/v3/exchangeInfo": lambda: self._info([market.json() for market in self.markets.values()]),
            "GET /fapi/v1/exchangeInfo": lambda: self._info([]),
            "GET /dapi/v1/exchangeInfo": lambda: self._info([]),
            "GET /sapi/v1/margin/allPairs": list,
            "GET /sapi/v1/margin/isolated/allPairs": list,
            "GET /sapi/v1/capital/config/getall": list,
        }
        endpoint = f"{call.command.partition(' ')[0]} {call.path}"
        if endpoint not in endpoints:
            raise Refusal(-1000, "Not found", 404)
        return endpoints[endpoint]()

    def _decreed(self, command: str) -> None:
        """Raise what `refuse` has asked for."""
        decreed = next((each for each in self._refusals if each[0] == command), None)
        if decreed is not None:
            self._refusals.remove(decreed)
            raise decreed[1]

    def _info(self, symbols: list[dict[str, Any]]) -> dict[str, Any]:
        return {"timezone": "UTC", "serverTime": self._now(), "rateLimits": [], "exchangeFilters": []} | {
            "symbols": symbols
        }
