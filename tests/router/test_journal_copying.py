"""Whoever copies a journal is told of each outcome and each execution once, in order, beside a writer and across a compaction."""

import asyncio
import contextlib
import json
import multiprocessing
import time

import apsw
import msgspec
import pytest

from adapters.qfex.simulator import QfexSimulator
from router import Event, Outcome, Router
from router.errors import JournalDamaged, JournalError
from router.journal import Journal
from router.journal import file as journalfile
from router.journal.compact import compact
from router.journal.copying import Copier
from router.record import Record
from tests.restarting import durable, limit, qfex

OLD = 1_000_000_000.0
INTENT = {"verb": "cancel", "account": "a", "symbol": "S", "frame": "secret"}


@pytest.fixture
async def journal(tmp_path):
    made = Journal(tmp_path / "j", "process")
    await made.open(3)
    yield made
    await made.close()


@pytest.fixture
async def copier(journal):
    with contextlib.closing(Copier(journal.path)) as made:
        yield made


def told(what, op, at=OLD, **facts):
    return Record(what, "v", op, "7", "mine", facts, at)


async def put(journal, *records):
    for record in records:
        last = journal.put(record)
    assert await journal.written(last, 5)
    return last


async def test_what_came_of_things_is_told_and_nothing_else(journal, copier):
    assert (copier.last(), copier.news(0, 10)) == (0, [])
    story = [told("intent", "x", **INTENT, strategy="alpha"), told("sent", "x", attempt=1), told("lost", "x")]
    story += [told("unknown", "x", text="silence"), told("answer", "x", text="wait", frame="secret")]
    story += [told("resolved", "x", outcome="confirmed", text="gone", status="canceled", reason=None, frame="secret")]
    await put(journal, *story, told("execution", None, event={"exec_type": "new"}, side="buy"))
    doubt, end, execution = copier.news(0, 10)
    assert copier.last() == 7
    assert [(each.number, each.what) for each in (doubt, end, execution)] == [
        (4, "unknown"),
        (6, "resolved"),
        (7, "execution"),
    ]
    assert (end.venue, end.op, end.order_id, end.client_order_id, end.at) == ("v", "x", "7", "mine", OLD)
    assert (end.strategy, end.epoch, execution.strategy, execution.epoch) == ("alpha", 3, "", 3)
    wanted = {"verb": "cancel", "symbol": "S", "outcome": "confirmed", "text": "gone", "status": "canceled"}
    assert json.loads(end.facts) == wanted | {"reason": None}
    assert json.loads(doubt.facts) == {"verb": "cancel", "symbol": "S", "text": "silence"}
    assert json.loads(execution.facts) == {"event": {"exec_type": "new"}, "side": "buy"}


async def test_it_goes_on_where_it_was_and_takes_no_more_than_asked_for(journal, copier):
    await put(journal, *(told("execution", None, event={}) for _ in range(25)))
    seen, after = [], 0
    while len(seen) < 100 and (news := copier.news(after, 10)):
        assert len(news) <= 10
        after = news[-1].number
        seen += [each.number for each in news]
    assert seen == list(range(1, 26))
    await put(journal, told("execution", None, event={}))
    assert [each.number for each in copier.news(25, 10)] == [26]


async def test_each_run_has_its_own_epoch(tmp_path):
    path = tmp_path / "j"
    for epoch in (0, 4, 9):
        journal = Journal(path, "process")
        await journal.open(epoch)
        await put(journal, told("execution", None, event={}))
        await journal.close()
    with contextlib.closing(Copier(path)) as copier:
        assert [each.epoch for each in copier.news(0, 9)] == [0, 4, 9]


async def test_what_a_strategy_hears_is_what_is_copied(qfex_sim: QfexSimulator, tmp_path):
    path = tmp_path / "j"
    async with Router({"qfex": qfex(qfex_sim)}, journal=path) as router:
        stream = router.events()
        first = await router.submit(limit())
        second = await router.submit(limit())
        await qfex_sim.fill(first.order_id)
        cancelled = await router.cancel(second)
        await durable(router)
        with contextlib.closing(Copier(path)) as copier:
            news = copier.news(0, 100)
        events = [json.loads(each.facts)["event"] for each in news if each.what == "execution"]
        assert [msgspec.convert(each, Event) for each in events] == [await anext(stream) for _ in events]
    assert {each["exec_type"] for each in events} >= {"new", "trade", "canceled"}
    ends = [(each.what, json.loads(each.facts)["verb"], each.order_id) for each in news if each.what != "execution"]
    assert ends == [
        ("confirmed", "submit", first.order_id),
        ("confirmed", "submit", second.order_id),
        ("confirmed", "cancel", second.order_id),
    ]
    assert cancelled.outcome is Outcome.CONFIRMED
    assert b"frame" not in b"".join(each.facts for each in news)


