"""A toy venue for tests of the core: a codec of one-word messages, and a real WebSocket server that the test scripts.

ours:    login | cancel ID | cancel-set CID | add CID | replace ID | list AFTER
theirs:  welcome | added CID ID | placed CID ID SYMBOL | killed CID ID | cancelled ID CID | refused ID | late ID | unsure ID
         received ID | not-now ID | rows ID:CID ... | nope (names nothing) | rejected CID | trade ID QTY TRADE
"""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve, frozen
from websockets.asyncio.server import ServerConnection, serve

from router import Cancel, CxlRejReason, ExecType, IdKind, Order, OrderType, OrdStatus, Outcome, Replace
from router.errors import CannotExpress
from router.session import Session
from router.venue import Answer, Codec, Effect, Execution, Frame, Item, Retry, Snapshot, Spec, Wire

SPEC = Spec(
    title="toy",
    docs_url="",
    url="ws://127.0.0.1:1",
    deadline=2.0,
    login_timeout=1.0,
    quiet_period=0.3,
    cancel_kinds=frozenset({IdKind.ORDER, IdKind.CLIENT_ORDER}),
    set_kinds=frozenset({IdKind.CLIENT_ORDER}),
    order_types=frozenset({OrderType.LIMIT}),
    lists=frozenset({IdKind.ORDER}),
    replaces=frozenset({IdKind.ORDER}),
    tells_trades=True,
)


@frozen
class ToyCodec(Codec):
    spec: Spec = SPEC

    def hello(self, now: float, entropy: bytes) -> Iterator[Wire]:
        yield Wire(keys=(("login", ""),), body=b"login", effect=Effect.READ)

    def encode(self, command: Order | Cancel | Replace, now: float) -> Wire:
        match command:
            case Cancel(kind=IdKind.CLIENT_ORDER):
                return Wire(keys=(("set", command.id),), body=f"cancel-set {command.id}".encode(), effect=Effect.ONCE)
            case Cancel():
                if "/" in command.id:
                    raise CannotExpress(f"{command.venue}: id was {command.id!r}")
                return Wire(
                    keys=(("cancel", command.id),), body=f"cancel {command.id}".encode(), effect=Effect.IDEMPOTENT
                )
            case Order():
                key = ("add", command.client_order_id)
                return Wire(keys=(key,), body=f"add {command.client_order_id}".encode(), effect=Effect.ONCE)
            case Replace():
                key = ("modify", command.target.id)
                return Wire(keys=(key,), body=f"replace {command.target.id}".encode(), effect=Effect.ONCE)

    def list_orders(self, now: float, after: str | None = None) -> Wire:
        return Wire(keys=(("list", ""),), body=f"list {after or 0}".encode(), effect=Effect.READ)

    def decode(self, frame: Frame, now: float) -> Iterator[Item]:
        word, *names = frame.body.decode().split()
        yield from getattr(self, "_" + word.replace("-", "_"))(*names)

    def _welcome(self) -> Iterator[Item]:
        yield Answer(keys=(("login", ""),), outcome=Outcome.CONFIRMED)

    def _go_away(self) -> Iterator[Item]:
        yield Answer(keys=(("login", ""),), outcome=Outcome.REFUSED, text="go away")

    def _added(self, cid: str, oid: str) -> Iterator[Item]:
        yield Execution(
            exec_type=ExecType.NEW,
            order_id=oid,
            client_order_id=cid,
            status=OrdStatus.NEW,
            symbol="T",
            quantity=Decimal(2),
        )
        yield Answer(keys=(("add", cid),), outcome=Outcome.CONFIRMED, order_id=oid)

    def _placed(self, cid: str, oid: str, symbol: str) -> Iterator[Item]:
        yield Execution(exec_type=ExecType.NEW, order_id=oid, client_order_id=cid, status=OrdStatus.NEW, symbol=symbol)
        yield Answer(keys=(("add", cid),), outcome=Outcome.CONFIRMED, order_id=oid)

    def _killed(self, cid: str, oid: str) -> Iterator[Item]:
        yield Execution(
            exec_type=ExecType.CANCELED, order_id=oid, client_order_id=cid, status=OrdStatus.CANCELED, symbol="T"
        )
        yield Answer(keys=(("add", cid),), outcome=Outcome.CONFIRMED, status=OrdStatus.CANCELED, order_id=oid)

    def _rejected(self, cid: str) -> Iterator[Item]:
        yield Answer(keys=(("add", cid),), outcome=Outcome.REFUSED, text="rejected")

    def _cancelled(self, oid: str, cid: str = "") -> Iterator[Item]:
        yield Execution(
            exec_type=ExecType.CANCELED,
            order_id=oid,
            client_order_id=cid or None,
            status=OrdStatus.CANCELED,
            symbol="T",
        )
        yield Answer(keys=(("cancel", oid),), outcome=Outcome.CONFIRMED, all=True, order_id=oid)
        yield Answer(keys=(("set", cid),), outcome=Outcome.CONFIRMED, final=False, all=True, order_id=oid)

    def _refused(self, oid: str) -> Iterator[Item]:
        unknown = CxlRejReason.UNKNOWN_ORDER
        keys = (("cancel", oid), ("set", oid), ("modify", oid))
        yield Answer(keys=keys, outcome=Outcome.REFUSED, cancel_reason=unknown, text="no such order")

    def _either(self, oid: str) -> Iterator[Item]:
        keys, rivals = (("cancel", oid), ("modify", oid)), frozenset({"cancel", "modify"})
        yield Answer(keys=keys, rivals=rivals, outcome=Outcome.REFUSED, text="one of them")

    def _late(self, oid: str) -> Iterator[Item]:
        yield Execution(
            exec_type=ExecType.ORDER_STATUS,
            order_id=oid,
            status=OrdStatus.FILLED,
            quantity=Decimal(2),
            leaves_quantity=Decimal(0),
        )
        late = CxlRejReason.TOO_LATE_TO_CANCEL
        yield Answer(keys=(("cancel", oid),), all=True, outcome=Outcome.REFUSED, cancel_reason=late, text="filled")

    def _trade(self, oid: str, quantity: str, trade_id: str) -> Iterator[Item]:
        yield Execution(exec_type=ExecType.TRADE, order_id=oid, last_quantity=Decimal(quantity), trade_id=trade_id)

    def _unsure(self, oid: str) -> Iterator[Item]:
        yield Answer(keys=(("cancel", oid), ("add", oid)), outcome=Outcome.UNKNOWN, text="server error")

    def _received(self, oid: str) -> Iterator[Item]:
        yield Answer(keys=(("cancel", oid), ("set", oid)), outcome=None, final=False)

    def _not_now(self, oid: str) -> Iterator[Item]:
        yield Answer(keys=(("cancel", oid),), outcome=Outcome.REFUSED, retry=Retry.LATER, after=0.02, text="too fast")

    def _nope(self) -> Iterator[Item]:
        yield Answer(sole=True, outcome=Outcome.REFUSED, text="nope")

    def _rows(self, *rows: str) -> Iterator[Item]:
        parts = [row.split(":") for row in rows]
        found = tuple(
            Execution(
                exec_type=ExecType.ORDER_STATUS,
                order_id=oid,
                client_order_id=cid or None,
                status=OrdStatus.NEW,
                symbol="T",
            )
            for oid, cid in parts
        )
        yield Snapshot(rows=found, keys=(("list", ""),))


