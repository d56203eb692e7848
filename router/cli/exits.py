"""How a command ends: its exit code, and the one line on stderr that explains it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

import click
from attrs import define

from router.cli.telling import complain
from router.console import show_json, visible, write
from router.errors import RouterError
from router.report import Outcome

__all__ = [
    "CODES",
    "DONE",
    "EXIT_CODES",
    "NOT_SENT",
    "REFUSED",
    "UNKNOWN",
    "USAGE",
    "Failure",
    "Sending",
    "explain",
    "run",
]

DONE: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
UNKNOWN: Final = 3
NOT_SENT: Final = 4
CODES: Final = {
    Outcome.CONFIRMED: DONE,
    Outcome.REFUSED: REFUSED,
    Outcome.NOT_SENT: NOT_SENT,
    Outcome.UNKNOWN: UNKNOWN,
}
EXIT_CODES: Final = """\
\b
Exit codes:
  0  done
  1  refused by the venue
  2  usage: bad input, missing credentials, a mistake in router.toml; nothing was sent
  3  unknown: it may or may not be so (an interruption after the sending included)
  4  not sent: the venue can't be reached or refuses the login, or the answer to the question was no
"""
"""What each means for every command; those that mean something narrower say it in their own help."""

T = TypeVar("T")


class Failure(Exception):
    """What went wrong, for stderr, and the exit code. lines: more of it, a line each."""

    def __init__(self, message: str, code: int, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.lines = tuple(lines)


@define
class Sending:
    """What an interruption leaves open. begun: the command may have sent something; recovering: only what the journal has in doubt."""

    begun: bool = False
    recovering: bool = False

    def interrupted(self) -> Failure:
        """What an interruption comes to."""
        if self.begun:
            return Failure("interrupted; what was sent may have been executed", UNKNOWN)
        if self.recovering:
            return Failure("interrupted; only what was in doubt in the journal may have been sent again", NOT_SENT)
        return Failure("interrupted; this command has sent nothing", NOT_SENT)


_latest = Sending()
"""Of the command that runs, or has run: also what comes after its work can be interrupted."""


def run(work: Coroutine[Any, Any, T], sending: Sending | None = None) -> T:
    """Run it to its end. Interrupted, it fails with what that leaves open."""
    global _latest  # noqa: PLW0603 - a process runs one command
    _latest = Sending() if sending is None else sending
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise _latest.interrupted() from None


def explain(error: BaseException, *, as_json: bool) -> int:
    """Say what went wrong, and return its exit code."""
    lines: Sequence[str] = ()
    if isinstance(error, click.Abort | KeyboardInterrupt):
        error = _latest.interrupted()
    match error:
        case click.exceptions.NoArgsIsHelpError():
            write(f"{error.format_message()}\n", err=True)
            return USAGE
        case click.ClickException():
            message, code = error.format_message(), error.exit_code
        case Failure():
            message, code, lines = str(error), error.code, error.lines
        case RouterError() | ValueError() | TypeError():
            message, code = f"{type(error).__name__}: {error}", UNKNOWN
        case _:
            write("".join(traceback.format_exception(error)), err=True)
            message, code = f"a bug: {type(error).__name__}: {error}", UNKNOWN
    for line in (message, *lines):
        complain(line)
    if as_json:
        shown = {"error": visible(message)}
        show_json(shown | {"mistakes": [visible(line) for line in lines]} if lines else shown)
    return code
