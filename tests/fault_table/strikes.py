"""How a cell's fault is brought about around its command. Each returns the first report, and leaves the venue mended."""

from __future__ import annotations

import asyncio

from router import Outcome
from router.testing import Fault

from .benches import HASTY, OTHER, QUIET
from .cells import Network

AWAY = HASTY + 4 * QUIET
TURNS = 20  # of the loop, in which a reset passes from one local socket to another


async def strike(bench, deadline):
    fault = bench.cell.fault
    if isinstance(fault, Fault):
        return await _injected(bench, deadline, fault)
    return await _NETWORK[fault](bench, deadline)


async def _injected(bench, deadline, fault):
    bench.sim.inject(fault, only={bench.cell.word})
    command = bench.start(deadline)
    if fault is Fault.REORDER:
        await bench.sim.until_struck(1)
        other = await bench.place(OTHER)
        assert other.ok, other
    return await command


# -- before the command is written


def _go(bench):
    """Break the connection and accept none. Returns what ends that."""
    bench.proxy.refuse()
    bench.proxy.reset()
    return bench.proxy.accept


async def _gone(bench):
    """The same, and our side has noticed."""
    come_back = _go(bench)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert bench.cell.venue.http or not bench.health.ok
    return come_back


async def _unreachable(bench, deadline):
    come_back = await _gone(bench)
    report = await bench.start(deadline)
    come_back()
    return report


async def _reconnecting(bench, deadline):
    come_back = await _gone(bench)
    command = bench.start(deadline)
    come_back()
    return await command


async def _paced(bench, deadline):
    if hasattr(bench.sim, "retry_after"):
        bench.sim.retry_after = 1
    bench.sim.inject(Fault.THROTTLED, only={bench.cell.word})
    declined = await bench.another(HASTY)
    assert declined.outcome is Outcome.REFUSED, declined
    return await bench.start(deadline)


async def _login_skewed(bench, deadline):
    bench.sim.inject(Fault.CLOCK_SKEW, only={bench.cell.venue.login})
    bench.proxy.reset()
    await bench.sim.until_struck(1)
    report = await bench.start(deadline)
    assert not bench.health.ok
    assert "clock" in bench.health.last_error
    bench.sim.faults.clear()
    return report


async def _login_expired(bench, deadline):
    bench.sim.inject(Fault.EXPIRED_TOKEN, only={bench.cell.venue.login})
    bench.proxy.reset()
    await bench.sim.until_struck(1)
    return await bench.start(deadline)


# -- on its way


def _cut(after):
    async def cut(bench, deadline):
        bench.proxy.reset_after(client_bytes=after)
        bench.unreadable = 1
        return await bench.start(deadline)

    return cut


async def _lost_twice(bench, deadline):
    bench.sim.inject(Fault.HANG_UP_READ, only={bench.cell.word}, times=2)
    report = await bench.start(deadline)
    assert (await bench.place(OTHER)).ok  # connected again
    return report


async def _outage(bench, deadline):
    bench.sim.inject(Fault.HANG_UP_READ, only={bench.cell.word})
    command = bench.start(deadline)
    await bench.sim.until_struck(1)
    come_back = _go(bench)

    def mend():
        come_back()
        bench.mended.set()

    bench.mended.clear()
    asyncio.get_running_loop().call_later(AWAY, mend)
    return await command


async def _cut_answer(bench, deadline):
    bench.proxy.reset_after(server_bytes=range(1, 40))
    return await bench.start(deadline)


async def _half_open(bench, deadline):
    bench.proxy.half_open()
    command = bench.start(deadline)
    if not bench.cell.venue.http:
        await bench.proxy.until_connections(bench.proxy.connections + 1)  # a dead peer was noticed
    report = await command
    bench.proxy.heal()
    return report


async def _byte_by_byte(bench, deadline):
    bench.proxy.byte_by_byte(single=True)
    return await bench.start(deadline)


async def _token_refused(bench, deadline):
    bench.sim.inject(Fault.EXPIRED_TOKEN, only={bench.cell.word})
    bench.sim.inject(Fault.EXPIRED_TOKEN, only={bench.cell.venue.login})
    return await bench.start(deadline)


_NETWORK = {
    Network.UNREACHABLE: _unreachable,
    Network.RECONNECTING: _reconnecting,
    Network.PACED: _paced,
    Network.LOGIN_SKEWED: _login_skewed,
    Network.LOGIN_EXPIRED: _login_expired,
    Network.CUT_FIRST_BYTE: _cut(1),
    Network.CUT_MIDDLE: _cut(range(2, 60)),
    Network.HALF_OPEN: _half_open,
    Network.BYTE_BY_BYTE: _byte_by_byte,
    Network.TOKEN_REFUSED: _token_refused,
    Network.LOST_TWICE: _lost_twice,
    Network.OUTAGE: _outage,
    Network.CUT_ANSWER: _cut_answer,
}
assert set(_NETWORK) == set(Network)
