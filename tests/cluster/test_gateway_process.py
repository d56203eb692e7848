"""`router gateway` as a user runs it: what it says, how it ends, who takes over then, and that no key ever leaves it."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time

import pytest

from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, Outcome, cli
from router.cluster import subjects, wire
from tests.commanding import CLEAN, PIPE, configured, router, started

from .servers import Server, nats_server
from .strategies import limit, new_op, strategy, submitting, vacate

TTL = 0.5
DEBUG = "import logging, sys; logging.basicConfig(level=logging.DEBUG); from router.cli import main; main(sys.argv[1:])"


@pytest.fixture
async def venue():
    async with QfexSimulator() as simulator:
        yield simulator


@pytest.fixture
async def alpha(nats):
    async with strategy(nats.url) as found:
        await vacate(found.client, "qfex")
        yield found


@pytest.fixture
def running(tmp_path, nats, venue):
    """Start `router gateway` in a folder of its own, or in one that there is."""

    def start(folder="one", *more, **changes):
        (tmp_path / folder).mkdir(exist_ok=True)
        path, environment = configured(tmp_path / folder, 'journal = "router.journal"', qfex=venue)
        arguments = ("--config", path, "--nats", nats.url, "--ttl", TTL, "--name", changes.pop("name", folder), *more)
        return started("gateway", *arguments, **environment)

    return start


async def line(stream, *words):
    """Read lines until one of them has these words, and return it."""
    async with asyncio.timeout(20):
        while found := (await stream.readline()).decode():
            if all(word in found for word in words):
                return found
    raise AssertionError(f"it ended before {words}")


async def names_its_journal(alpha):
    """Wait until the lease says in which journal its holder writes: it is renewed four times in a TTL."""
    leases = await alpha.client.jetstream().key_value(subjects.BUCKET)
    async with asyncio.timeout(10):
        while not json.loads((await leases.get("qfex")).value).get("journal"):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def ended(process):
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_it_says_what_it_does_and_gives_everything_back_when_it_is_told_to_end(running, venue, alpha):
    async with running() as one:
        assert await line(one.stderr, "connected to NATS")
        assert await line(one.stderr, "qfex: stands by")
        tenure = await alpha.owner("qfex", healthy=True)
        assert tenure in await line(one.stderr, "qfex: owns it")
        assert await line(one.stderr, "qfex: the venue is connected")
        placed = await alpha.submit(tenure, limit())
        async with running("two") as two:
            assert await line(two.stderr, "qfex: stands by")
            begun = time.monotonic()
            one.send_signal(signal.SIGTERM)
            later = await alpha.owner("qfex", gateway="two")
            took = time.monotonic() - begun
            cancelled = await alpha.cancel(later, Cancel("qfex", placed.report.order_id, symbol="AAPL-USD"))
            assert cancelled.report.outcome is Outcome.CONFIRMED
            code, _, err = await ended(one)
            assert code == cli.DONE
            assert "qfex: it was given back" in err
            assert took < 2
            two.send_signal(signal.SIGINT)
            assert (await ended(two))[0] == cli.DONE
    assert len(venue.commands("add_order")) == 1


async def test_in_json_it_is_an_object_a_line(running, alpha):
    async with running("one", "--json") as one:
        found = json.loads(await line(one.stdout, "owner"))
        assert (found["what"], found["venue"], found["is_trouble"]) == ("owner", "qfex", False)
        assert found["tenure"] == await alpha.owner("qfex")
        one.terminate()
        assert '"released"' in (await ended(one))[1]


async def test_when_it_is_killed_a_standby_takes_over_and_finds_its_orders(running, venue, alpha):
    async with running() as one:
        tenure = await alpha.owner("qfex", healthy=True)
        command = submitting(tenure, limit())
        placed = await alpha.say("qfex", command)
        async with running("two") as two:
            await line(two.stderr, "qfex: stands by")
            one.kill()
            begun = time.monotonic()
            later = await alpha.owner("qfex", gateway="two", healthy=True)
            assert time.monotonic() - begun < TTL + 2
            told = await alpha.settle(later, "qfex", command)
            assert told.report.order_id == placed.report.order_id
            sweep = wire.CancelAll(op=new_op(), tenure=later, deadline=time.time() + 5, known=(placed.report.order_id,))
            swept = await alpha.say("qfex", sweep, timeout=6)
            assert [each.order_id for each in swept.report.affected] == [placed.report.order_id]
    assert not venue.book
    assert len(venue.commands("add_order")) == 1


async def test_a_restart_on_the_same_journal_does_not_wait_for_the_lease(running, venue, alpha):
    long = ("--ttl", 6)
    async with running("one", *long) as one:
        tenure = await alpha.owner("qfex", healthy=True)
        command = submitting(tenure, limit())
        placed = await alpha.say("qfex", command)
        await names_its_journal(alpha)
        one.kill()
        await one.wait()
    async with running("one", *long, name="again") as again:
        await line(again.stderr, "stands by")
        begun = time.monotonic()
        later = await alpha.owner("qfex", gateway="again", healthy=True)
        assert time.monotonic() - begun < 4
        told = await alpha.settle(later, "qfex", command)
        assert told.report.order_id == placed.report.order_id
    assert len(venue.commands("add_order")) == 1


async def test_one_that_was_stopped_past_its_lease_writes_nothing_when_it_wakes(running, venue, alpha):
    async with running() as one:
        tenure = await alpha.owner("qfex", healthy=True)
        async with running("two") as two:
            await line(two.stderr, "qfex: stands by")
            one.send_signal(signal.SIGSTOP)
            late = [asyncio.ensure_future(alpha.submit(tenure, limit(), seconds=30)) for _ in range(5)]
            try:
                later = await alpha.owner("qfex", gateway="two", healthy=True)
                assert (await alpha.submit(later, limit())).report.outcome is Outcome.CONFIRMED
            finally:
                one.send_signal(signal.SIGCONT)
            said = await asyncio.gather(*late, return_exceptions=True)
            assert await line(one.stderr, "qfex: stands by")
            assert await line(one.stderr, "qfex: stands by")
    assert all(isinstance(each, wire.Refused | TimeoutError) for each in said), said
    assert len(venue.commands("add_order")) == 1


async def test_it_waits_for_nats_and_says_so(tmp_path, venue):
    path, environment = configured(tmp_path, 'journal = "router.journal"', qfex=venue)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    async with started(
        "gateway", "--config", path, "--nats", f"nats://127.0.0.1:{port}", "--ttl", TTL, **environment
    ) as one:
        assert await line(one.stderr, "NATS is not there yet", "waiting for it")
        server = Server(tmp_path, port=port)
        try:
            await server.start()
            assert await line(one.stderr, "qfex: owns it")
            one.terminate()
            assert (await ended(one))[0] == cli.DONE
        finally:
            await server.kill()


async def test_while_it_waits_for_nats_it_can_be_ended(tmp_path, venue):
    path, environment = configured(tmp_path, 'journal = "router.journal"', qfex=venue)
    async with started("gateway", "--config", path, "--nats", "nats://127.0.0.1:1", **environment) as one:
        await line(one.stderr, "waiting for it")
        one.send_signal(signal.SIGINT)
        assert (await ended(one))[0] == cli.DONE


@pytest.mark.parametrize(
    ("lines", "arguments", "said"),
    [
        ((), ("--nats", "nats://127.0.0.1:1"), "journal is missing: a gateway keeps one"),
        (('journal = "j"',), (), "where is NATS?"),
        (('journal = "j"',), ("--nats", "nats://example.com:4222"), "it must be tls://"),
        (('journal = "j"',), ("--nats", "nats://127.0.0.1:1", "--ttl", "0"), "ttl was 0.0"),
        (('journal = "j"',), ("--nats", "nats://127.0.0.1:1", "--name", "a b"), "the gateway's name was 'a b'"),
        (('journal = "j"',), ("--credentials", "nowhere.toml"), "nowhere.toml"),
    ],
)
async def test_what_is_wrong_with_how_it_is_called(tmp_path, venue, lines, arguments, said):
    path, environment = configured(tmp_path, *lines, qfex=venue)
    code, out, err = await router("gateway", "--config", path, *arguments, **environment)
    assert (code, out) == (cli.USAGE, "")
    assert said in err
    assert venue.secret_key not in err


async def test_a_venue_whose_name_nats_cannot_have(tmp_path, venue):
    path, environment = configured(tmp_path, 'journal = "j"', qfex=venue)
    path.write_text(path.read_text().replace("[venues.qfex]", '[venues."q.x"]'))
    code, _, err = await router("gateway", "--config", path, "--nats", "nats://127.0.0.1:1", **environment)
    assert code == cli.USAGE
    assert "letters, digits" in err


async def test_no_key_of_a_venue_leaves_it(tmp_path, venue):
    """Everything that NATS carries, at DEBUG everything that is said, and everything that NATS keeps."""
    async with nats_server() as nats, DmexSimulator() as dmex, strategy(nats.url) as alpha:
        path, environment = configured(tmp_path, 'journal = "router.journal"', qfex=venue, dmex=dmex)
        heard = []

        async def hear(message):
            heard.append(message.subject.encode() + repr(message.headers).encode() + message.data)

        await alpha.client.subscribe(">", cb=hear)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", DEBUG, "gateway", "--config", path, "--nats", nats.url, "--ttl", str(TTL)),
            env=CLEAN | environment,
            stdout=PIPE,
            stderr=PIPE,
        )
        said = asyncio.ensure_future(process.communicate())
        try:
            for name in ("qfex", "dmex"):
                tenure = await alpha.owner(name, healthy=True, timeout=30)
                placed = await alpha.submit(tenure, limit(name, client_order_id="canary"))
                await alpha.cancel(tenure, Cancel(name, "no-such-order", symbol="AAPL-USD"))
                await alpha.say(name, wire.OpenOrders(op=new_op(), tenure=tenure, deadline=time.time() + 3))
                await alpha.settle(tenure, name, submitting(tenure, limit(name)))
                assert isinstance(placed, wire.Told)
            for verb in ("PING", "INFO", "STATS"):
                await alpha.raw(f"$SRV.{verb}.venue-router", b"")
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            out, err = await said
        assert process.returncode == cli.DONE
        kept = [file.read_bytes() for file in nats.store.rglob("*") if file.is_file()]
    text = b"\n".join([out, err, *heard, *kept])
    assert len(heard) > 20
    assert b"canary" in text
    for secret in (venue.secret_key, dmex.private_key):
        assert secret.removeprefix("0x").encode() not in text
