"""What the commands do with a journal: written where they act, read where they look, and never a reason not to cancel."""

import json
import re
from decimal import Decimal

import pytest

from adapters.qfex import Qfex
from adapters.qfex.simulator import Order as QfexOrder
from router import Order, Router, cli

from .commanding import configured, on_terminal, router

LIMIT = ("submit", "qfex", "AAPL-USD", "buy", "limit", "2", "--price", "150.5", "--yes")


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "router.journal"


@pytest.fixture
def environment(tmp_path, qfex_sim, journal):
    """A router.toml of one venue, with a journal."""
    path, secrets = configured(tmp_path, f'journal = "{journal.name}"', qfex=qfex_sim)
    return secrets | {"ROUTER_CONFIG": str(path)}


async def rest(simulator):
    """An order that was placed elsewhere."""
    terms = {"account": simulator.account_id, "symbol": "AAPL-USD", "quantity": Decimal(1), "price": Decimal(9)}
    await simulator.enter(order := QfexOrder(**terms))
    return order.order_id


async def submit(environment, *arguments):
    code, out, err = await router(*LIMIT, *arguments, "--json", **environment)
    assert (code, err) == (cli.DONE, "")
    return json.loads(out)


# -- a journal that works


async def test_what_one_command_has_placed_is_own_to_the_next(qfex_sim, environment):
    theirs = await rest(qfex_sim)
    report = await submit(environment)
    assert report["journaled"] is True
    code, out, _ = await router("orders", **environment)
    assert code == cli.DONE
    assert re.search(f"{report['order_id']} .* new +yes", out)
    assert re.search(f"{theirs} .* new +- ", out)
    _, out, _ = await router("orders", "--json", **environment)
    orders = json.loads(out)["venues"]["qfex"]["orders"]
    assert {each["order_id"]: each["own"] for each in orders} == {theirs: False, report["order_id"]: True}
    code, out, err = await router("cancel-all", "--own", "--yes", "--json", **environment)
    assert code == cli.DONE, err
    assert [each["order_id"] for each in json.loads(out)["venues"]["qfex"]["affected"]] == [report["order_id"]]
    assert list(qfex_sim.book) == [theirs]
    code, out, _ = await router("cancel-all", "--own", "--yes", **environment)
    assert code == cli.DONE
    assert "proven: nothing of our own is open (read twice)" in out


async def test_the_question_counts_what_is_own(qfex_sim, environment):
    await rest(qfex_sim)
    await submit(environment)
    async with on_terminal("cancel-all", "--own", **environment) as terminal:
        said = await terminal.until("[y/N]: ")
        terminal.type("n\n")
        await terminal.ended()
    assert re.search("qfex +1 ", said)


async def test_what_is_in_doubt_is_not_sent_again_before_the_answer_is_yes(qfex_sim, environment):
    order = await rest(qfex_sim)
    qfex_sim.switches.deaf = True
    code, _, _ = await router("cancel", "qfex", order, "--symbol", "AAPL-USD", "--deadline", "1", **environment)
    assert code == cli.UNKNOWN
    qfex_sim.switches.deaf = False
    before = len(qfex_sim.commands("cancel_order"))
    async with on_terminal("cancel-all", "--symbol", "NVDA-USD", **environment) as terminal:
        await terminal.until("[y/N]: ")
        terminal.type("n\n")
        code, _ = await terminal.ended()
    assert (code, list(qfex_sim.book)) == (cli.NOT_SENT, [order])
    assert len(qfex_sim.commands("cancel_order")) == before


async def test_other_venues_of_the_journal_are_no_news(tmp_path, dmex_sim, qfex_sim, environment, journal):
    await submit(environment)
    path, secrets = configured(tmp_path, f'journal = "{journal.name}"', dmex=dmex_sim, qfex=qfex_sim)
    code, _, err = await router("cancel", "dmex", dmex_sim.rest(), "--config", path, **secrets)
    assert (code, err) == (cli.DONE, "")


async def test_a_cancel_is_written_to_it(qfex_sim, environment):
    code, out, err = await router(
        "cancel", "qfex", await rest(qfex_sim), "--symbol", "AAPL-USD", "--json", **environment
    )
    assert (code, err) == (cli.DONE, "")
    assert json.loads(out)["journaled"] is True


async def test_what_is_in_doubt_is_shown_beside_the_orders(qfex_sim, environment):
    qfex_sim.switches.mute = True
    code, _, _ = await router(*LIMIT, "--client-order-id", "mine", "--deadline", "1", **environment)
    assert code == cli.UNKNOWN
    qfex_sim.switches.mute = False
    code, out, _ = await router("orders", **environment)
    assert code == cli.DONE
    assert re.search("in doubt since +venue +command", out)
    assert re.search("qfex +submit +- +mine +AAPL-USD +unknown", out)
    _, out, _ = await router("orders", "--json", **environment)
    (doubt,) = json.loads(out)["in_doubt"]
    assert (doubt["verb"], doubt["state"], doubt["client_order_id"]) == ("submit", "unknown", "mine")


async def test_what_is_in_doubt_is_told_before_another_order_is_placed(qfex_sim, environment):
    qfex_sim.switches.deaf = True
    code, _, _ = await router(*LIMIT, "--client-order-id", "mine", "--deadline", "1", **environment)
    assert code == cli.UNKNOWN
    async with on_terminal(*LIMIT[:-1], **environment) as terminal:
        said = await terminal.until("[y/N]: ")
        terminal.type("n\n")
        code, _ = await terminal.ended()
    assert code == cli.NOT_SENT
    assert "router: qfex: a submit is in doubt in the journal: mine, since 20" in said


