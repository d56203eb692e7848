"""What is read before the core and what goes through it, against the core alone: the same messages, answers and ends, at the same byte."""

import os
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from websockets.utils import accept_key, apply_mask

from router.transport import framing
from router.transport.framing import HELD, Reader, masked

URI = parse_uri("ws://venue.example/")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WELCOME = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {accept_key(KEY)}\r\n\r\n"
).encode()
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno\r\n\r\n\r\n\x81"
NONSENSE = b"220 mail.example\r\n\r\n\x81\x01a"


class Side:
    """A core, and what it has come to: messages, what it says to the server, its state."""

    def __init__(self, limit):
        self.core = ClientProtocol(URI, max_size=limit)
        self.core.key = KEY
        self.messages, self.said = [], []

    def drain(self):
        self.said += [unmasked(data) for data in self.core.data_to_send()]

    @property
    def condition(self):
        core = self.core
        why = core.parser_exc or core.handshake_exc
        return core.state, core.close_sent, core.close_rcvd, core.close_rcvd_then_sent, core.close_code, repr(why)


class Plain(Side):
    """The core alone."""

    def __init__(self, limit):
        super().__init__(limit)
        self._parts = []

    def receive(self, data):
        self.core.receive_data(data)
        self.drain()
        for event in self.core.events_received():
            if isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                self._parts.append(bytes(event.data))
                if event.fin:
                    self.messages.append(b"".join(self._parts))
                    self._parts.clear()

    def end(self):
        self.core.receive_eof()
        self.drain()


class Fast(Side):
    """The core behind our reader."""

    def __init__(self, limit):
        super().__init__(limit)
        self.responses = []
        self.reader = Reader(
            self.core,
            max_message=limit,
            on_message=self.messages.append,
            on_response=self.responses.append,
            on_core=self.drain,
        )
        self.receive, self.end = self.reader.receive, self.reader.end


def unmasked(data):
    """A control frame of a client's."""
    return (data[0], apply_mask(data[6:], data[2:6])) if data else "the end"


def frame(first, payload, width=0, mask=b""):
    """width: bytes of the length that follow the header's second, of which the core takes more than needed."""
    length = len(payload)
    width = max(width, 0 if length < 126 else 2 if length < 1 << 16 else 8)
    second = {0: length, 2: 126, 8: 127}[width] | (0x80 if mask else 0)
    payload = apply_mask(payload, mask) if mask else payload
    return bytes((first, second)) + (length.to_bytes(width) if width else b"") + mask + payload


sizes = st.one_of(
    st.integers(0, 20), st.sampled_from([124, 125, 126, 127, 200, HELD - 5, HELD - 4, HELD - 3, HELD, HELD + 1, 70_000])
)
payloads = st.builds(lambda size, byte: bytes([byte]) * size, sizes, st.sampled_from(b'{\x00\xff\x81"'))
small = st.binary(max_size=125)
whole = st.builds(frame, st.sampled_from([0x81, 0x82]), payloads, st.sampled_from([0, 0, 0, 2, 8]))
control = st.builds(frame, st.sampled_from([0x89, 0x8A]), small)
closing = st.builds(
    frame,
    st.just(0x88),
    st.one_of(
        st.just(b""),
        st.sampled_from([1000, 1001, 1005, 1011, 3999, 5000]).map(lambda code: code.to_bytes(2) + b"bye"),
        st.binary(max_size=3),
    ),
)
fragments = st.builds(
    lambda first, parts, between: b"".join(
        [frame(first, parts[0]), *(between + frame(0x00, part) for part in parts[1:-1]), frame(0x80, parts[-1])]
    ),
    st.sampled_from([0x01, 0x02]),
    st.lists(payloads, min_size=2, max_size=4),
    st.one_of(st.just(b""), control),
)
unfinished = st.builds(frame, st.sampled_from([0x00, 0x01, 0x02, 0x80]), payloads)
broken = st.one_of(
    st.builds(frame, st.integers(0, 255), small),
    st.builds(frame, st.sampled_from([0x81, 0x89, 0x01]), small, st.just(0), st.binary(min_size=4, max_size=4)),
    st.builds(frame, st.sampled_from([0x88, 0x89]), st.binary(min_size=126, max_size=130)),
    st.builds(frame, st.sampled_from([0xC1, 0x91, 0xA2]), payloads),
    st.sampled_from([b"\x81\x7f" + b"\xff" * 8, b"\x82\x7f\x00\x00\x00\x00\x7f\xff\xff\xff", b"\x83\x7e", b"\x81\xfe"]),
    st.binary(min_size=1, max_size=12),
    st.builds(lambda data, cut: data[: max(1, cut % len(data))], whole, st.integers(0, 80_000)),
)
pieces = st.one_of(whole, whole, whole, whole, control, fragments, unfinished, closing, broken)
streams = st.builds(
    lambda opening, rest: opening + b"".join(rest),
    st.sampled_from([WELCOME] * 12 + [REFUSAL, NONSENSE, WELCOME[:-2], b"HTTP/1.1 101 \n\n\r\n\r\n"]),
    st.lists(pieces, max_size=12),
)
limits = st.sampled_from([1, 20, 126, 1000, HELD - 4, HELD, 10_000, 1 << 20])


