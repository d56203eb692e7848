"""What is installed: from a venue's name to its adapter and its simulator, by entry points.

Nothing is imported before it is asked for, and a venue that cannot be imported takes no other down.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self, cast

from router.errors import UnknownVenue, VenueError

if TYPE_CHECKING:
    from router.testing import Simulator
    from router.venue import Adapter, Spec

__all__ = [
    "ADAPTERS",
    "DEMOS",
    "SIMULATORS",
    "AdapterClass",
    "adapter",
    "from_environ",
    "installed",
    "load",
    "simulator",
]

ADAPTERS: Final = "router.adapters"
SIMULATORS: Final = "router.simulators"
DEMOS: Final = "router.demos"


class AdapterClass(Protocol):
    """What an entry point of the group "router.adapters" names."""

    declared: ClassVar[Spec]
    """The venue as data."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """The adapter with its credentials from environment variables. Raises ValueError when they don't do."""


def adapter(name: str) -> type[AdapterClass]:
    """A venue's adapter class. Raises UnknownVenue, or VenueError for one that cannot be imported."""
    return cast("type[AdapterClass]", load(ADAPTERS, name))


def from_environ(name: str, environ: Mapping[str, str]) -> Adapter:
    """A venue's adapter with its credentials from the environment. Raises ValueError when they don't do."""
    return cast("Adapter", adapter(name).from_environ(environ))


def simulator(name: str) -> type[Simulator]:
    """A venue's simulator class. Raises UnknownVenue, or VenueError for one that cannot be imported."""
    return cast("type[Simulator]", load(SIMULATORS, name))


def load(group: str, name: str) -> Any:
    """What `name` stands for in this group. Raises UnknownVenue, or VenueError for one that cannot be imported."""
    points = _points(group)
    if name not in points:
        raise UnknownVenue(name, points)
    return _load(points[name])


def installed(group: str = ADAPTERS) -> dict[str, Any | VenueError]:
    """Everything in this group by name, imported; a VenueError in the place of what cannot be."""
    return {name: _try(found) for name, found in sorted(_points(group).items())}


def _points(group: str) -> dict[str, set[EntryPoint]]:
    """The entry points by name: more than one if distributions disagree about a name."""
    found: dict[str, set[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, set()).add(point)
    return found


def _try(points: set[EntryPoint]) -> Any | VenueError:
    try:
        return _load(points)
    except VenueError as error:
        return error


def _load(points: set[EntryPoint]) -> Any:
    point, *others = points
    if others:  # credentials would go to whichever happens to come first
        raise VenueError(point.name, f"claimed by several packages: {', '.join(sorted(each.value for each in points))}")
    try:
        return point.load()
    except Exception as error:  # whatever somebody else's module raises when it is imported
        raise VenueError(point.name, f"{point.value} cannot be imported: {type(error).__name__}: {error}") from error
