"""`router why`, `router settle` and `router journal`, on the journals of Routers that traded, ended, were killed, or run."""

import asyncio
import json
import re
import sqlite3
from contextlib import closing, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, Order, Outcome, Router, cli
from router.cli.doubts import find_doubt, tell_rest
from router.cli.remembered import remembered
from router.journal.file import reader
from router.journal.reading import entries, kept, story
from router.journal.settling import write
from router.record import Record
from router.story import tell

from .commanding import PIPE, configured, on_terminal, router, started
from .crash.strategy import encode
from .killed import TERMS, adapter, leave_in_doubt

EVIL = "\x1b[2J\x1b]0;owned\x07[red]done[/red]\u202e"


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "router.journal"


@pytest.fixture
async def traded(qfex_sim, journal):
    """The ids of orders that were cancelled, filled and left open, in a journal that was closed."""
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        reports = [await trader.submit(Order("qfex", *TERMS["qfex"])) for _ in range(3)]
        cancelled, filled, left = (report.order_id for report in reports)
        await trader.cancel(reports[0])
        await qfex_sim.fill(filled)
        assert (await trader.cancel(reports[1])).outcome is Outcome.REFUSED
    return cancelled, filled, left


def read(journal, name):
    with closing(reader(journal)) as db:
        return story(db, name)


def doubts(journal):
    with closing(reader(journal)) as db:
        return [(each.verb, each.state, each.in_doubt) for each in kept(db) if each.in_doubt]


