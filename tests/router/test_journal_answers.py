"""What the journal answers of a command is what its caller was told, whatever became of it."""

import asyncio
import contextlib
import json
import os
import random
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from io import StringIO

import attrs
import pytest
from msgspec.structs import replace

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, IdKind, Order, Origin, Outcome, Replace, Router, cli
from router.errors import JournalDamaged, JournalError
from router.journal import Journal
from router.journal import file as journalfile
from router.journal.answers import answer
from router.journal.compact import compact
from router.journal.reading import entries
from router.journal.settling import Ruling, records, write
from router.record import Record
from router.report import CxlRejReason, OrdStatus
from router.testing import Switches
from tests.restarting import CANCELS, b2trader, crash, dmex, durable, future, in_doubt, limit, qfex, restarted, spot

SEEDS = range(int(os.environ.get("ANSWER_SEEDS", "2")))
BESIDE = 0.5  # seconds between a report's time and its entry's
VERBS = {"submit", "cancel", "replace", "cancel_all"}


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal"


def answers(path):
    """Of every command, in the order in which they were begun."""
    with contextlib.closing(journalfile.reader(path)) as db:
        ops = [op for (op,) in db.execute("SELECT op FROM entry WHERE what = 'intent' ORDER BY number")]
        return [answer(db, op) for op in ops]


def bare(report):
    return attrs.asdict(replace(report, sent_at=None, answered_at=None, frame=None, settle=None), recurse=False)


def check(answered, told):
    """That it is the same report, which by now the journal has. A refusal that no single answer made has no time of its own."""
    found = answered.report
    assert found.journaled is True
    told = replace(told, journaled=True)
    if isinstance(told.request, Replace) and answered.verb == "submit":  # a new order took the old one's place
        told = replace(told, request=answered.command)
    assert bare(found) == bare(told)
    assert answered.request == told.request
    assert answered.text == told.text
    assert (found.sent_at is None) == (told.sent_at is None)
    for ours, theirs in ((found.sent_at, told.sent_at), (found.answered_at, told.answered_at)):
        if theirs is not None:
            assert abs((ours - theirs).total_seconds()) < BESIDE
            assert ours.tzinfo is not None


async def written(router, path):
    await asyncio.sleep(0)
    await durable(router)
    return answers(path)


# -- a venue that says what it is told to say


@pytest.fixture
async def toy(toy_session, journal):
    async with Router({"toy": toy_session()}, journal=journal) as router:
        yield router


async def placed(router, venue, order, client, name, count=1):
    submitting = asyncio.ensure_future(router.submit(order(client)))
    await venue.until(f"add {client}", count)
    await venue.say(f"added {client} {name}")
    return await submitting


async def submitted(router, venue, order, *, says):
    submitting = asyncio.ensure_future(router.submit(order("c1")))
    await venue.until("add c1")
    await venue.say(says)
    return [await submitting]


async def cancelled(router, venue, order, *, says, name="o1"):
    first = await placed(router, venue, order, "c1", "o1")
    cancelling = asyncio.ensure_future(router.cancel("toy", name))
    await venue.until(f"cancel {name}")
    await venue.say(*says)
    return [first, await cancelling]


async def cancelled_as_a_set(router, venue, order):
    both = [await placed(router, venue, order, "c1", "o1"), await placed(router, venue, order, "c1", "o2", 2)]
    cancelling = asyncio.ensure_future(router.cancel(Cancel("toy", "c1", IdKind.CLIENT_ORDER)))
    await venue.until("cancel-set c1")
    await venue.say("cancelled o2 c1", "cancelled o1 c1")
    return [*both, await cancelling]


async def traded_and_cancelled(router, venue, order):
    first = await placed(router, venue, order, "c1", "o1")
    cancelling = asyncio.ensure_future(router.cancel("toy", "o1"))
    await venue.until("cancel o1")
    await venue.say("trade o1 0.5 t1", "cancelled o1 c1")
    return [first, await cancelling]


async def replace_refused(router, venue, order):
    first = await placed(router, venue, order, "c1", "o1")
    replacing = asyncio.ensure_future(router.replace(first, quantity=3))
    await venue.until("replace o1")
    await venue.say("refused o1")
    return [first, await replacing]


async def held_for_an_order_that_is_refused(router, venue, order):
    mine = order("c1")
    submitting = asyncio.ensure_future(router.submit(mine))
    await venue.until("add c1")
    cancelling = asyncio.ensure_future(router.cancel(mine))
    await asyncio.sleep(0)
    await venue.say("rejected c1")
    return [await submitting, await cancelling]


