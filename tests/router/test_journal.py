"""The journal's promises to its callers: numbers, who is told what and when, one writer, and whatever a fact may be."""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from decimal import Decimal
from enum import Enum

import apsw
import pytest

from router.errors import JournalBusy, JournalError
from router.journal import Journal
from router.journal import file as journalfile
from router.journal import reading as journalreading
from router.record import Record


@pytest.fixture
async def journal(tmp_path):
    made = Journal(tmp_path / "j", "process")
    await made.open()
    yield made
    await made.close()


def happened(**facts):
    return Record("execution", "v", facts=facts)


def read(path):
    db = journalfile.reader(path)
    try:
        return list(journalreading.entries(db))
    finally:
        db.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - another thread makes it so
            await asyncio.sleep(0.005)


# -- numbers, and who is told


async def test_everybody_is_told_once_and_in_order(journal):
    told = []
    numbers = [journal.put(happened(), hurry=number % 3 == 0) for number in range(100)]
    for number in reversed(numbers):
        journal.when(number, lambda kept, number=number: told.append((number, kept)))
    assert await journal.written(numbers[-1], 5)
    assert numbers == list(range(1, 101))
    assert told == [(number, True) for number in numbers]
    assert all(map(journal.is_durable, numbers))
    assert [entry.number for entry in read(journal.path)] == numbers


async def test_what_nobody_waits_for_is_written_soon(journal):
    number = journal.put(happened(), hurry=False)
    assert not journal.is_durable(number)
    await until(lambda: journal.is_durable(number))


async def test_those_who_wait_at_once_share_a_commit(journal, monkeypatch):
    waves = []
    written = journal._writer._told
    monkeypatch.setattr(journal._writer, "_told", lambda number: (waves.append(number), written(number)))
    last = 0
    for _ in range(500):
        last = journal.put(happened())
    assert await journal.written(last, 5)
    assert len(waves) < 50


async def test_a_number_that_was_never_given_is_not_waited_for(journal):
    told = []
    for number in (0, -1, 1, 99):
        journal.when(number, told.append)
        assert not journal.is_durable(number)
    assert told == [False] * 4


async def test_a_mistake_in_being_told_is_nobody_elses(journal, caplog):
    told = []
    number = journal.put(happened())
    journal.when(number, lambda _: 1 / 0)
    journal.when(number, told.append)
    assert await journal.written(number, 5)
    assert told == [True]
    assert "a mistake of ours in telling" in caplog.text


async def test_after_a_fault_nothing_is_written_and_everybody_told(journal, caplog):
    told = []
    good = journal.put(happened())
    assert await journal.written(good, 5)
    bad = journal.put(Record("no such word", "v"))
    journal.when(bad, told.append)
    late = journal.put(happened(), hurry=False)
    journal.when(late, told.append)
    assert not await journal.written(bad, 5)
    assert told == [False, False]
    assert journal.put(happened()) == 0
    journal.when(0, told.append)
    assert told == [False] * 3
    assert "please report it" in journal.fault
    assert journal.fault in caplog.text
    assert journal.is_durable(good)
    assert [entry.number for entry in read(journal.path)] == [good]


async def test_a_disk_that_is_far_behind_is_one_that_does_not_work(journal, monkeypatch):
    monkeypatch.setattr("router.journal.MOST_WAITING", 10)
    numbers = [journal.put(happened(), hurry=False) for _ in range(12)]
    assert numbers == [*range(1, 12), 0]
    assert "10 entries behind" in journal.fault
    assert not journal._writer._work


async def test_the_next_run_counts_on(tmp_path):
    journal = Journal(tmp_path / "j", "process")
    for run in range(3):
        await journal.open()
        assert journal.put(happened()) == run + 1
        await journal.close()
        assert journal.fault.endswith("it is closed")
    assert [entry.run for entry in read(tmp_path / "j")] == [1, 2, 3]


async def test_closing_writes_what_lies_about(tmp_path):
    journal = Journal(tmp_path / "j", "process")
    await journal.open()
    told = []
    for _ in range(20):
        journal.when(journal.put(happened(), hurry=False), told.append)
    await journal.close()
    await journal.close()
    assert told == [True] * 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j", "j-lock"]
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


# -- one writer


async def test_a_second_one_is_told_who_has_it(journal, tmp_path, monkeypatch):
    with pytest.raises(JournalBusy, match="this process has it open"):
        await Journal(tmp_path / "j").open()
    with pytest.raises(JournalBusy, match="not closed yet"):
        await journal.open()
    (tmp_path / "link").symlink_to("j")
    monkeypatch.chdir(tmp_path)
    for name in ("link", "j", "./j", f"../{tmp_path.name}/j"):
        with pytest.raises(JournalBusy) as caught:
            await Journal(name).open()
        assert caught.value.path == f"{tmp_path}/{name.removeprefix('./')}"
    assert await journal.written(journal.put(happened()), 5)


