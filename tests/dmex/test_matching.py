"""DMEX's hashes and words, where two spellings are one order and two sentences are not one verdict."""

from __future__ import annotations

import asyncio

import pytest

from adapters.dmex.replies import read_reply
from adapters.dmex.simulator import DmexSimulator
from router import Cancel, Outcome, Router
from router.testing import Switches
from router.venue import Answer

HASH = "0x" + "ab" * 32


async def test_two_spellings_of_one_hash_are_one_cancel(dmex: Router, dmex_sim: DmexSimulator) -> None:
    order_hash = dmex_sim.rest("0x" + "ab" * 32)
    dmex_sim.switches = Switches(hold=True)
    upper = "0x" + order_hash[2:].upper()
    both = [asyncio.ensure_future(dmex.cancel(Cancel("dmex", spelt))) for spelt in (upper, order_hash)]
    await dmex_sim.until_held(1)
    dmex_sim.release()
    reports = [await each for each in both]
    assert [report.outcome for report in reports] == [Outcome.CONFIRMED, Outcome.CONFIRMED]
    assert {row.order_id for report in reports for row in report.orders} == {order_hash}
    assert len(dmex_sim.commands("cancel_order")) == 1


async def test_a_later_cancel_in_another_spelling_is_of_the_same_order(dmex: Router, dmex_sim: DmexSimulator) -> None:
    order_hash = dmex_sim.rest("0x" + "cd" * 32)
    dmex_sim.switches = Switches(mute=True)
    first = await dmex.cancel(Cancel("dmex", "0x" + order_hash[2:].upper()), deadline=0.1)
    dmex_sim.switches = Switches()
    second = await dmex.cancel(Cancel("dmex", order_hash), deadline=0.5)
    assert first.outcome is Outcome.UNKNOWN
    assert second.outcome is not Outcome.REFUSED, "the first of the two may have taken it"


@pytest.mark.parametrize(
    "words",
    [
        "Internal error: could not open database connection",
        "Internal error: not open to new connections, try again",
        "cannot tell whether the order was already filled (timeout)",
        "order already filled or not, unknown",
        "order is not found in the cache",
    ],
)
def test_words_that_only_contain_a_refusals_words_refuse_nothing(words: str) -> None:
    reply = {"op": "cancel_order", "success": False, "error": words, "data": {"order_hash": HASH}}
    assert [item.outcome for item in read_reply(reply) if isinstance(item, Answer)] == [Outcome.UNKNOWN]
