"""What one exchange can, told by ccxt itself: by `has` and `features`, and by asking its methods for a request that is not sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from attrs import evolve, field, frozen

from adapters.ccxt_bridge.building import first_url
from adapters.ccxt_bridge.calling import Caller, Run, Stuck
from router.model import IdKind, OrderType
from router.venue import Budget, Spec

__all__ = ["SPEC", "Markets", "derive"]

SPEC: Final = Spec(
    title="ccxt",
    docs_url="https://docs.ccxt.com",
    quiet_period=30.0,
    cancel_kinds=frozenset({IdKind.ORDER, IdKind.CLIENT_ORDER, IdKind.STOP_ORDER}),
    needs_symbol=frozenset({IdKind.ORDER, IdKind.CLIENT_ORDER}),
    order_types=frozenset({OrderType.LIMIT, OrderType.MARKET, OrderType.STOP, OrderType.STOP_LIMIT}),
    lists=frozenset({IdKind.ORDER}),
    docs={
        "all": "any exchange of ccxt's; what a particular one can is derived when it is built",
        "symbols": "ccxt's unified ones (BTC/USDT); contracts are sized as ccxt sizes them",
        "cancel": "the order is read where the exchange's answer does not say what became of it",
        "client ids": "can be cancelled by, and looked up by, on the Binance family; elsewhere they are only passed on",
        "lists": "the open orders of one type of market; trigger orders that have a list of their own are not in it",
        "replace": "never ccxt's, which cancels and places anew; allow_gap=True does that with what is left",
    },
)
CLIENT_IDS: Final = {  # by reading ccxt: what clientOrderId becomes in a cancel and in a look-up, in the place of the id
    "binance": "origClientOrderId",
    "binanceus": "origClientOrderId",
    "binanceusdm": "origClientOrderId",
    "binancecoinm": "origClientOrderId",
}
TYPES: Final = ("spot", "swap", "future", "option")
CONTRACTS: Final = frozenset({"swap", "future"})


@frozen
class Markets:
    """The type of market that one adapter is for, which is the one that its list of open orders shows."""

    exchange: Any = field(repr=False)
    type: str
    sub_type: str | None

    def cover(self, market: Any) -> bool:
        """Whether orders on this market are in the list."""
        if self.type not in CONTRACTS:
            return bool(market.get(self.type))
        return (
            bool(market.get("contract")) and not market.get("option") and market.get(self.sub_type, True) is not False
        )

    def feature(self, method: str, name: str) -> Any:
        """What ccxt says that a method can, None where it says nothing."""
        sub_type = None if self.type == "spot" else self.sub_type or "linear"
        return self.exchange.feature_value_by_type(self.type, sub_type, method, name)

    @property
    def has_trigger_list(self) -> bool:
        """Whether orders with a trigger have a list, and ids, of their own."""
        return bool(self.feature("fetchOpenOrders", "trigger"))


def markets_of(exchange: Any, wanted: str | None) -> Markets:
    """The markets that this exchange object is for. Raises ValueError."""
    able = [name for name in TYPES if exchange.has.get(name)] or ["spot"]
    if wanted is not None and wanted not in able:
        raise ValueError(f"ccxt: market_type was {wanted!r}; {exchange.id} has: {', '.join(able)}")
    default = exchange.options.get("defaultType")
    chosen = wanted or (default if default in able else able[0])
    exchange.options["defaultType"] = chosen
    return Markets(exchange, chosen, exchange.options.get("defaultSubType"))


def derive(
    caller: Caller,
    market_type: str | None,
    budget: Budget | None,
    quiet_period: float | None,
    *,
    client_order_ids: bool = True,
) -> tuple[Spec, Markets]:
    """The exchange as data. Nothing is sent. client_order_ids: whether submits carry them; else none is known by its own."""
    exchange = caller.exchange
    markets = markets_of(exchange, market_type)
    if not (exchange.has.get("cancelOrder") is True and exchange.has.get("createOrder") is True):
        raise ValueError(f"ccxt: {exchange.id} cannot place and cancel orders")
    kinds = {IdKind.ORDER}
    if client_order_ids and _takes_client_ids(caller):
        kinds.add(IdKind.CLIENT_ORDER)
    if markets.has_trigger_list:  # it is not read, so nothing proves that it is empty
        kinds.add(IdKind.STOP_ORDER)
    tried = _dry(caller, "cancel_order", "1")
    if isinstance(tried.error, Stuck):
        text = f"ccxt: {exchange.id} makes several requests at once for a cancel, which cannot be told apart"
        raise ValueError(text)  # noqa: TRY004 - it is about the value
    needs_symbol = any(kind.__name__ == "ArgumentsRequired" for kind in type(tried.error).__mro__)
    spec = evolve(
        SPEC,
        title=exchange.id,
        docs_url=_docs(exchange) or SPEC.docs_url,
        http_url=first_url(exchange),
        budget=budget,
        quiet_period=SPEC.quiet_period if quiet_period is None else quiet_period,
        cancel_kinds=frozenset(kinds),
        needs_symbol=frozenset(kinds) if needs_symbol else frozenset(),
        order_types=_order_types(markets),
        lists=frozenset({IdKind.ORDER}) if _lists(caller, markets) else frozenset(),
    )
    return spec, markets


def _order_types(markets: Markets) -> frozenset[OrderType]:
    able = {OrderType.LIMIT}
    if markets.exchange.has.get("createMarketOrder") is not False:
        able.add(OrderType.MARKET)
    triggered = markets.feature("createOrder", "triggerPrice") is True
    if triggered and not markets.feature("createOrder", "triggerDirection") and not markets.has_trigger_list:
        able |= {OrderType.STOP, OrderType.STOP_LIMIT}
    return frozenset(able)


def _lists(caller: Caller, markets: Markets) -> bool:
    """Whether it lists open orders of all symbols at once."""
    has = caller.exchange.has.get("fetchOpenOrders") is True
    if not has or markets.feature("fetchOpenOrders", "symbolRequired"):
        return False
    return _dry(caller, "fetch_open_orders").request is not None


def _takes_client_ids(caller: Caller) -> bool:
    name = CLIENT_IDS.get(caller.exchange.id)
    return name is not None and caller.exchange.has.get("fetchOrder") is True


def _dry(caller: Caller, name: str, *arguments: Any) -> Run:
    """A run up to the request that is not sent, with no market known."""
    exchange = caller.exchange
    known = exchange.markets
    exchange.markets = known or {}
    try:
        run = _in_a_loop(partial(caller.call, name, *arguments))
    finally:
        exchange.markets = known
    run.coroutine.close()
    return run


def _in_a_loop(call: Callable[[], Run]) -> Run:
    """A method may make tasks, which are cancelled at once, and need a loop for that."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        return call()

    async def run() -> Run:
        made = call()
        for _ in range(2):
            await asyncio.sleep(0)
        return made

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def _docs(exchange: Any) -> str:
    docs = exchange.urls.get("doc")
    found = docs[0] if isinstance(docs, list) and docs else docs
    return found if isinstance(found, str) else ""
