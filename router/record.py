"""One entry of a journal, before it is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

__all__ = ["Record"]


@frozen
class Record:
    """One entry to be written. at: wall seconds; facts: encoded by the writer, so nothing in it may change any more."""

    what: str
    venue: str
    op: str | None = None
    order_id: str | None = None
    client_order_id: str | None = None
    facts: Mapping[str, Any] = field(factory=dict, repr=False)
    at: float = field(factory=time.time)
