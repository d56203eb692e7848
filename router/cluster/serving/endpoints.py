"""The endpoints of one tenure: a micro service on NATS, which hands over each message with a way to answer it.

Rules:

1. No endpoint waits, and none raises: what nats-py would answer then says nothing that is certain.
2. Answers go into inboxes only: whoever could name another subject would have the gateway write there, over a lease for example.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from nats.errors import Error as NatsError
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import Service

from router.cluster import subjects, wire
from router.cluster.serving.replying import encoded, is_inbox
from router.errors import GatewayError

if TYPE_CHECKING:
    from router.cluster.broker.connection import Connection

__all__ = ["SERVICE", "Endpoints", "Send"]

log = logging.getLogger("router.cluster")

SERVICE: Final = "venue-router"
PATIENCE: Final = 1  # seconds that the server may take to say that it has understood
LEAVING: Final = 0.5  # seconds for a farewell

Send = Callable[[wire.Reply], None]
"""Answers one message."""


class Endpoints:
    """Those of one venue and tenure. heard: is given each message, as its subject and its body. about: what NATS's own tools show."""

    def __init__(
        self,
        connection: Connection,
        venue: str,
        tenure: str,
        heard: Callable[[str, bytes, Send], None],
        about: Mapping[str, str],
    ) -> None:
        self._connection, self._venue, self._tenure = connection, venue, tenure
        self._heard, self._about = heard, dict(about)
        self._service: Service | None = None

    async def open(self) -> None:
        """Let messages come, if they don't yet. Raises what nats-py does; then there is none."""
        if self._service is not None:
            return
        service = await add_service(
            self._connection.client,
            name=SERVICE,
            version=version("venue-router"),
            description="Owns venues for strategies on other machines",
            metadata=self._about,
        )
        try:
            for verb in subjects.VERBS:
                subject = subjects.commands(self._venue, verb, self._tenure)
                await service.add_endpoint(name=verb, subject=subject, handler=self._handle)
            await self._connection.client.flush(timeout=PATIENCE)
        except BaseException:
            await self._stop(service)
            raise
        self._service = service

    async def close(self) -> None:
        """Let none come any more."""
        service, self._service = self._service, None
        if service is not None:
            await self._stop(service)

    async def _stop(self, service: Service) -> None:
        try:
            async with asyncio.timeout(LEAVING):
                await service.stop()
        except (NatsError, TimeoutError, OSError) as error:
            log.debug("%s: leaving NATS: %r", self._venue, error)

    async def _handle(self, request: Request) -> None:
        message = request._msg  # noqa: SLF001 - a Request does not tell where its answer goes
        if not is_inbox(message.reply):
            return
        try:
            self._heard(message.subject, message.data, partial(self._answer, message.reply))
        except Exception:
            log.exception("%s: a mistake of ours in hearing %r", self._venue, message.subject)

    def _answer(self, to: str, said: wire.Reply) -> None:
        """Send it. Where it can't be, whoever waits will ask."""
        try:
            self._connection.send(to, encoded(said, self._venue))
        except (GatewayError, ValueError) as error:
            log.info("%s: an answer could not be sent: %s", self._venue, error)
