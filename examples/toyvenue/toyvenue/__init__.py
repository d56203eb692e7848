"""The toy venue's adapter: its credentials and its address. The venue's page is at the top of simulator.py."""

from collections.abc import Mapping
from typing import ClassVar, Self

from attrs import evolve

from router.session import Session
from router.urls import checked_url
from toyvenue.codec import SPEC, ToyCodec


class ToyVenue(Session):
    """key: the account's. url: another address. deadline: seconds that a command has by default."""

    declared: ClassVar = SPEC

    def __init__(self, key: str, *, url: str | None = None, deadline: float | None = None) -> None:
        spec = SPEC if url is None else evolve(SPEC, url=checked_url(url, "toyvenue", scheme="wss"))
        super().__init__(ToyCodec(spec, key), deadline=deadline)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """TOYVENUE_KEY; also TOYVENUE_URL."""
        return cls(environ["TOYVENUE_KEY"], url=environ.get("TOYVENUE_URL"))
