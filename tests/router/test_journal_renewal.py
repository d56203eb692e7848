"""A journal of version 1 is read as it is, and becomes one of this version when it is opened for writing, whole or not at all.

The old tables are data: tests/data/journal_v1.sql. What is in them is copied out of a journal of this version.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import apsw
import pytest

from router import Order, cli
from router.errors import JournalDamaged, JournalError
from router.journal import Journal, renewal
from router.journal import file as journalfile
from router.journal import reading as journalreading
from router.journal.answers import answer
from router.journal.compact import compact
from router.journal.copying import Copier
from router.journal.identity import identity
from router.journal.schema import SCHEMAS
from router.record import Record

OLD = (Path(__file__).parents[1] / "data" / "journal_v1.sql").read_text()
RUN = "run, prefix, pid, host, version, durability, opened, closed"
ROUNDS = 15
STATE = {"venue": "v", "order_id": None, "client_order_id": "mine", "status": "pending_new", "symbol": "S"}


def submit(op, **more):
    command = Order("v", "S", "buy", "limit", "1", "2", client_order_id=op)
    facts = {"verb": "submit", "account": "a", "command": command, "state": STATE, "minted": False, "sent": 0} | more
    return Record("intent", "v", op, None, op, facts)


def told(what, op, **facts):
    return Record(what, "v", op, f"o-{op}", op, facts)


def story():
    for number in range(50):
        op = f"ended-{number}"
        yield submit(op)
        yield told("refused", op, outcome="refused", text="no", state=STATE | {"status": "rejected"})
    yield submit("live")
    yield told("confirmed", "live", outcome="confirmed", text="yes", state=STATE | {"status": "new"})
    yield submit("doubt")
    yield told("unknown", "doubt", text="no answer")


async def write(path, records, epoch=0):
    journal = Journal(path)
    await journal.open(epoch)
    for record in records:
        last = journal.put(record)
    assert await journal.written(last, 5)
    await journal.close()


async def content(path, epoch=0):
    journal = Journal(path)
    kept = await journal.open(epoch)
    await journal.close()
    with contextlib.closing(journalfile.reader(path)) as db:
        return kept, list(journalreading.entries(db))


def version(path):
    with contextlib.closing(journalfile.reader(path)) as db:
        return journalreading.version(db), list(db.execute("PRAGMA integrity_check"))


def tables(db):
    return set(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall())


def as_old(new, old, *, killed=False):
    """The same as version 1 would have it. killed: with its last run in the log."""
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as db:
        db.executescript(f"PRAGMA journal_mode=WAL; {OLD} ATTACH '{new}' AS new")
        db.execute(f"INSERT INTO run SELECT {RUN} FROM new.run")  # noqa: S608 - ours
        for table in ("entry", "operation", "own_order"):
            db.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")  # noqa: S608 - ours
        db.execute("DETACH new")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if killed:
            db.execute("INSERT INTO run VALUES (2, 'p', 7, 'h', '0', 'full', 5, NULL)")
            for end in ("", "-wal"):
                shutil.copy(f"{old}{end}", f"{old}.killed{end}")
    if killed:
        for end in ("", "-wal"):
            Path(f"{old}.killed{end}").replace(f"{old}{end}")
    old.chmod(0o600)
    shutil.copy(f"{new}-lock", f"{old}-lock")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A journal of this version."""
    folder = tmp_path_factory.mktemp("made")
    asyncio.run(write(folder / "j", story()))
    return folder / "j"


@pytest.fixture(params=[False, True], ids=["closed", "killed"])
def old(request, made, tmp_path):
    as_old(made, tmp_path / "j", killed=request.param)
    return tmp_path / "j"


def shown(*arguments):
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err, pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, arguments)))
    return ended.value.code, out.getvalue(), err.getvalue()


def test_the_old_tables_are_those_that_are_known_here():
    one, other = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    one.execute(OLD).fetchall()
    other.execute(SCHEMAS[1]).fetchall()
    assert tables(one) == tables(other)
    one.close()
    other.close()


