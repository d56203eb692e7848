"""Mistakes that a gateway could make, made on purpose: the checker must notice each."""

from __future__ import annotations

import asyncio

from router.cluster.ownership.lease import Lease


def no_fence():
    """A gateway goes on as if its lease were without end."""
    Lease.why_not = lambda self: ""

    async def never(self):
        await asyncio.Event().wait()

    Lease.until_lost = never


def resend():
    """What another gateway may have sent is sent again, and nobody is asked first."""
    from router import adopting
    from router.model import Order

    adopt = adopting.adopt

    def blindly(desk, command, named, sent_at):
        operation = adopt(desk, command, named, sent_at)
        if isinstance(command, Order):
            asyncio.ensure_future(desk.submit(command, 5.0))  # noqa: RUF006 - the desk keeps it
        return operation

    adopting.adopt = blindly


MISTAKES = {"no_fence": no_fence, "resend": resend}
