"""Place an order and follow it through its events until it is filled. Runs on a simulated venue."""

import asyncio

from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Order, OrderType, OrdStatus, Router, Side


async def main() -> None:
    async with QfexSimulator() as venue, Router({"qfex": Qfex(**venue.credentials)}) as router:
        events = router.events()
        order = Order("qfex", "AAPL-USD", Side.BUY, OrderType.LIMIT, quantity="1", price="200")
        placed = (await router.submit(order)).raise_for_outcome()

        await venue.fill(placed.order_id, "0.4")  # the simulated market trades
        await venue.fill(placed.order_id)

        async for event in events:
            print(event.exec_type, event.status, "last", event.last_quantity, "filled", event.cum_quantity)
            if event.status is OrdStatus.FILLED:
                break

        report = await router.cancel(order)
        print(report.outcome, report.reason.name, "filled", report.orders[0].cum_quantity)


if __name__ == "__main__":
    asyncio.run(main())
