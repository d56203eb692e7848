"""Clients that tell one venue to cancel one order: the Router, and what is written by hand on a raw protocol.

What the Router is compared with finds the answer by the order's id, through a dict of futures, and looks whether it says that
the order is cancelled. None of it has deadlines, knows what became of an order, or survives a lost connection.
"""

from __future__ import annotations

import asyncio
import os
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from typing import Any, ClassVar, Final, Protocol, Self

import msgspec

from benchmarks.bare import BareClient, client_frame
from benchmarks.trading import router_on
from benchmarks.venue import Venue
from router import Outcome, Router

try:
    from websockets.speedups import apply_mask
except ImportError:  # an installation without its C part
    from websockets.utils import apply_mask

__all__ = [
    "ROUTER",
    "SYMBOL",
    "CarelessPeer",
    "Peer",
    "RawPeer",
    "RouterPeer",
    "WrongAnswerError",
    "installed",
    "new_ids",
    "request",
]

SYMBOL: Final = "AAPL-USD"
ROUTER: Final = "router.cancel()"
_ids: Final = count(10**18)


def new_ids(size: int) -> list[str]:
    """Orders' ids that nobody has heard of. They are numbers, because Binance's are."""
    return [str(next(_ids)) for _ in range(size)]


def request(order_id: str) -> dict[str, Any]:
    """A cancel in QFEX's words."""
    return {
        "type": "cancel_order",
        "params": {"symbol": SYMBOL, "order_id": order_id, "cancel_order_id_type": "order_id"},
    }


def installed(needs: tuple[str, ...]) -> dict[str, str] | None:
    """The packages' versions; None where one is missing."""
    try:
        return {package: version(package) for package in needs}
    except PackageNotFoundError:
        return None


class Peer(Protocol):
    """One client on one connection."""

    needs: ClassVar[tuple[str, ...]]
    """The packages without which there is none."""

    @classmethod
    async def open(cls, venue: Venue) -> Self: ...

    async def cancel(self, order_id: str) -> None:
        """Return when the venue has said that it is cancelled."""

    async def close(self) -> None: ...


class WrongAnswerError(Exception):
    """A client that answers wrongly is not worth measuring."""


class RouterPeer:
    """The Router."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, router: Router, name: str = "qfex") -> None:
        self.router, self._name = router, name

    @classmethod
    async def open(cls, venue: Venue) -> Self:
        router = router_on(venue)
        await router.open()
        return cls(router)

    async def cancel(self, order_id: str) -> None:
        report = await self.router.cancel(self._name, order_id, "order", symbol=SYMBOL)
        if report.outcome is not Outcome.CONFIRMED or report.request.id != order_id:
            raise WrongAnswerError(report)

    async def close(self) -> None:
        await self.router.close()


# -- on a raw protocol


class Said(msgspec.Struct):
    """Of an order_response: what is looked at."""

    order_id: str
    status: str


class Response(msgspec.Struct):
    """A message of the venue's."""

    order_response: Said | None = None


_decode = msgspec.json.Decoder(Response).decode


class RawPeer(BareClient):
    """asyncio.Protocol, msgspec, and one write per frame, masked by chance as RFC 6455 has it."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        super().__init__()
        self._answers: dict[str, asyncio.Future[Said]] = {}

    @classmethod
    async def open(cls, venue: Venue | str) -> Self:
        return await super().open(venue if isinstance(venue, str) else venue.url)

    def send(self, body: bytes) -> None:
        mask = os.urandom(4)
        self._transport.write(client_frame(apply_mask(body, mask), mask))

    def heard(self, body: bytes) -> None:
        said = _decode(body).order_response
        if said is not None and (future := self._answers.pop(said.order_id, None)) is not None:
            future.set_result(said)

    async def cancel(self, order_id: str) -> None:
        self.send(msgspec.json.encode(request(order_id)))
        future = self._answers[order_id] = self._loop.create_future()
        said = await future
        if said.status != "CANCELLED":
            raise WrongAnswerError(said)

    async def close(self) -> None:  # type: ignore[override]  # a peer's is awaited
        super().close()


class CarelessPeer(RawPeer):
    """The same with a mask of zeros, which RFC 6455 forbids: the least that was ever possible."""

    def send(self, body: bytes) -> None:
        self._transport.write(client_frame(body))
