"""Any exchange of ccxt's as a venue: ccxt signs, parses and names errors; what is sent, and how often, is ours."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from msgspec.structs import replace

from adapters.ccxt_bridge import building
from adapters.ccxt_bridge.calling import Caller, Request, Unasked
from adapters.ccxt_bridge.codec import Call, CcxtCodec
from adapters.ccxt_bridge.deriving import SPEC, derive
from adapters.ccxt_bridge.errors import AT_ONCE
from adapters.ccxt_bridge.scrubbing import Scrubber, tokens
from router.errors import CannotExpress, CannotList, LoginRefused, TransportError, VenueError, VenueUnreachable
from router.link import Link
from router.matching import Pending
from router.model import Order
from router.operation import Operation
from router.redact import fingerprint
from router.report import OrdRejReason, Outcome
from router.session import Session
from router.venue import Answer, Budget, Effect, Frame, Reading, Spec, Via, Wire

__all__ = ["Ccxt"]

FRESH: Final = 0.1  # seconds that a signature may be old when it is sent
MAX_SAID: Final = 500
MAX_MARKETS: Final = 64 * 2**20  # bytes: Binance's list of markets is 20 MB
ENVIRONMENT: Final = {
    "CCXT_API_KEY": "apiKey",
    "CCXT_SECRET": "secret",
    "CCXT_PASSWORD": "password",
    "CCXT_UID": "uid",
    "CCXT_WALLET_ADDRESS": "walletAddress",
    "CCXT_PRIVATE_KEY": "privateKey",
}


class Ccxt(Session):
    """The adapter of an exchange that ccxt knows.

    exchange: its name in ccxt ("binance", "kraken"), with credentials (apiKey, secret, password ... as ccxt calls them) and
    ccxt's options for it; or an exchange object of ccxt.async_support, which is the adapter's from then on. market_type:
    "spot", "swap", "future" or "option": one adapter is for one type, because that is what the exchange lists; by default
    the exchange's own. url: the address that takes the place of the exchange's hosts, for simulators and gateways.
    client_order_ids: False for an exchange that does not take them. quiet_period: seconds after which an order that the
    exchange does not show was not placed. deadline: seconds that a command has by default. budget: how fast to send, for
    example Budget(10, 1.0); ccxt's own throttle is off, so by default only the exchange's "too fast" slows us down. share:
    the part of the budget that this process may use.

    Raises ValueError for what ccxt does not know or what is missing, and VenueError when ccxt is not installed.
    """

    declared: ClassVar[Spec] = SPEC
    """What any of them may have; `spec` is what this one has."""

    secret_settings: ClassVar[frozenset[str]] = frozenset(
        f"credentials.{name}" for name in building.CREDENTIALS if name not in building.PUBLIC
    )
    """The arguments that a configuration may only refer to."""

    def __init__(
        self,
        exchange: Any,
        *,
        credentials: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        url: str | None = None,
        market_type: str | None = None,
        client_order_ids: bool = True,
        quiet_period: float | None = None,
        deadline: float | None = None,
        budget: Budget | None = None,
        share: float = 1.0,
    ) -> None:
        found = building.find(exchange, credentials or {}, options or {})
        building.configure(found, url)
        self._caller = Caller(found)
        spec, markets = derive(self._caller, market_type, budget, quiet_period, client_order_ids=client_order_ids)
        self._signer = CcxtCodec(self._caller, spec, markets, client_order_ids=client_order_ids)
        super().__init__(self._signer, deadline=deadline, share=share)
        self.account = fingerprint(str(found.id), str(found.uid)) if found.uid else ""  # a key may be replaced
        self._redact = Scrubber(self._signer.secrets(), lambda: tokens(found))

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """CCXT_EXCHANGE, and what it needs of CCXT_API_KEY, CCXT_SECRET, CCXT_PASSWORD, CCXT_UID, CCXT_WALLET_ADDRESS and
        CCXT_PRIVATE_KEY; CCXT_MARKET_TYPE and CCXT_URL.
        """
        exchange = environ.get("CCXT_EXCHANGE")
        if not exchange:
            raise ValueError("ccxt: CCXT_EXCHANGE is not set; it is the exchange's name in ccxt, for example kraken")
        credentials = {name: environ[variable] for variable, name in ENVIRONMENT.items() if environ.get(variable)}
        try:
            return cls(
                exchange,
                credentials=credentials,
                url=environ.get("CCXT_URL") or None,
                market_type=environ.get("CCXT_MARKET_TYPE") or None,
            )
        except ValueError as error:
            raise ValueError(f"{error} ({', '.join(ENVIRONMENT)})") from None

    # -- life

    async def logged_in(self) -> None:
        """There is no login: the markets are loaded, so that no command has to."""
        await super().logged_in()
        link = self._link
        if link is None:
            raise VenueUnreachable(self._name, "it was closed meanwhile")
        from adapters.ccxt_bridge.transport import Client  # noqa: PLC0415 - aiohttp is imported by those who speak HTTP

        patience = self.deadline
        probed = link.http
        link.http = Client(max_body=self.spec.max_frame, timeout=self.spec.http_timeout, patience=patience)
        if probed is not None:
            await probed.close()
        await link.http.open(probe=False)
        loader = Client(max_body=MAX_MARKETS, timeout=self.spec.http_timeout, patience=self.spec.http_timeout)
        await loader.open(probe=False)
        try:
            await self._load(loader)
        finally:
            await loader.close()

    async def _load(self, loader: Any) -> None:
        async def send(request: Request) -> Frame:
            wire = Wire(
                effect=Effect.READ,
                via=Via.HTTP,
                method=request.method,
                path=request.url,
                headers=request.headers,
                body=request.body,
            )
            frame: Frame = await loader.request(wire, {}, lambda: None)
            return frame

        try:
            await self._caller.load(send)
        except Unasked as error:  # which another attempt does not change
            raise LoginRefused(self._name, str(error)) from None
        except (TransportError, VenueError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever ccxt makes of the answers
            refused = any(kind.__name__ == "AuthenticationError" for kind in type(error).__mro__)
            said = re.sub(r"\?\S+", "", str(error))  # a URL's query may hold a signature
            text = self._redact(f"the markets could not be loaded: {type(error).__name__}: {said}"[:MAX_SAID])
            raise (LoginRefused if refused else VenueUnreachable)(self._name, text) from None
        try:
            self._signer.narrow()
        except ValueError as error:
            raise LoginRefused(self._name, str(error)) from None

    async def _shut(self, link: Link) -> None:
        await super()._shut(link)
        exchange = self._caller.exchange
        if exchange.session is not None:  # that of an object which its maker had used before
            exchange.timeout_on_exit = 0
            await exchange.close()

    # -- commands

    def _write(self, operation: Operation, wire: Wire) -> None:
        """Sign just before sending: nonces must rise, and timestamps must be new."""
        latest, self._signer.latest = self._signer.latest, None
        if isinstance(wire, Call) and (wire is not latest or abs(time.time() - wire.made) > FRESH):
            try:
                wire = self._codec.encode(operation.command, time.time())
            except CannotExpress as error:
                operation.fail(self._redact(str(error)))
                return
            self._signer.latest = None
        super()._write(operation, wire)

    def _answered(self, operation: Operation, pending: Pending, answer: Answer, frame: Frame) -> None:
        wire = pending.wire
        if isinstance(wire, Call) and wire.follows:
            operation.attempts -= 1  # it was written for the same attempt
        declined = operation.declines and isinstance(operation.command, Order)
        if declined and answer.order_reason is OrdRejReason.DUPLICATE_ORDER:  # so an earlier attempt was executed
            answer = replace(answer, outcome=Outcome.UNKNOWN)
        if answer.outcome is Outcome.NOT_SENT and operation.attempts > 1:  # an earlier attempt may have been executed
            answer = replace(answer, outcome=Outcome.UNKNOWN)
        elif answer.outcome is Outcome.NOT_SENT and answer.retry is None:
            self._unsent(operation, answer.text)
            return
        super()._answered(operation, pending, answer, frame)
        if isinstance(wire, Call) and wire.is_preliminary and operation.follow is not None:
            operation.attempts -= 1  # nothing of the command has been sent yet
            operation.acknowledged = False

    def _broken(self, operation: Operation, wire: Wire) -> None:
        if isinstance(wire, Call) and wire.is_preliminary and operation.attempts == 1:
            self._unsent(operation, "nothing of it was sent: what ccxt asks first was not answered")
        else:
            super()._broken(operation, wire)

    def _unsent(self, operation: Operation, text: str) -> None:
        """Only a question was sent that comes before the command."""
        operation.attempts, operation.sent_at = 0, None
        operation.fail(self._redact(text))

    def _retry(self, operation: Operation, pending: Pending, answer: Answer) -> bool:
        """A nonce that came too late is signed anew while the deadline allows; it does not count as a decline."""
        if answer.after == AT_ONCE and operation.attempts <= 1:
            operation.declines = min(operation.declines, 1)
        return super()._retry(operation, pending, answer)

    async def read(self, since: float) -> Reading:
        if not self.spec.lists:
            raise CannotList(self._name, f"its open orders are not listed: {self._signer.unvouched}")
        return await super().read(since)
