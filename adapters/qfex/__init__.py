"""QFEX: orders and cancels over its trade WebSocket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from attrs import evolve

from adapters.qfex.codec import SPEC, QfexCodec
from router.redact import fingerprint
from router.session import Session
from router.urls import checked_url
from router.venue import Spec

__all__ = ["Qfex"]


class Qfex(Session):
    """The QFEX adapter (https://docs.qfex.com).

    public_key and secret_key: an API key pair, used for an HMAC login; or jwt: a token instead. account_id: the
    sub-account to act for; None: the primary one. url: another address of the trade socket (the test venue's is
    wss://trade.qfex.io/). deadline: seconds that a command has by default. share: the part of the account's rate budget
    (12,000 units in 60 s, and as much again for cancels) that this process may use, where several use one account.

    cancel_on_disconnect: the venue's dead man's switch: it cancels when this connection drops, by whatever cause. It is
    account-wide: it takes every open order of the account, on all symbols, stops and orders placed elsewhere included. Off
    by default; armed anew on every reconnection. on_exit: "leave" disarms it when the Router is closed, so that orders go
    on resting; "cancel" leaves it armed, so that closing the Router cancels them.

    Raises ValueError unless exactly one kind of credentials is given.
    """

    declared: ClassVar[Spec] = SPEC
    """The venue as data, before any address was changed."""

    secret_settings: ClassVar[frozenset[str]] = frozenset({"secret_key", "jwt"})
    """The arguments that a configuration may only refer to."""

    def __init__(
        self,
        public_key: str | None = None,
        secret_key: str | None = None,
        *,
        jwt: str | None = None,
        account_id: str | None = None,
        url: str | None = None,
        deadline: float | None = None,
        share: float = 1.0,
        cancel_on_disconnect: bool = False,
        on_exit: Literal["leave", "cancel"] = "leave",
    ) -> None:
        if bool(public_key and secret_key) == bool(jwt) or bool(public_key) != bool(secret_key):
            raise ValueError("qfex: pass public_key and secret_key, or jwt, and not both")
        if on_exit not in {"leave", "cancel"}:
            raise ValueError(f"qfex: on_exit was {on_exit!r}; it is 'leave' or 'cancel'")
        codec = QfexCodec(
            spec=SPEC if url is None else evolve(SPEC, url=checked_url(url, "qfex", scheme="wss")),
            public_key=public_key or "",
            secret_key=secret_key or "",
            jwt=jwt or "",
            account_id=account_id,
            cancel_on_disconnect=cancel_on_disconnect,
            on_exit=on_exit,
        )
        super().__init__(codec, deadline=deadline, share=share)
        self.account = fingerprint(account_id)  # a key is replaced now and then, and the account stays the same

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Credentials from QFEX_PUBLIC_KEY and QFEX_SECRET_KEY, or QFEX_JWT; also QFEX_ACCOUNT_ID and QFEX_URL."""
        return cls(
            environ.get("QFEX_PUBLIC_KEY"),
            environ.get("QFEX_SECRET_KEY"),
            jwt=environ.get("QFEX_JWT"),
            account_id=environ.get("QFEX_ACCOUNT_ID"),
            url=environ.get("QFEX_URL"),
        )
