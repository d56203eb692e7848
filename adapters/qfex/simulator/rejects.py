"""What the engine rejects in an order for what it says: unknown kinds, numbers off the grid or out of range."""

from __future__ import annotations

from typing import Final

from adapters.qfex.simulator.model import Instrument, Order

__all__ = ["fault"]

TIMES_IN_FORCE: Final = {"LIMIT": {"GTC", "IOC", "FOK"}, "MARKET": {"IOC"}, "ALO": {"GTC"}}


def fault(order: Order, instrument: Instrument | None) -> str | None:
    """The status with which this order is rejected, whatever the market and the position. instrument: the symbol's."""
    if instrument is None:
        return "BAD_SYMBOL"
    if order.is_stop:
        return _grid_fault(order, instrument)
    return _kind_fault(order) or _grid_fault(order, instrument) or _range_fault(order, instrument)


def _kind_fault(order: Order) -> str | None:
    if order.type not in TIMES_IN_FORCE:
        return "INVALID_ORDER_TYPE"
    return None if order.time_in_force in TIMES_IN_FORCE[order.type] else "INVALID_TIME_IN_FORCE"


def _grid_fault(order: Order, instrument: Instrument) -> str | None:
    """What is wrong with an order's numbers as numbers: signs, lots and ticks. MARKET prices are not read."""
    priced, tick = order.type != "MARKET", instrument.tick
    faults = {
        "QUANTITY_LESS_THAN_MIN_QUANTITY": order.quantity <= 0,
        "INVALID_TICK_SIZE_PRECISION_QUANTITY": order.quantity % instrument.lot,
        "INVALID_TAKEPROFIT_PRICE": order.take_profit < 0 or order.take_profit % tick,
        "INVALID_STOPLOSS_PRICE": order.stop_loss < 0 or order.stop_loss % tick,
        "PRICE_LESS_THAN_MIN_PRICE": priced and order.price <= 0,
        "INVALID_TICK_SIZE_PRECISION_PRICE": priced and order.price % tick,
    }
    return next((status for status, faulty in faults.items() if faulty), None)


def _range_fault(order: Order, instrument: Instrument) -> str | None:
    """What is out of the symbol's ranges. They do not apply to stops."""
    priced = order.type != "MARKET"
    faults = {
        "QUANTITY_LESS_THAN_MIN_QUANTITY": order.quantity < instrument.min_quantity,
        "QUANTITY_GREATER_THAN_MAX_QUANTITY": order.quantity > instrument.max_quantity,
        "REJECTED_LESS_THAN_MIN_PRICE_BAND": priced and order.price < instrument.min_price,
        "REJECTED_GREATER_THAN_MAX_PRICE_BAND": priced and order.price > instrument.max_price,
    }
    return next((status for status, faulty in faults.items() if faulty), None)
