"""Who signed an order hash.

Strict: r and s have 64 digits, v is 27 or 28, s is low. Lenient: short r and s are padded on the left, v may be 0 or 1,
s may be high. Always: 0 < r, s < N. A wrong key still recovers some address: whose it is, is for the caller to judge.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from adapters.dmex.simulator.book import HASH, Refused

_LIMIT = sys.getrecursionlimit()

from eth_account import Account  # noqa: E402 - it brings in py_ecc,
from eth_account.messages import encode_defunct  # noqa: E402 - which raises the limit to 100,000 for the whole process:

sys.setrecursionlimit(_LIMIT)  # there, nested JSON overflows the C stack before Python notices

__all__ = ["CURVE_ORDER", "address_of", "recover"]

CURVE_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
SHORT: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")


def address_of(private_key: str) -> str:
    return str(Account.from_key(private_key).address)


def recover(order_hash: str, data: Mapping[str, Any], *, strict: bool) -> str | None:
    """The address that signed, by data's v, r and s.

    None if there is none, where the chain's own ecrecover says the zero address.
    """
    vrs = _check_range(data["v"], data["r"], data["s"], strict=strict)
    with suppress(Exception):  # whatever the library makes of numbers that are no signature
        return str(Account.recover_message(encode_defunct(bytes.fromhex(order_hash[2:])), vrs=vrs))
    return None


def _check_range(v: int, r: str, s: str, *, strict: bool) -> tuple[int, int, int]:
    form = HASH if strict else SHORT
    highest = CURVE_ORDER // 2 if strict else CURVE_ORDER - 1
    if v in ({27, 28} if strict else {0, 1, 27, 28}) and form.fullmatch(r) and form.fullmatch(s):
        vrs = (v, int(r, 16), int(s, 16))
        if 0 < vrs[1] < CURVE_ORDER and 0 < vrs[2] <= highest:
            return vrs
    raise Refused("Invalid signature")
