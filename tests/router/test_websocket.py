"""The WebSocket transport over real sockets: what leaves when, what is not written to who doesn't read, how it ends, TLS."""

import asyncio
import contextlib
import socket
import ssl

import pytest
from websockets.asyncio.server import serve
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from router.errors import TransportError
from router.transport import websocket
from router.transport.websocket import HandshakeRefused, WebSocket

LIMIT = 5
BLOCK = b"x" * 65_000


class Peer:
    """The venue's end of a connection, which reads only when it is told to."""

    def __init__(self, sock):
        self.sock = sock
        self.core = ServerProtocol(max_size=None)
        self.frames = []

    async def shake_hands(self):
        while not (events := self.core.events_received()):
            self.core.receive_data(await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16))
        [self.request] = events
        self.core.send_response(self.core.accept(self.request))
        await self.flush()
        assert await self.read(1) == [(Opcode.PING, b"")]

    async def flush(self):
        for data in self.core.data_to_send():
            if data:
                await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def send(self, *frames):
        data = [each if isinstance(each, bytes) else each.serialize(mask=False) for each in frames]
        await asyncio.get_running_loop().sock_sendall(self.sock, b"".join(data))

    def _take(self, data):
        if data:
            self.core.receive_data(data)
        else:
            self.core.receive_eof()
        self.frames += [(each.opcode, bytes(each.data)) for each in self.core.events_received()]

    def here(self):
        """What has come by now: reads without waiting."""
        with contextlib.suppress(BlockingIOError):
            self._take(self.sock.recv(1 << 20))
        return self._all()

    def _all(self):
        frames, self.frames = self.frames, []
        return frames

    async def read(self, count):
        async with asyncio.timeout(LIMIT):
            while len(self.frames) < count:
                self._take(await asyncio.get_running_loop().sock_recv(self.sock, 1 << 20))
        frames, self.frames = self.frames[:count], self.frames[count:]
        return frames

    async def last(self):
        """All up to the end, and how it ended."""
        async with asyncio.timeout(LIMIT):
            try:
                while data := await asyncio.get_running_loop().sock_recv(self.sock, 1 << 20):
                    self._take(data)
            except ConnectionResetError:
                return self._all(), "reset"
            return self._all(), "end"


class Ours:
    """A WebSocket and what it has called back."""

    def __init__(self, *, max_frame=1 << 20, heartbeat=1000.0):
        self.messages, self.ends, self.drained = asyncio.Queue(), asyncio.Queue(), asyncio.Event()
        self.socket = WebSocket(
            on_frame=self.messages.put_nowait,
            on_lost=self.ends.put_nowait,
            on_drained=self.drained.set,
            max_frame=max_frame,
            heartbeat=heartbeat,
        )

    async def message(self):
        return await asyncio.wait_for(self.messages.get(), LIMIT)

    async def end(self):
        return await asyncio.wait_for(self.ends.get(), LIMIT)


def text(body):
    return Opcode.TEXT, body


@contextlib.asynccontextmanager
async def connected(**options):
    loop, ours = asyncio.get_running_loop(), Ours(**options)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        opening = asyncio.ensure_future(ours.socket.open(f"ws://127.0.0.1:{listener.getsockname()[1]}/", LIMIT))
        sock, _ = await loop.sock_accept(listener)
        sock.settimeout(0)
        with sock:
            peer = Peer(sock)
            await peer.shake_hands()
            await opening
            await asyncio.sleep(0)  # the tick of the first ping
            yield ours, peer
            ours.socket.abort("the test is over")


@pytest.fixture
async def pair():
    async with connected() as both:
        yield both


async def ticks(count=2):
    for _ in range(count):
        await asyncio.sleep(0)


# -- what leaves when


async def first_at_once_the_rest_together():
    async with connected() as (ours, peer):
        for _ in range(3):
            for body in (b"1", b"2", b"3"):
                ours.socket.send(body)
            assert peer.here() == [text(b"1")]
            assert peer.here() == []
            await ticks()
            assert peer.here() == [text(b"2"), text(b"3")]
            ours.socket.send(b"alone")
            assert peer.here() == [text(b"alone")]
            await ticks()
            assert peer.here() == []


async def test_the_first_frame_of_a_tick_leaves_at_once_and_the_others_when_it_is_over():
    await first_at_once_the_rest_together()


def test_the_same_on_uvloop():
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(messages_both_ways())


async def messages_both_ways():
    async with connected() as (ours, peer):
        for body in (b"1", b"2", BLOCK):
            ours.socket.send(body)
        assert await peer.read(3) == [text(b"1"), text(b"2"), text(BLOCK)]
        await peer.send(Frame(Opcode.TEXT, b"a"), Frame(Opcode.PING, b"p"), Frame(Opcode.TEXT, BLOCK))
        assert [await ours.message(), await ours.message()] == [b"a", BLOCK]
        assert await peer.read(1) == [(Opcode.PONG, b"p")]
        await asyncio.gather(ours.socket.close(), answer_close(peer))
        assert await ours.end() == "the server closed the connection with code 1000"


