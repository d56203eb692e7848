"""A gateway's journal reaches whoever reads its venue's stream: all of it, once, in order, whatever dies in between."""

import asyncio
import contextlib
import gc
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import msgspec
import nkeys
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from router.cluster import subjects
from router.cluster.broker.connection import Connection
from router.cluster.broker.credentials import Credentials
from router.cluster.stream import copying as copying_module
from router.cluster.stream import pulling
from router.cluster.stream.copies import MOST_FACTS, Copy, decode, encode, message_id, number_of
from router.cluster.stream.events import Copies, RemoteEvents
from router.errors import Garbled
from router.record import Record

from . import copied
from .copied import VENUE, connected, copying, event, journal, soon, take, trade, write
from .servers import nats_server

MANY = 3000
CHANCE = random.Random(7)  # noqa: S311


def numbers(events):
    return [each.seq for each in events]


def upto(last, first=1):
    return list(range(first, last + 1))


async def stored(connection, venue=VENUE):
    """The numbers that are in the stream, by journal, in the stream's order."""
    streams, found = connection.client.jsm(), {}
    state = (await streams.stream_info(subjects.stream(venue))).state
    for place in range(state.first_seq, state.last_seq + 1):
        message = await streams.get_msg(subjects.stream(venue), place)
        name, _, number = message.headers["Nats-Msg-Id"].rpartition(":")
        found.setdefault(name, []).append(int(number))
    return found


@pytest.fixture
async def gateway(nats):
    async with connected(nats.url, "gateway") as connection:
        yield connection


@pytest.fixture
async def strategy(nats):
    async with connected(nats.url, "alpha") as connection:
        yield connection


@pytest.fixture
async def reading(strategy):
    """Makes readers that are reading, and ends them."""
    made = []

    async def read(resume=None, *, kind=RemoteEvents, venues=(VENUE,)):
        await asyncio.sleep(0.05)  # more than a round trip: what was before the call
        stream = kind(strategy, venues, "alpha", resume)
        made.append(stream)
        copies = getattr(stream, "copies", stream)
        await soon(lambda: copies.is_reading)
        return stream

    yield read
    for stream in made:
        stream.end()


# -- the copy itself


def test_a_copy_is_read_as_it_was_written():
    made = Copy(journal="j", number=7, venue="qfex", what="execution", at=1.5, facts=facts(event=event(7)))
    assert decode(encode(made)) == made
    assert decode(encode(made)).event() == event(7)


def facts(**given):
    return msgspec.Raw(msgspec.json.encode(given, enc_hook=str))


def test_what_is_no_execution_has_no_event():
    made = Copy(journal="j", number=7, venue="qfex", what="resolved", at=1.5, facts=facts(outcome="refused", text="no"))
    assert made.event() is None
    assert (made.settlement().outcome, made.settlement().text) == ("refused", "no")


def test_an_entry_that_is_too_long_keeps_what_fits():
    long = {"event": event(7), "taken": ["x" * 1000] * 1000, "outcome": "confirmed"}
    read = decode(encode(Copy(journal="j", number=7, venue="qfex", what="execution", at=1.5, facts=facts(**long))))
    assert read.event() == event(7)
    assert read.settlement().outcome == "confirmed"
    assert len(bytes(read.facts)) < MOST_FACTS
    assert json.loads(bytes(read.facts))["left_out"] == ["taken"]


@given(st.binary() | st.sampled_from([b"{}", b'{"journal":1}', b'{"journal":"j","number":"1"}', b"[" * 500]))
def test_garbage_is_garbled_and_nothing_else(body):
    with pytest.raises(Garbled):
        decode(body)


@given(st.text(st.characters(codec="ascii"), min_size=1), st.integers(0, 2**63))
def test_a_messages_id_names_the_journal_and_the_number(name, number):
    assert number_of(message_id(name, number), name) == number
    assert number_of(message_id(name, number), f"{name}x") is None


