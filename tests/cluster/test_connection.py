"""A connection to a real nats-server: calls and what becomes of them, breaks, and what nats-py would do by itself."""

import asyncio
import logging
import time

import pytest
from nats.aio.msg import Msg

from router.cluster.broker.calls import Calls
from router.cluster.broker.client import MOST_WAITING
from router.cluster.broker.connection import Connection, NoResponders
from router.cluster.broker.credentials import Credentials
from router.errors import GatewayUnreachable, NotAuthorised

from .servers import nats_cluster, nats_server


async def until(condition, seconds=10):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of another process or of nats-py
            await asyncio.sleep(0.005)


@pytest.fixture
async def connected(nats):
    """Make a connection to the server. It is closed in the end."""
    made = []

    async def connect(**more):
        found = Connection(Credentials(url=nats.url, strategy=more.pop("strategy", "alpha")), name="test", **more)
        made.append(found)
        await found.open()
        return found

    yield connect
    for each in made:
        await each.close()


async def echo(connection, subject, heard=None):
    async def answer(message):
        if heard is not None:
            heard.append(message.data)
        await message.respond(message.data)

    await connection.client.subscribe(subject, cb=answer)
    await connection.client.flush()


# -- calls


async def test_a_call_is_answered(connected):
    gateway, strategy = await connected(), await connected()
    await echo(gateway, "e.*")
    assert await strategy.request("e.one", b"hello", timeout=5) == b"hello"
    calls = [strategy.call("e.many", b"%d" % number) for number in range(500)]
    assert await asyncio.gather(*calls) == [b"%d" % number for number in range(500)]
    assert len(strategy.client.calls) == 0


async def test_where_nobody_listens_the_call_says_so_at_once(connected):
    strategy = await connected()
    begun = time.monotonic()
    with pytest.raises(NoResponders, match=r"nobody\.here"):
        await strategy.request("nobody.here", b"x", timeout=5)
    assert time.monotonic() - begun < 1


async def test_a_call_that_is_forgotten_leaves_nothing_and_its_late_reply_is_dropped(connected):
    gateway, strategy = await connected(), await connected()
    asked = asyncio.Queue()
    await gateway.client.subscribe("slow", cb=asked.put)
    await gateway.client.flush()
    with pytest.raises(TimeoutError):
        await strategy.request("slow", b"x", timeout=0.1)
    assert len(strategy.client.calls) == 0
    await (await asked.get()).respond(b"late")
    await echo(gateway, "e")
    assert await strategy.request("e", b"next", timeout=5) == b"next"


async def test_what_is_too_long_or_no_subject_is_a_mistake_and_counts_nothing(connected):
    strategy = await connected()
    with pytest.raises(ValueError, match="too long"):
        strategy.call("e", b"x" * 2_000_000)
    with pytest.raises(ValueError, match="no subject has blanks"):
        strategy.call("e\r\nPUB x 0\r\n", b"")
    with pytest.raises(ValueError, match="too long"):
        strategy.send("e", b"x" * 2_000_000)
    assert len(strategy.client.calls) == 0


async def test_a_subscription_is_there_when_flush_has_come_back(connected):
    """nats-py's own PING overtakes the subscription."""
    gateway, strategy = await connected(), await connected()
    for number in range(100):
        await echo(gateway, f"e.{number}")
        assert await strategy.request(f"e.{number}", b"x", timeout=5) == b"x"


