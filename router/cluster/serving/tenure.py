"""One gateway's time as the owner of one venue: its Router, and what strategies say to that.

Rules:

1. Only what names this tenure, in its subject and in itself, is done; once, before its deadline, and not while the lease has run out.
   What is refused for one of these is never done later in this tenure.
2. Hearing a message never waits: it looks, begins, and returns. The answer is sent when it is there.
3. While the Router is being opened, commands wait for that as they would for a connection: until their deadlines. The journal must
   be open; the venue need not be, and one that hangs is not waited for.
4. What a strategy sends is data: nothing of it gets into a path, and into a log only as a repr.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from router.cluster import subjects, wire
from router.cluster.serving.earlier import Earlier
from router.cluster.serving.endpoints import Endpoints, Send
from router.cluster.serving.executing import Executor
from router.cluster.serving.inquiring import Inquiry
from router.cluster.serving.operations import Doable, Done, Full, Known, Operations
from router.core import Router
from router.errors import Garbled, GatewayError, NotAuthorised, RouterError, VenueError
from router.model import is_minted, mint_client_order_id
from router.patience import Patient
from router.report import Health
from router.venue import Adapter

if TYPE_CHECKING:
    from router.cluster.broker.connection import Connection

__all__ = ["Tenure"]

log = logging.getLogger("router.cluster")

PATIENCE: Final = 0.2  # seconds that a venue may hold up the opening
MARGIN: Final = 0.1  # seconds, or a fifth of the time, in which an answer gets to its strategy
DRAIN: Final = 0.5  # seconds that commands under way have when the tenure is given up
MOST_QUESTIONS: Final = 1_000  # reads and inquiries at once
MOST_LOOKS: Final = 100  # of them in the journal
FULL: Final = "the gateway has too much to do"
OPENING: Final = "the gateway is taking over"
CLOSING: Final = "the gateway is giving the venue up"
EXPIRED: Final = "it came after its deadline"
OTHERS: Final = "it was for the tenure {!r}"


class Tenure:
    """See above. name: its token. why_not: the lease's. clock: wall time. written: called with each entry's number that is durable."""

    def __init__(
        self,
        venue: str,
        adapter: Adapter,
        name: str,
        epoch: int,
        *,
        gateway: str,
        connection: Connection,
        journal: Path,
        why_not: Callable[[], str],
        durability: Literal["full", "process"] = "full",
        on_unknown: Literal["leave", "kill"] = "leave",
        written: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.venue, self.name, self.epoch = venue, name, epoch
        self.operations = Operations()
        self._path, self._why_not, self._clock, self._written = journal, why_not, clock, written
        adapter.fence = why_not
        self._adapter = adapter
        self._router = Router(
            {venue: cast("Adapter", Patient(adapter, PATIENCE, lenient=True))},
            journal=journal,
            durability=durability,
            on_unknown=on_unknown,
        )
        self._router.lease_epoch = epoch
        given = (self._router, venue, name, self.operations, journal)
        self._executor = Executor(*given, clock)
        self._inquiry = Inquiry(*given, self._why_nothing, clock)
        self._earlier = Earlier()
        about = {"gateway": gateway, "venue": venue, "epoch": str(epoch), "tenure": name}
        self._endpoints = Endpoints(connection, venue, name, self.heard, about)
        self._held: dict[Known, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looks = asyncio.Semaphore(MOST_LOOKS)
        self._is_open = self._is_closing = False

    # -- life

    async def open(self) -> None:
        """Open the journal, and go to the venue. Raises JournalError; whoever fails must be closed."""
        journal = self._router._journal  # noqa: SLF001 - a part of the Router's inside that only its gateway needs
        if journal is not None:
            journal.on_durable = self._written
        await self._router.open()
        self._earlier = await asyncio.to_thread(Earlier.read, self._path)
        self._is_open = True
        held, self._held = self._held, {}
        for known, timer in held.items():
            timer.cancel()
            self._start(known)

    async def listen(self) -> None:
        """Let commands come. They wait until it is open. Raises what nats-py does."""
        await self._endpoints.open()

    async def close(self) -> None:
        """Take no more, let what is under way come to its end for a moment, and tell what is known of it."""
        self._is_closing = True
        for known, timer in list(self._held.items()):
            timer.cancel()
            self._give_up(known, CLOSING)
        if not self._why_not():
            await self._drained()
        self._inquiry.close()
        await self._router.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._endpoints.close()

    async def _drained(self) -> None:
        """Wait a little for the commands that have begun."""
        answers = [known.answered() for known in self.operations.under_way()]
        if answers:
            await asyncio.wait(answers, timeout=DRAIN)

    @property
    def health(self) -> Health | None:
        """How the venue is; None before it is open."""
        return self._router.health()[self.venue] if self._is_open else None

    @property
    def fault(self) -> str:
        """Why nothing is written into the journal any more, or ""."""
        journal = self._router._journal  # noqa: SLF001 - as above
        return journal.fault if journal is not None and self._is_open else ""

    def now(self) -> float:
        """Wall time, as this gateway has it: what deadlines are by."""
        return self._clock()

    def unfenced(self) -> None:
        """The lease has been renewed: what waits may go."""
        if self._is_open and not self._is_closing:
            self._adapter.unfenced()

    def _why_nothing(self) -> str:
        """Why nothing may be begun, or ""."""
        return CLOSING if self._is_closing else self._why_not()

    # -- what comes in

    def heard(self, subject: str, body: bytes, send: Send) -> None:
        """One message. send: called once with the answer, if there is one."""
        try:
            where, command = subjects.addressed(subject), wire.command(body)
            subjects.token(where.strategy, "strategy")
        except (Garbled, ValueError) as error:
            send(wire.Mistaken(kind=Garbled.__name__, text=str(error)))
            return
        verb = type(command).__struct_config__.tag
        if (where.venue, where.verb) != (self.venue, verb):
            text = f"what came as {where.verb} was a {verb}"
            send(wire.Mistaken(kind=NotAuthorised.__name__, text=text))
        elif _is_forged(command.command if isinstance(command, wire.Settling) else command):
            send(wire.Mistaken(kind=ValueError.__name__, text="its id is one that this gateway is yet to make itself"))
        elif isinstance(command, Done):
            self._command(command, where, send)
        else:
            self._question(command, where, send)

    def _command(self, command: Any, where: subjects.Addressed, send: Send) -> None:
        strategy, known = where.strategy, self.operations.find(command.op, where.strategy)
        if known is not None and not known.lost:
            if known.is_said_by(command):
                known.tell(send)
            else:
                send(wire.Mistaken(kind=ValueError.__name__, text=f"{command.op} was the id of another command"))
        elif known is not None or self.operations.was_seen(command.op, strategy) or self._router.resumed(command.op):
            self._ask(self._again(command, strategy), send)
        elif not self._earlier.may_have(command.op) and (why := self._why_refused(command, where)):
            self._refuse(command, where, why, send)
        else:
            self._take(command, strategy, send)

    def _is_meant(self, command: wire.Command, where: subjects.Addressed) -> bool:
        return where.tenure == command.tenure == self.name

    def _why_refused(self, command: wire.Command, where: subjects.Addressed) -> str:
        """Rule 1."""
        if not self._is_meant(command, where):
            return OTHERS.format(command.tenure)
        if command.deadline <= self._clock():
            return EXPIRED
        return self._why_nothing()

    def _refuse(self, command: Any, where: subjects.Addressed, why: str, send: Send) -> None:
        text, tenure = f"{self.venue}: {why}", "" if command.tenure == self.name else self.name
        try:
            self.operations.bury(command.op, where.strategy, text, self._clock(), command.deadline, tenure).tell(send)
        except Full:
            send(wire.Refused(text=text, tenure=tenure))

    def _take(self, command: Any, strategy: str, send: Send) -> None:
        try:
            known = self.operations.begin(command, strategy, self._clock())
        except Full as error:
            send(wire.Refused(text=f"{self.venue}: {error}"))
            return
        known.tell(send)
        if self._is_open:
            self._start(known)
        else:
            seconds = max(0.0, self._seconds(command))
            self._held[known] = asyncio.get_running_loop().call_later(seconds, self._give_up, known, OPENING)

    def _give_up(self, known: Known, why: str) -> None:
        del self._held[known]
        known.finish(wire.Refused(text=f"{self.venue}: {why}"))

    def _start(self, known: Known) -> None:
        """Begin it, if nobody has before."""
        command = known.command
        if command is not None and (self._earlier.may_have(known.op) or self._router.resumed(known.op)):
            self._spawn(self._look_first(known, command))
        else:
            self._begin(known)

    async def _look_first(self, known: Known, command: Doable) -> None:
        """Only what is not in the journal is begun."""
        try:
            async with self._looks:
                found = await self._inquiry.before(command, known.strategy, self._until(command))
        except NotAuthorised as error:
            known.finish(wire.Mistaken(kind=NotAuthorised.__name__, text=str(error)))
            return
        except BaseException:
            known.lose()
            raise
        if found is not None:
            known.was_before = True
            known.finish(found)
        elif not self._is_closing:
            self._begin(known)
        else:
            known.finish(wire.Refused(text=f"{self.venue}: {CLOSING}"))

    def _begin(self, known: Known) -> None:
        command = known.command
        seconds = 0.0 if command is None else self._seconds(command)
        why = self._why_nothing() or ("" if seconds > 0 else EXPIRED)
        if command is not None and command.tenure != self.name:  # it was looked up first
            why = OTHERS.format(command.tenure)
        if why:
            known.finish(wire.Refused(text=f"{self.venue}: {why}"))
        else:
            self._executor.begin(known, seconds)

    def _seconds(self, command: wire.Command) -> float:
        """Until its answer must leave."""
        rest = command.deadline - self._clock()
        return rest - min(MARGIN, rest / 5)

    def _until(self, command: wire.Command) -> float:
        """The same on the loop's clock."""
        return asyncio.get_running_loop().time() + max(0.0, self._seconds(command))

    async def _again(self, command: Any, strategy: str) -> wire.Reply:
        """It came before, and what became of it is not remembered. Raises GatewayError where nothing can be said."""
        if isinstance(command, wire.CancelAll):
            raise GatewayError(f"{command.op} came before")  # its report is gone, and no other would be true
        return await self._inquiry.forgotten(command, strategy, self._until(command))

    # -- questions

    def _question(self, command: Any, where: subjects.Addressed, send: Send) -> None:
        if not self._is_meant(command, where):
            send(wire.Refused(text=f"{self.venue}: it was for another tenure", tenure=self.name))
        elif self._is_closing or not self._is_open:
            send(wire.Refused(text=f"{self.venue}: {CLOSING if self._is_closing else OPENING}"))
        elif (seconds := self._seconds(command)) <= 0:
            send(wire.Refused(text=f"{self.venue}: {EXPIRED}"))
        elif len(self._tasks) >= MOST_QUESTIONS:
            send(wire.Refused(text=f"{self.venue}: {FULL}"))
        else:
            self._ask(self._answered(command, where.strategy, seconds), send)

    async def _answered(self, command: Any, strategy: str, seconds: float) -> wire.Reply:
        match command:
            case wire.OpenOrders():
                return await self._open_orders(seconds)
            case wire.Settling():
                return await self._inquiry.settle(command, strategy, min(command.timeout, seconds))
            case wire.Recovering():
                return await self._inquiry.recovered(strategy, min(command.timeout, seconds))
        raise GatewayError(f"{type(command).__name__} asks nothing")

    async def _open_orders(self, seconds: float) -> wire.Reply:
        try:
            async with asyncio.timeout(seconds):
                return wire.Listed(orders=tuple(await self._router.open_orders(self.venue)))
        except VenueError as error:
            return wire.Mistaken(kind=type(error).__name__, text=str(error))
        except TimeoutError:
            return wire.Mistaken(kind="ReadFailed", text=f"{self.venue}: it did not answer by the deadline")

    def _ask(self, work: Coroutine[Any, Any, wire.Reply], send: Send) -> None:
        self._spawn(self._asked(work, send))

    async def _asked(self, work: Coroutine[Any, Any, wire.Reply], send: Send) -> None:
        try:
            send(await work)
        except NotAuthorised as error:
            send(wire.Mistaken(kind=NotAuthorised.__name__, text=str(error)))
        except RouterError as error:
            log.info("%s: no answer to a question: %s", self.venue, error)
        except Exception:
            log.exception("%s: a mistake of ours in answering", self.venue)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_forged(command: wire.Command) -> bool:
    """Whether the journal would have it under an id that is to be another's."""
    return is_minted(command.op) and command.op > mint_client_order_id()
