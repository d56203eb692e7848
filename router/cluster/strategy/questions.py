"""Questions to whoever owns a venue: reads, and commands that may be given twice. Put again, to the next owner, until there is an answer.

What must not be executed twice goes another way (commands.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from router import errors
from router.cluster import subjects, wire
from router.cluster.broker.connection import Connection, NoResponders
from router.cluster.strategy.directory import Directory, Seat
from router.errors import GatewayUnreachable, NotAuthorised, RouterClosed

__all__ = ["Make", "Questions", "mistake"]

FIRST_PAUSE: Final = 0.02  # seconds before the same is asked again
LONGEST_PAUSE: Final = 0.5

Make = Callable[[str, float], wire.Command]
"""The command, for this tenure and with the gateway's clock as it is now."""


class Questions:
    """All of one strategy's."""

    def __init__(self, connection: Connection, directory: Directory, strategy: str) -> None:
        self._connection, self._directory, self._strategy = connection, directory, strategy

    async def ask(
        self,
        venue: str,
        verb: str,
        make: Make,
        until: float | None,
        *,
        patient: bool,
        refused: Callable[[], None] = lambda: None,
    ) -> wire.Reply:
        """The answer. until: loop time; patient: wait for an owner, and for one that does not refuse. refused: told of each who does.

        Raises TimeoutError; GatewayUnreachable where nobody owns it (not if patient); NotAuthorised, Garbled or RouterClosed.
        """
        pause = FIRST_PAUSE
        async with asyncio.timeout_at(until):
            while True:
                seat = await self._directory.until_owned(venue, patient=patient)
                said = await self._put(seat, verb, make, patient=patient)
                if said is not None and not (patient and isinstance(said, wire.Refused)):
                    return said
                if said is not None:
                    refused()
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _put(self, seat: Seat, verb: str, make: Make, *, patient: bool) -> wire.Reply | None:
        """Its answer; None: it will not come, or may have been lost."""
        tenure, connections = seat.tenure, self._directory.connections
        body = wire.encode(make(tenure, self._directory.clock(seat.gateway)))
        call = self._connection.call(subjects.command(seat.venue, verb, self._strategy, tenure), body)
        try:
            while not call.done():
                awaited: list[asyncio.Future[Any]] = [call, self._directory.news]
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                if not call.done() and not self._is_current(seat, tenure, connections):
                    return None
            return wire.reply(call.result())
        except NoResponders:
            self._directory.gone(seat, tenure)
        except GatewayUnreachable:
            if not patient:
                raise
        finally:
            self._connection.forget(call)
        return None

    def _is_current(self, seat: Seat, tenure: str, connections: int) -> bool:
        """Whether the answer may still come. Raises RouterClosed."""
        if self._directory.is_closed:
            raise RouterClosed("the Router was closed")
        return seat.tenure == tenure and self._directory.connections == connections


def mistake(said: wire.Mistaken, venue: str) -> Exception:
    """The exception that a gateway names; a GatewayError of the same text where it is none of ours."""
    kinds: dict[str, Callable[[str], Exception]] = {
        "ValueError": ValueError,
        "TypeError": TypeError,
        "CannotList": partial(errors.CannotList, venue),
        "ReadFailed": partial(errors.ReadFailed, venue),
        "NotAuthorised": NotAuthorised,
        "UnknownVenue": lambda _: errors.UnknownVenue(venue, ()),
    }
    text = said.text
    if said.kind in {"CannotList", "ReadFailed"}:
        text = text.removeprefix(f"{venue}: ")
    return kinds.get(said.kind, errors.GatewayError)(text)
