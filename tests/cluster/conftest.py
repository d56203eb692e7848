"""Real nats-servers for the tests of the cluster. A server takes some 50 ms, so each test has its own."""

import pytest

from .servers import nats_cluster, nats_server


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
