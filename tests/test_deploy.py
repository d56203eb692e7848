"""docs/deploy.md does what it says: its files are saved and its ten commands are entered, as printed, in an empty folder.

`pip install` alone is not run: what it names is looked up instead, with everything that its extra needs. The port is a free one, which the
page takes from NATS_PORT. Whatever happens, every process of the page is ended: they are one session, which nothing else is in.
"""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.metadata import requires, version
from pathlib import Path

import pytest

from tests.cluster.servers import free_ports
from tests.commanding import CLEAN

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "deploy.md").read_text()
COMMANDS = [text.strip() for text in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)]
FILES = {
    name: text
    for names, text in re.findall(r"^Save this as ([^\n:]*).*?:?\n\n```\w+\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    for name in re.findall(r"`([^`]+)`", names)
}
INSTALL = "pip install "
SECONDS = 90


def installed(command):
    """Look up what a `pip install` names, and what its extra needs; raises PackageNotFoundError."""
    for named in shlex.split(command.removeprefix(INSTALL)):
        name, extra = re.fullmatch(r"([\w-]+)(?:\[(\w+)\])?", named).groups()
        version(name)
        for each in requires(name) if extra else ():
            if re.search(rf"extra == ['\"]{extra}['\"]", each):
                version(re.match(r"[\w-]+", each)[0])


def ended(session):
    """Kill what is left of it. Whether anything was."""
    try:
        os.killpg(session, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def entered(folder, commands):
    """What bash says to the commands, in one session of its own."""
    environment = CLEAN | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NATS_PORT": str(free_ports(1)[0]),
    }
    text = "\n".join([*commands, "wait"])  # for the last ones to end
    with (folder / "said").open("w+") as said:
        bash = subprocess.Popen(  # noqa: S603 - our own page
            ["bash", "-c", text],  # noqa: S607 - wherever it is
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                bash.wait(SECONDS)
        finally:
            was_left = ended(bash.pid)
            bash.wait()
        said.seek(0)
        return said.read(), was_left


def test_ten_commands_are_ten_and_each_is_a_line():
    assert len(COMMANDS) == 10
    assert all("\n" not in command for command in COMMANDS)
    assert re.findall(r"^\*\*(\d+)\.\*\*", PAGE, re.MULTILINE) == [str(number) for number in range(1, 11)]
    assert set(FILES) == {"one/router.toml", "two/router.toml", "strategy.py"}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """All that is seen of it."""
    folder = tmp_path_factory.mktemp("deploy")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    installs = [command for command in COMMANDS if command.startswith(INSTALL)]
    for command in installs:
        installed(command)
    text, was_left = entered(folder, [command for command in COMMANDS if command not in installs])
    assert not was_left, f"something of the page was still running:\n{text}"
    return text


def test_the_strategy_trades_before_and_after_the_gateway_dies(said):
    reports = re.findall(r"^qfex: (submit|cancel) .*?: (\w+)", said, re.MULTILINE)
    assert reports == [("submit", "CONFIRMED"), ("cancel", "CONFIRMED")] * 2, said


def test_the_second_gateway_takes_over_and_gives_back(said):
    tenures = re.findall(r"^qfex: owns it \(tenure (\S+)\)", said, re.MULTILINE)
    assert len(set(tenures)) == 2, said
    first, second = (said.index(tenure) for tenure in tenures)
    assert first < said.index("CONFIRMED") < second < said.rindex("CONFIRMED"), said
    assert "qfex: it was given back" in said[second:]


def test_the_watcher_sees_it(said):
    """At least the second time: it may have come too late for the first."""
    seen = re.findall(r"^\S+  qfex  (NEW|CANCELED)  AAPL-USD", said, re.MULTILINE)
    assert seen[-2:] == ["NEW", "CANCELED"], said


def test_no_key_is_shown(said):
    assert not re.search(r"qfex_secret_|\bSU[A-Z0-9]{56}\b|PRIVATE KEY", said)


def test_what_is_left_running_is_ended_and_told(tmp_path):
    begun = time.monotonic()
    text, was_left = entered(tmp_path, ["sleep 300 & disown", "echo $!", "exit"])
    assert was_left
    assert time.monotonic() - begun < 30
    pid = int(text)
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() - begun < 30
        time.sleep(0.01)


def test_every_link_of_the_page_leads_somewhere():
    for name, anchor in re.findall(r"\]\(([\w.-]*)(#[\w-]+)?\)", PAGE):
        text = (DOCS / name).read_text() if name else PAGE
        heads = [
            re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-")
            for head in re.findall(r"^#+ (.*)", text, re.MULTILINE)
        ]
        assert not anchor or anchor[1:] in heads, (name, anchor)
