"""Who somebody is on NATS, and where that is: the file that a strategy or a gateway is given.

    url = ["tls://nats.example:4222"]     one address, or several of one cluster
    strategy = "alpha"                    the name under which it gives commands
    seed = "SU..."                        its nkey: whoever has it is alpha
    ca = "ca.pem"                         who may vouch for the server; without it whom the system trusts
    certificate = "alpha.pem"             if the server asks for one, with its
    key = "alpha-key.pem"
    api = "router.js"                     what "$JS.API" is called in its account, if it isn't called that

Paths begin in the file's own directory. The file is ours alone (mode 0600), as it holds the seed, which no message shows.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from attrs import field, frozen

from router.cluster.subjects import token
from router.config.file import Unreadable, content, located
from router.config.mistakes import Mistakes, as_name, kind, nearest
from router.errors import ConfigError
from router.redact import Secret, as_secret, redact
from router.urls import _is_loopback

__all__ = ["ANONYMOUS", "Credentials", "checked_server"]

ANONYMOUS: Final = "anonymous"
MOST_BYTES: Final = 64 * 1024
_PATHS: Final = ("ca", "certificate", "key")
_KEYS: Final = ("url", "strategy", "seed", *_PATHS, "api")
_API: Final = "$JS.API"
_SUBJECT: Final = re.compile(r"\$?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_WAY_OUT: Final = "`router gateway init` writes such files"


def _urls(given: str | Iterable[str]) -> tuple[str, ...]:
    urls = (given,) if isinstance(given, str) else tuple(given)
    if not urls:
        raise ValueError("url was empty; it must be tls://host:4222, of one server or of several")
    return tuple(map(checked_server, urls))


def _name(given: str) -> str:
    return token(given, "strategy")


def _subject(given: str) -> str:
    if not _SUBJECT.fullmatch(given) or len(given) > 200:
        raise ValueError(f"api was {given[:200]!r}; it is the beginning of a subject, as $JS.API is")
    return given


def _seed(given: str | Secret | None) -> Secret | None:
    return None if given is None else Secret(_checked_seed(as_secret(given).reveal()))


@frozen(kw_only=True)
class Credentials:
    """See above. Raises ValueError for what can't be right."""

    url: tuple[str, ...] = field(converter=_urls)
    strategy: str = field(default=ANONYMOUS, converter=_name)
    seed: Secret | None = field(default=None, converter=_seed)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    api: str = field(default=_API, converter=_subject)

    def __attrs_post_init__(self) -> None:
        if (self.certificate is None) is not (self.key is None):
            raise ValueError("certificate and key belong together; give both or none")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """From a file. Raises ConfigError with all of its mistakes."""
        path = Path(path)
        found = _Reading(path)
        given = found.settings()
        if not found.mistakes.found:
            try:
                return cls(**given)
            except ValueError as error:
                found.mistakes.found.append(str(error))
        raise ConfigError(str(path), found.mistakes.found)

    def written(self, path: str | Path) -> None:
        """Into a new file that is ours alone. Raises FileExistsError rather than to write over one."""
        lines = [f"url = {json.dumps(list(self.url))}", f"strategy = {json.dumps(self.strategy)}"]
        lines += [] if self.seed is None else [f"seed = {json.dumps(self.seed.reveal())}"]
        lines += [f"{name} = {json.dumps(str(found))}" for name in _PATHS if (found := getattr(self, name)) is not None]
        lines += [] if self.api == _API else [f"api = {json.dumps(self.api)}"]
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write("\n".join([*lines, ""]))


def checked_server(url: str) -> str:
    """The address of a server, if it is tls://host, or nats://host of this machine. Raises ValueError."""
    try:
        parts = urlsplit(url)
        host, more = parts.hostname, (parts.path.strip("/"), parts.query, parts.fragment)
        _ = parts.port
    except ValueError:
        host, more = None, ("", "", "")
    if host is None or parts.username is not None or any(more) or any(ord(char) <= 32 for char in url):
        raise ValueError(f"url was {redact(url)!r}; it must be tls://host:4222")
    if parts.scheme == "tls" or (parts.scheme == "nats" and _is_loopback(host)):
        return url
    raise ValueError(f"url was {redact(url)!r}; it must be tls:// (nats://, in the clear, only to this machine)")


