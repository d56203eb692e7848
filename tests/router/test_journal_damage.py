"""A journal that is not as it was written is told of and left alone, byte for byte; one that opens has all that was in it.

A killed process is made by copying the files as they are while the journal is open.
"""

import asyncio
import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from router.errors import JournalBusy, JournalDamaged, JournalError
from router.journal import Journal
from router.journal import file as journalfile
from router.journal import reading as journalreading
from router.record import Record

SECTOR = 512
FLIPS = 250
STATE = {"venue": "v", "order_id": None, "status": "pending_new", "quantity": "1"}
TOLD = "Until then orders can be cancelled without it"
SEED = int(os.environ.get("JOURNAL_SEED", "5"))


def intent(op, verb, **facts):
    return Record("intent", "v", op, None, f"c-{op}", {"verb": verb, "account": "a", "symbol": "S"} | facts)


def told(what, op, order_id=None, **facts):
    return Record(what, "v", op, order_id, None, facts)


def story(begin):
    """Operations of every kind, in every state, and orders of others."""
    names = [f"{number:032d}" for number in range(begin, begin + 20)]
    for op in names[:12]:
        yield intent(op, "submit", state=STATE)
    for op in names[:8]:
        yield told("confirmed", op, f"o-{op}", state=STATE | {"status": "new", "order_id": f"o-{op}"}, text="é" * 20)
    for op, status in zip(names[:4], ("filled", "canceled", "expired", "partially_filled"), strict=True):
        yield told("execution", op, f"o-{op}", state=STATE | {"status": status}, event={"exec_type": status})
    yield told("not_sent", names[8], text="too late")
    yield told("refused", names[9], state=STATE | {"status": "rejected"})
    yield told("unknown", names[10], text="no answer")
    for op, verb in zip(
        names[12:], ("cancel", "cancel", "replace", "replace", "cancel_all", "cancel_all") * 2, strict=False
    ):
        yield intent(op, verb, targets=["o-1", "o-2"])
    for op in names[12::2]:
        yield told("unknown", op)
        yield told("resolved", op, outcome="confirmed", text="the venue says so")
    yield Record("execution", "v", None, "foreign", None, {"event": {"exec_type": "new"}})


async def write(journal, begin):
    for record in story(begin):
        number = journal.put(record)
    assert await journal.written(number, 5), journal.fault


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The files that a killed process leaves: some of it in the file, some of it in the write-ahead log."""
    folder = tmp_path_factory.mktemp("journal")

    async def make():
        journal = Journal(folder / "j")
        await journal.open()
        await write(journal, 0)
        await journal.close()
        await journal.open()
        await write(journal, 20)
        await write(journal, 40)
        shutil.copytree(folder, folder / "killed")
        await journal.close()

    asyncio.run(make())
    assert Path(folder / "killed" / "j-wal").stat().st_size
    return folder / "killed"


@pytest.fixture(scope="module")
def closed(killed, tmp_path_factory):
    """The same, closed as it should be."""
    folder = tmp_path_factory.mktemp("closed") / "closed"
    shutil.copytree(killed, folder)
    asyncio.run(reopen(folder / "j"))
    assert sorted(path.name for path in folder.iterdir()) == ["j", "j-lock"]
    return folder


async def reopen(path):
    journal = Journal(path, "process")
    await journal.open()
    await journal.close()


async def content(path):
    """Everything of it, read by opening it as a Router does."""
    journal = Journal(path, "process")
    kept = await journal.open()
    await journal.close()
    db = journalfile.reader(path)
    try:
        return kept, list(journalreading.entries(db))
    finally:
        db.close()


@pytest.fixture(scope="module")
def whole(killed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "f"
    shutil.copytree(killed, folder)
    return asyncio.run(content(folder / "j"))


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


async def attempt(folder, whole, *, must_fail=False):
    """Open it. True: it was refused, and nothing was changed. False: it held what the undamaged one holds."""
    before = snapshot(folder)
    try:
        found = await content(folder / "j")
    except JournalDamaged as error:
        assert snapshot(folder) == before
        assert TOLD in str(error)  # noqa: PT017 - it may be raised or not
        return True
    assert not must_fail
    assert found == whole
    return False


def test_the_story_has_everything_in_it(whole):
    kept, entries = whole
    assert {each.verb for each in kept} == {"submit", "cancel", "replace", "cancel_all"}
    assert {each.state for each in kept} >= {"intent", "unknown", "confirmed"}
    assert [each.number for each in entries] == list(range(1, len(entries) + 1))
    assert len(entries) > 100


@pytest.mark.parametrize("which", ["j", "j-wal"])
async def test_a_flipped_bit_is_noticed_or_harmless(which, killed, closed, whole, tmp_path):
    """Of a killed process's files, and of the file of one that ended as it should."""
    chance = random.Random(f"{SEED} {which}")  # noqa: S311 - a seed repeats it
    noticed = 0
    for number in range(FLIPS):
        folder = tmp_path / str(number)
        shutil.copytree(closed if which == "j" and number % 2 else killed, folder)
        data = bytearray((folder / which).read_bytes())
        bit = chance.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        (folder / which).write_bytes(data)
        try:
            noticed += await attempt(folder, whole)
        except BaseException:
            print(f"JOURNAL_SEED={SEED} {which} bit {bit} (byte {bit // 8}) in {folder}")  # noqa: T201
            raise
        shutil.rmtree(folder)
    assert noticed > FLIPS // 20


