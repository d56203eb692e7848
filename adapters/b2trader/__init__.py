"""B2TRADER: orders and stop orders over its REST API."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Self

from attrs import evolve

from adapters.b2trader.codec import SPEC, B2TraderCodec
from adapters.b2trader.tokens import renewal
from router.bearer import TokenSource
from router.redact import fingerprint
from router.session import Session
from router.urls import checked_url
from router.venue import Budget, Renewal, Spec

__all__ = ["B2Trader"]

_ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,64}")


class B2Trader(Session):
    """The adapter of a B2TRADER front office (XBTFX, B2PRIME and other white labels).

    base_url: the host that the broker gave you; there is no public one. account_id: the trading account (24 hex digits).
    One of: token: an access token (health() warns before it ends), or an async callable that fetches one, called again
    at 80 % of its life and after a 401; offline_token: the long-lived API token of the terminal's settings, exchanged for
    access tokens by the adapter. deadline: seconds that a command has by default. budget: how fast to send, for example
    Budget(10, 1.0) for ten in a second; the venue publishes no limit, so by default only its own 429 slows us down. share:
    the part of the budget that this process may use.

    Raises ValueError for a base_url that is neither https nor on this machine, and unless one kind of token is given.
    """

    declared: ClassVar[Spec] = SPEC
    """The venue as data, before any address was changed."""

    secret_settings: ClassVar[frozenset[str]] = frozenset({"token", "offline_token"})
    """The arguments that a configuration may only refer to."""

    def __init__(
        self,
        base_url: str,
        account_id: str,
        token: str | Callable[[], Awaitable[str]] | None = None,
        *,
        offline_token: str | None = None,
        deadline: float | None = None,
        budget: Budget | None = None,
        share: float = 1.0,
    ) -> None:
        if bool(token) == bool(offline_token):
            raise ValueError("b2trader: pass token or offline_token, and not both")
        if not _ACCOUNT.fullmatch(account_id):
            raise ValueError(f"b2trader: account_id was {account_id!r}; it is made of letters and digits")
        codec = B2TraderCodec(
            spec=evolve(SPEC, http_url=checked_url(base_url, "b2trader", scheme="https"), budget=budget),
            account_id=account_id,
            offline_token=(offline_token or "").strip(),
        )
        super().__init__(codec, deadline=deadline, token=_source(token), share=share)
        self.account = fingerprint(account_id)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """B2TRADER_BASE_URL, B2TRADER_ACCOUNT_ID, and B2TRADER_TOKEN or B2TRADER_OFFLINE_TOKEN."""
        return cls(
            environ.get("B2TRADER_BASE_URL", ""),
            environ.get("B2TRADER_ACCOUNT_ID", ""),
            environ.get("B2TRADER_TOKEN"),
            offline_token=environ.get("B2TRADER_OFFLINE_TOKEN"),
        )


def _source(token: str | Callable[[], Awaitable[str]] | None) -> TokenSource | Renewal | None:
    if token is None:
        return None
    if isinstance(token, str):
        if not token.strip().isascii() or any(char.isspace() for char in token.strip()):
            raise ValueError("b2trader: token is not a token: it has blanks, line breaks or other characters inside")
        return renewal(token.strip(), time.time())

    async def fetch() -> Renewal:
        return renewal((await token()).strip(), time.time())

    return fetch
