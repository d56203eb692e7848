"""ccxt's words: a command is one of its methods, run up to the signed request; an answer is handed back and read by it.

The status code comes first: what ccxt makes of a 5xx or a redirect is not asked. A refusal is one that the table of errors
knows. "No such order" stands for filled and cancelled alike on many exchanges, and an accepted cancel often says no more
than that it was accepted: then the order is read, and what that shows is the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from adapters.ccxt_bridge.answers import Failure, ended, row_of, unresolved, unsent
from adapters.ccxt_bridge.building import secrets
from adapters.ccxt_bridge.calling import Caller, Request, Run, Unreadable, without_query
from adapters.ccxt_bridge.deriving import Markets
from adapters.ccxt_bridge.errors import AT_ONCE, UNKNOWN, Verdict, judge
from adapters.ccxt_bridge.overriding import overridden
from adapters.ccxt_bridge.placing import REOPEN, Arguments, arguments
from adapters.ccxt_bridge.preliminary import is_preliminary
from adapters.ccxt_bridge.rows import execution, name_of, status_of
from adapters.ccxt_bridge.trying import narrowed
from router.errors import CannotExpress
from router.model import Cancel, IdKind, Order
from router.report import OrdStatus, Outcome
from router.urls import checked_url
from router.venue import Answer, Codec, Command, Effect, Frame, Item, Retry, Snapshot, Spec, Via, Wire

__all__ = ["Call", "CcxtCodec"]

_ID = re.compile(r"(?!\.+$)[^\s/\\?#%&\x00-\x1f]{1,200}")  # it may stand in a path, where ccxt puts it unquoted
_CLIENT_ID = re.compile(r"[^\x00-\x20]{1,200}")  # where these are declared, ccxt quotes them
MAX_PAUSE: Final = 3600.0
MAX_TRIES: Final = 20
THROTTLED: Final = frozenset({418, 429})


class Call(Wire, frozen=True, kw_only=True, eq=False):
    """A request of a run that stands still. verb: what is asked; about: of what; made: when it was signed (wall time).

    follows: another request of the same command came before it, and counts as the attempt. accepted: of a look-up, whether the cancel before it was.
    tries: how often the same look-up was asked before, with a nonce that came too late. asked: the request where its run stands. again: another run up to it, if there is a way: an answer that is read a second
    time says the same, though its run has gone on.
    """

    verb: str
    about: Order | Cancel | None
    run: Run
    asked: Request | None = None
    again: Callable[[], Run] | None = None
    made: float
    follows: bool = False
    accepted: bool = False
    tries: int = 0

    @property
    def is_preliminary(self) -> bool:
        """Whether it is a question that comes before a command, of which nothing has been sent yet."""
        return self.verb in {"cancel", "place"} and self.asked is not None and is_preliminary(self.asked)


class CcxtCodec(Codec):
    """The words of one exchange object. spec: as derived; client_order_ids: whether submits carry them."""

    def __init__(self, caller: Caller, spec: Spec, markets: Markets, *, client_order_ids: bool = True) -> None:
        self._spec, self._markets, self._caller = spec, markets, caller
        self._client_order_ids = client_order_ids
        self.latest: Call | None = None
        """The last command that was signed: an exchange may want what is signed later to arrive later."""

    @property
    def spec(self) -> Spec:
        return self._spec

    def narrow(self) -> None:
        """With the markets known: what cannot be done is no longer declared. Raises ValueError when nothing is left."""
        self._spec = narrowed(self._caller, self._spec, self._markets, client_ids=self._client_order_ids)

    @property
    def unvouched(self) -> str:
        """Why something is not done here, and what to do."""
        return self._markets.unvouched

    def secrets(self) -> Iterable[str]:
        return secrets(self._caller.exchange)

    # -- outbound

    def encode(self, command: Command, now: float) -> Wire:
        match command:
            case Cancel():
                effect = Effect.ONCE if command.kind is IdKind.CLIENT_ORDER else Effect.IDEMPOTENT
                call = self._call("cancel", "cancel_order", _address(command), command, effect, now)
            case Order():
                named = arguments(command, self._caller.exchange, self._markets, client_id=self._client_order_ids)
                self._check_options(command, named)
                call = self._call("place", "create_order", named, command, Effect.ONCE, now)
            case _:
                raise CannotExpress(f"{command.venue} has no way to modify an order")
        self.latest = call
        return call

    def _check_options(self, order: Order, named: Arguments) -> None:
        """Raise CannotExpress for options that would change what the order itself says."""
        if not order.options:
            return
        *terms, params = named
        own = {name: value for name, value in params.items() if name not in order.options}
        run = self._caller.call("create_order", *terms, own)
        run.coroutine.close()
        said = [*terms, self._caller.exchange.markets[order.symbol]["id"], *own.values()]
        if run.request is not None and is_preliminary(run.request):
            raise CannotExpress(f"{order.venue}: options cannot be checked while ccxt asks something else first")
        taken = [] if run.request is None else overridden(order.options, run.request, said)
        if taken:
            raise CannotExpress(f"{order.venue}: options had {', '.join(taken)}; an Order has fields for that")

    def list_orders(self, now: float, after: str | None = None) -> Wire | None:
        known = self._markets.vouched
        if known is None:
            return None
        return self._call("list", "fetch_open_orders", (None, None, None, dict(known.listing)), None, Effect.READ, now)

    def lookup(self, cancel: Cancel, now: float) -> Wire | None:
        return self._reading("lookup", cancel, now)

    def _reading(self, verb: str, cancel: Cancel, now: float) -> Call | None:
        """The request for one order; None: the exchange cannot be asked."""
        if self._caller.exchange.has.get("fetchOrder") is not True or cancel.kind not in self._spec.cancel_kinds:
            return None
        try:
            return self._call(verb, "fetch_order", _address(cancel), cancel, Effect.READ, now)
        except CannotExpress:
            return None

    def _call(
        self, verb: str, method: str, named: tuple[Any, ...], about: Order | Cancel | None, effect: Effect, now: float
    ) -> Call:
        again = partial(self._caller.call, method, *named)
        run = again()
        if run.request is None:
            why = "it makes no request" if run.error is None else _words(run, run.error)
            why += f" {REOPEN}" if type(run.error).__name__ == "BadSymbol" else ""
            raise CannotExpress(f"{about.venue if about else self._spec.title}: {why}")
        name = about.client_order_id if isinstance(about, Order) else about.id if about else ""
        call = Call(keys=((verb, name),), effect=effect, verb=verb, about=about, run=run, again=again, made=now)
        return self._sent(call)

    def _sent(self, call: Call) -> Call:
        """The same, as a request to be sent: the one where its run stands."""
        request = call.run.request
        assert request is not None  # noqa: S101 - whoever calls this has looked
        try:
            _check(request.url)
        except ValueError as error:
            raise CannotExpress(str(error)) from None
        return replace(
            call,
            via=Via.HTTP,
            method=request.method,
            path=request.url,
            headers=request.headers,
            body=request.body,
            asked=request,
        )

    # -- inbound

    def decode(self, frame: Frame, now: float) -> Iterable[Item]:
        call = frame.wire
        assert isinstance(call, Call)  # noqa: S101 - this venue speaks HTTP only, and all is made above
        if call.run.request is not call.asked and call.again is not None:
            again = call.again()
            call = replace(call, run=again, asked=again.request)
        failed = self._hear(call, frame)
        if failed is not None and call.is_preliminary:
            return [unsent(failed)]
        if failed is None and call.run.request is not None:
            return [self._further(call, now)]
        readers: Mapping[str, Callable[[Call, Failure | None, float], Iterator[Item]]] = {
            "cancel": self._cancelled,
            "resolve": self._resolved,
            "place": self._placed,
            "lookup": self._looked_up,
            "list": self._listed,
        }
        return readers[call.verb](call, failed, now)

    def _hear(self, call: Call, frame: Frame) -> Failure | None:
        """Hand the answer to ccxt, as far as the status allows; why it is none. Raises Unreadable."""
        said = f"HTTP {frame.status}"
        if frame.status in THROTTLED:
            return Failure(Verdict(retry=Retry.LATER, after=_retry_after(frame)), said)
        if frame.status >= 500 or not (200 <= frame.status < 300 or 400 <= frame.status < 500):
            return Failure(UNKNOWN, said)
        self._caller.answer(call.run, frame)
        error, success = call.run.error, frame.status < 300
        if isinstance(error, Unreadable) and success and not call.is_preliminary:
            raise error
        if error is not None:
            once = call.effect is Effect.ONCE
            return Failure(judge(error, frame.status, once=once), f"{said}: {_words(call.run, error)}")
        if call.run.request is not None:  # it goes on, though this was an error
            return None
        return None if success else Failure(UNKNOWN, said)

    def _further(self, call: Call, now: float) -> Answer:
        """A method of several requests: the next one."""
        following = self._sent(replace(call, made=now, follows=not call.is_preliminary, again=None))
        return Answer(outcome=None, final=False, text="the first of several requests was answered", then=following)

    # -- cancels

    def _cancelled(self, call: Call, failed: Failure | None, now: float) -> Iterator[Item]:
        cancel = _cancel(call)
        if failed is not None:
            if failed.verdict.missing:
                yield self._read_instead(cancel, failed.text, now, accepted=False)
            else:
                yield failed.answer()
            return
        order, shown = call.run.result, name_of(call.run.result)
        by_id = cancel.kind is not IdKind.CLIENT_ORDER
        order_id = shown or (cancel.id if by_id else None)
        if by_id and order_id != cancel.id:
            yield Answer(outcome=Outcome.UNKNOWN, text=f"the answer names another order: {str(shown)[:64]}")
        elif self._markets.vouched is None:  # ccxt calls many a receipt a cancellation
            yield self._read_instead(cancel, "accepted", now, accepted=True)
        elif order_id is None or (verdict := ended(order, order_id, accepted=True)) is None:
            yield self._read_instead(cancel, "accepted, and not said what became of the order", now, accepted=True)
        else:
            yield from verdict

    def _read_instead(self, cancel: Cancel, text: str, now: float, *, accepted: bool) -> Answer:
        """The answer does not say what became of the order: read it."""
        found = self._reading("resolve", cancel, now)
        if found is not None:
            found = replace(found, follows=True, accepted=accepted)
            return Answer(outcome=None, final=False, text=text, then=found)
        if accepted:
            return Answer(outcome=None, final=False, text=text)
        return Answer(outcome=Outcome.UNKNOWN, text=f"{text}; the exchange cannot be asked for one order")

    def _resolved(self, call: Call, failed: Failure | None, now: float) -> Iterator[Item]:
        """The order of a cancel that was accepted, or of which the exchange said that there is no such open order."""
        cancel, order = _cancel(call), call.run.result
        if failed is not None:
            late = failed.verdict.after == AT_ONCE and call.tries < MAX_TRIES
            again = self._reading("resolve", cancel, now) if late else None
            if again is not None:
                again = replace(again, follows=True, accepted=call.accepted, tries=call.tries + 1)
                yield Answer(outcome=None, final=False, text=failed.text, then=again)
            else:
                yield unresolved(failed, accepted=call.accepted)
            return
        row = row_of(order, cancel)
        verdict = ended(order, row.order_id, accepted=call.accepted)
        if verdict is not None:
            yield from verdict
            return
        yield row
        if call.accepted:
            yield Answer(outcome=None, final=False, text=f"accepted, and the order is still {row.text or 'there'}")
        else:
            yield Answer(outcome=Outcome.UNKNOWN, text=f"no such open order, and it is shown as {row.text or 'there'}")

    # -- placements and reads

    def _placed(self, call: Call, failed: Failure | None, now: float) -> Iterator[Item]:
        if failed is not None:
            yield failed.answer()
            return
        order, order_id = call.run.result, name_of(call.run.result)
        if order_id is None:
            yield Answer(outcome=Outcome.UNKNOWN, text="the answer names no order")
            return
        status = status_of(order)
        if status is OrdStatus.REJECTED:
            yield Answer(outcome=Outcome.REFUSED, status=status, order_id=order_id, text="rejected")
            return
        shown = execution(order, IdKind.ORDER, order_id, is_listed=False)
        if status is None and not shown.text:  # told, and not understood, is not new
            status = OrdStatus.NEW
        yield replace(shown, status=status)
        yield Answer(outcome=Outcome.CONFIRMED, status=status, order_id=order_id, text=shown.text)

    def _looked_up(self, call: Call, failed: Failure | None, now: float) -> Iterator[Item]:
        if failed is None:
            yield Snapshot(rows=(row_of(call.run.result, _cancel(call)),))
        elif failed.verdict.missing:
            yield Snapshot(rows=())
        else:
            yield failed.answer()

    def _listed(self, call: Call, failed: Failure | None, now: float) -> Iterator[Item]:
        if failed is not None:
            yield failed.answer()
            return
        orders = call.run.result
        if not isinstance(orders, list):
            raise Unreadable
        markets = self._caller.exchange.markets or {}
        rows = [row_of(order, None) for order in orders]
        own = [row for row in rows if row.symbol not in markets or self._markets.cover(markets[row.symbol])]
        yield Snapshot(rows=tuple(own))


def _cancel(call: Call) -> Cancel:
    assert isinstance(call.about, Cancel)  # noqa: S101 - so it was made
    return call.about


def _address(cancel: Cancel) -> tuple[str, str | None, dict[str, Any]]:
    """id, symbol and params, as ccxt's cancel_order and fetch_order take them. Raises CannotExpress."""
    by_client = cancel.kind is IdKind.CLIENT_ORDER
    if not (_CLIENT_ID if by_client else _ID).fullmatch(cancel.id):
        raise CannotExpress(f"{cancel.venue}: id was {cancel.id!r}; that is no order id")
    if by_client:
        return "", cancel.symbol, {"clientOrderId": cancel.id}
    return cancel.id, cancel.symbol, {}


def _words(run: Run, error: Exception) -> str:
    """What ccxt said, without what is signed."""
    said = without_query(without_query(str(error), run.request), run.sent)
    return f"{type(error).__name__}: {said}"


def _retry_after(frame: Frame) -> float | None:
    text = frame.headers.get("retry-after", "")
    return min(float(text), MAX_PAUSE) if text.isascii() and text.isdigit() else None


def _check(url: str) -> None:
    parts = urlsplit(url)
    _check_origin(f"{parts.scheme}://{parts.netloc}")


@lru_cache(maxsize=64)
def _check_origin(origin: str) -> None:
    checked_url(origin, "ccxt", scheme="https")
