"""What was said between our side and the venue during a case, for the account of a failure. Never shows a secret."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import define, field, frozen
from msgspec.structs import replace

from router.errors import CannotExpress
from router.model import Cancel, Order
from router.redact import Redactor, Secret
from router.report import Replace
from router.venue import Answer, Codec, Command, Execution, Frame, Item, Key, Renewal, Snapshot, Spec, Via, Wire

__all__ = ["Trace", "TracedCodec"]

LONGEST = 400  # characters of a body that are shown
LAST = 9  # notes of an account
MOST = 3  # keys of a message that are shown


@frozen
class Heard:
    """A frame as it was read, with the request that it answers."""

    frame: Frame
    items: tuple[Item, ...]


@define(eq=False)
class Trace:
    """lines: what happened, in order. heard: the frames that could be read. secrets: what none of them may show;
    proofs: those of one login. sent: the
    bodies of all requests. impure: cancels that were encoded differently a second time. echo: what the venue says besides,
    in every answer.
    """

    lines: list[str] = field(factory=list)
    heard: list[Heard] = field(factory=list)
    secrets: set[str] = field(factory=set, repr=False)
    proofs: set[str] = field(factory=set, repr=False)
    sent: list[str] = field(factory=list, repr=False)
    impure: list[str] = field(factory=list)
    echo: str = field(default="", repr=False)
    redact: Redactor = field(factory=Redactor, repr=False)

    def note(self, text: str) -> None:
        self.lines.append(self.redact(text))

    def account(self) -> str:
        """The last of what happened."""
        shown = self.lines[-LAST:]
        left = len(self.lines) - len(shown)
        return "\n".join([*([f"({left} earlier lines)"] if left else []), *shown])


class TracedCodec(Codec):
    """A codec, and what it did. spec: the codec's own, with shorter times."""

    def __init__(self, codec: Codec, spec: Spec, trace: Trace) -> None:
        self._codec, self._spec, self._trace = codec, spec, trace
        trace.redact = Redactor(codec.secrets())
        trace.secrets.update(codec.secrets())

    @property
    def spec(self) -> Spec:
        return self._spec

    def encode(self, command: Command, now: float) -> Wire:
        try:
            wire = self._codec.encode(command, now)
        except CannotExpress as error:
            self._trace.note(f"the codec could not express {_said(command)}: {error}")
            raise
        except Exception as error:
            self._trace.note(f"the codec raised in encode({_said(command)}): {type(error).__name__}: {error}")
            raise
        if wire.via is Via.SOCKET and isinstance(command, Cancel) and self._codec.encode(command, now) != wire:
            self._trace.impure.append(_said(command))
        self._sent(_said(command), wire)
        return wire

    def decode(self, frame: Frame, now: float) -> Iterable[Item]:
        self._trace.note(f"  the venue said  {_frame(frame)}")
        try:
            items: list[Any] = list(self._codec.decode(frame, now))
        except Exception as error:
            self._trace.note(f"  the codec raised in decode(): {type(error).__name__}: {error}")
            raise
        strange = [item for item in items if not isinstance(item, Item) or not _is_whole(item)]
        if strange:
            self._trace.note(
                f"  the codec gave  {type(strange[0]).__name__}, which is none of Answer, Execution, ... or is not whole"
            )
            return items
        self._trace.heard.append(Heard(frame, tuple(items)))
        self._trace.secrets.update(item.token.reveal() for item in items if isinstance(item, Renewal))
        self._trace.note(f"  the codec read  {'; '.join(map(_item, items)) or 'nothing'}")
        return [self._with_echo(item) for item in items] if self._trace.echo else items

    def _with_echo(self, item: Item) -> Item:
        return replace(item, text=f"{item.text} {self._trace.echo}") if isinstance(item, Answer) else item

    def hello(self, now: float, entropy: bytes) -> Iterable[Wire]:
        for wire in self._codec.hello(now, entropy):
            self._trace.proofs.update(wire.secrets)
            self._sent("hello()", wire)
            yield wire

    def goodbye(self, now: float) -> Iterable[Wire]:
        for wire in self._codec.goodbye(now):
            self._sent("goodbye()", wire)
            yield wire

    def list_orders(self, now: float, after: str | None = None) -> Wire | None:
        return self._asked(f"list_orders(after={after!r})", self._codec.list_orders(now, after))

    def lookup(self, cancel: Cancel, now: float) -> Wire | None:
        return self._asked(f"lookup({cancel.id!r})", self._codec.lookup(cancel, now))

    def cancel_all(self, now: float) -> Wire | None:
        return self._asked("cancel_all()", self._codec.cancel_all(now))

    def remaining(self, command: Command, rows: Sequence[Execution]) -> Sequence[Execution]:
        return self._codec.remaining(command, rows)

    def replacement(self, order: Order, replaces: str) -> Order:
        return self._codec.replacement(order, replaces)

    def canonical(self, name: str) -> str:
        return self._codec.canonical(name)

    def secrets(self) -> Iterable[str]:
        return self._codec.secrets()

    def _asked(self, what: str, wire: Wire | None) -> Wire | None:
        if wire is not None:
            self._sent(what, wire)
        return wire

    def _sent(self, what: str, wire: Wire) -> None:
        self._trace.sent.append(f"{wire.path} {wire.headers} {_text(wire.body, len(wire.body))}")
        where = f"{wire.method} {wire.path} " if wire.via == "http" else ""
        body = "(hidden)" if wire.secrets or what == "hello()" else _text(wire.body)
        keys = _keys(wire.keys) or "none"
        self._trace.note(
            f"{what}\n  we sent  {where}{body}\n  to be answered by  {keys}; a repeat would be {wire.effect}"
        )


