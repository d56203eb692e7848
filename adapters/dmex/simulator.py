"""DMEX as one would meet it: the signed order WebSocket and the REST list of orders.

Where the venue's public documentation stops, this assumes. Documented: the cancel frame, the order objects, the names of
the validation errors, replacing in one step. Assumed: the word create_order, every reply on the socket, the greeting and
push frames, the texts of the refusals that are not validation errors.

A cancel passes these steps in this order and changes nothing unless it passes all of them:

1. JSON text of exactly op and data; op is known.
2. data is exactly order_hash, v, r, s, of the right types; order_hash is 0x and 64 digits.
3. Strict: r and s have 64 digits, v is 27 or 28, s is low. Lenient: short r and s are padded on the left, v may be 0 or
   1, s may be high. Always: 0 < r, s < N.
4. The signer is recovered. A wrong key still recovers some address, so it fails at step 6 and not here.
5. The order exists.
6. The signer is its owner, or a delegate of the owner.
7. The order is open. Now it is closed.

A create passes 1 to 4, then validates the order. Its hash is taken as the client computed it: the recipe is not public,
so only the signature over it is checked. With replace_hash the old order must be open and have the same owner; it is
closed in the same step in which the new one enters the book. There is no matching: orders rest until `fill`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import secrets
import sys
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Literal, get_args

from aiohttp import web
from attrs import Factory, asdict, define, field, fields_dict
from attrs.validators import in_
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from router.testing import QUIET, Fate, Received, Simulator

_LIMIT = sys.getrecursionlimit()

from eth_account import Account  # noqa: E402 - it brings in py_ecc,
from eth_account.messages import encode_defunct  # noqa: E402 - which raises the limit to 100,000 for the whole process:

sys.setrecursionlimit(_LIMIT)  # there, nested JSON overflows the C stack before Python notices

__all__ = ["DmexSimulator", "Order"]

Reply = Literal["success", "status", "verdictless"]

TRADING: Final = frozenset({"cancel_order", "create_order"})
ORDERS: Final = "GET orders"
MAX_SIZE: Final = 2**18
MAX_BRACKETS: Final = 64
CURVE_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141

HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
SHORT: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
UNITS: Final = re.compile(r"[0-9]{1,39}")  # up to 2**128 in units of 1e-8, the cap of the venue's older contracts
NO_HASH: Final = frozenset({"", "0x" + "0" * 64})

CANCEL: Final[Mapping[str, type]] = {"order_hash": str, "v": int, "r": str, "s": str}
CREATE: Final[Mapping[str, type]] = {
    **dict.fromkeys(("hash", "user_address", "base_token", "asset", "amount", "price", "leverage", "r", "s"), str),
    **dict.fromkeys(("nonce", "v"), int),
    "side": bool,
}
CREATE_OPTIONAL: Final[Mapping[str, type]] = {
    **dict.fromkeys(("stop_price", "margin_currency_symbol", "replace_hash", "remaining_amount"), str),
    **dict.fromkeys(("closing_order", "stop", "is_market", "post_only", "closed", "stopped"), bool),
    **dict.fromkeys(("decimals", "amount_dec"), int),
}

GREETING: Final = {"event": "connected", "data": {"server": "simulator"}}
PUSH: Final = {"event": "price", "data": {"asset": "btcusd", "price": "10000000000000"}}


class _Refused(Exception):
    """The venue's words for not executing a command."""


@define(eq=False, kw_only=True)
class Order:
    """An order in the book. Sizes, prices and leverage are integers in units of 1e-8. Attributes as in a row of REST."""

    hash: str
    owner: str
    base_token: str = "0x00000000000000000000000000000000000000d0"  # noqa: S105 - a token to trade with
    asset: str = "btcusd"
    amount: int = field(default=1_000_000_000, converter=int)
    price: int = field(default=10_000_000_000_000, converter=int)
    side: bool = True
    nonce: int = 1
    leverage: int = field(default=1_000_000_000, converter=int)
    closing_order: bool = False
    remaining: int = field(init=False, default=Factory(lambda self: self.amount, takes_self=True))
    closed: bool = field(init=False, default=False)
    stop: bool = False
    stop_price: int = field(default=0, converter=int)
    stopped: bool = field(init=False, default=False)
    is_market: bool = False
    post_only: bool = False
    decimals: int = 2
    amount_dec: int = 4
    margin_currency_symbol: str = "USDC"
    created_at: str = field(
        init=False, factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )

    def check_open(self) -> None:
        if self.closed:
            raise _Refused("Order already cancelled" if self.remaining else "Order already filled")

    def row(self) -> dict[str, Any]:
        """The order as GET /api/orders shows it: no signature, 1e8 integers as strings."""
        renamed = {"owner": "user_address", "remaining": "remaining_amount"}
        scaled = {"amount", "price", "leverage", "remaining", "stop_price"}
        return {
            renamed.get(name, name): str(value) if name in scaled else value for name, value in asdict(self).items()
        }