@pytest.mark.parametrize("name", ["", "j", "j:", "j:-1", "j:x", "j:\N{SUPERSCRIPT TWO}"])
def test_what_is_no_id_of_ours_has_no_number(name):
    assert number_of(name, "j") is None


# -- from the journal to the reader


async def test_what_happens_is_told_as_it_was_written(gateway, reading, tmp_path):
    async with copying(gateway, tmp_path / "j") as copier, journal(tmp_path / "j") as made:
        made.on_durable = copier.wake
        await soon(lambda: copier._reading is not None)
        await write(made, upto(3))
        assert await copier.caught_up(10)
        stream = await reading()
        await write(made, upto(6, 4))
        assert await take(stream, 3) == [event(number) for number in upto(6, 4)]


async def test_settlements_are_copied_and_are_no_events(gateway, reading, tmp_path):
    async with copying(gateway, tmp_path / "j") as copier, journal(tmp_path / "j") as made:
        assert await copier.caught_up(10)
        await write(made, upto(1))
        assert await copier.caught_up(10)
        stream, copies = await reading(), await reading(kind=Copies)
        intent = {"verb": "cancel", "account": "a", "effect": "idempotent", "symbol": "S", "strategy": "alpha"}
        made.put(Record("intent", VENUE, "op1", "o1", None, intent | {"command": {}, "sent": 0}))
        made.put(Record("unknown", VENUE, "op1", "o1", None, {"text": "silence"}))
        made.put(Record("resolved", VENUE, "op1", "o1", None, {"outcome": "confirmed", "text": "gone", "frame": "f"}))
        made.put(trade(2))
        found = await take(copies, 3)
        assert [(each.what, each.op, each.strategy) for each in found[:2]] == [
            ("unknown", "op1", "alpha"),
            ("resolved", "op1", "alpha"),
        ]
        told = found[1].settlement()
        assert (told.verb, told.symbol, told.outcome, told.text) == ("cancel", "S", "confirmed", "gone")
        assert b"frame" not in bytes(found[1].facts)
        assert found[2].event() == event(2)
        assert await take(stream, 1) == [event(2)]


async def test_what_comes_after_the_call_is_told_though_nothing_is_there_yet(nats, gateway, strategy, tmp_path):
    """The call is made, and only then there are a stream, a journal, and a venue that is known."""
    stream = RemoteEvents(strategy, [], "alpha")
    async with copying(gateway, tmp_path / "j") as copier, journal(tmp_path / "j") as made:
        await write(made, upto(5))
        assert await copier.caught_up(10)
        stream.add(VENUE)
        stream.add(VENUE)
        assert numbers(await take(stream, 5)) == upto(5)
        stream.end()


@pytest.mark.parametrize("resume", [None, "worker"])
async def test_what_comes_right_after_the_call_is_told(gateway, strategy, tmp_path, resume):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await write(made, upto(5))
        assert await copier.caught_up(10)
        await asyncio.sleep(0.05)  # more than a round trip: what was before the call
        stream = RemoteEvents(strategy, [VENUE], "alpha", resume)
        await write(made, upto(9, 6))
        assert await copier.caught_up(10)
        assert numbers(await take(stream, 4)) == upto(9, 6)
        stream.end()


async def test_what_comes_after_a_call_made_while_nats_is_down_is_told(nats, gateway, strategy, tmp_path):
    async with copying(gateway, tmp_path / "j") as copier, journal(tmp_path / "j") as made:
        await write(made, upto(5))
        assert await copier.caught_up(10)
        await asyncio.sleep(1.5)  # an age that no rounding reaches: what was before the call
        await nats.kill()
        await soon(lambda: not strategy.is_up)
        stream = RemoteEvents(strategy, [VENUE], "alpha")
        await write(made, upto(9, 6))
        assert stream.troubles in ({}, {VENUE: "not connected to NATS"})
        await nats.restart()
        assert numbers(await take(stream, 4)) == upto(9, 6)
        stream.end()


