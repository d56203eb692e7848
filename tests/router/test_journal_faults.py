"""A disk that is full, broken, slow or read-only: submits are not sent and say why, cancels go, and nobody waits beyond a deadline.

On the QFEX simulator over real sockets. The disk's faults are made by a layer of SQLite's own between it and the files, and by a
small disk that is really full where the tests may mount one.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import threading
from types import SimpleNamespace

import apsw
import pytest
from attrs import evolve

from adapters.qfex.codec import SPEC, QfexCodec
from adapters.qfex.simulator import QfexSimulator
from router import Order, Outcome, Router
from router.errors import JournalDamaged, JournalError
from router.journal import Journal
from router.journal.fault import explain
from router.journal.file import reader
from router.journal.reading import entries
from router.record import Record
from router.session import Session

BLOCK = bytes(4096)


class Disk(apsw.VFS):
    """The files as they are, with faults. full, broken: what is written and synced fails so; hangs: a sync waits for going."""

    def __init__(self):
        self.full = self.broken = False
        self.going = threading.Event()
        self.going.set()
        self.hung = threading.Event()
        self.base = apsw.vfs_names()[0]
        super().__init__("faulty", base=self.base, makedefault=True)

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's name
        return File(self, name, flags)

    def fault(self):
        if self.full:
            raise apsw.FullError("injected")
        if self.broken:
            raise apsw.IOError("injected")


class File(apsw.VFSFile):
    def __init__(self, disk, name, flags):
        self.disk = disk
        super().__init__(disk.base, name, flags)

    def xWrite(self, data, offset):  # noqa: N802 - SQLite's name
        self.disk.fault()
        super().xWrite(data, offset)

    def xSync(self, flags):  # noqa: N802 - SQLite's name
        if not self.disk.going.is_set():
            self.disk.hung.set()
            self.disk.going.wait(20)
        self.disk.fault()
        super().xSync(flags)


@pytest.fixture
def disk():
    made = Disk()
    yield made
    made.going.set()
    made.unregister()


@pytest.fixture
async def sim():
    async with QfexSimulator() as simulator:
        yield simulator


def router(sim, journal, **options):
    spec = evolve(SPEC, url=sim.url, quiet_period=0.2)
    session = Session(QfexCodec(spec=spec, public_key=sim.public_key, secret_key=sim.secret_key))
    return Router({"qfex": session}, journal=journal, **options)


def limit():
    return Order("qfex", "AAPL-USD", "buy", "limit", "1", "150")


async def place_unjournaled(sim):
    """An order that is open at the venue."""
    async with router(sim, None) as one:
        report = await one.submit(limit())
    assert report.ok
    return report.order_id


async def only_cancels(one, sim, order_id, why):
    """Submits are refused in clear words before anything is sent; a cancel is done, and says that it was not written."""
    open_before = set(sim.book)
    refused = await one.submit(limit())
    assert refused.outcome is Outcome.NOT_SENT
    assert why in refused.text
    assert refused.journaled is not True
    assert set(sim.book) == open_before
    gone = await one.cancel("qfex", order_id, symbol="AAPL-USD")
    assert gone.outcome is Outcome.CONFIRMED
    assert gone.journaled is False
    assert set(sim.book) == open_before - {order_id}


async def refused_at_open(sim, journal, error, why):
    """strict: it raises. Otherwise cancels go."""
    order_id = await place_unjournaled(sim)
    with pytest.raises(error, match=why) as caught:
        await router(sim, journal).open()
    assert caught.value.path == str(journal)
    async with router(sim, journal, strict=False) as one:
        await only_cancels(one, sim, order_id, caught.value.text)


# -- as it is opened


async def test_full_as_it_is_opened(disk, sim, tmp_path):
    disk.full = True
    await refused_at_open(sim, tmp_path / "j", JournalError, "the disk is full; free some space")
    assert "j" not in {path.name for path in tmp_path.iterdir()}


async def test_broken_as_it_is_opened(disk, sim, tmp_path):
    await close_empty(tmp_path / "j")
    disk.broken = True
    await refused_at_open(sim, tmp_path / "j", JournalError, "the disk does not work")


async def test_damaged_as_it_is_opened(sim, tmp_path):
    await close_empty(tmp_path / "j")
    os.truncate(tmp_path / "j", 8192)
    before = (tmp_path / "j").read_bytes()
    await refused_at_open(sim, tmp_path / "j", JournalDamaged, "router journal check")
    assert (tmp_path / "j").read_bytes() == before


async def test_a_read_only_file_is_not_written_not_even_by_root(sim, tmp_path):
    await close_empty(tmp_path / "j")
    (tmp_path / "j").chmod(0o444)
    before = (tmp_path / "j").read_bytes()
    await refused_at_open(sim, tmp_path / "j", JournalError, r"it is read-only; .*chmod u\+w")
    assert (tmp_path / "j").read_bytes() == before


async def test_a_read_only_folder_is_not_written_not_even_by_root(sim, tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    await close_empty(folder / "j")
    folder.chmod(0o555)
    try:
        await refused_at_open(sim, folder / "j", JournalError, "its folder is read-only")
        assert sorted(path.name for path in folder.iterdir()) == ["j", "j-lock"]
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("name", ["missing/j", "file/j"])
async def test_a_folder_that_is_not_there(name, sim, tmp_path):
    (tmp_path / "file").write_text("")
    await refused_at_open(sim, tmp_path / name, JournalError, "make the folder, or name another")


@contextlib.contextmanager
def mounted(folder, options):
    """A small disk in memory."""
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root may mount a disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)  # noqa: S603, S607
    if done.returncode:
        pytest.skip(f"a disk can't be mounted here: {done.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S603, S607


async def test_a_disk_that_is_mounted_read_only(sim, tmp_path):
    with mounted(tmp_path, "size=4m"):
        await close_empty(tmp_path / "j")
        remount = ["mount", "-o", "remount,ro", tmp_path]
        await asyncio.to_thread(subprocess.run, remount, check=True)
        await refused_at_open(sim, tmp_path / "j", JournalError, "it is read-only")


async def test_a_disk_that_is_really_full(sim, tmp_path):
    order_id = await place_unjournaled(sim)
    with mounted(tmp_path, "size=1m"):
        async with router(sim, tmp_path / "j") as one:
            first = await one.submit(limit())
            assert first.journaled
            fill(tmp_path / "ballast")
            await until_it_notices(one)
            await only_cancels(one, sim, order_id, "the disk is full; free some space on it")
        (tmp_path / "ballast").unlink()
        async with router(sim, tmp_path / "j") as one:
            assert (await one.submit(limit())).journaled
            (row,) = [row for row in await one.open_orders("qfex") if row.order_id == first.order_id]
            assert row.own


async def test_a_full_disk_has_no_room_for_a_new_one(sim, tmp_path):
    with mounted(tmp_path, "size=64k"):
        fill(tmp_path / "ballast")
        await refused_at_open(sim, tmp_path / "j", JournalError, "the disk is full|free some space")
        assert not (tmp_path / "j").exists()


async def test_a_full_disk_is_called_that_and_what_is_on_it_can_be_read(sim, tmp_path):
    path = tmp_path / "j"
    with mounted(tmp_path, "size=400k"):
        async with router(sim, path) as one:
            placed = await one.submit(limit())
        fill(tmp_path / "ballast")
        await refused_at_open(sim, path, JournalError, "it can't be opened: the disk is full; free some space")
        with contextlib.closing(reader(path)) as db:
            assert placed.order_id in {each.order_id for each in entries(db)}


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ({}, "the disk does not work"),
        ({"f_bavail": 0}, "the disk is full; free some space on it"),
        ({"f_favail": 0}, "the disk is full; free some space on it"),
        ({"f_files": 0, "f_favail": 0}, "the disk does not work"),
    ],
)
def test_an_error_on_a_disk_without_room_is_called_that(left, words, monkeypatch, tmp_path):
    room = {"f_blocks": 9, "f_bavail": 9, "f_files": 9, "f_favail": 9} | left
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(**room))
    assert words in explain(apsw.IOError("disk I/O error"), tmp_path / "j")


def fill(path):
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(BLOCK):
            pass


async def until_it_notices(one):
    """A page of its log may still have room in it."""
    for _ in range(200):
        if not (await one.submit(limit())).journaled:
            return
    pytest.fail("the disk was not full")


LIMITED = """
import asyncio, signal, sys
from router.journal import Journal
from router.journal.fault import explain
from router.journal.file import reader
from router.journal.reading import entries
from router.record import Record
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

