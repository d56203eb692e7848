"""What a hostile or careless venue, or a careless paste, can't do: run us for minutes, end us, fool us, or see secrets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys

import attrs
import pytest
from aiohttp import web
from websockets.asyncio.server import serve

from adapters.b2trader import B2Trader
from adapters.dmex import Dmex
from adapters.qfex import Qfex
from router import Cancel, ExecType, Order, Outcome, Router, VenueError
from router.testing import Switches

ULID = "01K2MNGAWPMQJ7WGATFSCAS1G4"
TOKEN = "my-secret-token-123"
SECRET = "qfex_secret_abcdef"
KEY = "11" * 32
SECONDS = 20  # where the work is not bounded, it is minutes


def run(script):
    """What a fresh interpreter prints; none of the 4 MB may keep it longer than SECONDS."""
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@contextlib.asynccontextmanager
async def answering(handler):
    """An HTTP server with one handler for everything: its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


def chain(error):
    """Everything that a traceback would show of an error."""
    shown = []
    while error is not None:
        shown.append(f"{error!r} {error}")
        error = error.__cause__ or error.__context__
    return " ".join(shown)


# -- work


BRACKETS = r"""
from router.venue import too_deep
size = 4 * 2**20
pieces = [b"[", b"]", b"{", b"[]", b'"', b"\\", b'\\"', b'"[', b'["', b'[\\"', b'"\\\\"[']
for piece in pieces:
    for start in (b"", b'{"a":' + b"[" * 65 + b'"', b'"' + b"[" * 70):
        too_deep(start + piece * (size // len(piece)))
print(too_deep(b"[" * size), too_deep(b"[]" * (size // 2)), too_deep(b'"' + b"[" * size + b'"'))
"""


def test_four_megabytes_of_brackets_and_quotes_are_looked_at_once():
    assert run(BRACKETS) == ["True", "False", "False"]


WORDS = r"""
from router.redact import Redactor, Sealed
redact = Redactor(["hunter22"])
for piece in ("eyJ", "\\", '\\"', '"', "["):
    redact(piece * (4 * 2**20 // len(piece)))
small = (".eyJ", "eyJabcdefgh.", "-eyJ", "://", "://a", "?token=", "bearer ", "r=", "r =", '"token" :', '"token":\\', " ", "0")
for piece in small:
    str(Sealed(piece.encode() * (2**18 // len(piece)), redact))
print("done")
"""


def test_four_megabytes_of_what_looks_like_secrets_are_redacted_in_bounded_work():
    assert run(WORDS) == ["done"]


FRAMES = r"""
import json
from adapters.qfex.codec import QfexCodec
from router.errors import Garbled
from router.venue import Frame, read
size = 2**20
for piece in ("eyJ", "\\", '"', "[", '\\"', "\x00"):
    echo = piece * (size // len(piece))
    for frame in ({"error_code": "InvalidOrder", "message": echo}, {"error_code": "X", "incoming_message": echo}):
        try:
            read(QfexCodec(jwt="x"), Frame(body=json.dumps({"err": frame}).encode()), 0.0)
        except Garbled:
            pass
print("done")
"""


def test_megabytes_of_words_and_echoes_are_read_in_bounded_work():
    assert run(FRAMES) == ["done"]


RECURSION = r"""
import json, sys
import eth_account
assert sys.getrecursionlimit() >= 1000
sys.setrecursionlimit(max(sys.getrecursionlimit(), 1_000_000))
from adapters.qfex.codec import QfexCodec
from router.errors import Garbled
from router.venue import Frame, read
for text in ("[" * 400_000, '{"a":' * 400_000, json.dumps("[" * 400_000)):
    try:
        read(QfexCodec(jwt="x"), Frame(body=json.dumps({"err": {"error_code": "X", "incoming_message": text}}).encode()), 0.0)
    except Garbled:
        pass
print("alive")
"""


def test_brackets_without_end_inside_an_echo_do_not_end_the_process():
    assert run(RECURSION) == ["alive"]


async def test_a_refusal_of_endless_words_is_told_with_the_first_of_them(qfex, qfex_sim):
    qfex_sim.switches = Switches(deaf=True, only=frozenset({"cancel_order"}))
    cancelling = asyncio.ensure_future(qfex.cancel("qfex", "o1", symbol="AAPL-USD"))
    [sent] = await qfex_sim.until(1, "cancel_order")
    words = "eyJ" * 40_000
    await qfex_sim.send({"err": {"error_code": "InvalidOrder", "message": words, "incoming_message": sent.message}})
    report = await cancelling
    assert report.outcome is Outcome.REFUSED
    assert len(report.text) <= 600


# -- numbers


async def test_a_fill_of_less_than_nothing_is_skipped_and_counted(qfex, qfex_sim):
    events = qfex.events()
    order = Order("qfex", "AAPL-USD", "buy", "limit", "10", "150")
    placed = await qfex.submit(order)
    fill = {"trade_id": "t1", "order_id": placed.order_id, "price": 10, "quantity": -5, "side": "BUY"}
    await qfex_sim.send({"fill_response": fill | {"client_order_id": order.client_order_id}})
    [row] = await qfex.open_orders("qfex")
    assert (row.cum_quantity or 0) == 0
    assert qfex.health()["qfex"].garbled == 1
    report = await qfex.cancel(placed)
    assert (report.outcome, [taken.cum_quantity or 0 for taken in report.orders]) == (Outcome.CONFIRMED, [0])
    assert [(await anext(events)).exec_type for _ in range(2)] == [ExecType.NEW, ExecType.CANCELED]


