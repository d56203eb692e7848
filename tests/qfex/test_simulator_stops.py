"""Stand-alone stops and TWAPs at the simulated QFEX."""

import pytest

from adapters.qfex.simulator import Variants

AAPL = "AAPL-USD"


# -- stops


async def test_a_stop_is_acknowledged_without_client_id_and_cancelled_with_zeros(raw_venue, raw_client):
    body = await raw_client.add_stop()
    assert (body["status"], body["type"], body["client_order_id"], body["price"]) == ("ACK", "STOP_LOSS", "", 120.0)
    assert list(raw_venue.stops) == [body["order_id"]]
    ack = await raw_client.ask("cancel_stop_order", stop_order_id=body["order_id"])
    assert ack["ack"]["incoming_message"]["params"] == {"stop_order_id": body["order_id"]}
    [gone] = await raw_client.updates(1)
    absent = {"take_profit", "stop_loss", "trade_id"}
    rest = {name: value for name, value in body.items() if name not in absent}
    assert gone == rest | {"status": "CANCELLED", "quantity": 0.0, "quantity_remaining": 0.0}
    assert raw_venue.stops == {}
    assert raw_venue.history[body["order_id"]].client_order_id == "mine"


async def test_a_stop_may_echo_its_client_id_and_skip_the_ack(raw_venue, raw_client):
    raw_venue.variants = Variants(empty_stop_echo=False, ack_stop_cancel=False)
    body = await raw_client.add_stop(order_type="TAKE_PROFIT")
    assert body["client_order_id"] == "mine"
    gone = (await raw_client.ask("cancel_stop_order", stop_order_id=body["order_id"]))["order_response"]
    assert (gone["order_id"], gone["status"], gone["type"]) == (body["order_id"], "CANCELLED", "TAKE_PROFIT")
    assert raw_venue.stops == {}


async def test_a_stop_may_be_answered_by_acks_alone(raw_venue, raw_client):
    raw_venue.variants.only_ack = True
    stop_id = (await raw_client.add_stop())["order_id"]
    change = {"stop_order_id": stop_id, "symbol": AAPL, "price": 110, "quantity": 1}
    assert (await raw_client.ask("modify_stop_order", **change))["ack"]["incoming_message"] == {
        "type": "modify_stop_order",
        "params": change | {"side": None, "order_type": None},
    }
    assert raw_venue.stops[stop_id].price == 110
    assert "ack" in await raw_client.ask("cancel_stop_order", stop_order_id=stop_id)
    assert await raw_client.orders() == []
    assert raw_venue.stops == {}


async def test_cancel_order_does_not_reach_stops_nor_cancel_stop_order_orders(raw_venue, raw_client):
    stop_id = (await raw_client.add_stop())["order_id"]
    order_id = (await raw_client.add())["order_id"]
    assert (await raw_client.cancel(stop_id))["status"] == "NO_SUCH_ORDER"
    wrong = await raw_client.ask("cancel_stop_order", stop_order_id=order_id)
    assert wrong["order_response"]["status"] == "NO_SUCH_ORDER"
    assert (list(raw_venue.stops), list(raw_venue.book)) == ([stop_id], [order_id])


async def test_stops_beyond_the_position_displace_the_oldest(raw_venue, raw_client):
    await raw_venue.set_position(AAPL, 5)
    old, young = [(await raw_client.add_stop())["order_id"] for _ in range(2)]
    newest = await raw_client.add_stop(quantity=3)
    [displaced] = await raw_client.updates(1)
    assert newest["status"] == "ACK"
    assert (displaced["order_id"], displaced["status"]) == (old, "CANCELLED")
    assert list(raw_venue.stops) == [young, newest["order_id"]]
    too_large = await raw_client.add_stop(quantity=6)
    assert too_large["status"] == "REJECTED"
    assert list(raw_venue.stops) == [young, newest["order_id"]]


