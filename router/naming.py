"""Which names of operations have been used at a desk: what was named once is never begun again under that name."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Names"]

_COUNTED: Final = re.compile(r".+[0-9]{3}", re.DOTALL)


class Names:
    """Names used so far. Those that count upwards, as operation_id makes them, cost a bit each: a thousand share a page."""

    def __init__(self) -> None:
        self._pages: dict[str, bytearray] = {}
        self._others: set[str] = set()

    def take(self, name: str) -> None:
        """Use it. Raises ValueError if it was used before."""
        if name in self:
            raise ValueError(f"there was an operation {name} before; the same one is never begun twice")
        if _is_counted(name):
            place, bit = divmod(int(name[-3:]), 8)
            self._pages.setdefault(name[:-3], bytearray(125))[place] |= 1 << bit
        else:
            self._others.add(name)

    def __contains__(self, name: str) -> bool:
        if not _is_counted(name):
            return name in self._others
        page, (place, bit) = self._pages.get(name[:-3]), divmod(int(name[-3:]), 8)
        return page is not None and bool(page[place] >> bit & 1)


def _is_counted(name: str) -> bool:
    return _COUNTED.fullmatch(name) is not None
