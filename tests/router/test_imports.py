"""What importing costs, and what the package shows."""

import importlib
import subprocess
import sys

import pytest

import router

HEAVY = ("aiohttp", "apsw", "web3", "eth_account", "eth_keys", "click", "rich", "jwt")


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("router", set()),
        ("router.blocking", set()),
        ("adapters.qfex", set()),
        ("adapters.dmex", set()),
        ("adapters.b2trader", {"jwt"}),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(module, allowed):
    code = f"import {module}, sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 - our own code
    assert set(done.stdout.split()) <= allowed


def test_every_public_name_is_there_once_and_sorted():
    assert len(set(router.__all__)) == len(router.__all__)
    assert all(hasattr(router, name) for name in router.__all__)


@pytest.mark.parametrize(
    "module", ["model", "report", "errors", "venue", "core", "session", "ledger", "matching", "operation", "blocking"]
)
def test_every_module_says_what_is_public(module):
    loaded = importlib.import_module(f"router.{module}")
    assert all(hasattr(loaded, name) for name in loaded.__all__)
    assert loaded.__doc__