OPENING = """
import asyncio, sys
from router.journal import Journal

async def main():
    journal = Journal(sys.argv[1])
    await journal.open()
    print("open", flush=True)
    await asyncio.sleep(30)

asyncio.run(main())
"""


async def test_the_dead_have_no_lock(tmp_path):
    arguments = (sys.executable, "-c", OPENING, str(tmp_path / "j"))
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    assert await process.stdout.readline() == b"open\n"
    with pytest.raises(JournalBusy, match=f"process {process.pid} has it open"):
        await Journal(tmp_path / "j").open()
    process.send_signal(signal.SIGKILL)
    await process.wait()
    journal = Journal(tmp_path / "j")
    await journal.open()
    await journal.close()


def in_a_fork(journal, pipe):
    told = []
    number = journal.put(happened())
    journal.when(number, told.append)
    asyncio.run(journal.close())
    pipe.send((number, told, journal.fault))
    pipe.recv()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_fork_has_neither_the_journal_nor_its_lock(tmp_path):
    journal = Journal(tmp_path / "j", "process")
    await journal.open()
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=in_a_fork, args=(journal, theirs))
    child.start()
    number, told, fault = await asyncio.to_thread(ours.recv)
    assert (number, told) == (0, [False])
    assert "forked" in fault
    assert await journal.written(journal.put(happened()), 5)
    await journal.close()
    await journal.open()  # the child is alive, and does not hold it
    assert await journal.written(journal.put(happened()), 5)
    await journal.close()
    ours.send("end")
    await asyncio.to_thread(child.join)


async def test_an_open_that_is_cancelled_leaves_no_lock(tmp_path, monkeypatch):
    started, going = threading.Event(), threading.Event()
    look_at = journalfile.refuse_damage

    def wait(*arguments):
        started.set()
        going.wait(5)
        look_at(*arguments)

    monkeypatch.setattr(journalfile, "refuse_damage", wait)
    journal = Journal(tmp_path / "j", "process")
    opening = asyncio.ensure_future(journal.open())
    await until(started.is_set)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert journal.put(happened()) == 0
    going.set()
    await journal.close()
    await journal.open()
    assert await journal.written(journal.put(happened()), 5)
    await journal.close()


def test_a_loop_that_is_gone_lets_go_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr("router.journal.writer.LOOKING", 0.02)

    async def leave():
        journal = Journal(tmp_path / "j", "process")
        await journal.open()
        assert await journal.written(journal.put(happened()), 5)
        return journal

    async def come_back():
        journal = Journal(tmp_path / "j", "process")
        async with asyncio.timeout(5):
            while True:
                try:
                    await journal.open()
                except JournalBusy:
                    await asyncio.sleep(0.01)
                else:
                    break
        await journal.close()

    left = asyncio.run(leave())
    asyncio.run(come_back())
    assert left.fault == ""
    assert [entry.number for entry in read(tmp_path / "j")] == [1]


async def test_another_program_that_writes_is_waited_for(journal, monkeypatch):
    monkeypatch.setattr("router.journal.file.BUSY_MILLISECONDS", 10)
    await journal.close()
    await journal.open()
    db = apsw.Connection(str(journal.path))
    db.execute("BEGIN IMMEDIATE")
    number = journal.put(happened())
    assert not await journal.written(number, 0.1)
    assert journal.fault == ""
    db.execute("ROLLBACK")
    assert await journal.written(number, 5)
    db.close()


@pytest.mark.parametrize("name", ["", "a\0b", "\udcff"])
def test_a_name_that_is_none(name):
    with pytest.raises(ValueError, match="it is the name of a file"):
        Journal(name)
    with pytest.raises(ValueError, match="it is 'full' or 'process'"):
        Journal("j", "always")


async def test_odd_names_of_files(tmp_path):
    for name in ("a?b=c&immutable=1", "a#b", "a%20b", "ä ö", "file:x", "'; DROP TABLE entry; --", "-x", "x" * 200):
        journal = Journal(tmp_path / name, "process")
        await journal.open()
        assert await journal.written(journal.put(happened()), 5)
        await journal.close()
        assert len(read(tmp_path / name)) == 1
    with pytest.raises(JournalError, match="File name too long"):
        await Journal(tmp_path / ("x" * 300)).open()


async def test_what_was_interrupted_in_being_made_is_in_nobodys_way(tmp_path):
    for end in ("", "-wal", "-shm", "-journal"):
        (tmp_path / f".j.new{end}").write_bytes(b"half")
    journal = Journal(tmp_path / "j", "process")
    await journal.open()
    await journal.close()
    os.link(tmp_path / "j", tmp_path / ".j.new")  # killed before the second name was removed
    await journal.open()
    await journal.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j", "j-lock"]


