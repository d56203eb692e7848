"""What the installed venues can do, from their Specs: facts for programs, and the table in docs/venues.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import attrs

from router import registry
from router.errors import VenueError
from router.venue import Budget, Spec

__all__ = ["PLUMBING", "REFRESH", "built_in", "facts", "listed", "markdown"]

REFRESH: Final = "router venues --markdown > docs/venues.md"
PLUMBING: Final = frozenset(
    {"url", "http_url", "login_timeout", "http_timeout", "heartbeat", "max_frame", "bearer"}  # how, and not what
)
"""The fields of a Spec that say nothing of what a venue can do."""

Facts = Mapping[str, Any]


def listed() -> dict[str, dict[str, Any]]:
    """Every installed venue by name: its package, whether it has a simulator, and what it can do, or its error."""
    simulators = {each.name: each for each in registry.plugins(registry.SIMULATORS)}
    return {
        each.name: {"package": each.package, **_simulator(simulators.get(each.name)), **_abilities(each.found)}
        for each in registry.plugins()
    }


def built_in() -> dict[str, dict[str, Any]]:
    """What the venues of this distribution can do, by name, whatever else is installed. Raises VenueError if one is broken."""
    found: dict[str, dict[str, Any]] = {}
    for each in registry.plugins(distribution=registry.DISTRIBUTION):
        if isinstance(each.found, VenueError):
            raise each.found
        found[each.name] = facts(each.found.declared)
    return found


def facts(spec: Spec) -> dict[str, Any]:
    """A Spec as JSON has it, by the names of its fields. Raises TypeError for a field that is not what it should be."""
    return {
        each.name: _fact(each, getattr(spec, each.name)) for each in attrs.fields(Spec) if each.name not in PLUMBING
    }


def _simulator(plugin: registry.Plugin | None) -> dict[str, Any]:
    if plugin is not None and isinstance(plugin.found, VenueError):
        return {"simulator": False, "simulator_error": plugin.found.text}
    return {"simulator": plugin is not None}


def _abilities(found: Any) -> dict[str, Any]:
    if isinstance(found, VenueError):
        return {"error": found.text}
    try:
        return facts(found.declared)
    except Exception as error:  # noqa: BLE001 - a Spec that somebody else filled with anything
        return {"error": f"its Spec cannot be read: {registry.words(error)}"}


def _fact(field: attrs.Attribute[Any], value: Any) -> Any:
    match str(field.type).partition("[")[0], value:
        case "frozenset", AbstractSet():
            return sorted(map(str, value))
        case "Mapping", Mapping():
            return {str(key): str(each) for key, each in value.items()}
        case "Budget | None", Budget():
            return attrs.asdict(value)
        case ("Budget | None", None) | ("bool", bool()) | ("str", str()) | ("float", float() | int()):
            return value
    raise TypeError(f"{field.name} was {value!r}; it is a {field.type}")


# -- as Markdown


def markdown(venues: Mapping[str, Facts]) -> str:
    """The page docs/venues.md: what each can do, side by side."""
    sentences = sorted({key for each in venues.values() for key in each["docs"]})
    rows = [
        ["", *venues],
        ["---"] * (len(venues) + 1),
        *([label, *map(shown, venues.values())] for label, shown in ROWS),
        *([f"in words: {key}", *(each["docs"].get(key, "-") for each in venues.values())] for key in sentences),
    ]
    return HEAD + "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in rows)


HEAD: Final = f"""\
# Venues

What each built-in adapter declares of its venue. Options of an adapter can change it (`rest_url=`, `budget=`, ...), and what a
venue cannot do natively the Router may do all the same: the README says which.

Made from the Specs by `{REFRESH}`; a test fails where the two disagree. `router venues` shows the
same for everything installed, plug-ins included.

"""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _words(name: str) -> Callable[[Facts], str]:
    return lambda venue: ", ".join(f"`{each}`" for each in venue[name]) or "-"


def _seconds(name: str) -> Callable[[Facts], str]:
    return lambda venue: f"{venue[name]:g} s"


def _budget(name: str, otherwise: str) -> Callable[[Facts], str]:
    return lambda venue: str(Budget(**venue[name])) if venue[name] else otherwise


def _replaced(venue: Facts) -> str:
    return "is a new one" if venue["replace_is_new"] else "is the same one" if venue["replaces"] else "-"


ROWS: Final[Sequence[tuple[str, Callable[[Facts], str]]]] = (
    ("title", lambda venue: venue["title"]),
    ("cancels by", _words("cancel_kinds")),
    ("one cancel may take several, named by", _words("set_kinds")),
    ("a cancel needs the symbol for", _words("needs_symbol")),
    ("places", _words("order_types")),
    ("lists open orders of", _words("lists")),
    ("native replace of", _words("replaces")),
    ("an order that was replaced", _replaced),
    ("native cancel-all takes", _words("mass_cancels")),
    ("tells every trade", lambda venue: "yes" if venue["tells_trades"] else "no"),
    ("quiet period", _seconds("quiet_period")),
    ("rate budget", _budget("budget", "none declared")),
    ("rate budget of cancels", _budget("cancel_budget", "the same")),
    ("default deadline", _seconds("deadline")),
    ("documentation", lambda venue: f"<{venue['docs_url']}>" if venue["docs_url"] else "-"),
)
