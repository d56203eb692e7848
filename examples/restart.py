"""What a new Router does with an order that the last one left in doubt. Runs on a simulated venue."""

import asyncio
import tempfile
from pathlib import Path

from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Order, Router
from router.testing import Switches


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "router.journal"
        async with QfexSimulator() as venue:
            async with Router({"qfex": Qfex(**venue.credentials)}, journal=journal) as router:
                resting = await router.submit(Order("qfex", "AAPL-USD", "buy", "limit", quantity="1", price="199"))
                print(resting.outcome, "journaled:", resting.journaled)

                venue.switches = Switches(mute=True)  # from now on it executes, and says nothing
                lost = await router.submit(Order("qfex", "AAPL-USD", "buy", "limit", "1", "200"), deadline=0.2)
                print(lost.outcome, "journaled:", lost.journaled)

            venue.switches = Switches()
            async with Router({"qfex": Qfex(**venue.credentials)}, journal=journal) as router:
                for report in await router.recovered():
                    print("after the restart:", report)
                for order in await router.open_orders("qfex"):
                    print(order.price, "own:", order.own)
                print(await router.cancel_all(scope="own"))


if __name__ == "__main__":
    asyncio.run(main())
