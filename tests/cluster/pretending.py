"""A gateway of the tests: it speaks what gateways speak over a real nats-server, and says what the test makes it say."""

import asyncio
import contextlib
import itertools
import time

import nats

from router import IdKind, OrdStatus, Outcome
from router.cluster import subjects, wire
from router.report import Health, OrderState, SessionState

numbers = itertools.count(1)
HOLD = object()


def told(outcome=Outcome.CONFIRMED, **facts):
    return wire.Told(report=wire.Facts(outcome=outcome, **facts))


def confirmed(command):
    """What a gateway would say on a good day."""
    match command:
        case wire.Submitting(order=order):
            name = f"v-{order.client_order_id}"
            return told(status=OrdStatus.NEW, order_id=name, client_order_id=order.client_order_id, symbol=order.symbol)
        case wire.Cancelling(cancel=cancel):
            state = OrderState(venue="v", order_id=cancel.id, kind=IdKind.ORDER, status=OrdStatus.CANCELED)
            return told(status=OrdStatus.CANCELED, orders=(state,))
        case wire.Replacing():
            return told(status=OrdStatus.NEW, order_id="replaced")
        case wire.Settling(command=inner):
            return confirmed(inner)
        case wire.OpenOrders():
            return wire.Listed()
        case wire.Recovering():
            return wire.Recovered()


class Pretender:
    """One gateway. says: by verb, what it answers: a Reply, bytes, None (nothing), HOLD (keep the answer), or what makes one of these."""

    def __init__(self, url, *venues, epoch=1, tenure=None, ttl=0.4, ahead=0.0):
        self.url, self.ttl, self.ahead = url, ttl, ahead
        self.name = f"gateway-{next(numbers)}"
        self.venues = venues or ("v",)
        self.tenure = subjects.new_tenure(epoch) if tenure is None else tenure
        self.owns = True
        self.announces = True
        self.says = {}
        self.heard = []
        self.held = []
        self.fenced = False
        self._is_over = False
        self._news = asyncio.Condition()
        self._subscriptions = []

    @property
    def clock(self):
        return time.time() + self.ahead

    async def __aenter__(self):
        self.nats = await nats.connect(self.url, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=_silent)
        await self.nats.subscribe(subjects.WHO, cb=self._who)
        if self.owns and self.tenure:
            await self.take(self.tenure)
        await self.nats.flush()
        self._beating = asyncio.ensure_future(self._beat())
        return self

    async def __aexit__(self, *_):
        self._is_over = True  # nats-py keeps a cancellation to itself
        await asyncio.gather(self._beating, return_exceptions=True)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1):  # a client whose server is gone says farewell for ever
                await self.nats.close()

    async def take(self, tenure):
        """Own the venues from now on, under this tenure."""
        self.owns, self.tenure = True, tenure
        for venue in self.venues:
            subject = subjects.command(venue, "*", "*", tenure)
            self._subscriptions.append(await self.nats.subscribe(subject, cb=self._take))
        await self.nats.flush()
        await self.announce()

    async def drop(self):
        """Listen to no commands any more."""
        for each in self._subscriptions:
            await each.unsubscribe()
        self._subscriptions = []
        self.owns = False
        await self.nats.flush()

    def standing(self):
        health = Health(state=SessionState.READY, since=_long_ago())
        owned = wire.Owned(tenure=self.tenure if self.owns else "", fenced=self.fenced, health=health)
        venues = dict.fromkeys(self.venues, owned)
        return wire.Standing(gateway=self.name, now=self.clock, ttl=self.ttl, venues=venues)

    async def announce(self):
        if self.announces and self.nats.is_connected:
            for venue in self.venues:
                await self.nats.publish(subjects.owner(venue), wire.encode(self.standing()))
            await self.nats.flush()

    async def _beat(self):
        while not self._is_over:
            await asyncio.sleep(self.ttl / 4)
            if self.owns and not self._is_over:
                with contextlib.suppress(Exception):
                    await self.announce()

    async def _who(self, message):
        if self.announces:
            await message.respond(wire.encode(self.standing()))

    async def _take(self, message):
        command = wire.command(message.data)
        async with self._news:
            self.heard.append(command)
            self._news.notify_all()
        said = self.says.get(subjects.addressed(message.subject).verb, confirmed)
        if said is HOLD:
            self.held.append((message, command))
            return
        await self._say(message, said(command) if callable(said) else said)

    async def _say(self, message, said):
        if said is not None:
            await message.respond(said if isinstance(said, bytes) else wire.encode(said))
            await self.nats.flush()

    async def release(self, said=confirmed):
        """Say this to all that was held."""
        held, self.held = self.held, []
        for message, command in held:
            await self._say(message, said(command) if callable(said) else said)

    def of(self, kind):
        return [command for command in self.heard if isinstance(command, kind)]

    async def until(self, kind, count=1):
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: len(self.of(kind)) >= count)
        return self.of(kind)


def _long_ago():
    from datetime import UTC, datetime

    return datetime(2026, 1, 1, tzinfo=UTC)


async def _silent(_):
    pass