@define(eq=False, kw_only=True)
class DmexSimulator(Simulator):
    """The venue.

    private_key: the client's; its address owns what `rest` makes. echo_hash: replies name the order hash. strict: see
    step 3 above. reply: how a verdict is worded ("verdictless": not at all). greeting: a frame on connect. push: an
    unrelated frame before each reply. delegates: owner -> addresses that may sign for it. rest_open_only: REST leaves
    closed orders out.
    """

    private_key: str = field(factory=lambda: "0x" + secrets.token_hex(32), repr=False)
    echo_hash: bool = True
    strict: bool = True
    reply: Reply = field(default="success", validator=in_(get_args(Reply)))
    greeting: bool = False
    push: bool = False
    delegates: dict[str, set[str]] = field(factory=dict)
    rest_open_only: bool = False
    address: str = field(
        init=False, default=Factory(lambda self: str(Account.from_key(self.private_key).address), takes_self=True)
    )
    orders: dict[str, Order] = field(factory=dict, init=False, repr=False)
    """The book by lower-case hash, closed orders included."""
    connections: dict[int, ServerConnection] = field(factory=dict, init=False, repr=False)
    """The open sockets by the number that `received` gives them."""
    _numbers: Iterator[int] = field(factory=lambda: itertools.count(1), init=False, repr=False)
    _answers: set[asyncio.Task[None]] = field(factory=set, init=False, repr=False)
    _server: Server | None = field(default=None, init=False, repr=False)
    _runner: web.AppRunner | None = field(default=None, init=False, repr=False)
    _stopping: asyncio.Event = field(factory=asyncio.Event, init=False, repr=False)

    # -- life

    @property
    def url(self) -> str:
        if self._server is None:
            raise RuntimeError("the simulator is not running")
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/ws"

    @property
    def rest_url(self) -> str:
        if self._runner is None:
            raise RuntimeError("the simulator is not running")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @property
    def credentials(self) -> dict[str, Any]:
        return {"url": self.url, "rest_url": self.rest_url, "private_key": self.private_key}

    @property
    def environment(self) -> dict[str, str]:
        return {f"DMEX_{name.upper()}": value for name, value in self.credentials.items()}

    async def start(self) -> None:
        self._stopping = asyncio.Event()
        options: dict[str, Any] = {"compression": None, "max_size": MAX_SIZE, "logger": QUIET}
        self._server = await serve(self._talk, "127.0.0.1", 0, process_request=_only_ws, **options)
        app = web.Application()
        app.router.add_get("/api/orders", self._list)
        self._runner = web.AppRunner(app, access_log=None, logger=QUIET, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()

    async def stop(self) -> None:
        server, runner = self._server, self._runner
        self._server = self._runner = None
        self._stopping.set()
        self.release(fate=Fate.DROP)
        if server is not None:
            server.close()
            await self.drop_connections()
            await server.wait_closed()
        for task in self._answers:
            task.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)
        if runner is not None:
            await runner.cleanup()

    # -- on demand

    def rest(self, order_hash: str | None = None, *, owner: str | None = None, **fields: Any) -> str:
        """Put an open order in the book and return its hash.

        order_hash: default random. owner: default the client. fields: attributes of Order (amount, price, side, ...).
        """
        order_hash = ("0x" + secrets.token_hex(32) if order_hash is None else order_hash).lower()
        if HASH.fullmatch(order_hash) is None or order_hash in self.orders:
            raise ValueError(f"not a hash, or already in the book: {order_hash}")
        self.orders[order_hash] = Order(hash=order_hash, owner=owner or self.address, **fields)
        return order_hash

    def fill(self, order_hash: str, amount: int | str | None = None) -> None:
        """Execute `amount` (units of 1e-8; None: all that remains) of an open order."""
        order = self.orders[order_hash.lower()]
        filled = order.remaining if amount is None else int(amount)
        if order.closed or not 0 < filled <= order.remaining:
            raise ValueError(f"cannot fill {filled}: closed is {order.closed}, {order.remaining} remain")
        order.remaining -= filled
        order.closed = not order.remaining

    def close(self, order_hash: str) -> None:
        """The venue cancels an open order by itself."""
        order = self.orders[order_hash.lower()]
        if order.closed:
            raise ValueError("already closed")
        order.closed = True

    async def send(self, frame: str | bytes | Mapping[str, Any]) -> None:
        """Send a frame to every connection: text or bytes as they are, a mapping as JSON."""
        for socket in list(self.connections.values()):
            with suppress(ConnectionClosed):
                await socket.send(json.dumps(frame) if isinstance(frame, Mapping) else frame)

    async def drop_connections(self) -> None:
        """Cut every socket without a closing handshake. Returns when they are gone."""
        sockets = list(self.connections.values())
        for socket in sockets:
            socket.transport.abort()
        for socket in sockets:
            await socket.wait_closed()

    # -- the socket

    async def _talk(self, socket: ServerConnection) -> None:
        number = next(self._numbers)
        self.connections[number] = socket
        try:
            with suppress(ConnectionClosed):
                if self.greeting:
                    await socket.send(json.dumps(GREETING))
                async for text in socket:
                    await self._read(number, socket, text)
        finally:
            del self.connections[number]

    async def _read(self, number: int, socket: ServerConnection, text: str | bytes) -> None:
        message = _decode(text)
        op = message.get("op") if isinstance(message, dict) else None
        command = op if isinstance(op, str) else "?"
        await self.record(Received(number, command, text if message is None else message))
        if not (self._is_switched(command) and self.is_deaf(command)):
            answer = json.dumps(self._execute(command, message))
            self._spawn(self._answer(socket, command, answer))  # of its own, so that a held one blocks no other

    async def _answer(self, socket: ServerConnection, command: str, answer: str) -> None:
        fate = await self._fate(command)
        if fate is Fate.HANG_UP:
            socket.transport.abort()
        elif fate is Fate.SEND:
            with suppress(ConnectionClosed):
                if self.push:
                    await socket.send(json.dumps(PUSH))
                await socket.send(answer)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    # -- the switches: without `only` they are about the trading commands alone

    def _is_switched(self, command: str) -> bool:
        return command in TRADING or self.switches.only is not None

    async def _fate(self, command: str) -> Fate:
        return await self.gate(command) if self._is_switched(command) else Fate.SEND

    # -- commands

    def _execute(self, command: str, message: Any) -> dict[str, Any]:
        """Execute and word the answer."""
        known = {"cancel_order": (self._cancel, "order_hash"), "create_order": (self._create, "hash")}
        execute, name = known.get(command, (_unknown, ""))
        data = message.get("data") if isinstance(message, dict) else None
        order_hash = data.get(name) if isinstance(data, dict) else None
        try:
            if not isinstance(message, dict) or message.keys() != {"op", "data"}:
                raise _Refused("Invalid request")  # noqa: TRY301 - one place words every refusal
            execute(data)
        except _Refused as refusal:
            return self._word(command, order_hash, str(refusal))
        return self._word(command, order_hash, None)

    def _word(self, command: str, order_hash: Any, error: str | None) -> dict[str, Any]:
        words: dict[str, Any] = {"op": command} if command in TRADING else {}
        if self.reply == "success":
            words["success"] = error is None
        elif self.reply == "status":
            words["status"] = "ok" if error is None else "error"
        if error is not None and self.reply != "verdictless":
            words["error"] = error
        named = self.echo_hash and isinstance(order_hash, str) and HASH.fullmatch(order_hash)
        return words | {"data": {"order_hash": order_hash.lower()} if named else {}}

    def _cancel(self, data: Any) -> None:
        _check_fields(data, CANCEL)
        order_hash = _hash(data["order_hash"])
        signer = self._recover(order_hash, data)
        order = self._find(order_hash)
        self._authorize(signer, order.owner)
        order.check_open()
        order.closed = True

    def _create(self, data: Any) -> None:
        _check_fields(data, CREATE, CREATE_OPTIONAL)
        order_hash = _hash(data["hash"])
        self._authorize(self._recover(order_hash, data), data["user_address"])
        _check_order(data)
        if order_hash in self.orders:
            raise _Refused("Order already exists")
        kept = {name: data[name] for name, attribute in fields_dict(Order).items() if attribute.init and name in data}
        order = Order(**kept | {"hash": order_hash, "owner": data["user_address"]})
        self._replace(data.get("replace_hash", ""), order.owner)
        self.orders[order_hash] = order

    def _replace(self, replace_hash: str, owner: str) -> None:
        """Close the old order. The last check of a create, so that a refusal leaves it resting."""
        if replace_hash in NO_HASH:
            return
        old = self._find(_hash(replace_hash))
        if old.owner.lower() != owner.lower():
            raise _Refused("Order not found")
        old.check_open()
        old.closed = True

    def _find(self, order_hash: str) -> Order:
        if order_hash not in self.orders:
            raise _Refused("Order not found")
        return self.orders[order_hash]

    # -- signatures

    def _recover(self, order_hash: str, data: Mapping[str, Any]) -> str | None:
        """The signer's address; None if there is none, where the chain's own ecrecover says the zero address."""
        vrs = self._check_range(data["v"], data["r"], data["s"])
        with suppress(Exception):  # whatever the library makes of numbers that are no signature
            return str(Account.recover_message(encode_defunct(bytes.fromhex(order_hash[2:])), vrs=vrs))
        return None

    def _check_range(self, v: int, r: str, s: str) -> tuple[int, int, int]:
        form = HASH if self.strict else SHORT
        highest = CURVE_ORDER // 2 if self.strict else CURVE_ORDER - 1
        if v in ({27, 28} if self.strict else {0, 1, 27, 28}) and form.fullmatch(r) and form.fullmatch(s):
            vrs = (v, int(r, 16), int(s, 16))
            if 0 < vrs[1] < CURVE_ORDER and 0 < vrs[2] <= highest:
                return vrs
        raise _Refused("Invalid signature")

    def _authorize(self, signer: str | None, owner: str) -> None:
        delegates = {of.lower(): named for of, named in self.delegates.items()}.get(owner.lower(), set())
        if signer is None or signer.lower() not in {address.lower() for address in (owner, *delegates)}:
            raise _Refused("Invalid signature")

    # -- REST

    async def _list(self, request: web.Request) -> web.Response:
        await self.record(Received(0, ORDERS, dict(request.query), dict(request.headers)))
        response = self._rows(request.query.get("user", ""))
        fate = await self._fate(ORDERS)
        if fate is Fate.DROP:
            await self._stopping.wait()
        if fate is not Fate.SEND and request.transport is not None:
            request.transport.abort()
        return response

    def _rows(self, user: str) -> web.Response:
        if ADDRESS.fullmatch(user) is None:
            return web.json_response({"success": False, "error": "Invalid user"}, status=400)
        orders = [order for order in self.orders.values() if order.owner.lower() == user.lower()]
        shown = [order.row() for order in orders if not (order.closed and self.rest_open_only)]
        return web.json_response({"success": True, "data": shown})


