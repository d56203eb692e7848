"""The pytest plug-in: `pytest --venue NAME` runs the conformance cases against an installed venue.

It is loaded wherever pytest runs beside this library, so nothing else of it is imported before the option is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from router.testing.conformance import Case, Subject

__all__: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("venue-router", "conformance of a venue's adapter")
    group.addoption(
        "--venue",
        action="append",
        default=[],
        metavar="NAME",
        help="Run the conformance cases against this venue: an installed one's name, or a module. Repeatable; all: every "
        "installed one. Without paths, nothing else is run.",
    )
    group.addoption("--case", action="append", default=[], metavar="C04", help="Of these, only this case. Repeatable.")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("venue") and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []  # the user's own tests are run when they are named


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the cases, before anything is deselected."""
    if config.getoption("venue"):
        items.extend(_collected(session, config.getoption("venue"), config.getoption("case")))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of venues and cases."""
    if not config.getoption("venue"):
        return
    from router.testing.conformance import RESULTS  # noqa: PLC0415 - see the top
    from router.testing.conformance.table import lines  # noqa: PLC0415

    if RESULTS:
        terminalreporter.section("conformance")
        for line in lines(RESULTS):
            terminalreporter.write_line(line)


def _collected(session: pytest.Session, names: list[str], labels: list[str]) -> Iterator[pytest.Item]:
    from router.errors import RouterError  # noqa: PLC0415
    from router.testing.conformance import Subject, cases, subjects  # noqa: PLC0415

    try:
        wanted = cases(*labels)
        found = [
            each for name in names for each in ([*subjects().values()] if name == "all" else [Subject.named(name)])
        ]
        for subject in found:
            for setup in subject.setups:
                name = f"{subject.name}+{setup}" if setup else subject.name
                venue = _Venue.from_parent(session, name=name, nodeid=name)
                yield from (_Conforms.of(venue, subject, setup, each) for each in wanted)
    except (RouterError, ValueError, NotImplementedError) as error:
        raise pytest.UsageError(f"--venue: {error}") from error


class _Venue(pytest.Collector):
    """A venue's cases."""

    def collect(self) -> list[pytest.Item]:
        return []


class _Conforms(pytest.Item):
    """One case against one venue."""

    case: Case
    subject: Subject
    setup_name: str

    @classmethod
    def of(cls, parent: pytest.Collector, subject: Subject, setup: str, case: Case) -> _Conforms:
        item: _Conforms = cls.from_parent(parent, name=str(case))
        item.subject, item.setup_name, item.case = subject, setup, case
        return item

    def runtest(self) -> None:
        from router.testing.conformance import Verdict, run  # noqa: PLC0415

        result = run(self.case, self.subject, self.setup_name)
        if result.verdict is Verdict.NOT_APPLICABLE:
            pytest.skip(result.text)
        if result.verdict is Verdict.FAILED:
            raise _Failed(result.text)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The account instead of a traceback through the kit."""
        return str(excinfo.value) if isinstance(excinfo.value, _Failed) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        return self.subject.name, None, f"{self.parent.name if self.parent else ''}: {self.case}"


class _Failed(Exception):
    """With the account."""
