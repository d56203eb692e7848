"""What befalls one command on its way through a simulated venue.

A simulator asks at each step, and does as the Fate says: SEND goes on, DROP says nothing, HANG_UP ends the connection.

    strike = await self.meet(command, transport)      a command has arrived
    await strike.arrive()                             may it be read?
    strike.read()                                     may it be executed?   (strike.fault may want other words instead)
    await strike.execute()                            it has been: may it be answered?
    sockets.put() or pages.put()                      how its answer is put on the wire
    strike.answered()
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Hashable

from attrs import define, field

from router.testing.faults import Fate, Fault
from router.testing.injection import Faults
from router.testing.tcp import reset

__all__ = ["Strike"]


@define(eq=False)
class Strike:
    """A command's fault, if it has one. line: whose answers may change places with its own."""

    fault: Fault | None
    chance: random.Random = field(repr=False)
    transport: asyncio.Transport | None = field(repr=False)
    line: Hashable = field(repr=False)
    faults: Faults = field(repr=False)

    async def arrive(self) -> Fate:
        """Whether it may be read."""
        if self.fault is Fault.HANG_UP_UNREAD:
            return self._hang_up()
        if self.fault is Fault.SLOW_READER and self.transport is not None:
            self.transport.pause_reading()
            await asyncio.sleep(self._duration)
            self.transport.resume_reading()
        return Fate.SEND

    def read(self) -> Fate:
        """Whether it may be executed."""
        if self.fault is Fault.HANG_UP_READ:
            return self._hang_up()
        return Fate.DROP if self.fault is Fault.DEAF else Fate.SEND

    async def execute(self) -> Fate:
        """Whether its answer may go, now that it has been executed; returns when it may."""
        match self.fault:
            case Fault.HANG_UP_EXECUTED:
                return self._hang_up()
            case Fault.MUTE:
                return Fate.DROP
            case Fault.REORDER:
                return await self.faults.keep(self.line)
            case Fault.DELAY:
                await asyncio.sleep(self._duration)
        return Fate.SEND

    def answered(self) -> None:
        """Its answer is on the wire: the one that was kept for it may follow."""
        self.faults.let_go(self.line)

    @property
    def _duration(self) -> float:
        return self.chance.uniform(*self.faults.seconds)

    def _hang_up(self) -> Fate:
        reset(self.transport)
        return Fate.HANG_UP
