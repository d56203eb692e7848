"""`router demo`: everything, on simulators."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import click

from router import registry
from router.cli.simulating import loaded
from router.console import cell, coloured, console, show, show_json, table, visible

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["command", "steps_table"]


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="Print the steps as JSON.")
def command(as_json: bool) -> int:
    """Show it all on simulators: orders on every venue, cancelled every way, and every outcome. No credentials needed.

    Exit code 0 only if every step came out as it should, else 1.
    """
    steps = asyncio.run(_perform(loaded(registry.DEMOS).values()))
    ok = bool(steps) and all(step.ok for step in steps)
    if as_json:
        show_json({"ok": ok, "steps": [attrs.asdict(step) | {"ok": step.ok} for step in steps]})
    else:
        show(steps_table(steps))
        show(_verdict(steps))
    return int(not ok)


async def _perform(demos: Iterable[Callable[[Callable[[Any], None]], Any]]) -> list[Any]:
    """The steps of all demos, each shown for as long as the next one takes. See adapters.demo for what a step is."""
    with console(sys.stderr).status("starting") as status:
        return [
            step
            for run in demos
            for step in await run(lambda step: status.update(f"{visible(step.venue)}: {visible(step.title)}"))
        ]


def steps_table(steps: Sequence[Any]) -> Table:
    rows = table("", "step", "venue", "asked to cancel", "outcome", "status", "words", "ms")
    for number, step in enumerate(steps, 1):
        words = step.text if step.ok else f"{step.text} <-- {step.complaint}"
        cells = (number, step.title, step.venue, step.asked, coloured(step.outcome), step.status or "-", words)
        rows.add_row(*map(cell, (*cells, f"{step.milliseconds:.1f}")), style=None if step.ok else "bold red")
    return rows


def _verdict(steps: Sequence[Any]) -> str:
    wrong = [str(number) for number, step in enumerate(steps, 1) if not step.ok]
    if not steps:
        return "Nothing was shown: no demo could be run."
    if wrong:
        return f"Of {len(steps)} steps, {len(wrong)} came out differently: {', '.join(wrong)}."
    return f"All {len(steps)} steps came out as they should."