async def main():
    journal = Journal(sys.argv[1], "process")
    await journal.open()
    durable = 0
    while not journal.fault:
        number = journal.put(Record("execution", "v", facts={"text": "x" * 2000}))
        durable = number if await journal.written(number, 5) else durable
    print(durable, journal.fault)
    await journal.close()

asyncio.run(main())
"""


async def test_a_file_that_may_not_grow(tmp_path):
    """As with a quota: what was told durable is there afterwards."""
    small = 200_000
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", LIMITED, str(tmp_path / "j")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (small, small)),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    durable, fault = done.stdout.split(maxsplit=1)
    assert int(durable) > 10
    assert "the disk is full" in fault or "the disk does not work" in fault
    journal = Journal(tmp_path / "j", "process")
    await journal.open()
    assert journal.is_durable(int(durable))
    await journal.close()


async def close_empty(path):
    journal = Journal(path)
    await journal.open()
    await journal.written(journal.put(Record("execution", "v", facts={"text": "x" * 20_000})), 5)
    await journal.close()


# -- while it runs


@pytest.mark.parametrize(
    ("fault", "why"), [("full", "the disk is full; free some"), ("broken", "the disk does not work")]
)
async def test_faults_while_it_runs(fault, why, disk, sim, tmp_path):
    path = tmp_path / "j"
    async with router(sim, path) as one:
        placed, other = await one.submit(limit()), await one.submit(limit())
        assert placed.journaled
        setattr(disk, fault, True)
        first = await one.cancel(other)
        assert (first.outcome, first.journaled) == (Outcome.CONFIRMED, False)
        await only_cancels(one, sim, placed.order_id, why)
        refused = await one.submit(limit())
        assert str(path) in refused.text
        assert "open the Router anew" in refused.text
        with pytest.raises(JournalError, match="one writer at a time"):
            await Journal(path).open()  # what this process has sent may still be on its way
    setattr(disk, fault, False)
    async with router(sim, path) as one:
        reports = await one.recovered()
        assert all(report.outcome is not Outcome.UNKNOWN for report in reports)
        assert (await one.submit(limit())).journaled


async def test_a_fault_in_the_very_first_commit(disk, sim, tmp_path):
    order_id = await place_unjournaled(sim)
    async with router(sim, tmp_path / "j") as one:
        disk.full = True
        await only_cancels(one, sim, order_id, "the disk is full")


async def test_a_journal_that_is_taken_away_while_it_is_open(sim, tmp_path):
    for number, name in enumerate(("j", "j-wal", "j-lock")):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with router(sim, folder / "j") as one:
            assert (await one.submit(limit())).journaled
            (folder / name).rename(folder / "away")
            refused = await one.submit(limit())
            assert refused.outcome is Outcome.NOT_SENT
            assert f"{folder / name} was moved" in refused.text


# -- a sync that does not come back


async def test_a_cancel_is_not_held_beyond_its_deadline(disk, sim, tmp_path):
    async with router(sim, tmp_path / "j") as one:
        placed = await one.submit(limit())
        disk.going.clear()
        begun = asyncio.get_running_loop().time()
        gone = await one.cancel(placed, deadline=0.3)
        took = asyncio.get_running_loop().time() - begun
        assert (gone.outcome, gone.journaled) == (Outcome.CONFIRMED, False)
        assert 0.25 < took < 1.0
        assert disk.hung.is_set()
        disk.going.set()


async def test_a_cancel_is_told_as_soon_as_the_disk_goes_on(disk, sim, tmp_path):
    async with router(sim, tmp_path / "j") as one:
        placed = await one.submit(limit())
        disk.going.clear()
        cancel = asyncio.ensure_future(one.cancel(placed, deadline=5))
        await until(lambda: disk.hung.is_set() and placed.order_id not in sim.book)
        assert not cancel.done()
        disk.going.set()
        async with asyncio.timeout(1):
            gone = await cancel
        assert (gone.outcome, gone.journaled) == (Outcome.CONFIRMED, True)


async def test_a_submit_is_not_sent_at_its_deadline_nor_ever(disk, sim, tmp_path):
    async with router(sim, tmp_path / "j") as one:
        await one.submit(limit())
        before = dict(sim.history) | dict(sim.book)
        disk.going.clear()
        refused = await one.submit(limit(), deadline=0.3)
        assert refused.outcome is Outcome.NOT_SENT
        assert "the journal had not written it by the deadline" in refused.text
        disk.going.set()
        after = await one.submit(limit())
        assert after.ok
        assert set(dict(sim.history) | dict(sim.book)) == {*before, after.order_id}


async def test_closing_does_not_wait_for_a_disk_that_hangs(disk, tmp_path, monkeypatch):
    monkeypatch.setattr("router.journal.CLOSING", 0.2)
    journal = Journal(tmp_path / "j")
    await journal.open()
    disk.going.clear()
    told = []
    number = journal.put(Record("execution", "v"))
    journal.when(number, told.append)
    await until(disk.hung.is_set)
    async with asyncio.timeout(2):
        await journal.close()
    assert told == [False]
    assert "the disk hangs" in journal.fault
    assert journal.put(Record("execution", "v")) == 0
    with pytest.raises(JournalError, match="not closed yet"):
        await journal.open()
    disk.going.set()
    await until(journal._writer.ended.done)
    assert told == [False]
    await journal.open()
    assert journal.fault == ""
    await journal.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - another thread, or another process, makes it so
            await asyncio.sleep(0.005)
