"""The HTTP transport against a bare socket server: what is on the wire, how often, and what is made of what comes back."""

import asyncio
import gzip
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from router.errors import TransportError
from router.transport import pool
from router.transport.http import Http
from router.transport.route import proxy_for
from router.transport.wording import said
from router.venue import Effect, Via, Wire

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "socks_proxy", "no_proxy")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a RST
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Reads requests and says what it is told to: bytes, or None for silence, or "close" for hanging up without a word."""

    def __init__(self):
        self.heads, self.bodies, self.answers = [], [], []
        self.connections, self.gone = 0, asyncio.Event()
        self.heard = asyncio.Event()
        self.writers = []

    async def serve(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length(head)))
                self.heard.set()
                answer = self.answers.pop(0) if self.answers else OK
                if answer == "close":
                    return
                for part in [answer] if isinstance(answer, bytes) else answer or []:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()


def length(head):
    return next(
        (int(line.split(":")[1]) for line in head.lower().split("\r\n") if line.startswith("content-length")), 0
    )


@asynccontextmanager
async def running(context=None):
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.listener = listener
    server.port = listener.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{server.port}"
    try:
        yield server
    finally:
        listener.close()
        for writer in server.writers:
            writer.close()
        await listener.wait_closed()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def server():
    async with running() as server:
        yield server


@asynccontextmanager
async def client(url, *, max_body=10_000, timeout=5.0, probe=False):
    http = Http(url, max_body=max_body, timeout=timeout)
    await http.open(probe=probe)
    try:
        yield http
    finally:
        await http.close()


@pytest.fixture
async def http(server):
    async with client(server.url) as http:
        yield http


def wire(method="DELETE", path="/orders/1", **facts):
    return Wire(effect=Effect.IDEMPOTENT, via=Via.HTTP, method=method, path=path, **facts)


async def ask(http, *args, headers=None, connected=lambda: None, fresh=False, **facts):
    return await http.request(wire(*args, **facts), headers or {}, connected, fresh=fresh)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


# -- what is on the wire


async def test_a_request_is_what_the_codec_said_and_little_else(server, http):
    frame = await ask(http, headers={"Authorization": "Bearer t"}, path="/a/b?c=%2F", method="DELETE")
    assert (frame.status, frame.body) == (200, b"ok")
    lines = server.heads[0].rstrip().split("\r\n")
    assert lines[0] == "DELETE /a/b?c=%2F HTTP/1.1"
    names = [line.split(":")[0] for line in lines[1:]]
    assert names == ["Host", "Authorization", "Accept", "Accept-Encoding", "Content-Length"]
    assert f"Host: 127.0.0.1:{server.port}" in lines
    assert "Content-Length: 0" in lines


async def test_a_body_goes_along_with_its_length_and_no_content_type_of_ours(server, http):
    await ask(http, "POST", "/orders", body=b'{"a":1}', headers={"Accept": "x/y"})
    assert server.bodies == [b'{"a":1}']
    assert "Content-Length: 7\r\n" in server.heads[0]
    assert "Content-Type" not in server.heads[0]
    assert "Accept: x/y\r\n" in server.heads[0]
    assert server.heads[0].count("Accept: ") == 1
    await ask(http, "GET", "/orders")
    assert "Content-Length" not in server.heads[1]


async def test_the_path_of_the_base_url_comes_first(server):
    async with client(server.url + "/api/") as http:
        await ask(http, "GET", "/v1/x")
        await ask(http, "GET", "/?y=1")
    assert [head.split(" ")[1] for head in server.heads] == ["/api/v1/x", "/api/?y=1"]


@pytest.mark.parametrize(
    "path", ["/a b", "/a\r\nX: y", "/ä", "/\x00", "/a#b", "", "a", "?a=b", "@127.0.0.1:1/a", ".evil.example/a", ":1/a"]
)
async def test_a_path_that_would_break_the_request_is_not_sent(server, http, path):
    calls = []
    with pytest.raises(TransportError) as caught:
        await ask(http, "GET", path, connected=lambda: calls.append(1))
    assert not caught.value.sent
    assert (calls, server.heads) == ([], [])


@pytest.mark.parametrize("method", ["GE T", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET", "GET\n", "ÄT", ""])
async def test_a_method_that_would_break_the_request_is_not_sent(server, http, method):
    with pytest.raises(TransportError, match="letters") as caught:
        await ask(http, method)
    assert not caught.value.sent
    assert (server.heads, server.connections) == ([], 0)


async def test_without_a_base_url_a_request_names_the_whole_and_no_fragment(server):
    async with client("") as http:
        assert (await ask(http, "GET", server.url + "/a?b=c")).body == b"ok"
        for url in (server.url + "/a#b", server.url + "/#", "/a"):
            with pytest.raises(TransportError) as caught:
                await ask(http, "GET", url)
            assert not caught.value.sent
    assert [head.split(" ")[1] for head in server.heads] == ["/a?b=c"]


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\x00b"])
async def test_a_header_that_would_break_the_request_is_not_sent(server, http, value):
    calls = []
    with pytest.raises(TransportError) as caught:
        await ask(http, headers={"accountId": value}, connected=lambda: calls.append(1))
    assert not caught.value.sent
    assert (calls, server.heads) == ([], [])
    assert (await ask(http)).status == 200


async def test_no_redirect_is_followed_and_no_cookie_sent_back(server, http):
    head = f"HTTP/1.1 302 Found\r\nLocation: {server.url}/else\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    server.answers = [head.encode()]
    frame = await ask(http, "GET", "/x")
    assert frame.status == 302
    assert frame.headers["set-cookie"] == "a=b"
    await ask(http, "GET", "/y")
    assert [each.split(" ")[1] for each in server.heads] == ["/x", "/y"]
    assert "cookie" not in server.heads[1].lower()


# -- how often


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD", "POST"])
async def test_nothing_is_sent_twice_when_a_kept_connection_drops_under_it(server, http, method):
    server.answers = [OK, "close"]
    await ask(http, "GET", "/first")
    with pytest.raises(TransportError) as caught:
        await ask(http, method, "/once")
    assert caught.value.sent
    await ask(http, "GET", "/last")
    assert [head.split(" ")[1] for head in server.heads] == ["/first", "/once", "/last"]
    assert server.connections == 2


async def test_a_connection_that_ended_while_idle_is_not_used(server, http):
    await ask(http)
    server.writers[0].close()
    await until(lambda: not http._pool._idle[http._home[0]][0][1].protocol.is_connected())
    assert (await ask(http)).status == 200
    assert (len(server.heads), server.connections) == (2, 2)


async def test_what_comes_after_an_answer_is_nobodys(server, http):
    """aiohttp's own client takes a late second answer for that of the next request."""
    await ask(http, "GET", "/1")
    server.writers[0].write(OK.replace(b"ok", b"no"))
    await until(lambda: http._pool._idle[http._home[0]][0][1].protocol.should_close)
    assert (await ask(http, "GET", "/2")).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("after", [b"H", OK, b"HTTP/1.1 200 OK\r\nContent-Le"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_what_has_only_begun_after_an_answer_ends_its_connection_as_well(server, http, after, at_once):
    server.answers = [OK + after] if at_once else []
    await ask(http, "GET", "/1")
    if not at_once:
        [(_, connection)] = http._pool._idle[http._home[0]]
        server.writers[0].write(after)
        await until(lambda: connection.protocol.should_close)
    assert (await ask(http, "GET", "/2")).body == b"ok"
    assert server.connections == 2


async def test_what_a_server_says_unasked_is_not_kept_in_memory_nor_its_connection(server):
    async with client(server.url, timeout=2) as http:
        await ask(http)
        [(_, connection)] = http._pool._idle[http._home[0]]
        protocol = connection.protocol
        transport = protocol.transport
        server.writers[0].write(OK * 100_000)
        await until(lambda: transport.is_closing() or not transport.is_reading())
        assert len(protocol._tail) < 1 << 20
        assert not protocol._buffer
        await until(lambda: not any(http._pool._idle.values()))
        assert http._pool._held == 0


@pytest.mark.parametrize("fresh", [False, True])
async def test_what_a_new_connection_says_before_it_is_asked_is_no_answer(server, http, monkeypatch, fresh):
    connector = http._pool._single if fresh else http._pool._lasting
    connect = connector.connect

    async def and_hear(*args):
        connection = await connect(*args)
        await until(lambda: server.writers)
        server.writers[0].write(OK)
        await until(lambda: connection.protocol.should_close)
        return connection

    monkeypatch.setattr(connector, "connect", and_hear)
    calls = []
    with pytest.raises(TransportError, match="before it was asked") as caught:
        await ask(http, connected=lambda: calls.append(1), fresh=fresh)
    assert not caught.value.sent
    assert (calls, server.heads, http._pool._held) == ([], [], 0)


async def test_requests_one_after_the_other_share_the_connection_that_was_made_at_the_start(server):
    async with client(server.url, probe=True) as http:
        await until(lambda: server.connections == 1)
        for _ in range(5):
            await ask(http)
    assert (len(server.heads), server.connections) == (5, 1)


async def test_requests_at_a_time_have_connections_of_their_own_which_are_kept(server, http):
    for _ in range(2):
        frames = await asyncio.gather(*(ask(http, path=f"/{number}") for number in range(20)))
        assert {frame.wire.path for frame in frames} == {f"/{number}" for number in range(20)}
    assert server.connections == 20


async def test_at_the_limit_requests_wait_for_each_other(server, monkeypatch):
    monkeypatch.setattr(pool, "MOST", 2)
    async with client(server.url) as http:
        frames = await asyncio.gather(*(ask(http) for _ in range(30)))
    assert [frame.status for frame in frames] == [200] * 30
    assert server.connections == 2


async def test_a_fresh_request_has_a_connection_of_its_own(server, http):
    await ask(http)
    await ask(http, fresh=True)
    assert server.connections == 2
    async with asyncio.timeout(5):
        await server.gone.wait()
    await ask(http)
    assert server.connections == 2
    assert ["Connection: close" in head for head in server.heads] == [False, True, False]


async def test_connections_that_idle_for_long_are_closed(server, monkeypatch):
    monkeypatch.setattr(pool, "KEPT", 0.02)
    async with client(server.url, timeout=0.5) as http:
        await ask(http)
        async with asyncio.timeout(5):
            await server.gone.wait()
        await until(lambda: http._sweeper is None)


# -- when the first byte leaves


async def test_connected_is_called_once_and_before_the_first_byte(server, http):
    seen = []
    for fresh in (False, False, True):
        await ask(http, connected=lambda: seen.append(len(server.heads)), fresh=fresh)
    assert seen == [0, 1, 2]


async def test_an_objection_stops_the_request_and_leaves_the_connection_of_use(server, http):
    def object_() -> None:
        raise TransportError("nobody waits", sent=False)

    for fresh in (False, True):
        with pytest.raises(TransportError, match="nobody waits") as caught:
            await ask(http, path="/never", connected=object_, fresh=fresh)
        assert not caught.value.sent
    await ask(http, path="/then")
    assert [head.split(" ")[1] for head in server.heads] == ["/then"]
    assert server.connections == 2


async def test_what_cannot_connect_was_not_sent():
    async with running() as server:
        url = server.url
    calls = []
    async with client(url) as http:
        with pytest.raises(TransportError) as caught:
            await ask(http, connected=lambda: calls.append(1))
    assert not caught.value.sent
    assert calls == []


@pytest.mark.parametrize("fresh", [False, True])
async def test_an_address_where_nothing_answers_is_looked_up_anew(fresh):
    async with running() as server, client(f"http://localhost:{server.port}") as http:
        await ask(http, fresh=fresh)
        caches = [each._cached_hosts for each in (http._pool._lasting, http._pool._single)]
        name = ("localhost", server.port)
        assert [name in cache for cache in caches] == [not fresh, fresh]
        server.writers[0].transport.abort()
        server.listener.close()
        await server.listener.wait_closed()
        with pytest.raises(TransportError, match="onnect"):
            await ask(http, fresh=True)
        assert not any(name in cache for cache in caches)


async def test_a_closed_client_sends_nothing(server):
    async with client(server.url) as http:
        await ask(http)
    with pytest.raises(TransportError, match="closed") as caught:
        await ask(http)
    assert not caught.value.sent
    assert len(server.heads) == 1


# -- what comes back


async def test_headers_have_lower_case_names(server, http):
    server.answers = [b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nX-A: B\r\nContent-Length: 0\r\n\r\n"]
    frame = await ask(http)
    assert (frame.status, dict(frame.headers)) == (429, {"retry-after": "7", "x-a": "B", "content-length": "0"})


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
        [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"abc", b"def"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef"],
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
        % (len(gzip.compress(b"abcdef")), gzip.compress(b"abcdef")),
    ],
    ids=["chunked", "in parts", "after a 100", "gzip"],
)
async def test_a_body_is_read_to_its_end_however_it_comes(server, http, answer):
    server.answers = [answer]
    assert (await ask(http)).body == b"abcdef"
    assert (await ask(http)).body == b"ok"
    assert server.connections == 1


async def test_a_body_without_a_length_ends_with_its_connection(server, http):
    server.answers = [b"HTTP/1.1 200 OK\r\n\r\nabcdef"]
    request = asyncio.ensure_future(ask(http))
    await server.heard.wait()
    server.writers[0].close()
    assert (await request).body == b"abcdef"
    assert (await ask(http)).body == b"ok"
    assert server.connections == 2


async def cut_off():
    async with running() as server, client(server.url) as http:
        server.answers = [b"HTTP/1.1 200 OK\r\n\r\n[]"]
        request = asyncio.ensure_future(ask(http))
        await until(lambda: any(each._payload for each in http._deadlines))
        server.writers[0].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        server.writers[0].transport.abort()
        with pytest.raises(TransportError, match="cut off") as caught:
            await request
        assert caught.value.sent


async def test_a_body_without_a_length_is_none_if_its_connection_breaks():
    await cut_off()


async def stalled():
    """Answers come while our own loop stands still for longer than the time-out: some are longer than one read."""
    stalls = threading.Event()
    answers = [OK, b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000)]

    def serve(listener):
        sock, _ = listener.accept()
        with sock:
            for answer in answers:
                sock.recv(1 << 16)
                stalls.wait(5)
                sock.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with client(url, timeout=0.2, max_body=1_000_000) as http:
            lengths = []
            for _ in answers:
                request = asyncio.ensure_future(ask(http))
                await until(lambda: http._deadlines)
                asyncio.get_running_loop().call_later(0.01, lambda: (stalls.set(), time.sleep(0.4), stalls.clear()))
                lengths.append(len((await request).body))
        thread.join(5)
    assert lengths == [2, 300_000]


async def test_an_answer_that_came_while_our_own_loop_stood_still_came_in_time():
    await stalled()


@pytest.mark.parametrize("scene", [stalled, cut_off])
def test_the_same_on_uvloop(scene):
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())


