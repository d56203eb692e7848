"""One cancel on one venue, and what each of the four outcomes means. Runs on a simulated venue."""

import asyncio

from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Order, OrderType, Outcome, Router, Side


async def main() -> None:
    async with (
        QfexSimulator() as venue,  # for the real one: Qfex(public_key=..., secret_key=...)
        Router({"qfex": Qfex(**venue.credentials)}) as router,
    ):
        order = Order("qfex", "AAPL-USD", Side.BUY, OrderType.LIMIT, quantity="1", price="200")
        (await router.submit(order)).raise_for_outcome()

        report = await router.cancel(order, deadline=2)
        match report.outcome:
            case Outcome.CONFIRMED:
                print("gone:", [taken.order_id for taken in report.orders])
            case Outcome.REFUSED:
                print("the venue said no:", report.reason, report.text)
            case Outcome.NOT_SENT:
                print("nothing left this process:", report.text)
            case Outcome.UNKNOWN:
                print("not known yet:", await report.settled(timeout=30))


if __name__ == "__main__":
    asyncio.run(main())
