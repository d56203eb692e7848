"""`router bench`: the benchmarks of the source tree, from anywhere."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from router.cli.exits import USAGE, Failure

__all__ = ["command"]

TREE: Final = Path(__file__).parent.parent.parent


@click.command("bench")
@click.option("--quick", is_flag=True, help="Smaller turns: the whole table in about two minutes.")
@click.option("--only", multiple=True, metavar="NAME", help="Leave the others out (repeatable).")
@click.option("--json", "to", metavar="FILE", help="Write all figures there, as JSON.")
def command(quick: bool, only: tuple[str, ...], to: str | None) -> int:
    """Measure it all on this machine, against other clients and libraries in the same run, and print a table of the goals.

    Needs the source tree; those of the other clients that are not installed are left out, and named. Exit code 0 if every benchmark
    ran, whatever its figures; 1 if one came to nothing.
    """
    flags = [*(["--quick"] if quick else []), *(f"--only={name}" for name in only), *([f"--json={to}"] if to else [])]
    return int(_benchmarks().main(flags, prog_name="router bench", standalone_mode=False))


def _benchmarks() -> click.Command:
    """Those that lie beside this package, and no other package of that name."""
    if not (TREE / "benchmarks" / "__main__.py").is_file():
        raise Failure(
            "the benchmarks are no part of an installation. Take venue-router's source tree, and there: "
            "pip install -e '.[bench]', and router bench again",
            USAGE,
        )
    if str(TREE) not in sys.path:  # an editable installation may put it there, or not
        sys.path.insert(0, str(TREE))
    found: click.Command = import_module("benchmarks.__main__").command
    return found
