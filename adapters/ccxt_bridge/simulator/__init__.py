"""A simulated Binance spot venue on 127.0.0.1: one exchange of ccxt's, for the bridge to speak with.

server speaks HTTP and applies the faults, access checks who asks, parameters what, book keeps the orders, refusal holds the
venue's errors; bench is what the conformance cases ask.
Written from Binance's public API pages (spot REST, v3).
"""

from adapters.ccxt_bridge.simulator.bench import CcxtBench
from adapters.ccxt_bridge.simulator.book import Book, Market, Order
from adapters.ccxt_bridge.simulator.refusal import Refusal
from adapters.ccxt_bridge.simulator.server import CcxtSimulator

__all__ = ["Book", "CcxtBench", "CcxtSimulator", "Market", "Order", "Refusal"]
