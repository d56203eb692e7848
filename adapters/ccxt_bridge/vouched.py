"""What of ccxt's claims has been read and tested, exchange by exchange. Everything else is not believed.

ccxt says of more than a hundred exchanges what they can. Of many it is not so: triggers that are dropped, a market order whose
quantity is money, a list that is one page or of another type of market, a receipt that is called a cancellation. So an
exchange that is not in this table gets plain limit orders and cancels, and what became of a cancel is always read.

To vouch for another: read what ccxt sends for each term, each cancel, look-up and list, and what it makes of each status;
test that against a server with the exchange's documented answers; then add a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import Factory, field, frozen

from router.model import OrderType

__all__ = ["Vouched", "unvouched", "vouched"]


@frozen(kw_only=True)
class Vouched:
    """What may be relied on.

    client_ids: a cancel and a look-up may name clientOrderId. listing: the params of the list of all open orders; path: where
    that list then is, else the exchange's options have led elsewhere, and nothing is vouched for.
    """

    order_types: frozenset[OrderType]
    client_ids: bool
    path: str
    listing: Mapping[str, Any] = field(default=Factory(dict))


BINANCE_SPOT: Final = Vouched(
    order_types=frozenset({OrderType.LIMIT, OrderType.MARKET, OrderType.STOP, OrderType.STOP_LIMIT}),
    client_ids=True,
    path="/api/v3/openOrders",
    listing={"type": "spot"},
)
TABLE: Final = {("binance", "spot"): BINANCE_SPOT, ("binanceus", "spot"): BINANCE_SPOT}


def vouched(name: str, market_type: str) -> Vouched | None:
    """What is known of this exchange, for this type of market; None: nothing."""
    return TABLE.get((name, market_type))


def unvouched(name: str, market_type: str) -> str:
    """Why something is not done, and what to do."""
    return (
        f"ccxt's {name} ({market_type}) is not vouched for, so only plain limit orders (GTC) are placed there;"
        " how to vouch for it stands in adapters/ccxt_bridge/vouched.py"
    )
