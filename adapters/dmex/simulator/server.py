"""The order socket and the REST list: from a frame to its answer.

A cancel passes these steps in this order and changes nothing unless it passes all of them:

1. JSON text of exactly op and data; op is known.
2. data is exactly order_hash, v, r, s, of the right types; order_hash is 0x and 64 digits.
3. v, r and s are in range, by the strict or the lenient rules of signatures.
4. The signer is recovered. A wrong key still recovers some address, so it fails at step 6 and not here.
5. The order exists.
6. The signer is its owner, or a delegate of the owner.
7. The order is open. Now it is closed.

A create passes 1 to 4, then validates the order. Its hash is taken as the client computed it: the recipe is not public,
so only the signature over it is checked. With replace_hash the old order must be open and have the same owner; it is
closed in the same step in which the new one enters the book.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, ClassVar, Final, get_args

from aiohttp import web
from attrs import Factory, define, field
from attrs.validators import in_
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from adapters.dmex.simulator import faults
from adapters.dmex.simulator.bench import DmexBench
from adapters.dmex.simulator.book import NO_HASH, Book, Order, Refused
from adapters.dmex.simulator.replies import GREETING, PUSH, Reply, reply
from adapters.dmex.simulator.requests import ADDRESS, decode, read_cancel, read_create, read_order
from adapters.dmex.simulator.signatures import address_of, recover
from router.testing import QUIET, Fate, Fault, Point, Received, Simulator, pages, sockets
from router.testing.strike import Strike

__all__ = ["DmexSimulator"]

TRADING: Final = {"cancel_order": "order_hash", "create_order": "hash"}  # and the name of the hash in its data
ORDERS: Final = "GET orders"
MAX_SIZE: Final = 2**18


@define(eq=False, kw_only=True)
class DmexSimulator(Simulator):
    """The venue.

    private_key: the client's; its address owns what `rest` makes. echo_hash: replies name the order hash. strict: see
    signatures. reply: how a verdict is worded ("verdictless": not at all). greeting: a frame on connect. push: an
    unrelated frame before each reply. delegates: owner -> addresses that may sign for it. rest_open_only: REST leaves
    closed orders out.
    """

    TRADING: ClassVar[frozenset[str]] = frozenset(TRADING)
    COMMANDS: ClassVar[frozenset[str]] = frozenset({*TRADING, ORDERS})

    private_key: str = field(factory=lambda: "0x" + secrets.token_hex(32), repr=False)
    echo_hash: bool = True
    strict: bool = True
    reply: Reply = field(default="success", validator=in_(get_args(Reply)))
    greeting: bool = False
    push: bool = False
    delegates: dict[str, set[str]] = field(factory=dict)
    rest_open_only: bool = False
    address: str = field(init=False, default=Factory(lambda self: address_of(self.private_key), takes_self=True))
    connections: dict[int, ServerConnection] = field(factory=dict, init=False, repr=False)
    """The open sockets by the number that `received` gives them."""
    _book: Book = field(factory=Book, init=False, repr=False)
    _numbers: Iterator[int] = field(factory=lambda: itertools.count(1), init=False, repr=False)
    _answers: set[asyncio.Task[None]] = field(factory=set, init=False, repr=False)
    _refusals: list[tuple[str, str]] = field(factory=list, init=False, repr=False)
    _ports: tuple[int, int] = field(default=(0, 0), init=False)
    _bench: DmexBench = field(init=False, repr=False, default=Factory(DmexBench, takes_self=True))
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

    @property
    def bench(self) -> DmexBench:
        return self._bench

    async def start(self) -> None:
        """Listen, on the same ports as before if this is a restart."""
        self._stopping = asyncio.Event()
        options: dict[str, Any] = {"compression": None, "max_size": MAX_SIZE, "logger": QUIET}
        self._server = await serve(self._talk, "127.0.0.1", self._ports[0], process_request=_only_ws, **options)
        app = web.Application()
        app.router.add_get("/api/orders", self._list)
        self._runner = web.AppRunner(app, access_log=None, logger=QUIET, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._ports[1]).start()
        self._ports = (self._server.sockets[0].getsockname()[1], self._runner.addresses[0][1])

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

    def excuse(self, fault: Fault, command: str) -> str:
        return faults.excuse(fault, http=command == ORDERS)

    # -- what can be seen and done from outside the wire

    @property
    def orders(self) -> dict[str, Order]:
        """The book by lower-case hash, closed orders included."""
        return self._book.orders

    def rest(self, order_hash: str | None = None, *, owner: str | None = None, **fields: Any) -> str:
        """Put an open order in the book and return its hash.

        order_hash: default random. owner: default the client. fields: attributes of Order (amount, price, side, ...).
        """
        order_hash = ("0x" + secrets.token_hex(32) if order_hash is None else order_hash).lower()
        self._book.rest(Order(hash=order_hash, owner=owner or self.address, **fields))
        return order_hash

    def enter(self, order: Order, replace_hash: str = "") -> None:
        """Enter an order as a create would, whoever signed it."""
        self._book.enter(order, replace_hash)

    def fill(self, order_hash: str, amount: int | str | None = None) -> None:
        """Execute `amount` (units of 1e-8; None: all that remains) of an open order."""
        self._book.fill(order_hash, amount)

    def close(self, order_hash: str) -> None:
        """The venue cancels an open order by itself."""
        self._book.close(order_hash)

    def refuse(self, command: str, words: str) -> None:
        """Refuse the next of these commands in these words. "replace_order": a create with a replace_hash."""
        self._refusals.append((command, words))

    async def send(self, frame: str | bytes | Mapping[str, Any]) -> None:
        """Send a frame to every connection: text or bytes as they are, a mapping as JSON."""
        for socket in list(self.connections.values()):
            with suppress(ConnectionClosed):
                await socket.send(json.dumps(frame) if isinstance(frame, Mapping) else frame)

    async def drop_connections(self) -> None:
        """Cut every socket without a closing handshake, and every connection to the list. Returns when they are gone."""
        sockets = list(self.connections.values())
        for socket in sockets:
            socket.transport.abort()
        for socket in sockets:
            await socket.wait_closed()
        await self._drop_http()

    async def _drop_http(self) -> None:
        server = self._runner.server if self._runner else None
        for handler in server.connections if server else []:
            if handler.transport is not None:
                handler.transport.abort()
        await asyncio.sleep(0)  # in which the loop tells the server that they are lost

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
        message = decode(text)
        op = message.get("op") if isinstance(message, dict) else None
        command = op if isinstance(op, str) else "?"
        strike = await self.meet(command, socket.transport, connection=number, line=number)
        if await strike.arrive() is not Fate.SEND:
            return
        await self.record(Received(number, command, text if message is None else message))
        if (self._is_switched(command) and self.is_deaf(command)) or strike.read() is not Fate.SEND:
            return
        answer = self._said(strike, command, message)
        self._spawn(self._answer(socket, command, answer, strike))  # of its own, so that a held one blocks no other

    def _said(self, strike: Strike, command: str, message: Any) -> str:
        """Execute, unless a fault strikes first, and word the answer, unless a fault has another in its place."""
        op, order_hash = self._about(command, message)
        instead = faults.said(strike, self.reply, op, order_hash)
        if instead is not None and strike.fault is not None and strike.fault.point is Point.READ:
            return instead
        answer = json.dumps(self._execute(command, message))
        return answer if instead is None else instead

    async def _answer(self, socket: ServerConnection, command: str, answer: str, strike: Strike) -> None:
        fate = await self._fate(command)
        if fate is Fate.SEND:
            fate = await strike.execute()
        if fate is Fate.HANG_UP:
            socket.transport.abort()
        elif fate is Fate.SEND:
            pushed = [json.dumps(PUSH)] if self.push else []
            sockets.put(socket, [*pushed, answer], strike, faults.stranger)
            strike.answered()

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
        error = None
        try:
            self._command(command, message)(message.get("data") if isinstance(message, dict) else None)
        except Refused as refusal:
            error = str(refusal)
        return reply(self.reply, *self._about(command, message), error)

    def _about(self, command: str, message: Any) -> tuple[str | None, Any]:
        """What a reply names: the op, if it is known, and the order hash, if it is to be echoed."""
        data = message.get("data") if isinstance(message, dict) else None
        order_hash = data.get(TRADING.get(command)) if self.echo_hash and isinstance(data, dict) else None
        return command if command in TRADING else None, order_hash

    def _command(self, command: str, message: Any) -> Callable[[Any], None]:
        if not isinstance(message, dict) or message.keys() != {"op", "data"}:
            raise Refused("Invalid request")
        if command not in TRADING:
            raise Refused("Unknown operation")
        return self._cancel if command == "cancel_order" else self._create

    def _decreed(self, command: str) -> None:
        """Raise what `refuse` has asked for."""
        refusal = next((each for each in self._refusals if each[0] == command), None)
        if refusal is not None:
            self._refusals.remove(refusal)
            raise Refused(refusal[1])

    def _cancel(self, data: Any) -> None:
        order_hash = read_cancel(data)
        self._decreed("cancel_order")
        signer = recover(order_hash, data, strict=self.strict)
        order = self._book.find(order_hash)
        self._authorize(signer, order.owner)
        order.cancel()

    def _create(self, data: Any) -> None:
        order_hash = read_create(data)
        self._decreed("create_order" if data.get("replace_hash", "") in NO_HASH else "replace_order")
        self._authorize(recover(order_hash, data, strict=self.strict), data["user_address"])
        self._book.enter(read_order(data), data.get("replace_hash", ""))

    def _authorize(self, signer: str | None, owner: str) -> None:
        delegates = {of.lower(): named for of, named in self.delegates.items()}.get(owner.lower(), set())
        if signer is None or signer.lower() not in {address.lower() for address in (owner, *delegates)}:
            raise Refused("Invalid signature")

    # -- REST

    async def _list(self, request: web.Request) -> web.StreamResponse:
        strike = await self.meet(ORDERS, request.transport)
        if await strike.arrive() is not Fate.SEND:
            return web.Response()  # never sent: the transport is closed
        await self.record(Received(0, ORDERS, dict(request.query), dict(request.headers)))
        fate = strike.read()
        response = faults.listed(strike, request.path) or self._rows(request.query.get("user", ""))
        if fate is Fate.SEND:
            fate = await self._fate(ORDERS)
        if fate is Fate.SEND:
            fate = await strike.execute()
        if fate is Fate.DROP:
            await self._stopping.wait()
        if fate is not Fate.SEND and request.transport is not None:
            request.transport.abort()
        try:
            return await pages.put(request, response, strike)
        finally:
            strike.answered()

    def _rows(self, user: str) -> web.Response:
        if ADDRESS.fullmatch(user) is None:
            return web.json_response({"success": False, "error": "Invalid user"}, status=400)
        orders = self._book.owned(user)
        shown = [order.row() for order in orders if not (order.closed and self.rest_open_only)]
        return web.json_response({"success": True, "data": shown})


def _only_ws(socket: ServerConnection, request: Request) -> Response | None:
    return None if request.path == "/ws" else socket.respond(HTTPStatus.NOT_FOUND, "not found\n")
