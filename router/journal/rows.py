"""How a Record becomes a row: whatever is in it, it becomes one, and can be read again."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from router.journal.check import checksum
from router.journal.tables import text
from router.record import Record

__all__ = ["Encoder"]

DEEPEST: Final = 20  # levels of what could not be encoded as it was


class Encoder:
    """Makes the rows of one run. It is called by the writer's thread only."""

    def __init__(self, run: int) -> None:
        self._run = run
        self._encode = msgspec.json.Encoder(enc_hook=_plain).encode

    def row(self, number: int, record: Record) -> tuple[Any, ...]:
        """The columns of `entry`, the checksum last."""
        facts = self.json(record.facts)
        names = (
            text(record.op),
            text(record.venue),
            record.what,
            text(record.order_id),
            text(record.client_order_id),
        )
        row = (number, self._run, _seconds(record.at), *names, facts)
        return (*row, checksum(row))

    def json(self, facts: Any) -> str:
        """The text of a row's facts, or of a part of them."""
        try:
            return self._encode(facts).decode()
        except Exception:  # noqa: BLE001 - no fact is so odd that the others of this commit should be lost
            return self._encode(_tame(facts, DEEPEST)).decode()


def _seconds(at: float) -> float:
    at = float(at)
    return at if math.isfinite(at) else time.time()


def _plain(value: Any) -> Any:
    """What JSON has no words for: frames that are redacted only now."""
    return str(value)


def _tame(value: Any, depth: int) -> Any:
    """The same with half surrogates escaped, and with words for what has none; what is too deep is left out."""
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        return _tame_inside(value, depth - 1) if depth else "..."
    except Exception:  # noqa: BLE001 - it can't even be looked at
        return f"<{type(value).__name__}>"


def _tame_inside(value: Any, depth: int) -> Any:
    if hasattr(value, "__attrs_attrs__"):
        value = {each.name: getattr(value, each.name) for each in value.__attrs_attrs__}
    if isinstance(value, Mapping):
        return {text(str(key)): _tame(each, depth) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_tame(each, depth) for each in value]
    return text(str(value))
