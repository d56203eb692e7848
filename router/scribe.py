"""What is written into the journal of one venue's commands and orders, and when somebody may go on because of it.

Rules:

1. A submit, a replace and whatever carries a nonce is durable before its first byte. Where the journal does not work, it is NOT_SENT.
2. A cancel goes out first and is written beside that; its caller is told once it is durable, at the deadline at the latest, and
   also when the journal does not work. The report says which.
3. What was learnt of a doubt is durable before it is told, and so is the id of an order at a venue that can't be asked.
   Everything else can be learnt anew, and nobody waits for it.
4. No secret and no signature is written: frames are redacted.
5. A command that its caller has named is written under that name, once: two of one name are a mistake of the caller. One that
   joins another is written beside it, and ends as that does. What has no name gets one that nobody has used, nor will.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import define

from router.deadlines import Deadlines
from router.ledger import Entry
from router.model import Cancel, IdKind, Order, Side, is_minted, mint_client_order_id
from router.naming import Names
from router.operation import Named, Operation, Phase, Reply
from router.record import Record
from router.redact import Sealed
from router.report import Event, Outcome, Replace
from router.venue import Answer, Effect, Intent

if TYPE_CHECKING:
    from router.journal import Journal

__all__ = ["Mass", "Scribe", "operation_id"]

LONGEST: Final = 5.0  # seconds that a disk may take while somebody waits without limit
MOST_BEGUN: Final = 2**27  # bytes of _begun: a billion commands of one process
MOST_CHARACTERS: Final = 4000  # of a frame
HELD: Final = "the journal had not written it by the deadline"


class _Frame:
    """A frame for the story: redacted and cut by the writer, not by the one who sends."""

    __slots__ = ("_sealed",)

    def __init__(self, sealed: Sealed) -> None:
        self._sealed = sealed

    def __str__(self) -> str:
        text = str(self._sealed)
        return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


_begun = bytearray()
"""A bit for each id that this process has made and that a command in a journal was called by."""


def operation_id(order: Order | None = None) -> str:
    """16 hex digits of this process and a 16-digit counter: the client order id, where that was made here and is new.

    It need not be new: an order that is built from another one has its client id.
    """
    name = order.client_order_id if order is not None and is_minted(order.client_order_id) else mint_client_order_id()
    place, bit = divmod(int(name[16:]), 8)
    if place > MOST_BEGUN:  # no counter of ours
        return operation_id()
    if place >= len(_begun):
        _begun.extend(bytes(place + 1 - len(_begun) + len(_begun) // 2))
    if _begun[place] >> bit & 1:
        return operation_id()
    _begun[place] |= 1 << bit
    return name


class Scribe:
    """One venue's part of a journal (None: there is none). account: whose orders these are; asked: whether the venue can
    be asked what is open; names: those that were used.
    """

    def __init__(self, venue: str, journal: Journal | None, account: str, *, asked: bool, names: Names) -> None:
        self._venue, self._journal, self._account, self._asked = venue, journal, account, asked
        self._names = names
        self._owing = Deadlines()
        self._masses: set[Mass] = set()

    @property
    def fault(self) -> str:
        """Why nothing is written, where something should be."""
        return "" if self._journal is None else self._journal.fault

    def end(self) -> None:
        """The Router is being closed: no cancel_all goes on, and no later run is to go on with it."""
        for mass in list(self._masses):
            mass.ended(proven=False, text="broken off: the Router was closed")

    def close(self) -> None:
        """The journal is closed: nobody is owed anything any more."""
        self._owing.close()

    # -- before and beside the send

    def intend(
        self, operation: Operation, intent: Intent, go: Callable[[], None], namesakes: Iterable[Entry] = ()
    ) -> None:
        """Write the intent, and call go when the command may leave (rules 1 and 2).

        namesakes: of a submit: the orders that are known by its client id already, so that no later run takes one for it.
        """
        if self._journal is None:
            go()
        elif operation.page:  # its intent was written when it was held, or by an earlier run
            self._readdress(operation, intent)
            go()
        elif isinstance(operation.command, Cancel) and intent.nonce is None:
            go()
            if operation.phase is not Phase.DONE:
                self._write(operation, intent)
        else:
            self._write(operation, intent, namesakes=namesakes)
            operation.waits_for = HELD
            self._journal.when(operation.page, lambda kept: self._go(operation, go, kept=kept))

    def _go(self, operation: Operation, go: Callable[[], None], *, kept: bool) -> None:
        assert self._journal is not None  # noqa: S101 - it has just told
        if operation.phase is Phase.DONE:
            return
        if kept and operation.is_wanted:
            operation.waits_for = ""
            go()
        else:
            operation.fail(self._journal.fault or "nobody waited for it any more")

    def adopt(self, operation: Operation, effect: Effect) -> None:
        """A command that another Router may have sent: it is written before anything is done about it."""
        if self._journal is not None:
            self._write(operation, Intent(effect=effect))

    def excluded(self, operation: Operation, others: Iterable[Entry]) -> None:
        """These orders have its client id and are not its own: no later run takes one of them for it either."""
        found = _strangers(others)
        if operation.page and found:
            self._put(
                "unknown", operation, {"text": "orders of others have its client id", "namesakes": found}, hurry=True
            )

    def joined(self, operation: Operation, request: Cancel, named: Named) -> None:
        """A cancel of this name is one with another that is under way (rule 5)."""
        operation.also += (named,)
        if self._journal is None or not operation.page:
            return
        facts: dict[str, Any] = {
            "verb": "cancel",
            "account": self._account,
            "effect": operation.effect,
            "symbol": _symbol(operation.command),
            "command": operation.command,
            "request": request,
            "sent": operation.attempts,
            "targets": operation.targets,
            "strategy": named.strategy,
            "joins": operation.id,
        }
        record = Record("intent", self._venue, named.id, *_names(operation), facts=facts)
        operation.page = self._journal.put(record)

    def hold(self, operation: Operation, of: Entry) -> None:
        """A cancel that will go out when its order has an id: it must not be forgotten either."""
        if self._journal is not None and not operation.page:
            self._write(operation, Intent(effect=Effect.IDEMPOTENT), of=of.op)

    def _readdress(self, operation: Operation, intent: Intent) -> None:
        """A further attempt, perhaps under another address. What it may do must be known by then: nobody waits, but it hurries."""
        operation.effect = intent.effect
        facts: dict[str, Any] = {
            "attempt": operation.attempts + 1,
            "command": operation.command,
            "effect": intent.effect,
            "targets": operation.targets,
            "frame": _Frame(intent.frame),
        }
        self._put("sent", operation, facts, hurry=True)

    def _write(self, operation: Operation, intent: Intent, of: str = "", namesakes: Iterable[Entry] = ()) -> None:
        assert self._journal is not None  # noqa: S101 - the callers have looked
        command, entry = operation.command, operation.subject
        operation.id = self._op(operation)
        operation.effect = intent.effect
        facts: dict[str, Any] = {
            "verb": _verb(command),
            "account": self._account,
            "effect": intent.effect,
            "symbol": _symbol(command),
            "command": command,
            "sent": operation.attempts,
            "frame": _Frame(intent.frame),
        }
        optional = {
            "request": None if operation.request is command else operation.request,
            "targets": operation.targets,
            "of": of,
            "nonce": intent.nonce,
            "namesakes": _strangers(namesakes),
            "strategy": "" if operation.named is None else operation.named.strategy,
            "adopted": operation.adopted,
            "sent_at": operation.sent_at if operation.adopted else None,
        }
        facts |= {name: value for name, value in optional.items() if value}
        if isinstance(command, Order) and isinstance(entry, Entry):
            entry.op = operation.id
            facts |= _known(entry) | {"minted": entry.minted}
        operation.page = self._journal.put(self._record("intent", operation, facts))

    # -- afterwards

    def sent(self, operation: Operation) -> None:
        """An attempt is on its way."""
        if operation.page:
            self._put("sent", operation, {"attempt": operation.attempts})

    def answered(self, operation: Operation, answer: Answer, raw: Sealed) -> None:
        """The venue said something that did not settle it."""
        if operation.page and operation.phase is not Phase.DONE:
            facts = {"outcome": answer.outcome, "text": answer.text, "order_id": answer.order_id, "frame": _Frame(raw)}
            self._put("answer", operation, facts)

    def lost(self, operation: Operation) -> None:
        """Its connection is gone."""
        if operation.page:
            self._put("lost", operation, {})

    def unknown(self, operation: Operation, reply: Reply) -> None:
        """Its caller is being told UNKNOWN."""
        if operation.page and not operation.doubted:
            operation.doubted = True
            self._put("unknown", operation, {"text": reply.text}, hurry=True)

    def closed(self, operation: Operation, reply: Reply) -> None:
        """It has its final reply, which is not told yet (rule 3)."""
        if self._journal is None or not operation.id:
            return
        facts = self._final(operation, reply)
        if operation.doubted:
            operation.page = self._journal.put(self._record("resolved", operation, facts))
        elif isinstance(operation.command, Order) and reply.outcome is Outcome.CONFIRMED and not self._asked:
            operation.page = self._journal.put(self._record("confirmed", operation, facts))  # rule 3
        else:
            self._put(_WORDS[reply.outcome], operation, facts)
        for named in operation.also:
            what = "resolved" if operation.doubted else _WORDS[reply.outcome]
            self._journal.put(Record(what, self._venue, named.id, *_names(operation), facts=facts), hurry=False)

    def _final(self, operation: Operation, reply: Reply) -> dict[str, Any]:
        entry = operation.subject
        facts: dict[str, Any] = {
            "outcome": reply.outcome,
            "text": reply.text,
            "status": reply.status,
            "reason": reply.cancel_reason if reply.order_reason is None else reply.order_reason,
            "origin": reply.origin,
            "notes": operation.notes,
            "taken": tuple(operation.taken),
        }
        if reply.raw is not None:
            facts["frame"] = _Frame(reply.raw)
        if isinstance(operation.command, Order) and isinstance(entry, Entry):
            facts |= _known(entry)
        if isinstance(operation.command, Replace) and isinstance(entry, Entry) and entry.op:
            self._moved(entry)
        return facts

    def _moved(self, entry: Entry) -> None:
        """A replace may have changed an order's id, which no event tells."""
        state = entry.state
        record = Record("execution", self._venue, entry.op, state.order_id, state.client_order_id, _known(entry))
        if self._journal is not None:
            self._journal.put(record, hurry=False)

    def rests(self, operation: Operation) -> None:
        """Nothing more can be learnt by asking, and nothing is left to be done: later runs keep the doubt, and let it rest."""
        if operation.page:
            text = "gone, cause unknown" if isinstance(operation.command, Cancel) else "the order has ended since"
            facts = {"rest": True, "text": text, "notes": operation.notes}
            self._put("unknown", operation, facts, hurry=True)

    def happened(self, event: Event, entry: Entry | None, side: Side | None) -> None:
        """Something happened to an order. side: of the trade, which is a part of its name."""
        if self._journal is None:
            return
        facts: dict[str, Any] = {"event": event, "side": side}
        own = entry is not None and entry.op
        if entry is not None and own:
            facts |= _known(entry)
        record = Record("execution", self._venue, own or None, event.order_id, event.client_order_id, facts)
        self._journal.put(record, hurry=False)

    # -- telling the caller

    def is_kept(self, operation: Operation) -> bool | None:
        """Whether what is to be told survives; None where there was nothing to keep."""
        if self._journal is None or not (operation.page or self._journal.fault):
            return None
        return self._journal.is_durable(operation.page)

    def may_tell(self, operation: Operation) -> bool:
        """Whether the callers may be told now; if not, pay() is called when they may, and expire() at their deadlines."""
        if (
            self._journal is None
            or not operation.page
            or self._journal.fault
            or self._journal.is_durable(operation.page)
        ):
            return True
        self._owing.watch(operation)
        self._journal.when(operation.page, lambda _: self._pay(operation))
        return False

    def _pay(self, operation: Operation) -> None:
        if self.may_tell(operation):  # what is owed may have become something else, which is not written yet
            self._owing.discard(operation)
            operation.pay()

    async def kept(self, operation: Operation, timeout: float | None) -> None:
        """Return when it survives, or when that takes too long. timeout: None is not for ever either."""
        if self._journal is not None and operation.page:
            await self._journal.written(operation.page, LONGEST if timeout is None else max(timeout, 0.0))

    # -- cancel_all

    def begin(
        self, symbol: str | None, *, own: bool, targets: Iterable[str], strategy: str | None = None, op: str = ""
    ) -> Mass | None:
        """A cancel_all begins. strategy: whose orders alone are meant; op: its name, where its caller gave it one."""
        if self._journal is None:
            return None
        facts = {
            "verb": "cancel_all",
            "account": self._account,
            "symbol": symbol,
            "own": own,
            "targets": frozenset(targets),
        }
        if strategy is not None:
            facts["strategy"] = strategy
        op = op or self._new()
        mass = self.mass(op, self._journal.put(Record("intent", self._venue, op, facts=facts)))
        self._masses.add(mass)
        return mass

    def mass(self, op: str, page: int) -> Mass:
        """One that was begun, now or in an earlier run. page: of its intent."""
        assert self._journal is not None  # noqa: S101 - there is one that it was read from
        return Mass(self._journal, self._venue, op, page, self._masses.discard)

    # -- inside

    def _op(self, operation: Operation) -> str:
        """The name of its own, or a new one."""
        if operation.named is not None:
            return operation.named.id
        return self._new(operation.command if isinstance(operation.command, Order) else None)

    def _new(self, order: Order | None = None) -> str:
        """A caller in another process may have used what this one makes."""
        op = operation_id(order)
        while op in self._names:
            op = operation_id()
        self._names.take(op)
        return op

    def _put(self, what: str, operation: Operation, facts: Mapping[str, Any], *, hurry: bool = False) -> None:
        if self._journal is not None:
            self._journal.put(self._record(what, operation, facts), hurry=hurry)

    def _record(self, what: str, operation: Operation, facts: Mapping[str, Any]) -> Record:
        order_id, client_order_id = _names(operation)
        return Record(what, self._venue, operation.id, order_id, client_order_id, facts)


