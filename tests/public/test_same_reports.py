"""The same story told by both kinds of Router: their reports are equal, but for ids, times and what nothing but NATS can add."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from router import Cancel, IdKind, Order, OrderType
from router.massreport import MassCancelReport
from router.report import CancelReport, OrderState, Replace, SubmitReport
from router.testing import Verb

from .conftest import KINDS, PLACES, Site

TIMES = {"sent_at", "answered_at", "at", "since"}
SAID = Order | Cancel | Replace | MassCancelReport | Decimal
LEFT_OUT = {"settle", "frame", "loop"}
SHAPES = re.compile(
    r"0x[0-9a-fA-F]{40,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16}[0-9]{16}|\b01[0-9A-HJKMNP-TV-Z]{24}\b"
)


class Names:
    """Ids by the order in which they were first seen: the same story gives the same names."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            return SHAPES.sub(lambda found: self._seen.setdefault(found[0], f"id-{len(self._seen)}"), value)
        if isinstance(value, CancelReport | SubmitReport):
            facts = structs.asdict(value) | {"raw": bool(value.raw), "settles": value.settle is not None}
            return {name: self._field(name, facts[name]) for name in facts if name not in LEFT_OUT}
        if isinstance(value, OrderState):
            return {name: self(each) for name, each in structs.asdict(value).items()}
        if isinstance(value, tuple | list):
            return [self(each) for each in value]
        return self(repr(value)) if isinstance(value, SAID) else value

    def _field(self, name: str, value: Any) -> Any:
        return value is not None if name in TIMES else self(value)


async def story(router, place):
    """What is done, and everything that was said to it."""
    name, order = place.name, place.order()
    told = [await router.submit(order), await router.cancel(order), await router.cancel(order, deadline=2)]
    told.append(await router.cancel(Cancel(name, place.bench.unknown(IdKind.ORDER), IdKind.ORDER, order.symbol)))
    odd = place.order(OrderType.STOP_LIMIT) if name == "qfex" else Order(name, order.symbol, "buy", "twap", "1")
    told += [await router.submit(odd), await router.cancel(odd)]
    place.refuse(Verb.SUBMIT)
    refused = place.order()
    told.append(await router.submit(refused))
    if name != "dmex":  # there it goes by the id that it had before it was refused, which only its gateway knows
        told.append(await router.cancel(refused))
    two = place.order()
    told += [await router.submit(two), await router.replace(two, price=place.bench.PRICE, quantity="1")]
    place.refuse(Verb.CANCEL)
    told.append(await router.cancel(told[-2]))
    place.switch(place.adds, mute=True)
    doubtful = await router.submit(place.order(), deadline=0.2)
    place.heal()
    told += [doubtful, await doubtful.settled(1)]
    told.append(await router.cancel_all(name, scope="own", deadline=2 if name != "b" else 0.5))
    return told


@pytest.mark.parametrize("place", PLACES)
async def test_both_kinds_say_the_same(place, tmp_path, nats_url):
    said = {}
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        async with Site(kind, tmp_path / kind, nats_url).one(place) as found:
            names = Names()
            said[kind] = [names(each) for each in await story(*found)]
    for embedded, remote in zip(said["embedded"], said["remote"], strict=True):
        assert remote == embedded
