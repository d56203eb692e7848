"""The journal that a command reads, beside whoever writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from router.cli.choosing import configured
from router.cli.exits import USAGE, Failure
from router.cli.telling import complain
from router.errors import JournalError

if TYPE_CHECKING:
    import apsw

    from router.journal.lock import Mark
    from router.journal.reading import Told

__all__ = ["argument", "journal_path", "mark", "option", "reading", "vouch", "watched"]

F = TypeVar("F", bound=Callable[..., Any])
MOST: Final = 5  # entries that are named
HELP: Final = "The journal.  [default: the one in router.toml]"

option = click.option("--journal", "journal", type=click.Path(path_type=Path), metavar="PATH", help=HELP)
argument = click.argument("journal", required=False, type=click.Path(path_type=Path), metavar="[PATH]")


def journal_path(journal: Path | None, config: Path | None) -> Path:
    """Which one is meant. Raises Failure where nothing says."""
    if journal is not None:
        return journal
    found = configured(config)
    if found is None:
        raise Failure("no journal is named, and there is no router.toml that names one", USAGE)
    if found.journal is None:
        raise Failure(f'no journal is named, and {found.path} names none: journal = "router.journal"', USAGE)
    return found.journal


@contextmanager
def reading(path: Path) -> Iterator[apsw.Connection]:
    """A connection that only reads. Raises Failure for a journal that can't be read."""
    import apsw  # noqa: PLC0415 - SQLite is of use to these commands alone
    import msgspec  # noqa: PLC0415 - see above

    from router.journal import file as journalfile  # noqa: PLC0415 - see above
    from router.journal.glance import Senseless  # noqa: PLC0415 - see above

    try:
        db = journalfile.reader(path)
        try:
            yield db
        finally:
            db.close()
    except apsw.Error as error:
        raise Failure(
            f"journal {path}: {journalfile.explain(error, path)}; `router journal check` says more", USAGE
        ) from None
    except (Senseless, msgspec.DecodeError, UnicodeDecodeError, OverflowError) as error:
        text = f"journal {path}: it is damaged, and what was asked for can't be read: {error}; `router journal check` says more"
        raise Failure(text, USAGE) from None
    except JournalError as error:
        raise Failure(str(error), USAGE) from None


@contextmanager
def watched(path: Path) -> Iterator[apsw.Connection]:
    """The same, at one moment; it is said on stderr when the journal has lost entries."""
    from router.journal.glance import lost  # noqa: PLC0415 - SQLite is of use to these commands alone

    last = mark(path)  # before the entries are looked at: a writer may go on
    with reading(path) as db:
        db.execute("BEGIN")
        for complaint in lost(db, last):
            complain(f"journal {path}: {complaint} (WHAT FOLLOWS IS NOT ALL; `router journal check` says more)")
        yield db


def vouch(db: apsw.Connection, path: Path, told: Sequence[Told]) -> None:
    """Say which of these entries are not as they were written."""
    from router.journal.glance import changed  # noqa: PLC0415 - SQLite is of use to these commands alone

    if wrong := changed(db, told):
        numbers = ", ".join(map(str, wrong[:MOST])) + (", ..." if len(wrong) > MOST else "")
        complain(f"journal {path}: not as written: {numbers} (DON'T TRUST THEM; `router journal check` says more)")


def mark(path: Path) -> Mark:
    """What its writer says beside it of the last entry that was durable."""
    from router.journal import file as journalfile  # noqa: PLC0415 - SQLite is of use to these commands alone

    try:
        return journalfile.read_mark(journalfile.real(path))
    except JournalError as error:
        raise Failure(str(error), USAGE) from None
