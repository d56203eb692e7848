"""Who and what the venue is, apart from its sockets: its accounts and keys, its clock, its exchange."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from attrs import Factory, define, field

from adapters.qfex.simulator.engine import Engine
from adapters.qfex.simulator.exchange import Exchange
from adapters.qfex.simulator.model import SYMBOLS, Fill, Instrument, Order, Twap
from adapters.qfex.simulator.variants import Variants
from router.testing import Simulator

__all__ = ["Venue", "signature"]

SKEW_ALLOWANCE: Final = 900.0  # seconds; unpublished, taken from the window in which nonces must be unique


def signature(secret: str, nonce: str, unix_ts: int) -> str:
    """The documented login signature: HMAC-SHA256 over `nonce:unix_ts`, keyed by the secret's own text, in hex."""
    return hmac.new(secret.encode(), f"{nonce}:{unix_ts}".encode(), hashlib.sha256).hexdigest()


def _random_jwt() -> str:
    return ".".join(("eyJ" + secrets.token_urlsafe(24), "eyJ" + secrets.token_urlsafe(48), secrets.token_urlsafe(32)))


def _equal(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())


@define(eq=False, kw_only=True)
class Venue(Simulator):
    """Quantities in base units, prices in quote units, times in seconds."""

    variants: Variants = field(factory=Variants)
    public_key: str = Factory(lambda: f"qfex_pub_{secrets.token_hex(16)}")
    secret_key: str = field(factory=lambda: f"qfex_secret_{secrets.token_hex(16)}", repr=False)
    jwt: str = field(factory=_random_jwt, repr=False)
    account_id: str = Factory(lambda: str(uuid4()))
    """The master account, for logins that name none."""
    sub_accounts: tuple[str, ...] = Factory(lambda: (str(uuid4()),))
    symbols: dict[str, Instrument] = field(factory=lambda: dict(SYMBOLS), repr=False)
    clock_skew: float = 0.0
    """How far the venue's clock is ahead of ours, in its Date header and in judging a login's unix_ts."""
    engine: Engine = field(
        init=False, repr=False, default=Factory(lambda self: Engine(self.symbols, self.now), takes_self=True)
    )
    exchange: Exchange = field(
        init=False, repr=False, default=Factory(lambda self: Exchange(self.engine), takes_self=True)
    )
    nonces: set[str] = field(factory=set, init=False, repr=False)
    """Those that have logged in."""

    def now(self) -> float:
        """Unix time by the venue's clock."""
        return time.time() + self.clock_skew + self.faults.skew

    # -- state

    @property
    def book(self) -> dict[str, Order]:
        """Open orders of all accounts by order_id, stops aside."""
        return self.engine.book

    @property
    def stops(self) -> dict[str, Order]:
        return self.engine.stops

    @property
    def twaps(self) -> dict[str, Twap]:
        return self.exchange.twaps

    @property
    def twap_history(self) -> dict[str, Twap]:
        """Every TWAP ever."""
        return self.exchange.twap_history

    @property
    def history(self) -> dict[str, Order]:
        """Every order and stop ever, with its last status."""
        return self.engine.history

    @property
    def trades(self) -> list[Fill]:
        return self.engine.trades

    @property
    def positions(self) -> dict[str, Decimal]:
        """The master account's positions by symbol, signed; flat ones are absent."""
        return self.engine.positions[self.account_id]

    # -- who may log in

    def login_fault(self, values: dict[str, Any]) -> str | None:
        """What is wrong with the parameters of an auth that has either hmac or jwt."""
        if values["account_id"] not in {None, self.account_id, *self.sub_accounts}:
            return "unknown account"
        if values["hmac"]:
            return self._hmac_fault(values["hmac"])
        return None if _equal(values["jwt"], self.jwt) else "invalid token"

    def _hmac_fault(self, login: dict[str, Any]) -> str | None:
        """A nonce is used up by a valid signature only."""
        nonce, unix_ts = login["nonce"], login["unix_ts"]
        proven = _equal(login["signature"], signature(self.secret_key, nonce, unix_ts))
        if not proven or login["public_key"] != self.public_key:
            return "invalid key or signature"
        if abs(unix_ts - self.now()) > SKEW_ALLOWANCE:
            return "unix_ts out of range"
        if nonce in self.nonces:
            return "nonce was used before"
        self.nonces.add(nonce)
        return None
