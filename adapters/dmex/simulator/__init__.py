"""DMEX as one would meet it: the signed order WebSocket and the REST list of orders, on 127.0.0.1.

Where the venue's public documentation stops, this assumes. Documented: the cancel frame, the order objects, the names of
the validation errors, replacing in one step. Assumed: the word create_order, every reply on the socket, the greeting and
push frames, the texts of the refusals that are not validation errors.

server speaks with sockets, requests reads frames, signatures finds who signed, book keeps orders, replies words answers.
"""

from adapters.dmex.simulator.book import Order
from adapters.dmex.simulator.replies import GREETING, PUSH, Reply
from adapters.dmex.simulator.server import DmexSimulator
from adapters.dmex.simulator.signatures import CURVE_ORDER

__all__ = ["CURVE_ORDER", "GREETING", "PUSH", "DmexSimulator", "Order", "Reply"]
