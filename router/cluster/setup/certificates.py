"""The sample certificates of `router gateway init`: an authority of its own, and a server that it vouches for.

They are for trying out, and for a few machines of one's own. Who has an authority already uses that.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Certificates", "made"]

LASTS: Final = timedelta(days=5 * 365)
EARLIER: Final = timedelta(hours=1)  # clocks differ
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@frozen
class Certificates:
    """As PEM. expires: all of them."""

    authority: bytes
    authority_key: bytes
    server: bytes
    server_key: bytes
    expires: datetime


def made(host: str) -> Certificates:
    """For a server that is reached by this name or address."""
    begins, key, server_key = (
        datetime.now(UTC) - EARLIER,
        generate_private_key(SECP256R1()),
        generate_private_key(SECP256R1()),
    )
    name = _name("venue-router sample authority")
    builder = _begun(name, name, key, key, begins)
    authority = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, SHA256())
    )
    server = (
        _begun(_name("nats-server"), name, server_key, key, begins)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .sign(key, SHA256())
    )
    pem = [each.public_bytes(Encoding.PEM) for each in (authority, server)]
    return Certificates(pem[0], _pem(key), pem[1], _pem(server_key), authority.not_valid_after_utc)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, by: EllipticCurvePrivateKey, begins: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + LASTS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(host: str) -> list[x509.GeneralName]:
    return [_general(each) for each in (LOOPBACK if host in LOOPBACK else (host,))]


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