async def test_every_bit_of_the_header_is_noticed_or_harmless(closed, whole, tmp_path):
    data = (closed / "j").read_bytes()
    noticed = 0
    for byte in range(100):
        for bit in (0, 1):
            folder = tmp_path / f"{byte}-{bit}"
            shutil.copytree(closed, folder)
            changed = bytearray(data)
            changed[byte] ^= 1 << bit
            (folder / "j").write_bytes(changed)
            noticed += await attempt(folder, whole)
            shutil.rmtree(folder)
    assert noticed > 70


@pytest.mark.parametrize("of", ["killed", "closed"])
async def test_a_journal_that_was_cut_short_is_refused(of, killed, closed, whole, tmp_path):
    source = killed if of == "killed" else closed
    size = (source / "j").stat().st_size
    for length in range(0, size, SECTOR):
        folder = tmp_path / str(length)
        shutil.copytree(source, folder)
        os.truncate(folder / "j", length)
        await attempt(folder, whole, must_fail=of == "closed" or length == 0)
        shutil.rmtree(folder)
    assert size > 20 * SECTOR


async def test_a_log_that_was_cut_short_is_refused(killed, whole, tmp_path):
    size = (killed / "j-wal").stat().st_size
    lengths = [0, 1, 31, 32, *range(32, size, 24 + 4096), *range(0, size, 40 * SECTOR)]
    for number, length in enumerate(lengths):
        folder = tmp_path / str(number)
        shutil.copytree(killed, folder)
        os.truncate(folder / "j-wal", length)
        await attempt(folder, whole, must_fail=True)
        shutil.rmtree(folder)
    assert len(lengths) > 20


async def lost(folder, killed, closed):
    (folder / "j-wal").unlink()


async def no_file(folder, killed, closed):
    (folder / "j").unlink()


async def nothing_but_the_lock(folder, killed, closed):
    (folder / "j").unlink()
    (folder / "j-wal").unlink()


async def an_old_backup(folder, killed, closed):
    """Of the first run, under the log of the second."""
    backup = folder.parent / "backup"
    journal = Journal(backup)
    await journal.open()
    await write(journal, 0)
    await journal.close()
    shutil.copy(backup, folder / "j")


async def an_old_backup_alone(folder, killed, closed):
    await an_old_backup(folder, killed, closed)
    (folder / "j-wal").unlink()
    (folder / "j-shm").unlink()


async def another_database(folder, killed, closed):
    (folder / "j").unlink()
    (folder / "j-wal").unlink()
    db = sqlite3.connect(folder / "j")
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()


async def text(folder, killed, closed):
    (folder / "j").write_text("dear diary, " * 100)


async def short_text(folder, killed, closed):
    (folder / "j").write_text("x")


async def empty(folder, killed, closed):
    (folder / "j").write_bytes(b"")


async def a_hot_journal(folder, killed, closed):
    (folder / "j-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))


async def a_changed_trigger(folder, killed, closed):
    change(folder, "DROP TRIGGER operation_forward")


async def a_moved_operation(folder, killed, closed):
    change(folder, "DROP TRIGGER operation_forward", "UPDATE operation SET state = 'confirmed' WHERE state = 'unknown'")


async def a_changed_entry(folder, killed, closed):
    change(folder, "DROP TRIGGER entry_is_kept", "UPDATE entry SET facts = '{}' WHERE number = 3")


async def a_dead_order(folder, killed, closed):
    change(folder, "UPDATE own_order SET live = 0")


async def a_forgotten_order(folder, killed, closed):
    change(folder, "DROP TRIGGER live_order_stays", "DELETE FROM own_order")


async def an_invented_operation(folder, killed, closed):
    change(folder, "INSERT INTO operation VALUES ('zz', 1, 'v', 'a', 'cancel', null, null, null, 'intent', 1, 1)")


async def an_invented_order(folder, killed, closed):
    change(folder, "INSERT INTO own_order VALUES ('00', 'v', null, null, 'new', 1, '{}', 1)")


def change(folder, *statements):
    """By hand, with the sqlite3 that is there; the schema is left as it was, where a trigger was in the way."""
    db = sqlite3.connect(folder / "j", isolation_level=None)
    made = dict(db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"))
    for statement in statements:
        db.execute(statement)
    if len(statements) > 1:
        db.execute(made[statements[0].split()[-1]])
    db.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lost,
        no_file,
        nothing_but_the_lock,
        an_old_backup,
        an_old_backup_alone,
        another_database,
        text,
        short_text,
        empty,
        a_hot_journal,
        a_changed_trigger,
        a_moved_operation,
        a_changed_entry,
        a_dead_order,
        a_forgotten_order,
        an_invented_operation,
        an_invented_order,
    ],
    ids=lambda spoil: spoil.__name__,
)
async def test_what_is_not_the_journal_that_was_written_is_refused(spoil, killed, closed, whole, tmp_path):
    folder = tmp_path / "f"
    shutil.copytree(killed, folder)
    await spoil(folder, killed, closed)
    await attempt(folder, whole, must_fail=True)


