"""QFEX's answers without request ids, where two requests look alike: each verdict reaches its own request or none."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from adapters.qfex.simulator import QfexSimulator
from router import Cancel, IdKind, Order, Outcome, Router
from router.testing import Switches

FRAMES = json.loads((Path(__file__).parents[1] / "data" / "frames" / "qfex.json").read_text())
DEAF = Switches(deaf=True, only=frozenset({"add_order", "cancel_order"}))


def limit(client_order_id: str) -> Order:
    return Order("qfex", "AAPL-USD", "buy", "limit", "1", "10", client_order_id=client_order_id)


def told(order_id: str, status: str, client_order_id: str) -> dict[str, Any]:
    body = FRAMES["order_response ACK"]["frame"]["order_response"]
    terms = {"quantity": 1.0, "quantity_remaining": 1.0, "price": 10.0, "symbol": "AAPL-USD", "side": "BUY"}
    names = {"order_id": order_id, "status": status, "client_order_id": client_order_id, "type": "LIMIT"}
    return {"order_response": body | terms | names}


def err(request: Any, code: str) -> dict[str, Any]:
    return {"err": {"error_code": code, "message": None, "incoming_message": request}}


async def fence(router: Router) -> None:
    """Whatever the venue sent before this has been read when it returns."""
    await router.open_orders("qfex")


def sent_ids(sim: QfexSimulator) -> list[str]:
    return [item.message["params"]["client_order_id"] for item in sim.commands("add_order")]


async def test_a_rate_limit_said_in_two_forms_is_one_and_nothing_of_its_twin(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = DEAF
    one = asyncio.ensure_future(qfex.submit(limit("c1"), deadline=1.5))
    two = asyncio.ensure_future(qfex.submit(limit("c2"), deadline=1.5))
    sent = await qfex_sim.until(2, "add_order")
    await qfex_sim.send(told("x1", "RATE_LIMITED", "c1"))
    await qfex_sim.send(err(sent[0].message, "RateLimited"))
    first, second = await one, await two
    assert (first.outcome in {Outcome.UNKNOWN, Outcome.REFUSED}, second.outcome) == (True, Outcome.UNKNOWN)
    assert sent_ids(qfex_sim).count("c2") == 1
    assert sent_ids(qfex_sim).count("c1") <= 2


async def test_the_second_form_of_a_rate_limit_after_the_new_attempt_makes_no_third(
    qfex: Router, qfex_sim: QfexSimulator
) -> None:
    qfex_sim.switches = DEAF
    submitting = asyncio.ensure_future(qfex.submit(limit("c"), deadline=2.5))
    [first] = await qfex_sim.until(1, "add_order")
    await qfex_sim.send(told("x", "RATE_LIMITED", "c"))
    await qfex_sim.until(2, "add_order")
    await qfex_sim.send(err(first.message, "RateLimited"))
    report = await submitting
    assert report.outcome is Outcome.UNKNOWN, "the second attempt may have been executed"
    assert sent_ids(qfex_sim) == ["c", "c"]


async def test_a_refusal_said_in_two_forms_refuses_only_its_own_order(qfex: Router, qfex_sim: QfexSimulator) -> None:
    qfex_sim.switches = DEAF
    one = asyncio.ensure_future(qfex.submit(limit("c1")))
    two = asyncio.ensure_future(qfex.submit(limit("c2")))
    sent = await qfex_sim.until(2, "add_order")
    await qfex_sim.send(told("x1", "REJECTED", "c1"))
    await qfex_sim.send(err(sent[0].message, "InvalidOrder"))
    refused = await one
    await fence(qfex)
    assert not two.done()
    await qfex_sim.send(told("o2", "ACK", "c2"))
    placed = await two
    assert refused.outcome is Outcome.REFUSED
    assert (placed.outcome, placed.order_id) == (Outcome.CONFIRMED, "o2")


@pytest.mark.parametrize("status", ["REJECTED", "FAILED_MARGIN_CHECK"])
async def test_the_rejection_of_a_strangers_order_refuses_no_cancel_of_its_client_id(
    qfex: Router, qfex_sim: QfexSimulator, status: str
) -> None:
    qfex_sim.switches = DEAF
    cancel = Cancel("qfex", "cid", IdKind.CLIENT_ORDER, symbol="AAPL-USD")
    cancelling = asyncio.ensure_future(qfex.cancel(cancel, deadline=0.4))
    await qfex_sim.until(1, "cancel_order")
    await qfex_sim.send(told("zz", status, "cid"))
    report = await cancelling
    assert report.outcome is Outcome.UNKNOWN
    assert len(qfex_sim.commands("cancel_order")) == 1
