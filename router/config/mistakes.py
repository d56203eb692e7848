"""How a mistake in a configuration is told: the key by its dotted path, the value as it was given unless it may be secret, and the fix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, time
from difflib import get_close_matches
from typing import Any, Final

from router.redact import Redactor, redact

__all__ = ["Mistakes", "as_name", "join", "kind", "listed", "nearest", "printable", "quoted", "reads_like_a_name"]

MAX_SHOWN: Final = 100  # characters of a value
MAX_KEY: Final = 64
_KINDS: Final[tuple[tuple[Any, str], ...]] = (
    (str, "text"),
    (bool, "true or false"),
    ((int, float), "a number"),
    (list, "a list"),
    (Mapping, "a table"),
    ((date, time), "a date or time"),
)
_BARE = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_KEY}}}")
_GIVEN = re.compile(r"([?&;][^=&;#\s]*=)[^&;#\s]*")
_SPLIT = re.compile(r"[\s/._-]+")
_WORD = re.compile(r"(?:[a-z]{1,24}|[A-Z]{1,24}|[A-Z][a-z]{1,23})[0-9]{0,4}|[A-Za-z0-9]{0,9}")
_PLAIN = re.compile(r"[^a-z0-9]")


class Mistakes:
    """Those of one file, in the order in which they are found. secrets: texts of the file that must not be shown."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._redact = Redactor(secrets)
        self.found: list[str] = []

    def add(self, place: str, text: str) -> None:
        """text: what follows the place in the sentence."""
        self.found.append(f"{place} {text}")

    def wrong(self, place: str, value: Any, fix: str) -> None:
        """A value that won't do."""
        self.add(place, f"was {self.show(value)}; {fix}")

    def unknown(self, place: str, value: str, fix: str) -> None:
        """A key that means nothing here. value: as it is to be shown."""
        self.add(place, f"is not a known key (its value: {value}); {fix}")

    def show(self, value: Any) -> str:
        """A value much as the file has it, in one line of bounded length."""
        match value:
            case str():
                return quoted(self.hide(value))
            case list():
                return f"[{listed(self.show(each) if not isinstance(each, list | dict) else '...' for each in value)}]"
            case Mapping():
                return f"a table ({listed(as_name(key) for key in value) or 'empty'})"
            case int() if value.bit_length() > 256:
                return f"a whole number of {value.bit_length()} bits"
        return str(value).lower() if isinstance(value, bool) else str(value)

    def hide(self, text: str) -> str:
        """The text without what must not be shown: the secrets of the file, and what a URL carries besides its address."""
        return _GIVEN.sub(r"\1[redacted]", self._redact(text))


def kind(value: Any) -> str:
    """What a value of TOML is, in a word."""
    return next((word for types, word in _KINDS if isinstance(value, types)), "something else")


def join(table: str, key: str) -> str:
    """The dotted path of a key, as TOML would write it. table: the path of its table, "" for the file's top."""
    return f"{table}.{as_name(key)}" if table else as_name(key)


def as_name(key: str) -> str:
    return redact(key) if _BARE.fullmatch(key) else quoted(redact(key), MAX_KEY)


def quoted(text: str, most: int = MAX_SHOWN) -> str:
    shown = text if len(text) <= most else f"{text[:most]}..."
    return f'"{printable(shown.translate({34: chr(92) + chr(34), 92: chr(92) * 2}))}"'


def printable(text: str) -> str:
    """In one line, and without what moves a terminal's cursor."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def listed(words: Iterable[str], most: int = 40) -> str:
    """The first of them, with commas."""
    all_of_them = list(words)
    return ", ".join(all_of_them[:most]) + (f" and {len(all_of_them) - most} more" if len(all_of_them) > most else "")


def reads_like_a_name(text: str) -> bool:
    """Whether it is made of words, as names are and keys, tokens and hashes are not."""
    return len(text) <= 200 and all(_WORD.fullmatch(part) for part in _SPLIT.split(text))


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that was probably meant: capitals, dashes and underscores don't count."""
    plain = {_plain(each): each for each in known}
    found = get_close_matches(_plain(word[:MAX_KEY]), plain, 1, cutoff)
    return plain[found[0]] if found else None


def _plain(word: str) -> str:
    return _PLAIN.sub("", word.lower())
