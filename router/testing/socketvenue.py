"""A venue that speaks JSON over a WebSocket: an author writes what it says, this is the server. See `VenueServer`.

Rules, besides those of every simulator:

1. With a LOGIN among its VERBS, a connection may ask nothing else before one of its logins was answered without a refusal.
   Whoever listens is logged in; with a SUBSCRIBE among them, it hears the channels that it asked for.
2. A command is executed when it is read. Its answer, and what its changes of the book are told in, pass the gate together;
   the answer goes first, to whoever asked; the rest to all who listen.
3. What a fault does to the bytes of an answer it does on the connection that asked; the others hear it whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from email.utils import formatdate
from random import Random
from typing import Any, ClassVar, Final

from attrs import define, field
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from router.testing import sockets
from router.testing.bench import Verb
from router.testing.book import Change, Placed, stranger
from router.testing.faults import SOCKET_CANNOT, Fate, Fault
from router.testing.simulator import QUIET, Received
from router.testing.strike import Strike
from router.testing.venueserver import NO_WORD, Mistake, VenueServer
from router.testing.venuewords import HOSTILE, Ask, Refused, read_json, write_json

__all__ = ["Ask", "Change", "Placed", "Refused", "SocketVenue"]

MAX_FRAME: Final = 1 << 20  # bytes
REASON: Final = 120  # bytes; a close frame has room for 123
INSTEAD: Final = frozenset({Fault.EXPIRED_TOKEN, Fault.THROTTLED, Fault.THROTTLED_NO_HINT, Fault.SERVER_ERROR})
"""The faults in which the venue speaks in the place of executing."""
WORDED: Final = INSTEAD | {Fault.SERVER_ERROR_EXECUTED}


@define(eq=False)
class Connection:
    """One client, whether it is logged in, and the channels that it hears."""

    number: int
    socket: ServerConnection = field(repr=False)
    is_known: bool = False
    channels: set[str] = field(factory=set)
    gone: asyncio.Event = field(factory=asyncio.Event, repr=False)


@define(eq=False, kw_only=True)
class SocketVenue(VenueServer):
    """A simulated venue on a WebSocket of 127.0.0.1."""

    WORD: ClassVar[str] = "op"
    """The name in a message under which its command word is."""

    _server: Server | None = field(default=None, init=False, repr=False)
    _port: int = field(default=0, init=False)
    _accepted: int = field(default=0, init=False)
    _clients: dict[int, Connection] = field(factory=dict, init=False, repr=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False, repr=False)
    _asking: Connection | None = field(default=None, init=False, repr=False)

    # -- what an author may change

    def channels(self, ask: Ask) -> Collection[str]:  # noqa: ARG002 - a default
        """What a SUBSCRIBE asks for."""
        return [""]

    def channel(self, change: Change) -> str:  # noqa: ARG002 - a default
        """The channel on which a change is told."""
        return ""

    def word(self, message: Any) -> str:
        """The command word of a message; "?" for one that has none."""
        word = message.get(self.WORD) if isinstance(message, dict) else None
        return word[:100] if type(word) is str else "?"

    def admits(self, ask: Ask) -> bool:
        return ask.verb is Verb.LOGIN or self._asking is None or self._asking.is_known

    # -- life

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/"

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

    async def drop_connections(self) -> None:
        clients = list(self._clients.values())
        for client in clients:
            client.socket.transport.abort()
        for client in clients:
            await client.gone.wait()

    async def send(self, message: Any) -> None:
        """Send this, as it is if it is text or bytes, to every connection that is logged in."""
        text = message if isinstance(message, str | bytes) else write_json(message)
        broadcast([client.socket for client in self._clients.values() if client.is_known], text)

    def excuse(self, fault: Fault, command: str) -> str:
        if fault is Fault.FLOOD and self._tale(stranger("?", self.SYMBOL)) is None:
            return "the venue tells nothing unasked"
        if fault in WORDED and self.word_for(fault) is None:
            return NO_WORD
        return SOCKET_CANNOT.get(fault, "") or super().excuse(fault, command)

    def request(self, received: Received) -> Ask:
        return Ask(received.command, self.VERBS.get(received.command, Verb.OTHER), received.message)

    # -- connections

    def _date(self, _: ServerConnection, __: Request, response: Response) -> None:
        del response.headers["Date"]
        response.headers["Date"] = formatdate(self.now(), usegmt=True)

    async def _serve(self, socket: ServerConnection) -> None:
        self._accepted += 1
        client = Connection(self._accepted, socket, is_known=Verb.LOGIN not in self.VERBS.values())
        if Verb.SUBSCRIBE not in self.VERBS.values():
            client.channels.add("")
        self._clients[client.number] = client
        try:
            async for raw in socket:
                await self._receive(client, raw)
        except ConnectionClosed:
            pass  # dropped rather than closed: the same to us
        finally:
            del self._clients[client.number]
            client.gone.set()

    # -- from a frame to an answer

    def _word(self, message: Any) -> str:
        try:
            return self.word(message)
        except HOSTILE:
            return "?"

    async def _receive(self, client: Connection, raw: str | bytes) -> None:
        try:
            message = read_json(raw)
        except (ValueError, RecursionError):
            message = raw
        word = self._word(message)
        strike = await self.meet(word, client.socket.transport, connection=client.number, line=client.number)
        if await strike.arrive() is not Fate.SEND:
            return
        received = Received(client.number, word, message)
        await self.record(received)
        if (self._covers(word) and self.is_deaf(word)) or strike.read() is not Fate.SEND:
            return
        try:
            texts, changes = self._said(client, self.request(received), strike)
        except Mistake as mistake:
            await client.socket.close(1011, str(mistake).encode()[:REASON].decode(errors="ignore"))
            return
        task = asyncio.create_task(self._reply(client, word, texts, changes, strike))
        self._tasks.add(task)  # of its own, so that a held answer blocks no other
        task.add_done_callback(self._tasks.discard)

    def _said(self, client: Connection, ask: Ask, strike: Strike) -> tuple[list[str], list[Change]]:
        """What whoever asked is answered, and what all are told."""
        if strike.fault is Fault.HTML_PAGE:
            return [sockets.PAGE], []
        word = self.word_for(strike.fault)
        if word is not None and strike.fault in INSTEAD:
            return _texts(self._refusal(ask, word)), []
        message = self._executed(client, ask)
        changes = self.book.take()
        if word is not None and strike.fault is Fault.SERVER_ERROR_EXECUTED:
            message = self._refusal(ask, word)
        return _texts(message), changes

    def _executed(self, client: Connection, ask: Ask) -> Any:
        if ask.verb is Verb.OTHER and ask.word not in self.VERBS:
            return self._refusal(ask, self.MALFORMED)
        self._asking = client
        try:
            message, _ = self._answer(ask)
        finally:
            self._asking = None
        return message

    def _accepted_from(self, ask: Ask) -> None:
        if self._asking is not None and ask.verb is Verb.LOGIN:
            self._asking.is_known = True
        elif self._asking is not None and ask.verb is Verb.SUBSCRIBE:
            self._asking.channels.update(self.channels(ask))

    async def _reply(
        self, client: Connection, word: str, texts: list[str], changes: Sequence[Change], strike: Strike
    ) -> None:
        fate = await self.gate(word) if self._covers(word) else Fate.SEND
        if fate is Fate.SEND:
            fate = await strike.execute()
        if fate is Fate.HANG_UP:
            client.socket.transport.abort()
        if fate is not Fate.SEND:
            return
        mine = [] if strike.fault is Fault.SERVER_ERROR_EXECUTED else self._news(client, changes)
        sockets.put(client.socket, [*texts, *mine], strike, self._stranger)
        strike.answered()
        self._publish(changes, but=client)
        if strike.fault is Fault.EXPIRED_TOKEN:
            await client.socket.close(1008, "the login has ended")

    def _publish(self, changes: Sequence[Change], but: Connection | None = None) -> None:
        for client in self._clients.values():
            if client is but or client.socket.transport.is_closing():
                continue
            for text in self._news(client, changes):
                broadcast([client.socket], text)

    def _news(self, client: Connection, changes: Sequence[Change]) -> list[str]:
        """What this connection hears of some changes."""
        heard = [each for each in changes if client.is_known and self.channel(each) in client.channels]
        return [text for change in heard for text in _texts(self._tale(change))]

    def _tale(self, change: Change) -> Any:
        """How a change is told; nothing, if the author's code fails over it."""
        try:
            return self.told(change)
        except Exception as error:  # noqa: BLE001 - it is logged
            self._mistake(error)
            return None

    def _stranger(self, chance: Random) -> str:
        return "".join(_texts(self._tale(stranger(f"{chance.getrandbits(128):032x}", self.SYMBOL))))


def _texts(message: Any) -> list[str]:
    """A message as it is put on the wire, if there is one."""
    return [] if message is None else [write_json(message)]
