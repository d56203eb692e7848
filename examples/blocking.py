"""The same API without an event loop, for scripts and notebooks. Runs on a simulated venue in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Order, OrderType, Side
from router.blocking import Router


@contextmanager
def simulated_venue() -> Iterator[QfexSimulator]:
    """A simulator that runs beside this script."""
    loop, venue = asyncio.new_event_loop(), QfexSimulator()
    loop.run_until_complete(venue.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield venue
    finally:
        asyncio.run_coroutine_threadsafe(venue.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def main() -> None:
    with simulated_venue() as venue, Router({"qfex": Qfex(**venue.credentials)}) as router:
        order = Order("qfex", "AAPL-USD", Side.BUY, OrderType.LIMIT, quantity="1", price="200")
        print(router.submit(order).raise_for_outcome())
        print(router.open_orders("qfex"))
        print(router.cancel(order).raise_for_outcome())


if __name__ == "__main__":
    main()
