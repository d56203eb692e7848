"""What importing the adapter brings along: the Ethereum libraries only where a keystore or a mnemonic is read."""

import json
import subprocess
import sys

import pytest

SLOW = ["eth_account", "eth_hash", "eth_keys", "eth_utils", "web3", "aiohttp"]
KEY = "01" * 32
PHRASE = "test test test test test test test test test test test junk"


def loaded(code):
    """Which of the slow ones a fresh interpreter has loaded after this."""
    shown = f"import json, sys\n{code}\nprint(json.dumps([name for name in {SLOW} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", shown], check=True, capture_output=True, text=True, timeout=60)  # noqa: S603
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "code",
    [
        "import adapters.dmex",
        f"from adapters.dmex import Dmex; Dmex('{KEY}')",
        f"from adapters.dmex.signing import load_key; load_key('{KEY}').sign('0x' + 'ab' * 32)",
    ],
    ids=["import", "open", "sign"],
)
def test_none_of_the_slow_libraries_is_needed_for_a_plain_key(code):
    assert loaded(code) == []


def test_a_mnemonic_needs_eth_account_and_nothing_of_web3():
    found = loaded(f"from adapters.dmex.signing import load_key; load_key(mnemonic='{PHRASE}')")
    assert "eth_account" in found
    assert "web3" not in found
