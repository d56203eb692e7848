"""One connection to NATS, which comes back by itself: requests, and what stands in their way, as our exceptions.

Rules:

1. A call's future gets the reply's bytes; or NoResponders or NotAuthorised, which say that its message has reached nobody and never
   will; or GatewayUnreachable: it was not written. Anything else, and a break of the connection too, leaves it waiting: its message may
   have arrived and its reply may still come, also over the next connection. How long, the caller decides.
2. Nothing is kept to be sent later. While there is no connection nothing is taken, and what was not written when one broke is not
   written on the next.
3. tls:// is TLS 1.2 or later with a certificate that the credentials' CA vouches for, in the name of the address. nats:// is in the
   clear, and only to this machine.
4. What cannot get better by waiting (an unknown nkey, a certificate that can't be trusted) is told at once, also where the
   opening waits.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from nats import errors

from router.cluster.broker.calls import NoResponders
from router.cluster.broker.client import Client, NotTls, Stalled
from router.cluster.broker.credentials import Credentials
from router.cluster.subjects import inbox
from router.errors import GatewayError, GatewayUnreachable, NotAuthorised
from router.redact import redact

__all__ = ["Connection", "NoResponders"]

log = logging.getLogger("router.cluster")

OPTIONS: Final[dict[str, Any]] = {
    "allow_reconnect": True,
    "connect_timeout": 2,
    "max_outstanding_pings": 2,
    "max_reconnect_attempts": -1,  # by default it gives up after 60
    "pending_size": -1,  # rule 2
    "ping_interval": 1,  # a silent server is noticed after 3 s
    "reconnect_time_wait": 0.1,
}
FLUSHING: Final = 1  # second, for what is still to be written when it closes
CLOSING: Final = 0.5  # seconds, for a farewell


def _nothing(*_: object) -> None:
    pass


class Connection:
    """See above. changed: called when a connection comes and goes. denied: called with "publish" or "subscribe" and a subject that
    the server forbids.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        name: str,
        changed: Callable[[], None] = _nothing,
        denied: Callable[[str, str], None] = _nothing,
    ) -> None:
        self.credentials = credentials
        self.client = Client(self._denial, credentials.api)
        self._name = name
        self._changed, self._denied = changed, denied
        self._inbox = inbox(credentials.strategy)
        self._is_open = False
        self._inbox_denied = False
        self._trouble: GatewayError | None = None
        self._hopeless = 0  # servers in a row that waiting won't change
        self._final: asyncio.Future[GatewayError] | None = None

    @property
    def is_up(self) -> bool:
        """Connected at this moment, as far as anybody knows."""
        return self._is_open and self.client.is_connected and not self._inbox_denied

    # -- opening and closing

    async def open(self, *, timeout: float = 5.0, wait: bool = False) -> None:
        """Connect. wait: for as long as it takes. Raises NotAuthorised or GatewayUnreachable."""
        self._final = asyncio.get_running_loop().create_future()
        connecting = asyncio.ensure_future(self._connect())
        try:
            awaited: set[asyncio.Future[Any]] = {connecting, self._final}
            await asyncio.wait(
                awaited,
                timeout=None if wait else timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if connecting.done():
                connecting.result()
                self._is_open = True
        finally:
            self._final.cancel()
            if not self._is_open:
                connecting.cancel()
                await self._leave(connecting)
        if not self._is_open:
            raise self._trouble or self._unreachable("it does not answer")
        self._tell()

    async def _connect(self) -> None:
        seed = self.credentials.seed
        self._hopeless = 0
        await self.client.connect(
            list(self.credentials.url),
            name=self._name,
            tls=_context(self.credentials),
            inbox_prefix=self._inbox,
            error_cb=self._error,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            nkeys_seed_str=None if seed is None else seed.reveal(),
            **OPTIONS,
        )
        await self.client.listen()
        await self.client.flush()  # what the server says to the subscription comes before its PONG
        if self._inbox_denied:
            raise self._why_not()

    async def close(self) -> None:
        """Write what can be written, and go. Never takes long."""
        was_open, self._is_open = self._is_open, False
        if was_open and self.client.is_connected:
            with suppress(Exception):
                await self.client.flush(FLUSHING)
        await self._leave()

    # -- talking

    def send(self, subject: str, body: bytes, reply: str = "") -> None:
        """Publish. Raises GatewayUnreachable or NotAuthorised: nothing was written; ValueError if it is too long."""
        if not self.is_up:
            raise self._why_not()
        try:
            self.client.put(subject, body, reply)
        except Stalled as error:
            raise self._unreachable(str(error)) from None

    def call(self, subject: str, body: bytes) -> asyncio.Future[bytes]:
        """A request: rule 1. Who waits no longer says forget(). Raises ValueError if it is too long."""
        if not self.is_up:
            return _failed(self._why_not())
        try:
            return self.client.call(subject, body)
        except Stalled as error:
            return _failed(self._unreachable(str(error)))

    def forget(self, call: asyncio.Future[bytes]) -> None:
        """Its reply is of no interest any more."""
        self.client.calls.forget(call)
        if call.done() and not call.cancelled():
            call.exception()  # nobody else looks

    async def request(self, subject: str, body: bytes, *, timeout: float) -> bytes:
        """A call with a time-out of its own. Raises TimeoutError as well."""
        call = self.call(subject, body)
        try:
            async with asyncio.timeout(timeout):
                return await call
        finally:
            self.forget(call)

    # -- what the client tells

    async def _disconnected(self) -> None:
        self._inbox_denied = False
        if self._is_open:
            log.warning("%s", self._trouble or f"the connection to NATS at {self._where} broke; connecting again")
            self._tell()

    async def _reconnected(self) -> None:
        self._trouble, self._hopeless = None, 0
        if self._is_open:
            log.warning("connected to NATS at %s again", self._where)
            self._tell()

    def _denial(self, operation: str, subject: str) -> None:
        log.info("NATS does not allow %s to %s to %s", self.credentials.strategy, operation, redact(subject))
        if operation == "subscribe" and subject.startswith(f"{self._inbox}."):
            self._inbox_denied = True
            self._tell()
        self._guarded(self._denied, operation, subject)

    async def _error(self, error: Exception) -> None:
        """Whatever nats-py has to say: why there is no connection, or a mistake of somebody who was called back."""
        if isinstance(error, errors.SlowConsumerError):
            log.warning("messages were lost, since they came faster than they were read: %s", redact(str(error)))
        elif isinstance(error, OSError | errors.Error | TimeoutError):
            if self.client.has_nothing_to_show and not isinstance(error, ConnectionRefusedError | TimeoutError):
                error = errors.AuthorizationError()
            self._count(self._verdict(error), hopeless=_is_hopeless(error))
            log.debug("NATS: %s", self._trouble)
        else:
            log.error("NATS: %s", redact(repr(error)), exc_info=error)

    def _count(self, trouble: GatewayError, *, hopeless: bool) -> None:
        """Rule 4: all servers, one after the other."""
        self._trouble = trouble
        self._hopeless = self._hopeless + 1 if hopeless else 0
        if self._hopeless >= len(self.credentials.url) and self._final is not None and not self._final.done():
            self._final.set_result(trouble)

    def _verdict(self, error: Exception) -> GatewayError:
        if _is_refused(error):
            who = (
                f"{self.credentials.strategy!r} with this nkey"
                if self.credentials.seed
                else "anybody without credentials"
            )
            return NotAuthorised(
                f"NATS at {self._where} does not let in {who}; give the file of credentials that belongs to it"
            )
        if isinstance(error, ssl.SSLError):
            why = getattr(error, "verify_message", "") or (error.reason or "TLS failed").replace("_", " ").lower()
            return GatewayUnreachable(
                f"the server at {self._where} can't be trusted, or does not trust us: {why}; look at ca and certificate"
            )
        why = "no answer in time" if isinstance(error, TimeoutError) else redact(str(error).removeprefix("nats: "))
        return self._unreachable(why or type(error).__name__)

    def _unreachable(self, why: str) -> GatewayUnreachable:
        return GatewayUnreachable(f"no NATS server at {self._where} can be used: {why}")

    def _why_not(self) -> GatewayError:
        if self._inbox_denied:
            return NotAuthorised(
                f"these credentials are not those of {self.credentials.strategy!r}: "
                f"NATS at {self._where} does not let them read the answers to it"
            )
        if not self._is_open:
            return self._trouble or self._unreachable("the connection is not open")
        return self._trouble or self._unreachable("not connected at the moment")

    @property
    def _where(self) -> str:
        return ", ".join(self.credentials.url)

    # -- small parts

    def _tell(self) -> None:
        self._guarded(self._changed)

    def _guarded(self, told: Callable[..., None], *arguments: str) -> None:
        """Whoever is told can't break the connection by a mistake."""
        try:
            told(*arguments)
        except Exception:
            log.exception("a mistake in what is called when the connection changes")

    async def _leave(self, *tasks: asyncio.Task[None]) -> None:
        """Close, and let go of the socket whether or not its peer says farewell."""
        closing = asyncio.ensure_future(self.client.close())
        await asyncio.wait({closing, *tasks}, timeout=CLOSING)
        self.client.abort()
        for task in (closing, *tasks):
            task.cancel()
        await asyncio.gather(closing, *tasks, return_exceptions=True)


def _is_hopeless(error: Exception) -> bool:
    return _is_refused(error) or isinstance(error, NotTls | ssl.SSLCertVerificationError)


def _is_refused(error: Exception) -> bool:
    return isinstance(error, errors.AuthorizationError) or "authorization violation" in str(error).lower()


def _context(credentials: Credentials) -> ssl.SSLContext:
    """Rule 3. Raises GatewayUnreachable where its files can't be used."""
    try:
        context = ssl.create_default_context(cafile=credentials.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if credentials.certificate is not None:
            context.load_cert_chain(credentials.certificate, credentials.key, password="")
    except (OSError, ValueError) as error:
        names = [str(path) for path in (credentials.ca, credentials.certificate, credentials.key) if path is not None]
        raise GatewayUnreachable(f"the certificates can't be read ({', '.join(names)}): {error}") from None
    return context


def _failed(error: Exception) -> asyncio.Future[bytes]:
    call: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    call.set_exception(error)
    return call