class ToyVenue:
    """The server's side: what it read, and what the test makes it say."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.rows = ""
        self.lists = True
        self.welcomes = "welcome"
        self.connections: set[ServerConnection] = set()
        self.logins = 0
        self._news = asyncio.Condition()

    async def handle(self, connection: ServerConnection) -> None:
        self.connections.add(connection)
        try:
            async for message in connection:
                await self._take(connection, message.decode() if isinstance(message, bytes) else message)
        finally:
            self.connections.discard(connection)

    async def _take(self, connection: ServerConnection, message: str) -> None:
        async with self._news:
            self.read.append(message)
            self.logins += message == "login"
            self._news.notify_all()
        if message == "login" and self.welcomes:
            await connection.send(self.welcomes)
        elif message.startswith("list") and self.lists:
            await connection.send(f"rows {self.rows}")

    def count(self, prefix: str) -> int:
        return sum(message.startswith(prefix) for message in self.read)

    async def until(self, prefix: str, count: int = 1) -> None:
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: self.count(prefix) >= count)

    async def say(self, *messages: str) -> None:
        for connection in list(self.connections):
            for message in messages:
                await connection.send(message)

    async def hang_up(self) -> None:
        for connection in list(self.connections):
            connection.transport.abort()
            await connection.wait_closed()


@pytest.fixture
async def venue() -> AsyncIterator[ToyVenue]:
    toy = ToyVenue()
    async with serve(toy.handle, "127.0.0.1", 0, compression=None) as server:
        toy.port = server.sockets[0].getsockname()[1]
        yield toy


@pytest.fixture
def toy_session(venue: ToyVenue):
    """Makes sessions with the toy venue; keyword arguments change its Spec."""

    def make(**changes: object) -> Session:
        return Session(ToyCodec(evolve(SPEC, **{"url": f"ws://127.0.0.1:{venue.port}", **changes})))

    return make


@pytest.fixture
def order():
    """Makes orders at the toy venue."""

    def make(client_order_id: str | None = None, symbol: str = "T") -> Order:
        return Order("toy", symbol, "buy", "limit", "2", "10", client_order_id=client_order_id)

    return make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of localhost and venue.example, signed by itself: its file and its key's."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:venue.example"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run([openssl, "req", "-x509", *curve, *names, *files], check=True, capture_output=True)  # noqa: S603 - of ours
    return folder / "cert.pem", folder / "key.pem"
