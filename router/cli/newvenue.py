"""`router new-venue`: the folder in which a venue of your own begins."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from router import scaffold
from router.cli.exits import DONE, USAGE, Failure
from router.console import write

__all__ = ["command"]


@click.command("new-venue")
@click.argument("name")
@click.option(
    "--transport", type=click.Choice(["websocket", "http"]), required=True, help="What the venue takes orders over."
)
@click.option(
    "--directory",
    default=".",
    metavar="DIR",
    help="Where the folder NAME is written.  [default: the current directory]",
)
def command(name: str, transport: str, directory: str) -> int:
    """Write a folder NAME with a new venue's package in it: its conformance cases run at once, and say what to write next.

    Nothing is overwritten. See docs/add-a-venue.md.
    """
    try:
        written = scaffold.new_venue(name, transport, Path(directory))
    except (ValueError, OSError) as error:
        raise Failure(str(error), USAGE) from None
    folder = shlex.quote(str(Path(directory) / name))
    write("".join(f"wrote {path}\n" for path in written))
    write(f"Next:\n  pip install -e {folder}\n  pytest --venue {name}\n  router venues\n")
    return DONE
