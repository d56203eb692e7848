"""What one exchange can: what is vouched for, as far as ccxt, asked for a request that is not sent, still makes the one that was read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from adapters.ccxt_bridge.building import first_url
from adapters.ccxt_bridge.calling import Caller, Run, Stuck
from adapters.ccxt_bridge.vouched import Vouched, unvouched, vouched
from router.model import IdKind, OrderType
from router.venue import Budget, Spec

__all__ = ["SPEC", "Markets", "derive", "dry"]

SPEC: Final = Spec(
    title="ccxt",
    docs_url="https://docs.ccxt.com",
    quiet_period=30.0,
    cancel_kinds=frozenset({IdKind.ORDER, IdKind.CLIENT_ORDER}),
    needs_symbol=frozenset({IdKind.ORDER, IdKind.CLIENT_ORDER}),
    order_types=frozenset({OrderType.LIMIT, OrderType.MARKET, OrderType.STOP, OrderType.STOP_LIMIT}),
    lists=frozenset({IdKind.ORDER}),
    docs={
        "all": "any exchange of ccxt's; what is vouched for (Binance and Binance US, spot) is more than the rest may",
        "symbols": "ccxt's unified ones (BTC/USDT); contracts are sized as ccxt sizes them",
        "places": "what is not vouched for takes plain limit orders only: no other type, no IOC or FOK, no post_only",
        "cancel": "the order is read where the answer does not say what became of it; where not vouched for, always",
        "client ids": "can be cancelled by, and looked up by, where vouched for; elsewhere they are only passed on",
        "lists": "only where vouched for; elsewhere open_orders() raises CannotList, and nothing is proven to be flat",
        "replace": "never ccxt's, which cancels and places anew; allow_gap=True does that with what is left",
    },
)
TYPES: Final = ("spot", "swap", "future", "option")
CONTRACTS: Final = frozenset({"swap", "future"})


@frozen
class Markets:
    """The type of market that one adapter is for, which is the one that its list of open orders shows."""

    exchange: Any = field(repr=False)
    type: str
    sub_type: str | None
    vouched: Vouched | None = None

    @property
    def unvouched(self) -> str:
        """Why something is not done here, and what to do."""
        return unvouched(self.exchange.id, self.type)

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
    known = _as_read(caller, vouched(exchange.id, markets.type))
    markets = evolve(markets, vouched=known)
    kinds = {IdKind.ORDER}
    if known is not None and known.client_ids and client_order_ids:
        kinds.add(IdKind.CLIENT_ORDER)
    tried = dry(caller, "cancel_order", "1")
    if isinstance(tried.error, Stuck):
        text = f"ccxt: {exchange.id} makes several requests at once for a cancel, which cannot be told apart"
        raise ValueError(text)  # noqa: TRY004 - it is about the value
    spec = evolve(
        SPEC,
        title=exchange.id,
        docs_url=_docs(exchange) or SPEC.docs_url,
        http_url=first_url(exchange),
        budget=budget,
        quiet_period=SPEC.quiet_period if quiet_period is None else quiet_period,
        cancel_kinds=frozenset(kinds),
        needs_symbol=frozenset(kinds),  # without one, ccxt asks a default market's endpoint
        order_types=frozenset({OrderType.LIMIT}) if known is None else known.order_types,
        lists=frozenset() if known is None else frozenset({IdKind.ORDER}),
    )
    return spec, markets


def _as_read(caller: Caller, found: Vouched | None) -> Vouched | None:
    """What is vouched for, unless the exchange's options lead elsewhere than what was read."""
    if found is None:
        return None
    request = dry(caller, "fetch_open_orders", None, None, None, dict(found.listing)).request
    return found if request is not None and urlsplit(request.url).path == found.path else None


def dry(caller: Caller, name: str, *arguments: Any) -> Run:
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
