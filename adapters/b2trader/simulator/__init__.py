"""The simulated B2TRADER: a venue with one account on 127.0.0.1, its tokens and its REST order endpoints.

server speaks HTTP and applies the faults, calls reads requests, tokens and errors do what their names say; desk keeps
orders, which it makes of tickets on markets.
"""

from adapters.b2trader.simulator.desk import Desk, StopCancelMode
from adapters.b2trader.simulator.errors import ErrorStyle
from adapters.b2trader.simulator.markets import Market, markets
from adapters.b2trader.simulator.orders import Order, Stop
from adapters.b2trader.simulator.server import B2TraderSimulator

__all__ = ["B2TraderSimulator", "Desk", "ErrorStyle", "Market", "Order", "Stop", "StopCancelMode", "markets"]
