"""The demo: every kind of order on the three simulated venues, cancelled through one cancel(), and every outcome there is.

Each step knows what it must come to, in the report and in the venue's own book, and says so when it came out differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final

from attrs import define, field, frozen

from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, CancelReport, CxlRejReason, IdKind, Order, OrdStatus, Outcome, Router, SubmitReport

__all__ = ["ORDERS", "Expected", "Step", "Venues", "play", "run"]

CONFIRMED, REFUSED, NOT_SENT, UNKNOWN = Outcome
IMPATIENT: Final = 0.2  # seconds: the deadline of a cancel that will hear nothing


@frozen(kw_only=True)
class Step:
    """One cancel, or its settlement. complaint: how it differs from what it must come to; empty if it doesn't."""

    title: str
    venue: str
    asked: str
    outcome: Outcome
    status: OrdStatus | None
    text: str
    milliseconds: float
    complaint: str

    @property
    def ok(self) -> bool:
        return not self.complaint


@frozen
class Expected:
    """What a step must come to. taken: how many orders; None: not looked at."""

    outcome: Outcome
    status: OrdStatus | None = None
    reason: CxlRejReason | None = None
    taken: int | None = None

    def complaint(self, report: CancelReport) -> str:
        """How the report differs."""
        pairs = (
            ("outcome", self.outcome, report.outcome),
            ("status", self.status, report.status),
            ("reason", self.reason, report.reason),
            ("orders", self.taken, len(report.orders)),
        )
        wrong = [(name, want, got) for name, want, got in pairs if want not in {None, got}]
        return "; ".join(f"{name} should be {_name(want)}, not {_name(got)}" for name, want, got in wrong)


def _name(value: object) -> str:
    return value.name if isinstance(value, CxlRejReason) else str(value)


CANCELLED: Final = Expected(CONFIRMED, OrdStatus.CANCELED)
TOO_LATE: Final = Expected(REFUSED, OrdStatus.FILLED, CxlRejReason.TOO_LATE_TO_CANCEL)
NO_SUCH: Final = Expected(REFUSED, reason=CxlRejReason.UNKNOWN_ORDER)

Terms = Mapping[str, Any]
"""The arguments of an Order; orders are submitted once, their terms as often as one likes."""


def _terms(venue: str, symbol: str, side: str, type: str, quantity: str, **more: Any) -> Terms:  # noqa: A002 - Order's
    return {"venue": venue, "symbol": symbol, "side": side, "type": type, "quantity": quantity, **more}


LIMIT: Final = _terms("qfex", "AAPL-USD", "buy", "limit", "1", price="150")
SPOT: Final = _terms("b2trader", "spot.btc_usdt", "buy", "limit", "0.02", price="100000.5")
LOTS: Final = {"unit": "lots"}
TWAP: Final = {"num_orders": 2, "order_interval_secs": 30}

ORDERS: list[tuple[str, Terms, Expected]] = [
    ("limit", LIMIT, CANCELLED),
    ("post-only limit", {**LIMIT, "post_only": True}, CANCELLED),
    ("stop", _terms("qfex", "AAPL-USD", "sell", "stop", "1", stop_price="120"), CANCELLED),
    ("take-profit", _terms("qfex", "AAPL-USD", "sell", "take_profit", "1", stop_price="260"), CANCELLED),
    ("TWAP", _terms("qfex", "US500-USD", "buy", "twap", "1", options=TWAP), CANCELLED),
    ("market, filled at once", _terms("qfex", "NVDA-USD", "buy", "market", "1"), Expected(REFUSED, OrdStatus.FILLED)),
    ("spot limit", SPOT, CANCELLED),
    ("spot stop", _terms("b2trader", "spot.btc_usdt", "buy", "stop", "0.01", stop_price="128000"), CANCELLED),
    (
        "CFD limit in lots",
        _terms("b2trader", "cfd.eth_eur", "buy", "limit", "1", price="3900", options=LOTS),
        CANCELLED,
    ),
    (
        "perpetual stop in lots",
        _terms("b2trader", "perp.btc_usdt", "sell", "stop", "2", stop_price="99000", options=LOTS),
        CANCELLED,
    ),
]


@frozen
class Venues:
    """The three simulators, running."""

    qfex: QfexSimulator
    b2trader: B2TraderSimulator
    dmex: DmexSimulator

    @property
    def read(self) -> int:
        """How many messages the venues have read."""
        return sum(len(each.received) for each in (self.qfex, self.b2trader, self.dmex))

    def contradict(self, report: CancelReport, *, sent: bool) -> str:
        """What the venue itself knows better than the report; empty if nothing."""
        ids = {report.request.id, *(str(order.order_id) for order in report.orders)}
        if report.outcome is CONFIRMED and ids & self._open(report.request.venue):
            return "the order is still open at the venue"
        return "the venue has read something" if report.outcome is NOT_SENT and sent else ""

    def _open(self, venue: str) -> set[str]:
        """The ids of the open orders in the venue's own book."""
        if venue == "qfex":
            return {*self.qfex.book, *self.qfex.stops, *self.qfex.twaps}
        if venue == "b2trader":
            orders, stops = self.b2trader.orders.items(), self.b2trader.stops.items()
            return {key for key, order in orders if order.live} | {key for key, stop in stops if stop.live}
        return {order.hash for order in self.dmex.orders.values() if not order.closed}


