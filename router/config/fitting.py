"""Whether a value of TOML is of a Python type: what it becomes, or what it should have been."""

from __future__ import annotations

import math
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from enum import Enum, EnumType
from pathlib import Path
from typing import Any, Final, Literal, NewType, Union, get_args, get_origin

import msgspec

from router.config.file import located
from router.config.mistakes import listed, nearest, quoted

__all__ = ["Unfit", "fit", "is_path", "is_table", "kinds", "number", "words"]

SECONDS: Final = ("deadline", "quiet_period", "timeout", "seconds")
_SECONDS: Final = "a number of seconds above 0"
_NUMBERS: Final = {
    "rate": "how many units may be sent in `per` seconds, a number above 0",
    "per": _SECONDS,
    "share": "the part of the account's rate budget for this process, a number above 0 and up to 1",
}


class Unfit(Exception):
    """A value that a setting can't have. The text says what it is instead."""


def number(name: str, value: Any) -> float:
    """A finite number, in the bounds that its name implies. Raises Unfit."""
    above = name in {"rate", "per", "share"} or name.endswith(SECONDS)
    found = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            found = float(value)
    if not math.isfinite(found) or (above and found <= 0) or (name == "share" and found > 1):
        raise Unfit(
            f"it is {_NUMBERS.get(name, _SECONDS if above else 'a number')}, without quotes: {name} = {_number(name)}"
        )
    return found


def _number(name: str) -> str:
    """One for an example."""
    return {"rate": "10", "per": "1", "share": "0.5"}.get(name, "3")


def fit(name: str, hint: Any, value: Any, base: Path) -> Any:
    """The value as a constructor takes it. base: the directory that paths begin in. Raises Unfit."""
    return number(name, value) if hint is float else _FITS.get(_sort(hint), _structure)(hint, value, base)


def kinds(hint: Any) -> tuple[Any, ...]:
    """The alternatives, paths first: a text that may be a path is one."""
    return tuple(sorted(_kinds(hint), key=lambda each: not is_path(each)))


def _kinds(hint: Any) -> Iterator[Any]:
    """The alternatives of a type that a file can express."""
    if isinstance(hint, NewType):
        hint = hint.__supertype__
    if get_origin(hint) in {Union, types.UnionType}:
        for each in get_args(hint):
            yield from _kinds(each)
    elif is_path(hint) or (hint not in {type(None), None, bytes, bytearray, memoryview} and _is_expressible(hint)):
        yield hint


def _is_expressible(hint: Any) -> bool:
    try:
        return not isinstance(msgspec.inspect.type_info(hint), msgspec.inspect.CustomType)
    except Exception:  # noqa: BLE001 - msgspec's own, for what it has no word for
        return False


def is_path(hint: Any) -> bool:
    made = get_origin(hint) or hint
    return isinstance(made, type) and issubclass(made, os.PathLike)


def is_table(hint: Any) -> bool:
    made = get_origin(hint) or hint
    return isinstance(made, type) and issubclass(made, Mapping)


def _sort(hint: Any) -> Any:
    """What _FITS knows the type by."""
    if is_path(hint):
        return Path
    if isinstance(hint, type) and issubclass(hint, Enum):
        return Enum
    return get_origin(hint) if get_origin(hint) is Literal else hint


def _any(_hint: Any, value: Any, _base: Path) -> Any:
    return value


def _text(_hint: Any, value: Any, _base: Path) -> str:
    if isinstance(value, str):
        return value
    raise Unfit(f"it is {words(str)}")


def _path(_hint: Any, value: Any, base: Path) -> Path:
    if isinstance(value, str) and "\0" not in value:
        return located(base, value)
    raise Unfit(f"it is {words(Path)}")


def _boolean(_hint: Any, value: Any, _base: Path) -> bool:
    if isinstance(value, bool):
        return value
    raise Unfit(f"it is {words(bool)}")


def _whole(_hint: Any, value: Any, _base: Path) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < sys.maxsize:
        return value
    raise Unfit(f"it is {words(int)}")


def _chosen(hint: Any, value: Any, _base: Path) -> Any:
    choices = _choices(hint)
    for known, choice in choices.items():
        if type(known) is type(value) and known == value:
            return choice
    texts = [each for each in choices if isinstance(each, str)]
    near = nearest(value, texts) if isinstance(value, str) else None
    raise Unfit(f"it is {words(hint)}{f' (did you mean {quoted(near)}?)' if near else ''}")


def _structure(hint: Any, value: Any, _base: Path) -> Any:
    said = ""
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        said = str(error)
    except Exception as error:  # noqa: BLE001 - what somebody else's class says to it
        said = type(error).__name__
    raise Unfit(f"it is {words(hint)}{f' ({said})' if isinstance(value, list | dict) else ''}")


def words(hint: Any) -> str:
    """What a type is, for whoever writes the file."""
    if hint is Any:
        return "what the documentation of its class says"
    if _sort(hint) in {Enum, Literal}:
        return f"one of {listed(quoted(each) if isinstance(each, str) else str(each) for each in _choices(hint))}"
    plain = Path if is_path(hint) else get_origin(hint) or hint
    return _TYPES.get(plain) or ("a table" if is_table(plain) else f"a {getattr(plain, '__name__', plain)}")


def _choices(hint: Any) -> dict[Any, Any]:
    """What an Enum or a Literal may be, by how it is written."""
    members: Any = hint if isinstance(hint, EnumType) else ()
    return {each.value: each for each in members} or {each: each for each in get_args(hint)}


_FITS: Final[Mapping[Any, Callable[[Any, Any, Path], Any]]] = {
    Any: _any,
    str: _text,
    Path: _path,
    bool: _boolean,
    int: _whole,
    Enum: _chosen,
    Literal: _chosen,
}
_TYPES: Final[Mapping[Any, str]] = {
    str: 'text, in quotes ("...")',
    Path: 'a path, in quotes ("...")',
    bool: "true or false, without quotes",
    int: "a whole number, without quotes",
    list: "a list: [..., ...]",
    tuple: "a list: [..., ...]",
    set: "a list: [..., ...]",
    frozenset: "a list: [..., ...]",
    Sequence: "a list: [..., ...]",
    float: "a number",
    Decimal: "a number",
}