async def test_answers_without_a_body(server, http):
    server.answers = [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", OK]
    assert [(await ask(http, method)).body for method in ("DELETE", "HEAD", "GET")] == [b"", b"", b"ok"]
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10001\r\n\r\n" + b"x" * 10001,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
        % (len(gzip.compress(bytes(50_000_000))), gzip.compress(bytes(50_000_000))),
    ],
    ids=["long", "endless", "a bomb"],
)
async def test_a_body_beyond_the_limit_is_not_read(server, http, answer):
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    server.answers = [[answer, chunk, chunk, chunk] if b"chunked" in answer else answer]
    with pytest.raises(TransportError, match="longer than 10000 bytes") as caught:
        await ask(http)
    assert caught.value.sent
    assert (await ask(http)).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"HTTP/1.1 200 OK\r\nContent-Le", b"nonsense\r\n\r\n"],
    ids=["nothing", "half a body", "half a head", "nonsense"],
)
async def test_an_answer_that_is_none_leaves_the_request_in_doubt(server, http, answer):
    server.answers = [answer]
    request = asyncio.ensure_future(ask(http))
    await server.heard.wait()
    server.writers[0].close()
    with pytest.raises(TransportError) as caught:
        await request
    assert caught.value.sent


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 200 OK\r\nSet-Cookie: a=sesame\r\n" + b"X: %s\r\n" % (b"y" * 8000) * 50, "the server hung up"),
        (b"HTTP/1.1 200 OK\r\nSet-Cookie: a=sesame\x00\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nSet-Cookie: a=sesame%s\r\n\r\n" % (b"y" * 50_000), "the answer is not HTTP"),
        (b"sesame" * 10_000 + b"\n", "the answer is not HTTP"),
    ],
    ids=["half a head", "a bad header", "a long header", "nonsense"],
)
async def test_an_error_shows_nothing_of_a_broken_answer(server, http, answer, text):
    server.answers = [answer]
    request = asyncio.ensure_future(ask(http))
    await server.heard.wait()
    server.writers[0].close()
    with pytest.raises(TransportError) as caught:
        await request
    assert str(caught.value) == text


