"""A simulated QFEX trade socket: handshake, login, subscriptions, commands and frames over a pure exchange.

Rules, besides those of every simulator:

1. A connection logs in once, for one account, before `auth_deadline`; a refused login ends it.
2. A command is executed when it is read; its frames form one answer, which passes the gate in a task of its own.
   Who is subscribed is looked up when the answer is sent, not when the command was executed.
3. order_response and fill_response go to every connection of the account that subscribed to their channel; everything
   else goes to the connection that asked.
4. What cannot be read is answered by an `err`, what the engine rejects by an order_response with a status.
5. With `switches.only` None the switches apply to TRADING commands alone; others must be named to be affected.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable
from decimal import Decimal
from email.utils import formatdate
from http import HTTPStatus
from math import isfinite
from typing import Any, Literal
from uuid import uuid4

from attrs import Factory, define, field, frozen
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response as HttpResponse

from adapters.qfex.exchange import ZERO, Event, Exchange, Fill, Instrument, Order, Refused, Twap, Update
from router.testing import QUIET, Fate, Received, Simulator

__all__ = ["SYMBOLS", "TRADING", "QfexSimulator", "Variants", "signature"]

CHANNELS = ("order_responses", "fills", "stop_orders", "positions", "balances")
TRADING = frozenset(
    [
        "add_order",
        "cancel_order",
        "cancel_all_orders",
        "cancel_stop_order",
        "modify_order",
        "modify_stop_order",
        "add_twap",
        "close_position",
    ]
)
"""The commands to which the switches apply when they name none."""
ACCEPTED = frozenset(
    {"ACK", "FILLED", "MODIFIED", "CANCELLED", "CANCELLED_STP", "IOC_PARTIALLY_FILLED", "IOC_CANCELLED"}
)
SYMBOLS = {
    "AAPL-USD": Instrument("0.01", "0.001", "0.01", "200"),
    "NVDA-USD": Instrument("0.01", "0.001", "0.1", "230"),
    "US500-USD": Instrument("0.1", "0.0001", "0.001", "6500"),
    "GOLD-USD": Instrument("0.1", "0.0001", "0.001", "4000"),
    "SKHYNIX-KRW": Instrument("100", "0.000001", "0.00001", "250000"),
}
"""Reference data as seen in practice; bands wide and marks invented."""

SKEW_ALLOWANCE = 900.0  # seconds; unpublished, taken from the window in which nonces must be unique
MAX_FRAME = 1 << 20  # bytes
MAX_ECHO = 16_384  # characters of a command beyond which it is not echoed
MAX_DEPTH = 64
MAX_DIGITS = 64
PAGE = 1000


def signature(secret: str, nonce: str, unix_ts: int) -> str:
    """The documented login signature: HMAC-SHA256 over `nonce:unix_ts`, keyed by the secret's own text, in hex."""
    return hmac.new(secret.encode(), f"{nonce}:{unix_ts}".encode(), hashlib.sha256).hexdigest()


# -- reading parameters: each reader returns the value or raises ValueError


def _text(value: object) -> str:
    if type(value) is not str or not 0 < len(value) <= 100:
        raise ValueError("must be text of 1 to 100 characters")
    return value


def _client_id(value: object) -> str:
    if type(value) is not str or len(value) > 64:
        raise ValueError("must be text of at most 64 characters")
    return value


def _token(value: object) -> str:
    if type(value) is not str:
        raise ValueError("must be text")
    return value


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or abs(Decimal(value)) >= 10**15:
        raise ValueError("must be a number below 1e15")
    return Decimal(value)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**15:
        raise ValueError("must be a non-negative integer")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, int) or value not in {0, 1}:  # 0 and 1 are seen in practice
        raise ValueError("must be a boolean")
    return bool(value)


