"""The command line: `router demo`, `router sim`, `router cancel`, `router venues` and `router new-venue`.

Credentials come from the environment, never from arguments, which other users of the machine can read.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import attrs
import click

from router import registry, venuetable
from router.console import cell, coloured, console, show, show_json, table, visible, write
from router.core import Router
from router.errors import RouterError, VenueError
from router.model import Cancel, IdKind, plain
from router.report import CancelReport, Outcome

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from router.testing import Simulator
    from router.testing.requested import Requested
    from router.venue import Adapter

__all__ = ["DONE", "NOT_SENT", "REFUSED", "UNKNOWN", "USAGE", "main"]

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


class Failure(Exception):
    """One line for stderr, and the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script `router`."""
    sys.exit(_run(sys.argv[1:] if arguments is None else list(arguments)))


def _run(arguments: list[str]) -> int:
    try:
        return int(cli.main(arguments, prog_name="router", standalone_mode=False) or DONE)
    except Exception as error:  # noqa: BLE001 - Python's own exit code for a bug is 1, which would say "refused"
        return _explain(error, as_json="--json" in arguments)


def _explain(error: Exception, *, as_json: bool) -> int:
    """Say what went wrong in one line, and return its exit code."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return USAGE
        case click.ClickException():
            message, code = error.format_message(), error.exit_code
        case Failure():
            message, code = str(error), error.code
        case click.Abort():
            message, code = "interrupted; what was sent may have been executed", UNKNOWN
        case RouterError() | ValueError() | TypeError():
            message, code = f"{type(error).__name__}: {error}", UNKNOWN
        case _:
            traceback.print_exception(error)
            return UNKNOWN
    _complain(message)
    if as_json:
        show_json({"error": visible(message)})
    return code


def _complain(message: str) -> None:
    click.echo(f"router: {visible(message)}", err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="venue-router", prog_name="router")
def cli() -> None:
    """One cancel() across exchanges that have nothing in common."""


# -- cancel


