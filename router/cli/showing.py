"""Reports as tables, and as facts for JSON."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from router.cli.telling import complain
from router.console import cell, coloured, table
from router.model import plain
from router.report import CancelReport, OrderState, SubmitReport

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "ORDER_COLUMNS",
    "order_cells",
    "order_line",
    "report_facts",
    "report_table",
    "rows_table",
    "time_of_day",
    "warn",
]

Report = CancelReport | SubmitReport
ORDER_COLUMNS = (
    "venue",
    "order",
    "client id",
    "symbol",
    "side",
    "type",
    "quantity",
    "price",
    "stop",
    "filled",
    "status",
)


def report_facts(report: Report) -> dict[str, Any]:
    """Everything that a program may want of it."""
    facts = attrs.asdict(report, filter=lambda attribute, _: attribute.name not in {"settle", "frame"})
    return facts | {"raw": report.raw}


def report_table(report: Report, asked: str) -> Table:
    """asked: what was wanted, in words."""
    reason = report.reason
    return rows_table(
        ("asked", asked),
        ("outcome", coloured(report.outcome)),
        ("status", report.status),
        ("reason", None if reason is None else f"{reason.name} ({reason.value})"),
        ("words", report.text),
        *_orders(report),
        ("sent", report.sent_at),
        ("answered", report.answered_at),
        ("round trip", _round_trip(report)),
    )


def rows_table(*rows: tuple[str, Any]) -> Table:
    """A name and a value in each row; a dash for what there is not."""
    made = table("", "", show_header=False)
    for name, value in rows:
        made.add_row(name, cell("-" if value in (None, "") else value))
    return made


def warn(report: Report) -> None:
    """What must not be overlooked, on stderr."""
    if getattr(report, "journaled", None) is False:
        complain("THIS COMMAND IS NOT IN THE JOURNAL: nothing of it will be known after a restart")


def _orders(report: Report) -> list[tuple[str, Any]]:
    if isinstance(report, CancelReport):
        return [("order", order_line(order)) for order in report.orders]
    filled = None if report.cum_quantity is None else plain(report.cum_quantity)
    order = None if report.order_id is None else f"{report.kind} {report.order_id}"
    return [("order", order), ("client id", report.client_order_id), ("filled", filled)]


def order_line(order: OrderState) -> str:
    """One order that was taken, or as it was last known."""
    filled = None if order.cum_quantity is None else f"filled {plain(order.cum_quantity)}"
    return " ".join(filter(None, (order.kind, order.order_id, order.symbol, order.status, filled)))


def order_cells(order: OrderState) -> tuple[Any, ...]:
    """One order, by ORDER_COLUMNS."""
    name = order.order_id if order.kind == "order" or order.order_id is None else f"{order.kind} {order.order_id}"
    numbers = (order.quantity, order.price, order.stop_price, order.cum_quantity)
    words = (order.venue, name, order.client_order_id, order.symbol, order.side, order.type)
    shown = (*words, *(None if number is None else plain(number) for number in numbers), order.status)
    return tuple("-" if value in (None, "") else value for value in shown)


def time_of_day(at: datetime) -> str:
    """For people: to the millisecond, in UTC."""
    return at.strftime("%H:%M:%S.%f")[:-3]


def _round_trip(report: Report) -> str | None:
    if report.sent_at is None or report.answered_at is None:
        return None
    return f"{(report.answered_at - report.sent_at).total_seconds() * 1000:.1f} ms"
