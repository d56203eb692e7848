"""DMEX signatures against web3.js and eth-account, and what must never be shown."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from attrs import asdict
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from adapters.dmex.signing import HASH, Signature, Signer, check_hash, load_key

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
VECTORS: list[dict[str, Any]] = json.loads((DATA / "dmex_vectors.json").read_text())
LEGACY: dict[str, Any] = json.loads((DATA / "dmex_legacy_hashes.json").read_text())
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = "29a4f9cd5337dc67a63444474e399663b36f7680f2da2156d2b7e68eb5c30c5c"
ADDRESS = "0x990D7bD711a5E09D96A5E0C5149bc1EB85F5C21F"
PASSWORD = "not a secret, and yet"
MNEMONIC = "health embark april buyer eternal leopard want before nominee head thing tackle"
FIRST, SECOND = "0x61Cc15522D06983Ac7aADe23f9d5433d38e78195", "0x1240460F6E370f28079E5F9B52f9DcB759F051b7"

keys = st.integers(1, CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
hashes = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())


# -- against others


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["order_hash"][:10])
def test_the_signatures_of_web3js(vector: dict[str, Any]) -> None:
    signer = load_key(vector["private_key"])
    assert asdict(signer.sign(vector["order_hash"])) == {name: vector[name] for name in ("v", "r", "s")}
    assert signer.address == vector["address"]


def test_the_vectors_cover_leading_zeros() -> None:
    short = [vector for vector in VECTORS if vector["r"].startswith("0x00") or vector["s"].startswith("0x00")]
    assert (len(VECTORS), len(short)) == (128, 16)
    for vector in short:
        signature = load_key(vector["private_key"]).sign(vector["order_hash"])
        assert (len(signature.r), len(signature.s)) == (66, 66)


@pytest.mark.parametrize("order", LEGACY["orders"], ids=lambda order: order["order_hash"][:10])
def test_the_signatures_of_the_older_orders(order: dict[str, Any]) -> None:
    signature = load_key(order["private_key"]).sign(order["order_hash"])
    assert asdict(signature) == {name: order[name] for name in ("v", "r", "s")}


@given(key=keys, order_hash=hashes)
def test_equal_to_eth_account_and_recoverable(key: bytes, order_hash: str) -> None:
    signer, account, message = Signer(key), Account.from_key(key), encode_defunct(hexstr=order_hash)
    signature, theirs = signer.sign(order_hash), account.sign_message(message)
    assert (signature.v, int(signature.r, 16), int(signature.s, 16)) == (theirs.v, theirs.r, theirs.s)
    assert signature.r[2:] + signature.s[2:] + f"{signature.v:x}" == theirs.signature.hex()
    recovered = Account.recover_message(message, vrs=(signature.v, int(signature.r, 16), int(signature.s, 16)))
    assert recovered == signer.address == account.address


@given(key=keys, order_hash=hashes)
def test_the_form_of_a_signature(key: bytes, order_hash: str) -> None:
    signature = Signer(key).sign(order_hash)
    assert signature.v in {27, 28}
    assert HASH.fullmatch(signature.r)
    assert HASH.fullmatch(signature.s)
    assert 0 < int(signature.s, 16) <= CURVE_ORDER // 2
    assert signature == Signer(key).sign("0x" + order_hash[2:].upper())


# -- what is no hash


@pytest.mark.parametrize(
    "text",
    [
        "0x" + "a" * 63,
        "0x" + "a" * 65,
        "a" * 64,
        "a" * 66,
        "0X" + "a" * 64,
        "0x" + "g" * 64,
        "0x" + "a" * 64 + "\n",
        " 0x" + "a" * 63,
        "0x" + "\u0663" * 64,  # digits to str.isdigit, not to a hash
        "0x-" + "a" * 63,
        "",
        "order",
        None,
        7,
        b"0x" + b"a" * 64,
        bytes(32),
    ],
)
def test_only_a_hash_is_signed(text: Any) -> None:
    for refuse in (check_hash, load_key(KEY).sign):
        with pytest.raises(ValueError, match="an order hash is"):
            refuse(text)


def test_a_hash_is_returned_as_it_is() -> None:
    assert check_hash("0x" + "aB" * 32) == "0x" + "aB" * 32


def test_a_key_in_the_place_of_a_hash_is_not_printed() -> None:
    with pytest.raises(ValueError, match="64 characters") as raised:
        load_key(KEY).sign(KEY)
    assert KEY not in everything_about(raised.value)


# -- where a key comes from


@pytest.mark.parametrize("form", [KEY, "0x" + KEY, "0X" + KEY.upper(), bytes.fromhex(KEY)])
def test_a_private_key_in_each_form(form: str | bytes) -> None:
    assert load_key(form).address == ADDRESS


@pytest.fixture(params=["scrypt", "pbkdf2"])
def keystore(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(Account.encrypt(bytes.fromhex(KEY), PASSWORD, kdf=request.param, iterations=2)))
    return path


def test_a_keystore(keystore: Path) -> None:
    assert load_key(keystore=keystore, password=PASSWORD).address == ADDRESS
    assert load_key(keystore=str(keystore), password=PASSWORD).address == ADDRESS


def test_a_mnemonic() -> None:
    assert load_key(mnemonic=MNEMONIC).address == FIRST
    assert load_key(mnemonic=MNEMONIC, account_path="m/44'/60'/0'/0/1").address == SECOND


def everything_about(error: BaseException) -> str:
    """What a traceback, a repr or a look at the chain could show of an error."""
    chain = [error]
    for link in chain:  # grows as it is walked
        chain += [cause for cause in (link.__cause__, link.__context__) if cause is not None]
    shown = [repr(link) + str(link) for link in chain]
    return "".join(shown) + "".join(traceback.format_exception(error))


SECRETS = {"key": KEY, "password": PASSWORD, "phrase": MNEMONIC.replace("health", "wealthy")}


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({}, "exactly one"),
        ({"private_key": KEY, "mnemonic": MNEMONIC}, "exactly one"),
        ({"private_key": int(KEY, 16)}, "exactly one"),
        ({"private_key": KEY, "password": PASSWORD}, "needs its password"),
        ({"keystore": "key.json"}, "needs its password"),
        ({"private_key": ""}, "64 hexadecimal digits"),
        ({"private_key": KEY + "\n"}, "64 hexadecimal digits"),
        ({"private_key": "0x0x" + KEY[2:]}, "64 hexadecimal digits"),
        ({"private_key": KEY[:-1]}, "64 hexadecimal digits"),
        ({"private_key": KEY + "0"}, "64 hexadecimal digits"),
        ({"private_key": bytes.fromhex(KEY)[1:]}, "32 bytes"),
        ({"private_key": bytes.fromhex(KEY) + b"\0"}, "32 bytes"),
        ({"private_key": "0" * 64}, "neither zero"),
        ({"private_key": bytes(32)}, "neither zero"),
        ({"private_key": f"{CURVE_ORDER:x}"}, "neither zero"),
        ({"private_key": "f" * 64}, "neither zero"),
        ({"mnemonic": SECRETS["phrase"]}, "BIP-39"),
        ({"mnemonic": MNEMONIC.rsplit(" ", 1)[0]}, "BIP-39"),
        ({"mnemonic": ""}, "BIP-39"),
        ({"mnemonic": MNEMONIC, "account_path": "44/60"}, "account path"),
        ({"mnemonic": MNEMONIC, "account_path": "m/44'/9999999999"}, "account path"),
        ({"keystore": "/nowhere/key.json", "password": PASSWORD}, "No such file"),
    ],
)
def test_a_source_that_is_refused(sources: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        load_key(**sources)
    shown = everything_about(raised.value)
    assert not any(secret in shown for secret in (KEY[:-1], PASSWORD, "wealthy", "embark april", str(int(KEY, 16))))


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"\xff\xfe", b'{"version": 3}', KEY.encode()])
def test_a_keystore_that_does_not_open(keystore: Path, content: bytes | None) -> None:
    if content is not None:
        keystore.write_bytes(content)
    with pytest.raises(ValueError, match="wrong password, or not a keystore") as raised:
        load_key(keystore=keystore, password=PASSWORD + "?")
    shown = everything_about(raised.value)
    assert KEY not in shown
    assert PASSWORD not in shown


def test_a_signer_takes_bytes_alone() -> None:
    with pytest.raises(ValueError, match="bytes here, not str") as raised:
        Signer(KEY)  # type: ignore[arg-type] # that is the point
    assert KEY not in everything_about(raised.value)


# -- what is shown, what gets imported


def test_nothing_secret_is_shown() -> None:
    signer = load_key(KEY)
    signature = signer.sign("0x" + "ab" * 32)
    assert repr(signer) == str(signer) == f"Signer(address='{ADDRESS}')"
    assert repr(signature) == str(signature) == "Signature()"
    assert KEY not in repr(asdict(signer))


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_signer_is_not_copied(leak: Any) -> None:
    with pytest.raises(TypeError, match="neither copied nor pickled"):
        leak(load_key(KEY))


def test_a_signature_is_a_value() -> None:
    assert Signature(27, "0x1", "0x2") == Signature(v=27, r="0x1", s="0x2")
    with pytest.raises(AttributeError):
        Signature(27, "0x1", "0x2").v = 28  # type: ignore[misc] # that is the point


def python(program: str) -> str:
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return run.stdout


def test_signing_imports_nothing_slow() -> None:
    program = (
        "import sys; from adapters.dmex.signing import load_key;"
        f"load_key('{KEY}').sign('0x' + 'ab' * 32);"
        "print({'eth_account', 'web3', 'eth_keys', 'py_ecc'} & set(sys.modules))"
    )
    assert python(program) == "set()\n"


def test_the_recursion_limit_survives_a_mnemonic() -> None:
    program = (
        "import sys; from adapters.dmex.signing import load_key; before = sys.getrecursionlimit();"
        f"load_key(mnemonic='{MNEMONIC}'); print('py_ecc' in sys.modules, sys.getrecursionlimit() == before)"
    )
    assert python(program) == "True True\n"
