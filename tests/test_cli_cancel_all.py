"""`router cancel-all`, as a user runs it: the question, the proof, and the doubts."""

import json
import os
import re
import signal
import socket
import time
from decimal import Decimal

import pytest

from adapters.qfex.simulator import Order as QfexOrder
from router import cli

from .commanding import configured, on_terminal, router, started

QUESTION = "Cancel them? [y/N]: "


async def rest(simulator, count=1, **changes):
    """Open orders of the account, placed elsewhere."""
    terms = {"account": simulator.account_id, "symbol": "AAPL-USD", "quantity": Decimal(1), "price": Decimal(9)}
    for _ in range(count):
        await simulator.enter(QfexOrder(**terms | changes))


async def test_it_says_how_much_it_is_about_to_cancel_and_proves_that_nothing_is_left(qfex_sim):
    await rest(qfex_sim, 3)
    async with on_terminal("cancel-all", "--venue", "qfex", **qfex_sim.environment) as terminal:
        said = await terminal.until(QUESTION)
        assert len(qfex_sim.book) == 3
        terminal.type("yes\n")
        code, out = await terminal.ended()
    assert "every open order of the account, wherever it was placed, of all symbols, on qfex" in said
    assert re.search(r"qfex +3 ", said)
    assert (code, qfex_sim.book) == (cli.DONE, {})
    assert re.search(r"qfex +3 +CONFIRMED +proven: nothing is open \(read twice\)", out)
    assert "cancelled so far: qfex " in terminal.said


async def test_nothing_is_cancelled_when_the_answer_is_no(qfex_sim):
    await rest(qfex_sim)
    async with on_terminal("cancel-all", "--venue", "qfex", **qfex_sim.environment) as terminal:
        await terminal.until(QUESTION)
        terminal.type("no\n")
        code, out = await terminal.ended()
    assert (code, out, len(qfex_sim.book)) == (cli.NOT_SENT, "", 1)
    assert "the answer was no; nothing was sent" in terminal.said
    assert qfex_sim.commands("cancel_order", "cancel_all_orders") == []


async def test_an_interruption_of_the_question_cancels_nothing(qfex_sim):
    await rest(qfex_sim)
    async with on_terminal("cancel-all", "--venue", "qfex", **qfex_sim.environment) as terminal:
        await terminal.until(QUESTION)
        terminal.process.send_signal(signal.SIGINT)
        code, _ = await terminal.ended()
    assert (code, len(qfex_sim.book)) == (cli.NOT_SENT, 1)
    assert "interrupted; this command has sent nothing" in terminal.said


async def test_where_nobody_can_be_asked_nothing_is_even_connected(qfex_sim):
    code, out, err = await router("cancel-all", "--venue", "qfex", **qfex_sim.environment)
    assert (code, out, qfex_sim.received) == (cli.USAGE, "", [])
    assert "stdin is no terminal; --yes goes ahead without asking" in err


async def test_only_one_symbol(qfex_sim):
    await rest(qfex_sim, 2)
    await rest(qfex_sim, symbol="US500-USD")
    arguments = ("cancel-all", "--venue", "qfex", "--symbol", "AAPL-USD", "--yes", "--json")
    code, out, err = await router(*arguments, **qfex_sim.environment)
    found = json.loads(out)
    assert (code, found["no_open_orders"], found["symbol"]) == (cli.DONE, True, "AAPL-USD")
    assert len(found["venues"]["qfex"]["affected"]) == 2
    assert [order.symbol for order in qfex_sim.book.values()] == ["US500-USD"]
    assert err == "About to cancel every open order of the account, wherever it was placed, of AAPL-USD, on qfex.\n"


async def test_all_venues_of_the_configuration_and_no_more_is_claimed_than_was_proven(
    tmp_path, b2_sim, dmex_sim, qfex_sim
):
    path, environment = configured(tmp_path, qfex=qfex_sim, dmex=dmex_sim, b2trader=b2_sim)
    await rest(qfex_sim)
    order = dmex_sim.rest()
    code, out, _ = await router("cancel-all", "--yes", "--deadline", "10", "--config", path, **environment)
    assert code == cli.UNKNOWN
    assert (qfex_sim.book, dmex_sim.orders[order].closed) == ({}, True)
    assert re.search("qfex +1 +CONFIRMED", out)
    assert re.search("dmex +1 +CONFIRMED", out)
    assert re.search("b2trader +0 +UNKNOWN +NOT PROVEN", out)
    assert re.search("b2trader +in doubt +- +this venue cannot list its open orders, so others may be open", out)


async def test_without_a_configuration_the_venues_must_be_named(tmp_path, qfex_sim):
    code, out, err = await router("cancel-all", "--yes", cwd=tmp_path, **qfex_sim.environment)
    assert (code, out, qfex_sim.received) == (cli.USAGE, "", [])
    assert "there is no router.toml: name the venues" in err


async def test_what_the_venue_refuses_is_named_with_its_reason(qfex_sim):
    await rest(qfex_sim)
    (order_id,) = qfex_sim.book
    for _ in range(40):
        qfex_sim.refuse(["cancel_order", "cancel_all_orders"], "PERMISSION_DENIED")
    code, out, _ = await router("cancel-all", "--venue", "qfex", "--yes", **qfex_sim.environment)
    assert code == cli.REFUSED
    assert re.search("qfex +0 +REFUSED +NOT PROVEN: orders were refused", out)
    assert re.search(f"qfex +not cancelled +order {order_id} AAPL-USD new", out)


