"""A B2TRADER venue on 127.0.0.1, for tests: its tokens, its REST order endpoints, and the faults it can be told to have.

One request, in this order; whatever refuses it, its answer passes the gate like any other:

1. It is read and recorded. A deaf venue stops here.
2. `fail_next` answers in the venue's place; nothing is executed.
3. Bearer token (401), accountId header (missing 400, foreign 403), media-type version (unknown 400), body (400), id (404).
4. The desk executes it. The answer is written down now, whenever it may be sent.

The venue documents no error bodies for these endpoints and no status code per error: both are assumed, both are switches.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Callable
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias

import jwt
from aiohttp import web
from attrs import Factory, define, field, frozen

from adapters.b2trader.desk import (
    Desk,
    Family,
    Market,
    Order,
    Refusal,
    Stop,
    StopCancelMode,
    markets,
    read_ticket,
    ticks,
)
from router.testing import QUIET, Fate, Received, Simulator

__all__ = ["B2TraderSimulator", "ErrorStyle"]

ErrorStyle: TypeAlias = Literal["problem", "errors", "empty", "html"]

LARGEST_BODY = 64 * 1024
ISSUER = "b2trader-simulator"
VERSIONS = frozenset({"3.0", "4.0"})
TRADING = frozenset({"orders", "stop-orders"})
REDIRECTED = "/redirected"
FAMILIES: Final[dict[str, Family]] = {"v3": "spot", "cfd/v4": "cfd", "perpetual/v4": "perp"}
ENDPOINT = re.compile(
    r"/frontoffice/api/(?P<base>v3|v4|cfd/v4|perpetual/v4)"
    r"/(?P<route>stop-orders|orders|access-token|accounts)(?:/(?P<key>[^/]+))?"
)


@frozen
class _Call:
    """One request, read. route: "orders", "stop-orders", "access-token", "accounts", "redirected" or "elsewhere"."""

    method: str
    raw_path: str
    base: str
    route: str
    key: str | None
    headers: dict[str, str] = field(repr=False)
    raw: bytes | None = field(repr=False)  # None: too large

    @property
    def command(self) -> str:
        return f"{self.method} {self.route}"

    @property
    def body(self) -> Any:
        """Decoded JSON with exact decimals, else the text."""
        raw = self.raw or b""
        try:
            return json.loads(raw, parse_float=Decimal)
        except (ValueError, ArithmeticError, RecursionError):
            return raw.decode(errors="replace")


async def _read(request: web.Request) -> _Call:
    try:
        raw: bytes | None = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raw = None
    headers = {name.lower(): value for name, value in request.headers.items()}
    base, route, key = _endpoint(request.path)
    return _Call(request.method, request.raw_path, base, route, key, headers, raw)


def _endpoint(path: str) -> tuple[str, str, str | None]:
    if path.startswith(REDIRECTED):
        return "", REDIRECTED[1:], None
    found = ENDPOINT.fullmatch(path)
    return (found["base"], found["route"], found["key"]) if found else ("", "elsewhere", None)


def _version(content_type: str) -> str | None:
    """The media-type parameter x-api-version; None if there is none."""
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "x-api-version":
            return value.strip().strip('"')
    return None


@define(eq=False, kw_only=True)
class B2TraderSimulator(Simulator):
    """A simulated B2TRADER venue with one account. What is not an identity is a switch: set it at any time.

    `switches` with `only=None` apply to orders and stop orders, not to access-token and accounts; so does `fail_next`.
    """

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
    retry_after: int = 1
    """Seconds, in the header of a 429."""

    tokens_issued: int = field(default=0, init=False)
    desk: Desk = field(init=False, default=Factory(lambda self: Desk(self.markets, self.clock), takes_self=True))
    _secret: bytes = field(factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    _runner: web.AppRunner | None = field(default=None, init=False, repr=False)
    _stopped: asyncio.Event = field(factory=asyncio.Event, init=False, repr=False)
    _url: str = field(default="", init=False)

    # -- where it is

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT, once started."""
        return self._url

    @property
    def credentials(self) -> dict[str, Any]:
        return {"base_url": self.url, "account_id": self.account_id, "offline_token": self.offline_token}

    @property
    def environment(self) -> dict[str, str]:
        return {f"B2TRADER_{name.upper()}": value for name, value in self.credentials.items()}

    async def start(self) -> None:
        self._stopped = asyncio.Event()
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, logger=QUIET, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{port}"

    async def stop(self) -> None:
        self.release(fate=Fate.DROP)
        self._stopped.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

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

    def token(self) -> str:
        """A fresh access token, as the exchange would issue it."""
        self.tokens_issued += 1
        now = int(time.time())
        claims = {"sub": self.account_id, "iat": now, "exp": now + int(self.token_life), "iss": ISSUER}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def expire_tokens(self) -> None:
        """Every token issued so far is invalid from now on, whatever its `exp`."""
        self._secret = secrets.token_bytes(32)  # not a list: two tokens of one second are the same string

    def activate(self, stop_id: str) -> Order:
        """The market reaches a waiting stop: the order it becomes."""
        return self.desk.activate(stop_id)

    def refuse_activation(self, stop_id: str) -> None:
        """The market reaches a waiting stop, whose order is then refused."""
        self.desk.refuse_activation(stop_id)

    def fill(self, order_id: str, amount: Decimal | str | int | None = None) -> Order:
        """Fill an open order by this base amount (None: all that remains)."""
        return self.desk.fill(order_id, amount)

    # -- one request

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = await _read(request)
        message = {"path": call.raw_path, "body": call.body}
        await self.record(Received(0, call.command, message, call.headers))
        switchable = call.route in TRADING or self.switches.only is not None
        if switchable and self.is_deaf(call.command):
            return await self._silence(request)
        response = self._answer(call, switchable=switchable)
        fate = await self.gate(call.command) if switchable else Fate.SEND
        if fate is Fate.SEND:
            return response
        return self._hang_up(request) if fate is Fate.HANG_UP else await self._silence(request)

    async def _silence(self, request: web.Request) -> web.StreamResponse:
        """Say nothing for as long as this server lives."""
        await self._stopped.wait()
        return self._hang_up(request)

    def _hang_up(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # never sent: the transport is closed

    def _answer(self, call: _Call, *, switchable: bool) -> web.Response:
        if switchable and self.fail_next and self.switches.cover(call.command):
            return self._override(self.fail_next.pop(0), call)
        try:
            return web.json_response(self._execute(call))
        except Refusal as refusal:
            return self._error(refusal)

    def _execute(self, call: _Call) -> Any:
        if call.raw is None:
            raise Refusal(413, "too_large", "Payload Too Large")
        match call.method, call.base, call.route, call.key:
            case "POST", "v4", "access-token", None:
                return self._exchange(call)
            case "GET", "v3", "accounts", None:
                self._authenticate(call)
                return [self._account()]
            case "POST", "v3" | "cfd/v4" | "perpetual/v4", "orders" | "stop-orders", None:
                self._admit(call)
                return {"order": self._place(call, FAMILIES[call.base], call.raw).json()}
            case "DELETE", "v3", "orders" | "stop-orders", str(key):
                self._admit(call)
                return {"order": self._cancel(call, key).json()}
        raise Refusal(404, "not_found", "Not Found")

    # -- who asks

    def _exchange(self, call: _Call) -> dict[str, str]:
        token = call.body.get("token") if isinstance(call.body, dict) else None
        if not isinstance(token, str):
            raise Refusal(400, "validation_error", "token is required")
        if token != self.offline_token:
            raise Refusal(401, "unauthorized", "Unauthorized")
        return {"accessToken": self.token()}

    def _authenticate(self, call: _Call) -> None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal(401, "unauthorized", "Unauthorized")
        try:
            jwt.decode(token, self._secret, algorithms=["HS256"], issuer=ISSUER)
        except (jwt.InvalidTokenError, ValueError, RecursionError):  # a token's inside is hostile, too
            raise Refusal(401, "unauthorized", "Unauthorized") from None

    def _admit(self, call: _Call) -> None:
        self._authenticate(call)
        account = call.headers.get("accountid")
        if not account:
            raise Refusal(400, "validation_error", "accountId header is required")
        if account != self.account_id:
            raise Refusal(403, "forbidden", "Forbidden")
        version = _version(call.headers.get("content-type", ""))
        if version is not None and version not in VERSIONS:
            raise Refusal(400, "unsupported_api_version", "x-api-version is unknown")

    def _account(self) -> dict[str, Any]:
        return {
            "accountId": self.account_id,
            "accountName": "Simulated",
            "accountType": "Hedging",
            "totalBalanceInRAT": "1000000",
            "isCopyTradingAccount": False,
        }

    # -- what is asked

    def _place(self, call: _Call, family: Family, body: bytes) -> Order | Stop:
        ticket = read_ticket(body)
        place = self.desk.place if call.route == "orders" else self.desk.place_stop
        if not self.desk.exceeds(family, ticket):
            if not self.reject_next:
                return place(family, ticket)
            self.reject_next -= 1
        if self.funds_mode == "400":
            raise Refusal(400, "insufficient_funds", "Insufficient funds")
        return place(family, ticket, reject="InsufficientFunds")

    def _cancel(self, call: _Call, key: str) -> Order | Stop:
        if call.route == "orders":
            return self.desk.cancel(key, self.order_cancel_status)
        return self.desk.cancel_stop(
            key, self.stop_cancel_mode, ignored=self.stop_cancel_ignored, activated_visible=self.activated_visible
        )

    # -- errors

    def _override(self, status: int, call: _Call) -> web.Response:
        response = self._error(Refusal(status, "overridden", "Overridden"))
        if status == 429:
            response.headers["Retry-After"] = str(self.retry_after)
        if 300 <= status < 400:
            response.headers["Location"] = f"{REDIRECTED}{call.raw_path}"
        return response

    def _error(self, refusal: Refusal) -> web.Response:
        style = self.error_style or ("errors" if refusal.status == 400 else "problem")
        status = refusal.status
        if style == "errors":
            return web.json_response({"errors": [{"code": refusal.code, "message": refusal.message}]}, status=status)
        if style == "problem":
            return web.json_response(_problem(status), status=status, content_type="application/problem+json")
        if style == "html":
            return web.Response(status=status, text=f"<html><h1>{status}</h1></html>", content_type="text/html")
        return web.Response(status=status)


def _problem(status: int) -> dict[str, Any]:
    known = status in set(HTTPStatus)
    return {
        "type": "https://tools.ietf.org/html/rfc9110",
        "title": HTTPStatus(status).phrase if known else "Error",
        "status": status,
        "traceId": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00",
    }