async def held_until_its_order_has_an_id(router, venue, order):
    mine = order("c1")
    submitting = asyncio.ensure_future(router.submit(mine))
    await venue.until("add c1")
    cancelling = asyncio.ensure_future(router.cancel(mine))
    await asyncio.sleep(0)
    await venue.say("added c1 o1")
    await venue.until("cancel o1")
    await venue.say("cancelled o1 c1")
    return [await submitting, await cancelling]


async def told_later(router, venue, order):
    report = await router.submit(order("c1"), deadline=0.05)
    assert report.outcome is Outcome.UNKNOWN
    settling = asyncio.ensure_future(report.settled())
    await venue.say("added c1 o1")
    return [await settling]


async def never_placed(router, venue, order):
    report = await router.submit(order("c1"), deadline=0.05)
    return [await report.settled(1)]


SCENES = {
    "placed": (submitted, {"says": "added c1 o1"}, [Outcome.CONFIRMED]),
    "rejected": (submitted, {"says": "rejected c1"}, [Outcome.REFUSED]),
    "killed": (submitted, {"says": "killed c1 o1"}, [Outcome.CONFIRMED]),
    "cancelled": (cancelled, {"says": ["cancelled o1 c1"]}, [Outcome.CONFIRMED] * 2),
    "unknown order": (cancelled, {"says": ["refused o1"]}, [Outcome.CONFIRMED, Outcome.REFUSED]),
    "too late": (cancelled, {"says": ["late o1"]}, [Outcome.CONFIRMED, Outcome.REFUSED]),
    "a stranger's": (cancelled, {"says": ["cancelled o9"], "name": "o9"}, [Outcome.CONFIRMED] * 2),
    "no such": (cancelled, {"says": ["refused o9"], "name": "o9"}, [Outcome.CONFIRMED, Outcome.REFUSED]),
    "a set": (cancelled_as_a_set, {}, [Outcome.CONFIRMED] * 3),
    "traded": (traded_and_cancelled, {}, [Outcome.CONFIRMED] * 2),
    "replace refused": (replace_refused, {}, [Outcome.CONFIRMED, Outcome.REFUSED]),
    "held, refused": (held_for_an_order_that_is_refused, {}, [Outcome.REFUSED, Outcome.NOT_SENT]),
    "held, sent": (held_until_its_order_has_an_id, {}, [Outcome.CONFIRMED] * 2),
    "told later": (told_later, {}, [Outcome.CONFIRMED]),
}


@pytest.mark.parametrize("name", SCENES)
async def test_the_answer_is_what_the_caller_was_told(toy, venue, order, journal, name):
    scene, options, outcomes = SCENES[name]
    reports = await scene(toy, venue, order, **options)
    assert [report.outcome for report in reports] == outcomes
    found = await written(toy, journal)
    assert len(found) == len(reports)
    for answered, told in zip(found, reports, strict=True):
        check(answered, told)
        assert answered.state == ("resolved" if name == "told later" else told.outcome)


async def test_what_happened_after_the_outcome_is_not_in_it(toy, venue, order, journal):
    first = await placed(toy, venue, order, "c1", "o1")
    (before,) = await written(toy, journal)
    stream = toy.events()
    await venue.say("trade o1 2 t1")
    assert (await anext(stream)).cum_quantity == 2
    assert await written(toy, journal) == [before]
    check(before, first)


async def test_in_doubt_there_is_no_report(toy, venue, order, journal):
    submitting = asyncio.ensure_future(toy.submit(order("c1"), deadline=0.2))
    await venue.until("add c1")
    (begun,) = await written(toy, journal)
    assert (begun.state, begun.report, begun.verb, begun.text) == ("intent", None, "submit", "")
    report = await submitting
    (unknown,) = await written(toy, journal)
    assert (unknown.state, unknown.report, unknown.text) == ("unknown", None, report.text)
    assert unknown.command == unknown.request == report.request


async def test_a_submit_that_waits_for_the_disk_too_long_is_not_sent(toy, order, journal):
    holder = journalfile.connect(journal, "FULL")
    holder.execute("BEGIN IMMEDIATE")
    report = await toy.submit(order("c1"), deadline=0.1)
    holder.execute("ROLLBACK")
    holder.close()
    assert (report.outcome, report.sent_at) == (Outcome.NOT_SENT, None)
    (answered,) = await written(toy, journal)
    check(answered, report)
    assert answered.report.answered_at is None


# -- venues as they are


