"""The link by itself over a real socket: a connection that ends while the login finishes is not taken for one."""

import asyncio

import pytest
from websockets.asyncio.server import serve

from router import IdKind, VenueUnreachable
from router.link import Link
from router.redact import Redactor
from router.report import SessionState
from router.venue import Codec, Spec


class Plain(Codec):
    """A venue without a login."""

    def __init__(self, url):
        self.spec = Spec(title="plain", docs_url="", url=url, cancel_kinds=frozenset({IdKind.ORDER}), login_timeout=5.0)

    spec = None

    def encode(self, command, now):
        raise NotImplementedError

    def decode(self, frame, now):
        return ()


class Venue:
    """Ends its first connection in one of three ways when it is told to."""

    def __init__(self, how):
        self.how, self.connections, self.told = how, [], asyncio.Event()

    async def handle(self, connection):
        self.connections.append(connection)
        if len(self.connections) == 1:
            await self.told.wait()
            if self.how == "reset":
                connection.transport.abort()
            elif self.how == "fin":
                connection.transport.write_eof()
            else:
                connection.protocol.send_close(1013)
                connection.transport.write(b"".join(connection.protocol.data_to_send()))
        await connection.wait_closed()


class User:
    """As much of a session as a link needs. Its first login is over only when the connection is."""

    def __init__(self, venue):
        self.venue, self.logins, self.reasons = venue, 0, []
        self.heard, self.lost, self.writable = (lambda body: None), self.reasons.append, (lambda: None)

    async def ask(self, wire, timeout):
        raise NotImplementedError

    async def logged_in(self):
        self.logins += 1
        if self.logins == 1:
            self.venue.told.set()
            await until(lambda: not self.link.socket.is_open)

    async def sync(self):
        raise NotImplementedError


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


async def opened(how, *, strict):
    venue = Venue(how)
    async with serve(venue.handle, "127.0.0.1", 0, compression=None) as server:
        user = User(venue)
        codec = Plain(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        link = user.link = Link("plain", codec, Redactor(), user)
        try:
            await link.open(strict=strict)
            await until(lambda: link.state is SessionState.READY)
            assert link.is_up
            assert (user.logins, len(venue.connections)) == (2, 2)
        finally:
            await link.close()


@pytest.mark.parametrize("how", ["reset", "fin", "close"])
async def test_a_connection_that_ends_while_the_login_finishes_is_made_anew(how):
    await opened(how, strict=False)


@pytest.mark.parametrize("how", ["reset", "fin", "close"])
def test_the_same_on_uvloop(how):
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(opened(how, strict=False))


async def test_who_must_be_connected_is_told():
    with pytest.raises(VenueUnreachable, match="the connection was lost during the login"):
        await opened("reset", strict=True)
