"""`router watch`, `router health` and `router config check`, as a user runs them."""

import asyncio
import json
import re
import signal
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from adapters.qfex.simulator import Order as QfexOrder
from router import Event, ExecType, cli
from router.cli import watching

from .commanding import configured, router, started


def order(simulator, **changes):
    terms = {"account": simulator.account_id, "symbol": "AAPL-USD", "quantity": Decimal(2), "price": Decimal(9)}
    return QfexOrder(**terms | changes)


async def said(stream, words):
    """Read lines until one of them has these words, and return it."""
    while words not in (line := (await stream.readline()).decode()):
        assert line, f"it ended before {words!r}"
    return line


# -- watch


async def test_watch_tells_each_event_on_a_line_at_once_until_ctrl_c(qfex_sim):
    async with started("watch", "qfex", **qfex_sim.environment) as process:
        await said(process.stderr, "qfex: watching")
        await qfex_sim.enter(placed := order(qfex_sim))
        line = await said(process.stdout, placed.order_id)
        assert re.match(rf"\d\d:\d\d:\d\d\.\d\d\d  qfex  NEW  AAPL-USD  {placed.order_id}  new", line)
        await qfex_sim.fill(placed.order_id, 1)
        line = await said(process.stdout, "TRADE")
        assert "partially_filled  quantity 1.0  price 9.0  filled 1" in line
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, err) == (cli.DONE, b"")


async def test_watch_in_json_is_one_object_per_line(qfex_sim):
    async with started("watch", "qfex", "--json", **qfex_sim.environment) as process:
        await said(process.stderr, "qfex: watching")
        await qfex_sim.enter(placed := order(qfex_sim))
        event = json.loads(await process.stdout.readline())
        assert (event["exec_type"], event["order_id"], event["seq"]) == ("new", placed.order_id, 1)
        await qfex_sim.fill(placed.order_id)
        event = json.loads(await said(process.stdout, '"exec_type": "trade"'))
        assert (event["last_quantity"], event["last_price"]) == ("2.0", "9.0")
        process.terminate()
        await process.wait()
    assert process.returncode == cli.DONE


async def test_watch_ends_quietly_when_nobody_reads_it_any_more(qfex_sim):
    async with started("watch", "qfex", **qfex_sim.environment) as process:
        await said(process.stderr, "qfex: watching")
        process.stdout._transport.close()
        while process.returncode is None:
            await qfex_sim.enter(order(qfex_sim))
            await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=0.05)
        assert (process.returncode, await process.stderr.read()) == (cli.DONE, b"")


async def test_watch_says_when_a_connection_is_lost_and_found_again(qfex_sim):
    async with started("watch", "qfex", **qfex_sim.environment) as process:
        await said(process.stderr, "qfex: watching")
        await qfex_sim.stop()
        await said(process.stderr, "router: qfex: backing_off: ")
        await qfex_sim.start()
        await said(process.stderr, "qfex: watching")
        await qfex_sim.enter(placed := order(qfex_sim))
        await said(process.stdout, placed.order_id)


async def test_watch_names_a_venue_of_which_nothing_will_be_seen(b2_sim):
    async with started("watch", "b2trader", **b2_sim.environment) as process:
        line = await said(process.stderr, "b2trader")
        assert "what happens there is not seen; ask with `router orders`" in line


async def test_watch_of_venues_that_refuse_the_login(qfex_sim):
    wrong = qfex_sim.environment | {"QFEX_SECRET_KEY": "qfex_secret_wrong_one"}
    code, out, err = await router("watch", "qfex", **wrong)
    assert (code, out) == (cli.NOT_SENT, "")
    assert "router: qfex: login refused" in err
    assert "qfex_secret_wrong_one" not in err


def test_a_venues_words_are_not_obeyed():
    line = watching.line(
        Event(
            venue="qfex",
            order_id="\x1b[2J7",
            client_order_id=None,
            exec_type=ExecType.CANCELED,
            status=None,
            last_quantity=None,
            last_price=None,
            cum_quantity=Decimal("1E+2"),
            trade_id=None,
            seq=1,
            at=datetime(2026, 1, 31, 17, tzinfo=UTC),
            text="two\nlines",
        )
    )
    assert line == "17:00:00.000  qfex  CANCELED  \N{REPLACEMENT CHARACTER}[2J7  filled 100  two lines"


