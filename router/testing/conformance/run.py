"""Running a case against a venue, and the account of what went wrong."""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from attrs import define, field, frozen

import router
from router.testing.conformance.case import Case, Nonconformity, NotApplicable
from router.testing.conformance.stage import Stage
from router.testing.conformance.subject import Subject

__all__ = ["RESULTS", "Result", "Verdict", "run"]

OURS = Path(router.__file__).parent
LIMIT = 60.0  # seconds for a case: nothing in it waits that long


class Verdict(StrEnum):
    """How a case ended. NOT_APPLICABLE: the venue does not claim what it is about."""

    PASSED = "ok"
    FAILED = "FAILED"
    NOT_APPLICABLE = "n/a"


@frozen
class Result:
    """What a case came to. text: the reason, or the account of the failure."""

    venue: str
    case: Case
    verdict: Verdict
    text: str = ""


RESULTS: list[Result] = []
"""All of this process, in order: what the table at the end is made of."""


def run(case: Case, subject: Subject, setup: str = "") -> Result:
    """Run one case in an event loop of its own."""
    venue = f"{subject.name}+{setup}" if setup else subject.name
    try:
        verdict, text = asyncio.run(_run(case, subject, setup, venue))
    except NotApplicable as reason:
        verdict, text = Verdict.NOT_APPLICABLE, str(reason)
    RESULTS.append(Result(venue, case, verdict, text))
    return RESULTS[-1]


async def _run(case: Case, subject: Subject, setup: str, venue: str) -> tuple[Verdict, str]:
    with _Watch() as watch:
        async with Stage.of(subject, setup) as stage:
            try:
                before = asyncio.all_tasks()
                async with asyncio.timeout(LIMIT):
                    await case.check(stage)
                watch.require_nothing(before)
            except NotApplicable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever an adapter or a simulator raised is the finding
                return Verdict.FAILED, _account(case, stage, venue, error)
    return Verdict.PASSED, ""


@define(eq=False)
class _Watch(logging.Handler):
    """What our side logged as an error, or the event loop could tell nobody."""

    mistakes: list[str] = field(factory=list)

    def __attrs_pre_init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.mistakes.append(record.getMessage() + (f": {type(error).__name__}: {error}" if error else ""))

    def caught(self, _loop: Any, context: dict[str, Any]) -> None:
        self.mistakes.append(f"{context.get('message')}: {context.get('exception')!r}")

    def require_nothing(self, before: set[asyncio.Task[Any]]) -> None:
        """Nothing went wrong unseen, and no task of ours is left."""
        if self.mistakes:
            raise Nonconformity(f"our side logged: {'; '.join(self.mistakes[:3])}")
        left = [repr(task) for task in asyncio.all_tasks() - before if _is_ours(task)]
        if left:
            raise Nonconformity(f"tasks are left after the Router was closed: {left[:3]}")

    def __enter__(self) -> Self:
        asyncio.get_running_loop().set_exception_handler(self.caught)
        logging.getLogger("router").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("router").removeHandler(self)


def _is_ours(task: asyncio.Task[Any]) -> bool:
    """Whether it is the Router's or an adapter's. The simulator's own tasks end with it."""
    code = getattr(task.get_coro(), "cr_code", None)
    path = Path(getattr(code, "co_filename", ""))
    return path.is_relative_to(OURS) and not path.is_relative_to(OURS / "testing")


def _account(case: Case, stage: Stage, venue: str, error: Exception) -> str:
    """What the rule is, what was wrong, what was said, and where to read on."""
    wrong = "the case did not end in time" if isinstance(error, TimeoutError) else str(error)
    if not isinstance(error, Nonconformity | TimeoutError):
        wrong = f"{type(error).__name__}: {wrong}"
    said = stage.trace.account() or "\n".join(f"the venue read  {item.command}" for item in stage.sim.received[-10:])
    docs = "\n".join(f"{name}: {sentence}" for name, sentence in stage.spec.docs.items())
    parts = {
        "the rule": case.rule,
        "what is wrong": wrong,
        "what was said": said or "nothing was written",
        "the venue's page": f"{stage.spec.docs_url}\n{docs}",
    }
    return "\n".join([f"{case} on {venue}", *(_part(name, text) for name, text in parts.items())])


def _part(name: str, text: str) -> str:
    first, *others = text.strip("\n").split("\n")
    return "\n".join([f"  {name:<18}{first}", *(f"  {'':<18}{line}" for line in others)])
