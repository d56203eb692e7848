"""The link to a venue: connect, log in, notice that it is gone, connect again.

States, and what may be written in them:

    CONNECTING   the first connection and login; open() waits for it           nothing
    READY        logged in and subscribed, open orders read                    everything
    SYNCING      the same after a reconnection, open orders not yet read       cancels and reads
    BACKING_OFF  the connection is gone, the next attempt is due               nothing
    FATAL        the login was refused before it ever succeeded                nothing, and never will be
    CLOSED       close() was called                                            nothing

A login may end somebody else's: while the session's fence says why not, none is begun and no part of one is sent.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol

from router.errors import Garbled, LoginRefused, TransportError, VenueError, VenueUnreachable
from router.redact import Redactor, Secret
from router.report import Outcome, SessionState
from router.transport.websocket import HandshakeRefused, WebSocket
from router.venue import Answer, Codec, Fence, Retry, Snapshot, Wire

if TYPE_CHECKING:
    from router.transport.http import Http

__all__ = ["Link", "LinkUser"]

log = logging.getLogger("router.session")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
GROWTH = 1.5  # of the pause, when a connection did not last
STEADY = 1.0  # seconds that a connection must have lasted for the pauses to begin anew
SAME_CLOCK = 2.0  # the Date header has whole seconds
GOODBYE_TIMEOUT = 1.0
FENCE_LOOK = 0.1  # seconds between two looks at a fence that keeps us from connecting


class LinkUser(Protocol):
    """What the link needs of its session."""

    def heard(self, body: bytes) -> None:
        """A message came over the socket."""

    def lost(self, why: str) -> None:
        """The socket is gone. Called before the state changes."""

    async def ask(self, wire: Wire, timeout: float, *, login: bool = False) -> Answer | Snapshot:
        """Send a request of the session's own and wait for its answer. login: it is part of one."""

    async def logged_in(self) -> None:
        """The greetings are over; the last chance to refuse."""

    async def sync(self) -> None:
        """Read the open orders after a reconnection. Returns when done, or when the link is gone again."""

    def writable(self) -> None:
        """More may be written than before, or nothing ever will (FATAL)."""


