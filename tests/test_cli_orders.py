"""`router submit` and `router orders`, as a user runs them."""

import json
import os
import re
import signal
from decimal import Decimal

import pytest

from adapters.qfex.simulator import Order as QfexOrder
from adapters.qfex.simulator import QfexSimulator
from router import cli

from .commanding import configured, on_terminal, router, started

LIMIT = ("submit", "qfex", "AAPL-USD", "buy", "limit", "2", "--price", "150.5")


def resting(simulator, **changes):
    terms = {"account": simulator.account_id, "symbol": "AAPL-USD", "quantity": Decimal(1), "price": Decimal(9)}
    return QfexOrder(**terms | changes)


# -- submit


async def test_an_order_is_shown_and_placed_when_the_answer_is_yes(qfex_sim):
    async with on_terminal(*LIMIT, "--client-order-id", "mine", **qfex_sim.environment) as terminal:
        said = await terminal.until("Place this order on qfex? [y/N]: ")
        assert qfex_sim.received == []
        terminal.type("y\n")
        code, out = await terminal.ended()
    for words in ("order +buy limit", "symbol +AAPL-USD", "quantity +2", "price +150.5", "client id +mine"):
        assert re.search(words, said)
    (placed,) = qfex_sim.book.values()
    assert (code, placed.quantity, placed.price) == (cli.DONE, 2, Decimal("150.5"))
    assert "asked        submit buy limit 2 AAPL-USD at 150.5 on qfex" in out
    assert f"order {placed.order_id}" in out


@pytest.mark.parametrize("answer", ["n\n", "\n", "yess\n", "\x04"])
async def test_nothing_is_placed_unless_the_answer_is_yes(qfex_sim, answer):
    async with on_terminal(*LIMIT, **qfex_sim.environment) as terminal:
        await terminal.until("[y/N]: ")
        terminal.type(answer)
        code, out = await terminal.ended()
    assert (code, out) == (cli.NOT_SENT, "")
    assert terminal.said.endswith("router: the answer was no; nothing was sent\r\n")
    assert qfex_sim.received == []


async def test_an_interruption_of_the_question_is_no_doubt(qfex_sim):
    async with on_terminal(*LIMIT, **qfex_sim.environment) as terminal:
        await terminal.until("[y/N]: ")
        terminal.process.send_signal(signal.SIGINT)
        code, _ = await terminal.ended()
    assert code == cli.NOT_SENT
    assert "router: interrupted; this command has sent nothing" in terminal.said


async def test_where_nobody_can_be_asked_nothing_is_placed(qfex_sim):
    code, out, err = await router(*LIMIT, **qfex_sim.environment)
    assert (code, out, err.count("\n")) == (cli.USAGE, "", 1)
    assert "stdin is no terminal; --yes goes ahead" in err
    assert qfex_sim.received == []


async def test_a_submit_in_json_is_the_whole_report(qfex_sim):
    code, out, err = await router(
        *LIMIT, "--post-only", "--time-in-force", "gtc", "--yes", "--json", **qfex_sim.environment
    )
    assert (code, err) == (cli.DONE, "")
    report = json.loads(out)
    assert (report["outcome"], report["status"], report["request"]["post_only"]) == ("confirmed", "new", True)
    assert report["order_id"] in qfex_sim.book
    assert json.loads(report["raw"])["order_response"]["order_id"] == report["order_id"]


async def test_a_submit_that_the_venue_refuses(qfex_sim):
    qfex_sim.refuse(["add_order"], "REJECTED_MARKET_CLOSED")
    code, out, _ = await router(*LIMIT, "--yes", **qfex_sim.environment)
    assert code == cli.REFUSED
    assert re.search("outcome +REFUSED", out)


async def test_a_submit_without_an_answer_says_that_it_may_have_been_placed(qfex_sim):
    qfex_sim.switches.mute = True
    code, _, err = await router(*LIMIT, "--yes", "--deadline", "1", **qfex_sim.environment)
    assert code == cli.UNKNOWN
    assert "router: it may have been placed: look at `router orders qfex` before you place another\n" in err
    assert len(qfex_sim.commands("add_order")) == 1


