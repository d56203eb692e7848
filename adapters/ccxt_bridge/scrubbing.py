"""What of ccxt's may not be shown besides what no venue shows: signatures under other names, and tokens of a sign-in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from router.redact import Redactor

__all__ = ["Scrubber", "tokens"]

SHORTEST: Final = 6
_NAMED = re.compile(r'((?:\\{0,8}")(?:sig|sign|hash)(?:\\{0,8}")\s{0,8}:\s{0,8}\\{0,8}")[^"\\]{6,}', re.IGNORECASE)
_QUERY = re.compile(r"(\b(?:sig|sign|hash)=)[^&\s\"'#]{6,}", re.IGNORECASE)
_TOKEN = re.compile(r"token|session|jwt|cookie", re.IGNORECASE)


class Scrubber(Redactor):
    """held: the texts that must not be shown now, which change as ccxt signs in."""

    def __init__(self, exact: Iterable[str], held: Callable[[], Iterable[str]]) -> None:
        self._held = held
        super().__init__(exact)

    def word(self, text: str) -> str:
        return self(text)

    def __call__(self, text: str) -> str:
        for each in self._held():
            text = text.replace(each, "[redacted]")
        return _QUERY.sub(r"\1[redacted]", _NAMED.sub(r"\1[redacted]", super().__call__(text)))


def tokens(exchange: Any) -> list[str]:
    """What a sign-in has left in the exchange's options."""
    return [text for text in _tokens(exchange.options, 0) if len(text) >= SHORTEST]


def _tokens(options: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, str) and _TOKEN.search(str(name)):
            yield value
        elif isinstance(value, dict) and depth < 2 and _TOKEN.search(str(name)):
            yield from _tokens(value, depth + 1)