class Link:
    """One venue's transports and their life. fence: why no login may be sent now, or ""; frames are then not joined."""

    def __init__(self, name: str, codec: Codec, redact: Redactor, user: LinkUser, fence: Fence | None = None) -> None:
        self._name, self._codec, self._redact, self._user = name, codec, redact, user
        self._fenced: Fence = fence or str
        self._joins = fence is None
        self.loop = asyncio.get_running_loop()
        self.state, self.since = SessionState.CONNECTING, datetime.now(UTC)
        self.is_ready = self.is_fatal = self._is_logged_in = False  # what the state says, for those who ask each time
        self.last_error = ""
        self.socket: WebSocket | None = None
        self.http: Http | None = None
        self._gone = asyncio.Event()
        self._pause, self._up_since = FIRST_PAUSE / GROWTH, 0.0
        self._keeper: asyncio.Task[None] | None = None
        self._accepted = False

    @property
    def is_up(self) -> bool:
        """Whether requests can be answered."""
        return self._is_logged_in and (self.socket is None or self.socket.is_open)

    @property
    def is_gone(self) -> bool:
        """Whether the connection broke since the last login."""
        return self._gone.is_set()

    def describe(self) -> str:
        """Why nothing can be written."""
        why = f": {self.last_error}" if self.last_error else ""
        return f"{self._name} is not connected ({self.state}){why}"

    # -- life

    async def open(self, *, strict: bool) -> None:
        """Connect and log in. Strict: raises VenueError; else goes on trying, unless the login is refused."""
        try:
            await self._connect()
            self._become(SessionState.READY)
        except VenueError as error:
            if strict:
                raise
            if isinstance(error, LoginRefused):
                self._become(SessionState.FATAL)
                return
            self._gone.set()
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        was_up = self.is_up
        self._become(SessionState.CLOSED)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if was_up:
            await self._say_goodbye()
        await self._disconnect()

    async def _say_goodbye(self) -> None:
        try:
            for wire in self._codec.goodbye(time.time()):
                await self._user.ask(wire, GOODBYE_TIMEOUT)
        except (TransportError, Garbled, VenueError) as error:
            log.warning("%s: closed without the venue's word for it: %s", self._name, self._redact(str(error)))

    async def _disconnect(self) -> None:
        socket, self.socket = self.socket, None
        http, self.http = self.http, None
        if socket is not None:
            await socket.close()
        if http is not None:
            await http.close()

    def _become(self, state: SessionState) -> None:
        if state is not self.state:
            self.state, self.since = state, datetime.now(UTC)
            self.is_ready, self.is_fatal = state is SessionState.READY, state is SessionState.FATAL
            self._is_logged_in = state in {SessionState.READY, SessionState.SYNCING}
            log.info("%s: %s", self._name, state)

    # -- connecting

    async def _connect(self) -> None:
        """Connect and log in. Raises LoginRefused or VenueUnreachable, and leaves nothing open then."""
        try:
            await self._open_transports()
            for wire in self._codec.hello(time.time(), secrets.token_bytes(16)):
                for secret in wire.secrets:
                    self._redact.learn(Secret(secret))
                await self.greet(wire)
            await self._user.logged_in()
            self._require_a_connection()
        except (VenueError, TransportError, Garbled) as error:
            failure = self._failure(error)
            self.last_error = failure.text
            await self._disconnect()
            raise failure from None
        except BaseException:
            await self._disconnect()
            raise
        self._accepted = True
        self._up_since = self.loop.time()
        self.last_error = ""

    async def _open_transports(self) -> None:
        spec, why = self._codec.spec, self._fenced()
        if why:  # the address itself may hold a login
            raise TransportError(why, sent=False)
        if spec.http_url is not None:
            from router.transport.http import Http  # noqa: PLC0415 - aiohttp is imported by those who speak HTTP

            self.http = Http(spec.http_url, max_body=spec.max_frame, timeout=spec.http_timeout)
            await self.http.open(probe=spec.url is None)
        if spec.url is not None:
            self.socket = WebSocket(
                on_frame=self._user.heard,
                on_lost=self._lost,
                on_drained=self._user.writable,
                max_frame=spec.max_frame,
                heartbeat=spec.heartbeat,
                joins=self._joins,
            )
            await self.socket.open(spec.url, spec.login_timeout)

    async def greet(self, wire: Wire) -> None:
        """Say one thing of the login, and wait for its answer. Raises LoginRefused or VenueUnreachable."""
        answer = await self._user.ask(wire, self._codec.spec.login_timeout, login=True)
        said = self._redact(answer.text) if isinstance(answer, Answer) else "a list"
        if not isinstance(answer, Answer) or answer.outcome in {None, Outcome.UNKNOWN}:
            raise VenueUnreachable(self._name, f"no usable answer to the login: {said}")
        if answer.outcome is Outcome.REFUSED:
            kind = VenueUnreachable if answer.retry is Retry.LATER else LoginRefused
            raise kind(self._name, f"login refused: {said}{_clock(self.socket.headers if self.socket else {})}")

    def _require_a_connection(self) -> None:
        """The socket may be gone by now, which _lost() doesn't tell before the login is over."""
        if self.socket is not None and not self.socket.is_open:
            raise TransportError("the connection was lost during the login", sent=False)

    def _failure(self, error: Exception) -> VenueError:
        """The same as a VenueError, without a secret in it."""
        if isinstance(error, VenueError):
            return error
        if isinstance(error, HandshakeRefused) and error.status in {401, 403}:
            return LoginRefused(self._name, self._redact(f"{error}{_clock(error.headers)}"))
        return VenueUnreachable(self._name, self._redact(str(error)))

    # -- reconnecting

    def _lost(self, why: str) -> None:
        why = self._redact(why)
        self._user.lost(why)
        if self._is_logged_in:
            self.last_error = why
            log.warning("%s: connection lost: %s", self._name, self.last_error)
            self._become(SessionState.BACKING_OFF)
            self._gone.set()

    async def _keep(self) -> None:
        """Reconnect whenever the connection is gone."""
        while True:
            await self._gone.wait()
            self._gone.clear()
            self._become(SessionState.BACKING_OFF)
            await self._disconnect()
            if not await self._reconnect():
                self._become(SessionState.FATAL)
                self._user.writable()
                return
            if self._codec.spec.lists:
                self._become(SessionState.SYNCING)
                self._user.writable()
                await self._sync()
            if not self.is_gone:
                self._become(SessionState.READY)
                self._user.writable()

    async def _sync(self) -> None:
        """Read the open orders, or notice that the connection is gone again, whatever that read hangs on."""
        work = [self.loop.create_task(self._user.sync()), self.loop.create_task(_happens(self._gone))]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _reconnect(self) -> bool:
        """Try until it works. False: the login is refused, and never was accepted."""
        steady = self.loop.time() - self._up_since >= STEADY
        self._pause = (
            FIRST_PAUSE if steady else min(self._pause * GROWTH, LONGEST_PAUSE)
        )  # a login proves nothing by itself
        while True:
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            await self._until_unfenced()
            try:
                await self._connect()
            except VenueError as error:
                log.warning("%s", error)
                if isinstance(error, LoginRefused) and not self._accepted:
                    return False
            except Exception:
                log.exception("%s: a mistake of ours while connecting", self._name)
            else:
                return True

    async def _until_unfenced(self) -> None:
        """Nothing is tried meanwhile, so that the pauses do not grow."""
        while why := self._fenced():
            self.last_error = why
            await asyncio.sleep(FENCE_LOOK)


async def _happens(event: asyncio.Event) -> None:
    await event.wait()


def _clock(headers: Mapping[str, str]) -> str:
    """How far our clock is from the venue's Date header: a wrong clock makes signed logins fail."""
    try:
        ahead = time.time() - parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return ""
    if abs(ahead) < SAME_CLOCK:
        return " (our clock agrees with the venue's Date header)"
    return f" (our clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the venue's Date header)"
