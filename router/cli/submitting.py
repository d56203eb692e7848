"""`router submit`: one order, shown before it is placed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from router.cli import options
from router.cli.asking import confirmed, must_be_able_to_ask, progress
from router.cli.choosing import Chosen, choose
from router.cli.connecting import Journal, connected
from router.cli.exits import CODES, EXIT_CODES, USAGE, Failure, Sending, run
from router.cli.remembered import remembered
from router.cli.showing import report_facts, report_table, rows_table, warn
from router.cli.telling import complain
from router.console import show, show_json
from router.errors import RouterError
from router.model import Order, OrderType, Side, TimeInForce, plain
from router.report import Outcome, SubmitReport

__all__ = ["command"]


@click.command("submit", epilog=EXIT_CODES)
@click.argument("venue")
@click.argument("symbol")
@click.argument("side", metavar=f"[{'|'.join(Side)}]")
@click.argument("type", metavar=f"[{'|'.join(OrderType)}]")
@click.argument("quantity")
@click.option("--price", metavar="NUMBER", help="The limit.")
@click.option("--stop-price", metavar="NUMBER", help="The trigger of a stop, stop_limit or take_profit.")
@click.option("--time-in-force", metavar="TIF", help=f"{', '.join(TimeInForce)}.  [default: the venue's]")
@click.option("--client-order-id", metavar="ID", help="A name of yours.  [default: a new one]")
@click.option("--post-only", is_flag=True, help="Rest or be refused.")
@click.option("--reduce-only", is_flag=True, help="Only make a position smaller.")
@click.option("--expires-at", metavar="TIME", help="For gtd: a time with its zone, as 2026-01-31T17:00:00+00:00.")
@click.option(
    "--option",
    "extras",
    multiple=True,
    metavar="KEY=VALUE",
    help='An extra of the venue (repeatable). VALUE is a JSON value, or else a text: num_orders=4, unit=lots, tag="7".',
)
@options.deadline
@options.settle
@options.yes
@options.config
@options.as_json("the report")
def command(
    path: Path | None,
    deadline: float | None,
    settle: float | None,
    extras: tuple[str, ...],
    expires_at: str | None,
    yes: bool,
    as_json: bool,
    **terms: Any,
) -> int:
    """Place one order, once. It is shown first, and placed only when the answer is yes.

    An order that is UNKNOWN may have been placed: look at `router orders` before you place another.
    """
    order = _order(terms | {"expires_at": _time(expires_at), "options": _options(extras)})
    must_be_able_to_ask(yes=yes)
    chosen, sending = choose([order.venue], path), Sending()
    work = _submit(chosen, order, deadline, settle, sending, yes=yes)
    report = run(work, sending)
    warn(report)
    if report.outcome is Outcome.UNKNOWN:
        complain(f"it may have been placed: look at `router orders {order.venue}` before you place another")
    if as_json:
        show_json(report_facts(report))
    else:
        show(report_table(report, _asked(order)))
    return CODES[report.outcome]


async def _submit(
    chosen: Chosen,
    order: Order,
    deadline: float | None,
    settle: float | None,
    sending: Sending,
    *,
    yes: bool,
) -> SubmitReport:
    chosen.adapters()  # a mistake in them is told before anything is asked
    if not yes:
        _tell_doubts(chosen)
        show(_order_table(order), err=True)
        await confirmed(f"Place this order on {order.venue}?")
    with progress(f"connecting to {order.venue}") as tell:
        async with connected(chosen, Journal.KEPT) as found:
            if found.journal is not None:
                sending.recovering = True
                tell("waiting until what was in doubt in the journal has been asked about")
                await found.router.recovered()
            sending.begun = True
            tell(f"placing the order on {order.venue}")
            report = await found.router.submit(order, deadline=deadline)
            if settle is None:
                return report
            tell(f"asking {order.venue} what became of it, for {settle:g} s at most")
            return await report.settled(settle)


def _tell_doubts(chosen: Chosen) -> None:
    """What may have been placed already, before another is."""
    journal = None if chosen.config is None else chosen.config.journal
    known = None if journal is None else remembered(journal, chosen.names)
    for doubt in known.in_doubt if known else ():
        what = doubt.client_order_id or doubt.order_id or doubt.symbol or doubt.op
        complain(
            f"{doubt.venue}: a {doubt.verb} is in doubt in the journal: {what}, since {doubt.at:%Y-%m-%d %H:%M:%S} UTC"
        )


# -- the order


def _order(terms: Mapping[str, Any]) -> Order:
    try:
        return Order(**terms)
    except (RouterError, ValueError, TypeError) as error:
        raise Failure(str(error), USAGE) from None


def _time(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"--expires-at was {text!r}; it is a time like 2026-01-31T17:00:00+00:00", USAGE) from None


def _options(extras: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for extra in extras:
        key, given, value = extra.partition("=")
        if not (key and given):
            raise Failure(f"--option was {extra!r}; it is KEY=VALUE", USAGE)
        if key in found:
            raise Failure(f"--option {key} was given twice", USAGE)
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=str)
    except ValueError:
        return text


def _order_table(order: Order) -> Any:
    numbers = ((name, getattr(order, name)) for name in ("quantity", "price", "stop_price"))
    flags = ", ".join(name for name in ("post_only", "reduce_only") if getattr(order, name))
    given = [
        ("venue", order.venue),
        ("order", f"{order.side} {order.type}"),
        ("symbol", order.symbol),
        *((name, None if value is None else plain(value)) for name, value in numbers),
        ("time in force", order.time_in_force),
        ("expires at", order.expires_at),
        ("only", flags),
        ("options", ", ".join(f"{key}={value}" for key, value in order.options.items())),
        ("client id", order.client_order_id),
    ]
    return rows_table(*((name.replace("_", " "), value) for name, value in given if value not in (None, "")))


def _asked(order: Order) -> str:
    price = None if order.price is None else f"at {plain(order.price)}"
    stop = None if order.stop_price is None else f"when {plain(order.stop_price)} is reached"
    words = ("submit", order.side, order.type, plain(order.quantity), order.symbol, price, stop, "on", order.venue)
    return " ".join(filter(None, words))