async def test_beside_a_writer_nothing_is_left_out_or_told_twice(journal, copier):
    """It is told after each commit, and copies up to there. Checkpoints come in between."""
    total, seen, durable_now = 3000, [], asyncio.Event()
    journal.on_durable = lambda _: durable_now.set()

    async def copy():
        while len(seen) < total:
            await durable_now.wait()
            durable_now.clear()
            while len(seen) <= total and (news := await asyncio.to_thread(copier.news, max(seen, default=0), 200)):
                seen.extend(each.number for each in news)

    async with asyncio.timeout(20):
        copying = asyncio.ensure_future(copy())
        checkpoints = journalfile.connect(journal.path, "OFF")
        for number in range(total):
            journal.put(told("execution", None, event={"text": "x" * 200}), hurry=number % 50 == 0)
            if number % 100 == 0:
                await asyncio.sleep(0)
            if number % 1000 == 999:
                assert await journal.written(journal._number, 5) or journal._number
                checkpoints.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        await copying
        checkpoints.close()
    assert seen == list(range(1, total + 1))


def compact_in_child(path):
    compact(path, 3600)


async def test_a_compaction_by_another_process_leaves_gaps_and_nothing_else(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path, "process")
    await journal.open()
    story = [
        each
        for number in range(500)
        for each in (
            told("intent", f"{number}", **INTENT),
            told("confirmed", f"{number}", time.time() if number % 100 == 0 else OLD, outcome="confirmed"),
        )
    ]
    await put(journal, *story)
    copier = Copier(path)
    first = copier.news(0, 10)
    await journal.close()
    child = multiprocessing.get_context("spawn").Process(target=compact_in_child, args=(path,))
    child.start()
    while child.is_alive():
        copier.news(first[-1].number, 1000)
        await asyncio.sleep(0)
    assert child.exitcode == 0
    left = [each.number for each in copier.news(first[-1].number, 1000)]
    assert left == [202, 402, 602, 802, 1000]
    assert copier.last() == 1000
    await journal.open()
    await put(journal, told("execution", None, event={}))
    assert [each.number for each in copier.news(1000, 10)] == [1001]
    copier.close()
    await journal.close()


async def test_what_is_not_as_it_was_written_is_not_copied(journal, copier):
    await put(journal, *(told("execution", None, event={"text": "right"}) for _ in range(3)))
    db = journalfile.connect(journal.path, "FULL")
    change = "UPDATE entry SET facts = replace(facts, 'right', 'wrong') WHERE number = 2"
    db.execute(f"DROP TRIGGER entry_is_kept; {change}").fetchall()
    db.close()
    with pytest.raises(JournalDamaged, match="entry 2 is not as it was written"):
        copier.news(0, 5)
    assert [each.number for each in copier.news(0, 1)] == [1]
    assert [each.number for each in copier.news(2, 5)] == [3]


async def test_there_must_be_a_journal(tmp_path):
    with pytest.raises(JournalError, match="no such"):
        Copier(tmp_path / "none")


async def test_a_file_that_can_only_be_read_as_it_stands_is_not_copied(tmp_path, monkeypatch):
    """Whoever begins to write to it would not be noticed."""

    def only_as_it_stands(file, flags, parameters=""):
        if not parameters:
            raise apsw.CantOpenError("no -shm")
        return connection(file, flags, parameters)

    journal = Journal(tmp_path / "j", "process")
    await journal.open()
    await journal.close()
    connection = journalfile._connection
    monkeypatch.setattr(journalfile, "_connection", only_as_it_stands)
    journalfile.reader(tmp_path / "j").close()
    with pytest.raises(JournalError, match="does not let it be opened"):
        Copier(tmp_path / "j")
