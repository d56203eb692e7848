"""The toy venue, simulated from its page.

JSON over a WebSocket. A request has `op` and `id`. Its answer has the id as `re`, and `ok`: true, or false and an `error`.

    login   key                                           errors: wrong key
    place   symbol side quantity price client_order_id    answered with the order; errors: unknown symbol
    cancel  order_id                                      the same; errors: unknown order, already filled
    list                                                  answered with the open `orders`

An order is what place has, order_id, filled, and status: open, filled or cancelled. Numbers are strings. Who is logged in
is told of every change of an order: the order, and for a trade `trade`: [id, quantity, price]. Further errors: malformed,
log in first, too fast (nothing was done), internal error (nobody knows what was done).
"""

from typing import Any, ClassVar

from router.model import Order
from router.report import CxlRejReason, OrdRejReason, OrdStatus
from router.testing import Fault, Refusal, Verb
from router.testing.socketvenue import Ask, Change, Placed, Refused, SocketVenue

STATUSES = {OrdStatus.CANCELED: "cancelled", OrdStatus.FILLED: "filled"}
TERMS = ("client_order_id", "symbol", "side", "quantity", "price")


class ToySimulator(SocketVenue):
    NAME, SYMBOL, UNAUTHORIZED = "toyvenue", "TOY-USD", "log in first"
    VERBS: ClassVar = {"login": Verb.LOGIN, "place": Verb.SUBMIT, "cancel": Verb.CANCEL, "list": Verb.LIST}
    WORDS: ClassVar = {Fault.THROTTLED: "too fast", Fault.SERVER_ERROR: "internal error"}
    REFUSALS = (
        Refusal(Verb.SUBMIT, "unknown symbol", OrdRejReason.UNKNOWN_SYMBOL),
        Refusal(Verb.CANCEL, "unknown order", CxlRejReason.UNKNOWN_ORDER),
        Refusal(Verb.CANCEL, "already filled", CxlRejReason.TOO_LATE_TO_CANCEL),
    )

    def execute(self, ask: Ask) -> Any:
        said: dict[str, Any] = {}
        match ask.word:
            case "login" if ask.body["key"] != self.key:
                raise Refused("wrong key")
            case "place" if ask.body["symbol"] != self.SYMBOL:
                raise Refused("unknown symbol")
            case "place":
                order = Order(self.NAME, type="limit", **{name: ask.body[name] for name in TERMS})
                said = shown(self.book.enter(order))
            case "cancel":
                placed = self.open(ask.body["order_id"], unknown="unknown order", filled="already filled")
                said = shown(self.book.cancel(placed))
            case "list":
                said = {"orders": [shown(each) for each in self.book]}
        return {"re": ask.body["id"], "ok": True} | said

    def refused(self, ask: Ask, word: str) -> Any:
        return {"re": ask.body["id"], "ok": False, "error": word}

    def told(self, change: Change) -> Any:
        trade = {"trade": [change.trade_id, change.quantity, change.price]} if change.trade_id else {}
        return shown(change.placed) | trade


def shown(row: Placed) -> dict[str, Any]:
    terms = {name: getattr(row.order, name) for name in TERMS}
    return {"order_id": row.order_id, "filled": row.cum_quantity, "status": STATUSES.get(row.status, "open")} | terms
