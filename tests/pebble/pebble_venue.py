"""The smallest whole venue, as somebody else's package has it: one word each way over a WebSocket, cancels only.

ours: take KEY ID | theirs: taken ID or none ID
"""

from attrs import define, evolve, field, frozen
from websockets.asyncio.server import serve

from router import Cancel, CxlRejReason, IdKind, Outcome
from router.errors import CannotExpress
from router.session import Session
from router.testing import QUIET, Received, Simulator
from router.venue import Answer, Codec, Effect, Spec, Wire

SPEC = Spec(title="pebble", docs_url="https://pebble.invalid/api", cancel_kinds=frozenset({IdKind.ORDER}))


@frozen
class PebbleCodec(Codec):
    spec: Spec
    key: str = field(repr=False)

    def encode(self, command, now):
        if not isinstance(command, Cancel):
            raise CannotExpress("pebble only cancels")
        body = f"take {self.key} {command.id}".encode()
        return Wire(keys=(("take", command.id),), body=body, effect=Effect.IDEMPOTENT)

    def decode(self, frame, now):
        word, order = frame.body.decode().split()
        outcome = {"taken": Outcome.CONFIRMED, "none": Outcome.REFUSED}[word]
        yield Answer(keys=(("take", order),), outcome=outcome, cancel_reason=CxlRejReason.UNKNOWN_ORDER, text=word)

    def secrets(self):
        return (self.key,)


class Pebble(Session):
    declared = SPEC

    def __init__(self, key, *, url):
        if " " in key:
            raise ValueError(f"pebble: a key has no blanks, this was {key!r}")
        super().__init__(PebbleCodec(evolve(SPEC, url=url), key))

    @classmethod
    def from_environ(cls, environ):
        """PEBBLE_KEY and PEBBLE_URL."""
        return cls(environ["PEBBLE_KEY"], url=environ["PEBBLE_URL"])


@define(eq=False)
class PebbleSimulator(Simulator):
    orders: set = field(factory=set)
    _server: object = None

    @property
    def url(self):
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    @property
    def credentials(self):
        return {"key": "a-pebble", "url": self.url}

    @property
    def environment(self):
        return {"PEBBLE_KEY": "a-pebble", "PEBBLE_URL": self.url}

    async def start(self):
        self._server = await serve(self._talk, "127.0.0.1", 0, logger=QUIET)

    async def stop(self):
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _talk(self, socket):
        async for text in socket:
            _, key, order = text.decode().split() if isinstance(text, bytes) else text.split()
            await self.record(Received(1, "take", order))
            taken = key == "a-pebble" and order in self.orders
            self.orders.discard(order)
            await socket.send(f"{'taken' if taken else 'none'} {order}")
