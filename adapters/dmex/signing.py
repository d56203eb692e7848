r"""The signature that is DMEX's only credential: EIP-191 version 0x45 over the 32 raw bytes of an order hash.

    digest = keccak256(b"\x19Ethereum Signed Message:\n32" + order_hash)

1. The hash is signed as bytes, never as its text: 0x and exactly 64 hexadecimal digits, or nothing is signed.
2. The nonce is RFC 6979's and s is low: the same key and hash always give the same signature.
3. r and s always have 64 digits. The vendor's own Python sample uses hex(), which drops leading zeros: about a fifth of
   its signatures are short, and what the venue makes of a short one is not documented.
4. A signature is a bearer token for its order: whoever has seen it can cancel the order. Neither it nor the key shows
   in a repr, an error, a copy or a pickle.

eth-account takes half a second to import and five times longer to sign: it is imported only to read a keystore or a
mnemonic.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, final

from attrs import Factory, field, frozen
from coincurve import PrivateKey
from Crypto.Hash import keccak  # and not eth_hash, which calls the same and is slow to import

if TYPE_CHECKING:
    from eth_account import Account

__all__ = ["ACCOUNT_PATH", "HASH", "Signature", "Signer", "check_hash", "load_key"]

HASH = re.compile(r"0x[0-9a-fA-F]{64}")
"""An order hash. Use fullmatch, or check_hash()."""

ACCOUNT_PATH = "m/44'/60'/0'/0/0"
"""Where wallets keep the first Ethereum account of a mnemonic (BIP-44)."""

_PATH = re.compile(r"m(/[0-9]{1,10}['H]?)+")
_KEY = re.compile(r"(0[xX])?([0-9a-fA-F]{64})")
_PREFIX = b"\x19Ethereum Signed Message:\n32"


def check_hash(order_hash: str) -> str:
    """The hash, if it is one. ValueError otherwise, without the text: a key pasted in its place must not be printed."""
    if not isinstance(order_hash, str):
        raise ValueError(f"an order hash is text, not {type(order_hash).__name__}")  # noqa: TRY004 - bad input is one error
    if HASH.fullmatch(order_hash) is None:
        raise ValueError(f"an order hash is 0x and 64 hexadecimal digits; this has {len(order_hash)} characters")
    return order_hash


@final
@frozen
class Signature:
    """What the venue takes as proof. v: 27 or 28. r, s: 0x and 64 digits."""

    v: int = field(repr=False)
    r: str = field(repr=False)
    s: str = field(repr=False)


def _private_key(key: bytes) -> PrivateKey:
    if not isinstance(key, bytes):
        raise ValueError(f"a private key is bytes here, not {type(key).__name__}")  # noqa: TRY004 - see check_hash
    if len(key) != 32:
        raise ValueError(f"a private key is 32 bytes; this has {len(key)}")
    with suppress(ValueError):
        return PrivateKey(key)
    raise ValueError("a private key is neither zero nor beyond the order of secp256k1")


@final
@frozen(eq=False)
class Signer:
    """A private key, kept ready to sign. Signing takes some 35 us and blocks; nothing else here is worth a thread."""

    _key: PrivateKey = field(converter=_private_key, repr=False)
    address: str = field(init=False, default=Factory(lambda self: _address(self._key), takes_self=True))
    """The owner of the orders that this key signs, checksummed (EIP-55)."""

    def sign(self, order_hash: str) -> Signature:
        """The signature over an order hash: for creating the order, and byte for byte the same for cancelling it."""
        digest = _keccak256(_PREFIX + bytes.fromhex(check_hash(order_hash)[2:]))
        signed = self._key.sign_recoverable(digest, hasher=None)
        return Signature(v=27 + signed[64], r="0x" + signed[:32].hex(), s="0x" + signed[32:64].hex())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Signer is neither copied nor pickled: it holds a private key")


def _keccak256(data: bytes) -> bytes:
    return keccak.new(data=data, digest_bits=256).digest()


def _address(key: PrivateKey) -> str:
    digits = _keccak256(key.public_key.format(compressed=False)[1:])[-20:].hex()
    marks = _keccak256(digits.encode()).hex()
    return "0x" + "".join(digit.upper() if mark >= "8" else digit for digit, mark in zip(digits, marks, strict=False))


def load_key(
    private_key: str | bytes | None = None,
    *,
    keystore: str | os.PathLike[str] | None = None,
    password: str | None = None,
    mnemonic: str | None = None,
    account_path: str = ACCOUNT_PATH,
) -> Signer:
    """The signer for exactly one of: a private key (hexadecimal, or 32 bytes), a keystore file, a mnemonic.

    password: the keystore's. account_path: which account of the mnemonic (BIP-32). Reads a file and may derive a key
    for a second or more, so call it outside the event loop. ValueError says what is wrong and never quotes a secret.
    """
    if (keystore is None) is not (password is None):
        raise ValueError("a keystore needs its password, and nothing else takes one")
    match (private_key, keystore, mnemonic):
        case (str() as text, None, None):
            return Signer(_from_text(text))
        case (bytes() as key, None, None):
            return Signer(key)
        case (None, str() | os.PathLike() as path, None) if password is not None:
            return Signer(_from_keystore(path, password))
        case (None, None, str() as phrase):
            return Signer(_from_mnemonic(phrase, account_path))
    raise ValueError("give exactly one of private_key (text or 32 bytes), keystore (a path) and mnemonic (text)")


def _from_text(private_key: str) -> bytes:
    match = _KEY.fullmatch(private_key)
    if match is None:
        raise ValueError("a private key is 64 hexadecimal digits, with or without 0x")
    return bytes.fromhex(match[2])


# The errors below are raised after `suppress` and not in an `except`: the library's own carry the secret, and a chained
# exception would keep them reachable through __context__.


def _from_keystore(keystore: str | os.PathLike[str], password: str) -> bytes:
    try:
        content = Path(keystore).read_bytes()
    except OSError as error:
        raise ValueError(f"keystore {os.fspath(keystore)}: {error.strerror}") from None
    account = _eth_account()
    with suppress(Exception):
        return bytes(account.decrypt(content.decode(), password))
    raise ValueError(f"keystore {os.fspath(keystore)}: wrong password, or not a keystore")


def _from_mnemonic(mnemonic: str, account_path: str) -> bytes:
    if _PATH.fullmatch(account_path) is None:
        raise ValueError(f"an account path is like {ACCOUNT_PATH}")
    account = _eth_account()
    account.enable_unaudited_hdwallet_features()
    with suppress(Exception):
        return bytes(account.from_mnemonic(mnemonic, account_path=account_path).key)
    raise ValueError("the mnemonic is not a valid BIP-39 phrase, or the account path goes beyond 2**31")


def _eth_account() -> Account:
    """eth-account without the side effect of its import.

    It brings in py_ecc, which raises the recursion limit of the whole process to 100,000: there a deeply nested JSON
    frame overflows the C stack and kills the interpreter, where the usual limit makes it an error.
    """
    limit = sys.getrecursionlimit()
    try:
        from eth_account import Account  # noqa: PLC0415 - slow to import, see above
    finally:
        sys.setrecursionlimit(limit)
    return Account()
