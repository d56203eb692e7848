"""The trade socket: connections, the order of reading, executing and answering, and who hears what.

Rules, besides those of every simulator:

1. A connection logs in once, for one account, before `auth_deadline`; a refused login ends it.
2. A command is executed when it is read; its frames form one answer, which passes the gate in a task of its own.
   Who is subscribed is looked up when the answer is sent, not when the command was executed.
3. order_response and fill_response go to every connection of the account that subscribed to their channel; everything
   else goes to the connection that asked.
4. With `switches.only` None the switches apply to TRADING commands alone; others must be named to be affected. So do
   faults. What a fault does to the bytes of an answer it does on the connection that asked; the others hear it whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable
from decimal import Decimal
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from random import Random
from typing import Any, ClassVar, Final
from uuid import uuid4

from attrs import Factory, define, field
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response as HttpResponse

from adapters.qfex.simulator import commands, faults
from adapters.qfex.simulator.bench import QfexBench
from adapters.qfex.simulator.commands import TRADING, execute
from adapters.qfex.simulator.connection import Connection, Outgoing
from adapters.qfex.simulator.frames import order_response
from adapters.qfex.simulator.model import Event, Order, Refused, Update
from adapters.qfex.simulator.venue import Venue
from adapters.qfex.simulator.wire import decode, encode
from router.testing import QUIET, Fate, Fault, Received, sockets
from router.testing.faults import SOCKET_CANNOT
from router.testing.strike import Strike

__all__ = ["QfexSimulator"]

MAX_FRAME: Final = 1 << 20  # bytes


@define(eq=False, kw_only=True)
class QfexSimulator(Venue):
    """The QFEX trade socket on 127.0.0.1. Quantities in base units, prices in quote units, times in seconds."""

    TRADING: ClassVar[frozenset[str]] = TRADING
    COMMANDS: ClassVar[frozenset[str]] = frozenset(commands.COMMANDS)

    auth_deadline: float = 60.0
    _server: Server | None = field(default=None, init=False, repr=False)
    _port: int = field(default=0, init=False)
    _accepted: int = field(default=0, init=False)
    _clients: dict[int, Connection] = field(factory=dict, init=False, repr=False)
    _refusals: list[tuple[frozenset[str], str]] = field(factory=list, init=False, repr=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False, repr=False)
    _bench: QfexBench = field(init=False, repr=False, default=Factory(QfexBench, takes_self=True))

    # -- how to reach it

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/"

    @property
    def credentials(self) -> dict[str, Any]:
        return {"url": self.url, "public_key": self.public_key, "secret_key": self.secret_key}

    @property
    def environment(self) -> dict[str, str]:
        return {f"QFEX_{name.upper()}": value for name, value in self.credentials.items()}

    @property
    def bench(self) -> QfexBench:
        return self._bench

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._clients)

    async def start(self) -> None:
        """Listen, on the same port as before if this is a restart."""
        options: dict[str, Any] = {"compression": None, "logger": QUIET, "max_size": MAX_FRAME, "close_timeout": 1}
        self._server = await serve(self._serve, "127.0.0.1", self._port, process_response=self._date, **options)
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

    def excuse(self, fault: Fault, command: str) -> str:  # noqa: ARG002 - all commands go over one socket
        return SOCKET_CANNOT.get(fault, "")

    # -- what the venue does of its own accord

    async def fill(
        self,
        order_id: str,
        quantity: Decimal | int | None = None,
        price: Decimal | int | None = None,
        *,
        copies: int = 1,
    ) -> None:
        """Let a resting order trade: all of it, or `quantity`; at its own price, or at `price`. Else KeyError.

        copies: how often it is told.
        """
        size = None if quantity is None else Decimal(quantity)
        events = self.engine.fill(order_id, size, None if price is None else Decimal(price))
        self._publish([*events[:2] * copies, *events[2:]])  # after the trade: the stops that it displaced

    async def enter(self, order: Order) -> list[Event]:
        """Enter an order or a stop that came another way than over a connection, and return what has happened."""
        events = self.exchange.add(order)
        self._publish(events)
        return events

    async def expel(self, order_id: str, status: str = "CANCELLED_STP") -> None:
        """End an order or a stop unasked, with this status; or a running TWAP."""
        if order_id in self.twaps:
            self._publish(self.exchange.end_twap(order_id))
        else:
            self._publish(self.engine.expel(order_id, status))

    async def trigger(self, stop_id: str, *, copies: int = 1) -> None:
        """Fire a stop, which then trades at market. copies: how often it is told."""
        self._publish(self.engine.trigger(stop_id) * copies)

    async def spawn_child(self, twap_id: str, *, quantity: Decimal | int | str, price: Decimal | int | str) -> str:
        """Let a running TWAP place a child, a LIMIT order like any other, and return its order_id. Else KeyError."""
        events = self.exchange.spawn_child(twap_id, Decimal(quantity), Decimal(price))
        self._publish(events)
        return next(event.order.order_id for event in events if isinstance(event, Update))

    async def set_position(self, symbol: str, quantity: Decimal | int, account: str | None = None) -> None:
        """Decree a position (signed; 0: none), of the master account unless another is named."""
        self._publish(self.engine.set_position(account or self.account_id, symbol, Decimal(quantity)))

    async def send(self, frame: dict[str, Any] | str | bytes) -> None:
        """Send this frame, as it is, to every connection that is logged in."""
        sockets = [client.socket for client in self._clients.values() if client.account]
        broadcast(sockets, encode(frame) if isinstance(frame, dict) else frame)

    def refuse(self, commands: Collection[str], word: str) -> None:
        """Answer the next of these commands with this status or error_code, and do not execute it."""
        self._refusals.append((frozenset(commands), word))

    async def drop_connections(self) -> None:
        """Drop every connection without a closing handshake; returns when cancel_on_disconnect has been honoured."""
        clients = list(self._clients.values())
        for client in clients:
            client.socket.transport.abort()
        for client in clients:
            await client.gone.wait()

    # -- connections

    def _date(self, _: ServerConnection, __: HttpRequest, response: HttpResponse) -> None:
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            del response.headers["Date"]
            response.headers["Date"] = formatdate(self.now(), usegmt=True)

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
            message, fault = decode(text), None
        except ValueError as error:
            message, fault = text, Refused("InvalidJSONFormat", str(error))
        command = message.get("type") if isinstance(message, dict) else None
        name = command[:100] if type(command) is str else "?"
        strike = await self.meet(name, client.socket.transport, connection=client.number, line=client.number)
        if await strike.arrive() is not Fate.SEND:
            return
        await self.record(Received(client.number, name, message))
        if client.refused or (self._covers(name) and self.is_deaf(name)) or strike.read() is not Fate.SEND:
            return
        answer = [self.variants.err(fault, text, text)] if fault else self._execute(client, strike, name, message, text)
        self._spawn(self._answer(client, name, answer, strike, last=client.refused))

    def _execute(self, client: Connection, strike: Strike, name: str, message: Any, text: str) -> list[Outgoing]:
        instead = faults.refusing_words(self.variants, strike.fault, client, message, text)
        if instead is not None:
            return instead
        refusal = next((each for each in self._refusals if name in each[0]), None)
        if refusal is not None:
            self._refusals.remove(refusal)
            return faults.refused_words(self.variants, refusal[1], client, message, text)
        answer = execute(self, client, name, message, text)
        return faults.executed_words(self.variants, strike.fault, answer, message, text)

    async def _answer(
        self, client: Connection, command: str, answer: list[Outgoing], strike: Strike, *, last: bool
    ) -> None:
        fate = await self.gate(command) if self._covers(command) else Fate.SEND
        if fate is Fate.SEND:
            fate = await strike.execute()
        if fate is Fate.HANG_UP:
            client.socket.transport.abort()
        if fate is not Fate.SEND:
            return
        if self.variants.strangers_first and command in TRADING:
            self._deliver([_stranger(client)], client)
        self._deliver(answer, client, strike)
        strike.answered()
        if last:
            await client.socket.close(1008, "authentication refused")

    def _covers(self, command: str) -> bool:
        only = self.switches.only
        return command in (TRADING if only is None else only)

    def _publish(self, events: Iterable[Event]) -> None:
        self._deliver(self.variants.reported(events))

    def _deliver(self, answer: list[Outgoing], asker: Connection | None = None, strike: Strike | None = None) -> None:
        for client in self._clients.values():
            if client.socket.transport.is_closing():
                continue
            frames = [item.frame for item in answer if item.reaches(client, asker)]
            if frames and self.variants.array_frames:
                frames = [frames]
            texts = [frame if isinstance(frame, str) else encode(frame) for frame in frames]
            if strike is not None and client is asker:
                sockets.put(client.socket, texts, strike, partial(self._flood, client))
            else:
                for text in texts:
                    broadcast([client.socket], text)

    def _flood(self, client: Connection, chance: Random) -> str:
        return encode(faults.stranger(client, chance).frame)


def _stranger(client: Connection) -> Outgoing:
    """An order_response about an order that nobody here has entered."""
    order = Order(account=str(uuid4()), symbol="AAPL-USD", quantity=Decimal(1), price=Decimal(100))
    order.client_order_id = uuid4().hex
    return Outgoing({"order_response": order_response(Update(order))}, "order_responses", client.account)
