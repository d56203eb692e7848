"""What the tests of the command line run: `router` as a process of its own, in a clean environment, on a terminal if need be."""

import asyncio
import contextlib
import os
import pty
import re
import sys

CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not re.match("QFEX_|B2TRADER_|DMEX_|ROUTER_|NO_COLOR|FORCE_|COLUMNS", name)
}
COMMAND = (sys.executable, "-m", "router.cli")
PIPE = asyncio.subprocess.PIPE
TIMEOUT = 60
SECRETS = {"secret_key", "private_key", "offline_token"}


@contextlib.asynccontextmanager
async def started(*arguments, cwd=None, stdin=None, stderr=PIPE, **environment):
    """`router ARGUMENTS` as a process; killed if the test ends before it does."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *map(str, arguments), env=CLEAN | environment, cwd=cwd, stdin=stdin, stdout=PIPE, stderr=stderr
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def router(*arguments, **options):
    """Exit code, stdout and stderr of `router ARGUMENTS`, which nobody can be asked."""
    async with started(*arguments, stdin=asyncio.subprocess.DEVNULL, **options) as process:
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


class Terminal:
    """The other end of the terminal that a process has as stdin and stderr."""

    def __init__(self, process, master):
        self.process, self._master = process, master
        self._more = asyncio.Event()
        self.said = ""
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self):
        try:
            self.said += os.read(self._master, 4096).decode()
        except OSError:  # nobody has the other end any more
            asyncio.get_running_loop().remove_reader(self._master)
        self._more.set()

    async def until(self, words):
        """Wait until these words have been shown, and return everything that was."""
        while words not in self.said:
            self._more.clear()
            await self._more.wait()
        return self.said

    def type(self, text):
        os.write(self._master, text.encode())

    async def ended(self):
        """Exit code and stdout; what was shown is in `said`."""
        out, _ = await self.process.communicate()
        with contextlib.suppress(OSError):
            while said := os.read(self._master, 4096):
                self.said += said.decode()
        return self.process.returncode, out.decode()


@contextlib.asynccontextmanager
async def on_terminal(*arguments, **options):
    """`router ARGUMENTS` where somebody can be asked."""
    master, slave = pty.openpty()
    try:
        async with started(*arguments, stdin=slave, stderr=slave, **options) as process:
            os.close(slave)
            yield Terminal(process, master)
    finally:
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)


def configured(folder, /, *lines, **simulators):
    """Write a router.toml for these simulators, the secrets by reference, and return it with the environment they are in.

    lines: go before the venues. A name like qfex_two is another venue of the same adapter.
    """
    text, environment = ["\n".join(lines)], {}
    for name, simulator in simulators.items():
        adapter = name.partition("_")[0]
        text.append(f'[venues.{name}]\nadapter = "{adapter}"')
        for key, value in simulator.credentials.items():
            variable = f"SECRET_{name}_{key}".upper()
            if key in SECRETS:
                environment[variable] = value
            text.append(f'{key} = {{ env = "{variable}" }}' if key in SECRETS else f'{key} = "{value}"')
    path = folder / "router.toml"
    path.write_text("\n".join(text) + "\n")
    return path, environment
