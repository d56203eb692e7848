"""The command line `router`: its commands, each of which is loaded when it is called.

Credentials come from router.toml or the environment, never from arguments, which other users of the machine can read.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final, NoReturn, cast

import click

from router.cli.exits import CODES, DONE, EXIT_CODES, NOT_SENT, REFUSED, UNKNOWN, USAGE, explain
from router.cli.telling import hear_the_log

__all__ = ["CODES", "COMMANDS", "DONE", "NOT_SENT", "REFUSED", "UNKNOWN", "USAGE", "main"]

COMMANDS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "Orders": {
        "cancel": ("cancelling", "Cancel one order, and say what is known of it."),
        "cancel-all": ("cancelling_all", "Cancel every open order, and prove that none is left."),
        "submit": ("submitting", "Place one order, once."),
        "orders": ("listing", "Show the open orders, freshly read."),
        "watch": ("watching", "Show what happens to orders, as it happens."),
    },
    "Gateways": {
        "gateway": ("gateway", "Own venues for strategies on other machines."),
    },
    "Journal": {
        "why": ("why", "Tell the whole story of an order."),
        "settle": ("settle", "Settle what is in doubt, by asking or by your word."),
        "journal": ("journal", "Check the journal, print it, make it smaller."),
    },
    "Venues and set-up": {
        "health": ("health", "Connect, and show how each venue is."),
        "config": ("configuring", "Look at router.toml."),
        "venues": ("venues", "List the installed venues, where each comes from and what it can do."),
        "new-venue": ("newvenue", "Write a folder NAME with a new venue's package in it."),
    },
    "Without credentials": {
        "demo": ("demo", "Show it all on simulators."),
        "sim": ("simulating", "Run a simulator of every venue, until Ctrl-C."),
        "bench": ("bench", "Measure it all on this machine."),
    },
}
"""By section: each command's module, and what the list of commands says of it. The module's `command` is the command."""


class Commands(click.Group):
    """Imports a command's module when that command is called: --help and mistakes in typing cost nothing."""

    _modules: Final = {name: module for section in COMMANDS.values() for name, (module, _) in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in self._modules:
            return None
        return cast("click.Command", import_module(f"router.cli.{self._modules[cmd_name]}").command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, summary) for name, (_, summary) in section.items()], col_max=12)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(package_name="venue-router", prog_name="router")
def cli() -> None:
    """One cancel() across exchanges that have nothing in common.

    Venues come from router.toml (--config, $ROUTER_CONFIG or ./router.toml), and what it does not name from environment
    variables. Only the venues that a command names are connected.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script `router`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = _run(given)
    except KeyboardInterrupt as error:  # at any moment: before the command is there, or while it tells how it ended
        code = explain(error, as_json="--json" in given)
    if arguments is None:  # it is decided how the process ends: an interruption changes nothing any more
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    try:
        hear_the_log()
        return int(cli.main(arguments, prog_name="router", standalone_mode=False) or DONE)
    except Exception as error:  # noqa: BLE001 - Python's own exit code for a bug is 1, which would say "refused"
        return explain(error, as_json="--json" in arguments)
    except SystemExit as ended:  # click's, where nobody reads the help
        return UNKNOWN if ended.code == REFUSED else int(ended.code or DONE)