async def test_a_submit_that_is_interrupted_is_in_doubt(qfex_sim):
    qfex_sim.switches.deaf = True
    async with on_terminal(*LIMIT, "--yes", "--deadline", "60", **qfex_sim.environment) as terminal:
        await qfex_sim.until(1, "add_order")
        terminal.process.send_signal(signal.SIGINT)
        code, _ = await terminal.ended()
    assert code == cli.UNKNOWN
    assert "interrupted; what was sent may have been executed" in terminal.said


async def test_a_submit_that_the_venue_has_no_words_for(qfex_sim):
    code, out, _ = await router(*LIMIT, "--option", "leverage=5", "--yes", **qfex_sim.environment)
    assert code == cli.NOT_SENT
    assert "options had leverage" in out
    assert qfex_sim.commands("add_order") == []


async def test_options_are_json_or_text(qfex_sim):
    twap = (
        "submit",
        "qfex",
        "AAPL-USD",
        "sell",
        "twap",
        "8",
        "--option",
        "num_orders=4",
        "--option",
        "order_interval_secs=30",
    )
    code, out, _ = await router(*twap, "--yes", **qfex_sim.environment)
    assert code == cli.DONE, out
    (sent,) = qfex_sim.commands("add_twap")
    assert sent.message["params"]["num_orders"] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sideways", "limit", "1", "--price", "2"), "'sideways' is no Side; known: buy, sell"),
        (("buy", "limit", "1"), "a limit order needs a price"),
        (("buy", "limit", "none", "--price", "2"), "quantity was 'none'; that is not a decimal number"),
        (("buy", "market", "1", "--option", "x"), "--option was 'x'; it is KEY=VALUE"),
        (("buy", "market", "1", "--option", "x=1", "--option", "x=2"), "--option x was given twice"),
        (("buy", "market", "1", "--expires-at", "noon"), "--expires-at was 'noon'"),
        (("buy", "market", "1", "--deadline", "0"), "0 is not a number of seconds greater than 0"),
    ],
)
def test_a_mistake_in_an_order_is_bad_usage_in_one_line(capsys, arguments, said):
    with pytest.raises(SystemExit) as exited:
        cli.main(["submit", "qfex", "AAPL-USD", *arguments, "--yes"])
    out, err = capsys.readouterr()
    assert (exited.value.code, out, err.count("\n")) == (cli.USAGE, "", 1)
    assert said in err


# -- orders


async def test_orders_are_shown_with_all_that_names_them(qfex_sim):
    await qfex_sim.enter(order := resting(qfex_sim, client_order_id="theirs"))
    code, out, err = await router("orders", "qfex", **qfex_sim.environment)
    assert (code, err) == (cli.DONE, "")
    assert re.search(rf"qfex +{order.order_id} +theirs +AAPL-USD +buy +limit +1.0 +9.0 +- +0.0 +new", out)
    assert "own" not in out


async def test_a_venue_that_cannot_list_is_never_shown_as_empty(b2_sim, qfex_sim):
    environment = b2_sim.environment | qfex_sim.environment
    code, out, _ = await router("orders", "b2trader", "qfex", **environment)
    assert code == cli.UNKNOWN
    assert "b2trader: its open orders are not known: this venue documents no way" in out
    assert "(CannotList)" in out
    assert "qfex: no open orders" in out
    code, out, _ = await router("orders", "b2trader", "qfex", "--json", **environment)
    venues = json.loads(out)["venues"]
    assert code == cli.UNKNOWN
    assert (venues["b2trader"]["kind"], venues["qfex"]) == ("CannotList", {"orders": []})


async def test_a_venue_that_cannot_be_reached_does_not_hide_the_others(tmp_path, dmex_sim, qfex_sim):
    path, environment = configured(tmp_path, dmex=dmex_sim, qfex=qfex_sim)
    await qfex_sim.enter(order := resting(qfex_sim))
    await dmex_sim.stop()
    code, out, _ = await router("orders", "--config", path, **environment)
    assert code == cli.UNKNOWN
    assert order.order_id in out
    assert "dmex: its open orders are not known: dmex is not connected" in out


async def test_the_configuration_names_the_venues(tmp_path, qfex_sim):
    async with QfexSimulator() as second:
        _, environment = configured(tmp_path, qfex=qfex_sim, qfex_two=second)
        await second.enter(order := resting(second))
        code, out, _ = await router("orders", cwd=tmp_path, **environment)  # ./router.toml
        assert code == cli.DONE
        assert "qfex: no open orders" in out
        assert re.search(f"qfex_two +{order.order_id}", out)
        connected = len(qfex_sim.received)
        await router("orders", "qfex_two", cwd=tmp_path, **environment)
        assert len(qfex_sim.received) == connected


