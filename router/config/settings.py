"""A venue's table in a configuration, read into the keyword arguments of its adapter's class."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from router.config.arguments import Argument, Arguments
from router.config.fitting import Unfit, number
from router.config.mistakes import Mistakes, join, kind, listed, nearest
from router.config.references import Reference, is_reference, looks_secret, way_out
from router.config.references import read as read_reference
from router.pacing import Budget
from router.redact import redact
from router.session import Session
from router.urls import checked_url

__all__ = ["OF_ALL", "Settings", "shown_or_not"]

OF_ALL: Final = ("venues", "journal", "durability", "on_unknown", "strict", "deadline")
"""The keys at the top of the file."""

LIMITS: Final = ("rate", "per", "share")
EXAMPLE: Final = "limits = { rate = 10, per = 1.0, share = 0.5 }"
NOT_SHOWN: Final = "not shown, it may be secret"
SECRETS: Final = (
    "secret",
    "secret_key",
    "api_key",
    "private_key",
    "token",
    "password",
    "passphrase",
    "mnemonic",
    "seed",
    "jwt",
)
_SYNONYMS: Final = {
    "timeout": "deadline",
    "host": "url",
    "hostname": "url",
    "endpoint": "url",
    "uri": "url",
    "address": "url",
    "server": "url",
    "rate_limit": "limits",
    "throttle": "limits",
    "type": "adapter",
    "driver": "adapter",
    "exchange": "adapter",
    "subaccount": "account",
}
_CANONICAL: Final = {"url": "base_url", "account": "account_id"}
_SOCKETS: Final = ("ws_url", "wss_url", "socket_url", "stream_url")
_USER: Final = re.compile(r"^([a-z]+:/*)?.*@", re.DOTALL | re.IGNORECASE)
_QUERY: Final = re.compile(r"[?&;]([^=&;#]+)=[^&;#]")
_HARMLESS: Final = re.compile(r"[A-Za-z]{1,8}(?:[-_/.][A-Za-z]{1,8}){0,2}")


class Settings:
    """Reads one table. Every mistake is noted, and what is read is of use only where there was none.

    adapter: its class; None: it can't be imported. arguments: those of the class. place: the dotted path of the table. base:
    the directory that paths begin in.
    """

    def __init__(self, adapter: Any, arguments: Arguments, place: str, base: Path, mistakes: Mistakes) -> None:
        self._arguments, self._spec = arguments, getattr(adapter, "declared", None)
        self._is_session = isinstance(adapter, type) and issubclass(adapter, Session)
        self._place, self._base, self._mistakes = place, base, mistakes
        self._limits = {name for name in ("budget", "share") if arguments.get(name) is not None}
        self._made: dict[str, Any] = {}
        self._given: dict[str, str] = {}

    def read(self, table: Mapping[str, Any], deadline: float | None) -> dict[str, Any]:
        """The keyword arguments. deadline: that of all venues, for a table without one."""
        for key, value in table.items():
            if key == "limits" and self._limits:
                self._read_limits(value)
            elif key != "adapter":
                self._read(key, value)
        self._demand()
        if deadline is not None and "deadline" in self._arguments.known:
            self._made.setdefault("deadline", deadline)
        return self._made

    def _read(self, key: str, value: Any) -> None:
        name = self._name(key)
        argument = self._arguments.get(name)
        if argument is None or (key == "budget" and "budget" in self._limits):
            self._unknown(key, value)
        else:
            place = join(self._place, key)
            self._take(name, place, self._value(argument, place, value))

    def _name(self, key: str) -> str:
        """What the constructor calls it."""
        own = _CANONICAL.get(key)
        return own if own is not None and own in self._arguments.known and key not in self._arguments.known else key

    def _key(self, name: str) -> str:
        """What the file calls it."""
        return next((key for key, own in _CANONICAL.items() if own == name and self._name(key) == own), name)

    def _take(self, name: str, place: str, value: Any) -> None:
        if name in self._given:
            self._mistakes.add(place, f"is the same setting as {self._given[name]}; keep one of the two")
        self._given[name], self._made[name] = place, value

    def _demand(self) -> None:
        """What the adapter can't be built without."""
        for argument in self._arguments.known.values():
            if not argument.is_required or argument.name in self._given:
                continue
            key = self._key(argument.name)
            place = join(self._place, key)
            if not argument.kinds:
                fix = f"it can't be written in a file, so build the Router in Python: Router({{...: ...({key}=...)}})"
            elif self._arguments.is_secret(argument.name) and argument.takes_text:
                fix = way_out(place)
            else:
                fix = f"the adapter needs {key} = ...: {argument.words}"
            self._mistakes.add(place, f"is missing; {fix}")

    # -- a value

    def _value(self, argument: Argument, place: str, value: Any) -> Any:
        is_secret, is_table = self._arguments.is_secret(argument.name), isinstance(value, Mapping)
        if not argument.kinds:
            key = argument.name
            fix = f"leave it out and build the Router in Python, where the adapter takes {key}=..."
            self._mistakes.add(
                place, f"can't be written in a file: the adapter takes an object of Python's for it; {fix}"
            )
        elif is_table and argument.takes_text and (is_secret or is_reference(value) or not argument.takes_table):
            return read_reference(value, place, self._base, self._mistakes)
        elif is_secret and not (is_table and argument.takes_table):
            self._refuse(place, value)
        elif is_reference(value) and not argument.takes_table:
            self._mistakes.add(place, f"is a reference, which stands for text; {argument.words}")
        elif isinstance(value, str) and not argument.is_url and redact(value) != value:
            self._mistakes.add(place, f"has the form of a secret; take it out and {way_out(place)}")
        elif argument.is_url and isinstance(value, str):
            self._check_url(argument.name, place, value)
            return value
        else:
            return self._fitting(argument, place, value)
        return None

    def _refuse(self, place: str, value: Any) -> None:
        """A secret in the file itself."""
        said = "is empty" if value == "" else f"is a secret and stands in the file itself (as {kind(value)})"
        self._mistakes.add(place, f"{said}; {'' if value == '' else 'take it out and '}{way_out(place)}")

    def _fitting(self, argument: Argument, place: str, value: Any) -> Any:
        before = len(self._mistakes.found)
        sealed = self._sealed(argument.name, place, value)
        if len(self._mistakes.found) > before:
            return None
        try:
            fitting = argument.fit(_filled(sealed), self._base)
        except Unfit as error:
            self._mistakes.wrong(place, value, str(error))
            return None
        return sealed if isinstance(sealed, dict) and argument.takes_table else fitting

    def _sealed(self, name: str, place: str, value: Any) -> Any:
        """The same with references in the place of their tables."""
        if isinstance(value, list):
            return [self._sealed(name, place, each) for each in value]
        if not isinstance(value, Mapping):
            return value
        return {key: self._entry(name, key, join(place, key), each) for key, each in value.items()}

    def _entry(self, name: str, key: str, place: str, value: Any) -> Any:
        """What stands under a key of a table that is a setting."""
        is_secret, declared = self._arguments.is_secret_within(name, key), self._arguments.secrets_within(name)
        near = nearest(key, declared, 0.85)
        if near is not None and near != key:
            self._mistakes.unknown(place, NOT_SHOWN, f"did you mean {near}?")
            return None
        if isinstance(value, Mapping) and (key in declared or (is_reference(value) and len(value) == 1)):
            return read_reference(value, place, self._base, self._mistakes)
        if is_secret and (isinstance(value, str | list) or key in declared):
            self._refuse(place, value)
        return self._sealed(name, place, value)

    # -- an address

    def _check_url(self, name: str, place: str, url: str) -> None:
        """As the adapter will, but before anything is built."""
        fault = self._url_fault(name, url)
        if fault and "@" in url:
            fault = f"{fault}, without a user and a password: credentials are given by reference"
        fault = _carried(url) or fault
        if fault:
            shown = self._mistakes.show(_USER.sub(r"\1[redacted]@", url))
            self._mistakes.add(place, f"was {shown}; {fault}")

    def _url_fault(self, name: str, url: str) -> str:
        fault = ""
        for scheme in reversed(self._schemes(name)):
            try:
                checked_url(url, name, scheme=scheme)
            except ValueError as error:
                fault = str(error).rpartition("; ")[2]
            else:
                return ""
        return fault

    def _schemes(self, name: str) -> tuple[str, ...]:
        """Those that this address may have; none where that is for the adapter alone to say, whose transport is its own."""
        if self._spec is None or not self._is_session:
            return ()
        own = (self._spec.url or self._spec.http_url) if name == "url" else None
        if own is not None:
            return {"ws": ("wss",), "wss": ("wss",), "http": ("https",), "https": ("https",)}.get(
                urlsplit(own).scheme, ()
            )
        if name in _SOCKETS:
            return ("wss",)
        return ("https", "wss") if name == "url" else ("https",)

    # -- limits

    def _read_limits(self, value: Any) -> None:
        place = join(self._place, "limits")
        if not isinstance(value, Mapping):
            self._mistakes.wrong(place, value, f"it is a table: {EXAMPLE}")
            return
        found = {key: self._limit(key, each, join(place, key)) for key, each in value.items()}
        if found.get("share") is not None:
            self._take("share", join(place, "share"), found["share"])
        if "rate" in value and "budget" in self._limits:
            rate, per = found["rate"], found.get("per", 1.0)
            self._take("budget", join(place, "rate"), None if rate is None or per is None else Budget(rate, per))
        elif "per" in value and "budget" in self._limits:
            self._mistakes.add(join(place, "rate"), f"is missing, and per alone says nothing; write {EXAMPLE}")

    def _limit(self, key: str, value: Any, place: str) -> float | None:
        """One number of the limits; None where it is a mistake."""
        owner = "share" if key == "share" else "budget"
        if key not in LIMITS:
            self._unknown_limit(key, value, place)
        elif owner not in self._limits:
            other = "share" if "share" in self._limits else "rate and per"
            self._mistakes.wrong(
                place, value, f"this adapter takes no {key}: {self._declared()}; only {other} can be set"
            )
        else:
            try:
                return number(key, value)
            except Unfit as error:
                self._mistakes.wrong(place, value, str(error))
        return None

    def _declared(self) -> str:
        budget = None if self._spec is None else self._spec.budget
        return f"its venue's own budget is {budget}" if budget is not None else "it has no budget to set"

    # -- what is no key

    def _unknown(self, key: str, value: Any) -> None:
        keys = self._keys()
        near = (
            _SYNONYMS.get(key.lower())
            if _SYNONYMS.get(key.lower()) in keys
            else nearest(key, [*keys, *self._arguments.known])
        )
        if key in OF_ALL:
            fix = (
                "it belongs at the top of the file, above the first header in [ ]"
                if key != "deadline"
                else "this adapter has none"
            )
        elif key in LIMITS or key == "budget":
            fix = f"write {EXAMPLE}" if self._limits else "this adapter takes no limits"
        elif near is not None:
            fix = f"did you mean {near}?"
        else:
            fix = f"the keys of this venue are: {listed(keys)}"
        secret = nearest(key, self._arguments.secrets, 0.5) is not None
        may_show = not secret and (near is not None or key in {*OF_ALL, *LIMITS})
        self._mistakes.unknown(join(self._place, key), shown_or_not(key, value, self._mistakes, may_show=may_show), fix)

    def _unknown_limit(self, key: str, value: Any, place: str) -> None:
        near = nearest(key, LIMITS)
        fix = f"did you mean {near}?" if near else f"the keys of limits are: {', '.join(LIMITS)}"
        self._mistakes.unknown(place, shown_or_not(key, value, self._mistakes, may_show=near is not None), fix)

    def _keys(self) -> list[str]:
        """What the table may have, as the file calls it."""
        own = [
            self._key(name) for name, each in self._arguments.known.items() if each.kinds and name not in self._limits
        ]
        return ["adapter", *own, *(["limits"] if self._limits else [])]


def shown_or_not(key: str, value: Any, mistakes: Mistakes, *, may_show: bool) -> str:
    """The value of an unknown key. What is no plain word may be a secret under a misspelt name, unless that was recognised."""
    if looks_secret(key) or nearest(key, SECRETS, 0.7) or isinstance(value, Mapping | list):
        return kind(value) if isinstance(value, Mapping) else NOT_SHOWN
    if may_show or not isinstance(value, str) or _HARMLESS.fullmatch(value):
        return mistakes.show(value)
    return NOT_SHOWN


def _filled(value: Any) -> Any:
    """The same with a text in the place of each reference: to see whether it is of the right type."""
    match value:
        case Reference():
            return "-"
        case dict():
            return {key: _filled(each) for key, each in value.items()}
        case list():
            return [_filled(each) for each in value]
    return value


def _carried(url: str) -> str:
    """What a URL's query has in it that is a secret, or ""."""
    named = next((name for name in _QUERY.findall(url) if looks_secret(name)), None)
    if named is not None:
        return f'it carries a secret ({named[:40]}=); give the whole address by reference: {{ file = "PATH" }}'
    return ""
