"""What a gateway's journal tells, copied into the venue's stream: in order, nothing left out, nothing twice.

Rules:

1. The journal is the truth, and the stream says how far its copy is: the last message of the journal's subject. Nothing else
   remembers that, so it cannot disagree.
2. Each batch is stored whole or not at all, and only where that last message is the one that we believe it to be (the server compares).
   So there is no gap and no repetition, whoever else copies the same journal, whatever answer was lost and whenever we are killed.
3. Whatever fails is tried again for ever, from rule 1 on; an entry is never skipped. The gateway waits for none of it.
4. Where the stream holds nothing of this journal, it begins with what is not older than a copy is kept.
5. A stream that is there keeps its limits: whoever set them meant them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import nats.errors
import nats.js.errors
from msgspec import Raw
from nats.js.api import Header, StorageType, StreamConfig

from router.cluster import subjects
from router.cluster.broker.connection import Connection
from router.cluster.stream.copies import MOST_AGE, Copy, encode, message_id, number_of
from router.errors import GatewayError, RouterError
from router.journal.copying import Copier, News
from router.journal.identity import identity

__all__ = ["Copying"]

log = logging.getLogger("router.cluster")

MOST: Final = 500  # entries of a batch; a server takes 1000
MOST_BYTES: Final = 4_000_000  # of a batch, about
MOST_STORED: Final = 512 * 2**20  # bytes of a new stream
LOOK: Final = 1.0  # seconds between two looks that nobody asked for
GATHER: Final = 0.02  # seconds between two batches: under load they are larger
ANSWER: Final = 3.0  # seconds for an answer of JetStream's
LASTS: Final = 3.0  # seconds after which a trouble is worth a line in the log
BREATH: Final = 32  # messages written before others of the loop get their turn
PAUSES: Final = (0.1, 2.0)  # seconds, the first and the longest, before another attempt
BEHIND: Final = frozenset({10070, 10071, 10164, 10201})  # the last message is another; there is such a message already

T = TypeVar("T")


class _Again(Exception):
    """What was believed is not so: begin with rule 1."""


class _Place(NamedTuple):
    """How far the copy is. number: of the entry, None: there is none; sequence: of its message."""

    number: int | None
    sequence: int


class Copying:
    """Copies one journal, which need not be there yet. replicas: of the stream, where it has to be made."""

    def __init__(self, connection: Connection, venue: str, path: str | os.PathLike[str], *, replicas: int = 1) -> None:
        self.trouble = ""
        """Why nothing is copied just now."""
        self._connection, self._venue, self._path, self._replicas = connection, venue, Path(path), replicas
        self._news = asyncio.Event()
        self._asking: list[asyncio.Future[None]] = []
        self._promised: list[asyncio.Future[None]] = []
        self._batches = True
        self._troubled_since, self._said = 0.0, ""
        self._reading: _Reading | None = None

    # -- the gateway's side

    def wake(self, number: int = 0) -> None:  # noqa: ARG002 - a Journal.on_durable
        """There may be something to copy."""
        self._news.set()

    async def caught_up(self, timeout: float) -> bool:
        """Whether everything that is in the journal by now is in the stream, at the latest after so many seconds."""
        caught_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append(caught_up)
        self.wake()
        await asyncio.wait([caught_up], timeout=timeout)
        return caught_up.done()

    def _promise(self) -> None:
        """The journal is about to be read."""
        self._news.clear()
        self._promised += self._asking
        self._asking.clear()

    def _keep_promises(self) -> None:
        """To its end, and all of that is in the stream."""
        for each in self._promised:
            if not each.done():
                each.set_result(None)
        self._promised.clear()

    async def run(self) -> None:
        """For ever (rule 3)."""
        pause, longest = PAUSES
        while True:
            begun = time.monotonic()
            try:
                await self._copy()
            except _Again:
                log.debug("%s: somebody else has copied the journal as well", self._venue)
            except (RouterError, nats.errors.Error, OSError, ValueError) as error:
                self._tell(f"{error}" or type(error).__name__)
            except Exception:
                log.exception("a mistake of ours in copying the journal of %s", self._venue)
                self._tell("a mistake of ours; see the log")
            finally:
                self._let_go()
            pause = PAUSES[0] if time.monotonic() - begun > longest else min(2 * pause, longest)
            await asyncio.sleep(pause)

    def _tell(self, trouble: str) -> None:
        """Loudly only if it lasts: a journal that is being opened can't be read for a moment."""
        if not self.trouble:
            self._troubled_since = time.monotonic()
        if trouble != self._said and time.monotonic() - self._troubled_since >= LASTS:
            self._said = trouble
            log.warning("%s: its journal is not copied to NATS: %s", self._venue, trouble)
        self.trouble = trouble

    def _is_well(self) -> None:
        if self._said:
            log.warning("%s: its journal is copied to NATS again", self._venue)
        self.trouble = self._said = ""

    # -- copying

    async def _copy(self) -> None:
        """Until something is wrong."""
        while not self._connection.is_up:  # noqa: ASYNC110 - it tells somebody else of its changes
            await asyncio.sleep(PAUSES[0])
        self._reading = reading = _Reading(self._path)
        self._promise()
        while not (journal := await reading.open()):
            self._keep_promises()  # there is nothing
            await self._wait()
            self._promise()
        await self._prepare()
        place = await self._place(journal)
        while True:
            self._promise()
            news = await reading.news(place.number)
            for begin, end in _batches(news):
                place = await self._publish(journal, news[begin:end], place)
            self._is_well()
            if not reading.is_at_end:
                continue
            self._keep_promises()
            if not (news or await reading.is_same()):
                raise _Again
            await self._wait()

    async def _wait(self) -> None:
        """For news, or until it is time to look."""
        await asyncio.sleep(GATHER)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await self._news.wait()

    def _let_go(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    # -- the stream

    async def _prepare(self) -> None:
        """Have the stream (rule 5)."""
        streams = self._connection.client.jsm(timeout=ANSWER)
        name, subject = subjects.stream(self._venue), subjects.events(self._venue)
        try:
            config = (await streams.stream_info(name)).config
        except nats.js.errors.NotFoundError:
            wanted = StreamConfig(
                name=name,
                subjects=[subject],
                storage=StorageType.FILE,
                max_age=MOST_AGE,
                max_bytes=MOST_STORED,
                num_replicas=self._replicas,
                deny_delete=True,
                allow_atomic=True,
            )
            config = (await streams.add_stream(wanted)).config
        if subject not in (config.subjects or []):
            raise GatewayError(f"the stream {name} is somebody else's: it does not take {subject}")
        if not config.allow_atomic or (config.num_replicas or 1) < self._replicas:
            replicas = max(config.num_replicas or 1, self._replicas)
            config = (await streams.update_stream(config, allow_atomic=True, num_replicas=replicas)).config
        self._batches = bool(config.allow_atomic)  # servers before 2.12 have no such thing: then one by one

    async def _place(self, journal: str) -> _Place:
        """How far the copy is (rule 1)."""
        streams = self._connection.client.jsm(timeout=ANSWER)
        try:
            last = await streams.get_last_msg(subjects.stream(self._venue), subjects.event(self._venue, journal))
        except nats.js.errors.NotFoundError:
            return _Place(None, 0)
        number = number_of((last.headers or {}).get(Header.MSG_ID, ""), journal)
        if number is None or last.seq is None:
            raise GatewayError(f"the last message of {subjects.event(self._venue, journal)} is none of ours")
        return _Place(number, last.seq)

    async def _publish(self, journal: str, news: Sequence[News], place: _Place) -> _Place:
        """All of them, or none (rule 2)."""
        if len(news) > 1 and not self._batches:
            for each in news:
                place = await self._publish(journal, [each], place)
            return place
        subject, batch = subjects.event(self._venue, journal), secrets.token_hex(8)
        for count, each in enumerate(news, 1):
            headers = {Header.MSG_ID.value: message_id(journal, each.number)}
            if count == 1:
                headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value] = str(place.sequence)
            if len(news) > 1:
                headers |= {Header.BATCH_ID.value: batch, Header.BATCH_SEQUENCE.value: str(count)}
            body = encode(_copy_of(each, journal))
            if count < len(news):
                await self._connection.client.publish(subject, body, headers=headers)
            if not count % BREATH:
                await asyncio.sleep(0)
        if len(news) > 1:
            headers[Header.BATCH_COMMIT.value] = "1"
        answer = await self._connection.client.request(subject, body, timeout=ANSWER, headers=headers)
        return _Place(news[-1].number, _stored(json.loads(answer.data)))