async def test_a_flush_that_was_given_up_does_not_end_the_reading(nats, connected):
    """nats-py sets the result of a future that was cancelled, and reads no further for three seconds."""
    strategy = await connected()
    await echo(strategy, "e")
    flushing = asyncio.ensure_future(strategy.client.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    assert await strategy.request("e", b"x", timeout=1) == b"x"
    assert strategy.client.stats["reconnects"] == 0


# -- connections that break


async def test_nothing_is_taken_while_there_is_no_connection(nats, connected):
    changes = []
    strategy = await connected(changed=lambda: changes.append(strategy.is_up))
    await nats.kill()
    await until(lambda: not strategy.is_up)
    begun = time.monotonic()
    with pytest.raises(GatewayUnreachable, match="nats://127"):
        await strategy.call("e", b"x")
    with pytest.raises(GatewayUnreachable):
        strategy.send("e", b"x")
    assert time.monotonic() - begun < 0.2
    await nats.restart()
    await until(lambda: strategy.is_up)
    await echo(strategy, "e")
    assert await strategy.request("e", b"x", timeout=5) == b"x"
    assert changes[-2:] == [False, True]


async def test_a_reply_that_comes_after_a_break_is_delivered(nats, connected):
    gateway, strategy = await connected(), await connected()
    asked = asyncio.Queue()
    await gateway.client.subscribe("slow", cb=asked.put)
    await gateway.client.flush()
    call = strategy.call("slow", b"x")
    message = await asked.get()
    await nats.restart()
    await until(lambda: gateway.client.stats["reconnects"] and strategy.client.stats["reconnects"])
    assert not call.done()
    await strategy.client.flush()
    gateway.send(message.reply, b"after all")
    async with asyncio.timeout(5):
        assert await call == b"after all"


async def stalled(connection, nats):
    """A server that reads nothing any more, and so much written to it that nothing more goes out."""
    nats.pause()
    while connection.client.pending_data_size < 2_000_000:
        connection.send("other", b"x" * 500_000)
        await asyncio.sleep(0)


async def test_what_was_not_written_when_the_connection_broke_is_never_written(nats, connected):
    gateway, strategy = await connected(), await connected()
    heard = []
    await echo(gateway, "e", heard)
    await stalled(strategy, nats)
    call = strategy.call("e", b"late")
    await until(lambda: not strategy.is_up)
    nats.resume()
    await until(lambda: strategy.is_up and gateway.is_up)
    assert await strategy.request("e", b"new", timeout=5) == b"new"
    assert heard == [b"new"]
    assert not call.done()


async def test_no_more_than_so_much_waits_for_a_server_that_reads_nothing(nats, connected):
    strategy = await connected()
    await stalled(strategy, nats)
    while strategy.client.pending_data_size <= MOST_WAITING:
        strategy.send("other", b"x" * 1_000_000)
    with pytest.raises(GatewayUnreachable, match="reads nothing"):
        strategy.send("other", b"")
    with pytest.raises(GatewayUnreachable, match="reads nothing"):
        await strategy.call("e", b"x")
    assert len(strategy.client.calls) == 0
    nats.resume()


async def test_a_silent_server_is_noticed_and_closing_does_not_wait_for_it(nats, connected):
    strategy = await connected()
    nats.pause()
    begun = time.monotonic()
    await until(lambda: not strategy.is_up)
    assert time.monotonic() - begun < 4.5
    begun = time.monotonic()
    await strategy.close()
    assert time.monotonic() - begun < 2
    nats.resume()


async def test_closing_does_not_hang_on_a_server_that_reads_nothing(nats, connected):
    strategy = await connected()
    await stalled(strategy, nats)
    begun = time.monotonic()
    await strategy.close()
    assert time.monotonic() - begun < 3
    assert not strategy.is_up
    assert (
        strategy.client._transport._io_writer.transport.get_write_buffer_size() == 0
    )  # let go of, not left to be written
    nats.resume()


async def test_a_server_that_reads_nothing_is_left_for_another(nats):
    """Whoever closes politely waits for what is yet to be written."""
    async with nats_server() as other:
        strategy = Connection(Credentials(url=[nats.url, other.url]), name="test")
        await strategy.open()
        here, there = (nats, other) if strategy.client.connected_url.port == nats.port else (other, nats)
        await stalled(strategy, here)
        begun = time.monotonic()
        await until(lambda: strategy.is_up and strategy.client.connected_url.port == there.port)
        assert time.monotonic() - begun < 8
        await strategy.close()
        here.resume()


async def test_another_node_takes_over_when_one_dies(cluster):
    strategy = Connection(Credentials(url=cluster.urls), name="test")
    await strategy.open()
    await echo(strategy, "e")
    here = strategy.client.connected_url.port
    node = next(node for node in cluster.nodes if node.port == here)
    await node.kill()
    await until(lambda: strategy.client.stats["reconnects"] and strategy.is_up)
    assert await strategy.request("e", b"x", timeout=5) == b"x"
    await strategy.close()


async def test_servers_that_a_server_tells_of_are_not_gone_to(cluster):
    """They are told before TLS, by whoever is on the way."""
    strategy = Connection(Credentials(url=cluster.urls[0]), name="test")
    await strategy.open()
    assert [url.port for url in strategy.client.servers] == [cluster.nodes[0].port]
    await strategy.close()


# -- opening


async def test_where_no_server_is_that_is_told_with_its_address(nats):
    await nats.kill()
    connection = Connection(Credentials(url=nats.url), name="test")
    with pytest.raises(GatewayUnreachable, match=nats.url):
        await connection.open(timeout=0.5)
    with pytest.raises(GatewayUnreachable):
        connection.send("e", b"")
    await connection.close()


async def test_whoever_waits_is_connected_when_the_server_is_there(nats):
    await nats.kill()
    connection = Connection(Credentials(url=nats.url), name="test")
    opening = asyncio.ensure_future(connection.open(timeout=0.1, wait=True))
    await asyncio.sleep(0.3)  # longer than the time-out which waiting ignores
    assert not opening.done()
    await nats.restart()
    async with asyncio.timeout(5):
        await opening
    assert connection.is_up
    await connection.close()


async def test_an_opening_that_is_cancelled_leaves_nothing(nats):
    await nats.kill()
    connection = Connection(Credentials(url=nats.url), name="test")
    before = asyncio.all_tasks()
    opening = asyncio.ensure_future(connection.open(wait=True))
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert asyncio.all_tasks() <= before


async def test_a_server_that_is_none_does_not_hold_anybody_up():
    async def nonsense(reader, writer):
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(nonsense, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = Connection(Credentials(url=f"nats://127.0.0.1:{port}"), name="test")
        with pytest.raises(GatewayUnreachable, match="INFO"):
            await connection.open(timeout=0.5)


async def test_a_server_that_refuses_the_login_later_is_gone_back_to_for_ever():
    """nats-py closes for good when a server says anything that it does not know."""
    users = 'authorization { users = [ {user: "u", password: "p"} ] }'
    async with nats_server() as nats:
        connection = Connection(Credentials(url=nats.url), name="test")
        await connection.open()
        config = nats.folder / "n1.conf"
        open_to_all = config.read_text()
        config.write_text(open_to_all + users)
        await nats.restart()
        await until(lambda: "let in" in str(connection._trouble))
        with pytest.raises(NotAuthorised, match="without credentials"):
            await connection.call("e", b"x")
        config.write_text(open_to_all)
        await nats.restart()
        await until(lambda: connection.is_up)
        with pytest.raises(NoResponders):
            await connection.request("e", b"x", timeout=5)
        await connection.close()


async def test_a_mistake_in_what_is_called_back_breaks_nothing(nats, connected, caplog):
    def mistaken():
        raise RuntimeError("a mistake")

    with caplog.at_level(logging.ERROR, "router.cluster"):
        strategy = await connected(changed=mistaken)
        await nats.restart()
        await until(lambda: strategy.client.stats["reconnects"] and strategy.is_up)
    assert "a mistake in what is called" in caplog.text


# -- what the server forbids (rules of router.cluster.broker.calls)


def reply(data=b"yes"):
    return Msg(_client=None, data=data)


async def test_as_many_forbidden_as_are_open_means_all_of_them():
    calls = Calls()
    three = [calls.begin("S") for _ in range(3)]
    other = calls.begin("T")
    calls.forbidden("s")
    calls.forbidden("s")
    assert not any(call.done() for call in three)
    calls.forbidden("s")
    assert all(isinstance(call.exception(), NotAuthorised) for call in three)
    assert not other.done()


async def test_a_call_that_may_have_arrived_is_not_said_to_be_forbidden():
    calls = Calls()
    allowed, forbidden = calls.begin("S"), calls.begin("S")
    calls.forbidden("S")
    assert not allowed.done()
    assert not forbidden.done()
    calls.answered(allowed.token, reply())
    assert allowed.result() == b"yes"
    assert isinstance(forbidden.exception(), NotAuthorised)


async def test_a_forgotten_call_goes_on_counting():
    calls = Calls()
    forgotten, waiting = calls.begin("S"), calls.begin("S")
    calls.forget(forgotten)
    calls.forbidden("S")
    assert not waiting.done()
    calls.forbidden("S")
    assert isinstance(waiting.exception(), NotAuthorised)
    assert not forgotten.done()


async def test_what_an_earlier_connection_left_open_is_not_counted_and_not_touched():
    calls = Calls()
    earlier = calls.begin("S")
    calls.reconnected()
    calls.forbidden("S")
    assert not earlier.done()
    later = calls.begin("S")
    calls.answered(earlier.token, reply())
    assert earlier.result() == b"yes"
    assert not later.done()
    calls.forbidden("S")
    assert isinstance(later.exception(), NotAuthorised)


async def test_another_connection_counts_from_nothing():
    calls = Calls()
    calls.begin("S")
    calls.reconnected()
    later = calls.begin("S")
    calls.forbidden("S")
    assert isinstance(later.exception(), NotAuthorised)


async def test_what_was_not_written_is_not_counted():
    calls = Calls()
    calls.unwritten(calls.begin("S"))
    waiting = calls.begin("S")
    calls.forbidden("S")
    assert isinstance(waiting.exception(), NotAuthorised)
    assert len(calls) == 0


async def test_three_nodes_share_what_one_hears():
    async with nats_cluster() as cluster:
        ends = [Connection(Credentials(url=node.url), name="test") for node in cluster.nodes[:2]]
        for end in ends:
            await end.open()
        await echo(ends[0], "e")

        async def asked():
            try:
                return await ends[1].request("e", b"x", timeout=1)
            except NoResponders:  # interest takes a moment to get from node to node
                return None

        async with asyncio.timeout(5):
            while await asked() != b"x":  # noqa: ASYNC110 - what other processes come to know
                await asyncio.sleep(0.01)
        for end in ends:
            await end.close()