def _checked_seed(seed: str) -> str:
    """The seed, if it is a user's. nkeys' own reading overlooks a letter that is wrong: the check sum is at its end."""
    import base64  # noqa: PLC0415 - with nkeys, which is there only with the extra

    import nkeys  # type: ignore[import-untyped]  # noqa: PLC0415 - see above

    seed, whole = seed.strip(), False
    try:
        prefix, _ = nkeys.decode_seed(bytearray(seed.encode()))
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
        whole = prefix == nkeys.PREFIX_BYTE_USER and bytes(nkeys.crc16_checksum(raw[:-2])) == raw[-2:]
    except (nkeys.NkeysError, ValueError, IndexError):
        pass
    if not whole:  # out here, so that no exception before it hangs on to the text
        raise ValueError("seed (not shown) is no user's nkey seed, 58 letters and digits that begin with SU")
    return seed


class _Reading:
    """One file being read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mistakes = Mistakes()

    def settings(self) -> dict[str, Any]:
        """What the file says, as far as it can be used."""
        given = self._document()
        seed = given.get("seed")
        self.mistakes = Mistakes([seed] if isinstance(seed, str) else []) if not self.mistakes.found else self.mistakes
        for key in given:
            if key not in _KEYS:
                near = nearest(key, _KEYS)
                fix = f"did you mean {near}?" if near else f"the keys are {', '.join(_KEYS)}"
                self.mistakes.unknown(as_name(key), "not shown, it may be a secret", fix)
        found = {key: self._value(key, given[key]) for key in _KEYS if key in given}
        if "url" not in given and given:
            self.mistakes.add("url", f"is missing; it is where NATS is, tls://host:4222. {_WAY_OUT}")
        return found

    def _document(self) -> Mapping[str, Any]:
        try:
            text = content(self.path, MOST_BYTES, check=_fault)
        except Unreadable as error:
            self.mistakes.found.append(f"{error}. {_WAY_OUT}")
            return {}
        found, fault = _parsed(text)
        if not found:
            self.mistakes.found.append(fault)
        return found

    def _value(self, key: str, value: Any) -> Any:
        """As Credentials takes it; what can't be right is a mistake."""
        if key == "url" and isinstance(value, list) and all(isinstance(each, str) for each in value):
            return self._checked(_urls, value)
        if not isinstance(value, str):
            shown = "is" if key == "seed" else f"was {self.mistakes.show(value)},"
            self.mistakes.add(key, f"{shown} {kind(value)}; it is text in quotes")
            return None
        if key in _PATHS:
            return located(self.path.parent, value)
        checks: dict[str, Any] = {"url": _urls, "seed": _seed, "strategy": _name, "api": _subject}
        return self._checked(checks[key], value)

    def _checked(self, check: Any, value: Any) -> Any:
        try:
            return check(value)
        except ValueError as error:
            self.mistakes.found.append(str(error))
            return None


def _parsed(text: bytes) -> tuple[Mapping[str, Any], str]:
    """What the text says, or why it says nothing; its lines are not quoted, since one is the seed."""
    try:
        found = tomllib.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return {}, "it is not UTF-8"
    except (ValueError, RecursionError) as error:
        where = str(error).rpartition("(at ")[2].rstrip(")") if "(at " in str(error) else "somewhere"
        return {}, f'it can\'t be read as TOML at {where}; write KEY = "VALUE", one in a line'
    return found, f"it is empty; it says at least url. {_WAY_OUT}"


def _fault(found: os.stat_result) -> str:
    """Why a file may not be used."""
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}, and this process is user {os.geteuid()}; it must be ours"
    mode = stat.S_IMODE(found.st_mode)
    return f"its mode is {mode:04o}, so that others may use it; chmod 600 it" if mode & 0o077 else ""
