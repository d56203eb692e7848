"""Cancelling, filling and activating orders at the simulated B2TRADER."""

import pytest

ORDERS = "/frontoffice/api/v3/orders"
NOWHERE = "01K2PMT0VMJG5B8XBDNZ7FNM1F"


async def test_an_order_is_cancelled_once(raw_venue, raw_client):
    key = await raw_client.order()
    status, body = await raw_client.cancel(key, kind=None)
    assert (status, set(body["order"]), body["order"]["status"]) == (200, raw_client.order_fields, "Cancelled")
    assert body["order"]["cancellationDate"] == body["order"]["updatedAt"]
    status, problem = await raw_client.cancel(key, kind=None)
    assert (status, set(problem)) == (404, {"type", "title", "status", "traceId"})
    assert raw_venue.orders[key].status == "Cancelled"
    assert "content-type" not in raw_venue.commands("DELETE orders")[1].headers
    assert [item.message for item in raw_venue.commands("DELETE orders")] == [
        {"path": f"{ORDERS}/{key}", "body": ""}
    ] * 2


@pytest.mark.parametrize("key", [NOWHERE, "%00", "..%2f..", "x" * 4000, "%F0%9F%92%A9", "%ff", "a/b"])
async def test_an_unknown_id_is_not_found(raw_venue, raw_client, key):
    assert (await raw_client.cancel(key))[0] == 404
    assert (await raw_client.cancel_stop(key))[0] == 404
    assert len(raw_venue.received) == 2


async def test_orders_and_stops_are_two_id_spaces(raw_venue, raw_client):
    order, stop = await raw_client.order(), await raw_client.stop()
    assert (await raw_client.cancel_stop(order))[0] == 404
    assert (await raw_client.cancel(stop))[0] == 404
    assert (await raw_client.cancel(order, "/frontoffice/api/cfd/v4/orders"))[0] == 404
    assert raw_venue.orders[order].live
    assert raw_venue.stops[stop].live


async def test_a_filled_order_is_not_found_and_a_part_filled_one_is_cancelled(raw_venue, raw_client):
    whole, part = await raw_client.order(), await raw_client.order()
    raw_venue.fill(whole)
    assert raw_venue.fill(part, "0.005").status == "Working"
    assert (await raw_client.cancel(whole))[0] == 404
    _, body = await raw_client.cancel(part)
    assert (body["order"]["remainingAmount"], body["order"]["executionPrice"]) == ("0.015", "115193.35")
    assert [order.status for order in raw_venue.orders.values()] == ["Completed", "Cancelled"]
    with pytest.raises(ValueError, match="cannot fill"):
        raw_venue.fill(part)


@pytest.mark.parametrize(
    ("status", "remaining", "again"),
    [("Expired", "0.02", 404), ("Completed", "0", 404), ("Working", "0.02", 200), ("Novel", "0.02", 404)],
)
async def test_a_cancelled_order_may_end_otherwise(raw_venue, raw_client, status, remaining, again):
    raw_venue.order_cancel_status = status
    key = await raw_client.order()
    code, body = await raw_client.cancel(key)
    assert (code, body["order"]["status"], body["order"]["remainingAmount"]) == (200, status, remaining)
    assert raw_venue.orders[key].status == status
    assert (await raw_client.cancel(key))[0] == again


@pytest.mark.parametrize(
    ("mode", "status", "dated"),
    [
        ("rejected", "Rejected", False),
        ("dated", "WaitingForActivation", True),
        ("unchanged", "WaitingForActivation", False),
    ],
)
async def test_a_cancelled_stop_is_gone_whatever_it_says(raw_venue, raw_client, mode, status, dated):
    raw_venue.stop_cancel_mode = mode
    key = await raw_client.stop()
    code, body = await raw_client.cancel_stop(key)
    assert (code, set(body["order"]), body["order"]["status"]) == (200, raw_client.stop_fields, status)
    assert (body["order"]["cancellationDate"] is not None) is dated
    assert (await raw_client.cancel_stop(key))[0] == 404
    assert not raw_venue.stops[key].live
    with pytest.raises(ValueError, match="not waiting"):
        raw_venue.activate(key)


async def test_rejected_without_a_date_is_what_it_says_by_default(raw_venue, raw_client):
    key = await raw_client.stop()
    _, body = await raw_client.cancel_stop(key)
    assert (body["order"]["status"], body["order"]["cancellationDate"]) == ("Rejected", None)
    assert raw_venue.stops[key].status == "Rejected"


async def test_an_ignored_stop_cancel_leaves_it_waiting(raw_venue, raw_client):
    key = await raw_client.stop()
    raw_venue.stop_cancel_ignored = True
    answers = [await raw_client.cancel_stop(key) for _ in range(2)]
    assert [(code, body["order"]["status"]) for code, body in answers] == [(200, "WaitingForActivation")] * 2
    assert raw_venue.stops[key].live
    assert raw_venue.activate(key).status == "Completed"


@pytest.mark.parametrize(("side", "price"), [("Buy", "115000"), ("Buy", "115200.2"), ("Sell", "116000")])
async def test_a_stop_on_the_wrong_side_is_activated_at_once(raw_venue, raw_client, side, price):
    limit = {"orderType": "Limit", "requestedPrice": "100000", "timeInForce": "Gtc"}
    _, body = await raw_client.place_stop(**limit, side=side, activationPrice=price)
    assert body["order"]["status"] == "Activated"
    stop = raw_venue.stops[body["order"]["orderId"]]
    child = raw_venue.orders[stop.child]
    assert (child.source, child.status, child.requested_amount) == ("StopOrder", "Pending", stop.requested_amount)
    assert (await raw_client.cancel(child.order_id))[1]["order"]["source"] == "StopOrder"


@pytest.mark.parametrize(("visible", "status"), [(True, 200), (False, 404)])
async def test_cancel_after_activation(raw_venue, raw_client, visible, status):
    raw_venue.activated_visible = visible
    key = await raw_client.stop(orderType="Limit", requestedPrice="128000", timeInForce="Gtc")
    child = raw_venue.activate(key)
    code, body = await raw_client.cancel_stop(key)
    assert (code, body.get("order", {}).get("status")) == (status, "Activated" if visible else None)
    assert (child.live, child.source, raw_venue.stops[key].child) == (True, "StopOrder", child.order_id)
    assert (await raw_client.cancel(child.order_id))[0] == 200


async def test_a_refused_activation_leaves_nothing(raw_venue, raw_client):
    key = await raw_client.stop()
    raw_venue.refuse_activation(key)
    assert (await raw_client.cancel_stop(key))[0] == 404
    assert (raw_venue.stops[key].status, raw_venue.orders) == ("Rejected", {})
