"""One venue of a configuration: the settings of its adapter, and the adapter built of them, with the secrets read only then."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from attrs import field, frozen

from router import registry
from router.config.arguments import Arguments
from router.config.mistakes import Mistakes, as_name, join, kind, listed, nearest, quoted
from router.config.references import FORMS, Reference, Unresolved, looks_secret
from router.config.settings import OF_ALL, Settings
from router.errors import VenueError
from router.redact import Secret

if TYPE_CHECKING:
    from router.venue import Adapter

__all__ = ["Unbuilt", "VenueConfig", "read"]

MAX_NAME: Final = 64
_KNOWN: Final = re.compile(r"was '(\w+)'; known: ([\w, -]+)$")


class Unbuilt(Exception):
    """An adapter that can't be built. by_settings: because of what it was given, not because something is missing here."""

    def __init__(self, text: str, *, by_settings: bool) -> None:
        super().__init__(text)
        self.by_settings = by_settings


@frozen
class VenueConfig:
    """name: what it is called in the Router. adapter: its entry point. settings: keyword arguments of the adapter's class.

    What is secret in the settings is a Reference, which is read when the adapter is built.
    """

    name: str
    adapter: str
    settings: Mapping[str, Any] = field(repr=lambda settings: f"<{', '.join(settings)}>")
    place: str = field(default="", repr=False)
    """Its dotted path in the file."""

    @property
    def references(self) -> list[Reference]:
        """To the secrets that it needs."""
        return list(_found(self.settings, Reference))

    def resolved(self, mistakes: Mistakes, environ: Mapping[str, str]) -> dict[str, Any]:
        """The settings with each secret read, as a Secret."""
        return {name: _resolved(value, mistakes, environ) for name, value in self.settings.items()}

    def build(self, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Adapter:
        """The adapter of these settings. Raises Unbuilt."""
        hidden = [secret.reveal() for secret in _found(settings, Secret)]
        try:
            found = cast("Any", registry.adapter(self.adapter))
            return cast("Adapter", found(**{name: _revealed(value) for name, value in settings.items()}))
        except Exception as error:  # noqa: BLE001 - whatever an adapter's class says to what it is given
            said, by_settings = _words(error, self.adapter, hidden, environ), isinstance(error, ValueError | TypeError)
        raise Unbuilt(said, by_settings=by_settings)  # out here: no exception that has seen a secret hangs on to it


def _resolved(value: Any, mistakes: Mistakes, environ: Mapping[str, str]) -> Any:
    match value:
        case Reference():
            try:
                return value.resolve(environ)
            except Unresolved as error:
                mistakes.add(value.place, str(error))
                return None
        case dict():
            return {key: _resolved(each, mistakes, environ) for key, each in value.items()}
        case list():
            return [_resolved(each, mistakes, environ) for each in value]
    return value


def _revealed(value: Any) -> Any:
    match value:
        case Secret():
            return value.reveal()
        case dict():
            return {key: _revealed(each) for key, each in value.items()}
        case list():
            return [_revealed(each) for each in value]
    return value


def _found(value: Any, kind: type[Any]) -> Iterator[Any]:
    """Everything of a kind in a setting."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _found(each, kind)


def _words(error: Exception, adapter: str, hidden: list[str], environ: Mapping[str, str]) -> str:
    """What an adapter's class says, without the secrets that it was given: as they are, by lines, and as a repr has them."""
    forms = {form for text in hidden for form in (text, text.strip(), repr(text)[1:-1])}
    known = {f"SECRET {number}": form for number, form in enumerate(forms)}
    own = isinstance(error, ValueError | VenueError)
    said = registry.words(error, {**environ, **known}, named=not own)
    if any(text in said for text in forms if text):
        return "what its adapter says is not shown, because a secret is so short that it is in it; is it the right one?"
    return f"{said.removeprefix(f'{adapter}: ')}{_meant(error)}"


def _meant(error: Exception) -> str:
    """The nearest of many known names, where the list is too long to be shown."""
    found = _KNOWN.search(str(error)) if type(error) is ValueError else None
    near = nearest(found[1], found[2].split(", ")) if found is not None else None
    return f" (did you mean {quoted(near)}?)" if near else ""


# -- its table


def read(name: str, table: Any, base: Path, mistakes: Mistakes, deadline: float | None) -> VenueConfig | None:
    """One venue of the file. deadline: what it has by default. None where there are mistakes."""
    place, before = join("venues", name), len(mistakes.found)
    if not (name.strip() and name.isprintable() and len(name) <= MAX_NAME):
        mistakes.add(place, f"is no name for a venue; it is 1 to {MAX_NAME} printable characters: [venues.qfex]")
    if not isinstance(table, Mapping):
        mistakes.add(place, f"is {kind(table)} and not a table; {_header(name)}")
        return None
    adapter = _adapter(name, table, place, mistakes)
    found, arguments = _class(adapter)
    settings = Settings(found, arguments, place, base, mistakes).read(table, deadline)
    config = VenueConfig(name, adapter or "", settings, place)
    if found is not None and len(mistakes.found) == before:
        _try(config, arguments, mistakes)
    return config if len(mistakes.found) == before else None


def _header(name: str) -> str:
    """What was meant by something that is no table."""
    if name in {"adapter", "url", "account", "limits", *OF_ALL} or looks_secret(name):
        return "a setting stands below the header of its venue, which has the venue's name: [venues.qfex]"
    return f"write its settings below the header [{join('venues', name)}]"


def _adapter(name: str, table: Mapping[str, Any], place: str, mistakes: Mistakes) -> str | None:
    """The entry point that the table names, or that is called like the venue."""
    installed = sorted({point.name for point in entry_points(group=registry.ADAPTERS)})
    given = table.get("adapter", name)
    if isinstance(given, str) and given in installed:
        return given
    near = nearest(given, installed) if isinstance(given, str) else None
    known = f"installed are: {listed(map(as_name, installed)) or 'none'}"
    meant = f"did you mean {quoted(near)}? {known}" if near else known
    if "adapter" not in table:
        example = quoted(near or "qfex")
        mistakes.add(place, f"has no adapter, and none is called {quoted(name)}; write adapter = {example} ({known})")
    elif isinstance(given, str):
        mistakes.wrong(join(place, "adapter"), given, f"no such adapter is installed; {meant}")
    else:
        mistakes.wrong(join(place, "adapter"), given, f"it is the name of an adapter, in quotes; {known}")
    return None


def _class(adapter: str | None) -> tuple[Any, Arguments]:
    """What can be set. A package that can't be imported takes no other venue down: the error is told when it is to be built."""
    try:
        found = None if adapter is None else registry.adapter(adapter)
    except VenueError:
        found = None
    if found is None:
        return None, Arguments({}, is_open=True)
    return found, Arguments.of(found)


def _try(config: VenueConfig, arguments: Arguments, mistakes: Mistakes) -> None:
    """Where no secret is referred to, let the class say which it needs: nothing has to be read for that."""
    if config.references or not arguments.secrets:
        return
    try:
        config.build(config.settings, {})
    except Unbuilt as error:
        if error.by_settings:
            mistakes.add(config.place, f"can't be used: {error} (a secret is given by reference: one of {FORMS})")