def shown(*arguments):
    """The same as router(), of a command that only reads, in this process."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err, pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, arguments)))
    return ended.value.code, out.getvalue(), err.getvalue()


async def why(journal, *arguments, **options):
    command = ("why", *arguments, "--journal", journal)
    return await router(*command, **options) if options else shown(*command)


# -- why


async def test_the_story_is_told_with_times_and_frames(traded, journal):
    cancelled, *_ = traded
    code, out, err = await router("why", cancelled, "--journal", journal)
    assert (code, err) == (cli.DONE, "")
    heading, fate, blank, day, *lines = out.splitlines()
    assert heading.startswith(f"qfex, order {cancelled}: buy 1 AAPL-USD at 200 (limit), client id ")
    assert (fate, blank) == ("It was cancelled.", "")
    assert re.fullmatch(r"\w+day, \d\d \w+ \d{4} \(UTC\)", day)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} {13}The Router was asked to buy 1 AAPL-USD .*", lines[0])
    told = [line for line in lines if re.match(r"\d\d:", line)]
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} +\+\d+\.\d m?s  [A-Zq]", line) for line in told[1:])
    assert told[-1].endswith("qfex answered CANCELLED. So the cancel is CONFIRMED.")
    assert len([line for line in lines if line.strip().startswith('{"')]) == 4
    assert all(len(line) < 130 for line in lines)


async def test_frames_are_shown_in_full_when_asked_for(traded, journal):
    _, out, _ = await why(journal, traded[0], "--frames")
    frames = [json.loads(line) for line in out.splitlines() if line.strip().startswith("{")]
    assert [next(iter(frame)) for frame in frames] == ["type", "order_response", "type", "order_response"]


async def test_json_has_every_entry_with_its_facts(traded, journal):
    code, out, _ = await why(journal, traded[1], "--json")
    told = json.loads(out)
    wanted = [each.number for each in read(journal, traded[1])]
    assert (code, told["id"]) == (cli.DONE, traded[1])
    assert [line["entry"]["number"] for line in told["lines"]] == wanted
    assert told["heading"][1] == "It was filled (1 of 1). A cancel came too late."
    assert told["lines"][0]["entry"]["facts"]["command"]["symbol"] == "AAPL-USD"
    assert told["lines"][0]["elapsed"] is None
    assert told["lines"][1]["elapsed"] >= 0


async def test_an_order_is_found_by_each_of_its_ids_and_by_their_beginnings(traded, journal):
    (intent, *_) = read(journal, traded[2])
    _, whole, _ = await why(journal, traded[2])
    for name in (intent.op, intent.client_order_id, traded[2][:8]):
        assert (await why(journal, name))[:2] == (cli.DONE, whole)


async def test_what_several_ids_begin_with_is_listed(traded, journal):
    (intent, *_) = read(journal, traded[0])
    code, out, err = await why(journal, intent.op[:16])
    assert (code, out) == (cli.USAGE, "")
    assert f"router: {intent.op[:16]!r} is the beginning of 3 ids; type more of it\n" in err
    assert err.count("buy 1 AAPL-USD at 200") == 3
    assert "It was cancelled." in err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody-knows", "the journal knows nothing of 'nobody-knows'"),
        ("abc", "must have 6 characters"),
        ("%%%%%%%", "knows nothing of"),
    ],
)
async def test_an_id_that_nobody_knows(traded, journal, name, said):
    code, out, err = await why(journal, name, "--json")
    assert (code, err.count("\n"), said in err, said in json.loads(out)["error"]) == (cli.USAGE, 1, True, True)


async def test_the_journal_is_that_of_the_configuration(traded, journal, qfex_sim, tmp_path):
    path, environment = configured(tmp_path, f'journal = "{journal.name}"', qfex=qfex_sim)
    for arguments in (("--config", path), ()):
        code, out, err = await router("why", traded[0], *arguments, cwd=tmp_path, **environment)
        assert (code, err, "It was cancelled." in out) == (cli.DONE, "", True)


async def test_without_a_journal_it_says_where_one_would_be_named(tmp_path, qfex_sim):
    code, _, err = await router("why", "whatever", cwd=tmp_path)
    assert (code, err) == (cli.USAGE, "router: no journal is named, and there is no router.toml that names one\n")
    configured(tmp_path, qfex=qfex_sim)
    code, _, err = await router("why", "whatever", cwd=tmp_path)
    assert (code, 'names none: journal = "router.journal"' in err) == (cli.USAGE, True)
    code, _, err = await why(tmp_path / "none.journal", "whatever")
    assert (code, "there is no such folder or file" in err, err.count("\n")) == (cli.USAGE, True, 1)


async def test_a_cancel_all_and_a_cancel_by_client_id_belong_to_the_story(qfex_sim, journal):
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        first = await trader.submit(Order("qfex", *TERMS["qfex"], client_order_id="mine-1"))
        second = await trader.submit(Order("qfex", *TERMS["qfex"], client_order_id="mine-2"))
        await trader.cancel(Cancel("qfex", "mine-1", "client_order"))
        await trader.cancel_all()
    _, out, _ = await why(journal, first.order_id)
    assert "It was cancelled." in out
    _, out, _ = await why(journal, second.order_id)
    assert (
        "The Router was asked to cancel every open order of the account on qfex. Written down; 1 order was known" in out
    )
    assert "qfex showed twice, freshly, that nothing in scope was open. So the cancel-all is proven." in out


async def test_it_tells_of_a_running_router_and_holds_it_up_in_nothing(qfex_sim, journal):
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        placed = await trader.submit(Order("qfex", *TERMS["qfex"]))
        (code, out, err), checked = await asyncio.gather(
            router("why", placed.order_id, "--journal", journal), router("journal", "check", journal, "--json")
        )
        assert (await trader.cancel(placed)).journaled
    assert (code, err) == (cli.DONE, "")
    assert "It is open, as far as the journal knows." in out
    assert "ended without closing" not in out
    assert (checked[0], json.loads(checked[1])["whole"]) == (cli.DONE, True)


async def test_colours_are_only_for_those_who_want_them(traded, journal):
    for environment in ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, {}):
        _, out, _ = await why(journal, traded[0], **environment)
        assert re.search(r"\x1b\[(3|4|9)\d", out) is None


async def test_hostile_words_of_a_venue_are_shown_and_not_obeyed(qfex_sim, journal):
    name = f"mine{EVIL}{'x' * 3000}"
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        qfex_sim.refuse(["add_order"], "REJECTED_INSUFFICIENT_FUNDS")
        await trader.submit(Order("qfex", *TERMS["qfex"], client_order_id=name))
    (intent, *_) = read(journal, name)
    for arguments in ((), ("--frames",)):
        code, out, _ = await why(journal, intent.op, *arguments)
        assert code == cli.DONE
        assert all(char.isprintable() or char == "\n" for char in out)
        assert "[red]done[/red]" in out
    code, out, _ = await why(journal, intent.op, "--json")
    assert json.loads(out)["lines"][0]["entry"]["client_order_id"] == name
    assert "\x1b" not in out


async def test_no_secret_is_in_any_story_or_export(journal):
    async with QfexSimulator() as qfex, B2TraderSimulator() as b2trader, DmexSimulator() as dmex:
        made = Dmex(dmex.private_key, url=dmex.url)
        venues = {
            "qfex": adapter("qfex", qfex.credentials),
            "b2trader": adapter("b2trader", b2trader.credentials),
            "dmex": Dmex(dmex.private_key, url=dmex.url, order_encoder=encode(made.address)),
        }
        orders = [Order(name, *terms) for name, terms in TERMS.items()]
        orders.append(Order("dmex", "BTC", "buy", "limit", "10", "5"))
        async with Router(venues, journal=journal) as trader:
            placed = [await trader.submit(order) for order in orders]
            assert [report.outcome for report in placed] == [Outcome.CONFIRMED] * 3
            assert [(await trader.cancel(report)).outcome for report in placed] == [Outcome.CONFIRMED] * 3
        signed = [each.message["data"].get("signature", each.message) for each in dmex.received]
        secrets = {
            qfex.credentials["secret_key"],
            b2trader.credentials["offline_token"],
            str(dmex.private_key).removeprefix("0x"),
        }
        secrets |= set(re.findall(r"[0-9a-f]{64}", json.dumps(signed))) - set(dmex.orders)
    secrets -= {report.order_id.removeprefix("0x") for report in placed}
    assert len(secrets) >= 5, "the signatures of DMEX are among them"
    said = (shown("journal", "export", journal))[1]
    for report in placed:
        for arguments in (("--frames",), ("--json",)):
            said += (await why(journal, report.order_id, *arguments))[1]
    assert said.count("redacted") >= 3
    assert [secret for secret in secrets if secret in said] == []


# -- what is in doubt


async def test_what_is_in_doubt_is_listed(qfex_sim, journal):
    await leave_in_doubt(qfex_sim, journal)
    code, out, err = shown("settle", "--journal", journal)
    assert (code, err) == (cli.UNKNOWN, "")
    assert re.search(r"qfex +submit +[0-9a-f]{32} +\w+ +AAPL-USD +not answered yet, or its process died", out)
    code, out, _ = shown("settle", "--journal", journal, "--json")
    (doubt,) = json.loads(out)["in_doubt"]
    assert (code, doubt["verb"], doubt["state"]) == (cli.UNKNOWN, "submit", "intent")


async def test_a_process_that_is_dead_is_told_before_anybody_opens_its_journal(qfex_sim, journal):
    name = await killed(qfex_sim, journal)
    _, out, _ = await why(journal, name)
    assert "It is not known whether it was placed." in out
    assert out.endswith(": it was killed, or it crashed. Nobody has opened the journal since.\n")


async def test_nothing_in_doubt_is_said_as_that(traded, journal):
    code, out, _ = shown("settle", "--journal", journal)
    assert (code, out) == (cli.DONE, f"{journal}: nothing is in doubt\n")
    code, _, err = await router("settle", traded[0], "--journal", journal)
    assert (code, err.startswith(f"router: nothing of {traded[0]} is in doubt. qfex, order ")) == (cli.USAGE, True)
    assert err.endswith("It was cancelled.\n")


async def test_settling_asks_the_venue_and_tells_what_it_says(qfex_sim, journal, tmp_path):
    pid = await leave_in_doubt(qfex_sim, journal, switch="mute")  # it was placed
    path, environment = configured(tmp_path, f'journal = "{journal.name}"', qfex=qfex_sim)
    ((op, _),) = [
        (each.op, each)
        for each in read(journal, qfex_sim.commands("add_order")[0].message["params"]["client_order_id"])
        if each.what == "intent"
    ]
    code, out, err = await router("settle", op, "--config", path, **environment)
    assert (code, err) == (cli.DONE, "")
    assert f"Process {pid} ended without closing the journal" in out
    assert out.rstrip().endswith("So the submit is CONFIRMED.")
    assert "It is open, as far as the journal knows." in out
    assert doubts(journal) == []
    assert len(qfex_sim.commands("add_order")) == 1


async def test_a_cancel_in_doubt_is_sent_again_and_settled(qfex_sim, journal, tmp_path):
    await leave_in_doubt(qfex_sim, journal, verb="cancel", command="cancel_order")
    path, environment = configured(tmp_path, f'journal = "{journal.name}"', qfex=qfex_sim)
    (order_id,) = qfex_sim.book
    code, out, _ = await router("settle", order_id, "--config", path, "--json", **environment)
    told = json.loads(out)
    assert (code, told["settled"], told["in_doubt"]) == (cli.DONE, True, [])
    assert told["heading"][1] == "It was cancelled."
    assert not qfex_sim.book


async def test_what_nothing_can_settle_says_how_to_do_it_by_hand(b2_sim, journal, tmp_path):
    await leave_in_doubt(b2_sim, journal, name="b2trader", command="POST orders", switch="deaf")
    path, environment = configured(tmp_path, f'journal = "{journal.name}"', b2trader=b2_sim)
    with closing(reader(journal)) as db:
        ((verb, name),) = [(each.verb, each.op) for each in kept(db)]
    code, _, err = await router("settle", name, "--config", path, "--deadline", "0.5", **environment)
    assert (verb, code) == ("submit", cli.UNKNOWN)
    assert re.search(
        r"the submit is in doubt still. Look at b2trader yourself.*: router settle [0-9a-f]{32} --as \[placed \| not-placed",
        err,
    )


async def test_what_is_gone_for_a_reason_that_nobody_knows_stays_in_doubt_and_can_be_ruled_on(
    b2_sim, journal, tmp_path
):
    path, environment = configured(tmp_path, f'journal = "{journal.name}"', b2trader=b2_sim)
    await leave_in_doubt(
        b2_sim, journal, name="b2trader", verb="cancel", command="DELETE orders", switch="mute"
    )  # it was cancelled, and nobody said so
    with closing(reader(journal)) as db:
        order_id = next(each.order_id for each in entries(db) if each.order_id)
    code, out, err = await router("settle", order_id, "--config", path, **environment)
    assert (code, "the cancel is in doubt still" in err) == (cli.UNKNOWN, True), (out, err)
    assert "Asking tells nothing more of the cancel: gone, cause unknown. It is in doubt until somebody" in " ".join(
        out.split()
    )
    code, out, _ = shown("settle", "--journal", journal, "--json")
    (doubt,) = json.loads(out)["in_doubt"]
    assert (code, doubt["order_id"], doubt["rests"]) == (cli.UNKNOWN, order_id, True)
    asked = len(b2_sim.received)
    code, _, err = await router("settle", order_id, "--config", path, **environment)
    assert (code, "the cancel is in doubt still" in err) == (cli.UNKNOWN, True)
    assert {each.command for each in b2_sim.received[asked:]} <= {"POST access-token", "GET orders"}
    code, out, _ = await by_hand(journal, order_id, "cancelled")
    assert (code, "It was cancelled." in out) == (cli.DONE, True)
    assert doubts(journal) == []


async def test_a_cancel_all_that_ends_without_proof_is_not_called_settled(qfex_sim, journal):
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        await trader.submit(Order("qfex", *TERMS["qfex"]))
    begun = Record(
        "intent", "qfex", "m" * 32, facts={"verb": "cancel_all", "account": "", "symbol": None, "targets": ()}
    )
    await write(journal, "full", [begun])
    doubt = find_doubt(journal, "m" * 32)
    await write(journal, "full", [Record("resolved", "qfex", "m" * 32, facts={"outcome": "unknown", "text": "x"})])
    assert tell_rest(doubt, as_json=False) == cli.UNKNOWN


async def test_a_venue_that_cannot_be_reached_leaves_it_in_doubt(qfex_sim, journal, tmp_path):
    await leave_in_doubt(qfex_sim, journal)
    path, environment = configured(tmp_path, f'journal = "{journal.name}"', qfex=qfex_sim)
    name = qfex_sim.commands("add_order")[0].message["params"]["client_order_id"]
    await qfex_sim.stop()
    code, _, err = await router("settle", name, "--config", path, **environment)
    assert (code, "router: not asked: qfex" in err) == (cli.NOT_SENT, True)
    assert doubts(journal) == [("submit", "intent", True)]


# -- a journal that is not what it was


@pytest.fixture
async def bereft(qfex_sim, journal, tmp_path):
    """A journal of a process that was killed, copied without its log: the lock tells of entries that are not there."""
    name = await killed(qfex_sim, journal)
    copy = tmp_path / "copy"
    copy.mkdir()
    for end in ("", "-lock"):
        (copy / f"router.journal{end}").write_bytes((journal.parent / f"router.journal{end}").read_bytes())
    return copy / "router.journal", name


async def test_a_journal_that_has_lost_entries_is_not_believed(bereft, qfex_sim):
    lost, name = bereft
    code, out, err = shown("settle", "--journal", lost)
    assert (code, "nothing is in doubt" in out) == (cli.USAGE, False)
    assert "the entries after it are lost. SO MORE MAY BE IN DOUBT than it knows of; `router journal check`" in err
    code, out, _ = shown("settle", "--journal", lost, "--json")
    assert (code, json.loads(out)["in_doubt"], len(json.loads(out)["complaints"])) == (cli.USAGE, [], 1)
    for command in (("why", name), ("settle", name, "--as", "not-placed", "--yes")):
        code, _, err = shown(*command, "--journal", lost)
        assert (code, "the entries after it are lost (WHAT FOLLOWS IS NOT ALL; `router journal check`" in err) == (
            cli.USAGE,
            True,
        )
    path, environment = configured(lost.parent, f'journal = "{lost.name}"', qfex=qfex_sim)
    code, out, err = await router("orders", "--config", path, "--json", **environment)
    assert code == cli.DONE
    assert (
        "the entries after it are lost; `router journal check` says more (so nothing tells which orders are own" in err
    )
    assert json.loads(out).get("in_doubt") is None


async def test_a_running_writer_is_never_behind_for_those_who_read(qfex_sim, journal):
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        over = asyncio.Event()

        async def look():
            found = []
            while not over.is_set():
                found.append(await asyncio.to_thread(remembered, journal, ["qfex"]))
            return found

        looking = asyncio.create_task(look())
        for _ in range(40):
            await trader.submit(Order("qfex", *TERMS["qfex"]))
        over.set()
        found = await looking
    assert len(found) >= 3
    assert None not in found


async def test_a_command_in_doubt_whose_entries_were_changed_is_not_relied_on(qfex_sim, journal, capsys):
    name = await killed(qfex_sim, journal)
    spoilt(journal, b'{"attempt":1}', b'{"attempt":7}')
    assert remembered(journal, ["qfex"]) is None
    assert "is not as it was written; `router journal check` says more (so nothing tells" in capsys.readouterr().err
    code, out, err = shown("settle", "--journal", journal)
    assert (code, "submit" in out, "is not as it was written. SO MORE" in err) == (cli.USAGE, True, True)
    code, _, err = await why(journal, name)
    assert (code, "not as written: 2 (DON'T TRUST THEM" in err) == (cli.DONE, True)
    code, _, err = await by_hand(journal, name, "not-placed")
    assert (code, "it is damaged" in err) == (cli.USAGE, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE entry SET at = 1e300", "the time of entry"),
        ("UPDATE entry SET at = 9e999", "the time of entry"),
        ("UPDATE entry SET facts = '{'", "was truncated"),
        ("UPDATE entry SET facts = '[1]'", "Expected `object`"),
        ("UPDATE run SET opened = 1e300", "the times of run 1"),
        ("UPDATE operation SET at = 1e300", None),
        ("UPDATE entry SET order_id = CAST(x'ff' AS TEXT)", "can't be read"),
        ("UPDATE entry SET facts = CAST(x'ff' AS TEXT)", "can't be read"),
    ],
)
async def test_a_damaged_journal_makes_no_traceback(qfex_sim, journal, change, said):
    name = await killed(qfex_sim, journal)
    with closing(sqlite3.connect(journal, isolation_level=None)) as db:
        for (trigger,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {trigger}")
        db.executescript(change)
    ended = [(said, *await why(journal, each)) for each in (name, name[:20]) if said]
    ended += [("`router journal check`", *shown("settle", "--journal", journal))]
    ended += [(said or "`router journal check`", *await by_hand(journal, name, "not-placed"))]
    for words, code, out, err in ended:
        assert "Traceback" not in out + err
        assert (code, words in err, "`router journal check`" in err) == (cli.USAGE, True, True), err
    assert (remembered(journal, ["qfex"]) is None) == ("run" not in change)


# -- settled by hand


async def by_hand(journal, name, *arguments, **options):
    return await router("settle", name, "--journal", journal, "--as", *arguments, "--yes", **options)


async def killed(simulator, journal, **named):
    """The client's id of an order that a process submitted and was killed."""
    await leave_in_doubt(simulator, journal, **named)
    return simulator.commands("add_order")[0].message["params"]["client_order_id"]


