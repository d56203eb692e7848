"""A journal that is written to, copied into a stream and read there: by this process, or by one that can be killed."""

import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime
from decimal import Decimal

from router import Event, ExecType, OrdStatus
from router.cluster.broker.connection import Connection
from router.cluster.broker.credentials import Credentials
from router.cluster.stream.copying import Copying
from router.journal import Journal
from router.record import Record

VENUE = "qfex"
AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def event(number, venue=VENUE):
    """A trade, of which every field can be told from every other."""
    return Event(
        venue=venue,
        order_id=f"o{number}",
        client_order_id=f"c{number}",
        exec_type=ExecType.TRADE,
        status=OrdStatus.PARTIALLY_FILLED,
        last_quantity=Decimal("0.10"),
        last_price=Decimal("1E+2"),
        cum_quantity=Decimal(number),
        trade_id=f"t{number}",
        seq=number,
        at=AT,
        symbol="AAPL-USD",
        text="as it was written \N{EURO SIGN}",
    )


def trade(number, venue=VENUE, **facts):
    return Record("execution", venue, None, f"o{number}", f"c{number}", {"event": event(number, venue)} | facts)


@contextlib.asynccontextmanager
async def journal(path):
    """Open for writing."""
    made = Journal(path, "process")
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def write(made, numbers):
    """Trades of these numbers, durable when it returns."""
    last = 0
    for number in numbers:
        last = made.put(trade(number), hurry=False)
    made._hand_over()
    assert await made.written(last, 10)


@contextlib.asynccontextmanager
async def connected(url, strategy="tests", **given):
    connection = Connection(Credentials(url=url, strategy=strategy, **given), name="tests")
    await connection.open()
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def copying(connection, what, venue=VENUE, **given):
    """Copied while it lasts: an open Journal, or what is at a path. Nothing that should be caught may end it."""
    made = Copying(connection, venue, what.path if isinstance(what, Journal) else what, **given)
    if isinstance(what, Journal):
        what.on_durable = made.wake
    task = asyncio.ensure_future(made.run())
    try:
        yield made
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def soon(condition, seconds=10.0):
    """Wait until it is so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def take(stream, count, seconds=30.0):
    """The next ones."""
    async with asyncio.timeout(seconds):
        return [await anext(stream) for _ in range(count)]


def _doomed(connection, dies):
    """The process kills itself at such a moment: a batch is a publish for all but its last entry, and a request for that."""
    publish, request = connection.client.publish, connection.client.request
    published = []

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    async def published_one(subject, body, reply="", headers=None):
        await publish(subject, body, reply, headers)
        published.append(subject)
        is_last = subject.startswith("router.event.") and "Nats-Batch-Commit" in (headers or {})
        if (dies == "in the batch" and len(published) == 100) or (dies == "before the answer" and is_last):
            await connection.client.flush()
            die()

    async def requested(subject, *given, **named):
        answer = await request(subject, *given, **named)
        if dies == "after the answer" and subject.startswith("router.event."):
            die()
        return answer

    connection.client.publish, connection.client.request = published_one, requested


async def _main(url, path, dies):
    async with connected(url, "copier") as connection:
        _doomed(connection, dies)
        copier = Copying(connection, VENUE, path)
        print("copying", flush=True)  # noqa: T201
        await copier.run()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