class Walk:
    """A strategy that does what comes to its mind, and the reports that it ends up with. only: the commands that may go unanswered."""

    def __init__(self, router, simulator, make, only, seed):
        self.router, self.simulator, self.make, self.only = router, simulator, make, frozenset(only)
        self.chance = random.Random(seed)  # noqa: S311 - a seed repeats it
        self.placed, self.reports, self.name = [], [], next(iter(router.health()))

    async def step(self):
        fault = self.chance.choice(["deaf", "mute", "", "", "", "", "", ""])
        self.simulator.switches = Switches(only=self.only, **({fault: True} if fault else {}))
        report = await self.command(0.15 if fault else 0.4)
        self.simulator.switches = Switches()
        self.reports.append(await report.settled(0.4))

    async def command(self, deadline):
        kind = self.chance.choice(["submit", "submit", "cancel", "cancel", "replace", "stranger", "fill"])
        if kind == "submit" or not self.placed:
            report = await self.router.submit(self.make(), deadline=deadline)
            if report.order_id is not None:
                self.placed.append(report)
            return report
        target = self.chance.choice(self.placed)
        if kind == "replace":
            return await self.router.replace(target, quantity=target.request.quantity * 2, deadline=deadline)
        if kind == "stranger":
            return await self.router.cancel(self.name, target.order_id[:-4] + "0000", deadline=deadline)
        if kind == "fill":
            with contextlib.suppress(Exception):  # it has ended
                await self.simulator.bench.fill(target.order_id)
        return await self.router.cancel(target, deadline=deadline)


async def walk(router, simulator, make, only, seed, journal):
    walking = Walk(router, simulator, make, only, seed)
    for _ in range(20):
        await walking.step()
    found = await written(router, journal)
    kept = [report for report in walking.reports if report.journaled is not None]
    assert len(found) == len(kept) > 10
    for answered, told in zip(found, kept, strict=True):
        if told.outcome is not Outcome.UNKNOWN:
            check(answered, told)
        elif answered.report is None:  # or an event has told since
            assert answered.state == "unknown"
    return {(answered.verb, told.outcome) for answered, told in zip(found, kept, strict=True)}


@pytest.mark.parametrize("seed", SEEDS)
async def test_on_qfex(qfex_sim: QfexSimulator, journal, seed):
    async with Router({"qfex": qfex(qfex_sim, quiet_period=0.1)}, journal=journal) as router:
        found = await walk(router, qfex_sim, limit, {"add_order", *CANCELS, "modify_order"}, seed, journal)
    assert {verb for verb, _ in found} == {"submit", "cancel", "replace"}
    assert {outcome for _, outcome in found} >= {Outcome.CONFIRMED, Outcome.REFUSED}


async def test_on_b2trader(b2_sim: B2TraderSimulator, journal):
    async with Router({"b": b2trader(b2_sim)}, journal=journal) as router:
        found = await walk(router, b2_sim, spot, set(b2_sim.TRADING), 1, journal)
    assert {verb for verb, _ in found} >= {"submit", "cancel"}


async def test_on_dmex(dmex_sim: DmexSimulator, journal):
    async with Router({"dmex": dmex(dmex_sim)}, journal=journal) as router:
        found = await walk(router, dmex_sim, future, set(dmex_sim.TRADING), 1, journal)
    assert {verb for verb, _ in found} >= {"submit", "cancel"}


async def test_what_was_settled_after_a_restart_is_answered(qfex_sim: QfexSimulator, journal):
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        await in_doubt(first, limit(), qfex_sim, mute=True)
        await in_doubt(first, limit(), qfex_sim, deaf=True)
        copy = crash(journal)
    async with Router({"qfex": qfex(qfex_sim)}, journal=copy) as second:
        reports = await second.recovered()
        found = await written(second, copy)
    assert {report.outcome for report in reports} == {Outcome.CONFIRMED, Outcome.REFUSED}
    for report in reports:
        (answered,) = [each for each in found if each.op == report.client_order_id]
        assert answered.state == "resolved"
        check(answered, report)


async def test_a_cancel_that_was_settled_after_a_restart_is_answered(qfex_sim: QfexSimulator, journal):
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as first:
        placed = await first.submit(limit())
        qfex_sim.switches = Switches(mute=True, only=frozenset(CANCELS))
        assert (await first.cancel(placed, deadline=0.1)).outcome is Outcome.UNKNOWN
        await durable(first)
        qfex_sim.switches = Switches()
        async with restarted(qfex_sim, journal) as second:
            (report,) = await second.recovered()
            *_, answered = await written(second, second._journal.path)
    assert answered.verb == "cancel"
    check(answered, report)