async def reopened(simulator, journal):
    """The own orders that the next Router has in its ledger."""
    async with Router({"qfex": adapter("qfex", simulator.credentials, quiet_period=0.1)}, journal=journal) as trader:
        assert await trader.recovered() == []
        return [(each.state.order_id, each.state.status) for each in trader._desks["qfex"].ledger._entries()]


async def test_a_submit_is_not_placed_by_an_operators_word(qfex_sim, journal):
    name = await killed(qfex_sim, journal)
    code, out, err = await by_hand(journal, name, "not-placed", "--note", "asked their desk", LOGNAME="eve")
    assert (code, err) == (cli.DONE, "")
    assert "The operator eve settled the submit by hand, as not-placed: it is REFUSED; noted: asked their desk." in out
    assert "It was not placed." in out
    (*_, last) = read(journal, name)
    assert (last.what, last.facts["origin"], last.facts["operator"]) == ("resolved", "operator", "eve")
    assert await reopened(qfex_sim, journal) == []
    assert (shown("journal", "check", journal))[0] == cli.DONE
    code, _, err = await by_hand(journal, name, "placed")
    assert (code, "is in doubt. qfex" in err) == (cli.USAGE, True)


async def test_a_submit_is_placed_by_an_operators_word_and_is_own_afterwards(qfex_sim, journal):
    name = await killed(qfex_sim, journal, switch="mute")
    (order_id,) = qfex_sim.book
    code, _, err = await by_hand(journal, name, "placed")
    assert (code, "give it with --order-id" in err) == (cli.USAGE, True)
    code, out, err = await by_hand(journal, name, "placed", "--order-id", order_id)
    assert (code, err) == (cli.DONE, "")
    assert "By the operator's word the order is open." in out
    with closing(reader(journal)) as db:
        assert [(each.known["order_id"], each.live) for each in kept(db)] == [(order_id, True)]
    assert (shown("journal", "check", journal))[0] == cli.DONE
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        assert await trader.recovered() == []
        (row,) = await trader.open_orders("qfex")
        assert (row.order_id, row.own) == (order_id, True)
        assert (await trader.cancel(row)).ok


