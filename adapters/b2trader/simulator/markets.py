"""The markets of the venue. Their prices stand still."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from attrs import Factory, field, frozen

__all__ = ["Market", "markets"]


@frozen
class Market:
    """One market. Prices in the quote asset; scales are counts of decimals; max_base_amount and depth in the base asset.

    lot_size: base amount of one lot, None on spot. min_amount, amount_scale: of the amount as ordered (base, or lots).
    depth: what a market order finds at the touch.
    """

    market_id: str
    display_name: str
    bid: Decimal = field(converter=Decimal)
    ask: Decimal = field(converter=Decimal)
    price_scale: int = 2
    amount_scale: int = 2
    min_amount: Decimal = field(default=Decimal("0.01"), converter=Decimal)
    max_base_amount: Decimal = field(default=Decimal(100), converter=Decimal)
    lot_size: Decimal | None = field(default=None)
    depth: Decimal = Factory(lambda self: self.max_base_amount, takes_self=True)

    def touch(self, side: str) -> Decimal:
        """The price this side trades at now."""
        return self.ask if side == "Buy" else self.bid

    def triggers(self, side: str, activation: Decimal) -> bool:
        """Whether a stop with this price is triggered now."""
        return self.ask >= activation if side == "Buy" else self.bid <= activation


def markets(*extra: Market) -> dict[str, Market]:
    """The default table, with `extra` markets added or replaced."""
    table: Iterable[Market] = (
        Market("spot.btc_usdt", "BTC/USDT", "115190.1", "115200.2", amount_scale=5, min_amount="0.00001"),
        Market(
            "spot.eth_usdt", "ETH/USDT", "4600.1", "4600.9", amount_scale=4, min_amount="0.0001", max_base_amount=1000
        ),
        Market("cfd.eth_eur", "CFD ETH/EUR", "3950.5", "3951.5", max_base_amount=1000, lot_size=Decimal(10)),
        Market("perp.btc_usdt", "Perpetual BTC/USDT", "115180", "115181", price_scale=1, lot_size=Decimal("0.001")),
        *extra,
    )
    return {market.market_id: market for market in table}