@st.composite
def cuts(draw):
    """Where the stream is cut: often in every byte of its beginnings of frames, or not at all."""
    if draw(st.booleans()):
        return draw(st.lists(st.integers(1, 400), max_size=60))
    return [1] * draw(st.integers(0, 2000))


def chunks(stream, lengths):
    ends = [0]
    for length in lengths:
        ends.append(min(ends[-1] + length, len(stream)))
    return [stream[a:b] for a, b in pairwise([*ends, len(stream)]) if b > a]


def same(stream, lengths, limit, closes_at, ends):
    plain, fast = Plain(limit), Fast(limit)
    for number, chunk in enumerate(chunks(stream, lengths)):
        if number == closes_at:
            for side in (plain, fast):
                if side.core.state is State.OPEN:
                    side.core.send_close(1000)
                    side.drain()
        plain.receive(chunk)
        fast.receive(memoryview(bytearray(chunk)))
        assert (fast.messages, fast.said) == (plain.messages, plain.said)
        assert fast.condition == plain.condition
    if ends:
        plain.end()
        fast.end()
    assert (fast.messages, fast.said, fast.condition) == (plain.messages, plain.said, plain.condition)
    return fast


@settings(max_examples=400, deadline=None)
@given(stream=streams, lengths=cuts(), limit=limits, closes_at=st.none() | st.integers(0, 40), ends=st.booleans())
@example(
    stream=WELCOME + frame(0x81, b"a") + frame(0x89, b"p") + frame(0x81, b"b"),
    lengths=[],
    limit=100,
    closes_at=None,
    ends=True,
)
@example(stream=WELCOME + frame(0x01, b"a") + frame(0x81, b"b"), lengths=[], limit=100, closes_at=None, ends=True)
@example(stream=WELCOME + frame(0x01, b"") + frame(0x81, b"b"), lengths=[], limit=100, closes_at=None, ends=True)
@example(stream=WELCOME + b"\x83\x7e", lengths=[], limit=100, closes_at=None, ends=False)
@example(stream=WELCOME + b"\x81\xfe", lengths=[], limit=100, closes_at=None, ends=False)
@example(stream=WELCOME + frame(0x81, b"a" * 300)[:50], lengths=[], limit=1000, closes_at=None, ends=True)
@example(
    stream=WELCOME + frame(0x81, b"a" * 300) * 2,
    lengths=[len(WELCOME), 50, 260, 20],
    limit=1000,
    closes_at=2,
    ends=True,
)
@example(
    stream=WELCOME + frame(0x81, bytes(0x8105)), lengths=[len(WELCOME) + 2, 9], limit=1 << 20, closes_at=None, ends=True
)
@example(
    stream=WELCOME + frame(0x88, b"\x03\xe8") + frame(0x81, b"after"), lengths=[], limit=100, closes_at=None, ends=True
)
def test_the_reader_and_the_core_alone_come_to_the_same_at_every_chunk(stream, lengths, limit, closes_at, ends):
    same(stream, lengths, limit, closes_at, ends)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(whole, control, fragments), max_size=20), st.sampled_from([1, 2, 3, 7, 100, 1448, 65536]))
