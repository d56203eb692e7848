"""HTTP to the several hosts that one exchange may have. All else is as in router.transport.http, which sends nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from router.errors import TransportError
from router.transport.http import Http
from router.venue import Effect, Frame, Wire

__all__ = ["Client"]


class Client(Http):
    """A client whose requests name their whole URL. patience: seconds that a read may take, because others wait for it."""

    def __init__(self, *, max_body: int, timeout: float, patience: float) -> None:
        super().__init__("", max_body=max_body, timeout=timeout)
        self._patience = patience

    async def request(
        self, wire: Wire, headers: dict[str, str], connected: Callable[[], None], *, fresh: bool = False
    ) -> Frame:
        try:
            async with asyncio.timeout(self._patience if wire.effect is Effect.READ else None):
                return await super().request(wire, headers, connected, fresh=fresh)
        except TimeoutError:
            raise TransportError(f"no answer within {self._patience:g} s", sent=True) from None
        except TransportError as error:  # what is signed stands in the URL, which a complaint may quote
            signed = wire.path.partition("?")[2]
            text = str(error).replace(signed, "...") if signed else str(error)
            raise TransportError(text, sent=error.sent) from None
