"""The session: Codec + transports = Adapter. Login, matching, deadlines, token renewal, reconnection; for every venue.

States and what may be written in them:

    CONNECTING   the first connection and login; open() waits for it           nothing
    READY        logged in, subscribed, open orders read                       everything
    SYNCING      the same after a reconnection, open orders not yet read       cancels and reads
    BACKING_OFF  the connection is gone, the next attempt is due               nothing
    FATAL        the login was refused before it ever succeeded                nothing, and never will be
    CLOSED       close() was called                                            nothing

Rules:

1. A command that may not be written waits, and is NOT_SENT at its deadline, never written later.
2. From the call that writes it on, a command is in doubt until an answer, and is not written again.
3. When the connection goes, its keys go; the commands it carried stay in doubt until their callers' deadlines.
4. What the venue says was not executed may be attempted anew within the deadline (Answer.retry); nothing else.
5. One timer serves all deadlines. It looks again when it was itself late: the time that our own loop stood still is not
   the venue's silence.
6. An unreadable frame is counted, logged without its contents, and skipped; it never closes the connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from attrs import evolve

from router.bearer import Bearer, TokenSource
from router.errors import (
    CannotExpress,
    CannotList,
    Garbled,
    LoginRefused,
    ReadFailed,
    TransportError,
    VenueError,
    VenueUnreachable,
)
from router.matching import Outstanding, Pending
from router.model import Cancel
from router.operation import Operation, Phase, Reply
from router.reading import Reader
from router.redact import Redactor, Secret
from router.report import Health, Outcome, SessionState
from router.transport.websocket import HandshakeRefused, WebSocket
from router.venue import (
    Answer,
    Codec,
    Command,
    Execution,
    Frame,
    Listener,
    Reading,
    Renewal,
    Retry,
    Snapshot,
    Spec,
    Via,
    Wire,
    read,
)

__all__ = ["Session"]

log = logging.getLogger("router.session")

SWEEP_GRAIN = 0.005  # seconds between two looks at the deadlines at most
STALL = 0.05  # a timer this late means that our loop stood still
BACKOFF = (0.1, 30.0)
RETRY_PAUSE = 0.5  # seconds before a new attempt when the venue does not say
MAX_ATTEMPTS = 5


class Session:
    """An Adapter made of a codec. deadline: seconds a command has by default. token: how to get a bearer token."""

    def __init__(self, codec: Codec, *, deadline: float | None = None, token: TokenSource | None = None) -> None:
        self._codec = codec
        self._deadline = codec.spec.deadline if deadline is None else deadline
        self._source = token
        self._redact = Redactor(codec.secrets())
        self._name = codec.spec.title
        self._listener: Listener
        self._state, self._since = SessionState.CLOSED, datetime.now(UTC)
        self._last_error = ""
        self._garbled = 0
        self._socket: WebSocket | None = None
        self._http: Any = None
        self._outstanding = Outstanding()
        self._awaited: dict[Operation, Wire] = {}
        self._held: dict[Operation, Wire] = {}
        self._calls: dict[Operation, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._dropped: asyncio.Event
        self._accepted = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name} {self._state}>"

    @property
    def spec(self) -> Spec:
        return self._codec.spec

    @property
    def deadline(self) -> float:
        return self._deadline

    # -- life

    async def open(self, name: str, listener: Listener, *, strict: bool) -> None:
        self._name, self._listener = name, listener
        self._dropped = asyncio.Event()
        self._bearer = Bearer(name, self._source)
        self._reader = Reader(name, self._ask_page, listener.changes)
        self._accepted = False
        self._become(SessionState.CONNECTING)
        try:
            await self._connect()
            self._become(SessionState.READY)
        except LoginRefused:
            await self._abandon(strict=strict)
        except VenueError:
            if strict:
                await self.close()
                raise
            self._dropped.set()
        except BaseException:
            await self.close()
            raise
        if self._state is not SessionState.FATAL:
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def _abandon(self, *, strict: bool) -> None:
        """The login was refused before it ever succeeded."""
        self._become(SessionState.FATAL)
        await self._disconnect()
        if strict:
            self._become(SessionState.CLOSED)
            raise  # noqa: PLE0704 - called while the LoginRefused is being handled

    async def close(self) -> None:
        if self._state is SessionState.CLOSED:
            return
        self._become(SessionState.CLOSED)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self._reader.close()
        await self._bearer.close()
        self._tell_closed()
        for call in list(self._calls.values()):
            call.cancel()
        await asyncio.gather(*self._calls.values(), return_exceptions=True)
        await self._disconnect()
        if self._timer is not None:
            self._timer.cancel()

    def _tell_closed(self) -> None:
        for operation in list(self._awaited):
            if operation.phase is Phase.HELD:
                operation.finish(Reply(outcome=Outcome.NOT_SENT, text="the Router was closed"))
            else:
                operation.doubt(operation.unknown("the Router was closed before the answer"))
        self._awaited.clear()
        self._held.clear()
        for pending in self._outstanding.clear():
            if pending.answer is not None:
                pending.answer.cancel()

    async def _disconnect(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
        if self._http is not None:
            await self._http.close()
            self._http = None

    def _become(self, state: SessionState) -> None:
        if state is not self._state:
            self._state, self._since = state, datetime.now(UTC)
            log.info("%s: %s", self._name, state)

    # -- connecting

    async def _connect(self) -> None:
        """Connect and log in. Raises LoginRefused or VenueUnreachable, naming the venue."""
        try:
            await self._open_transports()
            for wire in self._codec.hello(time.time(), secrets.token_bytes(16)):
                await self._greet(wire)
            if self._source is not None:
                await self._bearer.token()
        except VenueError as error:
            self._last_error = error.text
            await self._disconnect()
            raise
        except HandshakeRefused as error:
            await self._disconnect()
            raise self._unreachable(error, refused=error.status in {401, 403}) from None
        except (TransportError, Garbled) as error:
            await self._disconnect()
            raise self._unreachable(error) from None
        self._accepted = True
        self._last_error = ""

    async def _open_transports(self) -> None:
        spec = self._codec.spec
        if spec.http_url is not None and self._http is None:
            from router.transport.http import Http  # noqa: PLC0415 - aiohttp is imported by those who speak HTTP

            http = Http(spec.http_url, max_body=spec.max_frame, timeout=spec.http_timeout)
            await http.open(probe=spec.url is None)
            self._http = http
        if spec.url is not None:
            socket = WebSocket(
                on_frame=self._heard, on_lost=self._lost, max_frame=spec.max_frame, heartbeat=spec.heartbeat
            )
            await socket.open(spec.url, spec.login_timeout)
            self._socket = socket

    def _unreachable(self, error: Exception, *, refused: bool = False) -> VenueError:
        self._last_error = self._redact(str(error))
        if refused:
            return LoginRefused(self._name, self._last_error + self._clock())
        return VenueUnreachable(self._name, self._last_error)

    async def _greet(self, wire: Wire) -> None:
        """Say one thing of the login, and wait for its answer."""
        answer = await self._ask(wire, self._codec.spec.login_timeout)
        assert isinstance(answer, Answer)  # noqa: S101 - a login is not answered by a snapshot
        if answer.outcome is Outcome.REFUSED or answer.retry is Retry.TOKEN:
            raise LoginRefused(self._name, f"login refused: {self._redact(answer.text)}{self._clock()}")
        if answer.outcome is not Outcome.CONFIRMED:
            raise VenueUnreachable(self._name, f"no usable answer to the login: {self._redact(answer.text)}")

    def _clock(self) -> str:
        """How far our clock is from the venue's, which is what makes signed logins fail."""
        date = self._socket.headers.get("date") if self._socket is not None else None
        if date is None:
            return ""
        try:
            ahead = time.time() - parsedate_to_datetime(date).timestamp()
        except ValueError:
            return ""
        if abs(ahead) < 2:
            return " (our clock agrees with the venue's Date header)"
        return f" (our clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the venue's Date header)"

    async def _keep(self) -> None:
        """Reconnect whenever the connection is gone."""
        while True:
            await self._dropped.wait()
            self._dropped.clear()
            self._become(SessionState.BACKING_OFF)
            await self._disconnect()
            if not await self._reconnect():
                return
            if self._codec.spec.lists:
                self._become(SessionState.SYNCING)
                self._flush()
                await self._sync()
            if not self._dropped.is_set():
                self._become(SessionState.READY)
                self._flush()

    async def _reconnect(self) -> bool:
        """Try until it works. False: the login was refused and had never succeeded."""
        pause, longest = BACKOFF
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            pause = min(pause * 2, longest)
            try:
                await self._connect()
            except LoginRefused as error:
                log.warning("%s", error)
                if not self._accepted:
                    self._give_up()
                    return False
            except VenueError as error:
                log.warning("%s", error)
            else:
                return True

    def _give_up(self) -> None:
        self._become(SessionState.FATAL)
        for operation in list(self._held):
            operation.finish(Reply(outcome=Outcome.NOT_SENT, text=self._not_connected()))

    async def _sync(self) -> None:
        """Read the open orders; until that has worked, nothing new is placed."""
        while not self._dropped.is_set():
            try:
                self._listener.resync(await self._reader.read(asyncio.get_running_loop().time()))
            except (ReadFailed, CannotList) as error:
                self._last_error = error.text
                log.warning("%s", error)
                await asyncio.sleep(RETRY_PAUSE)
            else:
                return

    def _lost(self, why: str) -> None:
        """The socket is gone, and with it every key."""
        self._last_error = self._redact(why)
        for pending in self._outstanding.clear():
            if pending.operation is not None:
                pending.operation.carrier = None
                self._listener.lost(pending.operation)
            elif pending.answer is not None and not pending.answer.done():
                pending.answer.set_exception(TransportError(self._last_error, sent=True))
        if self._state in {SessionState.READY, SessionState.SYNCING}:
            log.warning("%s: connection lost: %s", self._name, self._last_error)
            self._listener.gap()
            self._become(SessionState.BACKING_OFF)
            self._dropped.set()

    # -- commands

    def send(self, operation: Operation) -> None:
        try:
            wire = self._codec.encode(operation.command, time.time())
        except CannotExpress as error:
            operation.finish(Reply(outcome=Outcome.NOT_SENT, text=self._redact(str(error))))
            return
        if self._state in {SessionState.FATAL, SessionState.CLOSED}:
            operation.finish(Reply(outcome=Outcome.NOT_SENT, text=self._not_connected()))
            return
        operation.release = lambda: self._release(operation)
        self._awaited[operation] = wire
        self.watch(operation)
        self._launch(operation, wire)

    def watch(self, operation: Operation) -> None:
        deadline = operation.deadline
        if deadline is not None:
            self._arm(deadline)

    def remaining(self, command: Command, rows: Sequence[Execution]) -> Sequence[Execution]:
        return self._codec.remaining(command, rows)

    def _launch(self, operation: Operation, wire: Wire) -> None:
        """Write it, or keep it until it may be written."""
        if operation.phase is not Phase.HELD:
            return
        if not self._may_write(operation):
            operation.waits_for = self._not_connected()
            self._held[operation] = wire
        elif wire.via is Via.SOCKET:
            self._write(operation, wire)
        else:
            self._call(operation, wire)

    def _may_write(self, operation: Operation) -> bool:
        if self._socket is not None and not self._socket.is_open:
            return False
        if self._state is SessionState.SYNCING:
            return isinstance(operation.command, Cancel)
        return self._state is SessionState.READY

    def _write(self, operation: Operation, wire: Wire) -> None:
        assert self._socket is not None  # noqa: S101 - _may_write saw it
        now = asyncio.get_running_loop().time()
        pending = Pending(wire, now, operation)
        self._outstanding.add(pending)
        operation.carrier = pending
        operation.wrote(now)
        self._socket.send(wire.body)

    def _flush(self) -> None:
        """Write what has waited for the connection: cancels first."""
        held, self._held = self._held, {}
        for operation in sorted(held, key=lambda operation: not isinstance(operation.command, Cancel)):
            if operation.is_awaited:
                self._launch(operation, held[operation])
            else:
                operation.finish(Reply(outcome=Outcome.NOT_SENT, text="nobody waited for it any more"))

    def _release(self, operation: Operation) -> None:
        self._awaited.pop(operation, None)
        self._held.pop(operation, None)
        if operation.carrier is not None:
            self._outstanding.discard(operation.carrier)
            operation.carrier = None
        call = self._calls.get(operation)
        if call is not None and operation.reply is not None and operation.reply.outcome is Outcome.NOT_SENT:
            call.cancel()

    def _not_connected(self) -> str:
        why = f": {self._last_error}" if self._last_error else ""
        return f"{self._name} is not connected ({self._state}){why}"

    # -- commands over HTTP

    def _call(self, operation: Operation, wire: Wire) -> None:
        task = asyncio.get_running_loop().create_task(self._exchange(operation, wire))
        self._calls[operation] = task
        operation.waits_for = f"{self._name}: no connection by the deadline"
        task.add_done_callback(lambda _: self._calls.pop(operation, None))

    async def _exchange(self, operation: Operation, wire: Wire) -> None:
        pending = Pending(wire, asyncio.get_running_loop().time(), operation)
        token: Secret | None = None
        try:
            token = await self._bearer.token() if wire.bearer else None
            frame = await self._http.request(
                wire, self._bear(token), lambda: operation.wrote(asyncio.get_running_loop().time())
            )
        except VenueError as error:
            self._unsent(operation, error.text)
        except TransportError as error:
            if error.sent:
                self._broken(operation, str(error))
            else:
                self._unsent(operation, str(error))
        else:
            self._take(frame, pending)
            await self._perhaps_renew(operation, wire, token)

    def _bear(self, token: Secret | None) -> dict[str, str]:
        if token is None:
            return {}
        name, prefix = self._codec.spec.bearer
        return {name: prefix + token.reveal()}

    def _unsent(self, operation: Operation, text: str) -> None:
        outcome = Outcome.REFUSED if operation.declines else Outcome.NOT_SENT
        text = f"{operation.waits_for}; {text}" if operation.declines else text
        operation.finish(Reply(outcome=outcome, text=self._redact(text)))

    def _broken(self, operation: Operation, text: str) -> None:
        """The request may have been executed, and its answer will never come."""
        self._listener.lost(operation)
        operation.doubt(operation.unknown(self._redact(text)))

    async def _perhaps_renew(self, operation: Operation, wire: Wire, refused: Secret | None) -> None:
        """A 401 was not executed: renew once for all, and make one new attempt."""
        if operation.phase is not Phase.HELD or not operation.wants_token:
            return
        operation.wants_token = False
        try:
            await self._bearer.renew(refused)
        except VenueError as error:
            self._unsent(operation, error.text)
        else:
            if operation.phase is Phase.HELD:
                await self._exchange(operation, wire)

    # -- the session's own requests

    async def _ask(self, wire: Wire, timeout: float) -> Answer | Snapshot:
        """Send a request of ours and wait for its answer. Raises TransportError, Garbled or VenueError."""
        loop = asyncio.get_running_loop()
        pending = Pending(wire, loop.time(), answer=loop.create_future())
        assert pending.answer is not None  # noqa: S101 - just made
        if wire.via is Via.HTTP:
            token = await self._bearer.token() if wire.bearer else None
            frame = await self._http.request(wire, self._bear(token), lambda: None)
            self._take(frame, pending)
            if not pending.answer.done():
                raise Garbled(f"{wire.method} {wire.path.partition('?')[0]} was answered unreadably")
            return pending.answer.result()
        if self._socket is None or not self._socket.is_open:
            raise TransportError(self._not_connected(), sent=False)
        self._outstanding.add(pending)
        self._socket.send(wire.body)
        await asyncio.wait([pending.answer], timeout=timeout)
        if not pending.answer.done():
            pending.answer.add_done_callback(lambda done: self._late(pending, done))
            raise TransportError(f"no answer within {timeout:g} s", sent=True)
        return pending.answer.result()

    def _late(self, pending: Pending, done: asyncio.Future[Answer | Snapshot]) -> None:
        if not done.cancelled() and done.exception() is None and isinstance(page := done.result(), Snapshot):
            self._reader.late(pending.asked, page)

    async def read(self, since: float) -> Reading:
        if not self._codec.spec.lists:
            raise CannotList(self._name, "this venue documents no way to list open orders")
        if self._state not in {SessionState.READY, SessionState.SYNCING}:
            raise ReadFailed(self._name, self._not_connected())
        return await self._reader.read(since)

    async def _ask_page(self, cursor: str | None) -> Snapshot:
        wire = self._codec.list_orders(time.time(), cursor)
        if wire is None:
            raise ReadFailed(self._name, "this venue cannot be asked for its open orders")
        answer = await self._ask(wire, self._codec.spec.deadline)
        if isinstance(answer, Snapshot):
            return answer
        raise ReadFailed(self._name, f"open orders could not be read: {self._redact(answer.text)}")

    async def lookup(self, cancel: Cancel) -> bool:
        wire = self._codec.lookup(cancel, time.time())
        if wire is None or self._state not in {SessionState.READY, SessionState.SYNCING}:
            return False
        try:
            answer = await self._ask(wire, self._codec.spec.deadline)
        except (TransportError, Garbled, VenueError):
            return False
        if isinstance(answer, Snapshot):
            for row in answer.rows:
                self._listener.apply(row, asked=False)
        return True

    # -- frames

    def _heard(self, body: bytes) -> None:
        self._take(Frame(body=body), None)

    def _take(self, frame: Frame, request: Pending | None) -> None:
        """One frame in: find whose it is, tell the ledger, then the callers. request: what an HTTP frame answers."""
        try:
            items = read(self._codec, frame, time.time())
        except Garbled as error:
            self._skip(error, frame, request)
            return
        answers = [item for item in items if isinstance(item, Answer | Snapshot)]
        matched = [(pending, answer) for answer in answers for pending in self._meant(answer, request)]
        for pending, answer in matched:
            if pending.operation is not None and isinstance(answer, Answer):
                self._listener.bind(pending.operation, answer)
        asked = any(pending.operation is not None for pending, _ in matched)
        for item in items:
            if isinstance(item, Execution):
                self._listener.apply(item, asked=asked)
            elif isinstance(item, Renewal):
                self._renewed(item)
        for pending, answer in matched:
            self._settle(pending, answer, frame)

    def _meant(self, item: Answer | Snapshot, request: Pending | None) -> list[Pending]:
        if request is not None and not item.keys:
            return [request]
        if isinstance(item, Snapshot):
            return self._outstanding.match(Answer(keys=item.keys))
        return self._outstanding.match(item)

    def _settle(self, pending: Pending, item: Answer | Snapshot, frame: Frame) -> None:
        if pending.answer is not None:
            if isinstance(item, Snapshot) or item.final or pending.wire.acknowledged:
                self._outstanding.discard(pending)
                if not pending.answer.done():
                    pending.answer.set_result(item)
        elif pending.operation is not None and isinstance(item, Answer):
            self._answered(pending.operation, pending.wire, item, frame)

    def _answered(self, operation: Operation, wire: Wire, answer: Answer, frame: Frame) -> None:
        if answer.retry is not None and operation.phase is Phase.WRITTEN and self._retry(operation, wire, answer):
            return
        if answer.then is not None:
            operation.note(answer.text)
            operation.acknowledged = True
            self._calls[operation] = asyncio.get_running_loop().create_task(self._exchange(operation, answer.then))
            return
        raw = self._redact(frame.body.decode("utf-8", "replace"))
        self._listener.answered(operation, evolve(answer, text=self._redact(answer.text)), raw)

    def _retry(self, operation: Operation, wire: Wire, answer: Answer) -> bool:
        """Prepare a new attempt of what was not executed. False: none is left."""
        pause = RETRY_PAUSE if answer.after is None else answer.after
        deadline = operation.last_deadline
        loop = asyncio.get_running_loop()
        allowed = 1 if answer.retry is Retry.TOKEN else MAX_ATTEMPTS
        if deadline is None or operation.declines >= allowed:
            return False
        if answer.retry is Retry.TOKEN:
            operation.wants_token = True
        elif loop.time() + pause >= deadline:
            return False
        else:
            loop.call_later(pause, self._launch, operation, wire)
        if operation.carrier is not None:
            self._outstanding.discard(operation.carrier)
            operation.carrier = None
        operation.unwritten(self._redact(answer.text))
        return True

    def _renewed(self, renewal: Renewal) -> None:
        wire = renewal.wire

        async def fetch() -> None:
            assert wire is not None  # noqa: S101 - only then it is passed on
            try:
                await self._greet(wire)
            except (TransportError, Garbled) as error:
                raise VenueUnreachable(self._name, self._redact(str(error))) from None

        self._bearer.accept(renewal, fetch if wire is not None else None)

    def _skip(self, error: Garbled, frame: Frame, request: Pending | None) -> None:
        self._garbled += 1
        log.warning("%s: %s (%d so far)", self._name, error, self._garbled)
        if request is not None and request.operation is not None:
            text = f"the answer (HTTP {frame.status}) could not be read"
            self._answered(request.operation, request.wire, Answer(outcome=Outcome.UNKNOWN, text=text), frame)

    # -- deadlines

    def _arm(self, deadline: float) -> None:
        if self._timer is None or self._timer.cancelled() or deadline < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(deadline, self._sweep, deadline)

    def _sweep(self, due: float) -> None:
        """Tell every caller whose deadline has come."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - due > STALL:  # answers may be waiting in the socket: read them first
            self._timer = loop.call_at(now + SWEEP_GRAIN, self._sweep, now + SWEEP_GRAIN)
            return
        self._timer = None
        for operation in list(self._awaited):
            operation.expire(now)
            if not operation.is_awaited:
                self._awaited.pop(operation, None)
        nearest = min((op.deadline for op in self._awaited if op.deadline is not None), default=None)
        if nearest is not None:
            self._arm(max(nearest, now + SWEEP_GRAIN))

    def health(self) -> Health:
        expires = self._bearer.expires_at if self._state is not SessionState.CLOSED else None
        return Health(
            state=self._state,
            since=self._since,
            last_error=self._last_error,
            outstanding=len(self._awaited),
            garbled=self._garbled,
            token_expires_at=expires,
            warning=self._warning(expires),
        )

    def _warning(self, expires: datetime | None) -> str:
        if expires is None or self._bearer.renews:
            return ""
        left = (expires - datetime.now(UTC)).total_seconds()
        return f"the token {'has expired' if left <= 0 else f'expires in {left:.0f} s'} and cannot be renewed"