async def test_an_order_that_is_known_as_another_is_not_taken_for_the_one_in_doubt(qfex_sim, journal):
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        ours = await trader.submit(Order("qfex", *TERMS["qfex"], client_order_id="ours"))
        before = await qfex_sim.bench.enter(Order("qfex", *TERMS["qfex"]))
        shown_before = await trader.cancel(Cancel("qfex", before, symbol="AAPL-USD"))
        qfex_sim.switches.mute, qfex_sim.switches.only = True, frozenset({"add_order"})
        lost = await trader.submit(Order("qfex", *TERMS["qfex"], client_order_id="lost"), deadline=0.2)
        qfex_sim.switches.mute, qfex_sim.switches.only = False, None
        after = await qfex_sim.bench.enter(Order("qfex", *TERMS["qfex"], client_order_id="theirs"))
        async with asyncio.timeout(5):
            while True:
                if read(journal, after):
                    break
                await asyncio.sleep(0.01)
    assert (ours.outcome, shown_before.outcome, lost.outcome) == (Outcome.CONFIRMED, Outcome.CONFIRMED, Outcome.UNKNOWN)
    for wrong in (ours.order_id, before, after):
        code, _, err = await by_hand(journal, "lost", "placed", "--order-id", wrong)
        assert (code, f"knows that as another order: router why {wrong}" in err) == (cli.USAGE, True), err
    assert doubts(journal) == [("submit", "unknown", True)]


