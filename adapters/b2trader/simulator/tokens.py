"""Access tokens: issuing them, and telling the good ones."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

import jwt
from attrs import define, field
from jwt.types import Options

from adapters.b2trader.simulator.refusal import unauthorized

__all__ = ["Tokens"]

ISSUER: Final = "b2trader-simulator"
UNTIMED: Final[Options] = {"verify_exp": False, "verify_iat": False}  # PyJWT knows no clock but its own


@define(eq=False)
class Tokens:
    """All access tokens of the venue. `issued` counts them. clock: unix time, as the venue has it."""

    clock: Callable[[], float] = field(default=time.time, repr=False)
    issued: int = field(default=0, init=False)
    _secret: bytes = field(factory=lambda: secrets.token_bytes(32), init=False, repr=False)

    def issue(self, account_id: str, life: float) -> str:
        """A fresh token. life: seconds until its `exp`."""
        self.issued += 1
        now = int(self.clock())
        claims = {"sub": account_id, "iat": now, "exp": now + int(life), "iss": ISSUER}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def revoke(self) -> None:
        """Every token issued so far is invalid from now on, whatever its `exp`."""
        self._secret = secrets.token_bytes(32)  # not a list: two tokens of one second are the same string

    def check(self, authorization: str) -> None:
        """Raise Refusal unless this header carries a token that is good now."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized()
        try:
            claims = jwt.decode(token, self._secret, algorithms=["HS256"], issuer=ISSUER, options=UNTIMED)
            if claims["exp"] <= self.clock():
                raise unauthorized()
        except (jwt.InvalidTokenError, ValueError, RecursionError):  # a token's inside is hostile, too
            raise unauthorized() from None
