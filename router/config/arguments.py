"""What can be set of an adapter: the keyword arguments of its constructor, and whether a value of TOML is one of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from attrs import frozen

from router.config import fitting
from router.config.fitting import Unfit
from router.config.references import looks_secret

__all__ = ["Argument", "Arguments"]


@frozen
class Argument:
    """One keyword argument. kinds: the alternatives of its type that a file can express."""

    name: str
    kinds: tuple[Any, ...]
    is_required: bool = False

    @property
    def takes_text(self) -> bool:
        return any(each in {str, Any} for each in self.kinds)

    @property
    def takes_table(self) -> bool:
        return any(each is Any or fitting.is_table(each) for each in self.kinds)

    @property
    def words(self) -> str:
        """What it is, for whoever writes the file."""
        kinds = [each for each in self.kinds if each is not str or not self.is_path]
        return f"it is {' or '.join(dict.fromkeys(fitting.words(each) for each in kinds))}"

    @property
    def is_path(self) -> bool:
        return any(fitting.is_path(each) for each in self.kinds)

    @property
    def is_url(self) -> bool:
        return self.takes_text and (self.name == "url" or self.name.endswith("_url"))

    def fit(self, value: Any, base: Path) -> Any:
        """The value as the constructor takes it. base: the directory that paths begin in. Raises Unfit."""
        if isinstance(value, str) and not value.strip():
            raise Unfit("it can't be empty; leave the key out for none")
        for each in self.kinds:
            try:
                return fitting.fit(self.name, each, value, base)
            except Unfit as error:
                if len(self.kinds) == 1:
                    raise Unfit(str(error)) from None
        raise Unfit(self.words)


@frozen
class Arguments:
    """Of one adapter class. is_open: it takes any keyword. declared: its secret_settings; None: it has not said."""

    known: Mapping[str, Argument]
    is_open: bool = False
    declared: frozenset[str] | None = None

    @classmethod
    def of(cls, adapter: Callable[..., Any]) -> Arguments:
        """What an adapter class takes; anything, where Python can't tell."""
        declared = getattr(adapter, "secret_settings", None)
        secret = frozenset(map(str, declared)) if isinstance(declared, frozenset | set | tuple | list) else None
        try:
            parameters = inspect.signature(adapter).parameters.values()
        except (TypeError, ValueError):
            return cls({}, is_open=True, declared=secret)
        hints = _hints(adapter)
        named = {
            each.name: Argument(each.name, fitting.kinds(hints.get(each.name, Any)), each.default is each.empty)
            for each in parameters
            if each.kind in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}
        }
        return cls(named, any(each.kind is each.VAR_KEYWORD for each in parameters), secret)

    def get(self, name: str) -> Argument | None:
        """The argument of this name, or None."""
        kinds = (float,) if name in {"deadline", "share"} else (Any,)
        return self.known.get(name) or (Argument(name, kinds) if self.is_open else None)

    def is_secret(self, name: str) -> bool:
        """Whether the text of an argument is a secret."""
        if self.declared is not None and (name in self.known or name in self.declared):
            return name in self.declared
        argument = self.known.get(name)
        return looks_secret(name) and (argument is None or argument.takes_text)

    def is_secret_within(self, name: str, key: str) -> bool:
        """Whether what stands under this key of a table is a secret. secret_settings name it as "argument.key"."""
        return self.is_secret(name) or key in self.secrets_within(name) or looks_secret(key)

    def secrets_within(self, name: str) -> list[str]:
        """The keys of a table that are declared as secrets."""
        within = f"{name}."
        return sorted(each.removeprefix(within) for each in self.declared or () if each.startswith(within))

    @property
    def secrets(self) -> list[str]:
        """The names of the secret arguments, and of the secret keys in those that are tables."""
        named = [name for name in self.known if self.is_secret(name)]
        return [*named, *(each.partition(".")[2] for each in self.declared or () if "." in each)]


def _hints(adapter: Callable[..., Any]) -> dict[str, Any]:
    """The types of the arguments; without those that need something which is there for the type checker alone."""
    try:
        return get_type_hints(inspect.getattr_static(adapter, "__init__") if isinstance(adapter, type) else adapter)
    except Exception:  # noqa: BLE001 - whatever is in somebody else's annotations
        return {}
