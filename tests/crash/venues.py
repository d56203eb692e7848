"""The simulated venues of the proof, each with its own words for what recorded.py wants to know."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from adapters.b2trader.simulator import B2TraderSimulator
from adapters.b2trader.simulator.calls import read_call
from adapters.b2trader.simulator.tickets import read_ticket
from adapters.dmex.simulator import DmexSimulator
from adapters.dmex.simulator.requests import decode as decode_dmex
from adapters.qfex.simulator import QfexSimulator
from adapters.qfex.simulator.model import Order as QfexOrder
from adapters.qfex.simulator.wire import decode as decode_qfex
from crash.history import CANCELLED, FILLED, OTHERWISE
from crash.recorded import Recorded

SHOWN = 150  # closed orders in a list of DMEX


class Qfex(Recorded, QfexSimulator):
    NAME = "qfex"
    VERBS = {  # noqa: RUF012 - a constant
        "add_order": ("submit", "client_order_id"),
        "cancel_order": ("cancel", "order_id"),
        "modify_order": ("replace", "order_id"),
        "cancel_all_orders": ("cancel_all", ""),
    }
    ENDS = {"FILLED": FILLED, "CANCELLED": CANCELLED}  # noqa: RUF012 - see VERBS
    _seen = 0

    async def _serve(self, socket):
        self._of[self._accepted + 1] = self.process
        await super()._serve(socket)

    async def _receive(self, client, raw):
        message = decode_qfex(raw)
        verb, name = self.VERBS.get(message["type"], (None, ""))
        if verb is None:
            await super()._receive(client, raw)
            return
        params = message["params"]
        named = str(params.get(name, ""))
        named = f"{named}@{params['price']}" if verb == "replace" else named
        by = "client" if params.get("cancel_order_id_type", "order_id").startswith("client") else "id"
        delay = self.arrived(verb, named, connection=client.number, by=by)
        if delay:
            receive = super()._receive
            self.later(delay, lambda: receive(client, raw))
        else:
            await super()._receive(client, raw)

    def _execute(self, client, strike, name, message, text):
        answer = super()._execute(client, strike, name, message, text)
        if name in self.VERBS:
            self.executed(self.VERBS[name][0])
        return answer

    async def _answer(self, client, command, answer, strike, *, last):
        await super()._answer(client, command, answer, strike, last=last)
        if command in self.VERBS:
            self.notice(self.NAME, "answered", self.VERBS[command][0])

    def fresh(self):
        if len(self.history) > self._seen:
            new = list(self.history.values())[self._seen :]
            self._seen = len(self.history)
            yield from ((order.order_id, order.client_order_id, order.price) for order in new if self._lived(order))

    def _lived(self, order):
        return order.order_id in self.book or order.status in self.ENDS

    def state(self, order_id):
        order = self.history[order_id]
        return "" if order_id in self.book else self.ENDS.get(order.status, OTHERWISE), order.price

    async def fill_some(self, order_id, chance):
        left = self.book[order_id].remaining
        await self.fill(order_id, left / 2 if chance.random() < 0.3 and left == left.to_integral() else None)

    def place_foreign(self, price):
        order = QfexOrder(account=self.account_id, symbol="AAPL-USD", quantity=Decimal(1), price=price)
        order.client_order_id = f"foreign-{price}"
        self.exchange.add(order)


class B2Trader(Recorded, B2TraderSimulator):
    NAME = "b2trader"
    ENDS = {"Completed": FILLED, "Cancelled": CANCELLED}  # noqa: RUF012 - a constant
    _seen = 0

    async def _serve(self, request):
        call = await read_call(request)
        verb = self._verb(call)
        if verb == "submit":
            delay = self.arrived(verb, call.body["order"].get("comment", ""))
            if delay:
                await asyncio.sleep(delay)
        elif verb == "cancel":
            self.arrived(verb, call.key)
        return await super()._serve(request)

    def _verb(self, call):
        if call.route != "orders":
            return None
        return {"POST": "submit", "DELETE": "cancel"}.get(call.method)

    def _answer(self, call, strike, *, switchable):
        response = super()._answer(call, strike, switchable=switchable)
        if self._verb(call):
            self.executed(self._verb(call))
        return response

    async def _send(self, request, response, strike):
        sent = await super()._send(request, response, strike)
        if request.path.rstrip("/").split("/")[-2:].count("orders"):
            self.notice(self.NAME, "answered", {"POST": "submit", "DELETE": "cancel"}.get(request.method, ""))
        return sent

    def fresh(self):
        if len(self.orders) > self._seen:
            new = list(self.orders.values())[self._seen :]
            self._seen = len(self.orders)
            yield from (
                (order.order_id, order.ticket.comment, order.ticket.requested_price)
                for order in new
                if order.status != "Rejected"
            )

    def state(self, order_id):
        order = self.orders[order_id]
        return "" if order.live else self.ENDS.get(order.status, OTHERWISE), order.ticket.requested_price

    async def fill_some(self, order_id, chance):
        self.fill(order_id, self.orders[order_id].remaining_amount / 2 if chance.random() < 0.3 else None)

    def place_foreign(self, price):
        body = f'{{"order": {{"marketId": "spot.btc_usdt", "side": "Buy", "orderType": "Limit", "timeInForce": "Gtc", "requestedAmount": "1", "requestedPrice": "{price}", "comment": "foreign-{price}"}}}}'
        self.desk.place("spot", read_ticket(body.encode()))


class Dmex(Recorded, DmexSimulator):
    NAME = "dmex"
    _seen = _accepted = 0

    async def _talk(self, socket):
        self._accepted += 1  # as they are numbered
        self._of[self._accepted] = self.process
        await super()._talk(socket)

    async def _read(self, number, socket, text):
        message = decode_dmex(text)
        verb = {"create_order": "submit", "cancel_order": "cancel"}.get(message["op"])
        data = message["data"]
        delay = self.arrived(verb, data["hash" if verb == "submit" else "order_hash"].lower(), connection=number)
        if delay:
            read = super()._read
            self.later(delay, lambda: read(number, socket, text))
        else:
            await super()._read(number, socket, text)

    def _said(self, strike, command, message):
        answer = super()._said(strike, command, message)
        self.executed({"create_order": "submit"}.get(command, "cancel"))
        return answer

    async def _answer(self, socket, command, answer, strike):
        await super()._answer(socket, command, answer, strike)
        self.notice(self.NAME, "answered", {"create_order": "submit"}.get(command, "cancel"))

    def _rows(self, user):
        """The list: of closed orders, the last ones."""
        everything = self._book.orders
        closed = [name for name, order in everything.items() if order.closed]
        hidden = set(closed[:-SHOWN])
        self._book.orders = {name: order for name, order in everything.items() if name not in hidden}
        try:
            return super()._rows(user)
        finally:
            self._book.orders = everything

    def fresh(self):
        if len(self.orders) > self._seen:
            new = list(self.orders.values())[self._seen :]
            self._seen = len(self.orders)
            yield from ((order.hash, order.hash, order.price) for order in new)

    def state(self, order_id):
        order = self.orders[order_id]
        return "" if not order.closed else CANCELLED if order.remaining else FILLED, order.price

    async def fill_some(self, order_id, chance):
        left = self.orders[order_id].remaining
        self.fill(order_id, left // 2 if chance.random() < 0.3 else None)

    def place_foreign(self, price):
        self.rest(price=int(price.scaleb(8)))


VENUES = {"qfex": Qfex, "b2trader": B2Trader, "dmex": Dmex}
