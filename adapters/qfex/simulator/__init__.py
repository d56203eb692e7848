"""The simulated QFEX: its trade socket on 127.0.0.1, over an exchange of its own.

server speaks with sockets, commands and what they name execute, variants words the answers, exchange and engine keep
the orders. Each imports only what stands further down: server, commands, session and trading, venue, variants, exchange.
"""

from adapters.qfex.simulator.commands import TRADING
from adapters.qfex.simulator.model import SYMBOLS, Fill, Instrument, Order, Twap
from adapters.qfex.simulator.server import QfexSimulator
from adapters.qfex.simulator.variants import Variants
from adapters.qfex.simulator.venue import signature

__all__ = ["SYMBOLS", "TRADING", "Fill", "Instrument", "Order", "QfexSimulator", "Twap", "Variants", "signature"]
