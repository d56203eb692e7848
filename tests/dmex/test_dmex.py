"""DMEX through the Router over real sockets: our reports against the simulated venue's book and wire."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from router import (
    Cancel,
    CancelReport,
    CannotList,
    CxlRejReason,
    IdKind,
    Order,
    OrdRejReason,
    OrdStatus,
    Outcome,
    ReadFailed,
    Router,
)
from router.testing import Switches

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "dmex_vectors.json").read_text())
ZERO = "0x" + "0" * 64
KEY = "0x" + "22" * 32


def limit(**options: Any) -> Order:
    return Order("dmex", "btcusd", "buy", "limit", "10", "100000", options=options)


class Encoder:
    """Makes hashes that no recipe made, and the frame data that the venue wants."""

    def __init__(self) -> None:
        self.address = ""
        self.hashes: list[str] = []

    def __call__(self, order: Order) -> tuple[str, Mapping[str, Any]]:
        self.hashes.append("0x" + secrets.token_hex(32))
        assert order.price is not None
        return self.hashes[-1], {
            "hash": self.hashes[-1],
            "user_address": self.address,
            "base_token": "0x" + "00" * 20,
            "asset": order.symbol,
            "amount": str(int(order.quantity.scaleb(8))),
            "price": str(int(order.price.scaleb(8))),
            "side": order.side == "buy",
            "nonce": len(self.hashes),
            "leverage": str(int(order.options.get("leverage", 1)) * 10**8),
            "replace_hash": order.options.get("replace_hash", ZERO),
        }


@pytest.fixture
async def placing(dmex_sim: DmexSimulator) -> AsyncIterator[Router]:
    """A Router that can place orders, without a REST address."""
    encoder = Encoder()
    adapter = Dmex(dmex_sim.private_key, url=dmex_sim.url, order_encoder=encoder)
    encoder.address = adapter.address
    async with Router({"dmex": adapter}) as router:
        yield router


@pytest.fixture
async def reading(dmex_sim: DmexSimulator) -> AsyncIterator[Router]:
    """A Router that can read orders back."""
    async with Router({"dmex": Dmex(**dmex_sim.credentials)}) as router:
        yield router


async def in_doubt(router: Router, order_hash: str) -> CancelReport:
    report = await router.cancel("dmex", order_hash, deadline=0.2)
    assert report.outcome is Outcome.UNKNOWN
    return report


def ok(order_hash: str) -> dict[str, Any]:
    return {"op": "cancel_order", "success": True, "data": {"order_hash": order_hash}}


# -- cancelling


async def test_a_cancel_is_the_documented_frame_and_nothing_comes_before_it(
    dmex: Router, dmex_sim: DmexSimulator
) -> None:
    order_hash = dmex_sim.rest()
    report = await dmex.cancel("dmex", order_hash)
    assert (report.outcome, report.status) == (Outcome.CONFIRMED, OrdStatus.CANCELED)
    assert [(row.order_id, row.status) for row in report.orders] == [(order_hash, OrdStatus.CANCELED)]
    [sent] = dmex_sim.received
    data = sent.message["data"]
    assert (sent.message.keys(), data.keys()) == ({"op", "data"}, {"order_hash", "v", "r", "s"})
    assert (data["order_hash"], data["v"] in {27, 28}, len(data["r"]), len(data["s"])) == (order_hash, True, 66, 66)
    assert dmex_sim.orders[order_hash].closed


async def test_signatures_with_leading_zeros_are_taken_by_a_strict_venue() -> None:
    vectors = [vector for vector in VECTORS if vector["r"].startswith("0x00") or vector["s"].startswith("0x00")]
    for vector in vectors[:4]:
        async with (
            DmexSimulator(private_key=vector["private_key"]) as sim,
            Router({"dmex": Dmex(vector["private_key"], url=sim.url)}) as router,
        ):
            report = await router.cancel("dmex", sim.rest(vector["order_hash"]))
            [sent] = sim.commands("cancel_order")
            assert report.outcome is Outcome.CONFIRMED
            assert sent.message["data"] == {name: vector[name] for name in ("order_hash", "v", "r", "s")}


async def test_no_signature_in_a_report(dmex: Router, dmex_sim: DmexSimulator) -> None:
    order_hash = dmex_sim.rest()
    dmex_sim.switches = Switches(hold=True)
    cancelling = asyncio.ensure_future(dmex.cancel("dmex", order_hash))
    [sent] = await dmex_sim.until(1, "cancel_order")
    await dmex_sim.until_held(1)
    await dmex_sim.send(ok(order_hash) | {"echo": sent.message})
    report = await cancelling
    assert report.outcome is Outcome.CONFIRMED
    assert sent.message["data"]["r"] not in repr(report) + report.raw
    assert sent.message["data"]["s"] not in repr(report) + report.raw


async def test_an_upper_case_hash_names_the_same_order(dmex: Router, dmex_sim: DmexSimulator) -> None:
    order_hash = dmex_sim.rest()
    report = await dmex.cancel("dmex", "0x" + order_hash[2:].upper())
    assert (report.outcome, dmex_sim.orders[order_hash].closed) == (Outcome.CONFIRMED, True)


async def test_only_the_owner_is_obeyed(dmex_sim: DmexSimulator) -> None:
    order_hash = dmex_sim.rest()
    async with Router({"dmex": Dmex(KEY, url=dmex_sim.url)}) as stranger:
        report = await stranger.cancel("dmex", order_hash)
    assert (report.outcome, report.reason, report.text) == (Outcome.REFUSED, CxlRejReason.OTHER, "Invalid signature")
    assert not dmex_sim.orders[order_hash].closed


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        ("unknown", CxlRejReason.UNKNOWN_ORDER),
        ("cancelled", CxlRejReason.UNKNOWN_ORDER),
        ("filled", CxlRejReason.TOO_LATE_TO_CANCEL),
    ],
)
@pytest.mark.parametrize("style", ["success", "status"])
async def test_a_refused_cancel(
    dmex: Router, dmex_sim: DmexSimulator, fate: str, reason: CxlRejReason, style: Any
) -> None:
    dmex_sim.reply = style
    order_hash = dmex_sim.rest() if fate != "unknown" else "0x" + "ab" * 32
    if fate == "cancelled":
        dmex_sim.close(order_hash)
    elif fate == "filled":
        dmex_sim.fill(order_hash)
    report = await dmex.cancel("dmex", order_hash)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, reason)
    if reason is CxlRejReason.TOO_LATE_TO_CANCEL:
        assert report.status is OrdStatus.FILLED


async def test_what_may_be_a_private_key_is_not_shown(dmex: Router, dmex_sim: DmexSimulator) -> None:
    report = await dmex.cancel("dmex", "a" * 64)
    assert (report.outcome, "a" * 64 in report.text, "without 0x" in report.text) == (Outcome.NOT_SENT, False, True)
    assert dmex_sim.received == []


@pytest.mark.parametrize("order_hash", ["0x" + "a" * 63, "0x" + "a" * 65, "0x" + "g" * 64, "17"])
async def test_a_hash_that_is_none_is_not_sent(dmex: Router, dmex_sim: DmexSimulator, order_hash: str) -> None:
    report = await dmex.cancel("dmex", order_hash)
    assert (report.outcome, "dmex" in report.text, order_hash in report.text) == (Outcome.NOT_SENT, True, True)
    assert dmex_sim.received == []


@pytest.mark.parametrize("kind", [IdKind.STOP_ORDER, IdKind.CLIENT_ORDER, IdKind.TWAP, IdKind.CLIENT_TWAP])
async def test_a_kind_of_id_that_the_venue_lacks(dmex: Router, dmex_sim: DmexSimulator, kind: IdKind) -> None:
    report = await dmex.cancel(Cancel("dmex", dmex_sim.rest(), kind))
    assert (report.outcome, dmex_sim.received) == (Outcome.NOT_SENT, [])


# -- whose an answer is


async def test_100_cancels_answered_out_of_order(dmex: Router, dmex_sim: DmexSimulator) -> None:
    mine = [dmex_sim.rest() for _ in range(50)]
    ids = [*mine, *("0x" + secrets.token_hex(32) for _ in range(50))]
    random.Random(7).shuffle(ids)  # noqa: S311 - a test order, not a secret
    dmex_sim.switches = Switches(hold=True)
    batch = dmex.cancel_many([Cancel("dmex", each) for each in ids])
    await dmex_sim.until_held(100)
    dmex_sim.release(shuffle=3)
    reports = await batch
    assert [report.request.id for report in reports] == ids
    for report in reports:
        if report.request.id in mine:
            assert (report.outcome, [row.order_id for row in report.orders]) == (Outcome.CONFIRMED, [report.request.id])
        else:
            assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)
    assert len(dmex_sim.commands("cancel_order")) == 100


async def test_100_cancels_whose_answers_name_nothing_are_never_wrong(dmex: Router, dmex_sim: DmexSimulator) -> None:
    dmex_sim.echo_hash = False
    mine = [dmex_sim.rest() for _ in range(50)]
    ids = [*mine, *("0x" + secrets.token_hex(32) for _ in range(50))]
    dmex_sim.switches = Switches(hold=True)
    batch = dmex.cancel_many([Cancel("dmex", each) for each in ids], deadline=0.5)
    await dmex_sim.until_held(100)
    dmex_sim.release(shuffle=3)
    truth = dict.fromkeys(mine, Outcome.CONFIRMED)
    for report in await batch:
        assert report.outcome in {Outcome.UNKNOWN, truth.get(report.request.id, Outcome.REFUSED)}
    assert len(dmex_sim.commands("cancel_order")) == 100


async def test_a_nameless_answer_settles_the_only_request_and_none_of_two(
    dmex: Router, dmex_sim: DmexSimulator
) -> None:
    dmex_sim.echo_hash = False
    assert (await dmex.cancel("dmex", dmex_sim.rest())).outcome is Outcome.CONFIRMED
    dmex_sim.switches = Switches(mute=True)
    await in_doubt(dmex, dmex_sim.rest())
    dmex_sim.switches = Switches()
    report = await dmex.cancel("dmex", dmex_sim.rest(), deadline=0.3)
    assert report.outcome is Outcome.UNKNOWN, "a request that timed out is still a candidate"


async def test_the_late_nameless_answer_of_a_settled_cancel_is_not_anothers(
    reading: Router, dmex_sim: DmexSimulator
) -> None:
    dmex_sim.echo_hash = False
    dmex_sim.switches = Switches(hold=True, only=frozenset({"cancel_order"}))
    report = await in_doubt(reading, dmex_sim.rest())
    assert (await report.settled(timeout=5)).outcome is Outcome.CONFIRMED, "by reading"
    other = asyncio.ensure_future(reading.cancel("dmex", "0x" + "ab" * 32, deadline=0.4))
    await dmex_sim.until_held(2)
    dmex_sim.release(1)
    assert (await other).outcome in {Outcome.UNKNOWN, Outcome.REFUSED}


@pytest.mark.parametrize(
    "frame",
    [
        {"event": "price", "data": {}},
        {"op": "cancel_order", "success": True, "data": {"order_hash": "0x" + "cd" * 32}},
        {"op": "cancel_order", "success": False, "error": "Order not found", "data": {"order_hash": "0x" + "cd" * 32}},
        {"op": "create_order", "success": True, "data": {}},
        {"op": "cancel_order", "data": {}},
    ],
    ids=json.dumps,
)
async def test_what_never_answers_a_cancel(dmex: Router, dmex_sim: DmexSimulator, frame: dict[str, Any]) -> None:
    order_hash, other = dmex_sim.rest(), dmex_sim.rest()
    dmex_sim.switches = Switches(hold=True)
    cancelling = asyncio.ensure_future(dmex.cancel("dmex", order_hash))
    await dmex_sim.until_held(1)
    dmex_sim.switches = Switches()
    await dmex_sim.send(frame)
    assert (await dmex.cancel("dmex", other)).ok, "a fence: the frame before has been read"
    assert not cancelling.done()
    dmex_sim.release()
    assert (await cancelling).outcome is Outcome.CONFIRMED


async def test_greetings_and_pushes_are_no_answers() -> None:
    async with (
        DmexSimulator(greeting=True, push=True) as sim,
        Router({"dmex": Dmex(sim.private_key, url=sim.url)}) as router,
    ):
        assert (await router.cancel("dmex", sim.rest())).outcome is Outcome.CONFIRMED
        assert (await router.cancel("dmex", "0x" + "ab" * 32)).outcome is Outcome.REFUSED


# -- silence and doubt


@pytest.mark.parametrize("fault", [Switches(mute=True), Switches(deaf=True)], ids=["mute", "deaf"])
async def test_a_silent_venue_is_unknown_at_the_deadline_and_not_before(
    dmex: Router, dmex_sim: DmexSimulator, clock: Callable[[], float], fault: Switches
) -> None:
    dmex_sim.switches = fault
    begun = clock()
    report = await in_doubt(dmex, dmex_sim.rest())
    assert clock() - begun >= 0.2
    assert (report.answered_at, report.sent_at is not None) == (None, True)
    assert (await report.settled(timeout=0.05)).outcome is Outcome.UNKNOWN
    assert len(dmex_sim.commands("cancel_order")) == 1


@pytest.mark.parametrize("known", [True, False], ids=["cancelled", "refused"])
async def test_a_late_answer_settles(dmex: Router, dmex_sim: DmexSimulator, known: bool) -> None:
    dmex_sim.switches = Switches(hold=True)
    report = await in_doubt(dmex, dmex_sim.rest() if known else "0x" + "ab" * 32)
    settling = asyncio.ensure_future(report.settled(timeout=5))
    dmex_sim.release()
    assert (await settling).outcome is (Outcome.CONFIRMED if known else Outcome.REFUSED)
    assert dmex.health()["dmex"].unknown == 0


async def test_an_answer_without_a_verdict_is_unknown(dmex: Router, dmex_sim: DmexSimulator) -> None:
    dmex_sim.reply = "verdictless"
    await in_doubt(dmex, dmex_sim.rest())


async def test_a_dropped_connection_is_waited_out_and_the_library_reconnects(
    dmex: Router, dmex_sim: DmexSimulator, clock: Callable[[], float]
) -> None:
    order_hash = dmex_sim.rest()
    dmex_sim.switches = Switches(deaf=True)
    begun = clock()
    cancelling = asyncio.ensure_future(dmex.cancel("dmex", order_hash, deadline=0.4))
    await dmex_sim.until(1, "cancel_order")
    await dmex_sim.drop_connections()
    report = await cancelling
    assert (report.outcome, clock() - begun >= 0.4) == (Outcome.UNKNOWN, True)
    dmex_sim.switches = Switches()
    again = await dmex.cancel("dmex", order_hash)
    assert (again.outcome, dmex_sim.orders[order_hash].closed) == (Outcome.CONFIRMED, True)


# -- reading back


@pytest.mark.parametrize(
    ("filled", "outcome", "status"),
    [(False, Outcome.CONFIRMED, OrdStatus.CANCELED), (True, Outcome.REFUSED, OrdStatus.FILLED)],
    ids=["cancelled", "filled"],
)
async def test_a_read_tells_a_cancelled_order_from_a_filled_one(
    reading: Router, dmex_sim: DmexSimulator, filled: bool, outcome: Outcome, status: OrdStatus
) -> None:
    order_hash = dmex_sim.rest()
    dmex_sim.switches = Switches(mute=not filled, deaf=filled)
    report = await in_doubt(reading, order_hash)
    if filled:
        dmex_sim.fill(order_hash)
    settled = await report.settled(timeout=5)
    assert (settled.outcome, settled.status) == (outcome, status)
    assert settled.reason is (CxlRejReason.TOO_LATE_TO_CANCEL if filled else None)
    assert [row.order_id for row in settled.orders] == [order_hash]
    assert len(dmex_sim.commands("cancel_order")) == 1


async def test_a_read_that_still_shows_the_order_settles_nothing(reading: Router, dmex_sim: DmexSimulator) -> None:
    dmex_sim.switches = Switches(deaf=True)
    report = await in_doubt(reading, dmex_sim.rest())
    assert (await report.settled(timeout=0.3)).outcome is Outcome.UNKNOWN


async def test_a_read_that_does_not_show_the_order_proves_nothing_yet(reading: Router, dmex_sim: DmexSimulator) -> None:
    dmex_sim.rest_open_only = True
    dmex_sim.switches = Switches(mute=True)
    report = await in_doubt(reading, dmex_sim.rest())
    assert (await report.settled(timeout=0.3)).outcome is Outcome.UNKNOWN


async def test_open_orders_lists_what_is_open_as_addresses(reading: Router, dmex_sim: DmexSimulator) -> None:
    first, second, third = (dmex_sim.rest(asset=asset) for asset in ("btcusd", "ethusd", "solusd"))
    dmex_sim.close(third)
    dmex_sim.rest(owner="0x" + "11" * 20)
    rows = await reading.open_orders("dmex")
    assert [(row.order_id, row.symbol) for row in rows] == [(first, "btcusd"), (second, "ethusd")]
    assert all([(await reading.cancel(row)).ok for row in rows])


async def test_without_a_rest_address_nothing_can_be_listed(dmex: Router, dmex_sim: DmexSimulator) -> None:
    with pytest.raises(CannotList, match="dmex"):
        await dmex.open_orders("dmex")
    assert dmex_sim.received == []


async def test_a_list_that_cannot_be_had_is_no_empty_list(reading: Router, dmex_sim: DmexSimulator) -> None:
    dmex_sim.switches = Switches(hang_up=True, only=frozenset({"GET orders"}))
    with pytest.raises(ReadFailed, match="dmex"):
        await reading.open_orders("dmex")


# -- placing


async def test_without_an_encoder_nothing_is_placed(dmex: Router, dmex_sim: DmexSimulator) -> None:
    report = await dmex.submit(limit())
    assert (report.outcome, "order_encoder" in report.text, dmex_sim.received) == (Outcome.NOT_SENT, True, [])


async def test_an_encoded_order_is_placed_and_cancelled_by_its_hash(placing: Router, dmex_sim: DmexSimulator) -> None:
    order = limit(leverage=10)
    placed = await placing.submit(order)
    [theirs] = dmex_sim.orders.values()
    assert (placed.outcome, placed.order_id, placed.kind) == (Outcome.CONFIRMED, theirs.hash, IdKind.ORDER)
    assert (theirs.amount, theirs.price, theirs.leverage) == (10 * 10**8, 100_000 * 10**8, 10 * 10**8)
    report = await placing.cancel(order)
    assert (report.outcome, theirs.closed) == (Outcome.CONFIRMED, True)
    create, cancel = dmex_sim.received
    names = ("v", "r", "s")
    assert [create.message["data"][name] for name in names] == [cancel.message["data"][name] for name in names]


async def test_replace_hash_goes_through_options_and_swaps_the_orders(placing: Router, dmex_sim: DmexSimulator) -> None:
    old = await placing.submit(limit())
    new = await placing.submit(limit(replace_hash=old.order_id))
    assert (new.outcome, dmex_sim.commands("create_order")[1].message["data"]["replace_hash"]) == (
        Outcome.CONFIRMED,
        old.order_id,
    )
    assert [order.closed for order in dmex_sim.orders.values()] == [True, False]
    assert (await placing.cancel(new)).ok
    assert (await placing.cancel(old)).outcome is Outcome.REFUSED


async def test_a_replacement_of_an_order_that_is_gone_is_refused(placing: Router, dmex_sim: DmexSimulator) -> None:
    report = await placing.submit(limit(replace_hash="0x" + "ab" * 32))
    assert (report.outcome, report.reason, dmex_sim.orders) == (Outcome.REFUSED, OrdRejReason.UNKNOWN_ORDER, {})


async def test_an_order_that_the_venue_refuses(placing: Router, dmex_sim: DmexSimulator) -> None:
    report = await placing.submit(limit(leverage=0))
    assert (report.outcome, report.text, dmex_sim.orders) == (Outcome.REFUSED, "Invalid leverage", {})


async def test_100_orders_answered_out_of_order(placing: Router, dmex_sim: DmexSimulator) -> None:
    dmex_sim.switches = Switches(hold=True)
    orders = [Order("dmex", "btcusd", "buy", "limit", "10", str(1000 + number)) for number in range(100)]
    submitting = asyncio.gather(*(placing.submit(order) for order in orders))
    await dmex_sim.until_held(100)
    dmex_sim.release(shuffle=5)
    for order, report in zip(orders, await submitting, strict=True):
        assert order.price is not None
        assert (report.outcome, dmex_sim.orders[str(report.order_id)].price) == (
            Outcome.CONFIRMED,
            int(order.price) * 10**8,
        )


async def test_an_unanswered_order_of_ours_can_be_cancelled_by_its_hash(
    placing: Router, dmex_sim: DmexSimulator
) -> None:
    dmex_sim.switches = Switches(mute=True)
    order = limit()
    report = await placing.submit(order, deadline=0.2)
    assert (report.outcome, report.order_id) == (Outcome.UNKNOWN, next(iter(dmex_sim.orders)))
    dmex_sim.switches = Switches()
    assert (await placing.cancel(report)).outcome is Outcome.CONFIRMED
    assert len(dmex_sim.commands("create_order")) == 1


async def test_there_is_no_native_replace(placing: Router, dmex_sim: DmexSimulator) -> None:
    placed = await placing.submit(limit())
    report = await placing.replace(placed, price="99000")
    assert (report.outcome, len(dmex_sim.received)) == (Outcome.NOT_SENT, 1)