async def test_what_is_settled_by_hand_stands_behind_the_process_that_wrote_it(qfex_sim, journal):
    name = await killed(qfex_sim, journal)
    await by_hand(journal, name, "not-placed")
    _, out, _ = await why(journal, name, "--json")
    told = json.loads(out)["lines"]
    assert "opened the journal." in told[-2]["text"]
    assert [line["elapsed"] for line in told[1:] if line["elapsed"] < 0] == []


@pytest.mark.parametrize(
    ("word", "outcome", "fate"),
    [
        ("cancelled", "CONFIRMED", "It was cancelled."),
        ("filled", "REFUSED", "It was filled (1 of 1). A cancel came too late."),
        ("not-cancelled", "REFUSED", "It is open, as far as the journal knows."),
    ],
)
async def test_a_cancel_is_settled_by_an_operators_word(qfex_sim, journal, word, outcome, fate):
    await leave_in_doubt(qfex_sim, journal, verb="cancel", command="cancel_order")
    (order_id,) = qfex_sim.book
    code, out, err = await by_hand(journal, order_id, word, "--json")
    told = json.loads(out)
    assert (code, err, told["settled"], told["heading"][1]) == (cli.DONE, "", True, fate)
    assert f"settled the cancel by hand, as {word}: it is {outcome}." in told["lines"][-1]["text"]
    assert (shown("journal", "check", journal))[0] == cli.DONE
    with closing(reader(journal)) as db:
        assert [each.live for each in kept(db)] == ([True] if word == "not-cancelled" else [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replaced",), "--as replaced says nothing of a submit; use cancelled, filled, not-placed, placed"),
        (("not-placed", "--order-id", "x"), "--order-id goes with a submit that was placed"),
        (("nonsense",), "'nonsense' is not one of"),
    ],
)
async def test_what_a_submit_cannot_come_to_is_refused(qfex_sim, journal, arguments, said):
    name = await killed(qfex_sim, journal)
    before = read(journal, name)
    code, out, err = await by_hand(journal, name, *arguments, "--json")
    assert (code, said in err, said in json.loads(out)["error"]) == (cli.USAGE, True, True)
    assert read(journal, name) == before


