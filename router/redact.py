"""What may not be shown: removes keys, tokens and signatures from text that leaves for a log, an exception or a report.

Two nets, because either alone has holes: names of fields that carry secrets in JSON, headers and URLs, and the shapes of
secrets themselves (JWTs, labelled keys), plus the exact values that an adapter was given.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["Redactor", "Sealed", "Secret", "as_secret", "fingerprint", "redact"]

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
_HEX = bytes(ord("0") if chr(byte) in "0123456789abcdefABCDEF" else ord("-") for byte in range(256))
_LONG = b"0" * 62
_MARKS = (
    *("signature", "secret", "private", "key", "jwt", "pass", "mnemonic", "authorization", "token", "nonce"),
    *('"r"', '"s"', '"r\\', '"s\\'),
)
"""One of these, in lower case, is in every text that _JSON has something to remove from."""
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


def fingerprint(*words: str | None) -> str:
    """A short name for what these say, that does not show it; "" for nothing."""
    said = "\n".join(word for word in words if word)
    return hashlib.sha256(said.encode()).hexdigest()[:12] if said else ""


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
        self._escaped: re.Pattern[str] | None = None

    def __call__(self, text: str) -> str:
        if self._exact is not None:
            text = self._exact.sub(HIDDEN, text)
            text = self._without_escaped(text) if "\\" in text else text
        return _remove(text, text.lower()) if text.isascii() else _remove_all(text)

    def _without_escaped(self, text: str) -> str:
        """Some JSON writers escape what they need not, and a secret that is echoed so is the same secret."""
        if self._escaped is None:
            values = sorted({*self._values, *self._learnt}, key=len, reverse=True)
            self._escaped = re.compile("|".join("".join(map(_escapes, value)) for value in values))
        return self._escaped.sub(HIDDEN, text)


def _remove(text: str, lower: str) -> str:
    """The same as _remove_all, for ASCII: each pattern is tried only where what it needs is there, which is ten times as fast."""
    if any(map(lower.__contains__, _MARKS)):
        text = _JSON.sub(rf"\1\2{HIDDEN}", text)
    if _LONG in text.encode().translate(_HEX):  # all of _ASSIGNED's values are that long
        text = _ASSIGNED.sub(rf"\1{HIDDEN}", text)
    if "?" in text or "&" in text:
        text = _QUERY.sub(rf"\1{HIDDEN}", text)
    if "://" in text:
        text = _USERINFO.sub(rf"\1{HIDDEN}\2", text)
    if "eyJ" in text or "qfex_secret_" in text or "bearer" in lower:
        text = _SHAPES.sub(HIDDEN, text)
    return text


def _remove_all(text: str) -> str:
    text = _JSON.sub(rf"\1\2{HIDDEN}", text)
    text = _ASSIGNED.sub(rf"\1{HIDDEN}", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    text = _USERINFO.sub(rf"\1{HIDDEN}\2", text)
    return _SHAPES.sub(HIDDEN, text)


def _escapes(char: str) -> str:
    """A character as JSON may spell it: itself, after a backslash, or by its number."""
    return rf"(?:\\{{0,8}}{re.escape(char)}|\\{{1,8}}u(?i:{ord(char):04x}))"


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
