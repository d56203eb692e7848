"""The bucket on NATS that the leases are in: read, and written by compare-and-set.

Rules:

1. The first revision of a bucket is the time at which it is made, in milliseconds: a bucket that is made anew after NATS has lost
   everything has none that the one before it had (rule 1 of router.cluster.ownership.leasing).
2. What is there is read from the stream's leader. Other nodes could show a revision that has long been moved on from.
3. A bucket that somebody has made with other settings is used as it is. It is never changed and never deleted.
4. A key that was deleted, and a record that can't be read, have a revision and are nobody's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from nats.js import api
from nats.js.errors import BadRequestError, BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from router.cluster.ownership.leasing import Found, Record
from router.cluster.subjects import BUCKET

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

__all__ = ["Away", "Bucket", "Connected"]

STREAM: Final = f"KV_{BUCKET}"
PREFIX: Final = f"$KV.{BUCKET}."
MOST_BYTES: Final = 8192  # of a record
_RECORDS: Final = msgspec.json.Decoder(Record)
_log = logging.getLogger("router.cluster")


class Away(Exception):
    """NATS did not answer, or not with what was asked. What was to be written may have been, or may be yet."""


class Connected(Protocol):
    """What has a client of nats-py."""

    @property
    def client(self) -> Client: ...


class Bucket:
    """timeout: of each read and write. replicas: on how many nodes, where the bucket is yet to be made."""

    def __init__(self, connection: Connected, *, timeout: float, replicas: int = 1) -> None:
        self._connection, self._timeout, self._replicas = connection, timeout, replicas

    async def read(self, venue: str) -> Found:
        """Raises Away."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._read(venue)
        except Exception as error:
            raise Away(_said(error)) from error

    async def write(self, venue: str, record: Record, last: int) -> int:
        """The new revision; 0 where the record has another one than expected. Raises Away."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._kv().update(venue, msgspec.json.encode(record), last=last)
        except KeyWrongLastSequenceError:
            return 0
        except Exception as error:
            raise Away(_said(error)) from error

    async def _read(self, venue: str) -> Found:
        try:
            entry = await self._kv().get(venue)
        except KeyNotFoundError as error:
            if error.entry is not None:
                return Found(error.entry.revision, Record())
            await self._made()
            return Found(0, Record())
        return Found(entry.revision or 0, _record(entry.value))

    def _kv(self) -> KeyValue:
        return KeyValue(name=BUCKET, stream=STREAM, pre=PREFIX, js=self._stream(), direct=False)

    def _stream(self) -> JetStreamContext:
        return self._connection.client.jetstream(timeout=self._timeout)

    async def _made(self) -> None:
        """A key that isn't there may be a bucket that isn't there."""
        stream = self._stream()
        try:
            await stream.key_value(BUCKET)
        except BucketNotFoundError:
            await self._make(stream)

    async def _make(self, stream: JetStreamContext) -> None:
        config = api.StreamConfig(
            name=STREAM,
            description="which gateway of venue-router owns which venue",
            subjects=[f"{PREFIX}>"],
            storage=api.StorageType.FILE,
            num_replicas=self._replicas,
            max_msgs_per_subject=1,
            max_msg_size=MOST_BYTES,
            discard=api.DiscardPolicy.NEW,
            deny_delete=True,
            allow_rollup_hdrs=True,
            allow_direct=True,
            first_seq=int(time.time() * 1000),
        )
        try:
            await stream.add_stream(config)
        except BadRequestError:
            await stream.key_value(BUCKET)  # another gateway was first
        else:
            _log.info("made the bucket %s for leases, on %d node(s)", BUCKET, self._replicas)


def _record(value: bytes | None) -> Record:
    try:
        return _RECORDS.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Record()


def _said(error: Exception) -> str:
    """In words that go into a log: bounded, and never empty as a time-out's are."""
    if isinstance(error, TimeoutError):
        return "NATS did not answer in time"
    return f"{type(error).__name__}: {error}"[:300].replace("\n", " ")
