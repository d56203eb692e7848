"""docs/outcomes.md shows what `router why` prints, as it was printed. `python -m tests.test_why_in_docs` prints it anew.

Both stories happen for real: a fill overtakes a cancel, and a process is killed with a submit on the way. Ids, times and
lengths of time are others each time, and so is where a line breaks: nothing else may be.
"""

import asyncio
import os
import pty
import re
import subprocess
import tempfile
from pathlib import Path

from adapters.qfex.simulator import QfexSimulator
from router import Order, Router

from .commanding import CLEAN, COMMAND, configured
from .killed import TERMS, adapter, leave_in_doubt

PAGE = Path(__file__).parent.parent / "docs" / "outcomes.md"
SECTION = "## Why it came out so"
QUIET = 1.2  # seconds
LOOKS = {"TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
BLOCK = re.compile(r"<!-- (?P<name>[\w ]+) -->\n\n```\n.*?```\n", re.DOTALL)
VARYING = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f-]*(?=\.\.\.)"), "ID"),  # in a frame that is cut
    (re.compile(r"\b[0-9a-f]{16}\d{16}\b"), "ID"),
    (re.compile(r"\d\d:\d\d:\d\d(\.\d\d\d)?"), "TIME"),
    (re.compile(r"[+-]\d+\.\d (ms|s)\b"), "+T"),
    (re.compile(r"\w+day, \d\d \w+ \d{4}"), "DAY"),
    (re.compile(r"\b[Pp]rocess \d+"), "process P"),
    (re.compile(r"\s+"), " "),
)


# -- what happens


async def lost_to_a_fill(folder):
    """A cancel that a fill overtakes. Returns the order's id."""
    journal = folder / "router.journal"
    async with (
        QfexSimulator() as venue,
        Router({"qfex": adapter("qfex", venue.credentials)}, journal=journal) as router,
    ):
        configured(folder, 'journal = "router.journal"', qfex=venue)
        placed = await router.submit(Order("qfex", *TERMS["qfex"]))
        cancelling = asyncio.ensure_future(router.cancel(placed))
        await asyncio.sleep(0)  # the cancel is on the wire now, and the venue has not read it
        await venue.fill(placed.order_id)
        report = await cancelling
    assert report.reason.name == "TOO_LATE_TO_CANCEL"
    return placed.order_id


async def resolved_after_a_crash(folder):
    """A submit whose process is killed. Returns the client's id."""
    journal = folder / "router.journal"
    async with QfexSimulator() as venue:
        configured(folder, 'journal = "router.journal"', qfex=venue)
        await leave_in_doubt(venue, journal)
        (read,) = venue.commands("add_order")
        async with Router({"qfex": adapter("qfex", venue.credentials, quiet_period=QUIET)}, journal=journal) as router:
            (report,) = await router.recovered()
    assert "not placed" in report.text
    return read.message["params"]["client_order_id"]


STORIES = {"a cancel that lost to a fill": lost_to_a_fill, "a submit resolved after a crash": resolved_after_a_crash}


def printed(name):
    """What is shown on a terminal, the command included."""
    with tempfile.TemporaryDirectory() as folder:
        order_id = asyncio.run(STORIES[name](Path(folder)))
        shown = on_terminal("why", order_id, cwd=folder)
    return f"$ router why {order_id}\n{shown}"


def on_terminal(*arguments, cwd):
    terminal, end = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*COMMAND, *arguments], cwd=cwd, env=CLEAN | LOOKS, stdin=end, stdout=end, stderr=end, start_new_session=True
    )
    os.close(end)
    said = b""
    try:
        while more := os.read(terminal, 65536):
            said += more
    except OSError:  # it has ended
        pass
    os.close(terminal)
    assert process.wait() == 0, said.decode()
    words = re.sub(r"\x1b\[\d*m", "", said.decode())  # bold and dim, which a page does not show
    return re.sub(r" +$", "", words.replace("\r\n", "\n"), flags=re.MULTILINE)


# -- what is on the page


def plain(text):
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    return text.strip()


def blocks():
    section = PAGE.read_text().partition(SECTION)[2]
    return {found["name"]: found[0] for found in BLOCK.finditer(section)}


def block(name):
    return f"<!-- {name} -->\n\n```\n{printed(name)}```\n"


def test_the_page_shows_the_two_stories_as_they_are_printed():
    shown = blocks()
    assert set(shown) == set(STORIES)
    for name in STORIES:
        assert plain(shown[name]) == plain(block(name)), "refresh the page: python -m tests.test_why_in_docs"


def test_a_change_of_a_word_is_noticed():
    shown = blocks()["a cancel that lost to a fill"]
    assert plain(shown) != plain(shown.replace("came too late", "was refused"))
    assert plain(shown) == plain(shown.replace("+", "\n+"))


if __name__ == "__main__":
    page = PAGE.read_text()
    for name, shown in blocks().items():
        page = page.replace(shown, block(name))
    PAGE.write_text(page)