@pytest.mark.parametrize(("remaining", "requested"), [("0", "1"), ("5", "1")])
async def test_what_a_cancelled_frame_calls_remaining_tells_no_fills(remaining, requested):
    order = {"orderId": "C1", "status": "Cancelled", "marketId": "spot.btc_usdt"}
    order |= {"requestedAmount": requested, "remainingAmount": remaining}

    async def handler(_request):
        return web.json_response({"order": order})

    async with answering(handler) as url, Router({"b": B2Trader(url, "acc", TOKEN)}) as router:
        report = await router.cancel("b", "C1")
    assert report.outcome is Outcome.CONFIRMED
    assert [row.cum_quantity for row in report.orders] == [None]


async def test_lots_and_units_are_never_mixed():
    order = {"orderId": "A1", "status": "Completed", "marketId": "cfd.eth_eur"}
    order |= {"requestedAmount": "200000", "remainingAmount": "0"}

    async def handler(_request):
        return web.json_response({"order": order})

    async with answering(handler) as url, Router({"b": B2Trader(url, "acc", TOKEN)}) as router:
        report = await router.submit(Order("b", "cfd.eth_eur", "buy", "market", "2", options={"unit": "lots"}))
    assert report.outcome is Outcome.CONFIRMED
    assert report.cum_quantity in {None, 2}, "200000 units are 2 lots, and 200000 lots were not bought"


# -- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 100,
        b"<html><script>" + b"{" * 70 + b"</script></html>",
        b'{"errors":{"a":[' + b"9" * 5000 + b"]}}",
        b'{"title":"\xff\xfe"}',
        b'{"title":"\\ud800"}',
        b'{"title":{"title":["a"]},"errors":7}',
    ],
    ids=["empty", "deep", "html", "big int", "no utf-8", "surrogate", "strange types"],
)
async def test_the_status_code_decides_whatever_the_body_is(body):
    hits = []

    async def handler(request):
        hits.append(request.method)
        return web.Response(status=404, body=body)

    async with answering(handler) as url, Router({"b": B2Trader(url, "acc", TOKEN)}) as router:
        report = await router.cancel("b", ULID)
    assert report.outcome is Outcome.REFUSED
    assert "404" in report.text
    assert str(report).encode()
    assert report.raw is not None
    assert hits == ["DELETE"]


# -- tokens and secrets


async def test_a_token_pasted_with_a_line_break_is_used_without_it(b2_sim):
    async with Router({"b": B2Trader(b2_sim.url, b2_sim.account_id, b2_sim.token() + "\n")}) as router:
        report = await router.cancel("b", ULID)
    assert report.outcome is Outcome.REFUSED
    assert "404" in report.text
    [sent] = [each for each in b2_sim.received if each.command.startswith("DELETE")]
    assert not sent.headers.get("Authorization", "").endswith("\n")


@pytest.mark.parametrize("token", ["my-secret\ntoken-123", "my-secret token-123", ""])
async def test_a_token_that_is_none_ends_the_opening_and_is_not_shown(b2_sim, token):
    async def fetch():
        return token

    with pytest.raises((VenueError, ValueError)) as caught:
        async with Router({"b": B2Trader(b2_sim.url, b2_sim.account_id, fetch)}):
            pytest.fail("entered")
    assert "my-secret" not in chain(caught.value)
    assert not [each for each in b2_sim.received if each.command.startswith("DELETE")]


@pytest.mark.parametrize("end", ["", "#x"])
async def test_a_key_in_the_url_is_in_no_exception(end):
    with pytest.raises((VenueError, ValueError)) as caught:
        async with Router({"qfex": Qfex(jwt="jwtjwtjwt", url=f"wss://127.0.0.1:1/?api_key=SECRETKEY{end}")}):
            pytest.fail("entered")
    assert "SECRETKEY" not in chain(caught.value)


async def test_a_login_whose_signature_the_venue_repeats_does_not_show_it():
    signatures = []

    async def refuse(connection):
        async for message in connection:
            signatures.append(json.loads(message)["params"]["hmac"]["signature"])
            words = f"signature {signatures[-1]} does not match"
            err = {"error_code": "PermissionDenied", "message": words, "incoming_message": None}
            await connection.send(json.dumps({"err": err}))

    async with serve(refuse, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(VenueError, match="does not match") as caught:
            async with Router({"qfex": Qfex("pub", SECRET, url=url)}):
                pytest.fail("entered")
    assert len(signatures) == 1
    assert signatures[0] not in chain(caught.value)


def test_a_codec_taken_apart_shows_no_secret():
    codec = Qfex("pub", "topsecretvalue")._codec
    assert "topsecretvalue" not in f"{attrs.asdict(codec)} {attrs.astuple(codec)} {codec}"


async def test_a_signature_that_the_venue_repeats_is_in_no_report():
    seen = []

    async def refuse(connection):
        async for message in connection:
            data = json.loads(message)["data"]
            seen.append(data)
            error = f"invalid signature r={data['r']} s={data['s']}"
            answer = {"op": "cancel_order", "success": False, "error": error}
            await connection.send(json.dumps(answer | {"data": {"order_hash": data["order_hash"]}}))

    async with serve(refuse, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with Router({"dmex": Dmex(KEY, url=url)}) as router:
            report = await router.cancel("dmex", "0x" + "ab" * 32)
    assert report.outcome is not Outcome.CONFIRMED
    assert "invalid signature" in report.text
    for part in ("r", "s"):
        digits = seen[0][part].removeprefix("0x")
        assert digits not in f"{report.text} {report.raw} {report!r} {report}"


async def test_a_key_pasted_as_an_id_is_not_quoted(dmex, dmex_sim):
    report = await dmex.cancel(Cancel("dmex", KEY))
    assert report.outcome is Outcome.NOT_SENT
    assert KEY not in report.text
    assert dmex_sim.commands("cancel_order") == []
