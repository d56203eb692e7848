"""What may not be shown: removes keys, tokens and signatures from text that leaves for a log, an exception or a report.

Two nets, because either alone has holes: names of fields that carry secrets in JSON, headers and URLs, and the shapes of
secrets themselves (JWTs, labelled keys), plus the exact values that an adapter was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["Redactor", "Sealed", "Secret", "as_secret", "redact"]

HIDDEN = "[redacted]"
MAX_WORD = 40

_NAMES = (
    "signature|secret(?:_?key)?|private_?key|api_?key|jwt|password|passphrase|mnemonic|authorization|hmac_signature"
    "|(?:offline_?|access_?|refresh_?|id_?)?token|nonce|[rs]"
)
_JSON = re.compile(rf'(\\{{0,8}}"(?:{_NAMES})\\{{0,8}}"\s{{0,8}}:\s{{0,8}})(\\{{0,8}}")[^"\\]*', re.IGNORECASE)
_ASSIGNED = re.compile(r"(\b(?:signature|[rs])\s{0,3}[=:]\s{0,3}[\"']?)(?:0x)?[0-9a-f]{62,64}\b", re.IGNORECASE)
_QUERY = re.compile(r"([?&](?:api_?key|jwt|access_?token|token|signature)=)[^&\s\"'#]*", re.IGNORECASE)
_USERINFO = re.compile(r"(://)[^/@\s\"']+(@)")
_SHAPES = re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]+\.[\w-]*|qfex_secret_\w+|(?i:bearer\s{1,8})[\w.~+/=-]{8,}")


class Secret:
    """A secret text that shows itself only when asked by reveal()."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Secret('{HIDDEN}')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


def as_secret(value: str | Secret) -> Secret:
    """For fields that take either."""
    return value if isinstance(value, Secret) else Secret(value)


class Redactor:
    """Removes secrets from text. exact: values to remove wherever they stand, each at least 6 characters long."""

    def __init__(self, exact: Iterable[str] = ()) -> None:
        self._learnt: list[str] = []
        self._values = {value for value in exact if len(value) >= 6}
        self._compile()

    def learn(self, secret: Secret) -> None:
        """From now on this value is removed as well. Of the learnt ones the last few are kept: tokens come and go."""
        if len(secret.reveal()) >= 6:
            self._learnt = [*self._learnt[-3:], secret.reveal()]
            self._compile()

    def word(self, text: str) -> str:
        """The same for short texts that come again and again, as a venue's status words do."""
        return self._words(text) if len(text) <= MAX_WORD else self(text)

    def _compile(self) -> None:
        self._words = lru_cache(maxsize=1024)(self.__call__)
        values = sorted({*self._values, *self._learnt}, key=len, reverse=True)
        self._exact = re.compile("|".join(map(re.escape, values))) if values else None

    def __call__(self, text: str) -> str:
        if self._exact is not None:
            text = self._exact.sub(HIDDEN, text)
        text = _JSON.sub(rf"\1\2{HIDDEN}", text)
        text = _ASSIGNED.sub(rf"\1{HIDDEN}", text)
        text = _QUERY.sub(rf"\1{HIDDEN}", text)
        text = _USERINFO.sub(rf"\1{HIDDEN}\2", text)
        return _SHAPES.sub(HIDDEN, text)


class Sealed:
    """A frame that is redacted when it is first looked at, which for most frames is never."""

    __slots__ = ("_body", "_redactor")

    def __init__(self, body: bytes, redactor: Redactor) -> None:
        self._body = body
        self._redactor = redactor

    def __str__(self) -> str:
        return self._redactor(self._body.decode("utf-8", "replace"))

    def __repr__(self) -> str:
        return f"<a frame of {len(self._body)} bytes>"

    def __reduce__(self) -> str:
        raise TypeError("a Sealed frame is not pickled")


redact = Redactor()
