"""What the command line looks like: tables for people, JSON for programs, and text that no terminal obeys."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Final, cast

import click

from router.model import plain
from router.report import Outcome

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "cell",
    "coloured",
    "console",
    "line_json",
    "red",
    "show",
    "show_json",
    "show_rows",
    "table",
    "visible",
    "write",
]

COLOURS: Final = {
    Outcome.CONFIRMED: "green",
    Outcome.REFUSED: "yellow",
    Outcome.NOT_SENT: "cyan",
    Outcome.UNKNOWN: "magenta",
}
WIDE: Final = 1000  # columns when nobody looks: a pipe has no edge at which to break an id


def console(file: Any = None) -> Console:
    from rich.console import Console  # noqa: PLC0415 - slow to import

    stream = sys.stdout if file is None else file
    guarded = None if stream is None else cast("IO[str]", _Guarded(stream))
    made = Console(file=guarded, highlight=False)
    return made if made.is_terminal else Console(file=guarded, highlight=False, width=WIDE)


def show(shown: Any, *, err: bool = False) -> None:
    """A table or a line, on stdout; err: on stderr."""
    screen = console(sys.stderr if err else None)
    with screen.capture() as printed:
        screen.print(visible(shown) if isinstance(shown, str) else shown, markup=False)
    write(printed.get(), err=err)


def write(text: str, *, err: bool = False) -> bool:
    """To stdout (err: stderr), whether or not it can be written to: the exit code tells the outcome, and nothing else.

    Returns whether it could.
    """
    stream = sys.stderr if err else sys.stdout
    try:
        click.echo(_writable(text, stream), nl=False, color=True, err=err)
    except OSError:  # nobody reads it, the disk is full, the terminal has gone
        _give_up(stream)
        return False
    return True


def _writable(text: str, stream: Any) -> str:
    """Without what the stream's encoding does not have: a box around a table must not hide the outcome."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _give_up(stream: Any) -> None:
    """Nothing more goes there, so that the end of the process does not fail with what is still in the buffer."""
    with suppress(OSError, ValueError):  # no descriptor, where somebody has put another stream in its place
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Guarded:
    """A text stream for those who write to it by themselves: what can't be written is left out."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError:
            _give_up(self._stream)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            _give_up(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def table(*columns: str, show_header: bool = True) -> Table:
    from rich import box  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415 - slow to import

    made = Table(box=box.SIMPLE_HEAD, show_header=show_header)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def show_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table where the screen is wide enough; else a block for each row, since an id that is broken can't be copied."""
    listed = [[str(cell(value)) for value in row] for row in rows]
    made, screen = table(*columns), console()
    for row in listed:
        made.add_row(*map(cell, row))
    if screen.measure(made, options=screen.options.update(width=WIDE)).maximum <= screen.width:
        show(made)
        return
    edge = max(map(len, columns))
    for row in listed:
        lines = (f"{name:<{edge}}  {value}\n" for name, value in zip(columns, row, strict=True) if value != "-")
        write(f"{''.join(lines)}\n")


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
