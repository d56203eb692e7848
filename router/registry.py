"""What is installed: from a venue's name to its adapter and its simulator, by entry points.

Nothing is imported before it is asked for. A venue that cannot be imported, or is not what its entry point says, is named
with its error and takes no other down. What such an error says is somebody else's text: it is shown in one line, and without
what the environment keeps secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self, cast

from attrs import frozen

from router.errors import UnknownVenue, VenueError
from router.redact import Redactor
from router.venue import Spec

if TYPE_CHECKING:
    from router.testing import Simulator
    from router.venue import Adapter

__all__ = [
    "ADAPTERS",
    "DEMOS",
    "DISTRIBUTION",
    "SECRET_NAME",
    "SIMULATORS",
    "AdapterClass",
    "Plugin",
    "adapter",
    "from_environ",
    "installed",
    "load",
    "plugins",
    "simulator",
    "words",
]

ADAPTERS: Final = "router.adapters"
SIMULATORS: Final = "router.simulators"
DEMOS: Final = "router.demos"
DISTRIBUTION: Final = "venue-router"
"""The distribution that this module is in: what others bring are plug-ins."""

MAX_WORDS: Final = 400  # of somebody else's error
SECRET_NAME = re.compile("KEY|SECRET|TOKEN|PASS|_PWD|MNEMONIC|SEED|JWT|CREDENTIAL|AUTH|PRIVATE|COOKIE", re.IGNORECASE)
"""What is called like this holds a secret."""


class AdapterClass(Protocol):
    """What an entry point of the group "router.adapters" names.

    Its constructor's keyword arguments are a venue's keys in router.toml. Those in a ClassVar `secret_settings` (without one: those
    that are called like a secret) are taken from there by reference only.
    """

    declared: ClassVar[Spec]
    """The venue as data."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """The adapter with its credentials from environment variables. Raises ValueError when they don't do."""


@frozen
class Plugin:
    """One name of a group. package: the distribution it comes from, with its version; all of them, where several claim it.

    found: what the name stands for, or why it stands for nothing.
    """

    name: str
    package: str
    found: Any | VenueError


def adapter(name: str) -> type[AdapterClass]:
    """A venue's adapter class. Raises UnknownVenue, or VenueError for one that cannot be imported or is none."""
    return cast("type[AdapterClass]", load(ADAPTERS, name))


def from_environ(name: str, environ: Mapping[str, str]) -> Adapter:
    """A venue's adapter with its credentials from the environment. Raises ValueError when they don't do."""
    found = adapter(name)
    try:
        return cast("Adapter", found.from_environ(environ))
    except Exception as error:  # noqa: BLE001 - whatever somebody else's class says to a missing variable
        raise ValueError(words(error, environ, named=not isinstance(error, ValueError))) from None


def simulator(name: str) -> type[Simulator]:
    """A venue's simulator class. Raises UnknownVenue, or VenueError for one that cannot be imported or is none."""
    return cast("type[Simulator]", load(SIMULATORS, name))


def load(group: str, name: str) -> Any:
    """What `name` stands for in this group. Raises UnknownVenue, or VenueError for what cannot be imported or used."""
    points = _points(group)
    if name not in points:
        raise UnknownVenue(name, points)
    return _load(points[name])


def installed(group: str = ADAPTERS) -> dict[str, Any | VenueError]:
    """Everything in this group by name, imported; a VenueError in the place of what cannot be."""
    return {each.name: each.found for each in plugins(group)}


def plugins(group: str = ADAPTERS, *, distribution: str | None = None) -> list[Plugin]:
    """Everything in this group, imported, by name, and where it comes from. distribution: only what this one brings."""
    return [
        Plugin(name, ", ".join(sorted({_package(each) for each in points})), _try(points))
        for name, points in sorted(_points(group, distribution).items())
    ]


def words(error: BaseException, environ: Mapping[str, str] = os.environ, *, named: bool = True) -> str:
    """What somebody else's error says: in one line, of bounded length, without secrets of the environment. named: and its type."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error that cannot even say what it is
        text = "its text cannot be read"
    return _line(f"{type(error).__name__}: {text}" if named else text, environ)


def _line(text: str, environ: Mapping[str, str]) -> str:
    shown = Redactor(_secrets(environ))(text)
    shown = " ".join("".join(char if char.isprintable() else " " for char in shown).split())
    return shown if len(shown) <= MAX_WORDS else f"{shown[:MAX_WORDS]}..."


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    """The values of variables that are named like secrets, and each line of them, since a repr joins lines differently."""
    for name, value in environ.items():
        if SECRET_NAME.search(name):
            yield from (value, *value.splitlines())


def _points(group: str, distribution: str | None = None) -> dict[str, list[EntryPoint]]:
    """The entry points by name: several if distributions disagree about a name."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        if distribution is None or (point.dist is not None and point.dist.name == distribution):
            found.setdefault(point.name, []).append(point)
    return found


def _package(point: EntryPoint) -> str:
    return "?" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _try(points: list[EntryPoint]) -> Any | VenueError:
    try:
        return _load(points)
    except VenueError as error:
        return error


def _load(points: list[EntryPoint]) -> Any:
    point = points[0]
    if len({each.value for each in points}) > 1:  # credentials would go to whichever happens to come first
        claims = ", ".join(sorted(f"{_package(each)} ({each.value})" for each in points))
        raise VenueError(point.name, f"claimed by several packages: {claims}")
    if not point.pattern.match(point.value):
        raise VenueError(point.name, f"its entry point is {point.value!r}, and must be module:name")
    try:
        found = point.load()
        fault = _fault(point.group, found)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever somebody else's module does when it is imported: some call sys.exit()
        raise VenueError(point.name, f"{point.value} cannot be imported: {words(error)}") from error
    if fault:
        raise VenueError(point.name, f"{point.value} {fault}")
    return found


def _fault(group: str, found: Any) -> str:
    """Why this is not what the group is for, or ""."""
    if group == ADAPTERS:
        if not isinstance(getattr(found, "declared", None), Spec):
            return "is no adapter class: its `declared` is no Spec"
        return "" if callable(getattr(found, "from_environ", None)) else "is no adapter class: it has no from_environ()"
    if group == SIMULATORS:
        from router.testing import Simulator  # noqa: PLC0415 - slow to import, and of use here alone

        if not (isinstance(found, type) and issubclass(found, Simulator)):
            return "is no router.testing.Simulator"
        missing = ", ".join(sorted(found.__abstractmethods__))
        return missing and f"is no whole Simulator: it lacks {missing}"
    return "" if callable(found) else "cannot be called"
