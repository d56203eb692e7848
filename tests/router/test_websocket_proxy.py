"""Proxies from the environment: which one is used, what it is asked, and that what goes wrong with it is told without its password."""

import asyncio
import base64
import contextlib
import gc
import socket
import ssl
import sys
from types import SimpleNamespace

import pytest
from websockets.asyncio.server import serve

from router.errors import TransportError
from router.transport.proxy import _Tunnel
from router.transport.websocket import WebSocket

LIMIT = 5
VARIABLES = ("wss", "ws", "https", "http", "all", "no", "socks")
ASKED = "CONNECT {} HTTP/1.1\r\nHost: {}\r\n\r\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Sets proxies, as keywords. None is set before."""
    for name in VARIABLES:
        for spelling in (f"{name}_proxy", f"{name}_PROXY".upper()):
            monkeypatch.delenv(spelling, raising=False)

    def change(**proxies):
        for name, url in proxies.items():
            monkeypatch.setenv(f"{name}_proxy", url)

    return change


async def relay(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def listening(handler, **options):
    """A server whose connections end with it: its port."""
    handling = {}

    async def handle(reader, writer):
        handling[asyncio.current_task()] = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in handling.values():
            writer.transport.abort()
        await asyncio.gather(*handling, return_exceptions=True)


async def joined(port, reader, writer):
    """Both ways between a connection of ours and a port of this machine."""
    theirs, out = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(relay(reader, out), relay(theirs, writer))


@contextlib.asynccontextmanager
async def proxying(upstream, answer=b"HTTP/1.1 200 Connection established\r\n\r\n", **options):
    """An HTTP proxy in front of one port, whatever it is asked for: its port, and what it is asked."""
    asked = []

    async def handle(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()
        await joined(upstream, reader, writer)

    async with listening(handle, **options) as port:
        yield SimpleNamespace(port=port, asked=asked)


async def echo(connection):
    async for message in connection:
        await connection.send(message)


@pytest.fixture
async def venue():
    async with serve(echo, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def client(messages):
    return WebSocket(on_frame=messages.put_nowait, on_lost=lambda _: None, max_frame=1 << 20, heartbeat=1000)


async def echoed(url):
    """What comes back of three messages of one tick, by a connection whose socket is looked at."""
    messages = asyncio.Queue()
    ours = client(messages)
    await ours.open(url, LIMIT)
    assert ours._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    bodies = [b"a", b"b" * 300, b"c" * 100_000]
    for body in bodies:
        ours.send(body)
    async with asyncio.timeout(LIMIT):
        assert [await messages.get() for _ in bodies] == bodies
    await ours.close()


async def refused(url, timeout=LIMIT):
    with pytest.raises(TransportError) as caught:
        await client(asyncio.Queue()).open(url, timeout)
    assert caught.value.sent is False
    assert "pa55" not in str(caught.value) + str(caught.value.__cause__) + repr(caught.value.__context__)
    return str(caught.value)


# -- which, and what it is asked


@pytest.mark.parametrize("name", ["ws", "https", "http", "all"])
async def test_the_tunnel_is_asked_for_and_the_venue_is_at_its_other_end(venue, environment, name):
    async with proxying(venue) as proxy:
        environment(**{name: f"http://127.0.0.1:{proxy.port}"})
        await echoed("ws://venue.example:8080/path")
    assert proxy.asked == [ASKED.format("venue.example:8080", "venue.example:8080")]


async def test_the_default_port_is_named_and_so_is_an_ipv6_address(venue, environment):
    async with proxying(venue) as proxy:
        environment(http=f"127.0.0.1:{proxy.port}")  # a URL without its scheme, as curl takes it
        await echoed("ws://venue.example/")
        await echoed("ws://[::1]:80/")
    assert [each.split()[1] for each in proxy.asked] == ["venue.example:80", "[::1]:80"]


async def test_credentials_of_the_url_are_given_to_the_proxy_and_to_nobody_else(environment):
    seen = []

    async def look(connection):
        seen.append(connection.request.headers)
        await echo(connection)

    async with serve(look, "127.0.0.1", 0) as server, proxying(server.sockets[0].getsockname()[1]) as proxy:
        environment(http=f"http://us%65r:pa55%3Aword@127.0.0.1:{proxy.port}/")
        await echoed("ws://venue.example/")
    [line] = [each for each in proxy.asked[0].split("\r\n") if each.startswith("Proxy-Authorization: Basic ")]
    assert base64.b64decode(line.split()[-1]) == b"user:pa55:word"
    assert "Proxy-Authorization" not in seen[0]


@pytest.mark.parametrize("exception", ["127.0.0.1", "localhost,127.0.0.1", "*"])
async def test_hosts_of_no_proxy_are_reached_directly(venue, environment, exception):
    environment(http="http://127.0.0.1:1", all="http://127.0.0.1:1", no=exception)
    await echoed(f"ws://127.0.0.1:{venue}/")


@pytest.mark.parametrize(
    ("url", "order"),
    [("wss://v.example/", ["wss", "https", "all"]), ("ws://v.example/", ["ws", "https", "http", "all"])],
)
async def test_the_first_of_several_is_used(environment, url, order):
    for number, name in reversed(list(enumerate(order, 1))):
        environment(**{name: f"http://127.0.0.1:{number}"})
        assert f"cannot connect to the proxy 127.0.0.1:{number}" in await refused(url)


# -- what goes wrong


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "refused with HTTP 407"),
        (b"HTTP/1.0 502 \r\n\r\n", "refused with HTTP 502"),
        (b"220 mail.example ESMTP\r\n\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 17_000 + b"\r\n\r\n", "did not answer in HTTP"),
        (b"x" * 17_000, "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "hung up"),
        (b"", "hung up"),
    ],
)
async def test_a_proxy_that_does_not_open_a_tunnel(environment, answer, said):
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with listening(handle) as port:
        environment(http=f"http://user:pa55word@127.0.0.1:{port}")
        assert await refused("ws://venue.example/") == f"the proxy 127.0.0.1:{port} {said}"


async def test_a_proxy_that_speaks_into_the_tunnel(environment):
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n")
        await writer.drain()
        await reader.read()

    async with listening(handle) as port:
        environment(http=f"http://user:pa55word@127.0.0.1:{port}")
        assert "bytes of its own" in await refused("ws://venue.example/")


@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
async def test_a_proxy_that_says_nothing_ends_at_the_time_out_and_is_left(environment, scheme):
    left = asyncio.Event()

    async def handle(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        left.set()

    async with listening(handle) as port:
        environment(http=f"{scheme}://user:pa55word@127.0.0.1:{port}")
        assert await refused("ws://venue.example/", timeout=0.2) == "no WebSocket handshake within 0.2 s"
        await asyncio.wait_for(left.wait(), LIMIT)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://user:pa55@h:1",
        "http://user:pa55/w@h",
        "http://pa55@h",
        "http://user:pa55@h:1/path",
        "http://:pa55",
        "://pa55",
    ],
)
async def test_a_proxy_url_that_is_none_is_not_shown(environment, url):
    environment(http=url)
    said = await refused("ws://venue.example/")
    assert said == "the proxy that the environment names for venue.example is not a proxy's URL"


# -- TLS


@pytest.fixture
def tls(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture
async def secure(tls):
    async with serve(echo, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


async def test_tls_inside_the_tunnel_is_with_the_venue(secure, environment):
    async with proxying(secure) as proxy:
        environment(wss=f"http://127.0.0.1:{proxy.port}")
        await echoed("wss://venue.example/")
        said = await refused("wss://other.example/")
    assert [each.split()[1] for each in proxy.asked] == ["venue.example:443", "other.example:443"]
    assert "cannot connect to other.example:443" in said
    assert "certificate verify failed" in said


async def test_tls_with_the_proxy_and_inside_of_it(secure, venue, environment, tls):
    async with proxying(secure, ssl=tls) as proxy:
        environment(wss=f"https://localhost:{proxy.port}")
        await echoed("wss://venue.example/")
    async with proxying(venue, ssl=tls) as proxy:
        environment(ws=f"https://localhost:{proxy.port}")
        await echoed("ws://venue.example/")
        environment(ws=f"https://127.0.0.1:{proxy.port}")
        assert "certificate verify failed" in await refused("ws://venue.example/")


async def test_a_tunnel_that_ends_in_the_handshake_of_tls(environment):
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read(1)

    async with listening(handle) as port:
        environment(wss=f"http://user:pa55word@127.0.0.1:{port}")
        assert "cannot connect to venue.example:443" in await refused("wss://venue.example/")


def test_the_same_on_uvloop(environment, tls):
    uvloop = pytest.importorskip("uvloop")

    async def through():
        async with (
            serve(echo, "127.0.0.1", 0, ssl=tls) as server,
            proxying(server.sockets[0].getsockname()[1]) as proxy,
        ):
            environment(wss=f"http://127.0.0.1:{proxy.port}")
            await echoed("wss://venue.example/")
        async with serve(echo, "127.0.0.1", 0) as server, proxying(server.sockets[0].getsockname()[1]) as proxy:
            environment(ws=f"http://127.0.0.1:{proxy.port}")
            await echoed("ws://venue.example/")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(through())


# -- SOCKS


@contextlib.asynccontextmanager
async def socks5(upstream, status=0):
    """A SOCKS 5 proxy that wants a password: its port, and what it is asked."""
    asked = []

    async def handle(reader, writer):
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x02")
        _, length = await reader.readexactly(2)
        name = await reader.readexactly(length)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x01\x00")
        _, _, _, kind = await reader.readexactly(4)
        assert kind == 3
        host = await reader.readexactly((await reader.readexactly(1))[0])
        asked.append((name, password, host, int.from_bytes(await reader.readexactly(2))))
        writer.write(bytes([5, status, 0, 1, 0, 0, 0, 0, 0, 0]))
        if not status:
            await joined(upstream, reader, writer)

    async with listening(handle) as port:
        yield SimpleNamespace(port=port, asked=asked)


async def test_through_socks(venue, secure, environment):
    pytest.importorskip("python_socks")
    async with socks5(venue) as proxy:
        environment(all=f"socks5h://user:pa55word@127.0.0.1:{proxy.port}")
        await echoed("ws://venue.example/")
        assert proxy.asked == [(b"user", b"pa55word", b"venue.example", 80)]
    async with socks5(secure) as proxy:
        environment(wss=f"socks5h://user:pa55word@127.0.0.1:{proxy.port}")
        await echoed("wss://venue.example/")
    async with socks5(0, status=2) as proxy:
        environment(wss=f"socks5h://user:pa55word@127.0.0.1:{proxy.port}")
        assert f"the proxy 127.0.0.1:{proxy.port} did not connect" in await refused("wss://venue.example/")
    environment(wss=f"socks5h://user:pa55word@127.0.0.1:{proxy.port}")
    assert f"the proxy 127.0.0.1:{proxy.port}" in await refused("wss://venue.example/")


async def test_without_the_package_for_socks_its_name_is_said(environment, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_socks", None)
    environment(socks="http://user:pa55word@127.0.0.1:1")
    assert "pip install 'venue-router[socks]'" in await refused("ws://venue.example/")


async def test_a_tunnel_that_nobody_waits_for_any_more_ends_without_a_word():
    heard = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context["message"]))
    _Tunnel(b"", "the proxy").connection_lost(None)
    gc.collect()
    assert heard == []
