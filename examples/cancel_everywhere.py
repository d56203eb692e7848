"""Orders on three venues that have nothing in common, cancelled by one call. Runs on simulated venues."""

import asyncio

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, Order, OrderType, Router, Side


async def main() -> None:
    async with QfexSimulator() as qfex, B2TraderSimulator() as b2trader, DmexSimulator() as dmex:
        venues = {
            "qfex": Qfex(**qfex.credentials),
            "xbtfx": B2Trader(**b2trader.credentials),
            "dmex": Dmex(**dmex.credentials),
        }
        async with Router(venues) as router:
            limit = Order("qfex", "AAPL-USD", Side.BUY, OrderType.LIMIT, quantity="1", price="200")
            stop = Order("xbtfx", "spot.btc_usdt", Side.BUY, OrderType.STOP, quantity="0.01", stop_price="128000")
            placed = [await router.submit(limit), await router.submit(stop)]
            resting = Cancel("dmex", dmex.rest())  # an order that was placed elsewhere, by its hash

            async for report in router.cancel_many([*placed, resting]):
                print(report)


if __name__ == "__main__":
    asyncio.run(main())