def _seconds(_context: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise click.BadParameter(f"{value:g} is not a number of seconds greater than 0")
    return value


@cli.command()
@click.argument("venue")
@click.argument("order_id", metavar="ID")
@click.option("--kind", metavar="KIND", help=f"What the id names: {', '.join(IdKind)}.  [default: {IdKind.ORDER}]")
@click.option("--symbol", help="The order's symbol, where the venue needs it.")
@click.option(
    "--deadline", type=float, callback=_seconds, metavar="SECONDS", help="Until the report.  [default: the venue's]"
)
@click.option("--settle", type=float, callback=_seconds, metavar="SECONDS", help="If UNKNOWN, go on asking this long.")
@click.option("--json", "as_json", is_flag=True, help="Print the report (or the error) as one JSON object.")
def cancel(
    venue: str,
    order_id: str,
    kind: str | None,
    symbol: str | None,
    deadline: float | None,
    settle: float | None,
    as_json: bool,
) -> int:
    """Cancel one order, and say what is known of it.

    VENUE is one of those that `router venues` lists; no other is connected. Its credentials come from environment
    variables: without them the error names them, and `router sim` prints a set to try.

    \b
    Exit codes:
      0  done: the venue confirmed it
      1  refused by the venue
      2  usage: bad input, missing credentials, unknown venue or kind; nothing was sent
      3  unknown: it may or may not have been executed (interrupted included)
      4  not sent: the venue can't be reached, refuses the login or has no words for it
    """  # noqa: D301 - click reads the \b
    adapter, request = _prepare(venue, order_id, kind, symbol)
    report = asyncio.run(_cancel(adapter, request, deadline, settle))
    if as_json:
        facts = attrs.asdict(report, filter=lambda attribute, _: attribute.name not in {"settle", "frame"})
        show_json(facts | {"raw": report.raw})
    else:
        show(_report_table(report))
    return CODES[report.outcome]


def _prepare(venue: str, order_id: str, kind: str | None, symbol: str | None) -> tuple[Adapter, Cancel]:
    """Everything that can be wrong before there is a connection."""
    try:
        request = Cancel(venue, order_id, kind, symbol)
        found = registry.adapter(venue)
    except (RouterError, ValueError, TypeError) as error:
        raise Failure(str(error), USAGE) from None
    try:
        return registry.from_environ(venue, os.environ), request
    except (ValueError, TypeError, OSError) as error:
        known = found.from_environ.__doc__ or "see its documentation"
        raise Failure(f"{error} (from the environment: {known})", USAGE) from None


async def _cancel(adapter: Adapter, request: Cancel, deadline: float | None, settle: float | None) -> CancelReport:
    router = Router({request.venue: adapter})
    try:
        await router.open()
    except VenueError as error:
        raise Failure(f"not sent: {error}", NOT_SENT) from None
    try:
        report = await router.cancel(request, deadline=deadline)
        return report if settle is None else await report.settled(settle)
    finally:
        await router.close()


def _report_table(report: CancelReport) -> Table:
    request, reason = report.request, report.reason
    rows = table("", "", show_header=False)
    for name, value in (
        ("asked", " ".join(filter(None, ("cancel", request.kind, request.id, request.symbol, "on", request.venue)))),
        ("outcome", coloured(report.outcome)),
        ("status", report.status),
        ("reason", None if reason is None else f"{reason.name} ({reason.value})"),
        ("words", report.text),
        *(("order", _order(order)) for order in report.orders),
        ("sent", report.sent_at),
        ("answered", report.answered_at),
        ("round trip", _round_trip(report)),
    ):
        rows.add_row(name, cell("-" if value in (None, "") else value))
    return rows


def _order(order: Any) -> str:
    """One order that was taken, or as it was last known."""
    filled = None if order.cum_quantity is None else f"filled {plain(order.cum_quantity)}"
    return " ".join(filter(None, (order.kind, order.order_id, order.symbol, order.status, filled)))


def _round_trip(report: CancelReport) -> str | None:
    if report.sent_at is None or report.answered_at is None:
        return None
    return f"{(report.answered_at - report.sent_at).total_seconds() * 1000:.1f} ms"


# -- sim


@cli.command()
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[=PROBABILITY]",
    help="Let trading commands have this fault (repeatable). random: any fault. list: print them all, and end.",
)
@click.option("--seed", type=int, help="What faults are drawn on, to repeat a run (default: a new one).")
@click.option("--json", "as_json", is_flag=True, help="Print addresses and keys as one JSON object, and go on running.")
def sim(faults: tuple[str, ...], seed: int | None, as_json: bool) -> int:
    """Run a simulator of every venue, until Ctrl-C.

    Each is a real server on this machine, with throw-away keys that it prints, for any client to use.
    """
    if "list" in faults:
        _show_faults(as_json=as_json)
        return DONE
    requested = _requested(faults)
    with suppress(KeyboardInterrupt):  # where the loop takes no signal handlers
        return asyncio.run(_simulate(requested, secrets.randbelow(2**32) if seed is None else seed, as_json=as_json))
    return DONE


def _requested(faults: Iterable[str]) -> list[Requested]:
    from router.testing.requested import Requested  # noqa: PLC0415 - of use to this command alone

    try:
        return [Requested.read(text) for text in faults]
    except ValueError as error:
        raise Failure(str(error), USAGE) from None


