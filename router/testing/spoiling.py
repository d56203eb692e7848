"""What becomes of an answer's bytes: other bytes, too few, or the same in pieces. Pure, but for the source of chance."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Final

from router.testing.faults import Fault

__all__ = ["half", "pieces", "spoil"]

NO_JSON: Final = b"!#$%&'*+/;<=>?@^_`|~"  # no JSON text begins or ends with one of these
NO_TEXT: Final = b"\xc0\xc1\xf5\xf8\xfe\xff"  # nowhere in UTF-8
MOST_PIECES: Final = 8


def spoil(fault: Fault, answer: bytes, chance: random.Random) -> bytes:
    """The answer as GARBLE, NOT_UTF8 or TRUNCATE leave it; as it was for all others, and when there is nothing in it."""
    if len(answer) < 2:
        return answer
    match fault:
        case Fault.GARBLE:
            return _changed(answer, NO_JSON, {chance.choice((0, len(answer) - 1)), *_places(answer, chance)}, chance)
        case Fault.NOT_UTF8:
            return _changed(answer, NO_TEXT, _places(answer, chance), chance)
        case Fault.TRUNCATE:
            return answer[: chance.randrange(1, len(answer))]
    return answer


def half(answer: bytes, chance: random.Random) -> bytes:
    """The beginning of it: at least one byte, and never all."""
    return answer[: chance.randrange(1, len(answer))] if len(answer) > 1 else b""


def pieces(answer: bytes, chance: random.Random) -> list[bytes]:
    """The same in two pieces or more, none of them empty if there are bytes enough."""
    if len(answer) < 2:
        return [answer, b""]
    count = chance.randint(1, min(MOST_PIECES, len(answer)) - 1)
    cuts = [0, *sorted(chance.sample(range(1, len(answer)), count)), len(answer)]
    return [answer[start:end] for start, end in pairwise(cuts)]


def _places(answer: bytes, chance: random.Random) -> set[int]:
    return {chance.randrange(len(answer)) for _ in range(chance.randint(1, 4))}


def _changed(answer: bytes, to: bytes, places: set[int], chance: random.Random) -> bytes:
    changed = bytearray(answer)
    for place in sorted(places):
        changed[place] = chance.choice(to)
    return bytes(changed)
