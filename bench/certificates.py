"""A certification authority, a server and one client, made for a measurement and thrown away with it."""

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = "root.pem"
SERVER = "server.pem"
SERVER_KEY = "server.key"
CLIENT = "client.pem"
CLIENT_KEY = "client.key"

_VALID_FOR = dt.timedelta(days=2)


def written(folder: Path) -> Path:
    """Write EC P-256 certificates and keys into a folder and give it; all clients share one certificate."""
    folder.mkdir(parents=True)
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _issued("bench root", root_key.public_key(), "bench root", root_key, is_root=True)
    _write(folder / ROOT, root)
    for name, certificate, key in (("server", SERVER, SERVER_KEY), ("client", CLIENT, CLIENT_KEY)):
        private = ec.generate_private_key(ec.SECP256R1())
        _write(folder / certificate, _issued(name, private.public_key(), "bench root", root_key, is_root=False))
        (folder / key).write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return folder


def _issued(
    name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_root: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID_FOR)
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
