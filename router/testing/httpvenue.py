"""A venue that speaks JSON over HTTP: an author writes what it says, this is the server. See `VenueServer`.

Command words are routes, "DELETE /orders/{id}": {id} is one part of a path, and `Ask.names` has it.

One request, in this order; whatever refuses it, its answer passes the gate like any other:

1. It is read and recorded. A deaf venue stops here.
2. A fault that strikes before execution answers in the venue's place; nothing is executed.
3. An unknown route (404), credentials (`admits`), and `execute`, whose refusals have the status that STATUSES gives them.
4. The answer is written down now, whenever it may be sent, unless a fault has another in its place.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from aiohttp import web
from attrs import define, field

from router.testing import pages
from router.testing.bench import Verb
from router.testing.book import Change, Placed
from router.testing.faults import HTTP_CANNOT, Fate, Fault, Point
from router.testing.simulator import QUIET, Received
from router.testing.strike import Strike
from router.testing.venueserver import Mistake, VenueServer
from router.testing.venuewords import Ask, Refused, read_json, write_json

__all__ = ["Ask", "Change", "HttpVenue", "Placed", "Refused"]

MAX_BODY: Final = 1 << 18  # bytes
RETRY_AFTER: Final = 1  # seconds


@define(eq=False, kw_only=True)
class HttpVenue(VenueServer):
    """A simulated venue over HTTP on 127.0.0.1. token: what `admits` wants to see; a LOGIN, if there is one, gives it out."""

    STATUSES: ClassVar[Mapping[str, int]] = {}
    """The status code of a refusal, by its word; 400 for all others, and 401 for UNAUTHORIZED."""

    token: str = field(factory=lambda: secrets.token_hex(16), repr=False)
    _runner: web.AppRunner | None = field(default=None, init=False, repr=False)
    _port: int = field(default=0, init=False)
    _stopped: asyncio.Event = field(factory=asyncio.Event, init=False, repr=False)

    # -- what an author may change

    def admits(self, ask: Ask) -> bool:
        """A login is for all. Else: `Authorization: Bearer` and the token; the key, where there is no login to get one by."""
        if ask.verb is Verb.LOGIN:
            return True
        given = self.token if Verb.LOGIN in self.VERBS.values() else self.key
        return hmac.compare_digest(ask.headers.get("authorization", "").encode(), f"Bearer {given}".encode())

    # -- life

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        """How many are open now."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    async def start(self) -> None:
        """Listen, on the same port as before if this is a restart."""
        self._stopped = asyncio.Event()
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, logger=QUIET, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.release(fate=Fate.DROP)
        self._stopped.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def drop_connections(self) -> None:
        server = self._runner.server if self._runner else None
        for handler in server.connections if server else ():
            if handler.transport is not None:
                handler.transport.abort()
        while self.connections:  # noqa: ASYNC110 - aiohttp tells nobody of a connection that is gone
            await asyncio.sleep(0)

    def excuse(self, fault: Fault, command: str) -> str:
        return HTTP_CANNOT.get(fault, "") or super().excuse(fault, command)

    def request(self, received: Received) -> Ask:
        message, word = received.message, received.command
        verb = self.VERBS.get(word, Verb.OTHER)
        names = _names(word, message["path"]) or {}
        return Ask(word, verb, message["body"], received.headers, names, message["query"])

    # -- one request

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        word, body = self._route(request), await _body(request)
        strike = await self.meet(word, request.transport)
        if await strike.arrive() is not Fate.SEND:
            return self._hang_up(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        message = {"path": request.path, "query": dict(request.query), "body": body}
        received = Received(0, word, message, headers)
        await self.record(received)
        fate = Fate.DROP if self._covers(word) and self.is_deaf(word) else strike.read()
        if fate is Fate.SEND:
            try:
                response = self._response(self.request(received), strike, request.path_qs)
            except Mistake as mistake:
                response = web.Response(status=500, text=str(mistake))
            fate = await self.gate(word) if self._covers(word) else Fate.SEND
        if fate is Fate.SEND:
            fate = await strike.execute()
        if fate is Fate.DROP:
            await self._stopped.wait()  # nothing is said for as long as this server lives
        if fate is not Fate.SEND:
            return self._hang_up(request)
        try:
            return await pages.put(request, response, strike)
        finally:
            strike.answered()

    def _hang_up(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # never sent: the transport is closed

    def _route(self, request: web.Request) -> str:
        """The word of a request: its route, or what was asked for where there is none."""
        found = (word for word in self.VERBS if _matches(word, request.method, request.path))
        return next(found, f"{request.method} {request.path}"[:100])

    def _response(self, ask: Ask, strike: Strike, path: str) -> web.Response:
        instead = self._instead(ask, strike, path)
        if instead is not None and strike.fault is not None and strike.fault.point is Point.READ:
            return instead
        response = self._executed(ask)
        self.book.take()  # nobody listens
        return response if instead is None else instead

    def _executed(self, ask: Ask) -> web.Response:
        if ask.word not in self.VERBS:
            return _json(self._refusal(ask, self.MALFORMED), 404)
        message, word = self._answer(ask)
        return _json(message, self._status(word) if word else 200)

    def _status(self, word: str) -> int:
        return self.STATUSES.get(word, 401 if word == self.UNAUTHORIZED else 400)

    def _instead(self, ask: Ask, strike: Strike, path: str) -> web.Response | None:
        """What a fault answers in the venue's place."""
        given: web.Response | int | None = pages.in_place(strike)
        if strike.fault is Fault.EXPIRED_TOKEN:
            self.token, given = secrets.token_hex(16), 401
        if not isinstance(given, int) or strike.fault is None:
            return given if isinstance(given, web.Response) else None
        word = self.word_for(strike.fault) or (self.UNAUTHORIZED if given == 401 else strike.fault.value)
        response = _json(self._refusal(ask, word), given)
        if strike.fault is Fault.THROTTLED:
            response.headers["Retry-After"] = str(RETRY_AFTER)
        if strike.fault is Fault.REDIRECT:
            response.headers["Location"] = f"/redirected{path}"
        return response


async def _body(request: web.Request) -> Any:
    """What was sent: JSON decoded, nothing as None, and anything else as the text it is."""
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return None
    try:
        return read_json(raw) if raw else None
    except (ValueError, RecursionError):
        return raw.decode(errors="replace")


def _json(message: Any, status: int) -> web.Response:
    text = "" if message is None else write_json(message)
    return web.Response(status=status, text=text, content_type="application/json")


def _matches(word: str, method: str, path: str) -> bool:
    return word.partition(" ")[0] == method and _names(word, path) is not None


def _names(word: str, path: str) -> dict[str, str] | None:
    """The parts of a path that a route names; None if the path is not of the route."""
    route = re.escape(word.partition(" ")[2])
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", route)
    found = re.fullmatch(pattern, path)
    return None if found is None else found.groupdict()
