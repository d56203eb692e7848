"""What a mutant is: an edit of a venue's code that a venue author could have made, and the case that must notice it."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

import adapters

VENUES = Path(adapters.__file__).parent


@frozen
class Mutant:
    """venue, file: adapters/<venue>/<file>. wrong: what was got wrong. old, new: texts; old is in the file once.

    killer: the label of a case that must fail. survives: instead of a killer, why no case can.
    """

    venue: str
    file: str
    wrong: str
    old: str
    new: str
    killer: str = ""
    survives: str = ""

    def __str__(self) -> str:
        return f"{self.venue}: {self.wrong}"

    @property
    def path(self) -> Path:
        return VENUES / self.venue / self.file

    def job(self, cases: list[str], *, until_killed: bool) -> dict:
        """What the worker is to do."""
        edit = {"venue": self.venue, "file": self.file, "old": self.old, "new": self.new}
        return {"name": str(self), "cases": cases, "until_killed": until_killed, **edit}


def as_it_is(venue: str, cases: list[str]) -> dict:
    """A job without an edit."""
    return {"name": venue, "cases": cases, "until_killed": False, "venue": venue, "file": "", "old": "", "new": ""}
