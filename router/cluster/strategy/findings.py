"""What became of a command whose answer is not there: asked of whoever owns its venue, until somebody can tell."""

from __future__ import annotations

import asyncio
from typing import Final

from router.cluster import wire
from router.cluster.strategy.directory import Directory
from router.cluster.strategy.pending import Pending
from router.cluster.strategy.questions import Questions
from router.errors import Garbled, NotAuthorised
from router.report import Outcome
from router.scribe import operation_id

__all__ = ["Findings"]

SLICE: Final = 5.0  # seconds that one question may take
MARGIN: Final = 0.2  # seconds of it that are left for the answer's way
PAUSE: Final = 0.05  # seconds between two questions
SHORTEST: Final = 0.001
UNREADABLE: Final = 3  # answers, after which nothing more is asked


class Findings:
    """Of one strategy."""

    def __init__(self, directory: Directory, questions: Questions) -> None:
        self._directory, self._questions = directory, questions

    def silence(self, venue: str) -> str:
        if self._directory.owner(venue) is None or not self._directory.is_connected:
            return f"it is not known what became of it: {self._directory.why_not(venue)}"
        return "the gateway has not said what became of it"

    async def find_out(self, pending: Pending, until: float | None) -> wire.Facts:
        """Facts that make a report: final ones, or as it stands when nothing more can be learnt, or when the time is over.

        Raises TimeoutError, if it was not told anything, or RouterClosed.
        """
        unreadable, last = 0, None
        while True:
            try:
                said = _told(await self._ask(pending, until))
                pending.report(said.report)
                last = said.report
                if said.spent or last.outcome is not Outcome.UNKNOWN:
                    return last
            except (Garbled, ValueError) as error:
                unreadable += 1
                if unreadable >= UNREADABLE:
                    text = f"{pending.venue}: the gateway's answers cannot be read: {error}"
                    return pending.ours(Outcome.UNKNOWN, text)
            except NotAuthorised as error:
                text = f"{pending.venue}: nobody may tell what became of it: {error}"
                return pending.ours(Outcome.UNKNOWN, text)
            except TimeoutError:
                pass
            rest = 1.0 if until is None else until - asyncio.get_running_loop().time()
            if rest < SHORTEST:
                if last is None:
                    raise TimeoutError
                return last
            await asyncio.sleep(min(rest, PAUSE))

    async def _ask(self, pending: Pending, until: float | None) -> wire.Reply:
        """One question, for a slice of the time."""
        loop, command = asyncio.get_running_loop(), pending.command
        assert command is not None  # noqa: S101 - nothing that was never sent is asked about
        now = loop.time()
        end = now + SLICE if until is None else min(now + SLICE, until)

        def make(tenure: str, clock: float) -> wire.Settling:
            rest = max(0.0, end - loop.time())
            return wire.Settling(
                op=operation_id(),
                tenure=tenure,
                deadline=clock + rest,
                command=command,
                sent_at=pending.sent_at,
                timeout=rest - min(MARGIN, rest / 10),
            )

        return await self._questions.ask(pending.venue, "settle", make, end, patient=True)


def _told(said: wire.Reply) -> wire.Told:
    """What settles a command. Raises Garbled or NotAuthorised."""
    if isinstance(said, wire.Told):
        return said
    if isinstance(said, wire.Mistaken) and said.kind == NotAuthorised.__name__:
        raise NotAuthorised(said.text)
    raise Garbled(f"{type(said).__name__} says nothing of a command: {getattr(said, 'text', '')}")
