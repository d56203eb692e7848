"""What a command says on stderr, line by line, in words that no terminal obeys."""

from __future__ import annotations

import logging

import click

from router.console import visible

__all__ = ["complain", "hear_the_log", "say"]


def say(text: str) -> None:
    """One line that is no complaint."""
    click.echo(visible(text), err=True)


def complain(text: str) -> None:
    """One line that something is not as it should be."""
    click.echo(f"router: {visible(text)}", err=True)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            complain(line)


def hear_the_log() -> None:
    """Show the library's own warnings, which may quote a venue, unless somebody else has asked for them."""
    log = logging.getLogger("router")
    if not log.hasHandlers():
        log.addHandler(_Lines(logging.WARNING))
