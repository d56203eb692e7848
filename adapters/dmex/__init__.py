"""DMEX: cancels signed over the order's hash, on its WebSocket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar, Self

from attrs import evolve

from adapters.dmex.codec import SPEC, DmexCodec, OrderEncoder
from adapters.dmex.signing import load_key
from router.model import IdKind
from router.redact import fingerprint
from router.session import Session
from router.urls import checked_url
from router.venue import Budget, Spec

__all__ = ["Dmex", "OrderEncoder"]


class Dmex(Session):
    """The DMEX adapter (https://docs.dmex.app).

    One of: private_key: 64 hex digits (0x or not) or 32 bytes; keystore: a file, with its password; mnemonic: words.
    url: another address of the socket. rest_url: where GET /api/orders is answered; without it nothing can be read back,
    and an unanswered cancel stays UNKNOWN. deadline: seconds that a command has by default. budget: how fast to send, for
    example Budget(10, 1.0) for ten in a second; the venue publishes no limit. share: the part of it for this process.

    order_encoder: makes the hash and the frame data of an order; submits are NOT_SENT without one, because the venue's
    recipe is not public. Cancels need none. A signature never expires, and the one that creates an order is the one that
    cancels it: never show either.
    """

    declared: ClassVar[Spec] = SPEC
    """The venue as data, before any address was changed."""

    secret_settings: ClassVar[frozenset[str]] = frozenset({"private_key", "password", "mnemonic"})
    """The arguments that a configuration may only refer to."""

    def __init__(
        self,
        private_key: str | bytes | None = None,
        *,
        keystore: str | os.PathLike[str] | None = None,
        password: str | None = None,
        mnemonic: str | None = None,
        url: str | None = None,
        rest_url: str | None = None,
        deadline: float | None = None,
        order_encoder: OrderEncoder | None = None,
        budget: Budget | None = None,
        share: float = 1.0,
    ) -> None:
        spec = evolve(SPEC, budget=budget)
        if order_encoder is None:
            spec = evolve(spec, order_types=frozenset())
        if url is not None:
            spec = evolve(spec, url=checked_url(url, "dmex", scheme="wss"))
        if rest_url is not None:
            rest = checked_url(rest_url, "dmex", scheme="https")
            spec = evolve(spec, http_url=rest, lists=frozenset({IdKind.ORDER}))
        if order_encoder is not None:
            spec = evolve(spec, replaces=frozenset({IdKind.ORDER}))
        signer = load_key(private_key, keystore=keystore, password=password, mnemonic=mnemonic)
        super().__init__(
            DmexCodec(spec=spec, signer=signer, order_encoder=order_encoder), deadline=deadline, share=share
        )
        self.address = signer.address
        self.account = fingerprint(signer.address)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """DMEX_PRIVATE_KEY, or DMEX_KEYSTORE and DMEX_PASSWORD, or DMEX_MNEMONIC; also DMEX_URL and DMEX_REST_URL."""
        return cls(
            environ.get("DMEX_PRIVATE_KEY"),
            keystore=environ.get("DMEX_KEYSTORE"),
            password=environ.get("DMEX_PASSWORD"),
            mnemonic=environ.get("DMEX_MNEMONIC"),
            url=environ.get("DMEX_URL"),
            rest_url=environ.get("DMEX_REST_URL"),
        )
