"""Whatever a venue sends: a codec returns items or raises Garbled, and a session goes on."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.b2trader.codec import SPEC as B2_SPEC
from adapters.b2trader.codec import B2TraderCodec
from adapters.dmex.codec import SPEC as DMEX_SPEC
from adapters.dmex.codec import DmexCodec
from adapters.dmex.signing import load_key
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.codec import QfexCodec
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, IdKind, Order, Outcome, Router, SessionState
from router.errors import Garbled
from router.ledger import Ledger
from router.matching import Outstanding, Pending
from router.report import OrdStatus
from router.venue import Answer, Codec, Execution, Frame, Item, Snapshot, Wire, read

NOW = 1_760_545_414.0
FOLDER = Path(__file__).parent / "data" / "frames"
SAMPLES = {name: [each["frame"] for each in json.loads((FOLDER / f"{name}.json").read_text()).values()] for name in ("qfex", "b2trader", "dmex")}  # fmt: skip

QFEX = QfexCodec(public_key="p", secret_key="qfex_secret_x")
B2 = B2TraderCodec(spec=evolve(B2_SPEC, http_url="https://x.example"), account_id="a", offline_token="offline")
DMEX = DmexCodec(spec=evolve(DMEX_SPEC, http_url="https://x.example"), signer=load_key("0x" + "11" * 32))

HASH = SAMPLES["dmex"][0]["data"]["order_hash"]
STOP = Cancel("x", "01K2MNGAWPMQJ7WGATFSCAS1G4", IdKind.STOP_ORDER)
PROBE = B2.cancel(STOP, "probe")
B2_WIRES = [
    B2.token_request(),
    B2.encode(STOP, NOW),
    PROBE,
    B2.encode(Cancel("x", "01K2PMT0VMJG5B8XBDNZ7FNM1F", IdKind.ORDER), NOW),
    B2.encode(Order("x", "spot.btc_usdt", "buy", "limit", "1", "1"), NOW),
    B2.encode(Order("x", "spot.btc_usdt", "buy", "stop", "1", stop_price="1"), NOW),
]
STATUSES = [200, 201, 204, 301, 400, 401, 403, 404, 418, 422, 429, 500, 503]
HUGE = ["1e999999", "-1e999999", "1e-999999", "9" * 5000, "0." + "9" * 5000, "NaN", "-Infinity", "1E400", "1_000", "٣"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(HUGE)
    | st.sampled_from(["CANCELLED", "REJECTED", "ACK", "order_id", "0x" + "a" * 64, "2025-13-99T99:99:99Z", "\ud800"])
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside a value, itself included."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def replaced(frame: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    frame = copy.deepcopy(frame)
    holder = frame
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return frame


@st.composite
def damaged(draw: st.DrawFn, samples: list[Any]) -> bytes:
    """A real frame with one to three of its parts replaced, and sometimes its bytes broken."""
    frame = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(1, 3))):
        frame = replaced(frame, draw(st.sampled_from(list(places(frame)))), draw(anything))
    body = json.dumps(frame).encode()
    match draw(st.integers(0, 5)):
        case 0:
            return body[: draw(st.integers(0, len(body)))]
        case 1:
            return body + body
        case 2:
            at = draw(st.integers(0, len(body)))
            return body[:at] + draw(st.binary(max_size=4)) + body[at:]
    return body


def read_or_garbled(codec: Codec, frame: Frame) -> list[Item]:
    """What is read, applied to all that later code does with it: matching, and the ledger."""
    try:
        items = read(codec, frame, NOW)
    except Garbled:
        return []
    ledger, line = Ledger("x"), Outstanding()
    line.add(Pending(frame.wire or Wire(keys=(("cancel", "x"),), effect=B2_WIRES[1].effect), 0.0))
    for item in items:
        for row in item.rows if isinstance(item, Snapshot) else [item] if isinstance(item, Execution) else []:
            ledger.apply(row, NOW)
        if isinstance(item, Answer):
            line.match(item)
    return items


many = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(body=damaged(SAMPLES["qfex"]))
def test_qfex_reads_or_says_garbled(body: bytes) -> None:
    assert isinstance(read_or_garbled(QFEX, Frame(body=body)), list)


@many
@given(body=damaged(SAMPLES["dmex"]))
def test_dmex_reads_or_says_garbled(body: bytes) -> None:
    assert isinstance(read_or_garbled(DMEX, Frame(body=body)), list)


@many
@given(body=damaged([SAMPLES["dmex"][-1]]), status=st.sampled_from([200, 200, 404]))
def test_the_list_of_dmex_is_read_or_garbled(body: bytes, status: int) -> None:
    wire = DMEX.list_orders(NOW)
    assert isinstance(read_or_garbled(DMEX, Frame(body=body, wire=wire, status=status)), list)


@many
@given(
    body=damaged(SAMPLES["b2trader"]),
    wire=st.sampled_from(B2_WIRES),
    status=st.sampled_from(STATUSES) | st.just(200),
    after=st.text(max_size=6) | st.sampled_from(HUGE),
)
def test_b2trader_reads_or_says_garbled(body: bytes, wire: Wire, status: int, after: str) -> None:
    frame = Frame(body=body, wire=wire, status=status, headers={"retry-after": after})
    for item in read_or_garbled(B2, frame):
        if isinstance(item, Answer) and item.after is not None:
            assert 0 <= item.after < 3600


@many
@given(body=st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_bytes_of_no_frame_at_all(body: bytes) -> None:
    for codec, wire in ((QFEX, None), (DMEX, None), (B2, B2_WIRES[1]), (DMEX, DMEX.list_orders(NOW))):
        assert isinstance(read_or_garbled(codec, Frame(body=body, wire=wire, status=200)), list)


def frames_of(name: str, path: list[str], text: str) -> bytes:
    """A frame whose value at `path` is this raw JSON text."""
    sample = next(each for each in SAMPLES[name] if path[0] in each)
    return json.dumps(replaced(sample, tuple(path), "@@")).replace('"@@"', text).encode()


@pytest.mark.parametrize(
    "text", [*(number for number in HUGE if number[-1].isdigit()), '"NaN"', '"1e999999"', '"sNaN"', '"Infinity"', "NaN"]
)
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("qfex", ["order_response", "quantity"]),
        ("qfex", ["order_response", "price"]),
        ("qfex", ["order_response", "quantity_remaining"]),
        ("qfex", ["fill_response", "quantity"]),
        ("qfex", ["fill_response", "timestamp"]),
        ("qfex", ["fill_response", "remaining_quantity"]),
        ("b2trader", ["order", "requestedAmount"]),
        ("b2trader", ["order", "activationPrice"]),
    ],
)  # fmt: skip
def test_a_number_that_is_none_reaches_nobody(name: str, path: list[str], text: str) -> None:
    codec: Codec = QFEX if name == "qfex" else B2
    wire = None if name == "qfex" else B2_WIRES[1]
    for item in read_or_garbled(codec, Frame(body=frames_of(name, path, text), wire=wire, status=200)):
        for row in [item] if isinstance(item, Execution) else []:
            values = [row.quantity, row.price, row.stop_price, row.leaves_quantity, row.last_quantity, row.last_price]
            assert all(value is None or (value.is_finite() and abs(value.adjusted()) < 100) for value in values)


@pytest.mark.parametrize("depth", [65, 1000, 100_000])
@pytest.mark.parametrize(
    "opening", ["[", '{"err":', '{"order_response":{"trade_id":', '[{"a":', '{"err":{"incoming_message":']
)
def test_nesting_without_end_is_garbled_and_not_the_end_of_the_process(opening: str, depth: int) -> None:
    body = (opening * depth).encode()
    for codec, wire in ((QFEX, None), (DMEX, None), (B2, B2_WIRES[1])):
        with pytest.raises(Garbled):
            read(codec, Frame(body=body, wire=wire, status=200), NOW)


def test_nesting_without_end_where_an_import_has_lifted_the_recursion_limit() -> None:
    """eth-account's imports do that, and then the parser's own stack ends before Python's limit does."""
    script = """
import sys
from adapters.qfex.codec import QfexCodec
from router.errors import Garbled
from router.venue import Frame, read
sys.setrecursionlimit(1_000_000)
for opening in (b"[", b'{"err":{"incoming_message":'):
    try:
        read(QfexCodec(jwt="x"), Frame(body=opening * 400_000), 0.0)
    except Garbled:
        print("garbled")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own interpreter
    assert (done.returncode, done.stdout.split()) == (0, ["garbled", "garbled"])


@pytest.mark.parametrize("depth", [20_000])
def test_nesting_inside_a_text_is_not_followed_either(depth: int) -> None:
    echo = json.dumps("[" * depth)
    body = b'{"err":{"error_code":"InvalidParameter","incoming_message":' + echo.encode() + b"}}"
    assert isinstance(read_or_garbled(QFEX, Frame(body=body)), list)
    assert isinstance(read_or_garbled(B2, Frame(body=b"[" * depth, wire=B2_WIRES[1], status=400)), list)


def test_garbled_quotes_nothing_of_the_frame() -> None:
    with pytest.raises(Garbled) as caught:
        read(QFEX, Frame(body=b'{"order_response":{"order_id":"eyJsecret.a.b","status":5}}'), NOW)
    assert "eyJ" not in str(caught.value)


# -- over real sockets

UNREADABLE: list[Any] = [
    "not json",
    "",
    "{",
    b"\xff\xfe\x00",
    "[" * 100_000,
    '{"a":' * 2000,
    "\x00" * 10,
    '{"order_response":' + "9" * 5000 + "}",
]
QFEX_UNREADABLE: list[Any] = [
    *UNREADABLE,
    {"order_response": 5},
    {"order_response": {"order_id": 5, "status": "CANCELLED"}},
    {"order_response": {"status": "CANCELLED"}},
    '{"order_response":{"order_id":"x","status":"FILLED","quantity":1e999999,"quantity_remaining":0}}',
    '{"order_response":{"order_id":"x","status":"ACK","price":"NaN"}}',
    {"fill_response": {"trade_id": "t", "order_id": "o", "price": None, "quantity": 1}},
    {"all_orders_response": []},
    {"err": "ServerError"},
    {"ack": []},
    [{"order_response": None}, 5],
]
MEANINGLESS: list[Any] = [
    {},
    [],
    {"type": None},
    {"order_response": None},
    {"order_response": {"order_id": "", "status": ""}},
    {"err": {"error_code": "", "incoming_message": {"type": [], "params": {}}}},
    {"err": {"error_code": "InvalidParameter", "incoming_message": {"type": {}, "params": {"order_id": []}}}},
    {"ack": {"incoming_message": {"type": "cancel_order", "params": {"order_id": {}, "cancel_order_id_type": []}}}},
    {"ack": {"incoming_message": {"type": "subscribe", "params": {"channels": 5}}}},
    {"subscribed": [[]]},
    {"event": "price"},
    {"op": [], "success": True},
    {"op": "cancel_order", "success": True, "data": []},
    {"op": "cancel_order", "success": False, "errors": [5, {"message": {}}]},
]  # fmt: skip


def as_text(frame: Any) -> str | bytes:
    return frame if isinstance(frame, str | bytes) else json.dumps(frame)


async def test_qfex_goes_on_after_garbage(qfex: Router, qfex_sim: QfexSimulator) -> None:
    placed = await qfex.submit(Order("qfex", "AAPL-USD", "buy", "limit", "1", "100"))
    for frame in QFEX_UNREADABLE:
        await qfex_sim.send(as_text(frame))
    report = await qfex.cancel(placed)
    assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    health = qfex.health()["qfex"]
    assert (health.garbled, health.state) == (len(QFEX_UNREADABLE), SessionState.READY)
    assert (qfex_sim.connections, len(qfex_sim.commands("auth"))) == (1, 1)


async def test_dmex_goes_on_after_garbage(dmex: Router, dmex_sim: DmexSimulator) -> None:
    for frame in UNREADABLE:
        await dmex_sim.send(as_text(frame))
    report = await dmex.cancel("dmex", dmex_sim.rest())
    assert report.outcome is Outcome.CONFIRMED
    health = dmex.health()["dmex"]
    assert (health.garbled, health.state) == (len(UNREADABLE), SessionState.READY)
    assert {item.connection for item in dmex_sim.received} == {1}


@pytest.mark.parametrize("frame", MEANINGLESS, ids=lambda frame: json.dumps(frame)[:60])
async def test_what_can_be_read_and_means_nothing_settles_nothing(
    qfex: Router, qfex_sim: QfexSimulator, dmex: Router, dmex_sim: DmexSimulator, frame: Any
) -> None:
    hold: Callable[[Any], None] = lambda sim: setattr(sim.switches, "deaf", True)  # noqa: E731 - done to both
    hold(qfex_sim)
    hold(dmex_sim)
    waiting = [
        qfex.cancel_many([Cancel("qfex", name, IdKind.ORDER, "AAPL-USD") for name in ("x", "y")], deadline=0.2),
        dmex.cancel_many([Cancel("dmex", HASH), Cancel("dmex", "0x" + "ab" * 32)], deadline=0.2),
    ]
    await qfex_sim.until(2, "cancel_order")
    await dmex_sim.until(2, "cancel_order")
    await qfex_sim.send(as_text(frame))
    await dmex_sim.send(as_text(frame))
    for batch in waiting:
        assert [report.outcome for report in await batch] == [Outcome.UNKNOWN, Outcome.UNKNOWN]
    assert (qfex_sim.connections, len(dmex_sim.connections)) == (1, 1)