async def test_what_the_journal_knows_is_not_taken_back(qfex_sim, journal):
    await leave_in_doubt(qfex_sim, journal, verb="cancel", command="cancel_order")
    (order_id,) = qfex_sim.book
    with closing(reader(journal)) as db:
        ops = {each.facts["verb"]: each.op for each in entries(db) if each.what == "intent"}
    code, _, err = await by_hand(journal, ops["submit"], "not-placed")
    assert (code, "nothing of" in err) == (cli.USAGE, True)
    code, _, err = await by_hand(journal, order_id, "cancelled", "--order-id", "another")
    assert (code, "--order-id goes with a submit" in err) == (cli.USAGE, True)


async def test_it_asks_first_and_writes_nothing_on_a_no(qfex_sim, journal):
    name = await killed(qfex_sim, journal)
    arguments = ("settle", name, "--journal", journal, "--as", "not-placed")
    async with on_terminal(*arguments) as terminal:
        await terminal.until("it was not placed, and never will be? [y/N]: ")
        terminal.type("n\n")
        code, _ = await terminal.ended()
    assert (code, doubts(journal)) == (cli.NOT_SENT, [("submit", "intent", True)])
    code, _, err = await router(*arguments)
    assert (code, "stdin is no terminal; --yes goes ahead" in err) == (cli.USAGE, True)
    async with on_terminal(*arguments) as terminal:
        await terminal.until("[y/N]: ")
        terminal.type("y\n")
        code, out = await terminal.ended()
    assert (code, doubts(journal)) == (cli.DONE, [])
    assert "It was not placed." in out