async def test_what_was_in_it_is_in_it_and_it_has_the_tables_of_a_new_one(old, made, tmp_path):
    assert version(old) == (1, [("ok",)])
    kept, entries = await content(old, epoch=7)
    assert version(old) == (2, [("ok",)])
    shutil.copytree(made.parent, tmp_path / "new")
    assert (kept, entries) == await content(tmp_path / "new" / "j")
    with contextlib.closing(journalfile.reader(old)) as db, contextlib.closing(journalfile.reader(made)) as new:
        assert tables(db) == tables(new)
        epochs = [epoch for (epoch,) in db.execute("SELECT epoch FROM run ORDER BY run")]
        assert (set(epochs[:-1]), epochs[-1]) == ({0}, 7)
        first, same = (each.execute("SELECT * FROM run WHERE run = 1").fetchone() for each in (db, new))
        assert first == same
    await write(old, [submit("more")])
    assert [each.op for each in (await content(old))[0]] == ["live", "doubt", "more"]


async def test_the_head_says_at_once_that_it_is_newer(old):
    """An older program looks there, without the log."""
    journal = Journal(old)
    await journal.open()
    head = old.read_bytes()[60:64]
    await journal.close()
    assert int.from_bytes(head, "big") == 2


async def test_readers_read_both_and_change_neither(old, made):
    before = {path.name: path.read_bytes() for path in old.parent.iterdir()}
    found = {}
    for path in (old, made):
        with contextlib.closing(journalfile.reader(path)) as db:
            entries, kept, epoch = list(journalreading.entries(db)), journalreading.kept(db), journalreading.epoch(db)
        with contextlib.closing(Copier(path)) as copier:
            found[path] = entries, kept, epoch, copier.news(0, 1000), copier.last(), answer(path, "live")
    assert found[old] == found[made]
    assert identity(old).id == identity(made).id
    assert identity(old).epoch == 0
    after = {path.name: path.read_bytes() for path in old.parent.iterdir() if not path.name.endswith("-shm")}
    assert {name: each for name, each in after.items() if each} == before


async def test_whoever_reads_it_meanwhile_goes_on(old):
    with contextlib.closing(Copier(old)) as copier:
        before = copier.news(0, 1000)
        await write(old, [told("execution", "live", event={}, state=STATE)], epoch=6)
        *same, new = copier.news(0, 1000)
    assert same == before
    assert ({each.epoch for each in before}, new.epoch) == ({0}, 6)


def test_every_command_works_on_both(old, made, tmp_path):
    shutil.copytree(made.parent, tmp_path / "new")
    new = tmp_path / "new" / "j"
    for arguments in (["journal", "export"], ["journal", "check", "--json"], ["journal", "compact", "--keep", "0s"]):
        for path in (old, new):
            code, out, err = shown(*arguments, path)
            assert (code, err) == (cli.DONE, ""), arguments
            if "export" in arguments:
                assert [json.loads(line)["number"] for line in out.splitlines()] == list(range(1, 105))
            if "check" in arguments:
                assert json.loads(out)["whole"] is True
    assert shown("journal", "export", old)[1] == shown("journal", "export", new)[1] != ""
    told_of = shown("why", "live", "--journal", new)[1]
    assert "CONFIRMED" in told_of
    assert shown("why", "live", "--journal", old)[1].startswith(told_of.rstrip())
    assert version(old) == version(new) == (2, [("ok",)])