async def answer_close(peer):
    await peer.read(1)
    await peer.flush()
    peer.sock.shutdown(socket.SHUT_WR)


async def test_messages_of_one_write_are_whole_and_of_their_own():
    async with connected() as (ours, peer):
        bodies = [bytes([number]) * size for number, size in enumerate([0, 1, 125, 126, 70_000, 3])]
        for body in bodies:
            ours.socket.send(body)
        assert await peer.read(len(bodies)) == [text(body) for body in bodies]


async def test_a_pong_keeps_its_place_among_our_frames(pair):
    ours, peer = pair
    ours.socket._reader._on_message = lambda body: ours.socket.send(body + b"!")
    await peer.send(*(Frame(*each) for each in [text(b"a"), (Opcode.PING, b"p"), text(b"b"), text(b"c")]))
    assert await peer.read(4) == [text(b"a!"), (Opcode.PONG, b"p"), text(b"b!"), text(b"c!")]


async def test_what_was_sent_in_the_tick_of_close_leaves_before_the_goodbye(pair):
    ours, peer = pair
    for body in (b"1", b"2", b"3"):
        ours.socket.send(body)
    closing = asyncio.ensure_future(ours.socket.close())
    frames = await peer.read(4)
    assert frames == [text(b"1"), text(b"2"), text(b"3"), (Opcode.CLOSE, b"\x03\xe8")]
    with pytest.raises(TransportError, match="closed") as caught:
        ours.socket.send(b"late")
    assert caught.value.sent is False
    await peer.flush()
    peer.sock.shutdown(socket.SHUT_WR)
    await closing
    assert await peer.last() == ([], "end")


async def test_abort_drops_what_has_not_left(pair):
    ours, peer = pair
    for body in (b"1", b"2", b"3"):
        ours.socket.send(body)
    ours.socket.abort("enough")
    assert ours.socket.is_open is False
    with pytest.raises(TransportError) as caught:
        ours.socket.send(b"late")
    assert caught.value.sent is False
    assert await ours.end() == "enough"
    assert (await peer.last())[0] == [text(b"1")]
    assert ours.ends.empty()


# -- who does not read


def filled(ours):
    """Send, without leaving the tick, until it is full: how many frames."""
    for count in range(1, 10_000):
        ours.socket.send(BLOCK)
        if ours.socket.is_full:
            return count
    return pytest.fail("never full")


async def test_a_peer_that_does_not_read_fills_it_within_one_tick_and_empties_it_by_reading(pair):
    ours, peer = pair
    assert ours.socket.is_full is False
    count = filled(ours)
    assert ours.socket.is_open
    await ticks(5)
    assert (ours.socket.is_full, ours.drained.is_set()) == (True, False)
    assert await peer.read(count) == [text(BLOCK)] * count
    await asyncio.wait_for(ours.drained.wait(), LIMIT)
    assert ours.socket.is_full is False
    ours.socket.send(b"next")
    assert await peer.read(1) == [text(b"next")]


async def test_while_full_neither_pings_nor_pongs_pile_up(pair):
    ours, peer = pair
    count = filled(ours)
    for _ in range(5):
        ours.socket._beat()
        ours.socket._timer.cancel()
    await peer.send(*(Frame(Opcode.PING, str(number).encode()) for number in range(50)), Frame(*text(b"read")))
    assert await ours.message() == b"read"
    assert await peer.read(count + 1) == [text(BLOCK)] * count + [(Opcode.PONG, b"49")]
    await asyncio.wait_for(ours.drained.wait(), LIMIT)
    ours.socket._beat()
    ours.socket.send(b"next")
    assert await peer.read(2) == [(Opcode.PING, b""), text(b"next")]


async def test_reading_what_filled_it_is_a_sign_of_life_and_nothing_else_is(pair):
    ours, peer = pair
    for reads in (True, False):
        count = filled(ours)
        ours.socket._timer.cancel()
        ours.socket._beat()
        ours.socket._timer.cancel()
        if reads:
            assert await peer.read(count) == [text(BLOCK)] * count
            await asyncio.wait_for(ours.drained.wait(), LIMIT)
        ours.socket._listen(asyncio.get_running_loop().time())
        assert ours.socket.is_open is reads
    assert await ours.end() == "the server did not answer a ping"


async def test_a_peer_that_reads_slowly_is_alive_and_one_that_does_not_is_not(pair):
    ours, peer = pair
    now = asyncio.get_running_loop().time

    def look(check, *args):
        ours.socket._timer.cancel()
        check(*args)
        return ours.socket.is_open

    look(ours.socket._beat)
    filled(ours)
    for _ in range(50):
        ours.socket.send(BLOCK)
    await ticks()
    assert look(ours.socket._listen, now())  # it was not full when it was pinged
    for _ in range(3):
        before = ours.socket._unread
        while ours.socket._writer.unread() >= before:
            await asyncio.get_running_loop().sock_recv(peer.sock, 1 << 16)
        assert ours.socket.is_full
        assert look(ours.socket._listen, now())
        assert look(ours.socket._beat)
    assert ours.drained.is_set() is False
    assert look(ours.socket._listen, now()) is False
    assert await ours.end() == "the server did not answer a ping"


