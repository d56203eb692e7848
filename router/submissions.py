"""What is remembered of the Order objects that a strategy has submitted, for as long as it has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from weakref import ref

from router.ledger import Entry, Ledger
from router.model import Cancel, Order

__all__ = ["Submissions", "Submitted"]


class Submitted:
    """One Order object. entry: its order in the ledger, as long as that has it; address: how to cancel it then; fate: what became
    of its submit, in words.
    """

    def __init__(self, order: Order, among: dict[int, Submitted]) -> None:
        number = id(order)
        self.order = ref(order, lambda _: among.pop(number, None))
        self.entry: Callable[[], Entry | None] = lambda: None
        self.address: Cancel | None = None
        self.fate = ""


class Submissions:
    """Those of one venue, by the very object: client ids need not be unique."""

    def __init__(self) -> None:
        self._known: dict[int, Submitted] = {}

    def __iter__(self) -> Iterator[Submitted]:
        return iter(list(self._known.values()))

    def new(self, order: Order) -> Submitted:
        """It is being submitted."""
        known = self._known[id(order)] = Submitted(order, self._known)
        return known

    def of(self, order: Order | None) -> Submitted | None:
        return self._known.get(id(order))

    def inherit(self, old: Submissions, ledger: Ledger) -> None:
        """The Router was opened again, with a ledger out of its journal: the Order objects stand for what they stood for."""
        for known in old:
            order, entry = known.order(), known.entry()
            if order is None:
                continue
            mine = self.new(order)
            mine.fate, mine.address = known.fate, known.address
            if entry is not None:
                same = [each for each in ledger.named(order.client_order_id) if each.op and each.op == entry.op]
                mine.entry = ref(same[0]) if same else mine.entry
                mine.address = entry.state.to_cancel() if entry.state.order_id is not None else None
                mine.fate = "it is over, as far as the journal knows"