async def test_a_journal_that_a_router_has_open_is_not_written_to(qfex_sim, journal):
    qfex_sim.switches.deaf = True
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        report = await trader.submit(Order("qfex", *TERMS["qfex"]), deadline=0.2)
        assert report.outcome is Outcome.UNKNOWN
        code, _, err = await by_hand(journal, report.client_order_id, "not-placed")
        assert (code, "Stop that Router first" in err) == (cli.USAGE, True)
        assert doubts(journal) == [("submit", "unknown", True)]


# -- journal


async def test_a_journal_that_is_whole_is_counted(traded, journal):
    code, out, _ = shown("journal", "check", journal)
    assert (code, out.rstrip().endswith("it is whole")) == (cli.DONE, True)
    assert re.search("own orders that may be open +1", out)
    found = json.loads((shown("journal", "check", journal, "--json"))[1])
    assert (found["whole"], found["complaints"], found["live_orders"], found["in_doubt"]) == (True, [], 1, 0)
    assert (found["operations"], found["runs"], found["runs_not_closed"]) == ({"confirmed": 4, "refused": 1}, 1, 0)
    with closing(reader(journal)) as db:
        assert found["entries"] == len(list(entries(db)))


async def test_everything_is_exported_exactly_as_it_was_written(traded, journal):
    code, out, err = await router("journal", "export", journal)
    told = list(map(json.loads, out.splitlines()))
    with closing(reader(journal)) as db:
        rows = list(entries(db))
        facts = [text for (text,) in db.execute("SELECT facts FROM entry ORDER BY number")]
    assert (code, err, len(told)) == (cli.DONE, "", len(rows))
    assert [(each["number"], each["at"], each["what"], each["facts"]) for each in told] == [
        (each.number, each.at, each.what, each.facts) for each in rows
    ]
    assert all(text in line for text, line in zip(facts, out.splitlines(), strict=True))


