"""Which venues a command connects, and with what: router.toml's, and what that does not name from the environment.

No command arms a venue's own dead man's switch, whatever router.toml says: when the command ends, so does its connection, and
the switch would take the orders of a strategy that runs on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from router import registry
from router.cli.exits import USAGE, Failure
from router.errors import ConfigError, RouterError

if TYPE_CHECKING:
    from router.config import Config
    from router.venue import Adapter

__all__ = ["SWITCHES", "Chosen", "choose", "configured"]

SWITCHES: Final = frozenset({"cancel_on_disconnect", "on_exit"})
"""Settings of an adapter that have the venue cancel when the connection ends."""
NO_CONFIG: Final = "no venue is named, and there is no router.toml: name the venues, or say where the file is with --config or ROUTER_CONFIG"


@frozen
class Chosen:
    """The venues by name, in the order in which they were named, and the configuration, where there is one."""

    names: tuple[str, ...]
    config: Config | None = None

    def adapters(self) -> dict[str, Adapter]:
        """Their adapters. Raises Failure for what is wrong with them."""
        ours = [] if self.config is None else [name for name in self.names if name in self.config.venues]
        made = {} if self.config is None else _from_config(self.config, ours)
        return {name: made[name] if name in made else _from_environment(name, self.config) for name in self.names}


def choose(names: Iterable[str], path: Path | None) -> Chosen:
    """These venues; none named: all of router.toml. Raises Failure."""
    config, wanted = configured(path), tuple(dict.fromkeys(names))
    if wanted:
        return Chosen(wanted, config)
    if config is None:
        raise Failure(NO_CONFIG, USAGE)
    if not config.venues:
        raise Failure(f"{config.path} names no venue", USAGE)
    return Chosen(tuple(config.venues), config)


def configured(path: Path | None) -> Config | None:
    """The configuration, where there is one. Raises Failure with all its mistakes."""
    from router import config  # noqa: PLC0415 - of no use to those commands that need none

    try:
        found = config.find() if path is None else path
        return None if found is None else _disarmed(config.load(found))
    except ConfigError as error:
        raise mistaken(error) from None
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}", USAGE) from None


def mistaken(error: ConfigError) -> Failure:
    """All mistakes at once, a line each."""
    if len(error.mistakes) == 1:
        return Failure(str(error), USAGE)
    return Failure(f"{error.path} has {len(error.mistakes)} mistakes:", USAGE, error.mistakes)


def _disarmed(config: Config) -> Config:
    venues = {
        name: evolve(venue, settings={key: value for key, value in venue.settings.items() if key not in SWITCHES})
        for name, venue in config.venues.items()
    }
    return evolve(config, venues=venues)


def _from_config(config: Config, names: Sequence[str]) -> dict[str, Adapter]:
    try:
        return dict(config.adapters(names)) if names else {}
    except ConfigError as error:
        raise mistaken(error) from None
    except (RouterError, ValueError, TypeError, OSError) as error:
        raise Failure(str(error), USAGE) from None


def _from_environment(name: str, config: Config | None) -> Adapter:
    try:
        found = registry.adapter(name)
    except RouterError as error:
        named = f"; in {config.path}: {', '.join(config.venues) or 'none'}" if config else ""
        raise Failure(f"{error}{named}", USAGE) from None
    try:
        return registry.from_environ(name, os.environ)
    except (ValueError, TypeError, OSError) as error:
        known = found.from_environ.__doc__ or "see its documentation"
        raise Failure(f"{error} (from the environment: {known})", USAGE) from None
