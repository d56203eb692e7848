"""Commands over HTTP: a task for each, which makes its attempts one after the other.

Rules:

1. `wrote` is called when a connection is there and before the first byte; until then nothing has left, and an operation
   whose callers are gone or told goes no further.
2. An attempt that broke after that may have been executed: its callers hear UNKNOWN at their deadlines.
3. A new attempt is made only after an answer that says "not executed" (a refused token), or for a further request that
   the answer itself asked for (Answer.then).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from router.bearer import Bearer
from router.errors import TransportError, VenueError
from router.link import Link
from router.matching import Pending
from router.operation import Operation, Phase
from router.redact import Redactor, Secret
from router.venue import Frame, Listener, Spec, Wire

__all__ = ["Exchange"]

log = logging.getLogger("router.session")

Take = Callable[[Frame, Pending], None]


class Exchange:
    """The HTTP side of a session. take: reads an answer."""

    def __init__(
        self, spec: Spec, link: Link, bearer: Bearer, listener: Listener, redact: Redactor, take: Take
    ) -> None:
        self._spec, self._link, self._bearer = spec, link, bearer
        self._listener, self._redact, self._take = listener, redact, take
        self._tasks: dict[Operation, asyncio.Task[None]] = {}

    def start(self, operation: Operation, wire: Wire) -> None:
        """Send a command in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._run(operation, wire))
        self._tasks[operation] = task
        operation.waits_for = operation.waits_for or "no connection by the deadline"
        task.add_done_callback(lambda done: self._tasks.pop(operation) if self._tasks.get(operation) is done else None)

    def abandon(self, operation: Operation) -> None:
        """The operation is done: an attempt that has not left must not leave any more."""
        task = self._tasks.get(operation)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def request(self, wire: Wire, connected: Callable[[], None]) -> tuple[Frame, Secret | None]:
        """One request; its answer, and the token that it was sent with. Raises TransportError or VenueError."""
        token = await self._bearer.token() if wire.bearer else None
        if self._link.http is None:
            raise TransportError(self._link.describe(), sent=False)
        name, prefix = self._spec.bearer
        headers = {} if token is None else {name: prefix + token.reveal()}
        return await self._link.http.request(wire, headers, connected), token

    async def _run(self, operation: Operation, wire: Wire | None) -> None:
        while wire is not None:
            token = await self._attempt(operation, wire)
            if operation.follow is not None:
                wire, operation.follow = operation.follow, None
            elif not (operation.wants_token and await self._renew(operation, token)):
                wire = None

    async def _attempt(self, operation: Operation, wire: Wire) -> Secret | None:
        token: Secret | None = None
        pending = Pending(wire, asyncio.get_running_loop().time(), operation)
        try:
            frame, token = await self.request(wire, lambda: self._wrote(operation))
        except VenueError as error:
            self._unsent(operation, error.text)
        except TransportError as error:
            if error.sent:
                self._listener.lost(operation)
                operation.note(self._redact(str(error)))
            else:
                self._unsent(operation, str(error))
        except Exception:
            log.exception("a mistake of ours in a request")
            operation.note("the request could not be made")
        else:
            self._take(frame, pending)
        return token

    def _wrote(self, operation: Operation) -> None:
        if operation.phase is Phase.DONE or not (operation.attempts or operation.is_awaited):
            raise TransportError("nobody waits for it any more", sent=False)
        operation.wrote(asyncio.get_running_loop().time())

    async def _renew(self, operation: Operation, refused: Secret | None) -> bool:
        """One renewal for all who wait. False: no new attempt can be made."""
        operation.wants_token = False
        try:
            await self._bearer.renew(refused)
        except VenueError as error:
            self._unsent(operation, error.text)
        return operation.phase is not Phase.DONE

    def _unsent(self, operation: Operation, text: str) -> None:
        """The attempt did not leave."""
        text = f"{operation.waits_for}; {text}" if operation.declines else text
        operation.fail(self._redact(text))