# -- health


async def test_health_shows_how_each_venue_is(tmp_path, dmex_sim, qfex_sim):
    path, environment = configured(tmp_path, dmex=dmex_sim, qfex=qfex_sim)
    code, out, err = await router("health", "--config", path, **environment)
    assert (code, err) == (cli.DONE, "")
    assert re.search("dmex +ok +ready", out)
    assert re.search("qfex +ok +ready +- +cancel 12000", out)
    await dmex_sim.stop()
    code, out, _ = await router("health", "--config", path, **environment)
    assert code == cli.NOT_SENT
    assert re.search("dmex +NOT OK +backing_off .* cannot connect", out)
    assert re.search("qfex +ok", out)
    code, out, _ = await router("health", "--json", "--config", path, **environment)
    found = json.loads(out)
    assert code == cli.NOT_SENT
    assert (found["dmex"]["ok"], found["qfex"]["ok"]) == (False, True)


# -- config check


async def test_config_check_logs_in_everywhere_and_trades_nowhere(tmp_path, b2_sim, dmex_sim, qfex_sim):
    path, environment = configured(tmp_path, 'journal = "a.journal"', qfex=qfex_sim, dmex=dmex_sim, b2trader=b2_sim)
    code, out, err = await router("config", "check", path, **environment)
    assert (code, err) == (cli.DONE, "")
    assert f"{path}: journal {tmp_path / 'a.journal'}" in out
    assert [bool(re.search(f"{name} +{name} +ok +logged in", out)) for name in ("qfex", "dmex", "b2trader")] == [
        True
    ] * 3
    assert {each.command for each in qfex_sim.received} <= {"auth", "subscribe"}
    assert list(tmp_path.glob("a.journal*")) == []


async def test_config_check_names_each_venue_that_fails(tmp_path, dmex_sim, qfex_sim):
    path, environment = configured(tmp_path, qfex=qfex_sim, dmex=dmex_sim)
    await dmex_sim.stop()
    wrong = {name: "qfex_secret_wrong_one" for name in environment if "QFEX" in name}
    code, out, _ = await router("config", "check", "--json", ROUTER_CONFIG=str(path), **environment | wrong)
    found = json.loads(out)["venues"]
    assert (code, found["qfex"]["ok"], found["dmex"]["ok"]) == (cli.NOT_SENT, False, False)
    assert "login refused" in found["qfex"]["errors"][0]
    assert "cannot connect" in found["dmex"]["errors"][0]
    assert "qfex_secret_wrong_one" not in out


async def test_config_check_takes_a_secret_that_is_not_there_for_a_mistake(tmp_path, dmex_sim, qfex_sim):
    path, environment = configured(tmp_path, qfex=qfex_sim, dmex=dmex_sim)
    del environment["SECRET_QFEX_SECRET_KEY"]
    code, out, err = await router("config", "check", path, **environment)
    assert (code, err, qfex_sim.received) == (cli.USAGE, "", [])
    assert re.search("qfex +qfex +FAILED .*SECRET_QFEX_SECRET_KEY", out)
    assert re.search("dmex +dmex +ok +logged in", out)


async def test_config_check_tells_all_mistakes_at_once(tmp_path, qfex_sim):
    path, environment = configured(tmp_path, 'journl = "a"', 'on_unknown = "wait"', qfex=qfex_sim)
    code, out, err = await router("config", "check", path, "--json", **environment)
    assert (code, qfex_sim.received) == (cli.USAGE, [])
    assert f"{path} has 2 mistakes" in err
    assert [("journl" in each, "wait" in each) for each in json.loads(out)["mistakes"]] == [
        (True, False),
        (False, True),
    ]
    assert "journl" in err
    assert "wait" in err


@pytest.mark.parametrize("arguments", [(), ("none.toml",)])
async def test_config_check_without_a_file(tmp_path, arguments):
    code, out, err = await router("config", "check", *arguments, cwd=tmp_path)
    assert (code, out, err.count("\n")) == (cli.USAGE, "", 1)
    assert "".join(arguments) in err