async def test_what_the_configuration_does_not_name_comes_from_the_environment(tmp_path, dmex_sim, qfex_sim):
    path, environment = configured(tmp_path, qfex=qfex_sim)
    code, out, _ = await router("orders", "dmex", "qfex", "--config", path, **environment, **dmex_sim.environment)
    assert code == cli.DONE
    assert "dmex: no open orders" in out
    assert "qfex: no open orders" in out


async def test_an_unknown_venue_is_answered_with_those_of_the_configuration(tmp_path, qfex_sim):
    path, environment = configured(tmp_path, qfex_main=qfex_sim)
    code, _, err = await router("orders", "qfex_min", "--config", path, **environment)
    assert code == cli.USAGE
    assert "venue was 'qfex_min'" in err
    assert f"in {path}: qfex_main" in err


async def test_without_a_configuration_and_a_name_the_way_out_is_said(tmp_path):
    code, out, err = await router("orders", "--json", cwd=tmp_path)
    assert (code, err.count("\n")) == (cli.USAGE, 1)
    assert "name the venues, or say where the file is with --config or ROUTER_CONFIG" in json.loads(out)["error"]


async def test_a_command_never_arms_the_venues_own_switch(tmp_path, qfex_sim):
    """What is told to cancel on disconnect would take the orders of a strategy that runs on."""
    path, environment = configured(tmp_path, qfex=qfex_sim)
    path.write_text(path.read_text() + 'cancel_on_disconnect = true\non_exit = "cancel"\n')
    await qfex_sim.enter(order := resting(qfex_sim))
    for arguments in (("orders",), ("health",), (*LIMIT, "--yes")):
        code, out, err = await router(*arguments, "--config", path, **environment)
        assert code == cli.DONE, (out, err)
    assert qfex_sim.commands("cancel_on_disconnect") == []
    assert order.order_id in qfex_sim.book
    assert len(qfex_sim.book) == 2


async def test_a_venues_words_in_an_order_are_shown_as_they_are(qfex_sim):
    await qfex_sim.enter(resting(qfex_sim, client_order_id="\x1b[2J[red]x"))
    _, out, _ = await router("orders", "qfex", **qfex_sim.environment)
    assert "\N{REPLACEMENT CHARACTER}[2J[red]x" in out
    assert "\x1b[2J" not in out


@pytest.mark.parametrize("columns", ["60", "80", "100", "120"])
async def test_an_id_is_never_broken_however_narrow_the_terminal_is(qfex_sim, columns):
    await qfex_sim.enter(order := resting(qfex_sim, client_order_id="a-name-of-theirs-that-is-quite-long"))
    narrow = {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": columns}
    code, out, _ = await router("orders", "qfex", **qfex_sim.environment, **narrow)
    assert code == cli.DONE
    assert re.search(rf"^order +{order.order_id}$", out, re.MULTILINE)
    assert re.search("^client id +a-name-of-theirs-that-is-quite-long$", out, re.MULTILINE)


async def test_a_wide_terminal_has_a_table(qfex_sim):
    await qfex_sim.enter(order := resting(qfex_sim))
    wide = {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "200"}
    _, out, _ = await router("orders", "qfex", **qfex_sim.environment, **wide)
    assert re.search(f"qfex +{order.order_id} .*AAPL-USD", out)


@pytest.mark.parametrize("broken", ["full", "unread"])
async def test_where_nothing_can_be_complained_the_exit_code_tells_the_outcome_still(qfex_sim, broken):
    """An order that is UNKNOWN must not look refused because stderr can't be written to."""
    qfex_sim.switches.mute = True
    if broken == "full":
        stderr = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, stderr = os.pipe()
        os.close(reader)
    try:
        code, out, _ = await unheard(stderr, *LIMIT, "--yes", "--deadline", "0.5", **qfex_sim.environment)
    finally:
        os.close(stderr)
    assert code == cli.UNKNOWN
    assert "UNKNOWN" in out
    assert len(qfex_sim.commands("add_order")) == 1


async def unheard(stderr, *arguments, **environment):
    """As router(), but for stderr."""
    async with started(*arguments, stderr=stderr, **environment) as process:
        out, _ = await process.communicate()
        return process.returncode, out.decode(), ""
