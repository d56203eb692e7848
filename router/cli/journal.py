"""`router journal`: whether it is whole, all of it as JSON, and what is over removed from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click
import msgspec

from router.cli import options, reading
from router.cli.asking import progress
from router.cli.doubts import unwritable
from router.cli.exits import DONE, USAGE, Failure
from router.cli.showing import rows_table
from router.cli.telling import complain
from router.console import red, show, show_json, write
from router.errors import JournalError

if TYPE_CHECKING:
    import apsw

__all__ = ["command"]

LINES: Final = 500  # that are written at once
UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


@click.group("journal")
def command() -> None:
    """Check the journal, print it, make it smaller."""


# -- check


@command.command("check")
@reading.argument
@options.config
@options.as_json("what was found")
def check(journal: Path | None, path: Path | None, as_json: bool) -> int:
    """Read all of the journal, and say everything that is wrong with it.

    PATH: the one in router.toml, where it is left out. Nothing is changed, and it works beside a running Router.

    \b
    Exit codes:
      0  it is whole
      2  it is damaged, or can't be read
    """  # noqa: D301 - click reads the \b
    from router.journal import file as journalfile  # noqa: PLC0415 - SQLite is of use to these commands alone

    where = reading.journal_path(journal, path)
    mark = reading.mark(where)
    with progress(f"reading {where}"), reading.reading(where) as db:
        db.execute("BEGIN")  # so that all questions are about the same moment
        wrong = list(journalfile.look_through(db, mark))
        counts = {} if wrong and not _is_readable(db) else _counts(db)
    size = sum(each.stat().st_size for each in (where, Path(f"{where}-wal")) if each.exists())
    found = {"journal": str(where), "whole": not wrong, "complaints": wrong, "bytes": size, **counts}
    if as_json:
        show_json(found)
    else:
        _show(found)
    return USAGE if wrong else DONE


def _is_readable(db: apsw.Connection) -> bool:
    try:
        _counts(db)
    except Exception:  # noqa: BLE001 - whatever it says, the complaints have said it
        return False
    return True


def _counts(db: apsw.Connection) -> dict[str, Any]:
    states = dict(db.execute("SELECT state, count(*) FROM operation GROUP BY state ORDER BY state"))
    entry: Any = db.execute("SELECT min(at), max(at), count(*) FROM entry").fetchone()
    run: Any = db.execute("SELECT count(*), count(closed) FROM run").fetchone()
    (first, last, entries), (runs, closed) = entry, run
    live = db.execute("SELECT count(*) FROM own_order WHERE live").get
    doubts = sum(count for state, count in states.items() if state in {"intent", "unknown"})
    times = {
        name: None if at is None else datetime.fromtimestamp(at, UTC) for name, at in (("first", first), ("last", last))
    }
    runs_left = {"runs": runs, "runs_not_closed": runs - closed}
    return {"entries": entries, **times, "operations": states, "in_doubt": doubts, "live_orders": live, **runs_left}


def _show(found: Mapping[str, Any]) -> None:
    rows = [("journal", found["journal"]), ("bytes", found["bytes"])]
    show(rows_table(*rows, *(_counted(found) if "entries" in found else ())))
    for complaint in found["complaints"]:
        show(red(complaint))
    show("it is whole" if found["whole"] else red("IT IS DAMAGED: `router journal export` prints what can be read"))


def _counted(found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("entries", found["entries"]),
        ("from", found["first"]),
        ("to", found["last"]),
        ("operations", ", ".join(f"{count} {state}" for state, count in found["operations"].items())),
        ("in doubt", found["in_doubt"]),
        ("own orders that may be open", found["live_orders"]),
        ("runs", f"{found['runs']}, of which {found['runs_not_closed']} did not close it, or not yet"),
    ]


# -- export


@command.command("export")
@reading.argument
@click.option("--since", metavar="TIME", help="Only from then on: 2026-01-31T17:00:00+00:00, or 7d for the last week.")
@click.option("--venue", metavar="VENUE", help="Only this venue's.")
@options.config
def export(journal: Path | None, since: str | None, venue: str | None, path: Path | None) -> int:
    """Print every entry, exactly as it was written, a JSON object a line.

    PATH: the one in router.toml, where it is left out. A journal that is damaged is printed as far as it can be read: an entry
    that is not as it was written has "damaged" in it. It works beside a running Router.

    \b
    Exit codes:
      0  all of it
      2  some entries are damaged or can't be read: stderr says how many; or nothing can be
    """  # noqa: D301 - click reads the \b
    where, begin = reading.journal_path(journal, path), None if since is None else _moment(since)
    mark = reading.mark(where)
    with reading.reading(where) as db:
        from router.journal.salvage import Salvage  # noqa: PLC0415 - SQLite is of use to these commands alone

        found = Salvage(db, mark.number if mark.is_owed() else 0)
        wanted = (row for row in found.rows() if _is_wanted(row, begin, venue))
        while lines := [msgspec.json.encode(row).decode("utf-8", "replace") for row in islice(wanted, LINES)]:
            if not write("\n".join(lines) + "\n"):
                return DONE
    if not (found.lost or found.damaged or found.complaint):
        return DONE
    why = f" (SQLite says: {found.complaint})" if found.complaint else ""
    complain(
        f"journal {where}: {found.lost} entries can't be read{why}, and {found.damaged} are not as they were written"
    )
    return USAGE


def _is_wanted(row: Mapping[str, Any], begin: float | None, venue: str | None) -> bool:
    """One whose time or venue can't be read may be."""
    at, of = row["at"], row["venue"]
    late = begin is None or not isinstance(at, int | float) or at >= begin
    return late and (venue is None or of == venue or "damaged" in row)