def test_what_an_error_says_is_short_and_on_one_line():
    assert said(OSError("a\r\n b\tc")) == "a b c"
    assert said(OSError()) == "OSError"
    assert len(said(OSError("x" * 10_000))) == 200


# -- how long


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end",
    ],
    ids=["silence", "half a body", "a body without an end"],
)
async def test_an_answer_that_does_not_end_in_time_is_none(server, answer):
    async with client(server.url, timeout=0.2) as http:
        server.answers = [answer]
        began = asyncio.get_running_loop().time()
        with pytest.raises(TransportError, match="no answer within the time-out") as caught:
            await ask(http)
        assert caught.value.sent
        assert 0.2 <= asyncio.get_running_loop().time() - began < 1.0
        async with asyncio.timeout(5):
            await server.gone.wait()
        assert (await ask(http)).body == b"ok"
        assert server.connections == 2
        assert http._deadlines == {}


async def test_a_request_whose_task_is_cancelled_ends_its_connection(server, http):
    server.answers = [None]
    request = asyncio.ensure_future(ask(http))
    await server.heard.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    async with asyncio.timeout(5):
        await server.gone.wait()
    assert (await ask(http)).body == b"ok"
    assert http._deadlines == {}


@pytest.mark.parametrize(
    "answer", [None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"HTTP/1.1 200 OK\r\n\r\nhalf"]
)
async def test_closing_ends_what_is_under_way(server, answer):
    http = Http(server.url, max_body=100, timeout=30)
    await http.open(probe=False)
    server.answers = [answer]
    request = asyncio.ensure_future(ask(http))
    await server.heard.wait()
    await until(lambda: answer is None or any(each._payload for each in http._deadlines))
    await http.close()
    async with asyncio.timeout(5):
        with pytest.raises(TransportError, match="the client was closed") as caught:
            await request
    assert caught.value.sent