def _one_of(*names: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if type(value) is not str or value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return read


def _channels(value: object) -> list[str]:
    if type(value) is not list or not 0 < len(value) <= len(CHANNELS):
        raise ValueError("must be a list of channels")
    return [_channel(name) for name in value]


def _hmac(value: object) -> dict[str, Any]:
    if type(value) is not dict or not {"public_key", "nonce", "unix_ts", "signature"} <= value.keys():
        raise ValueError("must have public_key, nonce, unix_ts and signature")
    if type(value["nonce"]) is not str or not re.fullmatch("[0-9a-fA-F]{1,100}", value["nonce"]):
        raise ValueError("nonce must be hex text of at most 100 characters")
    keys = {name: _text(value[name]) for name in ("public_key", "nonce", "signature")}
    return {**keys, "unix_ts": _integer(value["unix_ts"])}


def _slice(values: dict[str, Any]) -> slice:
    """The page that limit and offset name."""
    first: int = values["offset"] or 0
    size = PAGE if values["limit"] is None else min(values["limit"], PAGE)
    return slice(first, first + size)


def _seconds(moment: Decimal | None, default: float) -> float:
    """A unix time of a trade filter, which is documented in seconds and seen in milliseconds."""
    if moment is None:
        return default
    return float(moment / 1000 if moment > 10**11 else moment)


def _equal(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())


Reader = Callable[[object], Any]
_channel, _side = _one_of(*CHANNELS), _one_of("BUY", "SELL")
_order_type = _one_of("LIMIT", "MARKET", "ALO", "TAKE_PROFIT", "STOP_LOSS", "STOP_MARKET")
_id_type = _one_of("order_id", "client_order_id", "twap_id", "client_twap_id")
_attached = {"take_profit": _number, "stop_loss": _number}
_page = {"limit": _integer, "offset": _integer}
_target = {"symbol": _text, "side": _side, "order_type": _order_type}

PARAMETERS: dict[str, tuple[dict[str, Reader], dict[str, Reader]]] = {  # command: required, optional
    "auth": ({}, {"hmac": _hmac, "jwt": _token, "account_id": _text, "builder_code": _text}),
    "subscribe": ({"channels": _channels}, {}),
    "unsubscribe": ({"channels": _channels}, {}),
    "cancel_on_disconnect": ({"cancel_on_disconnect": _flag}, {}),
    "add_order": (
        _target | {"order_time_in_force": _one_of("GTC", "IOC", "FOK"), "quantity": _number},
        {"price": _number, **_attached, "client_order_id": _client_id, "reduce_only": _flag},
    ),
    "cancel_order": ({"symbol": _text, "order_id": _text, "cancel_order_id_type": _id_type}, {}),
    "cancel_all_orders": ({}, {}),
    "cancel_stop_order": ({"stop_order_id": _text}, {}),
    "modify_order": (
        _target | {"order_id": _text, "reduce_only": _flag},
        {"price": _number, "quantity": _number, **_attached},
    ),
    "modify_stop_order": (
        {"stop_order_id": _text, "symbol": _text, "price": _number, "quantity": _number},
        {"side": _side, "order_type": _order_type},
    ),
    "add_twap": (
        {"symbol": _text, "side": _side, "total_quantity": _number, "num_orders": _integer}
        | {"order_interval_secs": _integer, "reduce_only": _flag},
        {"client_twap_id": _client_id, "start_time": _number, "worst_price": _number},
    ),
    "close_position": ({"symbol": _text}, {"client_order_id": _client_id}),
    "get_order": ({"symbol": _text, "order_id": _text}, {}),
    "get_user_orders": ({}, {**_page, "symbol": _text}),
    "get_user_trades": ({}, {**_page, "order_id": _text, "start_ts": _number, "end_ts": _number}),
}


def _params(message: dict[str, Any]) -> dict[str, Any]:
    params = message.get("params")
    if not isinstance(params, dict):
        raise Refused("InvalidParameter", "params must be an object")
    return params


def _read(command: str, params: dict[str, Any]) -> dict[str, Any]:
    """The command's parameters, absent and null optional ones as None. Raises Refused."""
    required, optional = PARAMETERS[command]
    values = dict.fromkeys(optional)
    for name, reader in (required | optional).items():
        if name in optional and params.get(name) is None:
            continue
        try:
            values[name] = reader(params.get(name))
        except ValueError as error:
            raise Refused("InvalidParameter", f"{name}: {error}") from None
    return values


def _echo(command: str, params: dict[str, Any]) -> dict[str, Any]:
    """The command as the venue shows it after reading: defaults as null, numbers as floats."""
    required, optional = PARAMETERS[command]
    numbers = {name for name, reader in (required | optional).items() if reader is _number}
    shown = {name: float(value) if name in numbers and type(value) is int else value for name, value in params.items()}
    return {"type": command, "params": {**dict.fromkeys(optional), **shown}}


# -- JSON in and out


def _decimal(text: str) -> Decimal:
    """An exact number that a float could hold too: what is too large or too long is refused, what is too small is 0."""
    size = float(text)
    if not isfinite(size) or len(text) > MAX_DIGITS:
        raise ValueError("number out of range")
    return Decimal(text) if size else ZERO


def _decode(raw: str) -> Any:
    """JSON with exact numbers. Raises ValueError for anything that is not JSON, too deep or out of a float's range."""
    try:
        message = json.loads(
            raw, parse_float=_decimal, parse_int=lambda text: int(_decimal(text)), parse_constant=_decimal
        )
        _limit(message, MAX_DEPTH)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return message


def _limit(value: object, depth: int) -> None:
    if depth == 0:
        raise ValueError("nested too deeply")
    parts: Iterable[object] = ()
    if isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, list):
        parts = value
    for part in parts:
        _limit(part, depth - 1)


