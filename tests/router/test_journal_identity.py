"""Which journal it is and whether somebody writes to it: told of a file that is closed, open here, open elsewhere, or gone."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys

import apsw
import pytest

from router.errors import JournalBusy, JournalDamaged, JournalError
from router.journal import Journal
from router.journal import file as journalfile
from router.journal.compact import compact
from router.journal.identity import identity
from router.journal.lock import Lock
from router.model import process_prefix
from router.record import Record
from tests.router.test_journal import OPENING


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j"


async def run(path, epoch=0, records=()):
    journal = Journal(path, "process")
    await journal.open(epoch)
    for record in records:
        assert await journal.written(journal.put(record), 5)
    await journal.close()


async def test_there_is_none(path):
    assert identity(path) is None
    assert list(path.parent.iterdir()) == []


async def test_its_name_stays_and_its_epoch_is_the_highest(path):
    await run(path)
    first = identity(path)
    assert first.id.startswith(process_prefix())
    assert (first.epoch, first.is_held) == (0, False)
    for epoch in (3, 9, 0, 4):
        await run(path, epoch)
    assert identity(path) == identity(str(path))
    assert (identity(path).id, identity(path).place, identity(path).epoch) == (first.id, first.place, 9)


@pytest.mark.parametrize("epoch", [-1, 2**63, 1.0, True, "1", None])
async def test_what_is_no_epoch_is_refused(path, epoch):
    with pytest.raises(ValueError, match="epoch was"):
        await Journal(path).open(epoch)
    assert not path.exists()


async def test_the_greatest_epoch_is_kept(path):
    await run(path, 2**63 - 1)
    assert identity(path).epoch == 2**63 - 1


async def test_two_journals_of_one_process_have_two_names(path, tmp_path):
    await asyncio.gather(run(path), run(tmp_path / "k"))
    assert identity(path).id != identity(tmp_path / "k").id


async def test_a_copy_has_its_name_and_another_place(path, tmp_path):
    await run(path)
    shutil.copy(path, tmp_path / "copy")
    one, other = identity(path), identity(tmp_path / "copy")
    assert one.id == other.id
    assert one.place != other.place


async def test_after_a_restart_of_the_machine_it_is_in_another_place(path, monkeypatch):
    await run(path)
    before = identity(path)
    monkeypatch.setattr("router.journal.lock._BOOT", "another")
    assert (identity(path).id, identity(path).place != before.place) == (before.id, True)


async def test_compaction_changes_neither(path):
    story = [Record("execution", "v", None, "1", None, {}, 5.0)] * 100
    await run(path, 5, story)
    before = identity(path)
    assert compact(path, 1).entries == 99
    assert identity(path) == before


async def test_it_is_held_by_this_process(path):
    journal = Journal(path)
    await journal.open(2)
    assert (identity(path).is_held, identity(path).epoch) == (True, 2)
    assert await journal.written(journal.put(Record("execution", "v")), 5)
    with pytest.raises(JournalBusy):
        await Journal(path).open()
    await journal.close()
    assert not identity(path).is_held


async def test_it_is_held_by_another_process_until_that_is_dead(path):
    arguments = (sys.executable, "-c", OPENING, str(path))
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    assert await process.stdout.readline() == b"open\n"
    found = identity(path)
    assert found.is_held
    process.send_signal(signal.SIGKILL)
    await process.wait()
    after = identity(path)
    assert (after.is_held, after.id, after.place) == (False, found.id, found.place)


async def test_where_nothing_can_tell_it_is_held(path):
    await run(path)
    lock = path.with_name("j-lock")
    lock.unlink()
    assert not identity(path).is_held
    lock.symlink_to("elsewhere")
    assert identity(path).is_held


async def test_one_that_was_never_written_to_has_no_name(path, monkeypatch):
    def fail(*_):
        raise OSError("no room")

    with monkeypatch.context() as patched:
        patched.setattr("router.journal.writer._Hold._begin", fail)
        with pytest.raises(JournalError):
            await run(path)
    assert path.exists()
    assert identity(path) is None


async def test_what_is_no_journal_is_an_error(path):
    path.write_bytes(b"x" * 5000)
    with pytest.raises(JournalDamaged):
        identity(path)
    assert [each.name for each in path.parent.iterdir()] == ["j"]


async def test_whoever_looks_holds_up_nobody_who_opens_it(path):
    """The look is a lock for a moment: one that comes at that moment tries again."""
    await run(path)
    onlooker = os.open(f"{path}-lock", os.O_RDONLY)
    fcntl.flock(onlooker, fcntl.LOCK_SH)
    assert not identity(path).is_held  # two may look at once
    opening = asyncio.ensure_future(asyncio.to_thread(Lock, path, "j"))
    await asyncio.sleep(0)
    os.close(onlooker)
    (await opening).release()


async def test_opening_and_looking_at_once_never_fails(path):
    await run(path)
    loop = asyncio.get_running_loop()
    looking = loop.run_in_executor(None, lambda: [looked(path) for _ in range(150)])
    runs = 0
    while not looking.done():
        await run(path, runs)
        runs += 1
    assert {True, False} >= set(await looking)
    assert runs > 3


def looked(path):
    try:
        return identity(path).is_held
    except JournalError:  # it is being looked through
        return True


async def test_an_epoch_never_changes(path):
    journal = Journal(path)
    await journal.open(5)
    with contextlib.closing(journalfile.connect(path, "FULL")) as db:
        for change in ("epoch = 6", "epoch = 0, closed = 1", "epoch = NULL"):
            with pytest.raises(apsw.ConstraintError):
                db.execute(f"UPDATE run SET {change}")  # noqa: S608 - ours
    await journal.close()
    assert identity(path).epoch == 5
