"""References to secrets: what a configuration says instead of them, and where they are then read from.

Rules:

1. The form of a reference is checked when the configuration is loaded. What it refers to is read when its venue is built, and
   not before: who cancels at one venue needs no other's credentials.
2. A file must be a regular one, of ours, and of mode 0600 or less. It is opened once and looked at open. A symbolic link is
   refused as its last part: whoever may write in the directory could let it lead to another secret file of ours, which has the
   right owner and mode, and have that sent to a venue.
3. A credential of systemd's is read as it is found: its directory was made for this process by who started it, and owner and
   mode are what systemd and container platforms choose (root's with an access list; links).
4. What is no name may be the secret itself, in the wrong place. It is not shown.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import stat
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from router.config.file import Unreadable, content, located
from router.config.mistakes import Mistakes, as_name, join, kind, listed, nearest, printable, quoted, reads_like_a_name
from router.redact import Secret, redact
from router.registry import SECRET_NAME

__all__ = ["FORMS", "Reference", "Source", "Unresolved", "is_reference", "looks_secret", "read", "way_out"]

MAX_SECRET: Final = 64 * 1024
DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
FORMS: Final = '{ file = "PATH" }, { credential = "NAME" } or { env = "VARIABLE" }'
_MORE = re.compile("PWD|PHRASE|HMAC|SIGN(?!AL)|BEARER|LOGIN|CRED|SALT|^(?:SK|PK|PIN|OTP|TOTP|TWOFA)$", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Source(StrEnum):
    """Where a secret is."""

    FILE = "file"
    CREDENTIAL = "credential"
    ENV = "env"


class Unresolved(Exception):
    """There is no secret where a reference says. The text goes on after its dotted path."""


@frozen
class Reference:
    """place: the dotted path of the key. name: a variable, a credential, or the absolute path of a file."""

    place: str
    source: Source
    name: str = field(repr=False)
    shown: str = field(repr=False)
    """The name, for messages."""

    def resolve(self, environ: Mapping[str, str]) -> Secret:
        """The secret. Raises Unresolved."""
        match self.source:
            case Source.ENV:
                text = _variable(self.name, self.shown, environ)
            case Source.FILE:
                text = _file(Path(self.name), self.shown)
            case Source.CREDENTIAL:
                text = _credential(self.name, self.shown, environ)
        if not text.strip():
            raise Unresolved(f"refers to {self.source} {self.shown}, which is empty; put the secret there")
        if "\0" in text or not _is_unicode(text):
            raise Unresolved(
                f"refers to {self.source} {self.shown}, which is no text in UTF-8; write the secret anew there"
            )
        return Secret(text)


def looks_secret(name: str) -> bool:
    """Whether a setting that nobody has declared is named like a secret."""
    return bool(SECRET_NAME.search(name) or _MORE.search(name))


def way_out(place: str) -> str:
    """How the key of this path is written instead of with the secret itself."""
    key = place.rpartition(".")[2]
    name = "-".join(re.findall(r"[A-Za-z0-9_]+", place.removeprefix("venues."))) or "secret"
    return (
        f'write {key} = {{ file = "{name}" }}, a file of mode 0600 with nothing else in it, '
        f'{key} = {{ credential = "{name}" }} under systemd, '
        f'or {key} = {{ env = "{name.upper().replace("-", "_")}" }}'
    )


# -- the form


def is_reference(value: Any) -> bool:
    """Whether a table is meant as a reference: it has a key of one."""
    return isinstance(value, Mapping) and not set(Source).isdisjoint(value)


def read(table: Mapping[str, Any], place: str, base: Path, mistakes: Mistakes) -> Reference | None:
    """The reference that a table is. base: the directory that paths begin in."""
    unknown = [key for key in table if key not in set(Source)]
    for key in unknown:
        near = nearest(key, Source)
        fix = f"did you mean {near}?" if near else f"a reference is one of {FORMS}"
        mistakes.unknown(join(place, key), "not shown, it may be a secret", fix)
    given = [source for source in Source if source in table]
    if not unknown and len(given) != 1:
        said = f"has {' and '.join(given)}" if given else "is an empty table"
        mistakes.add(place, f"{said}; a reference is exactly one of {FORMS}")
    if unknown or len(given) != 1:
        return None
    return _checked(given[0], table[given[0]], place, base, mistakes)


def _checked(source: Source, name: Any, place: str, base: Path, mistakes: Mistakes) -> Reference | None:
    where = join(place, source)
    if not isinstance(name, str) or not name.strip():
        said = f"is {kind(name)}" if not isinstance(name, str) else 'was ""'
        mistakes.add(where, f"{said}; it is a name in quotes: a reference is one of {FORMS}")
        return None
    fault = _FAULTS[source](name)
    if fault:
        mistakes.add(where, fault)
        return None
    if source is Source.FILE:
        path = located(base, name)
        plain = name.startswith(("/", "./", "../", "~/")) or reads_like_a_name(name) or os.path.lexists(path)
        plain = plain and redact(name) == name
        return Reference(place, source, str(path), printable(str(path)) if plain else f"(not shown) in {base}")
    if source is Source.CREDENTIAL and reads_like_a_name(name) and redact(name) == name:
        return Reference(place, source, name, name)
    return Reference(place, source, name, _shown(name))


def _shown(name: str) -> str:
    """Variables have capitals or underscores; what has neither, or is no word, may be a secret."""
    plain = reads_like_a_name(name) and ("_" in name or name.isupper()) and redact(name) == name
    return name if plain else "(a name that is not shown)"


def _variable_fault(name: str) -> str:
    if _VARIABLE.fullmatch(name):
        return ""
    bare = name.strip().lstrip("$").strip("{}")
    if _VARIABLE.fullmatch(bare) and _shown(bare) == bare:
        return f'was {quoted(name)}; write the name alone: env = "{bare}"'
    text = "is no name of an environment variable (its value is not shown, it may be the secret itself)"
    return f"{text}; write the variable's name: letters, digits and _"


def _file_fault(name: str) -> str:
    if name.isprintable():
        return ""
    return "is no path (its value is not shown, it may be the secret itself); write the path of a file that holds the secret"


def _credential_fault(name: str) -> str:
    if "/" not in name and name.isprintable() and name not in {".", ".."}:
        return ""
    shown = quoted(name) if reads_like_a_name(name) else "not a plain name"
    return f"was {shown}; it is the name that LoadCredential= gives it, without a directory; a path is {{ file = ... }}"


_FAULTS: Final = {Source.ENV: _variable_fault, Source.FILE: _file_fault, Source.CREDENTIAL: _credential_fault}


# -- what it refers to


def _variable(name: str, shown: str, environ: Mapping[str, str]) -> str:
    if environ.get(name):
        return environ[name].rstrip("\r\n")
    state = "is empty" if name in environ else "is not set"
    near = nearest(name, (each for each in environ if each != name), 0.8) if shown == name else None
    other = f" ({as_name(near)} is set; did you mean that?)" if near else ""
    raise Unresolved(
        f"refers to the environment variable {shown}, which {state}{other}; set it, or use another of {FORMS}"
    )


def _file(path: Path, shown: str) -> str:
    fault = ""
    try:
        found = content(path, MAX_SECRET, follow=False, check=lambda found: _access_fault(found, path))
    except Unreadable as error:
        fault = str(error)
    if not fault:
        return _text(found)
    if os.path.islink(path):  # noqa: PTH114 - says no to any name
        fault = "it is a symbolic link; name the file itself" + _target(path)
    elif "no such file" in fault:
        fault += "; write it, with nothing else in it, and chmod 600 it (a path begins in the directory of the configuration)"
    raise Unresolved(f"refers to the file {shown}: {fault}")


def _target(path: Path) -> str:
    with suppress(OSError, RuntimeError):
        return f": {printable(str(path.resolve(strict=True)))}"
    return ""


def _access_fault(found: os.stat_result, path: Path) -> str:
    name = printable(shlex.quote(str(path)))
    if found.st_uid != os.geteuid():
        return f"it belongs to {_user(found.st_uid)}, and this process is {_user(os.geteuid())}; chown {os.geteuid()} {name}"
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~0o600:
        return (
            f"its mode is {mode:04o}, and 0600 or 0400 are allowed, so that nobody else can read it; chmod 600 {name}"
        )
    return ""


def _user(number: int) -> str:
    with suppress(KeyError):
        return f"{pwd.getpwuid(number).pw_name} (uid {number})"
    return f"uid {number}"


def _credential(name: str, shown: str, environ: Mapping[str, str]) -> str:
    directory = environ.get(DIRECTORY)
    if not directory:
        fix = f"which systemd sets for a unit with LoadCredential={shown}:PATH; elsewhere use another of {FORMS}"
        raise Unresolved(f"refers to the credential {shown}, and ${DIRECTORY} is not set, {fix}")
    fault = ""
    try:
        found = content(Path(directory) / name, MAX_SECRET)
    except Unreadable as error:
        fault = str(error)
    if not fault:
        return _text(found)
    others = ""
    with suppress(OSError):
        others = listed(sorted(as_name(each.name) for each in Path(directory).iterdir()), 10)
    there = f"; there are: {others}" if others else ""
    raise Unresolved(
        f"refers to the credential {shown} in {printable(directory)}: {fault}{there}; see LoadCredential= of the unit"
    )


def _text(found: bytes) -> str:
    return found.decode("utf-8", "surrogateescape").removeprefix("\ufeff").rstrip("\r\n")


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
