"""A request as a venue author's code sees it, the refusal that it may raise, and JSON that cannot harm a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from attrs import field, frozen

from router.testing.bench import Verb

__all__ = ["HOSTILE", "Ask", "Refused", "read_json", "write_json"]

HOSTILE: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What plain indexing raises over a message that is not as the page says."""
MAX_BRACKETS: Final = 64  # others may have raised the recursion limit beyond what the parser's stack can take


class Refused(Exception):
    """The venue refuses a request, in this word of its page."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


@frozen
class Ask:
    """One request. message: its JSON, whatever it is. names: the parts of its path that a route names ({id}); HTTP alone."""

    word: str
    verb: Verb
    message: Any = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    names: Mapping[str, str] = field(factory=dict)
    query: Mapping[str, str] = field(factory=dict)

    @property
    def body(self) -> Mapping[str, Any]:
        """The message, if it is a JSON object; else an empty one."""
        return self.message if isinstance(self.message, dict) else {}

    def number(self, name: str) -> Decimal:
        """A number that the message has as such or in quotes. Raises ValueError, TypeError or LookupError."""
        value = self.body[name]
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise TypeError(f"{name} is no number")
        return Decimal(value)


def write_json(message: Any) -> str:
    """A message as JSON; Decimals as strings, as venues do that mean to be exact."""
    return json.dumps(message, default=_written, separators=(",", ":"))


def _written(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def read_json(text: str | bytes) -> Any:
    """A message, with its fractions as Decimals. ValueError for what is no JSON, is NaN, or is nested absurdly deep."""
    plain = text.decode() if isinstance(text, bytes) else text
    if plain.count("[") + plain.count("{") > MAX_BRACKETS:
        raise ValueError("nested too deeply")
    return json.loads(plain, parse_float=Decimal, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
