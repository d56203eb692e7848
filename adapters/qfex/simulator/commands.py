"""From a message to its answer: which command it is, whether it may be asked, and the refusals.

What cannot be read or may not be asked is answered by an `err`; what the engine rejects by an order_response with a status.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from adapters.qfex.simulator import parameters, queries, session, trading
from adapters.qfex.simulator.connection import Connection, Outgoing, Request
from adapters.qfex.simulator.model import Refused
from adapters.qfex.simulator.venue import Venue

__all__ = ["TRADING", "execute"]

Command: TypeAlias = Callable[[Venue, Request], list[Outgoing]]

TRADING_COMMANDS: Final[dict[str, Command]] = {
    "add_order": trading.add_order,
    "cancel_order": trading.cancel_order,
    "cancel_all_orders": trading.cancel_all_orders,
    "cancel_stop_order": trading.cancel_stop_order,
    "modify_order": trading.modify_order,
    "modify_stop_order": trading.modify_stop_order,
    "add_twap": trading.add_twap,
    "close_position": trading.close_position,
}
TRADING: Final = frozenset(TRADING_COMMANDS)
"""The commands to which the switches apply when they name none."""

COMMANDS: Final[dict[str, Command]] = {
    "auth": session.auth,
    "subscribe": session.subscribe,
    "unsubscribe": session.unsubscribe,
    "cancel_on_disconnect": session.cancel_on_disconnect,
    **TRADING_COMMANDS,
    "get_order": queries.get_order,
    "get_user_orders": queries.get_user_orders,
    "get_user_trades": queries.get_user_trades,
}


def execute(venue: Venue, client: Connection, name: str, message: Any, text: str) -> list[Outgoing]:
    """Execute what was read and word the answer. text: the message as it came."""
    echo = message
    try:
        command, params = _command(client, name), _params(message)
        echo = parameters.echo(name, params)
        request = Request(client, parameters.read(name, params), echo, text)
        return venue.variants.rejected(command(venue, request), request)
    except Refused as refusal:
        return [venue.variants.err(refusal, echo, text)]


def _command(client: Connection, name: str) -> Command:
    command = COMMANDS.get(name)
    if command is None:
        raise Refused("InvalidParameter", "unknown type")
    if name != "auth" and client.account is None:
        raise Refused("PermissionDenied", "not authenticated")
    return command


def _params(message: dict[str, Any]) -> dict[str, Any]:
    params = message.get("params")
    if not isinstance(params, dict):
        raise Refused("InvalidParameter", "params must be an object")
    return params
