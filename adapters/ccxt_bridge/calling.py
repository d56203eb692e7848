"""ccxt as pure functions: one of an exchange's methods is run up to its request, and the answer is handed back into it.

A ccxt method is a coroutine that signs a request, awaits `fetch`, and parses what comes. Here `fetch` gives the request out
instead of sending it, and the coroutine stands still until somebody brings the answer. So ccxt encodes, parses and names
errors, and whether, when and how often something is sent is decided elsewhere.

Rules:

1. After an answer that ccxt calls an error, a run goes no further: whatever it asks for next would be a repeat. Unless what
   failed was only a question that came before the command, and what follows is another request.
2. A run that waits for anything else than an answer has failed, and nothing of it was sent.
3. Markets are loaded beforehand, by load(), which is the only time that requests go out without being asked for one by one;
   those only read.
4. What signs a fee or a referral for ccxt's makers is never given out.
5. Nonces rise strictly: two that are made within one millisecond differ.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from http import HTTPStatus
from types import coroutine
from typing import Any, Final
from weakref import ref

from attrs import define, field, frozen
from multidict import CIMultiDict

from adapters.ccxt_bridge.preliminary import is_for_ccxt, is_repeat, may_load
from router.venue import Frame, too_deep

__all__ = ["Caller", "Request", "Run", "Stuck", "Unasked", "Unreadable", "without_query"]

_BOMB = re.compile(rb'"-?(?:\d*\.\d*[eE][+-]?|\d+[eE][+-]|\d{1,3}[eE])\d{3,}"')  # a number that takes for ever to add
MILLISECONDS: Final = 10**11  # less than any time in milliseconds of the last fifty years
_LONG_EXPONENT = re.compile(r"[eE][+-]?\d{3}")


class Stuck(Exception):
    """The method does not make its requests one after the other."""


class Unasked(Exception):
    """A request that nobody has asked for, which was not sent."""


class Unreadable(Exception):
    """The answer is not JSON that can be parsed."""


@frozen
class Request:
    """What ccxt wants sent."""

    url: str = field(repr=False)
    method: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@define(eq=False)
class Run:
    """One call of one method. request: what it wants sent now; None: it has ended, with a result or an error."""

    coroutine: Coroutine[Any, Any, Any] = field(repr=False)
    request: Request | None = None
    sent: Request | None = None
    """The last request that was answered."""
    result: Any = field(default=None, repr=False)
    error: Exception | None = None
    refusal: Exception | None = None
    """What ccxt called the last answer, if an error."""


class Caller:
    """One exchange object of ccxt's, which is ours from now on."""

    def __init__(self, exchange: Any) -> None:
        if isinstance(getattr(exchange.fetch, "__self__", None), Caller):
            raise ValueError(f"ccxt: this {exchange.id} object belongs to another adapter; make another one")  # noqa: TRY004
        self.exchange = exchange
        self._run: Run | None = None
        self._send: Callable[[Request], Awaitable[Frame]] | None = None
        self._unasked: Unasked | None = None
        self._load = exchange.load_markets
        exchange.nonce = _rising(exchange.nonce)
        exchange.fetch = self._fetch
        exchange.load_markets = exchange.loadMarkets = self._loaded
        exchange.on_json_response = _exact  # ccxt's own makes floats, which lose digits

    def call(self, name: str, *arguments: Any) -> Run:
        """Run a method up to its first request."""
        run = Run(getattr(self.exchange, name)(*arguments))
        self._drive(run, None)
        return run

    def answer(self, run: Run, frame: Frame) -> None:
        """Hand the answer to its request back, and run on."""
        run.sent = run.request
        self._drive(run, frame)

    async def load(self, send: Callable[[Request], Awaitable[Frame]]) -> None:
        """Load the markets, unless they are there. Raises what ccxt, or `send`, raises."""
        if self.exchange.markets_by_id:
            return
        self._send, self._unasked = send, None
        try:
            await self._load()
        finally:
            self._send = None
            if self._unasked is not None:  # ccxt may have caught it, and gone on
                raise self._unasked

    # -- inside a run

    def _drive(self, run: Run, frame: Frame | None) -> None:
        before, self._run = self._run, run
        run.request = None
        try:
            asked = run.coroutine.send(frame)
        except StopIteration as end:
            run.result = end.value
        except Exception as error:  # noqa: BLE001 - it is kept, and judged by its class
            run.error = error
        else:
            self._stopped(run, asked)
        finally:
            self._run = before

    def _stopped(self, run: Run, asked: Any) -> None:
        """It waits: for an answer, or it goes no further (rules 1 and 2)."""
        goes_on = (
            run.refusal is None or run.sent is None or (isinstance(asked, Request) and not is_repeat(asked, run.sent))
        )
        if isinstance(asked, Request) and goes_on:
            run.request, run.refusal = asked, None
            return
        if isinstance(asked, asyncio.Future):  # several requests at once: none of them is to be made
            asked.cancel()
            asked.add_done_callback(_seen)
        with suppress(RuntimeError):  # it may ignore that it is closed
            run.coroutine.close()
        run.error = run.refusal or Stuck("it waits for something else than the answer to one request")

    async def _loaded(self, reload: bool = False, params: Any = None) -> Any:  # noqa: ARG002 - as ccxt calls it
        return self.exchange.markets

    async def _fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """What ccxt calls to send a request."""
        request = self._request(url, method, headers, body)
        run, send = self._run, self._send
        if run is None:
            if send is None:
                raise RuntimeError("this exchange object belongs to venue-router; make another one for your own use")
            if not may_load(self.exchange.id, request):
                path = request.url.partition("?")[0]
                self._unasked = Unasked(
                    f"to load the markets, ccxt would send {request.method} {path}, which may be a command"
                )
                raise self._unasked
            return self._read(request, await send(request))
        if is_for_ccxt(request):
            raise Unasked("ccxt would sign a fee or a referral for its makers first")
        held = ref(run)
        del run  # which holds this coroutine: the collector would end such a circle in an order that it does not bear
        frame = await _answer_to(request)
        try:
            return self._read(request, frame)
        except Exception as error:
            stopped = held()
            if stopped is not None:
                stopped.refusal = error
            raise

    def _request(self, url: str, method: str, headers: Any, body: Any) -> Request:
        if not isinstance(body, str | bytes | None):
            raise TypeError(f"a body of type {type(body).__name__} cannot be sent")
        encoded = body.encode() if isinstance(body, str) else body or b""
        named = {str(name): str(value) for name, value in self.exchange.prepare_request_headers(headers).items()}
        return Request(url, method, named, encoded)

    def _read(self, request: Request, frame: Frame) -> Any:
        """The answer as ccxt reads it. Raises ccxt's errors, and Unreadable."""
        if too_deep(frame.body) or _BOMB.search(frame.body):
            raise Unreadable
        exchange, status, reason = self.exchange, frame.status, _reason(frame.status)
        headers: CIMultiDict[str] = CIMultiDict(frame.headers)
        url, method, body = request.url, request.method, request.body.decode(errors="replace")
        text = frame.body.decode(errors="replace")
        text = exchange.on_rest_response(status, reason, url, method, headers, text, request.headers, body)
        parsed = exchange.parse_json(text)
        exchange.last_http_response, exchange.last_json_response = text, parsed
        exchange.handle_errors(status, reason, url, method, headers, text, parsed, request.headers, body)
        exchange.handle_http_status_code(status, reason, url, method, text)
        if parsed is None:
            raise Unreadable
        return parsed


@coroutine
def _answer_to(request: Request) -> Generator[Request, Frame, Frame]:
    return (yield request)


def _seen(future: asyncio.Future[Any]) -> None:
    """Nobody else looks at what it ends with."""
    if not future.cancelled():
        future.exception()


def without_query(text: str, request: Request | None) -> str:
    """A text of ccxt's without what is signed in the URL."""
    return text if request is None else text.replace(request.url, request.url.partition("?")[0])


def _rising(nonce: Callable[[], Any]) -> Callable[[], Any]:
    """The same nonces, strictly rising, where they are milliseconds or finer: seconds would run ahead of the clock."""
    last = 0

    def rising() -> Any:
        nonlocal last
        made = nonce()
        if not isinstance(made, int) or made < MILLISECONDS:
            return made
        last = max(last + 1, made)
        return last

    return rising


def _exact(text: str) -> Any:
    return json.loads(text, parse_float=_digits, parse_constant=_no_number)


def _digits(text: str) -> str:
    return _no_number(text) if _LONG_EXPONENT.search(text) else text


def _no_number(text: str) -> str:
    raise ValueError(f"{text[:20]} is no number")


def _reason(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
