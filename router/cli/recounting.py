"""The story of an order from the journal: which order is meant, and how the story is shown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from router.cli.exits import USAGE, Failure
from router.cli.reading import reading
from router.console import cell, console, show, table, visible
from router.story import Line, Story, tell

if TYPE_CHECKING:
    import apsw

    from router.journal.reading import Told

__all__ = ["facts_of", "read_story", "show_story", "told_of"]

SHORT: Final = 96  # characters of a frame
MARGIN: Final = 25  # columns in which the times are
NARROWEST: Final = 40  # columns for the text


# -- what is meant


def told_of(db: apsw.Connection, name: str) -> list[Told]:
    """Every entry of the order that is meant. Raises Failure for none, and for several, which it lists; Senseless."""
    from router.journal.glance import sensible  # noqa: PLC0415 - SQLite is of use to those who read a journal

    told = _found(db, name)
    sensible(told)
    return told


def _found(db: apsw.Connection, name: str) -> list[Told]:
    from router.story import tracing  # noqa: PLC0415 - see told_of

    told = tracing.trace(db, name)
    if told:
        return told
    if len(name) < tracing.SHORTEST:
        raise Failure(
            f"the journal knows no {name!r}, and the beginning of an id must have {tracing.SHORTEST} characters", USAGE
        )
    found = tracing.named(db, name)
    if not found:
        raise Failure(f"the journal knows nothing of {name!r}", USAGE)
    if len(found) > 1:
        _show_matches({each: tell(own) for each, own in found.items()})
        many = "many" if len(found) == tracing.MOST_MATCHES else str(len(found))
        raise Failure(f"{name!r} is the beginning of {many} ids; type more of it", USAGE)
    return tracing.trace(db, next(iter(found)))


def _show_matches(stories: Mapping[str, Story]) -> None:
    rows = table("id", "what it is")
    for name, story in stories.items():
        rows.add_row(*map(cell, (name, " ".join(story.heading))))
    show(rows, err=True)


def read_story(journal: Path, told: Sequence[Told]) -> Story:
    """What these entries tell, with the processes that wrote them."""
    from router.story import tracing  # noqa: PLC0415 - see told_of

    with reading(journal) as db:
        return tell(told, tracing.runs(db, told))


# -- shown


def show_story(story: Story, *, frames: bool = False) -> None:
    """For people: a heading, then a line for each thing that happened."""
    from rich.text import Text  # noqa: PLC0415 - slow to import

    width = max(NARROWEST, console().width - MARGIN)
    shown = Text()
    for heading in story.heading:
        shown.append("\n".join(textwrap.wrap(visible(heading), width + MARGIN)) + "\n", "bold")
    day = ""
    for line, elapsed in _elapsed(story.lines):
        at = datetime.fromtimestamp(line.at, UTC)
        if day != (day := f"{at:%A, %d %B %Y} (UTC)"):
            shown.append(f"\n{day}\n")
        _append(shown, f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}  {elapsed:>9}", line.text, width)
        if line.frame:
            _append(shown, "", line.frame if frames else _short(line.frame, width), width, "dim")
    shown.right_crop(1)
    show(shown)


def _append(shown: Any, times: str, text: str, width: int, style: str = "") -> None:
    for number, part in enumerate(textwrap.wrap(visible(text), width) or [""]):
        shown.append(f"{'' if number else times:<{MARGIN}}")
        shown.append(f"{part}\n", style)


def _short(frame: str, width: int) -> str:
    most = min(SHORT, width)
    return frame if len(frame) <= most else f"{frame[: most - 3]}..."


def _elapsed(lines: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    """Each with the time since the one before."""
    if lines:
        yield lines[0], ""
    for before, line in pairwise(lines):
        yield line, _length(line.at - before.at)


def _length(seconds: float) -> str:
    """As people say it. What was written in another order than it happened, or after the clock was set, is told as it is."""
    size, sign = abs(seconds), "+" if seconds >= 0 else "-"
    for limit, unit, length in ((1, "ms", 0.001), (120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if size < limit:
            return f"{sign}{size / length:.1f} {unit}"
    return f"{sign}{size / 86_400:.1f} d"


def facts_of(name: str, story: Story) -> dict[str, Any]:
    """For JSON."""
    lines = [_line(line, before) for before, line in zip([None, *story.lines], story.lines, strict=False)]
    return {"id": name, "heading": list(story.heading), "lines": lines}


def _line(line: Line, before: Line | None) -> dict[str, Any]:
    elapsed = None if before is None else round(line.at - before.at, 6)
    told = line.told
    entry = None
    if told is not None:
        names = ("number", "run", "op", "venue", "what", "order_id", "client_order_id", "facts")
        entry = {name: getattr(told, name) for name in names}
    return {"at": datetime.fromtimestamp(line.at, UTC), "elapsed": elapsed, "text": line.text, "entry": entry}
