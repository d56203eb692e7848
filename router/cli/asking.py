"""What a command says to a person at the terminal while it works: a question before it acts, and how far it has got."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from router.cli.exits import NOT_SENT, USAGE, Failure
from router.console import cell, console, visible, write

__all__ = ["confirmed", "must_be_able_to_ask", "progress"]

YES: Final = frozenset({"y", "yes"})


def must_be_able_to_ask(*, yes: bool) -> None:
    """Raise Failure where nobody could answer a question."""
    if not (yes or (sys.stdin is not None and sys.stdin.isatty())):
        raise Failure("nobody can be asked first, because stdin is no terminal; --yes goes ahead without asking", USAGE)


async def confirmed(question: str) -> None:
    """Ask on the terminal. Raises Failure unless the answer is yes."""
    write(f"{visible(question)} [y/N]: ", err=True)
    answer = await _line()
    if not answer:  # the end of input; what follows must not begin on this line
        write("\n", err=True)
    if answer.strip().lower() not in YES:
        raise Failure("the answer was no; nothing was sent", NOT_SENT)


async def _line() -> str:
    """A line from stdin, without a thread that would wait for it after Ctrl-C."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    descriptor = sys.stdin.fileno()
    try:
        loop.add_reader(descriptor, readable.set)
    except NotImplementedError:  # a loop that cannot watch a terminal
        return await asyncio.to_thread(sys.stdin.readline)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 4096).decode(errors="replace")


@contextmanager
def progress(text: str) -> Iterator[Callable[[str], None]]:
    """A line on stderr that can be changed while something works; nothing at all where stderr is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    with console(sys.stderr).status(cell(text)) as status:
        yield lambda changed: status.update(cell(changed))