async def test_a_growing_stop_displaces_others_but_never_itself(raw_venue, raw_client):
    await raw_venue.set_position(AAPL, 4)
    first, second = [(await raw_client.add_stop())["order_id"] for _ in range(2)]
    change = {"symbol": AAPL, "price": 110.5, "quantity": 4, "side": "SELL", "order_type": "STOP_LOSS"}
    assert "ack" in await raw_client.ask("modify_stop_order", stop_order_id=first, **change)
    modified, displaced = await raw_client.updates(2)
    assert (modified["order_id"], modified["status"], modified["price"]) == (first, "MODIFIED", 110.5)
    assert (displaced["order_id"], displaced["status"]) == (second, "CANCELLED")
    refused = await raw_client.ask("modify_stop_order", stop_order_id=first, **change | {"quantity": 5})
    assert refused["order_response"]["status"] == "REJECTED"
    assert {key: entry.quantity for key, entry in raw_venue.stops.items()} == {first: 4}


async def test_a_triggered_stop_trades_and_the_shrunken_position_displaces_the_rest(raw_venue, raw_client):
    await raw_venue.set_position(AAPL, 4)
    first, second = [(await raw_client.add_stop())["order_id"] for _ in range(2)]
    await raw_venue.trigger(first)
    filled, fill = await raw_client.trade()
    assert (filled["order_id"], filled["status"], filled["quantity_remaining"]) == (first, "FILLED", 0.0)
    assert (fill["order_id"], fill["price"], fill["trade_id"]) == (first, 200.0, filled["trade_id"])
    assert (list(raw_venue.stops), raw_venue.positions) == ([second], {AAPL: 2})
    await raw_venue.set_position(AAPL, 0)
    assert (await raw_client.recv())["order_response"]["order_id"] == second
    assert (raw_venue.stops, raw_venue.positions) == ({}, {})


async def test_modifying_an_unknown_stop_is_rejected(raw_venue, raw_client):
    reply = await raw_client.ask("modify_stop_order", stop_order_id="nothing", symbol=AAPL, price=1, quantity=1)
    assert reply["order_response"]["status"] == "CANNOT_MODIFY_NO_SUCH_ORDER"
    assert raw_venue.stops == {}


# -- TWAPs


def twap(**changes):
    basis = {"symbol": AAPL, "side": "BUY", "total_quantity": 10, "num_orders": 5, "order_interval_secs": 30}
    return basis | {"reduce_only": False, "client_twap_id": "slow"} | changes


@pytest.mark.parametrize("id_type", ["twap_id", "client_twap_id"])
async def test_a_twap_is_listed_and_cancelled(raw_venue, raw_client, id_type):
    body = (await raw_client.ask("add_twap", **twap()))["twap_response"]
    assert (body["total_num_orders"], body["filled_quantity"], body["client_twap_id"]) == (5, 0.0, "slow")
    listed = (await raw_client.ask("get_user_orders"))["all_orders_response"]
    assert listed == {"orders": [], "twaps": [body]}
    gone = await raw_client.cancel(body[id_type], id_type)
    assert (gone["order_id"], gone["client_order_id"], gone["status"]) == (body["twap_id"], "slow", "CANCELLED")
    assert raw_venue.twaps == {}


@pytest.mark.parametrize(("style", "key"), [("twap_response", "twap_response"), ("ack", "ack")])
async def test_other_guesses_at_the_reply_to_a_twap_cancel(raw_venue, raw_client, style, key):
    raw_venue.variants.twap_cancel_reply = style
    twap_id = (await raw_client.ask("add_twap", **twap()))["twap_response"]["twap_id"]
    reply = await raw_client.ask("cancel_order", symbol=AAPL, order_id=twap_id, cancel_order_id_type="twap_id")
    assert list(reply) == [key]
    assert raw_venue.twaps == {}


@pytest.mark.parametrize(
    "changes", [{"num_orders": 1}, {"order_interval_secs": 29}, {"total_quantity": 0.01}, {"symbol": "DOGE-USD"}]
)
async def test_a_twap_outside_its_rules_is_refused(raw_venue, raw_client, changes):
    assert await raw_client.refusal("add_twap", **twap(**changes)) == "InvalidParameter"
    assert raw_venue.twaps == {}
