"""Commands over HTTP: a task for each, which makes its attempts one after the other.

Rules:

1. `wrote` is called when a connection is there and before the first byte; until then nothing has left, and an operation
   whose callers are gone or told goes no further.
2. An attempt that broke after that may have been executed: `broken` is told, and decides about a repeat.
3. A new attempt is made here only after an answer that says "not executed" (a refused token), or for a further request that
   the answer itself asked for (Answer.then).
4. A repeat goes over a connection of its own, made for it, because those that are kept may all be dead; it tries to connect
   for as long as somebody waits.
5. The session's fence is asked directly before the first byte. What it stops has not left, and is `held`, to be started again;
   but a further request (rule 3) is not, since the command as a whole must not begin anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from router.bearer import Bearer
from router.errors import TransportError, VenueError
from router.link import Link
from router.matching import Pending
from router.operation import Operation, Phase
from router.redact import Redactor, Secret
from router.venue import Fence, Frame, Spec, Wire

__all__ = ["Exchange"]

log = logging.getLogger("router.session")

Take = Callable[[Frame, Pending], None]
REPEAT_PAUSE = 0.1  # seconds between two attempts to connect


def _never(operation: Operation, wire: Wire, why: str) -> None:
    """For those without a fence."""


class Exchange:
    """The HTTP side of a session. take: reads an answer; broken: an attempt ended without one; held: one was stopped by the
    fence. fenced: why nothing may leave now, or "".
    """

    def __init__(
        self,
        spec: Spec,
        link: Link,
        bearer: Bearer,
        redact: Redactor,
        take: Take,
        broken: Callable[[Operation, Wire], None],
        held: Callable[[Operation, Wire, str], None] = _never,
        fenced: Fence = str,
    ) -> None:
        self._spec, self._link, self._bearer = spec, link, bearer
        self._redact, self._take, self._broken = redact, take, broken
        self._held, self._fenced = held, fenced
        self._tasks: dict[Operation, tuple[asyncio.Task[None], ...]] = {}
        self._repeats: dict[Operation, asyncio.Task[None]] = {}

    def start(self, operation: Operation, wire: Wire) -> None:
        """Send a command in a task of its own; over a new connection if it was sent before."""
        fresh = operation.attempts > 0
        operation.waits_for = operation.waits_for or "no connection by the deadline"
        task = asyncio.get_running_loop().create_task(self._run(operation, wire, fresh=fresh))
        self._tasks[operation] = (*self._tasks.get(operation, ()), task)
        if fresh:
            self._repeats[operation] = task

    def _ended(self, operation: Operation, task: asyncio.Task[None] | None) -> None:
        left = tuple(each for each in self._tasks.pop(operation, ()) if each is not task)
        if left:
            self._tasks[operation] = left
        if self._repeats and self._repeats.get(operation) is task:
            del self._repeats[operation]

    def is_repeating(self, operation: Operation) -> bool:
        """Whether a repeat of it has been started, and not ended."""
        return operation in self._repeats

    def abandon(self, operation: Operation) -> None:
        """The operation is done: an attempt that has not left must not leave any more."""
        for task in self._tasks.get(operation, ()):
            if task is not asyncio.current_task():
                task.add_done_callback(partial(self._ended, operation))  # a task that never began has no end of its own
                task.cancel()

    async def close(self) -> None:
        tasks = [task for each in self._tasks.values() for task in each]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._repeats.clear()

    async def request(
        self, wire: Wire, connected: Callable[[], None], *, fresh: bool = False
    ) -> tuple[Frame, Secret | None]:
        """One request; its answer, and the token that it was sent with. Raises TransportError or VenueError."""
        token = await self._bearer.token() if wire.bearer else None
        if self._link.http is None:
            raise TransportError(self._link.describe(), sent=False)
        name, prefix = self._spec.bearer
        headers = {} if token is None else {name: prefix + token.reveal()}
        return await self._link.http.request(wire, headers, connected, fresh=fresh), token

    async def _run(self, operation: Operation, wire: Wire | None, *, fresh: bool) -> None:
        command = wire
        try:
            while wire is not None:
                holds = wire is command
                token = await self._attempt(operation, wire, fresh=fresh, holds=holds)
                if operation.follow is not None:
                    wire, operation.follow, fresh = operation.follow, None, False
                elif not (operation.wants_token and await self._renew(operation, wire, token, holds=holds)):
                    wire = None
        finally:
            self._ended(operation, asyncio.current_task())

    async def _attempt(self, operation: Operation, wire: Wire, *, fresh: bool, holds: bool) -> Secret | None:
        token: Secret | None = None
        pending = Pending(wire, asyncio.get_running_loop().time(), operation)
        try:
            frame, token = await self._connected(operation, wire, fresh=fresh)
        except VenueError as error:
            self._unsent(operation, error.text)
        except TransportError as error:
            if error.sent:
                operation.note(self._redact(str(error)))
                self._broken(operation, wire)
            elif holds and operation.is_wanted and (why := self._fenced()):
                self._held(operation, wire, why)
            else:
                self._unsent(operation, str(error))
        except Exception:
            log.exception("a mistake of ours in a request")
            operation.note("the request could not be made")
        else:
            self._take(frame, pending)
        return token

    async def _connected(self, operation: Operation, wire: Wire, *, fresh: bool) -> tuple[Frame, Secret | None]:
        """The answer. A repeat that cannot connect tries again for as long as somebody waits (rule 4)."""
        wrote = partial(self._wrote, operation)
        while True:
            try:
                return await self.request(wire, wrote, fresh=fresh)
            except TransportError as error:
                if error.sent or self._fenced() or not (fresh and operation.is_sought):
                    raise
            await asyncio.sleep(REPEAT_PAUSE)

    def _wrote(self, operation: Operation) -> None:
        if not operation.is_wanted:
            raise TransportError("nobody waits for it any more", sent=False)
        why = self._fenced()
        if why:
            raise TransportError(why, sent=False)
        operation.wrote(asyncio.get_running_loop().time())

    async def _renew(self, operation: Operation, wire: Wire, refused: Secret | None, *, holds: bool) -> bool:
        """One renewal for all who wait. False: no new attempt can be made."""
        operation.wants_token = False
        try:
            await self._bearer.renew(refused)
        except VenueError as error:
            if holds and operation.attempts and (why := self._fenced()):  # a repeat, which is still due
                operation.declines -= 1
                self._held(operation, wire, why)
                return False
            self._unsent(operation, error.text)
        return operation.phase is not Phase.DONE

    def _unsent(self, operation: Operation, text: str) -> None:
        """The attempt did not leave."""
        text = f"{operation.waits_for}; {text}" if operation.declines else text
        operation.fail(self._redact(text))