class _Reading:
    """A journal's file, in a thread of its own. Nothing of it is open before open()."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "router-copying")
        self._copier: Copier | None = None
        self._file: tuple[int, int] | None = None
        self._passed = 0  # up to here, all is too old
        self.is_at_end = False
        """Whether what was read last was all that there is."""

    async def open(self) -> str:
        """The journal's name; "" while there is none."""
        return await self._call(self._open)

    async def news(self, after: int | None) -> list[News]:
        """What comes after this entry (rule 4)."""
        return await self._call(lambda: self._read(after))

    async def is_same(self) -> bool:
        """Whether the file is still the one that is being read."""
        return await self._call(lambda: _file(self._path) == self._file)

    def close(self) -> None:
        """When the thread has ended what it is doing; nobody waits for that."""
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _open(self) -> str:
        found = identity(self._path)
        if found is None:
            return ""
        self._file = _file(self._path)
        self._copier = Copier(self._path)
        return found.id

    def _read(self, after: int | None) -> list[News]:
        assert self._copier is not None  # noqa: S101 - open() has made it
        oldest = 0.0 if after is not None else time.time() - MOST_AGE
        while True:
            found = self._copier.news(self._passed if after is None else after, MOST)
            self.is_at_end = len(found) < MOST
            young = [each for each in found if each.at >= oldest]
            if young or self.is_at_end:
                return young
            self._passed = found[-1].number

    def _close(self) -> None:
        if self._copier is not None:
            self._copier.close()


def _file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _batches(news: Sequence[News]) -> list[tuple[int, int]]:
    """Slices that are not too large for a server."""
    found, begin, size = [], 0, 0
    for place, each in enumerate(news):
        size += len(each.facts)
        if size > MOST_BYTES and place > begin:
            found.append((begin, place))
            begin, size = place, len(each.facts)
    return [*found, (begin, len(news))] if news else []


def _copy_of(news: News, journal: str) -> Copy:
    return Copy(
        journal=journal,
        number=news.number,
        venue=news.venue,
        what=news.what,
        at=news.at,
        op=news.op,
        order_id=news.order_id,
        client_order_id=news.client_order_id,
        strategy=news.strategy,
        epoch=news.epoch,
        facts=Raw(news.facts),
    )


def _stored(answer: dict[str, Any]) -> int:
    """The sequence of the last message."""
    if error := answer.get("error"):
        if error.get("err_code") in BEHIND:
            raise _Again
        raise GatewayError(f"JetStream: {error.get('description', 'refused')}")
    if answer.get("duplicate"):  # then it is not the last message, or we would have known of it
        raise _Again
    return int(answer["seq"])