def _is_whole(item: Item) -> bool:
    """A Renewal's token must be a Secret, or it would be shown."""
    return not isinstance(item, Renewal) or isinstance(item.token, Secret)


def _keys(keys: Sequence[Key]) -> str:
    more = f" and {len(keys) - MOST} more" if len(keys) > MOST else ""
    return ", ".join(f"{verb} {name!r}" for verb, name in keys[:MOST]) + more


def _text(body: bytes, most: int = LONGEST) -> str:
    text = body.decode(errors="backslashreplace")
    return text if len(text) <= most else f"{text[:most]}... ({len(body)} bytes)"


def _frame(frame: Frame) -> str:
    status = f"HTTP {frame.status} " if frame.wire is not None else ""
    return status + (_text(frame.body) or "(an empty body)")


def _said(command: Command) -> str:
    match command:
        case Cancel():
            return f"cancel {command.kind} {command.id!r}"
        case Order():
            return f"submit {command.side} {command.type} {command.client_order_id!r}"
        case Replace():
            return f"replace {command.target.id!r}"


def _item(item: Item) -> str:
    """One line; the fields that say something."""
    match item:
        case Answer():
            outcome = "a receipt" if item.outcome is None else item.outcome.name
            keys = _keys(item.keys) or "its request"
            reasons = f" {item.cancel_reason.name}/{item.order_reason.name}" if outcome == "REFUSED" else ""
            return f"{outcome}{reasons} for {keys}" + (f" ({item.text})" if item.text else "")
        case Execution():
            return f"{item.exec_type} of {item.order_id!r}" + _facts(item)
        case Snapshot():
            return f"a list of {len(item.rows)} orders"
        case Renewal():
            return "a fresh token"


def _facts(row: Execution) -> str:
    names = ("status", "quantity", "price", "leaves_quantity", "last_quantity", "last_price", "trade_id")
    known: list[tuple[str, Any]] = [(name, getattr(row, name)) for name in names]
    return "".join(f" {name}={value}" for name, value in known if value is not None)
