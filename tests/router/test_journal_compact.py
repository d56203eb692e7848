"""A journal made smaller holds what is in doubt, what may be open and what is young, also when it is killed on the way."""

import multiprocessing
import os
import random
import shutil
import time

import pytest

from router.errors import JournalBusy, JournalDamaged, JournalError
from router.journal import Journal
from router.journal import file as journalfile
from router.journal import reading as journalreading
from router.journal.compact import compact
from router.record import Record

OLD, YOUNG = 1_000_000_000.0, time.time()
STATE = {"order_id": None, "status": "pending_new"}
ROUNDS = 20


def told(what, op, at=OLD, order_id=None, **facts):
    return Record(what, "v", op, order_id, None, facts, at)


def submit(op, at=OLD):
    return told("intent", op, at, verb="submit", account="a", state=STATE)


def cancel(op, at=OLD):
    return told("intent", op, at, verb="cancel", account="a")


def state(status):
    return {"order_id": "1", "status": status}


async def write(path, records):
    journal = Journal(path, "process")
    await journal.open()
    number = 0
    for record in records:
        number = journal.put(record)
    assert await journal.written(number, 10), journal.fault
    await journal.close()


async def content(path):
    journal = Journal(path, "process")
    kept = await journal.open()
    await journal.close()
    db = journalfile.reader(path)
    entries = list(journalreading.entries(db))
    db.close()
    return kept, entries


STORIES = {
    "ended": [
        submit("ended"),
        told("confirmed", "ended", state=state("new")),
        told("execution", "ended", state=state("filled")),
    ],
    "rejected": [submit("rejected"), told("refused", "rejected", state=state("rejected"))],
    "never": [submit("never"), told("not_sent", "never")],
    "cancelled": [cancel("cancelled"), told("unknown", "cancelled"), told("resolved", "cancelled")],
    "live": [submit("live"), told("confirmed", "live", state=state("new"))],
    "doubt": [submit("doubt"), told("unknown", "doubt")],
    "filled in doubt": [submit("filled in doubt"), told("execution", "filled in doubt", state=state("filled"))],
    "doubted cancel": [cancel("doubted cancel"), told("sent", "doubted cancel")],
    "young": [submit("young"), told("refused", "young", YOUNG, state=state("rejected"))],
    "talked of": [cancel("talked of"), told("confirmed", "talked of"), told("answer", "talked of", YOUNG)],
}
STAYS = {"live", "doubt", "filled in doubt", "doubted cancel", "young", "talked of", "last"}


async def test_only_what_is_over_and_old_goes(tmp_path):
    path = tmp_path / "j"
    others = [Record("execution", "v", None, "x", None, {}, at) for at in (OLD, OLD, YOUNG)]
    last = [cancel("last"), told("confirmed", "last")]
    await write(path, [each for story in STORIES.values() for each in story] + others + last)
    kept, entries = await content(path)
    seen = []
    done = compact(path, 3600, lambda *step: seen.append(step))
    assert (done.operations, done.orders) == (4, 3)
    assert done.entries == len(entries) - len((await content(path))[1]) == 3 + 2 + 2 + 3 + 2
    after_kept, after = await content(path)
    assert after_kept == kept
    assert {each.op for each in after} == {*STAYS, None}
    assert [each for each in entries if each.op in STAYS or (each.op is None and each.at == YOUNG)] == after
    assert seen[-1] == ("making the file smaller", 1, 1)
    assert compact(path, 3600).operations == 0


async def test_what_has_the_client_id_of_a_submit_in_doubt_stays(tmp_path):
    """An order of that name that has ended tells two of them apart."""
    path = tmp_path / "j"
    facts = {"verb": "submit", "account": "a", "state": STATE}
    first, again, other = (
        Record("intent", "v", op, None, client, facts, OLD) for op, client in (("1", "c"), ("2", "c"), ("3", "d"))
    )
    ends = [told("refused", op, state=state("rejected")) for op in ("1", "3")]
    await write(path, [first, ends[0], other, ends[1], again, told("unknown", "2"), cancel("last")])
    assert compact(path, 0).operations == 1
    assert {each.op for each in (await content(path))[1]} == {"1", "2", "last"}


async def test_numbers_go_on_after_it(tmp_path):
    path = tmp_path / "j"
    await write(path, [*STORIES["rejected"], *STORIES["never"]])
    assert compact(path, 0).operations == 1
    await write(path, STORIES["doubt"])
    _, entries = await content(path)
    assert [each.number for each in entries] == [3, 4, 5, 6]


async def test_the_file_gets_smaller(tmp_path):
    path = tmp_path / "j"
    await write(path, bulk(2000))
    done = compact(path, 3600)
    assert done.after < done.before / 10
    assert done.operations == 2000
    assert path.stat().st_size == done.after


def bulk(count):
    for number in range(count):
        op = f"{number:032d}"
        yield submit(op)
        yield told("refused", op, state=state("rejected"), text="no " * 30)
    yield submit("live")


async def test_it_is_the_only_writer(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    await journal.open()
    with pytest.raises(JournalBusy):
        compact(path, 0)
    await journal.close()
    assert compact(path, 0).operations == 0
    with pytest.raises(JournalError, match="no such"):
        compact(tmp_path / "none", 0)
    with pytest.raises(ValueError, match="older_than_seconds"):
        compact(path, -1)


async def test_a_damaged_one_is_left_alone(tmp_path):
    path = tmp_path / "j"
    await write(path, bulk(100))
    os.truncate(path, path.stat().st_size - 4096)
    before = path.read_bytes()
    with pytest.raises(JournalDamaged):
        compact(path, 0)
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["j", "j-lock"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_killed_on_the_way_it_is_as_before_or_as_after(tmp_path):
    """At random moments of the time that it takes."""
    source = tmp_path / "source"
    source.mkdir()
    await write(source / "j", bulk(1500))
    before = await content(source / "j")
    whole = tmp_path / "whole"
    shutil.copytree(source, whole)
    begun = time.perf_counter()
    compact(whole / "j", 3600)
    took = time.perf_counter() - begun
    after = await content(whole / "j")
    assert len(after[1]) == 1
    chance = random.Random(7)  # noqa: S311 - a seed repeats it
    ends = set()
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        shutil.copytree(source, folder)
        kill_after(folder / "j", chance.uniform(0, took * 1.3))
        found = await content(folder / "j")
        assert found in (before, after)
        ends.add(found == after)
        assert (await content(folder / "j")) == found
    assert ends == {True, False}


def compact_in_child(path, pipe):
    pipe.send("go")
    compact(path, 3600)
    os._exit(0)  # nothing of the test's own is to be done twice


def kill_after(path, seconds):
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=compact_in_child, args=(path, theirs))
    child.start()
    assert ours.recv() == "go"
    child.join(seconds)
    child.kill()
    child.join()
    ours.close()
    theirs.close()
