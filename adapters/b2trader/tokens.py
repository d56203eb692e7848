"""B2TRADER's access tokens: when one ends, and when to fetch the next."""

from __future__ import annotations

import jwt

from router.redact import Secret
from router.venue import Renewal, Wire

__all__ = ["renewal"]

TOKEN_LIFE = 3600.0  # documented, for a token that does not say
RENEW_AT = 0.8
MAX_TIME = 1e11  # beyond it a datetime cannot follow


def renewal(token: str, now: float, wire: Wire | None = None) -> Renewal:
    """A token with its end, read from the JWT's `exp` where it has one, and the moment to renew it: 80 % of its life."""
    expires = _expires(token)
    life = TOKEN_LIFE if expires is None else max(0.0, expires - now)
    return Renewal(token=Secret(token), due=now + RENEW_AT * life, expires=expires, wire=wire)


def _expires(token: str) -> float | None:
    """The unix time in the token's `exp`; None when it does not say."""
    try:
        expires = float(jwt.decode(token, options={"verify_signature": False})["exp"])
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError):
        return None
    return expires if 0 < expires < MAX_TIME else None
