"""The command line, run as a user runs it: a process of its own, the environment, stdout, stderr and the exit code."""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from adapters.qfex.simulator import Order as QfexOrder
from adapters.qfex.simulator import signature
from router import Cancel, CancelReport, CxlRejReason, Order, OrderState, OrdStatus, Outcome, cli
from router.cli import cancelling, exits
from router.cli.showing import report_table
from router.console import show
from router.testing import Fault

from .commanding import CLEAN, COMMAND, configured, router, started

HASH = "0x" + "5e" * 32
PAGE = (Path(__file__).parent.parent / "docs" / "commands.md").read_text()


# -- cancel: the five exit codes


async def test_exit_code_0_when_the_venue_confirmed_it(dmex_sim):
    order = dmex_sim.rest()
    code, out, err = await router("cancel", "dmex", order, **dmex_sim.environment)
    assert (code, err) == (cli.DONE, "")
    assert "CONFIRMED" in out
    assert dmex_sim.orders[order].closed
    assert len(dmex_sim.commands("cancel_order")) == 1


async def test_exit_code_1_when_the_venue_refused_it(dmex_sim):
    code, out, _ = await router("cancel", "dmex", HASH, **dmex_sim.environment)
    assert code == cli.REFUSED
    assert re.search("outcome +REFUSED", out)
    assert re.search(r"reason +UNKNOWN_ORDER \(1\)", out)
    assert re.search("words +Order not found", out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument 'VENUE'"),
        (("dmex",), "Missing argument 'ID'"),
        (("mtgox", "1"), "venue was 'mtgox'; known: b2trader, "),
        (("dmex", ""), "id was ''"),
        (("dmex", "1", "--kind", "ticket"), "'ticket' is no IdKind; known: order, client_order, stop_order"),
        (("dmex", "1", "--symbol", " "), "symbol was ' '"),
        (("dmex", "1", "--deadline", "soon"), "'soon' is not a valid float"),
        (("dmex", "1", "--deadline", "0"), "0 is not a number of seconds greater than 0"),
        (("dmex", "1", "--deadline", "nan"), "nan is not a number of seconds greater than 0"),
        (("dmex", "1", "--settle", "inf"), "inf is not a number of seconds greater than 0"),
        (("dmex", "1", "--secret-key", "x"), "No such option"),
        (("dmex", "1", "--config", "none.toml"), "none.toml"),
        (("dmex", "1"), "from the environment: DMEX_PRIVATE_KEY"),
        (("qfex", "1"), "QFEX_PUBLIC_KEY"),
        (("b2trader", "1"), "B2TRADER_BASE_URL"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_exit_code_2_for_bad_usage_in_one_line(monkeypatch, capsys, arguments, said, as_json):
    for name in os.environ.keys() - CLEAN.keys():
        monkeypatch.delenv(name)
    with pytest.raises(SystemExit) as exited:
        cli.main(["cancel", *arguments, *(["--json"] if as_json else [])])
    out, err = capsys.readouterr()
    assert exited.value.code == cli.USAGE
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert (said in json.loads(out)["error"]) if as_json else out == ""


async def test_exit_code_2_of_the_process_itself_and_nothing_read_by_the_venue(dmex_sim):
    code, out, err = await router("cancel", "dmex", HASH, "--kind", "ticket", **dmex_sim.environment)
    assert (code, out) == (cli.USAGE, "")
    assert "'ticket'" in err
    assert dmex_sim.received == []


async def test_exit_code_2_when_the_environment_does_not_do_and_the_key_is_not_shown(dmex_sim):
    key = dmex_sim.private_key[:-1]
    code, out, err = await router("cancel", "dmex", HASH, **dmex_sim.environment | {"DMEX_PRIVATE_KEY": key})
    assert (code, out) == (cli.USAGE, "")
    assert "64 hexadecimal digits" in err
    assert key[2:] not in err


async def test_exit_code_3_when_no_answer_comes(dmex_sim):
    dmex_sim.switches.mute = True
    order = dmex_sim.rest()
    code, out, _ = await router("cancel", "dmex", order, "--deadline", "1", **dmex_sim.environment)
    assert code == cli.UNKNOWN
    assert re.search("outcome +UNKNOWN", out)
    assert len(dmex_sim.commands("cancel_order")) == 1


async def test_settle_goes_on_asking_after_the_deadline(dmex_sim):
    dmex_sim.switches.mute = True
    order = dmex_sim.rest()
    arguments = ("cancel", "dmex", order, "--deadline", "1", "--settle", "30")
    code, out, _ = await router(*arguments, **dmex_sim.environment)
    assert code == cli.DONE
    assert "CONFIRMED" in out
    assert len(dmex_sim.commands("cancel_order")) == 1
    assert dmex_sim.commands("GET orders")


async def test_exit_code_3_when_interrupted_after_it_was_sent(dmex_sim):
    dmex_sim.switches.deaf = True
    async with started("cancel", "dmex", HASH, "--deadline", "60", "--json", **dmex_sim.environment) as process:
        await dmex_sim.until(1, "cancel_order")
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == cli.UNKNOWN
    assert "interrupted; what was sent may have been executed" in json.loads(out)["error"]
    assert b"Traceback" not in err


async def test_exit_code_4_when_the_venue_has_no_words_for_it(dmex_sim):
    code, out, _ = await router("cancel", "dmex", HASH[:-1], **dmex_sim.environment)
    assert code == cli.NOT_SENT
    assert re.search("outcome +NOT_SENT", out)
    assert dmex_sim.received == []


async def test_exit_code_4_when_the_login_is_refused(qfex_sim):
    wrong = qfex_sim.environment | {"QFEX_SECRET_KEY": "qfex_secret_wrong_one"}
    code, out, err = await router("cancel", "qfex", "1", "--symbol", "AAPL-USD", **wrong)
    assert (code, out) == (cli.NOT_SENT, "")
    assert err.startswith("router: not sent: qfex: login refused")
    assert err.count("\n") == 1
    assert [item.command for item in qfex_sim.received] == ["auth"]


async def test_exit_code_4_when_the_venue_cannot_be_reached(dmex_sim):
    environment = dmex_sim.environment
    await dmex_sim.stop()
    code, out, err = await router("cancel", "dmex", HASH, "--json", **environment)
    assert code == cli.NOT_SENT
    assert "not sent: dmex: cannot connect" in json.loads(out)["error"]
    assert err.count("\n") == 1


# -- cancel: every venue, kinds, the report


async def test_a_stop_is_cancelled_by_its_kind(qfex_sim):
    stop = QfexOrder(
        account=qfex_sim.account_id,
        symbol="AAPL-USD",
        side="SELL",
        type="STOP_LOSS",
        quantity=Decimal(1),
        price=Decimal(9),
    )
    qfex_sim.exchange.add(stop)
    code, _, _ = await router("cancel", "qfex", stop.order_id, "--kind", "STOP_ORDER", **qfex_sim.environment)
    assert code == cli.DONE
    assert qfex_sim.stops == {}
    assert len(qfex_sim.commands("cancel_stop_order")) == 1


async def test_the_json_report_is_whole(b2, b2_sim):
    placed = await b2.submit(Order("xbtfx", "spot.btc_usdt", "buy", "limit", "0.02", "100000.5"))
    b2_sim.fill(placed.order_id, "0.005")
    code, out, err = await router(
        "cancel", "b2trader", placed.order_id, "--kind", "order", "--json", **b2_sim.environment
    )
    assert (code, err) == (cli.DONE, "")
    report = json.loads(out)
    assert report["request"] == {"venue": "b2trader", "id": placed.order_id, "kind": "order", "symbol": None}
    assert (report["outcome"], report["status"], report["reason"]) == ("confirmed", "canceled", None)
    (order,) = report["orders"]
    assert order["order_id"] == placed.order_id
    assert (order["quantity"], order["price"], order["cum_quantity"]) == ("0.02", "100000.5", "0.005")
    sent, answered = (datetime.fromisoformat(report[name]) for name in ("sent_at", "answered_at"))
    assert sent.tzinfo is not None
    assert sent <= answered
    assert json.loads(report["raw"])["order"]["status"] == "Cancelled"
    assert not {"settle", "frame"} & report.keys()
    assert b2_sim.orders[placed.order_id].status == "Cancelled"


async def test_a_json_refusal_has_the_number_of_its_reason(b2_sim):
    code, out, _ = await router("cancel", "b2trader", "01K2MNGAWPMQJ7WGATFSCAS1G4", "--json", **b2_sim.environment)
    assert code == cli.REFUSED
    assert json.loads(out)["reason"] == CxlRejReason.UNKNOWN_ORDER
    assert len(b2_sim.commands("DELETE orders")) == 1


async def test_a_venue_of_the_configuration_by_the_name_that_it_has_there(tmp_path, dmex_sim, qfex_sim):
    path, environment = configured(tmp_path, dmex_main=dmex_sim, qfex=qfex_sim)
    order = dmex_sim.rest()
    code, out, err = await router("cancel", "dmex_main", order, "--config", path, **environment)
    assert (code, err) == (cli.DONE, "")
    assert f"cancel {order} on dmex_main" in out
    assert dmex_sim.orders[order].closed
    assert qfex_sim.received == []


async def test_a_configuration_with_mistakes_is_named_and_nothing_is_sent(tmp_path, dmex_sim):
    path, environment = configured(tmp_path, 'durability = "some"', dmex=dmex_sim)
    path.write_text(path.read_text() + 'private_key = "0x1"\n'.replace("private", "privat"))
    code, out, err = await router("cancel", "dmex", HASH, "--config", path, **environment)
    assert (code, out, dmex_sim.received) == (cli.USAGE, "", [])
    assert "durability" in err
    assert "privat_key" in err


async def test_only_the_named_venue_is_connected(dmex_sim, qfex_sim):
    await router("cancel", "dmex", HASH, **dmex_sim.environment, **qfex_sim.environment)
    assert dmex_sim.received
    assert qfex_sim.received == []


async def test_in_a_pipe_an_id_is_never_broken(dmex_sim):
    order = dmex_sim.rest()
    _, out, _ = await router("cancel", "dmex", order, **dmex_sim.environment, COLUMNS="40")
    assert out.count(order) == 2  # as it was asked, and the order that it took


async def test_nobody_reading_stdout_does_not_change_the_exit_code(dmex_sim):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "router.cli", "cancel", "dmex", dmex_sim.rest()),
            env=CLEAN | dmex_sim.environment,
            stdout=writer,
            stderr=asyncio.subprocess.PIPE,
        )
    finally:
        os.close(writer)
    _, err = await process.communicate()
    assert (process.returncode, err) == (cli.DONE, b"")


