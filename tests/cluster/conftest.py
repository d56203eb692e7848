"""Real nats-servers for the tests of the cluster, and gateways on them. A server takes some 50 ms, so each test has its own."""

import pytest

from adapters.qfex.simulator import QfexSimulator
from router.cluster import Credentials, Gateway
from tests import restarting

from .servers import nats_cluster, nats_server
from .strategies import strategy, vacate

TTL = 0.4  # of the leases


@pytest.fixture
async def nats():
    """One server with JetStream and nothing in it: .url, kill(), restart(), pause(), resume()."""
    async with nats_server() as server:
        yield server


@pytest.fixture
async def cluster():
    """Three of them: .nodes, .urls."""
    async with nats_cluster() as nodes:
        yield nodes


@pytest.fixture
async def venue():
    async with QfexSimulator() as simulator:
        yield simulator


@pytest.fixture
async def alpha(nats):
    async with strategy(nats.url) as found:
        await vacate(found.client, "qfex", "b", "dmex")
        yield found


@pytest.fixture
def gateway(nats, tmp_path):
    """Makes one of QFEX (or of other adapters): a context manager."""

    def made(venue, name="g1", *, journal=None, adapters=None, **changes):
        found = adapters or {"qfex": restarting.qfex(venue)}
        path = journal or tmp_path / f"{name}.journal"
        return Gateway(found, Credentials(url=nats.url), journal=path, name=name, **{"ttl": TTL} | changes)

    return made
