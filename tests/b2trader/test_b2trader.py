"""B2TRADER through the Router over real HTTP: our reports against the simulated venue's book and wire."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import jwt
import pytest

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator, Market, markets
from router import (
    Cancel,
    CancelReport,
    CannotList,
    CxlRejReason,
    IdKind,
    LoginRefused,
    Order,
    OrdStatus,
    Outcome,
    Router,
    SubmitReport,
    VenueError,
    VenueUnreachable,
)
from router.testing import Switches

V4 = "application/json; x-api-version=4.0"
LOTS = {"unit": "lots"}
DELETES = ("DELETE orders", "DELETE stop-orders")
POSTS = ("POST orders", "POST stop-orders")


def limit(symbol: str = "spot.btc_usdt", **changes: Any) -> Order:
    return Order("xbtfx", symbol, "buy", "limit", **{"quantity": "0.02", "price": "110000"} | changes)


def stop(symbol: str = "spot.btc_usdt", **changes: Any) -> Order:
    return Order("xbtfx", symbol, "buy", "stop", **{"quantity": "0.01", "stop_price": "128000"} | changes)


async def place(router: Router, order: Order | None = None) -> SubmitReport:
    report = await router.submit(order or limit())
    assert report.ok, report
    return report


def stop_cancel(order_id: str) -> Cancel:
    return Cancel("xbtfx", order_id, IdKind.STOP_ORDER)


def attempts(sim: B2TraderSimulator, *commands: str) -> Counter[str]:
    """How often each path was asked for."""
    return Counter(item.message["path"] for item in sim.commands(*(commands or DELETES)))


async def rounds(router: Router, sim: B2TraderSimulator, count: int) -> list[str]:
    return [str((await place(router)).order_id) for _ in range(count)]


# -- every kind of order


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        (limit(), IdKind.ORDER),
        (limit(time_in_force="day"), IdKind.ORDER),
        (limit("cfd.eth_eur", quantity="3", price="3900", options=LOTS | {"leverage": 5}), IdKind.ORDER),
        (limit("perp.btc_usdt", quantity="3", options=LOTS), IdKind.ORDER),
        (stop(), IdKind.STOP_ORDER),
        (Order("xbtfx", "spot.btc_usdt", "buy", "stop_limit", "0.01", "128100", "128000"), IdKind.STOP_ORDER),
        (stop("cfd.eth_eur", quantity="3", stop_price="4000", options=LOTS), IdKind.STOP_ORDER),
        (stop("perp.btc_usdt", quantity="3", options=LOTS), IdKind.STOP_ORDER),
    ],
    ids=["spot", "day", "cfd", "perp", "spot stop", "stop limit", "cfd stop", "perp stop"],
)
async def test_every_kind_is_placed_and_cancelled(
    b2: Router, b2_sim: B2TraderSimulator, order: Order, kind: IdKind
) -> None:
    placed = await place(b2, order)
    theirs: Any = (b2_sim.orders | b2_sim.stops)[str(placed.order_id)]
    asked = theirs.ticket.requested_lot_amount if "unit" in order.options else theirs.ticket.requested_amount
    assert (placed.kind, theirs.live, asked) == (kind, True, order.quantity)
    report = await b2.cancel(placed)
    assert (report.outcome, report.status, theirs.live) == (Outcome.CONFIRMED, OrdStatus.CANCELED, False)
    assert [(row.order_id, row.kind) for row in report.orders] == [(placed.order_id, kind)]
    assert sum(attempts(b2_sim).values()) == 1


async def test_a_market_order_is_completed_and_cannot_be_cancelled(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2, Order("xbtfx", "spot.btc_usdt", "buy", "market", "0.5"))
    assert (placed.status, placed.cum_quantity) == (OrdStatus.FILLED, Decimal("0.5"))
    report = await b2.cancel(placed)
    assert (report.outcome, report.reason, report.status) == (
        Outcome.REFUSED,
        CxlRejReason.UNKNOWN_ORDER,
        OrdStatus.FILLED,
    )


async def test_the_cancel_of_a_stop_is_on_the_wire_exactly_as_documented(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2, stop())
    await b2.cancel(placed)
    [sent] = b2_sim.commands("DELETE stop-orders")
    assert sent.message == {"path": f"/frontoffice/api/v3/stop-orders/{placed.order_id}", "body": ""}
    assert (sent.headers["content-type"], sent.headers["accountid"]) == (V4, b2_sim.account_id)
    assert sent.headers["authorization"].startswith("Bearer eyJ")
    assert sent.headers["accept"] == "*/*"
    assert "x-api-version" not in sent.headers


async def test_the_cancel_of_an_order_has_no_content_type(b2: Router, b2_sim: B2TraderSimulator) -> None:
    await b2.cancel(await place(b2))
    [sent] = b2_sim.commands("DELETE orders")
    assert "content-type" not in sent.headers
    assert (sent.message["body"], sent.headers.get("content-length", "0")) == ("", "0")


async def test_the_post_of_a_spot_order_names_no_version(b2: Router, b2_sim: B2TraderSimulator) -> None:
    await place(b2, limit(quantity="2E-2", price="1.1E+5"))
    await place(b2, stop())
    order, stopped = b2_sim.commands(*POSTS)
    assert (order.headers["content-type"], stopped.headers["content-type"]) == ("application/json", V4)
    terms = order.message["body"]["order"]
    assert (terms["requestedAmount"], terms["requestedPrice"]) == ("0.02", "110000")


# -- the stop-cancel replies


@pytest.mark.parametrize(("mode", "sent"), [("rejected", 1), ("dated", 1), ("unchanged", 2)])
async def test_the_three_ways_in_which_a_cancelled_stop_looks(
    b2: Router, b2_sim: B2TraderSimulator, mode: Any, sent: int
) -> None:
    placed = await place(b2, stop())
    b2_sim.stop_cancel_mode = mode
    report = await b2.cancel(placed)
    assert (report.outcome, report.status, report.reason) == (Outcome.CONFIRMED, OrdStatus.CANCELED, None)
    assert [(row.order_id, row.status) for row in report.orders] == [(placed.order_id, OrdStatus.CANCELED)]
    assert (b2_sim.stops[str(placed.order_id)].live, sum(attempts(b2_sim).values())) == (False, sent)


async def test_a_cancel_that_the_venue_ignores_is_unknown_after_one_probe(
    b2: Router, b2_sim: B2TraderSimulator
) -> None:
    placed = await place(b2, stop())
    b2_sim.stop_cancel_ignored = True
    report = await b2.cancel(placed, deadline=2)
    assert (report.outcome, b2_sim.stops[str(placed.order_id)].live) == (Outcome.UNKNOWN, True)
    assert sum(attempts(b2_sim).values()) == 2
    assert (await report.settled(timeout=0.05)).outcome is Outcome.UNKNOWN


async def test_a_probe_that_fails_refuses_nothing(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2, stop())
    b2_sim.stop_cancel_mode = "unchanged"
    b2_sim.switches = Switches(hold=True)
    cancelling = asyncio.ensure_future(b2.cancel(placed, deadline=2))
    await b2_sim.until_held(1)
    b2_sim.fail_next = [403]
    b2_sim.switches = Switches()
    b2_sim.release()
    assert (await cancelling).outcome is Outcome.UNKNOWN
    assert sum(attempts(b2_sim).values()) == 2


async def test_a_probe_whose_token_has_ended_is_made_with_a_new_one(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2, stop())
    b2_sim.stop_cancel_mode = "unchanged"
    b2_sim.switches = Switches(hold=True)
    cancelling = asyncio.ensure_future(b2.cancel(placed, deadline=2))
    await b2_sim.until_held(1)
    b2_sim.expire_tokens()
    b2_sim.switches = Switches()
    b2_sim.release()
    assert (await cancelling).outcome is Outcome.CONFIRMED
    assert (sum(attempts(b2_sim).values()), b2_sim.tokens_issued) == (3, 2)


async def test_an_activated_stop_was_too_late_and_names_the_danger(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2, stop())
    b2_sim.activate(str(placed.order_id))
    report = await b2.cancel(placed)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL)
    assert "live" in report.text


async def test_an_activated_stop_that_the_venue_no_longer_shows(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2, stop())
    b2_sim.activated_visible = False
    b2_sim.activate(str(placed.order_id))
    report = await b2.cancel(placed)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)


async def test_a_stop_whose_order_was_refused_is_an_unknown_order(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2, stop())
    b2_sim.refuse_activation(str(placed.order_id))
    report = await b2.cancel(placed)
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)


@pytest.mark.parametrize(
    ("asked", "other"), [(IdKind.ORDER, "stop_order"), (IdKind.STOP_ORDER, "order")], ids=["order", "stop"]
)
async def test_an_id_of_the_other_kind_is_refused_and_the_other_kind_named(
    b2: Router, b2_sim: B2TraderSimulator, asked: IdKind, other: str
) -> None:
    placed = await place(b2, stop() if asked is IdKind.ORDER else limit())
    report = await b2.cancel(Cancel("xbtfx", str(placed.order_id), asked))
    assert (report.outcome, report.reason) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER)
    assert f"kind={other!r}" in report.text
    assert (b2_sim.orders | b2_sim.stops)[str(placed.order_id)].live


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        ("Cancelled", Outcome.CONFIRMED, None),
        ("Expired", Outcome.CONFIRMED, None),
        ("Completed", Outcome.REFUSED, CxlRejReason.TOO_LATE_TO_CANCEL),
        ("Started", Outcome.UNKNOWN, None),
        ("Pending", Outcome.UNKNOWN, None),
        ("Working", Outcome.UNKNOWN, None),
        ("Rejected", Outcome.UNKNOWN, None),
        ("Banana", Outcome.UNKNOWN, None),
    ],
)
async def test_the_status_of_an_order_after_its_cancel(
    b2: Router, b2_sim: B2TraderSimulator, status: str, outcome: Outcome, reason: CxlRejReason | None
) -> None:
    placed = await place(b2)
    b2_sim.order_cancel_status = status
    report = await b2.cancel(placed)
    assert (report.outcome, report.reason, len(b2_sim.commands(*DELETES))) == (outcome, reason, 1)
    if status == "Completed":
        assert (report.status, [row.cum_quantity for row in report.orders]) == (OrdStatus.FILLED, [Decimal("0.02")])


# -- placements


@pytest.mark.parametrize("mode", ["400", "200"])
@pytest.mark.parametrize("order", [limit, stop], ids=["order", "stop"])
async def test_a_rejected_placement_is_refused_whatever_the_status_code(
    b2: Router, b2_sim: B2TraderSimulator, mode: Any, order: Callable[[], Order]
) -> None:
    b2_sim.funds_mode, b2_sim.reject_next = mode, 1
    report = await b2.submit(order())
    assert (report.outcome, report.reason is not None) == (Outcome.REFUSED, True)
    assert not any(theirs.live for theirs in (b2_sim.orders | b2_sim.stops).values())
    assert len(b2_sim.commands(*POSTS)) == 1


@pytest.mark.parametrize("symbol", ["cfd.eth_eur", "perp.btc_usdt"])
@pytest.mark.parametrize("order", [limit, stop], ids=["order", "stop"])
async def test_lots_must_be_said(
    b2: Router, b2_sim: B2TraderSimulator, symbol: str, order: Callable[[str], Order]
) -> None:
    report = await b2.submit(order(symbol))
    assert (report.outcome, "lots" in report.text) == (Outcome.NOT_SENT, True)
    assert b2_sim.commands(*POSTS) == []


async def test_a_submit_with_no_answer_is_unknown_and_never_repeated(b2: Router, b2_sim: B2TraderSimulator) -> None:
    b2_sim.switches = Switches(hang_up=True)
    report = await b2.submit(limit(), deadline=0.3)
    assert (report.outcome, len(b2_sim.orders)) == (Outcome.UNKNOWN, 1)
    assert (await report.settled(timeout=0.05)).outcome is Outcome.UNKNOWN
    assert len(b2_sim.commands(*POSTS)) == 1


# -- whose an answer is


async def test_100_cancels_answered_out_of_order(b2: Router, b2_sim: B2TraderSimulator) -> None:
    mine = await rounds(b2, b2_sim, 50)
    ids = [*mine, *(f"01K2UNKNOWN{number:015d}" for number in range(50))]
    random.Random(7).shuffle(ids)  # noqa: S311 - a test order, not a secret
    b2_sim.switches = Switches(hold=True)
    batch = b2.cancel_many([Cancel("xbtfx", each, IdKind.ORDER) for each in ids])
    await b2_sim.until_held(100)
    b2_sim.release(shuffle=3)
    reports = await batch
    assert [report.request.id for report in reports] == ids
    for report in reports:
        if report.request.id in mine:
            assert (report.outcome, [row.order_id for row in report.orders]) == (Outcome.CONFIRMED, [report.request.id])
        else:
            assert (report.outcome, report.reason, report.orders) == (Outcome.REFUSED, CxlRejReason.UNKNOWN_ORDER, ())
    assert set(attempts(b2_sim).values()) == {1}
    assert not any(order.live for order in b2_sim.orders.values())


# -- the status code decides


@pytest.mark.parametrize("style", ["problem", "errors", "empty", "html"])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, Outcome.REFUSED),
        (403, Outcome.REFUSED),
        (404, Outcome.REFUSED),
        (422, Outcome.REFUSED),
        *((status, Outcome.UNKNOWN) for status in (301, 302, 303, 307, 308, 408, 409, 418, 500, 502, 503, 504)),
    ],
)
async def test_the_status_code_decides_and_there_is_one_attempt(
    b2: Router, b2_sim: B2TraderSimulator, status: int, outcome: Outcome, style: Any
) -> None:
    placed = await place(b2)
    b2_sim.error_style, b2_sim.fail_next = style, [status]
    report = await b2.cancel(placed, deadline=1)
    assert (report.outcome, str(status) in report.text) == (outcome, True)
    assert (attempts(b2_sim), b2_sim.redirects_followed) == (
        {f"/frontoffice/api/v3/orders/{placed.order_id}": 1},
        0,
    )
    assert b2_sim.orders[str(placed.order_id)].live


@pytest.mark.parametrize("style", ["empty", "html"])
@pytest.mark.parametrize("status", [200, 202, 204])
async def test_a_success_that_cannot_be_read_is_unknown(
    b2: Router, b2_sim: B2TraderSimulator, status: int, style: Any
) -> None:
    placed = await place(b2)
    b2_sim.error_style, b2_sim.fail_next = style, [status]
    report = await b2.cancel(placed, deadline=1)
    assert (report.outcome, b2.health()["xbtfx"].garbled, len(b2_sim.commands(*DELETES))) == (Outcome.UNKNOWN, 1, 1)


async def test_a_redirect_of_a_placement_is_not_followed(b2: Router, b2_sim: B2TraderSimulator) -> None:
    b2_sim.fail_next = [307]
    assert (await b2.submit(limit(), deadline=1)).outcome is Outcome.UNKNOWN
    assert (b2_sim.redirects_followed, b2_sim.orders, len(b2_sim.commands(*POSTS))) == (0, {}, 1)


async def test_a_429_is_tried_again_after_what_the_venue_says(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2)
    b2_sim.retry_after, b2_sim.fail_next = 0, [429, 429]
    report = await b2.cancel(placed)
    assert (report.outcome, len(b2_sim.commands(*DELETES))) == (Outcome.CONFIRMED, 3)


async def test_a_429_with_no_attempt_left_is_refused(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2)
    b2_sim.fail_next = [429]
    report = await b2.cancel(placed, deadline=0.3)
    assert (report.outcome, "429" in report.text, len(b2_sim.commands(*DELETES))) == (Outcome.REFUSED, True, 1)


async def test_429s_without_end_end_refused(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2)
    b2_sim.retry_after, b2_sim.fail_next = 0, [429] * 1000
    report = await b2.cancel(placed, deadline=1)
    assert (report.outcome, "429" in report.text) == (Outcome.REFUSED, True)
    assert b2_sim.orders[str(placed.order_id)].live


# -- tokens


async def test_50_requests_share_one_renewal_after_their_401s(b2: Router, b2_sim: B2TraderSimulator) -> None:
    ids = await rounds(b2, b2_sim, 50)
    b2_sim.expire_tokens()
    b2_sim.switches = Switches(hold=True)
    batch = b2.cancel_many([Cancel("xbtfx", each, IdKind.ORDER) for each in ids])
    await b2_sim.until_held(50)
    b2_sim.switches = Switches()
    b2_sim.release(shuffle=2)
    reports = await batch
    assert {report.outcome for report in reports} == {Outcome.CONFIRMED}
    assert (len(b2_sim.commands("POST access-token")), b2_sim.tokens_issued) == (2, 2)
    assert set(attempts(b2_sim).values()) == {2}


async def test_a_placement_is_repeated_after_a_401_because_it_was_not_executed(
    b2: Router, b2_sim: B2TraderSimulator
) -> None:
    b2_sim.expire_tokens()
    await place(b2)
    assert (len(b2_sim.orders), len(b2_sim.commands(*POSTS))) == (1, 2)


async def test_401s_without_end_are_refused_after_one_new_attempt(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2)
    b2_sim.fail_next = [401] * 10
    report = await b2.cancel(placed)
    assert (report.outcome, "401" in report.text) == (Outcome.REFUSED, True)
    assert (len(b2_sim.commands(*DELETES)), len(b2_sim.commands("POST access-token"))) == (2, 2)


async def test_a_fixed_token_that_is_refused_cannot_be_renewed(b2_sim: B2TraderSimulator) -> None:
    token = b2_sim.token()
    async with Router({"xbtfx": B2Trader(b2_sim.url, b2_sim.account_id, token)}) as router:
        placed = await place(router)
        b2_sim.expire_tokens()
        report = await router.cancel(placed)
        assert (report.outcome, token in str(report) + report.raw) == (Outcome.REFUSED, False)
    assert (len(b2_sim.commands(*DELETES)), b2_sim.commands("POST access-token")) == (1, [])


async def test_health_warns_of_the_end_of_a_fixed_token(b2_sim: B2TraderSimulator) -> None:
    b2_sim.token_life = 60
    async with Router({"xbtfx": B2Trader(b2_sim.url, b2_sim.account_id, b2_sim.token())}) as router:
        health = router.health()["xbtfx"]
    assert health.token_expires_at is not None
    assert 0 < health.token_expires_at.timestamp() - time.time() <= 60
    assert "expires" in health.warning


@pytest.mark.parametrize("exp", [int(time.time() * 1000), 10**30, -1, 0, "soon"])
async def test_a_token_with_a_strange_end_breaks_nothing(b2_sim: B2TraderSimulator, exp: Any) -> None:
    token = jwt.encode({"iss": "b2trader-simulator"}, "k" * 32) if isinstance(exp, str) else _with_end(exp)
    async with Router({"xbtfx": B2Trader(b2_sim.url, b2_sim.account_id, token)}) as router:
        assert isinstance(router.health()["xbtfx"].warning, str)
        assert (await router.cancel("xbtfx", "X1", deadline=1)).outcome is Outcome.REFUSED


def _with_end(exp: int) -> str:
    return jwt.encode({"exp": exp}, "k" * 32)


async def test_a_callable_fetches_tokens_and_again_after_a_401(b2_sim: B2TraderSimulator) -> None:
    calls = 0

    async def fetch() -> str:
        nonlocal calls
        calls += 1
        return b2_sim.token()

    async with Router({"xbtfx": B2Trader(b2_sim.url, b2_sim.account_id, fetch)}) as router:
        placed = await place(router)
        assert calls == 1
        b2_sim.expire_tokens()
        assert (await router.cancel(placed)).ok
    assert (calls, b2_sim.commands("POST access-token")) == (2, [])


async def test_a_callable_that_raises_fails_the_login_without_its_secret(b2_sim: B2TraderSimulator) -> None:
    async def fetch() -> str:
        raise RuntimeError("vault said Bearer abcdefghijklmnop")

    with pytest.raises(VenueError, match="xbtfx") as caught:
        async with Router({"xbtfx": B2Trader(b2_sim.url, b2_sim.account_id, fetch)}):
            pytest.fail("entered")
    assert "abcdefghijklmnop" not in str(caught.value)


async def test_a_token_is_renewed_in_the_background_before_its_end(b2_sim: B2TraderSimulator) -> None:
    b2_sim.token_life = 1  # due after 0.8 s or less, as exp has whole seconds
    async with Router({"xbtfx": B2Trader(**b2_sim.credentials)}):
        b2_sim.token_life = 3600
        await b2_sim.until(2, "POST access-token")
    assert b2_sim.tokens_issued == 2


async def test_a_wrong_offline_token_raises_and_names_the_venue(b2_sim: B2TraderSimulator) -> None:
    wrong = "offline-token-that-is-wrong"
    with pytest.raises(LoginRefused, match="xbtfx") as caught:
        async with Router({"xbtfx": B2Trader(b2_sim.url, b2_sim.account_id, offline_token=wrong)}):
            pytest.fail("entered")
    assert (caught.value.venue, wrong in str(caught.value)) == ("xbtfx", False)
    assert len(b2_sim.commands("POST access-token")) == 1


async def test_an_unreachable_host_raises_and_names_the_venue(b2_sim: B2TraderSimulator) -> None:
    credentials = b2_sim.credentials
    await b2_sim.stop()
    with pytest.raises(VenueUnreachable, match="xbtfx"):
        async with Router({"xbtfx": B2Trader(**credentials)}):
            pytest.fail("entered")


# -- silence, and connections that drop


async def test_a_hang_up_on_a_kept_alive_connection_is_one_delete_and_one_repeat_of_ours(
    b2: Router, b2_sim: B2TraderSimulator
) -> None:
    first, second = await rounds(b2, b2_sim, 2)
    assert (await b2.cancel("xbtfx", first)).ok
    b2_sim.switches = Switches(hang_up=True)
    report = await b2.cancel("xbtfx", second, deadline=0.3)
    assert report.outcome is Outcome.UNKNOWN
    assert attempts(b2_sim)[f"/frontoffice/api/v3/orders/{second}"] == 2, "neither hidden repeats nor a third attempt"
    assert not b2_sim.orders[second].live
    assert (await report.settled(timeout=0.05)).outcome is Outcome.UNKNOWN, "404 after a repeat: gone, cause unknown"


@pytest.mark.parametrize("order", [limit, stop], ids=["order", "stop"])
@pytest.mark.parametrize("fault", [Switches(mute=True), Switches(deaf=True)], ids=["mute", "deaf"])
async def test_a_silent_venue_is_unknown_at_the_deadline_and_not_before(
    b2: Router, b2_sim: B2TraderSimulator, clock: Callable[[], float], order: Callable[[], Order], fault: Switches
) -> None:
    placed = await place(b2, order())
    b2_sim.switches = fault
    begun = clock()
    report: CancelReport = await b2.cancel(placed, deadline=0.2)
    assert (report.outcome, clock() - begun >= 0.2) == (Outcome.UNKNOWN, True)
    assert (report.answered_at, report.sent_at is not None, len(b2_sim.commands(*DELETES))) == (None, True, 1)
    assert (await report.settled(timeout=0.05)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("known", [True, False], ids=["cancelled", "refused"])
async def test_a_late_answer_settles(b2: Router, b2_sim: B2TraderSimulator, known: bool) -> None:
    placed = await place(b2)
    b2_sim.switches = Switches(hold=True)
    order_id = str(placed.order_id) if known else "01K2UNKNOWN000000000000000"
    report = await b2.cancel("xbtfx", order_id, deadline=0.2)
    assert report.outcome is Outcome.UNKNOWN
    settling = asyncio.ensure_future(report.settled(timeout=5))
    b2_sim.release()
    assert (await settling).outcome is (Outcome.CONFIRMED if known else Outcome.REFUSED)
    assert len(b2_sim.commands(*DELETES)) == 1


async def test_a_venue_that_has_stopped_was_sent_nothing(b2: Router, b2_sim: B2TraderSimulator) -> None:
    await b2_sim.stop()
    report = await b2.cancel("xbtfx", "01K2UNKNOWN000000000000000", deadline=0.3)
    assert (report.outcome, report.sent_at) == (Outcome.NOT_SENT, None)


# -- what is not sent


@pytest.mark.parametrize("kind", [IdKind.ORDER, IdKind.STOP_ORDER])
@pytest.mark.parametrize(
    "order_id", ["a/b", "..", "../orders/x", "%2e%2e", "a%2fb", "a?b", "a#b", "a\nb", "a\r\nX-Y: z", "a b", "a\\b", "é"]
)
async def test_an_id_that_would_leave_its_place_in_the_path(
    b2: Router, b2_sim: B2TraderSimulator, order_id: str, kind: IdKind
) -> None:
    report = await b2.cancel(Cancel("xbtfx", order_id, kind))
    assert (report.outcome, "xbtfx" in report.text, repr(order_id) in report.text) == (Outcome.NOT_SENT, True, True)
    assert {item.command for item in b2_sim.received} == {"POST access-token"}


@pytest.mark.parametrize("kind", [IdKind.TWAP, IdKind.CLIENT_TWAP, IdKind.CLIENT_ORDER])
async def test_a_kind_of_id_that_the_venue_lacks(b2: Router, b2_sim: B2TraderSimulator, kind: IdKind) -> None:
    report = await b2.cancel(Cancel("xbtfx", "some-id", kind))
    assert (report.outcome, "some-id" in report.text) == (Outcome.NOT_SENT, True)
    assert b2_sim.commands(*DELETES) == []


@pytest.mark.parametrize(
    "order",
    [
        limit("btc_usdt"),
        limit(post_only=True),
        limit(options={"leverage": 3}),
        Order("xbtfx", "spot.btc_usdt", "buy", "twap", "1"),
        Order("xbtfx", "spot.btc_usdt", "buy", "take_profit", "1", stop_price="2"),
    ],
    ids=["symbol", "post_only", "leverage", "twap", "take_profit"],
)
async def test_an_order_that_the_venue_cannot_express(b2: Router, b2_sim: B2TraderSimulator, order: Order) -> None:
    report = await b2.submit(order)
    assert (report.outcome, "xbtfx" in report.text) == (Outcome.NOT_SENT, True)
    assert b2_sim.commands(*POSTS) == []


async def test_a_client_id_of_ours_goes_out_by_venue_id(b2: Router, b2_sim: B2TraderSimulator) -> None:
    order = stop()
    placed = await place(b2, order)
    assert (await b2.cancel(order)).ok
    assert list(attempts(b2_sim)) == [f"/frontoffice/api/v3/stop-orders/{placed.order_id}"]


async def test_open_orders_cannot_be_listed_and_no_empty_list_is_given(b2: Router, b2_sim: B2TraderSimulator) -> None:
    await place(b2)
    with pytest.raises(CannotList, match="xbtfx"):
        await b2.open_orders("xbtfx")


async def test_there_is_no_native_replace(b2: Router, b2_sim: B2TraderSimulator) -> None:
    placed = await place(b2)
    report = await b2.replace(placed, price="111000")
    assert (report.outcome, len(b2_sim.received)) == (Outcome.NOT_SENT, 2)


async def test_digits_survive_the_way_to_the_venue() -> None:
    fine = Market("spot.x_y", "X/Y", "1", "2", price_scale=8, amount_scale=8, min_amount="0.00000001")
    async with (
        B2TraderSimulator(markets=markets(fine)) as sim,
        Router({"xbtfx": B2Trader(**sim.credentials)}) as router,
    ):
        placed = await place(router, limit("spot.x_y", quantity="1E-8", price="0.00000001"))
        theirs = sim.orders[str(placed.order_id)]
        assert (theirs.requested_amount, theirs.ticket.requested_price) == (Decimal("1E-8"), Decimal("1E-8"))
        [sent] = sim.commands("POST orders")
        assert sent.message["body"]["order"]["requestedAmount"] == "0.00000001"
