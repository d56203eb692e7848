"""A process that is killed while its command is on the way, and what makes one: for journals with something in doubt in them."""

import asyncio
import contextlib
import json
import signal
import sys

from attrs import evolve

from adapters.b2trader import B2Trader
from adapters.dmex import Dmex
from adapters.qfex import Qfex
from router import Order, Router
from router.journal.file import reader
from router.journal.reading import entries

ADAPTERS = {"qfex": Qfex, "b2trader": B2Trader, "dmex": Dmex}
TERMS = {
    "qfex": ("AAPL-USD", "buy", "limit", "1", "200"),
    "b2trader": ("spot.btc_usdt", "buy", "limit", "1", "200"),
}


def adapter(name, credentials, *, quiet_period=None, **more):
    """The venue, with a quiet period that a test can wait for."""
    made = ADAPTERS[name](**credentials, **more)
    if quiet_period is not None:
        made._codec = evolve(made._codec, spec=evolve(made.spec, quiet_period=quiet_period))
    return made


async def leave_in_doubt(
    simulator, journal, *, verb="submit", name="qfex", command="add_order", switch="deaf", **terms
):
    """Have a process submit, or submit and cancel, and kill it as soon as the venue has read that. Returns its pid."""
    given = {"name": name, "credentials": simulator.credentials, "journal": str(journal), "verb": verb, "terms": terms}
    count = len(simulator.commands(command))
    simulator.switches.only = frozenset({command})
    setattr(simulator.switches, switch, True)
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, json.dumps(given))
    try:
        await simulator.until(count + 1, command, timeout=20)
        await _written(journal, verb)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    setattr(simulator.switches, switch, False)
    simulator.switches.only = None
    return process.pid


async def _written(journal, verb):
    """Wait until the journal tells that the command has left: what comes after the sending is written a little later."""
    last = "sent" if verb == "submit" else "intent"
    async with asyncio.timeout(10):
        while True:
            with contextlib.closing(reader(journal)) as db:
                told = list(entries(db))
            intents = [each for each in told if each.what == "intent" and each.facts["verb"] == verb]
            if intents and any(each.what == last and each.op == intents[-1].op for each in told):
                return
            await asyncio.sleep(0.005)


async def _main(given):
    name = given["name"]
    async with Router({name: adapter(name, given["credentials"])}, journal=given["journal"]) as router:
        await router.recovered()
        report = await router.submit(Order(name, *TERMS[name], **given["terms"]), deadline=60)
        if given["verb"] == "cancel":
            await router.cancel(report, deadline=60)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