def _encode(frame: object) -> str:
    return json.dumps(frame, default=float, separators=(",", ":"))


# -- shapes of frames


def _order_row(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "symbol": order.symbol,
        "status": order.status,
        "quantity": float(order.quantity),
        "price": float(order.price),
        "take_profit": float(order.take_profit),
        "stop_loss": float(order.stop_loss),
        "side": order.side,
        "type": order.type,
        "time_in_force": order.time_in_force,
        "user_id": order.account,
        "client_order_id": order.client_order_id,
        "quantity_remaining": float(order.remaining),
    }


def _listed(order: Order) -> dict[str, Any]:
    return {**_order_row(order), "update_time": order.update_time}


def _order_response(update: Update) -> dict[str, Any]:
    row = {**_order_row(update.order), "trade_id": update.trade_id}
    if update.order.is_stop and update.order.status == "CANCELLED":  # these keys are absent in the documented example
        row = {name: value for name, value in row.items() if name not in {"take_profit", "stop_loss", "trade_id"}}
    return row


def _fill_response(fill: Fill) -> dict[str, Any]:
    return {
        "trade_id": fill.trade_id,
        "user_id": fill.order.account,
        "symbol": fill.order.symbol,
        "price": float(fill.price),
        "quantity": float(fill.quantity),
        "side": fill.order.side,
        "aggressor_side": fill.aggressor_side,
        "order_id": fill.order.order_id,
        "fee": 0.0,
        "order_type": fill.order.type,
        "tif": fill.order.time_in_force,
        "order_price": float(fill.order.price),
        "client_order_id": fill.order.client_order_id,
        "remaining_quantity": float(fill.order.remaining),
        "take_profit": float(fill.order.take_profit),
        "stop_loss": float(fill.order.stop_loss),
        "execution_type": "NEW",
        "timestamp": fill.timestamp,
        "realised_pnl": 0.0,
    }


def _trade_row(fill: Fill) -> dict[str, Any]:
    absent = {"user_id", "order_price", "remaining_quantity", "take_profit", "stop_loss", "realised_pnl"}
    return {name: value for name, value in _fill_response(fill).items() if name not in absent}


def _twap_response(twap: Twap) -> dict[str, Any]:
    return {
        "twap_id": twap.twap_id,
        "client_twap_id": twap.client_twap_id,
        "user_id": twap.account,
        "status": twap.status,
        "symbol": twap.symbol,
        "total_quantity": float(twap.total_quantity),
        "filled_quantity": float(twap.filled_quantity),
        "average_fill_price": 0.0,
        "total_num_orders": twap.num_orders,
        "order_interval_secs": twap.order_interval_secs,
        "reduce_only": twap.reduce_only,
        "side": twap.side,
        "updated_at": None,
        "created_at": twap.created_at,
    }


def _as_order(twap: Twap) -> Order:
    """How a cancelled TWAP is assumed to look in an order_response."""
    return Order(
        account=twap.account,
        symbol=twap.symbol,
        side=twap.side,
        type="MARKET",
        time_in_force="IOC",
        quantity=twap.total_quantity,
        remaining=twap.total_quantity - twap.filled_quantity,
        client_order_id=twap.client_twap_id or "",
        order_id=twap.twap_id,
        status=twap.status,
    )


# -- the server


