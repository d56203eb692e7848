"""All of them: python -m benchmarks [--quick] [--rounds N] [--only NAME]... [--json FILE] [--docs] [--from FILE]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from benchmarks import pages
from benchmarks.run import NAMES, ROOT, Run, perform
from benchmarks.tables import show

__all__ = ["FAILED", "command"]

FAILED: Final = 1
"""The exit code when a benchmark came to nothing. A goal that is missed is a figure, and no failure."""


@click.command("benchmarks")
@click.option("--quick", is_flag=True, help="Smaller turns: the whole table in about two minutes.")
@click.option("--rounds", type=click.IntRange(1), help="How often each side has its turn.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Leave the others out (repeatable).")
@click.option("--json", "to", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there, as JSON.")
@click.option("--docs", is_flag=True, help="Renew docs/benchmarks.md, .svg and .json.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Measure nothing; take the figures of an earlier --json.",
)
def command(
    quick: bool, rounds: int | None, only: Sequence[str], to: Path | None, docs: bool, source: Path | None
) -> None:
    """Run all benchmarks one after the other, and print a table of their goals."""
    if to is not None and not to.parent.is_dir():  # known now, and not after ten minutes
        raise click.BadParameter(f"there is no folder {to.parent}", param_hint="--json")
    run = _measured(only or NAMES, quick=quick, rounds=rounds) if source is None else _read(source)
    show(run)
    if to is not None:
        run.write(to)
    if docs:
        for path in pages.renew(run, ROOT / "docs"):
            click.echo(f"wrote {path}", err=True)
    click.get_current_context().exit(FAILED if run.failed else 0)


def _measured(names: Sequence[str], *, quick: bool, rounds: int | None) -> Run:
    chosen = [name for name in NAMES if name in names]
    with Console(stderr=True).status("benchmarks") as status:
        return perform(
            chosen,
            quick=quick,
            rounds=rounds,
            told=lambda name: status.update(f"{name}, {chosen.index(name) + 1} of {len(chosen)}"),
        )


def _read(source: Path) -> Run:
    try:
        return Run.read(source)
    except ValueError as error:
        raise click.BadParameter(f"{source} is not what --json writes: {error}", param_hint="--from") from None


if __name__ == "__main__":
    command()