def test_compaction_renews_it(old, tmp_path):
    assert compact(old, 0).operations == 50
    assert version(old) == (2, [("ok",)])


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version = 2",
        "PRAGMA user_version = 0",
        "DROP TRIGGER run_ends_once",
        "ALTER TABLE run ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0",
    ],
)
async def test_one_that_is_neither_is_left_alone(made, tmp_path, change):
    path = tmp_path / "j"
    as_old(made, path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(change)
    before = path.read_bytes()
    with pytest.raises(JournalDamaged):
        await content(path)
    assert path.read_bytes() == before


async def test_a_new_one_that_says_it_is_old_is_damaged(made, tmp_path):
    shutil.copytree(made.parent, tmp_path / "f")
    path = tmp_path / "f" / "j"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(JournalDamaged, match="not as they were made"):
        await content(path)


async def test_one_that_cannot_be_renewed_is_as_it_was(old, monkeypatch):
    def fail(db):
        rewrite(db)
        raise apsw.FullError("no room")

    rewrite = renewal._rewrite
    monkeypatch.setattr(renewal, "_rewrite", fail)
    with pytest.raises(JournalError, match="the disk is full"):
        await content(old)
    assert version(old) == (1, [("ok",)])
    monkeypatch.undo()
    assert len((await content(old))[1]) == 104


# -- killed


def open_in_child(path, pipe, stop):
    if stop:
        rewrite = renewal._rewrite
        renewal._rewrite = lambda db: (rewrite(db), os.kill(os.getpid(), signal.SIGKILL))
    pipe.send("go")
    asyncio.run(content(path))
    os._exit(0)  # nothing of the test's own is to be done twice


def killed(path, seconds, *, stop=False):
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=open_in_child, args=(path, theirs, stop))
    child.start()
    assert ours.recv() == "go"
    child.join(seconds)
    child.kill()
    child.join()
    ours.close()
    theirs.close()
    return child.exitcode


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_killed_before_the_commit_it_is_of_the_old_version_and_whole(old):
    with contextlib.closing(journalfile.reader(old)) as db:
        before = list(journalreading.entries(db))
    assert killed(old, 10, stop=True) == -signal.SIGKILL
    assert version(old) == (1, [("ok",)])
    assert shown("journal", "check", old)[0] == cli.DONE
    with contextlib.closing(journalfile.reader(old)) as db:
        assert tables(db) == made_by(SCHEMAS[1])
        assert list(journalreading.entries(db)) == before
    assert (await content(old))[1] == before
    assert version(old) == (2, [("ok",)])


def made_by(schema):
    with contextlib.closing(apsw.Connection(":memory:")) as db:
        db.execute(schema).fetchall()
        return tables(db)


async def test_killed_after_the_commit_the_log_knows_better_than_the_head(old, tmp_path):
    with contextlib.closing(journalfile.reader(old)) as db:
        before = list(journalreading.entries(db))
    (tmp_path / "killed").mkdir()
    with contextlib.closing(journalfile.connect(old, "FULL")) as db:
        db.execute("BEGIN")
        renewal._rewrite(db)
        db.execute("COMMIT")
        for end in ("", "-wal", "-lock"):
            shutil.copy(f"{old}{end}", tmp_path / "killed" / f"j{end}")
    path = tmp_path / "killed" / "j"
    assert path.read_bytes()[60:64] == bytes([0, 0, 0, 1])
    assert version(path) == (2, [("ok",)])
    assert shown("journal", "check", path)[0] == cli.DONE
    assert (await content(path, epoch=4))[1] == before
    assert identity(path).epoch == 4


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_killed_at_any_moment_it_is_the_one_or_the_other(made, tmp_path):
    as_old(made, tmp_path / "j")
    shutil.copytree(made.parent, tmp_path / "whole")
    begun = time.perf_counter()
    entries = (await content(tmp_path / "whole" / "j"))[1]
    took = time.perf_counter() - begun
    chance = random.Random(3)  # noqa: S311 - a seed repeats it
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        for end in ("", "-lock"):
            shutil.copy(tmp_path / f"j{end}", folder / f"j{end}")
        killed(folder / "j", chance.uniform(0, took * 1.5))
        found, complaints = version(folder / "j")
        assert (found in {1, 2}, complaints) == (True, [("ok",)])
        assert (await content(folder / "j"))[1] == entries
