"""The session: a Codec and its transports as an Adapter. Writes commands, finds whose an answer is, tells of both.

Rules:

1. A command that may not be written waits, and is NOT_SENT at its deadline, never written later.
2. From the call that writes it on, a command is in doubt until an answer, and is not written again.
3. When the connection goes, its keys go; the commands it carried stay in doubt until their callers' deadlines.
4. What the venue says was not executed may be attempted anew within the deadline (Answer.retry).
5. What can do nothing new (Effect.IDEMPOTENT) and was lost with its connection goes out once more, the same bytes: over a
   socket when the next one is logged in, whoever still waits; over HTTP at once while somebody waits, else when it is to be
   settled. Nothing else is ever repeated.
6. While the fence says why not, nothing that may change anything leaves: no command, repeat, new attempt, cancel-all or login. It
   is asked directly before the write: over HTTP when the connection is there. What it stops waits like what waits for the
   connection, a repeat beyond its callers' deadlines; but no further request of a command that was begun (Answer.then), which
   stays in doubt. Reads go on, and so does a goodbye that is one.
7. A venue may tell all sessions of an account what one of them was answered. What is refused over the socket while the fence is shut
   may have been refused to the next owner: it is noted, and settles nothing.
8. An unreadable frame is counted, logged without its contents, and skipped; it never closes the connection.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from router.asking import Asker
from router.bearer import Bearer, TokenSource
from router.deadlines import Deadlines
from router.errors import CannotExpress, Garbled, ReadFailed, TransportError, VenueUnreachable
from router.exchange import Exchange
from router.link import Link
from router.matching import Outstanding, Pending
from router.model import Cancel, Order
from router.operation import Operation, Phase
from router.outbox import Outbox, lane_of
from router.pacing import Lane, Pacer
from router.redact import Redactor, Sealed
from router.report import Health, Outcome, SessionState, quantiles
from router.venue import (
    Answer,
    Codec,
    Command,
    Effect,
    Execution,
    Fence,
    Frame,
    Intent,
    Item,
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

RETRY_PAUSE = 0.5  # seconds before a new attempt when the venue does not say
MAX_DECLINES = 5
MAX_TEXT = 500  # of a venue's words
ROUND_TRIPS = 1000  # the last ones, of which health() tells
NEVER_OPENED = "it was never opened"
CHOKED = "the venue does not read what it was sent before"


class Session:
    """An Adapter made of a codec.

    deadline: seconds a command has by default. token: how to get a bearer token. share: the part of the account's rate
    budgets that this process may use.
    """

    _name = ""
    _link: Link | None = None
    account = ""
    """Whose orders these are: set by adapters that know it."""
    fence: Fence | None = None
    """As the Adapter says: set before open()."""

    def __init__(
        self,
        codec: Codec,
        *,
        deadline: float | None = None,
        token: TokenSource | Renewal | None = None,
        share: float = 1.0,
    ) -> None:
        self._codec = codec
        self._deadline = codec.spec.deadline if deadline is None else deadline
        self._source = token
        self._redact = Redactor(codec.secrets())
        self._name = codec.spec.title
        self._listener: Listener
        self._bearer: Bearer
        self._asker: Asker
        self._exchange: Exchange
        self._garbled = 0
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._outstanding = Outstanding()
        self._deadlines = Deadlines(self._clear_nameless)
        self._pacer = Pacer(codec.spec.budget, codec.spec.cancel_budget, share)
        self._outbox = Outbox(self._pacer, self._obstacle, self._write)
        self._again: dict[Operation, Wire] = {}
        self._let_go = self._release  # one for all operations
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = SessionState.CLOSED if self._link is None else self._link.state
        return f"<{type(self).__name__} {self._name} {state}>"

    def through(self, wrap: Callable[[Codec], Codec]) -> None:
        """Put something around the codec, before the first open(): the conformance kit listens there."""
        self._codec = wrap(self._codec)

    @property
    def spec(self) -> Spec:
        return self._codec.spec

    @property
    def deadline(self) -> float:
        return self._deadline

    # -- life

    async def open(self, name: str, listener: Listener, *, strict: bool) -> None:
        self._name, self._listener = name, listener
        self._bearer = Bearer(name, self._fenced_source(), self._redact, self.spec.login_timeout)
        self._asker = Asker(
            name, self._codec, self._redact, self._outstanding, self._pacer, self._take, listener.changes, self._fenced
        )
        self._link = Link(name, self._codec, self._redact, self, None if self.fence is None else self._fenced)
        self._exchange = Exchange(
            self.spec, self._link, self._bearer, self._redact, self._take, self._broken, self._held, self._fenced
        )
        self._asker.connect(self._link, self._exchange)
        try:
            await self._link.open(strict=strict)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect. Once begun it is finished, also when the caller goes away."""
        if self._link is not None:
            link, self._link = self._link, None
            self._closing = asyncio.get_running_loop().create_task(self._shut(link))
        if self._closing is not None:
            await asyncio.shield(self._closing)

    async def _shut(self, link: Link) -> None:
        self._tell_closed()
        await self._asker.close()
        await self._bearer.close()
        await self._exchange.close()
        await link.close()
        self._deadlines.close()

    def _tell_closed(self) -> None:
        """Whoever still waits is told what is known."""
        for operation in self._deadlines:
            operation.fail("the Router was closed before the answer" if operation.attempts else "the Router was closed")
        self._outbox.clear()
        self._again.clear()
        for pending in self._outstanding.clear():
            if pending.answer is not None:
                pending.answer.cancel()

    # -- the fence (rule 6)

    def _fenced(self) -> str:
        """Why nothing that may change anything may leave now, or ""."""
        return "" if self.fence is None else self.fence()

    def unfenced(self) -> None:
        """What has waited may go, but nothing whose time is over."""
        now = asyncio.get_running_loop().time()
        for operation in self._deadlines:
            if operation.phase is Phase.HELD:  # whose time came while our own loop stood still
                operation.expire(now)
        self._outbox.flush()

    def _held(self, operation: Operation, wire: Wire, why: str) -> None:
        """The fence has stopped an attempt over HTTP."""
        if not (operation.attempts or operation.declines):
            operation.waits_for = why
        self._queue(operation, wire, ahead=True)

    def _fenced_source(self) -> TokenSource | Renewal | None:
        """Where tokens come from; to fetch one is to log in."""
        source = self._source
        if source is None or isinstance(source, Renewal):
            return source

        async def fetch() -> Renewal:
            why = self._fenced()
            if why:
                raise VenueUnreachable(self._name, why)
            return await source()

        return fetch

    # -- LinkUser: what the link tells

    def heard(self, body: bytes) -> None:
        self._take(Frame(body=body), None)

    def lost(self, why: str) -> None:
        """The socket is gone, and with it every key."""
        for pending in self._outstanding.clear():
            if pending.operation is not None:
                pending.operation.carrier = None
                self._listener.lost(pending.operation)
                self._repeat_later(pending.operation, pending)
            elif pending.answer is not None and not pending.answer.done():
                pending.answer.set_exception(TransportError(why, sent=True))
                pending.answer.exception()  # whoever asked may have been cancelled meanwhile
        self._listener.gap()

    def _repeat_later(self, operation: Operation, pending: Pending) -> None:
        """An attempt over the socket whose answer will not come (rule 5)."""
        if pending.effect is Effect.IDEMPOTENT and operation.phase is Phase.WRITTEN and operation.attempts == 1:
            wire = self._sent(pending)
            if wire is not None:
                self._again[operation] = wire

    def _broken(self, operation: Operation, wire: Wire) -> None:
        """An attempt over HTTP whose answer will not come (rule 5)."""
        self._listener.lost(operation)
        if wire.effect is not Effect.IDEMPOTENT or operation.phase is not Phase.WRITTEN or operation.attempts != 1:
            return
        if operation.is_awaited:
            self._outbox.put(operation, wire, ahead=True)

    async def logged_in(self) -> None:
        self._asker.fresh()
        if self._source is not None:
            await self._bearer.token()

    async def sync(self) -> None:
        """Read the open orders; until that has worked, nothing new is placed."""
        since = asyncio.get_running_loop().time()
        while self._link is not None and not self._link.is_gone:
            try:
                self._listener.resync(self._readable(await self._asker.sync(since)))
            except ReadFailed as error:
                self._link.last_error = error.text
                log.warning("%s", error)
                await asyncio.sleep(RETRY_PAUSE)
            else:
                return

    def writable(self) -> None:
        """Write what has waited: repeats first, then cancels, then everything else."""
        again, self._again = self._again, {}
        for operation, wire in reversed(again.items()):
            if operation.phase is Phase.WRITTEN:
                self._outbox.keep(operation, wire, ahead=True)
        if self._link is not None and self._link.is_fatal:
            self._outbox.fail(self._not_connected())
        self._outbox.flush()

    # -- commands

    def send(self, operation: Operation) -> None:
        operation.encoded = time.time()
        try:
            wire = self._codec.encode(operation.command, operation.encoded)
        except CannotExpress as error:
            operation.fail(self._redact(str(error)))
            return
        except Exception:  # an encoder of the user's may raise anything; nothing of it was sent
            log.exception("%s: the command could not be encoded", self._name)
            operation.fail(f"{self._name}: the command could not be encoded")
            return
        if wire.order_id is not None:
            self._listener.bind(operation, Answer(order_id=wire.order_id))
        operation.release = self._let_go
        if self._link is None or self._link.is_fatal:
            operation.fail(self._not_connected())
        elif not self._listener.keeps_intents:
            self._outbox.put(operation, wire)
        else:
            intent = Intent(effect=wire.effect, frame=Sealed(_said(wire), self._redact), nonce=wire.nonce)
            self._listener.intend(operation, intent, lambda: self._queue(operation, wire))
        if operation.reply is None:  # last: the book-keeping is done while the venue has its turn
            self._deadlines.watch(operation)

    def _queue(self, operation: Operation, wire: Wire, *, ahead: bool = False) -> None:
        """It may leave, as soon as the connection and the pace allow it."""
        if self._link is None or self._link.is_fatal:
            operation.fail(self._not_connected())
        else:
            self._outbox.put(operation, wire, ahead=ahead)

    def watch(self, operation: Operation) -> None:
        operation.release = operation.release or self._let_go
        self._deadlines.watch(operation)

    @property
    def is_away(self) -> bool:
        return self._link is not None and self._link.state in {SessionState.CONNECTING, SessionState.BACKING_OFF}

    def is_due(self, operation: Operation) -> bool:
        kept = operation in self._again or operation in self._outbox
        return kept or (operation.attempts == 1 and self._exchange.is_repeating(operation))

    def repeat(self, operation: Operation) -> None:
        """Rule 5, for what nobody waited for when its HTTP request ended, or has not ended yet."""
        if (
            self._link is None
            or operation.phase is not Phase.WRITTEN
            or operation.attempts != 1
            or self.is_due(operation)
        ):
            return
        try:
            wire = self._codec.encode(operation.command, time.time())
        except Exception as error:  # noqa: BLE001 - a codec of the user's may raise anything; what can't be said isn't repeated
            operation.note(self._redact(f"it could not be encoded again: {error}"))
            return
        if wire.effect is Effect.IDEMPOTENT and wire.via is Via.HTTP:
            self._outbox.put(operation, wire, ahead=True)

    def replacement(self, order: Order, replaces: str) -> Order:
        return self._codec.replacement(order, replaces)

    def canonical(self, name: str) -> str:
        return self._codec.canonical(name)

    def remaining(self, command: Command, rows: Sequence[Execution]) -> Sequence[Execution]:
        return self._codec.remaining(command, rows)

    def _obstacle(self, lane: Lane) -> str:
        """Why nothing of this lane may be written now, or ""."""
        link = self._link
        if link is None or not link.is_up or not (link.is_ready or lane is Lane.CANCEL):
            return self._not_connected()
        if self.fence is not None and (why := self.fence()):
            return why
        return CHOKED if link.socket is not None and link.socket.is_full else ""

    def _write(self, operation: Operation, wire: Wire) -> None:
        if wire.via is Via.HTTP:
            self._exchange.start(operation, wire)
            return
        assert self._link is not None and self._link.socket is not None  # noqa: S101, PT018 - there was no obstacle
        try:
            self._link.socket.send(wire.body)  # first: no answer is heard before this call is over
        except TransportError as error:
            operation.fail(self._redact(str(error)))
            return
        now = self._link.loop.time()
        operation.carrier = pending = Pending(wire, now, operation)
        if type(operation.command) is Cancel:  # an order may be made anew each time, with another hash
            pending.wire = None
        self._outstanding.add(pending)
        operation.wrote(now)

    def _sent(self, pending: Pending) -> Wire | None:
        """What was sent, which is not kept while it waits; None where the codec does not give it again."""
        if pending.wire is not None or pending.operation is None:
            return pending.wire
        try:
            wire = self._codec.encode(pending.operation.command, pending.operation.encoded)
        except Exception:  # a codec of the user's may raise anything, and what was sent must be noted all the same
            log.exception("%s: a command could not be encoded again: it is not repeated", self._name)
            return None
        return wire if (wire.keys, wire.effect) == (pending.keys, pending.effect) else None

    def _release(self, operation: Operation) -> None:
        self._deadlines.discard(operation)
        self._outbox.discard(operation)
        if self._again:
            self._again.pop(operation, None)
        carrier, operation.carrier = operation.carrier, None
        if carrier is not None and carrier.heard:
            self._outstanding.discard(carrier)
        self._exchange.abandon(operation)

    def _not_connected(self) -> str:
        return f"{self._name} is closed" if self._link is None else self._link.describe()

    # -- the session's own requests

    async def ask(self, wire: Wire, timeout: float, *, login: bool = False) -> Answer | Snapshot:
        """A part of a greeting, which is outside the rate budget. Raises TransportError, Garbled or VenueError."""
        return await self._asker.ask(wire, timeout, login=login)

    async def read(self, since: float) -> Reading:
        if self._link is None:
            raise ReadFailed(self._name, self._not_connected())
        return self._readable(await self._asker.read(since))

    async def lookup(self, cancel: Cancel) -> tuple[Execution, ...] | None:
        rows = None if self._link is None else await self._asker.lookup(cancel)
        if rows is None:
            return None
        shown = tuple(map(self._shown, rows))
        for row in shown:
            self._listener.apply(row, asked=False)
        return shown

    async def cancel_all(self, timeout: float) -> Answer:
        if self._link is None:
            raise TransportError(self._not_connected(), sent=False)
        return await self._asker.cancel_all(timeout)

    # -- frames

    def _take(self, frame: Frame, request: Pending | None) -> None:
        """One frame in. request: what an HTTP frame answers. Nothing in a frame can harm the connection."""
        try:
            items = read(self._codec, frame, time.time())
        except Garbled as error:
            self._skip(error, frame, request)
            return
        try:
            self._tell(items, frame, request)
        except Exception:
            log.exception("%s: a mistake of ours in taking in a frame", self._name)

    def _tell(self, items: list[Item], frame: Frame, request: Pending | None) -> None:
        """Find whose it is, tell the ledger, then the callers."""
        matched: list[tuple[Pending, Answer | Snapshot]] = []
        others: list[Execution | Renewal] = []
        asked = False
        for item in items:
            if isinstance(item, (Execution, Renewal)):
                others.append(item)
                continue
            for pending in self._outstanding.match(item) if request is None or item.keys else (request,):
                operation = pending.operation
                if operation is not None and type(operation.command) is Cancel:  # what it is called names its order
                    matched.append((pending, item))
                    asked = True
                elif self._fits(pending, item, () if pending is request else items):
                    matched.append((pending, item))
        for other in others:
            if isinstance(other, Execution):
                self._listener.apply(self._shown(other), asked=asked)
            else:
                self._renewed(other)
        for pending, answer in matched:
            self._settle(pending, answer, frame)

    def _readable(self, reading: Reading) -> Reading:
        """The same without a secret in its rows; the very same where there is none, since a reading is known by itself."""
        if all(self._plain(text) == text for text in {row.text for row in reading.rows}):
            return reading
        return replace(reading, rows=tuple(map(self._shown, reading.rows)))

    def _shown(self, execution: Execution) -> Execution:
        """The same without a secret in its text."""
        text = self._plain(execution.text)
        return execution if text is execution.text or text == execution.text else replace(execution, text=text)

    def _plain(self, text: str) -> str:
        """A venue's words, without a secret and not too many of them."""
        return self._redact.word(text)[:MAX_TEXT] if text else text

    def _fits(self, pending: Pending, answer: Answer | Snapshot, items: Sequence[Item]) -> bool:
        """Whether the order that an answer names, and that the frame may show, can be the one that was asked about."""
        if pending.operation is None or not isinstance(answer, Answer):
            return True
        orders = (item for item in items if isinstance(item, Execution) and item.order_id == answer.order_id)
        return self._listener.bind(pending.operation, answer, next(orders, None))

    def _clear_nameless(self) -> None:
        """Answers that name nothing could be anybody's, and those who may yet get one have all been told UNKNOWN: a new
        connection makes the next answers readable again, and sends what may be repeated.
        """
        if (
            not (self._outstanding.is_unclear and len(self._outstanding))
            or self._link is None
            or self._link.socket is None
        ):
            return
        if not any(each.answer or (each.operation and each.operation.is_awaited) for each in self._outstanding):
            self._link.socket.abort("answers that name no request could not be told apart")

    def _settle(self, pending: Pending, item: Answer | Snapshot, frame: Frame) -> None:
        if pending.operation is not None and self._is_hearsay(pending, item):
            pending.operation.note("a refusal was heard that may be another session's")
            return
        owed = isinstance(item, Answer) and item.owed
        pending.heard = pending.heard or not owed
        if pending.operation is not None and isinstance(item, Answer):
            self._answered(pending.operation, pending, item, frame)
            if owed:  # else what is still to come, if it names nothing, would be taken for somebody else's
                return
            answered = item.final and item.outcome is not Outcome.UNKNOWN
            self._round_trips.append(asyncio.get_running_loop().time() - pending.asked)
            if answered or pending.operation.phase is Phase.DONE:
                self._outstanding.discard(pending)
        elif pending.answer is not None:
            self._asked(pending, pending.answer, item)

    def _is_hearsay(self, pending: Pending, item: Answer | Snapshot) -> bool:
        """Whether it may be somebody else's (rule 7)."""
        if self.fence is None or not isinstance(item, Answer) or item.outcome is not Outcome.REFUSED:
            return False
        return (pending.wire is None or pending.wire.via is Via.SOCKET) and bool(self._fenced())

    def _asked(self, pending: Pending, answer: asyncio.Future[Answer | Snapshot], item: Answer | Snapshot) -> None:
        """The answer to a request of the session's own."""
        if isinstance(item, Answer) and item.outcome is None and pending.wire and pending.wire.acknowledged:
            item = replace(item, outcome=Outcome.CONFIRMED, final=True)
        if isinstance(item, Answer) and item.retry is Retry.LATER:
            self._slow_down(Lane.READ, item)
        if isinstance(item, Snapshot) or item.final:
            self._outstanding.discard(pending)
            if not answer.done():
                answer.set_result(item)

    def _answered(self, operation: Operation, pending: Pending, answer: Answer, frame: Frame) -> None:
        if answer.retry is not None and operation.phase is Phase.WRITTEN and self._retry(operation, pending, answer):
            return
        if answer.then is not None:
            operation.note(self._plain(answer.text))
            operation.acknowledged = True
            self._continue(operation, answer.then)
            return
        text = self._plain(answer.text)
        if text != answer.text:
            answer = replace(answer, text=text)
        self._listener.answered(operation, answer, Sealed(frame.body, self._redact))

    def _continue(self, operation: Operation, wire: Wire) -> None:
        """Send what completes the request: over HTTP in its own task, which is about to look."""
        if wire.via is Via.HTTP:
            operation.follow = wire
        elif why := self._fenced():
            operation.fail(why)
        else:
            self._outstanding.discard(operation.carrier)
            self._write(operation, wire)
            if operation.carrier is not None:
                operation.carrier.wire = wire  # which the command does not give again

    def _slow_down(self, lane: Lane, answer: Answer) -> float:
        """The venue says "too fast". Returns the seconds to wait."""
        pause = RETRY_PAUSE if answer.after is None else answer.after
        self._pacer.pause(lane, pause, asyncio.get_running_loop().time())
        return pause

    def _retry(self, operation: Operation, pending: Pending, answer: Answer) -> bool:
        """Prepare a new attempt of what was not executed. False: none is left."""
        wire = self._sent(pending)
        if wire is None:
            return False
        late = answer.retry is Retry.LATER
        pause = self._slow_down(lane_of(operation), answer) if late else 0.0
        again = wire.effect is Effect.IDEMPOTENT and operation.attempts > 1  # a repeat settles, whoever waits
        deadline = math.inf if again else operation.last_deadline
        allowed = MAX_DECLINES if late else 1
        if deadline is None or operation.declines >= allowed:
            return False
        if operation.declines and wire.effect is Effect.ONCE and _form(answer) != operation.declined_as:
            self._listener.answered(
                operation,
                Answer(outcome=Outcome.UNKNOWN, text=self._plain(answer.text)),
                Sealed(b"", self._redact),
            )
            return True
        if asyncio.get_running_loop().time() + pause >= deadline:
            return False
        operation.declined_as = _form(answer)
        operation.wants_token = not late
        if operation.carrier is not None:
            self._outstanding.discard(operation.carrier)
            operation.carrier = None
        operation.unwritten(self._redact(answer.text))
        if late:
            self._outbox.put(operation, wire, ahead=True)
        return True

    def _renewed(self, renewal: Renewal) -> None:
        wire = renewal.wire

        async def fetch() -> None:
            assert wire is not None and self._link is not None  # noqa: S101, PT018 - only then it is passed on
            try:
                await self._link.greet(wire)
            except (TransportError, Garbled) as error:
                raise VenueUnreachable(self._name, self._redact(str(error))) from None

        self._bearer.accept(renewal, fetch if wire is not None else None)

    def _skip(self, error: Garbled, frame: Frame, request: Pending | None) -> None:
        self._garbled += 1
        log.warning("%s: %s (%d so far)", self._name, error, self._garbled)
        if request is not None and request.operation is not None:
            text = f"the answer (HTTP {frame.status}) could not be read"
            self._answered(request.operation, request, Answer(outcome=Outcome.UNKNOWN, text=text), frame)

    # -- health

    def health(self) -> Health:
        if self._link is None:
            return Health(state=SessionState.CLOSED, since=datetime.now(UTC), last_error=NEVER_OPENED)
        return Health(
            state=self._link.state,
            since=self._link.since,
            last_error=self._link.last_error,
            outstanding=self._deadlines.waiting,
            budget_left=self._pacer.left(self._link.loop.time()),
            round_trip=quantiles(self._round_trips),
            garbled=self._garbled,
            token_expires_at=self._bearer.expires_at,
            warning=self._warning(self._bearer.expires_at),
        )

    def _warning(self, expires: datetime | None) -> str:
        if expires is None or self._bearer.renews:
            return ""
        tense = "expired" if expires <= datetime.now(UTC) else "expires"
        return f"the token {tense} at {expires:%Y-%m-%d %H:%M:%S} UTC and cannot be renewed"


def _said(wire: Wire) -> bytes:
    """What a wire says to the venue, for somebody who reads it later."""
    if wire.via is Via.SOCKET:
        return wire.body
    return f"{wire.method} {wire.path} ".encode() + wire.body


def _form(answer: Answer) -> bool:
    """Whether the answer names an order. A venue that says one thing in two forms says it twice of one attempt."""
    return answer.order_id is not None
