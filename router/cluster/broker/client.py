"""nats-py's client, with what must not be left as it is there. All that depends on its inner parts is in this file.

Rules, each of which nats-py 2.16 does not keep by itself:

1. tls:// is TLS: nothing is written to a server that has not shown its certificate. Nor is nats:// ever anything else, so that
   what is set is what is done.
2. The servers are those of the credentials. What a server tells of others comes before TLS, from whoever is on the way.
3. What was not written when a connection broke is not written on the next one: no command is late because of us. (What was written
   may have been lost or not, and the gateway refuses what comes after its deadline.)
4. It never gives up. A server that refuses the login, or closes the connection for whatever reason, may take it back later.
5. A connection that is broken is left at once, without waiting for a silent peer.
6. flush() is an answer to all that was said before it: nats-py's PING overtakes what waits to be written, so that a subscription was not
   there yet when it returned. And a PONG that nobody waits for any more does not end the reading.
7. A request that the server forbids raises NotAuthorised, and does not time out.
8. JetStream's API has the name that the credentials give it, for nats-py's own requests too.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import ParseResult

from nats import errors
from nats.aio import client as nats_client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.protocol.command import pub_cmd

from router.cluster.broker.calls import Call, Calls, NoResponders

__all__ = ["API", "Client", "NotTls", "Stalled"]

MOST_WAITING: Final = 8 * 1024 * 1024
"""Bytes that may wait for a server which reads nothing, until the pings tell that it is gone."""
API: Final = "$JS.API"
_VIOLATION = re.compile(
    r"permissions violation for (publish|subscription) (?:with reply of )?to \"([^\"]+)\"", re.IGNORECASE
)
_SPACE = re.compile(r"\s")


class NotTls(errors.Error):
    """The server speaks TLS where the address says that it does not, or the other way round."""


class Stalled(Exception):
    """Nothing was written: too much waits already."""


class Client(nats_client.Client):
    """One client. denied: told of each refused message or subscription: "publish" or "subscribe", and the subject. api: what JetStream's
    API is called where this user is.
    """

    def __init__(self, denied: Callable[[str, str], None], api: str = API) -> None:
        super().__init__()
        self.calls = Calls()
        self._api = api
        self._denied = denied
        self._transport = _Transport()

    # -- writing and asking

    def put(self, subject: str, body: bytes, reply: str = "") -> None:
        """publish() without a coroutine. Only while it is connected."""
        subject = self._named(subject)
        if _SPACE.search(subject):
            raise ValueError(f"subject was {subject!r}; no subject has blanks")
        if len(body) > self.max_payload:
            raise ValueError(f"a message of {len(body)} bytes is too long; this server takes {self.max_payload}")
        if self._pending_data_size > MOST_WAITING:
            raise Stalled(f"{self._pending_data_size} bytes wait for a server that reads nothing")
        command = pub_cmd(subject, reply, body)
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    def call(self, subject: str, body: bytes) -> Call:
        """A request that waits without a timer. Raises what put() does."""
        call = self.calls.begin(self._named(subject))
        try:
            self.put(subject, body, self._inbox(call))
        except BaseException:
            self.calls.unwritten(call)
            raise
        return call

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        await super().publish(self._named(subject), payload, reply, headers)

    def _named(self, subject: str) -> str:
        return self._api + subject[len(API) :] if self._api != API and subject.startswith(f"{API}.") else subject

    async def listen(self) -> None:
        """Subscribe to the own inbox, before the first call."""
        if self._resp_sub_prefix is None:
            await self._init_request_sub()

    def _inbox(self, call: Call) -> str:
        if self._resp_sub_prefix is None:
            raise errors.ConnectionClosedError
        return self._resp_sub_prefix.decode() + call.token

    async def _request_sub_callback(self, msg: Msg) -> None:
        self.calls.answered(msg.subject.rpartition(".")[2], msg)

    async def _request_new_style(
        self, subject: str, payload: bytes, timeout: float = 1, headers: dict[str, Any] | None = None
    ) -> Msg:
        """Rule 7, for all that nats-py asks itself: streams, consumers, buckets."""
        await self.listen()
        call = self.calls.begin(self._named(subject), whole=True)
        try:
            await self.publish(subject, payload, reply=self._inbox(call), headers=headers)
        except BaseException:
            self.calls.unwritten(call)
            raise
        try:
            async with asyncio.timeout(timeout):
                found: Msg = await call
                return found
        except NoResponders:
            raise errors.NoRespondersError from None
        except TimeoutError:
            raise errors.TimeoutError from None
        finally:
            self.calls.forget(call)

    # -- what the server says

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        info.pop("connect_urls", None)
        await super()._process_info(info, initial_connection)

    async def _process_err(self, err_msg: str) -> None:
        found = _VIOLATION.search(self._error_line() or err_msg)
        if found is None:
            self._err = errors.Error(f"nats: {err_msg}")
            await self._error_cb(self._err)
            await self._process_op_err(self._err)
        elif found[1].lower() == "publish":
            self.calls.forbidden(found[2])
            self._denied("publish", found[2])
        else:
            self._denied("subscribe", found[2])

    def _error_line(self) -> str:
        """As it was sent: the parser makes it lower case, and a subject is another one then."""
        line = bytes(self._ps.buf).partition(b"\r\n")[0]
        return line.decode(errors="replace") if line.startswith(b"-ERR") else ""

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        if future is not None and self._pending and self.is_connected and self._transport:  # a flush()
            self._transport.writelines(self._pending)
            self._pending, self._pending_data_size = [], 0
        await super()._send_ping(future)

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    # -- connections

    @property
    def has_nothing_to_show(self) -> bool:
        """The server wants to know who we are, and we have no credentials: it need not even say that it refuses."""
        return self._public_nkey is None and bool(self._server_info.get("auth_required"))

    async def _process_connect_init(self) -> None:
        self._end_tasks()
        await super()._process_connect_init()
        if not self.is_connected:
            self._end_tasks()
            raise errors.Error("nats: the server closed the connection while we logged in")

    def _end_tasks(self) -> None:
        """Those of a connection that has come to nothing: a second pinger would find every server stale."""
        for task in (self._reading_task, self._ping_interval_task, self._flusher_task):
            if task is not None and task is not asyncio.current_task():
                task.cancel()

    async def _attempt_reconnect(self) -> None:
        self._pending, self._pending_data_size = [], 0
        self.calls.reconnected()
        self.abort()
        while not self.is_closed:
            try:
                await super()._attempt_reconnect()
            except Exception as error:  # noqa: BLE001 - rule 4
                await self._error_cb(error)
                await asyncio.sleep(self.options["reconnect_time_wait"])
            else:
                return

    def abort(self) -> None:
        """Let go of the socket, whatever its peer does."""
        if isinstance(self._transport, _Transport):
            self._transport.abort()


class _Transport(TcpTransport):
    """Rules 1 and 5."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._wants_tls = self._has_tls = False
        self._login = b""

    def __bool__(self) -> bool:
        return True  # or the client would make one of its own

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        self.abort()
        self._wants_tls, self._has_tls, self._login = uri.scheme == "tls", False, b""
        await super().connect(uri, buffer_size, connect_timeout)

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,  # noqa: ARG002 - nats-py's signature
        connect_timeout: int,
    ) -> None:
        """Python's own way, which knows afterwards that it is TLS; nats-py's has asyncio complain at each farewell."""
        if not self._wants_tls:
            raise NotTls("the server wants TLS, and the address begins with nats://")
        if self._io_writer is None:
            raise errors.ConnectionClosedError
        host = uri if isinstance(uri, str) else uri.hostname
        await self._io_writer.start_tls(ssl_context, server_hostname=host, ssl_handshake_timeout=connect_timeout)
        self._has_tls = True

    def write(self, payload: bytes) -> None:
        """The login goes with the PING that follows it: a PING to a server that has refused it by then would have the system
        throw away the refusal.
        """
        self._check()
        if payload.startswith(b"CONNECT "):
            self._login = payload
            return
        payload, self._login = self._login + payload, b""
        super().write(payload)  # type: ignore[no-untyped-call]

    def writelines(self, payload: list[bytes]) -> None:
        self._check()
        super().writelines(payload)  # type: ignore[no-untyped-call]

    def _check(self) -> None:
        if self._wants_tls and not self._has_tls:
            raise NotTls("the server does not speak TLS, and the address begins with tls://")

    def abort(self) -> None:
        for writer in (self._io_writer, self._bare_io_writer):
            if writer is not None:
                writer.transport.abort()
