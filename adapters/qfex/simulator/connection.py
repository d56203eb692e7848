"""Who is connected, what they asked, and who hears which frame."""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import define, field, frozen
from websockets.asyncio.server import ServerConnection

from adapters.qfex.simulator.model import ACCEPTED, Refused

__all__ = ["Connection", "Outgoing", "Request"]


@define(eq=False)
class Connection:
    """One client: its account once logged in, its channels, its settings."""

    number: int
    socket: ServerConnection = field(repr=False)
    account: str | None = None
    channels: set[str] = field(factory=set)
    cancel_on_disconnect: bool = False
    refused: bool = False
    gone: asyncio.Event = field(factory=asyncio.Event, repr=False)


@frozen
class Request:
    """A command that was read: its parameters, what an ack or err echoes, and its raw text."""

    connection: Connection
    values: dict[str, Any] = field(repr=False)
    echo: Any = field(repr=False)
    text: str = field(repr=False)

    @property
    def account(self) -> str:
        if self.connection.account is None:
            raise Refused("PermissionDenied", "not authenticated")
        return self.connection.account


@frozen
class Outgoing:
    """A frame and its audience: the account's subscribers of a channel, or (None) the connection that asked."""

    frame: Any
    channel: str | None = None
    account: str | None = None

    def reaches(self, connection: Connection, asker: Connection | None) -> bool:
        if self.channel is None:
            return connection is asker
        return connection.account == self.account and self.channel in connection.channels

    @property
    def reject(self) -> str:
        """The status of an order_response that rejects; empty for any other frame."""
        status: str = self.frame["order_response"]["status"] if self.channel == "order_responses" else ""
        return "" if status in ACCEPTED else status
