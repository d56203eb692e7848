"""router.toml: which venues a Router has, with which settings, and whether it keeps a journal.

All mistakes of a file are told at once. No secret is in it, only where it is: see router.config.references.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from attrs import field, frozen

from router.config import venueconfig
from router.config.arguments import Argument
from router.config.file import Unreadable, document, located
from router.config.fitting import Unfit, number
from router.config.mistakes import Mistakes, join, listed, nearest, printable
from router.config.references import is_reference, looks_secret
from router.config.settings import OF_ALL, shown_or_not
from router.config.venueconfig import Unbuilt, VenueConfig
from router.errors import ConfigError, UnknownVenue

if TYPE_CHECKING:
    from router.venue import Adapter

__all__ = ["FILE", "VARIABLE", "Config", "VenueConfig", "find", "load"]

FILE: Final = "router.toml"
VARIABLE: Final = "ROUTER_CONFIG"

Durability = Literal["full", "process"]
OnUnknown = Literal["leave", "kill"]
_DURABILITY: Final = Argument("durability", (Durability,))
_ON_UNKNOWN: Final = Argument("on_unknown", (OnUnknown,))
_STRICT: Final = Argument("strict", (bool,))


def _frozen(venues: Mapping[str, VenueConfig]) -> Mapping[str, VenueConfig]:
    return MappingProxyType(dict(venues))


@frozen(kw_only=True)
class Config:
    """What a file says. path: the file. journal: None for none."""

    path: Path
    venues: Mapping[str, VenueConfig] = field(converter=_frozen)
    journal: Path | None = None
    durability: Durability = "full"
    on_unknown: OnUnknown = "leave"
    strict: bool = True

    def adapters(self, names: Iterable[str] | None = None) -> dict[str, Adapter]:
        """The adapters, built: all of them, or those of these venues alone, and no other venue's secret is looked for.

        Raises ConfigError, with all that is wrong, or UnknownVenue.
        """
        wanted = dict.fromkeys(self.venues if names is None else [names] if isinstance(names, str) else names)
        for name in wanted:
            if name not in self.venues:
                raise UnknownVenue(name, self.venues)
        mistakes = Mistakes()
        built = {name: self._built(self.venues[name], mistakes) for name in wanted}
        if mistakes.found:
            raise ConfigError(printable(str(self.path)), mistakes.found)
        return {name: each for name, each in built.items() if each is not None}

    def _built(self, venue: VenueConfig, mistakes: Mistakes) -> Adapter | None:
        before = len(mistakes.found)
        settings = venue.resolved(mistakes, os.environ)
        if len(mistakes.found) == before:
            try:
                return venue.build(settings, os.environ)
            except Unbuilt as error:
                mistakes.add(venue.place, f"can't be used: {error}")
        return None


def find() -> Path | None:
    """The file that $ROUTER_CONFIG names, else router.toml where there is one in the working directory."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    here = Path(FILE)
    return here if here.exists() else None


def load(path: str | os.PathLike[str]) -> Config:
    """What the file says. Raises ConfigError, with all mistakes of the file. No secret is read."""
    file = Path(path)
    try:
        found = document(file)
    except Unreadable as error:
        said: list[str] = [str(error)]
    else:
        mistakes = Mistakes(_literals(found))
        config = _read(found, file, mistakes)
        if config is not None:
            return config
        said = mistakes.found
    raise ConfigError(printable(str(file)), said)


def _literals(value: Any, *, is_secret: bool = False) -> Iterator[str]:
    """Texts that stand where secrets do: should the same text stand elsewhere, it isn't shown there either."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _literals(each, is_secret=(is_secret or looks_secret(key)) and not is_reference(each))
    elif isinstance(value, list):
        for each in value:
            yield from _literals(each, is_secret=is_secret)
    elif is_secret and isinstance(value, str):
        yield value


def _read(found: Mapping[str, Any], file: Path, mistakes: Mistakes) -> Config | None:
    """The whole document; None where there are mistakes."""
    base = Path(os.path.abspath(file)).parent  # noqa: PTH100 - a link's own directory, not that of what it leads to
    for key, value in found.items():
        if key not in OF_ALL:
            _unknown(key, value, mistakes)
    config = Config(
        path=file,
        venues=_venues(found, base, mistakes),
        journal=_journal(found.get("journal", False), base, mistakes),
        durability=_fitting(_DURABILITY, found.get("durability", "full"), mistakes),
        on_unknown=_fitting(_ON_UNKNOWN, found.get("on_unknown", "leave"), mistakes),
        strict=_fitting(_STRICT, found.get("strict", True), mistakes),
    )
    return None if mistakes.found else config


def _venues(found: Mapping[str, Any], base: Path, mistakes: Mistakes) -> dict[str, VenueConfig]:
    deadline = None
    if "deadline" in found:
        try:
            deadline = number("deadline", found["deadline"])
        except Unfit as error:
            mistakes.wrong("deadline", found["deadline"], str(error))
    tables = found.get("venues", {})
    if not isinstance(tables, Mapping):
        fix = "it is a table of tables; write a header for each venue, with one pair of brackets: [venues.qfex]"
        mistakes.wrong("venues", tables, fix)
        return {}
    if not tables:
        mistakes.add(
            "venues",
            "is missing: there is no venue; write a header, for example [venues.qfex], and its settings below it",
        )
    read = {name: venueconfig.read(name, table, base, mistakes, deadline) for name, table in tables.items()}
    return {name: each for name, each in read.items() if each is not None}


def _journal(value: Any, base: Path, mistakes: Mistakes) -> Path | None:
    if value is False:
        return None
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return located(base, value)
    mistakes.wrong("journal", value, 'it is a path in quotes: journal = "router.journal"; or false, for no journal')
    return None


def _fitting(argument: Argument, value: Any, mistakes: Mistakes) -> Any:
    try:
        return argument.fit(value, Path())
    except Unfit as error:
        mistakes.wrong(argument.name, value, str(error))
        return None


def _unknown(key: str, value: Any, mistakes: Mistakes) -> None:
    """A key at the top that means nothing there."""
    near, belongs = (
        nearest(key, OF_ALL),
        key in {"adapter", "url", "base_url", "account", "account_id", "limits", "share"},
    )
    if near == "venues" or (isinstance(value, Mapping) and near is None):
        fix = f"the header of a venue is [{join('venues', key if near is None else 'NAME')}]"
        fix = f"did you mean venues? {fix[0].upper()}{fix[1:]}" if near else fix
    elif belongs or looks_secret(key):
        fix = "a venue's setting stands below the venue's header, for example [venues.qfex]"
    elif near is not None:
        fix = f"did you mean {near}?"
    else:
        fix = f"the keys at the top are: {listed(OF_ALL)}"
    may_show = belongs or near is not None
    mistakes.unknown(join("", key), shown_or_not(key, value, mistakes, may_show=may_show), fix)
