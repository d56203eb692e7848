"""Cancel everything on three venues, and see what is proven; then a dead man's switch that fires."""

import asyncio

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Order, Router


async def main() -> None:
    async with QfexSimulator() as qfex, B2TraderSimulator() as b2trader, DmexSimulator() as dmex:
        venues = {
            "qfex": Qfex(**qfex.credentials),
            "xbtfx": B2Trader(**b2trader.credentials),
            "dmex": Dmex(**dmex.credentials),
        }
        async with Router(venues) as router:
            await router.submit(Order("qfex", "AAPL-USD", "buy", "limit", "1", "150"))
            await router.submit(Order("qfex", "AAPL-USD", "sell", "stop", "1", stop_price="120"))
            await router.submit(Order("xbtfx", "spot.btc_usdt", "buy", "limit", "0.1", "100000"))
            dmex.rest()  # an order that was placed elsewhere

            report = await router.cancel_all(deadline=5)
            for name, part in report.venues.items():
                print(f"{name}: {len(part.affected)} cancelled, proven: {part.no_open_orders}")
                for doubt in part.doubts:
                    print(f"    {doubt.text}")

            await router.submit(Order("qfex", "AAPL-USD", "buy", "limit", "1", "150"))
            with router.deadman(0.2, venue="qfex") as switch:  # nobody feeds it
                print(f"dead man's switch: {await switch.report()}")


if __name__ == "__main__":
    asyncio.run(main())
