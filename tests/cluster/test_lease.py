"""A lease over a real nats-server: taken, renewed, stolen and given back; with processes that die or stand still, and a NATS that goes."""

import asyncio
import contextlib
import json
import signal
import sys
import timeit

import pytest
from attrs import evolve, frozen
from nats.js import api

from router.cluster.broker.connection import Connection
from router.cluster.broker.credentials import Credentials
from router.cluster.ownership.bucket import Bucket
from router.cluster.ownership.lease import Lease, clock
from router.cluster.ownership.leasing import Found, Record
from router.cluster.ownership.standingby import Standby
from router.cluster.subjects import BUCKET
from router.journal.identity import identity

TTL = 0.6
HOLDER = """
import asyncio, sys
from router.cluster.broker.connection import Connection
from router.cluster.broker.credentials import Credentials
from router.cluster.ownership.lease import Lease, clock

async def main(url, ttl, own):
    connection = Connection(Credentials(url=(url,)), name="child")
    await connection.open()
    identity = None
    if own:
        from router.journal.identity import identity as look
        from router.journal import Journal
        journal = Journal(own)
        await journal.open()
        identity = look(own)
    lease = Lease(connection, "toy", gateway="child", ttl=float(ttl), identity=lambda: identity)
    await lease.take()
    lease.holds_journal = bool(own)
    said = None
    while not lease.lost.is_set():
        now, why = clock(), lease.why_not()
        if why != said:
            print(now, why or "may write", flush=True)
            said = why
        if not why:
            print(now, flush=True)
        await asyncio.sleep(0.005)
    print(clock(), "lost:", await lease.until_lost(), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@frozen
class Identity:
    id: str = "own"
    place: str = "here"
    epoch: int = 0
    is_held: bool = False


@contextlib.asynccontextmanager
async def connected(*urls):
    connection = Connection(Credentials(url=urls), name="test")
    await connection.open()
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def leases(connection, *names, ttl=TTL, own=None, **options):
    found = [Lease(connection, "toy", gateway=name, ttl=ttl, identity=lambda: own, **options) for name in names]
    try:
        yield found
    finally:
        for each in found:
            await each.close()


@contextlib.asynccontextmanager
async def child(server, ttl=TTL, journal=""):
    """A process that takes the lease; told: what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, server.url, str(ttl), str(journal)), stdout=asyncio.subprocess.PIPE
    )
    try:
        while b"may write" not in await asyncio.wait_for(process.stdout.readline(), 20):
            pass
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - most of what is waited for is in another process
            await asyncio.sleep(0.005)


async def test_the_first_takes_it_and_renews_it(nats):
    async with connected(nats.url) as connection, leases(connection, "a") as [lease]:
        assert lease.tenure == ""
        assert "never taken" in lease.why_not()
        await lease.take()
        assert lease.why_not() == ""
        assert lease.tenure.startswith(f"{lease.epoch}-")
        tenure, began = lease.tenure, clock()
        await until(lambda: clock() - began > 2 * TTL)
        assert lease.why_not() == ""
        assert lease.tenure == tenure
        record = (await Bucket(connection, timeout=1).read("toy")).record
        assert (record.gateway, record.tenure, record.epoch) == ("a", tenure, lease.epoch)
        assert record.number >= 6  # TTL/4 each


async def test_two_that_want_it_at_once_are_never_two_that_have_it(nats):
    async with connected(nats.url) as connection, leases(connection, "a", "b", "c") as three:
        taking = [asyncio.create_task(each.take()) for each in three]
        await asyncio.wait(taking, return_when=asyncio.FIRST_COMPLETED)
        began = clock()
        while clock() - began < 2 * TTL:
            assert sum(not each.why_not() for each in three) == 1
            await asyncio.sleep(0.005)
        owner = next(each for each in three if each.tenure)
        assert all(f"gateway '{owner.gateway}' does" in each.why_not() for each in three if each is not owner)
        for each in taking:
            each.cancel()
        await asyncio.wait(taking)


async def test_what_is_given_back_is_taken_at_once(nats):
    async with connected(nats.url) as connection, leases(connection, "a", "b", ttl=8.0) as [first, second]:
        bucket = Bucket(connection, timeout=1)
        await bucket.read("toy")  # makes the bucket
        await bucket.write("toy", Record(released=True), 0)
        await asyncio.wait_for(first.take(), 2)
        taking = asyncio.create_task(second.take())
        await until(lambda: second.seen is not None and second.seen.tenure == first.tenure)
        before, began = first.epoch, clock()
        await first.release()
        assert "given back" in first.why_not() or "does" in first.why_not()
        assert await first.until_lost() == "it was given back"
        await asyncio.wait_for(taking, 4)
        assert clock() - began < 1.0
        assert second.epoch > before


