"""A DMEX signature: the adapter's Signer against coincurve itself and eth-account with each of its backends.

python -m benchmarks.signing [--quick] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from statistics import median
from typing import Any, Final

from coincurve import PrivateKey
from eth_hash.backends.pycryptodome import keccak256

from adapters.dmex.signing import Signer
from benchmarks import ground
from benchmarks.ground import AGAIN, Arm, Report, Size, row

__all__ = ["main", "measure"]

OURS: Final = "Signer.sign()"
DIRECT: Final = "coincurve, key kept"
FAST: Final = "eth-account, coincurve"
SLOW: Final = "eth-account, pure Python"
WHAT: Final = "EIP-191 signature of a hash"
PREFIX: Final = b"\x19Ethereum Signed Message:\n32"
BACKENDS: Final = {
    FAST: "eth_keys.backends.CoinCurveECCBackend",
    SLOW: "eth_keys.backends.NativeECCBackend",
}
"""What eth-account takes where coincurve is installed, and what it takes by default, alone."""

Signed = tuple[int, str, str]
Sign = Callable[[str], Signed]
"""From an order hash (0x and 64 digits) to v, r and s."""


async def measure(size: Size) -> Report:
    """DMEX signatures against coincurve itself and against eth-account with each of its backends."""
    key = secrets.token_bytes(32)
    sides: dict[str, Sign] = {
        OURS: partial(_ours, Signer(key)),
        DIRECT: partial(_direct, PrivateKey(key)),
        DIRECT + AGAIN: partial(_direct, PrivateKey(key)),
        **{name: partial(_with_backend, _account(key), backend) for name, backend in BACKENDS.items()},
    }
    _check(sides)
    turns = {name: 2 if name == SLOW else 50 if size.quick else 200 for name in sides}
    arms: dict[str, Arm] = {name: partial(_turn, sign, turns[name]) for name, sign in sides.items()}
    samples = await ground.interleave(arms, size.rounds)
    rows = [row(samples, WHAT, OURS, DIRECT, most=1.20)]
    rows += [row(samples, WHAT, name, DIRECT) for name in BACKENDS]
    return Report(
        name="DMEX signatures", rows=rows, facts={"checked": "all four make the same signatures, byte for byte"}
    )


def _ours(signer: Signer, order_hash: str) -> Signed:
    signed = signer.sign(order_hash)
    return signed.v, signed.r, signed.s


def _direct(key: PrivateKey, order_hash: str) -> Signed:
    """The least that makes what a venue takes."""
    signed = key.sign_recoverable(keccak256(PREFIX + bytes.fromhex(order_hash[2:])), hasher=None)
    return 27 + signed[64], "0x" + signed[:32].hex(), "0x" + signed[32:64].hex()


def _account(key: bytes) -> Callable[[str], Signed]:
    """eth-account as its documentation shows it, with the account kept."""
    account: Any = import_module("eth_account").Account.from_key(key)
    encode: Any = import_module("eth_account.messages").encode_defunct

    def sign(order_hash: str) -> Signed:
        signed = account.sign_message(encode(hexstr=order_hash))
        return signed.v, f"0x{signed.r:064x}", f"0x{signed.s:064x}"

    return sign


def _with_backend(sign: Sign, backend: str, order_hash: str) -> Signed:
    """Account.set_key_backend() does not reach the signing; this is read each time that a key is made."""
    os.environ["ECC_BACKEND_CLASS"] = backend
    return sign(order_hash)


def _check(sides: dict[str, Sign]) -> None:
    for _ in range(5):
        order_hash = _hash()
        if len({sign(order_hash) for sign in sides.values()}) != 1:
            raise RuntimeError(f"the signatures of {order_hash} differ")


async def _turn(sign: Sign, size: int) -> dict[str, float]:
    times: list[int] = []
    for _ in range(size):
        order_hash = _hash()
        before = time.perf_counter_ns()
        sign(order_hash)
        times.append(time.perf_counter_ns() - before)
    return {WHAT: median(times) / 1000}


def _hash() -> str:
    return "0x" + secrets.token_hex(32)


main = ground.command("signing", measure)

if __name__ == "__main__":
    main()
