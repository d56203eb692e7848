"""What the command line looks like: tables for people, JSON for programs, and text that no terminal obeys."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import click

from router.model import plain
from router.report import Outcome

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["cell", "coloured", "console", "line_json", "red", "show", "show_json", "table", "visible", "write"]

COLOURS: Final = {
    Outcome.CONFIRMED: "green",
    Outcome.REFUSED: "yellow",
    Outcome.NOT_SENT: "cyan",
    Outcome.UNKNOWN: "magenta",
}
WIDE: Final = 1000  # columns when nobody looks: a pipe has no edge at which to break an id


def console(file: Any = None) -> Console:
    from rich.console import Console  # noqa: PLC0415 - slow to import

    made = Console(file=file, highlight=False)
    return made if made.is_terminal else Console(file=file, highlight=False, width=WIDE)


def show(shown: Any, *, err: bool = False) -> None:
    """A table or a line, on stdout; err: on stderr."""
    screen = console(sys.stderr if err else None)
    with screen.capture() as printed:
        screen.print(visible(shown) if isinstance(shown, str) else shown, markup=False)
    write(printed.get(), err=err)


def write(text: str, *, err: bool = False) -> bool:
    """To stdout (err: stderr), whether or not anybody still reads it: the exit code tells the outcome, and nothing else.

    Returns whether somebody does.
    """
    try:
        click.echo(text, nl=False, color=True, err=err)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), (sys.stderr if err else sys.stdout).fileno())
        return False
    return True


def table(*columns: str, show_header: bool = True) -> Table:
    from rich import box  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415 - slow to import

    made = Table(box=box.SIMPLE_HEAD, show_header=show_header)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def cell(value: Any) -> Any:
    """Text that is shown as it is: a venue's words are neither markup nor escape sequences."""
    from rich.text import Text  # noqa: PLC0415 - slow to import

    return value if isinstance(value, Text) else Text(visible(str(value)))


def red(text: str) -> Any:
    """One line that says that something is wrong."""
    line = cell(text)
    line.stylize("red")
    return line


def coloured(outcome: Outcome) -> Any:
    from rich.text import Text  # noqa: PLC0415 - slow to import

    return Text(outcome.upper(), style=COLOURS[outcome])


def visible(text: str) -> str:
    """One line without anything that a terminal would obey."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def show_json(value: Any) -> None:
    write(json.dumps(value, indent=2, default=_plain) + "\n")


def line_json(value: Any) -> str:
    """As one line."""
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
