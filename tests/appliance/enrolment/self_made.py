"""Certificates as devices make them for themselves."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from appliance.registry import self_made
from appliance.registry.self_made import SelfMade
from tests.appliance.enrolment.requests import new_key

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

BEGINS = datetime(2026, 1, 1, tzinfo=UTC)


def certificate(
    key: Key | None = None,
    common_name: str = "pump-7",
    serial_number: str = "",
    *,
    begins: datetime = BEGINS,
    days: int = 3650,
    padding_bytes: int = 0,
    signed_by: Key | None = None,
) -> bytes:
    """A certificate, DER, good from one moment for some days; signed with its own key, or by a CA called `own`."""
    key = key or new_key()
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    names += [x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_number)] if serial_number else []
    name = x509.Name(names)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if signed_by is None else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "own")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
    )
    if padding_bytes:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(padding_bytes))
        builder = builder.add_extension(unknown, critical=False)
    signer = signed_by or key
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer, algorithm).public_bytes(Encoding.DER)


def shown(key: Key | None = None, common_name: str = "pump-7", serial_number: str = "") -> SelfMade:
    """What a certificate says that is fit."""
    read = self_made.read(certificate(key, common_name, serial_number))
    assert isinstance(read, SelfMade)
    return read


def kept(folder: Path, key: Key, *certificates: bytes) -> tuple[Path, Path]:
    """The files of a certificate, with whatever follows it, and of its key, PEM."""
    chain, secret = folder / "self.pem", folder / "self.key"
    chain.write_text("".join(ssl.DER_cert_to_PEM_cert(one) for one in certificates or (certificate(key),)))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return chain, secret