async def test_what_comes_while_the_strategy_alone_is_not_connected_is_told(nats, gateway, tmp_path):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await write(made, upto(5))
        assert await copier.caught_up(10)
        await asyncio.sleep(1.5)  # an age that no rounding reaches: what was before the call
        connection = Connection(Credentials(url=nats.url, strategy="alpha"), name="tests")
        stream = RemoteEvents(connection, [VENUE], "alpha")
        await write(made, upto(9, 6))
        assert await copier.caught_up(10)
        await connection.open()
        assert numbers(await take(stream, 4)) == upto(9, 6)
        stream.end()
        await connection.close()


async def test_a_journal_that_was_there_before_is_copied_and_one_that_comes_later_too(gateway, strategy, tmp_path):
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    async with journal(tmp_path / "old") as made:
        await write(made, upto(700))
    async with copying(gateway, tmp_path / "old"), copying(gateway, tmp_path / "new") as later:
        assert numbers(await take(stream, 700)) == upto(700)
        assert await later.caught_up(10)
        async with journal(tmp_path / "new") as made:
            await write(made, upto(3))
            assert numbers(await take(stream, 3)) == upto(3)
    stream.end()


async def test_a_journal_in_the_place_of_another_is_copied_from_its_beginning(gateway, strategy, tmp_path):
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    async with copying(gateway, tmp_path / "j"):
        async with journal(tmp_path / "j") as made:
            await write(made, upto(5))
            assert numbers(await take(stream, 5)) == upto(5)
        for path in tmp_path.glob("j*"):
            path.unlink()
        async with journal(tmp_path / "j") as made:
            await write(made, upto(4))
            assert numbers(await take(stream, 4)) == upto(4)
    stream.end()


async def test_an_old_journal_begins_with_what_a_stream_would_still_hold(gateway, strategy, tmp_path, monkeypatch):
    monkeypatch.setattr(copying_module, "MOST", 10)
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    async with journal(tmp_path / "j") as made:
        for number in upto(35):
            old = trade(number)
            made.put(Record(old.what, old.venue, None, None, None, old.facts, time.time() - 8 * 86_400))
        await write(made, upto(60, 36))
        async with copying(gateway, tmp_path / "j") as copier:
            assert await copier.caught_up(10)
            assert numbers(await take(stream, 25)) == upto(60, 36)
    stream.end()


async def test_ten_thousand_entries_are_copied_in_order(gateway, strategy, tmp_path):
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    async with journal(tmp_path / "j") as made:
        await write(made, upto(10_000))
        async with copying(gateway, tmp_path / "j") as copier:
            assert await copier.caught_up(30)
            assert numbers(await take(stream, 10_000)) == upto(10_000)
    stream.end()


async def test_batches_of_long_entries_are_no_larger_than_a_server_takes(gateway, strategy, tmp_path, monkeypatch):
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    async with journal(tmp_path / "j") as made:
        for number in upto(30):
            made.put(trade(number, note="x" * 300_000))
        made.put(trade(31, note="x" * 1_500_000))  # alone it is more than a message may have
        async with copying(gateway, tmp_path / "j") as copier:
            assert await copier.caught_up(20)
            assert await take(stream, 31) == [event(number) for number in upto(31)]
    stream.end()


async def test_a_server_without_batches_is_given_one_entry_after_the_other(gateway, strategy, tmp_path, monkeypatch):
    async def unable(self):
        await prepare(self)
        self._batches = False

    prepare = copying_module.Copying._prepare
    monkeypatch.setattr(copying_module.Copying, "_prepare", unable)
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    async with journal(tmp_path / "j") as made, copying(gateway, made):
        await write(made, upto(200))
        assert numbers(await take(stream, 200)) == upto(200)
    stream.end()


async def test_a_stream_that_is_there_keeps_its_limits(gateway, tmp_path):
    streams, name = gateway.client.jsm(), subjects.stream(VENUE)
    await streams.add_stream(name=name, subjects=[subjects.events(VENUE)], max_age=60.0, max_bytes=1_000_000)
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await write(made, upto(5))
        assert await copier.caught_up(10)
    config = (await streams.stream_info(name)).config
    assert (config.max_age, config.max_bytes, config.allow_atomic) == (60.0, 1_000_000, True)
    assert list((await stored(gateway)).values()) == [upto(5)]


