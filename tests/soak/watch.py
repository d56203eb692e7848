"""What runs beside the soak: how late the loop was, what went wrong unseen, and what is left in the Router's tables."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from collections import Counter
from contextlib import asynccontextmanager

LOOK = 0.02
STALL = 0.01


class Watch(logging.Handler):
    """stalls: when the loop stood still, and for how long. mistakes: what the loop's exception handler and the log were told."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.stalls = []
        self.mistakes = []

    def emit(self, record):
        self.mistakes.append(self.format(record))

    def caught(self, loop, context):
        error = context.get("exception")
        where = "".join(traceback.format_tb(error.__traceback__)[-3:]) if error is not None else ""
        self.mistakes.append(f"{context.get('message')}: {error!r} {context.get('future')} {where}")

    async def look(self):
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK
            await asyncio.sleep(LOOK)
            if loop.time() - due > STALL:
                self.stalls.append((loop.time(), loop.time() - due))

    def stood(self, begun, ended):
        """Seconds that the loop stood still between these times."""
        return sum(seconds for at, seconds in self.stalls if begun <= at <= ended + LOOK)


@asynccontextmanager
async def watching():
    """A Watch for as long as the block lasts; at its end no task may be left that was not there before."""
    loop, watch, before = asyncio.get_running_loop(), Watch(), asyncio.all_tasks()
    loop.set_exception_handler(watch.caught)
    logging.getLogger("router").addHandler(watch)
    looking = asyncio.create_task(watch.look())
    try:
        yield watch
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        gc.collect()
        await asyncio.sleep(0)
        watch.leaked = [repr(task) for task in asyncio.all_tasks() - before]
    finally:
        looking.cancel()
        logging.getLogger("router").removeHandler(watch)
        loop.set_exception_handler(None)


def tables(router_, venue):
    """The sizes of what the Router keeps of a venue beside its ledger."""
    desk = router_._desks[venue]
    session, settler = desk.adapter, desk._settler
    return {
        "outstanding": len(session._outstanding),
        "deadlines": session._deadlines.waiting,
        "outbox": len(session._outbox),
        "again": len(session._again),
        "requests": len(session._exchange._tasks),
        "reads": len(session._asker._reader._waiting),
        "placing": len(desk._placing),
        "replacing": len(desk._replacing),
        "gates": len(desk._gates),
        "held": len(desk._sticky.held),
        "cancels": sum(each not in desk._doubts for each in desk._doubts.cancels.values()),
        "settling": len(settler._completing) + len(settler._searching) + len(settler._looking),
    }


def objects():
    """How many objects of the Router's and the adapters' own classes there are, simulators aside."""
    gc.collect()
    names = (f"{type(each).__module__}.{type(each).__name__}" for each in gc.get_objects())
    return Counter(name for name in names if name.startswith(("router.", "adapters.")) and not _is_simulated(name))


def _is_simulated(name):
    return ".simulator" in name or name.startswith("router.testing")
