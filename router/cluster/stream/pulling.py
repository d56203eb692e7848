"""One venue's stream, read in order for as long as it takes: by a consumer that may be lost at any moment.

Rules:

1. The position is kept here. Whenever something is not as it should be (the connection was lost, nothing was heard, the consumer is
   gone, a message is missing), a new consumer goes on from there, or the durable one goes back to what was not acknowledged.
2. "From now on" is a moment of the server's clock: its answer's time, less what has passed here since the call. So nothing that comes
   after the call is before it. If that was long, another server may have answered, and what clocks may differ by is taken off too.
3. A stream that is not the one that was read before is read from its beginning, and one that has become shorter (a power cut) from
   where it ends: whoever listens drops what was told before.
4. No more is asked for than may lie here: MOST messages, which were not taken yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import nats.errors
from nats.aio.msg import Msg

from router.cluster.broker.connection import Connection, NoResponders
from router.errors import GatewayError, NotAuthorised

__all__ = ["Pulled", "Pulling", "now"]

log = logging.getLogger("router.cluster")

MOST: Final = 512  # messages that lie here, or are on their way
OVERLAP: Final = 500  # messages that are read again after a loss (rule 3)
ANSWER: Final = 2.0  # seconds for an answer of JetStream's
LOOK: Final = 0.1  # seconds between two looks at the connection
BEAT: Final = 1.0  # seconds between the server's signs of life
SILENCE: Final = 4.0  # seconds without one
EXPIRES: Final = 30.0  # seconds that the server keeps a request for messages
IDLE: Final = 60.0  # seconds that the server keeps a consumer that nobody asks
HELD: Final = 86_400.0  # seconds that a message may remain unacknowledged: going back is what repeats one
PAUSES: Final = (0.05, 1.0)  # seconds, the first and the longest, before another attempt
DENIED: Final = 10.0  # seconds more where NATS does not allow it
PROMPT: Final = 0.1  # seconds in which no other server becomes the stream's leader
MOST_SKEW: Final = 1.0  # seconds that the clocks of two servers may differ by
STEADY: Final = 1.0  # seconds after which an attempt has succeeded
NANO: Final = 1_000_000_000
API: Final = "$JS.API"
NO_CONSUMER: Final = 10014


def now() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the machine sleeps, where there is one."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Pulled(NamedTuple):
    """One message, who has read it, and where it was in which stream."""

    reader: Pulling
    stream: str
    sequence: int
    body: bytes


class _Refused(Exception):
    """JetStream's no."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"JetStream: {error.get('description', 'refused')}")
        self.number = error.get("err_code")


class _Lost(Exception):
    """Reading has to begin anew. The text says why."""