async def test_a_cancel_all_has_its_state_and_its_words(qfex_sim: QfexSimulator, journal):
    async with Router({"qfex": qfex(qfex_sim)}, journal=journal) as router:
        await router.submit(limit())
        report = await router.cancel_all()
        found = await written(router, journal)
    (answered,) = [each for each in found if each.verb == "cancel_all"]
    assert (answered.state, answered.command, answered.request, answered.report) == ("confirmed", None, None, None)
    assert answered.text == str(report.venues["qfex"])


# -- what no Router said


SUBMIT = {
    "verb": "submit",
    "account": "a",
    "symbol": "S",
    "sent": 0,
    "command": Order("v", "S", "buy", "limit", "1", "2", client_order_id="mine"),
    "state": {"venue": "v", "order_id": None, "client_order_id": "mine", "status": "pending_new", "symbol": "S"},
    "minted": False,
}


async def put(path, *told):
    kept = Journal(path, "process")
    await kept.open()
    for record in told:
        last = kept.put(record)
    assert await kept.written(last, 5)
    await kept.close()


def submit(**more):
    return Record("intent", "v", "x", None, "mine", SUBMIT | more)


async def test_an_operators_word_is_told_as_that(journal):
    await put(journal, submit())
    with contextlib.closing(journalfile.reader(journal)) as db:
        (intent,) = entries(db)
    ruling = Ruling(word="cancelled", operator="ann", order_id="77", note="seen on their page")
    await write(journal, "process", records(intent, ruling, intent, intent.facts["state"]))
    found = answer(journal, "x")
    report = found.report
    assert (found.state, report.outcome, report.status) == ("resolved", Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert (report.origin, report.order_id, report.request) == (Origin.CLIENT, "77", SUBMIT["command"])
    assert report.text == found.text == "settled by hand, as cancelled, by ann (seen on their page)"


async def test_who_asked_and_whether_it_was_adopted(journal):
    sent = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    end = Record("resolved", "v", "x", "5", "mine", {"outcome": "refused", "text": "not placed"})
    await put(journal, submit(strategy="alpha", adopted=True, sent_at=sent), end)
    found = answer(journal, "x")
    assert (found.strategy, found.adopted, found.report.sent_at) == ("alpha", True, sent)
    assert answer(str(journal), "nothing") is None


@pytest.mark.parametrize(("verb", "reason"), [("cancel", CxlRejReason.OTHER), ("cancel", CxlRejReason.BROKER)])
async def test_a_refusal_always_has_a_reason(journal, verb, reason):
    intent = Record("intent", "v", "x", "5", None, {"verb": verb, "account": "a", "command": Cancel("v", "5")})
    said = {} if reason is CxlRejReason.OTHER else {"reason": reason}
    await put(journal, intent, Record("refused", "v", "x", "5", None, {"outcome": "refused", "text": "no"} | said))
    assert answer(journal, "x").report.reason is reason


async def test_somebody_elses_order_is_known_as_far_as_events_told(journal):
    event = {"order_id": "5", "client_order_id": "theirs", "symbol": "S", "status": "canceled", "cum_quantity": "1.50"}
    intent = Record("intent", "v", "x", "5", None, {"verb": "cancel", "account": "a", "command": Cancel("v", "5")})
    earlier = event | {"cum_quantity": None, "status": "new"}
    await put(
        journal,
        intent,
        Record("execution", "v", None, "5", "theirs", {"event": event}),
        Record("execution", "other", None, "5", "theirs", {"event": earlier}),
        Record("execution", "v", None, "6", "theirs", {"event": earlier}),
        Record("confirmed", "v", "x", "5", None, {"outcome": "confirmed", "taken": ["5"]}),
        Record("execution", "v", None, "5", "theirs", {"event": earlier}),
    )
    (order,) = answer(journal, "x").report.orders
    assert (order.order_id, order.status, order.client_order_id) == ("5", OrdStatus.CANCELED, "theirs")
    assert (str(order.cum_quantity), order.symbol, order.own) == ("1.50", "S", False)


async def test_what_is_not_as_it_was_written_is_no_answer(journal):
    await put(journal, submit())
    db = journalfile.connect(journal, "FULL")
    db.execute("DROP TRIGGER entry_is_kept; UPDATE entry SET facts = replace(facts, 'mine', 'ours')").fetchall()
    db.close()
    with pytest.raises(JournalDamaged, match="entry 1 is not as it was written"):
        answer(journal, "x")


async def test_what_this_version_cannot_read_is_no_answer(journal):
    await put(journal, submit(command={"venue": "v", "side": "sideways"}), submitted_end())
    with pytest.raises(JournalError, match="can't be read by this version"):
        answer(journal, "x")


def submitted_end():
    return Record("confirmed", "v", "x", "5", "mine", {"outcome": "confirmed", "state": SUBMIT["state"]})


async def test_a_journal_that_has_lost_entries_knows_of_no_absence(journal):
    await put(journal, submit())
    with_less = journal.read_bytes()
    await put(journal, submitted_end())
    journal.write_bytes(with_less)
    with pytest.raises(JournalDamaged, match="its last entry is 1, and 2 was written"):
        answer(journal, "y")


async def test_it_is_asked_in_a_thread_while_the_journal_is_written(journal):
    kept = Journal(journal, "process")
    await kept.open()
    with contextlib.closing(journalfile.reader(journal)) as db:
        for number in range(100):
            op = f"{number:032d}"
            kept.put(Record("intent", "v", op, None, "mine", SUBMIT))
            last = kept.put(Record("confirmed", "v", op, "5", "mine", {"outcome": "confirmed"}))
            assert await kept.written(last, 5)
            found = await asyncio.to_thread(answer, db, op)
            assert (found.state, found.report.order_id) == ("confirmed", "5")
    await kept.close()


async def test_commands_that_read_a_journal_pass_over_facts_that_they_do_not_know(journal):
    """What one version writes more than another is no damage."""
    sent = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    await put(journal, submit(strategy="alpha", adopted=True, sent_at=sent, yet_another={"x": [1]}))
    for arguments in (["why", "mine", "--journal"], ["why", "mine", "--json", "--journal"], ["journal", "check"]):
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err, pytest.raises(SystemExit) as ended:
            cli.main([*arguments, str(journal)])
        assert (ended.value.code, err.getvalue()) == (cli.DONE, "")
        assert "mine" in out.getvalue() or "it is whole" in out.getvalue()
    with redirect_stdout(StringIO()) as out, pytest.raises(SystemExit):
        cli.main(["journal", "export", str(journal)])
    assert json.loads(out.getvalue())["facts"]["strategy"] == "alpha"
    compact(journal, 0)
    (kept,) = await reopened(journal)
    assert kept.intent.facts["yet_another"] == {"x": [1]}


async def reopened(path):
    kept = Journal(path, "process")
    try:
        return await kept.open()
    finally:
        await kept.close()


def a_cancel(command, **more):
    return Record("intent", "v", "x", "5", None, {"verb": "cancel", "account": "a", "command": command} | more, 100.0)


def happened(what, op="x", at=200.0, **facts):
    return Record(what, "v", op, "5", None, facts, at)


async def test_a_cancel_that_was_held_is_of_what_it_went_out_as(journal):
    by_client, by_id = Cancel("v", "mine", IdKind.CLIENT_ORDER), Cancel("v", "5", IdKind.STOP_ORDER, "S")
    again = [happened("sent", attempt=1, command=by_id, at=150.0), happened("sent", attempt=1, at=160.0)]
    await put(journal, a_cancel(by_client), *again, happened("confirmed", outcome="confirmed", status="canceled"))
    found = answer(journal, "x")
    (order,) = found.report.orders
    assert (order.order_id, order.kind, order.symbol, order.status) == ("5", IdKind.STOP_ORDER, "S", "canceled")
    assert (found.command, found.request, found.report.status) == (by_client, by_client, OrdStatus.CANCELED)
    times = (found.report.sent_at.timestamp(), found.report.answered_at.timestamp())
    assert times == (150.0, 200.0)


async def test_what_was_not_written_of_its_sending_is_that_of_the_intent(journal):
    await put(journal, a_cancel(Cancel("v", "5")), happened("resolved", outcome="refused", text="no"))
    report = answer(journal, "x").report
    assert (report.sent_at.timestamp(), report.orders) == (100.0, ())


async def test_an_order_is_told_as_it_was_then(journal):
    def order(status):
        return {"state": SUBMIT["state"] | {"order_id": "5", "status": status}}

    placed = Record("intent", "v", "y", None, "mine", SUBMIT)
    before = [placed, happened("confirmed", "y", outcome="confirmed", **order("new"))]
    asked = [a_cancel(Cancel("v", "5"), sent=1), happened("refused", outcome="refused", text="not now")]
    await put(journal, *before, *asked, happened("execution", "y", event={}, **order("canceled")))
    report = answer(journal, "x").report
    assert [each.status for each in report.orders] == [OrdStatus.NEW]
    assert report.status is OrdStatus.NEW