async def test_an_export_is_cut_by_time_and_venue(traded, journal):
    with closing(reader(journal)) as db:
        times = [each.at for each in entries(db)]
    middle = datetime.fromtimestamp(times[len(times) // 2], UTC).isoformat()
    for since, count in (
        (middle, sum(at >= datetime.fromisoformat(middle).timestamp() for at in times)),
        ("1d", len(times)),
        ("0s", 0),
    ):
        _, out, _ = shown("journal", "export", journal, "--since", since)
        assert len(out.splitlines()) == count, since
    assert (shown("journal", "export", journal, "--venue", "dmex"))[:2] == (cli.DONE, "")
    code, _, err = shown("journal", "export", journal, "--since", "noon")
    assert (code, "--since was 'noon'" in err) == (cli.USAGE, True)


async def test_an_export_that_nobody_reads_to_its_end_is_quiet(qfex_sim, journal):
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        for _ in range(120):
            report = await trader.submit(Order("qfex", *TERMS["qfex"]))
        assert report.ok
    async with started("journal", "export", journal, stdin=PIPE) as process:
        await process.stdout.readline()
        process._transport.get_pipe_transport(1).close()
        _, err = await process.communicate()
    assert (process.returncode, err) == (cli.DONE, b"")


def spoilt(journal, text, other):
    """Bytes of the file are others."""
    with closing(sqlite3.connect(journal)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    body = journal.read_bytes()
    assert text in body
    journal.write_bytes(body.replace(text, other))


async def test_an_entry_that_was_changed_is_told_and_exported_as_damaged(traded, journal):
    spoilt(journal, b'{"attempt":1}', b'{"attempt":7}')
    code, out, _ = shown("journal", "check", journal)
    assert (code, "is not as it was written" in out, "IT IS DAMAGED" in out) == (cli.USAGE, True, True)
    code, out, err = shown("journal", "export", journal)
    told = list(map(json.loads, out.splitlines()))
    assert code == cli.USAGE
    assert "0 entries can't be read, and 3 are not as they were written" in err
    assert sum("damaged" in each for each in told) == 3
    assert (await why(journal, traded[2]))[0] == cli.DONE


async def test_a_page_that_cannot_be_read_costs_only_what_is_on_it(qfex_sim, journal):
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal) as trader:
        for _ in range(40):
            report = await trader.submit(Order("qfex", *TERMS["qfex"]))
    before = (shown("journal", "export", journal))[1].splitlines()
    body = bytearray(journal.read_bytes())
    page = body.find(b'"qfex"', len(body) // 2) // 4096
    body[page * 4096 : page * 4096 + 4096] = bytes(4096)
    journal.write_bytes(body)
    code, out, err = shown("journal", "export", journal)
    after = out.splitlines()
    assert (code, report.ok) == (cli.USAGE, True)
    assert len(before) / 2 < len(after) < len(before)
    lost = int(re.search(r"(\d+) entries can't be read \(SQLite says: ", err)[1])
    assert lost == len(before) - len(after)
    assert (shown("journal", "check", journal))[0] == cli.USAGE


async def test_what_is_over_is_removed_and_the_rest_can_be_told(traded, journal):
    *_, left = traded
    before = shown("journal", "export", journal)[1].splitlines()
    code, out, err = shown("journal", "compact", journal, "--json")
    assert (code, err, json.loads(out)["entries"]) == (cli.DONE, "", 0), "all of it is younger than a week"
    code, out, _ = shown("journal", "compact", journal, "--keep", "0s")
    counts = {name: int(count) for name, count in re.findall(r"(\w+) removed +(\d+)", out)}
    after = shown("journal", "export", journal)[1].splitlines()
    assert (code, counts["operations"] >= 3, counts["orders"], counts["entries"]) == (
        cli.DONE,
        True,
        1,
        len(before) - len(after),
    )
    assert set(after) < set(before)
    assert (shown("journal", "check", journal)[0], (await why(journal, left))[0]) == (cli.DONE, cli.DONE)
    assert (await why(journal, traded[0]))[0] == cli.USAGE


async def test_a_journal_that_a_router_has_open_is_not_compacted(qfex_sim, journal):
    async with Router({"qfex": adapter("qfex", qfex_sim.credentials)}, journal=journal):
        code, _, err = await router("journal", "compact", journal)
    assert (code, "Stop that Router first" in err, err.count("\n")) == (cli.USAGE, True, 1)


@pytest.mark.parametrize("keep", ["7", "week", "-1d", "1.5d", ""])
def test_how_much_is_kept_is_a_length_of_time(journal, keep):
    code, _, err = shown("journal", "compact", journal, f"--keep={keep}")
    assert (code, f"--keep was {keep!r}; it is a length of time: 12h, 7d, 4w" in err) == (cli.USAGE, True)


async def test_what_is_no_journal_is_an_error_in_one_line(tmp_path):
    (tmp_path / "text").write_text("not a database")
    for command in (("check",), ("export",)):
        code, out, err = shown("journal", *command, tmp_path / "text")
        assert (code, out, err.count("\n")) == (cli.USAGE, "", 1)
        assert "journal" in err
    code, out, err = shown("journal", "check", tmp_path / "none", "--json")
    assert (code, "there is no such" in json.loads(out)["error"], err.count("\n")) == (cli.USAGE, True, 1)


def test_stories_are_made_of_whatever_a_real_journal_has(traded, journal):
    with closing(reader(journal)) as db:
        told = list(entries(db))
    assert len(tell(told).heading) == 6
    assert Decimal(1) == Decimal(told[0].facts["command"]["quantity"])