@pytest.mark.parametrize("command", [("orders",), ("health",), ("config", "check")])
async def test_who_only_looks_makes_no_journal(environment, journal, command):
    code, _, err = await router(*command, **environment)
    assert (code, err) == (cli.DONE, "")
    assert list(journal.parent.glob(f"{journal.name}*")) == []


async def test_a_cancel_all_is_written_although_a_venue_cannot_be_reached(tmp_path, dmex_sim, qfex_sim, journal):
    path, secrets = configured(tmp_path, f'journal = "{journal.name}"', dmex=dmex_sim, qfex=qfex_sim)
    await dmex_sim.stop()
    await rest(qfex_sim)
    arguments = ("cancel-all", "--yes", "--deadline", "0.5", "--config", path)
    code, out, err = await router(*arguments, **secrets)
    assert (code, qfex_sim.book, journal.exists()) == (cli.UNKNOWN, {}, True)
    assert re.search("dmex +- +NOT_SENT", out)
    assert "journal" not in err


# -- one that another Router has open


@pytest.fixture
async def running(qfex_sim, environment, journal):
    """A strategy that runs on the same journal. (The environment is asked for so that the file is there.)"""
    async with Router({"qfex": Qfex(**qfex_sim.credentials)}, journal=journal) as running:
        yield running


async def test_a_cancel_works_beside_a_running_router(qfex_sim, environment, running):
    code, out, err = await router("cancel", "qfex", await rest(qfex_sim), "--symbol", "AAPL-USD", **environment)
    assert (code, qfex_sim.book, err.count("\n")) == (cli.DONE, {}, 1)
    assert re.search(
        r"another Router has the journal .*router\.journal open, so this command is not written to it", err
    )
    assert "CONFIRMED" in out


async def test_a_submit_and_a_cancel_all_work_beside_a_running_router(qfex_sim, environment, running):
    code, out, err = await router(*LIMIT, "--json", **environment)
    assert (code, json.loads(out)["journaled"], err.count("another Router")) == (cli.DONE, None, 1)
    code, _, err = await router("cancel-all", "--yes", **environment)
    assert (code, qfex_sim.book, err.count("another Router")) == (cli.DONE, {}, 1)


async def test_which_orders_are_own_is_read_beside_a_running_router(qfex_sim, environment, running):
    theirs = await rest(qfex_sim)
    # of other terms: what the venue says of theirs, which names no client, may come while this is on its way
    report = await running.submit(Order("qfex", "AAPL-USD", "buy", "limit", "1", "8"))
    code, out, err = await router("orders", "--json", **environment)
    assert (code, err) == (cli.DONE, "")
    orders = json.loads(out)["venues"]["qfex"]["orders"]
    assert {each["order_id"]: each["own"] for each in orders} == {theirs: False, report.order_id: True}


async def test_own_orders_alone_cannot_be_cancelled_beside_a_running_router(qfex_sim, environment, running):
    await rest(qfex_sim)
    code, out, err = await router("cancel-all", "--own", "--yes", **environment)
    assert (code, out, len(qfex_sim.book)) == (cli.USAGE, "", 1)
    assert "leave --own out to take every order" in err


# -- one that cannot be used


@pytest.fixture(params=["damaged", "nowhere"])
def unusable(request, tmp_path, qfex_sim, journal):
    """A router.toml whose journal is no journal, or is in a folder that is not there."""
    name = journal.name if request.param == "damaged" else f"none/{journal.name}"
    path, secrets = configured(tmp_path, f'journal = "{name}"', qfex=qfex_sim)
    journal.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    return secrets | {"ROUTER_CONFIG": str(path)}


async def test_cancels_go_on_without_it_and_say_so_loudly(qfex_sim, unusable, journal):
    before = journal.read_bytes()
    code, _, err = await router("cancel", "qfex", await rest(qfex_sim), "--symbol", "AAPL-USD", **unusable)
    assert (code, qfex_sim.book) == (cli.DONE, {})
    assert "THIS COMMAND IS NOT WRITTEN TO IT" in err
    await rest(qfex_sim)
    code, _, err = await router("cancel-all", "--yes", **unusable)
    assert (code, qfex_sim.book) == (cli.DONE, {})
    assert "THIS COMMAND IS NOT WRITTEN TO IT" in err
    assert journal.read_bytes() == before


async def test_a_submit_is_not_sent_without_it(qfex_sim, unusable):
    code, out, err = await router(*LIMIT, "--json", **unusable)
    assert (code, qfex_sim.commands("add_order"), err.count("\n")) == (cli.NOT_SENT, [], 1)
    assert "not sent: journal " in json.loads(out)["error"]


async def test_own_orders_alone_cannot_be_cancelled_without_it(qfex_sim, unusable):
    await rest(qfex_sim)
    code, out, err = await router("cancel-all", "--own", "--yes", **unusable)
    assert (code, out, len(qfex_sim.book)) == (cli.USAGE, "", 1)
    assert "leave --own out to take every order" in err


async def test_orders_are_shown_without_it(qfex_sim, tmp_path, journal):
    path, secrets = configured(tmp_path, f'journal = "{journal.name}"', qfex=qfex_sim)
    journal.write_bytes(b"")
    order = await rest(qfex_sim)
    code, out, err = await router("orders", "--config", path, **secrets)
    assert code == cli.DONE
    assert order in out
    assert "so nothing tells which orders are own, nor what is in doubt" in err
