"""From what a strategy calls an order to what its venue calls it. Pure.

1. A kind left out is what the ledger knows the id as, else ORDER.
2. A client id goes out as the venue's own id where the ledger knows exactly one live order of that id, and must where
   the venue has no client ids. Ids that a modify replaced are followed to the present one.
3. A symbol that the venue needs and the caller left out comes from the ledger; two candidates are an error, not a choice.
4. Nothing here stops a cancel that could be right: an id that the ledger doesn't know is sent as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from router.errors import CannotExpress
from router.ledger import Entry, Ledger
from router.model import Cancel, IdKind
from router.venue import Spec

__all__ = ["resolve"]

_CLIENT = frozenset({IdKind.CLIENT_ORDER, IdKind.CLIENT_TWAP})


def resolve(cancel: Cancel, ledger: Ledger, spec: Spec) -> Cancel:
    """The same request in the venue's terms. Raises CannotExpress, naming what is missing."""
    if _is_plain(cancel, ledger, spec):
        return cancel
    cancel = evolve(cancel, kind=cancel.kind or _known_kind(cancel.id, ledger))
    entries = _entries(cancel, ledger)
    if cancel.kind in _CLIENT:
        cancel = _by_venue_id(cancel, entries, spec)
        entries = _entries(cancel, ledger)
    elif entries and entries[0].state.order_id not in {None, cancel.id}:
        cancel = evolve(cancel, id=entries[0].state.order_id)
    if cancel.kind not in spec.cancel_kinds:
        known = ", ".join(sorted(spec.cancel_kinds))
        raise CannotExpress(f"{cancel.venue} cannot cancel by {cancel.kind} ({cancel.id!r}); it can by: {known}")
    return _with_symbol(cancel, entries, spec)


def _is_plain(cancel: Cancel, ledger: Ledger, spec: Spec) -> bool:
    """Whether it is in the venue's terms already: by the venue's own id, with all that the venue needs."""
    kind = cancel.kind
    if kind is None or kind in _CLIENT or kind not in spec.cancel_kinds:
        return False
    if cancel.symbol is None and kind in spec.needs_symbol:
        return False
    entry = ledger.find(cancel.id)
    return entry is None or entry.state.order_id == cancel.id


def _known_kind(name: str, ledger: Ledger) -> IdKind:
    entry = ledger.find(name)
    if entry is not None:
        return entry.state.kind
    for entry in ledger.named(name):
        return IdKind.CLIENT_TWAP if entry.state.kind is IdKind.TWAP else IdKind.CLIENT_ORDER
    return IdKind.ORDER


def _entries(cancel: Cancel, ledger: Ledger) -> list[Entry]:
    if cancel.kind not in _CLIENT:
        entry = ledger.find(cancel.id)
        return [] if entry is None else [entry]
    twap = cancel.kind is IdKind.CLIENT_TWAP
    return [
        entry
        for entry in ledger.named(cancel.id)
        if (entry.state.kind is IdKind.TWAP) == twap and cancel.symbol in {None, entry.state.symbol}
    ]


def _by_venue_id(cancel: Cancel, entries: Sequence[Entry], spec: Spec) -> Cancel:
    live = [entry for entry in entries if entry.is_live]
    supported = cancel.kind in spec.cancel_kinds
    candidates = live if supported or live else list(entries)
    if len(candidates) == 1 and candidates[0].state.order_id is not None:
        state = candidates[0].state
        return Cancel(cancel.venue, str(state.order_id), state.kind, cancel.symbol or state.symbol)
    if supported:
        return cancel
    if not candidates:
        raise CannotExpress(f"{cancel.venue} has no client ids, and no order known here has the id {cancel.id!r}")
    names = ", ".join(str(entry.state.order_id or "one still unanswered") for entry in candidates)
    raise CannotExpress(f"{cancel.venue} has no client ids, and {cancel.id!r} names no single order here: {names}")


def _with_symbol(cancel: Cancel, entries: Sequence[Entry], spec: Spec) -> Cancel:
    if cancel.symbol is not None or cancel.kind not in spec.needs_symbol:
        return cancel
    wanted = [entry for entry in entries if entry.is_live] or entries
    symbols = sorted({entry.state.symbol for entry in wanted if entry.state.symbol is not None})
    if len(symbols) == 1:
        return evolve(cancel, symbol=symbols[0])
    if symbols:
        raise CannotExpress(f"{cancel.venue}: {cancel.id!r} could be on {' or '.join(symbols)}; pass symbol=")
    raise CannotExpress(f"{cancel.venue} needs the symbol of {cancel.id!r} and none is known here; pass symbol=")