async def _simulate(requested: Sequence[Requested], seed: int, *, as_json: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        running: dict[str, Simulator] = {}
        for name, found in _loaded(registry.SIMULATORS).items():
            running[name] = await stack.enter_async_context(found(seed=seed))
        if not running:
            raise Failure("no simulator is installed", USAGE)
        _show_simulators(running, requested, seed, as_json=as_json)
        await stop.wait()
    return DONE


def _loaded(group: str) -> dict[str, Any]:
    """What can be imported of a group; what cannot is named on stderr."""
    found = registry.installed(group)
    for error in found.values():
        if isinstance(error, VenueError):
            _complain(str(error))
    return {name: each for name, each in found.items() if not isinstance(each, VenueError)}


def _show_simulators(
    running: dict[str, Simulator], requested: Sequence[Requested], seed: int, *, as_json: bool
) -> None:
    cannot = {name: _inject(name, each, requested) for name, each in running.items()}
    if as_json:
        told = {"seed": seed, "faults": {each.name: each.probability for each in requested}}
        show_json(
            {
                name: {"url": each.url, "environment": each.environment, **told, "cannot": cannot[name]}
                for name, each in running.items()
            }
        )
        return
    rows = table("venue", "url", "name", "value")
    for name, each in running.items():
        for number, (key, value) in enumerate(each.environment.items()):
            rows.add_row(*map(cell, ("" if number else name, "" if number else each.url, key, value)))
    show(rows)
    variables = [item for each in running.values() for item in each.environment.items()]
    write("".join(f"export {key}={shlex.quote(value)}\n" for key, value in variables))
    if requested:
        write(f"Faults: {', '.join(map(str, requested))}. To repeat them: --seed {seed}\n")
    write("Running until Ctrl-C.\n")


def _inject(venue: str, simulator: Simulator, requested: Iterable[Requested]) -> dict[str, str]:
    """Inject what this venue can have, say what it cannot, and return that with the reasons."""
    reasons = {each.name: each.apply(simulator) for each in requested}
    cannot = {name: reason for name, reason in reasons.items() if reason}
    for name, reason in cannot.items():
        _complain(f"{venue} cannot have {name}: {reason}")
    return cannot


def _show_faults(*, as_json: bool) -> None:
    from router.testing import Fault  # noqa: PLC0415 - of use to this command alone

    venues = {name: found() for name, found in _loaded(registry.SIMULATORS).items()}
    rows = table("", "fault", "strikes when", *venues, "what happens")
    listed = []
    for fault in Fault:
        reasons = {name: venue.supports(fault) for name, venue in venues.items()}
        words = [f"n/a: {reason}" if reason else "yes" for reason in reasons.values()]
        rows.add_row(*map(cell, (fault.number, fault, fault.point, *words, fault.sentence)))
        listed.append({"number": fault.number, "name": fault, "point": fault.point, "cannot": reasons})
    show_json(listed) if as_json else show(rows)


# -- demo


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the steps as JSON.")
def demo(as_json: bool) -> int:
    """Show it all on simulators: orders on every venue, cancelled every way, and every outcome. No credentials needed.

    Exit code 0 only if every step came out as it should, else 1.
    """
    steps = asyncio.run(_perform(_loaded(registry.DEMOS).values()))
    ok = bool(steps) and all(step.ok for step in steps)
    if as_json:
        show_json({"ok": ok, "steps": [attrs.asdict(step) | {"ok": step.ok} for step in steps]})
    else:
        show(_steps_table(steps))
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


def _steps_table(steps: Sequence[Any]) -> Table:
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


# -- venues


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print what each can do as one JSON object.")
@click.option("--markdown", is_flag=True, help="Print the table of the built-in venues that is in docs/venues.md.")
def venues(as_json: bool, markdown: bool) -> int:
    """List the installed venues, where each comes from and what it can do. No credentials needed.

    Those that other packages bring are among them. One that is broken is named with its error; the others work.
    """
    if as_json and markdown:
        raise Failure("--json or --markdown, and not both", USAGE)
    with redirect_stdout(sys.stderr):  # somebody else's module may print when it is imported
        found = venuetable.built_in() if markdown else venuetable.listed()
    if markdown:
        write(venuetable.markdown(found))
    elif as_json:
        show_json(found)
    else:
        _show_venues(found)
    return DONE


def _show_venues(found: Mapping[str, Mapping[str, Any]]) -> None:
    sets = ("cancel_kinds", "needs_symbol", "order_types", "lists", "replaces")
    last = ("documentation", "simulator", "package")
    rows = table("venue", "cancels by", "symbol needed for", "orders", "lists", "replaces", *last)
    for name, venue in found.items():
        if "error" not in venue:
            words = [", ".join(venue[each]) or "-" for each in sets]
            rows.add_row(
                *map(cell, (name, *words, venue["docs_url"], "yes" if venue["simulator"] else "-", venue["package"]))
            )
    show(rows)
    for name, venue in found.items():
        for title, key in ((name, "error"), (f"{name}'s simulator", "simulator_error")):
            if key in venue:
                show(_red(f"{title} ({venue['package']}): {venue[key]}"))


def _red(text: str) -> Text:
    line = cell(text)
    line.stylize("red")
    return cast("Text", line)


# -- new-venue


@cli.command("new-venue")
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
def new_venue(name: str, transport: str, directory: str) -> int:
    """Write a folder NAME with a new venue's package in it: its conformance cases run at once, and say what to write next.

    Nothing is overwritten. See docs/add-a-venue.md.
    """
    from router import scaffold  # noqa: PLC0415 - of use to this command alone

    try:
        written = scaffold.new_venue(name, transport, Path(directory))
    except (ValueError, OSError) as error:
        raise Failure(str(error), USAGE) from None
    folder = shlex.quote(str(Path(directory) / name))
    write("".join(f"wrote {path}\n" for path in written))
    write(f"Next:\n  pip install -e {folder}\n  pytest --venue {name}\n  router venues\n")
    return DONE


if __name__ == "__main__":
    main()
