"""The bearer token of a session: fetched once for all who wait, renewed before it ends, used until it is refused."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from router.errors import LoginRefused, VenueError, VenueUnreachable
from router.redact import Redactor, Secret
from router.venue import Renewal

__all__ = ["Bearer", "TokenSource"]

log = logging.getLogger("router.bearer")

TokenSource = Callable[[], Awaitable[Renewal]]
RETRY_SECONDS = 5.0
SHORTEST = 0.2  # seconds between two renewals, however short a token lives
_TOKEN = re.compile(r"[!-~]+")


class Bearer:
    """One venue's token. source: fetches a new one, or is a fixed one; None: it comes from the codec's renewals.

    patience: seconds that a source may take.
    """

    def __init__(self, venue: str, source: TokenSource | Renewal | None, redactor: Redactor, patience: float) -> None:
        self._venue = venue
        self._redactor = redactor
        self._patience = patience
        self._fetch: Callable[[], Awaitable[None]] | None = None
        self._token: Secret | None = None
        self._expires: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None
        if isinstance(source, Renewal):
            self.accept(source)
        elif source is not None:
            self._fetch = self._from(source)

    def _from(self, source: TokenSource) -> Callable[[], Awaitable[None]]:
        async def fetch() -> None:
            try:
                async with asyncio.timeout(self._patience):
                    renewal = await source()
                self.accept(renewal)
            except VenueError:
                raise
            except Exception as error:  # noqa: BLE001 - the caller's own function may raise anything
                raise VenueUnreachable(
                    self._venue, f"no token: {self._redactor(str(error)) or type(error).__name__}"
                ) from None

        return fetch

    @property
    def expires_at(self) -> datetime | None:
        return None if self._expires is None else datetime.fromtimestamp(self._expires, UTC)

    @property
    def renews(self) -> bool:
        """Whether a new token can be had."""
        return self._fetch is not None

    def accept(self, renewal: Renewal, fetch: Callable[[], Awaitable[None]] | None = None) -> None:
        """A token has come. fetch: how to get the one after it."""
        if not _TOKEN.fullmatch(renewal.token.reveal()):
            raise VenueUnreachable(self._venue, "the token is not one: it is empty or has blanks or control characters")
        self._token, self._expires = renewal.token, renewal.expires
        self._redactor.learn(renewal.token)
        self._fetch = fetch or self._fetch
        if renewal.due is not None and self._fetch is not None:
            rest = renewal.due - time.time()
            self._schedule(rest if rest > 0 else RETRY_SECONDS)

    async def token(self) -> Secret:
        """The present token, fetched first if there is none. Raises VenueError."""
        if self._token is None:
            await self.renew(None)
        if self._token is None:
            raise LoginRefused(self._venue, "there is no token")
        return self._token

    async def renew(self, refused: Secret | None) -> None:
        """Fetch a new token, unless the refused one has been replaced already. Shared by all who wait."""
        if self._token is not refused:
            return
        if self._fetch is None:
            raise LoginRefused(self._venue, "the token was refused and there is no way to renew it; pass a fresh one")
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._once(self._fetch))
            self._renewal.add_done_callback(_retrieve)
        await asyncio.shield(self._renewal)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    async def _once(self, fetch: Callable[[], Awaitable[None]]) -> None:
        await fetch()

    def _schedule(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(SHORTEST, delay), self._renew_early)

    def _renew_early(self) -> None:
        if self._fetch is not None and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.get_running_loop().create_task(self._once(self._fetch))
            self._renewal.add_done_callback(self._renewed)

    def _renewed(self, task: asyncio.Task[None]) -> None:
        """The old token goes on being used until it is refused; meanwhile try again."""
        if not task.cancelled() and task.exception() is not None:
            log.warning("%s: could not renew the token: %s", self._venue, self._redactor(str(task.exception())))
            self._schedule(RETRY_SECONDS)


def _retrieve(task: asyncio.Task[None]) -> None:
    """Whoever waited has heard of it; nobody waiting is no reason for a warning."""
    if not task.cancelled():
        task.exception()