# -- proxies


async def test_a_proxy_of_the_environment_is_asked_with_its_password_which_is_not_shown(server, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://me:sesame@127.0.0.1:{server.port}")
    async with client("http://127.0.0.1:1/api") as http:
        monkeypatch.delenv("http_proxy")  # decided when it was opened
        assert (await ask(http, "GET", "/x?y=1")).body == b"ok"
        await ask(http, "GET", "/z", fresh=True)
        server.answers = ["close"]
        with pytest.raises(TransportError) as caught:
            await ask(http)
    assert "sesame" not in str(caught.value)
    assert server.heads[0].startswith("GET http://127.0.0.1:1/api/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n")
    assert all("Proxy-Authorization: Basic bWU6c2VzYW1l\r\n" in head for head in server.heads)
    assert server.connections == 2


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy"])
async def test_a_proxy_is_asked_for_a_tunnel_and_told_nothing_else(server, monkeypatch, name):
    monkeypatch.setenv(name, f"http://me:sesame@127.0.0.1:{server.port}")
    server.answers = [b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"] * 2
    calls = []
    async with client("https://venue.example") as http:
        for fresh in (False, True):
            with pytest.raises(TransportError) as caught:
                await ask(http, headers={"Authorization": "Bearer t"}, connected=lambda: calls.append(1), fresh=fresh)
            assert not caught.value.sent
            assert "sesame" not in str(caught.value)
    assert calls == []
    assert all(head.startswith("CONNECT venue.example:443 HTTP/1.1\r\n") for head in server.heads)
    assert all("Proxy-Authorization: Basic bWU6c2VzYW1l\r\n" in head for head in server.heads)
    assert not any("Bearer" in head for head in server.heads)
    assert len(server.heads) == 2


@pytest.mark.parametrize("bypass", ["127.0.0.1", "*", "127.0.0.1:{port}"])
async def test_no_proxy_is_heeded(server, monkeypatch, bypass):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", bypass.format(port=server.port))
    async with client(server.url) as http:
        assert (await ask(http, "GET", "/x")).status == 200
    assert server.heads[0].startswith("GET /x HTTP/1.1\r\n")


@pytest.mark.parametrize("proxied", [False, True])
async def test_a_netrc_is_never_read(server, monkeypatch, tmp_path, proxied):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password sesame\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(netrc.read_text())
    if proxied:
        monkeypatch.setenv("http_proxy", server.url)
    async with client(server.url) as http:
        await ask(http)
    assert "uthorization" not in server.heads[0]


@pytest.mark.parametrize("proxy", ["socks5://me:sesame@127.0.0.1:1", "http://me:sesame@", "http://me:sesame@h:port"])
async def test_a_proxy_that_cannot_be_used_is_not_gone_around(server, monkeypatch, proxy):
    monkeypatch.setenv("all_proxy", proxy)
    with pytest.raises(TransportError) as caught:
        async with client(server.url):
            pass
    assert "sesame" not in str(caught.value)
    assert caught.value.__context__ is None or "sesame" not in str(caught.value.__context__)
    assert server.heads == []


async def test_a_socks_proxy_is_not_gone_around_but_yields_to_one_that_is_named_for_requests(server, monkeypatch):
    monkeypatch.setenv("socks_proxy", "socks5://me:sesame@127.0.0.1:1")
    with pytest.raises(TransportError, match="SOCKS") as caught:
        async with client(server.url):
            pass
    assert "sesame" not in str(caught.value)
    monkeypatch.setenv("http_proxy", server.url)
    async with client("http://127.0.0.1:1") as http:
        assert (await ask(http, "GET", "/x")).body == b"ok"
    assert [head.split(" ")[1] for head in server.heads] == ["http://127.0.0.1:1/x"]


def test_a_proxy_may_leave_its_scheme_out(monkeypatch):
    monkeypatch.setenv("https_proxy", "me:sesame@proxy.example:8080")
    assert proxy_for(URL("https://venue.example")) == (URL("http://proxy.example:8080"), "Basic bWU6c2VzYW1l")


# -- TLS


@pytest.fixture
async def secure(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with running(context) as server:
        yield server


@pytest.fixture
def trusted(certificate, monkeypatch):
    """aiohttp loads the trusted certificates when it is imported."""
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=certificate[0]))


@asynccontextmanager
async def tunnelling(port):
    """A proxy that leads to one port, and the heads of what it was asked."""
    heads, writers = [], []

    async def copy(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader, writer):
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        theirs, ours = await asyncio.open_connection("127.0.0.1", port)
        writers.extend([writer, ours])
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(copy(reader, ours), copy(theirs, writer))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://me:sesame@127.0.0.1:{listener.sockets[0].getsockname()[1]}", heads
    finally:
        listener.close()
        for writer in writers:
            writer.close()
        await listener.wait_closed()


async def test_a_certificate_that_nobody_vouches_for_is_refused(secure):
    calls = []
    async with client(f"https://localhost:{secure.port}") as http:
        with pytest.raises(TransportError, match="certificate") as caught:
            await ask(http, connected=lambda: calls.append(1))
    assert not caught.value.sent
    assert (calls, secure.heads) == ([], [])


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_of_another_host_is_refused(secure):
    async with client(f"https://127.0.0.1:{secure.port}") as http:
        with pytest.raises(TransportError, match="certificate") as caught:
            await ask(http)
    assert not caught.value.sent
    assert secure.heads == []


@pytest.mark.usefixtures("trusted")
async def test_over_tls_connections_are_kept_as_well(secure):
    async with client(f"https://localhost:{secure.port}", probe=True) as http:
        for _ in range(3):
            assert (await ask(http)).body == b"ok"
    assert secure.connections == 1


@pytest.mark.usefixtures("trusted")
async def test_through_a_tunnel_the_venue_is_verified_and_hears_nothing_of_the_proxy(secure, monkeypatch):
    async with tunnelling(secure.port) as (proxy, heads):
        monkeypatch.setenv("https_proxy", proxy)
        async with client(f"https://localhost:{secure.port}", probe=True) as http:
            for _ in range(3):
                assert (await ask(http)).body == b"ok"
            await ask(http, fresh=True)
        async with client(f"https://other:{secure.port}") as http:
            with pytest.raises(TransportError, match="certificate"):
                await ask(http)
    assert [head.split(" ")[1] for head in heads] == [f"localhost:{secure.port}"] * 2 + [f"other:{secure.port}"]
    assert [head.split(" ")[:2] for head in secure.heads] == [["DELETE", "/orders/1"]] * 4
    assert not any("Proxy" in head for head in secure.heads)


@pytest.mark.usefixtures("trusted")
async def test_over_tls_an_answer_that_does_not_end_in_time_is_none(secure):
    secure.answers = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end"]
    async with client(f"https://localhost:{secure.port}", timeout=0.3) as http:
        with pytest.raises(TransportError, match="no answer within the time-out"):
            await ask(http)


CANCELLED_WHILE_CONNECTING = """
import asyncio, random, sys, uvloop
from router.transport.http import Http
from router.venue import Effect, Via, Wire

async def answers(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            await asyncio.sleep(0.02)
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    http = Http(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", max_body=1000, timeout=5)
    await http.open(probe=False)
    wire, chance = Wire(effect=Effect.READ, via=Via.HTTP), random.Random(1)

    async def one():
        task = asyncio.ensure_future(http.request(wire, {}, lambda: None))
        if chance.random() < 0.6:
            await asyncio.sleep(chance.random() * 0.04)
            task.cancel()
        await asyncio.wait([task])

    for _ in range(25):
        await asyncio.gather(*(one() for _ in range(40)))
    print((await http.request(wire, {}, lambda: None)).body)
    await http.close()
    server.close()

uvloop.run(main())
"""


def test_under_uvloop_a_request_may_be_cancelled_while_it_connects():
    pytest.importorskip("uvloop")  # which ends the process when a connecting socket is closed under it
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", CANCELLED_WHILE_CONNECTING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "b'ok'"), done.stderr
