"""The commands about the connection itself: login, subscriptions, cancel_on_disconnect."""

from __future__ import annotations

from adapters.qfex.simulator.connection import Outgoing, Request
from adapters.qfex.simulator.model import Refused
from adapters.qfex.simulator.venue import Venue

__all__ = ["auth", "cancel_on_disconnect", "subscribe", "unsubscribe"]


def auth(venue: Venue, request: Request) -> list[Outgoing]:
    client, values = request.connection, request.values
    if client.account:
        raise Refused("AlreadyAuthenticated", "already authenticated")
    if (values["hmac"] is None) == (values["jwt"] is None):
        raise Refused("InvalidParameter", "exactly one of hmac and jwt")
    fault = venue.login_fault(values)
    if fault:
        client.refused = True
        err = venue.variants.err(Refused("PermissionDenied", fault), request.echo, request.text)
        return venue.variants.not_logged_in(err)
    client.account = values["account_id"] or venue.account_id
    return [venue.variants.logged_in()]


def subscribe(_: Venue, request: Request) -> list[Outgoing]:
    channels = request.values["channels"]
    request.connection.channels.update(channels)
    return [Outgoing({"subscribed": channel}) for channel in channels]


def unsubscribe(_: Venue, request: Request) -> list[Outgoing]:
    channels = request.values["channels"]
    request.connection.channels.difference_update(channels)
    return [Outgoing({"unsubscribed": channel}) for channel in channels]


def cancel_on_disconnect(venue: Venue, request: Request) -> list[Outgoing]:
    request.connection.cancel_on_disconnect = request.values["cancel_on_disconnect"]
    return [venue.variants.acknowledged(request)]
