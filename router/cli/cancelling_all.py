"""`router cancel-all`: every open order, asked for first, and the proof that none is left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import click
from attrs import frozen

from router.cli import options
from router.cli.asking import confirmed, must_be_able_to_ask, progress
from router.cli.choosing import Chosen, choose
from router.cli.connecting import Journal, connected, journal_of
from router.cli.exits import NOT_SENT, USAGE, Failure, Sending, run
from router.cli.listing import marked, read_orders
from router.cli.proving import Part, Unreached, code, facts, show_parts
from router.cli.telling import complain, say
from router.console import cell, show, show_json, table
from router.core import Router
from router.errors import VenueError
from router.report import ExecType, OrderState, SessionState

__all__ = ["command"]

UP: Final = {SessionState.READY, SessionState.SYNCING}
READING: Final = 5.0  # seconds that the question waits for a venue
LOOK: Final = 0.05  # seconds between two looks at whether a venue has been connected meanwhile
SHORTEST: Final = 0.001  # seconds; a deadline must be more than none


@frozen
class Wanted:
    """What is to be cancelled, and until when."""

    symbol: str | None
    scope: Literal["account", "own"]
    deadline: float

    def covers(self, order: OrderState) -> bool:
        """Whether it is in scope. One whose symbol is not told may be."""
        return (order.own or self.scope == "account") and (
            self.symbol is None or order.symbol in {None, "", self.symbol}
        )

    @property
    def proof(self) -> str:
        """What is not open when it is proven."""
        whose = "nothing of our own" if self.scope == "own" else "nothing"
        return whose if self.symbol is None else f"{whose} of {self.symbol}"

    def __str__(self) -> str:
        whose = "placed through this journal" if self.scope == "own" else "of the account, wherever it was placed"
        return f"every open order {whose}, {'of all symbols' if self.symbol is None else f'of {self.symbol}'}"


@click.command("cancel-all")
@click.option(
    "--venue", "venues", multiple=True, metavar="VENUE", help="Only there (repeatable).  [default: router.toml]"
)
@click.option("--symbol", help="Only this symbol's orders.")
@click.option("--own", is_flag=True, help="Only orders that the journal knows to be own, not all of the account.")
@click.option(
    "--deadline",
    type=float,
    default=30.0,
    callback=options.seconds,
    metavar="SECONDS",
    help="Until the report.  [default: 30]",
)
@options.yes
@options.config
@options.as_json("the proof or the doubts")
def command(
    venues: tuple[str, ...],
    symbol: str | None,
    own: bool,
    deadline: float,
    yes: bool,
    path: Path | None,
    as_json: bool,
) -> int:
    """Cancel every open order, and prove that none is left.

    It says what it is about to cancel, and asks. Protective stops are orders, so they go too; positions stay as they are.
    "Proven" means that the venue has shown twice, freshly, that nothing in scope is open. A venue that cannot be connected is
    tried until the deadline.

    \b
    Exit codes:
      0  proven: nothing in scope is open
      1  some orders were refused, nothing is in doubt
      2  usage: bad input, missing credentials, --own without a journal; nothing was sent
      3  not proven: the doubts are listed
      4  nothing was sent: no venue could be connected, or the answer was no
    """  # noqa: D301 - click reads the \b
    if symbol is not None and not symbol.strip():
        raise Failure(f"symbol was {symbol!r}; it must not be empty", USAGE)
    must_be_able_to_ask(yes=yes)
    chosen, wanted, sending = choose(venues, path), Wanted(symbol, "own" if own else "account", deadline), Sending()
    parts = run(_cancel_all(chosen, wanted, sending, yes=yes), sending)
    if as_json:
        show_json({"scope": wanted.scope, "symbol": symbol, **facts(parts)})
    else:
        show_parts(parts, wanted.proof)
        if symbol is not None and _found_none(parts):
            complain(f"no order of {symbol} was found: is that how the venue writes it?")
    return code(parts)


async def _cancel_all(chosen: Chosen, wanted: Wanted, sending: Sending, *, yes: bool) -> dict[str, Part]:
    names, need = chosen.names, Journal.OWN if wanted.scope == "own" else Journal.WANTED
    chosen.adapters()  # a mistake in them is told before anything is asked, and so is that there is no journal
    journal_of(chosen, need)
    say(f"About to cancel {wanted}, on {', '.join(names)}.")
    if not yes:
        await _ask(chosen, wanted)
    due = asyncio.get_running_loop().time() + wanted.deadline
    async with connected(chosen, need, strict=False, patience=LOOK) as found:
        sending.begun = True
        with progress("cancelling") as tell:
            counting = asyncio.get_running_loop().create_task(_count(found.router, due, tell))
            try:
                parts = await asyncio.gather(*(_part(found.router, name, wanted, due) for name in names))
            finally:
                counting.cancel()
        return dict(zip(names, parts, strict=True))


def _found_none(parts: Mapping[str, Part]) -> bool:
    """Whether no order was found, which may also be a symbol that there is not."""
    return not any(isinstance(part, Unreached) or part.affected or part.not_affected for part in parts.values())


# -- before


async def _ask(chosen: Chosen, wanted: Wanted) -> None:
    """Say how much that is, and ask. Raises Failure unless the answer is yes.

    The journal is not opened for that, since opening it sends again what was in doubt.
    """
    with progress("reading the open orders"):
        async with connected(chosen, Journal.NEVER, strict=False, patience=READING) as found:
            if refused := _refused(found.router):
                raise Failure(f"not sent: {refused[0]}", NOT_SENT, refused[1:])
            listed = marked(await read_orders(found.router, chosen.names), chosen)
    rows = table("venue", "open orders in scope")
    for name, each in listed.items():
        much = f"not known: {each.text}" if isinstance(each, VenueError) else sum(map(wanted.covers, each))
        rows.add_row(cell(name), cell(much))
    show(rows, err=True)
    await confirmed("Cancel them?")


def _refused(router: Router) -> list[str]:
    """The logins that were refused, if none was not."""
    states = router.health().items()
    fatal = [f"{name}: {each.last_error}" for name, each in states if each.state is SessionState.FATAL]
    return fatal if len(fatal) == len(states) else []


# -- meanwhile


async def _part(router: Router, name: str, wanted: Wanted, due: float) -> Part:
    """One venue's: nothing is sent to one that can't be connected until the deadline."""
    now = asyncio.get_running_loop().time
    while (health := router.health()[name]).state not in UP:
        if health.state is SessionState.FATAL or now() >= due:
            return Unreached(name, health.last_error)
        await asyncio.sleep(LOOK)
    deadline = max(SHORTEST, due - now())
    report = await router.cancel_all(name, wanted.symbol, scope=wanted.scope, deadline=deadline)
    return report.venues[name]


async def _count(router: Router, due: float, tell: Callable[[str], None]) -> None:
    """Tell how many were cancelled so far, and how much time is left."""
    taken, events = Counter[str](dict.fromkeys(router.health(), 0)), router.events()
    while True:
        rest = due - asyncio.get_running_loop().time()
        counts = ", ".join(f"{name} {number}" for name, number in taken.items())
        tell(f"cancelled so far: {counts}; {max(0.0, rest):.0f} s left")
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                event = await anext(events)
                taken[event.venue] += event.exec_type is ExecType.CANCELED
