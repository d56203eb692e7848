"""A strategy of the tests: it says to gateways what wire.py has words for, over a real nats-server, and nothing of RemoteRouter is in it."""

import asyncio
import contextlib
import itertools
import secrets
import time
from types import SimpleNamespace

import nats
from nats.errors import NoRespondersError

from router import Order
from router.cluster import subjects, wire
from router.cluster.ownership.bucket import Bucket
from router.cluster.ownership.leasing import Record

_process = secrets.token_hex(8)
_numbers = itertools.count(1)
ALPHA = "alpha"


def new_op():
    return f"{_process}{next(_numbers):016d}"


class Strategy:
    """One connection. tenures: by venue, of the owners that were heard of."""

    def __init__(self, client, name=ALPHA):
        self.client, self.name = client, name
        self.owners = {}
        self._news = asyncio.Condition()

    async def heard(self, message):
        standing = wire.standing(message.data)
        async with self._news:
            for venue, owned in standing.venues.items():
                self.owners[venue] = (standing.gateway, owned)
            self._news.notify_all()

    async def owner(self, venue, *, gateway=None, other=None, healthy=False, timeout=10):
        """The tenure of the owner. gateway: this one; other: not this tenure; healthy: with the venue connected."""

        def is_there():
            name, owned = self.owners.get(venue, ("", wire.Owned()))
            fits = owned.tenure and gateway in {None, name} and owned.tenure != other
            return fits and (not healthy or (owned.health is not None and owned.health.ok))

        async with asyncio.timeout(timeout), self._news:
            await self._news.wait_for(is_there)
            return self.owners[venue][1].tenure

    # -- saying

    async def raw(self, subject, body, timeout=5):
        """The reply's bytes."""
        return (await self.client.request(subject, body, timeout=timeout)).data

    async def say(self, venue, command, *, verb=None, tenure=None, timeout=5):
        """A command, to the tenure that it names."""
        verb = verb or type(command).__struct_config__.tag
        subject = subjects.command(venue, verb, self.name, tenure or command.tenure)
        return wire.reply(await self.raw(subject, wire.encode(command), timeout))

    async def submit(self, tenure, order, *, op=None, seconds=3.0, **more):
        return await self.say(order.venue, submitting(tenure, order, op=op, seconds=seconds), **more)

    async def cancel(self, tenure, cancel, *, op=None, seconds=3.0, of=None, placed=""):
        command = wire.Cancelling(
            op=op or new_op(),
            tenure=tenure,
            deadline=time.time() + seconds,
            cancel=wire.Address.of(cancel),
            of=of,
            placed=placed,
        )
        return await self.say(cancel.venue, command)

    async def settle(self, tenure, venue, command, *, timeout=2.0, sent_at=None):
        asked = wire.Settling(
            op=new_op(),
            tenure=tenure,
            deadline=time.time() + timeout + 1,
            command=command,
            sent_at=time.time() if sent_at is None else sent_at,
            timeout=timeout,
        )
        return await self.say(venue, asked, timeout=timeout + 3)


def submitting(tenure, order, *, op=None, seconds=3.0):
    return wire.Submitting(op=op or new_op(), tenure=tenure, deadline=time.time() + seconds, order=wire.Terms.of(order))


def limit(venue="qfex", **changes):
    return Order(venue, "AAPL-USD", "buy", "limit", **{"quantity": "1", "price": "150"} | changes)


@contextlib.asynccontextmanager
async def strategy(url, name=ALPHA):
    client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=_silent)
    found = Strategy(client, name)
    await client.subscribe("router.owner.*", cb=found.heard)
    await client.flush()
    try:
        yield found
    finally:
        with contextlib.suppress(Exception):
            await client.close()


async def vacate(client, *venues):
    """Venues that a gateway has given back: the next one need not wait for a lease that nobody ever had."""
    bucket = Bucket(SimpleNamespace(client=client), timeout=5)
    for venue in venues:
        found = await bucket.read(venue)
        await bucket.write(venue, Record(released=True), found.revision)


async def _silent(error):
    pass


async def nobody(strategy_, subject, body=b"{}"):
    """Whether nobody listens there."""
    try:
        await strategy_.client.request(subject, body, timeout=1)
    except NoRespondersError:
        return True
    return False