async def test_release_does_not_wait_for_a_nats_that_is_gone(nats):
    async with connected(nats.url) as connection, leases(connection, "a") as [lease]:
        await lease.take()
        await nats.kill()
        began = clock()
        await lease.release()
        assert clock() - began < TTL + 0.3
        assert lease.why_not()


async def test_a_lost_lease_can_be_taken_again_as_another_tenure(nats):
    async with connected(nats.url) as connection, leases(connection, "a") as [lease]:
        await lease.take()
        with pytest.raises(RuntimeError):
            await lease.take()
        tenure, epoch = lease.tenure, lease.epoch
        bucket = Bucket(connection, timeout=1)
        while not await bucket.write("toy", Record(gateway="b", tenure="9-b"), (await bucket.read("toy")).revision):
            pass
        assert await asyncio.wait_for(lease.until_lost(), 2) == "gateway 'b' took it"
        assert lease.tenure == ""
        await lease.take()
        assert not lease.lost.is_set()
        assert lease.tenure != tenure
        assert lease.epoch > epoch


@pytest.mark.parametrize("what", ["deleted", "garbage", "nobody's"])
async def test_a_record_that_says_nothing_is_waited_for(nats, what):
    async with connected(nats.url) as connection, leases(connection, "a", "b") as [first, second]:
        await first.take()
        values = await connection.client.jetstream().key_value(BUCKET)
        if what == "deleted":
            await values.delete("toy")
        else:
            await values.put("toy", b"{}" if what == "nobody's" else b"\xff{")
        began = clock()
        assert await first.until_lost() == "its lease on NATS is nobody's"
        await second.take()
        assert clock() - began > 0.95 * TTL


async def test_epoch_is_above_that_of_the_own_journal(nats):
    high = 2**50
    async with connected(nats.url) as connection, leases(connection, "a", own=Identity(epoch=high)) as [lease]:
        await lease.take()
        assert lease.epoch == high + 1


async def test_a_journal_that_cannot_be_read_takes_no_lease(nats):
    async with connected(nats.url) as connection, leases(connection, "a") as [lease]:
        lease._identity = lambda: json.loads("damaged")
        taking = asyncio.create_task(lease.take())
        await until(lambda: "journal can't be looked at" in lease.problem)
        await asyncio.sleep(TTL)
        assert not taking.done()
        lease._identity = lambda: None
        await asyncio.wait_for(taking, 5)


async def test_a_bucket_with_other_settings_is_used_as_it_is(nats):
    async with connected(nats.url) as connection, leases(connection, "a", replicas=3) as [lease]:
        await connection.client.jetstream().create_key_value(bucket=BUCKET, history=5)
        await asyncio.wait_for(lease.take(), 5)
        assert (await (await connection.client.jetstream().key_value(BUCKET)).status()).history == 5
        assert lease.why_not() == ""


async def test_a_new_bucket_begins_with_the_time(nats):
    async with connected(nats.url) as connection:
        await Bucket(connection, timeout=1).read("toy")
        info = await connection.client.jetstream().stream_info(f"KV_{BUCKET}")
        assert info.config.first_seq > 1_700_000_000_000
        assert info.config.max_msgs_per_subject == 1
        assert info.config.storage == api.StorageType.FILE


async def test_nats_restarts_and_the_holder_goes_on(nats):
    async with connected(nats.url) as connection, leases(connection, "a", "b") as [first, second]:
        await first.take()
        taking = asyncio.create_task(second.take())
        tenure, told = first.tenure, []
        first.changed = lambda: told.append(first.why_not() == "")
        await nats.kill()
        await until(first.why_not)
        assert "has run out" in first.why_not()
        assert first.tenure == tenure
        await until(lambda: second.problem)
        await nats.restart()
        await until(lambda: not first.why_not())
        assert told == [False, True]
        assert first.tenure == tenure
        assert not taking.done()
        taking.cancel()
        await asyncio.wait([taking])


async def test_nats_loses_everything_and_nobody_takes_it_at_once(nats):
    async with connected(nats.url) as connection, leases(connection, "a", "b", ttl=1.2) as [first, second]:
        await first.take()
        epoch = first.epoch
        taking = asyncio.create_task(second.take())
        await nats.restart(empty=True)
        began = clock()
        while not first.lost.is_set():
            assert second.why_not()
            await asyncio.sleep(0.005)
        assert "nobody's" in await first.until_lost() or "gone" in await first.until_lost()
        await asyncio.wait_for(taking, 8)
        assert clock() - began > 0.95 * 1.2
        assert second.epoch > epoch


