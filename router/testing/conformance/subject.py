"""The venue that is put to the test: from a name to its adapter class and its simulator class."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from attrs import frozen

from router import registry
from router.errors import UnknownVenue
from router.testing.simulator import Simulator
from router.venue import Spec

__all__ = ["Subject", "subjects"]


@frozen
class Subject:
    """A venue's classes under the name by which it was asked for."""

    name: str
    adapter: type
    simulator: type[Simulator]

    @property
    def setups(self) -> tuple[str, ...]:
        """The names of the ways to configure it; "" for the plain one."""
        return tuple(self.simulator().bench.setups())

    @classmethod
    def named(cls, name: str) -> Subject:
        """The venue of this name: that of an installed one, or a module that has (or whose submodules have) both classes.

        Raises UnknownVenue, or VenueError for one that cannot be imported; both name the way out.
        """
        known = [
            point for point in entry_points(group=registry.ADAPTERS) if name in {point.name, *_modules(point.module)}
        ]
        if known:
            found = known[0].name
            return cls(name, registry.adapter(found), registry.simulator(found))
        return cls._in_module(name)

    @classmethod
    def _in_module(cls, name: str) -> Subject:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
                raise
            raise UnknownVenue(name, (point.name for point in entry_points(group=registry.ADAPTERS))) from None
        adapter = _only(module, _is_adapter, "an adapter class with a `declared` Spec")
        simulator = _only(_with_simulator(module), _is_simulator, "a subclass of router.testing.Simulator")
        return cls(name, adapter, simulator)


def subjects() -> dict[str, Subject]:
    """Every installed venue that has both an adapter and a simulator, by name."""
    adapters, simulators = registry.installed(registry.ADAPTERS), registry.installed(registry.SIMULATORS)
    both = ((name, adapters[name], simulators.get(name)) for name in sorted(adapters))
    return {
        name: Subject(name, adapter, simulator)
        for name, adapter, simulator in both
        if isinstance(adapter, type) and isinstance(simulator, type)
    }


def _modules(module: str) -> Iterator[str]:
    """The module and its packages, the top one included."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def _with_simulator(module: ModuleType) -> ModuleType:
    """The submodule `simulator` where there is one."""
    try:
        return importlib.import_module(f"{module.__name__}.simulator")
    except ModuleNotFoundError:
        return module


def _only(module: ModuleType, wanted: Any, what: str) -> Any:
    found = [each for name, each in vars(module).items() if not name.startswith("_") and wanted(each, module)]
    if len(found) != 1:
        raise ValueError(f"{module.__name__} has {len(found)} of {what}; one is needed, or entry points that name them")
    return found[0]


def _is_adapter(each: Any, _module: ModuleType) -> bool:
    return isinstance(each, type) and isinstance(getattr(each, "declared", None), Spec)


def _is_simulator(each: Any, module: ModuleType) -> bool:
    return isinstance(each, type) and issubclass(each, Simulator) and each.__module__.startswith(module.__name__)
