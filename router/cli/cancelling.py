"""`router cancel`: one order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import click

from router.cli import options
from router.cli.asking import progress
from router.cli.choosing import Chosen, choose
from router.cli.connecting import Journal, connected
from router.cli.exits import CODES, USAGE, Failure, Sending, run
from router.cli.showing import report_facts, report_table, warn
from router.console import show, show_json
from router.errors import RouterError
from router.model import Cancel, IdKind
from router.report import CancelReport

__all__ = ["command"]

SHORTEST: Final = 0.001  # seconds; a deadline must be more than none


@click.command("cancel")
@click.argument("venue")
@click.argument("order_id", metavar="ID")
@click.option("--kind", metavar="KIND", help=f"What the id names: {', '.join(IdKind)}.  [default: {IdKind.ORDER}]")
@click.option("--symbol", help="The order's symbol, where the venue needs it.")
@options.deadline
@options.settle
@options.config
@options.as_json("the report")
def command(
    venue: str,
    order_id: str,
    kind: str | None,
    symbol: str | None,
    deadline: float | None,
    settle: float | None,
    path: Path | None,
    as_json: bool,
) -> int:
    """Cancel one order, and say what is known of it.

    VENUE is one that router.toml names, or one of those that `router venues` lists; no other is connected. Credentials come
    from router.toml, else from environment variables: without them the error names them, and `router sim` prints a set
    to try.

    \b
    Exit codes:
      0  done: the venue confirmed it
      1  refused by the venue
      2  usage: bad input, missing credentials, unknown venue or kind; nothing was sent
      3  unknown: it may or may not have been executed (interrupted included)
      4  not sent: the venue can't be reached, refuses the login or has no words for it
    """  # noqa: D301 - click reads the \b
    request, sending = _request(venue, order_id, kind, symbol), Sending()
    chosen = choose([venue], path)
    work = _cancel(chosen, request, deadline, settle, sending)
    report = run(work, sending)
    warn(report)
    if as_json:
        show_json(report_facts(report))
    else:
        show(report_table(report, _asked(request)))
    return CODES[report.outcome]


def _request(venue: str, order_id: str, kind: str | None, symbol: str | None) -> Cancel:
    try:
        return Cancel(venue, order_id, kind, symbol)
    except (RouterError, ValueError, TypeError) as error:
        raise Failure(str(error), USAGE) from None


async def _cancel(
    chosen: Chosen, request: Cancel, deadline: float | None, settle: float | None, sending: Sending
) -> CancelReport:
    now = asyncio.get_running_loop().time
    due = None if deadline is None else now() + deadline
    with progress(f"connecting to {request.venue}") as tell:
        async with connected(chosen, Journal.WANTED, due=due) as found:
            sending.begun = True
            tell(f"cancelling {request.id} on {request.venue}")
            rest = None if due is None else max(SHORTEST, due - now())
            report = await found.router.cancel(request, deadline=rest)
            if settle is None:
                return report
            tell(f"asking {request.venue} what became of it, for {settle:g} s at most")
            return await report.settled(settle)


def _asked(request: Cancel) -> str:
    return " ".join(filter(None, ("cancel", request.kind, request.id, request.symbol, "on", request.venue)))
