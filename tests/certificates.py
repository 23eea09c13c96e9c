"""Certificates made up for a test: an authority of its own, a broker's and a client's, as PEM files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path


class Issued(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, password: str = "") -> bytes:
        locked: KeySerializationEncryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)


class Authority:
    """Signs certificates for a day."""

    def __init__(self, name: str = "o2c tests") -> None:
        self.own = _issued(name, None, x509.BasicConstraints(ca=True, path_length=0))

    def issue(self, name: str) -> Issued:
        """Return a certificate for *name*, which is an IP address or a host."""
        return _issued(name, self.own, x509.SubjectAlternativeName([_alternative(name)]))

    def write(self, folder: Path, password: str = "") -> dict[str, Path]:
        """Write `ca`, `client`, `key` (locked by *password*) and `broker` with its key for 127.0.0.1; return the paths."""
        client, broker = self.issue("o2c"), self.issue("127.0.0.1")
        texts = {
            "ca": self.own.pem(),
            "client": client.pem(),
            "key": client.key_pem(password),
            "broker": broker.key_pem() + broker.pem(),
        }
        paths = {name: folder / f"{name}.pem" for name in texts}
        for name, path in paths.items():
            path.write_bytes(texts[name])
        return paths


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _issued(name: str, issuer: Issued | None, extension: x509.ExtensionType) -> Issued:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=issuer is None)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    return Issued(certificate, key)