async def test_nats_that_answers_nothing_ends_it(nats):
    async with connected(nats.url) as connection, leases(connection, "a") as [lease]:
        await lease.take()
        closed = asyncio.Event()
        lease.changed = closed.set
        began = clock()
        nats.pause()
        await asyncio.wait_for(closed.wait(), 5)
        assert clock() - began < 0.8 * TTL + 0.2
        nats.resume()
        await until(lambda: not lease.why_not())


async def test_a_process_that_stood_still_may_not_write_when_it_wakes(nats):
    async with child(nats) as holder, connected(nats.url) as connection, leases(connection, "b") as [standby]:
        holder.send_signal(signal.SIGSTOP)
        await standby.take()
        since = clock()
        holder.send_signal(signal.SIGCONT)
        out, _ = await asyncio.wait_for(holder.communicate(), 10)
        *lines, last = out.decode().splitlines()
        assert "lost: gateway 'b' took it" in last
        assert any("has run out" in line for line in lines)
        assert not [line for line in lines if len(line.split()) == 1 and float(line) >= since], "two could write"
        assert standby.why_not() == ""


async def test_a_process_is_killed_and_the_standby_has_it_within_the_ttl(nats):
    async with child(nats) as holder, connected(nats.url) as connection, leases(connection, "b") as [standby]:
        taking = asyncio.create_task(standby.take())
        await until(lambda: standby.seen is not None)
        holder.kill()
        began = clock()
        await asyncio.wait_for(taking, 5)
        assert standby.why_not() == ""
        assert clock() - began < 1.1 * TTL + 0.2


async def test_a_successor_on_the_same_journal_need_not_wait(nats, tmp_path):
    path, ttl = tmp_path / "router.journal", 2.0
    async with child(nats, ttl, path) as holder, connected(nats.url) as connection:
        lease = Lease(connection, "toy", gateway="a", ttl=ttl, identity=lambda: identity(path))
        taking = asyncio.create_task(lease.take())
        await until(lambda: lease.seen is not None and lease.seen.journal == identity(path).id)
        await asyncio.sleep(0.5)
        assert not taking.done()  # it is alive
        holder.kill()
        await holder.wait()
        began = clock()
        await asyncio.wait_for(taking, 10)
        assert clock() - began < 0.25 * ttl
        await lease.close()


@pytest.mark.parametrize("other", [{"id": "other"}, {"place": "elsewhere"}, {"is_held": True}])
def test_only_the_very_journal_that_nobody_holds_makes_a_successor(other):
    record = Record(gateway="a", tenure="1-a", epoch=1, ttl=TTL, journal="own", place="here")
    found = {}
    for own in (Identity(), evolve(Identity(), **other)):
        standby = Standby("b", TTL)
        standby.read(0.0, Found(7, record))
        standby.step(0.0)
        standby.looked(own)
        found[own] = type(standby.step(0.0)).__name__
    assert list(found.values()) == ["Write", "Wait"]


def test_the_longer_ttl_counts():
    standby = Standby("b", TTL)
    record = Record(gateway="a", tenure="1-a", epoch=1, ttl=2 * TTL)
    claimed = 0.0
    for now in (number * 0.01 for number in range(300)):
        step = type(standby.step(now)).__name__
        if step == "Read":
            standby.read(now, Found(7, record))
        elif step == "Look":
            standby.looked(None)
        elif step == "Write":
            claimed = now
            break
    assert claimed == pytest.approx(2 * TTL, abs=0.05)


async def test_three_nodes(cluster):
    async with connected(*cluster.urls) as connection, leases(connection, "a", "b", ttl=12.0, replicas=3) as both:
        first, second = both
        bucket = Bucket(connection, timeout=3, replicas=3)
        async with asyncio.timeout(20):
            while (await bucket.read("toy")).revision == 0:
                await bucket.write("toy", Record(released=True), 0)
        await asyncio.wait_for(first.take(), 10)
        info = await connection.client.jetstream().stream_info(f"KV_{BUCKET}")
        assert info.config.num_replicas == 3
        taking = asyncio.create_task(second.take())
        await until(lambda: second.seen is not None)
        await first.release()
        await asyncio.wait_for(taking, 5)
        assert second.why_not() == ""


async def test_asking_costs_next_to_nothing(nats):
    async with connected(nats.url) as connection, leases(connection, "a", ttl=5.0) as [lease]:
        await Bucket(connection, timeout=1).read("toy")
        await Bucket(connection, timeout=1).write("toy", Record(released=True), 0)
        await lease.take()
        took = min(timeit.repeat(lease.why_not, number=1000, repeat=5)) / 1000
        assert took < 20e-6