_WORDS: Final = {
    Outcome.CONFIRMED: "confirmed",
    Outcome.REFUSED: "refused",
    Outcome.NOT_SENT: "not_sent",
    Outcome.UNKNOWN: "resolved",
}


@define(eq=False)
class Mass:
    """One cancel_all at one venue, as it is written. release: called when it is over."""

    journal: Journal
    venue: str
    op: str
    page: int
    release: Callable[[Mass], None]
    is_over: bool = False

    def native(self, targets: Iterable[str]) -> None:
        """The venue's own command is being given; these orders were known to be open before it."""
        self.journal.put(Record("sent", self.venue, self.op, facts={"native": True, "targets": frozenset(targets)}))

    def ended(self, *, proven: bool, text: str) -> None:
        """It is over, whatever it came to: what it left is told in its report. Only the first word counts."""
        if self.is_over:
            return
        self.is_over = True
        self.release(self)
        facts = {"outcome": "confirmed" if proven else "unknown", "text": text}
        self.journal.put(Record("confirmed" if proven else "resolved", self.venue, self.op, facts=facts))


def _strangers(namesakes: Iterable[Entry]) -> tuple[tuple[str, IdKind], ...]:
    """Those that the journal does not have as orders of ours."""
    found = [each.state for each in namesakes if not each.op]
    return tuple((state.order_id, state.kind) for state in found if state.order_id is not None)


def _known(entry: Entry) -> dict[str, Any]:
    """An order as it is known now, and the ids that a modify has replaced."""
    return {"state": entry.state, "former": tuple(sorted(entry.former))} if entry.former else {"state": entry.state}


def _verb(command: Order | Cancel | Replace) -> str:
    return {Order: "submit", Cancel: "cancel", Replace: "replace"}[type(command)]


def _symbol(command: Order | Cancel | Replace) -> str | None:
    return command.target.symbol if isinstance(command, Replace) else command.symbol


def _names(operation: Operation) -> tuple[str | None, str | None]:
    """The venue's id and the client's that a story of it is found by."""
    command, entry = operation.command, operation.subject
    if isinstance(entry, Entry):
        return entry.state.order_id, entry.state.client_order_id
    if isinstance(command, Order):
        return None, command.client_order_id
    cancel = command.target if isinstance(command, Replace) else command
    by_client = cancel.kind in {IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP}
    return (None, cancel.id) if by_client else (cancel.id, None)
