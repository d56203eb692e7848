"""The proxy that breaks connections, between bare sockets: what each side reads, byte for byte."""

import asyncio
import contextlib
import socket

import pytest

from router.testing import FaultProxy

LIMIT = 5


class Peer:
    """One end of a connection. Its reads end with the limit."""

    def __init__(self, sock):
        self.sock = sock

    async def send(self, data):
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def some(self):
        """What one read gives: bytes, or "end", or "reset"."""
        async with asyncio.timeout(LIMIT):
            try:
                return await asyncio.get_running_loop().sock_recv(self.sock, 1 << 20) or "end"
            except ConnectionResetError:
                return "reset"

    async def read(self, count):
        data = b""
        while len(data) < count:
            data += await self.some()
        return data

    async def last(self):
        """Everything up to the end, and how it ended."""
        data = b""
        while isinstance(part := await self.some(), bytes):
            data += part
        return data, part


@pytest.fixture
async def upstream():
    """A listener, from which a test accepts the other ends itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield listener


@pytest.fixture
async def proxy(upstream):
    async with FaultProxy(*upstream.getsockname()) as running:
        yield running


@pytest.fixture
async def dial(proxy):
    with contextlib.ExitStack() as stack:

        async def connect():
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0)
            host, port = proxy.url_of("tcp://h:1").removeprefix("tcp://").split(":")
            await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
            return Peer(sock)

        yield connect


@pytest.fixture
async def meet(upstream):
    with contextlib.ExitStack() as stack:

        async def accept():
            async with asyncio.timeout(LIMIT):
                sock, _ = await asyncio.get_running_loop().sock_accept(upstream)
            sock.settimeout(0)
            return Peer(stack.enter_context(sock))

        yield accept


@pytest.fixture
async def pair(dial, meet):
    return await dial(), await meet()


async def test_it_passes_everything_on_and_counts_it(proxy, pair):
    client, server = pair
    blob = bytes(range(256)) * 4000
    sending = asyncio.create_task(client.send(blob))
    assert await server.read(len(blob)) == blob
    await sending
    await server.send(b"pong")
    assert await client.read(4) == b"pong"
    await client.send(b"!")
    await proxy.until_client_bytes(len(blob) + 1)
    assert (proxy.connections, proxy.client_bytes, proxy.server_bytes) == (1, len(blob) + 1, 4)


async def test_one_side_may_end_and_still_read(pair):
    client, server = pair
    await client.send(b"last words")
    client.sock.shutdown(socket.SHUT_WR)
    assert await server.last() == (b"last words", "end")
    await server.send(b"heard")
    server.sock.shutdown(socket.SHUT_WR)
    assert await client.last() == (b"heard", "end")


async def test_a_reset_of_one_side_is_one_of_the_other(pair):
    client, server = pair
    server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.sock.close()
    assert await client.some() == "reset"


async def test_reset_strikes_both_sides_of_all_connections_and_new_ones_work(proxy, dial, meet, pair):
    others = await dial(), await meet()
    proxy.reset()
    assert [await each.some() for each in (*pair, *others)] == ["reset"] * 4
    client, server = await dial(), await meet()
    await client.send(b"x")
    assert await server.some() == b"x"
    assert proxy.connections == 3


@pytest.mark.parametrize("after", [1, 7, 99])
async def test_reset_after_passes_exactly_so_many_more_bytes(proxy, pair, after):
    client, server = pair
    await client.send(b"before")
    assert await server.read(6) == b"before"
    proxy.reset_after(client_bytes=after)
    await client.send(b"z" * 100)
    assert await server.last() == (b"z" * after, "reset")
    assert await client.some() == "reset"
    assert proxy.client_bytes == 6 + after


async def test_reset_after_counts_one_direction_and_over_several_writes(proxy, pair):
    client, server = pair
    proxy.reset_after(server_bytes=5)
    await client.send(b"c" * 50)
    await server.read(50)
    await server.send(b"123")
    assert await client.read(3) == b"123"
    await server.send(b"4567")
    assert await client.last() == (b"45", "reset")
    assert await server.some() == "reset"


async def test_reset_after_nothing_is_now(proxy, pair):
    proxy.reset_after(server_bytes=0)
    assert [await each.some() for each in pair] == ["reset"] * 2


async def test_a_range_is_drawn_from_on_the_seed(upstream):
    found = {}
    for seed in (1, 1, 2, 3, 4):
        proxy = FaultProxy(*upstream.getsockname(), seed=seed)
        proxy.reset_after(client_bytes=range(1, 10**6))
        drawn = next(iter(proxy._fuses.values()))
        assert found.setdefault(seed, drawn) == drawn
    assert len(set(found.values())) == 4


async def test_half_open_passes_nothing_and_closes_nothing_until_it_is_healed(proxy, dial, meet, pair):
    client, server = pair
    proxy.half_open()
    await client.send(b"to nowhere")
    await server.send(b"from nowhere")
    late = await dial()
    await late.send(b"late")
    await proxy.until_connections(2)
    for each in (client, server, late):
        with pytest.raises(BlockingIOError):
            each.sock.recv(1)
    assert (proxy.client_bytes, proxy.server_bytes) == (0, 0)
    proxy.heal()
    assert await server.read(10) == b"to nowhere"
    assert await client.read(12) == b"from nowhere"
    assert await (await meet()).read(4) == b"late"


async def test_an_end_does_not_pass_while_half_open(proxy, pair):
    client, server = pair
    proxy.half_open()
    await client.send(b"bye")
    client.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(TimeoutError):
        await proxy.until_client_bytes(1, timeout=0.05)
    proxy.heal()
    assert await server.last() == (b"bye", "end")


async def test_byte_by_byte_each_is_a_write_of_its_own(proxy, pair):
    client, server = pair
    proxy.byte_by_byte(single=True)
    writes = []
    passing = proxy._write

    async def note(side, part, writer):
        writes.append(part)
        await passing(side, part, writer)

    type(proxy)._write, kept = lambda self, *args: note(*args), type(proxy)._write
    try:
        await client.send(b"hello")
        assert await server.read(5) == b"hello"
    finally:
        type(proxy)._write = kept
    assert writes == [b"h", b"e", b"l", b"l", b"o"]
    proxy.byte_by_byte(single=False)
    await client.send(b"whole")
    assert await server.some() == b"whole"


async def test_refused_connections_and_the_same_port_again(proxy, dial, meet, pair):
    client, server = pair
    port = proxy._port
    proxy.refuse()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await dial()
    await client.send(b"still here")
    assert await server.read(10) == b"still here"
    proxy.accept()
    proxy.accept()
    again, upstream = await dial(), await meet()
    await again.send(b"again")
    assert (await upstream.read(5), proxy._port, proxy.connections) == (b"again", port, 2)


async def test_an_upstream_that_refuses_resets_the_client():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    async with FaultProxy(*address) as proxy:
        with socket.socket() as sock:
            sock.settimeout(0)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", proxy._port))
            assert await Peer(sock).some() == "reset"
        assert proxy.connections == 1


async def test_urls_keep_all_but_the_address(proxy):
    port = proxy._port
    assert proxy.url_of("ws://127.0.0.1:80/ws?x=1#y") == f"ws://127.0.0.1:{port}/ws?x=1#y"
    assert proxy.url_of("http://user:word@venue.example") == f"http://user:word@127.0.0.1:{port}"
    with pytest.raises(RuntimeError, match="not running"):
        FaultProxy("127.0.0.1", 1).url_of("ws://x")


async def test_leaving_ends_whatever_is_connected_or_connecting(upstream):
    async with FaultProxy(*upstream.getsockname()) as proxy:
        proxy.half_open()
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(socket.create_connection(("127.0.0.1", proxy._port))) for _ in range(3)]
            for sock in socks:
                sock.settimeout(0)
            await proxy.until_connections(1)
            proxy.reset()
            async with asyncio.timeout(LIMIT):
                assert await Peer(socks[0]).some() in {"reset", "end"}
    assert proxy._relays == {}