def _only_ws(socket: ServerConnection, request: Request) -> Response | None:
    return None if request.path == "/ws" else socket.respond(HTTPStatus.NOT_FOUND, "not found\n")


def _decode(text: str | bytes) -> Any:
    """A text frame's JSON; None for anything else, NaN included.

    Brackets are counted first: others may have raised the recursion limit beyond what the parser's stack can take.
    """
    if isinstance(text, bytes) or text.count("[") + text.count("{") > MAX_BRACKETS:
        return None
    with suppress(ValueError):
        return json.loads(text, parse_constant=_no_constant)
    return None


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _unknown(data: Any) -> None:  # noqa: ARG001 - stands where _cancel and _create stand
    raise _Refused("Unknown operation")


def _check_fields(data: Any, required: Mapping[str, type], optional: Mapping[str, type] | None = None) -> None:
    """Exact names and exact types: a bool is no int here."""
    types = {**required, **(optional or {})}
    if not isinstance(data, dict) or not required.keys() <= data.keys() <= types.keys():
        raise _Refused("Invalid request")
    if any(type(value) is not types[name] for name, value in data.items()):
        raise _Refused("Invalid request")


def _hash(text: str) -> str:
    if HASH.fullmatch(text) is None:
        raise _Refused("Invalid order hash")
    return text.lower()


def _check_order(data: Mapping[str, Any]) -> None:
    if _units(data["amount"]) < 1:
        raise _Refused("Amount must be greater than zero")
    if _units(data["leverage"]) < 10**8:
        raise _Refused("Invalid leverage")
    if _units(data["price"]) < 0 or _units(data.get("stop_price", "0")) < 0:
        raise _Refused("Invalid price")
    if ADDRESS.fullmatch(data["base_token"]) is None or data["nonce"] < 0:
        raise _Refused("Invalid request")
    if data.get("closed") or data.get("stopped") or data.get("remaining_amount", data["amount"]) != data["amount"]:
        raise _Refused("Invalid request")  # a new order has had nothing happen to it


def _units(text: str) -> int:
    """1e8 fixed point; -1 if it is none."""
    return int(text) if UNITS.fullmatch(text) else -1
