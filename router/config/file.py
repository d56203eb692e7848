"""A configuration's text: read from a file of bounded size, and what is wrong with it as TOML, by line and column."""

from __future__ import annotations

import errno
import os
import re
import stat
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from router.config.mistakes import nearest, printable, reads_like_a_name

__all__ = ["MAX_FILE", "Unreadable", "content", "document", "located"]

MAX_FILE: Final = 256 * 1024
"""Bytes. Hundreds of venues fit; what is larger is some other file."""

MAX_DOTS: Final = 128
"""In a key. tomllib needs the square of a dotted key's length, and as many levels as it has parts."""
MAX_LEVELS: Final = 32
TOO_DEEP: Final = "it is nested too deep; no setting needs more than a few levels of [ ] and { }, or parts of a key"

_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\-]{1,120})\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\-]{1,120})\s*=")
_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_ERRORS: Final = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "a part of its path is not a directory",
    errno.ELOOP: "it is a symbolic link, or leads in a circle",
    errno.ENAMETOOLONG: "its name is too long for a file",
    errno.ENXIO: "it is a socket or a device, not a regular file",
}
_HINTS: Final = (  # the beginning of what tomllib says, and what is to be done
    ("Invalid value", 'write text in quotes ("..."), true and false in lower case, numbers as 3 or 0.5'),
    ("Cannot overwrite", "a key stands there for the second time; keep one of the two"),
    ("Duplicate", "a key stands there for the second time; keep one of the two"),
    ("Cannot declare", "that table stands there for the second time; write all of its keys under one header"),
    ("Cannot mutate", "a table in { } is complete; write all of its keys between the braces"),
    ("Expected '='", 'write KEY = VALUE, one in a line; a key with blanks or other signs in it goes in quotes ("...")'),
    ("Expected newline", "something follows the value; write one KEY = VALUE in a line, and text in quotes"),
    ("Expected ']'", "close the header with ]: [venues.NAME]"),
    ("Unclosed inline", "close { with } in the same line"),
    ("Invalid initial", "a key is missing there, or a comma stands before }; write { KEY = VALUE, KEY = VALUE }"),
    ("Unclosed array", "close [ with ]"),
    ("Unterminated string", "close the text with the quote that it began with"),
    ('Expected "', "close the text with the quote that it began with"),
    ("Unescaped", "in \"...\" a backslash is written \\\\; or use '...', where it stands for itself"),
    ("Found invalid character", "close the text with the quote that it began with, in the same line"),
    ("Illegal character", "close the text with its quote in the same line, and write control characters as \\u0000"),
    (
        "Invalid statement",
        'write KEY = VALUE or [venues.NAME]; a key with other signs than A-Z a-z 0-9 _ - in quotes ("...")',
    ),
)


class Unreadable(Exception):
    """A file that can't be read, or may not be. The text goes on after its name."""


def content(
    path: Path, most: int, *, follow: bool = True, check: Callable[[os.stat_result], str] | None = None
) -> bytes:
    """What is in a regular file. follow: also through a symbolic link as its last part. check: why it may not be used, or "".

    It is opened once, and what was opened is what is looked at: nobody can change the file between the check and the
    reading. A pipe is not waited for.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    fault, file = "", -1
    try:
        file = os.open(path, flags)
    except OSError as error:
        fault = _why(error)
    except ValueError:
        fault = "its name has characters that no file's name has"
    if fault:
        raise Unreadable(fault)
    try:
        return _read(file, most, check)
    finally:
        os.close(file)


def _read(file: int, most: int, check: Callable[[os.stat_result], str] | None) -> bytes:
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable(f"it is {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, not a regular file")
    fault = check(found) if check is not None else ""
    if fault:
        raise Unreadable(fault)
    with os.fdopen(file, "rb", closefd=False) as stream:
        text = stream.read(most + 1)
    if len(text) > most:
        raise Unreadable(
            f"it has {max(found.st_size, len(text))} bytes, and {most} are the most: is it the right file?"
        )
    return text


def _why(error: OSError) -> str:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return (
            f"this process (uid {os.geteuid()}) may not read it, or not enter its directory; change its owner or mode"
        )
    return _ERRORS.get(error.errno or 0, f"it can't be opened: {error.strerror}")


def located(base: Path, name: str) -> Path:
    """A path of the configuration: it begins in the configuration's directory, or with ~ in somebody's home."""
    path = Path(name)
    with suppress(RuntimeError):  # nobody's home
        path = path.expanduser()
    return base / path


def document(path: Path) -> dict[str, Any]:
    """The TOML of a file. Raises Unreadable."""
    try:
        text = content(path, MAX_FILE)
    except Unreadable as error:
        fault = f"{error}{_advice(path)}"
    else:
        found = _parse(text)
        if isinstance(found, dict):
            return found
        fault = found
    raise Unreadable(fault)  # out here, so that no exception before it hangs on to the text: secrets may be in it


def _advice(path: Path) -> str:
    """What else may have been meant."""
    if os.path.lexists(path):
        return "; name the file itself, for example router.toml" if path.is_dir() else ""
    with suppress(OSError):
        near = nearest(path.name, [each.name for each in path.parent.glob("*.toml")])
        if near is not None:
            return f"; did you mean {printable(str(path.with_name(near)))}?"
    return "; write one (docs/configuration.md shows how), or name another with --config or in ROUTER_CONFIG"


def _parse(text: bytes) -> dict[str, Any] | str:
    """The document, or why it is none."""
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = text[: error.start].split(b"\n")
        return f"line {len(before)}, byte {len(before[-1]) + 1} is not UTF-8; save the file as UTF-8"
    lines = (line for line in decoded.split("\n") if not line.lstrip().startswith("#"))
    if any(each.count(".") > MAX_DOTS for line in lines for each in line.split("=")):
        return TOO_DEEP
    try:
        found = tomllib.loads(decoded)
    except tomllib.TOMLDecodeError as error:
        return _syntax(str(error), decoded)
    except RecursionError:
        return TOO_DEEP
    except ValueError:
        return "a number in it has too many digits; write texts, also those made of digits, in quotes"
    return TOO_DEEP if _is_deep(found) else found


def _is_deep(found: dict[str, Any]) -> bool:
    """Whether it has more levels than those who read it could follow."""
    level: list[Any] = [found]
    for _ in range(MAX_LEVELS):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def _syntax(said: str, text: str) -> str:
    """The line is named by its key and never quoted: it may hold a secret."""
    where = _WHERE.search(said)
    lines = text.split("\n")
    if where is None or where[1] is None:
        line, spot = len(text.rstrip().split("\n")), "the end of the file"
    else:
        line, spot = int(where[1]), f"line {where[1]}, column {where[2]}"
    key = _key(lines[:line])
    said = said[: where.start()] if where is not None else said
    hint = next((f"; {hint}" for start, hint in _HINTS if said.startswith(start)), "")
    return f"{spot}{key and f' ({key})'}: {printable(said[:1].lower() + said[1:])}{hint}"


def _key(lines: list[str]) -> str:
    """The dotted path of the key in the last of these lines, as far as it can be told; part of a secret reads like none."""
    found = _KEY.match(lines[-1])
    if found is None or not reads_like_a_name(found[1]):
        return ""
    header = next((match[1] for line in reversed(lines) if (match := _HEADER.match(line))), "")
    return f"{header}.{found[1]}" if header else found[1]
