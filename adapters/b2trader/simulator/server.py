"""The REST endpoints: from a request to its answer, and the faults that the venue can be told to have.

One request, in this order; whatever refuses it, its answer passes the gate like any other:

1. It is read and recorded. A deaf venue stops here.
2. `fail_next`, or a fault that strikes before execution, answers in the venue's place; nothing is executed.
3. Bearer token (401), accountId header (missing 400, foreign 403), media-type version (unknown 400), body (400), id (404).
4. The desk executes it. The answer is written down now, whenever it may be sent, unless a fault has another in its place.

The venue documents no status code per error: those above are assumed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, Final, Literal

from aiohttp import web
from attrs import Factory, define, field

from adapters.b2trader.simulator.bench import B2TraderBench
from adapters.b2trader.simulator.calls import REDIRECTED, Call, read_call
from adapters.b2trader.simulator.desk import Desk, Family, StopCancelMode
from adapters.b2trader.simulator.errors import ErrorStyle, error
from adapters.b2trader.simulator.formats import TICKS, ticks
from adapters.b2trader.simulator.markets import Market, markets
from adapters.b2trader.simulator.orders import Order, Stop
from adapters.b2trader.simulator.refusal import Refusal, invalid, not_found, unauthorized
from adapters.b2trader.simulator.tickets import read_ticket
from adapters.b2trader.simulator.tokens import Tokens
from router.testing import QUIET, Fate, Fault, Point, Received, Simulator, pages
from router.testing.faults import HTTP_CANNOT
from router.testing.strike import Strike

__all__ = ["B2TraderSimulator"]

LARGEST_BODY: Final = 64 * 1024
VERSIONS: Final = frozenset({None, "3.0", "4.0"})
TRADING: Final = frozenset({"orders", "stop-orders"})
FAMILIES: Final[dict[str, Family]] = {"v3": "spot", "cfd/v4": "cfd", "perpetual/v4": "perp"}


@define(eq=False, kw_only=True)
class B2TraderSimulator(Simulator):
    """A simulated B2TRADER venue with one account. What is not an identity is a switch: set it at any time.

    `switches` with `only=None` apply to orders and stop orders, not to access-token and accounts; so do `fail_next` and
    `faults`.
    """

    TRADING: ClassVar[frozenset[str]] = frozenset(f"{verb} {route}" for verb in ("POST", "DELETE") for route in TRADING)
    COMMANDS: ClassVar[frozenset[str]] = TRADING | {"POST access-token", "GET accounts"}

    account_id: str = field(factory=lambda: secrets.token_hex(12))
    offline_token: str = field(factory=lambda: secrets.token_urlsafe(32), repr=False)
    token_life: float = 3600.0
    """Seconds an access token lives, from minting (documented: 60 minutes). At most 0: it is born expired."""
    markets: dict[str, Market] = field(factory=markets, repr=False)
    clock: Callable[[], int] = field(default=ticks, repr=False)
    """Now, in 100 ns since 1970: what `createdAt` and the ids are made of (later: `desk.clock`)."""

    stop_cancel_mode: StopCancelMode = "rejected"
    """What a cancelled stop says: status Rejected without a date (as in the documented sample), its old status with a
    cancellationDate ("dated"), or nothing new ("unchanged"). It is gone in each."""
    stop_cancel_ignored: bool = False
    """Answer a stop's DELETE with 200 and its unchanged self, and let it wait on."""
    activated_visible: bool = True
    """Whether DELETE of an activated stop answers 200 with status Activated; else 404."""
    order_cancel_status: str = "Cancelled"
    """The status a DELETE leaves an order in. "Completed" fills it first; an open status leaves it open."""
    funds_mode: Literal["400", "200"] = "400"
    """How lack of funds is told: an error, or a 200 with status Rejected. It strikes above a market's max_base_amount."""
    reject_next: int = 0
    """How many of the next valid placements lack funds whatever their size."""
    error_style: ErrorStyle | None = None
    """The body of every error. None: {"errors": [...]} with 400, ProblemDetails with the others."""
    fail_next: list[int] = field(factory=list)
    """Statuses that answer the next commands in the venue's place. 302 leads to another path of this server."""
    versions_required: bool = False
    """Whether the x-api-version of the documents must be there, where they have one. Else it may be left out."""
    retry_after: int = 1
    """Seconds, in the header of a 429."""

    desk: Desk = field(init=False, default=Factory(lambda self: Desk(self.markets, self._ticks), takes_self=True))
    _tokens: Tokens = field(
        init=False, repr=False, default=Factory(lambda self: Tokens(self._seconds), takes_self=True)
    )
    _runner: web.AppRunner | None = field(default=None, init=False, repr=False)
    _stopped: asyncio.Event = field(factory=asyncio.Event, init=False, repr=False)
    _refusals: list[tuple[str, str]] = field(factory=list, init=False, repr=False)
    _port: int = field(default=0, init=False)
    _bench: B2TraderBench = field(init=False, repr=False, default=Factory(B2TraderBench, takes_self=True))

    # -- where it is

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT, once started."""
        return f"http://127.0.0.1:{self._port}" if self._port else ""

    @property
    def credentials(self) -> dict[str, Any]:
        return {"base_url": self.url, "account_id": self.account_id, "offline_token": self.offline_token}

    @property
    def environment(self) -> dict[str, str]:
        return {f"B2TRADER_{name.upper()}": value for name, value in self.credentials.items()}

    @property
    def bench(self) -> B2TraderBench:
        return self._bench

    async def start(self) -> None:
        """Listen, on the same port as before if this is a restart."""
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

    def excuse(self, fault: Fault, command: str) -> str:  # noqa: ARG002 - all commands go over HTTP
        return HTTP_CANNOT.get(fault, "")

    def _ticks(self) -> int:
        return self.clock() + int(self.faults.skew * TICKS)

    def _seconds(self) -> float:
        return time.time() + self.faults.skew

    # -- what can be seen and done from outside the wire

    @property
    def orders(self) -> dict[str, Order]:
        return self.desk.orders

    @property
    def stops(self) -> dict[str, Stop]:
        return self.desk.stops

    @property
    def connections(self) -> int:
        """How many are open now."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    @property
    def redirects_followed(self) -> int:
        """How many requests came because a client followed a 302."""
        return sum(item.command.endswith(f" {REDIRECTED[1:]}") for item in self.received)

    @property
    def tokens_issued(self) -> int:
        return self._tokens.issued

    def token(self) -> str:
        """A fresh access token, as the exchange would issue it."""
        return self._tokens.issue(self.account_id, self.token_life)

    def expire_tokens(self) -> None:
        """Every token issued so far is invalid from now on, whatever its `exp`."""
        self._tokens.revoke()

    def activate(self, stop_id: str) -> Order:
        """The market reaches a waiting stop: the order it becomes."""
        return self.desk.activate(stop_id)

    def refuse_activation(self, stop_id: str) -> None:
        """The market reaches a waiting stop, whose order is then refused."""
        self.desk.refuse_activation(stop_id)

    def fill(self, order_id: str, amount: Decimal | str | int | None = None) -> Order:
        """Fill an open order by this base amount (None: all that remains)."""
        return self.desk.fill(order_id, amount)

    def refuse(self, method: str, word: str) -> None:
        """Refuse the next POST or DELETE about an order: by an HTTP status, a POST also by the status Rejected, a DELETE of an
        order by the open status that it leaves it in.
        """
        self._refusals.append((method, word))

    async def drop_connections(self) -> None:
        """Cut every open connection, whatever is under way on it. Returns when they are gone."""
        server = self._runner.server if self._runner else None
        for handler in server.connections if server else []:
            if handler.transport is not None:
                handler.transport.abort()
        await asyncio.sleep(0)  # in which the loop tells the server that they are lost

    # -- one request

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = await read_call(request)
        strike = await self.meet(call.command, request.transport)
        if await strike.arrive() is not Fate.SEND:
            return self._hang_up(request)
        message = {"path": call.raw_path, "body": call.body}
        await self.record(Received(0, call.command, message, call.headers))
        switchable = call.route in TRADING or self.switches.only is not None
        fate = Fate.DROP if switchable and self.is_deaf(call.command) else strike.read()
        if fate is not Fate.SEND:
            return await self._unanswered(request, fate)
        response = self._answer(call, strike, switchable=switchable)
        fate = await self.gate(call.command) if switchable else Fate.SEND
        if fate is Fate.SEND:
            fate = await strike.execute()
        if fate is not Fate.SEND:
            return await self._unanswered(request, fate)
        return await self._send(request, response, strike)

    async def _send(self, request: web.Request, response: web.Response, strike: Strike) -> web.StreamResponse:
        try:
            return await pages.put(request, response, strike)
        finally:
            strike.answered()

    async def _unanswered(self, request: web.Request, fate: Fate) -> web.StreamResponse:
        return self._hang_up(request) if fate is Fate.HANG_UP else await self._silence(request)

    async def _silence(self, request: web.Request) -> web.StreamResponse:
        """Say nothing for as long as this server lives."""
        await self._stopped.wait()
        return self._hang_up(request)

    def _hang_up(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # never sent: the transport is closed

    def _answer(self, call: Call, strike: Strike, *, switchable: bool) -> web.Response:
        if switchable and self.fail_next and self.switches.cover(call.command):
            return self._override(self.fail_next.pop(0), call)
        instead = self._instead(call, strike)
        if instead is not None and strike.fault is not None and strike.fault.point is Point.READ:
            return instead
        try:
            answer = web.json_response(self._execute(call))
        except Refusal as refusal:
            answer = error(refusal, self.error_style)
        return answer if instead is None else instead

    def _instead(self, call: Call, strike: Strike) -> web.Response | None:
        """What a fault answers in the venue's place."""
        if strike.fault is Fault.EXPIRED_TOKEN:
            self.expire_tokens()
            return error(unauthorized(), self.error_style)
        given = pages.in_place(strike)
        response = self._override(given, call) if isinstance(given, int) else given
        if response is not None and strike.fault is Fault.THROTTLED_NO_HINT:
            del response.headers["Retry-After"]
        return response

    def _override(self, status: int, call: Call) -> web.Response:
        response = error(Refusal(status, "overridden", "Overridden"), self.error_style)
        if status == 429:
            response.headers["Retry-After"] = str(self.retry_after)
        if 300 <= status < 400:
            response.headers["Location"] = f"{REDIRECTED}{call.raw_path}"
        return response

    def _execute(self, call: Call) -> Any:
        if call.raw is None:
            raise Refusal(413, "too_large", "Payload Too Large")
        match call.method, call.base, call.route, call.key:
            case "POST", "v4", "access-token", None:
                return self._exchange(call)
            case "GET", "v3", "accounts", None:
                self._tokens.check(call.headers.get("authorization", ""))
                return [self._account()]
            case "POST", "v3" | "cfd/v4" | "perpetual/v4", "orders" | "stop-orders", None:
                self._admit(call)
                rejected = self._decreed("POST") is not None
                return {"order": self._place(call, FAMILIES[call.base], call.raw, rejected).json()}
            case "DELETE", "v3", "orders" | "stop-orders", str(key):
                self._admit(call)
                return {"order": self._cancel(call, key, self._decreed("DELETE")).json()}
        raise not_found()

    # -- who asks

    def _exchange(self, call: Call) -> dict[str, str]:
        token = call.body.get("token") if isinstance(call.body, dict) else None
        if not isinstance(token, str):
            raise invalid("token is required")
        if token != self.offline_token:
            raise unauthorized()
        return {"accessToken": self.token()}

    def _admit(self, call: Call) -> None:
        self._tokens.check(call.headers.get("authorization", ""))
        account = call.headers.get("accountid")
        if not account:
            raise invalid("accountId header is required")
        if account != self.account_id:
            raise Refusal(403, "forbidden", "Forbidden")
        if call.version not in VERSIONS:
            raise Refusal(400, "unsupported_api_version", "x-api-version is unknown")
        if self.versions_required and call.version != "4.0" and (call.route == "stop-orders" or call.base != "v3"):
            raise Refusal(400, "unsupported_api_version", "x-api-version is not the documented one")

    def _account(self) -> dict[str, Any]:
        return {
            "accountId": self.account_id,
            "accountName": "Simulated",
            "accountType": "Hedging",
            "totalBalanceInRAT": "1000000",
            "isCopyTradingAccount": False,
        }

    # -- what is asked

    def _decreed(self, method: str) -> str | None:
        """Raise the HTTP status that `refuse` has asked for, or return an order's."""
        refusal = next((each for each in self._refusals if each[0] == method), None)
        if refusal is None:
            return None
        self._refusals.remove(refusal)
        if refusal[1].isdigit():
            raise Refusal(int(refusal[1]), "refused", "Refused")
        return refusal[1]

    def _place(self, call: Call, family: Family, body: bytes, rejected: bool) -> Order | Stop:
        if call.nested:
            raise invalid("nested too deeply")
        ticket = read_ticket(body)
        place = self.desk.place if call.route == "orders" else self.desk.place_stop
        if rejected:
            return place(family, ticket, reject="Refused")
        if not self.desk.exceeds(family, ticket):
            if not self.reject_next:
                return place(family, ticket)
            self.reject_next -= 1
        if self.funds_mode == "400":
            raise Refusal(400, "insufficient_funds", "Insufficient funds")
        return place(family, ticket, reject="InsufficientFunds")

    def _cancel(self, call: Call, key: str, decreed: str | None) -> Order | Stop:
        if call.route == "orders":
            return self.desk.cancel(key, decreed or self.order_cancel_status)
        return self.desk.cancel_stop(
            key, self.stop_cancel_mode, ignored=self.stop_cancel_ignored, activated_visible=self.activated_visible
        )