def test_good_traffic_ends_open_however_it_is_cut(frames, length):
    stream = WELCOME + b"".join(frames)
    length = max(length, len(stream) // 1000)
    side = same(stream, [length] * (len(stream) // length), 1 << 20, None, ends=False)
    assert side.core.state is State.OPEN


@pytest.mark.parametrize("cut", range(1, 6))
def test_whole_messages_do_not_pass_the_core_and_neither_does_one_whose_end_comes_later(cut):
    side = Fast(1000)
    side.receive(WELCOME[:-cut])
    side.receive(WELCOME[-cut:])
    fed = []
    feed, side.core.receive_data = side.core.receive_data, lambda data: (fed.append(bytes(data)), feed(data))
    side.receive(frame(0x81, b"a") + frame(0x82, b"b" * 300) + frame(0x81, b"c" * 20)[:9])
    assert (side.messages, fed) == ([b"a", b"b" * 300], [])
    side.receive(frame(0x81, b"c" * 20)[9:] + frame(0x89, b"ping") + frame(0x81, b"d"))
    assert side.messages[2:] == [b"c" * 20, b"d"]
    assert fed == [frame(0x89, b"ping")]
    assert side.said == [(0x8A, b"ping")]


def test_what_the_core_says_leaves_before_the_next_message_is_handed_over():
    side = Fast(1000)
    said = []
    side.reader._on_message = lambda _: said.append(list(side.said))
    side.receive(WELCOME + frame(0x89, b"1") + frame(0x81, b"a") + frame(0x89, b"2") + frame(0x81, b"b"))
    assert said == [[(0x8A, b"1")], [(0x8A, b"1"), (0x8A, b"2")]]


def test_fragments_without_content_take_no_memory():
    side = Fast(1000)
    side.receive(WELCOME + frame(0x01, b"") + frame(0x00, b"a"))
    tracemalloc.start()
    try:
        for _ in range(20):
            side.receive(frame(0x00, b"") * 1000)
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()
    side.receive(frame(0x80, b"b") + frame(0x81, b"c"))
    assert side.messages == [b"ab", b"c"]
    assert side.core.state is State.OPEN


def test_messages_are_bytes_of_their_own():
    side, buffer = Fast(1000), bytearray(WELCOME + frame(0x81, b"kept"))
    side.receive(memoryview(buffer))
    buffer[-4:] = b"gone"
    assert side.messages == [b"kept"]
    assert type(side.messages[0]) is bytes


# -- frames of ours


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 65535, 65536, 70_000])
def test_a_masked_frame_is_read_by_a_server_as_what_it_was(size):
    body = os.urandom(size)
    server = ServerProtocol(state=State.OPEN)
    server.receive_data(masked(body))
    [event] = server.events_received()
    assert (event.opcode, event.fin, bytes(event.data)) == (Opcode.TEXT, True, body)
    assert server.state is State.OPEN


def test_every_mask_is_used_once_and_comes_from_the_system(monkeypatch):
    drawn = []
    urandom = os.urandom
    monkeypatch.setattr(framing.os, "urandom", lambda count: drawn.append(urandom(count)) or drawn[-1])
    framing._masks.clear()
    masks = [masked(bytes(4))[2:6] for _ in range(1000)]  # of a body of zeros, they are all that is seen twice
    assert sorted(masks + framing._masks) == sorted(piece for data in drawn for piece in framing._split(data))
