"""`router watch --nats`, as a user runs it."""

import asyncio
import contextlib
import json
import re
import signal
from decimal import Decimal

import pytest

from adapters.qfex import Qfex
from adapters.qfex.simulator import Order as QfexOrder
from router import cli
from router.cli import watching_remote
from router.cluster.broker.credentials import Credentials
from router.cluster.serving.gateway import Gateway
from router.cluster.stream.copies import Copy, Settlement
from router.record import Record
from tests.commanding import router, started

from .copied import VENUE, connected, copying, journal, soon, trade, write


@pytest.fixture
async def gateway(nats, qfex_sim, tmp_path):
    made = Gateway(
        {VENUE: Qfex(**qfex_sim.credentials)},
        Credentials(url=nats.url, strategy="gateway"),
        journal=tmp_path / "g.journal",
    )
    async with made:
        await soon(lambda: owned(made).tenure)
        yield made


def owned(gateway):
    return gateway.standing().venues[VENUE]


def order(simulator, **changes):
    terms = {"account": simulator.account_id, "symbol": "AAPL-USD", "quantity": Decimal(2), "price": Decimal(9)}
    return QfexOrder(**terms | changes)


async def said(stream, words):
    """Read lines until one of them has these words, and return it."""
    while words not in (line := (await stream.readline()).decode()):
        assert line, f"it ended before {words!r}"
    return line


@contextlib.asynccontextmanager
async def watching(nats, *arguments):
    async with started("watch", "--nats", nats.url, *arguments) as process:
        yield process


async def test_what_happens_at_a_gateways_venue_is_a_line_each_until_ctrl_c(nats, gateway, qfex_sim):
    async with watching(nats) as process:
        await said(process.stderr, "qfex: watching")
        await qfex_sim.enter(placed := order(qfex_sim))
        line = await said(process.stdout, placed.order_id)
        assert re.match(rf"\d\d:\d\d:\d\d\.\d\d\d  qfex  NEW  AAPL-USD  {placed.order_id}  new", line)
        await qfex_sim.fill(placed.order_id, 1)
        assert "partially_filled  quantity 1.0  price 9.0  filled 1" in await said(process.stdout, "TRADE")
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, err) == (cli.DONE, b"")


async def test_a_gateway_that_loses_its_venue_and_nats_that_goes_are_told(nats, gateway, qfex_sim):
    async with watching(nats, VENUE) as process:
        await said(process.stderr, "qfex: watching")
        await qfex_sim.stop()
        await said(process.stderr, "router: qfex: backing_off: ")
        await qfex_sim.start()
        await said(process.stderr, "qfex: watching")
        await nats.kill()
        await said(process.stderr, "qfex: what happens can't be read: not connected to NATS")
        await nats.restart()
        await said(process.stderr, "qfex: watching")
        await qfex_sim.enter(placed := order(qfex_sim))
        await said(process.stdout, placed.order_id)
        process.terminate()
        await process.wait()
    assert process.returncode == cli.DONE


async def test_settlements_are_lines_too_and_other_venues_are_not(nats, tmp_path):
    facts = {"outcome": "confirmed", "text": "gone\x1b[2J"}
    intent = {"verb": "cancel", "symbol": "S", "strategy": "alpha", "account": "a", "effect": "idempotent", "sent": 0}
    async with (
        connected(nats.url, "gateway") as connection,
        journal(tmp_path / "j") as made,
        copying(connection, made),
        watching(nats, VENUE, "--json") as json_one,
        watching(nats, VENUE) as plain,
    ):
        for process in (json_one, plain):
            await said(process.stderr, "qfex: no gateway serves it")
        made.put(trade(1, "dmex"))
        made.put(Record("intent", VENUE, "op1", "o1", None, intent | {"command": {}}))
        made.put(Record("unknown", VENUE, "op1", "o1", None, {"text": "silence"}))
        made.put(Record("resolved", VENUE, "op1", "o1", None, facts))
        await write(made, [7])
        first, second = [json.loads(await json_one.stdout.readline()) for _ in range(2)]
        assert {name: first[name] for name in ("venue", "settled", "verb", "symbol", "op", "order_id", "strategy")} == {
            "venue": VENUE,
            "settled": "confirmed",
            "verb": "cancel",
            "symbol": "S",
            "op": "op1",
            "order_id": "o1",
            "strategy": "alpha",
        }
        assert (second["exec_type"], second["order_id"], second["last_price"]) == ("trade", "o7", "100")
        line = (await plain.stdout.readline()).decode()
        assert re.match(r"\d\d:\d\d:\d\d\.\d\d\d  qfex  SETTLED  S  o1  cancel  CONFIRMED  by alpha  gone", line)
        assert "\x1b" not in line
        assert "o7" in (await plain.stdout.readline()).decode()


async def test_it_ends_quietly_when_nobody_reads_it_any_more(nats, tmp_path):
    async with (
        connected(nats.url, "gateway") as connection,
        journal(tmp_path / "j") as made,
        copying(connection, made),
        watching(nats, VENUE) as process,
    ):
        await said(process.stderr, "no gateway serves it")
        process.stdout._transport.close()
        number = 0
        while process.returncode is None:
            await write(made, [number := number + 1])
            await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=0.05)
        assert (process.returncode, await process.stderr.read()) == (cli.DONE, b"")


async def test_without_a_gateway_it_waits_for_one(nats):
    async with watching(nats) as process:
        await said(process.stderr, "router: no gateway is there")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == cli.DONE


async def test_a_nats_that_is_not_there(nats):
    await nats.kill()
    code, out, err = await router("watch", "--nats", nats.url)
    assert (code, out) == (cli.NOT_SENT, "")
    assert nats.url in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--nats", "nats://example.com"), "nats://example.com"),
        (("--nats", "http://127.0.0.1"), "http://127.0.0.1"),
        (("--credentials", "nowhere.toml"), "nowhere.toml"),
        (("--nats", "nats://127.0.0.1", "--config", "router.toml"), "leave it out"),
        (("a.b", "--nats", "nats://127.0.0.1"), "a.b"),
    ],
)
async def test_what_cannot_be_right_is_usage(tmp_path, arguments, words):
    code, out, err = await router("watch", *arguments, cwd=tmp_path)
    assert (code, out) == (cli.USAGE, "")
    assert words in err
    assert "bug" not in err


def test_a_settlement_that_says_little_is_a_line():
    copy = Copy(journal="j", number=1, venue=VENUE, what="resolved", at=0.0)
    assert watching_remote.settled_line(copy, Settlement()) == "00:00:00.000  qfex  SETTLED"