def _moment(text: str) -> float:
    """A time, or so long ago."""
    if (length := _length(text)) is not None:
        return datetime.now(UTC).timestamp() - length
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(
            f"--since was {text!r}; it is a time like 2026-01-31T17:00:00+00:00, or a length like 7d", USAGE
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _length(text: str) -> float | None:
    """Seconds: 7d, 12h, 30m, 45s, 2w. None: it is no length of time."""
    number, unit = text[:-1], text[-1:]
    return float(number) * UNITS[unit] if number.isascii() and number.isdigit() and unit in UNITS else None


# -- compact


@command.command("compact")
@reading.argument
@click.option(
    "--keep", default="7d", metavar="TIME", help="How much of what is over is kept: 12h, 7d, 4w.  [default: 7d]"
)
@options.config
@options.as_json("what was removed")
def compact(journal: Path | None, keep: str, path: Path | None, as_json: bool) -> int:
    """Remove what is over: orders and commands that ended long ago, and everything that was written of them.

    What is in doubt and what may be open stays. PATH: the one in router.toml, where it is left out. A journal that a Router
    has open can't be compacted: stop that Router first.

    \b
    Exit codes:
      0  done
      2  usage: it is in use, damaged, or can't be written; nothing was removed
    """  # noqa: D301 - click reads the \b
    seconds = _length(keep)
    if seconds is None:
        raise Failure(f"--keep was {keep!r}; it is a length of time: 12h, 7d, 4w", USAGE)
    where = reading.journal_path(journal, path)
    from router.journal import compact as journalcompact  # noqa: PLC0415 - SQLite is of use to these commands alone

    try:
        with progress(f"compacting {where}") as tell:
            found = journalcompact.compact(
                where, seconds, lambda what, done, of: tell(f"{what}: {done} of {of}" if of > 1 else what)
            )
    except JournalError as error:
        raise unwritable(error) from None
    if as_json:
        show_json({"journal": str(where), **attrs.asdict(found)})
    else:
        removed = [(f"{name} removed", getattr(found, name)) for name in ("operations", "orders", "entries")]
        show(rows_table(("journal", where), *removed, ("bytes", f"{found.after}, before {found.before}")))
    return DONE
