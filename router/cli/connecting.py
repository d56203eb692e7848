"""A Router for one command: opened with the journal where it can be, without it where it must, and always closed again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from attrs import define

from router.cli.choosing import Chosen
from router.cli.exits import NOT_SENT, USAGE, Failure
from router.cli.telling import complain
from router.core import Router
from router.errors import JournalBusy, JournalError, VenueError
from router.patience import Patient
from router.venue import Adapter

if TYPE_CHECKING:
    from router.config import Config

__all__ = ["Connected", "Journal", "connected", "failures", "journal_of"]


class Journal(Enum):
    """What a command needs of the journal, where router.toml names one."""

    NEVER = "it only reads: it is not opened"
    WANTED = "without it goes on all the same"
    KEPT = "goes on beside another Router; a journal that can't be written to stops it"
    OWN = "stops without it, since nothing else tells which orders are own"


@define
class Connected:
    """The Router, its adapters by venue, and the journal that it writes; None: it has none."""

    router: Router
    adapters: Mapping[str, Adapter]
    journal: Path | None = None


@asynccontextmanager
async def connected(
    chosen: Chosen, need: Journal, *, strict: bool = True, patience: float | None = None, due: float | None = None
) -> AsyncIterator[Connected]:
    """Connect these venues. strict: all of them, or Failure; else those that can be, and health() tells of the others.

    patience: seconds that a venue may hold up the others, if not strict; due: when, on the loop's clock, it is over.
    """
    try:
        async with asyncio.timeout_at(due):
            found = await _opened(chosen, need, strict=strict, patience=patience)
    except TimeoutError:
        names = ", ".join(chosen.names)
        raise Failure(f"not sent: {names}: not connected by the deadline", NOT_SENT) from None
    try:
        yield found
    finally:
        await found.router.close()


async def _opened(chosen: Chosen, need: Journal, *, strict: bool, patience: float | None) -> Connected:
    path = journal_of(chosen, need)
    try:
        found = await _open(chosen, path, strict=strict, patience=patience)
    except JournalError as error:
        _go_on_without(error, need)
        return await _open(chosen, None, strict=strict, patience=patience)
    if (fault := found.router.journal_error) is None:
        return found
    await found.router.close()
    _go_on_without(fault, need)
    return await _open(chosen, None, strict=strict, patience=patience)


def journal_of(chosen: Chosen, need: Journal) -> Path | None:
    """The journal that is to be opened. Raises Failure where one is needed and there is none."""
    path = None if chosen.config is None else chosen.config.journal
    if path is None and need is Journal.OWN:
        raise Failure(
            "nothing tells which orders are own: name a journal in router.toml, or leave --own out to take every order",
            USAGE,
        )
    return None if need is Journal.NEVER else path


def _go_on_without(error: JournalError, need: Journal) -> None:
    """Say that the journal is not written to, or stop."""
    if need is Journal.OWN:
        raise Failure(f"{error}; nothing else tells which orders are own: leave --own out to take every order", USAGE)
    if isinstance(error, JournalBusy):
        complain(f"another Router has the journal {error.path} open, so this command is not written to it")
    elif need is Journal.KEPT:
        raise Failure(f"not sent: {error}", NOT_SENT)
    else:
        complain(f"{error} (THIS COMMAND IS NOT WRITTEN TO IT, and goes on without)")


async def _open(chosen: Chosen, journal: Path | None, *, strict: bool, patience: float | None) -> Connected:
    adapters, options = chosen.adapters(), _options(chosen.config, journal)
    if patience is not None:
        adapters = {name: cast("Adapter", Patient(each, patience)) for name, each in adapters.items()}
    router = Router(adapters, strict=strict, **options)
    try:
        await router.open()
    except JournalError:
        raise
    except (VenueError, BaseExceptionGroup) as error:
        first, *others = failures(error)
        raise Failure(f"not sent: {first}", NOT_SENT, [str(each) for each in others]) from None
    return Connected(router, adapters, journal)


def _options(config: Config | None, journal: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    kept = {} if journal is None else {"journal": journal, "durability": config.durability}
    return {"on_unknown": config.on_unknown, **kept}


def failures(error: BaseException) -> list[VenueError]:
    """The venues that could not be connected. Anything else is raised on."""
    if isinstance(error, BaseExceptionGroup):
        return [each for one in error.exceptions for each in failures(one)]
    if not isinstance(error, VenueError):
        raise error
    return [error]