async def test_a_venue_that_does_not_answer_is_in_doubt(qfex_sim):
    await rest(qfex_sim)
    qfex_sim.switches.deaf = True
    arguments = ("cancel-all", "--venue", "qfex", "--yes", "--deadline", "1", "--json")
    code, out, _ = await router(*arguments, **qfex_sim.environment)
    assert code == cli.UNKNOWN
    part = json.loads(out)["venues"]["qfex"]
    assert (part["outcome"], part["no_open_orders"], part["affected"]) == ("unknown", False, [])
    assert part["doubts"] or part["not_affected"]


async def test_an_interruption_while_it_works_is_a_doubt(qfex_sim):
    await rest(qfex_sim)
    qfex_sim.switches.deaf = True
    async with started("cancel-all", "--venue", "qfex", "--yes", "--json", **qfex_sim.environment) as process:
        await qfex_sim.until(1, "cancel_all_orders", "cancel_order")
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == cli.UNKNOWN
    assert "what was sent may have been executed" in json.loads(out)["error"]
    assert b"Traceback" not in err


async def test_a_venue_that_cannot_be_reached_holds_up_no_other(tmp_path, dmex_sim, qfex_sim):
    path, environment = configured(tmp_path, dmex=dmex_sim, qfex=qfex_sim)
    await rest(qfex_sim)
    await dmex_sim.stop()
    code, out, _ = await router("cancel-all", "--yes", "--deadline", "1", "--config", path, **environment)
    assert (code, qfex_sim.book) == (cli.UNKNOWN, {})
    assert re.search("qfex +1 +CONFIRMED", out)
    assert re.search("dmex +- +NOT_SENT +NOT SENT", out)
    assert re.search("dmex +not connected +- +cannot connect", out)


async def test_a_venue_that_hangs_in_its_login_holds_up_no_other(tmp_path, dmex_sim, qfex_sim):
    path, environment = configured(tmp_path, 'journal = "router.journal"', dmex=dmex_sim, qfex=qfex_sim)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        path.write_text(path.read_text().replace(dmex_sim.url, address))
        await rest(qfex_sim)
        began = time.monotonic()
        code, out, _ = await router("cancel-all", "--yes", "--deadline", "2", "--config", path, **environment)
        took = time.monotonic() - began
    assert (code, qfex_sim.book) == (cli.UNKNOWN, {})
    assert re.search("qfex +1 +CONFIRMED", out)
    assert re.search("dmex +- +NOT_SENT +NOT SENT", out)
    assert took < 7  # a login has ten seconds


async def test_where_nothing_can_be_said_it_cancels_all_the_same(qfex_sim):
    await rest(qfex_sim)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        async with started("cancel-all", "--venue", "qfex", "--yes", stderr=full, **qfex_sim.environment) as process:
            out, _ = await process.communicate()
    finally:
        os.close(full)
    assert (process.returncode, qfex_sim.book) == (cli.DONE, {})
    assert b"CONFIRMED" in out


async def test_a_symbol_of_which_there_is_no_order_is_said(qfex_sim):
    await rest(qfex_sim)
    arguments = ("cancel-all", "--venue", "qfex", "--symbol", "AAPLUSD", "--yes")
    code, out, err = await router(*arguments, **qfex_sim.environment)
    assert (code, len(qfex_sim.book)) == (cli.DONE, 1)
    assert "proven: nothing of AAPLUSD is open (read twice)" in out
    assert "router: no order of AAPLUSD was found: is that how the venue writes it?\n" in err


async def test_a_venue_that_comes_back_before_the_deadline_is_cancelled_after_all(dmex_sim):
    order, environment = dmex_sim.rest(), dmex_sim.environment
    await dmex_sim.stop()
    async with on_terminal("cancel-all", "--venue", "dmex", **environment) as terminal:
        assert "not known: dmex is not connected" in await terminal.until(QUESTION)
        terminal.type("y\n")
        await terminal.until("cancelled so far")
        await dmex_sim.start()
        code, _ = await terminal.ended()
    assert (code, dmex_sim.orders[order].closed) == (cli.DONE, True)


async def test_nothing_was_sent_where_no_venue_can_be_reached(dmex_sim):
    environment = dmex_sim.environment
    await dmex_sim.stop()
    arguments = ("cancel-all", "--venue", "dmex", "--yes", "--deadline", "0.3", "--json")
    code, out, _ = await router(*arguments, **environment)
    part = json.loads(out)["venues"]["dmex"]
    assert (code, part["outcome"], part["no_open_orders"]) == (cli.NOT_SENT, "not_sent", False)
    assert "cannot connect" in part["error"]


async def test_nobody_is_asked_where_every_login_is_refused(qfex_sim):
    wrong = qfex_sim.environment | {"QFEX_SECRET_KEY": "qfex_secret_wrong_one"}
    async with on_terminal("cancel-all", "--venue", "qfex", **wrong) as terminal:
        code, out = await terminal.ended()
    assert (code, out) == (cli.NOT_SENT, "")
    assert "not sent: qfex: login refused" in terminal.said
    assert QUESTION not in terminal.said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--venue", "mtgox"), "venue was 'mtgox'; known: "),
        (("--venue", "qfex", "--symbol", " "), "symbol was ' '; it must not be empty"),
        (("--venue", "qfex", "--deadline", "-1"), "-1 is not a number of seconds greater than 0"),
        (("--venue", "qfex", "--own"), "name a journal in router.toml, or leave --own out to take every order"),
    ],
)
async def test_a_mistake_is_bad_usage_in_one_line(tmp_path, qfex_sim, arguments, said):
    code, out, err = await router("cancel-all", *arguments, "--yes", cwd=tmp_path, **qfex_sim.environment)
    assert (code, out, err.count("\n")) == (cli.USAGE, "", 1)
    assert said in err
    assert qfex_sim.received == []