@define
class Variants:
    """Where the venue's documentation contradicts itself or its clients report quirks: which variant to play."""

    auth_reply: Literal["authenticated", "type_result"] = "authenticated"
    refusal: Literal["err", "authenticated_false", "type_failed", "close"] = "err"
    """What a bad login gets before its connection is closed."""
    ack: Literal["ack", "ack_response"] = "ack"
    ack_stop_cancel: bool = True
    """Whether an ack precedes the order_response of a stop's cancel or modify."""
    only_ack: bool = False
    """Whether a stop's cancel or modify gets an ack and no order_response."""
    empty_stop_echo: bool = True
    """Whether a stop's order_response has an empty client_order_id, whatever the command said."""
    reject_with_err: bool = False
    """Whether a reject is an err InvalidOrder to the sender instead of an order_response."""
    err_echo: Literal["object", "string", "null"] = "object"
    strangers_first: bool = False
    """Whether an unknown order's order_response precedes each answer to a trading command."""
    ioc_style: Literal["new", "old"] = "new"
    """Whether an IOC remainder ends as IOC_PARTIALLY_FILLED or IOC_CANCELLED, or as CANCELLED."""
    modify_changes_order_id: bool = False
    get_order_reply: Literal["all_orders_response", "order_response"] = "all_orders_response"
    twap_cancel_reply: Literal["order_response", "twap_response", "ack"] = "order_response"
    array_frames: bool = False
    """Whether the frames of an answer are one top-level JSON array."""
    duplicate_fills: bool = False
    cancel_all_stops: bool = True
    """Whether cancel_all_orders covers stops (undocumented). It never covers TWAPs here."""


@define(eq=False)
class Connection:
    """One client: its account once logged in, its channels, its settings."""

    number: int
    socket: ServerConnection = field(repr=False)
    account: str | None = None
    channels: set[str] = field(factory=set)
    cancel_on_disconnect: bool = False
    refused: bool = False
    gone: asyncio.Event = field(factory=asyncio.Event, repr=False)


@frozen
class Request:
    """A command that was read: its parameters, what an ack or err echoes, and its raw text."""

    connection: Connection
    values: dict[str, Any] = field(repr=False)
    echo: Any = field(repr=False)
    text: str = field(repr=False)

    @property
    def account(self) -> str:
        if self.connection.account is None:
            raise Refused("PermissionDenied", "not authenticated")
        return self.connection.account


@frozen
class Outgoing:
    """A frame and its audience: the account's subscribers of a channel, or (None) the connection that asked."""

    frame: Any
    channel: str | None = None
    account: str | None = None

    def reaches(self, connection: Connection, asker: Connection | None) -> bool:
        if self.channel is None:
            return connection is asker
        return connection.account == self.account and self.channel in connection.channels


Handler = Callable[[Request], list[Outgoing]]


def _reject(item: Outgoing) -> str:
    """The status of an order_response that rejects; empty for any other frame."""
    status: str = item.frame["order_response"]["status"] if item.channel == "order_responses" else ""
    return "" if status in ACCEPTED else status


def _random_jwt() -> str:
    return ".".join(("eyJ" + secrets.token_urlsafe(24), "eyJ" + secrets.token_urlsafe(48), secrets.token_urlsafe(32)))


