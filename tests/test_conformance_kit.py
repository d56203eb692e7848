"""The conformance kit itself: it fails what is wrong, says why in words, and claims nothing that it did not see."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from attrs import evolve
from msgspec.structs import replace

from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, IdKind, OrderType, Outcome
from router.errors import CannotExpress, UnknownVenue
from router.testing import Switches
from router.testing.conformance import CASES, Result, Subject, Verdict, cases, run
from router.testing.conformance.table import lines
from router.testing.conformance.trace import Trace, TracedCodec
from router.venue import Answer, Codec, Command, Effect, Frame, Item, Spec, Wire


class Bent(TracedCodec):
    """A codec that gets one thing wrong."""

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec, codec.spec, Trace())


def bent(adapter: type, wrong: type[Bent]) -> type:
    """An adapter class with it."""

    class Wrong(adapter):
        def __init__(self, *given, **named) -> None:
            super().__init__(*given, **named)
            self.through(wrong)

    return Wrong


def outcome_of(number: int, wrong: type[Bent]) -> Result:
    return run(CASES[number], Subject("bent", bent(Qfex, wrong), QfexSimulator))


class TakesEveryAnswerForTheDeed(Bent):
    def decode(self, frame: Frame, now: float) -> Iterable[Item]:
        for item in self._codec.decode(frame, now):
            refused = isinstance(item, Answer) and item.outcome is Outcome.REFUSED
            yield replace(item, outcome=Outcome.CONFIRMED) if refused else item


class Says(Bent):
    """Raises something that is no CannotExpress."""

    def encode(self, command: Command, now: float) -> Wire:
        raise NotImplementedError("venue/codec.py, encode(): write me")


class ForgetsToSubscribe(Bent):
    def hello(self, now: float, entropy: bytes) -> Iterable[Wire]:
        return [next(iter(self._codec.hello(now, entropy)))]


class ClaimsTooMuch(Bent):
    @property
    def spec(self) -> Spec:
        return evolve(self._codec.spec, order_types=frozenset(OrderType))


class WritesTwice(Bent):
    def encode(self, command: Command, now: float) -> Wire:
        wire = self._codec.encode(command, now)
        return replace(wire, effect=Effect.IDEMPOTENT)


class Numbers(Bent):
    """Counts what it encodes, so that a repeat would be another message."""

    count = 0

    def encode(self, command: Command, now: float) -> Wire:
        Numbers.count += 1
        wire = self._codec.encode(command, now)
        return replace(wire, body=wire.body.replace(b"{", b'{"id":%d,' % Numbers.count, 1))


class ShowsItsSecret(Bent):
    def encode(self, command: Command, now: float) -> Wire:
        raise CannotExpress(f"with the key {self._codec.secret_key.reveal()}")

    def secrets(self) -> Iterable[str]:
        return ()


@pytest.mark.parametrize(
    ("number", "wrong", "words"),
    [
        (2, TakesEveryAnswerForTheDeed, "expected REFUSED, but the report says CONFIRMED"),
        (1, Numbers, "encode() gives other bytes for the same cancel at the same time"),
        (1, Says, "NotImplementedError: venue/codec.py, encode(): write me"),
        (23, ForgetsToSubscribe, "expected CONFIRMED, but the report says UNKNOWN"),
        (4, WritesTwice, "was written 2 times"),
    ],
)
def test_what_is_wrong_fails_and_is_said(number: int, wrong: type[Bent], words: str) -> None:
    result = outcome_of(number, wrong)
    assert result.verdict is Verdict.FAILED
    assert words in result.text
    assert CASES[number].rule in result.text
    assert "https://docs.qfex.com" in result.text


def test_a_claim_that_the_codec_does_not_keep_fails() -> None:
    result = run(CASES[21], Subject("bent", bent(Qfex, ClaimsTooMuch), QfexSimulator))
    assert result.verdict is Verdict.FAILED
    assert "stop_limit, take_profit, twap, the page has limit, market, stop, take_profit, twap" in result.text


def test_a_secret_in_an_error_fails_and_is_not_shown_again() -> None:
    result = outcome_of(19, ShowsItsSecret)
    assert result.verdict is Verdict.FAILED
    assert "qfex_secret_" not in result.text


def test_what_the_venue_said_is_in_the_account_and_the_login_is_not() -> None:
    result = outcome_of(2, TakesEveryAnswerForTheDeed)
    assert "NO_SUCH_ORDER" in result.text
    result = outcome_of(1, Says)
    assert "(hidden)" in result.text
    assert "hmac" not in result.text


def test_a_simulator_that_never_answers_fails_and_does_not_hang() -> None:
    class Mute(QfexSimulator):
        async def start(self) -> None:
            await super().start()
            self.switches = Switches(deaf=True)

    result = run(CASES[1], Subject("mute", Qfex, Mute))
    assert result.verdict is Verdict.FAILED
    assert "expected CONFIRMED, but the report says UNKNOWN" in result.text


def test_what_is_not_claimed_is_not_applicable_with_the_reason() -> None:
    result = run(CASES[6], Subject("dmex", Dmex, DmexSimulator))
    assert (result.verdict, result.text) == (Verdict.NOT_APPLICABLE, "the venue does not tell its trades")


def test_the_table_has_a_line_per_case_and_names_the_reasons() -> None:
    venue = Subject("dmex", Dmex, DmexSimulator)
    shown = lines([run(CASES[number], venue) for number in (1, 6, 11)])
    assert [line.split()[-1] for line in shown[1:4]] == ["ok", "n/a", "n/a"]
    assert "dmex: 1 ok, 2 n/a" in shown
    assert "C06 n/a, the venue does not tell its trades: dmex" in shown


def test_cases_are_named_by_label_or_number() -> None:
    assert [case.number for case in cases("C04", "2", "c1")] == [1, 2, 4]
    assert [case.number for case in cases()] == sorted(CASES) == list(range(1, len(CASES) + 1))
    with pytest.raises(ValueError, match="no case has the number 99; there are C01 to"):
        cases("C99")


@pytest.mark.parametrize("name", ["nowhere", "nowhere.at.all", "json"])
def test_a_venue_that_is_none_is_refused_with_the_way_out(name: str) -> None:
    with pytest.raises((UnknownVenue, ValueError), match=r"known|adapter class"):
        Subject.named(name)


def test_a_cancel_that_is_not_claimed_is_not_asked_for() -> None:
    assert IdKind.TWAP not in Dmex.declared.cancel_kinds
    assert Cancel("dmex", "x", IdKind.TWAP).kind not in Dmex.declared.cancel_kinds


# -- as pytest runs it


def pytest_says(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    return done.returncode, done.stdout + done.stderr


def test_the_plug_in_runs_the_cases_in_an_empty_folder(tmp_path: Path) -> None:
    code, said = pytest_says(tmp_path, "--venue", "b2trader", "--venue", "adapters.qfex", "-k", "C01 or C06", "-v")
    assert code == 0, said
    assert "4 passed, 2 skipped" in said
    assert "C06 fill before ack" in said
    assert "adapters.qfex: 2 ok" in said


def test_the_plug_in_leaves_other_runs_alone(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import sys\ndef test_mine():\n    assert 'router.testing.conformance' not in sys.modules\n"
    )
    assert pytest_says(tmp_path)[0] == 0
    code, said = pytest_says(tmp_path, "--venue", "qfex", "--case", "C01", "test_mine.py")
    assert (code, "1 failed, 1 passed" in said) == (1, True), said  # named, it runs too: and the kit is loaded then


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--venue", "nowhere"), "known: b2trader"),
        (("--venue", "dmex", "--case", "C99"), "no case has the number 99"),
    ],
)
def test_a_mistake_in_the_options_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    code, said = pytest_says(tmp_path, *arguments)
    assert code == pytest.ExitCode.USAGE_ERROR, said
    assert words in said