class Pulling:
    """Reads a stream. put: takes each message, on the loop. since: the moment of the call, by now(). durable: the consumer's name,
    where NATS is to remember what was acknowledged.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        put: Callable[[Pulled], None],
        *,
        since: float,
        strategy: str,
        durable: str | None = None,
    ) -> None:
        self.stream = stream
        self.trouble = ""
        self.is_attached = False
        self._connection, self._put = connection, put
        self._since, self._strategy, self._durable = since, strategy, durable
        self._created = ""  # when the stream was made: another time is another stream
        self._first = self._position = 0
        self._consumer = self._inbox = ""
        self._delivered = 0  # of this consumer
        self._wanted = 0  # of the request that is under way
        self._held = 0
        self._heard_at = 0.0
        self._wrong: asyncio.Future[str] | None = None
        self._done = 0
        self._replies: dict[int, str] = {}

    # -- the listener's side

    def taken(self) -> None:
        """One message does not lie here any more."""
        self._held -= 1

    async def done(self, pulled: Pulled) -> None:
        """Everything up to this one need never be told again."""
        if self._durable is None or pulled.stream != self._created:
            return
        self._done = max(self._done, pulled.sequence)
        if reply := self._replies.pop(pulled.sequence, ""):
            await self._send(reply, b"+ACK")

    # -- life

    async def run(self) -> None:
        """For ever."""
        pause, longest = PAUSES
        while True:
            begun = now()
            try:
                await self._read()
            except NotAuthorised as error:
                self._tell(str(error))
                await asyncio.sleep(DENIED)
            except NoResponders:
                self._tell("NATS has no JetStream just now")
            except (_Lost, _Refused, GatewayError, nats.errors.Error, OSError, ValueError, KeyError) as error:
                self._tell(f"{error}" or type(error).__name__)
            except Exception:
                log.exception("a mistake of ours in reading %s", self.stream)
                self._tell("a mistake of ours; see the log")
            pause = PAUSES[0] if self.is_attached and now() - begun > STEADY else min(2 * pause, longest)
            self.is_attached = False
            await asyncio.sleep(pause)

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.debug("%s is not read just now: %s", self.stream, trouble)
        self.trouble = trouble

    async def _read(self) -> None:
        """Until something is wrong."""
        while not self._connection.is_up:
            self._tell("not connected to NATS")
            await asyncio.sleep(LOOK)
        client = self._connection.client
        lives = client.stats["reconnects"]
        self._wrong = asyncio.get_running_loop().create_future()
        self._inbox = client.new_inbox()
        self._wanted = 0
        heard = await client.subscribe(self._inbox, cb=self._heard)
        try:
            await self._attach()
            self.is_attached = True
            self._tell("")
            while not self._wrong.done():
                await self._ask_for_more()
                await asyncio.wait([self._wrong], timeout=LOOK)
                if client.stats["reconnects"] != lives or not self._connection.is_up:
                    raise _Lost("the connection to NATS was lost")
                if self._wanted and now() - self._heard_at > SILENCE:
                    raise _Lost("JetStream gave no sign of life")
            raise _Lost(self._wrong.result())
        finally:
            with contextlib.suppress(nats.errors.Error):
                await heard.unsubscribe()

    # -- the consumer

    async def _attach(self) -> None:
        """Have a consumer that goes on at the position (rule 1)."""
        told = await self._ask(f"STREAM.INFO.{self.stream}", {})
        is_first = not self._created
        begin = self._begin(told)
        self._replies.clear()
        if self._durable is None:
            made = await self._create(f"{self._strategy}-{secrets.token_hex(8)}", begin)
        else:
            made = await self._go_back(self._durable, begin, int(told["state"]["last_seq"]))
        self._delivered = int(made["delivered"]["consumer_seq"])
        self._position = int(made["delivered"]["stream_seq"])
        if is_first:
            self._first, self._created = self._position, told["created"]

    def _begin(self, told: dict[str, Any]) -> dict[str, Any]:
        """Where a new consumer is to begin. told: what the stream says of itself."""
        if not self._created:
            passed = now() - self._since
            skew = min(passed, MOST_SKEW) if passed > PROMPT else 0.0
            moment = datetime.fromisoformat(told["ts"]) - timedelta(seconds=passed + skew)
            return {"deliver_policy": "by_start_time", "opt_start_time": moment.astimezone(UTC).isoformat()}
        if told["created"] != self._created:  # rule 3
            self._created, self._first, self._position, self._done = told["created"], 0, 0, 0
        known = self._position - OVERLAP if self._durable is None else self._done
        after = max(self._first, min(known, int(told["state"]["last_seq"])))
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1}

    async def _create(self, name: str, since: dict[str, Any]) -> dict[str, Any]:
        """One that is forgotten soon after nobody asks it any more."""
        self._consumer = name
        config = {"ack_policy": "none", "mem_storage": True, "num_replicas": 1, "inactive_threshold": int(IDLE * NANO)}
        return await self._created_as(config | since)

    async def _go_back(self, name: str, begin: dict[str, Any], last: int) -> dict[str, Any]:
        """The one that remembers, at what was not acknowledged: in order, and at once."""
        self._consumer = name
        try:
            known = await self._ask(f"CONSUMER.INFO.{self.stream}.{name}", {})
        except _Refused as error:
            if error.number != NO_CONSUMER:
                raise
            config = {
                "durable_name": name,
                "ack_policy": "all",
                "ack_wait": int(HELD * NANO),
                "max_ack_pending": 2 * MOST,
            }
            return await self._created_as(config | begin)
        is_ahead = int(known["ack_floor"]["stream_seq"]) > last  # rule 3
        return await self._ask(f"CONSUMER.RESET.{self.stream}.{name}", {"seq": last + 1} if is_ahead else {})

    async def _created_as(self, config: dict[str, Any]) -> dict[str, Any]:
        asked = {"stream_name": self.stream, "config": {"name": self._consumer, "replay_policy": "instant"} | config}
        return await self._ask(f"CONSUMER.CREATE.{self.stream}.{self._consumer}", asked)

    async def _ask(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        """An answer of JetStream's. Raises _Refused, _Lost, NoResponders, GatewayError."""
        asked = json.dumps(body).encode() if body else b""
        try:
            told = await self._connection.request(f"{API}.{what}", asked, timeout=ANSWER)
        except TimeoutError:
            raise _Lost("JetStream does not answer") from None
        answer: dict[str, Any] = json.loads(told)
        if error := answer.get("error"):
            raise _Refused(error)
        return answer

    # -- its messages

    async def _ask_for_more(self) -> None:
        room = MOST - self._held
        if not self._wanted and room >= MOST // 4:
            self._wanted, self._heard_at = room, now()
            terms = {"batch": room, "expires": int(EXPIRES * NANO), "idle_heartbeat": int(BEAT * NANO)}
            await self._send(
                f"{API}.CONSUMER.MSG.NEXT.{self.stream}.{self._consumer}", json.dumps(terms).encode(), self._inbox
            )

    async def _send(self, subject: str, body: bytes, reply: str = "") -> None:
        with contextlib.suppress(nats.errors.Error):  # then the connection is lost, which is noticed
            await self._connection.client.publish(subject, body, reply)

    async def _heard(self, message: Msg) -> None:
        self._heard_at = now()
        if status := (message.headers or {}).get("Status"):
            self._heard_of(status, message.headers or {})
        else:
            await self._pulled(message)
        if not self._wanted and self.is_attached:
            await self._ask_for_more()

    def _heard_of(self, status: str, headers: dict[str, str]) -> None:
        """100: a sign of life. 404, 408: the request has ended. Anything else: the consumer has."""
        if status == "100":
            if int(headers.get("Nats-Last-Consumer", "0")) > self._delivered:
                self._break("messages were lost on their way")
        elif status in {"404", "408"}:
            self._wanted = 0
        else:
            self._break(f"the consumer is gone ({status} {headers.get('Description', '').strip()})")

    def _break(self, text: str) -> None:
        if self._wrong is not None and not self._wrong.done():
            self._wrong.set_result(text)

    async def _pulled(self, message: Msg) -> None:
        found = message.metadata
        if found.consumer != self._consumer or (self._wrong is not None and self._wrong.done()):
            return
        sequence, delivered = found.sequence.stream, found.sequence.consumer
        if delivered != self._delivered + 1:
            self._break("a message was lost on its way, or somebody else reads under the same name")
            return
        self._delivered = delivered
        self._wanted = max(self._wanted - 1, 0)
        if self._durable is not None:
            if sequence <= self._done:
                await self._send(message.reply, b"+ACK")
            else:
                self._replies[sequence] = message.reply
        self._position = sequence
        self._held += 1
        self._put(Pulled(self, self._created, sequence, message.data))