@define(eq=False, kw_only=True)
class QfexSimulator(Simulator):
    """The QFEX trade socket on 127.0.0.1. Quantities in base units, prices in quote units, times in seconds."""

    variants: Variants = field(factory=Variants)
    public_key: str = Factory(lambda: f"qfex_pub_{secrets.token_hex(16)}")
    secret_key: str = field(factory=lambda: f"qfex_secret_{secrets.token_hex(16)}", repr=False)
    jwt: str = field(factory=_random_jwt, repr=False)
    account_id: str = Factory(lambda: str(uuid4()))
    """The master account, for logins that name none."""
    sub_accounts: tuple[str, ...] = Factory(lambda: (str(uuid4()),))
    symbols: dict[str, Instrument] = field(factory=lambda: dict(SYMBOLS), repr=False)
    auth_deadline: float = 60.0
    clock_skew: float = 0.0
    """How far the venue's clock is ahead of ours, in its Date header and in judging a login's unix_ts."""
    exchange: Exchange = field(
        init=False,
        repr=False,
        default=Factory(lambda self: Exchange(self.symbols, self._now), takes_self=True),
    )
    nonces: set[str] = field(factory=set, init=False, repr=False)
    _server: Server | None = field(default=None, init=False, repr=False)
    _port: int = field(default=0, init=False)
    _accepted: int = field(default=0, init=False)
    _clients: dict[int, Connection] = field(factory=dict, init=False, repr=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False, repr=False)

    # -- how to reach it

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/"

    @property
    def credentials(self) -> dict[str, Any]:
        return {"url": self.url, "public_key": self.public_key, "secret_key": self.secret_key}

    @property
    def environment(self) -> dict[str, str]:
        return {"QFEX_URL": self.url, "QFEX_PUBLIC_KEY": self.public_key, "QFEX_SECRET_KEY": self.secret_key}

    async def start(self) -> None:
        """Listen, on the same port as before if this is a restart."""
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self._port,
            process_response=self._date,
            compression=None,
            logger=QUIET,
            max_size=MAX_FRAME,
            close_timeout=1,
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        await server.wait_closed()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- state

    @property
    def book(self) -> dict[str, Order]:
        """Open orders of all accounts by order_id, stops aside."""
        return self.exchange.book

    @property
    def stops(self) -> dict[str, Order]:
        return self.exchange.stops

    @property
    def twaps(self) -> dict[str, Twap]:
        return self.exchange.twaps

    @property
    def history(self) -> dict[str, Order]:
        """Every order and stop ever, with its last status."""
        return self.exchange.history

    @property
    def trades(self) -> list[Fill]:
        return self.exchange.trades

    @property
    def positions(self) -> dict[str, Decimal]:
        """The master account's positions by symbol, signed; flat ones are absent."""
        return self.exchange.positions[self.account_id]

    @property
    def connections(self) -> int:
        return len(self._clients)

    # -- what the venue does of its own accord

    async def fill(
        self, order_id: str, quantity: Decimal | int | None = None, price: Decimal | int | None = None
    ) -> None:
        """Let a resting order trade: all of it, or `quantity`; at its own price, or at `price`. Else KeyError."""
        size = None if quantity is None else Decimal(quantity)
        self._publish(self.exchange.fill(order_id, size, None if price is None else Decimal(price)))

    async def expel(self, order_id: str, status: str = "CANCELLED_STP") -> None:
        """End an order or a stop unasked, with this status."""
        self._publish(self.exchange.expel(order_id, status))

    async def trigger(self, stop_id: str) -> None:
        """Fire a stop, which then trades at market."""
        self._publish(self.exchange.trigger(stop_id))

    async def set_position(self, symbol: str, quantity: Decimal | int, account: str | None = None) -> None:
        """Decree a position (signed; 0: none), of the master account unless another is named."""
        self._publish(self.exchange.set_position(account or self.account_id, symbol, Decimal(quantity)))

    async def send(self, frame: dict[str, Any] | str | bytes) -> None:
        """Send this frame, as it is, to every connection that is logged in."""
        sockets = [client.socket for client in self._clients.values() if client.account]
        broadcast(sockets, _encode(frame) if isinstance(frame, dict) else frame)

    async def drop_connections(self) -> None:
        """Drop every connection without a closing handshake; returns when cancel_on_disconnect has been honoured."""
        clients = list(self._clients.values())
        for client in clients:
            client.socket.transport.abort()
        for client in clients:
            await client.gone.wait()

    # -- connections

    def _now(self) -> float:
        return time.time() + self.clock_skew

    def _date(self, _: ServerConnection, __: HttpRequest, response: HttpResponse) -> None:
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            del response.headers["Date"]
            response.headers["Date"] = formatdate(self._now(), usegmt=True)

    async def _serve(self, socket: ServerConnection) -> None:
        self._accepted += 1
        client = Connection(self._accepted, socket)
        self._clients[client.number] = client
        deadline = asyncio.get_running_loop().call_later(self.auth_deadline, self._expire, client)
        try:
            async for raw in socket:
                await self._receive(client, raw)
        except ConnectionClosed:
            pass  # dropped rather than closed: the same to us
        finally:
            deadline.cancel()
            self._leave(client)

    def _expire(self, client: Connection) -> None:
        if client.account is None:
            self._spawn(client.socket.close(1008, "authentication deadline"))

    def _leave(self, client: Connection) -> None:
        del self._clients[client.number]
        if client.cancel_on_disconnect and client.account:
            self._publish(self.exchange.cancel_all(client.account, stops=True, twaps=True))
        client.gone.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- from a frame to an answer

    async def _receive(self, client: Connection, raw: str | bytes) -> None:
        text = raw if isinstance(raw, str) else raw.decode(errors="replace")
        try:
            message, fault = _decode(text), None
        except ValueError as error:
            message, fault = text, Refused("InvalidJSONFormat", str(error))
        command = message.get("type") if isinstance(message, dict) else None
        name = command[:100] if type(command) is str else "?"
        await self.record(Received(client.number, name, message))
        if client.refused or (self._covers(name) and self.is_deaf(name)):
            return
        answer = [self._err(fault, text, text)] if fault else self._execute(client, name, message, text)
        self._spawn(self._answer(client, name, answer, last=client.refused))

    def _execute(self, client: Connection, command: str, message: Any, text: str) -> list[Outgoing]:
        echo = message
        try:
            handler, params = self._handler(client, command), _params(message)
            echo = _echo(command, params)
            request = Request(client, _read(command, params), echo, text)
            answer = handler(request)
        except Refused as refusal:
            return [self._err(refusal, echo, text)]
        return self._without_rejects(answer, request) if self.variants.reject_with_err else answer

    def _handler(self, client: Connection, command: str) -> Handler:
        handler = self._handlers().get(command)
        if handler is None:
            raise Refused("InvalidParameter", "unknown type")
        if command != "auth" and client.account is None:
            raise Refused("PermissionDenied", "not authenticated")
        return handler

    async def _answer(self, client: Connection, command: str, answer: list[Outgoing], *, last: bool) -> None:
        fate = await self.gate(command) if self._covers(command) else Fate.SEND
        if fate is Fate.HANG_UP:
            client.socket.transport.abort()
        if fate is not Fate.SEND:
            return
        if self.variants.strangers_first and command in TRADING:
            self._deliver(self._stranger(client), client)
        self._deliver(answer, client)
        if last:
            await client.socket.close(1008, "authentication refused")

    def _covers(self, command: str) -> bool:
        only = self.switches.only
        return command in (TRADING if only is None else only)

    def _deliver(self, answer: list[Outgoing], asker: Connection | None = None) -> None:
        for client in self._clients.values():
            if client.socket.transport.is_closing():
                continue
            frames = [item.frame for item in answer if item.reaches(client, asker)]
            if frames and self.variants.array_frames:
                frames = [frames]
            for frame in frames:
                broadcast([client.socket], _encode(frame))

    # -- from events to frames

    def _publish(self, events: Iterable[Event]) -> None:
        self._deliver(self._frames(events))

    def _frames(self, events: Iterable[Event]) -> list[Outgoing]:
        return [frame for event in events for frame in self._frame(event)]

    def _frame(self, event: Event) -> list[Outgoing]:
        if isinstance(event, Fill):
            frame = Outgoing({"fill_response": _fill_response(event)}, "fills", event.order.account)
            return [frame] * (2 if self.variants.duplicate_fills else 1)
        update = Update(_as_order(event)) if isinstance(event, Twap) else event
        row, order = _order_response(update), update.order
        if order.is_stop and order.status in ACCEPTED and self.variants.empty_stop_echo:
            row["client_order_id"] = ""
        if order.status.startswith("IOC_") and self.variants.ioc_style == "old":
            row["status"] = "CANCELLED"
        return [Outgoing({"order_response": row}, "order_responses", order.account)]

    def _without_rejects(self, answer: list[Outgoing], request: Request) -> list[Outgoing]:
        return [
            self._err(Refused("InvalidOrder", status), request.echo, request.text)
            if (status := _reject(item))
            else item
            for item in answer
        ]

    def _err(self, refusal: Refused, echo: Any, text: str) -> Outgoing:
        shown = {"object": echo, "string": text, "null": None}[self.variants.err_echo]
        shown = shown if len(text) <= MAX_ECHO else None
        return Outgoing({"err": {"error_code": refusal.code, "message": str(refusal), "incoming_message": shown}})

    def _ack(self, request: Request) -> Outgoing:
        if self.variants.ack == "ack_response":
            return Outgoing({"ack_response": True})
        shown = request.echo if len(request.text) <= MAX_ECHO else None
        return Outgoing({"ack": {"incoming_message": shown}})

    def _stranger(self, client: Connection) -> list[Outgoing]:
        order = Order(account=str(uuid4()), symbol="AAPL-USD", quantity=Decimal(1), price=Decimal(100))
        order.client_order_id = uuid4().hex
        frame = {"order_response": _order_response(Update(order))}
        return [Outgoing(frame, "order_responses", client.account)]

    # -- commands

    def _handlers(self) -> dict[str, Handler]:
        return {
            "auth": self._auth,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "cancel_on_disconnect": self._cancel_on_disconnect,
            "add_order": self._add_order,
            "cancel_order": self._cancel_order,
            "cancel_all_orders": self._cancel_all_orders,
            "cancel_stop_order": self._cancel_stop_order,
            "modify_order": self._modify_order,
            "modify_stop_order": self._modify_stop_order,
            "add_twap": self._add_twap,
            "close_position": self._close_position,
            "get_order": self._get_order,
            "get_user_orders": self._get_user_orders,
            "get_user_trades": self._get_user_trades,
        }

    def _auth(self, request: Request) -> list[Outgoing]:
        client, values = request.connection, request.values
        if client.account:
            raise Refused("AlreadyAuthenticated", "already authenticated")
        if (values["hmac"] is None) == (values["jwt"] is None):
            raise Refused("InvalidParameter", "exactly one of hmac and jwt")
        fault = self._login_fault(values)
        if fault:
            client.refused = True
            return self._refusal(self._err(Refused("PermissionDenied", fault), request.echo, request.text))
        client.account = values["account_id"] or self.account_id
        replies = {"authenticated": {"authenticated": True}, "type_result": {"type": "auth", "result": "success"}}
        return [Outgoing(replies[self.variants.auth_reply])]

    def _refusal(self, err: Outgoing) -> list[Outgoing]:
        return {
            "err": [err],
            "authenticated_false": [Outgoing({"authenticated": False})],
            "type_failed": [Outgoing({"type": "auth", "result": "failed"})],
            "close": [],
        }[self.variants.refusal]

    def _login_fault(self, values: dict[str, Any]) -> str | None:
        if values["account_id"] not in {None, self.account_id, *self.sub_accounts}:
            return "unknown account"
        if values["hmac"]:
            return self._hmac_fault(values["hmac"])
        return None if _equal(values["jwt"], self.jwt) else "invalid token"

    def _hmac_fault(self, login: dict[str, Any]) -> str | None:
        """A nonce is used up by a valid signature only."""
        nonce, unix_ts = login["nonce"], login["unix_ts"]
        proven = _equal(login["signature"], signature(self.secret_key, nonce, unix_ts))
        if not proven or login["public_key"] != self.public_key:
            return "invalid key or signature"
        if abs(unix_ts - self._now()) > SKEW_ALLOWANCE:
            return "unix_ts out of range"
        if nonce in self.nonces:
            return "nonce was used before"
        self.nonces.add(nonce)
        return None

    def _subscribe(self, request: Request) -> list[Outgoing]:
        request.connection.channels.update(request.values["channels"])
        return [Outgoing({"subscribed": channel}) for channel in request.values["channels"]]

    def _unsubscribe(self, request: Request) -> list[Outgoing]:
        request.connection.channels.difference_update(request.values["channels"])
        return [Outgoing({"unsubscribed": channel}) for channel in request.values["channels"]]

    def _cancel_on_disconnect(self, request: Request) -> list[Outgoing]:
        request.connection.cancel_on_disconnect = request.values["cancel_on_disconnect"]
        return [self._ack(request)]

    def _add_order(self, request: Request) -> list[Outgoing]:
        values = request.values
        if values["price"] is None and values["order_type"] != "MARKET":
            raise Refused("InvalidParameter", "price: must be a number")
        order = Order(
            account=request.account,
            symbol=values["symbol"],
            side=values["side"],
            type=values["order_type"],
            time_in_force=values["order_time_in_force"],
            quantity=values["quantity"],
            price=values["price"] or ZERO,
            take_profit=values["take_profit"] or ZERO,
            stop_loss=values["stop_loss"] or ZERO,
            client_order_id=values["client_order_id"] or str(uuid4()),
            reduce_only=bool(values["reduce_only"]),
        )
        return self._frames(self.exchange.add(order))

    def _cancel_order(self, request: Request) -> list[Outgoing]:
        values = request.values
        id_type, value = values["cancel_order_id_type"], values["order_id"]
        events = self.exchange.cancel(request.account, values["symbol"], id_type, value)
        if not isinstance(events[0], Twap) or self.variants.twap_cancel_reply == "order_response":
            return self._frames(events)
        if self.variants.twap_cancel_reply == "ack":
            return [self._ack(request)]
        return [Outgoing({"twap_response": _twap_response(event)}) for event in events if isinstance(event, Twap)]

    def _cancel_all_orders(self, request: Request) -> list[Outgoing]:
        events = self.exchange.cancel_all(request.account, stops=self.variants.cancel_all_stops, twaps=False)
        return [self._ack(request), *self._frames(events)]

    def _cancel_stop_order(self, request: Request) -> list[Outgoing]:
        events = self.exchange.cancel_stop(request.account, request.values["stop_order_id"])
        return self._stop_answer(request, events)

    def _modify_stop_order(self, request: Request) -> list[Outgoing]:
        names = ("stop_order_id", "symbol", "price", "quantity")
        events = self.exchange.modify_stop(request.account, *(request.values[name] for name in names))
        return self._stop_answer(request, events)

    def _stop_answer(self, request: Request, events: list[Event]) -> list[Outgoing]:
        """The first event is the stop's own; others are of stops that it displaced."""
        own, *others = self._frames(events)
        if _reject(own):
            return [own]
        acks = [self._ack(request)] if self.variants.ack_stop_cancel or self.variants.only_ack else []
        return [*acks, *([] if self.variants.only_ack else [own]), *others]

    def _modify_order(self, request: Request) -> list[Outgoing]:
        values = request.values
        wanted = Order(
            account=request.account,
            order_id=values["order_id"],
            symbol=values["symbol"],
            side=values["side"],
            type=values["order_type"],
            reduce_only=values["reduce_only"],
        )
        names = ("price", "quantity", "take_profit", "stop_loss")
        changes = {name: values[name] for name in names if values[name] is not None}
        return self._frames(self.exchange.modify(wanted, changes, rename=self.variants.modify_changes_order_id))

    def _add_twap(self, request: Request) -> list[Outgoing]:
        ignored = {"start_time", "worst_price"}
        values = {name: value for name, value in request.values.items() if name not in ignored}
        events = self.exchange.add_twap(Twap(account=request.account, **values))
        return [Outgoing({"twap_response": _twap_response(event)}) for event in events if isinstance(event, Twap)]

    def _close_position(self, request: Request) -> list[Outgoing]:
        values = request.values
        client_order_id = values["client_order_id"] or ""
        return self._frames(self.exchange.close_position(request.account, values["symbol"], client_order_id))

    # -- queries

    def _get_order(self, request: Request) -> list[Outgoing]:
        account, symbol, key = request.account, request.values["symbol"], request.values["order_id"]
        order = self.exchange.find(account, symbol, key)
        if self.variants.get_order_reply == "order_response":
            order = order or Order(account=account, symbol=symbol, order_id=key, status="NO_SUCH_ORDER")
            return [Outgoing({"order_response": _listed(order)})]
        return [Outgoing({"all_orders_response": {"orders": [_listed(order)] if order else [], "twaps": []}})]

    def _get_user_orders(self, request: Request) -> list[Outgoing]:
        account, symbol, page = request.account, request.values["symbol"], _slice(request.values)
        orders = [_listed(order) for order in self.exchange.open_orders(account, symbol)[page]]
        twaps = [_twap_response(twap) for twap in self.exchange.open_twaps(account, symbol)[page]]
        return [Outgoing({"all_orders_response": {"orders": orders, "twaps": twaps}})]

    def _get_user_trades(self, request: Request) -> list[Outgoing]:
        values = request.values
        first, last = _seconds(values["start_ts"], 0.0), _seconds(values["end_ts"], float("inf"))
        rows = [
            _trade_row(fill)
            for fill in self.trades
            if fill.order.account == request.account
            and values["order_id"] in {None, fill.order.order_id}
            and first <= fill.timestamp <= last
        ]
        return [Outgoing({"user_trades_response": rows[_slice(values)]})]