# -- whatever a fact may be


class Colour(Enum):
    RED = "red"


class Rude:
    def __str__(self):
        raise RuntimeError("no")


def circle():
    around = {}
    around["again"] = [around]
    return around


ODD = {
    "surrogate": "half \ud800 of it",
    "NUL": "a\0b",
    "long": 2**200,
    "negative": -(2**70),
    "bytes": b"\xff\x00",
    "set": {3},
    "frozen": frozenset({"a"}),
    "nan": Decimal("NaN"),
    "infinite": Decimal("-Infinity"),
    "float": float("nan"),
    "circle": circle(),
    "tuple": (1, (2, None)),
    "keys": {(1, 2): 3, None: 4, 5: 6},
    "half a key": {"\udc00": 1},
    "enum": Colour.RED,
    "object": object(),
    "rude": Rude(),
    "class": Rude,
    "deep": eval("[" * 60 + "]" * 60),  # noqa: S307 - ours
}


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_fact_spoils_nothing(name, tmp_path):
    """Neither the others of its commit nor the journal."""
    path = tmp_path / "j"
    journal = Journal(path, "process")
    await journal.open()
    facts = {"verb": "submit", "account": "a", "state": {"status": "pending_new", "text": "\ud800"}, "odd": ODD[name]}
    journal.put(happened(n=1), hurry=False)
    journal.put(Record("intent", "v", "op", facts=facts), hurry=False)
    assert await journal.written(journal.put(happened(n=3)), 5), journal.fault
    await journal.close()
    (kept,) = await journal.open()
    assert kept.intent.facts["account"] == "a"
    assert "odd" in kept.intent.facts
    assert kept.known["status"] == "pending_new"
    await journal.close()
    assert [entry.facts.get("n") for entry in read(path)] == [1, None, 3]


@pytest.mark.parametrize("odd", ["\ud800", "a\0b", "é\u2028", "", "'; DROP TABLE entry; --", 5, "x" * 10_000])
async def test_an_odd_id_is_found_again(odd, tmp_path):
    path = tmp_path / "j"
    journal = Journal(path, "process")
    await journal.open()
    facts = {"verb": "cancel", "account": odd, "symbol": odd}
    number = journal.put(Record("intent", f"v{odd}", f"op{odd}", odd, odd, facts, 5))
    assert await journal.written(number, 5), journal.fault
    await journal.close()
    (kept,) = await journal.open()
    await journal.close()
    db = journalfile.reader(path)
    (told,) = journalreading.story(db, kept.op)
    assert journalreading.story(db, told.order_id) == [told]
    assert told == kept.intent
    db.close()


async def test_a_time_that_is_none_is_now(journal):
    for at in (float("nan"), float("inf"), -5, 2**40):
        number = journal.put(Record("execution", "v", at=at))
    assert await journal.written(number, 5), journal.fault
    times = [entry.at for entry in read(journal.path)]
    assert times[2:] == [-5.0, float(2**40)]
    assert all(time > 1_700_000_000 for time in times[:2])


# -- who copies it


async def test_whoever_copies_it_is_told_of_each_commit(journal):
    told, waited = [], []
    journal.on_durable = lambda number: told.append((number, journal.is_durable(number)))
    for number in range(1, 4):
        assert journal.put(happened()) == number
        journal.when(number, lambda kept, number=number: waited.append((number, kept, len(told))))
        assert await journal.written(number, 5)
    await until(lambda: len(told) == 3)
    assert told == [(1, True), (2, True), (3, True)]
    assert waited == [(1, True, 0), (2, True, 1), (3, True, 2)]  # those who wait come first


async def test_whoever_copies_it_is_told_of_what_closing_writes(tmp_path):
    journal, told = Journal(tmp_path / "j", "process"), []
    journal.on_durable = told.append
    await journal.open()
    last = max(journal.put(happened(), hurry=False) for _ in range(5))
    await journal.close()
    assert told[-1] == last


async def test_a_mistake_of_whoever_copies_it_is_nobody_elses(journal, caplog):
    journal.on_durable = lambda _: 1 / 0
    assert await journal.written(journal.put(happened()), 5)
    assert await journal.written(journal.put(happened()), 5)
    await until(lambda: caplog.text.count("whoever copies the journal") == 2)
    assert not journal.fault


async def test_after_a_fault_whoever_copies_it_hears_nothing_more(journal, caplog):
    told = []
    assert await journal.written(journal.put(happened()), 5)
    journal.on_durable = told.append
    assert not await journal.written(journal.put(Record("no such word", "v")), 5)
    assert told == []
    assert "please report it" in caplog.text