async def test_a_stream_of_somebody_elses_is_left_alone_and_said(gateway, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(copying_module, "LASTS", 0.0)
    streams, name = gateway.client.jsm(), subjects.stream(VENUE)
    await streams.add_stream(name=name, subjects=["something.else"])
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await write(made, upto(2))
        await soon(lambda: "somebody else's" in copier.trouble)
        assert not await copier.caught_up(0.3)
        assert (await streams.stream_info(name)).config.subjects == ["something.else"]
        await streams.delete_stream(name)
        assert await copier.caught_up(10)
        assert copier.trouble == ""
    assert sum("is not copied to NATS" in each.message for each in caplog.records) == 1
    assert sum("copied to NATS again" in each.message for each in caplog.records) == 1


# -- what dies in between


@contextlib.asynccontextmanager
async def written_all_the_time(made, count):
    """So many trades, a few at a time."""

    async def go():
        for begin in range(1, count + 1, 10):
            await write(made, range(begin, min(begin + 10, count + 1)))
            await asyncio.sleep(0.005)

    task = asyncio.ensure_future(go())
    try:
        yield task
    finally:
        await task


async def test_nats_server_is_killed_again_and_again_in_the_middle(nats, gateway, reading, tmp_path):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        async with written_all_the_time(made, MANY) as writing:
            await soon(lambda: made._durable > 20)
            assert await copier.caught_up(10)
            assert not writing.done()
            streams = [await reading(), await reading("worker")]
            tasks = [asyncio.ensure_future(take_all(stream, MANY)) for stream in streams]
            while not writing.done():
                await asyncio.sleep(CHANCE.uniform(0.1, 0.3))
                await nats.restart()
        found = await asyncio.gather(*tasks)
        assert await copier.caught_up(20)
        assert list((await stored(gateway)).values()) == [upto(made._durable)]
    for each in found:
        assert each == upto(MANY, each[0])
        assert each[0] < MANY / 2


async def take_all(stream, last, seconds=40.0):
    found = []
    async with asyncio.timeout(seconds):
        while not found or found[-1] < last:
            found.append((await anext(stream)).seq)
    return found


async def test_nats_that_has_lost_everything_is_filled_again_and_nothing_is_told_twice(
    nats, gateway, strategy, reading, tmp_path
):
    plain, named = RemoteEvents(strategy, [VENUE], "alpha"), RemoteEvents(strategy, [VENUE], "alpha", "worker")
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await write(made, upto(50))
        assert await take_all(plain, 50) == await take_all(named, 50) == upto(50)
        await nats.restart(empty=True)
        await write(made, upto(60, 51))
        assert await take_all(plain, 60) == await take_all(named, 60) == upto(60, 51)
        await write(made, upto(65, 61))
        assert await take_all(plain, 65) == await take_all(named, 65) == upto(65, 61)
        assert await copier.caught_up(10)
        assert list((await stored(gateway)).values()) == [upto(65)]
    plain.end()
    named.end()


async def test_a_stream_that_became_shorter_is_read_on(nats, gateway, strategy, tmp_path):
    """As after a power cut: what was stored last is gone, and copied again in other places."""
    store = Path(nats.store)
    plain = RemoteEvents(strategy, [VENUE], "alpha")
    async with (
        journal(tmp_path / "a") as one,
        journal(tmp_path / "b") as two,
        copying(gateway, one) as first,
        copying(gateway, two) as second,
    ):
        await write(one, upto(20))
        assert await first.caught_up(10)
        assert await second.caught_up(10)
        await nats.kill()
        shutil.copytree(store, tmp_path / "before")
        await nats.restart()
        await write(one, upto(30, 21))
        assert await take_all(plain, 30) == upto(30)
        await nats.kill()
        shutil.rmtree(store)
        shutil.copytree(tmp_path / "before", store)
        await write(two, upto(25))
        await nats.restart()
        assert await take_all(plain, 25) == upto(25)
        await write(one, upto(31, 31))
        assert await take_all(plain, 31) == [31]
    plain.end()


@contextlib.asynccontextmanager
async def another_process(nats, path, dies="never"):
    """That copies the journal, until it is killed or kills itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, copied.__file__, nats.url, str(path), dies, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert await process.stdout.readline() == b"copying\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("dies", ["in the batch", "before the answer", "after the answer"])
async def test_a_copier_is_killed_at_its_worst_moments(nats, gateway, strategy, tmp_path, dies):
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    async with journal(tmp_path / "j") as made:
        for last in (700, 1400):
            await write(made, upto(last, last - 699))
            async with another_process(nats, tmp_path / "j", dies) as process:
                assert await process.wait() == -signal.SIGKILL
        async with copying(gateway, made) as copier:
            assert await copier.caught_up(20)
    assert list((await stored(gateway)).values()) == [upto(1400)]
    assert numbers(await take(stream, 1400)) == upto(1400)
    stream.end()


async def test_a_copier_is_killed_at_any_moment(nats, gateway, strategy, tmp_path):
    """And started again: each number is in the stream once, and in order."""
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    async with journal(tmp_path / "j") as made, written_all_the_time(made, MANY) as writing:
        kills = 0
        while not writing.done():
            async with another_process(nats, tmp_path / "j"):
                await asyncio.sleep(CHANCE.uniform(0.0, 0.12))
            kills += 1
        async with copying(gateway, made) as copier:
            assert await copier.caught_up(20)
    assert kills >= 2
    assert list((await stored(gateway)).values()) == [upto(MANY)]
    assert numbers(await take(stream, MANY)) == upto(MANY)
    stream.end()


@pytest.mark.parametrize("lost", ["before", "after"])
async def test_an_answer_that_is_lost_changes_nothing(gateway, strategy, tmp_path, monkeypatch, lost):
    """The batch was stored or was not, and its answer never came."""
    request, left = gateway.client.request, [1, 2]

    async def losing(subject, body, **given):
        if subject.startswith("router.event.") and left:
            left.pop()
            if lost == "after":
                await request(subject, body, **given)
            raise TimeoutError
        return await request(subject, body, **given)

    monkeypatch.setattr(gateway.client, "request", losing)
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await write(made, upto(900))
        assert await copier.caught_up(20)
        assert left == []
        assert numbers(await take(stream, 900)) == upto(900)
    assert list((await stored(gateway)).values()) == [upto(900)]
    stream.end()


async def test_two_who_copy_the_same_journal_copy_it_once(nats, gateway, tmp_path):
    async with (
        journal(tmp_path / "j") as made,
        connected(nats.url, "other") as other,
        copying(gateway, made) as one,
        copying(other, made.path) as two,
    ):
        async with written_all_the_time(made, 600):
            pass
        assert await one.caught_up(10)
        assert await two.caught_up(10)
    assert list((await stored(gateway)).values()) == [upto(600)]


async def test_a_message_of_a_batch_that_is_lost_is_no_gap(gateway, tmp_path, monkeypatch):
    publish, lost = gateway.client.publish, []

    async def losing(subject, body, reply="", headers=None):
        if not lost and (headers or {}).get("Nats-Batch-Sequence") == "40":
            lost.append(body)
        else:
            await publish(subject, body, reply, headers)

    monkeypatch.setattr(gateway.client, "publish", losing)
    async with journal(tmp_path / "j") as made:
        await write(made, upto(100))
        async with copying(gateway, made) as copier:
            assert await copier.caught_up(20)
    assert len(lost) == 1
    assert list((await stored(gateway)).values()) == [upto(100)]


async def test_what_is_copied_from_a_wrong_place_is_not_stored_whatever_its_name(gateway, tmp_path):
    """The server compares the place, also when it remembers no Nats-Msg-Id any more."""
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await write(made, upto(9))
        assert await copier.caught_up(10)
        ((name, before),) = (await stored(gateway)).items()
        news = await copier._reading.news(0)
        later = [evolve(each, number=each.number + 100) for each in news]
        for count in (1, 9):
            with pytest.raises(copying_module._Again):
                await copier._publish(name, later[:count], copying_module._Place(8, 8))
        assert await stored(gateway) == {name: before}


async def test_another_stream_of_the_same_name_is_read_from_its_beginning(
    nats, gateway, strategy, tmp_path, monkeypatch
):
    monkeypatch.setattr(pulling, "OVERLAP", 0)
    plain, named = RemoteEvents(strategy, [VENUE], "alpha"), RemoteEvents(strategy, [VENUE], "alpha", "worker")
    async with journal(tmp_path / "a") as one, copying(gateway, one):
        await write(one, upto(50))
        assert await take_all(plain, 50) == await take_all(named, 50) == upto(50)
    await nats.kill()
    await soon(lambda: not strategy.is_up)
    async with journal(tmp_path / "b") as two, connected_later(nats, "gateway") as later:
        await write(two, upto(60))
        async with copying(later, two) as copier:
            assert await copier.caught_up(10)
            assert await take_all(plain, 60) == await take_all(named, 60) == upto(60)
    plain.end()
    named.end()


@contextlib.asynccontextmanager
async def connected_later(nats, name):
    await nats.restart(empty=True)
    async with connected(nats.url, name) as connection:
        yield connection


async def test_a_consumer_that_somebody_has_removed_is_made_again(gateway, strategy, reading, tmp_path):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await copier.caught_up(10)
        await write(made, upto(10))
        await copier.caught_up(10)
        plain, named = await reading(), await reading("worker")
        await write(made, upto(20, 11))
        assert await take_all(plain, 20) == await take_all(named, 20) == upto(20, 11)
        streams = gateway.client.jsm()
        for each in await streams.consumers_info(subjects.stream(VENUE)):
            await streams.delete_consumer(subjects.stream(VENUE), each.name)
        await write(made, upto(30, 21))
        assert await take_all(plain, 30) == await take_all(named, 30) == upto(30, 21)


async def test_a_message_lost_on_its_way_is_asked_for_again(gateway, reading, tmp_path, monkeypatch):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await copier.caught_up(10)
        await write(made, upto(1))
        await copier.caught_up(10)
        streams = [await reading(), await reading("worker")]
        pulled, lost = pulling.Pulling._pulled, []

        async def losing(self, message):
            if len(lost) < 4 and decode(message.data).number in {5, 10}:
                lost.append(message)
            else:
                await pulled(self, message)

        monkeypatch.setattr(pulling.Pulling, "_pulled", losing)
        await write(made, upto(10, 2))
        for stream in streams:
            assert await take_all(stream, 10) == upto(10, 2)
        assert len(lost) == 4


async def test_the_last_message_lost_on_its_way_is_noticed_by_the_servers_sign_of_life(
    gateway, reading, tmp_path, monkeypatch
):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await copier.caught_up(10)
        await write(made, upto(1))
        await copier.caught_up(10)
        stream = await reading()
        reader = stream.copies._readers[VENUE]
        pulled, lost = reader._pulled, []

        async def losing(message):
            if lost:
                await pulled(message)
            else:
                lost.append(message)

        monkeypatch.setattr(reader, "_pulled", losing)
        await write(made, [2])
        assert await take_all(stream, 2) == [2]
        assert len(lost) == 1


async def test_garbage_in_a_stream_is_left_out_and_said(gateway, reading, tmp_path, caplog):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await copier.caught_up(10)
        await write(made, upto(1))
        await copier.caught_up(10)
        plain, named = await reading(), await reading("worker")
        subject = subjects.event(VENUE, "other")
        no_event = Copy(journal="x", number=3, venue=VENUE, what="execution", at=0.0, facts=msgspec.Raw(b'{"event":5}'))
        for body in (b"", b"\xff", b"{}", encode(no_event)):
            await gateway.client.jetstream().publish(subject, body)
        await write(made, [2])
        assert numbers(await take(plain, 1)) == numbers(await take(named, 1)) == [2]
    assert sum("is left out" in each.message for each in caplog.records) == 8


async def test_a_leader_of_three_dies_and_nothing_is_lost(cluster, tmp_path):
    async with (
        connected(cluster.urls, "gateway") as gateway,
        connected(cluster.urls, "alpha") as strategy,
        journal(tmp_path / "j") as made,
        copying(gateway, made, replicas=3) as copier,
    ):
        plain, named = RemoteEvents(strategy, [VENUE], "alpha"), RemoteEvents(strategy, [VENUE], "alpha", "worker")
        await write(made, upto(100))
        assert await copier.caught_up(20)
        info = await gateway.client.jsm().stream_info(subjects.stream(VENUE))
        assert info.config.num_replicas == 3
        await write(made, upto(200, 101))
        leader = next(node for node in cluster.nodes if node.name == info.cluster.leader)
        await leader.kill()
        await write(made, upto(300, 201))
        assert await take_all(plain, 300) == await take_all(named, 300) == upto(300)
        assert await copier.caught_up(20)
        assert list((await stored(gateway)).values()) == [upto(300)]
        plain.end()
        named.end()


# -- names


async def test_a_name_goes_on_where_it_was_and_tells_again_what_was_not_followed(gateway, reading, tmp_path):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await write(made, upto(5))
        await copier.caught_up(10)
        first = await reading("worker")
        await write(made, upto(40, 6))
        assert numbers(await take(first, 10)) == upto(15, 6)
        first.end()
        await write(made, upto(50, 41))
        again = await reading("worker")
        assert numbers(await take(again, 36)) == upto(50, 15)
        other = await reading("another")
        await write(made, [51])
        assert numbers(await take(other, 1)) == [51]
        assert numbers(await take(again, 1)) == [51]


async def test_a_named_reader_of_a_process_that_was_killed_goes_on_at_once_and_in_order(
    nats, gateway, reading, tmp_path
):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await copier.caught_up(10)
        await write(made, upto(1))
        await copier.caught_up(10)
        async with connected(nats.url, "alpha") as dying:
            first = RemoteEvents(dying, [VENUE], "alpha", "worker")
            await soon(lambda: first.copies.is_reading)
            await write(made, upto(300, 2))
            assert numbers(await take(first, 100)) == upto(101, 2)
            await soon(lambda: first.copies._heard.queue.qsize() > 150)  # on their way, and never told
            for task in first.copies._tasks:
                task.cancel()
        begun = time.monotonic()
        again = await reading("worker")
        assert numbers(await take(again, 200)) == upto(300, 101)
        assert time.monotonic() - begun < 5


async def test_what_two_strategies_call_the_same_name_are_two_readers(nats, gateway, tmp_path):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier, contextlib.AsyncExitStack() as stack:
        await copier.caught_up(10)
        streams = []
        for strategy, resume in (("a", "b-c"), ("a-b", "c"), ("b", "b-c")):
            connection = await stack.enter_async_context(connected(nats.url, strategy))
            streams.append(RemoteEvents(connection, [VENUE], strategy, resume))
            stack.callback(streams[-1].end)
        await write(made, upto(5))
        for stream in streams:
            assert numbers(await take(stream, 5)) == upto(5)


@pytest.mark.parametrize("resume", ["", "a.b", "a*", "a b", "a=b", "x" * 65])
async def test_a_name_that_nats_cannot_have(strategy, resume):
    with pytest.raises(ValueError, match="resume was"):
        RemoteEvents(strategy, [VENUE], "alpha", resume)


# -- readers


async def test_a_slow_reader_holds_no_more_than_some_hundreds_and_misses_nothing(gateway, reading, tmp_path):
    async with journal(tmp_path / "j") as made, copying(gateway, made) as copier:
        await copier.caught_up(10)
        await write(made, upto(1))
        await copier.caught_up(10)
        plain, named = await reading(), await reading("worker")
        await write(made, upto(MANY, 2))
        await copier.caught_up(20)
        for stream in (plain, named):
            await soon(lambda stream=stream: stream.copies._heard.queue.qsize() >= pulling.MOST * 3 // 4)
            assert stream.copies._heard.queue.qsize() <= pulling.MOST
            assert await take_all(stream, MANY) == upto(MANY, 2)


async def test_one_venue_that_cannot_be_read_holds_up_no_other(gateway, strategy, tmp_path):
    stream = RemoteEvents(strategy, ["nowhere", VENUE], "alpha")
    async with journal(tmp_path / "j") as made, copying(gateway, made):
        await write(made, upto(3))
        assert numbers(await take(stream, 3)) == upto(3)
        assert stream.troubles == {"nowhere": "JetStream: stream not found"}
    stream.end()


RIGHTS = """
authorization { users [
    { nkey: GATEWAY, permissions { publish: ">", subscribe: ">" } }
    { nkey: ALPHA, permissions { publish: RIGHTS, subscribe: "_INBOX.alpha.>" } }
] }
"""
READING = [
    f"$JS.API.{each}.{subjects.stream(VENUE)}{more}"
    for each, more in {
        "STREAM.INFO": "",
        "CONSUMER.CREATE": ".*",
        "CONSUMER.INFO": ".*",
        "CONSUMER.RESET": ".*",
        "CONSUMER.MSG.NEXT": ".*",
    }.items()
]
"""What a strategy must be allowed to publish, besides its acknowledgements."""


def nkey():
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode(), nkeys.from_seed(seed).public_key.decode()


async def test_a_venue_without_the_right_to_it_is_told_at_once_and_the_others_are_read(tmp_path):
    (gate, one), (seed, two) = nkey(), nkey()
    rights = json.dumps([*READING, f"$JS.ACK.{subjects.stream(VENUE)}.>"])
    config = RIGHTS.replace("GATEWAY", one).replace("ALPHA", two).replace("RIGHTS", rights)
    async with (
        nats_server(config) as nats,
        connected(nats.url, "gateway", seed=gate) as gateway,
        connected(nats.url, "alpha", seed=seed) as strategy,
        journal(tmp_path / "j") as made,
        copying(gateway, made),
    ):
        begun = time.monotonic()
        streams = [RemoteEvents(strategy, ["dmex", VENUE], "alpha", resume) for resume in (None, "worker")]
        await write(made, upto(3))
        for stream in streams:
            assert numbers(await take(stream, 3)) == upto(3)
            await soon(lambda stream=stream: "not authorised" in stream.troubles.get("dmex", ""))
            stream.end()
        assert time.monotonic() - begun < 3


async def test_the_end_is_told_once_and_again_and_leaves_nothing_running(gateway, strategy, tmp_path):
    before = asyncio.all_tasks()
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    async with journal(tmp_path / "j") as made, copying(gateway, made):
        await write(made, upto(3))
        assert numbers(await take(stream, 1)) == [1]
        await soon(lambda: stream.copies._heard.queue.qsize() == 2)
        stream.end()
        stream.end()
        stream.add("dmex")
        assert numbers([each async for each in stream]) == [2, 3]
        assert [each async for each in stream] == []
    await soon(lambda: asyncio.all_tasks() <= before)


async def test_who_waits_when_it_ends_is_told(strategy):
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    waiting = asyncio.ensure_future(anext(stream, None))
    await asyncio.sleep(0)
    stream.end()
    async with asyncio.timeout(5):
        assert await waiting is None


async def test_a_stream_that_nobody_holds_any_more_reads_no_further(strategy):
    before = asyncio.all_tasks()
    stream = RemoteEvents(strategy, [VENUE], "alpha")
    assert not asyncio.all_tasks() <= before
    del stream
    gc.collect()
    await soon(lambda: asyncio.all_tasks() <= before)
