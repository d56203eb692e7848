"""What a command says on stderr, line by line, in words that no terminal obeys."""

from __future__ import annotations

import logging
from typing import Final

from router.console import visible, write

__all__ = ["complain", "hear_the_log", "say"]


def say(text: str) -> None:
    """One line that is no complaint."""
    write(f"{visible(text)}\n", err=True)


def complain(text: str) -> None:
    """One line that something is not as it should be."""
    write(f"router: {visible(text)}\n", err=True)


IDLE: Final = ("which this Router does not have", "going on without it: submits will not be sent")
"""What the Router says of its journal that is no news here: a command connects only the venues that it is about, and says itself
what it does without the journal.
"""


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if any(words in str(record.msg) for words in IDLE):
            return
        for line in self.format(record).splitlines():
            complain(line)


def hear_the_log() -> None:
    """Show the library's own warnings, which may quote a venue, unless somebody else has asked for them."""
    log = logging.getLogger("router")
    if not log.hasHandlers():
        log.addHandler(_Lines(logging.WARNING))