async def test_without_its_lock_it_opens_as_it_is(killed, whole, tmp_path):
    for number, words in enumerate((None, b"", b"\xff\x00 garbage", b"1 2 3 4 5", b"x" * 5000)):
        folder = tmp_path / str(number)
        shutil.copytree(killed, folder)
        (folder / "j-lock").unlink()
        if words is not None:
            (folder / "j-lock").write_bytes(words)
        assert await content(folder / "j") == whole


async def test_a_power_cut_may_take_what_only_the_process_was_promised(killed, tmp_path, monkeypatch):
    """Not within one start of the machine: then the log was lost in another way."""
    folder = tmp_path / "f"
    shutil.copytree(killed, folder)
    journal = Journal(folder / "j", "process")
    await journal.open()
    await write(journal, 60)
    shutil.copy(folder / "j-lock", folder / "lock")
    await journal.close()
    for end in ("", "-wal"):
        shutil.copy(killed / f"j{end}", folder / f"j{end}")
    shutil.copy(folder / "lock", folder / "j-lock")
    with pytest.raises(JournalDamaged, match="the entries after it are lost"):
        await content(folder / "j")
    monkeypatch.setattr("router.journal.lock._BOOT", "another")
    kept, _ = await content(folder / "j")
    assert kept


async def test_a_newer_version_is_not_touched(closed, tmp_path):
    folder = tmp_path / "f"
    shutil.copytree(closed, folder)
    db = sqlite3.connect(folder / "j")
    db.execute("PRAGMA user_version = 7")
    db.execute("CREATE TABLE newer (x)")
    db.close()
    before = snapshot(folder)
    with pytest.raises(JournalError, match="newer version of venue-router") as caught:
        await content(folder / "j")
    assert not isinstance(caught.value, JournalDamaged)
    assert snapshot(folder) == before


def a_directory(path):
    path.mkdir()


def a_fifo(path):
    os.mkfifo(path)


def a_link_to_nowhere(path):
    path.symlink_to(path.parent / "nowhere" / "j")


@pytest.mark.parametrize("make", [a_directory, a_fifo, a_link_to_nowhere], ids=lambda make: make.__name__)
async def test_what_is_no_file_does_not_hang(make, tmp_path):
    make(tmp_path / "j")
    async with asyncio.timeout(5):
        with pytest.raises(JournalError, match=r"it is no file|no such folder"):
            await Journal(tmp_path / "j").open()
    assert [path.name for path in tmp_path.iterdir()] == ["j"]


async def test_a_hard_link_is_refused_and_a_symlink_followed(closed, whole, tmp_path):
    folder = tmp_path / "f"
    shutil.copytree(closed, folder)
    (tmp_path / "link").symlink_to(folder / "j")
    assert await content(tmp_path / "link") == whole
    journal = Journal(tmp_path / "link")
    await journal.open()
    with pytest.raises(JournalBusy, match="this process has it open"):
        await Journal(folder / "j").open()
    await journal.close()
    os.link(folder / "j", tmp_path / "hard")
    for name in (folder / "j", tmp_path / "hard"):
        with pytest.raises(JournalError, match="more than one name"):
            await Journal(name).open()


async def test_a_reader_beside_it_is_no_reason_not_to_look(killed, whole, tmp_path):
    folder = tmp_path / "f"
    shutil.copytree(killed, folder)
    db = journalfile.reader(folder / "j")
    with db:
        seen = list(journalreading.entries(db))
        journal = Journal(folder / "j")
        assert await journal.open() == whole[0]
        await write(journal, 80)
        assert seen == whole[1] == list(journalreading.entries(db))
    db.close()
    await journal.close()
