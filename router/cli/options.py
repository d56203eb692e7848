"""The options that several commands have in common, and how their values are read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["as_json", "config", "deadline", "seconds", "settle", "yes"]

F = TypeVar("F", bound=Callable[..., Any])


def seconds(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    """A length of time."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise click.BadParameter(f"{value:g} is not a number of seconds greater than 0")
    return value


def as_json(what: str) -> Callable[[F], F]:
    """--json; what: that which it prints."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what}, or the error, as JSON.")


config = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The configuration.  [default: $ROUTER_CONFIG, else ./router.toml where it exists]",
)
deadline = click.option(
    "--deadline", type=float, callback=seconds, metavar="SECONDS", help="Until the report.  [default: the venue's]"
)
settle = click.option(
    "--settle", type=float, callback=seconds, metavar="SECONDS", help="If UNKNOWN, go on asking this long."
)
yes = click.option("--yes", is_flag=True, help="Don't ask first.")