async def test_a_full_disk_does_not_change_the_exit_code(dmex_sim):
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, "cancel", "dmex", dmex_sim.rest()),
            env=CLEAN | dmex_sim.environment,
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
    finally:
        os.close(full)
    _, err = await process.communicate()
    assert (process.returncode, err) == (cli.DONE, b"")


async def test_help_that_nobody_reads_is_no_refusal():
    reader, writer = os.pipe()
    os.close(reader)
    process = await asyncio.create_subprocess_exec(*COMMAND, "--help", env=CLEAN, stdout=writer)
    os.close(writer)
    assert await process.wait() == cli.UNKNOWN


async def test_what_the_encoding_of_stdout_does_not_have_is_no_error():
    script = "from router.console import write; write('caf\\xe9\\n')"
    environment = CLEAN | {"PYTHONIOENCODING": "ascii"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert (await process.communicate())[0] == b"caf\\xe9\n"


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
async def test_no_color_is_honoured(dmex_sim, environment, coloured):
    _, out, _ = await router("cancel", "dmex", HASH, FORCE_COLOR="1", **environment, **dmex_sim.environment)
    assert ("\x1b[33mREFUSED" in out) is coloured
    assert "REFUSED" in out


def test_a_venues_words_are_neither_markup_nor_escape_sequences(capsys):
    report = CancelReport(
        request=Cancel("dmex", "[red]id"),
        outcome=Outcome.REFUSED,
        reason=CxlRejReason.TOO_LATE_TO_CANCEL,
        text="\x1b[2J[/] :warning: two\nlines",
        orders=(OrderState(venue="dmex", order_id="7", status=OrdStatus.FILLED, cum_quantity=Decimal("1E+2")),),
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    show(report_table(report, "cancel [red]id"))
    out = capsys.readouterr().out
    assert "[red]id" in out
    assert "[2J[/] :warning: two lines" in out
    assert "TOO_LATE_TO_CANCEL (0)" in out
    assert "order 7 filled filled 100" in out
    assert "\x1b" not in out


# -- a bug must not look like a verdict


@pytest.mark.parametrize(
    ("error", "said"),
    [(RuntimeError("a bug"), "Traceback"), (TypeError("a mistake"), "router: TypeError: a mistake\n")],
)
def test_an_unexpected_error_is_unknown_and_not_refused(monkeypatch, capsys, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr(cancelling, "choose", fail)
    with pytest.raises(SystemExit) as exited:
        cli.main(["cancel", "dmex", HASH])
    assert exited.value.code == cli.UNKNOWN
    assert said in capsys.readouterr().err


def test_an_unexpected_error_is_json_too(monkeypatch, capsys):
    def fail(*_):
        raise RecursionError("a bug")

    monkeypatch.setattr(cancelling, "choose", fail)
    with pytest.raises(SystemExit) as exited:
        cli.main(["cancel", "dmex", HASH, "--json"])
    assert exited.value.code == cli.UNKNOWN
    assert json.loads(capsys.readouterr().out) == {"error": "a bug: RecursionError: a bug"}


# -- interruptions


@pytest.mark.parametrize("early", ["choose", "_request"])
def test_an_interruption_before_the_work_begins_has_sent_nothing(monkeypatch, capsys, early):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(exits, "_latest", exits.Sending())
    monkeypatch.setattr(cancelling, early, interrupt)
    with pytest.raises(SystemExit) as exited:
        cli.main(["cancel", "dmex", HASH])
    assert exited.value.code == cli.NOT_SENT
    assert capsys.readouterr().err.strip() == "router: interrupted; this command has sent nothing"


def test_an_interruption_while_a_command_is_imported_has_sent_nothing(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(exits, "_latest", exits.Sending())
    monkeypatch.setattr(cli, "import_module", interrupt)
    monkeypatch.setattr(cli, "hear_the_log", interrupt)
    with pytest.raises(SystemExit) as exited:
        cli.main(["cancel", "dmex", HASH])
    assert exited.value.code == cli.NOT_SENT
    assert "Traceback" not in capsys.readouterr().err


def test_an_interruption_while_the_report_is_shown_is_a_doubt(monkeypatch, capsys):
    async def sent(_chosen, _request, _deadline, _settle, sending):
        sending.begun = True

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cancelling, "choose", lambda *_: None)
    monkeypatch.setattr(cancelling, "_cancel", sent)
    monkeypatch.setattr(cancelling, "warn", interrupt)
    with pytest.raises(SystemExit) as exited:
        cli.main(["cancel", "dmex", HASH])
    assert exited.value.code == cli.UNKNOWN
    assert "what was sent may have been executed" in capsys.readouterr().err


def test_an_interrupted_recovery_does_not_claim_that_nothing_was_sent():
    failure = exits.Sending(recovering=True).interrupted()
    assert failure.code == cli.NOT_SENT
    assert "may have been sent again" in str(failure)


# -- time


async def test_the_deadline_is_counted_from_the_call(qfex_sim):
    """A venue that hangs in its login has ten seconds for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        arguments, began = ("cancel", "qfex", "1", "--symbol", "X", "--deadline", "1"), time.monotonic()
        code, out, err = await router(*arguments, **qfex_sim.environment | {"QFEX_URL": url})
        took = time.monotonic() - began
    assert (code, out) == (cli.NOT_SENT, "")
    assert err == "router: not sent: qfex: not connected by the deadline\n"
    assert took < 6


# -- config


@pytest.mark.parametrize("text", [".".join("a" * 40_000) + " = 1", "a = " + "{ a = " * 90 + "1" + " }" * 90])
async def test_a_key_without_end_is_a_mistake_in_one_line(tmp_path, text):
    path = tmp_path / "router.toml"
    path.write_text(text)
    code, out, err = await router("config", "check", path)
    assert (code, out, err.count("\n")) == (cli.USAGE, "", 1)
    assert "it is nested too deep" in err


# -- sim


async def lines_until(process, last):
    """What it prints, up to this line."""
    lines = []
    while last not in lines:
        line = await process.stdout.readline()
        assert line, f"{lines} ended before {last!r}"
        lines.append(line.decode().rstrip("\n"))
    return lines


async def exported(process):
    """The environment that `router sim` prints, as a shell would read it."""
    lines = await lines_until(process, "Running until Ctrl-C.")
    pairs = [shlex.split(line)[1].partition("=") for line in lines if line.startswith("export ")]
    return {name: value for name, _, value in pairs}


async def test_sim_serves_any_client_until_ctrl_c():
    async with started("sim") as process:
        keys = await exported(process)
        async with connect(keys["QFEX_URL"]) as socket:
            proof = {
                "public_key": keys["QFEX_PUBLIC_KEY"],
                "nonce": "ab" * 16,
                "unix_ts": int(datetime.now(UTC).timestamp()),
            }
            proof["signature"] = signature(keys["QFEX_SECRET_KEY"], proof["nonce"], proof["unix_ts"])
            await socket.send(json.dumps({"type": "auth", "params": {"hmac": proof}}))
            assert json.loads(await socket.recv()) == {"authenticated": True}
        path = keys["B2TRADER_BASE_URL"] + "/frontoffice/api/v4/access-token"
        offline = {"token": keys["B2TRADER_OFFLINE_TOKEN"]}
        async with aiohttp.ClientSession() as session, session.post(path, json=offline) as response:
            assert response.status == 200
        code, out, _ = await router("cancel", "dmex", HASH, **keys)
        assert (code, "Order not found" in out) == (cli.REFUSED, True)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert (process.returncode, out, err) == (cli.DONE, b"", b"")
        with pytest.raises(OSError):  # noqa: PT011 - refused, whatever the platform calls it
            await connect(keys["QFEX_URL"])


async def test_sim_prints_one_json_object_and_runs_until_it_is_terminated():
    async with started("sim", "--json") as process:
        found = json.loads("\n".join(await lines_until(process, "}")))
        assert sorted(found) == ["b2trader", "ccxt", "dmex", "qfex"]
        async with connect(found["dmex"]["url"]) as socket:
            await socket.send("{}")
            assert "error" in json.loads(await socket.recv())
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert (process.returncode, out, err) == (cli.DONE, b"", b"")


async def test_sim_names_a_broken_simulator_and_runs_the_others(tmp_path):
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[router.simulators]\nbroken = no_such_module_at_all:Broken\n")
    async with started("sim", PYTHONPATH=str(tmp_path)) as process:
        keys = await exported(process)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == cli.DONE
    assert {"QFEX_URL", "B2TRADER_BASE_URL", "DMEX_URL"} <= keys.keys()
    assert err.decode().startswith(
        "router: broken: no_such_module_at_all:Broken cannot be imported: ModuleNotFoundError"
    )
    assert err.count(b"\n") == 1


# -- sim: faults


async def test_sim_has_the_faults_it_is_told_and_names_what_a_venue_cannot_have():
    async with started("sim", "--fault", "html-page", "--fault", "redirect=0.5", "--seed", "7") as process:
        lines = await lines_until(process, "Running until Ctrl-C.")
        assert lines[-2] == "Faults: html_page, redirect=0.5. To repeat them: --seed 7"
        url = next(line for line in lines if line.startswith("export DMEX_URL=")).partition("=")[2]
        async with connect(url) as socket:
            await socket.send(json.dumps({"op": "cancel_order", "data": {}}))
            assert (await socket.recv()).startswith("<!DOCTYPE html>")
            await socket.send("{}")  # not a trading command
            assert "error" in json.loads(await socket.recv())
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert err.decode().splitlines() == [
        f"router: {venue} cannot have redirect: a WebSocket message cannot redirect" for venue in ("dmex", "qfex")
    ]


async def test_sim_tells_its_faults_in_json_and_repeats_them_on_the_same_seed():
    async def run(*seed):
        async with started("sim", "--json", "--fault", "random=0.5", "--fault", "flood", *seed) as process:
            found = json.loads("\n".join(await lines_until(process, "}")))
            words = []
            for _ in range(30):
                async with connect(found["dmex"]["url"], max_queue=None) as socket:  # it reads all, to see the end
                    words.append(await first_word(socket))
            return found["dmex"]["seed"], found, words

    seed, found, words = await run()
    assert found["dmex"]["faults"] == found["qfex"]["faults"] == {"random": 0.5, "flood": 1.0}
    assert (found["dmex"]["cannot"], found["qfex"]["cannot"]) == ({}, {})
    assert found["b2trader"]["cannot"] == {"flood": "HTTP carries nothing that was not asked for"}
    assert len(set(words)) > 2
    again = await run("--seed", str(seed))
    assert (again[0], again[2]) == (seed, words)


async def first_word(socket):
    """What a client reads first after a cancel: the beginning of a frame, or that the connection ended."""
    try:
        await socket.send(json.dumps({"op": "cancel_order", "data": {}}))
        await socket.send("{}")
        return str(await socket.recv(decode=False))[:9]
    except ConnectionClosed:
        return "closed"


async def test_sim_lists_all_faults_and_ends():
    code, out, err = await router("sim", "--fault", "list")
    assert (code, err) == (cli.DONE, "")
    rows = {line.split()[1]: line for line in out.splitlines() if re.match(r" +\d+ ", line)}
    assert list(rows) == list(Fault)
    assert all(fault.sentence in rows[fault] and f" {fault.point} " in rows[fault] for fault in Fault)
    assert "n/a: the venue documents no rate limit" in rows["throttled"]
    assert "n/a" not in rows["mute"]
    code, out, _ = await router("sim", "--fault", "list", "--json")
    listed = json.loads(out)
    assert (code, [row["number"] for row in listed]) == (cli.DONE, list(range(1, len(Fault) + 1)))
    assert listed[0]["cannot"] == {"b2trader": "", "ccxt": "", "dmex": "", "qfex": ""}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("nope", "'nope' is no fault; known: hang_up_unread, slow_reader"),
        ("mute=2", "'mute=2': the probability was '2', expected 0 to 1"),
        ("mute=", "the probability was '', expected 0 to 1"),
    ],
)
def test_an_unknown_fault_is_bad_usage_in_one_line(capsys, fault, said):
    with pytest.raises(SystemExit) as exited:
        cli.main(["sim", "--fault", fault])
    out, err = capsys.readouterr()
    assert (exited.value.code, out, err.count("\n")) == (cli.USAGE, "", 1)
    assert said in err


# -- the rest


async def test_venues_lists_what_each_can_do():
    code, out, err = await router("venues")
    assert (code, err) == (cli.DONE, "")
    rows = {line.split()[0]: line for line in out.splitlines() if line.split()}
    assert "order, stop_order" in rows["b2trader"]
    assert "client_order, client_twap, order, stop_order, twap" in rows["qfex"]
    assert "https://docs.dmex.app" in rows["dmex"]
    assert all(re.search(r" yes +venue-router 0\.1\.0 *$", rows[name]) for name in ("b2trader", "dmex", "qfex"))


async def test_venues_in_json_is_each_spec_by_the_names_of_its_fields():
    code, out, err = await router("venues", "--json")
    assert (code, err) == (cli.DONE, "")
    found = json.loads(out)
    qfex = found["qfex"]
    assert qfex["package"] == "venue-router 0.1.0"
    assert (qfex["simulator"], qfex["tells_trades"], qfex["quiet_period"]) == (True, True, 10.0)
    assert qfex["lists"] == ["order", "stop_order", "twap"]
    assert qfex["budget"] == {"units": 12000.0, "seconds": 60.0}
    assert found["b2trader"]["budget"] is None
    assert found["dmex"]["docs"]["client ids"] == "none"
    assert not any({"error", "simulator_error", "url", "bearer"} & venue.keys() for venue in found.values())


async def test_venues_prints_one_form_at_a_time():
    code, out, err = await router("venues", "--json", "--markdown")
    assert (code, json.loads(out)["error"]) == (cli.USAGE, "--json or --markdown, and not both")
    assert err == "router: --json or --markdown, and not both\n"


COMMANDS = [(name, *entry) for section in cli.COMMANDS.values() for name, entry in section.items()]


@pytest.mark.parametrize(("name", "module", "summary"), COMMANDS)
def test_the_list_of_commands_says_what_each_says_itself(name, module, summary):
    command = import_module(f"router.cli.{module}").command
    assert command.name == name
    assert command.help.startswith(summary.rstrip("."))


@pytest.mark.parametrize(("name", "module"), [(name, module) for name, module, _ in COMMANDS])
def test_the_page_of_commands_names_every_option(name, module):
    command = import_module(f"router.cli.{module}").command
    words = re.split("[^a-z-]+", PAGE.partition(f"\n## router {name}\n")[2].partition("\n## ")[0])
    for each in (command, *getattr(command, "commands", {}).values()):
        assert {option.opts[0] for option in each.params if option.param_type_name == "option"} <= set(words)


async def test_the_librarys_own_warnings_are_one_line_each_that_no_terminal_obeys():
    script = (
        "import logging, router.cli.telling as t; t.hear_the_log(); t.hear_the_log(); "
        "logging.getLogger('router.session').warning('a %s', '\\x1b[2J'); logging.getLogger('router.core').info('b')"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE)
    assert (await process.communicate())[1].decode() == "router: a \N{REPLACEMENT CHARACTER}[2J\n"


async def test_version_and_help():
    assert await router("--version") == (0, "router, version 0.1.0\n", "")
    code, out, _ = await router("cancel", "--help")
    assert code == 0
    assert [out.count(f"\n    {number}  ") for number in range(5)] == [1] * 5
    assert "qfex" not in out.lower()


async def test_without_a_command_the_help_is_shown_as_a_usage_error():
    code, out, err = await router()
    assert (code, out) == (cli.USAGE, "")
    assert err.startswith("Usage: router [OPTIONS] COMMAND")
    assert [err.count(f"\n    {number}  ") for number in range(5)] == [1] * 5
    assert "\n  cancel " in err


async def test_starting_imports_nothing_heavy():
    script = (
        "import sys, router.cli; print(sorted({'rich', 'aiohttp', 'adapters', 'eth_account'} & sys.modules.keys()))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == b"[]\n"
