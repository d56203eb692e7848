"""The session's own requests: logins, pages of open orders, look-ups. Each is sent, waited for, and has a time-out.

Pages and look-ups share one lane, because on some venues their answers name no request. They stand in the READ lane of the
rate budget; a login does not wait for the pace.

While the session's fence says why not, only reads leave: no login, no cancel-all. It is asked directly before the write.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from router.errors import CannotExpress, CannotList, Garbled, ReadFailed, TransportError, VenueError
from router.exchange import Exchange
from router.link import Link
from router.matching import Outstanding, Pending
from router.model import Cancel
from router.pacing import Lane, Pacer
from router.reading import Reader
from router.redact import Redactor
from router.venue import Answer, Codec, Effect, Execution, Fence, Frame, Reading, Snapshot, Via, Wire

__all__ = ["Asker"]

LOOKUP_TIMEOUT = 1.0


class Asker:
    """What one session asks for itself. take: reads an HTTP answer; changes: the ledger's count of changes; fenced: why only
    reads may leave now, or "".
    """

    def __init__(
        self,
        name: str,
        codec: Codec,
        redact: Redactor,
        outstanding: Outstanding,
        pacer: Pacer,
        take: Callable[[Frame, Pending], None],
        changes: Callable[[], int],
        fenced: Fence,
    ) -> None:
        self._name, self._codec, self._redact, self._fenced = name, codec, redact, fenced
        self._outstanding, self._pacer, self._take = outstanding, pacer, take
        self._reader = Reader(name, self._page, self._forget, changes)
        self._ignores_lookups = False
        self._link: Link
        self._exchange: Exchange

    def connect(self, link: Link, exchange: Exchange) -> None:
        """What the requests travel by."""
        self._link, self._exchange = link, exchange

    async def close(self) -> None:
        await self._reader.close()

    def fresh(self) -> None:
        """A new connection: what the last one did not answer may be asked again."""
        self._ignores_lookups = False

    # -- one request

    async def ask(self, wire: Wire, timeout: float, *, page: bool = False, login: bool = False) -> Answer | Snapshot:
        """Send a request and wait for its answer. Raises TransportError, Garbled or VenueError.

        page: it asks for a page of the open orders, which is of use even when it comes late. login: it is part of one.
        """
        fenced = login or wire.effect is not Effect.READ
        answer: asyncio.Future[Answer | Snapshot] = asyncio.get_running_loop().create_future()
        pending = Pending(wire, asyncio.get_running_loop().time(), answer=answer)
        if wire.via is Via.HTTP:
            return await self._ask_by_http(wire, pending, answer, self._require_leave if fenced else _free)
        if self._link.socket is None:
            raise TransportError(self._link.describe(), sent=False)
        if fenced:
            self._require_leave()
        self._link.socket.send(wire.body)  # first: what could not be sent must not wait for an answer
        self._outstanding.add(pending)
        await asyncio.wait([answer], timeout=timeout)
        if not answer.done():
            pending.abandoned = True
            answer.add_done_callback(lambda done: self._late(pending, done, page=page))
            raise TransportError(f"no answer within {timeout:g} s", sent=True)
        return answer.result()

    async def _ask_by_http(
        self,
        wire: Wire,
        pending: Pending,
        answer: asyncio.Future[Answer | Snapshot],
        connected: Callable[[], None],
    ) -> Answer | Snapshot:
        frame, _ = await self._exchange.request(wire, connected)  # nobody to tell that its bytes may have left
        self._take(frame, pending)
        if not answer.done():
            raise Garbled(f"the answer to {wire.method} {wire.path.partition('?')[0]} could not be read")
        return answer.result()

    def _require_leave(self) -> None:
        why = self._fenced()
        if why:
            raise TransportError(why, sent=False)

    async def _turn(self, lane: Lane, wire: Wire) -> None:
        """Wait until the rate budget has room for it, and take that room."""
        loop = asyncio.get_running_loop()
        while (rest := self._pacer.wait(lane, wire.weight, loop.time())) > 0:  # noqa: ASYNC110 - time is the event
            await asyncio.sleep(rest)
        self._pacer.spend(lane, wire.weight, loop.time())

    # -- open orders

    async def read(self, since: float) -> Reading:
        """All open orders, asked for after `since` (monotonic). Raises CannotList or ReadFailed."""
        if not self._codec.spec.lists:
            raise CannotList(self._name, "this venue documents no way to list open orders")
        if not self._link.is_up:
            raise ReadFailed(self._name, self._link.describe())
        return await self._reader.read(since)

    async def sync(self, since: float) -> Reading:
        """The same while the link is still coming up."""
        return await self._reader.read(since)

    async def _page(self, cursor: str | None) -> Snapshot:
        wire = self._codec.list_orders(time.time(), cursor)
        if wire is None:
            raise ReadFailed(self._name, "this venue cannot be asked for its open orders")
        await self._turn(Lane.READ, wire)
        answer = await self.ask(wire, self._codec.spec.deadline, page=True)
        if isinstance(answer, Snapshot):
            return answer
        raise ReadFailed(self._name, f"open orders could not be read: {self._redact(answer.text)}")

    def _late(self, pending: Pending, done: asyncio.Future[Answer | Snapshot], *, page: bool) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        answer = done.result()
        self._reader.late(pending.asked, answer if page and isinstance(answer, Snapshot) else None)

    def _forget(self) -> None:
        """Answers of ours were lost: what is left of them must not take the next one's."""
        for pending in [each for each in self._outstanding if each.abandoned]:
            self._outstanding.discard(pending)

    # -- one order

    @property
    def _is_behind(self) -> bool:
        """Whether a list was asked for in vain: the next answer may be its, and a look-up's would be taken for a whole list."""
        return any(pending.abandoned for pending in self._outstanding)

    async def lookup(self, cancel: Cancel) -> Sequence[Execution] | None:
        """The rows that the venue shows for one address, () for none. None: it could not be asked."""
        wire = self._codec.lookup(cancel, time.time())
        if wire is None or not self._link.is_up:
            return None
        try:
            async with self._reader.lane:
                if self._ignores_lookups or self._is_behind:
                    return None
                await self._turn(Lane.READ, wire)
                answer = await self.ask(wire, LOOKUP_TIMEOUT)
        except (TransportError, Garbled, VenueError):
            # until the next connection: reads must not wait for what is not answered; over HTTP none waits for another
            self._ignores_lookups = wire.via is Via.SOCKET
            return None
        if not isinstance(answer, Snapshot) or any(
            cancel.id not in {row.order_id, row.client_order_id} for row in answer.rows
        ):
            return None
        return answer.rows

    # -- everything

    async def cancel_all(self, timeout: float) -> Answer:
        """The venue's own cancel-all, once. Raises CannotExpress or TransportError."""
        wire = self._codec.cancel_all(time.time())
        if wire is None:
            raise CannotExpress(f"{self._name} has no cancel-all of its own")
        if not self._link.is_up:
            raise TransportError(self._link.describe(), sent=False)
        self._require_leave()  # before it takes its turn, and again before it is written
        rest = self._pacer.wait(Lane.CANCEL, wire.weight, asyncio.get_running_loop().time())
        if rest > timeout:
            raise TransportError(f"it would have to wait for {self._pacer.describe(Lane.CANCEL)}", sent=False)
        await self._turn(Lane.CANCEL, wire)
        answer = await self.ask(wire, timeout)
        assert isinstance(answer, Answer)  # noqa: S101 - its keys are no query's
        return replace(answer, text=self._redact.word(answer.text))


def _free() -> None:
    """Nothing stands between a read and its first byte."""
