"""What the benchmark's venue says: QFEX as https://docs.qfex.com has it, and of Binance's WebSocket API the cancel.

Any login is right, an add rests, a cancel cancels, whatever id it names. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Final

import msgspec

__all__ = ["CANCELLED", "Book", "text_frame"]

TEXT: Final = 0x1
USER: Final = "0020ce8e-eaee-480e-8d7f-b9241d756ee5"
LIMIT: Final = 1000  # rows of a page, where the client doesn't say

CANCEL: Final = re.compile(
    rb'\{"type":"cancel_order","params":\{"symbol":"([^"\\]*)","order_id":"([^"\\]*)","cancel_order_id_type":"order_id"\}\}'
)
"""The message that counts, which is read without a parser; any other form of it goes the long way."""
CANCELLED: Final = (
    b'{"order_response":{"order_id":"%b","symbol":"%b","status":"CANCELLED","quantity":1.0,"price":200.0,"take_profit":0.0,'
    b'"stop_loss":0.0,"side":"BUY","type":"LIMIT","time_in_force":"GTC","user_id":"' + USER.encode() + b'",'
    b'"client_order_id":"","quantity_remaining":1.0,"trade_id":null}}'
)
BINANCE: Final = re.compile(rb'\{"id":"(\d+)","method":"order\.cancel",.*"orderId":"?(\d+)')
BINANCE_CANCELED: Final = (
    b'{"id":"%b","status":200,"result":{"symbol":"AAPLUSDT","origClientOrderId":"4d96324ff9d44481926157","orderId":%b,'
    b'"orderListId":-1,"clientOrderId":"91fe37ce9e69c90d6358c0","transactTime":1684804350068,"price":"200.00000000",'
    b'"origQty":"1.00000000","executedQty":"0.00000000","origQuoteOrderQty":"0.000000","cummulativeQuoteQty":"0.00000000",'
    b'"status":"CANCELED","timeInForce":"GTC","type":"LIMIT","side":"BUY","selfTradePreventionMode":"NONE"}}'
)


class Params(msgspec.Struct):
    """What an answer repeats of a command."""

    symbol: str = ""
    side: str = "BUY"
    order_type: str = "LIMIT"
    order_time_in_force: str = "GTC"
    quantity: msgspec.Raw = msgspec.Raw(b"1.0")
    price: msgspec.Raw = msgspec.Raw(b"200.0")
    client_order_id: str = ""
    order_id: str = ""
    channels: list[str] = []
    limit: int = LIMIT
    offset: int = 0


class Command(msgspec.Struct):
    """A message of the client's."""

    type: str
    params: Params


class Book:
    """The account's open orders, which all connections share."""

    def __init__(self) -> None:
        self._orders: dict[bytes, Params] = {}
        self._placed = 0
        self._decode = msgspec.json.Decoder(Command).decode
        self.commands = 0
        """How many adds and cancels have come."""

    def answer(self, body: bytes) -> Iterable[bytes]:
        """The frames that answer a message."""
        found = CANCEL.fullmatch(body)
        if found is not None:
            self.commands += 1
            symbol, order_id = found.groups()
            known = self._orders.pop(order_id, None) if self._orders else None
            said = CANCELLED % (order_id, symbol) if known is None else _order(order_id, known, b"CANCELLED")
            return (text_frame(said),)
        found = BINANCE.match(body)
        if found is not None:
            self.commands += 1
            return (text_frame(BINANCE_CANCELED % found.groups()),)
        command = self._decode(body)
        return map(text_frame, self._say(command.type, command.params))

    def _say(self, kind: str, params: Params) -> Iterable[bytes]:
        match kind:
            case "cancel_order":
                self.commands += 1
                order_id = params.order_id.encode()
                return [_order(order_id, self._orders.pop(order_id, params), b"CANCELLED")]
            case "add_order":
                self.commands += 1
                return [self._place(params)]
            case "cancel_all_orders":
                orders, self._orders = self._orders, {}
                told = b'{"ack":{"incoming_message":{"type":"cancel_all_orders","params":{}}}}'
                return [told, *(_order(order_id, order, b"CANCELLED") for order_id, order in orders.items())]
            case "get_user_orders":
                return [self._page(params)]
        return _greeting(kind, params)

    def _place(self, params: Params) -> bytes:
        self._placed += 1
        order_id = b"5b309929-206f-40ec-804d-%012x" % self._placed
        self._orders[order_id] = params
        return _order(order_id, params, b"ACK")

    def _page(self, params: Params) -> bytes:
        rows = islice(self._orders.items(), params.offset, params.offset + params.limit)
        orders = b",".join(_row(order_id, order, b"ACK") for order_id, order in rows)
        return b'{"all_orders_response":{"orders":[%b],"twaps":[]}}' % orders


def _greeting(kind: str, params: Params) -> Iterable[bytes]:
    if kind == "auth":
        return [b'{"authenticated":true}']
    if kind == "subscribe":
        return [b'{"subscribed":"%b"}' % channel.encode() for channel in params.channels]
    return [b'{"err":{"error_code":"InvalidParameter","message":"a benchmark asks no more than this"}}']


def _order(order_id: bytes, params: Params, status: bytes) -> bytes:
    """An order_response as the page shows it."""
    return b'{"order_response":%b}' % _row(order_id, params, status)


def _row(order_id: bytes, params: Params, status: bytes) -> bytes:
    return (
        b'{"order_id":"%b","symbol":"%b","status":"%b","quantity":%b,"price":%b,"take_profit":0.0,'
        b'"stop_loss":0.0,"side":"%b","type":"%b","time_in_force":"%b","user_id":"%b","client_order_id":"%b",'
        b'"quantity_remaining":%b,"trade_id":null}'
    ) % (
        order_id,
        params.symbol.encode(),
        status,
        params.quantity,
        params.price,
        params.side.encode(),
        params.order_type.encode(),
        params.order_time_in_force.encode(),
        USER.encode(),
        params.client_order_id.encode(),
        params.quantity,
    )


def text_frame(body: bytes) -> bytes:
    """A frame from a server."""
    size = len(body)
    if size < 126:
        return bytes((0x80 | TEXT, size)) + body
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + body
    return b"\x81\x7f" + size.to_bytes(8, "big") + body
