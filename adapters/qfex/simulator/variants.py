"""Which variant the venue plays where its documentation contradicts itself or its clients report quirks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from attrs import define

from adapters.qfex.simulator.connection import Outgoing, Request
from adapters.qfex.simulator.frames import fill_response, order_response, twap_as_order, twap_response
from adapters.qfex.simulator.model import ACCEPTED, Event, Fill, Refused, Twap, Update

__all__ = ["Variants"]

MAX_ECHO: Final = 16_384  # characters of a command beyond which it is not echoed


@define
class Variants:
    """The variants, and how each words an answer. Set them at any time."""

    auth_reply: Literal["authenticated", "type_result"] = "authenticated"
    refusal: Literal["err", "authenticated_false", "type_failed", "close"] = "err"
    """What a bad login gets before its connection is closed."""
    ack: Literal["ack", "ack_response"] = "ack"
    ack_stop_cancel: bool = True
    """Whether an ack precedes the order_response of a stop's cancel or modify."""
    only_ack: bool = False
    """Whether a stop's cancel or modify gets an ack and no order_response."""
    empty_stop_echo: bool = True
    """Whether a stop's order_response has an empty client_order_id, whatever the command said."""
    reject_with_err: bool = False
    """Whether a reject is an err InvalidOrder to the sender instead of an order_response."""
    err_echo: Literal["object", "string", "null"] = "object"
    strangers_first: bool = False
    """Whether an unknown order's order_response precedes each answer to a trading command."""
    ioc_style: Literal["new", "old"] = "new"
    """Whether an IOC remainder ends as IOC_PARTIALLY_FILLED or IOC_CANCELLED, or as CANCELLED."""
    modify_changes_order_id: bool = False
    get_order_reply: Literal["all_orders_response", "order_response"] = "all_orders_response"
    twap_cancel_reply: Literal["order_response", "twap_response", "ack"] = "order_response"
    array_frames: bool = False
    """Whether the frames of an answer are one top-level JSON array."""
    duplicate_fills: bool = False
    cancel_all_stops: bool = True
    """Whether cancel_all_orders covers stops (undocumented)."""
    cancel_all_twaps: bool = False
    """Whether cancel_all_orders covers TWAPs (undocumented)."""

    # -- what happened

    def reported(self, events: Iterable[Event]) -> list[Outgoing]:
        """The frames that report these events, each to the subscribers of its channel."""
        return [frame for event in events for frame in self._reported(event)]

    def _reported(self, event: Event) -> list[Outgoing]:
        if isinstance(event, Fill):
            frame = Outgoing({"fill_response": fill_response(event)}, "fills", event.order.account)
            return [frame] * (2 if self.duplicate_fills else 1)
        update = Update(twap_as_order(event)) if isinstance(event, Twap) else event
        row, order = order_response(update), update.order
        if order.is_stop and order.status in ACCEPTED and self.empty_stop_echo:
            row["client_order_id"] = ""
        if order.status.startswith("IOC_") and self.ioc_style == "old":
            row["status"] = "CANCELLED"
        return [Outgoing({"order_response": row}, "order_responses", order.account)]

    def stop_answer(self, request: Request, events: list[Event]) -> list[Outgoing]:
        """The answer to a stop's cancel or modify. The first event is its own; others are of stops that it displaced."""
        own, *others = self.reported(events)
        if own.reject:
            return [own]
        acks = [self.acknowledged(request)] if self.ack_stop_cancel or self.only_ack else []
        return [*acks, *([] if self.only_ack else [own]), *others]

    def twap_answer(self, request: Request, events: list[Event]) -> list[Outgoing]:
        """The answer to a cancel that found TWAPs."""
        if self.twap_cancel_reply == "order_response":
            return self.reported(events)
        if self.twap_cancel_reply == "ack":
            return [self.acknowledged(request)]
        return [Outgoing({"twap_response": twap_response(event)}) for event in events if isinstance(event, Twap)]

    # -- that it was read, or not

    def acknowledged(self, request: Request) -> Outgoing:
        if self.ack == "ack_response":
            return Outgoing({"ack_response": True})
        return Outgoing({"ack": {"incoming_message": _short(request.echo, request.text)}})

    def err(self, refusal: Refused, echo: Any, text: str) -> Outgoing:
        """echo: the command as read. text: as it came."""
        shown = _short({"object": echo, "string": text, "null": None}[self.err_echo], text)
        return Outgoing({"err": {"error_code": refusal.code, "message": str(refusal), "incoming_message": shown}})

    def rejected(self, answer: list[Outgoing], request: Request) -> list[Outgoing]:
        """The answer, with its rejects worded as this venue words them."""
        if not self.reject_with_err:
            return answer
        errs = ((item, Refused("InvalidOrder", item.reject)) for item in answer)
        return [self.err(err, request.echo, request.text) if item.reject else item for item, err in errs]

    # -- login

    def logged_in(self) -> Outgoing:
        replies = {"authenticated": {"authenticated": True}, "type_result": {"type": "auth", "result": "success"}}
        return Outgoing(replies[self.auth_reply])

    def not_logged_in(self, err: Outgoing) -> list[Outgoing]:
        return {
            "err": [err],
            "authenticated_false": [Outgoing({"authenticated": False})],
            "type_failed": [Outgoing({"type": "auth", "result": "failed"})],
            "close": [],
        }[self.refusal]


def _short(shown: Any, text: str) -> Any:
    return shown if len(text) <= MAX_ECHO else None
