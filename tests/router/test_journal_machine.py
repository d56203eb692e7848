"""Commands in any order, with crashes, power cuts, second writers and compaction, on the real SQLite file beside a model of it.

A crash: the process's memory is gone, and its files are taken as they are. A power cut: of each file there is what was last synced,
or what it holds, or something in between; a layer below SQLite remembers what was synced.
"""

# ruff: noqa: S608 - the statements are ours

import asyncio
import contextlib
import os
import shutil
import tempfile
from itertools import count
from pathlib import Path

import apsw
import pytest
from attrs import define
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.errors import JournalBusy
from router.journal import Journal
from router.journal import file as journalfile
from router.journal import reading as journalreading
from router.journal.compact import compact
from router.journal.schema import FINAL
from router.record import Record

VERBS = ("submit", "cancel", "replace", "cancel_all")
ENDED = ("filled", "canceled", "rejected", "expired")
LIVE = ("new", "partially_filled")
OLD = 1_000_000_000.0
MOVING = ("execution", *FINAL)
WORDS = (*["intent"] * 4, "sent", "answer", "lost", "unknown", "execution", "execution", *["confirmed"] * 3, *FINAL)
STEP = st.tuples(
    st.sampled_from(WORDS), st.integers(0, 7), st.sampled_from(("submit", *VERBS)), st.sampled_from((*LIVE * 3, *ENDED))
)
STEPS = st.lists(STEP, min_size=3, max_size=15)
ORDER = {"order_id": None, "status": "pending_new"}


class Disk(apsw.VFS):
    """Remembers what each file held when it was last synced, and syncs nothing. moments: after each write, while recording."""

    def __init__(self):
        self.synced, self.moments = {}, []
        self.recording = None
        self.base = apsw.vfs_names()[0]
        super().__init__("remembering", base=self.base, makedefault=True)

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's name
        return File(self, name, flags)

    def moment(self, folder):
        """Of each file: what was synced, and what it holds."""
        found = {}
        for end in ("", "-wal", "-lock"):
            path = folder / f"j{end}"
            if path.exists():
                found[end] = self.synced.get(path.stat().st_ino, b""), path.read_bytes()
        return found

    def written(self):
        if self.recording is not None:
            self.moments.append(self.moment(self.recording))


class File(apsw.VFSFile):
    def __init__(self, disk, name, flags):
        self.disk = disk
        self.path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        is_new = not self.path.exists()
        super().__init__(disk.base, name, flags)
        if is_new:
            disk.synced.pop(self.path.stat().st_ino, None)

    def xWrite(self, data, offset):  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self.disk.written()

    def xSync(self, flags):  # noqa: N802 - SQLite's name
        with contextlib.suppress(OSError):
            self.disk.synced[self.path.stat().st_ino] = self.path.read_bytes()
        self.disk.written()


@define
class Op:
    """The model of one operation, and of its order where it is a submit."""

    verb: str
    state: str = "intent"
    live: bool = False
    last: int = 0

    @property
    def is_kept(self):
        return self.state in {"intent", "unknown"} or self.live


def add_up(entries):
    """What the entries come to, as the rules of the design say, not as the triggers do."""
    ops = {}
    for number, (what, op, facts) in sorted(entries.items()):
        if what == "intent":
            ops[op] = Op(facts["verb"], live=facts["verb"] == "submit")
        if op in ops:
            _move(ops[op], what, facts.get("state", {}).get("status"))
            ops[op].last = number
    return ops


def _move(op, what, status):
    if what == "unknown" or what in FINAL:
        assert op.state in {"intent", "unknown"}
        op.state = what
    if op.verb == "submit" and (what == "not_sent" or (status in ENDED and what != "intent")):
        op.live = False


class JournalMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.top = Path(tempfile.mkdtemp(prefix="journal-machine-"))
        self.folders, self.names = count(), count(1)
        self.disk = Disk()
        self.entries, self.told = {}, {}
        self.durable = self.last = self.first = 0
        self.leftovers = []

    def run(self, awaitable):
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, 20))

    @initialize()
    def begin(self):
        self.folder = self.top / "0"
        self.folder.mkdir()
        self.open()

    def teardown(self):
        for journal in (*self.leftovers, self.journal):
            self.run(journal.close())
        self.loop.close()
        self.disk.unregister()
        shutil.rmtree(self.top)

    def open(self):
        """Open it, and compare it with the model: a beginning of what was put, with all that was told durable."""
        self.journal = Journal(self.folder / "j")
        kept = self.run(self.journal.open())
        found = self.read()
        last = found[-1].number if found else self.durable
        assert self.durable <= last <= self.last
        self.entries = {number: entry for number, entry in self.entries.items() if number <= last}
        self.durable = self.last = last
        self.compare(found, kept)

    def read(self):
        db = journalfile.reader(self.folder / "j")
        try:
            return list(journalreading.entries(db))
        finally:
            db.close()

    def compare(self, found, kept):
        assert {told.number: (told.what, told.op, dict(told.facts)) for told in found} == self.entries
        numbers = [told.number for told in found]
        assert numbers == sorted(numbers)
        expected = {name: op for name, op in add_up(self.entries).items() if op.is_kept}
        assert {each.op: (each.verb, each.state, each.live) for each in kept} == {
            name: (op.verb, op.state, op.live) for name, op in expected.items()
        }
        for each in kept:
            assert [told.number for told in each.told] == [n for n, (_, op, _) in self.entries.items() if op == each.op]

    # -- what a Router writes

    def put(self, what, op, facts):
        """It is handed over by the next commit."""
        number = self.journal.put(Record(what, "v", op, None, None, facts, OLD), hurry=False)
        assert number == self.last + 1
        self.last = number
        self.entries[number] = (what, op, facts)
        self.told[number] = []
        self.journal.when(number, self.told[number].append)

    @property
    def ops(self):
        return add_up(self.entries)

    def write(self, steps):
        """Each: a word of an entry, which of the operations that can have it, and what happened to the order."""
        for what, pick, verb, status in steps:
            if what == "intent":
                facts = {"verb": verb, "account": "a"} | ({"state": ORDER} if verb == "submit" else {})
                self.put("intent", f"{next(self.names):032d}", facts)
            elif names := self.able(what):
                name = names[pick % len(names)]
                facts = (
                    {"state": {"status": status}}
                    if name in self.able("execution") and what in MOVING
                    else {"text": "é"}
                )
                self.put(what, name, facts)
            elif what == "execution":
                self.put(what, None, {"event": {}})

    def able(self, what):
        """Those that it can be told of. An execution also comes late, to an order that has ended."""
        wanted = {
            "execution": lambda op: op.verb == "submit",
            "unknown": lambda op: op.state == "intent",
        }.get(what, lambda op: op.state in {"intent", "unknown"})
        return sorted(name for name, op in self.ops.items() if wanted(op))

    @rule(steps=STEPS)
    def put_some(self, steps):
        self.write(steps)

    @rule(steps=STEPS)
    def put_and_commit(self, steps):
        self.write(steps)
        self.commit()

    @rule(steps=STEPS)
    def put_and_close(self, steps):
        self.write(steps)
        self.close_and_open()

    def hand_over(self):
        self.journal._hand_over()
        self.run(self.journal.written(self.last, 10))
        assert self.journal.fault == ""
        assert self.last == 0 or self.journal.is_durable(self.last)
        assert all(told == [True] for told in self.told.values())

    @rule()
    def commit(self):
        self.hand_over()
        self.durable = self.last
        db = journalfile.reader(self.folder / "j")
        self.compare(list(journalreading.entries(db)), journalreading.kept(db))
        db.close()

    # -- what happens to it

    def move(self, moment):
        """The process is gone, with all that it remembered, and these are its files."""
        self.leftovers.append(self.journal)
        self.told.clear()
        self.folder = self.top / str(next(self.folders) + 1)
        self.folder.mkdir()
        for end, (synced, now) in moment.items():
            path = self.folder / f"j{end}"
            path.write_bytes(now)
            self.disk.synced[path.stat().st_ino] = synced
        self.open()

    @rule(lock=st.booleans())
    def crash(self, lock):
        """With what was put and not yet handed over. lock: it is there afterwards."""
        moment = self.disk.moment(self.folder)
        self.move({end: both for end, both in moment.items() if lock or end != "-lock"})

    @rule(lock=st.booleans(), at=st.floats(0, 1))
    def crash_in_a_commit(self, lock, at):
        """After one of its writes."""
        self.move({end: both for end, both in self.moment_of_commit(at).items() if lock or end != "-lock"})

    @rule(file=st.booleans(), log=st.floats(0, 1), lock=st.booleans(), at=st.floats(0, 1))
    def cut_the_power(self, file, log, lock, at):
        """file, lock: there is what was not synced; log: how much of that there is."""
        moment = self.moment_of_commit(at)
        found = {"": moment[""][file], "-wal": moment["-wal"][0]}
        if log > 0.1:
            synced, now = moment["-wal"]
            shared = next(
                (n for n, (one, other) in enumerate(zip(synced, now, strict=False)) if one != other), len(synced)
            )
            found["-wal"] = now[: shared + int((len(now) - shared) * log)]
        if lock:
            found["-lock"] = moment["-lock"][1]
        self.move({end: (data, data) for end, data in found.items()})

    def moment_of_commit(self, at):
        """Commit what there is; the files after one of the writes. Until then, it was not told."""
        self.disk.moments, self.disk.recording = [self.disk.moment(self.folder)], self.folder
        self.hand_over()
        self.disk.recording = None
        return self.disk.moments[int(at * (len(self.disk.moments) - 1))]

    def close(self):
        """Everything that was put is there."""
        self.run(self.journal.close())
        assert all(told == [True] for told in self.told.values())
        self.told.clear()
        self.durable = self.last
        assert sorted(path.name for path in self.folder.iterdir()) == ["j", "j-lock"]

    @rule()
    def close_and_open(self):
        self.close()
        self.open()

    @rule()
    def second_writer(self):
        with pytest.raises(JournalBusy):
            self.run(Journal(self.folder / "j").open())
        with pytest.raises(JournalBusy):
            compact(self.folder / "j", 0)

    @rule()
    def make_smaller(self):
        self.close()
        done = compact(self.folder / "j", 3600)
        over = {name for name, op in self.ops.items() if not op.is_kept and op.last != self.last}
        before = len(self.entries)
        self.entries = {
            number: entry
            for number, entry in self.entries.items()
            if number == self.last or not (entry[1] in over or entry[1] is None)
        }
        assert (done.operations, done.entries) == (len(over), before - len(self.entries))
        self.open()

    @precondition(lambda self: self.ops)
    @rule(data=st.data())
    def mistake(self, data):
        """Whatever is not a step forward is refused, and is the end of this journal; what was durable stays."""
        name = data.draw(st.sampled_from(sorted(self.ops)))
        whats = ["intent"] if self.ops[name].state not in FINAL else ["intent", *FINAL]
        what = data.draw(st.sampled_from(whats))
        facts = {"verb": self.ops[name].verb, "account": "a", "state": ORDER}
        number = self.journal.put(Record(what, "v", name, None, None, facts, OLD))
        assert not self.run(self.journal.written(number, 10))
        assert "please report it" in self.journal.fault
        self.run(self.journal.close())
        assert all(told in ([True], [False]) for told in self.told.values())
        self.told.clear()
        self.open()

    @precondition(lambda self: self.durable and self.durable == self.last)
    @rule()
    def tamper(self):
        """SQL itself refuses it, whoever asks."""
        db = apsw.Connection(str(self.folder / "j"))
        db.set_busy_timeout(2000)
        try:
            for statement in self.illegal():
                with pytest.raises(apsw.ConstraintError):
                    db.execute(statement)
        finally:
            db.close()

    def illegal(self):
        number = max(self.entries)
        yield f"UPDATE entry SET facts = '{{}}' WHERE number = {number}"
        yield f"UPDATE entry SET crc = crc + 1 WHERE number = {number}"
        yield f"DELETE FROM entry WHERE number = {number}"
        yield "DELETE FROM run"
        yield "UPDATE run SET opened = 0"
        yield "UPDATE run SET epoch = epoch + 1"
        for skipped in (0, number, number + 2):
            yield f"INSERT OR REPLACE INTO entry VALUES ({skipped}, 1, 1, null, 'v', 'lost', null, null, '{{}}', 1)"
        for name, op in self.ops.items():
            yield f"UPDATE operation SET state = 'intent' WHERE op = '{name}'"
            yield f"UPDATE operation SET op = 'x' WHERE op = '{name}'"
            yield f"INSERT OR REPLACE INTO operation SELECT * FROM operation WHERE op = '{name}'"
            yield f"DELETE FROM entry WHERE op = '{name}'"
            if op.state in FINAL:
                yield f"UPDATE operation SET state = 'unknown' WHERE op = '{name}'"
                yield from (f"UPDATE operation SET state = '{state}' WHERE op = '{name}'" for state in FINAL)
            else:
                yield f"DELETE FROM operation WHERE op = '{name}'"
            if op.verb == "submit" and not op.live:
                yield f"UPDATE own_order SET live = 1 WHERE op = '{name}'"
            if op.verb == "submit" and op.is_kept:
                yield f"DELETE FROM own_order WHERE op = '{name}'"
            if op.verb == "submit":
                yield f"INSERT OR REPLACE INTO own_order SELECT * FROM own_order WHERE op = '{name}'"
                yield f"DELETE FROM operation WHERE op = '{name}'"

    @invariant()
    def numbers_have_no_gap(self):
        """Of those that were put since it was last made smaller."""
        assert not self.entries or max(self.entries) == self.last


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """Nothing is handed over by the clock, so that the same steps always do the same."""
    monkeypatch.setattr("router.journal.LAZY", 1000)


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(
    max_examples=int(os.environ.get("JOURNAL_EXAMPLES", "50")),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