# -- how it ends


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(Opcode.TEXT, b"y" * 1001), 1009),
        (b"\xc1\x01y", 1002),
        (Frame(Opcode.CONT, b"y"), 1002),
        (Frame(Opcode.CLOSE, b"\x03\xe9"), 1001),
    ],
)
async def test_what_ends_it_is_answered_and_the_messages_before_it_are_heard(frame, code):
    async with connected(max_frame=1000) as (ours, peer):
        await peer.send(Frame(*text(b"before")), frame, Frame(*text(b"after")))
        [(opcode, body)] = await peer.read(1)
        assert (opcode, body[:2]) == (Opcode.CLOSE, code.to_bytes(2))
        assert await ours.message() == b"before"
        assert ours.socket.is_open is False
        peer.sock.close()
        await ours.end()
        assert ours.messages.empty()


async def test_a_server_that_does_not_answer_our_close_is_left(pair):
    ours, _ = pair
    await ours.socket.close()
    assert await ours.end() == "closed by us"


async def test_whose_opening_was_given_up_is_not_told_of_its_end():
    loop, ours = asyncio.get_running_loop(), Ours()
    ours.socket._on_frame = lambda _: opening.cancel()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        opening = asyncio.ensure_future(ours.socket.open(f"ws://127.0.0.1:{listener.getsockname()[1]}/", LIMIT))
        sock, _ = await loop.sock_accept(listener)
        sock.settimeout(0)
        with sock:
            peer = Peer(sock)
            while not (events := peer.core.events_received()):
                peer.core.receive_data(await loop.sock_recv(sock, 1 << 16))
            peer.core.send_response(peer.core.accept(events[0]))
            await peer.send(*peer.core.data_to_send(), Frame(*text(b"at once")))
            with pytest.raises(asyncio.CancelledError):
                await opening
            await asyncio.wait([ours.socket._closed], timeout=LIMIT)
    assert ours.socket._closed.done()
    assert ours.ends.empty()


async def test_a_message_in_parts_and_one_of_just_the_limit():
    async with connected(max_frame=70_000) as (ours, peer):
        parts = [Frame(Opcode.TEXT, b"a", fin=False), Frame(Opcode.PING, b""), Frame(Opcode.CONT, b"b")]
        await peer.send(*parts, Frame(*text(b"z" * 70_000)), Frame(Opcode.BINARY, b"c"))
        assert [await ours.message() for _ in range(3)] == [b"ab", b"z" * 70_000, b"c"]


async def test_a_peer_that_hangs_up_in_the_middle_of_a_frame(pair):
    ours, peer = pair
    await peer.send(Frame(*text(b"half")).serialize(mask=False)[:4])
    peer.sock.close()
    assert await ours.end() == "the server hung up"
    assert ours.messages.empty()


async def test_a_refused_handshake_has_its_status_and_headers_and_loses_nothing():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\n\r\n\r\n")
        await writer.drain()
        writer.close()

    server, ours = await asyncio.start_server(refuse, "127.0.0.1", 0), Ours()
    async with server:
        with pytest.raises(HandshakeRefused) as caught:
            await ours.socket.open(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", LIMIT)
        assert (caught.value.status, caught.value.headers["retry-after"], caught.value.sent) == (429, "7", False)
        await asyncio.wait([ours.socket._closed], timeout=LIMIT)
    assert ours.socket.is_open is False
    assert ours.ends.empty()


async def test_a_url_that_is_none_is_not_shown():
    for url in ("ws://user:pa55word@h:port/", "http://user:pa55word@h/"):
        with pytest.raises(TransportError, match="not a WebSocket URL") as caught:
            await Ours().socket.open(url, LIMIT)
        assert "pa55word" not in str(caught.value)
        assert caught.value.__context__ is None


async def test_no_extension_is_offered_and_the_socket_does_not_wait(pair):
    ours, peer = pair
    assert "Sec-WebSocket-Extensions" not in peer.request.headers
    sock = ours.socket._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == websocket.USER_TIMEOUT


# -- TLS


@pytest.fixture
async def secure(certificate):
    """The port of an echo over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_tls_with_an_authority_of_the_users_own(certificate, secure, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    ours = Ours()
    await ours.socket.open(f"wss://localhost:{secure}/", LIMIT)
    for body in (b"a", b"b", BLOCK):
        ours.socket.send(body)
    assert [await ours.message() for _ in range(3)] == [b"a", b"b", BLOCK]
    await ours.socket.close()
    assert await ours.end() == "the server closed the connection with code 1000"


@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("127.0.0.1", True)])
async def test_tls_with_an_unknown_authority_or_of_another_host_is_refused(
    certificate, secure, monkeypatch, host, trusted
):
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    ours = Ours()
    with pytest.raises(TransportError, match="certificate verify failed") as caught:
        await ours.socket.open(f"wss://{host}:{secure}/", LIMIT)
    assert caught.value.sent is False
    assert ours.socket.is_open is False
