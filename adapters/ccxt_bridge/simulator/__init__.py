"""A simulated Binance spot venue on 127.0.0.1: one exchange of ccxt's, for the bridge to speak with.

server speaks HTTP and applies the faults, access checks who asks, book keeps the orders, refusal holds the venue's errors.
Written from Binance's public API pages (spot REST, v3).
"""

from adapters.ccxt_bridge.simulator.book import Book, Market, Order
from adapters.ccxt_bridge.simulator.refusal import Refusal
from adapters.ccxt_bridge.simulator.server import CcxtSimulator

__all__ = ["Book", "CcxtSimulator", "Market", "Order", "Refusal"]