async def run(report: Callable[[Step], None]) -> list[Step]:
    """Start the simulators, play all steps on them and return these. report: hears of each when it is done."""
    async with QfexSimulator() as qfex, B2TraderSimulator() as b2trader, DmexSimulator() as dmex:
        return await play(Venues(qfex, b2trader, dmex), report)


async def play(venues: Venues, report: Callable[[Step], None]) -> list[Step]:
    """All steps on these simulators, through one Router."""
    adapters = {
        "qfex": Qfex(**venues.qfex.credentials),
        "b2trader": B2Trader(**venues.b2trader.credentials),
        "dmex": Dmex(**venues.dmex.credentials),
    }
    async with Router(adapters) as router:
        stage = Stage(router, venues, report)
        for act in ACTS:
            await act(stage)
    return stage.steps


@define
class Stage:
    """Where the acts play. began: when the present step did, and what the venues had read by then."""

    router: Router
    venues: Venues
    report: Callable[[Step], None]
    steps: list[Step] = field(factory=list)
    began: tuple[float, int] = (0.0, 0)

    def begin(self) -> None:
        self.began = perf_counter(), self.venues.read

    async def place(self, terms: Terms) -> SubmitReport:
        return (await self.router.submit(Order(**terms))).raise_for_outcome()

    async def cancel(
        self, title: str, target: Cancel | SubmitReport, expected: Expected = CANCELLED, deadline: float | None = None
    ) -> CancelReport:
        self.begin()
        return self.note(title, await self.router.cancel(target, deadline=deadline), expected)

    async def settle(self, title: str, doubt: CancelReport) -> None:
        self.begin()
        self.note(title, await doubt.settled(timeout=5), CANCELLED)

    def note(self, title: str, report: CancelReport, expected: Expected) -> CancelReport:
        """Keep what became of the present step."""
        request, (started, read) = report.request, self.began
        complaint = expected.complaint(report) or self.venues.contradict(report, sent=self.venues.read > read)
        step = Step(
            title=title,
            venue=request.venue,
            asked=f"{request.kind or IdKind.ORDER} {_short(request.id)}",
            outcome=report.outcome,
            status=report.status,
            text=report.text,
            milliseconds=(perf_counter() - started) * 1000,
            complaint=complaint,
        )
        self.steps.append(step)
        self.report(step)
        return report


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:6]}..{name[-4:]}"


# -- the acts


async def _every_kind(stage: Stage) -> None:
    for title, terms, expected in ORDERS:
        await stage.cancel(title, await stage.place(terms), expected)
    await stage.cancel("order placed elsewhere", Cancel("dmex", stage.venues.dmex.rest()))


async def _shared_client_id(stage: Stage) -> None:
    shared = {**LIMIT, "client_order_id": "my-pair"}
    for _ in range(2):
        await stage.place(shared)
    pair = Cancel("qfex", "my-pair", IdKind.CLIENT_ORDER, LIMIT["symbol"])
    await stage.cancel("two orders of one client id", pair, Expected(CONFIRMED, OrdStatus.CANCELED, taken=2))


async def _refusals(stage: Stage) -> None:
    await stage.cancel("unknown id", Cancel("b2trader", "01K2MNGAWPMQJ7WGATFSCAS1G4"), NO_SUCH)
    placed = await stage.place(LIMIT)
    stage.begin()
    overtaken = stage.router.cancel_many([placed])  # written now, and read by the venue only after it filled the order
    await stage.venues.qfex.fill(str(placed.order_id))
    stage.note("cancel overtaken by a fill", (await overtaken)[0], TOO_LATE)


async def _nothing_sent(stage: Stage) -> None:
    await stage.cancel("hash of 63 digits", Cancel("dmex", stage.venues.dmex.rest()[:-1]), Expected(NOT_SENT))


async def _late_answer(stage: Stage) -> None:
    qfex = stage.venues.qfex
    placed = await stage.place(LIMIT)
    qfex.switches.hold = True
    doubt = await stage.cancel("no answer in time", placed, Expected(UNKNOWN), IMPATIENT)
    await qfex.until_held(1)
    qfex.switches.hold = False
    qfex.release()
    await stage.settle("... settled by the late answer", doubt)


async def _reading(stage: Stage) -> None:
    dmex = stage.venues.dmex
    dmex.switches.mute = True
    doubt = await stage.cancel("no answer at all", Cancel("dmex", dmex.rest()), Expected(UNKNOWN), IMPATIENT)
    dmex.switches.mute = False
    await stage.settle("... settled by reading", doubt)


async def _all_at_once(stage: Stage) -> None:
    targets: list[Cancel | SubmitReport] = [
        await stage.place(LIMIT),
        await stage.place(SPOT),
        Cancel("dmex", stage.venues.dmex.rest()),
    ]
    stage.begin()
    async for report in stage.router.cancel_many(targets):
        stage.note("three venues at once", report, CANCELLED)


ACTS: Final = (_every_kind, _shared_client_id, _refusals, _nothing_sent, _late_answer, _reading, _all_at_once)
