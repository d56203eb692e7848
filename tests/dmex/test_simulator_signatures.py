"""Which signatures the simulated DMEX accepts, and from whom."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from adapters.dmex.simulator import CURVE_ORDER

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "dmex_vectors.json").read_text())
SHORT_R = next(vector for vector in VECTORS if vector["r"].startswith("0x00"))
OTHER = "0x" + "22" * 32


def accepted(order_hash):
    return {"op": "cancel_order", "success": True, "data": {"order_hash": order_hash}}


def refused(error, order_hash=None):
    data = {} if order_hash is None else {"order_hash": order_hash}
    return {"op": "cancel_order", "success": False, "error": error, "data": data}


def vector_frame(vector, **changed):
    return {"op": "cancel_order", "data": {name: vector[name] for name in ("order_hash", "v", "r", "s")} | changed}


async def test_every_signature_of_web3js_is_accepted(raw_venue, raw_client):
    for vector in VECTORS:
        order_hash = raw_venue.rest(vector["order_hash"], owner=vector["address"])
        assert await raw_client.ask(vector_frame(vector)) == accepted(order_hash)
    assert len(raw_venue.orders) == len(raw_venue.commands("cancel_order")) == 128
    assert all(order.closed and order.remaining == order.amount for order in raw_venue.orders.values())


async def test_a_signature_of_another_hash_is_refused(raw_venue, raw_client):
    for vector, other in pairwise(VECTORS):
        order_hash = raw_venue.rest(vector["order_hash"], owner=vector["address"])
        frame = vector_frame(other, order_hash=order_hash)
        assert await raw_client.ask(frame) == refused("Invalid signature", order_hash)
    assert not any(order.closed for order in raw_venue.orders.values())


async def test_a_short_r_is_refused(raw_venue, raw_client):
    order_hash = raw_venue.rest(SHORT_R["order_hash"], owner=SHORT_R["address"])
    frame = vector_frame(SHORT_R, r="0x" + SHORT_R["r"][4:])
    assert len(frame["data"]["r"]) == 64
    assert await raw_client.ask(frame) == refused("Invalid signature", order_hash)
    assert not raw_venue.orders[order_hash].closed


async def test_a_short_r_is_padded_when_lenient(raw_venue, raw_client):
    raw_venue.strict = False
    order_hash = raw_venue.rest(SHORT_R["order_hash"], owner=SHORT_R["address"])
    assert await raw_client.ask(vector_frame(SHORT_R, r=hex(int(SHORT_R["r"], 16)))) == accepted(order_hash)
    assert raw_venue.orders[order_hash].closed


def high_s(signed):
    return {"v": 55 - signed["v"], "s": f"0x{CURVE_ORDER - int(signed['s'], 16):064x}"}


def small_v(signed):
    return {"v": signed["v"] - 27}


@pytest.mark.parametrize("twin", [high_s, small_v])
@pytest.mark.parametrize("strict", [True, False])
async def test_the_other_forms_of_a_signature_are_for_the_lenient(raw_venue, raw_client, twin, strict):
    raw_venue.strict = strict
    order_hash = raw_venue.rest()
    expected = refused("Invalid signature", order_hash) if strict else accepted(order_hash)
    assert await raw_client.cancel(order_hash, **twin(raw_client.signature(order_hash))) == expected
    assert raw_venue.orders[order_hash].closed is not strict


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "changed",
    [
        {"r": "0x" + "0" * 64},
        {"s": "0x" + "0" * 64},
        {"r": f"0x{CURVE_ORDER:x}"},
        {"s": f"0x{CURVE_ORDER:x}"},
        {"r": "0x" + "1" * 65},
        {"r": "1" * 66},
        {"r": "0x" + "0" * 63 + "5"},  # no point of the curve has this x
        {"v": 29},
        {"v": -1},
        {"v": 10**300},
        {"v": 55},  # the wrong one of 27 and 28, see the test
    ],
)
async def test_numbers_that_are_no_signature(raw_venue, raw_client, changed, strict):
    raw_venue.strict = strict
    order_hash = raw_venue.rest()
    frame = raw_client.cancel_frame(order_hash)
    frame["data"] |= {"v": 55 - frame["data"]["v"]} if changed == {"v": 55} else changed
    assert await raw_client.ask(frame) == refused("Invalid signature", order_hash)
    assert not raw_venue.orders[order_hash].closed


async def test_only_the_owner_cancels(raw_venue, raw_client):
    order_hash = raw_venue.rest()
    assert await raw_client.cancel(order_hash, OTHER) == refused("Invalid signature", order_hash)
    assert not raw_venue.orders[order_hash].closed
    assert await raw_client.cancel(order_hash) == accepted(order_hash)
    assert raw_venue.orders[order_hash].closed


async def test_a_delegate_signs_for_its_owner_alone(raw_venue, raw_client):
    raw_venue.delegates = {raw_venue.address.lower(): {raw_client.address(OTHER).lower()}}
    mine, foreign = raw_venue.rest(), raw_venue.rest(owner="0x" + "33" * 20)
    assert await raw_client.cancel(mine, OTHER) == accepted(mine)
    assert await raw_client.cancel(foreign, OTHER) == refused("Invalid signature", foreign)
    assert raw_venue.orders[mine].closed
    assert not raw_venue.orders[foreign].closed
