"""B2TRADER's access tokens: when one ends, and when to fetch the next."""

from __future__ import annotations

import jwt

from router.redact import Secret
from router.venue import Renewal, Wire

__all__ = ["renewal"]

TOKEN_LIFE = 3600.0  # documented, for a token that does not say
RENEW_AT = 0.8


def renewal(token: str, now: float, wire: Wire | None = None) -> Renewal:
    """A token with its end, read from the JWT's `exp` where it has one, and the moment to renew it: 80 % of its life."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        expires = float(claims["exp"])
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError):
        expires = now + TOKEN_LIFE
    return Renewal(token=Secret(token), due=now + RENEW_AT * max(0.0, expires - now), expires=expires, wire=wire)
