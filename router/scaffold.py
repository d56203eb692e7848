"""`router new-venue`: a folder with a venue's package in it, whose conformance cases run at once and say what to write next."""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Final

from router import registry

__all__ = ["TRANSPORTS", "checked_name", "new_venue", "sources"]

TRANSPORTS: Final[Mapping[str, Mapping[str, str]]] = {
    "websocket": {"ADDRESS": "url", "SCHEME": "wss"},
    "http": {"ADDRESS": "http_url", "SCHEME": "https"},
}
FILES: Final = {
    "pyproject.toml": "pyproject.toml.txt",
    "@NAME@/__init__.py": "init.py.txt",
    "@NAME@/codec.py": "codec.{transport}.py.txt",
    "@NAME@/simulator.py": "simulator.{transport}.py.txt",
    "tests/test_@NAME@.py": "test.py.txt",
}


def new_venue(name: str, transport: str, directory: Path) -> list[Path]:
    """Write the folder `name` into a directory, and return its files. Raises ValueError, and has then written nothing."""
    folder = directory / checked_name(name)
    if not directory.is_dir():
        raise ValueError(f"{directory} is no directory")
    if folder.exists() or folder.is_symlink():
        raise ValueError(f"{folder} exists already; nothing was written")
    return [_write(folder / path, source) for path, source in sources(name, transport).items()]


def checked_name(name: str) -> str:
    """The name, if it can be a venue's and its package's. Else ValueError."""
    said = f"NAME was {name!r}"
    if re.fullmatch(r"[a-z][a-z0-9_]{0,19}", name) is None:
        raise ValueError(f"{said}; use lower-case letters, digits and _, a letter first, 20 at most")
    if keyword.iskeyword(name):
        raise ValueError(f"{said}; that is a word of Python's own")
    if any(entry_points(group=group, name=name) for group in (registry.ADAPTERS, registry.SIMULATORS)):
        raise ValueError(f"{said}; a venue of this name is installed")
    if _is_importable(name):
        raise ValueError(f"{said}; a package of this name can be imported already, and one would hide the other")
    return name


def sources(name: str, transport: str) -> dict[str, str]:
    """The files' texts by their paths in the folder."""
    words = {"NAME": name, "CLASS": name.title().replace("_", ""), "ENVIRON": name.upper(), **TRANSPORTS[transport]}
    templates = files("router").joinpath("templates")
    return {
        _filled(path, words): _filled(templates.joinpath(source.format(transport=transport)).read_text("utf-8"), words)
        for path, source in FILES.items()
    }


def _filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"@(\w+?)@", lambda found: words[found[1]], text)


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return True  # something of this name is there, and broken


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path
